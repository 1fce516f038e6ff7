//! Makes `io.max` safe on 32-bit kernels.
//!
//! blk-throttle gives the groups above a slow one a slice of time that begins at 0 (until theirs has
//! begun once) and ends now, and stops the machine where an end is before its beginning
//! (`throtl_trim_slice`). 32-bit kernels count time from minus five minutes, so during the first five
//! minutes after a boot the first service that is slowed down would be a panic (seen on 6.1). A slice
//! begins when a limit of the group is written. In cgroup v2 the root group has no such file, in v1 it
//! has: so the controller is in v1 for a moment, before v2 uses it. The manager does the same for the
//! group of all services, by writing its `io.max`.

use crate::error::Fault;
use crate::limits::{CONTROLLER_BACK_MS, CONTROLLER_BACK_TRIES};
use crate::sys::mount::KERNEL_FS;
use crate::sys::{Errno, machine, mount};
use core::time::Duration;
use std::fs;
use std::thread::sleep;

const FOLDER: &str = "/run/hearth-blkio";
const CONTROLLERS: &str = "/sys/fs/cgroup/cgroup.controllers";

/// Begins the root group's slices for every disk. Without success `io` must not be handed to any group:
/// limits of the disk then fail by name.
///
/// # Errors
/// The first thing that could not be done.
pub fn begin_slices() -> Result<(), Fault> {
    if machine::is_64_bit() {
        return Ok(());
    }
    fs::create_dir_all(FOLDER).map_err(Fault::of("make a folder for the blkio controller"))?;
    let place = c"/run/hearth-blkio";
    mount::mount(c"cgroup", place, KERNEL_FS, c"blkio")
        .map_err(Fault::of("mount the blkio controller"))?;
    let begun = each_disk();
    mount::unmount(place).map_err(Fault::of("unmount the blkio controller"))?;
    // An empty folder more in /run is all that would stay.
    let _ = fs::remove_dir(FOLDER);
    begun?;
    wait_for_controller()
}

fn each_disk() -> Result<(), Fault> {
    let disks = fs::read_dir("/sys/block").map_err(Fault::of("list the disks"))?;
    for disk in disks.flatten() {
        let numbers = fs::read_to_string(disk.path().join("dev"))
            .map_err(Fault::of("read the numbers of a disk"))?;
        // 0 is no limit; that one is written is what counts, and it begins both slices.
        let limit = format!("{} 0", numbers.trim());
        fs::write(format!("{FOLDER}/blkio.throttle.read_bps_device"), limit)
            .map_err(Fault::of("begin a disk's slices"))?;
    }
    Ok(())
}

/// The kernel takes the controller back to v2 a moment after the unmount.
fn wait_for_controller() -> Result<(), Fault> {
    for _ in 0..CONTROLLER_BACK_TRIES {
        let controllers = fs::read_to_string(CONTROLLERS).unwrap_or_default();
        if controllers.split_whitespace().any(|name| name == "io") {
            return Ok(());
        }
        sleep(Duration::from_millis(CONTROLLER_BACK_MS));
    }
    Err(Fault {
        what: "get the io controller back from cgroup v1",
        errno: Errno(libc::ETIMEDOUT),
    })
}

//! What PID 1 does once, before it supervises: mounts, cgroups, modules, settings, clock, names.
//!
//! A step that fails is told, and the boot goes on: a gateway that forwards but lacks one thing is
//! worth more than none. What a service needs and lacks fails that service's start, by name.

use super::report::progress;
use super::throttle;
use crate::error::Fault;
use crate::limits::{LIST_MAX, OPEN_FILES, TMPFS_OPTIONS, TMPFS_SHARED_OPTIONS};
use crate::sys::mount::{DATA_FS, DEVICE_FS, KERNEL_FS, MountPoint};
use crate::sys::{Errno, machine, mount};
use core::ffi::CStr;
use std::ffi::CString;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;

const CGROUPS: &str = "/sys/fs/cgroup";
const CONTROLLERS: [&str; 5] = ["+cpu", "+memory", "+pids", "+io", "+cpuset"];
/// The time of the last orderly shutdown, for boards whose clock has no battery.
const LAST_TIME: &str = "/data/hearth/state/last-time";
const RELEASE: &str = "/etc/hearth/release";

/// File systems, in order: kind, place, flags, options.
const MOUNTS: [(&CStr, &CStr, libc::c_ulong, &CStr); 9] = [
    (c"proc", c"/proc", KERNEL_FS, c""),
    (c"sysfs", c"/sys", KERNEL_FS, c""),
    (c"devtmpfs", c"/dev", DEVICE_FS, c"mode=0755"),
    (
        c"devpts",
        c"/dev/pts",
        DEVICE_FS,
        c"mode=0620,ptmxmode=0666",
    ),
    (c"tmpfs", c"/dev/shm", DATA_FS, TMPFS_SHARED_OPTIONS),
    (c"tmpfs", c"/run", DATA_FS, TMPFS_OPTIONS),
    (c"tmpfs", c"/tmp", DATA_FS, TMPFS_SHARED_OPTIONS),
    (c"cgroup2", c"/sys/fs/cgroup", KERNEL_FS, c"nsdelegate"),
    // Where hearth-netpath pins the maps of its fast path, which outlive it.
    (c"bpf", c"/sys/fs/bpf", KERNEL_FS, c"mode=0700"),
];

/// What the loop needs from the boot.
pub struct Booted {
    /// The console's device.
    pub terminal: CString,
    /// Whether the kernel command line has the word `hearth.test`.
    pub trial: Trial,
}

/// Whether tests may make PID 1 panic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trial {
    /// They may.
    Allowed,
    /// They may not.
    Forbidden,
}

/// Brings the machine from the kernel's hand-over to the point where units can start.
pub fn boot() -> Booted {
    for (kind, place, flags, options) in MOUNTS {
        tell(
            mount_one(kind, place, flags, options),
            place.to_str().unwrap_or(""),
        );
    }
    super::report::start();
    let release = fs::read_to_string(RELEASE).unwrap_or_default();
    progress(format_args!("starting, firmware {}", release.trim()));
    let told = fs::write("/proc/sys/kernel/printk", "5 4 1 7")
        .map_err(Fault::of("set the console's log level"));
    tell(told, "printk");
    tell(
        machine::take_ctrl_alt_del().map_err(Fault::of("take ctrl-alt-del")),
        "reboot",
    );
    tell(
        machine::set_open_files(OPEN_FILES, OPEN_FILES)
            .map_err(Fault::of("raise the limit of open files")),
        "rlimit",
    );
    tell(
        machine::lift_shared_limits().map_err(Fault::of("lift the limits that services share")),
        "rlimit",
    );
    cgroups();
    host_name();
    tell(
        machine::loopback_up().map_err(Fault::of("bring loopback up")),
        "lo",
    );
    modules();
    settings();
    for folder in [
        "/run/hearth",
        "/data/hearth",
        "/data/hearth/state",
        "/data/hearth/packages",
        "/data/services",
    ] {
        tell(
            fs::create_dir_all(folder).map_err(Fault::of("make a folder")),
            folder,
        );
    }
    clock();
    let command_line = fs::read_to_string("/proc/cmdline").unwrap_or_default();
    Booted {
        terminal: terminal(),
        trial: if command_line
            .split_whitespace()
            .any(|word| word == "hearth.test")
        {
            Trial::Allowed
        } else {
            Trial::Forbidden
        },
    }
}

fn tell(done: Result<(), Fault>, object: &str) {
    if let Err(fault) = done {
        log::error!("{object}: {fault}");
        progress(format_args!("{object}: {fault}"));
    }
}

fn mount_one(kind: &CStr, place: &CStr, flags: libc::c_ulong, options: &CStr) -> Result<(), Fault> {
    // stage 1 has mounted some already; a folder that is not there is made where it can be.
    match mount::mount_point(place) {
        Ok(MountPoint::Mounted) => return Ok(()),
        Ok(MountPoint::Free) => {}
        Err(_) => {
            let path = place.to_str().unwrap_or("");
            fs::create_dir_all(path).map_err(Fault::of("make the folder to mount on"))?;
        }
    }
    mount::mount(kind, place, flags, options).map_err(Fault::of("mount"))
}

/// `forwarding` for hearth-netpath and the threads that take the ports' packets, `system/*` for our other
/// processes, `services` for the rest; PID 1 stays in the root. Who weighs what is in ARCHITECTURE.md.
fn cgroups() {
    let throttle = throttle::begin_slices();
    let withheld = if throttle.is_err() { "io" } else { "" };
    tell(throttle, "limits of the disk");
    for folder in ["", "/system", "/services"] {
        let path = format!("{CGROUPS}{folder}");
        tell(
            fs::create_dir_all(&path).map_err(Fault::of("make the cgroup")),
            &path,
        );
        let available =
            fs::read_to_string(format!("{path}/cgroup.controllers")).unwrap_or_default();
        for controller in CONTROLLERS {
            let name = controller.trim_start_matches('+');
            if name == withheld {
                continue;
            }
            if available.split_whitespace().any(|word| word == name) {
                let done = fs::write(format!("{path}/cgroup.subtree_control"), controller)
                    .map_err(Fault::of("enable the controller"));
                tell(done, &format!("{path} {name}"));
            } else if folder.is_empty() && name != "cpuset" {
                progress(format_args!(
                    "the kernel lacks the {name} controller: its limits can not be applied"
                ));
            }
        }
    }
    for group in ["forwarding", "system/manager", "system/console"] {
        let path = format!("{CGROUPS}/{group}");
        tell(
            fs::create_dir_all(&path).map_err(Fault::of("make the cgroup")),
            &path,
        );
    }
}

fn host_name() {
    let name = fs::read_to_string("/etc/hostname").unwrap_or_default();
    let name = name.trim();
    if !name.is_empty() {
        tell(
            machine::set_host_name(name.as_bytes()).map_err(Fault::of("set the host name")),
            name,
        );
    }
}

/// A flat list: one entry a line, `#` starts a comment.
fn list(path: &str) -> String {
    let mut text = String::new();
    let read =
        File::open(path).and_then(|file| file.take(LIST_MAX as u64).read_to_string(&mut text));
    if let Err(e) = read {
        log::warn!("{path}: {e}");
    }
    text
}

fn entries(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .map(|line| line.split('#').next().unwrap_or("").trim())
        .filter(|line| !line.is_empty())
}

fn modules() {
    let text = list("/etc/hearth/modules");
    let mut loaded = 0_u32;
    for path in entries(&text) {
        let done = File::open(path)
            .map_err(Errno::from)
            .and_then(|file| machine::load_module(&file));
        match done {
            Ok(()) | Err(Errno(libc::EEXIST)) => loaded += 1,
            Err(errno) => {
                log::error!("module {path}: {errno}");
                progress(format_args!("module {path}: {errno}"));
            }
        }
    }
    progress(format_args!("{loaded} kernel modules"));
}

fn settings() {
    let text = list("/etc/hearth/sysctl");
    for entry in entries(&text) {
        let Some((path, value)) = entry.split_once(char::is_whitespace) else {
            log::warn!("/etc/hearth/sysctl: {entry:?} has no value");
            continue;
        };
        if let Err(e) = fs::write(format!("/proc/sys/{path}"), value.trim()) {
            log::warn!("kernel setting {path}: {e}");
        }
    }
}

/// A clock that is behind the firmware, or behind the last shutdown, is set forward.
fn clock() {
    let built = fs::metadata(RELEASE).map_or(0, |facts| facts.mtime());
    let saved = fs::read_to_string(LAST_TIME)
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(0);
    let least = built.max(saved);
    if machine::wall_seconds() < least {
        log::warn!("the clock was behind; it is set to the last known time");
        tell(
            machine::set_wall_seconds(least).map_err(Fault::of("set the clock")),
            "clock",
        );
    }
}

/// Remembers the time for the next boot.
pub fn save_time() {
    if let Err(e) = fs::write(LAST_TIME, machine::wall_seconds().to_string()) {
        log::warn!("{LAST_TIME}: {e}");
    }
}

/// The device behind /dev/console: a shell needs a real terminal to be its controlling one.
fn terminal() -> CString {
    let active = fs::read_to_string("/sys/class/tty/console/active").unwrap_or_default();
    let name = active.split_whitespace().last().unwrap_or("ttyS0");
    CString::new(format!("/dev/{name}")).unwrap_or_else(|_| c"/dev/ttyS0".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flat_list_has_comments_and_blank_lines() {
        let text = "# head\n\n/lib/a.ko   # why\n  /lib/b.ko\n#c\n";
        assert_eq!(
            entries(text).collect::<Vec<_>>(),
            ["/lib/a.ko", "/lib/b.ko"]
        );
    }
}

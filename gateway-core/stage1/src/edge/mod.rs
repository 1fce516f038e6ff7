//! Carries the decisions out: finds the disk, tries the slots, hands over to `hearth-init`.

use crate::limits::{DISK_LOOK_MS, DISK_WAIT_MS, LIST_MAX, PROGRESS_MS, SHELL_PAUSE_MS};
use crate::machine::{Slot, Slots, preferred, uevent};
use crate::sys;
use std::ffi::{CStr, CString};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

const INIT: &str = "/sbin/hearth-init";
const DATA: &str = "data";

macro_rules! say {
    ($($word:tt)*) => { println!("hearth-stage1: {}", format_args!($($word)*)) };
}

/// Boots a slot; returns only where none boots, with the reason that was told last.
pub fn boot() -> io::Error {
    let begin = Instant::now();
    for (kind, place) in [
        (c"proc", c"/proc"),
        (c"sysfs", c"/sys"),
        (c"devtmpfs", c"/dev"),
    ] {
        match sys::mount(kind, place, kind, libc::MS_NOSUID) {
            // The kernel may have mounted /dev itself.
            Err(e) if e.raw_os_error() == Some(libc::EBUSY) => {}
            Err(e) => say!("{}: {e}", place.to_string_lossy()),
            Ok(()) => {}
        }
    }
    load_modules();
    wait_for_disk();
    let mut slots = Slots::from(preferred(
        &fs::read_to_string("/proc/cmdline").unwrap_or_default(),
    ));
    while let Some(slot) = slots.next() {
        let name = slot.partition();
        match mount_root(slot) {
            Ok(()) => {
                mount_data();
                say!("{name} after {} ms", begin.elapsed().as_millis());
                let reason = hand_over();
                say!("{name}: can not start {INIT}: {reason}");
            }
            Err(reason) => say!("{name}: {reason}"),
        }
        slots = slots.failed();
        if let Some(next) = slots.next() {
            say!("trying {} instead", next.partition());
        }
    }
    io::Error::other("no slot boots")
}

fn load_modules() {
    let mut text = String::new();
    let read = File::open("/etc/modules").and_then(|f| f.take(LIST_MAX).read_to_string(&mut text));
    if let Err(e) = read {
        say!("/etc/modules: {e}");
    }
    for path in text
        .lines()
        .map(str::trim)
        .filter(|l| !l.is_empty() && !l.starts_with('#'))
    {
        match File::open(path).and_then(|file| sys::load_module(&file)) {
            // Of several drivers for one purpose the machine may have the hardware of one only.
            Err(e) if matches!(e.raw_os_error(), Some(libc::EEXIST | libc::ENODEV)) => {}
            Err(e) => say!("module {path}: {e}"),
            Ok(()) => {}
        }
    }
}

/// The device of the partition with this name in the GPT.
fn partition(name: &str) -> Option<CString> {
    for entry in fs::read_dir("/sys/class/block").ok()?.flatten() {
        let text = fs::read_to_string(entry.path().join("uevent")).unwrap_or_default();
        if uevent(&text, "PARTNAME") == Some(name)
            && let Some(device) = uevent(&text, "DEVNAME")
        {
            return CString::new(format!("/dev/{device}")).ok();
        }
    }
    None
}

fn wait_for_disk() {
    let begin = Instant::now();
    let mut told = Duration::ZERO;
    while partition(Slot::A.partition()).is_none() && partition(Slot::B.partition()).is_none() {
        let waited = begin.elapsed();
        if waited >= Duration::from_millis(DISK_WAIT_MS) {
            say!(
                "no disk with slots after {} s; is it plugged in and flashed?",
                waited.as_secs()
            );
            return;
        }
        if waited >= told + Duration::from_millis(PROGRESS_MS) {
            told = waited;
            say!("waiting for the disk, {} s", waited.as_secs());
        }
        sleep(Duration::from_millis(DISK_LOOK_MS));
    }
}

/// Mounts a slot on /newroot and makes sure that it holds a system.
fn mount_root(slot: Slot) -> Result<(), String> {
    let device = partition(slot.partition()).ok_or("no such partition; flash the disk")?;
    let flags = libc::MS_RDONLY | libc::MS_NODEV;
    sys::mount(&device, c"/newroot", c"squashfs", flags).map_err(|e| {
        format!(
            "damaged or empty, {} can not be mounted: {e}",
            device.to_string_lossy()
        )
    })?;
    let init = format!("/newroot{INIT}");
    let runs = fs::read(&init)
        .map_err(|e| format!("{INIT} can not be read: {e}"))
        .and_then(|_| {
            let mode = fs::metadata(&init).map_or(0, |facts| facts.permissions().mode());
            if mode & 0o111 == 0 {
                Err(format!("{INIT} is no program"))
            } else {
                Ok(())
            }
        });
    if runs.is_err()
        && let Err(e) = sys::unmount(c"/newroot")
    {
        say!("/newroot: {e}");
    }
    runs
}

/// The household's data; without it the gateway runs, and forgets at the next boot.
fn mount_data() {
    let flags = libc::MS_NODEV | libc::MS_NOSUID;
    let mounted = match partition(DATA) {
        None => Err("no such partition".to_owned()),
        Some(device) => mount_ext4(&device, flags),
    };
    if let Err(reason) = mounted {
        say!("data: {reason}; going on without: nothing that is changed now survives a reboot");
        if let Err(e) = sys::mount(c"tmpfs", c"/newroot/data", c"tmpfs", flags) {
            say!("data: {e}");
        }
    }
}

/// With quotas, one for each service. A partition that an older image made has none: it is mounted all
/// the same, for the household's sake; the manager then refuses to start services and says what to do.
fn mount_ext4(device: &CStr, flags: libc::c_ulong) -> Result<(), String> {
    let place = c"/newroot/data";
    match sys::mount_with(device, place, c"ext4", flags, c"prjquota") {
        Err(e) if e.raw_os_error() == Some(libc::EINVAL) => {
            sys::mount(device, place, c"ext4", flags).map_err(|e| e.to_string())?;
            say!("data: mounted without quotas, which it lacks");
            Ok(())
        }
        other => other.map_err(|e| e.to_string()),
    }
}

/// switch_root: the kernel's file systems and the new root take their places. Returns why not.
fn hand_over() -> io::Error {
    for (from, to) in [
        (c"/proc", c"/newroot/proc"),
        (c"/sys", c"/newroot/sys"),
        (c"/dev", c"/newroot/dev"),
    ] {
        if let Err(e) = sys::move_mount(from, to) {
            say!("{}: {e}", from.to_string_lossy());
        }
    }
    free_initramfs();
    let moved = std::env::set_current_dir("/newroot")
        .and_then(|()| sys::move_mount(c".", c"/"))
        .and_then(|()| sys::change_root(c"."))
        .and_then(|()| std::env::set_current_dir("/"));
    match moved {
        Err(e) => e,
        Ok(()) => Command::new(INIT).env_clear().exec(),
    }
}

/// The initramfs lives in memory for ever: its modules go; what recovery needs stays.
fn free_initramfs() {
    if let Err(e) = fs::remove_dir_all("/lib/modules") {
        say!("/lib/modules: {e}");
    }
}

/// A shell on the console, so that a technician can look and flash. Returns why there is none.
pub fn recover() -> io::Error {
    let shell = "/bin/busybox";
    say!("no slot boots; this is the recovery shell: `reboot -f` tries again");
    if !Path::new(shell).exists() {
        return io::Error::other(format!("{shell} is missing from the initramfs"));
    }
    // One shell after the other: PID 1 must not end, or the kernel panics.
    loop {
        if let Err(e) = Command::new(shell).arg("sh").env("PATH", "/bin").status() {
            return e;
        }
        sleep(Duration::from_millis(SHELL_PAUSE_MS));
    }
}

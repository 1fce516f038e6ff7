//! The system calls that the standard library lacks, one function each.
#![allow(unsafe_code)]

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

fn check(result: libc::c_long) -> io::Result<()> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// mount(2) without options.
///
/// # Errors
/// As mount(2): EINVAL where the file system is damaged or is another one.
pub fn mount(source: &CStr, target: &CStr, kind: &CStr, flags: libc::c_ulong) -> io::Result<()> {
    mount_with(source, target, kind, flags, c"")
}

/// mount(2) with options of the file system's own.
///
/// # Errors
/// As mount(2): EINVAL where the file system is damaged, is another one or lacks an option.
pub fn mount_with(
    source: &CStr,
    target: &CStr,
    kind: &CStr,
    flags: libc::c_ulong,
    options: &CStr,
) -> io::Result<()> {
    // SAFETY: four live C strings.
    let result = unsafe {
        libc::mount(
            source.as_ptr(),
            target.as_ptr(),
            kind.as_ptr(),
            flags,
            options.as_ptr().cast(),
        )
    };
    check(libc::c_long::from(result))
}

/// Moves a mount to another folder (mount(2), `MS_MOVE`).
///
/// # Errors
/// As mount(2).
pub fn move_mount(source: &CStr, target: &CStr) -> io::Result<()> {
    mount(source, target, c"none", libc::MS_MOVE)
}

/// umount2(2) with `MNT_DETACH`.
///
/// # Errors
/// EINVAL where nothing is mounted there.
pub fn unmount(target: &CStr) -> io::Result<()> {
    // SAFETY: a live C string.
    check(libc::c_long::from(unsafe {
        libc::umount2(target.as_ptr(), libc::MNT_DETACH)
    }))
}

/// Loads a module (finit_module(2)).
///
/// # Errors
/// EEXIST where it is loaded; ENODEV where the machine lacks what it drives.
pub fn load_module(file: &File) -> io::Result<()> {
    // SAFETY: an open descriptor and an empty, live C string.
    check(unsafe { libc::syscall(libc::SYS_finit_module, file.as_raw_fd(), c"".as_ptr(), 0) })
}

/// chroot(2)
///
/// # Errors
/// As chroot(2).
pub fn change_root(path: &CStr) -> io::Result<()> {
    // SAFETY: a live C string.
    check(libc::c_long::from(unsafe { libc::chroot(path.as_ptr()) }))
}

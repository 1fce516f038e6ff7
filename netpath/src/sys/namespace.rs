//! Network namespaces and the mounts that pin them.

use super::{c_string, check, owned};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

/// `FSCONFIG_CMD_CREATE` and `FSMOUNT_CLOEXEC` of linux/mount.h.
const FSCONFIG_CMD_CREATE: libc::c_uint = 6;
const FSMOUNT_CLOEXEC: libc::c_uint = 1;

/// Moves the (single) thread into a new, empty network namespace (unshare(2)).
///
/// # Errors
/// EPERM without `CAP_SYS_ADMIN`; ENOSPC over the namespace limit.
pub fn new_network() -> io::Result<()> {
    // SAFETY: unshare(2) takes no pointer.
    check(unsafe { libc::unshare(libc::CLONE_NEWNET) }).map(drop)
}

/// Moves the (single) thread into a network namespace (setns(2)).
///
/// # Errors
/// EINVAL where the descriptor is no network namespace.
pub fn enter(namespace: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: setns(2) takes no pointer.
    check(unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) }).map(drop)
}

/// Binds a file on another (mount(2), `MS_BIND`).
///
/// # Errors
/// As mount(2).
pub fn bind_mount(source: &str, target: &str) -> io::Result<()> {
    let (source, target) = (c_string(source)?, c_string(target)?);
    // SAFETY: both paths are live C strings; a bind takes neither type nor data.
    check(unsafe {
        libc::mount(
            source.as_ptr(),
            target.as_ptr(),
            std::ptr::null(),
            libc::MS_BIND,
            std::ptr::null(),
        )
    })
    .map(drop)
}

/// Detaches the mount at a path (umount2(2), `MNT_DETACH`).
///
/// # Errors
/// EINVAL where nothing is mounted there.
pub fn unmount(target: &str) -> io::Result<()> {
    let target = c_string(target)?;
    // SAFETY: the path is a live C string.
    check(unsafe { libc::umount2(target.as_ptr(), libc::MNT_DETACH) }).map(drop)
}

/// A file system of devices (sysfs(5)) that shows those of the caller's network namespace. It is in no
/// place: only the descriptor leads to it, and with that it goes (fsopen(2), fsmount(2)).
///
/// # Errors
/// ENOSYS on kernels before 5.2; EPERM without `CAP_SYS_ADMIN`.
pub fn mount_devices() -> io::Result<OwnedFd> {
    let none = std::ptr::null::<libc::c_char>();
    let descriptor = |n: libc::c_long| libc::c_int::try_from(n).unwrap_or(-1);
    // SAFETY: the name is a live C string.
    let opened = unsafe { libc::syscall(libc::SYS_fsopen, c"sysfs".as_ptr(), 1) };
    let context = owned(descriptor(opened))?;
    let raw = context.as_raw_fd();
    // SAFETY: this command takes neither key nor value.
    let made =
        unsafe { libc::syscall(libc::SYS_fsconfig, raw, FSCONFIG_CMD_CREATE, none, none, 0) };
    check(descriptor(made))?;
    // SAFETY: fsmount(2) takes no pointer.
    let mounted = unsafe { libc::syscall(libc::SYS_fsmount, raw, FSMOUNT_CLOEXEC, 0) };
    owned(descriptor(mounted))
}

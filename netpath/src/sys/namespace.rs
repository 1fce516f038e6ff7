//! Network namespaces and the mounts that pin them.

use super::{c_string, check};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

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

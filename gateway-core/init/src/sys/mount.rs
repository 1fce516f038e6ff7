//! mount(2), umount2(2), and whether something is mounted on a folder (statx(2)).

use super::{Errno, check_int};
use core::ffi::CStr;
use core::mem;
use core::ptr;

/// No set-user-id programs, no device nodes, no programs at all: for kernel file systems.
pub const KERNEL_FS: libc::c_ulong = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
/// No set-user-id programs, no device nodes.
pub const DATA_FS: libc::c_ulong = libc::MS_NOSUID | libc::MS_NODEV;
/// No set-user-id programs.
pub const DEVICE_FS: libc::c_ulong = libc::MS_NOSUID;

/// Mounts a new file system of `kind` on `target`.
///
/// # Errors
/// As mount(2).
pub fn mount(
    kind: &CStr,
    target: &CStr,
    flags: libc::c_ulong,
    options: &CStr,
) -> Result<(), Errno> {
    // SAFETY: all four pointers are NUL-terminated strings that live through the call.
    check_int(unsafe {
        libc::mount(
            kind.as_ptr(),
            target.as_ptr(),
            kind.as_ptr(),
            flags,
            options.as_ptr().cast(),
        )
    })
    .map(|_| ())
}

/// Makes what is mounted on `target` read-only.
///
/// # Errors
/// As mount(2): EBUSY while a file there is open for writing.
pub fn remount_read_only(target: &CStr) -> Result<(), Errno> {
    // SAFETY: `target` is a NUL-terminated string; a remount takes null for the others.
    check_int(unsafe {
        libc::mount(
            ptr::null(),
            target.as_ptr(),
            ptr::null(),
            libc::MS_REMOUNT | libc::MS_RDONLY,
            ptr::null(),
        )
    })
    .map(|_| ())
}

/// Unmounts `target`; EBUSY while something there is in use.
///
/// # Errors
/// As umount2(2).
pub fn unmount(target: &CStr) -> Result<(), Errno> {
    // SAFETY: `target` is a NUL-terminated string that lives through the call.
    check_int(unsafe { libc::umount2(target.as_ptr(), 0) }).map(|_| ())
}

/// Takes `target` and all that is mounted below out of the tree now, in use or not.
///
/// # Errors
/// As umount2(2).
pub fn detach(target: &CStr) -> Result<(), Errno> {
    // SAFETY: `target` is a NUL-terminated string that lives through the call.
    check_int(unsafe { libc::umount2(target.as_ptr(), libc::MNT_DETACH) }).map(|_| ())
}

/// Whether a file system is mounted on exactly this folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MountPoint {
    /// One is.
    Mounted,
    /// It is an ordinary folder.
    Free,
}

/// statx(2), `STATX_ATTR_MOUNT_ROOT` (Linux 5.8).
///
/// # Errors
/// As statx(2).
pub fn mount_point(target: &CStr) -> Result<MountPoint, Errno> {
    // SAFETY: `statx` is plain integers, for which all zeroes is a value.
    let mut facts: libc::statx = unsafe { mem::zeroed() };
    // SAFETY: `target` is NUL-terminated; `facts` is a live local that the kernel fills.
    check_int(unsafe { libc::statx(libc::AT_FDCWD, target.as_ptr(), 0, 0, &mut facts) })?;
    if facts.stx_attributes & libc::STATX_ATTR_MOUNT_ROOT as u64 == 0 {
        Ok(MountPoint::Free)
    } else {
        Ok(MountPoint::Mounted)
    }
}

//! mount(2), umount2(2), whether something is mounted on a folder (statx(2)), and a program's file on a
//! mount of its own (open_tree(2)).

use super::{Errno, check, check_int};
use core::ffi::CStr;
use core::mem;
use core::ptr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

const OPEN_TREE_CLONE: libc::c_uint = 1; // linux/mount.h
/// `MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV`, linux/mount.h.
const SEALED: u64 = 1 | 2 | 4;

/// `struct mount_attr`, linux/mount.h.
#[repr(C)]
struct MountAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    user_namespace: u64,
}
const _: () = assert!(mem::size_of::<MountAttr>() == 32); // MOUNT_ATTR_SIZE_VER0

/// A program's file on a read-only mount of its own, which only this descriptor holds: whoever gets at it
/// as `/proc/PID/exe` can not open it for writing, whoever owns it. Only system calls; takes the power over
/// the mount namespace (CAP_SYS_ADMIN).
///
/// # Errors
/// As open_tree(2) and mount_setattr(2).
pub fn sealed(program: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OPEN_TREE_CLONE | libc::O_CLOEXEC as libc::c_uint;
    // SAFETY: `program` is a NUL-terminated string that lives through the call.
    let made =
        unsafe { libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, program.as_ptr(), flags) };
    let fd = check(made)? as RawFd;
    // SAFETY: the call above has just made it; nobody else owns it.
    let copy = unsafe { OwnedFd::from_raw_fd(fd) };
    let attr = MountAttr {
        set: SEALED,
        clear: 0,
        propagation: 0,
        user_namespace: 0,
    };
    // SAFETY: the empty path is NUL-terminated; `attr` is a live local of the size that is passed.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            copy.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            &raw const attr,
            mem::size_of::<MountAttr>(),
        )
    })?;
    Ok(copy)
}

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

//! What a process may do, and giving it up: ids, capabilities, no_new_privs, keyring, limits.

use super::{Errno, check, check_int};
use std::mem;
use std::ptr;

/// `struct __user_cap_header_struct`, linux/capability.h.
#[repr(C)]
struct CapHeader {
    version: u32,
    pid: i32,
}
/// `struct __user_cap_data_struct`, linux/capability.h.
#[repr(C)]
#[derive(Clone, Copy)]
struct CapData {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}
const _: () = assert!(mem::size_of::<CapHeader>() == 8);
const _: () = assert!(mem::size_of::<CapData>() == 12);

const CAP_VERSION_3: u32 = 0x2008_0522; // _LINUX_CAPABILITY_VERSION_3: two words of each set
/// No kernel can have more capabilities than bits in its sets.
const CAPS_MAX: libc::c_ulong = 64;
const KEYCTL_JOIN_SESSION_KEYRING: libc::c_ulong = 1; // linux/keyctl.h

/// Drops every capability from the bounding set; needs CAP_SETPCAP.
///
/// # Errors
/// As PR_CAPBSET_DROP.
pub fn drop_bounding_set() -> Result<(), Errno> {
    for capability in 0..CAPS_MAX {
        // SAFETY: takes no pointer.
        match check_int(unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) }) {
            Ok(_) => {}
            // The first number that this kernel has no capability for.
            Err(Errno(libc::EINVAL)) if capability > 0 => return Ok(()),
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Empties the ambient, effective, permitted and inheritable sets.
///
/// # Errors
/// As PR_CAP_AMBIENT and capset(2).
pub fn drop_capabilities() -> Result<(), Errno> {
    let clear = libc::PR_CAP_AMBIENT_CLEAR_ALL as libc::c_ulong;
    // SAFETY: takes no pointer.
    check_int(unsafe { libc::prctl(libc::PR_CAP_AMBIENT, clear, 0, 0, 0) })?;
    let header = CapHeader {
        version: CAP_VERSION_3,
        pid: 0,
    };
    let none = [CapData {
        effective: 0,
        permitted: 0,
        inheritable: 0,
    }; 2];
    // SAFETY: both are live locals; version 3 reads a header and two data structures.
    check(unsafe { libc::syscall(libc::SYS_capset, &raw const header, none.as_ptr()) }).map(|_| ())
}

/// Gives up all groups and becomes this user and group, with no way back.
///
/// # Errors
/// As setgroups(2), setresgid(2), setresuid(2).
pub fn become_user(uid: u32, gid: u32) -> Result<(), Errno> {
    // SAFETY: a list of no groups is not read.
    check_int(unsafe { libc::setgroups(0, ptr::null()) })?;
    // SAFETY: takes no pointer.
    check_int(unsafe { libc::setresgid(gid, gid, gid) })?;
    // SAFETY: takes no pointer.
    check_int(unsafe { libc::setresuid(uid, uid, uid) }).map(|_| ())
}

/// PR_SET_NO_NEW_PRIVS: no exec gains anything any more.
///
/// # Errors
/// As prctl(2).
pub fn set_no_new_privileges() -> Result<(), Errno> {
    // SAFETY: takes no pointer.
    check_int(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }).map(|_| ())
}

/// Joins a new, empty session keyring (keyctl(2)).
///
/// # Errors
/// ENOSYS where the kernel has no keys.
pub fn new_session_keyring() -> Result<(), Errno> {
    let anonymous = ptr::null::<libc::c_char>();
    // SAFETY: a null name asks for an anonymous keyring.
    check(unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, anonymous) })
        .map(|_| ())
}

/// A limit that setrlimit(2) sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// `RLIMIT_NOFILE`: open descriptors.
    OpenFiles,
    /// `RLIMIT_CORE`: size of a core file, bytes.
    CoreSize,
}

/// Sets a limit, soft and hard.
///
/// # Errors
/// EPERM where it is above the hard limit.
pub fn set_limit(limit: Limit, value: u32) -> Result<(), Errno> {
    let both = libc::rlimit {
        rlim_cur: libc::rlim_t::from(value),
        rlim_max: libc::rlim_t::from(value),
    };
    let resource = match limit {
        Limit::OpenFiles => libc::RLIMIT_NOFILE,
        Limit::CoreSize => libc::RLIMIT_CORE,
    };
    // SAFETY: `both` is a live local of the type the call reads.
    check_int(unsafe { libc::setrlimit(resource, &both) }).map(|_| ())
}

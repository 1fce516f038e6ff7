//! What a process may do, and giving it up: ids, capabilities, no_new_privs, keyring, limits.

use super::{Errno, check, check_int, owned};
use std::fmt;
use std::mem;
use std::os::fd::AsRawFd;
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
const CAP_SETPCAP: u8 = 8; // linux/capability.h
/// `SECURE_ALL_BITS | SECURE_ALL_LOCKS` but for KEEP_CAPS itself, linux/securebits.h: user 0 gets no
/// capability by exec, a change of user neither gives nor takes one, ambient ones can not be raised; each
/// locked, and KEEP_CAPS locked off.
const SECURE_BITS: libc::c_ulong = 0b1110_1111;
const NS_GET_USERNS: u32 = 0xb701; // linux/nsfs.h
const KEYCTL_JOIN_SESSION_KEYRING: libc::c_ulong = 1; // linux/keyctl.h

/// A set of capabilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities(u64);

impl Capabilities {
    /// The empty set.
    pub const NONE: Capabilities = Capabilities(0);

    /// This set and the capability with this number (linux/capability.h), which is below 64.
    #[must_use]
    pub const fn with(self, number: u8) -> Capabilities {
        match 1_u64.checked_shl(number as u32) {
            Some(bit) => Capabilities(self.0 | bit),
            None => self,
        }
    }

    fn has(self, number: libc::c_ulong) -> bool {
        self.0 >> number & 1 == 1
    }
}

/// What is kept, behind the name of a set: nothing for the empty set.
impl fmt::Display for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Capabilities::NONE {
            return Ok(());
        }
        f.write_str(", but for number")?;
        (0..CAPS_MAX)
            .filter(|&number| self.has(number))
            .try_for_each(|number| write!(f, " {number}"))
    }
}

/// Who owns a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The own user namespace, or one below it.
    Own,
    /// One above or beside it.
    Another,
}

/// Who owns the network namespace of this process (ioctl_ns(2), `NS_GET_USERNS`).
///
/// # Errors
/// As open(2) and ioctl_ns(2).
pub fn network_owner() -> Result<Owner, Errno> {
    let namespace = std::fs::File::open("/proc/self/ns/net")?;
    // SAFETY: takes no argument; on success it returns a new descriptor.
    let made = unsafe { libc::ioctl(namespace.as_raw_fd(), NS_GET_USERNS as _) };
    match owned(libc::c_long::from(made)) {
        Ok(_) => Ok(Owner::Own),
        // "The requested namespace is outside of the caller's namespace scope."
        Err(Errno(libc::EPERM)) => Ok(Owner::Another),
        Err(errno) => Err(errno),
    }
}

/// Drops every capability but `kept` from the bounding set; needs CAP_SETPCAP.
///
/// # Errors
/// As PR_CAPBSET_DROP.
pub fn drop_bounding_set(kept: Capabilities) -> Result<(), Errno> {
    for capability in (0..CAPS_MAX).filter(|&number| !kept.has(number)) {
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

/// Empties the ambient, effective, permitted and inheritable sets but for `kept`, which an exec then
/// keeps, too; and locks the secure bits: from here on being user 0 means nothing, and none of this can
/// be undone (capabilities(7)).
///
/// # Errors
/// As PR_CAP_AMBIENT, PR_SET_SECUREBITS and capset(2).
pub fn drop_capabilities(kept: Capabilities) -> Result<(), Errno> {
    ambient(libc::PR_CAP_AMBIENT_CLEAR_ALL, 0)?;
    // The secure bits take CAP_SETPCAP, the last one to go.
    set_capabilities(kept.with(CAP_SETPCAP), kept)?;
    raise_ambient(kept)?;
    // SAFETY: takes no pointer.
    check_int(unsafe { libc::prctl(libc::PR_SET_SECUREBITS, SECURE_BITS, 0, 0, 0) })?;
    set_capabilities(kept, kept)
}

/// Keeps `kept` over the next exec of a user who is not 0 (capabilities(7), ambient set), and gives the rest
/// up. Calls nothing but system calls.
///
/// # Errors
/// EPERM where one of them is not held.
pub fn keep_over_exec(kept: Capabilities) -> Result<(), Errno> {
    set_capabilities(kept, kept)?;
    raise_ambient(kept)
}

fn raise_ambient(kept: Capabilities) -> Result<(), Errno> {
    (0..CAPS_MAX)
        .filter(|&number| kept.has(number))
        .try_for_each(|number| ambient(libc::PR_CAP_AMBIENT_RAISE, number))
}

/// capset(2): the effective and permitted sets, and the inheritable one.
fn set_capabilities(held: Capabilities, inheritable: Capabilities) -> Result<(), Errno> {
    let header = CapHeader {
        version: CAP_VERSION_3,
        pid: 0,
    };
    let half = |shift: u32| CapData {
        effective: (held.0 >> shift) as u32,
        permitted: (held.0 >> shift) as u32,
        inheritable: (inheritable.0 >> shift) as u32,
    };
    let halves = [half(0), half(32)];
    // SAFETY: both are live locals; version 3 reads a header and two data structures.
    check(unsafe { libc::syscall(libc::SYS_capset, &raw const header, halves.as_ptr()) })
        .map(|_| ())
}

fn ambient(what: libc::c_int, capability: libc::c_ulong) -> Result<(), Errno> {
    let what = what as libc::c_ulong;
    // SAFETY: takes no pointer.
    check_int(unsafe { libc::prctl(libc::PR_CAP_AMBIENT, what, capability, 0, 0) }).map(|_| ())
}

/// What becomes of the supplementary groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Groups {
    /// None is left.
    None,
    /// They stay: a user namespace that a user made forbids setgroups(2) (user_namespaces(7)).
    Kept,
}

/// Becomes this user and group. The permitted capabilities stay (PR_SET_KEEPCAPS)
/// for [`drop_capabilities`], which must follow.
///
/// # Errors
/// As prctl(2), setgroups(2), setresgid(2), setresuid(2).
pub fn become_user(uid: u32, gid: u32, groups: Groups) -> Result<(), Errno> {
    // SAFETY: takes no pointer.
    check_int(unsafe { libc::prctl(libc::PR_SET_KEEPCAPS, 1, 0, 0, 0) })?;
    if groups == Groups::None {
        // SAFETY: a list of no groups is not read.
        check_int(unsafe { libc::setgroups(0, ptr::null()) })?;
    }
    // SAFETY: takes no pointer.
    check_int(unsafe { libc::setresgid(gid, gid, gid) })?;
    // SAFETY: takes no pointer.
    check_int(unsafe { libc::setresuid(uid, uid, uid) }).map(|_| ())
}

/// Becomes user and group 0 of the own user namespace: whose capabilities there it holds already.
///
/// # Errors
/// As setresuid(2).
pub fn become_namespace_root() -> Result<(), Errno> {
    // SAFETY: takes no pointer.
    check_int(unsafe { libc::setresgid(0, 0, 0) })?;
    // SAFETY: takes no pointer.
    check_int(unsafe { libc::setresuid(0, 0, 0) }).map(|_| ())
}

/// Nobody but the machine's root may look into this process, not even its own user (PR_SET_DUMPABLE).
///
/// # Errors
/// As prctl(2).
pub fn hide_memory() -> Result<(), Errno> {
    // SAFETY: takes no pointer.
    check_int(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) }).map(|_| ())
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
    /// `RLIMIT_SIGPENDING`: signals that wait, and timers.
    PendingSignals,
    /// `RLIMIT_MSGQUEUE`: message queues, bytes.
    MessageQueues,
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
        Limit::PendingSignals => libc::RLIMIT_SIGPENDING,
        Limit::MessageQueues => libc::RLIMIT_MSGQUEUE,
    };
    // SAFETY: `both` is a live local of the type the call reads.
    check_int(unsafe { libc::setrlimit(resource, &both) }).map(|_| ())
}

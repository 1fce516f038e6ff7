//! Landlock (landlock(7)): rules a process puts on itself, which no exec and no child can take off.
//! Three system calls; which rights are asked for is [`crate::steps::landlock`]'s business.

use super::{Errno, check, owned};
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;

// linux/landlock.h; the numbers of the calls are the same in all word sizes (syscalls(2)).
const SYS_CREATE_RULESET: libc::c_long = 444;
const SYS_ADD_RULE: libc::c_long = 445;
const SYS_RESTRICT_SELF: libc::c_long = 446;
const CREATE_RULESET_VERSION: libc::c_uint = 1;
const RULE_PATH_BENEATH: libc::c_uint = 1;
const RULE_NET_PORT: libc::c_uint = 2;

/// `struct landlock_ruleset_attr`, linux/landlock.h, as level 6 has it.
#[repr(C)]
struct RulesetAttr {
    handled_access_fs: u64,
    handled_access_net: u64,
    scoped: u64,
}
const _: () = assert!(mem::size_of::<RulesetAttr>() == 24);

/// `struct landlock_path_beneath_attr`: packed in the header, too.
#[repr(C, packed)]
struct PathBeneathAttr {
    allowed_access: u64,
    parent_fd: i32,
}
const _: () = assert!(mem::size_of::<PathBeneathAttr>() == 12);

/// `struct landlock_net_port_attr`, linux/landlock.h.
#[repr(C)]
struct NetPortAttr {
    allowed_access: u64,
    port: u64,
}
const _: () = assert!(mem::size_of::<NetPortAttr>() == 16);

/// The level of this kernel, 1 and up.
///
/// # Errors
/// ENOSYS where it was built without Landlock, EOPNOTSUPP where it is switched off at boot.
pub fn level() -> Result<u32, Errno> {
    let nothing = ptr::null::<RulesetAttr>();
    // SAFETY: with this flag the kernel reads no structure: null and 0 are what it asks for.
    check(unsafe { libc::syscall(SYS_CREATE_RULESET, nothing, 0_usize, CREATE_RULESET_VERSION) })
        .map(|level| level as u32)
}

/// What a rule set is about: each right in it is refused unless a rule grants it. Empty where a level
/// does not know a kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Handled {
    /// Files: `LANDLOCK_ACCESS_FS_*`.
    pub files: u64,
    /// TCP ports: `LANDLOCK_ACCESS_NET_*`.
    pub ports: u64,
    /// What does not reach out of the sandbox: `LANDLOCK_SCOPE_*`.
    pub scoped: u64,
}

/// Rules that do not hold yet.
#[derive(Debug)]
pub struct Ruleset(OwnedFd);

impl Ruleset {
    /// landlock_create_ruleset(2).
    ///
    /// # Errors
    /// EINVAL for a right that this kernel's level does not know.
    pub fn new(handled: Handled) -> Result<Ruleset, Errno> {
        let attr = RulesetAttr {
            handled_access_fs: handled.files,
            handled_access_net: handled.ports,
            scoped: handled.scoped,
        };
        let size = mem::size_of::<RulesetAttr>();
        // SAFETY: `attr` is a live local of the size that is passed; an older kernel takes it as long as
        // what it does not know is zero.
        let made = unsafe { libc::syscall(SYS_CREATE_RULESET, &raw const attr, size, 0) };
        owned(made).map(Ruleset)
    }

    /// Grants `rights` on `place` and all below it.
    ///
    /// # Errors
    /// As landlock_add_rule(2): EINVAL where a right is not handled, or is a folder's and `place` is none.
    pub fn allow_path(&self, place: BorrowedFd<'_>, rights: u64) -> Result<(), Errno> {
        let attr = PathBeneathAttr {
            allowed_access: rights,
            parent_fd: place.as_raw_fd(),
        };
        let set = self.0.as_raw_fd();
        // SAFETY: `attr` is a live local with the layout of this kind of rule.
        check(unsafe { libc::syscall(SYS_ADD_RULE, set, RULE_PATH_BENEATH, &raw const attr, 0) })
            .map(|_| ())
    }

    /// Grants `rights` on a TCP port.
    ///
    /// # Errors
    /// As landlock_add_rule(2).
    pub fn allow_port(&self, port: u16, rights: u64) -> Result<(), Errno> {
        let attr = NetPortAttr {
            allowed_access: rights,
            port: u64::from(port),
        };
        let set = self.0.as_raw_fd();
        // SAFETY: `attr` is a live local with the layout of this kind of rule.
        check(unsafe { libc::syscall(SYS_ADD_RULE, set, RULE_NET_PORT, &raw const attr, 0) })
            .map(|_| ())
    }

    /// From here on the rules hold for this thread and all it starts; needs no_new_privs.
    ///
    /// # Errors
    /// EPERM without no_new_privs, E2BIG where sixteen rule sets hold already.
    pub fn restrict_self(&self) -> Result<(), Errno> {
        let set = self.0.as_raw_fd();
        // SAFETY: takes no pointer.
        check(unsafe { libc::syscall(SYS_RESTRICT_SELF, set, 0) }).map(|_| ())
    }
}

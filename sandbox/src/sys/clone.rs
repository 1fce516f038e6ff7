//! clone3(2) into new namespaces and what the child does until it is the launcher. The parent prepares
//! every string and descriptor; the child calls nothing that allocates or locks.
//!
//! The launcher is executed from a read-only mount of its own file. Whoever gets hold of `/proc/PID/exe`
//! of a launcher, or makes one run inside by `#!/proc/self/exe`, holds a file on that mount: it can not be
//! opened for writing, whoever owns it (CVE-2019-5736).

use super::privilege::{self, Capabilities};
use super::{Errno, check, mount, owned};
use hearth_model::limits::{LAUNCHER_PLAN_FD, LAUNCHER_STATUS_FD};
use hearth_model::step::{Step, StepFailure};
use std::ffi::CStr;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::ptr;

const CLONE_PIDFD: u64 = 0x1000; // linux/sched.h
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000; // linux/sched.h, Linux 5.7

/// All namespaces of a service but the network's (namespaces(7)).
const NAMESPACES: libc::c_int = libc::CLONE_NEWUSER
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWCGROUP;

/// linux/sched.h. clone3(2) alone takes it, and puts the child itself in the new namespace; by unshare(2)
/// only children get there, and a process that execs would stay outside (time_namespaces(7)).
const NEW_TIME: u64 = 0x80;
/// Where there is no such file the kernel has no time namespaces.
const TIME_NAMESPACE: &str = "/proc/self/ns/time";

/// First number that is free for copies: above all that the launcher is given.
const SPARE_FD_MIN: RawFd = 16;

/// `struct clone_args`, linux/sched.h, version 2 (with `cgroup`).
#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}
const _: () = assert!(mem::size_of::<CloneArgs>() == 88); // CLONE_ARGS_SIZE_VER2

/// Which network namespace the child is born in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// An empty one of its own.
    Empty,
    /// That of the thread that clones.
    Inherited,
}

/// Who the child becomes before it is the launcher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Become {
    /// User 0 of its namespace, which has a range of ids.
    Root,
    /// It stays the only user that its namespace maps, and keeps [`LAUNCHER_NEEDS`] over the exec.
    Caller,
}

/// What the launcher needs: CAP_SETPCAP, CAP_NET_ADMIN, CAP_SYS_ADMIN, CAP_SYS_RESOURCE (linux/capability.h).
const LAUNCHER_NEEDS: Capabilities = Capabilities::NONE.with(8).with(12).with(21).with(24);

/// What the child is given.
#[derive(Clone, Copy, Debug)]
pub struct Given<'a> {
    /// Absolute path of the launcher's program.
    pub launcher: &'a CStr,
    /// Standard input, output, error.
    pub standard: [BorrowedFd<'a>; 3],
    /// The plan.
    pub plan: BorrowedFd<'a>,
    /// Takes a failed step.
    pub status: BorrowedFd<'a>,
    /// Gives one byte when the id maps are written.
    pub release: BorrowedFd<'a>,
    /// Its network.
    pub network: Network,
    /// Its user.
    pub user: Become,
}

/// Whether the kernel has time namespaces (Linux 5.6, a choice of its configuration). Its clocks start with
/// the machine's values, so times in logs stay comparable.
#[must_use]
pub fn has_time_namespaces() -> bool {
    std::fs::exists(TIME_NAMESPACE).unwrap_or(false)
}

/// Clones this process into new namespaces, and into `cgroup` if there is one; the child becomes
/// `launcher exec-plan`. Returns its number and its pidfd.
///
/// # Errors
/// As clone3(2).
pub fn spawn(given: &Given<'_>, cgroup: Option<BorrowedFd<'_>>) -> Result<(u32, OwnedFd), Errno> {
    let mut pidfd: RawFd = -1;
    let mut arguments = CloneArgs {
        flags: NAMESPACES as u32 as u64 | CLONE_PIDFD,
        pidfd: (&raw mut pidfd) as usize as u64,
        exit_signal: libc::SIGCHLD as u64,
        ..CloneArgs::default()
    };
    if has_time_namespaces() {
        arguments.flags |= NEW_TIME;
    }
    if given.network == Network::Empty {
        arguments.flags |= libc::CLONE_NEWNET as u64;
    }
    if let Some(cgroup) = cgroup {
        arguments.flags |= CLONE_INTO_CGROUP;
        arguments.cgroup = cgroup.as_raw_fd() as u64;
    }
    let size = mem::size_of::<CloneArgs>();
    // SAFETY: `arguments` and `pidfd` live through the call and have the kernel's layout. Without CLONE_VM
    // this is fork(2): the child has its own copy of memory, and only makes system calls with it.
    let pid = check(unsafe { libc::syscall(libc::SYS_clone3, &raw mut arguments, size) })?;
    if pid == 0 {
        child(given);
    }
    Ok((pid as u32, owned(libc::c_long::from(pidfd))?))
}

fn child(given: &Given<'_>) -> ! {
    let (step, Errno(errno)) = until_exec(given);
    let failure = StepFailure {
        step,
        index: 0,
        errno,
    };
    let bytes = failure.to_bytes();
    let status = given.status.as_raw_fd();
    // SAFETY: the kernel reads the eight bytes of a live local. Where that fails nobody is left to tell:
    // the exit status says that the start failed.
    let _ = unsafe { libc::write(status, bytes.as_ptr().cast(), bytes.len()) };
    // SAFETY: ends this process; nothing of the parent's is run (no atexit, no destructor).
    unsafe { libc::_exit(127) }
}

/// Returns only what failed.
fn until_exec(given: &Given<'_>) -> (Step, Errno) {
    let prepared = wait_for_release(given.release)
        .map_err(|errno| (Step::MapIds, errno))
        .and_then(|()| get_power(given.user).map_err(|errno| (Step::BecomeRoot, errno)))
        .and_then(|()| place_descriptors(given).map_err(|errno| (Step::PassDescriptors, errno)))
        .and_then(|()| sealed(given.launcher).map_err(|errno| (Step::ExecLauncher, errno)));
    let launcher = match prepared {
        Ok(launcher) => launcher,
        Err(failure) => return failure,
    };
    let arguments = [
        c"hearth-sandbox".as_ptr(),
        c"exec-plan".as_ptr(),
        ptr::null(),
    ];
    let environment = [ptr::null::<libc::c_char>()];
    // SAFETY: an empty NUL-terminated path with AT_EMPTY_PATH means the descriptor; both lists end with
    // null and point to constants.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            launcher.as_raw_fd(),
            c"".as_ptr(),
            arguments.as_ptr(),
            environment.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    };
    (Step::ExecLauncher, Errno::last())
}

fn wait_for_release(release: BorrowedFd<'_>) -> Result<(), Errno> {
    let mut byte = 0_u8;
    // SAFETY: the kernel writes at most one byte into a live local.
    let count = unsafe { libc::read(release.as_raw_fd(), (&raw mut byte).cast(), 1) };
    match check(count as libc::c_long)? {
        1 => Ok(()),
        // The parent closed its end without the byte: it gave this start up.
        _ => Err(Errno(libc::ECANCELED)),
    }
}

#[cfg(target_pointer_width = "32")]
const SET_IDS: [libc::c_long; 2] = [libc::SYS_setresgid32, libc::SYS_setresuid32];
#[cfg(target_pointer_width = "64")]
const SET_IDS: [libc::c_long; 2] = [libc::SYS_setresgid, libc::SYS_setresuid];

fn get_power(user: Become) -> Result<(), Errno> {
    match user {
        Become::Root => become_root(),
        Become::Caller => privilege::keep_over_exec(LAUNCHER_NEEDS),
    }
}

/// The launcher's file on a read-only mount of its own, which only this descriptor holds.
fn sealed(launcher: &CStr) -> Result<OwnedFd, Errno> {
    let copy = mount::clone_tree(launcher)?;
    let attributes = mount::READ_ONLY | mount::NO_SUID | mount::NO_DEV;
    mount::add_attributes(copy.as_fd(), attributes, mount::Reach::Mount)?;
    Ok(copy)
}

/// By system call, not by libc, whose wrapper wants to tell other threads.
fn become_root() -> Result<(), Errno> {
    for number in SET_IDS {
        // SAFETY: takes no pointer.
        check(unsafe { libc::syscall(number, 0, 0, 0) })?;
    }
    Ok(())
}

/// In two passes, so that no placed descriptor overwrites one that is still to be placed.
fn place_descriptors(given: &Given<'_>) -> Result<(), Errno> {
    let [input, output, error] = given.standard;
    let sources = [input, output, error, given.plan, given.status];
    let targets = [0, 1, 2, LAUNCHER_PLAN_FD, LAUNCHER_STATUS_FD];
    let mut copies = [-1; 5];
    for (copy, source) in copies.iter_mut().zip(sources) {
        *copy = move_up(source)?;
    }
    for (copy, target) in copies.into_iter().zip(targets) {
        // SAFETY: takes no pointer. The new number has no close-on-exec flag (dup(2)).
        check(libc::c_long::from(unsafe { libc::dup2(copy, target) }))?;
    }
    Ok(())
}

fn move_up(fd: BorrowedFd<'_>) -> Result<RawFd, Errno> {
    // SAFETY: F_DUPFD_CLOEXEC takes an int, no pointer.
    let copy = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, SPARE_FD_MIN) };
    check(libc::c_long::from(copy)).map(|copy| copy as RawFd)
}

//! What runs between clone and exec. The parent prepares every string and descriptor; the child
//! walks a fixed list, calls nothing that allocates or locks, and reports the step that failed as
//! eight bytes through its status pipe.

use super::mount;
use crate::limits::{CHILD_OPEN_FILES, OPEN_FILES, SPARE_FD_MIN};
use core::ffi::{CStr, c_char, c_long};
use core::ptr;
use hearth_model::step::{Step, StepFailure};
use std::os::fd::{AsRawFd, BorrowedFd, IntoRawFd, RawFd};

/// Most arguments and most variables of a child: those of the system units are the longest.
const STRINGS_MAX: usize = 8;
/// Most descriptors a child is given: a probe's launcher: 0 to 5.
const FDS_MAX: usize = 6;

/// Which user the child becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity {
    /// Stays root.
    Keep,
    /// Stays root until it enters a service's sandbox: what it executes must be read-only, too.
    Guest,
    /// User and group 0 of its new user namespace.
    NamespaceRoot,
}

/// All that a child needs.
#[derive(Clone, Copy)]
pub struct ChildPlan<'a> {
    /// Absolute path of its program.
    pub program: &'a CStr,
    /// Its arguments, the first is its name.
    pub arguments: &'a [&'a CStr],
    /// Its whole environment.
    pub environment: &'a [&'a CStr],
    /// Descriptors: ours, and the number it gets in the child.
    pub descriptors: &'a [(BorrowedFd<'a>, RawFd)],
    /// Terminal that becomes its controlling one and its descriptors 0, 1 and 2.
    pub terminal: Option<&'a CStr>,
    /// Folder it starts in.
    pub folder: &'a CStr,
    /// Which user it becomes.
    pub identity: Identity,
    /// The pipe end on which it waits for one byte before it does anything.
    pub release: BorrowedFd<'a>,
    /// The pipe end that takes a failed step.
    pub status: BorrowedFd<'a>,
    /// The step that an execve(2) that fails is reported as.
    pub exec_step: Step,
}

/// The plan as the child needs it: raw numbers and NULL-terminated pointer lists.
pub struct Ready<'a> {
    plan: ChildPlan<'a>,
    arguments: [*const c_char; STRINGS_MAX + 1],
    environment: [*const c_char; STRINGS_MAX + 1],
}

fn pointers(strings: &[&CStr]) -> [*const c_char; STRINGS_MAX + 1] {
    let mut list = [ptr::null(); STRINGS_MAX + 1];
    for (place, string) in list.iter_mut().zip(strings.iter().take(STRINGS_MAX)) {
        *place = string.as_ptr();
    }
    list
}

/// Does, before the clone, all that the child could not do safely.
pub(super) fn prepare<'a>(plan: &ChildPlan<'a>) -> Ready<'a> {
    Ready {
        plan: *plan,
        arguments: pointers(plan.arguments),
        environment: pointers(plan.environment),
    }
}

/// Carries out the plan; only in a fresh child.
pub(super) fn run(ready: &Ready<'_>) -> ! {
    let failure = match attempt(ready) {
        Ok(never) => match never {},
        Err(failure) => failure,
    };
    let bytes = failure.to_bytes();
    // SAFETY: `bytes` is a live local and the kernel reads its eight bytes. Where the write fails there
    // is nobody left to tell: the exit status below still says that the start failed.
    let _ = unsafe {
        libc::write(
            ready.plan.status.as_raw_fd(),
            bytes.as_ptr().cast(),
            StepFailure::SIZE,
        )
    };
    // SAFETY: ends this process; nothing of the parent's is run (no atexit, no destructor).
    unsafe { libc::_exit(127) }
}

/// A successful exec never returns.
enum Never {}

fn attempt(ready: &Ready<'_>) -> Result<Never, StepFailure> {
    let plan = &ready.plan;
    let at = |step: Step| {
        move |errno: i32| StepFailure {
            step,
            index: 0,
            errno,
        }
    };
    wait_for_release(plan.release.as_raw_fd()).map_err(at(Step::MapIds))?;
    reset_signals().map_err(at(Step::PassDescriptors))?;
    if plan.identity == Identity::NamespaceRoot {
        become_namespace_root().map_err(at(Step::BecomeRoot))?;
    }
    let mut status = move_up(plan.status.as_raw_fd()).map_err(at(Step::PassDescriptors))?;
    if let Some(terminal) = plan.terminal {
        take_terminal(terminal).map_err(at(Step::PassDescriptors))?;
    }
    place_descriptors(plan.descriptors, &mut status).map_err(at(Step::PassDescriptors))?;
    let (place, program, flags) = program(plan).map_err(at(plan.exec_step))?;
    // After all that it opens: PID 1 may hold more than a child may open.
    limit_open_files().map_err(at(Step::ResourceLimit))?;
    // SAFETY: `folder` is a NUL-terminated string that lives in the parent's copied memory.
    call(unsafe { libc::chdir(plan.folder.as_ptr()) } as c_long)
        .map_err(at(Step::WorkingFolder))?;
    // SAFETY: the path and both lists are NUL- and NULL-terminated and live until exec replaces them; with
    // AT_EMPTY_PATH an empty path means the descriptor.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            place,
            program.as_ptr(),
            ready.arguments.as_ptr(),
            ready.environment.as_ptr(),
            flags,
        )
    };
    // It returns only what failed.
    Err(at(plan.exec_step)(errno()))
}

/// What execveat(2) is given: a folder, a path and flags. A service's launcher is executed from a read-only mount of its own
/// file: it becomes a stranger's process, which must never hold a file of ours that could be written (CVE-2019-5736).
fn program<'a>(plan: &ChildPlan<'a>) -> Result<(RawFd, &'a CStr, libc::c_int), i32> {
    match plan.identity {
        Identity::Keep => Ok((libc::AT_FDCWD, plan.program, 0)),
        Identity::NamespaceRoot | Identity::Guest => match mount::sealed(plan.program) {
            // Not closed here: its close-on-exec flag does that.
            Ok(copy) => Ok((copy.into_raw_fd(), c"", libc::AT_EMPTY_PATH)),
            Err(super::Errno(errno)) => Err(errno),
        },
    }
}

fn errno() -> i32 {
    super::Errno::last().0
}

fn call(returned: c_long) -> Result<c_long, i32> {
    if returned < 0 {
        Err(errno())
    } else {
        Ok(returned)
    }
}

fn wait_for_release(fd: RawFd) -> Result<(), i32> {
    let mut byte = 0_u8;
    // SAFETY: the kernel writes at most one byte into a live local. All signals are blocked here, so
    // the call is not interrupted.
    let count = unsafe { libc::read(fd, (&raw mut byte).cast(), 1) };
    match call(count as c_long)? {
        1 => Ok(()),
        // The parent closed its end without the byte: it gave this start up.
        _ => Err(libc::ECANCELED),
    }
}

/// Signals as a program expects them. Handlers end with exec; what survives it is the mask, and
/// SIGPIPE, which the Rust runtime ignores.
fn reset_signals() -> Result<(), i32> {
    // SAFETY: sets a disposition without a handler; async-signal-safe (signal-safety(7)).
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    // SAFETY: `sigset_t` is plain integers, for which all zeroes is the empty set on Linux.
    let empty: libc::sigset_t = unsafe { core::mem::zeroed() };
    // SAFETY: `empty` lives through the call; the old mask is not asked for.
    let done = unsafe { libc::sigprocmask(libc::SIG_SETMASK, &empty, ptr::null_mut()) };
    call(c_long::from(done)).map(|_| ())
}

#[cfg(target_pointer_width = "32")]
const SET_IDS: [c_long; 2] = [libc::SYS_setresgid32, libc::SYS_setresuid32];
#[cfg(target_pointer_width = "64")]
const SET_IDS: [c_long; 2] = [libc::SYS_setresgid, libc::SYS_setresuid];

/// By system call, not by libc, whose wrapper wants to tell other threads.
fn become_namespace_root() -> Result<(), i32> {
    for number in SET_IDS {
        // SAFETY: takes no pointer.
        call(unsafe { libc::syscall(number, 0, 0, 0) })?;
    }
    Ok(())
}

/// A copy above every number a child is given, closed by exec.
fn move_up(fd: RawFd) -> Result<RawFd, i32> {
    // SAFETY: F_DUPFD_CLOEXEC takes an int, no pointer.
    let copy = unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, SPARE_FD_MIN) };
    call(c_long::from(copy)).map(|copy| copy as RawFd)
}

fn take_terminal(path: &CStr) -> Result<(), i32> {
    // SAFETY: takes no pointer.
    call(c_long::from(unsafe { libc::setsid() }))?;
    // SAFETY: `path` is a NUL-terminated string that lives in the parent's copied memory.
    let raw = unsafe { libc::open(path.as_ptr(), libc::O_RDWR | libc::O_CLOEXEC) };
    let fd = call(c_long::from(raw))? as RawFd;
    // SAFETY: TIOCSCTTY takes an int; 1 lets root take the terminal from a dead session (ioctl_tty(2)).
    call(c_long::from(unsafe { libc::ioctl(fd, libc::TIOCSCTTY, 1) }))?;
    for target in 0..3 {
        // SAFETY: takes no pointer.
        call(c_long::from(unsafe { libc::dup2(fd, target) }))?;
    }
    Ok(())
}

/// In two passes, so that no placed descriptor overwrites one that is still to be placed.
fn place_descriptors(list: &[(BorrowedFd<'_>, RawFd)], status: &mut RawFd) -> Result<(), i32> {
    let mut high = [(-1, -1); FDS_MAX];
    for (place, (source, target)) in high.iter_mut().zip(list) {
        *place = (move_up(source.as_raw_fd())?, *target);
    }
    for (source, target) in high.iter().take(list.len()) {
        // SAFETY: takes no pointer. The new number has no close-on-exec flag (dup(2)).
        call(c_long::from(unsafe { libc::dup2(*source, *target) }))?;
        let _ = &status;
    }
    Ok(())
}

fn limit_open_files() -> Result<(), i32> {
    let limit = libc::rlimit {
        rlim_cur: CHILD_OPEN_FILES as libc::rlim_t,
        rlim_max: OPEN_FILES as libc::rlim_t,
    };
    // SAFETY: `limit` is a live local of the type the call reads.
    let done = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) };
    call(c_long::from(done)).map(|_| ())
}

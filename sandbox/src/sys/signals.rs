//! Signals that `run` passes on.

use super::{Errno, check, check_int, owned};
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;

/// What is passed on: requests to end, the keyboard's, the window's size, and the two without a meaning.
const PASSED_ON: [libc::c_int; 8] = [
    libc::SIGINT,
    libc::SIGTERM,
    libc::SIGHUP,
    libc::SIGQUIT,
    libc::SIGTSTP,
    libc::SIGWINCH,
    libc::SIGUSR1,
    libc::SIGUSR2,
];

/// Blocks the signals that are passed on and returns the descriptor that delivers them (signalfd(2)).
///
/// # Errors
/// As sigprocmask(2) and signalfd(2).
pub fn catch() -> Result<OwnedFd, Errno> {
    // SAFETY: `sigset_t` is plain integers, for which all zeroes is the empty set on Linux.
    let mut set: libc::sigset_t = unsafe { mem::zeroed() };
    for signal in PASSED_ON {
        // SAFETY: `set` is a live local; the signal number is valid.
        unsafe { libc::sigaddset(&mut set, signal) };
    }
    // SAFETY: `set` lives through the call; the old mask is not asked for.
    check_int(unsafe { libc::sigprocmask(libc::SIG_BLOCK, &set, ptr::null_mut()) })?;
    // SAFETY: `set` lives through the call; -1 asks for a new descriptor.
    let made = unsafe { libc::signalfd(-1, &set, libc::SFD_CLOEXEC) };
    owned(libc::c_long::from(made))
}

/// The next signal from [`catch`].
///
/// # Errors
/// As read(2).
pub fn next(caught: BorrowedFd<'_>) -> Result<libc::c_int, Errno> {
    const SIZE: usize = mem::size_of::<libc::signalfd_siginfo>();
    let mut bytes = [0_u8; SIZE];
    // SAFETY: `bytes` is a live local of SIZE bytes, and the kernel writes at most SIZE.
    let count = unsafe { libc::read(caught.as_raw_fd(), bytes.as_mut_ptr().cast(), SIZE) };
    check(count as libc::c_long)?;
    // `ssi_signo` is the first field, a u32 (signalfd(2)).
    let [a, b, c, d, ..] = bytes;
    Ok(u32::from_ne_bytes([a, b, c, d]) as libc::c_int)
}

/// Sends a signal to the process group that `leader` leads (kill(2)). The caller has not waited for it yet,
/// so the number is still its own.
///
/// # Errors
/// ESRCH where there is no such group.
pub fn to_group(leader: u32, signal: libc::c_int) -> Result<(), Errno> {
    // SAFETY: takes no pointer.
    check_int(unsafe { libc::kill(-(leader as libc::pid_t), signal) }).map(|_| ())
}

/// A process that is no child, by its number (pidfd_open(2)): whoever has that number now.
///
/// # Errors
/// ESRCH where there is none.
pub fn hold(pid: u32) -> Result<OwnedFd, Errno> {
    // SAFETY: takes no pointer.
    owned(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })
}

/// Stops this process until somebody sends SIGCONT.
///
/// # Errors
/// As kill(2).
pub fn stop_self() -> Result<(), Errno> {
    // SAFETY: takes no pointer.
    check_int(unsafe { libc::raise(libc::SIGSTOP) }).map(|_| ())
}

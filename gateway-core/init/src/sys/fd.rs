//! Descriptors: pipes, poll(2), signalfd(2).

use super::{Errno, check, check_int};
use core::mem;
use std::io::{PipeReader, PipeWriter};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// What one descriptor of a [`poll`] waits for, and got.
pub type PollFd = libc::pollfd;

/// Readable, or at its end.
pub const READABLE: i16 = libc::POLLIN;
/// Writable.
pub const WRITABLE: i16 = libc::POLLOUT;

/// A poll(2) entry for `fd`.
#[must_use]
pub fn interest(fd: BorrowedFd<'_>, events: i16) -> PollFd {
    PollFd {
        fd: fd.as_raw_fd(),
        events,
        revents: 0,
    }
}

/// poll(2): waits until a descriptor is ready, or `timeout_ms` (-1: no limit) is over.
///
/// # Errors
/// As poll(2); an interrupted call is no error and reports nothing ready.
pub fn poll(fds: &mut [PollFd], timeout_ms: i32) -> Result<(), Errno> {
    let length = fds.len() as libc::nfds_t;
    // SAFETY: `fds` is a live, exclusive slice of `length` entries for the whole call.
    match check_int(unsafe { libc::poll(fds.as_mut_ptr(), length, timeout_ms) }) {
        Ok(_) => Ok(()),
        Err(Errno(libc::EINTR)) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// Whether a pipe takes at least one byte more without waiting; one that can not be asked is said to.
#[must_use]
pub fn has_room(pipe: BorrowedFd<'_>) -> bool {
    let mut asked = [interest(pipe, WRITABLE)];
    poll(&mut asked, 0).is_err() || asked.iter().all(|pipe| pipe.revents != 0)
}

/// pipe2(2), close-on-exec on both ends.
///
/// # Errors
/// As pipe2(2).
pub fn pipe() -> Result<(OwnedFd, OwnedFd), Errno> {
    let (reader, writer): (PipeReader, PipeWriter) = std::io::pipe()?;
    Ok((reader.into(), writer.into()))
}

/// Makes reads and writes on `fd`'s open file description return EAGAIN instead of waiting.
///
/// # Errors
/// As fcntl(2).
pub fn set_nonblocking(fd: BorrowedFd<'_>) -> Result<(), Errno> {
    // SAFETY: F_GETFL takes no pointer; `fd` is open for the borrow's life.
    let flags = check_int(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) })?;
    // SAFETY: F_SETFL takes an int, no pointer; `fd` is open for the borrow's life.
    check_int(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, flags | libc::O_NONBLOCK) })?;
    Ok(())
}

/// The set of all signals, except those that only a fault of our own raises: blocking them would
/// hide the fault (sigprocmask(2)).
fn handled_signals() -> libc::sigset_t {
    // SAFETY: `sigset_t` is plain integers, for which all zeroes is a value.
    let mut set: libc::sigset_t = unsafe { mem::zeroed() };
    // SAFETY: `set` is a live local of the right type.
    unsafe { libc::sigfillset(&mut set) };
    for fault in [
        libc::SIGSEGV,
        libc::SIGBUS,
        libc::SIGILL,
        libc::SIGFPE,
        libc::SIGABRT,
        libc::SIGTRAP,
        libc::SIGSYS,
    ] {
        // SAFETY: `set` is a live local; `fault` is a valid signal number.
        unsafe { libc::sigdelset(&mut set, fault) };
    }
    set
}

/// Blocks the signals PID 1 handles and returns the descriptor that delivers them.
///
/// # Errors
/// As sigprocmask(2) and signalfd(2).
pub fn signal_fd() -> Result<OwnedFd, Errno> {
    let set = handled_signals();
    // SAFETY: `set` lives through the call; the old mask is not asked for (null is allowed).
    check_int(unsafe { libc::sigprocmask(libc::SIG_SETMASK, &set, core::ptr::null_mut()) })?;
    // SAFETY: `set` lives through the call; -1 asks for a new descriptor.
    let fd =
        check_int(unsafe { libc::signalfd(-1, &set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) })?;
    // SAFETY: the kernel has just made `fd` for us; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The next signal number from a [`signal_fd`]; `None` where none is pending.
///
/// # Errors
/// As read(2).
pub fn next_signal(fd: BorrowedFd<'_>) -> Result<Option<i32>, Errno> {
    const SIZE: usize = mem::size_of::<libc::signalfd_siginfo>();
    let mut bytes = [0_u8; SIZE];
    // SAFETY: `bytes` is a live local of SIZE bytes, and the kernel writes at most SIZE.
    let read = unsafe { libc::read(fd.as_raw_fd(), bytes.as_mut_ptr().cast(), SIZE) };
    match check(read as libc::c_long) {
        // `ssi_signo` is the first field, a u32 (signalfd(2)).
        Ok(_) => match bytes {
            [a, b, c, d, ..] => Ok(Some(u32::from_ne_bytes([a, b, c, d]) as i32)),
        },
        Err(Errno(libc::EAGAIN | libc::EINTR)) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// read(2), which returns 0 at the end and EAGAIN where nothing is there yet.
///
/// # Errors
/// As read(2).
pub fn read(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<usize, Errno> {
    // SAFETY: `buffer` is a live, exclusive slice and the kernel writes at most its length.
    let count = unsafe { libc::read(fd.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len()) };
    check(count as libc::c_long).map(|count| count as usize)
}

/// write(2): how many bytes were taken.
///
/// # Errors
/// As write(2).
pub fn write(fd: BorrowedFd<'_>, bytes: &[u8]) -> Result<usize, Errno> {
    // SAFETY: `bytes` is a live slice and the kernel reads at most its length.
    let count = unsafe { libc::write(fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len()) };
    check(count as libc::c_long).map(|count| count as usize)
}

//! Descriptors: the one PID 1 left for us, non-blocking mode, sealed memory files.

use super::check;
use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::FileExt;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Takes over a descriptor that our parent placed at a fixed number: a close-on-exec duplicate
/// above the standard ones. The number itself stays open and unused, since nobody here owns it.
///
/// # Errors
/// As fcntl(2): EBADF where the parent placed none.
pub fn inherited(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: F_DUPFD_CLOEXEC takes an int, no pointer; a number that is not open is EBADF.
    let fd = check(unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, number + 1) })?;
    // SAFETY: the kernel has just made `fd` for us; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Makes reads and writes on `fd`'s open file description return EAGAIN instead of waiting.
///
/// # Errors
/// As fcntl(2).
pub fn set_nonblocking(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: F_GETFL takes no pointer; `fd` is open for the borrow's life.
    let flags = check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) })?;
    // SAFETY: F_SETFL takes an int, no pointer; `fd` is open for the borrow's life.
    check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, flags | libc::O_NONBLOCK) })?;
    Ok(())
}

/// A descriptor that the runtime's poll watches for both directions.
///
/// # Errors
/// As epoll_ctl(2).
pub fn watched(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` is open until it is dropped, and names the same descriptor all the time.
    let watched = unsafe { AsyncFd::register(fd) };
    Ok(watched?)
}

/// A descriptor that the runtime's poll watches for what is urgent alone (`POLLPRI`, poll(2)).
///
/// # Errors
/// As epoll_ctl(2): EPERM for a file that can not be polled.
pub fn watched_for_urgent(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` is open until it is dropped, and names the same descriptor all the time.
    let watched = unsafe { AsyncFd::register_with_interest(fd, Interest::PRIORITY) };
    Ok(watched?)
}

/// A memory file with these bytes that nobody, we included, can change any more (memfd_create(2),
/// `F_ADD_SEALS`). Its offset is 0.
///
/// # Errors
/// As memfd_create(2), pwrite(2) and fcntl(2).
pub fn sealed(name: &CStr, bytes: &[u8]) -> io::Result<OwnedFd> {
    let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
    // SAFETY: `name` is a NUL-terminated string that lives through the call.
    let fd = check(unsafe { libc::memfd_create(name.as_ptr(), flags) })?;
    // SAFETY: the kernel has just made `fd` for us; nobody else owns it.
    let file = File::from(unsafe { OwnedFd::from_raw_fd(fd) });
    file.write_all_at(bytes, 0)?;
    let seals = libc::F_SEAL_SEAL | libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_WRITE;
    // SAFETY: F_ADD_SEALS takes an int, no pointer; `file` is open.
    check(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, seals) })?;
    Ok(OwnedFd::from(file))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn sealed_memory_is_read_from_its_start_and_never_changed() {
        let mut file = File::from(sealed(c"test", b"plan").unwrap());
        let mut got = String::new();
        file.read_to_string(&mut got).unwrap();
        assert_eq!(got, "plan");
        let error = file.write_all_at(b"x", 0).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EPERM));
    }

    #[test]
    fn a_number_that_is_not_open_is_an_error() {
        let error = inherited(999).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EBADF));
    }
}

//! System calls: one thin function each, owned descriptors in and out, errno as a typed error. All
//! `unsafe` of this crate is here. No policy, no loop, no retry.
#![allow(unsafe_code)]

pub mod clone;
pub mod landlock;
pub mod listener;
pub mod loop_device;
pub mod memory;
pub mod mount;
pub mod privilege;
pub mod process;
pub mod seccomp;
pub mod signals;
pub mod terminal;

use hearth_model::step::errno_words;
use std::fmt;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// Why a system call failed, errno(3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(pub i32);

impl Errno {
    /// The calling thread's last errno.
    #[must_use]
    pub fn last() -> Errno {
        Errno::from(io::Error::last_os_error())
    }
}

impl From<io::Error> for Errno {
    fn from(error: io::Error) -> Errno {
        // An error the library made itself (a short read) has no number: EIO says it best.
        Errno(error.raw_os_error().unwrap_or(libc::EIO))
    }
}

impl From<Errno> for io::Error {
    fn from(Errno(errno): Errno) -> io::Error {
        io::Error::from_raw_os_error(errno)
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", errno_words(self.0))
    }
}

impl std::error::Error for Errno {}

/// The value of a call that returns -1 and sets errno.
fn check(returned: libc::c_long) -> Result<libc::c_long, Errno> {
    if returned < 0 {
        Err(Errno::last())
    } else {
        Ok(returned)
    }
}

/// The same for calls that return an `int`.
fn check_int(returned: libc::c_int) -> Result<libc::c_int, Errno> {
    check(libc::c_long::from(returned)).map(|_| returned)
}

/// The descriptor a call has just made.
fn owned(returned: libc::c_long) -> Result<OwnedFd, Errno> {
    let fd = check(returned)? as RawFd;
    // SAFETY: only called with the result of a call that makes a descriptor, and the check above saw
    // that it did: nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

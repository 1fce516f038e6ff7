//! The system calls PID 1 needs that the standard library lacks: one function a call, owned
//! descriptors in and out, errno as [`Errno`]. No policy, no loop, no retry except after EINTR.
//!
//! The only module of this crate in which `unsafe` is allowed.
#![allow(unsafe_code)]

pub mod alloc;
pub mod child;
pub mod fd;
pub mod machine;
pub mod mount;
pub mod process;
pub mod socket;

use core::fmt;
use hearth_model::step::errno_words;
use std::io;

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
        // An error the library made itself (a short write) has no number: EIO says it best.
        Errno(error.raw_os_error().unwrap_or(libc::EIO))
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", errno_words(self.0))
    }
}

impl core::error::Error for Errno {}

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
    if returned < 0 {
        Err(Errno::last())
    } else {
        Ok(returned)
    }
}

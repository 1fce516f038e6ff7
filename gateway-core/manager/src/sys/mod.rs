//! The system calls the manager needs that the standard library lacks: one function a call, owned
//! descriptors in and out, [`std::io::Error`] for errno. No policy, no retry except after EINTR.
//!
//! The only module of this crate in which `unsafe` is allowed.
#![allow(unsafe_code)]

pub mod fd;
pub mod image;
pub mod machine;
pub mod node;
pub mod notify;
pub mod socket;
pub mod storage;
pub mod timer;
pub mod verity;

use std::io;

/// The value of a call that returns -1 and sets errno.
fn check(returned: libc::c_int) -> io::Result<libc::c_int> {
    if returned < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(returned)
    }
}

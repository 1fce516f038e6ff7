//! What a part of the edge can fail with: the object, and the system's reason.

use crate::sys::Errno;
use core::fmt;

/// Something could not be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What was tried, as an infinitive, with its object.
    pub what: &'static str,
    /// Why not.
    pub errno: Errno,
}

impl Fault {
    /// For `map_err`: names what was tried.
    pub fn of<E: Into<Errno>>(what: &'static str) -> impl FnOnce(E) -> Fault {
        move |errno| Fault {
            what,
            errno: errno.into(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "could not {}: {}", self.what, self.errno)
    }
}

impl core::error::Error for Fault {}

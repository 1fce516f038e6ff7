//! What a caller can meet.

use crate::object::ObjectError;
use std::fmt;

/// The kernel refused something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KernelError {
    /// A request was refused.
    Refused {
        /// What was asked, as an infinitive.
        what: &'static str,
        /// errno(3).
        errno: i32,
    },
    /// A program was refused by the verifier.
    Verifier {
        /// errno(3).
        errno: i32,
        /// The end of the verifier's log.
        log: String,
    },
    /// The answer was no netlink message, or did not come whole, or has no end.
    Answer,
}

impl KernelError {
    /// The system's number of it, errno(3); `EPROTO` for an answer that was none.
    #[must_use]
    pub fn errno(&self) -> i32 {
        match self {
            KernelError::Refused { errno, .. } | KernelError::Verifier { errno, .. } => *errno,
            KernelError::Answer => libc::EPROTO,
        }
    }
}

impl fmt::Display for KernelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = std::io::Error::from_raw_os_error(self.errno());
        match self {
            KernelError::Refused { what, .. } => write!(f, "could not {what}: {reason}"),
            KernelError::Verifier { log, .. } => {
                write!(f, "the kernel refused a program: {reason}; {log}")
            }
            KernelError::Answer => f.write_str("the kernel's netlink answer was not understood"),
        }
    }
}

impl std::error::Error for KernelError {}

/// Why a program of an object does not run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoadError {
    /// The file is no object of ours.
    Object(ObjectError),
    /// The kernel refused a map or the program.
    Kernel(KernelError),
    /// The object has no function of this name, or not the map that it needs.
    Missing(String),
    /// The kernel took it but interprets it: `net.core.bpf_jit_enable` is 0, or its compiler can not
    /// translate it.
    Interpreted(String),
}

impl From<ObjectError> for LoadError {
    fn from(error: ObjectError) -> LoadError {
        LoadError::Object(error)
    }
}

impl From<KernelError> for LoadError {
    fn from(error: KernelError) -> LoadError {
        LoadError::Kernel(error)
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoadError::Object(error) => error.fmt(f),
            LoadError::Kernel(error) => error.fmt(f),
            LoadError::Missing(name) => write!(f, "the object has no {name} with all of its maps"),
            LoadError::Interpreted(name) => write!(
                f,
                "the kernel would interpret {name} instead of compiling it; set \
                 net.core.bpf_jit_enable to 1"
            ),
        }
    }
}

impl std::error::Error for LoadError {}

//! Why there is no policy, or no filter of one.

use super::data::DIFFERENCES;
use std::fmt;

/// Why there is no policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicyError {
    /// A plan names a policy that does not exist.
    UnknownPolicy(String),
    /// A plan names a system call that neither word size has.
    UnknownCall(String),
    /// A plan names a call that no service gets.
    Refused {
        /// The call.
        call: String,
        /// Why nobody gets it.
        why: String,
    },
    /// A plan names a call that a policy allows only with some arguments.
    Conditional {
        /// The call.
        call: String,
    },
    /// A policy file is wrong; the tests of this crate make that impossible in a released program.
    File {
        /// Which.
        file: &'static str,
        /// What is wrong, with its line where known.
        reason: String,
    },
    /// The filter could not be made.
    Compile(String),
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PolicyError::UnknownPolicy(name) => {
                write!(f, "there is no policy {name:?}; there are:")?;
                DIFFERENCES
                    .iter()
                    .try_for_each(|(known, _)| write!(f, " {known}"))
            }
            PolicyError::UnknownCall(name) => {
                write!(f, "there is no system call {name:?}; see syscalls(2)")
            }
            PolicyError::Refused { call, why } => {
                write!(f, "no service gets the system call {call}: {why}")
            }
            PolicyError::Conditional { call } => write!(
                f,
                "the system call {call} is only safe with some arguments: name a policy instead"
            ),
            PolicyError::File { file, reason } => write!(f, "policy {file}: {reason}"),
            PolicyError::Compile(reason) => write!(f, "no filter from this policy: {reason}"),
        }
    }
}

impl std::error::Error for PolicyError {}

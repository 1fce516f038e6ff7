//! Packages on disk: [`source`] reads one from wherever it is, [`place`] takes it into a gateway and out again.
//! Strangers wrote the bytes: this runs in the command that installs, not in a process that the home depends on.
//!
//! What it does not do: decide whom to trust (`hearth-package`), start or stop anything (the manager).
#![deny(unsafe_code)]

pub mod limits;
pub mod place;
pub mod source;

mod durable;
mod sys;

use std::io;
use std::path::Path;

/// `could not VERB PATH: reason`
#[must_use]
pub fn could_not(verb: &str, path: &Path, error: &io::Error) -> String {
    format!("could not {verb} {}: {error}", path.display())
}

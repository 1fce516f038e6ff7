//! The modes of the terminal on standard input (termios(3)).

use super::{Errno, check_int};
use std::fmt;
use std::mem;

const INPUT: libc::c_int = libc::STDIN_FILENO;

/// Modes of a terminal.
#[derive(Clone, Copy)]
pub struct Modes(libc::termios);

impl fmt::Debug for Modes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Modes({:o})", self.0.c_lflag)
    }
}

/// A terminal on standard input, with the modes that it had at first.
#[derive(Debug)]
pub struct Terminal {
    own: Modes,
}

impl Terminal {
    /// The terminal on standard input, if that is one.
    #[must_use]
    pub fn of_standard_input() -> Option<Terminal> {
        modes().ok().map(|own| Terminal { own })
    }

    /// Gives it back its first modes.
    ///
    /// # Errors
    /// As tcsetattr(3).
    pub fn restore(&self) -> Result<(), Errno> {
        self.set(&self.own)
    }

    /// Gives it back its first modes and returns those that it had until now.
    ///
    /// # Errors
    /// As tcgetattr(3) and tcsetattr(3).
    pub fn swap_in_own(&self) -> Result<Modes, Errno> {
        let now = modes()?;
        self.restore()?;
        Ok(now)
    }

    /// Sets its modes, once what was written is out.
    ///
    /// # Errors
    /// As tcsetattr(3).
    pub fn set(&self, modes: &Modes) -> Result<(), Errno> {
        // SAFETY: the modes are a live value of the type that the call reads.
        check_int(unsafe { libc::tcsetattr(INPUT, libc::TCSADRAIN, &modes.0) }).map(|_| ())
    }
}

fn modes() -> Result<Modes, Errno> {
    // SAFETY: `termios` is plain integers, for which all zeroes is a value.
    let mut modes: libc::termios = unsafe { mem::zeroed() };
    // SAFETY: `modes` is a live local that the call fills.
    check_int(unsafe { libc::tcgetattr(INPUT, &mut modes) })?;
    Ok(Modes(modes))
}

//! Printing: results to standard output, complaints and progress to standard error.

use std::io::{self, IsTerminal, Write};

/// Prints a result.
pub(crate) fn print(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()
}

/// Prints JSON as it came, on whole lines.
pub(crate) fn print_json(body: &[u8]) -> io::Result<()> {
    print(body.trim_ascii_end())?;
    print(b"\n")
}

/// Tells the person what is wrong.
pub(crate) fn complain(text: &str) {
    // Where standard error is closed, the exit status is all that is left to say it.
    let _ = io::stderr().write_all(format!("hearth: {text}\n").as_bytes());
}

/// Dots on a terminal while something takes its time; nothing where no person watches.
pub(crate) struct Dots {
    open: bool,
}

impl Dots {
    /// Starts with nothing printed.
    pub(crate) fn new() -> Dots {
        Dots { open: false }
    }

    /// Says what is waited for the first time, adds a dot every other time.
    pub(crate) fn tick(&mut self, what: &str) {
        if !io::stderr().is_terminal() {
            return;
        }
        let text = if self.open { "." } else { what };
        self.open = true;
        // Progress that can not be shown is no reason to stop.
        let _ = io::stderr().write_all(text.as_bytes());
    }
}

impl Drop for Dots {
    fn drop(&mut self) {
        if self.open {
            // As above.
            let _ = io::stderr().write_all(b"\n");
        }
    }
}

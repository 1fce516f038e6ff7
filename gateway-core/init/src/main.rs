//! `hearth-init`, PID 1: mounts, spawns, reaps, restarts, shuts down. It parses no format, opens no
//! network, and never exits.
//!
//! [`machine`] decides, [`edge`] acts, [`sys`] is the system calls. After start-up it allocates
//! nothing while it supervises.
#![deny(unsafe_code)]

mod edge;
mod error;
mod limits;
mod machine;
mod sys;

use std::process::ExitCode;

fn main() -> ExitCode {
    if std::process::id() != 1 {
        eprintln!(
            "hearth-init: only the kernel starts this, as process 1; on a gateway use `hearth`"
        );
        return ExitCode::from(2);
    }
    match edge::start() {
        Ok(mut init) => init.run(),
        // The panic hook writes this where the next boot prints it, and starts the machine anew.
        Err(fault) => end(&fault),
    }
}

/// PID 1 can not do its work: the last words say why.
#[expect(
    clippy::panic,
    reason = "the panic hook is the way down that leaves a reason"
)]
fn end(fault: &error::Fault) -> ! {
    panic!("{fault}");
}

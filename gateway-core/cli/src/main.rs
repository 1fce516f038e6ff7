//! `hearth`: what a person types on the serial console or over ssh.
//!
//! Exit status: 0 done; 1 the gateway refused or the service failed; 2 wrong usage; 3 the gateway
//! does not answer.
#![forbid(unsafe_code)]

mod accounts;
mod admission;
mod args;
mod bundle;
mod console;
mod events;
mod forwards;
#[cfg(test)]
mod manual;
mod network;
mod packages;
mod run;
mod watch;

use clap::Parser;
use hearth_client::client::{Api, Failure};
use run::Trouble;
use std::process::ExitCode;

const REFUSED: u8 = 1;
const SILENT: u8 = 3;

fn main() -> ExitCode {
    let command = args::Args::parse().command;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build();
    let done = match runtime {
        Ok(runtime) => runtime.block_on(run::run(&Api::from_env(), command)),
        Err(e) => Err(Trouble::Output(e)),
    };
    match done {
        Ok(code) => code,
        Err(Trouble::Api(failure)) => {
            console::complain(&failure.to_string());
            ExitCode::from(match failure {
                Failure::Silent { .. } => SILENT,
                Failure::Refused { .. } | Failure::Unreadable { .. } => REFUSED,
            })
        }
        // Who reads our output has enough, as in `hearth logs web | head`.
        Err(Trouble::Output(e)) if e.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(Trouble::Output(e)) => {
            console::complain(&format!("can not print: {e}; check where the output goes"));
            ExitCode::from(REFUSED)
        }
        Err(Trouble::Failed(why)) => {
            console::complain(&why);
            ExitCode::from(REFUSED)
        }
    }
}

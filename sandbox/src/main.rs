//! The command `hearth-sandbox`: `run` for people, `exec-plan` for PID 1.
#![deny(unsafe_code)]

use clap::{Parser, Subcommand};
use hearth_sandbox::launcher;
use hearth_sandbox::run::{self, RunArgs};
use std::process::ExitCode;

/// Run one program in a sandbox.
#[derive(Parser)]
#[command(version)]
struct Command {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Run a command in a sandbox and return its exit status
    Run(Box<RunArgs>),
    /// Become a service: for PID 1, which passes the plan on descriptor 3
    ExecPlan,
}

fn main() -> ExitCode {
    ExitCode::from(match Command::parse().action {
        Action::Run(args) => run::run(&args),
        Action::ExecPlan => launcher::exec_plan(),
    })
}

//! The command `hearth-sandbox`: `run`, `explain`, `record` and `lint` for people, `exec-plan` and `exec-probe` for PID 1.
#![deny(unsafe_code)]

use clap::{Parser, Subcommand};
use hearth_sandbox::explain::{self, ExplainArgs};
use hearth_sandbox::launcher;
use hearth_sandbox::record::{self, RecordArgs};
use hearth_sandbox::run::{self, RunArgs};
use hearth_sandbox::seccomp::lint::{self, LintArgs};
use hearth_sandbox::sys::memory::OnePiece;
use std::process::ExitCode;

#[global_allocator]
static MEMORY: OnePiece = OnePiece::new();

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
    /// Run a command outside and write what its manifest needs of system calls
    Record(Box<RecordArgs>),
    /// Tell what is wrong with the system calls that manifests ask for
    Lint(LintArgs),
    /// Tell in plain words what a manifest lets a service do
    Explain(ExplainArgs),
    /// Become a service: for PID 1, which passes the plan on descriptor 3
    ExecPlan,
    /// Execute a program in the sandbox of a service: for PID 1, which passes its process on descriptor 5
    ExecProbe,
}

fn main() -> ExitCode {
    // PID 1 types no flags: nothing to parse is a tenth of a start.
    if std::env::args_os().skip(1).eq(["exec-plan"]) {
        return ExitCode::from(launcher::exec_plan());
    }
    ExitCode::from(match Command::parse().action {
        Action::Run(args) => run::run(&args),
        Action::Record(args) => record::record(&args),
        Action::Lint(args) => lint::command(&args),
        Action::Explain(args) => explain::explain(&args),
        Action::ExecPlan => launcher::exec_plan(),
        Action::ExecProbe => launcher::exec_probe(),
    })
}

//! hearth-manager: finds packages, admits them, starts and stops them through PID 1, keeps their
//! logs, and answers the API. Services go on while it is away; PID 1 starts it again.
//!
//! Layers: `edge` (the loop, files, sockets) → `machine` (decisions, pure) and `sys` (system calls,
//! the only `unsafe`). ARCHITECTURE.md has its contracts.
#![deny(unsafe_code)]

mod edge;
mod limits;
mod machine;
mod sys;

use edge::End;
use edge::paths::Paths;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

const USAGE: &str = "usage: hearth-manager [--root DIR]
  hearth-init starts this program, with its socket on descriptor 3.
  --root DIR  take every path below DIR (for tests)";

fn main() -> ExitCode {
    let root = match root_of(std::env::args().skip(1)) {
        Ok(root) => root,
        Err(text) => {
            eprintln!("hearth-manager: {text}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    log_to_stderr();
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(e) => {
            log::error!("could not start: {}", edge::paths::reason(&e));
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(edge::run(Paths::new(root))) {
        End::Asked => {
            log::info!("ends as asked; services go on");
            ExitCode::SUCCESS
        }
        End::Fatal(text) => {
            for line in text.lines() {
                log::error!("{line}");
            }
            ExitCode::FAILURE
        }
    }
}

/// The root that the arguments name.
fn root_of(mut arguments: impl Iterator<Item = String>) -> Result<PathBuf, String> {
    let mut root = PathBuf::from("/");
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--root" => {
                root = arguments
                    .next()
                    .map(PathBuf::from)
                    .ok_or("--root needs a folder")?;
            }
            other => return Err(format!("unknown argument {other:?}")),
        }
    }
    Ok(root)
}

/// One event, one line, `<level>hearth-manager: text`: stderr is `/dev/kmsg` (printk's levels,
/// syslog(2)). Debug is off.
fn log_to_stderr() {
    env_logger::Builder::new()
        .filter_level(log::LevelFilter::Info)
        .format(|line, record| {
            let level = match record.level() {
                log::Level::Error => 3,
                log::Level::Warn => 4,
                log::Level::Info => 6,
                log::Level::Debug | log::Level::Trace => 7,
            };
            writeln!(line, "<{level}>hearth-manager: {}", record.args())
        })
        .init();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_few_and_checked() {
        let root = |words: &[&str]| root_of(words.iter().map(ToString::to_string));
        assert_eq!(root(&[]), Ok(PathBuf::from("/")));
        assert_eq!(root(&["--root", "/t"]), Ok(PathBuf::from("/t")));
        assert!(root(&["--root"]).is_err());
        assert!(root(&["--rot", "/t"]).is_err());
    }
}

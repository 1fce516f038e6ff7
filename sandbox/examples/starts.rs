//! For `scripts/bench sandbox`: starts a plan the way that PID 1 does, without the command `run` around it.
//!
//! `starts filter [POLICY]...` writes the compiled filter to standard output, as bubblewrap's `--seccomp` takes
//! it. `starts plan PLAN_ROOT PROGRAM [ARGUMENT]...` writes the encoded plan there, for `scripts/bench manager`.
//! `starts LAUNCHER PLAN_ROOT PROGRAM [ARGUMENT]...` starts the program in a sandbox for each line that arrives on
//! standard input, waits for its end and answers with a line: how many nanoseconds that took.
//! `starts --hold LAUNCHER PLAN_ROOT PROGRAM [ARGUMENT]...` answers each line when the program runs, and kills all of
//! them at the end of its input.

use hearth_model::limits::PLAN_VERSION;
use hearth_model::plan::{FirstProcess, Identity, Plan, Ports, SeccompPlan, TcpPlan};
use hearth_model::{Bytes, ServiceName};
use hearth_sandbox::outside::{Ids, Network, Start};
use hearth_sandbox::seccomp::abi::Abi;
use hearth_sandbox::seccomp::compiled::select;
use hearth_sandbox::sys::process::Ended;
use std::error::Error;
use std::fs::File;
use std::io::{BufRead, Write, stdin, stdout};
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Instant;

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["filter", policies @ ..] => filter(policies),
        ["plan", root, exec @ ..] => Ok(stdout().write_all(&plan(root, exec)?.encode()?)?),
        ["--hold", launcher, root, exec @ ..] => starts(launcher, root, exec, true),
        [launcher, root, exec @ ..] => starts(launcher, root, exec, false),
        _ => Err("see the head of this file".into()),
    }
}

fn filter(policies: &[&str]) -> Result<(), Box<dyn Error>> {
    let plan = SeccompPlan {
        policies: policies.iter().map(|&name| name.to_owned()).collect(),
        extra: vec![],
    };
    for step in select(&plan, Abi::NATIVE)?.program {
        stdout().write_all(&step.code.to_ne_bytes())?;
        stdout().write_all(&[step.jt, step.jf])?;
        stdout().write_all(&step.k.to_ne_bytes())?;
    }
    Ok(())
}

fn plan(root: &str, exec: &[&str]) -> Result<Plan, Box<dyn Error>> {
    Ok(Plan {
        version: PLAN_VERSION,
        name: ServiceName::new("bench")?,
        root: root.into(),
        binds: vec![],
        tmp_size: Bytes::mib(16),
        exec: exec.iter().map(|&word| word.to_owned()).collect(),
        env: vec![],
        working_folder: "/".into(),
        uid: 1000,
        gid: 1000,
        open_files_max: 1024,
        seccomp: SeccompPlan {
            policies: vec!["exec-children".into()],
            extra: vec![],
        },
        empty_network: true,
        tcp: TcpPlan {
            bind: Ports::Any,
            connect: Ports::Any,
        },
        identity: Identity::OwnRange,
        first: FirstProcess::Program,
    })
}

fn starts(launcher: &str, root: &str, exec: &[&str], hold: bool) -> Result<(), Box<dyn Error>> {
    let bytes = plan(root, exec)?.encode()?;
    let null = File::options().read(true).write(true).open("/dev/null")?;
    let start = Start {
        launcher: Path::new(launcher),
        standard: [null.as_fd(); 3],
        cgroup: None,
        network: Network::Empty,
        ids: Ids::Range,
    };
    let mut held = Vec::new();
    for line in stdin().lock().lines() {
        line?;
        let before = Instant::now();
        let running = start.start_bytes(&bytes)?;
        if hold {
            held.push(running);
        } else if running.wait()? != Ended::Code(0) {
            return Err("the program failed".into());
        }
        println!("{}", before.elapsed().as_nanos());
    }
    for running in held {
        running.signal(libc::SIGKILL)?;
        running.wait()?;
    }
    Ok(())
}

//! `exec-plan`: this process, cloned by PID 1 into its namespaces, becomes the service. `exec-probe`: it
//! enters the namespaces of a service that runs, and a child of it becomes another program there.

use crate::limits::EXIT_STEP_FAILED;
use crate::steps::action::Action;
use crate::steps::build::{BuildError, build, build_probe};
use crate::steps::execute::carry_out;
use crate::sys::process;
use hearth_model::limits::{LAUNCHER_PLAN_FD, LAUNCHER_STATUS_FD, PLAN_MAX};
use hearth_model::plan::Plan;
use hearth_model::step::{Step, StepFailure};
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;

/// How a plan becomes a list.
type Build = fn(&Plan) -> Result<Vec<Action>, BuildError>;

/// Carries out the plan on descriptor 3. Returns only when a step failed, with the exit status: the step
/// is then in the status pipe, descriptor 4, and in words on standard error.
#[must_use]
pub fn exec_plan() -> u8 {
    exec("exec-plan", build)
}

/// Executes the plan's program in the sandbox of the process on descriptor 5, and returns its status. A step
/// that failed is told as by [`exec_plan`].
#[must_use]
pub fn exec_probe() -> u8 {
    exec("exec-probe", build_probe)
}

fn exec(name: &str, build: Build) -> u8 {
    if let Err(errno) = process::close_on_exec(LAUNCHER_STATUS_FD) {
        eprintln!(
            "hearth-sandbox: no status pipe on descriptor {LAUNCHER_STATUS_FD}: {errno}; \
             {name} is for PID 1, try `hearth-sandbox run`"
        );
        return EXIT_STEP_FAILED;
    }
    let (failure, detail) = attempt(build);
    report(failure);
    eprintln!("hearth-sandbox: {failure}{detail}");
    EXIT_STEP_FAILED
}

/// Returns the failed step and what is known beyond it.
fn attempt(build: Build) -> (StepFailure, String) {
    let refused = |step: Step, errno: i32, text: String| {
        let failure = StepFailure {
            step,
            index: 0,
            errno,
        };
        (failure, format!("; {text}"))
    };
    let bytes = match read_plan() {
        Ok(bytes) => bytes,
        Err(error) => {
            let errno = error.raw_os_error().unwrap_or(libc::EIO);
            return refused(Step::ReadPlan, errno, error.to_string());
        }
    };
    let plan = match Plan::decode(&bytes) {
        Ok(plan) => plan,
        Err(error) => return refused(Step::ReadPlan, libc::EINVAL, error.to_string()),
    };
    let list = match build(&plan) {
        Ok(list) => list,
        Err(error) => return refused(Step::Seccomp, libc::EINVAL, error.to_string()),
    };
    let failure = carry_out(&list);
    let same = list
        .iter()
        .find(|action| action.step == failure.step && action.index == failure.index);
    let detail = same.map(|action| format!("; {}", action.operation));
    (failure, detail.unwrap_or_default())
}

/// The bytes of the plan. Read at offset 0: the file's position is shared with every earlier start.
fn read_plan() -> std::io::Result<Vec<u8>> {
    let file = File::from(process::inherited(LAUNCHER_PLAN_FD)?);
    // One byte more than allowed, so that a plan that is too large is refused, not cut.
    let mut bytes = vec![0; PLAN_MAX + 1];
    let mut length = 0;
    while let Some(rest) = bytes.get_mut(length..) {
        match file.read_at(rest, length as u64)? {
            0 => break,
            count => length += count,
        }
    }
    bytes.truncate(length);
    Ok(bytes)
}

fn report(failure: StepFailure) {
    match process::inherited(LAUNCHER_STATUS_FD) {
        // Where nobody reads any more, the exit status still says that the start failed.
        Ok(pipe) => drop(File::from(pipe).write_all(&failure.to_bytes())),
        Err(errno) => eprintln!("hearth-sandbox: no status pipe: {errno}"),
    }
}

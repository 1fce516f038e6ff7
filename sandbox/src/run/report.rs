//! `--dry-run`: the plan as it would be carried out here, for people and as JSON.

use super::gates;
use super::plan::{Missing, NotApplied, Prepared, miss};
use crate::outside::cgroup::{self, CgroupError, Limits};
use crate::steps::action::Action;
use crate::steps::build::build;
use crate::steps::landlock;
use crate::sys::process;
use hearth_model::cgroup::Setting;
use hearth_model::gate::Gate;
use serde::Serialize;
use std::fs;
use std::io::{self, Write as _};

/// All that a dry run tells.
#[derive(Serialize)]
struct Report {
    /// Files of the control group and their values.
    limits: Vec<Limit>,
    /// What the control group's gates allow.
    gates: Vec<String>,
    /// What is done, in order.
    steps: Vec<Done>,
    /// Landlock's level in this kernel, 0 for none.
    landlock_level: u32,
    /// What is not done, and why.
    not_applied: Vec<NotApplied>,
}

#[derive(Serialize)]
struct Limit {
    file: String,
    value: String,
}

/// A step that would be done.
#[derive(Serialize)]
struct Done {
    /// As it is reported where it fails.
    step: String,
    index: u16,
    what: &'static str,
    detail: String,
}

impl Done {
    fn of(action: &Action) -> Done {
        Done {
            step: format!("{:?}", action.step),
            index: action.index,
            what: action.step.words(),
            detail: action.operation.to_string(),
        }
    }
}

/// Prints the report and returns the exit status 0.
///
/// # Errors
/// A sentence: no list can be made of the plan, or it can not be printed.
pub fn dry_run(prepared: Prepared, json: bool) -> Result<u8, String> {
    let list = build(&prepared.plan).map_err(|error| error.to_string())?;
    let mut missing = prepared.missing;
    if let Err(error) = can_limit(&prepared.limits) {
        for setting in prepared.limits.settings() {
            miss(&mut missing, format!("limit {setting}"), error.to_string());
        }
        let why = "they stand at the control group, and there is none";
        miss(&mut missing, gates::WORDS, why);
    } else if process::effective_uid() != 0 {
        miss(&mut missing, gates::WORDS, "that takes root");
    }
    let text = if json {
        let report = Report {
            limits: prepared
                .limits
                .settings()
                .into_iter()
                .map(of_setting)
                .collect(),
            gates: prepared.gate.words(),
            steps: list.iter().map(Done::of).collect(),
            landlock_level: landlock::kernel_level(),
            not_applied: missing,
        };
        serde_json::to_string_pretty(&report).map_err(|error| error.to_string())?
    } else {
        in_words(&prepared.limits, &prepared.gate, &list, &missing)
    };
    match writeln!(io::stdout(), "{text}") {
        // Who reads it has enough, as in `... --dry-run -- cmd | head`.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(format!("can not print the plan: {error}"))
        }
        Ok(()) | Err(_) => Ok(0),
    }
}

fn of_setting(setting: Setting) -> Limit {
    Limit {
        file: setting.file,
        value: setting.value,
    }
}

fn in_words(limits: &Limits, gate: &Gate, list: &[Action], missing: &Missing) -> String {
    let limits = limits.settings().into_iter();
    let limits = limits.map(|setting| format!("    limit {setting}"));
    let gates = gate.words().into_iter();
    let gates = gates.map(|words| format!("    gate {words}"));
    let steps = list
        .iter()
        .enumerate()
        .map(|(n, action)| format!("{:>3} {action}", n + 1));
    let lacks = missing
        .iter()
        .map(|lack| format!("    not applied: {}: {}", lack.what, lack.why));
    let lines: Vec<String> = limits.chain(gates).chain(steps).chain(lacks).collect();
    lines.join("\n")
}

/// Whether the machine has what these limits need; makes nothing.
fn can_limit(limits: &Limits) -> Result<(), CgroupError> {
    let folder = cgroup::mount_point()?;
    let path = folder.join("cgroup.controllers");
    let offered = fs::read_to_string(&path).map_err(|error| CgroupError::File { path, error })?;
    for setting in limits.settings() {
        let controller = setting.controller;
        if !offered.split_whitespace().any(|name| name == controller) {
            return Err(CgroupError::NoController { controller, folder });
        }
    }
    let path = folder.join("cgroup.subtree_control");
    match fs::OpenOptions::new().write(true).open(&path) {
        Ok(_) => Ok(()),
        Err(error) => Err(CgroupError::File { path, error }),
    }
}

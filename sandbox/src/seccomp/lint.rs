//! What is wrong with the system calls that a manifest asks for, beyond what the manifest's own check knows:
//! names that there are not, calls that no manifest can have, and entries that add nothing. An allow-list
//! that is never cleared only grows.

use super::policy::{Policy, PolicyError, Rule};
use hearth_model::manifest::Manifest;
use hearth_model::plan::SeccompPlan;
use serde::Deserialize;
use std::path::PathBuf;
use toml::Spanned;

/// Arguments of `lint`.
#[derive(clap::Args, Debug)]
pub struct LintArgs {
    /// Manifests
    #[arg(required = true, value_name = "MANIFEST")]
    files: Vec<PathBuf>,
}

/// Prints every fault of every manifest. 0: none; 1: some; what could not be read is one.
#[must_use]
pub fn command(args: &LintArgs) -> u8 {
    let mut faults = Vec::new();
    for file in &args.files {
        match std::fs::read_to_string(file) {
            Ok(text) => faults.extend(lint(&file.to_string_lossy(), &text)),
            Err(error) => faults.push(format!("{}: can not be read: {error}", file.display())),
        }
    }
    for fault in &faults {
        eprintln!("{fault}");
    }
    u8::from(!faults.is_empty())
}

/// The part of a manifest that this looks at, with its places.
#[derive(Default, Deserialize)]
struct Places {
    #[serde(default)]
    sandbox: Section,
}

#[derive(Default, Deserialize)]
struct Section {
    #[serde(default)]
    policies: Vec<Spanned<String>>,
    #[serde(default)]
    syscall: Vec<Single>,
}

#[derive(Deserialize)]
struct Single {
    name: Spanned<String>,
}

/// Every fault of the manifest with this text, one line each: `file:line: what, why, what to do`. None is
/// good.
#[must_use]
pub fn lint(file: &str, text: &str) -> Vec<String> {
    if let Err(errors) = Manifest::parse(file, text) {
        return errors.to_string().lines().map(str::to_owned).collect();
    }
    let places: Places = match toml::from_str(text) {
        Ok(places) => places,
        Err(error) => return vec![format!("{file}: {error}")],
    };
    let Section { policies, syscall } = places.sandbox;
    let names: Vec<String> = policies.iter().map(|one| one.get_ref().clone()).collect();
    let mut faults: Vec<(usize, String)> = Vec::new();
    for (n, policy) in policies.iter().enumerate() {
        let mut others = names.clone();
        others.remove(n);
        if let Some(fault) = policy_fault(policy.get_ref(), &names, others) {
            faults.push((policy.span().start, fault));
        }
    }
    let named = |names: &[String]| {
        Policy::select(&SeccompPlan {
            policies: names.to_vec(),
            extra: vec![],
        })
    };
    // Where a policy is unknown, its fault says so; the calls are then judged by base alone.
    if let Ok(policy) = named(&names).or_else(|_| named(&[])) {
        for Single { name } in &syscall {
            if let Some(fault) = call_fault(name.get_ref(), &policy) {
                faults.push((name.span().start, fault));
            }
        }
    }
    faults.sort();
    let line = |at: usize| text.get(..at).unwrap_or(text).matches('\n').count() + 1;
    faults
        .into_iter()
        .map(|(at, fault)| format!("{file}:{}: {fault}", line(at)))
        .collect()
}

fn policy_fault(policy: &str, all: &[String], others: Vec<String>) -> Option<String> {
    let select = |policies: &[String]| {
        Policy::select(&SeccompPlan {
            policies: policies.to_vec(),
            extra: vec![],
        })
    };
    if let Err(error) = select(&[policy.to_owned()]) {
        return Some(format!("sandbox.policies: {error}"));
    }
    // Where another one is wrong, that one has a fault of its own.
    let (with, without) = (select(all).ok()?, select(&others).ok()?);
    adds_nothing(&with, &without)
        .then(|| format!("sandbox.policies: the others allow all of {policy:?}: take it out"))
}

/// Whether `without` allows all that `with` does.
fn adds_nothing(with: &Policy, without: &Policy) -> bool {
    let covered = |(call, rule): (&String, &Rule)| match (without.allowed.get(call), rule) {
        (Some(Rule::Always), _) => true,
        (Some(Rule::When(ours)), Rule::When(theirs)) => {
            theirs.iter().all(|alternative| ours.contains(alternative))
        }
        (Some(Rule::When(_)), Rule::Always) | (None, _) => false,
    };
    with.capabilities == without.capabilities && with.allowed.iter().all(covered)
}

fn call_fault(call: &str, policy: &Policy) -> Option<String> {
    let plan = SeccompPlan {
        policies: vec![],
        extra: vec![call.to_owned()],
    };
    let fault = match Policy::select(&plan) {
        Err(
            error @ (PolicyError::UnknownCall(_)
            | PolicyError::Refused { .. }
            | PolicyError::Conditional { .. }),
        ) => error.to_string(),
        Err(PolicyError::UnknownPolicy(_) | PolicyError::File { .. } | PolicyError::Compile(_))
        | Ok(_) => match policy.allowed.get(call) {
            Some(Rule::Always) => {
                format!("its policies allow the system call {call} already: take it out")
            }
            Some(Rule::When(_)) | None => return None,
        },
    };
    Some(format!("sandbox.syscall: {fault}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const AROUND: &str = "[service]\nname = \"a\"\nversion = \"1\"\nexec = [\"/a\"]\n[resources.memory]\n\
                          max = \"8 MiB\"\n[resources.pids]\nmax = 4\n[sandbox]\n"; // 9 lines

    fn faults(sandbox: &str) -> Vec<String> {
        lint("m", &format!("{AROUND}{sandbox}"))
    }

    fn single(name: &str) -> String {
        format!("[[sandbox.syscall]]\nname = \"{name}\"\nreason = \"it does\"\n")
    }

    #[test]
    fn a_manifest_that_asks_for_what_it_can_have_is_good() {
        assert_eq!(faults(""), [""; 0]);
        let good = format!(
            "policies = [\"network-client\", \"exec-children\"]\n{}{}",
            single("ptrace"),
            single("sched_setaffinity")
        );
        assert_eq!(faults(&good), [""; 0]);
    }

    #[test]
    fn every_fault_is_told_with_its_line() {
        for (sandbox, expected) in [
            (
                "policies = [\"network\"]",
                &["m:10: sandbox.policies: there is no policy \"network\""][..],
            ),
            (
                "policies = [\n\"network-server\",\n\"network-client\",\n]",
                &["m:12: sandbox.policies: the others allow all of \"network-client\""],
            ),
            (
                &single("opne"),
                &["m:11: sandbox.syscall: there is no system call \"opne\""],
            ),
            (
                &single("bpf"),
                &["m:11: sandbox.syscall: no service gets the system call bpf: runs code"],
            ),
            (
                &single("clone3"),
                &["m:11: sandbox.syscall: no service gets the system call clone3"],
            ),
            (
                &single("clone"),
                &["m:11: sandbox.syscall: the system call clone is only safe with some"],
            ),
            (
                &single("read"),
                &["m:11: sandbox.syscall: its policies allow the system call read already"],
            ),
            (
                &format!(
                    "policies = [\"network-server\"]\n{}{}",
                    single("listen"),
                    single("fork")
                ),
                &["m:12: sandbox.syscall: its policies allow the system call listen already"],
            ),
            (
                &format!("policies = [\"x\"]\n{}", single("mount")),
                &[
                    "m:10: sandbox.policies: there is no policy \"x\"",
                    "m:12: sandbox.syscall: no service gets",
                ],
            ),
            ("nonsense = 1", &["m:10: "]),
        ] {
            let found = faults(sandbox);
            assert_eq!(found.len(), expected.len(), "{sandbox}: {found:#?}");
            for (found, expected) in found.iter().zip(expected) {
                assert!(found.starts_with(expected), "{found}");
            }
        }
    }

    #[test]
    fn no_manifest_of_this_tree_has_a_fault() {
        let mut count = 0;
        for folder in ["board/common/services", "board/tests/packages"] {
            let folder = format!("{}/../{folder}", env!("CARGO_MANIFEST_DIR"));
            for entry in std::fs::read_dir(&folder).unwrap() {
                let file = entry.unwrap().path().join("manifest.toml");
                let text = std::fs::read_to_string(&file).unwrap();
                assert_eq!(lint(file.to_str().unwrap(), &text), [""; 0]);
                count += 1;
            }
        }
        assert!(count >= 5, "{count} manifests");
    }
}

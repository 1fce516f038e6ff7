//! The policy files as this program was built with them: read, checked, and their conditions compiled
//! (`build.rs`). A start adds up the layers that its plan names, and parses nothing. What comes out is what
//! [`Policy`] and [`compile`](super::filter::compile) make of the files' text; a test compares them.

use super::abi::Abi;
use super::filter::{Program, compile, fitting};
use super::instruction::Instruction;
use super::policy::{Policy, PolicyError};
use super::tree::Verdicts;
use crate::sys::privilege::Capabilities;
use hearth_model::plan::SeccompPlan;

/// All files, for one word size.
struct Files {
    newest: u32,
    base: Layer,
    differences: &'static [(&'static str, Layer)],
    /// Calls that end whoever makes them.
    killed: &'static [u32],
    /// Calls that a manifest may add one by one; those of the other word size have no number.
    single: &'static [(&'static str, Option<u32>)],
}

/// One file.
struct Layer {
    always: &'static [u32],
    conditional: &'static [(u32, &'static [Instruction])],
    absent: &'static [u32],
    capabilities: &'static [u8],
}

include!(concat!(env!("OUT_DIR"), "/policies.rs"));

/// What a plan's service may do.
#[derive(Debug, PartialEq, Eq)]
pub struct Selected {
    /// The filter.
    pub program: Program,
    /// The capabilities that it keeps.
    pub capabilities: Capabilities,
}

/// The filter and the capabilities for `plan`.
///
/// # Errors
/// Those of [`Policy::select`] and [`compile`](super::filter::compile).
pub fn select(plan: &SeccompPlan, abi: Abi) -> Result<Selected, PolicyError> {
    match add_up(plan, abi) {
        Some(selected) => Ok(Selected {
            program: fitting(selected.program)?,
            ..selected
        }),
        // A wrong name: the files' text says why.
        None => from_text(plan, abi),
    }
}

fn from_text(plan: &SeccompPlan, abi: Abi) -> Result<Selected, PolicyError> {
    let policy = Policy::select(plan)?;
    Ok(Selected {
        program: compile(&policy, abi)?,
        capabilities: policy.capabilities,
    })
}

fn add_up(plan: &SeccompPlan, abi: Abi) -> Option<Selected> {
    let files = match abi {
        Abi::I386 => &I386,
        Abi::X86_64 => &X86_64,
    };
    let mut layers = vec![&files.base];
    for name in &plan.policies {
        let (_, layer) = files.differences.iter().find(|(known, _)| known == name)?;
        layers.push(layer);
    }
    let mut verdicts = Verdicts::new(abi, files.newest);
    let mut capabilities = Capabilities::NONE;
    for layer in &layers {
        layer.always.iter().for_each(|call| verdicts.allow(*call));
        for (call, piece) in layer.conditional {
            verdicts.allow_where(*call, piece);
        }
        for &capability in layer.capabilities {
            capabilities = capabilities.with(capability);
        }
    }
    for name in &plan.extra {
        let (_, number) = files.single.iter().find(|(known, _)| known == name)?;
        number.iter().for_each(|call| verdicts.allow(*call));
    }
    let absent = layers.iter().flat_map(|layer| layer.absent);
    absent.for_each(|call| verdicts.hide(*call));
    files.killed.iter().for_each(|call| verdicts.kill(*call));
    Some(Selected {
        program: verdicts.filter(),
        capabilities,
    })
}

#[cfg(test)]
mod tests {
    use super::super::data::DIFFERENCES;
    use super::*;

    fn plan(policies: &[&str], extra: &[&str]) -> SeccompPlan {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        SeccompPlan {
            policies: owned(policies),
            extra: owned(extra),
        }
    }

    #[test]
    fn every_choice_of_policies_is_what_the_files_say() {
        // given each subset of the policies, with and without single calls
        for subset in 0..1_u32 << DIFFERENCES.len() {
            let names: Vec<&str> = (0..)
                .zip(DIFFERENCES)
                .filter(|(bit, _)| subset >> bit & 1 == 1)
                .map(|(_, (name, _))| *name)
                .collect();
            for extra in [&[][..], &["ptrace", "sched_setaffinity", "vfork"]] {
                let plan = plan(&names, extra);
                for abi in Abi::ALL {
                    // when it is added up from the layers, then nothing differs
                    let expected = from_text(&plan, abi).unwrap();
                    assert_eq!(add_up(&plan, abi), Some(expected), "{abi:?} {plan:?}");
                }
            }
        }
    }

    #[test]
    fn a_single_call_is_what_the_files_say() {
        // given calls that are allowed, missing in one word size, killed, refused, conditional, absent
        for call in [
            "read", "vfork", "ptrace", "bpf", "mount", "socket", "clone3", "ipc",
        ] {
            for abi in Abi::ALL {
                let plan = plan(&[], &[call]);
                let expected = from_text(&plan, abi).ok();
                assert_eq!(add_up(&plan, abi), expected, "{call}");
            }
        }
    }

    #[test]
    fn a_wrong_name_is_an_error_that_says_why() {
        for (plan, part) in [
            (plan(&["network"], &[]), "there is no policy"),
            (plan(&[], &["opne"]), "no system call"),
            (plan(&[], &["bpf"]), "no service gets"),
            (plan(&[], &["socket"]), "name a policy"),
        ] {
            let error = select(&plan, Abi::NATIVE).unwrap_err();
            assert!(error.to_string().contains(part), "{error}");
        }
    }
}

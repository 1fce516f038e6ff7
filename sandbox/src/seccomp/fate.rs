//! What comes of a call that a service's policy does not allow, and what its manifest can do about it.

use super::abi::Abi;
use super::data::{self, DIFFERENCES, Decided, Entry, Manifest};
use super::error::PolicyError;

/// What the kernel does with a call that the service's policy does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Ends the program with SIGSYS.
    Killed,
    /// EPERM.
    Refused,
    /// ENOSYS: libraries use an older call.
    Absent,
}

/// What a manifest can do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// `[[sandbox.syscall]]` with its name and a reason.
    Manifest,
    /// `sandbox.policies`: it is only safe with some arguments, and these know which; with arguments that
    /// none of them allows, nothing.
    Policies(Vec<&'static str>),
    /// Nothing, for this reason.
    None {
        /// Why no service gets it.
        why: String,
    },
}

/// What comes of a call that the service's policy does not allow, and what its manifest can do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fate {
    /// What the kernel does.
    pub answer: Answer,
    /// What can be done.
    pub remedy: Remedy,
}

/// The fate of the call with this name.
///
/// # Errors
/// [`PolicyError::UnknownCall`], [`PolicyError::File`].
pub fn fate(call: &str) -> Result<Fate, PolicyError> {
    if !Abi::ALL.iter().any(|abi| abi.number(call).is_some()) {
        return Err(PolicyError::UnknownCall(call.to_owned()));
    }
    let has = |calls: &[String]| calls.iter().any(|known| known == call);
    let decided = |answer, groups: Vec<Decided>| {
        let group = groups.into_iter().find(|group| has(&group.calls))?;
        let remedy = match group.manifest {
            Manifest::MayAllow => Remedy::Manifest,
            Manifest::Never => Remedy::None { why: group.why },
        };
        Some(Fate { answer, remedy })
    };
    let (refused, base) = (data::refused()?, data::base()?);
    if let Some(group) = base.absent.into_iter().find(|group| has(&group.calls)) {
        return Ok(Fate {
            answer: Answer::Absent,
            remedy: Remedy::None { why: group.why },
        });
    }
    let listed = decided(Answer::Killed, refused.killed);
    if let Some(fate) = listed.or_else(|| decided(Answer::Refused, refused.refused)) {
        return Ok(fate);
    }
    let limited = |entries: &[Entry]| {
        entries
            .iter()
            .any(|entry| !entry.when.is_empty() && has(&entry.calls))
    };
    let mut is_limited = limited(&base.allow);
    let mut policies = Vec::new();
    for &(name, _) in DIFFERENCES {
        let allow = data::difference(name)?.allow;
        is_limited |= limited(&allow);
        if allow.iter().any(|entry| has(&entry.calls)) {
            policies.push(name);
        }
    }
    Ok(Fate {
        answer: Answer::Refused,
        remedy: if is_limited {
            Remedy::Policies(policies)
        } else {
            Remedy::Manifest
        },
    })
}

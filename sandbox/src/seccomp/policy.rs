//! What the policy files add up to for one service: its [`Policy`] is `base` plus the differences and
//! single calls that its plan names. What comes of a call that it does not allow is its [`Fate`].

use super::data::{self, Condition, Entry, PolicyFile};
use crate::sys::privilege::Capabilities;
use hearth_model::plan::SeccompPlan;
use std::collections::BTreeMap;

pub use super::data::DIFFERENCES;
pub use super::error::PolicyError;
pub use super::fate::{Answer, Fate, Remedy, fate};

/// When a call is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Always.
    Always,
    /// When all conditions of one of these lists hold.
    When(Vec<Vec<Condition>>),
}

impl Rule {
    /// Whether the call is allowed with these arguments.
    #[must_use]
    pub fn holds(&self, args: &[u64; 6]) -> bool {
        match self {
            Rule::Always => true,
            Rule::When(alternatives) => alternatives
                .iter()
                .any(|conditions| conditions.iter().all(|condition| condition.holds(args))),
        }
    }
}

/// All that one service's filter says, by name of call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Calls that are allowed, and when.
    pub allowed: BTreeMap<String, Rule>,
    /// Calls that the service is told its kernel lacks (ENOSYS).
    pub absent: Vec<String>,
    /// Calls that end the program.
    pub killed: Vec<String>,
    /// Capabilities that are kept; none but where a difference says so.
    pub capabilities: Capabilities,
}

impl Policy {
    /// The policy for a plan: base, its differences, its single calls.
    ///
    /// # Errors
    /// Every [`PolicyError`] but `Compile`.
    pub fn select(plan: &SeccompPlan) -> Result<Policy, PolicyError> {
        let mut policy = Policy {
            allowed: BTreeMap::new(),
            absent: Vec::new(),
            killed: Vec::new(),
            capabilities: Capabilities::NONE,
        };
        policy.add(data::base()?);
        for name in &plan.policies {
            policy.add(data::difference(name)?);
        }
        for call in &plan.extra {
            match fate(call)?.remedy {
                Remedy::Manifest => policy.allow(call.clone(), Vec::new()),
                Remedy::Policies(_) => return Err(PolicyError::Conditional { call: call.clone() }),
                Remedy::None { why } => {
                    let call = call.clone();
                    return Err(PolicyError::Refused { call, why });
                }
            }
        }
        let dangerous = data::refused()?.killed;
        let dangerous = dangerous.into_iter().flat_map(|group| group.calls);
        policy.killed = dangerous
            .filter(|call| !policy.allowed.contains_key(call))
            .collect();
        Ok(policy)
    }

    fn add(&mut self, file: PolicyFile) {
        for Entry { calls, when, .. } in file.allow {
            for call in calls {
                self.allow(call, when.clone());
            }
        }
        self.absent
            .extend(file.absent.into_iter().flat_map(|group| group.calls));
        for number in file.capabilities {
            self.capabilities = self.capabilities.with(number);
        }
    }

    /// Widens the rule of one call; an unconditional one stays so.
    fn allow(&mut self, call: String, when: Vec<Condition>) {
        let rule = self.allowed.entry(call).or_insert(Rule::When(Vec::new()));
        match rule {
            Rule::Always => {}
            Rule::When(_) if when.is_empty() => *rule = Rule::Always,
            Rule::When(alternatives) => alternatives.push(when),
        }
    }

    /// Whether it allows this call with these arguments.
    #[must_use]
    pub fn allows(&self, call: &str, args: &[u64; 6]) -> bool {
        self.allowed.get(call).is_some_and(|rule| rule.holds(args))
    }
}

#[cfg(test)]
mod tests {
    use super::super::abi::Abi;
    use super::super::data::Decided;
    use super::*;

    fn plan(policies: &[&str], extra: &[&str]) -> SeccompPlan {
        SeccompPlan {
            policies: policies.iter().map(|&name| name.to_owned()).collect(),
            extra: extra.iter().map(|&name| name.to_owned()).collect(),
        }
    }

    fn everything() -> Vec<&'static str> {
        DIFFERENCES.iter().map(|&(name, _)| name).collect()
    }

    /// Every policy at once.
    fn widest() -> Policy {
        Policy::select(&plan(&everything(), &[])).unwrap()
    }

    #[test]
    fn every_name_in_a_shipped_file_is_a_call() {
        let (policy, refused) = (widest(), data::refused().unwrap());
        let decided = refused.killed.iter().chain(&refused.refused);
        let named = policy.allowed.keys().chain(&policy.absent);
        for call in named.chain(decided.flat_map(|group| &group.calls)) {
            assert!(fate(call).is_ok(), "{call}");
        }
    }

    #[test]
    fn every_call_of_both_word_sizes_is_decided_in_exactly_one_place() {
        let (policy, refused) = (widest(), data::refused().unwrap());
        let all = Abi::ALL.iter().flat_map(|abi| abi.calls());
        for (_, call) in all {
            let in_groups = |groups: &[Decided]| -> usize {
                let calls = groups.iter().flat_map(|group| &group.calls);
                calls.filter(|known| *known == call).count()
            };
            let absent = policy.absent.iter().filter(|known| *known == call).count();
            let places = usize::from(policy.allowed.contains_key(call))
                + absent
                + in_groups(&refused.killed)
                + in_groups(&refused.refused);
            assert_eq!(places, 1, "{call}");
        }
    }

    #[test]
    fn the_fate_of_a_call_says_what_happens_and_what_can_be_done() {
        for (call, answer) in [
            ("bpf", Answer::Killed),
            ("ptrace", Answer::Killed),
            ("mount", Answer::Refused),
            ("clone3", Answer::Absent),
            ("fork", Answer::Refused),
        ] {
            assert_eq!(fate(call).unwrap().answer, answer, "{call}");
        }
        assert_eq!(fate("ptrace").unwrap().remedy, Remedy::Manifest);
        assert_eq!(fate("listen").unwrap().remedy, Remedy::Manifest);
        let policies = Remedy::Policies(vec!["exec-children"]);
        assert_eq!(fate("clone").unwrap().remedy, policies);
        assert!(matches!(fate("bpf").unwrap().remedy, Remedy::None { .. }));
    }

    #[test]
    fn differences_widen_and_never_narrow() {
        let base = Policy::select(&plan(&[], &[])).unwrap();
        let both = Policy::select(&plan(&["network-client", "network-server"], &[])).unwrap();
        assert!(!base.allowed.contains_key("listen"));
        assert_eq!(both.allowed["listen"], Rule::Always);
        // client limits socketcall, server does not
        assert_eq!(both.allowed["socketcall"], Rule::Always);
        match (&base.allowed["socket"], &both.allowed["socket"]) {
            (Rule::When(few), Rule::When(more)) => assert!(more.len() > few.len()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn only_the_address_server_keeps_a_capability() {
        for (name, _) in DIFFERENCES {
            let policy = Policy::select(&plan(&[name], &[])).unwrap();
            let expected = match *name {
                "dhcp-server" => Capabilities::NONE.with(10).with(12),
                _ => Capabilities::NONE,
            };
            assert_eq!(policy.capabilities, expected, "{name}");
        }
    }

    #[test]
    fn a_wrong_name_is_an_error_that_says_what_there_is() {
        let error = Policy::select(&plan(&["network"], &[])).unwrap_err();
        assert_eq!(error, PolicyError::UnknownPolicy("network".into()));
        assert!(error.to_string().contains("network-server"), "{error}");
        let error = Policy::select(&plan(&[], &["opne"])).unwrap_err();
        assert_eq!(error, PolicyError::UnknownCall("opne".into()));
    }

    #[test]
    fn a_manifest_can_add_a_call_but_not_undo_a_refusal_or_a_condition() {
        let policy = Policy::select(&plan(&[], &["sched_setaffinity"])).unwrap();
        assert_eq!(policy.allowed["sched_setaffinity"], Rule::Always);
        // a dangerous one that it may ask for does not kill any more
        let policy = Policy::select(&plan(&[], &["ptrace"])).unwrap();
        assert_eq!(policy.allowed["ptrace"], Rule::Always);
        assert!(!policy.killed.contains(&"ptrace".to_owned()));
        assert!(policy.killed.contains(&"bpf".to_owned()));
        for call in ["mount", "bpf", "setns", "unshare", "clone3"] {
            let error = Policy::select(&plan(&[], &[call])).unwrap_err();
            assert!(matches!(error, PolicyError::Refused { .. }), "{call}");
        }
        for call in ["clone", "socket", "ioctl", "prctl", "socketcall"] {
            let error = Policy::select(&plan(&[], &[call])).unwrap_err();
            assert!(matches!(error, PolicyError::Conditional { .. }), "{call}");
        }
    }
}

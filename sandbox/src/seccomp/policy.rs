//! Policies: the commented files of `sandbox/policy/`, and what they add up to for one service.
//!
//! A service's [`Policy`] is `base` plus the differences and single calls that its plan names. The
//! files are part of this program: nothing on a disk can widen them.

use super::abi::Abi;
use super::constants;
use crate::sys::privilege::Capabilities;
use hearth_model::plan::SeccompPlan;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;

/// What a plan may name, with the files' text.
pub const DIFFERENCES: &[(&str, &str)] = &[
    (
        "network-client",
        include_str!("../../policy/network-client.toml"),
    ),
    (
        "network-server",
        include_str!("../../policy/network-server.toml"),
    ),
    ("netlink", include_str!("../../policy/netlink.toml")),
    ("dhcp-server", include_str!("../../policy/dhcp-server.toml")),
    (
        "exec-children",
        include_str!("../../policy/exec-children.toml"),
    ),
];

const BASE: &str = include_str!("../../policy/base.toml");
const REFUSED: &str = include_str!("../../policy/refused.toml");

/// Why there is no policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicyError {
    /// A plan names a policy that does not exist.
    UnknownPolicy(String),
    /// A plan names a system call that neither word size has.
    UnknownCall(String),
    /// A plan names a call that no service gets.
    Refused {
        /// The call.
        call: String,
        /// Why nobody gets it.
        why: String,
    },
    /// A plan names a call that a policy allows only with some arguments.
    Conditional {
        /// The call.
        call: String,
    },
    /// A policy file is wrong; the tests of this crate make that impossible in a released program.
    File {
        /// Which.
        file: &'static str,
        /// What is wrong, with its line where known.
        reason: String,
    },
    /// The filter could not be made.
    Compile(String),
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PolicyError::UnknownPolicy(name) => {
                write!(f, "there is no policy {name:?}; there are:")?;
                DIFFERENCES
                    .iter()
                    .try_for_each(|(known, _)| write!(f, " {known}"))
            }
            PolicyError::UnknownCall(name) => {
                write!(f, "there is no system call {name:?}; see syscalls(2)")
            }
            PolicyError::Refused { call, why } => {
                write!(f, "no service gets the system call {call}: {why}")
            }
            PolicyError::Conditional { call } => write!(
                f,
                "the system call {call} is only safe with some arguments: name a policy instead"
            ),
            PolicyError::File { file, reason } => write!(f, "policy {file}: {reason}"),
            PolicyError::Compile(reason) => write!(f, "no filter from this policy: {reason}"),
        }
    }
}

impl std::error::Error for PolicyError {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    allow: Vec<Allow>,
    #[serde(default)]
    absent: Vec<Group>,
    #[serde(default)]
    refused: Vec<Group>,
    #[serde(default)]
    capability: Vec<Capability>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Capability {
    name: String,
    why: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Allow {
    calls: Vec<String>,
    why: String,
    #[serde(default)]
    when: Vec<RawCondition>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    calls: Vec<String>,
    why: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawCondition {
    arg: u8,
    #[serde(default)]
    mask: Vec<String>,
    #[serde(default)]
    one_of: Vec<String>,
    #[serde(default)]
    none_of: Vec<String>,
}

/// What the low 32 bits of an argument must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// One of these values, after the mask.
    OneOf {
        /// Which argument, 0 to 5.
        arg: u8,
        /// Bits that count.
        mask: u32,
        /// The values.
        values: Vec<u32>,
    },
    /// None of these values.
    NoneOf {
        /// Which argument, 0 to 5.
        arg: u8,
        /// The values.
        values: Vec<u32>,
    },
}

/// When a call is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Always.
    Always,
    /// When all conditions of one of these lists hold.
    When(Vec<Vec<Condition>>),
}

/// All that one service's filter says, by name of call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Calls that are allowed, and when.
    pub allowed: BTreeMap<String, Rule>,
    /// Calls that the service is told its kernel lacks (ENOSYS).
    pub absent: Vec<String>,
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
            capabilities: Capabilities::NONE,
        };
        let refused = parse("refused", REFUSED)?.refused;
        policy.add("base", BASE)?;
        for name in &plan.policies {
            let known = DIFFERENCES.iter().find(|(known, _)| known == name);
            let (file, text) = known.ok_or_else(|| PolicyError::UnknownPolicy(name.clone()))?;
            policy.add(file, text)?;
        }
        for call in &plan.extra {
            policy.add_extra(call, &refused)?;
        }
        Ok(policy)
    }

    fn add(&mut self, file: &'static str, text: &str) -> Result<(), PolicyError> {
        let parsed = parse(file, text)?;
        for entry in parsed.allow {
            let when = conditions(file, &entry.when)?;
            for call in entry.calls {
                self.allow(call, when.clone());
            }
        }
        for group in parsed.absent {
            self.absent.extend(group.calls);
        }
        for Capability { name, .. } in parsed.capability {
            let reason = || format!("{name} is not a capability that a policy may grant");
            let number = constants::capability(&name);
            let number = number.ok_or_else(|| PolicyError::File {
                file,
                reason: reason(),
            })?;
            self.capabilities = self.capabilities.with(number);
        }
        Ok(())
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

    fn add_extra(&mut self, call: &str, refused: &[Group]) -> Result<(), PolicyError> {
        if !is_call(call) {
            return Err(PolicyError::UnknownCall(call.to_owned()));
        }
        let holds = |group: &&Group| group.calls.iter().any(|known| known == call);
        if let Some(group) = refused.iter().find(holds) {
            return Err(PolicyError::Refused {
                call: call.to_owned(),
                why: group.why.clone(),
            });
        }
        if self.absent.iter().any(|known| known == call) || is_conditional_somewhere(call)? {
            return Err(PolicyError::Conditional {
                call: call.to_owned(),
            });
        }
        self.allow(call.to_owned(), Vec::new());
        Ok(())
    }
}

fn is_call(name: &str) -> bool {
    Abi::ALL.iter().any(|abi| abi.number(name).is_some())
}

/// Whether base or any difference limits this call by its arguments: a manifest can not undo that.
fn is_conditional_somewhere(call: &str) -> Result<bool, PolicyError> {
    for (file, text) in DIFFERENCES.iter().chain(&[("base", BASE)]) {
        let limited =
            |entry: &Allow| !entry.when.is_empty() && entry.calls.iter().any(|c| c == call);
        if parse(file, text)?.allow.iter().any(limited) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A file as it is written: known keys, known calls, a reason for each entry.
fn parse(file: &'static str, text: &str) -> Result<File, PolicyError> {
    let wrong = |reason: String| PolicyError::File { file, reason };
    let parsed: File = toml::from_str(text).map_err(|error| wrong(error.to_string()))?;
    let allowed = parsed.allow.iter().map(|entry| (&entry.calls, &entry.why));
    let groups = parsed.absent.iter().chain(&parsed.refused);
    for (calls, why) in allowed.chain(groups.map(|group| (&group.calls, &group.why))) {
        if why.is_empty() {
            return Err(wrong(format!("{calls:?} has no reason")));
        }
    }
    if let Some(silent) = parsed.capability.iter().find(|one| one.why.is_empty()) {
        return Err(wrong(format!("{} has no reason", silent.name)));
    }
    Ok(parsed)
}

fn conditions(file: &'static str, raw: &[RawCondition]) -> Result<Vec<Condition>, PolicyError> {
    raw.iter()
        .map(|condition| convert(condition).map_err(|reason| PolicyError::File { file, reason }))
        .collect()
}

fn convert(raw: &RawCondition) -> Result<Condition, String> {
    let number =
        |name: &String| constants::value(name).ok_or_else(|| format!("unknown value {name:?}"));
    let numbers = |names: &[String]| names.iter().map(number).collect::<Result<Vec<u32>, _>>();
    let arg = raw.arg;
    match (raw.one_of.as_slice(), raw.none_of.as_slice()) {
        ([], []) | ([_, ..], [_, ..]) => Err("a condition has either one-of or none-of".into()),
        (values, []) => Ok(Condition::OneOf {
            arg,
            mask: numbers(&raw.mask)?
                .into_iter()
                .reduce(|a, b| a | b)
                .unwrap_or(u32::MAX),
            values: numbers(values)?,
        }),
        ([], _) if !raw.mask.is_empty() => Err("none-of takes no mask".into()),
        ([], values) => Ok(Condition::NoneOf {
            arg,
            values: numbers(values)?,
        }),
    }
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn every_shipped_file_parses_and_names_only_calls_that_exist() {
        // given all files at once
        let policy = Policy::select(&plan(&everything(), &[])).unwrap();
        // then each name is a call of at least one word size
        for call in policy.allowed.keys().chain(&policy.absent) {
            assert!(is_call(call), "{call}");
        }
        for group in parse("refused", REFUSED).unwrap().refused {
            for call in group.calls {
                assert!(is_call(&call), "{call}");
            }
        }
    }

    #[test]
    fn no_shipped_policy_allows_what_is_refused() {
        let policy = Policy::select(&plan(&everything(), &[])).unwrap();
        for group in parse("refused", REFUSED).unwrap().refused {
            for call in group.calls {
                assert!(!policy.allowed.contains_key(&call), "{call}");
            }
        }
    }

    #[test]
    fn a_shipped_file_stands_in_the_folder_and_the_folder_holds_no_other() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/policy");
        let mut names: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .filter_map(|entry| entry.unwrap().file_name().into_string().ok())
            .filter_map(|name| name.strip_suffix(".toml").map(str::to_owned))
            .collect();
        names.sort();
        let mut known = everything();
        known.extend(["base", "refused"]);
        known.sort_unstable();
        assert_eq!(names, known);
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
        for call in ["mount", "bpf", "ptrace", "unshare", "io_uring_setup"] {
            let error = Policy::select(&plan(&[], &[call])).unwrap_err();
            assert!(matches!(error, PolicyError::Refused { .. }), "{call}");
        }
        for call in ["clone", "clone3", "socket", "ioctl", "prctl", "socketcall"] {
            let error = Policy::select(&plan(&[], &[call])).unwrap_err();
            assert!(matches!(error, PolicyError::Conditional { .. }), "{call}");
        }
    }

    #[test]
    fn a_bad_file_is_an_error() {
        for (text, part) in [
            ("[[allow]]\ncalls = ['read']\nwhy = ''", "no reason"),
            ("[[alow]]\ncalls = ['read']\nwhy = 'x'", "unknown field"),
            (
                "[[allow]]\ncalls = ['read']\nwhy = 'x'\nwhen = [{ arg = 0 }]",
                "either",
            ),
            (
                "[[allow]]\ncalls = ['read']\nwhy = 'x'\nwhen = [{ arg = 0, one-of = ['X'] }]",
                "unknown value",
            ),
            (
                "[[capability]]\nname = 'CAP_SYS_ADMIN'\nwhy = 'x'",
                "not a capability",
            ),
        ] {
            let mut policy = Policy {
                allowed: BTreeMap::new(),
                absent: vec![],
                capabilities: Capabilities::NONE,
            };
            match policy.add("test", text) {
                Err(PolicyError::File { reason, .. }) => {
                    assert!(reason.contains(part), "{reason}");
                }
                other => panic!("{text}: {other:?}"),
            }
        }
    }
}

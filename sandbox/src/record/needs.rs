//! What a recorded program called beyond the base policy, and what that asks of a manifest. Pure: it reads
//! nothing but the policy files.

use crate::limits::RECORD_NEEDS_MAX;
use crate::seccomp::data::{self, Condition, DIFFERENCES, Entry};
use crate::seccomp::policy::{Answer, Fate, Policy, PolicyError, Remedy, fate};
use hearth_model::plan::SeccompPlan;
use std::collections::{BTreeMap, BTreeSet};

/// A call, and those of its arguments that some policy looks at; the others are 0.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Need {
    /// Its name.
    pub call: String,
    /// Its arguments.
    pub args: [u64; 6],
}

/// What the recorder answers a call with, so that the program goes the way that it would go inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ruling {
    /// The kernel makes it: a manifest can allow it.
    Continue,
    /// It fails with this errno: no manifest can allow it, or the person said so.
    Fail(i32),
}

/// A call that no manifest can allow, with its arguments where they decide.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Forbidden {
    /// The call.
    pub need: Need,
    /// Whether the program would have been killed.
    pub killed: bool,
    /// Why.
    pub why: String,
}

/// Why a recording came to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NeedsError {
    /// The policy files.
    Policy(PolicyError),
    /// More than [`RECORD_NEEDS_MAX`] different calls.
    TooMany,
}

impl std::fmt::Display for NeedsError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            NeedsError::Policy(error) => write!(f, "{error}"),
            NeedsError::TooMany => write!(
                f,
                "more than {RECORD_NEEDS_MAX} calls with different arguments: record a shorter run"
            ),
        }
    }
}

impl std::error::Error for NeedsError {}

impl From<PolicyError> for NeedsError {
    fn from(error: PolicyError) -> NeedsError {
        NeedsError::Policy(error)
    }
}

/// Every shipped policy alone, by name: what it allows with base under it.
#[derive(Debug)]
pub struct Shipped {
    base: Policy,
    differences: Vec<Difference>,
    /// Which arguments some condition looks at, by call.
    arguments: BTreeMap<String, BTreeSet<u8>>,
}

#[derive(Debug)]
struct Difference {
    name: &'static str,
    with_base: Policy,
    /// Calls that it adds; what is smaller gives less away.
    weight: usize,
}

impl Shipped {
    /// Reads them all.
    ///
    /// # Errors
    /// [`PolicyError::File`].
    pub fn read() -> Result<Shipped, PolicyError> {
        let mut arguments: BTreeMap<String, BTreeSet<u8>> = BTreeMap::new();
        let mut look = |entries: &[Entry]| {
            for entry in entries {
                for call in &entry.calls {
                    let looked_at = entry.when.iter().map(Condition::arg);
                    arguments.entry(call.clone()).or_default().extend(looked_at);
                }
            }
        };
        look(&data::base()?.allow);
        let mut differences = Vec::new();
        for &(name, _) in DIFFERENCES {
            let file = data::difference(name)?;
            look(&file.allow);
            differences.push(Difference {
                name,
                with_base: select(&[name], &[])?,
                weight: file.allow.iter().map(|entry| entry.calls.len()).sum(),
            });
        }
        Ok(Shipped {
            base: select(&[], &[])?,
            differences,
            arguments,
        })
    }

    /// The base policy.
    #[must_use]
    pub fn base(&self) -> &Policy {
        &self.base
    }

    /// The call without the arguments that decide nothing.
    fn need(&self, call: &str, args: &[u64; 6]) -> Need {
        let looked_at = self.arguments.get(call);
        let mut kept = [0; 6];
        for (n, (kept, arg)) in (0_u8..).zip(kept.iter_mut().zip(args)) {
            if looked_at.is_some_and(|args| args.contains(&n)) {
                // Conditions see the low half.
                *kept = u64::from(*arg as u32);
            }
        }
        Need {
            call: call.to_owned(),
            args: kept,
        }
    }

    /// Whether these policies, with base, allow it.
    fn covers(&self, policies: &[&str], need: &Need) -> bool {
        self.differences
            .iter()
            .filter(|difference| policies.contains(&difference.name))
            .any(|difference| difference.with_base.allows(&need.call, &need.args))
    }

    /// The names of some of the policies.
    fn names(&self, of: impl Fn(&str) -> bool) -> Vec<&'static str> {
        let names = self.differences.iter().map(|difference| difference.name);
        names.filter(|name| of(name)).collect()
    }

    /// The smallest set out of `candidates` that allows all of `needs` that any of them allows; of two such
    /// sets the one that allows fewer calls.
    fn smallest(&self, candidates: &[&'static str], needs: &[&Need]) -> Vec<&'static str> {
        let wanted: Vec<&Need> = needs
            .iter()
            .copied()
            .filter(|need| self.covers(candidates, need))
            .collect();
        let weight = |set: &[&str]| -> usize {
            let of = self.differences.iter();
            of.filter(|difference| set.contains(&difference.name))
                .map(|difference| difference.weight)
                .sum()
        };
        let subset = |bits: u32| -> Vec<&'static str> {
            let numbered = candidates.iter().enumerate();
            numbered
                .filter(|(n, _)| bits >> n & 1 == 1)
                .map(|(_, &name)| name)
                .collect()
        };
        // A dozen policies at most: all sets of them are few.
        (0..1_u32 << candidates.len().min(16))
            .map(subset)
            .filter(|set| wanted.iter().all(|need| self.covers(set, need)))
            .min_by_key(|set| (set.len(), weight(set)))
            .unwrap_or_default()
    }
}

/// A policy by names.
fn select(policies: &[&str], extra: &[&str]) -> Result<Policy, PolicyError> {
    let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    Policy::select(&SeccompPlan {
        policies: owned(policies),
        extra: owned(extra),
    })
}

/// All that was seen.
#[derive(Debug)]
pub struct Needs {
    shipped: Shipped,
    /// Calls that the person wants to be refused, as they are where no manifest names them.
    without: Vec<String>,
    fates: BTreeMap<String, Fate>,
    allowable: BTreeSet<Need>,
    forbidden: BTreeSet<Forbidden>,
}

impl Needs {
    /// Nothing seen so far.
    ///
    /// # Errors
    /// [`PolicyError::UnknownCall`] for one in `without`.
    pub fn new(shipped: Shipped, without: Vec<String>) -> Result<Needs, PolicyError> {
        for call in &without {
            fate(call)?;
        }
        Ok(Needs {
            shipped,
            without,
            fates: BTreeMap::new(),
            allowable: BTreeSet::new(),
            forbidden: BTreeSet::new(),
        })
    }

    /// Takes a call and says what becomes of it.
    ///
    /// # Errors
    /// [`NeedsError`].
    pub fn take(&mut self, call: &str, args: &[u64; 6]) -> Result<Ruling, NeedsError> {
        if self.shipped.base.allows(call, args) {
            return Ok(Ruling::Continue);
        }
        if self.without.iter().any(|refused| refused == call) {
            return Ok(Ruling::Fail(libc::EPERM));
        }
        if self.allowable.len() + self.forbidden.len() >= RECORD_NEEDS_MAX {
            return Err(NeedsError::TooMany);
        }
        let known = match self.fates.get(call) {
            Some(fate) => fate.clone(),
            None => {
                let fate = fate(call)?;
                self.fates.insert(call.to_owned(), fate.clone());
                fate
            }
        };
        let need = self.shipped.need(call, args);
        let everything = self.shipped.names(|_| true);
        let why = match known.remedy {
            Remedy::Manifest => None,
            Remedy::Policies(_) if self.shipped.covers(&everything, &need) => None,
            Remedy::Policies(_) => Some("no policy allows it with these arguments".to_owned()),
            Remedy::None { why } => Some(why),
        };
        let Some(why) = why else {
            self.allowable.insert(need);
            return Ok(Ruling::Continue);
        };
        self.forbidden.insert(Forbidden {
            need,
            killed: known.answer == Answer::Killed,
            why,
        });
        Ok(Ruling::Fail(match known.answer {
            Answer::Absent => libc::ENOSYS,
            Answer::Killed | Answer::Refused => libc::EPERM,
        }))
    }

    /// Takes a call that was made through another, which has its own verdict: it counts where a policy
    /// can allow it.
    ///
    /// # Errors
    /// [`NeedsError`].
    pub fn note(&mut self, call: &str, args: &[u64; 6]) -> Result<(), NeedsError> {
        let need = self.shipped.need(call, args);
        let everything = self.shipped.names(|_| true);
        if self.shipped.base.allows(call, args) || !self.shipped.covers(&everything, &need) {
            return Ok(());
        }
        if self.allowable.len() + self.forbidden.len() >= RECORD_NEEDS_MAX {
            return Err(NeedsError::TooMany);
        }
        self.allowable.insert(need);
        Ok(())
    }

    /// What a manifest must say.
    #[must_use]
    pub fn difference(&self) -> Asked {
        let needs: Vec<&Need> = self.allowable.iter().collect();
        let all = self.shipped.names(|_| true);
        let policies = self.shipped.smallest(&all, &needs);
        let by = |name: &'static str| {
            let calls = needs
                .iter()
                .filter(|need| self.shipped.covers(&[name], need));
            (name, calls.map(|need| need.call.clone()).collect())
        };
        let single = needs
            .iter()
            .filter(|need| !self.shipped.covers(&policies, need));
        Asked {
            policies: policies.iter().map(|&name| by(name)).collect(),
            calls: single.map(|need| need.call.clone()).collect(),
            forbidden: self.forbidden.iter().cloned().collect(),
        }
    }

    /// What of `policies` and `calls`, a manifest's, was of use, and what was missing.
    #[must_use]
    pub fn compare(&self, policies: &[String], calls: &[String]) -> Comparison {
        let needs: Vec<&Need> = self.allowable.iter().collect();
        let theirs = self
            .shipped
            .names(|name| policies.iter().any(|p| p == name));
        // A call that the manifest names by itself needs no policy.
        let by_itself = |need: &&Need| calls.contains(&need.call);
        let rest: Vec<&Need> = needs
            .iter()
            .copied()
            .filter(|need| !by_itself(need))
            .collect();
        let used = self.shipped.smallest(&theirs, &rest);
        // What allows no call, but keeps capabilities, can not be seen from calls.
        let judged = |name: &&&str| {
            let of = self.shipped.differences.iter().find(|d| d.name == **name);
            of.is_some_and(|difference| difference.weight > 0)
        };
        let called = |call: &&String| needs.iter().any(|need| need.call == **call);
        Comparison {
            stale_policies: theirs
                .iter()
                .filter(judged)
                .filter(|name| !used.contains(name))
                .map(|&name| name.to_owned())
                .collect(),
            stale_calls: calls.iter().filter(|call| !called(call)).cloned().collect(),
            missing: rest
                .into_iter()
                .filter(|need| !self.shipped.covers(&theirs, need))
                .map(|need| need.call.clone())
                .collect(),
        }
    }
}

/// What a manifest must say for the recorded program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The smallest set of policies, each with the calls that it was needed for.
    pub policies: Vec<(&'static str, BTreeSet<String>)>,
    /// Single calls that none of them allows.
    pub calls: BTreeSet<String>,
    /// Calls that no manifest can allow.
    pub forbidden: Vec<Forbidden>,
}

/// A manifest beside a recording.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Its policies that nothing recorded needed.
    pub stale_policies: Vec<String>,
    /// Its single calls that were not called.
    pub stale_calls: Vec<String>,
    /// Calls that were made and that it does not allow.
    pub missing: BTreeSet<String>,
}

impl Comparison {
    /// Whether the manifest says just what the recording needs.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        *self == Comparison::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORK: [u64; 6] = [17, 0, 0, 0, 0, 0];
    const TCP: [u64; 6] = [2, 1, 0, 0, 0, 0];
    const NONE: [u64; 6] = [0; 6];

    fn needs(calls: &[(&str, [u64; 6])]) -> Needs {
        let mut needs = Needs::new(Shipped::read().unwrap(), vec![]).unwrap();
        for (call, args) in calls {
            needs.take(call, args).unwrap();
        }
        needs
    }

    fn policies(needs: &Needs) -> Vec<&'static str> {
        let asked = needs.difference().policies;
        asked.into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn what_base_allows_asks_for_nothing() {
        let needs = needs(&[("read", NONE), ("clone", [0x3d_0f00, 0, 0, 0, 0, 0])]);
        assert_eq!(
            needs.difference(),
            Asked {
                policies: vec![],
                calls: BTreeSet::new(),
                forbidden: vec![]
            }
        );
    }

    #[test]
    fn the_smallest_set_is_found_and_of_two_the_one_that_gives_less() {
        for (calls, expected) in [
            (&[("socket", TCP)][..], &["network-client"][..]),
            (&[("socket", TCP), ("bind", NONE)], &["network-client"]),
            (&[("socket", TCP), ("listen", NONE)], &["network-server"]),
            (&[("bind", NONE)], &["netlink"]),
            (&[("clone", FORK), ("wait4", NONE)], &["exec-children"]),
            (
                &[("socket", TCP), ("accept4", NONE), ("fork", NONE)],
                &["network-server", "exec-children"],
            ),
            (
                &[("socket", [16, 3, 0, 0, 0, 0]), ("bind", NONE)],
                &["netlink"],
            ),
        ] {
            assert_eq!(policies(&needs(calls)), expected, "{calls:?}");
        }
    }

    #[test]
    fn what_no_policy_allows_is_a_single_call_or_forbidden_with_its_reason() {
        // given a program that pins itself, probes events, makes a user namespace and loads a module
        let needs = needs(&[
            ("sched_setaffinity", [0, 8, 77, 0, 0, 0]),
            ("perf_event_open", NONE),
            ("clone", [0x1000_0011, 0, 0, 0, 0, 0]),
            ("init_module", NONE),
        ]);
        // then the first can be had, and the others are named
        let asked = needs.difference();
        assert_eq!(asked.policies, []);
        assert_eq!(
            asked.calls,
            BTreeSet::from(["sched_setaffinity".to_owned()])
        );
        let forbidden: Vec<_> = asked
            .forbidden
            .iter()
            .map(|one| (one.need.call.as_str(), one.need.args[0], one.killed))
            .collect();
        assert_eq!(
            forbidden,
            [
                ("clone", 0x1000_0011, false),
                ("init_module", 0, true),
                ("perf_event_open", 0, false)
            ]
        );
    }

    #[test]
    fn a_program_goes_the_way_that_it_would_go_inside() {
        let shipped = Shipped::read().unwrap();
        let mut needs = Needs::new(shipped, vec!["io_uring_setup".into()]).unwrap();
        for (call, args, ruling) in [
            ("clone3", NONE, Ruling::Fail(libc::ENOSYS)),
            ("mount", NONE, Ruling::Fail(libc::EPERM)),
            ("bpf", NONE, Ruling::Fail(libc::EPERM)),
            ("ptrace", NONE, Ruling::Continue),
            ("fork", NONE, Ruling::Continue),
            ("io_uring_setup", NONE, Ruling::Fail(libc::EPERM)),
        ] {
            assert_eq!(needs.take(call, &args), Ok(ruling), "{call}");
        }
        // what the person does without is not asked for
        assert!(!needs.difference().calls.contains("io_uring_setup"));
    }

    #[test]
    fn a_manifest_is_exact_or_what_is_stale_and_missing_is_named() {
        let owned =
            |names: &[&str]| -> Vec<String> { names.iter().map(|&n| n.to_owned()).collect() };
        let seen = needs(&[("socket", TCP), ("listen", NONE), ("sync", NONE)]);
        let compare =
            |policies: &[&str], calls: &[&str]| seen.compare(&owned(policies), &owned(calls));
        assert!(compare(&["network-server"], &["sync"]).is_exact());
        // a policy that only keeps capabilities can not be judged
        assert!(compare(&["network-server", "dhcp-server"], &["sync"]).is_exact());
        let stale = compare(&["network-server", "network-client"], &["sync", "mq_open"]);
        assert_eq!(stale.stale_policies, ["network-client"]);
        assert_eq!(stale.stale_calls, ["mq_open"]);
        let missing = compare(&["network-client"], &[]).missing;
        assert_eq!(missing, BTreeSet::from(["listen".into(), "sync".into()]));
    }

    #[test]
    fn a_call_behind_another_counts_where_a_policy_can_allow_it() {
        // given a program whose C library makes a netlink, a raw and a Unix socket by socketcall
        let mut needs = needs(&[("socketcall", [1, 0, 0, 0, 0, 0])]);
        for args in [[16, 3, 0, 0, 0, 0], [2, 3, 1, 0, 0, 0], [1, 1, 0, 0, 0, 0]] {
            needs.note("socket", &args).unwrap();
        }
        // then its manifest has what it needs with any C library, and nothing for the others
        assert_eq!(policies(&needs), ["network-client", "netlink"]);
        assert_eq!(needs.difference().forbidden, []);
    }

    #[test]
    fn a_recording_is_bounded() {
        let mut needs = Needs::new(Shipped::read().unwrap(), vec![]).unwrap();
        let mut last = Ok(Ruling::Continue);
        for option in 0..=RECORD_NEEDS_MAX as u64 {
            last = needs.take("prctl", &[1000 + option, 0, 0, 0, 0, 0]);
        }
        assert_eq!(last, Err(NeedsError::TooMany));
    }
}

//! Which resource is short, by whom, and who suffers. Pure: samples of counters in, changes out.
//!
//! A resource is congested where somebody waits for it while somebody else has more of it than was
//! promised to them. Who uses a machine alone congests nothing, however busy it is. A finding takes two
//! samples to be told and [`CLEAR_SAMPLES`] without it to be over: what comes and goes is not told.

mod find;
pub mod refaults;
pub mod rhythm;
#[cfg(test)]
mod tests;

use crate::limits::{CLEAR_SAMPLES, CONFIRM_SAMPLES, SPAN_SAMPLES, WAIT_ENTER, WAIT_LEAVE};
use core::fmt;
use find::{Finding, full, short};
use hearth_model::Tick;
use std::collections::{BTreeMap, VecDeque};

/// What can be short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scarce {
    /// Processor time.
    Cpu,
    /// Memory.
    Memory,
    /// The disk's time.
    Io,
    /// The line to the Internet.
    Uplink,
    /// The line from the Internet.
    Downlink,
    /// Room on the data partition.
    Storage,
}

impl Scarce {
    /// Every one.
    pub const ALL: [Scarce; 6] = [
        Scarce::Cpu,
        Scarce::Memory,
        Scarce::Io,
        Scarce::Uplink,
        Scarce::Downlink,
        Scarce::Storage,
    ];

    /// The word in the API.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Scarce::Cpu => "cpu",
            Scarce::Memory => "memory",
            Scarce::Io => "io",
            Scarce::Uplink => "uplink",
            Scarce::Downlink => "downlink",
            Scarce::Storage => "storage",
        }
    }
}

impl fmt::Display for Scarce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Scarce::Cpu => "the processor",
            Scarce::Memory => "memory",
            Scarce::Io => "the disk",
            Scarce::Uplink => "the line to the Internet",
            Scarce::Downlink => "the line from the Internet",
            Scarce::Storage => "the data partition",
        })
    }
}

/// What one service, the home or the forwarding has had of one resource since it began. The counters only
/// grow; one that shrinks belongs to a new run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Had {
    /// How much: microseconds of processor time, bytes of disk or line.
    pub amount: u64,
    /// How long it has waited, microseconds (`some` of its `*.pressure`, kernel document psi).
    pub waited: u64,
    /// Packets that the line has carried.
    pub packets: u64,
    /// Packets dropped for want of the line.
    pub drops: u64,
    /// Bytes that it holds now: memory, storage, packets that wait for the line.
    pub holds: u64,
    /// What is promised to it: microseconds a second, thousandths of the disk's time, bytes a second of a
    /// line, bytes of what is held.
    pub reserve: u64,
    /// The most that it gets: as the amount a second, or bytes of what is held. Who has that waits for its
    /// own limit, and for nobody else.
    pub max: Option<u64>,
}

/// Everyone who takes part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Party {
    /// Its place in the household's order: 0 comes first. `None` for what has none, the home.
    pub rank: Option<usize>,
    /// Whether the household has given it this place itself.
    pub is_named: bool,
    /// What it has had. A resource that is not there is none that it uses.
    pub had: BTreeMap<Scarce, Had>,
}

/// One look at all of them, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// By name.
    pub parties: BTreeMap<String, Party>,
    /// The data partition: used and all, bytes.
    pub data: Option<(u64, u64)>,
}

/// A resource that is short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Congestion {
    /// Which.
    pub resource: Scarce,
    /// Who has most beyond what was promised.
    pub culprit: String,
    /// Who waits, by name.
    pub victims: Vec<String>,
    /// Since when.
    pub since: Tick,
    /// What to do.
    pub advice: String,
}

/// What is new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is short now, or by somebody else.
    Began(Congestion),
    /// It is not any more.
    Ended(Congestion),
}

/// What is known of one resource.
#[derive(Debug, Default)]
struct State {
    told: Option<Congestion>,
    /// The last finding, and in how many samples one after the other it named this culprit.
    seen: Option<(Finding, u32)>,
    /// Samples without any.
    clear: u32,
}

/// Watches.
#[derive(Debug, Default)]
pub struct Watch {
    /// The last ones, oldest first, at most [`SPAN_SAMPLES`].
    last: VecDeque<(Tick, Sample)>,
    states: BTreeMap<Scarce, State>,
}

impl Watch {
    /// What is short now.
    pub fn congested(&self) -> impl Iterator<Item = &Congestion> {
        self.states.values().filter_map(|state| state.told.as_ref())
    }

    /// The next sample is the first one after a calm: what came before it is no measure of it.
    pub fn begin_anew(&mut self) {
        self.last.clear();
        for state in self.states.values_mut() {
            state.seen = None;
        }
    }

    /// Takes a sample.
    pub fn step(&mut self, now: Tick, sample: Sample) -> Vec<Change> {
        let mut changes = Vec::new();
        if let Some((then, before)) = self.last.front() {
            let elapsed_us = now.since_ms(*then).saturating_mul(1000).max(1);
            for resource in Scarce::ALL {
                let state = self.states.entry(resource).or_default();
                let bar = if state.told.is_some() {
                    WAIT_LEAVE
                } else {
                    WAIT_ENTER
                };
                let found = match resource {
                    Scarce::Storage => full(&sample),
                    Scarce::Cpu
                    | Scarce::Memory
                    | Scarce::Io
                    | Scarce::Uplink
                    | Scarce::Downlink => short(resource, before, &sample, elapsed_us, bar),
                };
                let advise = |finding: &Finding| advice(resource, finding, &sample);
                changes.extend(state.step(resource, found, now, advise));
            }
        }
        if self.last.len() == SPAN_SAMPLES {
            self.last.pop_front();
        }
        self.last.push_back((now, sample));
        changes
    }
}

impl State {
    fn step(
        &mut self,
        resource: Scarce,
        found: Option<Finding>,
        now: Tick,
        advise: impl Fn(&Finding) -> String,
    ) -> Option<Change> {
        let Some(finding) = found else {
            self.seen = None;
            self.clear += 1;
            let over = self.clear >= CLEAR_SAMPLES;
            return self.told.take_if(|_| over).map(Change::Ended);
        };
        self.clear = 0;
        let times = match &self.seen {
            Some((before, times)) if before.culprit == finding.culprit => times + 1,
            Some(_) | None => 1,
        };
        let is_new = match &mut self.told {
            None => true,
            Some(told) if told.culprit != finding.culprit => true,
            Some(told) => {
                // Whoever joins the victims is told to who asks, not as an event.
                told.victims.clone_from(&finding.victims);
                told.advice = advise(&finding);
                false
            }
        };
        let mut change = None;
        if is_new && times >= CONFIRM_SAMPLES {
            let congestion = Congestion {
                resource,
                culprit: finding.culprit.clone(),
                victims: finding.victims.clone(),
                since: self.told.as_ref().map_or(now, |told| told.since),
                advice: advise(&finding),
            };
            self.told = Some(congestion.clone());
            change = Some(Change::Began(congestion));
        }
        self.seen = Some((finding, times));
        change
    }
}

fn advice(resource: Scarce, finding: &Finding, sample: &Sample) -> String {
    let culprit = &finding.culprit;
    if resource == Scarce::Storage {
        return format!("delete some of {culprit}'s data, or remove it");
    }
    let rank = |name: &str| sample.parties.get(name).and_then(|party| party.rank);
    let Some(of_culprit) = rank(culprit) else {
        return match resource {
            Scarce::Uplink | Scarce::Downlink => {
                "a host of the home uses the line; pause it, or raise the reserve of who waits"
                    .to_owned()
            }
            Scarce::Cpu | Scarce::Memory | Scarce::Io | Scarce::Storage => {
                format!("raise the reserve of who waits against {culprit}")
            }
        };
    };
    // The victim that the household wants most, of those that a ranking helps: who is not named has no better
    // place than others who are not.
    let is_named = |name: &str| sample.parties.get(name).is_some_and(|party| party.is_named);
    let behind = finding
        .victims
        .iter()
        .filter_map(|name| Some((rank(name)?, name)))
        .filter(|(of_victim, name)| *of_victim > of_culprit || !is_named(name))
        .min();
    match behind {
        Some((_, victim)) => {
            format!("hearth rank {victim} {culprit}: {victim} then comes before {culprit}")
        }
        None => format!(
            "hearth stop {culprit}, or lower its max in {}",
            section(resource)
        ),
    }
}

/// Where a manifest says how much.
fn section(resource: Scarce) -> &'static str {
    match resource {
        Scarce::Cpu => "resources.cpu",
        Scarce::Memory => "resources.memory",
        Scarce::Io => "resources.io",
        Scarce::Uplink | Scarce::Downlink => "resources.network",
        Scarce::Storage => "resources.storage",
    }
}

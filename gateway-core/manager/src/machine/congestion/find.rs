//! Who waits for a resource, and who is in their way: one look at two samples.

use super::{Had, Party, Sample, Scarce};
use crate::limits::{AT_MAX_PERCENT, BEYOND_MIN, LINE_WAITING_MIN, STORAGE_FULL_PERCENT};

/// What was seen of one resource in one sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) culprit: String,
    pub(super) victims: Vec<String>,
}

/// Who waits, and who wants most beyond what was promised.
pub(super) fn short(
    resource: Scarce,
    before: &Sample,
    after: &Sample,
    elapsed_us: u64,
    bar: u64,
) -> Option<Finding> {
    let uses: Vec<Use<'_>> = after
        .parties
        .iter()
        .filter_map(|(name, party)| {
            let now = party.had.get(&resource)?;
            let earlier = before.parties.get(name);
            let then = earlier.and_then(|party| party.had.get(&resource));
            Some(Use::between(
                resource,
                name,
                party.rank,
                then.unwrap_or(now),
                now,
                elapsed_us,
            ))
        })
        .collect();
    let all = uses
        .iter()
        .fold(0_u64, |sum, one| sum.saturating_add(one.used));
    // Of two who ask for as much, the one that the household wants less.
    let most = uses
        .iter()
        .map(|one| (one, one.promised(resource, all)))
        .filter(|(one, promised)| one.used.saturating_sub(*promised) >= least(resource))
        .map(|(one, promised)| (one.asked.saturating_sub(promised), one.rank, one.name))
        .max()?;
    let (_, _, culprit) = most;
    let victims: Vec<String> = uses
        .iter()
        .filter(|one| one.name != culprit && one.waits >= bar && !one.is_at_its_max())
        .filter(|one| !is_wanted(after, culprit, one.name))
        .map(|one| one.name.to_owned())
        .collect();
    (!victims.is_empty()).then(|| Finding {
        culprit: culprit.to_owned(),
        victims,
    })
}

/// Whether the household has said itself that the first one comes before the second one. Then it has what it wants.
fn is_wanted(sample: &Sample, first: &str, second: &str) -> bool {
    let place = |name| {
        let party: Option<&Party> = sample.parties.get(name);
        party.filter(|party| party.is_named)?.rank
    };
    matches!((place(first), place(second)), (Some(first), Some(second)) if first < second)
}

/// What one party had between two samples.
struct Use<'a> {
    name: &'a str,
    rank: Option<usize>,
    /// A second, or held.
    used: u64,
    /// As `used`, with what was dropped: those who share a line have as much of it each, however much they send.
    asked: u64,
    /// Thousandths of the time; of a line, all of it or none.
    waits: u64,
    reserve: u64,
    max: Option<u64>,
}

impl<'a> Use<'a> {
    fn between(
        resource: Scarce,
        name: &'a str,
        rank: Option<usize>,
        then: &Had,
        now: &Had,
        elapsed_us: u64,
    ) -> Use<'a> {
        // What has shrunk belongs to a new run, of which nothing is known yet.
        let per_second = |now: u64, then: u64| {
            let grew = u128::from(now.saturating_sub(then));
            u64::try_from(grew * 1_000_000 / u128::from(elapsed_us)).unwrap_or(u64::MAX)
        };
        let mut dropped = 0;
        let (used, waits) = match resource {
            Scarce::Cpu | Scarce::Io => {
                let waited = per_second(now.waited, then.waited) / 1000;
                (per_second(now.amount, then.amount), waited)
            }
            Scarce::Memory | Scarce::Storage => {
                (now.holds, per_second(now.waited, then.waited) / 1000)
            }
            Scarce::Uplink | Scarce::Downlink => {
                let waits = now.drops > then.drops || now.holds >= LINE_WAITING_MIN;
                let waits = if waits { 1000 } else { 0 };
                let packet = now.amount / now.packets.max(1);
                let drops = per_second(now.drops, then.drops);
                dropped = drops.saturating_mul(packet);
                (per_second(now.amount, then.amount), waits)
            }
        };
        Use {
            name,
            rank,
            used,
            asked: used.saturating_add(dropped),
            waits,
            reserve: now.reserve,
            max: now.max,
        }
    }

    /// What is promised to it, in the unit of its use. Of the disk's time, a share of all that is done.
    fn promised(&self, resource: Scarce, all: u64) -> u64 {
        match resource {
            Scarce::Io => {
                let share = u128::from(all) * u128::from(self.reserve) / 1000;
                u64::try_from(share).unwrap_or(u64::MAX)
            }
            Scarce::Cpu | Scarce::Memory | Scarce::Uplink | Scarce::Downlink | Scarce::Storage => {
                self.reserve
            }
        }
    }

    fn is_at_its_max(&self) -> bool {
        let is_near = |max: u64| u128::from(self.used) * 100 >= u128::from(max) * AT_MAX_PERCENT;
        self.max.is_some_and(is_near)
    }
}

/// The least that somebody must have beyond what was promised to be in the way of others.
fn least(resource: Scarce) -> u64 {
    match resource {
        Scarce::Cpu => BEYOND_MIN.cpu_us,
        Scarce::Memory => BEYOND_MIN.memory,
        Scarce::Io => BEYOND_MIN.io,
        Scarce::Uplink | Scarce::Downlink => BEYOND_MIN.line,
        Scarce::Storage => 0,
    }
}

/// The data partition: whoever has most fills it for all others that keep data.
pub(super) fn full(sample: &Sample) -> Option<Finding> {
    let (used, all) = sample.data?;
    let is_full = u128::from(used) * 100 >= u128::from(all) * u128::from(STORAGE_FULL_PERCENT);
    let holds = |party: &Party| party.had.get(&Scarce::Storage).map(|had| had.holds);
    let mut keepers: Vec<(u64, &str)> = sample
        .parties
        .iter()
        .filter_map(|(name, party)| Some((holds(party)?, name.as_str())))
        .collect();
    keepers.sort_unstable();
    let (_, culprit) = keepers.pop().filter(|_| is_full)?;
    let mut victims: Vec<String> = keepers.iter().map(|(_, name)| (*name).to_owned()).collect();
    victims.sort_unstable();
    Some(Finding {
        culprit: culprit.to_owned(),
        victims,
    })
}

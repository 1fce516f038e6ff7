//! What each service uses, from samples of the kernel's counters to the figures of an hour, pure. Both
//! clocks are arguments: the boot clock for how long, the wall clock for when.
//!
//! Invariants: what a counter gained is counted once, whoever restarts; an open hour is never lost by a
//! restart of the manager, and by a restart of the gateway only what came after the last checkpoint.

use crate::limits::{CLOCK_STEP_SECONDS, HOUR_SECONDS};
use hearth_model::usage::{Figures, RecordEnd};
use hearth_model::{ServiceName, Tick};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The kernel's counters of one service now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Which cgroup they are of: one made anew counts from 0.
    pub cgroup: u64,
    /// `usage_usec`.
    pub cpu_usec: u64,
    /// `memory.current`, bytes.
    pub memory: u64,
    /// Its data on the disk, bytes. Checkpoints of firmware 0.1 have none.
    #[serde(default)]
    pub storage: u64,
    /// Bytes read from disks.
    pub read: u64,
    /// Bytes written to disks.
    pub written: u64,
    /// Which link they are of, as for the cgroup.
    pub link: u64,
    /// Bytes received over the link.
    pub received: u64,
    /// Bytes sent over the link.
    pub sent: u64,
}

/// One service in the open hour.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Row {
    used: Figures,
    last: Option<Counters>,
    sampled: Tick,
}

/// A service's figures of a time that is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closed {
    /// Whose.
    pub service: ServiceName,
    /// Start, seconds since 1970.
    pub from: u64,
    /// End, seconds since 1970.
    pub until: u64,
    /// Why it is over.
    pub end: RecordEnd,
    /// What was used.
    pub used: Figures,
}

/// The open hour. Its JSON is the checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// Which boot the counters are of (`/proc/sys/kernel/random/boot_id`).
    boot: String,
    from: u64,
    until: u64,
    sampled: Tick,
    /// Whether the manager ended in order after the last sample.
    ended: bool,
    rows: BTreeMap<ServiceName, Row>,
}

impl Ledger {
    /// A ledger that begins now.
    #[must_use]
    pub fn new(boot: &str, wall: u64, now: Tick) -> Ledger {
        Ledger {
            boot: boot.to_owned(),
            from: wall,
            until: wall,
            sampled: now,
            ended: false,
            rows: BTreeMap::new(),
        }
    }

    /// Goes on from a checkpoint. One of an earlier boot is closed: its counters are gone.
    #[must_use]
    pub fn resume(mut self, boot: &str, wall: u64, now: Tick) -> (Ledger, Vec<Closed>) {
        let ended = core::mem::take(&mut self.ended);
        if self.boot == boot {
            return (self, Vec::new());
        }
        let closed = self.close(if ended {
            RecordEnd::Shutdown
        } else {
            RecordEnd::Interrupted
        });
        (Ledger::new(boot, wall, now), closed)
    }

    /// The manager ends after this last sample.
    pub fn end(&mut self) {
        self.ended = true;
    }

    /// Start of the open part and the last sample, seconds since 1970.
    #[must_use]
    pub fn span(&self) -> (u64, u64) {
        (self.from, self.until)
    }

    /// The open figures, up to the last sample.
    pub fn open(&self) -> impl Iterator<Item = (&ServiceName, Figures)> {
        self.rows
            .iter()
            .filter(|(_, row)| row.used != Figures::default())
            .map(|(name, row)| (name, row.used))
    }

    /// Takes a sample of every service that has counters; the figures that it closes.
    pub fn sample(
        &mut self,
        wall: u64,
        now: Tick,
        counters: &BTreeMap<ServiceName, Counters>,
    ) -> Vec<Closed> {
        for (name, row) in &mut self.rows {
            if !counters.contains_key(name) {
                row.take(None, now);
            }
        }
        for (name, counters) in counters {
            self.sample_one(now, name, *counters);
        }
        // Where the clock was set, the hour ends by the clock that it began with.
        let expected = self.until.saturating_add(now.since_ms(self.sampled) / 1000);
        self.sampled = now;
        let stepped = expected.abs_diff(wall) > CLOCK_STEP_SECONDS;
        self.until = if stepped {
            expected
        } else {
            wall.max(self.from)
        };
        let over = self.until / HOUR_SECONDS != self.from / HOUR_SECONDS;
        let closed = if stepped || over {
            self.close(RecordEnd::Hour)
        } else {
            Vec::new()
        };
        if stepped {
            (self.from, self.until) = (wall, wall);
        }
        closed
    }

    /// Whether a service's counters have gained anything since the last sample; memory and storage are
    /// always held by somebody.
    #[must_use]
    pub fn gains(&self, name: &ServiceName, counters: Counters) -> bool {
        let last = self.rows.get(name).and_then(|row| row.last);
        let gained = |of: Counters| Counters {
            memory: 0,
            storage: 0,
            ..of
        };
        last.map(gained) != Some(gained(counters))
    }

    /// Takes a sample of one service, whose counters are about to go away.
    pub fn sample_one(&mut self, now: Tick, name: &ServiceName, counters: Counters) {
        self.rows
            .entry(name.clone())
            .or_default()
            .take(Some(counters), now);
    }

    fn close(&mut self, end: RecordEnd) -> Vec<Closed> {
        let (from, until) = (self.from, self.until);
        self.from = self.until;
        let mut closed = Vec::new();
        for (service, row) in &mut self.rows {
            let used = core::mem::take(&mut row.used);
            if used != Figures::default() {
                closed.push(Closed {
                    service: service.clone(),
                    from,
                    until,
                    end,
                    used,
                });
            }
        }
        self.rows.retain(|_, row| row.last.is_some());
        closed
    }
}

impl Row {
    /// What was gained since the last sample. Memory and storage are held on a straight line between two
    /// samples, and from the first one on.
    fn take(&mut self, now: Option<Counters>, at: Tick) {
        let elapsed_ms = at.since_ms(self.sampled);
        self.sampled = at;
        let last = core::mem::replace(&mut self.last, now);
        let after = now.unwrap_or_default();
        let before = last.unwrap_or_default();
        let gain = |same: bool, before: u64, after: u64| {
            after.saturating_sub(if same { before } else { 0 })
        };
        let (cgroup, link) = (before.cgroup == after.cgroup, before.link == after.link);
        // A row that was never sampled has no time that has passed.
        let held = |before: u64, after: u64| {
            let passed = if last.is_some() { elapsed_ms } else { 0 };
            let twice = u128::from(before) + u128::from(after);
            u64::try_from(twice * u128::from(passed) / 2000).unwrap_or(u64::MAX)
        };
        self.used = self.used.and(Figures {
            cpu_usec: gain(cgroup, before.cpu_usec, after.cpu_usec),
            memory_byte_seconds: held(before.memory, after.memory),
            storage_byte_seconds: held(before.storage, after.storage),
            read_bytes: gain(cgroup, before.read, after.read),
            written_bytes: gain(cgroup, before.written, after.written),
            received_bytes: gain(link, before.received, after.received),
            sent_bytes: gain(link, before.sent, after.sent),
        });
    }
}

#[cfg(test)]
#[path = "usage_tests.rs"]
mod tests;

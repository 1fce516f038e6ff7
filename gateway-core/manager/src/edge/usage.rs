//! Accounting: reads each service's counters every few seconds and keeps the hours in the journal.

use super::journal::Journal;
use super::paths::{Paths, read_text, wall};
use super::{cgroup, storage};
use crate::limits::{KERNEL_FILE_MAX, SAMPLE_MS, SAMPLES_PER_CHECKPOINT};
use crate::machine::usage::{Closed, Counters, Ledger};
use hearth_model::api::{OpenUsage, UsageRow};
use hearth_model::{ServiceId, ServiceName, Tick};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Everything accounting owns.
#[derive(Debug)]
pub struct Usage {
    journal: Journal,
    ledger: Ledger,
    paths: Paths,
    /// Folder of the services' own data.
    data: PathBuf,
    due: Tick,
    /// Samples since the last checkpoint.
    samples: u32,
    /// Why the last checkpoint is not on disk.
    fault: Option<String>,
}

/// The folder of keys and records.
#[must_use]
pub fn folder(paths: &Paths) -> PathBuf {
    paths.at("/data/hearth/usage")
}

impl Usage {
    /// Goes on where the last manager ended. Also what a person should know.
    ///
    /// # Errors
    /// A sentence: nothing is accounted.
    pub fn open(paths: &Paths, data: &Path, now: Tick) -> Result<(Usage, Vec<String>), String> {
        let (journal, kept, told) = Journal::open(folder(paths))?;
        let boot = read_text(
            &paths.at("/proc/sys/kernel/random/boot_id"),
            KERNEL_FILE_MAX,
        )
        .unwrap_or_default();
        let (boot, wall) = (boot.trim(), wall());
        let (ledger, closed) = match kept {
            Some(ledger) => ledger.resume(boot, wall, now),
            None => (Ledger::new(boot, wall, now), Vec::new()),
        };
        let mut usage = Usage {
            journal,
            ledger,
            paths: paths.clone(),
            data: data.to_owned(),
            due: now,
            samples: 0,
            fault: None,
        };
        usage.fault = usage.journal.keep(&usage.ledger, closed).err();
        Ok((usage, told))
    }

    /// When the next sample is due.
    #[must_use]
    pub fn due(&self) -> Tick {
        self.due
    }

    /// Why the last checkpoint is not on disk, if so.
    #[must_use]
    pub fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }

    /// Samples these services, where a sample is due.
    pub fn step<'a>(
        &mut self,
        now: Tick,
        services: impl Iterator<Item = (ServiceId, &'a ServiceName)>,
    ) {
        if now < self.due {
            return;
        }
        self.due = now.after_ms(SAMPLE_MS);
        self.samples += 1;
        self.look(now, services);
    }

    /// Samples these services now.
    pub fn look<'a>(
        &mut self,
        now: Tick,
        services: impl Iterator<Item = (ServiceId, &'a ServiceName)>,
    ) {
        let closed = self.sample(now, services);
        if !closed.is_empty() || self.samples >= SAMPLES_PER_CHECKPOINT {
            self.keep(closed);
        }
    }

    /// Samples these services for the last time: the manager ends.
    pub fn close<'a>(
        &mut self,
        now: Tick,
        services: impl Iterator<Item = (ServiceId, &'a ServiceName)>,
    ) {
        let closed = self.sample(now, services);
        self.ledger.end();
        self.keep(closed);
    }

    fn sample<'a>(
        &mut self,
        now: Tick,
        services: impl Iterator<Item = (ServiceId, &'a ServiceName)>,
    ) -> Vec<Closed> {
        let counters: BTreeMap<ServiceName, Counters> = services
            .filter_map(|(id, name)| Some((name.clone(), self.counters(id, name)?)))
            .collect();
        self.ledger.sample(wall(), now, &counters)
    }

    /// Tries again what the disk did not take the last time.
    pub fn keep_again(&mut self) {
        if self.fault.is_some() {
            self.keep(Vec::new());
        }
    }

    fn keep(&mut self, closed: Vec<Closed>) {
        self.samples = 0;
        let kept = self.journal.keep(&self.ledger, closed);
        if let Err(text) = &kept
            && self.fault.is_none()
        {
            log::warn!("{text}");
        }
        self.fault = kept.err();
    }

    /// Samples one service whose counters are about to go; on disk when this returns, since nobody can
    /// count it again.
    pub fn last_words(&mut self, now: Tick, id: ServiceId, name: &ServiceName) {
        let Some(counters) = self.counters(id, name) else {
            return;
        };
        let (gained, unkept) = (self.ledger.gains(name, counters), self.samples > 0);
        self.ledger.sample_one(now, name, counters);
        if gained || unkept {
            self.keep(Vec::new());
        }
    }

    /// The open hour, for the API.
    #[must_use]
    pub fn open_hour(&self) -> OpenUsage {
        let (from, until) = self.ledger.span();
        let row = |(name, used): (&ServiceName, _)| UsageRow {
            service: name.to_string(),
            used,
        };
        OpenUsage {
            from,
            until,
            services: self.ledger.open().map(row).collect(),
        }
    }

    /// The counters of a service; one without a cgroup has its data alone, and `None` where it has none.
    /// A kernel without a controller counts nothing there; a file system without quotas counts no data.
    fn counters(&self, id: ServiceId, name: &ServiceName) -> Option<Counters> {
        let folder = self.paths.cgroup(name);
        let link = self.paths.at("/sys/class/net").join(format!("sv{id}"));
        let storage = storage::used(&self.data, id).unwrap_or(0);
        let Ok(facts) = fs::metadata(&folder) else {
            let rests = Counters {
                storage,
                ..Counters::default()
            };
            return (storage > 0).then_some(rests);
        };
        let text = |path: PathBuf| read_text(&path, KERNEL_FILE_MAX).unwrap_or_default();
        let number = |path: PathBuf| text(path).trim().parse().unwrap_or(0);
        let io = text(folder.join("io.stat"));
        let statistics = link.join("statistics");
        Some(Counters {
            cgroup: facts.ino(),
            cpu_usec: cgroup::keyed(&text(folder.join("cpu.stat")), "usage_usec").unwrap_or(0),
            memory: number(folder.join("memory.current")),
            storage,
            read: sum(&io, "rbytes="),
            written: sum(&io, "wbytes="),
            link: number(link.join("ifindex")),
            // What the gateway's end sends is what the service receives.
            received: number(statistics.join("tx_bytes")),
            sent: number(statistics.join("rx_bytes")),
        })
    }
}

/// The sum of a key over all devices of `io.stat`. A device that is stacked on another (a loop device on
/// a disk) counts what it does itself.
pub(super) fn sum(text: &str, key: &str) -> u64 {
    text.split_ascii_whitespace()
        .filter_map(|word| word.strip_prefix(key)?.parse::<u64>().ok())
        .fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_read_as_the_kernel_writes_them() {
        let io = "7:0 rbytes=4096 wbytes=0 rios=1 wios=0 dbytes=0 dios=0\n\
                  254:0 rbytes=100 wbytes=7 rios=1 wios=1 dbytes=0 dios=0\n";
        assert_eq!((sum(io, "rbytes="), sum(io, "wbytes=")), (4196, 7));
        assert_eq!(sum("", "rbytes="), 0);
    }
}

//! Samples of who waits for what: each service's cgroup, its storage, and netpath's queues of the line.
//! What they mean is decided in [`crate::machine::congestion`].

use super::paths::{Paths, read_text};
use super::start::Starter;
use super::usage::sum;
use super::{cgroup, storage};
use crate::limits::{KERNEL_FILE_MAX, LOOK_MS, SETTLE_MS};
use crate::machine::Machine;
use crate::machine::congestion::{Change, Congestion, Had, Party, Sample, Scarce, Watch};
use crate::sys::storage::file_system;
use hearth_model::Tick;
use hearth_model::manifest::Manifest;
use hearth_model::protocol::{Direction, QueueOwner, QueuePage, QueueRow, Shaping, ToNetpath};
use hearth_model::state::UnitState;
use std::collections::BTreeMap;
use std::fs::File;

/// What the home's own traffic is called among services.
pub const HOME: &str = "home";

/// Bits of a byte.
const BITS: u64 = 8;

/// The watch, and what netpath has told of the line.
#[derive(Debug)]
pub struct Watcher {
    watch: Watch,
    due: Tick,
    rows: BTreeMap<(Direction, QueueOwner), QueueRow>,
}

impl Watcher {
    /// Nothing seen yet.
    #[must_use]
    pub fn new() -> Watcher {
        Watcher {
            watch: Watch::default(),
            due: Tick(0),
            rows: BTreeMap::new(),
        }
    }

    /// When to look next.
    #[must_use]
    pub fn due(&self) -> Tick {
        self.due
    }

    /// What is short now.
    pub fn congested(&self) -> impl Iterator<Item = &Congestion> {
        self.watch.congested()
    }

    /// Looks, where it is time; what is new, and what to ask netpath for the next time.
    pub fn step(
        &mut self,
        now: Tick,
        machine: &Machine,
        starter: &Starter,
    ) -> (Vec<Change>, Vec<ToNetpath>) {
        if now < self.due {
            return (Vec::new(), Vec::new());
        }
        self.due = now.after_ms(LOOK_MS);
        let sample = self.sample(machine, starter, now);
        let ask = |direction| ToNetpath::Queues { direction, from: 0 };
        (
            self.watch.step(now, sample),
            Direction::ALL.map(ask).to_vec(),
        )
    }

    /// A page of queues; the question for the next one.
    pub fn page(&mut self, page: &QueuePage) -> Option<ToNetpath> {
        if !matches!(page.shaping, Shaping::On { .. }) {
            self.rows
                .retain(|(direction, _), _| *direction != page.direction);
        }
        for row in &page.rows {
            self.rows.insert((page.direction, row.owner), *row);
        }
        page.next.map(|from| ToNetpath::Queues {
            direction: page.direction,
            from,
        })
    }

    fn sample(&self, machine: &Machine, starter: &Starter, now: Tick) -> Sample {
        let mut parties = BTreeMap::new();
        for (rank, id) in machine.ranked().into_iter().enumerate() {
            let Some(row) = machine.service(id) else {
                continue;
            };
            let folder = starter.paths.cgroup(&row.name);
            let mut had = BTreeMap::new();
            // Who starts, or has just done so, takes and waits for much: that is over by itself.
            let settled = row.status.state == UnitState::Active
                && now.since_ms(row.status.since) >= SETTLE_MS;
            if let (Some(package), true) = (&row.package, settled && folder.exists()) {
                of_group(&folder, &package.manifest, &mut had);
            }
            if let Some(used) = storage::used(&starter.data, id) {
                let storage = Had {
                    holds: used,
                    ..Had::default()
                };
                had.insert(Scarce::Storage, storage);
            }
            for direction in Direction::ALL {
                if let Some(row) = self.rows.get(&(direction, QueueOwner::Service(id))) {
                    had.insert(line(direction), of_row(row));
                }
            }
            let rank = Some(rank);
            parties.insert(row.name.to_string(), Party { rank, had });
        }
        let mut home = Party::default();
        for ((direction, owner), row) in &self.rows {
            if matches!(owner, QueueOwner::Class(_)) {
                let sum = home.had.entry(line(*direction)).or_default();
                let row = of_row(row);
                sum.amount += row.amount;
                sum.drops += row.drops;
                sum.holds += row.holds;
            }
        }
        parties.insert(HOME.to_owned(), home);
        let data = File::open(&starter.data).and_then(|folder| file_system(&folder));
        Sample {
            parties,
            data: data
                .ok()
                .map(|facts| (facts.size.saturating_sub(facts.free), facts.size)),
        }
    }
}

fn line(direction: Direction) -> Scarce {
    match direction {
        Direction::Up => Scarce::Uplink,
        Direction::Down => Scarce::Downlink,
    }
}

fn of_row(row: &QueueRow) -> Had {
    Had {
        amount: row.bytes,
        waited: 0,
        drops: row.drops.into(),
        holds: row.backlog.into(),
        reserve: row.rate.0 / BITS,
        max: Some(row.ceiling.0 / BITS),
    }
}

/// What a service's cgroup tells.
fn of_group(folder: &std::path::Path, manifest: &Manifest, had: &mut BTreeMap<Scarce, Had>) {
    let text = |file: &str| read_text(&folder.join(file), KERNEL_FILE_MAX).unwrap_or_default();
    let milli = |milli: u32| u64::from(milli) * 1000;
    let cpu = Had {
        amount: cgroup::keyed(&text("cpu.stat"), "usage_usec").unwrap_or(0),
        waited: waited(&text("cpu.pressure")),
        reserve: milli(manifest.cpu_reserve().0),
        max: manifest.cpu_max().map(|max| milli(max.0)),
        ..Had::default()
    };
    let memory = Had {
        holds: text("memory.current").trim().parse().unwrap_or(0),
        waited: waited(&text("memory.pressure")),
        reserve: manifest.memory_reserve().0,
        max: Some(manifest.memory_max().0),
        ..Had::default()
    };
    let stat = text("io.stat");
    let io = Had {
        amount: sum(&stat, "rbytes=").saturating_add(sum(&stat, "wbytes=")),
        waited: waited(&text("io.pressure")),
        reserve: manifest.io_reserve().0.into(),
        max: manifest.limits().io_max.map(|max| max.0),
        ..Had::default()
    };
    had.extend([
        (Scarce::Cpu, cpu),
        (Scarce::Memory, memory),
        (Scarce::Io, io),
    ]);
}

/// Microseconds that some of a group's tasks have waited (kernel document psi):
/// `some avg10=0.00 avg60=0.00 avg300=0.00 total=0`.
pub(super) fn waited(text: &str) -> u64 {
    let some = text.lines().find_map(|line| line.strip_prefix("some "));
    some.and_then(|line| line.rsplit_once("total="))
        .and_then(|(_, total)| total.trim().parse().ok())
        .unwrap_or(0)
}

/// Whether this kernel tells who waits.
#[must_use]
pub fn is_told(paths: &Paths) -> bool {
    // A kernel that has it switched off has the files and says EOPNOTSUPP.
    read_text(&paths.at("/proc/pressure/cpu"), KERNEL_FILE_MAX).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_read_as_the_kernel_writes_them() {
        let text = "some avg10=0.00 avg60=1.50 avg300=0.00 total=123456\n\
                    full avg10=0.00 avg60=0.00 avg300=0.00 total=7\n";
        assert_eq!(waited(text), 123_456);
        assert_eq!(waited(""), 0);
    }
}

//! Samples of who waits for what: each service's cgroup, its storage, and netpath's queues of the line.
//! What they mean is decided in [`crate::machine::congestion`].

use super::paths::{Paths, now, read_text};
use super::pressure::Pressure;
use super::start::Starter;
use super::usage::sum;
use super::{cgroup, storage};
use crate::limits::{
    KERNEL_FILE_MAX, LINE_BUSY_PERCENT, QUEUES_WAIT_MS, SETTLE_MS, STORAGE_FULL_PERCENT,
};
use crate::machine::Machine;
use crate::machine::congestion::refaults::{Counted, Refaults};
use crate::machine::congestion::rhythm::{Look, Rhythm};
use crate::machine::congestion::{Change, Congestion, Had, Party, Sample, Scarce, Watch};
use crate::sys::storage::file_system;
use hearth_model::manifest::Manifest;
use hearth_model::protocol::{Direction, QueueOwner, QueuePage, QueueRow, Shaping, ToNetpath};
use hearth_model::state::UnitState;
use hearth_model::{ServiceId, Tick};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;

/// What the home's own traffic is called among services.
pub const HOME: &str = "home";

/// Bytes of a page of memory, on every processor that this runs on.
const PAGE: u64 = 4096;

/// Bits of a byte.
const BITS: u64 = 8;

/// Whether netpath answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Net {
    /// It is connected.
    Up,
    /// It is not.
    Down,
}

/// The watch, and what netpath has told of the line.
#[derive(Debug)]
pub struct Watcher {
    watch: Watch,
    rhythm: Rhythm,
    pressure: Pressure,
    rows: BTreeMap<(Direction, QueueOwner), QueueRow>,
    /// What a direction that is shaped carries, bytes a second.
    line: BTreeMap<Direction, u64>,
    /// What each service has waited for memory.
    refaults: BTreeMap<ServiceId, Refaults>,
    /// What the Internet's port had carried at the last glance, bytes, and when.
    carried: BTreeMap<Direction, (Tick, u64)>,
    /// The look for which netpath is being asked, until when at most, and what has not been answered yet.
    asked: Option<(Look, Tick, BTreeSet<Direction>)>,
}

impl Watcher {
    /// Nothing seen yet.
    #[must_use]
    pub fn new(pressure: Pressure) -> Watcher {
        Watcher {
            watch: Watch::default(),
            rhythm: Rhythm::new(pressure.triggers()),
            pressure,
            rows: BTreeMap::new(),
            line: BTreeMap::new(),
            refaults: BTreeMap::new(),
            carried: BTreeMap::new(),
            asked: None,
        }
    }

    /// When to look next.
    #[must_use]
    pub fn due(&self) -> Tick {
        match &self.asked {
            Some((_, _, left)) if left.is_empty() => Tick(0),
            Some((_, until, _)) => *until,
            None => self.rhythm.due(),
        }
    }

    /// Waits until the kernel tells that somebody waits. Nothing is lost where the caller stops waiting.
    pub async fn next(&self) {
        self.pressure.next().await;
    }

    /// Somebody waits, or may: everyone is looked at for a while.
    pub fn stir(&mut self) {
        self.rhythm.stir(now());
    }

    /// What is short now.
    pub fn congested(&self) -> impl Iterator<Item = &Congestion> {
        self.watch.congested()
    }

    /// Looks, where it is time; what is new, and what to ask netpath.
    pub fn step(
        &mut self,
        now: Tick,
        machine: &Machine,
        starter: &Starter,
        net: Net,
    ) -> (Vec<Change>, Vec<ToNetpath>) {
        if let Some((look, until, left)) = self.asked.take() {
            if !left.is_empty() && now < until {
                self.asked = Some((look, until, left));
                return (Vec::new(), Vec::new());
            }
            let sample = self.sample(machine, starter, now);
            if look == Look::First {
                self.watch.begin_anew();
            }
            let changes = self.watch.step(now, sample);
            if self.watch.congested().next().is_some() {
                self.rhythm.stir(now);
            }
            return (changes, Vec::new());
        }
        let Some(look) = self.rhythm.look(now) else {
            return (Vec::new(), Vec::new());
        };
        if self.line_is_busy(starter, now) || data_is_full(starter) {
            self.rhythm.stir(now);
        }
        if look == Look::Glance {
            return (Vec::new(), Vec::new());
        }
        // Who is away answers nothing: then there is nothing to wait for.
        let left = Direction::ALL.into_iter().filter(|_| net == Net::Up);
        let until = now.after_ms(QUEUES_WAIT_MS);
        self.asked = Some((look, until, left.collect()));
        let ask = |direction| ToNetpath::Queues { direction, from: 0 };
        (Vec::new(), Direction::ALL.map(ask).to_vec())
    }

    /// A page of queues; the question for the next one.
    pub fn page(&mut self, page: &QueuePage) -> Option<ToNetpath> {
        if let Shaping::On { rate, .. } = page.shaping {
            self.line.insert(page.direction, rate.0 / BITS);
        } else {
            self.line.remove(&page.direction);
            self.rows
                .retain(|(direction, _), _| *direction != page.direction);
        }
        for row in &page.rows {
            self.rows.insert((page.direction, row.owner), *row);
        }
        if let (None, Some((_, _, left))) = (page.next, &mut self.asked) {
            left.remove(&page.direction);
        }
        page.next.map(|from| ToNetpath::Queues {
            direction: page.direction,
            from,
        })
    }

    /// Whether a direction of the line may have packets that wait, by what its port has carried since the last glance.
    fn line_is_busy(&mut self, starter: &Starter, now: Tick) -> bool {
        let port = &starter.gateway.wan.interface;
        let folder = starter
            .paths
            .at("/sys/class/net")
            .join(port)
            .join("statistics");
        let mut is_busy = false;
        for (&direction, &rate) in &self.line {
            let file = match direction {
                Direction::Up => "tx_bytes",
                Direction::Down => "rx_bytes",
            };
            let text = read_text(&folder.join(file), KERNEL_FILE_MAX).unwrap_or_default();
            let Ok(bytes) = text.trim().parse::<u64>() else {
                continue;
            };
            let (then, before) = self
                .carried
                .insert(direction, (now, bytes))
                .unwrap_or((now, bytes));
            let most = u128::from(rate) * u128::from(now.since_ms(then)) / 1000;
            let had = u128::from(bytes.saturating_sub(before));
            is_busy |= most > 0 && had * 100 >= most * LINE_BUSY_PERCENT;
        }
        is_busy
    }

    fn sample(&mut self, machine: &Machine, starter: &Starter, now: Tick) -> Sample {
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
                let refaults = self.refaults.entry(id).or_default();
                of_group(&folder, &package.manifest, refaults, &mut had);
            } else {
                self.refaults.remove(&id);
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
            let party = Party {
                rank: Some(rank),
                is_named: rank < machine.named().len(),
                had,
            };
            parties.insert(row.name.to_string(), party);
        }
        let mut home = Party::default();
        for ((direction, owner), row) in &self.rows {
            if matches!(owner, QueueOwner::Class(_)) {
                let sum = home.had.entry(line(*direction)).or_default();
                let row = of_row(row);
                sum.amount += row.amount;
                sum.packets += row.packets;
                sum.drops += row.drops;
                sum.holds += row.holds;
            }
        }
        parties.insert(HOME.to_owned(), home);
        Sample {
            parties,
            data: data(starter),
        }
    }
}

/// The data partition: used and all, bytes.
fn data(starter: &Starter) -> Option<(u64, u64)> {
    let data = File::open(&starter.data).and_then(|folder| file_system(&folder));
    data.ok()
        .map(|facts| (facts.size.saturating_sub(facts.free), facts.size))
}

fn data_is_full(starter: &Starter) -> bool {
    data(starter).is_some_and(|(used, all)| {
        u128::from(used) * 100 >= u128::from(all) * u128::from(STORAGE_FULL_PERCENT)
    })
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
        packets: row.packets.into(),
        drops: row.drops.into(),
        holds: row.backlog.into(),
        reserve: row.rate.0 / BITS,
        max: Some(row.ceiling.0 / BITS),
    }
}

/// What a service's cgroup tells.
fn of_group(
    folder: &std::path::Path,
    manifest: &Manifest,
    refaults: &mut Refaults,
    had: &mut BTreeMap<Scarce, Had>,
) {
    let text = |file: &str| read_text(&folder.join(file), KERNEL_FILE_MAX).unwrap_or_default();
    let milli = |milli: u32| u64::from(milli) * 1000;
    let cpu = Had {
        amount: cgroup::keyed(&text("cpu.stat"), "usage_usec").unwrap_or(0),
        waited: waited(&text("cpu.pressure")),
        reserve: milli(manifest.cpu_reserve().0),
        max: manifest.cpu_max().map(|max| milli(max.0)),
        ..Had::default()
    };
    let stat = text("io.stat");
    let (read, written) = (sum(&stat, "rbytes="), sum(&stat, "wbytes="));
    let io_waited = waited(&text("io.pressure"));
    let memory = Had {
        holds: text("memory.current").trim().parse().unwrap_or(0),
        waited: refaults.waited(Counted {
            memory_waited: waited(&text("memory.pressure")),
            io_waited,
            returned: returned(&text("memory.stat")),
            read,
        }),
        reserve: manifest.memory_reserve().0,
        max: Some(manifest.memory_max().0),
        ..Had::default()
    };
    let io = Had {
        amount: read.saturating_add(written),
        waited: io_waited,
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

/// Bytes that came back so soon that a little more memory would have kept them (kernel document cgroup-v2,
/// `memory.stat`).
fn returned(text: &str) -> u64 {
    let pages = |of: &str| cgroup::keyed(text, &format!("workingset_activate_{of}")).unwrap_or(0);
    pages("file").saturating_add(pages("anon")) * PAGE
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

//! From the data file, the line's rate and the services' shares to the classes of a direction: pure.
//!
//! Invariants: the guaranteed rates of all classes together are never more than the line's, so that HTB can
//! keep each of them; every class may borrow up to the line's rate, or its own ceiling.

use super::classes::{MAJOR, SERVICE_STEP, SERVICES};
use crate::limits::{
    LEAF_MEMORY_MAX, LEAF_MEMORY_MIN, LEAF_PACKETS, LINE_SHAPED_MAX, QUANTUM_MAX, QUANTUM_MIN,
    QUEUE_PACKETS_MIN, QUEUE_RATE_MIN,
};
use hearth_bpf::qdisc::{Class, Leaf};
use hearth_model::protocol::{
    Direction, LeafKind, LineClass, LineShare, NetworkShare, QueueOwner, TrafficClass,
};
use hearth_model::queues::QueueData;
use hearth_model::{BitsPerSec, ServiceId};

/// The class of the whole line, which all others borrow from.
pub const LINE: u16 = 1;

/// A class of the plan, and whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Planned {
    /// Whose; `None`: the line itself.
    pub owner: Option<QueueOwner>,
    /// Where it stands.
    pub rank: LineClass,
    /// For the kernel.
    pub class: Class,
}

/// The number of a class's own queue, for the home and the gateway. The last digit is what a NIC's own bands
/// read.
#[must_use]
pub fn minor_of(class: LineClass) -> u16 {
    match class {
        LineClass::Control => 0x17,
        LineClass::Guaranteed => 0x20,
        LineClass::Interactive => 0x36,
        LineClass::Bulk => 0x40,
        LineClass::Background => 0x52,
    }
}

/// The number of a service's queue.
#[must_use]
pub fn minor_of_service(id: ServiceId) -> u16 {
    let number = u32::try_from(id.index()).unwrap_or_default();
    u16::try_from((SERVICES - MAJOR) + number * SERVICE_STEP).unwrap_or(LINE)
}

/// The class of a service's packets.
#[must_use]
pub fn rank(class: TrafficClass) -> LineClass {
    match class {
        TrafficClass::Guaranteed => LineClass::Guaranteed,
        TrafficClass::Interactive => LineClass::Interactive,
        TrafficClass::Bulk => LineClass::Bulk,
    }
}

/// A direction of the line, as it is to be shaped.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    data: &'a QueueData,
    direction: Direction,
    /// What leaves at most.
    pub rate: BitsPerSec,
}

impl<'a> Line<'a> {
    /// A line that carries `rate`; `None` where it is faster than what can be shaped.
    #[must_use]
    pub fn new(data: &'a QueueData, direction: Direction, rate: BitsPerSec) -> Option<Line<'a>> {
        let used = rate.0 / 100 * u64::from(data.line.share);
        (rate <= LINE_SHAPED_MAX).then_some(Line {
            data,
            direction,
            rate: BitsPerSec(used),
        })
    }

    /// Its classes, parents first.
    #[must_use]
    pub fn classes(&self, services: &[(ServiceId, NetworkShare)]) -> Vec<Planned> {
        let line = self.rate;
        let reserved: u64 = services.iter().map(|(_, s)| self.part(s).reserve.0).sum();
        // Admission keeps the sum below the line; where the line was slowed down since, each gives its part.
        let fits = |reserve: u64| match reserved.max(1) {
            sum if sum <= line.0 => reserve,
            sum => u64::try_from(u128::from(reserve) * u128::from(line.0) / u128::from(sum))
                .unwrap_or(reserve),
        };
        let rest = line.0.saturating_sub(reserved);
        // A packet is the turn of the smallest of those that are there: on a slow line, each turn is the others' delay.
        let least = services.iter().map(|(_, share)| share.weight).min();
        let least = u32::from(least.unwrap_or(NetworkShare::WEIGHT_EVEN).max(1));
        let quantum = |weight: u16| {
            let weighed = QUANTUM_MIN * u32::from(weight) / least;
            weighed.clamp(QUANTUM_MIN, QUANTUM_MAX)
        };
        let root = Planned {
            owner: None,
            rank: LineClass::Control,
            class: Class {
                parent: 0,
                ..self.class(LINE, LineClass::Control, (line, line), QUANTUM_MIN)
            },
        };
        let home = LineClass::ALL.into_iter().filter_map(|rank| {
            let share = u64::from(self.data.class.of(rank).share);
            let rate = BitsPerSec(rest / 100 * share);
            (share > 0).then(|| Planned {
                owner: Some(QueueOwner::Class(rank)),
                rank,
                class: self.class(
                    minor_of(rank),
                    rank,
                    (rate, line),
                    quantum(NetworkShare::WEIGHT_EVEN),
                ),
            })
        });
        let theirs = services.iter().map(|(id, share)| {
            let part = self.part(share);
            let rate = BitsPerSec(fits(part.reserve.0));
            let ceiling = part.max.map_or(line, |max| max.min(line)).max(rate);
            let rank = rank(share.class);
            Planned {
                owner: Some(QueueOwner::Service(*id)),
                rank,
                class: self.class(
                    minor_of_service(*id),
                    rank,
                    (rate, ceiling),
                    quantum(share.weight),
                ),
            }
        });
        [root].into_iter().chain(home).chain(theirs).collect()
    }

    fn part(&self, share: &NetworkShare) -> LineShare {
        match self.direction {
            Direction::Up => share.up,
            Direction::Down => share.down,
        }
    }

    fn class(
        &self,
        minor: u16,
        rank: LineClass,
        (rate, ceiling): (BitsPerSec, BitsPerSec),
        quantum: u32,
    ) -> Class {
        let bytes = |rate: BitsPerSec| rate.max(QUEUE_RATE_MIN).0 / 8;
        let priority = LineClass::ALL.iter().position(|one| *one == rank);
        Class {
            minor,
            parent: LINE,
            rate: bytes(rate),
            ceiling: bytes(ceiling),
            burst: self.at_once(self.data.line.burst).max(QUANTUM_MIN),
            priority: priority.and_then(|at| u32::try_from(at).ok()).unwrap_or(0),
            quantum,
            overhead: self.data.line.overhead,
        }
    }

    /// Bytes that the line carries in so many ms.
    fn at_once(&self, ms: u32) -> u32 {
        u32::try_from(self.rate.0 / 8 * u64::from(ms) / 1_000).unwrap_or(u32::MAX)
    }

    /// The largest piece of a segment that may be handed on whole, bytes: one that takes as long as what may
    /// leave at once, and one frame at least.
    #[must_use]
    pub fn piece(&self) -> u32 {
        self.at_once(self.data.line.burst).max(QUANTUM_MIN)
    }

    /// A leaf of this kind.
    #[must_use]
    pub fn leaf(&self, kind: LeafKind) -> Leaf {
        let (line, leaf) = (&self.data.line, &self.data.leaf);
        // One packet on the line is no queue yet (RFC 8289 4.4: at least one), nor is the turn of another class. CAKE
        // takes four packets for none where it knows the line's rate itself, which HTB does not tell it.
        let turn = u64::from(QUANTUM_MIN) * 8 * 4_000_000 / self.rate.0.max(1);
        let target = (leaf.target * 1_000).max(u32::try_from(turn).unwrap_or(u32::MAX));
        let interval = (leaf.interval * 1_000).max(target.saturating_mul(2));
        let held = self.at_once(line.hold);
        let memory = held
            .saturating_mul(4)
            .clamp(LEAF_MEMORY_MIN, LEAF_MEMORY_MAX);
        match kind {
            LeafKind::Cake => Leaf::Cake {
                target,
                interval,
                memory,
            },
            LeafKind::FqCodel => Leaf::FqCodel {
                target,
                interval,
                memory,
                limit: LEAF_PACKETS,
            },
            LeafKind::Pfifo => Leaf::Fifo {
                limit: (held / QUANTUM_MIN).max(QUEUE_PACKETS_MIN),
            },
        }
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;

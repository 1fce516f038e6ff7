//! Which flow the later fragments of a datagram follow: only the first one has ports. Those that come
//! before it are kept for it, shortly and in bounds (RFC 4787 REQ-14).
//!
//! A record is a hint, not a mapping: it can be displaced, but only by a newer datagram of the
//! same group, and a source's datagrams are all in one group. What is kept is never displaced: where a
//! group has no room, the newcomer goes.

use super::hash::Hasher;
use super::sessions::Side;
use super::table::{Full, Row};
use crate::limits::{
    FRAGMENT_GROUP_HELD, FRAGMENT_GROUP_SIZE, FRAGMENT_GROUPS, FRAGMENT_HELD_MAX, FRAGMENT_HELD_MS,
    FRAGMENT_TIMEOUT_MS,
};
use crate::wire::ipv4::Ipv4;
use core::net::Ipv4Addr;
use core::ops::Range;
use hearth_model::Tick;
use hearth_model::protocol::Zone;

/// What the fragments of one datagram share (RFC 791 2.3), and the side they come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DatagramKey {
    /// The side.
    pub zone: Zone,
    /// Source address.
    pub source: Ipv4Addr,
    /// Destination address.
    pub destination: Ipv4Addr,
    /// Protocol number.
    pub protocol: u8,
    /// The identification field.
    pub identification: u16,
}

/// What its first fragment was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Followed {
    /// A packet of this flow and side; `serial` tells it from a later flow in the same row.
    Session {
        /// The flow.
        row: Row,
        /// Its serial.
        serial: u32,
        /// From which end.
        side: Side,
        /// The identification that the datagram leaves with.
        identification: u16,
    },
    /// For the gateway itself.
    Local,
}

#[derive(Clone, Copy, Debug)]
struct Record {
    key: DatagramKey,
    followed: Followed,
    deadline: Tick,
}

#[derive(Clone, Debug)]
struct Group {
    records: [Option<Record>; FRAGMENT_GROUP_SIZE],
    /// The oldest record, which the next datagram displaces.
    oldest: usize,
}

/// A fragment that waits for its datagram's first one.
#[derive(Clone, Copy, Debug)]
struct Held {
    key: DatagramKey,
    deadline: Tick,
    length: usize,
}

/// Datagrams under way.
#[derive(Debug)]
pub struct Fragments {
    groups: Box<[Group]>,
    /// [`FRAGMENT_GROUP_HELD`] places for each group, and as many pieces of memory for the packets.
    held: Box<[Option<Held>]>,
    packets: Box<[u8]>,
    /// When the first of those that are held is given up; `None` while none is.
    earliest: Option<Tick>,
    hasher: Hasher,
}

impl Fragments {
    /// None under way.
    #[must_use]
    pub fn new(hasher: Hasher) -> Fragments {
        let empty = Group {
            records: [None; FRAGMENT_GROUP_SIZE],
            oldest: 0,
        };
        Fragments {
            groups: (0..FRAGMENT_GROUPS).map(|_| empty.clone()).collect(),
            held: vec![None; FRAGMENT_GROUPS * FRAGMENT_GROUP_HELD].into(),
            packets: vec![0; FRAGMENT_GROUPS * FRAGMENT_GROUP_HELD * FRAGMENT_HELD_MAX].into(),
            earliest: None,
            hasher,
        }
    }

    fn group(&self, key: &DatagramKey) -> usize {
        let hash = self
            .hasher
            .words([u32::from(key.source), key.zone as u32, 0, 0]);
        usize::try_from(hash).unwrap_or(0) % FRAGMENT_GROUPS
    }

    /// Notes what a first fragment was.
    pub fn remember(&mut self, key: DatagramKey, followed: Followed, now: Tick) {
        let at = self.group(&key);
        let Some(group) = self.groups.get_mut(at) else {
            return;
        };
        let record = Record {
            key,
            followed,
            deadline: now.after_ms(FRAGMENT_TIMEOUT_MS),
        };
        // A first fragment that is sent again has one record, so that an old one can not win.
        let same = |r: &&mut Option<Record>| r.is_some_and(|r| r.key == key);
        if let Some(place) = group.records.iter_mut().find(same) {
            *place = Some(record);
            return;
        }
        if let Some(place) = group.records.get_mut(group.oldest) {
            *place = Some(record);
            group.oldest = (group.oldest + 1) % FRAGMENT_GROUP_SIZE;
        }
    }

    /// Keeps a later fragment until its first one comes.
    ///
    /// # Errors
    /// [`Full`]: its group has no room, or it is too long.
    pub fn hold(&mut self, key: DatagramKey, packet: &Ipv4<'_>, now: Tick) -> Result<(), Full> {
        let places = self.places(&key);
        let mut free = places.filter(|place| self.held.get(*place).is_some_and(Option::is_none));
        let place = free.next().ok_or(Full)?;
        let memory = self.memory(place).ok_or(Full)?;
        let length = packet.copy_to(memory).ok_or(Full)?;
        let deadline = now.after_ms(FRAGMENT_HELD_MS);
        if let Some(held) = self.held.get_mut(place) {
            *held = Some(Held {
                key,
                deadline,
                length,
            });
        }
        self.earliest.get_or_insert(deadline);
        Ok(())
    }

    /// One fragment that waits for this datagram's first one: copied to `out`, and its length.
    pub fn take(&mut self, key: &DatagramKey, out: &mut [u8]) -> Option<usize> {
        self.earliest?;
        let mut places = self.places(key);
        let place = places.find(|place| {
            let held = self.held.get(*place).and_then(Option::as_ref);
            held.is_some_and(|held| held.key == *key)
        })?;
        let length = self.held.get_mut(place)?.take()?.length;
        self.count_down();
        let packet = self.memory(place)?.get(..length)?;
        out.get_mut(..length)?.copy_from_slice(packet);
        Some(length)
    }

    /// Gives up those whose first one did not come in time, and says how many.
    pub fn give_up(&mut self, now: Tick) -> u64 {
        if self.earliest.is_none_or(|at| at > now) {
            return 0;
        }
        let mut given_up = 0;
        for held in &mut self.held {
            if held.is_some_and(|held| held.deadline <= now) {
                *held = None;
                given_up += 1;
            }
        }
        self.count_down();
        given_up
    }

    /// When [`Fragments::give_up`] has something to do.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Tick> {
        self.earliest
    }

    fn count_down(&mut self) {
        self.earliest = self.held.iter().flatten().map(|held| held.deadline).min();
    }

    fn places(&self, key: &DatagramKey) -> Range<usize> {
        let first = self.group(key) * FRAGMENT_GROUP_HELD;
        first..first + FRAGMENT_GROUP_HELD
    }

    fn memory(&mut self, place: usize) -> Option<&mut [u8]> {
        let start = place * FRAGMENT_HELD_MAX;
        self.packets.get_mut(start..start + FRAGMENT_HELD_MAX)
    }

    /// What the first fragment of this datagram was.
    #[must_use]
    pub fn recall(&self, key: &DatagramKey, now: Tick) -> Option<Followed> {
        let records = self.groups.get(self.group(key))?.records.iter().flatten();
        let mut live = records.filter(|record| record.deadline > now);
        live.find(|record| record.key == *key)
            .map(|record| record.followed)
    }
}

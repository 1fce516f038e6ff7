//! Which flow the later fragments of a datagram follow: only the first one has ports.
//!
//! A record is a hint, not a mapping: it can be displaced, but only by a newer datagram of the
//! same group, and a source's datagrams are all in one group.

use super::hash::Hasher;
use super::sessions::Side;
use super::table::Row;
use crate::limits::{FRAGMENT_GROUP_SIZE, FRAGMENT_GROUPS, FRAGMENT_TIMEOUT_MS};
use core::net::Ipv4Addr;
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

/// Datagrams under way.
#[derive(Debug)]
pub struct Fragments {
    groups: Box<[Group]>,
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

    /// What the first fragment of this datagram was.
    #[must_use]
    pub fn recall(&self, key: &DatagramKey, now: Tick) -> Option<Followed> {
        let records = self.groups.get(self.group(key))?.records.iter().flatten();
        let mut live = records.filter(|record| record.deadline > now);
        live.find(|record| record.key == *key)
            .map(|record| record.followed)
    }
}

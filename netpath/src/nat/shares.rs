//! Two small tables that flows count in: whose share they use, and whom their mapping has sent to.

use super::hash::Hasher;
use super::table::{Full, Keyed, Row, Table};
use crate::limits::{HOST_SHARE, HOSTS_MAX, SESSIONS_MAX};
use core::net::Ipv4Addr;
use hearth_model::Tick;
use hearth_model::protocol::{HostRow, Volume};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct HostKey(Ipv4Addr);

impl From<HostKey> for [u32; 4] {
    fn from(key: HostKey) -> [u32; 4] {
        [u32::from(key.0), 0, 0, 0]
    }
}

#[derive(Debug)]
struct Host {
    address: Ipv4Addr,
    sessions: u32,
    /// What it has sent and received.
    all: Traffic,
    /// The same in one window, and in the one before.
    window: Traffic,
    before: Traffic,
    /// Which window that is.
    number: u32,
}

/// What a host has sent, and what it has received.
type Traffic = [Volume; 2];

/// Which way packets of a host go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// It has sent them.
    Sent,
    /// They are for it.
    Received,
}

impl Host {
    fn new(address: Ipv4Addr, number: u32) -> Host {
        Host {
            address,
            sessions: 1,
            all: Traffic::default(),
            window: Traffic::default(),
            before: Traffic::default(),
            number,
        }
    }

    /// What it did in the window before this one.
    fn lately(&self, number: u32) -> Traffic {
        if self.number == number {
            self.before
        } else if self.number.wrapping_add(1) == number {
            self.window
        } else {
            Traffic::default()
        }
    }
}

impl Keyed for Host {
    type Key = HostKey;
    fn key(&self) -> HostKey {
        HostKey(self.address)
    }
}

/// Why a host gets no further flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShareError {
    /// It has [`HOST_SHARE`] flows.
    ShareFull,
    /// [`HOSTS_MAX`] other hosts have flows.
    HostsFull,
}

/// Flows by inside host (RFC 6888 REQ-4).
#[derive(Debug)]
pub struct Hosts {
    table: Table<Host>,
    /// The window in which traffic is counted now, since when, and how long the last one was.
    number: u32,
    since: Tick,
    window_ms: u64,
}

impl Hosts {
    /// No host.
    #[must_use]
    pub fn new(hasher: Hasher) -> Hosts {
        Hosts {
            table: Table::new(HOSTS_MAX, hasher),
            number: 0,
            since: Tick(0),
            window_ms: 0,
        }
    }

    /// Counts packets of a host.
    pub fn count(&mut self, row: Row, way: Way, packets: u64, bytes: u64) {
        let number = self.number;
        let Some(host) = self.table.get_mut(row) else {
            return;
        };
        if host.number != number {
            host.before = host.lately(number);
            (host.window, host.number) = (Traffic::default(), number);
        }
        for sums in [&mut host.all, &mut host.window] {
            if let Some(sum) = sums.get_mut(way as usize) {
                sum.packets = sum.packets.wrapping_add(packets);
                sum.bytes = sum.bytes.wrapping_add(bytes);
            }
        }
    }

    /// Begins another window: every flow that is carried has been looked at since the last one began.
    pub fn turn(&mut self, now: Tick) {
        self.number = self.number.wrapping_add(1);
        self.window_ms = now.since_ms(self.since);
        self.since = now;
    }

    /// How long the last window was, ms; 0 before the first one is over.
    #[must_use]
    pub fn window_ms(&self) -> u32 {
        // The first one began with the machine, before its clock was known.
        let ms = if self.number < 2 { 0 } else { self.window_ms };
        u32::try_from(ms).unwrap_or(u32::MAX)
    }

    /// Flows of the host in a row.
    #[must_use]
    pub fn sessions(&self, row: Option<Row>) -> u32 {
        let host = row.and_then(|row| self.table.get(row));
        host.map_or(0, |host| host.sessions)
    }

    /// The hosts from a row on, with the row of each.
    pub fn rows_from(&self, from: Row) -> impl Iterator<Item = (Row, HostRow)> {
        let rows = self.table.iter().filter(move |(row, _)| *row >= from);
        rows.map(|(row, host)| {
            let [sent, received] = host.all;
            let [sent_lately, received_lately] = host.lately(self.number);
            let told = HostRow {
                address: host.address,
                sessions: host.sessions,
                sent,
                received,
                sent_lately,
                received_lately,
            };
            (row, told)
        })
    }

    /// One more flow for a host.
    ///
    /// # Errors
    /// [`ShareError`].
    pub fn acquire(&mut self, address: Ipv4Addr) -> Result<Row, ShareError> {
        let spot = self.spot(address)?;
        self.take(address, spot)
    }

    /// Where one more flow of a host would count: its row, where it has flows already.
    ///
    /// # Errors
    /// [`ShareError`].
    pub fn spot(&self, address: Ipv4Addr) -> Result<Option<Row>, ShareError> {
        let row = self.table.find(HostKey(address));
        match row.and_then(|row| self.table.get(row)) {
            Some(host) if host.sessions >= HOST_SHARE => Err(ShareError::ShareFull),
            None if self.table.len() >= HOSTS_MAX => Err(ShareError::HostsFull),
            Some(_) | None => Ok(row),
        }
    }

    /// Counts one more flow where [`Hosts::spot`] has found room; nothing may have changed since.
    ///
    /// # Errors
    /// [`ShareError::HostsFull`].
    pub fn take(&mut self, address: Ipv4Addr, spot: Option<Row>) -> Result<Row, ShareError> {
        let Some(row) = spot else {
            let host = Host::new(address, self.number);
            return self
                .table
                .insert(host)
                .map_err(|Full| ShareError::HostsFull);
        };
        if let Some(host) = self.table.get_mut(row) {
            host.sessions += 1;
        }
        Ok(row)
    }

    /// One flow less.
    pub fn release(&mut self, row: Row) {
        if let Some(host) = self.table.get_mut(row) {
            host.sessions = host.sessions.saturating_sub(1);
            if host.sessions == 0 {
                self.table.remove(row);
            }
        }
    }

    /// Hosts with flows.
    #[cfg(test)]
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.len()
    }
}

/// A mapping and an address that it sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerKey {
    /// The mapping.
    pub mapping: Row,
    /// The address out there.
    pub remote: Ipv4Addr,
}

impl From<PeerKey> for [u32; 4] {
    fn from(key: PeerKey) -> [u32; 4] {
        [u32::from(key.remote), u32::from(key.mapping), 0, 0]
    }
}

#[derive(Debug)]
struct Peer {
    key: PeerKey,
    sessions: u32,
    deadline: Tick,
}

impl Keyed for Peer {
    type Key = PeerKey;
    fn key(&self) -> PeerKey {
        self.key
    }
}

/// Address-dependent filtering (RFC 4787 REQ-8): what a UDP mapping lets in, and until when.
#[derive(Debug)]
pub struct Peers {
    table: Table<Peer>,
}

impl Peers {
    /// Nobody.
    #[must_use]
    pub fn new(hasher: Hasher) -> Peers {
        Peers {
            // A peer has a session at least, so there are never more of them.
            table: Table::new(SESSIONS_MAX, hasher),
        }
    }

    /// The permission, where it is live, and when it ends.
    #[must_use]
    pub fn permitted(&self, key: PeerKey, now: Tick) -> Option<(Row, Tick)> {
        let row = self.table.find(key)?;
        let deadline = self.table.get(row)?.deadline;
        (deadline > now).then_some((row, deadline))
    }

    /// One more flow between a mapping and an address; a new one permits nothing until
    /// [`Peers::extend`].
    ///
    /// # Errors
    /// [`Full`].
    pub fn acquire(&mut self, key: PeerKey) -> Result<Row, Full> {
        if let Some(row) = self.table.find(key) {
            self.share(row);
            return Ok(row);
        }
        self.table.insert(Peer {
            key,
            sessions: 1,
            deadline: Tick(0),
        })
    }

    /// One more flow for a permission that is there.
    pub fn share(&mut self, row: Row) {
        if let Some(peer) = self.table.get_mut(row) {
            peer.sessions += 1;
        }
    }

    /// Permits until `deadline`, or longer where it did already.
    pub fn extend(&mut self, row: Row, deadline: Tick) {
        if let Some(peer) = self.table.get_mut(row) {
            peer.deadline = peer.deadline.max(deadline);
        }
    }

    /// One flow less; the last one ends the permission.
    pub fn release(&mut self, row: Row) {
        if let Some(peer) = self.table.get_mut(row) {
            peer.sessions = peer.sessions.saturating_sub(1);
            if peer.sessions == 0 {
                self.table.remove(row);
            }
        }
    }

    /// Permissions in the table.
    #[cfg(test)]
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.len()
    }
}

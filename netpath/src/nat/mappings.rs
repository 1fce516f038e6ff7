//! Endpoint-independent mappings: an inside endpoint keeps one external port, whoever it talks to
//! (RFC 4787 REQ-1, RFC 5382 REQ-1, RFC 5508 REQ-1a), and no two share one (REQ-7).

use super::hash::{Hasher, Random};
use super::table::{Full, Keyed, Row, Table};
use crate::limits::{DHCP_CLIENT_PORT, EXTERNAL_PORT_FIRST, EXTERNAL_PORT_LAST, SESSIONS_MAX};
use crate::wire::transport::Protocol;
use core::net::Ipv4Addr;
use core::ops::Range;
use hearth_model::Tick;

/// An inside endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inside {
    /// Protocol.
    pub protocol: Protocol,
    /// Address in the home or of a service.
    pub address: Ipv4Addr,
    /// Port, or echo identifier.
    pub port: u16,
}

impl From<Inside> for [u32; 4] {
    fn from(key: Inside) -> [u32; 4] {
        [
            u32::from(key.address),
            u32::from(key.port),
            key.protocol as u32,
            0,
        ]
    }
}

/// One mapping.
#[derive(Clone, Copy, Debug)]
pub struct Mapping {
    /// Whose.
    pub inside: Inside,
    /// Its port of the WAN's address.
    pub external: u16,
    /// Flows that go by it; it ends with the last one.
    sessions: u32,
    /// Until when it lets in whoever the filter says; what the inside sends prolongs it.
    pub deadline: Tick,
}

impl Keyed for Mapping {
    type Key = Inside;
    fn key(&self) -> Inside {
        self.inside
    }
}

/// Words of 32 ports each.
const WORDS: usize = 65_536 / 32;
/// Even ports of a word; the odd ones are the others.
const EVEN: u32 = 0x5555_5555;

/// The external ports of one protocol.
#[derive(Debug)]
struct PortSpace {
    /// The mapping that has the port.
    owner: Box<[Option<Row>]>,
    mapped: Box<[u32]>,
    /// Never given to a mapping: the gateway's own, and those of forwards.
    reserved: Box<[u32]>,
}

impl PortSpace {
    fn new(first: u16, last: u16) -> PortSpace {
        let mut space = PortSpace {
            owner: (0..=u16::MAX).map(|_| None).collect(),
            mapped: (0..WORDS).map(|_| 0).collect(),
            reserved: (0..WORDS).map(|_| 0).collect(),
        };
        for port in (0..=u16::MAX).filter(|port| !(first..=last).contains(port)) {
            set(&mut space.reserved, port, Bit::On);
        }
        space
    }

    fn free(&self, word: usize) -> u32 {
        let taken = |bits: &[u32]| bits.get(word).copied().unwrap_or(u32::MAX);
        !(taken(&self.mapped) | taken(&self.reserved))
    }

    /// The wanted port, else one of its range and parity (RFC 4787 REQ-3a, REQ-4), else any of its
    /// range; a random one of them. A well-known port finds another place where its range is full, and
    /// no other port ever gets a well-known one.
    fn choose(&self, wanted: u16, low: Range<usize>, random: &mut Random) -> Option<u16> {
        let (word, bit) = place(wanted);
        if self.free(word) & bit != 0 {
            return Some(wanted);
        }
        let parity = if wanted.is_multiple_of(2) {
            EVEN
        } else {
            !EVEN
        };
        let high = low.end..WORDS;
        let ranges = [low.contains(&word).then_some(low), Some(high)];
        ranges.into_iter().flatten().find_map(|range| {
            self.search(range.clone(), parity, random)
                .or_else(|| self.search(range, !parity, random))
        })
    }

    fn search(&self, among: Range<usize>, parity: u32, random: &mut Random) -> Option<u16> {
        let length = among.len().max(1);
        let start = among.start + usize::from(low16(random.draw())) % length;
        let turn = random.draw() % 32;
        let words = (start..among.end).chain(among.start..start);
        let (word, free) = words
            .map(|word| (word, self.free(word) & parity))
            .find(|(_, free)| *free != 0)?;
        let bit = (free.rotate_right(turn).trailing_zeros() + turn) % 32;
        u16::try_from(word * 32)
            .ok()?
            .checked_add(u16::try_from(bit).ok()?)
    }
}

fn low16(n: u32) -> u16 {
    let [a, b, ..] = n.to_le_bytes();
    u16::from_le_bytes([a, b])
}

fn place(port: u16) -> (usize, u32) {
    (usize::from(port / 32), 1 << (port % 32))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Bit {
    On,
    Off,
}

fn set(words: &mut [u32], port: u16, value: Bit) {
    let (word, bit) = place(port);
    if let Some(word) = words.get_mut(word) {
        match value {
            Bit::On => *word |= bit,
            Bit::Off => *word &= !bit,
        }
    }
}

/// Where the mapping of an inside endpoint is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spot {
    /// It is there.
    There {
        /// Its row.
        row: Row,
        /// Its port of the WAN's address.
        external: u16,
    },
    /// It would be made.
    Free {
        /// Whose it would be.
        inside: Inside,
        /// The port that it would get.
        external: u16,
        /// What the next choice would then begin with.
        random: Random,
    },
}

impl Spot {
    /// The mapping's port of the WAN's address.
    #[must_use]
    pub fn external(&self) -> u16 {
        match *self {
            Spot::There { external, .. } | Spot::Free { external, .. } => external,
        }
    }
}

/// All mappings.
#[derive(Debug)]
pub struct Mappings {
    table: Table<Mapping>,
    tcp: PortSpace,
    udp: PortSpace,
    icmp: PortSpace,
    random: Random,
}

impl Mappings {
    /// No mapping.
    #[must_use]
    pub fn new(hasher: Hasher, secret: u64) -> Mappings {
        let mut mappings = Mappings {
            // A mapping has a session at least, so there are never more of them.
            table: Table::new(SESSIONS_MAX, hasher),
            tcp: PortSpace::new(1, EXTERNAL_PORT_LAST),
            udp: PortSpace::new(1, EXTERNAL_PORT_LAST),
            // Echo identifiers have no well-known part.
            icmp: PortSpace::new(0, u16::MAX),
            random: Random::new(!secret),
        };
        mappings.reserve(Protocol::Udp, DHCP_CLIENT_PORT);
        mappings
    }

    /// Words of the well-known ports; echo identifiers are all alike.
    fn low(protocol: Protocol) -> Range<usize> {
        match protocol {
            Protocol::Tcp | Protocol::Udp => 0..usize::from(EXTERNAL_PORT_FIRST / 32),
            Protocol::Icmp => 0..0,
        }
    }

    fn space(&self, protocol: Protocol) -> &PortSpace {
        match protocol {
            Protocol::Tcp => &self.tcp,
            Protocol::Udp => &self.udp,
            Protocol::Icmp => &self.icmp,
        }
    }

    fn space_mut(&mut self, protocol: Protocol) -> &mut PortSpace {
        match protocol {
            Protocol::Tcp => &mut self.tcp,
            Protocol::Udp => &mut self.udp,
            Protocol::Icmp => &mut self.icmp,
        }
    }

    /// The mapping that has an external port.
    #[must_use]
    pub fn at_external(&self, protocol: Protocol, port: u16) -> Option<(Row, &Mapping)> {
        let row = self
            .space(protocol)
            .owner
            .get(usize::from(port))
            .copied()
            .flatten()?;
        Some((row, self.table.get(row)?))
    }

    /// A mapping.
    #[must_use]
    pub fn get(&self, row: Row) -> Option<&Mapping> {
        self.table.get(row)
    }

    /// The mapping of an inside endpoint, or where a new one would be.
    ///
    /// # Errors
    /// [`Full`]: no port is free.
    pub fn spot(&self, inside: Inside) -> Result<Spot, Full> {
        if let Some(row) = self.table.find(inside) {
            let external = self.table.get(row).ok_or(Full)?.external;
            return Ok(Spot::There { row, external });
        }
        let mut random = self.random;
        let low = Mappings::low(inside.protocol);
        let space = self.space(inside.protocol);
        let external = space.choose(inside.port, low, &mut random).ok_or(Full)?;
        Ok(Spot::Free {
            inside,
            external,
            random,
        })
    }

    /// Takes what [`Mappings::spot`] has found, for one more flow; nothing may have changed since.
    ///
    /// # Errors
    /// [`Full`]: no row is free.
    pub fn take(&mut self, spot: Spot) -> Result<Row, Full> {
        match spot {
            Spot::There { row, .. } => {
                self.share(row);
                Ok(row)
            }
            Spot::Free {
                inside,
                external,
                random,
            } => {
                self.random = random;
                self.make(inside, external)
            }
        }
    }

    /// The same with the external port that it has had before this machine began.
    ///
    /// # Errors
    /// [`Full`]: another one has the port, or the endpoint has another port.
    pub fn acquire_as(&mut self, inside: Inside, external: u16) -> Result<Row, Full> {
        if let Some(row) = self.table.find(inside) {
            let mapping = self.table.get_mut(row).ok_or(Full)?;
            if mapping.external != external {
                return Err(Full);
            }
            mapping.sessions += 1;
            return Ok(row);
        }
        let (word, bit) = place(external);
        if self.space(inside.protocol).free(word) & bit == 0 {
            return Err(Full);
        }
        self.make(inside, external)
    }

    /// A new mapping, for one flow, of an external port that is free.
    fn make(&mut self, inside: Inside, external: u16) -> Result<Row, Full> {
        let row = self.table.insert(Mapping {
            inside,
            external,
            sessions: 1,
            deadline: Tick(0),
        })?;
        self.own(inside.protocol, external, Some(row));
        Ok(row)
    }

    /// Lets in whoever the filter says until `deadline`, or longer where it did already.
    pub fn extend(&mut self, row: Row, deadline: Tick) {
        if let Some(mapping) = self.table.get_mut(row) {
            mapping.deadline = mapping.deadline.max(deadline);
        }
    }

    /// One more flow for a mapping that is there.
    pub fn share(&mut self, row: Row) {
        if let Some(mapping) = self.table.get_mut(row) {
            mapping.sessions += 1;
        }
    }

    /// One flow less; the last one ends the mapping.
    pub fn release(&mut self, row: Row) {
        let Some(mapping) = self.table.get_mut(row) else {
            return;
        };
        mapping.sessions = mapping.sessions.saturating_sub(1);
        if mapping.sessions == 0 {
            let (protocol, external) = (mapping.inside.protocol, mapping.external);
            self.table.remove(row);
            self.own(protocol, external, None);
        }
    }

    fn own(&mut self, protocol: Protocol, external: u16, owner: Option<Row>) {
        let space = self.space_mut(protocol);
        let bit = if owner.is_some() { Bit::On } else { Bit::Off };
        set(&mut space.mapped, external, bit);
        if let Some(place) = space.owner.get_mut(usize::from(external)) {
            *place = owner;
        }
    }

    /// Keeps a port from new mappings: it is a forward's.
    pub fn reserve(&mut self, protocol: Protocol, port: u16) {
        set(&mut self.space_mut(protocol).reserved, port, Bit::On);
    }

    /// Gives a forward's port back, unless no mapping may ever have it.
    pub fn unreserve(&mut self, protocol: Protocol, port: u16) {
        if port <= EXTERNAL_PORT_LAST && port != DHCP_CLIENT_PORT {
            set(&mut self.space_mut(protocol).reserved, port, Bit::Off);
        }
    }

    /// Mappings in the table.
    #[cfg(test)]
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.len()
    }
}

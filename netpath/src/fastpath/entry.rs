//! From flows to entries of the program's map, and back: pure.

use super::abi::{self, Config, Entry, Host, Key};
use super::ways::Way;
use crate::nat::{Pair, Traffic, Tuple};
use crate::wire::transport::{Ports, Protocol};
use core::net::Ipv4Addr;
use hearth_model::Tick;
use hearth_model::protocol::Zone;

/// Bytes of a key in the map.
pub const KEY_SIZE: usize = size_of::<Key>();
/// Bytes of an entry in the map.
pub const ENTRY_SIZE: usize = size_of::<Entry>();
/// Bytes of the configuration in its map.
pub const CONFIG_SIZE: usize = size_of::<Config>();
/// Bytes of a host in its map.
pub const HOST_SIZE: usize = size_of::<Host>();

const NANOSECONDS: u64 = 1_000_000;

/// The number of a side.
#[must_use]
pub fn side(zone: Zone) -> u8 {
    match zone {
        Zone::Lan => abi::LAN,
        Zone::Wan => abi::WAN,
        Zone::Service => abi::SERVICE,
        Zone::Guest => abi::GUEST,
    }
}

fn zone(side: u8) -> Option<Zone> {
    Zone::ALL.into_iter().find(|zone| self::side(*zone) == side)
}

/// As it lies in a packet.
fn address(address: Ipv4Addr) -> u32 {
    u32::from_ne_bytes(address.octets())
}

fn ports(ports: Ports) -> u32 {
    let ([a, b], [c, d]) = (ports.source.to_be_bytes(), ports.destination.to_be_bytes());
    u32::from_ne_bytes([a, b, c, d])
}

fn ports_from(word: u32) -> Ports {
    let [a, b, c, d] = word.to_ne_bytes();
    Ports {
        source: u16::from_be_bytes([a, b]),
        destination: u16::from_be_bytes([c, d]),
    }
}

/// The key of packets that arrive so.
#[must_use]
pub fn key(tuple: &Tuple) -> Key {
    Key {
        source: address(tuple.source),
        destination: address(tuple.destination),
        ports: ports(tuple.ports),
        protocol: tuple.protocol as u8,
        zone: side(tuple.zone),
        zero: 0,
    }
}

/// The packets of a key; `None` where none can arrive so.
fn tuple(key: &Key) -> Option<Tuple> {
    Some(Tuple {
        source: Ipv4Addr::from(key.source.to_ne_bytes()),
        destination: Ipv4Addr::from(key.destination.to_ne_bytes()),
        ports: ports_from(key.ports),
        protocol: Protocol::from_number(key.protocol).ok()?,
        zone: zone(key.zone)?,
    })
}

/// The packets that answer those of an entry.
fn answers(key: &Key, entry: &Entry) -> Option<Tuple> {
    let sent = tuple(&Key {
        source: entry.source,
        destination: entry.destination,
        ports: entry.ports,
        zone: entry.to,
        ..*key
    })?;
    Some(Tuple {
        source: sent.destination,
        destination: sent.source,
        ports: Ports {
            source: sent.ports.destination,
            destination: sent.ports.source,
        },
        ..sent
    })
}

/// The flow that an initiator's entry belongs to.
#[must_use]
pub fn pair(key: &Key, entry: &Entry) -> Option<Pair> {
    let initiator = tuple(key)?;
    let responder = answers(key, entry)?;
    (entry.role == abi::INITIATOR).then_some(Pair {
        initiator,
        responder,
    })
}

/// Half of the sum of one's complement words: 32 bits in two words.
fn words(word: u32) -> u32 {
    (word & 0xffff) + (word >> 16)
}

/// What new addresses add to a checksum; 0 where none is new.
fn addresses(from: [u32; 2], to: [u32; 2]) -> u32 {
    if from == to {
        return 0;
    }
    let sum: u32 = from.map(|old| words(!old)).iter().sum();
    let sum = to.map(words).iter().fold(sum, |sum, new| sum + new);
    words(words(sum))
}

/// What becomes of packets that arrive as `from` and whose answers arrive as `to`. `at`: now, on the
/// program's clock.
#[must_use]
pub fn entry(from: &Tuple, to: &Tuple, way: &Way, role: u8, at: u64) -> Entry {
    let (source, destination) = (address(to.destination), address(to.source));
    Entry {
        source,
        destination,
        ports: ports(Ports {
            source: to.ports.destination,
            destination: to.ports.source,
        }),
        interface: way.interface,
        next_hop: address(way.next_hop),
        priority: way.priority,
        addresses: addresses(
            [address(from.source), address(from.destination)],
            [source, destination],
        ),
        mtu: way.mtu,
        to: side(to.zone),
        role,
        packets: 0,
        bytes: 0,
        seen: at,
    }
}

/// The same entry without what the program itself writes, and without how long its packets may wait, which
/// is no reason to end a flow.
#[must_use]
pub fn decided(entry: &Entry) -> Entry {
    Entry {
        packets: 0,
        bytes: 0,
        seen: 0,
        priority: 0,
        ..*entry
    }
}

/// How the program's clock (ns of `CLOCK_MONOTONIC`) and the machine's (ms since boot) stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clock {
    /// The machine's.
    pub tick: Tick,
    /// The program's at the same moment.
    pub nanoseconds: u64,
}

impl Clock {
    /// A moment of the machine's clock on the program's.
    #[must_use]
    pub fn nanoseconds_at(&self, tick: Tick) -> u64 {
        let later = tick.since_ms(self.tick).saturating_mul(NANOSECONDS);
        let earlier = self.tick.since_ms(tick).saturating_mul(NANOSECONDS);
        self.nanoseconds
            .saturating_add(later)
            .saturating_sub(earlier)
    }

    /// A moment of the program's clock on the machine's.
    #[must_use]
    pub fn tick_at(&self, nanoseconds: u64) -> Tick {
        let later = nanoseconds.saturating_sub(self.nanoseconds) / NANOSECONDS;
        let earlier = self.nanoseconds.saturating_sub(nanoseconds) / NANOSECONDS;
        Tick(self.tick.0.saturating_add(later).saturating_sub(earlier))
    }
}

/// What has passed by an entry.
#[must_use]
pub fn traffic(entry: &Entry, clock: &Clock) -> Traffic {
    Traffic {
        packets: entry.packets,
        bytes: entry.bytes,
        last: clock.tick_at(entry.seen),
    }
}

/// A key as the kernel takes it.
#[must_use]
pub fn key_bytes(key: &Key) -> [u8; KEY_SIZE] {
    let mut bytes = [0; KEY_SIZE];
    let mut out = Writer(&mut bytes);
    out.put(&key.source.to_ne_bytes());
    out.put(&key.destination.to_ne_bytes());
    out.put(&key.ports.to_ne_bytes());
    out.put(&[key.protocol, key.zone]);
    bytes
}

/// A key as the kernel gives it.
#[must_use]
pub fn key_from(bytes: &[u8; KEY_SIZE]) -> Key {
    let mut from = Reader(bytes);
    Key {
        source: from.word(),
        destination: from.word(),
        ports: from.word(),
        protocol: from.byte(),
        zone: from.byte(),
        zero: from.half(),
    }
}

/// An entry as the kernel takes it.
#[must_use]
pub fn entry_bytes(entry: &Entry) -> [u8; ENTRY_SIZE] {
    let mut bytes = [0; ENTRY_SIZE];
    let mut out = Writer(&mut bytes);
    for word in [
        entry.source,
        entry.destination,
        entry.ports,
        entry.interface,
        entry.next_hop,
        entry.priority,
        entry.addresses,
    ] {
        out.put(&word.to_ne_bytes());
    }
    out.put(&entry.mtu.to_ne_bytes());
    out.put(&[entry.to, entry.role]);
    for count in [entry.packets, entry.bytes, entry.seen] {
        out.put(&count.to_ne_bytes());
    }
    bytes
}

/// An entry as the kernel gives it.
#[must_use]
pub fn entry_from(bytes: &[u8; ENTRY_SIZE]) -> Entry {
    let mut from = Reader(bytes);
    Entry {
        source: from.word(),
        destination: from.word(),
        ports: from.word(),
        interface: from.word(),
        next_hop: from.word(),
        priority: from.word(),
        addresses: from.word(),
        mtu: from.half(),
        to: from.byte(),
        role: from.byte(),
        packets: from.count(),
        bytes: from.count(),
        seen: from.count(),
    }
}

/// The configuration as the kernel takes it.
#[must_use]
pub fn config_bytes(config: &Config) -> [u8; CONFIG_SIZE] {
    let mut bytes = [0; CONFIG_SIZE];
    let mut out = Writer(&mut bytes);
    out.put(&config.valid_until.to_ne_bytes());
    for device in config.daemon {
        out.put(&device.to_ne_bytes());
    }
    out.put(&config.layout.to_ne_bytes());
    out.put(&config.pair.to_ne_bytes());
    for round in config.rounds {
        out.put(&round.to_ne_bytes());
    }
    out.put(&config.knows_hosts.to_ne_bytes());
    bytes
}

/// The configuration as the kernel gives it.
#[must_use]
pub fn config_from(bytes: &[u8; CONFIG_SIZE]) -> Config {
    let mut from = Reader(bytes);
    Config {
        valid_until: from.count(),
        daemon: [from.word(), from.word(), from.word(), from.word()],
        layout: from.word(),
        pair: from.word(),
        rounds: [from.word(), from.word(), from.word(), from.word()],
        knows_hosts: from.word(),
        zero: 0,
    }
}

/// The place of a host of the home among all, and the host, of which nothing waits yet.
#[must_use]
pub fn host_bytes(zone: Zone, host: Ipv4Addr, hardware: [u8; 6]) -> (u32, [u8; HOST_SIZE]) {
    let mut bytes = [0; HOST_SIZE];
    let mut out = Writer(&mut bytes);
    out.put(&host.octets());
    out.put(&hardware);
    let first = match zone {
        Zone::Lan | Zone::Wan => 0,
        Zone::Service => abi::HOSTS_MAX,
        Zone::Guest => 2 * abi::HOSTS_MAX,
    };
    (first + (u32::from(host) & (abi::HOSTS_MAX - 1)), bytes)
}

/// Fields one after the other; each layout has no gaps (abi.rs).
struct Writer<'a>(&'a mut [u8]);

impl Writer<'_> {
    fn put(&mut self, field: &[u8]) {
        let rest = core::mem::take(&mut self.0);
        if let Some((place, rest)) = rest.split_at_mut_checked(field.len()) {
            place.copy_from_slice(field);
            self.0 = rest;
        }
    }
}

/// The same in the other direction.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let Some((field, rest)) = self.0.split_first_chunk::<N>() else {
            return [0; N];
        };
        self.0 = rest;
        *field
    }

    fn byte(&mut self) -> u8 {
        let [byte] = self.take();
        byte
    }

    fn half(&mut self) -> u16 {
        u16::from_ne_bytes(self.take())
    }

    fn word(&mut self) -> u32 {
        u32::from_ne_bytes(self.take())
    }

    fn count(&mut self) -> u64 {
        u64::from_ne_bytes(self.take())
    }
}

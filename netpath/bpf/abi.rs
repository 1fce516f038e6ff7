//! What the fast path's program and hearth-netpath agree on: the layout of its maps.
//!
//! Both compile this file: the program for bpfel, the daemon for its own machine, where a u64 may be
//! 4-aligned (i686). So every u64 lies at a multiple of 8, padding is a field, and the assertions at the
//! end hold on each. Fields of packets are as they lie in the packet (network byte order).

/// Changes with the layout or the meaning of anything here: maps of another one are not adopted.
pub const LAYOUT: u32 = 4;

/// Entries of the map of flows: two for each of the daemon's sessions.
pub const ENTRIES_MAX: u32 = 65_536;

/// Hosts of the home, by the last bits of their addresses, as many services, and as many guests.
pub const HOSTS_MAX: u32 = 1_024;

/// Where the hosts of the home are counted that the daemon does not know; after it, such guests.
pub const STRANGERS: u32 = 3 * HOSTS_MAX;

/// Packets of one host that may come to the daemon in a round: an eighth of what its queue holds. A round ends
/// when all that waited at its begin has been taken, so that twice as many wait at most, and a host which
/// sends more leaves room for the others.
pub const WAITING_MAX: u32 = 256;

/// Packets of all strangers that may come to the daemon at once.
pub const STRANGERS_MAX: u32 = 64;

/// After how much time another packet of a stranger may come, as a power of two of nanoseconds: 34 ms. What
/// invented senders open in the 5 minutes that a flow lasts is then a quarter of the daemon's table.
pub const STRANGER_SHIFT: u32 = 25;

/// [`Count`]: packets of a host of the home that were refused, beyond its share of the queue.
pub const BUSY: u32 = 0;
/// The same of a service.
pub const SERVICE_BUSY: u32 = 1;
/// Of a stranger, beyond what all of them may.
pub const STRANGER: u32 = 2;
/// Packets from the home that were let to the daemon.
pub const LET: u32 = 3;
/// The same of services.
pub const SERVICE_LET: u32 = 4;
/// [`BUSY`], [`STRANGER`] and [`LET`] of guests.
pub const GUEST_BUSY: u32 = 5;
/// See [`GUEST_BUSY`].
pub const GUEST_STRANGER: u32 = 6;
/// See [`GUEST_BUSY`].
pub const GUEST_LET: u32 = 7;
/// Counters.
pub const COUNTS_MAX: u32 = 8;

/// The side a packet arrives from: the home.
pub const LAN: u8 = 0;
/// The Internet.
pub const WAN: u8 = 1;
/// A service.
pub const SERVICE: u8 = 2;
/// The guests' network.
pub const GUEST: u8 = 3;

/// [`Entry::role`]: packets of the end that opened the flow.
pub const INITIATOR: u8 = 0;
/// [`Entry::role`]: packets of the other end.
pub const RESPONDER: u8 = 1;

/// What identifies a packet's flow as it arrives.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Key {
    /// Source address.
    pub source: u32,
    /// Destination address.
    pub destination: u32,
    /// Source port in the first two bytes, destination port in the last two.
    pub ports: u32,
    /// 6 or 17.
    pub protocol: u8,
    /// [`LAN`], [`WAN`], [`SERVICE`] or [`GUEST`].
    pub zone: u8,
    /// Always 0: the kernel compares keys byte by byte.
    pub zero: u16,
}

/// What becomes of the packets of one direction of a flow, and what has passed.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// Source address to write.
    pub source: u32,
    /// Destination address to write.
    pub destination: u32,
    /// Ports to write.
    pub ports: u32,
    /// Interface to leave by.
    pub interface: u32,
    /// Neighbour there.
    pub next_hop: u32,
    /// `skb->priority`.
    pub priority: u32,
    /// What the new addresses add to a checksum: one's complement sum of the old ones' complements and
    /// the new ones, 16 bits.
    pub addresses: u32,
    /// Larger packets are the daemon's, bytes.
    pub mtu: u16,
    /// The side it leaves to.
    pub to: u8,
    /// [`INITIATOR`] or [`RESPONDER`].
    pub role: u8,
    /// Packets that have passed.
    pub packets: u64,
    /// Their bytes, from the IPv4 header on.
    pub bytes: u64,
    /// When the last one passed, ns of `CLOCK_MONOTONIC`.
    pub seen: u64,
}

/// A host, and what of it waits for the daemon.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Host {
    /// Its address.
    pub address: u32,
    /// Its hardware address, as the kernel has learned it.
    pub hardware: [u16; 3],
    /// Always 0.
    pub zero: u16,
    /// [`Config::rounds`] when it sent the first of `waiting`; of strangers, when the last one came, in units
    /// of [`STRANGER_SHIFT`].
    pub round: u32,
    /// Packets of this round.
    pub waiting: u32,
}

/// Packets on their way to the daemon, by what became of them.
pub type Count = u64;

/// What holds for every packet.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// No entry is used from this time on, ns of `CLOCK_MONOTONIC`: the daemon, which moves it on while
    /// it lives, is gone for good.
    pub valid_until: u64,
    /// Where packets without an entry go, by the side they arrive from: the daemon's TUN devices.
    pub daemon: [u32; 4],
    /// [`LAYOUT`].
    pub layout: u32,
    /// Where downloads wait before they leave by an entry's interface; 0: they do not.
    pub pair: u32,
    /// Changes, by side, with each round.
    pub rounds: [u32; 4],
    /// A bit for each side whose hosts the daemon knows: then all others are strangers there.
    pub knows_hosts: u32,
    /// Always 0.
    pub zero: u32,
}

const _: () = {
    use core::mem::{offset_of, size_of};
    assert!(size_of::<Key>() == 16 && offset_of!(Key, zone) == 13);
    assert!(size_of::<Entry>() == 56 && offset_of!(Entry, mtu) == 28);
    assert!(offset_of!(Entry, packets) == 32 && offset_of!(Entry, seen) == 48);
    assert!(size_of::<Config>() == 56 && offset_of!(Config, pair) == 28);
    assert!(size_of::<Host>() == 20 && offset_of!(Host, round) == 12);
};

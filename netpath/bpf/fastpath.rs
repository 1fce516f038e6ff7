//! The fast path: at tc ingress, repeats for each packet of a live flow what hearth-netpath has decided
//! about it, and hands every other packet to hearth-netpath.
//!
//! What it knows about flows is in two maps (abi.rs): FLOWS, an entry for each direction of a flow, and
//! CONFIG. It decides nothing about them: a packet that is not of the plainest kind, or that the daemon has to see (fragments,
//! options, SYN, FIN, RST, the last hop, larger than the next link), goes where all packets without an
//! entry go, unchanged: to the daemon, as far as there is room (waiting.rs). One function a side of the
//! gateway, and one for the home's port, before the bridge: what is sent to the gateway need not go through it.
#![no_std]

pub mod abi;
pub mod packet;
mod waiting;

use abi::{Config, ENTRIES_MAX, Entry, GUEST, Key, LAN, SERVICE, WAN};
use core::cell::Cell;
use core::mem::offset_of;
use kernel::{ARRAY, HASH, Map};
use packet::{DROP, ETHERNET_HEADER, IPV4, IPV4_HEADER, NextHop, PASS, Skb, TO_US, redirect};

kernel::license!();

/// All entries are allocated beforehand: none is ever evicted for another.
#[unsafe(no_mangle)]
#[unsafe(link_section = "maps")]
static FLOWS: Map<Key, Entry> = Map::new(HASH, ENTRIES_MAX);

/// One value.
#[unsafe(no_mangle)]
#[unsafe(link_section = "maps")]
static CONFIG: Map<u32, Config> = Map::new(ARRAY, 1);

/// Ethernet, IPv4 without options, and the start of TCP or UDP. Frames are aligned to 2 bytes.
#[repr(C)]
struct Headers {
    ethernet: [u16; 6],
    kind: u16,
    version_tos: u16,
    total: u16,
    identification: u16,
    fragment: u16,
    ttl_protocol: Cell<u16>,
    checksum: Cell<u16>,
    source: [Cell<u16>; 2],
    destination: [Cell<u16>; 2],
    ports: [Cell<u16>; 2],
    udp_length: u16,
    udp_checksum: u16,
}

/// The same with all of TCP's header.
#[repr(C)]
struct TcpHeaders {
    before: [u16; 23],
    offset_flags: u16,
    window: u16,
    checksum: u16,
    urgent: u16,
}
const _: () = {
    assert!(size_of::<Headers>() == 42 && offset_of!(Headers, source) == 26);
    assert!(size_of::<TcpHeaders>() == 54 && offset_of!(TcpHeaders, checksum) == 50);
};

const UDP_HEADER: u32 = 8;
const TCP: u8 = 6;
const UDP: u8 = 17;
/// More fragments, and the offset.
const FRAGMENT: u16 = 0x3fff_u16.to_be();
/// FIN, SYN and RST, in the second byte of [`TcpHeaders::offset_flags`].
const STATE_FLAGS: u16 = 0x07 << 8;
/// What one hop less adds to a header's checksum: the word of TTL and protocol less 1.
const ONE_HOP: u32 = 0xfffe;

/// `BPF_F_PSEUDO_HDR`: the change is one of the pseudo-header.
const PSEUDO: u64 = 0x10;
/// `BPF_F_MARK_MANGLED_0`: leave a UDP checksum of 0, and send a computed 0 as all ones.
const UDP_ZERO: u64 = 0x20;
/// The change is one of 4 bytes.
const FOUR: u64 = 4;

kernel::helper!(11 fn l4_csum_replace(skb: *mut Skb, at: u32, from: u64, to: u64, flags: u64) -> i64);
kernel::helper!(160 fn ktime_get_coarse_ns() -> u64);

impl Skb {
    /// Brings a transport checksum up to date, also where the kernel or the hardware has not computed it
    /// yet; false where the kernel can not.
    #[inline(always)]
    fn update(&mut self, at: u32, from: u32, to: u32, flags: u64) -> bool {
        // SAFETY: it is this program's packet.
        unsafe { l4_csum_replace(self, at, from as u64, to as u64, flags) == 0 }
    }
}

/// Brings the headers into one piece; false where the kernel can not.
#[inline(always)]
fn gather(skb: &mut Skb) -> bool {
    skb.gather(skb.len.min(size_of::<TcpHeaders>() as u32))
}

#[inline(always)]
fn word(halves: &[Cell<u16>; 2]) -> u32 {
    halves[0].get() as u32 | (halves[1].get() as u32) << 16
}

#[inline(always)]
fn put(halves: &[Cell<u16>; 2], word: u32) {
    halves[0].set(word as u16);
    halves[1].set((word >> 16) as u16);
}

#[inline(always)]
fn sum(word: u32) -> u32 {
    (word & 0xffff) + (word >> 16)
}

/// What a packet is, as far as it matters here.
struct Plain {
    key: Key,
    /// Bytes from the IPv4 header on.
    total: u32,
    /// Bytes of both headers.
    headers: u32,
    /// Where its transport checksum is.
    checksum_at: u32,
    /// Flags for [`Skb::update`].
    flags: u64,
}

/// Reads a packet; `None` where it is the daemon's.
#[inline(always)]
fn read(skb: &Skb, packet: &Headers, zone: u8) -> Option<Plain> {
    let ttl_protocol = packet.ttl_protocol.get();
    let total = u16::from_be(packet.total) as u32;
    if packet.kind != IPV4
        || packet.version_tos as u8 != 0x45
        || packet.fragment & FRAGMENT != 0
        || ttl_protocol as u8 <= 1
        || total + ETHERNET_HEADER > skb.len
    {
        return None;
    }
    let (source, destination) = (word(&packet.source), word(&packet.destination));
    let header = packet.version_tos as u32
        + packet.total as u32
        + packet.identification as u32
        + packet.fragment as u32
        + ttl_protocol as u32
        + packet.checksum.get() as u32
        + sum(source)
        + sum(destination);
    if sum(sum(header)) != 0xffff {
        return None;
    }
    let protocol = (ttl_protocol >> 8) as u8;
    let (checksum_at, transport, flags) = match protocol {
        UDP => {
            let length = u16::from_be(packet.udp_length) as u32;
            if length < UDP_HEADER || length + IPV4_HEADER > total {
                return None;
            }
            (offset_of!(Headers, udp_checksum), UDP_HEADER, UDP_ZERO)
        }
        TCP => {
            let tcp: &TcpHeaders = skb.start()?;
            let length = (tcp.offset_flags as u32 & 0xf0) >> 2;
            let changes_state = tcp.offset_flags & STATE_FLAGS != 0;
            if changes_state || length < 20 || length + IPV4_HEADER > total {
                return None;
            }
            (offset_of!(TcpHeaders, checksum), length, 0)
        }
        _ => return None,
    };
    Some(Plain {
        key: Key {
            source,
            destination,
            ports: word(&packet.ports),
            protocol,
            zone,
            zero: 0,
        },
        total,
        headers: IPV4_HEADER + transport,
        checksum_at: checksum_at as u32,
        flags,
    })
}

/// Sends a packet on if it has an entry; `None`: it is the daemon's, and unchanged.
#[inline(always)]
fn carry(skb: &mut Skb, zone: u8, config: &Config) -> Option<i32> {
    if skb.pkt_type != TO_US || (skb.start::<Headers>().is_none() && !gather(skb)) {
        return None;
    }
    let packet: &Headers = skb.start()?;
    let plain = read(skb, packet, zone)?;
    let mut entry = FLOWS.get(&plain.key)?;
    // SAFETY: the value of a map; what others write to it meanwhile are counters.
    let entry = unsafe { entry.as_mut() };
    let on_wire = match skb.gso_size {
        0 => plain.total,
        size => size + plain.headers,
    };
    // SAFETY: it wants nothing.
    let now = unsafe { ktime_get_coarse_ns() };
    if on_wire > entry.mtu as u32 || now >= config.valid_until {
        return None;
    }
    entry.seen = now;
    // Segments that travel as one count as what they will be.
    let more = skb.gso_segs.saturating_sub(1);
    entry.packets += more as u64 + 1;
    entry.bytes += (plain.total + more * plain.headers) as u64;
    let (addresses, ports) = (entry.addresses, entry.ports);
    let next = NextHop::new(entry.next_hop);
    let (interface, priority) = (entry.interface, entry.priority);

    put(&packet.source, entry.source);
    put(&packet.destination, entry.destination);
    put(&packet.ports, ports);
    packet.ttl_protocol.set(packet.ttl_protocol.get() - 1);
    let changed = !packet.checksum.get() as u32 + addresses + ONE_HOP;
    packet.checksum.set(!sum(sum(changed)) as u16);
    skb.priority = priority;
    let (at, flags) = (plain.checksum_at, plain.flags);
    if addresses != 0 && !skb.update(at, 0, addresses, flags | PSEUDO) {
        return Some(DROP);
    }
    if ports != plain.key.ports && !skb.update(at, plain.key.ports, ports, flags | FOUR) {
        return Some(DROP);
    }
    if zone == WAN && config.pair != 0 {
        // A download waits there first, and then leaves by the interface of its mark.
        skb.mark = interface;
        // SAFETY: it wants nothing.
        return Some(unsafe { redirect(config.pair, 0) } as i32);
    }
    Some(next.send_by(interface))
}

#[inline(always)]
fn arrives(skb: &mut Skb, zone: u8) -> i32 {
    let first = 0_u32;
    let Some(config) = CONFIG.get(&first) else {
        return DROP;
    };
    // SAFETY: the value of a map; the daemon may move `valid_until` on meanwhile, by less than matters.
    let config: &Config = unsafe { config.as_ref() };
    match carry(skb, zone, config) {
        Some(verdict) => verdict,
        None => waiting::to_daemon(skb, zone, config),
    }
}

/// A packet from the home.
#[unsafe(no_mangle)]
#[unsafe(link_section = "tc/lan")]
pub extern "C" fn from_lan(skb: &mut Skb) -> i32 {
    arrives(skb, LAN)
}

/// A packet at the home's port, which is in the bridge: one to the gateway itself is taken here, and all
/// others are the bridge's.
#[unsafe(no_mangle)]
#[unsafe(link_section = "tc/port")]
pub extern "C" fn from_port(skb: &mut Skb) -> i32 {
    if skb.pkt_type == TO_US {
        arrives(skb, LAN)
    } else {
        PASS
    }
}

/// A packet from the Internet.
#[unsafe(no_mangle)]
#[unsafe(link_section = "tc/wan")]
pub extern "C" fn from_wan(skb: &mut Skb) -> i32 {
    arrives(skb, WAN)
}

/// A packet from a guest.
#[unsafe(no_mangle)]
#[unsafe(link_section = "tc/guest")]
pub extern "C" fn from_guest(skb: &mut Skb) -> i32 {
    arrives(skb, GUEST)
}

/// A packet from a service.
#[unsafe(no_mangle)]
#[unsafe(link_section = "tc/service")]
pub extern "C" fn from_service(skb: &mut Skb) -> i32 {
    arrives(skb, SERVICE)
}

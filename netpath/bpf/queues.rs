//! Chooses a packet's class on the line to the Internet, where the fast path has not: for what hearth-netpath
//! has written, what the gateway itself sends, and what says by its code point how it wants to be treated.
//!
//! It decides nothing else: which service or side a packet belongs to comes from hearth-netpath, by the fast
//! path's entry or by WRITTEN; what follows from that is in ROWS. No packet is dropped but where the kernel
//! has no memory for it.
#![no_std]

pub mod classes;
pub mod packet;

use classes::{
    GATEWAY_ROW, HOME, HOME_ROW, MAJOR, MAJOR_MASK, ROWS, Row, SERVICE_ROWS, SERVICE_STEP,
    SERVICES, SERVICES_MAX, Written,
};
use core::mem::offset_of;
use kernel::{ARRAY, Map};
use packet::{DROP, ETHERNET_HEADER, IPV4, IPV4_HEADER, NextHop, PASS, Skb, TO_US, redirect};

kernel::license!();

/// What becomes of what leaves for the Internet.
#[unsafe(no_mangle)]
#[unsafe(link_section = "maps")]
static ROWS_OUT: Map<u32, Row> = Map::new(ARRAY, ROWS);

/// One value.
#[unsafe(no_mangle)]
#[unsafe(link_section = "maps")]
static WRITTEN: Map<u32, Written> = Map::new(ARRAY, 1);

/// Ethernet and IPv4 without options. Frames are aligned to 2 bytes.
#[repr(C)]
struct Headers {
    ethernet: [u16; 6],
    kind: u16,
    version_tos: u16,
    rest: [u16; 7],
    destination: [u16; 2],
}
const _: () = assert!(size_of::<Headers>() == 34 && offset_of!(Headers, destination) == 30);

/// Ethernet's header alone, to be written.
#[repr(C)]
struct Ethernet {
    addresses: [u16; 6],
    kind: core::cell::Cell<u16>,
}

/// Where the second byte and the checksum of an IPv4 header are.
const TOS_AT: u32 = 15;
const CHECKSUM_AT: u32 = 24;
/// The code point of the gateway's own packets that are not IPv4 (CS6, RFC 4594).
const NETWORK_CONTROL: u32 = 48;

/// `TC_ACT_UNSPEC`: no verdict, ask the next program.
const GO_ON: i32 = -1;
/// The change of a checksum is one of 2 bytes.
const TWO: u64 = 2;

kernel::helper!(9 fn store_bytes(skb: *mut Skb, at: u32, from: *const u8, length: u32, flags: u64) -> i64);
kernel::helper!(10 fn l3_csum_replace(skb: *mut Skb, at: u32, from: u64, to: u64, size: u64) -> i64);
kernel::helper!(32 fn change_type(skb: *mut Skb, kind: u32) -> i64);
kernel::helper!(43 fn change_head(skb: *mut Skb, length: u32, flags: u64) -> i64);

/// Brings the headers into one piece; false where the kernel can not.
#[inline(always)]
fn gather(skb: &mut Skb) -> bool {
    skb.gather(ETHERNET_HEADER + IPV4_HEADER)
}

/// The row that decides about a class; `None`: the class is a final one.
#[inline(always)]
fn row_of(class: u32) -> Option<u32> {
    let service = class.wrapping_sub(SERVICES) / SERVICE_STEP;
    match class {
        0 => Some(GATEWAY_ROW),
        HOME => Some(HOME_ROW),
        _ if service < SERVICES_MAX => Some(SERVICE_ROWS + service),
        _ => None,
    }
}

/// What a row says about a code point.
#[inline(always)]
fn word_of(row: u32, mark: u32) -> Option<u32> {
    let row = ROWS_OUT.get(&row)?;
    let words: *const u32 = row.as_ptr().cast();
    // SAFETY: a row has 64 words. The daemon may write one meanwhile, whole.
    Some(unsafe { words.add((mark & 63) as usize).read_volatile() })
}

/// Marks a packet for the Internet; `None` where it can not be read.
#[inline(always)]
fn mark(skb: &mut Skb, row: u32) -> Option<()> {
    if skb.start::<Headers>().is_none() && !gather(skb) {
        return None;
    }
    let packet: &Headers = skb.start()?;
    let old = packet.version_tos as u32;
    let word = word_of(row, old >> 10)?;
    skb.priority = word >> 8;
    let new = old & 0x03ff | (word & 63) << 10;
    if new != old {
        let tos = (new >> 8) as u8;
        // SAFETY: one byte is there.
        unsafe { store_bytes(skb, TOS_AT, &tos, 1, 0) };
        // SAFETY: it is this program's packet.
        unsafe { l3_csum_replace(skb, CHECKSUM_AT, old as u64, new as u64, TWO) };
    }
    Some(())
}

/// A frame on its way to the Internet, before it waits there.
#[unsafe(no_mangle)]
#[unsafe(link_section = "tc/leaves")]
pub extern "C" fn leaves(skb: &mut Skb) -> i32 {
    if skb.protocol != IPV4 as u32 {
        if let Some(word) = word_of(GATEWAY_ROW, NETWORK_CONTROL) {
            skb.priority = word >> 8;
        }
        return GO_ON;
    }
    let (by_entry, by_daemon) = (skb.priority, skb.mark);
    let class = if by_entry & MAJOR_MASK == MAJOR {
        by_entry
    } else if by_daemon & MAJOR_MASK == MAJOR {
        by_daemon
    } else {
        0
    };
    if let Some(row) = row_of(class) {
        // Where it can not be read, it waits with those of no class.
        mark(skb, row);
    }
    GO_ON
}

/// A packet that hearth-netpath has written for the home's, or a service's, side.
#[unsafe(no_mangle)]
#[unsafe(link_section = "tc/written")]
pub extern "C" fn written(skb: &mut Skb) -> i32 {
    let first = 0_u32;
    if let Some(now) = WRITTEN.get(&first) {
        // SAFETY: the value of a map; the daemon, which writes it, is in the call that brought the packet.
        skb.mark = unsafe { now.as_ref() }.class;
    }
    GO_ON
}

/// One from the Internet: it waits where the other downloads do.
#[unsafe(no_mangle)]
#[unsafe(link_section = "tc/written_wan")]
pub extern "C" fn written_from_wan(skb: &mut Skb) -> i32 {
    let first = 0_u32;
    let Some(now) = WRITTEN.get(&first) else {
        return GO_ON;
    };
    // SAFETY: the value of a map; the daemon, which writes it, is in the call that brought the packet.
    let Written { class, pair } = *unsafe { now.as_ref() };
    if class == 0 || pair == 0 {
        return GO_ON;
    }
    // SAFETY: it is this program's packet.
    if unsafe { change_head(skb, ETHERNET_HEADER, 0) } != 0 {
        return GO_ON;
    }
    // The kernel does not take a frame without its kind.
    let Some(frame) = skb.start::<Ethernet>() else {
        return DROP;
    };
    frame.kind.set(IPV4);
    skb.priority = class;
    skb.mark = 0;
    // SAFETY: it wants nothing.
    unsafe { redirect(pair, 0) as i32 }
}

/// A download that has waited: the fast path has named the interface to leave by, or the kernel routes it.
#[unsafe(no_mangle)]
#[unsafe(link_section = "tc/waited")]
pub extern "C" fn waited(skb: &mut Skb) -> i32 {
    let interface = skb.mark;
    if interface == 0 {
        // SAFETY: it is this program's packet.
        unsafe { change_type(skb, TO_US) };
        return PASS;
    }
    if skb.start::<Headers>().is_none() && !gather(skb) {
        return DROP;
    }
    let Some(packet) = skb.start::<Headers>() else {
        return DROP;
    };
    let [low, high] = packet.destination;
    let next = NextHop::new(low as u32 | (high as u32) << 16);
    skb.mark = 0;
    next.send_by(interface)
}

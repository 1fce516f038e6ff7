//! Who may wait for the daemon: each host of the home, guest and service has its share of its side's queue, so that
//! one of them that floods it leaves room for the others. Those whose address the gateway does not know at
//! their hardware address have one share together, by time: what they invent is to fill no table.

use crate::abi::{
    BUSY, COUNTS_MAX, Config, Count, GUEST, GUEST_BUSY, GUEST_LET, GUEST_STRANGER, HOSTS_MAX, Host,
    LET, SERVICE, SERVICE_BUSY, SERVICE_LET, STRANGER, STRANGER_SHIFT, STRANGERS, STRANGERS_MAX,
    WAITING_MAX, WAN,
};
use crate::packet::{DROP, Skb, redirect};
use crate::{ktime_get_coarse_ns, word};
use core::cell::Cell;
use core::mem::offset_of;
use kernel::{ARRAY, Map, PERCPU_ARRAY};

/// Hosts, services, guests, strangers of the home, strange guests.
#[unsafe(no_mangle)]
#[unsafe(link_section = "maps")]
static HOSTS: Map<u32, Host> = Map::new(ARRAY, STRANGERS + 2);

/// What was let to the daemon, and what not.
#[unsafe(no_mangle)]
#[unsafe(link_section = "maps")]
static COUNTS: Map<u32, Count> = Map::new(PERCPU_ARRAY, COUNTS_MAX);

/// The addresses of Ethernet and IPv4.
#[repr(C)]
struct Addresses {
    to: [u16; 3],
    from: [u16; 3],
    before: [u16; 7],
    source: [Cell<u16>; 2],
    destination: [Cell<u16>; 2],
}

const _: () = assert!(size_of::<Addresses>() == 34 && offset_of!(Addresses, source) == 26);

/// Whether a host has room for a packet more; then it has taken it.
#[inline(always)]
fn has_room(host: &mut Host, round: u32) -> bool {
    if host.round != round {
        host.round = round;
        host.waiting = 0;
    }
    let has_room = host.waiting < WAITING_MAX;
    if has_room {
        host.waiting += 1;
    }
    has_room
}

/// The same for all strangers of a side, by time.
#[inline(always)]
fn strangers_have_room(number: u32) -> bool {
    let Some(mut all) = HOSTS.get(&number) else {
        return false;
    };
    // SAFETY: the value of a map; another processor may count in it meanwhile, and one of them may be lost.
    let all = unsafe { all.as_mut() };
    // SAFETY: it wants nothing.
    let now = (unsafe { ktime_get_coarse_ns() } >> STRANGER_SHIFT) as u32;
    all.waiting = all.waiting.saturating_sub(now.wrapping_sub(all.round));
    all.round = now;
    let has_room = all.waiting < STRANGERS_MAX;
    if has_room {
        all.waiting += 1;
    }
    has_room
}

/// What becomes of a packet on its way to the daemon: its counter.
#[inline(always)]
fn fate(skb: &Skb, zone: u8, config: &Config) -> Option<u32> {
    let (let_in, busy, first) = match zone {
        SERVICE => (SERVICE_LET, SERVICE_BUSY, HOSTS_MAX),
        GUEST => (GUEST_LET, GUEST_BUSY, 2 * HOSTS_MAX),
        _ => (LET, BUSY, 0),
    };
    if let Some(packet) = skb.start::<Addresses>() {
        let source = word(&packet.source);
        let number = first + (u32::from_be(source) & (HOSTS_MAX - 1));
        let mut host = HOSTS.get(&number)?;
        // SAFETY: the value of a map; another processor may count in it meanwhile, and one of them may be lost.
        let host = unsafe { host.as_mut() };
        // A service's guard has looked at its addresses.
        let is_known = zone == SERVICE
            || config.knows_hosts & 1 << zone == 0
            || (host.address == source && host.hardware == packet.from);
        if is_known {
            let has_room = has_room(host, config.rounds[zone as usize]);
            return Some(if has_room { let_in } else { busy });
        }
    }
    let (strangers, stranger) = if zone == GUEST {
        (STRANGERS + 1, GUEST_STRANGER)
    } else {
        (STRANGERS, STRANGER)
    };
    Some(if strangers_have_room(strangers) {
        let_in
    } else {
        stranger
    })
}

/// Sends a packet to the daemon, unless too many of its host wait there. What comes from the Internet may: its
/// senders can not be told apart, and those who answer the home are among them.
#[inline(always)]
pub fn to_daemon(skb: &Skb, zone: u8, config: &Config) -> i32 {
    if zone != WAN {
        let Some(fate) = fate(skb, zone, config) else {
            return DROP;
        };
        if let Some(mut count) = COUNTS.get(&fate) {
            // SAFETY: the value of a map, of this processor alone.
            *unsafe { count.as_mut() } += 1;
        }
        if fate != LET && fate != SERVICE_LET && fate != GUEST_LET {
            return DROP;
        }
    }
    // SAFETY: it wants nothing.
    unsafe { redirect(config.daemon[zone as usize], 0) as i32 }
}

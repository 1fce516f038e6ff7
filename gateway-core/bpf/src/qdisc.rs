//! Queues of an interface by rtnetlink: HTB (tc-htb(8)) with its classes, and a leaf for each (tc-cake(8),
//! tc-fq_codel(8), tc-pfifo(8)). One kernel request a function, or the answer to one.
//!
//! Invariants: what is there already is changed in place, so that no queued packet is lost; a leaf of
//! another kind takes the old one's place in one step. What this refuses to do: choose rates or classes.

use crate::error::KernelError;
use crate::netlink::{
    Attributes, CREATE, DUMP, EXCLUSIVE, Message, Netlink, REPLACE, attributes, word,
};
use crate::tc::{RTM_DELQDISC, RTM_NEWQDISC, TCA_KIND, TCA_OPTIONS, tcmsg};

const RTM_GETQDISC: u16 = 38;
const RTM_NEWTCLASS: u16 = 40;
const RTM_DELTCLASS: u16 = 41;
const TCA_STATS2: u16 = 7;
const TCA_STATS_BASIC: u16 = 1;
const TCA_STATS_QUEUE: u16 = 3;
const TCA_HTB_PARMS: u16 = 1;
const TCA_HTB_INIT: u16 = 2;
const TCA_FQ_CODEL_TARGET: u16 = 1;
const TCA_FQ_CODEL_LIMIT: u16 = 2;
const TCA_FQ_CODEL_INTERVAL: u16 = 3;
const TCA_FQ_CODEL_ECN: u16 = 4;
const TCA_FQ_CODEL_MEMORY_LIMIT: u16 = 9;
const TCA_CAKE_DIFFSERV_MODE: u16 = 3;
const TCA_CAKE_RTT: u16 = 7;
const TCA_CAKE_TARGET: u16 = 8;
const TCA_CAKE_MEMORY: u16 = 10;
const TCA_CAKE_SPLIT_GSO: u16 = 17;
/// `CAKE_DIFFSERV_BESTEFFORT`: its class was chosen before.
const BESTEFFORT: u32 = 3;
/// `TC_H_ROOT`
const ROOT: u32 = 0xffff_ffff;
/// `TC_LINKLAYER_ETHERNET`: the kernel computes times itself, without a table.
const ETHERNET: u8 = 1;
/// Version of HTB's parameters.
const HTB_VERSION: u32 = 3;
/// `PSCHED_SHIFT`: a tick of the packet schedulers is 64 ns.
const TICK_SHIFT: u32 = 6;
const NANOSECONDS: u64 = 1_000_000_000;
/// Bytes of `struct tcmsg`.
const TCMSG: usize = 20;

/// Number of the root queue of every interface that is shaped, and the upper half of its classes'.
pub const HANDLE: u32 = 0x0001_0000;

/// A class of the HTB whose handle is [`HANDLE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Class {
    /// Its number, 1 to 65535.
    pub minor: u16,
    /// Its parent's; 0: the root.
    pub parent: u16,
    /// Guaranteed, bytes a second: at least 1.
    pub rate: u64,
    /// Most that it gets by borrowing, bytes a second.
    pub ceiling: u64,
    /// What may leave at once at that rate and at that ceiling, bytes.
    pub burst: u32,
    /// Who borrows first: 0 to 7.
    pub priority: u32,
    /// Bytes that it may borrow before the next one of its priority.
    pub quantum: u32,
    /// Bytes that the line adds to each packet.
    pub overhead: u16,
}

/// What holds a class's packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaf {
    /// Fair between hosts and flows, and short; cuts large segments.
    Cake {
        /// Delay that is accepted, µs.
        target: u32,
        /// In which time delay is looked at, µs.
        interval: u32,
        /// Most memory, bytes.
        memory: u32,
    },
    /// Fair between flows, and short.
    FqCodel {
        /// As in CAKE.
        target: u32,
        /// As in CAKE.
        interval: u32,
        /// As in CAKE.
        memory: u32,
        /// Packets at most.
        limit: u32,
    },
    /// First come, first served.
    Fifo {
        /// Packets at most.
        limit: u32,
    },
}

impl Leaf {
    fn kind(&self) -> &'static [u8] {
        match self {
            Leaf::Cake { .. } => b"cake\0",
            Leaf::FqCodel { .. } => b"fq_codel\0",
            Leaf::Fifo { .. } => b"pfifo\0",
        }
    }
}

/// The number of one of [`HANDLE`]'s classes, as packets and requests name it.
#[must_use]
pub fn class_id(minor: u16) -> u32 {
    HANDLE | u32::from(minor)
}

/// Makes HTB the root queue; one that is there stays. Packets of no class go to that of `default`.
///
/// # Errors
/// [`KernelError::Refused`]: `ENOENT` where the kernel lacks `sch_htb`.
pub fn set_root(netlink: &mut Netlink, index: u32, default: u16) -> Result<(), KernelError> {
    match netlink.request("make a queue", root(index, default)) {
        Err(e) if e.errno() == libc::EEXIST => Ok(()),
        other => other,
    }
}

fn root(index: u32, default: u16) -> Message {
    // struct tc_htb_glob of linux/pkt_sched.h
    let global = [HTB_VERSION, 10, u32::from(default), 0, 0].map(u32::to_ne_bytes);
    let options = Attributes::new().with(TCA_HTB_INIT, global.as_flattened());
    let header = tcmsg(index, HANDLE, ROOT, 0);
    Message::new(RTM_NEWQDISC, CREATE | EXCLUSIVE, &header)
        .with(TCA_KIND, b"htb\0")
        .with_nested(TCA_OPTIONS, &[], &options)
}

/// Takes the root queue of [`set_root`] away, if it is there.
///
/// # Errors
/// [`KernelError::Refused`].
pub fn remove_root(netlink: &mut Netlink, index: u32) -> Result<(), KernelError> {
    let message =
        Message::new(RTM_DELQDISC, 0, &tcmsg(index, HANDLE, ROOT, 0)).with(TCA_KIND, b"htb\0");
    match netlink.request("remove a queue", message) {
        // There is none, or one that is not ours.
        Err(e) if [libc::ENOENT, libc::EINVAL].contains(&e.errno()) => Ok(()),
        other => other,
    }
}

/// Makes a class, or changes it in place.
///
/// # Errors
/// [`KernelError::Refused`].
pub fn set_class(netlink: &mut Netlink, index: u32, class: &Class) -> Result<(), KernelError> {
    netlink.request("set a class", class_message(index, class))
}

/// `struct tc_ratespec` of linux/pkt_sched.h.
fn rate_spec(rate: u64, overhead: u16) -> [u8; 12] {
    let [o0, o1] = overhead.to_ne_bytes();
    let rate = u32::try_from(rate).unwrap_or(u32::MAX);
    let [r0, r1, r2, r3] = rate.to_ne_bytes();
    [0, ETHERNET, o0, o1, 0, 0, 0, 0, r0, r1, r2, r3]
}

/// How long so many bytes take, ticks.
fn ticks(bytes: u32, rate: u64) -> u32 {
    let time = u64::from(bytes) * NANOSECONDS / rate.max(1);
    u32::try_from(time >> TICK_SHIFT).unwrap_or(u32::MAX)
}

fn class_message(index: u32, class: &Class) -> Message {
    let level = 0;
    let rest = [
        ticks(class.burst, class.rate),
        ticks(class.burst, class.ceiling),
        class.quantum,
        level,
        class.priority,
    ]
    .map(u32::to_ne_bytes);
    let options = [
        &rate_spec(class.rate, class.overhead),
        &rate_spec(class.ceiling, class.overhead)[..],
        rest.as_flattened(),
    ]
    .concat();
    let options = Attributes::new().with(TCA_HTB_PARMS, &options);
    let parent = match class.parent {
        0 => HANDLE,
        minor => class_id(minor),
    };
    let header = tcmsg(index, class_id(class.minor), parent, 0);
    Message::new(RTM_NEWTCLASS, CREATE, &header)
        .with(TCA_KIND, b"htb\0")
        .with_nested(TCA_OPTIONS, &[], &options)
}

/// Takes a class away, with what waits in it; none is fine.
///
/// # Errors
/// [`KernelError::Refused`].
pub fn remove_class(netlink: &mut Netlink, index: u32, minor: u16) -> Result<(), KernelError> {
    let message = Message::new(RTM_DELTCLASS, 0, &tcmsg(index, class_id(minor), 0, 0));
    match netlink.request("remove a class", message) {
        Err(e) if [libc::ENOENT, libc::EINVAL].contains(&e.errno()) => Ok(()),
        other => other,
    }
}

/// Gives a class its leaf; one of the same kind is changed in place, one of another is replaced.
///
/// # Errors
/// [`KernelError::Refused`]: `ENOENT` where the kernel lacks this kind.
pub fn set_leaf(
    netlink: &mut Netlink,
    index: u32,
    minor: u16,
    leaf: &Leaf,
) -> Result<(), KernelError> {
    netlink.request("set a leaf", leaf_message(index, minor, leaf))
}

fn leaf_message(index: u32, minor: u16, leaf: &Leaf) -> Message {
    let header = tcmsg(index, 0, class_id(minor), 0);
    let message = Message::new(RTM_NEWQDISC, CREATE | REPLACE, &header).with(TCA_KIND, leaf.kind());
    let list = |values: &[(u16, u32)]| {
        let with =
            |all: Attributes, (kind, value): &(u16, u32)| all.with(*kind, &value.to_ne_bytes());
        values.iter().fold(Attributes::new(), with)
    };
    match *leaf {
        Leaf::Cake {
            target,
            interval,
            memory,
        } => {
            let options = list(&[
                (TCA_CAKE_DIFFSERV_MODE, BESTEFFORT),
                (TCA_CAKE_RTT, interval),
                (TCA_CAKE_TARGET, target),
                (TCA_CAKE_MEMORY, memory),
                (TCA_CAKE_SPLIT_GSO, 1),
            ]);
            message.with_nested(TCA_OPTIONS, &[], &options)
        }
        Leaf::FqCodel {
            target,
            interval,
            memory,
            limit,
        } => {
            // Without a number of flows: the kernel refuses to change one, even to the same.
            let options = list(&[
                (TCA_FQ_CODEL_TARGET, target),
                (TCA_FQ_CODEL_LIMIT, limit),
                (TCA_FQ_CODEL_INTERVAL, interval),
                (TCA_FQ_CODEL_ECN, 1),
                (TCA_FQ_CODEL_MEMORY_LIMIT, memory),
            ]);
            message.with_nested(TCA_OPTIONS, &[], &options)
        }
        // struct tc_fifo_qopt, without attributes.
        Leaf::Fifo { limit } => message.with(TCA_OPTIONS, &limit.to_ne_bytes()),
    }
}

/// What has passed by a leaf, and what waits in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// The class that it belongs to.
    pub minor: u16,
    /// The kernel's name of its kind.
    pub kind: String,
    /// Bytes that have left.
    pub bytes: u64,
    /// Packets that have left; counts from 0 again after 2^32.
    pub packets: u32,
    /// Packets dropped.
    pub drops: u32,
    /// Bytes that wait.
    pub backlog: u32,
    /// Packets that wait.
    pub waiting: u32,
}

/// The leaves of an interface's classes.
///
/// # Errors
/// [`KernelError`].
pub fn leaves(netlink: &mut Netlink, index: u32) -> Result<Vec<Counts>, KernelError> {
    let message = Message::new(RTM_GETQDISC, DUMP, &tcmsg(index, 0, 0, 0));
    let all = netlink.dump("list queues", message)?;
    Ok(all.iter().filter_map(|said| counts(said, index)).collect())
}

fn counts(said: &[u8], index: u32) -> Option<Counts> {
    let (ours, parent) = (word(said, 4).ok()?, word(said, 12).ok()?);
    let [major, minor] = [parent & 0xffff_0000, parent & 0xffff];
    if ours != index || major != HANDLE || minor == 0 {
        return None;
    }
    let mut counts = Counts {
        minor: u16::try_from(minor).ok()?,
        ..Counts::default()
    };
    for (kind, value) in attributes(said.get(TCMSG..)?) {
        match kind {
            TCA_KIND => {
                let name = value.split(|byte| *byte == 0).next().unwrap_or_default();
                counts.kind = String::from_utf8_lossy(name).into_owned();
            }
            TCA_STATS2 => counts.read(value),
            _ => {}
        }
    }
    Some(counts)
}

impl Counts {
    /// `struct gnet_stats_basic` and `struct gnet_stats_queue` of linux/gen_stats.h.
    fn read(&mut self, stats: &[u8]) {
        for (kind, value) in attributes(stats) {
            let word = |at| word(value, at).unwrap_or_default();
            match kind {
                TCA_STATS_BASIC => {
                    let eight = value.first_chunk().copied().unwrap_or_default();
                    self.bytes = u64::from_ne_bytes(eight);
                    self.packets = word(8);
                }
                TCA_STATS_QUEUE => {
                    self.waiting = word(0);
                    self.backlog = word(4);
                    self.drops = word(8);
                }
                _ => {}
            }
        }
    }
}

#[cfg(test)]
#[path = "qdisc_tests.rs"]
mod tests;

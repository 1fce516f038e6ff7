//! Attaches a program to an interface's ingress or egress: clsact and cls_bpf in direct-action mode
//! (tc-bpf(8)).

use crate::error::KernelError;
use crate::guard::Guard;
use crate::netlink::{Attributes, CREATE, EXCLUSIVE, Message, Netlink, REPLACE};
use crate::program::Program;
use std::os::fd::{AsFd, AsRawFd};

pub(crate) const RTM_NEWQDISC: u16 = 36;
pub(crate) const RTM_DELQDISC: u16 = 37;
const RTM_NEWTFILTER: u16 = 44;
pub(crate) const TCA_KIND: u16 = 1;
pub(crate) const TCA_OPTIONS: u16 = 2;
const TCA_BPF_FD: u16 = 6;
const TCA_BPF_NAME: u16 = 7;
const TCA_BPF_FLAGS: u16 = 8;
const TCA_BPF_FLAG_ACT_DIRECT: u32 = 1;
/// `TC_H_CLSACT`: handle and parent of the clsact qdisc (linux/pkt_sched.h).
const CLSACT_HANDLE: u32 = 0xffff_0000;
const CLSACT_PARENT: u32 = 0xffff_fff1;
/// `TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS)`
const INGRESS: u32 = 0xffff_fff2;
/// `TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_EGRESS)`
const EGRESS: u32 = 0xffff_fff3;
const ETH_P_IP: u16 = 0x0800;
const ETH_P_ALL: u16 = 0x0003;

/// Which of an interface's programs: the kernel asks them in this order, until one has a verdict.
/// The kernel's choice of a program by protocol takes a frame with a VLAN tag for another protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// Sees every frame first, and has no verdict on an honest one.
    Guard = 1,
    /// Sees IPv4: the verdict. The fast path replaces it in place.
    Catch = 2,
    /// Sees every frame that is not IPv4.
    Rest = 3,
}

impl Order {
    fn protocol(self) -> u16 {
        match self {
            Order::Catch => ETH_P_IP,
            Order::Guard | Order::Rest => ETH_P_ALL,
        }
    }
}

/// `struct tcmsg` of linux/rtnetlink.h.
pub(crate) fn tcmsg(index: u32, handle: u32, parent: u32, info: u32) -> [u8; 20] {
    let mut bytes = [0; 20];
    let words = [0, index, handle, parent, info];
    for (place, word) in bytes.chunks_exact_mut(4).zip(words) {
        place.copy_from_slice(&word.to_ne_bytes());
    }
    bytes
}

/// Runs `program` on every IPv4 packet that arrives on the interface `index`. A program that is
/// there already is replaced in one step.
///
/// # Errors
/// [`KernelError::Refused`]: the interface is gone, or the kernel lacks `sch_ingress` or `cls_bpf`.
pub fn attach_ingress(
    netlink: &mut Netlink,
    index: u32,
    program: &Program,
) -> Result<(), KernelError> {
    attach(netlink, index, (INGRESS, Order::Catch), program)
}

/// Runs a guard on every frame that arrives on the interface `index`, before anything else sees it;
/// what it does not drop goes on to [`attach_ingress`]'s program. Replaced in the same way.
///
/// # Errors
/// As [`attach_ingress`].
pub fn attach_guard(netlink: &mut Netlink, index: u32, guard: &Guard) -> Result<(), KernelError> {
    attach(netlink, index, (INGRESS, Order::Guard), guard.program())
}

/// Runs a guard on every frame that arrives on the interface `index` and that
/// [`attach_ingress`]'s program does not see: other protocols than IPv4, and VLAN tags.
///
/// # Errors
/// As [`attach_ingress`].
pub fn attach_rest(netlink: &mut Netlink, index: u32, guard: &Guard) -> Result<(), KernelError> {
    attach(netlink, index, (INGRESS, Order::Rest), guard.program())
}

/// Runs `program` on every IPv4 packet on its way out of the interface `index`, in the same way.
///
/// # Errors
/// As [`attach_ingress`].
pub fn attach_egress(
    netlink: &mut Netlink,
    index: u32,
    program: &Program,
) -> Result<(), KernelError> {
    attach(netlink, index, (EGRESS, Order::Catch), program)
}

/// Runs `program` on every frame on its way out of the interface `index`, before [`attach_egress`]'s, which it
/// leaves the verdict to. Replaced in the same way.
///
/// # Errors
/// As [`attach_ingress`].
pub fn attach_marker(
    netlink: &mut Netlink,
    index: u32,
    program: &Program,
) -> Result<(), KernelError> {
    attach(netlink, index, (EGRESS, Order::Guard), program)
}

fn attach(
    netlink: &mut Netlink,
    index: u32,
    (parent, order): (u32, Order),
    program: &Program,
) -> Result<(), KernelError> {
    let qdisc = Message::new(
        RTM_NEWQDISC,
        CREATE | EXCLUSIVE,
        &tcmsg(index, CLSACT_HANDLE, CLSACT_PARENT, 0),
    )
    .with(TCA_KIND, b"clsact\0");
    match netlink.request("add the clsact qdisc", qdisc) {
        Err(KernelError::Refused {
            errno: libc::EEXIST,
            ..
        })
        | Ok(()) => {}
        Err(e) => return Err(e),
    }
    let options = Attributes::new()
        .with(TCA_BPF_FD, &program.as_fd().as_raw_fd().to_ne_bytes())
        .with(TCA_BPF_NAME, b"hearth\0")
        .with(TCA_BPF_FLAGS, &TCA_BPF_FLAG_ACT_DIRECT.to_ne_bytes());
    let info = (order as u32) << 16 | u32::from(order.protocol().to_be());
    let filter = Message::new(
        RTM_NEWTFILTER,
        CREATE | REPLACE,
        &tcmsg(index, 1, parent, info),
    )
    .with(TCA_KIND, b"bpf\0")
    .with_nested(TCA_OPTIONS, &[], &options);
    netlink.request("attach a program", filter)
}

/// Removes whatever [`attach_ingress`] and [`attach_egress`] have put on the interface.
///
/// # Errors
/// [`KernelError::Refused`]: there is none, or the interface is gone.
pub fn detach_ingress(netlink: &mut Netlink, index: u32) -> Result<(), KernelError> {
    let qdisc = Message::new(
        RTM_DELQDISC,
        0,
        &tcmsg(index, CLSACT_HANDLE, CLSACT_PARENT, 0),
    )
    .with(TCA_KIND, b"clsact\0");
    netlink.request("remove the clsact qdisc", qdisc)
}

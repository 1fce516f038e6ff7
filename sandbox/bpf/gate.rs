//! The gates of a service's cgroup: which devices its processes open, which sockets they make, where they
//! connect to and which ports they bind.
//!
//! Each function is attached to the service's cgroup and answers 1 (may be) or 0 (EPERM). The rules are
//! the service's own, in maps that are written before its first process exists; each refusal is
//! counted by its reason. Everything is a look-up and nothing a loop: the kernel verifies all of it in
//! some hundred microseconds at every start. Sockets that are neither TCP nor UDP can not be made, since the kernel asks
//! nobody where those connect to.
#![no_std]

mod abi;

use abi::{
    ALLOW, ANY, DEVICE, DEVICES, Device, EPHEMERAL, EVERY, IPV6, PORT, PORTS, PROTOCOL, Port,
    REASONS, TARGET, TARGETS, Target, WHOLE,
};
use kernel::{HASH, LPM_TRIE, Map, NO_PREALLOC, PERCPU_ARRAY};

kernel::license!();

/// Devices that may be opened.
#[unsafe(no_mangle)]
#[unsafe(link_section = "maps")]
static GRANTED: Map<Device, u32> = Map::new(HASH, DEVICES);

/// Where the service may connect.
#[unsafe(no_mangle)]
#[unsafe(link_section = "maps")]
static REACHED: Map<Target, u32> = Map::new(LPM_TRIE, TARGETS).with_flags(NO_PREALLOC);

/// Where it is served.
#[unsafe(no_mangle)]
#[unsafe(link_section = "maps")]
static SERVED: Map<Port, u32> = Map::new(HASH, PORTS);

/// Refusals by reason.
#[unsafe(no_mangle)]
#[unsafe(link_section = "maps")]
static REFUSED: Map<u32, u64> = Map::new(PERCPU_ARRAY, REASONS);

/// `struct bpf_cgroup_dev_ctx`
#[repr(C)]
pub struct DeviceContext {
    /// Kind in the lower half, what is wanted in the upper.
    access_type: u32,
    major: u32,
    minor: u32,
}

/// `struct bpf_sock`, as far as it is read.
#[repr(C)]
pub struct Socket {
    bound_dev_if: u32,
    family: u32,
    kind: u32,
    protocol: u32,
    mark: u32,
    priority: u32,
    src_ip4: u32,
    src_ip6: [u32; 4],
    /// In the host's order.
    src_port: u32,
}

/// `struct bpf_sock_addr`
#[repr(C)]
pub struct Address {
    user_family: u32,
    user_ip4: u32,
    user_ip6: [u32; 4],
    /// In a packet's order, in the lower half.
    user_port: u32,
    family: u32,
    kind: u32,
    protocol: u32,
    msg_src_ip4: u32,
    msg_src_ip6: [u32; 4],
    socket: u64,
}

const _: () = assert!(size_of::<Address>() == 72);

const TCP: u32 = 6;
const UDP: u32 = 17;
/// 127.0.0.1, 127.0.0.0/8 and the middle of ::ffff:0.0.0.0/96, as they lie in a packet.
const LOOPBACK: u32 = u32::from_be(0x7f00_0001);
const LOOPBACK_NET: u32 = u32::from_be(0x7f00_0000);
const LOOPBACK_MASK: u32 = u32::from_be(0xff00_0000);
const MAPPED: u32 = u32::from_be(0x0000_ffff);

#[inline(always)]
fn refuse(reason: u32) -> i32 {
    if let Some(counter) = REFUSED.get(&reason) {
        let counter = counter.as_ptr();
        // SAFETY: the value is this CPU's own, and the verifier has seen the address come from the map.
        unsafe { *counter = (*counter).wrapping_add(1) };
    }
    0
}

#[inline(always)]
fn granted(device: &Device, wanted: u32) -> bool {
    match GRANTED.get(device) {
        // SAFETY: nobody writes the value after the start.
        Some(access) => wanted & !unsafe { *access.as_ptr() } == 0,
        None => false,
    }
}

/// May this process open, or make, this device?
#[unsafe(no_mangle)]
#[unsafe(link_section = "cgroup/device")]
pub extern "C" fn device(context: &DeviceContext) -> i32 {
    let (kind, wanted) = (context.access_type & 0xffff, context.access_type >> 16);
    let (major, minor) = (context.major, context.minor);
    let one = Device { kind, major, minor };
    let every = Device { minor: ANY, ..one };
    if granted(&one, wanted) || granted(&every, wanted) {
        return 1;
    }
    refuse(DEVICE)
}

/// May this process make this socket of the Internet family?
#[unsafe(no_mangle)]
#[unsafe(link_section = "cgroup/socket")]
pub extern "C" fn socket(context: &Socket) -> i32 {
    match context.protocol {
        TCP | UDP => 1,
        _ => refuse(PROTOCOL),
    }
}

/// Is the service served at this port?
#[inline(always)]
fn serves(protocol: u32, port: u16) -> bool {
    let port = u32::from(port);
    let one = Port { protocol, port };
    let every = Port {
        protocol,
        port: EVERY,
    };
    SERVED.get(&one).is_some() || SERVED.get(&every).is_some()
}

/// May this socket connect or send to this address?
#[inline(always)]
fn reach(context: &Address, address: u32) -> i32 {
    let target = Target {
        prefix: WHOLE,
        address,
        port: context.user_port as u16,
        unused: 0,
    };
    let verdict = match REACHED.get(&target) {
        // SAFETY: nobody writes the value after the start.
        Some(verdict) => unsafe { *verdict.as_ptr() },
        None => TARGET,
    };
    if verdict == ALLOW {
        return 1;
    }
    // Whoever asked a served port is answered, wherever it is.
    if context.protocol == UDP {
        let socket = context.socket as usize as *const Socket;
        // SAFETY: the kernel gives the socket's address, never a null one.
        let own = unsafe { (*socket).src_port } as u16;
        if serves(UDP, own) {
            return 1;
        }
    }
    refuse(verdict)
}

/// May this socket be at this port?
#[inline(always)]
fn take(context: &Address, address: u32) -> i32 {
    let port = u16::from_be(context.user_port as u16);
    let [first, last] = EPHEMERAL;
    // Loopback is the service's own: nobody else is there.
    if port == 0
        || address & LOOPBACK_MASK == LOOPBACK_NET
        || (first <= port && port <= last)
        || serves(context.protocol, port)
    {
        return 1;
    }
    refuse(PORT)
}

/// The address of IPv4 that one of IPv6 means: ::ffff:a.b.c.d, and loopback for :: and ::1.
#[inline(always)]
fn inner(context: &Address) -> Option<u32> {
    let [first, second, third, last] = context.user_ip6;
    match (first | second, third) {
        (0, MAPPED) => Some(last),
        (0, 0) if last & !u32::from_be(1) == 0 => Some(LOOPBACK),
        _ => None,
    }
}

/// connect(2) and, unconnected, sendmsg(2) over IPv4.
#[unsafe(no_mangle)]
#[unsafe(link_section = "cgroup/reach4")]
pub extern "C" fn reach4(context: &Address) -> i32 {
    reach(context, context.user_ip4)
}

/// The same over IPv6.
#[unsafe(no_mangle)]
#[unsafe(link_section = "cgroup/reach6")]
pub extern "C" fn reach6(context: &Address) -> i32 {
    match inner(context) {
        Some(address) => reach(context, address),
        None => refuse(IPV6),
    }
}

/// bind(2) over IPv4.
#[unsafe(no_mangle)]
#[unsafe(link_section = "cgroup/bind4")]
pub extern "C" fn bind4(context: &Address) -> i32 {
    take(context, context.user_ip4)
}

/// bind(2) over IPv6; at :: it is bound at every address.
#[unsafe(no_mangle)]
#[unsafe(link_section = "cgroup/bind6")]
pub extern "C" fn bind6(context: &Address) -> i32 {
    let [first, second, third, last] = context.user_ip6;
    let address = match (first | second | third, last) {
        (0, last) if last == u32::from_be(1) => LOOPBACK,
        _ => inner(context).filter(|_| third == MAPPED).unwrap_or(0),
    };
    take(context, address)
}

//! A packet as the kernel gives it to a program at tc, and what the fast path and the queues do with it alike.

use core::mem::offset_of;
use core::ptr::{addr_of, read_volatile};

/// The start of `struct __sk_buff` (linux/bpf.h).
#[repr(C)]
pub struct Skb {
    pub len: u32,
    pub pkt_type: u32,
    pub mark: u32,
    unused: u32,
    pub protocol: u32,
    unused_too: [u32; 3],
    pub priority: u32,
    unused_as_well: [u32; 10],
    data: u32,
    data_end: u32,
    unused_at_last: [u32; 20],
    pub gso_segs: u32,
    sk: u64,
    pub gso_size: u32,
}
const _: () = {
    assert!(offset_of!(Skb, priority) == 32 && offset_of!(Skb, data) == 76);
    assert!(offset_of!(Skb, gso_size) == 176);
};

/// `struct bpf_redir_neigh`
#[repr(C)]
pub struct NextHop {
    family: u32,
    address: [u32; 4],
}

pub const ETHERNET_HEADER: u32 = 14;
pub const IPV4_HEADER: u32 = 20;
pub const IPV4: u16 = 0x0800_u16.to_be();
/// `PACKET_HOST`: the frame is to this machine's hardware address.
pub const TO_US: u32 = 0;
/// `TC_ACT_OK`
pub const PASS: i32 = 0;
/// `TC_ACT_SHOT`
pub const DROP: i32 = 2;
const AF_INET: u32 = 2;

kernel::helper!(23 fn redirect(interface: u32, flags: u64) -> i64);
kernel::helper!(39 fn skb_pull_data(skb: *mut Skb, length: u32) -> i64);
kernel::helper!(152 fn redirect_neigh(interface: u32, next: *const u8, length: u32, flags: u64) -> i64);

impl Skb {
    /// The packet's start, if it has so many bytes in one piece.
    #[inline(always)]
    pub fn start<T>(&self) -> Option<&T> {
        // Volatile: two reads on paths that meet would become one value of 32 bits, which the verifier
        // no longer takes for a pointer.
        // SAFETY: the field is there.
        let data = unsafe { read_volatile(addr_of!(self.data)) } as usize;
        // SAFETY: the field is there.
        let end = unsafe { read_volatile(addr_of!(self.data_end)) } as usize;
        if data + size_of::<T>() > end {
            return None;
        }
        // SAFETY: so many bytes are there, any bytes are a T, and a frame begins at an even address. The
        // bytes stay while nobody has the packet as `&mut`, which every helper that moves them wants.
        Some(unsafe { &*(data as *const T) })
    }

    /// Brings the first `length` bytes into one piece; false where the kernel can not.
    #[inline(always)]
    pub fn gather(&mut self, length: u32) -> bool {
        // SAFETY: it is this program's packet.
        unsafe { skb_pull_data(self, length) == 0 }
    }
}

impl NextHop {
    /// The neighbour with this address.
    #[inline(always)]
    pub fn new(address: u32) -> NextHop {
        NextHop {
            family: AF_INET,
            address: [address, 0, 0, 0],
        }
    }

    /// Sends the packet to it by this interface; the program's verdict.
    #[inline(always)]
    pub fn send_by(&self, interface: u32) -> i32 {
        let next: *const NextHop = self;
        // SAFETY: `next` is so large.
        unsafe { redirect_neigh(interface, next.cast(), size_of::<NextHop>() as u32, 0) as i32 }
    }
}

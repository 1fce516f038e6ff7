//! What the programs that choose a packet's class and hearth-netpath agree on; both compile this file.
//!
//! A class is a `skb->priority`: the number of one of the line's HTB classes (tc-htb(8) takes it so), or one
//! of the two below that say what decides. The last hexadecimal digit of a class of the home is what a NIC's
//! own bands read where nothing is shaped (`prio2band` of pfifo_fast, tc-pfifo_fast(8)).

/// The upper half of every class.
pub const MAJOR: u32 = 0x0001_0000;
/// The bits of [`MAJOR`].
pub const MAJOR_MASK: u32 = 0xffff_0000;

/// Towards the Internet, of a home's host: its code point decides.
pub const HOME: u32 = MAJOR | 0xf000;

/// The class of the first service; the others' follow, each [`SERVICE_STEP`] later.
pub const SERVICES: u32 = MAJOR | 0x1000;
/// From one service's class to the next.
pub const SERVICE_STEP: u32 = 0x10;
/// How many services there can be.
pub const SERVICES_MAX: u32 = 256;

/// Rows of the table of what leaves for the Internet: that of the gateway's own packets,
pub const GATEWAY_ROW: u32 = 0;
/// that of the home's hosts',
pub const HOME_ROW: u32 = 1;
/// and the services'.
pub const SERVICE_ROWS: u32 = 2;
/// All of them.
pub const ROWS: u32 = SERVICE_ROWS + SERVICES_MAX;

/// What becomes of a packet on its way to the Internet, by its code point: the one to leave with in the lowest
/// 8 bits, its `skb->priority` above them.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// By code point.
    pub by_mark: [u32; 64],
}

/// What hearth-netpath says about the packet that it writes next.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Its class; 0: none.
    pub class: u32,
    /// The interface on which downloads wait; 0: they do not.
    pub pair: u32,
}

const _: () = {
    assert!(size_of::<Row>() == 256 && size_of::<Written>() == 8);
    assert!(SERVICES + SERVICES_MAX * SERVICE_STEP < HOME);
};

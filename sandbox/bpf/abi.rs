//! What the gates and the process that writes their rules agree on. Compiled for both: no `std`, plain
//! integers of 32 bits and below, so that the layout is the same on every word size.

/// Devices of a service: the base set and its grants.
pub const DEVICES: usize = 40;
/// Targets of a service's connections.
pub const TARGETS: usize = 16;
/// Ports of a service.
pub const PORTS: usize = 64;

/// The minor number that stands for every one.
pub const ANY: u32 = u32::MAX;

/// Verdict of an unused row.
pub const UNUSED: u32 = 0;
/// Verdict of what may be.
pub const ALLOW: u32 = 1;
/// Verdict of what is refused for the first of the reasons; the others follow.
pub const REFUSE: u32 = 2;

/// Reasons of refusals, rows of the counters: a device that is not granted.
pub const DEVICE: u32 = 0;
/// A socket of the Internet family that is neither TCP nor UDP.
pub const PROTOCOL: u32 = 1;
/// A port that is not the service's.
pub const PORT: u32 = 2;
/// An address of IPv6.
pub const IPV6: u32 = 3;
/// The reasons from here on are those of targets; the programs only count them.
pub const TARGET: u32 = 4;
/// Rows of the counters.
pub const REASONS: u32 = TARGET + 4;

/// A device that may be opened. A row of kind 0 allows nothing.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Device {
    /// `BPF_DEVCG_DEV_*`: 1 block, 2 character.
    pub kind: u32,
    /// Major number.
    pub major: u32,
    /// Minor number or [`ANY`].
    pub minor: u32,
    /// `BPF_DEVCG_ACC_*` that are allowed: 1 mknod, 2 read, 4 write.
    pub access: u32,
}

/// Addresses and ports, and whether they may be connected to. The first row that holds decides.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Target {
    /// Address, as it lies in a packet.
    pub address: u32,
    /// The bits of it that count.
    pub mask: u32,
    /// First port.
    pub first: u16,
    /// Last port.
    pub last: u16,
    /// [`UNUSED`], [`ALLOW`] or from [`REFUSE`] on.
    pub verdict: u32,
}

/// Ports at which the service is served. A row of protocol 0 is unused.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Ports {
    /// 6 TCP, 17 UDP.
    pub protocol: u32,
    /// First port.
    pub first: u16,
    /// Last port.
    pub last: u16,
}

/// All rules of a service: the one value of the map `RULES`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Rules {
    /// What it may open.
    pub devices: [Device; DEVICES],
    /// Where it may connect or send to.
    pub targets: [Target; TARGETS],
    /// Ports that it may bind at every address; from those of UDP it may answer everybody.
    pub ports: [Ports; PORTS],
    /// Ports that it may bind because clients do, of both protocols.
    pub ephemeral: [u16; 2],
    /// Verdict where no target holds.
    pub otherwise: u32,
}

const _: () = assert!(size_of::<Rules>() == 40 * 16 + 16 * 16 + 64 * 8 + 8);

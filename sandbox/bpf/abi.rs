//! What the gates and the process that writes their rules agree on. Compiled for both: no `std`, plain
//! integers of 32 bits and below, so that the layout is the same on every word size.

/// Devices of a service: the base set and its grants.
pub const DEVICES: u32 = 64;
/// Targets of a service's connections.
pub const TARGETS: u32 = 32;
/// Ports of a service.
pub const PORTS: u32 = 128;

/// The minor number that stands for every one.
pub const ANY: u32 = u32::MAX;
/// The port that stands for every one.
pub const EVERY: u32 = 0;
/// Ports that clients bind, of both protocols: the first and the last.
pub const EPHEMERAL: [u16; 2] = [32_768, 60_999];

/// Verdict of what may be. Any other is the reason's row in the counters.
pub const ALLOW: u32 = u32::MAX;

/// Reasons of refusals, rows of the counters: a device that is not granted.
pub const DEVICE: u32 = 0;
/// A socket of the Internet family that is neither TCP nor UDP.
pub const PROTOCOL: u32 = 1;
/// A port that is not the service's.
pub const PORT: u32 = 2;
/// An address of IPv6.
pub const IPV6: u32 = 3;
/// The reasons from here on are those of targets; where no target holds, it is this one.
pub const TARGET: u32 = 4;
/// Rows of the counters.
pub const REASONS: u32 = TARGET + 4;

/// A device that may be opened. Its value is what is allowed, `BPF_DEVCG_ACC_*`: 1 mknod, 2 read, 4 write.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Device {
    /// `BPF_DEVCG_DEV_*`: 1 block, 2 character.
    pub kind: u32,
    /// Major number.
    pub major: u32,
    /// Minor number or [`ANY`].
    pub minor: u32,
}

/// Addresses, or one port of one address. The longest prefix that holds decides; its value is the verdict.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Target {
    /// Bits of what follows that count: 0 to 32 of the address; 48 with the port.
    pub prefix: u32,
    /// Address, as it lies in a packet.
    pub address: u32,
    /// Port, as it lies in a packet.
    pub port: u16,
    /// Zero.
    pub unused: u16,
}

/// Bits of an address with its port.
pub const WHOLE: u32 = 48;

/// A port at which the service is served.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Port {
    /// 6 TCP, 17 UDP.
    pub protocol: u32,
    /// In the host's order, or [`EVERY`].
    pub port: u32,
}

const _: () =
    assert!(size_of::<Device>() == 12 && size_of::<Target>() == 12 && size_of::<Port>() == 8);

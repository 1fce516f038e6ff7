//! What the gates and the process that fills their maps agree on. Compiled for both: no `std`, plain
//! integers of 32 bits and below, so that the layout is the same on every word size.

/// Devices that a service can have; the base set and grants.
pub const DEVICES: usize = 32;

/// The number of a device that stands for every number.
pub const ANY: u32 = u32::MAX;

/// A device that may be opened. An unused row allows nothing.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Device {
    /// `BPF_DEVCG_DEV_*`: 1 block, 2 character; 0 in an unused row.
    pub kind: u32,
    /// Major number.
    pub major: u32,
    /// Minor number or [`ANY`].
    pub minor: u32,
    /// `BPF_DEVCG_ACC_*` that are allowed: 1 mknod, 2 read, 4 write.
    pub access: u32,
}

const _: () = assert!(size_of::<Device>() == 16);

//! Features of network devices (linux/ethtool.h).

use super::{check, owned};
use std::io;
use std::os::fd::AsRawFd;

const SIOCETHTOOL: u32 = 0x8946;

/// What a device may do or leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feature {
    /// Join packets that it receives (GRO, `ETHTOOL_SGRO`).
    JoinReceived,
    /// Take large TCP packets and cut them itself (TSO, `ETHTOOL_STSO`).
    CutSent,
}

/// `struct ethtool_value`.
#[repr(C)]
struct Value {
    command: u32,
    data: u32,
}

const _: () = assert!(size_of::<Value>() == 8);

/// Switches a feature of a device of the caller's network namespace (netdevice(7), `SIOCETHTOOL`).
///
/// # Errors
/// ENODEV where there is no such device; EOPNOTSUPP where it does not have the feature.
pub fn set_feature(name: &str, feature: Feature, on: bool) -> io::Result<()> {
    let mut value = Value {
        command: match feature {
            Feature::JoinReceived => 0x2c,
            Feature::CutSent => 0x1f,
        },
        data: u32::from(on),
    };
    // SAFETY: all zeroes is a value of ifreq.
    let mut request = unsafe { std::mem::zeroed::<libc::ifreq>() };
    if name.len() >= request.ifr_name.len() {
        return Err(io::Error::from_raw_os_error(libc::ENODEV));
    }
    for (place, byte) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *place = byte.cast_signed();
    }
    request.ifr_ifru.ifru_data = (&raw mut value).cast();
    // SAFETY: socket(2) takes no pointer.
    let socket =
        owned(unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) })?;
    // SAFETY: the kernel reads an ifreq and the 8 bytes of `value` that it points to; both are live locals.
    let done = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL as _, &raw mut request) };
    check(done).map(drop)
}

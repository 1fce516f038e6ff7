//! TUN devices (linux/if_tun.h).

use super::check;
use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

/// `struct ifreq` as `TUNSETIFF` reads it: name, flags, and the rest of its union.
#[repr(C)]
struct InterfaceRequest {
    name: [u8; libc::IFNAMSIZ],
    flags: libc::c_short,
    rest: [u8; IFREQ_SIZE - libc::IFNAMSIZ - 2],
}
/// Size of `struct ifreq`: its union holds a `struct ifmap` of two longs and eight more bytes.
const IFREQ_SIZE: usize = libc::IFNAMSIZ + 2 * size_of::<libc::c_ulong>() + 8;
const _: () = assert!(size_of::<InterfaceRequest>() == size_of::<libc::ifreq>());

const TUNSETIFF: libc::c_ulong = 0x4004_54ca;
const TUNSETPERSIST: libc::c_ulong = 0x4004_54cb;

/// Opens the TUN device of this name, or makes it: bare IP packets, not blocking, and it stays when
/// the descriptor is closed.
///
/// # Errors
/// ENOENT or ENODEV without the `tun` module; EBUSY where another process has it.
pub fn open_tun(name: &str) -> io::Result<OwnedFd> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC)
        .open("/dev/net/tun")?;
    let mut request = InterfaceRequest {
        name: [0; libc::IFNAMSIZ],
        flags: (libc::IFF_TUN | libc::IFF_NO_PI) as libc::c_short,
        rest: [0; IFREQ_SIZE - libc::IFNAMSIZ - 2],
    };
    // The last byte stays 0: a longer name is cut, and refused by whoever looks for its index.
    for (place, byte) in request
        .name
        .iter_mut()
        .take(libc::IFNAMSIZ - 1)
        .zip(name.bytes())
    {
        *place = byte;
    }
    // SAFETY: TUNSETIFF reads and writes one struct ifreq; request is one, by its size assertion.
    check(unsafe { libc::ioctl(file.as_raw_fd(), TUNSETIFF as _, &raw mut request) })?;
    let stay: libc::c_int = 1;
    // SAFETY: TUNSETPERSIST takes its argument by value.
    check(unsafe { libc::ioctl(file.as_raw_fd(), TUNSETPERSIST as _, stay) })?;
    Ok(file.into())
}

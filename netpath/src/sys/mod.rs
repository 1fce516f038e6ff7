//! System calls of the edge: one a function, owned descriptors in and out, no policy.
#![allow(unsafe_code)]

mod device;
mod namespace;
mod socket;
mod tun;

pub use device::{Feature, set_feature};
pub use namespace::{bind_mount, enter, mount_devices, new_network, unmount};
pub use socket::{
    EtherType, accept, arp_socket, bind_seqpacket, listen, packet_socket, receive, send,
    send_to_all, udp_on,
};
pub use tun::open_tun;

use hearth_model::Tick;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

fn owned(result: libc::c_int) -> io::Result<OwnedFd> {
    let fd = check(result)?;
    // SAFETY: the caller passes the result of a call that just made this descriptor for us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn c_string(text: &str) -> io::Result<CString> {
    CString::new(text).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))
}

/// Milliseconds since boot (clock_gettime(2), `CLOCK_BOOTTIME`).
pub fn now() -> Tick {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the kernel writes one timespec to a live local. The call can not fail for this clock.
    unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut time) };
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let millis = u64::try_from(time.tv_nsec).unwrap_or(0) / 1_000_000;
    Tick(seconds.saturating_mul(1_000).saturating_add(millis))
}

/// Nanoseconds of `CLOCK_MONOTONIC`, the clock of programs in the kernel (clock_gettime(2)).
pub fn monotonic_ns() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the kernel writes one timespec to a live local. The call can not fail for this clock.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let rest = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(rest)
}

/// A random number (getrandom(2)).
///
/// # Errors
/// ENOSYS on kernels before 3.17.
pub fn random() -> io::Result<u64> {
    let mut bytes = [0u8; 8];
    // SAFETY: the kernel writes at most 8 bytes to a live local of 8 bytes.
    let n = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    if n == 8 {
        Ok(u64::from_ne_bytes(bytes))
    } else {
        Err(io::Error::last_os_error())
    }
}

/// The number of an interface in the caller's network namespace (if_nametoindex(3)).
///
/// # Errors
/// ENODEV where there is none of this name.
pub fn interface_index(name: &str) -> io::Result<u32> {
    let name = c_string(name)?;
    // SAFETY: name is a live C string.
    match unsafe { libc::if_nametoindex(name.as_ptr()) } {
        0 => Err(io::Error::last_os_error()),
        index => Ok(index),
    }
}

/// A descriptor to read signals from; the signals are blocked for normal delivery (signalfd(2)).
///
/// # Errors
/// EMFILE, ENOMEM.
pub fn signal_fd(signals: &[libc::c_int]) -> io::Result<OwnedFd> {
    // SAFETY: an all-zero sigset_t is a value; sigemptyset makes it the empty one.
    let mut set = unsafe { std::mem::zeroed::<libc::sigset_t>() };
    // SAFETY: set is a live local.
    unsafe { libc::sigemptyset(&raw mut set) };
    for &signal in signals {
        // SAFETY: set is a live, initialised local.
        check(unsafe { libc::sigaddset(&raw mut set, signal) })?;
    }
    // SAFETY: set is a live, initialised local, and the old mask is not asked for.
    check(unsafe { libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) })?;
    // SAFETY: set is a live, initialised local; -1 asks for a new descriptor.
    owned(unsafe { libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) })
}

/// The next signal of a [`signal_fd`], if one came.
pub fn next_signal(fd: BorrowedFd<'_>) -> Option<u32> {
    let mut bytes = [0u8; size_of::<libc::signalfd_siginfo>()];
    let n = read(fd, &mut bytes).ok()?;
    // ssi_signo is the first field of struct signalfd_siginfo (signalfd(2)).
    let number: [u8; 4] = bytes.get(..n)?.first_chunk().copied()?;
    Some(u32::from_ne_bytes(number))
}

/// read(2)
pub fn read(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the kernel writes at most buffer.len() bytes to a live, exclusive slice.
    let n = unsafe { libc::read(fd.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len()) };
    usize::try_from(n).map_err(|_| io::Error::last_os_error())
}

/// write(2)
pub fn write(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    // SAFETY: the kernel reads bytes.len() bytes of a live slice.
    let n = unsafe { libc::write(fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len()) };
    usize::try_from(n).map_err(|_| io::Error::last_os_error())
}

/// Waits until one of the descriptors can be read, at most `timeout_ms` (poll(2); -1 = for ever).
/// The answer says for each whether it is ready or broken; a signal ends the wait early.
pub fn wait<const N: usize>(
    fds: [Option<BorrowedFd<'_>>; N],
    timeout_ms: i32,
) -> io::Result<[bool; N]> {
    let mut polled = fds.map(|fd| libc::pollfd {
        fd: fd.map_or(-1, |fd| fd.as_raw_fd()),
        events: libc::POLLIN,
        revents: 0,
    });
    let count = libc::nfds_t::try_from(N).unwrap_or(0);
    // SAFETY: polled is a live array of N entries.
    let n = unsafe { libc::poll(polled.as_mut_ptr(), count, timeout_ms) };
    if n < 0 {
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
        return Ok([false; N]);
    }
    Ok(polled.map(|p| p.revents != 0))
}

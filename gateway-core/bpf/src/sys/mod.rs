//! bpf(2) and the netlink socket. One operation a function; no policy.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

pub mod bpf;

/// A `NETLINK_ROUTE` socket in the caller's network namespace, a member of `groups` (netlink(7)).
pub fn netlink_socket(groups: u32) -> io::Result<OwnedFd> {
    // SAFETY: socket(2) takes no pointer.
    let fd = unsafe {
        libc::socket(
            libc::AF_NETLINK,
            libc::SOCK_RAW | libc::SOCK_CLOEXEC,
            libc::NETLINK_ROUTE,
        )
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just made this descriptor and nobody else has it.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    // SAFETY: sockaddr_nl is integers, for which all zeroes is a value (its padding is private).
    let mut address: libc::sockaddr_nl = unsafe { core::mem::zeroed() };
    address.nl_family = libc::AF_NETLINK as libc::sa_family_t;
    address.nl_groups = groups;
    let length = size_of::<libc::sockaddr_nl>() as libc::socklen_t;
    // SAFETY: the kernel reads `length` bytes of a live sockaddr_nl.
    let bound = unsafe { libc::bind(fd.as_raw_fd(), (&raw const address).cast(), length) };
    if bound < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(fd)
}

/// send(2)
pub fn send(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    // SAFETY: the kernel reads bytes.len() bytes of a live slice.
    let n = unsafe { libc::send(fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), 0) };
    usize::try_from(n).map_err(|_| io::Error::last_os_error())
}

/// recv(2), after poll(2); ETIMEDOUT where nothing comes in `patience_ms`.
pub fn receive_within(
    fd: BorrowedFd<'_>,
    buffer: &mut [u8],
    patience_ms: u16,
) -> io::Result<usize> {
    let mut polled = libc::pollfd {
        fd: fd.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: polled is one live pollfd.
    match unsafe { libc::poll(&raw mut polled, 1, patience_ms.into()) } {
        0 => Err(io::Error::from_raw_os_error(libc::ETIMEDOUT)),
        n if n < 0 => Err(io::Error::last_os_error()),
        _ => receive_now(fd, buffer),
    }
}

/// recv(2) that does not wait.
pub fn receive_now(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    let (at, length) = (buffer.as_mut_ptr().cast(), buffer.len());
    // SAFETY: the kernel writes at most `length` bytes to a live, exclusive slice.
    let n = unsafe { libc::recv(fd.as_raw_fd(), at, length, libc::MSG_DONTWAIT) };
    usize::try_from(n).map_err(|_| io::Error::last_os_error())
}

//! The control socket (`SOCK_SEQPACKET`) and the DHCP client's socket.

use super::{check, owned};
use std::io;
use std::mem::offset_of;
use std::net::UdpSocket;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

fn address(path: &str) -> io::Result<(libc::sockaddr_un, libc::socklen_t)> {
    // SAFETY: an all-zero sockaddr_un is a value: no family, an empty path.
    let mut address = unsafe { std::mem::zeroed::<libc::sockaddr_un>() };
    address.sun_family = libc::AF_UNIX as libc::sa_family_t;
    if path.len() >= address.sun_path.len() {
        return Err(io::Error::from_raw_os_error(libc::ENAMETOOLONG));
    }
    for (place, byte) in address.sun_path.iter_mut().zip(path.bytes()) {
        *place = byte.cast_signed();
    }
    let length = offset_of!(libc::sockaddr_un, sun_path) + path.len() + 1;
    Ok((address, libc::socklen_t::try_from(length).unwrap_or(0)))
}

/// Listens on a `SOCK_SEQPACKET` Unix socket at `path`, which must not exist (unix(7)).
///
/// # Errors
/// EADDRINUSE where the path exists; ENAMETOOLONG.
pub fn listen(path: &str) -> io::Result<OwnedFd> {
    let flags = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: socket(2) takes no pointer.
    let fd = owned(unsafe { libc::socket(libc::AF_UNIX, flags, 0) })?;
    let (address, length) = address(path)?;
    // SAFETY: address is a live sockaddr_un and length is within it.
    check(unsafe { libc::bind(fd.as_raw_fd(), (&raw const address).cast(), length) })?;
    // SAFETY: listen(2) takes no pointer.
    check(unsafe { libc::listen(fd.as_raw_fd(), 1) })?;
    Ok(fd)
}

/// The next connection (accept4(2)).
///
/// # Errors
/// EAGAIN where there is none.
pub fn accept(listener: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: the peer's address is not asked for, so both pointers may be null.
    owned(unsafe {
        libc::accept4(
            listener.as_raw_fd(),
            std::ptr::null_mut(),
            std::ptr::null_mut(),
            flags,
        )
    })
}

/// One record (recv(2)); 0 bytes mean that the peer has gone.
///
/// # Errors
/// EAGAIN where there is none.
pub fn receive(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the kernel writes at most buffer.len() bytes to a live, exclusive slice.
    let n = unsafe { libc::recv(fd.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), 0) };
    usize::try_from(n).map_err(|_| io::Error::last_os_error())
}

/// One record (send(2)), without a signal where the peer has gone.
///
/// # Errors
/// EPIPE, EAGAIN.
pub fn send(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<()> {
    // SAFETY: the kernel reads bytes.len() bytes of a live slice.
    let n = unsafe {
        libc::send(
            fd.as_raw_fd(),
            bytes.as_ptr().cast(),
            bytes.len(),
            libc::MSG_NOSIGNAL,
        )
    };
    if n < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// A UDP socket on port 68 of one interface that may broadcast (RFC 2131 4.1); without an address
/// on the interface it sends from 0.0.0.0.
///
/// # Errors
/// EADDRINUSE where another DHCP client runs; ENODEV.
pub fn dhcp_socket(interface: &str) -> io::Result<UdpSocket> {
    let flags = libc::SOCK_DGRAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: socket(2) takes no pointer.
    let fd = owned(unsafe { libc::socket(libc::AF_INET, flags, 0) })?;
    let length = libc::socklen_t::try_from(interface.len()).unwrap_or(0);
    // SAFETY: the kernel reads `length` bytes of the live text.
    check(unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_BINDTODEVICE,
            interface.as_ptr().cast(),
            length,
        )
    })?;
    // SAFETY: an all-zero sockaddr_in is a value: any address, port 0.
    let mut local = unsafe { std::mem::zeroed::<libc::sockaddr_in>() };
    local.sin_family = libc::AF_INET as libc::sa_family_t;
    local.sin_port = hearth_netpath::limits::DHCP_CLIENT_PORT.to_be();
    let length = libc::socklen_t::try_from(size_of::<libc::sockaddr_in>()).unwrap_or(0);
    // SAFETY: local is a live sockaddr_in of `length` bytes.
    check(unsafe { libc::bind(fd.as_raw_fd(), (&raw const local).cast(), length) })?;
    let socket = UdpSocket::from(fd);
    socket.set_broadcast(true)?;
    Ok(socket)
}

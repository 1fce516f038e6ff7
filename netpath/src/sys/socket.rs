//! Sockets that the standard library does not make: `SOCK_SEQPACKET` (unix(7)), UDP on one interface
//! (socket(7)), and whole IPv4 packets to a link (packet(7)).

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

/// A socket that never waits and is closed by exec.
fn socket(family: libc::c_int, kind: libc::c_int) -> io::Result<OwnedFd> {
    let kind = kind | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: socket(2) takes no pointer.
    owned(unsafe { libc::socket(family, kind, 0) })
}

/// A `SOCK_SEQPACKET` socket named `path`, which must not exist. Nobody can connect before
/// [`listen`], so its mode can be set first.
///
/// # Errors
/// EADDRINUSE where the path exists; ENAMETOOLONG.
pub fn bind_seqpacket(path: &str) -> io::Result<OwnedFd> {
    let fd = socket(libc::AF_UNIX, libc::SOCK_SEQPACKET)?;
    let (address, length) = address(path)?;
    // SAFETY: address is a live sockaddr_un and length is within it.
    check(unsafe { libc::bind(fd.as_raw_fd(), (&raw const address).cast(), length) })?;
    Ok(fd)
}

/// Lets others connect (listen(2)).
///
/// # Errors
/// As listen(2).
pub fn listen(fd: BorrowedFd<'_>, backlog: libc::c_int) -> io::Result<()> {
    // SAFETY: listen(2) takes no pointer.
    check(unsafe { libc::listen(fd.as_raw_fd(), backlog) }).map(drop)
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

/// A UDP socket on `port` of one interface and of no other.
///
/// # Errors
/// EADDRINUSE where another program has the port; ENODEV.
pub fn udp_on(interface: &str, port: u16) -> io::Result<UdpSocket> {
    let fd = socket(libc::AF_INET, libc::SOCK_DGRAM)?;
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
    local.sin_port = port.to_be();
    let length = libc::socklen_t::try_from(size_of::<libc::sockaddr_in>()).unwrap_or(0);
    // SAFETY: local is a live sockaddr_in of `length` bytes.
    check(unsafe { libc::bind(fd.as_raw_fd(), (&raw const local).cast(), length) })?;
    Ok(UdpSocket::from(fd))
}

/// A socket that sends whole packets to a link and receives nothing.
///
/// # Errors
/// As socket(2).
pub fn packet_socket() -> io::Result<OwnedFd> {
    socket(libc::AF_PACKET, libc::SOCK_DGRAM)
}

/// A socket that receives the bodies of all ARP packets of the link `index` (packet(7)).
///
/// # Errors
/// As socket(2) and bind(2).
pub fn arp_socket(index: u32) -> io::Result<OwnedFd> {
    // Without a protocol it receives nothing until it is bound.
    let fd = socket(libc::AF_PACKET, libc::SOCK_DGRAM)?;
    // SAFETY: an all-zero sockaddr_ll is a value.
    let mut at = unsafe { std::mem::zeroed::<libc::sockaddr_ll>() };
    at.sll_family = libc::AF_PACKET as libc::c_ushort;
    at.sll_protocol = (libc::ETH_P_ARP as u16).to_be();
    at.sll_ifindex = index.cast_signed();
    let length = libc::socklen_t::try_from(size_of::<libc::sockaddr_ll>()).unwrap_or(0);
    // SAFETY: at is a live sockaddr_ll of `length` bytes.
    check(unsafe { libc::bind(fd.as_raw_fd(), (&raw const at).cast(), length) })?;
    Ok(fd)
}

/// What a packet for a link is (linux/if_ether.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EtherType {
    /// `ETH_P_IP`
    Ipv4,
    /// `ETH_P_ARP`
    Arp,
}

/// Sends a packet to every host of the link `index` (packet(7)).
///
/// # Errors
/// ENETDOWN, ENXIO.
pub fn send_to_all(
    fd: BorrowedFd<'_>,
    index: u32,
    kind: EtherType,
    packet: &[u8],
) -> io::Result<()> {
    // SAFETY: an all-zero sockaddr_ll is a value.
    let mut to = unsafe { std::mem::zeroed::<libc::sockaddr_ll>() };
    to.sll_family = libc::AF_PACKET as libc::c_ushort;
    to.sll_protocol = match kind {
        EtherType::Ipv4 => (libc::ETH_P_IP as u16).to_be(),
        EtherType::Arp => (libc::ETH_P_ARP as u16).to_be(),
    };
    to.sll_ifindex = index.cast_signed();
    // Ethernet's broadcast address, six bytes.
    to.sll_halen = 6;
    to.sll_addr = [0xff; 8];
    let (at, count) = (packet.as_ptr().cast(), packet.len());
    let length = libc::socklen_t::try_from(size_of::<libc::sockaddr_ll>()).unwrap_or(0);
    let to = (&raw const to).cast();
    // SAFETY: the kernel reads `count` bytes of a live slice and `length` bytes of a live sockaddr_ll.
    let n = unsafe { libc::sendto(fd.as_raw_fd(), at, count, 0, to, length) };
    usize::try_from(n)
        .map(drop)
        .map_err(|_| io::Error::last_os_error())
}

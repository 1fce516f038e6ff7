//! Networks: each family of sockets, the kinds of netlink, and what lies in the network namespace.

use crate::outcome::{Arg, Attempt, Outcome, address, apart, tried};
use std::os::fd::AsRawFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener, UnixStream};

/// In the order of the table of expected outcomes.
pub const ATTEMPTS: &[Attempt] = &[
    apart("internet_socket", || socket(2, STREAM, 0)),
    apart("datagram_socket", || socket(2, DATAGRAM, 0)),
    apart("internet_6_socket", || socket(10, STREAM, 0)),
    apart("ping_socket", || socket(2, DATAGRAM, 1)),
    apart("raw_socket", || socket(2, RAW, 1)),
    apart("raw_6_socket", || socket(10, RAW, 58)),
    apart("sctp_socket", || socket(2, STREAM, 132)),
    apart("mptcp_socket", || socket(2, STREAM, 262)),
    apart("udplite_socket", || socket(2, DATAGRAM, 136)),
    apart("packet_socket", || socket(17, RAW, 0)),
    apart("packet_datagram_socket", || socket(17, DATAGRAM, 0)),
    apart("packet_old_socket", || socket(2, 10, 0)), // SOCK_PACKET
    apart("netlink_socket", || socket(16, RAW, 0)),  // NETLINK_ROUTE
    apart("netlink_diagnosis", || socket(16, RAW, 4)),
    apart("netlink_transform", || socket(16, RAW, 6)),
    apart("netlink_audit", || socket(16, RAW, 9)),
    apart("netlink_connector", || socket(16, RAW, 11)),
    apart("netlink_filter", || socket(16, RAW, 12)),
    apart("netlink_events", || socket(16, RAW, 15)),
    apart("netlink_generic", || socket(16, RAW, 16)),
    apart("netlink_crypto", || socket(16, RAW, 21)),
    apart("amateur_radio_socket", || socket(3, DATAGRAM, 0)),
    apart("key_socket", || socket(15, RAW, 2)),
    apart("rds_socket", || socket(21, 5, 0)),
    apart("ppp_socket", || socket(24, DATAGRAM, 0)),
    apart("can_socket", || socket(29, RAW, 1)),
    apart("tipc_socket", || socket(30, DATAGRAM, 0)),
    apart("bluetooth_socket", || socket(31, RAW, 1)),
    apart("phonet_socket", || socket(35, DATAGRAM, 0)),
    apart("ieee802154_socket", || socket(36, DATAGRAM, 0)),
    apart("crypto_socket", || socket(38, 5, 0)),
    apart("nfc_socket", || socket(39, 5, 0)),
    apart("virtual_machine_socket", || socket(40, STREAM, 0)),
    apart("kcm_socket", || socket(41, DATAGRAM, 0)),
    apart("smc_socket", || socket(43, STREAM, 0)),
    apart("xdp_socket", || socket(44, RAW, 0)),
    apart("unix_socket", || UnixDatagram::unbound().into()),
    apart("raise_interface", raise_interface),
    apart("abstract_socket", abstract_socket),
    apart("abstract_name", || {
        let address = SocketAddr::from_abstract_name("hearth-hostile-own");
        Outcome::from(address.and_then(|address| UnixListener::bind_addr(&address)))
    }),
];

const STREAM: Arg = 1;
const DATAGRAM: Arg = 2;
const RAW: Arg = 3;

fn socket(family: Arg, kind: Arg, protocol: Arg) -> Outcome {
    tried(libc::SYS_socket, &[family, kind, protocol])
}

/// Brings loopback up (SIOCSIFFLAGS), as who has power over the network can.
fn raise_interface() -> Outcome {
    let Ok(socket) = std::net::UdpSocket::bind("0.0.0.0:0") else {
        return Outcome::value("no-socket");
    };
    // `struct ifreq`, linux/if.h: 16 bytes of name, then the flags.
    let mut request = [0_u32; 10];
    let [name, _, _, _, flags, ..] = &mut request;
    (*name, *flags) = (u32::from_le_bytes(*b"lo\0\0"), 1); // IFF_UP
    let up = 0x8914; // SIOCSIFFLAGS
    tried(
        libc::SYS_ioctl,
        &[Arg::from(socket.as_raw_fd()), up, address(&request)],
    )
}

fn abstract_socket() -> Outcome {
    let address = SocketAddr::from_abstract_name("hearth-hostile");
    Outcome::from(address.and_then(|address| UnixStream::connect_addr(&address)))
}

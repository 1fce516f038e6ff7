//! What identifies a flow above IPv4: the ports of TCP (RFC 9293) and UDP (RFC 768), and the
//! identifier of an ICMP echo (RFC 792), read and rewritten through one checked view.

use super::checksum::{Delta, pseudo};
use super::icmp::{self, ECHO_REPLY, ECHO_REQUEST};
use super::ipv4::{Ipv4, Part};
use crate::counters::DropReason;

/// Length of the TCP header without options, bytes.
pub const TCP_HEADER_LEN: usize = 20;
/// Length of the UDP header, bytes.
pub const UDP_HEADER_LEN: usize = 8;

/// A protocol whose flows are translated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Protocol {
    /// ICMP echo.
    Icmp = 1,
    /// TCP.
    Tcp = 6,
    /// UDP.
    Udp = 17,
}

impl Protocol {
    /// The protocol with this number.
    ///
    /// # Errors
    /// [`DropReason::Protocol`] where it is not translated.
    pub fn from_number(number: u8) -> Result<Protocol, DropReason> {
        match number {
            1 => Ok(Protocol::Icmp),
            6 => Ok(Protocol::Tcp),
            17 => Ok(Protocol::Udp),
            _ => Err(DropReason::Protocol),
        }
    }
}

/// The flags of a TCP segment that move a flow's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpFlags(u8);

impl TcpFlags {
    /// From the header's flag byte.
    #[must_use]
    pub fn new(byte: u8) -> TcpFlags {
        TcpFlags(byte)
    }
    /// The sender has no more to send.
    #[must_use]
    pub fn fin(self) -> bool {
        self.0 & 0x01 != 0
    }
    /// A connection opens.
    #[must_use]
    pub fn syn(self) -> bool {
        self.0 & 0x02 != 0
    }
    /// The connection is broken off.
    #[must_use]
    pub fn rst(self) -> bool {
        self.0 & 0x04 != 0
    }
    /// The acknowledgement field counts.
    #[must_use]
    pub fn ack(self) -> bool {
        self.0 & 0x10 != 0
    }
}

/// What a packet is to a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A TCP segment.
    Tcp(TcpFlags),
    /// A UDP datagram.
    Udp,
    /// An ICMP echo request; its identifier is the source port.
    EchoRequest,
    /// An ICMP echo reply; its identifier is the destination port.
    EchoReply,
    /// An ICMP error about another packet; it has no ports of its own.
    IcmpError,
}

/// The ports of a packet, as far as its kind has them (0 elsewhere).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ports {
    /// Source port, or an echo request's identifier.
    pub source: u16,
    /// Destination port, or an echo reply's identifier.
    pub destination: u16,
}

/// Reads the transport header of a whole packet or a first fragment.
///
/// # Errors
/// [`DropReason::MalformedTransport`], [`DropReason::PortZero`], [`DropReason::FragmentTiny`],
/// [`DropReason::Protocol`] or [`DropReason::IcmpType`].
pub fn read(packet: &Ipv4<'_>) -> Result<(Protocol, Kind, Ports), DropReason> {
    let protocol = Protocol::from_number(packet.protocol())?;
    let whole = packet.part() == Part::Whole;
    let payload = packet.payload();
    let short = if whole {
        DropReason::MalformedTransport
    } else {
        DropReason::FragmentTiny
    };
    let (kind, ports) = match protocol {
        Protocol::Tcp => {
            let header = payload.first_chunk::<TCP_HEADER_LEN>().ok_or(short)?;
            let offset = usize::from(header[12] >> 4) * 4;
            if offset < TCP_HEADER_LEN || offset > payload.len() {
                return Err(DropReason::MalformedTransport);
            }
            (Kind::Tcp(TcpFlags::new(header[13])), ports_of(header))
        }
        Protocol::Udp => {
            let header = payload.first_chunk::<UDP_HEADER_LEN>().ok_or(short)?;
            let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
            if length < UDP_HEADER_LEN || (whole && length > payload.len()) {
                return Err(DropReason::MalformedTransport);
            }
            (Kind::Udp, ports_of(header))
        }
        Protocol::Icmp => return read_icmp(payload, short).map(|(k, p)| (protocol, k, p)),
    };
    if ports.source == 0 || ports.destination == 0 {
        return Err(DropReason::PortZero);
    }
    Ok((protocol, kind, ports))
}

fn read_icmp(payload: &[u8], short: DropReason) -> Result<(Kind, Ports), DropReason> {
    let header = payload.first_chunk::<{ icmp::HEADER_LEN }>().ok_or(short)?;
    let identifier = u16::from_be_bytes([header[4], header[5]]);
    let (source, destination, kind) = match header[0] {
        ECHO_REQUEST => (identifier, 0, Kind::EchoRequest),
        ECHO_REPLY => (0, identifier, Kind::EchoReply),
        kind if icmp::is_error(kind) => (0, 0, Kind::IcmpError),
        _ => return Err(DropReason::IcmpType),
    };
    let ports = Ports {
        source,
        destination,
    };
    Ok((kind, ports))
}

fn ports_of<const N: usize>(header: &[u8; N]) -> Ports {
    match header.as_slice() {
        [a, b, c, d, ..] => Ports {
            source: u16::from_be_bytes([*a, *b]),
            destination: u16::from_be_bytes([*c, *d]),
        },
        _ => Ports {
            source: 0,
            destination: 0,
        },
    }
}

/// Reads the ports of a packet inside an ICMP error, of which only 8 bytes need be there.
///
/// # Errors
/// [`DropReason::MalformedTransport`], [`DropReason::Protocol`]; [`DropReason::IcmpUnrelated`]
/// where it is a later fragment or an ICMP packet other than an echo.
pub fn read_embedded(packet: &Ipv4<'_>) -> Result<(Protocol, Ports), DropReason> {
    let protocol = Protocol::from_number(packet.protocol())?;
    if matches!(packet.part(), Part::Later { .. }) {
        return Err(DropReason::IcmpUnrelated);
    }
    let start = packet
        .payload()
        .first_chunk::<8>()
        .ok_or(DropReason::MalformedTransport)?;
    match protocol {
        Protocol::Tcp | Protocol::Udp => Ok((protocol, ports_of(start))),
        Protocol::Icmp => match read_icmp(start, DropReason::MalformedTransport) {
            Ok((Kind::EchoRequest | Kind::EchoReply, ports)) => Ok((protocol, ports)),
            Ok((Kind::Tcp(_) | Kind::Udp | Kind::IcmpError, _)) | Err(_) => {
                Err(DropReason::IcmpUnrelated)
            }
        },
    }
}

/// Replaces the ports of a transport header and brings its checksum up to date with them and with
/// `addresses`, the change in the IPv4 header. Bytes that an embedded packet no longer has are
/// left out.
pub fn rewrite(protocol: Protocol, payload: &mut [u8], ports: Ports, addresses: Delta) {
    match protocol {
        Protocol::Tcp => {
            let delta = set_ports(payload, ports, addresses);
            update(payload.get_mut(16..18), delta);
        }
        Protocol::Udp => {
            let delta = set_ports(payload, ports, addresses);
            let field = payload.get_mut(6..8);
            // RFC 768: all zero means that the sender made none, and it is left so (RFC 3022 4.1);
            // a computed zero is sent as all ones.
            if let Some([high, low]) = field
                && [*high, *low] != [0, 0]
            {
                let sum = match delta.apply(u16::from_be_bytes([*high, *low])) {
                    0 => u16::MAX,
                    sum => sum,
                };
                [*high, *low] = sum.to_be_bytes();
            }
        }
        // ICMP has no pseudo-header: its checksum does not know the addresses.
        Protocol::Icmp => {
            if let [kind, _, _, _, high, low, ..] = payload {
                let old = u16::from_be_bytes([*high, *low]);
                let new = if *kind == ECHO_REQUEST {
                    ports.source
                } else {
                    ports.destination
                };
                [*high, *low] = new.to_be_bytes();
                update(payload.get_mut(2..4), Delta::default().word(old, new));
            }
        }
    }
}

fn set_ports(payload: &mut [u8], ports: Ports, delta: Delta) -> Delta {
    match payload {
        [a, b, c, d, ..] => {
            let delta = delta
                .word(u16::from_be_bytes([*a, *b]), ports.source)
                .word(u16::from_be_bytes([*c, *d]), ports.destination);
            [*a, *b] = ports.source.to_be_bytes();
            [*c, *d] = ports.destination.to_be_bytes();
            delta
        }
        _ => delta,
    }
}

fn update(field: Option<&mut [u8]>, delta: Delta) {
    if let Some([high, low]) = field {
        let sum = delta.apply(u16::from_be_bytes([*high, *low]));
        [*high, *low] = sum.to_be_bytes();
    }
}

/// The data of a whole UDP packet, its checksum verified: for the few packets whose data this
/// process itself reads.
///
/// # Errors
/// [`DropReason::MalformedTransport`] or [`DropReason::TransportChecksum`].
pub fn udp_data<'a>(packet: &'a Ipv4<'_>) -> Result<&'a [u8], DropReason> {
    let header = packet
        .payload()
        .first_chunk::<UDP_HEADER_LEN>()
        .ok_or(DropReason::MalformedTransport)?;
    let length = u16::from_be_bytes([header[4], header[5]]);
    let datagram = packet
        .payload()
        .get(..usize::from(length))
        .ok_or(DropReason::MalformedTransport)?;
    let (source, destination) = (packet.source(), packet.destination());
    let sum = pseudo(source, destination, packet.protocol(), length).bytes(datagram);
    if [header[6], header[7]] != [0, 0] && sum.fold() != 0xffff {
        return Err(DropReason::TransportChecksum);
    }
    datagram
        .get(UDP_HEADER_LEN..)
        .ok_or(DropReason::MalformedTransport)
}

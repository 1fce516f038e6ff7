//! Packets made and read by another implementation (etherparse), for tests here and in `tests/rfc`.

pub use super::home::GATEWAY;
use core::net::Ipv4Addr;
use etherparse::{
    Icmpv4Header, Icmpv4Slice, Icmpv4Type, IpNumber, Ipv4Header, TcpHeader, UdpHeader,
};

pub const EXTERNAL: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 50);
pub const ANN: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 10);
pub const BOB: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 11);
pub const FAR: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
pub const OTHER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 8);

/// An address and a port.
pub type End = (Ipv4Addr, u16);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    Udp,
    UdpWithoutChecksum,
    Tcp(Flags),
    EchoRequest,
    EchoReply,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flags {
    Syn,
    SynAck,
    Ack,
    Fin,
    Rst,
}

/// The packet as bytes, every checksum computed by etherparse. An echo's identifier is the port
/// of the end that asks.
pub fn packet(body: Body, from: End, to: End, data: &[u8]) -> Vec<u8> {
    let (source, destination) = (from.0.octets(), to.0.octets());
    let transport = match body {
        Body::Udp | Body::UdpWithoutChecksum => {
            let udp = match body {
                Body::Udp => {
                    let length = u16::try_from(data.len() + 8).unwrap();
                    let mut header = UdpHeader {
                        source_port: from.1,
                        destination_port: to.1,
                        length,
                        checksum: 0,
                    };
                    let sum = header.calc_checksum_ipv4_raw(source, destination, data);
                    header.checksum = sum.unwrap();
                    header
                }
                _ => UdpHeader::without_ipv4_checksum(from.1, to.1, data.len()).unwrap(),
            };
            udp.to_bytes().to_vec()
        }
        Body::Tcp(flags) => {
            // Numbers as in the first packets of any connection: a firewall may look at them.
            let opens = matches!(flags, Flags::Syn | Flags::SynAck);
            let number = if opens { 7_000 } else { 7_001 };
            let mut tcp = TcpHeader::new(from.1, to.1, number, 1_024);
            tcp.syn = matches!(flags, Flags::Syn | Flags::SynAck);
            tcp.ack = matches!(flags, Flags::SynAck | Flags::Ack | Flags::Fin);
            tcp.acknowledgment_number = if tcp.ack { 7_001 } else { 0 };
            tcp.fin = flags == Flags::Fin;
            tcp.rst = flags == Flags::Rst;
            tcp.checksum = tcp
                .calc_checksum_ipv4_raw(source, destination, data)
                .unwrap();
            tcp.to_bytes().to_vec()
        }
        Body::EchoRequest | Body::EchoReply => {
            let echo = |id| etherparse::IcmpEchoHeader { id, seq: 1 };
            let kind = match body {
                Body::EchoRequest => Icmpv4Type::EchoRequest(echo(from.1)),
                _ => Icmpv4Type::EchoReply(echo(to.1)),
            };
            Icmpv4Header::with_checksum(kind, data).to_bytes().to_vec()
        }
    };
    let number = match body {
        Body::Udp | Body::UdpWithoutChecksum => IpNumber::UDP,
        Body::Tcp(_) => IpNumber::TCP,
        Body::EchoRequest | Body::EchoReply => IpNumber::ICMP,
    };
    ip(number, from.0, to.0, &[&transport[..], data].concat())
}

/// An IPv4 header before `payload`: TTL 64, no DF.
pub fn ip(number: IpNumber, from: Ipv4Addr, to: Ipv4Addr, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap();
    let mut header = Ipv4Header::new(length, 64, number, from.octets(), to.octets()).unwrap();
    header.dont_fragment = false;
    header.identification = 4_711;
    header.header_checksum = header.calc_header_checksum();
    [&header.to_bytes()[..], payload].concat()
}

/// The packet with another IPv4 header.
pub fn with_ip(bytes: &[u8], change: impl FnOnce(&mut Ipv4Header)) -> Vec<u8> {
    let (mut header, payload) = Ipv4Header::from_slice(bytes).unwrap();
    change(&mut header);
    header.header_checksum = header.calc_header_checksum();
    [&header.to_bytes()[..], payload].concat()
}

/// An ICMP error about `about`, as a host or router sends it.
pub fn icmp_error(kind: Icmpv4Type, from: Ipv4Addr, to: Ipv4Addr, about: &[u8]) -> Vec<u8> {
    let quoted = &about[..about.len().min(548)];
    let message = Icmpv4Header::with_checksum(kind, quoted).to_bytes();
    ip(IpNumber::ICMP, from, to, &[&message[..], quoted].concat())
}

/// What a packet says, its checksums verified: `(from, to)`, as [`packet`] takes them.
pub fn ends(bytes: &[u8]) -> (End, End) {
    let (header, payload) = checked_ip(bytes);
    let (source, destination) = (header.source, header.destination);
    let (from, to) = match header.protocol {
        IpNumber::UDP => {
            let (udp, data) = UdpHeader::from_slice(payload).unwrap();
            if udp.checksum != 0 {
                let sum = udp.calc_checksum_ipv4_raw(source, destination, data);
                assert_eq!(sum.unwrap(), udp.checksum, "UDP checksum");
            }
            (udp.source_port, udp.destination_port)
        }
        IpNumber::TCP => {
            let (tcp, data) = TcpHeader::from_slice(payload).unwrap();
            let sum = tcp.calc_checksum_ipv4_raw(source, destination, data);
            assert_eq!(sum.unwrap(), tcp.checksum, "TCP checksum");
            (tcp.source_port, tcp.destination_port)
        }
        IpNumber::ICMP => match checked_icmp(payload).0 {
            Icmpv4Type::EchoRequest(echo) => (echo.id, 0),
            Icmpv4Type::EchoReply(echo) => (0, echo.id),
            other => panic!("{other:?} has no ports"),
        },
        other => panic!("protocol {other:?}"),
    };
    ((source.into(), from), (destination.into(), to))
}

fn checked_ip(bytes: &[u8]) -> (Ipv4Header, &[u8]) {
    let (header, payload) = Ipv4Header::from_slice(bytes).unwrap();
    let sum = header.calc_header_checksum();
    assert_eq!(sum, header.header_checksum, "IPv4 checksum");
    (header, payload)
}

fn checked_icmp(payload: &[u8]) -> (Icmpv4Type, &[u8]) {
    let slice = Icmpv4Slice::from_slice(payload).unwrap();
    let kind = slice.icmp_type();
    let sum = kind.calc_checksum(slice.payload());
    assert_eq!(sum, slice.checksum(), "ICMP checksum");
    (kind, slice.payload())
}

/// An ICMP error, its checksums verified: kind, outer source and destination, and the ends of the
/// packet inside as far as it is there.
pub struct ErrorSeen {
    pub kind: Icmpv4Type,
    pub from: Ipv4Addr,
    pub to: Ipv4Addr,
    pub about: (End, End),
}

pub fn error_seen(bytes: &[u8]) -> ErrorSeen {
    let (header, payload) = checked_ip(bytes);
    let (kind, inside) = checked_icmp(payload);
    let (inner, rest) = checked_ip(inside);
    let total = usize::from(inner.total_len);
    let about = if inside.len() >= total {
        ends(&inside[..total])
    } else {
        let port = |at: usize| u16::from_be_bytes([rest[at], rest[at + 1]]);
        (
            (inner.source.into(), port(0)),
            (inner.destination.into(), port(2)),
        )
    };
    ErrorSeen {
        kind,
        from: header.source.into(),
        to: header.destination.into(),
        about,
    }
}

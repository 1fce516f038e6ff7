//! A home to test in, and packets made and read by another implementation (etherparse).

use crate::counters::DropReason;
use crate::limits::REPLY_MAX;
use crate::nat::{Nat, NatConfig, NatEvent, Verdict};
use core::net::Ipv4Addr;
use etherparse::{
    Icmpv4Header, Icmpv4Slice, Icmpv4Type, IpNumber, Ipv4Header, TcpHeader, UdpHeader,
};
use hearth_model::protocol::{Forward, NetworkPolicy, Transport, WanLease, Zone};
use hearth_model::{ServiceId, Tick};

pub const GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 1);
pub const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 213, 0, 1);
pub const EXTERNAL: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 5);
pub const ANN: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 10);
pub const BOB: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 11);
pub const FAR: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
pub const OTHER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 8);
pub const WEB: Ipv4Addr = Ipv4Addr::new(10, 213, 0, 5);

/// An address and a port.
pub type End = (Ipv4Addr, u16);

pub fn web_id() -> ServiceId {
    ServiceId::new(3).unwrap()
}

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
            let mut tcp = TcpHeader::new(from.1, to.1, 7_000, 1_024);
            tcp.syn = matches!(flags, Flags::Syn | Flags::SynAck);
            tcp.ack = matches!(flags, Flags::SynAck | Flags::Ack | Flags::Fin);
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

/// What came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Out {
    Forward(Vec<u8>),
    Local,
    Dhcp(Vec<u8>),
    Reply(Vec<u8>),
    Drop(DropReason),
}

/// The machine under test and its clock.
pub struct Home {
    pub nat: Nat,
    pub now: Tick,
}

pub fn config() -> NatConfig {
    NatConfig {
        lan_address: GATEWAY,
        lan_prefix: 24,
        services_subnet: Ipv4Addr::new(10, 213, 0, 0),
        services_prefix: 22,
        lan_mtu: 1_500,
        wan_mtu: 1_400,
        services_mtu: 1_500,
        secret: 0x5eed,
    }
}

pub fn lease(address: Ipv4Addr) -> WanLease {
    WanLease {
        address,
        prefix: 24,
        router: Some(Ipv4Addr::new(203, 0, 113, 1)),
    }
}

impl Home {
    /// A home with a WAN address, ten seconds after the boot.
    pub fn new() -> Home {
        let mut home = Home {
            nat: Nat::new(config()),
            now: Tick(10_000),
        };
        home.event(NatEvent::WanAddress(Some(lease(EXTERNAL))));
        home
    }

    /// The same with the web service attached.
    pub fn with_web(policy: NetworkPolicy) -> Home {
        let mut home = Home::new();
        home.event(NatEvent::Attach {
            id: web_id(),
            address: WEB,
            policy,
        });
        home
    }

    pub fn event(&mut self, event: NatEvent) {
        self.nat.event(event, self.now).unwrap();
    }

    pub fn forward(&mut self, from: Zone, transport: Transport, port: u16, to_port: u16) {
        self.event(NatEvent::Forward(Forward {
            id: web_id(),
            transport,
            from,
            port,
            to_port,
        }));
    }

    pub fn wait_ms(&mut self, ms: u64) {
        self.now = self.now.after_ms(ms);
        self.nat.tick(self.now);
    }

    /// One packet through the machine. What is not forwarded must be unchanged.
    pub fn run(&mut self, zone: Zone, bytes: &[u8]) -> Out {
        let mut copy = bytes.to_vec();
        let mut reply = [0; REPLY_MAX];
        let out = match self.nat.packet(zone, &mut copy, self.now, &mut reply) {
            Verdict::Forward => return Out::Forward(copy),
            Verdict::Local => Out::Local,
            Verdict::Dhcp(range) => Out::Dhcp(copy[range].to_vec()),
            Verdict::Reply(length) => Out::Reply(reply[..length].to_vec()),
            Verdict::Drop(reason) => Out::Drop(reason),
        };
        assert_eq!(copy, bytes, "changed, but not forwarded");
        out
    }

    /// Sends a packet that must pass, and returns where it then comes from and goes to.
    #[track_caller]
    pub fn pass(&mut self, zone: Zone, body: Body, from: End, to: End) -> (End, End) {
        match self.run(zone, &packet(body, from, to, b"data")) {
            Out::Forward(bytes) => ends(&bytes),
            other => panic!("{body:?} {from:?} -> {to:?}: {other:?}"),
        }
    }

    /// Sends a packet that must be dropped, and returns why.
    #[track_caller]
    pub fn drop(&mut self, zone: Zone, body: Body, from: End, to: End) -> DropReason {
        match self.run(zone, &packet(body, from, to, b"data")) {
            Out::Drop(reason) => reason,
            other => panic!("{body:?} {from:?} -> {to:?}: {other:?}"),
        }
    }

    /// Opens a TCP connection through all three segments; returns the initiator as the other end
    /// sees it, and that other end.
    #[track_caller]
    pub fn connect(&mut self, zones: (Zone, Zone), from: End, to: End) -> (End, End) {
        let (seen, target) = self.pass(zones.0, Body::Tcp(Flags::Syn), from, to);
        let back = self.pass(zones.1, Body::Tcp(Flags::SynAck), target, seen);
        assert_eq!(back, (to, from), "the answer is translated back");
        self.pass(zones.0, Body::Tcp(Flags::Ack), from, to);
        (seen, target)
    }
}

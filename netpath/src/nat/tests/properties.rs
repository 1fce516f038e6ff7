//! What holds for every packet.

use super::support::*;
use crate::limits::REPLY_MAX;
use crate::nat::Verdict;
use core::net::Ipv4Addr;
use hearth_model::protocol::{NetworkPolicy, Transport, Zone, Zone::*};
use proptest::prelude::*;
use std::collections::HashMap;

fn body() -> impl Strategy<Value = Body> {
    prop_oneof![
        Just(Body::Udp),
        Just(Body::UdpWithoutChecksum),
        Just(Body::EchoRequest),
        Just(Body::EchoReply),
        prop_oneof![
            Just(Flags::Syn),
            Just(Flags::SynAck),
            Just(Flags::Ack),
            Just(Flags::Fin),
            Just(Flags::Rst)
        ]
        .prop_map(Body::Tcp),
    ]
}

fn zone() -> impl Strategy<Value = Zone> {
    prop_oneof![Just(Lan), Just(Wan), Just(Service)]
}

/// Addresses that meet each other often.
fn address() -> impl Strategy<Value = Ipv4Addr> {
    prop_oneof![
        6 => prop_oneof![Just(ANN), Just(BOB), Just(FAR), Just(OTHER), Just(WEB)],
        4 => prop_oneof![Just(EXTERNAL), Just(GATEWAY), Just(ROUTER)],
        1 => any::<u32>().prop_map(Ipv4Addr::from),
    ]
}

fn port() -> impl Strategy<Value = u16> {
    prop_oneof![4 => 5_000u16..5_004, 1 => Just(443), 1 => 59_998u16..60_002, 1 => 1u16..]
}

fn any_packet() -> impl Strategy<Value = (Zone, Vec<u8>)> {
    let data = proptest::collection::vec(any::<u8>(), 0..40);
    let ends = ((address(), port()), (address(), port()));
    let shape = (
        1u8..4,
        any::<bool>(),
        prop_oneof![4 => Just(0u16), 1 => 0u16..4],
    );
    (zone(), body(), ends, data, shape).prop_map(
        |(zone, body, (from, to), data, (ttl, more, offset))| {
            let bytes = packet(body, from, to, &data);
            let bytes = with_ip(&bytes, |ip| {
                ip.time_to_live = if ttl == 1 { 1 } else { 64 };
                ip.more_fragments = more && offset > 0;
                ip.fragment_offset = offset.try_into().unwrap();
            });
            (zone, bytes)
        },
    )
}

fn busy_home() -> Home {
    let mut home = Home::with_web(NetworkPolicy::Wan);
    home.forward(Wan, Transport::Tcp, 443, 443);
    home.forward(Wan, Transport::Udp, 443, 443);
    home.forward(Lan, Transport::Tcp, 443, 443);
    home
}

fn header(bytes: &[u8]) -> etherparse::Ipv4Header {
    etherparse::Ipv4Header::from_slice(bytes).unwrap().0
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn every_packet_has_one_verdict_and_right_checksums(
        packets in proptest::collection::vec((any_packet(), 0u64..90_000), 1..120)
    ) {
        // given a home with services, and traffic from all sides
        let mut home = busy_home();
        // who had an external port when it was last seen on the WAN
        let mut owners: HashMap<(u8, u16), Ipv4Addr> = HashMap::new();
        for ((zone, bytes), wait) in packets {
            // when a packet passes
            home.wait_ms(wait);
            if wait > 0 { owners.clear(); }
            let out = home.run(zone, &bytes);
            // then its checksums are right (`ends` checks), and no inside address is on the WAN
            if let Out::Forward(out) = &out {
                let (before, after) = (header(&bytes), header(out));
                if after.fragment_offset.value() == 0 {
                    let ((source, port), (to, _)) = ends(out);
                    let outward = ![GATEWAY, ROUTER, EXTERNAL, ANN, BOB, WEB].contains(&to)
                        && !Ipv4Addr::is_private(&to);
                    prop_assert!(!outward || source == EXTERNAL, "{source} on the WAN");
                    // and no two inside endpoints share an external port (REQ-7)
                    if outward && port != 0 && zone != Wan {
                        let inside = Ipv4Addr::from(before.source);
                        let owner = owners.entry((before.protocol.0, port)).or_insert(inside);
                        prop_assert_eq!(*owner, inside);
                    }
                }
                prop_assert_eq!(after.header_checksum, after.calc_header_checksum());
                prop_assert_eq!(before.time_to_live, after.time_to_live);
                prop_assert_eq!(before.total_len, after.total_len);
            }
            if let Out::Reply(out) = &out {
                prop_assert_eq!(header(out).destination, header(&bytes).source);
                prop_assert_eq!(header(out).calc_header_checksum(), header(out).header_checksum);
            }
            // and the sums balance
            prop_assert!(home.nat.counters().balanced());
        }
        // and when all timers are over, then nothing is left
        home.wait_ms(8_000_000);
        home.wait_ms(2_000);
        prop_assert_eq!(home.nat.sessions.len(), 0);
        prop_assert_eq!((home.nat.mappings.len(), home.nat.peers.len(), home.nat.hosts.len()), (0, 0, 0));
    }

    #[test]
    fn translation_and_back_is_the_identity(
        body in prop_oneof![Just(Body::Udp), Just(Body::Tcp(Flags::Syn)), Just(Body::EchoRequest)],
        from in (prop_oneof![Just(ANN), Just(BOB)], 1u16..),
        to in (prop_oneof![Just(FAR), Just(OTHER)], 1u16..),
        taken in any::<bool>(),
    ) {
        // given an outbound packet, its port perhaps another host's already
        let mut home = Home::new();
        let to = if body == Body::EchoRequest { (to.0, 0) } else { to };
        if taken {
            home.pass(Lan, body, (Ipv4Addr::new(192, 168, 1, 99), from.1), to);
        }
        // when it is answered
        let (seen, target) = home.pass(Lan, body, from, to);
        let answer = match body {
            Body::Tcp(_) => Body::Tcp(Flags::SynAck),
            Body::EchoRequest => Body::EchoReply,
            other => other,
        };
        let back = home.pass(Wan, answer, target, seen);
        // then the sender sees the mirror image of what it sent
        prop_assert_eq!(target, to);
        prop_assert_eq!(back, (to, from));
    }

    #[test]
    fn any_bytes_are_met_without_panic(
        zone in zone(),
        mut bytes in proptest::collection::vec(any::<u8>(), 0..120),
        protocol in prop_oneof![Just(1u8), Just(6), Just(17), any::<u8>()],
        ends in (address(), address()),
    ) {
        // given noise that is dressed as IPv4, so that it gets deep
        if bytes.len() >= 20 {
            bytes[0] = 0x45;
            let length = u16::try_from(bytes.len()).unwrap();
            bytes[2..4].copy_from_slice(&length.to_be_bytes());
            bytes[9] = protocol;
            bytes[12..16].copy_from_slice(&ends.0.octets());
            bytes[16..20].copy_from_slice(&ends.1.octets());
            bytes[10..12].copy_from_slice(&[0, 0]);
            let sum = crate::wire::checksum::Sum::default().bytes(&bytes[..20]).checksum();
            bytes[10..12].copy_from_slice(&sum.to_be_bytes());
        }
        let mut home = busy_home();
        for _ in 0..2 {
            let mut copy = bytes.clone();
            let mut reply = [0; REPLY_MAX];
            let verdict = home.nat.packet(zone, &mut copy, home.now, &mut reply);
            prop_assert!(!matches!(verdict, Verdict::Reply(n) if n > REPLY_MAX));
        }
        prop_assert!(home.nat.counters().balanced());
    }

    #[test]
    fn wrong_bits_are_never_forwarded_wrongly(bit in 0usize..(20 * 8), body in body()) {
        // given a packet with one wrong bit in its IPv4 header
        let mut home = busy_home();
        let mut bytes = packet(body, (ANN, 5_000), (FAR, 9_000), b"data");
        bytes[bit / 8] ^= 1 << (bit % 8);
        // when it arrives, then it is dropped
        let dropped = matches!(home.run(Lan, &bytes), Out::Drop(_));
        prop_assert!(dropped);
    }
}

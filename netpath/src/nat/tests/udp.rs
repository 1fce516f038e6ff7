//! RFC 4787, requirement by requirement.

use super::support::*;
use crate::counters::DropReason;
use crate::limits::*;
use hearth_model::protocol::Zone::{Lan, Wan};
use std::collections::HashSet;

#[test]
fn rfc4787_req1_endpoint_independent_mapping() {
    // given one inside endpoint
    let mut home = Home::new();
    // when it sends to two hosts, and to two ports of one
    let first = home.pass(Lan, Body::Udp, (ANN, 5_000), (FAR, 9_000)).0;
    let second = home.pass(Lan, Body::Udp, (ANN, 5_000), (OTHER, 9_000)).0;
    let third = home.pass(Lan, Body::Udp, (ANN, 5_000), (OTHER, 9_001)).0;
    // then all of them see the same external endpoint
    assert_eq!(first, (EXTERNAL, 5_000));
    assert_eq!((second, third), (first, first));
}

#[test]
fn rfc4787_req2_paired_pooling() {
    // given one external address, when a host opens several flows, then all have that address
    let mut home = Home::new();
    for port in 5_000..5_010 {
        assert_eq!(
            home.pass(Lan, Body::Udp, (ANN, port), (FAR, 9)).0.0,
            EXTERNAL
        );
    }
}

#[test]
fn rfc4787_req3_no_port_overloading_and_the_same_range() {
    // given two hosts that use the same port
    let mut home = Home::new();
    let ann = home.pass(Lan, Body::Udp, (ANN, 5_000), (FAR, 9_000)).0;
    let bob = home.pass(Lan, Body::Udp, (BOB, 5_000), (FAR, 9_000)).0;
    // then the first keeps it and the other gets another one of the dynamic range
    assert_eq!(ann.1, 5_000);
    assert_ne!(bob.1, 5_000);
    assert!((EXTERNAL_PORT_FIRST..=EXTERNAL_PORT_LAST).contains(&bob.1));
    // and the gateway's own ports are nobody else's
    let own = home
        .pass(Lan, Body::Udp, (BOB, LOCAL_PORT_FIRST), (FAR, 9_000))
        .0;
    assert!(own.1 < LOCAL_PORT_FIRST);
}

#[test]
fn rfc4787_req4_port_parity() {
    let mut home = Home::new();
    for port in [5_000, 5_001] {
        // given a port that is taken
        home.pass(Lan, Body::Udp, (ANN, port), (FAR, 9_000));
        // when another host uses it too, then it gets one of the same parity
        let other = home.pass(Lan, Body::Udp, (BOB, port), (FAR, 9_000)).0;
        assert_eq!(other.1 % 2, port % 2);
    }
}

#[test]
fn rfc4787_req5_mapping_timer_of_five_minutes() {
    // given a flow
    let mut home = Home::new();
    home.pass(Lan, Body::Udp, (ANN, 5_000), (FAR, 9_000));
    // when almost five minutes pass, then an answer still gets in
    home.wait_ms(UDP_TIMEOUT_MS - 1);
    let back = home.pass(Wan, Body::Udp, (FAR, 9_000), (EXTERNAL, 5_000));
    assert_eq!(back, ((FAR, 9_000), (ANN, 5_000)));
    // and when they are over, then none does
    home.wait_ms(1);
    let late = home.drop(Wan, Body::Udp, (FAR, 9_000), (EXTERNAL, 5_000));
    assert_eq!(late, DropReason::Unsolicited);
    // and nothing is left
    home.wait_ms(2 * WHEEL_STEP_MS);
    assert_eq!((home.nat.sessions.len(), home.nat.mappings.len()), (0, 0));
    assert_eq!((home.nat.peers.len(), home.nat.hosts.len()), (0, 0));
    assert_eq!(home.nat.next_deadline(), None);
}

#[test]
fn rfc4787_req5a_dns_has_a_shorter_timer() {
    let mut home = Home::new();
    home.pass(Lan, Body::Udp, (ANN, 5_000), (FAR, DNS_PORT));
    home.wait_ms(UDP_DNS_TIMEOUT_MS + 2 * WHEEL_STEP_MS);
    assert_eq!(home.nat.mappings.len(), 0);
}

#[test]
fn rfc4787_req6_only_outbound_packets_refresh() {
    // given a flow that the inside refreshes after four minutes
    let mut home = Home::new();
    home.pass(Lan, Body::Udp, (ANN, 5_000), (FAR, 9_000));
    home.wait_ms(240_000);
    home.pass(Lan, Body::Udp, (ANN, 5_000), (FAR, 9_000));
    // when only the outside sends from then on, also from another port
    home.wait_ms(240_000);
    home.pass(Wan, Body::Udp, (FAR, 9_000), (EXTERNAL, 5_000));
    home.pass(Wan, Body::Udp, (FAR, 9_001), (EXTERNAL, 5_000));
    // then five minutes after the inside's last packet it is over
    home.wait_ms(60_000);
    home.drop(Wan, Body::Udp, (FAR, 9_000), (EXTERNAL, 5_000));
    home.drop(Wan, Body::Udp, (FAR, 9_001), (EXTERNAL, 5_000));
    home.wait_ms(2 * WHEEL_STEP_MS);
    assert_eq!(home.nat.mappings.len(), 0);
}

#[test]
fn rfc4787_req7_inside_addresses_are_validated() {
    // given packets with sources that can not be there (RFC 4787 REQ-7: as in RFC 3704)
    let mut home = Home::new();
    let spoofed = home.drop(Lan, Body::Udp, (FAR, 5_000), (OTHER, 9_000));
    let land = home.drop(Lan, Body::Udp, (GATEWAY, 5_000), (OTHER, 9_000));
    let martian = home.drop(Wan, Body::Udp, (ANN, 5_000), (EXTERNAL, 9_000));
    let mirror = home.drop(Wan, Body::Udp, (EXTERNAL, 5_000), (EXTERNAL, 9_000));
    // then each is dropped for its source, and opens nothing
    for reason in [spoofed, land, martian, mirror] {
        assert_eq!(reason, DropReason::Source);
    }
    assert_eq!(home.nat.report().mappings, 0);
}

#[test]
fn rfc4787_req8_address_dependent_filtering() {
    // given a mapping that sent to one host
    let mut home = Home::new();
    home.pass(Lan, Body::Udp, (ANN, 5_000), (FAR, 9_000));
    // when that host answers from another port, then it gets in, and is answered as it came
    let inbound = home.pass(Wan, Body::Udp, (FAR, 9_999), (EXTERNAL, 5_000));
    assert_eq!(inbound, ((FAR, 9_999), (ANN, 5_000)));
    let back = home.pass(Lan, Body::Udp, (ANN, 5_000), (FAR, 9_999));
    assert_eq!(back, ((EXTERNAL, 5_000), (FAR, 9_999)));
    // and when another host tries, then it does not
    let stranger = home.drop(Wan, Body::Udp, (OTHER, 9_000), (EXTERNAL, 5_000));
    assert_eq!(stranger, DropReason::Filtered);
}

#[test]
fn rfc4787_req9_hairpinning_presents_the_external_source() {
    // given two home hosts with mappings
    let mut home = Home::new();
    let ann = home.pass(Lan, Body::Udp, (ANN, 5_000), (FAR, 9_000)).0;
    let bob = home.pass(Lan, Body::Udp, (BOB, 6_000), (FAR, 9_000)).0;
    // when one sends to the other's external endpoint
    let there = home.pass(Lan, Body::Udp, (ANN, 5_000), bob);
    // then it comes from the sender's own external endpoint, and the answer goes back the same way
    assert_eq!(there, (ann, (BOB, 6_000)));
    let back = home.pass(Lan, Body::Udp, (BOB, 6_000), ann);
    assert_eq!(back, (bob, (ANN, 5_000)));
}

#[test]
fn rfc4787_req9_a_host_reaches_itself_by_its_other_mapping() {
    // given two sockets of one host, as a STUN client's hairpin test has them
    let mut home = Home::new();
    let first = home.pass(Lan, Body::Udp, (ANN, 5_000), (FAR, 9_000)).0;
    // when one sends to the other's external endpoint, then it arrives
    let there = home.pass(Lan, Body::Udp, (ANN, 5_001), first);
    assert_eq!(there, ((EXTERNAL, 5_001), (ANN, 5_000)));
}

#[test]
fn rfc4787_req12_icmp_does_not_end_a_mapping() {
    // given a flow and an error about it
    let mut home = Home::new();
    let sent = packet(Body::Udp, (EXTERNAL, 5_000), (FAR, 9_000), b"data");
    home.pass(Lan, Body::Udp, (ANN, 5_000), (FAR, 9_000));
    let unreachable = etherparse::Icmpv4Type::DestinationUnreachable(
        etherparse::icmpv4::DestUnreachableHeader::Port,
    );
    let error = icmp_error(unreachable, FAR, EXTERNAL, &sent);
    assert!(matches!(home.run(Wan, &error), Out::Forward(_)));
    // when the flow goes on, then its mapping is the same
    let seen = home.pass(Lan, Body::Udp, (ANN, 5_000), (OTHER, 9_000)).0;
    assert_eq!(seen, (EXTERNAL, 5_000));
    home.pass(Wan, Body::Udp, (FAR, 9_000), (EXTERNAL, 5_000));
}

#[test]
fn rfc4787_req13_too_big_is_answered() {
    // given a packet of 1,428 bytes that must not be cut, and a WAN of 1,400
    let mut home = Home::new();
    let big = packet(Body::Udp, (ANN, 5_000), (FAR, 9_000), &[7; 1_400]);
    let df = with_ip(&big, |ip| ip.dont_fragment = true);
    // when it is sent, then its sender learns the MTU, and no flow is opened
    let Out::Reply(reply) = home.run(Lan, &df) else {
        panic!("no answer");
    };
    let error = error_seen(&reply);
    assert_eq!((error.from, error.to), (GATEWAY, ANN));
    assert_eq!(error.about, ((ANN, 5_000), (FAR, 9_000)));
    let needed = etherparse::icmpv4::DestUnreachableHeader::FragmentationNeeded {
        next_hop_mtu: 1_400,
    };
    assert_eq!(
        error.kind,
        etherparse::Icmpv4Type::DestinationUnreachable(needed)
    );
    assert_eq!(home.nat.report().mappings, 0);
    // and one that may be cut is left to the kernel to cut
    assert!(matches!(home.run(Lan, &big), Out::Forward(_)));
}

#[test]
fn rfc4787_req14_fragments_in_order_follow_the_first() {
    // given a datagram in three fragments
    let mut home = Home::new();
    let whole = packet(Body::Udp, (ANN, 5_000), (FAR, 9_000), &[9; 2_000]);
    let (_, payload) = etherparse::Ipv4Header::from_slice(&whole).unwrap();
    let part = |start: usize, end: usize, more: bool| {
        let bytes = ip(etherparse::IpNumber::UDP, ANN, FAR, &payload[start..end]);
        with_ip(&bytes, |ip| {
            ip.more_fragments = more;
            ip.fragment_offset = u16::try_from(start / 8).unwrap().try_into().unwrap();
        })
    };
    let parts = [
        part(0, 800, true),
        part(800, 1_600, true),
        part(1_600, payload.len(), false),
    ];
    // when a later one comes first, then it is dropped for that
    assert_eq!(
        home.run(Lan, &parts[1]),
        Out::Drop(DropReason::FragmentUnknown)
    );
    // and when all come in order, then together they are the translated datagram
    let mut out = Vec::new();
    for bytes in &parts {
        let Out::Forward(bytes) = home.run(Lan, bytes) else {
            panic!("not forwarded");
        };
        let (header, payload) = etherparse::Ipv4Header::from_slice(&bytes).unwrap();
        assert_eq!(header.header_checksum, header.calc_header_checksum());
        assert_eq!(header.source, EXTERNAL.octets());
        out.extend_from_slice(payload);
    }
    let again = ip(etherparse::IpNumber::UDP, EXTERNAL, FAR, &out);
    assert_eq!(ends(&again), ((EXTERNAL, 5_000), (FAR, 9_000)));
    // and after the reassembly time a straggler is dropped
    home.wait_ms(FRAGMENT_TIMEOUT_MS);
    assert_eq!(
        home.run(Lan, &parts[1]),
        Out::Drop(DropReason::FragmentUnknown)
    );
}

#[test]
fn no_two_inside_endpoints_share_an_external_port() {
    // given 3,000 endpoints of which all want one of 30 ports
    let mut home = Home::new();
    let mut seen = HashSet::new();
    for host in 10..110 {
        for port in 5_000..5_030 {
            let from = (core::net::Ipv4Addr::new(192, 168, 1, host), port);
            // when each is mapped, then each has a port of its own
            let external = home.pass(Lan, Body::Udp, from, (FAR, 9_000)).0;
            assert!(seen.insert(external), "{external:?} twice");
        }
    }
}

#[test]
fn a_zero_checksum_stays_zero() {
    // given a datagram whose sender made no checksum (RFC 768)
    let mut home = Home::new();
    let bytes = packet(Body::UdpWithoutChecksum, (ANN, 5_000), (FAR, 9_000), b"x");
    // when it is translated, then it still has none
    let Out::Forward(out) = home.run(Lan, &bytes) else {
        panic!("not forwarded");
    };
    assert_eq!(out[26..28], [0, 0]);
}

#[test]
fn the_time_to_live_that_runs_out_here_is_answered_by_us() {
    // given the first packet of a traceroute
    let mut home = Home::new();
    let bytes = packet(Body::Udp, (ANN, 5_000), (FAR, 33_434), b"probe");
    let last = with_ip(&bytes, |ip| ip.time_to_live = 1);
    // when it arrives, then the gateway's own address answers, with the packet as it was sent
    let Out::Reply(reply) = home.run(Lan, &last) else {
        panic!("no answer");
    };
    let error = error_seen(&reply);
    assert!(matches!(
        error.kind,
        etherparse::Icmpv4Type::TimeExceeded(_)
    ));
    assert_eq!((error.from, error.to), (GATEWAY, ANN));
    assert_eq!(error.about, ((ANN, 5_000), (FAR, 33_434)));
    assert_eq!(home.nat.counters().answered(DropReason::TtlExceeded), 1);
}

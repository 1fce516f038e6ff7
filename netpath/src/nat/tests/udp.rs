//! UDP, as it looks from inside of the machine; the RFC's requirements are in `tests/rfc`.

use super::support::*;
use crate::counters::DropReason;
use crate::limits::*;
use crate::nat::NatEvent;
use core::net::Ipv4Addr;
use hearth_model::protocol::Zone::{Lan, Service, Wan};
use std::collections::HashSet;

#[test]
fn the_gateways_own_ports_are_nobody_elses() {
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
fn an_ended_flow_leaves_nothing_behind() {
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
fn sources_that_can_not_be_there_are_dropped_by_reason() {
    use DropReason::{LandAttack, ReversePath, Source, SourceBroadcast};
    let at = Ipv4Addr::new;
    let mut home = Home::new();
    for (zone, from, to, reason) in [
        // reverse path: an address of another side
        (Lan, FAR, OTHER, ReversePath),
        (Lan, WEB, OTHER, ReversePath),
        (Wan, ANN, EXTERNAL, ReversePath),
        (Wan, WEB, EXTERNAL, ReversePath),
        (Service, WEB, FAR, ReversePath),
        (Service, ANN, FAR, ReversePath),
        // land: the gateway itself, or the destination too
        (Lan, GATEWAY, OTHER, LandAttack),
        (Lan, EXTERNAL, OTHER, LandAttack),
        (Wan, EXTERNAL, EXTERNAL, LandAttack),
        (Wan, ROUTER, EXTERNAL, LandAttack),
        (Lan, FAR, FAR, LandAttack),
        // addresses of many
        (Lan, at(192, 168, 1, 255), OTHER, SourceBroadcast),
        (Lan, at(192, 168, 1, 0), OTHER, SourceBroadcast),
        (Lan, at(255, 255, 255, 255), OTHER, SourceBroadcast),
        (Wan, at(203, 0, 113, 255), EXTERNAL, SourceBroadcast),
        (Wan, at(224, 0, 0, 1), EXTERNAL, SourceBroadcast),
        // of nobody
        (Lan, at(0, 0, 0, 0), OTHER, Source),
        (Wan, at(127, 0, 0, 1), EXTERNAL, Source),
        (Wan, at(240, 0, 0, 1), EXTERNAL, Source),
    ] {
        // when a packet comes from there, then it is dropped for that, and opens nothing
        let before = home.nat.counters().dropped(reason);
        let dropped = home.drop(zone, Body::Udp, (from, 5_000), (to, 9_000));
        assert_eq!(dropped, reason, "{zone:?} {from} -> {to}");
        assert_eq!(home.nat.counters().dropped(reason), before + 1);
    }
    assert_eq!(home.nat.report().mappings, 0);
}

#[test]
fn port_0_is_nobodys() {
    let mut home = Home::new();
    for (from, to) in [(0, 9_000), (5_000, 0), (0, 0)] {
        for body in [Body::Udp, Body::Tcp(Flags::Syn)] {
            let reason = home.drop(Lan, body, (ANN, from), (FAR, to));
            assert_eq!(reason, DropReason::PortZero);
        }
    }
}

#[test]
fn a_filtered_datagram_is_counted_as_such() {
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

/// The parts of a datagram of Ann's.
fn parts(identification: u16) -> [Vec<u8>; 3] {
    let whole = packet(Body::Udp, (ANN, 5_000), (FAR, 9_000), &[9; 2_000]);
    let (_, payload) = etherparse::Ipv4Header::from_slice(&whole).unwrap();
    [(0, 800), (800, 1_600), (1_600, payload.len())].map(|(start, end)| {
        let bytes = ip(etherparse::IpNumber::UDP, ANN, FAR, &payload[start..end]);
        with_ip(&bytes, |ip| {
            ip.more_fragments = end < payload.len();
            ip.fragment_offset = u16::try_from(start / 8).unwrap().try_into().unwrap();
            ip.identification = identification;
        })
    })
}

#[test]
fn a_fragment_waits_for_its_first_one_in_bounds() {
    // given a later fragment whose first one has not come
    let mut home = Home::new();
    let [first, second, third] = parts(1);
    assert_eq!(home.run(Lan, &second), Out::Held);
    assert!(home.nat.counters().balanced());
    // when it does not come in time, then the fragment is given up, and counted
    home.wait_ms(FRAGMENT_HELD_MS);
    assert_eq!(home.nat.counters().dropped(DropReason::FragmentUnknown), 1);
    assert_eq!(home.nat.next_deadline(), None);
    // when it comes in time, then all that wait are given out
    assert_eq!(home.run(Lan, &third), Out::Held);
    assert_eq!(home.run(Lan, &second), Out::Held);
    assert!(matches!(home.run(Lan, &first), Out::Forward(_)));
    let mut out = [0; FRAGMENT_HELD_MAX];
    for expected in [&third, &second] {
        let released = home.nat.released(&mut out, home.now).unwrap();
        assert_eq!(released[12..16], EXTERNAL.octets());
        assert_eq!(released[20..], expected[20..]);
    }
    assert_eq!(home.nat.released(&mut out, home.now), None);
    // and after the reassembly time, what is late waits anew
    home.wait_ms(FRAGMENT_TIMEOUT_MS);
    assert_eq!(home.run(Lan, &second), Out::Held);
    assert!(home.nat.counters().balanced());
}

#[test]
fn a_group_without_room_keeps_what_it_has() {
    // given a host that has as many fragments waiting as its group keeps
    let mut home = Home::new();
    let [first, second, _] = parts(0);
    for identification in 0..u16::try_from(FRAGMENT_GROUP_HELD).unwrap() {
        let [_, second, _] = parts(identification);
        assert_eq!(home.run(Lan, &second), Out::Held);
    }
    // when one more comes, then it is dropped for that, and the first one's is still there
    let [_, more, _] = parts(999);
    assert_eq!(home.run(Lan, &more), Out::Drop(DropReason::FragmentNoRoom));
    assert!(matches!(home.run(Lan, &first), Out::Forward(_)));
    let mut out = [0; FRAGMENT_HELD_MAX];
    let released = home.nat.released(&mut out, home.now).unwrap();
    assert_eq!(released[20..], second[20..]);
    // and then there is room again
    assert_eq!(home.run(Lan, &more), Out::Held);
    assert!(home.nat.counters().balanced());
}

#[test]
fn a_fragment_that_is_held_goes_nowhere_when_its_flow_has_gone() {
    // given one that was released too late: its flow ended in between
    let mut home = Home::new();
    let [first, second, _] = parts(1);
    home.run(Lan, &second);
    home.run(Lan, &first);
    home.event(NatEvent::WanAddress(Some(lease(Ipv4Addr::new(
        203, 0, 113, 77,
    )))));
    let mut out = [0; FRAGMENT_HELD_MAX];
    assert_eq!(home.nat.released(&mut out, home.now), None);
    assert_eq!(home.nat.counters().dropped(DropReason::FragmentUnknown), 1);
    assert!(home.nat.counters().balanced());
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

#[test]
fn a_hairpin_keeps_the_mapping_that_it_goes_by() {
    // given a hairpin to a mapping whose own flow ends, while the hairpin goes on
    let mut home = Home::new();
    let bob = home.pass(Lan, Body::Udp, (BOB, 6_000), (FAR, DNS_PORT)).0;
    let ann = home.pass(Lan, Body::Udp, (ANN, 5_000), bob).0;
    home.wait_ms(UDP_DNS_TIMEOUT_MS + 2 * WHEEL_STEP_MS);
    assert_eq!(home.nat.sessions.len(), 1);
    // when another host uses the same port, then it does not get the external one, which is still bob's
    let other = home.pass(Lan, Body::Udp, (ANN, 6_000), (FAR, 9_000)).0;
    assert_ne!(other, bob);
    assert_eq!(home.pass(Lan, Body::Udp, (BOB, 6_000), ann).0, bob);
    // and when all is over, then nothing is left
    home.wait_ms(UDP_TIMEOUT_MS + 2 * WHEEL_STEP_MS);
    assert_eq!((home.nat.sessions.len(), home.nat.mappings.len()), (0, 0));
}

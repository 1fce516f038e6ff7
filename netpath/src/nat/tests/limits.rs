//! Full tables and hostile loads: the new are refused, the live are unharmed.

use super::support::*;
use crate::counters::DropReason;
use crate::limits::*;
use core::net::Ipv4Addr;
use hearth_model::protocol::{NetworkPolicy, Transport, Zone::*};

/// Host number `n` of the home, beginning with 10.
fn host(n: usize) -> Ipv4Addr {
    Ipv4Addr::new(192, 168, 1, u8::try_from(n + 10).unwrap())
}

/// Flow number `n`: as many as wanted, all different.
fn remote(n: usize) -> End {
    (
        Ipv4Addr::from(0x0808_0000 + u32::try_from(n).unwrap()),
        9_000,
    )
}

#[test]
fn a_hosts_share_is_its_own() {
    // given a host that opens flows until it is refused
    let mut home = Home::new();
    home.pass(Lan, Body::Udp, (BOB, 6_000), (FAR, 9_000));
    for n in 0..HOST_SHARE as usize {
        home.pass(Lan, Body::Udp, (ANN, 5_000), remote(n));
    }
    let flood = packet(Body::Udp, (ANN, 5_000), remote(HOST_SHARE as usize), b"");
    let Out::Reply(reply) = home.run(Lan, &flood) else {
        panic!("no answer");
    };
    // then it is told so (RFC 5508 REQ-8), and counted
    let kind = etherparse::icmpv4::DestUnreachableHeader::FilterProhibited;
    let kind = etherparse::Icmpv4Type::DestinationUnreachable(kind);
    assert_eq!(error_seen(&reply).kind, kind);
    assert_eq!(home.nat.counters().refused(DropReason::HostShareFull), 1);
    assert_eq!(home.nat.report().mappings_refused, 1);
    // and all its flows live, and other hosts open new ones
    home.pass(Lan, Body::Udp, (ANN, 5_000), remote(0));
    home.pass(Wan, Body::Udp, (FAR, 9_000), (EXTERNAL, 6_000));
    home.pass(Lan, Body::Udp, (BOB, 6_001), (FAR, 9_000));
    // and its own share is free again when they end
    home.wait_ms(UDP_TIMEOUT_MS + 2 * WHEEL_STEP_MS);
    assert_eq!(home.nat.report().mappings, 0);
    assert!(matches!(home.run(Lan, &flood), Out::Forward(_)));
}

#[test]
fn full_table_refuses_and_counts_and_evicts_nothing() {
    // given eight hosts that fill the table with TCP flows
    let mut home = Home::new();
    let share = HOST_SHARE as usize;
    let syn = Body::Tcp(Flags::Syn);
    for n in 0..SESSIONS_MAX {
        home.pass(Lan, syn, (host(n / share), 5_000), remote(n % share));
    }
    assert_eq!(home.nat.report().mappings, home.nat.report().mappings_max);
    // when a ninth comes, then it is refused and counted
    let newcomer = packet(syn, (host(8), 5_000), remote(0), b"");
    assert!(matches!(home.run(Lan, &newcomer), Out::Reply(_)));
    assert_eq!(home.nat.counters().refused(DropReason::TableFull), 1);
    // and every live flow still passes
    for n in (0..SESSIONS_MAX).step_by(97) {
        home.pass(Lan, syn, (host(n / share), 5_000), remote(n % share));
    }
    // and a refused flow has left nothing behind
    assert_eq!(home.nat.hosts.len(), 8);
    assert_eq!(home.nat.mappings.len(), 8);
    // and after their time the table is empty, in one tick after a long pause too
    home.wait_ms(TCP_TRANSITORY_TIMEOUT_MS * 1_000);
    assert_eq!(home.nat.report().mappings, 0);
    assert!(matches!(home.run(Lan, &newcomer), Out::Forward(_)));
}

#[test]
fn a_flood_from_the_internet_uses_the_services_share_only() {
    // given a service that is open to the Internet
    let mut home = Home::with_web(NetworkPolicy::None);
    home.forward(Wan, Transport::Tcp, 443, 443);
    let syn = Body::Tcp(Flags::Syn);
    for n in 0..HOST_SHARE as usize {
        home.pass(Wan, syn, remote(n), (EXTERNAL, 443));
    }
    // when the flood goes on, then it is dropped without a word to the sender
    let reason = home.drop(Wan, syn, remote(HOST_SHARE as usize), (EXTERNAL, 443));
    assert_eq!(reason, DropReason::HostShareFull);
    // and the home does not notice
    home.connect((Lan, Wan), (ANN, 5_000), (FAR, 80));
    // and what the spoofed senders never confirmed is gone in four minutes, though the service
    // answered every one
    home.wait_ms(TCP_TRANSITORY_TIMEOUT_MS + 2 * WHEEL_STEP_MS);
    home.pass(Wan, syn, remote(0), (EXTERNAL, 443));
}

#[test]
fn icmp_errors_are_limited_by_rate() {
    // given more refused packets in a second than may be answered
    let mut home = Home::with_web(NetworkPolicy::None);
    let mut answers = 0;
    for port in 0..ICMP_ERRORS_PER_SECOND * 2 {
        let from = (WEB, 1_024 + u16::try_from(port).unwrap());
        let bytes = packet(Body::Udp, from, (FAR, 9_000), b"");
        answers += u32::from(matches!(home.run(Service, &bytes), Out::Reply(_)));
    }
    // then the rest is dropped, and the next second answers again
    assert_eq!(answers, ICMP_ERRORS_PER_SECOND);
    home.wait_ms(1_000);
    let bytes = packet(Body::Udp, (WEB, 1_024), (FAR, 9_000), b"");
    assert!(matches!(home.run(Service, &bytes), Out::Reply(_)));
    assert!(home.nat.counters().balanced());
}

#[test]
fn a_flood_of_first_fragments_displaces_only_its_own() {
    // given a datagram under way from one host
    let mut home = Home::new();
    let first = |from: Ipv4Addr, id: u16| {
        let bytes = packet(Body::Udp, (from, 5_000), (FAR, 9_000), &[1; 64]);
        with_ip(&bytes, |ip| {
            ip.more_fragments = true;
            ip.identification = id;
        })
    };
    let later = |from: Ipv4Addr, id: u16| {
        let bytes = ip(etherparse::IpNumber::UDP, from, FAR, &[2; 64]);
        with_ip(&bytes, |ip| {
            ip.fragment_offset = 9.try_into().unwrap();
            ip.identification = id;
        })
    };
    home.run(Lan, &first(ANN, 1));
    // when another host of another group sends thousands
    for id in 0..5_000 {
        home.run(Lan, &first(BOB, id));
    }
    // then the first one's datagram is still known
    assert!(matches!(home.run(Lan, &later(ANN, 1)), Out::Forward(_)));
    assert!(matches!(home.run(Lan, &later(BOB, 4_999)), Out::Forward(_)));
    assert_eq!(home.run(Lan, &later(BOB, 0)), Out::Held);
}

#[test]
fn tiny_and_overlapping_fragments_are_dropped() {
    // given a first fragment with half a TCP header, and one that would overwrite its flags
    let mut home = Home::new();
    let tcp = |payload: &[u8], offset: u16, more: bool| {
        let bytes = ip(etherparse::IpNumber::TCP, ANN, FAR, payload);
        with_ip(&bytes, |ip| {
            ip.more_fragments = more;
            ip.fragment_offset = offset.try_into().unwrap();
        })
    };
    // then neither passes (RFC 1858)
    let tiny = Out::Drop(DropReason::FragmentTiny);
    assert_eq!(
        home.run(Lan, &tcp(&[0, 80, 0, 80, 0, 0, 0, 0], 0, true)),
        tiny
    );
    assert_eq!(home.run(Lan, &tcp(&[0; 24], 1, false)), tiny);
}

#[test]
fn two_flows_that_would_look_the_same_are_told_apart() {
    // given two ports of the gateway that lead to one of a service, and a flow by the first
    let mut home = Home::with_web(NetworkPolicy::None);
    home.forward(Lan, Transport::Tcp, 8_080, 80);
    home.forward(Lan, Transport::Tcp, 8_081, 80);
    home.connect((Lan, Service), (ANN, 5_000), (GATEWAY, 8_080));
    // when the same endpoint comes by the second, then the service could not tell them apart
    let syn = packet(Body::Tcp(Flags::Syn), (ANN, 5_000), (GATEWAY, 8_081), b"");
    let Out::Reply(_) = home.run(Lan, &syn) else {
        panic!("no answer");
    };
    assert_eq!(home.nat.counters().answered(DropReason::Conflict), 1);
    // and another port of it is another flow
    home.connect((Lan, Service), (ANN, 5_001), (GATEWAY, 8_081));
}

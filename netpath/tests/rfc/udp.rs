//! RFC 4787: unicast UDP.

use super::packets::*;
use super::world::*;
use etherparse::Icmpv4Type::DestinationUnreachable;
use etherparse::icmpv4::DestUnreachableHeader;
use hearth_model::protocol::Zone::{Lan, Wan};
use hearth_netpath::limits::*;
use std::collections::HashSet;
use std::net::Ipv4Addr;

pub fn rfc4787_req_1_endpoint_independent_mapping(home: &mut Home<'_>) {
    // when one inside endpoint sends to two hosts, and to two ports of one
    let seen = [(FAR, 9_000), (OTHER, 9_000), (OTHER, 9_001)]
        .map(|to| home.out(Body::Udp, (ANN, 5_000), to));
    // then all of them see the same external endpoint
    assert_eq!(seen[0].0, EXTERNAL);
    assert_eq!(seen, [seen[0]; 3]);
    // and that holds where its own port was another's already
    let taken = home.out(Body::Udp, (BOB, 5_000), (FAR, 9_000));
    assert_ne!(taken, seen[0]);
    assert_eq!(home.out(Body::Udp, (BOB, 5_000), (OTHER, 9_000)), taken);
}

pub fn rfc4787_req_2_paired_pooling(home: &mut Home<'_>) {
    // when a host opens several flows, then all have the one external address
    for port in 5_000..5_010 {
        assert_eq!(home.out(Body::Udp, (ANN, port), (FAR, 9)).0, EXTERNAL);
    }
}

pub fn rfc4787_req_3_no_port_overloading(home: &mut Home<'_>) {
    // when hosts with the same ports send to the same destination, and to others
    let mut seen = HashSet::new();
    for host in [ANN, BOB] {
        for port in 5_000..5_010 {
            // then no two of them ever have the same external port
            let external = home.out(Body::Udp, (host, port), (FAR, 9_000));
            assert!(seen.insert(external), "{external:?} twice");
        }
    }
    let other = home.out(Body::Udp, (BOB, 6_000), (OTHER, 9_000));
    let same = home.out(Body::Udp, (ANN, 6_000), (FAR, 9_000));
    assert_ne!(other, same);
}

pub fn rfc4787_req_3a_the_same_range(home: &mut Home<'_>) {
    // given ports of both ranges, each wanted by two hosts
    for (port, range) in [(123, 1..1_024), (1_023, 1..1_024), (5_000, 1_024..65_535)] {
        for host in [ANN, BOB] {
            // then the external port is in the same range
            let external = home.out(Body::Udp, (host, port), (FAR, 9_000)).1;
            assert!(range.contains(&external), "{port} became {external}");
        }
    }
}

pub fn rfc4787_req_4_port_parity(home: &mut Home<'_>) {
    for port in [5_000, 5_001, 5_002, 5_003] {
        // given a port that is taken
        assert_eq!(home.out(Body::Udp, (ANN, port), (FAR, 9_000)).1, port);
        // when another host uses it too, then it gets one of the same parity
        let other = home.out(Body::Udp, (BOB, port), (FAR, 9_000)).1;
        assert_eq!(other % 2, port % 2);
    }
}

pub fn rfc4787_req_5_a_mapping_lasts_for_two_minutes(home: &mut Home<'_>) {
    // given a flow to a port that has no application of its own
    let seen = home.out(Body::Udp, (ANN, 5_000), (FAR, 9_000));
    // when two minutes pass without a packet, then an answer still gets in
    home.machine().wait_ms(2 * 60 * 1_000);
    assert_eq!(home.back(Body::Udp, (FAR, 9_000), seen), (ANN, 5_000));
}

pub fn rfc4787_req_5a_dns_has_a_shorter_timer(home: &mut Home<'_>) {
    home.out(Body::Udp, (ANN, 5_000), (FAR, DNS_PORT));
    home.machine()
        .wait_ms(UDP_DNS_TIMEOUT_MS + 2 * WHEEL_STEP_MS);
    assert_eq!(home.machine().flows(), 0);
}

pub fn rfc4787_req_5c_five_minutes_by_default(home: &mut Home<'_>) {
    let seen = home.out(Body::Udp, (ANN, 5_000), (FAR, 9_000));
    // when almost five minutes pass, then an answer still gets in
    home.machine().wait_ms(5 * 60 * 1_000 - 1);
    assert_eq!(home.back(Body::Udp, (FAR, 9_000), seen), (ANN, 5_000));
    // and when they are over, then none does, and nothing is left
    home.machine().wait_ms(1);
    home.filtered(Body::Udp, (FAR, 9_000), seen);
    home.machine().wait_ms(2 * WHEEL_STEP_MS);
    assert_eq!(home.machine().flows(), 0);
    assert_eq!(home.machine().nat.next_deadline(), None);
}

pub fn rfc4787_req_6_outbound_packets_refresh(home: &mut Home<'_>) {
    let seen = home.out(Body::Udp, (ANN, 5_000), (FAR, 9_000));
    // when the inside sends every four minutes, then the mapping lives for ever, to all it talks to
    for _ in 0..10 {
        home.machine().wait_ms(4 * 60 * 1_000);
        assert_eq!(home.out(Body::Udp, (ANN, 5_000), (OTHER, 9_000)), seen);
    }
    assert_eq!(home.out(Body::Udp, (ANN, 5_000), (FAR, 9_000)), seen);
}

pub fn rfc4787_req_6a_inbound_packets_do_not(home: &mut Home<'_>) {
    // given a flow of which, from some time on, only the outside sends, also from another port
    let seen = home.out(Body::Udp, (ANN, 5_000), (FAR, 9_000));
    home.machine().wait_ms(4 * 60 * 1_000);
    home.back(Body::Udp, (FAR, 9_000), seen);
    home.back(Body::Udp, (FAR, 9_001), seen);
    // then five minutes after the inside's last packet it is over
    home.machine().wait_ms(60 * 1_000);
    home.filtered(Body::Udp, (FAR, 9_000), seen);
    home.filtered(Body::Udp, (FAR, 9_001), seen);
}

pub fn rfc4787_req_8_address_dependent_filtering(home: &mut Home<'_>) {
    // given a mapping that sent to one host
    let seen = home.out(Body::Udp, (ANN, 5_000), (FAR, 9_000));
    // when that host answers from another port, then it gets in, and is answered as it came
    assert_eq!(home.back(Body::Udp, (FAR, 9_999), seen), (ANN, 5_000));
    assert_eq!(home.out(Body::Udp, (ANN, 5_000), (FAR, 9_999)), seen);
    // and when another host tries, then it does not
    home.filtered(Body::Udp, (OTHER, 9_000), seen);
}

pub fn rfc4787_req_9_hairpinning(home: &mut Home<'_>) {
    // given a home host with a mapping
    let bob = home.out(Body::Udp, (BOB, 6_000), (FAR, 9_000));
    // when another sends to it, then it arrives
    let there = home.pass((Lan, Lan), Body::Udp, (ANN, 5_000), bob).1;
    assert_eq!(there, (BOB, 6_000));
    // and a host reaches itself by its other socket's, as a STUN client tests it
    let there = home.pass((Lan, Lan), Body::Udp, (BOB, 6_001), bob).1;
    assert_eq!(there, (BOB, 6_000));
}

pub fn rfc4787_req_9a_hairpinning_shows_the_external_source(home: &mut Home<'_>) {
    let ann = home.out(Body::Udp, (ANN, 5_000), (FAR, 9_000));
    let bob = home.out(Body::Udp, (BOB, 6_000), (FAR, 9_000));
    // when one sends to the other, then it comes from the sender's external endpoint
    let there = home.pass((Lan, Lan), Body::Udp, (ANN, 5_000), bob);
    assert_eq!(there, (ann, (BOB, 6_000)));
    // and the answer goes back the same way
    let back = home.pass((Lan, Lan), Body::Udp, (BOB, 6_000), ann);
    assert_eq!(back, (bob, (ANN, 5_000)));
}

/// What an application gateway would rewrite: addresses and ports of the inside, in the data.
const TALK: &[u8] = b"REGISTER sip:far SIP/2.0\r\nContact: <sip:ann@192.168.1.10:5060>\r\n\r\n\
    v=0\r\nc=IN IP4 192.168.1.10\r\nm=audio 7078 RTP/AVP 0\r\n";

pub fn rfc4787_req_10_no_application_gateways(home: &mut Home<'_>) {
    // when SIP, TFTP or DNS talks about inside addresses, then the data is not looked into
    for port in [5_060, 69, 53] {
        let sent = packet(Body::Udp, (ANN, port + 5_000), (FAR, port), TALK);
        let seen = home.carry((Lan, Wan), &sent);
        assert_eq!(seen[28..], *TALK, "port {port}");
        // and nothing is opened for what it announces
        home.filtered(Body::Udp, (OTHER, 7_078), (EXTERNAL, 7_078));
    }
}

pub fn rfc4787_req_11_deterministic_behavior(home: &mut Home<'_>) {
    // given a host whose ports are all taken by another, so that each of its mappings is translated
    for port in 5_000..5_050 {
        home.out(Body::Udp, (ANN, port), (FAR, 9_000));
    }
    for port in 5_000..5_050 {
        // then mapping and filtering are what they are without a conflict
        let seen = home.out(Body::Udp, (BOB, port), (FAR, 9_000));
        assert_eq!(home.out(Body::Udp, (BOB, port), (OTHER, 9_001)), seen);
        assert_eq!(home.back(Body::Udp, (FAR, 9_000), seen), (BOB, port));
        home.filtered(Body::Udp, (Ipv4Addr::new(198, 51, 100, 9), 9_000), seen);
    }
}

/// A datagram from the home as it was seen outside, and an error about it.
fn error_about(home: &mut Home<'_>, from: End, reporter: Ipv4Addr) -> Vec<u8> {
    let sent = packet(Body::Udp, from, (FAR, 9_000), b"data");
    let seen = home.carry((Lan, Wan), &sent);
    icmp_error(
        DestinationUnreachable(DestUnreachableHeader::Port),
        reporter,
        EXTERNAL,
        &seen,
    )
}

pub fn rfc4787_req_12_icmp_does_not_end_a_mapping(home: &mut Home<'_>) {
    // given a flow, and every kind of ICMP about it or to its address
    let error = error_about(home, (ANN, 5_000), FAR);
    home.carry((Wan, Lan), &error);
    for kind in [4, 5, 9, 10, 13, 17] {
        let message = [kind, 0, !kind, 255, 0, 0, 0, 0];
        home.0.send(
            Wan,
            &ip(etherparse::IpNumber::ICMP, FAR, EXTERNAL, &message),
        );
        while home.0.next(Wan).is_some() {}
    }
    // when the flow goes on, then its mapping is the same
    let seen = home.out(Body::Udp, (ANN, 5_000), (OTHER, 9_000));
    assert_eq!(home.back(Body::Udp, (FAR, 9_000), seen), (ANN, 5_000));
}

pub fn rfc4787_req_12a_errors_of_any_source_pass(home: &mut Home<'_>) {
    // given a flow, when a router on its way reports, whom nobody has ever sent to, then it gets in
    let error = error_about(home, (ANN, 5_000), OTHER);
    let seen = error_seen(&home.carry((Wan, Lan), &error));
    assert_eq!((seen.from, seen.to), (OTHER, ANN));
}

pub fn rfc4787_req_12b_destination_unreachable(home: &mut Home<'_>) {
    let error = error_about(home, (ANN, 5_000), FAR);
    let seen = error_seen(&home.carry((Wan, Lan), &error));
    assert_eq!(
        seen.kind,
        DestinationUnreachable(DestUnreachableHeader::Port)
    );
    assert_eq!(seen.about, ((ANN, 5_000), (FAR, 9_000)));
}

pub fn rfc4787_req_13_too_big_is_answered(home: &mut Home<'_>) {
    // given a packet larger than the Internet's link, which must not be cut
    let big = packet(Body::Udp, (ANN, 5_000), (FAR, 9_000), &[7; 1_400]);
    let whole = with_ip(&big, |ip| ip.dont_fragment = true);
    // when it is sent, then its sender learns the MTU
    let error = error_seen(&home.carry((Lan, Lan), &whole));
    assert_eq!((error.from, error.to), (GATEWAY, ANN));
    assert_eq!(error.about, ((ANN, 5_000), (FAR, 9_000)));
    let next_hop_mtu = WAN_MTU;
    let needed = DestUnreachableHeader::FragmentationNeeded { next_hop_mtu };
    assert_eq!(error.kind, DestinationUnreachable(needed));
}

pub fn rfc4787_req_13a_what_may_be_cut_is_cut(home: &mut Home<'_>) {
    // given the same packet, but one that may be cut
    let big = packet(Body::Udp, (ANN, 5_000), (FAR, 9_000), &[7; 1_400]);
    home.0.send(Lan, &big);
    let mut parts = Vec::new();
    while let Some(part) = home.0.next(Wan) {
        parts.push(part);
    }
    // then it arrives: whole from the machine, whose packets the kernel cuts, or in order in parts
    let in_virtual_time = home.0.machine().is_some();
    assert_eq!(parts.len(), if in_virtual_time { 1 } else { 2 });
    let mut data = Vec::new();
    for part in &parts {
        let (header, payload) = etherparse::Ipv4Header::from_slice(part).unwrap();
        let at = usize::from(header.fragment_offset.value()) * 8;
        assert_eq!(at, data.len(), "in order");
        assert!(in_virtual_time || header.total_len <= WAN_MTU);
        assert_eq!(header.source, EXTERNAL.octets());
        data.extend_from_slice(payload);
    }
    let seen = ends(&ip(etherparse::IpNumber::UDP, EXTERNAL, FAR, &data));
    assert_eq!(seen, ((EXTERNAL, 5_000), (FAR, 9_000)));
}

//! RFC 5508, requirement by requirement.

use super::support::*;
use crate::counters::DropReason;
use crate::limits::*;
use etherparse::Icmpv4Type::{self, DestinationUnreachable, TimeExceeded};
use etherparse::icmpv4::{DestUnreachableHeader, TimeExceededCode};
use hearth_model::protocol::{NetworkPolicy, Transport, Zone, Zone::*};

const PORT: Icmpv4Type = DestinationUnreachable(DestUnreachableHeader::Port);
const TTL: Icmpv4Type = TimeExceeded(TimeExceededCode::TtlExceededInTransit);

#[track_caller]
fn passed(home: &mut Home, zone: Zone, bytes: &[u8]) -> ErrorSeen {
    match home.run(zone, bytes) {
        Out::Forward(bytes) => error_seen(&bytes),
        other => panic!("{other:?}"),
    }
}

#[test]
fn rfc5508_req1_queries_pass_and_keep_their_identifier() {
    // given two hosts that ping with the same identifier
    let mut home = Home::new();
    let ann = home.pass(Lan, Body::EchoRequest, (ANN, 77), (FAR, 0)).0;
    let bob = home.pass(Lan, Body::EchoRequest, (BOB, 77), (FAR, 0)).0;
    assert_eq!(ann, (EXTERNAL, 77));
    assert_ne!(bob.1, 77);
    // when both are answered, then each gets its own
    let back = home.pass(Wan, Body::EchoReply, (FAR, 0), bob);
    assert_eq!(back, ((FAR, 0), (BOB, 77)));
    // and the identifier is the same to every host (REQ-1a)
    let other = home.pass(Lan, Body::EchoRequest, (BOB, 77), (OTHER, 0)).0;
    assert_eq!(other, bob);
}

#[test]
fn rfc5508_req2_query_timer_of_sixty_seconds() {
    let mut home = Home::new();
    home.pass(Lan, Body::EchoRequest, (ANN, 77), (FAR, 0));
    home.wait_ms(ICMP_TIMEOUT_MS - 1);
    home.pass(Wan, Body::EchoReply, (FAR, 0), (EXTERNAL, 77));
    home.wait_ms(1 + 2 * WHEEL_STEP_MS);
    assert_eq!(home.nat.report().mappings, 0);
}

#[test]
fn rfc5508_req3_damaged_errors_are_dropped() {
    // given a flow, and errors about it with one checksum wrong
    let mut home = Home::new();
    home.pass(Lan, Body::Udp, (ANN, 5_000), (FAR, 9_000));
    let sent = packet(Body::Udp, (EXTERNAL, 5_000), (FAR, 9_000), b"data");
    let mut outer = icmp_error(PORT, FAR, EXTERNAL, &sent);
    outer[22] ^= 1;
    let mut damaged = sent.clone();
    damaged[8] ^= 1;
    let inner = icmp_error(PORT, FAR, EXTERNAL, &damaged);
    // then both are dropped
    assert_eq!(
        home.run(Wan, &outer),
        Out::Drop(DropReason::TransportChecksum)
    );
    assert_eq!(home.run(Wan, &inner), Out::Drop(DropReason::IpChecksum));
}

#[test]
fn rfc5508_req3b_options_of_the_embedded_packet_are_passed_over() {
    // given an error about a packet that got a record-route option on its way
    let mut home = Home::new();
    home.pass(Lan, Body::Udp, (ANN, 5_000), (FAR, 9_000));
    let sent = packet(Body::Udp, (EXTERNAL, 5_000), (FAR, 9_000), b"data");
    let longer = with_ip(&sent, |ip| {
        ip.options = [7, 7, 4, 0, 0, 0, 0, 0].into();
        ip.total_len += 8;
    });
    // when it comes in, then it reaches the sender
    let seen = passed(&mut home, Wan, &icmp_error(PORT, FAR, EXTERNAL, &longer));
    assert_eq!(seen.about, ((ANN, 5_000), (FAR, 9_000)));
}

#[test]
fn rfc5508_req4_inbound_errors_show_the_packet_as_it_was_sent() {
    for (name, body) in [
        ("udp", Body::Udp),
        ("udp without checksum", Body::UdpWithoutChecksum),
        ("tcp", Body::Tcp(Flags::Syn)),
        ("echo", Body::EchoRequest),
    ] {
        // given two hosts with the same port, so that the second one's is translated
        let mut home = Home::new();
        let to = if body == Body::EchoRequest {
            (FAR, 0)
        } else {
            (FAR, 9_000)
        };
        home.pass(Lan, body, (ANN, 5_000), to);
        let sent = match home.run(Lan, &packet(body, (BOB, 5_000), to, b"data")) {
            Out::Forward(bytes) => bytes,
            other => panic!("{other:?}"),
        };
        // when a router on the way reports an error, in full or with 8 bytes only
        for quoted in [&sent[..], &sent[..28]] {
            let seen = passed(&mut home, Wan, &icmp_error(TTL, OTHER, EXTERNAL, quoted));
            // then the sender gets it from that router, about the packet that it sent
            assert_eq!((seen.from, seen.to, seen.kind), (OTHER, BOB, TTL), "{name}");
            assert_eq!(seen.about.0.0, BOB, "{name}");
            assert_eq!(seen.about.1.0, FAR, "{name}");
            if body != Body::EchoRequest {
                assert_eq!(seen.about, ((BOB, 5_000), to), "{name}");
            }
        }
    }
}

#[test]
fn rfc5508_req4_errors_about_no_flow_are_dropped() {
    let mut home = Home::new();
    let never_sent = packet(Body::Udp, (EXTERNAL, 5_000), (FAR, 9_000), b"data");
    let error = icmp_error(PORT, FAR, EXTERNAL, &never_sent);
    assert_eq!(home.run(Wan, &error), Out::Drop(DropReason::IcmpUnrelated));
    // also where the error is sent to another address than the packet came from
    home.pass(Lan, Body::Udp, (ANN, 5_000), (FAR, 9_000));
    let lan = packet(Body::Udp, (ANN, 5_000), (FAR, 9_000), b"data");
    let odd = icmp_error(PORT, FAR, EXTERNAL, &lan);
    assert_eq!(home.run(Wan, &odd), Out::Drop(DropReason::IcmpUnrelated));
}

#[test]
fn rfc5508_req5_outbound_errors_hide_the_inside() {
    // given an inbound packet that a home host does not want
    let mut home = Home::new();
    home.pass(Lan, Body::Udp, (ANN, 5_000), (FAR, 9_000));
    let inbound = packet(Body::Udp, (FAR, 9_000), (EXTERNAL, 5_000), b"data");
    let Out::Forward(delivered) = home.run(Wan, &inbound) else {
        panic!("not delivered");
    };
    // when the host says so
    let seen = passed(&mut home, Lan, &icmp_error(PORT, ANN, FAR, &delivered));
    // then the outside hears it from our address, about the packet that it sent
    assert_eq!((seen.from, seen.to), (EXTERNAL, FAR));
    assert_eq!(seen.about, ((FAR, 9_000), (EXTERNAL, 5_000)));
}

#[test]
fn rfc5508_req5_a_service_is_hidden_behind_its_forward() {
    // given a service behind a port of the LAN address
    let mut home = Home::with_web(NetworkPolicy::None);
    home.forward(Lan, Transport::Udp, 514, 5_140);
    let request = packet(Body::Udp, (ANN, 5_000), (GATEWAY, 514), b"data");
    let Out::Forward(delivered) = home.run(Lan, &request) else {
        panic!("not delivered");
    };
    // when nobody listens there, then the client hears it from the address that it asked
    let seen = passed(&mut home, Service, &icmp_error(PORT, WEB, ANN, &delivered));
    assert_eq!((seen.from, seen.to), (GATEWAY, ANN));
    assert_eq!(seen.about, ((ANN, 5_000), (GATEWAY, 514)));
}

#[test]
fn rfc5508_req6_errors_neither_prolong_nor_end_a_query() {
    let mut home = Home::new();
    home.pass(Lan, Body::EchoRequest, (ANN, 77), (FAR, 0));
    let sent = packet(Body::EchoRequest, (EXTERNAL, 77), (FAR, 0), b"data");
    home.wait_ms(ICMP_TIMEOUT_MS - 1);
    passed(&mut home, Wan, &icmp_error(TTL, OTHER, EXTERNAL, &sent));
    assert_eq!(home.nat.report().mappings, 1, "not ended");
    home.wait_ms(1 + 2 * WHEEL_STEP_MS);
    assert_eq!(home.nat.report().mappings, 0, "not prolonged");
}

#[test]
fn rfc5508_req7_hairpinned_errors() {
    // given a hairpinned packet between two home hosts
    let mut home = Home::new();
    let bob = home.pass(Lan, Body::Udp, (BOB, 6_000), (FAR, 9_000)).0;
    let sent = packet(Body::Udp, (ANN, 5_000), bob, b"data");
    let Out::Forward(delivered) = home.run(Lan, &sent) else {
        panic!("not delivered");
    };
    // when its receiver reports an error to whom it seems to come from
    let seen = passed(&mut home, Lan, &icmp_error(PORT, BOB, EXTERNAL, &delivered));
    // then the sender gets it from the external address, about the packet that it sent
    assert_eq!((seen.from, seen.to), (EXTERNAL, ANN));
    assert_eq!(seen.about, ((ANN, 5_000), bob));
}

#[test]
fn rfc5508_req10_the_gateway_is_pinged_and_pings_itself() {
    let mut home = Home::new();
    for (zone, body, from, to) in [
        (Wan, Body::EchoRequest, (FAR, 5), (EXTERNAL, 0)),
        (Wan, Body::EchoReply, (FAR, 0), (EXTERNAL, 5)),
        (Lan, Body::EchoRequest, (ANN, 5), (GATEWAY, 0)),
        (Lan, Body::EchoRequest, (ANN, 5), (EXTERNAL, 0)),
    ] {
        assert_eq!(home.run(zone, &packet(body, from, to, b"data")), Out::Local);
    }
    // and it hears of errors about its own packets
    let own = packet(Body::Udp, (EXTERNAL, LOCAL_PORT_FIRST), (FAR, 53), b"data");
    assert_eq!(
        home.run(Wan, &icmp_error(PORT, FAR, EXTERNAL, &own)),
        Out::Local
    );
    let lan = packet(Body::Udp, (GATEWAY, 53), (ANN, 5_000), b"data");
    assert_eq!(
        home.run(Lan, &icmp_error(PORT, ANN, GATEWAY, &lan)),
        Out::Local
    );
}

#[test]
fn rfc5508_req11_other_messages_are_dropped() {
    let mut home = Home::new();
    for kind in [4, 5, 9, 10, 13, 17] {
        let bytes = ip(
            etherparse::IpNumber::ICMP,
            ANN,
            FAR,
            &[kind, 0, 0, 0, 0, 0, 0, 0],
        );
        assert_eq!(
            home.run(Lan, &bytes),
            Out::Drop(DropReason::IcmpType),
            "type {kind}"
        );
    }
}

#[test]
fn an_unsolicited_reply_opens_nothing() {
    let mut home = Home::new();
    let reason = home.drop(Lan, Body::EchoReply, (ANN, 0), (FAR, 7));
    assert_eq!(reason, DropReason::Unsolicited);
}

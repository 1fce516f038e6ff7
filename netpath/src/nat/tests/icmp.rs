//! ICMP, as it looks from inside of the machine; the RFC's requirements are in `tests/rfc`.

use super::support::*;
use crate::counters::DropReason;
use crate::limits::*;
use etherparse::Icmpv4Type::{self, DestinationUnreachable};
use etherparse::icmpv4::DestUnreachableHeader;
use hearth_model::protocol::{NetworkPolicy, Transport, Zone, Zone::*};

const PORT: Icmpv4Type = DestinationUnreachable(DestUnreachableHeader::Port);

#[track_caller]
fn passed(home: &mut Home, zone: Zone, bytes: &[u8]) -> ErrorSeen {
    match home.run(zone, bytes) {
        Out::Forward(bytes) => error_seen(&bytes),
        other => panic!("{other:?}"),
    }
}

#[test]
fn damaged_errors_are_counted_by_what_is_damaged() {
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
fn errors_about_no_flow_are_counted() {
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
fn a_service_that_reports_is_hidden_behind_its_forward() {
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
fn the_gateway_is_pinged_and_pings_itself() {
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
fn other_messages_are_counted() {
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

#[test]
fn an_identifier_of_0_turns_no_answer_into_a_question() {
    // given a flow whose identifier is 0 on both sides
    let mut home = Home::new();
    let seen = home.pass(Lan, Body::EchoRequest, (ANN, 0), (FAR, 0)).0;
    assert_eq!(seen, (EXTERNAL, 0));
    // when the inside answers and the outside asks, which look the same, then nothing passes by the flow
    let reason = home.drop(Lan, Body::EchoReply, (ANN, 0), (FAR, 0));
    assert_eq!(reason, DropReason::Unsolicited);
    let asks = packet(Body::EchoRequest, (FAR, 0), (EXTERNAL, 0), b"data");
    assert_eq!(home.run(Wan, &asks), Out::Local);
    // and the flow's own answer does
    home.pass(Wan, Body::EchoReply, (FAR, 0), (EXTERNAL, 0));
}

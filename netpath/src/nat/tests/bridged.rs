//! A service on the home's bridge: a host of the home, with no more of the gateway than any service.

use super::support::*;
use crate::counters::DropReason;
use crate::limits::LOCAL_PORT_FIRST;
use crate::nat::NatEvent;
use core::net::Ipv4Addr;
use hearth_model::protocol::{NetRefusal, NetworkPolicy, Transport, Zone::*};

/// The home's DHCP and DNS server.
const DNS: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 2);
const SYN: Body = Body::Tcp(Flags::Syn);
const SYN_ACK: Body = Body::Tcp(Flags::SynAck);

fn bridged(address: Ipv4Addr, policy: NetworkPolicy) -> NatEvent {
    NatEvent::AttachBridged {
        id: web_id(),
        address,
        policy,
    }
}

#[track_caller]
fn refused(home: &mut Home, body: Body, to: End, reason: DropReason) {
    let before = home.nat.counters().answered(reason);
    let out = home.run(Lan, &packet(body, (DNS, 5_000), to, b""));
    assert!(matches!(out, Out::Reply(_)), "{to:?}: {out:?}");
    assert_eq!(home.nat.counters().answered(reason), before + 1, "{to:?}");
}

#[test]
fn it_opens_what_its_policy_says() {
    for (policy, internet) in [
        (NetworkPolicy::None, false),
        (NetworkPolicy::Lan, false),
        (NetworkPolicy::Wan, true),
    ] {
        let mut home = Home::new();
        home.event(bridged(DNS, policy));
        // when it connects to the Internet, then it goes by a mapping or is told that it may not
        if internet {
            home.connect((Lan, Wan), (DNS, 5_000), (FAR, 80));
        } else {
            refused(&mut home, SYN, (FAR, 80), DropReason::ServicePolicy);
        }
        // and another host of the home does as ever
        home.connect((Lan, Wan), (ANN, 5_000), (FAR, 80));
    }
}

#[test]
fn the_gateway_takes_a_ping_and_answers_from_it_and_nothing_else() {
    // given the console of another service
    let mut home = Home::with_web(NetworkPolicy::Lan);
    home.forward(Lan, Transport::Tcp, 80, 80);
    home.forward(Wan, Transport::Tcp, 443, 443);
    let id = hearth_model::ServiceId::new(9).unwrap();
    home.event(NatEvent::AttachBridged {
        id,
        address: DNS,
        policy: NetworkPolicy::Wan,
    });
    // when it connects to a port or a socket of the gateway, or to a service, then it is refused
    for to in [(GATEWAY, 80), (GATEWAY, 22), (EXTERNAL, 443), (ROUTER, 80)] {
        refused(&mut home, SYN, to, DropReason::ServiceToGateway);
        refused(&mut home, Body::Udp, to, DropReason::ServiceToGateway);
    }
    refused(&mut home, SYN, (WEB, 80), DropReason::ServiceToService);
    let own = (GATEWAY, LOCAL_PORT_FIRST);
    refused(&mut home, SYN, own, DropReason::ServiceToGateway);
    // and its answers to the gateway's own questions pass, and so do pings
    for (body, to) in [
        (Body::Udp, own),
        (SYN_ACK, own),
        (Body::EchoRequest, (GATEWAY, 0)),
    ] {
        let bytes = packet(body, (DNS, 53), to, b"");
        assert_eq!(home.run(Lan, &bytes), Out::Local, "{body:?}");
    }
}

#[test]
fn it_has_an_address_of_the_home() {
    let mut home = Home::new();
    for address in [GATEWAY, FAR, WEB, Ipv4Addr::new(192, 168, 1, 255)] {
        let event = bridged(address, NetworkPolicy::Lan);
        let refusal = home.nat.event(event, home.now);
        assert_eq!(refusal, Err(NetRefusal::Malformed), "{address}");
    }
}

#[test]
fn a_change_of_policy_or_link_ends_what_it_had_opened() {
    // given a host that is not known to be a service yet, and then is one
    let mut home = Home::new();
    home.connect((Lan, Wan), (DNS, 5_000), (FAR, 80));
    home.event(bridged(DNS, NetworkPolicy::Wan));
    assert_eq!(home.nat.report().mappings, 0);
    // when its policy becomes another one, then its flows end, and when it is the same, they live on
    home.connect((Lan, Wan), (DNS, 5_000), (FAR, 80));
    home.event(bridged(DNS, NetworkPolicy::Wan));
    assert_eq!(home.nat.report().mappings, 1);
    home.event(bridged(DNS, NetworkPolicy::Lan));
    assert_eq!(home.nat.report().mappings, 0);
    // when it leaves, then its address is any host's
    home.event(NatEvent::Detach { id: web_id() });
    home.connect((Lan, Wan), (DNS, 5_000), (FAR, 80));

    // given a routed service with a port, when it is bridged, then the port is closed
    let mut home = Home::with_web(NetworkPolicy::Lan);
    home.forward(Lan, Transport::Tcp, 8_080, 80);
    home.connect((Lan, Service), (ANN, 5_000), (GATEWAY, 8_080));
    home.event(bridged(DNS, NetworkPolicy::Lan));
    assert_eq!(home.nat.report().mappings, 0);
    let syn = packet(SYN, (ANN, 5_000), (GATEWAY, 8_080), b"");
    assert_eq!(home.run(Lan, &syn), Out::Local);
    let reason = home.drop(Service, SYN, (WEB, 5_000), (ANN, 80));
    assert_eq!(reason, DropReason::ReversePath);
    // and no port can be opened to it
    let forward = hearth_model::protocol::Forward {
        id: web_id(),
        transport: Transport::Tcp,
        from: Lan,
        port: 8_080,
        to_port: 80,
    };
    let refusal = home.nat.event(NatEvent::Forward(forward), home.now);
    assert_eq!(refusal, Err(NetRefusal::NotAttached));
}

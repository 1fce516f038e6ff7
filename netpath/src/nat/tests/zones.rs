//! Who may reach whom: the home, the Internet, services and the gateway.

use super::support::*;
use crate::counters::DropReason;
use crate::limits::{
    DHCP_CLIENT_PORT, LOCAL_PORT_LAST, UDP_TIMEOUT_MS, UDP_UNANSWERED_TIMEOUT_MS, WHEEL_STEP_MS,
};
use crate::nat::NatEvent;
use core::net::Ipv4Addr;
use hearth_model::ServiceId;
use hearth_model::protocol::{
    Forward, NetRefusal, NetworkPolicy, Transport, WanLease, Zone, Zone::*,
};

const SYN: Body = Body::Tcp(Flags::Syn);
const ACK: Body = Body::Tcp(Flags::Ack);

#[track_caller]
fn refused(home: &mut Home, zone: Zone, from: End, to: End) {
    let Out::Reply(reply) = home.run(zone, &packet(SYN, from, to, b"")) else {
        panic!("{from:?} -> {to:?}: no answer");
    };
    let kind = etherparse::icmpv4::DestUnreachableHeader::FilterProhibited;
    let kind = etherparse::Icmpv4Type::DestinationUnreachable(kind);
    let seen = error_seen(&reply);
    assert_eq!((seen.kind, seen.about), (kind, (from, to)));
}

#[test]
fn a_home_host_reaches_a_service_by_the_gateways_port() {
    // given a web service on port 8080 of the LAN address
    let mut home = Home::with_web(NetworkPolicy::None);
    home.forward(Lan, Transport::Tcp, 8_080, 80);
    // when a home host connects, then the service sees the host itself, and the answer comes
    // from the port that was asked
    let (seen, target) = home.connect((Lan, Service), (ANN, 5_000), (GATEWAY, 8_080));
    assert_eq!((seen, target), ((ANN, 5_000), (WEB, 80)));
    // and the port is not open to the Internet
    assert_eq!(
        home.drop(Wan, SYN, (FAR, 9), (EXTERNAL, 8_080)),
        DropReason::Unsolicited
    );
    // and the service's other ports are not open to the home
    refused(&mut home, Lan, (ANN, 5_000), (WEB, 80));
}

#[test]
fn the_internet_reaches_a_service_by_a_forward() {
    let mut home = Home::with_web(NetworkPolicy::None);
    home.forward(Wan, Transport::Tcp, 443, 8_443);
    let (seen, target) = home.connect((Wan, Service), (FAR, 9_000), (EXTERNAL, 443));
    assert_eq!((seen, target), ((FAR, 9_000), (WEB, 8_443)));
    // and a home host by the same address, seen from outside (RFC 4787 REQ-9)
    let (seen, target) = home.connect((Lan, Service), (ANN, 5_000), (EXTERNAL, 443));
    assert_eq!((seen, target), ((EXTERNAL, 5_000), (WEB, 8_443)));
}

#[test]
fn datagrams_of_the_internet_keep_their_flow_to_a_service_alive() {
    // given a service that may open nothing, and its UDP port in the Internet
    let mut home = Home::with_web(NetworkPolicy::None);
    home.forward(Wan, Transport::Udp, 5_000, 5_001);
    let (asks, far, answers) = ((EXTERNAL, 5_000), (FAR, 7), (WEB, 5_001));
    for _ in 0..3 {
        // when a datagram comes, then the service's answer goes back, and the flow lives on
        assert_eq!(home.pass(Wan, Body::Udp, far, asks), (far, answers));
        home.wait_ms(UDP_UNANSWERED_TIMEOUT_MS - 1);
        assert_eq!(home.pass(Service, Body::Udp, answers, far), (asks, far));
        home.wait_ms(UDP_TIMEOUT_MS - 1);
    }
    assert_eq!(home.nat.report().mappings, 1, "it was one flow");
    // and a datagram does not shorten what the answer has given
    home.pass(Service, Body::Udp, answers, far);
    home.pass(Wan, Body::Udp, far, asks);
    home.wait_ms(UDP_TIMEOUT_MS - 1);
    assert_eq!(home.nat.report().mappings, 1);
    home.wait_ms(WHEEL_STEP_MS);
    assert_eq!(home.nat.report().mappings, 0);

    // when the sender is never answered, then it holds a row only shortly
    home.pass(Wan, Body::Udp, far, asks);
    home.wait_ms(UDP_UNANSWERED_TIMEOUT_MS + WHEEL_STEP_MS);
    assert_eq!(home.nat.report().mappings, 0);
}

#[test]
fn a_service_opens_what_its_policy_says() {
    use NetworkPolicy as P;
    for (policy, lan, wan) in [
        (P::None, false, false),
        (P::Lan, true, false),
        (P::Wan, true, true),
    ] {
        let mut home = Home::with_web(policy);
        // given a policy, when the service connects to a home host, then it does so untranslated
        if lan {
            let (seen, _) = home.connect((Service, Lan), (WEB, 5_000), (ANN, 22));
            assert_eq!(seen, (WEB, 5_000), "{policy:?}");
        } else {
            refused(&mut home, Service, (WEB, 5_000), (ANN, 22));
        }
        // and to the Internet by a mapping
        if wan {
            let (seen, _) = home.connect((Service, Wan), (WEB, 5_000), (FAR, 80));
            assert_eq!(seen, (EXTERNAL, 5_000), "{policy:?}");
        } else {
            refused(&mut home, Service, (WEB, 5_000), (FAR, 80));
        }
        // and never to the gateway or to another service, but for a ping of its router
        let other = Ipv4Addr::new(10, 213, 0, 6);
        for to in [GATEWAY, ROUTER, EXTERNAL, other] {
            refused(&mut home, Service, (WEB, 5_000), (to, 80));
        }
        let ping = packet(Body::EchoRequest, (WEB, 1), (ROUTER, 0), b"");
        assert_eq!(home.run(Service, &ping), Out::Local);
    }
}

#[test]
fn a_service_has_no_address_but_its_own() {
    let mut home = Home::with_web(NetworkPolicy::Wan);
    for source in [Ipv4Addr::new(10, 213, 0, 6), ROUTER, ANN, FAR, EXTERNAL] {
        let reason = home.drop(Service, SYN, (source, 5_000), (OTHER, 80));
        let own = [ROUTER, EXTERNAL].contains(&source);
        let expected = if own {
            DropReason::LandAttack
        } else {
            DropReason::ReversePath
        };
        assert_eq!(reason, expected, "{source}");
    }
}

#[test]
fn an_answer_after_our_restart_comes_from_the_forwards_port() {
    // given a machine that knows nothing of a connection to a forward
    let mut home = Home::with_web(NetworkPolicy::Wan);
    home.forward(Wan, Transport::Tcp, 443, 8_443);
    home.forward(Lan, Transport::Tcp, 8_080, 80);
    // when the service goes on with it, then it does so from the forward's port
    let seen = home.pass(Service, ACK, (WEB, 8_443), (FAR, 9_000)).0;
    assert_eq!(seen, (EXTERNAL, 443));
    home.pass(Wan, ACK, (FAR, 9_000), (EXTERNAL, 443));
    // and towards the home too
    let seen = home.pass(Service, ACK, (WEB, 80), (ANN, 5_000)).0;
    assert_eq!(seen, (GATEWAY, 8_080));
    home.pass(Lan, ACK, (ANN, 5_000), (GATEWAY, 8_080));
}

#[test]
fn forwards_are_refused_with_their_reason() {
    let mut home = Home::with_web(NetworkPolicy::None);
    let other = ServiceId::new(4).unwrap();
    home.event(NatEvent::Attach {
        id: other,
        address: Ipv4Addr::new(10, 213, 0, 6),
        policy: NetworkPolicy::None,
    });
    let good = Forward {
        id: web_id(),
        transport: Transport::Tcp,
        from: Wan,
        port: 443,
        to_port: 443,
    };
    // given a forward, sent twice: one forward
    home.event(NatEvent::Forward(good));
    home.event(NatEvent::Forward(good));
    let reserved = |port| NetRefusal::PortReserved { port };
    for (forward, refusal) in [
        (
            Forward { id: other, ..good },
            NetRefusal::PortTaken {
                port: 443,
                by: web_id(),
            },
        ),
        (Forward { port: 0, ..good }, reserved(0)),
        (Forward { to_port: 0, ..good }, reserved(0)),
        (
            Forward {
                port: DHCP_CLIENT_PORT,
                ..good
            },
            reserved(DHCP_CLIENT_PORT),
        ),
        (
            Forward {
                port: LOCAL_PORT_LAST,
                ..good
            },
            reserved(LOCAL_PORT_LAST),
        ),
        (
            Forward {
                from: Service,
                ..good
            },
            NetRefusal::Malformed,
        ),
        (
            Forward {
                id: ServiceId::new(9).unwrap(),
                port: 99,
                ..good
            },
            NetRefusal::NotAttached,
        ),
    ] {
        // when another is impossible, then the answer says why
        let event = NatEvent::Forward(forward);
        assert_eq!(home.nat.event(event, home.now), Err(refusal), "{forward:?}");
    }
    // and the table of forwards is bounded
    for port in 1_000..1_000 + 127 {
        home.event(NatEvent::Forward(Forward { port, ..good }));
    }
    let one_more = NatEvent::Forward(Forward {
        port: 2_000,
        ..good
    });
    assert_eq!(
        home.nat.event(one_more, home.now),
        Err(NetRefusal::ForwardsFull)
    );
}

#[test]
fn a_link_must_have_the_address_of_its_number() {
    let mut home = Home::new();
    let wrong = NatEvent::Attach {
        id: web_id(),
        address: Ipv4Addr::new(10, 213, 0, 6),
        policy: NetworkPolicy::None,
    };
    assert_eq!(home.nat.event(wrong, home.now), Err(NetRefusal::Malformed));
}

#[test]
fn a_mapping_never_takes_a_forwards_port() {
    // given a forward on a port of the dynamic range
    let mut home = Home::with_web(NetworkPolicy::None);
    home.forward(Wan, Transport::Udp, 5_000, 5_000);
    // when a home host uses that port, then its mapping has another one
    assert_ne!(home.pass(Lan, Body::Udp, (ANN, 5_000), (FAR, 9)).0.1, 5_000);
    // and when the forward is gone, then the port is free again
    home.event(NatEvent::Unforward { id: web_id() });
    assert_eq!(home.pass(Lan, Body::Udp, (BOB, 5_000), (FAR, 9)).0.1, 5_000);
}

#[test]
fn closing_a_port_ends_what_came_through_it_and_nothing_else() {
    let mut home = Home::with_web(NetworkPolicy::Wan);
    home.forward(Lan, Transport::Tcp, 8_080, 80);
    home.connect((Lan, Service), (ANN, 5_000), (GATEWAY, 8_080));
    home.connect((Service, Wan), (WEB, 6_000), (FAR, 80));
    home.connect((Service, Lan), (WEB, 6_001), (ANN, 22));
    home.connect((Lan, Wan), (ANN, 5_001), (FAR, 80));
    // when the ports are closed, then the client's flow ends and the others live on
    home.event(NatEvent::Unforward { id: web_id() });
    assert_eq!(home.nat.report().mappings, 3);
    // and when the policy becomes stricter, then those end that the service opened
    home.event(NatEvent::Attach {
        id: web_id(),
        address: WEB,
        policy: NetworkPolicy::None,
    });
    assert_eq!(home.nat.report().mappings, 1);
    home.event(NatEvent::Detach { id: web_id() });
    assert_eq!(
        home.drop(Service, SYN, (WEB, 1), (FAR, 80)),
        DropReason::ReversePath
    );
    home.pass(Lan, ACK, (ANN, 5_001), (FAR, 80));
}

#[test]
fn another_wan_address_ends_flows_and_the_same_one_does_not() {
    // given a connection
    let mut home = Home::with_web(NetworkPolicy::Lan);
    home.connect((Lan, Wan), (ANN, 5_000), (FAR, 80));
    home.connect((Service, Lan), (WEB, 6_001), (ANN, 22));
    // when the address goes, then the sender is told so
    home.event(NatEvent::WanAddress(None));
    let Out::Reply(reply) = home.run(Lan, &packet(ACK, (ANN, 5_000), (FAR, 80), b"")) else {
        panic!("no answer");
    };
    let network = etherparse::icmpv4::DestUnreachableHeader::Network;
    let network = etherparse::Icmpv4Type::DestinationUnreachable(network);
    assert_eq!(error_seen(&reply).kind, network);
    // and when it comes back, then the connection goes on
    home.event(NatEvent::WanAddress(Some(lease(EXTERNAL))));
    home.pass(Wan, ACK, (FAR, 80), (EXTERNAL, 5_000));
    // and when it is another one, then only the flows of the inside are left
    let new = Ipv4Addr::new(203, 0, 113, 77);
    home.event(NatEvent::WanAddress(Some(lease(new))));
    assert_eq!(home.nat.report().mappings, 1);
    let again = home.pass(Lan, SYN, (ANN, 5_000), (FAR, 80));
    assert_eq!(again.0, (new, 5_000));
}

#[test]
fn packets_to_no_host_are_dropped_by_reason() {
    let mut home = Home::new();
    let to = |a, b, c, d| (Ipv4Addr::new(a, b, c, d), 9);
    for (zone, from, to, reason) in [
        (Lan, (ANN, 9), to(255, 255, 255, 255), DropReason::Broadcast),
        (
            Lan,
            (Ipv4Addr::UNSPECIFIED, 68),
            to(255, 255, 255, 255),
            DropReason::Broadcast,
        ),
        (Lan, (ANN, 9), to(192, 168, 1, 255), DropReason::Broadcast),
        (Lan, (ANN, 9), to(192, 168, 1, 0), DropReason::Broadcast),
        (Wan, (FAR, 9), to(203, 0, 113, 255), DropReason::Broadcast),
        (Lan, (ANN, 9), to(224, 0, 0, 251), DropReason::Multicast),
        (Lan, (ANN, 9), to(127, 0, 0, 1), DropReason::Destination),
        (Lan, (ANN, 9), to(0, 1, 2, 3), DropReason::Destination),
        (Lan, (ANN, 9), to(250, 0, 0, 1), DropReason::Destination),
        (Lan, (ANN, 9), (BOB, 9), DropReason::LanToLan),
        (Wan, (FAR, 9), (ANN, 9), DropReason::NotOurs),
        (Wan, (FAR, 9), to(203, 0, 113, 9), DropReason::NotOurs),
        (
            Wan,
            (Ipv4Addr::new(127, 0, 0, 1), 9),
            (EXTERNAL, 9),
            DropReason::Source,
        ),
        (
            Wan,
            (Ipv4Addr::new(224, 0, 0, 1), 9),
            (EXTERNAL, 9),
            DropReason::SourceBroadcast,
        ),
        (Wan, (WEB, 9), (EXTERNAL, 9), DropReason::ReversePath),
        (
            Lan,
            (Ipv4Addr::new(192, 168, 1, 255), 9),
            (FAR, 9),
            DropReason::SourceBroadcast,
        ),
    ] {
        assert_eq!(
            home.drop(zone, Body::Udp, from, to),
            reason,
            "{from:?} -> {to:?}"
        );
    }
}

#[test]
fn home_hosts_reach_the_gateways_own_sockets() {
    let mut home = Home::new();
    for (body, to) in [
        (SYN, (GATEWAY, 22)),
        (Body::Udp, (GATEWAY, 53)),
        (SYN, (EXTERNAL, 22)),
    ] {
        assert_eq!(
            home.run(Lan, &packet(body, (ANN, 5_000), to, b"")),
            Out::Local
        );
    }
}

#[test]
fn dhcp_answers_go_to_the_dhcp_machine() {
    // given no address, when a server answers by broadcast, then the data comes out
    let mut home = Home::new();
    home.event(NatEvent::WanAddress(None));
    let server = (Ipv4Addr::new(192, 168, 1, 1), 67);
    let offer = packet(Body::Udp, server, (Ipv4Addr::BROADCAST, 68), b"offer");
    assert_eq!(home.run(Wan, &offer), Out::Dhcp(b"offer".to_vec()));
    // and a damaged one is dropped, and one from the home is none
    let mut damaged = offer.clone();
    *damaged.last_mut().unwrap() ^= 1;
    assert_eq!(
        home.run(Wan, &damaged),
        Out::Drop(DropReason::TransportChecksum)
    );
    assert_eq!(home.run(Lan, &offer), Out::Drop(DropReason::Broadcast));
    assert!(home.nat.counters().balanced());
}

#[test]
fn a_small_wan_prefix_has_no_broadcast_address() {
    // given a point-to-point lease (RFC 3021)
    let mut home = Home::new();
    home.event(NatEvent::WanAddress(Some(WanLease {
        address: EXTERNAL,
        prefix: 32,
        router: None,
    })));
    // when the only address of the network is sent to, then it is a host's
    let ping = packet(Body::EchoRequest, (FAR, 1), (EXTERNAL, 0), b"");
    assert_eq!(home.run(Wan, &ping), Out::Local);
}

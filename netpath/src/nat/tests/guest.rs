//! The guests' network: the Internet, and nobody else.

use super::home::GUEST_GATEWAY;
use super::support::*;
use crate::counters::DropReason;
use crate::limits::{CARRY_AFTER, HOST_SHARE};
use crate::nat::{Nat, NatConfig, NatEvent};
use core::net::Ipv4Addr;
use hearth_model::ServiceId;
use hearth_model::protocol::{
    ForwardTarget, HouseholdForward, NetRefusal, NetworkPolicy, Transport, WanPorts, Zone, Zone::*,
};

const SYN: Body = Body::Tcp(Flags::Syn);
const GUS: Ipv4Addr = Ipv4Addr::new(192, 168, 2, 10);
const HAL: Ipv4Addr = Ipv4Addr::new(192, 168, 2, 11);
const RESOLVER: Ipv4Addr = Ipv4Addr::new(192, 168, 2, 2);

/// Sends a packet that is refused, and its sender told so, and returns why.
#[track_caller]
fn refused(home: &mut Home, zone: Zone, from: End, to: End) -> DropReason {
    let before = home.nat.counters().clone();
    let Out::Reply(reply) = home.run(zone, &packet(SYN, from, to, b"")) else {
        panic!("{from:?} -> {to:?}: no answer");
    };
    assert_eq!(error_seen(&reply).about, (from, to));
    let after = home.nat.counters();
    let counted = |reason: &&DropReason| after.answered(**reason) > before.answered(**reason);
    *DropReason::ALL.iter().find(counted).unwrap()
}

#[test]
fn a_guest_has_the_internet_by_a_mapping() {
    let mut home = Home::new();
    let (seen, _) = home.connect((Guest, Wan), (GUS, 5_000), (FAR, 443));
    assert_eq!(seen, (EXTERNAL, 5_000));
    // and an echo of its gateway, by which a device finds out whether it is connected
    let ping = packet(Body::EchoRequest, (GUS, 1), (GUEST_GATEWAY, 0), b"");
    assert_eq!(home.run(Guest, &ping), Out::Local);
    // and a port that another host has is another one's (RFC 4787 REQ-1)
    let (seen, _) = home.pass(Lan, SYN, (ANN, 5_000), (FAR, 443));
    assert_ne!(seen.1, 5_000);
    // and its own share of the table, which takes nothing from the home
    for port in 1..HOST_SHARE as u16 {
        home.pass(Guest, Body::Udp, (HAL, port), (FAR, 9));
    }
    home.pass(Guest, Body::Udp, (HAL, 60_000), (FAR, 9));
    let reason = refused(&mut home, Guest, (HAL, 60_001), (FAR, 9));
    assert_eq!(reason, DropReason::HostShareFull);
    home.pass(Lan, Body::Udp, (BOB, 60_001), (FAR, 9));
}

#[test]
fn a_guest_reaches_neither_the_home_nor_a_service_nor_the_gateway() {
    // given a service with ports on both sides, and a home host with a port in the Internet
    let mut home = Home::with_web(NetworkPolicy::Wan);
    home.forward(Lan, Transport::Tcp, 8_080, 80);
    home.forward(Wan, Transport::Tcp, 443, 8_443);
    home.event(NatEvent::OpenPorts(HouseholdForward {
        ports: WanPorts {
            transport: Transport::Tcp,
            first: 8_022,
            last: 8_022,
        },
        to: ForwardTarget::Host(ANN),
        to_port: 22,
    }));
    home.pass(Lan, SYN, (BOB, 7_000), (FAR, 80));
    for (to, reason) in [
        ((ANN, 22), DropReason::GuestToHome),
        ((WEB, 80), DropReason::GuestToHome),
        ((GATEWAY, 8_080), DropReason::GuestToGateway),
        ((GUEST_GATEWAY, 8_080), DropReason::GuestToGateway),
        ((GUEST_GATEWAY, 53), DropReason::GuestToGateway),
        ((ROUTER, 80), DropReason::GuestToGateway),
        ((EXTERNAL, 443), DropReason::GuestToGateway),
        ((EXTERNAL, 8_022), DropReason::GuestToGateway),
        // a home host's mapping
        ((EXTERNAL, 7_000), DropReason::GuestToGateway),
    ] {
        // when a guest connects, then it is told that it may not, and counted
        assert_eq!(
            refused(&mut home, Guest, (GUS, 5_000), to),
            reason,
            "{to:?}"
        );
    }
    // and it is nobody but itself
    for source in [ANN, WEB, FAR, Ipv4Addr::new(192, 168, 2, 255)] {
        let reason = home.drop(Guest, SYN, (source, 5_000), (OTHER, 80));
        assert!(
            [DropReason::ReversePath, DropReason::SourceBroadcast].contains(&reason),
            "{source}: {reason:?}"
        );
    }
    assert_eq!(
        home.drop(Guest, SYN, (GUEST_GATEWAY, 5_000), (OTHER, 80)),
        DropReason::LandAttack
    );
}

#[test]
fn nobody_inside_reaches_a_guest() {
    let mut home = Home::with_web(NetworkPolicy::Wan);
    home.pass(Guest, SYN, (GUS, 7_000), (FAR, 80));
    for to in [GUS, GUEST_GATEWAY] {
        assert_eq!(
            refused(&mut home, Lan, (ANN, 5_000), (to, 80)),
            DropReason::ToGuest
        );
    }
    assert_eq!(
        refused(&mut home, Service, (WEB, 5_000), (GUS, 80)),
        DropReason::ToGuest
    );
    assert_eq!(
        refused(&mut home, Service, (WEB, 5_000), (GUEST_GATEWAY, 80)),
        DropReason::ServiceToGateway
    );
    // nor by its mapping
    assert_eq!(
        home.drop(Lan, SYN, (ANN, 5_000), (EXTERNAL, 7_000)),
        DropReason::Filtered
    );
    // nor the Internet with its address as the source, or by a forward
    assert_eq!(
        home.drop(Wan, SYN, (GUS, 5_000), (EXTERNAL, 7_000)),
        DropReason::ReversePath
    );
    let forward = NatEvent::OpenPorts(HouseholdForward {
        ports: WanPorts {
            transport: Transport::Tcp,
            first: 80,
            last: 80,
        },
        to: ForwardTarget::Host(GUS),
        to_port: 80,
    });
    let refusal = NetRefusal::NoHomeHost { address: GUS };
    assert_eq!(home.nat.event(forward, home.now), Err(refusal));
}

#[test]
fn guests_reach_each_other_by_their_mappings() {
    // given a guest who has a mapping, when another one uses it, then it is let in, and seen as from
    // outside (RFC 4787 REQ-9)
    let mut home = Home::new();
    let (outer, _) = home.pass(Guest, Body::Udp, (GUS, 5_000), (FAR, 9));
    let (seen, target) = home.pass(Guest, Body::Udp, (HAL, 6_000), outer);
    assert_eq!((seen, target), ((EXTERNAL, 6_000), (GUS, 5_000)));
    let back = home.pass(Guest, Body::Udp, (GUS, 5_000), seen);
    assert_eq!(back, (outer, (HAL, 6_000)));
}

#[test]
fn the_guests_resolver_asks_the_internet_and_nobody_else() {
    // given a bridged service among the guests
    let mut home = Home::with_web(NetworkPolicy::None);
    home.event(NatEvent::AttachBridged {
        id: ServiceId::new(7).unwrap(),
        address: RESOLVER,
        policy: NetworkPolicy::Wan,
    });
    // when it asks, then the answer comes back
    let (seen, _) = home.pass(Guest, Body::Udp, (RESOLVER, 5_353), (FAR, 53));
    assert_eq!(
        home.pass(Wan, Body::Udp, (FAR, 53), seen).1,
        (RESOLVER, 5_353)
    );
    for (to, reason) in [
        (ANN, DropReason::GuestToHome),
        (WEB, DropReason::ServiceToService),
        (GATEWAY, DropReason::ServiceToGateway),
        (GUEST_GATEWAY, DropReason::ServiceToGateway),
    ] {
        assert_eq!(
            refused(&mut home, Guest, (RESOLVER, 5_000), (to, 80)),
            reason,
            "{to}"
        );
    }
    // and no port of the home is its
    let outside = NatEvent::AttachBridged {
        id: ServiceId::new(8).unwrap(),
        address: FAR,
        policy: NetworkPolicy::Wan,
    };
    assert_eq!(
        home.nat.event(outside, home.now),
        Err(NetRefusal::Malformed)
    );
}

#[test]
fn without_guests_their_network_is_the_internets() {
    // given a gateway without a guests' network
    let config = NatConfig {
        guest: None,
        ..config()
    };
    let mut home = Home {
        nat: Nat::new(config),
        now: hearth_model::Tick(10_000),
    };
    home.event(NatEvent::WanAddress(Some(lease(EXTERNAL))));
    // then nothing comes from there, and its addresses are others'
    for _ in 0..CARRY_AFTER {
        assert_eq!(
            home.drop(Guest, SYN, (GUS, 1), (FAR, 80)),
            DropReason::ReversePath
        );
    }
    home.pass(Lan, SYN, (ANN, 5_000), (GUS, 80));
}

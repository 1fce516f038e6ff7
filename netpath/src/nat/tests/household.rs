//! The household's own port-forwards: who comes in by them, as whom, and what ends with them.

use super::carrier::Carried;
use super::support::*;
use crate::counters::DropReason;
use crate::nat::{NatEvent, NotAdopted, Pair};
use core::net::Ipv4Addr;
use hearth_model::limits::{HOUSEHOLD_FORWARDS_MAX, LOCAL_PORT_FIRST};
use hearth_model::protocol::{
    Forward, ForwardTarget, HouseholdForward, NetRefusal, NetworkPolicy, Transport, WanPorts,
    Zone::*,
};

const SYN: Body = Body::Tcp(Flags::Syn);
const ACK: Body = Body::Tcp(Flags::Ack);

fn ports(transport: Transport, first: u16, last: u16) -> WanPorts {
    WanPorts {
        transport,
        first,
        last,
    }
}

/// TCP port 8022 of the WAN's address is Ann's port 22.
fn to_ann() -> HouseholdForward {
    HouseholdForward {
        ports: ports(Transport::Tcp, 8_022, 8_022),
        to: ForwardTarget::Host(ANN),
        to_port: 22,
    }
}

fn with(forward: HouseholdForward) -> Home {
    let mut home = Home::with_web(NetworkPolicy::None);
    home.event(NatEvent::OpenPorts(forward));
    home
}

#[track_caller]
fn refusal(home: &mut Home, event: NatEvent) -> NetRefusal {
    home.nat.event(event, home.now).unwrap_err()
}

#[test]
fn the_internet_reaches_a_home_host_by_a_forward() {
    // given a forward, when the Internet connects, then the host sees who it is
    let mut home = with(to_ann());
    let (seen, target) = home.connect((Wan, Lan), (FAR, 9_000), (EXTERNAL, 8_022));
    assert_eq!((seen, target), ((FAR, 9_000), (ANN, 22)));
    // and no other port, protocol or side is open
    for (body, port) in [(SYN, 8_021), (SYN, 8_023), (SYN, 22), (Body::Udp, 8_022)] {
        let reason = home.drop(Wan, body, (FAR, 9), (EXTERNAL, port));
        assert_eq!(reason, DropReason::Unsolicited, "{body:?} {port}");
    }
    let local = packet(SYN, (BOB, 5_000), (GATEWAY, 8_022), b"");
    assert_eq!(home.run(Lan, &local), Out::Local);
}

#[test]
fn every_port_of_a_range_leads_to_its_own() {
    let mut home = with(HouseholdForward {
        ports: ports(Transport::Udp, 27_000, 27_009),
        to: ForwardTarget::Host(BOB),
        to_port: 7_000,
    });
    for offset in 0..10 {
        let (_, target) = home.pass(Wan, Body::Udp, (FAR, 9), (EXTERNAL, 27_000 + offset));
        assert_eq!(target, (BOB, 7_000 + offset));
        let (seen, _) = home.pass(Lan, Body::Udp, (BOB, 7_000 + offset), (FAR, 9));
        assert_eq!(seen, (EXTERNAL, 27_000 + offset));
    }
    for port in [26_999, 27_010] {
        home.drop(Wan, Body::Udp, (FAR, 9), (EXTERNAL, port));
    }
}

#[test]
fn the_home_reaches_it_by_the_wan_address_and_is_seen_as_from_outside() {
    // given a forward, when another host, or the host itself, connects to the WAN's address
    let mut home = with(to_ann());
    for host in [BOB, ANN] {
        let (seen, target) = home.connect((Lan, Lan), (host, 5_000), (EXTERNAL, 8_022));
        // then it is seen by its external endpoint (RFC 4787 REQ-9)
        assert_eq!((seen.0, target), (EXTERNAL, (ANN, 22)));
    }
    // and one that has a forward is seen by the forward's port there too
    home.event(NatEvent::OpenPorts(HouseholdForward {
        ports: ports(Transport::Tcp, 4_000, 4_000),
        to: ForwardTarget::Host(BOB),
        to_port: 4_001,
    }));
    let (seen, _) = home.connect((Lan, Lan), (BOB, 4_001), (EXTERNAL, 8_022));
    assert_eq!(seen, (EXTERNAL, 4_000));
}

#[test]
fn what_a_target_sends_from_there_leaves_by_the_forwards_port() {
    // given a host whose port is forwarded, when it opens a connection from there
    let mut home = with(to_ann());
    for to in [FAR, OTHER] {
        let (seen, _) = home.pass(Lan, SYN, (ANN, 22), (to, 443));
        // then that is endpoint-independent (RFC 4787 REQ-1)
        assert_eq!(seen, (EXTERNAL, 8_022));
    }
    // and so does an answer of a connection that began before this machine
    let mut home = with(to_ann());
    let (seen, _) = home.pass(Lan, ACK, (ANN, 22), (FAR, 9_000));
    assert_eq!(seen, (EXTERNAL, 8_022));
    home.pass(Wan, ACK, (FAR, 9_000), (EXTERNAL, 8_022));
}

#[test]
fn a_service_gets_ports_too_while_it_has_a_link() {
    // given a service that may open nothing, and a port of the WAN for it
    let mut home = with(HouseholdForward {
        ports: ports(Transport::Tcp, 443, 443),
        to: ForwardTarget::Service(web_id()),
        to_port: 8_443,
    });
    // when the Internet, or the home by the WAN's address, connects, then it gets there
    let (seen, target) = home.connect((Wan, Service), (FAR, 9_000), (EXTERNAL, 443));
    assert_eq!((seen, target), ((FAR, 9_000), (WEB, 8_443)));
    let (seen, target) = home.connect((Lan, Service), (BOB, 5_000), (EXTERNAL, 443));
    assert_eq!((seen, target), ((EXTERNAL, 5_000), (WEB, 8_443)));
    // and an answer after our restart comes from the forward's port
    let seen = home.pass(Service, ACK, (WEB, 8_443), (OTHER, 9_000)).0;
    assert_eq!(seen, (EXTERNAL, 443));
    // when it goes, then the port is silent, and when it is back, then open again
    home.event(NatEvent::Detach { id: web_id() });
    assert_eq!(home.nat.report().mappings, 0);
    let reason = home.drop(Wan, SYN, (FAR, 9_000), (EXTERNAL, 443));
    assert_eq!(reason, DropReason::Unsolicited);
    home.event(NatEvent::Attach {
        id: web_id(),
        address: WEB,
        policy: NetworkPolicy::None,
    });
    home.connect((Wan, Service), (FAR, 9_000), (EXTERNAL, 443));
}

#[test]
fn forwards_that_can_not_be_are_refused_with_their_reason() {
    // given a forward, a service's port, and a bridged service
    let mut home = with(to_ann());
    home.forward(Wan, Transport::Tcp, 443, 443);
    let bridged = Ipv4Addr::new(192, 168, 1, 2);
    home.event(NatEvent::AttachBridged {
        id: hearth_model::ServiceId::new(7).unwrap(),
        address: bridged,
        policy: NetworkPolicy::Wan,
    });
    let tcp = |first, last| HouseholdForward {
        ports: ports(Transport::Tcp, first, last),
        ..to_ann()
    };
    let host = |address| HouseholdForward {
        to: ForwardTarget::Host(address),
        ..tcp(80, 80)
    };
    let no_host = |address| NetRefusal::NoHomeHost { address };
    let edge = Ipv4Addr::new(192, 168, 1, 255);
    for (forward, reason) in [
        (tcp(0, 0), NetRefusal::PortReserved { port: 0 }),
        (
            tcp(60_900, LOCAL_PORT_FIRST),
            NetRefusal::PortReserved {
                port: LOCAL_PORT_FIRST,
            },
        ),
        (tcp(2, 1), NetRefusal::Malformed),
        (tcp(1, 2_000), NetRefusal::Malformed),
        (
            tcp(440, 450),
            NetRefusal::PortTaken {
                port: 443,
                by: web_id(),
            },
        ),
        (
            tcp(8_000, 8_100),
            NetRefusal::PortForwarded {
                transport: Transport::Tcp,
                port: 8_022,
            },
        ),
        (host(FAR), no_host(FAR)),
        (host(GATEWAY), no_host(GATEWAY)),
        (host(EXTERNAL), no_host(EXTERNAL)),
        (host(WEB), no_host(WEB)),
        (host(edge), no_host(edge)),
        (host(bridged), no_host(bridged)),
    ] {
        // when another is impossible, then the answer says why, and the first one stays
        assert_eq!(
            refusal(&mut home, NatEvent::OpenPorts(forward)),
            reason,
            "{forward:?}"
        );
        home.connect((Wan, Lan), (FAR, 9_000), (EXTERNAL, 8_022));
    }
    // and a service does not get the household's port
    let service = Forward {
        id: web_id(),
        transport: Transport::Tcp,
        from: Wan,
        port: 8_022,
        to_port: 80,
    };
    let taken = NetRefusal::PortForwarded {
        transport: Transport::Tcp,
        port: 8_022,
    };
    assert_eq!(refusal(&mut home, NatEvent::Forward(service)), taken);
    home.forward(Lan, Transport::Tcp, 8_022, 80);
    // and the table is bounded
    for port in 1..HOUSEHOLD_FORWARDS_MAX as u16 {
        home.event(NatEvent::OpenPorts(tcp(1_000 + port, 1_000 + port)));
    }
    assert_eq!(
        refusal(&mut home, NatEvent::OpenPorts(tcp(9_000, 9_000))),
        NetRefusal::HouseholdForwardsFull
    );
}

#[test]
fn closing_ports_ends_what_came_by_them_and_nothing_else() {
    for change in [
        NatEvent::ClosePorts(to_ann().ports),
        // said again with another target, it leads there
        NatEvent::OpenPorts(HouseholdForward {
            to: ForwardTarget::Host(BOB),
            ..to_ann()
        }),
    ] {
        // given flows by a forward, both ways and from the home, and others of the same host
        let mut home = with(to_ann());
        home.connect((Wan, Lan), (FAR, 9_000), (EXTERNAL, 8_022));
        home.connect((Lan, Lan), (BOB, 5_000), (EXTERNAL, 8_022));
        home.pass(Lan, SYN, (ANN, 22), (OTHER, 443));
        home.connect((Lan, Wan), (ANN, 5_000), (FAR, 80));
        home.connect((Lan, Wan), (BOB, 22), (FAR, 80));
        assert_eq!(home.nat.report().mappings, 5);
        // when it goes, then they end
        home.event(change);
        assert_eq!(home.nat.report().mappings, 2, "{change:?}");
    }
    // and the port is a mapping's again
    let mut home = with(to_ann());
    assert_ne!(home.pass(Lan, SYN, (BOB, 8_022), (FAR, 9)).0.1, 8_022);
    home.event(NatEvent::ClosePorts(to_ann().ports));
    assert_eq!(home.pass(Lan, SYN, (ANN, 8_022), (FAR, 9)).0.1, 8_022);
}

#[test]
fn a_new_manager_closes_what_it_does_not_say() {
    // given two forwards of an earlier manager
    let mut home = with(to_ann());
    let other = HouseholdForward {
        ports: ports(Transport::Udp, 53, 53),
        ..to_ann()
    };
    home.event(NatEvent::OpenPorts(other));
    home.connect((Wan, Lan), (FAR, 9_000), (EXTERNAL, 8_022));
    home.pass(Wan, Body::Udp, (FAR, 9_000), (EXTERNAL, 53));
    // when the next one says one of them
    home.event(NatEvent::NewManager);
    home.event(NatEvent::OpenPorts(to_ann()));
    assert_eq!(home.nat.report().mappings, 2, "nothing changes meanwhile");
    home.event(NatEvent::SettlePorts);
    // then that one stays with its flows, and the other is closed
    assert_eq!(home.nat.report().mappings, 1);
    home.pass(Wan, ACK, (FAR, 9_000), (EXTERNAL, 8_022));
    home.drop(Wan, Body::Udp, (FAR, 9_000), (EXTERNAL, 53));
}

#[test]
fn another_wan_address_is_forwarded_from_at_once() {
    // given flows by a forward, one of them from the home, between two forwarded ports
    let mut home = with(to_ann());
    home.event(NatEvent::OpenPorts(HouseholdForward {
        ports: ports(Transport::Tcp, 4_000, 4_000),
        to: ForwardTarget::Host(BOB),
        to_port: 4_000,
    }));
    home.connect((Wan, Lan), (FAR, 9_000), (EXTERNAL, 8_022));
    home.connect((Lan, Lan), (BOB, 4_000), (EXTERNAL, 8_022));
    // when the address changes, then they end, and the forward is at the new one
    let new = Ipv4Addr::new(203, 0, 113, 77);
    home.event(NatEvent::WanAddress(Some(lease(new))));
    assert_eq!(home.nat.report().mappings, 0);
    let (_, target) = home.connect((Wan, Lan), (FAR, 9_000), (new, 8_022));
    assert_eq!(target, (ANN, 22));
    let reason = home.drop(Wan, SYN, (FAR, 9_001), (EXTERNAL, 8_022));
    assert_eq!(reason, DropReason::NotOurs);
}

#[test]
fn a_forwards_flow_passes_by_and_waits_for_its_forward_after_a_restart() {
    // given a connection by a forward that is carried
    let mut home = Carried::new();
    home.event(NatEvent::OpenPorts(to_ann()));
    let (far, door, ann) = ((FAR, 9_000), (EXTERNAL, 8_022), (ANN, 22));
    home.pass(Wan, SYN, far, door);
    home.pass(Lan, Body::Tcp(Flags::SynAck), ann, far);
    home.pass(Wan, ACK, far, door);
    assert_eq!(home.nat.carried(), 1);
    home.pass(Lan, ACK, ann, far);
    home.pass(Wan, ACK, far, door);
    assert_eq!(home.passed, 2);
    // when another machine finds it
    let (&initiator, &(responder, _)) = home
        .nat
        .carrier()
        .entries
        .iter()
        .find(|(tuple, _)| tuple.zone == Wan)
        .unwrap();
    let pair = Pair {
        initiator,
        responder,
    };
    let passed = crate::nat::Carrier::passed(home.nat.carrier_mut(), &pair).unwrap();
    let mut next = Carried::new();
    // then it waits until the manager says the forward again, and goes on
    let now = next.now;
    assert_eq!(next.nat.adopt(&pair, passed, now), Err(NotAdopted::NotYet));
    next.event(NatEvent::OpenPorts(to_ann()));
    assert_eq!(next.nat.adopt(&pair, passed, now), Ok(()));
    assert_eq!(next.nat.carried(), 1);
    // and where it leads elsewhere now, then it never does
    let mut next = Carried::new();
    next.event(NatEvent::OpenPorts(HouseholdForward {
        to: ForwardTarget::Host(BOB),
        ..to_ann()
    }));
    assert!(next.nat.adopt(&pair, passed, now).is_err());
    assert_eq!(next.nat.carried(), 0);
}

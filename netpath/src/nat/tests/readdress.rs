//! Another address in the Internet: which flows end, and who is told.

use super::carrier::{Carried, Model};
use super::support::*;
use crate::counters::DropReason;
use crate::limits::FAREWELLS_MAX;
use crate::nat::carry::{Pair, Traffic};
use crate::nat::{Departed, Nat, NatEvent, NotAdopted};
use etherparse::{SlicedPacket, TcpHeader, TransportSlice};
use hearth_model::protocol::{NetworkPolicy, Transport, WanLease, Zone, Zone::*};

const SYN: Body = Body::Tcp(Flags::Syn);
const ACK: Body = Body::Tcp(Flags::Ack);
const RST: Body = Body::Tcp(Flags::Rst);
const NEW: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 9);

use core::net::Ipv4Addr;

fn tcp(bytes: &[u8]) -> TcpHeader {
    match SlicedPacket::from_ip(bytes).unwrap().transport {
        Some(TransportSlice::Tcp(tcp)) => tcp.to_header(),
        other => panic!("{other:?}"),
    }
}

/// Whom the machine makes say something: side, end, and in whose name.
fn farewells<C: crate::nat::Carrier>(nat: &mut Nat<C>) -> Vec<(Zone, End, End)> {
    let mut out = [0; 40];
    let mut all = Vec::new();
    while let Some((zone, length)) = nat.farewell(&mut out) {
        let (from, to) = ends(&out[..length]);
        let segment = tcp(&out[..length]);
        assert!(segment.ack && !segment.rst && !segment.syn && !segment.fin);
        all.push((zone, to, from));
    }
    all
}

impl Home {
    fn readdress(&mut self, address: Ipv4Addr) -> Departed {
        self.event(NatEvent::WanAddress(Some(lease(address))));
        self.nat.take_departed().unwrap()
    }

    /// Sends a segment that must be answered by a reset, and checks that the sender must believe it.
    #[track_caller]
    fn is_reset(&mut self, zone: Zone, from: End, to: End) {
        let sent = packet(ACK, from, to, b"data");
        let Out::Reply(reply) = self.run(zone, &sent) else {
            panic!("no answer to {from:?} -> {to:?}");
        };
        assert_eq!(ends(&reply), (to, from));
        let (asked, answered) = (tcp(&sent), tcp(&reply));
        assert!(answered.rst);
        assert_eq!(answered.sequence_number, asked.acknowledgment_number);
    }
}

#[test]
fn connections_by_the_old_address_are_reset_inside_and_all_else_begins_anew() {
    // given connections of the home and of the Internet, datagrams, and what stays inside
    let mut home = Home::with_web(NetworkPolicy::Wan);
    home.forward(Wan, Transport::Tcp, 8_443, 443);
    home.forward(Lan, Transport::Tcp, 8_080, 80);
    let (ann, far, visitor) = ((ANN, 5_000), (FAR, 80), (FAR, 9_000));
    home.connect((Lan, Wan), ann, far);
    home.connect((Wan, Service), visitor, (EXTERNAL, 8_443));
    home.connect((Lan, Service), (ANN, 5_001), (GATEWAY, 8_080));
    home.pass(Lan, SYN, (ANN, 5_002), far);
    home.pass(Lan, Body::Udp, (ANN, 6_000), (FAR, 53));
    // when another address comes
    let departed = home.readdress(NEW);
    // then all that went by the old one has ended, and it is told how many
    assert_eq!(
        departed,
        Departed {
            from: EXTERNAL,
            to: NEW,
            connections: 2,
            others: 2,
        }
    );
    assert_eq!(home.nat.take_departed(), None, "once");
    assert_eq!(home.nat.report().mappings, 1);
    // and the ends inside of both open connections are made to say where they are
    let told = farewells(&mut home.nat);
    let service = (Service, (WEB, 443), visitor);
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(
        told.contains(&(Lan, ann, far)) && told.contains(&service),
        "{told:?}"
    );
    // which is answered by a reset that they must believe, again and again
    for _ in 0..2 {
        home.is_reset(Lan, ann, far);
        home.is_reset(Service, (WEB, 443), visitor);
    }
    assert_eq!(home.nat.counters().answered(DropReason::TcpOver), 4);
    // and their resets are not answered
    assert_eq!(home.drop(Lan, RST, ann, far), DropReason::TcpOver);
    // and new connections and datagrams go by the new address, whatever ports they use
    assert_eq!(home.connect((Lan, Wan), ann, far).0, (NEW, 5_000));
    assert_eq!(home.pass(Lan, SYN, (ANN, 5_002), far).0, (NEW, 5_002));
    let (seen, _) = home.pass(Lan, Body::Udp, (ANN, 6_000), (FAR, 53));
    assert_eq!(seen, (NEW, 6_000));
    // and nobody gets in by the old one
    assert_eq!(
        home.drop(Wan, ACK, far, (EXTERNAL, 5_000)),
        DropReason::NotOurs
    );
    // and what stayed inside goes on
    home.pass(Lan, ACK, (ANN, 5_001), (GATEWAY, 8_080));
    assert!(home.nat.counters().balanced());
}

#[test]
fn both_ends_of_a_hairpin_are_told() {
    // given a connection between two home hosts by the address in the Internet
    let mut home = Home::new();
    home.pass(Lan, SYN, (BOB, 7_000), (FAR, 80));
    let ann = (ANN, 5_000);
    let (seen, target) = home.pass(Lan, SYN, ann, (EXTERNAL, 7_000));
    assert_eq!((seen, target), ((EXTERNAL, 5_000), (BOB, 7_000)));
    home.pass(Lan, Body::Tcp(Flags::SynAck), target, seen);
    home.pass(Lan, ACK, ann, (EXTERNAL, 7_000));
    // when another address comes, then each end hears it in the name of whom it talks to
    assert_eq!(home.readdress(NEW).connections, 1);
    let told = farewells(&mut home.nat);
    let expected = [(Lan, ann, (EXTERNAL, 7_000)), (Lan, target, seen)];
    assert_eq!(told, expected);
    home.is_reset(Lan, ann, (EXTERNAL, 7_000));
    home.is_reset(Lan, target, seen);
}

#[test]
fn another_router_or_a_pause_ends_nothing() {
    // given a connection
    let mut home = Home::new();
    let (ann, far) = ((ANN, 5_000), (FAR, 80));
    home.connect((Lan, Wan), ann, far);
    // when the router changes, or the address goes and comes back
    let other = WanLease {
        router: Some(Ipv4Addr::new(203, 0, 113, 254)),
        ..lease(EXTERNAL)
    };
    for lease in [Some(other), None, Some(lease(EXTERNAL))] {
        home.event(NatEvent::WanAddress(lease));
        assert_eq!(home.nat.take_departed(), None);
    }
    // then it goes on, nobody was told anything, and one that is not known may go on too
    home.pass(Wan, ACK, far, (EXTERNAL, 5_000));
    assert_eq!(farewells(&mut home.nat), []);
    home.pass(Lan, ACK, (ANN, 5_009), far);
    // when another address comes after a pause, then it counts from the one before the pause
    home.event(NatEvent::WanAddress(None));
    assert_eq!(home.readdress(NEW).from, EXTERNAL);
}

#[test]
fn an_earlier_process_address_decides_whether_unknown_connections_go_on() {
    let ann = (ANN, 5_000);
    for (earlier, goes_on) in [(EXTERNAL, true), (NEW, false)] {
        // given a process that finds an address, when it has its own
        let mut home = Home {
            nat: Nat::new(config()),
            now: hearth_model::Tick(10_000),
        };
        home.nat.remember_address(earlier);
        home.event(NatEvent::WanAddress(Some(lease(EXTERNAL))));
        // then a connection that it does not know goes on by the same address, and by no other
        if goes_on {
            home.pass(Lan, ACK, ann, (FAR, 80));
        } else {
            home.is_reset(Lan, ann, (FAR, 80));
        }
    }
}

#[test]
fn carried_flows_leave_the_fast_path_before_the_address_counts() {
    // given flows that the fast path carries
    let mut home = Carried::new();
    home.connect();
    for _ in 0..3 {
        home.pass(Lan, Body::Udp, (ANN, 6_000), (FAR, 9_000));
    }
    assert_eq!(home.nat.carried(), 2);
    // when another address comes, then none is left there
    home.event(NatEvent::WanAddress(Some(lease(NEW))));
    assert_eq!(home.nat.carried(), 0);
    assert!(home.nat.carrier().entries.is_empty());
    let departed = home.nat.take_departed().unwrap();
    assert_eq!((departed.connections, departed.others), (1, 1));
    assert_eq!(farewells(&mut home.nat).len(), 1);
}

#[test]
fn flows_of_an_earlier_process_by_another_address_end_at_once() {
    // given flows that an earlier process has left, one of them a service's
    let tuple = |zone, source, destination, protocol| crate::nat::Tuple {
        zone,
        source,
        destination,
        ports: crate::wire::transport::Ports {
            source: 5_000,
            destination: 80,
        },
        protocol,
    };
    let pair = |zone, inside, protocol| {
        let mut back = tuple(Wan, FAR, EXTERNAL, protocol);
        core::mem::swap(&mut back.ports.source, &mut back.ports.destination);
        Pair {
            initiator: tuple(zone, inside, FAR, protocol),
            responder: back,
        }
    };
    let passed = [Traffic {
        last: hearth_model::Tick(9_000),
        ..Traffic::default()
    }; 2];
    let mut nat = Nat::with_carrier(config(), Model::default());
    let now = hearth_model::Tick(10_000);
    nat.remember_address(EXTERNAL);
    nat.event(NatEvent::WanAddress(Some(lease(NEW))), now)
        .unwrap();
    // when they are looked at, then none of them waits for anything
    use crate::wire::transport::Protocol::{Tcp, Udp};
    for (zone, inside, protocol) in [(Lan, ANN, Tcp), (Service, WEB, Tcp), (Lan, ANN, Udp)] {
        let adopted = nat.adopt(&pair(zone, inside, protocol), passed, now);
        assert_eq!(adopted, Err(NotAdopted::Never));
    }
    // and the ends of the connections are told, and all are counted
    assert_eq!(farewells(&mut nat).len(), 2);
    let departed = nat.take_departed().unwrap();
    assert_eq!((departed.connections, departed.others), (2, 1));
}

#[test]
fn more_connections_than_are_told_one_by_one_are_told_when_they_speak() {
    // given more connections than that
    let mut home = Home::new();
    for host in 0..9 {
        let address = Ipv4Addr::new(192, 168, 1, 50 + host);
        for port in 0..500 {
            home.connect((Lan, Wan), (address, 20_000 + port), (FAR, 80));
        }
    }
    // when another address comes, then as many as there is room for are told
    assert_eq!(home.readdress(NEW).connections, 4_500);
    assert_eq!(farewells(&mut home.nat).len(), FAREWELLS_MAX);
    // and whoever speaks is
    home.is_reset(Lan, (Ipv4Addr::new(192, 168, 1, 58), 20_499), (FAR, 80));
}

#[test]
fn when_the_networks_go_every_flow_ends_and_those_to_the_internet_are_told() {
    // given a connection to the Internet and one to a service
    let mut home = Home::with_web(NetworkPolicy::Wan);
    home.forward(Lan, Transport::Tcp, 8_080, 80);
    let (ann, far) = ((ANN, 5_000), (FAR, 80));
    home.connect((Lan, Wan), ann, far);
    home.connect((Lan, Service), (ANN, 5_001), (GATEWAY, 8_080));
    // when the gateway's networks go
    home.nat.end_everything(home.now);
    // then nothing is left, and the first is told
    assert_eq!(home.nat.report().mappings, 0);
    assert_eq!(farewells(&mut home.nat), [(Lan, ann, far)]);
    home.is_reset(Lan, ann, far);
}

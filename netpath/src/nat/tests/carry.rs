//! Flows that pass by the machine: whoever carries them, every packet has the same fate.

use super::carrier::{Carried, Model};
use super::support::*;
use crate::counters::DropReason;
use crate::limits::*;
use crate::nat::{Nat, NatEvent, NotAdopted, Pair, Passed};
use hearth_model::protocol::{Forward, NetworkPolicy, Transport, Zone, Zone::*};
use proptest::prelude::*;

const ACK: Body = Body::Tcp(Flags::Ack);

#[test]
fn a_question_and_its_answer_are_not_worth_carrying_and_a_conversation_is() {
    // given a question and its answer
    let mut home = Carried::new();
    home.pass(Lan, Body::Udp, (ANN, 5_000), (FAR, 53));
    home.pass(Wan, Body::Udp, (FAR, 53), (EXTERNAL, 5_000));
    assert_eq!(home.nat.carried(), 0);
    // when more follows, then that passes by, both ways, and is counted as if it had not
    for _ in 0..10 {
        home.pass(Lan, Body::Udp, (ANN, 5_000), (FAR, 53));
        home.pass(Wan, Body::Udp, (FAR, 53), (EXTERNAL, 5_000));
    }
    assert_eq!((home.nat.carried(), home.passed), (1, 19));
    home.nat.look_at_all(home.now);
    let counters = home.nat.counters();
    assert_eq!(
        (counters.forwarded, counters.received),
        (22, [11, 11, 0, 0])
    );
    assert_eq!(counters.carried, (19, 19 * 32));
    assert!(counters.balanced());
}

#[test]
fn a_connection_is_carried_from_its_handshake_to_its_first_fin_or_reset() {
    for end in [Flags::Fin, Flags::Rst] {
        for zone in [Lan, Wan] {
            // given a connection
            let mut home = Carried::new();
            let seen = home.connect();
            assert_eq!(home.nat.carried(), 1);
            home.pass(Wan, ACK, (FAR, 443), seen);
            assert_eq!(home.passed, 1);
            // when either end closes it, then the machine is told, and sees all that follows
            let (from, to) = match zone {
                Lan => ((ANN, 5_000), (FAR, 443)),
                _ => ((FAR, 443), seen),
            };
            home.pass(zone, Body::Tcp(end), from, to);
            assert_eq!(home.nat.carried(), 0, "{end:?} {zone:?}");
            assert!(home.nat.carrier().entries.is_empty());
        }
    }
}

#[test]
fn a_carried_flow_lives_by_what_passes() {
    // given a connection whose packets the machine does not see
    let mut home = Carried::new();
    let seen = home.connect();
    for _ in 0..5 {
        // when it is silent for almost as long as it may, again and again
        home.wait_ms(TCP_ESTABLISHED_TIMEOUT_MS - 5_000);
        home.pass(Wan, ACK, (FAR, 443), seen);
    }
    // then it lives
    assert_eq!((home.nat.carried(), home.passed), (1, 5));
    // and when it is silent for longer, then it ends, with what is in the kernel
    home.wait_ms(TCP_ESTABLISHED_TIMEOUT_MS + 2 * WHEEL_STEP_MS);
    assert_eq!(home.nat.sessions.len(), 0);
    assert!(home.nat.carrier().entries.is_empty());
}

#[test]
fn what_the_internet_sends_by_a_mapping_prolongs_nothing() {
    // given a UDP flow that is carried, and only the Internet still talks
    let mut home = Carried::new();
    let (ann, far) = ((ANN, 5_000), (FAR, 9_000));
    for _ in 0..3 {
        home.pass(Lan, Body::Udp, ann, far);
    }
    assert_eq!(home.nat.carried(), 1);
    let mut waited = 0;
    while waited < UDP_TIMEOUT_MS {
        let out = home.run(Wan, &packet(Body::Udp, far, (EXTERNAL, 5_000), b"more"));
        assert!(matches!(out, Out::Forward(_)));
        home.wait_ms(10_000);
        waited += 10_000;
    }
    // then it ends when the inside has been silent for five minutes (RFC 4787 REQ-6)
    let out = home.run(Wan, &packet(Body::Udp, far, (EXTERNAL, 5_000), b"more"));
    assert_eq!(out, Out::Drop(DropReason::Unsolicited));
}

#[test]
fn a_permission_lives_by_what_passes() {
    // given a UDP flow that the inside keeps alive past the machine
    let mut home = Carried::new();
    let (ann, far) = ((ANN, 5_000), (FAR, 9_000));
    for _ in 0..100 {
        home.pass(Lan, Body::Udp, ann, far);
        home.wait_ms(10_000);
    }
    assert_eq!(home.passed, 97);
    // when the same host sends from another port, then the mapping's filter lets it in
    home.pass(Wan, Body::Udp, (FAR, 9_001), (EXTERNAL, 5_000));
}

#[test]
fn no_flow_is_carried_across_a_change_of_where_it_leaves_or_whether_it_may() {
    // given a carried connection of Ann's and one to the web service
    let mut home = Carried::new();
    home.attach();
    home.forward(Wan, Transport::Tcp, 443);
    home.connect();
    let (far, web) = ((FAR, 9_000), (EXTERNAL, 443));
    home.pass(Wan, Body::Tcp(Flags::Syn), far, web);
    home.pass(Service, Body::Tcp(Flags::SynAck), (WEB, 443), far);
    home.pass(Wan, ACK, far, web);
    assert_eq!(home.nat.carried(), 2);
    // when the forward is closed, then what went by it is gone
    home.event(NatEvent::Unforward { id: web_id() });
    assert_eq!(home.nat.carried(), 1);
    assert_eq!(home.nat.carrier().entries.len(), 2);
    // when the WAN's address is lost, then nothing leaves past the machine, and Ann is told
    home.event(NatEvent::WanAddress(None));
    assert_eq!(home.nat.carried(), 0);
    let out = home.run(Lan, &packet(ACK, (ANN, 5_000), (FAR, 443), b"data"));
    assert!(matches!(out, Out::Reply(_)), "{out:?}");
    // when it is back, then the flow is carried again
    home.event(NatEvent::WanAddress(Some(lease(EXTERNAL))));
    for _ in 0..CARRY_AFTER {
        home.pass(Lan, ACK, (ANN, 5_000), (FAR, 443));
    }
    assert_eq!(home.nat.carried(), 1);
}

#[test]
fn a_carrier_that_refuses_is_asked_again_and_nothing_is_lost() {
    let mut home = Carried::new();
    home.nat.carrier_mut().refuses = true;
    let seen = home.connect();
    assert_eq!(home.nat.carried(), 0);
    home.nat.carrier_mut().refuses = false;
    for _ in 0..CARRY_AFTER {
        home.pass(Wan, ACK, (FAR, 443), seen);
    }
    assert_eq!(home.nat.carried(), 1);
}

#[test]
fn an_entry_that_somebody_has_removed_is_made_again() {
    // given a carried flow whose entries are gone from the kernel
    let mut home = Carried::new();
    let seen = home.connect();
    home.nat.carrier_mut().entries.clear();
    // when the machine looks, then it has the flow again, and the next packets carry it
    home.wait_ms(u64::try_from(SWEEP_STEPS).unwrap() * WHEEL_STEP_MS);
    for _ in 0..SWEEP_STEPS {
        home.wait_ms(WHEEL_STEP_MS);
    }
    assert_eq!(home.nat.carried(), 0);
    for _ in 0..CARRY_AFTER {
        home.pass(Wan, ACK, (FAR, 443), seen);
    }
    assert_eq!(home.nat.carried(), 1);
}

/// What the flows of a home that ends leave behind.
fn left(home: Carried) -> Vec<(Pair, Passed)> {
    let sessions = home.nat.sessions;
    let rows = sessions.all_rows().filter_map(|row| sessions.get(row));
    rows.filter_map(|s| Some((s.pair(), s.carried?))).collect()
}

#[test]
fn a_new_machine_takes_over_what_the_policy_would_open_and_nothing_else() {
    // given a home with a carried connection, a UDP flow, and one of the web service
    let mut home = Carried::new();
    home.attach();
    home.forward(Wan, Transport::Tcp, 443);
    home.connect();
    for _ in 0..3 {
        home.pass(Lan, Body::Udp, (BOB, 6_000), (FAR, 9_000));
    }
    let (far, web) = ((FAR, 9_000), (EXTERNAL, 443));
    home.pass(Wan, Body::Tcp(Flags::Syn), far, web);
    home.pass(Service, Body::Tcp(Flags::SynAck), (WEB, 443), far);
    home.pass(Wan, ACK, far, web);
    let now = home.now;
    let flows = left(home);
    assert_eq!(flows.len(), 3);

    // when another machine begins, then it waits for what it has to know
    let mut nat = Nat::with_carrier(config(), Model::default());
    for (pair, passed) in &flows {
        assert_eq!(nat.adopt(pair, *passed, now), Err(NotAdopted::NotYet));
    }
    // and takes each as soon as it knows
    let known = NatEvent::WanAddress(Some(lease(EXTERNAL)));
    nat.event(known, now).unwrap();
    let taken = flows
        .iter()
        .map(|(pair, passed)| nat.adopt(pair, *passed, now));
    let taken: Vec<_> = taken.collect();
    assert_eq!(taken.iter().filter(|t| t.is_ok()).count(), 2, "{taken:?}");
    let attach = NatEvent::Attach {
        id: web_id(),
        address: WEB,
        policy: NetworkPolicy::None,
    };
    nat.event(attach, now).unwrap();
    let of_web = flows
        .iter()
        .find(|(pair, _)| pair.responder.zone == Service);
    let (pair, passed) = of_web.unwrap();
    assert_eq!(nat.adopt(pair, *passed, now), Err(NotAdopted::NotYet));
    let forward = Forward {
        id: web_id(),
        transport: Transport::Tcp,
        from: Wan,
        port: 443,
        to_port: 443,
    };
    nat.event(NatEvent::Forward(forward), now).unwrap();
    assert_eq!(nat.adopt(pair, *passed, now), Ok(()));
    assert_eq!((nat.carried(), nat.sessions.len()), (3, 3));
    // and twice is once
    assert!(nat.adopt(pair, *passed, now).is_err());
    assert_eq!((nat.carried(), nat.hosts.len()), (3, 3));

    // when the address is another one, then no flow of the old one is taken
    let mut moved = Nat::with_carrier(config(), Model::default());
    let other = NatEvent::WanAddress(Some(lease(OTHER)));
    moved.event(other, now).unwrap();
    for (pair, passed) in &flows {
        assert!(moved.adopt(pair, *passed, now).is_err());
    }
    // and one whose time is over is not either
    let late = now.after_ms(TCP_ESTABLISHED_TIMEOUT_MS);
    let mut nat = Nat::with_carrier(config(), Model::default());
    nat.event(known, late).unwrap();
    for (pair, passed) in &flows {
        assert!(nat.adopt(pair, *passed, late).is_err());
    }
    assert_eq!(
        (nat.hosts.len(), nat.mappings.len(), nat.peers.len()),
        (0, 0, 0)
    );
}

#[test]
fn an_external_port_that_another_has_is_not_taken_over() {
    // given two hosts' flows that were carried with one external port each
    let mut home = Carried::new();
    for _ in 0..3 {
        home.pass(Lan, Body::Udp, (ANN, 6_000), (FAR, 9_000));
    }
    let now = home.now;
    let [(pair, passed)] = left(home)[..] else {
        panic!("one flow")
    };
    // when the new machine has given Ann's port to Bob already
    let mut nat = Nat::with_carrier(config(), Model::default());
    nat.event(NatEvent::WanAddress(Some(lease(EXTERNAL))), now)
        .unwrap();
    let mut bytes = packet(Body::Udp, (BOB, 6_000), (OTHER, 9_000), b"data");
    let mut reply = [0; REPLY_MAX];
    nat.packet(Lan, &mut bytes, now, &mut reply);
    // then Ann's flow is not taken, and holds nothing
    assert_eq!(nat.adopt(&pair, passed, now), Err(NotAdopted::Never));
    assert_eq!((nat.hosts.len(), nat.mappings.len()), (1, 1));
}

fn any_packet() -> impl Strategy<Value = (Zone, Vec<u8>)> {
    let zone = prop_oneof![4 => Just(Lan), 4 => Just(Wan), 2 => Just(Service)];
    let address = || {
        prop_oneof![
            4 => prop_oneof![Just(ANN), Just(FAR), Just(EXTERNAL)],
            1 => prop_oneof![Just(BOB), Just(WEB), Just(GATEWAY)],
        ]
    };
    let port = || prop_oneof![8 => Just(5_000u16), 2 => Just(443)];
    let body = prop_oneof![
        4 => Just(Body::Udp),
        1 => Just(Body::UdpWithoutChecksum),
        1 => Just(Body::EchoRequest),
        2 => Just(Body::Tcp(Flags::Syn)),
        2 => Just(Body::Tcp(Flags::SynAck)),
        8 => Just(Body::Tcp(Flags::Ack)),
        1 => Just(Body::Tcp(Flags::Fin)),
        1 => Just(Body::Tcp(Flags::Rst)),
    ];
    (
        zone,
        body,
        (address(), port()),
        (address(), port()),
        1u8..20,
        0usize..1_500,
    )
        .prop_map(|(zone, body, from, to, ttl, length)| {
            let length = if length < 1_300 { length % 8 } else { length };
            let bytes = packet(body, from, to, &vec![0x55; length]);
            (zone, with_ip(&bytes, |ip| ip.time_to_live = ttl))
        })
}

#[derive(Clone, Copy, Debug)]
enum Change {
    Wait(u64),
    Nothing,
    Unforward,
    Forward,
    Lose,
    Find,
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        300 => Just(Change::Nothing),
        20 => (0u64..40_000).prop_map(Change::Wait),
        3 => (0u64..700_000).prop_map(Change::Wait),
        1 => Just(Change::Unforward),
        3 => Just(Change::Forward),
        1 => Just(Change::Lose),
        3 => Just(Change::Find),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_carried_packet_has_the_fate_that_the_machine_would_have_given_it(
        steps in proptest::collection::vec((any_packet(), change()), 1..500)
    ) {
        // given two homes, one of which lets flows pass by its machine
        let mut plain = Home::with_web(NetworkPolicy::Wan);
        let mut home = Carried::new();
        home.attach();
        for ((zone, bytes), change) in steps {
            // when the same happens to both
            let event = match change {
                Change::Nothing => None,
                Change::Wait(ms) => {
                    plain.wait_ms(ms);
                    home.wait_ms(ms);
                    None
                }
                Change::Unforward => Some(NatEvent::Unforward { id: web_id() }),
                Change::Forward => {
                    for transport in [Transport::Tcp, Transport::Udp] {
                        plain.forward(Wan, transport, 443, 443);
                        home.forward(Wan, transport, 443);
                    }
                    None
                }
                Change::Lose => Some(NatEvent::WanAddress(None)),
                Change::Find => Some(NatEvent::WanAddress(Some(lease(EXTERNAL)))),
            };
            if let Some(event) = event {
                plain.event(event);
                home.event(event);
            }
            // then each packet becomes the same
            let wanted = plain.run(zone, &bytes);
            prop_assert_eq!(home.run(zone, &bytes), wanted);
            // and whoever carries, has two entries for each flow
            let carried = home.nat.carried();
            prop_assert_eq!(home.nat.carrier().entries.len(), 2 * carried);
        }
        // and the sums are the same
        home.nat.look_at_all(home.now);
        prop_assert_eq!(home.nat.counters().received, plain.nat.counters().received);
        prop_assert_eq!(home.nat.counters().forwarded, plain.nat.counters().forwarded);
        prop_assert!(home.nat.counters().balanced());
        prop_assert_eq!(home.nat.sessions.len(), plain.nat.sessions.len());
    }
}

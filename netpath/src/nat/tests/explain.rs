//! What is told about a packet is what the machine then does with it; and lists tell what there is.

use super::support::*;
use crate::counters::DropReason;
use crate::limits::{HOST_SHARE, LISTING_SCAN, SESSIONS_MAX};
use core::net::Ipv4Addr;
use hearth_model::protocol::{
    Endpoint, Flow, FlowPath, FlowProtocol, FlowState, NetworkPolicy, Place, TraceEnd, TraceStep,
    Transport, Zone, Zone::*,
};
use proptest::prelude::*;

fn end((address, port): End) -> Endpoint {
    Endpoint { address, port }
}

fn flow(from: Zone, protocol: FlowProtocol, source: End, destination: End) -> Flow {
    Flow {
        from,
        protocol,
        source: end(source),
        destination: end(destination),
    }
}

/// The packet that [`Flow`] means, made by another implementation.
fn opener(flow: &Flow) -> Vec<u8> {
    let body = match flow.protocol {
        FlowProtocol::Tcp => Body::Tcp(Flags::Syn),
        FlowProtocol::Udp => Body::UdpWithoutChecksum,
        FlowProtocol::Icmp => Body::EchoRequest,
    };
    let [from, to] = [flow.source, flow.destination].map(|end| (end.address, end.port));
    packet(body, from, to, b"")
}

/// What was told, in the words of what happens: the end, and how it leaves.
fn told(home: &Home, flow: &Flow) -> (TraceEnd, Option<(Endpoint, Endpoint)>) {
    let report = home.nat.explain(flow, home.now);
    let leaves = report.steps.iter().find_map(|step| match step {
        TraceStep::Leaves {
            source,
            destination,
            ..
        } => Some((*source, *destination)),
        _ => None,
    });
    (report.end, leaves)
}

/// Asks, then sends; both must say the same. Returns what happened.
fn check(home: &mut Home, flow: &Flow) -> Result<Out, TestCaseError> {
    let (told_end, leaves) = told(home, flow);
    let bytes = opener(flow);
    let out = home.run(flow.from, &bytes);
    match &out {
        Out::Forward(bytes) => {
            let (from, to) = ends(bytes);
            prop_assert_eq!(told_end, TraceEnd::Forwarded, "{:?}", flow);
            let (source, mut destination) = leaves.unwrap();
            if flow.protocol == FlowProtocol::Icmp {
                // an echo has one identifier, which `ends` shows at the end that asks
                destination.port = to.1;
            }
            prop_assert_eq!((source, destination), (end(from), end(to)), "{:?}", flow);
        }
        Out::Local => prop_assert_eq!(told_end, TraceEnd::Local, "{:?}", flow),
        Out::Dhcp(_) => prop_assert_eq!(told_end, TraceEnd::Dhcp, "{:?}", flow),
        Out::Reply(_) => {
            let told = matches!(told_end, TraceEnd::Dropped { told: true, .. });
            prop_assert!(told, "{:?}: {:?}", flow, told_end);
        }
        Out::Drop(reason) => {
            let told = false;
            let reason = *reason;
            prop_assert_eq!(told_end, TraceEnd::Dropped { reason, told }, "{:?}", flow);
        }
        Out::Held => prop_assert!(false, "a whole packet is never held"),
    }
    Ok(out)
}

fn busy_home() -> Home {
    let mut home = Home::with_web(NetworkPolicy::Lan);
    home.forward(Wan, Transport::Tcp, 443, 443);
    home.forward(Wan, Transport::Udp, 5_001, 53);
    home.forward(Lan, Transport::Tcp, 443, 443);
    home
}

fn any_flow() -> impl Strategy<Value = Flow> {
    let zone = prop_oneof![3 => Just(Lan), 3 => Just(Wan), 1 => Just(Service)];
    let protocol = prop_oneof![
        3 => Just(FlowProtocol::Tcp),
        3 => Just(FlowProtocol::Udp),
        1 => Just(FlowProtocol::Icmp)
    ];
    let address = || {
        prop_oneof![
            6 => prop_oneof![Just(ANN), Just(BOB), Just(FAR), Just(OTHER), Just(WEB)],
            3 => prop_oneof![Just(EXTERNAL), Just(GATEWAY), Just(ROUTER)],
            1 => any::<u32>().prop_map(Ipv4Addr::from),
        ]
    };
    let port = || prop_oneof![4 => 5_000u16..5_003, 1 => Just(443), 1 => Just(67), 1 => 0u16..70];
    let ends = ((address(), port()), (address(), port()));
    (zone, protocol, ends).prop_map(|(zone, protocol, (from, to))| flow(zone, protocol, from, to))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn what_is_told_is_what_then_happens(
        steps in proptest::collection::vec((any_flow(), 0u64..120_000, 0u8..6), 1..80)
    ) {
        // given a home with services, and traffic from all sides
        let mut home = busy_home();
        for (flow, wait, more) in steps {
            home.wait_ms(if more == 0 { wait } else { wait / 100 });
            // when somebody asks, and the packet then comes, then both say the same (`check`)
            let out = check(&mut home, &flow)?;
            // and the flow goes on for a while, so that other states are asked about too
            if let (Out::Forward(bytes), FlowProtocol::Tcp) = (&out, flow.protocol) {
                let (seen, target) = ends(bytes);
                let own = [flow.source, flow.destination].map(|e| (e.address, e.port));
                let back = [Lan, Wan, Service].into_iter().find(|zone| {
                    home.nat.places.check_source(*zone, target.0, seen.0).is_ok()
                });
                let back = back.unwrap_or(Wan);
                let segments = [
                    (back, Flags::SynAck, target, seen),
                    (flow.from, Flags::Ack, own[0], own[1]),
                    (flow.from, Flags::Fin, own[0], own[1]),
                    (back, Flags::Fin, target, seen),
                    (flow.from, Flags::Rst, own[0], own[1]),
                ];
                for (zone, flags, from, to) in segments.into_iter().take(usize::from(more)) {
                    home.run(zone, &packet(Body::Tcp(flags), from, to, b""));
                }
            }
        }
    }
}

fn steps_of(home: &Home, flow: &Flow) -> Vec<TraceStep> {
    home.nat.explain(flow, home.now).steps.to_vec()
}

#[test]
fn a_new_flow_is_told_step_by_step_and_a_live_one_as_such() {
    // given a home, and a flow that nobody has opened
    let mut home = Home::new();
    let out = flow(Lan, FlowProtocol::Udp, (ANN, 5_000), (FAR, 9_000));
    let external = end((EXTERNAL, 5_000));
    // when somebody asks twice, then the same is told: nothing was opened
    for _ in 0..2 {
        assert_eq!(
            steps_of(&home, &out),
            [
                TraceStep::Arrives(Lan),
                TraceStep::Goes(Place::Wan),
                TraceStep::New,
                TraceStep::Share(0),
                TraceStep::Mapping {
                    external,
                    there: false
                },
                TraceStep::Leaves {
                    to: Wan,
                    source: external,
                    destination: end((FAR, 9_000))
                },
                TraceStep::Hop(Some(Ipv4Addr::new(203, 0, 113, 1))),
                TraceStep::Path(FlowPath::After(crate::limits::CARRY_AFTER)),
            ]
        );
    }
    assert_eq!(home.nat.list_sessions(0, None, home.now).0.len(), 0);
    // when it is opened and 40 s pass, then it is told as known, from both ends
    home.pass(Lan, Body::Udp, (ANN, 5_000), (FAR, 9_000));
    home.wait_ms(40_000);
    let known = |answer| TraceStep::Known {
        answer,
        state: FlowState::Active,
        left_s: 260,
    };
    assert!(steps_of(&home, &out).contains(&known(false)));
    let back = flow(Wan, FlowProtocol::Udp, (FAR, 9_000), (EXTERNAL, 5_000));
    assert!(steps_of(&home, &back).contains(&known(true)));
    // and another port of that address is let in by the filter, another address is not
    let other = flow(Wan, FlowProtocol::Udp, (FAR, 9_001), (EXTERNAL, 5_000));
    assert!(steps_of(&home, &other).contains(&TraceStep::Filter(260)));
    let stranger = flow(Wan, FlowProtocol::Udp, (OTHER, 9_000), (EXTERNAL, 5_000));
    let reason = DropReason::Filtered;
    let dropped = TraceEnd::Dropped {
        reason,
        told: false,
    };
    assert_eq!(told(&home, &stranger), (dropped, None));
}

#[test]
fn a_full_share_and_a_missing_address_are_told_before_they_are_met() {
    // given a host that has its full share
    let mut home = Home::new();
    for number in 0..HOST_SHARE {
        let port = u16::try_from(1_024 + number).unwrap();
        home.pass(Lan, Body::Udp, (ANN, port), (FAR, 9_000));
    }
    // then one more of it would be refused and told, as it is; another host's would not
    let more = flow(Lan, FlowProtocol::Udp, (ANN, 60_000), (FAR, 9_000));
    let full = TraceEnd::Dropped {
        reason: DropReason::HostShareFull,
        told: true,
    };
    assert_eq!(told(&home, &more), (full, None));
    assert!(matches!(check(&mut home, &more), Ok(Out::Reply(_))));
    let bob = flow(Lan, FlowProtocol::Udp, (BOB, 60_000), (FAR, 9_000));
    assert!(matches!(check(&mut home, &bob), Ok(Out::Forward(_))));
    // and while the Internet has given no address, nobody's would leave
    home.event(crate::nat::NatEvent::WanAddress(None));
    let away = TraceEnd::Dropped {
        reason: DropReason::NoWanAddress,
        told: true,
    };
    assert_eq!(told(&home, &bob), (away, None));
}

#[test]
fn lists_tell_every_flow_once_in_bounded_pages() {
    // given flows of two hosts, one of them opened from outside
    let mut home = Home::with_web(NetworkPolicy::Wan);
    home.forward(Wan, Transport::Tcp, 443, 443);
    for port in 0..700 {
        home.pass(Lan, Body::Udp, (ANN, 10_000 + port), (FAR, 9_000));
    }
    home.connect((Wan, Service), (OTHER, 7_000), (EXTERNAL, 443));
    home.wait_ms(7_000);
    // when all pages are read
    let (mut all, mut from, mut pages) = (Vec::new(), 0, 0);
    loop {
        let (rows, next) = home.nat.list_sessions(from, None, home.now);
        all.extend(rows);
        pages += 1;
        match next {
            Some(next) => from = next,
            None => break,
        }
    }
    // then each is there once, and the empty rest of the table took bounded steps
    assert_eq!(all.len(), 701);
    assert!(pages >= SESSIONS_MAX / LISTING_SCAN, "{pages}");
    let ports: std::collections::BTreeSet<_> = all.iter().map(|row| row.inside.port).collect();
    assert_eq!(ports.len(), 701);
    let row = all.iter().find(|row| row.incoming).unwrap();
    assert_eq!(
        (row.inside, row.outside, row.remote, row.state),
        (
            end((WEB, 443)),
            end((EXTERNAL, 443)),
            end((OTHER, 7_000)),
            FlowState::Established
        )
    );
    let row = all
        .iter()
        .find(|row| row.inside == end((ANN, 10_003)))
        .unwrap();
    assert_eq!(
        (row.outside, row.idle_s, row.left_s),
        (end((EXTERNAL, 10_003)), 7, 293)
    );
    // and a host's own are found alone
    let (rows, _) = home.nat.list_sessions(512, Some(WEB), home.now);
    assert_eq!(rows.len(), 1);
}

#[test]
fn who_talks_is_counted_both_ways_and_lately() {
    // given a flow with packets both ways: 20 + 8 + 4 bytes each
    let mut home = Home::new();
    for _ in 0..3 {
        home.pass(Lan, Body::Udp, (ANN, 5_000), (FAR, 9_000));
    }
    home.pass(Wan, Body::Udp, (FAR, 9_000), (EXTERNAL, 5_000));
    let row = |home: &Home| {
        let ((rows, next), window) = home.nat.list_hosts(0);
        assert_eq!((rows.len(), next), (1, None));
        (rows[0], window)
    };
    // then the sums are there at once
    let (host, _) = row(&home);
    assert_eq!((host.address, host.sessions), (ANN, 1));
    assert_eq!((host.sent.packets, host.sent.bytes), (3, 96));
    assert_eq!((host.received.packets, host.received.bytes), (1, 32));
    // and after a window they are what happened lately, and after two nothing did
    let turn = |home: &mut Home| (0..10).for_each(|_| home.wait_ms(1_000));
    turn(&mut home);
    assert_eq!(row(&home).0.sent_lately.packets, 3);
    home.pass(Lan, Body::Udp, (ANN, 5_000), (FAR, 9_000));
    turn(&mut home);
    let (host, window) = row(&home);
    assert_eq!(
        (host.sent_lately.packets, host.received_lately.packets),
        (1, 0)
    );
    assert_eq!(window, 10_000);
    turn(&mut home);
    assert_eq!(row(&home).0.sent_lately.packets, 0);
    assert_eq!(row(&home).0.sent.packets, 4);
}

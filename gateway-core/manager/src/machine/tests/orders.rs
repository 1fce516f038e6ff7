//! Any order of events.

use super::*;
use crate::limits::{INIT_ANSWER_MS, NETPATH_ANSWER_MS};
use crate::machine::service::{Asked, Phase};
use proptest::prelude::*;

/// Every event, for a service of each kind.
fn any_event() -> impl Strategy<Value = Event> {
    let states = [
        UnitState::Idle,
        UnitState::Starting,
        UnitState::Active,
        UnitState::Stopping,
        UnitState::Restarting,
    ];
    let n = 0_u16..3;
    prop_oneof![
        (n.clone(), prop::sample::select(states.to_vec())).prop_map(|(n, s)| told(n, s)),
        n.clone()
            .prop_map(|n| taken(n, ["web", "calc", "dns"][usize::from(n)])),
        n.clone()
            .prop_map(|n| Event::InitRefused(Some(id(n)), InitRefusal::Unknown)),
        Just(Event::InitWelcomeEnd),
        Just(Event::NetUp),
        Just(Event::NetDown),
        n.clone().prop_map(|n| Event::Attached(id(n))),
        n.clone().prop_map(|n| Event::Detached(id(n))),
        n.clone().prop_map(|n| Event::Forwarded(id(n))),
        n.clone()
            .prop_map(|n| Event::NetRefused(Some(id(n)), NetRefusal::ForwardsFull)),
        n.clone().prop_map(|n| Event::Prepared(id(n))),
        n.clone().prop_map(|n| Event::Failed(id(n), "no".into())),
        n.clone().prop_map(|n| Event::Start(id(n))),
        n.clone().prop_map(|n| Event::StartWithRoom(id(n))),
        n.clone().prop_map(|n| Event::Stop(id(n))),
        n.clone().prop_map(|n| {
            let order = ["web", "calc", "dns"].into_iter().skip(usize::from(n));
            Event::Ranked(order.map(|name| ServiceName::new(name).unwrap()).collect())
        }),
        n.prop_map(|n| Event::Restart(id(n))),
        (0_u8..9).prop_map(|host| Event::Relink(vec![(id(0), Some(super::relink::at(host)))])),
        Just(Event::Deadline),
    ]
}

proptest! {
    #[test]
    fn in_any_order_of_events_promises_and_states_agree(
        events in prop::collection::vec((any_event(), 0_u64..4000), 1..80)
    ) {
        let packages = vec![
            (package("web", WEB), Wanted::Running),
            (package("calc", ""), Wanted::Running),
            (package("dns", "network = \"lan\"\nlink = \"bridged\""), Wanted::Stopped),
        ];
        let mut bench = Bench::new(packages);
        for (event, wait) in events {
            bench.1 = bench.1.after_ms(wait);
            let greeted = event == Event::InitWelcomeEnd;
            // What is planned anew was admitted before.
            let again = matches!(event, Event::Relink(_));
            let actions = bench.on(event);
            for (n, service) in bench.0.services() {
                // a promise is held exactly while it runs or is about to
                let busy = service.is_running() || service.phase != Phase::Rest;
                let stopping = matches!(service.phase, Phase::Waiting { asked: Asked::Stop, .. });
                let waits = service.phase == Phase::MakingRoom && service.admitted.is_none();
                prop_assert!(
                    service.admitted.is_some() == busy || stopping || waits,
                    "{n} {service:?} {actions:?} {greeted}"
                );
                // room is made by those who end, and by nobody else
                prop_assert!(!waits || bench.0.making_room_for() == Some(&service.name));
                // what is launched is in no other phase than that
                if actions.contains(&Action::Launch(n)) {
                    let launched =
                        matches!(service.phase, Phase::Waiting { asked: Asked::Start, .. });
                    prop_assert!(launched, "{service:?}");
                }
            }
            // no more is promised than there is, but to what ran before this manager did
            let admitted = actions.iter().any(|action| matches!(action, Action::Prepare(_)));
            let free = bench.0.budget().for_services().memory;
            prop_assert!(!admitted || again || bench.0.promised().memory <= free, "{actions:?}");
            // nothing waits without a deadline, but for netpath
            let due = bench.0.next_deadline();
            prop_assert!(due.is_none_or(|at| at.0 <= bench.1.0 + NETPATH_ANSWER_MS.max(INIT_ANSWER_MS)));
        }
    }
}

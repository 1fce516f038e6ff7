//! Services follow the gateway's own networks.

use super::*;

/// A link with another address.
pub fn at(host: u8) -> Link {
    Link::Routed {
        address: [192, 168, 44, host].into(),
        policy: NetworkPolicy::Lan,
    }
}

fn relinked() -> Event {
    Event::Relink(vec![(id(0), Some(at(7)))])
}

/// Whether netpath is asked for the new link.
fn asks_for_new(actions: &[Action]) -> bool {
    let asked = |action: &&Action| matches!(action, Action::Attach(..));
    let asked: Vec<&Action> = actions.iter().filter(asked).collect();
    asked.len() == 1 && matches!(asked[0], Action::Attach(_, link, _) if *link == at(7))
}

#[test]
fn what_runs_is_ended_and_started_anew_with_the_new_link() {
    // given a service that runs
    let mut bench = running();
    // when its link is another one, then it is ended, and the household's wish stays
    assert_eq!(bench.on(relinked()), [Action::SendStop(id(0))]);
    assert_eq!(bench.0.service(id(0)).unwrap().wanted, Wanted::Running);
    // and twice is once
    assert_eq!(bench.on(relinked()), []);
    // and when netpath goes and PID 1 says that it has ended, then it is prepared anew
    bench.on(Event::NetDown);
    assert_eq!(bench.on(told(0, UnitState::Idle)), [Action::Prepare(id(0))]);
    bench.on(Event::Prepared(id(0)));
    // and has its new link as soon as netpath is there
    assert!(asks_for_new(&bench.on(Event::NetUp)));
    bench.all([
        Event::Attached(id(0)),
        Event::Forwarded(id(0)),
        Event::Forwarded(id(0)),
    ]);
    bench.on(told(0, UnitState::Active));
    assert_eq!(bench.state(0), UnitState::Active);
}

#[test]
fn what_is_on_its_way_begins_again_and_what_is_stopped_stays_so() {
    // given a service that waits for netpath, when its link is another one
    let mut bench = Bench::new(vec![(package("web", WEB), Wanted::Running)]);
    bench.all([Event::InitWelcomeEnd, Event::Prepared(id(0))]);
    // then it is prepared anew: its gates are of before
    assert_eq!(bench.on(relinked()), [Action::Prepare(id(0))]);
    bench.on(Event::Prepared(id(0)));
    assert!(asks_for_new(&bench.on(Event::NetUp)));
    // given one that PID 1 was asked to start, then it is ended first
    bench.all([
        Event::Attached(id(0)),
        Event::Forwarded(id(0)),
        Event::Forwarded(id(0)),
    ]);
    assert_eq!(bench.on(relinked()), [Action::SendStop(id(0))]);
    // given one that the household has stopped
    let mut bench = running();
    bench.on(Event::Stop(id(0)));
    assert_eq!(bench.on(relinked()), [], "it ends already");
    bench.on(told(0, UnitState::Idle));
    assert_eq!(bench.on(relinked()), []);
    // when it is started again, then with the new link
    bench.on(Event::Start(id(0)));
    assert!(asks_for_new(&bench.on(Event::Prepared(id(0)))));
}

#[test]
fn what_pid_1_ends_for_its_next_run_has_the_new_link_in_it() {
    // given a service that PID 1 ends to start it again
    let mut bench = running();
    bench.all([Event::Restart(id(0)), told(0, UnitState::Stopping)]);
    // when its link is another one, then PID 1 leaves it at rest, once
    assert_eq!(bench.on(relinked()), [Action::SendStop(id(0))]);
    assert_eq!(bench.on(relinked()), []);
    bench.on(told(0, UnitState::Stopping));
    assert_eq!(bench.on(relinked()), []);
    // and it is begun here, with the new link
    assert_eq!(bench.on(told(0, UnitState::Idle)), [Action::Prepare(id(0))]);
    assert!(asks_for_new(&bench.on(Event::Prepared(id(0)))));
}

#[test]
fn a_service_without_a_link_goes_on() {
    let mut bench = Bench::new(vec![(package("calc", ""), Wanted::Running)]);
    bench.all([
        Event::InitWelcomeEnd,
        Event::Prepared(id(0)),
        taken(0, "calc"),
        told(0, UnitState::Active),
    ]);
    assert_eq!(bench.on(Event::Relink(vec![(id(0), None)])), []);
    assert_eq!(bench.state(0), UnitState::Active);
}

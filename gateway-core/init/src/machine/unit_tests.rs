//! The whole (state x event) table of a unit, and random lives.

use super::*;
use hearth_model::step::Step;
use proptest::prelude::*;

const FAILURE: StepFailure = StepFailure {
    step: Step::RootImage,
    index: 0,
    errno: 2,
};
const TERMS: Terms = Terms {
    restart: RestartPolicy {
        when: RestartWhen::Always,
        delay_min_ms: 100,
        delay_max_ms: 1_000,
        retries_max: 3,
        reset_after_ms: 5_000,
    },
    stop_grace_ms: 2_000,
};
const NOW: Tick = Tick(1_000);

fn terms(when: RestartWhen) -> Terms {
    Terms {
        restart: RestartPolicy {
            when,
            ..TERMS.restart
        },
        ..TERMS
    }
}

/// A unit in this state, by the shortest way there, at [`NOW`].
fn unit_in(state: UnitState) -> Unit {
    let mut unit = Unit::new(TERMS, NOW);
    let events: &[Event] = match state {
        UnitState::Idle => &[],
        UnitState::Starting => &[Event::Start, Event::Spawned(7)],
        UnitState::Active => &[Event::Start, Event::Spawned(7), Event::Ready],
        UnitState::Stopping => &[Event::Start, Event::Spawned(7), Event::Ready, Event::Stop],
        UnitState::Restarting => &[
            Event::Start,
            Event::Spawned(7),
            Event::Exited(LastExit::Code(1)),
        ],
    };
    for &event in events {
        unit.step(event, NOW);
    }
    assert_eq!(unit.status().state, state);
    unit
}

const STATES: [UnitState; 5] = [
    UnitState::Idle,
    UnitState::Starting,
    UnitState::Active,
    UnitState::Stopping,
    UnitState::Restarting,
];
const EVENTS: [Event; 9] = [
    Event::Start,
    Event::Stop,
    Event::Restart,
    Event::Spawned(9),
    Event::SpawnFailed(FAILURE),
    Event::Ready,
    Event::StepFailed(FAILURE),
    Event::Exited(LastExit::Signal(11)),
    Event::Time,
];

#[test]
fn every_pair_of_state_and_event_does_what_the_table_says() {
    use Action::{Kill, Signal, Spawn};
    use UnitState::{Active, Idle, Restarting, Starting, Stopping};
    // given, for each state, what each of EVENTS leads to and asks for
    #[rustfmt::skip]
    let table: [[(UnitState, Option<Action>); 9]; 5] = [
        [(Starting, Some(Spawn)), (Idle, None), (Starting, Some(Spawn)), (Idle, None), (Idle, None), (Idle, None), (Idle, None), (Idle, None), (Idle, None)],
        [(Starting, None), (Stopping, Some(Kill)), (Stopping, Some(Kill)), (Starting, None), (Restarting, None), (Active, None), (Starting, None), (Restarting, None), (Starting, Some(Kill))],
        [(Active, None), (Stopping, Some(Signal)), (Stopping, Some(Signal)), (Active, None), (Active, None), (Active, None), (Active, None), (Restarting, None), (Active, None)],
        [(Stopping, None), (Stopping, None), (Stopping, None), (Stopping, Some(Kill)), (Idle, None), (Stopping, None), (Stopping, None), (Idle, None), (Stopping, Some(Kill))],
        [(Starting, Some(Spawn)), (Idle, None), (Starting, Some(Spawn)), (Restarting, None), (Restarting, None), (Restarting, None), (Restarting, None), (Restarting, None), (Starting, Some(Spawn))],
    ];
    for (state, row) in STATES.into_iter().zip(table) {
        for (event, (next, action)) in EVENTS.into_iter().zip(row) {
            let mut unit = unit_in(state);
            // when the event comes long after every deadline
            let actions = unit.step(event, Tick(1_000_000));
            // then
            assert_eq!(unit.status().state, next, "{state} {event:?}");
            assert_eq!(actions.first().copied(), action, "{state} {event:?}");
        }
    }
}

#[test]
fn time_before_the_deadline_changes_nothing() {
    for state in STATES {
        let mut unit = unit_in(state);
        let before = unit;
        assert!(unit.step(Event::Time, NOW).is_empty());
        assert_eq!(unit, before, "{state}");
    }
}

#[test]
fn waits_double_up_to_the_longest_and_then_it_is_given_up() {
    // given a unit that dies at once, every time
    let mut unit = unit_in(UnitState::Starting);
    let mut now = NOW;
    let mut waits = std::vec::Vec::new();
    // when it is started again and again
    while {
        unit.step(Event::Exited(LastExit::Code(1)), now);
        unit.status().state == UnitState::Restarting
    } {
        let at = unit.next_deadline().unwrap();
        waits.push(at.since_ms(now));
        now = at;
        assert_eq!(unit.step(Event::Time, now).first(), Some(&Action::Spawn));
        unit.step(Event::Spawned(8), now);
    }
    // then
    assert_eq!(waits, [100, 200, 400]);
    assert_eq!(unit.status().fault, Fault::UnStartable);
    assert_eq!(unit.status().state, UnitState::Idle);
}

#[test]
fn a_long_run_forgets_the_failures_before_it() {
    let mut unit = unit_in(UnitState::Restarting);
    let at = unit.next_deadline().unwrap();
    unit.step(Event::Time, at);
    unit.step(Event::Spawned(8), at);
    unit.step(Event::Ready, at);
    unit.step(Event::Time, at.after_ms(5_000));
    unit.step(Event::Exited(LastExit::Signal(9)), at.after_ms(6_000));
    // A wait of 100 is over since its start.
    assert_eq!(unit.next_deadline(), Some(at.after_ms(6_000)));
    assert_eq!(unit.status().fault, Fault::FailureWhileActive);
}

#[test]
fn waits_are_between_two_starts_so_that_a_killed_service_is_back_at_once() {
    // given a unit that ran for longer than its first wait of 100
    let mut unit = unit_in(UnitState::Active);
    // when it is killed again and again, each time after a run of 150
    let mut starts = std::vec::Vec::new();
    let mut now = NOW;
    for _ in 0..3 {
        now = now.after_ms(150);
        unit.step(Event::Exited(LastExit::Signal(9)), now);
        let at = unit.next_deadline().unwrap();
        starts.push(at.since_ms(now));
        now = at;
        assert_eq!(unit.step(Event::Time, now).first(), Some(&Action::Spawn));
        unit.step(Event::Spawned(8), now);
        unit.step(Event::Ready, now);
    }
    // then the first time it is back at once, and later no faster than its waits of 200 and 400 allow
    assert_eq!(starts, [0, 50, 250]);
}

#[test]
fn the_failed_step_is_the_reason_not_the_exit_status_behind_it() {
    let mut unit = unit_in(UnitState::Starting);
    unit.step(Event::StepFailed(FAILURE), NOW);
    unit.step(Event::Exited(LastExit::Code(127)), NOW);
    assert_eq!(unit.status().last_exit, LastExit::Step(FAILURE));
    assert_eq!(unit.status().fault, Fault::FailureOnStart);
}

#[test]
fn policies_decide_which_ends_are_followed_by_a_start() {
    for (when, exit, state, fault) in [
        (
            RestartWhen::OnFailure,
            LastExit::Code(0),
            UnitState::Idle,
            Fault::NoFault,
        ),
        (
            RestartWhen::OnFailure,
            LastExit::Code(1),
            UnitState::Restarting,
            Fault::FailureWhileActive,
        ),
        (
            RestartWhen::Never,
            LastExit::Signal(9),
            UnitState::Idle,
            Fault::FailureWhileActive,
        ),
        (
            RestartWhen::Never,
            LastExit::Code(0),
            UnitState::Idle,
            Fault::NoFault,
        ),
        (
            RestartWhen::Always,
            LastExit::Code(0),
            UnitState::Restarting,
            Fault::FailureWhileActive,
        ),
    ] {
        let mut unit = Unit::new(terms(when), NOW);
        for event in [
            Event::Start,
            Event::Spawned(3),
            Event::Ready,
            Event::Exited(exit),
        ] {
            unit.step(event, NOW);
        }
        assert_eq!(
            (unit.status().state, unit.status().fault),
            (state, fault),
            "{when:?} {exit:?}"
        );
    }
}

#[test]
fn a_stop_that_needs_sigkill_says_so() {
    let mut unit = unit_in(UnitState::Stopping);
    assert_eq!(
        unit.step(Event::Time, NOW.after_ms(2_000)).first(),
        Some(&Action::Kill)
    );
    unit.step(Event::Exited(LastExit::Signal(9)), NOW.after_ms(2_001));
    assert_eq!(unit.status().fault, Fault::FailureOnStop);
    assert_eq!(unit.status().state, UnitState::Idle);
}

proptest! {
    #[test]
    fn a_random_life_never_has_two_processes(events in proptest::collection::vec((0..EVENTS.len(), 0u64..3_000), 0..200)) {
        let mut unit = Unit::new(TERMS, Tick(0));
        let (mut now, mut running) = (Tick(0), false);
        for (which, ms) in events {
            now = now.after_ms(ms);
            let event = EVENTS[which];
            // only what can happen: outcomes follow Spawn, an exit ends what runs
            if matches!(event, Event::Spawned(_) | Event::SpawnFailed(_)) { continue; }
            if matches!(event, Event::Exited(_)) {
                if !running { continue; }
                running = false;
            }
            for action in unit.step(event, now) {
                if action == Action::Spawn {
                    prop_assert!(!running);
                    if ms % 5 == 0 {
                        unit.step(Event::SpawnFailed(FAILURE), now);
                    } else {
                        running = true;
                        unit.step(Event::Spawned(9), now);
                    }
                } else {
                    prop_assert!(running);
                }
            }
            let state = unit.status().state;
            let lives = matches!(state, UnitState::Starting | UnitState::Active | UnitState::Stopping);
            prop_assert_eq!(lives, running, "{}", state);
            prop_assert_eq!(unit.status().pid != 0, running);
        }
    }
}

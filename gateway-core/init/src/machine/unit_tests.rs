//! The whole (state x event) table of a unit, and random lives.

use super::*;
use hearth_model::protocol::RestartWhen;
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
    active: ActiveWhen::Ready,
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

/// The rows of the table: the states, of which Starting is two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Idle,
    Built,
    Awaited,
    Active,
    Stopping,
    Restarting,
}

impl At {
    const ALL: [At; 6] = [
        At::Idle,
        At::Built,
        At::Awaited,
        At::Active,
        At::Stopping,
        At::Restarting,
    ];

    fn of(unit: &Unit) -> At {
        let status = unit.status();
        match (status.state, status.readiness) {
            (UnitState::Idle, _) => At::Idle,
            (UnitState::Starting, Readiness::NotAsked) => At::Built,
            (UnitState::Starting, Readiness::Awaited) => At::Awaited,
            (UnitState::Active, _) => At::Active,
            (UnitState::Stopping, _) => At::Stopping,
            (UnitState::Restarting, _) => At::Restarting,
        }
    }
}

/// A unit there, by the shortest way, at [`NOW`].
fn unit_at(at: At) -> Unit {
    let mut unit = Unit::new(TERMS, NOW);
    let life = [
        Event::Start(Asked::Person),
        Event::Spawned(7),
        Event::Executed,
        Event::Ready(7),
        Event::Stop,
    ];
    let events: &[Event] = match at {
        At::Idle => &[],
        At::Built => &life[..2],
        At::Awaited => &life[..3],
        At::Active => &life[..4],
        At::Stopping => &life,
        At::Restarting => &[life[0], life[1], Event::Exited(LastExit::Code(1))],
    };
    for &event in events {
        unit.step(event, NOW);
    }
    assert_eq!(At::of(&unit), at);
    unit
}

const EVENTS: [Event; 15] = [
    Event::Start(Asked::Policy),
    Event::Stop,
    Event::Withdraw,
    Event::Restart,
    Event::Spawned(9),
    Event::SpawnFailed(FAILURE),
    Event::Executed,
    Event::StepFailed(FAILURE),
    Event::Ready(7),
    Event::Ready(8),
    Event::Condemn(7, Condemned::NotReady),
    Event::Condemn(7, Condemned::Hung),
    Event::Condemn(8, Condemned::Hung),
    Event::Exited(LastExit::Signal(11)),
    Event::Time,
];

/// For each of [`At::ALL`], what each of [`EVENTS`] leads to and asks for. "-": nothing changes, for the
/// reason that is written where the state is. "=": something is remembered; state and outside stay.
#[rustfmt::skip]
const TABLE: [[&str; 15]; 6] = [
    // Start           Stop               Withdraw           Restart            Spawned          SpawnFailed   Executed   StepFailed
    // Ready of it, of another run; Condemn of it: NotReady, Hung; of another; Exited; Time
    ["Built Spawn",    "-",               "-",               "Built Spawn",     "-",             "-",          "-",       "-",
     "-",      "-", "-",               "-",             "-", "-",          "-"],
    ["=",              "Stopping Kill",   "Stopping Kill",   "Stopping Kill",   "=",             "Restarting", "Awaited", "=",
     "-",      "-", "-",               "-",             "-", "Restarting", "Built Kill"],
    ["=",              "Stopping Signal", "Stopping Signal", "Stopping Signal", "-",             "-",          "-",       "-",
     "Active", "-", "Stopping Signal", "Stopping Kill", "-", "Restarting", "-"],
    ["-",              "Stopping Signal", "Stopping Signal", "Stopping Signal", "-",             "-",          "-",       "-",
     "-",      "-", "-",               "Stopping Kill", "-", "Restarting", "="],
    ["=",              "-",               "-",               "=",               "Stopping Kill", "Idle",       "-",       "=",
     "-",      "-", "-",               "-",             "-", "Idle",       "Stopping Kill"],
    ["Built Spawn",    "Idle",            "Idle",            "Built Spawn",     "-",             "-",          "-",       "-",
     "-",      "-", "-",               "-",             "-", "-",          "Built Spawn"],
];

#[test]
fn every_pair_of_state_and_event_does_what_the_table_says() {
    for (at, row) in At::ALL.into_iter().zip(TABLE) {
        for (event, expected) in EVENTS.into_iter().zip(row) {
            let mut unit = unit_at(at);
            let before = unit;
            // when the event comes long after every deadline
            let actions = unit.step(event, Tick(1_000_000));
            // then
            let found = match (unit == before, actions.first()) {
                (true, None) => "-".to_owned(),
                (false, None) if At::of(&unit) == at => "=".to_owned(),
                (_, None) => std::format!("{:?}", At::of(&unit)),
                (_, Some(action)) => std::format!("{:?} {action:?}", At::of(&unit)),
            };
            assert_eq!(found, expected, "{at:?} {event:?}");
        }
    }
}

/// What a unit that ends after these events comes to.
fn end_of(at: At, events: &[Event]) -> (At, Fault, LastExit) {
    let mut unit = unit_at(at);
    for &event in events {
        unit.step(event, NOW);
    }
    let status = unit.status();
    (At::of(&unit), status.fault, status.last_exit)
}

const TERMED: Event = Event::Exited(LastExit::Signal(15));

#[test]
fn a_run_that_is_condemned_fails_for_that_reason() {
    let (late, hung) = (
        Event::Condemn(7, Condemned::NotReady),
        Event::Condemn(7, Condemned::Hung),
    );
    for (at, events, fault, exit) in [
        (
            At::Awaited,
            [late, TERMED],
            Fault::FailureOnStart,
            LastExit::NotReady,
        ),
        (
            At::Awaited,
            [hung, TERMED],
            Fault::FailureOnStart,
            LastExit::Hung,
        ),
        (
            At::Active,
            [hung, TERMED],
            Fault::FailureWhileActive,
            LastExit::Hung,
        ),
    ] {
        assert_eq!(end_of(at, &events), (At::Restarting, fault, exit), "{at:?}");
    }
    // and a person's word that comes meanwhile counts more
    assert_eq!(
        end_of(At::Active, &[hung, Event::Stop, TERMED]),
        (At::Idle, Fault::NoFault, LastExit::Signal(15))
    );
    let (at, fault, _) = end_of(At::Awaited, &[late, Event::Restart, TERMED]);
    assert_eq!((at, fault), (At::Built, Fault::NoFault));
}

#[test]
fn a_start_that_nobody_asked_for_fails_by_that_name() {
    // given a start at boot that is condemned
    let late = Event::Condemn(7, Condemned::NotReady);
    let events = [Event::Start(Asked::Policy), late, TERMED];
    assert_eq!(end_of(At::Awaited, &events).1, Fault::FailureOnAutoStart);
}

#[test]
fn what_is_withdrawn_rests_with_the_dependencys_fault() {
    for at in [At::Built, At::Awaited, At::Active] {
        let (end, fault, _) = end_of(at, &[Event::Withdraw, TERMED]);
        assert_eq!((end, fault), (At::Idle, Fault::DependencyFailure), "{at:?}");
    }
    let (end, fault, _) = end_of(At::Restarting, &[Event::Withdraw]);
    assert_eq!((end, fault), (At::Idle, Fault::DependencyFailure));
    // a stop is a stop, whatever else happens
    let (_, fault, _) = end_of(At::Active, &[Event::Stop, Event::Withdraw, TERMED]);
    assert_eq!(fault, Fault::NoFault);
    // a run that is to follow does not
    let (end, fault, _) = end_of(At::Active, &[Event::Restart, Event::Withdraw, TERMED]);
    assert_eq!((end, fault), (At::Idle, Fault::DependencyFailure));
}

#[test]
fn runs_that_are_never_ready_are_given_up() {
    // given a unit that is condemned each time
    let mut unit = unit_at(At::Awaited);
    let mut tries = 1;
    // when it is tried again and again
    loop {
        unit.step(Event::Condemn(7, Condemned::NotReady), NOW);
        unit.step(TERMED, NOW);
        let Some(at) = unit.next_deadline() else {
            break;
        };
        tries += 1;
        for event in [Event::Time, Event::Spawned(7), Event::Executed] {
            unit.step(event, at);
        }
        assert_eq!(At::of(&unit), At::Awaited);
    }
    // then
    assert_eq!((tries, unit.status().fault), (4, Fault::UnStartable));
    assert_eq!(unit.status().last_exit, LastExit::NotReady);
}

#[test]
fn without_readiness_a_unit_is_active_when_its_program_runs() {
    let terms = Terms {
        active: ActiveWhen::Executed,
        ..TERMS
    };
    let mut unit = Unit::new(terms, NOW);
    for event in [
        Event::Start(Asked::Person),
        Event::Spawned(7),
        Event::Executed,
    ] {
        unit.step(event, NOW);
    }
    assert_eq!(At::of(&unit), At::Active);
}

#[test]
fn time_before_the_deadline_changes_nothing() {
    for at in At::ALL {
        let mut unit = unit_at(at);
        let before = unit;
        assert!(unit.step(Event::Time, NOW).is_empty());
        assert_eq!(unit, before, "{at:?}");
    }
}

#[test]
fn waits_double_up_to_the_longest_and_then_it_is_given_up() {
    // given a unit that dies at once, every time
    let mut unit = unit_at(At::Built);
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
    let mut unit = unit_at(At::Restarting);
    let at = unit.next_deadline().unwrap();
    unit.step(Event::Time, at);
    unit.step(Event::Spawned(8), at);
    unit.step(Event::Executed, at);
    unit.step(Event::Ready(8), at);
    unit.step(Event::Time, at.after_ms(5_000));
    unit.step(Event::Exited(LastExit::Signal(9)), at.after_ms(6_000));
    // A wait of 100 is over since its start.
    assert_eq!(unit.next_deadline(), Some(at.after_ms(6_000)));
    assert_eq!(unit.status().fault, Fault::FailureWhileActive);
}

#[test]
fn waits_are_between_two_starts_so_that_a_killed_service_is_back_at_once() {
    // given a unit that ran for longer than its first wait of 100
    let mut unit = unit_at(At::Active);
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
        unit.step(Event::Executed, now);
        unit.step(Event::Ready(8), now);
    }
    // then the first time it is back at once, and later no faster than its waits of 200 and 400 allow
    assert_eq!(starts, [0, 50, 250]);
}

#[test]
fn the_failed_step_is_the_reason_not_the_exit_status_behind_it() {
    let mut unit = unit_at(At::Built);
    unit.step(Event::StepFailed(FAILURE), NOW);
    unit.step(Event::Exited(LastExit::Code(127)), NOW);
    assert_eq!(unit.status().last_exit, LastExit::Step(FAILURE));
    assert_eq!(unit.status().fault, Fault::FailureOnStart);
}

#[test]
fn a_start_that_is_awaited_began_when_its_launcher_did() {
    // given a launcher
    let mut unit = Unit::new(terms(RestartWhen::Always), NOW);
    unit.step(Event::Start(Asked::Person), NOW);
    unit.step(Event::Spawned(7), NOW);
    // when its program runs, and PID 1 hears of it later
    unit.step(Event::Executed, NOW.after_ms(900));
    // then what the program has said meanwhile is not from before this start
    assert_eq!(unit.status().readiness, Readiness::Awaited);
    assert_eq!(unit.status().since, NOW);
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
            Event::Start(Asked::Person),
            Event::Spawned(3),
            Event::Executed,
            Event::Ready(3),
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
    let mut unit = unit_at(At::Stopping);
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

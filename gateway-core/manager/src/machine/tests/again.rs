//! One run after another: who begins the next one, and how often.

use super::*;

/// `web` while PID 1 ends it for a next run of its own.
fn on_its_way() -> Bench {
    let mut bench = running();
    bench.all([Event::Restart(id(0)), told(0, UnitState::Stopping)]);
    bench
}

fn begin_again(bench: &mut Bench) {
    bench.all([
        Event::Prepared(id(0)),
        Event::Attached(id(0)),
        Event::Forwarded(id(0)),
        Event::Forwarded(id(0)),
        taken(0, "web"),
        told(0, UnitState::Active),
    ]);
}

#[test]
fn a_start_while_pid_1_ends_it_for_its_next_run_is_one_start() {
    // given a service that PID 1 ends to start it again
    let mut bench = on_its_way();
    // when a start is asked, then PID 1 leaves it at rest, and it is begun here
    assert_eq!(bench.on(Event::Start(id(0))), [Action::SendStop(id(0))]);
    bench.on(told(0, UnitState::Stopping));
    assert_eq!(bench.on(told(0, UnitState::Idle)), [Action::Prepare(id(0))]);
    begin_again(&mut bench);
    assert!(bench.0.service(id(0)).unwrap().is_settled());
    // and when that run fails later and is given up, then it is not started once more
    let given_up = Event::InitStatus {
        id: id(0),
        status: UnitStatus {
            fault: Fault::UnStartable,
            last_exit: LastExit::Code(1),
            ..UnitStatus::default()
        },
        oom_kills: 0,
    };
    let actions = bench.on(given_up);
    assert!(
        !actions
            .iter()
            .any(|action| matches!(action, Action::Prepare(_))),
        "{actions:?}"
    );
    assert_eq!(bench.state(0), UnitState::Idle);
}

#[test]
fn a_next_run_that_was_faster_than_the_word_to_rest_ends_too() {
    // given a start that was asked for while PID 1 ended it for its next run
    let mut bench = on_its_way();
    bench.on(Event::Start(id(0)));
    // when that run has begun before PID 1 hears of it, and more is asked
    bench.on(told(0, UnitState::Starting));
    bench.on(told(0, UnitState::Active));
    assert_eq!(bench.all([Event::Start(id(0)), Event::Restart(id(0))]), []);
    // then it ends as it was told to, and is begun here once
    bench.on(told(0, UnitState::Stopping));
    assert_eq!(bench.on(told(0, UnitState::Idle)), [Action::Prepare(id(0))]);
    begin_again(&mut bench);
    assert!(bench.0.service(id(0)).unwrap().is_settled());
}

#[test]
fn a_stop_takes_back_the_start_that_was_to_follow() {
    let mut bench = on_its_way();
    bench.all([Event::Start(id(0)), told(0, UnitState::Stopping)]);
    assert_eq!(bench.on(Event::Stop(id(0))), [Action::SendStop(id(0))]);
    bench.on(told(0, UnitState::Stopping));
    let actions = bench.on(told(0, UnitState::Idle));
    assert!(actions.contains(&Action::SendForget(id(0))), "{actions:?}");
    assert_eq!(bench.state(0), UnitState::Idle);
}

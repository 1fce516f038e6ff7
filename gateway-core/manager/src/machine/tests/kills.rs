//! Processes that the kernel killed for a system call.

use super::*;
use crate::machine::killed::{Age, Killed};

#[test]
fn a_kill_is_told_once_a_run_and_an_old_one_only_where_the_service_ended_by_it() {
    let killed = |pid: u32, age: Age| {
        Event::Killed(
            id(0),
            Killed {
                pid,
                name: "web".into(),
                call: "ptrace".into(),
                words: "made the system call ptrace".into(),
                age,
            },
        )
    };
    let note = |actions: Vec<Action>| {
        let note = |action: &Action| matches!(action, Action::Note(..));
        actions.iter().filter(|action| note(action)).count()
    };
    // given a service, process 7, whose children are killed: new ones are told once
    let mut bench = running();
    assert_eq!(note(bench.on(killed(8, Age::Old))), 0);
    assert_eq!(note(bench.on(killed(8, Age::New))), 1);
    assert_eq!(note(bench.on(killed(9, Age::New))), 0);
    // when it is killed itself, which an earlier manager has told
    assert_eq!(note(bench.on(killed(7, Age::Old))), 0);
    let mut ended = status(UnitState::Idle);
    ended.pid = 0;
    ended.fault = Fault::FailureWhileActive;
    ended.last_exit = LastExit::Signal(31);
    bench.on(Event::InitStatus {
        id: id(0),
        status: ended,
        oom_kills: 0,
    });
    // then its row says so, until another run
    assert!(bench.message(0).contains("ptrace"), "{}", bench.message(0));
    let mut again = status(UnitState::Active);
    again.pid = 70;
    for status in [again, ended] {
        bench.on(Event::InitStatus {
            id: id(0),
            status,
            oom_kills: 0,
        });
    }
    assert!(!bench.message(0).contains("ptrace"), "{}", bench.message(0));
    assert_eq!(note(bench.on(killed(71, Age::New))), 1);
}

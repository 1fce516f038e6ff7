//! Services that need each other: order, failure, coming back, rings; all in virtual time.

use super::*;
use crate::machine::needs::Missing;
use crate::machine::service::Trouble;

/// A package without a reserve that needs these.
fn needing(name: &str, needs: &[&str]) -> Package {
    let text = format!(
        "[service]\nname = \"{name}\"\nversion = \"1\"\nexec = [\"/a\"]\nneeds = {needs:?}\n\
         [resources.memory]\nmax = \"8 MiB\"\n[resources.pids]\nmax = 4\n"
    );
    let manifest = Manifest::parse("m", &text).unwrap();
    Package {
        manifest,
        link: None,
    }
}

/// `c` needs `b`, `b` needs `a`: numbers 2, 1, 0.
fn chain(wanted: Wanted) -> Bench {
    Bench::new(vec![
        (needing("a", &[]), wanted),
        (needing("b", &["a"]), wanted),
        (needing("c", &["b"]), wanted),
    ])
}

fn name(n: u16) -> &'static str {
    ["a", "b", "c"][usize::from(n)]
}

fn up(bench: &mut Bench, n: u16) -> Vec<Action> {
    bench.all([
        Event::Prepared(id(n)),
        taken(n, name(n)),
        told(n, UnitState::Active),
    ])
}

/// The chain, all of it Active.
fn running_chain() -> Bench {
    let mut bench = chain(Wanted::Running);
    bench.on(Event::InitWelcomeEnd);
    for n in 0..3 {
        up(&mut bench, n);
    }
    assert!((0..3).all(|n| bench.state(n) == UnitState::Active));
    bench
}

fn ended(n: u16, fault: Fault) -> Event {
    Event::InitStatus {
        id: id(n),
        status: UnitStatus {
            state: UnitState::Idle,
            fault,
            last_exit: LastExit::Signal(15),
            ..UnitStatus::default()
        },
        oom_kills: 0,
    }
}

fn fault(bench: &Bench, n: u16) -> Fault {
    bench.0.service(id(n)).unwrap().fault()
}

#[test]
fn each_starts_when_the_one_it_needs_is_active() {
    let mut bench = chain(Wanted::Running);
    // given the boot: only the first begins, and the others say what they wait for
    assert_eq!(bench.on(Event::InitWelcomeEnd), [Action::Prepare(id(0))]);
    let waits = |bench: &Bench, n: u16| {
        let row = bench.0.service(id(n)).unwrap();
        row.waits_for(&bench.0.needs(id(n)))
    };
    assert_eq!(waits(&bench, 2).as_deref(), Some("for b, which it needs"));
    assert_eq!(bench.state(2), UnitState::Starting);
    // when it is executed but not ready, then nothing follows
    bench.all([Event::Prepared(id(0)), taken(0, "a")]);
    assert_eq!(bench.state(1), UnitState::Starting);
    // when it is Active, then the next begins, and so on
    assert_eq!(
        bench.on(told(0, UnitState::Active)),
        [Action::Prepare(id(1))]
    );
    assert_eq!(
        up(&mut bench, 1),
        [Action::Launch(id(1)), Action::Prepare(id(2))]
    );
    assert_eq!(up(&mut bench, 2), [Action::Launch(id(2))]);
    assert_eq!(
        (0..3).map(|n| bench.0.depth(id(n))).collect::<Vec<_>>(),
        [0, 1, 2]
    );
}

#[test]
fn a_persons_start_starts_what_is_needed() {
    let mut bench = chain(Wanted::Stopped);
    bench.on(Event::InitWelcomeEnd);
    assert_eq!(bench.0.all_needed(id(2)), [id(0), id(1)]);
    assert_eq!(bench.on(Event::Start(id(2))), [Action::Prepare(id(0))]);
    up(&mut bench, 0);
    up(&mut bench, 1);
    up(&mut bench, 2);
    assert!((0..3).all(|n| bench.state(n) == UnitState::Active));
}

#[test]
fn a_stop_ends_those_that_need_it_first_the_furthest_before() {
    let mut bench = running_chain();
    // when the first is stopped, then only the last is asked to end
    assert_eq!(bench.on(Event::Stop(id(0))), [Action::SendWithdraw(id(2))]);
    assert_eq!(bench.state(0), UnitState::Stopping);
    bench.on(told(2, UnitState::Stopping));
    assert_eq!(
        bench.on(ended(2, Fault::DependencyFailure)),
        [Action::SendWithdraw(id(1))]
    );
    assert_eq!(
        bench.on(ended(1, Fault::DependencyFailure)),
        [Action::SendStop(id(0))]
    );
    bench.on(ended(0, Fault::NoFault));
    // then they say why, and what brings them back
    assert_eq!(fault(&bench, 1), Fault::DependencyFailure);
    assert_eq!(
        bench.message(1),
        "it needs a, which is stopped; `hearth start a` brings both back"
    );
    // when it is started again, all come back in order
    assert_eq!(bench.on(Event::Start(id(0))), [Action::Prepare(id(0))]);
    assert_eq!(
        up(&mut bench, 0),
        [Action::Launch(id(0)), Action::Prepare(id(1))]
    );
    assert_eq!(
        up(&mut bench, 1),
        [Action::Launch(id(1)), Action::Prepare(id(2))]
    );
}

#[test]
fn a_stop_that_is_taken_back_while_others_end_does_not_happen() {
    let mut bench = running_chain();
    bench.on(Event::Stop(id(0)));
    assert_eq!(bench.on(Event::Start(id(0))), []);
    assert_eq!(bench.state(0), UnitState::Active);
    // the others, which were asked already, end and come back
    bench.on(told(2, UnitState::Stopping));
    bench.on(ended(2, Fault::DependencyFailure));
    assert_eq!(bench.state(0), UnitState::Active);
}

#[test]
fn a_stop_does_not_wait_for_ever_for_those_that_need_it() {
    let mut bench = running_chain();
    bench.on(Event::Stop(id(1)));
    bench.on(told(2, UnitState::Stopping));
    // given one that never ends
    let waited = bench.1.after_ms(crate::limits::DEPENDENTS_WAIT_MS);
    bench.1 = waited;
    assert_eq!(bench.on(Event::Deadline), [Action::SendStop(id(1))]);
}

#[test]
fn a_need_that_is_started_again_by_itself_ends_nobody() {
    let mut bench = running_chain();
    assert_eq!(bench.on(told(0, UnitState::Restarting)), []);
    assert_eq!(bench.on(told(0, UnitState::Starting)), []);
    assert_eq!(bench.on(told(0, UnitState::Active)), []);
    assert_eq!(bench.state(1), UnitState::Active);
}

#[test]
fn a_need_that_is_given_up_is_a_dependency_failure() {
    let mut bench = running_chain();
    // when PID 1 gives the first up, then the furthest ends first
    assert_eq!(
        bench.on(ended(0, Fault::UnStartable)),
        [Action::SendWithdraw(id(2))]
    );
    bench.on(told(2, UnitState::Stopping));
    assert_eq!(
        bench.on(ended(2, Fault::DependencyFailure)),
        [Action::SendWithdraw(id(1))]
    );
    bench.on(ended(1, Fault::DependencyFailure));
    assert_eq!(
        bench.message(1),
        "it needs a, which does not run (UnStartable; see `hearth status a`); it starts by itself when a \
         does"
    );
    // what a person then does for the first is enough for all
    bench.on(Event::Start(id(0)));
    assert_eq!(
        up(&mut bench, 0),
        [Action::Launch(id(0)), Action::Prepare(id(1))]
    );
}

#[test]
fn a_need_that_can_not_start_fails_those_that_wait_for_it() {
    let mut bench = chain(Wanted::Running);
    bench.on(Event::InitWelcomeEnd);
    bench.on(Event::Failed(id(0), "could not mount its image".into()));
    for n in [1, 2] {
        assert_eq!(fault(&bench, n), Fault::DependencyFailure, "{}", name(n));
        assert!(bench.0.service(id(n)).unwrap().is_settled());
    }
}

#[test]
fn a_need_that_is_not_installed_says_so() {
    let mut bench = Bench::new(vec![(needing("b", &["a"]), Wanted::Running)]);
    assert_eq!(bench.on(Event::InitWelcomeEnd), []);
    assert_eq!(
        bench.0.service(id(0)).unwrap().trouble,
        Some(Trouble::Need(Missing::NotInstalled(
            ServiceName::new("a").unwrap()
        )))
    );
}

#[test]
fn a_ring_of_needs_is_refused_with_the_way_round() {
    let mut bench = Bench::new(vec![
        (needing("a", &["c"]), Wanted::Running),
        (needing("b", &["a"]), Wanted::Running),
        (needing("c", &["b"]), Wanted::Running),
    ]);
    assert_eq!(bench.on(Event::InitWelcomeEnd), []);
    assert_eq!(fault(&bench, 0), Fault::UnStartable);
    assert!(
        bench
            .message(0)
            .starts_with("it needs itself (a needs c needs b needs a)"),
        "{}",
        bench.message(0)
    );
    // a person's start is refused as well, and ends
    assert_eq!(bench.on(Event::Start(id(1))), []);
    // and its depth is a number all the same
    assert!((0..3).all(|n| bench.0.depth(id(n)) <= 3));
}

#[test]
fn a_new_manager_finds_the_chain_as_it_was() {
    // given a manager that died after it had asked the furthest to end
    let mut bench = chain(Wanted::Running);
    let stopped = |n: u16| Event::InitService {
        id: id(n),
        name: ServiceName::new(name(n)).unwrap(),
        status: UnitStatus {
            state: UnitState::Idle,
            fault: Fault::DependencyFailure,
            last_exit: LastExit::Signal(15),
            ..UnitStatus::default()
        },
        oom_kills: 0,
    };
    let given_up = Event::InitService {
        id: id(0),
        name: ServiceName::new("a").unwrap(),
        status: UnitStatus {
            fault: Fault::UnStartable,
            ..UnitStatus::default()
        },
        oom_kills: 0,
    };
    // when a new one is told of all, then those say why they do not run
    assert_eq!(
        bench.all([given_up, stopped(1), stopped(2), Event::InitWelcomeEnd]),
        []
    );
    assert!(
        bench
            .message(1)
            .starts_with("it needs a, which does not run")
    );
    assert!(
        bench
            .message(2)
            .starts_with("it needs b, which does not run")
    );
    // and come back with it
    bench.on(Event::Start(id(0)));
    assert_eq!(
        up(&mut bench, 0),
        [Action::Launch(id(0)), Action::Prepare(id(1))]
    );
}

#[test]
fn a_stop_of_one_that_is_killed_to_run_again_is_told_to_pid_1() {
    // given a first service that is being ended for its next run, and others that need it
    let mut bench = running_chain();
    bench.on(told(0, UnitState::Stopping));
    // when it is stopped
    // then the others end before, and then PID 1 hears that it is to rest
    assert_eq!(bench.on(Event::Stop(id(0))), [Action::SendWithdraw(id(2))]);
    assert_eq!(
        bench.on(ended(2, Fault::DependencyFailure)),
        [Action::SendWithdraw(id(1))]
    );
    assert_eq!(
        bench.on(ended(1, Fault::DependencyFailure)),
        [Action::SendStop(id(0))]
    );
}

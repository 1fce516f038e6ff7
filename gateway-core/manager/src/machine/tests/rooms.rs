//! Room that is made for a service.

use super::*;

fn name(text: &str) -> ServiceName {
    ServiceName::new(text).unwrap()
}

/// A package without a network that reserves so much memory.
fn sized(name: &str, mib: u64) -> Package {
    let text = format!(
        "[service]\nname = \"{name}\"\nversion = \"1\"\nexec = [\"/a\"]\n[resources.memory]\n\
         reserve = \"{mib} MiB\"\nmax = \"100 MiB\"\n[resources.pids]\nmax = 4\n"
    );
    Package {
        manifest: Manifest::parse("m", &text).unwrap(),
        link: None,
    }
}

/// 100 MiB for services, of which four that run have 90; video wants 40 and is ranked above them, a
/// above b and c, and d above video.
fn full() -> Bench {
    let rows = vec![
        (sized("video", 40), Wanted::Stopped),
        (sized("a", 40), Wanted::Running),
        (sized("b", 20), Wanted::Running),
        (sized("c", 10), Wanted::Running),
        (sized("d", 20), Wanted::Running),
    ];
    let mut bench = Bench::new(rows);
    let order = ["d", "video", "a", "b", "c"].map(name);
    bench.on(Event::Ranked(order.to_vec()));
    bench.on(Event::InitWelcomeEnd);
    for (n, who) in [(1, "a"), (2, "b"), (3, "c"), (4, "d")] {
        bench.all([
            Event::Prepared(id(n)),
            taken(n, who),
            told(n, UnitState::Active),
        ]);
    }
    assert_eq!(bench.0.promised().memory, Bytes::mib(90));
    bench
}

/// What has ended is told, and given back.
fn ended(bench: &mut Bench, n: u16) -> Vec<Action> {
    bench.all([told(n, UnitState::Stopping), told(n, UnitState::Idle)])
}

fn wanted(bench: &Bench, n: u16) -> Wanted {
    bench.0.service(id(n)).unwrap().wanted
}

#[test]
fn the_plan_is_the_fewest_of_those_ranked_lower_and_changes_nothing() {
    let bench = full();
    let plan = bench.0.plan_start(id(0));
    // 10 are free: a alone is enough, b and c are as well, d is ranked higher
    assert_eq!(plan.stops, [id(1)]);
    assert_eq!(plan.before.memory, Bytes::mib(90));
    assert_eq!(plan.after.memory, Bytes::mib(90));
    assert_eq!(
        plan.refusal.unwrap().to_string(),
        "service video reserves 40 MiB of memory, 10 MiB free, 30 MiB short; stop a, ranked lower \
         (`hearth start video --make-room` does it), or lower resources.memory.reserve in its manifest"
    );
    assert_eq!(bench.0.promised().memory, Bytes::mib(90));
    // what runs already needs nothing
    let plan = bench.0.plan_start(id(4));
    assert_eq!((plan.stops, plan.refusal), (vec![], None));
}

#[test]
fn nobody_ends_for_one_that_is_ranked_lower() {
    // given that a alone would be enough, and is ranked above
    let mut bench = full();
    bench.on(Event::Ranked(
        ["d", "a", "video", "b", "c"].map(name).to_vec(),
    ));
    // then both of the lower ones would have to end, the lowest first
    assert_eq!(bench.0.plan_start(id(0)).stops, [id(3), id(2)]);
    // and where these are not enough, nobody
    bench.on(Event::Ranked(
        ["d", "a", "b", "video", "c"].map(name).to_vec(),
    ));
    let plan = bench.0.plan_start(id(0));
    assert_eq!(
        (plan.stops, plan.after.memory),
        (vec![], plan.before.memory)
    );
    assert_eq!(plan.refusal.unwrap().room, Room::OnlyHigher);
}

#[test]
fn exactly_those_end_and_then_it_starts() {
    let mut bench = full();
    // when room is made
    let actions = bench.on(Event::StartWithRoom(id(0)));
    assert_eq!(actions, [Action::SendStop(id(1))]);
    assert_eq!(bench.state(0), UnitState::Starting);
    assert!(!bench.0.service(id(0)).unwrap().is_settled());
    assert_eq!(bench.0.making_room_for(), Some(&name("video")));
    // then nobody else gets it meanwhile
    assert!(bench.0.plan_start(id(1)).refusal.is_none(), "it runs still");
    // and it starts when that has ended
    let actions = ended(&mut bench, 1);
    assert!(actions.ends_with(&[Action::Prepare(id(0))]), "{actions:?}");
    assert_eq!(bench.on(Event::Prepared(id(0))), [Action::Launch(id(0))]);
    bench.all([taken(0, "video"), told(0, UnitState::Active)]);
    assert_eq!(bench.0.making_room_for(), None);
    assert_eq!(
        [0, 1, 2, 3, 4].map(|n| wanted(&bench, n)),
        [
            Wanted::Running,
            Wanted::Stopped,
            Wanted::Running,
            Wanted::Running,
            Wanted::Running
        ]
    );
    assert_eq!(bench.0.promised().memory, Bytes::mib(90));
}

#[test]
fn where_it_can_not_be_made_they_are_started_again() {
    let mut bench = full();
    bench.on(Event::StartWithRoom(id(0)));
    ended(&mut bench, 1);
    // when its image can not be mounted
    let actions = bench.on(Event::Failed(id(0), "no image".into()));
    // then the other one starts again, and what was wanted before is kept again
    assert_eq!(
        actions,
        [
            Action::Release(name("video")),
            Action::Keep(id(0), Wanted::Stopped),
            Action::Prepare(id(1)),
            Action::Keep(id(1), Wanted::Running),
        ]
    );
    assert_eq!(wanted(&bench, 0), Wanted::Stopped);
    assert_eq!(bench.message(0), "no image; a may run again");
    assert_eq!(bench.0.making_room_for(), None);
}

#[test]
fn where_it_ends_at_once_it_is_stopped_before_they_start_again() {
    let mut bench = full();
    bench.on(Event::StartWithRoom(id(0)));
    ended(&mut bench, 1);
    bench.all([Event::Prepared(id(0)), taken(0, "video")]);
    // when its program can not be executed
    let failed = UnitStatus {
        fault: Fault::FailureOnStart,
        last_exit: LastExit::Code(1),
        ..status(UnitState::Restarting)
    };
    let tell = |status| Event::InitStatus {
        id: id(0),
        status,
        oom_kills: 0,
    };
    assert_eq!(bench.on(tell(failed)), [Action::SendStop(id(0))]);
    // then the other one waits for its end
    let idle = UnitStatus {
        state: UnitState::Idle,
        ..failed
    };
    let actions = bench.on(tell(idle));
    assert!(actions.contains(&Action::Prepare(id(1))), "{actions:?}");
    assert_eq!(
        bench.message(0),
        "it ended with exit status 1; it is started again by itself; a may run again"
    );
}

#[test]
fn a_person_may_change_her_mind_while_they_end() {
    let mut bench = full();
    bench.on(Event::StartWithRoom(id(0)));
    // when the start is taken back, then who is ending starts again after its end
    let actions = bench.on(Event::Stop(id(0)));
    assert_eq!(
        actions,
        [
            Action::Keep(id(0), Wanted::Stopped),
            Action::Keep(id(1), Wanted::Running)
        ]
    );
    let actions = ended(&mut bench, 1);
    assert!(actions.contains(&Action::Prepare(id(1))), "{actions:?}");
    assert_eq!(
        (wanted(&bench, 0), bench.message(0)),
        (Wanted::Stopped, String::new())
    );
}

#[test]
fn what_was_refused_waits_for_the_room_that_is_left_over() {
    let mut bench = full();
    // given one that should run since the boot and did not fit
    bench.on(Event::Stop(id(2)));
    ended(&mut bench, 2);
    bench.on(Event::Start(id(2)));
    assert_eq!(bench.0.promised().memory, Bytes::mib(90));
    // when room is made for another one and somebody else starts meanwhile
    bench.on(Event::StartWithRoom(id(0)));
    bench.on(Event::Stop(id(3)));
    let actions = ended(&mut bench, 3);
    // then nothing of it goes to him
    assert!(
        !actions.iter().any(|a| matches!(a, Action::Prepare(_))),
        "{actions:?}"
    );
    let actions = ended(&mut bench, 1);
    assert!(actions.contains(&Action::Prepare(id(0))), "{actions:?}");
}

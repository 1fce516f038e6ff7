//! The whole (phase x event) table of a service in the manager, each phase by the shortest way there.

use super::*;
use crate::machine::killed::{Age, Killed};
use crate::machine::notes::Note;
use crate::machine::service::Phase;
use crate::machine::watch::Outcome;
use hearth_model::state::Readiness;

/// `web` (number 0) is what is looked at: it has a link and a port. `need` (1) is what it needs, `user` (2)
/// needs it.
fn bench() -> Bench {
    let manifest = |name: &str, more: &str| {
        let text = format!(
            "[service]\nname = \"{name}\"\nversion = \"1\"\nexec = [\"/a\"]\n{more}\n[resources.memory]\n\
             max = \"8 MiB\"\n[resources.pids]\nmax = 4\n"
        );
        Manifest::parse("m", &text).unwrap()
    };
    let access = "[access]\nnetwork = \"lan\"\nlisten = [\"lan tcp 80 -> 80\"]\n[health]\nready = \"notify\"";
    let text = format!(
        "[service]\nname = \"web\"\nversion = \"1\"\nexec = [\"/a\"]\nneeds = [\"need\"]\n[resources.memory]\n\
         max = \"8 MiB\"\n[resources.pids]\nmax = 4\n{access}"
    );
    let web = Package {
        manifest: Manifest::parse("m", &text).unwrap(),
        link: Some(Link::Routed {
            address: std::net::Ipv4Addr::new(10, 213, 0, 2),
            policy: NetworkPolicy::Lan,
        }),
    };
    let plain = |name, more| Package {
        manifest: manifest(name, more),
        link: None,
    };
    let mut bench = Bench::new(vec![
        (web, Wanted::Stopped),
        (plain("need", ""), Wanted::Running),
        (plain("user", "needs = [\"web\"]"), Wanted::Stopped),
    ]);
    bench.all([
        Event::NetUp,
        Event::InitWelcomeEnd,
        // What an earlier run might have left of its link is gone.
        Event::Detached(id(0)),
        Event::Prepared(id(1)),
        taken(1, "need"),
        told(1, UnitState::Active),
    ]);
    bench
}

fn awaited() -> Event {
    Event::InitStatus {
        id: id(0),
        status: UnitStatus {
            readiness: Readiness::Awaited,
            ..status(UnitState::Starting)
        },
        oom_kills: 0,
    }
}

fn idle(n: u16, fault: Fault) -> Event {
    Event::InitStatus {
        id: id(n),
        status: UnitStatus {
            fault,
            last_exit: LastExit::Code(1),
            ..UnitStatus::default()
        },
        oom_kills: 0,
    }
}

const PHASES: [&str; 13] = [
    "Idle",
    "WaitingForNeeds",
    "Preparing",
    "WaitingForNetpath",
    "Linking",
    "Forwarding",
    "Waiting for start",
    "Starting",
    "Awaited",
    "Active",
    "WaitingForDependents",
    "Waiting for stop",
    "Stopping",
];

fn in_phase(phase: &str) -> Bench {
    let mut bench = bench();
    let start = [
        Event::Start(id(0)),
        Event::Prepared(id(0)),
        Event::Attached(id(0)),
        Event::Forwarded(id(0)),
        taken(0, "web"),
        awaited(),
        told(0, UnitState::Active),
    ];
    let run = |bench: &mut Bench, count: usize| {
        bench.all(start.iter().take(count).cloned());
    };
    match phase {
        "Idle" => {}
        "WaitingForNeeds" => {
            bench.on(told(1, UnitState::Restarting));
            run(&mut bench, 1);
        }
        "Preparing" => run(&mut bench, 1),
        "WaitingForNetpath" => {
            bench.on(Event::NetDown);
            run(&mut bench, 2);
        }
        "Linking" => run(&mut bench, 2),
        "Forwarding" => run(&mut bench, 3),
        "Waiting for start" => run(&mut bench, 4),
        "Starting" => run(&mut bench, 5),
        "Awaited" => run(&mut bench, 6),
        "Active" => run(&mut bench, 7),
        "WaitingForDependents" => {
            run(&mut bench, 7);
            bench.all([
                Event::Start(id(2)),
                Event::Prepared(id(2)),
                taken(2, "user"),
                told(2, UnitState::Active),
                Event::Stop(id(0)),
            ]);
        }
        "Waiting for stop" => {
            run(&mut bench, 7);
            bench.on(Event::Stop(id(0)));
        }
        _ => {
            run(&mut bench, 7);
            bench.all([Event::Stop(id(0)), told(0, UnitState::Stopping)]);
        }
    }
    assert_eq!(shown(&bench), phase);
    bench
}

fn shown(bench: &Bench) -> String {
    let row = bench.0.service(id(0)).unwrap();
    match (row.phase, row.status.state, row.status.readiness) {
        (Phase::Rest, UnitState::Starting, Readiness::Awaited) => "Awaited".to_owned(),
        (Phase::Rest, state, _) => state.to_string(),
        (Phase::Waiting { asked, .. }, ..) => {
            format!("Waiting for {}", format!("{asked:?}").to_lowercase())
        }
        (phase, ..) => {
            let text = format!("{phase:?}");
            text.split([' ', '{']).next().unwrap().to_owned()
        }
    }
}

fn events() -> Vec<(&'static str, Event)> {
    let killed = Killed {
        pid: 7,
        name: "web".into(),
        call: "ptrace".into(),
        words: "called ptrace".into(),
        age: Age::Old,
    };
    vec![
        ("Start", Event::Start(id(0))),
        ("Stop", Event::Stop(id(0))),
        ("Restart", Event::Restart(id(0))),
        ("Prepared", Event::Prepared(id(0))),
        ("Failed", Event::Failed(id(0), "no".into())),
        ("Attached", Event::Attached(id(0))),
        ("Forwarded", Event::Forwarded(id(0))),
        (
            "NetRefused",
            Event::NetRefused(Some(id(0)), NetRefusal::ForwardsFull),
        ),
        ("NetDown", Event::NetDown),
        ("NetUp", Event::NetUp),
        ("Taken", taken(0, "web")),
        ("Awaited", awaited()),
        ("Active", told(0, UnitState::Active)),
        ("Stopping", told(0, UnitState::Stopping)),
        ("Restarting", told(0, UnitState::Restarting)),
        ("Idle", idle(0, Fault::FailureWhileActive)),
        (
            "InitRefused",
            Event::InitRefused(Some(id(0)), InitRefusal::ShuttingDown),
        ),
        ("READY=1", Event::Noted(id(0), Note::Ready)),
        ("Looked", Event::Looked(id(0), 7, Outcome::Good)),
        ("Killed", Event::Killed(id(0), killed)),
        ("need fails", idle(1, Fault::UnStartable)),
        ("user ends", idle(2, Fault::NoFault)),
        ("Deadline", Event::Deadline),
    ]
}

/// What an event does: the phase after it where it is another one, and what is asked of others.
fn outcome(phase: &str, event: Event) -> String {
    let mut bench = in_phase(phase);
    if event == Event::Deadline {
        bench.1 = bench.1.after_ms(1_000_000);
    }
    let row = |bench: &Bench| format!("{:?}", bench.0.service(id(0)));
    let before = row(&bench);
    let actions = bench.on(event);
    let mut words = Vec::new();
    if shown(&bench) != phase {
        words.push(format!("-> {}", shown(&bench)));
    }
    for action in actions {
        let text = format!("{action:?}");
        let text = text.split(['(', ' ']).next().unwrap().to_owned();
        words.push(text);
    }
    match (words.is_empty(), before == row(&bench)) {
        (true, true) => "-".to_owned(),
        (true, false) => "=".to_owned(),
        (false, _) => words.join(" "),
    }
}

/// The table as text, a line for each phase and event: the phase after it where that is another one, and what is
/// asked of others. "=" is remembered, "-" changes nothing: why is written where the phase is matched.
const TABLE: &str = include_str!("table.txt");

#[test]
fn every_pair_of_phase_and_event_does_what_the_table_says() {
    let mut found = String::new();
    for phase in PHASES {
        for (what, event) in events() {
            found.push_str(&format!(
                "{phase:20} | {what:11} | {}\n",
                outcome(phase, event)
            ));
        }
    }
    if found != TABLE {
        // All of it, to read and then to keep.
        println!("{found}");
    }
    for (found, expected) in found.lines().zip(TABLE.lines()) {
        assert_eq!(found, expected);
    }
    assert_eq!(found.lines().count(), TABLE.lines().count());
}

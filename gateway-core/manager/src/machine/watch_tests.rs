//! The whole (stage x event) table of the watch, in virtual time, and lives of single services.

use super::*;
use hearth_model::protocol::Transport;
use hearth_model::state::LastExit;

const PORT: Served = Served {
    transport: Transport::Tcp,
    port: 80,
};
const NOW: Tick = Tick(1_000);
const LATE: Tick = Tick(1_000_000);

fn terms(ready: Ready) -> Terms {
    Terms {
        ready,
        within_ms: 30_000,
        watchdog_ms: Some(10_000),
    }
}

fn status(state: UnitState, pid: u32) -> Event {
    Event::Status(UnitStatus {
        state,
        pid,
        since: NOW,
        last_exit: LastExit::None,
        ..UnitStatus::default()
    })
}

fn awaited(pid: u32) -> Event {
    Event::Status(UnitStatus {
        state: UnitState::Starting,
        readiness: Readiness::Awaited,
        pid,
        since: NOW,
        ..UnitStatus::default()
    })
}

/// The stages, each by the shortest way there, at [`NOW`].
const STAGES: [&str; 6] = ["Off", "Waiting", "Told", "Watching", "Leaving", "Condemned"];

fn watch_in(stage: &str, terms: &Terms) -> Watch {
    let events = match stage {
        "Off" => vec![],
        "Waiting" => vec![awaited(7)],
        "Told" => vec![awaited(7), Event::Looked(7, Outcome::Good)],
        "Watching" => vec![status(UnitState::Active, 7)],
        "Leaving" => vec![status(UnitState::Active, 7), Event::Note(Note::Stopping)],
        _ => vec![status(UnitState::Active, 7), Event::Note(Note::Hung)],
    };
    let mut watch = Watch::default();
    for event in events {
        watch.step(terms, event, NOW);
    }
    assert_eq!(name(&watch), stage);
    watch
}

fn name(watch: &Watch) -> &'static str {
    match watch.stage() {
        Stage::Off => "Off",
        Stage::Waiting { .. } => "Waiting",
        Stage::Told => "Told",
        Stage::Watching { .. } => "Watching",
        Stage::Leaving => "Leaving",
        Stage::Condemned => "Condemned",
    }
}

fn events() -> [(&'static str, Event); 15] {
    [
        ("awaited", awaited(7)),
        ("awaited, another run", awaited(8)),
        ("starting", status(UnitState::Starting, 8)),
        ("active", status(UnitState::Active, 7)),
        ("stopping", status(UnitState::Stopping, 7)),
        ("over", status(UnitState::Restarting, 0)),
        ("READY", Event::Note(Note::Ready)),
        ("STOPPING", Event::Note(Note::Stopping)),
        ("WATCHDOG", Event::Note(Note::Alive)),
        ("trigger", Event::Note(Note::Hung)),
        ("STATUS", Event::Note(Note::Status("x".into()))),
        ("good", Event::Looked(7, Outcome::Good)),
        ("bad", Event::Looked(7, Outcome::Bad)),
        ("good, another run", Event::Looked(6, Outcome::Good)),
        ("time", Event::Time),
    ]
}

/// For each of [`STAGES`], what each of [`events`] leads to: the stage, and the action if there is one. "-":
/// nothing changes, for the reason that is written where the stage is. "=": something is remembered.
#[rustfmt::skip]
const TABLE: [[&str; 15]; 6] = [
    // awaited  another   starting active      stopping over   READY  STOPPING   WATCHDOG trigger               STATUS good          bad  good of another  time
    ["Waiting", "Waiting", "=",   "Watching", "=",     "-",   "=",   "-",       "-",     "-",                  "=",   "-",          "-", "-", "-"],
    ["-",       "=",       "Off", "Watching", "Off",   "Off", "Told TellReady(7)", "Leaving", "-", "Condemned Condemn(7, Hung)", "=", "Told TellReady(7)", "=", "-", "Condemned Condemn(7, NotReady)"],
    ["-",       "Waiting", "Off", "Watching", "Off",   "Off", "=",   "Leaving", "-",     "Condemned Condemn(7, Hung)", "=", "-",   "-", "-", "-"],
    ["-",       "Waiting", "Off", "-",        "Off",   "Off", "=",   "Leaving", "=",     "Condemned Condemn(7, Hung)", "=", "-",   "-", "-", "Condemned Condemn(7, Hung)"],
    ["-",       "Waiting", "Off", "-",        "Off",   "Off", "=",   "-",       "-",     "Condemned Condemn(7, Hung)", "=", "-",   "-", "-", "-"],
    ["-",       "Waiting", "Off", "-",        "Off",   "Off", "=",   "-",       "-",     "-",                  "=",   "-",          "-", "-", "-"],
];

#[test]
fn every_pair_of_stage_and_event_does_what_the_table_says() {
    // READY=1 counts with `ready = "notify"`, what is found with the others; nothing else differs.
    for (stage, row) in STAGES.into_iter().zip(TABLE) {
        for ((what, event), expected) in events().into_iter().zip(row) {
            let terms = terms(match what {
                "READY" => Ready::Notify,
                _ => Ready::Port(PORT),
            });
            let mut watch = watch_in(stage, &terms);
            let before = watch.clone();
            // when the event comes long after every deadline
            let action = watch.step(&terms, event, LATE);
            // then
            let found = match action {
                Some(action) => format!("{} {action:?}", name(&watch)),
                None if watch == before => "-".to_owned(),
                None if name(&watch) == stage => "=".to_owned(),
                None => name(&watch).to_owned(),
            };
            assert_eq!(found, expected, "{stage}: {what}");
        }
    }
}

#[test]
fn a_port_is_looked_at_less_and_less_often_until_it_is_there() {
    let terms = terms(Ready::Port(PORT));
    let mut watch = watch_in("Waiting", &terms);
    let mut looks = Vec::new();
    let mut now = NOW;
    for _ in 0..7 {
        now = watch.next_deadline().unwrap();
        let look = watch.step(&terms, Event::Time, now);
        assert_eq!(look, Some(Action::LookAtPort(7, PORT)));
        // a second wake-up before the answer is harmless
        assert_eq!(watch.step(&terms, Event::Time, now), None);
        watch.step(&terms, Event::Looked(7, Outcome::Bad), now);
        looks.push(now.since_ms(NOW));
    }
    assert_eq!(looks, [0, 100, 300, 700, 1_500, 3_100, 5_100]);
    let ready = watch.step(&terms, Event::Looked(7, Outcome::Good), now);
    assert_eq!(ready, Some(Action::TellReady(7)));
    assert_eq!(watch.next_deadline(), None);
}

#[test]
fn a_probe_whose_end_is_never_told_is_made_again_and_does_not_hold_the_deadline_back() {
    let terms = Terms {
        within_ms: 100_000,
        ..terms(Ready::Exec(vec!["/probe".into()]))
    };
    let mut watch = watch_in("Waiting", &terms);
    assert_eq!(watch.step(&terms, Event::Time, NOW), Some(Action::Probe(7)));
    let again = watch.next_deadline().unwrap();
    assert_eq!(again, NOW.after_ms(PROBE_ANSWER_MS));
    assert_eq!(
        watch.step(&terms, Event::Time, again),
        Some(Action::Probe(7))
    );
    let end = NOW.after_ms(100_000);
    assert_eq!(
        watch.step(&terms, Event::Time, end),
        Some(Action::Condemn(7, Condemned::NotReady))
    );
}

#[test]
fn a_service_that_pings_in_time_lives_for_ever_and_one_that_stops_is_killed() {
    let terms = terms(Ready::Notify);
    let mut watch = watch_in("Watching", &terms);
    let mut now = NOW;
    for _ in 0..1_000 {
        now = now.after_ms(9_999);
        assert_eq!(watch.step(&terms, Event::Time, now), None);
        assert_eq!(watch.step(&terms, Event::Note(Note::Alive), now), None);
    }
    let bite = watch.next_deadline().unwrap();
    assert_eq!(bite.since_ms(now), 10_000);
    assert_eq!(
        watch.step(&terms, Event::Time, bite),
        Some(Action::Condemn(7, Condemned::Hung))
    );
}

#[test]
fn without_a_watchdog_nobody_is_asked_for_a_sign_of_life() {
    let terms = Terms {
        watchdog_ms: None,
        ..terms(Ready::Notify)
    };
    let watch = watch_in("Watching", &terms);
    assert_eq!(watch.next_deadline(), None);
}

#[test]
fn a_new_manager_gives_a_run_time_to_show_that_it_is_ready() {
    // given a run that has waited for longer than it may, while no manager was there
    let terms = terms(Ready::Notify);
    let mut watch = Watch::default();
    watch.step(&terms, awaited(7), LATE);
    // when the new manager looks at the clock before it has read what was said
    assert_eq!(watch.step(&terms, Event::Time, LATE), None);
    // then the word that waited in the socket still counts
    assert_eq!(
        watch.step(&terms, Event::Note(Note::Ready), LATE),
        Some(Action::TellReady(7))
    );
    // and one that has none has its time, and not more
    let mut watch = Watch::default();
    watch.step(&terms, awaited(7), LATE);
    let end = watch.next_deadline().unwrap();
    assert_eq!(end.since_ms(LATE), WATCH_AGAIN_MS);
}

#[test]
fn what_a_run_says_of_itself_is_gone_with_it() {
    let terms = terms(Ready::Notify);
    let mut watch = watch_in("Watching", &terms);
    watch.step(&terms, Event::Note(Note::Status("42 torrents".into())), NOW);
    assert_eq!(watch.said(), "42 torrents");
    watch.step(&terms, status(UnitState::Starting, 9), NOW);
    assert_eq!(watch.said(), "");
}

#[test]
fn a_manifest_that_asks_for_nothing_any_more_makes_a_waiting_run_ready() {
    let terms = terms(Ready::Executed);
    let mut watch = watch_in("Waiting", &terms);
    assert_eq!(
        watch.step(&terms, Event::Time, NOW),
        Some(Action::TellReady(7))
    );
}

#[test]
fn a_word_that_is_faster_than_pid_1s_counts_for_the_run_that_said_it() {
    // given a run that is over, or about to be
    for stage in ["Off", "Watching", "Condemned"] {
        let terms = terms(Ready::Notify);
        let mut watch = watch_in(stage, &terms);
        // when READY=1 comes after the next run has begun, and before PID 1 tells of it
        assert_eq!(watch.step(&terms, Event::Note(Note::Ready), NOW), None);
        // then that run is ready
        let action = watch.step(&terms, awaited(8), NOW.after_ms(5));
        assert_eq!(action, Some(Action::TellReady(8)));
        // and one that begins later is not
        watch.step(&terms, status(UnitState::Restarting, 0), LATE);
        assert_eq!(watch.step(&terms, awaited(9), LATE), None);
    }
    // and a word from before a run is not that run's
    let terms = terms(Ready::Notify);
    let mut watch = Watch::default();
    watch.step(&terms, Event::Note(Note::Ready), Tick(NOW.0 - 1));
    assert_eq!(watch.step(&terms, awaited(7), NOW), None);
}

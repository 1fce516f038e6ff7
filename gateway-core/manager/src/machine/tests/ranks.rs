//! What a rank changes, and when it is told.

use super::*;
use crate::machine::ranking::Rank;
use hearth_model::protocol::{NetworkShare, TrafficClass};

fn name(text: &str) -> ServiceName {
    ServiceName::new(text).unwrap()
}

fn with(name: &str, n: u8, resources: &str) -> Package {
    let text = format!(
        "[service]\nname = \"{name}\"\nversion = \"1\"\nexec = [\"/a\"]\n[resources.memory]\n\
         max = \"10 MiB\"\n[resources.pids]\nmax = 4\n[access]\nnetwork = \"wan\"\n{resources}"
    );
    let link = Link::Routed {
        address: [10, 213, 0, n].into(),
        policy: NetworkPolicy::Wan,
    };
    Package {
        manifest: Manifest::parse("m", &text).unwrap(),
        link: Some(link),
    }
}

/// Two that run: backup and call, which has a class and a reserve.
fn two() -> Bench {
    let line = "[resources.network]\nreserve-up = \"1 Mbit/s\"\nclass = \"interactive\"\n\
                [resources.cpu]\nreserve = \"10 %\"";
    let rows = vec![
        (with("backup", 2, ""), Wanted::Running),
        (with("call", 3, line), Wanted::Running),
    ];
    let mut bench = Bench::new(rows);
    bench.on(Event::Line(BitsPerSec::mbit(10), BitsPerSec(0)));
    bench.all([Event::InitWelcomeEnd, Event::NetUp]);
    for (n, who) in [(0, "backup"), (1, "call")] {
        bench.all([
            Event::Prepared(id(n)),
            Event::Attached(id(n)),
            taken(n, who),
            told(n, UnitState::Active),
        ]);
    }
    bench
}

/// Ranks and shares, by number.
type Told = (Vec<(u16, Rank)>, Vec<(u16, NetworkShare)>);

/// Ranks the two; what each gets by it and what netpath is told, by number.
fn rank(bench: &mut Bench, order: &[&str]) -> Told {
    let order = order.iter().map(|who| name(who)).collect();
    told_of(&bench.0.step(Event::Ranked(order), bench.1))
}

fn told_of(actions: &[Action]) -> Told {
    let number = |found: ServiceId| (0..9).find(|&n| id(n) == found).unwrap();
    let (mut ranks, mut shares) = (Vec::new(), Vec::new());
    for action in actions {
        if let Action::Rank(id, rank) = action {
            ranks.push((number(*id), *rank));
        }
        if let Action::Attach(id, _, share) = action {
            shares.push((number(*id), *share));
        }
    }
    (ranks, shares)
}

#[test]
fn a_new_ranking_is_told_at_once_and_only_where_it_changes_something() {
    let mut bench = two();
    // when the first is ranked above the second
    let (ranks, shares) = rank(&mut bench, &["backup", "call"]);
    // then the 60 % that nobody reserved are shared 2:1, and the reserve stays
    assert_eq!(ranks[0].1.weights.cpu, 4000);
    assert_eq!(ranks[1].1.weights.cpu, 1000 + 2000);
    assert_eq!((ranks[0].1.oom_score, ranks[1].1.oom_score), (100, 500));
    // and it does not wait behind the lower one
    let told: Vec<_> = shares
        .iter()
        .map(|(n, s)| (*n, s.class, s.weight))
        .collect();
    assert_eq!(
        told,
        [
            (0, TrafficClass::Interactive, 1000),
            (1, TrafficClass::Interactive, 500)
        ]
    );
    assert_eq!(shares[1].1.up.reserve, BitsPerSec::mbit(1));
    // when it is said again, then nothing is
    assert_eq!(rank(&mut bench, &["backup", "call"]), (vec![], vec![]));
    // when the second comes first, then the first is as its manifest says
    let (ranks, shares) = rank(&mut bench, &["call"]);
    assert_eq!(ranks[1].1.weights.cpu, 1000 + 4000);
    assert_eq!(
        (shares[0].1.class, shares[0].1.weight),
        (TrafficClass::Bulk, 500)
    );
}

#[test]
fn netpath_hears_of_a_share_when_it_comes_back_and_not_before() {
    let mut bench = two();
    bench.on(Event::NetDown);
    let (ranks, shares) = rank(&mut bench, &["call", "backup"]);
    assert_eq!((ranks.len(), shares.len()), (2, 0));
    let actions = bench.on(Event::NetUp);
    let told = told_of(&actions)
        .1
        .into_iter()
        .map(|(_, share)| share.weight);
    assert_eq!(told.collect::<Vec<_>>(), [500, 1000]);
}

#[test]
fn a_new_process_gets_its_place_again() {
    let mut bench = two();
    let again = UnitStatus {
        pid: 8,
        ..status(UnitState::Active)
    };
    let told = Event::InitStatus {
        id: id(0),
        status: again,
        oom_kills: 0,
    };
    let actions = bench.0.step(told, bench.1);
    assert!(
        actions
            .iter()
            .any(|a| matches!(a, Action::Rank(n, _) if *n == id(0))),
        "{actions:?}"
    );
    assert!(
        !actions
            .iter()
            .any(|a| matches!(a, Action::Rank(n, _) if *n == id(1)))
    );
}

#[test]
fn the_highest_rank_is_admitted_first_at_boot() {
    let both = vec![
        (package("a", ""), Wanted::Running),
        (package("b", ""), Wanted::Running),
    ];
    let mut bench = Bench::new(both);
    bench.on(Event::Ranked(vec![name("b")]));
    assert_eq!(bench.on(Event::InitWelcomeEnd), [Action::Prepare(id(1))]);
    assert!(
        bench.message(0).contains("20 MiB short"),
        "{}",
        bench.message(0)
    );
    // and when it is ranked first itself, that ends nobody, but it can make room
    bench.on(Event::Ranked(vec![name("a")]));
    assert_eq!(bench.0.plan_start(id(0)).stops, [id(1)]);
    assert_eq!(bench.0.ranked(), [id(0), id(1)]);
}

#[test]
fn a_part_of_a_line_that_nobody_measured_is_not_promised() {
    let mut bench = two();
    bench.on(Event::Line(BitsPerSec(0), BitsPerSec(0)));
    bench.all([Event::Stop(id(1)), told(1, UnitState::Idle)]);
    let refusal = bench.0.plan_start(id(1)).refusal.unwrap();
    assert_eq!(refusal.room, Room::Unmeasured);
    // 80 % of a line are for services
    bench.on(Event::Line(BitsPerSec(1_250_000), BitsPerSec(0)));
    assert_eq!(bench.0.plan_start(id(1)).refusal, None);
    bench.on(Event::Line(BitsPerSec(1_249_000), BitsPerSec(0)));
    let refusal = bench.0.plan_start(id(1)).refusal.unwrap();
    assert_eq!(refusal.room, Room::Never);
}

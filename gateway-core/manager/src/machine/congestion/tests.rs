use super::*;

/// A machine whose counters go on by so much a second.
#[derive(Default)]
struct Home {
    watch: Watch,
    now: u64,
    sample: Sample,
}

/// Name, resource, amount a second, waited (thousandths), holds, reserve.
type Load<'a> = (&'a str, Scarce, u64, u64, u64, u64);

impl Home {
    /// Two seconds with these loads; what was told.
    fn pass(&mut self, loads: &[Load<'_>]) -> Vec<Change> {
        self.now += 2000;
        for party in self.sample.parties.values_mut() {
            for had in party.had.values_mut() {
                had.holds = 0;
            }
        }
        for &(name, resource, amount, waited, holds, reserve) in loads {
            let count = self.sample.parties.len();
            let party = self.sample.parties.entry(name.to_owned()).or_insert(Party {
                rank: (name != "home").then_some(count),
                is_named: false,
                had: BTreeMap::new(),
            });
            let had = party.had.entry(resource).or_default();
            had.amount += amount * 2;
            had.waited += waited * 2000;
            (had.holds, had.reserve) = (holds, reserve);
        }
        self.watch.step(Tick(self.now), self.sample.clone())
    }

    /// What is told after so many samples of this.
    fn told_after(&mut self, samples: u32, loads: &[Load<'_>]) -> Vec<Change> {
        (0..samples).flat_map(|_| self.pass(loads)).collect()
    }

    fn names(&self) -> Vec<(&'static str, &str, Vec<&str>)> {
        let told = self.watch.congested();
        told.map(|one| {
            let victims = one.victims.iter().map(String::as_str).collect();
            (one.resource.name(), one.culprit.as_str(), victims)
        })
        .collect()
    }
}

const MIB: u64 = 1 << 20;
/// Samples until nothing of what was before is in one.
const SPAN: u32 = SPAN_SAMPLES as u32;

#[test]
fn each_resource_has_its_culprit_and_victims_and_is_over_again() {
    // given a hog of each resource beside a service that waits for it
    let cases: [(&[Load<'_>], &str); 5] = [
        (
            &[
                ("hog", Scarce::Cpu, 900_000, 300, 0, 0),
                ("video", Scarce::Cpu, 90_000, 500, 0, 100_000),
            ],
            "cpu",
        ),
        (
            &[
                ("hog", Scarce::Memory, 0, 200, 900 * MIB, 0),
                ("video", Scarce::Memory, 0, 300, 30 * MIB, 32 * MIB),
            ],
            "memory",
        ),
        (
            &[
                ("hog", Scarce::Io, 40 * MIB, 700, 0, 0),
                ("video", Scarce::Io, 2 * MIB, 400, 0, 0),
            ],
            "io",
        ),
        (
            &[
                ("hog", Scarce::Uplink, 2 * MIB, 0, 0, 0),
                ("video", Scarce::Uplink, MIB / 9, 0, 60_000, 0),
            ],
            "uplink",
        ),
        (
            &[
                ("hog", Scarce::Downlink, 2 * MIB, 0, 0, 0),
                ("video", Scarce::Downlink, MIB / 9, 0, 60_000, 0),
            ],
            "downlink",
        ),
    ];
    for (loads, resource) in cases {
        let mut home = Home::default();
        assert_eq!(home.told_after(1, loads), []);
        // when it is seen twice, then it is told once, with who and since when
        let told = home.told_after(4, loads);
        let [Change::Began(one)] = &told[..] else {
            panic!("{resource}: {told:?}");
        };
        assert_eq!(
            (one.resource.name(), one.culprit.as_str()),
            (resource, "hog")
        );
        assert_eq!(one.victims, ["video"]);
        assert_eq!(one.since, Tick(6000));
        assert_eq!(
            one.advice,
            "hearth rank video hog: video then comes before hog"
        );
        // and when nobody waits any more, then it is over, but not at once
        let idle = [
            ("hog", Scarce::Cpu, 0, 0, 0, 0),
            ("video", Scarce::Cpu, 0, 0, 0, 0),
        ];
        assert_eq!(home.told_after(CLEAR_SAMPLES - 1, &idle), []);
        assert_eq!(home.names().len(), 1);
        let told = home.told_after(SPAN, &idle);
        assert!(matches!(&told[..], [Change::Ended(one)] if one.culprit == "hog"));
        assert_eq!(home.names(), []);
    }
}

#[test]
fn who_uses_a_machine_alone_or_within_the_promise_congests_nothing() {
    for loads in [
        // Busy and waiting for itself.
        &[("hog", Scarce::Cpu, 1_000_000, 900, 0, 0)][..],
        // Within its reserve, beside somebody who waits.
        &[
            ("video", Scarce::Cpu, 500_000, 0, 0, 600_000),
            ("other", Scarce::Cpu, 50_000, 400, 0, 0),
        ],
        // A full line with one user.
        &[("hog", Scarce::Uplink, MIB, 0, 90_000, 0)],
        // Nobody waits.
        &[
            ("hog", Scarce::Io, 40 * MIB, 900, 0, 0),
            ("video", Scarce::Io, 40, 10, 0, 0),
        ],
    ] {
        let mut home = Home::default();
        assert_eq!(home.told_after(20, loads), [], "{loads:?}");
    }
}

#[test]
fn what_comes_and_goes_is_not_told_and_does_not_end_what_was() {
    let mut home = Home::default();
    let busy = [
        ("hog", Scarce::Cpu, 900_000, 0, 0, 0),
        ("video", Scarce::Cpu, 1000, WAIT_ENTER, 0, 0),
    ];
    let calm = [
        ("hog", Scarce::Cpu, 900_000, 0, 0, 0),
        ("video", Scarce::Cpu, 1000, 0, 0, 0),
    ];
    home.pass(&calm);
    for _ in 0..9 {
        assert_eq!(home.pass(&busy), []);
        assert_eq!(home.pass(&calm), []);
    }
    // given that it was told, when the wait falls below the upper bar, then it goes on
    assert_eq!(home.told_after(1 + SPAN, &busy).len(), 1);
    let less = [
        ("hog", Scarce::Cpu, 900_000, 0, 0, 0),
        ("video", Scarce::Cpu, 1000, WAIT_LEAVE, 0, 0),
    ];
    assert_eq!(home.told_after(20, &less), []);
    assert_eq!(home.names(), [("cpu", "hog", vec!["video"])]);
}

#[test]
fn another_culprit_is_told_after_two_samples() {
    let mut home = Home::default();
    let by = |first: u64, second: u64| {
        [
            ("backup", Scarce::Cpu, first, 0, 0, 0),
            ("game", Scarce::Cpu, second, 0, 0, 0),
            ("video", Scarce::Cpu, 1000, 500, 0, 0),
        ]
    };
    assert_eq!(home.told_after(3, &by(900_000, 50_000)).len(), 1);
    assert_eq!(home.pass(&by(50_000, 900_000)), []);
    let told = home.pass(&by(50_000, 900_000));
    assert!(matches!(&told[..], [Change::Began(one)] if one.culprit == "game"));
    // Of two who take as much, it is the one that the household wants less.
    let mut home = Home::default();
    home.told_after(3, &by(450_000, 450_000));
    assert_eq!(home.names(), [("cpu", "game", vec!["video"])]);
}

#[test]
fn who_sends_more_than_its_half_of_a_line_has_more_of_it_than_who_sends_half() {
    // given a line that both share alike, and the first of which drops as much again
    let mut home = Home::default();
    let mut told = Vec::new();
    for pass in 0..8 {
        // a packet more or less each time
        let wave = if pass % 2 == 0 { 1000 } else { 0 };
        told.extend(home.pass(&[
            ("backup", Scarce::Uplink, 125_000, 0, 60_000, 0),
            ("video", Scarce::Uplink, 124_500 + wave, 0, 60_000, 0),
        ]));
        for (name, drops) in [("backup", 250), ("video", 10)] {
            let party = home.sample.parties.get_mut(name).unwrap();
            let had = party.had.get_mut(&Scarce::Uplink).unwrap();
            had.packets += 250;
            had.drops += drops;
        }
    }
    // then it is told once
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(home.names(), [("uplink", "backup", vec!["video"])]);
}

#[test]
fn who_waits_for_whom_the_household_wants_more_is_nobodys_victim() {
    // given a household that has ranked one of them, both, or both the other way around
    for (named, ranks, told) in [
        (vec!["hog"], [0, 1], true),
        (vec!["hog", "video"], [0, 1], false),
        (vec!["hog", "video"], [1, 0], true),
    ] {
        let mut home = Home::default();
        let loads = [
            ("hog", Scarce::Uplink, 2 * MIB, 0, 0, 0),
            ("video", Scarce::Uplink, MIB / 9, 0, 60_000, 0),
        ];
        home.pass(&loads);
        for (name, rank) in ["hog", "video"].into_iter().zip(ranks) {
            let party = home.sample.parties.get_mut(name).unwrap();
            (party.rank, party.is_named) = (Some(rank), named.contains(&name));
        }
        // then only who is not below by its own word waits for the other
        home.told_after(4, &loads);
        assert_eq!(!home.names().is_empty(), told, "{named:?} {ranks:?}");
    }
}

#[test]
fn advice_names_what_helps() {
    // given a victim that comes before the culprit already, by the household's word or only in the list
    for (is_named, advice) in [
        (true, "hearth stop hog, or lower its max in resources.io"),
        (
            false,
            "hearth rank a-video hog: a-video then comes before hog",
        ),
    ] {
        let mut home = Home::default();
        let loads = [
            ("a-video", Scarce::Io, 1000, 500, 0, 0),
            ("hog", Scarce::Io, 40 * MIB, 0, 0, 0),
        ];
        home.pass(&loads);
        let party = home.sample.parties.get_mut("a-video").unwrap();
        (party.rank, party.is_named) = (Some(0), is_named);
        home.told_after(3, &loads);
        // then ranking is advised only where it helps
        let one = home.watch.congested().next().unwrap();
        assert_eq!(one.advice, advice);
    }
    // given the home itself, then it is a host of it
    let mut home = Home::default();
    home.told_after(
        3,
        &[
            ("home", Scarce::Uplink, 9 * MIB, 0, 0, 0),
            ("video", Scarce::Uplink, 1000, 0, 90_000, 0),
        ],
    );
    let one = home.watch.congested().next().unwrap();
    assert!(one.advice.contains("a host of the home"), "{}", one.advice);
}

#[test]
fn a_full_data_partition_is_the_largest_keepers() {
    let mut home = Home::default();
    let loads = [
        ("backup", Scarce::Storage, 0, 0, 80 * MIB, 0),
        ("video", Scarce::Storage, 0, 0, MIB, 0),
    ];
    home.sample.data = Some((94, 100));
    assert_eq!(home.told_after(9, &loads), []);
    home.sample.data = Some((95, 100));
    assert_eq!(home.told_after(2, &loads).len(), 1);
    assert_eq!(home.names(), [("storage", "backup", vec!["video"])]);
}

#[test]
fn who_waits_for_its_own_limit_is_nobodys_victim() {
    let mut home = Home::default();
    let loads = [
        ("hog", Scarce::Cpu, 500_000, 0, 0, 0),
        ("video", Scarce::Cpu, 50_000, 900, 0, 0),
    ];
    home.pass(&loads);
    let party = home.sample.parties.get_mut("video").unwrap();
    party.had.get_mut(&Scarce::Cpu).unwrap().max = Some(50_000);
    assert_eq!(home.told_after(9, &loads), []);
    // A share of the disk's time is one of what everybody does.
    let mut home = Home::default();
    let loads = [
        ("backup", Scarce::Io, 40 * MIB, 0, 0, 500),
        ("hog", Scarce::Io, 30 * MIB, 0, 0, 0),
        ("video", Scarce::Io, MIB, 400, 0, 0),
    ];
    home.told_after(3, &loads);
    assert_eq!(home.names(), [("io", "hog", vec!["video"])]);
}

#[test]
fn counters_that_begin_anew_and_parties_that_come_and_go_are_no_load() {
    let mut home = Home::default();
    let busy = [
        ("hog", Scarce::Cpu, 900_000, 0, 0, 0),
        ("video", Scarce::Cpu, 1000, 0, 0, 0),
    ];
    home.told_after(3, &busy);
    // when both begin anew, then what they had before does not count
    for party in home.sample.parties.values_mut() {
        party.had.clear();
    }
    let fresh = [
        ("hog", Scarce::Cpu, 900_000, 0, 0, 0),
        ("video", Scarce::Cpu, 1000, 100, 0, 0),
    ];
    assert_eq!(home.told_after(3, &fresh), []);
    home.sample.parties.clear();
    assert_eq!(home.told_after(3, &[]), []);
}

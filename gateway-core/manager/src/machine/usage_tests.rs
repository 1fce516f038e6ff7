use super::*;
use proptest::prelude::*;

const START: u64 = 1_000 * HOUR_SECONDS;

fn name() -> ServiceName {
    ServiceName::new("web").unwrap()
}

fn counters(cpu_usec: u64, memory: u64, sent: u64) -> Counters {
    Counters {
        cgroup: 1,
        link: 1,
        cpu_usec,
        memory,
        sent,
        ..Counters::default()
    }
}

fn with(counters: Counters) -> BTreeMap<ServiceName, Counters> {
    BTreeMap::from([(name(), counters)])
}

/// The open figures of the one service.
fn open(ledger: &Ledger) -> Figures {
    ledger
        .open()
        .next()
        .map(|(_, used)| used)
        .unwrap_or_default()
}

#[test]
fn an_hour_is_closed_once_with_what_was_gained_in_it() {
    // given a service that is seen from the start of an hour
    let mut ledger = Ledger::new("boot", START, Tick(0));
    ledger.sample(START, Tick(0), &with(counters(5, 100, 1)));
    ledger.sample(START + 10, Tick(10_000), &with(counters(25, 300, 4)));
    assert_eq!(open(&ledger).cpu_usec, 25);
    assert_eq!(open(&ledger).memory_byte_seconds, 200 * 10);
    // when the hour is over
    let mut closed = Vec::new();
    for at in (20..=3600).step_by(10) {
        closed.extend(ledger.sample(START + at, Tick(at * 1000), &with(counters(25, 0, 4))));
    }
    // then there is one record of it, and nothing is open
    let [hour] = &closed[..] else {
        panic!("{closed:?}")
    };
    assert_eq!((hour.from, hour.until), (START, START + 3600));
    assert_eq!((hour.used.cpu_usec, hour.used.sent_bytes), (25, 4));
    assert_eq!(hour.used.memory_byte_seconds, 2000 + 1500);
    assert_eq!(ledger.open().count(), 0);
}

#[test]
fn a_service_that_starts_anew_counts_from_nothing_again() {
    let mut ledger = Ledger::new("boot", START, Tick(0));
    ledger.sample(START, Tick(0), &with(counters(50, 0, 9)));
    // given another cgroup and the same link
    let anew = Counters {
        cgroup: 2,
        ..counters(60, 0, 10)
    };
    ledger.sample(START + 1, Tick(1000), &with(anew));
    assert_eq!(
        (open(&ledger).cpu_usec, open(&ledger).sent_bytes),
        (110, 10)
    );
    // given it gone, what it used stays
    ledger.sample(START + 2, Tick(2000), &BTreeMap::new());
    assert_eq!(open(&ledger).cpu_usec, 110);
}

#[test]
fn data_is_charged_for_while_its_service_rests() {
    // given a service that holds memory and data
    let runs = Counters {
        storage: 5000,
        ..counters(50, 100, 0)
    };
    let mut ledger = Ledger::new("boot", START, Tick(0));
    ledger.sample(START, Tick(0), &with(runs));
    // when it ends at once, and its data stays
    let rests = Counters {
        storage: 5000,
        ..Counters::default()
    };
    ledger.sample(START, Tick(0), &with(rests));
    ledger.sample(START + 100, Tick(100_000), &with(rests));
    // then only the data is counted further
    let used = open(&ledger);
    assert_eq!(used.storage_byte_seconds, 5000 * 100);
    assert_eq!((used.memory_byte_seconds, used.cpu_usec), (0, 50));
    // and what a new run uses is counted from nothing
    ledger.sample(START + 101, Tick(101_000), &with(counters(7, 0, 0)));
    assert_eq!(open(&ledger).cpu_usec, 57);
}

#[test]
fn a_checkpoint_from_before_storage_was_counted_goes_on() {
    let mut ledger = Ledger::new("boot", START, Tick(0));
    ledger.sample(START, Tick(0), &with(counters(50, 10, 0)));
    let kept = serde_json::to_string(&ledger).unwrap();
    let older = kept
        .replace(",\"storage_byte_seconds\":0", "")
        .replace(",\"storage\":0", "");
    assert_ne!(older, kept);
    assert_eq!(serde_json::from_str::<Ledger>(&older).unwrap(), ledger);
}

#[test]
fn a_manager_that_restarts_loses_nothing_and_a_reboot_only_what_came_after() {
    let mut ledger = Ledger::new("boot", START, Tick(0));
    ledger.sample(START, Tick(0), &with(counters(50, 10, 0)));
    let kept = serde_json::to_string(&ledger).unwrap();
    // given the same boot, the time in between is counted
    let again: Ledger = serde_json::from_str(&kept).unwrap();
    let (mut again, closed) = again.resume("boot", START + 60, Tick(60_000));
    assert_eq!(closed, []);
    again.sample(START + 60, Tick(60_000), &with(counters(90, 10, 0)));
    assert_eq!(open(&again).cpu_usec, 90);
    assert_eq!(open(&again).memory_byte_seconds, 600);
    // given another boot, what is known is a record, and the new counters count from nothing
    let again: Ledger = serde_json::from_str(&kept).unwrap();
    let (mut again, closed) = again.resume("other", START + 300, Tick(9000));
    assert_eq!(closed.len(), 1);
    assert_eq!(closed[0].end, RecordEnd::Interrupted);
    assert_eq!((closed[0].used.cpu_usec, closed[0].until), (50, START));
    again.sample(START + 301, Tick(10_000), &with(counters(7, 0, 0)));
    assert_eq!(open(&again).cpu_usec, 7);
    // and one that was announced says so
    again.end();
    let (_, closed) = again.resume("third", START + 400, Tick(0));
    assert_eq!(closed[0].end, RecordEnd::Shutdown);
}

#[test]
fn a_clock_that_is_set_ends_the_part_that_began_before() {
    // given a gateway that booted in 1970
    let mut ledger = Ledger::new("boot", 5, Tick(0));
    ledger.sample(5, Tick(0), &with(counters(1, 0, 0)));
    // when the time comes from the network
    let closed = ledger.sample(START, Tick(10_000), &with(counters(4, 0, 0)));
    // then the part before lasted as long as it did, and a new one begins
    assert_eq!((closed[0].from, closed[0].until), (5, 15));
    assert_eq!(closed[0].used.cpu_usec, 4);
    assert_eq!(ledger.span().0, START);
    // and backwards as well
    let closed = ledger.sample(START - 100, Tick(20_000), &with(counters(6, 0, 0)));
    assert_eq!((closed[0].from, closed[0].until), (START, START + 10));
    assert_eq!(ledger.span().0, START - 100);
}

proptest! {
    #[test]
    fn what_is_gained_is_counted_once(
        steps in proptest::collection::vec((0_u64..1000, 0_u64..5000, any::<bool>()), 1..60)
    ) {
        // given any gains, any times between samples, and restarts of the manager in between
        let mut ledger = Ledger::new("boot", START, Tick(0));
        let (mut total, mut at, mut seen) = (0, 0, 0);
        for (gain, seconds, restart) in steps {
            total += gain;
            at += seconds;
            if restart {
                let kept = serde_json::to_string(&ledger).unwrap();
                let kept: Ledger = serde_json::from_str(&kept).unwrap();
                ledger = kept.resume("boot", START + at, Tick(at * 1000)).0;
            }
            let closed = ledger.sample(START + at, Tick(at * 1000), &with(counters(total, 1, 0)));
            for part in &closed {
                prop_assert!(part.from <= part.until);
                seen += part.used.cpu_usec;
            }
        }
        // then all of it is in a record or open
        prop_assert_eq!(seen + open(&ledger).cpu_usec, total);
    }
}

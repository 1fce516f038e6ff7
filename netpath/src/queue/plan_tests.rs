//! A plan from the shipped data file.

use super::*;
use proptest::prelude::*;

const DATA: &str = include_str!("../../../board/common/queues.toml");

fn data() -> QueueData {
    QueueData::parse("queues.toml", DATA).unwrap()
}

fn service(number: u16) -> ServiceId {
    ServiceId::new(number).unwrap()
}

fn share(reserve: u64, max: Option<u64>, class: TrafficClass) -> NetworkShare {
    NetworkShare {
        up: LineShare {
            reserve: BitsPerSec(reserve),
            max: max.map(BitsPerSec),
        },
        class,
        ..NetworkShare::default()
    }
}

#[test]
fn the_home_shares_what_nobody_has_reserved() {
    // given 20 Mbit/s, of which 19 are used, and a service with 4 of them
    let data = data();
    let line = Line::new(&data, Direction::Up, BitsPerSec::mbit(20)).unwrap();
    let services = [(
        service(3),
        share(4_000_000, Some(8_000_000), TrafficClass::Guaranteed),
    )];
    // when it is planned
    let plan = line.classes(&services);
    // then parents come first, and each class has its number, rank, rate and ceiling
    let shown: Vec<_> = plan
        .iter()
        .map(|p| {
            (
                p.class.minor,
                p.class.parent,
                p.class.priority,
                p.class.rate * 8,
                p.class.ceiling * 8,
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            (1, 0, 0, 19_000_000, 19_000_000),
            (0x17, 1, 0, 750_000, 19_000_000),
            (0x36, 1, 2, 5_250_000, 19_000_000),
            (0x40, 1, 3, 8_250_000, 19_000_000),
            (0x52, 1, 4, 750_000, 19_000_000),
            (0x1030, 1, 1, 4_000_000, 8_000_000),
        ]
    );
    // and in the other direction it has nothing
    let down = Line::new(&data, Direction::Down, BitsPerSec::mbit(20)).unwrap();
    let plan = down.classes(&services);
    assert_eq!(plan.last().unwrap().class.ceiling * 8, 19_000_000);
    assert_eq!(plan.last().unwrap().class.rate * 8, QUEUE_RATE_MIN.0);
}

#[test]
fn leaves_hold_no_more_than_is_good_at_the_rate() {
    let data = data();
    let at = |rate| Line::new(&data, Direction::Up, rate).unwrap();
    // given a slow line, then a packet's own time is no delay, nor is the turn of another class
    let slow = at(BitsPerSec(1_000_000));
    let Leaf::FqCodel {
        target, interval, ..
    } = slow.leaf(LeafKind::FqCodel)
    else {
        panic!();
    };
    assert!(
        target > 50_000 && interval >= 2 * target,
        "{target} {interval}"
    );
    assert_eq!(
        slow.leaf(LeafKind::Pfifo),
        Leaf::Fifo {
            limit: QUEUE_PACKETS_MIN
        }
    );
    // and on a fast one the target is the data file's
    let fast = at(BitsPerSec::mbit(100));
    assert!(matches!(
        fast.leaf(LeafKind::Cake),
        Leaf::Cake { target: 5_000, .. }
    ));
    assert_eq!(slow.piece(), QUANTUM_MIN);
    assert_eq!(fast.piece(), 23_750);
    // and one beyond what can be shaped is not shaped
    assert!(Line::new(&data, Direction::Up, BitsPerSec(LINE_SHAPED_MAX.0 + 1)).is_none());
}

#[test]
fn weights_are_parts_of_what_is_left_and_never_less_than_a_packet() {
    let data = data();
    let line = Line::new(&data, Direction::Up, BitsPerSec::mbit(20)).unwrap();
    let weighed = |weight| NetworkShare {
        weight,
        ..NetworkShare::default()
    };
    let services = [
        (service(0), weighed(50)),
        (service(1), weighed(150)),
        (service(2), weighed(1)),
    ];
    let quanta = |services: &[(ServiceId, NetworkShare)]| {
        let plan = line.classes(services);
        plan.iter()
            .skip(5)
            .map(|p| p.class.quantum)
            .collect::<Vec<_>>()
    };
    assert_eq!(quanta(&services[..2]), [QUANTUM_MIN, 3 * QUANTUM_MIN]);
    assert_eq!(quanta(&services), [QUANTUM_MAX, QUANTUM_MAX, QUANTUM_MIN]);
    // and no turn is longer than the proportion needs, however large the weights are
    let ranked = [
        (service(0), weighed(NetworkShare::WEIGHT_MAX)),
        (service(1), weighed(NetworkShare::WEIGHT_MAX / 2)),
    ];
    assert_eq!(quanta(&ranked), [2 * QUANTUM_MIN, QUANTUM_MIN]);
}

proptest! {
    #[test]
    fn no_more_is_guaranteed_than_there_is(
        rate in 128_000_u64..10_000_000_000,
        reserves in proptest::collection::vec(0_u64..2_000_000_000, 0..256),
    ) {
        let data = data();
        let line = Line::new(&data, Direction::Up, BitsPerSec(rate)).unwrap();
        let services: Vec<_> = (0..)
            .zip(&reserves)
            .map(|(number, reserve)| (service(number), share(*reserve, None, TrafficClass::Bulk)))
            .collect();
        let plan = line.classes(&services);
        let sum: u64 = plan.iter().skip(1).map(|p| p.class.rate).sum();
        let least = u64::try_from(plan.len()).unwrap() * QUEUE_RATE_MIN.0 / 8;
        prop_assert!(sum <= line.rate.0 / 8 + least, "{} of {}", sum, line.rate.0 / 8);
        let mut minors: Vec<_> = plan.iter().map(|p| p.class.minor).collect();
        minors.sort_unstable();
        minors.dedup();
        prop_assert_eq!(minors.len(), plan.len());
        for planned in &plan {
            prop_assert!(planned.class.ceiling >= planned.class.rate);
        }
    }
}

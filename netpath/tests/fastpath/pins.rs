//! What outlives the process, and what the next one makes of it.

use super::support::*;
use hearth_bpf::map::{Map, When};
use hearth_bpf::object::Object;
use hearth_model::protocol::Zone;
use hearth_model::queues::CodePoint;
use hearth_netpath::fastpath::{FastPath, FastPathError, abi, entry};
use hearth_netpath::limits::HEARTBEAT_MS;
use hearth_netpath::nat::{Carrier, Pair, Tuple};
use hearth_netpath::wire::transport::{Ports, Protocol};
use std::path::Path;

const OBJECT: &[u8] = include_bytes!("../../bpf/fastpath.o");

fn tuple(from: End, to: End, zone: Zone) -> Tuple {
    Tuple {
        source: from.0,
        destination: to.0,
        ports: Ports {
            source: from.1,
            destination: to.1,
        },
        protocol: Protocol::Udp,
        zone,
    }
}

fn flow(port: u16) -> Pair {
    Pair {
        initiator: tuple((ANN, port), (FAR, 9_000), Zone::Lan),
        responder: tuple((FAR, 9_000), (EXTERNAL, port), Zone::Wan),
    }
}

/// A pinned map, by another process.
fn map(folder: &Path, name: &str) -> Map {
    let object = Object::parse(OBJECT).unwrap();
    let spec = object.maps().iter().find(|spec| spec.name == name);
    Map::open(&folder.join(name), spec.unwrap().clone()).unwrap()
}

fn flows(fast: &mut FastPath) -> Vec<Pair> {
    let mut found = fast.found().unwrap();
    found.sort_by_key(|(pair, _)| pair.initiator.ports.source);
    found.into_iter().map(|(pair, _)| pair).collect()
}

#[test]
fn flows_outlive_their_process_and_the_next_one_finds_them_whole_or_not_at_all() {
    // given a process that carried three flows, one of which has passed packets, and ends
    let pins = Pins::new();
    let (mut fast, programs) = open(&pins.folder()).unwrap();
    for port in [5_000, 5_001, 5_002] {
        assert!(
            fast.carry(&flow(port), CodePoint::default(), clock().tick)
                .is_some()
        );
    }
    let packet = udp((ANN, 5_000), (FAR, 9_000), b"data");
    let frame = [&[0; 12][..], &[8, 0], &packet].concat();
    assert_ne!(
        programs[0].test_run(&frame, &mut [], 1).unwrap().packet,
        frame
    );
    drop((fast, programs));
    // and somebody has removed half of one, and changed where another leads
    let torn = map(&pins.folder(), "FLOWS");
    let key = |tuple: &Tuple| entry::key_bytes(&entry::key(tuple));
    assert!(torn.delete(&key(&flow(5_001).initiator)).unwrap());
    let mut value = [0; entry::ENTRY_SIZE];
    torn.lookup(&key(&flow(5_002).initiator), &mut value)
        .unwrap();
    let wrong = abi::Entry {
        destination: 1,
        ..entry::entry_from(&value)
    };
    torn.update(
        &key(&flow(5_002).initiator),
        &entry::entry_bytes(&wrong),
        When::Any,
    )
    .unwrap();

    // when the next one begins, then it finds the whole one with its counts, and removes the rest
    let (mut fast, _programs) = open(&pins.folder()).unwrap();
    assert_eq!(flows(&mut fast), [flow(5_000)]);
    let [initiator, responder] = fast.passed(&flow(5_000)).unwrap();
    assert_eq!(
        (initiator.packets, initiator.bytes, responder.packets),
        (1, 32, 0)
    );
    for port in [5_001, 5_002] {
        for tuple in [flow(port).initiator, flow(port).responder] {
            assert!(!torn.lookup(&key(&tuple), &mut value).unwrap(), "{tuple:?}");
        }
    }
    // and knows whether it would write the same today
    assert_eq!(fast.is_current(&flow(5_000)), Some(true));
    fast.ways.wan = Some((9, lease(EXTERNAL)));
    assert_eq!(fast.is_current(&flow(5_000)), Some(false));
    fast.ways.wan = None;
    assert_eq!(fast.is_current(&flow(5_000)), None);
}

#[test]
fn maps_of_another_layout_are_not_adopted() {
    // given flows of a process with another layout
    let pins = Pins::new();
    let (mut fast, _programs) = open(&pins.folder()).unwrap();
    fast.carry(&flow(5_000), CodePoint::default(), clock().tick)
        .unwrap();
    let config = map(&pins.folder(), "CONFIG");
    let mut value = [0; entry::CONFIG_SIZE];
    config.lookup(&[0; 4], &mut value).unwrap();
    let other = abi::Config {
        layout: abi::LAYOUT + 1,
        ..entry::config_from(&value)
    };
    config
        .update(&[0; 4], &entry::config_bytes(&other), When::Any)
        .unwrap();
    // when this one begins, then it begins with none
    let (mut fast, _programs) = open(&pins.folder()).unwrap();
    assert_eq!(flows(&mut fast), []);
    // and the one after it finds this one's
    fast.carry(&flow(5_001), CodePoint::default(), clock().tick)
        .unwrap();
    let (mut fast, _programs) = open(&pins.folder()).unwrap();
    assert_eq!(flows(&mut fast), [flow(5_001)]);
}

#[test]
fn a_program_whose_owner_is_gone_for_good_stops() {
    // given a carried flow
    let pins = Pins::new();
    let (mut fast, programs) = open(&pins.folder()).unwrap();
    let now = clock();
    fast.carry(&flow(5_000), CodePoint::default(), now.tick)
        .unwrap();
    let packet = udp((ANN, 5_000), (FAR, 9_000), b"data");
    let frame = [&[0; 12][..], &[8, 0], &packet].concat();
    let passes = || programs[0].test_run(&frame, &mut [], 1).unwrap().packet != frame;
    assert!(passes());
    // when its process was there for the last time longer ago than the heartbeat allows
    let config = map(&pins.folder(), "CONFIG");
    let mut value = [0; entry::CONFIG_SIZE];
    config.lookup(&[0; 4], &mut value).unwrap();
    let before = entry::config_from(&value);
    let until = now.nanoseconds + HEARTBEAT_MS * 1_000_000;
    assert!(before.valid_until.abs_diff(until) < 1_000_000_000);
    let over = abi::Config {
        // The program's clock moves on once a tick of the kernel.
        valid_until: now.nanoseconds - 100_000_000,
        ..before
    };
    config
        .update(&[0; 4], &entry::config_bytes(&over), When::Any)
        .unwrap();
    // then nothing passes any more, until it is back
    assert!(!passes());
    fast.beat(clock()).unwrap();
    assert!(passes());
}

#[test]
fn without_a_bpf_file_system_there_is_no_fast_path() {
    let folder = tempfile::tempdir().unwrap();
    match open(&folder.path().join("hearth")) {
        Err(FastPathError::Pin(path, _)) => assert!(path.starts_with(folder.path())),
        other => panic!("{other:?}"),
    }
}

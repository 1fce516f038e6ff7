//! What is built is what tc(8) of iproute2 6.1 sends, byte by byte; on a kernel, tests/queues.rs asks tc.

use super::*;

/// The options of a request, without their own header.
fn options(message: Message) -> Vec<u8> {
    let bytes = message.finish(1);
    let mut found = attributes(&bytes[16 + TCMSG..]);
    let (_, value) = found.find(|(kind, _)| *kind == TCA_OPTIONS).unwrap();
    value.to_vec()
}

fn sorted(bytes: &[u8]) -> Vec<(u16, Vec<u8>)> {
    let mut all: Vec<_> = attributes(bytes)
        .map(|(kind, value)| (kind, value.to_vec()))
        .collect();
    all.sort();
    all
}

#[test]
fn leaves_are_what_tc_sends() {
    // tc qdisc replace dev q0 parent 1:40 fq_codel target 5ms limit 1000 interval 100ms ecn memory_limit 1000000
    let fq_codel = Leaf::FqCodel {
        target: 5_000,
        interval: 100_000,
        memory: 1_000_000,
        limit: 1_000,
    };
    let sent = b"\x08\x00\x02\x00\xe8\x03\x00\x00\x08\x00\x03\x00\xa0\x86\x01\x00\x08\x00\x01\x00\x88\x13\x00\x00\
        \x08\x00\x04\x00\x01\x00\x00\x00\x08\x00\x09\x00\x40\x42\x0f\x00";
    assert_eq!(
        sorted(&options(leaf_message(2, 0x40, &fq_codel))),
        sorted(sent)
    );
    // tc qdisc replace dev q0 parent 1:40 cake besteffort rtt 100ms memlimit 1000000 split-gso
    let cake = Leaf::Cake {
        target: 5_000,
        interval: 100_000,
        memory: 1_000_000,
    };
    let sent = b"\x08\x00\x03\x00\x03\x00\x00\x00\x08\x00\x07\x00\xa0\x86\x01\x00\x08\x00\x08\x00\x88\x13\x00\x00\
        \x08\x00\x0a\x00\x40\x42\x0f\x00\x08\x00\x11\x00\x01\x00\x00\x00";
    assert_eq!(sorted(&options(leaf_message(2, 0x40, &cake))), sorted(sent));
    // tc qdisc replace dev q0 parent 1:40 pfifo limit 30
    let fifo = leaf_message(2, 0x40, &Leaf::Fifo { limit: 30 });
    assert_eq!(options(fifo.clone()), 30_u32.to_ne_bytes());
    let head = fifo.finish(1);
    assert_eq!(head[4..8], [36, 0, 0x05, 0x05]);
    assert_eq!(head[24..32], [0, 0, 0, 0, 0x40, 0, 1, 0]);
}

#[test]
fn a_class_is_what_tc_sends() {
    // tc class add dev q0 parent 1: classid 1:1 htb rate 20mbit ceil 20mbit burst 4000 cburst 4000 quantum 1514
    // overhead 24; the cell sizes, which only tables need, are left out
    let class = Class {
        minor: 1,
        parent: 0,
        rate: 2_500_000,
        ceiling: 2_500_000,
        burst: 4_000,
        priority: 0,
        quantum: 1_514,
        overhead: 24,
    };
    let sent = b"\x00\x01\x18\x00\x00\x00\x00\x00\xa0\x25\x26\x00\x00\x01\x18\x00\x00\x00\x00\x00\xa0\x25\x26\x00\
        \xa8\x61\x00\x00\xa8\x61\x00\x00\xea\x05\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00";
    let built = options(class_message(2, &class));
    let parms = attributes(&built).next();
    assert_eq!(parms, Some((TCA_HTB_PARMS, sent.as_slice())));
}

#[test]
fn a_torn_answer_is_no_leaf() {
    // given an answer of a leaf of class 1:40 with its counters
    let basic = [&9_000_000_000_u64.to_ne_bytes()[..], &7_u32.to_ne_bytes()].concat();
    let queue = [3_u32, 4_500, 2, 0, 0].map(u32::to_ne_bytes);
    let stats = Attributes::new()
        .with(TCA_STATS_BASIC, &basic)
        .with(TCA_STATS_QUEUE, queue.as_flattened());
    let message = Message::new(36, 0, &tcmsg(5, 0x8001_0000, class_id(0x40), 1))
        .with(TCA_KIND, b"pfifo\0")
        .with_nested(TCA_STATS2, &[], &stats);
    let said = &message.finish(1)[16..];
    // when it is read, then it is all there
    let expected = Counts {
        minor: 0x40,
        kind: "pfifo".to_owned(),
        bytes: 9_000_000_000,
        packets: 7,
        drops: 2,
        backlog: 4_500,
        waiting: 3,
    };
    assert_eq!(counts(said, 5), Some(expected));
    // and another interface's, or a part of one, is none; nothing panics
    assert_eq!(counts(said, 6), None);
    for length in 0..said.len() {
        let part = counts(&said[..length], 5);
        assert_eq!(part.is_some(), length >= TCMSG, "{length}");
    }
}

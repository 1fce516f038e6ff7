//! Queues on this machine's kernel, as tc(8) shows them. Needs root; in a network namespace of its own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use hearth_bpf::netlink::Netlink;
use hearth_bpf::qdisc::{self, Class, Leaf};
use std::process::Command;

/// Enters a new network namespace, for this thread alone, which has a pair of links.
fn own_network() {
    // SAFETY: unshare(2) takes no pointer, and only this thread's network changes.
    assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNET) }, 0);
    run("ip link add q0 type veth peer name q1");
    run("ip link set q0 up");
    run("ip link set q1 up");
}

fn run(words: &str) -> String {
    let mut words = words.split_whitespace();
    let done = Command::new(words.next().unwrap())
        .args(words)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(
        done.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&done.stderr)
    );
    said
}

fn index() -> u32 {
    let said = run("ip -o link show q0");
    said.split(':').next().unwrap().trim().parse().unwrap()
}

#[test]
fn tc_shows_what_was_asked_and_a_change_keeps_what_is_there() {
    own_network();
    let (mut netlink, q0) = (Netlink::open().unwrap(), index());
    // given a root with a class below another one, and a leaf
    let line = Class {
        minor: 1,
        parent: 0,
        rate: 2_500_000,
        ceiling: 2_500_000,
        burst: 4_000,
        priority: 0,
        quantum: 1_514,
        overhead: 24,
    };
    let bulk = Class {
        minor: 0x40,
        parent: 1,
        rate: 1_250_000,
        priority: 3,
        ..line
    };
    qdisc::set_root(&mut netlink, q0, 0x40).unwrap();
    qdisc::set_class(&mut netlink, q0, &line).unwrap();
    qdisc::set_class(&mut netlink, q0, &bulk).unwrap();
    qdisc::set_leaf(&mut netlink, q0, 0x40, &Leaf::Fifo { limit: 30 }).unwrap();
    // when tc is asked, then it shows them
    let qdiscs = run("tc -d qdisc show dev q0");
    assert!(qdiscs.contains("qdisc htb 1: root"), "{qdiscs}");
    assert!(qdiscs.contains("default 0x40"), "{qdiscs}");
    assert!(
        qdiscs.contains("pfifo") && qdiscs.contains("parent 1:40 limit 30p"),
        "{qdiscs}"
    );
    let classes = run("tc -d class show dev q0");
    let expected = "prio 3 quantum 1514 rate 10Mbit overhead 24 ceil 20Mbit linklayer ethernet \
                    burst 4000b/1 mpu 0b cburst 4000b/1 mpu 0b level 0";
    assert!(classes.contains(expected), "{classes}");
    // and when all of it is asked again, with another rate and length, then it is the same leaf
    let handle = |text: &str| {
        text.split("pfifo ")
            .nth(1)
            .map(|t| t.split(':').next().unwrap().to_owned())
    };
    qdisc::set_root(&mut netlink, q0, 0x40).unwrap();
    qdisc::set_class(
        &mut netlink,
        q0,
        &Class {
            rate: 500_000,
            ..bulk
        },
    )
    .unwrap();
    qdisc::set_leaf(&mut netlink, q0, 0x40, &Leaf::Fifo { limit: 40 }).unwrap();
    let after = run("tc -d qdisc show dev q0");
    assert_eq!(handle(&after), handle(&qdiscs), "{after}");
    assert!(after.contains("limit 40p"), "{after}");
    assert!(run("tc -d class show dev q0").contains("rate 4Mbit"));
    // and its counters are read
    let leaves = qdisc::leaves(&mut netlink, q0).unwrap();
    assert_eq!(leaves.len(), 1, "{leaves:?}");
    assert_eq!((leaves[0].minor, leaves[0].kind.as_str()), (0x40, "pfifo"));
    // and when they are removed, twice, then nothing is left and nothing is refused
    for _ in 0..2 {
        qdisc::remove_class(&mut netlink, q0, 0x40).unwrap();
    }
    assert!(qdisc::leaves(&mut netlink, q0).unwrap().is_empty());
    for _ in 0..2 {
        qdisc::remove_root(&mut netlink, q0).unwrap();
    }
    assert!(!run("tc qdisc show dev q0").contains("htb"));
}

#[test]
fn a_leaf_that_the_kernel_lacks_is_named_so() {
    own_network();
    let (mut netlink, q0) = (Netlink::open().unwrap(), index());
    qdisc::set_root(&mut netlink, q0, 0x40).unwrap();
    // given a class that there is not, when it gets a leaf, then the kernel refuses
    let leaf = Leaf::Fifo { limit: 1 };
    assert!(qdisc::set_leaf(&mut netlink, q0, 0x77, &leaf).is_err());
    let gone = qdisc::set_root(&mut netlink, 9_999, 0x40).unwrap_err();
    assert_eq!(gone.errno(), libc::ENODEV, "{gone}");
}

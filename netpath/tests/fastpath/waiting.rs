//! Who may wait for the machine, and how many packets of each.

use super::support::*;
use hearth_bpf::program::Program;
use hearth_model::drops::DropReason;
use hearth_model::protocol::Zone;
use hearth_netpath::fastpath::{FastPath, abi};
use std::net::Ipv4Addr;

/// `TC_ACT_SHOT`
const DROP: u32 = 2;
const OURS: [u8; 6] = [2, 0, 0, 0, 0, 10];
const ANOTHER: [u8; 6] = [2, 0, 0, 0, 0, 11];

/// What becomes of the last of so many packets of a new flow.
fn last(program: &Program, source: Ipv4Addr, hardware: [u8; 6], packets: u32) -> u32 {
    let packet = udp((source, 5_000), (FAR, 9_000), b"new");
    let frame = [&[0; 6][..], &hardware, &[8, 0], &packet].concat();
    program.test_run(&frame, &mut [], packets).unwrap().value
}

fn refused(fast: &FastPath) -> Vec<(Zone, DropReason, u64)> {
    fast.refused()
        .unwrap()
        .into_iter()
        .filter(|(_, _, count)| *count > 0)
        .collect()
}

#[test]
fn a_host_that_floods_has_its_share_of_the_queue_and_leaves_the_rest_to_others() {
    let pins = Pins::new();
    let (mut fast, [lan, wan, service, guest, port]) = open(&pins.folder()).unwrap();
    for program in [&lan, &port] {
        // given a host that has sent as much as may wait
        assert_eq!(last(program, ANN, OURS, abi::WAITING_MAX), REDIRECT);
        // when it sends more, then that is dropped, and what others send is not
        assert_eq!(last(program, ANN, OURS, 7), DROP);
        assert_eq!(last(program, BOB, OURS, abi::WAITING_MAX), REDIRECT);
        assert_eq!(last(&service, WEB, OURS, 1), REDIRECT);
        // when the machine has taken what waited, then it may send again
        fast.next_round(Zone::Lan).unwrap();
        assert_eq!(last(program, ANN, OURS, abi::WAITING_MAX), REDIRECT);
        fast.beat(clock()).unwrap();
    }
    // and a service has a share as well
    assert_eq!(last(&service, WEB, OURS, abi::WAITING_MAX), REDIRECT);
    fast.next_round(Zone::Lan).unwrap();
    assert_eq!(last(&service, WEB, OURS, 3), DROP);
    // and so has a guest, whatever the home's hosts send
    assert_eq!(last(&guest, GUEST, OURS, abi::WAITING_MAX), REDIRECT);
    assert_eq!(last(&guest, GUEST, OURS, 5), DROP);
    // and the Internet none: all of it may be one resolver's answers
    assert_eq!(last(&wan, FAR, OURS, 4 * abi::WAITING_MAX), REDIRECT);
    // and every packet that was dropped is counted
    assert_eq!(
        refused(&fast),
        [
            (Zone::Lan, DropReason::HostBusy, 14),
            (Zone::Service, DropReason::HostBusy, 3),
            (Zone::Guest, DropReason::HostBusy, 5)
        ]
    );
}

#[test]
fn those_who_are_not_where_the_gateway_knows_them_have_one_small_share_together() {
    let pins = Pins::new();
    let (mut fast, [lan, _, service, guest, _]) = open(&pins.folder()).unwrap();
    // given a gateway that does not know its hosts yet, then nobody is a stranger
    assert_eq!(last(&lan, ANN, ANOTHER, abi::WAITING_MAX), REDIRECT);
    // given one that knows a host
    fast.know_hosts(Zone::Lan, [(ANN, OURS)].into_iter())
        .unwrap();
    // when invented hosts send, and another in this one's name
    let mut dropped = 0;
    for number in 0..2 * abi::STRANGERS_MAX {
        let [.., low] = number.to_be_bytes();
        let (source, hardware) = match number % 2 {
            0 => (Ipv4Addr::new(192, 168, 1, low), ANOTHER),
            _ => (ANN, ANOTHER),
        };
        dropped += u32::from(last(&lan, source, hardware, 1) == DROP);
    }
    // then no more than all strangers may have comes through, but for what time has given them meanwhile
    assert!((1..=abi::STRANGERS_MAX).contains(&dropped), "{dropped}");
    assert!(dropped > abi::STRANGERS_MAX / 2, "{dropped}");
    let all = [(Zone::Lan, DropReason::HostUnknown, u64::from(dropped))];
    assert_eq!(refused(&fast), all);
    // and the one that is known is not counted with them, nor are services
    assert_eq!(last(&lan, ANN, OURS, abi::WAITING_MAX), REDIRECT);
    assert_eq!(last(&service, WEB, ANOTHER, 1), REDIRECT);
    // and guests are not either: they have a side of their own, with strangers of its own
    assert_eq!(last(&guest, GUEST, ANOTHER, abi::WAITING_MAX), REDIRECT);
    fast.know_hosts(Zone::Guest, [(GUEST, OURS)].into_iter())
        .unwrap();
    assert_eq!(last(&guest, GUEST, ANOTHER, 1), REDIRECT);
    assert_eq!(last(&guest, GUEST, ANOTHER, 2 * abi::STRANGERS_MAX), DROP);
    assert_eq!(last(&guest, GUEST, OURS, 1), REDIRECT);
    // and a host that has come meanwhile is none any more
    fast.know_hosts(Zone::Lan, [(BOB, ANOTHER)].into_iter())
        .unwrap();
    assert_eq!(last(&lan, BOB, ANOTHER, 100), REDIRECT);
}

//! TCP, as it looks from inside of the machine; the RFC's requirements are in `tests/rfc`.

use super::support::*;
use crate::counters::DropReason;
use crate::limits::*;
use hearth_model::protocol::Zone::{Lan, Wan};

const SYN: Body = Body::Tcp(Flags::Syn);
const SYN_ACK: Body = Body::Tcp(Flags::SynAck);
const ACK: Body = Body::Tcp(Flags::Ack);
const RST: Body = Body::Tcp(Flags::Rst);

#[test]
fn a_syn_that_nobody_asked_for_is_counted_as_unsolicited() {
    let mut home = Home::new();
    let reason = home.drop(Wan, SYN, (FAR, 80), (EXTERNAL, 22));
    assert_eq!(reason, DropReason::Unsolicited);
    // also to the gateway's own ports, where only answers are expected
    let own = home.drop(Wan, SYN, (FAR, 80), (EXTERNAL, LOCAL_PORT_FIRST));
    assert_eq!(own, DropReason::Unsolicited);
    let answer = packet(SYN_ACK, (FAR, 80), (EXTERNAL, LOCAL_PORT_FIRST), b"");
    assert_eq!(home.run(Wan, &answer), Out::Local);
}

#[test]
fn a_flow_in_the_middle_is_picked_up_from_the_inside_on_its_old_port() {
    // given a new machine that knows nothing of a connection
    let mut home = Home::new();
    // when its outside end sends first, then that is not let in
    home.drop(Wan, ACK, (FAR, 80), (EXTERNAL, 5_000));
    // and when its inside end does, then it has the port that it had
    let seen = home.pass(Lan, ACK, (ANN, 5_000), (FAR, 80)).0;
    assert_eq!(seen, (EXTERNAL, 5_000));
    home.pass(Wan, ACK, (FAR, 80), (EXTERNAL, 5_000));
    home.pass(Lan, ACK, (ANN, 5_000), (FAR, 80));
    home.wait_ms(TCP_TRANSITORY_TIMEOUT_MS * 2);
    home.pass(Wan, ACK, (FAR, 80), (EXTERNAL, 5_000));
}

#[test]
fn a_reset_opens_no_flow() {
    let mut home = Home::new();
    let reason = home.drop(Lan, RST, (ANN, 5_000), (FAR, 80));
    assert_eq!(reason, DropReason::TcpNoFlow);
    assert_eq!(home.nat.report().mappings, 0);
}

#[test]
fn a_connection_that_begins_anew_keeps_its_mapping() {
    // given a connection whose port is translated, and which has closed
    let mut home = Home::new();
    home.connect((Lan, Wan), (ANN, 5_000), (FAR, 80));
    let seen = home.connect((Lan, Wan), (BOB, 5_000), (FAR, 80)).0;
    home.pass(Lan, RST, (BOB, 5_000), (FAR, 80));
    // when its own port is free meanwhile, and it is opened again, then it is seen as before
    home.wait_ms(TCP_TRANSITORY_TIMEOUT_MS / 2);
    home.pass(Lan, RST, (ANN, 5_000), (FAR, 80));
    assert_eq!(home.connect((Lan, Wan), (BOB, 5_000), (FAR, 80)).0, seen);
    // and it lives as long as any
    home.wait_ms(TCP_TRANSITORY_TIMEOUT_MS * 2);
    home.pass(Wan, ACK, (FAR, 80), seen);
}

#[test]
fn a_connection_that_begins_anew_counts_in_its_hosts_share() {
    // given a host that has closed a connection, and then uses up its share
    let mut home = Home::new();
    home.connect((Lan, Wan), (ANN, 5_000), (FAR, 80));
    home.pass(Lan, RST, (ANN, 5_000), (FAR, 80));
    for n in 0..HOST_SHARE {
        let to = (core::net::Ipv4Addr::from(0x0808_0000 + n), 9_000);
        home.pass(Lan, Body::Udp, (ANN, 6_000), to);
    }
    // when it opens the connection again, then it is told that it may not
    let out = home.run(Lan, &packet(SYN, (ANN, 5_000), (FAR, 80), b""));
    assert!(matches!(out, Out::Reply(_)), "{out:?}");
    assert_eq!(home.nat.counters().refused(DropReason::HostShareFull), 1);
    // and what is late of the old one passes
    home.pass(Wan, ACK, (FAR, 80), (EXTERNAL, 5_000));
}

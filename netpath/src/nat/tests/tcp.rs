//! RFC 5382 and RFC 7857, requirement by requirement.

use super::support::*;
use crate::counters::DropReason;
use crate::limits::*;
use hearth_model::protocol::Zone::{Lan, Wan};

const SYN: Body = Body::Tcp(Flags::Syn);
const SYN_ACK: Body = Body::Tcp(Flags::SynAck);
const ACK: Body = Body::Tcp(Flags::Ack);
const FIN: Body = Body::Tcp(Flags::Fin);
const RST: Body = Body::Tcp(Flags::Rst);

#[test]
fn rfc5382_req1_endpoint_independent_mapping() {
    let mut home = Home::new();
    let first = home.connect((Lan, Wan), (ANN, 5_000), (FAR, 80)).0;
    let second = home.connect((Lan, Wan), (ANN, 5_000), (OTHER, 443)).0;
    assert_eq!((first, second), ((EXTERNAL, 5_000), (EXTERNAL, 5_000)));
}

#[test]
fn rfc5382_req2_simultaneous_open() {
    // given an inside SYN
    let mut home = Home::new();
    home.pass(Lan, SYN, (ANN, 5_000), (FAR, 80));
    // when the outside's SYN crosses it, then it gets in, and both SYN-ACKs pass
    let crossing = home.pass(Wan, SYN, (FAR, 80), (EXTERNAL, 5_000));
    assert_eq!(crossing, ((FAR, 80), (ANN, 5_000)));
    home.pass(Lan, SYN_ACK, (ANN, 5_000), (FAR, 80));
    home.pass(Wan, SYN_ACK, (FAR, 80), (EXTERNAL, 5_000));
}

#[test]
fn rfc5382_req3_filtering_by_address_and_port() {
    // given a connection
    let mut home = Home::new();
    home.connect((Lan, Wan), (ANN, 5_000), (FAR, 80));
    // when the same host tries from another port, then it is filtered
    let other = home.drop(Wan, SYN, (FAR, 81), (EXTERNAL, 5_000));
    assert_eq!(other, DropReason::Filtered);
}

#[test]
fn rfc5382_req4_an_unsolicited_syn_is_met_with_silence() {
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
fn rfc5382_req5_established_for_two_hours_and_four_minutes() {
    // given a connection that is idle
    let mut home = Home::new();
    home.connect((Lan, Wan), (ANN, 5_000), (FAR, 80));
    // when time passes, second by second where the wheel turns
    for _ in 0..TCP_ESTABLISHED_TIMEOUT_MS / 60_000 - 1 {
        home.wait_ms(60_000);
    }
    home.wait_ms(59_999);
    // then the outside can still send just before the end
    assert_eq!(home.nat.report().mappings, 1);
    home.wait_ms(1 + 2 * WHEEL_STEP_MS);
    assert_eq!(home.nat.report().mappings, 0);
}

#[test]
fn rfc5382_req5_transitory_for_four_minutes() {
    for (name, tail) in [
        ("opening", &[][..]),
        (
            "closed",
            &[
                (Wan, SYN_ACK),
                (Lan, ACK),
                (Lan, FIN),
                (Wan, FIN),
                (Lan, ACK),
            ][..],
        ),
        ("reset", &[(Wan, SYN_ACK), (Lan, ACK), (Wan, RST)][..]),
    ] {
        // given a flow that opens, has closed, or was reset
        let mut home = Home::new();
        home.pass(Lan, SYN, (ANN, 5_000), (FAR, 80));
        for (zone, body) in tail {
            match zone {
                Lan => home.pass(Lan, *body, (ANN, 5_000), (FAR, 80)),
                _ => home.pass(Wan, *body, (FAR, 80), (EXTERNAL, 5_000)),
            };
        }
        // when four minutes are almost over, then it is there; after them it is gone
        home.wait_ms(TCP_TRANSITORY_TIMEOUT_MS - 1);
        assert_eq!(home.nat.report().mappings, 1, "{name}");
        home.wait_ms(1 + 2 * WHEEL_STEP_MS);
        assert_eq!(home.nat.report().mappings, 0, "{name}");
    }
}

#[test]
fn rfc5382_req7_no_port_overloading() {
    let mut home = Home::new();
    let ann = home.connect((Lan, Wan), (ANN, 5_000), (FAR, 80)).0;
    let bob = home.connect((Lan, Wan), (BOB, 5_000), (FAR, 80)).0;
    assert_ne!(ann.1, bob.1);
}

#[test]
fn rfc5382_req8_hairpinning() {
    // given a host that has a mapping, from which it now listens
    let mut home = Home::new();
    let bob = home.connect((Lan, Wan), (BOB, 6_000), (FAR, 80)).0;
    // when another connects to it by that mapping, then the whole handshake passes
    let (seen, target) = home.connect((Lan, Lan), (ANN, 5_000), bob);
    assert_eq!((seen, target), ((EXTERNAL, 5_000), (BOB, 6_000)));
}

#[test]
fn rfc5382_req10_icmp_does_not_end_a_connection() {
    let mut home = Home::new();
    home.connect((Lan, Wan), (ANN, 5_000), (FAR, 80));
    let sent = packet(ACK, (EXTERNAL, 5_000), (FAR, 80), b"");
    let host = etherparse::icmpv4::DestUnreachableHeader::Host;
    let kind = etherparse::Icmpv4Type::DestinationUnreachable(host);
    let error = icmp_error(kind, OTHER, EXTERNAL, &sent);
    assert!(matches!(home.run(Wan, &error), Out::Forward(_)));
    home.pass(Wan, ACK, (FAR, 80), (EXTERNAL, 5_000));
}

#[test]
fn rfc7857_a_reset_that_data_follows_changed_nothing() {
    // given a connection, and a reset that a stranger forged
    let mut home = Home::new();
    home.connect((Lan, Wan), (ANN, 5_000), (FAR, 80));
    home.pass(Wan, RST, (FAR, 80), (EXTERNAL, 5_000));
    // when the connection goes on, then it has its long lifetime again
    home.pass(Lan, ACK, (ANN, 5_000), (FAR, 80));
    home.wait_ms(TCP_TRANSITORY_TIMEOUT_MS * 2);
    home.pass(Wan, ACK, (FAR, 80), (EXTERNAL, 5_000));
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

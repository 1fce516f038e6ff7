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

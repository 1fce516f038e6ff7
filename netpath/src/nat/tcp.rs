//! What a TCP flow's two ends have said (RFC 5382, RFC 7857 section 2): only as much as decides
//! how long the flow is kept. Sequence numbers are not followed.

use super::sessions::Side;
use crate::wire::transport::TcpFlags;
use hearth_model::protocol::Zone;

const INITIATOR_OPEN: u8 = 1;
const RESPONDER_OPEN: u8 = 2;
const CONFIRMED: u8 = 4;
const INITIATOR_FIN: u8 = 8;
const RESPONDER_FIN: u8 = 16;
const RESET: u8 = 32;
const FINISHED: u8 = 64;
const OPEN: u8 = INITIATOR_OPEN | RESPONDER_OPEN | CONFIRMED;

/// What a TCP connection is at, each with its own timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Not all three segments of the handshake have been seen.
    Opening,
    /// Both ends are there.
    Established,
    /// Both ends have said that they are done, or it was reset.
    Closing,
}

/// State of one TCP flow.
///
/// | said | phase |
/// | --- | --- |
/// | one end only, or both but the initiator has not acknowledged | opening |
/// | both, and the initiator has acknowledged | established |
/// | then one FIN (half-closed) | established |
/// | a reset from the Internet, which can be forged | closing, until anything else follows it |
/// | both FINs, a reset from inside, or one before all of this | closing, and finished |
///
/// A finished flow holds nothing of its host's share, and lives its time out whatever comes; but one
/// whose own inside goes on after its reset was not reset. A new connection on its ports is a new flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpState(u8);

impl TcpState {
    /// The state after a segment of `side` that arrived from `zone`.
    #[must_use]
    pub fn after(self, side: Side, zone: Zone, flags: TcpFlags) -> TcpState {
        let (open, fin) = match side {
            Side::Initiator => (INITIATOR_OPEN, INITIATOR_FIN),
            Side::Responder => (RESPONDER_OPEN, RESPONDER_FIN),
        };
        if self.is_finished() {
            return self;
        }
        if flags.rst() {
            let sure = zone != Zone::Wan || self.0 & CONFIRMED == 0;
            return TcpState(self.0 | RESET | if sure { FINISHED } else { 0 });
        }
        let mut bits = (self.0 & !RESET) | open;
        if flags.fin() {
            bits |= fin;
        }
        // The SYN-ACK that a spoofed SYN draws must not hold a row for two hours: only the
        // initiator's acknowledgement shows that it is there.
        let both = INITIATOR_OPEN | RESPONDER_OPEN;
        if side == Side::Initiator && flags.ack() && !flags.syn() && bits & both == both {
            bits |= CONFIRMED;
        }
        let fins = INITIATOR_FIN | RESPONDER_FIN;
        if bits & fins == fins {
            bits |= FINISHED;
        }
        TcpState(bits)
    }

    /// An open connection of which nothing else was heard.
    #[must_use]
    pub fn open() -> TcpState {
        TcpState(OPEN)
    }

    /// Whether it is open, and neither end has begun to close it: then a segment without SYN, FIN and
    /// RST changes nothing.
    #[must_use]
    pub fn is_open(self) -> bool {
        self.0 == OPEN
    }

    /// Whether both ends are done with the flow for certain.
    #[must_use]
    pub fn is_finished(self) -> bool {
        self.0 & FINISHED != 0
    }

    /// Whether a segment of the initiator begins another connection on the same ports.
    #[must_use]
    pub fn begins_anew(self, flags: TcpFlags) -> bool {
        flags.syn() && !flags.ack() && self.0 & (FINISHED | RESET) != 0
    }

    /// What the flow was before the reset that has finished it, if a segment which is sure to come from
    /// its inside shows that the reset was none (RFC 7857 section 2).
    #[must_use]
    pub fn goes_on(self, zone: Zone, flags: TcpFlags) -> Option<TcpState> {
        let fins = INITIATOR_FIN | RESPONDER_FIN;
        let was_reset = self.is_finished() && self.0 & RESET != 0 && self.0 & fins != fins;
        let talks = zone != Zone::Wan && flags.ack() && !flags.syn() && !flags.rst();
        (was_reset && talks).then_some(TcpState(self.0 & !(FINISHED | RESET)))
    }

    /// Where the connection is after this segment.
    #[must_use]
    pub fn phase(self) -> Phase {
        if self.0 & (FINISHED | RESET) != 0 {
            Phase::Closing
        } else if self.0 & CONFIRMED == 0 {
            Phase::Opening
        } else {
            Phase::Established
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Side::{Initiator, Responder};

    const FIN: u8 = 0x11;
    const SYN: u8 = 0x02;
    const SYN_ACK: u8 = 0x12;
    const RST: u8 = 0x04;
    const ACK: u8 = 0x10;

    /// The state of a flow that a home host opens to the Internet.
    fn run(segments: &[(Side, u8)]) -> TcpState {
        let step = |state: TcpState, (side, flags): &(Side, u8)| {
            let zone = match side {
                Initiator => Zone::Lan,
                Responder => Zone::Wan,
            };
            state.after(*side, zone, TcpFlags::new(*flags))
        };
        segments.iter().fold(TcpState::default(), step)
    }

    #[test]
    fn lifetimes_follow_what_both_ends_said() {
        use Phase::{Closing, Established, Opening};
        let shake = [(Initiator, SYN), (Responder, SYN_ACK), (Initiator, ACK)];
        let then = |more: &[(Side, u8)]| [&shake[..], more].concat();
        for (name, segments, expected) in [
            ("one SYN", vec![(Initiator, SYN)], Opening),
            ("unanswered SYN-ACK", shake[..2].to_vec(), Opening),
            ("handshake", then(&[]), Established),
            (
                "simultaneous open",
                vec![
                    (Initiator, SYN),
                    (Responder, SYN),
                    (Initiator, SYN_ACK),
                    (Responder, SYN_ACK),
                    (Initiator, ACK),
                ],
                Established,
            ),
            (
                "half closed by the initiator",
                then(&[(Initiator, FIN)]),
                Established,
            ),
            (
                "half closed by the responder",
                then(&[(Responder, FIN)]),
                Established,
            ),
            (
                "closed",
                then(&[(Initiator, FIN), (Responder, FIN)]),
                Closing,
            ),
            (
                "last acknowledgement",
                then(&[(Initiator, FIN), (Responder, FIN), (Initiator, ACK)]),
                Closing,
            ),
            ("reset", then(&[(Responder, RST)]), Closing),
            (
                "spoofed reset, then data",
                then(&[(Responder, RST), (Initiator, ACK)]),
                Established,
            ),
            (
                "a stray SYN in an open flow",
                then(&[(Responder, SYN)]),
                Established,
            ),
            (
                "picked up in the middle",
                vec![(Initiator, ACK), (Responder, ACK), (Initiator, ACK)],
                Established,
            ),
            (
                "only one end heard",
                vec![(Initiator, ACK), (Initiator, ACK)],
                Opening,
            ),
        ] {
            assert_eq!(run(&segments).phase(), expected, "{name}");
        }
    }

    #[test]
    fn a_flow_is_finished_when_nobody_can_want_it_any_more() {
        let shake = [(Initiator, SYN), (Responder, SYN_ACK), (Initiator, ACK)];
        let then = |more: &[(Side, u8)]| run(&[&shake[..], more].concat());
        let syn = TcpFlags::new(SYN);
        for (name, state, finished, anew) in [
            ("open", then(&[]), false, false),
            ("half closed", then(&[(Responder, FIN)]), false, false),
            (
                "closed",
                then(&[(Responder, FIN), (Initiator, FIN)]),
                true,
                true,
            ),
            (
                "reset by its own end",
                then(&[(Initiator, RST)]),
                true,
                true,
            ),
            (
                "reset, perhaps forged",
                then(&[(Responder, RST)]),
                false,
                true,
            ),
            (
                "forged reset, then data",
                then(&[(Responder, RST), (Responder, ACK)]),
                false,
                false,
            ),
            (
                "connection refused",
                run(&[(Initiator, SYN), (Responder, RST)]),
                true,
                true,
            ),
            (
                "data after the end",
                then(&[(Initiator, RST), (Responder, ACK), (Initiator, ACK)]),
                true,
                true,
            ),
        ] {
            assert_eq!(state.is_finished(), finished, "{name}");
            assert_eq!(state.begins_anew(syn), anew, "{name}");
            assert!(!state.begins_anew(TcpFlags::new(SYN_ACK)), "{name}");
        }
    }
}

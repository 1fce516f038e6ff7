//! What a TCP flow's two ends have said (RFC 5382, RFC 7857 section 2): only as much as decides
//! how long the flow is kept. Sequence numbers are not followed.

use super::sessions::Side;
use crate::limits::{TCP_ESTABLISHED_TIMEOUT_MS, TCP_TRANSITORY_TIMEOUT_MS};
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

/// State of one TCP flow.
///
/// | said | lifetime |
/// | --- | --- |
/// | one end only, or both but the initiator has not acknowledged | transitory |
/// | both, and the initiator has acknowledged | established |
/// | then one FIN (half-closed) | established |
/// | a reset from the Internet, which can be forged | transitory, until anything else follows it |
/// | both FINs, a reset from inside, or one before all of this | finished: transitory |
///
/// A finished flow stays finished; a new connection on its ports is a new flow.
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
            return TcpState(self.0 | if sure { FINISHED } else { RESET });
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

    /// How long the flow is kept after this segment, ms.
    #[must_use]
    pub fn timeout_ms(self) -> u64 {
        if self.0 & CONFIRMED == 0 || self.0 & (FINISHED | RESET) != 0 {
            TCP_TRANSITORY_TIMEOUT_MS
        } else {
            TCP_ESTABLISHED_TIMEOUT_MS
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
        let (short, long) = (TCP_TRANSITORY_TIMEOUT_MS, TCP_ESTABLISHED_TIMEOUT_MS);
        let shake = [(Initiator, SYN), (Responder, SYN_ACK), (Initiator, ACK)];
        let then = |more: &[(Side, u8)]| [&shake[..], more].concat();
        for (name, segments, expected) in [
            ("one SYN", vec![(Initiator, SYN)], short),
            ("unanswered SYN-ACK", shake[..2].to_vec(), short),
            ("handshake", then(&[]), long),
            (
                "simultaneous open",
                vec![
                    (Initiator, SYN),
                    (Responder, SYN),
                    (Initiator, SYN_ACK),
                    (Responder, SYN_ACK),
                    (Initiator, ACK),
                ],
                long,
            ),
            (
                "half closed by the initiator",
                then(&[(Initiator, FIN)]),
                long,
            ),
            (
                "half closed by the responder",
                then(&[(Responder, FIN)]),
                long,
            ),
            ("closed", then(&[(Initiator, FIN), (Responder, FIN)]), short),
            (
                "last acknowledgement",
                then(&[(Initiator, FIN), (Responder, FIN), (Initiator, ACK)]),
                short,
            ),
            ("reset", then(&[(Responder, RST)]), short),
            (
                "spoofed reset, then data",
                then(&[(Responder, RST), (Initiator, ACK)]),
                long,
            ),
            (
                "a stray SYN in an open flow",
                then(&[(Responder, SYN)]),
                long,
            ),
            (
                "picked up in the middle",
                vec![(Initiator, ACK), (Responder, ACK), (Initiator, ACK)],
                long,
            ),
            (
                "only one end heard",
                vec![(Initiator, ACK), (Initiator, ACK)],
                short,
            ),
        ] {
            assert_eq!(run(&segments).timeout_ms(), expected, "{name}");
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

//! What a TCP flow's two ends have said (RFC 5382, RFC 7857 section 2): only as much as decides
//! how long the flow is kept. Sequence numbers are not followed.

use super::sessions::Side;
use crate::limits::{TCP_ESTABLISHED_TIMEOUT_MS, TCP_TRANSITORY_TIMEOUT_MS};
use crate::wire::transport::TcpFlags;

const INITIATOR_OPEN: u8 = 1;
const RESPONDER_OPEN: u8 = 2;
const CONFIRMED: u8 = 4;
const INITIATOR_FIN: u8 = 8;
const RESPONDER_FIN: u8 = 16;
const RESET: u8 = 32;

/// State of one TCP flow.
///
/// | said | lifetime |
/// | --- | --- |
/// | one end only, or both but the initiator has not acknowledged | transitory |
/// | both, and the initiator has acknowledged | established |
/// | then one FIN (half-closed) | established |
/// | both FINs, or a reset | transitory |
/// | anything but a reset after a reset | as before the reset |
/// | a SYN after both FINs or a reset | a new flow |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpState(u8);

impl TcpState {
    /// The state after a segment from `side`.
    #[must_use]
    pub fn after(self, side: Side, flags: TcpFlags) -> TcpState {
        let (open, fin) = match side {
            Side::Initiator => (INITIATOR_OPEN, INITIATOR_FIN),
            Side::Responder => (RESPONDER_OPEN, RESPONDER_FIN),
        };
        if flags.rst() {
            return TcpState(self.0 | RESET);
        }
        if flags.syn() && !flags.ack() && self.is_closing() {
            return TcpState(open);
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
        TcpState(bits)
    }

    fn is_closing(self) -> bool {
        let fins = INITIATOR_FIN | RESPONDER_FIN;
        self.0 & RESET != 0 || self.0 & fins == fins
    }

    /// How long the flow is kept after this segment, ms.
    #[must_use]
    pub fn timeout_ms(self) -> u64 {
        if self.0 & CONFIRMED == 0 || self.is_closing() {
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

    fn run(segments: &[(Side, u8)]) -> u64 {
        let state = segments
            .iter()
            .fold(TcpState::default(), |state, (side, flags)| {
                state.after(*side, TcpFlags::new(*flags))
            });
        state.timeout_ms()
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
                "reset, then a new SYN",
                then(&[(Responder, RST), (Initiator, SYN)]),
                short,
            ),
            (
                "a new connection on the same ports",
                [&then(&[(Initiator, FIN), (Responder, FIN)])[..], &shake[..]].concat(),
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
            assert_eq!(run(&segments), expected, "{name}");
        }
    }
}

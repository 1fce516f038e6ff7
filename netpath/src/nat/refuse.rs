//! Refusals, and the ICMP errors that tell the sender, at a bounded rate.

use crate::counters::DropReason;
use crate::limits::ICMP_ERRORS_PER_SECOND;
use crate::wire::icmp;
use hearth_model::Tick;

/// A packet is not passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub reason: DropReason,
    /// What its sender may be told. The packet is then a whole one or a first fragment, no ICMP
    /// error, and from a source that was checked (RFC 1122 3.2.2).
    pub answer: Option<Answer>,
}

/// What the sender of a packet is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// An ICMP error, by the gateway's own address on that side.
    Error(icmp::Error),
    /// That the connection is over, in the name of the other end.
    Reset,
}

impl Refusal {
    /// A refusal that its sender is told of.
    #[must_use]
    pub fn answered(reason: DropReason, answer: icmp::Error) -> Refusal {
        Refusal {
            reason,
            answer: Some(Answer::Error(answer)),
        }
    }

    /// A segment of a TCP connection that is over.
    #[must_use]
    pub fn reset(reason: DropReason) -> Refusal {
        Refusal {
            reason,
            answer: Some(Answer::Reset),
        }
    }

    /// The same without an answer.
    #[must_use]
    pub fn silent(self) -> Refusal {
        Refusal {
            answer: None,
            ..self
        }
    }
}

impl From<DropReason> for Refusal {
    fn from(reason: DropReason) -> Refusal {
        Refusal {
            reason,
            answer: None,
        }
    }
}

/// A token bucket for ICMP errors, one second deep (RFC 1812 4.3.2.8).
#[derive(Clone, Copy, Debug)]
pub struct Limiter {
    tokens: u32,
    second: u64,
}

impl Limiter {
    /// A full bucket.
    #[must_use]
    pub fn new() -> Limiter {
        Limiter {
            tokens: ICMP_ERRORS_PER_SECOND,
            second: 0,
        }
    }

    /// Takes a token; `None` where this second's are used up.
    pub fn take(&mut self, now: Tick) -> Option<()> {
        let second = now.0 / 1_000;
        if second != self.second {
            self.second = second;
            self.tokens = ICMP_ERRORS_PER_SECOND;
        }
        self.tokens = self.tokens.checked_sub(1)?;
        Some(())
    }
}

impl Default for Limiter {
    fn default() -> Self {
        Limiter::new()
    }
}

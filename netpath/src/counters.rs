//! What is counted, derived from enums: a new reason has its counter without another line.
//!
//! Invariant: received = forwarded + local + answered + dropped + held, each over all reasons
//! ([`Counters::balanced`]); a packet that left without a verdict would break it.

pub use hearth_model::drops::DropReason;
use hearth_model::protocol::Zone;

/// Reasons in all.
const REASONS: usize = DropReason::ALL.len();

/// Packets by verdict, since the machine was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counters {
    /// From the home, the Internet, the services and the guests.
    pub received: [u64; 4],
    /// Translated, or routed as they are.
    pub forwarded: u64,
    /// Handed to the gateway itself, DHCP answers too.
    pub local: u64,
    /// Of those forwarded, what passed by the fast path: packets, and their bytes.
    pub carried: (u64, u64),
    /// Fragments that wait for their first one now.
    pub held: u64,
    answered: [u64; REASONS],
    dropped: [u64; REASONS],
}

impl Default for Counters {
    fn default() -> Self {
        Counters {
            received: [0; 4],
            forwarded: 0,
            local: 0,
            carried: (0, 0),
            held: 0,
            answered: [0; REASONS],
            dropped: [0; REASONS],
        }
    }
}

fn bump(row: Option<&mut u64>) {
    if let Some(count) = row {
        *count = count.wrapping_add(1);
    }
}

impl Counters {
    /// Counts one packet from a side.
    pub fn receive(&mut self, from: Zone) {
        bump(self.received.get_mut(from as usize));
    }

    /// Counts packets from a side that were passed on elsewhere, by a decision of the machine.
    pub fn carry(&mut self, from: Zone, packets: u64, bytes: u64) {
        if let Some(count) = self.received.get_mut(from as usize) {
            *count = count.wrapping_add(packets);
        }
        self.forwarded = self.forwarded.wrapping_add(packets);
        let (all, all_bytes) = self.carried;
        self.carried = (all.wrapping_add(packets), all_bytes.wrapping_add(bytes));
    }

    /// Counts packets that were not passed on before the machine saw them.
    pub fn keep_out(&mut self, from: Zone, reason: DropReason, packets: u64) {
        let rows = [
            self.received.get_mut(from as usize),
            self.dropped.get_mut(reason as usize),
        ];
        for count in rows.into_iter().flatten() {
            *count = count.wrapping_add(packets);
        }
    }

    /// Counts one packet that was not passed on, and not answered.
    pub fn drop(&mut self, reason: DropReason) {
        bump(self.dropped.get_mut(reason as usize));
    }

    /// Counts one packet that was not passed on, and whose sender was told so, by ICMP or a reset.
    pub fn answer(&mut self, reason: DropReason) {
        bump(self.answered.get_mut(reason as usize));
    }

    /// Packets dropped silently for this reason.
    #[must_use]
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.dropped.get(reason as usize).copied().unwrap_or(0)
    }

    /// Packets answered by an ICMP error or a reset for this reason.
    #[must_use]
    pub fn answered(&self, reason: DropReason) -> u64 {
        self.answered.get(reason as usize).copied().unwrap_or(0)
    }

    /// Packets not passed on for this reason, answered or not.
    #[must_use]
    pub fn refused(&self, reason: DropReason) -> u64 {
        self.dropped(reason).wrapping_add(self.answered(reason))
    }

    /// Packets received in all.
    #[must_use]
    pub fn received_all(&self) -> u64 {
        self.received.iter().sum()
    }

    /// Packets not passed on, for all reasons, answered or not.
    #[must_use]
    pub fn refused_all(&self) -> u64 {
        self.answered.iter().chain(&self.dropped).sum()
    }

    /// Whether every packet received has exactly one verdict.
    #[must_use]
    pub fn balanced(&self) -> bool {
        let passed = self.forwarded.wrapping_add(self.local);
        let passed = passed.wrapping_add(self.held);
        self.received_all() == passed.wrapping_add(self.refused_all())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_own_row_and_name() {
        // given one drop and one answer for every reason
        let mut counters = Counters::default();
        for &reason in DropReason::ALL {
            counters.receive(Zone::Wan);
            counters.drop(reason);
            counters.receive(Zone::Service);
            counters.answer(reason);
        }
        // when each is looked up, then it is 1, and all of them balance
        let mut names = std::collections::HashSet::new();
        for &reason in DropReason::ALL {
            assert_eq!((counters.dropped(reason), counters.refused(reason)), (1, 2));
            assert!(names.insert(reason.name()), "{} twice", reason.name());
        }
        assert!(counters.balanced());
        counters.receive(Zone::Lan);
        assert!(
            !counters.balanced(),
            "a packet without a verdict is noticed"
        );
    }
}

//! Faults that a stranger, or time, can repeat: told once in a while, counted in between.

use super::limits::COMPLAIN_MS;
use core::fmt;
use hearth_model::Tick;

/// One kind of fault.
#[derive(Debug, Default)]
pub struct Complaint {
    quiet_until: Option<Tick>,
    held_back: u64,
}

impl Complaint {
    /// Logs `what` as a warning, or counts it where the last one is not long ago.
    pub fn tell(&mut self, now: Tick, what: impl fmt::Display) {
        if let Some(held_back) = self.due(now) {
            match held_back {
                0 => log::warn!("{what}"),
                n => log::warn!("{what} (and {n} like it since the last such line)"),
            }
        }
    }

    /// How many were held back, where one may be told now.
    fn due(&mut self, now: Tick) -> Option<u64> {
        if self.quiet_until.is_some_and(|until| now < until) {
            self.held_back = self.held_back.saturating_add(1);
            return None;
        }
        self.quiet_until = Some(now.after_ms(COMPLAIN_MS));
        Some(core::mem::take(&mut self.held_back))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_fault_is_counted_and_told_later() {
        // given a fault that comes three times in a row
        let mut complaint = Complaint::default();
        assert_eq!(complaint.due(Tick(0)), Some(0));
        assert_eq!(complaint.due(Tick(1)), None);
        assert_eq!(complaint.due(Tick(COMPLAIN_MS - 1)), None);
        // when the time is over, then the next one tells of those held back, once
        assert_eq!(complaint.due(Tick(COMPLAIN_MS)), Some(2));
        assert_eq!(complaint.due(Tick(2 * COMPLAIN_MS)), Some(0));
    }
}

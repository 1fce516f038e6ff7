//! When to look at everyone, and when a glance will do. Pure: signs in, times out.
//!
//! Where the kernel tells by itself that somebody waits for processor, memory or disk, nobody is looked at until it
//! does. No trigger tells of a full line or a full data partition: those are glanced at.

use crate::limits::{CALM_MS, LOOK_MS, PEEK_MS};
use hearth_model::Tick;

/// What it is time for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Line and data partition.
    Glance,
    /// Everyone, for the first time after a calm: what was seen before it is no measure.
    First,
    /// Everyone.
    All,
}

/// Whether the kernel tells who waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Triggers {
    /// By itself.
    Told,
    /// Only to who asks again and again.
    Lacking,
}

/// The rhythm.
#[derive(Debug)]
pub struct Rhythm {
    triggers: Triggers,
    due: Tick,
    /// Until when everyone is looked at; `None` in a calm.
    busy_until: Option<Tick>,
    /// Whether everyone has been looked at since the calm.
    has_looked: bool,
}

impl Rhythm {
    /// A calm, due at once.
    #[must_use]
    pub fn new(triggers: Triggers) -> Rhythm {
        Rhythm {
            triggers,
            due: Tick(0),
            busy_until: None,
            has_looked: false,
        }
    }

    /// When it is time for the next look.
    #[must_use]
    pub fn due(&self) -> Tick {
        self.due
    }

    /// Somebody waits, or may.
    pub fn stir(&mut self, now: Tick) {
        if self.busy_until.is_none() {
            self.due = now;
            self.has_looked = false;
        }
        self.busy_until = Some(now.after_ms(CALM_MS));
    }

    /// What it is time for, if so.
    pub fn look(&mut self, now: Tick) -> Option<Look> {
        if now < self.due {
            return None;
        }
        if self.triggers == Triggers::Lacking {
            self.stir(now);
        }
        if self.busy_until.is_none_or(|until| until <= now) {
            self.busy_until = None;
            self.due = now.after_ms(PEEK_MS);
            return Some(Look::Glance);
        }
        self.due = now.after_ms(LOOK_MS);
        let is_first = !core::mem::replace(&mut self.has_looked, true);
        Some(if is_first { Look::First } else { Look::All })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every look between two times, with a sign that somebody waits at `stirs`.
    fn looks(rhythm: &mut Rhythm, from: u64, to: u64, stirs: &[u64]) -> Vec<(u64, Look)> {
        let mut found = Vec::new();
        for now in from..to {
            if stirs.contains(&now) {
                rhythm.stir(Tick(now));
            }
            if let Some(look) = rhythm.look(Tick(now)) {
                found.push((now, look));
            }
        }
        found
    }

    #[test]
    fn in_a_calm_there_are_glances_alone() {
        let mut rhythm = Rhythm::new(Triggers::Told);
        let found = looks(&mut rhythm, 0, 60_000, &[]);
        assert_eq!(found.len() as u64, 60_000 / PEEK_MS);
        assert!(found.iter().all(|(_, look)| *look == Look::Glance));
    }

    #[test]
    fn who_waits_is_looked_at_at_once_and_until_the_calm_is_back() {
        let mut rhythm = Rhythm::new(Triggers::Told);
        // given a sign between two glances, and again
        let found = looks(&mut rhythm, 0, 60_000, &[5_300, 7_300]);
        // then the first look is at once, and the last one so long after the last sign
        let busy: Vec<_> = found
            .iter()
            .filter(|(_, look)| *look != Look::Glance)
            .collect();
        assert_eq!(busy[0], &(5_300, Look::First));
        assert_eq!(busy[1], &(5_300 + LOOK_MS, Look::All));
        let end = 7_300 + CALM_MS;
        assert_eq!(busy.len() as u64, (end - 5_300).div_ceil(LOOK_MS));
        // and the next time begins anew
        let found = looks(&mut rhythm, 60_000, 63_000, &[61_000]);
        assert!(found.contains(&(61_000, Look::First)), "{found:?}");
    }

    #[test]
    fn without_triggers_everyone_is_looked_at_all_the_time() {
        let mut rhythm = Rhythm::new(Triggers::Lacking);
        let found = looks(&mut rhythm, 0, 30_000, &[]);
        assert_eq!(found.len() as u64, 30_000 / LOOK_MS);
        assert_eq!(found[0], (0, Look::First));
        assert!(found[1..].iter().all(|(_, look)| *look == Look::All));
    }
}

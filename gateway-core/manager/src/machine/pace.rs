//! How often each user may ask: a bucket of requests that fills up again with time.

use crate::limits::{PACED_USERS_MAX, REQUESTS_BURST, REQUESTS_RATE};
use hearth_model::Tick;
use std::collections::BTreeMap;

/// Thousandths of a request, which is what one millisecond of a rate a second gives.
const REQUEST: u64 = 1000;

/// A bucket: thousandths of requests that are left, and when that was so.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    left: u64,
    at: Tick,
}

impl Bucket {
    fn filled(self, now: Tick) -> u64 {
        let grown = now.since_ms(self.at).saturating_mul(REQUESTS_RATE);
        self.left
            .saturating_add(grown)
            .min(REQUESTS_BURST * REQUEST)
    }
}

/// Everybody but root who has asked lately.
#[derive(Debug, Default)]
pub struct Pace(BTreeMap<u32, Bucket>);

impl Pace {
    /// Takes one request of a user, if one is left.
    pub fn take(&mut self, user: u32, now: Tick) -> Option<()> {
        if user == 0 {
            return Some(());
        }
        let full = REQUESTS_BURST * REQUEST;
        // Whoever has a full bucket is as one who never asked.
        self.0.retain(|_, bucket| bucket.filled(now) < full);
        if !self.0.contains_key(&user) && self.0.len() >= PACED_USERS_MAX {
            return None;
        }
        let left = self.0.get(&user).map_or(full, |bucket| bucket.filled(now));
        let taken = left.checked_sub(REQUEST);
        let left = taken.unwrap_or(left);
        self.0.insert(user, Bucket { left, at: now });
        taken.map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_then_the_rate_and_no_user_takes_anothers() {
        let mut pace = Pace::default();
        let mut asked = |user, ms| pace.take(user, Tick(ms)).is_some();
        // given a user who asks without end
        let passed = (0..1000).filter(|_| asked(7, 0)).count() as u64;
        assert_eq!(passed, REQUESTS_BURST);
        // then another one, and root, are heard
        assert!(asked(8, 0));
        assert!((0..1000).all(|_| asked(0, 0)));
        // and he is heard at his rate
        let passed = (1..=1000).filter(|ms| asked(7, *ms)).count() as u64;
        assert_eq!(passed, REQUESTS_RATE);
    }

    #[test]
    fn the_table_is_bounded_and_who_was_quiet_leaves_it() {
        let mut pace = Pace::default();
        for user in 1..=PACED_USERS_MAX as u32 {
            assert!(pace.take(user, Tick(0)).is_some());
        }
        assert!(pace.take(u32::MAX, Tick(0)).is_none());
        assert!(pace.take(u32::MAX, Tick(1000)).is_some());
        assert_eq!(pace.0.len(), 1);
    }
}

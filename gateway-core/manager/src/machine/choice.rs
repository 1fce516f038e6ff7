//! Which services to end, so that another one fits: as few as possible, and the lowest ranked of all
//! choices that small.

use super::admission::Shortfall;
use super::promise::Promise;
use crate::limits::CHOICE_STEPS_MAX;

/// The places in `lower` of the services to end, ascending; `None` where not even all of them together
/// give back enough. `lower` is what each that may end gives back, the lowest rank first.
///
/// Of the smallest sets it is the one whose highest-ranked member is ranked lowest; of these, the one
/// whose second is, and so on. Where that would take more than [`CHOICE_STEPS_MAX`] steps, it is a set
/// that no member can be left out of.
#[must_use]
pub fn fewest(shortfalls: &[Shortfall], lower: &[Promise]) -> Option<Vec<usize>> {
    let gives = |promise: &Promise| {
        let of = |short: &Shortfall| promise.of(short.resource);
        shortfalls.iter().map(of).collect::<Vec<u64>>()
    };
    let need: Vec<u64> = shortfalls.iter().map(Shortfall::missing).collect();
    let mut search = Search {
        gives: lower.iter().map(gives).collect(),
        steps: CHOICE_STEPS_MAX,
    };
    if !search.could(lower.len(), lower.len(), &need) {
        return None;
    }
    for count in 0..=lower.len() {
        match search.pick(lower.len(), count, &need) {
            Pick::Found(places) => return Some(places),
            Pick::None => {}
            Pick::GivenUp => break,
        }
    }
    Some(search.enough(need))
}

struct Search {
    /// What each gives back, of what is short.
    gives: Vec<Vec<u64>>,
    /// Steps that are left.
    steps: u32,
}

enum Pick {
    Found(Vec<usize>),
    None,
    GivenUp,
}

impl Search {
    /// `count` of the first `among` that cover `need`.
    fn pick(&mut self, among: usize, count: usize, need: &[u64]) -> Pick {
        if need.iter().all(|&need| need == 0) && count == 0 {
            return Pick::Found(Vec::new());
        }
        if count == 0 || !self.could(among, count, need) {
            return Pick::None;
        }
        // The highest-ranked member first, as low as it can be.
        for top in count - 1..among {
            let Some(left) = self.steps.checked_sub(1) else {
                return Pick::GivenUp;
            };
            self.steps = left;
            let rest = self.without(top, need);
            match self.pick(top, count - 1, &rest) {
                Pick::Found(mut places) => {
                    places.push(top);
                    return Pick::Found(places);
                }
                Pick::None => {}
                Pick::GivenUp => return Pick::GivenUp,
            }
        }
        Pick::None
    }

    /// Whether the `count` of the first `among` that give most of each could cover `need`.
    fn could(&self, among: usize, count: usize, need: &[u64]) -> bool {
        need.iter().enumerate().all(|(n, &need)| {
            let given = |row: &Vec<u64>| row.get(n).copied().unwrap_or(0);
            let mut most: Vec<u64> = self.gives.iter().take(among).map(given).collect();
            most.sort_unstable_by(|a, b| b.cmp(a));
            most.iter()
                .take(count)
                .fold(0_u64, |sum, &give| sum.saturating_add(give))
                >= need
        })
    }

    fn without(&self, place: usize, need: &[u64]) -> Vec<u64> {
        let row = self.gives.get(place).map_or(&[][..], Vec::as_slice);
        let left = need.iter().zip(row);
        left.map(|(need, give)| need.saturating_sub(*give))
            .collect()
    }

    /// From the lowest rank on until it is enough; then without each that is not needed, from the
    /// highest rank on.
    fn enough(&self, need: Vec<u64>) -> Vec<usize> {
        let covers = |places: &[usize]| {
            let rest = places
                .iter()
                .fold(need.clone(), |need, &place| self.without(place, &need));
            rest.iter().all(|&need| need == 0)
        };
        let all = 0..self.gives.len();
        let mut places = Vec::new();
        for place in all {
            if covers(&places) {
                break;
            }
            places.push(place);
        }
        for place in places.clone().into_iter().rev() {
            let others: Vec<usize> = places.iter().copied().filter(|&p| p != place).collect();
            if covers(&others) {
                places = others;
            }
        }
        places
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::admission::Budget;
    use hearth_model::{Bytes, MilliCpu};
    use proptest::prelude::*;

    fn promise(memory: u64, cpu: u32) -> Promise {
        Promise {
            memory: Bytes(memory),
            cpu: MilliCpu(cpu),
            ..Promise::default()
        }
    }

    /// What is short on a machine that has nothing left.
    fn short(asked: Promise) -> Vec<Shortfall> {
        let none = Budget {
            total: Promise::default(),
            system: Promise::default(),
        };
        none.admit(asked, Promise::default()).unwrap_err()
    }

    fn covers(asked: Promise, lower: &[Promise], places: &[usize]) -> bool {
        let sum = places
            .iter()
            .fold(Promise::default(), |sum, &place| sum.and(lower[place]));
        sum.memory >= asked.memory && sum.cpu >= asked.cpu
    }

    #[test]
    fn few_are_better_than_many_and_low_ranks_better_than_high() {
        let lower = [promise(1, 0), promise(2, 0), promise(4, 9), promise(4, 0)];
        // one is enough: the lower of the two that are
        assert_eq!(fewest(&short(promise(4, 0)), &lower), Some(vec![2]));
        assert_eq!(fewest(&short(promise(2, 0)), &lower), Some(vec![1]));
        // two are needed, and one of them for its processor time
        assert_eq!(fewest(&short(promise(5, 9)), &lower), Some(vec![0, 2]));
        // all are needed, and all are not enough
        assert_eq!(
            fewest(&short(promise(11, 0)), &lower),
            Some(vec![0, 1, 2, 3])
        );
        assert_eq!(fewest(&short(promise(12, 0)), &lower), None);
        assert_eq!(fewest(&short(promise(1, 0)), &[]), None);
    }

    #[test]
    fn a_search_that_would_take_for_ever_still_ends_with_a_set_that_is_needed() {
        // given 200 services of odd sizes and a need that only half of them cover
        let lower: Vec<Promise> = (0..200)
            .map(|n| promise(1000 + n * 7 % 31, 100 + (n as u32 * 11) % 29))
            .collect();
        let asked = promise(101_000, 11_300);
        // when room is looked for, then each member is needed
        let places = fewest(&short(asked), &lower).unwrap();
        assert!(covers(asked, &lower, &places));
        for place in &places {
            let others: Vec<usize> = places.iter().copied().filter(|p| p != place).collect();
            assert!(!covers(asked, &lower, &others), "{place}");
        }
    }

    proptest! {
        #[test]
        fn the_set_is_the_one_that_trying_all_of_them_finds(
            lower in prop::collection::vec((0_u64..6, 0_u32..6), 0..10),
            memory in 0_u64..20,
            cpu in 1_u32..20,
        ) {
            let lower: Vec<Promise> = lower.into_iter().map(|(m, c)| promise(m, c)).collect();
            let asked = promise(memory, cpu);
            // every subset, by the number of its members and then as its highest members are low:
            // as a number with one bit a member, that is the smaller one
            let members = |set: &u32| (0..lower.len()).filter(|n| set >> n & 1 == 1).collect::<Vec<_>>();
            let best = (0_u32..1 << lower.len())
                .filter(|set| covers(asked, &lower, &members(set)))
                .min_by_key(|set| (set.count_ones(), *set));
            prop_assert_eq!(fewest(&short(asked), &lower), best.map(|set| members(&set)));
        }
    }
}

//! The household's ranking as numbers: what nobody reserved is shared out by rank. Each rank gets twice
//! as much of it as the next one; those that she did not rank share the part of the last rank among
//! themselves. What a service reserved is its own at any rank.

use super::admission::Budget;
use super::promise::Promise;
use hearth_model::Bytes;
use hearth_model::cgroup::{CPU_WEIGHT_MAX, IO_WEIGHT_MAX, PAGE, Weights};
use hearth_model::protocol::{NetworkShare, TrafficClass};

/// Ranks below this one get nothing of what is left, but the least there is: a part in 2^16.
const LEVELS_MAX: usize = 16;

/// `oom_score_adj` of the first rank and of the last (proc(5)): the kernel takes the process with the
/// most memory, and each thousandth counts as a thousandth of all memory. The gateway's own processes
/// are below.
const OOM_FIRST: u64 = 100;
const OOM_LAST: u64 = 900;

/// A service that something is promised to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Its place in the ranking, 0 for the first; those that are not ranked have the next place together.
    pub level: usize,
    /// What is promised to it.
    pub promise: Promise,
    /// Memory that it may use.
    pub memory_max: Bytes,
}

/// The weights of all services that run, in their order.
#[must_use]
pub fn weights(budget: &Budget, all: &[Standing]) -> Vec<Weights> {
    let promised = all
        .iter()
        .fold(Promise::default(), |sum, one| sum.and(one.promise));
    let left = budget.free(promised);
    let mut levels: Vec<usize> = all.iter().map(|one| one.level).collect();
    levels.sort_unstable();
    levels.dedup();
    let part = |place: usize| match LEVELS_MAX.checked_sub(place + 1) {
        Some(exponent) => 1_u64 << exponent,
        None => 0,
    };
    let whole: u64 = (0..levels.len()).map(part).sum();
    let weigh = |one: &Standing| {
        let place = levels.iter().position(|&level| level == one.level);
        let beside = all.iter().filter(|other| other.level == one.level).count();
        let (part, beside) = (part(place.unwrap_or(LEVELS_MAX)), beside.max(1) as u64);
        let of = |left: u64| {
            let mine = u128::from(left) * u128::from(part) / u128::from(whole.max(1));
            u64::try_from(mine).unwrap_or(u64::MAX) / beside
        };
        let small = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
        let cpu = u64::from(one.promise.cpu.0) + of(left.cpu.0.into());
        let scale = u64::from(CPU_WEIGHT_MAX) * cpu / u64::from(budget.total.cpu.0.max(1));
        let io = u64::from(one.promise.io.0) + of(left.io.0.into());
        // In whole MiB, so that a start of one changes little for the others.
        let extra = of(left.memory.0) / MIB * MIB;
        let low = one
            .promise
            .memory
            .0
            .saturating_add(extra)
            .min(one.memory_max.0);
        Weights {
            cpu: small(scale).clamp(1, CPU_WEIGHT_MAX),
            io: small(io).clamp(1, IO_WEIGHT_MAX),
            memory_low: Bytes(low / PAGE * PAGE),
        }
    };
    all.iter().map(weigh).collect()
}

const MIB: u64 = 1024 * 1024;

/// `oom_score_adj` of a level among so many: when memory ends, the last rank goes first.
#[must_use]
pub fn oom_score(level: usize, levels: usize) -> u16 {
    let (level, last) = (level as u64, levels.saturating_sub(1).max(1) as u64);
    let score = OOM_FIRST + (OOM_LAST - OOM_FIRST) * level.min(last) / last;
    u16::try_from(score).unwrap_or(u16::MAX)
}

/// A level's part of the line beside others of its class, as netpath takes it.
#[must_use]
pub fn line_weight(level: usize) -> u16 {
    let shift = u32::try_from(level).unwrap_or(u32::MAX);
    NetworkShare::WEIGHT_MAX
        .checked_shr(shift)
        .unwrap_or(0)
        .max(1)
}

/// The classes of ranked services, in their order: nobody waits behind one that is ranked lower, so each
/// has at least the class of those below it.
#[must_use]
pub fn classes(asked: &[TrafficClass]) -> Vec<TrafficClass> {
    let mut best = TrafficClass::Bulk;
    let mut classes: Vec<TrafficClass> = asked
        .iter()
        .rev()
        .map(|&class| {
            best = best.max(class);
            best
        })
        .collect();
    classes.reverse();
    classes
}

#[cfg(test)]
mod tests {
    use super::*;
    use hearth_model::{MilliCpu, PerMille};
    use proptest::prelude::*;

    fn promise(mib: u64, cpu: u32, io: u32) -> Promise {
        Promise {
            memory: Bytes::mib(mib),
            cpu: MilliCpu(cpu),
            io: PerMille(io),
            ..Promise::default()
        }
    }

    /// A gateway with one core and 800 MiB, 70 % and 80 % for services.
    fn machine() -> Budget {
        Budget {
            total: promise(1000, 1000, 1000),
            system: promise(200, 300, 200),
        }
    }

    fn standing(level: usize, promise: Promise) -> Standing {
        Standing {
            level,
            promise,
            memory_max: Bytes::mib(400),
        }
    }

    #[test]
    fn each_rank_gets_twice_the_next_ones_part_of_what_is_left() {
        // given two that are ranked, one of which has a reserve, and two that are not
        let all = [
            standing(1, promise(100, 0, 0)),
            standing(0, promise(0, 140, 100)),
            standing(2, promise(0, 0, 0)),
            standing(2, promise(0, 0, 0)),
        ];
        // then 700 MiB, 56 % and 70 % are shared 4:2:1, the last part by two
        let found = weights(&machine(), &all);
        let cpu: Vec<u32> = found.iter().map(|w| w.cpu).collect();
        assert_eq!(cpu, [1600, 1400 + 3200, 400, 400]);
        let io: Vec<u32> = found.iter().map(|w| w.io).collect();
        assert_eq!(io, [200, 100 + 400, 50, 50]);
        let low: Vec<u64> = found.iter().map(|w| w.memory_low.0 / MIB).collect();
        // and no memory is kept for it beyond what it may use
        assert_eq!(low, [100 + 200, 400, 50, 50]);
    }

    #[test]
    fn without_a_ranking_all_are_equal() {
        let all = [standing(0, promise(0, 0, 0)), standing(0, promise(0, 0, 0))];
        let found = weights(&machine(), &all);
        assert_eq!(found[0], found[1]);
        assert_eq!((found[0].cpu, oom_score(0, 1)), (3500, 100));
    }

    #[test]
    fn the_last_rank_goes_first_and_has_the_smallest_part_of_the_line() {
        let scores: Vec<u16> = (0..3).map(|level| oom_score(level, 3)).collect();
        assert_eq!(scores, [100, 500, 900]);
        let parts: Vec<u16> = [0, 1, 2, 9, 10, 300].map(line_weight).to_vec();
        assert_eq!(parts, [1000, 500, 250, 1, 1, 1]);
    }

    #[test]
    fn nobody_waits_behind_a_lower_rank() {
        use TrafficClass::{Bulk, Guaranteed, Interactive};
        assert_eq!(
            classes(&[Bulk, Interactive, Guaranteed, Bulk, Interactive, Bulk]),
            [
                Guaranteed,
                Guaranteed,
                Guaranteed,
                Interactive,
                Interactive,
                Bulk
            ]
        );
        assert_eq!(classes(&[]), []);
    }

    proptest! {
        #[test]
        fn no_ranking_weakens_a_reserve_and_a_better_rank_never_gets_less(
            asked in prop::collection::vec((0_u64..60, 0_u32..60, 0_u32..60), 1..200),
            ranked in 0_usize..40,
        ) {
            // given services that were admitted: all that fit
            let mut promised = Promise::default();
            let mut all = Vec::new();
            for (place, (mib, cpu, io)) in asked.into_iter().enumerate() {
                let promise = promise(mib, cpu, io);
                if machine().admit(promise, promised).is_ok() {
                    promised = promised.and(promise);
                    all.push(standing(place.min(ranked), promise));
                }
            }
            let most = machine().for_services();
            // when they are weighed
            let found = weights(&machine(), &all);
            // then each has what it reserved where all want all there is: a weight of one ten-thousandth
            // is the least the kernel has, and that for each is all that the sum may be above
            let sum: u32 = found.iter().map(|w| w.cpu).sum();
            prop_assert!(sum <= most.cpu.0 * 10 + all.len() as u32);
            let sum: u32 = found.iter().map(|w| w.io).sum();
            prop_assert!(sum <= most.io.0 + all.len() as u32);
            let sum: u64 = found.iter().map(|w| w.memory_low.0).sum();
            prop_assert!(sum <= most.memory.0);
            for (one, got) in all.iter().zip(&found) {
                prop_assert!(got.cpu >= one.promise.cpu.0 * 10);
                prop_assert!(got.io >= one.promise.io.0);
                prop_assert!(got.memory_low >= one.promise.memory);
                // and beside one that is promised as much, the better rank gets no less
                for (other, theirs) in all.iter().zip(&found) {
                    if one.promise == other.promise && one.level <= other.level {
                        prop_assert!(got.cpu >= theirs.cpu, "{one:?} {other:?}");
                        prop_assert!(got.io >= theirs.io && got.memory_low >= theirs.memory_low);
                    }
                }
            }
        }
    }
}

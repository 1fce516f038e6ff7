//! Units as types: a kibibyte can not be added to a tick.

use core::fmt;
use serde::{Deserialize, Serialize};

/// A point on the monotonic clock, milliseconds since boot (`CLOCK_BOOTTIME`). The pure machines
/// get it as an argument and never read a clock.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Tick(pub u64);

impl Tick {
    /// The tick `ms` milliseconds later; stops at the last representable one.
    #[must_use]
    pub fn after_ms(self, ms: u64) -> Tick {
        Tick(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` to this one; 0 where `earlier` is later.
    #[must_use]
    pub fn since_ms(self, earlier: Tick) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// An amount of memory or storage, bytes.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Bytes(pub u64);

impl Bytes {
    /// `n` mebibytes.
    #[must_use]
    pub const fn mib(n: u64) -> Bytes {
        Bytes(n.saturating_mul(1024 * 1024))
    }
}

impl fmt::Display for Bytes {
    /// The largest binary unit that loses nothing a person would miss: `64 MiB`, `1.5 GiB`, `12 B`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
        for (size, unit) in UNITS {
            if self.0 >= size {
                let whole = self.0 / size;
                let tenth = (self.0 % size) * 10 / size;
                return if tenth == 0 {
                    write!(f, "{whole} {unit}")
                } else {
                    write!(f, "{whole}.{tenth} {unit}")
                };
            }
        }
        write!(f, "{} B", self.0)
    }
}

/// A share of processor time: 1000 is one whole core.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct MilliCpu(pub u32);

impl fmt::Display for MilliCpu {
    /// Percent of one core, as the paper's Table 1 has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_multiple_of(10) {
            write!(f, "{} %", self.0 / 10)
        } else {
            write!(f, "{}.{} %", self.0 / 10, self.0 % 10)
        }
    }
}

/// A share of a disk's time: 1000 is all of it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct PerMille(pub u32);

impl fmt::Display for PerMille {
    /// Percent.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        MilliCpu(self.0).fmt(f)
    }
}

/// A rate of input or output, bytes a second.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct BytesPerSec(pub u64);

impl fmt::Display for BytesPerSec {
    /// As [`Bytes`], a second: `8 MiB/s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/s", Bytes(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_read_as_a_person_writes_them() {
        assert_eq!(std::format!("{}", Bytes(512)), "512 B");
        assert_eq!(std::format!("{}", Bytes::mib(64)), "64 MiB");
        assert_eq!(std::format!("{}", Bytes::mib(1536)), "1.5 GiB");
        assert_eq!(std::format!("{}", MilliCpu(1000)), "100 %");
        assert_eq!(std::format!("{}", MilliCpu(125)), "12.5 %");
        assert_eq!(std::format!("{}", PerMille(5)), "0.5 %");
        assert_eq!(std::format!("{}", BytesPerSec(8 << 20)), "8 MiB/s");
    }

    #[test]
    fn ticks_never_wrap() {
        assert_eq!(Tick(u64::MAX).after_ms(1), Tick(u64::MAX));
        assert_eq!(Tick(5).since_ms(Tick(9)), 0);
    }
}

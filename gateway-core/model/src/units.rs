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

/// A rate of a line, bits a second, as operators sell it: units are decimal.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct BitsPerSec(pub u64);

/// Units of a line's rate, largest first.
const BIT_UNITS: [(u64, &str); 4] = [
    (1_000_000_000, "Gbit/s"),
    (1_000_000, "Mbit/s"),
    (1_000, "kbit/s"),
    (1, "bit/s"),
];

impl BitsPerSec {
    /// Largest rate that can be written, 1 Tbit/s: sums of 256 of them do not overflow.
    pub const MAX: BitsPerSec = BitsPerSec(1_000_000_000_000);

    /// `n` million bits a second.
    #[must_use]
    pub const fn mbit(n: u64) -> BitsPerSec {
        BitsPerSec(n.saturating_mul(1_000_000))
    }
}

impl fmt::Display for BitsPerSec {
    /// The largest unit that loses nothing a person would miss: `2 Mbit/s`, `1.5 Gbit/s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |&&(size, _): &&(u64, &str)| self.0 >= size;
        let &(size, unit) = BIT_UNITS.iter().find(fits).unwrap_or(&(1, "bit/s"));
        match (self.0 / size, self.0 % size * 10 / size) {
            (whole, 0) => write!(f, "{whole} {unit}"),
            (whole, tenth) => write!(f, "{whole}.{tenth} {unit}"),
        }
    }
}

/// A text that is no rate of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoBitRate;

impl fmt::Display for NoBitRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "is no rate of a line; write for example \"2 Mbit/s\", \"1.5 Mbit/s\" or \"512 kbit/s\"",
        )
    }
}

impl core::error::Error for NoBitRate {}

impl core::str::FromStr for BitsPerSec {
    type Err = NoBitRate;

    /// As a person writes it: `2 Mbit/s`, `1.5Mbit/s`, `512 kbit/s`; at most three decimal places.
    fn from_str(text: &str) -> Result<BitsPerSec, NoBitRate> {
        const PLACES: usize = 3;
        let end = text
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .ok_or(NoBitRate)?;
        let (digits, unit) = text.split_at(end);
        let unit = unit.trim();
        let named = |&&(_, known): &&(u64, &str)| known == unit;
        let &(size, _) = BIT_UNITS.iter().find(named).ok_or(NoBitRate)?;
        let (whole, decimals) = match digits.split_once('.') {
            Some((_, "")) => return Err(NoBitRate),
            Some(parts) => parts,
            None => (digits, ""),
        };
        if decimals.len() > PLACES || decimals.contains('.') {
            return Err(NoBitRate);
        }
        let number = |digits: &str| digits.parse::<u64>().map_err(|_| NoBitRate);
        let mut bits = number(whole)?.checked_mul(size).ok_or(NoBitRate)?;
        let mut place = size;
        for digit in decimals.bytes() {
            place /= 10;
            bits = bits.saturating_add(u64::from(digit.wrapping_sub(b'0')).saturating_mul(place));
        }
        Some(BitsPerSec(bits))
            .filter(|&rate| rate <= BitsPerSec::MAX)
            .ok_or(NoBitRate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_of_lines_are_read_as_they_are_written() {
        for (text, bits, shown) in [
            ("2 Mbit/s", 2_000_000, "2 Mbit/s"),
            ("1.5Mbit/s", 1_500_000, "1.5 Mbit/s"),
            ("512 kbit/s", 512_000, "512 kbit/s"),
            ("0.125 Gbit/s", 125_000_000, "125 Mbit/s"),
            ("9 bit/s", 9, "9 bit/s"),
            ("0 Mbit/s", 0, "0 bit/s"),
        ] {
            assert_eq!(text.parse(), Ok(BitsPerSec(bits)), "{text}");
            assert_eq!(std::format!("{}", BitsPerSec(bits)), shown);
        }
        for text in [
            "",
            "2",
            "Mbit/s",
            "2 MB/s",
            "2 Mbit",
            "-2 Mbit/s",
            "1.Mbit/s",
            ".5 Mbit/s",
            "1.2345 Mbit/s",
            "1.5.5 Mbit/s",
            "2000000 Gbit/s",
            "99999999999999999999 bit/s",
        ] {
            assert_eq!(text.parse::<BitsPerSec>(), Err(NoBitRate), "{text}");
        }
    }

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

//! Differentiated-services code points by their names.

use core::fmt;
use core::str::FromStr;
use serde::{Deserialize, Deserializer, de::Error};

/// The six bits of an IPv4 header that say how a packet wants to be treated (RFC 2474).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct CodePoint(u8);

/// RFC 2474 (CS), 2597 (AF), 3246 (EF), 5865 (VA), 8622 (LE).
const NAMES: [(&str, u8); 23] = [
    ("CS0", 0),
    ("LE", 1),
    ("CS1", 8),
    ("AF11", 10),
    ("AF12", 12),
    ("AF13", 14),
    ("CS2", 16),
    ("AF21", 18),
    ("AF22", 20),
    ("AF23", 22),
    ("CS3", 24),
    ("AF31", 26),
    ("AF32", 28),
    ("AF33", 30),
    ("CS4", 32),
    ("AF41", 34),
    ("AF42", 36),
    ("AF43", 38),
    ("CS5", 40),
    ("VA", 44),
    ("EF", 46),
    ("CS6", 48),
    ("CS7", 56),
];

impl CodePoint {
    /// How many there are.
    pub const COUNT: usize = 64;

    /// Every one, by its number.
    pub fn all() -> impl Iterator<Item = CodePoint> {
        (0..64).map(CodePoint)
    }

    /// That of an IPv4 header's second byte, whose other bits are for congestion (RFC 3168).
    #[must_use]
    pub fn of_tos(tos: u8) -> CodePoint {
        CodePoint(tos >> 2)
    }

    /// Its number.
    #[must_use]
    pub fn number(self) -> u8 {
        self.0
    }
}

impl fmt::Display for CodePoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.iter().find(|(_, number)| *number == self.0) {
            Some((name, _)) => f.write_str(name),
            None => self.0.fmt(f),
        }
    }
}

/// A text that is no code point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoCodePoint;

impl fmt::Display for NoCodePoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("is no code point; write CS0 to CS7, AF11 to AF43, EF, VA, LE or 0 to 63")
    }
}

impl FromStr for CodePoint {
    type Err = NoCodePoint;

    fn from_str(text: &str) -> Result<CodePoint, NoCodePoint> {
        if let Some((_, number)) = NAMES.iter().find(|(name, _)| *name == text) {
            return Ok(CodePoint(*number));
        }
        let number = text.parse().ok().filter(|number| *number < 64);
        number.map(CodePoint).ok_or(NoCodePoint)
    }
}

impl<'de> Deserialize<'de> for CodePoint {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<CodePoint, D::Error> {
        let text = String::deserialize(from)?;
        text.parse()
            .map_err(|why| D::Error::custom(format!("{text:?} {why}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_read_back() {
        for point in CodePoint::all() {
            assert_eq!(point.to_string().parse(), Ok(point));
            assert_eq!(CodePoint::of_tos(point.number() << 2 | 3), point);
        }
        for text in ["", "ef", "AF44", "64", "-1", "CS8"] {
            assert_eq!(text.parse::<CodePoint>(), Err(NoCodePoint), "{text}");
        }
    }
}

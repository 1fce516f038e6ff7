//! Identities: a service's name (what people type) and its number (what tables are indexed by).

use crate::limits::{SERVICE_NAME_MAX, SERVICES_MAX, UID_BASE, UID_COUNT};
use core::fmt;
use serde::{Deserialize, Serialize};

/// A service's number: its row in every table, its user-id range and its address. Given by the
/// manager when a package is first seen and kept for the package's life. Range: 0 to
/// [`SERVICES_MAX`] - 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct ServiceId(u16);

/// Why a number or a text is no identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdError {
    /// The number is not below [`SERVICES_MAX`].
    OutOfRange(u16),
    /// The name has no character.
    Empty,
    /// The name is longer than [`SERVICE_NAME_MAX`] bytes.
    TooLong,
    /// The name has a character other than `a-z`, `0-9` and `-`, or starts or ends with `-`.
    Character,
}

impl fmt::Display for IdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            IdError::OutOfRange(n) => {
                write!(f, "service number {n} is not below {SERVICES_MAX}")
            }
            IdError::Empty => f.write_str("a service name needs at least one character"),
            IdError::TooLong => {
                write!(
                    f,
                    "a service name has at most {SERVICE_NAME_MAX} characters"
                )
            }
            IdError::Character => f.write_str(
                "a service name has only a-z, 0-9 and '-', and neither starts nor ends with '-'",
            ),
        }
    }
}

impl core::error::Error for IdError {}

impl ServiceId {
    /// The identity with this number.
    ///
    /// # Errors
    /// [`IdError::OutOfRange`] where the number is not below [`SERVICES_MAX`].
    pub fn new(number: u16) -> Result<Self, IdError> {
        if usize::from(number) < SERVICES_MAX {
            Ok(ServiceId(number))
        } else {
            Err(IdError::OutOfRange(number))
        }
    }

    /// The number, as a table index.
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }

    /// First user and group id, outside, of this service's range ([`UID_COUNT`] long).
    #[must_use]
    pub fn uid_base(self) -> u32 {
        // 0x0010_0000 + 255 * 0x1_0000 = 0x010f_0000: no overflow for any value of the type.
        UID_BASE + u32::from(self.0) * UID_COUNT
    }
}

impl ServiceId {
    /// The service in whose range this user or group id, seen from outside, lies; none for a person's or
    /// the system's.
    #[must_use]
    pub fn of_uid(uid: u32) -> Option<ServiceId> {
        let row = uid.checked_sub(UID_BASE)? / UID_COUNT;
        ServiceId::new(u16::try_from(row).ok()?).ok()
    }
}

impl TryFrom<u16> for ServiceId {
    type Error = IdError;
    fn try_from(number: u16) -> Result<Self, IdError> {
        ServiceId::new(number)
    }
}

impl From<ServiceId> for u16 {
    fn from(id: ServiceId) -> u16 {
        id.0
    }
}

impl fmt::Display for ServiceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A service's name: 1 to [`SERVICE_NAME_MAX`] of `a-z`, `0-9`, `-`; no `-` at either end. It is a
/// host name label, a cgroup name and a folder name, so it can hold nothing that any of them
/// would read in another way.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(
    try_from = "heapless::String<SERVICE_NAME_MAX>",
    into = "heapless::String<SERVICE_NAME_MAX>"
)]
pub struct ServiceName(heapless::String<SERVICE_NAME_MAX>);

impl ServiceName {
    /// The name with this text.
    ///
    /// # Errors
    /// [`IdError::Empty`], [`IdError::TooLong`] or [`IdError::Character`].
    pub fn new(text: &str) -> Result<Self, IdError> {
        if text.is_empty() {
            return Err(IdError::Empty);
        }
        let kept = heapless::String::try_from(text).map_err(|_| IdError::TooLong)?;
        let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if !text.bytes().all(legal) || text.starts_with('-') || text.ends_with('-') {
            return Err(IdError::Character);
        }
        Ok(ServiceName(kept))
    }

    /// The text of the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl TryFrom<heapless::String<SERVICE_NAME_MAX>> for ServiceName {
    type Error = IdError;
    fn try_from(text: heapless::String<SERVICE_NAME_MAX>) -> Result<Self, IdError> {
        ServiceName::new(text.as_str())
    }
}

impl From<ServiceName> for heapless::String<SERVICE_NAME_MAX> {
    fn from(name: ServiceName) -> Self {
        name.0
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uid_ranges_of_two_services_never_overlap() {
        // given every pair of neighbours
        for n in 0..(SERVICES_MAX as u16 - 1) {
            // when their ranges are laid out
            let (a, b) = (ServiceId::new(n).unwrap(), ServiceId::new(n + 1).unwrap());
            // then one ends where the next starts
            assert_eq!(a.uid_base() + UID_COUNT, b.uid_base());
        }
        assert_eq!(ServiceId::new(256), Err(IdError::OutOfRange(256)));
        // and each id of a range is its service's, and no other is anyone's
        let last = ServiceId::new(SERVICES_MAX as u16 - 1).unwrap();
        for (uid, owner) in [
            (UID_BASE, ServiceId::new(0).ok()),
            (UID_BASE + UID_COUNT - 1, ServiceId::new(0).ok()),
            (UID_BASE + UID_COUNT, ServiceId::new(1).ok()),
            (last.uid_base() + UID_COUNT - 1, Some(last)),
            (last.uid_base() + UID_COUNT, None),
            (UID_BASE - 1, None),
            (0, None),
            (u32::MAX, None),
        ] {
            assert_eq!(ServiceId::of_uid(uid), owner, "{uid}");
        }
    }

    #[test]
    fn a_name_is_a_safe_label_or_an_error() {
        for good in ["a", "nginx", "web-2", "0"] {
            assert!(ServiceName::new(good).is_ok(), "{good}");
        }
        for (bad, why) in [
            ("", IdError::Empty),
            ("-a", IdError::Character),
            ("a-", IdError::Character),
            ("A", IdError::Character),
            ("../x", IdError::Character),
            ("a.b", IdError::Character),
            ("abcdefghijabcdefghijabcdefghijabc", IdError::TooLong),
        ] {
            assert_eq!(ServiceName::new(bad), Err(why), "{bad}");
        }
    }
}

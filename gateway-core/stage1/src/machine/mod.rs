//! Which slot to boot: a list of tries made from the kernel command line and the disk's partitions.
//!
//! The signature check, the boot counter and recovery by network get their place between
//! [`Slots::next`] and [`Slots::failed`].

/// A root slot of the disk (TR-181 `DeviceInfo.FirmwareImage.{i}.`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// `slot-a`
    A,
    /// `slot-b`
    B,
}

impl Slot {
    /// Its partition's name in the GPT.
    #[must_use]
    pub fn partition(self) -> &'static str {
        match self {
            Slot::A => "slot-a",
            Slot::B => "slot-b",
        }
    }

    fn other(self) -> Slot {
        match self {
            Slot::A => Slot::B,
            Slot::B => Slot::A,
        }
    }
}

/// The slot that `hearth.slot=a` or `=b` on the kernel command line asks for; A where it says
/// nothing or something else.
#[must_use]
pub fn preferred(command_line: &str) -> Slot {
    let asked = command_line
        .split_whitespace()
        .find_map(|word| word.strip_prefix("hearth.slot="));
    match asked {
        Some("b") => Slot::B,
        Some(_) | None => Slot::A,
    }
}

/// What remains to be tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slots {
    /// This one, then the other.
    Both(Slot),
    /// Only this one.
    Last(Slot),
    /// None: a person has to help.
    Exhausted,
}

impl Slots {
    /// Both, this one first.
    #[must_use]
    pub fn from(first: Slot) -> Slots {
        Slots::Both(first)
    }

    /// The slot to try now.
    #[must_use]
    pub fn next(self) -> Option<Slot> {
        match self {
            Slots::Both(slot) | Slots::Last(slot) => Some(slot),
            Slots::Exhausted => None,
        }
    }

    /// What remains after the slot of [`Slots::next`] failed.
    #[must_use]
    pub fn failed(self) -> Slots {
        match self {
            Slots::Both(slot) => Slots::Last(slot.other()),
            Slots::Last(_) | Slots::Exhausted => Slots::Exhausted,
        }
    }
}

/// The value of a key in a uevent file (`PARTNAME=slot-a`), one `KEY=value` a line.
#[must_use]
pub fn uevent<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_chooses_the_first_slot() {
        for (line, slot) in [
            ("console=ttyS0 hearth.slot=b quiet", Slot::B),
            ("hearth.slot=a", Slot::A),
            ("hearth.slot=c", Slot::A),
            ("xhearth.slot=b", Slot::A),
            ("", Slot::A),
        ] {
            assert_eq!(preferred(line), slot, "{line}");
        }
    }

    #[test]
    fn each_slot_is_tried_once_and_then_a_person_has_to_help() {
        for first in [Slot::A, Slot::B] {
            let slots = Slots::from(first);
            assert_eq!(slots.next(), Some(first));
            assert_eq!(slots.failed().next(), Some(first.other()));
            assert_eq!(slots.failed().failed().next(), None);
            assert_eq!(slots.failed().failed().failed(), Slots::Exhausted);
        }
    }

    #[test]
    fn a_partition_is_known_by_its_whole_name() {
        let text = "MAJOR=254\nDEVNAME=vda1\nDEVTYPE=partition\nPARTN=1\nPARTNAME=slot-a\n";
        assert_eq!(uevent(text, "PARTNAME"), Some("slot-a"));
        assert_eq!(uevent(text, "DEVNAME"), Some("vda1"));
        assert_eq!(uevent(text, "PART"), None);
        assert_eq!(uevent("", "PARTNAME"), None);
    }
}

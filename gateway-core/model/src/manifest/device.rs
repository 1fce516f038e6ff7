//! The devices that a manifest can name: a table, so that a grant is reviewed here and not where a
//! package was written. None of them can write to the kernel's memory, a disk or another service.

use super::fault::{nearest, shown};

/// A device of the machine that a service may be granted, in `[access] devices`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Device {
    family: &'static Family,
    /// Its place in the family.
    unit: u32,
}

/// Devices with one driver: `/dev/ttyUSB0` to `/dev/ttyUSB7`.
#[derive(Debug, PartialEq, Eq)]
struct Family {
    /// The path, without the number of one of several.
    path: &'static str,
    /// Major number, and the minor number of the first (the kernel's devices.txt).
    major: u32,
    minor: u32,
    /// How many there are; none for a path without a number.
    count: Option<u32>,
    /// What the household reads.
    words: &'static str,
}

const fn one(path: &'static str, major: u32, minor: u32, words: &'static str) -> Family {
    let count = None;
    Family {
        path,
        major,
        minor,
        count,
        words,
    }
}

const fn some(
    path: &'static str,
    major: u32,
    minor: u32,
    count: u32,
    words: &'static str,
) -> Family {
    Family {
        path,
        major,
        minor,
        count: Some(count),
        words,
    }
}

/// Every device that can be granted; all are character devices.
const FAMILIES: [Family; 8] = [
    some(
        "/dev/ttyUSB",
        188,
        0,
        8,
        "a USB serial adapter or radio stick",
    ),
    some("/dev/ttyACM", 166, 0, 8, "a USB modem or radio stick"),
    // ttyS0 is the gateway's own console.
    some("/dev/ttyS", 4, 64, 4, "a serial port"),
    some("/dev/video", 81, 0, 4, "a camera"),
    some("/dev/i2c-", 89, 0, 4, "sensors on the board"),
    one("/dev/usb/lp0", 180, 0, "a USB printer"),
    one("/dev/net/tun", 10, 200, "network tunnels of its own"),
    one("/dev/hwrng", 10, 183, "the processor's random numbers"),
];

/// The gateway's own console, which no service gets.
const CONSOLE: &str = "/dev/ttyS0";

impl Device {
    /// The device of this path.
    ///
    /// # Errors
    /// What is wrong with it, and the nearest one that there is.
    pub fn new(path: &str) -> Result<Device, String> {
        if path == CONSOLE {
            return Err(format!(
                "{CONSOLE} is the gateway's own console; choose another port"
            ));
        }
        let found = FAMILIES.iter().find_map(|family| {
            let rest = path.strip_prefix(family.path)?;
            let unit = match family.count {
                None => rest.is_empty().then_some(0)?,
                // One way to write each number: "07" or "+7" would be a second name of one device.
                Some(count) => (0..count).find(|unit| unit.to_string() == rest)?,
            };
            Some(Device { family, unit })
        });
        found.ok_or_else(|| {
            let names: Vec<String> = Device::all().map(|device| device.path()).collect();
            match nearest(path, names.iter().map(String::as_str)) {
                Some(near) => format!("{} can not be granted; did you mean {near}?", shown(path)),
                None => format!(
                    "{} can not be granted; a grant is one of {}",
                    shown(path),
                    Device::kinds()
                ),
            }
        })
    }

    /// Every device that can be granted.
    pub fn all() -> impl Iterator<Item = Device> {
        FAMILIES.iter().flat_map(|family| {
            let units = 0..family.count.unwrap_or(1);
            let devices = units.map(move |unit| Device { family, unit });
            devices.filter(|device| device.path() != CONSOLE)
        })
    }

    /// The families, for a person.
    fn kinds() -> String {
        let word = |family: &Family| match family.count {
            None => family.path.to_owned(),
            Some(count) => format!("{}0..{}", family.path, count.saturating_sub(1)),
        };
        FAMILIES.iter().map(word).collect::<Vec<_>>().join(", ")
    }

    /// Its path, inside and outside.
    #[must_use]
    pub fn path(&self) -> String {
        match self.family.count {
            None => self.family.path.to_owned(),
            Some(_) => format!("{}{}", self.family.path, self.unit),
        }
    }

    /// Major and minor number of the character device.
    #[must_use]
    pub fn numbers(&self) -> (u32, u32) {
        (self.family.major, self.family.minor + self.unit)
    }

    /// What it is to a household.
    #[must_use]
    pub fn words(&self) -> &'static str {
        self.family.words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_device_is_found_by_its_path_and_has_numbers_of_its_own() {
        let mut seen = std::collections::BTreeSet::new();
        for device in Device::all() {
            assert_eq!(Device::new(&device.path()), Ok(device));
            assert!(seen.insert(device.numbers()), "{}", device.path());
        }
        assert_eq!(Device::new("/dev/ttyUSB3").unwrap().numbers(), (188, 3));
        assert_eq!(Device::new("/dev/ttyS1").unwrap().numbers(), (4, 65));
    }

    #[test]
    fn what_can_not_be_granted_is_named_with_the_nearest() {
        for (path, says) in [
            ("/dev/ttyS0", "own console"),
            ("/dev/ttyUSB8", "did you mean /dev/ttyUSB"),
            ("/dev/ttyUSB", "did you mean /dev/ttyUSB"),
            ("/dev/ttyUSB01", "did you mean /dev/ttyUSB"),
            ("/dev/net/tum", "did you mean /dev/net/tun"),
            ("/dev/mem", "can not be granted"),
            ("ttyUSB0", "can not be granted"),
            ("/dev/hwrng/../mem", "one of /dev/ttyUSB0..7, "),
        ] {
            let why = Device::new(path).unwrap_err();
            assert!(why.contains(says), "{path}: {why}");
        }
    }
}

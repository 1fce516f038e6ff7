//! Admission: what is promised to services never exceeds what the machine has, less what the system
//! and forwarding keep. `Manifest` → [`Admitted`]; the second has no other constructor.

pub use super::promise::{Promise, Resource};
use crate::limits::LINE_SYSTEM;
use core::fmt;
use hearth_model::{BitsPerSec, ServiceName};

/// What the machine has and what services never get of it. Of the line nothing means that it is not
/// known what it carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// What the machine has.
    pub total: Promise,
    /// Kept for the system and for forwarding.
    pub system: Promise,
}

/// A promise that was made and is kept until this value is dropped from the table.
#[derive(Debug, PartialEq, Eq)]
pub struct Admitted {
    promise: Promise,
}

impl Admitted {
    /// What was promised.
    #[must_use]
    pub fn promise(&self) -> Promise {
        self.promise
    }

    /// A service that runs already: its promise was made before this process was started.
    #[must_use]
    pub fn running(promise: Promise) -> Admitted {
        Admitted { promise }
    }
}

/// Too little of one resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shortfall {
    /// Of what.
    pub resource: Resource,
    /// What the service asks for.
    pub needed: u64,
    /// What is left to promise.
    pub free: u64,
    known: Known,
}

/// Whether it is known how much of a resource there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    Yes,
    No,
}

impl Shortfall {
    /// Whether it is known how much there is.
    #[must_use]
    pub fn is_measured(&self) -> bool {
        self.known == Known::Yes
    }

    /// What is missing.
    #[must_use]
    pub fn missing(&self) -> u64 {
        self.needed.saturating_sub(self.free)
    }
}

impl fmt::Display for Shortfall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let resource = self.resource;
        let amount = |value| resource.amount(value);
        write!(f, "{}{}, ", amount(self.needed), resource.noun())?;
        match self.known {
            Known::Yes => write!(
                f,
                "{} free, {} short",
                amount(self.free),
                amount(self.missing())
            ),
            Known::No => f.write_str("and what the line carries is not known"),
        }
    }
}

/// What would make room for a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Room {
    /// That these end, which are ranked lower: as few as possible, the lowest rank first.
    Stop(Vec<ServiceName>),
    /// Only that a service ends which is ranked higher.
    OnlyHigher,
    /// Nothing: the machine has not so much for services.
    Never,
    /// That somebody says what the line carries.
    Unmeasured,
}

/// Why a service can not be promised what its manifest asks for: every resource that is short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Whom.
    pub service: ServiceName,
    /// Every resource that is short.
    pub shortfalls: Vec<Shortfall>,
    /// What to do.
    pub room: Room,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short: Vec<String> = self.shortfalls.iter().map(Shortfall::to_string).collect();
        let name = &self.service;
        write!(f, "service {name} reserves {}; ", short.join(" and "))?;
        match &self.room {
            Room::Stop(these) => {
                let these = names(these);
                write!(
                    f,
                    "stop {these}, ranked lower (`hearth start {name} --make-room` does it), or lower "
                )?;
            }
            Room::OnlyHigher => f.write_str(
                "what is ranked below it does not hold enough: rank it higher (`hearth rank`), stop \
                 another service, or lower ",
            )?,
            Room::Never => f.write_str("this gateway never has so much for services: lower ")?,
            Room::Unmeasured => f.write_str(
                "set upload and download in [wan] of gateway.toml, then `hearth restart \
                 hearth-manager`, or lower ",
            )?,
        }
        let keys: Vec<&str> = self.shortfalls.iter().map(|s| s.resource.key()).collect();
        write!(f, "{} in its manifest", keys.join(" and "))
    }
}

/// Names as a person lists them.
#[must_use]
pub fn names(these: &[ServiceName]) -> String {
    match these {
        [] => String::new(),
        [one] => one.to_string(),
        [first @ .., last] => {
            let first: Vec<&str> = first.iter().map(ServiceName::as_str).collect();
            format!("{} and {last}", first.join(", "))
        }
    }
}

impl Budget {
    /// What the line carries from now on; nothing where that is not known.
    pub fn line(&mut self, up: BitsPerSec, down: BitsPerSec) {
        let home = |rate: BitsPerSec| BitsPerSec(rate.0 / 1000 * u64::from(LINE_SYSTEM));
        (self.total.upload, self.total.download) = (up, down);
        (self.system.upload, self.system.download) = (home(up), home(down));
    }

    /// What is left to promise once `promised` is.
    #[must_use]
    pub fn free(&self, promised: Promise) -> Promise {
        self.for_services().without(promised)
    }

    /// All that can be promised to services.
    #[must_use]
    pub fn for_services(&self) -> Promise {
        self.total.without(self.system)
    }

    /// Promises what is asked for, if the machine has it left.
    ///
    /// # Errors
    /// Every resource that is short.
    pub fn admit(&self, asked: Promise, promised: Promise) -> Result<Admitted, Vec<Shortfall>> {
        let shortfalls = self.shortfalls(asked, promised);
        if shortfalls.is_empty() {
            Ok(Admitted { promise: asked })
        } else {
            Err(shortfalls)
        }
    }

    fn shortfalls(&self, asked: Promise, promised: Promise) -> Vec<Shortfall> {
        let free = self.free(promised);
        let known = |resource| match (resource, self.total.of(resource)) {
            (Resource::Upload | Resource::Download, 0) => Known::No,
            (Resource::Upload | Resource::Download, _)
            | (
                Resource::Memory
                | Resource::Cpu
                | Resource::Io
                | Resource::Storage
                | Resource::Pids,
                _,
            ) => Known::Yes,
        };
        let short = |resource| Shortfall {
            resource,
            needed: asked.of(resource),
            free: free.of(resource),
            known: known(resource),
        };
        let all = Resource::ALL.map(short).into_iter();
        all.filter(|short| short.needed > short.free).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hearth_model::{Bytes, MilliCpu, PerMille};

    const MACHINE: Budget = Budget {
        total: Promise {
            memory: Bytes::mib(1024),
            cpu: MilliCpu(1000),
            io: PerMille(1000),
            storage: Bytes::mib(512),
            pids: 32_768,
            upload: BitsPerSec::mbit(10),
            download: BitsPerSec(0),
        },
        system: Promise {
            memory: Bytes::mib(192),
            cpu: MilliCpu(300),
            io: PerMille(200),
            storage: Bytes::mib(64),
            pids: 2048,
            upload: BitsPerSec::mbit(2),
            download: BitsPerSec(0),
        },
    };

    fn promise(mib: u64, milli: u32) -> Promise {
        Promise {
            memory: Bytes::mib(mib),
            cpu: MilliCpu(milli),
            ..Promise::default()
        }
    }

    fn refusal(shortfalls: Vec<Shortfall>, room: Room) -> String {
        let service = ServiceName::new("radio").unwrap();
        Refusal {
            service,
            shortfalls,
            room,
        }
        .to_string()
    }

    #[test]
    fn the_last_byte_and_the_last_thousandth_can_be_promised_and_no_more() {
        let promised = promise(500, 400);
        assert!(MACHINE.admit(promise(332, 300), promised).is_ok());
        assert!(MACHINE.admit(promise(333, 300), promised).is_err());
        assert!(MACHINE.admit(promise(332, 301), promised).is_err());
    }

    #[test]
    fn a_refusal_names_each_resource_what_is_free_and_what_to_do() {
        // given a machine with 332 MiB and 30 % left, when a service reserves more of both
        let short = MACHINE
            .admit(promise(512, 505), promise(500, 400))
            .unwrap_err();
        // then the sentence has all that a person needs, whatever would help
        let what = "service radio reserves 512 MiB of memory, 332 MiB free, 180 MiB short and 50.5 % of a \
                    core, 30 % free, 20.5 % short; ";
        let keys = "lower resources.memory.reserve and resources.cpu.reserve in its manifest";
        let these = ["backup", "cache", "news"].map(|name| ServiceName::new(name).unwrap());
        for (room, remedy) in [
            (
                Room::Stop(these.to_vec()),
                "stop backup, cache and news, ranked lower (`hearth start radio --make-room` does it), or ",
            ),
            (
                Room::OnlyHigher,
                "what is ranked below it does not hold enough: rank it higher (`hearth rank`), stop \
                 another service, or ",
            ),
            (Room::Never, "this gateway never has so much for services: "),
        ] {
            assert_eq!(
                refusal(short.clone(), room),
                format!("{what}{remedy}{keys}")
            );
        }
    }

    #[test]
    fn a_line_that_nobody_measured_is_promised_to_nobody_and_the_remedy_is_told() {
        let asked = Promise {
            download: BitsPerSec::mbit(2),
            ..Promise::default()
        };
        let short = MACHINE.admit(asked, Promise::default()).unwrap_err();
        assert!(!short[0].is_measured());
        assert_eq!(
            refusal(short, Room::Unmeasured),
            "service radio reserves 2 Mbit/s of download, and what the line carries is not known; set \
             upload and download in [wan] of gateway.toml, then `hearth restart hearth-manager`, or \
             lower resources.network.reserve-down in its manifest"
        );
    }

    #[test]
    fn a_machine_smaller_than_its_own_reserve_promises_nothing() {
        let small = Budget {
            total: promise(64, 1000),
            ..MACHINE
        };
        assert_eq!(small.free(Promise::default()).memory, Bytes(0));
    }

    #[test]
    fn every_resource_is_counted_and_told_in_its_unit() {
        let half = Promise {
            io: PerMille(500),
            storage: Bytes::mib(300),
            pids: 20_000,
            upload: BitsPerSec(4_500_000),
            ..Promise::default()
        };
        // given a machine that has promised more than half of it, when as much is asked for again
        assert!(MACHINE.admit(half, Promise::default()).is_ok());
        let short = MACHINE.admit(half, half).unwrap_err();
        // then each is short
        assert_eq!(
            refusal(short, Room::Never),
            "service radio reserves 50 % of the disk's time, 30 % free, 20 % short and 300 MiB of \
             storage, 148 MiB free, 152 MiB short and 20000 processes, 10720 free, 9280 short and 4.5 \
             Mbit/s of upload, 3.5 Mbit/s free, 1 Mbit/s short; this gateway never has so much for \
             services: lower resources.io.reserve and resources.storage.reserve and \
             resources.pids.reserve and resources.network.reserve-up in its manifest"
        );
    }
}

//! Admission: what is promised to services never exceeds what the machine has, less what the system
//! and forwarding keep. `Manifest` → [`Admitted`]; the second has no other constructor.

use core::fmt;
use hearth_model::manifest::Manifest;
use hearth_model::{Bytes, MilliCpu, PerMille, ServiceName};

/// What can be promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// Bytes of memory.
    Memory,
    /// Thousandths of a core.
    Cpu,
    /// Thousandths of the disk's time.
    Io,
    /// Bytes of the data partition.
    Storage,
    /// Processes and threads.
    Pids,
}

impl Resource {
    /// Every one, in the order in which people read them.
    pub const ALL: [Resource; 5] = [
        Resource::Memory,
        Resource::Cpu,
        Resource::Io,
        Resource::Storage,
        Resource::Pids,
    ];

    /// Its section in a manifest, `[resources.NAME]`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Resource::Memory => "memory",
            Resource::Cpu => "cpu",
            Resource::Io => "io",
            Resource::Storage => "storage",
            Resource::Pids => "pids",
        }
    }

    /// What an amount is of, as it stands after the amount.
    fn noun(self) -> &'static str {
        match self {
            Resource::Memory => " of memory",
            Resource::Cpu => " of a core",
            Resource::Io => " of the disk's time",
            Resource::Storage => " of storage",
            Resource::Pids => " processes",
        }
    }

    /// An amount in its unit.
    fn amount(self, value: u64) -> String {
        let small = u32::try_from(value).unwrap_or(u32::MAX);
        match self {
            Resource::Memory | Resource::Storage => Bytes(value).to_string(),
            Resource::Cpu => MilliCpu(small).to_string(),
            Resource::Io => PerMille(small).to_string(),
            Resource::Pids => value.to_string(),
        }
    }
}

/// What the machine has and what services never get of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// What the machine has.
    pub total: Promise,
    /// Kept for the system and for forwarding.
    pub system: Promise,
}

/// An amount of each resource: guaranteed to a service, or to several together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Promise {
    /// `resources.memory.reserve`
    pub memory: Bytes,
    /// `resources.cpu.reserve`
    pub cpu: MilliCpu,
    /// `resources.io.reserve`
    pub io: PerMille,
    /// `resources.storage.reserve`
    pub storage: Bytes,
    /// `resources.pids.reserve`
    pub pids: u32,
}

impl Promise {
    /// What a manifest asks for.
    #[must_use]
    pub fn of_manifest(manifest: &Manifest) -> Promise {
        Promise {
            memory: manifest.memory_reserve(),
            cpu: manifest.cpu_reserve(),
            io: manifest.io_reserve(),
            storage: manifest.storage_reserve(),
            pids: manifest.pids_reserve(),
        }
    }

    /// The amount of one resource.
    #[must_use]
    pub fn of(self, resource: Resource) -> u64 {
        match resource {
            Resource::Memory => self.memory.0,
            Resource::Cpu => self.cpu.0.into(),
            Resource::Io => self.io.0.into(),
            Resource::Storage => self.storage.0,
            Resource::Pids => self.pids.into(),
        }
    }

    /// Both together.
    #[must_use]
    pub fn and(self, other: Promise) -> Promise {
        Promise {
            memory: Bytes(self.memory.0.saturating_add(other.memory.0)),
            cpu: MilliCpu(self.cpu.0.saturating_add(other.cpu.0)),
            io: PerMille(self.io.0.saturating_add(other.io.0)),
            storage: Bytes(self.storage.0.saturating_add(other.storage.0)),
            pids: self.pids.saturating_add(other.pids),
        }
    }

    /// What is left of this without the other; never less than nothing.
    fn without(self, other: Promise) -> Promise {
        Promise {
            memory: Bytes(self.memory.0.saturating_sub(other.memory.0)),
            cpu: MilliCpu(self.cpu.0.saturating_sub(other.cpu.0)),
            io: PerMille(self.io.0.saturating_sub(other.io.0)),
            storage: Bytes(self.storage.0.saturating_sub(other.storage.0)),
            pids: self.pids.saturating_sub(other.pids),
        }
    }
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
    resource: Resource,
    asked: u64,
    free: u64,
}

impl fmt::Display for Shortfall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shortfall {
            resource,
            asked,
            free,
        } = *self;
        let amount = |value| resource.amount(value);
        write!(
            f,
            "{}{}, {} free, {} short",
            amount(asked),
            resource.noun(),
            amount(free),
            amount(asked.saturating_sub(free))
        )
    }
}

/// Why a service can not be promised what its manifest asks for: every resource that is short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    service: ServiceName,
    shortfalls: Vec<Shortfall>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short: Vec<String> = self.shortfalls.iter().map(Shortfall::to_string).collect();
        let key = |short: &Shortfall| format!("resources.{}.reserve", short.resource.name());
        let keys: Vec<String> = self.shortfalls.iter().map(key).collect();
        write!(
            f,
            "service {} reserves {}; stop a service, or lower {} in its manifest",
            self.service,
            short.join(" and "),
            keys.join(" and ")
        )
    }
}

impl Budget {
    /// What is left to promise once `promised` is.
    #[must_use]
    pub fn free(&self, promised: Promise) -> Promise {
        self.total.without(self.system).without(promised)
    }

    /// Promises a service what it asks for, if the machine has it left.
    ///
    /// # Errors
    /// [`Refusal`] with every resource that is short.
    pub fn admit(
        &self,
        service: &ServiceName,
        asked: Promise,
        promised: Promise,
    ) -> Result<Admitted, Refusal> {
        let free = self.free(promised);
        let short = |resource| Shortfall {
            resource,
            asked: asked.of(resource),
            free: free.of(resource),
        };
        let shortfalls: Vec<Shortfall> = Resource::ALL
            .map(short)
            .into_iter()
            .filter(|short| short.asked > short.free)
            .collect();
        if shortfalls.is_empty() {
            Ok(Admitted { promise: asked })
        } else {
            Err(Refusal {
                service: service.clone(),
                shortfalls,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MACHINE: Budget = Budget {
        total: Promise {
            memory: Bytes::mib(1024),
            cpu: MilliCpu(1000),
            io: PerMille(1000),
            storage: Bytes::mib(512),
            pids: 32_768,
        },
        system: Promise {
            memory: Bytes::mib(192),
            cpu: MilliCpu(300),
            io: PerMille(200),
            storage: Bytes::mib(64),
            pids: 2048,
        },
    };

    fn promise(mib: u64, milli: u32) -> Promise {
        Promise {
            memory: Bytes::mib(mib),
            cpu: MilliCpu(milli),
            ..Promise::default()
        }
    }

    #[test]
    fn the_last_byte_and_the_last_thousandth_can_be_promised_and_no_more() {
        let name = ServiceName::new("radio").unwrap();
        let promised = promise(500, 400);
        assert!(MACHINE.admit(&name, promise(332, 300), promised).is_ok());
        assert!(MACHINE.admit(&name, promise(333, 300), promised).is_err());
        assert!(MACHINE.admit(&name, promise(332, 301), promised).is_err());
    }

    #[test]
    fn a_refusal_names_each_resource_what_is_free_and_what_to_do() {
        // given a machine with 332 MiB and 30 % left
        let name = ServiceName::new("radio").unwrap();
        // when a service reserves more of both
        let refusal = MACHINE
            .admit(&name, promise(512, 505), promise(500, 400))
            .unwrap_err();
        // then the sentence has all that a person needs
        assert_eq!(
            refusal.to_string(),
            "service radio reserves 512 MiB of memory, 332 MiB free, 180 MiB short and 50.5 % of a \
             core, 30 % free, 20.5 % short; stop a service, or lower resources.memory.reserve and \
             resources.cpu.reserve in its manifest"
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
        let name = ServiceName::new("radio").unwrap();
        let half = Promise {
            io: PerMille(500),
            storage: Bytes::mib(300),
            pids: 20_000,
            ..Promise::default()
        };
        // given a machine that has promised more than half of it, when as much is asked for again
        assert!(MACHINE.admit(&name, half, Promise::default()).is_ok());
        let refusal = MACHINE.admit(&name, half, half).unwrap_err();
        // then each is short
        assert_eq!(
            refusal.to_string(),
            "service radio reserves 50 % of the disk's time, 30 % free, 20 % short and 300 MiB of \
             storage, 148 MiB free, 152 MiB short and 20000 processes, 10720 free, 9280 short; stop a \
             service, or lower resources.io.reserve and resources.storage.reserve and \
             resources.pids.reserve in its manifest"
        );
    }
}

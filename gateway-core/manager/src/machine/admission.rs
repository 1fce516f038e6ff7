//! Admission: what is promised to services never exceeds what the machine has, less what the system
//! and forwarding keep. `Manifest` → [`Admitted`]; the second has no other constructor.

use core::fmt;
use hearth_model::manifest::Manifest;
use hearth_model::{Bytes, MilliCpu, ServiceName};

/// What the machine has and what services never get of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Memory of the machine.
    pub memory_total: Bytes,
    /// Kept for the system and for forwarding.
    pub memory_system: Bytes,
    /// Processor time of the machine.
    pub cpu_total: MilliCpu,
    /// Kept for the system and for forwarding.
    pub cpu_system: MilliCpu,
}

/// What is guaranteed to a service, or to several together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Promise {
    /// `resources.memory.reserve`
    pub memory: Bytes,
    /// `resources.cpu.reserve`
    pub cpu: MilliCpu,
}

impl Promise {
    /// What a manifest asks for.
    #[must_use]
    pub fn of(manifest: &Manifest) -> Promise {
        Promise {
            memory: manifest.memory_reserve(),
            cpu: manifest.cpu_reserve(),
        }
    }

    /// Both together.
    #[must_use]
    pub fn and(self, other: Promise) -> Promise {
        Promise {
            memory: Bytes(self.memory.0.saturating_add(other.memory.0)),
            cpu: MilliCpu(self.cpu.0.saturating_add(other.cpu.0)),
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
pub enum Shortfall {
    /// Memory: asked for, free.
    Memory(Bytes, Bytes),
    /// Processor time: asked for, free.
    Cpu(MilliCpu, MilliCpu),
}

impl fmt::Display for Shortfall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Shortfall::Memory(asked, free) => write!(
                f,
                "{asked} of memory, {free} free, {} short",
                Bytes(asked.0.saturating_sub(free.0))
            ),
            Shortfall::Cpu(asked, free) => write!(
                f,
                "{asked} of a core, {free} free, {} short",
                MilliCpu(asked.0.saturating_sub(free.0))
            ),
        }
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
        let keys: Vec<&str> = self
            .shortfalls
            .iter()
            .map(|short| match short {
                Shortfall::Memory(..) => "resources.memory.reserve",
                Shortfall::Cpu(..) => "resources.cpu.reserve",
            })
            .collect();
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
        let memory = self.memory_total.0.saturating_sub(self.memory_system.0);
        let cpu = self.cpu_total.0.saturating_sub(self.cpu_system.0);
        Promise {
            memory: Bytes(memory.saturating_sub(promised.memory.0)),
            cpu: MilliCpu(cpu.saturating_sub(promised.cpu.0)),
        }
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
        let mut shortfalls = Vec::new();
        if asked.memory > free.memory {
            shortfalls.push(Shortfall::Memory(asked.memory, free.memory));
        }
        if asked.cpu > free.cpu {
            shortfalls.push(Shortfall::Cpu(asked.cpu, free.cpu));
        }
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
        memory_total: Bytes::mib(1024),
        memory_system: Bytes::mib(192),
        cpu_total: MilliCpu(1000),
        cpu_system: MilliCpu(300),
    };

    fn promise(mib: u64, milli: u32) -> Promise {
        Promise {
            memory: Bytes::mib(mib),
            cpu: MilliCpu(milli),
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
            memory_total: Bytes::mib(64),
            ..MACHINE
        };
        assert_eq!(small.free(Promise::default()).memory, Bytes(0));
    }
}

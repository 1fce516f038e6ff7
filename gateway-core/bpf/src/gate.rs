//! The gates of a service: its rules in, attached programs out.
//!
//! The programs are `sandbox/bpf/gate.rs`, their object is committed beside it. Each service has its own
//! instance with its own maps, which live as long as its cgroup: they outlive the manager, a new
//! manager finds them by the cgroup alone, and nothing has to be removed but the cgroup. Invariants: the
//! rules are written before the first program is attached; a gate that can not be attached is an error
//! with its name. What this module refuses to do: decide what a service may (`hearth_model::gate` does).

use crate::error::{KernelError, LoadError};
use crate::map::{Map, Maps, When};
use crate::object::Object;
use crate::program::{Hook, Kind, Program};
use hearth_model::gate::{
    DeviceKind, DeviceRule, EPHEMERAL, Gate, Refusal, Served, Target, Verdict,
};
use hearth_model::gateway::mask;
use hearth_model::protocol::Transport;
use std::fmt;
use std::os::fd::BorrowedFd;

#[path = "../../../sandbox/bpf/abi.rs"]
#[allow(
    dead_code,
    reason = "the programs need all of it, this side only a part"
)]
mod abi;

/// The programs, as `scripts/bpf` built them.
const OBJECT: &[u8] = include_bytes!("../../../sandbox/bpf/gate.o");

/// Every gate and the function that it is.
const GATES: [(Hook, &str); 8] = [
    (Hook::Device, "device"),
    (Hook::Socket, "socket"),
    (Hook::Bind4, "bind4"),
    (Hook::Bind6, "bind6"),
    (Hook::Connect4, "reach4"),
    (Hook::Connect6, "reach6"),
    (Hook::Send4, "reach4"),
    (Hook::Send6, "reach6"),
];

/// Why a service's gates do not stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GateError {
    /// A map of the rules can not be filled.
    Rules {
        /// Which.
        map: &'static str,
        /// Why.
        error: KernelError,
    },
    /// The object or its maps can not be had.
    Object(LoadError),
    /// A gate can not be loaded or attached.
    Gate {
        /// Its name.
        name: &'static str,
        /// Why.
        error: LoadError,
    },
}

impl fmt::Display for GateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GateError::Rules { map, error } => {
                write!(f, "the gates' rules do not fit into {map}: {error}")
            }
            GateError::Object(error) => write!(f, "the gates can not be made: {error}"),
            GateError::Gate { name, error } => {
                write!(f, "the gate {name} can not be attached: {error}")
            }
        }
    }
}

impl std::error::Error for GateError {}

/// Refusals of a service, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refusals([u64; Refusal::ALL.len()]);

const _: () = assert!(Refusal::ALL.len() == abi::REASONS as usize);

impl Refusals {
    /// How often there was this one.
    #[must_use]
    pub fn count(&self, refusal: Refusal) -> u64 {
        self.iter()
            .find_map(|(it, count)| (it == refusal).then_some(count))
            .unwrap_or(0)
    }

    /// Each reason and its count.
    pub fn iter(&self) -> impl Iterator<Item = (Refusal, u64)> {
        Refusal::ALL.into_iter().zip(self.0)
    }
}

/// Attaches all gates of a service to its cgroup. Where there were gates, the new ones replace them and
/// count from 0.
///
/// # Errors
/// [`GateError`]; a gate that was attached before the one that failed stays until the cgroup goes.
pub fn attach(cgroup: BorrowedFd<'_>, gate: &Gate) -> Result<(), GateError> {
    let failed = |error: LoadError| GateError::Object(error);
    let object = Object::parse(OBJECT).map_err(|e| failed(e.into()))?;
    let maps = Maps::create(&object, Vec::new()).map_err(|e| failed(e.into()))?;
    write(&maps, gate)?;
    // All are loaded before the first is attached: one that is refused leaves nothing half.
    let load = |(hook, function): (Hook, &str)| {
        let program = Program::load_function(Kind::Cgroup(hook), &object, function, &maps);
        program.map(|program| (hook, program)).map_err(at(hook))
    };
    let programs = GATES.into_iter().map(load).collect::<Result<Vec<_>, _>>()?;
    for (hook, program) in &programs {
        let attached = program.attach(cgroup, *hook);
        attached.map_err(|e| at(*hook)(e.into()))?;
    }
    Ok(())
}

fn at(hook: Hook) -> impl Fn(LoadError) -> GateError {
    move |error| GateError::Gate {
        name: hook.name(),
        error,
    }
}

/// What the gates of a cgroup have refused; none where it has no gates.
///
/// # Errors
/// [`KernelError::Refused`]: the folder is no cgroup v2.
pub fn refusals(cgroup: BorrowedFd<'_>) -> Result<Option<Refusals>, LoadError> {
    let Some(program) = Program::attached(cgroup, Hook::Device)? else {
        return Ok(None);
    };
    let object = Object::parse(OBJECT)?;
    let named = |spec: &&crate::object::MapSpec| spec.name == "REFUSED";
    let missing = || LoadError::Missing("REFUSED".to_owned());
    let spec = object.maps().iter().find(named).ok_or_else(missing)?;
    let map = Map::of(&program, spec.clone())?;
    read(&map).map(Some).map_err(LoadError::from)
}

fn read(map: &Map) -> Result<Refusals, KernelError> {
    let mut refusals = Refusals::default();
    let mut values = vec![0; map.value_length()];
    for (key, total) in (0u32..).zip(&mut refusals.0) {
        map.lookup(&key.to_ne_bytes(), &mut values)?;
        let each = values.chunks_exact(8).map(|value| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(value);
            u64::from_ne_bytes(bytes)
        });
        *total = each.fold(0, u64::wrapping_add);
    }
    Ok(refusals)
}

/// A key of a map and its value.
type Entry = (Vec<u8>, u32);

/// Writes the rules into the maps.
fn write(maps: &Maps, gate: &Gate) -> Result<(), GateError> {
    fill(maps, "GRANTED", gate.devices.iter().map(device))?;
    fill(maps, "REACHED", gate.targets.iter().map(target))?;
    fill(maps, "SERVED", gate.served.iter().map(served))
}

fn fill(
    maps: &Maps,
    name: &'static str,
    entries: impl Iterator<Item = Entry>,
) -> Result<(), GateError> {
    let missing = || GateError::Object(LoadError::Missing(name.to_owned()));
    let map = maps.get(name).ok_or_else(missing)?;
    for (key, value) in entries {
        match map.update(&key, &value.to_ne_bytes(), When::New) {
            // Of two rules for the same, the first holds.
            Ok(()) => {}
            Err(e) if e.errno() == libc::EEXIST => {}
            Err(error) => return Err(GateError::Rules { map: name, error }),
        }
    }
    Ok(())
}

/// `abi::Device`
fn device(rule: &DeviceRule) -> Entry {
    let kind: u32 = match rule.kind {
        DeviceKind::Block => 1,
        DeviceKind::Character => 2,
    };
    let words = [kind, rule.major, rule.minor.unwrap_or(abi::ANY)];
    // Read and write, and never mknod.
    (words.map(u32::to_ne_bytes).concat(), 2 | 4)
}

/// `abi::Target`
fn target(rule: &Target) -> Entry {
    let address = u32::from(rule.address) & mask(rule.prefix);
    let bits = rule.bits();
    let port = if bits == abi::WHOLE {
        rule.port.unwrap_or(0)
    } else {
        0
    };
    let mut key = bits.to_ne_bytes().to_vec();
    key.extend(address.to_be_bytes());
    key.extend(port.to_be_bytes());
    key.extend([0; 2]);
    let verdict = match rule.verdict {
        Verdict::Allow => abi::ALLOW,
        Verdict::Refuse(refusal) => refusal as u32,
    };
    (key, verdict)
}

/// `abi::Port`
fn served(rule: &Served) -> Entry {
    let protocol: u32 = match rule.transport {
        Transport::Tcp => 6,
        Transport::Udp => 17,
    };
    let words = [protocol, u32::from(rule.port)];
    (words.map(u32::to_ne_bytes).concat(), 1)
}

const _: () = {
    assert!(Refusal::Device as u32 == abi::DEVICE && Refusal::Protocol as u32 == abi::PROTOCOL);
    assert!(Refusal::Port as u32 == abi::PORT && Refusal::Ipv6 as u32 == abi::IPV6);
    assert!(Refusal::NoNetwork as u32 == abi::TARGET);
    let [first, last] = abi::EPHEMERAL;
    assert!(first == *EPHEMERAL.start() && last == *EPHEMERAL.end());
};

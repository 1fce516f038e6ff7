//! `[resources]`: each with what is guaranteed (`reserve`) and what is the most (`max`).

use super::checked::Resources;
use super::fault::Faults;
use super::raw::{At, Section};
use super::{
    CORE_MAX, CPU_MAX_MIN, IO_MAX_MIN, MEMORY_MAX_MIN, NETWORK_MAX_MIN, Network, PIDS_MAX_MAX,
    STORAGE_MAX_DEFAULT, STORAGE_MAX_MIN, value,
};
use crate::cgroup::{Cores, Limits};
use crate::protocol::{LineShare, NetworkShare};
use crate::units::{BitsPerSec, Bytes, BytesPerSec, MilliCpu};
use core::fmt::Display;

/// Reads the whole section; `None` where something that must be given is missing or faulty. `access` is
/// `access.network`.
pub(super) fn check(
    mut table: Section<'_>,
    access: Network,
    faults: &mut Faults,
) -> Option<Resources> {
    let mut memory = table.section(faults, "memory");
    let memory_reserve = memory.optional(faults, "reserve", value::size);
    let memory_max = memory.required(faults, "max", "\"64 MiB\"", value::size);
    let memory_max = at_least(&memory, "max", memory_max, Bytes(MEMORY_MAX_MIN), faults);
    reserve_within(
        &memory,
        ("reserve", memory_reserve.as_ref()),
        ("max", memory_max.as_ref()),
        faults,
    );
    memory.finish(faults);

    let mut cpu = table.section(faults, "cpu");
    let cpu_reserve = cpu.optional(faults, "reserve", value::share);
    let cpu_max = cpu.optional(faults, "max", value::share);
    let cpu_max = at_least(&cpu, "max", cpu_max, MilliCpu(CPU_MAX_MIN), faults);
    reserve_within(
        &cpu,
        ("reserve", cpu_reserve.as_ref()),
        ("max", cpu_max.as_ref()),
        faults,
    );
    let cores = cores(&mut cpu, faults);
    cpu.finish(faults);

    let mut io = table.section(faults, "io");
    let io_reserve = io.optional(faults, "reserve", value::disk_share);
    let io_max = io.optional(faults, "max", value::rate);
    let io_max = at_least(&io, "max", io_max, BytesPerSec(IO_MAX_MIN), faults);
    io.finish(faults);

    let (storage_reserve, storage_max) = storage(table.section(faults, "storage"), faults);
    let network = network(table.section(faults, "network"), access, faults);

    let mut pids = table.section(faults, "pids");
    let pids_reserve = pids.optional(faults, "reserve", |v| value::number(v, 0, PIDS_MAX_MAX));
    let pids_max = pids.required(faults, "max", "16", |v| value::number(v, 1, PIDS_MAX_MAX));
    reserve_within(
        &pids,
        ("reserve", pids_reserve.as_ref()),
        ("max", pids_max.as_ref()),
        faults,
    );
    pids.finish(faults);
    table.finish(faults);
    Some(Resources {
        group: Limits {
            memory_reserve: given(memory_reserve),
            memory_max: memory_max?.0,
            cpu_reserve: given(cpu_reserve),
            cpu_max: cpu_max.map(|(max, _)| max),
            cores,
            io_reserve: given(io_reserve),
            io_max: io_max.map(|(max, _)| max),
            pids_max: pids_max?.0,
        },
        pids_reserve: given(pids_reserve),
        storage_reserve,
        storage_max,
        network,
    })
}

fn network(mut table: Section<'_>, access: Network, faults: &mut Faults) -> NetworkShare {
    let mut places = Vec::new();
    let mut line = |table: &mut Section<'_>, reserve_key, max_key, faults: &mut Faults| {
        let reserve = table.optional(faults, reserve_key, value::bit_rate);
        let max = table.optional(faults, max_key, value::bit_rate);
        let max = at_least(table, max_key, max, BitsPerSec(NETWORK_MAX_MIN), faults);
        let pair = ((reserve_key, reserve.as_ref()), (max_key, max.as_ref()));
        reserve_within(table, pair.0, pair.1, faults);
        for (key, given) in [pair.0, pair.1] {
            places.extend(given.map(|(_, at)| (key, at.clone())));
        }
        LineShare {
            max: max.map(|(max, _)| max),
            reserve: given(reserve),
        }
    };
    let up = line(&mut table, "reserve-up", "max-up", faults);
    let down = line(&mut table, "reserve-down", "max-down", faults);
    let class = table.optional(faults, "class", value::class);
    places.extend(class.iter().map(|(_, at)| ("class", at.clone())));
    match access {
        Network::None => {
            for (key, at) in &places {
                let text =
                    "a service without a network has no part of the line; set access.network";
                faults.say(at, &table.key(key), text);
            }
        }
        Network::Lan | Network::Wan => {}
    }
    table.finish(faults);
    NetworkShare {
        up,
        down,
        class: given(class),
        ..NetworkShare::default()
    }
}

fn storage(mut table: Section<'_>, faults: &mut Faults) -> (Bytes, Bytes) {
    let reserve = table.optional(faults, "reserve", value::size);
    let max = table.optional(faults, "max", value::size);
    let max = at_least(&table, "max", max, Bytes(STORAGE_MAX_MIN), faults);
    // Also against the default: a reserve above it means a larger max, which is for its author to say.
    let at = table.place().clone();
    let max = max.unwrap_or((STORAGE_MAX_DEFAULT, at));
    reserve_within(
        &table,
        ("reserve", reserve.as_ref()),
        ("max", Some(&max)),
        faults,
    );
    table.finish(faults);
    (given(reserve), max.0)
}

/// `cores = [0, 2]`: the numbers as a set; `None` where the key is not there.
fn cores(table: &mut Section<'_>, faults: &mut Faults) -> Option<Cores> {
    let list = table.list(faults, "cores", |v| value::number(v, 0, CORE_MAX));
    let set = list.iter().fold(0_u64, |set, (core, _)| set | 1 << core);
    (set != 0).then_some(Cores(set))
}

/// What the author gave, or nothing.
fn given<T: Default>(value: Option<At<T>>) -> T {
    value.map(|(value, _)| value).unwrap_or_default()
}

/// Reports a `max` below what works at all; it is kept all the same, for what is compared with it.
fn at_least<T: PartialOrd + Display>(
    table: &Section<'_>,
    key: &str,
    max: Option<At<T>>,
    min: T,
    faults: &mut Faults,
) -> Option<At<T>> {
    if let Some((max, at)) = &max
        && *max < min
    {
        let text = format!("{max} is too little; at least {min}");
        faults.say(at, &table.key(key), &text);
    }
    max
}

fn reserve_within<T: PartialOrd + Display>(
    table: &Section<'_>,
    (reserve_key, reserve): (&str, Option<&At<T>>),
    (max_key, max): (&str, Option<&At<T>>),
    faults: &mut Faults,
) {
    if let (Some((reserve, at)), Some((max, _))) = (reserve, max)
        && reserve > max
    {
        let text = format!(
            "{reserve} is more than {max_key}, {max}; lower {reserve_key} or raise {max_key}"
        );
        faults.say(at, &table.key(reserve_key), &text);
    }
}

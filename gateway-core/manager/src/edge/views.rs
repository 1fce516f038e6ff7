//! Rows of the API made from the machine's table and the kernel's counters.

use super::start::Starter;
use super::{cgroup, gates, storage};
use crate::machine::Machine;
use crate::machine::admission::{Budget, Promise, Refusal, Resource, Room};
use crate::machine::congestion::{Congestion, Scarce};
use crate::machine::ranking::Rank;
use crate::machine::register::Wanted;
use crate::machine::room::Plan;
use crate::machine::service::{Phase, Service as Row};
use crate::sys;
use hearth_model::api::{
    BudgetLine, Congestion as CongestionJson, Kind, LifeJson, NatJson, RankRow, RefusalJson,
    SandboxJson, Service, ShortJson, StartPlan, WanJson,
};
use hearth_model::gateway::GatewayConfig;
use hearth_model::protocol::{NetReport, SystemUnit, WanStatus, Zone};
use hearth_model::state::{Fault, UnitState, UnitStatus};
use hearth_model::{ServiceId, Tick};
use std::collections::BTreeMap;

/// Name of the package with the household's console.
const CONSOLE: &str = "web";

/// A service's row; `rank` is its place, from 1.
#[must_use]
pub fn service(
    machine: &Machine,
    id: ServiceId,
    rank: usize,
    starter: &Starter,
    now: Tick,
) -> Option<Service> {
    let row = machine.service(id)?;
    let Starter { gateway, paths, .. } = starter;
    let manifest = row.package.as_ref().map(|package| &package.manifest);
    let counters = cgroup::counters(&paths.cgroup(&row.name));
    let since = match row.phase {
        Phase::Rest | Phase::Waiting { .. } => row.status.since,
        Phase::WaitingForNetpath { since } | Phase::WaitingForNeeds { since } => since,
        Phase::WaitingForDependents { .. }
        | Phase::MakingRoom
        | Phase::Preparing
        | Phase::Linking { .. }
        | Phase::Forwarding { .. } => now,
    };
    Some(Service {
        name: row.name.to_string(),
        kind: Kind::Service,
        life: life(machine, id, row),
        version: manifest.map_or_else(String::new, |m| m.version().to_owned()),
        title: manifest.map_or_else(|| row.name.to_string(), |m| m.title().to_owned()),
        state: row.state().to_string(),
        fault: row.fault().to_string(),
        message: row.message(now),
        wanted: row.wanted == Wanted::Running,
        rank: u32::try_from(rank).ok(),
        pid: row.status.pid,
        restarts: row.status.restarts,
        since_seconds: now.since_ms(since) / 1000,
        memory_bytes: counters.memory,
        memory_max_bytes: manifest.map(|m| m.memory_max().0),
        cpu_usec: counters.cpu_usec,
        oom_kills: counters.oom_kills,
        refused: gates::refused(&paths.cgroup(&row.name)),
        storage_bytes: storage::used(&starter.data, id),
        storage_max_bytes: manifest.map(|m| m.storage_max().0),
        address: manifest
            .and_then(|m| m.address(gateway, id))
            .map(|a| a.to_string()),
        listens: manifest.map_or_else(Vec::new, |m| {
            m.listen().iter().map(ToString::to_string).collect()
        }),
    })
}

fn life(machine: &Machine, id: ServiceId, row: &Row) -> LifeJson {
    let needs = row.package.as_ref().map(|package| package.manifest.needs());
    LifeJson {
        waits: row.waits_for(&machine.needs(id)),
        says: Some(row.watch.said().to_owned()).filter(|said| !said.is_empty()),
        needs: needs.map_or_else(Vec::new, |needs| {
            needs.iter().map(ToString::to_string).collect()
        }),
    }
}

/// A system unit's row.
#[must_use]
pub fn system(unit: SystemUnit, status: UnitStatus, firmware: &str, now: Tick) -> Service {
    let title = match unit {
        SystemUnit::Netpath => "Forwarding and NAT",
        SystemUnit::Manager => "Service manager",
        SystemUnit::Console => "Serial console",
    };
    let message = match (status.state, status.fault) {
        (UnitState::Restarting, _) => format!("{}; it is started again", status.last_exit),
        (_, Fault::NoFault) => String::new(),
        (_, _) => status.last_exit.to_string(),
    };
    Service {
        name: unit.name().to_owned(),
        kind: Kind::System,
        version: firmware.to_owned(),
        title: title.to_owned(),
        state: status.state.to_string(),
        fault: status.fault.to_string(),
        message,
        life: LifeJson::default(),
        wanted: true,
        rank: None,
        pid: status.pid,
        restarts: status.restarts,
        since_seconds: now.since_ms(status.since) / 1000,
        memory_bytes: None,
        memory_max_bytes: None,
        cpu_usec: None,
        oom_kills: None,
        refused: BTreeMap::new(),
        storage_bytes: None,
        storage_max_bytes: None,
        address: None,
        listens: Vec::new(),
    }
}

/// The whole table: system units first, then the services by rank.
#[must_use]
pub fn table(machine: &Machine, starter: &Starter, firmware: &str, now: Tick) -> Vec<Service> {
    let units = machine
        .system_units()
        .map(|(unit, status)| system(unit, status, firmware, now));
    let services = (1..)
        .zip(machine.ranked())
        .filter_map(|(rank, id)| service(machine, id, rank, starter, now));
    units.chain(services).collect()
}

/// A refusal for programs.
#[must_use]
pub fn refusal(refusal: &Refusal) -> RefusalJson {
    let short = refusal.shortfalls.iter().map(|short| ShortJson {
        resource: short.resource.name().to_owned(),
        needed: short.needed,
        free: short.free,
        shortfall: short.missing(),
    });
    let room = match &refusal.room {
        Room::Stop(these) => these.iter().map(ToString::to_string).collect(),
        Room::OnlyHigher | Room::Never | Room::Unmeasured => Vec::new(),
    };
    RefusalJson {
        service: refusal.service.to_string(),
        short: short.collect(),
        room,
    }
}

/// What a start would come to.
#[must_use]
pub fn plan(name: &str, machine: &Machine, plan: &Plan) -> StartPlan {
    let name_of = |&id: &ServiceId| Some(machine.service(id)?.name.to_string());
    StartPlan {
        service: name.to_owned(),
        fits: plan.refusal.is_none(),
        stops: plan.stops.iter().filter_map(name_of).collect(),
        message: plan
            .refusal
            .as_ref()
            .map_or_else(String::new, ToString::to_string),
        refusal: plan.refusal.as_ref().map(refusal),
        before: budget(machine.budget(), plan.before),
        after: budget(machine.budget(), plan.after),
    }
}

/// The ranking, and what it means for each service that runs.
#[must_use]
pub fn ranking(machine: &Machine) -> Vec<RankRow> {
    let ranks: BTreeMap<ServiceId, Rank> = machine.ranks().into_iter().collect();
    let (named, shares) = (machine.named().len(), machine.shares());
    let row = |(place, id): (usize, ServiceId)| {
        let row = machine.service(id)?;
        let rank = ranks.get(&id);
        let weights = rank.map(|rank| rank.weights);
        let share = shares.get(&id);
        Some(RankRow {
            service: row.name.to_string(),
            rank: u32::try_from(place + 1).unwrap_or(u32::MAX),
            ranked: place < named,
            state: row.state().to_string(),
            cpu_weight: weights.map(|weights| weights.cpu),
            io_weight: weights.map(|weights| weights.io),
            memory_low_bytes: weights.map(|weights| weights.memory_low.0),
            oom_score_adj: rank.map(|rank| rank.oom_score),
            traffic_class: share.map(|share| share.class.name().to_owned()),
            line_weight: share.map(|share| share.weight),
        })
    };
    machine
        .ranked()
        .into_iter()
        .enumerate()
        .filter_map(row)
        .collect()
}

/// What the machine has, keeps, has promised and can still promise.
#[must_use]
pub fn budget(budget: &Budget, promised: Promise) -> Vec<BudgetLine> {
    let free = budget.free(promised);
    let line = |resource: Resource| BudgetLine {
        resource: resource.name().to_owned(),
        total: budget.total.of(resource),
        system: budget.system.of(resource),
        reserved: promised.of(resource),
        free: free.of(resource),
    };
    Resource::ALL.map(line).to_vec()
}

/// The Internet's side.
#[must_use]
pub fn wan(status: &WanStatus) -> WanJson {
    WanJson {
        address: status
            .lease
            .map(|lease| format!("{}/{}", lease.address, lease.prefix)),
        router: status
            .lease
            .and_then(|lease| lease.router)
            .map(|router| router.to_string()),
        resolvers: status
            .resolvers
            .iter()
            .flatten()
            .map(ToString::to_string)
            .collect(),
    }
}

/// The Internet's side in one line.
#[must_use]
pub fn wan_words(status: &WanStatus) -> String {
    let wan = wan(status);
    match (wan.address, wan.router) {
        (Some(address), Some(router)) => format!("{address} via {router}"),
        (Some(address), None) => address,
        (None, _) => "no address".to_owned(),
    }
}

/// A resource that is short.
#[must_use]
pub fn congestion(one: &Congestion, now: Tick) -> CongestionJson {
    CongestionJson {
        resource: one.resource.name().to_owned(),
        culprit: one.culprit.clone(),
        victims: one.victims.clone(),
        since_seconds: now.since_ms(one.since) / 1000,
        text: congestion_words(one),
        advice: one.advice.clone(),
    }
}

/// A resource that is short, in one line.
#[must_use]
pub fn congestion_words(one: &Congestion) -> String {
    let (resource, culprit) = (one.resource, &one.culprit);
    let victims = one.victims.join(", ");
    let verb = if one.victims.len() == 1 {
        "waits"
    } else {
        "wait"
    };
    match one.resource {
        Scarce::Storage => format!("{resource} is full, mostly of {culprit}; {}", one.advice),
        Scarce::Cpu | Scarce::Memory | Scarce::Io | Scarce::Uplink | Scarce::Downlink => format!(
            "{culprit} takes so much of {resource} that {victims} {verb}; {}",
            one.advice
        ),
    }
}

/// netpath's counters.
#[must_use]
pub fn nat(report: NetReport) -> NatJson {
    NatJson {
        mappings: report.mappings,
        mappings_max: report.mappings_max,
        mappings_refused: report.mappings_refused,
        received: report.received,
        forwarded: report.forwarded,
        dropped: report.dropped,
        fast_path: report.fast_path,
    }
}

/// What this kernel has for every service's sandbox.
#[must_use]
pub fn sandbox() -> SandboxJson {
    SandboxJson {
        landlock_level: sys::machine::landlock_level(),
        time_namespaces: std::fs::exists("/proc/self/ns/time").unwrap_or(false),
    }
}

/// URL of the household's console from the home; empty where no such package is installed.
#[must_use]
pub fn console_url(machine: &Machine, gateway: &GatewayConfig) -> String {
    let row = machine.find(CONSOLE).and_then(|id| machine.service(id));
    let listen = row
        .and_then(|row| row.package.as_ref())
        .and_then(|package| {
            package
                .manifest
                .listen()
                .iter()
                .find(|line| line.from == Zone::Lan)
                .copied()
        });
    match listen {
        Some(line) if line.port == 80 => format!("http://{}/", gateway.lan.address),
        Some(line) => format!("http://{}:{}/", gateway.lan.address, line.port),
        None => String::new(),
    }
}

/// `resolv.conf` (resolv.conf(5)) of the resolvers that the Internet provider named.
#[must_use]
pub fn resolv_conf(status: &WanStatus) -> String {
    let mut text =
        "# The resolvers of the Internet connection, written by hearth-manager.\n".to_owned();
    for resolver in status.resolvers.iter().flatten() {
        text.push_str(&format!("nameserver {resolver}\n"));
    }
    text
}

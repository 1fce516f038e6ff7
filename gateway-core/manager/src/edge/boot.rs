//! From nothing to the loop: configuration, PID 1's greeting, packages, the API's socket.

use super::alarm::Alarm;
use super::api::{Door, routes};
use super::channel::Channel;
use super::congestion::{self, Watcher};
use super::events::Events;
use super::kernel_log::KernelLog;
use super::logs::Logs;
use super::looks::Looks;
use super::netpath::Netpath;
use super::notify::Listener;
use super::packages::{self, Found, Problem};
use super::paths::{Paths, could_not, now, read_text, reason};
use super::pressure::Pressure;
use super::start::Starter;
use super::store::{NotKept, Store};
use super::usage::{self, Usage};
use super::wishes::Kept;
use super::{Core, End, cgroup, doctor, host, renumber, server, storage};
use crate::limits::{INIT_ANSWER_MS, REQUESTS_MAX, STATE_MAX};
use crate::machine::forwards::Forwards;
use crate::machine::networks::Mover;
use crate::machine::register::{Register, Wanted};
use crate::machine::service::Package;
use crate::machine::{Event, Machine};
use crate::sys;
use core::time::Duration;
use hearth_model::cgroup::Shares;
use hearth_model::gateway::GatewayConfig;
use hearth_model::limits::{MANAGER_INIT_FD, PROTOCOL_VERSION};
use hearth_model::manifest::{LinkKind, Manifest, Network};
use hearth_model::protocol::{FromInit, Link, NetworkPolicy, ToInit, WanStatus};
use hearth_model::{ServiceId, ServiceName};
use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// What PID 1 said before it was done greeting.
type Greeting = Vec<(FromInit, Vec<OwnedFd>)>;

/// Runs the manager on this file system until something ends it.
pub async fn run(paths: Paths) -> End {
    match start(paths).await {
        Ok(end) => end,
        Err(text) => End::Fatal(text),
    }
}

async fn start(paths: Paths) -> Result<End, String> {
    // First, so that a SIGTERM during all that follows is an orderly end too.
    let term = signal(SignalKind::terminate())
        .map_err(|e| format!("could not wait for SIGTERM: {}", reason(&e)))?;
    let mut problems = Vec::new();
    let configured = configuration(&paths, &mut problems)?;
    let store = Store::new(&paths);
    let (networks, damage) = store.load_networks();
    problems.extend(damage.map(Problem::of_gateway));
    let mover = Mover::new(configured, networks);
    let gateway = mover.in_force();
    let mut budget = host::budget(&paths, &gateway)?;
    let mut init = connect_init()?;
    let greeting = greet(&mut init).await?;

    let (mut register, damage) = store.load();
    problems.extend(damage.map(Problem::of_gateway));
    let (kept_forwards, damage) = store.load_forwards();
    problems.extend(damage.map(Problem::of_gateway));
    for (record, _) in &greeting {
        if let FromInit::Service { id, name, .. } = record {
            register.follow(name, *id);
        }
    }
    let (found, faults) = packages::scan(&paths);
    problems.extend(faults);
    let table = table(&found, &gateway, &mut register, &mut problems);
    let (data, kept) = match store.save(&register) {
        Ok(()) => (paths.data(), Kept::OnDisk),
        Err(e @ NotKept::Full(_)) => (paths.data(), Kept::Not(e.to_string())),
        Err(NotKept::Broken(text)) => {
            let text = format!("{text}; services keep their data only until the gateway restarts");
            problems.push(Problem::of_gateway(text));
            (paths.data_in_memory(), Kept::Nowhere)
        }
    };
    let shares = Shares::of(&gateway.reserve, budget.total.cpu);
    let groups = cgroup::make_root(&paths.cgroups()).and_then(|()| {
        cgroup::set_share(&paths.cgroups(), shares.services)?;
        cgroup::set_share(&paths.at("/sys/fs/cgroup/system"), shares.system)?;
        let most = budget.for_services();
        cgroup::keep_from_services(&paths.cgroups(), most.memory, most.pids)
    });
    problems.extend(groups.err().map(Problem::of_gateway));

    let usage = match Usage::open(&paths, &data, now()) {
        Ok((usage, told)) => {
            problems.extend(told.into_iter().map(Problem::of_gateway));
            Some(usage)
        }
        Err(text) => {
            let text = format!("what services use is not accounted: {text}");
            problems.push(Problem::of_gateway(text));
            None
        }
    };

    let (kernel_log, deaf) = KernelLog::open(&paths.at("/dev/kmsg"));
    problems.extend(deaf.map(Problem::of_gateway));
    let logs = Arc::new(Logs::new(paths.at("/run/hearth/logs")));
    if !congestion::is_told(&paths) {
        let text = "this kernel does not tell who waits for what (PSI, psi=1): congestion of processor, \
                    memory and disk is not seen";
        problems.push(Problem::of_gateway(text.to_owned()));
    }
    let (pressure, untold) = Pressure::open(&paths);
    if let Some(text) = untold {
        log::warn!("congestion: {text}");
    }
    let events = Arc::new(Events::open(&paths));
    let place = match storage::look(&paths, &data) {
        Ok((place, size)) => {
            budget.total.storage = size;
            Ok(place)
        }
        Err(text) => {
            problems.push(Problem::of_gateway(text.clone()));
            Err(text)
        }
    };
    let mut core = Core {
        machine: Machine::new(budget, table, register.ranking().to_vec()),
        register,
        kept,
        store,
        firmware: host::firmware(&paths),
        found,
        problems,
        init,
        netpath: Netpath::new(paths.at("/run/hearth/netpath.sock")),
        logs: Arc::clone(&logs),
        events: Arc::clone(&events),
        kernel_log,
        notify: Listener::new(),
        wan: WanStatus::default(),
        mover,
        renumbered_at: None,
        charged: BTreeMap::new(),
        waiters: Vec::new(),
        status_waiters: Vec::new(),
        forwards: Forwards::new(kept_forwards),
        forward_waiters: Vec::new(),
        looks: Looks::default(),
        guarantee_fault: None,
        rank_faults: BTreeMap::new(),
        usage,
        watcher: Watcher::new(pressure),
        alarm: Alarm::new().map_err(|e| format!("its timer: {}", reason(&e)))?,
        leave_at: None,
        starter: Starter {
            paths,
            gateway,
            data,
            place,
        },
    };
    core.tell_problems();
    core.keep_resolvers();
    for (record, fds) in greeting {
        core.heard_from_init(record, fds)
            .map_err(|lost| format!("hearth-init: {lost}"))?;
    }
    core.end_unsuited();
    core.step(Event::InitWelcomeEnd)
        .map_err(|lost| format!("hearth-init: {lost}"))?;
    let file = core.starter.paths.planned_for();
    if renumber::is_outdated(&file, &core.starter.gateway) {
        core.relink()
            .map_err(|lost| format!("hearth-init: {lost}"))?;
    } else {
        core.note_plans();
    }

    // Only now: whoever asks before would get a table that is not there yet.
    let listener = server::listen(&core.starter.paths)?;
    let records = usage::folder(&core.starter.paths);
    let starter = &core.starter;
    let places = doctor::Places {
        paths: starter.paths.clone(),
        lan: starter.gateway.lan.interface.clone(),
        wan: starter.gateway.wan.interface.clone(),
        home: starter.gateway.lan.resolver,
        data: starter.data.clone(),
    };
    let paths = core.starter.paths.clone();
    let (requests, queue) = mpsc::channel(REQUESTS_MAX);
    tokio::spawn(server::serve(
        listener,
        routes(Door {
            requests,
            logs,
            events,
            places,
            records,
            paths,
        }),
    ));
    log::info!("the API is open");
    Ok(core.serve(queue, term).await)
}

/// The household's configuration, or the firmware's where there is none or it can not be used.
pub fn configuration(paths: &Paths, problems: &mut Vec<Problem>) -> Result<GatewayConfig, String> {
    let mut last = String::new();
    for file in paths.configurations() {
        let parsed = match read_text(&file, STATE_MAX) {
            Ok(text) => GatewayConfig::parse(&file.to_string_lossy(), &text)
                .map_err(|errors| errors.to_string()),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            Err(e) => Err(could_not("read", &file, &e)),
        };
        match parsed {
            Ok(gateway) => return Ok(gateway),
            Err(text) => {
                problems.extend(
                    text.lines()
                        .map(|line| Problem::of_gateway(line.to_owned())),
                );
                last = text;
            }
        }
    }
    Err(format!("there is no usable gateway.toml; {last}"))
}

fn connect_init() -> Result<Channel, String> {
    let open = || {
        let socket = sys::fd::inherited(MANAGER_INIT_FD)?;
        sys::fd::set_nonblocking(socket.as_fd())?;
        Channel::new(socket)
    };
    open().map_err(|e: std::io::Error| {
        let why = reason(&e);
        format!("no socket to hearth-init on descriptor {MANAGER_INIT_FD}: {why}; hearth-init starts this program")
    })
}

async fn greet(init: &mut Channel) -> Result<Greeting, String> {
    let lost = |lost| format!("hearth-init: {lost}");
    init.send(
        &ToInit::Hello {
            version: PROTOCOL_VERSION,
        },
        Vec::new(),
    )
    .map_err(lost)?;
    let told = async {
        let mut told = Greeting::new();
        loop {
            match init.next::<FromInit>().await.map_err(lost)? {
                (FromInit::WelcomeEnd, _) => return Ok(told),
                (FromInit::Welcome { version }, _) if version != PROTOCOL_VERSION => {
                    return Err(format!(
                        "hearth-init speaks protocol version {version}, this manager \
                         {PROTOCOL_VERSION}; install matching firmware"
                    ));
                }
                (FromInit::Refused { id: None, reason }, _) => return Err(reason.to_string()),
                other => told.push(other),
            }
        }
    };
    timeout(Duration::from_millis(INIT_ANSWER_MS), told)
        .await
        .unwrap_or_else(|_| Err("hearth-init did not answer the greeting".to_owned()))
}

/// Every package under its number.
fn table(
    found: &BTreeMap<ServiceName, Found>,
    gateway: &GatewayConfig,
    register: &mut Register,
    problems: &mut Vec<Problem>,
) -> Vec<(ServiceId, Package, Wanted)> {
    let mut table = Vec::new();
    // What is for guests comes with them.
    let suited = |package: &Found| package.manifest.suits(gateway);
    for (name, package) in found.iter().filter(|(_, package)| suited(package)) {
        match register.number(name) {
            Ok(id) => {
                let manifest = package.manifest.clone();
                let by_itself = if manifest.autostart() {
                    Wanted::Running
                } else {
                    Wanted::Stopped
                };
                let wanted = register.wanted(name).unwrap_or(by_itself);
                let link = link(&manifest, gateway, id);
                table.push((id, Package { manifest, link }, wanted));
            }
            Err(full) => problems.push(Problem {
                package: Some(name.to_string()),
                text: format!("the package {name} has no number: {full}"),
            }),
        }
    }
    table
}

/// How netpath links a service on this gateway.
pub fn link(manifest: &Manifest, gateway: &GatewayConfig, id: ServiceId) -> Option<Link> {
    let address = manifest.address(gateway, id)?;
    let policy = match manifest.network() {
        Network::None => return None,
        Network::Lan => NetworkPolicy::Lan,
        Network::Wan => NetworkPolicy::Wan,
    };
    Some(match manifest.link() {
        LinkKind::Routed => Link::Routed { address, policy },
        LinkKind::Bridged => Link::Bridged {
            address,
            prefix: gateway.lan.prefix,
            policy,
        },
        LinkKind::Guest => Link::Bridged {
            address,
            prefix: gateway.guest.as_ref()?.prefix,
            policy,
        },
    })
}

//! From flags or a manifest to a plan, its limits, and what of it can not be had here.

use super::args::{NetworkArg, RunArgs};
use super::gates;
use crate::limits::{RUN_OPEN_FILES, RUN_TMP_MIB, RUN_UID};
use crate::outside::cgroup::Limits;
use crate::outside::{FIRST_ID, Ids};
use crate::steps::landlock;
use crate::sys::{clone, process};
use hearth_model::gate::Gate;
use hearth_model::gateway::GatewayConfig;
use hearth_model::limits::{PLAN_VERSION, UID_COUNT};
use hearth_model::manifest::{Grant, Manifest, Network};
use hearth_model::plan::{FirstProcess, Identity, Plan, Ports, SeccompPlan, TcpPlan};
use hearth_model::{Bytes, MilliCpu, ServiceId, ServiceName};
use serde::Serialize;
use std::fs;
use std::path::Path;

/// Values for `${lan.address}` and the like, where no gateway is: those of a new one.
const GATEWAY: &str = include_str!("../../../board/common/gateway.toml");

/// What a sandbox on a gateway has and this one has not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NotApplied {
    /// What.
    pub what: String,
    /// Why not.
    pub why: String,
}

/// Collects what is not applied.
pub type Missing = Vec<NotApplied>;

/// Adds one.
pub fn miss(missing: &mut Missing, what: impl Into<String>, why: impl Into<String>) {
    missing.push(NotApplied {
        what: what.into(),
        why: why.into(),
    });
}

/// A plan for this machine.
#[derive(Debug)]
pub struct Prepared {
    /// The plan.
    pub plan: Plan,
    /// Its limits, for the control group.
    pub limits: Limits,
    /// Its ids.
    pub ids: Ids,
    /// What it may open, reach and bind, for the control group.
    pub gate: Gate,
    /// What it lacks.
    pub missing: Missing,
}

/// Makes the plan.
///
/// # Errors
/// A sentence for a person.
pub fn prepare(args: &RunArgs) -> Result<Prepared, String> {
    let mut missing = Missing::new();
    let manifest = match &args.manifest {
        Some(file) => Some(read_manifest(file)?),
        None => None,
    };
    let mut plan = match &args.plan {
        Some(file) => read_plan(file)?,
        None => from_flags(args, manifest.as_ref())?,
    };
    // Whoever wrote a plan does not know where it is run.
    plan.empty_network = args.network == NetworkArg::None;
    plan.identity = if maps_a_range() {
        Identity::OwnRange
    } else {
        Identity::Caller
    };
    let as_on_a_gateway = args.as_pid_1 || args.manifest.is_some() || args.plan.is_some();
    plan.first = match as_on_a_gateway {
        true => FirstProcess::Program,
        false => FirstProcess::Reaper,
    };
    plan.check().map_err(|error| error.to_string())?;
    let ids = match plan.identity {
        Identity::OwnRange => Ids::Range,
        Identity::Caller => Ids::Caller {
            uid: plan.uid,
            gid: plan.gid,
        },
    };
    kernel(&mut missing, plan.identity);
    if let Some(manifest) = &manifest {
        gateways(&mut missing, manifest, &args.network);
    }
    Ok(Prepared {
        limits: limits(args, manifest.as_ref()),
        gate: gates::gate(&plan, manifest.as_ref(), &args.network),
        plan,
        ids,
        missing,
    })
}

fn read_manifest(file: &Path) -> Result<Manifest, String> {
    let name = file.display().to_string();
    let text = fs::read_to_string(file).map_err(|error| format!("{name}: {error}"))?;
    Manifest::parse(&name, &text).map_err(|errors| errors.to_string())
}

fn read_plan(file: &Path) -> Result<Plan, String> {
    let bytes = fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
    Plan::decode(&bytes).map_err(|error| format!("{}: {error}", file.display()))
}

/// What a first service of a new gateway would be told: numbers and addresses for placeholders.
fn gateway() -> Result<(GatewayConfig, ServiceId), String> {
    let config =
        GatewayConfig::parse("gateway.toml", GATEWAY).map_err(|error| error.to_string())?;
    let id = ServiceId::new(0).map_err(|error| error.to_string())?;
    Ok((config, id))
}

fn from_flags(args: &RunArgs, manifest: Option<&Manifest>) -> Result<Plan, String> {
    let root = std::path::absolute(&args.root)
        .map_err(|error| format!("{}: {error}", args.root.display()))?;
    let root = root.to_str().ok_or("--root: the path is not UTF-8")?;
    let mut env = usual_environment();
    let mut exec = args.command.clone();
    let name = match manifest {
        Some(manifest) => manifest.name().clone(),
        None => ServiceName::new("sandbox").map_err(|error| error.to_string())?,
    };
    if let Some(manifest) = manifest {
        let (config, id) = gateway()?;
        if exec.is_empty() {
            exec = manifest.exec_on(&config, id);
        }
        set_all(&mut env, manifest.env_on(&config, id));
        let own = ("HEARTH_SERVICE".to_owned(), name.as_str().to_owned());
        set_all(&mut env, vec![own]);
    }
    set_all(&mut env, args.env.clone());
    let uid = args
        .uid
        .or(manifest.map(Manifest::user))
        .unwrap_or_else(own_uid);
    Ok(Plan {
        version: PLAN_VERSION,
        name,
        root: root.into(),
        binds: args.binds(),
        tmp_size: Bytes::mib(RUN_TMP_MIB),
        exec,
        env,
        working_folder: args.chdir.clone(),
        uid,
        gid: uid,
        open_files_max: RUN_OPEN_FILES,
        seccomp: seccomp(args, manifest),
        empty_network: true,
        tcp: TcpPlan {
            bind: Ports::Any,
            connect: Ports::Any,
        },
        identity: Identity::OwnRange,
        first: FirstProcess::Program,
    })
}

/// The caller's own id where it is an ordinary user's.
fn own_uid() -> u32 {
    match process::effective_uid() {
        uid @ 1..=65_534 => uid,
        _ => RUN_UID,
    }
}

/// PATH and HOME as on a gateway; the terminal's kind, which is no secret and programs on it need.
fn usual_environment() -> Vec<(String, String)> {
    let variable = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let mut env = vec![
        variable(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        ),
        variable("HOME", "/tmp"),
    ];
    if let Ok(terminal) = std::env::var("TERM") {
        env.push(("TERM".into(), terminal));
    }
    env
}

/// Later values replace earlier ones.
fn set_all(env: &mut Vec<(String, String)>, values: Vec<(String, String)>) {
    for (name, value) in values {
        env.retain(|(known, _)| *known != name);
        env.push((name, value));
    }
}

/// The manifest's policies and the flags'; without either, what a command line needs.
fn seccomp(args: &RunArgs, manifest: Option<&Manifest>) -> SeccompPlan {
    let mut policies = args.policy.clone();
    let mut extra = args.allow.clone();
    match manifest {
        Some(manifest) => {
            policies.extend_from_slice(manifest.policies());
            extra.extend(
                manifest
                    .extra_syscalls()
                    .iter()
                    .map(|call| call.name.clone()),
            );
        }
        None if policies.is_empty() => {
            policies.push("exec-children".into());
            if args.network != NetworkArg::None {
                policies.extend(["network-client".into(), "network-server".into()]);
            }
        }
        None => {}
    }
    policies.retain(|name| name != "base"); // it is always there
    SeccompPlan { policies, extra }
}

fn limits(args: &RunArgs, manifest: Option<&Manifest>) -> Limits {
    let percent = |percent: u32| MilliCpu(percent.saturating_mul(10));
    let manifests_memory = manifest.map(Manifest::memory_max);
    let asked_memory = args.memory.map(Bytes::mib);
    Limits {
        memory: asked_memory
            .or(manifests_memory)
            .unwrap_or(Bytes::mib(args.memory_mib())),
        cpu: args
            .cpu
            .map(percent)
            .or(manifest.and_then(Manifest::cpu_max)),
        pids: args
            .pids
            .or(manifest.map(Manifest::pids_max))
            .unwrap_or(args.pids()),
    }
}

/// Whether this process can map [`UID_COUNT`] ids from [`FIRST_ID`] on: root can where they exist.
fn maps_a_range() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    process::effective_uid() == 0 && covers(&map, FIRST_ID, UID_COUNT)
}

/// Whether a line of a uid_map (user_namespaces(7)) has all ids from `first` on.
fn covers(map: &str, first: u32, count: u32) -> bool {
    let (first, end) = (u64::from(first), u64::from(first) + u64::from(count));
    map.lines().any(|line| {
        let numbers: Vec<u64> = line
            .split_whitespace()
            .filter_map(|word| word.parse().ok())
            .collect();
        matches!(numbers.as_slice(), [inside, _, length]
            if *inside <= first && end <= inside.saturating_add(*length))
    })
}

/// What this kernel and this user lack.
fn kernel(missing: &mut Missing, identity: Identity) {
    match landlock::kernel_level() {
        0 => miss(
            missing,
            "Landlock",
            "this kernel has none, or it is not in its lsm= list",
        ),
        level => {
            let kernel = format!("this kernel has level {level} of {}", landlock::LEVEL_MAX);
            for what in landlock::missing(level) {
                miss(missing, format!("Landlock: {what}"), kernel.clone());
            }
        }
    }
    if !clone::has_time_namespaces() {
        miss(
            missing,
            "a time namespace of its own",
            "this kernel has none",
        );
    }
    match identity {
        Identity::OwnRange => {}
        Identity::Caller => miss(
            missing,
            "user ids of its own",
            "that takes root: outside it is your user, and your other groups stay",
        ),
    }
}

/// What only a gateway has.
fn gateways(missing: &mut Missing, manifest: &Manifest, network: &NetworkArg) {
    let here = "no gateway runs here";
    if manifest.network() != Network::None && *network == NetworkArg::None {
        let why = "no gateway runs here: it has loopback alone; --network host gives it yours";
        miss(missing, "access.network", why);
    }
    for listen in manifest.listen() {
        miss(missing, format!("access.listen {listen}"), here);
    }
    for (grant, name) in [(Grant::Api, "api"), (Grant::Resolvers, "resolvers")] {
        if manifest.grants(grant) {
            miss(missing, format!("access.grants {name}"), here);
        }
    }
    for device in manifest.devices() {
        let path = device.path();
        miss(
            missing,
            format!("access.devices {path}"),
            format!("give it: --bind {path} {path}"),
        );
    }
    if manifest.memory_reserve() > Bytes(0) {
        miss(missing, "resources.memory.reserve", here);
    }
    if manifest.cpu_reserve() > MilliCpu(0) {
        miss(missing, "resources.cpu.reserve", here);
    }
    miss(
        missing,
        "access.data: a folder that stays",
        "give one: --bind FOLDER /data",
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_must_be_mapped_whole() {
        let whole = "         0          0 4294967295\n";
        assert!(covers(whole, FIRST_ID, UID_COUNT));
        assert!(!covers("0 1000 1\n", FIRST_ID, UID_COUNT));
        assert!(!covers(
            &format!("0 0 {}\n", FIRST_ID + 5),
            FIRST_ID,
            UID_COUNT
        ));
        assert!(!covers("nonsense\n", FIRST_ID, UID_COUNT));
    }

    #[test]
    fn later_variables_replace_earlier_ones() {
        let mut env = usual_environment();
        set_all(&mut env, vec![("HOME".into(), "/data".into())]);
        let homes: Vec<_> = env.iter().filter(|(name, _)| name == "HOME").collect();
        assert_eq!(homes, [&("HOME".to_owned(), "/data".to_owned())]);
    }

    #[test]
    fn placeholders_have_a_new_gateways_values() {
        assert!(gateway().is_ok());
    }
}

//! `hearth-netpath`: forwards between the home, the Internet and the services.
//!
//! Usage: `hearth-netpath [--config FILE] [--networks FILE] [--queues FILE] [--run-dir FOLDER]
//! [--cgroup FOLDER]`. Without `--config` it reads the household's `/data/hearth/gateway.toml`, or, where there is none or it is wrong,
//! the firmware's `/etc/hearth/gateway.toml`; over it, what the manager has moved
//! (`/data/hearth/state/networks.toml`). SIGTERM ends it and leaves devices and links in place; SIGUSR1 logs
//! what was dropped and why.
#![deny(unsafe_code)]

mod edge;
mod sys;

use edge::Gateway;
use hearth_model::gateway::GatewayConfig;
use hearth_model::networks::Networks;
use hearth_model::queues::QueueData;
use std::io::Write;
use std::process::ExitCode;

const FIRMWARE_CONFIG: &str = "/etc/hearth/gateway.toml";
const HOUSEHOLD_CONFIG: &str = "/data/hearth/gateway.toml";
const FIRMWARE_QUEUES: &str = "/etc/hearth/queues.toml";
const HOUSEHOLD_QUEUES: &str = "/data/hearth/queues.toml";
const NETWORKS: &str = "/data/hearth/state/networks.toml";
const RUN_FOLDER: &str = "/run/hearth";
/// Forwarding's cgroup, which PID 1 makes.
const CGROUP: &str = "/sys/fs/cgroup/forwarding";

fn main() -> ExitCode {
    log_to_kernel();
    let (mut config, mut queues) = (None, None);
    let mut networks = NETWORKS.to_owned();
    let mut run_folder = RUN_FOLDER.to_owned();
    let mut cgroup = CGROUP.to_owned();
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match (word.as_str(), words.next()) {
            ("--config", Some(path)) => config = Some(path),
            ("--networks", Some(path)) => networks = path,
            ("--queues", Some(path)) => queues = Some(path),
            ("--run-dir", Some(path)) => run_folder = path,
            ("--cgroup", Some(path)) => cgroup = path,
            (_, _) => {
                log::error!(
                    "unknown argument {word:?}; usage: [--config FILE] [--networks FILE] [--queues FILE] \
                     [--run-dir FOLDER] [--cgroup FOLDER]"
                );
                return ExitCode::from(2);
            }
        }
    }
    let read = match config {
        Some(path) => read(&path),
        None => household().or_else(|| read(FIRMWARE_CONFIG)),
    };
    let Some(configured) = read else {
        return ExitCode::FAILURE;
    };
    let queues = match queues {
        Some(path) => read_queues(&path),
        None => household_queues().or_else(|| read_queues(FIRMWARE_QUEUES)),
    };
    let config = moved(&networks).applied_to(&configured);
    let done = Gateway::open(config, queues, &run_folder, &cgroup)
        .map_err(|e| e.to_string())
        .and_then(|mut gateway| gateway.run().map_err(|e| e.to_string()));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            log::error!("{e}");
            ExitCode::FAILURE
        }
    }
}

/// The household's configuration, if it has a good one.
fn household() -> Option<GatewayConfig> {
    if !std::path::Path::new(HOUSEHOLD_CONFIG).exists() {
        return None;
    }
    let config = read(HOUSEHOLD_CONFIG);
    if config.is_none() {
        log::error!("{HOUSEHOLD_CONFIG} is not used; going on with {FIRMWARE_CONFIG}");
    }
    config
}

/// What has moved; nothing where there is no such file. The manager tells people of a damaged one.
fn moved(path: &str) -> Networks {
    match std::fs::read_to_string(path) {
        Ok(text) => Networks::parse(path, &text).unwrap_or_else(|e| {
            log::error!("{e}; no network has moved");
            Networks::default()
        }),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Networks::default(),
        Err(e) => {
            log::error!("{path}: {e}; no network has moved");
            Networks::default()
        }
    }
}

fn read(path: &str) -> Option<GatewayConfig> {
    let text = std::fs::read_to_string(path)
        .inspect_err(|e| log::error!("{path}: {e}"))
        .ok()?;
    GatewayConfig::parse(path, &text)
        .inspect_err(|errors| errors.0.iter().for_each(|line| log::error!("{line}")))
        .ok()
}

/// The household's sharing of the line, if it has a good one.
fn household_queues() -> Option<QueueData> {
    if !std::path::Path::new(HOUSEHOLD_QUEUES).exists() {
        return None;
    }
    let data = read_queues(HOUSEHOLD_QUEUES);
    if data.is_none() {
        log::error!("{HOUSEHOLD_QUEUES} is not used; going on with {FIRMWARE_QUEUES}");
    }
    data
}

fn read_queues(path: &str) -> Option<QueueData> {
    let text = std::fs::read_to_string(path)
        .inspect_err(|e| log::error!("{path}: {e}"))
        .ok()?;
    QueueData::parse(path, &text)
        .inspect_err(|errors| errors.0.iter().for_each(|line| log::error!("{line}")))
        .ok()
}

/// One line a record, with the kernel's level in front: stderr is /dev/kmsg (syslog(2)).
fn log_to_kernel() {
    env_logger::Builder::new()
        .filter_level(log::LevelFilter::Info)
        .format(|line, record| {
            let level = match record.level() {
                log::Level::Error => 3,
                log::Level::Warn => 4,
                log::Level::Info => 6,
                log::Level::Debug | log::Level::Trace => 7,
            };
            writeln!(line, "<{level}>hearth-netpath: {}", record.args())
        })
        .init();
}

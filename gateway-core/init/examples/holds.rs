//! For `scripts/bench manager`: what runs as hearth-manager below a hearth-init that is measured alone.
//!
//! `holds PLAN COUNT` starts so many services with the same plan (a file that `starts plan` of `sandbox/examples`
//! writes), without a network, and then only reads what PID 1 says. Each is started again after any end, at once
//! where it has run for half a second: as the first end of a service that says nothing of restarts is.

#[path = "../../manager/tests/support/record.rs"]
#[allow(
    dead_code,
    missing_docs,
    clippy::multiple_unsafe_ops_per_block,
    clippy::unwrap_used,
    clippy::indexing_slicing
)]
mod record;

use hearth_model::limits::{MANAGER_INIT_FD, PROTOCOL_VERSION};
use hearth_model::protocol::{
    ActiveWhen, Asked, FromInit, NetworkNs, Notify, RestartPolicy, StartService, ToInit,
};
use hearth_model::{ServiceId, ServiceName};
use std::error::Error;
use std::fs::{self, File};
use std::os::fd::{FromRawFd, OwnedFd};

/// The first wait of every end, however many there were; never given up.
const RESTART: RestartPolicy = RestartPolicy {
    delay_max_ms: RestartPolicy::DEFAULT.delay_min_ms,
    retries_max: 0,
    ..RestartPolicy::DEFAULT
};

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [plan, count] = words.as_slice() else {
        return Err("usage: holds PLAN COUNT".into());
    };
    // SAFETY: PID 1 has made the descriptor for this program, which names it here only.
    let socket = unsafe { OwnedFd::from_raw_fd(MANAGER_INIT_FD) };
    let version = PROTOCOL_VERSION;
    record::send(&socket, &ToInit::Hello { version }, &[]);
    while let Some((told, _fds)) = record::receive::<FromInit>(&socket) {
        match told {
            FromInit::WelcomeEnd => start(&socket, plan, count.parse()?)?,
            FromInit::Refused { id, reason } => eprintln!("holds: service {id:?}: {reason}"),
            FromInit::Welcome { .. }
            | FromInit::Service { .. }
            | FromInit::Status { .. }
            | FromInit::System { .. }
            | FromInit::Probed { .. } => {}
        }
    }
    Ok(())
}

fn start(socket: &OwnedFd, plan: &str, count: u16) -> Result<(), Box<dyn Error>> {
    for number in 1..=count {
        let name = format!("bench{number}");
        let cgroup = format!("/sys/fs/cgroup/services/{name}");
        fs::create_dir_all(&cgroup)?;
        let service = StartService {
            id: ServiceId::new(number)?,
            name: ServiceName::new(&name)?,
            restart: RESTART,
            stop_signal: 15,
            stop_grace_ms: 1000,
            network: NetworkNs::Empty,
            notify: Notify::None,
            active: ActiveWhen::Executed,
            asked: Asked::Policy,
            depth: 0,
        };
        let fds = [OwnedFd::from(File::open(plan)?), File::open(cgroup)?.into()];
        record::send(socket, &ToInit::Start(service), &[&fds[0], &fds[1]]);
    }
    Ok(())
}

//! Who is charged for the packets of services: the thread that takes them from a service's link belongs
//! into the service's cgroup. netpath makes the link and names the thread; the cgroup is ours.

use super::Core;
use super::paths::{could_not, read_text, reason};
use crate::limits::{KERNEL_FILE_MAX, THREAD_MOVE_TRIES, THREAD_MOVE_WAIT};
use hearth_model::ServiceId;
use hearth_model::api::ForwardingJson;
use hearth_model::poll::PollThread;
use hearth_model::protocol::{Charged, NetReport};
use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

/// Whether this is a kernel thread that takes packets.
fn takes_packets(thread: u32) -> bool {
    let line = fs::read_to_string(format!("/proc/{thread}/stat")).unwrap_or_default();
    PollThread::of_line(&line).is_some()
}

/// Moves a thread into a cgroup. The kernel refuses one that has not run yet (EINVAL); it will in a
/// moment.
fn enter(folder: &Path, thread: u32) -> io::Result<()> {
    let file = folder.join("cgroup.procs");
    let mut done = fs::write(&file, thread.to_string());
    for _ in 1..THREAD_MOVE_TRIES {
        match &done {
            Err(e) if e.kind() == ErrorKind::InvalidInput => std::thread::sleep(THREAD_MOVE_WAIT),
            Ok(()) | Err(_) => return done,
        }
        done = fs::write(&file, thread.to_string());
    }
    done
}

/// Puts the thread of a service's link into its cgroup, where it does not count as one of the processes
/// that the service may have.
fn charge(folder: &Path, thread: u32, pids_max: u32) -> Result<(), String> {
    if !takes_packets(thread) {
        return Err(format!("number {thread} is no thread that takes packets"));
    }
    enter(folder, thread).map_err(|e| could_not("move its thread into", folder, &e))?;
    let file = folder.join("pids.max");
    let pids = pids_max.saturating_add(1).to_string();
    fs::write(&file, pids).map_err(|e| could_not("write", &file, &e))
}

/// Takes the threads out of a service's cgroup, which can not be removed with them.
pub fn discharge(folder: &Path) {
    let Some(root) = folder.parent().and_then(Path::parent) else {
        return;
    };
    let inside = read_text(&folder.join("cgroup.procs"), KERNEL_FILE_MAX).unwrap_or_default();
    let numbers = inside.lines().filter_map(|line| line.parse().ok());
    for thread in numbers.filter(|&number| takes_packets(number)) {
        if let Err(e) = enter(root, thread) {
            // Its link may have gone, and it with that.
            log::debug!("thread {thread} of {}: {}", folder.display(), reason(&e));
        }
    }
}

impl Core {
    /// netpath has made a service's link, or has it still; `thread` takes its packets.
    pub(super) fn charge(&mut self, id: ServiceId, thread: Option<u32>) {
        let Some(row) = self.machine.service(id) else {
            return;
        };
        let Some(package) = &row.package else { return };
        let folder = self.starter.paths.cgroup(&row.name);
        let done = match thread {
            Some(thread) => charge(&folder, thread, package.manifest.limits().pids_max),
            None => Err("hearth-netpath found no thread for its link".to_owned()),
        };
        if let Err(why) = &done {
            log::warn!(
                "service {}: its packets are charged to others: {why}",
                row.name
            );
        }
        self.charged.insert(id, done);
    }

    /// Who is charged for what now.
    pub(super) fn forwarding(&self, report: Option<NetReport>) -> ForwardingJson {
        let mut said = ForwardingJson::default();
        match report.map(|report| report.charged) {
            Some(Charged::Forwarding { weight }) => said.weight = Some(weight),
            Some(Charged::Anyone(fault)) => said.lacking.push(format!(
                "forwarding is charged to whoever runs, and may starve services: {fault}"
            )),
            // That netpath does not answer is told elsewhere.
            None => {}
        }
        for (id, done) in &self.charged {
            let Some(row) = self.machine.service(*id).filter(|row| row.is_running()) else {
                continue;
            };
            match done {
                Ok(()) => said.charged.push(row.name.to_string()),
                Err(why) => said.lacking.push(format!(
                    "packets to {} are charged to forwarding: {why}",
                    row.name
                )),
            }
        }
        said
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_thread_of_the_kernel_is_moved() {
        // given a cgroup and a process that is no thread of the kernel: this one
        let folder = tempfile::tempdir().unwrap();
        let procs = folder.path().join("cgroup.procs");
        fs::write(&procs, "").unwrap();
        // when it is named, then it is not moved
        let error = charge(folder.path(), std::process::id(), 4).unwrap_err();
        assert!(error.contains("no thread that takes packets"), "{error}");
        assert_eq!(fs::read_to_string(&procs).unwrap(), "");
        assert!(!folder.path().join("pids.max").exists());
    }
}

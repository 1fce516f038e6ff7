//! What wakes the manager where somebody waits for processor, memory or disk: triggers of the kernel (kernel
//! document psi). A gateway on which nobody waits is not asked.

use super::paths::{Paths, reason};
use crate::limits::{STALL_US, STALL_WINDOW_US};
use crate::machine::congestion::rhythm::Triggers;
use crate::sys;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// The resources that have one, as `/proc/pressure` names them.
const RESOURCES: [&str; 3] = ["cpu", "memory", "io"];

/// A trigger of each resource of the whole machine. It fires where all of them together wait as long as one would
/// have to, so it misses nobody, and there are as many descriptors whatever runs.
#[derive(Debug)]
pub struct Pressure {
    triggers: Vec<AsyncFd<OwnedFd>>,
}

impl Pressure {
    /// Sets them; where one is refused there are none, and the second value says why.
    #[must_use]
    pub fn open(paths: &Paths) -> (Pressure, Option<String>) {
        let mut triggers = Vec::new();
        for resource in RESOURCES {
            let path = paths.at("/proc/pressure").join(resource);
            match trigger(&path) {
                Ok(trigger) => triggers.push(trigger),
                Err(error) => {
                    let (path, why) = (path.display(), reason(&error));
                    let text = format!(
                        "the kernel refuses a trigger in {path} ({why}): who waits for what is looked at every \
                         second, also while nobody does"
                    );
                    let triggers = Vec::new();
                    return (Pressure { triggers }, Some(text));
                }
            }
        }
        (Pressure { triggers }, None)
    }

    /// Whether the kernel tells by itself.
    #[must_use]
    pub fn triggers(&self) -> Triggers {
        if self.triggers.is_empty() {
            Triggers::Lacking
        } else {
            Triggers::Told
        }
    }

    /// Waits until one of them fires. Nothing is lost where the caller stops waiting.
    pub async fn next(&self) {
        let [cpu, memory, io] = self.triggers.as_slice() else {
            return core::future::pending().await;
        };
        tokio::select! {
            () = fired(cpu) => (),
            () = fired(memory) => (),
            () = fired(io) => (),
        }
    }
}

fn trigger(path: &Path) -> io::Result<AsyncFd<OwnedFd>> {
    let mut file = OpenOptions::new().read(true).write(true).open(path)?;
    // With its end, as the kernel's own example writes it: older kernels take the last byte for one.
    file.write_all(format!("some {STALL_US} {STALL_WINDOW_US}\0").as_bytes())?;
    sys::fd::watched_for_urgent(OwnedFd::from(file))
}

async fn fired(trigger: &AsyncFd<OwnedFd>) {
    match trigger.ready(Interest::PRIORITY).await {
        Ok(mut guard) => guard.clear_ready(),
        // The runtime ends, and this program with it.
        Err(_) => core::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_kernel_without_triggers_is_said_and_never_heard() {
        // given a file that takes the words and can not be polled, and none at all
        let root = tempfile::tempdir().unwrap();
        let paths = Paths::new(root.path().into());
        for text in [
            None,
            Some("some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"),
        ] {
            if let Some(text) = text {
                std::fs::create_dir_all(root.path().join("proc/pressure")).unwrap();
                std::fs::write(root.path().join("proc/pressure/cpu"), text).unwrap();
            }
            let (pressure, problem) = Pressure::open(&paths);
            assert!(problem.unwrap().contains("/proc/pressure/cpu ("));
            assert_eq!(pressure.triggers(), Triggers::Lacking);
            let wait = core::time::Duration::from_millis(10);
            assert!(tokio::time::timeout(wait, pressure.next()).await.is_err());
        }
    }
}

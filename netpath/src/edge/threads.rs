//! Who is charged for packets. Without this, whoever runs when a packet comes in carries it on and is
//! charged for the time: under a flood that is the services. With threads that take a device's packets
//! (threaded NAPI, since Linux 5.12), the scheduler decides who runs, and a cgroup's weight what for.
//!
//! The threads of the ports belong into forwarding's cgroup, which PID 1 makes and where this process
//! runs. Each service's link has a thread at the service's end, which belongs into the service's cgroup:
//! the manager makes that and moves the thread, which it is told of. What a service sends needs none: it
//! is carried on by the process that sends.
//!
//! A device's thread is known by its name alone, `napi/DEVICE-NUMBER`, and every service's device is
//! named alike, as one of the ports may be. So a link's thread is found when it is made, as the one that was
//! not there before, and written down for the next run of this process.

use super::Gateway;
use super::limits::{THREAD_FIND_TRIES, THREAD_MOVE_TRIES, THREAD_MOVE_WAIT, THREADS_LOOK_MS};
use super::services::{Services, outside};
use crate::sys;
use hearth_model::cgroup::Shares;
use hearth_model::gateway::Reserve;
use hearth_model::poll::PollThread;
use hearth_model::protocol::{ChargeFault, Charged};
use hearth_model::{MilliCpu, ServiceId, Tick};
use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};

/// A failed step, on its way to a [`ChargeFault`].
fn errno(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(libc::EIO)
}

/// The numbers of all processes and kernel threads.
fn numbers() -> io::Result<BTreeSet<u32>> {
    let entries = fs::read_dir("/proc")?.flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    Ok(numbers.collect())
}

/// Those of them that take packets, with the name of their device in its own namespace. Reads a file of each.
fn poll_threads(numbers: impl IntoIterator<Item = u32>) -> Vec<(PollThread, String)> {
    let lines = numbers
        .into_iter()
        // One that has ended meanwhile is none.
        .filter_map(|number| fs::read_to_string(format!("/proc/{number}/stat")).ok());
    lines
        .filter_map(|line| {
            let (thread, device) = PollThread::of_line(&line)?;
            Some((thread, device.to_owned()))
        })
        .collect()
}

/// Whether a thread is still there.
fn is_there(thread: PollThread, device: &str) -> bool {
    let line = fs::read_to_string(format!("/proc/{}/stat", thread.id)).unwrap_or_default();
    PollThread::of_line(&line) == Some((thread, device))
}

/// Forwarding's cgroup.
#[derive(Debug)]
pub struct Group {
    folder: PathBuf,
    weight: Result<u16, ChargeFault>,
    /// For each port, by its name.
    ports: Vec<(String, Result<(), ChargeFault>)>,
    /// When to look for the ports' threads, if something has changed.
    look_at: Option<Tick>,
}

impl Group {
    /// Gives the cgroup at `folder` its weight. Without one, forwarding goes on; the fault is told.
    pub fn open(folder: &str, reserve: &Reserve) -> Group {
        // The processor's whole time is of no account for this one.
        let weight = Shares::of(reserve, MilliCpu(0)).forwarding;
        let folder = PathBuf::from(folder);
        let weight = match write(&folder.join("cpu.weight"), &weight.to_string()) {
            Ok(()) => Ok(weight),
            Err(e) => Err(ChargeFault::Weight { errno: errno(&e) }),
        };
        if let Err(fault) = weight {
            log::warn!("{}: {fault}", folder.display());
        }
        Group {
            folder,
            weight,
            ports: Vec::new(),
            look_at: None,
        }
    }

    /// Tells that links have changed: a driver may have made its threads anew.
    pub fn changed(&mut self, now: Tick) {
        let soon = now.after_ms(THREADS_LOOK_MS);
        self.look_at = self.look_at.or(Some(soon));
    }

    /// When [`Gateway::charge_ports`] has something to do.
    pub fn look_at(&self) -> Option<Tick> {
        self.look_at
    }

    /// Lets threads of this cgroup take the packets of ports; none of `others` is one. May be repeated, as a
    /// driver may make its threads anew.
    pub fn charge(&mut self, ports: &[&str], others: &BTreeSet<PollThread>) {
        let polled: Vec<_> = ports.iter().map(|port| poll(port)).collect();
        // Once for all of them, and after each has its own.
        let threads = numbers().map(poll_threads);
        for (port, polled) in ports.iter().zip(polled) {
            let all = threads.as_ref().map_err(threads_fault);
            let done = polled.and(all).and_then(|all| {
                let own = all.iter().filter(|(_, device)| device == port);
                let own = own.map(|(thread, _)| *thread);
                self.take(own.filter(|thread| !others.contains(thread)))
            });
            self.tell(port, done);
        }
    }

    /// Keeps and tells whether a port is charged.
    fn tell(&mut self, port: &str, done: Result<(), ChargeFault>) {
        let known = self.ports.iter_mut().find(|(name, _)| name == port);
        let before = known.as_ref().map(|(_, before)| *before);
        if before != Some(done) {
            match done {
                Ok(()) => log::info!("{port}: its packets are charged to forwarding"),
                Err(fault) => {
                    log::warn!("{port}: its packets are charged to whoever runs: {fault}")
                }
            }
        }
        match known {
            Some((_, known)) => *known = done,
            None => self.ports.push((port.to_owned(), done)),
        }
    }

    /// Moves a port's threads into this cgroup.
    fn take(&self, threads: impl Iterator<Item = PollThread>) -> Result<(), ChargeFault> {
        let mut found = ChargeFault::NoThread;
        let mut moved = 0_u32;
        for thread in threads {
            match enter(&self.folder, thread.id) {
                Ok(()) => moved += 1,
                Err(e) => found = ChargeFault::Group { errno: errno(&e) },
            }
        }
        match (moved, found) {
            (0, fault) | (_, fault @ ChargeFault::Group { .. }) => Err(fault),
            (_, _) => Ok(()),
        }
    }

    /// Who is charged for packets now: forwarding, where that is so for each port.
    #[must_use]
    pub fn charged(&self) -> Charged {
        let faults = self.ports.iter().filter_map(|(_, done)| done.err());
        let no_port = self.ports.is_empty().then_some(ChargeFault::NoPort);
        match (faults.chain(no_port).next(), self.weight) {
            (None, Ok(weight)) => Charged::Forwarding { weight },
            (Some(fault), _) | (None, Err(fault)) => Charged::Anyone(fault),
        }
    }
}

fn threads_fault(error: &io::Error) -> ChargeFault {
    ChargeFault::Threads {
        errno: errno(error),
    }
}

/// Lets threads take a port's packets, wherever they belong yet.
fn poll(port: &str) -> Result<(), ChargeFault> {
    // A veth in the place of a port polls only where it may join packets; others may anyhow.
    sys::set_feature(port, sys::Feature::JoinReceived, true)
        .map_err(|e| ChargeFault::Feature { errno: errno(&e) })?;
    let attribute = format!("/sys/class/net/{port}/threaded");
    write(Path::new(&attribute), "1").map_err(|e| threads_fault(&e))
}

/// Writes to a file of the kernel.
fn write(path: &Path, value: &str) -> io::Result<()> {
    // Never created: a file that is not there is something that the kernel lacks.
    let mut file = OpenOptions::new().write(true).open(path)?;
    file.write_all(value.as_bytes())
}

/// Moves a thread into a cgroup. The kernel refuses one that has not run yet (EINVAL); it will in a
/// moment.
fn enter(folder: &Path, thread: u32) -> io::Result<()> {
    let file = folder.join("cgroup.procs");
    for _ in 1..THREAD_MOVE_TRIES {
        match write(&file, &thread.to_string()) {
            Err(e) if e.raw_os_error() == Some(libc::EINVAL) => {
                std::thread::sleep(THREAD_MOVE_WAIT);
            }
            done => return done,
        }
    }
    write(&file, &thread.to_string())
}

/// What is written down of the links' threads.
#[derive(Debug)]
pub struct Book {
    folder: PathBuf,
    device: &'static str,
}

impl Book {
    /// Kept in this folder; the service's end of each link is named `device`.
    pub fn open(run_folder: &str, device: &'static str) -> io::Result<Book> {
        let folder = Path::new(run_folder).join("threads");
        fs::create_dir_all(&folder)?;
        Ok(Book { folder, device })
    }

    fn page(&self, id: ServiceId) -> PathBuf {
        self.folder.join(id.to_string())
    }

    /// The thread of a service's link, if it is still there.
    #[must_use]
    pub fn of(&self, id: ServiceId) -> Option<PollThread> {
        self.read(&self.page(id))
    }

    fn read(&self, page: &Path) -> Option<PollThread> {
        let text = fs::read_to_string(page).ok()?;
        let (id, began) = text.trim().split_once(' ')?;
        let thread = PollThread {
            id: id.parse().ok()?,
            began: began.parse().ok()?,
        };
        is_there(thread, self.device).then_some(thread)
    }

    /// The threads of all links.
    #[must_use]
    pub fn all(&self) -> BTreeSet<PollThread> {
        let pages = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        pages.filter_map(|page| self.read(&page.path())).collect()
    }

    fn keep(&self, id: ServiceId, thread: PollThread) -> io::Result<()> {
        fs::write(self.page(id), format!("{} {}\n", thread.id, thread.began))
    }

    /// Forgets a link that is gone.
    pub fn forget(&self, id: ServiceId) {
        if let Err(e) = fs::remove_file(self.page(id))
            && e.kind() != io::ErrorKind::NotFound
        {
            log::warn!("{}: {e}", self.page(id).display());
        }
    }

    /// Lets a thread take the packets at the end of a link that the caller's network namespace has, and
    /// writes it down. The link is up. One that is there already is ended: nobody knows it.
    ///
    /// # Errors
    /// What the kernel lacks. `NoThread` also where other devices of this name got theirs at the same time,
    /// each time: then nobody knows which one is this one's.
    pub fn make(&self, id: ServiceId) -> Result<PollThread, ChargeFault> {
        let threads = |e: io::Error| threads_fault(&e);
        let devices = sys::mount_devices().map_err(threads)?;
        let folder = format!("/proc/self/fd/{}", devices.as_raw_fd());
        let attribute = format!("{folder}/class/net/{}/threaded", self.device);
        for _ in 0..THREAD_FIND_TRIES {
            let before = numbers().map_err(threads)?;
            for on in [false, true] {
                // A veth polls where it may join packets (GRO), and begins anew each time.
                sys::set_feature(self.device, sys::Feature::JoinReceived, on)
                    .map_err(|e| ChargeFault::Feature { errno: errno(&e) })?;
            }
            write(Path::new(&attribute), "1").map_err(threads)?;
            let after = numbers().map_err(threads)?;
            // Of those alone that were not there: where hundreds of services run, thousands of others are.
            let new = poll_threads(after.difference(&before).copied());
            let mut new = new.iter().filter(|(_, device)| device == self.device);
            if let (Some(&(thread, _)), None) = (new.next(), new.next()) {
                self.keep(id, thread).map_err(threads)?;
                return Ok(thread);
            }
        }
        Err(ChargeFault::NoThread)
    }
}

impl Services {
    /// The thread that takes packets from a link into the service; where there is none, it is made.
    /// `None`: they are charged to whoever brings them.
    pub fn thread(&self, id: ServiceId) -> Option<u32> {
        let known = self.threads.of(id).ok_or(ChargeFault::NoThread);
        match known.or_else(|_| self.make_thread(id)) {
            Ok(thread) => Some(thread.id),
            Err(fault) => {
                let name = outside(id);
                log::warn!(
                    "{name}: packets to its service are charged to whoever brings them: {fault}"
                );
                None
            }
        }
    }

    fn make_thread(&self, id: ServiceId) -> Result<PollThread, ChargeFault> {
        let errno = |e: io::Error| e.raw_os_error().unwrap_or(libc::EIO);
        let feature = |e| ChargeFault::Feature { errno: errno(e) };
        // The kernel lets the other end poll only for packets that may have to be joined there.
        sys::set_feature(&outside(id), sys::Feature::CutSent, false).map_err(feature)?;
        let namespace = File::open(self.pin(id)).map_err(feature)?;
        sys::enter(namespace.as_fd()).map_err(feature)?;
        let made = self.threads.make(id);
        self.go_home();
        made
    }

    /// The threads of all links.
    #[must_use]
    pub fn threads(&self) -> BTreeSet<PollThread> {
        self.threads.all()
    }
}

impl Gateway {
    /// Lets threads take the ports' packets, in forwarding's cgroup.
    pub(super) fn charge_ports(&mut self, now: Tick) {
        if self.group.look_at.is_none_or(|at| at > now) {
            return;
        }
        self.group.look_at = None;
        let links = self.services.threads();
        let (lan, wan) = (&self.config.lan.interface, &self.config.wan.interface);
        let guest = self.config.guest.as_ref().filter(|_| self.guest.is_some());
        let ports = [
            self.lan.is_some().then_some(lan),
            self.wan.is_some().then_some(wan),
            guest.map(|guest| &guest.interface),
        ];
        let ports: Vec<&str> = ports.into_iter().flatten().map(String::as_str).collect();
        self.group.charge(&ports, &links);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_so_for_each_port_is_not_promised() {
        // given a group with a weight
        let mut group = Group {
            folder: PathBuf::new(),
            weight: Ok(200),
            ports: Vec::new(),
            look_at: None,
        };
        assert_eq!(group.charged(), Charged::Anyone(ChargeFault::NoPort));
        // when both ports have threads in it, then forwarding is charged
        group.ports = vec![("eth0".into(), Ok(())), ("eth1".into(), Ok(()))];
        assert_eq!(group.charged(), Charged::Forwarding { weight: 200 });
        // when one has none, or the group no weight, then nothing is promised
        let fault = ChargeFault::Threads { errno: 95 };
        group.ports = vec![("eth0".into(), Ok(())), ("eth1".into(), Err(fault))];
        assert_eq!(group.charged(), Charged::Anyone(fault));
        let fault = ChargeFault::Weight { errno: 2 };
        group.ports = vec![("eth0".into(), Ok(()))];
        group.weight = Err(fault);
        assert_eq!(group.charged(), Charged::Anyone(fault));
    }
}

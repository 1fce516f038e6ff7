//! The loop: one thread that turns PID 1's and netpath's records, requests of the API and the clock
//! into events of the machine, and its actions into calls. It holds no policy.

pub mod api;
pub mod book;
pub mod cgroup;
pub mod channel;
pub mod charge;
pub mod congestion;
pub mod doctor;
pub mod durable;
pub mod events;
mod forwards;
pub mod gates;
mod guard;
pub mod host;
pub mod image;
pub mod journal;
pub mod kernel_log;
pub mod logs;
pub mod netpath;
pub mod notify;
pub mod packages;
pub mod paths;
pub mod pressure;
pub mod records;
mod renumber;
pub mod requests;
mod retell;
pub mod server;
pub mod start;
pub mod storage;
pub mod store;
pub mod stream;
pub mod usage;
pub mod views;

mod alarm;
mod boot;
mod health;
mod heard;
mod keep;
mod looks;
mod net;
mod netlinks;
mod people;
mod ranks;
mod top;
mod trace;
mod wishes;

pub use boot::run;

use crate::machine::forwards::Forwards;
use crate::machine::killed::Killed;
use crate::machine::networks::{self, Mover};
use crate::machine::notes::Note;
use crate::machine::register::Register;
use crate::machine::{Action, Event, Machine, Object};
use alarm::Alarm;
use channel::{Channel, Lost};
use congestion::Watcher;
use core::time::Duration;
use events::Events;
use forwards::ForwardWaiter;
use hearth_model::protocol::{FromInit, ToInit, ToNetpath, WanStatus};
use hearth_model::{ServiceId, ServiceName, Tick};
use kernel_log::KernelLog;
use logs::Logs;
use looks::{Looks, StatusWaiter};
use netpath::{NetEvent, Netpath};
use notify::Listener;
use packages::{Found, Problem};
use paths::{now, reason};
use requests::{ReplyTo, Request};
use start::Starter;
use std::collections::{BTreeMap, VecDeque};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use store::Store;
use tokio::signal::unix::Signal;
use tokio::sync::mpsc;
use usage::Usage;
use wishes::Kept;

/// netpath, as an object of what is told.
const NETPATH: Object = Object::Part("hearth-netpath");

/// Why the loop ends.
#[derive(Debug)]
pub enum End {
    /// It was asked to: SIGTERM, or a restart through the API.
    Asked,
    /// It can not go on; the text says why.
    Fatal(String),
}

/// Somebody who waits for a service to come to rest.
#[derive(Debug)]
struct Waiter {
    id: ServiceId,
    until: Tick,
    reply: ReplyTo,
}

/// Everything the loop owns.
#[derive(Debug)]
pub struct Core {
    machine: Machine,
    register: Register,
    kept: Kept,
    store: Store,
    starter: Starter,
    found: BTreeMap<ServiceName, Found>,
    problems: Vec<Problem>,
    firmware: String,
    init: Channel,
    netpath: Netpath,
    logs: Arc<Logs>,
    events: Arc<Events>,
    kernel_log: KernelLog,
    notify: Listener,
    wan: WanStatus,
    mover: Mover,
    /// When netpath was told last that its networks are others now.
    renumbered_at: Option<Tick>,
    /// Whether a service's packets are charged to it, or why not.
    charged: BTreeMap<ServiceId, Result<(), String>>,
    waiters: Vec<Waiter>,
    status_waiters: Vec<StatusWaiter>,
    forwards: Forwards,
    forward_waiters: Vec<ForwardWaiter>,
    looks: Looks,
    /// Why memory can not be guaranteed to all services together, if so.
    guarantee_fault: Option<String>,
    /// What of its rank a service does not have, and why.
    rank_faults: BTreeMap<ServiceName, String>,
    /// Accounting; none where its folder can not be used.
    usage: Option<Usage>,
    /// Who waits for what.
    watcher: Watcher,
    alarm: Alarm,
    /// When to end by request.
    leave_at: Option<Tick>,
}

/// What woke the loop.
enum Wake {
    Init(Result<(FromInit, Vec<OwnedFd>), Lost>),
    Netpath(NetEvent),
    Killed(ServiceId, Killed),
    Noted(ServiceId, Note),
    Request(Request),
    /// Somebody waits for processor, memory or disk.
    Stalled,
    Time,
    Terminate,
}

impl Core {
    /// Runs until something ends it, and keeps the accounts.
    async fn serve(&mut self, requests: mpsc::Receiver<Request>, term: Signal) -> End {
        let end = self.turn(requests, term).await;
        if let Some(usage) = &mut self.usage {
            let services = self.machine.services();
            usage.close(now(), services.map(|(id, row)| (id, &row.name)));
        }
        end
    }

    async fn turn(&mut self, mut requests: mpsc::Receiver<Request>, mut term: Signal) -> End {
        loop {
            let wait = self
                .next_deadline()
                .map(|at| Duration::from_millis(at.since_ms(now())));
            let wake = tokio::select! {
                record = self.init.next::<FromInit>() => Wake::Init(record),
                event = self.netpath.next() => Wake::Netpath(event),
                (id, note) = self.notify.next() => Wake::Noted(id, note),
                (id, killed) = self.kernel_log.next() => Wake::Killed(id, killed),
                Some(request) = requests.recv() => Wake::Request(request),
                () = self.watcher.next() => Wake::Stalled,
                rung = self.alarm.after(wait) => match rung {
                    Ok(()) => Wake::Time,
                    Err(e) => return End::Fatal(format!("its timer: {}", reason(&e))),
                },
                _ = term.recv() => Wake::Terminate,
            };
            let done = match wake {
                Wake::Init(Ok((record, fds))) => self.heard_from_init(record, fds),
                Wake::Init(Err(lost)) => return End::Fatal(format!("hearth-init: {lost}")),
                Wake::Netpath(event) => self.heard_from_netpath(event),
                Wake::Noted(id, note) => self.step(Event::Noted(id, note)),
                Wake::Killed(id, killed) => self.step(Event::Killed(id, killed)),
                Wake::Request(request) => self.request(request),
                Wake::Stalled => {
                    self.watcher.stir();
                    Ok(())
                }
                Wake::Time => self
                    .step(Event::Deadline)
                    .and_then(|()| self.move_networks(networks::Event::Deadline)),
                Wake::Terminate => return End::Asked,
            };
            if let Err(lost) = done {
                return End::Fatal(format!("hearth-init: {lost}"));
            }
            self.answer_waiters();
            self.answer_forward_waiters();
            self.account();
            self.look();
            if self.leave_at.is_some_and(|at| at <= now()) {
                return End::Asked;
            }
        }
    }

    fn next_deadline(&self) -> Option<Tick> {
        let waiters = self.waiters.iter().map(|waiter| waiter.until);
        let statuses = self.status_waiters.iter().map(|waiter| waiter.until);
        let forwards = self.forward_waiters.iter().map(|waiter| waiter.until);
        self.machine
            .next_deadline()
            .into_iter()
            .chain(waiters)
            .chain(statuses)
            .chain(forwards)
            .chain(self.looks.next_deadline())
            .chain(self.leave_at)
            .chain(self.mover.next_deadline())
            .chain(self.usage.as_ref().map(Usage::due))
            .chain([self.watcher.due()])
            .min()
    }

    fn heard_from_init(&mut self, record: FromInit, fds: Vec<OwnedFd>) -> Result<(), Lost> {
        self.hear_notes()?;
        let event = match record {
            FromInit::Service {
                id,
                name,
                status,
                lost,
            } => {
                if lost > 0 {
                    self.logs.note_lost(&name, lost);
                }
                self.take_descriptors(id, &name, fds);
                let oom_kills = self.oom_kills(&name);
                Event::InitService {
                    id,
                    name,
                    status,
                    oom_kills,
                }
            }
            FromInit::Status { id, status } => {
                let name = self.machine.service(id).map(|row| row.name.clone());
                let oom_kills = name.map_or(0, |name| self.oom_kills(&name));
                Event::InitStatus {
                    id,
                    status,
                    oom_kills,
                }
            }
            FromInit::System { unit, status } => Event::InitSystem(unit, status),
            FromInit::Probed { id, pid, exit } => self.probed(id, pid, exit),
            FromInit::Refused { id, reason } => Event::InitRefused(id, reason),
            // The greeting is over (`boot`); said again it changes nothing.
            FromInit::Welcome { .. } | FromInit::WelcomeEnd => return Ok(()),
        };
        self.step(event)
    }

    fn take_descriptors(&mut self, id: ServiceId, name: &ServiceName, fds: Vec<OwnedFd>) {
        let mut fds = fds.into_iter();
        // The cgroup folder is known by its name.
        let (output, _cgroup, notify) = (fds.next(), fds.next(), fds.next());
        if let Some(Err(e)) = output.map(|output| self.logs.pump(name, output)) {
            log::warn!("service {name}: its output can not be read: {}", reason(&e));
        }
        match notify.map(|socket| self.notify.listen(id, socket)) {
            Some(Ok(())) => {}
            Some(Err(e)) => {
                log::warn!(
                    "service {name}: its notify socket can not be read: {}",
                    reason(&e)
                );
            }
            None => self.notify.forget(id),
        }
    }

    fn oom_kills(&self, name: &ServiceName) -> u64 {
        cgroup::counters(&self.starter.paths.cgroup(name))
            .oom_kills
            .unwrap_or(0)
    }

    /// One event and all that follows from it.
    fn step(&mut self, event: Event) -> Result<(), Lost> {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            for action in self.machine.step(event, now()) {
                events.extend(self.act(action)?);
            }
        }
        Ok(())
    }

    /// Carries out one action; its outcome, where it has one at once.
    fn act(&mut self, action: Action) -> Result<Option<Event>, Lost> {
        match action {
            Action::Prepare(id) => {
                // Its group is made anew, and may have been left by a manager that was killed.
                self.last_sample(id);
                return Ok(Some(self.prepare(id)));
            }
            Action::Launch(id) => return self.launch(id),
            Action::SendStop(id) => self.init.send(&ToInit::Stop { id }, Vec::new())?,
            Action::SendRestart(id) => self.init.send(&ToInit::Restart { id }, Vec::new())?,
            Action::SendWithdraw(id) => self.init.send(&ToInit::Withdraw { id }, Vec::new())?,
            Action::Watch(id, action) => return self.watch(id, action),
            Action::SendForget(id) => {
                self.notify.forget(id);
                self.init.send(&ToInit::Forget { id }, Vec::new())?;
            }
            Action::Attach(id, link, share) => {
                self.netpath.send(&ToNetpath::Attach { id, link, share });
            }
            Action::Detach(id) => {
                self.last_sample(id);
                self.netpath.send(&ToNetpath::Detach { id });
            }
            Action::Forward(forward) => self.netpath.send(&ToNetpath::Forward(forward)),
            Action::Release(name) => self.release(&name),
            Action::Guarantee(min, low) => {
                let folder = self.starter.paths.cgroups();
                self.guarantee_fault = cgroup::guarantee(&folder, min, low).err();
            }
            Action::Rank(id, rank) => self.give_rank(id, rank),
            Action::Keep(id, wanted) => self.keep_wishes([(id, wanted)]),
            Action::Note(name, text) => self.logs.note(&name, &text),
            Action::Tell(level, object, text) => self.tell(level, &object, &text),
        }
        Ok(None)
    }

    fn found(&self, id: ServiceId) -> Result<&Found, String> {
        let name = self.machine.service(id).map(|row| &row.name);
        name.and_then(|name| self.found.get(name))
            .ok_or_else(|| "its package is gone; install it again".to_owned())
    }

    fn prepare(&mut self, id: ServiceId) -> Event {
        let outcome = self.found(id).and_then(|package| {
            let guaranteed = package.manifest.memory_reserve().0 == 0;
            match &self.guarantee_fault {
                Some(fault) if !guaranteed => Err(fault.clone()),
                Some(_) | None => self.starter.prepare(id, package),
            }
        });
        match outcome {
            Ok(()) => Event::Prepared(id),
            Err(text) => Event::Failed(id, text),
        }
    }

    fn launch(&mut self, id: ServiceId) -> Result<Option<Event>, Lost> {
        match self.found(id).and_then(|package| {
            self.starter
                .launch(id, &package.manifest, self.launch_of(id))
        }) {
            Ok((record, fds)) => {
                self.init.send(&ToInit::Start(record), fds)?;
                Ok(None)
            }
            Err(text) => Ok(Some(Event::Failed(id, text))),
        }
    }

    fn release(&mut self, name: &ServiceName) {
        if let Some(id) = self.machine.find(name.as_str()) {
            self.last_sample(id);
        }
        if let Err(e) = image::release(&self.starter.paths.image(name)) {
            // A process that PID 1 is still ending may use it; the next start takes it away.
            log::debug!("service {name}: its image stays mounted: {}", reason(&e));
        }
        if let Err(e) = cgroup::remove(&self.starter.paths.cgroup(name)) {
            log::debug!("service {name}: its cgroup stays: {}", reason(&e));
        }
        if let Err(e) = gates::remove_nodes(&self.starter.paths.devices(name)) {
            log::warn!("service {name}: its device nodes stay: {}", reason(&e));
        }
    }
}

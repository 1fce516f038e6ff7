//! The edge of PID 1: one loop, one poll. It turns signals, pipes, the manager's records and time
//! into the machines' events, and their actions into system calls. It holds no policy.

mod boot;
mod going_down;
mod manager;
mod output;
mod probe;
mod report;
mod rows;
mod spawn;
mod system;
mod throttle;

use crate::error::Fault;
use crate::limits::{
    CONSOLE_WAIT_MS, REAPS_PER_TURN, REQUESTS_PER_TURN, STALE_NOTES_MAX, SYSTEM_RESTART,
    SYSTEM_STOP_GRACE_MS, TEST_PANIC_SIGNAL,
};
use crate::machine::shutdown::{Presence, Shutdown};
use crate::machine::unit::{Action, Event, Terms};
use crate::sys::fd::{PollFd, READABLE, WRITABLE};
use crate::sys::process::Reaped;
use crate::sys::{alloc, fd, machine, process, socket};
use boot::{Booted, Trial};
use hearth_model::limits::SERVICES_MAX;
use hearth_model::protocol::{ActiveWhen, Asked, InitRefusal, ShutdownKind, SystemUnit};
use hearth_model::state::UnitState;
use hearth_model::{ServiceId, Tick};
use manager::{Left, Manager, Request};
use rows::{Announce, Process, Row};
use spawn::{ServiceFds, Spawner};
use std::os::fd::{AsFd, OwnedFd};
use system::place;

/// Signals, the manager twice (for reading and for room), the status pipes of all units, the output of all services.
const POLL_MAX: usize = 3 + SystemUnit::ALL.len() + 2 * SERVICES_MAX;

/// All that PID 1 holds.
pub struct Init {
    signals: OwnedFd,
    spawner: Spawner,
    rows: Vec<Option<Row>>,
    system: [Process; 3],
    manager: Manager,
    left: Left,
    shutdown: Shutdown,
    console_at: Option<Tick>,
    output_look_at: Tick,
    booted: Booted,
    allocations: usize,
}

/// Installs the last words, boots, and opens what the loop needs.
///
/// # Errors
/// A [`Fault`]: PID 1 can not supervise without signals and its own descriptors.
pub fn start() -> Result<Init, Fault> {
    report::install_last_words();
    let booted = boot::boot();
    report::tell_last_words();
    let now = machine::now();
    let terms = Terms {
        restart: SYSTEM_RESTART,
        active: ActiveWhen::Executed,
        stop_grace_ms: SYSTEM_STOP_GRACE_MS,
    };
    let mut init = Init {
        signals: fd::signal_fd().map_err(Fault::of("make the signal descriptor"))?,
        spawner: Spawner::open()?,
        rows: (0..SERVICES_MAX).map(|_| None).collect(),
        system: [
            Process::new(terms, now),
            Process::new(terms, now),
            Process::new(terms, now),
        ],
        manager: Manager::new(),
        left: Left::Nothing,
        shutdown: Shutdown::default(),
        console_at: Some(now.after_ms(CONSOLE_WAIT_MS)),
        output_look_at: now,
        booted,
        allocations: 0,
    };
    init.system_event(SystemUnit::Netpath, Event::Start(Asked::Policy), now);
    init.system_event(SystemUnit::Manager, Event::Start(Asked::Policy), now);
    Ok(init)
}

impl Init {
    /// Supervises for ever.
    pub fn run(&mut self) -> ! {
        self.allocations = alloc::count();
        loop {
            self.turn();
            let count = alloc::count();
            if count != self.allocations {
                // Only a debug build counts. A fault of ours, told once for each time it happens.
                log::error!("{} allocations after start-up", count - self.allocations);
                self.allocations = count;
            }
        }
    }

    fn turn(&mut self) {
        self.wait();
        let now = machine::now();
        self.on_signals(now);
        self.on_status_pipes(now);
        self.on_children(now);
        self.on_requests(now);
        self.on_output(now);
        self.on_time(now);
        self.on_shutdown(now);
        self.left = self.manager.tell(&mut self.rows, &mut self.system);
    }

    fn wait(&self) {
        let mut fds = heapless::Vec::<PollFd, POLL_MAX>::new();
        // POLL_MAX counts every descriptor that can be pushed, so there is always room.
        let _ = fds.push(fd::interest(self.signals.as_fd(), READABLE));
        if let Some(socket) = self.manager.readable() {
            let _ = fds.push(fd::interest(socket, READABLE));
        }
        if let (Left::Something, Some(socket)) = (self.left, self.manager.socket()) {
            let _ = fds.push(fd::interest(socket, WRITABLE));
        }
        let services = self.rows.iter().flatten().map(|row| &row.process);
        for pipe in services
            .chain(&self.system)
            .filter_map(Process::status_pipe)
        {
            let _ = fds.push(fd::interest(pipe.as_fd(), READABLE));
        }
        if self.manager.is_away() {
            for output in self.rows.iter().flatten().filter_map(Row::overflowing) {
                let _ = fds.push(fd::interest(output, READABLE));
            }
        }
        let timeout = self.next_deadline().map_or(-1, |at| {
            i32::try_from(at.since_ms(machine::now())).unwrap_or(i32::MAX)
        });
        if let Err(errno) = fd::poll(&mut fds, timeout) {
            log::error!("poll: {errno}");
        }
    }

    fn next_deadline(&self) -> Option<Tick> {
        let services = self.rows.iter().flatten().map(|row| &row.process);
        let units = services
            .chain(&self.system)
            .filter_map(|process| process.unit.next_deadline());
        let probes = self.rows.iter().flatten();
        units
            .chain(probes.filter_map(|row| row.probe.deadline()))
            .chain(self.console_at)
            .chain(self.output_deadline())
            .chain(self.shutdown.next_deadline())
            .min()
    }

    fn on_signals(&mut self, now: Tick) {
        while let Ok(Some(signal)) = fd::next_signal(self.signals.as_fd()) {
            match signal {
                // busybox's poweroff, halt and reboot, and ctrl-alt-del
                libc::SIGUSR1 | libc::SIGUSR2 => self.go_down(ShutdownKind::PowerOff, now),
                libc::SIGTERM | libc::SIGINT => self.go_down(ShutdownKind::Reboot, now),
                TEST_PANIC_SIGNAL if self.booted.trial == Trial::Allowed => deliberate_panic(),
                // SIGCHLD wakes the loop, which reaps anyway; nothing else is meant for PID 1.
                _ => {}
            }
        }
    }

    fn on_status_pipes(&mut self, now: Tick) {
        for index in 0..self.rows.len() {
            let event = self
                .rows
                .get_mut(index)
                .and_then(Option::as_mut)
                .and_then(|row| row.process.read_status());
            if let Some(event) = event {
                self.row_event(index, event, now);
            }
        }
        for unit in SystemUnit::ALL {
            let event = self
                .system
                .get_mut(place(unit))
                .and_then(Process::read_status);
            if let Some(event) = event {
                self.system_event(unit, event, now);
            }
        }
    }

    fn on_children(&mut self, now: Tick) {
        for _ in 0..REAPS_PER_TURN {
            let (pid, exit) = match process::reap() {
                Ok(Reaped::Child(pid, exit)) => (pid, exit),
                Ok(Reaped::AllRunning | Reaped::NoChild) => return,
                Err(errno) => return log::error!("wait: {errno}"),
            };
            // A start that failed may have been written and reaped in one turn.
            self.on_status_pipes(now);
            if self.probe_reaped(pid, exit) {
                continue;
            }
            let row = self.rows.iter_mut().position(|row| {
                row.as_ref()
                    .is_some_and(|row| row.process.unit.status().pid == pid)
            });
            if let Some(index) = row {
                let event = self
                    .rows
                    .get_mut(index)
                    .and_then(Option::as_mut)
                    .map(|row| row.process.reaped(exit));
                if let Some(event) = event {
                    self.row_event(index, event, now);
                }
                continue;
            }
            for unit in SystemUnit::ALL {
                let process = self
                    .system
                    .get_mut(place(unit))
                    .filter(|p| p.unit.status().pid == pid);
                if let Some(event) = process.map(|process| process.reaped(exit)) {
                    log::warn!("{} ended: {exit}", unit.name());
                    self.system_event(unit, event, now);
                }
            }
            // Any other is an orphan that came to PID 1: reaping it is all there is to do.
        }
    }

    fn on_requests(&mut self, now: Tick) {
        for _ in 0..REQUESTS_PER_TURN {
            let Some(request) = self.manager.next() else {
                return;
            };
            match request {
                Request::Shutdown(kind) => self.go_down(kind, now),
                Request::Start(service, _) if self.shutdown.presence() == Presence::There => {
                    self.manager
                        .refuse(Some(service.id), InitRefusal::ShuttingDown);
                }
                Request::Start(service, fds) => {
                    let (id, asked) = (service.id, service.asked);
                    match manager::place(&mut self.rows, service, fds, now) {
                        Ok(id) => self.row_event(id.index(), Event::Start(asked), now),
                        Err(reason) => self.manager.refuse(Some(id), reason),
                    }
                }
                Request::Unit(id, event) => self.on_unit_request(id, event, now),
                Request::Probe(id, pid, fds) => match fds.first() {
                    Some(plan) => self.probe(id, pid, plan, now),
                    None => self
                        .manager
                        .refuse(Some(id), InitRefusal::MissingDescriptor),
                },
                Request::Forget(id) => self.on_forget(id),
            }
        }
    }

    fn on_unit_request(&mut self, id: ServiceId, event: Event, now: Tick) {
        if self.rows.get(id.index()).is_none_or(Option::is_none) {
            self.manager.refuse(Some(id), InitRefusal::Unknown);
        } else if event == Event::Restart && self.shutdown.presence() == Presence::There {
            self.manager.refuse(Some(id), InitRefusal::ShuttingDown);
        } else {
            self.row_event(id.index(), event, now);
            self.answer(id, event);
        }
    }

    /// An end that was asked for is told of also where it changes nothing: the manager waits for a word.
    fn answer(&mut self, id: ServiceId, event: Event) {
        let row = self.rows.get_mut(id.index()).and_then(Option::as_mut);
        if let (Event::Stop | Event::Withdraw, Some(row)) = (event, row)
            && row.process.announce == Announce::Nothing
        {
            row.process.announce = Announce::Status;
        }
    }

    fn on_forget(&mut self, id: ServiceId) {
        let row = self.rows.get_mut(id.index());
        match row
            .as_ref()
            .and_then(|row| row.as_ref())
            .map(|row| row.process.unit.status().state)
        {
            None => self.manager.refuse(Some(id), InitRefusal::Unknown),
            Some(UnitState::Idle) => {
                if let Some(row) = row {
                    *row = None;
                }
            }
            Some(state) => self
                .manager
                .refuse(Some(id), InitRefusal::WrongState { state }),
        }
    }

    fn on_time(&mut self, now: Tick) {
        self.on_probe_time(now);
        for index in 0..self.rows.len() {
            if self.rows.get(index).is_some_and(Option::is_some) {
                self.row_event(index, Event::Time, now);
            }
        }
        for unit in SystemUnit::ALL {
            self.system_event(unit, Event::Time, now);
        }
        let [netpath, manager, _] = &self.system;
        let both = [netpath, manager]
            .iter()
            .all(|p| p.unit.status().state == UnitState::Active);
        if self.console_at.is_some_and(|at| both || at <= now) {
            self.console_at = None;
            self.system_event(SystemUnit::Console, Event::Start(Asked::Policy), now);
        }
    }

    fn row_event(&mut self, index: usize, event: Event, now: Tick) {
        let Some(row) = self.rows.get_mut(index).and_then(Option::as_mut) else {
            return;
        };
        let before = row.process.unit.status();
        for action in row.process.unit.step(event, now) {
            match action {
                Action::Signal => row.process.signal(row.service.stop_signal),
                Action::Kill => row.process.signal(SIGKILL),
                Action::Spawn => {
                    // What an earlier run has left there is not this one's.
                    if let Some(notify) = &row.notify {
                        socket::drain(notify.as_fd(), STALE_NOTES_MAX);
                    }
                    let fds = ServiceFds {
                        plan: row.plan.as_fd(),
                        cgroup: row.cgroup.as_fd(),
                        network: row.network.as_ref().map(AsFd::as_fd),
                        output: row.input.as_fd(),
                    };
                    let started = self.spawner.service(row.service.id, &fds);
                    let outcome = row.process.take(started);
                    // An outcome of Spawn asks for nothing but a wait.
                    row.process.unit.step(outcome, now);
                }
            }
        }
        let after = row.process.unit.status();
        if after != before {
            if row.process.announce == Announce::Nothing {
                row.process.announce = Announce::Status;
            }
            if after.last_exit != before.last_exit {
                let level = rows::level_of_an_end(after.fault);
                let name = &row.service.name;
                log::log!(
                    level,
                    "service {name}: {} ({})",
                    after.last_exit,
                    after.state
                );
            }
        }
    }
}

const SIGKILL: u8 = 9;

/// What a test asks for by [`TEST_PANIC_SIGNAL`]: it proves that a panic leaves its last words.
#[expect(clippy::panic, reason = "a panic is what the test asks for")]
fn deliberate_panic() {
    panic!("asked to by a test signal");
}

//! A PID 1 without processes: it keeps rows and output pipes, carries out each request at once, and
//! remembers what it was asked, also over a restart of the manager.

use super::record::{pair, receive, send};
use hearth_model::limits::PROTOCOL_VERSION;
use hearth_model::protocol::{
    ActiveWhen, Condemned, FromInit, InitRefusal, Notify, SystemUnit, ToInit,
};
use hearth_model::state::{Fault, LastExit, Readiness, UnitState, UnitStatus};
use hearth_model::{ServiceId, ServiceName};
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};

/// A service that this PID 1 holds.
pub struct Row {
    pub id: ServiceId,
    pub name: ServiceName,
    pub status: UnitStatus,
    /// Where the service would print.
    pub output: OwnedFd,
    read_end: OwnedFd,
    /// What came with its start: plan, cgroup, network namespace, notify socket.
    pub fds: Vec<OwnedFd>,
    notify: Option<usize>,
}

#[derive(Default)]
pub struct Table {
    pub rows: BTreeMap<ServiceId, Row>,
    /// Every request, as `start web`.
    pub asked: Vec<String>,
    /// Probes that were asked for.
    pub probes: Vec<(ServiceId, u32)>,
    socket: Option<Arc<OwnedFd>>,
    next_pid: u32,
}

pub struct Init(Arc<Mutex<Table>>);

impl Init {
    pub fn new() -> Init {
        Init(Arc::new(Mutex::new(Table {
            next_pid: 100,
            ..Table::default()
        })))
    }

    /// A new connection; the manager's end of it. The one before is closed.
    pub fn connect(&self) -> OwnedFd {
        let (ours, theirs) = pair();
        let ours = Arc::new(ours);
        self.0.lock().unwrap().socket = Some(Arc::clone(&ours));
        let table = Arc::clone(&self.0);
        std::thread::spawn(move || {
            while let Some((record, fds)) = receive::<ToInit>(&ours) {
                table.lock().unwrap().take(&ours, record, fds);
            }
        });
        theirs
    }

    pub fn with<T>(&self, look: impl FnOnce(&mut Table) -> T) -> T {
        look(&mut self.0.lock().unwrap())
    }

    /// What was asked since the last call.
    pub fn asked(&self) -> Vec<String> {
        self.with(|table| std::mem::take(&mut table.asked))
    }

    /// Tells the manager of a change that nobody asked for.
    pub fn tell(&self, name: &str, change: impl FnOnce(&mut UnitStatus)) {
        self.with(|table| {
            let socket = table.socket.clone().unwrap();
            let row = table
                .rows
                .values_mut()
                .find(|row| row.name.as_str() == name)
                .unwrap();
            change(&mut row.status);
            send(
                &socket,
                &FromInit::Status {
                    id: row.id,
                    status: row.status,
                },
                &[],
            );
        });
    }

    /// Says something to the manager.
    pub fn say(&self, record: &FromInit) {
        let socket = self.with(|table| table.socket.clone().unwrap());
        send(&socket, record, &[]);
    }

    /// Prints as the service.
    pub fn print(&self, name: &str, text: &[u8]) {
        use std::io::Write;
        let pipe = self.with(|table| {
            let row = table
                .rows
                .values()
                .find(|row| row.name.as_str() == name)
                .unwrap();
            row.output.try_clone().unwrap()
        });
        std::fs::File::from(pipe).write_all(text).unwrap();
    }
}

impl Table {
    fn name(&self, id: ServiceId) -> String {
        self.rows
            .get(&id)
            .map_or_else(|| format!("#{id}"), |row| row.name.to_string())
    }

    fn take(&mut self, socket: &OwnedFd, record: ToInit, fds: Vec<OwnedFd>) {
        match record {
            ToInit::Hello { .. } => {
                send(
                    socket,
                    &FromInit::Welcome {
                        version: PROTOCOL_VERSION,
                    },
                    &[],
                );
                for row in self.rows.values() {
                    row.tell(socket);
                }
                for unit in SystemUnit::ALL {
                    let status = UnitStatus {
                        state: UnitState::Active,
                        pid: 0,
                        ..Default::default()
                    };
                    send(socket, &FromInit::System { unit, status }, &[]);
                }
                send(socket, &FromInit::WelcomeEnd, &[]);
            }
            ToInit::Start(start) => {
                self.asked.push(format!("start {}", start.name));
                self.next_pid += 1;
                let (read_end, output) = std::io::pipe().unwrap();
                let status = UnitStatus {
                    state: UnitState::Starting,
                    pid: self.next_pid,
                    ..Default::default()
                };
                let row = Row {
                    id: start.id,
                    name: start.name,
                    status,
                    output: output.into(),
                    read_end: read_end.into(),
                    notify: (start.notify == Notify::Passed).then_some(fds.len() - 1),
                    fds,
                };
                row.tell(socket);
                self.rows.insert(start.id, row);
                match start.active {
                    ActiveWhen::Executed => self.change(socket, start.id, UnitState::Active),
                    ActiveWhen::Ready => self.is_awaited(socket, start.id),
                }
            }
            ToInit::Stop { id } => {
                self.asked.push(format!("stop {}", self.name(id)));
                self.change(socket, id, UnitState::Stopping);
                self.change(socket, id, UnitState::Idle);
            }
            ToInit::Withdraw { id } => {
                self.asked.push(format!("withdraw {}", self.name(id)));
                self.change(socket, id, UnitState::Stopping);
                if let Some(row) = self.rows.get_mut(&id) {
                    row.status.state = UnitState::Idle;
                    row.status.pid = 0;
                    row.status.fault = Fault::DependencyFailure;
                    let status = row.status;
                    send(socket, &FromInit::Status { id, status }, &[]);
                }
            }
            ToInit::Ready { id, pid } => {
                self.asked.push(format!("ready {}", self.name(id)));
                if self.rows.get(&id).is_some_and(|row| row.status.pid == pid) {
                    self.change(socket, id, UnitState::Active);
                }
            }
            ToInit::Condemn { id, pid, why } => {
                self.asked
                    .push(format!("condemn {} {why:?}", self.name(id)));
                let Some(row) = self.rows.get_mut(&id).filter(|row| row.status.pid == pid) else {
                    return;
                };
                row.status.state = UnitState::Restarting;
                row.status.readiness = Readiness::NotAsked;
                row.status.pid = 0;
                (row.status.fault, row.status.last_exit) = match why {
                    Condemned::NotReady => (Fault::FailureOnStart, LastExit::NotReady),
                    Condemned::Hung => (Fault::FailureWhileActive, LastExit::Hung),
                };
                let status = row.status;
                send(socket, &FromInit::Status { id, status }, &[]);
            }
            ToInit::Probe { id, pid } => {
                self.asked.push(format!("probe {}", self.name(id)));
                self.probes.push((id, pid));
            }
            ToInit::Restart { id } => {
                self.asked.push(format!("restart {}", self.name(id)));
                self.next_pid += 1;
                self.change(socket, id, UnitState::Stopping);
                self.change(socket, id, UnitState::Starting);
                self.change(socket, id, UnitState::Active);
            }
            ToInit::Forget { id } => {
                self.asked.push(format!("forget {}", self.name(id)));
                self.rows.remove(&id);
            }
            ToInit::Shutdown { kind } => self.asked.push(format!("shutdown {kind:?}")),
        }
    }

    /// Its program runs, and is not ready.
    fn is_awaited(&mut self, socket: &OwnedFd, id: ServiceId) {
        let row = self.rows.get_mut(&id).unwrap();
        row.status.readiness = Readiness::Awaited;
        row.status.since = super::now();
        let status = row.status;
        send(socket, &FromInit::Status { id, status }, &[]);
    }

    fn change(&mut self, socket: &OwnedFd, id: ServiceId, state: UnitState) {
        let pid = if state == UnitState::Idle {
            0
        } else {
            self.next_pid
        };
        let Some(row) = self.rows.get_mut(&id) else {
            let reason = InitRefusal::Unknown;
            send(
                socket,
                &FromInit::Refused {
                    id: Some(id),
                    reason,
                },
                &[],
            );
            return;
        };
        row.status = UnitStatus {
            state,
            readiness: Readiness::NotAsked,
            pid,
            ..row.status
        };
        if state == UnitState::Idle {
            row.status.last_exit = LastExit::Code(0);
            row.status.fault = Fault::NoFault;
        }
        send(
            socket,
            &FromInit::Status {
                id,
                status: row.status,
            },
            &[],
        );
    }
}

impl Row {
    fn tell(&self, socket: &OwnedFd) {
        let record = FromInit::Service {
            id: self.id,
            name: self.name.clone(),
            status: self.status,
            lost: 0,
        };
        let mut fds = vec![&self.read_end, &self.fds[1]];
        fds.extend(self.notify.map(|place| &self.fds[place]));
        send(socket, &record, &fds);
    }
}

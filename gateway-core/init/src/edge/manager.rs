//! The manager's side: the socket, what waits to be told, the requests.
//!
//! A full socket never makes PID 1 wait: what was not told stays marked and is told when there is
//! room.

use super::output::Unread;
use super::probe::Probing;
use super::rows::{Announce, Process, Row};
use crate::limits::REFUSALS_MAX;
use crate::machine::unit::Event;
use crate::sys::socket::{self, Received, ReceivedFds};
use crate::sys::{Errno, fd};
use heapless::Deque;
use hearth_model::limits::{PROTOCOL_VERSION, RECORD_FDS_MAX, RECORD_MAX};
use hearth_model::protocol::{
    FromInit, InitRefusal, NetworkNs, Notify, ShutdownKind, StartService, SystemUnit, ToInit,
    decode, encode,
};
use hearth_model::state::UnitState;
use hearth_model::{ServiceId, Tick};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;

/// The connection to the manager that runs now.
pub struct Manager {
    socket: Option<OwnedFd>,
    greeting: Greeting,
    refusals: Deque<FromInit, REFUSALS_MAX>,
}

/// How far the answer to a Hello has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Greeting {
    /// No Hello yet: nothing is told.
    Awaited,
    /// Welcome is to be sent.
    Begin,
    /// Rows are being sent; WelcomeEnd follows.
    Rows,
    /// Done.
    Done,
}

/// What a request asks of the rest of PID 1.
pub enum Request {
    /// Put it in its row and start it.
    Start(StartService, ReceivedFds),
    /// An event for a service.
    Unit(ServiceId, Event),
    /// Remove the row.
    Forget(ServiceId),
    /// Execute a program inside the sandbox of this run.
    Probe(ServiceId, u32, ReceivedFds),
    /// Go down.
    Shutdown(ShutdownKind),
}

impl Manager {
    /// Not connected.
    pub fn new() -> Manager {
        Manager {
            socket: None,
            greeting: Greeting::Awaited,
            refusals: Deque::new(),
        }
    }

    /// A new pair for a new manager; returns the manager's end.
    ///
    /// # Errors
    /// As socketpair(2).
    pub fn connect(&mut self) -> Result<OwnedFd, Errno> {
        let (ours, theirs) = socket::pair()?;
        self.socket = Some(ours);
        self.greeting = Greeting::Awaited;
        self.refusals.clear();
        Ok(theirs)
    }

    /// The socket to wait on, unless refusals have to go out first.
    pub fn readable(&self) -> Option<BorrowedFd<'_>> {
        if self.refusals.is_full() {
            None
        } else {
            self.socket.as_ref().map(AsFd::as_fd)
        }
    }

    /// Whether nobody reads what services print: no manager is there, or it has not said Hello.
    pub fn is_away(&self) -> bool {
        self.socket.is_none() || self.greeting == Greeting::Awaited
    }

    /// The socket, to wait for room.
    pub fn socket(&self) -> Option<BorrowedFd<'_>> {
        self.socket.as_ref().map(AsFd::as_fd)
    }

    /// The next request; `None` where none waits.
    pub fn next(&mut self) -> Option<Request> {
        loop {
            let mut buffer = [0; RECORD_MAX];
            let received = socket::receive(self.readable()?, &mut buffer);
            let (length, fds) = match received {
                Ok(Received::Record(length, fds)) => (length, fds),
                Ok(Received::Truncated) => {
                    self.refuse(None, InitRefusal::Malformed);
                    continue;
                }
                Ok(Received::Empty) => return None,
                Ok(Received::Closed) => {
                    self.socket = None;
                    return None;
                }
                Err(errno) => {
                    log::warn!("manager's socket: {errno}");
                    self.socket = None;
                    return None;
                }
            };
            match decode(buffer.get(..length).unwrap_or_default()) {
                Err(_) => self.refuse(None, InitRefusal::Malformed),
                Ok(ToInit::Hello {
                    version: PROTOCOL_VERSION,
                }) => self.greeting = Greeting::Begin,
                Ok(ToInit::Hello { version: _ }) => {
                    self.refuse(
                        None,
                        InitRefusal::Version {
                            ours: PROTOCOL_VERSION,
                        },
                    );
                }
                Ok(ToInit::Start(service)) => return Some(Request::Start(service, fds)),
                Ok(ToInit::Stop { id }) => return Some(Request::Unit(id, Event::Stop)),
                Ok(ToInit::Restart { id }) => return Some(Request::Unit(id, Event::Restart)),
                Ok(ToInit::Withdraw { id }) => return Some(Request::Unit(id, Event::Withdraw)),
                Ok(ToInit::Ready { id, pid }) => {
                    return Some(Request::Unit(id, Event::Ready(pid)));
                }
                Ok(ToInit::Condemn { id, pid, why }) => {
                    return Some(Request::Unit(id, Event::Condemn(pid, why)));
                }
                Ok(ToInit::Probe { id, pid }) => return Some(Request::Probe(id, pid, fds)),
                Ok(ToInit::Forget { id }) => return Some(Request::Forget(id)),
                Ok(ToInit::Shutdown { kind }) => return Some(Request::Shutdown(kind)),
            }
        }
    }

    /// Remembers to say no. There is room: no request is read while there is none.
    pub fn refuse(&mut self, id: Option<ServiceId>, reason: InitRefusal) {
        if self
            .refusals
            .push_back(FromInit::Refused { id, reason })
            .is_err()
        {
            log::error!("a refusal to the manager is lost: {reason}");
        }
    }

    /// Tells all that waits, as far as there is room; whether something is left.
    pub fn tell(&mut self, rows: &mut [Option<Row>], system: &mut [Process; 3]) -> Left {
        match self.try_tell(rows, system) {
            Ok(()) => Left::Nothing,
            Err(Errno(libc::EAGAIN)) => Left::Something,
            Err(errno) => {
                if errno != Errno(libc::EPIPE) {
                    log::warn!("manager's socket: {errno}");
                }
                self.socket = None;
                Left::Nothing
            }
        }
    }

    fn try_tell(
        &mut self,
        rows: &mut [Option<Row>],
        system: &mut [Process; 3],
    ) -> Result<(), Errno> {
        let Some(socket) = self.socket.as_ref().map(AsFd::as_fd) else {
            return Ok(());
        };
        while let Some(refusal) = self.refusals.front() {
            send(socket, refusal, &[])?;
            self.refusals.pop_front();
        }
        if self.greeting == Greeting::Awaited {
            return Ok(());
        }
        if self.greeting == Greeting::Begin {
            send(
                socket,
                &FromInit::Welcome {
                    version: PROTOCOL_VERSION,
                },
                &[],
            )?;
            rows.iter_mut()
                .flatten()
                .for_each(|row| row.process.announce = Announce::Row);
            system
                .iter_mut()
                .for_each(|unit| unit.announce = Announce::Status);
            self.greeting = Greeting::Rows;
        }
        for row in rows.iter_mut().flatten() {
            if let Some(news) = row.probe.news(row.service.id) {
                send(socket, &news, &[])?;
                row.probe = Probing::Nothing;
            }
            let (id, status) = (row.service.id, row.process.unit.status());
            match row.process.announce {
                Announce::Nothing => {}
                Announce::Status => send(socket, &FromInit::Status { id, status }, &[])?,
                Announce::Row => {
                    let name = row.service.name.clone();
                    let notify = row.notify.as_ref().map(AsFd::as_fd);
                    let fds: heapless::Vec<BorrowedFd<'_>, RECORD_FDS_MAX> =
                        [row.output.as_fd(), row.cgroup.as_fd()]
                            .into_iter()
                            .chain(notify)
                            .collect();
                    let lost = row.lost;
                    send(
                        socket,
                        &FromInit::Service {
                            id,
                            name,
                            status,
                            lost,
                        },
                        &fds,
                    )?;
                    row.lost = 0;
                }
            }
            row.process.announce = Announce::Nothing;
        }
        for (unit, process) in SystemUnit::ALL.into_iter().zip(system) {
            if process.announce != Announce::Nothing {
                let status = process.unit.status();
                send(socket, &FromInit::System { unit, status }, &[])?;
                process.announce = Announce::Nothing;
            }
        }
        if self.greeting == Greeting::Rows {
            send(socket, &FromInit::WelcomeEnd, &[])?;
            self.greeting = Greeting::Done;
        }
        Ok(())
    }
}

/// Whether the manager has to be told more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// All is told.
    Nothing,
    /// There was no room.
    Something,
}

fn send(socket: BorrowedFd<'_>, record: &FromInit, fds: &[BorrowedFd<'_>]) -> Result<(), Errno> {
    let mut buffer = [0; RECORD_MAX];
    // Every record fits: a test of the model encodes the largest ones.
    let bytes = encode(record, &mut buffer).map_err(|_| Errno(libc::EMSGSIZE))?;
    socket::send(socket, bytes, fds)
}

/// A pipe that the service, which is another user, may open again by `/dev/stdout` (proc(5)): nobody
/// but who holds its ends can name it.
fn output_pipe() -> Result<(OwnedFd, OwnedFd), Errno> {
    let (output, input) = fd::pipe()?;
    // The end that is read: the service's writes wait as they always did.
    fd::set_nonblocking(output.as_fd())?;
    let file = std::fs::File::from(input);
    file.set_permissions(std::fs::Permissions::from_mode(0o622))?;
    Ok((output, file.into()))
}

/// Puts a service into its row, or says why not.
///
/// # Errors
/// The refusal for the manager; nothing was changed.
pub fn place(
    rows: &mut [Option<Row>],
    service: StartService,
    fds: ReceivedFds,
    now: Tick,
) -> Result<ServiceId, InitRefusal> {
    let id = service.id;
    let mut fds = fds.into_iter();
    let (Some(plan), Some(cgroup)) = (fds.next(), fds.next()) else {
        return Err(InitRefusal::MissingDescriptor);
    };
    let missing = InitRefusal::MissingDescriptor;
    let network = match service.network {
        NetworkNs::Passed => Some(fds.next().ok_or(missing)?),
        NetworkNs::Empty => None,
    };
    let notify = match service.notify {
        Notify::Passed => Some(fds.next().ok_or(missing)?),
        Notify::None => None,
    };
    let Some(place) = rows.get_mut(id.index()) else {
        return Err(InitRefusal::Unknown);
    };
    let (output, input, lost) = match place.take() {
        Some(old) => {
            let state = old.process.unit.status().state;
            if state != UnitState::Idle {
                *place = Some(old);
                return Err(InitRefusal::WrongState { state });
            }
            (old.output, old.input, old.lost)
        }
        None => {
            let pipe = output_pipe().map_err(|errno| InitRefusal::System { errno: errno.0 });
            let (output, input) = pipe?;
            (output, input, 0)
        }
    };
    let terms = crate::machine::unit::Terms {
        restart: service.restart,
        active: service.active,
        stop_grace_ms: service.stop_grace_ms.min(crate::limits::STOP_GRACE_MAX_MS),
    };
    let mut process = Process::new(terms, now);
    process.announce = Announce::Row;
    *place = Some(Row {
        service,
        process,
        plan,
        cgroup,
        network,
        output,
        input,
        unread: Unread::default(),
        lost,
        notify,
        probe: Probing::Nothing,
    });
    Ok(id)
}

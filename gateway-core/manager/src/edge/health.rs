//! How a service is found ready: a look at the ports of its network, a probe in its sandbox; and what PID 1
//! is told of it.

use super::Core;
use super::channel::Lost;
use super::paths::read_text;
use super::start::Launch;
use crate::limits::SOCKET_TABLE_MAX;
use crate::machine::service::Cause;
use crate::machine::watch::{Action, Outcome};
use crate::machine::{Event, ports};
use hearth_model::ServiceId;
use hearth_model::gate::Served;
use hearth_model::protocol::{Asked, ToInit};
use hearth_model::state::LastExit;

impl Core {
    /// What a launch says beyond the manifest.
    pub(super) fn launch_of(&self, id: ServiceId) -> Launch {
        let cause = self.machine.service(id).map(|row| row.cause);
        Launch {
            asked: match cause {
                Some(Cause::Person) => Asked::Person,
                Some(Cause::Boot) | None => Asked::Policy,
            },
            depth: self.machine.depth(id),
        }
    }

    /// Carries out what the watch over a service asks for; its outcome, where it has one at once.
    pub(super) fn watch(&mut self, id: ServiceId, action: Action) -> Result<Option<Event>, Lost> {
        match action {
            Action::TellReady(pid) => self.init.send(&ToInit::Ready { id, pid }, Vec::new())?,
            Action::Condemn(pid, why) => {
                self.init
                    .send(&ToInit::Condemn { id, pid, why }, Vec::new())?;
            }
            Action::LookAtPort(pid, port) => {
                return Ok(Some(Event::Looked(id, pid, self.look_at_port(pid, port))));
            }
            Action::Probe(pid) => {
                let plan = self
                    .found(id)
                    .and_then(|package| self.starter.probe(id, &package.manifest));
                match plan {
                    Ok(plan) => self.init.send(&ToInit::Probe { id, pid }, vec![plan])?,
                    Err(text) => {
                        log::warn!("the probe of service {id}: {text}");
                        return Ok(Some(Event::Looked(id, pid, Outcome::Bad)));
                    }
                }
            }
        }
        Ok(None)
    }

    fn look_at_port(&self, pid: u32, Served { transport, port }: Served) -> Outcome {
        let listens = |table: &str| {
            let file = self.starter.paths.at(&format!("/proc/{pid}/net/{table}"));
            // One that is longer has more sockets than a service that only starts; then it is not ready.
            read_text(&file, SOCKET_TABLE_MAX)
                .is_ok_and(|text| ports::listens(&text, transport, port))
        };
        match ports::tables(transport).into_iter().any(listens) {
            true => Outcome::Good,
            false => Outcome::Bad,
        }
    }

    /// How a probe has ended; a step that failed is told in the service's log, since the author has to know.
    pub(super) fn probed(&self, id: ServiceId, pid: u32, exit: LastExit) -> Event {
        if let (LastExit::Step(failure), Some(row)) = (exit, self.machine.service(id)) {
            self.logs
                .note(&row.name, &format!("its probe (health.ready): {failure}"));
        }
        let outcome = match exit {
            LastExit::Code(0) => Outcome::Good,
            LastExit::None
            | LastExit::Code(_)
            | LastExit::Signal(_)
            | LastExit::Step(_)
            | LastExit::NotReady
            | LastExit::Hung => Outcome::Bad,
        };
        Event::Looked(id, pid, outcome)
    }
}

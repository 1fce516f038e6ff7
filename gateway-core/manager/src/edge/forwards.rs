//! The household's port-forwards between disk, netpath and whoever asks.
//!
//! A change is checked, then on disk, then told to netpath, then acknowledged; netpath hears all of them
//! again whenever it comes back, before any service's own ports.

use super::paths::now;
use super::people::give;
use super::requests::{Fault, Reply, ReplyTo};
use super::{Core, NETPATH};
use crate::limits::FORWARD_WAIT_MS;
use crate::machine::forwards::{Forward, Refusal, Row, State, Target};
use hearth_model::Tick;
use hearth_model::api::{Done, PortForward};
use hearth_model::protocol::{ForwardTarget, HouseholdForward, NetRefusal, ToNetpath, WanPorts};
use log::Level;

/// What somebody waits for netpath to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Open,
    Close,
}

/// Somebody who waits for it.
#[derive(Debug)]
pub(super) struct ForwardWaiter {
    ports: WanPorts,
    change: Change,
    pub(super) until: Tick,
    reply: ReplyTo,
}

impl Core {
    /// Every forward, for the API.
    pub(super) fn list_forwards(&self) -> Reply {
        Reply::Forwards(self.forwards.rows().map(view).collect())
    }

    /// Adds a forward; the same one again changes nothing.
    pub(super) fn add_forward(&mut self, new: Forward, reply: ReplyTo) {
        if let Some(row) = self.forwards.get(&new.ports).filter(|r| r.forward == new) {
            give(reply, Ok(Reply::Forward(view(row))));
            return;
        }
        let rows = self.machine.services();
        let packages: Vec<_> = rows.filter_map(|(_, row)| row.package.as_ref()).collect();
        let checked = self.forwards.check(&new, &self.starter.gateway, &packages);
        if let Err(refusal) = checked {
            give(reply, Err(fault(&refusal)));
            return;
        }
        let Forward { ports, to, to_port } = &new;
        let told = format!("{ports} is forwarded to {to} port {to_port}");
        let ports = *ports;
        self.forwards.add(new);
        if let Err(text) = self.save_forwards() {
            self.forwards.remove(&ports);
            give(
                reply,
                Err(Fault::Impossible(format!("{text}; nothing was changed"))),
            );
            return;
        }
        self.tell(Level::Info, &NETPATH, &told);
        self.tell_forward(&ports);
        self.wait_for(ports, Change::Open, reply);
    }

    /// Removes a forward.
    pub(super) fn remove_forward(&mut self, named: &WanPorts, reply: ReplyTo) {
        let Some(ports) = self.forwards.named(named).map(|row| row.forward.ports) else {
            let text = format!("no port-forward has {named}; see `hearth forward list`");
            give(reply, Err(Fault::Unknown(text)));
            return;
        };
        let Some(row) = self.forwards.remove(&ports) else {
            return;
        };
        if let Err(text) = self.save_forwards() {
            self.forwards.put_back(row);
            give(
                reply,
                Err(Fault::Impossible(format!("{text}; nothing was changed"))),
            );
            return;
        }
        let told = format!("{ports} is forwarded no more");
        self.tell(Level::Info, &NETPATH, &told);
        self.netpath.send(&ToNetpath::ClosePorts(ports));
        self.wait_for(ports, Change::Close, reply);
    }

    fn save_forwards(&self) -> Result<(), String> {
        let rows: Vec<&Forward> = self.forwards.rows().map(|row| &row.forward).collect();
        self.store.save_forwards(&rows)
    }

    fn wait_for(&mut self, ports: WanPorts, change: Change, reply: ReplyTo) {
        let wait = if self.netpath.is_up() {
            FORWARD_WAIT_MS
        } else {
            0
        };
        self.forward_waiters.push(ForwardWaiter {
            ports,
            change,
            until: now().after_ms(wait),
            reply,
        });
    }

    /// netpath is there, and knows of nothing that was not said to it.
    pub(super) fn tell_forwards(&mut self) {
        self.forwards.net_down();
        let all: Vec<WanPorts> = self.forwards.rows().map(|row| row.forward.ports).collect();
        for ports in all {
            self.tell_forward(&ports);
        }
        self.netpath.send(&ToNetpath::SettlePorts);
    }

    fn tell_forward(&mut self, ports: &WanPorts) {
        let Some(Row { forward, .. }) = self.forwards.get(ports) else {
            return;
        };
        let to = match &forward.to {
            Target::Host(address) => ForwardTarget::Host(*address),
            Target::Service(name) => match self.machine.find(name.as_str()) {
                Some(id) => ForwardTarget::Service(id),
                None => {
                    let refusal = Refusal::NoService(name.clone());
                    self.forwards
                        .set(ports, State::Refused(refusal.to_string()));
                    return;
                }
            },
        };
        self.netpath.send(&ToNetpath::OpenPorts(HouseholdForward {
            ports: *ports,
            to,
            to_port: forward.to_port,
        }));
    }

    /// netpath has opened ports.
    pub(super) fn ports_opened(&mut self, ports: WanPorts) {
        self.forwards.set(&ports, State::Open);
        for reply in self.waiters_for(ports, Change::Open) {
            self.answer_opened(&ports, reply);
        }
    }

    /// netpath has closed ports.
    pub(super) fn ports_closed(&mut self, ports: WanPorts) {
        for reply in self.waiters_for(ports, Change::Close) {
            give(reply, Ok(closed(&ports)));
        }
    }

    /// netpath has not opened ports: somebody who has just asked for them gets the reason, and nothing
    /// stays of it; what was kept is shown with it.
    pub(super) fn ports_refused(&mut self, ports: WanPorts, reason: NetRefusal) {
        let text = self.machine.net_words(reason);
        let waiting = self.waiters_for(ports, Change::Open);
        if waiting.is_empty() {
            let told = format!("port-forward of {ports}: {text}");
            self.tell(Level::Warn, &NETPATH, &told);
            self.forwards.set(&ports, State::Refused(text));
            return;
        }
        self.forwards.remove(&ports);
        if let Err(text) = self.save_forwards() {
            log::warn!("forward of {ports}: {text}");
        }
        for reply in waiting {
            give(reply, Err(Fault::Impossible(text.clone())));
        }
    }

    fn waiters_for(&mut self, ports: WanPorts, change: Change) -> Vec<ReplyTo> {
        let (now, later) = core::mem::take(&mut self.forward_waiters)
            .into_iter()
            .partition(|waiter| waiter.ports == ports && waiter.change == change);
        self.forward_waiters = later;
        let now: Vec<ForwardWaiter> = now;
        now.into_iter().map(|waiter| waiter.reply).collect()
    }

    fn answer_opened(&self, ports: &WanPorts, reply: ReplyTo) {
        let gone = || Fault::Unknown(format!("the port-forward of {ports} is gone again"));
        let row = self.forwards.get(ports).map(view).ok_or_else(gone);
        give(reply, row.map(Reply::Forward));
    }

    /// Whoever has waited long enough gets what there is: it is on disk.
    pub(super) fn answer_forward_waiters(&mut self) {
        let now = now();
        let (over, later) = core::mem::take(&mut self.forward_waiters)
            .into_iter()
            .partition(|waiter| waiter.until <= now);
        self.forward_waiters = later;
        let over: Vec<ForwardWaiter> = over;
        for ForwardWaiter {
            ports,
            change,
            reply,
            ..
        } in over
        {
            match change {
                Change::Open => self.answer_opened(&ports, reply),
                Change::Close => give(reply, Ok(closed(&ports))),
            }
        }
    }

    /// What is wrong with forwards, for the status.
    pub(super) fn forward_problems(&self) -> impl Iterator<Item = String> {
        self.forwards.rows().filter_map(|row| match &row.state {
            State::Refused(text) => Some(format!("port-forward of {}: {text}", row.forward.ports)),
            State::Waiting | State::Open => None,
        })
    }
}

fn closed(ports: &WanPorts) -> Reply {
    let message = format!("{ports} is forwarded no more.");
    Reply::Done(Done { message })
}

fn fault(refusal: &Refusal) -> Fault {
    let text = refusal.to_string();
    match refusal {
        Refusal::Range | Refusal::Reserved(_) | Refusal::NotInHome(..) => Fault::Arguments(text),
        Refusal::NoService(_) => Fault::Unknown(text),
        Refusal::Full
        | Refusal::Taken(..)
        | Refusal::OfService(..)
        | Refusal::Gateway(_)
        | Refusal::Bridged(_)
        | Refusal::NotListening(..) => Fault::Impossible(text),
    }
}

fn view(row: &Row) -> PortForward {
    let Forward { ports, to, to_port } = &row.forward;
    let (state, message) = match &row.state {
        State::Open => ("open", String::new()),
        State::Waiting => (
            "waiting",
            "it is kept, and opens when hearth-netpath is back".to_owned(),
        ),
        State::Refused(text) => ("refused", text.clone()),
    };
    PortForward {
        transport: ports.transport,
        first: ports.first,
        last: ports.last,
        host: match to {
            Target::Host(address) => Some(*address),
            Target::Service(_) => None,
        },
        service: match to {
            Target::Host(_) => None,
            Target::Service(name) => Some(name.to_string()),
        },
        to_port: *to_port,
        state: state.to_owned(),
        message,
    }
}

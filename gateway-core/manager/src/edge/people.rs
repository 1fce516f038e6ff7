//! Requests of the API, answered from the table or when what they asked for has come to its end.

use super::channel::Lost;
use super::paths::now;
use super::requests::{Ask, Fault, Reply, ReplyTo, Request, Verb};
use super::usage::Usage;
use super::{Core, Waiter, views};
use crate::limits::ACTION_WAIT;
use crate::machine::Event;
use crate::machine::register::Wanted;
use crate::sys;
use hearth_model::ServiceId;
use hearth_model::api::{Done, Status};
use hearth_model::manifest::nearest;
use hearth_model::protocol::{NetReport, ShutdownKind, SystemUnit, ToInit};

/// Milliseconds between the answer to a restart of this manager and its end: the answer goes out.
pub(super) const LEAVE_MS: u64 = 300;

/// Sends an answer. Whoever asked may be gone; then nobody misses it.
pub fn give(reply: ReplyTo, answer: Result<Reply, Fault>) {
    let _gone = reply.send(answer);
}

/// What a name in a path means.
pub(super) enum Named {
    /// A service.
    Service(ServiceId),
    /// A process of the gateway.
    System(SystemUnit),
}

impl Core {
    /// Carries out one request, or remembers who waits for it.
    pub(super) fn request(&mut self, request: Request) -> Result<(), Lost> {
        let Request { ask, reply } = request;
        match ask {
            Ask::Status => {
                self.ask_report(reply);
                Ok(())
            }
            Ask::Network => {
                give(reply, Ok(Reply::Network(Box::new(self.network()))));
                Ok(())
            }
            Ask::Look(look) => {
                self.ask_netpath(look, reply);
                Ok(())
            }
            Ask::Services => {
                give(reply, Ok(Reply::Services(self.table())));
                Ok(())
            }
            Ask::Service(name) => {
                let answer = self.named(&name).and_then(|named| self.row(&named));
                give(reply, answer);
                Ok(())
            }
            Ask::Act(name, verb) => match self.named(&name) {
                Ok(Named::Service(id)) => self.act_on(id, verb, reply),
                Ok(Named::System(unit)) => {
                    let answer = self.act_on_system(unit, verb);
                    give(reply, answer);
                    Ok(())
                }
                Err(fault) => {
                    give(reply, Err(fault));
                    Ok(())
                }
            },
            Ask::Forwards => {
                give(reply, Ok(self.list_forwards()));
                Ok(())
            }
            Ask::AddForward(new) => {
                self.add_forward(new, reply);
                Ok(())
            }
            Ask::RemoveForward(ports) => {
                self.remove_forward(&ports, reply);
                Ok(())
            }
            Ask::Plan(name) => {
                let answer = self.plan(&name);
                give(reply, answer);
                Ok(())
            }
            Ask::Ranking => {
                give(reply, Ok(Reply::Ranking(views::ranking(&self.machine))));
                Ok(())
            }
            Ask::Rank(names) => self.rank(names, reply),
            Ask::OpenUsage => {
                give(reply, self.open_usage());
                Ok(())
            }
            Ask::System(kind) => {
                self.init.send(&ToInit::Shutdown { kind }, Vec::new())?;
                let message = match kind {
                    ShutdownKind::PowerOff => "The gateway stops its services and powers off.",
                    ShutdownKind::Reboot => "The gateway stops its services and starts anew.",
                };
                give(
                    reply,
                    Ok(Reply::Done(Done {
                        message: message.to_owned(),
                    })),
                );
                Ok(())
            }
        }
    }

    /// The open hour, up to now.
    fn open_usage(&mut self) -> Result<Reply, Fault> {
        let services = self.machine.services();
        match &mut self.usage {
            Some(usage) => {
                usage.look(now(), services.map(|(id, row)| (id, &row.name)));
                Ok(Reply::OpenUsage(usage.open_hour()))
            }
            None => Err(Fault::Impossible(
                "nothing is accounted; `hearth status` says why".to_owned(),
            )),
        }
    }

    fn act_on(&mut self, id: ServiceId, verb: Verb, reply: ReplyTo) -> Result<(), Lost> {
        let (wanted, event) = match verb {
            Verb::Start => (Wanted::Running, Event::Start(id)),
            Verb::StartWithRoom => (Wanted::Running, Event::StartWithRoom(id)),
            Verb::Stop => (Wanted::Stopped, Event::Stop(id)),
            Verb::Restart => (Wanted::Running, Event::Restart(id)),
        };
        let mut wishes = vec![(id, wanted)];
        if wanted == Wanted::Running {
            let plan = self.machine.plan_start(id);
            if let Some(name) = self.machine.making_room_for() {
                let text = format!("room is being made for {name}; try again when it runs");
                give(reply, Err(Fault::Busy(text)));
                return Ok(());
            }
            let helps = verb == Verb::StartWithRoom && !plan.stops.is_empty();
            if let Some(refusal) = plan.refusal.filter(|_| !helps) {
                let why = Box::new(views::refusal(&refusal));
                give(reply, Err(Fault::NoRoom(refusal.to_string(), why)));
                return Ok(());
            }
            // What it needs is to run too, and to stay.
            let needed = self.machine.all_needed(id).into_iter();
            wishes.extend(needed.map(|id| (id, Wanted::Running)));
            wishes.extend(plan.stops.iter().map(|&stop| (stop, Wanted::Stopped)));
        }
        // In one piece: a power cut leaves all of it or nothing.
        if let Err(text) = self.keep_asked(wishes) {
            let name = self.machine.service(id).map(|row| row.name.to_string());
            let name = name.unwrap_or_default();
            let text = format!("{name} stays as it is: {text}");
            give(reply, Err(Fault::Impossible(text)));
            return Ok(());
        }
        self.step(event)?;
        let wait = u64::try_from(ACTION_WAIT.as_millis()).unwrap_or(u64::MAX);
        self.waiters.push(Waiter {
            id,
            until: now().after_ms(wait),
            reply,
        });
        Ok(())
    }

    fn act_on_system(&mut self, unit: SystemUnit, verb: Verb) -> Result<Reply, Fault> {
        let name = unit.name();
        let (Verb::Restart, SystemUnit::Netpath | SystemUnit::Manager) = (verb, unit) else {
            return Err(Fault::Impossible(format!(
                "{name} is a part of the gateway: hearth-netpath and hearth-manager can be \
                 restarted, nothing of it can be stopped; to go down: `hearth poweroff`"
            )));
        };
        match unit {
            // PID 1 starts it again; services and their links stay.
            SystemUnit::Manager => self.leave_at = Some(now().after_ms(LEAVE_MS)),
            SystemUnit::Netpath | SystemUnit::Console => {
                let pid = self
                    .machine
                    .system_units()
                    .find(|(known, _)| *known == unit);
                let pid = pid.map_or(0, |(_, status)| status.pid);
                sys::machine::terminate(pid).map_err(|_| {
                    Fault::Impossible(format!(
                        "{name} does not run; hearth-init starts it by itself"
                    ))
                })?;
            }
        }
        self.row(&Named::System(unit))
    }

    pub(super) fn named(&self, name: &str) -> Result<Named, Fault> {
        if let Some(id) = self.machine.find(name) {
            return Ok(Named::Service(id));
        }
        if let Some(unit) = SystemUnit::ALL.into_iter().find(|unit| unit.name() == name) {
            return Ok(Named::System(unit));
        }
        let broken = self
            .problems
            .iter()
            .find(|p| p.package.as_deref() == Some(name));
        if let Some(problem) = broken {
            let text = &problem.text;
            return Err(Fault::Unknown(format!(
                "the package {name} can not be used: {text}; see `hearth status`"
            )));
        }
        let names: Vec<&str> = self
            .machine
            .services()
            .map(|(_, row)| row.name.as_str())
            .collect();
        let shown: String = name.chars().take(40).flat_map(char::escape_debug).collect();
        let hint = match nearest(name, names.iter().copied()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None if names.is_empty() => "no package is installed".to_owned(),
            None => format!("there are: {}", names.join(", ")),
        };
        Err(Fault::Unknown(format!(
            "there is no service \"{shown}\"; {hint}"
        )))
    }

    fn row(&self, named: &Named) -> Result<Reply, Fault> {
        let gone = || Fault::Unknown("the service is gone".to_owned());
        let row = match *named {
            Named::Service(id) => {
                let ranked = self.machine.ranked();
                let place = ranked.iter().position(|&other| other == id);
                let rank = place.map_or(ranked.len(), |place| place + 1);
                views::service(&self.machine, id, rank, &self.starter, now()).ok_or_else(gone)?
            }
            Named::System(unit) => {
                let units = self.machine.system_units();
                let (_, status) = units
                    .into_iter()
                    .find(|(u, _)| *u == unit)
                    .ok_or_else(gone)?;
                views::system(unit, status, &self.firmware, now())
            }
        };
        Ok(Reply::Service(Box::new(row)))
    }

    fn table(&self) -> Vec<hearth_model::api::Service> {
        views::table(&self.machine, &self.starter, &self.firmware, now())
    }

    /// The whole status.
    pub(super) fn status(&self, report: Option<NetReport>) -> Reply {
        let gateway = &self.starter.gateway;
        Reply::Status(Box::new(Status {
            firmware: self.firmware.clone(),
            uptime_seconds: now().0 / 1000,
            wan: views::wan(&self.wan),
            lan: format!("{}/{}", gateway.lan.address, gateway.lan.prefix),
            guest: gateway
                .guest
                .as_ref()
                .map(|guest| format!("{}/{}", guest.address, guest.prefix)),
            console_url: views::console_url(&self.machine, gateway),
            sandbox: views::sandbox(),
            budget: views::budget(self.machine.budget(), self.machine.promised()),
            nat: report.map(views::nat),
            forwarding: self.forwarding(report),
            services: self.table(),
            congestion: self
                .watcher
                .congested()
                .map(|one| views::congestion(one, now()))
                .collect(),
            notes: self.mover.notes(),
            problems: self
                .problems
                .iter()
                .map(|problem| problem.text.clone())
                .chain(self.forward_problems())
                .chain(self.rank_faults.values().cloned())
                .chain(self.unkept())
                .chain(self.mover.problem().map(str::to_owned))
                .chain(
                    self.usage
                        .as_ref()
                        .and_then(Usage::fault)
                        .map(str::to_owned),
                )
                .collect(),
        }))
    }

    /// netpath's counters are there: everyone who waits for a status gets one.
    pub(super) fn answer_status(&mut self, report: Option<NetReport>) {
        self.keep_again();
        for waiter in core::mem::take(&mut self.status_waiters) {
            give(waiter.reply, Ok(self.status(report)));
        }
    }

    /// Answers everyone whose service has come to rest, or who has waited long enough.
    pub(super) fn answer_waiters(&mut self) {
        let now = now();
        for waiter in core::mem::take(&mut self.waiters) {
            let settled = self
                .machine
                .service(waiter.id)
                .is_none_or(|row| row.is_settled());
            if settled || waiter.until <= now {
                give(waiter.reply, self.row(&Named::Service(waiter.id)));
            } else {
                self.waiters.push(waiter);
            }
        }
        self.looks.expire(now);
        if self.status_waiters.iter().any(|waiter| waiter.until <= now) {
            self.answer_status(None);
        }
    }
}

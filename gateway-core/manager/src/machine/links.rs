//! What netpath's answers do to a service, and what netpath has to hear again when it comes back.

use super::register::Wanted;
use super::service::{Phase, Service, Trouble};
use super::{Action, Greeting, Machine, Netpath, Object};
use crate::limits::NETPATH_ANSWER_MS;
use hearth_model::protocol::{NetRefusal, NetworkShare, SystemUnit};
use hearth_model::{ServiceId, Tick};
use log::Level;

type Out<'a> = &'a mut Vec<Action>;

impl Machine {
    /// Asks for a link, or waits for netpath.
    pub(super) fn attach(&mut self, id: ServiceId, now: Tick, out: Out<'_>) {
        let share = self.shares().get(&id).copied();
        let Some(service) = self.services.get_mut(&id) else {
            return;
        };
        let link = service.package.as_ref().and_then(|package| package.link);
        match (self.netpath, link.zip(share)) {
            (Netpath::Up, Some((link, share))) => {
                service.shared = Some(share);
                service.stale = service.outstanding;
                service.outstanding += 1;
                service.phase = Phase::Linking {
                    until: now.after_ms(NETPATH_ANSWER_MS),
                };
                out.push(Action::Attach(id, link, share));
            }
            (Netpath::Down, _) | (Netpath::Up, None) => {
                service.phase = Phase::WaitingForNetpath { since: now };
            }
        }
    }

    /// netpath is there and may be another run of it: everything is said again.
    pub(super) fn net_up(&mut self, now: Tick, out: Out<'_>) {
        // Answers to an earlier connection never come, whether its end was told or not.
        self.net_down(now);
        self.netpath = Netpath::Up;
        if self.greeting == Greeting::Open {
            // What runs is not known yet; `boot` comes back here.
            return;
        }
        let ids: Vec<ServiceId> = self.services.keys().copied().collect();
        let shares = self.shares();
        for id in ids {
            let Some(service) = self.services.get_mut(&id).filter(|s| s.has_link()) else {
                continue;
            };
            let blames_netpath = service.trouble.as_ref().is_some_and(Trouble::is_netpaths);
            match service.phase {
                Phase::WaitingForNetpath { .. }
                | Phase::Linking { .. }
                | Phase::Forwarding { .. } => self.attach(id, now, out),
                Phase::Rest | Phase::Waiting { .. } | Phase::WaitingForDependents { .. }
                    if service.is_running() =>
                {
                    link_again(service, id, shares.get(&id), out);
                }
                Phase::Waiting { .. } | Phase::WaitingForDependents { .. } => {
                    link_again(service, id, shares.get(&id), out);
                }
                Phase::Rest if blames_netpath && service.wanted == Wanted::Running => {
                    let cause = service.cause;
                    self.begin(id, cause, now, out);
                }
                Phase::Rest => {
                    service.outstanding += 1;
                    out.push(Action::Detach(id));
                }
                Phase::MakingRoom | Phase::WaitingForNeeds { .. } | Phase::Preparing => {}
            }
        }
    }

    pub(super) fn net_down(&mut self, now: Tick) {
        self.netpath = Netpath::Down;
        for service in self.services.values_mut() {
            (service.outstanding, service.stale) = (0, 0);
            service.shared = None;
            service.phase = match service.phase {
                Phase::Linking { .. } | Phase::Forwarding { .. } => {
                    Phase::WaitingForNetpath { since: now }
                }
                phase @ (Phase::Rest
                | Phase::MakingRoom
                | Phase::WaitingForNeeds { .. }
                | Phase::Preparing
                | Phase::WaitingForNetpath { .. }
                | Phase::Waiting { .. }
                | Phase::WaitingForDependents { .. }) => phase,
            };
        }
    }

    /// Counts an answer of netpath. Whether it is the phase's own, not one to an earlier request.
    pub(super) fn is_due(&mut self, id: ServiceId) -> bool {
        let Some(service) = self.services.get_mut(&id) else {
            return false;
        };
        service.outstanding = service.outstanding.saturating_sub(1);
        match service.stale.checked_sub(1) {
            Some(left) => {
                service.stale = left;
                false
            }
            None => true,
        }
    }

    pub(super) fn attached(&mut self, id: ServiceId, now: Tick, out: Out<'_>) {
        let due = self.is_due(id);
        let Some(service) = self.services.get_mut(&id) else {
            return;
        };
        match service.phase {
            Phase::Linking { .. } if due => {
                let forwards: Vec<_> = service
                    .package
                    .iter()
                    .flat_map(|package| package.forwards(id))
                    .collect();
                if forwards.is_empty() {
                    self.launch(id, now, out);
                    return;
                }
                service.outstanding += forwards.len();
                service.phase = Phase::Forwarding {
                    left: forwards.len(),
                    until: now.after_ms(NETPATH_ANSWER_MS),
                };
                out.extend(forwards.into_iter().map(Action::Forward));
            }
            Phase::Rest | Phase::Waiting { .. } | Phase::WaitingForDependents { .. } => {
                service.link_trouble = None;
            }
            Phase::MakingRoom
            | Phase::WaitingForNeeds { .. }
            | Phase::Preparing
            | Phase::WaitingForNetpath { .. }
            | Phase::Linking { .. }
            | Phase::Forwarding { .. } => {}
        }
    }

    pub(super) fn forwarded(&mut self, id: ServiceId, now: Tick, out: Out<'_>) {
        let due = self.is_due(id);
        let Some(service) = self.services.get_mut(&id) else {
            return;
        };
        match &mut service.phase {
            Phase::Forwarding { left, .. } if due => {
                *left = left.saturating_sub(1);
                if *left == 0 {
                    self.launch(id, now, out);
                }
            }
            Phase::Rest
            | Phase::MakingRoom
            | Phase::WaitingForNeeds { .. }
            | Phase::Preparing
            | Phase::WaitingForNetpath { .. }
            | Phase::Linking { .. }
            | Phase::Forwarding { .. }
            | Phase::Waiting { .. }
            | Phase::WaitingForDependents { .. } => {}
        }
    }

    pub(super) fn net_refused(&mut self, id: Option<ServiceId>, reason: NetRefusal, out: Out<'_>) {
        let text = self.net_words(reason);
        let Some(id) = id else {
            out.push(Action::Tell(
                Level::Error,
                Object::Part(SystemUnit::Netpath.name()),
                format!("refused a request: {text}"),
            ));
            return;
        };
        let due = self.is_due(id);
        let Some(service) = self.services.get_mut(&id) else {
            return;
        };
        match service.phase {
            Phase::Linking { .. } | Phase::Forwarding { .. } if due => {
                self.fail(id, Trouble::Network(text), out);
            }
            Phase::Rest | Phase::Waiting { .. } | Phase::WaitingForDependents { .. }
                if service.is_running() =>
            {
                let object = Object::Service(service.name.clone());
                let line = format!("its network link is gone: {text}");
                service.link_trouble = Some(text);
                out.push(Action::Tell(Level::Warn, object, line));
            }
            // There was nothing to remove.
            Phase::Rest
            | Phase::MakingRoom
            | Phase::WaitingForNeeds { .. }
            | Phase::Preparing
            | Phase::WaitingForNetpath { .. }
            | Phase::Linking { .. }
            | Phase::Forwarding { .. }
            | Phase::Waiting { .. }
            | Phase::WaitingForDependents { .. } => {}
        }
    }

    /// netpath's reason with the name of the other service, which netpath does not know.
    #[must_use]
    pub fn net_words(&self, reason: NetRefusal) -> String {
        match reason {
            NetRefusal::PortTaken { port, by } => match self.services.get(&by) {
                Some(other) => {
                    let other = &other.name;
                    format!("port {port} is {other}'s already; stop {other} or choose another port")
                }
                None => reason.to_string(),
            },
            NetRefusal::Malformed
            | NetRefusal::Version { .. }
            | NetRefusal::PortReserved { .. }
            | NetRefusal::ForwardsFull
            | NetRefusal::HouseholdForwardsFull
            | NetRefusal::PortForwarded { .. }
            | NetRefusal::NoHomeHost { .. }
            | NetRefusal::NotAttached
            | NetRefusal::Link { .. } => reason.to_string(),
        }
    }
}

fn link_again(service: &mut Service, id: ServiceId, share: Option<&NetworkShare>, out: Out<'_>) {
    if let (Some(package), Some(&share)) = (&service.package, share)
        && let Some(link) = package.link
    {
        service.shared = Some(share);
        let before = out.len();
        out.push(Action::Attach(id, link, share));
        out.extend(package.forwards(id).map(Action::Forward));
        service.outstanding += out.len() - before;
    }
}

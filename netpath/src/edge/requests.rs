//! What the manager asks, and what it is told.

use super::{Gateway, limits};
use hearth_model::limits::PROTOCOL_VERSION;
use hearth_model::protocol::{FromNetpath, Link, NetRefusal, NetReport, NetworkShare, ToNetpath};
use hearth_model::{ServiceId, Tick};
use hearth_netpath::nat::NatEvent;

impl Gateway {
    /// Answers what the manager asks, a batch of records at most.
    pub(super) fn on_requests(&mut self, now: Tick) {
        for _ in 0..limits::CONTROL_BATCH {
            let Some(request) = self.control.next() else {
                return;
            };
            let answer = match request {
                Ok(request) => self.answer(request, now),
                Err(_) => Some(refused(None, NetRefusal::Malformed)),
            };
            let Some(answer) = answer else {
                return;
            };
            let greeted = matches!(answer, FromNetpath::Welcome { .. });
            self.control.tell(&answer);
            if greeted {
                self.changed(NatEvent::NewManager, now);
                self.control.tell(&FromNetpath::Wan(self.wan_status()));
                if let Some(offered) = self.overlap() {
                    self.control.tell(&FromNetpath::Overlap(Some(offered)));
                }
            }
        }
    }

    /// Carries out a request; `None` where the connection has ended.
    fn answer(&mut self, request: ToNetpath, now: Tick) -> Option<FromNetpath> {
        let answer = match request {
            ToNetpath::Renumber => {
                self.renumber(now);
                return None;
            }
            ToNetpath::Hello {
                version: PROTOCOL_VERSION,
            } => FromNetpath::Welcome {
                version: PROTOCOL_VERSION,
                instance: self.instance,
                networks: self.config.own_networks(),
            },
            ToNetpath::Hello { version: _ } => refused(
                None,
                NetRefusal::Version {
                    ours: PROTOCOL_VERSION,
                },
            ),
            ToNetpath::Attach { id, link, share } => match self.attach(id, link, share, now) {
                Ok(()) => FromNetpath::Attached {
                    id,
                    thread: self.services.thread(id),
                },
                Err(reason) => refused(Some(id), reason),
            },
            ToNetpath::Detach { id } => {
                let ended = self.nat.event(NatEvent::Detach { id }, now);
                self.services.remove(&mut self.netlink, id);
                self.queues.detach(&mut self.netlink, id);
                self.services_changed(id, now);
                match ended {
                    // A bridged service was never the NAT machine's.
                    Ok(()) | Err(NetRefusal::NotAttached) => FromNetpath::Detached { id },
                    Err(reason) => refused(Some(id), reason),
                }
            }
            ToNetpath::Forward(forward) => {
                self.forwarded(forward.id, NatEvent::Forward(forward), now)
            }
            ToNetpath::Unforward { id } => self.forwarded(id, NatEvent::Unforward { id }, now),
            ToNetpath::Queues { direction, from } => {
                FromNetpath::Queues(self.queues.page(&mut self.netlink, direction, from))
            }
            ToNetpath::OpenPorts(forward) => {
                let ports = forward.ports;
                match self.nat.event(NatEvent::OpenPorts(forward), now) {
                    Ok(()) => {
                        self.adopt(now);
                        FromNetpath::PortsOpened(ports)
                    }
                    Err(reason) => FromNetpath::PortsRefused { ports, reason },
                }
            }
            ToNetpath::ClosePorts(ports) => {
                self.changed(NatEvent::ClosePorts(ports), now);
                FromNetpath::PortsClosed(ports)
            }
            ToNetpath::SettlePorts => {
                self.changed(NatEvent::SettlePorts, now);
                FromNetpath::PortsSettled
            }
            ToNetpath::Look { ticket, look } => self.look(ticket, look, now),
            ToNetpath::Report => FromNetpath::Report(self.report(now)),
        };
        Some(answer)
    }

    /// The sums of now.
    pub(super) fn report(&mut self, now: Tick) -> NetReport {
        if now >= self.report_at {
            self.report_at = now.after_ms(limits::REPORT_MS);
            self.nat.look_at_all(now);
            self.count_refused(now);
        }
        let by_fast_path = self.nat.counters().carried.0;
        let fast_path = self.nat.carrier().as_ref().map(|_| by_fast_path);
        NetReport {
            fast_path,
            charged: self.group.charged(),
            ..self.nat.report()
        }
    }

    /// A change that the machine never refuses.
    fn changed(&mut self, event: NatEvent, now: Tick) {
        if let Err(reason) = self.nat.event(event, now) {
            log::error!("forwards: {reason}");
        }
    }

    fn forwarded(&mut self, id: ServiceId, event: NatEvent, now: Tick) -> FromNetpath {
        match self.nat.event(event, now) {
            Ok(()) => {
                self.adopt(now);
                FromNetpath::Forwarded { id }
            }
            Err(reason) => refused(Some(id), reason),
        }
    }

    fn attach(
        &mut self,
        id: ServiceId,
        link: Link,
        share: NetworkShare,
        now: Tick,
    ) -> Result<(), NetRefusal> {
        // The NAT machine first: it refuses a wrong address before anything is changed.
        let event = match link {
            Link::Routed { address, policy } => NatEvent::Attach {
                id,
                address,
                policy,
            },
            Link::Bridged {
                address, policy, ..
            } => NatEvent::AttachBridged {
                id,
                address,
                policy,
            },
        };
        self.nat.event(event, now)?;
        let made = self
            .services
            .attach(&mut self.netlink, &self.tuns, &self.config, id, link);
        if made.is_err() {
            self.nat.event(NatEvent::Detach { id }, now)?;
        }
        match (&made, link) {
            (Ok(()), Link::Routed { address, .. } | Link::Bridged { address, .. }) => {
                self.queues.attach(&mut self.netlink, id, address, share);
            }
            (Err(_), _) => self.queues.detach(&mut self.netlink, id),
        }
        self.services_changed(id, now);
        self.adopt(now);
        made
    }

    /// Lets flows leave as the service's link and its part of the line are now.
    fn services_changed(&mut self, id: ServiceId, now: Tick) {
        let (way, members) = (self.services.way(id), self.queues.members.clone());
        self.change_ways(now, |ways| {
            ways.set_service(id, way);
            ways.members = members;
        });
        self.queues_changed();
    }
}

fn refused(id: Option<ServiceId>, reason: NetRefusal) -> FromNetpath {
    FromNetpath::Refused { id, reason }
}

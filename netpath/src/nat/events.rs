//! Changes from outside the packet path: the WAN's address, services and their ports.

use super::carry::Carrier;
use super::services::{self, Service, Way};
use super::{Nat, NatEvent};
use hearth_model::protocol::{NetRefusal, WanPorts, Zone};
use hearth_model::{ServiceId, Tick};

impl<C: Carrier> Nat<C> {
    /// Takes a change.
    ///
    /// # Errors
    /// A [`NetRefusal`]; nothing was changed.
    pub fn event(&mut self, event: NatEvent, now: Tick) -> Result<(), NetRefusal> {
        match event {
            NatEvent::WanAddress(lease) => {
                self.readdress(lease, now);
            }
            NatEvent::Mtu { zone, mtu } => self.places.set_mtu(zone, mtu),
            NatEvent::Attach {
                id,
                address,
                policy,
            } => {
                let new = Service {
                    address,
                    policy,
                    way: Way::Routed,
                };
                self.attach(id, new, now)?;
            }
            NatEvent::AttachBridged {
                id,
                address,
                policy,
            } => {
                if self.places.bridged_side(address).is_none() {
                    return Err(NetRefusal::Malformed);
                }
                // Its ports, if it was routed, are its own host's from now on.
                self.close_forwards(id, now);
                let new = Service {
                    address,
                    policy,
                    way: Way::Bridged,
                };
                self.attach(id, new, now)?;
            }
            NatEvent::Detach { id } => {
                self.close_forwards(id, now);
                if let Some(Service { address, .. }) = self.services.detach(id) {
                    self.end_all(now, |s| {
                        [s.initiator.source, s.responder.source].contains(&address)
                    });
                }
            }
            NatEvent::Forward(forward) => {
                if forward.from == Zone::Wan {
                    self.free_of_household(&WanPorts {
                        transport: forward.transport,
                        first: forward.port,
                        last: forward.port,
                    })?;
                }
                self.services.forward(forward)?;
                if forward.from == Zone::Wan {
                    let protocol = services::protocol(forward.transport);
                    self.mappings.reserve(protocol, forward.port);
                }
            }
            NatEvent::Unforward { id } => self.close_forwards(id, now),
            NatEvent::OpenPorts(_)
            | NatEvent::ClosePorts(_)
            | NatEvent::NewManager
            | NatEvent::SettlePorts => self.household_event(&event, now)?,
        }
        Ok(())
    }

    /// A link that was there with another policy, or as another one, or that this run does not know
    /// yet: what the service had opened until then may be more than it may now.
    fn attach(&mut self, id: ServiceId, new: Service, now: Tick) -> Result<(), NetRefusal> {
        let old = self.services.attach(id, new)?;
        if old != Some(new) {
            let before = old.map_or(new.address, |old| old.address);
            self.end_all(now, |s| [new.address, before].contains(&s.initiator.source));
        }
        Ok(())
    }

    fn close_forwards(&mut self, id: ServiceId, now: Tick) {
        let mut closed = false;
        while let Some(forward) = self.services.pop_forward(id) {
            closed = true;
            if forward.from == Zone::Wan {
                let protocol = services::protocol(forward.transport);
                self.mappings.unreserve(protocol, forward.port);
            }
        }
        let Some(Service { address, .. }) = self.services.get(id).filter(|_| closed) else {
            return;
        };
        self.end_all(now, |s| {
            let came = s.responder.source == address && s.initiator.destination != address;
            let fixed = s.mapping.is_none() && s.responder.destination != address;
            came || (s.initiator.source == address && fixed)
        });
    }
}

//! Ports of the WAN's address that the household has given to a host of the home or to a service.
//!
//! Invariants: no two forwards share a port, nor one with a service's own; a forward whose service has
//! no link leads nowhere. A forward is its target's mapping too: what the target itself sends from there
//! leaves by the forward's port (RFC 4787 REQ-1).

use super::carry::Carrier;
use super::plan::SourceRule;
use super::services::{Way, protocol};
use super::sessions::{Session, Tuple};
use super::{Nat, NatEvent};
use crate::wire::transport::Protocol;
use core::net::Ipv4Addr;
use hearth_model::Tick;
use hearth_model::limits::HOUSEHOLD_FORWARDS_MAX;
use hearth_model::protocol::{
    ForwardTarget, HouseholdForward, NetRefusal, Transport, WanPorts, Zone,
};

#[derive(Clone, Copy, Debug)]
struct Row {
    forward: HouseholdForward,
    /// The manager of now has said it.
    told: bool,
}

/// The household's forwards, in the order of their ports.
#[derive(Debug, Default)]
pub struct Household {
    rows: heapless::Vec<Row, HOUSEHOLD_FORWARDS_MAX>,
}

fn transport(protocol: Protocol) -> Option<Transport> {
    match protocol {
        Protocol::Tcp => Some(Transport::Tcp),
        Protocol::Udp => Some(Transport::Udp),
        Protocol::Icmp => None,
    }
}

impl Household {
    /// The forward that has a port.
    #[must_use]
    pub fn at(&self, protocol: Protocol, port: u16) -> Option<&HouseholdForward> {
        let transport = transport(protocol)?;
        let key = (transport, port);
        let after = self
            .rows
            .partition_point(|row| (row.forward.ports.transport, row.forward.ports.first) <= key);
        let row = self.rows.get(after.checked_sub(1)?)?;
        row.forward
            .ports
            .has(transport, port)
            .then_some(&row.forward)
    }

    /// The port that leads to a target's.
    fn port_of(&self, protocol: Protocol, to: ForwardTarget, to_port: u16) -> Option<u16> {
        if self.rows.is_empty() {
            return None;
        }
        let transport = transport(protocol)?;
        let all = self.rows.iter().map(|row| &row.forward);
        let mut its =
            all.filter(|forward| forward.to == to && forward.ports.transport == transport);
        its.find_map(|forward| forward.comes_from(to_port))
    }

    fn insert(
        &mut self,
        forward: HouseholdForward,
    ) -> Result<Option<HouseholdForward>, NetRefusal> {
        let told = true;
        let same = |row: &&mut Row| row.forward.ports == forward.ports;
        if let Some(row) = self.rows.iter_mut().find(same) {
            let old = core::mem::replace(row, Row { forward, told });
            return Ok((old.forward != forward).then_some(old.forward));
        }
        let mut all = self.rows.iter();
        if let Some(port) = all.find_map(|row| row.forward.ports.common(&forward.ports)) {
            let transport = forward.ports.transport;
            return Err(NetRefusal::PortForwarded { transport, port });
        }
        let row = Row { forward, told };
        let full = |_| NetRefusal::HouseholdForwardsFull;
        self.rows.push(row).map_err(full)?;
        self.rows.sort_unstable_by_key(|row| row.forward.ports);
        Ok(None)
    }

    fn remove(&mut self, which: impl Fn(&Row) -> bool) -> Option<HouseholdForward> {
        let place = self.rows.iter().position(which)?;
        Some(self.rows.remove(place).forward)
    }
}

impl<C: Carrier> Nat<C> {
    /// Takes a change of the household's forwards.
    ///
    /// # Errors
    /// A [`NetRefusal`]; nothing was changed.
    pub(super) fn household_event(
        &mut self,
        event: &NatEvent,
        now: Tick,
    ) -> Result<(), NetRefusal> {
        match event {
            NatEvent::OpenPorts(forward) => self.open_ports(*forward, now)?,
            NatEvent::ClosePorts(ports) => {
                if let Some(old) = self.household.remove(|row| row.forward.ports == *ports) {
                    self.close_ports(&old, now);
                }
            }
            NatEvent::NewManager => self
                .household
                .rows
                .iter_mut()
                .for_each(|row| row.told = false),
            NatEvent::SettlePorts => {
                while let Some(old) = self.household.remove(|row| !row.told) {
                    self.close_ports(&old, now);
                }
            }
            NatEvent::WanAddress(_)
            | NatEvent::Mtu { .. }
            | NatEvent::Attach { .. }
            | NatEvent::AttachBridged { .. }
            | NatEvent::Detach { .. }
            | NatEvent::Forward(_)
            | NatEvent::Unforward { .. } => {}
        }
        Ok(())
    }

    fn open_ports(&mut self, forward: HouseholdForward, now: Tick) -> Result<(), NetRefusal> {
        let ports = forward.ports;
        if !forward.fits() {
            return Err(NetRefusal::Malformed);
        }
        if let Some(port) = ports.reserved() {
            return Err(NetRefusal::PortReserved { port });
        }
        if let ForwardTarget::Host(address) = forward.to
            && (!self.places.is_lan_host(address) || self.services.bridged_at(address).is_some())
        {
            return Err(NetRefusal::NoHomeHost { address });
        }
        if let Some((port, by)) = self.services.wan_port_among(&ports) {
            return Err(NetRefusal::PortTaken { port, by });
        }
        if let Some(old) = self.household.insert(forward)? {
            self.close_ports(&old, now);
        }
        for port in ports.first..=ports.last {
            self.mappings.reserve(protocol(ports.transport), port);
        }
        Ok(())
    }

    /// Gives the ports of a forward back, and ends its flows.
    fn close_ports(&mut self, old: &HouseholdForward, now: Tick) {
        let protocol = protocol(old.ports.transport);
        for port in old.ports.first..=old.ports.last {
            self.mappings.unreserve(protocol, port);
        }
        let Some((_, target)) = self.resolve(old.to) else {
            return;
        };
        let (old, wan) = (*old, self.mapped_to);
        self.end_all(now, |s: &Session| {
            let (asks, answers) = (&s.initiator, &s.responder);
            let came = answers.source == target
                && wan == Some(asks.destination)
                && old.leads(asks.ports.destination) == Some(answers.ports.source);
            let went = asks.source == target
                && s.mapping.is_none()
                && wan == Some(answers.destination)
                && old.leads(answers.ports.destination) == Some(asks.ports.source);
            asks.protocol == protocol && (came || went)
        });
    }

    fn resolve(&self, target: ForwardTarget) -> Option<(Zone, Ipv4Addr)> {
        match target {
            ForwardTarget::Host(address) => Some((Zone::Lan, address)),
            ForwardTarget::Service(id) => {
                let service = self.services.get(id).filter(|s| s.way == Way::Routed)?;
                Some((Zone::Service, service.address))
            }
        }
    }

    /// Where a packet to the WAN's address goes by the household's word: side, address and port.
    pub(super) fn household_target(&self, tuple: &Tuple) -> Option<(Zone, Ipv4Addr, u16)> {
        let forward = self.household.at(tuple.protocol, tuple.ports.destination)?;
        let (zone, address) = self.resolve(forward.to)?;
        Some((zone, address, forward.leads(tuple.ports.destination)?))
    }

    /// The port of the WAN's address that an endpoint has by the household's word.
    pub(super) fn household_port(&self, from: ForwardTarget, tuple: &Tuple) -> Option<u16> {
        self.household
            .port_of(tuple.protocol, from, tuple.ports.source)
    }

    /// What a home host's source becomes where others are to see the WAN's address: its forward's port, or
    /// that of a mapping.
    pub(super) fn seen_as(&self, tuple: &Tuple) -> SourceRule {
        let host = ForwardTarget::Host(tuple.source);
        match (self.household_port(host, tuple), self.places.wan_address()) {
            (Some(port), Some(address)) => SourceRule::Fixed(address, port),
            (Some(_) | None, _) => SourceRule::Mapped,
        }
    }

    /// Whether ports are free of the household's, for a service's own.
    pub(super) fn free_of_household(&self, ports: &WanPorts) -> Result<(), NetRefusal> {
        let mut rows = self.household.rows.iter();
        match rows.find_map(|row| row.forward.ports.common(ports)) {
            Some(port) => Err(NetRefusal::PortForwarded {
                transport: ports.transport,
                port,
            }),
            None => Ok(()),
        }
    }
}

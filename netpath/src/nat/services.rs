//! The services' links and the gateway's ports that are theirs.

use super::hash::Hasher;
use super::table::{Full, Keyed, Row, Table};
use crate::limits::{DHCP_CLIENT_PORT, LOCAL_PORT_FIRST, LOCAL_PORT_LAST};
use crate::wire::transport::Protocol;
use core::net::Ipv4Addr;
use hearth_model::ServiceId;
use hearth_model::limits::{FORWARDS_MAX, SERVICES_MAX};
use hearth_model::protocol::{Forward, NetRefusal, NetworkPolicy, Transport, WanPorts, Zone};

/// How a service's packets come here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// By a link of its own: it has an address of the services' subnet.
    Routed,
    /// Over the home's bridge: it has an address of the home.
    Bridged,
}

/// A service with a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its address.
    pub address: Ipv4Addr,
    /// Where it may open connections.
    pub policy: NetworkPolicy,
    /// Where its packets come from.
    pub way: Way,
}

/// A port of the gateway on one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForwardKey {
    /// The side.
    pub from: Zone,
    /// Protocol.
    pub protocol: Protocol,
    /// Port.
    pub port: u16,
}

impl From<ForwardKey> for [u32; 4] {
    fn from(key: ForwardKey) -> [u32; 4] {
        [u32::from(key.port), key.from as u32, key.protocol as u32, 0]
    }
}

/// The protocol of a forward.
#[must_use]
pub fn protocol(transport: Transport) -> Protocol {
    match transport {
        Transport::Tcp => Protocol::Tcp,
        Transport::Udp => Protocol::Udp,
    }
}

impl Keyed for Forward {
    type Key = ForwardKey;
    fn key(&self) -> ForwardKey {
        ForwardKey {
            from: self.from,
            protocol: protocol(self.transport),
            port: self.port,
        }
    }
}

/// Links and forwards.
#[derive(Debug)]
pub struct Services {
    links: Box<[Option<Service>]>,
    /// Which of them are bridged: mostly one, the home's DHCP server.
    bridged: heapless::Vec<ServiceId, SERVICES_MAX>,
    forwards: Table<Forward>,
    subnet: Ipv4Addr,
}

impl Services {
    /// No service yet; `subnet` is the first address of their network.
    #[must_use]
    pub fn new(subnet: Ipv4Addr, hasher: Hasher) -> Services {
        Services {
            links: (0..SERVICES_MAX).map(|_| None).collect(),
            bridged: heapless::Vec::new(),
            forwards: Table::new(FORWARDS_MAX, hasher),
            subnet,
        }
    }

    /// A service's link.
    #[must_use]
    pub fn get(&self, id: ServiceId) -> Option<Service> {
        self.links.get(id.index()).copied().flatten()
    }

    /// The bridged service that has an address of the home.
    #[must_use]
    pub fn bridged_at(&self, address: Ipv4Addr) -> Option<Service> {
        let mut all = self.bridged.iter().filter_map(|id| self.get(*id));
        all.find(|service| service.address == address)
    }

    /// The routed service that has an address: its number is the address less 2 in the subnet.
    #[must_use]
    pub fn at(&self, address: Ipv4Addr) -> Option<(ServiceId, Service)> {
        let offset = u32::from(address).wrapping_sub(u32::from(self.subnet));
        let number = u16::try_from(offset.checked_sub(2)?).ok()?;
        let id = ServiceId::new(number).ok()?;
        let service = self.get(id)?;
        (service.address == address).then_some((id, service))
    }

    /// Adds or changes a link and returns the one that was there.
    ///
    /// # Errors
    /// [`NetRefusal::Malformed`] where a routed one's address is not that of the number.
    pub fn attach(&mut self, id: ServiceId, new: Service) -> Result<Option<Service>, NetRefusal> {
        let number = u32::from(new.address).wrapping_sub(u32::from(self.subnet));
        let is_its_own = number == u32::from(u16::from(id)) + 2;
        if id.index() >= self.links.len() || (new.way == Way::Routed) != is_its_own {
            return Err(NetRefusal::Malformed);
        }
        let old = self.detach(id);
        if new.way == Way::Bridged {
            // There is room for every number, and this one is not among them now.
            self.bridged.push(id).map_err(|_| NetRefusal::Malformed)?;
        }
        if let Some(link) = self.links.get_mut(id.index()) {
            *link = Some(new);
        }
        Ok(old)
    }

    /// Removes a link and returns it.
    pub fn detach(&mut self, id: ServiceId) -> Option<Service> {
        self.bridged.retain(|bridged| *bridged != id);
        self.links.get_mut(id.index())?.take()
    }

    /// Opens a port; the same port of the same service again replaces where it leads.
    ///
    /// # Errors
    /// [`NetRefusal`]; nothing was changed.
    pub fn forward(&mut self, forward: Forward) -> Result<(), NetRefusal> {
        let reserved = match forward.from {
            Zone::Service | Zone::Guest => return Err(NetRefusal::Malformed),
            Zone::Wan => forward.port == DHCP_CLIENT_PORT,
            Zone::Lan => false,
        };
        let local = (LOCAL_PORT_FIRST..=LOCAL_PORT_LAST).contains(&forward.port);
        for port in [forward.port, forward.to_port] {
            if port == 0 || (port == forward.port && (reserved || local)) {
                return Err(NetRefusal::PortReserved { port });
            }
        }
        if self.get(forward.id).is_none_or(|s| s.way == Way::Bridged) {
            return Err(NetRefusal::NotAttached);
        }
        if let Some(row) = self.forwards.find(forward.key()) {
            let there = self.forwards.get_mut(row).ok_or(NetRefusal::ForwardsFull)?;
            if there.id != forward.id {
                return Err(NetRefusal::PortTaken {
                    port: forward.port,
                    by: there.id,
                });
            }
            there.to_port = forward.to_port;
            return Ok(());
        }
        let added = self.forwards.insert(forward);
        added.map(|_| ()).map_err(|Full| NetRefusal::ForwardsFull)
    }

    /// Removes one forward of a service; the caller asks again until there is none.
    pub fn pop_forward(&mut self, id: ServiceId) -> Option<Forward> {
        let mut rows = self.forwards.iter();
        let row: Row = rows.find(|(_, forward)| forward.id == id)?.0;
        drop(rows);
        self.forwards.remove(row)
    }

    /// Where a port of the gateway leads: the service's address and port.
    #[must_use]
    pub fn target(&self, key: ForwardKey) -> Option<(Ipv4Addr, u16)> {
        let forward = self.forwards.get(self.forwards.find(key)?)?;
        Some((self.get(forward.id)?.address, forward.to_port))
    }

    /// A port of the WAN's address that is a service's own, and whose, among some.
    #[must_use]
    pub fn wan_port_among(&self, ports: &WanPorts) -> Option<(u16, ServiceId)> {
        let mut all = self.forwards.iter().map(|(_, forward)| forward);
        let found = all.find(|forward| {
            forward.from == Zone::Wan && ports.has(forward.transport, forward.port)
        });
        found.map(|forward| (forward.port, forward.id))
    }

    /// The gateway's port on side `from` that leads to a service's port: what its answers must
    /// come from.
    #[must_use]
    pub fn port_of(&self, id: ServiceId, from: Zone, protocol_: Protocol, to: u16) -> Option<u16> {
        let mut all = self.forwards.iter().map(|(_, forward)| forward);
        let found = all.find(|forward| {
            forward.id == id
                && forward.from == from
                && protocol(forward.transport) == protocol_
                && forward.to_port == to
        });
        found.map(|forward| forward.port)
    }
}

//! The services' links and the gateway's ports that are theirs.

use super::hash::Hasher;
use super::table::{Full, Keyed, Row, Table};
use crate::limits::{DHCP_CLIENT_PORT, LOCAL_PORT_FIRST, LOCAL_PORT_LAST};
use crate::wire::transport::Protocol;
use core::net::Ipv4Addr;
use hearth_model::ServiceId;
use hearth_model::limits::{FORWARDS_MAX, SERVICES_MAX};
use hearth_model::protocol::{Forward, NetRefusal, NetworkPolicy, Transport, Zone};

/// A service with a routed link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its address.
    pub address: Ipv4Addr,
    /// Where it may open connections.
    pub policy: NetworkPolicy,
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
    forwards: Table<Forward>,
    subnet: Ipv4Addr,
}

impl Services {
    /// No service yet; `subnet` is the first address of their network.
    #[must_use]
    pub fn new(subnet: Ipv4Addr, hasher: Hasher) -> Services {
        Services {
            links: (0..SERVICES_MAX).map(|_| None).collect(),
            forwards: Table::new(FORWARDS_MAX, hasher),
            subnet,
        }
    }

    /// A service's link.
    #[must_use]
    pub fn get(&self, id: ServiceId) -> Option<Service> {
        self.links.get(id.index()).copied().flatten()
    }

    /// The service that has an address: its number is the address less 2 in the subnet.
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
    /// [`NetRefusal::Malformed`] where the address is not that of the number.
    pub fn attach(&mut self, id: ServiceId, new: Service) -> Result<Option<Service>, NetRefusal> {
        let number = u32::from(new.address).wrapping_sub(u32::from(self.subnet));
        let link = self
            .links
            .get_mut(id.index())
            .ok_or(NetRefusal::Malformed)?;
        if number != u32::from(u16::from(id)) + 2 {
            return Err(NetRefusal::Malformed);
        }
        Ok(link.replace(new))
    }

    /// Removes a link and returns it.
    pub fn detach(&mut self, id: ServiceId) -> Option<Service> {
        self.links.get_mut(id.index())?.take()
    }

    /// Opens a port; the same port of the same service again replaces where it leads.
    ///
    /// # Errors
    /// [`NetRefusal`]; nothing was changed.
    pub fn forward(&mut self, forward: Forward) -> Result<(), NetRefusal> {
        let reserved = match forward.from {
            Zone::Service => return Err(NetRefusal::Malformed),
            Zone::Wan => forward.port == DHCP_CLIENT_PORT,
            Zone::Lan => false,
        };
        let local = (LOCAL_PORT_FIRST..=LOCAL_PORT_LAST).contains(&forward.port);
        for port in [forward.port, forward.to_port] {
            if port == 0 || (port == forward.port && (reserved || local)) {
                return Err(NetRefusal::PortReserved { port });
            }
        }
        if self.get(forward.id).is_none() {
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

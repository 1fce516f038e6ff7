//! Where an address is: in the home, among the services, the gateway's own, or out there.

use super::NatConfig;
use crate::counters::DropReason;
use core::net::Ipv4Addr;
pub use hearth_model::gateway::is_edge_of;
use hearth_model::gateway::same_net;
use hearth_model::protocol::{WanLease, Zone};

/// Where a destination is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The gateway's address in the home.
    LanAddress,
    /// The gateway's end of the services' links.
    ServiceRouter,
    /// The gateway's address in the Internet.
    WanAddress,
    /// The gateway's address in the guests' network.
    GuestAddress,
    /// A host of the home.
    Lan,
    /// A guest.
    Guest,
    /// The services' subnet.
    Services,
    /// Anywhere else.
    Wan,
}

/// The addresses that the machine knows.
#[derive(Clone, Copy, Debug)]
pub struct Places {
    config: NatConfig,
    wan: Option<WanLease>,
}

impl Places {
    /// The configured ones; the WAN's is told later.
    #[must_use]
    pub fn new(config: NatConfig) -> Places {
        Places { config, wan: None }
    }

    /// The WAN's address, while there is one.
    #[must_use]
    pub fn wan_address(&self) -> Option<Ipv4Addr> {
        self.wan.map(|lease| lease.address)
    }

    /// The WAN's address, prefix and router, while there is one.
    #[must_use]
    pub fn wan(&self) -> Option<WanLease> {
        self.wan
    }

    /// Takes the WAN's address.
    pub fn set_wan(&mut self, lease: Option<WanLease>) {
        self.wan = lease;
    }

    /// The gateway's address in the home.
    #[must_use]
    pub fn lan_address(&self) -> Ipv4Addr {
        self.config.lan_address
    }

    /// The gateway's end of the services' links.
    #[must_use]
    pub fn service_router(&self) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.config.services_subnet).wrapping_add(1))
    }

    /// The gateway's own address on a side: the source of the ICMP errors that it sends there.
    #[must_use]
    pub fn own(&self, zone: Zone) -> Option<Ipv4Addr> {
        match zone {
            Zone::Lan => Some(self.lan_address()),
            Zone::Wan => self.wan_address(),
            Zone::Service => Some(self.service_router()),
            Zone::Guest => self.guest_address(),
        }
    }

    /// MTU of a side, bytes.
    #[must_use]
    pub fn mtu(&self, zone: Zone) -> u16 {
        match zone {
            Zone::Lan => self.config.lan_mtu,
            Zone::Wan => self.config.wan_mtu,
            Zone::Service => self.config.services_mtu,
            Zone::Guest => self.config.guest.map_or(0, |guest| guest.mtu),
        }
    }

    /// Takes the MTU of a side, bytes.
    pub fn set_mtu(&mut self, zone: Zone, mtu: u16) {
        match zone {
            Zone::Lan => self.config.lan_mtu = mtu,
            Zone::Wan => self.config.wan_mtu = mtu,
            Zone::Service => self.config.services_mtu = mtu,
            Zone::Guest => {
                if let Some(guest) = &mut self.config.guest {
                    guest.mtu = mtu;
                }
            }
        }
    }

    /// Whether a host of the home can have this address.
    #[must_use]
    pub fn is_lan_host(&self, address: Ipv4Addr) -> bool {
        let config = &self.config;
        same_net(address, config.lan_address, config.lan_prefix)
            && address != config.lan_address
            && !is_edge_of(config.lan_address, config.lan_prefix, address)
    }

    /// The gateway's address in the guests' network.
    fn guest_address(&self) -> Option<Ipv4Addr> {
        self.config.guest.map(|guest| guest.address)
    }

    /// Whether the guests' network has this address.
    fn is_in_guest(&self, address: Ipv4Addr) -> bool {
        let guest = self.config.guest;
        guest.is_some_and(|guest| same_net(address, guest.address, guest.prefix))
    }

    fn is_guest_edge(&self, address: Ipv4Addr) -> bool {
        let guest = self.config.guest;
        guest.is_some_and(|guest| is_edge_of(guest.address, guest.prefix, address))
    }

    /// Whether a guest can have this address.
    #[must_use]
    pub fn is_guest(&self, address: Ipv4Addr) -> bool {
        self.is_in_guest(address)
            && self.guest_address() != Some(address)
            && !self.is_guest_edge(address)
    }

    /// The side of the bridge that a host with this address belongs to, if one of both does.
    #[must_use]
    pub fn bridged_side(&self, address: Ipv4Addr) -> Option<Zone> {
        match (self.is_lan_host(address), self.is_guest(address)) {
            (true, _) => Some(Zone::Lan),
            (false, true) => Some(Zone::Guest),
            (false, false) => None,
        }
    }

    /// Whether the services' subnet has this address.
    #[must_use]
    pub fn is_in_services(&self, address: Ipv4Addr) -> bool {
        let config = &self.config;
        same_net(address, config.services_subnet, config.services_prefix)
    }

    /// Where a packet goes.
    ///
    /// # Errors
    /// [`DropReason::Broadcast`], [`DropReason::Multicast`] or [`DropReason::Destination`] where
    /// it goes to no host.
    pub fn place(&self, to: Ipv4Addr) -> Result<Place, DropReason> {
        let config = &self.config;
        if to == config.lan_address {
            return Ok(Place::LanAddress);
        }
        if self.wan_address() == Some(to) {
            return Ok(Place::WanAddress);
        }
        if self.is_in_services(to) {
            let place = if to == self.service_router() {
                Place::ServiceRouter
            } else {
                Place::Services
            };
            return Ok(place);
        }
        if same_net(to, config.lan_address, config.lan_prefix) {
            if is_edge_of(config.lan_address, config.lan_prefix, to) {
                return Err(DropReason::Broadcast);
            }
            return Ok(Place::Lan);
        }
        if self.is_in_guest(to) {
            return match (self.guest_address() == Some(to), self.is_guest_edge(to)) {
                (true, _) => Ok(Place::GuestAddress),
                (false, true) => Err(DropReason::Broadcast),
                (false, false) => Ok(Place::Guest),
            };
        }
        if to.is_broadcast() || self.is_wan_broadcast(to) {
            return Err(DropReason::Broadcast);
        }
        if to.is_multicast() {
            return Err(DropReason::Multicast);
        }
        if is_no_host(to) {
            return Err(DropReason::Destination);
        }
        Ok(Place::Wan)
    }

    /// Whether a source may come from a side.
    ///
    /// # Errors
    /// [`DropReason::LandAttack`], [`DropReason::SourceBroadcast`], [`DropReason::Source`] or
    /// [`DropReason::ReversePath`]. A service's own address is checked by who knows its number.
    pub fn check_source(
        &self,
        from: Zone,
        source: Ipv4Addr,
        destination: Ipv4Addr,
    ) -> Result<(), DropReason> {
        let config = &self.config;
        let own = [
            Some(config.lan_address),
            Some(self.service_router()),
            self.wan_address(),
            self.guest_address(),
        ];
        if source == destination || own.contains(&Some(source)) {
            return Err(DropReason::LandAttack);
        }
        let edge = is_edge_of(config.lan_address, config.lan_prefix, source)
            || self.is_guest_edge(source)
            || self.is_wan_broadcast(source);
        if edge || source.is_multicast() || source.is_broadcast() {
            return Err(DropReason::SourceBroadcast);
        }
        if is_no_host(source) {
            return Err(DropReason::Source);
        }
        let in_home = same_net(source, config.lan_address, config.lan_prefix);
        let is_there = match from {
            Zone::Lan => in_home,
            Zone::Service => self.is_in_services(source),
            Zone::Guest => self.is_in_guest(source),
            Zone::Wan => !in_home && !self.is_in_services(source) && !self.is_in_guest(source),
        };
        if is_there {
            Ok(())
        } else {
            Err(DropReason::ReversePath)
        }
    }

    fn is_wan_broadcast(&self, address: Ipv4Addr) -> bool {
        self.wan.is_some_and(|lease| {
            same_net(lease.address, address, lease.prefix)
                && is_edge_of(lease.address, lease.prefix, address)
        })
    }
}

/// Who gets a packet next that goes to `address` by a line with this lease, as the kernel routes it: the
/// host itself where it is on the line, else the router.
#[must_use]
pub fn next_hop(lease: &WanLease, address: Ipv4Addr) -> Option<Ipv4Addr> {
    if same_net(lease.address, address, lease.prefix) {
        Some(address)
    } else {
        lease.router
    }
}

/// Networks 0 and 127, and class E with the limited broadcast (RFC 6890).
#[must_use]
pub fn is_no_host(address: Ipv4Addr) -> bool {
    let [first, ..] = address.octets();
    first == 0 || first == 127 || first >= 240
}

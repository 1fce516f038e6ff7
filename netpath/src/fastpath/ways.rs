//! Where packets leave, side by side with what the kernel's routes say: pure.

use crate::nat::next_hop;
use crate::queue::Members;
use core::net::Ipv4Addr;
use hearth_model::ServiceId;
use hearth_model::limits::SERVICES_MAX;
use hearth_model::protocol::{WanLease, Zone};

/// The way of a packet out of the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    /// Interface.
    pub interface: u32,
    /// Neighbour there.
    pub next_hop: Ipv4Addr,
    /// `skb->priority`; 0 as long as nobody has classed the packet.
    pub priority: u32,
    /// What the link carries at most, bytes.
    pub mtu: u16,
}

/// What the links carry at most, bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mtus {
    /// Towards the home.
    pub lan: u16,
    /// Towards the Internet.
    pub wan: u16,
    /// Towards the services.
    pub services: u16,
    /// Towards the guests.
    pub guest: u16,
}

/// The links that there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ways {
    mtus: Mtus,
    /// The home's bridge.
    pub lan: Option<u32>,
    /// The Internet's port, and its address.
    pub wan: Option<(u32, WanLease)>,
    /// The guests' bridge.
    pub guest: Option<u32>,
    services: Box<[Option<(u32, Ipv4Addr)>]>,
    /// Whose packets are of which class.
    pub members: Members,
}

impl Ways {
    /// No link yet.
    #[must_use]
    pub fn new(mtus: Mtus) -> Ways {
        Ways {
            mtus,
            lan: None,
            wan: None,
            guest: None,
            services: (0..SERVICES_MAX).map(|_| None).collect(),
            members: Members::default(),
        }
    }

    /// What a side's link carries at most, bytes.
    pub fn set_mtu(&mut self, zone: Zone, mtu: u16) {
        match zone {
            Zone::Lan => self.mtus.lan = mtu,
            Zone::Wan => self.mtus.wan = mtu,
            Zone::Service => self.mtus.services = mtu,
            Zone::Guest => self.mtus.guest = mtu,
        }
    }

    /// The link of a service: its interface and the service's address.
    pub fn set_service(&mut self, id: ServiceId, link: Option<(u32, Ipv4Addr)>) {
        if let Some(place) = self.services.get_mut(id.index()) {
            *place = link;
        }
    }

    /// The way to an address on a side; `None` where there is none.
    #[must_use]
    pub fn to(&self, zone: Zone, address: Ipv4Addr) -> Option<Way> {
        let (interface, next_hop, mtu) = match zone {
            Zone::Lan => (self.lan?, address, self.mtus.lan),
            Zone::Guest => (self.guest?, address, self.mtus.guest),
            Zone::Wan => {
                let (interface, lease) = self.wan?;
                (interface, next_hop(&lease, address)?, self.mtus.wan)
            }
            Zone::Service => {
                let mut links = self.services.iter().flatten();
                let (interface, _) = links.find(|(_, service)| *service == address)?;
                (*interface, address, self.mtus.services)
            }
        };
        Some(Way {
            interface,
            next_hop,
            priority: 0,
            mtu,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_is_the_one_that_the_kernel_would_route() {
        // given a home, an Internet behind a router, and a service
        let far = Ipv4Addr::new(198, 51, 100, 7);
        let (near, router) = (Ipv4Addr::new(203, 0, 113, 9), Ipv4Addr::new(203, 0, 113, 1));
        let (host, service) = (Ipv4Addr::new(192, 168, 1, 50), Ipv4Addr::new(10, 213, 0, 2));
        let mut ways = Ways::new(Mtus {
            lan: 1_500,
            wan: 1_492,
            services: 9_000,
            guest: 1_300,
        });
        let way = |ways: &Ways, zone, to| {
            ways.to(zone, to)
                .map(|way| (way.interface, way.next_hop, way.mtu))
        };
        // while a link is missing, then there is no way
        assert_eq!(way(&ways, Zone::Lan, host), None);
        assert_eq!(way(&ways, Zone::Wan, far), None);
        assert_eq!(way(&ways, Zone::Service, service), None);
        assert_eq!(way(&ways, Zone::Guest, host), None);
        // when they are there
        let lease = WanLease {
            address: Ipv4Addr::new(203, 0, 113, 50),
            prefix: 24,
            router: Some(router),
        };
        ways.lan = Some(3);
        ways.guest = Some(6);
        ways.wan = Some((4, lease));
        ways.set_service(ServiceId::new(0).unwrap(), Some((5, service)));
        // then hosts of a link are their own next hop, and all others the router's
        assert_eq!(way(&ways, Zone::Lan, host), Some((3, host, 1_500)));
        assert_eq!(way(&ways, Zone::Guest, host), Some((6, host, 1_300)));
        assert_eq!(way(&ways, Zone::Wan, near), Some((4, near, 1_492)));
        assert_eq!(way(&ways, Zone::Wan, far), Some((4, router, 1_492)));
        assert_eq!(
            way(&ways, Zone::Service, service),
            Some((5, service, 9_000))
        );
        // and without a router there is no way to the others
        ways.wan = Some((
            4,
            WanLease {
                router: None,
                ..lease
            },
        ));
        assert_eq!(way(&ways, Zone::Wan, far), None);
    }
}

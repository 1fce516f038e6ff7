//! The WAN's address on the interface: from the configuration, or as the DHCP machine says.

use super::{links, ports};
use crate::sys;
use hearth_bpf::netlink::Netlink;
use hearth_model::Tick;
use hearth_model::gateway::{GatewayConfig, WanMode};
use hearth_model::protocol::{WanLease, WanStatus};
use hearth_netpath::dhcp::{Dhcp, DhcpAction, DhcpConfig, DhcpEvent};
use hearth_netpath::limits::DHCP_SERVER_PORT;
use std::net::{Ipv4Addr, UdpSocket};

/// The WAN's side, once its port is up.
#[derive(Debug)]
pub struct WanSide {
    index: u32,
    /// What the interface has now.
    pub status: WanStatus,
    client: Option<Client>,
}

#[derive(Debug)]
struct Client {
    machine: Dhcp,
    socket: UdpSocket,
}

impl WanSide {
    /// Starts to get the address on the interface `index`.
    pub fn start(
        netlink: &mut Netlink,
        config: &GatewayConfig,
        index: u32,
        seed: u64,
        now: Tick,
    ) -> Result<WanSide, ports::PortError> {
        let mut side = WanSide {
            index,
            status: WanStatus::default(),
            client: None,
        };
        match config.wan.mode {
            WanMode::Static => side.take(netlink, static_status(config)),
            WanMode::Dhcp => {
                let name = &config.wan.interface;
                let socket = sys::dhcp_socket(name).map_err(|e| ports::PortError {
                    object: format!("DHCP client port on {name}"),
                    reason: e.to_string(),
                })?;
                let machine = Dhcp::new(DhcpConfig {
                    mac: ports::hardware_address(name)?,
                    seed,
                    inside: [
                        (config.lan.address, config.lan.prefix),
                        (config.services.subnet, config.services.prefix),
                    ],
                });
                side.client = Some(Client { machine, socket });
                side.step(netlink, DhcpEvent::Start, now);
            }
        }
        Ok(side)
    }

    /// When [`WanSide::step`] wants a [`DhcpEvent::Tick`].
    pub fn next_deadline(&self) -> Option<Tick> {
        self.client
            .as_ref()
            .and_then(|client| client.machine.next_deadline())
    }

    /// Gives the DHCP machine an event and does what it says. Whether the address changed shows in
    /// `status`.
    pub fn step(&mut self, netlink: &mut Netlink, event: DhcpEvent<'_>, now: Tick) {
        let Some(client) = &mut self.client else {
            return;
        };
        for action in client.machine.step(event, now) {
            match action {
                DhcpAction::Send { payload, to } => self.send(&payload, to),
                DhcpAction::Bound(status) => self.take(netlink, status),
                DhcpAction::Lost => {
                    log::warn!("wan: the address is lost; looking for another");
                    self.take(netlink, WanStatus::default());
                }
                DhcpAction::Refused(fault) => {
                    log::warn!("wan: refused an offer of a DHCP server: {fault:?}");
                }
            }
        }
    }

    fn send(&self, payload: &[u8], to: Ipv4Addr) {
        let Some(client) = &self.client else {
            return;
        };
        // A lost message is sent again by the machine's own timer.
        if let Err(e) = client.socket.send_to(payload, (to, DHCP_SERVER_PORT)) {
            log::info!("wan: DHCP message to {to}: {e}");
        }
    }

    /// Puts an address on the interface in the place of the old one.
    fn take(&mut self, netlink: &mut Netlink, status: WanStatus) {
        let old = self.status.lease;
        if old != status.lease {
            if let Some(old) = old
                && let Err(e) = links::remove_address(netlink, self.index, old.address, old.prefix)
            {
                log::warn!("wan: {}: {e}", old.address);
            }
            match status.lease {
                Some(lease) => self.give(netlink, lease),
                None => log::warn!("wan: no address"),
            }
        }
        self.status = status;
    }

    fn give(&self, netlink: &mut Netlink, lease: WanLease) {
        if let Err(e) = links::add_address(netlink, self.index, lease.address, lease.prefix) {
            log::error!("wan: {}: {e}", lease.address);
        }
        if let Some(router) = lease.router {
            let route = links::Route {
                to: (Ipv4Addr::UNSPECIFIED, 0),
                via: Some(router),
                index: self.index,
            };
            if let Err(e) = links::set_route(netlink, &route) {
                log::error!("wan: route via {router}: {e}");
            }
        }
        log::info!(
            "wan: address={}/{} router={:?}",
            lease.address,
            lease.prefix,
            lease.router
        );
    }
}

fn static_status(config: &GatewayConfig) -> WanStatus {
    let wan = &config.wan;
    let mut status = WanStatus::default();
    // Both are there: GatewayConfig::parse refuses a static WAN without them.
    if let (Some(address), Some(prefix)) = (wan.address, wan.prefix) {
        status.lease = Some(WanLease {
            address,
            prefix,
            router: wan.router,
        });
    }
    for (place, &resolver) in status.resolvers.iter_mut().zip(&wan.resolvers) {
        *place = Some(resolver);
    }
    status
}

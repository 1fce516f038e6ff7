//! The WAN's address on the interface: from the configuration, or as the DHCP machine says.

use super::frame::dhcp_broadcast;
use super::ports::PortError;
use super::{links, ports};
use crate::sys;
use hearth_bpf::KernelError;
use hearth_bpf::guard::Guard;
use hearth_bpf::netlink::Netlink;
use hearth_model::Tick;
use hearth_model::gateway::{GatewayConfig, WanMode};
use hearth_model::protocol::{WanLease, WanStatus};
use hearth_netpath::dhcp::{Dhcp, DhcpAction, DhcpConfig, DhcpEvent};
use hearth_netpath::limits::{DHCP_CLIENT_PORT, DHCP_SERVER_PORT};
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

/// The WAN's side, once its port is there.
#[derive(Debug)]
pub struct WanSide {
    /// The interface.
    pub index: u32,
    /// What the interface has now.
    pub status: WanStatus,
    /// Counts what may not leave.
    guard: Rc<Guard>,
    client: Option<Client>,
}

#[derive(Debug)]
struct Client {
    machine: Dhcp,
    /// To one server, from the leased address.
    socket: UdpSocket,
    /// To every server: the kernel would choose the home's address as the source of a broadcast
    /// that leaves while the WAN has none.
    broadcast: OwnedFd,
    cable: bool,
    /// The address that was had last.
    last: Option<Ipv4Addr>,
}

impl WanSide {
    /// Starts to get the address on the interface `index`, whose way out `guard` counts.
    ///
    /// # Errors
    /// [`PortError`] with the socket or the interface, and why.
    pub fn start(
        netlink: &mut Netlink,
        config: &GatewayConfig,
        (index, guard): (u32, Rc<Guard>),
        seed: u64,
        now: Tick,
    ) -> Result<WanSide, PortError> {
        let name = &config.wan.interface;
        let mut side = WanSide {
            index,
            status: WanStatus::default(),
            guard,
            client: None,
        };
        match config.wan.mode {
            WanMode::Static => side.take(netlink, static_status(config)),
            WanMode::Dhcp => {
                side.client = Some(Client {
                    machine: Dhcp::new(DhcpConfig {
                        mac: ports::hardware_address(name)?,
                        seed,
                        inside: [
                            (config.lan.address, config.lan.prefix),
                            (config.services.subnet, config.services.prefix),
                        ],
                    }),
                    socket: sys::udp_on(name, DHCP_CLIENT_PORT)
                        .map_err(ports::on(&format!("DHCP client port on {name}")))?,
                    broadcast: sys::packet_socket().map_err(ports::on("packet socket"))?,
                    cable: false,
                    last: clear(netlink, index).map_err(ports::on(name))?,
                });
                side.cable(netlink, ports::has_carrier(name), now);
            }
        }
        Ok(side)
    }

    /// When [`WanSide::step`] wants a [`DhcpEvent::Tick`].
    #[must_use]
    pub fn next_deadline(&self) -> Option<Tick> {
        self.client
            .as_ref()
            .and_then(|client| client.machine.next_deadline())
    }

    /// Tells whether there is a cable. Behind a new one may be another network: a leased address is
    /// asked for again; a configured one stays.
    pub fn cable(&mut self, netlink: &mut Netlink, there: bool, now: Tick) {
        let Some(client) = &mut self.client else {
            return;
        };
        if client.cable == there {
            return;
        }
        client.cable = there;
        let event = match (there, client.last) {
            (true, Some(address)) => DhcpEvent::Resume(address),
            (true, None) => DhcpEvent::Start,
            (false, _) => {
                log::warn!("wan: no cable, or nobody at its other end");
                DhcpEvent::Stop
            }
        };
        self.step(netlink, event, now);
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
                DhcpAction::Lost => self.take(netlink, WanStatus::default()),
                DhcpAction::Refused(fault) => {
                    log::warn!("wan: did not take the offer of a DHCP server: {fault}");
                }
            }
        }
    }

    fn send(&self, payload: &[u8], to: Ipv4Addr) {
        let Some(client) = &self.client else {
            return;
        };
        let sent = if to.is_broadcast() {
            let lease = self.status.lease;
            let source = lease.map_or(Ipv4Addr::UNSPECIFIED, |lease| lease.address);
            // A message of ours is far below what fits in a packet.
            let packet = dhcp_broadcast(source, payload).unwrap_or_default();
            sys::send_to_all(client.broadcast.as_fd(), self.index, &packet)
        } else {
            let sent = client.socket.send_to(payload, (to, DHCP_SERVER_PORT));
            sent.map(drop)
        };
        // A lost message is sent again by the machine's own timer.
        if let Err(e) = sent {
            log::info!("wan: DHCP message to {to}: {e}");
        }
    }

    /// Puts an address on the interface in the place of the old one.
    fn take(&mut self, netlink: &mut Netlink, status: WanStatus) {
        if self.status.lease != status.lease {
            match status.lease {
                Some(lease) => self.give(netlink, lease),
                None => {
                    log::warn!("wan: the address is lost");
                    let cleared = clear(netlink, self.index).and_then(|_| {
                        ports::guard(netlink, &self.guard, self.index, Ipv4Addr::UNSPECIFIED)
                    });
                    if let Err(e) = cleared {
                        log::warn!("wan: {e}");
                    }
                }
            }
        }
        self.status = status;
    }

    fn give(&mut self, netlink: &mut Netlink, lease: WanLease) {
        if let Some(client) = &mut self.client {
            client.last = Some(lease.address);
        }
        // With the old address its route goes too, also where only the router changed.
        let settled = ports::guard(netlink, &self.guard, self.index, lease.address)
            .and_then(|()| clear(netlink, self.index))
            .and_then(|_| links::settle(netlink, self.index, lease.address, lease.prefix));
        if let Err(e) = settled {
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
        let router = lease.router.map_or("none".to_owned(), |r| r.to_string());
        let (address, prefix) = (lease.address, lease.prefix);
        log::info!("wan: address={address}/{prefix} router={router}");
    }
}

/// Takes all addresses from a link and returns the first one.
fn clear(netlink: &mut Netlink, index: u32) -> Result<Option<Ipv4Addr>, KernelError> {
    let there = links::addresses(netlink, index)?;
    for &(address, prefix) in &there {
        links::remove_address(netlink, index, address, prefix)?;
    }
    Ok(there.first().map(|(address, _)| *address))
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

//! The WAN's address on the interface: from the configuration, or as the DHCP machine says.

use super::frame::{announcement, dhcp_broadcast, probe};
use super::limits::{ANNOUNCE_MS, ARP_MAX, BATCH};
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
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

/// The WAN's side, once its port is there.
#[derive(Debug)]
pub struct WanSide {
    /// The interface.
    pub index: u32,
    /// What the interface has now.
    pub status: WanStatus,
    /// What a server gives and can not be taken, since it overlaps a network of our own.
    pub overlap: Option<WanStatus>,
    /// The address that was had last, also by an earlier process.
    pub last: Option<Ipv4Addr>,
    /// Counts what may not leave.
    guard: Rc<Guard>,
    hardware: [u8; 6],
    /// To every host of the link: the kernel would choose the home's address as the source of a
    /// broadcast that leaves while the WAN has none.
    everybody: OwnedFd,
    /// When the address is announced again.
    announce_at: Option<Tick>,
    /// Hears who answers for an address while others are asked about it: no longer, since a line may have much
    /// ARP on it.
    ear: Option<OwnedFd>,
    client: Option<Client>,
}

#[derive(Debug)]
struct Client {
    machine: Dhcp,
    /// To one server, from the leased address.
    socket: UdpSocket,
    cable: bool,
}

impl WanSide {
    /// Starts to get the address on the interface `index`, whose way out `guard` counts, and says what is to be
    /// done first.
    ///
    /// # Errors
    /// [`PortError`] with the socket or the interface, and why.
    pub fn start(
        netlink: &mut Netlink,
        config: &GatewayConfig,
        (index, guard): (u32, Rc<Guard>),
        seed: u64,
        now: Tick,
    ) -> Result<(WanSide, Vec<DhcpAction>), PortError> {
        let name = &config.wan.interface;
        let there = links::addresses(netlink, index).map_err(ports::on(name))?;
        let mut side = WanSide {
            index,
            status: WanStatus::default(),
            overlap: None,
            last: there.first().map(|(address, _)| *address),
            guard,
            hardware: ports::hardware_address(name)?,
            everybody: sys::packet_socket().map_err(ports::on("packet socket"))?,
            announce_at: None,
            ear: None,
            client: None,
        };
        let first = match config.wan.mode {
            WanMode::Static => vec![DhcpAction::Bound(config.wan.configured())],
            WanMode::Dhcp => {
                clear(netlink, index).map_err(ports::on(name))?;
                side.client = Some(Client {
                    machine: Dhcp::new(DhcpConfig {
                        mac: side.hardware,
                        seed,
                        inside: config.own_networks(),
                    }),
                    socket: sys::udp_on(name, DHCP_CLIENT_PORT)
                        .map_err(ports::on(&format!("DHCP client port on {name}")))?,
                    cable: false,
                });
                side.begin(ports::has_carrier(name), now)
            }
        };
        Ok((side, first))
    }

    /// When [`WanSide::announce_again`] has something to do, or [`WanSide::step`] wants a
    /// [`DhcpEvent::Tick`].
    #[must_use]
    pub fn next_deadline(&self) -> Option<Tick> {
        let client = self.client.as_ref();
        let machine = client.and_then(|client| client.machine.next_deadline());
        machine.into_iter().chain(self.announce_at).min()
    }

    /// Says once more where the address is, when it is time.
    pub fn announce_again(&mut self, now: Tick) {
        if self.announce_at.is_some_and(|at| at <= now) {
            self.announce_at = None;
            self.announce();
        }
    }

    /// Says to every host of the link where the address is now: a router that still knows another device, or
    /// our old port, by it would send there (RFC 5227 section 2.3).
    fn announce(&self) {
        let Some(lease) = self.status.lease else {
            return;
        };
        let packet = announcement(self.hardware, lease.address);
        let to = self.everybody.as_fd();
        if let Err(e) = sys::send_to_all(to, self.index, sys::EtherType::Arp, &packet) {
            log::info!("wan: announcement of {}: {e}", lease.address);
        }
    }

    /// What is to be done first. An address that is still there was used until now, by an earlier process.
    fn begin(&mut self, there: bool, now: Tick) -> Vec<DhcpAction> {
        match (self.last, &mut self.client) {
            (Some(address), Some(client)) if there => {
                client.cable = true;
                self.step(DhcpEvent::GoOn(address), now)
            }
            _ => self.cable(there, now),
        }
    }

    /// Tells whether there is a cable. Behind a new one may be another network: a leased address is
    /// asked for again; a configured one stays. Says what is to be done.
    pub fn cable(&mut self, there: bool, now: Tick) -> Vec<DhcpAction> {
        let Some(client) = &mut self.client else {
            return Vec::new();
        };
        if client.cable == there {
            return Vec::new();
        }
        client.cable = there;
        let event = match (there, self.last) {
            (true, Some(address)) => DhcpEvent::Resume(address),
            (true, None) => DhcpEvent::Start,
            (false, _) => {
                log::warn!("wan: no cable, or nobody at its other end");
                DhcpEvent::Stop
            }
        };
        self.step(event, now)
    }

    /// Gives the DHCP machine an event and says what is to be done.
    pub fn step(&mut self, event: DhcpEvent<'_>, now: Tick) -> Vec<DhcpAction> {
        let Some(client) = &mut self.client else {
            return Vec::new();
        };
        let actions = client.machine.step(event, now);
        self.overlap = client.machine.overlap();
        self.ear = match (client.machine.is_probing(), self.ear.take()) {
            (false, _) => None,
            (true, Some(ear)) => Some(ear),
            (true, None) => sys::arp_socket(self.index)
                .inspect_err(|e| log::error!("wan: others can not be heard: {e}"))
                .ok(),
        };
        actions
    }

    /// Becomes readable when an ARP packet comes that is listened for.
    #[must_use]
    pub fn ear(&self) -> Option<BorrowedFd<'_>> {
        self.ear.as_ref().map(AsFd::as_fd)
    }

    /// Hears what has come, and says what is to be done.
    pub fn hear(&mut self, now: Tick) -> Vec<DhcpAction> {
        let mut all = Vec::new();
        for _ in 0..BATCH {
            let mut body = [0; ARP_MAX];
            let heard = self
                .ear
                .as_ref()
                .map(|ear| sys::receive(ear.as_fd(), &mut body));
            // Nothing more has come, or nobody listens any more.
            let Some(Ok(length)) = heard else { break };
            let body = body.get(..length).unwrap_or_default();
            all.extend(self.step(DhcpEvent::Arp(body), now));
        }
        all
    }

    /// Asks the link who has an address.
    pub fn probe(&self, address: Ipv4Addr) {
        let packet = probe(self.hardware, address);
        let to = self.everybody.as_fd();
        // The next one follows by the machine's own timer.
        if let Err(e) = sys::send_to_all(to, self.index, sys::EtherType::Arp, &packet) {
            log::info!("wan: probe of {address}: {e}");
        }
    }

    /// Sends a message of the DHCP machine.
    pub fn send(&self, payload: &[u8], to: Ipv4Addr) {
        let Some(client) = &self.client else {
            return;
        };
        let sent = if to.is_broadcast() {
            let lease = self.status.lease;
            let source = lease.map_or(Ipv4Addr::UNSPECIFIED, |lease| lease.address);
            // A message of ours is far below what fits in a packet.
            let packet = dhcp_broadcast(source, payload).unwrap_or_default();
            let to = self.everybody.as_fd();
            sys::send_to_all(to, self.index, sys::EtherType::Ipv4, &packet)
        } else {
            let sent = client.socket.send_to(payload, (to, DHCP_SERVER_PORT));
            sent.map(drop)
        };
        // A lost message is sent again by the machine's own timer.
        if let Err(e) = sent {
            log::info!("wan: DHCP message to {to}: {e}");
        }
    }

    /// Puts an address on the interface in the place of the old one. Flows by the old one have ended.
    pub fn take(&mut self, netlink: &mut Netlink, status: WanStatus, now: Tick) {
        let is_new = self.status.lease != status.lease;
        if is_new {
            match status.lease {
                Some(lease) => self.give(netlink, lease),
                None => {
                    log::warn!("wan: the address is lost");
                    let cleared = clear(netlink, self.index).and_then(|()| {
                        ports::guard(netlink, &self.guard, self.index, Ipv4Addr::UNSPECIFIED)
                    });
                    if let Err(e) = cleared {
                        log::warn!("wan: {e}");
                    }
                }
            }
        }
        self.status = status;
        if is_new {
            self.announce();
            self.announce_at = Some(now.after_ms(ANNOUNCE_MS));
        }
    }

    fn give(&mut self, netlink: &mut Netlink, lease: WanLease) {
        self.last = Some(lease.address);
        // With the old address its route goes too, also where only the router changed.
        let settled = ports::guard(netlink, &self.guard, self.index, lease.address)
            .and_then(|()| clear(netlink, self.index))
            .and_then(|()| links::settle(netlink, self.index, lease.address, lease.prefix));
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

/// Takes all addresses from a link.
fn clear(netlink: &mut Netlink, index: u32) -> Result<(), KernelError> {
    for (address, prefix) in links::addresses(netlink, index)? {
        links::remove_address(netlink, index, address, prefix)?;
    }
    Ok(())
}

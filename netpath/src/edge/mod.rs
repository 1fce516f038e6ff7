//! The edge: turns packets, records, signals and time into the machines' events, and their
//! verdicts into writes. One thread, one poll; no policy.

mod complaint;
mod control;
mod fast;
mod flaps;
mod frame;
mod guests;
mod hosts;
mod internet;
mod limits;
mod links;
mod look;
mod packets;
pub mod ports;
mod queues;
mod requests;
mod services;
mod signals;
mod threads;
mod wan;

use crate::sys;
use complaint::Complaint;
use control::Control;
use fast::Adoption;
use hearth_bpf::netlink::{Netlink, Watch};
use hearth_model::Tick;
use hearth_model::gateway::GatewayConfig;
use hearth_model::protocol::{WanStatus, Zone};
use hearth_model::queues::QueueData;
use hearth_netpath::dhcp::DhcpEvent;
use hearth_netpath::fastpath::FastPath;
use hearth_netpath::limits::REPLY_MAX;
use hearth_netpath::nat::{Nat, NatConfig};
use hosts::{Hosts, Queue};
use ports::{PortError, Tuns};
use queues::Queues;
use services::Services;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use threads::Group;
use wan::WanSide;

/// Everything that the process holds.
pub struct Gateway {
    config: GatewayConfig,
    nat: Nat<Option<FastPath>>,
    netlink: Netlink,
    tuns: Tuns,
    services: Services,
    queues: Queues,
    /// What forwarding is charged to.
    group: Group,
    control: Control,
    watch: Watch,
    hosts: Hosts,
    signals: OwnedFd,
    instance: u64,
    /// The home's Ethernet port, once it is in the bridge.
    lan: Option<u32>,
    /// When that port, which is down for its hosts to notice another network, comes up.
    lan_up_at: Option<Tick>,
    /// The guests' Ethernet port, once it is in its bridge.
    guest: Option<u32>,
    wan: Option<WanSide>,
    retry_at: Tick,
    /// When the fast path is told again that this process is there.
    beat_at: Tick,
    adoption: Adoption,
    /// When the fast path's counters may be read for a report again.
    report_at: Tick,
    /// What the manager was told last of [`Gateway::overlap`].
    told_overlap: Option<WanStatus>,
    /// When ends of flows whose address has gone are told next.
    tell_at: Tick,
    /// When this process ends, since its networks are others now.
    leave_at: Option<Tick>,
    faults: Faults,
    packet: Vec<u8>,
    reply: [u8; REPLY_MAX],
}

/// What can be told again and again, each kind by itself.
#[derive(Default)]
struct Faults {
    lan: Complaint,
    guest: Complaint,
    wan: Complaint,
    packets: Complaint,
    fast_path: Complaint,
}

/// Whether to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Go,
    Leave,
}

impl Gateway {
    /// Makes the devices and sockets; ports that are missing are tried again while it runs.
    ///
    /// # Errors
    /// A [`PortError`] that names the device or file, and why.
    pub fn open(
        config: GatewayConfig,
        queues: Option<QueueData>,
        run_folder: &str,
        group: &str,
    ) -> Result<Gateway, PortError> {
        let on = |object: &str| {
            let object = object.to_owned();
            move |e: io::Error| PortError {
                object,
                reason: e.to_string(),
            }
        };
        let mut netlink = Netlink::open().map_err(on("rtnetlink"))?;
        let mut tuns = Tuns::open(&mut netlink)?;
        let now = sys::now();
        let nat_config = NatConfig {
            lan_address: config.lan.address,
            lan_prefix: config.lan.prefix,
            services_subnet: config.services.subnet,
            services_prefix: config.services.prefix,
            lan_mtu: ports::mtu(&config.lan.interface),
            wan_mtu: ports::mtu(&config.wan.interface),
            services_mtu: limits::MTU_ETHERNET,
            guest: guests::net(&config),
            choices: config.nat,
            secret: sys::random().map_err(on("getrandom"))?,
        };
        let mut carrier = fast::open(&mut tuns, &nat_config, now);
        let adoption = Adoption::begin(carrier.as_mut(), now);
        let queues = Queues::open(&mut netlink, &tuns, &config.wan, queues);
        queues.introduce(carrier.as_mut());
        let hosts = Hosts::new(carrier.as_ref(), now).map_err(on("rtnetlink"))?;
        let nat = Nat::with_carrier(nat_config, carrier);
        let socket = format!("{run_folder}/netpath.sock");
        Ok(Gateway {
            nat,
            netlink,
            tuns,
            services: Services::new(run_folder).map_err(on(run_folder))?,
            queues,
            hosts,
            group: Group::open(group, &config.reserve),
            control: Control::open(&socket).map_err(on(&socket))?,
            watch: Watch::links().map_err(on("rtnetlink"))?,
            signals: sys::signal_fd(&[libc::SIGTERM, libc::SIGUSR1]).map_err(on("signalfd"))?,
            instance: sys::random().map_err(on("getrandom"))?,
            config,
            lan: None,
            lan_up_at: None,
            guest: None,
            wan: None,
            retry_at: Tick(0),
            beat_at: Tick(0),
            adoption,
            report_at: Tick(0),
            told_overlap: None,
            tell_at: Tick(0),
            leave_at: None,
            faults: Faults::default(),
            packet: vec![0; limits::PACKET_MAX],
            reply: [0; REPLY_MAX],
        })
    }

    /// Runs until SIGTERM; devices and links stay, so that the next run goes on with them.
    ///
    /// # Errors
    /// As poll(2); EBADFD where a TUN device was removed: the next run makes it anew.
    pub fn run(&mut self) -> io::Result<()> {
        loop {
            let now = sys::now();
            if self.leave_at.is_some_and(|at| at <= now) {
                log::info!("leaving; the next run begins with other networks");
                return Ok(());
            }
            self.on_time(now);
            let (listener, connection) = self.control.fds();
            let [lan, wan, service, guest] = &self.tuns.fds;
            let ready = sys::wait(
                [
                    Some(lan.as_fd()),
                    Some(wan.as_fd()),
                    Some(service.as_fd()),
                    Some(guest.as_fd()),
                    listener,
                    connection,
                    Some(self.watch.as_fd()),
                    Some(self.hosts.watch.as_fd()),
                    self.wan.as_ref().and_then(WanSide::ear),
                    Some(self.signals.as_fd()),
                ],
                self.timeout(now),
            )?;
            let [
                lan,
                wan,
                service,
                guest,
                listener,
                connection,
                links,
                hosts,
                arp,
                signals,
            ] = ready;
            let now = sys::now();
            for (zone, ready) in Zone::ALL.into_iter().zip([lan, wan, service, guest]) {
                if ready {
                    self.on_packets(zone, now)?;
                } else {
                    self.end_round(zone, Queue::Empty, now);
                }
            }
            if links {
                self.watch.drain();
                self.on_links(now);
            }
            if hosts {
                self.hosts.on_change(now);
            }
            if arp {
                self.on_arp(now);
            }
            if listener {
                self.control.accept();
            }
            if connection {
                self.on_requests(now);
            }
            if signals && self.on_signal() == Next::Leave {
                return Ok(());
            }
        }
    }

    /// Milliseconds until the next deadline, for poll(2).
    fn timeout(&self, now: Tick) -> i32 {
        let ports = self.lacks_a_port().then_some(self.retry_at);
        let wan = self.wan.as_ref().and_then(WanSide::next_deadline);
        let next = [
            ports,
            wan,
            self.nat.next_deadline(),
            self.next_of_fast_path(),
            self.hosts.next_deadline(now),
            self.next_telling(),
            self.leave_at,
            self.lan_up_at,
            self.group.look_at(),
        ]
        .into_iter()
        .flatten()
        .min();
        next.map_or(-1, |at| i32::try_from(at.since_ms(now)).unwrap_or(i32::MAX))
    }

    fn on_time(&mut self, now: Tick) {
        if self.lacks_a_port() && now >= self.retry_at {
            self.retry_at = now.after_ms(limits::PORT_RETRY_MS);
            self.set_up_ports(now);
        }
        if self.nat.next_deadline().is_some_and(|at| at <= now) {
            self.nat.tick(now);
        }
        self.tend_fast_path(now);
        self.tend_hosts(now);
        self.charge_ports(now);
        let due = self.wan.as_ref().and_then(WanSide::next_deadline);
        if due.is_some_and(|at| at <= now) {
            if let Some(side) = &mut self.wan {
                side.announce_again(now);
            }
            self.dhcp(DhcpEvent::Tick, now);
        }
        self.tell_ends(now);
        if self.lan_up_at.is_some_and(|at| at <= now) {
            self.lan_up_at = None;
            let up = self.lan.map(|port| links::up(&mut self.netlink, port));
            if let Some(Err(e)) = up {
                log::error!("lan: {}: {e}", self.config.lan.interface);
                self.lan = None;
            }
        }
    }

    fn set_up_ports(&mut self, now: Tick) {
        if self.lan.is_none() {
            match ports::set_up_lan(&mut self.netlink, &self.tuns, &self.config) {
                Ok(port) => {
                    self.lan = Some(port.index);
                    self.lan_up_at = port.before.map(|_| now.after_ms(limits::LAN_DOWN_MS));
                    let bridge = sys::interface_index(limits::BRIDGE).ok();
                    self.change_ways(now, |ways| ways.lan = bridge);
                    self.services.rejoin(&mut self.netlink);
                    self.group.changed(now);
                    let lan = &self.config.lan;
                    match port.before {
                        None => log::info!("lan: {}/{} is up", lan.address, lan.prefix),
                        Some(before) => log::info!(
                            "lan: {}/{}, until now {before}; the port is down for {} s, so that hosts ask again",
                            lan.address,
                            lan.prefix,
                            limits::LAN_DOWN_MS / 1_000
                        ),
                    }
                }
                Err(e) => self
                    .faults
                    .lan
                    .tell(now, format_args!("lan: {e}; trying again")),
            }
        }
        self.set_up_guests(now);
        if self.wan.is_none() {
            let started =
                ports::set_up_wan(&mut self.netlink, &self.tuns, &self.config).and_then(|index| {
                    let port = (index, Rc::clone(self.tuns.guard()));
                    WanSide::start(&mut self.netlink, &self.config, port, self.instance, now)
                });
            match started {
                Ok((side, first)) => {
                    self.queues.port(&mut self.netlink, side.index);
                    self.wan_is_there(side, first, now);
                    self.group.changed(now);
                }
                Err(e) => self
                    .faults
                    .wan
                    .tell(now, format_args!("wan: {e}; trying again")),
            }
        }
        self.learn_mtus(now);
    }

    /// A port may have gone, or its cable, or the bridge; one that is back is found by
    /// [`Gateway::set_up_ports`].
    fn on_links(&mut self, now: Tick) {
        self.learn_mtus(now);
        self.look_for_guests();
        let is_there = |name: &str, index| sys::interface_index(name).ok() == Some(index);
        self.group.changed(now);
        let (lan, wan) = (&self.config.lan.interface, &self.config.wan.interface);
        if self.lan.is_some_and(|index| !is_there(lan, index)) {
            log::warn!("lan: {lan} has gone");
            self.lan = None;
        } else if self.lan.is_some() && !ports::is_in_bridge(lan, limits::BRIDGE) {
            log::warn!("lan: {lan} was taken from {}", limits::BRIDGE);
            self.lan = None;
        }
        if self.lan.is_some() {
            flaps::restore_lan(&mut self.netlink, &self.config.lan);
        }
        let Some(side) = &mut self.wan else { return };
        if is_there(wan, side.index) {
            let (cable, index) = (ports::has_carrier(wan), side.index);
            let actions = side.cable(cable, now);
            self.act_on_wan(actions, now);
            if let (true, Some(lease)) = (cable, self.wan_status().lease) {
                flaps::restore_wan(&mut self.netlink, index, lease);
            }
        } else {
            log::warn!("wan: {wan} has gone");
            self.wan = None;
            self.queues.no_port();
            self.wan_changed(WanStatus::default(), now);
        }
    }
}

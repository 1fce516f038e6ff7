//! The edge: turns packets, records, signals and time into the machines' events, and their
//! verdicts into writes. One thread, one poll; no policy.

mod control;
mod limits;
mod links;
pub mod ports;
mod services;
mod wan;

use crate::sys;
use control::Control;
use hearth_bpf::netlink::Netlink;
use hearth_model::gateway::GatewayConfig;
use hearth_model::limits::PROTOCOL_VERSION;
use hearth_model::protocol::{FromNetpath, Link, NetRefusal, ToNetpath, Zone};
use hearth_model::{ServiceId, Tick};
use hearth_netpath::counters::DropReason;
use hearth_netpath::dhcp::DhcpEvent;
use hearth_netpath::limits::REPLY_MAX;
use hearth_netpath::nat::{Nat, NatConfig, NatEvent, Verdict};
use ports::{PortError, Tuns};
use services::Services;
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, OwnedFd};
use wan::WanSide;

const ZONES: [Zone; 3] = [Zone::Lan, Zone::Wan, Zone::Service];

/// Everything that the process holds.
pub struct Gateway {
    config: GatewayConfig,
    nat: Nat,
    netlink: Netlink,
    tuns: Tuns,
    services: Services,
    control: Control,
    signals: OwnedFd,
    instance: u64,
    lan_up: bool,
    wan: Option<WanSide>,
    retry_at: Tick,
    complain_at: Tick,
    packet: Vec<u8>,
    reply: [u8; REPLY_MAX],
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
    pub fn open(config: GatewayConfig, run_folder: &str) -> Result<Gateway, PortError> {
        let on = |object: &str| {
            let object = object.to_owned();
            move |e: io::Error| PortError {
                object,
                reason: e.to_string(),
            }
        };
        let mut netlink = Netlink::open().map_err(on("rtnetlink"))?;
        let tuns = Tuns::open(&mut netlink)?;
        let nat = Nat::new(NatConfig {
            lan_address: config.lan.address,
            lan_prefix: config.lan.prefix,
            services_subnet: config.services.subnet,
            services_prefix: config.services.prefix,
            lan_mtu: ports::mtu(&config.lan.interface),
            wan_mtu: ports::mtu(&config.wan.interface),
            services_mtu: limits::MTU_ETHERNET,
            secret: sys::random().map_err(on("getrandom"))?,
        });
        let socket = format!("{run_folder}/netpath.sock");
        Ok(Gateway {
            nat,
            netlink,
            tuns,
            services: Services::new(run_folder).map_err(on(run_folder))?,
            control: Control::open(&socket).map_err(on(&socket))?,
            signals: sys::signal_fd(&[libc::SIGTERM, libc::SIGUSR1]).map_err(on("signalfd"))?,
            instance: sys::random().map_err(on("getrandom"))?,
            config,
            lan_up: false,
            wan: None,
            retry_at: Tick(0),
            complain_at: Tick(0),
            packet: vec![0; limits::PACKET_MAX],
            reply: [0; REPLY_MAX],
        })
    }

    /// Runs until SIGTERM; devices and links stay, so that the next run goes on with them.
    ///
    /// # Errors
    /// As poll(2).
    pub fn run(&mut self) -> io::Result<()> {
        loop {
            let now = sys::now();
            self.on_time(now);
            let (listener, connection) = self.control.fds();
            let [lan, wan, service] = &self.tuns.fds;
            let ready = sys::wait(
                [
                    Some(lan.as_fd()),
                    Some(wan.as_fd()),
                    Some(service.as_fd()),
                    Some(listener),
                    connection,
                    Some(self.signals.as_fd()),
                ],
                self.timeout(now),
            )?;
            let [lan, wan, service, listener, connection, signals] = ready;
            let now = sys::now();
            for (zone, ready) in ZONES.into_iter().zip([lan, wan, service]) {
                if ready {
                    self.on_packets(zone, now);
                }
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
        let ports = (!self.lan_up || self.wan.is_none()).then_some(self.retry_at);
        let wan = self.wan.as_ref().and_then(WanSide::next_deadline);
        let next = [ports, wan, self.nat.next_deadline()]
            .into_iter()
            .flatten()
            .min();
        next.map_or(-1, |at| i32::try_from(at.since_ms(now)).unwrap_or(i32::MAX))
    }

    fn on_time(&mut self, now: Tick) {
        if (!self.lan_up || self.wan.is_none()) && now >= self.retry_at {
            self.retry_at = now.after_ms(limits::PORT_RETRY_MS);
            self.set_up_ports(now);
        }
        if self.nat.next_deadline().is_some_and(|at| at <= now) {
            self.nat.tick(now);
        }
        let due = self.wan.as_ref().and_then(WanSide::next_deadline);
        if due.is_some_and(|at| at <= now) {
            self.dhcp(DhcpEvent::Tick, now);
        }
    }

    fn set_up_ports(&mut self, now: Tick) {
        if !self.lan_up {
            match ports::set_up_lan(&mut self.netlink, &self.tuns, &self.config) {
                Ok(()) => {
                    self.lan_up = true;
                    log::info!(
                        "lan: {}/{} is up",
                        self.config.lan.address,
                        self.config.lan.prefix
                    );
                }
                Err(e) => self.complain(now, "lan", &e.to_string()),
            }
        }
        if self.wan.is_none() {
            let started =
                ports::set_up_wan(&mut self.netlink, &self.tuns, &self.config).and_then(|index| {
                    WanSide::start(&mut self.netlink, &self.config, index, self.instance, now)
                });
            match started {
                Ok(side) => {
                    self.wan = Some(side);
                    self.wan_changed(now);
                }
                Err(e) => self.complain(now, "wan", &e.to_string()),
            }
        }
    }

    /// Tells of a fault that a stranger, or time, can repeat.
    fn complain(&mut self, now: Tick, who: &str, what: &str) {
        if now >= self.complain_at {
            self.complain_at = now.after_ms(limits::COMPLAIN_MS);
            log::warn!("{who}: {what}; trying again");
        }
    }

    fn dhcp(&mut self, event: DhcpEvent<'_>, now: Tick) {
        let Some(side) = &mut self.wan else { return };
        let before = side.status;
        side.step(&mut self.netlink, event, now);
        if side.status != before {
            self.wan_changed(now);
        }
    }

    fn wan_changed(&mut self, now: Tick) {
        let status = self
            .wan
            .as_ref()
            .map(|side| side.status)
            .unwrap_or_default();
        if let Err(e) = self.nat.event(NatEvent::WanAddress(status.lease), now) {
            log::error!("wan: {e}");
        }
        self.control.tell(&FromNetpath::Wan(status));
    }

    fn on_packets(&mut self, zone: Zone, now: Tick) {
        for _ in 0..limits::BATCH {
            let Some(tun) = self.tuns.fds.get(ports::place(zone)) else {
                return;
            };
            let length = match sys::read(tun.as_fd(), &mut self.packet) {
                Ok(length) => length,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
                Err(e) => return self.complain(now, "packets", &format!("read {zone:?}: {e}")),
            };
            let Some(packet) = self.packet.get_mut(..length) else {
                return;
            };
            let out = match self.nat.packet(zone, packet, now, &mut self.reply) {
                Verdict::Forward | Verdict::Local => &*packet,
                Verdict::Reply(length) => self.reply.get(..length).unwrap_or_default(),
                Verdict::Dhcp(range) => {
                    self.on_dhcp(range, now);
                    continue;
                }
                Verdict::Drop(_) => continue,
            };
            if let Err(e) = sys::write(tun.as_fd(), out) {
                self.complain(now, "packets", &format!("write {zone:?}: {e}"));
            }
        }
    }

    fn on_dhcp(&mut self, range: Range<usize>, now: Tick) {
        // A DHCP answer is rare: a copy frees the packet buffer for the machine's own needs.
        let message = self.packet.get(range).unwrap_or_default().to_vec();
        self.dhcp(DhcpEvent::Packet(&message), now);
    }

    fn on_requests(&mut self, now: Tick) {
        for _ in 0..control::TURN {
            let Some(request) = self.control.next() else {
                return;
            };
            let answer = match request {
                Ok(request) => self.answer(request, now),
                Err(_) => refused(None, NetRefusal::Malformed),
            };
            let greeted = matches!(answer, FromNetpath::Welcome { .. });
            self.control.tell(&answer);
            if greeted {
                let status = self
                    .wan
                    .as_ref()
                    .map(|side| side.status)
                    .unwrap_or_default();
                self.control.tell(&FromNetpath::Wan(status));
            }
        }
    }

    fn answer(&mut self, request: ToNetpath, now: Tick) -> FromNetpath {
        match request {
            ToNetpath::Hello {
                version: PROTOCOL_VERSION,
            } => FromNetpath::Welcome {
                version: PROTOCOL_VERSION,
                instance: self.instance,
            },
            ToNetpath::Hello { version: _ } => refused(
                None,
                NetRefusal::Version {
                    ours: PROTOCOL_VERSION,
                },
            ),
            ToNetpath::Attach { id, link } => match self.attach(id, link, now) {
                Ok(()) => FromNetpath::Attached { id },
                Err(reason) => refused(Some(id), reason),
            },
            ToNetpath::Detach { id } => {
                self.services.remove(&mut self.netlink, id);
                match self.nat.event(NatEvent::Detach { id }, now) {
                    // A bridged service was never the NAT machine's.
                    Ok(()) | Err(NetRefusal::NotAttached) => FromNetpath::Detached { id },
                    Err(reason) => refused(Some(id), reason),
                }
            }
            ToNetpath::Forward(forward) => {
                self.forwarded(forward.id, NatEvent::Forward(forward), now)
            }
            ToNetpath::Unforward { id } => self.forwarded(id, NatEvent::Unforward { id }, now),
            ToNetpath::Report => FromNetpath::Report(self.nat.report()),
        }
    }

    fn forwarded(&mut self, id: ServiceId, event: NatEvent, now: Tick) -> FromNetpath {
        match self.nat.event(event, now) {
            Ok(()) => FromNetpath::Forwarded { id },
            Err(reason) => refused(Some(id), reason),
        }
    }

    fn attach(&mut self, id: ServiceId, link: Link, now: Tick) -> Result<(), NetRefusal> {
        self.services
            .attach(&mut self.netlink, &self.tuns, &self.config, id, link)?;
        let Link::Routed { address, policy } = link else {
            return Ok(());
        };
        let event = NatEvent::Attach {
            id,
            address,
            policy,
        };
        self.nat
            .event(event, now)
            .inspect_err(|_| self.services.remove(&mut self.netlink, id))
    }

    fn on_signal(&mut self) -> Next {
        let Some(signal) = sys::next_signal(self.signals.as_fd()) else {
            return Next::Go;
        };
        if i32::try_from(signal) == Ok(libc::SIGUSR1) {
            let counters = self.nat.counters();
            for &reason in DropReason::ALL {
                let count = counters.refused(reason);
                if count > 0 {
                    log::info!("{}={count}", reason.name());
                }
            }
            return Next::Go;
        }
        log::info!("leaving; devices and links stay");
        Next::Leave
    }
}

fn refused(id: Option<ServiceId>, reason: NetRefusal) -> FromNetpath {
    FromNetpath::Refused { id, reason }
}

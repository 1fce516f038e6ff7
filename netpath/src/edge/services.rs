//! Links of the services: a network namespace each, pinned so that it outlives this process, and a
//! veth pair.
//!
//! The namespace belongs to the first user namespace: a service's root can change nothing in it. Yet
//! nothing here relies on that: what comes out of the gateway's end is checked by a guard, which is in
//! place before the link comes up. On a routed link both ends know each other's hardware address for
//! ever, so that there is no ARP; a bridged one speaks for itself alone, and to no other service.

use super::limits::{BRIDGE, GUEST_BRIDGE};
use super::links;
use super::ports::{self, Tuns};
use super::threads::Book;
use crate::sys;
use hearth_bpf::guard::{Arp, Guard};
use hearth_bpf::netlink::Netlink;
use hearth_bpf::tc;
use hearth_model::ServiceId;
use hearth_model::gateway::GatewayConfig;
use hearth_model::limits::SERVICES_MAX;
use hearth_model::protocol::{Link, LinkStep, NetRefusal, Zone};
use std::fs::{self, File};
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::path::Path;

/// Name of the link inside of every service's namespace.
const INSIDE: &str = "eth0";

/// The links that this run has made or adopted.
#[derive(Debug)]
pub struct Services {
    folder: String,
    home: File,
    pub(super) threads: Book,
    links: Vec<Option<Attached>>,
}

/// A link, and the guard at the gateway's end of it.
#[derive(Debug)]
struct Attached {
    link: Link,
    guard: Guard,
    /// Hardware address of the service's end.
    hardware: [u8; 6],
    /// Where a bridged one is.
    bridge: &'static str,
}

/// A failed step, on its way to a [`NetRefusal`].
fn at<E: Into<StepError>>(step: LinkStep) -> impl FnOnce(E) -> NetRefusal {
    move |error| NetRefusal::Link {
        step,
        errno: error.into().0,
    }
}

struct StepError(i32);

impl From<io::Error> for StepError {
    fn from(error: io::Error) -> StepError {
        StepError(error.raw_os_error().unwrap_or(libc::EIO))
    }
}

impl From<hearth_bpf::KernelError> for StepError {
    fn from(error: hearth_bpf::KernelError) -> StepError {
        StepError(error.errno())
    }
}

impl Services {
    /// No links yet; `run_folder` is where namespaces are pinned.
    pub fn new(run_folder: &str) -> io::Result<Services> {
        let folder = format!("{run_folder}/netns");
        fs::create_dir_all(&folder)?;
        Ok(Services {
            folder,
            threads: Book::open(run_folder, INSIDE)?,
            home: File::open("/proc/self/ns/net")?,
            links: (0..SERVICES_MAX).map(|_| None).collect(),
        })
    }

    pub(super) fn pin(&self, id: ServiceId) -> String {
        format!("{}/{id}", self.folder)
    }

    /// Makes the service's link, or adopts the one that is there; rebuilds one of the other kind.
    pub fn attach(
        &mut self,
        netlink: &mut Netlink,
        tuns: &Tuns,
        config: &GatewayConfig,
        id: ServiceId,
        link: Link,
    ) -> Result<(), NetRefusal> {
        let known = self.links.get(id.index()).and_then(Option::as_ref);
        if known.is_some_and(|known| known.link == link) {
            return Ok(());
        }
        let bridged = Path::new(&format!("/sys/class/net/{}/master", outside(id))).exists();
        // A policy that changed is the NAT machine's: the service stays where it is. Where its address is
        // another one, what routes and neighbours know of the old one goes with the old link.
        let is_same = match self.pinned(id) {
            Some(namespace) => self.has_no_other(&namespace, link.address()),
            None => false,
        };
        if bridged != matches!(link, Link::Bridged { .. }) || !is_same {
            self.remove(netlink, id);
        }
        match self.make(netlink, tuns, config, id, link) {
            Ok(attached) => {
                if let Some(row) = self.links.get_mut(id.index()) {
                    *row = Some(attached);
                }
                Ok(())
            }
            Err(reason) => {
                self.remove(netlink, id);
                Err(reason)
            }
        }
    }

    fn all(&self) -> impl Iterator<Item = (ServiceId, &Attached)> {
        self.links.iter().zip(0u16..).filter_map(|(row, number)| {
            let id = ServiceId::new(number).ok()?;
            Some((id, row.as_ref()?))
        })
    }

    /// The guards of the links.
    pub fn guards(&self) -> impl Iterator<Item = (ServiceId, &Guard)> {
        self.all().map(|(id, attached)| (id, &attached.guard))
    }

    /// The service whose link has this address.
    #[must_use]
    pub fn with_address(&self, wanted: Ipv4Addr) -> Option<ServiceId> {
        let mut all = self.all();
        let found = all.find(|(_, attached)| match attached.link {
            Link::Routed { address, .. } | Link::Bridged { address, .. } => address == wanted,
        });
        found.map(|(id, _)| id)
    }

    /// Whether a service's link is a port of the home's bridge.
    #[must_use]
    pub fn is_bridged(&self, id: ServiceId) -> bool {
        let row = self.links.get(id.index()).and_then(Option::as_ref);
        row.is_some_and(|attached| matches!(attached.link, Link::Bridged { .. }))
    }

    /// The gateway's end of a routed service's link: its number, and the service's address.
    #[must_use]
    pub fn way(&self, id: ServiceId) -> Option<(u32, Ipv4Addr)> {
        match self.links.get(id.index())?.as_ref()?.link {
            Link::Routed { address, .. } => {
                Some((sys::interface_index(&outside(id)).ok()?, address))
            }
            Link::Bridged { .. } => None,
        }
    }

    /// Puts the links of bridged services back into a bridge that was made anew.
    pub fn rejoin(&self, netlink: &mut Netlink) {
        for (row, number) in self.links.iter().zip(0u16..) {
            let (Some(row), Ok(id)) = (row, ServiceId::new(number)) else {
                continue;
            };
            let name = outside(id);
            let bridge = row.bridge;
            if matches!(row.link, Link::Routed { .. }) || ports::is_in_bridge(&name, bridge) {
                continue;
            }
            let joined = sys::interface_index(&name)
                .map_err(at(LinkStep::Veth))
                .and_then(|index| join(netlink, index, (bridge, row.hardware)));
            match joined {
                Ok(()) => log::info!("service {id}: its link is back in {bridge}"),
                Err(e) => log::warn!("service {id}: its link did not join {bridge}: {e}"),
            }
        }
    }

    /// Removes the service's link and namespace; none is fine.
    pub fn remove(&mut self, netlink: &mut Netlink, id: ServiceId) {
        if let Some(row) = self.links.get_mut(id.index()) {
            *row = None;
        }
        if let Ok(index) = sys::interface_index(&outside(id))
            && let Err(e) = links::delete(netlink, index)
        {
            log::warn!("link {} of service {id}: {e}", outside(id));
        }
        self.threads.forget(id);
        let pin = self.pin(id);
        if Path::new(&pin).exists() {
            // EINVAL: the file is there but nothing is mounted on it, as after a crash in between.
            if let Err(e) = sys::unmount(&pin)
                && e.raw_os_error() != Some(libc::EINVAL)
            {
                log::warn!("namespace {pin}: {e}");
            }
            if let Err(e) = fs::remove_file(&pin) {
                log::warn!("namespace {pin}: {e}");
            }
        }
    }

    fn make(
        &self,
        netlink: &mut Netlink,
        tuns: &Tuns,
        config: &GatewayConfig,
        id: ServiceId,
        link: Link,
    ) -> Result<Attached, NetRefusal> {
        let namespace = self.namespace(id).map_err(at(LinkStep::Namespace))?;
        let name = outside(id);
        if sys::interface_index(&name).is_err() {
            links::create_veth(netlink, &name, INSIDE, namespace.as_fd())
                .map_err(at(LinkStep::Veth))?;
        }
        let index = sys::interface_index(&name).map_err(at(LinkStep::Veth))?;
        ports::without_ipv6(&name);
        let theirs = self.inside(&namespace, |netlink| {
            let index = sys::interface_index(INSIDE).map_err(at(LinkStep::Veth))?;
            links::hardware_address(netlink, index).map_err(at(LinkStep::Veth))
        })?;
        let (address, arp) = match link {
            Link::Routed { address, .. } => (address, Arp::Never),
            Link::Bridged { address, .. } => (address, Arp::Own),
        };
        let guard = Guard::of_link(theirs, address, arp).map_err(at(LinkStep::Ingress))?;
        tc::attach_guard(netlink, index, &guard).map_err(at(LinkStep::Ingress))?;
        let (bridge, bridge_address) = bridge_of(config, address);
        match link {
            Link::Routed { address, .. } => {
                let router = config.service_router();
                tuns.catch(netlink, index, Zone::Service)
                    .map_err(at(LinkStep::Ingress))?;
                links::settle(netlink, index, router, 32).map_err(at(LinkStep::Address))?;
                links::up(netlink, index).map_err(at(LinkStep::Address))?;
                links::set_neighbour(netlink, index, address, theirs)
                    .map_err(at(LinkStep::Address))?;
                let ours = links::hardware_address(netlink, index).map_err(at(LinkStep::Veth))?;
                self.inside(&namespace, |netlink| {
                    end(netlink, address, 32, router, Some(ours))
                })?;
                let route = links::Route {
                    to: (address, 32),
                    via: None,
                    index,
                };
                links::set_route(netlink, &route).map_err(at(LinkStep::Route))?;
            }
            Link::Bridged {
                address, prefix, ..
            } => {
                join(netlink, index, (bridge, theirs))?;
                links::up(netlink, index).map_err(at(LinkStep::Address))?;
                self.inside(&namespace, |netlink| {
                    end(netlink, address, prefix, bridge_address, None)
                })?;
            }
        }
        Ok(Attached {
            link,
            guard,
            hardware: theirs,
            bridge,
        })
    }

    /// The service's namespace, if it is there: a file that is no mount is none.
    fn pinned(&self, id: ServiceId) -> Option<File> {
        let namespace = File::open(self.pin(id)).ok()?;
        sys::enter(namespace.as_fd()).ok()?;
        self.go_home();
        Some(namespace)
    }

    /// The pinned namespace, or a new one.
    fn namespace(&self, id: ServiceId) -> io::Result<File> {
        if let Some(namespace) = self.pinned(id) {
            return Ok(namespace);
        }
        let pin = self.pin(id);
        File::create(&pin)?;
        sys::new_network()?;
        let made = furnish().and_then(|()| sys::bind_mount("/proc/thread-self/ns/net", &pin));
        self.go_home();
        made?;
        File::open(&pin)
    }

    /// Does something inside of a namespace, with a netlink socket of that namespace.
    fn inside<T>(
        &self,
        namespace: &File,
        work: impl FnOnce(&mut Netlink) -> Result<T, NetRefusal>,
    ) -> Result<T, NetRefusal> {
        sys::enter(namespace.as_fd()).map_err(at(LinkStep::Namespace))?;
        let done = Netlink::open()
            .map_err(at(LinkStep::Namespace))
            .and_then(|mut n| work(&mut n));
        self.go_home();
        done
    }

    /// Whether the link inside of a namespace has this address, or none yet.
    fn has_no_other(&self, namespace: &File, address: Ipv4Addr) -> bool {
        let there = self.inside(namespace, |netlink| {
            let Ok(index) = sys::interface_index(INSIDE) else {
                return Ok(Vec::new());
            };
            links::addresses(netlink, index).map_err(at(LinkStep::Address))
        });
        there.is_ok_and(|all| all.iter().all(|(is, _)| *is == address))
    }

    pub(super) fn go_home(&self) {
        if let Err(e) = sys::enter(self.home.as_fd()) {
            // Packets would be read in a service's namespace: better to be started anew.
            log::error!("can not return to the gateway's network namespace: {e}; starting again");
            std::process::exit(1);
        }
    }
}

/// Name of the gateway's end of a service's link.
pub fn outside(id: ServiceId) -> String {
    format!("sv{id}")
}

/// The bridge to which a host with this address belongs, and the gateway's address there.
fn bridge_of(config: &GatewayConfig, address: Ipv4Addr) -> (&'static str, Ipv4Addr) {
    match config.guest.as_ref().filter(|guest| guest.has(address)) {
        Some(guest) => (GUEST_BRIDGE, guest.address),
        None => (BRIDGE, config.lan.address),
    }
}

/// Makes the gateway's end of a link a port of a bridge, where only the service's end is.
fn join(
    netlink: &mut Netlink,
    index: u32,
    (bridge, hardware): (&str, [u8; 6]),
) -> Result<(), NetRefusal> {
    let bridge = sys::interface_index(bridge).map_err(at(LinkStep::Bridge))?;
    links::join_bridge(netlink, index, bridge).map_err(at(LinkStep::Bridge))?;
    links::isolate(netlink, index, hardware).map_err(at(LinkStep::Bridge))
}

/// What every service finds in its namespace: loopback, and ports below 1024 that it may listen on.
fn furnish() -> io::Result<()> {
    fs::write("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0")?;
    for scope in ["all", "default"] {
        // IPv6 may be missing from the kernel; then there is nothing to switch off.
        if let Err(e) = fs::write(format!("/proc/sys/net/ipv6/conf/{scope}/disable_ipv6"), "1") {
            log::debug!("disable_ipv6: {e}");
        }
    }
    let mut netlink = Netlink::open()?;
    let loopback = sys::interface_index("lo")?;
    links::up(&mut netlink, loopback).map_err(|e| io::Error::from_raw_os_error(e.errno()))
}

/// Sets up the service's end of its link; `fixed` is the router's hardware address where there is no
/// ARP.
fn end(
    netlink: &mut Netlink,
    address: Ipv4Addr,
    prefix: u8,
    router: Ipv4Addr,
    fixed: Option<[u8; 6]>,
) -> Result<(), NetRefusal> {
    let index = sys::interface_index(INSIDE).map_err(at(LinkStep::Veth))?;
    links::settle(netlink, index, address, prefix).map_err(at(LinkStep::Address))?;
    links::up(netlink, index).map_err(at(LinkStep::Address))?;
    if let Some(hardware) = fixed {
        links::set_neighbour(netlink, index, router, hardware).map_err(at(LinkStep::Address))?;
    }
    let route = links::Route {
        to: (Ipv4Addr::UNSPECIFIED, 0),
        via: Some(router),
        index,
    };
    links::set_route(netlink, &route).map_err(at(LinkStep::Route))
}

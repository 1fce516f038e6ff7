//! The gateway's own devices: TUN devices, the home's bridge, the Ethernet ports.
//!
//! Four security properties: packets are caught at ingress before a device comes up; of what is not
//! IPv4, or has a VLAN tag, the kernel sees ARP alone; it forwards only what arrives from a TUN device,
//! or comes out of the pair on which downloads wait, that is, what netpath has decided about; and what it
//! says itself to the Internet shows no inside address.

use super::limits::{BRIDGE, GUEST_BRIDGE, MTU_ETHERNET, TUN_NAMES, TUN_QUEUE};
use super::links;
use crate::sys;
use hearth_bpf::guard::Guard;
use hearth_bpf::netlink::Netlink;
use hearth_bpf::{KernelError, program, tc};
use hearth_model::gateway::{GatewayConfig, Guest};
use hearth_model::networks::Net;
use hearth_model::protocol::Zone;
use hearth_netpath::limits::{LOCAL_PORT_FIRST, LOCAL_PORT_LAST};
use std::fmt;
use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::rc::Rc;

/// Why a device could not be set up.
#[derive(Debug)]
pub struct PortError {
    /// Which device or setting.
    pub object: String,
    /// Why.
    pub reason: String,
}

impl fmt::Display for PortError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.object, self.reason)
    }
}

/// Names the object that an error is about.
pub fn on<E: fmt::Display>(object: &str) -> impl FnOnce(E) -> PortError + '_ {
    move |reason| PortError {
        object: object.to_owned(),
        reason: reason.to_string(),
    }
}

/// The TUN devices, by side.
#[derive(Debug)]
pub struct Tuns {
    /// Descriptors, in the order of [`TUN_NAMES`].
    pub fds: [OwnedFd; 4],
    /// Numbers, in the same order.
    pub indices: [u32; 4],
    /// What catches the packets of each side, and at the home's port what need not go through the bridge.
    pub programs: [program::Program; 5],
    /// On the ports: for what is not IPv4, and for what leaves to the Internet.
    rest: Rc<Guard>,
}

/// The place of a side in the arrays of [`Tuns`].
#[must_use]
pub fn place(zone: Zone) -> usize {
    match zone {
        Zone::Lan => 0,
        Zone::Wan => 1,
        Zone::Service => 2,
        Zone::Guest => 3,
    }
}

/// Writes a kernel setting below /proc/sys.
pub fn set(path: &str, value: &str) -> Result<(), PortError> {
    fs::write(format!("/proc/sys/{path}"), value).map_err(on(path))
}

impl Tuns {
    /// Opens the devices and lets them take packets from anywhere.
    pub fn open(netlink: &mut Netlink) -> Result<Tuns, PortError> {
        for scope in ["all", "default"] {
            set(&format!("net/ipv4/conf/{scope}/rp_filter"), "0")?;
            set(&format!("net/ipv4/conf/{scope}/send_redirects"), "0")?;
            // An address is only answered for on its own interface: the Internet learns no inside one.
            set(&format!("net/ipv4/conf/{scope}/arp_ignore"), "1")?;
            // And none is told on another: a hairpinned packet has the WAN's as its source.
            set(&format!("net/ipv4/conf/{scope}/arp_announce"), "2")?;
        }
        let range = format!("{LOCAL_PORT_FIRST} {LOCAL_PORT_LAST}");
        set("net/ipv4/ip_local_port_range", &range)?;
        let [lan, wan, service, guest] = TUN_NAMES;
        let (lan, a) = Tuns::one(netlink, lan)?;
        let (wan, b) = Tuns::one(netlink, wan)?;
        let (service, c) = Tuns::one(netlink, service)?;
        let (guest, d) = Tuns::one(netlink, guest)?;
        let catcher = |to| {
            let program = program::Program::load(&program::redirect_to(to));
            program.map_err(on("the program that catches packets"))
        };
        let in_bridge = || {
            let program = program::Program::load(&program::let_pass());
            program.map_err(on("the program of the home's port"))
        };
        Ok(Tuns {
            fds: [lan, wan, service, guest],
            indices: [a, b, c, d],
            programs: [
                catcher(a)?,
                catcher(b)?,
                catcher(c)?,
                catcher(d)?,
                in_bridge()?,
            ],
            rest: Rc::new(Guard::of_port().map_err(on("guard of the ports"))?),
        })
    }

    fn one(netlink: &mut Netlink, name: &str) -> Result<(OwnedFd, u32), PortError> {
        let fd = sys::open_tun(name).map_err(on(name))?;
        let index = sys::interface_index(name).map_err(on(name))?;
        // What netpath writes has addresses of this machine as its source.
        set(&format!("net/ipv4/conf/{name}/accept_local"), "1")?;
        set(&format!("net/ipv4/conf/{name}/rp_filter"), "0")?;
        set(&format!("net/ipv4/conf/{name}/forwarding"), "1")?;
        without_ipv6(name);
        links::queue_length(netlink, index, TUN_QUEUE).map_err(on(name))?;
        links::up(netlink, index).map_err(on(name))?;
        Ok((fd, index))
    }

    /// Catches all IPv4 packets that arrive on the interface `index`: those that no fast path carries
    /// go to the side's TUN device.
    pub fn catch(&self, netlink: &mut Netlink, index: u32, zone: Zone) -> Result<(), KernelError> {
        let [lan, wan, service, guest, _] = &self.programs;
        let program = match zone {
            Zone::Lan => lan,
            Zone::Wan => wan,
            Zone::Service => service,
            Zone::Guest => guest,
        };
        tc::attach_ingress(netlink, index, program)
    }

    /// The same on the home's Ethernet port, for what need not go through the bridge. Where no fast path
    /// is, nothing is caught there, and one that an earlier process has left ends.
    fn catch_before_bridge(&self, netlink: &mut Netlink, index: u32) -> Result<(), KernelError> {
        let [_, _, _, _, port] = &self.programs;
        tc::attach_ingress(netlink, index, port)
    }

    /// The same for a port, where of all other packets only ARP goes to the kernel.
    fn catch_port(&self, netlink: &mut Netlink, index: u32, zone: Zone) -> Result<(), KernelError> {
        self.catch(netlink, index, zone)?;
        tc::attach_rest(netlink, index, &self.rest)
    }

    /// The guard of both ports.
    pub fn guard(&self) -> &Rc<Guard> {
        &self.rest
    }
}

/// The kernel itself speaks no IPv6 on an interface: it is not translated, nor filtered.
pub fn without_ipv6(name: &str) {
    // IPv6 may be missing from the kernel; then there is nothing to switch off.
    if let Err(e) = set(&format!("net/ipv6/conf/{name}/disable_ipv6"), "1") {
        log::debug!("{e}");
    }
}

/// The home's Ethernet port.
#[derive(Clone, Copy, Debug)]
pub struct HomePort {
    /// Its number.
    pub index: u32,
    /// The gateway's address in the home until now, where that was in another network: the hosts still
    /// have addresses of that one. The port is then left down, for them to notice.
    pub before: Option<Ipv4Addr>,
}

/// Makes the home's bridge with its address and its Ethernet port.
pub fn set_up_lan(
    netlink: &mut Netlink,
    tuns: &Tuns,
    config: &GatewayConfig,
) -> Result<HomePort, PortError> {
    let lan = &config.lan;
    let port = sys::interface_index(&lan.interface).map_err(on(&lan.interface))?;
    match links::create_bridge(netlink, BRIDGE) {
        Err(KernelError::Refused { errno, .. }) if errno == libc::EEXIST => {}
        other => other.map_err(on(BRIDGE))?,
    }
    let bridge = sys::interface_index(BRIDGE).map_err(on(BRIDGE))?;
    tuns.catch_port(netlink, bridge, Zone::Lan)
        .map_err(on(BRIDGE))?;
    for name in [BRIDGE, &lan.interface] {
        without_ipv6(name);
    }
    // Else it would take another with each service that joins, and the home would not find it.
    let own = hardware_address(&lan.interface)?;
    // Setting it again would make the kernel forget where the home's hosts are.
    if hardware_address(BRIDGE)? != own {
        links::set_hardware_address(netlink, bridge, own).map_err(on(BRIDGE))?;
    }
    let had = links::addresses(netlink, bridge).map_err(on(BRIDGE))?;
    let network = Net::of(lan.address, lan.prefix);
    let before = had.into_iter().find(|(a, p)| Net::of(*a, *p) != network);
    links::settle(netlink, bridge, lan.address, lan.prefix).map_err(on(BRIDGE))?;
    links::up(netlink, bridge).map_err(on(BRIDGE))?;
    links::join_bridge(netlink, port, bridge).map_err(on(&lan.interface))?;
    tuns.catch_before_bridge(netlink, port)
        .map_err(on(&lan.interface))?;
    match before {
        Some(_) => links::down(netlink, port).map_err(on(&lan.interface))?,
        None => links::up(netlink, port).map_err(on(&lan.interface))?,
    }
    Ok(HomePort {
        index: port,
        before: before.map(|(address, _)| address),
    })
}

/// Makes the guests' bridge with its address and its Ethernet port, whose number it returns.
pub fn set_up_guest(netlink: &mut Netlink, tuns: &Tuns, guest: &Guest) -> Result<u32, PortError> {
    let name = &guest.interface;
    let port = sys::interface_index(name).map_err(on(name))?;
    match links::create_bridge(netlink, GUEST_BRIDGE) {
        Err(KernelError::Refused { errno, .. }) if errno == libc::EEXIST => {}
        other => other.map_err(on(GUEST_BRIDGE))?,
    }
    let bridge = sys::interface_index(GUEST_BRIDGE).map_err(on(GUEST_BRIDGE))?;
    tuns.catch_port(netlink, bridge, Zone::Guest)
        .map_err(on(GUEST_BRIDGE))?;
    for name in [GUEST_BRIDGE, name.as_str()] {
        without_ipv6(name);
    }
    let own = hardware_address(name)?;
    links::set_hardware_address(netlink, bridge, own).map_err(on(GUEST_BRIDGE))?;
    links::settle(netlink, bridge, guest.address, guest.prefix).map_err(on(GUEST_BRIDGE))?;
    links::up(netlink, bridge).map_err(on(GUEST_BRIDGE))?;
    links::join_bridge(netlink, port, bridge).map_err(on(name))?;
    links::up(netlink, port).map_err(on(name))?;
    Ok(port)
}

/// Lets only packets leave for the Internet that show no other address than this.
pub fn guard(
    netlink: &mut Netlink,
    guard: &Guard,
    index: u32,
    address: Ipv4Addr,
) -> Result<(), KernelError> {
    tc::attach_egress(netlink, index, &guard.exit_as(address)?)
}

/// Brings the Internet's Ethernet port up and returns its number.
pub fn set_up_wan(
    netlink: &mut Netlink,
    tuns: &Tuns,
    config: &GatewayConfig,
) -> Result<u32, PortError> {
    let name = &config.wan.interface;
    let index = sys::interface_index(name).map_err(on(name))?;
    tuns.catch_port(netlink, index, Zone::Wan)
        .map_err(on(name))?;
    without_ipv6(name);
    guard(netlink, &tuns.rest, index, Ipv4Addr::UNSPECIFIED).map_err(on(name))?;
    links::up(netlink, index).map_err(on(name))?;
    Ok(index)
}

/// Whether a port belongs to a bridge.
#[must_use]
pub fn is_in_bridge(name: &str, bridge: &str) -> bool {
    let master = fs::read_link(format!("/sys/class/net/{name}/master"));
    master.is_ok_and(|path| path.ends_with(bridge))
}

/// Whether an Ethernet port has a cable with somebody at its other end.
#[must_use]
pub fn has_carrier(name: &str) -> bool {
    attribute(name, "carrier").is_ok_and(|text| text == "1")
}

/// An interface's MTU, bytes.
#[must_use]
pub fn mtu(name: impl AsRef<str>) -> u16 {
    attribute(name.as_ref(), "mtu")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(MTU_ETHERNET)
}

/// An Ethernet port's hardware address.
pub fn hardware_address(name: &str) -> Result<[u8; 6], PortError> {
    let text = attribute(name, "address").map_err(on(name))?;
    let mut bytes = text.split(':').map(|part| u8::from_str_radix(part, 16));
    let mut address = [0; 6];
    for place in &mut address {
        match bytes.next() {
            Some(Ok(byte)) => *place = byte,
            Some(Err(_)) | None => {
                return Err(on(name)(format!("{text:?} is no Ethernet address")));
            }
        }
    }
    Ok(address)
}

fn attribute(name: &str, attribute: &str) -> io::Result<String> {
    fs::read_to_string(format!("/sys/class/net/{name}/{attribute}")).map(|t| t.trim().to_owned())
}

//! Links that change while packets flow: what the kernel does not bring back by itself, and what is learned
//! anew.

use super::{Gateway, limits, links, ports};
use crate::sys;
use hearth_bpf::netlink::Netlink;
use hearth_model::Tick;
use hearth_model::gateway::Lan;
use hearth_model::protocol::{WanLease, Zone};
use hearth_netpath::nat::NatEvent;
use std::io;
use std::net::Ipv4Addr;

impl Gateway {
    /// Takes over what the ports that are there carry at most; one that came late, or changed, has told
    /// nothing yet.
    pub(super) fn learn_mtus(&mut self, now: Tick) {
        let lan = self.lan.map(|_| &self.config.lan.interface);
        let wan = self.wan.as_ref().map(|_| &self.config.wan.interface);
        let guest = self.guest.and(self.config.guest.as_ref());
        let guest = guest.map(|guest| &guest.interface);
        let mtus = [(Zone::Lan, lan), (Zone::Wan, wan), (Zone::Guest, guest)]
            .map(|(zone, name)| (zone, name.map(ports::mtu)));
        for (zone, mtu) in mtus {
            let Some(mtu) = mtu else { continue };
            if let Err(e) = self.nat.event(NatEvent::Mtu { zone, mtu }, now) {
                log::error!("{zone:?}: mtu={mtu}: {e}");
            }
            self.change_ways(now, |ways| ways.set_mtu(zone, mtu));
        }
    }
}

/// Why reading from a TUN device ends the program.
pub fn lost(zone: Zone, error: &io::Error) -> io::Error {
    let name = limits::TUN_NAMES
        .get(ports::place(zone))
        .copied()
        .unwrap_or_default();
    let reason = match error.raw_os_error() {
        // tun(4): what is read is no longer attached to a device.
        Some(libc::EBADFD) => "removed by somebody".to_owned(),
        Some(_) | None => error.to_string(),
    };
    io::Error::other(format!(
        "{name}: {reason}; ending, the next run makes it anew"
    ))
}

/// Gives the bridge the home's address again where it has lost it.
pub fn restore_lan(netlink: &mut Netlink, lan: &Lan) {
    if let Ok(bridge) = sys::interface_index(limits::BRIDGE) {
        keep_address(netlink, "lan", bridge, (lan.address, lan.prefix));
    }
}

/// Gives the port to the Internet its address again where it has lost it, and the route: with a port that
/// is taken down the kernel drops that, and does not bring it back as it does the address's own.
pub fn restore_wan(netlink: &mut Netlink, index: u32, lease: WanLease) {
    keep_address(netlink, "wan", index, (lease.address, lease.prefix));
    let Some(router) = lease.router else { return };
    let route = links::Route {
        to: (Ipv4Addr::UNSPECIFIED, 0),
        via: Some(router),
        index,
    };
    match links::add_route(netlink, &route) {
        Ok(()) => log::info!("wan: route via {router} is back"),
        Err(e) if e.errno() == libc::EEXIST => {}
        Err(e) => log::warn!("wan: route via {router}: {e}"),
    }
}

/// An address that is there stays untouched, and so do others beside it.
fn keep_address(netlink: &mut Netlink, side: &str, index: u32, wanted: (Ipv4Addr, u8)) {
    let (address, prefix) = wanted;
    let done = match links::addresses(netlink, index) {
        Ok(there) if there.contains(&wanted) => return,
        Ok(_) => links::settle(netlink, index, address, prefix),
        Err(e) => Err(e),
    };
    match done {
        Ok(()) => log::info!("{side}: address {address}/{prefix} is back"),
        Err(e) => {
            log::warn!("{side}: address {address}/{prefix}: {e}; trying again with the next change")
        }
    }
}

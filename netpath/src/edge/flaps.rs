//! Links that change while packets flow: what the kernel does not bring back by itself, and what is learned
//! anew.

use super::{Gateway, limits, links, ports};
use hearth_bpf::netlink::Netlink;
use hearth_model::Tick;
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
        let mtus =
            [(Zone::Lan, lan), (Zone::Wan, wan)].map(|(zone, name)| (zone, name.map(ports::mtu)));
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

/// Sets the route to the Internet again where it is missing: with a port that is taken down the kernel
/// drops it, and does not bring it back as it does the address's own.
pub fn restore_route(netlink: &mut Netlink, index: u32, lease: Option<WanLease>) {
    let Some(router) = lease.and_then(|lease| lease.router) else {
        return;
    };
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

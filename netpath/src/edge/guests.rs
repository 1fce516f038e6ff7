//! The guests' side: a port of their own, in a bridge of its own.

use super::{Gateway, limits, ports};
use crate::sys;
use hearth_model::Tick;
use hearth_model::gateway::GatewayConfig;
use hearth_netpath::nat::GuestNet;

/// What the NAT machine knows of them.
#[must_use]
pub fn net(config: &GatewayConfig) -> Option<GuestNet> {
    let guest = config.guest.as_ref()?;
    Some(GuestNet {
        address: guest.address,
        prefix: guest.prefix,
        mtu: ports::mtu(&guest.interface),
    })
}

impl Gateway {
    /// Whether a port is missing that the configuration names.
    pub(super) fn lacks_a_port(&self) -> bool {
        let guests = self.config.guest.is_some() && self.guest.is_none();
        self.lan.is_none() || self.wan.is_none() || guests
    }

    /// Sets their port up, where there is one and it is not yet.
    pub(super) fn set_up_guests(&mut self, now: Tick) {
        let Some(guest) = self.config.guest.as_ref().filter(|_| self.guest.is_none()) else {
            return;
        };
        match ports::set_up_guest(&mut self.netlink, &self.tuns, guest) {
            Ok(port) => {
                log::info!("guest: {}/{} is up", guest.address, guest.prefix);
                self.guest = Some(port);
                self.group.changed(now);
                let bridge = sys::interface_index(limits::GUEST_BRIDGE).ok();
                self.change_ways(now, |ways| ways.guest = bridge);
                self.services.rejoin(&mut self.netlink);
            }
            Err(e) => {
                let guest = &mut self.faults.guest;
                guest.tell(now, format_args!("guest: {e}; trying again"));
            }
        }
    }

    /// Their port may have gone, or been taken from its bridge.
    pub(super) fn look_for_guests(&mut self) {
        let Some((port, guest)) = self.guest.zip(self.config.guest.as_ref()) else {
            return;
        };
        let name = &guest.interface;
        if sys::interface_index(name).ok() != Some(port) {
            log::warn!("guest: {name} has gone");
            self.guest = None;
        } else if !ports::is_in_bridge(name, limits::GUEST_BRIDGE) {
            log::warn!("guest: {name} was taken from {}", limits::GUEST_BRIDGE);
            self.guest = None;
        }
    }
}

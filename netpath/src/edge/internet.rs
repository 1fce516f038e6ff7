//! The Internet's side in the loop: what the DHCP machine says is done in an order that lets nothing leave by an
//! address that is not ours any more: flows end and leave the fast path, then the address changes.

use super::wan::WanSide;
use super::{Gateway, limits, ports};
use crate::sys;
use hearth_model::Tick;
use hearth_model::protocol::{FromNetpath, WanEvent, WanStatus, Zone};
use hearth_netpath::dhcp::{DhcpAction, DhcpEvent};
use hearth_netpath::nat::{Departed, NatEvent};
use std::os::fd::AsFd;

impl Gateway {
    /// The port to the Internet is there.
    pub(super) fn wan_is_there(&mut self, side: WanSide, first: Vec<DhcpAction>, now: Tick) {
        if let Some(address) = side.last {
            self.nat.remember_address(address);
        }
        self.wan = Some(side);
        self.act_on_wan(first, now);
    }

    /// Gives the DHCP machine an event, and does what it says.
    pub(super) fn dhcp(&mut self, event: DhcpEvent<'_>, now: Tick) {
        let Some(side) = &mut self.wan else { return };
        let actions = side.step(event, now);
        self.act_on_wan(actions, now);
    }

    /// Somebody on the Internet's link said something by ARP while an address is asked about.
    pub(super) fn on_arp(&mut self, now: Tick) {
        let Some(side) = &mut self.wan else { return };
        let actions = side.hear(now);
        self.act_on_wan(actions, now);
    }

    /// Does what the DHCP machine says.
    pub(super) fn act_on_wan(&mut self, actions: Vec<DhcpAction>, now: Tick) {
        for action in actions {
            match action {
                DhcpAction::Send { payload, to } => {
                    if let Some(side) = &self.wan {
                        side.send(&payload, to);
                    }
                }
                DhcpAction::Probe(address) => {
                    if let Some(side) = &self.wan {
                        side.probe(address);
                    }
                }
                DhcpAction::InUse { address, by } => {
                    let [a, b, c, d, e, f] = by;
                    log::warn!(
                        "wan: {address} is in use by {a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}; the DHCP \
                         server is told, and asked again"
                    );
                }
                DhcpAction::Bound(status) => self.wan_changed(status, now),
                DhcpAction::Lost => self.wan_changed(WanStatus::default(), now),
                DhcpAction::Refused(fault) => {
                    log::warn!("wan: did not take the offer of a DHCP server: {fault}");
                }
            }
        }
        let overlap = self.overlap();
        if overlap != self.told_overlap {
            self.told_overlap = overlap;
            self.tell(&FromNetpath::Overlap(overlap));
        }
    }

    /// The Internet's side has another address, router or resolvers now, or none.
    pub(super) fn wan_changed(&mut self, status: WanStatus, now: Tick) {
        if let Err(e) = self.nat.event(NatEvent::WanAddress(status.lease), now) {
            log::error!("wan: {e}");
        }
        let index = self.wan.as_ref().map(|side| side.index);
        self.change_ways(now, |ways| ways.wan = index.zip(status.lease));
        // Of the flows that an earlier process has left, those by another address end too.
        self.adopt(now);
        if let Some(side) = &mut self.wan {
            side.take(&mut self.netlink, status, now);
        }
        self.tell(&FromNetpath::Wan(status));
        if let Some(departed) = self.nat.take_departed() {
            self.readdressed(departed);
        }
    }

    fn readdressed(&mut self, departed: Departed) {
        let Departed {
            from,
            to,
            connections,
            others,
        } = departed;
        log::info!(
            "wan: the address was {from} and is {to}; {connections} connections and {others} other flows end"
        );
        self.tell(&FromNetpath::WanEvent(WanEvent::Readdressed {
            from,
            to,
            connections,
            others,
        }));
    }

    /// What the Internet's side has.
    pub(super) fn wan_status(&self) -> WanStatus {
        let side = self.wan.as_ref();
        side.map(|side| side.status).unwrap_or_default()
    }

    /// What a server gives and can not be taken.
    pub(super) fn overlap(&self) -> Option<WanStatus> {
        self.wan.as_ref().and_then(|side| side.overlap)
    }

    /// Tells the manager, if it is there.
    fn tell(&mut self, record: &FromNetpath) {
        if self.control.is_greeted() {
            self.control.tell(record);
        }
    }

    /// Our networks are others now, on disk: every flow ends, those inside are told, and then this process ends.
    pub(super) fn renumber(&mut self, now: Tick) {
        log::info!("the networks of this gateway are others now: every flow ends");
        self.nat.end_everything(now);
        self.control.shut();
        self.leave_at = Some(now.after_ms(limits::LINGER_MS));
    }

    /// When [`Gateway::tell_ends`] has something to do.
    pub(super) fn next_telling(&self) -> Option<Tick> {
        self.nat.has_farewells().then_some(self.tell_at)
    }

    /// Tells the next ends of connections whose address has gone, a batch at a time.
    pub(super) fn tell_ends(&mut self, now: Tick) {
        if self.next_telling().is_none_or(|at| at > now) {
            return;
        }
        self.tell_at = now.after_ms(limits::TELL_MS);
        for _ in 0..limits::BATCH {
            let Some((zone, length)) = self.nat.farewell(&mut self.reply) else {
                return;
            };
            self.write(zone, length, now);
        }
    }

    /// Writes the first bytes of the reply buffer to a side.
    fn write(&mut self, zone: Zone, length: usize, now: Tick) {
        let out = self.reply.get(..length).unwrap_or_default();
        let Some(tun) = self.tuns.fds.get(ports::place(zone)) else {
            return;
        };
        if let Err(e) = sys::write(tun.as_fd(), out) {
            let lost = format_args!("packets: one to {zone:?} was lost: {e}");
            self.faults.packets.tell(now, lost);
        }
    }
}

//! Packets in, verdicts out.

use super::hosts::Queue;
use super::{Gateway, flaps, limits, ports, queues};
use crate::sys;
use hearth_model::Tick;
use hearth_model::protocol::Zone;
use hearth_netpath::dhcp::DhcpEvent;
use hearth_netpath::nat::Verdict;
use std::io;
use std::ops::Range;
use std::os::fd::AsFd;

impl Gateway {
    /// Takes a batch of a side's packets at most; the others wait for theirs.
    pub(super) fn on_packets(&mut self, zone: Zone, now: Tick) -> io::Result<()> {
        for _ in 0..limits::BATCH {
            let Some(tun) = self.tuns.fds.get(ports::place(zone)) else {
                return Ok(());
            };
            let length = match sys::read(tun.as_fd(), &mut self.packet) {
                Ok(length) => length,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    self.end_round(zone, Queue::Empty, now);
                    return Ok(());
                }
                Err(e) => return Err(flaps::lost(zone, &e)),
            };
            self.hosts.count_taken(zone);
            let Some(packet) = self.packet.get_mut(..length) else {
                return Ok(());
            };
            let before = queues::addresses(packet);
            let verdict = self.nat.packet(zone, packet, now, &mut self.reply);
            let ends = (before, queues::addresses(packet));
            let mark = self.nat.passed_mark();
            self.queues.announce(zone, ends, &verdict, mark);
            let out = match verdict {
                Verdict::Forward | Verdict::Local => &*packet,
                Verdict::Reply(length) => self.reply.get(..length).unwrap_or_default(),
                Verdict::Dhcp(range) => {
                    self.on_dhcp(range, now);
                    continue;
                }
                Verdict::Held | Verdict::Drop(_) => continue,
            };
            let mut lost = sys::write(tun.as_fd(), out).err();
            // Fragments that were faster than their first one.
            while let Some(out) = self.nat.released(&mut self.packet, now) {
                lost = sys::write(tun.as_fd(), out).err().or(lost);
            }
            if let Some(e) = lost {
                let lost = format_args!("packets: one from {zone:?} was lost: {e}");
                self.faults.packets.tell(now, lost);
            }
        }
        self.end_round(zone, Queue::Unknown, now);
        Ok(())
    }

    fn on_dhcp(&mut self, range: Range<usize>, now: Tick) {
        // A DHCP answer is rare: a copy frees the packet buffer for the machine's own needs.
        let message = self.packet.get(range).unwrap_or_default().to_vec();
        self.dhcp(DhcpEvent::Packet(&message), now);
    }
}

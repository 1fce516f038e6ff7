//! Whether somebody on the link has the address that a server gives (RFC 2131 4.4.1, RFC 5227 section 2.1): asked
//! by ARP probes before it is used. Where somebody has, the server is told (DHCPDECLINE), and the search begins
//! anew after a wait.

use super::lease::Lease;
use super::message::Question;
use super::{Dhcp, DhcpAction, State};
use crate::limits::{
    ACD_CONFLICTS_MAX, ACD_PROBE_MAX_MS, ACD_PROBE_MIN_MS, ACD_PROBE_WAIT_MS, ACD_PROBES,
    ACD_RATE_LIMIT_MS, ACD_SILENCE_MS, DHCP_DECLINE_WAIT_MS,
};
use core::net::Ipv4Addr;
use hearth_model::Tick;

/// A lease whose address others are asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Probing {
    lease: Lease,
    /// Probes that were sent.
    sent: u32,
    /// When the next one is due, or the silence after the last one is over.
    pub next_at: Tick,
}

/// The fields of an ARP packet about IPv4 addresses on Ethernet (RFC 826).
struct Arp {
    sender_hardware: [u8; 6],
    sender: Ipv4Addr,
    target: Ipv4Addr,
}

impl Arp {
    /// Reads requests and answers; `None` for everything else.
    fn read(bytes: &[u8]) -> Option<Arp> {
        // Ethernet, IPv4, lengths 6 and 4; then the operation.
        let (head, rest) = bytes.split_first_chunk::<6>()?;
        let (operation, rest) = rest.split_first_chunk::<2>()?;
        let is_about_ipv4 = *head == [0, 1, 8, 0, 6, 4];
        if !is_about_ipv4 || ![1, 2].contains(&u16::from_be_bytes(*operation)) {
            return None;
        }
        let (sender_hardware, rest) = rest.split_first_chunk::<6>()?;
        let (sender, rest) = rest.split_first_chunk::<4>()?;
        let (_, rest) = rest.split_first_chunk::<6>()?;
        let target = rest.first_chunk::<4>()?;
        Some(Arp {
            sender_hardware: *sender_hardware,
            sender: Ipv4Addr::from(*sender),
            target: Ipv4Addr::from(*target),
        })
    }

    /// Whether the sender has the address, or is about to take it as we are (RFC 5227 section 2.1.1).
    fn claims(&self, address: Ipv4Addr) -> bool {
        let probes = self.sender.is_unspecified() && self.target == address;
        self.sender == address || probes
    }
}

impl Dhcp {
    /// Whether ARP packets of the link are wanted ([`super::DhcpEvent::Arp`]).
    #[must_use]
    pub fn is_probing(&self) -> bool {
        matches!(self.state, State::Probing(_))
    }

    /// Asks others about a lease's address before it is used.
    pub(super) fn doubt(&mut self, lease: Lease, now: Tick, actions: &mut Vec<DhcpAction>) {
        // An address that was had, where a server gives another one instead.
        self.lose(actions);
        let wait = 1 + u64::from(self.random.draw()) % ACD_PROBE_WAIT_MS;
        self.state = State::Probing(Probing {
            lease,
            sent: 0,
            next_at: now.after_ms(wait),
        });
    }

    /// Sends the next probe; after the last one and a silence, the address is ours.
    pub(super) fn probe(&mut self, probing: Probing, now: Tick, actions: &mut Vec<DhcpAction>) {
        let lease = probing.lease;
        if lease.expires_at <= now {
            return self.discover(now, actions);
        }
        if probing.sent >= ACD_PROBES {
            return self.bind(lease, actions);
        }
        actions.push(DhcpAction::Probe(lease.address));
        let sent = probing.sent + 1;
        let wait = if sent < ACD_PROBES {
            let span = ACD_PROBE_MAX_MS - ACD_PROBE_MIN_MS + 1;
            ACD_PROBE_MIN_MS + u64::from(self.random.draw()) % span
        } else {
            ACD_SILENCE_MS
        };
        self.state = State::Probing(Probing {
            sent,
            next_at: now.after_ms(wait),
            ..probing
        });
    }

    /// An ARP packet of the link: nothing, but while an address is asked about.
    pub(super) fn overheard(&mut self, bytes: &[u8], now: Tick, actions: &mut Vec<DhcpAction>) {
        let State::Probing(Probing { lease, .. }) = self.state else {
            return;
        };
        let Some(arp) = Arp::read(bytes) else { return };
        let address = lease.address;
        // Our own probes may come back, from a bridge for example.
        if arp.sender_hardware == self.config.mac || !arp.claims(address) {
            return;
        }
        let by = arp.sender_hardware;
        actions.push(DhcpAction::InUse { address, by });
        let server = lease.server;
        self.send(
            Question::Decline { address, server },
            Ipv4Addr::BROADCAST,
            now,
            actions,
        );
        self.conflicts = self.conflicts.saturating_add(1);
        let wait = if self.conflicts > ACD_CONFLICTS_MAX {
            ACD_RATE_LIMIT_MS
        } else {
            DHCP_DECLINE_WAIT_MS
        };
        self.state = State::Waiting {
            until: now.after_ms(wait),
        };
    }
}

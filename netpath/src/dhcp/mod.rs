//! The DHCP client of the WAN's address (RFC 2131), as a machine in virtual time.
//!
//! Job: get a lease, keep it, give it back in words (`Bound`, `Lost`). Invariants: it sends only
//! in answer to an event and waits longer each time; an answer counts only with our transaction
//! number and hardware address, and its content only after [`OfferFault`]'s checks; it never says
//! `Bound` without an address nor keeps one beyond its lease, nor before nobody else on the link
//! has answered for it (RFC 5227; `conflict.rs`). What it refuses to do: open a socket, or set
//! anything.
//!
//! Left out of RFC 2131: the random wait before the first message (one client a line), RELEASE (the
//! server's lease keeps the address for our next boot). Left out of RFC 5227: giving up an address
//! that is in use, when another host claims it later (section 2.4): whoever sits on the line could
//! end every connection of the home by one packet.

mod answers;
mod conflict;
mod lease;
mod message;

#[cfg(test)]
mod tests;

use crate::limits::{
    DHCP_RENEW_MIN_MS, DHCP_REQUESTS_MAX, DHCP_RETRY_JITTER_MS, DHCP_RETRY_MAX_MS,
    DHCP_RETRY_MIN_MS,
};
use crate::nat::Random;
use conflict::Probing;
use core::net::Ipv4Addr;
use hearth_model::Tick;
use hearth_model::networks::Net;
use hearth_model::protocol::{OwnNetworks, WanStatus};
use lease::Lease;
use message::{Question, Transaction};

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DhcpEvent<'a> {
    /// The WAN port is up: ask for an address, forgetting any that was had.
    Start,
    /// The same, with an address that was had before the cable was out: ask for that one first
    /// (INIT-REBOOT).
    Resume(Ipv4Addr),
    /// The same, with an address that an earlier run of this program has used until now: nobody
    /// else is asked about it.
    GoOn(Ipv4Addr),
    /// The WAN port is down: ask no more; an address that was had is lost.
    Stop,
    /// The data of a UDP datagram to the client's port ([`crate::nat::Verdict::Dhcp`]).
    Packet(&'a [u8]),
    /// The body of an ARP packet of the link; they are wanted while [`Dhcp::is_probing`].
    Arp(&'a [u8]),
    /// Time passed ([`Dhcp::next_deadline`]); late, early and repeated ones are harmless.
    Tick,
}

/// What is to be done, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DhcpAction {
    /// Send `payload` from port 68 of the WAN's interface to port 67 of `to`.
    Send {
        /// The UDP data.
        payload: Vec<u8>,
        /// A server's address, or the broadcast one. The source is the leased address where there
        /// is one and else 0.0.0.0.
        to: Ipv4Addr,
    },
    /// Ask by ARP whether somebody has this address (RFC 5227 section 2.1.1, an ARP probe).
    Probe(Ipv4Addr),
    /// Somebody has the address that a server gave; it was declined. For the log.
    InUse {
        /// The address.
        address: Ipv4Addr,
        /// Hardware address of who has it.
        by: [u8; 6],
    },
    /// The address is ours, or its prefix, router or resolvers changed.
    Bound(WanStatus),
    /// The address is no longer ours: take it from the interface.
    Lost,
    /// An offer was not taken; for the log, once for each cause in a row.
    Refused(OfferFault),
}

/// Why a server's lease was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OfferFault {
    /// The address is no host's: loopback, multicast, a network's first or last.
    Address(Ipv4Addr),
    /// The netmask is missing, 0, or has holes.
    Netmask,
    /// The lease time, s, is missing (0) or too short.
    LeaseTime(u32),
    /// The router is not in the leased network, or no host.
    Router(Ipv4Addr),
    /// The network, its router or a resolver is in a network of our own.
    Overlap {
        /// What is in the way.
        theirs: Net,
        /// All of what was given.
        offered: WanStatus,
    },
}

impl core::fmt::Display for OfferFault {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            OfferFault::Address(address) => write!(f, "{address} is no host's address"),
            OfferFault::Netmask => f.write_str("its netmask is missing or has holes"),
            OfferFault::LeaseTime(seconds) => {
                write!(f, "a lease of {seconds} s is too short to keep")
            }
            OfferFault::Router(router) => {
                write!(f, "the router {router} is not in the leased network")
            }
            OfferFault::Overlap { theirs, .. } => {
                write!(
                    f,
                    "{theirs} overlaps a network of our own, which has to move"
                )
            }
        }
    }
}

/// What does not change while the machine runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DhcpConfig {
    /// The WAN port's hardware address.
    pub mac: [u8; 6],
    /// Seed of the transaction numbers and of the jitter.
    pub seed: u64,
    /// Networks of our own, which a lease must not overlap.
    pub inside: OwnNetworks,
}

/// One question under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Asked {
    at: Tick,
    /// How often this one was asked, from 1.
    times: u32,
    again_at: Tick,
}

/// Whether an address that is asked for again has been in use all the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Used {
    /// There was a time when somebody else may have taken it.
    Before,
    /// It was, by an earlier run of this program.
    UntilNow,
}

/// Names as in RFC 2131 figure 5.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The port is down.
    Stopped,
    /// INIT, for a while after servers refused us.
    Waiting { until: Tick },
    /// SELECTING.
    Selecting(Asked),
    /// REQUESTING, after an offer.
    Requesting {
        address: Ipv4Addr,
        server: Ipv4Addr,
        asked: Asked,
    },
    /// REBOOTING.
    Rebooting {
        address: Ipv4Addr,
        used: Used,
        asked: Asked,
    },
    /// A server gave this lease, and others on the link are asked whether they have the address.
    Probing(Probing),
    /// BOUND.
    Bound(Lease),
    /// RENEWING.
    Renewing { lease: Lease, asked: Asked },
    /// REBINDING.
    Rebinding { lease: Lease, asked: Asked },
}

/// The DHCP machine.
#[derive(Debug)]
pub struct Dhcp {
    config: DhcpConfig,
    random: Random,
    state: State,
    xid: u32,
    /// When the search for an address began.
    since: Tick,
    /// Refusals of servers in a row without a lease between.
    naks: u32,
    /// Addresses in a row that somebody else had, without a lease between.
    conflicts: u32,
    fault: Option<OfferFault>,
}

impl Dhcp {
    /// A stopped client.
    #[must_use]
    pub fn new(config: DhcpConfig) -> Dhcp {
        Dhcp {
            random: Random::new(config.seed),
            config,
            state: State::Stopped,
            xid: 0,
            since: Tick(0),
            naks: 0,
            conflicts: 0,
            fault: None,
        }
    }

    /// Takes one event and says what is to be done.
    pub fn step(&mut self, event: DhcpEvent<'_>, now: Tick) -> Vec<DhcpAction> {
        let mut actions = Vec::new();
        match event {
            DhcpEvent::Start => {
                self.fault = None;
                self.lose(&mut actions);
                self.discover(now, &mut actions);
            }
            DhcpEvent::Resume(address) => self.resume(address, Used::Before, now, &mut actions),
            DhcpEvent::GoOn(address) => self.resume(address, Used::UntilNow, now, &mut actions),
            DhcpEvent::Stop => {
                self.fault = None;
                self.lose(&mut actions);
                self.state = State::Stopped;
            }
            DhcpEvent::Packet(bytes) => {
                if let Some(answer) = message::decode(bytes, self.config.mac, self.xid) {
                    self.answered(&answer, now, &mut actions);
                }
            }
            DhcpEvent::Arp(bytes) => self.overheard(bytes, now, &mut actions),
            DhcpEvent::Tick => self.time_passed(now, &mut actions),
        }
        actions
    }

    /// Asks for an address that was had before.
    fn resume(&mut self, address: Ipv4Addr, used: Used, now: Tick, actions: &mut Vec<DhcpAction>) {
        self.fault = None;
        self.lose(actions);
        self.begin(now);
        let asked = self.ask(Question::Confirm { address }, 1, now, actions);
        self.state = State::Rebooting {
            address,
            used,
            asked,
        };
    }

    /// When a [`DhcpEvent::Tick`] is due; `None` while stopped.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Tick> {
        match self.state {
            State::Stopped => None,
            State::Waiting { until } => Some(until),
            State::Selecting(asked)
            | State::Requesting { asked, .. }
            | State::Rebooting { asked, .. } => Some(asked.again_at),
            State::Probing(probing) => Some(probing.next_at),
            State::Bound(lease) => Some(lease.renew_at),
            State::Renewing { lease, asked } => Some(asked.again_at.min(lease.rebind_at)),
            State::Rebinding { lease, asked } => Some(asked.again_at.min(lease.expires_at)),
        }
    }

    /// What was given last and can not be taken, since it overlaps a network of our own.
    #[must_use]
    pub fn overlap(&self) -> Option<WanStatus> {
        match self.fault? {
            OfferFault::Overlap { offered, .. } => Some(offered),
            OfferFault::Address(_)
            | OfferFault::Netmask
            | OfferFault::LeaseTime(_)
            | OfferFault::Router(_) => None,
        }
    }

    fn held(&self) -> Option<Lease> {
        match self.state {
            State::Bound(lease)
            | State::Renewing { lease, .. }
            | State::Rebinding { lease, .. } => Some(lease),
            State::Stopped
            | State::Waiting { .. }
            | State::Selecting(_)
            | State::Requesting { .. }
            | State::Rebooting { .. }
            | State::Probing(_) => None,
        }
    }

    fn lose(&mut self, actions: &mut Vec<DhcpAction>) {
        if self.held().is_some() {
            actions.push(DhcpAction::Lost);
        }
    }

    /// A new transaction: answers to an older one no longer count.
    fn begin(&mut self, now: Tick) {
        self.xid = self.random.draw();
        self.since = now;
    }

    fn discover(&mut self, now: Tick, actions: &mut Vec<DhcpAction>) {
        self.begin(now);
        let asked = self.ask(Question::Discover, 1, now, actions);
        self.state = State::Selecting(asked);
    }

    fn ask(
        &mut self,
        question: Question,
        times: u32,
        now: Tick,
        actions: &mut Vec<DhcpAction>,
    ) -> Asked {
        self.send(question, Ipv4Addr::BROADCAST, now, actions);
        let doubled = DHCP_RETRY_MIN_MS.checked_shl(times.saturating_sub(1));
        let wait = doubled.unwrap_or(DHCP_RETRY_MAX_MS).min(DHCP_RETRY_MAX_MS);
        let jitter = u64::from(self.random.draw()) % (2 * DHCP_RETRY_JITTER_MS + 1);
        Asked {
            at: now,
            times,
            again_at: now.after_ms(wait - DHCP_RETRY_JITTER_MS + jitter),
        }
    }

    fn send(&self, question: Question, to: Ipv4Addr, now: Tick, actions: &mut Vec<DhcpAction>) {
        let seconds = now.since_ms(self.since) / 1_000;
        let transaction = Transaction {
            mac: self.config.mac,
            xid: self.xid,
            seconds: u16::try_from(seconds).unwrap_or(u16::MAX),
        };
        let payload = message::encode(question, transaction);
        actions.push(DhcpAction::Send { payload, to });
    }

    /// Asks to prolong a lease; again after half of the time that is left until `until` (RFC 2131
    /// 4.4.5).
    fn prolong(
        &mut self,
        lease: &Lease,
        (to, until): (Ipv4Addr, Tick),
        now: Tick,
        actions: &mut Vec<DhcpAction>,
    ) -> Asked {
        let address = lease.address;
        self.send(Question::Prolong { address }, to, now, actions);
        let half = until.since_ms(now) / 2;
        Asked {
            at: now,
            times: 1,
            again_at: now.after_ms(half.max(DHCP_RENEW_MIN_MS)),
        }
    }

    fn time_passed(&mut self, now: Tick, actions: &mut Vec<DhcpAction>) {
        if self.next_deadline().is_none_or(|due| due > now) {
            return;
        }
        match self.state {
            State::Stopped => {}
            State::Waiting { .. } => self.discover(now, actions),
            State::Selecting(asked) => {
                let times = asked.times.saturating_add(1);
                self.state = State::Selecting(self.ask(Question::Discover, times, now, actions));
            }
            State::Requesting {
                address,
                server,
                asked,
            } => {
                if asked.times >= DHCP_REQUESTS_MAX {
                    return self.discover(now, actions);
                }
                let question = Question::Take { address, server };
                let asked = self.ask(question, asked.times + 1, now, actions);
                self.state = State::Requesting {
                    address,
                    server,
                    asked,
                };
            }
            State::Rebooting {
                address,
                used,
                asked,
            } => {
                if asked.times >= DHCP_REQUESTS_MAX {
                    return self.discover(now, actions);
                }
                let question = Question::Confirm { address };
                let asked = self.ask(question, asked.times + 1, now, actions);
                self.state = State::Rebooting {
                    address,
                    used,
                    asked,
                };
            }
            State::Probing(probing) => self.probe(probing, now, actions),
            State::Bound(lease)
            | State::Renewing { lease, .. }
            | State::Rebinding { lease, .. } => {
                self.lease_aged(lease, now, actions);
            }
        }
    }

    /// T1, T2 or the end of a lease, or a question of theirs unanswered. A wake-up that comes very
    /// late goes straight to where the clock says.
    fn lease_aged(&mut self, lease: Lease, now: Tick, actions: &mut Vec<DhcpAction>) {
        if lease.expires_at <= now {
            self.lose(actions);
            return self.discover(now, actions);
        }
        if matches!(self.state, State::Bound(_)) {
            self.begin(now);
        }
        self.state = if lease.rebind_at <= now {
            let whom = (Ipv4Addr::BROADCAST, lease.expires_at);
            let asked = self.prolong(&lease, whom, now, actions);
            State::Rebinding { lease, asked }
        } else {
            let whom = (lease.server, lease.rebind_at);
            let asked = self.prolong(&lease, whom, now, actions);
            State::Renewing { lease, asked }
        };
    }
}

//! A home to test in.

pub use super::home::{config, lease};
pub use super::packets::*;
use crate::counters::DropReason;
use crate::limits::REPLY_MAX;
use crate::nat::{Nat, NatEvent, Verdict};
use core::net::Ipv4Addr;
use hearth_model::protocol::{Forward, NetworkPolicy, Transport, Zone};
use hearth_model::{ServiceId, Tick};

pub const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 213, 0, 1);

pub const WEB: Ipv4Addr = Ipv4Addr::new(10, 213, 0, 5);

pub fn web_id() -> ServiceId {
    ServiceId::new(3).unwrap()
}

/// What came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Out {
    Forward(Vec<u8>),
    Local,
    Dhcp(Vec<u8>),
    Reply(Vec<u8>),
    Held,
    Drop(DropReason),
}

/// The machine under test and its clock.
pub struct Home {
    pub nat: Nat,
    pub now: Tick,
}

impl Home {
    /// A home with a WAN address, ten seconds after the boot.
    pub fn new() -> Home {
        let mut home = Home {
            nat: Nat::new(config()),
            now: Tick(10_000),
        };
        home.event(NatEvent::WanAddress(Some(lease(EXTERNAL))));
        home
    }

    /// The same with the web service attached.
    pub fn with_web(policy: NetworkPolicy) -> Home {
        let mut home = Home::new();
        home.event(NatEvent::Attach {
            id: web_id(),
            address: WEB,
            policy,
        });
        home
    }

    pub fn event(&mut self, event: NatEvent) {
        self.nat.event(event, self.now).unwrap();
    }

    pub fn forward(&mut self, from: Zone, transport: Transport, port: u16, to_port: u16) {
        self.event(NatEvent::Forward(Forward {
            id: web_id(),
            transport,
            from,
            port,
            to_port,
        }));
    }

    pub fn wait_ms(&mut self, ms: u64) {
        self.now = self.now.after_ms(ms);
        self.nat.tick(self.now);
    }

    /// One packet through the machine. What is not forwarded must be unchanged.
    pub fn run(&mut self, zone: Zone, bytes: &[u8]) -> Out {
        let mut copy = bytes.to_vec();
        let mut reply = [0; REPLY_MAX];
        let out = match self.nat.packet(zone, &mut copy, self.now, &mut reply) {
            Verdict::Forward => return Out::Forward(copy),
            Verdict::Local => Out::Local,
            Verdict::Dhcp(range) => Out::Dhcp(copy[range].to_vec()),
            Verdict::Reply(length) => Out::Reply(reply[..length].to_vec()),
            Verdict::Held => Out::Held,
            Verdict::Drop(reason) => Out::Drop(reason),
        };
        assert_eq!(copy, bytes, "changed, but not forwarded");
        out
    }

    /// Sends a packet that must pass, and returns where it then comes from and goes to.
    #[track_caller]
    pub fn pass(&mut self, zone: Zone, body: Body, from: End, to: End) -> (End, End) {
        match self.run(zone, &packet(body, from, to, b"data")) {
            Out::Forward(bytes) => ends(&bytes),
            other => panic!("{body:?} {from:?} -> {to:?}: {other:?}"),
        }
    }

    /// Sends a packet that must be dropped, and returns why.
    #[track_caller]
    pub fn drop(&mut self, zone: Zone, body: Body, from: End, to: End) -> DropReason {
        match self.run(zone, &packet(body, from, to, b"data")) {
            Out::Drop(reason) => reason,
            other => panic!("{body:?} {from:?} -> {to:?}: {other:?}"),
        }
    }

    /// Opens a TCP connection through all three segments; returns the initiator as the other end
    /// sees it, and that other end.
    #[track_caller]
    pub fn connect(&mut self, zones: (Zone, Zone), from: End, to: End) -> (End, End) {
        let (seen, target) = self.pass(zones.0, Body::Tcp(Flags::Syn), from, to);
        let back = self.pass(zones.1, Body::Tcp(Flags::SynAck), target, seen);
        assert_eq!(back, (to, from), "the answer is translated back");
        self.pass(zones.0, Body::Tcp(Flags::Ack), from, to);
        (seen, target)
    }
}

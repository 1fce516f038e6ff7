//! A home whose flows pass by its machine: the fast path as a model.

use super::support::*;
use crate::limits::REPLY_MAX;
use crate::nat::{Carrier, Nat, NatEvent, Pair, Passed, Traffic, Tuple, Verdict};
use crate::wire::ipv4::{Ipv4, Part};
use crate::wire::transport::{self, Kind, Ports};
use hearth_model::Tick;
use hearth_model::protocol::{Forward, NetworkPolicy, Transport, Zone, Zone::*};
use hearth_model::queues::CodePoint;
use std::collections::HashMap;

/// The fast path as the program does it, in a table of this process.
#[derive(Debug, Default)]
pub struct Model {
    pub entries: HashMap<Tuple, (Tuple, Traffic)>,
    pub refuses: bool,
}

impl Model {
    /// Forwards a plain packet that has an entry.
    pub fn forward(&mut self, zone: Zone, bytes: &mut [u8], now: Tick) -> bool {
        let Ok(mut packet) = Ipv4::parse(bytes) else {
            return false;
        };
        let Ok((protocol, kind, ports)) = transport::read(&packet) else {
            return false;
        };
        let plain = match kind {
            Kind::Tcp(flags) => !flags.syn() && !flags.fin() && !flags.rst(),
            Kind::Udp => true,
            _ => false,
        };
        let total = packet.total_len();
        if !plain || packet.part() != Part::Whole || packet.ttl() <= 1 || packet.header_len() != 20
        {
            return false;
        }
        let tuple = Tuple {
            source: packet.source(),
            destination: packet.destination(),
            ports,
            protocol,
            zone,
        };
        let Some((opposite, traffic)) = self.entries.get_mut(&tuple) else {
            return false;
        };
        let config = config();
        let mtu = match opposite.zone {
            Lan => config.lan_mtu,
            Wan => config.wan_mtu,
            Service => config.services_mtu,
            Guest => config.guest.unwrap().mtu,
        };
        if total > mtu {
            return false;
        }
        let delta = packet.set_addresses(opposite.destination, opposite.source);
        let ports = Ports {
            source: opposite.ports.destination,
            destination: opposite.ports.source,
        };
        transport::rewrite(protocol, packet.payload_mut(), ports, delta);
        traffic.packets += 1;
        traffic.bytes += u64::from(total);
        traffic.last = now;
        true
    }
}

impl Carrier for Model {
    fn carry(&mut self, pair: &Pair, _: CodePoint, now: Tick) -> Option<Passed> {
        if self.refuses {
            return None;
        }
        let start = Traffic {
            last: now,
            ..Traffic::default()
        };
        for (from, to) in [
            (pair.initiator, pair.responder),
            (pair.responder, pair.initiator),
        ] {
            let before = self.entries.insert(from, (to, start));
            assert_eq!(before, None, "{from:?} was carried already");
        }
        Some([start; 2])
    }

    fn passed(&self, pair: &Pair) -> Option<Passed> {
        let of = |tuple: &Tuple| self.entries.get(tuple).map(|(_, traffic)| *traffic);
        Some([of(&pair.initiator)?, of(&pair.responder)?])
    }

    fn stop(&mut self, pair: &Pair) -> Option<Passed> {
        let mut of = |tuple: &Tuple| self.entries.remove(tuple).map(|(_, traffic)| traffic);
        Some([of(&pair.initiator)?, of(&pair.responder)?])
    }
}

/// A home whose flows are carried.
pub struct Carried {
    pub nat: Nat<Model>,
    pub now: Tick,
    /// Packets that have passed by the machine.
    pub passed: u64,
}

impl Carried {
    pub fn new() -> Carried {
        let mut carried = Carried {
            nat: Nat::with_carrier(config(), Model::default()),
            now: Tick(10_000),
            passed: 0,
        };
        carried.event(NatEvent::WanAddress(Some(lease(EXTERNAL))));
        carried
    }

    pub fn event(&mut self, event: NatEvent) {
        self.nat.event(event, self.now).unwrap();
    }

    pub fn attach(&mut self) {
        self.event(NatEvent::Attach {
            id: web_id(),
            address: WEB,
            policy: NetworkPolicy::Wan,
        });
    }

    pub fn forward(&mut self, from: Zone, transport: Transport, port: u16) {
        self.event(NatEvent::Forward(Forward {
            id: web_id(),
            transport,
            from,
            port,
            to_port: port,
        }));
    }

    pub fn wait_ms(&mut self, ms: u64) {
        self.now = self.now.after_ms(ms);
        self.nat.tick(self.now);
    }

    pub fn run(&mut self, zone: Zone, bytes: &[u8]) -> Out {
        let mut copy = bytes.to_vec();
        let now = self.now;
        if self.nat.carrier_mut().forward(zone, &mut copy, now) {
            self.passed += 1;
            return Out::Forward(copy);
        }
        let mut reply = [0; REPLY_MAX];
        match self.nat.packet(zone, &mut copy, now, &mut reply) {
            Verdict::Forward => Out::Forward(copy),
            Verdict::Local => Out::Local,
            Verdict::Dhcp(range) => Out::Dhcp(copy[range].to_vec()),
            Verdict::Reply(length) => Out::Reply(reply[..length].to_vec()),
            Verdict::Held => Out::Held,
            Verdict::Drop(reason) => Out::Drop(reason),
        }
    }

    #[track_caller]
    pub fn pass(&mut self, zone: Zone, body: Body, from: End, to: End) -> (End, End) {
        match self.run(zone, &packet(body, from, to, b"data")) {
            Out::Forward(bytes) => ends(&bytes),
            other => panic!("{body:?} {from:?} -> {to:?}: {other:?}"),
        }
    }

    /// A TCP connection of Ann's; its external end.
    pub fn connect(&mut self) -> End {
        let (ann, far) = ((ANN, 5_000), (FAR, 443));
        let (seen, _) = self.pass(Lan, Body::Tcp(Flags::Syn), ann, far);
        self.pass(Wan, Body::Tcp(Flags::SynAck), far, seen);
        self.pass(Lan, Body::Tcp(Flags::Ack), ann, far);
        seen
    }
}

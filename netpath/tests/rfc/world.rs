//! Where a scenario takes place: what a NAT does with a packet, seen from outside of it.

pub use super::home::{WAN_MTU, config, lease};
use super::packets::*;
use hearth_model::Tick;
use hearth_model::protocol::Zone;
use hearth_netpath::limits::{FRAGMENT_HELD_MAX, REPLY_MAX};
use hearth_netpath::nat::{Nat, NatConfig, NatEvent, Verdict};
use std::collections::VecDeque;

/// A NAT between a home and the Internet.
pub trait World {
    /// A packet leaves a host on this side for the NAT; what that brings about has happened when it
    /// returns.
    fn send(&mut self, from: Zone, packet: &[u8]);
    /// The next packet that has come out on this side.
    fn next(&mut self, at: Zone) -> Option<Vec<u8>>;
    /// The pure machine, where that is it: its clock can be turned.
    fn machine(&mut self) -> Option<&mut Machine>;
}

/// The machine in virtual time.
pub struct Machine {
    pub nat: Nat,
    pub now: Tick,
    out: [VecDeque<Vec<u8>>; 2],
}

impl Machine {
    pub fn with(config: NatConfig) -> Machine {
        let mut machine = Machine {
            nat: Nat::new(config),
            now: Tick(10_000),
            out: Default::default(),
        };
        let address = NatEvent::WanAddress(Some(lease(EXTERNAL)));
        machine.nat.event(address, machine.now).unwrap();
        machine
    }

    pub fn wait_ms(&mut self, ms: u64) {
        self.now = self.now.after_ms(ms);
        self.nat.tick(self.now);
    }

    /// Flows in the table.
    pub fn flows(&self) -> u32 {
        self.nat.report().mappings
    }

    fn side(packet: &[u8]) -> usize {
        // Where the kernel routes it.
        usize::from(packet[16..19] != [192, 168, 1])
    }
}

impl World for Machine {
    fn send(&mut self, from: Zone, packet: &[u8]) {
        let (mut bytes, mut reply) = (packet.to_vec(), [0; REPLY_MAX]);
        let out = match self.nat.packet(from, &mut bytes, self.now, &mut reply) {
            Verdict::Forward => bytes,
            Verdict::Reply(length) => reply[..length].to_vec(),
            Verdict::Local | Verdict::Dhcp(_) | Verdict::Held | Verdict::Drop(_) => return,
        };
        self.out[Machine::side(&out)].push_back(out);
        let mut later = [0; FRAGMENT_HELD_MAX];
        while let Some(out) = self.nat.released(&mut later, self.now) {
            self.out[Machine::side(out)].push_back(out.to_vec());
        }
    }

    fn next(&mut self, at: Zone) -> Option<Vec<u8>> {
        self.out[usize::from(at != Zone::Lan)].pop_front()
    }

    fn machine(&mut self) -> Option<&mut Machine> {
        Some(self)
    }
}

/// A home in some world, and what happens in it. What is not expected fails the test.
pub struct Home<'a>(pub &'a mut dyn World);

impl Home<'_> {
    /// The machine, for scenarios that turn its clock or its configuration.
    #[track_caller]
    pub fn machine(&mut self) -> &mut Machine {
        self.0.machine().expect("only in virtual time")
    }

    /// Sends a packet, and returns the one that comes out on another side; nothing else comes out.
    #[track_caller]
    pub fn carry(&mut self, (from, to): (Zone, Zone), packet: &[u8]) -> Vec<u8> {
        self.0.send(from, packet);
        let out = self.0.next(to);
        let out = out.unwrap_or_else(|| panic!("nothing came out on {to:?} of {packet:02x?}"));
        self.quiet();
        out
    }

    /// The same for a packet that has ports: who it comes from then, and where it goes.
    #[track_caller]
    pub fn pass(&mut self, way: (Zone, Zone), body: Body, from: End, to: End) -> (End, End) {
        ends(&self.carry(way, &packet(body, from, to, data(body))))
    }

    /// From the home to the Internet: the source that the Internet sees.
    #[track_caller]
    pub fn out(&mut self, body: Body, from: End, to: End) -> End {
        let (seen, arrives) = self.pass((Zone::Lan, Zone::Wan), body, from, to);
        assert_eq!(arrives, to);
        seen
    }

    /// From the Internet into the home: where it arrives.
    #[track_caller]
    pub fn back(&mut self, body: Body, from: End, to: End) -> End {
        let (seen, arrives) = self.pass((Zone::Wan, Zone::Lan), body, from, to);
        assert_eq!(seen, from, "the source is the true one");
        arrives
    }

    /// Sends a packet that nobody hears of.
    #[track_caller]
    pub fn lose(&mut self, from: Zone, packet: &[u8]) {
        self.0.send(from, packet);
        self.quiet();
    }

    /// Sends a packet with ports that nobody hears of.
    #[track_caller]
    pub fn filtered(&mut self, body: Body, from: End, to: End) {
        self.lose(Zone::Wan, &packet(body, from, to, data(body)));
    }

    #[track_caller]
    fn quiet(&mut self) {
        for zone in [Zone::Lan, Zone::Wan] {
            let more = self.0.next(zone);
            assert_eq!(more, None, "on {zone:?}");
        }
    }

    /// Opens a connection from the home through all three segments; the source that is seen.
    #[track_caller]
    pub fn connect(&mut self, from: End, to: End) -> End {
        let seen = self.out(SYN, from, to);
        assert_eq!(self.back(SYN_ACK, to, seen), from);
        self.out(ACK, from, to);
        seen
    }
}

pub const SYN: Body = Body::Tcp(Flags::Syn);
pub const SYN_ACK: Body = Body::Tcp(Flags::SynAck);
pub const ACK: Body = Body::Tcp(Flags::Ack);
pub const FIN: Body = Body::Tcp(Flags::Fin);
pub const RST: Body = Body::Tcp(Flags::Rst);

/// What a packet carries: the segments that open and close a connection carry nothing.
fn data(body: Body) -> &'static [u8] {
    match body {
        Body::Tcp(_) => b"",
        Body::Udp | Body::UdpWithoutChecksum | Body::EchoRequest | Body::EchoReply => b"data",
    }
}

//! Guards: programs that drop every frame which its sender has no right to send.
//!
//! A service's end of its link is in a namespace that a hostile program may one day control as root:
//! then it sends whatever bytes it likes. What comes out of the other end is checked here, in the
//! gateway's namespace: its hardware address, its IPv4 address, no other protocol, no VLAN tag (with
//! which the kernel would not take the frame for IPv4, and yet deliver it: tag 0 is a priority).

use crate::error::KernelError;
use crate::map::Map;
use crate::object::MapSpec;
use crate::program::{
    ADD, DROP, EXIT, HALF, Instruction, JUMP_AT_LEAST, JUMP_EQUAL, LOAD, LOAD_ADDRESS,
    LOAD_CONTEXT, LOAD_DOUBLE, MOVE_CONSTANT, Program, STORE_DOUBLE, instruction, jump, leave_as,
    move_register,
};
pub use hearth_model::drops::Stray;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd};

/// Whether a sender needs ARP: who it reaches by a fixed neighbour needs none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arp {
    /// About itself only.
    Own,
    /// Never.
    Never,
}

/// `TC_ACT_UNSPEC`: no verdict, ask the next program.
const GO_ON: i32 = -1;
/// `BPF_PSEUDO_MAP_VALUE`: the address loaded is that of a map's value.
const MAP_VALUE: u8 = 2;
/// Offsets in `struct __sk_buff` of linux/bpf.h.
const LENGTH: i16 = 0;
const TAGGED: i16 = 20;
/// Offsets in an Ethernet frame (RFC 894, RFC 826, RFC 791).
const ETHERNET_SOURCE: i32 = 6;
const ETHERTYPE: i32 = 12;
const ARP_HARDWARE_AND_PROTOCOL: i32 = 14;
const ARP_LENGTHS: i32 = 18;
const ARP_SENDER_HARDWARE: i32 = 22;
const ARP_SENDER: i32 = 28;
const IPV4_SOURCE: i32 = 14 + 12;
/// Bytes that must be there.
const ARP_LENGTH: i32 = 14 + 28;
const IPV4_LENGTH: i32 = 14 + 20;
const ETHERTYPE_IPV4: i32 = 0x0800;
const ETHERTYPE_ARP: i32 = 0x0806;
/// Ethernet, IPv4; addresses of 6 and 4 bytes.
const ARP_ETHERNET_IPV4: i32 = 0x0001_0800;
const ARP_SIX_AND_FOUR: i32 = 0x0604;

/// `BPF_MAP_TYPE_ARRAY`
const ARRAY: u32 = 2;
/// The map has one value, in which each reason has a double word.
const STRAYS: usize = Stray::ALL.len();
const VALUE_SIZE: usize = STRAYS * 8;
const FIRST: [u8; 4] = [0; 4];

/// Counters, all 0. A program counts without a lock: of two processors' counts at once, one may be
/// lost.
fn counters() -> Result<Map, KernelError> {
    Map::create(MapSpec {
        name: "guard".to_owned(),
        kind: ARRAY,
        key_size: 4,
        value_size: VALUE_SIZE as u32,
        max_entries: 1,
        flags: 0,
    })
}

/// Checks, one after the other; the first one that fails counts and drops.
struct Checks {
    code: Vec<Instruction>,
    map: i32,
}

impl Checks {
    fn new(counts: &Map) -> Checks {
        Checks {
            code: vec![move_register(6, 1)],
            map: counts.as_fd().as_raw_fd(),
        }
    }

    /// Drops unless register 0 compares so with `wanted`.
    fn unless(&mut self, comparison: u8, wanted: i32, reason: Stray) {
        let drop = self.drop(reason);
        // Seven instructions, which is an i16.
        self.code.push(jump(comparison, wanted, drop.len() as i16));
        self.code.extend(drop);
    }

    fn drop(&self, reason: Stray) -> [Instruction; 7] {
        let place = (reason as i32) * 8;
        let double = |code, registers| instruction(code, registers, 0);
        [
            instruction(LOAD_ADDRESS, MAP_VALUE << 4 | 1, self.map),
            instruction(0, 0, place),
            double(LOAD_DOUBLE, 1 << 4 | 2),
            instruction(ADD, 2, 1),
            double(STORE_DOUBLE, 2 << 4 | 1),
            instruction(MOVE_CONSTANT, 0, DROP),
            instruction(EXIT, 0, 0),
        ]
    }

    fn context(&mut self, at: i16) {
        self.code.push(Instruction {
            offset: at,
            ..instruction(LOAD_CONTEXT, 6 << 4, 0)
        });
    }

    fn at_least(&mut self, bytes: i32) {
        self.context(LENGTH);
        self.unless(JUMP_AT_LEAST, bytes, Stray::Short);
    }

    fn untagged(&mut self) {
        self.context(TAGGED);
        self.unless(JUMP_EQUAL, 0, Stray::Tagged);
    }

    fn word(&mut self, at: i32, wanted: i32, reason: Stray) {
        self.code.push(instruction(LOAD, 0, at));
        self.unless(JUMP_EQUAL, wanted, reason);
    }

    fn half(&mut self, at: i32, wanted: i32, reason: Stray) {
        self.code.push(instruction(LOAD | HALF, 0, at));
        self.unless(JUMP_EQUAL, wanted, reason);
    }

    fn hardware(&mut self, at: i32, [a, b, c, d, e, f]: [u8; 6], reason: Stray) {
        self.word(at, i32::from_be_bytes([a, b, c, d]), reason);
        self.half(at + 4, i32::from_be_bytes([0, 0, e, f]), reason);
    }

    fn passes(&mut self) {
        self.code.push(instruction(MOVE_CONSTANT, 0, GO_ON));
        self.code.push(instruction(EXIT, 0, 0));
    }
}

/// A guard that is loaded, and what it has counted.
#[derive(Debug)]
pub struct Guard {
    program: Program,
    counts: Map,
}

impl Guard {
    /// Lets in what a sender with these addresses may send.
    ///
    /// # Errors
    /// [`KernelError`]: the kernel takes no map or no program.
    pub fn of_link(hardware: [u8; 6], address: Ipv4Addr, arp: Arp) -> Result<Guard, KernelError> {
        let counts = counters()?;
        let address = u32::from(address).cast_signed();
        let mut ipv4 = Checks::new(&counts);
        ipv4.code.clear();
        ipv4.half(ETHERTYPE, ETHERTYPE_IPV4, Stray::Protocol);
        ipv4.word(IPV4_SOURCE, address, Stray::Source);
        ipv4.passes();

        let mut checks = Checks::new(&counts);
        checks.at_least(IPV4_LENGTH);
        checks.untagged();
        checks.hardware(ETHERNET_SOURCE, hardware, Stray::HardwareAddress);
        if arp == Arp::Own {
            // ARP goes on after what checks IPv4: about forty instructions, which is an i16.
            let by = ipv4.code.len() as i16;
            checks.code.push(instruction(LOAD | HALF, 0, ETHERTYPE));
            checks.code.push(jump(JUMP_EQUAL, ETHERTYPE_ARP, by));
        }
        checks.code.append(&mut ipv4.code);
        if arp == Arp::Own {
            checks.at_least(ARP_LENGTH);
            let kind = [
                (ARP_HARDWARE_AND_PROTOCOL, ARP_ETHERNET_IPV4),
                (ARP_SENDER, address),
            ];
            for (at, wanted) in kind {
                checks.word(at, wanted, Stray::Arp);
            }
            checks.half(ARP_LENGTHS, ARP_SIX_AND_FOUR, Stray::Arp);
            checks.hardware(ARP_SENDER_HARDWARE, hardware, Stray::Arp);
            checks.passes();
        }
        let program = Program::load(&checks.code)?;
        Ok(Guard { program, counts })
    }

    /// Lets in ARP without a VLAN tag, and nothing else: behind a program that has a verdict on
    /// every IPv4 packet.
    ///
    /// # Errors
    /// As [`Guard::of_link`].
    pub fn of_port() -> Result<Guard, KernelError> {
        let counts = counters()?;
        let mut checks = Checks::new(&counts);
        checks.untagged();
        checks.half(ETHERTYPE, ETHERTYPE_ARP, Stray::Protocol);
        checks.passes();
        let program = Program::load(&checks.code)?;
        Ok(Guard { program, counts })
    }

    /// The program for a port's way out: only packets that show no other address than this leave. What it
    /// drops is counted here, whatever the address is meanwhile.
    ///
    /// # Errors
    /// As [`Guard::of_link`].
    pub fn exit_as(&self, address: Ipv4Addr) -> Result<Program, KernelError> {
        let refuse = Checks::new(&self.counts).drop(Stray::InsideAddress);
        Program::load(&leave_as(address, &refuse))
    }

    /// What was dropped so far, by reason.
    ///
    /// # Errors
    /// [`KernelError::Refused`].
    pub fn dropped(&self) -> Result<[(Stray, u64); STRAYS], KernelError> {
        let mut values = [0; VALUE_SIZE];
        self.counts.lookup(&FIRST, &mut values)?;
        let (counts, _) = values.as_chunks::<8>();
        let mut all = [(Stray::Short, 0); STRAYS];
        for ((row, &reason), count) in all.iter_mut().zip(Stray::ALL).zip(counts) {
            *row = (reason, u64::from_ne_bytes(*count));
        }
        Ok(all)
    }

    pub(crate) fn program(&self) -> &Program {
        &self.program
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: [u8; 6] = [0x02, 0xff, 0x80, 0x01, 0xfe, 0x03];
    const OWN: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 2);

    fn test_run(guard: &Guard, frame: &[u8]) -> i32 {
        let run = guard.program().test_run(frame, &mut [], 1).unwrap();
        run.value.cast_signed()
    }

    fn ipv4(mac: [u8; 6], ethertype: u16, source: Ipv4Addr) -> Vec<u8> {
        let mut frame = vec![0; 60];
        frame[6..12].copy_from_slice(&mac);
        frame[12..14].copy_from_slice(&ethertype.to_be_bytes());
        frame[14] = 0x45;
        frame[26..30].copy_from_slice(&source.octets());
        frame
    }

    fn arp(change: impl FnOnce(&mut [u8])) -> Vec<u8> {
        let mut frame = vec![0; 60];
        frame[6..12].copy_from_slice(&MAC);
        frame[12..22].copy_from_slice(&[8, 6, 0, 1, 8, 0, 6, 4, 0, 2]);
        frame[22..28].copy_from_slice(&MAC);
        frame[28..32].copy_from_slice(&OWN.octets());
        change(&mut frame);
        frame
    }

    #[test]
    fn a_link_lets_in_what_is_its_senders_own_and_counts_the_rest_by_reason() {
        // given a guard of either kind (needs root)
        let other_mac = [0x02, 0xff, 0x80, 0x01, 0xfe, 0x04];
        let odd_mac = [0x03, 0xff, 0x80, 0x01, 0xfe, 0x03];
        let router = Ipv4Addr::new(192, 168, 1, 1);
        let own_arp = arp(|_| ());
        for kind in [Arp::Own, Arp::Never] {
            let guard = Guard::of_link(MAC, OWN, kind).unwrap();
            let arp_of = |reason| match kind {
                Arp::Own => reason,
                Arp::Never => Some(Stray::Protocol),
            };
            for (name, frame, reason) in [
                ("own", ipv4(MAC, 0x800, OWN), None),
                ("address", ipv4(MAC, 0x800, router), Some(Stray::Source)),
                ("IPv6", ipv4(MAC, 0x86dd, OWN), Some(Stray::Protocol)),
                ("LLDP", ipv4(MAC, 0x88cc, OWN), Some(Stray::Protocol)),
                (
                    "mac",
                    ipv4(other_mac, 0x800, OWN),
                    Some(Stray::HardwareAddress),
                ),
                (
                    "mac's start",
                    ipv4(odd_mac, 0x800, OWN),
                    Some(Stray::HardwareAddress),
                ),
                // the kernel runs no test on a short IPv4 packet
                (
                    "short",
                    ipv4(MAC, 0x88cc, OWN)[..33].to_vec(),
                    Some(Stray::Short),
                ),
                ("own ARP", own_arp.clone(), arp_of(None)),
                (
                    "short ARP",
                    own_arp[..41].to_vec(),
                    arp_of(Some(Stray::Short)),
                ),
                (
                    "the router's ARP",
                    arp(|f| f[31] = 1),
                    arp_of(Some(Stray::Arp)),
                ),
                (
                    "another's ARP",
                    arp(|f| f[27] = 4),
                    arp_of(Some(Stray::Arp)),
                ),
                ("odd ARP", arp(|f| f[18] = 8), arp_of(Some(Stray::Arp))),
                (
                    "odd ARP protocol",
                    arp(|f| f[16] = 7),
                    arp_of(Some(Stray::Arp)),
                ),
            ] {
                // when it sees a frame, then it has no verdict, or drops and counts it once
                let before = guard.dropped().unwrap();
                let verdict = test_run(&guard, &frame);
                let after = guard.dropped().unwrap();
                assert_eq!(verdict, reason.map_or(GO_ON, |_| DROP), "{kind:?} {name}");
                for (stray, count) in before {
                    let now = after[stray as usize].1;
                    let expected = count + u64::from(reason == Some(stray));
                    assert_eq!(now, expected, "{kind:?} {name}: {}", stray.name());
                }
            }
        }
    }

    #[test]
    fn a_port_lets_in_arp_only() {
        let guard = Guard::of_port().unwrap();
        assert_eq!(test_run(&guard, &arp(|_| ())), GO_ON);
        assert_eq!(test_run(&guard, &ipv4(MAC, 0x86dd, OWN)), DROP);
        assert_eq!(guard.dropped().unwrap()[2], (Stray::Protocol, 1));
        // and its way out counts what would show another address, also after that has changed
        for (own, dropped) in [(OWN, 0), (Ipv4Addr::new(192, 168, 1, 3), 1)] {
            let exit = guard.exit_as(own).unwrap();
            let run = exit.test_run(&ipv4(MAC, 0x800, OWN), &mut [], 1).unwrap();
            assert_eq!(run.value.cast_signed() == DROP, dropped == 1);
            let counted = guard.dropped().unwrap()[Stray::InsideAddress as usize];
            assert_eq!(counted, (Stray::InsideAddress, dropped));
        }
    }
}

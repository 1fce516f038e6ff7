//! Does the program do on this kernel what it should? Asked before it sees a packet of the home, with
//! maps of its own (`BPF_PROG_TEST_RUN`).

use super::abi::{self, Config};
use super::entry::{self, Clock};
use super::ways::Way;
use super::{CONFIG, FIRST, FLOWS, FastPathError, missing, programs};
use crate::nat::Tuple;
use crate::wire::checksum::{Sum, pseudo};
use crate::wire::transport::{Ports, Protocol};
use core::net::Ipv4Addr;
use hearth_bpf::map::{Maps, When};
use hearth_bpf::object::Object;
use hearth_bpf::program::Program;
use hearth_model::protocol::Zone;

/// Offsets in a frame: IPv4 begins at 14.
const TTL: usize = 22;
/// The program's answer to both kinds of packets: `TC_ACT_REDIRECT`.
const REDIRECT: u32 = 7;

/// From the home to the Internet and by another address; documentation's addresses (RFC 5737).
fn tuples() -> (Tuple, Tuple) {
    let inside = Ipv4Addr::new(192, 0, 2, 10);
    let (outside, far) = (
        Ipv4Addr::new(198, 51, 100, 1),
        Ipv4Addr::new(203, 0, 113, 7),
    );
    let tuple = |source, destination, ports: (u16, u16), zone| Tuple {
        source,
        destination,
        ports: Ports {
            source: ports.0,
            destination: ports.1,
        },
        protocol: Protocol::Udp,
        zone,
    };
    (
        tuple(inside, far, (5_000, 53), Zone::Lan),
        tuple(far, outside, (53, 6_000), Zone::Wan),
    )
}

/// An Ethernet frame with a UDP packet, its checksums right.
fn frame(source: Ipv4Addr, destination: Ipv4Addr, ports: Ports, ttl: u8) -> Vec<u8> {
    let data = [0x48; 26];
    let length: u16 = 8 + 26;
    let udp = |checksum: u16| {
        let head = [ports.source, ports.destination, length, checksum].map(u16::to_be_bytes);
        [head.as_flattened(), &data].concat()
    };
    let sum = pseudo(source, destination, 17, length).bytes(&udp(0));
    let ip = |checksum: u16| {
        let head = [
            0x4500,
            20 + length,
            0x1234,
            0,
            u16::from_be_bytes([ttl, 17]),
            checksum,
        ];
        let head = head.map(u16::to_be_bytes);
        [head.as_flattened(), &source.octets(), &destination.octets()].concat()
    };
    let header = ip(Sum::default().bytes(&ip(0)).checksum());
    let ethernet = [&[0; 12][..], &[8, 0]].concat();
    [ethernet, header, udp(sum.checksum())].concat()
}

/// Tests every program of the object.
///
/// # Errors
/// [`FastPathError`] with what failed.
pub fn run(object: &Object) -> Result<(), FastPathError> {
    let maps = Maps::create(object, Vec::new())?;
    let programs = programs(object, &maps)?;
    let config = maps.get(CONFIG).ok_or(missing(CONFIG))?;
    let flows = maps.get(FLOWS).ok_or(missing(FLOWS))?;
    let beats = |valid_until| {
        entry::config_bytes(&Config {
            valid_until,
            daemon: [1; 4],
            layout: abi::LAYOUT,
            ..Config::default()
        })
    };
    config.update(&FIRST, &beats(u64::MAX), When::Any)?;
    let (from, to) = tuples();
    let way = Way {
        interface: 1,
        next_hop: to.source,
        priority: 0,
        mtu: 1_500,
    };
    let sides = Zone::ALL.into_iter().chain([Zone::Lan]);
    for (program, zone) in programs.iter().zip(sides) {
        let from = Tuple { zone, ..from };
        let value = entry::entry(&from, &to, &way, abi::INITIATOR, 0);
        let key = entry::key_bytes(&entry::key(&from));
        flows.update(&key, &entry::entry_bytes(&value), When::Any)?;
        let sent = frame(from.source, from.destination, from.ports, 64);
        let ports = Ports {
            source: to.ports.destination,
            destination: to.ports.source,
        };
        let wanted = frame(to.destination, to.source, ports, 63);
        expect(
            program,
            &sent,
            &wanted,
            "a packet of a flow was not translated",
        )?;
        let mut value = [0; entry::ENTRY_SIZE];
        flows.lookup(&key, &mut value)?;
        let traffic = entry::traffic(&entry::entry_from(&value), &Clock::default());
        if (traffic.packets, traffic.bytes) != (1, 54) {
            return Err(FastPathError::SelfTest(
                "a packet of a flow was not counted",
            ));
        }
        let last_hop = frame(from.source, from.destination, from.ports, 1);
        expect(
            program,
            &last_hop,
            &last_hop,
            "a packet at its last hop was changed",
        )?;
        let strange = frame(to.source, from.destination, from.ports, 64);
        expect(
            program,
            &strange,
            &strange,
            "a packet of no flow was changed",
        )?;
        let mut damaged = sent.clone();
        if let Some(ttl) = damaged.get_mut(TTL) {
            *ttl = 65;
        }
        expect(program, &damaged, &damaged, "a damaged packet was changed")?;
        config.update(&FIRST, &beats(0), When::Any)?;
        expect(program, &sent, &sent, "it went on without its owner")?;
        config.update(&FIRST, &beats(u64::MAX), When::Any)?;
    }
    Ok(())
}

fn expect(
    program: &Program,
    sent: &[u8],
    wanted: &[u8],
    otherwise: &'static str,
) -> Result<(), FastPathError> {
    let run = program.test_run(sent, &mut [], 1)?;
    if run.value == REDIRECT && run.packet == wanted {
        Ok(())
    } else {
        Err(FastPathError::SelfTest(otherwise))
    }
}

//! Millions of packets that nobody honest sends, through parser and machine: each has one verdict, none
//! makes it panic, and what comes out is checked by another implementation and a model of its own.
//!
//! `HEARTH_FUZZ_PACKETS` says how many; `HEARTH_FUZZ_SEED` repeats a run. The packets are made by rule and
//! then damaged, so that they get deep: most have right checksums, addresses that meet, and ports in use.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing
)]
// What is not expected is a failure, whatever it is.
#![allow(clippy::wildcard_enum_match_arm)]

mod generator;
#[path = "../../src/nat/tests/home.rs"]
mod home;
mod oracle;

use generator::Generator;
use hearth_model::gateway::{Filtering, NatChoices};
use hearth_model::protocol::{Forward, NetworkPolicy, Transport, Zone};
use hearth_model::{ServiceId, Tick};
use hearth_netpath::counters::DropReason;
use hearth_netpath::limits::{FRAGMENT_HELD_MAX, REPLY_MAX};
use hearth_netpath::nat::{Nat, NatConfig, NatEvent, Verdict};
pub use home::{GATEWAY, GUEST_GATEWAY};
use home::{config, lease};
use oracle::Oracle;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

pub const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 213, 0, 1);
pub const EXTERNAL: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 50);
pub const WEB: Ipv4Addr = Ipv4Addr::new(10, 213, 0, 5);
/// The port of the gateway, on every side, that is the web service's.
pub const FORWARDED: u16 = 443;

/// Packets of a run of the test tier; a run by hand takes 10,000,000.
const PACKETS: u64 = 300_000;
/// Packets that one machine sees before a fresh one, with other choices, takes its place.
const PACKETS_EACH: u64 = 50_000;

/// What no packet brings about: a defect of ours.
const NEVER: DropReason = DropReason::EgressGuard;
/// What takes more flows than these packets open, or two of a kind (`nat/tests/` opens them), and what the
/// fast path keeps from the machine.
const ELSEWHERE: [DropReason; 5] = [
    DropReason::TableFull,
    DropReason::HostShareFull,
    DropReason::Conflict,
    DropReason::HostBusy,
    DropReason::HostUnknown,
];

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// A busy home: a service with ports on both sides, one on the bridge, and whatever filtering it is.
fn machine(secret: u64, filtering: Filtering) -> Nat {
    let mut nat = Nat::new(NatConfig {
        choices: NatChoices {
            udp_filtering: filtering,
            tcp_filtering: filtering,
            ..NatChoices::default()
        },
        secret,
        ..config()
    });
    let (web, dns) = (ServiceId::new(3).unwrap(), ServiceId::new(4).unwrap());
    let forward = |transport, from| {
        NatEvent::Forward(Forward {
            id: web,
            transport,
            from,
            port: FORWARDED,
            to_port: FORWARDED,
        })
    };
    for event in [
        NatEvent::WanAddress(Some(lease(EXTERNAL))),
        NatEvent::Attach {
            id: web,
            address: WEB,
            policy: NetworkPolicy::Wan,
        },
        NatEvent::AttachBridged {
            id: dns,
            address: Ipv4Addr::new(192, 168, 1, 2),
            policy: NetworkPolicy::Lan,
        },
        forward(Transport::Tcp, Zone::Wan),
        forward(Transport::Udp, Zone::Wan),
        forward(Transport::Tcp, Zone::Lan),
    ] {
        nat.event(event, Tick(0)).unwrap();
    }
    nat
}

/// Everything that one machine went through.
struct Run {
    nat: Nat,
    oracle: Oracle,
    generator: Generator,
    now: Tick,
}

impl Run {
    fn step(&mut self) {
        self.now = self.now.after_ms(self.generator.pause_ms());
        self.nat.tick(self.now);
        if let Some(address) = self.generator.another_address() {
            let event = NatEvent::WanAddress(address.map(lease));
            self.nat.event(event, self.now).unwrap();
            self.oracle.moved(address);
        }
        let (zone, bytes) = self.generator.packet();
        let (mut copy, mut reply) = (bytes.clone(), [0; REPLY_MAX]);
        match self.nat.packet(zone, &mut copy, self.now, &mut reply) {
            Verdict::Forward => {
                self.oracle.forwarded(zone, &bytes, &copy, self.now);
                self.generator.heard(zone, &copy);
            }
            Verdict::Reply(length) => {
                self.oracle.replied(zone, &bytes, &reply[..length]);
                assert_eq!(copy, bytes, "answered, and changed");
            }
            Verdict::Local | Verdict::Dhcp(_) | Verdict::Held | Verdict::Drop(_) => {
                assert_eq!(copy, bytes, "not forwarded, but changed");
            }
        }
        let mut later = [0; FRAGMENT_HELD_MAX];
        while let Some(out) = self.nat.released(&mut later, self.now) {
            self.oracle.released(zone, out);
        }
    }
}

#[test]
fn no_packet_is_forwarded_wrongly_whatever_it_is() {
    let (packets, seed) = (
        number("HEARTH_FUZZ_PACKETS", PACKETS),
        number("HEARTH_FUZZ_SEED", 1),
    );
    println!("{packets} packets, seed {seed}");
    let (mut verdicts, mut passed) = (BTreeMap::new(), 0u64);
    for part in 0..packets.div_ceil(PACKETS_EACH) {
        // given a machine with one of the filters
        let filtering = [
            Filtering::AddressDependent,
            Filtering::EndpointIndependent,
            Filtering::AddressAndPortDependent,
        ][(part % 3) as usize];
        let secret = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(part);
        let mut run = Run {
            nat: machine(secret, filtering),
            oracle: Oracle::new(filtering),
            generator: Generator::new(secret),
            now: Tick(10_000),
        };
        // when it sees packets from all sides, then each is what the oracle says it may be
        for n in 0..PACKETS_EACH.min(packets - part * PACKETS_EACH) {
            run.step();
            assert!(
                n % 1_000 != 0 || run.nat.counters().balanced(),
                "part {part}, packet {n}"
            );
        }
        let counters = run.nat.counters();
        assert!(counters.balanced());
        passed += counters.forwarded + counters.local;
        for &reason in DropReason::ALL {
            *verdicts.entry(reason.name()).or_insert(0) += counters.refused(reason);
        }
        // and when all timers are over, then nothing is left
        run.now = run.now.after_ms(8_000_000);
        for _ in 0..2 {
            run.nat.tick(run.now);
            run.now = run.now.after_ms(3_000);
        }
        assert_eq!(run.nat.report().mappings, 0);
    }
    // and every reason there is was met, and enough got through for the oracle to have worked
    println!("passed={passed} {verdicts:#?}");
    for &reason in DropReason::ALL {
        let met = verdicts[reason.name()] > 0;
        let may_be_missing = ELSEWHERE.contains(&reason);
        assert!(
            met != (reason == NEVER) || may_be_missing,
            "{}: {met}",
            reason.name()
        );
    }
    assert!(passed > packets / 20, "only {passed} passed");
}

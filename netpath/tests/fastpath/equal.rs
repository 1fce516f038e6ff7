//! Fast path = slow path, packet by packet.

use super::support::*;
use hearth_model::protocol::Zone;
use std::net::Ipv4Addr;

/// Packets in all, where `HEARTH_PACKETS` does not say another number. Their seed is printed; the same
/// one makes the same packets.
const PACKETS: u64 = 120_000;

const ACK: u8 = 0x10;
const FLAGS: [u8; 12] = [
    ACK, ACK, ACK, ACK, ACK, 0x18, 0x02, 0x12, 0x11, 0x14, 0x00, 0xf0,
];

/// Somebody who talks to somebody, as the gateway sees it on one side.
fn ends(dice: &mut Dice) -> (Zone, End, End) {
    let port = dice.pick(&[5_000, 5_001, 443, 443, 8_443, 53]);
    let other = dice.pick(&[5_000, 443, 9_000]);
    let inside = dice.pick(&[ANN, ANN, BOB]);
    match dice.roll(14) {
        0..=3 => (Zone::Lan, (inside, port), (FAR, other)),
        4..=6 => (Zone::Wan, (FAR, other), (EXTERNAL, port)),
        7 => (Zone::Lan, (inside, port), (EXTERNAL, other)),
        8 => (Zone::Lan, (inside, port), (GATEWAY, other)),
        9 => (Zone::Service, (WEB, port), (FAR, other)),
        10 => (Zone::Service, (WEB, port), (inside, other)),
        11 => (Zone::Guest, (GUEST, port), (FAR, other)),
        // one of another side, which must not pass by where that one's flow does
        12 => (
            dice.pick(&Zone::ALL),
            (dice.pick(&[GUEST, ANN]), port),
            (FAR, other),
        ),
        _ => {
            let any = |dice: &mut Dice| {
                let known = [
                    ANN,
                    BOB,
                    FAR,
                    EXTERNAL,
                    GATEWAY,
                    ROUTER,
                    WEB,
                    GUEST,
                    GUEST_GATEWAY,
                    Ipv4Addr::BROADCAST,
                ];
                (dice.pick(&known), dice.pick(&[0, 5_000, 443]))
            };
            let zone = dice.pick(&Zone::ALL);
            (zone, any(dice), any(dice))
        }
    }
}

/// A packet, most of the time a sound one.
fn packet(dice: &mut Dice) -> (Zone, Vec<u8>) {
    let (zone, from, to) = ends(dice);
    let length = match dice.roll(20) {
        0 => 1_300 + dice.roll(300),
        _ => dice.roll(64),
    };
    let data: Vec<u8> = (0..length).map(|_| dice.byte()).collect();
    let mut bytes = if dice.roll(2) == 0 {
        udp(from, to, &data)
    } else {
        let flags = dice.pick(&FLAGS);
        tcp(from, to, flags, &data)
    };
    for _ in 0..dice.roll(16).saturating_sub(12) {
        spoil(dice, &mut bytes);
    }
    (zone, bytes)
}

/// Damages a packet, with or without a checksum that hides it.
fn spoil(dice: &mut Dice, bytes: &mut Vec<u8>) {
    if bytes.len() < 28 {
        return;
    }
    let byte = dice.byte();
    match dice.roll(16) {
        0 => bytes[0] = 0x46,
        1 => bytes[0] = byte,
        2 => bytes[8] = byte % 3,
        3 => bytes[6] = 0x20,
        4 => bytes[7] = byte % 2,
        5 => bytes[6] = 0x40,
        6 => bytes[9] = byte % 20,
        7 => bytes[3] = byte,
        8 => bytes[24] = byte % 2,
        9 => bytes[25] = byte,
        10 => bytes[1] = byte,
        11 => {
            let at = 26 + dice.roll(2);
            bytes[at] = dice.pick(&[0, 0xff]);
        }
        12 => {
            // Also a cut in the headers.
            let length = dice.roll(bytes.len() - 20) + 20;
            bytes.truncate(length);
        }
        13 => bytes.extend_from_slice(&[byte; 7]),
        14 if bytes.len() > 33 => bytes[32] = byte & 0xf0,
        _ => {
            let at = dice.roll(bytes.len());
            bytes[at] ^= 1 << (byte % 8);
        }
    }
    if dice.roll(4) > 0 {
        set_ip_checksum(bytes);
    }
}

#[test]
fn a_packet_that_passes_by_the_program_has_the_fate_that_the_machine_gives_it() {
    // given two gateways, one with the program, and packets of all kinds from all sides
    let pins = Pins::new();
    let mut twins = Twins::new(&pins);
    let mut dice = Dice::new();
    let packets = std::env::var("HEARTH_PACKETS").map_or(PACKETS, |n| n.parse().unwrap());
    let mut forwarded = 0_u64;
    for number in 0..packets {
        let (zone, bytes) = packet(&mut dice);
        // when both get it
        let [(wanted, expected), (verdict, found)] = twins.run(zone, &bytes);
        // then it becomes the same
        let what = format!("packet {number} from {zone:?}: {bytes:02x?}");
        assert_eq!(verdict, wanted, "{what}");
        assert_eq!(normal(found), normal(expected), "{what}");
        forwarded += u64::from(wanted == hearth_netpath::nat::Verdict::Forward);
    }
    // and much of it has passed by the program, and is counted
    println!(
        "{packets} packets, {forwarded} forwarded, {} by the program",
        twins.passed
    );
    assert!(twins.passed > packets / 10, "{} passed", twins.passed);
    let now = clock().tick;
    twins.nat.look_at_all(now);
    let counters = twins.nat.counters();
    assert_eq!(counters.carried.0, twins.passed);
    assert_eq!(counters.received, twins.plain.counters().received);
    assert_eq!(counters.forwarded, twins.plain.counters().forwarded);
    assert!(counters.balanced());
}

//! RFC 7857: updates to all three.

use super::packets::*;
use super::world::*;
use etherparse::Icmpv4Type::DestinationUnreachable;
use etherparse::icmpv4::DestUnreachableHeader;
use hearth_model::protocol::Zone::{self, Lan, Wan};
use hearth_netpath::limits::*;
use hearth_netpath::nat::NatConfig;
use std::collections::HashSet;

const FOUR_MINUTES_MS: u64 = 4 * 60_000;

/// Plays segments of a connection of ANN's with FAR.
fn play(home: &mut Home<'_>, segments: &[(Zone, Body)]) {
    for (zone, body) in segments {
        match zone {
            Lan => home.out(*body, (ANN, 5_000), (FAR, 80)),
            _ => home.back(*body, (FAR, 80), (EXTERNAL, 5_000)),
        };
    }
}

const SHAKE: [(Zone, Body); 3] = [(Lan, SYN), (Wan, SYN_ACK), (Lan, ACK)];

pub fn rfc7857_section_2_states_follow_both_ends(home: &mut Home<'_>) {
    for (name, tail, lives) in [
        ("open", &[][..], true),
        ("half closed from inside", &[(Lan, FIN)], true),
        ("half closed from outside", &[(Wan, FIN)], true),
        (
            "half closed, and data",
            &[(Wan, FIN), (Lan, ACK), (Wan, ACK)],
            true,
        ),
        ("closed", &[(Lan, FIN), (Wan, FIN)], false),
        (
            "closed, and what is late",
            &[(Lan, FIN), (Wan, FIN), (Lan, ACK), (Wan, ACK)],
            false,
        ),
        ("reset from inside", &[(Lan, RST)], false),
        ("reset from outside", &[(Wan, RST)], false),
    ] {
        // given a connection in some state
        *home.machine() = Machine::with(config());
        play(home, &SHAKE);
        play(home, tail);
        // when it is idle for longer than a transitory one may be, then only a live one is left
        home.machine().wait_ms(FOUR_MINUTES_MS + 2 * WHEEL_STEP_MS);
        assert_eq!(home.machine().flows() == 1, lives, "{name}");
        if lives {
            home.machine()
                .wait_ms(TCP_ESTABLISHED_TIMEOUT_MS - FOUR_MINUTES_MS);
            assert_eq!(home.machine().flows(), 0, "{name}: not for ever");
        }
    }
}

pub fn rfc7857_section_2_2_a_reset_passes_and_its_flow_stays_for_four_minutes(home: &mut Home<'_>) {
    for reset in [(Lan, RST), (Wan, RST)] {
        // given a connection that is reset, which passes
        *home.machine() = Machine::with(config());
        play(home, &SHAKE);
        play(home, &[reset]);
        // then for four minutes, what is late still passes, both ways
        home.machine().wait_ms(FOUR_MINUTES_MS - 1);
        play(home, &[(Wan, RST), (Lan, RST)]);
        assert_eq!(home.machine().flows(), 1, "{reset:?}");
        // and no longer
        home.machine().wait_ms(1 + 2 * WHEEL_STEP_MS);
        assert_eq!(home.machine().flows(), 0, "{reset:?}");
    }
}

pub fn rfc7857_section_2_2_data_after_a_reset_shows_that_it_was_none(home: &mut Home<'_>) {
    for (name, tail) in [
        (
            "a stranger's, and the inside goes on",
            [(Wan, RST), (Lan, ACK)],
        ),
        (
            "a stranger's, and the outside goes on",
            [(Wan, RST), (Wan, ACK)],
        ),
        ("from inside, which goes on", [(Lan, RST), (Lan, ACK)]),
    ] {
        // given a connection that was reset, and then goes on
        *home.machine() = Machine::with(config());
        play(home, &SHAKE);
        play(home, &tail);
        // then it has its long lifetime again
        home.machine().wait_ms(FOUR_MINUTES_MS * 2);
        assert_eq!(home.machine().flows(), 1, "{name}");
        play(home, &[(Wan, ACK)]);
    }
}

pub fn rfc7857_section_5_mappings_of_each_protocol_are_its_own(home: &mut Home<'_>) {
    // given a UDP port that was another host's, so that it is translated
    home.out(Body::Udp, (ANN, 5_000), (FAR, 9_000));
    let udp = home.out(Body::Udp, (BOB, 5_000), (FAR, 9_000));
    // when TCP uses the same one, then it has a mapping of its own
    assert_ne!(udp.1, 5_000);
    assert_eq!(home.out(SYN, (BOB, 5_000), (FAR, 80)).1, 5_000);
}

pub fn rfc7857_section_6_filters_of_each_protocol_are_its_own(home: &mut Home<'_>) {
    // given a host that was sent a datagram
    home.out(Body::Udp, (ANN, 5_000), (FAR, 9_000));
    home.out(SYN, (ANN, 5_000), (OTHER, 80));
    // when it opens a connection to the same port, then that is not let in, nor is a datagram of the
    // host that was connected to
    home.filtered(SYN, (FAR, 9_000), (EXTERNAL, 5_000));
    home.filtered(Body::Udp, (OTHER, 80), (EXTERNAL, 5_000));
}

pub fn rfc7857_section_7_filtered_packets_refresh_nothing(home: &mut Home<'_>) {
    // given a mapping, and a stranger that sends to it all the time
    home.out(Body::Udp, (ANN, 5_000), (FAR, 9_000));
    for _ in 0..10 {
        home.machine().wait_ms(30_000 - 1);
        home.filtered(Body::Udp, (OTHER, 9_000), (EXTERNAL, 5_000));
    }
    // when its time is over, then it is gone
    home.machine().wait_ms(10 + 2 * WHEEL_STEP_MS);
    assert_eq!(home.machine().flows(), 0);
}

pub fn rfc7857_section_7_1_outbound_errors_and_resets_do_not_refresh(home: &mut Home<'_>) {
    // given a flow whose host answers what comes by an error
    home.out(Body::Udp, (ANN, 5_000), (FAR, 9_000));
    home.machine().wait_ms(UDP_TIMEOUT_MS - 1);
    let came = home.carry(
        (Wan, Lan),
        &packet(Body::Udp, (FAR, 9_000), (EXTERNAL, 5_000), b""),
    );
    let port = DestinationUnreachable(DestUnreachableHeader::Port);
    home.carry((Lan, Wan), &icmp_error(port, ANN, FAR, &came));
    home.machine().wait_ms(1 + 2 * WHEEL_STEP_MS);
    assert_eq!(home.machine().flows(), 0);

    // given a connection that opens, when its host resets it shortly before its time is over
    home.out(SYN, (ANN, 5_000), (FAR, 80));
    home.machine().wait_ms(FOUR_MINUTES_MS - 1);
    play(home, &[(Lan, RST)]);
    home.machine().wait_ms(1 + 2 * WHEEL_STEP_MS);
    assert_eq!(home.machine().flows(), 0);
}

pub fn rfc7857_section_9_ports_are_random_where_they_change(home: &mut Home<'_>) {
    // given ports that are taken
    for port in 5_000..5_020 {
        home.out(Body::Udp, (ANN, port), (FAR, 9_000));
    }
    // when another host uses them too, then the ports that it gets are all over the range
    let ports: Vec<u16> = (5_000..5_020)
        .map(|port| home.out(Body::Udp, (BOB, port), (FAR, 9_000)).1)
        .collect();
    let places: HashSet<u16> = ports.iter().map(|port| port / 4_096).collect();
    assert!(places.len() >= 5, "{ports:?}");
    let rising = ports.windows(2).filter(|pair| pair[0] < pair[1]).count();
    assert!((3..17).contains(&rising), "{ports:?}");
}

pub fn rfc7857_section_9_ports_differ_from_start_to_start(home: &mut Home<'_>) {
    // given two runs with secrets of their own
    let ports: Vec<u16> = [1, 2]
        .into_iter()
        .map(|secret| {
            *home.machine() = Machine::with(NatConfig { secret, ..config() });
            home.out(Body::Udp, (ANN, 5_000), (FAR, 9_000));
            home.out(Body::Udp, (BOB, 5_000), (FAR, 9_000)).1
        })
        .collect();
    // then they choose differently
    assert_ne!(ports[0], ports[1]);
}

pub fn rfc7857_section_10_fragments_of_two_hosts_are_not_mixed(home: &mut Home<'_>) {
    // given two hosts whose datagrams have the same name by chance, both in two parts
    let parts = [ANN, BOB].map(|host| {
        let whole = packet(Body::Udp, (host, 5_000), (FAR, 9_000), &[9; 1_000]);
        let (_, payload) = etherparse::Ipv4Header::from_slice(&whole).unwrap();
        [(0, 504), (504, payload.len())].map(|(start, end)| {
            let part = ip(etherparse::IpNumber::UDP, host, FAR, &payload[start..end]);
            with_ip(&part, |ip| {
                ip.more_fragments = start == 0;
                ip.fragment_offset = u16::try_from(start / 8).unwrap().try_into().unwrap();
            })
        })
    });
    // when they cross on their way, then they have different names outside, each all its parts
    let mut names = Vec::new();
    for part in 0..2 {
        for host in &parts {
            home.0.send(Lan, &host[part]);
        }
    }
    while let Some(out) = home.0.next(Wan) {
        let header = etherparse::Ipv4Header::from_slice(&out).unwrap().0;
        assert_eq!(header.header_checksum, header.calc_header_checksum());
        names.push(header.identification);
    }
    names.sort_unstable();
    assert_eq!(names.len(), 4, "{names:?}");
    assert_eq!((names[0], names[2]), (names[1], names[3]));
    assert_ne!(names[0], names[2]);
}

pub fn rfc7857_section_11_a_mapping_of_queries_ends_with_its_last_flow(home: &mut Home<'_>) {
    // given one identifier, and two hosts that are pinged with it
    let seen = home.out(Body::EchoRequest, (ANN, 77), (FAR, 0));
    home.machine().wait_ms(30_000);
    home.out(Body::EchoRequest, (ANN, 77), (OTHER, 0));
    // when the first flow has ended, then the mapping is still there
    home.machine().wait_ms(30_000 + 2 * WHEEL_STEP_MS);
    assert_eq!(home.machine().flows(), 1);
    assert_eq!(home.out(Body::EchoRequest, (ANN, 77), (FAR, 0)), seen);
    // and when all have, then another host may have the identifier
    home.machine().wait_ms(60_000 + 2 * WHEEL_STEP_MS);
    assert_eq!(home.out(Body::EchoRequest, (BOB, 77), (FAR, 0)).1, 77);
}

pub fn rfc7857_section_12_the_public_address_answers_for_itself(home: &mut Home<'_>) {
    // given a host that pings, when it, or another, pings the public address with the same identifier
    home.out(Body::EchoRequest, (ANN, 77), (FAR, 0));
    for host in [ANN, BOB] {
        // then the gateway takes it, and nobody in the home gets it
        home.lose(
            Lan,
            &packet(Body::EchoRequest, (host, 77), (EXTERNAL, 0), b""),
        );
    }
    assert_eq!(home.machine().nat.counters().local, 2);
}

//! RFC 5382: TCP.

use super::packets::*;
use super::world::*;
use etherparse::Icmpv4Type::DestinationUnreachable;
use etherparse::icmpv4::DestUnreachableHeader;
use hearth_model::protocol::Zone::{Lan, Wan};
use hearth_netpath::limits::*;
use std::collections::HashSet;

pub fn rfc5382_req_1_endpoint_independent_mapping(home: &mut Home<'_>) {
    let first = home.connect((ANN, 5_000), (FAR, 80));
    let second = home.connect((ANN, 5_000), (OTHER, 443));
    assert_eq!((first, second), ((EXTERNAL, 5_000), first));
    // also where the port was another's
    let first = home.connect((BOB, 5_000), (FAR, 80));
    assert_eq!(home.connect((BOB, 5_000), (OTHER, 443)), first);
}

pub fn rfc5382_req_2_valid_sequences(home: &mut Home<'_>) {
    // given a connection, when either end closes first, both at once, or one breaks it off
    for (n, closing) in (0u16..).zip([
        &[(Lan, FIN), (Wan, ACK), (Wan, FIN), (Lan, ACK)][..],
        &[(Wan, FIN), (Lan, ACK), (Lan, FIN), (Wan, ACK)],
        &[(Lan, FIN), (Wan, FIN), (Lan, ACK), (Wan, ACK)],
        &[(Wan, FIN), (Lan, FIN)],
        &[(Lan, RST)],
        &[(Wan, RST)],
    ]) {
        let from = (ANN, 5_000 + n);
        let seen = home.connect(from, (FAR, 80));
        // then every segment passes
        for (zone, body) in closing {
            match zone {
                Lan => assert_eq!(home.out(*body, from, (FAR, 80)), seen),
                _ => assert_eq!(home.back(*body, (FAR, 80), seen), from),
            };
        }
        // and the same ports open another connection afterwards
        assert_eq!(home.out(SYN, from, (FAR, 80)), seen);
        assert_eq!(home.back(SYN_ACK, (FAR, 80), seen), from);
    }
}

pub fn rfc5382_req_2a_simultaneous_open(home: &mut Home<'_>) {
    // given an inside SYN
    let seen = home.out(SYN, (ANN, 5_000), (FAR, 80));
    // when the outside's SYN crosses it, then it gets in, and both SYN-ACKs pass
    assert_eq!(home.back(SYN, (FAR, 80), seen), (ANN, 5_000));
    assert_eq!(home.out(SYN_ACK, (ANN, 5_000), (FAR, 80)), seen);
    assert_eq!(home.back(SYN_ACK, (FAR, 80), seen), (ANN, 5_000));
}

pub fn rfc5382_req_3_address_dependent_filtering(home: &mut Home<'_>) {
    // given a connection
    let seen = home.connect((ANN, 5_000), (FAR, 80));
    // when the same host opens one to the mapping, then it gets in, with the whole handshake
    assert_eq!(home.back(SYN, (FAR, 81), seen), (ANN, 5_000));
    assert_eq!(home.out(SYN_ACK, (ANN, 5_000), (FAR, 81)), seen);
    assert_eq!(home.back(ACK, (FAR, 81), seen), (ANN, 5_000));
    // and another does not, and what opens nothing does not
    home.filtered(SYN, (OTHER, 80), seen);
    home.filtered(ACK, (FAR, 82), seen);
    home.filtered(RST, (FAR, 83), seen);
}

pub fn rfc5382_req_4_silence_about_an_unsolicited_syn(home: &mut Home<'_>) {
    // given a SYN that nobody asked for
    home.filtered(SYN, (FAR, 80), (EXTERNAL, 5_000));
    // when the inside opens the same connection within six seconds, then the first is never heard of
    let seen = home.out(SYN, (ANN, 5_000), (FAR, 80));
    assert_eq!(seen, (EXTERNAL, 5_000));
    assert_eq!(home.back(SYN, (FAR, 80), seen), (ANN, 5_000));
    assert_eq!(home.back(SYN_ACK, (FAR, 80), seen), (ANN, 5_000));
}

pub fn rfc5382_req_4a_silence_for_ever(home: &mut Home<'_>) {
    // given SYNs to a mapping, to no mapping, and to the gateway's own ports
    let seen = home.connect((ANN, 5_000), (FAR, 80));
    for to in [seen, (EXTERNAL, 22), (EXTERNAL, LOCAL_PORT_FIRST)] {
        home.filtered(SYN, (OTHER, 80), to);
    }
    // when six seconds and a minute have passed, then nobody was told anything
    for _ in 0..66 {
        home.machine().wait_ms(1_000);
        assert_eq!(home.0.next(Wan), None);
    }
}

pub fn rfc5382_req_5_established_for_two_hours_and_four_minutes(home: &mut Home<'_>) {
    // given a connection that is idle
    let seen = home.connect((ANN, 5_000), (FAR, 80));
    // when time passes, minute by minute, up to the end
    for _ in 0..2 * 60 + 3 {
        home.machine().wait_ms(60_000);
    }
    home.machine().wait_ms(59_999);
    // then the outside can still send
    assert_eq!(home.back(ACK, (FAR, 80), seen), (ANN, 5_000));
}

pub fn rfc5382_req_5_transitory_for_four_minutes(home: &mut Home<'_>) {
    for (n, name, tail) in [
        (0, "opening", &[][..]),
        (
            1,
            "closed",
            &[
                (Wan, SYN_ACK),
                (Lan, ACK),
                (Lan, FIN),
                (Wan, FIN),
                (Lan, ACK),
            ],
        ),
        (2, "reset", &[(Wan, SYN_ACK), (Lan, ACK), (Wan, RST)]),
        (
            3,
            "reset from inside",
            &[(Wan, SYN_ACK), (Lan, ACK), (Lan, RST)],
        ),
    ] {
        // given a flow that opens, has closed, or was reset
        let from = (ANN, 5_000 + n);
        let seen = home.out(SYN, from, (FAR, 80));
        for (zone, body) in tail {
            match zone {
                Lan => home.out(*body, from, (FAR, 80)),
                _ => home.back(*body, (FAR, 80), seen),
            };
        }
        // when four minutes are almost over, then what is late still passes
        home.machine().wait_ms(4 * 60_000 - 1);
        assert_eq!(home.back(FIN, (FAR, 80), seen), from, "{name}");
        home.machine().wait_ms(TCP_ESTABLISHED_TIMEOUT_MS);
    }
}

pub fn rfc5382_req_6_no_application_gateways(home: &mut Home<'_>) {
    // given a connection to an FTP server, when the client tells it an inside address
    const PORT: &[u8] = b"PORT 192,168,1,10,27,112\r\n";
    let seen = home.connect((ANN, 5_000), (FAR, 21));
    let sent = packet(ACK, (ANN, 5_000), (FAR, 21), PORT);
    let out = home.carry((Lan, Wan), &sent);
    // then nobody rewrites it, and nothing is opened for it
    assert_eq!(out[40..], *PORT);
    assert_eq!(ends(&out).0, seen);
    home.filtered(SYN, (FAR, 20), (EXTERNAL, 27 * 256 + 112));
}

pub fn rfc5382_req_7_no_port_overloading(home: &mut Home<'_>) {
    let mut seen = HashSet::new();
    for host in [ANN, BOB] {
        for port in 5_000..5_010 {
            let external = home.connect((host, port), (FAR, 80));
            assert!(seen.insert(external), "{external:?} twice");
        }
    }
    let (ann, bob) = (
        home.connect((ANN, 6_000), (FAR, 80)),
        home.connect((BOB, 6_000), (OTHER, 80)),
    );
    assert_ne!(ann, bob);
}

pub fn rfc5382_req_8_hairpinning(home: &mut Home<'_>) {
    // given a host that has a mapping, from which it now listens
    let bob = home.connect((BOB, 6_000), (FAR, 80));
    // when another connects to it by that mapping, then it arrives
    let there = home.pass((Lan, Lan), SYN, (ANN, 5_000), bob);
    assert_eq!(there.1, (BOB, 6_000));
}

pub fn rfc5382_req_8a_hairpinning_shows_the_external_source(home: &mut Home<'_>) {
    let bob = home.connect((BOB, 6_000), (FAR, 80));
    let way = (Lan, Lan);
    // when the whole handshake is hairpinned, then each end sees the other's external endpoint
    let (ann, _) = home.pass(way, SYN, (ANN, 5_000), bob);
    assert_eq!(ann, (EXTERNAL, 5_000));
    let answer = home.pass(way, SYN_ACK, (BOB, 6_000), ann);
    assert_eq!(answer, (bob, (ANN, 5_000)));
    assert_eq!(home.pass(way, ACK, (ANN, 5_000), bob), (ann, (BOB, 6_000)));
}

/// A connection, and an error about one of its segments.
fn error(home: &mut Home<'_>, kind: DestUnreachableHeader) -> (End, Vec<u8>) {
    let seen = home.connect((ANN, 5_000), (FAR, 80));
    let sent = packet(ACK, seen, (FAR, 80), b"");
    (
        seen,
        icmp_error(DestinationUnreachable(kind), OTHER, EXTERNAL, &sent),
    )
}

pub fn rfc5382_req_9_destination_unreachable(home: &mut Home<'_>) {
    let next_hop_mtu = 1_300;
    let kind = DestUnreachableHeader::FragmentationNeeded { next_hop_mtu };
    let (_, error) = error(home, kind.clone());
    // when a router asks for smaller segments, then the host hears it, about what it had sent
    let heard = error_seen(&home.carry((Wan, Lan), &error));
    assert_eq!(heard.kind, DestinationUnreachable(kind));
    assert_eq!((heard.to, heard.about), (ANN, ((ANN, 5_000), (FAR, 80))));
}

pub fn rfc5382_req_10_icmp_does_not_end_a_connection(home: &mut Home<'_>) {
    let (seen, error) = error(home, DestUnreachableHeader::Host);
    home.carry((Wan, Lan), &error);
    assert_eq!(home.back(ACK, (FAR, 80), seen), (ANN, 5_000));
    assert_eq!(home.out(ACK, (ANN, 5_000), (FAR, 80)), seen);
}

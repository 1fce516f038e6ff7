//! RFC 5508: ICMP.

use super::packets::*;
use super::world::*;
use etherparse::Icmpv4Type::{self, DestinationUnreachable, TimeExceeded};
use etherparse::IpNumber;
use etherparse::icmpv4::{DestUnreachableHeader, TimeExceededCode};
use hearth_model::protocol::Zone::{self, Lan, Wan};
use hearth_netpath::limits::*;
use std::net::Ipv4Addr;

const PORT: Icmpv4Type = DestinationUnreachable(DestUnreachableHeader::Port);
const TTL: Icmpv4Type = TimeExceeded(TimeExceededCode::TtlExceededInTransit);
const PING: Body = Body::EchoRequest;

/// A packet from the home as the Internet has seen it.
fn sent(home: &mut Home<'_>, body: Body, from: End, to: End) -> Vec<u8> {
    home.carry((Lan, Wan), &packet(body, from, to, b"data"))
}

/// What becomes of an error.
#[track_caller]
fn error(home: &mut Home<'_>, way: (Zone, Zone), error: &[u8]) -> ErrorSeen {
    error_seen(&home.carry(way, error))
}

pub fn rfc5508_req_1_queries_pass(home: &mut Home<'_>) {
    // given two hosts that ping with the same identifier
    let ann = home.out(PING, (ANN, 77), (FAR, 0));
    let bob = home.out(PING, (BOB, 77), (FAR, 0));
    assert_ne!(ann, bob);
    // when both are answered, then each gets its own
    for (seen, host) in [(ann, ANN), (bob, BOB)] {
        let back = home.pass((Wan, Lan), Body::EchoReply, (FAR, 0), seen);
        assert_eq!(back, ((FAR, 0), (host, 77)));
    }
    // and nobody else's answer gets in
    home.filtered(Body::EchoReply, (OTHER, 0), ann);
}

pub fn rfc5508_req_1a_one_identifier_for_every_host(home: &mut Home<'_>) {
    home.out(PING, (ANN, 77), (FAR, 0));
    let seen = home.out(PING, (BOB, 77), (FAR, 0));
    assert_eq!(home.out(PING, (BOB, 77), (OTHER, 0)), seen);
}

pub fn rfc5508_req_2_sixty_seconds(home: &mut Home<'_>) {
    let seen = home.out(PING, (ANN, 77), (FAR, 0));
    home.machine().wait_ms(60_000 - 1);
    home.pass((Wan, Lan), Body::EchoReply, (FAR, 0), seen);
    // and no longer: answers do not prolong it
    home.machine().wait_ms(1 + 2 * WHEEL_STEP_MS);
    assert_eq!(home.machine().flows(), 0);
}

pub fn rfc5508_req_3_a_damaged_error_is_dropped(home: &mut Home<'_>) {
    let about = sent(home, Body::Udp, (ANN, 5_000), (FAR, 9_000));
    let mut damaged = icmp_error(PORT, FAR, EXTERNAL, &about);
    damaged[22] ^= 1;
    home.lose(Wan, &damaged);
}

pub fn rfc5508_req_3a_an_error_about_a_damaged_packet_is_dropped(home: &mut Home<'_>) {
    let mut about = sent(home, Body::Udp, (ANN, 5_000), (FAR, 9_000));
    about[8] ^= 1;
    home.lose(Wan, &icmp_error(PORT, FAR, EXTERNAL, &about));
}

pub fn rfc5508_req_3b_options_of_the_embedded_packet_are_passed_over(home: &mut Home<'_>) {
    // given an error about a packet that got a record-route option on its way
    let about = sent(home, Body::Udp, (ANN, 5_000), (FAR, 9_000));
    let longer = with_ip(&about, |ip| {
        ip.options = [7, 7, 4, 0, 0, 0, 0, 0].into();
        ip.total_len += 8;
    });
    // when it comes in, then it reaches the sender
    let seen = error(home, (Wan, Lan), &icmp_error(PORT, FAR, EXTERNAL, &longer));
    assert_eq!(seen.about, ((ANN, 5_000), (FAR, 9_000)));
}

pub fn rfc5508_req_3c_the_embedded_transport_checksum_is_not_looked_at(home: &mut Home<'_>) {
    // given an error about a packet whose data, and whose checksum therefore, is not what was sent
    let mut about = sent(home, Body::Udp, (ANN, 5_000), (FAR, 9_000));
    *about.last_mut().unwrap() ^= 1;
    let out = home.carry((Wan, Lan), &icmp_error(PORT, FAR, EXTERNAL, &about));
    // then it passes, its ports translated
    let ports = &out[20 + 8 + 20..][..4];
    assert_eq!(ports, [5_000u16, 9_000].map(u16::to_be_bytes).concat());
}

/// The sum of 16-bit words in one's complement (RFC 1071), of an even number of bytes.
fn sum(bytes: &[u8]) -> u16 {
    let words = bytes
        .chunks(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])));
    let fold = words.fold(0, |sum, word| {
        ((sum + word) & 0xffff) + ((sum + word) >> 16)
    });
    u16::try_from(fold).unwrap()
}

pub fn rfc5508_req_3d_extensions_are_left_alone(home: &mut Home<'_>) {
    // given an error with an MPLS label behind the embedded packet, which is padded (RFC 4884)
    let about = sent(home, Body::Udp, (ANN, 5_000), (FAR, 9_000));
    let mut quoted = about.clone();
    quoted.resize(128, 0);
    let extension = [0x20, 0, 0x67, 0xd6, 0, 8, 1, 1, 0x12, 0x34, 0x51, 0xff];
    let mut message = vec![11, 0, 0, 0, 0, 32, 0, 0];
    message.extend_from_slice(&quoted);
    message.extend_from_slice(&extension);
    let checksum = !sum(&message);
    message[2..4].copy_from_slice(&checksum.to_be_bytes());
    let out = home.carry((Wan, Lan), &ip(IpNumber::ICMP, OTHER, EXTERNAL, &message));
    // when it comes in, then the packet is translated and the rest is as it was, length word too
    assert_eq!(sum(&out[20..]), 0xffff, "checksum");
    let datagram = &out[28..][..about.len()];
    assert_eq!(ends(datagram), ((ANN, 5_000), (FAR, 9_000)));
    assert_eq!(
        out[28 + about.len()..][..128 - about.len()],
        quoted[about.len()..]
    );
    assert_eq!(out[out.len() - extension.len()..], extension);
    assert_eq!(out[25], 32);
}

pub fn rfc5508_req_4_errors_about_no_flow_are_dropped(home: &mut Home<'_>) {
    let never = packet(Body::Udp, (EXTERNAL, 5_000), (FAR, 9_000), b"data");
    home.lose(Wan, &icmp_error(PORT, FAR, EXTERNAL, &never));
}

/// Each protocol whose packets can be quoted; the second host's port is translated.
fn quoted(home: &mut Home<'_>, body: Body) -> (Vec<u8>, End) {
    let to = if body == PING { (FAR, 0) } else { (FAR, 9_000) };
    sent(home, body, (ANN, 5_000), to);
    (sent(home, body, (BOB, 5_000), to), to)
}

const BODIES: [Body; 4] = [Body::Udp, Body::UdpWithoutChecksum, SYN, PING];

pub fn rfc5508_req_4a_inbound_errors_show_the_packet_as_it_was_sent(home: &mut Home<'_>) {
    for body in [Body::Udp, SYN, PING] {
        let (about, to) = quoted(home, body);
        // when a router on the way reports an error, in full or with 8 bytes only
        for part in [&about[..], &about[..28]] {
            let seen = error(home, (Wan, Lan), &icmp_error(TTL, OTHER, EXTERNAL, part));
            // then the sender gets it about the packet that it sent
            assert_eq!((seen.about.0.0, seen.about.1.0), (BOB, FAR), "{body:?}");
            if body != PING {
                assert_eq!(seen.about, ((BOB, 5_000), to), "{body:?}");
            }
        }
    }
}

pub fn rfc5508_req_4b_type_and_code_stay(home: &mut Home<'_>) {
    let (about, _) = quoted(home, Body::Udp);
    let mut sent = vec![
        TTL,
        TimeExceeded(TimeExceededCode::FragmentReassemblyTimeExceeded),
    ];
    sent.extend(
        [
            DestUnreachableHeader::Network,
            DestUnreachableHeader::Host,
            DestUnreachableHeader::Protocol,
            DestUnreachableHeader::Port,
            DestUnreachableHeader::FragmentationNeeded {
                next_hop_mtu: 1_000,
            },
            DestUnreachableHeader::FilterProhibited,
        ]
        .map(DestinationUnreachable),
    );
    for kind in sent {
        let message = icmp_error(kind.clone(), OTHER, EXTERNAL, &about);
        assert_eq!(error(home, (Wan, Lan), &message).kind, kind);
    }
}

pub fn rfc5508_req_4c_the_error_goes_to_the_sender(home: &mut Home<'_>) {
    for body in BODIES {
        let (about, _) = quoted(home, body);
        let seen = error(home, (Wan, Lan), &icmp_error(TTL, OTHER, EXTERNAL, &about));
        assert_eq!((seen.from, seen.to), (OTHER, BOB), "{body:?}");
    }
}

/// A packet from the Internet as a home host has got it.
fn delivered(home: &mut Home<'_>) -> Vec<u8> {
    let seen = home.out(Body::Udp, (ANN, 5_000), (FAR, 9_000));
    home.carry((Wan, Lan), &packet(Body::Udp, (FAR, 9_000), seen, b"data"))
}

pub fn rfc5508_req_5_outbound_errors_about_no_flow_are_dropped(home: &mut Home<'_>) {
    let never = packet(Body::Udp, (FAR, 9_000), (ANN, 5_000), b"data");
    home.lose(Lan, &icmp_error(PORT, ANN, FAR, &never));
}

pub fn rfc5508_req_5a_outbound_errors_show_the_packet_as_it_was_sent(home: &mut Home<'_>) {
    let about = delivered(home);
    let seen = error(home, (Lan, Wan), &icmp_error(PORT, ANN, FAR, &about));
    assert_eq!(
        (seen.to, seen.about),
        (FAR, ((FAR, 9_000), (EXTERNAL, 5_000)))
    );
}

pub fn rfc5508_req_5b_type_and_code_stay(home: &mut Home<'_>) {
    let about = delivered(home);
    for kind in [
        PORT,
        TTL,
        DestinationUnreachable(DestUnreachableHeader::Host),
    ] {
        let message = icmp_error(kind.clone(), ANN, FAR, &about);
        assert_eq!(error(home, (Lan, Wan), &message).kind, kind);
    }
}

pub fn rfc5508_req_5c_outbound_errors_come_from_the_public_address(home: &mut Home<'_>) {
    let about = delivered(home);
    // when the host itself, or a router between it and the gateway, reports
    for reporter in [ANN, BOB] {
        let seen = error(home, (Lan, Wan), &icmp_error(PORT, reporter, FAR, &about));
        assert_eq!(seen.from, EXTERNAL);
    }
}

pub fn rfc5508_req_6_errors_neither_prolong_nor_end_a_query(home: &mut Home<'_>) {
    let about = sent(home, PING, (ANN, 77), (FAR, 0));
    home.machine().wait_ms(ICMP_TIMEOUT_MS - 1);
    error(home, (Wan, Lan), &icmp_error(TTL, OTHER, EXTERNAL, &about));
    assert_eq!(home.machine().flows(), 1, "not ended");
    home.machine().wait_ms(1 + 2 * WHEEL_STEP_MS);
    assert_eq!(home.machine().flows(), 0, "not prolonged");
}

/// A hairpinned packet as its receiver has got it, and where it was sent.
fn hairpinned(home: &mut Home<'_>) -> (Vec<u8>, End) {
    let bob = home.out(Body::Udp, (BOB, 6_000), (FAR, 9_000));
    let sent = packet(Body::Udp, (ANN, 5_000), bob, b"data");
    (home.carry((Lan, Lan), &sent), bob)
}

pub fn rfc5508_req_7_hairpinned_errors(home: &mut Home<'_>) {
    let (about, bob) = hairpinned(home);
    // when its receiver reports an error to whom it seems to come from
    let seen = error(home, (Lan, Lan), &icmp_error(PORT, BOB, EXTERNAL, &about));
    // then the sender hears it from the external address, about the packet that it sent
    assert_eq!((seen.from, seen.about), (EXTERNAL, ((ANN, 5_000), bob)));
}

pub fn rfc5508_req_7a_a_hairpinned_error_goes_to_the_sender(home: &mut Home<'_>) {
    let (about, _) = hairpinned(home);
    let seen = error(home, (Lan, Lan), &icmp_error(PORT, BOB, EXTERNAL, &about));
    assert_eq!(seen.to, ANN);
}

pub fn rfc5508_req_8_no_room_is_told_by_code_13(home: &mut Home<'_>) {
    // given a host that has used up its share
    for n in 0..HOST_SHARE {
        let to = (Ipv4Addr::from(0x0808_0000 + n), 9_000);
        home.out(Body::Udp, (ANN, 5_000), to);
    }
    // when it opens another flow, of any protocol, then it is told that it may not
    for (body, to) in [
        (Body::Udp, (OTHER, 9)),
        (SYN, (OTHER, 80)),
        (PING, (OTHER, 0)),
    ] {
        let flow = packet(body, (ANN, 6_000), to, b"");
        let seen = error(home, (Lan, Lan), &flow);
        let kind = DestinationUnreachable(DestUnreachableHeader::FilterProhibited);
        assert_eq!((seen.kind, seen.from, seen.to), (kind, GATEWAY, ANN));
    }
    // and a stranger that opens one by a mapping is told nothing
    home.filtered(
        Body::Udp,
        (Ipv4Addr::from(0x0808_0000), 9_001),
        (EXTERNAL, 5_000),
    );
}

pub fn rfc5508_req_9_strangers_are_told_nothing(home: &mut Home<'_>) {
    // when the Internet sends what is not passed on, then no ICMP message is made about it
    let seen = home.out(Body::Udp, (ANN, 5_000), (FAR, 9_000));
    for to in [seen, (EXTERNAL, 6_000), (EXTERNAL, 22)] {
        home.filtered(Body::Udp, (OTHER, 9_000), to);
        home.filtered(SYN, (OTHER, 9_000), to);
    }
}

pub fn rfc5508_req_10_messages_that_must_be_supported(home: &mut Home<'_>) {
    // destination unreachable and time exceeded, translated both ways
    let (about, _) = quoted(home, Body::Udp);
    for kind in [PORT, TTL] {
        error(home, (Wan, Lan), &icmp_error(kind, OTHER, EXTERNAL, &about));
    }
    // a time to live that ends here, told by the gateway's own address
    let probe = packet(Body::Udp, (ANN, 5_000), (FAR, 33_434), b"probe");
    let last = with_ip(&probe, |ip| ip.time_to_live = 1);
    let seen = error(home, (Lan, Lan), &last);
    assert_eq!((seen.kind, seen.from, seen.to), (TTL, GATEWAY, ANN));
    assert_eq!(seen.about, ((ANN, 5_000), (FAR, 33_434)));
    // echo
    let seen = home.out(PING, (ANN, 77), (FAR, 0));
    home.pass((Wan, Lan), Body::EchoReply, (FAR, 0), seen);
}

pub fn rfc5508_req_10_source_quench_and_redirect_are_not_passed_on(home: &mut Home<'_>) {
    // given a flow, when a stranger sends about it what could slow it down or lead it elsewhere
    let (about, _) = quoted(home, Body::Udp);
    for kind in [4, 5] {
        let mut message = vec![kind, 0, 0, 0, 0, 0, 0, 0];
        message.extend_from_slice(&about[..28]);
        let checksum = !sum(&message);
        message[2..4].copy_from_slice(&checksum.to_be_bytes());
        // then nobody hears it
        home.lose(Wan, &ip(IpNumber::ICMP, OTHER, EXTERNAL, &message));
    }
}

pub fn rfc5508_req_11_other_messages_are_dropped(home: &mut Home<'_>) {
    for kind in [9, 10, 15, 30, 40, 41, 255] {
        home.lose(
            Lan,
            &ip(IpNumber::ICMP, ANN, FAR, &[kind, 0, !kind, 255, 0, 0, 0, 0]),
        );
    }
}

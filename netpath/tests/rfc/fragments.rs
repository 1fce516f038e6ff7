//! RFC 4787 REQ-14: fragments, in and out of order.

use super::packets::*;
use super::world::*;
use hearth_model::protocol::Zone::{self, Lan, Wan};
use std::net::Ipv4Addr;

const NUMBER: etherparse::IpNumber = etherparse::IpNumber::UDP;

/// A datagram in three parts; `identification` names it.
fn parts(from: End, to: End, identification: u16) -> [Vec<u8>; 3] {
    let whole = packet(Body::Udp, from, to, &[9; 2_000]);
    let (_, payload) = etherparse::Ipv4Header::from_slice(&whole).unwrap();
    [(0, 800), (800, 1_600), (1_600, payload.len())].map(|(start, end)| {
        with_ip(&ip(NUMBER, from.0, to.0, &payload[start..end]), |ip| {
            ip.more_fragments = end < payload.len();
            ip.fragment_offset = u16::try_from(start / 8).unwrap().try_into().unwrap();
            ip.identification = identification;
        })
    })
}

/// Puts together what has come out; `None` where a part is missing, or two datagrams are mixed.
fn whole(home: &mut Home<'_>, at: Zone) -> Option<(End, End)> {
    let mut parts = Vec::new();
    while let Some(part) = home.0.next(at) {
        let (header, payload) = etherparse::Ipv4Header::from_slice(&part).unwrap();
        assert_eq!(header.header_checksum, header.calc_header_checksum());
        parts.push((header, payload.to_vec()));
    }
    parts.sort_by_key(|(header, _)| header.fragment_offset.value());
    let mut data = Vec::new();
    for (header, payload) in &parts {
        assert_eq!(header.identification, parts[0].0.identification);
        if usize::from(header.fragment_offset.value()) * 8 != data.len() {
            return None;
        }
        data.extend_from_slice(payload);
    }
    let (last, _) = parts.last()?;
    (!last.more_fragments).then(|| {
        let (from, to) = (
            Ipv4Addr::from(last.source),
            Ipv4Addr::from(last.destination),
        );
        ends(&ip(NUMBER, from, to, &data))
    })
}

/// Every order in which three parts can come.
const ORDERS: [[usize; 3]; 6] = [
    [0, 1, 2],
    [0, 2, 1],
    [1, 0, 2],
    [1, 2, 0],
    [2, 0, 1],
    [2, 1, 0],
];

pub fn rfc4787_req_14_fragments_in_any_order(home: &mut Home<'_>) {
    // given datagrams of which the parts come in every order, the first one not always first
    for (n, order) in (0u16..).zip(ORDERS) {
        let all = parts((ANN, 5_000), (FAR, 9_000), n);
        for part in order {
            home.0.send(Lan, &all[part]);
        }
        // then the Internet gets the whole datagram, translated
        let seen = whole(home, Wan);
        assert_eq!(seen, Some(((EXTERNAL, 5_000), (FAR, 9_000))), "{order:?}");
        // and the home gets the answer in the same order
        let all = parts((FAR, 9_000), (EXTERNAL, 5_000), n);
        for part in order {
            home.0.send(Wan, &all[part]);
        }
        let seen = whole(home, Lan);
        assert_eq!(seen, Some(((FAR, 9_000), (ANN, 5_000))), "{order:?}");
    }
}

pub fn rfc4787_req_14a_a_flood_of_fragments_harms_nobody(home: &mut Home<'_>) {
    // given a flow
    let seen = home.out(Body::Udp, (ANN, 5_000), (FAR, 9_000));
    // when a stranger, and a home host, send thousands of parts of datagrams that never become whole
    for n in 0..2_000 {
        let [_, second, third] = parts((OTHER, 9_000), seen, n);
        home.0.send(Wan, &second);
        home.0.send(Wan, &third);
        let [first, second, _] = parts((BOB, 6_000), (OTHER, 9_000), n);
        home.0.send(Lan, &second);
        home.0.send(Lan, &first);
    }
    for zone in [Lan, Wan] {
        while home.0.next(zone).is_some() {}
    }
    // then whole packets pass as before, and so do those in parts that come in their order
    assert_eq!(home.out(Body::Udp, (ANN, 5_000), (FAR, 9_000)), seen);
    assert_eq!(home.back(Body::Udp, (FAR, 9_000), seen), (ANN, 5_000));
    for part in parts((ANN, 5_000), (FAR, 9_000), 7) {
        home.0.send(Lan, &part);
    }
    assert_eq!(whole(home, Wan), Some((seen, (FAR, 9_000))));
}

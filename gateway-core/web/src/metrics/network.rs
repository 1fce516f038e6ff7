//! The network's families: links, queues, and what was dropped.

use super::{COUNTER, GAUGE, Text};
use hearth_model::api::{Net, NetLink, NetQueue};

/// A number of a link, with its family.
type OfLink = (
    &'static str,
    &'static str,
    &'static str,
    fn(&NetLink) -> u64,
);
/// A number of a queue, with its family.
type OfQueue = (
    &'static str,
    &'static str,
    &'static str,
    fn(&NetQueue) -> u64,
);

const LINKS: [OfLink; 5] = [
    ("net_link_up", GAUGE, "1 where the link is up", |link| {
        u64::from(link.up)
    }),
    (
        "net_link_sent_bytes_total",
        COUNTER,
        "Bytes that the gateway has sent by the link",
        |link| link.sent_bytes,
    ),
    (
        "net_link_received_bytes_total",
        COUNTER,
        "Bytes that have come by the link",
        |link| link.received_bytes,
    ),
    (
        "net_link_sent_packets_total",
        COUNTER,
        "Packets that the gateway has sent by the link",
        |link| link.sent_packets,
    ),
    (
        "net_link_received_packets_total",
        COUNTER,
        "Packets that have come by the link",
        |link| link.received_packets,
    ),
];

const QUEUES: [OfQueue; 4] = [
    (
        "net_queue_sent_bytes_total",
        COUNTER,
        "Bytes that have left a queue of the line",
        |queue| queue.bytes,
    ),
    (
        "net_queue_sent_packets_total",
        COUNTER,
        "Packets that have left a queue of the line",
        |queue| u64::from(queue.packets),
    ),
    (
        "net_queue_dropped_packets_total",
        COUNTER,
        "Packets dropped because the line was full",
        |queue| u64::from(queue.dropped_packets),
    ),
    (
        "net_queue_backlog_bytes",
        GAUGE,
        "Bytes that wait in a queue of the line",
        |queue| u64::from(queue.backlog_bytes),
    ),
];

/// All of them.
pub(super) fn families(out: &mut Text, net: &Net) {
    for (name, kind, help, read) in LINKS {
        out.family(name, kind, help);
        for link in &net.links {
            let service = link.service.as_deref().unwrap_or_default();
            out.sample(&[("link", &link.name), ("service", service)], read(link));
        }
    }
    if net.nat.is_none() {
        return;
    }
    for (name, kind, help, read) in QUEUES {
        out.family(name, kind, help);
        for line in &net.queues {
            for queue in &line.queues {
                let service = queue.service.as_deref().unwrap_or_default();
                let labels = [
                    ("direction", line.direction.as_str()),
                    ("class", &queue.class),
                    ("service", service),
                ];
                out.sample(&labels, read(queue));
            }
        }
    }
    out.family(
        "net_dropped_total",
        COUNTER,
        "Packets and frames not passed on, by reason and by who dropped them",
    );
    for drop in &net.drops {
        let labels = [("place", drop.place.as_str()), ("reason", &drop.reason)];
        out.sample(&labels, drop.packets);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use hearth_model::api::{Drop, LinkKind, NetLine, NetQueues};

    /// A network with one link, one queue and one reason.
    pub fn home() -> Net {
        Net {
            links: vec![NetLink {
                name: "sv2".into(),
                kind: LinkKind::Service,
                service: Some("nginx".into()),
                up: true,
                speed_mbit: None,
                address: Some("10.213.0.4".into()),
                sent_bytes: 70,
                received_bytes: 60,
                sent_packets: 7,
                received_packets: 6,
                sent_bits_per_second: None,
                received_bits_per_second: None,
                packets_per_second: None,
            }],
            line: NetLine::default(),
            queues: vec![NetQueues {
                direction: "up".into(),
                shaped: true,
                state: "shaped".into(),
                queues: vec![NetQueue {
                    service: None,
                    class: "bulk".into(),
                    rate_bits_per_second: 1,
                    ceiling_bits_per_second: 2,
                    bytes: 3,
                    packets: 4,
                    dropped_packets: 5,
                    backlog_bytes: 6,
                    bits_per_second: None,
                }],
            }],
            nat: crate::page::tests::gateway().nat,
            talkers: Vec::new(),
            talkers_window_seconds: 0,
            drops: vec![Drop {
                reason: "wan_unsolicited_packets".into(),
                place: "netpath".into(),
                packets: 9,
                answered: 0,
                what: "scans".into(),
                remedy: "nothing to do".into(),
            }],
        }
    }

    #[test]
    fn links_queues_and_drops_have_their_samples() {
        let mut out = Text::default();
        families(&mut out, &home());
        for line in [
            "net_link_up{link=\"sv2\",service=\"nginx\"} 1",
            "net_link_sent_bytes_total{link=\"sv2\",service=\"nginx\"} 70",
            "net_queue_dropped_packets_total{direction=\"up\",class=\"bulk\",service=\"\"} 5",
            "net_dropped_total{place=\"netpath\",reason=\"wan_unsolicited_packets\"} 9",
        ] {
            assert!(out.0.lines().any(|one| one == line), "{line}\n{}", out.0);
        }
    }

    #[test]
    fn what_netpath_does_not_tell_is_left_out() {
        let mut out = Text::default();
        let silent = Net {
            nat: None,
            ..home()
        };
        families(&mut out, &silent);
        assert!(
            out.0.contains("net_link_up") && !out.0.contains("net_dropped"),
            "{}",
            out.0
        );
    }
}

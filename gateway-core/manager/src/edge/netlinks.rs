//! The gateway's links as the kernel shows them in /sys/class/net.

use super::paths::{Paths, read_text};
use super::requests::Network;
use crate::limits::KERNEL_FILE_MAX;
use core::time::Duration;
use hearth_model::api::{LinkKind, NetLink};
use std::path::{Path, PathBuf};

/// Name of the home's bridge, which netpath makes.
const BRIDGE: &str = "br-lan";

/// Name of the guests' bridge, where there are some.
const GUEST_BRIDGE: &str = "br-guest";

/// The links of now, without rates.
#[must_use]
pub fn read(paths: &Paths, network: &Network) -> Vec<NetLink> {
    let (lan, wan) = (&network.gateway.lan, &network.gateway.wan);
    let lease = network.wan.lease;
    let mut links = vec![
        link(
            paths,
            &wan.interface,
            LinkKind::Wan,
            lease.map(|lease| format!("{}/{}", lease.address, lease.prefix)),
        ),
        link(paths, &lan.interface, LinkKind::Lan, None),
        link(
            paths,
            BRIDGE,
            LinkKind::Bridge,
            Some(format!("{}/{}", lan.address, lan.prefix)),
        ),
    ];
    if let Some(guest) = &network.gateway.guest {
        let own = format!("{}/{}", guest.address, guest.prefix);
        links.extend([
            link(paths, &guest.interface, LinkKind::Guest, None),
            link(paths, GUEST_BRIDGE, LinkKind::GuestBridge, Some(own)),
        ]);
    }
    for (id, name, address) in &network.services {
        let address = address.map(|address| address.to_string());
        let row = link(paths, &format!("sv{id}"), LinkKind::Service, address);
        // A service that never ran, or needs no network, has no link.
        if folder(paths, &row.name).exists() {
            links.push(NetLink {
                service: Some(name.clone()),
                ..row
            });
        }
    }
    links
}

fn folder(paths: &Paths, name: &str) -> PathBuf {
    paths.at("/sys/class/net").join(name)
}

fn link(paths: &Paths, name: &str, kind: LinkKind, address: Option<String>) -> NetLink {
    let folder = folder(paths, name);
    let count = |counter: &str| number(&folder.join("statistics").join(counter));
    let up = text(&folder.join("carrier")).is_some_and(|text| text == "1");
    // A virtual device, and many an emulated one, says -1 or nothing.
    let speed = text(&folder.join("speed")).and_then(|text| text.parse().ok());
    let speed = speed.filter(|speed: &u32| *speed > 0 && kind != LinkKind::Service);
    NetLink {
        name: name.to_owned(),
        kind,
        service: None,
        up,
        speed_mbit: speed.filter(|_| !matches!(kind, LinkKind::Bridge | LinkKind::GuestBridge)),
        address,
        sent_bytes: count("tx_bytes"),
        received_bytes: count("rx_bytes"),
        sent_packets: count("tx_packets"),
        received_packets: count("rx_packets"),
        sent_bits_per_second: None,
        received_bits_per_second: None,
        packets_per_second: None,
    }
}

fn text(path: &Path) -> Option<String> {
    let text = read_text(path, KERNEL_FILE_MAX).ok()?;
    Some(text.trim().to_owned())
}

fn number(path: &Path) -> u64 {
    text(path).and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Fills in the rates of links from what they had counted `span` before.
pub fn rate(links: &mut [NetLink], before: &[NetLink], span: Duration) {
    for link in links {
        let Some(old) = before.iter().find(|old| old.name == link.name) else {
            continue;
        };
        // A link that was made anew meanwhile has counted less.
        let grown = |now: u64, then: u64| per_second(now.checked_sub(then)?, span);
        link.sent_bits_per_second = grown(link.sent_bytes, old.sent_bytes).map(|n| n * 8);
        link.received_bits_per_second =
            grown(link.received_bytes, old.received_bytes).map(|n| n * 8);
        link.packets_per_second = grown(
            link.sent_packets.wrapping_add(link.received_packets),
            old.sent_packets.wrapping_add(old.received_packets),
        );
    }
}

/// So many in a span, as a rate; `None` where the span is nothing.
#[must_use]
pub fn per_second(count: u64, span: Duration) -> Option<u64> {
    let ms = u64::try_from(span.as_millis()).ok()?;
    count.saturating_mul(1_000).checked_div(ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_what_was_counted_in_a_second() {
        // given a link that sends 2,000 bytes in half a second
        let paths = Paths::new(PathBuf::from("/nowhere"));
        let mut now = link(&paths, "eth1", LinkKind::Wan, None);
        let before = now.clone();
        (now.sent_bytes, now.sent_packets) = (2_000, 3);
        let mut links = [now];
        rate(
            &mut links,
            core::slice::from_ref(&before),
            Duration::from_millis(500),
        );
        // then it sends 32,000 bit/s, in 6 packets
        assert_eq!(links[0].sent_bits_per_second, Some(32_000));
        assert_eq!(links[0].packets_per_second, Some(6));
        assert_eq!(links[0].received_bits_per_second, Some(0));
        // and one that was made anew, or that was not there, has no rate
        let mut anew = [before];
        let old = links.to_vec();
        rate(&mut anew, &old, Duration::from_millis(500));
        assert_eq!(anew[0].sent_bits_per_second, None);
    }
}

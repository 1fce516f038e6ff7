//! The network on the page: links and what passes now, who talks most, what was dropped and why.

use crate::html::Html;
use hearth_client::words::{bits, count};
use hearth_model::api::{Drop, LinkKind, Net, NetLine, NetLink, Talker};

/// Hosts and services in the table of who talks most; `hearth net` has more.
const TALKERS_SHOWN: usize = 10;

/// Reasons of drops in the table.
const DROPS_SHOWN: usize = 8;

/// The section; where nobody tells, it says so.
#[must_use]
pub fn section(net: Option<&Net>) -> Html {
    let title = Html::new().markup("<h2>Network</h2>\n");
    let Some(net) = net else {
        return title.markup(
            "<p class=\"quiet\">The gateway does not tell now what passes. Load the page again in some \
             seconds.</p>\n",
        );
    };
    title
        .piece(&links(&net.links, net.line))
        .piece(&talkers(&net.talkers))
        .piece(&drops(&net.drops))
}

fn rate(value: Option<u64>) -> String {
    value.map_or_else(
        || "-".to_owned(),
        |rate| format!("{}bit/s", spaced(&bits(rate))),
    )
}

/// `1.2 M` of `1.2M`, `7 ` of `7`.
fn spaced(amount: &str) -> String {
    let digits = amount.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    format!(
        "{digits} {}",
        amount.get(digits.len()..).unwrap_or_default()
    )
}

fn links(links: &[NetLink], line: NetLine) -> Html {
    let said = |value: Option<u64>| match value {
        Some(value) => rate(Some(value)),
        None => "unknown".to_owned(),
    };
    let line = match (line.upload_bits_per_second, line.download_bits_per_second) {
        (None, None) => {
            "What the line to the Internet carries was not said ([wan] upload and download of \
                         gateway.toml), so nobody has a share of it."
                .to_owned()
        }
        (up, down) => format!(
            "The line to the Internet carries {} up and {} down.",
            said(up),
            said(down)
        ),
    };
    Html::new()
        .markup(
            "<table>\n<thead><tr><th scope=\"col\">Link</th><th scope=\"col\">State</th>\
             <th scope=\"col\">Sends</th><th scope=\"col\">Receives</th></tr></thead>\n<tbody>\n",
        )
        .each(links, link)
        .markup("</tbody>\n</table>\n<p class=\"quiet\">")
        .text(&line)
        .markup("</p>\n")
}

fn link(link: &NetLink) -> Html {
    let name = match (link.kind, &link.service) {
        (LinkKind::Wan, _) => "Internet",
        (LinkKind::Lan, _) => "Home, the port",
        (LinkKind::Bridge, _) => "Home",
        (LinkKind::Guest, _) => "Guests, the port",
        (LinkKind::GuestBridge, _) => "Guests",
        (LinkKind::Service, Some(name)) => name.as_str(),
        (LinkKind::Service, None) => "A service",
    };
    let state = match link.up {
        true => "<span class=\"well\">Up</span>",
        // A service that does not run has a link without an other end.
        false if link.kind == LinkKind::Service => "<span>Down</span>",
        false => "<span class=\"ill\">Down</span>",
    };
    let speed = link
        .speed_mbit
        .map(|speed| rate(Some(u64::from(speed) * 1_000_000)));
    let facts: Vec<String> = speed.into_iter().chain(link.address.clone()).collect();
    let mut row = Html::new()
        .markup("<tr><th scope=\"row\">")
        .text(name)
        .markup("<p class=\"quiet\">")
        .text(&link.name)
        .markup("</p></th><td>")
        .markup(state);
    if !facts.is_empty() {
        row = row
            .markup("<p class=\"quiet\">")
            .text(&facts.join(", "))
            .markup("</p>");
    }
    row.markup("</td><td class=\"amount\">")
        .text(&rate(link.sent_bits_per_second))
        .markup("</td><td class=\"amount\">")
        .text(&rate(link.received_bits_per_second))
        .markup("</td></tr>\n")
}

fn talkers(all: &[Talker]) -> Html {
    if all.is_empty() {
        return Html::new().markup("<p class=\"quiet\">Nobody talks.</p>\n");
    }
    Html::new()
        .markup(
            "<h2>Who talks most now</h2>\n<table>\n<thead><tr><th scope=\"col\">Who</th>\
             <th scope=\"col\">Connections</th><th scope=\"col\">Sends</th><th scope=\"col\">Receives</th></tr>\
             </thead>\n<tbody>\n",
        )
        .each(all.iter().take(TALKERS_SHOWN), talker)
        .markup("</tbody>\n</table>\n")
        .piece(&more(all.len(), TALKERS_SHOWN))
}

fn talker(talker: &Talker) -> Html {
    let (cell, name, below) = match &talker.service {
        Some(service) => ("<tr><th scope=\"row\">", service, talker.address.as_str()),
        None => (
            "<tr><th scope=\"row\" class=\"whole\">",
            &talker.address,
            "in the home",
        ),
    };
    Html::new()
        .markup(cell)
        .text(name)
        .markup("<p class=\"quiet\">")
        .text(below)
        .markup("</p></th><td>")
        .text(&talker.sessions.to_string())
        .markup("</td><td class=\"amount\">")
        .text(&rate(talker.sent_bits_per_second))
        .markup("</td><td class=\"amount\">")
        .text(&rate(talker.received_bits_per_second))
        .markup("</td></tr>\n")
}

fn drops(all: &[Drop]) -> Html {
    if all.is_empty() {
        return Html::new().markup("<p class=\"quiet\">No packet was dropped.</p>\n");
    }
    Html::new()
        .markup(
            "<h2>What was not passed on</h2>\n<table>\n<thead><tr><th scope=\"col\">Packets</th>\
             <th scope=\"col\">Why</th></tr></thead>\n<tbody>\n",
        )
        .each(all.iter().take(DROPS_SHOWN), drop)
        .markup("</tbody>\n</table>\n")
        .piece(&more(all.len(), DROPS_SHOWN))
}

fn drop(drop: &Drop) -> Html {
    let place = match drop.place.as_str() {
        "netpath" => drop.reason.clone(),
        place => format!("{}, {place}", drop.reason),
    };
    Html::new()
        .markup("<tr><th scope=\"row\" class=\"whole\">")
        .text(&drop.packets.to_string())
        .markup("</th><td>")
        .text(&drop.what)
        .markup("<p class=\"quiet\">")
        .text(&format!("To do: {} ({place})", drop.remedy))
        .markup("</p></td></tr>\n")
}

/// How many are not shown.
fn more(all: usize, shown: usize) -> Html {
    match all.checked_sub(shown) {
        None | Some(0) => Html::new(),
        Some(n) => Html::new()
            .markup("<p class=\"quiet\">And ")
            .text(&count(n, "more line"))
            .markup("; <code>hearth net</code> on the serial console has them all.</p>\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net() -> Net {
        Net {
            links: vec![NetLink {
                name: "eth1".into(),
                kind: LinkKind::Wan,
                service: None,
                up: true,
                speed_mbit: Some(1000),
                address: Some("203.0.113.7/24".into()),
                sent_bytes: 1,
                received_bytes: 2,
                sent_packets: 1,
                received_packets: 1,
                sent_bits_per_second: Some(1_250_000),
                received_bits_per_second: Some(7),
                packets_per_second: Some(3),
            }],
            line: NetLine::default(),
            queues: Vec::new(),
            nat: None,
            talkers: vec![Talker {
                address: "192.168.1.20".into(),
                service: None,
                sessions: 12,
                sent_bytes: 1,
                received_bytes: 2,
                packets: 3,
                sent_bits_per_second: Some(0),
                received_bits_per_second: None,
                packets_per_second: None,
            }],
            talkers_window_seconds: 10,
            drops: vec![Drop {
                reason: "no-mapping".into(),
                place: "netpath".into(),
                packets: 41,
                answered: 0,
                what: "somebody outside asked for a port that is closed".into(),
                remedy: "nothing; that is how it should be".into(),
            }],
        }
    }

    #[test]
    fn links_talkers_and_drops_are_told_in_words() {
        let page = section(Some(&net())).into_string();
        for part in [
            "<th scope=\"row\">Internet",
            "Up</span><p class=\"quiet\">1 Gbit/s, 203.0.113.7/24</p>",
            "1.2 Mbit/s</td>",
            "7 bit/s</td>",
            "was not said",
            "192.168.1.20<p class=\"quiet\">in the home",
            "<td>12</td>",
            "41</th><td>somebody outside",
            "To do: nothing; that is how it should be (no-mapping)",
        ] {
            assert!(page.contains(part), "{part}\n{page}");
        }
    }

    #[test]
    fn what_is_not_shown_is_counted_and_nothing_is_no_table() {
        let mut many = net();
        many.talkers = vec![many.talkers[0].clone(); TALKERS_SHOWN + 3];
        let page = section(Some(&many)).into_string();
        assert!(page.contains("And 3 more lines;"), "{page}");
        (many.talkers, many.drops) = (Vec::new(), Vec::new());
        let page = section(Some(&many)).into_string();
        assert!(page.contains("Nobody talks.") && page.contains("No packet was dropped."));
        assert!(section(None).into_string().contains("does not tell now"));
    }

    #[test]
    fn nothing_that_comes_from_outside_becomes_markup() {
        const EVIL: &str = "\"'><script>alert(1)</script>";
        let mut hostile = net();
        hostile.links[0].service = Some(EVIL.into());
        hostile.links[0].kind = LinkKind::Service;
        hostile.links[0].name = EVIL.into();
        hostile.links[0].address = Some(EVIL.into());
        hostile.talkers[0].address = EVIL.into();
        hostile.talkers[0].service = Some(EVIL.into());
        let drop = &mut hostile.drops[0];
        for text in [
            &mut drop.reason,
            &mut drop.place,
            &mut drop.what,
            &mut drop.remedy,
        ] {
            *text = EVIL.into();
        }
        let page = section(Some(&hostile)).into_string();
        assert!(!page.contains("<script"), "{page}");
        assert_eq!(page.matches("&lt;script&gt;").count(), 9);
    }
}

//! The text of `hearth net`, `hearth net sessions` and `hearth net trace`.

use super::{Row, nat, table, wrap};
use crate::words::{amount, ascii, bits, count, span};
use hearth_model::api::{
    Drop, LinkKind, Net, NetLine, NetLink, NetQueues, Session, Sessions, Talker, Trace,
};

/// Drops in the short list: the rest is in `--json`.
const DROPS_SHOWN: usize = 12;

fn header<const N: usize>(cells: [&str; N]) -> Row<N> {
    Row {
        cells: cells.map(str::to_owned),
        note: None,
    }
}

fn rate(value: Option<u64>) -> String {
    value.map_or_else(|| "-".to_owned(), bits)
}

/// The text of `hearth net`.
#[must_use]
pub fn net(net: &Net) -> String {
    let mut out = links(&net.links);
    out.push('\n');
    out.push_str(&wrap("Line  ", &line(net.line)));
    out.push_str(&wrap("NAT   ", &nat(net.nat.as_ref())));
    if net.nat.is_none() {
        return out;
    }
    out.push_str(&queues(&net.queues));
    out.push('\n');
    out.push_str(&talkers(&net.talkers, net.talkers_window_seconds));
    out.push('\n');
    out.push_str(&drops(&net.drops));
    out
}

fn links(links: &[NetLink]) -> String {
    let mut rows = vec![header([
        "LINK", "OF", "STATE", "SPEED", "ADDRESS", "OUT", "IN",
    ])];
    rows.extend(links.iter().map(|link| Row {
        cells: [
            match (link.kind, &link.service) {
                (LinkKind::Wan, _) => "Internet".to_owned(),
                (LinkKind::Lan, _) => "home".to_owned(),
                (LinkKind::Bridge, _) => "home's bridge".to_owned(),
                (LinkKind::Guest, _) => "guests".to_owned(),
                (LinkKind::GuestBridge, _) => "guests' bridge".to_owned(),
                (LinkKind::Service, Some(name)) => ascii(name),
                (LinkKind::Service, None) => "service".to_owned(),
            },
            ascii(&link.name),
            if link.up { "up" } else { "down" }.to_owned(),
            link.speed_mbit.map_or_else(
                || "-".to_owned(),
                |speed| bits(u64::from(speed) * 1_000_000),
            ),
            ascii(link.address.as_deref().unwrap_or("-")),
            rate(link.sent_bits_per_second),
            rate(link.received_bits_per_second),
        ],
        note: None,
    }));
    table(&rows)
}

fn line(line: NetLine) -> String {
    match (line.upload_bits_per_second, line.download_bits_per_second) {
        (None, None) => {
            "rates not told: set upload and download below [wan] in gateway.toml".to_owned()
        }
        (up, down) => format!(
            "up {}, down {} bit/s, by gateway.toml",
            rate(up),
            rate(down)
        ),
    }
}

/// How each direction of the line is, and the queues that have held something.
fn queues(lines: &[NetQueues]) -> String {
    let mut out = String::new();
    let mut rows = vec![header([
        "QUEUE", "OF", "RATE", "MOST", "NOW", "WAITS", "DROPPED",
    ])];
    for line in lines {
        let label = match line.direction.as_str() {
            "up" => "Up    ",
            _ => "Down  ",
        };
        out.push_str(&wrap(label, &line.state));
        rows.extend(line.queues.iter().map(|queue| Row {
            cells: [
                format!("{} {}", ascii(&line.direction), ascii(&queue.class)),
                ascii(queue.service.as_deref().unwrap_or("home")),
                bits(queue.rate_bits_per_second),
                bits(queue.ceiling_bits_per_second),
                rate(queue.bits_per_second),
                amount(u64::from(queue.backlog_bytes)),
                queue.dropped_packets.to_string(),
            ],
            note: None,
        }));
    }
    if rows.len() > 1 {
        out.push('\n');
        out.push_str(&table(&rows));
    }
    out
}

fn talkers(talkers: &[Talker], window: u64) -> String {
    if talkers.is_empty() {
        return "Nobody talks.\n".to_owned();
    }
    let mut rows = vec![header([
        "TALKER", "SESSIONS", "OUT", "IN", "PKT/S", "SENT", "RECEIVED",
    ])];
    rows.extend(talkers.iter().map(|talker| Row {
        cells: [
            match &talker.service {
                Some(name) => format!("{} ({})", ascii(name), ascii(&talker.address)),
                None => ascii(&talker.address),
            },
            talker.sessions.to_string(),
            rate(talker.sent_bits_per_second),
            rate(talker.received_bits_per_second),
            rate(talker.packets_per_second),
            amount(talker.sent_bytes),
            amount(talker.received_bytes),
        ],
        note: None,
    }));
    let mut out = table(&rows);
    let hosts = match window {
        0 => "hosts' rates come after some seconds".to_owned(),
        window => format!("hosts' rates are those of {window} s"),
    };
    out.push_str(&format!(
        "(OUT and IN in bit/s: what it sends and gets; {hosts})\n"
    ));
    out
}

fn drops(drops: &[Drop]) -> String {
    if drops.is_empty() {
        return "Nothing was dropped.\n".to_owned();
    }
    let mut out = "Dropped, and what to do:\n".to_owned();
    for drop in drops.iter().take(DROPS_SHOWN) {
        let place = match drop.place.as_str() {
            "netpath" => String::new(),
            "ports" => " at the ports".to_owned(),
            name => format!(" at the link of {name}"),
        };
        let label = format!("{:>8}  ", drop.packets);
        let text = format!("{}{place} ({}): {}", drop.what, drop.reason, drop.remedy);
        out.push_str(&wrap(&label, &text));
    }
    if let Some(more @ 1..) = drops.len().checked_sub(DROPS_SHOWN) {
        out.push_str(&format!("({} in --json)\n", count(more, "more reason")));
    }
    out
}

/// The text of `hearth net sessions`.
#[must_use]
pub fn sessions(all: &Sessions) -> String {
    if all.sessions.is_empty() {
        return "There is no session.\n".to_owned();
    }
    let mut rows = vec![header([
        "INSIDE", "PROTO", "OUTSIDE", "REMOTE", "STATE", "IDLE", "VIA",
    ])];
    rows.extend(all.sessions.iter().map(|session| Row {
        cells: [
            inside(session),
            ascii(&session.protocol),
            outside(session),
            match session.incoming {
                true => format!("<{}", ascii(&session.remote)),
                false => ascii(&session.remote),
            },
            match session.state.as_str() {
                "established" => "open".to_owned(),
                other => ascii(other),
            },
            span(u64::from(session.idle_seconds)),
            if session.fast_path { "fast" } else { "slow" }.to_owned(),
        ],
        note: None,
    }));
    let mut out = table(&rows);
    let more = if all.more {
        ", and there are more: ask for a --host"
    } else {
        ""
    };
    let count = count(all.sessions.len(), "session");
    let legend = "(<: opened from there; fast: by the kernel's fast path)";
    out.push_str(&wrap("", &format!("{count}{more} {legend}")));
    out
}

fn inside(session: &Session) -> String {
    match (&session.service, session.inside.rsplit_once(':')) {
        (Some(name), Some((_, port))) => format!("{}:{}", ascii(name), ascii(port)),
        (Some(_), None) | (None, _) => ascii(&session.inside),
    }
}

/// The gateway's port where the other end sees the gateway; nothing where it sees the inside itself.
fn outside(session: &Session) -> String {
    if session.outside == session.inside {
        return "-".to_owned();
    }
    let port = session.outside.rsplit_once(':');
    port.map_or_else(
        || ascii(&session.outside),
        |(_, port)| format!(":{}", ascii(port)),
    )
}

/// The text of `hearth net trace`.
#[must_use]
pub fn trace(told: &Trace) -> String {
    let mut out = format!(
        "{} from {} to {}, as it comes from {}:\n",
        ascii(&told.protocol),
        ascii(&told.source),
        ascii(&told.destination),
        ascii(&told.from)
    );
    for (step, number) in told.steps.iter().zip(1..) {
        let label = format!("{number:>3}  {:<9} ", ascii(&step.step));
        out.push_str(&wrap(&label, &step.text));
    }
    out.push_str(&wrap("", &told.summary));
    out
}

#[cfg(test)]
mod tests;

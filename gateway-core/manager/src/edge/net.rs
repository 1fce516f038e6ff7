//! The network routes of the API: asked of netpath page by page, with the kernel's counters of the links.

use super::api::Door;
use super::netlinks::{self, per_second};
use super::requests::{Ask, Fault, Network, Reply};
use crate::limits::{RATE_SPAN, SESSIONS_LISTED, TALKERS_LISTED};
use axum::Json;
use axum::extract::{Query, State};
use core::net::Ipv4Addr;
use core::time::Duration;
use hearth_model::api::{
    Drop, Net, NetLine, NetLink, NetQueue, NetQueues, Session, Sessions, Talker,
};
use hearth_model::drops::Stray;
use hearth_model::protocol::{
    Direction, GuardPlace, HostRow, Look, QueueOwner, QueueRow, Seen, SessionRow, Shaping,
};
use hearth_model::trace::Names;
use std::collections::BTreeMap;
use tokio::time::{Instant, sleep};

pub(super) type Options = Query<BTreeMap<String, String>>;

/// netpath has answered another question: a defect.
pub(super) fn confused() -> Fault {
    Fault::Busy("hearth-netpath answered something else; try again".to_owned())
}

impl Door {
    /// Who is who.
    pub(super) async fn network(&self) -> Result<Box<Network>, Fault> {
        let Reply::Network(network) = self.ask(Ask::Network).await? else {
            return Err(confused());
        };
        Ok(network)
    }

    /// Asks netpath.
    pub(super) async fn look(&self, look: Look) -> Result<Seen, Fault> {
        let Reply::Seen(seen) = self.ask(Ask::Look(look)).await? else {
            return Err(confused());
        };
        Ok(*seen)
    }
}

/// `GET /v1/net`
pub async fn net(State(door): State<Door>, Query(options): Options) -> Result<Json<Net>, Fault> {
    let rates = match options.get("rates").map(String::as_str) {
        None | Some("true") => true,
        Some("false") => false,
        Some(_) => return Err(Fault::Arguments("rates is true or false".to_owned())),
    };
    let network = door.network().await?;
    let line = NetLine {
        upload_bits_per_second: network.gateway.wan.upload.map(|rate| rate.0),
        download_bits_per_second: network.gateway.wan.download.map(|rate| rate.0),
    };
    let names = network.names();
    let mut links = netlinks::read(&door.paths, &network);
    // The links are there without netpath too.
    let mut queues = self::queues(&door, &names).await.unwrap_or_default();
    if rates {
        let (before, began) = (links, Instant::now());
        sleep(RATE_SPAN).await;
        links = netlinks::read(&door.paths, &network);
        netlinks::rate(&mut links, &before, began.elapsed());
        let later = self::queues(&door, &names).await.unwrap_or_default();
        let before = core::mem::replace(&mut queues, later);
        rate_queues(&mut queues, &before, began.elapsed());
    }
    let mut net = Net {
        links,
        line,
        queues,
        nat: None,
        talkers: Vec::new(),
        talkers_window_seconds: 0,
        drops: Vec::new(),
    };
    if let Ok(Seen::Report(report)) = door.look(Look::Report).await {
        net.nat = Some(super::views::nat(report));
        let (hosts, window_ms) = hosts(&door).await?;
        net.talkers = talkers(&hosts, window_ms, &net.links);
        net.talkers_window_seconds = u64::from(window_ms / 1_000);
        net.drops = drops(&door, &names).await?;
    }
    Ok(Json(net))
}

async fn queues(door: &Door, names: &Names) -> Result<Vec<NetQueues>, Fault> {
    let mut all = Vec::new();
    for direction in Direction::ALL {
        let (mut rows, mut from) = (Vec::new(), 0);
        let shaping = loop {
            let Seen::Queues(page) = door.look(Look::Queues { direction, from }).await? else {
                return Err(confused());
            };
            rows.extend(page.rows.iter().map(|row| queue(row, names)));
            match page.next.filter(|next| *next > from) {
                Some(next) => from = next,
                None => break page.shaping,
            }
        };
        all.push(NetQueues {
            direction: direction.name().to_owned(),
            shaped: matches!(shaping, Shaping::On { .. }),
            state: shaping.to_string(),
            queues: rows,
        });
    }
    Ok(all)
}

fn queue(row: &QueueRow, names: &Names) -> NetQueue {
    NetQueue {
        service: match row.owner {
            QueueOwner::Service(id) => Some(names.of(id)),
            QueueOwner::Class(_) => None,
        },
        class: row.class.name().to_owned(),
        rate_bits_per_second: row.rate.0,
        ceiling_bits_per_second: row.ceiling.0,
        bytes: row.bytes,
        packets: row.packets,
        dropped_packets: row.drops,
        backlog_bytes: row.backlog,
        bits_per_second: None,
    }
}

/// Fills in what leaves each queue now.
fn rate_queues(all: &mut [NetQueues], before: &[NetQueues], span: Duration) {
    for (line, old) in all.iter_mut().zip(before) {
        for queue in &mut line.queues {
            let same =
                |old: &&NetQueue| (&old.service, &old.class) == (&queue.service, &queue.class);
            let grown = old.queues.iter().find(same);
            let grown = grown.and_then(|old| queue.bytes.checked_sub(old.bytes));
            queue.bits_per_second =
                grown.and_then(|bytes| per_second(bytes.saturating_mul(8), span));
        }
    }
}

async fn hosts(door: &Door) -> Result<(Vec<HostRow>, u32), Fault> {
    let (mut all, mut from) = (Vec::new(), 0);
    loop {
        let Seen::Hosts {
            rows,
            next,
            window_ms,
        } = door.look(Look::Hosts { from }).await?
        else {
            return Err(confused());
        };
        all.extend(rows);
        match next.filter(|next| *next > from) {
            Some(next) => from = next,
            None => return Ok((all, window_ms)),
        }
    }
}

/// Who sends and receives most now, then who has the most flows. A service is counted at its link, where
/// also that passes which others have opened.
fn talkers(hosts: &[HostRow], window_ms: u32, links: &[NetLink]) -> Vec<Talker> {
    let window = Duration::from_millis(u64::from(window_ms));
    let mut all: Vec<Talker> = Vec::new();
    for link in links.iter().filter(|link| link.service.is_some()) {
        let Some(address) = &link.address else {
            continue;
        };
        let row = hosts.iter().find(|row| row.address.to_string() == *address);
        all.push(Talker {
            address: address.clone(),
            service: link.service.clone(),
            sessions: row.map_or(0, |row| row.sessions),
            // What the gateway sends there is what the service receives.
            sent_bytes: link.received_bytes,
            received_bytes: link.sent_bytes,
            packets: link.sent_packets.wrapping_add(link.received_packets),
            sent_bits_per_second: link.received_bits_per_second,
            received_bits_per_second: link.sent_bits_per_second,
            packets_per_second: link.packets_per_second,
        });
    }
    for row in hosts {
        let address = row.address.to_string();
        if all.iter().any(|talker| talker.address == address) {
            continue;
        }
        let (sent, received) = (row.sent_lately, row.received_lately);
        let bits = |bytes: u64| per_second(bytes.saturating_mul(8), window);
        all.push(Talker {
            address,
            service: None,
            sessions: row.sessions,
            sent_bytes: row.sent.bytes,
            received_bytes: row.received.bytes,
            packets: row.sent.packets.wrapping_add(row.received.packets),
            sent_bits_per_second: bits(sent.bytes),
            received_bits_per_second: bits(received.bytes),
            packets_per_second: per_second(sent.packets.wrapping_add(received.packets), window),
        });
    }
    let now = |talker: &Talker| {
        let rates = [talker.sent_bits_per_second, talker.received_bits_per_second];
        rates
            .iter()
            .flatten()
            .fold(0, |a: u64, b| a.saturating_add(*b))
    };
    all.sort_by_key(|talker| core::cmp::Reverse((now(talker), talker.sessions, talker.packets)));
    all.truncate(TALKERS_LISTED);
    all
}

/// What netpath and the guards have dropped; only what has been met.
async fn drops(door: &Door, names: &Names) -> Result<Vec<Drop>, Fault> {
    let (mut all, mut from) = (Vec::new(), 0);
    loop {
        let Seen::Drops { rows, next } = door.look(Look::Drops { from }).await? else {
            return Err(confused());
        };
        all.extend(rows.iter().map(|row| Drop {
            reason: row.reason.name().to_owned(),
            place: "netpath".to_owned(),
            packets: row.dropped.wrapping_add(row.answered),
            answered: row.answered,
            what: row.reason.what().to_owned(),
            remedy: row.reason.remedy().to_owned(),
        }));
        match next.filter(|next| *next > from) {
            Some(next) => from = next,
            None => break,
        }
    }
    from = 0;
    loop {
        let Seen::Guards { rows, next } = door.look(Look::Guards { from }).await? else {
            return Err(confused());
        };
        for row in &rows {
            let place = match row.place {
                GuardPlace::Ports => "ports".to_owned(),
                GuardPlace::Link(id) => names.of(id),
            };
            all.extend(
                Stray::ALL
                    .iter()
                    .zip(row.dropped)
                    .map(|(reason, packets)| Drop {
                        reason: reason.name().to_owned(),
                        place: place.clone(),
                        packets,
                        answered: 0,
                        what: reason.what().to_owned(),
                        remedy: reason.remedy().to_owned(),
                    }),
            );
        }
        match next.filter(|next| *next > from) {
            Some(next) => from = next,
            None => break,
        }
    }
    all.retain(|row| row.packets > 0);
    all.sort_by_key(|row| core::cmp::Reverse(row.packets));
    Ok(all)
}

/// `GET /v1/net/sessions`
pub async fn sessions(
    State(door): State<Door>,
    Query(options): Options,
) -> Result<Json<Sessions>, Fault> {
    let network = door.network().await?;
    let names = network.names();
    let host = wanted_host(&options, &network)?;
    let (mut list, mut from) = (Vec::new(), 0);
    loop {
        let Seen::Sessions { rows, next } = door.look(Look::Sessions { from, host }).await? else {
            return Err(confused());
        };
        list.extend(rows.iter().map(|row| session(row, &names)));
        let next = next.filter(|next| *next > from);
        let full = list.len() >= SESSIONS_LISTED;
        match next {
            Some(next) if !full => from = next,
            Some(_) | None => {
                return Ok(Json(Sessions {
                    sessions: list,
                    more: next.is_some(),
                }));
            }
        }
    }
}

fn wanted_host(
    options: &BTreeMap<String, String>,
    network: &Network,
) -> Result<Option<Ipv4Addr>, Fault> {
    match (options.get("host"), options.get("service")) {
        (None, None) => Ok(None),
        (Some(host), None) => host.parse().map(Some).map_err(|_| {
            let host = super::trace::shown(host);
            Fault::Arguments(format!(
                "\"{host}\" is no address of a host; write it as 192.168.1.20 (for a service: its name after --service)"
            ))
        }),
        (None, Some(name)) => match network.service(name)? {
            (_, Some(address)) => Ok(Some(address)),
            (name, None) => Err(Fault::Impossible(format!(
                "{name} has no network, so it has no sessions"
            ))),
        },
        (Some(_), Some(_)) => Err(Fault::Arguments(
            "ask for a host or for a service, not for both".to_owned(),
        )),
    }
}

fn session(row: &SessionRow, names: &Names) -> Session {
    Session {
        protocol: row.protocol.name().to_owned(),
        inside: row.inside.to_string(),
        service: names.at(row.inside.address).map(str::to_owned),
        outside: row.outside.to_string(),
        remote: row.remote.to_string(),
        incoming: row.incoming,
        state: row.state.name().to_owned(),
        idle_seconds: row.idle_s,
        left_seconds: row.left_s,
        fast_path: row.carried,
    }
}

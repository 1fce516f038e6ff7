//! `GET /v1/net/trace`: the words of a question become a packet, and what netpath finds becomes sentences.

use super::api::Door;
use super::net::{Options, confused};
use super::requests::{Fault, Network};
use axum::Json;
use axum::extract::{Query, State};
use core::net::Ipv4Addr;
use hearth_model::ServiceId;
use hearth_model::api::{Trace, TraceStep};
use hearth_model::gateway::same_net;
use hearth_model::manifest::nearest;
use hearth_model::protocol::{
    Endpoint, Flow, FlowProtocol, Look, Seen, TraceEnd, TraceReport, TraceStep as Step, Zone,
};
use hearth_model::trace::{Names, step, summary};

/// The source port of a connection that nobody has opened: one that hosts choose (Linux: from 32768 on).
const ANY_PORT: u16 = 50_000;
/// The gateway's own words for its addresses.
const GATEWAY: &str = "gateway";
const WAN: &str = "wan";

/// `GET /v1/net/trace`
pub async fn trace(
    State(door): State<Door>,
    Query(options): Options,
) -> Result<Json<Trace>, Fault> {
    let network = door.network().await?;
    let word = |key: &str| options.get(key).map(String::as_str);
    let flow = network.flow(
        word("source").unwrap_or_default(),
        word("destination").unwrap_or_default(),
        word("port"),
        word("protocol").unwrap_or("tcp"),
        word("from"),
    )?;
    let Seen::Trace(report) = door.look(Look::Trace(flow)).await? else {
        return Err(confused());
    };
    Ok(Json(told(&flow, &report, &network)))
}

impl Network {
    /// Who is who, for sentences.
    #[must_use]
    pub fn names(&self) -> Names {
        Names {
            services: self.services.clone(),
        }
    }

    /// A service by its name, with its address.
    ///
    /// # Errors
    /// [`Fault::Unknown`], with the nearest name.
    pub fn service(&self, wanted: &str) -> Result<(&str, Option<Ipv4Addr>), Fault> {
        let mut all = self.services.iter();
        let found = all.find(|(_, name, _)| name == wanted);
        let found: Option<&(ServiceId, String, Option<Ipv4Addr>)> = found;
        found
            .map(|(_, name, address)| (name.as_str(), *address))
            .ok_or_else(|| {
                let names = self.services.iter().map(|(_, name, _)| name.as_str());
                let hint = match nearest(wanted, names) {
                    Some(near) => format!("did you mean \"{near}\"?"),
                    None => "'hearth ps' lists them".to_owned(),
                };
                Fault::Unknown(format!("there is no service \"{}\"; {hint}", shown(wanted)))
            })
    }

    fn address(&self, word: &str) -> Result<Ipv4Addr, Fault> {
        if let Ok(address) = word.parse() {
            return Ok(address);
        }
        let looks_like_one = word.contains(['.', ':', '/']) || word.is_empty();
        match word {
            GATEWAY => Ok(self.gateway.lan.address),
            WAN => match self.wan.lease {
                Some(lease) => Ok(lease.address),
                None => Err(Fault::Impossible(
                    "the gateway has no address in the Internet now; 'hearth status' says why"
                        .to_owned(),
                )),
            },
            _ if looks_like_one => Err(Fault::Arguments(format!(
                "\"{}\" is no IPv4 address; write it as 192.168.1.20, or a service's name, \
                 'gateway' or 'wan'",
                shown(word)
            ))),
            _ => match self.service(word)? {
                (_, Some(address)) => Ok(address),
                (name, None) => Err(Fault::Impossible(format!(
                    "{name} has no network: it has no address to send from or to"
                ))),
            },
        }
    }

    /// The packet that is meant.
    ///
    /// # Errors
    /// [`Fault`]: a word that makes no sense, and which would.
    pub fn flow(
        &self,
        source: &str,
        destination: &str,
        to_port: Option<&str>,
        protocol: &str,
        from: Option<&str>,
    ) -> Result<Flow, Fault> {
        let protocol = match protocol {
            "tcp" => FlowProtocol::Tcp,
            "udp" => FlowProtocol::Udp,
            "icmp" => FlowProtocol::Icmp,
            other => {
                return Err(Fault::Arguments(format!(
                    "\"{}\" is no protocol; there are tcp, udp and icmp",
                    shown(other)
                )));
            }
        };
        let (source, from_port) = match source.split_once(':') {
            Some((address, number)) => (address, port(number)?),
            None => (source, ANY_PORT),
        };
        let source = self.address(source)?;
        let to_port = match (to_port, protocol) {
            (None, FlowProtocol::Icmp) => 0,
            (Some(_), FlowProtocol::Icmp) => {
                return Err(Fault::Arguments(
                    "an ICMP echo has no port; leave it out".to_owned(),
                ));
            }
            (Some(number), FlowProtocol::Tcp | FlowProtocol::Udp) => port(number)?,
            (None, FlowProtocol::Tcp | FlowProtocol::Udp) => {
                return Err(Fault::Arguments(
                    "which port does it go to? a number from 1 to 65535 is missing".to_owned(),
                ));
            }
        };
        Ok(Flow {
            from: self.zone(source, from)?,
            protocol,
            source: Endpoint {
                address: source,
                port: from_port,
            },
            destination: Endpoint {
                address: self.address(destination)?,
                port: to_port,
            },
        })
    }

    /// The side that was said, else the one where the source belongs.
    fn zone(&self, source: Ipv4Addr, from: Option<&str>) -> Result<Zone, Fault> {
        let (lan, services) = (&self.gateway.lan, &self.gateway.services);
        let router = Ipv4Addr::from(u32::from(services.subnet).wrapping_add(1));
        let wan = self.wan.lease.map(|lease| lease.address);
        let guest = self.gateway.guest.as_ref();
        let guest_address = guest.map(|guest| guest.address);
        match from {
            Some("lan") => Ok(Zone::Lan),
            Some("wan") => Ok(Zone::Wan),
            Some("service") => Ok(Zone::Service),
            Some("guest") => Ok(Zone::Guest),
            Some(other) => Err(Fault::Arguments(format!(
                "\"{}\" is no side; there are lan, wan, service and guest",
                shown(other)
            ))),
            None if [Some(lan.address), Some(router), wan, guest_address]
                .contains(&Some(source)) =>
            {
                Err(Fault::Arguments(format!(
                    "{source} is the gateway itself, whose own packets pass no netpath; say with \
                     --from which side claims to be it"
                )))
            }
            None if same_net(source, lan.address, lan.prefix) => Ok(Zone::Lan),
            None if same_net(source, services.subnet, services.prefix) => Ok(Zone::Service),
            None if guest.is_some_and(|guest| guest.has(source)) => Ok(Zone::Guest),
            None => Ok(Zone::Wan),
        }
    }
}

fn port(word: &str) -> Result<u16, Fault> {
    word.parse().ok().filter(|port| *port > 0).ok_or_else(|| {
        Fault::Arguments(format!(
            "\"{}\" is no port; a port is a number from 1 to 65535",
            shown(word)
        ))
    })
}

/// A word of a stranger, as it may be shown.
pub(super) fn shown(word: &str) -> String {
    word.chars().take(40).flat_map(char::escape_debug).collect()
}

fn told(flow: &Flow, report: &TraceReport, network: &Network) -> Trace {
    let names = network.names();
    let leaves = report.steps.iter().find_map(|step| {
        let Step::Leaves {
            source,
            destination,
            ..
        } = step
        else {
            return None;
        };
        Some((source.to_string(), destination.to_string()))
    });
    let (leaves_from, leaves_to) = leaves.unzip();
    let (verdict, reason, told) = match report.end {
        TraceEnd::Forwarded => ("forwarded", None, false),
        TraceEnd::Local | TraceEnd::Dhcp => ("local", None, false),
        TraceEnd::Dropped { reason, told } => ("dropped", Some(reason.name()), told),
        TraceEnd::Guarded(stray) => ("dropped", Some(stray.name()), false),
    };
    let steps = report.steps.iter();
    let steps = steps.map(|one| step(one, &network.gateway, &names));
    Trace {
        from: match flow.from {
            Zone::Lan => "lan",
            Zone::Wan => "wan",
            Zone::Service => "service",
            Zone::Guest => "guest",
        }
        .to_owned(),
        protocol: flow.protocol.name().to_owned(),
        source: flow.source.to_string(),
        destination: flow.destination.to_string(),
        verdict: verdict.to_owned(),
        reason: reason.map(str::to_owned),
        told,
        leaves_from,
        leaves_to,
        steps: steps
            .map(|(step, text)| TraceStep {
                step: step.to_owned(),
                text,
            })
            .collect(),
        summary: summary(report),
    }
}

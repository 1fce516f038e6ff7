//! The network part of the API: links, talkers, flows, drops, and what would become of a packet.

use super::NatJson;
use serde::{Deserialize, Serialize};

/// `GET /v1/net`. Rates are those of now, unless they were not asked for (`?rates=false`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct Net {
    /// Ports, bridge and the links of services.
    pub links: Vec<NetLink>,
    /// What the line to the Internet carries, as the household said.
    pub line: NetLine,
    /// The queues of the line, a row a direction; none while netpath does not answer.
    pub queues: Vec<NetQueues>,
    /// NAT table and packets; `None` while netpath does not answer, and then nothing below is there.
    pub nat: Option<NatJson>,
    /// Hosts of the home and services with flows, who sends and receives most first.
    pub talkers: Vec<Talker>,
    /// Over how many seconds the rates of hosts are taken; 0: there are none yet.
    pub talkers_window_seconds: u64,
    /// Every reason for which a packet or frame was dropped, those that have been met.
    pub drops: Vec<Drop>,
}

/// One link of the gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct NetLink {
    /// Name of the interface.
    pub name: String,
    /// Whose it is.
    pub kind: LinkKind,
    /// The service, for its link.
    pub service: Option<String>,
    /// Whether it is up and somebody is at its other end.
    pub up: bool,
    /// Rate of an Ethernet port, Mbit/s; `None` where there is none or the driver does not tell.
    pub speed_mbit: Option<u32>,
    /// The gateway's address on it; of a service's link the service's.
    pub address: Option<String>,
    /// Bytes that the gateway has sent there.
    pub sent_bytes: u64,
    /// Bytes that have come from there.
    pub received_bytes: u64,
    /// Packets that the gateway has sent there.
    pub sent_packets: u64,
    /// Packets that have come from there.
    pub received_packets: u64,
    /// What the gateway sends there now.
    pub sent_bits_per_second: Option<u64>,
    /// What comes from there now.
    pub received_bits_per_second: Option<u64>,
    /// Packets in both directions now.
    pub packets_per_second: Option<u64>,
}

/// Whose a link is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum LinkKind {
    /// The port to the Internet.
    Wan,
    /// The port of the home.
    Lan,
    /// The home's bridge.
    Bridge,
    /// The port of the guests.
    Guest,
    /// The guests' bridge.
    GuestBridge,
    /// A service's.
    Service,
}

/// `[wan] upload` and `download` of `gateway.toml`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct NetLine {
    /// Towards the Internet; `None`: the household did not say.
    pub upload_bits_per_second: Option<u64>,
    /// From the Internet.
    pub download_bits_per_second: Option<u64>,
}

/// The queues of a direction of the line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct NetQueues {
    /// `up` or `down`.
    pub direction: String,
    /// Whether packets wait here, and not in the modem.
    pub shaped: bool,
    /// How it is, in words.
    pub state: String,
    /// Each queue; none where nothing waits.
    pub queues: Vec<NetQueue>,
}

/// One queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct NetQueue {
    /// The service whose it is; `None`: the home's of this class.
    pub service: Option<String>,
    /// Its class.
    pub class: String,
    /// What it gets whatever others send.
    pub rate_bits_per_second: u64,
    /// What it gets at most.
    pub ceiling_bits_per_second: u64,
    /// Bytes that have left.
    pub bytes: u64,
    /// Packets that have left.
    pub packets: u32,
    /// Packets dropped because the line was full.
    pub dropped_packets: u32,
    /// Bytes that wait now.
    pub backlog_bytes: u32,
    /// What leaves now.
    pub bits_per_second: Option<u64>,
}

/// A host of the home or a service, and what it does in the network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct Talker {
    /// Its address.
    pub address: String,
    /// The service, if it is one.
    pub service: Option<String>,
    /// Flows in its share of the table.
    pub sessions: u32,
    /// Bytes that it has sent: a host since it has flows, a service since its link is there.
    pub sent_bytes: u64,
    /// Bytes that it has received.
    pub received_bytes: u64,
    /// Packets in both directions.
    pub packets: u64,
    /// What it sends now.
    pub sent_bits_per_second: Option<u64>,
    /// What it receives now.
    pub received_bits_per_second: Option<u64>,
    /// Packets in both directions now.
    pub packets_per_second: Option<u64>,
}

/// Packets that were not passed on, by reason and place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct Drop {
    /// Name of the reason ([`crate::drops`]).
    pub reason: String,
    /// `netpath`, or the guard: `ports`, or a service's name.
    pub place: String,
    /// How many.
    pub packets: u64,
    /// Of those, with an ICMP error to the sender.
    pub answered: u64,
    /// What that means.
    pub what: String,
    /// What to do.
    pub remedy: String,
}

/// `GET /v1/net/sessions?host=ADDRESS` or `?service=NAME`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct Sessions {
    /// Flows now.
    pub sessions: Vec<Session>,
    /// Whether there are more than are listed.
    pub more: bool,
}

/// One flow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct Session {
    /// `tcp`, `udp` or `icmp`.
    pub protocol: String,
    /// The end in the home, or of a service: `192.168.1.20:50123`.
    pub inside: String,
    /// The service, if the inside is one.
    pub service: Option<String>,
    /// How the other end sees the inside.
    pub outside: String,
    /// The other end.
    pub remote: String,
    /// Whether the other end has opened it.
    pub incoming: bool,
    /// `opening`, `established`, `closing`, or `active` for what has no states.
    pub state: String,
    /// Seconds since what last kept it alive.
    pub idle_seconds: u32,
    /// Seconds until it ends without another packet.
    pub left_seconds: u32,
    /// Whether the fast path carries it now.
    pub fast_path: bool,
}

/// `GET /v1/net/trace?source=&destination=&port=&protocol=&from=`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct Trace {
    /// The side that the packet comes from: `lan`, `wan` or `service`.
    pub from: String,
    /// `tcp`, `udp` or `icmp`.
    pub protocol: String,
    /// Its source.
    pub source: String,
    /// Its destination.
    pub destination: String,
    /// `forwarded`, `local` (for the gateway's own programs) or `dropped`.
    pub verdict: String,
    /// The name of the reason why it is dropped ([`crate::drops`]).
    pub reason: Option<String>,
    /// Whether its sender is told by ICMP.
    pub told: bool,
    /// Its source when it leaves.
    pub leaves_from: Option<String>,
    /// Its destination when it leaves.
    pub leaves_to: Option<String>,
    /// All that is found, one sentence each.
    pub steps: Vec<TraceStep>,
    /// The end in one sentence.
    pub summary: String,
}

/// One thing that is found about a packet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct TraceStep {
    /// What it is about, one word.
    pub step: String,
    /// What is found.
    pub text: String,
}

//! What the API asks of the loop, and what the loop answers.

use crate::machine::forwards::Forward;
use core::net::Ipv4Addr;
use hearth_model::ServiceId;
use hearth_model::api::{
    ApiError, Done, OpenUsage, PortForward, RankRow, RefusalJson, Service, StartPlan, Status,
};
use hearth_model::gateway::GatewayConfig;
use hearth_model::protocol::{Look, Seen, ShutdownKind, WanPorts, WanStatus};
use tokio::sync::oneshot;

/// What to do with a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Run it.
    Start,
    /// Run it, and end those that have to end for it.
    StartWithRoom,
    /// End it.
    Stop,
    /// Run it anew.
    Restart,
}

/// The gateway's network, as the manager knows it.
#[derive(Clone, Debug)]
pub struct Network {
    /// The configuration.
    pub gateway: GatewayConfig,
    /// The Internet's side.
    pub wan: WanStatus,
    /// Services: number, name, and address where it has one.
    pub services: Vec<(ServiceId, String, Option<Ipv4Addr>)>,
}

/// A question or an order.
#[derive(Debug)]
pub enum Ask {
    /// `GET /v1/status`
    Status,
    /// `GET /v1/services`
    Services,
    /// `GET /v1/services/{name}`
    Service(String),
    /// `POST /v1/services/{name}/{verb}`
    Act(String, Verb),
    /// `GET /v1/forwards`
    Forwards,
    /// `POST /v1/forwards/{transport}/{ports}`
    AddForward(Forward),
    /// `DELETE /v1/forwards/{transport}/{ports}`
    RemoveForward(WanPorts),
    /// `POST /v1/services/{name}/start?dry_run=true`
    Plan(String),
    /// `GET /v1/rank`
    Ranking,
    /// `POST /v1/rank?order=A,B,C`
    Rank(Vec<String>),
    /// Who is who in the network, for `/v1/net`.
    Network,
    /// A question to netpath, for `/v1/net`.
    Look(Look),
    /// `GET /v1/usage/open`
    OpenUsage,
    /// `POST /v1/system/poweroff` or `reboot`
    System(ShutdownKind),
}

/// An answer.
#[derive(Debug)]
pub enum Reply {
    /// All of it.
    Status(Box<Status>),
    /// The table.
    Services(Vec<Service>),
    /// One row.
    Service(Box<Service>),
    /// The household's port-forwards.
    Forwards(Vec<PortForward>),
    /// One of them.
    Forward(PortForward),
    /// What a start would come to.
    Plan(Box<StartPlan>),
    /// Who comes before whom.
    Ranking(Vec<RankRow>),
    /// Who is who.
    Network(Box<Network>),
    /// netpath's answer.
    Seen(Box<Seen>),
    /// The open hour.
    OpenUsage(OpenUsage),
    /// Accepted.
    Done(Done),
}

/// Why there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// There is no such thing: 404, USP 7016.
    Unknown(String),
    /// It can not be done with this one: 409, USP 7022.
    Impossible(String),
    /// The machine has too little left: 409, USP 7227.
    NoRoom(String, Box<RefusalJson>),
    /// The request makes no sense: 400, USP 7004.
    Arguments(String),
    /// Not by this user: 403, USP 7006.
    Forbidden(String),
    /// Not by this method: 405, USP 7004.
    Method(String),
    /// A request with a body: 413, USP 7004.
    Body(String),
    /// This user asks too often: 429, USP 7005.
    Often(String),
    /// Too many ask at once, or the manager is going: 503, USP 7005.
    Busy(String),
}

impl Fault {
    /// HTTP status and body.
    #[must_use]
    pub fn parts(self) -> (u16, ApiError) {
        let mut refusal = None;
        let (status, code, error) = match self {
            Fault::Unknown(text) => (404, 7016, text),
            Fault::Impossible(text) => (409, 7022, text),
            Fault::NoRoom(text, why) => {
                refusal = Some(*why);
                (409, 7227, text)
            }
            Fault::Arguments(text) => (400, 7004, text),
            Fault::Forbidden(text) => (403, 7006, text),
            Fault::Method(text) => (405, 7004, text),
            Fault::Body(text) => (413, 7004, text),
            Fault::Often(text) => (429, 7005, text),
            Fault::Busy(text) => (503, 7005, text),
        };
        let error = ApiError {
            error,
            code,
            refusal,
        };
        (status, error)
    }
}

/// Where an answer goes. Whoever asked may be gone: then nobody misses it.
pub type ReplyTo = oneshot::Sender<Result<Reply, Fault>>;

/// A request in the loop's queue.
#[derive(Debug)]
pub struct Request {
    /// What.
    pub ask: Ask,
    /// Where the answer goes.
    pub reply: ReplyTo,
}

//! The API's routes (model `api/operations.rs` lists them). Each turns a request into one question to the
//! loop and its answer into JSON. No route reads a body, so none can be too large.

use super::book::Follow;
use super::doctor;
use super::events::Events;
use super::logs::Logs;
use super::paths::Paths;
use super::requests::{Ask, Fault, Reply, Request, Verb};
use super::{guard, stream};
use super::{net, records, top, trace};
use crate::machine::forwards::{Forward, Target};
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::middleware::from_fn;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, post};
use axum::{Json, Router};
use core::convert::Infallible;
use core::pin::Pin;
use core::task::{Context, Poll};
use hearth_model::ServiceName;
use hearth_model::api::Operation;
use hearth_model::protocol::{ShutdownKind, WanPorts};
use hyper::body::Frame;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{mpsc, oneshot};

/// What a route needs.
#[derive(Clone, Debug)]
pub struct Door {
    /// The loop's queue.
    pub requests: mpsc::Sender<Request>,
    /// The logs, which are read without the loop.
    pub logs: Arc<Logs>,
    /// What happened, which is read without the loop.
    pub events: Arc<Events>,
    /// Where to look for what is wrong.
    pub places: doctor::Places,
    /// The folder of the usage records, which are read without the loop.
    pub records: PathBuf,
    /// Where the kernel's counters of the links are.
    pub paths: Paths,
}

/// All routes: one for each [`Operation`].
pub fn routes(door: Door) -> Router {
    Operation::ALL
        .into_iter()
        .fold(Router::new(), |router, operation| {
            let (_, path) = operation.route();
            let check = from_fn(move |request, next| guard::options(operation, request, next));
            router.route(path, handler(operation).route_layer(check))
        })
        .fallback(async || {
            let text = "no such path; GET /v1/openapi.json tells which there are";
            Fault::Unknown(text.to_owned())
        })
        .method_not_allowed_fallback(async || {
            Fault::Method(
                "this path takes another method; GET reads, POST changes, DELETE removes"
                    .to_owned(),
            )
        })
        .layer(from_fn(guard::guard))
        .with_state(door)
}

/// Who answers an operation.
fn handler(operation: Operation) -> MethodRouter<Door> {
    match operation {
        Operation::Status => get(status),
        Operation::Services => get(services),
        Operation::Service => get(service),
        Operation::Logs => get(logs),
        Operation::Act => post(act),
        Operation::Ranking => get(ranking),
        Operation::Rank => post(rank),
        Operation::Top => get(top::top),
        Operation::Doctor => get(doctor::doctor),
        Operation::Events => get(stream::events),
        Operation::Forwards => get(forwards),
        Operation::AddForward => post(add_forward),
        Operation::RemoveForward => delete(remove_forward),
        Operation::Usage => get(records::all),
        Operation::OpenUsage => get(records::open),
        Operation::UsageKey => get(records::key),
        Operation::Net => get(net::net),
        Operation::Sessions => get(net::sessions),
        Operation::Trace => get(trace::trace),
        Operation::System => post(system),
        Operation::OpenApi => get(document),
    }
}

/// The OpenAPI document.
async fn document() -> Response {
    let kind = [(header::CONTENT_TYPE, "application/json")];
    (kind, include_str!("../../../model/openapi.json")).into_response()
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let (status, error) = self.parts();
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, Json(error)).into_response()
    }
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        match self {
            Reply::Status(status) => Json(status).into_response(),
            Reply::Services(services) => Json(services).into_response(),
            Reply::Service(service) => Json(service).into_response(),
            Reply::Forwards(forwards) => Json(forwards).into_response(),
            Reply::Forward(forward) => Json(forward).into_response(),
            Reply::Plan(plan) => Json(plan).into_response(),
            Reply::Ranking(rows) => Json(rows).into_response(),
            Reply::OpenUsage(usage) => Json(usage).into_response(),
            // Asked by routes that make another answer of them.
            Reply::Network(_) | Reply::Seen(_) => net::confused().into_response(),
            Reply::Done(done) => (StatusCode::ACCEPTED, Json(done)).into_response(),
        }
    }
}

impl Door {
    /// Asks the loop.
    pub(super) async fn ask(&self, ask: Ask) -> Result<Reply, Fault> {
        let (reply, answer) = oneshot::channel();
        let going = || Fault::Busy("the manager is going down; try again in a second".to_owned());
        self.requests
            .send(Request { ask, reply })
            .await
            .map_err(|_| going())?;
        answer.await.map_err(|_| going())?
    }
}

async fn status(State(door): State<Door>) -> Result<Reply, Fault> {
    door.ask(Ask::Status).await
}

async fn services(State(door): State<Door>) -> Result<Reply, Fault> {
    door.ask(Ask::Services).await
}

async fn service(State(door): State<Door>, Path(name): Path<String>) -> Result<Reply, Fault> {
    door.ask(Ask::Service(name)).await
}

async fn act(
    State(door): State<Door>,
    Path((name, verb)): Path<(String, String)>,
    Query(options): Query<BTreeMap<String, String>>,
) -> Result<Reply, Fault> {
    let dry_run = flag(&options, "dry_run")?;
    let verb = match (verb.as_str(), flag(&options, "make_room")?) {
        ("start", _) if dry_run => return door.ask(Ask::Plan(name)).await,
        (_, _) if dry_run => {
            let text = "only a start can be tried without doing it (dry_run)";
            return Err(Fault::Arguments(text.to_owned()));
        }
        ("start", true) => Verb::StartWithRoom,
        ("start", false) => Verb::Start,
        ("stop" | "restart", true) => {
            let text = "only a start can make room (make_room)";
            return Err(Fault::Arguments(text.to_owned()));
        }
        ("stop", false) => Verb::Stop,
        ("restart", false) => Verb::Restart,
        (_, _) => {
            return Err(Fault::Unknown(
                "a service can start, stop and restart".to_owned(),
            ));
        }
    };
    door.ask(Ask::Act(name, verb)).await
}

async fn forwards(State(door): State<Door>) -> Result<Reply, Fault> {
    door.ask(Ask::Forwards).await
}

fn wan_ports(transport: &str, ports: &str) -> Result<WanPorts, Fault> {
    WanPorts::parse(transport, ports).map_err(|e| {
        let (transport, ports) = (trace::shown(transport), trace::shown(ports));
        Fault::Arguments(format!("\"{transport} {ports}\": {e}"))
    })
}

/// `?to=` a host's address or a service's name, `&port=` the first of its ports.
async fn add_forward(
    State(door): State<Door>,
    Path((transport, ports)): Path<(String, String)>,
    Query(options): Query<BTreeMap<String, String>>,
) -> Result<Reply, Fault> {
    let ports = wan_ports(&transport, &ports)?;
    let mut to = None;
    let mut to_port = ports.first;
    for (name, value) in &options {
        match name.as_str() {
            "to" => to = Some(target(value)?),
            "port" => {
                let wrong = |_| Fault::Arguments("port is a number from 1 to 65535".to_owned());
                to_port = value.parse().map_err(wrong)?;
            }
            // There is no other (`guard`).
            _ => {}
        }
    }
    let to = to.ok_or_else(|| {
        Fault::Arguments("where to? ?to= a host's address or a service's name".to_owned())
    })?;
    door.ask(Ask::AddForward(Forward { ports, to, to_port }))
        .await
}

fn target(text: &str) -> Result<Target, Fault> {
    if let Ok(address) = text.parse() {
        return Ok(Target::Host(address));
    }
    let wrong = |_| {
        let text = "a forward leads to an IPv4 address of the home or to a service's name";
        Fault::Arguments(text.to_owned())
    };
    ServiceName::new(text).map(Target::Service).map_err(wrong)
}

async fn remove_forward(
    State(door): State<Door>,
    Path((transport, ports)): Path<(String, String)>,
) -> Result<Reply, Fault> {
    let ports = wan_ports(&transport, &ports)?;
    door.ask(Ask::RemoveForward(ports)).await
}

/// Whether an option of a request is set.
fn flag(options: &BTreeMap<String, String>, name: &str) -> Result<bool, Fault> {
    match options.get(name).map(String::as_str) {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(Fault::Arguments(format!("{name} is true or false"))),
    }
}

async fn ranking(State(door): State<Door>) -> Result<Reply, Fault> {
    door.ask(Ask::Ranking).await
}

async fn rank(
    State(door): State<Door>,
    Query(options): Query<BTreeMap<String, String>>,
) -> Result<Reply, Fault> {
    let order = options.get("order").ok_or_else(|| {
        Fault::Arguments("say who comes first, as in /v1/rank?order=video,backup".to_owned())
    })?;
    let names: Vec<String> = order
        .split(',')
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect();
    if let Some(twice) = first_twice(&names) {
        return Err(Fault::Arguments(format!(
            "\"{}\" is there twice; name each service once",
            trace::shown(twice)
        )));
    }
    door.ask(Ask::Rank(names)).await
}

/// The first name that has been there before.
fn first_twice(names: &[String]) -> Option<&String> {
    let mut seen = BTreeSet::new();
    names.iter().find(|name| !seen.insert(*name))
}

async fn system(State(door): State<Door>, Path(verb): Path<String>) -> Result<Reply, Fault> {
    let kind = match verb.as_str() {
        "poweroff" => ShutdownKind::PowerOff,
        "reboot" => ShutdownKind::Reboot,
        _ => {
            return Err(Fault::Unknown(
                "the gateway can poweroff and reboot".to_owned(),
            ));
        }
    };
    door.ask(Ask::System(kind)).await
}

async fn logs(
    State(door): State<Door>,
    Path(name): Path<String>,
    Query(options): Query<BTreeMap<String, String>>,
) -> Result<Response, Fault> {
    // The loop knows which names there are.
    let Reply::Service(service) = door.ask(Ask::Service(name)).await? else {
        return Err(Fault::Unknown("no such service".to_owned()));
    };
    let name = match service.kind {
        hearth_model::api::Kind::Service => ServiceName::new(&service.name).ok(),
        hearth_model::api::Kind::System => None,
    };
    let Some(name) = name else {
        let name = service.name;
        return Err(Fault::Impossible(format!(
            "{name} is a part of the gateway and writes to the kernel's log; see `dmesg`"
        )));
    };
    let body = match flag(&options, "follow")? {
        false => Body::from(door.logs.read(&name)),
        true => {
            let (so_far, follow) = door.logs.follow(&name).ok_or_else(|| {
                Fault::Busy("too many follow logs at once; end one and try again".to_owned())
            })?;
            Body::new(Lines::new(so_far, follow))
        }
    };
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], body).into_response())
}

/// A body that comes in pieces, for as long as somebody sends some.
pub(super) struct Lines(pub(super) mpsc::Receiver<Bytes>);

impl Lines {
    fn new(so_far: Vec<u8>, mut follow: Follow) -> Lines {
        let (sender, receiver) = mpsc::channel(1);
        tokio::spawn(async move {
            let _place = follow.place;
            let mut next = Bytes::from(so_far);
            loop {
                // The reader is gone where nothing can be sent.
                if !next.is_empty() && sender.send(next).await.is_err() {
                    return;
                }
                next = tokio::select! {
                    line = follow.lines.recv() => match line {
                        Ok(line) => line,
                        Err(RecvError::Lagged(count)) => {
                            Bytes::from(format!("hearth: {count} lines missed: reading is too slow\n"))
                        }
                        Err(RecvError::Closed) => return,
                    },
                    () = sender.closed() => return,
                };
            }
        });
        Lines(receiver)
    }
}

impl hyper::body::Body for Lines {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0
            .poll_recv(context)
            .map(|line| line.map(|line| Ok(Frame::data(line))))
    }
}

//! The API's route for events: a list, or a stream of server-sent events (WHATWG HTML, section 9.2) that a
//! reader takes up again where it broke off, by `Last-Event-ID`.

use super::api::{Door, Lines};
use super::book::Follow;
use super::events::{Events, parse};
use super::requests::Fault;
use crate::limits::EVENT_KEEP_ALIVE;
use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use hearth_model::api::Event;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// `GET /v1/events`
pub async fn events(
    State(door): State<Door>,
    Query(options): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
) -> Result<Response, Fault> {
    let after = after(&options, &headers)?;
    match options.get("follow").map(String::as_str) {
        None | Some("false") => Ok(Json(door.events.since(after)).into_response()),
        Some("true") => {
            let (kept, follow) = door.events.follow(after).ok_or_else(|| {
                Fault::Busy("too many follow the events; end one and try again".to_owned())
            })?;
            let (pieces, body) = mpsc::channel(1);
            tokio::spawn(send(door.events, kept, after, follow, pieces));
            let kind = (header::CONTENT_TYPE, "text/event-stream");
            let fresh = (header::CACHE_CONTROL, "no-store");
            Ok(([kind, fresh], Body::new(Lines(body))).into_response())
        }
        Some(_) => Err(Fault::Arguments("follow is true or false".to_owned())),
    }
}

/// The number of the last event that the reader has.
fn after(options: &BTreeMap<String, String>, headers: &HeaderMap) -> Result<u64, Fault> {
    let header = headers
        .get("last-event-id")
        .map(|value| value.to_str().unwrap_or("?"));
    let told = options.get("after").map(String::as_str).or(header);
    told.map_or(Ok(0), str::parse).map_err(|_| {
        Fault::Arguments("after (or Last-Event-ID) is the number of an event".to_owned())
    })
}

async fn send(
    events: Arc<Events>,
    kept: Vec<Event>,
    mut last: u64,
    mut follow: Follow,
    pieces: mpsc::Sender<Bytes>,
) {
    let _place = follow.place;
    let mut next = kept;
    loop {
        for event in next {
            // The reader is gone where nothing can be sent.
            if pieces.send(piece(&event)).await.is_err() {
                return;
            }
            last = event.id;
        }
        let heard = tokio::select! {
            heard = timeout(EVENT_KEEP_ALIVE, follow.lines.recv()) => heard,
            () = pieces.closed() => return,
        };
        next = match heard {
            Ok(Ok(line)) => parse(&line),
            // Read too slowly: what is kept has them.
            Ok(Err(RecvError::Lagged(_))) => events.since(last),
            Ok(Err(RecvError::Closed)) => return,
            // So that a reader that vanished is noticed.
            Err(_) => match pieces.send(Bytes::from_static(b":\n\n")).await {
                Ok(()) => Vec::new(),
                Err(_) => return,
            },
        };
        next.retain(|event| event.id > last);
    }
}

fn piece(event: &Event) -> Bytes {
    // Strings and numbers: this can not fail. JSON has no line breaks, so it is one `data` line.
    let data = serde_json::to_string(event).unwrap_or_default();
    Bytes::from(format!("id: {}\ndata: {data}\n\n", event.id))
}

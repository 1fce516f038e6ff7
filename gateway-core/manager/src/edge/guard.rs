//! What each request passes before a route sees it: who asks, how often, with which options, for how long. Every
//! error is an `ApiError`, the framework's own included.

use super::book::lock;
use super::paths::now;
use super::requests::Fault;
use super::server::Peer;
use super::trace::shown;
use crate::limits::{REQUEST_WAIT, REQUESTS_RATE};
use crate::machine::pace::Pace;
use axum::Extension;
use axum::body::HttpBody;
use axum::extract::{Query, Request};
use axum::http::{Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hearth_model::api::{Operation, WordKind};
use hearth_model::manifest::nearest;
use std::sync::{Arc, Mutex};
use tokio::time::timeout;

const JSON: &str = "application/json";

/// How often each user has asked, for all connections.
pub type Paces = Arc<Mutex<Pace>>;

/// Only root changes things, nobody sends a body, nobody asks too often, and every answer comes in time.
pub async fn guard(
    Extension(peer): Extension<Peer>,
    Extension(paces): Extension<Paces>,
    request: Request,
    next: Next,
) -> Response {
    let taken = lock(&paces).take(peer.uid, now());
    if taken.is_none() {
        let text = format!(
            "user {} asks too often (more than {REQUESTS_RATE} requests a second); ask again in a second",
            peer.uid
        );
        return Fault::Often(text).into_response();
    }
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    if !reads && !peer.may_change() {
        let text = "only the gateway's own root may change things; others may read".to_owned();
        return Fault::Forbidden(text).into_response();
    }
    if !request.body().is_end_stream() {
        let text = "no request of this API has a body; leave it out and write what you want after the ? \
                    (GET /v1/openapi.json lists the options)";
        return Fault::Body(text.to_owned()).into_response();
    }
    let Ok(response) = timeout(REQUEST_WAIT, next.run(request)).await else {
        let text = format!(
            "no answer within {} s; `hearth doctor` says what is wrong, then try again",
            REQUEST_WAIT.as_secs()
        );
        return Fault::Busy(text).into_response();
    };
    let status = response.status();
    let is_json = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind == JSON);
    if (status.is_client_error() || status.is_server_error()) && !is_json {
        return Fault::Arguments(format!(
            "the request makes no sense ({status}): its path or an option is no text in UTF-8; \
             GET /v1/openapi.json says how it is written"
        ))
        .into_response();
    }
    response
}

/// Options that an operation does not have are an error, as is one that is said twice or is neither true nor false where it must be.
pub async fn options(operation: Operation, request: Request, next: Next) -> Response {
    let wrong = match Query::<Vec<(String, String)>>::try_from_uri(request.uri()) {
        Ok(Query(given)) => unfit(operation, &given),
        Err(_) => Some(
            "the options after the ? can not be read; write them as name=value&name=value"
                .to_owned(),
        ),
    };
    match wrong {
        Some(text) => Fault::Arguments(text).into_response(),
        None => next.run(request).await,
    }
}

/// What is wrong with options, if something is.
fn unfit(operation: Operation, given: &[(String, String)]) -> Option<String> {
    let known = operation.options();
    for (at, (name, value)) in given.iter().enumerate() {
        let Some(word) = known.iter().find(|word| word.name == name) else {
            let (method, path) = operation.route();
            let names: Vec<&str> = known.iter().map(|word| word.name).collect();
            let remedy = match (nearest(name, names.iter().copied()), names.is_empty()) {
                (Some(near), _) => format!("did you mean {near}?"),
                (None, true) => "it has none; leave it out".to_owned(),
                (None, false) => format!("it has {}", names.join(", ")),
            };
            return Some(format!(
                "{} {path} has no option \"{}\"; {remedy}",
                method.name(),
                shown(name)
            ));
        };
        if given.iter().take(at).any(|(other, _)| other == name) {
            return Some(format!("the option {name} is there twice; say it once"));
        }
        // What else a value may be, its route says best.
        if word.kind == WordKind::Flag && !matches!(value.as_str(), "true" | "false") {
            return Some(format!("{name} is true or false, not \"{}\"", shown(value)));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_unfit_option_is_named_with_its_remedy() {
        let said = |operation, text: &str| {
            let given: Vec<(String, String)> = text
                .split('&')
                .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect();
            unfit(operation, &given)
        };
        for (operation, text, words) in [
            (Operation::Net, "rtes=false", "did you mean rates?"),
            (
                Operation::Status,
                "all=1",
                "has no option \"all\"; it has none",
            ),
            (
                Operation::Net,
                "rates=maybe",
                "rates is true or false, not \"maybe\"",
            ),
            (Operation::Net, "rates=true&rates=true", "twice"),
        ] {
            let told = said(operation, text).unwrap_or_default();
            assert!(told.contains(words), "{text}: {told}");
        }
        assert_eq!(said(Operation::Net, "rates=false"), None);
        assert_eq!(said(Operation::Rank, "order="), None);
    }
}

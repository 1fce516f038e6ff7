//! The routes, and the headers that every answer carries.

use crate::answers::Answers;
use crate::guard::is_of_the_home;
use crate::html::Html;
use crate::server::Places;
use crate::{metrics, page};
use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, REFERRER_POLICY, RETRY_AFTER,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::sync::Arc;

/// What a route needs.
#[derive(Debug)]
pub struct Door {
    /// The manager's answers.
    pub answers: Answers,
    /// The console's own connections, for its metrics.
    pub places: Arc<Places>,
}

/// Carried by every answer. Nothing but this server's own style sheet is loaded, nothing runs
/// (Content Security Policy Level 3), and no other site may show or read it.
const EVERYWHERE: [(HeaderName, &str); 5] = [
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'",
    ),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "no-referrer"),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
];

const PLAIN: &str = "text/plain; charset=utf-8";

/// All routes. GET (and HEAD, RFC 9110 9.3.2) is all there is.
pub fn routes(door: Arc<Door>) -> Router {
    Router::new()
        .route("/", get(home))
        .route("/metrics", get(scrape))
        .route("/healthz", get(async || plain(StatusCode::OK, "ok\n")))
        .route("/style.css", get(style))
        .fallback(async || {
            let page = page::failure("There is no such page", "Go to the gateway's first page.");
            html(StatusCode::NOT_FOUND, page)
        })
        .method_not_allowed_fallback(async || {
            plain(
                StatusCode::METHOD_NOT_ALLOWED,
                "This console only shows; use GET. To change something, type 'hearth help' on the \
                 gateway's serial console.\n",
            )
        })
        .layer(from_fn(guard))
        .with_state(door)
}

async fn guard(request: Request, next: Next) -> Response {
    let mut response = if is_meant_for_us(request.headers()) {
        next.run(request).await
    } else {
        plain(
            StatusCode::MISDIRECTED_REQUEST,
            "This console is only for the home: open it by the gateway's address or its name in \
             the home, gateway.lan.\n",
        )
    };
    for (name, value) in EVERYWHERE {
        let value = HeaderValue::from_static(value);
        response.headers_mut().insert(name, value);
    }
    let fresh = HeaderValue::from_static("no-store");
    response.headers_mut().entry(CACHE_CONTROL).or_insert(fresh);
    response
}

/// Without the header it is no browser (HTTP/1.0), and no other site's name is in it.
fn is_meant_for_us(headers: &HeaderMap) -> bool {
    headers
        .get_all(HOST)
        .iter()
        .all(|host| host.to_str().is_ok_and(is_of_the_home))
}

async fn home(State(door): State<Arc<Door>>) -> Response {
    let (status, net) = tokio::join!(door.answers.status(), door.answers.network_now());
    match status {
        Ok(status) => html(StatusCode::OK, page::status(&status, net.as_deref())),
        Err(why) => waiting(html(StatusCode::SERVICE_UNAVAILABLE, page::silent(&why))),
    }
}

async fn scrape(State(door): State<Arc<Door>>) -> Response {
    match door.answers.status().await {
        Ok(status) => {
            let kind = [(CONTENT_TYPE, metrics::CONTENT_TYPE)];
            let network = door.answers.network().await;
            let text = metrics::text(&status, network.as_deref(), door.places.refused());
            (kind, text).into_response()
        }
        Err(why) => waiting(plain(StatusCode::SERVICE_UNAVAILABLE, &format!("{why}\n"))),
    }
}

async fn style() -> Response {
    let head = [
        (CONTENT_TYPE, "text/css; charset=utf-8"),
        (CACHE_CONTROL, "max-age=3600"),
    ];
    (head, include_str!("style.css")).into_response()
}

fn html(code: StatusCode, page: Html) -> Response {
    let kind = [(CONTENT_TYPE, "text/html; charset=utf-8")];
    (code, kind, page.into_string()).into_response()
}

fn plain(code: StatusCode, text: &str) -> Response {
    (code, [(CONTENT_TYPE, PLAIN)], text.to_owned()).into_response()
}

fn waiting(mut response: Response) -> Response {
    let seconds = HeaderValue::from_static("10");
    response.headers_mut().insert(RETRY_AFTER, seconds);
    response
}

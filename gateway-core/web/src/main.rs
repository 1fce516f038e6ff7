//! `hearth-web`: the household's console and its metrics, on the LAN.
//!
//! It is a service like any other: unprivileged, in its sandbox, with the grant `api` and nothing
//! else. It only reads: `GET /` is the status page, `GET /metrics` the same as Prometheus text,
//! `GET /healthz` tells that this program serves. What it refuses to do: keep state, change
//! anything, follow a link to anywhere.
//!
//! [`html`], [`page`] and [`metrics`] are pure: a status in, a text out. [`answers`] asks the
//! manager, [`routes`] is the HTTP, [`server`] takes connections.
#![forbid(unsafe_code)]

mod answers;
mod guard;
mod html;
mod limits;
mod metrics;
mod page;
mod routes;
mod server;

use answers::Answers;
use hearth_client::client::Api;
use routes::Door;
use server::Places;
use std::io;
use std::net::Ipv4Addr;
use std::process::ExitCode;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

const USAGE: &str = "usage: hearth-web [--port N]   (the API's socket: the variable HEARTH_API)";

fn main() -> ExitCode {
    let port = match port_of(std::env::args().skip(1)) {
        Ok(port) => port,
        Err(text) => {
            eprintln!("error hearth-web: {text}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let done = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .and_then(|runtime| runtime.block_on(run(port)));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!(
                "error hearth-web: could not serve on port {port}: {e}; another program may have \
                 the port, or the sandbox lacks the policy network-server"
            );
            ExitCode::FAILURE
        }
    }
}

/// Serves until it is told to end. As process 1 of its pid namespace it must handle the signal: the
/// kernel gives it no default effect there (pid_namespaces(7)).
async fn run(port: u16) -> io::Result<()> {
    let mut end = signal(SignalKind::terminate())?;
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await?;
    let api = Api::from_env();
    eprintln!(
        "info hearth-web: listens on {} and asks {}",
        listener.local_addr()?,
        api.socket().display()
    );
    let places = Arc::new(Places::default());
    let router = routes::routes(Arc::new(Door {
        answers: Answers::new(api),
        places: Arc::clone(&places),
    }));
    tokio::select! {
        () = server::serve(listener, router, places) => {}
        _ = end.recv() => eprintln!("info hearth-web: ends as asked"),
    }
    Ok(())
}

/// The port that the arguments name.
fn port_of(mut arguments: impl Iterator<Item = String>) -> Result<u16, String> {
    let mut port = limits::PORT;
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--port" => {
                let text = arguments.next().unwrap_or_default();
                port = text
                    .parse()
                    .map_err(|_| format!("--port takes a number of 0 to 65535, not {text:?}"))?;
            }
            other => return Err(format!("unknown argument {other:?}")),
        }
    }
    Ok(port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_few_and_checked() {
        let port = |words: &[&str]| port_of(words.iter().map(ToString::to_string));
        assert_eq!(port(&[]), Ok(80));
        assert_eq!(port(&["--port", "8000"]), Ok(8000));
        assert!(port(&["--port"]).is_err());
        assert!(port(&["--port", "70000"]).is_err());
        assert!(port(&["--prot", "80"]).is_err());
    }
}

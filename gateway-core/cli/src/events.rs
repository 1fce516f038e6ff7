//! `hearth events`: what happened, and with `-f` what happens, over a restart of the manager too.

use crate::args::Format;
use crate::console::{complain, print};
use crate::run::{Trouble, show};
use hearth_client::client::{Api, Failure};
use hearth_client::limits::{LOG_LINE_MAX, RECONNECT_PAUSE};
use hearth_client::render;
use hearth_model::api::Event;
use tokio::time::sleep;

/// Carries it out.
pub(crate) async fn events(api: &Api, format: &Format, follow: bool) -> Result<(), Trouble> {
    if !follow {
        let answer = api.get("/v1/events").await?;
        return show(format, &answer, |list: Vec<Event>| {
            list.iter().map(render::event).collect()
        });
    }
    let mut last = 0;
    // Whoever can not reach it at all is told so; who could once waits until it is back.
    let mut stream = api.stream(&path(last)).await?;
    loop {
        let mut rest = Vec::new();
        let end = loop {
            match stream.next().await {
                Ok(Some(piece)) => rest.extend_from_slice(&piece),
                Ok(None) => break None,
                Err(failure) => break Some(failure),
            }
            while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = rest.drain(..=end).collect();
                last = take(&line, format)?.unwrap_or(last);
            }
            // No event is as long.
            rest.truncate(LOG_LINE_MAX);
        };
        let why = end.map_or_else(|| "it ended".to_owned(), |failure| failure.to_string());
        complain(&format!("the events broke off ({why}); waiting for more"));
        stream = loop {
            sleep(RECONNECT_PAUSE).await;
            match api.stream(&path(last)).await {
                Ok(stream) => break stream,
                Err(Failure::Silent { .. }) => {}
                Err(failure) => return Err(failure.into()),
            }
        };
    }
}

fn path(after: u64) -> String {
    format!("/v1/events?follow=true&after={after}")
}

/// Prints one line of the stream, if it holds an event; its number.
fn take(line: &[u8], format: &Format) -> Result<Option<u64>, Trouble> {
    let Some(data) = line.strip_prefix(b"data: ") else {
        return Ok(None);
    };
    let Ok(event) = serde_json::from_slice::<Event>(data) else {
        return Err(Trouble::Failed(
            "the gateway told an event that makes no sense; install matching firmware".to_owned(),
        ));
    };
    if format.json {
        print(data)?;
    } else {
        print(render::event(&event).as_bytes())?;
    }
    Ok(Some(event.id))
}

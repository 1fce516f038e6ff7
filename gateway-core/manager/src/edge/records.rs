//! The API's routes for usage records. They read what is on disk, piece by piece, without the loop.

use super::api::{Door, Lines};
use super::journal;
use super::paths::{could_not, reason};
use super::requests::{Ask, Fault, Reply};
use crate::limits::USAGE_READ_MAX;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use tokio::sync::mpsc;

const TEXT: (header::HeaderName, &str) = (header::CONTENT_TYPE, "text/plain; charset=utf-8");

/// The open hour.
pub async fn open(State(door): State<Door>) -> Result<Reply, Fault> {
    door.ask(Ask::OpenUsage).await
}

/// The public key.
pub async fn key(State(door): State<Door>) -> Result<Response, Fault> {
    let pem = journal::public_key(&door.records).map_err(|e| none(&door.records, &e))?;
    Ok(([TEXT], pem).into_response())
}

/// Every record, then the head that says which is the last.
pub async fn all(State(door): State<Door>) -> Result<Response, Fault> {
    // First the head: what is written from now on is behind it, and is left out.
    let head = journal::head_line(&door.records).map_err(|e| none(&door.records, &e))?;
    let sizes: io::Result<Vec<(PathBuf, u64)>> = journal::files(&door.records)
        .into_iter()
        .map(|(_, file)| Ok((file.clone(), file.metadata()?.len())))
        .collect();
    let sizes = sizes.map_err(|e| none(&door.records, &e))?;
    let (pieces, body) = mpsc::channel(1);
    tokio::spawn(async move {
        for (file, size) in sizes {
            if let Err(e) = send(&pieces, &file, size).await {
                // The answer then ends without its head, which whoever reads it can see.
                log::warn!("{}", could_not("read", &file, &e));
                return;
            }
        }
        let _gone = pieces.send(Bytes::from(head)).await;
    });
    Ok(([TEXT], Body::new(Lines(body))).into_response())
}

/// Sends the first `size` bytes of a file.
async fn send(pieces: &mpsc::Sender<Bytes>, file: &Path, size: u64) -> io::Result<()> {
    let mut file = File::open(file)?.take(size);
    loop {
        let mut piece = vec![0; USAGE_READ_MAX];
        let count = file.read(&mut piece)?;
        piece.truncate(count);
        // Nobody reads any more: not an error of the file.
        if count == 0 || pieces.send(Bytes::from(piece)).await.is_err() {
            return Ok(());
        }
    }
}

fn none(folder: &Path, error: &io::Error) -> Fault {
    Fault::Impossible(format!(
        "there are no usage records in {}: {}; `hearth status` says what is wrong",
        folder.display(),
        reason(error)
    ))
}

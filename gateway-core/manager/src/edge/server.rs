//! The API's socket: HTTP/1.1 with bounded heads, bounded connections for each user, and the user's
//! id beside each request. What is served is `api.rs`.

use super::guard::Paces;
use super::paths::{Paths, could_not};
use super::requests::Fault;
use super::retell::Retold;
use crate::limits::{
    CONNECTIONS_MAX, CONNECTIONS_OTHERS_MAX, CONNECTIONS_USER_MAX, HEAD_MAX, HEAD_WAIT, HEADERS_MAX,
};
use axum::Router;
use hearth_model::api;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::{UnixListener, UnixStream};

/// Who asks, by `SO_PEERCRED` (unix(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// User id, as the gateway's own user namespace has it.
    pub uid: u32,
}

impl Peer {
    /// Whether this one may change things: only the gateway's own root. A service's root is
    /// another user outside of its user namespace.
    #[must_use]
    pub fn may_change(self) -> bool {
        self.uid == 0
    }
}

/// Opens the socket where everyone may connect. It replaces an earlier manager's in one step, in a
/// folder that services have bound; [`api::SOCKET`] is a link to it.
///
/// # Errors
/// A sentence that names the file and the reason.
pub fn listen(paths: &Paths) -> Result<UnixListener, String> {
    let folder = paths.api();
    let (socket, new) = (folder.join("api.sock"), folder.join("api.sock.new"));
    let open = || -> io::Result<UnixListener> {
        fs::create_dir_all(&folder)?;
        fs::set_permissions(&folder, Permissions::from_mode(0o755))?;
        remove(&new)?;
        let listener = UnixListener::bind(&new)?;
        fs::set_permissions(&new, Permissions::from_mode(0o666))?;
        fs::rename(&new, &socket)?;
        let link = paths.at(api::SOCKET);
        remove(&link)?;
        symlink("api/api.sock", &link)?;
        Ok(listener)
    };
    open().map_err(|e| could_not("open the API at", &socket, &e))
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Connections by user.
#[derive(Debug, Default)]
struct Places(BTreeMap<u32, usize>);

impl Places {
    /// Takes a place for a user, if there is one.
    fn take(&mut self, peer: Peer) -> Option<()> {
        let all: usize = self.0.values().sum();
        let others: usize = self
            .0
            .iter()
            .filter(|&(&uid, _)| uid != 0)
            .map(|(_, n)| n)
            .sum();
        let own = self.0.entry(peer.uid).or_default();
        let free = all < CONNECTIONS_MAX
            && (peer.uid == 0 || (others < CONNECTIONS_OTHERS_MAX && *own < CONNECTIONS_USER_MAX));
        if free {
            *own += 1;
        }
        self.0.retain(|_, count| *count > 0);
        free.then_some(())
    }

    fn give_back(&mut self, peer: Peer) {
        if let Some(own) = self.0.get_mut(&peer.uid) {
            *own = own.saturating_sub(1);
        }
        self.0.retain(|_, count| *count > 0);
    }
}

/// Serves for ever.
pub async fn serve(listener: UnixListener, router: Router) {
    let places = Arc::new(Mutex::new(Places::default()));
    let router = router.layer(axum::Extension(Paces::default()));
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(e) => {
                // Out of descriptors, most likely: others give theirs back meanwhile.
                log::warn!("a connection to the API could not be taken: {e}");
                tokio::time::sleep(core::time::Duration::from_millis(100)).await;
                continue;
            }
        };
        let Ok(credentials) = stream.peer_cred() else {
            continue;
        };
        let peer = Peer {
            uid: credentials.uid(),
        };
        let taken = places
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take(peer);
        match taken {
            Some(()) => {
                let (router, places) = (router.clone(), Arc::clone(&places));
                tokio::spawn(async move {
                    converse(stream, router.layer(axum::Extension(peer))).await;
                    places
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .give_back(peer);
                });
            }
            None => turn_away(&stream),
        }
    }
}

async fn converse(stream: UnixStream, router: Router) {
    let service = TowerToHyperService::new(router);
    let ended = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WAIT)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEAD_MAX)
        .serve_connection(Retold::new(TokioIo::new(stream)), service)
        .await;
    if let Err(e) = ended {
        // Whoever asked broke off or made no sense; hyper has answered what can be answered.
        log::debug!("a conversation with the API ended: {e}");
    }
}

/// Answers without a place, and without waiting.
fn turn_away(stream: &UnixStream) {
    let text = format!(
        "too many connections to the gateway at once (at most {CONNECTIONS_USER_MAX} for each \
         user); close some and try again"
    );
    let (_, error) = Fault::Busy(text).parts();
    let Ok(body) = serde_json::to_string(&error) else {
        return;
    };
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    // An empty socket buffer takes it whole; who does not read it misses only an error.
    let _sent = stream.try_write(answer.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_finds_a_place_however_many_others_ask() {
        let mut places = Places::default();
        // given services that take all they can get
        let mut taken = 0;
        for uid in 1..=100 {
            taken += (0..100).filter_map(|_| places.take(Peer { uid })).count();
        }
        // then each has its share and root has the rest
        assert_eq!(taken, CONNECTIONS_OTHERS_MAX);
        assert_eq!(places.0.get(&1), Some(&CONNECTIONS_USER_MAX));
        let root = Peer { uid: 0 };
        let left = (0..100).filter_map(|_| places.take(root)).count();
        assert_eq!(left, CONNECTIONS_MAX - CONNECTIONS_OTHERS_MAX);
        // and a place that is given back can be taken again
        places.give_back(root);
        assert_eq!(places.take(root), Some(()));
    }
}

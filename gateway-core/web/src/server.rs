//! Connections: bounded in number (also for each address), in the size of a head and in time; one
//! request each, so that nobody holds a place by doing nothing.

use crate::limits::{
    ACCEPT_PAUSE, CONNECTIONS_CLIENT_MAX, CONNECTIONS_MAX, CONVERSATION_MAX, HEAD_MAX, HEAD_WAIT,
    HEADERS_MAX,
};
use axum::Router;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

const TURNED_AWAY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain\r\n\
    content-length: 71\r\nretry-after: 5\r\nconnection: close\r\n\r\n\
    Too many at once look at this page; close some or try again in seconds\n";

/// Conversations now by address, and how many were refused since the start.
#[derive(Debug, Default)]
pub struct Places(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    taken: BTreeMap<IpAddr, usize>,
    refused: u64,
}

impl Table {
    fn take(&mut self, client: IpAddr) -> bool {
        let all: usize = self.taken.values().sum();
        let own = self.taken.get(&client).copied().unwrap_or(0);
        let free = all < CONNECTIONS_MAX && own < CONNECTIONS_CLIENT_MAX;
        if free {
            self.taken.insert(client, own + 1);
        } else {
            self.refused += 1;
        }
        free
    }

    fn give_back(&mut self, client: IpAddr) {
        match self.taken.get_mut(&client) {
            Some(own) if *own > 1 => *own -= 1,
            Some(_) => {
                self.taken.remove(&client);
            }
            None => {}
        }
    }
}

impl Places {
    /// Connections refused since the start.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.with(|table| table.refused)
    }

    fn take(self: &Arc<Places>, client: IpAddr) -> Option<Place> {
        self.with(|table| table.take(client)).then(|| Place {
            places: Arc::clone(self),
            client,
        })
    }

    fn with<T>(&self, work: impl FnOnce(&mut Table) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A place; dropped, it is given back.
struct Place {
    places: Arc<Places>,
    client: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.with(|table| table.give_back(self.client));
    }
}

/// Serves for ever.
pub async fn serve(listener: TcpListener, router: Router, places: Arc<Places>) {
    loop {
        match listener.accept().await {
            Ok((stream, from)) => match places.take(from.ip()) {
                Some(place) => {
                    let router = router.clone();
                    tokio::spawn(async move {
                        converse(stream, router).await;
                        drop(place);
                    });
                }
                // An empty socket buffer takes it whole; who does not read it misses only an error.
                None => drop(stream.try_write(TURNED_AWAY)),
            },
            Err(e) => {
                eprintln!("warn hearth-web: a connection could not be taken: {e}");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn converse(stream: TcpStream, router: Router) {
    let conversation = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WAIT)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEAD_MAX)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    // Whoever asked broke off, made no sense or was too slow: hyper has answered what can be
    // answered, and a line in the log for each would be the stranger's to write.
    drop(timeout(CONVERSATION_MAX, conversation).await);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_can_not_take_every_place() {
        let address = |n: u8| IpAddr::from([192, 168, 1, n]);
        let places = Arc::new(Places::default());
        // given a device that takes all it can get
        let mut taken: Vec<_> = (0..100).filter_map(|_| places.take(address(1))).collect();
        // then it has its share, the rest is counted, and another device finds a place
        assert_eq!(taken.len(), CONNECTIONS_CLIENT_MAX);
        assert_eq!(places.refused(), 100 - CONNECTIONS_CLIENT_MAX as u64);
        assert!(places.take(address(2)).is_some());
        // and all devices together have no more than there are
        let others = (2..100).filter_map(|n| places.take(address(n)));
        taken.extend(others);
        assert_eq!(taken.len(), CONNECTIONS_MAX);
        // and a place that is given back can be taken again
        taken.pop();
        assert!(places.take(address(200)).is_some());
        drop(taken);
        assert_eq!(places.with(|table| table.taken.len()), 0);
    }

    #[test]
    fn who_is_turned_away_reads_a_whole_answer() {
        let text = core::str::from_utf8(TURNED_AWAY).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}\r\n", body.len())));
    }
}

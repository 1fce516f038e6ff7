//! HTTP over the API's socket, as root or as somebody else.

use super::Gateway;
use serde_json::Value;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// Status and body of an answer.
pub type Answer = (u16, String);

/// One request on a connection of its own.
pub fn request(gateway: &Gateway, method: &str, path: &str) -> Answer {
    let head = format!("{method} {path} HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n\r\n");
    raw(gateway, &head).unwrap()
}

/// Sends these bytes and reads to the end.
pub fn raw(gateway: &Gateway, bytes: &str) -> std::io::Result<Answer> {
    let mut stream = UnixStream::connect(gateway.path("run/hearth/api.sock"))?;
    stream.set_read_timeout(Some(super::SOON))?;
    stream.write_all(bytes.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let status = answer
        .split(' ')
        .nth(1)
        .and_then(|word| word.parse().ok())
        .unwrap_or(0);
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    Ok((status, body.to_owned()))
}

pub fn json(gateway: &Gateway, method: &str, path: &str) -> (u16, Value) {
    let (status, body) = request(gateway, method, path);
    let value = serde_json::from_str(&body).unwrap_or_else(|e| panic!("{path}: {e}: {body}"));
    (status, value)
}

/// A GET, where anybody answers.
pub fn try_get(gateway: &Gateway, path: &str) -> Option<Value> {
    let head = format!("GET {path} HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n\r\n");
    let (status, body) = raw(gateway, &head).ok()?;
    (status == 200).then(|| serde_json::from_str(&body).unwrap())
}

/// A request by another user: the credentials of a connection are those of the thread that makes it.
pub fn request_as(gateway: &Gateway, uid: u32, method: &str, path: &str) -> Answer {
    as_user(uid, || request(gateway, method, path))
}

/// A log or the events that are followed: `wait_for` reads until the text has come.
pub struct Follower {
    stream: UnixStream,
    got: String,
}

impl Follower {
    pub fn new(gateway: &Gateway, name: &str) -> Follower {
        Follower::at(
            gateway,
            &format!("/v1/services/{name}/logs?follow=true"),
            "",
        )
    }

    /// With one more header line, if it is not empty.
    pub fn at(gateway: &Gateway, path: &str, header: &str) -> Follower {
        let mut stream = UnixStream::connect(gateway.path("run/hearth/api.sock")).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        let head = format!("GET {path} HTTP/1.1\r\nhost: g\r\n{header}\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        Follower {
            stream,
            got: String::new(),
        }
    }

    pub fn got(&self) -> &str {
        &self.got
    }

    pub fn wait_for(&mut self, text: &str) {
        let mut buffer = [0; 4096];
        while !self.got.contains(text) {
            let count = self.stream.read(&mut buffer).unwrap();
            assert!(count > 0, "ended before {text:?}: {}", self.got);
            self.got
                .push_str(&String::from_utf8_lossy(&buffer[..count]));
        }
    }
}

/// Runs this as another user.
pub fn as_user<T: Send>(uid: u32, work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let work = || {
            // SAFETY: setresuid(2) as a bare call changes this thread only and takes no pointer.
            let changed = unsafe { libc::syscall(libc::SYS_setresuid, -1, uid, -1) };
            assert_eq!(changed, 0);
            work()
        };
        scope.spawn(work).join().unwrap()
    })
}

/// All that a request could change: what is kept on disk, what is asked of PID 1 and netpath, and what the API
/// tells of services, without what changes by itself.
pub fn state(gateway: &Gateway) -> Value {
    let steady = |mut row: Value| {
        if let Some(row) = row.as_object_mut() {
            row.remove("since_seconds");
        }
        row
    };
    let get = |path: &str| try_get(gateway, path).unwrap();
    let services: Vec<Value> = get("/v1/services")
        .as_array()
        .unwrap()
        .iter()
        .cloned()
        .map(steady)
        .collect();
    let mut files = Vec::new();
    if let Ok(folder) = std::fs::read_dir(gateway.path("data/hearth/state")) {
        for entry in folder.flatten() {
            let text = std::fs::read_to_string(entry.path()).unwrap_or_default();
            files.push((entry.file_name().into_string().unwrap(), text));
        }
    }
    files.sort();
    let asked = gateway.init.with(|table| table.asked.clone());
    serde_json::json!({
        "services": services,
        "rank": get("/v1/rank"),
        "forwards": get("/v1/forwards"),
        "files": files,
        "asked": asked,
    })
}

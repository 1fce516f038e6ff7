//! The API as a whole: its document is that of its routes and types, each route keeps to the roles, and nobody
//! takes more than his part of the manager's time and places.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::multiple_unsafe_ops_per_block,
    dead_code // this file uses a part of what the tests share
)]

mod support;

use hearth_model::api::{Operation, WordKind, openapi};
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};
use support::http::{as_user, json, request, request_as, state};
use support::{Gateway, SOON, WITH_PORT};

/// Somebody who is not root.
const SOMEBODY: u32 = 1000;

/// A gateway on which `web` runs.
fn gateway() -> Gateway {
    let mut gateway = Gateway::new();
    gateway.install("web", WITH_PORT);
    gateway.start_net();
    gateway.boot();
    gateway.wait_for("web", "Active");
    gateway
}

/// A request of an operation that makes sense.
fn sample(operation: Operation) -> String {
    let value = |name: &str, kind: WordKind| match (name, kind) {
        ("name" | "order" | "service", _) => "web",
        ("ports", _) => "8022",
        ("to" | "source" | "host", _) => "192.168.1.50",
        ("destination", _) => "198.51.100.1",
        (_, WordKind::OneOf(words)) => words[0],
        (_, WordKind::Flag) => "false",
        (_, WordKind::Number | WordKind::Text) => "80",
    };
    let mut path = operation.route().1.to_owned();
    for word in operation.path_words() {
        path = path.replace(&format!("{{{}}}", word.name), value(word.name, word.kind));
    }
    let options = operation.options().iter().filter(|word| word.required);
    let mut options: Vec<String> = options
        .map(|word| format!("{}={}", word.name, value(word.name, word.kind)))
        .collect();
    if operation == Operation::Trace {
        // What has ports needs one.
        options.push("port=80".to_owned());
    }
    match options.is_empty() {
        true => path,
        false => format!("{path}?{}", options.join("&")),
    }
}

#[test]
fn the_document_is_made_from_what_there_is_and_is_served() {
    let written = include_str!("../../model/openapi.json");
    assert!(
        written == openapi::text(),
        "gateway-core/model/openapi.json is stale: cargo run -p hearth-model --features openapi \
         --example openapi > gateway-core/model/openapi.json"
    );
    // given a running manager, when somebody asks for it
    let gateway = gateway();
    let (status, body) = request_as(&gateway, SOMEBODY, "GET", "/v1/openapi.json");
    assert_eq!((status, body.as_str()), (200, written));
    // then each operation is in it
    let document: serde_json::Value = serde_json::from_str(&body).unwrap();
    for operation in Operation::ALL {
        let (method, path) = operation.route();
        let told = &document["paths"][path][method.name().to_lowercase()];
        assert_eq!(told["operationId"], format!("{operation:?}"), "{path}");
    }
}

#[test]
fn every_route_keeps_to_the_roles() {
    let gateway = gateway();
    let before = state(&gateway);
    let mut uid = SOMEBODY;
    let mut somebody = |method: &str, path: &str| {
        // A new one each time: nobody is to be refused for his pace.
        uid += 1;
        request_as(&gateway, uid, method, path)
    };
    for operation in Operation::ALL {
        let (method, route) = operation.route();
        let path = sample(operation);
        // given somebody who is not root, when he asks as the operation is meant
        let (status, body) = somebody(method.name(), &path);
        // then he reads, and changes nothing
        match operation.reads() {
            true => assert_ne!(status, 403, "{method:?} {path}: {body}"),
            false => {
                assert_eq!(status, 403, "{method:?} {path}: {body}");
                assert!(body.contains("\"code\":7006"), "{body}");
            }
        }
        // and with no other method either, whether there is such a route or not
        for other in ["POST", "DELETE", "PUT", "PATCH", "OPTIONS", "DANCE"] {
            let (status, body) = somebody(other, &path);
            assert_eq!(status, 403, "{other} {path}: {body}");
        }
        // and root is told where there is no such route
        let taken: BTreeSet<&str> = Operation::ALL
            .iter()
            .filter(|one| one.route().1 == route)
            .map(|one| one.route().0.name())
            .collect();
        for other in ["POST", "DELETE", "PUT", "PATCH"] {
            // The path of a log is also that of `act`, whose verb it is not.
            if !taken.contains(other) && operation != Operation::Logs {
                let (status, body) = request(&gateway, other, &path);
                assert_eq!(status, 405, "{other} {path}: {body}");
            }
        }
    }
    assert_eq!(state(&gateway), before);
}

#[test]
fn every_operation_answers_root() {
    let gateway = gateway();
    // given a net that answers all questions, when each operation is asked, the one that ends all last
    for operation in Operation::ALL {
        if operation == Operation::System {
            continue;
        }
        let path = sample(operation);
        let (status, body) = request(&gateway, operation.route().0.name(), &path);
        // then it does what it is for; accounts there may be none yet
        assert!((200..300).contains(&status), "{path}: {status} {body}");
    }
    let path = sample(Operation::System);
    assert_eq!(request(&gateway, "POST", &path).0, 202);
}

#[test]
fn who_asks_too_often_is_told_so_and_nobody_else() {
    let gateway = gateway();
    // given somebody who asks far more often than there is a place for
    let answers: Vec<u16> = as_user(SOMEBODY, || {
        (0..120)
            .map(|_| request(&gateway, "GET", "/v1/services").0)
            .collect()
    });
    // then he is heard at first, and refused later
    assert!(
        answers[..30].iter().all(|status| *status == 200),
        "{answers:?}"
    );
    assert!(answers.contains(&429), "{answers:?}");
    let (_, body) = as_user(SOMEBODY, || {
        support::until("a refusal", || {
            let answer = request(&gateway, "GET", "/v1/services");
            (answer.0 == 429).then_some(answer)
        })
    });
    assert!(
        body.contains("ask again in a second") && body.contains("7005"),
        "{body}"
    );
    // and somebody else and root are heard
    assert_eq!(
        request_as(&gateway, SOMEBODY + 1, "GET", "/v1/services").0,
        200
    );
    for _ in 0..120 {
        assert_eq!(request(&gateway, "GET", "/v1/services").0, 200);
    }
}

#[test]
fn who_holds_connections_and_says_nothing_keeps_nobody_out_and_loses_them() {
    let gateway = gateway();
    let connect = || {
        let stream = UnixStream::connect(gateway.path("run/hearth/api.sock")).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream
    };
    let said = |mut stream: UnixStream| {
        let mut answer = String::new();
        // A connection that is closed with what was sent still unread ends in a reset.
        let _end = stream.read_to_string(&mut answer);
        answer
    };
    // given somebody who opens connections without end, and begins a request on each
    let (held, turned_away) = as_user(SOMEBODY, || {
        let mut held: Vec<UnixStream> = (0..8).map(|_| connect()).collect();
        for stream in &mut held {
            stream
                .write_all(b"GET /v1/status HTTP/1.1\r\nhost: g")
                .unwrap();
        }
        (held, said(connect()))
    });
    // then he is told that they are too many, and others are heard
    assert!(turned_away.starts_with("HTTP/1.1 503 "), "{turned_away}");
    assert!(
        turned_away.contains("too many connections"),
        "{turned_away}"
    );
    assert_eq!(
        request_as(&gateway, SOMEBODY + 1, "GET", "/v1/services").0,
        200
    );
    assert_eq!(request(&gateway, "GET", "/v1/services").0, 200);
    // and each that goes on slowly is closed all the same
    let began = Instant::now();
    for mut stream in held {
        stream.set_nonblocking(true).unwrap();
        loop {
            let mut byte = [0];
            match stream.read(&mut byte) {
                Ok(0) => break,
                Ok(_) => {}
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => break,
            }
            assert!(began.elapsed() < SOON, "it is still open");
            // One byte more of a head that never ends.
            let _gone = stream.write_all(b"x");
            std::thread::sleep(Duration::from_millis(200));
        }
    }
    let (status, _) = json(&gateway, "GET", "/v1/status");
    assert_eq!(status, 200);
}

//! A thousand requests and manifests that make no sense, by hand and by a generator with a fixed seed: each is
//! told what is wrong in JSON, changes nothing, and the manager goes on.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::multiple_unsafe_ops_per_block,
    dead_code // this file uses a part of what the tests share
)]

mod support;

use hearth_model::api::{ApiError, Operation, WordKind};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use support::http::{json, state};
use support::{Gateway, SOON, WITH_PORT, until};

/// Any number; another one makes other requests.
const SEED: u64 = 0x4865_6172_7468_0006;

/// Requests that a generator makes.
const GENERATED: usize = 1000;

/// A small generator of numbers that are as good as random (splitmix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((z ^ (z >> 31)) % end as u64).unwrap()
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }
}

fn gateway() -> Gateway {
    let mut gateway = Gateway::new();
    gateway.install("web", WITH_PORT);
    gateway.install("calc", "");
    gateway.start_net();
    gateway.boot();
    gateway.wait_for("web", "Active");
    gateway.wait_for("calc", "Active");
    gateway.init.asked();
    gateway
}

/// Sends these bytes; the status and the body of what comes.
fn send(gateway: &Gateway, bytes: &[u8]) -> (u16, String) {
    let mut stream = UnixStream::connect(gateway.path("run/hearth/api.sock")).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    // Who answers before he has read all of it may close: what he said is there all the same.
    let _sent = stream.write_all(bytes);
    let mut answer = Vec::new();
    let _end = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).and_then(|word| word.parse().ok());
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    (status.unwrap_or(0), body.to_owned())
}

/// What is wrong with an answer to something that makes no sense; `None` where nothing is.
fn unclear(status: u16, body: &str) -> Option<String> {
    let Ok(error) = serde_json::from_str::<ApiError>(body) else {
        return Some(format!("{status}, and no error of the API: {body:?}"));
    };
    let words = error.error.split_whitespace().count();
    ((!(400..500).contains(&status)) || words < 4 || error.error.len() > 1000 || error.code < 7000)
        .then(|| format!("{status} {error:?}"))
}

fn head(method: &str, path: &str, more: &str) -> Vec<u8> {
    format!("{method} {path} HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n{more}\r\n")
        .into_bytes()
}

#[test]
fn what_is_wrong_with_a_request_is_said_with_object_reason_and_remedy() {
    let gateway = gateway();
    let before = state(&gateway);
    let long = "a".repeat(3000);
    let huge = format!("x: {}\r\n", "y".repeat(64 * 1024));
    let many = "x: y\r\n".repeat(100);
    // given requests that each make no sense in a way of their own
    let post = |path: &str| head("POST", path, "");
    let get = |path: &str| head("GET", path, "");
    let cases: Vec<(Vec<u8>, u16, &str)> = vec![
        (
            get("/v1/nothing"),
            404,
            "GET /v1/openapi.json tells which there are",
        ),
        (get("/v1/services/wbe"), 404, "did you mean"),
        (get("/v1/services/../../etc/passwd"), 404, "no such path"),
        (
            get("/v1/services/..%2F..%2Fetc%2Fpasswd"),
            404,
            "there are: ",
        ),
        (get("/v1/services/%00"), 404, "there are: "),
        (get("/v1/services/%ff"), 400, "UTF-8"),
        (get("/v1/services/%zz"), 404, "there are: "),
        (get(&format!("/v1/services/{long}")), 404, "there are: "),
        (
            get("/v1/services/web/logs?follow=1"),
            400,
            "follow is true or false, not \"1\"",
        ),
        (
            get("/v1/services/web/logs?folow=true"),
            400,
            "did you mean follow?",
        ),
        (get("/v1/net?rates=false&rates=true"), 400, "twice"),
        (get("/v1/net/trace"), 400, "is no IPv4 address; write it as"),
        (
            get("/v1/net/trace?source=web&destination=wan&port=99999"),
            400,
            "1 to 65535",
        ),
        (
            get("/v1/net/sessions?host=300.1.1.1"),
            400,
            "write it as 192.168.1.20",
        ),
        (
            get("/v1/net/sessions?host=1.2.3.4&service=web"),
            400,
            "not for both",
        ),
        (
            get("/v1/events?after=soon"),
            400,
            "is the number of an event",
        ),
        (
            get("/v1/status?\u{1f600}=1"),
            400,
            "it has none; leave it out",
        ),
        (
            post("/v1/services/web/start?dry_run=yes"),
            400,
            "dry_run is true or false",
        ),
        (
            post("/v1/services/web/stop?make_room=true"),
            400,
            "only a start can make room",
        ),
        (
            post("/v1/services/web/explode"),
            404,
            "start, stop and restart",
        ),
        (post("/v1/services//start"), 404, "there are: "),
        (post("/v1/rank"), 400, "say who comes first"),
        (post("/v1/rank?order=web,web"), 400, "twice"),
        (post("/v1/rank?order=nobody"), 404, "nobody"),
        (post("/v1/forwards/sctp/80?to=web"), 400, "tcp"),
        (post("/v1/forwards/tcp/0?to=web"), 400, "65535"),
        (post("/v1/forwards/tcp/9-1?to=web"), 400, "9-1"),
        (post("/v1/forwards/tcp/8022"), 400, "where to?"),
        (post("/v1/forwards/tcp/8022?to=8.8.8.8"), 400, "8.8.8.8"),
        (post("/v1/forwards/tcp/8022?to=web&port=0"), 400, "port"),
        (
            post("/v1/forwards/tcp/8022?to=web&colour=red"),
            400,
            "it has to, port",
        ),
        (post("/v1/system/explode"), 404, "poweroff and reboot"),
        (post("/v1/system/poweroff?now=true"), 400, "it has none"),
        (head("PUT", "/v1/services/web", ""), 405, "another method"),
        (head("DELETE", "/v1/forwards/tcp/77", ""), 404, "77"),
        // bodies
        (
            [
                head("POST", "/v1/rank?order=web", "content-length: 2\r\n"),
                b"{}".to_vec(),
            ]
            .concat(),
            413,
            "has a body",
        ),
        (
            [
                head(
                    "POST",
                    "/v1/services/web/stop",
                    "transfer-encoding: chunked\r\n",
                ),
                b"2\r\n{}\r\n0\r\n\r\n".to_vec(),
            ]
            .concat(),
            413,
            "has a body",
        ),
        // heads
        (
            head("GET", "/v1/status", &huge),
            431,
            "larger than 8192 bytes",
        ),
        (head("GET", "/v1/status", &many), 431, "more than 32 lines"),
        (
            head("GET", &format!("/{}", "a".repeat(70_000)), ""),
            431,
            "larger than",
        ),
        (
            head("GET", "/v1/status", "content-length: -1\r\n"),
            400,
            "no HTTP/1.1",
        ),
        (
            head("GET", "/v1/status", "no colon\r\n"),
            400,
            "no HTTP/1.1",
        ),
        (
            head(
                "POST",
                "/v1/services/web/stop",
                "content-length: 1\r\ncontent-length: 2\r\n",
            ),
            400,
            "no HTTP/1.1",
        ),
        (
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n".to_vec(),
            400,
            "curl --unix-socket",
        ),
        (b"hello\r\n\r\n".to_vec(), 400, "curl --unix-socket"),
        (
            b"GET /v1/status HTTP/9.9\r\n\r\n".to_vec(),
            400,
            "curl --unix-socket",
        ),
        (b"GET  HTTP/1.1\r\n\r\n".to_vec(), 400, "curl --unix-socket"),
        (
            b"GET /v1/status\0 HTTP/1.1\r\n\r\n".to_vec(),
            400,
            "curl --unix-socket",
        ),
    ];
    let mut wrong = Vec::new();
    for (bytes, status, words) in &cases {
        // when each is sent
        let (got, body) = send(&gateway, bytes);
        // then it is told so
        if got != *status
            || !body.contains(&words.replace('"', "\\\""))
            || unclear(got, &body).is_some()
        {
            let request = String::from_utf8_lossy(&bytes[..bytes.len().min(80)]).into_owned();
            wrong.push(format!(
                "{request:?}: {got} {body:?}, not {status} {words:?}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // and nothing has changed
    assert_eq!(state(&gateway), before);
}

/// A request that makes no sense: one of an operation, spoilt in one way.
fn spoilt(dice: &mut Dice) -> Vec<u8> {
    const ODD: [&str; 14] = [
        "-",
        "..",
        "%00",
        "%2e%2e%2f",
        "WEB",
        "w%20b",
        "%F0%9F%94%A5",
        "~",
        "0x10",
        "-1",
        "1e9",
        "%7B%22a%22%3A1%7D",
        "%27%3B--",
        "99999999999999999999999",
    ];
    let operation = Operation::ALL[dice.below(Operation::ALL.len())];
    let (method, route) = operation.route();
    let mut path = route.to_owned();
    for word in operation.path_words() {
        // Nothing that an operation would do may be in what is left after it was spoilt.
        let value = match word.kind {
            WordKind::OneOf(words) => dice.one(words),
            WordKind::Text | WordKind::Number | WordKind::Flag => dice.one(&ODD),
        };
        path = path.replace(&format!("{{{}}}", word.name), value);
    }
    let odd = dice.one(&ODD);
    let junk: String = (0..1 + dice.below(40))
        .map(|_| char::from(33 + u8::try_from(dice.below(94)).unwrap()))
        .filter(|c| !"#?&=%".contains(*c))
        .collect();
    match dice.below(9) {
        // an option that there is not
        0 => head(method.name(), &format!("{path}?z{junk}={odd}"), ""),
        // an option with a value that it can not have, or one too many
        1 => match operation
            .options()
            .iter()
            .find(|word| word.kind == WordKind::Flag)
        {
            Some(word) => head(method.name(), &format!("{path}?{}={odd}", word.name), ""),
            None => head(method.name(), &format!("{path}?z={odd}&z={odd}"), ""),
        },
        // a path that there is not
        2 => head(method.name(), &format!("{path}/{odd}/{odd}/{odd}"), ""),
        3 => head(method.name(), &format!("/v{}/{odd}", 2 + dice.below(9)), ""),
        // a method that there is not
        4 => head(
            dice.one(&["PUT", "PATCH", "OPTIONS", "BREW", "TRACE"]),
            &path,
            "",
        ),
        // a body
        5 => {
            let more = format!("content-length: {}\r\n", junk.len());
            [head(method.name(), &path, &more), junk.into_bytes()].concat()
        }
        // a line of the head that is none
        6 => head(method.name(), &path, &format!("({junk}\r\n")),
        // more of a head than there may be
        7 => head(
            method.name(),
            &path,
            &"a: b\r\n".repeat(40 + dice.below(400)),
        ),
        // bytes of any kind
        _ => {
            let mut bytes: Vec<u8> = (0..1 + dice.below(200))
                .map(|_| u8::try_from(dice.below(256)).unwrap())
                .collect();
            bytes.extend_from_slice(b"\r\n\r\n");
            bytes
        }
    }
}

#[test]
fn a_thousand_malformed_requests_change_nothing_and_are_all_told_why() {
    let gateway = gateway();
    let before = state(&gateway);
    let pid = gateway.manager_pid();
    let mut dice = Dice(SEED);
    let mut wrong = Vec::new();
    for number in 0..GENERATED {
        let bytes = spoilt(&mut dice);
        let (status, body) = send(&gateway, &bytes);
        if let Some(why) = unclear(status, &body) {
            let request = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned();
            wrong.push(format!("number {number} {request:?}: {why}"));
        }
    }
    assert!(wrong.is_empty(), "seed {SEED:#x}\n{}", wrong.join("\n"));
    assert_eq!(state(&gateway), before);
    // and it is the same manager, with all of its places free
    assert_eq!(gateway.manager_pid(), pid);
    assert_eq!(json(&gateway, "GET", "/v1/status").0, 200);
    assert!(!gateway.read("kmsg").contains("panicked"));
}

#[test]
fn malformed_packages_are_told_line_by_line_and_harm_no_other() {
    // given a gateway on which a service runs, and packages that each make no sense
    let mut gateway = gateway();
    let before = state(&gateway);
    let good = "[service]\nname = \"odd\"\nversion = \"1\"\nexec = [\"/bin/odd\"]\n[resources.memory]\n\
                max = \"8 MiB\"\n[resources.pids]\nmax = 4\n";
    let bad: Vec<Vec<u8>> = vec![
        b"".to_vec(),
        b"\xff\xfe\x00".to_vec(),
        vec![b'a'; 1 << 20],
        good.replace("= ", "").into_bytes(),
        good.replace("\"odd\"", "\"../../etc\"").into_bytes(),
        good.replace("\"/bin/odd\"", "\"bin/odd\"").into_bytes(),
        good.replace("8 MiB", "-8 MiB").into_bytes(),
        good.replace("8 MiB", "99999999999 TiB").into_bytes(),
        good.replace("max = 4", "max = 0").into_bytes(),
        good.replace("[service]", "[service]\nuser = 0")
            .into_bytes(),
        format!("{good}[acces]\nnetwork = \"lan\"\n").into_bytes(),
        format!("{good}[access]\nlisten = [\"lan tcp 99999 -> 0\"]\n").into_bytes(),
        format!("{good}[access]\ndevices = [\"/dev/mem\"]\n").into_bytes(),
    ];
    for (number, text) in bad.iter().enumerate() {
        let folder = gateway.path(&format!("data/hearth/packages/bad{number}"));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("manifest.toml"), text).unwrap();
        // Signed, so that it is looked at; what is no text is refused before that.
        if std::str::from_utf8(text).is_ok() {
            gateway.sign(&format!("bad{number}"));
        }
    }
    // when the manager starts again
    gateway.end_manager(9);
    gateway.boot();
    // then what ran runs on
    until("all is as before", || {
        (state(&gateway) == before).then_some(())
    });
    // and each package is told of by its file
    let (_, status) = json(&gateway, "GET", "/v1/status");
    let problems: Vec<&str> = status["problems"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|problem| problem.as_str())
        .collect();
    for number in 0..bad.len() {
        let names = [format!("/bad{number}/"), format!("/bad{number}:")];
        let told = |problem: &&str| names.iter().any(|name| problem.contains(name));
        assert!(problems.iter().any(told), "bad{number}: {problems:#?}");
    }
    assert!(!gateway.read("kmsg").contains("panicked"));
    // and none of them can be started
    let (code, error) = json(&gateway, "POST", "/v1/services/bad3/start");
    assert_eq!((code, error["code"].as_u64()), (404, Some(7016)), "{error}");
}

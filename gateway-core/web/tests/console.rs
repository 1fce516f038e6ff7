//! The real program on a loopback port, over a fake manager on a Unix socket.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use hearth_model::manifest::{Grant, Manifest, Network};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const STATUS: &str = r#"{"firmware":"0.1.0","uptime_seconds":61,"wan":{"address":"203.0.113.7/24",
"router":"203.0.113.1","resolvers":[]},"lan":"192.168.1.1/24","console_url":"http://192.168.1.1/","sandbox":{"landlock_level":2,"time_namespaces":true},
"budget":[{"resource":"memory","total":100,"system":20,"reserved":30,"free":50}],
"nat":{"mappings":1,"mappings_max":8,"mappings_refused":5,"received":3,"forwarded":2,"dropped":1,"fast_path":1},
"services":[{"name":"<b>nginx","kind":"service","version":"1","title":"T","state":"Active",
"fault":"NoFault","message":"","wanted":true,"pid":7,"restarts":4,"since_seconds":9,
"memory_bytes":4096,"memory_max_bytes":8192,"cpu_usec":1,"oom_kills":0,"refused":{"gateway":6},"address":null,
"listens":[]}],"problems":[]}"#;

/// hearth-web, killed when dropped.
struct Console {
    child: Child,
    address: SocketAddr,
}

impl Console {
    fn start(socket: &Path) -> Console {
        let mut child = Command::new(env!("CARGO_BIN_EXE_hearth-web"))
            .args(["--port", "0"])
            .env("HEARTH_API", socket)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut errors = BufReader::new(child.stderr.take().unwrap());
        errors.read_line(&mut line).unwrap();
        // The rest must be read by someone: a closed pipe would end the program's own words.
        std::thread::spawn(move || std::io::copy(&mut errors, &mut std::io::sink()));
        let port = line
            .split_once("0.0.0.0:")
            .and_then(|(_, rest)| rest.split(' ').next())
            .unwrap_or_else(|| panic!("no address in {line:?}"));
        Console {
            child,
            address: SocketAddr::from(([127, 0, 0, 1], port.parse().unwrap())),
        }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(40)))
            .unwrap();
        stream
    }

    /// Sends these bytes and returns all that comes back; a reset ends it too.
    fn say(&self, request: &[u8]) -> String {
        let mut stream = self.connect();
        // The far side may close before it has all: what it answered counts.
        let _sent = stream.write_all(request);
        let mut answer = Vec::new();
        let _ended = stream.read_to_end(&mut answer);
        String::from_utf8(answer).unwrap()
    }

    fn get(&self, path: &str) -> String {
        self.say(format!("GET {path} HTTP/1.1\r\nhost: gateway.lan\r\n\r\n").as_bytes())
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// The network of a gateway whose cable to the Internet is out.
const NETWORK: &str = r#"{"links":[{"name":"eth1","kind":"wan","service":null,"up":false,"speed_mbit":null,
"address":null,"sent_bytes":7,"received_bytes":0,"sent_packets":1,"received_packets":0,
"sent_bits_per_second":null,"received_bits_per_second":null,"packets_per_second":null}],
"line":{"upload_bits_per_second":null,"download_bits_per_second":null},"queues":[],"nat":null,"talkers":[],
"talkers_window_seconds":0,"drops":[]}"#;

/// A manager that gives the same answer to each connection; counts them.
fn manager(folder: &TempDir, head: &'static str, body: &'static str) -> Arc<AtomicUsize> {
    let listener = UnixListener::bind(folder.path().join("api.sock")).unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = Vec::new();
            let mut byte = [0];
            while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() == 1 {
                request.push(byte[0]);
            }
            let body = if request.starts_with(b"GET /v1/net?rates=false ")
                || request.starts_with(b"GET /v1/net ")
            {
                NETWORK
            } else {
                assert!(request.starts_with(b"GET /v1/status "), "only reads");
                count.fetch_add(1, Ordering::SeqCst);
                body
            };
            let length = body.len();
            let text = format!("HTTP/1.1 {head}\r\ncontent-length: {length}\r\n\r\n{body}");
            let _sent = stream.write_all(text.as_bytes());
        }
    });
    asked
}

fn healthy() -> (TempDir, Arc<AtomicUsize>, Console) {
    let folder = TempDir::new().unwrap();
    let asked = manager(&folder, "200 OK", STATUS);
    let console = Console::start(&folder.path().join("api.sock"));
    (folder, asked, console)
}

#[test]
fn the_page_shows_the_status_with_strict_headers() {
    let (_folder, _asked, console) = healthy();
    let answer = console.get("/");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    for part in [
        "content-security-policy: default-src 'none'; style-src 'self';",
        "x-content-type-options: nosniff\r\n",
        "cache-control: no-store\r\n",
        "content-type: text/html; charset=utf-8\r\n",
        "All is well",
        "<h2>Network</h2>",
        "eth1</p></th><td><span class=\"ill\">Down</span>",
        "203.0.113.7/24",
        "&lt;b&gt;nginx",
    ] {
        assert!(answer.contains(part), "{part}\n{answer}");
    }
    assert!(!answer.contains("<b>"), "{answer}");
    // and its style sheet is there
    let style = console.get("/style.css");
    assert!(style.contains("content-type: text/css"), "{style}");
    assert!(style.contains("prefers-color-scheme: dark"), "{style}");
}

#[test]
fn metrics_and_health_are_served() {
    let (_folder, _asked, console) = healthy();
    let text = console.get("/metrics");
    assert!(
        text.contains("net_link_sent_bytes_total{link=\"eth1\",service=\"\"} 7"),
        "{text}"
    );
    assert!(
        text.contains("content-type: text/plain; version=0.0.4"),
        "{text}"
    );
    assert!(text.contains("\nnat_mappings_refused_total 5\n"), "{text}");
    assert!(
        text.contains("\nservice_restarts_total{service=\"<b>nginx\",kind=\"service\"} 4\n"),
        "{text}"
    );
    assert!(
        text.contains("\nservice_refused_total{service=\"<b>nginx\",reason=\"gateway\"} 6\n"),
        "{text}"
    );
    assert!(console.get("/healthz").ends_with("\r\n\r\nok\n"));
}

#[test]
fn a_silent_manager_is_a_page_that_says_what_to_do() {
    // given no socket at all
    let folder = TempDir::new().unwrap();
    let console = Console::start(&folder.path().join("api.sock"));
    for path in ["/", "/metrics"] {
        let answer = console.get(path);
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        assert!(answer.contains("\r\nretry-after: 10\r\n"), "{answer}");
        assert!(answer.contains("does not answer"), "{answer}");
    }
    assert!(console.get("/").contains("<h2>What to do</h2>"));
    // and the console itself is well
    assert!(console.get("/healthz").starts_with("HTTP/1.1 200 "));
    // when the manager comes, then so does the page
    let _asked = manager(&folder, "200 OK", STATUS);
    let until = Instant::now() + Duration::from_secs(10);
    while !console.get("/").contains("All is well") {
        assert!(Instant::now() < until, "the page did not come back");
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn a_manager_that_makes_no_sense_is_told_too() {
    for (head, body, part) in [
        ("200 OK", "{\"firmware\":", "can not be read"),
        ("503 Busy", "<script>", "without a reason"),
        (
            "503 Busy",
            "{\"error\":\"try later <i>\",\"code\":7003}",
            "try later &lt;i&gt;",
        ),
    ] {
        let folder = TempDir::new().unwrap();
        let _asked = manager(&folder, head, body);
        let console = Console::start(&folder.path().join("api.sock"));
        let answer = console.get("/");
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        assert!(answer.contains(part), "{part}\n{answer}");
        assert!(!answer.contains("<script>"), "{answer}");
    }
}

#[test]
fn a_manager_that_hangs_is_given_up() {
    // given a socket that takes connections and never answers
    let folder = TempDir::new().unwrap();
    let _listener = UnixListener::bind(folder.path().join("api.sock")).unwrap();
    let console = Console::start(&folder.path().join("api.sock"));
    let answer = console.get("/");
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.contains("no answer within 8 s"), "{answer}");
}

#[test]
fn a_crowd_is_one_question_to_the_manager() {
    let (_folder, asked, console) = healthy();
    let start = Instant::now();
    for _ in 0..50 {
        assert!(console.get("/").starts_with("HTTP/1.1 200 "));
    }
    let seconds = start.elapsed().as_secs() as usize;
    assert!(asked.load(Ordering::SeqCst) <= seconds + 1);
}

#[test]
fn nothing_but_get_and_nobody_but_the_home() {
    let (_folder, asked, console) = healthy();
    for (request, code) in [
        (
            "POST / HTTP/1.1\r\nhost: gateway.lan\r\ncontent-length: 3\r\n\r\nabc",
            "405",
        ),
        (
            "DELETE /metrics HTTP/1.1\r\nhost: gateway.lan\r\n\r\n",
            "405",
        ),
        (
            "GET /v1/status HTTP/1.1\r\nhost: gateway.lan\r\n\r\n",
            "404",
        ),
        (
            "GET /../../etc/passwd HTTP/1.1\r\nhost: gateway.lan\r\n\r\n",
            "404",
        ),
        ("GET / HTTP/1.1\r\nhost: rebound.example.com\r\n\r\n", "421"),
        (
            "GET / HTTP/1.1\r\nhost: a.lan\r\nhost: b.example.com\r\n\r\n",
            "421",
        ),
        ("\x16\x03\x01 nonsense\r\n\r\n", "400"),
    ] {
        let answer = console.say(request.as_bytes());
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {code} ")),
            "{request}\n{answer}"
        );
    }
    assert_eq!(asked.load(Ordering::SeqCst), 0, "the manager heard of it");
}

#[test]
fn a_head_has_a_bounded_size_and_number_of_lines() {
    let (_folder, _asked, console) = healthy();
    let long = "a".repeat(64 * 1024);
    let many = "x: y\r\n".repeat(200);
    for request in [
        format!("GET / HTTP/1.1\r\nhost: g\r\nx: {long}\r\n\r\n"),
        format!("GET /{long} HTTP/1.1\r\nhost: g\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nhost: g\r\n{many}\r\n"),
    ] {
        let answer = console.say(request.as_bytes());
        // then it is refused: by an error, or by a reset while it was still sending
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
            "{answer}"
        );
    }
    assert!(console.get("/healthz").starts_with("HTTP/1.1 200 "));
}

#[test]
fn one_device_that_takes_all_places_is_turned_away_and_a_slow_one_loses_its_own() {
    let (_folder, _asked, console) = healthy();
    // given as many connections as one address may have, which say only half a request
    let mut idle: Vec<TcpStream> = (0..8).map(|_| console.connect()).collect();
    for stream in &mut idle {
        stream.write_all(b"GET / HT").unwrap();
    }
    // when one more comes
    let answer = console.get("/");
    // then it is told so
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.contains("Too many at once"), "{answer}");
    // and after the time for a head the places are free again, and the refusal was counted
    let start = Instant::now();
    for stream in &mut idle {
        let _ended = stream.read_to_end(&mut Vec::new());
    }
    assert!(start.elapsed() < Duration::from_secs(15));
    let text = console.get("/metrics");
    assert!(
        text.contains("\nweb_connections_refused_total 1\n"),
        "{text}"
    );
}

#[test]
fn it_ends_when_told_to() {
    let (_folder, _asked, mut console) = healthy();
    let told = Command::new("kill")
        .arg(console.child.id().to_string())
        .status()
        .unwrap();
    assert!(told.success());
    let until = Instant::now() + Duration::from_secs(10);
    let ended = loop {
        if let Some(ended) = console.child.try_wait().unwrap() {
            break ended;
        }
        assert!(Instant::now() < until, "it goes on");
        std::thread::sleep(Duration::from_millis(50));
    };
    assert_eq!(ended.code(), Some(0));
}

#[test]
fn the_package_asks_for_the_api_and_the_home_and_nothing_else() {
    // given the manifest that ships
    let text = include_str!("../../../board/common/services/web/manifest.toml");
    let package = Manifest::parse("web", text).unwrap();
    // then it is found by its name, reads the API, and is reached from the home alone
    assert_eq!(package.name().as_str(), "web");
    assert!(package.grants(Grant::Api) && !package.grants(Grant::Resolvers));
    assert_eq!(package.network(), Network::Lan);
    let listen: Vec<String> = package.listen().iter().map(ToString::to_string).collect();
    assert_eq!(listen, ["lan tcp 80 -> 80"]);
    assert_eq!(package.policies(), ["network-server"]);
    assert!(package.extra_syscalls().is_empty());
}

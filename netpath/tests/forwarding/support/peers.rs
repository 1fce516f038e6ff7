//! Real programs at both ends: servers, downloads, and a conversation over one TCP connection.

use super::lab::{Lab, Running, Side, text};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// A program that sends back what comes to UDP port 7.
pub const UDP_ECHO: &str = r#"
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("", 7))
while True:
    data, who = s.recvfrom(2000)
    s.sendto(data, who)
"#;

/// What curl says about a connection attempt.
#[derive(Debug, PartialEq, Eq)]
pub enum Fetched {
    /// The page.
    Page(String),
    /// A reset, or an ICMP error.
    Refused,
    /// Nothing at all.
    Silence,
}

/// Fetches `http://HOST/` with `command`'s place in front.
pub fn fetch(mut command: Command, patience_s: u32) -> Fetched {
    let patience = patience_s.to_string();
    let done = command
        .args(["--connect-timeout", &patience, "--max-time", "20"])
        .output()
        .unwrap();
    match done.status.code() {
        Some(0) => Fetched::Page(text(&done.stdout)),
        Some(7) => Fetched::Refused,
        Some(28) => Fetched::Silence,
        other => panic!("curl: {other:?} {}", text(&done.stderr)),
    }
}

/// Fetches a URL from a side.
pub fn fetch_from(lab: &Lab, side: Side, url: &str, patience_s: u32) -> Fetched {
    fetch(lab.command(side, &["curl", "-sS", url]), patience_s)
}

/// An HTTP server for the files of a folder of the lab.
pub fn serve_files(mut command: Command) -> Running {
    super::lab::spawn(command.stdout(Stdio::null()).stderr(Stdio::null()))
}

/// The words that start a server for `folder` on `port`.
pub fn http_server<'a>(port: &'a str, folder: &'a str) -> [&'a str; 6] {
    ["python3", "-m", "http.server", port, "--directory", folder]
}

const UDP_PROBE: &str = r#"
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(10)
s.connect((sys.argv[1], int(sys.argv[2])))
s.send(b"x")
try:
    s.recv(1)
except ConnectionRefusedError:
    print("refused")
"#;

/// Sends a datagram to a closed port: `refused` where the ICMP error of its host comes back.
pub fn udp_probe(lab: &Lab, from: Side, host: &str, port: &str) -> String {
    let done = lab.run(from, &["python3", "-c", UDP_PROBE, host, port]);
    text(&done.stdout) + &text(&done.stderr)
}

/// Echoes lines of every connection.
pub const ECHO_SERVER: &str = r#"
import socketserver, sys
class Echo(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            self.wfile.write(line)
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
Server(("", int(sys.argv[1])), Echo).serve_forever()
"#;

const ECHO_CLIENT: &str = r#"
import socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 20)
s.settimeout(None)
answers = s.makefile("r")
print("connected", flush=True)
for line in sys.stdin:
    s.sendall(line.encode())
    print(answers.readline().strip(), flush=True)
"#;

/// One connection to an echo server.
pub struct Conversation {
    input: ChildStdin,
    output: Receiver<String>,
    _process: Running,
}

impl Conversation {
    /// Connects from a side.
    pub fn open(lab: &Lab, side: Side, host: &str, port: &str) -> Conversation {
        Conversation::start(lab.command(side, &["python3", "-c", ECHO_CLIENT, host, port]))
    }

    fn start(mut command: Command) -> Conversation {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (tell, told) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines() {
                if tell.send(line.unwrap()).is_err() {
                    return;
                }
            }
        });
        let conversation = Conversation {
            input,
            output: told,
            _process: Running(child),
        };
        assert_eq!(
            conversation.hear(super::lab::PATIENCE),
            Some("connected".to_owned())
        );
        conversation
    }

    /// Sends a line.
    pub fn say(&mut self, line: &str) {
        writeln!(self.input, "{line}").unwrap();
    }

    /// The next line that comes back, if one comes.
    pub fn hear(&self, patience: Duration) -> Option<String> {
        self.output.recv_timeout(patience).ok()
    }
}

const WAITING_CLIENT: &str = r#"
import socket, sys
for what in ("connected", "connected again"):
    s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 20)
    s.settimeout(None)
    s.sendall(b"hello\n")
    s.recv(100)
    print(what, flush=True)
    try:
        s.recv(1)
        print("closed", flush=True)
    except ConnectionResetError:
        print("reset", flush=True)
"#;

/// Connects to an echo server, says hello, and then waits in silence; if it is reset, once more.
pub fn waiting_client(lab: &Lab, side: Side, host: &str, port: &str) -> Conversation {
    Conversation::start(lab.command(side, &["python3", "-c", WAITING_CLIENT, host, port]))
}

/// Pings once, or as the words say, and returns what ping(8) says.
pub fn ping(lab: &Lab, from: Side, words: &[&str]) -> String {
    text(
        &lab.run(
            from,
            &[&["ping", "-n", "-c", "1", "-W", "5"], words].concat(),
        )
        .stdout,
    )
}

/// Serves a folder of the lab on port 80 of a side.
pub fn serve(lab: &mut Lab, side: Side, folder: &str) {
    let folder = lab.path(folder);
    let words = http_server("80", folder.to_str().unwrap());
    let server = serve_files(lab.command(side, &words));
    lab.keep(server);
    lab.until_listens(side, "tcp", 80);
}

/// Serves a page inside of a service.
pub fn serve_page(lab: &mut Lab, number: u16, page: &str) -> Running {
    let folder = lab.path(page);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("index.html"), page).unwrap();
    let server = serve_files(lab.in_service(number, &http_server("80", folder.to_str().unwrap())));
    lab.until("page inside of the service", || {
        let words = ["ss", "-Hlnt", "sport = :80"];
        !lab.in_service(number, &words)
            .output()
            .unwrap()
            .stdout
            .is_empty()
    });
    server
}

/// The answer that is this page.
pub fn page(text: &str) -> Fetched {
    Fetched::Page(text.to_owned())
}

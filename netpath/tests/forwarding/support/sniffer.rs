//! What arrives from the gateway on the Internet's side, seen by a packet socket.

use super::lab::{Lab, Running, Side, text};
use std::fs;
use std::path::PathBuf;

/// What is noted.
#[derive(Clone, Copy)]
pub enum Note {
    /// IPv4 packets and ARP from outside of 203.0.113.0/24. The kernel filters, so that none is
    /// missed at high rates.
    Strangers,
    /// Every IPv4 packet from the gateway.
    All,
}

/// Lines of `SOURCE DESTINATION PROTOCOL` (ARP: its two addresses, and `arp`), after `ready`.
const PROGRAM: &str = r#"
import ctypes, socket, struct, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
def filter(program):
    code = b"".join(struct.pack("=HBBI", *line) for line in program)
    buffer = ctypes.create_string_buffer(code)
    s.setsockopt(socket.SOL_SOCKET, 26, struct.pack("HL", len(program), ctypes.addressof(buffer)))
LDH, LD, JEQ, AND, RET, NET = 0x28, 0x20, 0x15, 0x54, 0x06, 0xcb007100
if sys.argv[1] == "strangers":
    filter([(LDH, 0, 0, 12), (JEQ, 0, 2, 0x800), (LD, 0, 0, 26), (JEQ, 2, 2, 0xffffffff),
            (JEQ, 0, 4, 0x806), (LD, 0, 0, 28),
            (AND, 0, 0, 0xffffff00), (JEQ, 1, 0, NET), (RET, 0, 0, 0xffff), (RET, 0, 0, 0)])
else:
    filter([(LDH, 0, 0, 12), (JEQ, 0, 1, 0x800), (RET, 0, 0, 0xffff), (RET, 0, 0, 0)])
s.bind(("w0", 0))
print("ready", flush=True)
while True:
    packet, (_, kind, direction, _, _) = s.recvfrom(65535)
    if direction == 4:
        continue
    at, name = (26, packet[23]) if kind == 0x800 else (28, "arp")
    to = at + 4 if kind == 0x800 else at + 10
    address = lambda n: socket.inet_ntoa(packet[n:n + 4])
    print(address(at), address(to), name, flush=True)
"#;

/// A sniffer at work.
pub struct Sniffer {
    output: PathBuf,
    process: Running,
}

impl Sniffer {
    /// Starts to note; what comes after the return is not missed.
    pub fn start(lab: &Lab, note: Note) -> Sniffer {
        let word = match note {
            Note::Strangers => "strangers",
            Note::All => "all",
        };
        let output = lab.path(&format!("sniffed-{word}"));
        let mut command = lab.command(Side::Wan, &["python3", "-c", PROGRAM, word]);
        command.stdout(fs::File::create(&output).unwrap());
        let process = super::lab::spawn(&mut command);
        let sniffer = Sniffer { output, process };
        lab.until("sniffer", || sniffer.read().starts_with("ready\n"));
        sniffer
    }

    fn read(&self) -> String {
        text(&fs::read(&self.output).unwrap())
    }

    /// What was noted so far, a line a packet.
    pub fn lines(&mut self) -> Vec<String> {
        assert_eq!(
            self.process.0.try_wait().unwrap(),
            None,
            "the sniffer has ended"
        );
        self.read().lines().skip(1).map(str::to_owned).collect()
    }
}

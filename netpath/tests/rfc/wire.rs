//! The same on the wire: a real NAT between two packet sockets, each in its own network namespace.

use super::packets::*;
use super::support::lab::{Lab, Side, Wan, text};
use super::support::tap::Tap;
use super::world::{Machine, WAN_MTU, World};
use hearth_model::protocol::Zone;
use std::collections::VecDeque;
use std::io::Write;
use std::net::Ipv4Addr;
use std::process::Stdio;
use std::time::Duration;

/// What a household's router does with nftables: masquerade, and let nothing in that was not asked for.
const NFTABLES: &str = r#"
table ip nat {
    chain postrouting { type nat hook postrouting priority srcnat; oifname "eth1" masquerade; }
}
table ip filter {
    chain input {
        type filter hook input priority filter; policy accept;
        iifname "eth1" ct state established,related accept
        iifname "eth1" icmp type echo-request accept
        iifname "eth1" drop
    }
    chain forward {
        type filter hook forward priority filter; policy drop;
        iifname "eth0" accept
        ct state established,related accept
    }
}
"#;

/// Home hosts whose packets are made here.
const HOSTS: [Ipv4Addr; 3] = [ANN, BOB, FENCE.0];
/// Two ends of a ping after each packet of a scenario, so that what it brings about has come before: no
/// packet is overtaken by a ping, which takes the slowest way through each NAT.
const FENCE: End = (Ipv4Addr::new(192, 168, 1, 99), 4_000);
const FENCE_FAR: End = (Ipv4Addr::new(198, 51, 100, 99), 0);
/// Whom the lab itself lets talk.
const OTHERS: [Ipv4Addr; 2] = [
    Ipv4Addr::new(203, 0, 113, 1),
    Ipv4Addr::new(192, 168, 1, 50),
];

/// Which NAT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// hearth-netpath.
    Netpath,
    /// The kernel's own.
    Nftables,
}

/// A NAT on the wire.
pub struct Wire {
    _lab: Lab,
    taps: [Tap; 2],
    gateways: [[u8; 6]; 2],
    out: [VecDeque<Vec<u8>>; 2],
    fences: u32,
}

/// Three times netpath's `HOSTS_MS`.
const KNOWN_AFTER: Duration = Duration::from_millis(300);

fn place(zone: Zone) -> usize {
    usize::from(zone != Zone::Lan)
}

fn written(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

impl Wire {
    /// A fresh one.
    pub fn new(kind: Kind) -> Wire {
        let mut lab = Lab::bare(Wan::Static);
        lab.plug_lan();
        lab.plug_wan();
        lab.ip_batch(Side::Wan, &format!("link set w0 mtu {WAN_MTU}"));
        lab.ip_batch(Side::Gateway, &format!("link set eth1 mtu {WAN_MTU}"));
        let home = match kind {
            Kind::Netpath => {
                lab.start();
                "br-lan"
            }
            Kind::Nftables => {
                nftables(&lab);
                "eth0"
            }
        };
        lab.until_pings(Side::Lan, "203.0.113.1");
        let taps = [(Side::Lan, "l0"), (Side::Wan, "w0")]
            .map(|(side, name)| Tap::open(&lab.namespace_of(side), name));
        for host in HOSTS {
            let is_at = format!("lladdr {} nud permanent", written(taps[0].hardware));
            let line = format!("neigh replace {host} dev {home} {is_at}");
            lab.ip_batch(Side::Gateway, &line);
        }
        let is_at = format!("lladdr {} nud permanent", written(taps[1].hardware));
        let line = format!("neigh replace 203.0.113.1 dev eth1 {is_at}");
        lab.ip_batch(Side::Gateway, &line);
        // netpath looks at its neighbours at most every 100 ms; until then they are strangers, of whom few
        // may come.
        std::thread::sleep(KNOWN_AFTER);
        let gateways = [lab.hardware(home), lab.hardware("eth1")];
        Wire {
            _lab: lab,
            taps,
            gateways,
            out: Default::default(),
            fences: 0,
        }
    }

    fn put(&self, from: usize, packet: &[u8]) {
        let (tap, to) = (&self.taps[from], self.gateways[from]);
        tap.send(&[&to[..], &tap.hardware, &[8, 0], packet].concat());
    }

    /// Sends half of a ping, which passes for certain, and keeps what came out before it.
    fn fence(&mut self, from: usize, body: Body, ends: (End, End)) -> Vec<u8> {
        self.fences += 1;
        let mark = self.fences.to_be_bytes();
        let at = 1 - from;
        self.put(from, &packet(body, ends.0, ends.1, &mark));
        let mut arrived = Vec::new();
        let is_fence = |frame: &[u8]| {
            let packet = frame.get(14..).unwrap_or_default();
            packet.get(9) == Some(&1) && packet.len() == 32 && packet.ends_with(&mark)
        };
        let before = self.taps[at].until(|frame| {
            arrived = frame.get(14..).unwrap_or_default().to_vec();
            is_fence(frame)
        });
        self.keep(at, before);
        arrived
    }

    fn keep(&mut self, at: usize, frames: Vec<Vec<u8>>) {
        for frame in frames {
            let Some(packet) = frame.get(14..).filter(|_| frame[12..14] == [8, 0]) else {
                continue;
            };
            let address =
                |n: usize| Ipv4Addr::new(packet[n], packet[n + 1], packet[n + 2], packet[n + 3]);
            let (from, to) = (address(12), address(16));
            let own = [FENCE.0, FENCE_FAR.0].into_iter().chain(OTHERS);
            let mut own = own.chain([to].into_iter().filter(Ipv4Addr::is_multicast));
            if own.all(|other| from != other && to != other) {
                let length = usize::from(u16::from_be_bytes([packet[2], packet[3]]));
                self.out[at].push_back(packet[..length].to_vec());
            }
        }
    }
}

fn nftables(lab: &Lab) {
    lab.ip_batch(
        Side::Gateway,
        "address add 192.168.1.1/24 dev eth0\naddress add 203.0.113.50/24 dev eth1\n\
         link set eth0 up\nlink set eth1 up\nroute add default via 203.0.113.1",
    );
    let words = ["sysctl", "-q", "net.ipv4.ip_forward=1"];
    assert!(lab.run(Side::Gateway, &words).status.success());
    let mut nft = lab.command(Side::Gateway, &["nft", "-f", "-"]);
    let nft = nft.stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut nft = nft.spawn().unwrap();
    nft.stdin
        .take()
        .unwrap()
        .write_all(NFTABLES.as_bytes())
        .unwrap();
    let done = nft.wait_with_output().unwrap();
    assert!(done.status.success(), "nft: {}", text(&done.stderr));
}

impl World for Wire {
    fn send(&mut self, from: Zone, packet: &[u8]) {
        self.put(place(from), packet);
        // First the way that the packet itself may have taken, then the way back.
        let out = self.fence(0, Body::EchoRequest, (FENCE, FENCE_FAR));
        let seen = ends(&out).0;
        self.fence(1, Body::EchoReply, (FENCE_FAR, seen));
    }

    fn next(&mut self, at: Zone) -> Option<Vec<u8>> {
        self.out[place(at)].pop_front()
    }

    fn machine(&mut self) -> Option<&mut Machine> {
        None
    }
}

//! The gates against a real process, in both word sizes, and against their own plain words: whatever the
//! rules, the kernel decides as `hearth_model::gate` says. Needs root: makes a cgroup v2 of its own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use hearth_bpf::gate::{self, Refusals};
use hearth_model::gate::{
    DeviceKind, DeviceRule, DeviceUse, EPHEMERAL, Gate, Refusal, Served, Target, Verdict,
};
use hearth_model::protocol::Transport;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::OnceLock;
use tempfile::TempDir;

const EPERM: i32 = 1;
const GATEWAY: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../board/common/gateway.toml"
);

fn do_command(words: &[&str]) {
    let done = Command::new(words[0]).args(&words[1..]).status().unwrap();
    assert!(done.success(), "{words:?}");
}

fn target_folder() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
        .parent()
        .unwrap()
        .to_path_buf()
}

/// The example in both word sizes, built into the folder of this test run.
fn both() -> &'static [PathBuf; 2] {
    static BOTH: OnceLock<[PathBuf; 2]> = OnceLock::new();
    BOTH.get_or_init(|| {
        ["x86_64-unknown-linux-gnu", "i686-unknown-linux-musl"].map(|target| {
            let done = Command::new(env!("CARGO"))
                .args(["build", "--quiet", "--example", "gated", "--target", target])
                .current_dir(env!("CARGO_MANIFEST_DIR"))
                .env("CARGO_TARGET_DIR", target_folder())
                .status()
                .unwrap();
            assert!(
                done.success(),
                "cargo build --example gated --target {target}"
            );
            target_folder().join(target).join("debug/examples/gated")
        })
    })
}

/// A cgroup of its own, with a folder for device nodes; all of it goes when this is dropped.
struct Place {
    folder: TempDir,
    cgroup: PathBuf,
}

impl Place {
    fn new(name: &str) -> Place {
        let folder = tempfile::tempdir().unwrap();
        let mount = |kind: &str, below: &str| {
            let at = folder.path().join(below);
            fs::create_dir(&at).unwrap();
            do_command(&["mount", "-t", kind, "none", at.to_str().unwrap()]);
        };
        mount("cgroup2", "cgroup");
        mount("tmpfs", "dev");
        let name = format!("cgroup/hearth-{name}-{}", std::process::id());
        let cgroup = folder.path().join(name);
        fs::create_dir(&cgroup).unwrap();
        Place { folder, cgroup }
    }

    fn cgroup(&self) -> &str {
        self.cgroup.to_str().unwrap()
    }

    fn open(&self) -> File {
        File::open(&self.cgroup).unwrap()
    }

    fn attach(&self, gate: &Gate) {
        gate::attach(self.open().as_fd(), gate).unwrap();
    }

    fn refusals(&self) -> Refusals {
        gate::refusals(self.open().as_fd()).unwrap().unwrap()
    }

    /// A device node, made by somebody outside.
    fn node(&self, kind: DeviceKind, major: u32, minor: u32) -> String {
        let word = match kind {
            DeviceKind::Block => "b",
            DeviceKind::Character => "c",
        };
        let path = self
            .folder
            .path()
            .join(format!("dev/{word}{major}-{minor}"));
        let path = path.to_str().unwrap();
        if !Path::new(path).exists() {
            do_command(&["mknod", path, word, &major.to_string(), &minor.to_string()]);
        }
        path.to_owned()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let removed = fs::remove_dir(&self.cgroup);
        for below in ["cgroup", "dev"] {
            do_command(&["umount", self.folder.path().join(below).to_str().unwrap()]);
        }
        removed.expect("the cgroup is empty");
    }
}

/// A process in the cgroup.
struct Actor {
    child: Child,
    answers: BufReader<ChildStdout>,
}

impl Actor {
    fn new(program: &Path, place: &Place) -> Actor {
        let mut child = Command::new(program)
            .args(["act", place.cgroup()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Actor { child, answers }
    }

    /// The errno of this request.
    fn ask(&mut self, request: &str) -> i32 {
        writeln!(self.child.stdin.as_mut().unwrap(), "{request}").unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        answer
            .trim()
            .parse()
            .unwrap_or_else(|_| panic!("{request}: {answer:?}"))
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn output(program: &Path, arguments: &[&str]) -> String {
    let done = Command::new(program).args(arguments).output().unwrap();
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
    String::from_utf8(done.stdout).unwrap()
}

#[test]
fn a_manifest_is_enforced_and_counted_in_both_word_sizes() {
    for program in both() {
        // given a service that may talk to the home, serve at port 80 and use a radio stick
        let place = Place::new("manifest");
        let manifest = place.folder.path().join("manifest.toml");
        let text = "[service]\nname = \"web\"\nversion = \"1\"\nexec = [\"/a\"]\n[resources.memory]\n\
                    max = \"8 MiB\"\n[resources.pids]\nmax = 4\n[access]\nnetwork = \"lan\"\n\
                    listen = [\"lan tcp 8080 -> 80\"]\ndevices = [\"/dev/ttyUSB7\"]\n";
        fs::write(&manifest, text).unwrap();
        let mut actor = Actor::new(program, &place);
        let stick = place.node(DeviceKind::Character, 188, 7);
        let (null, memory) = ("/dev/null", place.node(DeviceKind::Character, 1, 1));
        let made = place.folder.path().join("dev/made");
        let refused = [
            format!("open r {memory}"),
            format!("mknod {}", made.display()),
            "socket 2 1 262".to_owned(), // MPTCP
            "socket 2 3 1".to_owned(),   // raw ICMP
            "connect tcp 0 192.168.1.1 80".to_owned(),
            "connect tcp 0 ::ffff:192.168.1.1 80".to_owned(),
            "connect udp 0 10.213.0.9 53".to_owned(),
            "send udp 0 198.51.100.7 53".to_owned(),
            "send udp 0 ::ffff:198.51.100.7 53".to_owned(),
            "connect tcp 0 fe80::1 80".to_owned(),
            "bind tcp 0.0.0.0 81".to_owned(),
            "bind udp :: 80".to_owned(),
        ];
        let allowed = [
            format!("open w {null}"),
            format!("open r {stick}"),
            "socket 2 1 0".to_owned(),
            "socket 10 2 17".to_owned(),
            "connect tcp 0 192.168.1.50 80".to_owned(),
            "send udp 0 192.168.1.2 53".to_owned(),
            "bind tcp 0.0.0.0 80".to_owned(),
            "bind tcp :: 80".to_owned(),
            "bind udp 0.0.0.0 0".to_owned(),
        ];
        // and without gates, nothing of it is refused
        for request in refused.iter().chain(&allowed) {
            assert_ne!(
                actor.ask(request),
                EPERM,
                "{}: {request}",
                program.display()
            );
        }
        fs::remove_file(&made).unwrap();
        // when its gates stand
        let said = output(
            program,
            &[
                "attach",
                place.cgroup(),
                manifest.to_str().unwrap(),
                GATEWAY,
            ],
        );
        assert_eq!(said, "attached\n");
        // then each request comes to what the manifest says
        for request in &refused {
            assert_eq!(
                actor.ask(request),
                EPERM,
                "{}: {request}",
                program.display()
            );
        }
        for request in &allowed {
            assert_ne!(
                actor.ask(request),
                EPERM,
                "{}: {request}",
                program.display()
            );
        }
        // and whoever looks at the cgroup sees why
        let counts = "device 2\nprotocol 2\nport 2\nipv6 1\nno-network 0\ngateway 2\n\
                      other-service 1\noutside-home 2\n";
        assert_eq!(output(program, &["refusals", place.cgroup()]), counts);
        // and nobody puts another gate below
        let below = place.cgroup.join("below");
        fs::create_dir(&below).unwrap();
        let said = output(
            program,
            &[
                "attach",
                below.to_str().unwrap(),
                manifest.to_str().unwrap(),
                GATEWAY,
            ],
        );
        assert!(
            said.starts_with("the gate device can not be attached: "),
            "{said}"
        );
        fs::remove_dir(&below).unwrap();
    }
}

#[test]
fn what_is_no_cgroup_gets_no_gate_and_its_name_is_told() {
    let gate = Gate {
        devices: vec![],
        targets: vec![],
        served: vec![],
    };
    let folder = tempfile::tempdir().unwrap();
    let error = gate::attach(File::open(folder.path()).unwrap().as_fd(), &gate).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("the gate device can not be attached"),
        "{error}"
    );
    // and rules that the maps can not hold are not cut short
    let devices = (0..65).map(|minor| DeviceRule {
        kind: DeviceKind::Block,
        major: 1,
        minor: Some(minor),
    });
    let gate = Gate {
        devices: devices.collect(),
        ..gate
    };
    let error = gate::attach(File::open(folder.path()).unwrap().as_fd(), &gate).unwrap_err();
    assert!(
        error.to_string().contains("do not fit into GRANTED"),
        "{error}"
    );
}

fn verdict() -> impl Strategy<Value = Verdict> {
    prop_oneof![
        Just(Verdict::Allow),
        prop::sample::select(&Refusal::ALL[4..]).prop_map(Verdict::Refuse)
    ]
}

/// Few addresses, so that rules and requests meet; their bytes differ, so that a swapped one shows.
fn v4() -> impl Strategy<Value = Ipv4Addr> {
    let byte = || prop::sample::select(vec![0u8, 1, 10, 127, 192, 255]);
    (byte(), byte(), byte(), byte()).prop_map(|(a, b, c, d)| Ipv4Addr::new(a, b, c, d))
}

fn ip() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        4 => v4().prop_map(IpAddr::V4),
        3 => v4().prop_map(|address| IpAddr::V6(address.to_ipv6_mapped())),
        1 => Just(IpAddr::V6(Ipv6Addr::LOCALHOST)),
        1 => Just(IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
        1 => any::<u128>().prop_map(|bits| IpAddr::V6(Ipv6Addr::from(bits >> 8 | 0x20 << 120))),
        1 => v4().prop_map(|address| IpAddr::V6(address.to_ipv6_compatible())),
    ]
}

fn port() -> impl Strategy<Value = u16> {
    let known = vec![
        1u16, 53, 80, 255, 256, 13_568, 32_767, 32_768, 60_999, 61_000, 65_535,
    ];
    prop_oneof![prop::sample::select(known), any::<u16>()]
}

fn transport() -> impl Strategy<Value = Transport> {
    prop::sample::select(vec![Transport::Tcp, Transport::Udp])
}

fn kind() -> impl Strategy<Value = DeviceKind> {
    prop::sample::select(vec![DeviceKind::Block, DeviceKind::Character])
}

/// Majors that no driver has (devices.txt: 240 to 254 are for experiments), so that an open that is
/// allowed does nothing.
fn numbers() -> impl Strategy<Value = (DeviceKind, u32, u32)> {
    (kind(), 241u32..243, 0u32..3)
}

fn gate() -> impl Strategy<Value = Gate> {
    let device = (numbers(), any::<bool>()).prop_map(|((kind, major, minor), every)| DeviceRule {
        kind,
        major,
        minor: (!every).then_some(minor),
    });
    let prefix = prop_oneof![0u8..=32, Just(32)];
    let target = (v4(), prefix, prop::option::of(port()), verdict()).prop_map(
        |(address, prefix, port, verdict)| Target {
            address,
            prefix,
            port,
            verdict,
        },
    );
    let served = (transport(), port()).prop_map(|(transport, port)| Served { transport, port });
    (
        prop::collection::vec(device, 0..64),
        prop::collection::vec(target, 0..=32),
        prop::collection::vec(served, 0..=64),
    )
        .prop_map(|(devices, targets, served)| Gate {
            devices,
            targets,
            served,
        })
}

/// A request, and what the plain words say about it.
#[derive(Clone, Debug)]
enum Request {
    Reach(bool, Transport, u16, IpAddr, u16),
    Bind(Transport, IpAddr, u16),
    Open((DeviceKind, u32, u32), bool),
}

fn request() -> impl Strategy<Value = Request> {
    prop_oneof![
        4 => (any::<bool>(), transport(), port(), ip(), port())
            .prop_map(|(send, transport, from, to, port)| Request::Reach(send, transport, from, to, port)),
        2 => (transport(), ip(), port())
            .prop_map(|(transport, at, port)| Request::Bind(transport, at, port)),
        1 => (numbers(), any::<bool>()).prop_map(|(device, write)| Request::Open(device, write)),
    ]
}

impl Request {
    fn words(&self, place: &Place) -> String {
        match self {
            Request::Reach(true, Transport::Udp, from, to, port) => {
                format!("send udp {from} {to} {port}")
            }
            Request::Reach(_, transport, from, to, port) => {
                format!("connect {transport} {from} {to} {port}")
            }
            Request::Bind(transport, at, port) => format!("bind {transport} {at} {port}"),
            Request::Open((kind, major, minor), write) => {
                let path = place.node(*kind, *major, *minor);
                format!("open {} {path}", if *write { "w" } else { "r" })
            }
        }
    }

    fn expected(&self, gate: &Gate) -> Verdict {
        match *self {
            Request::Reach(_, transport, from, to, port) => gate.reach(transport, from, to, port),
            Request::Bind(transport, at, port) => gate.bind(transport, at, port),
            Request::Open((kind, major, minor), write) => {
                let wanted = DeviceUse {
                    make: false,
                    read: !write,
                    write,
                };
                gate.open(kind, major, minor, wanted)
            }
        }
    }
}

#[test]
fn whatever_the_rules_the_kernel_decides_as_their_words_say() {
    const CASES: u32 = 100;
    const REQUESTS: usize = 120;
    let place = Place::new("property");
    let actor = std::cell::RefCell::new(Actor::new(&both()[1], &place));
    let mut runner = TestRunner::new(Config {
        cases: CASES,
        failure_persistence: None,
        ..Config::default()
    });
    let requests = prop::collection::vec(request(), REQUESTS);
    let asked = std::cell::Cell::new(0);
    runner
        .run(&(gate(), requests), |(gate, requests)| {
            // given these rules
            place.attach(&gate);
            let mut counts = [0; Refusal::ALL.len()];
            for request in &requests {
                // when the process asks
                let words = request.words(&place);
                let refused = actor.borrow_mut().ask(&words) == EPERM;
                // then it is refused exactly where the words say so
                let expected = request.expected(&gate);
                prop_assert_eq!(
                    refused,
                    expected != Verdict::Allow,
                    "{}: {:?}",
                    words,
                    expected
                );
                if let Verdict::Refuse(refusal) = expected {
                    counts[refusal as usize] += 1;
                }
                asked.set(asked.get() + 1);
            }
            // and each refusal was counted under its reason, and nothing else was
            for (refusal, count) in place.refusals().iter() {
                prop_assert_eq!(count, counts[refusal as usize], "{}", refusal);
            }
            Ok(())
        })
        .unwrap();
    assert!(asked.get() >= 10_000);
    assert!(EPHEMERAL.contains(&40_000));
}

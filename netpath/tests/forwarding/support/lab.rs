//! A gateway between a home and its Internet, in three network namespaces that go with it.
//!
//! The gateway's namespace has a mount namespace too, which outlives every run of the program as the
//! real machine's does: there it pins the namespaces of services.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How long anything may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// Hardware address of the gateway's ports: higher than every random one, since a bridge likes to
/// take the lowest.
const HARDWARE: &str = "fe:ff:ff:ff:ff:ff";

static LABS: AtomicU32 = AtomicU32::new(0);

/// How the gateway gets its address in the Internet.
#[derive(Clone, Copy)]
pub enum Wan {
    /// From dnsmasq; every lease is renewed after three seconds.
    Dhcp,
    /// 203.0.113.50 from the configuration.
    Static,
}

/// Whether the kernel repeats what the program has decided.
#[derive(Clone, Copy, Debug)]
pub enum Path {
    /// It does, as in a home.
    Fast,
    /// Every packet goes by the program.
    Slow,
}

/// A side of the lab.
#[derive(Clone, Copy)]
pub enum Side {
    /// The gateway: eth0 and eth1.
    Gateway,
    /// A host of the home: l0, 192.168.1.50.
    Lan,
    /// The Internet: w0, 203.0.113.1, the router.
    Wan,
    /// A guest, where there are some: g0, 192.168.2.50.
    Guest,
    /// A host behind the Internet's router, once [`Lab::plug_far`] has made it: f0, 198.51.100.7.
    Far,
}

/// A process that ends with the test.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The lab.
pub struct Lab {
    name: String,
    folder: tempfile::TempDir,
    holder: Option<Running>,
    peers: Vec<Running>,
    netpath: Option<Running>,
    /// How the line is shared: the firmware's own.
    pub queues: PathBuf,
}

/// dnsmasq in the Internet, in the foreground, as far as it is the same for every purpose.
pub const DNSMASQ: [&str; 10] = [
    "dnsmasq",
    "--keep-in-foreground",
    "--conf-file=/dev/null",
    "--user=root",
    "--pid-file",
    "--interface=w0",
    "--bind-interfaces",
    "--except-interface=lo",
    "--no-resolv",
    "--no-hosts",
];

impl Lab {
    /// Everything but the program and the cables.
    pub fn bare(wan: Wan) -> Lab {
        let number = LABS.fetch_add(1, Ordering::Relaxed);
        let mut lab = Lab {
            name: format!("hp{}-{number}", std::process::id()),
            folder: tempfile::tempdir().unwrap(),
            holder: None,
            peers: Vec::new(),
            netpath: None,
            queues: concat!(env!("CARGO_MANIFEST_DIR"), "/../board/common/queues.toml").into(),
        };
        for side in [Side::Gateway, Side::Lan, Side::Wan] {
            lab.make(side);
        }
        let mut holder = lab.ip_netns(Side::Gateway, &["sleep", "infinity"]);
        lab.holder = Some(spawn(&mut holder));
        // Until then it is not in its namespaces, and a command would be in this machine's.
        let pid = lab.holder_pid();
        lab.until("the gateway's namespaces", || {
            fs::read_to_string(format!("/proc/{pid}/comm"))
                .unwrap()
                .trim()
                == "sleep"
        });
        // As PID 1 does; the maps pinned there go with the mount namespace.
        run(&mut lab.command(Side::Gateway, &["mount", "-t", "bpf", "bpf", "/sys/fs/bpf"]));
        fs::write(lab.path("gateway.toml"), config(wan)).unwrap();
        lab
    }

    /// Everything, and a guest at the gateway's eth2.
    pub fn with_guest() -> Lab {
        let mut lab = Lab::bare(Wan::Static);
        lab.make(Side::Guest);
        let config = format!(
            "{}[guest]\ninterface = \"eth2\"\naddress = \"192.168.2.1\"\nprefix = 24\n\
             pool-first = \"192.168.2.100\"\npool-last = \"192.168.2.199\"\nresolver = \"192.168.2.2\"\n",
            config(Wan::Static)
        );
        fs::write(lab.path("gateway.toml"), config).unwrap();
        lab.plug_lan();
        lab.plug_wan();
        lab.cable(Side::Guest, "g0", "eth2");
        let up =
            "address add 192.168.2.50/24 dev g0\nlink set g0 up\nroute add default via 192.168.2.1";
        lab.ip_batch(Side::Guest, up);
        lab.start();
        lab.until_pings(Side::Lan, "203.0.113.1");
        lab.until_pings(Side::Guest, "203.0.113.1");
        lab
    }

    fn make(&self, side: Side) {
        run(Command::new("ip").args(["netns", "add", &self.space(side)]));
        for setting in ["all", "default"] {
            let setting = format!("net.ipv6.conf.{setting}.disable_ipv6=1");
            run(&mut self.ip_netns(side, &["sysctl", "-qe", &setting]));
        }
        run(&mut self.ip_netns(side, &["ip", "link", "set", "lo", "up"]));
    }

    /// With cables, an address server where one is wanted, and the program, which forwards.
    pub fn new(wan: Wan) -> Lab {
        let mut lab = Lab::bare(wan);
        lab.plug_lan();
        lab.plug_wan();
        if let Wan::Dhcp = wan {
            lab.serve_addresses();
        }
        lab.start();
        lab.until_pings(Side::Lan, "203.0.113.1");
        lab
    }

    /// With cables and the program, which forwards in this way; its WAN is configured.
    pub fn by(path: Path) -> Lab {
        Lab::chosen(path, "")
    }

    /// The same with more lines in the configuration.
    pub fn chosen(path: Path, choices: &str) -> Lab {
        let mut lab = Lab::bare(Wan::Static);
        let all = config(Wan::Static) + choices;
        fs::write(lab.path("gateway.toml"), all).unwrap();
        if let Path::Slow = path {
            run(&mut lab.command(Side::Gateway, &["umount", "/sys/fs/bpf"]));
        }
        lab.plug_lan();
        lab.plug_wan();
        lab.start();
        lab.until_pings(Side::Lan, "203.0.113.1");
        let is_on = lab.log().contains("fast path: on");
        assert_eq!(is_on, matches!(path, Path::Fast), "{}", lab.log());
        lab
    }

    /// A network behind the Internet's router.
    pub fn plug_far(&self) {
        let far = self.space(Side::Far);
        run(Command::new("ip").args(["netns", "add", &far]));
        run(Command::new("ip")
            .args(["link", "add", "f0", "netns", &far, "type", "veth"])
            .args(["peer", "name", "w1", "netns", &self.space(Side::Wan)]));
        self.ip_batch(
            Side::Wan,
            "address add 198.51.100.1/24 dev w1\nlink set w1 up",
        );
        let up = "link set lo up\naddress add 198.51.100.7/24 dev f0\nlink set f0 up\n\
                  route add default via 198.51.100.1";
        self.ip_batch(Side::Far, up);
        // Linux tells one host of six errors in a row, and then of one a second (icmp(7)).
        let talkative = "net.ipv4.icmp_ratelimit=0";
        let router = ["sysctl", "-qw", "net.ipv4.ip_forward=1", talkative];
        run(&mut self.command(Side::Wan, &router));
        run(&mut self.command(Side::Far, &["sysctl", "-qw", talkative]));
        self.until_pings(Side::Far, "203.0.113.1");
    }

    /// A cable to the home.
    pub fn plug_lan(&self) {
        self.cable(Side::Lan, "l0", "eth0");
        let up =
            "address add 192.168.1.50/24 dev l0\nlink set l0 up\nroute add default via 192.168.1.1";
        self.ip_batch(Side::Lan, up);
    }

    /// A cable to the Internet.
    pub fn plug_wan(&self) {
        self.cable(Side::Wan, "w0", "eth1");
        self.ip_batch(
            Side::Wan,
            "address add 203.0.113.1/24 dev w0\nlink set w0 up",
        );
    }

    fn cable(&self, side: Side, name: &str, port: &str) {
        let (there, gateway) = (self.space(side), self.space(Side::Gateway));
        run(Command::new("ip")
            .args(["link", "add", name, "netns", &there, "type", "veth"])
            .args(["peer", "name", port, "address", HARDWARE, "netns", &gateway]));
    }

    /// An address server in the Internet.
    pub fn serve_addresses(&mut self) {
        let server = self.address_server("203.0.113.100,203.0.113.120");
        self.peers.push(server);
    }

    /// An address server in the Internet that gives addresses of a range, and knows no lease of another one.
    pub fn address_server(&self, range: &str) -> Running {
        let (leases, log) = (self.path("leases"), self.path("dnsmasq.log"));
        let server = [
            "--no-ping",
            "--dhcp-authoritative",
            &format!("--dhcp-range={range},255.255.255.0,1h"),
            "--dhcp-option=option:T1,3",
            "--dhcp-option=option:T2,1800",
            "--address=/server.test/203.0.113.1",
            &format!("--dhcp-leasefile={}", leases.display()),
            &format!("--log-facility={}", log.display()),
        ];
        // Who gave the leases before has gone with its book.
        if let Err(e) = fs::remove_file(&leases) {
            assert_eq!(e.kind(), std::io::ErrorKind::NotFound);
        }
        let server = self.spawn(Side::Wan, &[&DNSMASQ[..], &server].concat());
        self.until_listens(Side::Wan, "udp", 67);
        server
    }

    /// Starts the program.
    pub fn start(&mut self) {
        let log = fs::File::options()
            .append(true)
            .create(true)
            .open(self.path("log"))
            .unwrap();
        let binary = env!("CARGO_BIN_EXE_hearth-netpath");
        let (config, run_folder) = (self.path("gateway.toml"), self.path(""));
        let mut command = self.command(Side::Gateway, &[binary]);
        command.args(["--config".as_ref(), config.as_os_str()]);
        command.args(["--run-dir".as_ref(), run_folder.as_os_str()]);
        command.args(["--queues".as_ref(), self.queues.as_os_str()]);
        command.args([
            "--networks".as_ref(),
            self.path("networks.toml").as_os_str(),
        ]);
        // A test that wants one makes it.
        command.args(["--cgroup".as_ref(), self.path("forwarding").as_os_str()]);
        self.netpath = Some(spawn(command.stderr(log)));
    }

    /// What the program says about its fast path when it is asked: flows now, packets and bytes since
    /// its start.
    pub fn fast_path(&self) -> [u64; 3] {
        let said = || {
            let log = self.log();
            let lines = log.lines().filter(|line| line.contains("fast_path_flows="));
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
        let before = said().len();
        let pid = self.netpath.as_ref().unwrap().0.id().to_string();
        run(Command::new("kill").args(["-USR1", &pid]));
        self.until("counters", || said().len() > before);
        let line = said().pop().unwrap();
        let numbers = line.split_whitespace().filter_map(|word| {
            let (_, number) = word.split_once('=')?;
            number.parse().ok()
        });
        numbers.collect::<Vec<_>>().try_into().unwrap()
    }

    /// Ends the program by SIGKILL.
    pub fn kill(&mut self) {
        self.netpath = None;
    }

    /// Whether the program has ended by itself.
    pub fn has_ended(&self) -> bool {
        let pid = self.netpath.as_ref().unwrap().0.id();
        let status = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        // Nobody has waited for it, so that it is a zombie then (proc(5)).
        status.rsplit(')').next().unwrap().starts_with(" Z")
    }

    /// What the program has logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// Asks the program what it has dropped, until it tells each of these lines.
    #[track_caller]
    pub fn until_counted(&self, lines: &[&str]) {
        let pid = i32::try_from(self.netpath.as_ref().unwrap().0.id()).unwrap();
        // SAFETY: kill(2) takes no pointer; the process is ours and was not waited for.
        let sent = unsafe { libc::kill(pid, libc::SIGUSR1) };
        assert_eq!(sent, 0);
        for line in lines {
            let told = format!("hearth-netpath: {line}\n");
            self.until(line, || self.log().contains(&told));
        }
    }

    /// What the address server has logged so far.
    pub fn dhcp_log(&self) -> String {
        fs::read_to_string(self.path("dnsmasq.log")).unwrap_or_default()
    }

    /// How often the program has looked for an address without knowing one. At first it may be more
    /// than once: the other end of a cable is not ready at the same time.
    pub fn searches(&self) -> usize {
        self.dhcp_log().matches("DHCPDISCOVER(").count()
    }

    /// Which network namespace a service's pin is, as its inode.
    pub fn namespace(&self, number: u16) -> String {
        let shown = self
            .in_service(number, &["readlink", "/proc/self/ns/net"])
            .output()
            .unwrap();
        assert!(shown.status.success(), "{}", text(&shown.stderr));
        text(&shown.stdout)
    }

    /// A file of the lab; the run folder is the lab's own folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn space(&self, side: Side) -> String {
        let side = match side {
            Side::Gateway => "gw",
            Side::Lan => "lan",
            Side::Wan => "wan",
            Side::Far => "far",
            Side::Guest => "guest",
        };
        format!("{}-{side}", self.name)
    }

    /// The network namespace of a side, as a file.
    pub fn namespace_of(&self, side: Side) -> PathBuf {
        match side {
            Side::Lan | Side::Wan | Side::Far | Side::Guest => {
                format!("/run/netns/{}", self.space(side)).into()
            }
            Side::Gateway => format!("/proc/{}/ns/net", self.holder_pid()).into(),
        }
    }

    /// The network namespace of a service, as a file: its pin is a mount of the gateway's.
    pub fn namespace_of_service(&self, number: u16) -> PathBuf {
        let root = format!("/proc/{}/root", self.holder_pid());
        let pin = self.path(&format!("netns/{number}"));
        PathBuf::from(&root).join(pin.strip_prefix("/").unwrap())
    }

    /// Says what the line carries, before the program starts.
    pub fn set_line(&self, upload: &str, download: &str) {
        let path = self.path("gateway.toml");
        let rates = format!("upload = \"{upload}\"\ndownload = \"{download}\"\n[services]");
        let text = fs::read_to_string(&path)
            .unwrap()
            .replace("[services]", &rates);
        fs::write(path, text).unwrap();
    }

    /// The hardware address of an interface of the gateway.
    pub fn hardware(&self, interface: &str) -> [u8; 6] {
        let path = format!("/sys/class/net/{interface}/address");
        hardware(&text(&self.run(Side::Gateway, &["cat", &path]).stdout))
    }

    fn holder_pid(&self) -> u32 {
        self.holder.as_ref().unwrap().0.id()
    }

    fn ip_netns(&self, side: Side, words: &[&str]) -> Command {
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &self.space(side)])
            .args(words);
        command
    }

    /// A command on a side.
    pub fn command(&self, side: Side, words: &[&str]) -> Command {
        match side {
            Side::Lan | Side::Wan | Side::Far | Side::Guest => self.ip_netns(side, words),
            Side::Gateway => {
                let mut command = Command::new("nsenter");
                command
                    .args(["-m", "-n", "-t", &self.holder_pid().to_string()])
                    .args(words);
                command
            }
        }
    }

    /// A command inside of a service's network namespace.
    pub fn in_service(&self, id: u16, words: &[&str]) -> Command {
        let pin = self.path(&format!("netns/{id}"));
        let enter = format!("--net={}", pin.display());
        let words = [&["nsenter", &enter], words].concat();
        self.command(Side::Gateway, &words)
    }

    /// Runs a command on a side to its end.
    pub fn run(&self, side: Side, words: &[&str]) -> Output {
        self.command(side, words).output().unwrap()
    }

    /// Starts a command on a side, for as long as the answer lives.
    pub fn spawn(&self, side: Side, words: &[&str]) -> Running {
        spawn(&mut self.command(side, words))
    }

    /// Keeps a process until the lab ends.
    pub fn keep(&mut self, process: Running) {
        self.peers.push(process);
    }

    /// The commands of ip(8), one a line, on a side.
    pub fn ip_batch(&self, side: Side, lines: &str) {
        for line in lines.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            run(&mut self.command(side, &[&["ip"], words.as_slice()].concat()));
        }
    }

    /// The IPv4 addresses of an interface of the gateway, each with its prefix length.
    pub fn addresses(&self, interface: &str) -> String {
        let shown = self.run(
            Side::Gateway,
            &["ip", "-4", "-br", "address", "show", interface],
        );
        let words = text(&shown.stdout);
        words
            .split_whitespace()
            .skip(2)
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// The gateway's address in the Internet, without the prefix length.
    pub fn wan_address(&self) -> String {
        self.addresses("eth1").split('/').next().unwrap().to_owned()
    }

    /// Waits until something is so; fails with `what` and the program's log.
    #[track_caller]
    pub fn until(&self, what: &str, is_so: impl FnMut() -> bool) {
        self.until_within(PATIENCE, what, is_so);
    }

    /// The same for what takes longer by its nature.
    #[track_caller]
    pub fn until_within(&self, patience: Duration, what: &str, mut is_so: impl FnMut() -> bool) {
        let end = Instant::now() + patience;
        while !is_so() {
            assert!(
                Instant::now() < end,
                "no {what} in time\n{}{}",
                self.log(),
                self.dhcp_log()
            );
            std::thread::sleep(LOOK);
        }
    }

    /// Waits for an echo: links need a moment after they are up.
    #[track_caller]
    pub fn until_pings(&self, from: Side, to: &str) {
        let ping = ["ping", "-n", "-c", "1", "-W", "1", to];
        self.until(&format!("echo from {to}"), || {
            self.run(from, &ping).status.success()
        });
    }

    /// Waits for a server on a side.
    pub fn until_listens(&self, side: Side, protocol: &str, port: u16) {
        let flag = if protocol == "udp" { "-Hlnu" } else { "-Hlnt" };
        let filter = format!("sport = :{port}");
        let words = ["ss", flag, &filter];
        self.until(&format!("server on {protocol} port {port}"), || {
            !self.run(side, &words).stdout.is_empty()
        });
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.netpath = None;
        self.peers.clear();
        self.holder = None;
        for side in [Side::Gateway, Side::Lan, Side::Wan, Side::Far, Side::Guest] {
            // Not every lab has all of them.
            let _ = Command::new("ip")
                .args(["netns", "del", &self.space(side)])
                .stderr(Stdio::null())
                .status();
        }
    }
}

/// Starts a process that dies with the thread that runs the test.
pub fn spawn(command: &mut Command) -> Running {
    let die_with_us = || {
        // SAFETY: prctl(2) takes no pointer here.
        unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
        Ok(())
    };
    // SAFETY: between fork and exec, one system call is made and nothing else.
    unsafe { command.pre_exec(die_with_us) };
    Running(command.stdin(Stdio::null()).spawn().unwrap())
}

#[track_caller]
fn run(command: &mut Command) {
    let done = command.output().unwrap();
    assert!(done.status.success(), "{command:?}: {}", text(&done.stderr));
}

/// The address that is written so.
pub fn hardware(text: &str) -> [u8; 6] {
    let bytes = text.trim().split(':');
    let bytes: Vec<u8> = bytes.map(|b| u8::from_str_radix(b, 16).unwrap()).collect();
    bytes.try_into().unwrap()
}

/// What a command has printed.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn config(wan: Wan) -> String {
    let mode = match wan {
        Wan::Dhcp => "mode = \"dhcp\"",
        Wan::Static => {
            "mode = \"static\"\naddress = \"203.0.113.50\"\nprefix = 24\nrouter = \"203.0.113.1\"\n\
             resolvers = [\"203.0.113.1\"]"
        }
    };
    format!(
        "[lan]\ninterface = \"eth0\"\naddress = \"192.168.1.1\"\nprefix = 24\n\
         pool-first = \"192.168.1.100\"\npool-last = \"192.168.1.199\"\nresolver = \"192.168.1.2\"\n\
         [wan]\ninterface = \"eth1\"\n{mode}\n\
         [services]\nsubnet = \"10.213.0.0\"\nprefix = 22\n\
         [reserve]\nmemory-mib = 192\ncpu-milli = 300\n"
    )
}

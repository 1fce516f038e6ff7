//! A netpath without packets: it says yes to everything but one port, pins a file where a namespace would be, and
//! remembers what it was asked.

use super::record::{receive, send};
use hearth_model::ServiceId;
use hearth_model::drops::DropReason;
use hearth_model::gateway::GatewayConfig;
use hearth_model::limits::PROTOCOL_VERSION;
use hearth_model::networks::Networks;
use hearth_model::protocol::NetworkShare;
use hearth_model::protocol::{
    DropRow, Endpoint, FlowProtocol, FlowState, FromNetpath, GuardPlace, GuardRow, HostRow,
    HouseholdForward, LeafKind, LineClass, Look, NetRefusal, NetReport, OwnNetworks, QueueOwner,
    QueuePage, QueueRow, Seen, SessionRow, Shaping, ToNetpath, TraceEnd, TraceReport, TraceStep,
    Volume, WanLease, WanStatus, Zone,
};
use hearth_model::units::BitsPerSec;
use std::collections::BTreeMap;
use std::fs;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// A port that it forwards for nobody.
pub const REFUSED: u16 = 6_666;

static INSTANCE: AtomicU64 = AtomicU64::new(1);

pub struct Net {
    asked: Arc<Mutex<Vec<String>>>,
    shares: Arc<Mutex<BTreeMap<ServiceId, NetworkShare>>>,
    listener: Arc<OwnedFd>,
    connection: Arc<Mutex<Option<Arc<OwnedFd>>>>,
    socket: PathBuf,
}

impl Net {
    pub fn start(root: &Path) -> Net {
        let folder = root.join("run/hearth");
        fs::create_dir_all(folder.join("netns")).unwrap();
        let socket = folder.join("netpath.sock");
        let listener = Arc::new(listen(&socket));
        let net = Net {
            asked: Arc::default(),
            shares: Arc::default(),
            listener: Arc::clone(&listener),
            connection: Arc::default(),
            socket,
        };
        let (asked, connection) = (Arc::clone(&net.asked), Arc::clone(&net.connection));
        let shares = Arc::clone(&net.shares);
        let root = root.to_owned();
        let mut instance = INSTANCE.fetch_add(1, Ordering::Relaxed);
        let mut networks = networks(&root);
        std::thread::spawn(move || {
            while let Some(socket) = accept(&listener) {
                let socket = Arc::new(socket);
                *connection.lock().unwrap() = Some(Arc::clone(&socket));
                while let Some((record, _)) = receive::<ToNetpath>(&socket) {
                    asked.lock().unwrap().push(words(&record));
                    if record == ToNetpath::Renumber {
                        // Its end, and the next run.
                        instance = INSTANCE.fetch_add(1, Ordering::Relaxed);
                        networks = self::networks(&root);
                        break;
                    }
                    for answer in answers(&record, (instance, &networks), &folder) {
                        send(&socket, &answer, &[]);
                    }
                    if let ToNetpath::Attach { id, share, .. } = record {
                        shares.lock().unwrap().insert(id, share);
                    }
                }
                *connection.lock().unwrap() = None;
            }
        });
        net
    }

    /// The share of the line that a service was given last.
    #[allow(dead_code)] // not every test asks
    pub fn share(&self, number: u16) -> Option<NetworkShare> {
        let id = ServiceId::new(number).unwrap();
        self.shares.lock().unwrap().get(&id).copied()
    }

    /// Says something by itself, once somebody is connected.
    #[allow(dead_code, reason = "not every test needs it")]
    pub fn say(&self, record: &FromNetpath) {
        super::until("a connection", || {
            let connection = self.connection.lock().unwrap();
            connection.as_ref().map(|socket| send(socket, record, &[]))
        });
    }

    /// What was asked since the last call, but for reports and queues, which are asked for again and again.
    pub fn asked(&self) -> Vec<String> {
        let all = std::mem::take(&mut *self.asked.lock().unwrap());
        all.into_iter()
            .filter(|word| !word.starts_with("report") && !word.starts_with("queues"))
            .collect()
    }
}

impl Drop for Net {
    /// Ends as a killed process does: the listener and the connection close.
    fn drop(&mut self) {
        let _gone = fs::remove_file(&self.socket);
        let connection = self.connection.lock().unwrap().take();
        for socket in connection.iter().chain([&self.listener]) {
            // SAFETY: shutdown(2) takes no pointer; the descriptor is open as long as the Arc.
            unsafe { libc::shutdown(socket.as_raw_fd(), libc::SHUT_RDWR) };
        }
    }
}

fn words(record: &ToNetpath) -> String {
    match record {
        ToNetpath::Hello { .. } => "hello".to_owned(),
        ToNetpath::Attach { id, .. } => format!("attach {id}"),
        ToNetpath::Detach { id } => format!("detach {id}"),
        ToNetpath::Forward(forward) => format!("forward {} {}", forward.id, forward.port),
        ToNetpath::Unforward { id } => format!("unforward {id}"),
        ToNetpath::OpenPorts(HouseholdForward { ports, to, to_port }) => {
            format!("open {ports} {to:?} {to_port}")
        }
        ToNetpath::ClosePorts(ports) => format!("close {ports}"),
        ToNetpath::SettlePorts => "settle".to_owned(),
        ToNetpath::Report => "report".to_owned(),
        ToNetpath::Queues { direction, from } => format!("queues {} {from}", direction.name()),
        ToNetpath::Look { look, .. } => format!("{look:?}"),
        ToNetpath::Renumber => "renumber".to_owned(),
    }
}

/// What the real one reads at its start.
fn networks(root: &Path) -> OwnNetworks {
    let text = |path| fs::read_to_string(root.join(path)).ok();
    let config = text("data/hearth/gateway.toml").or_else(|| text("etc/hearth/gateway.toml"));
    let config = GatewayConfig::parse("gateway.toml", &config.unwrap()).unwrap();
    let moved = text("data/hearth/state/networks.toml").unwrap_or_default();
    let moved = Networks::parse("networks.toml", &moved).unwrap();
    moved.applied_to(&config).own_networks()
}

fn answers(
    record: &ToNetpath,
    (instance, networks): (u64, &OwnNetworks),
    folder: &Path,
) -> Vec<FromNetpath> {
    match record {
        ToNetpath::Hello { .. } => {
            let lease = WanLease {
                address: [203, 0, 113, 7].into(),
                prefix: 24,
                router: None,
            };
            let resolvers = [Some([198, 51, 100, 1].into()), None, None];
            vec![
                FromNetpath::Welcome {
                    version: PROTOCOL_VERSION,
                    instance,
                    networks: networks.clone(),
                },
                FromNetpath::Wan(WanStatus {
                    lease: Some(lease),
                    resolvers,
                }),
            ]
        }
        ToNetpath::Attach { id, .. } => {
            fs::write(folder.join("netns").join(id.to_string()), "netns").unwrap();
            let thread = None;
            vec![FromNetpath::Attached { id: *id, thread }]
        }
        ToNetpath::Detach { id } => vec![FromNetpath::Detached { id: *id }],
        ToNetpath::Forward(forward) => vec![FromNetpath::Forwarded { id: forward.id }],
        ToNetpath::Unforward { id } => vec![FromNetpath::Forwarded { id: *id }],
        ToNetpath::OpenPorts(HouseholdForward { ports, .. }) if ports.first == REFUSED => {
            let reason = NetRefusal::PortReserved { port: REFUSED };
            vec![FromNetpath::PortsRefused {
                ports: *ports,
                reason,
            }]
        }
        ToNetpath::OpenPorts(forward) => vec![FromNetpath::PortsOpened(forward.ports)],
        ToNetpath::ClosePorts(ports) => vec![FromNetpath::PortsClosed(*ports)],
        ToNetpath::SettlePorts => vec![FromNetpath::PortsSettled],
        ToNetpath::Look { ticket, look } => seen(look).map_or_else(Vec::new, |seen| {
            let ticket = *ticket;
            vec![FromNetpath::Seen { ticket, seen }]
        }),
        ToNetpath::Report => {
            let report = NetReport {
                mappings: 3,
                mappings_max: 10,
                ..NetReport::default()
            };
            vec![FromNetpath::Report(report)]
        }
        ToNetpath::Queues { direction, .. } => vec![FromNetpath::Queues(QueuePage {
            direction: *direction,
            shaping: Shaping::Off,
            rows: Default::default(),
            next: None,
        })],
        ToNetpath::Renumber => Vec::new(),
    }
}

/// A LAN host, 192.168.1.20, with 30 flows in three pages; a service, 10.213.0.2; what was dropped. Asked
/// what becomes of a packet to port 9, it does not answer.
fn seen(look: &Look) -> Option<Seen> {
    let end = |address: [u8; 4], port| Endpoint {
        address: address.into(),
        port,
    };
    let volume = |packets, bytes| Volume { packets, bytes };
    Some(match look {
        Look::Report => Seen::Report(NetReport {
            mappings: 30,
            mappings_max: 32_768,
            ..NetReport::default()
        }),
        Look::Queues { direction, from } => Seen::Queues(QueuePage {
            direction: *direction,
            shaping: Shaping::On {
                rate: BitsPerSec(19_000_000),
                leaf: LeafKind::Cake,
            },
            rows: [QueueRow {
                owner: if *from == 0 {
                    QueueOwner::Class(LineClass::Bulk)
                } else {
                    QueueOwner::Service(ServiceId::new(1).unwrap())
                },
                class: LineClass::Bulk,
                rate: BitsPerSec(1_000_000),
                ceiling: BitsPerSec(19_000_000),
                bytes: 5,
                packets: 4,
                drops: 3,
                backlog: 2,
                waiting: 1,
            }]
            .into_iter()
            .collect(),
            next: (*from == 0).then_some(1),
        }),
        Look::Sessions { from, host } => {
            let numbers = 10_000 + from..10_010 + from;
            let rows = numbers.map(|port| SessionRow {
                protocol: FlowProtocol::Udp,
                inside: end([192, 168, 1, 20], port),
                outside: end([203, 0, 113, 7], port),
                remote: end([198, 51, 100, 9], 53),
                incoming: false,
                state: FlowState::Active,
                idle_s: 3,
                left_s: 27,
                carried: port == 10_000,
            });
            let rows = rows.filter(|row| host.is_none_or(|host| host == row.inside.address));
            Seen::Sessions {
                rows: rows.collect(),
                next: (*from < 20).then_some(from + 10),
            }
        }
        Look::Hosts { from } => {
            let row = |address: [u8; 4]| HostRow {
                address: address.into(),
                sessions: 30,
                sent: volume(100, 20_000),
                received: volume(200, 40_000),
                sent_lately: volume(10, 2_500),
                received_lately: volume(20, 5_000),
            };
            let rows = [[192, 168, 1, 20], [10, 213, 0, 2]];
            let one = rows.get(usize::from(*from)).map(|address| row(*address));
            Seen::Hosts {
                rows: one.into_iter().collect(),
                next: (*from == 0).then_some(1),
                window_ms: 10_000,
            }
        }
        Look::Drops { from } => Seen::Drops {
            rows: DropReason::ALL
                .iter()
                .skip(usize::from(*from))
                .take(20)
                .map(|&reason| DropRow {
                    reason,
                    dropped: if reason == DropReason::Unsolicited {
                        7
                    } else {
                        0
                    },
                    answered: u64::from(reason == DropReason::ServicePolicy),
                })
                .collect(),
            next: (*from == 0).then_some(20),
        },
        Look::Guards { .. } => Seen::Guards {
            rows: [GuardRow {
                place: GuardPlace::Link(ServiceId::new(0).unwrap()),
                dropped: core::array::from_fn(|at| if at == 2 { 9 } else { 0 }),
            }]
            .into_iter()
            .collect(),
            next: None,
        },
        Look::Trace(flow) if flow.destination.port == 9 => return None,
        Look::Trace(flow) => Seen::Trace(TraceReport {
            steps: [
                TraceStep::Guard(Some(GuardPlace::Ports), None),
                TraceStep::Arrives(flow.from),
                TraceStep::Leaves {
                    to: Zone::Wan,
                    source: flow.source,
                    destination: flow.destination,
                },
            ]
            .into_iter()
            .collect(),
            end: TraceEnd::Forwarded,
        }),
    })
}

fn listen(path: &Path) -> OwnedFd {
    let bytes = path.as_os_str().as_bytes();
    // SAFETY: plain calls on a live, zeroed sockaddr_un with a NUL-terminated path.
    unsafe {
        let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC;
        let fd = OwnedFd::from_raw_fd(libc::socket(libc::AF_UNIX, kind, 0));
        let mut address: libc::sockaddr_un = std::mem::zeroed();
        address.sun_family = libc::AF_UNIX as _;
        assert!(bytes.len() < address.sun_path.len());
        for (place, &byte) in address.sun_path.iter_mut().zip(bytes) {
            *place = byte as _;
        }
        let length = std::mem::size_of_val(&address) as u32;
        let pointer = (&raw const address).cast();
        assert_eq!(libc::bind(fd.as_raw_fd(), pointer, length), 0);
        assert_eq!(libc::listen(fd.as_raw_fd(), 4), 0);
        fd
    }
}

fn accept(listener: &OwnedFd) -> Option<OwnedFd> {
    let none = std::ptr::null_mut();
    // SAFETY: the peer's address is not asked for, so both pointers may be null.
    let fd = unsafe { libc::accept4(listener.as_raw_fd(), none, none.cast(), libc::SOCK_CLOEXEC) };
    // SAFETY: the kernel has just made `fd` for us, where it is one.
    (fd >= 0).then(|| unsafe { OwnedFd::from_raw_fd(fd) })
}

//! A netpath without packets: it says yes to everything but one port, pins a file where a namespace would be, and
//! remembers what it was asked.

use super::record::{receive, send};
use hearth_model::ServiceId;
use hearth_model::limits::PROTOCOL_VERSION;
use hearth_model::protocol::NetworkShare;
use hearth_model::protocol::{
    FromNetpath, HouseholdForward, NetRefusal, NetReport, QueuePage, Shaping, ToNetpath, WanLease,
    WanStatus,
};
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
        let instance = INSTANCE.fetch_add(1, Ordering::Relaxed);
        std::thread::spawn(move || {
            while let Some(socket) = accept(&listener) {
                let socket = Arc::new(socket);
                *connection.lock().unwrap() = Some(Arc::clone(&socket));
                while let Some((record, _)) = receive::<ToNetpath>(&socket) {
                    for answer in answers(&record, instance, &folder) {
                        send(&socket, &answer, &[]);
                    }
                    asked.lock().unwrap().push(words(&record));
                    if let ToNetpath::Attach { id, share, .. } = record {
                        shares.lock().unwrap().insert(id, share);
                    }
                }
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
    }
}

fn answers(record: &ToNetpath, instance: u64, folder: &Path) -> Vec<FromNetpath> {
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
                },
                FromNetpath::Wan(WanStatus {
                    lease: Some(lease),
                    resolvers,
                }),
            ]
        }
        ToNetpath::Attach { id, .. } => {
            fs::write(folder.join("netns").join(id.to_string()), "netns").unwrap();
            vec![FromNetpath::Attached { id: *id }]
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
    }
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

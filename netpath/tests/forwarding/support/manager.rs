//! The manager's side of netpath.sock.

use super::lab::{Lab, PATIENCE};
use hearth_model::ServiceId;
use hearth_model::limits::{PROTOCOL_VERSION, RECORD_MAX};
use hearth_model::protocol::{
    Forward, FromNetpath, Link, NetRefusal, NetworkPolicy, NetworkShare, OwnNetworks, ToNetpath,
    Transport, WanEvent, WanStatus, Zone, decode, encode,
};
use std::io::{ErrorKind, Read, Write};
use std::net::Ipv4Addr;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

/// A connection that has been greeted.
pub struct Manager {
    // Only its read, write and timeout are used, which do the same on every kind of socket.
    socket: UnixStream,
    /// What netpath said about itself.
    pub instance: u64,
    /// The WAN's address, as told last.
    pub wan: WanStatus,
    /// What can not be taken, as told last.
    pub overlap: Option<WanStatus>,
    /// The networks that netpath forwards for.
    pub networks: OwnNetworks,
    events: Vec<WanEvent>,
}

/// A service's number.
pub fn service(number: u16) -> ServiceId {
    ServiceId::new(number).unwrap()
}

/// A forward of a TCP port.
pub fn tcp(number: u16, from: Zone, port: u16, to_port: u16) -> Forward {
    Forward {
        id: service(number),
        transport: Transport::Tcp,
        from,
        port,
        to_port,
    }
}

/// A service's routed link.
pub fn routed(number: u16, policy: NetworkPolicy) -> Link {
    let address = Ipv4Addr::new(10, 213, 0, 2 + u8::try_from(number).unwrap());
    Link::Routed { address, policy }
}

impl Manager {
    /// Connects to the lab's program, as soon as it listens, and greets it.
    pub fn connect(lab: &Lab) -> Manager {
        let path = lab.path("netpath.sock");
        let mut socket = None;
        lab.until("control socket", || {
            socket = seqpacket(&path);
            socket.is_some()
        });
        let socket = UnixStream::from(socket.unwrap());
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut manager = Manager {
            socket,
            instance: 0,
            wan: WanStatus::default(),
            overlap: None,
            networks: OwnNetworks::new(),
            events: Vec::new(),
        };
        let hello = ToNetpath::Hello {
            version: PROTOCOL_VERSION,
        };
        match manager.ask(&hello) {
            FromNetpath::Welcome {
                instance, networks, ..
            } => (manager.instance, manager.networks) = (instance, networks),
            other => panic!("{other:?}"),
        }
        manager
    }

    /// The next record, whatever it is.
    pub fn hear(&mut self) -> FromNetpath {
        let mut buffer = [0; RECORD_MAX];
        let length = loop {
            match self.socket.read(&mut buffer) {
                // A machine that is paused wakes what waits with a limit (signal(7)).
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                read => break read.unwrap(),
            }
        };
        decode(&buffer[..length]).unwrap()
    }

    /// Whether netpath has closed the connection.
    pub fn is_closed(&mut self) -> bool {
        matches!(self.socket.read(&mut [0; RECORD_MAX]), Ok(0))
    }

    /// Sends bytes as one record.
    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).unwrap();
    }

    /// Asks, and returns the answer; what is told in between about the WAN is remembered.
    pub fn ask(&mut self, request: &ToNetpath) -> FromNetpath {
        self.send(request);
        loop {
            match self.hear() {
                FromNetpath::Wan(status) => self.wan = status,
                FromNetpath::Overlap(offered) => self.overlap = offered,
                FromNetpath::WanEvent(event) => self.events.push(event),
                answer => return answer,
            }
        }
    }

    /// Sends a record that has no answer.
    pub fn send(&mut self, record: &ToNetpath) {
        let mut buffer = [0; RECORD_MAX];
        let bytes = encode(record, &mut buffer).unwrap();
        self.send_bytes(bytes);
    }

    /// Waits until netpath tells that the WAN has an address, or none.
    pub fn until_wan(&mut self, has_address: bool) {
        while self.wan.lease.is_some() != has_address {
            self.hear_of_wan();
        }
    }

    /// Waits until netpath tells that a server's offer overlaps a network of our own.
    pub fn until_overlap(&mut self) -> WanStatus {
        loop {
            match self.overlap {
                Some(offered) => return offered,
                None => self.hear_of_wan(),
            }
        }
    }

    /// The next event of the WAN's address.
    pub fn next_event(&mut self) -> WanEvent {
        while self.events.is_empty() {
            self.hear_of_wan();
        }
        self.events.remove(0)
    }

    fn hear_of_wan(&mut self) {
        match self.hear() {
            FromNetpath::Wan(status) => self.wan = status,
            FromNetpath::Overlap(offered) => self.overlap = offered,
            FromNetpath::WanEvent(event) => self.events.push(event),
            other => panic!("{other:?}"),
        }
    }

    /// Asks for a link; the thread that takes its packets into the service.
    pub fn attach(&mut self, number: u16, link: Link) -> Option<u32> {
        let id = service(number);
        let share = NetworkShare::default();
        match self.ask(&ToNetpath::Attach { id, link, share }) {
            FromNetpath::Attached { id: of, thread } if of == id => thread,
            other => panic!("{other:?}"),
        }
    }

    /// Asks for a forward.
    pub fn forward(&mut self, forward: Forward) {
        let answer = self.ask(&ToNetpath::Forward(forward));
        assert_eq!(answer, FromNetpath::Forwarded { id: forward.id });
    }

    /// Asks for something that is refused, and returns why.
    pub fn refusal(&mut self, request: &ToNetpath) -> NetRefusal {
        match self.ask(request) {
            FromNetpath::Refused { reason, .. } => reason,
            other => panic!("{request:?} was not refused: {other:?}"),
        }
    }
}

fn seqpacket(path: &Path) -> Option<OwnedFd> {
    let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC;
    // SAFETY: socket(2) takes no pointer.
    let raw = unsafe { libc::socket(libc::AF_UNIX, kind, 0) };
    assert!(raw >= 0);
    // SAFETY: the kernel has just made it for us.
    let fd = unsafe { OwnedFd::from_raw_fd(raw) };
    // SAFETY: all zeroes is a value of sockaddr_un.
    let mut address = unsafe { std::mem::zeroed::<libc::sockaddr_un>() };
    address.sun_family = libc::AF_UNIX as libc::sa_family_t;
    let bytes = path.as_os_str().as_bytes();
    assert!(bytes.len() < address.sun_path.len());
    for (place, byte) in address.sun_path.iter_mut().zip(bytes) {
        *place = byte.cast_signed();
    }
    let length = size_of::<libc::sockaddr_un>() as libc::socklen_t;
    // SAFETY: the kernel reads `length` bytes of a live sockaddr_un.
    let done = unsafe { libc::connect(raw, (&raw const address).cast(), length) };
    (done == 0).then_some(fd)
}

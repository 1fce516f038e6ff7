//! The queues of the line: set up when the ports come, kept as services come, change and go, and told about.
//!
//! Packets to the Internet wait at its port. Those from there wait on a pair of links, all of them on the
//! same one, before they leave for the home or a service. Where a queue can not be had, packets leave as
//! they come, and that is told.

mod pair;
mod side;

use super::ports::Tuns;
use super::{Gateway, links};
use hearth_bpf::netlink::Netlink;
use hearth_bpf::qdisc::{self, Counts};
use hearth_bpf::{KernelError, tc};
use hearth_model::gateway::Wan;
use hearth_model::protocol::{
    Direction, LeafKind, LineClass, NetworkShare, QUEUE_ROWS_MAX, QueueOwner, QueuePage, QueueRow,
    QueueStep, Shaping, Zone,
};
use hearth_model::queues::{CodePoint, QueueData};
use hearth_model::{BitsPerSec, ServiceId};
use hearth_netpath::fastpath::FastPath;
use hearth_netpath::nat::Verdict;
use hearth_netpath::queue::classes::{GATEWAY_ROW, HOME_ROW, SERVICE_ROWS, Written};
use hearth_netpath::queue::plan;
use hearth_netpath::queue::programs::{Programs, errno};
use hearth_netpath::queue::{self, Members};
use side::Side;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// Both directions, and whose packets wait in them.
#[derive(Debug)]
pub struct Queues {
    data: Option<QueueData>,
    programs: Option<Programs>,
    up: Side,
    down: Side,
    services: BTreeMap<ServiceId, NetworkShare>,
    /// Whose packets are of which class.
    pub members: Members,
}

/// A failed step.
type Failed = (QueueStep, KernelError);

impl Queues {
    /// Loads what chooses classes, and makes the place where downloads wait, if the household has said what
    /// the line carries; `data`: none where the data file is wrong.
    pub fn open(netlink: &mut Netlink, tuns: &Tuns, wan: &Wan, data: Option<QueueData>) -> Queues {
        let mut queues = Queues {
            members: data
                .as_ref()
                .map_or_else(Members::default, |data| Members::new(&data.class)),
            data,
            programs: None,
            up: Side::new(Direction::Up, wan.upload),
            down: Side::new(Direction::Down, wan.download),
            services: BTreeMap::new(),
        };
        match queues.load(netlink, tuns) {
            Ok(()) => queues.make_pair(netlink),
            Err((step, e)) => {
                log::warn!(
                    "queues: packets are not told apart: could not {}: {e}",
                    step.what()
                );
                queues.members = Members::default();
                for side in [&mut queues.up, &mut queues.down] {
                    side.fail(step, &e);
                }
            }
        }
        if queues.pair() == 0 {
            pair::remove(netlink);
        }
        queues
    }

    fn load(&mut self, netlink: &mut Netlink, tuns: &Tuns) -> Result<(), Failed> {
        let refused = KernelError::Refused {
            what: "read the queues' data file",
            errno: libc::EINVAL,
        };
        let no_data = (QueueStep::Data, refused);
        let classes = &self.data.as_ref().ok_or(no_data)?.class;
        let refused = |e: hearth_bpf::LoadError| {
            let what = "load the programs of the queues";
            let errno = errno(&e);
            log::warn!("queues: {e}");
            (QueueStep::Programs, KernelError::Refused { what, errno })
        };
        let programs = Programs::load().map_err(refused)?;
        for (number, row) in [
            (HOME_ROW, queue::home_row(classes)),
            (GATEWAY_ROW, queue::gateway_row(classes)),
        ] {
            programs.set_row(number, &row).map_err(refused)?;
        }
        let [lan, wan, service, guest] = tuns.indices;
        for (index, program) in [
            (lan, &programs.written),
            (wan, &programs.written_from_wan),
            (service, &programs.written),
            (guest, &programs.written),
        ] {
            tc::attach_ingress(netlink, index, program).map_err(|e| (QueueStep::Programs, e))?;
        }
        self.programs = Some(programs);
        Ok(())
    }

    fn make_pair(&mut self, netlink: &mut Netlink) {
        let Some(programs) = self.programs.as_ref() else {
            return;
        };
        if self.down.wanted.is_none() {
            return;
        }
        match pair::make(netlink, programs) {
            Ok(index) => {
                self.down.device = Some(index);
                self.down.apply(netlink, self.data.as_ref(), &self.services);
            }
            Err(e) => {
                log::warn!("queues down: {e}");
                let what = "make a pair of links";
                let errno = libc::ENODEV;
                self.down
                    .fail(QueueStep::Pair, &KernelError::Refused { what, errno });
            }
        }
    }

    /// Where packets of an inside address wait that say nothing about themselves (code point 0), and
    /// whether anything waits there; `None`: packets are not told apart.
    #[must_use]
    pub fn queue_of(
        &self,
        inside: Ipv4Addr,
        direction: Direction,
    ) -> Option<(QueueOwner, LineClass, bool)> {
        let data = self.data.as_ref().filter(|_| self.members.is_classed())?;
        let shaped = self.piece(direction).is_some();
        let own = self.members.service(inside);
        let own = own.and_then(|id| Some((id, self.services.get(&id)?)));
        Some(match own {
            Some((id, share)) => (QueueOwner::Service(id), plan::rank(share.class), shaped),
            None => {
                let class = data.class.of_home(CodePoint::default());
                (QueueOwner::Class(class), class, shaped)
            }
        })
    }

    /// Tells the fast path, before its first packet, what this process begins with.
    pub fn introduce(&self, fast: Option<&mut FastPath>) {
        if let Some(fast) = fast {
            fast.pair = self.pair();
            fast.ways.members = self.members.clone();
        }
    }

    /// The Internet's port is there: what leaves by it is told apart, and waits there.
    pub fn port(&mut self, netlink: &mut Netlink, index: u32) {
        if let Err(e) = self.try_port(netlink, index) {
            log::warn!("wan: packets are not told apart: {e}");
        }
    }

    fn try_port(&mut self, netlink: &mut Netlink, index: u32) -> Result<(), KernelError> {
        let Some(programs) = &self.programs else {
            return Ok(());
        };
        tc::attach_marker(netlink, index, &programs.leaves)?;
        self.up.device = Some(index);
        self.up.planned.clear();
        if self.up.wanted.is_none() {
            // One of an earlier run, when it was wanted.
            qdisc::remove_root(netlink, index)?;
        }
        self.up.apply(netlink, self.data.as_ref(), &self.services);
        Ok(())
    }

    /// The Internet's port has gone, with what waited there.
    pub fn no_port(&mut self) {
        self.up.device = None;
        self.up.planned.clear();
        if !matches!(self.up.shaping, Shaping::Failed { .. }) {
            self.up.shaping = Shaping::Off;
        }
    }

    /// A service is there, or its share has changed.
    pub fn attach(
        &mut self,
        netlink: &mut Netlink,
        id: ServiceId,
        address: Ipv4Addr,
        share: NetworkShare,
    ) {
        let (Some(data), Some(programs)) = (&self.data, &self.programs) else {
            return;
        };
        self.members.set(id, Some(address));
        self.services.insert(id, share);
        for side in [&mut self.up, &mut self.down] {
            side.apply(netlink, Some(data), &self.services);
        }
        // Without a queue of its own it is as a NIC's own bands have it.
        let class = plan::rank(share.class);
        let minor = match self.up.shaping {
            Shaping::On { .. } => plan::minor_of_service(id),
            Shaping::Off | Shaping::Failed { .. } => plan::minor_of(class),
        };
        let row = queue::service_row(&data.class, class, qdisc::class_id(minor));
        let number = SERVICE_ROWS + u32::try_from(id.index()).unwrap_or_default();
        if let Err(e) = programs.set_row(number, &row) {
            log::warn!("queues: service {id}: {e}");
        }
    }

    /// A service has gone.
    pub fn detach(&mut self, netlink: &mut Netlink, id: ServiceId) {
        self.members.set(id, None);
        if self.services.remove(&id).is_some() {
            for side in [&mut self.up, &mut self.down] {
                side.apply(netlink, self.data.as_ref(), &self.services);
            }
        }
    }

    /// The interface on which downloads wait; 0: they do not.
    #[must_use]
    pub fn pair(&self) -> u32 {
        match self.down.shaping {
            Shaping::On { .. } => self.down.device.unwrap_or(0),
            Shaping::Off | Shaping::Failed { .. } => 0,
        }
    }

    /// The largest piece of a stream that may be handed on as one packet towards a direction, bytes; `None`:
    /// any. CAKE cuts them itself.
    #[must_use]
    pub fn piece(&self, direction: Direction) -> Option<u32> {
        let side = match direction {
            Direction::Up => &self.up,
            Direction::Down => &self.down,
        };
        match side.shaping {
            Shaping::On {
                leaf: LeafKind::FqCodel | LeafKind::Pfifo,
                ..
            } => Some(side.line(self.data.as_ref()?)?.piece()),
            Shaping::On {
                leaf: LeafKind::Cake,
                ..
            }
            | Shaping::Off
            | Shaping::Failed { .. } => None,
        }
    }

    /// Says of which class the packet is that is written next: it came from a side, had and has these
    /// addresses, and the inside says `mark` in its flow.
    pub fn announce(
        &mut self,
        from: Zone,
        ([source, _], [_, destination]): ([Ipv4Addr; 2], [Ipv4Addr; 2]),
        verdict: &Verdict,
        mark: CodePoint,
    ) {
        let pair = self.pair();
        let members = &self.members;
        let class = match (from, verdict) {
            // Where it does not leave for the Internet, nobody asks.
            (Zone::Lan | Zone::Service | Zone::Guest, _) => members.up(source),
            // No program asks for it either.
            (Zone::Wan, _) if pair == 0 => return,
            (Zone::Wan, Verdict::Forward) => members.down(destination, mark),
            // To the gateway itself, which claims nothing.
            (Zone::Wan, Verdict::Local) => members.down(destination, CodePoint::default()),
            (
                Zone::Wan,
                Verdict::Reply(_) | Verdict::Dhcp(_) | Verdict::Held | Verdict::Drop(_),
            ) => 0,
        };
        let Some(programs) = &mut self.programs else {
            return;
        };
        if let Err(e) = programs.announce(Written { class, pair }) {
            // The packet is then of the class of the one before it.
            log::debug!("queues: {e}");
        }
    }

    /// A page of a direction's queues.
    pub fn page(&self, netlink: &mut Netlink, direction: Direction, from: u16) -> QueuePage {
        let side = match direction {
            Direction::Up => &self.up,
            Direction::Down => &self.down,
        };
        let mut page = QueuePage {
            direction,
            shaping: side.shaping,
            rows: heapless::Vec::new(),
            next: None,
        };
        let (Shaping::On { .. }, Some(device)) = (side.shaping, side.device) else {
            return page;
        };
        let counts = qdisc::leaves(netlink, device).unwrap_or_else(|e| {
            log::warn!("queues {}: {e}", direction.name());
            Vec::new()
        });
        let owned = side.planned.iter().filter_map(|p| Some((p, p.owner?)));
        for ((planned, owner), place) in owned.zip(0_u16..).skip(usize::from(from)) {
            if page.rows.len() == QUEUE_ROWS_MAX {
                page.next = Some(place);
                break;
            }
            let found = counts.iter().find(|c| c.minor == planned.class.minor);
            let none = Counts::default();
            let counted = found.unwrap_or(&none);
            let row = QueueRow {
                owner,
                class: planned.rank,
                rate: BitsPerSec(planned.class.rate * 8),
                ceiling: BitsPerSec(planned.class.ceiling * 8),
                bytes: counted.bytes,
                packets: counted.packets,
                drops: counted.drops,
                backlog: counted.backlog,
                waiting: counted.waiting,
            };
            // There is room: looked at above.
            page.rows.push(row).ok();
        }
        page
    }
}

impl Gateway {
    /// Tells the fast path where downloads wait, and the ports what they may hand on as one packet.
    pub(super) fn queues_changed(&mut self) {
        let pair = self.queues.pair();
        if let Some(fast) = self.nat.carrier_mut()
            && fast.pair != pair
        {
            fast.pair = pair;
            self.beat_at = hearth_model::Tick(0);
        }
        let wan = self.wan.as_ref().map(|side| side.index);
        for (port, direction) in [(self.lan, Direction::Up), (wan, Direction::Down)] {
            let Some(index) = port else { continue };
            let bytes = self
                .queues
                .piece(direction)
                .unwrap_or(super::limits::GRO_MAX);
            if let Err(e) = links::set_gro_max(&mut self.netlink, index, bytes) {
                // An older kernel: large pieces then wait as one.
                log::debug!("queues: {e}");
            }
        }
    }
}

/// Source and destination of an IPv4 packet (RFC 791); 0.0.0.0 where it is too short.
pub fn addresses(packet: &[u8]) -> [Ipv4Addr; 2] {
    [12, 16].map(|at| {
        let octets = packet.get(at..).and_then(<[u8]>::first_chunk::<4>);
        octets.map_or(Ipv4Addr::UNSPECIFIED, |octets| Ipv4Addr::from(*octets))
    })
}

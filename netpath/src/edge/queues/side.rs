//! A direction of the line: its classes on the device where its packets wait.

use super::Failed;
use hearth_bpf::KernelError;
use hearth_bpf::netlink::Netlink;
use hearth_bpf::qdisc;
use hearth_model::protocol::{Direction, LeafKind, LineClass, NetworkShare, QueueStep, Shaping};
use hearth_model::queues::QueueData;
use hearth_model::{BitsPerSec, ServiceId};
use hearth_netpath::queue::plan::{self, Line, Planned};
use std::collections::BTreeMap;

/// A direction.
#[derive(Debug)]
pub struct Side {
    pub direction: Direction,
    pub wanted: Option<BitsPerSec>,
    /// Where its packets wait, once that is there.
    pub device: Option<u32>,
    /// The kind of leaf that the kernel has.
    pub kind: Option<LeafKind>,
    pub planned: Vec<Planned>,
    pub shaping: Shaping,
}

impl Side {
    pub fn new(direction: Direction, wanted: Option<BitsPerSec>) -> Side {
        Side {
            direction,
            wanted,
            device: None,
            kind: None,
            planned: Vec::new(),
            shaping: Shaping::Off,
        }
    }

    pub fn line<'a>(&self, data: &'a QueueData) -> Option<Line<'a>> {
        Line::new(data, self.direction, self.wanted?)
    }

    pub fn fail(&mut self, step: QueueStep, error: &KernelError) {
        if self.wanted.is_some() {
            let errno = error.errno();
            self.shaping = Shaping::Failed { step, errno };
            log::warn!("queues {}: {}", self.direction.name(), self.shaping);
        }
    }

    /// Lets the classes be those of the services of now.
    pub fn apply(
        &mut self,
        netlink: &mut Netlink,
        data: Option<&QueueData>,
        services: &BTreeMap<ServiceId, NetworkShare>,
    ) {
        let (Some(data), Some(device), Some(_)) = (data, self.device, self.wanted) else {
            return;
        };
        let before = self.shaping;
        let services: Vec<_> = services.iter().map(|(id, share)| (*id, *share)).collect();
        match self.try_apply(netlink, device, data, &services) {
            Ok(on) => {
                self.shaping = on;
                if on != before {
                    log::info!("queues {}: {on}", self.direction.name());
                }
            }
            Err((step, e)) => {
                log::warn!("queues {}: {e}", self.direction.name());
                self.fail(step, &e);
                self.planned.clear();
                if let Err(e) = qdisc::remove_root(netlink, device) {
                    log::warn!("queues {}: {e}", self.direction.name());
                }
            }
        }
    }

    fn try_apply(
        &mut self,
        netlink: &mut Netlink,
        device: u32,
        data: &QueueData,
        services: &[(ServiceId, NetworkShare)],
    ) -> Result<Shaping, Failed> {
        let too_fast = KernelError::Refused {
            what: "shape so fast a line",
            errno: libc::ERANGE,
        };
        let line = self.line(data).ok_or((QueueStep::Classes, too_fast))?;
        let plan = line.classes(services);
        let classes = |e| (QueueStep::Classes, e);
        if self.planned.is_empty() {
            let default = plan::minor_of(LineClass::Bulk);
            qdisc::set_root(netlink, device, default).map_err(classes)?;
        }
        for new in plan.iter().filter(|new| !self.planned.contains(new)) {
            qdisc::set_class(netlink, device, &new.class).map_err(classes)?;
        }
        let minors = |all: &[Planned]| all.iter().map(|p| p.class.minor).collect::<Vec<_>>();
        let (old, now) = (minors(&self.planned), minors(&plan));
        let mut kind = self.kind;
        for new in plan.iter().filter(|new| new.owner.is_some()) {
            let minor = new.class.minor;
            if !old.contains(&minor) {
                let used = set_leaf(netlink, (device, minor), &line, kind, &data.leaf.order);
                kind = Some(used.map_err(|e| (QueueStep::Leaves, e))?);
            }
        }
        for gone in old.iter().filter(|minor| !now.contains(minor)) {
            qdisc::remove_class(netlink, device, *gone).map_err(classes)?;
        }
        self.planned = plan;
        self.kind = kind;
        let leaf = kind.unwrap_or(LeafKind::Pfifo);
        Ok(Shaping::On {
            rate: line.rate,
            leaf,
        })
    }
}

/// Gives a class the best leaf that the kernel has, or that of the other classes.
fn set_leaf(
    netlink: &mut Netlink,
    (device, minor): (u32, u16),
    line: &Line<'_>,
    known: Option<LeafKind>,
    order: &[LeafKind],
) -> Result<LeafKind, KernelError> {
    let mut refused = KernelError::Answer;
    let one = known.as_slice();
    for kind in if one.is_empty() { order } else { one } {
        match qdisc::set_leaf(netlink, device, minor, &line.leaf(*kind)) {
            Ok(()) => return Ok(*kind),
            Err(e) if e.errno() == libc::ENOENT => {
                log::info!("queues: the kernel has no {}", kind.name());
                refused = e;
            }
            Err(e) => return Err(e),
        }
    }
    Err(refused)
}

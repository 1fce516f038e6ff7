//! What people ask, a page at a time. Nothing is changed but counters, which are read.

use super::Gateway;
use super::services::outside;
use core::net::Ipv4Addr;
use hearth_model::Tick;
use hearth_model::drops::{DropReason, Stray};
use hearth_model::protocol::{
    Direction, DropRow, Flow, FlowPath, FromNetpath, GuardPlace, GuardRow, Look, Seen, TraceEnd,
    TraceReport, TraceStep, Zone,
};

impl Gateway {
    /// Answers a question.
    pub(super) fn look(&mut self, ticket: u32, look: Look, now: Tick) -> FromNetpath {
        let seen = match look {
            Look::Sessions { from, host } => {
                let (rows, next) = self.nat.list_sessions(from, host, now);
                Seen::Sessions { rows, next }
            }
            Look::Hosts { from } => {
                let ((rows, next), window_ms) = self.nat.list_hosts(from);
                Seen::Hosts {
                    rows,
                    next,
                    window_ms,
                }
            }
            Look::Queues { direction, from } => {
                Seen::Queues(self.queues.page(&mut self.netlink, direction, from))
            }
            Look::Report => Seen::Report(self.report(now)),
            Look::Drops { from } => self.drops(from),
            Look::Guards { from } => self.guards(from),
            Look::Trace(flow) => Seen::Trace(self.trace(&flow, now)),
        };
        FromNetpath::Seen { ticket, seen }
    }

    fn drops(&self, from: u16) -> Seen {
        let counters = self.nat.counters();
        let mut rows = heapless::Vec::new();
        let all = (0u16..).zip(DropReason::ALL).skip(usize::from(from));
        for (number, &reason) in all {
            let row = DropRow {
                reason,
                dropped: counters.dropped(reason),
                answered: counters.answered(reason),
            };
            if rows.push(row).is_err() {
                let next = Some(number);
                return Seen::Drops { rows, next };
            }
        }
        Seen::Drops { rows, next: None }
    }

    fn guards(&self, from: u16) -> Seen {
        let mut rows = heapless::Vec::new();
        let ports = (GuardPlace::Ports, self.tuns.guard().as_ref());
        let links = self.services.guards();
        let links = links.map(|(id, guard)| (GuardPlace::Link(id), guard));
        let all = [ports].into_iter().chain(links).zip(0u16..);
        for ((place, guard), number) in all.skip(usize::from(from)) {
            let next = Some(number);
            if rows.is_full() {
                return Seen::Guards { rows, next };
            }
            // One whose counters can not be read is left out; its link is about to go.
            if let Ok(counts) = guard.dropped() {
                let dropped = counts.map(|(_, count)| count);
                // There is room: looked at above.
                rows.push(GuardRow { place, dropped }).unwrap_or(());
            }
        }
        Seen::Guards { rows, next: None }
    }

    /// Where a packet waits while the line is full.
    fn queue_step(&self, flow: &Flow, to: Zone, target: Ipv4Addr) -> Option<TraceStep> {
        let (direction, inside) = match (flow.from, to) {
            (_, Zone::Wan) => (Direction::Up, flow.source.address),
            (Zone::Wan, Zone::Lan | Zone::Service | Zone::Guest) => (Direction::Down, target),
            (Zone::Lan | Zone::Service | Zone::Guest, Zone::Lan | Zone::Service | Zone::Guest) => {
                return None;
            }
        };
        let (owner, class, shaped) = self.queues.queue_of(inside, direction)?;
        Some(TraceStep::Queue {
            direction,
            owner,
            class,
            shaped,
        })
    }

    /// What would become of a packet: the guard first, then the machine.
    fn trace(&self, flow: &Flow, now: Tick) -> TraceReport {
        let id = self.services.with_address(flow.source.address);
        let (place, stray) = match (flow.from, id) {
            (Zone::Lan | Zone::Guest, Some(id)) if self.services.is_bridged(id) => {
                (Some(GuardPlace::Link(id)), None)
            }
            (Zone::Service, Some(id)) if !self.services.is_bridged(id) => {
                (Some(GuardPlace::Link(id)), None)
            }
            // Whichever service it is, the address is another's.
            (Zone::Service, Some(_) | None) => (None, Some(Stray::Source)),
            (Zone::Lan | Zone::Wan | Zone::Guest, _) => (Some(GuardPlace::Ports), None),
        };
        let guard = TraceStep::Guard(place, stray);
        if let Some(stray) = stray {
            return TraceReport {
                steps: [guard].into_iter().collect(),
                end: TraceEnd::Guarded(stray),
            };
        }
        let mut report = self.nat.explain(flow, now);
        for step in &mut report.steps {
            if let TraceStep::Path(path @ FlowPath::After(_)) = step
                && self.nat.carrier().is_none()
            {
                *path = FlowPath::Off;
            }
        }
        let leaves = report
            .steps
            .iter()
            .position(|step| matches!(step, TraceStep::Leaves { .. }));
        if let Some(at) = leaves
            && let Some(TraceStep::Leaves {
                to, destination, ..
            }) = report.steps.get(at).copied()
            && let Some(step) = self.queue_step(flow, to, destination.address)
        {
            // The machine's steps leave room for this one and for the guard's.
            report.steps.insert(at + 1, step).unwrap_or(());
        }
        report.steps.insert(0, guard).unwrap_or(());
        report
    }

    /// Logs what guards have dropped, by link or port, and why.
    pub(super) fn tell_strays(&self) {
        let ports = ("ports".to_owned(), self.tuns.guard().as_ref());
        let links = self.services.guards();
        let links = links.map(|(id, guard)| (outside(id), guard));
        for (name, guard) in links.chain([ports]) {
            match guard.dropped() {
                Ok(counts) => {
                    for (reason, count) in counts.iter().filter(|(_, count)| *count > 0) {
                        log::info!("{name} {}={count}", reason.name());
                    }
                }
                Err(e) => log::warn!("{name}: {e}"),
            }
        }
    }
}

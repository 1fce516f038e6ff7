//! The fast path's care: opened at the start, told in time that this process is there, where packets
//! leave, and which of the flows that an earlier process has left go on.

use super::{Gateway, limits, ports};
use crate::sys;
use hearth_model::Tick;
use hearth_netpath::fastpath::FastPath;
use hearth_netpath::fastpath::entry::Clock;
use hearth_netpath::fastpath::ways::{Mtus, Ways};
use hearth_netpath::limits::BEAT_MS;
use hearth_netpath::nat::{Carrier, NatConfig, NotAdopted, Pair};
use std::path::Path;

/// Both clocks now.
fn clock(now: Tick) -> Clock {
    Clock {
        tick: now,
        nanoseconds: sys::monotonic_ns(),
    }
}

/// Opens the fast path and lets its programs catch packets; where it can not be had, every packet comes
/// to this process.
pub fn open(tuns: &mut ports::Tuns, config: &NatConfig, now: Tick) -> Option<FastPath> {
    let mtus = Mtus {
        lan: config.lan_mtu,
        wan: config.wan_mtu,
        services: config.services_mtu,
        guest: config.guest.map_or(0, |guest| guest.mtu),
    };
    match FastPath::open(Path::new(limits::PINS), tuns.indices, mtus, clock(now)) {
        Ok((fast, programs)) => {
            tuns.programs = programs;
            log::info!("fast path: on");
            Some(fast)
        }
        Err(e) => {
            log::warn!("fast path: off, every packet takes the slow one: {e}");
            None
        }
    }
}

/// Flows that an earlier process has left, while it is open whether they go on. Until then the fast path
/// carries them.
#[derive(Debug)]
pub struct Adoption {
    waiting: Vec<Pair>,
    until: Tick,
}

impl Adoption {
    /// Looks at what is there.
    pub fn begin(fast: Option<&mut FastPath>, now: Tick) -> Adoption {
        let found = fast.map(FastPath::found).unwrap_or(Ok(Vec::new()));
        let waiting = found.unwrap_or_else(|e| {
            log::warn!("fast path: flows of an earlier run: {e}");
            Vec::new()
        });
        Adoption {
            waiting: waiting.into_iter().map(|(pair, _)| pair).collect(),
            until: now.after_ms(limits::ADOPT_MS),
        }
    }
}

impl Gateway {
    /// When [`Gateway::tend_fast_path`] has something to do.
    pub(super) fn next_of_fast_path(&self) -> Option<Tick> {
        self.nat.carrier().as_ref()?;
        let waits = !self.adoption.waiting.is_empty();
        let end = waits.then_some(self.adoption.until);
        end.into_iter().chain([self.beat_at]).min()
    }

    /// Tells the fast path that this process is there, and ends the wait for flows of an earlier one.
    pub(super) fn tend_fast_path(&mut self, now: Tick) {
        let Some(fast) = self.nat.carrier_mut() else {
            return;
        };
        if now >= self.beat_at {
            self.beat_at = now.after_ms(BEAT_MS);
            if let Err(e) = fast.beat(clock(now)) {
                let dead = format_args!("fast path: its heartbeat fails: {e}");
                self.faults.fast_path.tell(now, dead);
            }
        }
        if now >= self.adoption.until && !self.adoption.waiting.is_empty() {
            let left = core::mem::take(&mut self.adoption.waiting);
            log::info!("fast path: {} flows of an earlier run end", left.len());
            for pair in left {
                self.let_end(&pair);
            }
        }
    }

    /// Changes where packets leave; flows that are carried there come back first.
    pub(super) fn change_ways(&mut self, now: Tick, change: impl FnOnce(&mut Ways)) {
        let Some(fast) = self.nat.carrier_mut() else {
            return;
        };
        let before = fast.ways.clone();
        change(&mut fast.ways);
        if fast.ways != before {
            self.nat.take_all_back(now);
        }
    }

    /// Takes over the flows of an earlier process that the machine would open now, and just so; ends
    /// those that it never would.
    pub(super) fn adopt(&mut self, now: Tick) {
        let waiting = core::mem::take(&mut self.adoption.waiting);
        let mut adopted = 0_u32;
        for pair in waiting {
            match self.adopt_one(&pair, now) {
                Ok(()) => adopted += 1,
                Err(NotAdopted::NotYet) => self.adoption.waiting.push(pair),
                Err(NotAdopted::Never) => self.let_end(&pair),
            }
        }
        if adopted > 0 {
            log::info!("fast path: {adopted} flows of an earlier run go on");
        }
    }

    fn adopt_one(&mut self, pair: &Pair, now: Tick) -> Result<(), NotAdopted> {
        let fast = self.nat.carrier_mut().as_mut().ok_or(NotAdopted::Never)?;
        if !fast.is_current(pair).ok_or(NotAdopted::NotYet)? {
            return Err(NotAdopted::Never);
        }
        let passed = fast.passed(pair).ok_or(NotAdopted::Never)?;
        self.nat.adopt(pair, passed, now)
    }

    /// Removes the entries of a flow that nobody takes over, unless they are those of a newer one.
    fn let_end(&mut self, pair: &Pair) {
        if !self.nat.carries(pair) {
            self.nat.carrier_mut().stop(pair);
        }
    }
}

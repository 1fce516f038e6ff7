//! Who waits in front of this process: the hosts of the home as the kernel knows them, and when what
//! waited has been taken.

use super::{Gateway, limits, links};
use hearth_bpf::netlink::Watch;
use hearth_model::Tick;
use hearth_model::gateway::same_net;
use hearth_model::protocol::Zone;
use hearth_netpath::fastpath::{FastPath, Refused, abi};
use std::collections::HashMap;
use std::io;
use std::net::Ipv4Addr;

/// The longest prefix that has more hosts than places in the program's map: none of them is called a
/// stranger there.
const LARGE_PREFIX: u8 = 21;

/// Packets of a side after which a host may have run out of room: fewer are not worth a write.
const ENOUGH: u64 = abi::WAITING_MAX as u64 / 2;

/// What is known of a side's queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queue {
    /// Nothing waits there.
    Empty,
    /// Something may.
    Unknown,
}

/// A side's round.
#[derive(Clone, Copy, Debug, Default)]
struct Round {
    /// Packets taken since it began.
    taken: u64,
    /// Those that waited then.
    waited: u64,
    /// Packets taken, or lost on their way, before it.
    before: u64,
}

impl Round {
    fn may_end(&self) -> bool {
        self.taken >= self.waited.max(ENOUGH)
    }

    /// Begins the next one. `let_in`: packets that the program has let here, ever.
    fn end(&mut self, let_in: u64, queue: Queue) {
        self.before = match queue {
            Queue::Empty => let_in,
            Queue::Unknown => self.before.saturating_add(self.taken),
        };
        self.taken = 0;
        // Some of them may have found the queue full.
        self.waited = let_in
            .saturating_sub(self.before)
            .min(limits::TUN_QUEUE.into());
    }
}

/// Hosts of the home, as they were told to the fast path.
pub struct Hosts {
    /// Becomes readable when the kernel learns of one.
    pub watch: Watch,
    known: HashMap<Ipv4Addr, [u8; 6]>,
    /// When they are looked at next; `None`: nothing has changed.
    look_at: Option<Tick>,
    /// Of the home, the Internet, the services and the guests.
    rounds: [Round; 4],
    refused: Option<Refused>,
}

impl Hosts {
    /// None yet.
    ///
    /// # Errors
    /// As socket(2).
    pub fn new(fast: Option<&FastPath>, now: Tick) -> io::Result<Hosts> {
        Ok(Hosts {
            watch: Watch::neighbours()?,
            known: HashMap::new(),
            look_at: Some(now),
            rounds: [Round::default(); 4],
            // What it kept from an earlier process is in that one's sums.
            refused: fast.and_then(|fast| fast.refused().ok()),
        })
    }

    /// The kernel has learned of a host.
    pub fn on_change(&mut self, now: Tick) {
        self.watch.drain();
        self.look_at.get_or_insert(now.after_ms(limits::HOSTS_MS));
    }

    /// One packet of a side was taken; the Internet has no rounds.
    pub fn count_taken(&mut self, zone: Zone) {
        if zone != Zone::Wan
            && let Some(round) = self.rounds.get_mut(super::ports::place(zone))
        {
            round.taken = round.taken.saturating_add(1);
        }
    }

    /// When hosts are looked at next, or a round may end.
    pub fn next_deadline(&self, now: Tick) -> Option<Tick> {
        let may_end = self.rounds.iter().any(Round::may_end);
        if may_end { Some(now) } else { self.look_at }
    }
}

impl Gateway {
    /// Tells the fast path of hosts that are new, or have another hardware address.
    pub(super) fn tend_hosts(&mut self, now: Tick) {
        if self.hosts.look_at.is_none_or(|at| at > now) {
            return;
        }
        self.hosts.look_at = None;
        let Some(fast) = self.nat.carrier_mut() else {
            return;
        };
        let lan = &self.config.lan;
        let guest = self.config.guest.as_ref();
        let guest = guest.map(|guest| (Zone::Guest, fast.ways.guest, guest.address, guest.prefix));
        let home = (Zone::Lan, fast.ways.lan, lan.address, lan.prefix);
        let told = match links::neighbours(&mut self.netlink) {
            Ok(all) => [Some(home), guest]
                .into_iter()
                .flatten()
                .filter(|(.., prefix)| *prefix > LARGE_PREFIX)
                .try_for_each(|(zone, bridge, address, prefix)| {
                    let known = &mut self.hosts.known;
                    // By the bridge too: who claims an address elsewhere is nobody here.
                    let here = all.iter().filter(|(index, _)| Some(*index) == bridge);
                    let new = here.map(|(_, host)| *host).filter(|(host, hardware)| {
                        same_net(*host, address, prefix)
                            && known.insert(*host, *hardware) != Some(*hardware)
                    });
                    fast.know_hosts(zone, new).map_err(|e| e.to_string())
                }),
            Err(e) => Err(e.to_string()),
        };
        if let Err(e) = told {
            self.faults
                .fast_path
                .tell(now, format_args!("fast path: hosts of the home: {e}"));
        }
    }

    /// Ends a side's round where all that waited at its begin has been taken: whoever had no room left has it
    /// again.
    pub(super) fn end_round(&mut self, zone: Zone, queue: Queue, now: Tick) {
        let round = self.hosts.rounds.get_mut(super::ports::place(zone));
        let Some(round) = round.filter(|round| round.may_end()) else {
            return;
        };
        let Some(fast) = self.nat.carrier_mut() else {
            round.end(0, Queue::Empty);
            return;
        };
        match fast.next_round(zone) {
            Ok(let_in) => round.end(let_in, queue),
            Err(e) => {
                // Tried again after as many packets more.
                round.end(0, Queue::Empty);
                let what = format_args!("fast path: what may wait: {e}");
                self.faults.fast_path.tell(now, what);
            }
        }
    }

    /// Counts what the fast path has kept from coming here since this was asked last.
    pub(super) fn count_refused(&mut self, now: Tick) {
        let Some(fast) = self.nat.carrier() else {
            return;
        };
        match fast.refused() {
            Ok(all) => {
                let before = self.hosts.refused.replace(all);
                for (place, (zone, reason, count)) in all.into_iter().enumerate() {
                    let seen = before.as_ref().and_then(|before| before.get(place));
                    let seen = seen.map_or(0, |(_, _, seen)| *seen);
                    self.nat.keep_out(zone, reason, count.wrapping_sub(seen));
                }
            }
            Err(e) => self
                .faults
                .fast_path
                .tell(now, format_args!("fast path: its counters: {e}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_ends_when_what_waited_at_its_begin_has_been_taken() {
        // given a queue that was empty, and so many packets that a host may have run out of room
        let mut round = Round {
            taken: ENOUGH - 1,
            ..Round::default()
        };
        assert!(!round.may_end());
        round.taken = ENOUGH;
        assert!(round.may_end());
        // when 300 more wait as it ends, then the next one lasts until those are taken
        round.end(ENOUGH + 300, Queue::Unknown);
        round.taken = 299;
        assert!(!round.may_end());
        round.taken = 300;
        assert!(round.may_end());
        // when more were let in than the queue holds, then some were lost, and it does not wait for them
        round.end(1_000_000, Queue::Unknown);
        assert_eq!(round.waited, u64::from(limits::TUN_QUEUE));
        // and once nothing waits, all that was let in is gone
        round.taken = 500;
        round.end(1_000_500, Queue::Empty);
        assert_eq!((round.waited, round.before), (0, 1_000_500));
    }
}

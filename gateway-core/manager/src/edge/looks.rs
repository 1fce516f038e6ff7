//! Questions of people to netpath, and who waits for the answers.

use super::Core;
use super::paths::now;
use super::people::give;
use super::requests::{Fault, Network, Reply, ReplyTo};
use crate::limits::{LOOK_WAIT, REPORT_WAIT};
use hearth_model::Tick;
use hearth_model::protocol::{Look, Seen, ToNetpath};

/// Somebody who waits for a status with netpath's counters.
#[derive(Debug)]
pub(super) struct StatusWaiter {
    pub(super) until: Tick,
    pub(super) reply: ReplyTo,
}

/// Somebody who waits for an answer of netpath.
#[derive(Debug)]
struct Waiter {
    ticket: u32,
    until: Tick,
    reply: ReplyTo,
}

/// Everybody who waits.
#[derive(Debug, Default)]
pub(super) struct Looks {
    /// The last ticket.
    ticket: u32,
    waiting: Vec<Waiter>,
}

impl Looks {
    /// Passes an answer on. Who has waited too long is told already.
    pub(super) fn answer(&mut self, ticket: u32, seen: Seen) {
        let at = self.waiting.iter().position(|w| w.ticket == ticket);
        if let Some(at) = at {
            let waiter = self.waiting.swap_remove(at);
            give(waiter.reply, Ok(Reply::Seen(Box::new(seen))));
        }
    }

    /// netpath is gone: nobody gets an answer any more.
    pub(super) fn lost(&mut self) {
        for waiter in self.waiting.drain(..) {
            give(waiter.reply, Err(silent()));
        }
    }

    /// Tells those who have waited long enough.
    pub(super) fn expire(&mut self, now: Tick) {
        for waiter in self.waiting.extract_if(.., |waiter| waiter.until <= now) {
            give(waiter.reply, Err(silent()));
        }
    }

    /// When somebody has waited long enough.
    pub(super) fn next_deadline(&self) -> Option<Tick> {
        self.waiting.iter().map(|waiter| waiter.until).min()
    }
}

fn silent() -> Fault {
    Fault::Busy(
        "hearth-netpath does not answer; it is started again by itself: try again in a few \
         seconds, then see 'hearth ps'"
            .to_owned(),
    )
}

fn ms(wait: core::time::Duration) -> u64 {
    u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)
}

impl Core {
    /// Asks netpath on behalf of somebody.
    pub(super) fn ask_netpath(&mut self, look: Look, reply: ReplyTo) {
        if !self.netpath.is_up() {
            give(reply, Err(silent()));
            return;
        }
        let ticket = self.looks.ticket.wrapping_add(1);
        self.looks.ticket = ticket;
        self.netpath.send(&ToNetpath::Look { ticket, look });
        self.looks.waiting.push(Waiter {
            ticket,
            until: now().after_ms(ms(LOOK_WAIT)),
            reply,
        });
    }

    /// Who is who in the network.
    pub(super) fn network(&self) -> Network {
        let gateway = &self.starter.gateway;
        let services = self.machine.services().map(|(id, row)| {
            let manifest = row.package.as_ref().map(|package| &package.manifest);
            let address = manifest.and_then(|manifest| manifest.address(gateway, id));
            (id, row.name.to_string(), address)
        });
        Network {
            gateway: gateway.clone(),
            wan: self.wan,
            services: services.collect(),
        }
    }

    /// Asks netpath for its counters on behalf of somebody who wants a status.
    pub(super) fn ask_report(&mut self, reply: ReplyTo) {
        if self.netpath.is_up() {
            self.netpath.send(&ToNetpath::Report);
            self.status_waiters.push(StatusWaiter {
                until: now().after_ms(ms(REPORT_WAIT)),
                reply,
            });
        } else {
            self.keep_again();
            give(reply, Ok(self.status(None)));
        }
    }
}

//! Flows and hosts in pages, for people. A page looks at a bounded part of a table, so that packets never
//! wait for somebody who reads a long list.

use super::Nat;
use super::carry::Carrier;
use super::explain::{destination, seconds, source, state};
use super::sessions::Session;
use super::table::Row;
use crate::limits::LISTING_SCAN;
use crate::wire::transport::Protocol;
use core::net::Ipv4Addr;
use hearth_model::Tick;
use hearth_model::protocol::{FlowProtocol, HOST_ROWS, HostRow, SESSION_ROWS, SessionRow, Zone};

/// Rows, and where to go on.
pub type Page<T, const N: usize> = (heapless::Vec<T, N>, Option<Row>);

impl<C: Carrier> Nat<C> {
    /// Flows from row `from` on, of all or of one inside address.
    #[must_use]
    pub fn list_sessions(
        &self,
        from: Row,
        host: Option<Ipv4Addr>,
        now: Tick,
    ) -> Page<SessionRow, SESSION_ROWS> {
        let mut rows = heapless::Vec::new();
        let all = self.sessions.all_rows().skip(usize::from(from));
        for (row, looked) in all.zip(0usize..) {
            if looked == LISTING_SCAN || rows.is_full() {
                return (rows, Some(row));
            }
            let Some(session) = self.sessions.get(row) else {
                continue;
            };
            let told = self.session_row(session, now);
            if told.left_s > 0 && host.is_none_or(|host| host == told.inside.address) {
                // There is room: looked at above.
                rows.push(told).unwrap_or(());
            }
        }
        (rows, None)
    }

    fn session_row(&self, session: &Session, now: Tick) -> SessionRow {
        let (initiator, responder) = (&session.initiator, &session.responder);
        let zones = [initiator.zone, responder.zone];
        let (inside, outside, remote) = match zones {
            [Zone::Wan, _] => (source(responder), destination(initiator), source(initiator)),
            [_, Zone::Wan] => (source(initiator), destination(responder), source(responder)),
            [_, _] => (source(initiator), destination(initiator), source(responder)),
        };
        let left = self.deadline_by_carrier(session, now).since_ms(now);
        SessionRow {
            protocol: match initiator.protocol {
                Protocol::Tcp => FlowProtocol::Tcp,
                Protocol::Udp => FlowProtocol::Udp,
                Protocol::Icmp => FlowProtocol::Icmp,
            },
            inside,
            outside,
            remote,
            incoming: initiator.zone == Zone::Wan,
            state: state(session),
            idle_s: seconds(self.timers.of(session).saturating_sub(left)),
            left_s: u32::try_from(left.div_ceil(1_000)).unwrap_or(u32::MAX),
            carried: session.carried.is_some(),
        }
    }

    /// Hosts and services with flows from row `from` on, and how long the window of what they did lately
    /// was, ms.
    #[must_use]
    pub fn list_hosts(&self, from: Row) -> (Page<HostRow, HOST_ROWS>, u32) {
        let mut rows = heapless::Vec::new();
        for (row, told) in self.hosts.rows_from(from) {
            if let Err(_full) = rows.push(told) {
                return ((rows, Some(row)), self.hosts.window_ms());
            }
        }
        ((rows, None), self.hosts.window_ms())
    }
}

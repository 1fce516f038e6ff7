//! Finished flows: a list from the one that finished first, which is the first to go where a new flow
//! needs room.

use super::Sessions;
use crate::limits::SESSIONS_MAX;
use crate::nat::table::Row;

impl Sessions {
    /// Marks a flow as finished: it stays for what is late, but no longer counts in its host's
    /// share, and may make room. Returns the host.
    pub fn finish(&mut self, row: Row) -> Option<Row> {
        let newest = self.newest_finished;
        let session = self.rows.get_mut(row)?;
        let host = session.host.take()?;
        session.older = newest;
        session.newer = None;
        match newest.and_then(|newest| self.rows.get_mut(newest)) {
            Some(session) => session.newer = Some(row),
            None => self.oldest_finished = Some(row),
        }
        self.newest_finished = Some(row);
        Some(host)
    }

    /// Marks a finished flow as one that goes on, which counts in this host's share.
    pub fn unfinish(&mut self, row: Row, host: Row) {
        self.unlink_finished(row);
        if let Some(session) = self.rows.get_mut(row) {
            session.host = Some(host);
        }
    }

    /// The flow that has to go where a new one needs room: the one that finished first, and only
    /// where the table is full.
    #[must_use]
    pub fn in_the_way(&self) -> Option<Row> {
        let full = self.rows.len() >= SESSIONS_MAX;
        self.oldest_finished.filter(|_| full)
    }

    /// Whether a new flow finds a row, perhaps that of a finished one.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.rows.len() < SESSIONS_MAX || self.oldest_finished.is_some()
    }

    pub(super) fn unlink_finished(&mut self, row: Row) {
        let Some(session) = self.rows.get(row).filter(|s| s.host.is_none()) else {
            return;
        };
        let (newer, older) = (session.newer, session.older);
        match older.and_then(|older| self.rows.get_mut(older)) {
            Some(session) => session.newer = newer,
            None => self.oldest_finished = newer,
        }
        match newer.and_then(|newer| self.rows.get_mut(newer)) {
            Some(session) => session.older = older,
            None => self.newest_finished = older,
        }
    }
}

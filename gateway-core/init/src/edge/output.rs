//! What services print while no manager reads it.
//!
//! PID 1 keeps both ends of each output pipe, so a service never finds it closed; but a full pipe would make it
//! wait for as long as the manager is away. So PID 1 then looks every [`OUTPUT_LOOK_MS`] which pipes are full, and
//! only from those takes, and forgets, what comes, until they are silent or the manager is back. What fits into a
//! pipe stays there for the manager, and what was forgotten is counted for it.

use super::Init;
use super::rows::Row;
use crate::limits::{OUTPUT_LOOK_MS, OUTPUT_READ_MAX, OUTPUT_READS};
use crate::sys::fd;
use hearth_model::Tick;
use std::os::fd::{AsFd, BorrowedFd};

/// What PID 1 does about a service's output while the manager is away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unread {
    /// Leaves it in the pipe, where there is room.
    #[default]
    Kept,
    /// The pipe was full: takes what comes.
    Taken(Since),
}

/// Whether something came since the last look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// Nothing did.
    Silent,
    /// Something did.
    Printed,
}

impl Row {
    /// The pipe to wait on while the manager is away.
    pub fn overflowing(&self) -> Option<BorrowedFd<'_>> {
        match self.unread {
            Unread::Taken(_) => Some(self.output.as_fd()),
            Unread::Kept => None,
        }
    }

    fn look(&mut self) {
        self.unread = match self.unread {
            Unread::Taken(Since::Printed) => Unread::Taken(Since::Silent),
            // Its last words are worth keeping again.
            Unread::Taken(Since::Silent) => Unread::Kept,
            Unread::Kept if fd::has_room(self.input.as_fd()) => Unread::Kept,
            Unread::Kept => Unread::Taken(Since::Printed),
        };
    }

    /// Forgets what the pipe holds: a pipeful in a turn, so that no service keeps PID 1 from its other work.
    fn forget_output(&mut self) {
        let mut buffer = [0; OUTPUT_READ_MAX];
        for _ in 0..OUTPUT_READS {
            // Nothing there (EAGAIN) is the usual end, and no other failure is PID 1's to mend.
            let Ok(count @ 1..) = fd::read(self.output.as_fd(), &mut buffer) else {
                return;
            };
            self.lost = self.lost.saturating_add(count as u64);
            self.unread = Unread::Taken(Since::Printed);
        }
    }
}

impl Init {
    /// When the pipes have to be looked at; never while a manager reads them.
    pub(super) fn output_deadline(&self) -> Option<Tick> {
        let holds = self.rows.iter().any(Option::is_some);
        (holds && self.manager.is_away()).then_some(self.output_look_at)
    }

    /// Keeps full pipes from making their services wait.
    pub(super) fn on_output(&mut self, now: Tick) {
        let rows = self.rows.iter_mut().flatten();
        if !self.manager.is_away() {
            return rows.for_each(|row| row.unread = Unread::Kept);
        }
        let look = self.output_look_at <= now;
        if look {
            self.output_look_at = now.after_ms(OUTPUT_LOOK_MS);
        }
        for row in rows {
            if look {
                row.look();
            }
            if row.overflowing().is_some() {
                row.forget_output();
            }
        }
    }
}

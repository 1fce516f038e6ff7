//! What the household wants of its services, on disk before it is acknowledged; and what a full disk did
//! not take, tried again until it does.

use super::Core;
use super::store::NotKept;
use crate::machine::Object;
use crate::machine::register::Wanted;
use hearth_model::ServiceId;
use log::Level;

/// Whether the register on disk is the one in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It is.
    OnDisk,
    /// Not yet, and why: it is tried again.
    Not(String),
    /// The data partition can not be used: nothing is kept over a restart of the gateway, which was told.
    Nowhere,
}

impl Core {
    /// Keeps what a person has asked, all of it or nothing.
    ///
    /// # Errors
    /// A sentence: it is not on disk, and is not in force. Where there is no disk, nothing can be kept, and what
    /// is asked is in force until the gateway restarts.
    pub(super) fn keep_asked(
        &mut self,
        wishes: impl IntoIterator<Item = (ServiceId, Wanted)>,
    ) -> Result<(), String> {
        let before = self.register.clone();
        self.set_wishes(wishes);
        self.save().or_else(|e| {
            if self.kept == Kept::Nowhere {
                return Ok(());
            }
            self.register = before;
            Err(e.to_string())
        })
    }

    /// Keeps what follows from that; what can not be kept now is tried again.
    pub(super) fn keep_wishes(&mut self, wishes: impl IntoIterator<Item = (ServiceId, Wanted)>) {
        self.set_wishes(wishes);
        if let Err(e) = self.save()
            && self.kept == Kept::OnDisk
        {
            self.kept = Kept::Not(e.to_string());
            if let Some(text) = self.unkept() {
                self.tell(Level::Warn, &Object::Part("gateway"), &text);
            }
        }
    }

    fn set_wishes(&mut self, wishes: impl IntoIterator<Item = (ServiceId, Wanted)>) {
        for (id, wanted) in wishes {
            if let Some(row) = self.machine.service(id) {
                self.register.set_wanted(&row.name, wanted);
            }
        }
    }

    /// Keeps the register.
    pub(super) fn save(&mut self) -> Result<(), NotKept> {
        self.store.save(&self.register)?;
        if self.kept != Kept::Nowhere {
            self.kept = Kept::OnDisk;
        }
        Ok(())
    }

    /// Tries again what was not kept: when an account is due, and when somebody asks how all is.
    pub(super) fn keep_again(&mut self) {
        if matches!(self.kept, Kept::Not(_)) && self.save().is_ok() {
            let text = "there is room again: all that was asked is kept";
            self.tell(Level::Info, &Object::Part("gateway"), text);
        }
        if let Some(usage) = &mut self.usage {
            usage.keep_again();
        }
    }

    /// What is wrong with it, for people.
    pub(super) fn unkept(&self) -> Option<String> {
        match &self.kept {
            Kept::OnDisk | Kept::Nowhere => None,
            Kept::Not(text) => Some(format!(
                "{text}; what was asked last is forgotten when the gateway restarts; make room on the disk"
            )),
        }
    }
}

//! What the loop keeps for people: what happened, and what services used.

use super::Core;
use super::congestion::Net;
use super::paths::now;
use super::views;
use crate::machine::Object;
use crate::machine::congestion::Change;
use hearth_model::ServiceId;
use log::Level;

impl Core {
    pub(super) fn tell_problems(&self) {
        for problem in &self.problems {
            self.tell(Level::Warn, &Object::Part("gateway"), &problem.text);
        }
    }

    /// Tells the log, and whoever looks at the events.
    pub(super) fn tell(&self, level: Level, object: &Object, text: &str) {
        log::log!(level, "{object}: {text}");
        self.events.keep(level, object, text);
    }

    /// Looks who waits for what, when it is time.
    pub(super) fn look(&mut self) {
        let net = if self.netpath.is_up() {
            Net::Up
        } else {
            Net::Down
        };
        let (changes, questions) = self.watcher.step(now(), &self.machine, &self.starter, net);
        for question in questions {
            self.netpath.send(&question);
        }
        for change in changes {
            let (level, one, text) = match change {
                Change::Began(one) => (Level::Warn, one.resource, views::congestion_words(&one)),
                Change::Ended(one) => {
                    (Level::Info, one.resource, "enough for all again".to_owned())
                }
            };
            self.tell(level, &Object::Part(one.name()), &text);
        }
    }

    /// Samples what services use, when it is time.
    pub(super) fn account(&mut self) {
        if self
            .usage
            .as_ref()
            .is_some_and(|usage| usage.due() <= now())
        {
            self.keep_again();
        }
        if let Some(usage) = &mut self.usage {
            let services = self.machine.services();
            usage.step(now(), services.map(|(id, row)| (id, &row.name)));
        }
    }

    /// Samples a service whose counters are about to go.
    pub(super) fn last_sample(&mut self, id: ServiceId) {
        if let (Some(usage), Some(row)) = (&mut self.usage, self.machine.service(id)) {
            usage.last_words(now(), id, &row.name);
        }
    }
}

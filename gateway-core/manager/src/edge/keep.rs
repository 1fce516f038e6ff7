//! What the loop keeps for people: what happened, and what services used.

use super::Core;
use super::paths::now;
use crate::machine::Object;
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

    /// Samples what services use, when it is time.
    pub(super) fn account(&mut self) {
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

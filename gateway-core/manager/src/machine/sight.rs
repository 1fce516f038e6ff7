//! What the watch over a service means for the rest: what is told to PID 1, and to people.

use super::notes::Note;
use super::watch::{self, Terms};
use super::{Action, Machine, Object};
use hearth_model::protocol::Condemned;
use hearth_model::{ServiceId, Tick};
use log::Level;

type Out<'a> = &'a mut Vec<Action>;

impl Machine {
    /// One event of the watch over a service.
    pub(super) fn watch(&mut self, id: ServiceId, event: watch::Event, now: Tick, out: Out<'_>) {
        let Some(service) = self.services.get_mut(&id) else {
            return;
        };
        let package = service.package.as_ref();
        let terms = Terms::of(package.map(|package| &package.manifest));
        let Some(action) = service.watch.step(&terms, event, now) else {
            return;
        };
        if let watch::Action::Condemn(_, why) = action {
            let text = match why {
                Condemned::NotReady => "it is not ready in time (health.ready-within): it is ended",
                Condemned::Hung => "it gives no sign of life (health.watchdog): it is killed",
            };
            let object = Object::Service(service.name.clone());
            out.push(Action::Note(service.name.clone(), text.to_owned()));
            out.push(Action::Tell(Level::Warn, object, text.to_owned()));
        }
        out.push(Action::Watch(id, action));
    }

    /// A service said something. That it ends by itself is news; its status is there for who asks.
    pub(super) fn noted(&mut self, id: ServiceId, note: Note, now: Tick, out: Out<'_>) {
        let stage = |machine: &Machine| machine.services.get(&id).map(|s| s.watch.stage());
        let before = stage(self);
        self.watch(id, watch::Event::Note(note), now, out);
        // Once a run, however often it says so.
        if before != stage(self)
            && let Some(service) = self.services.get(&id)
            && service.watch.stage() == watch::Stage::Leaving
        {
            let object = Object::Service(service.name.clone());
            let text = "says that it ends by itself".to_owned();
            out.push(Action::Tell(Level::Info, object, text));
        }
    }

    /// Looks at every watch whose time has come.
    pub(super) fn watch_time(&mut self, now: Tick, out: Out<'_>) {
        let due = |at: Option<Tick>| at.is_some_and(|at| at <= now);
        let ids: Vec<ServiceId> = self
            .services()
            .filter(|(_, service)| due(service.watch.next_deadline()))
            .map(|(id, _)| id)
            .collect();
        for id in ids {
            self.watch(id, watch::Event::Time, now, out);
        }
    }
}

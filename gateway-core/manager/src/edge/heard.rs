//! What netpath says, turned into events of the machine or into answers for people.

use super::channel::Lost;
use super::netpath::NetEvent;
use super::paths::could_not;
use super::{Core, NETPATH, host, views};
use crate::machine::{Event, Object, networks};
use hearth_model::protocol::{FromNetpath, WanStatus};
use log::Level;
use std::fs;
use std::io;

impl Core {
    /// Takes what has happened on the connection to netpath.
    pub(super) fn heard_from_netpath(&mut self, event: NetEvent) -> Result<(), Lost> {
        let record = match event {
            NetEvent::Up(networks) => {
                self.tell(Level::Info, &NETPATH, "connected");
                self.meet_netpath(&networks)?;
                self.tell_forwards();
                // Its queues may be others.
                self.watcher.stir();
                return self.step(Event::NetUp);
            }
            NetEvent::Down(why) => {
                let text = format!("gone: {why}; services start when it is back");
                self.tell(Level::Warn, &NETPATH, &text);
                self.wan = WanStatus::default();
                self.forwards.net_down();
                self.looks.lost();
                return self.step(Event::NetDown);
            }
            NetEvent::Record(record) => *record,
        };
        let event = match record {
            FromNetpath::Attached { id, thread } => {
                self.charge(id, thread);
                Event::Attached(id)
            }
            FromNetpath::Detached { id } => Event::Detached(id),
            FromNetpath::Forwarded { id } => Event::Forwarded(id),
            FromNetpath::Refused { id, reason } => Event::NetRefused(id, reason),
            FromNetpath::Wan(status) => return self.wan_changed(status),
            FromNetpath::Overlap(offer) => {
                return self.move_networks(networks::Event::Overlap(offer));
            }
            FromNetpath::WanEvent(event) => {
                self.wan_event(event);
                return Ok(());
            }
            FromNetpath::Report(report) => {
                self.answer_status(Some(report));
                return Ok(());
            }
            FromNetpath::Seen { ticket, seen } => {
                self.looks.answer(ticket, seen);
                return Ok(());
            }
            FromNetpath::PortsOpened(ports) => {
                self.ports_opened(ports);
                return Ok(());
            }
            FromNetpath::PortsClosed(ports) => {
                self.ports_closed(ports);
                return Ok(());
            }
            FromNetpath::PortsRefused { ports, reason } => {
                self.ports_refused(ports, reason);
                return Ok(());
            }
            FromNetpath::Queues(page) => {
                if let Some(question) = self.watcher.page(&page) {
                    self.netpath.send(&question);
                }
                return Ok(());
            }
            FromNetpath::PortsSettled | FromNetpath::Welcome { .. } => {
                return Ok(());
            }
        };
        self.step(event)
    }

    fn wan_changed(&mut self, status: WanStatus) -> Result<(), Lost> {
        if status != self.wan {
            let level = match status.lease {
                Some(_) => Level::Info,
                None => Level::Warn,
            };
            self.tell(level, &Object::Part("wan"), &views::wan_words(&status));
        }
        self.wan = status;
        self.watcher.stir();
        if let Err(text) = self.write_resolvers() {
            log::warn!("{text}");
        }
        // Without a cable there is no rate to measure.
        let (up, down) = host::line(&self.starter.paths, &self.starter.gateway);
        self.step(Event::Line(up, down))
    }

    /// The resolvers of the last manager serve until netpath has told its own.
    pub(super) fn keep_resolvers(&self) {
        if !self.starter.paths.shared().join("resolv.conf").exists()
            && let Err(text) = self.write_resolvers()
        {
            log::warn!("{text}");
        }
    }

    /// Puts the resolvers where services with the grant see them, whole at every moment.
    fn write_resolvers(&self) -> Result<(), String> {
        let folder = self.starter.paths.shared();
        let (file, new) = (folder.join("resolv.conf"), folder.join("resolv.conf.new"));
        let replace = || -> io::Result<()> {
            fs::create_dir_all(&folder)?;
            fs::write(&new, views::resolv_conf(&self.wan))?;
            fs::rename(&new, &file)
        };
        replace().map_err(|e| could_not("write", &file, &e))
    }
}

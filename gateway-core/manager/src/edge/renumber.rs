//! The gateway's own networks change: kept on disk first, then services, netpath and the home follow.

use super::channel::Lost;
use super::paths::{could_not, now};
use super::people::LEAVE_MS;
use super::{Core, boot, packages};
use crate::limits::MOVE_AGAIN_MS;
use crate::machine::networks::{Action, Event};
use crate::machine::{self, Object};
use hearth_model::gateway::GatewayConfig;
use hearth_model::networks::Net;
use hearth_model::protocol::{OwnNetworks, ToNetpath, WanEvent};
use log::Level;
use std::fs;
use std::path::Path;

const NETWORK: Object = Object::Part("network");

impl Core {
    /// One event of the gateway's own networks, and all that follows.
    pub(super) fn move_networks(&mut self, event: Event) -> Result<(), Lost> {
        let mut next = Some(event);
        while let Some(event) = next.take() {
            match self.mover.step(event, now()) {
                Some(Action::Keep(networks)) => {
                    next = Some(match self.store.save_networks(&networks) {
                        Ok(()) => Event::Kept(networks),
                        Err(text) => Event::NotKept(text),
                    });
                }
                Some(Action::Move(gateway)) => self.renumber(gateway)?,
                Some(Action::Tell(text)) => self.tell(Level::Error, &NETWORK, &text),
                None => {}
            }
        }
        Ok(())
    }

    /// The gateway has this configuration from now on.
    fn renumber(&mut self, gateway: GatewayConfig) -> Result<(), Lost> {
        for note in self.mover.notes() {
            self.tell(Level::Warn, &NETWORK, &note);
        }
        self.starter.gateway = gateway;
        self.relink()?;
        self.tell_netpath();
        Ok(())
    }

    /// Every service that runs is planned anew, for the gateway as it is now.
    pub(super) fn relink(&mut self) -> Result<(), Lost> {
        let rows = self.machine.services().filter_map(|(id, row)| {
            let manifest = &row.package.as_ref()?.manifest;
            Some((id, boot::link(manifest, &self.starter.gateway, id)))
        });
        let links = rows.collect();
        self.step(machine::Event::Relink(links))?;
        self.note_plans();
        Ok(())
    }

    /// Remembers what the services that run were planned for, until the next boot.
    pub(super) fn note_plans(&self) {
        let file = self.starter.paths.planned_for();
        let text = planned_for(&self.starter.gateway);
        if fs::read_to_string(&file).is_ok_and(|old| old == text) {
            return;
        }
        // A part of it would have every service planned anew by the next manager.
        let new = file.with_extension("new");
        if let Err(e) = fs::write(&new, text).and_then(|()| fs::rename(&new, &file)) {
            log::warn!("{}", could_not("write", &file, &e));
        }
    }

    /// netpath begins anew with the networks of now. Not again and again: it may be unable to.
    fn tell_netpath(&mut self) {
        let soon = |at: hearth_model::Tick| now() < at.after_ms(MOVE_AGAIN_MS);
        if self.netpath.is_up() && !self.renumbered_at.is_some_and(soon) {
            self.renumbered_at = Some(now());
            self.netpath.send(&ToNetpath::Renumber);
        }
    }

    /// netpath is there. Where it forwards for other networks than we know, the configuration was changed:
    /// it is read again. Where that is not it, netpath has not heard of it yet.
    pub(super) fn meet_netpath(&mut self, theirs: &OwnNetworks) -> Result<(), Lost> {
        if *theirs == self.starter.gateway.own_networks() {
            return Ok(());
        }
        let mut problems = Vec::new();
        match boot::configuration(&self.starter.paths, &mut problems) {
            Ok(configured) => {
                let (networks, damage) = self.store.load_networks();
                problems.extend(damage.map(packages::Problem::of_gateway));
                self.heard_configuration(Event::Configured(Box::new(configured), networks))?;
            }
            Err(text) => problems.push(packages::Problem::of_gateway(text)),
        }
        for problem in problems {
            if !self.problems.contains(&problem) {
                self.tell(Level::Warn, &Object::Part("gateway"), &problem.text);
                self.problems.push(problem);
            }
        }
        if *theirs != self.starter.gateway.own_networks() {
            self.tell_netpath();
        }
        Ok(())
    }

    fn heard_configuration(&mut self, read: Event) -> Result<(), Lost> {
        if let Some(Action::Move(gateway)) = self.mover.step(read, now()) {
            let lan = Net::of(gateway.lan.address, gateway.lan.prefix);
            let text = format!("the configuration has changed; the home's network is {lan}");
            self.tell(Level::Info, &NETWORK, &text);
            let had_guests = self.starter.gateway.guest.is_some();
            let has_guests = gateway.guest.is_some();
            self.starter.gateway = gateway;
            if had_guests == has_guests {
                return self.relink();
            }
            // Their services come and go with the table, which is made at the start; then services are planned
            // anew too: what ends here for that would not be started again.
            let text = "guests come or go: the manager begins anew";
            self.tell(Level::Info, &NETWORK, text);
            self.leave_at = Some(now().after_ms(LEAVE_MS));
        }
        Ok(())
    }

    /// Packages for guests, where there are none any more: what still runs of them ends.
    pub(super) fn end_unsuited(&mut self) {
        let gateway = &self.starter.gateway;
        let unsuited = self
            .found
            .iter()
            .filter(|(_, package)| !package.manifest.suits(gateway));
        for (name, _) in unsuited {
            self.machine.part_with(name);
        }
    }

    /// Tells what happened to the WAN's address.
    pub(super) fn wan_event(&self, event: WanEvent) {
        let WanEvent::Readdressed {
            from,
            to,
            connections,
            others,
        } = event;
        let text = format!(
            "the Internet address was {from} and is {to}; {connections} connections and {others} other flows of \
             the old one have ended, and programs inside were told"
        );
        self.tell(Level::Warn, &NETWORK, &text);
    }
}

/// What services are planned for: all that a plan, a gate or a link has of the gateway's own networks.
fn planned_for(gateway: &GatewayConfig) -> String {
    let guest = gateway.guest.as_ref();
    let guest = guest.map_or(String::new(), |guest| format!("{guest:?}\n"));
    format!("{:?}\n{:?}\n{guest}", gateway.lan, gateway.services)
}

/// Whether services that run were planned for another gateway than this one; not where nothing is known.
pub fn is_outdated(file: &Path, gateway: &GatewayConfig) -> bool {
    fs::read_to_string(file).is_ok_and(|text| text != planned_for(gateway))
}

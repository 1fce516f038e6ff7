//! Admission and ranks as people ask for them: what a start would come to, a new ranking, and what it
//! changes in the kernel.

use super::channel::Lost;
use super::people::{Named, give};
use super::requests::{Fault, Reply, ReplyTo};
use super::{Core, cgroup, views};
use crate::machine::Event;
use crate::machine::ranking::Rank;
use hearth_model::ServiceId;

impl Core {
    /// What a start would come to.
    pub(super) fn plan(&self, name: &str) -> Result<Reply, Fault> {
        match self.named(name)? {
            Named::Service(id) => {
                let plan = self.machine.plan_start(id);
                let plan = views::plan(name, &self.machine, &plan);
                Ok(Reply::Plan(Box::new(plan)))
            }
            Named::System(_) => Err(Fault::Impossible(format!(
                "{name} is a part of the gateway and always runs"
            ))),
        }
    }

    /// Ranks the services: on disk first, then in effect, then answered.
    pub(super) fn rank(&mut self, names: Vec<String>, reply: ReplyTo) -> Result<(), Lost> {
        let mut ranking = Vec::new();
        for name in names {
            let row = match self.named(&name) {
                Ok(Named::Service(id)) => self.machine.service(id),
                Ok(Named::System(_)) => {
                    let text = format!("{name} is a part of the gateway and has no rank");
                    give(reply, Err(Fault::Impossible(text)));
                    return Ok(());
                }
                Err(fault) => {
                    give(reply, Err(fault));
                    return Ok(());
                }
            };
            ranking.extend(row.map(|row| row.name.clone()));
        }
        let before = self.register.clone();
        self.register.set_ranking(ranking);
        if let Err(text) = self.save() {
            self.register = before;
            let text = format!("the ranking stays as it is: {text}");
            give(reply, Err(Fault::Impossible(text)));
            return Ok(());
        }
        self.step(Event::Ranked(self.register.ranking().to_vec()))?;
        give(reply, Ok(Reply::Ranking(views::ranking(&self.machine))));
        Ok(())
    }

    /// Gives a service what its rank means; what is in the way is told in the status.
    pub(super) fn give_rank(&mut self, id: ServiceId, rank: Rank) {
        let Some(row) = self.machine.service(id) else {
            return;
        };
        let name = row.name.clone();
        let folder = self.starter.paths.cgroup(&name);
        let proc = self.starter.paths.at("/proc");
        let done = cgroup::weigh(&folder, &rank.weights)
            .and_then(|()| cgroup::set_oom_score(&folder, &proc, rank.oom_score));
        match done {
            Ok(()) => {
                self.rank_faults.remove(&name);
            }
            Err(text) => {
                log::warn!("service {name}: {text}");
                let text = format!("service {name} has not all that its rank means: {text}");
                self.rank_faults.insert(name, text);
            }
        }
    }
}

//! Who comes before whom, and what follows from it: each service's weights, memory that is taken away
//! last, its place when memory ends, its part of the line. Told to the kernel and to netpath whenever it
//! has changed, without a restart.

use super::rank::{self, Standing};
use super::{Action, Greeting, Machine, Netpath};
use hearth_model::cgroup::Weights;
use hearth_model::protocol::NetworkShare;
use hearth_model::{Bytes, ServiceId, ServiceName};
use std::collections::BTreeMap;

/// What a rank means for a service that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rank {
    /// Processor, disk and memory.
    pub weights: Weights,
    /// `oom_score_adj` of its processes.
    pub oom_score: u16,
}

impl Machine {
    /// All services, the most important first: those that the household ranked, then the others by
    /// their numbers.
    #[must_use]
    pub fn ranked(&self) -> Vec<ServiceId> {
        let mut ids = self.named();
        let others = self.services.keys().filter(|id| !ids.contains(id));
        let others: Vec<ServiceId> = others.copied().collect();
        ids.extend(others);
        ids
    }

    /// Those that the household ranked, of the services that are there.
    #[must_use]
    pub fn named(&self) -> Vec<ServiceId> {
        let by_name: BTreeMap<&ServiceName, ServiceId> = self
            .services
            .iter()
            .map(|(&id, service)| (&service.name, id))
            .collect();
        let known = self.ranking.iter();
        known
            .filter_map(|name| by_name.get(name).copied())
            .collect()
    }

    /// Keeps the household's ranking.
    pub(super) fn rank(&mut self, ranking: Vec<ServiceName>) {
        self.ranking = ranking;
    }

    /// What a service gets of the line by its manifest alone; `None` where it has no link.
    fn asked_share(&self, id: ServiceId) -> Option<NetworkShare> {
        let package = self.services.get(&id)?.package.as_ref()?;
        package.link?;
        Some(package.manifest.network_share())
    }

    /// What each service that has a link gets of the line, by its manifest and its rank.
    #[must_use]
    pub fn shares(&self) -> BTreeMap<ServiceId, NetworkShare> {
        let named = self.named();
        let class = |&id: &ServiceId| self.asked_share(id).map(|share| share.class);
        let asked: Vec<_> = named
            .iter()
            .map(|id| class(id).unwrap_or_default())
            .collect();
        let classes = rank::classes(&asked);
        let one = |&id: &ServiceId| {
            let mut share = self.asked_share(id)?;
            let level = named.iter().position(|&named| named == id);
            share.weight = rank::line_weight(level.unwrap_or(named.len()));
            let raised = level.and_then(|level| classes.get(level));
            share.class = raised.copied().unwrap_or(share.class);
            Some((id, share))
        };
        self.services.keys().filter_map(one).collect()
    }

    /// What each service that runs, or is about to, gets by its rank.
    #[must_use]
    pub fn ranks(&self) -> Vec<(ServiceId, Rank)> {
        let named = self.named();
        let level = |id| named.iter().position(|&named| named == id);
        let busy = self.services.iter().filter_map(|(&id, service)| {
            let promise = service.admitted.as_ref()?.promise();
            let package = service.package.as_ref();
            let standing = Standing {
                level: level(id).unwrap_or(named.len()),
                promise,
                memory_max: package.map_or(promise.memory, |p| p.manifest.memory_max()),
            };
            Some((id, standing))
        });
        let (ids, standings): (Vec<ServiceId>, Vec<Standing>) = busy.unzip();
        let weights = rank::weights(&self.budget, &standings);
        let one = |((id, standing), weights): ((ServiceId, &Standing), Weights)| {
            let oom_score = rank::oom_score(standing.level, named.len() + 1);
            (id, Rank { weights, oom_score })
        };
        ids.into_iter()
            .zip(&standings)
            .zip(weights)
            .map(one)
            .collect()
    }

    /// Tells the kernel and netpath what has changed.
    pub(super) fn apply_ranks(&mut self, out: &mut Vec<Action>) {
        if self.greeting == Greeting::Open {
            // Who runs is not known yet.
            return;
        }
        let ranks = self.ranks();
        let low = |(_, rank): &(ServiceId, Rank)| rank.weights.memory_low.0;
        let guarantee = (
            self.promised().memory,
            Bytes(ranks.iter().map(low).fold(0, u64::saturating_add)),
        );
        if guarantee != self.guaranteed {
            self.guaranteed = guarantee;
            // Before everything else: a service's guarantee counts only within its parent's.
            out.insert(0, Action::Guarantee(guarantee.0, guarantee.1));
        }
        for (id, rank) in ranks {
            if let Some(service) = self.services.get_mut(&id) {
                // A new process starts with what PID 1 has.
                let told = (service.status.pid, rank);
                if service.ranked != Some(told) {
                    service.ranked = Some(told);
                    out.push(Action::Rank(id, rank));
                }
            }
        }
        if self.netpath == Netpath::Up {
            self.share_again(out);
        }
    }

    /// Tells netpath of each share that has changed since it was told.
    fn share_again(&mut self, out: &mut Vec<Action>) {
        for (id, share) in self.shares() {
            let Some(service) = self.services.get_mut(&id) else {
                continue;
            };
            let link = service.package.as_ref().and_then(|package| package.link);
            if let (Some(link), Some(told)) = (link, service.shared)
                && told != share
            {
                service.shared = Some(share);
                service.outstanding += 1;
                out.push(Action::Attach(id, link, share));
            }
        }
    }
}

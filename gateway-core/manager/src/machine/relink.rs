//! What a move of the gateway's own networks does to services.

use super::register::Wanted;
use super::service::{Asked, Phase};
use super::{Action, Machine};
use hearth_model::protocol::Link;
use hearth_model::state::UnitState;
use hearth_model::{ServiceId, Tick};

type Out<'a> = &'a mut Vec<Action>;

impl Machine {
    /// Services have other links. What runs with an old one is ended and started anew: its addresses, its gates
    /// and what its plan says of the home are of before. What the household wants stays.
    pub(super) fn relink(
        &mut self,
        links: Vec<(ServiceId, Option<Link>)>,
        now: Tick,
        out: Out<'_>,
    ) {
        for (id, link) in links {
            let Some(service) = self.services.get_mut(&id) else {
                continue;
            };
            let Some(package) = &mut service.package else {
                continue;
            };
            package.link = link;
            if link.is_none() {
                continue;
            }
            if service.start_after_stop {
                // It ends, and its next start is with the new link.
                continue;
            }
            match (service.phase, service.status.state) {
                (Phase::Rest, UnitState::Starting | UnitState::Active | UnitState::Restarting)
                | (
                    Phase::Waiting {
                        asked: Asked::Start | Asked::Restart,
                        ..
                    },
                    _,
                ) => service.stop_then_start(id, now, out),
                // It may be on its way to a next run of PID 1's own, with the old link.
                (Phase::Rest, UnitState::Stopping) if service.wanted == Wanted::Running => {
                    service.stop_then_start(id, now, out);
                }
                // What is promised to it stays so.
                (
                    Phase::WaitingForNetpath { .. }
                    | Phase::Linking { .. }
                    | Phase::Forwarding { .. },
                    _,
                ) => {
                    service.phase = Phase::Preparing;
                    out.push(Action::Prepare(id));
                }
                // Its next start is with the new link; a start that was waited for too.
                (Phase::Rest, UnitState::Idle | UnitState::Stopping)
                | (
                    Phase::Waiting {
                        asked: Asked::Stop | Asked::Withdraw,
                        ..
                    },
                    _,
                )
                | (
                    Phase::Preparing
                    | Phase::MakingRoom
                    | Phase::WaitingForNeeds { .. }
                    | Phase::WaitingForDependents { .. },
                    _,
                ) => {}
            }
        }
    }
}

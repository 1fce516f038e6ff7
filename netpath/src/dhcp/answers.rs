//! What a server's answer means in each state.

use super::lease::Lease;
use super::message::{Answer, AnswerKind, Question};
use super::{Asked, Dhcp, DhcpAction, OfferFault, State, Used};
use crate::limits::DHCP_NAK_WAIT_MS;
use core::net::Ipv4Addr;
use hearth_model::Tick;

impl Dhcp {
    pub(super) fn answered(&mut self, answer: &Answer, now: Tick, actions: &mut Vec<DhcpAction>) {
        match (self.state, answer.kind) {
            (State::Selecting(asked), AnswerKind::Offer) => {
                self.offered(answer, asked, now, actions);
            }
            (State::Requesting { server, asked, .. }, AnswerKind::Ack) => {
                if answer.server.is_none_or(|s| s == server) {
                    self.given(answer, (server, None), asked.at, now, actions);
                }
            }
            (State::Requesting { server, .. }, AnswerKind::Nak) => {
                if answer.server.is_none_or(|s| s == server) {
                    self.refused(now, actions);
                }
            }
            (
                State::Rebooting {
                    address,
                    used,
                    asked,
                },
                AnswerKind::Ack,
            ) => {
                let ours = match used {
                    Used::UntilNow => Some(address),
                    Used::Before => None,
                };
                if let Some(server) = answer.server {
                    self.given(answer, (server, ours), asked.at, now, actions);
                }
            }
            (State::Renewing { lease, asked }, AnswerKind::Ack) => {
                if answer.server.is_none_or(|s| s == lease.server) {
                    let from = (lease.server, Some(lease.address));
                    self.given(answer, from, asked.at, now, actions);
                }
            }
            (State::Rebinding { lease, asked }, AnswerKind::Ack) => {
                let server = answer.server.unwrap_or(lease.server);
                let from = (server, Some(lease.address));
                self.given(answer, from, asked.at, now, actions);
            }
            (State::Renewing { lease, .. }, AnswerKind::Nak) => {
                if answer.server.is_none_or(|s| s == lease.server) {
                    self.refused(now, actions);
                }
            }
            (State::Rebooting { .. } | State::Rebinding { .. }, AnswerKind::Nak) => {
                self.refused(now, actions);
            }
            // Late or unasked: another server's offer after the choice, an acknowledgement that
            // came twice, a refusal of what nobody asked.
            (State::Stopped | State::Waiting { .. } | State::Probing(_) | State::Bound(_), _)
            | (State::Selecting(_), AnswerKind::Ack | AnswerKind::Nak)
            | (
                State::Requesting { .. }
                | State::Rebooting { .. }
                | State::Renewing { .. }
                | State::Rebinding { .. },
                AnswerKind::Offer,
            ) => {}
        }
    }

    /// The first good offer is taken; a bad one leaves the question open for other servers.
    fn offered(&mut self, answer: &Answer, asked: Asked, now: Tick, actions: &mut Vec<DhcpAction>) {
        let Some(server) = answer.server else {
            return;
        };
        match Lease::check(answer, server, asked.at, &self.config) {
            Err(fault) => self.note(fault, actions),
            Ok(lease) => {
                let address = lease.address;
                let asked = self.ask(Question::Take { address, server }, 1, now, actions);
                self.state = State::Requesting {
                    address,
                    server,
                    asked,
                };
            }
        }
    }

    /// A server gives a lease. `ours`: the address that nobody need be asked about.
    fn given(
        &mut self,
        answer: &Answer,
        (server, ours): (Ipv4Addr, Option<Ipv4Addr>),
        asked: Tick,
        now: Tick,
        actions: &mut Vec<DhcpAction>,
    ) {
        match Lease::check(answer, server, asked, &self.config) {
            Ok(lease) if ours == Some(lease.address) => self.bind(lease, actions),
            Ok(lease) => {
                self.fault = None;
                self.doubt(lease, now, actions);
            }
            Err(fault) => {
                self.note(fault, actions);
                // A lease that runs is kept until its end; else another one is looked for.
                if self.held().is_none() {
                    let until = now.after_ms(DHCP_NAK_WAIT_MS);
                    self.state = State::Waiting { until };
                }
            }
        }
    }

    /// The address is ours from now on.
    pub(super) fn bind(&mut self, lease: Lease, actions: &mut Vec<DhcpAction>) {
        if self.held().is_none_or(|held| held.status != lease.status) {
            actions.push(DhcpAction::Bound(lease.status));
        }
        self.state = State::Bound(lease);
        (self.naks, self.conflicts) = (0, 0);
        self.fault = None;
    }

    /// A server says that the address is not ours: begin anew, at once the first time.
    fn refused(&mut self, now: Tick, actions: &mut Vec<DhcpAction>) {
        self.lose(actions);
        self.naks = self.naks.saturating_add(1);
        if self.naks == 1 {
            self.discover(now, actions);
        } else {
            let until = now.after_ms(DHCP_NAK_WAIT_MS);
            self.state = State::Waiting { until };
        }
    }

    fn note(&mut self, fault: OfferFault, actions: &mut Vec<DhcpAction>) {
        if self.fault != Some(fault) {
            self.fault = Some(fault);
            actions.push(DhcpAction::Refused(fault));
        }
    }
}

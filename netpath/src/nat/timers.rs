//! How long a flow lasts without a packet, as the household has chosen.

use super::sessions::Session;
use super::tcp::{Phase, TcpState};
use crate::limits::{DNS_PORT, UDP_DNS_TIMEOUT_MS};
use crate::wire::transport::Protocol;
use hearth_model::gateway::NatChoices;
use hearth_model::protocol::Zone;

/// The timers, ms.
#[derive(Clone, Copy, Debug)]
pub struct Timers {
    udp: u64,
    tcp_opening: u64,
    tcp_established: u64,
    tcp_closing: u64,
    /// An echo's flow (RFC 5508 REQ-2).
    pub icmp: u64,
}

impl Timers {
    /// Those that were chosen.
    #[must_use]
    pub fn new(choices: &NatChoices) -> Timers {
        let ms = |seconds: u32| u64::from(seconds) * 1_000;
        Timers {
            udp: ms(choices.udp_timeout),
            tcp_opening: ms(choices.tcp_opening_timeout),
            tcp_established: ms(choices.tcp_established_timeout),
            tcp_closing: ms(choices.tcp_closing_timeout),
            icmp: ms(choices.icmp_timeout),
        }
    }

    /// After an outbound datagram of a flow (RFC 4787 REQ-5).
    #[must_use]
    pub fn udp(&self, session: &Session) -> u64 {
        let asks_dns = session.initiator.ports.destination == DNS_PORT;
        if asks_dns && session.responder.zone == Zone::Wan {
            UDP_DNS_TIMEOUT_MS
        } else {
            self.udp
        }
    }

    /// How long a flow lasts after what keeps it alive.
    #[must_use]
    pub fn of(&self, session: &Session) -> u64 {
        match session.initiator.protocol {
            Protocol::Tcp => self.tcp(session.tcp),
            Protocol::Udp => self.udp(session),
            Protocol::Icmp => self.icmp,
        }
    }

    /// After a segment that has led to this state (RFC 5382 REQ-5, RFC 7857 section 2).
    #[must_use]
    pub fn tcp(&self, state: TcpState) -> u64 {
        match state.phase() {
            Phase::Opening => self.tcp_opening,
            Phase::Established => self.tcp_established,
            Phase::Closing => self.tcp_closing,
        }
    }
}

//! `[nat]`: how flows are translated, as far as a household chooses.

use serde::{Deserialize, Serialize};

/// Whom a mapping lets in besides the endpoints that its inside has sent to (RFC 4787 section 5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Filtering {
    /// Everybody: games and calls that find each other by a third party always work.
    EndpointIndependent,
    /// Every port of the addresses that it has sent to.
    #[default]
    AddressDependent,
    /// Nobody.
    AddressAndPortDependent,
}

/// `[nat]`: all of it may be left out. Times are in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct NatChoices {
    /// For UDP.
    pub udp_filtering: Filtering,
    /// For TCP.
    pub tcp_filtering: Filtering,
    /// A UDP flow without an outbound packet ends after so long.
    pub udp_timeout: u32,
    /// An established TCP connection without a packet ends after so long.
    pub tcp_established_timeout: u32,
    /// One that opens.
    pub tcp_opening_timeout: u32,
    /// One that closes, or was reset.
    pub tcp_closing_timeout: u32,
    /// An echo request's flow without another one ends after so long.
    pub icmp_timeout: u32,
}

impl Default for NatChoices {
    fn default() -> NatChoices {
        NatChoices {
            udp_filtering: Filtering::default(),
            tcp_filtering: Filtering::default(),
            udp_timeout: 5 * 60,
            tcp_established_timeout: TCP_ESTABLISHED_MIN,
            tcp_opening_timeout: TCP_CLOSING_MIN,
            tcp_closing_timeout: TCP_CLOSING_MIN,
            icmp_timeout: ICMP_MIN,
        }
    }
}

/// Shortest timers that may be chosen, s: RFC 4787 REQ-5; RFC 5382 REQ-5; RFC 7857 section 2.1 permits a
/// shorter one for connections that open; RFC 5508 REQ-2.
const UDP_MIN: u32 = 2 * 60;
const TCP_ESTABLISHED_MIN: u32 = (2 * 60 + 4) * 60;
const TCP_OPENING_MIN: u32 = 30;
const TCP_CLOSING_MIN: u32 = 4 * 60;
const ICMP_MIN: u32 = 60;
/// Longest timer, s: a week. A table must come to be empty.
const TIMEOUT_MAX: u32 = 7 * 24 * 60 * 60;

impl NatChoices {
    pub(super) fn check(&self, say: &mut impl FnMut(&str, String)) {
        for (key, chosen, least) in [
            ("nat.udp-timeout", self.udp_timeout, UDP_MIN),
            (
                "nat.tcp-established-timeout",
                self.tcp_established_timeout,
                TCP_ESTABLISHED_MIN,
            ),
            (
                "nat.tcp-opening-timeout",
                self.tcp_opening_timeout,
                TCP_OPENING_MIN,
            ),
            (
                "nat.tcp-closing-timeout",
                self.tcp_closing_timeout,
                TCP_CLOSING_MIN,
            ),
            ("nat.icmp-timeout", self.icmp_timeout, ICMP_MIN),
        ] {
            if !(least..=TIMEOUT_MAX).contains(&chosen) {
                say(
                    key,
                    format!("{chosen} is not in {least}..={TIMEOUT_MAX} seconds"),
                );
            }
        }
    }
}

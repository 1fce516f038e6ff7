//! `[wan]`: the Internet's side, and what its line carries.

use crate::protocol::{WanLease, WanStatus};
use crate::units::BitsPerSec;
use core::net::Ipv4Addr;
use serde::{Deserialize, Serialize};

/// `[wan]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Wan {
    /// Ethernet port of the Internet, for example `eth1`.
    pub interface: String,
    /// How the address is got.
    pub mode: WanMode,
    /// `mode = "static"`: the address.
    pub address: Option<Ipv4Addr>,
    /// `mode = "static"`: its prefix length, bits.
    pub prefix: Option<u8>,
    /// `mode = "static"`: the next hop.
    pub router: Option<Ipv4Addr>,
    /// `mode = "static"`: resolvers, at most [`crate::limits::RESOLVERS_MAX`].
    #[serde(default)]
    pub resolvers: Vec<Ipv4Addr>,
    /// What the line carries towards the Internet, `"20 Mbit/s"`; `None`: the household did not say.
    #[serde(default, with = "line_rate")]
    pub upload: Option<BitsPerSec>,
    /// What it carries from the Internet; `None`: the household did not say.
    #[serde(default, with = "line_rate")]
    pub download: Option<BitsPerSec>,
}

/// A line's rate in the file: a text with its unit.
mod line_rate {
    use super::BitsPerSec;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    #[allow(clippy::ref_option)] // serde's signature
    pub(super) fn serialize<S: Serializer>(
        rate: &Option<BitsPerSec>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match rate {
            Some(rate) => to.collect_str(&format_args!("{} bit/s", rate.0)),
            None => to.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<BitsPerSec>, D::Error> {
        let text = String::deserialize(from)?;
        let rate = text
            .parse()
            .map_err(|why| D::Error::custom(format!("{text:?} {why}")));
        rate.map(Some)
    }
}

/// Slowest line that can be shared out; below it one full packet takes a tenth of a second.
const LINE_MIN: BitsPerSec = BitsPerSec(128_000);

/// How the WAN's address is got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WanMode {
    /// From a DHCP server (RFC 2131).
    Dhcp,
    /// From this file.
    Static,
}

impl Wan {
    /// What the file itself says of the Internet's side: nothing where a server says it.
    #[must_use]
    pub fn configured(&self) -> WanStatus {
        let mut status = WanStatus::default();
        if let (WanMode::Static, Some(address), Some(prefix)) =
            (self.mode, self.address, self.prefix)
        {
            status.lease = Some(WanLease {
                address,
                prefix,
                router: self.router,
            });
            for (place, &resolver) in status.resolvers.iter_mut().zip(&self.resolvers) {
                *place = Some(resolver);
            }
        }
        status
    }

    pub(super) fn check(&self, say: &mut impl FnMut(&str, String)) {
        for (key, rate) in [("wan.upload", self.upload), ("wan.download", self.download)] {
            if let Some(rate) = rate.filter(|&rate| rate < LINE_MIN) {
                say(key, format!("{rate} is too little; at least {LINE_MIN}"));
            }
        }
        if self.resolvers.len() > crate::limits::RESOLVERS_MAX {
            say(
                "wan.resolvers",
                format!("at most {} fit", crate::limits::RESOLVERS_MAX),
            );
        }
        if self.mode == WanMode::Static {
            if self.address.is_none() {
                say("wan.mode", "static needs wan.address".to_owned());
            }
            match self.prefix {
                None => say("wan.mode", "static needs wan.prefix".to_owned()),
                Some(bits) if !(1..=32).contains(&bits) => {
                    say("wan.prefix", format!("{bits} is not in 1..=32"));
                }
                Some(_) => {}
            }
        }
    }
}

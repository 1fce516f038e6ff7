//! A lease that was checked: its constructor is the only way from an [`Answer`] to an address.

use super::message::Answer;
use super::{DhcpConfig, OfferFault};
use crate::limits::DHCP_LEASE_MIN_S;
use crate::nat::{is_edge_of, is_no_host};
use core::net::Ipv4Addr;
use hearth_model::Tick;
use hearth_model::gateway::{mask, same_net};
use hearth_model::limits::RESOLVERS_MAX;
use hearth_model::networks::overlap;
use hearth_model::protocol::{WanLease, WanStatus};

/// What a server gave, checked, with its times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Address, prefix, router and resolvers.
    pub status: WanStatus,
    /// The address.
    pub address: Ipv4Addr,
    /// Who gave it.
    pub server: Ipv4Addr,
    /// T1: when to ask the server to prolong it.
    pub renew_at: Tick,
    /// T2: when to ask any server.
    pub rebind_at: Tick,
    /// When it ends.
    pub expires_at: Tick,
}

impl Lease {
    /// Checks an answer to a question that was sent at `asked`: the lease runs from then (RFC
    /// 2131 4.4.1). `server` stands in for an identifier that is missing.
    ///
    /// # Errors
    /// [`OfferFault`].
    pub fn check(
        answer: &Answer,
        server: Ipv4Addr,
        asked: Tick,
        config: &DhcpConfig,
    ) -> Result<Lease, OfferFault> {
        let address = answer.address;
        let prefix = answer
            .netmask
            .and_then(prefix_of)
            .ok_or(OfferFault::Netmask)?;
        if !is_host(address) || is_edge_of(address, prefix, address) {
            return Err(OfferFault::Address(address));
        }
        if let Some(router) = answer.router {
            // With a prefix of 32 bits the router is reached without a network (on-link).
            let near = prefix == 32 || same_net(address, router, prefix);
            if !near || !is_host(router) || router == address {
                return Err(OfferFault::Router(router));
            }
        }
        if let Some(router) = answer.router {
            // With a prefix of 32 bits the router is reached without a network (on-link).
            let near = prefix == 32 || same_net(address, router, prefix);
            if !near || !is_host(router) || router == address {
                return Err(OfferFault::Router(router));
            }
        }
        let mut resolvers = [None; RESOLVERS_MAX];
        let good = answer.resolvers.iter().filter(|r| is_host(**r));
        for (place, resolver) in resolvers.iter_mut().zip(good) {
            *place = Some(*resolver);
        }
        let status = WanStatus {
            lease: Some(WanLease {
                address,
                prefix,
                router: answer.router,
            }),
            resolvers,
        };
        if let Some((_, theirs)) = overlap(&config.inside, &status) {
            let offered = status;
            return Err(OfferFault::Overlap { theirs, offered });
        }
        let lease_s = answer.lease_s.unwrap_or(0);
        if lease_s < DHCP_LEASE_MIN_S {
            return Err(OfferFault::LeaseTime(lease_s));
        }
        // RFC 2131 4.4.5: half and seven eighths, where the server does not say or makes no sense.
        let usual = (lease_s / 2, lease_s - lease_s / 8);
        let (renew_s, rebind_s) = match (answer.renew_s, answer.rebind_s) {
            (Some(t1), Some(t2)) if 0 < t1 && t1 < t2 && t2 < lease_s => (t1, t2),
            (Some(t1), None) if 0 < t1 && t1 < usual.1 => (t1, usual.1),
            (None, Some(t2)) if usual.0 < t2 && t2 < lease_s => (usual.0, t2),
            (_, _) => usual,
        };
        let after = |seconds: u32| asked.after_ms(u64::from(seconds) * 1_000);
        Ok(Lease {
            status,
            address,
            server,
            renew_at: after(renew_s),
            rebind_at: after(rebind_s),
            expires_at: after(lease_s),
        })
    }
}

fn is_host(address: Ipv4Addr) -> bool {
    !is_no_host(address) && !address.is_multicast()
}

/// The length of a netmask without holes, 1 to 32 bits.
fn prefix_of(netmask: u32) -> Option<u8> {
    let bits = u8::try_from(netmask.leading_ones()).ok()?;
    (bits > 0 && netmask == mask(bits)).then_some(bits)
}

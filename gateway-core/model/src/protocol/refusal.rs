//! Why netpath does not do what it is asked.

use super::Transport;
use crate::ids::ServiceId;
use core::fmt;
use core::net::Ipv4Addr;
use serde::{Deserialize, Serialize};

/// Why netpath refused a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NetRefusal {
    /// The record did not decode.
    Malformed,
    /// The sender speaks another version.
    Version {
        /// netpath's own.
        ours: u16,
    },
    /// The port is another service's already.
    PortTaken {
        /// The port.
        port: u16,
        /// Whose it is.
        by: ServiceId,
    },
    /// The port can not be forwarded: 0, or kept for the gateway itself.
    PortReserved {
        /// The port.
        port: u16,
    },
    /// The household has forwarded the port.
    PortForwarded {
        /// Protocol.
        transport: Transport,
        /// The port.
        port: u16,
    },
    /// All [`crate::limits::FORWARDS_MAX`] forwards are in use.
    ForwardsFull,
    /// All [`crate::limits::HOUSEHOLD_FORWARDS_MAX`] forwards of the household are in use.
    HouseholdForwardsFull,
    /// A forward's target is no host of the home.
    NoHomeHost {
        /// The target.
        address: Ipv4Addr,
    },
    /// The service has no link; attach it first.
    NotAttached,
    /// The link can not be made.
    Link {
        /// What failed.
        step: LinkStep,
        /// errno(3).
        errno: i32,
    },
}

/// A step of making a service's link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LinkStep {
    /// Make and pin the network namespace.
    Namespace,
    /// Make the veth pair.
    Veth,
    /// Put the host end into the LAN bridge.
    Bridge,
    /// Set addresses and bring the ends up.
    Address,
    /// Set routes.
    Route,
    /// Catch its packets at ingress.
    Ingress,
}

impl fmt::Display for NetRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NetRefusal::Malformed => f.write_str("hearth-netpath did not understand the request"),
            NetRefusal::Version { ours } => write!(
                f,
                "hearth-netpath speaks protocol version {ours}; install matching firmware"
            ),
            NetRefusal::PortTaken { port, by } => write!(
                f,
                "port {port} is taken by service number {by}; stop it or choose another port"
            ),
            NetRefusal::PortReserved { port } => write!(
                f,
                "port {port} is kept for the gateway itself; choose another port"
            ),
            NetRefusal::PortForwarded { transport, port } => write!(
                f,
                "{transport} port {port} is forwarded by the household already; see `hearth forward list`"
            ),
            NetRefusal::ForwardsFull => write!(
                f,
                "all {} ports of services are in use; stop a service",
                crate::limits::FORWARDS_MAX
            ),
            NetRefusal::HouseholdForwardsFull => write!(
                f,
                "all {} port-forwards are in use; remove one",
                crate::limits::HOUSEHOLD_FORWARDS_MAX
            ),
            NetRefusal::NoHomeHost { address } => write!(
                f,
                "{address} can not be forwarded to: it is no host of the home"
            ),
            NetRefusal::NotAttached => f.write_str("the service has no network link yet"),
            NetRefusal::Link { step, errno } => {
                let step = match step {
                    LinkStep::Namespace => "make its network namespace",
                    LinkStep::Veth => "make its veth pair",
                    LinkStep::Bridge => "join the LAN bridge",
                    LinkStep::Address => "set its address",
                    LinkStep::Route => "set its routes",
                    LinkStep::Ingress => "catch its packets at ingress",
                };
                write!(f, "could not {step}: {}", crate::step::errno_words(*errno))
            }
        }
    }
}

//! What is counted, derived from enums: a new reason has its counter without another line.
//!
//! Invariant: received = forwarded + local + answered + dropped + held, each over all reasons
//! ([`Counters::balanced`]); a packet that left without a verdict would break it.

use hearth_model::protocol::Zone;

macro_rules! counted {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident => $text:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$doc])* $variant,)+ }

        impl $name {
            /// Every value, in the order of their counters.
            pub const ALL: &'static [$name] = &[$($name::$variant,)+];

            /// The value's name in reports: subsystem, noun, unit.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $($name::$variant => $text,)+ }
            }
        }
    };
}

counted! {
    /// Why a packet was not passed on.
    DropReason {
        /// Shorter than its headers say, another version, or a header length below 20 bytes.
        MalformedIp => "ip_malformed_packets",
        /// The IPv4 header's checksum is wrong.
        IpChecksum => "ip_checksum_packets",
        /// A source route is asked for (RFC 7126: never follow one).
        SourceRoute => "ip_source_route_packets",
        /// A TCP, UDP or ICMP header that is cut or contradicts itself.
        MalformedTransport => "transport_malformed_packets",
        /// A TCP or UDP port 0, which is nobody's.
        PortZero => "port_zero_packets",
        /// An ICMP error or a DHCP answer with a wrong checksum.
        TransportChecksum => "transport_checksum_packets",
        /// Neither TCP, UDP nor ICMP.
        Protocol => "protocol_unsupported_packets",
        /// An ICMP type that is not translated: redirect, source quench, router discovery, ...
        IcmpType => "icmp_unsupported_packets",
        /// An ICMP error about no flow that we carry.
        IcmpUnrelated => "icmp_unrelated_packets",
        /// A source that is no host: network 0, loopback, class E.
        Source => "source_invalid_packets",
        /// A source that is not on that side (RFC 3704: strict reverse path).
        ReversePath => "reverse_path_packets",
        /// A source that is the gateway itself, or the destination too.
        LandAttack => "land_attack_packets",
        /// A broadcast or multicast address as the source.
        SourceBroadcast => "source_broadcast_packets",
        /// A destination that is no host: network 0, loopback, class E.
        Destination => "destination_invalid_packets",
        /// A broadcast, which no router passes on (the home's DHCP is served in the bridge).
        Broadcast => "broadcast_packets",
        /// A multicast, which this router does not pass on.
        Multicast => "multicast_packets",
        /// From the Internet, but not to our address.
        NotOurs => "wan_not_ours_packets",
        /// From the Internet, to our address, but nobody asked for it.
        Unsolicited => "wan_unsolicited_packets",
        /// From the Internet to a mapping, but from an endpoint that it did not send to.
        Filtered => "wan_filtered_packets",
        /// To the Internet, while there is no address on that side.
        NoWanAddress => "wan_no_address_packets",
        /// From one home host to another through the gateway.
        LanToLan => "lan_to_lan_packets",
        /// From the home to a service's own address, past its listen ports.
        ServiceClosed => "service_closed_packets",
        /// From a service to where its policy does not let it.
        ServicePolicy => "service_policy_packets",
        /// From one service to another.
        ServiceToService => "service_to_service_packets",
        /// From a service to the gateway itself.
        ServiceToGateway => "service_to_gateway_packets",
        /// A TCP reset without a flow.
        TcpNoFlow => "tcp_no_flow_packets",
        /// A later fragment whose first fragment did not come in time.
        FragmentUnknown => "fragment_unknown_packets",
        /// A later fragment before its first one, and no room to keep it until that comes.
        FragmentNoRoom => "fragment_no_room_packets",
        /// A first fragment too small for its transport header, or one that overlaps it (RFC 1858).
        FragmentTiny => "fragment_tiny_packets",
        /// All flows are in use.
        TableFull => "nat_table_full_packets",
        /// All of the host's share of the flows is in use.
        HostShareFull => "nat_host_share_full_packets",
        /// Two flows would look the same on one side.
        Conflict => "nat_conflict_packets",
        /// The time to live ran out here.
        TtlExceeded => "ttl_exceeded_packets",
        /// Larger than the next link carries, and must not be cut.
        TooBig => "too_big_packets",
        /// A translation that would have sent an inside address to the Internet: a defect of ours.
        EgressGuard => "egress_guard_packets",
    }
}

/// Reasons in all.
const REASONS: usize = DropReason::ALL.len();

/// Packets by verdict, since the machine was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counters {
    /// From the home, the Internet and the services.
    pub received: [u64; 3],
    /// Translated, or routed as they are.
    pub forwarded: u64,
    /// Handed to the gateway itself, DHCP answers too.
    pub local: u64,
    /// Of those forwarded, what passed by the fast path: packets, and their bytes.
    pub carried: (u64, u64),
    /// Fragments that wait for their first one now.
    pub held: u64,
    answered: [u64; REASONS],
    dropped: [u64; REASONS],
}

impl Default for Counters {
    fn default() -> Self {
        Counters {
            received: [0; 3],
            forwarded: 0,
            local: 0,
            carried: (0, 0),
            held: 0,
            answered: [0; REASONS],
            dropped: [0; REASONS],
        }
    }
}

fn bump(row: Option<&mut u64>) {
    if let Some(count) = row {
        *count = count.wrapping_add(1);
    }
}

impl Counters {
    /// Counts one packet from a side.
    pub fn receive(&mut self, from: Zone) {
        bump(self.received.get_mut(from as usize));
    }

    /// Counts packets from a side that were passed on elsewhere, by a decision of the machine.
    pub fn carry(&mut self, from: Zone, packets: u64, bytes: u64) {
        if let Some(count) = self.received.get_mut(from as usize) {
            *count = count.wrapping_add(packets);
        }
        self.forwarded = self.forwarded.wrapping_add(packets);
        let (all, all_bytes) = self.carried;
        self.carried = (all.wrapping_add(packets), all_bytes.wrapping_add(bytes));
    }

    /// Counts one packet that was not passed on, and not answered.
    pub fn drop(&mut self, reason: DropReason) {
        bump(self.dropped.get_mut(reason as usize));
    }

    /// Counts one packet that was not passed on, and whose sender was told so by ICMP.
    pub fn answer(&mut self, reason: DropReason) {
        bump(self.answered.get_mut(reason as usize));
    }

    /// Packets dropped silently for this reason.
    #[must_use]
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.dropped.get(reason as usize).copied().unwrap_or(0)
    }

    /// Packets answered by an ICMP error for this reason.
    #[must_use]
    pub fn answered(&self, reason: DropReason) -> u64 {
        self.answered.get(reason as usize).copied().unwrap_or(0)
    }

    /// Packets not passed on for this reason, answered or not.
    #[must_use]
    pub fn refused(&self, reason: DropReason) -> u64 {
        self.dropped(reason).wrapping_add(self.answered(reason))
    }

    /// Packets received in all.
    #[must_use]
    pub fn received_all(&self) -> u64 {
        self.received.iter().sum()
    }

    /// Packets not passed on, for all reasons, answered or not.
    #[must_use]
    pub fn refused_all(&self) -> u64 {
        self.answered.iter().chain(&self.dropped).sum()
    }

    /// Whether every packet received has exactly one verdict.
    #[must_use]
    pub fn balanced(&self) -> bool {
        let passed = self.forwarded.wrapping_add(self.local);
        let passed = passed.wrapping_add(self.held);
        self.received_all() == passed.wrapping_add(self.refused_all())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_own_row_and_name() {
        // given one drop and one answer for every reason
        let mut counters = Counters::default();
        for &reason in DropReason::ALL {
            counters.receive(Zone::Wan);
            counters.drop(reason);
            counters.receive(Zone::Service);
            counters.answer(reason);
        }
        // when each is looked up, then it is 1, and all of them balance
        let mut names = std::collections::HashSet::new();
        for &reason in DropReason::ALL {
            assert_eq!((counters.dropped(reason), counters.refused(reason)), (1, 2));
            assert!(names.insert(reason.name()), "{} twice", reason.name());
        }
        assert!(counters.balanced());
        counters.receive(Zone::Lan);
        assert!(
            !counters.balanced(),
            "a packet without a verdict is noticed"
        );
    }
}

//! Why a packet or a frame is not passed on: the reasons of netpath's machine and of the guards at the
//! links, each with its name in reports and its words for people.
//!
//! A reason has its counter, its metric and its words without another line anywhere.

use serde::{Deserialize, Serialize};

macro_rules! reasons {
    ($(#[$meta:meta])* $name:ident {
        $($(#[$doc:meta])* $variant:ident => $text:literal, $what:literal, $remedy:literal;)+
    }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum $name { $($(#[$doc])* $variant,)+ }

        impl $name {
            /// Every value, in the order of their counters.
            pub const ALL: &'static [$name] = &[$($name::$variant,)+];

            /// The value's name in reports: subsystem, noun, unit.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $($name::$variant => $text,)+ }
            }

            /// What it means, for people.
            #[must_use]
            pub fn what(self) -> &'static str {
                match self { $($name::$variant => $what,)+ }
            }

            /// What to do about it, for people.
            #[must_use]
            pub fn remedy(self) -> &'static str {
                match self { $($name::$variant => $remedy,)+ }
            }

            /// The value with this name.
            #[must_use]
            pub fn named(name: &str) -> Option<$name> {
                $name::ALL.iter().copied().find(|reason| reason.name() == name)
            }
        }
    };
}

reasons! {
    /// Why a packet was not passed on.
    DropReason {
        /// Its host has sent more new packets than its share of what can wait for a decision.
        HostBusy => "host_busy_packets",
            "packets of a device that opens far more connections than there is room for at once",
            "if they are many, look which device it is: it may be infected";
        /// Its source is not known at the hardware address that it came from, and strangers have sent many.
        HostUnknown => "host_unknown_packets",
            "packets whose sender's address is invented, or another device's",
            "a few are normal when a device joins; many come from a hostile device in the home";
        /// Shorter than its headers say, another version, or a header length below 20 bytes.
        MalformedIp => "ip_malformed_packets",
            "packets that are no proper IPv4",
            "a few are line noise; many come from a broken or hostile device";
        /// The IPv4 header's checksum is wrong.
        IpChecksum => "ip_checksum_packets",
            "packets that were damaged on the way",
            "many at once: look at the cable and the port";
        /// A source route is asked for (RFC 7126: never follow one).
        SourceRoute => "ip_source_route_packets",
            "packets that wanted to choose their own way, which is an old attack",
            "nothing to do";
        /// A TCP, UDP or ICMP header that is cut or contradicts itself.
        MalformedTransport => "transport_malformed_packets",
            "packets whose TCP, UDP or ICMP header makes no sense",
            "nothing to do; many come from a broken or hostile device";
        /// A TCP or UDP port 0, which is nobody's.
        PortZero => "port_zero_packets",
            "packets from or to port 0, which is nobody's",
            "nothing to do";
        /// An ICMP error or a DHCP answer with a wrong checksum.
        TransportChecksum => "transport_checksum_packets",
            "error messages or DHCP answers that were damaged on the way",
            "many at once: look at the cable and the port";
        /// Neither TCP, UDP nor ICMP.
        Protocol => "protocol_unsupported_packets",
            "packets of a protocol that this gateway does not carry (only TCP, UDP and ICMP)",
            "a VPN of the kind GRE or ESP needs its NAT traversal switched on (UDP port 4500)";
        /// An ICMP type that is not translated: redirect, source quench, router discovery, ...
        IcmpType => "icmp_unsupported_packets",
            "ICMP messages other than echoes and errors, which no home needs",
            "nothing to do";
        /// An ICMP error about no flow that we carry.
        IcmpUnrelated => "icmp_unrelated_packets",
            "error messages about traffic that nobody here has sent, or not lately",
            "nothing to do";
        /// A source that is no host: network 0, loopback, class E.
        Source => "source_invalid_packets",
            "packets whose sender's address is no host's",
            "nothing to do; from the home: a device is set up wrongly";
        /// A source that is not on that side (RFC 3704: strict reverse path).
        ReversePath => "reverse_path_packets",
            "packets with a sender's address that does not belong on the side they came from",
            "from the home: a device has a fixed address of another network; let it use DHCP";
        /// A source that is the gateway itself, or the destination too.
        LandAttack => "land_attack_packets",
            "packets that claim to come from the gateway itself",
            "from the home: another device has the gateway's address; give it another one";
        /// A broadcast or multicast address as the source.
        SourceBroadcast => "source_broadcast_packets",
            "packets that claim to come from everybody",
            "nothing to do";
        /// A destination that is no host: network 0, loopback, class E.
        Destination => "destination_invalid_packets",
            "packets to an address that is no host's",
            "nothing to do";
        /// A broadcast, which no router passes on (the home's DHCP is served in the bridge).
        Broadcast => "broadcast_packets",
            "broadcasts, which stay in their own network",
            "nothing to do: every network has some";
        /// A multicast, which this router does not pass on.
        Multicast => "multicast_packets",
            "multicasts, which stay in their own network",
            "nothing to do: every network has some";
        /// From the Internet, but not to our address.
        NotOurs => "wan_not_ours_packets",
            "packets from the Internet that were for somebody else",
            "nothing to do; many at once: the provider's network is shared with others";
        /// From the Internet, to our address, but nobody asked for it.
        Unsolicited => "wan_unsolicited_packets",
            "packets from the Internet that nobody here asked for: scans, mostly",
            "nothing to do; to offer something to the Internet, a service has to listen on wan";
        /// From the Internet to a mapping, but from an endpoint that it did not send to.
        Filtered => "wan_filtered_packets",
            "packets from strangers to a port that talks to somebody else",
            "nothing to do; if a game or call fails, see nat.udp-filtering in gateway.toml";
        /// To the Internet, while there is no address on that side.
        NoWanAddress => "wan_no_address_packets",
            "packets to the Internet while it had given us no address",
            "look at the modem and the cable; 'hearth status' shows the address";
        /// From one home host to another through the gateway.
        LanToLan => "lan_to_lan_packets",
            "packets from one device of the home to another that came to the gateway",
            "a device has a wrong netmask; let it use DHCP";
        /// From the home to a service's own address, past its listen ports.
        ServiceClosed => "service_closed_packets",
            "packets from the home to a service's own address",
            "use the gateway's address and the service's port, which 'hearth ps --json' lists";
        /// From a service to where its policy does not let it.
        ServicePolicy => "service_policy_packets",
            "packets of a service to where its manifest does not let it",
            "if it should: access.network in its manifest; else ask its vendor why it tries";
        /// From one service to another.
        ServiceToService => "service_to_service_packets",
            "packets from one service to another, which are kept apart",
            "nothing to do; ask the service's vendor why it tries";
        /// From a service to the gateway itself.
        ServiceToGateway => "service_to_gateway_packets",
            "packets from a service to the gateway's own address",
            "nothing to do; ask the service's vendor why it tries";
        /// From a guest to the home or to a service.
        GuestToHome => "guest_to_home_packets",
            "packets from a guest to the home or to a service, which guests do not reach",
            "nothing to do; a device that belongs to the home: let it join the home's network";
        /// From a guest to the gateway itself.
        GuestToGateway => "guest_to_gateway_packets",
            "packets from a guest to the gateway's own addresses",
            "nothing to do; guests have their own resolver, which DHCP names";
        /// From the home or a service to a guest.
        ToGuest => "to_guest_packets",
            "packets from the home or a service to the guests' network, which is kept apart",
            "nothing to do; a device that belongs to the home: let it join the home's network";
        /// A TCP reset without a flow.
        TcpNoFlow => "tcp_no_flow_packets",
            "ends of connections that were over already",
            "nothing to do";
        /// Of a TCP connection by an address in the Internet that is not ours any more.
        TcpOver => "tcp_over_packets",
            "connections of before the Internet address changed, whose programs were told to begin anew",
            "nothing to do";
        /// A later fragment whose first fragment did not come in time.
        FragmentUnknown => "fragment_unknown_packets",
            "pieces of packets whose beginning did not come",
            "nothing to do; many at once: packets are lost before they get here";
        /// A later fragment before its first one, and no room to keep it until that comes.
        FragmentNoRoom => "fragment_no_room_packets",
            "pieces of packets that came before their beginning, too many to keep",
            "nothing to do; many at once: somebody floods with pieces";
        /// A first fragment too small for its transport header, or one that overlaps it (RFC 1858).
        FragmentTiny => "fragment_tiny_packets",
            "pieces of packets cut so that a filter would not see what they are: an attack",
            "nothing to do";
        /// All flows are in use.
        TableFull => "nat_table_full_packets",
            "packets of new connections while all places of the NAT table were in use",
            "'hearth net' shows who has the most; end that program or device";
        /// All of the host's share of the flows is in use.
        HostShareFull => "nat_host_share_full_packets",
            "packets of new connections of a device or service that has its full share already",
            "'hearth net' shows who has the most; end that program, or wait until it has less";
        /// Two flows would look the same on one side.
        Conflict => "nat_conflict_packets",
            "packets of a connection that could not be told from another one",
            "nothing to do: the program takes another port by itself";
        /// The time to live ran out here.
        TtlExceeded => "ttl_exceeded_packets",
            "packets that had travelled too far: traceroute does that on purpose",
            "nothing to do";
        /// Larger than the next link carries, and must not be cut.
        TooBig => "too_big_packets",
            "packets larger than the next link carries; the sender was told",
            "nothing to do: senders send smaller ones";
        /// A translation that would have sent an inside address to the Internet: a defect of ours.
        EgressGuard => "egress_guard_packets",
            "packets that would have shown an inside address to the Internet",
            "this is a defect of the gateway: please report it";
    }
}

reasons! {
    /// Why a guard at a link or port dropped a frame.
    Stray {
        /// Shorter than its protocol's header.
        Short => "guard_short_frames",
            "frames that are too short for what they claim to be",
            "nothing to do";
        /// It has a VLAN tag.
        Tagged => "guard_tagged_frames",
            "frames with a VLAN tag, which this gateway does not use",
            "if the provider needs a VLAN, its modem has to take the tag off";
        /// Neither IPv4 nor, where ARP is allowed, ARP: IPv6 above all.
        Protocol => "guard_protocol_frames",
            "frames of another protocol than IPv4, mostly IPv6, which this gateway does not speak",
            "nothing to do: every modern device tries";
        /// Its hardware address is not the sender's.
        HardwareAddress => "guard_hardware_address_frames",
            "frames with another hardware address than the service's own",
            "ask the service's vendor why it tries";
        /// Its IPv4 address is not the sender's.
        Source => "guard_source_frames",
            "packets with another address than the service's own",
            "ask the service's vendor why it tries";
        /// On its way to the Internet, it would show an inside address: of a program of the gateway's own
        /// that speaks by the wrong one, or in what the kernel quotes in an ICMP error.
        InsideAddress => "guard_inside_address_frames",
            "packets that would have shown an inside address to the Internet",
            "nothing to do; the gateway itself tells about a host that is switched off, mostly";
        /// ARP that names another host than the sender.
        Arp => "guard_arp_frames",
            "ARP messages in another host's name",
            "ask the service's vendor why it tries";
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_reason_has_its_own_name_and_words_that_a_console_shows() {
        // given all reasons of both kinds
        let all = DropReason::ALL
            .iter()
            .map(|r| (r.name(), r.what(), r.remedy()));
        let all = all.chain(Stray::ALL.iter().map(|r| (r.name(), r.what(), r.remedy())));
        let mut names = BTreeSet::new();
        for (name, what, remedy) in all {
            // then each is named once, and told in plain ASCII without an end that a sentence adds
            assert!(names.insert(name), "{name} twice");
            for text in [what, remedy] {
                assert!(text.is_ascii() && text.len() > 10, "{name}: {text}");
                assert!(!text.ends_with('.'), "{name}: {text}");
            }
        }
        assert_eq!(
            DropReason::named("wan_filtered_packets"),
            Some(DropReason::Filtered)
        );
        assert_eq!(Stray::named("wan_filtered_packets"), None);
    }
}

//! Links, addresses and routes by rtnetlink (rtnetlink(7)). One kernel request a function.

use hearth_bpf::KernelError;
use hearth_bpf::netlink::{
    Attributes, CREATE, DUMP, EXCLUSIVE, Message, Netlink, REPLACE, attributes,
};
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, BorrowedFd};

const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;
const RTM_DELADDR: u16 = 21;
const RTM_GETADDR: u16 = 22;
const RTM_NEWROUTE: u16 = 24;
const RTM_NEWNEIGH: u16 = 28;
const RTM_GETNEIGH: u16 = 30;
const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_MASTER: u16 = 10;
const IFLA_TXQLEN: u16 = 13;
const IFLA_LINKINFO: u16 = 18;
const IFLA_NET_NS_FD: u16 = 28;
const IFLA_GRO_MAX_SIZE: u16 = 58;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const IFLA_INFO_SLAVE_KIND: u16 = 4;
const IFLA_INFO_SLAVE_DATA: u16 = 5;
const IFLA_BRPORT_LEARNING: u16 = 8;
const IFLA_BRPORT_UNICAST_FLOOD: u16 = 9;
const IFLA_BRPORT_ISOLATED: u16 = 33;
const VETH_INFO_PEER: u16 = 1;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_BROADCAST: u16 = 4;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const IFF_UP: u32 = 1;
const AF_INET: u8 = 2;
const AF_BRIDGE: u8 = 7;
const NDA_DST: u16 = 1;
const NDA_LLADDR: u16 = 2;
/// Of these states the address is one that was heard (`NUD_VALID` of linux/net/neighbour.h).
const NUD_VALID: u16 = 0xde;
const NUD_NOARP: u16 = 0x40;
const NUD_PERMANENT: u16 = 0x80;
const NTF_MASTER: u8 = 0x04;
const NTF_STICKY: u8 = 0x40;
const RT_TABLE_MAIN: u8 = 254;
const RTPROT_STATIC: u8 = 4;
const RT_SCOPE_UNIVERSE: u8 = 0;
const RT_SCOPE_LINK: u8 = 253;
const RTN_UNICAST: u8 = 1;
const RTNH_F_ONLINK: u32 = 4;

/// `struct ifinfomsg` of linux/rtnetlink.h.
fn ifinfomsg(index: u32, flags: u32, change: u32) -> [u8; 16] {
    let mut bytes = [0; 16];
    for (place, word) in bytes.chunks_exact_mut(4).zip([0, index, flags, change]) {
        place.copy_from_slice(&word.to_ne_bytes());
    }
    bytes
}

/// `struct ifaddrmsg` of linux/if_addr.h.
fn ifaddrmsg(prefix: u8, index: u32) -> [u8; 8] {
    let [i0, i1, i2, i3] = index.to_ne_bytes();
    [AF_INET, prefix, 0, RT_SCOPE_UNIVERSE, i0, i1, i2, i3]
}

/// `struct ndmsg` of linux/neighbour.h.
fn ndmsg(family: u8, index: u32, state: u16, flags: u8) -> [u8; 12] {
    let [i0, i1, i2, i3] = index.to_ne_bytes();
    let [s0, s1] = state.to_ne_bytes();
    [family, 0, 0, 0, i0, i1, i2, i3, s0, s1, flags, 0]
}

fn name_bytes(name: &str) -> Vec<u8> {
    [name.as_bytes(), b"\0"].concat()
}

/// Makes a bridge.
pub fn create_bridge(netlink: &mut Netlink, name: &str) -> Result<(), KernelError> {
    let info = Attributes::new().with(IFLA_INFO_KIND, b"bridge\0");
    let message = Message::new(RTM_NEWLINK, CREATE | EXCLUSIVE, &ifinfomsg(0, 0, 0))
        .with(IFLA_IFNAME, &name_bytes(name))
        .with_nested(IFLA_LINKINFO, &[], &info);
    netlink.request("make a bridge", message)
}

/// Makes a veth pair: `name` here, `peer` in another namespace.
pub fn create_veth(
    netlink: &mut Netlink,
    name: &str,
    peer: &str,
    namespace: BorrowedFd<'_>,
) -> Result<(), KernelError> {
    let other = Attributes::new()
        .with(IFLA_IFNAME, &name_bytes(peer))
        .with(IFLA_NET_NS_FD, &namespace.as_raw_fd().to_ne_bytes());
    let data = Attributes::new().with_nested(VETH_INFO_PEER, &ifinfomsg(0, 0, 0), &other);
    let info = Attributes::new()
        .with(IFLA_INFO_KIND, b"veth\0")
        .with_nested(IFLA_INFO_DATA, &[], &data);
    let message = Message::new(RTM_NEWLINK, CREATE | EXCLUSIVE, &ifinfomsg(0, 0, 0))
        .with(IFLA_IFNAME, &name_bytes(name))
        .with_nested(IFLA_LINKINFO, &[], &info);
    netlink.request("make a veth pair", message)
}

/// Removes a link.
pub fn delete(netlink: &mut Netlink, index: u32) -> Result<(), KernelError> {
    netlink.request(
        "remove a link",
        Message::new(RTM_DELLINK, 0, &ifinfomsg(index, 0, 0)),
    )
}

/// Makes a link a port of a bridge.
pub fn join_bridge(netlink: &mut Netlink, index: u32, bridge: u32) -> Result<(), KernelError> {
    let message = Message::new(RTM_NEWLINK, 0, &ifinfomsg(index, 0, 0))
        .with(IFLA_MASTER, &bridge.to_ne_bytes());
    netlink.request("join the bridge", message)
}

/// Makes a port of a bridge a place of its own: it does not talk to other such ports, gets no frame
/// for a host that the bridge does not know, and is where `hardware` is, whoever else claims to be.
pub fn isolate(netlink: &mut Netlink, index: u32, hardware: [u8; 6]) -> Result<(), KernelError> {
    let port = Attributes::new()
        .with(IFLA_BRPORT_ISOLATED, &[1])
        .with(IFLA_BRPORT_LEARNING, &[0])
        .with(IFLA_BRPORT_UNICAST_FLOOD, &[0]);
    let info = Attributes::new()
        .with(IFLA_INFO_SLAVE_KIND, b"bridge\0")
        .with_nested(IFLA_INFO_SLAVE_DATA, &[], &port);
    let message = Message::new(RTM_NEWLINK, 0, &ifinfomsg(index, 0, 0)).with_nested(
        IFLA_LINKINFO,
        &[],
        &info,
    );
    netlink.request("isolate a port of the bridge", message)?;
    let header = ndmsg(AF_BRIDGE, index, NUD_NOARP, NTF_MASTER | NTF_STICKY);
    let message = Message::new(RTM_NEWNEIGH, CREATE | REPLACE, &header).with(NDA_LLADDR, &hardware);
    netlink.request("name a host of the bridge", message)
}

/// Says where an address is, for ever: nobody is asked, and nobody can say otherwise.
pub fn set_neighbour(
    netlink: &mut Netlink,
    index: u32,
    address: Ipv4Addr,
    hardware: [u8; 6],
) -> Result<(), KernelError> {
    let header = ndmsg(AF_INET, index, NUD_PERMANENT, 0);
    let message = Message::new(RTM_NEWNEIGH, CREATE | REPLACE, &header)
        .with(NDA_DST, &address.octets())
        .with(NDA_LLADDR, &hardware);
    netlink.request("set a neighbour", message)
}

/// A host that the kernel knows: on which link, its address, and its hardware address.
pub type Neighbour = (u32, (Ipv4Addr, [u8; 6]));

/// Hosts whose hardware addresses the kernel knows (`RTM_GETNEIGH`), by all links.
pub fn neighbours(netlink: &mut Netlink) -> Result<Vec<Neighbour>, KernelError> {
    let message = Message::new(RTM_GETNEIGH, DUMP, &ndmsg(AF_INET, 0, 0, 0));
    let said = netlink.dump("list neighbours", message)?;
    let found = said.iter().filter_map(|answer| {
        let state = u16::from_ne_bytes(answer.get(8..10)?.try_into().ok()?);
        let index = u32::from_ne_bytes(answer.get(4..8)?.try_into().ok()?);
        let (mut host, mut hardware) = (None, None);
        for (kind, value) in attributes(answer.get(12..)?) {
            match kind {
                NDA_DST => host = <[u8; 4]>::try_from(value).ok().map(Ipv4Addr::from),
                NDA_LLADDR => hardware = value.try_into().ok(),
                _ => {}
            }
        }
        (state & NUD_VALID != 0).then_some((index, (host?, hardware?)))
    });
    Ok(found.collect())
}

/// The hardware address of a link.
pub fn hardware_address(netlink: &mut Netlink, index: u32) -> Result<[u8; 6], KernelError> {
    let message = Message::new(RTM_GETLINK, 0, &ifinfomsg(index, 0, 0));
    let said = netlink.query("find a hardware address", message)?;
    let mut parts = attributes(said.get(16..).unwrap_or_default());
    let found = parts.find(|(kind, _)| *kind == IFLA_ADDRESS);
    found
        .and_then(|(_, value)| value.try_into().ok())
        .ok_or(KernelError::Answer)
}

/// Brings a link up.
pub fn up(netlink: &mut Netlink, index: u32) -> Result<(), KernelError> {
    let message = Message::new(RTM_NEWLINK, 0, &ifinfomsg(index, IFF_UP, IFF_UP));
    netlink.request("bring a link up", message)
}

/// Takes a link down.
pub fn down(netlink: &mut Netlink, index: u32) -> Result<(), KernelError> {
    let message = Message::new(RTM_NEWLINK, 0, &ifinfomsg(index, 0, IFF_UP));
    netlink.request("take a link down", message)
}

/// Sets how many packets wait for a device.
pub fn queue_length(netlink: &mut Netlink, index: u32, packets: u32) -> Result<(), KernelError> {
    let message = Message::new(RTM_NEWLINK, 0, &ifinfomsg(index, 0, 0))
        .with(IFLA_TXQLEN, &packets.to_ne_bytes());
    netlink.request("set a queue length", message)
}

/// Sets how many bytes fit in a packet of a device.
pub fn set_mtu(netlink: &mut Netlink, index: u32, bytes: u32) -> Result<(), KernelError> {
    let message =
        Message::new(RTM_NEWLINK, 0, &ifinfomsg(index, 0, 0)).with(IFLA_MTU, &bytes.to_ne_bytes());
    netlink.request("set an MTU", message)
}

/// Sets how many bytes of a stream a device hands on as one packet.
pub fn set_gro_max(netlink: &mut Netlink, index: u32, bytes: u32) -> Result<(), KernelError> {
    let message = Message::new(RTM_NEWLINK, 0, &ifinfomsg(index, 0, 0))
        .with(IFLA_GRO_MAX_SIZE, &bytes.to_ne_bytes());
    netlink.request("limit what is handed on as one", message)
}

/// Gives a link a hardware address that stays, whatever joins it.
pub fn set_hardware_address(
    netlink: &mut Netlink,
    index: u32,
    address: [u8; 6],
) -> Result<(), KernelError> {
    let message =
        Message::new(RTM_NEWLINK, 0, &ifinfomsg(index, 0, 0)).with(IFLA_ADDRESS, &address);
    netlink.request("set a hardware address", message)
}

/// The IPv4 addresses of a link, each with its prefix length.
pub fn addresses(netlink: &mut Netlink, index: u32) -> Result<Vec<(Ipv4Addr, u8)>, KernelError> {
    let message = Message::new(RTM_GETADDR, DUMP, &ifaddrmsg(0, 0));
    let all = netlink.dump("list addresses", message)?;
    Ok(all
        .iter()
        .filter_map(|one| address_of(one, index))
        .collect())
}

/// The address, with its prefix length, that an answer tells of this link: IPv4's, and possible.
fn address_of(answer: &[u8], index: u32) -> Option<(Ipv4Addr, u8)> {
    let [family, prefix @ 0..=32, _, _, link @ ..] = *answer.first_chunk::<8>()? else {
        return None;
    };
    if family != AF_INET || u32::from_ne_bytes(link) != index {
        return None;
    }
    let mut parts = attributes(answer.get(8..)?);
    let (_, value) = parts.find(|(kind, _)| *kind == IFA_LOCAL)?;
    let address = <[u8; 4]>::try_from(value).ok()?;
    Some((Ipv4Addr::from(address), prefix))
}

/// Gives a link this address and takes every other one from it; one that it has stays untouched.
pub fn settle(
    netlink: &mut Netlink,
    index: u32,
    address: Ipv4Addr,
    prefix: u8,
) -> Result<(), KernelError> {
    let there = addresses(netlink, index)?;
    if there == [(address, prefix)] {
        return Ok(());
    }
    for (old, bits) in there {
        remove_address(netlink, index, old, bits)?;
    }
    let broadcast = u32::from(address) | !hearth_model::gateway::mask(prefix);
    let mut message = Message::new(RTM_NEWADDR, CREATE | REPLACE, &ifaddrmsg(prefix, index))
        .with(IFA_LOCAL, &address.octets())
        .with(IFA_ADDRESS, &address.octets());
    if prefix < 31 {
        message = message.with(IFA_BROADCAST, &broadcast.to_be_bytes());
    }
    netlink.request("set an address", message)
}

/// Takes an address from a link; not having it is fine.
pub fn remove_address(
    netlink: &mut Netlink,
    index: u32,
    address: Ipv4Addr,
    prefix: u8,
) -> Result<(), KernelError> {
    let message = Message::new(RTM_DELADDR, 0, &ifaddrmsg(prefix, index))
        .with(IFA_LOCAL, &address.octets())
        .with(IFA_ADDRESS, &address.octets());
    match netlink.request("remove an address", message) {
        // It went together with the first one of its network.
        Err(e) if e.errno() == libc::EADDRNOTAVAIL => Ok(()),
        other => other,
    }
}

/// A route to make.
pub struct Route {
    /// Where to: address and prefix length; 0 bits are the default route.
    pub to: (Ipv4Addr, u8),
    /// Next hop; taken to be on the link whatever the addresses say.
    pub via: Option<Ipv4Addr>,
    /// Interface.
    pub index: u32,
}

/// Sets a route; an equal one is replaced.
pub fn set_route(netlink: &mut Netlink, route: &Route) -> Result<(), KernelError> {
    request_route(netlink, REPLACE, route)
}

/// Sets a route where there is none to these addresses; `EEXIST` where there is.
pub fn add_route(netlink: &mut Netlink, route: &Route) -> Result<(), KernelError> {
    request_route(netlink, EXCLUSIVE, route)
}

fn request_route(netlink: &mut Netlink, flag: u16, route: &Route) -> Result<(), KernelError> {
    let (scope, flags) = match route.via {
        Some(_) => (RT_SCOPE_UNIVERSE, RTNH_F_ONLINK),
        None => (RT_SCOPE_LINK, 0),
    };
    let (to, bits) = route.to;
    // struct rtmsg of linux/rtnetlink.h
    let mut header = vec![
        AF_INET,
        bits,
        0,
        0,
        RT_TABLE_MAIN,
        RTPROT_STATIC,
        scope,
        RTN_UNICAST,
    ];
    header.extend_from_slice(&flags.to_ne_bytes());
    let mut message = Message::new(RTM_NEWROUTE, CREATE | flag, &header);
    if bits > 0 {
        message = message.with(RTA_DST, &to.octets());
    }
    if let Some(via) = route.via {
        message = message.with(RTA_GATEWAY, &via.octets());
    }
    netlink.request(
        "set a route",
        message.with(RTA_OIF, &route.index.to_ne_bytes()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn answer(family: u8, prefix: u8, index: u32, address: &[u8]) -> Vec<u8> {
        let mut bytes = ifaddrmsg(prefix, index).to_vec();
        bytes[0] = family;
        let length = u16::try_from(4 + address.len()).unwrap();
        bytes.extend(length.to_ne_bytes());
        bytes.extend(IFA_LOCAL.to_ne_bytes());
        bytes.extend(address);
        bytes
    }

    #[test]
    fn only_what_can_be_an_address_of_the_link_is_one() {
        let home = Ipv4Addr::new(192, 168, 1, 1);
        let good = answer(AF_INET, 24, 7, &home.octets());
        assert_eq!(address_of(&good, 7), Some((home, 24)));
        // of another link, another family, with an impossible prefix, with a value of another length
        assert_eq!(address_of(&good, 8), None);
        assert_eq!(address_of(&answer(10, 24, 7, &home.octets()), 7), None);
        assert_eq!(address_of(&answer(AF_INET, 33, 7, &home.octets()), 7), None);
        assert_eq!(address_of(&answer(AF_INET, 24, 7, &[0; 16]), 7), None);
        // and of a torn one nothing
        for length in 0..good.len() {
            assert_eq!(address_of(&good[..length], 7), None, "{length}");
        }
    }

    proptest! {
        #[test]
        fn any_answer_is_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Some((_, prefix)) = address_of(&bytes, 7) {
                prop_assert!(prefix <= 32);
            }
        }
    }
}

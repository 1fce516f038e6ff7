//! RFC 4787 REQ-7: a home whose network is the Internet side's too, which that side has from a server.

use super::packets::*;
use super::world::*;
use dhcproto::v4::{DhcpOption, Message, MessageType, Opcode};
use dhcproto::{Decodable, Decoder, Encodable, Encoder};
use hearth_model::gateway::GatewayConfig;
use hearth_model::networks::{Networks, Resolved};
use hearth_model::protocol::{WanStatus, Zone};
use hearth_netpath::dhcp::{Dhcp, DhcpAction, DhcpConfig, DhcpEvent};
use hearth_netpath::limits::REPLY_MAX;
use hearth_netpath::nat::{Nat, NatConfig, NatEvent, Verdict};
use std::net::Ipv4Addr;

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 7];
const SERVER: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 1);
const GIVEN: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 77);

/// The server's answer to what was sent last, which is an offer or an acknowledgement of [`GIVEN`].
fn answer(actions: &[DhcpAction], kind: MessageType) -> Vec<u8> {
    let asked = actions.iter().find_map(|action| match action {
        DhcpAction::Send { payload, .. } => Message::decode(&mut Decoder::new(payload)).ok(),
        _ => None,
    });
    let none = Ipv4Addr::UNSPECIFIED;
    let xid = asked.unwrap().xid();
    let mut message = Message::new_with_id(xid, none, GIVEN, none, none, &MAC);
    message.set_opcode(Opcode::BootReply);
    for option in [
        DhcpOption::MessageType(kind),
        DhcpOption::ServerIdentifier(SERVER),
        DhcpOption::SubnetMask(Ipv4Addr::new(255, 255, 255, 0)),
        DhcpOption::Router(vec![SERVER]),
        DhcpOption::AddressLeaseTime(3_600),
    ] {
        message.opts_mut().insert(option);
    }
    let mut bytes = Vec::new();
    message.encode(&mut Encoder::new(&mut bytes)).unwrap();
    bytes
}

/// A client of this gateway that has been offered the address: itself, and what it did then.
fn offered(config: &GatewayConfig, home: &mut Home<'_>) -> (Dhcp, Vec<DhcpAction>) {
    let mut client = Dhcp::new(DhcpConfig {
        mac: MAC,
        seed: 7,
        inside: config.own_networks(),
    });
    let now = home.machine().now;
    let asked = client.step(DhcpEvent::Start, now);
    let done = client.step(DhcpEvent::Packet(&answer(&asked, MessageType::Offer)), now);
    (client, done)
}

/// What a machine makes of a packet that it must pass on.
#[track_caller]
fn passed(nat: &mut Nat, home: &mut Home<'_>, from: Zone, ends_: (End, End)) -> (End, End) {
    let mut bytes = packet(Body::Udp, ends_.0, ends_.1, b"data");
    let now = home.machine().now;
    let verdict = nat.packet(from, &mut bytes, now, &mut [0; REPLY_MAX]);
    assert_eq!(verdict, Verdict::Forward, "{ends_:?}");
    ends(&bytes)
}

pub fn rfc4787_req_7_the_inside_makes_way_for_the_outside(home: &mut Home<'_>) {
    // given a home in 192.168.1.0/24, when a server of the Internet's side offers an address of that network
    let text = include_str!("../../../board/common/gateway.toml");
    let configured = GatewayConfig::parse("gateway.toml", text).unwrap();
    let (client, _) = offered(&configured, home);
    // then it is not taken, and the home moves by itself to a network that is not in its way
    let offer: WanStatus = client.overlap().expect("the offer overlaps");
    let Resolved::Move(networks) = Networks::default().resolve(&configured, &offer) else {
        panic!("the home stays");
    };
    let moved = networks.applied_to(&configured);
    // and the same offer is taken then, once nobody on the link says that he has the address
    let (mut client, requested) = offered(&moved, home);
    assert_eq!(client.overlap(), None);
    let ack = answer(&requested, MessageType::Ack);
    let now = home.machine().now;
    assert_eq!(client.step(DhcpEvent::Packet(&ack), now), []);
    let mut done = Vec::new();
    while client.is_probing() {
        let at = client.next_deadline().unwrap();
        done = client.step(DhcpEvent::Tick, at);
    }
    let [DhcpAction::Bound(status)] = done[..] else {
        panic!("{done:?}");
    };
    // and the home talks to hosts of the Internet that have addresses of its old network, and is answered
    let mut nat = Nat::new(NatConfig {
        lan_address: moved.lan.address,
        lan_prefix: moved.lan.prefix,
        ..config()
    });
    nat.event(NatEvent::WanAddress(status.lease), now).unwrap();
    let [a, b, c, _] = moved.lan.address.octets();
    let inside = (Ipv4Addr::new(a, b, c, 150), 5_000);
    let outside = (Ipv4Addr::new(192, 168, 1, 150), 9_000);
    let (seen, arrives) = passed(&mut nat, home, Zone::Lan, (inside, outside));
    assert_eq!((seen, arrives), ((GIVEN, 5_000), outside));
    let back = passed(&mut nat, home, Zone::Wan, (outside, seen));
    assert_eq!(back, (outside, inside));
}

//! DHCP messages (RFC 2131 section 2, RFC 2132): ours as bytes, and servers' answers as far as
//! they are looked at.

use crate::limits::DHCP_MESSAGE_MAX;
use core::net::Ipv4Addr;
use dhcproto::v4::{DhcpOption, Flags, Message, MessageType, Opcode, OptionCode, borrowed};
use dhcproto::{Encodable, Encoder};

/// What we ask a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// DHCPDISCOVER: who has an address for us?
    Discover,
    /// DHCPREQUEST after an offer: we take it, from that server.
    Take {
        /// The address offered.
        address: Ipv4Addr,
        /// The server's identifier.
        server: Ipv4Addr,
    },
    /// DHCPREQUEST in INIT-REBOOT: is this one still ours?
    Confirm {
        /// The address.
        address: Ipv4Addr,
    },
    /// DHCPREQUEST while the lease runs: prolong it.
    Prolong {
        /// The address.
        address: Ipv4Addr,
    },
    /// DHCPDECLINE: somebody else has the address; there is no answer.
    Decline {
        /// The address.
        address: Ipv4Addr,
        /// Identifier of the server that gave it.
        server: Ipv4Addr,
    },
}

/// What makes our messages ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// Our hardware address.
    pub mac: [u8; 6],
    /// The number that answers must repeat.
    pub xid: u32,
    /// Since we began to look for an address, s.
    pub seconds: u16,
}

/// The bytes of a question.
#[must_use]
pub fn encode(question: Question, transaction: Transaction) -> Vec<u8> {
    let Transaction { mac, xid, seconds } = transaction;
    let none = Ipv4Addr::UNSPECIFIED;
    let client = match question {
        Question::Prolong { address } => address,
        Question::Discover
        | Question::Take { .. }
        | Question::Confirm { .. }
        | Question::Decline { .. } => none,
    };
    let is_decline = matches!(question, Question::Decline { .. });
    let mut message = Message::new_with_id(xid, client, none, none, none, &mac);
    // RFC 2131 table 5: neither seconds nor flags in a decline, and no wishes.
    message.set_secs(if is_decline { 0 } else { seconds });
    let kind = match question {
        Question::Discover => MessageType::Discover,
        Question::Take { .. } | Question::Confirm { .. } | Question::Prolong { .. } => {
            MessageType::Request
        }
        Question::Decline { .. } => MessageType::Decline,
    };
    // Before the interface has the address, only a broadcast can reach us (RFC 2131 4.1).
    if client == none && !is_decline {
        message.set_flags(Flags::default().set_broadcast());
    }
    let [a, b, c, d, e, f] = mac;
    let options = message.opts_mut();
    options.insert(DhcpOption::MessageType(kind));
    options.insert(DhcpOption::ClientIdentifier(vec![1, a, b, c, d, e, f]));
    if !is_decline {
        options.insert(DhcpOption::MaxMessageSize(
            u16::try_from(DHCP_MESSAGE_MAX).unwrap_or(u16::MAX),
        ));
        options.insert(DhcpOption::ParameterRequestList(vec![
            OptionCode::SubnetMask,
            OptionCode::Router,
            OptionCode::DomainNameServer,
            OptionCode::AddressLeaseTime,
            OptionCode::Renewal,
            OptionCode::Rebinding,
        ]));
    }
    match question {
        Question::Take { address, server } | Question::Decline { address, server } => {
            options.insert(DhcpOption::RequestedIpAddress(address));
            options.insert(DhcpOption::ServerIdentifier(server));
        }
        Question::Confirm { address } => {
            options.insert(DhcpOption::RequestedIpAddress(address));
        }
        Question::Discover | Question::Prolong { .. } => {}
    }
    let mut bytes = Vec::with_capacity(dhcproto::v4::MIN_PACKET_SIZE);
    // Every option above has a fixed small size, so it fits; were it not so, an empty datagram
    // would be sent and the next try would follow.
    if message.encode(&mut Encoder::new(&mut bytes)).is_err() {
        bytes.clear();
    }
    // Old relays drop what is shorter than a BOOTP message (RFC 1542 2.1).
    bytes.resize(bytes.len().max(dhcproto::v4::MIN_PACKET_SIZE), 0);
    bytes
}

/// Kind of a server's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerKind {
    /// DHCPOFFER.
    Offer,
    /// DHCPACK.
    Ack,
    /// DHCPNAK.
    Nak,
}

/// A server's answer to us; nothing in it is trusted yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its kind.
    pub kind: AnswerKind,
    /// The server's identifier.
    pub server: Option<Ipv4Addr>,
    /// The address for us.
    pub address: Ipv4Addr,
    /// The netmask.
    pub netmask: Option<u32>,
    /// The first router.
    pub router: Option<Ipv4Addr>,
    /// The resolvers, in the server's order.
    pub resolvers: Vec<Ipv4Addr>,
    /// Lease time, s.
    pub lease_s: Option<u32>,
    /// T1, s.
    pub renew_s: Option<u32>,
    /// T2, s.
    pub rebind_s: Option<u32>,
}

/// Reads an answer to a transaction; `None` for all else that may come to our port.
#[must_use]
pub fn decode(bytes: &[u8], mac: [u8; 6], xid: u32) -> Option<Answer> {
    if bytes.len() > DHCP_MESSAGE_MAX {
        return None;
    }
    let message = borrowed::Message::new(bytes).ok()?;
    // The length is checked before the hardware address is looked at: it comes from the message.
    let ours = message.opcode() == Opcode::BootReply
        && message.xid() == xid
        && usize::from(message.hlen()) == mac.len()
        && message.chaddr() == mac;
    if !ours {
        return None;
    }
    let mut kind = None;
    let mut answer = Answer {
        kind: AnswerKind::Nak,
        server: None,
        address: message.yiaddr(),
        netmask: None,
        router: None,
        resolvers: Vec::new(),
        lease_s: None,
        renew_s: None,
        rebind_s: None,
    };
    for option in message.opts() {
        let data = option.data();
        let number = || data.try_into().ok().map(u32::from_be_bytes);
        let address = || {
            data.first_chunk::<4>()
                .map(|octets| Ipv4Addr::from(*octets))
        };
        match u8::from(option.code()) {
            1 => answer.netmask = number(),
            3 => answer.router = address(),
            6 => {
                let (quads, _) = data.as_chunks::<4>();
                answer.resolvers = quads.iter().map(|quad| Ipv4Addr::from(*quad)).collect();
            }
            51 => answer.lease_s = number(),
            53 => {
                kind = match data {
                    [2] => Some(AnswerKind::Offer),
                    [5] => Some(AnswerKind::Ack),
                    [6] => Some(AnswerKind::Nak),
                    _ => None,
                };
            }
            54 => answer.server = address(),
            58 => answer.renew_s = number(),
            59 => answer.rebind_s = number(),
            _ => {}
        }
    }
    answer.kind = kind?;
    Some(answer)
}

//! Client and server in one test, in virtual time.

use super::*;
use crate::limits::DHCP_NAK_WAIT_MS;
use dhcproto::v4::{DhcpOption, Message, MessageType, Opcode, OptionCode};
use dhcproto::{Decodable, Decoder, Encodable, Encoder};
use hearth_model::protocol::{NetworkRole, OwnNetwork, WanLease};
use proptest::prelude::*;

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 7];
const SERVER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
const OTHER_SERVER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 2);
const ADDRESS: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 5);
const RESOLVER: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 53);
const HOUR_MS: u64 = 3_600_000;

/// A client, its clock, and what it said last.
struct Client {
    dhcp: Dhcp,
    now: Tick,
    /// When it asked for its lease.
    asked: Tick,
}

/// What a server puts into an answer.
#[derive(Clone)]
struct Offer {
    kind: MessageType,
    server: Ipv4Addr,
    address: Ipv4Addr,
    options: Vec<DhcpOption>,
}

fn offer() -> Offer {
    Offer {
        kind: MessageType::Offer,
        server: SERVER,
        address: ADDRESS,
        options: vec![
            DhcpOption::SubnetMask(Ipv4Addr::new(255, 255, 255, 0)),
            DhcpOption::Router(vec![SERVER]),
            DhcpOption::DomainNameServer(vec![Ipv4Addr::UNSPECIFIED, RESOLVER]),
            DhcpOption::AddressLeaseTime(3_600),
        ],
    }
}

fn ack() -> Offer {
    Offer {
        kind: MessageType::Ack,
        ..offer()
    }
}

fn nak() -> Offer {
    Offer {
        kind: MessageType::Nak,
        address: Ipv4Addr::UNSPECIFIED,
        options: Vec::new(),
        ..offer()
    }
}

impl Client {
    fn new() -> Client {
        let own = |role, address: [u8; 4], prefix| OwnNetwork {
            role,
            address: address.into(),
            prefix,
        };
        let inside = [
            own(NetworkRole::Lan, [192, 168, 1, 1], 24),
            own(NetworkRole::Services, [10, 213, 0, 1], 22),
            own(NetworkRole::Guest, [192, 168, 2, 1], 24),
        ];
        let inside = inside.into_iter().collect();
        let config = DhcpConfig {
            mac: MAC,
            seed: 7,
            inside,
        };
        Client {
            dhcp: Dhcp::new(config),
            now: Tick(5_000),
            asked: Tick(5_000),
        }
    }

    fn step(&mut self, event: DhcpEvent<'_>) -> Vec<DhcpAction> {
        self.dhcp.step(event, self.now)
    }

    fn start(&mut self) -> Message {
        sent(&self.step(DhcpEvent::Start))
    }

    /// Lets time pass until the machine wants to be woken, and wakes it.
    fn wake(&mut self) -> Vec<DhcpAction> {
        let due = self.dhcp.next_deadline().unwrap();
        assert!(due > self.now, "a deadline in the past");
        self.now = due;
        self.step(DhcpEvent::Tick)
    }

    fn answer(&mut self, offer: &Offer) -> Vec<DhcpAction> {
        let bytes = answer_bytes(self.dhcp.xid, MAC, offer);
        self.step(DhcpEvent::Packet(&bytes))
    }

    /// The server gives what it has offered, and nobody else has it: what is said then.
    fn granted(&mut self, ack: &Offer) -> Vec<DhcpAction> {
        assert_eq!(self.answer(ack), []);
        self.unopposed()
    }

    /// Nobody says anything while the address is asked about.
    fn unopposed(&mut self) -> Vec<DhcpAction> {
        loop {
            assert!(self.dhcp.is_probing());
            let actions = self.wake();
            if !matches!(actions[..], [DhcpAction::Probe(_)]) {
                return actions;
            }
        }
    }

    /// A client with a lease of an hour, since [`Client::asked`].
    fn bound() -> Client {
        let mut client = Client::new();
        client.start();
        client.answer(&offer());
        client.asked = client.now;
        assert_eq!(client.granted(&ack()), [DhcpAction::Bound(status())]);
        client
    }
}

fn status() -> WanStatus {
    WanStatus {
        lease: Some(WanLease {
            address: ADDRESS,
            prefix: 24,
            router: Some(SERVER),
        }),
        resolvers: [Some(RESOLVER), None, None],
    }
}

fn answer_bytes(xid: u32, mac: [u8; 6], offer: &Offer) -> Vec<u8> {
    let none = Ipv4Addr::UNSPECIFIED;
    let mut message = Message::new_with_id(xid, none, offer.address, none, none, &mac);
    message.set_opcode(Opcode::BootReply);
    message
        .opts_mut()
        .insert(DhcpOption::MessageType(offer.kind));
    message
        .opts_mut()
        .insert(DhcpOption::ServerIdentifier(offer.server));
    for option in &offer.options {
        message.opts_mut().insert(option.clone());
    }
    let mut bytes = Vec::new();
    message.encode(&mut Encoder::new(&mut bytes)).unwrap();
    bytes
}

/// The one message among the actions, read by the other decoder of the crate.
#[track_caller]
fn sent_to(actions: &[DhcpAction]) -> (Message, Ipv4Addr) {
    let mut all = actions.iter().filter_map(|action| match action {
        DhcpAction::Send { payload, to } => Some((payload, *to)),
        DhcpAction::Bound(_)
        | DhcpAction::Lost
        | DhcpAction::Refused(_)
        | DhcpAction::Probe(_)
        | DhcpAction::InUse { .. } => None,
    });
    let (payload, to) = all.next().expect("nothing was sent");
    assert!(all.next().is_none(), "more than one message");
    assert!(payload.len() >= 300, "shorter than a BOOTP message");
    (Message::decode(&mut Decoder::new(payload)).unwrap(), to)
}

#[track_caller]
fn sent(actions: &[DhcpAction]) -> Message {
    let (message, to) = sent_to(actions);
    assert_eq!(to, Ipv4Addr::BROADCAST);
    message
}

fn kind(message: &Message) -> MessageType {
    message.opts().msg_type().unwrap()
}

#[test]
fn an_address_is_got_in_four_messages() {
    // given a client that starts
    let mut client = Client::new();
    let discover = client.start();
    assert_eq!(kind(&discover), MessageType::Discover);
    assert_eq!(
        (discover.chaddr(), discover.ciaddr()),
        (&MAC[..], Ipv4Addr::UNSPECIFIED)
    );
    assert!(discover.flags().broadcast(), "no unicast can reach us yet");
    // when a server offers, then its offer is requested
    let request = sent(&client.answer(&offer()));
    assert_eq!(kind(&request), MessageType::Request);
    assert_eq!(request.xid(), discover.xid());
    let option = |code| request.opts().get(code).cloned();
    let requested = option(OptionCode::RequestedIpAddress);
    assert_eq!(requested, Some(DhcpOption::RequestedIpAddress(ADDRESS)));
    let server = option(OptionCode::ServerIdentifier);
    assert_eq!(server, Some(DhcpOption::ServerIdentifier(SERVER)));
    // and when the server acknowledges, and nobody else has it, then the address is ours
    assert_eq!(client.granted(&ack()), [DhcpAction::Bound(status())]);
    // and a second acknowledgement changes nothing
    assert_eq!(client.answer(&ack()), []);
}

#[test]
fn unanswered_questions_are_repeated_ever_more_slowly() {
    // given no server
    let mut client = Client::new();
    client.start();
    let mut waits = Vec::new();
    for _ in 0..8 {
        let before = client.now;
        // when time passes, then the question is asked again, and nothing else happens
        assert_eq!(kind(&sent(&client.wake())), MessageType::Discover);
        waits.push(client.now.since_ms(before));
    }
    // then the waits are those of RFC 2131 4.1, each moved by up to a second
    for (wait, expected) in waits.iter().zip([4, 8, 16, 32, 64, 64, 64, 64]) {
        assert!(
            wait.abs_diff(expected * 1_000) <= DHCP_RETRY_JITTER_MS,
            "{waits:?}"
        );
    }
    // and early and repeated wake-ups do nothing
    assert_eq!(client.step(DhcpEvent::Tick), []);
}

#[test]
fn an_offer_that_is_not_acknowledged_is_given_up() {
    // given a server that offers and is then gone
    let mut client = Client::new();
    client.start();
    client.answer(&offer());
    for _ in 1..DHCP_REQUESTS_MAX {
        assert_eq!(kind(&sent(&client.wake())), MessageType::Request);
    }
    // when the last request is unanswered too, then any server is asked again, as something new
    let old = client.dhcp.xid;
    let discover = sent(&client.wake());
    assert_eq!(kind(&discover), MessageType::Discover);
    assert_ne!(discover.xid(), old);
}

#[test]
fn a_refused_request_begins_anew_at_once_and_then_after_a_wait() {
    let mut client = Client::new();
    client.start();
    client.answer(&offer());
    // given a refusal by another server than the chosen one, then it does not count
    let foreign = Offer {
        server: OTHER_SERVER,
        ..nak()
    };
    assert_eq!(client.answer(&foreign), []);
    // when the chosen one refuses, then the client begins anew at once
    assert_eq!(kind(&sent(&client.answer(&nak()))), MessageType::Discover);
    // and when that ends the same way, after a wait: no storm
    client.answer(&offer());
    assert_eq!(client.answer(&nak()), []);
    let before = client.now;
    assert_eq!(kind(&sent(&client.wake())), MessageType::Discover);
    assert_eq!(client.now.since_ms(before), DHCP_NAK_WAIT_MS);
}

#[test]
fn a_lease_is_renewed_by_its_server() {
    // given a lease of an hour
    let mut client = Client::bound();
    // when half of it is over, then its server is asked, and it alone
    let (request, to) = sent_to(&client.wake());
    assert_eq!(client.now.since_ms(client.asked), HOUR_MS / 2);
    assert_eq!((kind(&request), to), (MessageType::Request, SERVER));
    assert_eq!(request.ciaddr(), ADDRESS);
    assert!(!request.opts().contains(OptionCode::ServerIdentifier));
    assert!(!request.opts().contains(OptionCode::RequestedIpAddress));
    // and another server can not answer for it
    let foreign = Offer {
        server: OTHER_SERVER,
        ..ack()
    };
    assert_eq!(client.answer(&foreign), []);
    // and when its own acknowledges, then nothing changes but the time
    assert_eq!(client.answer(&ack()), []);
    let due = client.dhcp.next_deadline().unwrap();
    assert_eq!(due.since_ms(client.now), HOUR_MS / 2);
}

#[test]
fn a_renewal_that_changes_the_lease_is_told() {
    let mut client = Client::bound();
    client.wake();
    let mut changed = ack();
    changed.options[1] = DhcpOption::Router(vec![OTHER_SERVER]);
    let actions = client.answer(&changed);
    let lease = status().lease.map(|lease| WanLease {
        router: Some(OTHER_SERVER),
        ..lease
    });
    let expected = WanStatus { lease, ..status() };
    assert_eq!(actions, [DhcpAction::Bound(expected)]);
}

#[test]
fn a_lost_server_is_replaced_by_another() {
    // given a lease whose server is gone
    let mut client = Client::bound();
    let start = client.asked;
    let mut to = client.wake_to();
    let mut unicasts = 0;
    while to == SERVER {
        unicasts += 1;
        to = client.wake_to();
    }
    // when seven eighths are over, then all servers are asked (RFC 2131 4.4.5)
    assert_eq!(to, Ipv4Addr::BROADCAST);
    assert_eq!(client.now.since_ms(start), HOUR_MS / 8 * 7);
    assert!((2..10).contains(&unicasts), "{unicasts} questions");
    // and any of them may prolong it
    let foreign = Offer {
        server: OTHER_SERVER,
        ..ack()
    };
    assert_eq!(client.answer(&foreign), []);
    assert!(matches!(client.dhcp.state, State::Bound(l) if l.server == OTHER_SERVER));
}

impl Client {
    fn wake_to(&mut self) -> Ipv4Addr {
        sent_to(&self.wake()).1
    }
}

#[test]
fn a_lease_that_nobody_prolongs_ends_on_time() {
    // given a lease and no server any more
    let mut client = Client::bound();
    let start = client.asked;
    let lost = loop {
        let actions = client.wake();
        if actions.contains(&DhcpAction::Lost) {
            break actions;
        }
    };
    // then it is lost when its time is over, not later, and a new one is looked for
    assert_eq!(client.now.since_ms(start), HOUR_MS);
    assert_eq!(lost[0], DhcpAction::Lost);
    assert_eq!(kind(&sent(&lost)), MessageType::Discover);
}

#[test]
fn a_machine_that_wakes_too_late_gives_the_address_up() {
    let mut client = Client::bound();
    client.now = client.now.after_ms(10 * HOUR_MS);
    let actions = client.step(DhcpEvent::Tick);
    assert_eq!(actions[0], DhcpAction::Lost);
}

#[test]
fn a_refusal_while_renewing_loses_the_address_at_once() {
    let mut client = Client::bound();
    client.wake();
    let actions = client.answer(&nak());
    assert_eq!(actions[0], DhcpAction::Lost);
    assert_eq!(kind(&sent(&actions)), MessageType::Discover);
}

#[test]
fn an_address_from_before_a_restart_is_asked_for_first() {
    // given a new run over an interface that has an address
    let mut client = Client::new();
    let request = sent(&client.step(DhcpEvent::GoOn(ADDRESS)));
    assert_eq!(kind(&request), MessageType::Request);
    assert!(!request.opts().contains(OptionCode::ServerIdentifier));
    // when a server confirms it, then it is bound in two messages: it was in use all the time
    assert_eq!(client.answer(&ack()), [DhcpAction::Bound(status())]);
    // and when nobody answers, then after some tries any address will do
    client.step(DhcpEvent::GoOn(ADDRESS));
    for _ in 1..DHCP_REQUESTS_MAX {
        assert_eq!(kind(&sent(&client.wake())), MessageType::Request);
    }
    assert_eq!(kind(&sent(&client.wake())), MessageType::Discover);
}

#[test]
fn a_port_that_goes_down_and_up_loses_the_address_and_gets_one() {
    let mut client = Client::bound();
    assert_eq!(client.step(DhcpEvent::Stop), [DhcpAction::Lost]);
    assert_eq!(client.dhcp.next_deadline(), None);
    assert_eq!(client.answer(&ack()), []);
    assert_eq!(kind(&client.start()), MessageType::Discover);
}

#[test]
fn bad_offers_are_refused_by_name_and_once() {
    let with = |index: usize, option: DhcpOption| {
        let mut bad = offer();
        bad.options[index] = option;
        bad
    };
    let at = |address: [u8; 4]| Offer {
        address: address.into(),
        ..offer()
    };
    let netmask = |octets: [u8; 4]| with(0, DhcpOption::SubnetMask(octets.into()));
    let far = Ipv4Addr::new(198, 51, 100, 1);
    for (bad, fault) in [
        (netmask([0, 0, 0, 0]), OfferFault::Netmask),
        (netmask([255, 0, 255, 0]), OfferFault::Netmask),
        (
            with(0, DhcpOption::Hostname("x".into())),
            OfferFault::Netmask,
        ),
        (
            at([127, 0, 0, 1]),
            OfferFault::Address([127, 0, 0, 1].into()),
        ),
        (
            at([224, 0, 0, 1]),
            OfferFault::Address([224, 0, 0, 1].into()),
        ),
        (
            at([203, 0, 113, 0]),
            OfferFault::Address([203, 0, 113, 0].into()),
        ),
        (
            at([203, 0, 113, 255]),
            OfferFault::Address([203, 0, 113, 255].into()),
        ),
        (
            with(1, DhcpOption::Router(vec![far])),
            OfferFault::Router(far),
        ),
        (
            with(1, DhcpOption::Router(vec![ADDRESS])),
            OfferFault::Router(ADDRESS),
        ),
        (
            with(3, DhcpOption::AddressLeaseTime(5)),
            OfferFault::LeaseTime(5),
        ),
        (
            with(3, DhcpOption::Hostname("x".into())),
            OfferFault::LeaseTime(0),
        ),
    ] {
        // given a bad offer, when it comes twice, then it is told once and not taken
        let mut client = Client::new();
        client.start();
        assert_eq!(client.answer(&bad), [DhcpAction::Refused(fault)]);
        assert_eq!(client.answer(&bad), []);
        // and a good one is still taken
        assert_eq!(kind(&sent(&client.answer(&offer()))), MessageType::Request);
        // and an acknowledgement that is as bad as the offer was not is no lease
        let worse = Offer {
            kind: MessageType::Ack,
            ..bad
        };
        let bound = |action: &DhcpAction| matches!(action, DhcpAction::Bound(_));
        assert!(!client.answer(&worse).iter().any(bound));
    }
}

/// An offer of another network with its first host as the router, and what is taken for it.
fn elsewhere(address: [u8; 4]) -> (Offer, WanStatus) {
    let [a, b, c, _] = address;
    let router = Ipv4Addr::new(a, b, c, 1);
    let mut other = Offer {
        address: address.into(),
        ..offer()
    };
    other.options[1] = DhcpOption::Router(vec![router]);
    let mut taken = status();
    taken.lease = Some(WanLease {
        address: address.into(),
        prefix: 24,
        router: Some(router),
    });
    (other, taken)
}

#[test]
fn what_overlaps_our_own_networks_is_told_in_full_until_it_is_over() {
    let net = |address: [u8; 4], prefix| Net::of(address.into(), prefix);
    let (home, at_home) = elsewhere([192, 168, 1, 50]);
    let (services, at_services) = elsewhere([10, 213, 3, 9]);
    let mut resolver = offer();
    resolver.options[2] = DhcpOption::DomainNameServer(vec![Ipv4Addr::new(192, 168, 1, 9)]);
    let mut with_resolver = status();
    with_resolver.resolvers[0] = Some(Ipv4Addr::new(192, 168, 1, 9));
    for (bad, offered, theirs) in [
        (home, at_home, net([192, 168, 1, 0], 24)),
        (services, at_services, net([10, 213, 3, 0], 24)),
        (resolver, with_resolver, net([192, 168, 1, 9], 32)),
    ] {
        // given an offer whose network, or resolver, is in a network of our own
        let mut client = Client::new();
        client.start();
        assert_eq!(client.dhcp.overlap(), None);
        // when it comes, then it is told and not taken, and stands
        let fault = OfferFault::Overlap { theirs, offered };
        assert_eq!(client.answer(&bad), [DhcpAction::Refused(fault)]);
        assert_eq!(client.dhcp.overlap(), Some(offered));
        client.wake();
        assert_eq!(client.dhcp.overlap(), Some(offered));
        // when another lease is taken, or the cable is out, then it is over
        client.answer(&offer());
        client.answer(&ack());
        assert_eq!(client.dhcp.overlap(), None);
        client.start();
        client.answer(&bad);
        assert_eq!(client.dhcp.overlap(), Some(offered));
        client.step(DhcpEvent::Stop);
        assert_eq!(client.dhcp.overlap(), None);
        // and a new cable tells it again
        client.start();
        assert_eq!(client.answer(&bad), [DhcpAction::Refused(fault)]);
    }
}

#[test]
fn times_that_make_no_sense_become_the_usual_ones() {
    for (t1, t2, renew_ms) in [
        (600, 1_200, 600_000),
        (1_200, 600, HOUR_MS / 2),
        (0, 0, HOUR_MS / 2),
        (3_600, 7_200, HOUR_MS / 2),
    ] {
        let mut client = Client::new();
        client.start();
        client.answer(&offer());
        let mut timed = ack();
        timed.options.push(DhcpOption::Renewal(t1));
        timed.options.push(DhcpOption::Rebinding(t2));
        let asked = client.now;
        client.granted(&timed);
        let due = client.dhcp.next_deadline().unwrap();
        assert_eq!(due.since_ms(asked), renew_ms, "T1 {t1}, T2 {t2}");
    }
}

#[test]
fn strangers_answers_do_not_count() {
    // given a question
    let mut client = Client::new();
    client.start();
    let xid = client.dhcp.xid;
    let good = answer_bytes(xid, MAC, &offer());
    let mut request = good.clone();
    request[0] = 1;
    let mut long_address = good.clone();
    long_address[2] = 255;
    for bytes in [
        &answer_bytes(xid ^ 1, MAC, &offer())[..],
        &answer_bytes(xid, [2, 0, 0, 0, 0, 8], &offer()),
        &request,
        &long_address,
        &good[..239],
        &good[..241],
        &[],
    ] {
        // when something comes that is no answer to it, then nothing happens
        assert_eq!(client.step(DhcpEvent::Packet(bytes)), []);
    }
    assert_eq!(
        kind(&sent(&client.step(DhcpEvent::Packet(&good)))),
        MessageType::Request
    );
}

#[test]
fn an_endless_lease_is_never_renewed_in_a_lifetime() {
    let mut client = Client::new();
    client.start();
    client.answer(&offer());
    let mut endless = ack();
    endless.options[3] = DhcpOption::AddressLeaseTime(u32::MAX);
    client.granted(&endless);
    let due = client.dhcp.next_deadline().unwrap();
    assert!(due.since_ms(client.now) > 60 * 365 * 24 * HOUR_MS);
}

/// An ARP packet: operation, who says it, which address it has, and which one it asks for.
fn arp(operation: u8, hardware: [u8; 6], sender: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    let mut bytes = vec![0, 1, 8, 0, 6, 4, 0, operation];
    bytes.extend(hardware);
    bytes.extend(sender.octets());
    bytes.extend([0; 6]);
    bytes.extend(target.octets());
    bytes
}

const OTHER: [u8; 6] = [2, 0, 0, 0, 0, 9];
const NOBODY: Ipv4Addr = Ipv4Addr::UNSPECIFIED;

/// A client that asks others about the address it was given.
fn probing() -> Client {
    let mut client = Client::new();
    client.start();
    client.answer(&offer());
    assert_eq!(client.answer(&ack()), []);
    client
}

#[test]
fn others_are_asked_about_an_address_before_it_is_used() {
    // given an address that a server has given, when nobody says a word
    let mut client = probing();
    let given = client.now;
    let mut waits = Vec::new();
    let mut said = Vec::new();
    while client.dhcp.is_probing() {
        let before = client.now;
        said.extend(client.wake());
        waits.push(client.now.since_ms(before));
    }
    // then there were three probes, with the times of RFC 5227 section 1.1, and only then it is ours
    let probe = DhcpAction::Probe(ADDRESS);
    let bound = DhcpAction::Bound(status());
    assert_eq!(said, [probe.clone(), probe.clone(), probe, bound]);
    assert!(waits[0] <= 1_000, "{waits:?}");
    assert!((1_000..=2_000).contains(&waits[1]), "{waits:?}");
    assert!((1_000..=2_000).contains(&waits[2]), "{waits:?}");
    assert_eq!(waits[3], 2_000);
    assert!(client.now.since_ms(given) <= 7_000);
    // and the same is done where it was had before the cable was out, and another where one was had
    client.step(DhcpEvent::Stop);
    client.step(DhcpEvent::Resume(ADDRESS));
    assert_eq!(client.granted(&ack()), [DhcpAction::Bound(status())]);
    client.wake();
    let (other, taken) = elsewhere([203, 0, 113, 77]);
    let other = Offer {
        kind: MessageType::Ack,
        ..other
    };
    assert_eq!(client.answer(&other), [DhcpAction::Lost]);
    assert_eq!(client.unopposed(), [DhcpAction::Bound(taken)]);
}

#[test]
fn an_address_that_somebody_has_is_declined_and_the_search_begins_after_a_wait() {
    for heard in [
        // it answers, it asks somebody, it is about to take it as we are
        arp(2, OTHER, ADDRESS, NOBODY),
        arp(1, OTHER, ADDRESS, SERVER),
        arp(1, OTHER, NOBODY, ADDRESS),
    ] {
        // given an address that others are asked about
        let mut client = probing();
        client.wake();
        // when somebody says that it has it, or wants it
        let actions = client.step(DhcpEvent::Arp(&heard));
        // then that is told, and the server hears it, as RFC 2131 table 5 has it
        let in_use = DhcpAction::InUse {
            address: ADDRESS,
            by: OTHER,
        };
        assert_eq!(actions[0], in_use);
        let decline = sent(&actions);
        assert_eq!(kind(&decline), MessageType::Decline);
        assert_eq!((decline.ciaddr(), decline.secs()), (NOBODY, 0));
        assert!(!decline.flags().broadcast());
        let option = |code| decline.opts().get(code).cloned();
        let requested = option(OptionCode::RequestedIpAddress);
        assert_eq!(requested, Some(DhcpOption::RequestedIpAddress(ADDRESS)));
        let server = option(OptionCode::ServerIdentifier);
        assert_eq!(server, Some(DhcpOption::ServerIdentifier(SERVER)));
        for code in [OptionCode::ParameterRequestList, OptionCode::MaxMessageSize] {
            assert_eq!(option(code), None);
        }
        // and nothing is used, nor asked for, for ten seconds
        assert!(!client.dhcp.is_probing());
        assert_eq!(client.answer(&ack()), []);
        let before = client.now;
        assert_eq!(kind(&sent(&client.wake())), MessageType::Discover);
        assert_eq!(client.now.since_ms(before), 10_000);
        // and another address, which nobody has, is taken
        client.answer(&offer());
        assert_eq!(client.granted(&ack()), [DhcpAction::Bound(status())]);
    }
}

#[test]
fn what_is_no_claim_of_the_address_changes_nothing() {
    let mut short = arp(2, OTHER, ADDRESS, NOBODY);
    short.truncate(27);
    let mut other_kind = arp(2, OTHER, ADDRESS, NOBODY);
    other_kind[1] = 6;
    let padded = [arp(1, OTHER, SERVER, ADDRESS), vec![0; 18]].concat();
    for heard in [
        // our own, back from the link; somebody asks for it; others; an operation of another protocol; damage
        arp(1, MAC, NOBODY, ADDRESS),
        padded,
        arp(2, OTHER, SERVER, OTHER_SERVER),
        arp(1, OTHER, NOBODY, OTHER_SERVER),
        arp(3, OTHER, ADDRESS, ADDRESS),
        short,
        other_kind,
        Vec::new(),
    ] {
        let mut client = probing();
        client.wake();
        assert_eq!(client.step(DhcpEvent::Arp(&heard)), [], "{heard:?}");
        assert_eq!(client.unopposed(), [DhcpAction::Bound(status())]);
    }
    // and an address that is ours is not given up by one packet (the module's documentation)
    let mut client = Client::bound();
    let claim = arp(2, OTHER, ADDRESS, NOBODY);
    assert_eq!(client.step(DhcpEvent::Arp(&claim)), []);
}

#[test]
fn who_meets_conflicts_again_and_again_asks_once_a_minute() {
    // given a line on which everything that the server gives is somebody else's
    let mut client = Client::new();
    client.start();
    let mut waits = Vec::new();
    for _ in 0..12 {
        client.answer(&offer());
        client.answer(&ack());
        let claim = arp(2, OTHER, ADDRESS, NOBODY);
        client.step(DhcpEvent::Arp(&claim));
        let before = client.now;
        assert_eq!(kind(&sent(&client.wake())), MessageType::Discover);
        waits.push(client.now.since_ms(before));
    }
    // then the first ten are met by the usual wait, and the rest by a minute (RFC 5227 section 2.1.1)
    assert_eq!(waits[..10], [10_000; 10]);
    assert_eq!(waits[10..], [60_000; 2]);
}

proptest! {
    #[test]
    fn damaged_answers_are_met_without_panic(
        flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12),
        cut in any::<prop::sample::Index>(),
        acknowledged in any::<bool>(),
        noise in proptest::collection::vec(any::<u8>(), 0..80),
    ) {
        // given a client in the middle of its questions
        let mut client = Client::new();
        client.start();
        if acknowledged { client.answer(&offer()); }
        let kind = if acknowledged { ack() } else { offer() };
        // when a damaged answer comes, its transaction number intact
        let mut bytes = answer_bytes(client.dhcp.xid, MAC, &kind);
        bytes.extend_from_slice(&noise);
        for (at, value) in flips {
            let at = 40 + at.index(bytes.len() - 40);
            bytes[at] = value;
        }
        bytes.truncate(240 + cut.index(bytes.len() - 240));
        let actions = client.step(DhcpEvent::Packet(&bytes));
        // then what is bound is a possible address, and the machine can always go on
        for action in actions {
            if let DhcpAction::Bound(status) = action {
                let lease = status.lease.unwrap();
                prop_assert!((1..=32).contains(&lease.prefix));
                prop_assert!(!lease.address.is_multicast());
            }
        }
        prop_assert!(client.dhcp.next_deadline().is_some_and(|due| due > client.now));
    }
}

//! Who moves, where to, and when nobody does.

use super::*;
use crate::protocol::WanLease;
use proptest::prelude::*;

const SHIPPED: &str = include_str!("../../../../board/common/gateway.toml");

fn configured() -> GatewayConfig {
    GatewayConfig::parse("gateway.toml", SHIPPED).unwrap()
}

/// What a server offers: an address, its prefix length, and whether the network's first host is the router.
fn offer(address: [u8; 4], prefix: u8) -> WanStatus {
    let address = Ipv4Addr::from(address);
    let first = u32::from(address) & mask(prefix) | 1;
    WanStatus {
        lease: Some(WanLease {
            address,
            prefix,
            router: Some(Ipv4Addr::from(first)),
        }),
        resolvers: [None; crate::limits::RESOLVERS_MAX],
    }
}

/// The networks after a move that must take place.
#[track_caller]
fn moved(networks: &Networks, offer: &WanStatus) -> Networks {
    match networks.resolve(&configured(), offer) {
        Resolved::Move(new) => new,
        other @ (Resolved::Clear | Resolved::NoRoom(..)) => panic!("{other:?}"),
    }
}

#[test]
fn a_home_whose_network_is_the_internets_moves_and_keeps_its_host_parts() {
    // given the shipped configuration, when the Internet's side is 192.168.1.0/24 too
    let new = moved(&Networks::default(), &offer([192, 168, 1, 77], 24));
    // then the home is elsewhere, with the same last octets, and the services stay
    let config = new.applied_to(&configured());
    let lan = &config.lan;
    let home = [lan.address, lan.pool_first, lan.pool_last, lan.resolver];
    let expected = [1, 100, 199, 2].map(|host| Ipv4Addr::new(192, 168, 44, host));
    assert_eq!(home, expected);
    assert_eq!(config.services, configured().services);
    // and the same offer is in nobody's way
    let again = new.resolve(&configured(), &offer([192, 168, 1, 77], 24));
    assert_eq!(again, Resolved::Clear);
    // and one sentence tells
    assert_eq!(
        new.moved[0].sentence(),
        "the home's network was moved from 192.168.1.0/24 to 192.168.44.0/24, because the Internet side has \
         192.168.1.0/24; to choose another network, set [lan] in /data/hearth/gateway.toml and type: hearth \
         restart hearth-netpath"
    );
}

#[test]
fn a_router_or_a_resolver_in_the_way_counts_and_a_neighbour_does_not() {
    let networks = Networks::default();
    // given a lease beside our networks
    let mut status = offer([192, 168, 2, 7], 24);
    assert_eq!(networks.resolve(&configured(), &status), Resolved::Clear);
    // when a resolver is in the home's network, then the home moves
    status.resolvers[1] = Some(Ipv4Addr::new(192, 168, 1, 1));
    let new = moved(&networks, &status);
    assert_eq!(new.outside, [Net::of(Ipv4Addr::new(192, 168, 1, 1), 32)]);
    // when the router is in the services' network, then they move
    let mut status = offer([203, 0, 113, 7], 32);
    status.lease.as_mut().unwrap().router = Some(Ipv4Addr::new(10, 213, 2, 1));
    let new = moved(&networks, &status);
    assert_eq!(new.moved[0].role, NetworkRole::Services);
    let services = new.applied_to(&configured()).services;
    assert_eq!(services.subnet, Ipv4Addr::new(192, 168, 44, 0));
    assert_eq!(services.prefix, 22);
}

#[test]
fn a_wide_network_moves_everybody_out_of_it() {
    // given an Internet's side that is all of 10/8 and, next, all of 192.168/16
    let first = moved(&Networks::default(), &offer([10, 1, 2, 3], 8));
    let config = first.applied_to(&configured());
    assert_eq!(config.lan, configured().lan);
    assert_eq!(config.services.subnet, Ipv4Addr::new(192, 168, 44, 0));
    // when the second comes, then both are in the one block that is left, and apart
    let second = moved(&first, &offer([192, 168, 200, 3], 16));
    let config = second.applied_to(&configured());
    assert_eq!(config.lan.address, Ipv4Addr::new(172, 22, 76, 1));
    assert_eq!(config.services.subnet, Ipv4Addr::new(172, 28, 140, 0));
    assert_eq!(second.moved.len(), 2, "one row a network");
}

#[test]
fn two_networks_in_turn_do_not_make_the_home_go_back_and_forth() {
    // given a provider that gives one network and then the very one that the home went to
    let mut networks = Networks::default();
    let mut moves = 0;
    for _ in 0..20 {
        for address in [[192, 168, 1, 7], [192, 168, 44, 7]] {
            match networks.resolve(&configured(), &offer(address, 24)) {
                Resolved::Clear => {}
                Resolved::Move(new) => {
                    networks = new;
                    moves += 1;
                }
                Resolved::NoRoom(..) => panic!("there is room"),
            }
        }
    }
    // then it has moved once for each, and not again
    assert_eq!(moves, 2);
}

#[test]
fn a_provider_that_follows_the_home_everywhere_comes_to_an_end_that_is_told() {
    // given a server that always offers the network that the home is in
    let mut networks = Networks::default();
    let mut places = Vec::new();
    let stuck = loop {
        let lan = networks.applied_to(&configured()).lan;
        assert!(!places.contains(&lan.address), "it was there before");
        places.push(lan.address);
        match networks.resolve(&configured(), &offer(lan.address.octets(), 24)) {
            Resolved::Move(new) => networks = new,
            other @ (Resolved::Clear | Resolved::NoRoom(..)) => break other,
        }
    };
    // then it has been everywhere once
    assert_eq!(places.len(), CANDIDATES.len() + 1);
    let theirs = Net::of(places[places.len() - 1], 24);
    assert_eq!(stuck, Resolved::NoRoom(NetworkRole::Lan, theirs));
}

#[test]
fn what_the_household_configures_counts() {
    // given a home that has moved
    let networks = moved(&Networks::default(), &offer([192, 168, 1, 7], 24));
    // when the household chooses another network, then that is the home's
    let chosen = |from: &str, to: &str| {
        GatewayConfig::parse("gateway.toml", &SHIPPED.replace(from, to)).unwrap()
    };
    let other = chosen("192.168.1.", "192.168.60.");
    assert_eq!(networks.applied_to(&other), other);
    assert!(networks.in_force(&other).is_empty());
    // when it configures a WAN that is where the home has gone, then the home is back
    let wan = "mode = \"static\"\naddress = \"192.168.44.9\"\nprefix = 24";
    let other = chosen("mode = \"dhcp\"", wan);
    assert_eq!(networks.applied_to(&other), other);
    // when it puts the services where the home has gone, then too
    let other = chosen("10.213.0.0", "192.168.44.0");
    assert_eq!(networks.applied_to(&other), other);
}

#[test]
fn the_file_is_read_as_it_was_written_and_a_bad_one_is_named() {
    let networks = moved(&Networks::default(), &offer([192, 168, 1, 7], 24));
    let text = networks.to_text();
    assert_eq!(Networks::parse("n", &text), Ok(networks));
    assert_eq!(Networks::parse("n", ""), Ok(Networks::default()));
    let bad = text.replace("role = \"lan\"", "role = \"moon\"");
    let error = Networks::parse("networks.toml", &bad).unwrap_err();
    assert!(error.starts_with("networks.toml:"), "{error}");
}

proptest! {
    #[test]
    fn whatever_is_offered_in_whatever_order_our_networks_stay_apart(
        offers in proptest::collection::vec((any::<[u8; 2]>(), 8_u8..=32, any::<bool>()), 1..30)
    ) {
        let mut networks = Networks::default();
        for ([a, b], prefix, is_ten) in offers {
            let address = if is_ten { [10, a, b, 77] } else { [192, 168, a, b] };
            let offer = offer(address, prefix);
            match networks.resolve(&configured(), &offer) {
                Resolved::Clear => {}
                Resolved::Move(new) => {
                    // A move is one that can be read again, is in force, and ends the conflict.
                    prop_assert_eq!(Networks::parse("n", &new.to_text()).unwrap(), new.clone());
                    prop_assert_eq!(new.in_force(&configured()).len(), new.moved.len());
                    prop_assert_eq!(new.resolve(&configured(), &offer), Resolved::Clear);
                    let config = new.applied_to(&configured());
                    prop_assert!(is_sound(&config));
                    prop_assert!(overlap(&config.own_networks(), &offer).is_none());
                    networks = new;
                }
                Resolved::NoRoom(_, theirs) => {
                    prop_assert!(outside(&offer).any(|net| net == theirs));
                }
            }
        }
    }
}

//! The household that all tests of the NAT machine talk of, here and in `tests/`.

use core::net::Ipv4Addr;
use hearth_model::gateway::NatChoices;
use hearth_model::protocol::WanLease;
use hearth_netpath::nat::{GuestNet, NatConfig};

pub const GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 1);

/// The gateway's address among the guests.
pub const GUEST_GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 168, 2, 1);

/// The MTU towards the Internet, smaller than the home's.
pub const WAN_MTU: u16 = 1_400;

pub fn config() -> NatConfig {
    NatConfig {
        lan_address: GATEWAY,
        lan_prefix: 24,
        services_subnet: Ipv4Addr::new(10, 213, 0, 0),
        services_prefix: 22,
        lan_mtu: 1_500,
        wan_mtu: WAN_MTU,
        services_mtu: 1_500,
        guest: Some(GuestNet {
            address: GUEST_GATEWAY,
            prefix: 24,
            mtu: 1_500,
        }),
        choices: NatChoices::default(),
        secret: 0x5eed,
    }
}

pub fn lease(address: Ipv4Addr) -> WanLease {
    WanLease {
        address,
        prefix: 24,
        router: Some(Ipv4Addr::new(203, 0, 113, 1)),
    }
}

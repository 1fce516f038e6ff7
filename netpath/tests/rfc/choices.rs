//! What the household can choose: each requirement that says "configurable".

use super::packets::*;
use super::world::*;
use hearth_model::gateway::{Filtering, NatChoices};
use hearth_model::protocol::Zone::Wan;

/// The same home with another choice.
fn with(home: &mut Home<'_>, choices: NatChoices) {
    let machine = Machine::with(hearth_netpath::nat::NatConfig {
        choices,
        ..config()
    });
    *home.machine() = machine;
}

/// Whether a flow that was opened so lives for `ms`, and no second longer.
fn ends_after(home: &mut Home<'_>, ms: u64) {
    home.machine().wait_ms(ms - 1);
    assert_eq!(home.machine().flows(), 1);
    home.machine().wait_ms(3_000);
    assert_eq!(home.machine().flows(), 0);
}

pub fn rfc4787_req_5b_the_timer_is_configurable(home: &mut Home<'_>) {
    let choices = NatChoices {
        udp_timeout: 120,
        ..NatChoices::default()
    };
    with(home, choices);
    home.out(Body::Udp, (ANN, 5_000), (FAR, 9_000));
    ends_after(home, 120_000);
}

/// Who gets in by a mapping that has sent to FAR: another port of that host, and another host.
fn lets_in(home: &mut Home<'_>, body: Body, from: End) -> [bool; 2] {
    let seen = home.out(body, from, (FAR, 9_000));
    [(FAR, 9_999), (OTHER, 9_000)].map(|stranger| {
        home.0.send(Wan, &packet(body, stranger, seen, b""));
        home.0
            .next(hearth_model::protocol::Zone::Lan)
            .is_some_and(|out| ends(&out) == (stranger, from))
    })
}

const CHOICES: [(Filtering, [bool; 2]); 3] = [
    (Filtering::EndpointIndependent, [true, true]),
    (Filtering::AddressDependent, [true, false]),
    (Filtering::AddressAndPortDependent, [false, false]),
];

pub fn rfc4787_req_8a_filtering_is_configurable(home: &mut Home<'_>) {
    for (udp_filtering, expected) in CHOICES {
        let choices = NatChoices {
            udp_filtering,
            ..NatChoices::default()
        };
        with(home, choices);
        let from = (ANN, 5_000);
        assert_eq!(
            lets_in(home, Body::Udp, from),
            expected,
            "{udp_filtering:?}"
        );
        // and whatever it is, a stranger keeps no mapping alive
        for minute in 1..=5 {
            home.machine().wait_ms(60_000);
            home.0.send(
                Wan,
                &packet(Body::Udp, (FAR, 9_000), (EXTERNAL, 5_000), b""),
            );
            let heard = home.0.next(hearth_model::protocol::Zone::Lan);
            assert_eq!(heard.is_some(), minute < 5, "{udp_filtering:?} {minute}");
        }
        home.machine().wait_ms(3_000);
        assert_eq!(home.machine().flows(), 0);
    }
}

pub fn rfc5382_req_3a_filtering_is_configurable(home: &mut Home<'_>) {
    for (tcp_filtering, expected) in CHOICES {
        let choices = NatChoices {
            tcp_filtering,
            ..NatChoices::default()
        };
        with(home, choices);
        let from = (ANN, 5_000);
        assert_eq!(lets_in(home, SYN, from), expected, "{tcp_filtering:?}");
    }
}

pub fn rfc5382_req_3b_filtering_of_each_protocol_is_its_own(home: &mut Home<'_>) {
    let choices = NatChoices {
        udp_filtering: Filtering::EndpointIndependent,
        tcp_filtering: Filtering::AddressAndPortDependent,
        ..NatChoices::default()
    };
    with(home, choices);
    assert_eq!(lets_in(home, Body::Udp, (ANN, 5_000)), [true, true]);
    assert_eq!(lets_in(home, SYN, (ANN, 5_000)), [false, false]);
}

pub fn rfc5382_req_5a_timers_are_configurable(home: &mut Home<'_>) {
    let choices = NatChoices {
        tcp_established_timeout: 8_000,
        ..NatChoices::default()
    };
    with(home, choices);
    home.connect((ANN, 5_000), (FAR, 80));
    ends_after(home, 8_000_000);
}

pub fn rfc5508_req_2a_the_timer_is_configurable(home: &mut Home<'_>) {
    let choices = NatChoices {
        icmp_timeout: 90,
        ..NatChoices::default()
    };
    with(home, choices);
    home.out(Body::EchoRequest, (ANN, 77), (FAR, 0));
    ends_after(home, 90_000);
}

pub fn rfc7857_section_2_1_opening_and_closing_have_timers_of_their_own(home: &mut Home<'_>) {
    let choices = NatChoices {
        tcp_opening_timeout: 30,
        tcp_closing_timeout: 300,
        ..NatChoices::default()
    };
    // given a connection that opens
    with(home, choices);
    home.out(SYN, (ANN, 5_000), (FAR, 80));
    ends_after(home, 30_000);
    // and one that closes
    with(home, choices);
    let seen = home.connect((ANN, 5_000), (FAR, 80));
    home.out(FIN, (ANN, 5_000), (FAR, 80));
    home.back(FIN, (FAR, 80), seen);
    ends_after(home, 300_000);
}

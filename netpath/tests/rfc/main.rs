//! Every requirement of RFC 4787 (UDP), 5382 (TCP), 5508 (ICMP) and 7857 (updates), one test each: on the
//! pure machine in virtual time, and, where it can be seen from outside, on the wire through the real
//! program and, for comparison, through nftables masquerade.
//!
//! `clauses.toml` says which test is whose; each test leaves its result below the target folder, and
//! `scripts/lib/rfc-table` makes the table of them. The wire needs root.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]
// What is not expected is a failure, whatever it is.
#![allow(clippy::wildcard_enum_match_arm)]

mod choices;
mod fragments;
#[path = "../../src/nat/tests/home.rs"]
mod home;
mod icmp;
mod networks;
#[path = "../../src/nat/tests/packets.rs"]
mod packets;
mod report;
#[path = "../forwarding/support/mod.rs"]
#[allow(dead_code, reason = "it serves other tests too")]
mod support;
mod tcp;
mod udp;
mod updates;
mod wire;
mod world;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

type Scenario = fn(&mut world::Home<'_>);

macro_rules! clauses {
    (
        everywhere { $($module:ident { $($name:ident,)* })* }
        virtual_time { $($module2:ident { $($name2:ident,)* })* }
    ) => {
        mod machine {
            use super::world::{Home, Machine, config};
            $($(
                #[test]
                fn $name() {
                    let mut machine = Machine::with(config());
                    let scenario = || super::$module::$name(&mut Home(&mut machine));
                    super::report::note("machine", stringify!($name), scenario);
                }
            )*)*
            $($(
                #[test]
                fn $name2() {
                    let mut machine = Machine::with(config());
                    let scenario = || super::$module2::$name2(&mut Home(&mut machine));
                    super::report::note("machine", stringify!($name2), scenario);
                }
            )*)*
        }

        mod netpath {
            use super::wire::{Kind, Wire};
            use super::world::Home;
            $($(
                #[test]
                fn $name() {
                    let mut wire = Wire::new(Kind::Netpath);
                    let scenario = || super::$module::$name(&mut Home(&mut wire));
                    super::report::note("netpath", stringify!($name), scenario);
                }
            )*)*
        }

        const ON_THE_WIRE: &[(&str, Scenario)] = &[$($((stringify!($name), $module::$name),)*)*];
    };
}

clauses! {
    everywhere {
        udp {
            rfc4787_req_1_endpoint_independent_mapping,
            rfc4787_req_2_paired_pooling,
            rfc4787_req_3_no_port_overloading,
            rfc4787_req_3a_the_same_range,
            rfc4787_req_4_port_parity,
            rfc4787_req_8_address_dependent_filtering,
            rfc4787_req_9_hairpinning,
            rfc4787_req_9a_hairpinning_shows_the_external_source,
            rfc4787_req_10_no_application_gateways,
            rfc4787_req_11_deterministic_behavior,
            rfc4787_req_12_icmp_does_not_end_a_mapping,
            rfc4787_req_12a_errors_of_any_source_pass,
            rfc4787_req_12b_destination_unreachable,
            rfc4787_req_13_too_big_is_answered,
            rfc4787_req_13a_what_may_be_cut_is_cut,
        }
        fragments {
            rfc4787_req_14_fragments_in_any_order,
            rfc4787_req_14a_a_flood_of_fragments_harms_nobody,
        }
        tcp {
            rfc5382_req_1_endpoint_independent_mapping,
            rfc5382_req_2_valid_sequences,
            rfc5382_req_2a_simultaneous_open,
            rfc5382_req_3_address_dependent_filtering,
            rfc5382_req_4_silence_about_an_unsolicited_syn,
            rfc5382_req_6_no_application_gateways,
            rfc5382_req_7_no_port_overloading,
            rfc5382_req_8_hairpinning,
            rfc5382_req_8a_hairpinning_shows_the_external_source,
            rfc5382_req_9_destination_unreachable,
            rfc5382_req_10_icmp_does_not_end_a_connection,
        }
        icmp {
            rfc5508_req_1_queries_pass,
            rfc5508_req_1a_one_identifier_for_every_host,
            rfc5508_req_3_a_damaged_error_is_dropped,
            rfc5508_req_3a_an_error_about_a_damaged_packet_is_dropped,
            rfc5508_req_3b_options_of_the_embedded_packet_are_passed_over,
            rfc5508_req_3c_the_embedded_transport_checksum_is_not_looked_at,
            rfc5508_req_3d_extensions_are_left_alone,
            rfc5508_req_4_errors_about_no_flow_are_dropped,
            rfc5508_req_4a_inbound_errors_show_the_packet_as_it_was_sent,
            rfc5508_req_4b_type_and_code_stay,
            rfc5508_req_4c_the_error_goes_to_the_sender,
            rfc5508_req_5_outbound_errors_about_no_flow_are_dropped,
            rfc5508_req_5a_outbound_errors_show_the_packet_as_it_was_sent,
            rfc5508_req_5b_type_and_code_stay,
            rfc5508_req_5c_outbound_errors_come_from_the_public_address,
            rfc5508_req_7_hairpinned_errors,
            rfc5508_req_7a_a_hairpinned_error_goes_to_the_sender,
            rfc5508_req_9_strangers_are_told_nothing,
            rfc5508_req_10_messages_that_must_be_supported,
            rfc5508_req_10_source_quench_and_redirect_are_not_passed_on,
            rfc5508_req_11_other_messages_are_dropped,
        }
        updates {
            rfc7857_section_5_mappings_of_each_protocol_are_its_own,
            rfc7857_section_9_ports_are_random_where_they_change,
            rfc7857_section_10_fragments_of_two_hosts_are_not_mixed,
        }
    }
    virtual_time {
        udp {
            rfc4787_req_5_a_mapping_lasts_for_two_minutes,
            rfc4787_req_5a_dns_has_a_shorter_timer,
            rfc4787_req_5c_five_minutes_by_default,
            rfc4787_req_6_outbound_packets_refresh,
            rfc4787_req_6a_inbound_packets_do_not,
        }
        tcp {
            rfc5382_req_4a_silence_for_ever,
            rfc5382_req_5_established_for_two_hours_and_four_minutes,
            rfc5382_req_5_transitory_for_four_minutes,
        }
        icmp {
            rfc5508_req_2_sixty_seconds,
            rfc5508_req_6_errors_neither_prolong_nor_end_a_query,
            rfc5508_req_8_no_room_is_told_by_code_13,
        }
        updates {
            rfc7857_section_2_states_follow_both_ends,
            rfc7857_section_2_2_a_reset_passes_and_its_flow_stays_for_four_minutes,
            rfc7857_section_2_2_data_after_a_reset_shows_that_it_was_none,
            rfc7857_section_6_filters_of_each_protocol_are_its_own,
            rfc7857_section_7_filtered_packets_refresh_nothing,
            rfc7857_section_7_1_outbound_errors_and_resets_do_not_refresh,
            rfc7857_section_9_ports_differ_from_start_to_start,
            rfc7857_section_11_a_mapping_of_queries_ends_with_its_last_flow,
            rfc7857_section_12_the_public_address_answers_for_itself,
        }
        networks {
            rfc4787_req_7_the_inside_makes_way_for_the_outside,
        }
        choices {
            rfc4787_req_5b_the_timer_is_configurable,
            rfc4787_req_8a_filtering_is_configurable,
            rfc5382_req_3a_filtering_is_configurable,
            rfc5382_req_3b_filtering_of_each_protocol_is_its_own,
            rfc5382_req_5a_timers_are_configurable,
            rfc5508_req_2a_the_timer_is_configurable,
            rfc7857_section_2_1_opening_and_closing_have_timers_of_their_own,
        }
    }
}

/// Not a test of ours but of the neighbour's: what passes and what does not is a column of the table.
#[test]
fn nftables_for_comparison() {
    let (next, passed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let some_of_them = || {
        while let Some((name, scenario)) = ON_THE_WIRE.get(next.fetch_add(1, Ordering::Relaxed)) {
            let mut wire = wire::Wire::new(wire::Kind::Nftables);
            let scenario = || scenario(&mut world::Home(&mut wire));
            if report::observe("nftables", name, scenario).is_ok() {
                passed.lock().unwrap().push(*name);
            }
        }
    };
    // They wait more than they work.
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(some_of_them);
        }
    });
    let passed = passed.into_inner().unwrap();
    // What every NAT does passes, else it is the comparison that is wrong.
    for name in [
        "rfc5382_req_2_valid_sequences",
        "rfc4787_req_12b_destination_unreachable",
        "rfc5508_req_1_queries_pass",
        "rfc5508_req_4a_inbound_errors_show_the_packet_as_it_was_sent",
    ] {
        assert!(
            passed.contains(&name),
            "{name} did not pass; passed: {passed:#?}"
        );
    }
}

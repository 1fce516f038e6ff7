//! Starts and links while netpath comes, goes, refuses and is silent.

use super::*;
use crate::limits::{INIT_ANSWER_MS, NETPATH_ANSWER_MS, NETPATH_WAIT_MS};

#[test]
fn a_start_waits_for_netpath_and_says_so_after_a_while() {
    let mut bench = Bench::new(vec![(package("web", WEB), Wanted::Running)]);
    assert_eq!(
        bench.all([Event::InitWelcomeEnd, Event::Prepared(id(0))])[1..],
        []
    );
    assert_eq!(
        (bench.state(0), bench.message(0)),
        (UnitState::Starting, String::new())
    );
    bench.1 = Tick(NETPATH_WAIT_MS + 1);
    assert!(bench.message(0).contains("waits for hearth-netpath"));
    assert_eq!(bench.0.next_deadline(), None);
    let [Action::Attach(..)] = bench.on(Event::NetUp)[..] else {
        panic!()
    };
}

#[test]
fn a_new_run_of_netpath_hears_everything_again() {
    // given one running and one idle service
    let mut bench = running();
    // when netpath is restarted
    bench.on(Event::NetDown);
    let actions = bench.on(Event::NetUp);
    // then the running one is linked again, and nothing else happens to it
    let [Action::Attach(..), Action::Forward(_), Action::Forward(_)] = actions[..] else {
        panic!()
    };
    bench.on(Event::NetRefused(Some(id(0)), NetRefusal::ForwardsFull));
    assert!(
        bench
            .message(0)
            .contains("all 128 ports of services are in use")
    );
    assert_eq!(bench.state(0), UnitState::Active);
}

#[test]
fn answers_to_earlier_requests_do_not_move_a_start_on() {
    // given a service that netpath heard of again, and that was then stopped and started
    let mut bench = running();
    bench.all([
        Event::NetDown,
        Event::NetUp,
        Event::Stop(id(0)),
        told(0, UnitState::Idle),
    ]);
    bench.all([Event::Start(id(0)), Event::Prepared(id(0))]);
    // when the answers to the old Attach, two Forwards and Detach come
    let old = [
        Event::Attached(id(0)),
        Event::Forwarded(id(0)),
        Event::NetRefused(Some(id(0)), NetRefusal::ForwardsFull),
        Event::Detached(id(0)),
    ];
    // then nothing moves until the answer to the new Attach
    assert_eq!(bench.all(old), []);
    assert_eq!(bench.message(0), "");
    assert_eq!(bench.on(Event::Attached(id(0))).len(), 2);
}

#[test]
fn a_taken_port_names_its_owner_and_netpaths_return_tries_again() {
    let both = vec![
        (package("a", ""), Wanted::Stopped),
        (package("web", WEB), Wanted::Running),
    ];
    let mut bench = Bench::new(both);
    bench.all([Event::NetUp, Event::InitWelcomeEnd]);
    // the Detach of the idle service without a link is never sent; web's start is under way
    bench.all([Event::Prepared(id(1)), Event::Attached(id(1))]);
    let refusal = NetRefusal::PortTaken {
        port: 80,
        by: id(0),
    };
    let actions = bench.on(Event::NetRefused(Some(id(1)), refusal));
    assert_eq!(actions[0], Action::Detach(id(1)));
    assert_eq!(
        bench.message(1),
        "port 80 is a's already; stop a or choose another port"
    );
    assert_eq!(bench.on(Event::NetDown), []);
    assert_eq!(bench.on(Event::NetUp), [Action::Prepare(id(1))]);
}

#[test]
fn two_bridged_services_do_not_share_the_address() {
    let small = |name, link: &str| {
        let mut package = package(name, &format!("network = \"lan\"\nlink = \"{link}\""));
        let text = "[service]\nname = \"NAME\"\nversion = \"1\"\nexec = [\"/a\"]\n[resources.memory]\n\
                    max = \"4 MiB\"\n[resources.pids]\nmax = 4\n[access]\nnetwork = \"lan\"\n\
                    link = \"LINK\"\n";
        let text = text.replace("NAME", name).replace("LINK", link);
        package.manifest = Manifest::parse("m", &text).unwrap();
        (package, Wanted::Running)
    };
    let home = [small("dns", "bridged"), small("dns2", "bridged")];
    let guests = [small("dns3", "guest"), small("dns4", "guest")];
    let mut bench = Bench::new(home.into_iter().chain(guests).collect());
    // the home and the guests have an address each
    assert_eq!(
        bench.on(Event::InitWelcomeEnd),
        [Action::Prepare(id(0)), Action::Prepare(id(2))]
    );
    assert!(bench.message(1).contains("dns has it; stop dns first"));
    assert!(bench.message(3).contains("dns3 has it; stop dns3 first"));
}

#[test]
fn silence_is_an_error_with_a_name() {
    // given a service that waits for netpath's answer
    let mut bench = Bench::new(vec![(package("web", WEB), Wanted::Running)]);
    bench.all([Event::InitWelcomeEnd, Event::NetUp, Event::Prepared(id(0))]);
    assert_eq!(bench.0.next_deadline(), Some(Tick(NETPATH_ANSWER_MS)));
    // when it does not come, early wake-ups included
    bench.1 = Tick(NETPATH_ANSWER_MS - 1);
    assert_eq!(bench.on(Event::Deadline), []);
    bench.1 = Tick(NETPATH_ANSWER_MS);
    bench.on(Event::Deadline);
    // then the start has failed
    assert!(bench.message(0).contains("hearth-netpath did not answer"));
    assert_eq!(bench.0.promised().memory, Bytes(0));
    // and the same for PID 1
    let mut bench = Bench::new(vec![(package("calc", ""), Wanted::Running)]);
    bench.all([Event::InitWelcomeEnd, Event::Prepared(id(0))]);
    bench.1 = Tick(INIT_ANSWER_MS);
    bench.on(Event::Deadline);
    assert!(bench.message(0).contains("hearth-init did not answer"));
}

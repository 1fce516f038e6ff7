use crate::machine::admission::{Budget, Promise, Room};
use crate::machine::register::Wanted;
use crate::machine::service::Package;
use crate::machine::{Action, Event, Machine};
use hearth_model::manifest::Manifest;
use hearth_model::protocol::{InitRefusal, Link, NetRefusal, NetworkPolicy};
use hearth_model::state::{Fault, LastExit, UnitState, UnitStatus};
use hearth_model::{BitsPerSec, Bytes, MilliCpu, PerMille, ServiceId, ServiceName, Tick};

mod again;
mod kills;
mod links;
mod needs;
mod orders;
mod ranks;
mod relink;
mod rooms;
mod table;

const MACHINE: Budget = Budget {
    total: promise(256, 1000),
    system: promise(156, 300),
};

const fn promise(mib: u64, milli: u32) -> Promise {
    Promise {
        memory: Bytes::mib(mib),
        cpu: MilliCpu(milli),
        io: PerMille(0),
        storage: Bytes(0),
        pids: 0,
        upload: BitsPerSec(0),
        download: BitsPerSec(0),
    }
}

fn id(n: u16) -> ServiceId {
    ServiceId::new(n).unwrap()
}

/// A package that reserves 60 MiB; two of them do not fit in 100 MiB.
fn package(name: &str, access: &str) -> Package {
    let text = format!(
        "[service]\nname = \"{name}\"\nversion = \"1\"\nexec = [\"/a\"]\n[resources.memory]\n\
         reserve = \"60 MiB\"\nmax = \"64 MiB\"\n[resources.pids]\nmax = 4\n[access]\n{access}"
    );
    let manifest = Manifest::parse("m", &text).unwrap();
    let address = std::net::Ipv4Addr::new(10, 213, 0, 2);
    let link = (!access.is_empty()).then_some(if access.contains("bridged") {
        Link::Bridged {
            address,
            prefix: 24,
            policy: NetworkPolicy::Wan,
        }
    } else {
        Link::Routed {
            address,
            policy: NetworkPolicy::Lan,
        }
    });
    Package { manifest, link }
}

const WEB: &str = "network = \"lan\"\nlisten = [\"lan tcp 80 -> 80\", \"lan udp 80 -> 80\"]";

fn status(state: UnitState) -> UnitStatus {
    UnitStatus {
        state,
        pid: 7,
        ..UnitStatus::default()
    }
}

fn told(n: u16, state: UnitState) -> Event {
    Event::InitStatus {
        id: id(n),
        status: status(state),
        oom_kills: 0,
    }
}

fn taken(n: u16, name: &str) -> Event {
    let name = ServiceName::new(name).unwrap();
    Event::InitService {
        id: id(n),
        name,
        status: status(UnitState::Starting),
        oom_kills: 0,
    }
}

/// A machine and its clock. Log lines, guarantees and ranks are left out of what `on` returns.
struct Bench(Machine, Tick);

impl Bench {
    fn new(packages: Vec<(Package, Wanted)>) -> Bench {
        let numbered = packages.into_iter().enumerate();
        let rows = numbered.map(|(n, (package, wanted))| (id(n as u16), package, wanted));
        Bench(Machine::new(MACHINE, rows.collect(), Vec::new()), Tick(0))
    }

    fn on(&mut self, event: Event) -> Vec<Action> {
        let plain = |action: &Action| {
            !matches!(
                action,
                Action::Tell(..) | Action::Guarantee(..) | Action::Rank(..)
            )
        };
        let all = self.0.step(event, self.1);
        all.into_iter().filter(plain).collect()
    }

    fn all(&mut self, events: impl IntoIterator<Item = Event>) -> Vec<Action> {
        events
            .into_iter()
            .flat_map(|event| self.on(event))
            .collect()
    }

    fn message(&self, n: u16) -> String {
        self.0.service(id(n)).unwrap().message(self.1)
    }

    fn state(&self, n: u16) -> UnitState {
        self.0.service(id(n)).unwrap().state()
    }
}

/// One service that runs.
fn running() -> Bench {
    let mut bench = Bench::new(vec![(package("web", WEB), Wanted::Running)]);
    bench.all([
        Event::InitWelcomeEnd,
        Event::NetUp,
        Event::Prepared(id(0)),
        Event::Attached(id(0)),
        Event::Forwarded(id(0)),
        Event::Forwarded(id(0)),
        taken(0, "web"),
        told(0, UnitState::Active),
    ]);
    assert_eq!(bench.state(0), UnitState::Active);
    bench
}

#[test]
fn a_start_takes_each_step_in_order_and_only_once() {
    // given a wanted service and netpath
    let mut bench = Bench::new(vec![(package("web", WEB), Wanted::Running)]);
    bench.on(Event::NetUp);
    // when each outcome comes, then the next step is taken
    assert_eq!(bench.on(Event::InitWelcomeEnd), [Action::Prepare(id(0))]);
    let [Action::Attach(..)] = bench.on(Event::Prepared(id(0)))[..] else {
        panic!()
    };
    let [Action::Forward(_), Action::Forward(_)] = bench.on(Event::Attached(id(0)))[..] else {
        panic!()
    };
    assert_eq!(bench.on(Event::Forwarded(id(0))), []);
    assert_eq!(bench.state(0), UnitState::Starting);
    assert_eq!(bench.on(Event::Forwarded(id(0))), [Action::Launch(id(0))]);
    assert_eq!(bench.all([taken(0, "web"), told(0, UnitState::Active)]), []);
    assert_eq!(
        (bench.state(0), bench.message(0)),
        (UnitState::Active, String::new())
    );
    assert_eq!(bench.on(Event::Start(id(0))), []);
}

#[test]
fn a_service_without_network_never_asks_netpath() {
    let mut bench = Bench::new(vec![(package("calc", ""), Wanted::Running)]);
    bench.on(Event::InitWelcomeEnd);
    assert_eq!(bench.on(Event::Prepared(id(0))), [Action::Launch(id(0))]);
}

#[test]
fn a_stop_gives_everything_back() {
    let mut bench = running();
    assert_eq!(bench.on(Event::Stop(id(0))), [Action::SendStop(id(0))]);
    assert_eq!(bench.on(told(0, UnitState::Stopping)), []);
    assert!(!bench.0.service(id(0)).unwrap().is_settled());
    let web = ServiceName::new("web").unwrap();
    assert_eq!(
        bench.on(told(0, UnitState::Idle)),
        [
            Action::SendForget(id(0)),
            Action::Detach(id(0)),
            Action::Release(web)
        ]
    );
    assert_eq!(bench.0.promised().memory, Bytes(0));
    assert!(bench.0.service(id(0)).unwrap().is_settled());
}

#[test]
fn a_start_asked_for_while_it_ends_comes_after_the_end() {
    let mut bench = running();
    bench.all([Event::Stop(id(0)), told(0, UnitState::Stopping)]);
    // PID 1 is told to leave it at rest, whatever it ended it for
    assert_eq!(bench.on(Event::Start(id(0))), [Action::SendStop(id(0))]);
    assert_eq!(bench.on(Event::Start(id(0))), []);
    assert_eq!(bench.on(told(0, UnitState::Stopping)), []);
    assert!(!bench.0.service(id(0)).unwrap().is_settled());
    assert_eq!(bench.on(told(0, UnitState::Idle)), [Action::Prepare(id(0))]);
}

#[test]
fn a_restart_of_what_runs_is_left_to_pid_1() {
    let mut bench = running();
    assert_eq!(
        bench.on(Event::Restart(id(0))),
        [Action::SendRestart(id(0))]
    );
    assert!(!bench.0.service(id(0)).unwrap().is_settled());
    assert_eq!(
        bench.all([told(0, UnitState::Stopping), told(0, UnitState::Starting)]),
        []
    );
    assert_eq!(bench.on(told(0, UnitState::Active)), []);
    assert!(bench.0.service(id(0)).unwrap().is_settled());
}

#[test]
fn what_does_not_fit_is_refused_and_told() {
    // given two services of which one fits
    let both = vec![
        (package("a", ""), Wanted::Running),
        (package("b", ""), Wanted::Running),
    ];
    let mut bench = Bench::new(both);
    // when the gateway boots
    let actions = bench.on(Event::InitWelcomeEnd);
    // then the first starts and the second says why it does not
    assert_eq!(actions, [Action::Prepare(id(0))]);
    assert!(
        bench
            .message(1)
            .contains("60 MiB of memory, 40 MiB free, 20 MiB short")
    );
    assert_eq!(
        bench.0.service(id(1)).unwrap().fault(),
        Fault::FailureOnAutoStart
    );
    let refusal = bench.0.plan_start(id(1)).refusal.unwrap();
    // nobody is ranked below it, so that only the other one's end would help
    assert_eq!(refusal.room, Room::OnlyHigher);
    // and when the first is stopped, the second starts, as it should since the boot
    assert_eq!(bench.on(Event::Stop(id(0)))[1..], [Action::Prepare(id(1))]);
}

#[test]
fn the_parent_is_guaranteed_the_sum_before_a_service_is_prepared() {
    let mut machine = Machine::new(
        MACHINE,
        vec![(id(0), package("a", ""), Wanted::Running)],
        Vec::new(),
    );
    let actions = machine.step(Event::InitWelcomeEnd, Tick(0));
    // it may keep all that it uses, since nobody else is there
    let most = Bytes::mib(64);
    let [
        Action::Guarantee(min, low),
        Action::Prepare(_),
        Action::Rank(..),
    ] = actions[..]
    else {
        panic!("{actions:?}")
    };
    assert_eq!((min, low), (Bytes::mib(60), most));
    let actions = machine.step(Event::Failed(id(0), "no".into()), Tick(0));
    assert_eq!(actions[0], Action::Guarantee(Bytes(0), Bytes(0)));
}

#[test]
fn a_running_service_is_adopted_and_linked_again() {
    // given a manager that was restarted while the service ran
    let mut bench = Bench::new(vec![(package("web", WEB), Wanted::Running)]);
    bench.on(Event::NetUp);
    // when PID 1 tells of it
    let actions = bench.all([taken(0, "web"), Event::InitWelcomeEnd]);
    // then it is not started; its link is said again, and its promise is kept
    let [Action::Attach(..), Action::Forward(_), Action::Forward(_)] = actions[..] else {
        panic!("{actions:?}")
    };
    assert_eq!(bench.0.promised().memory, Bytes::mib(60));
}

#[test]
fn what_was_given_up_stays_so_over_a_restart_of_the_manager() {
    let mut bench = Bench::new(vec![(package("calc", ""), Wanted::Running)]);
    let gone = UnitStatus {
        fault: Fault::UnStartable,
        last_exit: LastExit::Code(1),
        ..status(UnitState::Idle)
    };
    let name = ServiceName::new("calc").unwrap();
    let held = Event::InitService {
        id: id(0),
        name,
        status: gone,
        oom_kills: 0,
    };
    assert_eq!(bench.all([held, Event::InitWelcomeEnd]), []);
    assert_eq!(
        bench.message(0),
        "it ended with exit status 1; it failed too often and is left alone: see `hearth logs \
         calc`, then `hearth start calc`"
    );
}

#[test]
fn a_stop_that_was_kept_but_not_sent_is_sent_after_a_crash_of_the_manager() {
    let mut bench = Bench::new(vec![(package("calc", ""), Wanted::Stopped)]);
    let actions = bench.all([taken(0, "calc"), Event::InitWelcomeEnd]);
    assert_eq!(actions, [Action::SendStop(id(0))]);
}

#[test]
fn a_service_whose_package_is_gone_can_be_stopped_and_is_forgotten() {
    let mut bench = Bench::new(vec![]);
    bench.all([taken(3, "old"), Event::InitWelcomeEnd]);
    assert!(bench.message(3).contains("its package is gone"));
    bench.on(Event::Stop(id(3)));
    let actions = bench.on(told(3, UnitState::Idle));
    assert_eq!(actions[0], Action::SendForget(id(3)));
    assert!(bench.0.service(id(3)).is_none());
}

#[test]
fn what_the_gateway_has_no_use_for_any_more_ends_and_is_forgotten() {
    // given what PID 1 runs still, whose package suits this gateway no more
    let mut bench = Bench::new(vec![]);
    bench.on(taken(3, "for-guests"));
    bench.0.part_with(&ServiceName::new("for-guests").unwrap());
    // then it ends with the greeting, and leaves no row
    assert_eq!(bench.on(Event::InitWelcomeEnd), [Action::SendStop(id(3))]);
    let actions = bench.on(told(3, UnitState::Idle));
    assert_eq!(actions[0], Action::SendForget(id(3)));
    assert!(bench.0.service(id(3)).is_none());
}

#[test]
fn a_kill_for_memory_is_told_as_one() {
    let mut bench = running();
    let killed = UnitStatus {
        fault: Fault::FailureWhileActive,
        last_exit: LastExit::Signal(9),
        ..status(UnitState::Restarting)
    };
    // when PID 1 tells of a SIGKILL and the cgroup has counted one
    bench.on(Event::InitStatus {
        id: id(0),
        status: killed,
        oom_kills: 1,
    });
    assert_eq!(
        bench.message(0),
        "the kernel killed it, since it needed more memory than its limit of 64 MiB; raise \
         resources.memory.max in its manifest; it is started again by itself"
    );
    // a later SIGKILL without a count is somebody's kill
    bench.on(Event::InitStatus {
        id: id(0),
        status: UnitStatus {
            last_exit: LastExit::Signal(9),
            ..status(UnitState::Active)
        },
        oom_kills: 1,
    });
    bench.on(Event::InitStatus {
        id: id(0),
        status: killed,
        oom_kills: 1,
    });
    assert!(
        bench.message(0).starts_with("it was killed by signal 9"),
        "{}",
        bench.message(0)
    );
}

#[test]
fn pid_1s_refusal_is_told_and_changes_nothing_else() {
    let mut bench = running();
    bench.on(Event::Stop(id(0)));
    bench.on(Event::InitRefused(Some(id(0)), InitRefusal::ShuttingDown));
    assert_eq!(
        bench.message(0),
        "hearth-init refused: the gateway is going down"
    );
    assert_eq!(bench.state(0), UnitState::Active);
    // a stop of what PID 1 does not know is done
    bench.on(Event::Stop(id(0)));
    bench.on(Event::InitRefused(Some(id(0)), InitRefusal::Unknown));
    assert_eq!(
        (bench.state(0), bench.message(0)),
        (UnitState::Idle, String::new())
    );
}

//! Who takes packets from devices: threads, in forwarding's cgroup and for each service one of its own.

use super::support::lab::{Lab, Side, Wan, text};
use super::support::manager::{Manager, routed, service, tcp};
use super::support::peers::{fetch_from, page, serve_page};
use hearth_model::protocol::{
    ChargeFault, Charged, FromNetpath, Link, NetworkPolicy, ToNetpath, Zone,
};
use std::collections::BTreeSet;
use std::fs;
use std::net::Ipv4Addr;
use std::process::Command;

/// Forwarding's cgroup: in a hierarchy without controllers, since that may be all that this machine has.
struct Group {
    list: Command,
    remove: Command,
}

impl Group {
    fn make(lab: &Lab) -> Group {
        let (all, link) = (lab.path("cgroups"), lab.path("forwarding"));
        let (all, link) = (all.display(), link.display());
        let number = std::process::id();
        let folder = format!("{all}/hearth-test-{number}");
        let shell = |lines: &str| lab.command(Side::Gateway, &["sh", "-c", lines]);
        let made = format!(
            "mkdir {all} && mount -t cgroup2 none {all} && mkdir {folder} && ln -s {folder} {link}"
        );
        let done = shell(&made).output().unwrap();
        assert!(done.status.success(), "{}", text(&done.stderr));
        Group {
            list: shell(&format!("cat {folder}/cgroup.procs")),
            remove: shell(&format!(
                "until rmdir {folder} || [ $((n += 1)) = 20 ]; do \
                 for p in $(cat {folder}/cgroup.procs); do echo $p >{all}/cgroup.procs; done; sleep 0.1; done"
            )),
        }
    }

    fn threads(&mut self) -> BTreeSet<u32> {
        let listed = text(&self.list.output().unwrap().stdout);
        listed.lines().map(|line| line.parse().unwrap()).collect()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // What is in it goes back to where it came from; nobody else hears of a failure.
        let _ = self.remove.output();
    }
}

fn name(thread: u32) -> String {
    fs::read_to_string(format!("/proc/{thread}/comm")).unwrap_or_default()
}

/// How often a thread has gone to sleep.
fn turns(thread: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{thread}/status")).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    line.unwrap().trim().parse().unwrap()
}

fn charged(manager: &mut Manager) -> Charged {
    match manager.ask(&ToNetpath::Report) {
        FromNetpath::Report(report) => report.charged,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_ports_threads_are_in_forwardings_cgroup_and_stay_there() {
    // given a gateway with ports of names that no other test has, and a service
    let mut lab = Lab::bare(Wan::Static);
    lab.plug_lan();
    lab.plug_wan();
    let number = std::process::id();
    let ports = [format!("a{number}"), format!("b{number}")];
    let config = fs::read_to_string(lab.path("gateway.toml")).unwrap();
    let mut named = config;
    for (old, new) in ["eth0", "eth1"].iter().zip(&ports) {
        lab.ip_batch(Side::Gateway, &format!("link set {old} name {new}"));
        named = named.replace(&format!("\"{old}\""), &format!("\"{new}\""));
    }
    fs::write(lab.path("gateway.toml"), named).unwrap();
    lab.start();
    lab.until_pings(Side::Lan, "203.0.113.1");
    let mut manager = Manager::connect(&lab);
    let inside = manager.attach(0, routed(0, NetworkPolicy::Lan)).unwrap();
    // when there is no such cgroup, then that is told, and forwarding goes on
    let fault = ChargeFault::Group {
        errno: libc::ENOENT,
    };
    lab.until("fault", || charged(&mut manager) == Charged::Anyone(fault));
    let told = "its packets are charged to whoever runs: could not move its thread into the cgroup";
    assert!(lab.log().contains(&format!("{}: {told}", ports[0])));
    lab.kill();
    let mut group = Group::make(&lab);
    lab.start();
    let told = ports
        .each_ref()
        .map(|port| format!("{port}: its packets are charged to forwarding"));
    lab.until("threads", || {
        told.iter().all(|line| lab.log().contains(line))
    });
    // then a thread of each port is in it, and the service's is not
    let first = group.threads();
    let mut names: Vec<String> = first.iter().map(|&t| name(t)).collect();
    names.sort();
    assert_eq!(names.len(), 2, "{names:?}");
    assert!(
        names
            .iter()
            .zip(&ports)
            .all(|(name, port)| name.starts_with(&format!("napi/{port}-")))
    );
    assert!(!first.contains(&inside));
    // and a cgroup that takes no weight promises nothing
    let mut manager = Manager::connect(&lab);
    let fault = ChargeFault::Weight {
        errno: libc::ENOENT,
    };
    assert_eq!(charged(&mut manager), Charged::Anyone(fault));
    // when a port goes down and up, then the threads that it has afterwards are in it again
    let flap = format!("link set {0} down\nlink set {0} up", ports[1]);
    lab.ip_batch(Side::Gateway, &flap);
    lab.until("new thread", || {
        let now = group.threads();
        now.len() == 2 && now != first && now.iter().all(|&t| name(t).starts_with("napi/"))
    });
}

#[test]
fn a_services_packets_are_taken_by_a_thread_that_outlives_the_program() {
    // given a service with a page
    let mut lab = Lab::new(Wan::Static);
    let mut manager = Manager::connect(&lab);
    let thread = manager.attach(0, routed(0, NetworkPolicy::Lan)).unwrap();
    let other = manager.attach(1, routed(1, NetworkPolicy::Lan)).unwrap();
    assert!(name(thread).starts_with("napi/eth0-"), "{}", name(thread));
    assert_ne!(thread, other);
    let _page = serve_page(&mut lab, 0, "nginx");
    manager.forward(tcp(0, Zone::Lan, 8080, 80));
    // when the home gets it, then this thread has taken the packets, and the other one none of them
    let before = [thread, other].map(turns);
    let url = "http://192.168.1.1:8080/";
    assert_eq!(fetch_from(&lab, Side::Lan, url, 5), page("nginx"));
    let after = [thread, other].map(turns);
    assert!(
        after[0] > before[0] && after[1] == before[1],
        "{before:?} {after:?}"
    );

    // when the program is killed, then the next one knows the thread, and the service does not notice
    lab.kill();
    lab.start();
    let mut manager = Manager::connect(&lab);
    assert_eq!(
        manager.attach(0, routed(0, NetworkPolicy::Lan)),
        Some(thread)
    );
    manager.forward(tcp(0, Zone::Lan, 8080, 80));
    assert_eq!(fetch_from(&lab, Side::Lan, url, 5), page("nginx"));
    // when it does not know it, then there is a new one, and the old one is gone
    lab.kill();
    fs::write(lab.path("threads/0"), format!("{thread} 1\n")).unwrap();
    lab.start();
    let mut manager = Manager::connect(&lab);
    let new = manager.attach(0, routed(0, NetworkPolicy::Lan)).unwrap();
    assert!(name(new).starts_with("napi/eth0-"));
    assert!(new != thread && name(thread).is_empty());
    manager.forward(tcp(0, Zone::Lan, 8080, 80));
    assert_eq!(fetch_from(&lab, Side::Lan, url, 5), page("nginx"));

    // when its link is made anew, as another kind, then it has a thread again
    let bridged = Link::Bridged {
        address: Ipv4Addr::new(192, 168, 1, 2),
        prefix: 24,
        policy: NetworkPolicy::Lan,
    };
    let again = manager.attach(0, bridged).unwrap();
    assert!(again != new && name(new).is_empty());
    lab.until_pings(Side::Lan, "192.168.1.2");
    assert!(turns(again) > 0);
    // when the service leaves, then its thread goes
    manager.ask(&ToNetpath::Detach { id: service(0) });
    assert!(name(again).is_empty());
    assert!(!lab.path("threads/0").exists());
}

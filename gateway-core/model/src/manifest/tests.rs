use super::*;
use crate::ServiceId;
use crate::cgroup::Cores;
use crate::gate::Served;
use crate::gateway::GatewayConfig;
use crate::protocol::{ActiveWhen, LineShare, RestartWhen, TrafficClass, Transport};
use crate::units::{BitsPerSec, Bytes, BytesPerSec, MilliCpu, PerMille};
use proptest::prelude::*;

const GATEWAY: &str = include_str!("../../../../board/common/gateway.toml");

/// The example of ARCHITECTURE.md: the documentation of the format is one of its tests.
fn documented() -> String {
    let map = include_str!("../../../../ARCHITECTURE.md");
    let section = map.split("## Manifest").nth(1).unwrap();
    let example = section.split("```toml").nth(1).unwrap();
    example.split("```").next().unwrap().to_owned()
}

const SMALLEST: &str = r#"
[service]
name = "web"
version = "1"
exec = ["/bin/web"]
[resources.memory]
max = "8 MiB"
[resources.pids]
max = 4
"#;

fn faults(text: &str) -> Vec<String> {
    Manifest::parse("m.toml", text)
        .unwrap_err()
        .lines()
        .to_vec()
}

/// The only fault of `SMALLEST` with `old` replaced by `new`.
fn fault(old: &str, new: &str) -> String {
    assert!(SMALLEST.contains(old), "{old}");
    let found = faults(&SMALLEST.replacen(old, new, 1));
    assert_eq!(found.len(), 1, "{found:#?}");
    found[0].clone()
}

#[test]
fn the_documented_example_means_what_its_comments_say() {
    let manifest = Manifest::parse("m.toml", &documented()).unwrap();
    assert_eq!(manifest.name().as_str(), "nginx");
    assert_eq!(manifest.exec(), ["/usr/sbin/nginx", "-g", "daemon off;"]);
    assert_eq!(manifest.user(), 33);
    assert_eq!(manifest.env(), [("LANG".to_owned(), "C".to_owned())]);
    assert_eq!(
        (manifest.memory_reserve(), manifest.memory_max()),
        (Bytes::mib(16), Bytes::mib(64))
    );
    assert_eq!(
        (manifest.cpu_reserve(), manifest.cpu_max()),
        (MilliCpu(50), Some(MilliCpu(1000)))
    );
    let share = manifest.network_share();
    assert_eq!(
        (share.up, share.down, share.class),
        (
            LineShare {
                reserve: BitsPerSec(500_000),
                max: Some(BitsPerSec::mbit(8)),
            },
            LineShare::default(),
            TrafficClass::Interactive
        )
    );
    assert_eq!(manifest.limits().cores, None);
    assert_eq!(
        (manifest.io_reserve(), manifest.limits().io_max),
        (PerMille(50), Some(BytesPerSec(8 << 20)))
    );
    assert_eq!(
        (manifest.storage_reserve(), manifest.storage_max()),
        (Bytes::mib(8), Bytes::mib(32))
    );
    assert_eq!(manifest.files_max(), 2048);
    assert_eq!((manifest.pids_reserve(), manifest.pids_max()), (2, 16));
    assert_eq!(
        (manifest.network(), manifest.link()),
        (Network::Lan, LinkKind::Routed)
    );
    assert_eq!(manifest.listen()[0].to_string(), "lan tcp 8080 -> 80");
    assert!(manifest.grants(Grant::Api) && manifest.grants(Grant::Resolvers));
    assert_eq!(manifest.devices()[0].path(), "/dev/ttyUSB0");
    assert_eq!(manifest.restart().when, RestartWhen::Always);
    assert_eq!(
        (manifest.stop_signal(), manifest.stop_grace_ms()),
        (3, 5000)
    );
    let needs: Vec<&str> = manifest.needs().iter().map(|name| name.as_str()).collect();
    assert_eq!(needs, ["dnsmasq"]);
    let port = Served {
        transport: Transport::Tcp,
        port: 80,
    };
    assert_eq!(manifest.ready(), &Ready::Port(port));
    assert_eq!(
        (manifest.ready_within_ms(), manifest.watchdog_ms()),
        (30_000, Some(20_000))
    );
    assert_eq!(manifest.policies(), ["network-server", "exec-children"]);
    assert_eq!(manifest.extra_syscalls()[0].name, "sched_setaffinity");
}

#[test]
fn what_is_left_out_has_its_documented_default() {
    let manifest = Manifest::parse("m.toml", SMALLEST).unwrap();
    assert_eq!(
        (manifest.title(), manifest.vendor(), manifest.user()),
        ("web", "", 1000)
    );
    assert!(manifest.autostart());
    assert_eq!(
        (manifest.memory_reserve(), manifest.cpu_reserve()),
        (Bytes(0), MilliCpu(0))
    );
    assert_eq!(
        (manifest.io_reserve(), manifest.pids_reserve()),
        (PerMille(0), 0)
    );
    assert_eq!(
        (manifest.storage_reserve(), manifest.storage_max()),
        (Bytes(0), STORAGE_MAX_DEFAULT)
    );
    let limits = manifest.limits();
    assert_eq!(
        (limits.cpu_max, limits.io_max, limits.cores),
        (None, None, None)
    );
    assert_eq!(
        (manifest.network(), manifest.link()),
        (Network::None, LinkKind::Routed)
    );
    assert_eq!(
        (manifest.stop_signal(), manifest.stop_grace_ms()),
        (15, 10_000)
    );
}

#[test]
fn ten_faults_are_ten_messages_with_their_lines() {
    // given a manifest with one fault of another kind on each of ten lines
    let text = r#"[service]
name = "My Service"
version = "1"
exec = ["sbin/web"]
env = { ADDRESS = "${lan.adress}" }
autostart = "yes"
[resources.memory]
reserve = "96 MiB"
max = "64 MiB"
[resources.cpu]
reserve = "5"
[resources.pids]
max = 0
[access]
network = "lann"
listen = ["lan tcp 99999 -> 80"]
[helth]
restart = "always"
"#;
    // when it is read
    let found = faults(text);
    // then each is reported, in order, and says where, what and what to do
    let expected = [
        "m.toml:2: service.name: \"My Service\" can not be used: a service name has only a-z, 0-9 \
         and '-', and neither starts nor ends with '-'",
        "m.toml:4: service.exec: the program \"sbin/web\" is not absolute; write its whole path \
         inside the image, without \"..\"",
        "m.toml:5: service.env.ADDRESS: unknown placeholder \"lan.adress\"; did you mean \
         \"lan.address\"?",
        "m.toml:6: service.autostart: needs true or false, not this string",
        "m.toml:8: resources.memory.reserve: 96 MiB is more than max, 64 MiB; lower reserve or \
         raise max",
        "m.toml:11: resources.cpu.reserve: \"5\" is no share of a core; write for example \"5 %\" \
         or \"12.5 %\" (of a core)",
        "m.toml:13: resources.pids.max: 0 is out of range; use 1 to 4096",
        "m.toml:15: access.network: unknown word \"lann\"; did you mean \"lan\"?",
        "m.toml:16: access.listen[0]: port \"99999\" is out of range; use 1 to 65535",
        "m.toml:17: manifest: unknown section \"helth\"; did you mean \"health\"?",
    ];
    assert_eq!(found, expected, "{found:#?}");
}

#[test]
fn faults_of_form_and_of_content_come_together() {
    let text = SMALLEST.replace("version = \"1\"", "version = = 1\nuser = 0");
    let found = faults(&text);
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(found[0].starts_with("m.toml:4: not TOML: "), "{found:?}");
    assert!(
        found[1].starts_with("m.toml:5: service.user: 0 is out of range"),
        "{found:?}"
    );
}

#[test]
fn an_empty_file_names_everything_it_needs() {
    let found = faults("");
    for key in [
        "service.name",
        "service.version",
        "service.exec",
        "resources.memory.max",
    ] {
        assert!(
            found
                .iter()
                .any(|f| f.contains(&format!("{key}: is missing; write "))),
            "{key}"
        );
    }
}

#[test]
fn each_single_fault_is_found() {
    let head = "[service]";
    for (old, new, words) in [
        (
            head,
            "[service]\nuser = 65535",
            "m.toml:3: service.user: 65535 is out of range",
        ),
        (
            head,
            "[service]\nusr = 5",
            "m.toml:3: service: unknown key \"usr\"; did you mean \"user\"?",
        ),
        (
            head,
            "[service]\nenv = { \"A B\" = \"x\" }",
            "is no variable name",
        ),
        (
            head,
            "[service]\nenv = { HEARTH_X = \"x\" }",
            "the gateway's own",
        ),
        (
            head,
            "[service]\nenv = { A = 1 }",
            "service.env.A: needs a text",
        ),
        (head, "[service]\nenv = { A = \"${\" }", "has no \"}\""),
        (
            head,
            "[service]\nenv = { A = \"${service.address}\" }",
            "needs an address",
        ),
        (
            head,
            "[service]\ntitle = \"a\\u0007b\"",
            "control character",
        ),
        (head, "[service]\nname = \"x\"", "not TOML: duplicate key"),
        ("[\"/bin/web\"]", "[]", "service.exec: names no program"),
        (
            "[\"/bin/web\"]",
            "\"/bin/web\"",
            "service.exec: this string is no list",
        ),
        ("[\"/bin/web\"]", "[\"/bin/../web\"]", "without \"..\""),
        ("\"8 MiB\"", "\"8 MB\"", "\"MB\" is no unit of bytes"),
        ("\"8 MiB\"", "\"many\"", "no unit of bytes"),
        ("\"8 MiB\"", "\"99999999999 GiB\"", "is more than 1024 GiB"),
        ("\"8 MiB\"", "4096", "4 KiB is too little"),
        ("\"8 MiB\"", "true", "needs a text in quotes"),
        (
            "max = 4",
            "max = 4\n[resources.cpu]\nmax = \"0.5 %\"",
            "0.5 % is too little",
        ),
        (
            "max = 4",
            "max = 4\n[resources.cpu]\nreserve = \"2 %\"\nmax = \"1 %\"",
            "more than max",
        ),
        (
            "max = 4",
            "max = 4\nreserve = 5",
            "resources.pids.reserve: 5 is more than max, 4",
        ),
        (
            "max = 4",
            "max = 4\n[resources.cpu]\ncores = [0, 64]",
            "resources.cpu.cores[1]: 64 is out of range; use 0 to 63",
        ),
        (
            "max = 4",
            "max = 4\n[resources.io]\nreserve = \"101 %\"",
            "resources.io.reserve: is more than 100 %",
        ),
        (
            "max = 4",
            "max = 4\n[resources.io]\nmax = \"8 MiB\"",
            "resources.io.max: \"8 MiB\" is no rate; write for example \"8 MiB/s\"",
        ),
        (
            "max = 4",
            "max = 4\n[resources.io]\nmax = \"1 B/s\"",
            "resources.io.max: 1 B/s is too little; at least 64 KiB/s",
        ),
        (
            "max = 4",
            "max = 4\n[resources.storage]\nmax = \"4 KiB\"",
            "resources.storage.max: 4 KiB is too little; at least 64 KiB",
        ),
        (
            "max = 4",
            "max = 4\n[resources.storage]\nreserve = \"65 MiB\"",
            "resources.storage.reserve: 65 MiB is more than max, 64 MiB",
        ),
        (
            "max = 4",
            "max = 4\n[access]\nnetwork = \"wan\"\n[resources.network]\nreserve-up = \"2 MB\"",
            "resources.network.reserve-up: \"2 MB\" is no rate of a line; write for example \"2 Mbit/s\"",
        ),
        (
            "max = 4",
            "max = 4\n[access]\nnetwork = \"wan\"\n[resources.network]\nreserve-down = \"2 Mbit/s\"\nmax-down = \"1 Mbit/s\"",
            "resources.network.reserve-down: 2 Mbit/s is more than max-down, 1 Mbit/s; lower reserve-down",
        ),
        (
            "max = 4",
            "max = 4\n[access]\nnetwork = \"lan\"\n[resources.network]\nmax-up = \"1 kbit/s\"",
            "resources.network.max-up: 1 kbit/s is too little; at least 64 kbit/s",
        ),
        (
            "max = 4",
            "max = 4\n[access]\nnetwork = \"wan\"\n[resources.network]\nclass = \"interactiv\"",
            "unknown word \"interactiv\"; did you mean \"interactive\"?",
        ),
        (
            "max = 4",
            "max = 4\n[resources.network]\nreserve-up = \"2 Mbit/s\"",
            "resources.network.reserve-up: a service without a network has no part of the line; set access.network",
        ),
        (
            "max = 4",
            "max = 4\n[access]\nlink = \"bridged\"",
            "no link without a network",
        ),
        (
            "max = 4",
            "max = 4\n[access]\nlisten = [\"lan tcp 1 -> 1\"]",
            "a port needs a network",
        ),
        (
            "max = 4",
            "max = 4\n[access]\nnetwork = \"lan\"\nlink = \"bridged\"\nlisten = [\"lan tcp 1 -> 1\"]",
            "remove listen",
        ),
        (
            "max = 4",
            "max = 4\n[access]\nnetwork = \"lan\"\nlisten = [\"lan tcp 1 -> 1\", \"lan tcp 1 -> 2\"]",
            "takes a port that this list has already",
        ),
        (
            "max = 4",
            "max = 4\n[access]\ngrants = [\"apis\"]",
            "did you mean \"api\"?",
        ),
        (
            "max = 4",
            "max = 4\n[access]\ngrants = [\"api\", \"api\"]",
            "twice",
        ),
        (
            "max = 4",
            "max = 4\n[access]\ndevices = [\"/dev/hwrng\", \"/dev/ttyUSB9\"]",
            "m.toml:11: access.devices[1]: \"/dev/ttyUSB9\" can not be granted; did you mean",
        ),
        (
            "max = 4",
            "max = 4\n[access]\ndevices = [\"/dev/hwrng\", \"/dev/hwrng\"]",
            "m.toml:11: access.devices: this stands here twice",
        ),
        (
            "max = 4",
            "max = 4\n[access]\nnetwork = \"lan\"\nserves = [\"udp 53\"]",
            "only a bridged service",
        ),
        (
            "max = 4",
            "max = 4\n[access]\nnetwork = \"wan\"\nlink = \"guest\"\nlisten = [\"lan tcp 1 -> 1\"]",
            "remove listen",
        ),
        (
            "\"/bin/web\"",
            "\"/bin/web\", \"${guest.resolver}\"",
            "set access.link to \"guest\"",
        ),
        (
            "max = 4",
            "max = 4\n[access]\nnetwork = \"lan\"\nlink = \"bridged\"\nserves = [\"udp\"]",
            "\"udp\" is no port",
        ),
        (
            "max = 4",
            "max = 4\n[health]\nstop-signal = \"KILL\"",
            "use one of: HUP, INT",
        ),
        (
            "max = 4",
            "max = 4\n[health]\nstop-grace = \"5 h\"",
            "\"h\" is no unit of time",
        ),
        (
            "max = 4",
            "max = 4\n[health]\nstop-grace = \"0 s\"",
            "not between 1 ms and 300 s",
        ),
        (
            "max = 4",
            "max = 4\n[sandbox]\npolicies = [\"../x\"]",
            "is no name",
        ),
        (
            "max = 4",
            "max = 4\n[[sandbox.syscall]]\nname = \"bpf\"",
            "reason: is missing",
        ),
        (
            "max = 4",
            "max = 4\n[sandbox]\nsyscall = [1]",
            "sandbox.syscall[0]: this integer is no section",
        ),
        (
            "[resources.pids]\nmax = 4",
            "[resources]\npids = 4",
            "resources.pids: this integer is no section; write [resources.pids]",
        ),
    ] {
        let found = fault(old, new);
        assert!(found.contains(words), "{new}: {found}");
    }
}

#[test]
fn too_many_faults_are_counted() {
    let junk: String = (0..100).map(|n| format!("zzz{n} = 1\n")).collect();
    let found = faults(&format!("{junk}{SMALLEST}"));
    assert_eq!(found.len(), FAULTS_MAX + 1);
    assert_eq!(
        found.last().unwrap(),
        "m.toml: 36 more faults are not shown"
    );
    assert!(faults(&" ".repeat(MANIFEST_MAX + 1))[0].contains("too many for a manifest"));
}

#[test]
fn amounts_may_be_written_in_each_documented_way() {
    for (text, bytes) in [
        ("\"512 KiB\"", 512 << 10),
        ("\"2097152\"", 2 << 20),
        ("3000000", 3_000_000),
    ] {
        let text = SMALLEST.replace(
            "max = \"8 MiB\"",
            &format!("reserve = {text}\nmax = \"1 GiB\""),
        );
        assert_eq!(
            Manifest::parse("m.toml", &text).unwrap().memory_reserve(),
            Bytes(bytes)
        );
    }
}

#[test]
fn cores_are_a_set() {
    let text = format!("{SMALLEST}[resources.cpu]\ncores = [2, 0, 2]\n");
    let manifest = Manifest::parse("m.toml", &text).unwrap();
    assert_eq!(manifest.limits().cores, Some(Cores(0b101)));
}

#[test]
fn placeholders_become_facts_of_this_gateway() {
    // given a manifest with every placeholder
    let all = "${lan.address} ${lan.netmask} ${lan.prefix} ${lan.pool-first} ${lan.pool-last} \
               ${lan.resolver} ${service.address} $ {x}";
    let text = SMALLEST.replace("\"/bin/web\"", &format!("\"/bin/web\", \"{all}\""))
        + "[access]\nnetwork = \"lan\"\n";
    let manifest = Manifest::parse("m.toml", &text).unwrap();
    // when it is filled for service 3
    let gateway = GatewayConfig::parse("g.toml", GATEWAY).unwrap();
    let exec = manifest.exec_on(&gateway, ServiceId::new(3).unwrap());
    // then nothing is left to fill
    assert_eq!(
        exec[1],
        "192.168.1.1 255.255.255.0 24 192.168.1.100 192.168.1.199 192.168.1.2 10.213.0.5 $ {x}"
    );
}

/// A thousand manifests with one line spoilt each, by a fixed seed: what is wrong is told of its line.
#[test]
fn a_thousand_spoilt_manifests_are_each_told_where_and_why() {
    let seed = 0x4865_6172_7468_u64;
    let mut dice = seed;
    let mut below = |end: usize| {
        dice = dice
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((dice >> 33) % end as u64).unwrap()
    };
    // given the documented example, and where a key with a value stands in it
    let good = documented();
    let lines: Vec<&str> = good.lines().collect();
    let keys: Vec<usize> = (0..lines.len())
        .filter(|&at| {
            lines[at]
                .split_once(" = ")
                .is_some_and(|(key, _)| !key.starts_with('#'))
        })
        .collect();
    for number in 0..1000 {
        // when one of them is spoilt
        let at = keys[below(keys.len())];
        let (key, _) = lines[at].split_once(" = ").unwrap();
        let junk: String = (0..1 + below(12))
            .map(|_| char::from(b'a' + below(26) as u8))
            .collect();
        let spoilt = match below(6) {
            0 => format!("{key}{junk}_ = 1"),
            1 => format!("{}\n{}", lines[at], lines[at]),
            2 => format!("{key} = {{ {junk} = 1 }}"),
            3 => format!("{key} = 1979-05-27"),
            4 => format!("{key} = [[{}]]", below(9)),
            _ => format!("{key} = {junk}"),
        };
        let mut text: Vec<&str> = lines.clone();
        text[at] = &spoilt;
        let text = text.join("\n");
        // then it is no manifest, and each fault has a line of the file and a sentence
        let told = match Manifest::parse("m.toml", &text) {
            Ok(_) => panic!("number {number}: {spoilt:?} passed"),
            Err(errors) => errors.lines().to_vec(),
        };
        for fault in &told {
            let mut parts = fault.splitn(3, ':');
            assert_eq!(parts.next(), Some("m.toml"), "{spoilt:?}: {fault}");
            let line = parts.next().and_then(|line| line.parse::<usize>().ok());
            assert!(
                line.is_some_and(|line| line <= lines.len() + 1),
                "{spoilt:?}: {fault}"
            );
            let words = parts
                .next()
                .map_or(0, |text| text.split_whitespace().count());
            assert!(words >= 3, "{spoilt:?}: {fault}");
        }
        let near = |fault: &String| {
            let line = fault
                .split(':')
                .nth(1)
                .and_then(|line| line.parse::<usize>().ok());
            line.is_some_and(|line| line.abs_diff(at + 1) <= 1)
        };
        // (a key that is missing is told of its table)
        let missing = told
            .iter()
            .any(|fault| fault.contains("missing") || fault.contains("must be given"));
        assert!(
            missing || told.iter().any(near),
            "line {}: {spoilt:?}: {told:#?}",
            at + 1
        );
    }
}

proptest! {
    #[test]
    fn random_text_is_a_manifest_or_faults_and_never_a_panic(text in "\\PC{0,200}") {
        let _verdict = Manifest::parse("m.toml", &text);
    }

    #[test]
    fn a_damaged_example_is_a_manifest_or_faults_and_never_a_panic(
        cuts in prop::collection::vec((0_usize..2100, 0_usize..40, "[\\[\\]={}\"'#.$a-z0-9 \n]{0,6}"), 1..8)
    ) {
        let mut text: Vec<char> = documented().chars().collect();
        for (at, length, new) in cuts {
            let at = at.min(text.len());
            let end = (at + length).min(text.len());
            text.splice(at..end, new.chars());
        }
        let text: String = text.into_iter().collect();
        if let Err(errors) = Manifest::parse("m.toml", &text) {
            prop_assert!(!errors.lines().is_empty());
            for line in errors.lines() {
                prop_assert!(line.starts_with("m.toml:"), "{line}");
                prop_assert!(!line.contains('\n'), "{line}");
            }
        }
    }
}

#[test]
fn what_is_for_guests_has_their_facts_and_comes_with_them() {
    // given a manifest of a service among guests
    let all = "${guest.address} ${guest.netmask} ${guest.prefix} ${guest.pool-first} ${guest.pool-last} \
               ${guest.resolver} ${service.address}";
    let text = SMALLEST.replace("\"/bin/web\"", &format!("\"/bin/web\", \"{all}\""))
        + "[access]\nnetwork = \"wan\"\nlink = \"guest\"\nserves = [\"udp 53\"]\n";
    let manifest = Manifest::parse("m.toml", &text).unwrap();
    let id = ServiceId::new(3).unwrap();
    // when the gateway has no guests, then it does not suit, and has no address
    let alone = GatewayConfig::parse("g.toml", GATEWAY).unwrap();
    assert!(!manifest.suits(&alone));
    assert_eq!(manifest.address(&alone, id), None);
    // when it has, then all is known
    let guest = "[guest]\ninterface = \"eth2\"\naddress = \"192.168.2.1\"\nprefix = 24\n\
                 pool-first = \"192.168.2.100\"\npool-last = \"192.168.2.199\"\nresolver = \"192.168.2.2\"\n";
    let gateway = GatewayConfig::parse("g.toml", &format!("{GATEWAY}\n{guest}")).unwrap();
    assert!(manifest.suits(&gateway));
    assert_eq!(
        manifest.exec_on(&gateway, id)[1],
        "192.168.2.1 255.255.255.0 24 192.168.2.100 192.168.2.199 192.168.2.2 192.168.2.2"
    );
}

/// [`SMALLEST`] with this in `[health]`, and with these lines before it.
fn with_health(before: &str, health: &str) -> String {
    format!("{SMALLEST}{before}\n[health]\n{health}\n")
}

#[test]
fn each_sign_of_readiness_is_read() {
    let ready = |text: &str| {
        let text = with_health("", &format!("ready = {text}"));
        Manifest::parse("m.toml", &text).unwrap()
    };
    assert_eq!(
        Manifest::parse("m.toml", SMALLEST).unwrap().active_when(),
        ActiveWhen::Executed
    );
    let notify = ready("\"notify\"");
    assert_eq!(notify.ready(), &Ready::Notify);
    assert!(notify.notifies());
    assert_eq!(notify.active_when(), ActiveWhen::Ready);
    assert_eq!(notify.ready_within_ms(), READY_WITHIN_DEFAULT_MS);
    let port = ready("\"udp 53\"");
    assert_eq!(port.ready().to_string(), "until it listens at udp 53");
    assert!(!port.notifies());
    let exec = ready("[\"/bin/check\", \"${lan.address}\"]");
    let gateway = GatewayConfig::parse("g", GATEWAY).unwrap();
    assert_eq!(
        exec.probe_on(&gateway, ServiceId::new(3).unwrap()),
        ["/bin/check", "192.168.1.1"]
    );
}

#[test]
fn a_health_that_can_not_be_is_an_error_with_a_remedy() {
    for (before, health, words) in [
        (
            "",
            "ready = \"soon\"",
            "\"soon\" is no sign of readiness; write \"notify\"",
        ),
        ("", "ready = []", "names no program"),
        ("", "ready = [\"check\"]", "\"check\" is not absolute"),
        ("", "ready = [\"/bin/../check\"]", "is not absolute"),
        (
            "",
            "ready = [\"/bin/check\", \"${lan.adress}\"]",
            "unknown placeholder",
        ),
        ("", "ready = [7]", "needs a text in quotes"),
        ("", "ready = 7", "needs a text in quotes"),
        ("", "ready = \"tcp 0\"", "is no sign of readiness"),
        (
            "",
            "ready-within = \"5 s\"",
            "nothing is waited for without health.ready",
        ),
        (
            "",
            "ready = \"notify\"\nready-within = \"5 parsecs\"",
            "is no unit of time",
        ),
        ("", "watchdog = \"500 ms\"", "is shorter than 1 s"),
        ("", "watchdog = \"20 min\"", "is not between"),
        (
            "[access]\nnetwork = \"lan\"\nlisten = [\"lan tcp 80 -> 8080\"]",
            "ready = \"tcp 80\"",
            "access.listen leads nobody to",
        ),
        (
            "[service.env]\nNOTIFY_SOCKET = \"/x\"",
            "",
            "are the gateway's own",
        ),
    ] {
        let found = faults(&with_health(before, health));
        assert_eq!(found.len(), 1, "{health}: {found:#?}");
        assert!(found[0].contains(words), "{health}: {found:#?}");
    }
}

#[test]
fn needs_that_can_not_be_are_errors() {
    let needs = |list: &str| {
        let with = format!("exec = [\"/bin/web\"]\nneeds = {list}");
        fault("exec = [\"/bin/web\"]", &with)
    };
    assert!(needs("[\"web\"]").contains("a service can not need itself"));
    assert!(needs("[\"a\", \"a\"]").contains("stands here twice"));
    assert!(needs("[\"A\"]").contains("can not be used"));
    assert!(needs("\"a\"").contains("is no list"));
    let many: Vec<String> = (0..9).map(|n| format!("\"s{n}\"")).collect();
    assert!(needs(&format!("[{}]", many.join(","))).contains("at most 8"));
}

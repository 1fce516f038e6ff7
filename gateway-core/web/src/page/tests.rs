//! What the page says, and that nobody else can make it say something.

use super::*;
use hearth_model::api::{ForwardingJson, SandboxJson, WanJson};

/// A healthy service.
pub(crate) fn service(name: &str) -> Service {
    Service {
        name: name.into(),
        kind: Kind::Service,
        version: "1.22.1".into(),
        title: "Web server".into(),
        state: "Active".into(),
        fault: "NoFault".into(),
        message: String::new(),
        life: hearth_model::api::LifeJson::default(),
        wanted: true,
        rank: Some(1),
        pid: 214,
        restarts: 0,
        since_seconds: 185,
        memory_bytes: Some(9_961_472),
        memory_max_bytes: Some(64 << 20),
        cpu_usec: Some(1_240_000),
        oom_kills: Some(0),
        refused: std::collections::BTreeMap::new(),
        storage_bytes: None,
        storage_max_bytes: None,
        address: Some("10.213.0.6".into()),
        listens: vec!["lan tcp 8080 -> 80".into()],
    }
}

/// A gateway where all is well.
pub(crate) fn gateway() -> Status {
    Status {
        firmware: "0.1.0".into(),
        uptime_seconds: 7999,
        wan: WanJson {
            address: Some("203.0.113.7/24".into()),
            router: Some("203.0.113.1".into()),
            resolvers: vec!["203.0.113.1".into()],
        },
        lan: "192.168.1.1/24".into(),
        guest: None,
        console_url: "http://192.168.1.1/".into(),
        sandbox: SandboxJson::default(),
        congestion: Vec::new(),
        budget: vec![
            BudgetLine {
                resource: "memory".into(),
                total: 2 << 30,
                system: 192 << 20,
                reserved: 20 << 20,
                free: (2 << 30) - (212 << 20),
            },
            BudgetLine {
                resource: "cpu".into(),
                total: 1000,
                system: 300,
                reserved: 70,
                free: 630,
            },
        ],
        nat: Some(NatJson {
            mappings: 12,
            mappings_max: 4096,
            mappings_refused: 2,
            fast_path: Some(3),
            received: 1000,
            forwarded: 990,
            dropped: 10,
        }),
        forwarding: ForwardingJson::default(),
        services: vec![service("nginx")],
        notes: Vec::new(),
        problems: Vec::new(),
    }
}

fn html(of: &Status) -> String {
    status(of, None).into_string()
}

#[test]
fn a_healthy_gateway_says_so_with_addresses_services_and_budget() {
    let page = html(&gateway());
    for part in [
        "<p class=\"verdict well\">All is well</p>",
        "203.0.113.7/24 via 203.0.113.1",
        "192.168.1.1/24",
        "<th scope=\"row\">nginx",
        "Runs</span>, for 3m05s",
        "9.5M of 64M",
        "12 of 4096 places in use, 2 refused",
        "max=\"1000\" value=\"370\"",
        "20M promised to services",
    ] {
        assert!(page.contains(part), "{part}\n{page}");
    }
    assert!(!page.contains("problem"), "{page}");
}

#[test]
fn every_state_has_its_words() {
    for (state, wanted, words) in [
        ("Starting", true, "Starts</span>"),
        ("Stopping", false, "Stops</span>"),
        ("Restarting", true, "Ended; starts again</span>"),
        ("Idle", true, "Does not run</span>"),
        ("Idle", false, "Stopped by the household</span>"),
        ("Dreaming", true, "Dreaming</span>"),
    ] {
        let mut one = service("nginx");
        (one.state, one.wanted, one.restarts) = (state.into(), wanted, 2);
        let row = row(&one).into_string();
        assert!(row.contains(words), "{row}");
        assert!(row.contains("2 restarts"), "{row}");
    }
}

#[test]
fn a_gateway_that_starts_is_not_ill() {
    let mut starting = gateway();
    starting.services[0].state = "Starting".into();
    assert!(html(&starting).contains("still on the way: 1 service"));
}

#[test]
fn each_thing_that_is_wrong_is_a_problem_with_a_remedy() {
    // given no WAN address, no netpath, a broken service and a broken package
    let mut ill = gateway();
    (ill.wan.address, ill.nat) = (None, None);
    ill.services[0].message = "it ended with exit status 2; read 'hearth logs nginx'".into();
    ill.problems = vec!["package radio: its image is damaged; install it again".into()];
    let page = html(&ill);
    for part in [
        "4 problems",
        "package radio: its image is damaged; install it again",
        "nginx: it ended with exit status 2; read &#39;hearth logs nginx&#39;",
        "check the cable to the Internet side",
        "hearth-netpath, which passes",
    ] {
        assert!(page.contains(part), "{part}\n{page}");
    }
    assert!(!page.contains("All is well"));
}

#[test]
fn a_gateway_without_services_has_no_empty_table() {
    let mut bare = gateway();
    bare.services.clear();
    assert!(html(&bare).contains("No service is installed."));
}

#[test]
fn nothing_that_comes_from_outside_becomes_markup() {
    // given an API whose every text is hostile
    const EVIL: &str = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>\u{202e}\r\n";
    let mut hostile = service(EVIL);
    for text in [
        &mut hostile.version,
        &mut hostile.title,
        &mut hostile.state,
        &mut hostile.fault,
        &mut hostile.message,
    ] {
        *text = EVIL.into();
    }
    hostile.listens = vec![EVIL.into()];
    let mut system = hostile.clone();
    system.kind = Kind::System;
    let mut all = gateway();
    all.services = vec![hostile, system];
    for text in [&mut all.firmware, &mut all.lan, &mut all.console_url] {
        *text = EVIL.into();
    }
    all.wan.address = Some(EVIL.into());
    all.wan.router = Some(EVIL.into());
    all.wan.resolvers = vec![EVIL.into()];
    all.budget[0].resource = EVIL.into();
    all.problems = vec![EVIL.into()];
    all.notes = vec![EVIL.into()];
    // when shown on each page
    for page in [
        html(&all),
        silent(EVIL).into_string(),
        failure(EVIL, EVIL).into_string(),
    ] {
        // then it is there as text, and the only tags are ours
        assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
        for tag in page.split('<').skip(1) {
            let name = tag
                .trim_start_matches('/')
                .split([' ', '>'])
                .next()
                .unwrap();
            assert!(TAGS.contains(&name), "<{tag}");
            assert!(
                !tag.split('>').next().unwrap().contains("onerror"),
                "<{tag}"
            );
        }
        assert!(!page.contains('\u{202e}'));
    }
}

/// Every tag that a page may have. No script, no form, no image.
const TAGS: [&str; 28] = [
    "!DOCTYPE", "html", "head", "meta", "link", "title", "body", "main", "h1", "h2", "p", "ul",
    "ol", "li", "dl", "dt", "dd", "table", "thead", "tbody", "tr", "th", "td", "span", "meter",
    "footer", "a", "code",
];

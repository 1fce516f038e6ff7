//! A bundle of a gateway whose manager is dead, and of one that has too much to tell.

use super::*;
use std::collections::BTreeMap;
use std::fs;
use std::io::Read;

/// A gateway's files, with what must not leave it.
fn root() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for (file, text) in [
        ("etc/hearth/release", "0.1.0 test\n"),
        (
            "etc/hearth/gateway.toml",
            include_str!("../../../../board/common/gateway.toml"),
        ),
        (
            "dev/kmsg",
            "6,1,1500000,-;eth1: link up\n SUBSYSTEM=net\n4,2,2500000,-;martian 192.168.1.77\n",
        ),
        (
            "run/hearth/events",
            "{\"id\":1,\"text\":\"lan 192.168.1.1, host 192.168.1.77\"}\n",
        ),
        (
            "run/hearth/logs/web",
            "GET /?pin=1234 from 192.168.1.77\ntoken: s3cr3t-word\n",
        ),
        ("proc/meminfo", "MemTotal: 262144 kB\n"),
        ("sys/fs/cgroup/services/web/memory.max", "33554432\n"),
        ("sys/fs/cgroup/services/web/pids.max", "8\n"),
        (
            "data/hearth/packages/web/manifest.toml",
            "[service]\nname = \"web\"\nenv = { PIN = \"9876\" }\n",
        ),
        ("data/hearth/usage/key", "the private key"),
        ("data/services/web/diary", "dear diary"),
    ] {
        let path = root.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    root
}

async fn made(root: &Path) -> (Vec<u8>, BTreeMap<String, String>) {
    let file = root.join("out.tar");
    let args = Bundle {
        file: file.clone(),
        root: root.to_owned(),
        format: crate::args::Format { json: false },
    };
    let api = Api::at(&root.join("nobody.sock"));
    assert!(bundle(&api, &args).await.is_ok());
    let bytes = fs::read(&file).unwrap();
    let mut parts = BTreeMap::new();
    for entry in tar::Archive::new(bytes.as_slice()).entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().display().to_string();
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        parts.insert(
            name.strip_prefix("hearth-support/").unwrap().to_owned(),
            text,
        );
    }
    (bytes, parts)
}

#[tokio::test]
async fn with_a_dead_manager_there_is_what_files_tell_and_nothing_private() {
    use std::os::unix::fs::PermissionsExt;
    // given a gateway without a manager, when a bundle is made
    let root = root();
    let (_, parts) = made(root.path()).await;
    // then it says what is in it and what is not
    let contents = &parts["CONTENTS"];
    for words in [
        "run/hearth/logs/web",
        "cgroup/services/web.txt",
        "everything of the API from api/status.json on: the gateway does not answer",
        "- proc/self/mounts: ",
        " home, ",
    ] {
        assert!(contents.contains(words), "{words}: {contents}");
    }
    for name in parts.keys().filter(|name| *name != "CONTENTS") {
        assert!(contents.contains(name), "{name}");
    }
    // and has it
    assert_eq!(
        parts["kernel.log"],
        "<6>[    1.500000] eth1: link up\n<4>[    2.500000] martian home-1\n"
    );
    assert_eq!(
        parts["cgroup/services/web.txt"],
        "memory.max: 33554432\npids.max: 8\n"
    );
    assert!(parts["run/hearth/events"].contains("lan 192.168.1.1, host home-1"));
    // and nothing that is private
    for (name, text) in &parts {
        for private in [
            "192.168.1.77",
            "1234",
            "9876",
            "s3cr3t",
            "dear diary",
            "private key",
        ] {
            assert!(!text.contains(private), "{name}: {private}");
        }
    }
    let mode = fs::metadata(root.path().join("out.tar"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn it_is_bounded_and_keeps_what_happened_last() {
    // given forty services that each have printed a megabyte, and a link to somebody else's file
    let root = root();
    let long: String = (0..60_000)
        .map(|n| format!("line number {n:>6}\n"))
        .collect();
    for n in 0..40 {
        fs::write(
            root.path().join(format!("run/hearth/logs/service-{n:02}")),
            &long,
        )
        .unwrap();
    }
    let link = root.path().join("run/hearth/logs/a-link");
    std::os::unix::fs::symlink(root.path().join("data/services/web/diary"), &link).unwrap();
    // when a bundle is made
    let (bytes, parts) = made(root.path()).await;
    // then it has a bound, says what it left out, and has the end of each log
    assert!(bytes.len() < BUNDLE_MAX + 512 * 1024, "{}", bytes.len());
    assert!(parts["CONTENTS"].contains("run/hearth/logs/service-39: the bundle has"));
    let log = &parts["run/hearth/logs/service-00"];
    assert!(log.ends_with("line number  59999\n"));
    assert!(log.len() <= PART_MAX + 100, "{}", log.len());
    assert!(
        log.lines()
            .all(|line| line.starts_with("line number ") || line.starts_with('('))
    );
    assert!(!parts.contains_key("run/hearth/logs/a-link"));
    // and the same tree is the same bundle but for the time
    assert_eq!(made(root.path()).await.1.len(), parts.len());
}

#[test]
fn an_end_begins_with_a_line() {
    let text = "\u{e9}\n".repeat(PART_MAX);
    let end = end_of(&text);
    assert!(end.len() <= PART_MAX + 60);
    assert!(
        end.lines().skip(1).all(|line| line == "\u{e9}"),
        "{}",
        &end[..80]
    );
    assert_eq!(end_of("short"), "short");
}

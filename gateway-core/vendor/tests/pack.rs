//! The tool as a vendor runs it: a key, a package, its signature, and what is refused. Needs mksquashfs.
// A test may panic, and so may what it shares with others.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const MANIFEST: &str = "[service]\nname = \"radio\"\nversion = \"1.0\"\nexec = [\"/radio\"]\n[resources.memory]\nmax = \"8 MiB\"\n[resources.pids]\nmax = 4\n";

/// What the tool said, and whether it did it.
fn tool(words: &[&str], folder: &Path) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hearth-vendor"));
    let output = command.args(words).current_dir(folder).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

fn done(words: &[&str], folder: &Path) -> String {
    let (done, said) = tool(words, folder);
    assert!(done, "{words:?}: {said}");
    said
}

/// A folder with a manifest, programs, a key and a file of trusted keys.
fn vendor() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().to_owned();
    fs::write(at.join("manifest.toml"), MANIFEST).unwrap();
    fs::create_dir_all(at.join("root/lib")).unwrap();
    // bytes that no compressor makes smaller
    let mut state = 1_u32;
    let noise = core::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as u8
    });
    let noise: Vec<u8> = noise.take(20_000).collect();
    fs::write(at.join("root/radio"), noise).unwrap();
    done(&["key", "key.pem"], &at);
    let row = done(&["trust", "--vendor", "acme", "key.pem.pub"], &at);
    fs::write(at.join("trust.toml"), row).unwrap();
    (folder, at)
}

const PACK: [&str; 6] = ["pack", "--vendor", "acme", "manifest.toml", "root", "out"];

#[test]
fn a_packed_and_signed_folder_is_good_and_the_same_each_time() {
    // given a vendor
    let (_folder, at) = vendor();
    // when a folder is packed and signed twice
    let mut made = Vec::new();
    for _ in 0..2 {
        done(&PACK, &at);
        done(&["sign", "--key", "key.pem", "out"], &at);
        made.push(
            ["manifest.toml", "signature", "image.squashfs"]
                .map(|file| fs::read(at.join("out").join(file)).unwrap()),
        );
    }
    // then both are the same bytes, and a gateway takes them
    assert_eq!(made[0], made[1]);
    let said = done(&["verify", "--trust", "trust.toml", "out"], &at);
    assert!(said.contains("radio 1.0 of acme is good"), "{said}");
    // and the secret is the owner's alone
    use std::os::unix::fs::PermissionsExt;
    let mode = fs::metadata(at.join("key.pem")).unwrap().permissions();
    assert_eq!(mode.mode() & 0o777, 0o600);
}

#[test]
fn each_changed_byte_is_found() {
    let (_folder, at) = vendor();
    done(&PACK, &at);
    done(&["sign", "--key", "key.pem", "out"], &at);
    for (file, places) in [
        ("manifest.toml", [0, 100]),
        ("signature", [0, 60]),
        ("image.squashfs", [200, 9000]),
    ] {
        let path = at.join("out").join(file);
        let good = fs::read(&path).unwrap();
        for place in places {
            let mut bad = good.clone();
            bad[place] ^= 1;
            fs::write(&path, &bad).unwrap();
            let (verified, said) = tool(&["verify", "--trust", "trust.toml", "out"], &at);
            assert!(!verified, "{file} {place}: {said}");
        }
        fs::write(&path, &good[..good.len() - 1]).unwrap();
        let (verified, said) = tool(&["verify", "--trust", "trust.toml", "out"], &at);
        // a signature may do without its last end of line
        assert!(!verified || file == "signature", "{file}: {said}");
        fs::write(&path, &good).unwrap();
    }
    done(&["verify", "--trust", "trust.toml", "out"], &at);
}

#[test]
fn what_no_gateway_would_take_is_refused_with_a_reason() {
    let (_folder, at) = vendor();
    let refused = |words: &[&str], reason: &str| {
        let (done, said) = tool(words, &at);
        assert!(!done && said.contains(reason), "{words:?}: {said}");
    };
    refused(&["key", "key.pem"], "could not make key.pem");
    refused(
        &["verify", "--trust", "trust.toml", "out"],
        "could not read out/manifest.toml",
    );
    done(&PACK, &at);
    refused(
        &["verify", "--trust", "trust.toml", "out"],
        "it is not signed",
    );
    refused(
        &[
            "pack",
            "--vendor",
            "acme",
            "out/manifest.toml",
            "root",
            "out",
        ],
        "is packed already",
    );
    refused(
        &[
            "pack",
            "--vendor",
            "acme",
            "manifest.toml",
            "key.pem",
            "out",
        ],
        "neither a folder nor a squashfs",
    );
    fs::copy(at.join("manifest.toml"), at.join("root/manifest.toml")).unwrap();
    refused(
        &["sign", "--key", "key.pem", "root"],
        "run hearth-vendor pack first",
    );
    done(
        &[
            "pack",
            "--vendor",
            "acme",
            "--architecture",
            "arm64",
            "manifest.toml",
            "root",
            "arm",
        ],
        &at,
    );
    done(&["sign", "--key", "key.pem", "arm"], &at);
    refused(
        &["verify", "--trust", "trust.toml", "arm"],
        "for arm64 processors",
    );
    let made = Command::new("mkfifo")
        .arg(at.join("root/lib/pipe"))
        .status()
        .unwrap();
    assert!(made.success());
    refused(&PACK, "root/lib/pipe is a pipe");
    fs::write(at.join("manifest.toml"), "[service]\nname = \"No\"\n").unwrap();
    refused(&["lint", "manifest.toml"], "manifest.toml:2:");
}

/// A signed package in the folder `out`.
fn signed() -> (tempfile::TempDir, PathBuf) {
    let (folder, at) = vendor();
    done(&PACK, &at);
    done(&["sign", "--key", "key.pem", "out"], &at);
    (folder, at)
}

fn skopeo(words: &[&str], folder: &Path) {
    let mut command = Command::new("skopeo");
    let done = command
        .args(words)
        .current_dir(folder)
        .output()
        .expect("skopeo");
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
}

#[test]
fn an_artifact_is_the_package_wherever_skopeo_copies_it() {
    // given a package as a layout in a folder and in a tar file
    let (_folder, at) = signed();
    done(&["oci", "out", "layout"], &at);
    done(&["oci", "out", "one.tar"], &at);
    done(&["oci", "out", "two.tar"], &at);
    assert_eq!(
        fs::read(at.join("one.tar")).unwrap(),
        fs::read(at.join("two.tar")).unwrap()
    );
    // when skopeo copies them into other layouts
    skopeo(&["copy", "-q", "oci:layout", "oci:copied:1.0"], &at);
    skopeo(
        &[
            "copy",
            "-q",
            "oci-archive:one.tar",
            "oci-archive:archive.tar:1.0",
        ],
        &at,
    );
    // and others pack the folder
    let made = Command::new("tar")
        .args(["cf", "gnu.tar", "--format=ustar", "-C", "layout", "."])
        .current_dir(&at)
        .status();
    assert!(made.unwrap().success());
    // then each is the package that was signed
    for copy in ["layout", "one.tar", "copied", "archive.tar", "gnu.tar"] {
        let said = done(&["verify", "--trust", "trust.toml", copy], &at);
        assert!(said.contains("radio 1.0 of acme is good"), "{said}");
    }
}

#[test]
fn what_is_wrong_with_an_artifact_is_told() {
    let (_folder, at) = signed();
    let refused = |what: &str, reason: &str| {
        let (done, said) = tool(&["verify", "--trust", "trust.toml", what], &at);
        assert!(!done && said.contains(reason), "{what}: {said}");
    };
    done(&["oci", "out", "one.tar"], &at);
    let good = fs::read(at.join("one.tar")).unwrap();
    // cut off, changed, with another tail
    for (length, reason) in [
        (0, "has no index.json"),
        (1600, "cut off"),
        (good.len() - 9000, "cut off"),
    ] {
        fs::write(at.join("bad.tar"), &good[..length]).unwrap();
        refused("bad.tar", reason);
    }
    let mut changed = good.clone();
    let middle = changed.len() - 9000;
    changed[middle] ^= 1;
    fs::write(at.join("bad.tar"), &changed).unwrap();
    refused("bad.tar", "changed after it was signed");
    // names that lead elsewhere, links, and one that is there twice
    fs::create_dir(at.join("tricks")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", at.join("tricks/index.json")).unwrap();
    let tar = |name: &str, words: &[&str]| {
        let mut command = Command::new("tar");
        let made = command
            .args(["cf", name, "--format=ustar", "-P"])
            .args(words)
            .current_dir(&at)
            .status();
        assert!(made.unwrap().success());
    };
    tar("link.tar", &["-C", "tricks", "index.json"]);
    refused("link.tar", "neither file nor folder");
    tar("up.tar", &["out/../out/signature"]);
    refused("up.tar", "no name of an OCI layout");
    // a layout whose blobs are others
    done(&["oci", "out", "layout"], &at);
    let blobs = fs::read_dir(at.join("layout/blobs/sha256")).unwrap();
    for blob in blobs.map(|entry| entry.unwrap().path()) {
        let good = fs::read(&blob).unwrap();
        let mut bad = good.clone();
        bad[10] ^= 1;
        fs::write(&blob, &bad).unwrap();
        let (done, said) = tool(&["verify", "--trust", "trust.toml", "layout"], &at);
        assert!(
            !done && (said.contains("other bytes") || said.contains("changed after")),
            "{said}"
        );
        fs::write(&blob, &good).unwrap();
    }
    // an image for containers is no package
    let index = fs::read_to_string(at.join("layout/index.json")).unwrap();
    fs::write(
        at.join("layout/index.json"),
        index.replace("image.manifest", "image.index"),
    )
    .unwrap();
    refused("layout", "no package");
    // and what nobody signed is not made an artifact
    done(&PACK, &at);
    let (made, said) = tool(&["oci", "out", "new.tar"], &at);
    assert!(!made && said.contains("is not signed"), "{said}");
}

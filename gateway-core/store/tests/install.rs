//! A gateway's packages in a folder: what gets in, what does not and why, and what is there afterwards.
// A test may panic, and so may what it shares with others.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use hearth_model::hex;
use hearth_model::{ServiceName, calendar};
use hearth_package::SecretKey;
use hearth_package::verity::Builder;
use hearth_store::place::{Installed, Place};
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

const TODAY: &str = "2026-11-25";

/// A gateway that trusts key 1 for acme and key 2 for other, and a stick.
struct Home {
    _folder: tempfile::TempDir,
    root: PathBuf,
    stick: PathBuf,
}

fn key(n: u8) -> SecretKey {
    SecretKey::from_random(&[n; 32]).unwrap()
}

fn trust_row(n: u8, vendor: &str, more: &str) -> String {
    let pem = key(n).public().to_pem().unwrap();
    format!("[[key]]\nvendor = \"{vendor}\"\npublic = \"\"\"\n{pem}\"\"\"\n{more}\n")
}

/// What makes a package.
#[derive(Clone)]
struct Kind<'a> {
    name: &'a str,
    version: &'a str,
    vendor: &'a str,
    architecture: &'a str,
    more: &'a str,
    key: u8,
}

const RADIO: Kind<'static> = Kind {
    name: "radio",
    version: "1.1",
    vendor: "acme",
    architecture: "386",
    more: "",
    key: 1,
};

impl Home {
    fn new() -> Home {
        let folder = tempfile::tempdir().unwrap();
        let (root, stick) = (folder.path().join("root"), folder.path().join("stick"));
        fs::create_dir_all(root.join("etc/hearth")).unwrap();
        let keys = trust_row(1, "acme", "")
            + &trust_row(2, "other", "")
            + &trust_row(3, "acme", "revoked = \"stolen\"");
        fs::write(root.join("etc/hearth/trust.toml"), keys).unwrap();
        fs::create_dir(&stick).unwrap();
        Home {
            _folder: folder,
            root,
            stick,
        }
    }

    /// A package on the stick, of three blocks.
    fn package(&self, kind: &Kind<'_>) -> PathBuf {
        let at = self.stick.join(format!("{}-{}", kind.name, kind.version));
        write_package(&at, kind);
        at
    }

    fn place(&self) -> Place {
        Place::new(&self.root)
    }

    fn install(&self, path: &Path) -> Result<Installed, String> {
        let today = calendar::day(TODAY).unwrap();
        self.place().look(path, today)?.install()
    }

    /// Every file below the packages and the state, but for the lock, with its content.
    fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        let mut folders = vec![self.root.join("data")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if !path.ends_with(".lock") {
                    let content = fs::read(&path).unwrap();
                    files.insert(path, content);
                }
            }
        }
        files
    }
}

fn write_package(at: &Path, kind: &Kind<'_>) {
    let image: Vec<u8> = (0..3 * 4096_u32).map(|n| (n / 64) as u8).collect();
    let mut builder = Builder::default();
    builder.update(&image).unwrap();
    let tree = builder.finish().unwrap();
    let (name, version) = (kind.name, kind.version);
    let manifest = format!(
        "[service]\nname = \"{name}\"\nversion = \"{version}\"\nexec = [\"/{name}\"]\n[resources.memory]\nmax = \"8 MiB\"\n\
         [resources.pids]\nmax = 4\n[package]\nvendor = \"{}\"\narchitecture = \"{}\"\nsize = {}\nroot-hash = \"{}\"\n{}\n",
        kind.vendor,
        kind.architecture,
        image.len(),
        hex::text(&tree.root),
        kind.more
    );
    fs::create_dir_all(at).unwrap();
    fs::write(at.join("image.squashfs"), [image, tree.bytes].concat()).unwrap();
    fs::write(at.join("manifest.toml"), &manifest).unwrap();
    sign(at, kind.key);
}

fn sign(at: &Path, by: u8) {
    let manifest = fs::read(at.join("manifest.toml")).unwrap();
    fs::write(
        at.join("signature"),
        format!("{}\n", key(by).sign(&manifest)),
    )
    .unwrap();
}

fn name(text: &str) -> ServiceName {
    ServiceName::new(text).unwrap()
}

#[test]
fn a_package_is_installed_replaced_and_removed() {
    // given a gateway and two versions
    let home = Home::new();
    let first = home.package(&RADIO);
    let second = home.package(&Kind {
        version: "1.10",
        ..RADIO
    });
    // when they are installed one after the other
    let done = home.install(&first).unwrap();
    assert_eq!((done.version.as_str(), done.replaces), ("1.1", None));
    let done = home.install(&second).unwrap();
    assert_eq!(
        (done.version.as_str(), done.replaces.as_deref()),
        ("1.10", Some("1.1"))
    );
    // then the second one is there, byte for byte, and nothing else
    let installed = home.root.join("data/hearth/packages/radio");
    for file in ["manifest.toml", "signature", "image.squashfs"] {
        assert_eq!(
            fs::read(installed.join(file)).unwrap(),
            fs::read(second.join(file)).unwrap()
        );
    }
    let files = home.files();
    assert_eq!(files.len(), 4, "{:?}", files.keys());
    // when it is removed, then its data stays unless it is to go
    let data = home.root.join("data/services/radio");
    fs::create_dir_all(&data).unwrap();
    assert_eq!(home.place().remove(&name("radio"), false), Ok(false));
    assert!(data.exists() && !installed.exists());
    // and an older version does not come back, and the same one does
    let error = home.install(&first).unwrap_err();
    assert!(
        error.contains("its version 1.1 is older than 1.10"),
        "{error}"
    );
    home.install(&second).unwrap();
    assert_eq!(home.place().remove(&name("radio"), true), Ok(false));
    assert!(!data.exists());
    let error = home.place().remove(&name("radio"), true).unwrap_err();
    assert!(error.contains("no package radio is installed"), "{error}");
}

/// What is wrong with a package.
type Change = fn(&Path);

fn image(at: &Path, change: fn(&mut Vec<u8>)) {
    let file = at.join("image.squashfs");
    let mut bytes = fs::read(&file).unwrap();
    change(&mut bytes);
    fs::write(&file, bytes).unwrap();
}

#[test]
fn whatever_is_wrong_is_told_and_leaves_nothing() {
    let home = Home::new();
    home.install(&home.package(&Kind {
        version: "1.0",
        ..RADIO
    }))
    .unwrap();
    let before = home.files();
    let good = home.package(&RADIO);
    let cases: Vec<(&str, Change)> = vec![
        ("it is not signed", |at| {
            fs::remove_file(at.join("signature")).unwrap()
        }),
        ("its signature is damaged", |at| {
            fs::write(at.join("signature"), "noise").unwrap()
        }),
        ("its signature is damaged", |at| {
            fs::write(at.join("signature"), [0xff; 99]).unwrap()
        }),
        ("signature: it is larger than", |at| {
            fs::write(at.join("signature"), [b'a'; 9999]).unwrap()
        }),
        ("which this gateway does not know", |at| sign(at, 9)),
        ("is revoked (stolen)", |at| sign(at, 3)),
        ("signed with a key of other", |at| sign(at, 2)),
        ("it was changed after it was signed", |at| {
            let file = at.join("manifest.toml");
            fs::write(&file, fs::read_to_string(&file).unwrap() + "#").unwrap();
        }),
        ("manifest.toml: it is larger than", |at| {
            fs::write(at.join("manifest.toml"), vec![b'#'; 70_000]).unwrap()
        }),
        ("a package is a folder with", |at| {
            fs::remove_file(at.join("manifest.toml")).unwrap()
        }),
        ("could not open", |at| {
            fs::remove_file(at.join("image.squashfs")).unwrap()
        }),
        ("is cut off: it has 12287 bytes", |at| {
            image(at, |bytes| bytes.truncate(12_287))
        }),
        ("is too long: it has 16385 bytes", |at| {
            image(at, |bytes| bytes.push(0))
        }),
        ("image of", |at| image(at, |bytes| bytes[5000] ^= 1)),
        // a changed tree would be an error later on
        ("image of", |at| {
            image(at, |bytes| bytes[3 * 4096 + 40] ^= 1)
        }),
        ("image of", |at| image(at, |bytes| bytes[4 * 4096 - 1] ^= 1)),
        ("no plain file", |at| {
            fs::remove_file(at.join("image.squashfs")).unwrap();
            symlink("/dev/zero", at.join("image.squashfs")).unwrap();
        }),
        ("no plain file", |at| {
            fs::remove_file(at.join("manifest.toml")).unwrap();
            fs::create_dir(at.join("manifest.toml")).unwrap();
        }),
        ("for arm64 processors", |at| {
            write_package(
                at,
                &Kind {
                    architecture: "arm64",
                    ..RADIO
                },
            )
        }),
        ("not to be installed any more since 2026-11-25", |at| {
            write_package(
                at,
                &Kind {
                    more: "expires = \"2026-11-25\"",
                    ..RADIO
                },
            );
        }),
        ("older than 1.0", |at| {
            write_package(
                at,
                &Kind {
                    version: "0.9",
                    ..RADIO
                },
            )
        }),
        ("belongs to a package of vendor acme", |at| {
            write_package(
                at,
                &Kind {
                    vendor: "other",
                    key: 2,
                    ..RADIO
                },
            )
        }),
        ("service.name", |at| {
            write_package(
                at,
                &Kind {
                    name: "../radio",
                    ..RADIO
                },
            )
        }),
        ("no [package] section", |at| {
            let file = at.join("manifest.toml");
            let text = fs::read_to_string(&file).unwrap();
            fs::write(&file, text.split("[package]").next().unwrap()).unwrap();
            sign(at, 1);
        }),
    ];
    for (words, change) in cases {
        // given a good package with one thing wrong
        let _gone = fs::remove_dir_all(&good);
        write_package(&good, &RADIO);
        change(&good);
        // when it is installed, then that is told, and everything is as before
        let error = home.install(&good).unwrap_err();
        assert!(error.contains(words), "{words}: {error}");
        let mut after = home.files();
        // a copy that fails at its end has not raised the floor either
        after.retain(|path, _| !path.ends_with("versions.json.new"));
        assert_eq!(after, before, "{words}");
    }
    // and without the fault it is installed
    let _gone = fs::remove_dir_all(&good);
    write_package(&good, &RADIO);
    home.install(&good).unwrap();
}

#[test]
fn what_an_interrupted_step_left_is_cleared_and_two_do_not_meet() {
    let home = Home::new();
    let path = home.package(&RADIO);
    let packages = home.root.join("data/hearth/packages");
    for left in [".new-radio", ".old-other"] {
        fs::create_dir_all(packages.join(left)).unwrap();
        fs::write(packages.join(left).join("image.squashfs"), "half").unwrap();
    }
    // given somebody who installs
    let today = calendar::day(TODAY).unwrap();
    let candidate = home.place().look(&path, today).unwrap();
    assert_eq!(fs::read_dir(&packages).unwrap().count(), 1, "only the lock");
    // when somebody else does at the same time, then he is told
    let error = home.place().look(&path, today).unwrap_err();
    assert!(
        error.contains("another package is being installed"),
        "{error}"
    );
    let error = home.place().remove(&name("radio"), false).unwrap_err();
    assert!(
        error.contains("another package is being installed"),
        "{error}"
    );
    candidate.install().unwrap();
}

#[test]
fn a_package_of_the_firmware_keeps_its_name_and_stays() {
    let home = Home::new();
    write_package(&home.root.join("usr/share/hearth/packages/radio"), &RADIO);
    // given another vendor's package of that name
    let foreign = home.package(&Kind {
        vendor: "other",
        key: 2,
        version: "9",
        ..RADIO
    });
    let error = home.install(&foreign).unwrap_err();
    assert!(
        error.contains("belongs to a package of vendor acme"),
        "{error}"
    );
    let error = home.place().remove(&name("radio"), false).unwrap_err();
    assert!(error.contains("is a part of the firmware"), "{error}");
    // and a newer one of the same vendor takes its place until it is removed
    let done = home
        .install(&home.package(&Kind {
            version: "2",
            ..RADIO
        }))
        .unwrap();
    assert_eq!(done.replaces.as_deref(), Some("1.1"));
    assert_eq!(home.place().remove(&name("radio"), false), Ok(true));
}

#[test]
fn damaged_state_is_told_and_not_overwritten() {
    let home = Home::new();
    let path = home.package(&RADIO);
    let versions = home.root.join("data/hearth/state/versions.json");
    fs::create_dir_all(versions.parent().unwrap()).unwrap();
    fs::write(&versions, "{").unwrap();
    assert!(
        home.install(&path)
            .unwrap_err()
            .contains("versions.json is damaged")
    );
    assert_eq!(fs::read_to_string(&versions).unwrap(), "{");
    fs::remove_file(&versions).unwrap();
    fs::write(home.root.join("data/hearth/trust.toml"), "nonsense").unwrap();
    assert!(home.install(&path).unwrap_err().contains("trust.toml"));
}

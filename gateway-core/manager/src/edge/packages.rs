//! Packages on disk: folders with `manifest.toml`, its `signature`, and `image.squashfs`. One that can not be used,
//! or that nobody here trusts, is a problem to tell and harms no other.

use super::image::Image;
use super::paths::{Paths, could_not, read_bytes, read_text};
use crate::limits::PACKAGES_MAX;
use hearth_model::ServiceName;
use hearth_model::hex;
use hearth_model::manifest::{MANIFEST_MAX, Manifest};
use hearth_package::signature::SIGNATURE_MAX;
use hearth_package::trust::TRUST_MAX;
use hearth_package::{Package, Refused, Trust};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A package that can be used.
#[derive(Debug)]
pub struct Found {
    /// Its manifest.
    pub manifest: Manifest,
    /// Its root image.
    pub image: Image,
}

/// What is wrong with a package or with the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The package's folder name; `None` for the gateway itself.
    pub package: Option<String>,
    /// One sentence.
    pub text: String,
}

impl Problem {
    /// A problem of the gateway itself.
    #[must_use]
    pub fn of_gateway(text: String) -> Problem {
        Problem {
            package: None,
            text,
        }
    }
}

/// Every package, by name, and every problem. The household's package replaces the firmware's of the
/// same name, unless it can not be used.
#[must_use]
pub fn scan(paths: &Paths) -> (BTreeMap<ServiceName, Found>, Vec<Problem>) {
    let mut found = BTreeMap::new();
    let mut problems = Vec::new();
    let (trust, faults) = trust(paths);
    problems.extend(faults);
    for folder in paths.packages() {
        for (name, package) in folders(&folder, &mut problems) {
            match read(&trust, &name, &package) {
                Ok(one) => {
                    found.entry(one.manifest.name().clone()).or_insert(one);
                }
                Err(texts) => problems.extend(texts.into_iter().map(|text| Problem {
                    package: Some(name.clone()),
                    text,
                })),
            }
        }
    }
    (found, problems)
}

/// The folders in a folder, in the order of their names.
fn folders(folder: &Path, problems: &mut Vec<Problem>) -> Vec<(String, PathBuf)> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Vec::new(),
        Err(e) => {
            problems.push(Problem::of_gateway(could_not(
                "read the packages in",
                folder,
                &e,
            )));
            return Vec::new();
        }
    };
    let mut names = Vec::new();
    for entry in entries.take(PACKAGES_MAX) {
        match entry {
            Ok(entry) if entry.path().is_dir() => {
                let name = entry.file_name().to_string_lossy().into_owned();
                // One that begins with a dot is half in or half out: hearth install and remove clear it away.
                if !name.starts_with('.') {
                    names.push((name, entry.path()));
                }
            }
            Ok(_) => {}
            Err(e) => problems.push(Problem::of_gateway(could_not("read", folder, &e))),
        }
    }
    names.sort();
    names
}

/// The keys that this gateway trusts: the firmware's and the household's together. What one file revokes is
/// revoked; a file that can not be read trusts nobody.
#[must_use]
pub fn trust(paths: &Paths) -> (Trust, Vec<Problem>) {
    let mut trust = Trust::default();
    let mut problems = Vec::new();
    for file in paths.trust() {
        let read = match read_text(&file, TRUST_MAX) {
            Ok(text) => Trust::parse(&file.to_string_lossy(), &text),
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            Err(e) => Err(could_not("read", &file, &e)),
        };
        match read {
            Ok(keys) => trust = trust.and(keys),
            Err(text) => problems.push(Problem::of_gateway(format!(
                "{text}; none of its keys is trusted"
            ))),
        }
    }
    (trust, problems)
}

/// A package of a folder, if its signature is good.
///
/// # Errors
/// Sentences that name the file, the reason and what to do.
pub fn open(trust: &Trust, package: &Path) -> Result<Package, Vec<String>> {
    let file = package.join("manifest.toml");
    let manifest = read_bytes(&file, MANIFEST_MAX as u64).map_err(|e| {
        let what = could_not("read", &file, &e);
        vec![format!(
            "{what}; a package has manifest.toml, signature and image.squashfs"
        )]
    })?;
    let path = package.join("signature");
    let signature = match read_text(&path, SIGNATURE_MAX as u64) {
        Ok(text) => Some(text),
        Err(e) if e.kind() == io::ErrorKind::NotFound => None,
        Err(e) => return Err(vec![could_not("read", &path, &e)]),
    };
    let named = file.to_string_lossy();
    let opened = hearth_package::open(trust, &named, &manifest, signature.as_deref());
    opened.map_err(|refused| {
        if let Refused::Faulty(errors) = &refused {
            errors.lines().to_vec()
        } else {
            vec![format!("{}: {refused}", package.display())]
        }
    })
}

fn read(trust: &Trust, name: &str, package: &Path) -> Result<Found, Vec<String>> {
    let opened = open(trust, package)?;
    let manifest = opened.manifest();
    if manifest.name().as_str() != name {
        return Err(vec![format!(
            "{}: service.name: \"{}\" is not the name of its folder, \"{name}\"; rename the folder",
            package.join("manifest.toml").display(),
            manifest.name()
        )]);
    }
    let image = package.join("image.squashfs");
    match fs::metadata(&image) {
        Ok(facts) if facts.is_file() => Ok(Found {
            manifest: manifest.clone(),
            image: Image {
                file: image,
                size: opened.sealed().size,
                root: hex::text(&opened.sealed().root_hash),
            },
        }),
        Ok(_) => Err(vec![format!(
            "{} is no file; install the package again",
            image.display()
        )]),
        Err(e) => Err(vec![format!(
            "{}; install the package again",
            could_not("find", &image, &e)
        )]),
    }
}

//! Packages on disk: folders with `manifest.toml` and `image.squashfs`. One that can not be used is a
//! problem to tell and harms no other.

use super::paths::{Paths, could_not, read_text};
use crate::limits::PACKAGES_MAX;
use hearth_model::manifest::{MANIFEST_MAX, Manifest};
use hearth_model::{ServiceName, manifest};
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
    pub image: PathBuf,
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
    for folder in paths.packages() {
        for (name, package) in folders(&folder, &mut problems) {
            match read(&name, &package) {
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
                names.push((
                    entry.file_name().to_string_lossy().into_owned(),
                    entry.path(),
                ));
            }
            Ok(_) => {}
            Err(e) => problems.push(Problem::of_gateway(could_not("read", folder, &e))),
        }
    }
    names.sort();
    names
}

fn read(name: &str, package: &Path) -> Result<Found, Vec<String>> {
    let file = package.join("manifest.toml");
    let text = read_text(&file, MANIFEST_MAX as u64).map_err(|e| {
        let what = could_not("read", &file, &e);
        vec![format!(
            "{what}; a package has manifest.toml and image.squashfs"
        )]
    })?;
    let manifest = manifest::Manifest::parse(&file.to_string_lossy(), &text)
        .map_err(|errors| errors.lines().to_vec())?;
    if manifest.name().as_str() != name {
        return Err(vec![format!(
            "{}: service.name: \"{}\" is not the name of its folder, \"{name}\"; rename one of them",
            file.display(),
            manifest.name()
        )]);
    }
    let image = package.join("image.squashfs");
    match fs::metadata(&image) {
        Ok(facts) if facts.is_file() => Ok(Found { manifest, image }),
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

//! A gateway's packages: taken in and given away in one step each, so that whoever looks, also after a power cut,
//! finds the old state or the new one. What an interrupted step has left begins with `.` and is removed by the next.

use crate::limits::{SPACE_KEPT, VERSIONS_MAX};
use crate::source::Source;
use crate::{could_not, durable, sys};
use hearth_model::{Bytes, ServiceName};
use hearth_package::trust::TRUST_MAX;
use hearth_package::{Known, Package, Trust, may_install, open};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// The file of the highest version of each package that was ever installed.
const VERSIONS: &str = "versions.json";

/// A gateway's file system.
#[derive(Clone, Debug)]
pub struct Place {
    root: PathBuf,
}

/// A package that may be installed. While there is one, nobody else installs or removes.
#[derive(Debug)]
pub struct Candidate {
    place: Place,
    source: Source,
    package: Package,
    replaces: Option<String>,
    _lock: File,
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// The service.
    pub name: ServiceName,
    /// Its version now.
    pub version: String,
    /// Whose it is.
    pub vendor: ServiceName,
    /// The version that was there before.
    pub replaces: Option<String>,
    /// Bytes that it takes on disk.
    pub size: u64,
}

impl Place {
    /// The file system below this folder; `/` on a gateway.
    #[must_use]
    pub fn new(root: &Path) -> Place {
        Place {
            root: root.to_owned(),
        }
    }

    fn packages(&self) -> PathBuf {
        self.root.join("data/hearth/packages")
    }

    fn firmware(&self, name: &ServiceName) -> PathBuf {
        self.root
            .join("usr/share/hearth/packages")
            .join(name.as_str())
    }

    fn state(&self) -> PathBuf {
        self.root.join("data/hearth/state")
    }

    /// Reads a package and finds out whether it may be installed on this day (in days since 1970). Nothing is
    /// changed but what an interrupted step has left.
    ///
    /// # Errors
    /// A sentence that names what, why and what to do.
    pub fn look(&self, path: &Path, today: u64) -> Result<Candidate, String> {
        let lock = self.lock()?;
        let source = Source::open(path)?;
        let trust = self.trust()?;
        let refused =
            |why: &dyn core::fmt::Display| format!("{} is not installed: {why}", path.display());
        let package = opened(&trust, &source).map_err(|why| refused(&why))?;
        let name = package.manifest().name();
        let (mut known, mut replaces) = (Known::default(), None);
        for folder in [self.firmware(name), self.packages().join(name.as_str())] {
            // What can not be opened has no rights to its name.
            if let Some(there) = Source::open(&folder)
                .ok()
                .and_then(|there| opened(&trust, &there).ok())
            {
                known.vendor = Some(there.sealed().vendor.clone());
                replaces = Some(there.manifest().version().to_owned());
            }
        }
        known.floor = self.versions()?.get(&entry(&package)).cloned();
        may_install(&package, today, &known).map_err(|why| refused(&why))?;
        let length = source.check_length(package.sealed())?;
        let free = self.free()?;
        let needed = length.saturating_add(SPACE_KEPT);
        if free < needed {
            return Err(refused(&format!(
                "it needs {} and {} have to stay free, and of the data partition {} are free; remove another \
                 package or a service's data",
                Bytes(length),
                Bytes(SPACE_KEPT),
                Bytes(free)
            )));
        }
        Ok(Candidate {
            place: self.clone(),
            source,
            package,
            replaces,
            _lock: lock,
        })
    }

    /// Takes a package away, and with `purge` the service's data too. Whether firmware has one of this name, which
    /// is the service's from then on.
    ///
    /// # Errors
    /// A sentence that names what, why and what to do; the package is then still there, or gone as asked.
    pub fn remove(&self, name: &ServiceName, purge: bool) -> Result<bool, String> {
        let _lock = self.lock()?;
        let firmware = self.firmware(name).exists();
        let (packages, folder) = (self.packages(), self.packages().join(name.as_str()));
        let old = packages.join(format!(".old-{name}"));
        match fs::rename(&folder, &old) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::NotFound && firmware => {
                return Err(format!(
                    "{name} is a part of the firmware and can not be removed; hearth stop {name} leaves it off"
                ));
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Err(format!(
                    "no package {name} is installed; hearth ps lists what is"
                ));
            }
            Err(e) => return Err(could_not("remove", &folder, &e)),
        }
        durable::sync_folder(&packages).map_err(|e| could_not("write", &packages, &e))?;
        fs::remove_dir_all(&old).map_err(|e| could_not("remove", &old, &e))?;
        let data = self.root.join("data/services").join(name.as_str());
        if purge && data.exists() {
            fs::remove_dir_all(&data).map_err(|e| could_not("remove", &data, &e))?;
        }
        Ok(firmware)
    }

    /// Nobody else installs or removes while this is held; what an interrupted one left is removed.
    fn lock(&self) -> Result<File, String> {
        let (packages, state) = (self.packages(), self.state());
        for folder in [&packages, &state] {
            fs::create_dir_all(folder).map_err(|e| could_not("make", folder, &e))?;
        }
        let file = packages.join(".lock");
        let lock = File::create(&file).map_err(|e| could_not("open", &file, &e))?;
        lock.try_lock().map_err(|_| {
            "another package is being installed or removed; try again when that is done".to_owned()
        })?;
        for entry in fs::read_dir(&packages).map_err(|e| could_not("read", &packages, &e))? {
            let entry = entry.map_err(|e| could_not("read", &packages, &e))?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with(".new-") || name.starts_with(".old-") {
                let path = entry.path();
                fs::remove_dir_all(&path).map_err(|e| could_not("remove", &path, &e))?;
            }
        }
        Ok(lock)
    }

    fn trust(&self) -> Result<Trust, String> {
        let mut trust = Trust::default();
        for file in ["etc/hearth/trust.toml", "data/hearth/trust.toml"] {
            let file = self.root.join(file);
            if let Some(text) = text(&file, TRUST_MAX)? {
                trust = trust.and(Trust::parse(&file.to_string_lossy(), &text)?);
            }
        }
        Ok(trust)
    }

    fn versions(&self) -> Result<BTreeMap<String, String>, String> {
        let file = self.state().join(VERSIONS);
        let Some(text) = text(&file, VERSIONS_MAX)? else {
            return Ok(BTreeMap::new());
        };
        serde_json::from_str(&text).map_err(|e| {
            let file = file.display();
            format!("{file} is damaged ({e}), so nobody knows which versions were here; move it away to begin anew")
        })
    }

    fn free(&self) -> Result<u64, String> {
        let packages = self.packages();
        sys::free_space(&packages).map_err(|e| could_not("look at", &packages, &e))
    }
}

/// A file's text, if there is one.
fn text(file: &Path, max: u64) -> Result<Option<String>, String> {
    let mut text = String::new();
    match File::open(file).and_then(|file| file.take(max + 1).read_to_string(&mut text)) {
        Ok(length) if length as u64 > max => {
            Err(format!("{} is longer than {max} bytes", file.display()))
        }
        Ok(_) => Ok(Some(text)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(could_not("read", file, &e)),
    }
}

fn opened(trust: &Trust, source: &Source) -> Result<Package, hearth_package::Refused> {
    open(
        trust,
        "manifest.toml",
        &source.manifest,
        source.signature.as_deref(),
    )
}

/// Whose versions are compared: names of two vendors are two names.
fn entry(package: &Package) -> String {
    format!("{}/{}", package.sealed().vendor, package.manifest().name())
}

impl Candidate {
    /// The package.
    #[must_use]
    pub fn package(&self) -> &Package {
        &self.package
    }

    /// The version that is there now.
    #[must_use]
    pub fn replaces(&self) -> Option<&str> {
        self.replaces.as_deref()
    }

    /// Installs it: checked whole while it is copied, on disk when this returns.
    ///
    /// # Errors
    /// A sentence that names what, why and what to do; nothing is left, and what was installed before still is.
    pub fn install(self) -> Result<Installed, String> {
        let name = self.package.manifest().name().clone();
        let new = self.place.packages().join(format!(".new-{name}"));
        let done = self.copy(&new).and_then(|size| {
            self.raise_floor()?;
            self.switch(&new, &name)?;
            Ok(size)
        });
        if new.exists() {
            // The old one after a switch, an unfinished one before it.
            let removed = fs::remove_dir_all(&new).map_err(|e| could_not("remove", &new, &e));
            done.and_then(|size| removed.map(|()| size))
        } else {
            done
        }
        .map(|size| Installed {
            name,
            version: self.package.manifest().version().to_owned(),
            vendor: self.package.sealed().vendor.clone(),
            replaces: self.replaces,
            size,
        })
    }

    fn copy(&self, new: &Path) -> Result<u64, String> {
        let failed = |e: io::Error| could_not("write", new, &e);
        fs::create_dir(new).map_err(failed)?;
        let mut image = File::create(new.join("image.squashfs")).map_err(failed)?;
        let mut size = 0;
        self.source.copy_image(self.package.sealed(), |piece| {
            size += piece.len() as u64;
            image.write_all(piece).map_err(failed)
        })?;
        image.sync_all().map_err(failed)?;
        durable::write(&new.join("manifest.toml"), &self.source.manifest).map_err(failed)?;
        let signature = self.source.signature.as_deref().unwrap_or_default();
        durable::write(&new.join("signature"), signature.as_bytes()).map_err(failed)?;
        durable::sync_folder(new).map_err(failed)?;
        Ok(size)
    }

    /// From now on no older version is installed. Before the switch: a power cut between them leaves the old
    /// version where it is, and this one can be installed again.
    fn raise_floor(&self) -> Result<(), String> {
        let mut versions = self.place.versions()?;
        let version = self.package.manifest().version().to_owned();
        versions.insert(entry(&self.package), version);
        let state = self.place.state();
        let text = serde_json::to_string_pretty(&versions).map_err(|e| e.to_string())?;
        durable::replace(&state, VERSIONS, text.as_bytes())
            .map_err(|e| could_not("write", &state.join(VERSIONS), &e))
    }

    fn switch(&self, new: &Path, name: &ServiceName) -> Result<(), String> {
        let packages = self.place.packages();
        let target = packages.join(name.as_str());
        let switched = if target.exists() {
            sys::exchange(new, &target)
        } else {
            fs::rename(new, &target)
        };
        switched.map_err(|e| could_not("put in place", &target, &e))?;
        durable::sync_folder(&packages).map_err(|e| could_not("write", &packages, &e))
    }
}

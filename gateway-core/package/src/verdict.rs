//! Whether a package may run here, and whether it may be installed.

use crate::signature::{KeyId, Signature};
use crate::trust::{Trust, TrustedKey};
use crate::version;
use core::cmp::Ordering;
use core::fmt;
use hearth_model::manifest::{ARCHITECTURE, Manifest, ManifestErrors, Sealed};
use hearth_model::{ServiceName, calendar};

/// A package whose signature was checked. Only [`open`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    manifest: Manifest,
    sealed: Sealed,
    key: TrustedKey,
}

impl Package {
    /// What it says of itself.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Its image.
    #[must_use]
    pub fn sealed(&self) -> &Sealed {
        &self.sealed
    }
}

/// What a gateway knows of a name when a package of that name is to be installed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// Whose package has the name now.
    pub vendor: Option<ServiceName>,
    /// The highest version that was ever installed by that name and vendor.
    pub floor: Option<String>,
}

/// Why a package may not run, or not be installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It has no signature.
    Unsigned,
    /// Its signature is no text of a signature.
    NoSignature,
    /// Nobody here knows the key.
    UnknownKey(KeyId),
    /// The key is not to be trusted any more, and why.
    Revoked(KeyId, String),
    /// The key did not sign this manifest.
    Forged(KeyId),
    /// The manifest is signed and faulty.
    Faulty(ManifestErrors),
    /// The manifest is no text.
    NoText,
    /// The manifest was never packed.
    NotPacked,
    /// The key is another vendor's.
    OtherVendor {
        /// Whose the key is.
        key: ServiceName,
        /// Whose package it says that it is.
        says: ServiceName,
    },
    /// The key does not sign this name.
    OtherName(KeyId, ServiceName),
    /// It is for other processors.
    Architecture(String),
    /// It is not installed any more since this day.
    Expired(u64),
    /// Its key is too old since this day.
    KeyExpired(KeyId, u64),
    /// A newer one was installed before.
    Older {
        /// Its version.
        version: String,
        /// That of the newer one.
        floor: String,
    },
    /// Another vendor's package has the name.
    Taken(ServiceName),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::Unsigned => f.write_str("it is not signed; its vendor signs it (hearth-vendor sign)"),
            Refused::NoSignature => f.write_str("its signature is damaged; get the package again"),
            Refused::UnknownKey(key) => write!(
                f,
                "it is signed with the key {key}, which this gateway does not know; add the vendor's key to \
                 /data/hearth/trust.toml if you trust it"
            ),
            Refused::Revoked(key, why) => write!(
                f,
                "its key {key} is revoked ({why}); get a package that the vendor signed with another key"
            ),
            Refused::Forged(key) => write!(
                f,
                "it was changed after it was signed: the signature of the key {key} does not fit manifest.toml; \
                 get the package again"
            ),
            Refused::Faulty(errors) => write!(f, "its manifest is faulty: {errors}"),
            Refused::NoText => f.write_str("its manifest is no UTF-8 text; get the package again"),
            Refused::NotPacked => f.write_str(
                "its manifest has no [package] section, so nothing binds its image to it; pack it with hearth-vendor pack",
            ),
            Refused::OtherVendor { key, says } => write!(
                f,
                "it says that it is of vendor {says}, and is signed with a key of {key}; get it from {says}"
            ),
            Refused::OtherName(key, name) => write!(
                f,
                "the key {key} signs other names of its vendor, not {name}; get a package signed with the right key"
            ),
            Refused::Architecture(of) => write!(
                f,
                "its programs are for {of} processors and this gateway's are {ARCHITECTURE}; get a package for {ARCHITECTURE}"
            ),
            Refused::Expired(day) => write!(
                f,
                "it is not to be installed any more since {}; get a newer one",
                calendar::day_text(*day)
            ),
            Refused::KeyExpired(key, day) => write!(
                f,
                "its key {key} signs nothing new since {}; get a newer package",
                calendar::day_text(*day)
            ),
            Refused::Older { version, floor } => write!(
                f,
                "its version {version} is older than {floor}, which was installed here before; older versions can \
                 have known holes: get {floor} or a newer one"
            ),
            Refused::Taken(vendor) => write!(
                f,
                "its name belongs to a package of vendor {vendor} on this gateway; remove that one first"
            ),
        }
    }
}

impl core::error::Error for Refused {}

/// The package of this manifest and signature, if it may run on a gateway with these keys. `file` is only
/// named in errors.
///
/// # Errors
/// [`Refused`]. The manifest is read only after its signature was found to be good.
pub fn open(
    trust: &Trust,
    file: &str,
    manifest: &[u8],
    signature: Option<&str>,
) -> Result<Package, Refused> {
    let signature =
        Signature::parse(signature.ok_or(Refused::Unsigned)?).ok_or(Refused::NoSignature)?;
    let keys = trust.find(signature.key);
    let first = keys.first().ok_or(Refused::UnknownKey(signature.key))?;
    if let Some(why) = &first.revoked {
        return Err(Refused::Revoked(signature.key, why.clone()));
    }
    if !first.key.has_signed(manifest, &signature) {
        return Err(Refused::Forged(signature.key));
    }
    let text = core::str::from_utf8(manifest).map_err(|_| Refused::NoText)?;
    let manifest = Manifest::parse(file, text).map_err(Refused::Faulty)?;
    let sealed = manifest.sealed().cloned().ok_or(Refused::NotPacked)?;
    let key = keys
        .iter()
        .find(|row| row.vendor == sealed.vendor)
        .ok_or_else(|| Refused::OtherVendor {
            key: first.vendor.clone(),
            says: sealed.vendor.clone(),
        })?;
    if let Some(names) = &key.names
        && !names.contains(manifest.name())
    {
        return Err(Refused::OtherName(signature.key, manifest.name().clone()));
    }
    if sealed.architecture != ARCHITECTURE {
        return Err(Refused::Architecture(sealed.architecture));
    }
    Ok(Package {
        manifest,
        sealed,
        key: (*key).clone(),
    })
}

/// Whether it may be installed on this day (in days since 1970) where this much is known of its name. What is
/// installed goes on after that day.
///
/// # Errors
/// [`Refused`].
pub fn may_install(package: &Package, today: u64, known: &Known) -> Result<(), Refused> {
    match (package.sealed.expires, package.key.until) {
        (Some(day), _) if day <= today => return Err(Refused::Expired(day)),
        (_, Some(day)) if day <= today => {
            return Err(Refused::KeyExpired(package.key.key.id(), day));
        }
        _ => {}
    }
    if let Some(vendor) = &known.vendor
        && *vendor != package.sealed.vendor
    {
        return Err(Refused::Taken(vendor.clone()));
    }
    match &known.floor {
        Some(floor) if version::compare(package.manifest.version(), floor) == Ordering::Less => {
            Err(Refused::Older {
                version: package.manifest.version().to_owned(),
                floor: floor.clone(),
            })
        }
        Some(_) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signature::SecretKey;
    use proptest::prelude::*;

    fn key(n: u8) -> SecretKey {
        SecretKey::from_random(&[n; 32]).unwrap()
    }

    fn trust(more: &str) -> Trust {
        let pem = key(1).public().to_pem().unwrap();
        let text = format!("[[key]]\nvendor = \"acme\"\npublic = \"\"\"{pem}\"\"\"\n{more}");
        Trust::parse("trust.toml", &text).unwrap()
    }

    fn manifest(vendor: &str, architecture: &str, more: &str) -> String {
        let hash = "0".repeat(64);
        format!(
            "[service]\nname = \"radio\"\nversion = \"1.10\"\nexec = [\"/radio\"]\n[resources.memory]\nmax = \"8 MiB\"\n\
             [resources.pids]\nmax = 4\n[package]\nvendor = \"{vendor}\"\narchitecture = \"{architecture}\"\n\
             size = 4096\nroot-hash = \"{hash}\"\n{more}\n"
        )
    }

    fn opened(trust: &Trust, text: &str, by: &SecretKey) -> Result<Package, Refused> {
        let signature = by.sign(text.as_bytes()).to_string();
        open(trust, "manifest.toml", text.as_bytes(), Some(&signature))
    }

    #[test]
    fn a_signed_package_opens_and_each_fault_has_its_own_words() {
        let good = manifest("acme", "386", "");
        let (ours, trusted) = (key(1), trust(""));
        assert_eq!(
            opened(&trusted, &good, &ours)
                .unwrap()
                .manifest()
                .name()
                .as_str(),
            "radio"
        );
        let id = ours.public().id();
        let unpacked = good.split("[package]").next().unwrap().to_owned();
        for (result, expected) in [
            (
                open(&trusted, "m", good.as_bytes(), None),
                Refused::Unsigned,
            ),
            (
                open(&trusted, "m", good.as_bytes(), Some("")),
                Refused::NoSignature,
            ),
            (
                opened(&trusted, &good, &key(2)),
                Refused::UnknownKey(key(2).public().id()),
            ),
            (
                opened(&trust("revoked = \"stolen\""), &good, &ours),
                Refused::Revoked(id, "stolen".into()),
            ),
            (opened(&trusted, &unpacked, &ours), Refused::NotPacked),
            (
                opened(&trusted, &manifest("acme", "arm64", ""), &ours),
                Refused::Architecture("arm64".into()),
            ),
            (
                opened(&trusted, &manifest("evil", "386", ""), &ours),
                Refused::OtherVendor {
                    key: name("acme"),
                    says: name("evil"),
                },
            ),
            (
                opened(&trust("names = [\"web\"]"), &good, &ours),
                Refused::OtherName(id, name("radio")),
            ),
        ] {
            assert_eq!(result, Err(expected.clone()));
            assert!(expected.to_string().contains(' '));
        }
        assert!(matches!(
            opened(&trusted, &manifest("acme", "386", "colour = 1"), &ours),
            Err(Refused::Faulty(_))
        ));
    }

    #[test]
    fn a_manifest_is_not_read_before_its_signature() {
        // given a faulty manifest that somebody else signed
        let text = "this is no manifest";
        let by = key(1).sign(b"another one").to_string();
        // then the signature is what is wrong with it
        let refused = open(&trust(""), "m", text.as_bytes(), Some(&by));
        assert_eq!(refused, Err(Refused::Forged(key(1).public().id())));
    }

    fn name(text: &str) -> ServiceName {
        ServiceName::new(text).unwrap()
    }

    #[test]
    fn what_is_too_old_or_another_vendors_is_not_installed() {
        let ours = key(1);
        let day = |text| calendar::day(text).unwrap();
        let trusted = trust("until = \"2036-01-01\"");
        let text = manifest("acme", "386", "expires = \"2030-01-01\"");
        let package = opened(&trusted, &text, &ours).unwrap();
        let known = |vendor: Option<&str>, floor: Option<&str>| Known {
            vendor: vendor.map(name),
            floor: floor.map(str::to_owned),
        };
        let nothing = Known::default();
        for (today, known, expected) in [
            ("2029-12-31", known(Some("acme"), Some("1.9")), Ok(())),
            ("2029-12-31", known(None, Some("1.10")), Ok(())),
            (
                "2030-01-01",
                nothing.clone(),
                Err(Refused::Expired(day("2030-01-01"))),
            ),
            (
                "2029-01-01",
                known(Some("other"), None),
                Err(Refused::Taken(name("other"))),
            ),
            (
                "2029-01-01",
                known(None, Some("1.11")),
                Err(Refused::Older {
                    version: "1.10".into(),
                    floor: "1.11".into(),
                }),
            ),
        ] {
            assert_eq!(may_install(&package, day(today), &known), expected);
        }
        let package = opened(&trusted, &manifest("acme", "386", ""), &ours).unwrap();
        let late = Refused::KeyExpired(ours.public().id(), day("2036-01-01"));
        assert_eq!(
            may_install(&package, day("2036-01-01"), &nothing),
            Err(late)
        );
    }

    proptest! {
        // Each case is a signature, slow without optimisation.
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn a_changed_manifest_never_opens(at in 0_usize..400, bit in 0_u8..8) {
            let mut text = manifest("acme", "386", "").into_bytes();
            let signature = key(1).sign(&text).to_string();
            let at = at % text.len();
            text[at] ^= 1 << bit;
            let refused = open(&trust(""), "m", &text, Some(&signature));
            prop_assert_eq!(refused, Err(Refused::Forged(key(1).public().id())));
        }
    }
}

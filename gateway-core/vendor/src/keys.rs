//! Keys and what is made with them.

use crate::files::{could_not, read, read_text, write};
use hearth_model::manifest::MANIFEST_MAX;
use hearth_model::{ServiceName, calendar};
use hearth_package::{PublicKey, SecretKey};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Longest text of a key, bytes.
const KEY_MAX: u64 = 4096;

/// Tries for a number that is a key; one in 2^32 is none.
const TRIES: usize = 4;

/// Makes a key.
pub fn make(file: &Path) -> Result<String, String> {
    let key = random().map_err(|why| format!("no key was made: {why}"))?;
    let pem = key.to_pem().map_err(|e| e.to_string())?;
    let new = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file);
    new.and_then(|mut new| new.write_all(pem.as_bytes()))
        .map_err(|e| could_not("make", file, &e))?;
    let public = public_of(file);
    let pem = key.public().to_pem().map_err(|e| e.to_string())?;
    write(&public, pem.as_bytes())?;
    Ok(format!(
        "key {} in {}; its public half is {}",
        key.public().id(),
        file.display(),
        public.display()
    ))
}

fn random() -> Result<SecretKey, String> {
    let mut source = File::open("/dev/urandom").map_err(|e| e.to_string())?;
    let mut last = String::new();
    for _ in 0..TRIES {
        let mut bytes = [0; 32];
        source.read_exact(&mut bytes).map_err(|e| e.to_string())?;
        match SecretKey::from_random(&bytes) {
            Ok(key) => return Ok(key),
            Err(e) => last = e.to_string(),
        }
    }
    Err(last)
}

fn public_of(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".pub");
    name.into()
}

/// A row for trust.toml.
pub fn trust_row(
    public: &Path,
    vendor: &ServiceName,
    names: &[ServiceName],
    until: Option<u64>,
) -> Result<String, String> {
    let key = PublicKey::from_pem(&read_text(public, KEY_MAX)?)
        .map_err(|e| format!("{}: {e}", public.display()))?;
    let mut row = format!("[[key]] # {}\nvendor = \"{vendor}\"\n", key.id());
    if !names.is_empty() {
        let names: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
        row.push_str(&format!("names = [{}]\n", names.join(", ")));
    }
    if let Some(day) = until {
        row.push_str(&format!("until = \"{}\"\n", calendar::day_text(day)));
    }
    let pem = key.to_pem().map_err(|e| e.to_string())?;
    row.push_str(&format!("public = \"\"\"\n{pem}\"\"\"\n"));
    Ok(row)
}

/// Signs a package.
pub fn sign(package: &Path, key: &Path) -> Result<String, String> {
    let secret = SecretKey::from_pem(&read_text(key, KEY_MAX)?)
        .map_err(|e| format!("{}: {e}", key.display()))?;
    let file = package.join("manifest.toml");
    let manifest = read(&file, MANIFEST_MAX as u64)?;
    let packed = core::str::from_utf8(&manifest)
        .is_ok_and(|text| text.lines().any(|line| line.starts_with("[package]")));
    if !packed {
        return Err(format!(
            "{} has no [package] section; run hearth-vendor pack first",
            file.display()
        ));
    }
    let signature = secret.sign(&manifest);
    write(
        &package.join("signature"),
        format!("{signature}\n").as_bytes(),
    )?;
    Ok(format!(
        "{} is signed with {}",
        package.display(),
        signature.key
    ))
}

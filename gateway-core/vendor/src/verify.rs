//! Checks what a gateway would check.

use crate::files::{could_not, read, read_text};
use hearth_model::manifest::{MANIFEST_MAX, Manifest};
use hearth_package::signature::SIGNATURE_MAX;
use hearth_package::trust::TRUST_MAX;
use hearth_package::verity::{BLOCK, Builder, tree_length};
use hearth_package::{Trust, open};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Checks a manifest; all faults at once.
pub fn lint(manifest: &Path) -> Result<String, String> {
    let text = read_text(manifest, MANIFEST_MAX as u64)?;
    let checked = Manifest::parse(&manifest.to_string_lossy(), &text).map_err(|e| e.to_string())?;
    Ok(format!(
        "{}: {} {} is good",
        manifest.display(),
        checked.name(),
        checked.version()
    ))
}

/// Checks a package.
pub fn verify(package: &Path, trust: &Path) -> Result<String, String> {
    let trust = Trust::parse(&trust.to_string_lossy(), &read_text(trust, TRUST_MAX)?)?;
    let file = package.join("manifest.toml");
    let manifest = read(&file, MANIFEST_MAX as u64)?;
    let signature = package.join("signature");
    let signature = match signature.exists() {
        true => Some(read_text(&signature, SIGNATURE_MAX as u64)?),
        false => None,
    };
    let opened = open(
        &trust,
        &file.to_string_lossy(),
        &manifest,
        signature.as_deref(),
    )
    .map_err(|refused| format!("{}: {refused}", package.display()))?;
    let image = package.join("image.squashfs");
    let sealed = opened.sealed();
    let failed = |e: std::io::Error| could_not("read", &image, &e);
    let mut file = File::open(&image).map_err(failed)?;
    let expected = sealed.size + tree_length(sealed.size);
    let length = file.metadata().map_err(failed)?.len();
    if length != expected {
        return Err(format!(
            "{} has {length} bytes instead of {expected}; get it again",
            image.display()
        ));
    }
    let mut builder = Builder::default();
    let mut block = vec![0; BLOCK];
    for _ in 0..sealed.size / BLOCK as u64 {
        file.read_exact(&mut block).map_err(failed)?;
        builder.update(&block).map_err(|e| e.to_string())?;
    }
    let tree = builder.finish().map_err(|e| e.to_string())?;
    let mut rest = Vec::new();
    file.read_to_end(&mut rest).map_err(failed)?;
    if tree.root != sealed.root_hash || tree.bytes != rest {
        return Err(format!(
            "{} was changed after it was signed; get it again",
            image.display()
        ));
    }
    Ok(format!(
        "{}: {} {} of {} is good",
        package.display(),
        opened.manifest().name(),
        opened.manifest().version(),
        sealed.vendor
    ))
}

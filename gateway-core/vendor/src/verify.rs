//! Checks what a gateway would check.

use crate::files::read_text;
use hearth_model::manifest::{MANIFEST_MAX, Manifest};
use hearth_package::trust::TRUST_MAX;
use hearth_package::{Trust, open};
use hearth_store::source::Source;
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
    let source = Source::open(package)?;
    let opened = open(
        &trust,
        "manifest.toml",
        &source.manifest,
        source.signature.as_deref(),
    )
    .map_err(|refused| format!("{}: {refused}", package.display()))?;
    source.copy_image(opened.sealed(), |_| Ok(()))?;
    Ok(format!(
        "{}: {} {} of {} is good",
        package.display(),
        opened.manifest().name(),
        opened.manifest().version(),
        opened.sealed().vendor
    ))
}

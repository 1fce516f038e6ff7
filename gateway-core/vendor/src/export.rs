//! A package as one OCI artifact: an image layout, as a folder or as a tar file, that skopeo and registries take.

use crate::files::could_not;
use hearth_model::manifest::Manifest;
use hearth_package::oci::{self, Artifact, Blob};
use hearth_package::tar::{UNIT, header};
use hearth_store::source::Source;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// Two empty headers end a tar file.
const TAR_END: usize = 2 * UNIT as usize;

/// Writes the layout of a signed package.
pub fn export(package: &Path, out: &Path) -> Result<String, String> {
    let source = Source::open(package)?;
    let signature = source.signature.clone().ok_or_else(|| {
        format!(
            "{} is not signed; hearth-vendor sign does it",
            package.display()
        )
    })?;
    let text = core::str::from_utf8(&source.manifest).map_err(|e| e.to_string())?;
    let named = package.join("manifest.toml");
    let manifest = Manifest::parse(&named.to_string_lossy(), text).map_err(|e| e.to_string())?;
    let sealed = manifest.sealed().ok_or_else(|| {
        format!(
            "{} was never packed; run hearth-vendor pack first",
            package.display()
        )
    })?;
    let mut image = Vec::new();
    source.copy_image(sealed, |piece| {
        image.extend_from_slice(piece);
        Ok(())
    })?;
    let artifact = Artifact {
        manifest: Blob::of(&source.manifest),
        image: Blob::of(&image),
        signature: Some(signature),
    };
    let files = oci::write(&manifest, &artifact).map_err(|e| e.to_string())?;
    let mut all: Vec<(String, &[u8])> = files
        .iter()
        .map(|(name, bytes)| (name.clone(), bytes.as_slice()))
        .collect();
    all.push((artifact.manifest.path(), &source.manifest));
    all.push((artifact.image.path(), &image));
    let written = match out.extension().is_some_and(|end| end == "tar") {
        true => tar(out, &all),
        false => folder(out, &all),
    };
    written.map_err(|e| could_not("write", out, &e))?;
    Ok(format!(
        "{} {} is in {}",
        manifest.name(),
        manifest.version(),
        out.display()
    ))
}

fn folder(out: &Path, files: &[(String, &[u8])]) -> io::Result<()> {
    fs::create_dir_all(out.join("blobs/sha256"))?;
    files
        .iter()
        .try_for_each(|(name, bytes)| fs::write(out.join(name), bytes))
}

fn tar(out: &Path, files: &[(String, &[u8])]) -> io::Result<()> {
    let mut file = io::BufWriter::new(File::create(out)?);
    for (name, bytes) in files {
        let header = header(name, bytes.len() as u64).ok_or(io::ErrorKind::InvalidInput)?;
        file.write_all(&header)?;
        file.write_all(bytes)?;
        let rest = bytes.len().next_multiple_of(UNIT as usize) - bytes.len();
        file.write_all(&vec![0; rest])?;
    }
    file.write_all(&[0; TAR_END])?;
    file.flush()
}

//! A package as one OCI artifact in an image layout (image-spec v1.1, image-layout.md and manifest.md), so that it can
//! be copied, kept and fetched by everything that knows OCI. The artifact's config is `manifest.toml`, its one layer the image
//! with its hash tree, and an annotation of the artifact has the signature. Nothing here is signed: it only says
//! where the three are, and what is signed is checked as if it had come in a folder.

use core::fmt;
use hearth_model::hex;
use hearth_model::manifest::Manifest;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// Name of the file that says that a folder is a layout.
pub const LAYOUT_FILE: &str = "oci-layout";
/// Its content.
pub const LAYOUT: &str = "{\"imageLayoutVersion\":\"1.0.0\"}";
/// Name of the file that names the artifact.
pub const INDEX_FILE: &str = "index.json";
/// Largest index and largest description of an artifact, bytes: ours have one.
pub const JSON_MAX: usize = 64 * 1024;

const INDEX_TYPE: &str = "application/vnd.oci.image.index.v1+json";
const ARTIFACT_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
/// What the artifact is.
const PACKAGE_TYPE: &str = "application/vnd.hearth.package.v1";
const MANIFEST_TYPE: &str = "application/vnd.hearth.manifest.v1+toml";
const IMAGE_TYPE: &str = "application/vnd.hearth.image.v1.squashfs+verity";
/// The annotation with the signature.
const SIGNATURE: &str = "vnd.hearth.signature";

/// A blob of a layout: bytes by their hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blob {
    /// SHA-256.
    pub hash: [u8; 32],
    /// Length, bytes.
    pub size: u64,
}

impl Blob {
    /// The blob of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Blob {
        Blob {
            hash: Sha256::digest(bytes).into(),
            size: bytes.len() as u64,
        }
    }

    /// Where it stands in a layout. Made of hexadecimal digits, it leads nowhere else.
    #[must_use]
    pub fn path(&self) -> String {
        format!("blobs/sha256/{}", hex::text(&self.hash))
    }

    /// Whether it is of these bytes.
    #[must_use]
    pub fn fits(&self, bytes: &[u8]) -> bool {
        *self == Blob::of(bytes)
    }
}

/// Why a layout has no package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoArtifact {
    /// A file of it makes no sense.
    Malformed(String),
    /// There is none, or there are several.
    Count(usize),
    /// It is something else, perhaps an image for containers.
    Other(String),
    /// It has another number of layers than one.
    Layers(usize),
    /// Something in it is named by what is no SHA-256.
    Digest(String),
}

impl fmt::Display for NoArtifact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoArtifact::Malformed(why) => write!(f, "it can not be read ({why}); get it again"),
            NoArtifact::Count(n) => write!(
                f,
                "it has {n} artifacts instead of one; copy one of them out (skopeo copy)"
            ),
            NoArtifact::Other(kind) => {
                write!(
                    f,
                    "it is of type {kind:?} and no package; its vendor makes one of it (hearth-vendor)"
                )
            }
            NoArtifact::Layers(n) => write!(f, "it has {n} layers instead of one; get it again"),
            NoArtifact::Digest(text) => write!(f, "{text:?} is no SHA-256; get it again"),
        }
    }
}

impl core::error::Error for NoArtifact {}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: String,
    digest: String,
    size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    artifact_type: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
}

impl Descriptor {
    fn of(blob: &Blob, media_type: &str) -> Descriptor {
        Descriptor {
            media_type: media_type.to_owned(),
            digest: format!("sha256:{}", hex::text(&blob.hash)),
            size: blob.size,
            artifact_type: None,
            annotations: BTreeMap::new(),
        }
    }

    fn blob(&self) -> Result<Blob, NoArtifact> {
        let digits = self.digest.strip_prefix("sha256:").and_then(hex::bytes);
        let hash = digits.and_then(|bytes| bytes.try_into().ok());
        hash.map(|hash| Blob {
            hash,
            size: self.size,
        })
        .ok_or_else(|| NoArtifact::Digest(self.digest.chars().take(80).collect()))
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Index {
    schema_version: u8,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    media_type: Option<String>,
    manifests: Vec<Descriptor>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Description {
    schema_version: u8,
    media_type: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    artifact_type: Option<String>,
    config: Descriptor,
    layers: Vec<Descriptor>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

/// Where a package's three parts are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    /// `manifest.toml`.
    pub manifest: Blob,
    /// The image with its tree.
    pub image: Blob,
    /// The text of the signature.
    pub signature: Option<String>,
}

fn json<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, NoArtifact> {
    let text = core::str::from_utf8(bytes).map_err(|e| NoArtifact::Malformed(e.to_string()))?;
    serde_json::from_str(text).map_err(|e| NoArtifact::Malformed(e.to_string()))
}

/// The artifact's description that an index names.
///
/// # Errors
/// [`NoArtifact`].
pub fn read_index(bytes: &[u8]) -> Result<Blob, NoArtifact> {
    let index: Index = json(bytes)?;
    match index.manifests.as_slice() {
        [one] if one.media_type == ARTIFACT_TYPE => one.blob(),
        [other] => Err(NoArtifact::Other(
            other.media_type.chars().take(80).collect(),
        )),
        several => Err(NoArtifact::Count(several.len())),
    }
}

/// What a description says.
///
/// # Errors
/// [`NoArtifact`].
pub fn read_description(bytes: &[u8]) -> Result<Artifact, NoArtifact> {
    let mut told: Description = json(bytes)?;
    if told.config.media_type != MANIFEST_TYPE {
        let kind = told.config.media_type.chars().take(80).collect();
        return Err(NoArtifact::Other(kind));
    }
    match told.layers.as_slice() {
        [image] if image.media_type == IMAGE_TYPE => Ok(Artifact {
            manifest: told.config.blob()?,
            image: image.blob()?,
            signature: told.annotations.remove(SIGNATURE),
        }),
        [other] => Err(NoArtifact::Other(
            other.media_type.chars().take(80).collect(),
        )),
        several => Err(NoArtifact::Layers(several.len())),
    }
}

/// The files of a layout but for the image and the manifest, each with its path; the same package always gets the same
/// bytes.
///
/// # Errors
/// [`NoArtifact::Malformed`]; no package is known that has no JSON.
pub fn write(
    manifest: &Manifest,
    artifact: &Artifact,
) -> Result<[(String, Vec<u8>); 3], NoArtifact> {
    let malformed = |e: serde_json::Error| NoArtifact::Malformed(e.to_string());
    let mut annotations = BTreeMap::from([
        (
            "org.opencontainers.image.title".to_owned(),
            manifest.name().to_string(),
        ),
        (
            "org.opencontainers.image.version".to_owned(),
            manifest.version().to_owned(),
        ),
    ]);
    if let Some(sealed) = manifest.sealed() {
        let vendor = sealed.vendor.to_string();
        annotations.insert("org.opencontainers.image.vendor".to_owned(), vendor);
    }
    if let Some(signature) = &artifact.signature {
        annotations.insert(SIGNATURE.to_owned(), signature.trim_end().to_owned());
    }
    let description = serde_json::to_vec(&Description {
        schema_version: 2,
        media_type: ARTIFACT_TYPE.to_owned(),
        artifact_type: Some(PACKAGE_TYPE.to_owned()),
        config: Descriptor::of(&artifact.manifest, MANIFEST_TYPE),
        layers: vec![Descriptor::of(&artifact.image, IMAGE_TYPE)],
        annotations,
    })
    .map_err(malformed)?;
    let blob = Blob::of(&description);
    let mut one = Descriptor::of(&blob, ARTIFACT_TYPE);
    one.artifact_type = Some(PACKAGE_TYPE.to_owned());
    let tag = "org.opencontainers.image.ref.name".to_owned();
    one.annotations.insert(tag, manifest.version().to_owned());
    let index = serde_json::to_vec(&Index {
        schema_version: 2,
        media_type: Some(INDEX_TYPE.to_owned()),
        manifests: vec![one],
    })
    .map_err(malformed)?;
    Ok([
        (LAYOUT_FILE.to_owned(), LAYOUT.as_bytes().to_vec()),
        (INDEX_FILE.to_owned(), index),
        (blob.path(), description),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(signature: Option<&str>) -> (Artifact, [(String, Vec<u8>); 3]) {
        let text = "[service]\nname = \"radio\"\nversion = \"1.0\"\nexec = [\"/radio\"]\n[resources.memory]\n\
                    max = \"8 MiB\"\n[resources.pids]\nmax = 4\n";
        let artifact = Artifact {
            manifest: Blob::of(text.as_bytes()),
            image: Blob::of(b"image"),
            signature: signature.map(str::to_owned),
        };
        let files = write(&Manifest::parse("m", text).unwrap(), &artifact).unwrap();
        (artifact, files)
    }

    #[test]
    fn what_is_written_is_read() {
        for signature in [None, Some("kind key signature")] {
            let (artifact, [_, (_, index), (path, description)]) = written(signature);
            let blob = read_index(&index).unwrap();
            assert_eq!(blob.path(), path);
            assert!(blob.fits(&description));
            assert_eq!(read_description(&description), Ok(artifact));
        }
    }

    #[test]
    fn what_is_something_else_is_told() {
        let (_, [_, (_, index), (_, description)]) = written(None);
        let (index, description) = (
            String::from_utf8(index).unwrap(),
            String::from_utf8(description).unwrap(),
        );
        let image = description.replace(MANIFEST_TYPE, "application/vnd.oci.image.config.v1+json");
        assert!(matches!(
            read_description(image.as_bytes()),
            Err(NoArtifact::Other(_))
        ));
        let compressed =
            description.replace(IMAGE_TYPE, "application/vnd.oci.image.layer.v1.tar+gzip");
        assert!(matches!(
            read_description(compressed.as_bytes()),
            Err(NoArtifact::Other(_))
        ));
        let tricky = index.replace("sha256:", "sha256:../../../");
        assert!(matches!(
            read_index(tricky.as_bytes()),
            Err(NoArtifact::Digest(_))
        ));
        let sha512 = index.replace("sha256:", "sha512:");
        assert!(matches!(
            read_index(sha512.as_bytes()),
            Err(NoArtifact::Digest(_))
        ));
        assert_eq!(
            read_index(b"{\"schemaVersion\":2,\"manifests\":[]}"),
            Err(NoArtifact::Count(0))
        );
        assert!(matches!(
            read_index(&index.as_bytes()[1..]),
            Err(NoArtifact::Malformed(_))
        ));
    }

    proptest! {
        #[test]
        fn any_change_is_read_or_refused_and_leads_nowhere(at in 0_usize..2000, byte: u8) {
            let (_, [_, (_, mut index), (_, mut description)]) = written(Some("s"));
            let place = at % index.len();
            index[place] = byte;
            if let Ok(blob) = read_index(&index) {
                let path = blob.path();
                prop_assert!(path.len() == 77 && !path.contains(".."));
            }
            let place = at % description.len();
            description[place] = byte;
            let _either = read_description(&description);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let _either = (read_index(&bytes), read_description(&bytes));
        }
    }
}

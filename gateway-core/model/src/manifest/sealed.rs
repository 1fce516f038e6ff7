//! `[package]`: what the packer adds to a manifest before it is signed. It binds the root image to the
//! manifest by the root of its hash tree, so that one signature covers both.

use super::fault::{Faults, shown};
use super::raw::Section;
use super::value;
use crate::ServiceName;
use crate::calendar;
use crate::hex;
use toml::de::DeValue;

/// Length of a block of the image and of its hash tree, bytes (dm-verity).
pub const IMAGE_BLOCK: u64 = 4096;

/// Largest root image, bytes: twice the data partition of QEMU's disk. Its hash tree has 1/127 of that.
pub const IMAGE_MAX: u64 = 1 << 30;

/// The processors that a gateway of this kind runs programs for, as OCI names them (GOARCH).
pub const ARCHITECTURE: &str = "386";

/// What was packed, and for whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// Whose name space the service's name is in. A key signs for one vendor only.
    pub vendor: ServiceName,
    /// For which processors; [`ARCHITECTURE`] on a gateway.
    pub architecture: String,
    /// Length of the root image without its hash tree, bytes: whole blocks, at most [`IMAGE_MAX`].
    pub size: u64,
    /// Root of its hash tree (dm-verity, version 1, SHA-256, without salt).
    pub root_hash: [u8; 32],
    /// The first day, in days since 1970 (UTC), on which it is not installed any more.
    pub expires: Option<u64>,
}

/// Reads the section; none where the file has none.
pub(super) fn sealed(mut table: Section<'_>, faults: &mut Faults) -> Option<Sealed> {
    if !table.is_there() {
        return None;
    }
    let vendor = table.required(faults, "vendor", "\"my-company\"", value::name);
    let architecture = table.required(faults, "architecture", "\"386\"", value::identifier);
    let size = table.required(faults, "size", "4096", size);
    let root_hash = table.required(faults, "root-hash", "\"64 hexadecimal digits\"", hash);
    let expires = table.optional(faults, "expires", day);
    table.finish(faults);
    Some(Sealed {
        vendor: vendor?.0,
        architecture: architecture?.0,
        size: size?.0,
        root_hash: root_hash?.0,
        expires: expires.map(|(day, _)| day),
    })
}

fn size(value: &DeValue<'_>) -> Result<u64, String> {
    let size = value::size(value)?.0;
    match size {
        IMAGE_BLOCK..=IMAGE_MAX if size.is_multiple_of(IMAGE_BLOCK) => Ok(size),
        _ => Err(format!(
            "{size} bytes are no image: whole blocks of {IMAGE_BLOCK} bytes, at most {IMAGE_MAX}; pack it again"
        )),
    }
}

fn hash(value: &DeValue<'_>) -> Result<[u8; 32], String> {
    let text = value::text(value)?;
    hex::bytes(text)
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| format!("{} is no hash: 64 of 0-9, a-f", shown(text)))
}

fn day(value: &DeValue<'_>) -> Result<u64, String> {
    let text = value::text(value)?;
    calendar::day(text).ok_or_else(|| format!("{} is no day; write \"2027-01-31\"", shown(text)))
}

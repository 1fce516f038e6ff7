//! What makes a package one that a gateway may run: `manifest.toml` is signed, byte for byte, by a key that
//! the gateway trusts for the vendor, and binds the root image by the root of its hash tree. Bytes and texts
//! in, decisions out: files, devices and clocks are its callers'.
//!
//! The order is the security property: [`open`] looks at the manifest's content only after its signature.
//! README.md beside this crate is the format.
#![forbid(unsafe_code)]

pub mod oci;
pub mod signature;
pub mod tar;
pub mod trust;
pub mod verdict;
pub mod verity;
pub mod version;

pub use signature::{KeyId, PublicKey, SecretKey, Signature};
pub use trust::Trust;
pub use verdict::{Known, Package, Refused, may_install, open};

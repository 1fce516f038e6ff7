//! Sizes, each with its reason.

/// Piece of an image that is read and written at once, bytes: whole blocks, and little of a small machine's memory.
pub const PIECE: usize = 256 * 1024;

/// What stays free of the data partition when a package is installed, bytes: the gateway's own state and logs.
pub const SPACE_KEPT: u64 = 8 << 20;

/// Largest file of highest versions, bytes: thousands of services.
pub const VERSIONS_MAX: u64 = 1 << 20;

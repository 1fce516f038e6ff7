//! The life of a service, as far as its state does not tell it.

use serde::{Deserialize, Serialize};

/// What a service waits for, what it says of itself, what it needs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct LifeJson {
    /// What its start or end waits for, behind "it waits": `until it listens at tcp 80, at most 30 s`;
    /// `None` where it waits for nothing that is known.
    pub waits: Option<String>,
    /// The last `STATUS=` that this run said at its notify socket (sd_notify(3)); `None` where it said
    /// nothing. It is the service's own word.
    pub says: Option<String>,
    /// Services that must be Active for it (`service.needs`).
    pub needs: Vec<String>,
}

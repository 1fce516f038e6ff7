//! What is wrong, as `GET /v1/doctor` tells it.

use serde::{Deserialize, Serialize};

/// What is wrong with this gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct Doctor {
    /// Whether nothing is.
    pub well: bool,
    /// The one thing that is wrong, from which other failures may follow.
    pub cause: Option<String>,
    /// What to do about it.
    pub advice: Option<String>,
    /// Each check, in order.
    pub checks: Vec<Check>,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
pub struct Check {
    /// `link`, `address`, `dns`, `wan`, `nat`, `services`, `congestion`, `storage` or `time`.
    pub name: String,
    /// How it came out.
    pub outcome: Outcome,
    /// What was found, one sentence.
    pub text: String,
}

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// As it should be.
    Good,
    /// Not as it should be.
    Failed,
}

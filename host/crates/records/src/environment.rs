//! Environments and their variables, as they are stored.

use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// An environment as it is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvironmentRecord {
    /// What names it in a URL (PW-10).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url_prefix: Option<String>,
    /// What tells it from one of the same name that was removed; `None` for one of before this was noted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_at: Option<Timestamp>,
    pub updated_at: Timestamp,
}

/// A variable as it is stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VarRecord {
    pub value: Value,
    pub updated_at: Timestamp,
}

//! Tokens of the API.

use crate::name::Name;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// What the owner of a token may do; each can do what the ones before it can.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// Read everything but secrets.
    Viewer,
    /// Deploy flows and plugins, set secrets, act on executions.
    Author,
    /// Make and remove tokens, and choose any workspace.
    Admin,
}

/// A token as it is stored: never the token itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRecord {
    /// SHA-256 of the token, in hexadecimal.
    pub hash: String,
    pub name: String,
    pub access: Access,
    /// The workspace that it opens.
    pub workspace: Name,
    pub created_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

impl TokenRecord {
    /// What names the token in lists: the beginning of its hash, which tells nothing of it.
    pub fn id(&self) -> &str {
        self.hash.get(..12).unwrap_or_default()
    }
}

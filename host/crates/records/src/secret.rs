//! Secrets as they are stored: sealed.

use crate::name::Name;
use crate::time::Timestamp;
use serde::Serialize;

/// A secret as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct SecretRecord {
    /// Base64 of nonce, AES-256-GCM ciphertext and tag; workspace and name are authenticated with it.
    pub sealed: String,
    pub updated_at: Timestamp,
    #[serde(default = "first")]
    pub version: u32,
    /// Newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub previous: Vec<PreviousVersion>,
}

/// An earlier value of a secret as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct PreviousVersion {
    /// As the record's own.
    pub sealed: String,
    pub version: u32,
    /// Until when it counts.
    pub until: Timestamp,
}

fn first() -> u32 {
    1
}

/// What separates the environment from the name of a secret; no name has it.
const SEPARATOR: char = ':';

/// The name under which the secret of an environment is kept.
pub fn name_in(environment: &Name, name: &str) -> String {
    if *environment == Name::default_name() { name.to_owned() } else { format!("{environment}{SEPARATOR}{name}") }
}

/// Whether a text can name a secret: 1 to 64 letters, digits and `_`.
pub fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// The environment and the name of what is kept under a name.
pub fn parts(name: &str) -> (&str, &str) {
    name.split_once(SEPARATOR).unwrap_or(("default", name))
}

//! Plugins as they are stored, and what they can be asked to do.

use crate::name::Name;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What a plugin can be asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Proves who called.
    Verifier,
    /// Turns the body into data.
    Parser,
    /// Decides whether a callback counts.
    Condition,
    /// Does one piece of work inside a flow.
    Step,
    /// Builds the answer.
    Responder,
}

impl Role {
    pub const ALL: [Self; 5] = [Self::Verifier, Self::Parser, Self::Condition, Self::Step, Self::Responder];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Verifier => "verifier",
            Self::Parser => "parser",
            Self::Condition => "condition",
            Self::Step => "step",
            Self::Responder => "responder",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a version is written in that is kept as its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Language {
    /// JavaScript.
    Js,
}

impl Language {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Js => "js",
        }
    }
}

/// A plugin as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginRecord {
    pub name: Name,
    /// The version that is called.
    pub active: u32,
    /// Oldest first.
    pub versions: Vec<VersionRecord>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde wants")]
fn is_none(count: &u32) -> bool {
    *count == 0
}

/// One immutable version of a plugin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct VersionRecord {
    pub version: u32,
    /// SHA-256 of the component, or of the source, in hexadecimal.
    pub digest: String,
    /// What it is written in, where its source is what is kept; absent for a component.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub language: Option<Language>,
    pub roles: Vec<Role>,
    /// The interfaces that it imports.
    pub imports: Vec<String>,
    /// How many cases it passed, when it was uploaded, that it brought along.
    #[serde(default, skip_serializing_if = "is_none")]
    pub vectors: u32,
    pub size_bytes: u64,
    /// Whether it was uploaded under the limits for large plugins.
    pub large: bool,
    #[schema(value_type = String, format = DateTime)]
    pub uploaded_at: Timestamp,
}

impl VersionRecord {
    /// The name of its file.
    pub fn file_name(&self) -> String {
        file_name(&self.digest, self.language)
    }
}

/// The name of a file that has this digest.
pub fn file_name(digest: &str, language: Option<Language>) -> String {
    let extension = language.map_or("wasm", Language::as_str);
    format!("{digest}.{extension}")
}

//! Plugins: components that users upload, checked, compiled, and called in a sandbox with hard limits.

mod bindings;
mod cache;
mod call;
mod compile;
mod component;
mod engine;
mod error;
mod host;
mod limits;
mod outbound;
mod registry;
mod scan;
mod share;
mod turns;

pub use call::{Subject, VerifierVerdict};
pub use compile::child_main;
pub use engine::wasmtime_version;
pub use error::{CallError, UploadError};
pub use limits::{CallLimits, Limits};
pub use outbound::Outbound;
pub use registry::{PluginRecord, Plugins, RegistryError, Settings, VersionRecord, default_compiler};

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

/// What is done with an uploaded file before it is compiled, on any bytes.
#[cfg(fuzzing)]
pub fn fuzz(bytes: &[u8]) {
    let scanned = scan::scan(bytes, &limits::NORMAL);
    if let Ok(scan::Form::Module) = scanned
        && let Ok(component) = component::componentize(bytes)
    {
        let _ = scan::scan(&component, &limits::NORMAL);
    }
    let refused = scanned.err().map(|error| error.to_string()).unwrap_or_default();
    assert!(!refused.contains('\n') && refused.len() < 2000, "a refusal is one line: {refused}");
}

//! Plugins: components that users upload, checked, compiled, and called in a sandbox with hard limits.

mod bindings;
mod cache;
mod call;
mod circuit;
mod compile;
mod component;
mod engine;
mod error;
mod exports;
mod host;
mod image;
mod images;
mod interface;
mod limits;
mod link;
mod sandbox;
mod scan;
mod script;
mod share;
mod subject;
mod turns;
mod upload;
mod vectors;
mod version;

pub use call::Schemas;
pub use compile::{Job, child_main};
pub use engine::wasmtime_version;
pub use error::{CallError, UploadError};
pub use host::{InMemoryState, State, StateError};
pub use limits::{CallLimits, Limits};
pub use sandbox::{Sandbox, SetUpError, Settings, default_compiler};
pub use subject::Subject;
pub use upload::Upload;
pub use vectors::Tried;
pub use version::{Decided, VerifierVerdict, Version};

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

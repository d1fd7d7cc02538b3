use serde_json::Value;
use std::fmt;

/// Why a plugin could not do its work. A failure is not a decision: it ends the callback with an error status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// A stable code in kebab-case, at most 64 bytes.
    pub code: String,
    /// One sentence for the operator, kept in the trace and never shown to the caller.
    pub message: String,
    /// True when the same call may succeed later without any change.
    pub retryable: bool,
    /// The place in the configuration that it is about, as a JSON Pointer such as `/rules/0/path`.
    pub pointer: Option<String>,
    /// More for whoever looks into it, kept in the trace where it has at most 4 KiB.
    pub detail: Option<Box<Value>>,
}

impl Failure {
    /// A failure that will not go away by itself.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), retryable: false, pointer: None, detail: None }
    }

    /// The same failure, marked as one that may go away by itself.
    #[must_use]
    pub fn retryable(mut self) -> Self {
        self.retryable = true;
        self
    }

    /// The same failure, about this place in the configuration: a JSON Pointer such as `/rules/0/path`.
    #[must_use]
    pub fn at(mut self, pointer: impl Into<String>) -> Self {
        self.pointer = Some(pointer.into());
        self
    }

    /// The same failure, with more for whoever looks into it.
    #[must_use]
    pub fn detail(mut self, detail: Value) -> Self {
        self.detail = Some(Box::new(detail));
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for Failure {}

#[cfg(target_arch = "wasm32")]
mod wire {
    use super::Failure;
    use crate::bindings::imports::ringback::plugin::types;

    impl From<types::Failure> for Failure {
        fn from(failure: types::Failure) -> Self {
            let types::Failure { code, message, retryable, pointer, detail } = failure;
            let detail = detail.and_then(|detail| serde_json::from_str(&detail).ok());
            Self { code, message, retryable, pointer, detail }
        }
    }

    impl From<Failure> for types::Failure {
        fn from(failure: Failure) -> Self {
            let Failure { code, message, retryable, pointer, detail } = failure;
            Self { code, message, retryable, pointer, detail: detail.map(|detail| detail.to_string()) }
        }
    }
}

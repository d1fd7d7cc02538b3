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
}

impl Failure {
    /// A failure that will not go away by itself.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), retryable: false }
    }

    /// The same failure, marked as one that may go away by itself.
    #[must_use]
    pub fn retryable(mut self) -> Self {
        self.retryable = true;
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
            let types::Failure { code, message, retryable } = failure;
            Self { code, message, retryable }
        }
    }

    impl From<Failure> for types::Failure {
        fn from(failure: Failure) -> Self {
            let Failure { code, message, retryable } = failure;
            Self { code, message, retryable }
        }
    }
}

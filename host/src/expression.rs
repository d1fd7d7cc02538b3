//! The languages inside a flow: CEL for conditions and values, JSONPath for picks, `${{ … }}` in texts.
//!
//! Everything is compiled when a flow is deployed, and refused then if it could cost without bound.

mod cel;
mod jsonpath;
mod scope;
mod template;

pub use cel::Cel;
pub use jsonpath::JsonPath;
pub use scope::{Scope, ScopeOfExecution};
pub use template::Template;

/// Why an expression was refused when it was compiled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CompileError {
    pub message: String,
    /// Characters from the beginning of the expression to the mistake, where it is known.
    pub offset: Option<usize>,
}

impl CompileError {
    fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), offset: None }
    }
}

/// Why an expression had no value for this callback or execution.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{source_text}`: {message}")]
pub struct EvaluationError {
    pub source_text: String,
    pub message: String,
}

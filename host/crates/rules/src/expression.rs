//! The languages inside a flow: CEL for conditions and values, JSONPath for picks, `${{ … }}` in texts.
//!
//! Everything is compiled when a flow is deployed, and refused then if it could cost without bound.

mod budget;
mod cel;
mod jsonpath;
pub mod scope;
mod secrets;
mod template;

pub use budget::Budget;
pub use cel::{Cel, Reference, Truth, is_keyword, is_type_name};
pub use jsonpath::JsonPath;
pub use scope::{Activation, Scope, ScopeOfExecution};
pub use secrets::{ScopeOfSecrets, VALUE_BYTES_MIN};
pub use template::{Template, as_text};

use ringback_records::stop::Stop;

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
#[error("`{source_text}`: {problem}")]
pub struct EvaluationError {
    pub source_text: String,
    pub problem: Problem,
}

impl EvaluationError {
    /// Stable: `expression_failed`, or `expression_limit` when it would have taken more time or memory than it may.
    pub fn code(&self) -> &'static str {
        match self.problem {
            Problem::Absent(_) | Problem::Wrong(_) => "expression_failed",
            Problem::Limit(_) => "expression_limit",
        }
    }
}

/// What was wrong with an evaluation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// It asks for something that is not there.
    #[error("there is no `{0}`; has() tells whether there is, and `.?` goes on without it")]
    Absent(String),
    #[error("{0}")]
    Wrong(String),
    #[error("{0}")]
    Limit(&'static str),
}

impl From<&EvaluationError> for Stop {
    fn from(error: &EvaluationError) -> Self {
        Self::failed(500, error.code(), "The flow could not evaluate this callback.", error.to_string())
    }
}

//! CEL, the Common Expression Language: conditions and values.
//!
//! The values that an expression looks at stay where they are, and what it makes is counted, so that no expression takes
//! more time or memory than it may; no library for CEL does that. What is in `conformance` of the tests is CEL's own data.

mod compile;
mod evaluate;
mod functions;
mod meter;
mod syntax;
mod time;
mod value;

pub use compile::Reference;
pub(super) use meter::Meter;
pub use syntax::is_keyword;
pub(super) use syntax::length_before_braces;
pub(super) use value::{Val, compare};

use super::{Budget, CompileError, EvaluationError, Problem, Scope, ScopeOfSecrets};
use compile::Compiled;
use evaluate::Evaluation;
use serde_json::Value;
use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Range;
use value::{Text, Type};

/// Longest source, in bytes: enough for anything a person reads.
const SOURCE_BYTES_MAX: usize = 4096;
/// Most characters of a value that are quoted in an error.
const QUOTED_MAX: usize = 60;

/// A compiled CEL expression.
#[derive(Debug)]
pub struct Cel {
    source: String,
    compiled: Compiled,
}

/// What a condition says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Truth {
    True,
    False,
    /// It asks about something that is not there: what.
    Absent(String),
}

impl Cel {
    /// Compiles an expression and refuses what could cost without bound.
    ///
    /// # Errors
    ///
    /// The first mistake, with its place.
    pub fn compile(source: &str) -> Result<Self, CompileError> {
        if source.trim().is_empty() {
            return Err(CompileError::new("the expression is empty"));
        }
        if source.len() > SOURCE_BYTES_MAX {
            return Err(CompileError::new(format!("the expression is longer than {SOURCE_BYTES_MAX} bytes")));
        }
        let ast = syntax::parse(source)?;
        let compiled = compile::compile(source, &ast)?;
        Ok(Self { source: source.to_owned(), compiled })
    }

    pub fn source(&self) -> &str {
        &self.source
    }

    /// The names of the scope that the expression uses. One of a type, such as `int`, means that where the scope has none.
    pub fn names(&self) -> &[String] {
        &self.compiled.names
    }

    pub fn names_secrets(&self) -> bool {
        self.names().iter().any(|name| name == "secrets")
    }

    /// The names with the members that are taken of them.
    pub fn references(&self) -> &[Reference] {
        &self.compiled.references
    }

    /// The value of the expression.
    ///
    /// # Errors
    ///
    /// A name, a member or an operation that does not exist for these values; or too much work.
    pub fn evaluate(&self, scope: &Scope<'_>) -> Result<Value, EvaluationError> {
        self.execute(scope, |value, meter| value.to_json(meter))
    }

    /// The value of the expression as a text: a text as it is, anything else as JSON.
    ///
    /// # Errors
    ///
    /// As [`evaluate`](Self::evaluate).
    pub fn evaluate_text(&self, scope: &Scope<'_>) -> Result<String, EvaluationError> {
        self.execute(scope, |value, meter| text(&value, meter))
    }

    /// The same, with whether the value is null or an empty text.
    ///
    /// # Errors
    ///
    /// As [`evaluate`](Self::evaluate).
    pub fn evaluate_text_or_nothing(&self, scope: &Scope<'_>) -> Result<(String, bool), EvaluationError> {
        self.execute(scope, |value, meter| {
            let text = text(&value, meter)?;
            let is_null = matches!(value, Val::Null | Val::Optional(None));
            let is_nothing = is_null || text.is_empty();
            Ok((text, is_nothing))
        })
    }

    /// The value of the expression, written as JSON.
    ///
    /// # Errors
    ///
    /// As [`evaluate`](Self::evaluate).
    pub fn evaluate_json(&self, scope: &Scope<'_>) -> Result<String, EvaluationError> {
        self.execute(scope, |value, meter| json_text(&value, meter))
    }

    /// What the expression says as a condition.
    ///
    /// # Errors
    ///
    /// As [`evaluate`](Self::evaluate), and when the value is not a boolean; but something that is not there is no error.
    pub fn truth(&self, scope: &Scope<'_>) -> Result<Truth, EvaluationError> {
        let decided = self.execute(scope, |value, _| match value {
            Val::Bool(true) => Ok(Truth::True),
            Val::Bool(false) => Ok(Truth::False),
            other => Err(Fail::wrong(format!(
                "the value is of type {}, but a condition must be true or false",
                other.kind().as_str()
            ))),
        });
        match decided {
            Err(EvaluationError { problem: Problem::Absent(what), .. }) => Ok(Truth::Absent(what)),
            decided => decided,
        }
    }

    fn execute<T>(
        &self,
        scope: &Scope<'_>,
        finish: impl FnOnce(Val<'_>, &mut Meter) -> Result<T, Fail>,
    ) -> Result<T, EvaluationError> {
        let own = Budget::default();
        let budget = scope.budget.unwrap_or(&own);
        let start = budget.meter();
        let secrets = scope.secrets.filter(|_| self.names_secrets());
        let mut evaluation = self.evaluation(start, |name| scope.value(name));
        evaluation.pieces = secrets.map(|_| HashSet::new());
        let result = evaluation.evaluate(&self.compiled.node);
        let result = result.and_then(|value| finish(value, &mut evaluation.meter));
        budget.spend(evaluation.meter.used(&start));
        if let (Some(secrets), Some(pieces)) = (secrets, evaluation.pieces) {
            secrets.note(self.derived(pieces, scope, secrets));
        }
        result.map_err(|fail| self.error(fail))
    }

    fn evaluation<'a>(&'a self, meter: Meter, value: impl Fn(&str) -> Option<Val<'a>>) -> Evaluation<'a> {
        let names = self.compiled.names.iter().map(|name| value(name)).collect();
        Evaluation { names, known: &self.compiled.names, locals: Vec::new(), meter, pieces: None }
    }

    /// Of what was come across, what would not have been with other secrets, and does not stand in the expression.
    fn derived(&self, mut pieces: HashSet<Vec<u8>>, scope: &Scope<'_>, secrets: &ScopeOfSecrets) -> HashSet<Vec<u8>> {
        let with_others = |name: &str| match name {
            "secrets" => Some(Val::json(secrets.others())),
            name => scope.value(name),
        };
        let mut evaluation = self.evaluation(Budget::default().meter(), with_others);
        evaluation.pieces = Some(HashSet::new());
        // It may well fail with others: then less is known to be none of them.
        let _ = evaluation.evaluate(&self.compiled.node);
        let others = evaluation.pieces.unwrap_or_default();
        let is_written = |piece: &[u8]| {
            let piece = std::str::from_utf8(piece).unwrap_or_default();
            ['"', '\''].iter().any(|quote| self.source.contains(&format!("{quote}{piece}{quote}")))
        };
        pieces.retain(|piece| !others.contains(piece) && !is_written(piece));
        pieces
    }

    /// The error that a person reads. Where secrets are used, no value is quoted: it may come from one.
    fn error(&self, fail: Fail) -> EvaluationError {
        let quotes = !self.names_secrets();
        let problem = match fail {
            Fail::Absent(name) => Problem::Absent(name),
            Fail::AbsentAt(at) => Problem::Absent(self.source.get(at).unwrap_or_default().to_owned()),
            Fail::Wrong { message, about: Some(about) } if quotes => {
                let about: String = about.chars().take(QUOTED_MAX).collect();
                Problem::Wrong(format!("{message}: {about:?}"))
            }
            Fail::Wrong { message, .. } => Problem::Wrong(message.into_owned()),
            Fail::Limit(message) => Problem::Limit(message),
        };
        EvaluationError { source_text: self.source.clone(), problem }
    }
}

fn text(value: &Val<'_>, meter: &mut Meter) -> Result<String, Fail> {
    match value {
        Val::Text(text) => {
            meter.bytes(text.len())?;
            Ok(text.to_string())
        }
        value if matches!(value.kind(), Type::List | Type::Map) => json_text(value, meter),
        value => {
            let json = value.to_json(meter)?;
            let text = if let Value::String(text) = json { text } else { json.to_string() };
            meter.bytes(text.len())?;
            Ok(text)
        }
    }
}

fn json_text(value: &Val<'_>, meter: &mut Meter) -> Result<String, Fail> {
    let mut text = String::new();
    value.write_json(&mut text, meter)?;
    Ok(text)
}

/// Whether a name means a type where the scope has no such name.
pub fn is_type_name(name: &str) -> bool {
    Type::of_name(name).is_some()
}

/// Why an evaluation ended without a value.
#[derive(Debug)]
enum Fail {
    /// There is no such name.
    Absent(String),
    /// There is nothing at this part of the source.
    AbsentAt(Range<usize>),
    Wrong {
        message: Cow<'static, str>,
        /// The value that it is about.
        about: Option<String>,
    },
    /// It would take more than it may.
    Limit(&'static str),
}

impl Fail {
    fn wrong(message: impl Into<Cow<'static, str>>) -> Self {
        Self::Wrong { message: message.into(), about: None }
    }

    const fn wrong_static(message: &'static str) -> Self {
        Self::Wrong { message: Cow::Borrowed(message), about: None }
    }

    fn about(message: &'static str, text: &Text<'_>) -> Self {
        Self::Wrong { message: message.into(), about: Some(text.chars().take(QUOTED_MAX).collect()) }
    }

    /// What it is about is quoted only where no secret is used.
    fn quoting(message: &'static str, about: impl ToString) -> Self {
        Self::Wrong { message: message.into(), about: Some(about.to_string()) }
    }

    fn no_members(kind: Type, name: &str) -> Self {
        Self::wrong(format!("a {} has no member `{name}`", kind.as_str()))
    }
}

#[cfg(test)]
mod conformance;

#[cfg(test)]
mod tests;

//! By what a callback finds the execution that it is for: a key that both say.

use crate::expression::{Cel, EvaluationError, Problem, Scope};
use ringback_records::stop::Stop;
use serde_json::{Number, Value};
use std::fmt;
use std::time::Duration;

/// Longest key, in bytes.
pub const KEY_BYTES_MAX: usize = 256;
/// Whole numbers up to this are told apart as they are calculated with.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

/// The `correlate` of a trigger.
#[derive(Debug)]
pub struct Correlate {
    /// What a callback says.
    pub callback: Cel,
    /// What an execution waits for.
    pub execution: Cel,
    pub many: Many,
    pub otherwise: Otherwise,
}

/// For whom a callback is, when several wait for its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Many {
    /// The one that has waited longest and whose condition is true.
    Oldest,
    All,
    /// For nobody: it is refused.
    Refuse,
}

/// What becomes of a callback for whose key nobody waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Otherwise {
    /// It is kept for who does next, if the trigger keeps any.
    Keep,
    /// It starts an execution.
    Start,
}

/// The `order` or `concurrency` of a trigger that starts executions.
#[derive(Debug)]
pub struct Concurrency {
    /// What they are told apart by; all are the same where there is none.
    pub key: Option<Cel>,
    /// So many of a key at a time.
    pub limit: usize,
    pub on_full: OnFull,
    /// How long a callback waits for its turn.
    pub ttl: Duration,
}

/// What becomes of a callback when as many executions of its key are there as may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnFull {
    /// It is kept, and starts one when it is its turn.
    Wait,
    /// It is ignored.
    Skip,
    /// The one that began first is cancelled.
    CancelOldest,
}

impl Concurrency {
    /// The key of a callback; an empty one where all are the same.
    ///
    /// # Errors
    ///
    /// It says none, or the expression failed.
    pub fn of_callback(&self, scope: &Scope<'_>) -> Result<String, Stop> {
        match &self.key {
            None => Ok(String::new()),
            Some(cel) => key(cel, scope).map_err(|error| error.stop(cel)),
        }
    }
}

/// Why a value is no key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoKey {
    Absent(String),
    Null,
    Empty,
    TooLong(usize),
    Kind(&'static str),
}

impl NoKey {
    pub fn code(&self) -> &'static str {
        match self {
            Self::Absent(_) => "key_absent",
            Self::Null => "key_null",
            Self::Empty => "key_empty",
            Self::TooLong(_) => "key_too_long",
            Self::Kind(_) => "key_not_text",
        }
    }

    fn detail(&self) -> &'static str {
        match self {
            Self::Absent(_) => "The callback does not say whom it is for: what is its key is not there.",
            Self::Null => "The callback does not say whom it is for: what is its key is null.",
            Self::Empty => "The callback does not say whom it is for: what is its key is an empty text.",
            Self::TooLong(_) => "What is the key of the callback is longer than 256 bytes.",
            Self::Kind(_) => "What is the key of the callback is neither a text nor a whole number.",
        }
    }
}

impl fmt::Display for NoKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent(what) => write!(f, "there is no `{what}`"),
            Self::Null => f.write_str("it is null"),
            Self::Empty => f.write_str("it is an empty text"),
            Self::TooLong(bytes) => write!(f, "it has {bytes} bytes, and a key has at most {KEY_BYTES_MAX}"),
            Self::Kind(kind) => write!(f, "it is {kind}, and a key is a text or a whole number"),
        }
    }
}

/// Why there is no key.
#[derive(Debug)]
pub enum KeyError {
    None(NoKey),
    Evaluation(EvaluationError),
}

impl KeyError {
    /// What the caller is told.
    pub fn stop(&self, cel: &Cel) -> Stop {
        match self {
            Self::None(problem) => {
                let reason = format!("the callback has no key: `{}`: {problem}", cel.source());
                Stop::refused(422, problem.code(), problem.detail(), reason)
            }
            Self::Evaluation(error) => Stop::from(error),
        }
    }
}

impl Correlate {
    /// The key that a callback says.
    ///
    /// # Errors
    ///
    /// It says none, or the expression failed.
    pub fn of_callback(&self, scope: &Scope<'_>) -> Result<String, KeyError> {
        key(&self.callback, scope)
    }

    /// The key that an execution waits for.
    ///
    /// # Errors
    ///
    /// It has none, or the expression failed.
    pub fn of_execution(&self, scope: &Scope<'_>) -> Result<String, KeyError> {
        key(&self.execution, scope)
    }
}

/// The key that an expression comes to.
///
/// # Errors
///
/// Its value is no key, or it has none.
pub fn key(cel: &Cel, scope: &Scope<'_>) -> Result<String, KeyError> {
    let value = cel.evaluate(scope).map_err(|error| match error.problem {
        Problem::Absent(what) => KeyError::None(NoKey::Absent(what)),
        _ => KeyError::Evaluation(error),
    })?;
    key_of(value).map_err(KeyError::None)
}

/// Who writes 5 and who writes "5" means the same: forms and queries have no numbers, and JSON of different makers differs.
fn key_of(value: Value) -> Result<String, NoKey> {
    let text = match value {
        Value::Null => return Err(NoKey::Null),
        Value::String(text) => text,
        Value::Number(number) => whole(&number).ok_or(NoKey::Kind("a number with a fraction"))?,
        Value::Bool(_) => return Err(NoKey::Kind("a truth value")),
        Value::Array(_) => return Err(NoKey::Kind("a list")),
        Value::Object(_) => return Err(NoKey::Kind("an object")),
    };
    match text.len() {
        0 => Err(NoKey::Empty),
        1..=KEY_BYTES_MAX => Ok(text),
        bytes => Err(NoKey::TooLong(bytes)),
    }
}

/// The digits of a whole number, however it is written.
fn whole(number: &Number) -> Option<String> {
    let text = number.to_string();
    let digits = text.strip_prefix('-').unwrap_or(&text);
    if digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(if digits == "0" { digits.to_owned() } else { text });
    }
    let value = number.as_f64().filter(|value| value.fract() == 0.0 && value.abs() <= WHOLE_MAX)?;
    // So that minus zero is zero.
    Some(format!("{:.0}", value + 0.0))
}

#[cfg(test)]
mod tests {
    use super::{KEY_BYTES_MAX, NoKey, key_of};
    use ringback_records::json;
    use serde_json::Value;

    #[test]
    fn a_key_is_a_text_or_a_whole_number_however_it_is_written() {
        let key = |text: &str| key_of(json::from_own::<Value>(text.as_bytes()).unwrap());
        for (text, no_key) in [
            ("null", NoKey::Null),
            ("\"\"", NoKey::Empty),
            ("true", NoKey::Kind("a truth value")),
            ("[5]", NoKey::Kind("a list")),
            ("{}", NoKey::Kind("an object")),
            ("5.5", NoKey::Kind("a number with a fraction")),
            ("1e300", NoKey::Kind("a number with a fraction")),
        ] {
            assert_eq!(key(text), Err(no_key), "{text}");
        }
        assert_eq!(key_of("x".repeat(KEY_BYTES_MAX + 1).into()), Err(NoKey::TooLong(KEY_BYTES_MAX + 1)));
        assert_eq!(key_of("x".repeat(KEY_BYTES_MAX).into()).unwrap().len(), KEY_BYTES_MAX);
        for (text, expected) in [
            ("5", "5"),
            ("\"5\"", "5"),
            ("5.0", "5"),
            ("5e2", "500"),
            ("-0", "0"),
            ("-0.0", "0"),
            ("-7", "-7"),
            ("\"05\"", "05"),
            ("\" 5\"", " 5"),
            ("\"É\"", "É"),
            ("123456789012345678901234567890", "123456789012345678901234567890"),
        ] {
            assert_eq!(key(text).as_deref(), Ok(expected), "{text}");
        }
    }
}

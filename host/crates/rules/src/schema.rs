//! JSON Schema (2020-12), for configurations of plugins and for the data of callbacks. Nobody vouches for a schema: it is compiled
//! once, what a check does is counted, its patterns are those of a library that takes linear time, and nothing is fetched.

mod check;
mod compile;
mod numbers;
mod words;

use check::Checking;
use compile::Compiled;
use serde_json::Value;
use std::sync::Arc;

/// How much may be done in one check of a configuration: a unit is what a schema costs that says little of a small value.
const COST_MAX: usize = 100_000;
/// And in one of data, which may be large.
const DATA_COST_MAX: usize = 2_000_000;

/// A schema.
#[derive(Clone, Debug)]
pub struct Schema {
    value: Arc<Value>,
    compiled: Arc<Compiled>,
}

/// Where a value does not fit, as a JSON Pointer into it, by which keyword, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    pub pointer: String,
    /// Empty where the check was given up, since it would take too long.
    pub keyword: &'static str,
    pub detail: String,
}

/// What is wrong in a schema, where, as a JSON Pointer into it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    pub pointer: String,
    pub detail: String,
}

impl Schema {
    /// Takes a schema. What is not known here, and patterns that cannot be taken, are not checked.
    ///
    /// # Errors
    ///
    /// It is none, in words that go on after "it".
    pub fn new(value: Value) -> Result<Self, String> {
        if !value.is_object() && !value.is_boolean() {
            return Err("is no object".to_owned());
        }
        let compiled = compile::compile(&value);
        if let Some(missing) = compiled.missing.first() {
            return Err(format!("refers to `{}`, which it does not have", words::shown(missing)));
        }
        Ok(Self { value: Arc::new(value), compiled: Arc::new(compiled) })
    }

    /// Takes a schema of which everything is to be checked that it says.
    ///
    /// # Errors
    ///
    /// All that is wrong in it: what has another form than its keyword has, a reference that leads nowhere or elsewhere, a pattern
    /// that cannot be taken.
    pub fn strict(value: Value) -> Result<Self, Vec<Flaw>> {
        if !value.is_object() && !value.is_boolean() {
            let detail = "a schema is an object, or true or false".to_owned();
            return Err(vec![Flaw { pointer: String::new(), detail }]);
        }
        let mut compiled = compile::compile(&value);
        if compiled.flaws.is_empty() {
            Ok(Self { value: Arc::new(value), compiled: Arc::new(compiled) })
        } else {
            Err(std::mem::take(&mut compiled.flaws))
        }
    }

    /// Where a keyword has another form than it has in 2020-12, and which it has: the first.
    pub fn malformed(&self) -> Option<&Flaw> {
        self.compiled.malformed.as_ref()
    }

    /// The schema as it was written.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// Whether a value fits.
    ///
    /// # Errors
    ///
    /// Where it does not, first; or the schema needs more work than a check may do.
    pub fn check(&self, value: &Value) -> Result<(), Misfit> {
        Checking::new(&self.compiled, COST_MAX, true).check_whole(value)
    }

    /// Whether data fits, in words that say nothing of it but where.
    ///
    /// # Errors
    ///
    /// As [`Self::check`].
    pub fn check_data(&self, data: &Value) -> Result<(), Misfit> {
        Checking::new(&self.compiled, DATA_COST_MAX, false).check_whole(data)
    }
}

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod tests;

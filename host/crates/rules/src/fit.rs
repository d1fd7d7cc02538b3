//! Whether data has the form that a trigger expects. What is said of data that has not names where and by which keyword, and
//! nothing of what stands there.

use crate::expression::{Cel, Problem, Scope};
use crate::schema::{Misfit, Schema};
use ringback_records::stop::{Misplaced, Stop};
use serde_json::Value;

/// Longest pointer that is told, in characters: its names are the sender's.
const POINTER_CHARS_MAX: usize = 500;

/// The `schema` of a trigger.
#[derive(Debug)]
pub struct Fit {
    pub form: Form,
    /// Whether what does not fit is refused; else that is noted.
    pub enforce: bool,
}

/// Which schema counts.
#[derive(Debug)]
pub enum Form {
    One(Schema),
    ByType {
        by: Cel,
        of: Vec<(String, Schema)>,
        /// For all other types, and what has none.
        otherwise: Option<Schema>,
    },
}

/// A schema that data is held against.
#[derive(Debug)]
pub struct Chosen {
    schema: Schema,
    /// Of which type, in words that come after "the schema".
    of: String,
    enforce: bool,
}

impl Fit {
    /// Which schema counts for a callback.
    ///
    /// # Errors
    ///
    /// None does, as the type is not known (422); or the type cannot be told (500).
    pub fn choose(&self, scope: &Scope<'_>) -> Result<Option<Chosen>, Stop> {
        let enforce = self.enforce;
        let (by, of, otherwise) = match &self.form {
            Form::One(schema) => return Ok(Some(Chosen { schema: schema.clone(), of: String::new(), enforce })),
            Form::ByType { by, of, otherwise } => (by, of, otherwise),
        };
        let kind = match by.evaluate_text_or_nothing(scope) {
            Ok((kind, is_nothing)) => (!is_nothing).then_some(kind),
            Err(error) if matches!(error.problem, Problem::Absent(_)) => None,
            Err(error) => return Err(Stop::from(&error)),
        };
        let known = kind.and_then(|kind| of.iter().find(|(name, _)| *name == kind));
        match (known, otherwise) {
            (Some((name, schema)), _) => {
                Ok(Some(Chosen { schema: schema.clone(), of: format!(" of `{name}`"), enforce }))
            }
            (None, Some(otherwise)) => {
                Ok(Some(Chosen { schema: otherwise.clone(), of: " of all other types".to_owned(), enforce }))
            }
            (None, None) if enforce => {
                let reason = format!("`{}` is no type that the trigger has a schema of", by.source());
                Err(Stop::refused(422, "unknown_type", "Nothing of this type is expected here.", reason))
            }
            (None, None) => Ok(None),
        }
    }
}

impl Chosen {
    /// What is said of data that passes.
    ///
    /// # Errors
    ///
    /// It does not fit (422), or cannot be checked (400).
    pub fn check(&self, data: &Value) -> Result<String, Stop> {
        let Self { of, enforce, .. } = self;
        let Err(Misfit { pointer, keyword, detail }) = self.schema.check_data(data) else {
            return Ok(format!("which fit the schema{of}"));
        };
        let pointer: String = pointer.chars().take(POINTER_CHARS_MAX).collect();
        let place = if pointer.is_empty() { "the whole" } else { &pointer };
        let shown: String = place.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        if keyword.is_empty() {
            let reason = format!("whether the data fit the schema{of} takes too long to find out, at {shown}");
            return Err(Stop::refused(400, "data_too_large", "The data is too large for this flow.", reason));
        }
        let why = format!("do not fit the schema{of}: {shown} {detail} (`{keyword}`)");
        if !enforce {
            return Ok(format!("which {why}, and pass, since that is not enforced"));
        }
        let detail = "The data does not have the form that is expected here.";
        let stop = Stop::refused(422, "schema_mismatch", detail, format!("the data {why}"));
        Err(Stop { misplaced: Some(Box::new(Misplaced { pointer, keyword })), ..stop })
    }
}

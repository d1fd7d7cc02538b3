//! Where something stands in a flow file, and what is wrong there.

use serde::Serialize;
use std::fmt;

/// Where the lines of a text stand in a flow file, as far as that can be said: a text may be folded, or have escapes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextPlace {
    /// The line of its first line; 1 where that is unknown, so that the lines are those of the text.
    pub line: usize,
    /// The columns before each of its lines, where it stands there as it is.
    pub indent: Option<usize>,
    /// The file beside the flow that it is; its lines are those of that.
    pub file: Option<String>,
}

/// A place in a flow file.
#[derive(Clone, Debug)]
pub struct Place {
    pub line: usize,
    pub column: usize,
    pub path: String,
}

impl TextPlace {
    /// A mistake in a text that begins at a place: at a line and a column of the text, counted as it was said to begin.
    pub fn mistake(&self, text: &Place, at: Option<(usize, usize)>, detail: &str) -> Mistake {
        match (at, self.indent) {
            (Some((line, column)), _) if self.file.is_some() => {
                Mistake { file: self.file.clone(), line, column, ..text.mistake(detail) }
            }
            (Some((line, column)), Some(indent)) => Mistake { line, column: indent + column, ..text.mistake(detail) },
            (Some((line, column)), None) => {
                text.mistake(format!("{detail} (line {line}, column {column} of the script)"))
            }
            (None, _) => text.mistake(detail),
        }
    }
}

impl Place {
    pub fn mistake(&self, detail: impl Into<String>) -> Mistake {
        Mistake { file: None, line: self.line, column: self.column, path: self.path.clone(), detail: detail.into() }
    }
}

/// A mistake in a flow file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Mistake {
    /// The file beside the flow where it is, if it is in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// Where in the document: `steps[0].verify.scheme`.
    pub path: String,
    /// What was found, and what is allowed.
    pub detail: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{file}:")?;
        }
        write!(f, "{}:{}: ", self.line, self.column)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.detail)
    }
}

//! Where something stands in a flow file, and what is wrong there.

use serde::Serialize;
use std::fmt;

/// Where the lines of a text stand in a flow file, as far as that can be said: a text may be folded, or have escapes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextPlace {
    /// The line of its first line; 1 where that is unknown, so that the lines are those of the text.
    pub line: usize,
    /// The columns before each of its lines, where it stands there as it is.
    pub indent: Option<usize>,
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
            (Some((line, column)), Some(indent)) => {
                Mistake { line, column: indent + column, path: text.path.clone(), detail: detail.to_owned() }
            }
            (Some((line, column)), None) => {
                text.mistake(format!("{detail} (line {line}, column {column} of the script)"))
            }
            (None, _) => text.mistake(detail),
        }
    }
}

impl Place {
    pub fn mistake(&self, detail: impl Into<String>) -> Mistake {
        Mistake { line: self.line, column: self.column, path: self.path.clone(), detail: detail.into() }
    }
}

/// A mistake in a flow file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Mistake {
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
        write!(f, "{}:{}: ", self.line, self.column)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.detail)
    }
}

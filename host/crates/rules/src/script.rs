//! Scripts: a source in a flow file that a plugin of the server runs, and that sees what an expression sees in its place.

use crate::expression::{Budget, Cel, EvaluationError, Problem, Scope};
use crate::place::TextPlace;
use ringback_records::name::{Name, sha256_hex};
use serde_json::{Value, json};

/// The name of the plugin that runs scripts, as traces have it.
pub const NAME: &str = "script";
/// The languages that a script can be in.
pub(crate) const LANGUAGES: &[&str] = &["js"];
/// Largest source, in bytes: it is read anew by every call, a few milliseconds for as much.
pub(crate) const BYTES_MAX: usize = 32 * 1024;

/// A script of a flow.
#[derive(Debug)]
pub struct Script {
    /// What the configuration of a call ends with, as JSON text: the source.
    end: String,
    /// The names that it mentions, of those that can be there, and what an expression makes of them.
    names: Vec<(String, Cel)>,
    /// The flow that it is part of.
    flow: Name,
    digest: String,
}

impl Script {
    /// A script that stands somewhere in a flow file. `names` are those that an expression could name there.
    pub(crate) fn new<'a>(flow: Name, source: &str, place: &TextPlace, names: impl Iterator<Item = &'a str>) -> Self {
        let names = names.filter(|name| mentions(source, name));
        let names = names.filter_map(|name| Some((name.to_owned(), Cel::compile(name).ok()?))).collect();
        let file = place.file.as_ref().map(|file| format!(",\"file\":{}", Value::from(file.as_str())));
        let end = format!(",\"source\":{},\"line\":{}{}}}", Value::from(source), place.line, file.unwrap_or_default());
        Self { digest: sha256_hex(format!("{flow} {end}").as_bytes()), end, names, flow }
    }

    /// What tells it from others of its workspace: those of a flow that are the same, at the same line, are one.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    pub fn flow(&self) -> &Name {
        &self.flow
    }

    /// What the configurations of its calls end with, which is the same in all: what has read it needs none of that.
    pub fn end(&self) -> &str {
        &self.end
    }

    /// The names that it sees.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(|(name, _)| name.as_str())
    }

    /// The configuration of a call, as JSON text. What is not there, its script has no name for.
    pub(crate) fn config(&self, scope: &Scope<'_>) -> Result<String, EvaluationError> {
        let own = Budget::default();
        let scope = &Scope { budget: scope.budget.or(Some(&own)), ..*scope };
        let mut config = "{\"scope\":".to_owned();
        let mut separator = '{';
        for (name, cel) in &self.names {
            let value = match cel.evaluate_json(scope) {
                Err(EvaluationError { problem: Problem::Absent(_), .. }) => continue,
                value => value?,
            };
            config.push(separator);
            config += &Value::from(name.as_str()).to_string();
            config.push(':');
            config += &value;
            separator = ',';
        }
        config += if separator == '{' { "{}" } else { "}" };
        config += &self.end;
        Ok(config)
    }
}

/// What a script is checked with when it is deployed.
pub(crate) fn to_check(source: &str, place: &TextPlace) -> Value {
    json!({ "source": source, "line": place.line })
}

/// Whether a word occurs in a source, be it in a text or a comment. What is seen besides is only made for nothing.
fn mentions(source: &str, name: &str) -> bool {
    let is_part = |character: char| character.is_alphanumeric() || matches!(character, '_' | '$');
    source.match_indices(name).any(|(at, _)| {
        let (before, after) = (source.get(..at), source.get(at + name.len()..));
        !before.is_some_and(|text| text.ends_with(is_part)) && !after.is_some_and(|text| text.starts_with(is_part))
    })
}

/// A mistake in a script, as the plugin tells it: `3:14: expecting ';'`.
pub fn mistake(message: &str) -> Option<(usize, usize, &str)> {
    let (line, rest) = message.split_once(':')?;
    let (column, detail) = rest.split_once(": ")?;
    Some((line.parse().ok()?, column.parse().ok()?, detail))
}

#[cfg(test)]
mod tests {
    use super::{mentions, mistake};

    #[test]
    fn a_name_is_mentioned_as_a_whole_word() {
        for source in ["data", "data.total", "f(data)", "!data", "metadata + data", "`${data}`", "é\u{301} data"] {
            assert!(mentions(source, "data"), "{source}");
        }
        for source in ["", "metadata", "data2", "$data", "data_", "dat", "Data", "édata"] {
            assert!(!mentions(source, "data"), "{source}");
        }
    }

    #[test]
    fn a_mistake_has_a_place() {
        assert_eq!(mistake("3:14: expecting ';': yes"), Some((3, 14, "expecting ';': yes")));
        for other in ["", "expecting ';'", "3: x", "a:b: c", ":: "] {
            assert_eq!(mistake(other), None, "{other}");
        }
    }
}

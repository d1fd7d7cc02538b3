//! JSON as lines, each with the path that names what is in it.

use ringback_records::json;
use serde_json::Value;
use std::fmt::Write;

/// Most lines that are shown.
const LINES_MAX: usize = 1000;
/// Most bytes of a text that are read as JSON to be shown.
const BYTES_MAX: usize = 256 << 10;
/// Deepest value that is shown line by line.
const DEPTH_MAX: usize = 64;
/// Most characters of one text.
const TEXT_CHARS_MAX: usize = 2000;

/// A line.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Line {
    /// How far it stands in, in steps.
    pub(crate) depth: usize,
    /// The member's name with its quotes, as JSON has it.
    pub(crate) key: Option<String>,
    /// What stands behind that.
    pub(crate) value: String,
    /// The class of its colour.
    pub(crate) kind: &'static str,
    /// A comma, where one follows.
    pub(crate) end: &'static str,
    /// Where it is: `$.order.total`.
    pub(crate) path: String,
    /// The same in CEL: `data.order.total`.
    pub(crate) cel: String,
}

/// The lines of a text that is JSON, and whether they are all.
pub(crate) fn lines(text: &str) -> Option<(Vec<Line>, bool)> {
    if text.len() > BYTES_MAX {
        return None;
    }
    let value = json::from_slice(text.as_bytes()).ok()?;
    Some(lines_of(&value))
}

/// The lines of a value, and whether they are all.
pub(crate) fn lines_of(value: &Value) -> (Vec<Line>, bool) {
    let mut lines = Lines { lines: Vec::new() };
    let is_whole = lines.add(value, Line { path: "$".to_owned(), cel: "data".to_owned(), ..Line::default() });
    (lines.lines, is_whole)
}

struct Lines {
    lines: Vec<Line>,
}

impl Lines {
    /// Adds the lines of a value; false when there are too many.
    fn add(&mut self, value: &Value, line: Line) -> bool {
        if self.lines.len() >= LINES_MAX {
            return false;
        }
        let (depth, end) = (line.depth, line.end);
        let inner = |path: String, cel: String, end| Line { depth: depth + 1, path, cel, end, ..Line::default() };
        match value {
            Value::Array(values) if !values.is_empty() && depth < DEPTH_MAX => {
                let (path, cel) = (line.path.clone(), line.cel.clone());
                self.lines.push(Line { value: "[".to_owned(), end: "", ..line });
                let last = values.len() - 1;
                for (index, value) in values.iter().enumerate() {
                    let end = if index < last { "," } else { "" };
                    if !self.add(value, inner(format!("{path}[{index}]"), format!("{cel}[{index}]"), end)) {
                        return false;
                    }
                }
                self.lines.push(Line { depth, value: "]".to_owned(), end, path, cel, ..Line::default() });
            }
            Value::Object(members) if !members.is_empty() && depth < DEPTH_MAX => {
                let (path, cel) = (line.path.clone(), line.cel.clone());
                self.lines.push(Line { value: "{".to_owned(), end: "", ..line });
                let last = members.len() - 1;
                for (index, (name, value)) in members.iter().enumerate() {
                    let end = if index < last { "," } else { "" };
                    let mut inner = inner(of_member(&path, name), of_member(&cel, name), end);
                    inner.key = Some(text(name));
                    if !self.add(value, inner) {
                        return false;
                    }
                }
                self.lines.push(Line { depth, value: "}".to_owned(), end, path, cel, ..Line::default() });
            }
            value => {
                let (kind, value) = match value {
                    Value::String(value) => ("text", text(value)),
                    Value::Number(number) => ("number", number.to_string()),
                    Value::Bool(_) | Value::Null => ("word", value.to_string()),
                    Value::Array(values) => ("", if values.is_empty() { "[]" } else { "[…]" }.to_owned()),
                    Value::Object(members) => ("", if members.is_empty() { "{}" } else { "{…}" }.to_owned()),
                };
                self.lines.push(Line { value, kind, ..line });
            }
        }
        true
    }
}

/// A text with its quotes.
fn text(value: &str) -> String {
    let cut = crate::words::cut(value, TEXT_CHARS_MAX);
    Value::String(cut).to_string()
}

/// The path of a member: with a dot, or in brackets where its name is no plain one. JSONPath and CEL write it alike.
fn of_member(path: &str, name: &str) -> String {
    let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && name.bytes().next().is_some_and(|first| !first.is_ascii_digit());
    if is_plain {
        return format!("{path}.{name}");
    }
    let mut quoted = String::new();
    for c in name.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_control() => drop(write!(quoted, "\\u{:04x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    format!("{path}[\"{quoted}\"]")
}

#[cfg(test)]
mod tests {
    use super::{LINES_MAX, lines};

    #[test]
    fn each_line_says_where_it_is() {
        let text = r#"{"order":{"total":1.50,"tags":["a",null],"x-y":true},"empty":{},"a\"b":[]}"#;
        let (lines, is_whole) = lines(text).unwrap();
        assert!(is_whole);
        let shown: Vec<String> = lines
            .iter()
            .map(|line| {
                let key = line.key.as_ref().map(|key| format!("{key}: ")).unwrap_or_default();
                format!("{}{key}{}{}", "  ".repeat(line.depth), line.value, line.end)
            })
            .collect();
        let value: serde_json::Value = serde_json::from_str(text).unwrap();
        assert_eq!(shown.join("\n"), serde_json::to_string_pretty(&value).unwrap());
        let at = |value: &str| {
            let line = lines.iter().find(|line| line.value == value).unwrap();
            (line.path.as_str(), line.cel.as_str())
        };
        assert_eq!(at("1.50"), ("$.order.total", "data.order.total"));
        assert_eq!(at("null"), ("$.order.tags[1]", "data.order.tags[1]"));
        assert_eq!(at("true"), (r#"$.order["x-y"]"#, r#"data.order["x-y"]"#));
        assert_eq!(at("[]"), (r#"$["a\"b"]"#, r#"data["a\"b"]"#));
    }

    #[test]
    fn what_is_large_or_deep_is_cut_off() {
        let (found, is_whole) = lines(&format!("[{}0]", "0,".repeat(5000))).unwrap();
        assert_eq!((found.len(), is_whole), (LINES_MAX, false));
        assert!(lines(&format!("\"{}\"", "x".repeat(300_000))).is_none());
        let (found, is_whole) = lines(&format!("{}{}", "[".repeat(100), "]".repeat(100))).unwrap();
        assert!(is_whole && found.len() < 200);
        assert!(lines("{").is_none() && lines("").is_none());
    }
}

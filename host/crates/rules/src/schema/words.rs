//! What is said of values and schemas.

use serde_json::Value;

/// Most characters of a value, and most words of a list, in a message.
const SHOWN_CHARS_MAX: usize = 60;
const SHOWN_WORDS_MAX: usize = 20;

/// A type in words.
pub(super) fn worded(name: &str) -> &str {
    match name {
        "null" => "nothing",
        "boolean" => "true or false",
        "string" => "a text",
        "array" => "a list",
        "object" => "an object",
        "number" => "a number",
        "integer" => "a whole number",
        other => other,
    }
}

/// What was found, for a message.
pub(super) fn described(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::String(text) => format!("the text {}", quoted(text)),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
        Value::Bool(_) | Value::Number(_) => format!("`{}`", shown(&value.to_string())),
    }
}

/// Of which type something is that is not shown.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
    }
}

pub(super) fn quoted(text: &str) -> String {
    format!("{:?}", shown(text))
}

pub(super) fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

pub(super) fn listed(words: impl Iterator<Item = String>) -> String {
    let mut words: Vec<String> = words.take(SHOWN_WORDS_MAX + 1).map(|word| format!("`{}`", shown(&word))).collect();
    if words.len() > SHOWN_WORDS_MAX {
        words.truncate(SHOWN_WORDS_MAX);
        words.push("…".to_owned());
    }
    if words.is_empty() { "nothing".to_owned() } else { words.join(", ") }
}

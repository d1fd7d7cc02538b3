//! What commands print.

use serde_json::Value;
use std::io::Write;

/// Prints a line. Callers have written some of it: they must not command the terminal, nor begin a line of their own.
pub(super) fn line(text: &str) {
    put(&shown(text, &[]));
}

/// Prints a text of several lines.
pub(super) fn lines(text: &str) {
    put(&several(text));
}

pub(super) fn json(value: &Value) {
    put(&serde_json::to_string_pretty(value).unwrap_or_default());
}

/// A text of several lines as it may be shown on a terminal.
pub(super) fn several(text: &str) -> String {
    shown(text, &['\n', '\t', '\r'])
}

/// A text with escapes in place of control characters, but for some.
fn shown(text: &str, but: &[char]) -> String {
    let is_kept = |c: char| !c.is_control() || but.contains(&c);
    text.chars().fold(String::with_capacity(text.len()), |mut shown, c| {
        if is_kept(c) {
            shown.push(c)
        } else {
            shown.extend(c.escape_default())
        }
        shown
    })
}

/// Prints; a reader that went away is no error.
fn put(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// Says what was done, where there is nothing else to show.
pub(super) fn done(as_json: bool, text: &str) {
    match as_json {
        true => json(&serde_json::json!({ "done": text })),
        false => lines(text),
    }
}

/// A member as text: strings without quotes, nothing for null.
pub(super) fn text(value: &Value, name: &str) -> String {
    match value.get(name) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// The items of a list.
pub(super) fn items(list: &Value) -> &[Value] {
    list.get("items").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// Prints rows under a header, in columns as wide as they need; says so when there is nothing.
pub(super) fn table(header: &[&str], rows: &[Vec<String>], nothing: &str) {
    if rows.is_empty() {
        return line(nothing);
    }
    let header: Vec<String> = header.iter().map(|name| (*name).to_owned()).collect();
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|cell| shown(cell, &[])).collect()).collect();
    let all = || std::iter::once(&header).chain(&rows);
    let width =
        |column: usize| all().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0);
    for row in all() {
        let cells: Vec<String> =
            row.iter().enumerate().map(|(column, cell)| format!("{cell:<width$}", width = width(column))).collect();
        line(cells.join("  ").trim_end());
    }
}

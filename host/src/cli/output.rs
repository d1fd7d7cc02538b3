//! What commands print: the one place, since callers have written some of it.

use super::Exit;
use serde::Serialize;
use serde_json::Value;
use std::io::{ErrorKind, Write};

/// Prints a line. What callers have written in it must not command the terminal, nor begin a line of its own.
pub(super) fn line(text: &str) {
    print(&shown(text, &[]));
}

/// Prints a line of something that goes on, whether it can be printed or not.
pub(super) fn announce(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{}", shown(text, &[]));
}

/// Prints the beginning of a line, whose end comes when something is done.
pub(super) fn begin(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = write!(out, "{}", shown(text, &[])).and_then(|()| out.flush());
}

/// Prints a text of several lines.
pub(super) fn lines(text: &str) {
    print(&several(text));
}

pub(super) fn json(value: &impl Serialize) {
    print(&json_text(&serde_json::to_string_pretty(value).unwrap_or_default()));
}

/// Says something about the command itself, beside what it prints.
pub(super) fn note(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{}", several(text));
}

/// The same as JSON, on one line.
pub(super) fn json_note(value: &Value) {
    let _ = writeln!(std::io::stderr().lock(), "{}", json_text(&value.to_string()));
}

/// A text of several lines as it may be shown on a terminal.
fn several(text: &str) -> String {
    let parts: Vec<String> = text.split("\r\n").map(|part| shown(part, &['\n', '\t'])).collect();
    parts.join("\r\n")
}

/// JSON as it may be shown on a terminal: between its texts, only line ends are none of them.
fn json_text(json: &str) -> String {
    shown(json, &['\n'])
}

/// A text with escapes in place of what a terminal would obey, but for some characters. They are those of JSON and of YAML.
fn shown(text: &str, but: &[char]) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut shown, c| {
        match c {
            c if !is_obeyed(c) || but.contains(&c) => shown.push(c),
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            '\t' => shown.push_str("\\t"),
            c => shown.push_str(&format!("\\u{:04x}", u32::from(c))),
        }
        shown
    })
}

/// Whether a terminal does something with a character, or with what follows it, other than to show it in its place: control
/// characters, line ends of Unicode, and what turns the direction of a text around.
fn is_obeyed(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Prints. A reader that went away is no error; what could not be written was perhaps to be seen this once, and that is one.
fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    if let Err(error) = writeln!(out, "{text}").and_then(|()| out.flush())
        && error.kind() != ErrorKind::BrokenPipe
    {
        note(&format!("ringback: the output could not be written: {error}"));
        std::process::exit(i32::from(Exit::Refused.code()));
    }
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

#[cfg(test)]
mod tests {
    use super::{json_text, several, shown};
    use serde_json::{Value, json};

    const OBEYED: &str = "\0\u{7}\u{1b}\u{7f}\u{85}\u{9b}\u{2028}\u{2029}\u{202a}\u{202e}\u{2066}\u{2069}";
    const SHOWN: &str = "é\u{a0}\u{200d}\u{200f}\u{2027}\u{202f}\u{2065}\u{206a}שלום 👩‍💻";

    #[test]
    fn what_a_terminal_obeys_is_escaped_and_json_stays_what_it_says() {
        let value = json!({ OBEYED: [OBEYED, SHOWN, "\t\r\n\"\\"] });
        for json in [json_text(&value.to_string()), json_text(&serde_json::to_string_pretty(&value).unwrap())] {
            assert!(!json.contains(|c: char| super::is_obeyed(c) && c != '\n'), "{json:?}");
            assert!(json.contains(r"\u007f\u0085\u009b\u2028\u2029\u202a\u202e\u2066\u2069"), "{json}");
            assert_eq!(serde_json::from_str::<Value>(&json).unwrap(), value);
        }
        let text = shown(&format!("{OBEYED}{SHOWN}"), &[]);
        assert!(text.starts_with(r"\u0000\u0007\u001b\u007f\u0085\u009b\u2028") && text.ends_with(SHOWN), "{text}");
    }

    /// A carriage return alone would write over what is on its line.
    #[test]
    fn line_ends_are_kept_and_nothing_writes_over_a_line() {
        assert_eq!(several("a\r\nb\n\tc\rd\r"), "a\r\nb\n\tc\\rd\\r");
    }
}

//! Where a line of a bundle comes from, for the stacks of exceptions: what the bundler says of it, made short, and put at the end
//! of the bundle, where the SDK finds it.

use crate::cli::CliError;
use serde_json::{Value, json};
use std::path::Path;

/// From this line of the bundle on, line by line: the number of a source, and a line of it. Both begin with 0.
type Run = [i64; 3];

/// Lines that come from nowhere, or from the SDK.
const NOWHERE: i64 = -1;

/// Adds it to a bundle with a map beside it.
pub(super) fn append(bundle: &Path) -> Result<(), CliError> {
    let file_error = |error| CliError::File { path: bundle.to_owned(), error };
    let mut map = bundle.as_os_str().to_owned();
    map.push(".map");
    let map: Value = serde_json::from_slice(&std::fs::read(map).map_err(file_error)?).map_err(std::io::Error::from)?;
    let mut script = std::fs::read_to_string(bundle).map_err(file_error)?;
    script.push_str(&table(&map));
    std::fs::write(bundle, script).map_err(file_error)
}

/// The statement that says it.
fn table(map: &Value) -> String {
    let sources: Vec<&str> = map["sources"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let is_own = |source: i64| {
        let path = usize::try_from(source).ok().and_then(|index| sources.get(index)).copied().unwrap_or_default();
        !path.contains("guest-sdk/js/src/") && !path.contains("@ringback/plugin/src/") && !path.ends_with("/entry.js")
    };
    let runs = runs(map["mappings"].as_str().unwrap_or_default(), is_own);
    let sources: Vec<&str> = sources.iter().map(|path| path.trim_start_matches("../")).collect();
    format!("globalThis.__ringback_lines = {};\n", json!({ "sources": sources, "runs": runs }))
}

/// What the mappings say of each line, where it is not what the line before lets expect.
fn runs(mappings: &str, is_own: impl Fn(i64) -> bool) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for (number, segments) in (0..).zip(segments(mappings)) {
        let first = segments.first().map(|segment| (segment.source, segment.line));
        let (source, line) = first.filter(|(source, _)| is_own(*source)).unwrap_or((NOWHERE, 0));
        let expected = runs.last().is_some_and(|[from, last_source, from_line]| {
            *last_source == source && (source == NOWHERE || from_line + number - from == line)
        });
        if !expected {
            runs.push([number, source, line]);
        }
    }
    runs
}

/// Where a part of a line comes from: its column, the number of a source, and a line of it. All begin with 0.
pub(super) struct Segment {
    pub(super) column: i64,
    pub(super) source: i64,
    pub(super) line: i64,
    /// Whether it comes from where the one before does: what begins a line says that of all that is within a text.
    pub(super) is_same: bool,
}

/// What mappings say of each line.
pub(super) fn segments(mappings: &str) -> Vec<Vec<Segment>> {
    // Each number is the difference to the one before it, the column to that in the same line.
    let (mut source, mut line) = (0, 0);
    let of_line = |segments: &str| {
        let (mut column, mut found) = (0, Vec::new());
        for segment in segments.split(',') {
            let numbers = numbers(segment);
            column += numbers.first().unwrap_or(&0);
            if let [_, source_by, line_by, column_by, ..] = *numbers.as_slice() {
                (source, line) = (source + source_by, line + line_by);
                let is_same = (source_by, line_by, column_by) == (0, 0, 0);
                found.push(Segment { column, source, line, is_same });
            }
        }
        found
    };
    mappings.split(';').map(of_line).collect()
}

/// The numbers of a segment (base64 VLQ).
fn numbers(segment: &str) -> Vec<i64> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut numbers, mut value, mut shift) = (Vec::new(), 0_i64, 0);
    for byte in segment.bytes() {
        let Some(digit) = (0_i64..).zip(DIGITS).find(|(_, known)| **known == byte).map(|(digit, _)| digit) else {
            return Vec::new();
        };
        value |= (digit & 31).checked_shl(shift).unwrap_or_default();
        shift += 5;
        if digit & 32 == 0 {
            numbers.push(if value & 1 == 1 { -(value >> 1) } else { value >> 1 });
            (value, shift) = (0, 0);
        }
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::{numbers, runs, table};
    use serde_json::json;

    #[test]
    fn numbers_are_read_as_bundlers_write_them() {
        for (text, expected) in
            [("", &[][..]), ("A", &[0]), ("C", &[1]), ("D", &[-1]), ("gB", &[16]), ("AAgBC", &[0, 0, 16, 1])]
        {
            assert_eq!(numbers(text), expected, "{text}");
        }
        assert!(numbers("A!").is_empty());
    }

    #[test]
    fn lines_that_follow_each_other_are_one_run() {
        // Two lines of nowhere; three of the first source, from its second line on; one of another, which is the SDK's; one more.
        let mappings = ";;AACA;AACA,CAAC;AACA;AACA;ACJA;ADKA";
        assert_eq!(runs(mappings, |source| source == 0), [[0, -1, 0], [2, 0, 1], [6, -1, 0], [7, 0, 5]]);
        let map = json!({ "sources": ["../plugin.js", "../ringback/guest-sdk/js/src/log.js"], "mappings": mappings });
        assert!(table(&map).contains(r#""runs":[[0,-1,0],[2,0,1],[6,-1,0],[7,0,5]],"sources":["plugin.js","#)
            || table(&map).contains(r#""sources":["plugin.js","ringback/guest-sdk/js/src/log.js"],"runs":[[0,-1,0],[2,0,1],[6,-1,0],[7,0,5]]"#));
    }
}

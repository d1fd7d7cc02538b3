//! Paths as people write them, `b.c`, `query[0].a`, `["a.b"]`, over JSONPath; and the list of those that a sample has.

use crate::expression::{CompileError, JsonPath};
use serde_json::Value;
use std::fmt::Write as _;

/// Most paths of one sample.
const PATHS_MAX: usize = 1000;

/// A path of a sample with what it leads to there.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    pub path: String,
    pub value: Value,
}

/// Compiles a path: names with dots between them, indexes and quoted names in brackets.
///
/// # Errors
///
/// It is no path, with what is wrong.
pub fn compile(path: &str) -> Result<JsonPath, CompileError> {
    let wrong = |message: String| CompileError { message, offset: None };
    let mut json_path = String::from("$");
    let mut rest = path;
    let mut first = true;
    while !rest.is_empty() {
        if let Some(inside) = rest.strip_prefix('[') {
            let (segment, after) = bracket(inside).map_err(wrong)?;
            json_path.push_str(&segment);
            rest = after;
        } else {
            let name = match (first, rest.strip_prefix('.')) {
                (true, None) => rest,
                (false, Some(name)) => name,
                _ => return Err(wrong(format!("`{path}`: a name is expected, or `.` before one, at `{rest}`"))),
            };
            let end = name.find(['.', '[']).unwrap_or(name.len());
            let (name, after) = name.split_at(end);
            if name.is_empty() {
                return Err(wrong(format!("`{path}` has an empty name")));
            }
            json_path.push_str(&quoted(name));
            rest = after;
        }
        first = false;
    }
    if first {
        return Err(wrong("a path is empty".to_owned()));
    }
    JsonPath::compile(&json_path)
}

/// What follows `[`: a segment of a JSONPath, and the rest.
fn bracket(inside: &str) -> Result<(String, &str), String> {
    let mut names = serde_json::Deserializer::from_str(inside).into_iter::<String>();
    if inside.starts_with('"') {
        let name = match names.next() {
            Some(Ok(name)) => name,
            _ => return Err(format!("`[{inside}`: the quoted name is not closed")),
        };
        let after = inside.get(names.byte_offset()..).and_then(|rest| rest.strip_prefix(']'));
        return Ok((quoted(&name), after.ok_or_else(|| format!("`[{inside}` is not closed by `]`"))?));
    }
    let (index, after) = inside.split_once(']').ok_or_else(|| format!("`[{inside}` is not closed by `]`"))?;
    match index.parse::<u32>() {
        Ok(number) if number.to_string() == index => Ok((format!("[{number}]"), after)),
        _ => Err(format!("`[{index}]` is neither an index nor a quoted name")),
    }
}

/// A name as a segment of a JSONPath.
fn quoted(name: &str) -> String {
    let mut segment = String::from("['");
    for character in name.chars() {
        match character {
            '\'' | '\\' => segment.extend(['\\', character]),
            control if control.is_control() => drop(write!(segment, "\\u{:04x}", u32::from(control))),
            plain => segment.push(plain),
        }
    }
    segment.push_str("']");
    segment
}

/// Every path of a value that flows may use, parents before what is in them (NB-22); at most 1000.
pub fn of_sample(value: &Value) -> Vec<Found> {
    let mut found = Vec::new();
    walk(value, "", &mut found);
    found
}

fn walk(value: &Value, path: &str, found: &mut Vec<Found>) {
    let mut visit = |path: String, value: &Value| {
        // A name can be longer than a path may be.
        if found.len() < PATHS_MAX && compile(&path).is_ok() {
            found.push(Found { path: path.clone(), value: value.clone() });
            walk(value, &path, found);
        }
    };
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                let plain = !name.is_empty() && !name.contains(['.', '[', ']', '"']);
                visit(
                    match (plain, path) {
                        (true, "") => name.clone(),
                        (true, path) => format!("{path}.{name}"),
                        (false, path) => format!("{path}[{}]", Value::from(name.as_str())),
                    },
                    value,
                );
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter().enumerate() {
                visit(format!("{path}[{index}]"), value);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::{compile, of_sample};
    use serde_json::json;

    #[test]
    fn what_is_no_path_is_refused() {
        for path in ["", ".", ".a", "a.", "a..b", "a[", "a[x]", "a[01]", "a[-1]", "a[\"b]", "a[\"b\"", "a]b["] {
            assert!(compile(path).is_err(), "{path}");
        }
    }

    /// NB-16, NB-22, A-NB-4: parents are listed too, names with dots are quoted, and each path finds what it was made from.
    #[test]
    fn the_paths_of_a_sample_find_what_they_were_made_from() {
        let names = |value| of_sample(&value).into_iter().map(|found| found.path).collect::<Vec<_>>();
        assert_eq!(names(json!({ "a": 1, "b": { "c": 2 } })), ["a", "b", "b.c"]);
        assert_eq!(names(json!({ "a": [{ "b": 1 }, 2] })), ["a", "a[0]", "a[0].b", "a[1]"]);
        assert_eq!(names(json!([{ "x": 1 }])), ["[0]", "[0].x"]);
        let sample = json!({ "a.b": { "it's \\ \"q\" \n": [null, { "ü]": true }] }, "": 0, "x[0]": 1 });
        let found = of_sample(&sample);
        assert_eq!(found.len(), 7, "{found:?}");
        for one in found {
            let path = compile(&one.path).unwrap_or_else(|error| panic!("{}: {error}", one.path));
            assert_eq!(path.pick(&sample, &mut 100_000).unwrap(), Some(one.value), "{}", one.path);
        }
        assert_eq!(of_sample(&json!(vec![0; 5000])).len(), 1000);
    }
}

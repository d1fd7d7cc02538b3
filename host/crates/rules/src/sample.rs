//! From an example of a callback to the list of its parts, ready to be pasted into a flow.

use crate::path;
use ringback_records::query;
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::fmt::Write;

/// Which part of a callback a sample is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    Query,
    Body,
}

/// A sample, taken apart.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Sample {
    pub part: Part,
    /// The sample as a structure.
    #[schema(value_type = Object)]
    pub structure: Value,
    /// Parents before what is in them.
    pub paths: Vec<SamplePath>,
    /// The same as `fields:` of a trigger: delete what is not needed.
    pub fields: String,
}

/// A part of a sample.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct SamplePath {
    /// Such as `b.c` or `query[0].a`.
    pub path: String,
    /// A name for it that expressions can use: `fields.b_c`.
    pub alias: String,
    /// What it is in the sample.
    pub example: Value,
}

/// Takes a URL, a query string, or JSON apart (NB-14, NB-15, NB-16, NB-19, NB-21, NB-22).
///
/// # Errors
///
/// It is none of them, in words.
pub fn parse(text: &str) -> Result<Sample, String> {
    let text = text.trim();
    let (part, structure) = match text.chars().next() {
        None => return Err("the sample is empty: give a URL, a query string, or JSON".to_owned()),
        Some('{' | '[') => {
            let body = ringback_records::json::from_slice(text.as_bytes())
                .map_err(|error| format!("the sample is not JSON: {error}"))?;
            (Part::Body, with_trimmed_names(body))
        }
        Some(_) => (Part::Query, Value::Object(query::structure(&trimmed(query_of(text)?)))),
    };
    let mut used = BTreeSet::new();
    let paths: Vec<SamplePath> = path::of_sample(&structure)
        .into_iter()
        .map(|found| {
            let alias = alias(&found.path, &mut used);
            SamplePath { path: found.path, alias, example: found.value }
        })
        .collect();
    let source = match part {
        Part::Query => "query",
        Part::Body => "body",
    };
    let mut fields = String::from("fields:\n");
    for SamplePath { path, alias, .. } in &paths {
        // JSON texts are YAML texts.
        let _ = writeln!(fields, "  {alias}: {{ {source}: {} }}", Value::from(path.as_str()));
    }
    Ok(Sample { part, structure, paths, fields })
}

/// The query of a URL, or the text itself when it is one.
fn query_of(text: &str) -> Result<&str, String> {
    let without_fragment = text.split('#').next().unwrap_or_default();
    if let Some((_, query)) = without_fragment.split_once('?') {
        return Ok(query);
    }
    if without_fragment.contains("://") || without_fragment.starts_with('/') {
        return Err("the URL has no parameters".to_owned());
    }
    match without_fragment.contains('=') {
        true => Ok(without_fragment),
        false => {
            Err(format!("`{text}` is neither a URL, nor a query string such as a=1&b=2, nor a JSON object or list"))
        }
    }
}

/// A query without the spaces that came in when it was copied: no name begins or ends with one.
fn trimmed(query: &str) -> String {
    let pairs = query.split('&').map(|pair| match pair.split_once('=') {
        Some((name, value)) => format!("{}={}", name.trim(), value.trim()),
        None => pair.trim().to_owned(),
    });
    pairs.collect::<Vec<_>>().join("&")
}

/// The same of JSON; of two names that become one, the first stays.
fn with_trimmed_names(value: Value) -> Value {
    match value {
        Value::Array(items) => items.into_iter().map(with_trimmed_names).collect(),
        Value::Object(members) => {
            let mut trimmed = Map::new();
            for (name, value) in members {
                trimmed.entry(name.trim()).or_insert_with(|| with_trimmed_names(value));
            }
            Value::Object(trimmed)
        }
        other => other,
    }
}

/// A name made of letters, digits and `_` that no other path has.
fn alias(path: &str, used: &mut BTreeSet<String>) -> String {
    let mut alias = String::new();
    for character in path.chars() {
        if character.is_ascii_alphanumeric() {
            alias.push(character);
        } else if !alias.is_empty() && !alias.ends_with('_') {
            alias.push('_');
        }
    }
    let alias = alias.trim_end_matches('_');
    let plain = alias.starts_with(|first: char| first.is_ascii_alphabetic());
    let alias = if plain { alias.to_owned() } else { format!("_{alias}") };
    let mut unique = alias.clone();
    for number in 2.. {
        if used.insert(unique.clone()) {
            break;
        }
        unique = format!("{alias}_{number}");
    }
    unique
}

#[cfg(test)]
mod tests {
    use super::{Part, parse};

    #[test]
    fn what_is_no_sample_is_refused() {
        for text in ["", "  ", "hello", "https://example.com/a", "/a/b", "{", "[1,]", "{'a': 1}"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn names_that_are_too_long_for_a_path_are_left_out() {
        let sample = parse(&format!("{{\"{}\": {{\"a\": 1}}, \"b\": 2}}", "n".repeat(10_000))).unwrap();
        assert_eq!(sample.paths.iter().map(|found| found.path.as_str()).collect::<Vec<_>>(), ["b"]);
    }

    /// NB-14, NB-15, NB-16, NB-18, NB-19.
    #[test]
    fn a_url_and_its_query_give_the_same_paths() {
        for text in [
            "http://localhost:13000/api/webhook:trigger/1hfmkioou0d?query=1&filter[0][a]=x#top",
            "?query=1&filter[0][a]=x",
            "query=1&filter[0][a]=x",
        ] {
            let sample = parse(text).unwrap();
            assert_eq!(sample.part, Part::Query);
            let paths: Vec<_> = sample.paths.iter().map(|path| (&*path.path, &*path.alias)).collect();
            assert_eq!(
                paths,
                [("query", "query"), ("filter", "filter"), ("filter[0]", "filter_0"), ("filter[0].a", "filter_0_a")]
            );
        }
    }

    /// The samples of NocoBase's page have spaces in them.
    #[test]
    fn s14_spaces_around_names_are_left_out() {
        let paths = |text: &str| parse(text).unwrap().paths.into_iter().map(|found| found.path).collect::<Vec<_>>();
        assert_eq!(paths("http://localhost:13000/api/webhook:trigger/1hfmkioou0d? query=1"), ["query"]);
        assert_eq!(paths("a =1 & b= 2"), ["a", "b"]);
        assert_eq!(paths("{\" a \": 1,\" b \": {\" c\" : 2}}"), ["a", "b", "b.c"]);
    }

    /// NB-21, NB-22, NB-23.
    #[test]
    fn json_gives_paths_and_aliases_of_its_own() {
        let sample = parse("{\"a\": 1, \"b\": {\"c\": 2}, \"b_c\": 3, \"1\": 4}").unwrap();
        assert_eq!(
            sample.fields,
            "fields:\n  a: { body: \"a\" }\n  b: { body: \"b\" }\n  b_c: { body: \"b.c\" }\n  b_c_2: { body: \"b_c\" }\n  _1: { body: \"1\" }\n"
        );
    }
}

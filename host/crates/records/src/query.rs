//! Queries as data.

use serde_json::{Map, Value};

/// Deepest structure that bracket keys build.
const DEPTH_MAX: usize = 32;
/// Largest index in brackets that makes a list.
const INDEX_MAX: usize = 1000;

/// The structure of a query: `a[0]=1&a[1][b]=2` and `a[]=1&a[]=2` build lists and objects, a repeated name a list (A-FR-9,
/// A-NB-5). Values are strings. A key whose brackets make no sense, or contradict an earlier one, stays as it is written.
pub fn structure(query: &str) -> Map<String, Value> {
    let mut root = Value::Object(Map::new());
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let value = Value::from(value.into_owned());
        let placed = keys(&name).is_some_and(|keys| place(&mut root, &keys, &value));
        if let Value::Object(root) = &mut root
            && !placed
        {
            append(root.entry(name.into_owned()), value);
        }
    }
    match root {
        Value::Object(root) => root,
        _ => Map::new(),
    }
}

fn append(entry: serde_json::map::Entry<'_>, value: Value) {
    match entry {
        serde_json::map::Entry::Vacant(entry) => drop(entry.insert(value)),
        serde_json::map::Entry::Occupied(mut entry) => match entry.get_mut() {
            Value::Array(items) => items.push(value),
            first => *first = Value::Array(vec![first.take(), value]),
        },
    }
}

/// The parts of `a[b][0]`: `a`, `b`, `0`. `None` without brackets.
fn keys(name: &str) -> Option<Vec<&str>> {
    let (first, mut rest) = name.split_at(name.find('[')?);
    let mut keys = vec![first];
    while !rest.is_empty() {
        let (key, after) = rest.strip_prefix('[')?.split_once(']')?;
        keys.push(key);
        rest = after;
    }
    (!first.is_empty() && keys.len() <= DEPTH_MAX).then_some(keys)
}

/// Puts a value where its keys say: whether there was room.
fn place(at: &mut Value, keys: &[&str], value: &Value) -> bool {
    let Some((key, rest)) = keys.split_first() else {
        return match at {
            Value::Null => {
                *at = value.clone();
                true
            }
            Value::String(_) => {
                *at = Value::Array(vec![at.take(), value.clone()]);
                true
            }
            _ => false,
        };
    };
    let index = key.parse::<usize>().ok().filter(|index| *index <= INDEX_MAX);
    if at.is_null() {
        *at = if key.is_empty() || index == Some(0) { Value::Array(Vec::new()) } else { Value::Object(Map::new()) };
    }
    match at {
        Value::Array(items) => {
            let index = if key.is_empty() { items.len() } else { index.unwrap_or(usize::MAX) };
            // Lists have no holes.
            if index > items.len() {
                return false;
            }
            if index == items.len() {
                items.push(Value::Null);
            }
            items.get_mut(index).is_some_and(|item| place(item, rest, value))
        }
        Value::Object(members) => place(members.entry((*key).to_owned()).or_insert(Value::Null), rest, value),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::structure;
    use serde_json::json;

    /// NB-14, NB-15, A-FR-9, A-NB-5.
    #[test]
    fn bracket_keys_build_a_structure() {
        for (query, expected) in [
            ("query=1", json!({ "query": "1" })),
            ("query=1&query=2", json!({ "query": ["1", "2"] })),
            ("query[0]=1&query[1]=2", json!({ "query": ["1", "2"] })),
            ("query[0][a]=1&query[0][b]=x+y", json!({ "query": [{ "a": "1", "b": "x y" }] })),
            ("a[]=1&a[]=2", json!({ "a": ["1", "2"] })),
            ("a[b][c]=1&a[d]=2", json!({ "a": { "b": { "c": "1" }, "d": "2" } })),
            ("a%5Bb%5D=1", json!({ "a": { "b": "1" } })),
            // What makes no sense stays as it is written.
            ("a[=1&[b]=2&c]=3", json!({ "a[": "1", "[b]": "2", "c]": "3" })),
            ("a[0]=1&a[9]=2&a[x]=3", json!({ "a": ["1"], "a[9]": "2", "a[x]": "3" })),
            ("a=1&a[b]=2", json!({ "a": "1", "a[b]": "2" })),
            ("a[99999999]=1", json!({ "a": { "99999999": "1" } })),
        ] {
            assert_eq!(json!(structure(query)), expected, "{query}");
        }
        let deep = format!("a{}=1", "[b]".repeat(1000));
        assert_eq!(structure(&deep).len(), 1);
    }
}

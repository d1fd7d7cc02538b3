//! CEL's own conformance data, with the types of the values. What does not pass is named, with the reason.

use super::value::{Num, Val};
use super::{Cel, Meter};
use crate::expression::{Scope, ScopeOfExecution};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ringback_records::callback::Input;
use ringback_records::name::{ExecutionId, Name};
use serde_json::{Map, Value};

/// How many of the data's tests pass.
const PASSED: usize = 1591;
const DATA: &str = include_str!("../../../../../tests/conformance/cel.json");

/// The value that a typed one of the data has as JSON; what it is bound to.
fn bound(value: &Value) -> Value {
    let (kind, value) = value.as_object().unwrap().iter().next().unwrap();
    match kind.as_str() {
        "int64_value" | "uint64_value" => serde_json::from_str(value.as_str().unwrap()).unwrap(),
        "list_value" => {
            let items = value.get("values").and_then(Value::as_array).cloned().unwrap_or_default();
            items.iter().map(bound).collect()
        }
        "map_value" => {
            let entries = value.get("entries").and_then(Value::as_array).cloned().unwrap_or_default();
            let entries = entries.iter().map(|entry| {
                let key = bound(&entry["key"]);
                (key.as_str().map_or_else(|| key.to_string(), str::to_owned), bound(&entry["value"]))
            });
            Value::Object(entries.collect())
        }
        _ => value.clone(),
    }
}

/// Whether a value is the one that the data expects, of the same type.
fn is_expected(found: &Val<'_>, expected: &Value) -> bool {
    let (kind, value) = expected.as_object().unwrap().iter().next().unwrap();
    let entries = |name: &str| value.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    match (kind.as_str(), found, found.number()) {
        ("int64_value", _, Some(Num::Int(found))) => found.to_string() == *value.as_str().unwrap(),
        ("uint64_value", _, Some(Num::Uint(found))) => found.to_string() == *value.as_str().unwrap(),
        ("double_value", _, Some(Num::Double(found))) => match value.as_str() {
            Some("NaN") => found.is_nan(),
            Some("Infinity") => found == f64::INFINITY,
            Some("-Infinity") => found == f64::NEG_INFINITY,
            _ => found == value.as_f64().unwrap(),
        },
        ("string_value", Val::Text(found), _) => **found == *value.as_str().unwrap(),
        ("bytes_value", Val::Bytes(found), _) => **found == STANDARD.decode(value.as_str().unwrap()).unwrap(),
        ("bool_value", Val::Bool(found), _) => *found == *value,
        ("null_value", Val::Null, _) => true,
        ("type_value", Val::Type(found), _) => found.as_str() == value,
        ("list_value", list, _) => {
            let expected = entries("values");
            list.size() == Some(expected.len())
                && expected.iter().enumerate().all(|(at, item)| is_expected(&list.item(at).unwrap(), item))
        }
        ("map_value", map, _) => {
            let expected = entries("entries");
            let all: Vec<_> = map.entries().into_iter().flatten().collect();
            all.len() == expected.len()
                && expected.iter().all(|entry| {
                    all.iter()
                        .any(|(key, value)| is_expected(key, &entry["key"]) && is_expected(value, &entry["value"]))
                })
        }
        _ => false,
    }
}

/// What does not pass here, by the reason.
fn reason(test: &Value) -> Option<&'static str> {
    let (section, name, expression) = (&test["section"], &test["name"], test["expr"].as_str().unwrap());
    let bindings = test["bindings"].as_object();
    Some(match name.as_str().unwrap() {
        _ if section == "eq_wrapper" || name == "eq_dyn_json_null" => "there are no messages of protocol buffers",
        _ if test["container"].is_string() => "there are no containers",
        _ if bindings.is_some_and(|bindings| bindings.keys().any(|name| name.contains('.'))) => {
            "no name of the scope has a dot"
        }
        _ if expression.ends_with("() || true") || expression.starts_with("f_unknown") => {
            "an unknown function is a mistake when the flow is deployed"
        }
        "bytes_gt_left_false" => "no name of the scope has bytes",
        "toString_timestamp_nanos" => "points in time end at 9999-12-30T22:00:00.999999999Z",
        name if section == "bytes_literals" && name.ends_with("unescaped_punctuation") => {
            "the copy of the data has lost the backslash that it expects"
        }
        _ => return None,
    })
}

#[test]
fn b2_the_conformance_data_of_cel_passes_with_its_types() {
    let tests: Vec<Value> = serde_json::from_str(DATA).unwrap();
    let (workspace, input, id) = (Name::default_name(), Input::default(), ExecutionId::new());
    let (mut passed, mut excepted, mut failed) = (0, 0, Vec::new());
    for test in &tests {
        let expression = test["expr"].as_str().unwrap();
        let mut results = Map::new();
        for (name, binding) in test["bindings"].as_object().into_iter().flatten() {
            results.insert(name.clone(), bound(&binding["value"]));
        }
        let scope = Scope {
            execution: Some(ScopeOfExecution { id, triggers: &[], results: &results }),
            ..Scope::of_input(&workspace, &input)
        };
        let found = Cel::compile(expression).map_err(|error| error.to_string()).and_then(|cel| {
            let found = cel.execute(&scope, |value, _: &mut Meter| {
                let is_right = match (test.get("value"), test.get("eval_error")) {
                    (Some(expected), _) => is_expected(&value, expected),
                    (None, Some(_)) => false,
                    (None, None) => matches!(value, Val::Bool(true)),
                };
                Ok((is_right, format!("{value:?}")))
            });
            found.map_err(|error| error.to_string())
        });
        let is_right = match &found {
            Ok((is_right, _)) => *is_right,
            Err(_) => test.get("eval_error").is_some(),
        };
        match (is_right, reason(test)) {
            (true, _) => passed += 1,
            (false, Some(_)) => excepted += 1,
            (false, None) => failed.push(format!("{}: {expression}: {found:?}, not as in {test}", test["name"])),
        }
    }
    assert!(failed.is_empty(), "{passed} passed, {} failed:\n{}", failed.len(), failed.join("\n"));
    assert_eq!((passed, excepted), (PASSED, tests.len() - PASSED));
    println!("{passed} cases");
}

//! A flow to begin with: one that asks a plugin, with a configuration that the plugin takes.

use serde_json::{Value, json};
use std::fmt::Write;

/// Deepest value that is made up.
const DEPTH_MAX: usize = 8;

/// The source of a flow that asks this plugin whether a callback counts; `schema` is that of its configuration.
pub fn draft(plugin: &str, schema: Option<&Value>) -> String {
    let mut source = format!("flow: {plugin}\nsteps:\n  - trigger: Received\n    when:\n      plugin: {plugin}\n");
    if let Some(schema) = schema {
        let _ = writeln!(source, "      with: {}", example(schema, schema, 0));
    }
    source
}

/// A value of a schema: one that it names, or else the smallest that its words allow.
fn example(schema: &Value, root: &Value, depth: usize) -> Value {
    if depth > DEPTH_MAX {
        return Value::Null;
    }
    let first = |name: &str| schema.get(name).and_then(|values| values.get(0)).cloned();
    let named = first("examples").or_else(|| schema.get("default").cloned()).or_else(|| schema.get("const").cloned());
    if let Some(value) = named.or_else(|| first("enum")) {
        return value;
    }
    let inner = |schema: &Value| example(schema, root, depth + 1);
    if let Some(pointer) = schema.get("$ref").and_then(|reference| reference.as_str()?.strip_prefix('#')) {
        return root.pointer(pointer).map(inner).unwrap_or_default();
    }
    if let Some(one) = ["oneOf", "anyOf"].into_iter().find_map(|name| schema.get(name)?.get(0)) {
        return inner(one);
    }
    let kind = match schema.get("type") {
        Some(Value::Array(kinds)) => kinds.first().and_then(Value::as_str),
        kind => kind.and_then(Value::as_str),
    };
    let least = |name: &str| schema.get(name).and_then(Value::as_u64).unwrap_or(0);
    match kind {
        Some("object") => {
            let known = schema.get("properties").and_then(Value::as_object);
            let required = schema.get("required").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            let mut wanted: Vec<&str> = required.iter().filter_map(Value::as_str).collect();
            for name in known.into_iter().flat_map(|known| known.keys()) {
                if (wanted.len() as u64) < least("minProperties") && !wanted.contains(&name.as_str()) {
                    wanted.push(name);
                }
            }
            let member = |name: &str| Some((name.to_owned(), inner(known?.get(name)?)));
            Value::Object(wanted.into_iter().filter_map(member).collect())
        }
        Some("array") => match schema.get("items").filter(|_| least("minItems") > 0) {
            Some(items) => json!([inner(items)]),
            None => json!([]),
        },
        Some("string") => json!("…"),
        Some("integer" | "number") => schema.get("minimum").cloned().unwrap_or(json!(1)),
        Some("boolean") => json!(true),
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::{draft, example};
    use serde_json::{Value, json};

    fn of(schema: &Value) -> Value {
        example(schema, schema, 0)
    }

    #[test]
    fn what_a_schema_names_comes_first() {
        assert_eq!(of(&json!({ "type": "object", "examples": [{ "a": 1 }] })), json!({ "a": 1 }));
        assert_eq!(of(&json!({ "type": "integer", "default": 7 })), json!(7));
        assert_eq!(of(&json!({ "enum": ["x", "y"] })), json!("x"));
    }

    #[test]
    fn else_it_is_the_smallest_that_is_allowed() {
        let schema = json!({
            "type": "object", "minProperties": 2, "required": ["most"],
            "properties": {
                "any": { "$ref": "#/$defs/list" }, "most": { "type": "number", "minimum": 5 },
                "never": { "type": "string" },
            },
            "$defs": { "list": { "type": "array", "minItems": 1, "items": { "type": "string" } } },
        });
        assert_eq!(of(&schema), json!({ "most": 5, "any": ["…"] }));
        assert_eq!(of(&json!({})), Value::Null);
        // One that contains itself ends.
        let schema = json!({ "type": "object", "required": ["a"], "properties": { "a": { "$ref": "#" } } });
        assert!(of(&schema).to_string().len() < 200);
    }

    #[test]
    fn a_draft_names_the_plugin() {
        let source = draft("large-orders", Some(&json!({ "examples": [{ "minimum": 400 }] })));
        assert!(source.ends_with("    when:\n      plugin: large-orders\n      with: {\"minimum\":400}\n"), "{source}");
        assert!(draft("x", None).ends_with("plugin: x\n"));
    }
}

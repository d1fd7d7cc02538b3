//! The OpenAPI document, with what the handlers' types do not say: problems have a media type of their own, and names, ids and
//! limits have a form.

use ringback_records::journal::Status;
use ringback_records::outcome::Outcome;
use ringback_records::time::lifetime_pattern;
use serde_json::{Map, Value, json};
use utoipa::openapi::OpenApi;

/// What a problem document is sent as.
const PROBLEM: &str = "application/problem+json";
/// The members of bodies that say how long something lasts.
const LIFETIMES: [&str; 2] = ["expires_in", "keep_previous"];
const METHODS: [&str; 5] = ["get", "put", "post", "delete", "patch"];

/// The document as it is published.
pub(super) fn publish(document: &OpenApi) -> Value {
    let mut document = serde_json::to_value(document).unwrap_or_default();
    for (path, item) in document.get_mut("paths").and_then(Value::as_object_mut).into_iter().flatten() {
        let operations = item.as_object_mut().into_iter().flatten();
        for (_, operation) in operations.filter(|(method, _)| METHODS.contains(&method.as_str())) {
            for parameter in operation.get_mut("parameters").and_then(Value::as_array_mut).into_iter().flatten() {
                describe(path, parameter);
            }
            for (_, response) in operation.get_mut("responses").and_then(Value::as_object_mut).into_iter().flatten() {
                name_problem(response);
            }
        }
    }
    let schemas = document.pointer_mut("/components/schemas").and_then(Value::as_object_mut);
    for (_, schema) in schemas.into_iter().flatten() {
        for name in LIFETIMES {
            if let Some(property) = schema.pointer_mut(&format!("/properties/{name}")).and_then(Value::as_object_mut) {
                property.insert("pattern".to_owned(), lifetime_pattern().into());
            }
        }
    }
    document
}

fn name_problem(response: &mut Value) {
    let Some(content) = response.get_mut("content").and_then(Value::as_object_mut) else { return };
    let is_problem = |body: &Value| body.pointer("/schema/$ref").is_some_and(|to| to == "#/components/schemas/Problem");
    if content.get("application/json").is_some_and(is_problem)
        && let Some(body) = content.remove("application/json")
    {
        content.insert(PROBLEM.to_owned(), body);
    }
}

/// The form of a parameter that takes several values.
fn one_or_more(values: &[&str]) -> Value {
    json!({ "items": { "type": "string", "enum": values }, "minItems": 1 })
}

/// Adds the form of a parameter to its schema.
fn describe(path: &str, parameter: &mut Value) {
    let text = |name: &str| parameter.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (name, place) = (text("name"), text("in"));
    let of = path.split('/').nth(2).unwrap_or_default();
    let is_name = json!({ "pattern": "^[a-z0-9][a-z0-9_-]{0,63}$" });
    let form = match (place.as_str(), of, name.as_str()) {
        ("path", "secrets", "name") => json!({ "pattern": "^[A-Za-z0-9_]{1,64}$" }),
        ("path", "vars", "name") => json!({ "pattern": "^[A-Za-z_][A-Za-z0-9_]{0,63}$" }),
        // Neither `.` nor `..`.
        ("path", "users", "id") => {
            json!({ "pattern": r"^(\.?[A-Za-z0-9_@+-]|[A-Za-z0-9_@+-][A-Za-z0-9._@+-]|[A-Za-z0-9._@+-]{3,128})$" })
        }
        ("path", "callbacks" | "executions" | "tickets", "id") => json!({ "format": "uuid" }),
        ("path", _, "name" | "trigger" | "callback") | ("query", _, "environment") => is_name,
        ("path", _, "signature" | "token_id" | "id") => json!({ "pattern": "^[A-Za-z0-9_-]{1,64}$" }),
        ("query", _, "limit") => json!({ "minimum": 1, "maximum": super::PAGE_MAX }),
        // What the page before ended with: whatever sorts there will do.
        ("query", "users" | "secrets" | "tokens", "cursor") => return,
        ("query", "plugins", "cursor") => is_name,
        ("query", "flows", "cursor") if path == "/v1/flows" => is_name,
        ("query", "flows", "cursor") => json!({ "pattern": "^[0-9]{1,9}$" }),
        ("query", _, "cursor") => json!({ "format": "uuid" }),
        ("query", "callbacks", "outcome") => one_or_more(Outcome::ALL.map(Outcome::as_str).as_slice()),
        ("query", "executions", "status") => one_or_more(Status::ALL.map(Status::as_str).as_slice()),
        ("query", "callbacks" | "executions", "flow" | "trigger") => is_name,
        ("query", "callbacks" | "executions", "ticket" | "execution" | "callback") => json!({ "format": "uuid" }),
        ("query", _, "since" | "until") => {
            json!({ "anyOf": [{ "format": "date-time" }, { "pattern": "^[0-9]{1,5}(ms|s|m|h|d)$" }] })
        }
        ("query", _, "step") => json!({ "pattern": "^[0-9]{1,5}(ms|s|m|h|d)$" }),
        ("header", "flows", "If-Match") => json!({ "pattern": "^\"[0-9]{1,9}\"$" }),
        ("query", _, "after") => json!({ "pattern": "^[0-9]{1,20}$" }),
        ("query", _, "text" | "reason" | "search") => json!({ "minLength": 1, "maxLength": 256 }),
        ("query", "tickets", "status") => json!({ "enum": ["open", "called", "closed", "expired"] }),
        _ => return,
    };
    let Some(parameter) = parameter.as_object_mut() else { return };
    let schema = parameter.entry("schema").or_insert_with(|| Value::Object(Map::new()));
    // Optional parameters are of a type or null; in a query there is no null.
    if let (Some(schema), Value::Object(form)) = (schema.as_object_mut(), form) {
        if let Some(kind) = schema.get("type").and_then(Value::as_array).and_then(|kinds| kinds.first().cloned()) {
            schema.insert("type".to_owned(), kind);
        }
        schema.extend(form);
    }
}

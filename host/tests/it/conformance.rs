//! The conformance data of the languages in a flow, the whole way: a flow file, HTTP, an answer. With the types of the values
//! they are tested beside the code.

use crate::support::{TestServer, cases};
use reqwest::{Method, StatusCode};
use serde_json::{Map, Value, json};

const CEL: &str = include_str!("../conformance/cel.json");
const JSON_PATH: &str = include_str!("../conformance/jsonpath-cts.json");

/// Deploys a flow with these steps behind its trigger: its URL, or `None` when it is refused.
async fn deployed(server: &TestServer, trigger: Value, steps: &[Value]) -> Option<String> {
    let mut all = vec![trigger];
    all.extend_from_slice(steps);
    let flow = json!({ "flow": "conformance", "steps": all });
    let response = server.api(Method::PUT, "/v1/flows/conformance").json(&flow).send().await.unwrap();
    let (status, body): (_, Value) = (response.status(), response.json().await.unwrap());
    match status {
        StatusCode::UNPROCESSABLE_ENTITY => None,
        _ => Some(
            body["triggers"][0]["urls"]["default"]["native"].as_str().unwrap_or_else(|| panic!("{body}")).to_owned(),
        ),
    }
}

/// A value of the data as a flow writes it; `None` for one that JSON has no form for.
fn as_json(typed: &Value) -> Option<Value> {
    let (kind, value) = typed.as_object()?.iter().next()?;
    let list = |name: &str| value.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    Some(match kind.as_str() {
        "int64_value" | "uint64_value" => serde_json::from_str(value.as_str()?).ok()?,
        "double_value" => json!(value.as_f64()?),
        "bytes_value" => value.clone(),
        "list_value" => list("values").iter().map(as_json).collect::<Option<_>>()?,
        "map_value" => {
            let entry = |entry: &Value| {
                let key = as_json(&entry["key"])?;
                Some((key.as_str().map_or_else(|| key.to_string(), str::to_owned), as_json(&entry["value"])?))
            };
            Value::Object(list("entries").iter().map(entry).collect::<Option<Map<_, _>>>()?)
        }
        _ => value.clone(),
    })
}

/// Numbers are compared by what they are worth.
fn same(found: &Value, expected: &Value) -> bool {
    match (found, expected) {
        (Value::Number(found), Value::Number(expected)) => found == expected || found.as_f64() == expected.as_f64(),
        (Value::Array(found), Value::Array(expected)) => {
            found.len() == expected.len() && found.iter().zip(expected).all(|(found, expected)| same(found, expected))
        }
        (Value::Object(found), Value::Object(expected)) => {
            found.len() == expected.len()
                && found.iter().all(|(name, found)| expected.get(name).is_some_and(|expected| same(found, expected)))
        }
        _ => found == expected,
    }
}

/// B2.
#[tokio::test]
async fn b2_the_conformance_data_of_cel_passes_through_a_flow() {
    let server = TestServer::start().await;
    let tests: Vec<Value> = serde_json::from_str(CEL).unwrap();
    let (mut passed, mut failed) = (0, Vec::new());
    for test in &tests {
        let expression = test["expr"].as_str().unwrap();
        let bindings = test["bindings"].as_object().into_iter().flatten();
        let bindings = bindings.map(|(name, binding)| Some((name.clone(), as_json(&binding["value"])?)));
        let mut steps = Vec::new();
        if let Some(bindings) = bindings.collect::<Option<Map<_, _>>>().filter(|bindings| !bindings.is_empty()) {
            steps.push(json!({ "set": bindings }));
        }
        steps.push(json!({ "set": { "found": format!("${{{{ {expression} }}}}") } }));
        steps.push(json!({ "respond": { "json": "${{ found }}" } }));
        let trigger = json!({ "trigger": "Ask", "mode": "sync" });
        let expected = test.get("value").map_or(Some(json!(true)), as_json);
        let found = match deployed(&server, trigger, &steps).await {
            None => None,
            Some(url) => {
                let response = server.post(&url, &json!(null)).await;
                let status = response.status();
                let body = response.bytes().await.unwrap();
                (status == StatusCode::OK).then(|| serde_json::from_slice::<Value>(&body).unwrap())
            }
        };
        let is_right = match (test.get("eval_error"), &found, expected) {
            (Some(_), found, _) => found.is_none(),
            (None, Some(found), Some(expected)) => same(found, &expected),
            (None, None, None) => true,
            _ => false,
        };
        match is_right {
            true => passed += 1,
            false => failed.push(format!("{expression}: {found:?}")),
        }
    }
    // The others are named beside the code; and a flow has no names with dots, nor those of literals.
    assert_eq!(passed, 1577, "{}", failed.join("\n"));
    cases(passed);
}

#[tokio::test]
async fn the_compliance_suite_of_jsonpath_passes_through_a_flow() {
    let server = TestServer::start().await;
    let suite: Value = serde_json::from_str(JSON_PATH).unwrap();
    let (mut passed, mut failed) = (0, Vec::new());
    for test in suite["tests"].as_array().unwrap() {
        let selector = test["selector"].as_str().unwrap();
        let trigger = json!({ "trigger": "Ask", "mode": "sync", "fields": { "found": selector } });
        let steps = [json!({ "respond": { "json": "${{ fields.found }}" } })];
        let url = deployed(&server, trigger, &steps).await;
        let is_right = match (&url, test["invalid_selector"] == true) {
            (None, invalid) => invalid,
            (Some(_), true) => false,
            (Some(url), false) => {
                let found: Value = server.post(url, &test["document"]).await.json().await.unwrap();
                // One value is picked as it is, none is null.
                let pick = |result: &Value| match result.as_array().unwrap().as_slice() {
                    [] => Value::Null,
                    [one] => one.clone(),
                    all => all.into(),
                };
                let results = test["results"].as_array().into_iter().flatten().chain(test.get("result"));
                results.map(pick).any(|expected| same(&found, &expected))
            }
        };
        match is_right {
            true => passed += 1,
            false => failed.push(format!("{}: {selector}", test["name"])),
        }
    }
    // The four have patterns that are not written out.
    assert_eq!((passed, failed.len()), (699, 4), "{}", failed.join("\n"));
    cases(passed);
}

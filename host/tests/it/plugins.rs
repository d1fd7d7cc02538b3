//! The interface of plugins, 1.0: what a plugin may say of a callback and of its configuration, and where that is seen.

use crate::support::{TestServer, cases};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

/// What the trace says of a stage.
fn entry<'r>(record: &'r Value, stage: &str) -> &'r Value {
    record["trace"].as_array().unwrap().iter().find(|entry| entry["stage"] == stage).unwrap()
}

/// A flow whose trigger is as these lines say.
fn flow(lines: &[&str]) -> String {
    let lines: String = lines.iter().map(|line| format!("    {line}\n")).collect();
    format!("flow: orders\nsteps:\n  - trigger: Hook\n{lines}")
}

#[tokio::test]
async fn a_decision_says_why() {
    let server = TestServer::start().await.with_plugins(&["misbehave", "field-match"]).await;
    let say =
        |holds: bool, why: &str| flow(&[&format!("when: {{ plugin: misbehave, with: {{ say: [{holds}, {why}] }} }}")]);
    let reason = async |source: &str| {
        let url = server.deploy(source).await;
        let response = server.post(&url, &json!({ "ref": "b" })).await;
        (
            response.status(),
            entry(&server.callback(&response).await, "condition")["reason"].as_str().unwrap().to_owned(),
        )
    };
    let no = reason(&say(false, "the order is old")).await;
    assert_eq!(no, (StatusCode::NO_CONTENT, "the plugin misbehave says false: the order is old".to_owned()));
    let yes = reason(&say(true, "'it\\n is\\e[31m new'").replace('\'', "\"")).await;
    assert_eq!(yes, (StatusCode::ACCEPTED, "the plugin misbehave says true: it  is [31m new".to_owned()));
    let (_, long) = reason(&say(false, &"é".repeat(10_000))).await;
    let said = long.strip_prefix("the plugin misbehave says false: ").unwrap();
    assert_eq!(said, "é".repeat(512), "1 KiB of it");
    assert_eq!(reason(&say(true, "''")).await.1, "the plugin misbehave says true");
    let rule = "when: { plugin: field-match, with: { all: [{ path: $.ref, op: equals, value: a }] } }";
    let expected = "the plugin field-match says false: the rule on `$.ref` does not hold";
    assert_eq!(reason(&flow(&[rule])).await, (StatusCode::NO_CONTENT, expected.to_owned()));
}

#[tokio::test]
async fn a_failure_says_where_and_what_else() {
    let server = TestServer::start().await.with_plugins(&["misbehave"]).await;
    let asks = |pointer: &str, detail: &str| {
        flow(&[&format!("when: {{ plugin: misbehave, with: {{ fail_at: [{pointer}, {detail}] }} }}")])
    };
    let fails = async |pointer: &str, detail: &str| {
        let url = server.deploy(&asks(pointer, detail)).await;
        let response = server.post(&url, &json!({})).await;
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let record = server.callback(&response).await;
        let entry = entry(&record, "condition");
        (entry["reason"].as_str().unwrap().to_owned(), entry["plugins"][0]["log"].clone())
    };
    let (reason, log) = fails("/rules/0", "{ order: [7] }").await;
    let expected =
        "the plugin misbehave answered as-configured: the configuration says so (at `/rules/0` of its configuration)";
    assert_eq!((reason.as_str(), &log), (expected, &json!([r#"detail: {"order":[7]}"#])));
    let (reason, log) = fails(&"x".repeat(5000), &"y".repeat(5000)).await;
    assert!(reason.len() < 700, "{reason}");
    assert_eq!(log, json!(["detail: left out, since it has 5002 bytes, more than 4096"]));
}

/// What a verifier proves is seen by expressions and other plugins, now and when the callback is replayed.
#[tokio::test]
async fn claims_of_a_verifier_are_seen_by_what_comes_after_it() {
    let server = TestServer::start().await.with_plugins(&["misbehave"]).await;
    let source = |claims: &str| {
        let verify = format!("verify: {{ plugin: misbehave, with: {{ claim: {claims} }} }}");
        let when = "when: { all: [callback.claims.shop == 'north', { plugin: misbehave, with: site }] }";
        flow(&[&verify, when])
    };
    let url = server.deploy(&source("{ shop: north, level: 2 }")).await;
    let response = server.post(&url, &json!({ "a": 1 })).await;
    let record = server.callback(&response).await;
    assert_eq!((response.status(), &record["claims"]), (StatusCode::ACCEPTED, &json!({ "shop": "north", "level": 2 })));
    let site = |record: &Value| {
        let line = entry(record, "condition")["plugins"][0]["log"][0].as_str().unwrap().to_owned();
        serde_json::from_str::<Value>(line.strip_prefix("info: ").unwrap()).unwrap()
    };
    let expected = json!({
        "environment": "default", "flow": "orders", "trigger": "hook", "remote": "127.0.0.1", "size": 7,
        "claims": { "shop": "north", "level": 2 },
    });
    assert_eq!(site(&record), expected);
    let id = record["id"].as_str().unwrap();
    let replayed = server.api(Method::POST, &format!("/v1/callbacks/{id}/replay")).send().await.unwrap();
    let replayed: Value = replayed.json().await.unwrap();
    assert_eq!(replayed["outcome"], "started", "{replayed:#}");
    assert_eq!(site(&replayed), expected, "its address is kept with it");

    server.deploy(&source("{ shop: south }")).await;
    assert_eq!(server.post(&url, &json!({})).await.status(), StatusCode::NO_CONTENT);
    server.deploy(&flow(&["when: callback.claims == null", "verify: { plugin: misbehave, with: behave }"])).await;
    assert_eq!(server.post(&url, &json!({})).await.status(), StatusCode::ACCEPTED);
    // More than it may say: it says nothing, and so it is not believed.
    server.deploy(&source(&format!("{{ shop: {} }}", "x".repeat(17_000)))).await;
    let response = server.post(&url, &json!({})).await;
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let record = server.callback(&response).await;
    assert!(
        entry(&record, "verify")["reason"].as_str().unwrap().contains("the claims have 17011 bytes, more than 16384")
    );
    assert_eq!(entry(&record, "verify")["plugins"][0]["failure"], "plugin_bad_output");
}

/// A key may be written in the secret as its provider shows it.
#[tokio::test]
async fn a_secret_says_its_key_in_the_form_that_a_plugin_asks_for() {
    let server = TestServer::start().await.with_plugins(&["misbehave"]).await;
    let mac = "f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8";
    for (form, value, expected) in [
        ("", "key", StatusCode::ACCEPTED),
        ("hex:", "6B6579", StatusCode::ACCEPTED),
        ("base64:", "a2V5\n", StatusCode::ACCEPTED),
        ("hex:", "6B65", StatusCode::UNAUTHORIZED),
        ("", "6B6579", StatusCode::UNAUTHORIZED),
        ("hex:", "key", StatusCode::INTERNAL_SERVER_ERROR),
    ] {
        server.set_secret("KEY", value).await;
        let verify = format!("verify: {{ plugin: misbehave, with: {{ mac: ['{form}KEY', hex, 'The quick '] }} }}");
        let url = server.deploy(&flow(&["parse: text", &verify])).await;
        let request = server.call(Method::POST, &url).header("content-type", "text/plain").header("x-mac", mac);
        let response = request.body("brown fox jumps over the lazy dog").send().await.unwrap();
        assert_eq!(response.status(), expected, "{form}{value}");
        cases(1);
    }
}

/// The line and the column are those of the key that is wrong, whoever finds it: the schema, or the plugin.
#[tokio::test]
async fn a_wrong_configuration_is_shown_where_it_stands() {
    let server = TestServer::start().await.with_plugins(&["misbehave", "field-match", "csv-rows"]).await;
    let refusal = "does not accept this configuration: ";
    for (source, line, column, expected) in [
        (
            "flow: f\nsteps:\n  - trigger: Hook\n    when:\n      plugin: field-match\n      with:\n        all:\n          - \
             path: $.a\n            op: equal\n",
            9,
            13,
            "steps[0].when.with.all[0].op: the plugin `field-match` REFUSALis the text \"equal\" (did you mean `equals`?); allowed: ",
        ),
        (
            "flow: f\nsteps:\n  - trigger: Hook\n    when: { plugin: field-match, with: { all: [{ path: $.a, op: in, value: 1 }] } }\n",
            4,
            69,
            "must be a list, and is `1`",
        ),
        (
            "flow: f\nsteps:\n  - trigger: Hook\n    when: { plugin: field-match, with: { all: [{ op: exists }] } }\n",
            4,
            48,
            "steps[0].when.with.all[0]: the plugin `field-match` REFUSAL`path` is missing",
        ),
        (
            "flow: f\nsteps:\n  - trigger: Hook\n    parse: { plugin: csv-rows, with: { header: true, seperator: ; } }\n",
            4,
            54,
            "steps[0].parse.with.seperator: the plugin `csv-rows` REFUSALis not known here; known: `header`",
        ),
        // No schema: the SDK says where.
        (
            "flow: f\nsteps:\n  - trigger: Hook\n    when: { plugin: misbehave, with: { log: [1, many] } }\n",
            4,
            49,
            "steps[0].when.with.log[1]: the plugin `misbehave` REFUSALinvalid type: string \"many\"",
        ),
        (
            "flow: f\nsteps:\n  - trigger: Hook\n    when: { plugin: misbehave }\n",
            4,
            11,
            "steps[0].when: the plugin `misbehave` REFUSAL",
        ),
    ] {
        let (status, body) = server.try_deploy(source).await;
        let mistake = &body["errors"][0];
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{body:#}");
        assert_eq!((&mistake["line"], &mistake["column"]), (&json!(line), &json!(column)), "{body:#}");
        assert!(body["detail"].as_str().unwrap().contains(&expected.replace("REFUSAL", refusal)), "{body:#}");
        cases(1);
    }
}

//! What a plugin says of itself, its schema and its vectors: held against it when it is uploaded, whatever it is.

use crate::support::{TestServer, cases};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::path::Path;
use wit_component::{StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// What an exported function does.
#[derive(Clone)]
enum Does {
    /// It is not exported.
    Nothing,
    /// It answers this text.
    Says(String),
    /// It runs this, and leaves its answer at 1024.
    Runs(&'static str),
}

/// A plugin by hand: a condition or a verifier, and what it says of itself.
struct Plugin {
    schema: Does,
    check: &'static str,
    cases: Does,
    /// `None` for a condition that holds.
    role: Option<(&'static str, &'static str)>,
}

impl Default for Plugin {
    fn default() -> Self {
        Self { schema: Does::Nothing, check: "", cases: Does::Nothing, role: None }
    }
}

const HOLDS: &str = "i32.const 1028 i32.const 1 i32.store8";

impl Plugin {
    fn build(self) -> Vec<u8> {
        let Self { schema, check, cases, role } = self;
        let (role, body) = role.unwrap_or(("condition", HOLDS));
        let mut exports = vec![role];
        let mut data = String::new();
        let mut at = 65_536;
        // A text is an option for the schema, and a pair for the cases.
        let mut answer = |does: &Does, is_option: bool| match does {
            Does::Nothing => String::new(),
            Does::Runs(body) => (*body).to_owned(),
            Does::Says(text) => {
                let bytes: String = text.bytes().map(|byte| format!("\\{byte:02x}")).collect();
                data += &format!("(data (i32.const {at}) \"{bytes}\")");
                let (pointer, length) = (at, text.len());
                at += length;
                let first = if is_option { 1028 } else { 1024 };
                let option = if is_option { "i32.const 1024 i32.const 1 i32.store" } else { "" };
                format!(
                    "{option} i32.const {first} i32.const {pointer} i32.store \
                     i32.const {first} i32.const {length} i32.store offset=4"
                )
            }
        };
        let (schema_body, cases_body) = (answer(&schema, true), answer(&cases, false));
        let mut functions = String::new();
        if !matches!(schema, Does::Nothing) {
            exports.push("configurable");
            functions += &format!(
                r#"(func (export "ringback:plugin/configurable@1.0.0#schema") (param i32 i32) (result i32)
                     {schema_body} i32.const 1024)
                   (func (export "ringback:plugin/configurable@1.0.0#check") (param i32 i32 i32 i32) (result i32)
                     {check} i32.const 1024)"#
            );
        }
        if !matches!(cases, Does::Nothing) {
            exports.push("vectors");
            functions += &format!(
                r#"(func (export "ringback:plugin/vectors@1.0.0#cases") (result i32) {cases_body} i32.const 1024)"#
            );
        }
        let (name, parameters) = match role {
            "condition" => ("evaluate", "(param i32 i32 i32 i32 i32)"),
            _ => ("verify", "(param i32 i32 i32)"),
        };
        let text = format!(
            r#"(module
                (memory (export "memory") {pages})
                {data} (data (i32.const 256) "/nowhere/0") (data (i32.const 512) "not {{JSON")
                (func (export "ringback:plugin/{role}@1.0.0#{name}") {parameters} (result i32) (local $n i32)
                  {body} i32.const 1024)
                {functions}
                (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) i32.const 32768))"#,
            pages = (at >> 16) + 33,
        );
        let mut module = wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}\n{text:.2000}"));
        let mut resolve = Resolve::default();
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("wit/1.0.0");
        resolve.push_dir(directory).unwrap();
        let exports: String = exports.iter().map(|name| format!("export ringback:plugin/{name}@1.0.0;")).collect();
        let world = format!("package test:it; world it {{ include ringback:plugin/imports@1.0.0; {exports} }}");
        let package = resolve.push_str("it.wit", &world).unwrap();
        let world = resolve.select_world(&[package], Some("it")).unwrap();
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
        module
    }
}

fn with_cases(cases: &Value) -> Plugin {
    Plugin { cases: Does::Says(cases.to_string()), ..Plugin::default() }
}

fn with_schema(schema: String) -> Plugin {
    Plugin { schema: Does::Says(schema), ..Plugin::default() }
}

const LOOP: &str = "(loop $l br $l)";
const BURN: &str = "(loop $l local.get $n i32.const 1 i32.add local.tee $n i32.const 180000000 i32.lt_u br_if $l)
    i32.const 1028 i32.const 1 i32.store8";

/// A plugin whose words cannot be taken says so in one line, by an upload as by a check; and the next one is taken.
#[tokio::test]
async fn what_a_plugin_says_of_itself_is_held_against_it() {
    let server = TestServer::start().await;
    let case = |expect: Value| json!([{ "name": "a case", "role": "condition", "expect": expect }]);
    let holds = json!({ "holds": true });
    let with = |members: Value| {
        let mut case = json!({ "name": "a case", "role": "condition", "expect": { "holds": true } });
        case.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        json!([case])
    };
    let runs = |schema: &'static str| Plugin { schema: Does::Runs(schema), ..Plugin::default() };
    let cases_run = |body: &'static str| Plugin { cases: Does::Runs(body), ..Plugin::default() };
    let failing = |body: &'static str| Plugin { role: Some(("condition", body)), ..with_cases(&case(holds.clone())) };
    let deep = "[".repeat(200) + &"]".repeat(200);
    let many = |count: usize| Value::from_iter(std::iter::repeat_n(case(holds.clone())[0].clone(), count));
    for (plugin, expected) in [
        (with_schema("{".to_owned()), "its schema for a condition is not JSON: "),
        (with_schema(deep.clone()), "its schema for a condition is not JSON: "),
        (with_schema("[]".to_owned()), "its schema for a condition is no object"),
        (with_schema(" ".repeat(65_537)), "its schema for a condition has 65537 bytes, more than 65536"),
        (with_schema(r##"{"$ref": "#/$defs/x"}"##.to_owned()), "its schema for a condition refers to `#/$defs/x`"),
        (runs(LOOP), "its schema for a condition cannot be asked for: it ran longer than "),
        (runs("unreachable"), "its schema for a condition cannot be asked for: it trapped: "),
        (cases_run(LOOP), "its vectors cannot be asked for: it ran longer than "),
        (cases_run("unreachable"), "its vectors cannot be asked for: it trapped: "),
        (Plugin { cases: Does::Says("[".to_owned()), ..Plugin::default() }, "its vectors cannot be read: "),
        (Plugin { cases: Does::Says(deep), ..Plugin::default() }, "its vectors cannot be read: "),
        (with_cases(&json!({})), "its vectors are no list"),
        (with_cases(&many(65)), "its vectors are 65, more than 64"),
        (with_cases(&json!(["x".repeat(262_144)])), "its vectors have 262148 bytes, more than 262144"),
        (with_cases(&json!([1])), "its vector `#1` fails: it cannot be read: "),
        (
            with_cases(&with(json!({ "expects": 1 }))),
            "its vector `a case` fails: it cannot be read: unknown field `expects`",
        ),
        (with_cases(&with(json!({ "role": "judge" }))), "unknown variant `judge`"),
        (with_cases(&with(json!({ "role": "parser", "expect": { "data": 1 } }))), "fails: the plugin is no parser"),
        (with_cases(&with(json!({ "callback": { "bodi": 1 } }))), "unknown field `bodi`"),
        (with_cases(&with(json!({ "callback": { "url": "/h/key" } }))), "fails: `url` is not absolute"),
        (with_cases(&with(json!({ "callback": { "method": "GE T" } }))), "fails: `GE T` is no method"),
        (
            with_cases(&with(json!({ "callback": { "headers": { "a b": "c" } } }))),
            "fails: no header can have the name `a b`",
        ),
        (with_cases(&with(json!({ "callback": { "body_base64": "%" } }))), "fails: `body_base64` is no base64"),
        (with_cases(&with(json!({ "callback": { "body": 1, "body_base64": "AA==" } }))), "fails: it has both"),
        (with_cases(&case(json!({}))), "its vector `a case` fails: it expects nothing"),
        (with_cases(&case(json!({ "holds": true, "failure": "x" }))), "fails: it expects several things at once"),
        (with_cases(&case(json!({ "data": 1 }))), "fails: it expects `data` of a condition"),
        (with_cases(&case(json!({ "failure": "x", "reason": "y" }))), "fails: it expects a `reason` without `holds`"),
        (with_cases(&case(json!({ "holds": false }))), "its vector `a case` fails: it says true, not false"),
        (with_cases(&case(json!({ "holds": true, "reason": "x" }))), r#"fails: its reason is "", without "x""#),
        (with_cases(&case(json!({ "failure": "x" }))), "fails: it answers, and should fail with the code `x`"),
        (failing(LOOP), "its vector `a case` fails: it ran longer than "),
        (failing("unreachable"), "its vector `a case` fails: it trapped: "),
        (
            Plugin { role: Some(("condition", BURN)), ..with_cases(&many(64)) },
            "its vectors take more than 2 s of CPU time together",
        ),
    ] {
        let file = plugin.build();
        let check = server.api(Method::POST, "/v1/plugins/check").header("content-type", "application/wasm");
        let checked: Value = check.body(file.clone()).send().await.unwrap().json().await.unwrap();
        let detail = checked["detail"].as_str().unwrap_or_default();
        assert!(detail.contains(expected), "{expected}: {checked}");
        assert!(!detail.contains('\n') && detail.len() < 900, "{detail}");
        let (status, body) = server.upload("hostile", file).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{expected}: {body}");
        cases(1);
    }
    assert_eq!(server.get("/v1/plugins").await["items"], json!([]));
    assert_eq!(std::fs::read_dir(server.data().join("plugins")).unwrap().count(), 0);
    let fine = with_cases(&with(json!({
        "callback": {
            "method": "PUT", "url": "https://a.test/x?y=1", "headers": { "x-a": "b" }, "body": { "a": 1 }, "flow": "f",
            "trigger": "t", "environment": "e", "remote_address": "192.0.2.1", "claims": { "c": 1 },
        },
        "config": { "a": 1 }, "data": null, "execution": { "scope": { "data": 1 } }, "now": 0, "secrets": { "A": "b" },
        "state": { "a": "b" }, "http": [{ "url": "https://a.test/", "status": 500, "body": "c" }],
    })));
    let (status, body) = server.upload("fine", fine.build()).await;
    assert_eq!((status, &body["vectors"]), (StatusCode::CREATED, &json!(1)), "{body}");
    server.with_plugins(&["field-match", "csv-rows", "twilio-signature", "json-reshape", "template-reply"]).await;
}

/// The schema is there for editors and consoles, and stays so.
#[tokio::test]
async fn the_schemas_of_a_plugin_can_be_fetched() {
    let server = TestServer::start().await.with_plugins(&["field-match", "misbehave"]).await;
    let shown = server.get("/v1/plugins/field-match").await;
    assert_eq!(shown["versions"][0]["vectors"], 4, "{shown:#}");
    let server = server.restart().await;
    let schemas = server.get("/v1/plugins/field-match/schemas").await;
    assert_eq!(schemas["condition"]["title"], "field-match", "{schemas:#}");
    assert_eq!(server.get("/v1/plugins/misbehave/schemas").await, json!({}));
    let missing = server.api(Method::GET, "/v1/plugins/none/schemas").send().await.unwrap();
    assert_eq!(missing.status(), StatusCode::NOT_FOUND);
}

/// What is said where it cannot be meant: a place that is not there, a reason without an end, claims that are none.
#[tokio::test]
async fn what_a_plugin_says_in_a_call_is_bounded() {
    let server = TestServer::start().await;
    // A failure with the code and the message `/nowhere/0`, and that as its place.
    let nowhere = "i32.const 1024 i32.const 1 i32.store
        i32.const 1028 i32.const 256 i32.store i32.const 1032 i32.const 10 i32.store
        i32.const 1036 i32.const 256 i32.store i32.const 1040 i32.const 10 i32.store
        i32.const 1048 i32.const 1 i32.store i32.const 1052 i32.const 256 i32.store i32.const 1056 i32.const 10 i32.store";
    let upload = async |plugin: Plugin| {
        let (status, body) = server.upload("tool", plugin.build()).await;
        assert!(status.is_success(), "{body}");
    };
    upload(Plugin { check: nowhere, ..with_schema("true".to_owned()) }).await;
    let flow = |role: &str| {
        format!("flow: test\nsteps:\n  - trigger: Hook\n    {role}: {{ plugin: tool, with: {{ a: 1 }} }}\n")
    };
    let (status, body) = server.try_deploy(&flow("when")).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!((&body["errors"][0]["line"], &body["errors"][0]["column"]), (&json!(4), &json!(33)), "{body:#}");

    let called = async |role: &str| {
        let url = server.deploy(&flow(role)).await;
        let response = server.post(&url, &json!({})).await;
        let record = server.callback(&response).await;
        let stage = if role == "when" { "condition" } else { "verify" };
        let entry = record["trace"].as_array().unwrap().iter().find(|entry| entry["stage"] == stage).cloned().unwrap();
        (response.status(), entry["reason"].as_str().unwrap().to_owned())
    };
    let long = "i32.const 1028 i32.const 1 i32.store8 i32.const 1032 i32.const 1 i32.store
        i32.const 1036 i32.const 65536 i32.store i32.const 1040 i32.const 1048576 i32.store";
    upload(Plugin { role: Some(("condition", long)), ..Plugin::default() }).await;
    let (status, reason) = called("when").await;
    assert_eq!(status, StatusCode::ACCEPTED);
    assert_eq!(reason.len(), "the plugin tool says true: ".len() + 1024, "{reason}");

    let claims = "i32.const 1056 i32.const 1 i32.store i32.const 1060 i32.const 512 i32.store
        i32.const 1064 i32.const 9 i32.store";
    upload(Plugin { role: Some(("verifier", claims)), ..Plugin::default() }).await;
    let (status, reason) = called("verify").await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(reason.contains("answered with what is not allowed: the claims are not JSON"), "{reason}");
    upload(Plugin::default()).await;
    assert_eq!(called("when").await.0, StatusCode::ACCEPTED);
}

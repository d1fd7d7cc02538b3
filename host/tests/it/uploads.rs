//! Uploads: every wrong file has a reason of its own, in one line, and leaves nothing behind.

use crate::support::{TestServer, cases, plugin};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::collections::BTreeSet;

fn component(wat: &str) -> Vec<u8> {
    wat::parse_str(wat).unwrap_or_else(|error| panic!("{error}"))
}

/// The types of the interface that a component in text needs for one import of a function.
fn importing(interface: &str, function: &str) -> Vec<u8> {
    component(&format!("(component (import \"{interface}\" (instance {function})))"))
}

fn wrong_files() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let huge_function = format!("(component (core module (func {})))", "i32.const 0 drop ".repeat(60_000));
    let many_functions = format!("(component (core module {}))", "(func)".repeat(20_001));
    let branches = format!("(component (core module (func (block i32.const 0 br_table 0 {}))))", "0 ".repeat(5000));
    let locals = format!("(component (core module (func (local {}))))", "i32 ".repeat(20_000));
    let mut cut = plugin("field-match");
    cut.truncate(cut.len() / 2);
    let mut flipped = component("(component (core module (func (result i32) i32.const 1)))");
    let last = flipped.len() - 1;
    flipped[last] = 0xff;
    vec![
        ("empty", Vec::new(), "is empty"),
        ("text", b"hello".to_vec(), "it is text"),
        ("WebAssembly text", b"(module)".to_vec(), "WebAssembly text"),
        ("ZIP", b"PK\x03\x04 and more".to_vec(), "ZIP archive"),
        ("gzip", b"\x1f\x8b\x08 and more".to_vec(), "gzip"),
        ("ELF", b"\x7fELF and more".to_vec(), "for this machine"),
        ("other bytes", vec![0xca, 0xfe, 0xba, 0xbe], "does not begin with"),
        ("cut off", cut, "damaged or cut off"),
        ("flipped", flipped, "damaged or cut off"),
        ("plain module", component("(module)"), "without a component type"),
        ("no role", component("(component)"), "exports none of the interfaces"),
        ("files", importing("wasi:filesystem/types@0.9.0", ""), "is not available"),
        ("other interface", importing("ringback:plugin/launch@0.1.0", ""), "is not available"),
        ("other version", importing("ringback:plugin/log@7.0.0", ""), "another version"),
        (
            "wrong import type",
            importing("ringback:plugin/call@0.1.0", "(export \"now\" (func (result string)))"),
            "does not fit",
        ),
        ("threads", component("(component (core module (memory 1 1 shared)))"), "feature that is not available"),
        ("64-bit memory", component("(component (core module (memory i64 1)))"), "feature that is not available"),
        (
            "several memories",
            component("(component (core module (memory 1) (memory 1)))"),
            "feature that is not available",
        ),
        ("collected objects", component("(component (core module (type (struct))))"), "feature that is not available"),
        ("too much memory", component("(component (core module (memory 1000)))"), "-z,stack-size=65536"),
        ("huge function", component(&huge_function), "a function of"),
        ("many functions", component(&many_functions), "20001 functions"),
        ("branches", component(&branches), "branch table"),
        ("locals", component(&locals), "locals"),
        ("too large", vec![0; (8 << 20) + 1], "large_plugins"),
    ]
}

#[tokio::test]
async fn every_wrong_file_has_a_reason_and_leaves_nothing_behind() {
    let server = TestServer::start().await;
    let mut reasons = BTreeSet::new();
    for (what, bytes, expected) in wrong_files() {
        let (status, body) = server.upload("wrong", bytes).await;
        let detail = body["detail"].as_str().unwrap_or_default().to_owned();
        let refused = matches!(status, StatusCode::UNPROCESSABLE_ENTITY | StatusCode::PAYLOAD_TOO_LARGE);
        assert!(refused && detail.contains(expected), "{what}: {status} {detail}");
        assert!(!detail.contains('\n') && detail.len() < 600, "{what}: {detail}");
        cases(1);
        reasons.insert(detail);
    }
    assert!(reasons.len() >= 20, "{reasons:#?}");
    assert_eq!(server.get("/v1/plugins").await["items"], json!([]));
    for directory in ["plugins", "cache"] {
        assert_eq!(std::fs::read_dir(server.data().join(directory)).unwrap().count(), 0, "{directory}");
    }
    server.with_plugins(&["field-match"]).await;
}

#[tokio::test]
async fn a_compile_bomb_ends_in_the_child() {
    let server = TestServer::start().await;
    // Many large functions, each within its limit: too much for the compiler's memory or time, or just compiled.
    let body = "local.get 0 local.get 0 i32.mul local.get 0 i32.add local.set 0 ".repeat(8000);
    let bomb = format!("(component (core module {}))", format!("(func (param i32) {body})").repeat(40));
    let (status, body) = server.upload("bomb", component(&bomb)).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
    server.with_plugins(&["field-match"]).await;
}

#[tokio::test]
async fn versions_are_immutable_activated_and_rolled_back() {
    let server = TestServer::start().await.with_plugins(&["field-match"]).await;
    let (status, again) = server.upload("field-match", plugin("field-match")).await;
    assert_eq!((status, &again["version"]), (StatusCode::OK, &json!(1)), "the same file is the same version");
    let url = server
        .deploy("flow: f\nsteps:\n  - trigger: Hook\n    when: { plugin: field-match, with: { all: [{ path: $.a, op: exists }] } }\n")
        .await;
    let body = json!({ "b": 1 });
    let send = || server.post(&url, &body);
    assert_eq!(send().await.status(), StatusCode::NO_CONTENT);
    // Another plugin under the name: it does not know the configuration.
    let (status, second) = server.upload("field-match", plugin("misbehave")).await;
    assert_eq!((status, &second["version"], &second["active"]), (StatusCode::CREATED, &json!(2), &json!(true)));
    assert_eq!(send().await.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let activate = |version: u32| {
        server.api(Method::PUT, "/v1/plugins/field-match/active").json(&json!({ "version": version })).send()
    };
    assert_eq!(activate(3).await.unwrap().status(), StatusCode::NOT_FOUND);
    assert_eq!(activate(1).await.unwrap().status(), StatusCode::OK);
    assert_eq!(send().await.status(), StatusCode::NO_CONTENT, "rolled back without a restart");
    let remove = server.api(Method::DELETE, "/v1/plugins/field-match").send().await.unwrap();
    assert_eq!(remove.status(), StatusCode::CONFLICT, "a flow uses it");
    let server = server.restart().await;
    let plugin = server.get("/v1/plugins/field-match").await;
    assert_eq!((&plugin["active"], plugin["versions"].as_array().unwrap().len()), (&json!(1), 2));
}

#[tokio::test]
async fn a_cache_that_was_changed_is_compiled_again() {
    let server = TestServer::start().await.with_plugins(&["field-match"]).await;
    server
        .deploy("flow: f\nsteps:\n  - trigger: Hook\n    when: { plugin: field-match, with: { all: [{ path: $.a, op: exists }] } }\n")
        .await;
    for entry in std::fs::read_dir(server.data().join("cache")).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&path, bytes).unwrap();
    }
    let server = server.restart().await;
    let flow = server.get("/v1/flows/f").await;
    let url = flow["triggers"][0]["urls"]["default"]["native"].as_str().unwrap();
    assert_eq!(server.post(url, &json!({ "a": 1 })).await.status(), StatusCode::ACCEPTED);
}

/// R19: a version that does not load has a code of its own, says what to do, and is not the end of anything else.
#[tokio::test]
async fn r19_a_version_that_does_not_load_says_so() {
    let server = TestServer::start().await.with_plugins(&["field-match"]).await;
    let asks = "    when: { plugin: field-match, with: { all: [{ path: $.a, op: exists }] } }\n";
    server.deploy(&format!("flow: asks\nsteps:\n  - trigger: Hook\n{asks}")).await;
    server.deploy("flow: plain\nsteps:\n  - trigger: Hook\n").await;
    for directory in ["cache", "plugins"] {
        for entry in std::fs::read_dir(server.data().join(directory)).unwrap() {
            std::fs::write(entry.unwrap().path(), "changed").unwrap();
        }
    }
    let server = server.restart().await;
    let url = server.urls("asks").await.remove(0);
    let failed = server.post(&url, &json!({ "a": 1 })).await;
    let record = server.callback(&failed).await;
    let problem: Value = failed.json().await.unwrap();
    assert_eq!(problem["code"], "plugin_not_loaded");
    assert!(record.to_string().contains("version 1 of the plugin field-match does not load"), "{record}");
    let activate = server.api(Method::PUT, "/v1/plugins/field-match/active").json(&json!({ "version": 1 }));
    let refused: Value = activate.send().await.unwrap().json().await.unwrap();
    assert_eq!(refused["code"], "plugin_not_loaded");
    let plain = server.urls("plain").await.remove(0);
    assert_eq!(server.post(&plain, &json!({})).await.status(), StatusCode::ACCEPTED);
}

/// A file with a custom section that makes it so long.
pub fn with_debug_section(mut bytes: Vec<u8>, total: usize) -> Vec<u8> {
    let name = b".debug_info";
    // A custom section: its kind, its length in four bytes, the length of its name, the name, what it has.
    let length = total - bytes.len() - 1 - 4;
    bytes.push(0);
    bytes.extend([0, 7, 14, 21].map(|shift| (length >> shift) as u8 & 0x7f | if shift < 21 { 0x80 } else { 0 }));
    bytes.push(name.len() as u8);
    bytes.extend(name);
    bytes.resize(total, b'x');
    bytes
}

/// The largest file of the normal class, one byte more, and what an operator allows.
#[tokio::test]
async fn the_classes_meet_at_8_mib() {
    let limit = 8 << 20;
    let of = |total| with_debug_section(plugin("field-match"), total);
    let server = TestServer::start().await;
    let (status, body) = server.upload("largest", of(limit)).await;
    assert_eq!((status, &body["large"]), (StatusCode::CREATED, &json!(false)), "{body}");
    let (status, body) = server.upload("larger", of(limit + 1)).await;
    assert_eq!((status, &body["code"]), (StatusCode::PAYLOAD_TOO_LARGE, &json!("plugin_too_large")));
    let expected = "the file has 8388609 bytes, more than the 8388608 that are allowed: a component with a whole interpreter \
                    in it (Python, SpiderMonkey) needs `large_plugins = true`";
    assert!(body["detail"].as_str().unwrap().starts_with(expected), "{body}");
    let server = server.restart_with(|config| config.large_plugins = true).await;
    let (status, body) = server.upload("larger", of(limit + 1)).await;
    assert_eq!((status, &body["large"]), (StatusCode::CREATED, &json!(true)), "{body}");
    let asks = "    when: { plugin: largest, with: { all: [{ path: $.a, op: exists }] } }\n";
    let url = server.deploy(&format!("flow: asks\nsteps:\n  - trigger: Hook\n{asks}")).await;
    assert_eq!(server.post(&url, &json!({ "a": 1 })).await.status(), StatusCode::ACCEPTED);
}

/// K12: whoever uploads what is for debuggers is told how to leave it out.
#[tokio::test]
async fn k12_a_file_that_is_too_large_for_its_debug_sections_says_how_to_strip_it() {
    let server = TestServer::start().await;
    let (status, body) = server.upload("fat", with_debug_section(plugin("field-match"), 9 << 20)).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    let detail = body["detail"].as_str().unwrap();
    assert!(detail.contains("strip = true") && detail.contains("wasm-tools strip"), "{detail}");
    server.with_plugins(&["field-match"]).await;
}

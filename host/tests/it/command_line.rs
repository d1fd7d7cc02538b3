//! The real binary: what it says, and its exit codes.

use crate::support::{BINARY, TestServer, plugin};
use reqwest::Method;
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Output};

fn ringback(server: &TestServer, arguments: &[&str]) -> Output {
    Command::new(BINARY)
        .args(arguments)
        .env_clear()
        .env("RINGBACK_SERVER", &server.admin)
        .env("RINGBACK_DATA", server.data())
        .current_dir(server.data())
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn fails(output: &Output, code: i32, expected: &str) {
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(said.contains(expected), "{said}");
}

fn says(output: &Output) -> String {
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_are_shown_with_file_line_and_column() {
    let server = TestServer::start().await;
    let file = server.data().join("flow.yaml");
    std::fs::write(&file, "flow: shop\nsteps:\n  - trigger: Order\n    wen: 'true'\n").unwrap();
    let output = ringback(&server, &["flow", "check", "flow.yaml"]);
    fails(&output, 1, "flow.yaml: a mistake\n  4:5: steps[0].wen: a trigger has no `wen` (did you mean `when`?)");
    fails(&ringback(&server, &["flow", "apply", "none.yaml"]), 1, "none.yaml: No such file");
    fails(
        &ringback(&server, &["plugin", "push", "x", "flow.yaml"]),
        1,
        "flow.yaml: the file is not WebAssembly: it is text",
    );
    fails(&ringback(&server, &["callback", "explain", "x"]), 1, "there is no callback x");
    fails(
        &ringback(&server, &["--server", "http://127.0.0.1:1", "flow", "list"]),
        69,
        "start one with `ringback serve`",
    );
    fails(&ringback(&server, &["--data", "/nowhere", "flow", "list"]), 1, "no token");
    fails(&ringback(&server, &["flow", "aply"]), 2, "apply");
    fails(&ringback(&server, &["db", "verify"]), 73, "is in use by another ringback");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_is_deployed_and_its_callbacks_are_explained() {
    let server = TestServer::start().await;
    std::fs::write(server.data().join("field-match.wasm"), plugin("field-match")).unwrap();
    std::fs::write(
        server.data().join("flow.yaml"),
        "flow: shop\nsteps:\n  - trigger: Order\n    when: { plugin: field-match, with: { all: [{ path: $.n, op: '>', value: 1 }] } }\n",
    )
    .unwrap();
    assert!(
        says(&ringback(&server, &["plugin", "push", "field-match", "field-match.wasm"]))
            .contains("version 1 (condition) is active")
    );
    assert!(says(&ringback(&server, &["flow", "apply", "flow.yaml"])).contains("shop is deployed (version 1)"));
    let shown = says(&ringback(&server, &["flow", "show", "shop"]));
    let url = shown.split_whitespace().last().unwrap().to_owned();
    let response = server.post(&url, &json!({ "n": 1 })).await;
    let id = server.callback(&response).await["id"].as_str().unwrap().to_owned();
    let explained = says(&ringback(&server, &["callback", "explain", &id]));
    assert_eq!(explained.lines().next().unwrap(), "ignored by condition: the plugin field-match says false");
    assert!(explained.contains("KiB of memory"), "{explained}");
    server.post(&url, &json!({ "n": 2 })).await;
    assert!(says(&ringback(&server, &["execution", "list"])).contains("shop  completed"));
    assert!(says(&ringback(&server, &["callback", "list"])).contains("ignored"));
    assert!(says(&ringback(&server, &["plugin", "list"])).contains("condition"));
    assert!(says(&ringback(&server, &["doctor"])).contains("the token is accepted"));
    let listed = says(&ringback(&server, &["--json", "flow", "list"]));
    assert_eq!(serde_json::from_str::<serde_json::Value>(&listed).unwrap()["items"][0]["name"], "shop");
}

#[test]
fn a_new_plugin_is_a_crate_of_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let new = |role: &str| {
        let arguments = ["plugin", "new", &format!("my-{role}"), "--role", role];
        Command::new(BINARY).args(arguments).current_dir(directory.path()).output().unwrap()
    };
    for role in ["condition", "verifier", "parser", "step", "responder"] {
        assert!(says(&new(role)).contains("Next:"));
        let source = std::fs::read_to_string(directory.path().join(format!("my-{role}/src/lib.rs"))).unwrap();
        assert!(source.contains(&format!("pub fn my_{role}(")), "{source}");
        fails(&new(role), 1, "is there already");
    }
    assert!(
        says(&Command::new(BINARY).args(["flow", "schema"]).env("RINGBACK_TOKEN", "x").output().unwrap())
            .contains("$defs")
    );
    assert!(says(&Command::new(BINARY).arg("openapi").output().unwrap()).contains("/v1/flows"));
}

fn serve(data: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    Command::new(BINARY)
        .args(["serve", "--public", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data"])
        .arg(data)
        .args(arguments)
        .env_clear()
        .envs(variables.iter().copied())
        .current_dir(data.parent().unwrap())
        .output()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_cannot_start_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let wrong = |variables: &[(&str, &str)]| serve(&data, &[], variables);
    fails(&wrong(&[("RINGBACK_BODY_BYTES_MAX", "many")]), 78, "RINGBACK_");
    fails(&wrong(&[("RINGBACK_BODY_BYTES_MAX", "5")]), 78, "must be from 1024");
    fails(&wrong(&[("RINGBACK_PLUGIN_WORK_CPU", "5x")]), 78, "not a duration");
    fails(&serve(&data, &["--public", "nowhere"], &[]), 2, "");
    fails(&serve(&data, &["--public-url", "example.com"], &[]), 78, "https://hooks.example.com");
    std::fs::write(directory.path().join("wrong.toml"), "pubic = \"127.0.0.1:0\"\n").unwrap();
    fails(&serve(&data, &["--config", "wrong.toml"], &[]), 78, "wrong.toml");
    fails(&serve(&data, &["--config", "none.toml"], &[]), 78, "there is no file none.toml");
    let server = TestServer::start().await;
    fails(&serve(server.data(), &[], &[]), 73, "is in use by another ringback");
}

/// Also when it says what would be the default.
#[test]
fn a_flag_wins_over_the_settings_file() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("ringback.toml"), "data = \"from-the-file\"\n").unwrap();
    std::fs::write(directory.path().join("ringback-data"), "not a directory").unwrap();
    let output = Command::new(BINARY)
        .args(["serve", "--public", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data", "ringback-data"])
        .env_clear()
        .current_dir(directory.path())
        .output()
        .unwrap();
    fails(&output, 73, "the data directory ringback-data");
    assert!(!directory.path().join("from-the-file").exists());
}

#[test]
fn a_workspace_is_not_given_more_than_all() {
    for (settings, expected) in [
        ("plugin_memory_bytes = 1", "plugin_memory_bytes = 1 must be from"),
        (
            "[workspaces.shop]\nplugin_memory_bytes = 33554432",
            "workspaces.shop.plugin_memory_bytes = 33554432 must be from",
        ),
        (
            "[workspaces.shop]\nplugin_decide_cpu = \"51ms\"",
            "workspaces.shop.plugin_decide_cpu = 51ms must be at most 50ms",
        ),
        ("[workspaces.shop]\nplugin_cpu = \"1ms\"", "plugin_cpu"),
        ("[workspaces.'A b']\nplugin_log_lines = 1", "workspaces.A b"),
    ] {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("ringback.toml"), settings).unwrap();
        let output = Command::new(BINARY).args(["serve"]).env_clear().current_dir(directory.path()).output().unwrap();
        fails(&output, 78, expected);
    }
}

#[test]
fn a_wrong_setting_stops_the_start_and_is_named() {
    for (settings, expected) in [
        ("log_filter = \"ringback=loud\"", "log_filter = \"ringback=loud\" is not a filter"),
        ("redirect_origins = [\"shop.example\"]", "redirect_origins: \"shop.example\" is not an origin"),
        ("[workspaces.shop]\nredirect_origins = [\"https://shop.example/path\"]", "redirect_origins"),
        ("connections_per_address_max = 0", "connections_per_address_max = 0 must be from 1"),
        ("write_timeout = \"0s\"", "write_timeout must be longer"),
    ] {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("ringback.toml"), settings).unwrap();
        let output = Command::new(BINARY).args(["serve"]).env_clear().current_dir(directory.path()).output().unwrap();
        fails(&output, 78, expected);
    }
}

#[test]
fn a_damaged_store_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("store/log");
    std::fs::create_dir_all(&log).unwrap();
    let file = log.join("0000000001.log");
    std::fs::write(&file, b"this is no log").unwrap();
    let output = serve(directory.path(), &[], &[]);
    fails(&output, 74, "is damaged");
    assert_eq!(std::fs::read(file).unwrap(), b"this is no log");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_more_users_than_a_page_holds_is_whole() {
    let server = TestServer::start().await;
    for n in 0..201 {
        let put = server.api(Method::PUT, &format!("/v1/users/user-{n:03}")).json(&json!({})).send().await.unwrap();
        assert_eq!(put.status(), 201);
    }
    let listed = ringback(&server, &["--json", "user", "list"]);
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    let ids: Vec<&str> = listed["items"].as_array().unwrap().iter().map(|user| user["id"].as_str().unwrap()).collect();
    assert_eq!((ids.len(), ids[0], ids[200]), (201, "user-000", "user-200"));
    assert_eq!(listed["next_cursor"], Value::Null);
}

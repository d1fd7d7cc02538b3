//! The real binary: what it says, and its exit codes.

use crate::support::{BINARY, TestServer, plugin};
use reqwest::Method;
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

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
    std::fs::write(&file, "").unwrap();
    fails(&ringback(&server, &["flow", "check", "flow.yaml"]), 1, "flow.yaml: a mistake\n  1:1: the file is empty");
    std::fs::write(&file, "flow: shop\n").unwrap();
    fails(&ringback(&server, &["flow", "apply", "none.yaml"]), 1, "none.yaml: No such file");
    std::fs::write(server.data().join("empty.yaml"), "").unwrap();
    fails(&ringback(&server, &["flow", "apply", "empty.yaml"]), 1, "empty.yaml: a mistake\n  1:1: the file is empty");
    std::fs::write(server.data().join("big.yaml"), "a".repeat((2 << 20) + 1)).unwrap();
    let too_large =
        "big.yaml: the body is larger than this call takes: 64 MiB for a plugin, and 2 MiB for everything else";
    fails(&ringback(&server, &["flow", "check", "big.yaml"]), 1, too_large);
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
    let expected = "ignored by condition: the plugin field-match says false: the rule on `$.n` does not hold";
    assert_eq!(explained.lines().next().unwrap(), expected);
    assert!(explained.contains(" of CPU), ") && explained.contains("KiB of memory"), "{explained}");
    server.post(&url, &json!({ "n": 2 })).await;
    assert!(says(&ringback(&server, &["execution", "list"])).contains("shop  completed"));
    assert!(says(&ringback(&server, &["callback", "list"])).contains("ignored"));
    assert!(says(&ringback(&server, &["plugin", "list"])).contains("condition"));
    assert!(says(&ringback(&server, &["doctor"])).contains("access     with the token in"));
    let listed = says(&ringback(&server, &["--json", "flow", "list"]));
    assert_eq!(serde_json::from_str::<serde_json::Value>(&listed).unwrap()["items"][0]["name"], "shop");
}

/// Where there is neither a server nor a token.
#[test]
fn what_concerns_no_server_needs_none() {
    let directory = tempfile::tempdir().unwrap();
    let mut schema = Command::new(BINARY);
    schema.args(["flow", "schema"]).current_dir(directory.path()).env_remove("RINGBACK_TOKEN");
    assert!(says(&schema.output().unwrap()).contains("$defs"));
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
    let (public, admin) = (server.public.replace("http://", ""), server.admin.replace("http://", ""));
    for (flag, taken) in [("--public", &public), ("--admin", &admin)] {
        let mut arguments = vec!["serve", "--data", "new", "--public", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
        let at = arguments.iter().position(|argument| *argument == flag).unwrap();
        arguments[at + 1] = taken;
        let output = Command::new(BINARY).args(arguments).env_clear().current_dir(directory.path()).output().unwrap();
        fails(&output, 69, &format!("cannot listen on {taken}: Address already in use"));
        fails(&output, 69, &format!("choose another address with {flag}"));
    }
    assert!(!directory.path().join("new").exists());
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
        ("pubic = \"127.0.0.1:0\"", "there is no setting `pubic` (did you mean `public`?) (from "),
        ("colour = \"red\"", "there is no setting `colour`; there are data, secret_key, "),
        ("[workspaces.shop]\nplugin_cpu = \"1ms\"", "there is no setting `plugin_cpu`; there are plugin_decide_cpu, "),
        ("body_bytes_max = \"many\"", "body_bytes_max must be a whole number (from "),
        ("redact = \"x-door\"", "redact must be a list, such as [\"a\", \"b\"]"),
        ("large_plugins = 1", "large_plugins must be true or false"),
        ("secret_key = 31415926", "secret_key must be a text, in quotes"),
        ("log = \"xml\"", "log = \"xml\" is not one of text, json"),
        ("log_filter = \"ringback=loud\"", "log_filter = \"ringback=loud\" is not a filter"),
        ("redirect_origins = [\"shop.example\"]", "redirect_origins: \"shop.example\" is not an origin"),
        ("[workspaces.shop]\nredirect_origins = [\"https://shop.example/path\"]", "redirect_origins"),
        ("connections_per_address_max = 0", "connections_per_address_max = 0 must be from 1"),
        ("write_timeout = \"0s\"", "write_timeout must be longer"),
        (
            "keep_for = \"abc\"",
            "keep_for: `abc` is not a duration; write a whole number and a unit: 500ms, 30s, 5m, 72h, 30d (from ringback.toml)",
        ),
        ("keep_for = 5", "keep_for must be a whole number and a unit, in quotes: \"30d\" (from ringback.toml)"),
        ("public = \"x\"", "127.0.0.1:8080 (from ringback.toml)"),
        ("public_url = \"x\"", "or https://example.com/hooks (from ringback.toml)"),
        (
            "secret_key = \"x\"\nsecret_key_file = \"y\"",
            "secret_key and secret_key_file are both set, and there is one key: leave one of them out (from ringback.toml)",
        ),
        ("admin = \"0.0.0.0:8080\"", "public and admin must not be the same address (from ringback.toml)"),
        ("redact = [\"\"]", "(from ringback.toml)"),
        ("redirect_origins_bound = [\"x\"]", "(from ringback.toml)"),
        ("workspaces.shop.plugin_work_cpu = \"x\"", "workspaces.shop.plugin_work_cpu: `x` is not a duration"),
        (
            "workspaces.shop.plugin_work_cpu = \"9s\"",
            "workspaces.shop.plugin_work_cpu = 9s must be at most 200ms, as for all (from ringback.toml)",
        ),
        ("workspaces.shop.redirect_origins = [\"x\"]", "workspaces.shop.redirect_origins: \"x\" is not an origin"),
    ] {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("ringback.toml"), settings).unwrap();
        let output = Command::new(BINARY).args(["serve"]).env_clear().current_dir(directory.path()).output().unwrap();
        fails(&output, 78, expected);
        assert!(!text(&output.stderr).contains("31415926"), "a key is shown nowhere");
    }
    let directory = tempfile::tempdir().unwrap();
    for (name, value, expected) in [
        ("RINGBACK_PUBIC", "x", "there is no setting `RINGBACK_PUBIC` (did you mean `RINGBACK_PUBLIC`?)"),
        ("RINGBACK_BODY_BYTES_MAX", "many", "RINGBACK_BODY_BYTES_MAX must be a whole number"),
        ("RINGBACK_SECRET_KEY", "31415926", "RINGBACK_SECRET_KEY must be a text"),
        ("RINGBACK_SECRET_KEY", "x31415926", "RINGBACK_SECRET_KEY: it is not base64 of 32 bytes"),
        ("RINGBACK_KEEP_FOR", "abc", "RINGBACK_KEEP_FOR: `abc` is not a duration"),
        ("RINGBACK_DRAIN_TIMEOUT", "5", "RINGBACK_DRAIN_TIMEOUT must be a whole number and a unit: 10s"),
        ("RINGBACK_BODY_BYTES_MAX", "5", "RINGBACK_BODY_BYTES_MAX = 5 must be from"),
        (
            "RINGBACK_WORKSPACES",
            "{shop={plugin_log_lines=17}}",
            "RINGBACK_WORKSPACES.shop.plugin_log_lines = 17 must be",
        ),
        ("RINGBACK_REDIRECT_ORIGINS", "[x]", "RINGBACK_REDIRECT_ORIGINS: \"x\" is not an origin"),
    ] {
        let output = serve(directory.path(), &[], &[(name, value)]);
        fails(&output, 78, expected);
        assert!(!text(&output.stderr).contains("31415926"), "a key is shown nowhere");
        assert!(!text(&output.stderr).contains("(from"), "a variable says by its name where it is");
    }
    let url = serve(directory.path(), &["--public-url", "x"], &[("RINGBACK_PUBLIC_URL", "https://right.example")]);
    fails(&url, 78, "--public-url = \"x\" must be like");
    // What a flag stands before is wrong nevertheless: it counts as soon as the flag is left out.
    for (settings, variables, expected) in [
        (
            "public = \"x\"",
            &[][..],
            "public = \"x\" is not an address; write an IP address and a port: 127.0.0.1:8080 (from ",
        ),
        ("admin = \"localhost\"", &[], "admin = \"localhost\" is not an address"),
        ("public = 8080", &[], "public must be a text, in quotes (from "),
        ("", &[("RINGBACK_PUBLIC", "x")], "RINGBACK_PUBLIC = \"x\" is not an address"),
        (
            "http_private_hosts = [\"10.0.0.0/8\"]",
            &[],
            "http_private_hosts: \"10.0.0.0/8\" is not a host; write a name",
        ),
        ("store_cache_bytes = 1", &[], "store_cache_bytes = 1 must be from 8388608"),
    ] {
        std::fs::write(directory.path().join("ringback.toml"), settings).unwrap();
        fails(&serve(&directory.path().join("d"), &[], variables), 78, expected);
    }
    // Flags may give each other's address to another listener.
    std::fs::write(directory.path().join("ringback.toml"), "admin = \"0.0.0.0:8080\"").unwrap();
    std::fs::write(directory.path().join("d"), "no directory").unwrap();
    let started = serve(&directory.path().join("d"), &[], &[]);
    assert!(!text(&started.stderr).contains("same address") && !started.status.success(), "{started:?}");
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

/// What the index does not need of a frame is missed by nobody but a check: it says what is damaged, and not to check.
#[tokio::test(flavor = "multi_thread")]
async fn a_check_of_a_damaged_store_is_told_in_a_sentence() {
    let server = TestServer::start().await;
    server.deploy("flow: shop\nsteps:\n  - trigger: Order\n").await;
    let data = server.end().await;
    let verify = || Command::new(BINARY).args(["db", "verify", "--data"]).arg(data.path()).output().unwrap();
    assert!(says(&verify()).contains(" bytes, 0 problems\n"));
    let log = data.path().join("store/log/0000000001.log");
    let file = std::fs::OpenOptions::new().write(true).open(&log).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"XXX", 8).unwrap();
    let output = verify();
    fails(
        &output,
        74,
        "ringback: the store is damaged: 1 problem is listed above; `ringback restore` makes a whole one of a backup\n",
    );
    let listed = text(&output.stdout);
    assert!(listed.contains(" bytes, 1 problem\n  log: ") && listed.contains(", byte 0: the checksum"), "{listed}");
    assert!(!listed.contains("db verify"), "{listed}");
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

/// One sentence, and an exit code that says which.
fn complains(output: &Output, code: i32, expected: &str) {
    fails(output, code, expected);
    assert_eq!((text(&output.stdout).as_str(), text(&output.stderr).lines().count()), ("", 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_says_in_one_sentence_what_is_wrong() {
    let (server, other) = (TestServer::start().await, TestServer::start().await);
    let doctor = |arguments: &[&str]| ringback(&server, &[arguments, &["doctor"]].concat());
    complains(&doctor(&["--server", "http://127.0.0.1:1"]), 69, "nobody listens at http://127.0.0.1:1");
    complains(&doctor(&["--server", &server.public]), 68, "is not the admin side of a ringback");
    let others = other.data().display().to_string();
    complains(&doctor(&["--data", &others]), 68, &format!("keeps another data directory than {others}"));
    complains(&doctor(&["--data", "/nowhere"]), 68, "keeps another data directory than /nowhere");
    complains(&doctor(&["--token", "x"]), 77, "does not accept the token that --token or RINGBACK_TOKEN gives");
    let nothing = tempfile::tempdir().unwrap();
    let without_data = Command::new(BINARY)
        .arg("doctor")
        .env_clear()
        .env("RINGBACK_SERVER", &server.admin)
        .current_dir(nothing.path())
        .output()
        .unwrap();
    complains(&without_data, 66, "no token: give one with --token");
    assert!(says(&doctor(&[])).contains("access     with the token in"));
    // A token says by itself which server is meant.
    assert!(says(&doctor(&["--data", &others, "--token", &server.token])).contains("access     with the token that"));
    let file = server.data().join("admin-token");
    std::fs::write(&file, "of another time").unwrap();
    complains(&doctor(&[]), 77, &format!("does not accept the token in {}", file.display()));
    std::fs::remove_file(&file).unwrap();
    complains(&doctor(&[]), 66, "no token");
}

/// A restart keeps the id of the data directory.
#[tokio::test(flavor = "multi_thread")]
async fn doctor_knows_the_data_directory_after_a_restart() {
    let server = TestServer::start().await;
    let id = std::fs::read(server.data().join("instance")).unwrap();
    let server = server.restart().await;
    assert_eq!(std::fs::read(server.data().join("instance")).unwrap(), id);
    says(&ringback(&server, &["doctor", "--wait"]));
}

/// Something that answers as a server of this version would, after it has been stopping for some requests.
async fn answers(version: &'static str, stopping: usize) -> String {
    let asked = Arc::new(AtomicUsize::new(0));
    let ready = move || async move {
        let status = if asked.fetch_add(1, Ordering::Relaxed) < stopping { "stopping" } else { "ok" };
        ([("ringback-version", version)], axum::Json(json!({ "status": status, "version": version })))
    };
    let router = axum::Router::new()
        .route("/readyz", axum::routing::get(ready))
        .fallback(|| async { axum::Json(json!({ "items": [] })) });
    serve_pages(router).await
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_waits_where_waiting_helps_alone() {
    let (server, other) = (TestServer::start().await, TestServer::start().await);
    let wait = |url: &str, arguments: &[&str]| {
        ringback(&server, &[&["--server", url, "doctor", "--wait"], arguments].concat())
    };
    complains(&wait("http://127.0.0.1:1", &["1"]), 69, "nobody listens");
    // These would take as long as the test may.
    complains(&wait(&other.admin, &["86400"]), 68, "keeps another data directory");
    complains(&wait(&answers("0.0.1", 0).await, &["86400"]), 76, "is ringback 0.0.1, and this is");
    complains(&wait(&server.admin, &["86400", "--token", "x"]), 77, "does not accept");
    complains(&wait(&answers(env!("CARGO_PKG_VERSION"), usize::MAX).await, &["1"]), 69, "is stopping");
    says(&wait(&answers(env!("CARGO_PKG_VERSION"), 3).await, &[]));
}

/// S5: drafts and versions on the command line. S9: origins, too.
#[tokio::test(flavor = "multi_thread")]
async fn s5_s9_drafts_versions_and_origins_are_handled_by_commands() {
    let server = TestServer::start().await;
    let write = |status: u16| {
        let source = format!("flow: shop\nsteps:\n  - trigger: Order\n    reply: {{ status: {status} }}\n");
        std::fs::write(server.data().join("flow.yaml"), source).unwrap();
    };
    let run = |arguments: &[&str]| ringback(&server, arguments);
    write(201);
    let checked = says(&run(&["flow", "check", "flow.yaml"]));
    assert!(
        checked.contains("`ringback flow apply --disabled` shows them") && !checked.contains("http://"),
        "{checked}"
    );
    let draft = says(&run(&["flow", "apply", "flow.yaml", "--disabled"]));
    assert!(draft.contains("(version 1, disabled: no URL answers until `ringback flow enable`)"), "{draft}");
    let url = draft.split_whitespace().last().unwrap().to_owned();
    assert_eq!(server.post(&url, &json!({})).await.status().as_u16(), 404);
    assert!(says(&run(&["flow", "enable", "shop"])).contains(&url));
    write(203);
    says(&run(&["flow", "apply", "flow.yaml"]));
    assert_eq!(says(&run(&["flow", "versions", "shop"])).lines().count(), 3);
    assert!(says(&run(&["flow", "show", "shop@1"])).contains("status: 201"));
    fails(&run(&["flow", "show", "shop@7"]), 1, "there are 1, 2");
    let difference = says(&run(&["flow", "diff", "shop", "1"]));
    assert!(difference.starts_with("shop: from version 1 to version 2\n"), "{difference}");
    assert!(difference.ends_with("-     reply: { status: 201 }\n+     reply: { status: 203 }\n"), "{difference}");
    assert!(says(&run(&["flow", "diff", "shop", "2"])).contains("no difference"));
    assert!(says(&run(&["flow", "activate", "shop", "1"])).contains("shop runs what version 1 was (version 3)"));
    assert_eq!(server.post(&url, &json!({})).await.status().as_u16(), 201);

    assert!(says(&run(&["redirect-origin", "list"])).contains("no origins"));
    fails(&run(&["redirect-origin", "add", "shop.example"]), 1, "is not an origin");
    says(&run(&["redirect-origin", "add", "https://Shop.example"]));
    assert!(says(&run(&["redirect-origin", "list"])).contains("https://shop.example"));
    says(&run(&["redirect-origin", "remove", "https://shop.example"]));
    fails(&run(&["redirect-origin", "remove", "https://shop.example"]), 1, "was not added here");
}

/// The address of a server that is no ringback.
async fn serve_pages(pages: axum::Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, pages).await });
    address
}

/// Whatever --server names that cannot be asked, one sentence says what it is, and what to do.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_cannot_be_asked_is_told_in_a_sentence() {
    let server = TestServer::start().await;
    // Something that speaks, and no HTTP.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let speaks = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, b"SSH-2.0-OpenSSH_9.6\r\n").await;
        }
    });
    let website = serve_pages(axum::Router::new().fallback(|| async { "<html>hello</html>" })).await;
    // What it says could be read as an answer of ours.
    let other_api = serve_pages(axum::Router::new().fallback(|| async { r#"{"v":"","status":"ok","version":"1"}"# }));
    let refused = (axum::http::StatusCode::NOT_FOUND, r#"{"code":"not_found","detail":"no"}"#);
    let (other_api, other_refusal) =
        (other_api.await, serve_pages(axum::Router::new().fallback(move || async move { refused })).await);
    let encrypted = server.admin.replace("http:", "https:");
    for (address, code, expected) in [
        ("nonsense", 2, "--server names no address of a server, \"nonsense\": "),
        ("ftp://x", 2, "the scheme is neither http nor https; write it like http://127.0.0.1:8081"),
        ("localhost:8081", 2, "the scheme is neither http nor https"),
        ("http://127.0.0.1:1?x=y", 2, "a query has no place in it"),
        ("", 2, "names no address"),
        (&encrypted, 69, "cannot be reached by https: it speaks plain http"),
        (&website, 68, "is not the admin side of a ringback"),
        (&other_api, 68, "is not the admin side of a ringback"),
        (&other_refusal, 68, "is not the admin side of a ringback"),
        (&server.public, 68, "is not the admin side of a ringback"),
    ] {
        for command in
            [&["flow", "list"][..], &["flow", "show", "x"], &["doctor"], &["backup", "b"], &["secret", "remove", "X"]]
        {
            complains(&ringback(&server, &[&["--server", address], command].concat()), code, expected);
        }
    }
    // Each answer says whose it is, whatever it is.
    for (method, path, status) in [
        (Method::GET, "/healthz", 200),
        (Method::GET, "/v1/openapi.json", 200),
        (Method::GET, "/v1/flows/none", 404),
        (Method::GET, "/nothing", 404),
        (Method::DELETE, "/v1/flows", 405),
    ] {
        let answer = server.api(method, path).send().await.unwrap();
        assert_eq!(
            (answer.status().as_u16(), answer.headers()["ringback-version"].to_str().unwrap()),
            (status, env!("CARGO_PKG_VERSION"))
        );
    }
    let stranger = reqwest::get(format!("{}/v1/flows", server.admin)).await.unwrap();
    assert_eq!((stranger.status().as_u16(), stranger.headers().contains_key("ringback-version")), (401, true));
    complains(&ringback(&server, &["--server", &speaks, "flow", "list"]), 69, "no server answers at http://127.0.0.1");
    complains(&ringback(&server, &["--server", &speaks, "doctor"]), 69, "does not answer");
}

/// An empty name would be another URL: it is refused where it is read, before anything is asked.
#[test]
fn an_empty_name_is_refused_before_anything_is_asked() {
    for arguments in [
        &["flow", "show", ""][..],
        &["flow", "diff", "", "1"],
        &["flow", "add-signature", "f", ""],
        &["flow", "drop-signature", "f", "t", ""],
        &["plugin", "show", ""],
        &["secret", "set", ""],
        &["secret", "set", "A", "--environment", ""],
        &["token", "create", ""],
        &["token", "remove", ""],
        &["user", "set", ""],
        &["user", "set", "jane", "--role", ""],
        &["user", "revoke", "jane", ""],
        &["environment", "set", ""],
        &["environment", "set", "a", "--url-prefix", ""],
        &["var", "set", "", "x"],
        &["execution", "show", ""],
        &["callback", "explain", ""],
        &["ticket", "close", ""],
        &["redirect-origin", "add", ""],
    ] {
        let mut command = Command::new(BINARY);
        // Nobody is there.
        let output = command.args(["--server", "http://127.0.0.1:1", "--token", "x"]).args(arguments).output().unwrap();
        fails(&output, 2, "a value is required for");
    }
    // What is no name may be empty, and a variable that is set to nothing stops no other command.
    let mut command = Command::new(BINARY);
    command.args(["--server", "http://127.0.0.1:1", "--token", "x", "var", "set", "a", ""]);
    fails(&command.output().unwrap(), 69, "no server answers");
    says(
        &Command::new(BINARY).arg("openapi").env("RINGBACK_WORKSPACE", "").env("RINGBACK_SERVER", "").output().unwrap(),
    );
    let help = says(&Command::new(BINARY).arg("--help").output().unwrap());
    assert!(help.contains("doctor") && !help.contains("compile-plugin"), "{help}");
}

/// Dot segments would make another path of a name: revoking a user's token would revoke one of the API.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_would_be_another_path_is_refused() {
    let server = TestServer::start().await;
    let made = says(&ringback(&server, &["--json", "token", "create", "mine"]));
    let token: Value = serde_json::from_str(&made).unwrap();
    let id = token["id"].as_str().unwrap();
    for arguments in [
        &["user", "revoke", "..", id][..],
        &["user", "revoke", ".", id],
        &["user", "set", ".."],
        &["flow", "show", "edge@"],
        &["flow", "show", "edge@.."],
        &["flow", "show", "@1"],
        &["flow", "remove", "."],
        &["plugin", "show", ".."],
        &["ticket", "close", ".."],
        &["secret", "retire", ".."],
        &["var", "remove", ".."],
        &["callback", "explain", "."],
        &["execution", "cancel", ".."],
    ] {
        complains(&ringback(&server, arguments), 2, "nothing has the name `.` or `..` or an empty one");
    }
    assert!(says(&ringback(&server, &["token", "list"])).contains(id));
    // Only whole names are meant.
    fails(&ringback(&server, &["user", "show", "a..b"]), 1, "a..b");
}

/// What a terminal obeys, or shows elsewhere than it stands.
const OBEYED: &str =
    "\u{1b}[2J\u{7f}\u{85}\u{9b}31m\u{2028}\u{2029}\u{202a}\u{202e}\u{2066}\u{2069}\r\nstarted by nobody";

/// The commands behind some arguments, by their help.
fn commands_of(arguments: &[&str]) -> Vec<String> {
    let help = says(&Command::new(BINARY).args(arguments).arg("--help").output().unwrap());
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let names = lines.take_while(|line| !line.is_empty()).filter_map(|line| {
        let name = line.strip_prefix("  ")?.split(' ').next()?;
        (!name.is_empty() && name != "help").then(|| name.to_owned())
    });
    names.collect()
}

/// What others have written is shown without what a terminal would obey, and on the line that it belongs to: by every command that
/// shows anything of them, as text and as JSON. JSON says all the same what it is.
#[tokio::test(flavor = "multi_thread")]
async fn what_terminals_obey_is_shown_by_no_command() {
    const OTHERS: [&str; 47] = [
        "serve",
        "console",
        "backup",
        "restore",
        "openapi",
        "doctor",
        "db verify",
        "flow apply",
        "flow check",
        "flow activate",
        "flow enable",
        "flow disable",
        "flow add-signature",
        "flow drop-signature",
        "flow remove",
        "flow schema",
        "plugin new",
        "plugin build",
        "plugin types",
        "plugin run",
        "plugin check",
        "plugin push",
        "plugin activate",
        "plugin remove",
        // It does not end; `tails` has it.
        "callback tail",
        "execution cancel",
        "execution retry",
        // What the binary itself says, and words about callbacks.
        "verify list",
        "verify show",
        "verify infer",
        "secret set",
        "secret retire",
        "secret remove",
        "ticket create",
        "ticket close",
        "redirect-origin add",
        "redirect-origin remove",
        "token create",
        "token remove",
        "environment set",
        "environment remove",
        "var set",
        "var remove",
        "user set",
        "user remove",
        "user token",
        "user revoke",
    ];
    let server = TestServer::start().await.with_plugins(&["field-match"]).await;
    let is_obeyed = |c: char| c.is_control() || OBEYED.contains(c) && !c.is_ascii();
    let trigger = "Hook \u{202e}\u{2066}";
    let source = format!(
        "flow: f\nsteps:\n  - trigger: '{trigger}'\n  - set: {{ note: 1 }}\n  - fail: 'no: ${{{{ data.t }}}}'\n"
    );
    server.deploy(&source).await;
    let url = server.deploy(&source.replace("steps:", "# \u{202e}\nsteps:")).await;
    let query = form_urlencoded::byte_serialize(OBEYED.as_bytes()).collect::<String>();
    let sent = server.call(Method::POST, &format!("{url}?q={query}")).json(&json!({ "t": OBEYED, OBEYED: OBEYED }));
    let sent = sent.header("x-note", axum::http::HeaderValue::from_bytes("a\u{9b}\u{202e}".as_bytes()).unwrap());
    let response = sent.send().await.unwrap();
    let callback = server.callback(&response).await["id"].as_str().unwrap().to_owned();
    let execution = response.json::<Value>().await.unwrap()["execution"].as_str().unwrap().to_owned();
    let message = server.ended(&execution).await["error"]["message"].to_string();
    assert!(message.contains('\u{9b}') && message.contains("started by nobody"), "{message:?}");
    let unread = server.call(Method::POST, &url).header("content-type", "application/json").body(format!("{{{OBEYED}"));
    let unread = server.callback(&unread.send().await.unwrap()).await["id"].as_str().unwrap().to_owned();
    let ticket = server.ticket(&json!({ "response": { "body": OBEYED } })).await["id"].as_str().unwrap().to_owned();
    for (path, body) in [
        ("/v1/users/jane", json!({ "properties": { OBEYED: OBEYED }, "roles": [] })),
        ("/v1/vars/v", json!({ "value": { OBEYED: OBEYED } })),
    ] {
        assert!(server.api(Method::PUT, path).json(&body).send().await.unwrap().status().is_success(), "{path}");
    }
    server.set_secret("S", OBEYED).await;
    let example = json!({ "t": OBEYED, OBEYED: OBEYED }).to_string();
    let shows = [
        &["flow", "list"][..],
        &["flow", "show", "f"],
        &["flow", "show", "f@2"],
        &["flow", "versions", "f"],
        &["flow", "diff", "f", "1"],
        &["plugin", "list"],
        &["plugin", "show", "field-match"],
        &["execution", "list"],
        &["execution", "show", &execution],
        &["callback", "list"],
        &["callback", "show", &callback],
        &["callback", "show", &unread],
        &["callback", "explain", &callback],
        &["callback", "explain", &unread],
        &["callback", "replay", &callback, "--dry-run"],
        &["callback", "count"],
        &["flow", "try", "f", "hook", "--body", &example],
        &["flow", "send", "f", "hook", "--body", &example],
        &["flow", "judge", "f", "hook"],
        &["setting", "list"],
        &["sample", "parse", &example],
        &["secret", "list"],
        &["ticket", "list"],
        &["ticket", "show", &ticket],
        &["redirect-origin", "list"],
        &["token", "list"],
        &["token", "show"],
        &["environment", "list"],
        &["var", "list"],
        &["user", "list"],
        &["user", "show", "jane"],
        &["user", "tokens", "jane"],
    ];
    for arguments in shows {
        for json in [&[][..], &["--json"]] {
            let said = says(&ringback(&server, &[json, arguments].concat()));
            assert!(!said.contains(|c: char| is_obeyed(c) && c != '\n' && c != '\t'), "{arguments:?}: {said:?}");
            assert!(!said.lines().any(|line| line.starts_with("started by nobody")), "{arguments:?}: {said}");
            assert!(json.is_empty() || serde_json::from_str::<Value>(&said).is_ok(), "{arguments:?}: {said}");
        }
    }
    // What shows something is tried here, or shows nothing of others.
    for group in commands_of(&[]) {
        let commands: Vec<String> = match commands_of(&[&group]) {
            none if none.is_empty() => vec![group],
            commands => commands.iter().map(|name| format!("{group} {name}")).collect(),
        };
        for command in commands {
            let is_shown = shows.iter().any(|arguments| arguments[..2].join(" ") == command);
            assert!(is_shown != OTHERS.contains(&command.as_str()), "{command}");
        }
    }

    let shown = says(&ringback(&server, &["execution", "show", &execution]));
    assert!(shown.contains(r"no: \u001b[2J\u007f\u0085\u009b31m\u2028"), "{shown}");
    assert!(shown.contains(r"\u202e\u2066\u2069\r\nstarted by nobody"), "{shown}");
    let shown: Value = serde_json::from_str(&says(&ringback(&server, &["callback", "show", &callback]))).unwrap();
    let body: Value = serde_json::from_str(shown["body"].as_str().unwrap()).unwrap();
    assert_eq!(body, json!({ "t": OBEYED, OBEYED: OBEYED }));
    // A source has lines.
    assert!(says(&ringback(&server, &["flow", "show", "f@1"])).starts_with("flow: f\nsteps:\n"));
    // What is wrong quotes them, too.
    let wrong = ringback(&server, &["flow", "show", OBEYED]);
    fails(&wrong, 1, r"\u009b31m");
    assert!(!text(&wrong.stderr).replace("\r\n", "").trim_end().contains(is_obeyed), "{:?}", text(&wrong.stderr));
}

/// A token that no header can carry is not asked with; a line end behind one is no part of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_cannot_be_sent_is_refused() {
    let server = TestServer::start().await;
    let token = server.token.clone();
    for command in [&["flow", "list"][..], &["doctor"], &["backup", "b"]] {
        for wrong in ["a\nb", "a\rb", "a\u{1b}b", "a\u{9b}b"] {
            let given = [&["--token", wrong], command].concat();
            complains(
                &ringback(&server, &given),
                2,
                "the token that --token or RINGBACK_TOKEN gives has a control character",
            );
            let given = [&["--workspace", wrong], command].concat();
            complains(&ringback(&server, &given), 2, "the workspace has a control character");
        }
    }
    says(&ringback(&server, &["--token", &format!("{token}\r\n"), "flow", "list"]));
    let file = server.data().join("admin-token");
    std::fs::write(&file, format!("{token}\r\n")).unwrap();
    says(&ringback(&server, &["flow", "list"]));
    std::fs::write(&file, format!("{token}\r\n{token}\r\n")).unwrap();
    complains(&ringback(&server, &["flow", "list"]), 2, "admin-token has a control character or a line end in it");
}

/// With --json every command prints JSON, also one that has nothing to show.
#[tokio::test(flavor = "multi_thread")]
async fn json_is_json_in_every_command() {
    let server = TestServer::start().await;
    let data = server.data();
    std::fs::write(data.join("flow.yaml"), "flow: shop\nsteps:\n  - trigger: Order\n").unwrap();
    std::fs::write(data.join("secret"), "s3cret").unwrap();
    let run = |arguments: &[&str]| -> Value {
        let output = says(&ringback(&server, &[&["--json"], arguments].concat()));
        serde_json::from_str(&output).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {output}"))
    };
    assert_eq!(run(&["doctor"])["version"], env!("CARGO_PKG_VERSION"));
    for arguments in [
        &["flow", "apply", "flow.yaml"][..],
        &["secret", "set", "A", "--file", "secret"],
        &["secret", "retire", "A"],
        &["secret", "remove", "A"],
        &["environment", "set", "staging", "--url-prefix", "2"],
        &["var", "set", "a", "b", "--environment", "staging"],
        &["var", "remove", "a", "--environment", "staging"],
        &["environment", "remove", "staging"],
        &["user", "set", "jane"],
        &["user", "remove", "jane"],
        &["redirect-origin", "add", "https://shop.example"],
        &["redirect-origin", "remove", "https://shop.example"],
        &["flow", "remove", "shop"],
        &["plugin", "new", "mine"],
        &["backup", "b"],
    ] {
        assert!(run(arguments).is_object(), "{arguments:?}");
    }
    let restored = Command::new(BINARY).args(["--json", "--data", "new", "restore", "b"]).current_dir(data).output();
    assert!(serde_json::from_str::<Value>(&says(&restored.unwrap())).unwrap()["done"].is_string());
}

/// What goes wrong is JSON, too: one object on standard error, as the API has it, with the exit code.
#[tokio::test(flavor = "multi_thread")]
async fn errors_are_json_under_json() {
    let (server, other) = (TestServer::start().await, TestServer::start().await);
    let data = server.data();
    std::fs::write(data.join("flow.yaml"), "flow: shop\nsteps:\n  - trigger: Order\n    wen: 'true'\n    limt: 1\n")
        .unwrap();
    std::fs::write(data.join("right.yaml"), "flow: shop\nsteps:\n  - trigger: Order\n").unwrap();
    let problem = |output: Output, exit_code: i32, code: &str| -> Value {
        let said = text(&output.stderr);
        assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(exit_code), ""), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        let problem: Value = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"));
        assert_eq!(
            (problem["code"].as_str(), problem["exit_code"].as_i64()),
            (Some(code), Some(exit_code.into())),
            "{said}"
        );
        assert_eq!(problem["type"], "about:blank", "{said}");
        assert!(
            ["title", "detail"].iter().all(|name| problem[name].as_str().is_some_and(|text| !text.is_empty())),
            "{said}"
        );
        problem
    };
    let run = |arguments: &[&str]| ringback(&server, &[&["--json"], arguments].concat());

    for what in ["check", "apply"] {
        let mistakes = problem(run(&["flow", what, "flow.yaml"]), 1, "flow_mistakes");
        assert_eq!((&mistakes["status"], &mistakes["file"]), (&json!(422), &json!("flow.yaml")), "{mistakes}");
        assert_eq!(mistakes["errors"].as_array().unwrap().len(), 2, "{mistakes}");
        let first = &mistakes["errors"][0];
        assert_eq!((&first["line"], &first["column"], &first["path"]), (&json!(4), &json!(5), &json!("steps[0].wen")));
        assert!(first["detail"].as_str().unwrap().contains("did you mean `when`"), "{first}");
    }
    for (arguments, status, code) in [
        (&["callback", "show", "x"][..], 404, "not_found"),
        (&["flow", "show", "none"], 404, "not_found"),
        (&["flow", "list", "--token", "x"], 401, "unauthorized"),
        (&["callback", "list", "--limit", "0"], 400, "invalid_limit"),
        (&["secret", "set", "A-B", "--file", "flow.yaml"], 400, "invalid_name"),
        (&["plugin", "push", "p", "flow.yaml"], 422, "plugin_refused"),
        (&["backup", "b", "--token", "x"], 401, "unauthorized"),
    ] {
        assert_eq!(problem(run(arguments), 1, code)["status"], status, "{arguments:?}");
    }
    let others = other.data().display().to_string();
    for (arguments, exit_code, code, detail) in [
        (&["flow", "apply", "none.yaml"][..], 1, "refused", "none.yaml: No such file"),
        (&["flow", "list", "--data", "/nowhere"], 1, "refused", "no token"),
        (&["doctor", "--data", "/nowhere"], 68, "another_server", "another data directory than /nowhere"),
        (&["doctor", "--data", &others], 68, "another_server", "another data directory"),
        (&["doctor", "--token", "x"], 77, "token_refused", "does not accept the token"),
        (&["flow", "list", "--server", "http://127.0.0.1:1"], 69, "unreachable", "no server answers"),
        (&["flow", "apply", "right.yaml", "--server", "http://127.0.0.1:1"], 69, "unreachable", "no server answers"),
        (
            &["plugin", "push", "p", "flow.yaml", "--server", "http://127.0.0.1:1"],
            69,
            "unreachable",
            "no server answers",
        ),
        (&["flow", "list", "--server", &server.public], 68, "another_server", "is not the admin side"),
        (&["flow", "list", "--server", "nonsense"], 2, "wrong_arguments", "names no address"),
        (&["user", "show", ".."], 2, "wrong_arguments", "nothing has the name"),
        (&["db", "verify"], 73, "data_unusable", "in use by another ringback"),
        (&["serve", "--public-url", "example.com"], 78, "wrong_setting", "https://hooks.example.com"),
        (&["var", "set", "v", "{", "--as-json"], 1, "refused", "the value is not JSON"),
        // What is not understood.
        (&[], 2, "wrong_arguments", "a command is missing; --help lists them"),
        (&["flow"], 2, "wrong_arguments", "a command is missing; --help lists them"),
        (
            &["flow", "aply"],
            2,
            "wrong_arguments",
            "unrecognized subcommand 'aply' tip: a similar subcommand exists: 'apply'",
        ),
        (&["flow", "apply"], 2, "wrong_arguments", "required arguments were not provided: <FILE>"),
        (&["flow", "list", "--jsn"], 2, "wrong_arguments", "unexpected argument '--jsn'"),
        (
            &["flow", "activate", "f", "99999999999999999999"],
            2,
            "wrong_arguments",
            "'<VERSION>': the number is too large",
        ),
        (&["plugin", "new", "p", "--role", "x"], 2, "wrong_arguments", "allowed: verifier"),
        (&["secret", "set", ""], 2, "wrong_arguments", "a value is required for '<NAME>'"),
    ] {
        let problem = problem(run(arguments), exit_code, code);
        let said = problem["detail"].as_str().unwrap();
        assert!(
            said.contains(detail) && !said.contains("Usage") && !said.contains("For more"),
            "{arguments:?}: {said}"
        );
        assert_eq!(problem["status"], Value::Null, "{arguments:?}");
    }
    // Also where the flag comes last; what is asked for is no error.
    let last = Command::new(BINARY).args(["flow", "aply", "--json"]).output().unwrap();
    problem(last, 2, "wrong_arguments");
    assert!(says(&run(&["--help"])).contains("First steps"));
}

/// Arguments that name nothing that could be used: one sentence says what is wrong, and nothing is left behind.
#[test]
fn arguments_that_cannot_be_used_are_told_in_words() {
    use std::os::unix::ffi::OsStrExt;
    let directory = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| {
        let arguments = arguments.iter().map(|text| match *text {
            "BYTES" => std::ffi::OsStr::from_bytes(b"\xff\xfe"),
            text => text.as_ref(),
        });
        let mut command = Command::new(BINARY);
        command.args(arguments).env_clear().env("RINGBACK_SERVER", "http://127.0.0.1:1").env("RINGBACK_TOKEN", "x");
        command.current_dir(directory.path()).stdin(std::process::Stdio::null()).output().unwrap()
    };
    for (arguments, code, expected) in [
        (&["flow", "apply", "/tmp"][..], 1, "/tmp: Is a directory"),
        (&["flow", "apply", "BYTES"], 1, "No such file"),
        (&["flow", "show", "BYTES"], 2, "invalid UTF-8"),
        (&["plugin", "new", "BYTES"], 2, "invalid UTF-8"),
        (&["plugin", "new", "..", "--role", "step"], 2, "`..` is not a name"),
        (&["plugin", "push", "p", "/tmp"], 1, "/tmp: Is a directory"),
        (&["sample", "parse", "@"], 1, "a file is to be named behind the @"),
        (&["sample", "parse", "@none"], 1, "none: No such file"),
        (&["sample", "parse", "@/proc/self/exe"], 1, "the sample is not text"),
        (&["secret", "set", "A", "--file", "/proc/self/exe"], 1, "a secret must be text"),
        (&["ticket", "create", "--header", "x", "--body", "a"], 1, "write it like --header 'x-name: value'"),
        (&["ticket", "create", "--code", "99999"], 2, "'--code <STATUS>': the number is too large"),
        (&["callback", "list", "--limit", "x"], 2, "'--limit <NUMBER>': write a whole number"),
        (&["ticket", "list", "--limit", "99999999999"], 2, "the number is too large"),
        (&["doctor", "--wait", "1.5"], 2, "write a whole number"),
        (&["backup", "/tmp"], 1, "/tmp is no plain file"),
        (&["backup", "/nowhere/b"], 1, "there is no directory /nowhere"),
        (&["restore", "/tmp"], 1, "/tmp is a directory; name the file that `ringback backup` wrote"),
        (&["restore", "none"], 1, "none: No such file"),
        (&["db", "verify", "--data", "/proc/self/exe"], 1, "there is no store in /proc/self/exe"),
    ] {
        fails(&run(arguments), code, expected);
    }
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    // What is set to nothing is not taken for something else.
    for (name, expected) in [
        ("RINGBACK_TOKEN", "the token that --token or RINGBACK_TOKEN gives is empty"),
        ("RINGBACK_WORKSPACE", "the workspace that --workspace or RINGBACK_WORKSPACE gives has no name"),
    ] {
        let mut command = Command::new(BINARY);
        command.args(["flow", "list"]).env_clear().env("RINGBACK_TOKEN", "x").env(name, "");
        complains(&command.output().unwrap(), 2, expected);
    }
    // A file where a directory is to be, and a token that cannot be read.
    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    fails(&serve(&file, &[], &[]), 73, "cannot be used: it is no directory");
    std::fs::create_dir_all(directory.path().join("data/admin-token")).unwrap();
    let mut command = Command::new(BINARY);
    command.args(["flow", "list", "--data"]).arg(directory.path().join("data")).env_clear();
    complains(&command.output().unwrap(), 1, "admin-token cannot be read: Is a directory");
}

/// The name of a data directory need not be text.
#[test]
fn a_data_directory_may_have_any_name() {
    use std::os::unix::ffi::OsStrExt;
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join(std::ffi::OsStr::from_bytes(b"d\xffta"));
    std::fs::write(&data, "").unwrap();
    fails(&serve(&data, &[], &[]), 73, "it is no directory");
    let mut command = Command::new(BINARY);
    command.arg("serve").env_clear().env("RINGBACK_DATA", &data).current_dir(directory.path());
    command.args(["--public", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
    fails(&command.output().unwrap(), 73, "it is no directory");
}

/// A server that cannot be reached is no fault of the file.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_applied_to_no_server_exits_as_every_other_command() {
    let server = TestServer::start().await;
    std::fs::write(server.data().join("flow.yaml"), "flow: shop\nsteps:\n  - trigger: Order\n").unwrap();
    for arguments in
        [&["flow", "apply", "flow.yaml"][..], &["flow", "check", "flow.yaml"], &["plugin", "push", "p", "flow.yaml"]]
    {
        complains(
            &ringback(&server, &[&["--server", "http://127.0.0.1:1"], arguments].concat()),
            69,
            "no server answers",
        );
        complains(
            &ringback(&server, &[&["--server", &server.public], arguments].concat()),
            68,
            "is not the admin side",
        );
    }
}

/// What is printed is perhaps to be seen this once: a token. A reader that has seen enough is no error.
#[tokio::test(flavor = "multi_thread")]
async fn output_that_cannot_be_written_is_an_error_and_a_reader_that_left_is_none() {
    let server = TestServer::start().await;
    let run = |arguments: &[&str], out: std::process::Stdio, err: std::process::Stdio| {
        let mut command = Command::new(BINARY);
        command.args(arguments).env_clear().env("RINGBACK_SERVER", &server.admin).env("RINGBACK_DATA", server.data());
        command.stdout(out).stderr(err).spawn().unwrap().wait_with_output().unwrap()
    };
    let full = || std::fs::File::create("/dev/full").unwrap();
    let output = run(&["token", "create", "x"], full().into(), std::process::Stdio::piped());
    complains(&output, 1, "the output could not be written: No space left on device");
    let gone = || std::io::pipe().unwrap().1;
    for arguments in [&["token", "list"][..], &["openapi"], &["--json", "flow", "list"], &["--help"]] {
        let output = run(arguments, gone().into(), std::process::Stdio::piped());
        assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""), "{arguments:?}");
    }
    complains(
        &run(&["--server", "x"], full().into(), std::process::Stdio::piped()),
        2,
        "a command is missing; --help lists them",
    );
    for (arguments, code) in [(&["flow", "show", "none"][..], 1), (&["flow"], 2), (&["--json", "flow"], 2)] {
        assert_eq!(run(arguments, gone().into(), gone().into()).status.code(), Some(code), "{arguments:?}");
        assert_eq!(run(arguments, full().into(), full().into()).status.code(), Some(code), "{arguments:?}");
    }
}

/// What is to end is not to last for centuries.
#[tokio::test(flavor = "multi_thread")]
async fn a_time_that_is_too_long_is_refused() {
    let server = TestServer::start().await;
    let run = |arguments: &[&str]| ringback(&server, arguments);
    std::fs::write(server.data().join("value"), "s3cret").unwrap();
    says(&run(&["user", "set", "jane"]));
    let set = &["secret", "set", "A", "--file", "value", "--keep-previous"][..];
    says(&run(&set[..5]));
    for (member, arguments) in [
        ("keep_previous", set),
        ("expires_in", &["token", "create", "x", "--expires-in"]),
        ("expires_in", &["user", "token", "jane", "--expires-in"]),
        ("expires_in", &["ticket", "create", "--body", "x", "--expires-in"]),
    ] {
        for (wrong, why) in [
            ("99999d", "`99999d` is too long; it can be 3650d at most"),
            ("3651d", "`3651d` is too long; it can be 3650d at most"),
            ("999999999999d", "`999999999999d` is too long; `d` takes at most 5 digits"),
            ("0s", "`0s` is no time at all; give it more, or leave it out"),
            ("soon", "`soon` is not a duration; write a whole number and a unit"),
        ] {
            complains(&run(&[arguments, &[wrong]].concat()), 1, &format!("`{member}`: {why}"));
        }
        says(&run(&[arguments, &["3650d"]].concat()));
    }
}

/// A server says as JSON, too, that it is ready, and where.
#[test]
fn a_server_announces_itself_as_json() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new(BINARY);
    command.args(["--json", "serve", "--public", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data", "d"]);
    command.env_clear().current_dir(directory.path()).stdout(std::process::Stdio::piped());
    let mut server = command.stderr(std::process::Stdio::null()).spawn().unwrap();
    let mut said = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(server.stdout.take().unwrap()), &mut said).unwrap();
    let ready: Value = serde_json::from_str(&said).unwrap();
    let api = ready["api"].as_str().unwrap();
    assert_eq!((&ready["version"], &ready["data"]), (&json!(env!("CARGO_PKG_VERSION")), &json!("d")), "{ready}");
    says(
        &Command::new(BINARY)
            .args(["--data", "d", "--server", api, "doctor"])
            .current_dir(&directory)
            .output()
            .unwrap(),
    );
    server.kill().unwrap();
    server.wait().unwrap();
}

/// What no flag names stays; what ends is said.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_given_is_kept() {
    let server = TestServer::start().await;
    let run = |arguments: &[&str]| says(&ringback(&server, arguments));
    run(&["environment", "set", "staging", "--url-prefix", "2"]);
    let source = "flow: pay\nsteps:\n  - trigger: Order\n    face: patchworks\n    environments: [staging]\n";
    let (status, flow) = server.try_deploy(source).await;
    assert!(status.is_success(), "{flow}");
    let url = flow["triggers"][0]["urls"]["staging"]["patchworks"].as_str().unwrap().to_owned();
    assert_eq!(run(&["environment", "set", "staging"]), "staging is stored\n");
    assert!(server.post(&url, &json!({})).await.status().is_success(), "its URL has not ended");
    let ends =
        |prefix: &str| format!("the URL of the trigger `Order` of the flow pay ends that has the prefix `{prefix}`");
    assert!(run(&["environment", "set", "staging", "--url-prefix", "3"]).contains(&ends("2")));
    assert_eq!(server.post(&url, &json!({})).await.status().as_u16(), 404);
    let both = ["environment", "set", "staging", "--url-prefix", "3", "--no-url-prefix"];
    fails(&ringback(&server, &both), 2, "cannot be used with");
    assert!(run(&["environment", "set", "staging", "--no-url-prefix"]).contains(&ends("3")));
    assert_eq!(server.get("/v1/environments").await["items"][1]["url_prefix"], Value::Null);

    std::fs::write(server.data().join("jane"), r#"{"age": 45}"#).unwrap();
    let jane = async || {
        let jane = server.get("/v1/users/jane").await;
        (jane["properties"].clone(), jane["roles"].clone())
    };
    run(&["user", "set", "jane", "--properties", "jane", "--role", "manager"]);
    run(&["user", "set", "jane"]);
    assert_eq!(jane().await, (json!({ "age": 45 }), json!(["manager"])));
    run(&["user", "set", "jane", "--role", "viewer"]);
    assert_eq!(jane().await, (json!({ "age": 45 }), json!(["viewer"])));
    run(&["user", "set", "jane", "--no-roles"]);
    assert_eq!(jane().await, (json!({ "age": 45 }), json!([])));
}

/// A change that cannot be made is told by the state of things, and by what can be done.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_cannot_be_made_says_what_can_be_done() {
    let server = TestServer::start().await;
    let run = |arguments: &[&str]| ringback(&server, arguments);
    let flow = "flow: f\nsteps:\n  - trigger: A\n  - if: data.fails\n    then:\n      - fail: no\n  - trigger: B\n";
    let urls = server.deploy_all(&flow.replace("fail: no", "fail: 'no'")).await;
    let start = async |fails: bool| {
        let started: Value = server.post(&urls[0], &json!({ "fails": fails })).await.json().await.unwrap();
        started["execution"].as_str().unwrap().to_owned()
    };
    let (waits, failed) = (start(false).await, start(true).await);
    server.eventually(&format!("/v1/executions/{waits}"), |run| run["status"] == "waiting").await;
    server.ended(&failed).await;
    fails(
        &run(&["execution", "retry", &waits]),
        1,
        "the execution is waiting: only one that failed or timed out can be retried; this one has not ended, and can be cancelled",
    );
    fails(
        &run(&["execution", "cancel", &failed]),
        1,
        "the execution has ended: it is failed, and there is nothing to cancel; it can be retried as long as its flow and its \
         environment are there",
    );
    assert!(says(&run(&["execution", "cancel", &waits])).contains("is cancelled"));
    fails(
        &run(&["execution", "cancel", &waits]),
        1,
        "the execution has ended: it is cancelled, and there is nothing to cancel",
    );
    fails(
        &run(&["execution", "retry", &waits]),
        1,
        "the execution is cancelled: only one that failed or timed out can be retried; to start another one, replay its callback",
    );
    let nobody = uuid::Uuid::nil().to_string();
    for id in ["x", &nobody] {
        for what in ["cancel", "retry", "show"] {
            let expected = format!("there is no execution {id}; `ringback execution list` lists those that are kept");
            fails(&run(&["execution", what, id]), 1, &expected);
        }
    }
    fails(&run(&["user", "revoke", "jane", "x"]), 1, "there is no user jane");
    says(&run(&["user", "set", "jane"]));
    let token = says(&run(&["user", "token", "jane"]));
    let refused = run(&["user", "revoke", "jane", token.trim()]);
    fails(&refused, 1, "the user jane has no token with this id; `ringback user tokens jane` lists the ids");
    assert!(!text(&refused.stderr).contains(token.trim()));
    let id = server.get("/v1/users/jane/tokens").await["items"][0]["id"].as_str().unwrap().to_owned();
    assert!(says(&run(&["user", "revoke", "jane", &id])).contains(&format!("the token {id} of jane is revoked")));
    fails(&run(&["user", "token", "jane", "--expires-in", "0s"]), 1, "`expires_in`: `0s` is no time at all");
    fails(&run(&["token", "create", "x", "--expires-in", "0s"]), 1, "`expires_in`: `0s` is no time at all");
    fails(&run(&["ticket", "create", "--body", "x", "--expires-in", "0s"]), 1, "`expires_in`: `0s` is no time at all");
}

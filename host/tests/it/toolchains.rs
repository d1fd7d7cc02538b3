//! What compilers of several languages leave runs as it was built; what they leave out is said in a sentence that helps.

use crate::corpus::with_type;
use crate::support::{TestServer, cases};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::path::Path;
use wit_component::{StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// A condition as a libc makes it: the body of `evaluate` leaves 1 at 1028 for true. What it imports stands before, what else
/// it has behind.
fn condition(imports: &str, evaluate: &str, items: &str) -> Vec<u8> {
    checking(imports, "", evaluate, items)
}

/// The same with a body of `check`.
fn checking(imports: &str, check: &str, evaluate: &str, items: &str) -> Vec<u8> {
    let text = format!(
        r#"(module
            {imports}
            {items}
            (func (export "ringback:plugin/condition@0.1.0#check") (param i32 i32) (result i32)
              {check}
              i32.const 1024)
            (func (export "ringback:plugin/condition@0.1.0#evaluate") (param i32 i32 i32 i32 i32) (result i32)
              {evaluate}
              i32.const 1024)
            (global $free (mut i32) (i32.const 65536))
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
              global.get $free
              global.get $free local.get 3 i32.add i32.const 7 i32.add i32.const -8 i32.and global.set $free))"#
    );
    with_type(wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}")))
}

const MEMORY: &str = r#"(memory (export "memory") 8)"#;
const FLOW: &str = "flow: test\nsteps:\n  - trigger: Hook\n    when: { plugin: tool }\n";

/// Uploads a plugin, deploys a flow that asks it, and calls: the status, and what the trace says of the condition.
async fn call(server: &TestServer, plugin: Vec<u8>) -> (StatusCode, Value) {
    let (status, body) = server.upload("tool", plugin).await;
    assert!(status.is_success(), "{status} {body}");
    let url = server.deploy(FLOW).await;
    let response = server.post(&url, &json!({ "a": 1 })).await;
    let record = server.callback(&response).await;
    let entry = record["trace"].as_array().unwrap().iter().find(|entry| entry["stage"] == "condition").unwrap();
    (response.status(), entry.clone())
}

/// Everything that a libc asks for when it starts and when it prints, and a file that it must not get.
#[tokio::test]
async fn a_core_module_of_wasi_preview_1_runs_as_it_was_built_and_gets_nothing() {
    let server = TestServer::start().await;
    let imports = r#"
        (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_prestat_get" (func $preopened (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "path_open"
          (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "environ_sizes_get" (func $environ (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "args_sizes_get" (func $args (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
        (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))"#;
    let items = format!(
        r#"{MEMORY}
        (data (i32.const 16) "printed by a libc\n")
        (global $ready (mut i32) (i32.const 0))
        (func (export "_initialize") i32.const 1 global.set $ready)
        (func $and (param i32) i32.const 1028 i32.const 1028 i32.load local.get 0 i32.and i32.store)"#
    );
    let evaluate = "
        i32.const 1028 global.get $ready i32.store
        ;; It prints to standard output.
        i32.const 0 i32.const 16 i32.store i32.const 4 i32.const 18 i32.store
        i32.const 1 i32.const 0 i32.const 1 i32.const 8 call $write i32.eqz call $and
        i32.const 8 i32.load i32.const 18 i32.eq call $and
        ;; There is no directory (8: a bad descriptor), and so no file.
        i32.const 3 i32.const 2048 call $preopened i32.const 8 i32.eq call $and
        i32.const 3 i32.const 0 i32.const 16 i32.const 7 i32.const 0 i64.const 2 i64.const 0 i32.const 0 i32.const 2048
        call $open i32.const 8 i32.eq call $and
        ;; No variables, no arguments.
        i32.const 2048 i32.const 2052 call $environ i32.eqz call $and
        i32.const 2048 i32.load i32.eqz call $and
        i32.const 2048 i32.const 2052 call $args i32.eqz call $and
        i32.const 2048 i32.load i32.eqz call $and
        ;; The clocks, of which the monotonic one is not zero and stands.
        i32.const 1 i64.const 0 i32.const 2048 call $clock i32.eqz call $and
        i32.const 1 i64.const 0 i32.const 2056 call $clock i32.eqz call $and
        i32.const 2048 i64.load i64.const 0 i64.ne call $and
        i32.const 2048 i64.load i32.const 2056 i64.load i64.eq call $and
        i32.const 2048 i32.const 8 call $random i32.eqz call $and
        i32.const 2048 i64.load i32.const 2056 i64.load i64.ne call $and
        ;; Nothing of the result is left.
        i32.const 1024 i32.const 0 i32.store";
    let (status, entry) = call(&server, condition(imports, evaluate, &items)).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{entry:#}");
    assert_eq!(entry["plugins"][0]["log"], json!(["output: printed by a libc"]), "{entry:#}");
    let version = server.get("/v1/plugins/tool").await["versions"][0].clone();
    let imports: Vec<&str> = version["imports"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(imports.iter().any(|import| import.starts_with("wasi:cli/stdout@0.2.")), "{imports:?}");
    assert!(!imports.iter().any(|import| import.contains("preview1")), "{imports:?}");
}

/// What the adapter cannot mend says what can.
#[tokio::test]
async fn a_core_module_that_cannot_become_a_component_says_what_to_do() {
    let server = TestServer::start().await;
    let of = |module: &str, name: &str, kind: &str| format!("(import \"{module}\" \"{name}\" (func $f {kind}))");
    let yields = of("wasi_snapshot_preview1", "sched_yield", "(result i32)");
    let start = format!("{MEMORY} (func (export \"_start\"))");
    for (what, imports, items, expected) in [
        (
            "a function that preview 1 has not",
            of("wasi_snapshot_preview1", "sock_open", "(result i32)"),
            MEMORY,
            &["`sock_open` of WASI preview 1, which is not part of it", "build it without"][..],
        ),
        (
            "a function of another type",
            of("wasi_snapshot_preview1", "path_open", "(param i32)"),
            MEMORY,
            &["path_open", "type mismatch"],
        ),
        ("preview 0", of("wasi_unstable", "fd_write", "(result i32)"), MEMORY, &["preview 0", "newer compiler"]),
        ("what was not linked", of("env", "abort", ""), MEMORY, &["`abort` of `env`", "link what defines it"]),
        ("a program", yields.clone(), &start, &["it exports `_start`", "-mexec-model=reactor", "-buildmode=c-shared"]),
        ("no memory", yields, "(memory 3)", &["export its memory as `memory`"]),
    ] {
        let (status, body) = server.upload("tool", condition(&imports, "", items)).await;
        let detail = body["detail"].as_str().unwrap_or_default();
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{what}: {body}");
        assert!(expected.iter().all(|expected| detail.contains(expected)), "{what}: {detail}");
        assert!(
            detail.starts_with("the core module cannot be made into a component: ") && detail.len() < 500,
            "{detail}"
        );
        cases(1);
    }
    let (status, entry) = call(&server, condition("", "i32.const 1028 i32.const 1 i32.store", MEMORY)).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{entry}");
}

/// What a compiler has put in that is not for here says how to leave it out.
#[tokio::test]
async fn a_component_that_waits_says_how_to_build_one_that_does_not() {
    let server = TestServer::start().await;
    let waits = wat::parse_str("(component (core func (canon context.get i32 0)))").unwrap();
    let (status, body) = server.upload("tool", waits).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    let expected = "it uses a WebAssembly feature that is not available here: `context.get` requires the component model \
                    async feature; calls of plugins do not wait: build it with `--sync` (componentize-qjs), or without \
                    what is asynchronous";
    assert_eq!(body["detail"], expected);
}

/// A condition that was built for the interface of this version.
fn of_version(version: &str) -> Vec<u8> {
    let is_before_1 = version.starts_with("@0") || version.is_empty();
    let base = if is_before_1 { "0.1.0" } else { "1.0.0" };
    let check = match is_before_1 {
        true => format!(
            "(func (export \"ringback:plugin/condition{version}#check\") (param i32 i32) (result i32) i32.const 1024)"
        ),
        false => String::new(),
    };
    let files = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("wit").join(base);
    let directory = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(files).unwrap() {
        let file = file.unwrap();
        let text = std::fs::read_to_string(file.path()).unwrap();
        let text =
            text.replace(&format!("package ringback:plugin@{base};"), &format!("package ringback:plugin{version};"));
        std::fs::write(directory.path().join(file.file_name()), text).unwrap();
    }
    let mut resolve = Resolve::default();
    resolve.push_dir(directory.path()).unwrap();
    let world = format!(
        "package test:it; world it {{ import ringback:plugin/log{version}; export ringback:plugin/condition{version}; }}"
    );
    let package = resolve.push_str("it.wit", &world).unwrap();
    let world = resolve.select_world(&[package], Some("it")).unwrap();
    let text = format!(
        r#"(module
            (import "ringback:plugin/log{version}" "write" (func $log (param i32 i32 i32)))
            {MEMORY}
            (data (i32.const 16) "hello")
            {check}
            (func (export "ringback:plugin/condition{version}#evaluate") (param i32 i32 i32 i32 i32) (result i32)
              i32.const 1 i32.const 16 i32.const 5 call $log
              i32.const 1028 i32.const 1 i32.store
              i32.const 1024)
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) i32.const 65536))"#
    );
    let mut module = wat::parse_str(text).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    module
}

/// Another text for a version that fits is taken; what this host has not is refused in a line that says what to do, by an upload
/// as by a check.
#[tokio::test]
async fn versions_of_the_interface_are_held_against_the_hosts() {
    let server = TestServer::start().await;
    let newer = "build it for that one, or update the server";
    let older = "build it again, for that one";
    for (version, cure) in [
        ("@1.0.1", newer),
        ("@1.1.0", newer),
        ("@7.3.1", newer),
        ("@0.0.9", older),
        ("@0.1.2", older),
        ("@0.2.0", older),
        ("@0.1.0-rc.1", older),
        ("@1.0.0-rc.1", older),
        ("", older),
    ] {
        let check = server.api(Method::POST, "/v1/plugins/check").header("content-type", "application/wasm");
        let checked: Value = check.body(of_version(version)).send().await.unwrap().json().await.unwrap();
        let (status, body) = server.upload("tool", of_version(version)).await;
        assert_eq!(
            (status, &body["detail"]),
            (StatusCode::UNPROCESSABLE_ENTITY, &checked["detail"]),
            "{version}: {body}"
        );
        let expected = format!(
            "it was built for another version of the interface: `ringback:plugin/log{version}`, and this server has 1.0.0; {cure}"
        );
        let found = body["detail"].as_str().unwrap().replace("plugin/types", "plugin/log");
        assert_eq!(found, expected, "{version}");
        cases(1);
    }
    for version in ["@0.1.0", "@0.1.0+of.another.build", "@0.1.1", "@1.0.0", "@1.0.0+of.another.build"] {
        let (status, entry) = call(&server, of_version(version)).await;
        assert_eq!((status, &entry["plugins"][0]["log"]), (StatusCode::ACCEPTED, &json!(["info: hello"])), "{version}");
    }
}

/// A verifier that does not take the body over: the hash of parts, in the forms that callers send it in.
#[tokio::test]
async fn a_keyed_hash_of_parts_is_verified_where_the_body_is() {
    let server = TestServer::start().await.with_plugins(&["misbehave"]).await;
    server.set_secret("KEY", "key").await;
    let with = |form: &str| format!("verify: {{ plugin: misbehave, with: {{ mac: [KEY, {form}, 'The quick '] }} }}");
    let flow = |verify: &str| format!("flow: test\nsteps:\n  - trigger: Hook\n    parse: text\n    {verify}\n");
    let hex = "f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8";
    let base64 = "97yD9DBThCSxMpjmqm+xQ+9NWaFJRhdZl0edvC0aPNg=";
    let url_safe = base64.replace('+', "-").replace('=', "");
    let damaged = hex.replace("f7", "f8");
    let (upper, cut, longer) = (hex.to_uppercase(), &hex[..62], format!("{hex}00"));
    for (form, mac, expected) in [
        ("hex", hex, StatusCode::ACCEPTED),
        ("hex", &upper, StatusCode::ACCEPTED),
        ("base64", base64, StatusCode::ACCEPTED),
        ("base64", &url_safe, StatusCode::ACCEPTED),
        ("hex", &damaged, StatusCode::UNAUTHORIZED),
        ("hex", cut, StatusCode::UNAUTHORIZED),
        ("hex", &longer, StatusCode::UNAUTHORIZED),
        ("hex", base64, StatusCode::UNAUTHORIZED),
        ("base64", hex, StatusCode::UNAUTHORIZED),
        ("base64", "", StatusCode::UNAUTHORIZED),
    ] {
        let url = server.deploy(&flow(&with(form))).await;
        let body = "brown fox jumps over the lazy dog";
        let send = |body: &'static str| {
            let request = server.call(Method::POST, &url).header("content-type", "text/plain").header("x-mac", mac);
            request.body(body).send()
        };
        assert_eq!(send(body).await.unwrap().status(), expected, "{form} {mac}");
        assert_eq!(send("brown fox").await.unwrap().status(), StatusCode::UNAUTHORIZED, "{form} {mac}");
        cases(2);
    }
    let url = server.deploy(&flow(&with("hex").replace("KEY", "NONE"))).await;
    let response = server.call(Method::POST, &url).header("x-mac", hex).body("").send().await.unwrap();
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert!(server.callback(&response).await.to_string().contains("unknown-secret"));
}

/// A condition that prints these texts to standard error and then does what the last argument says, when it is asked or when
/// its configuration is checked.
fn printing(texts: &[&str], check: bool, then: &str) -> Vec<u8> {
    let imports = r#"
        (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (import "ringback:plugin/log@0.1.0" "write" (func $log (param i32 i32 i32)))"#;
    let (mut data, mut body, mut at) = (String::new(), String::new(), 4096);
    for text in texts {
        let bytes: String = text.bytes().map(|byte| format!("\\{byte:02x}")).collect();
        data += &format!("(data (i32.const {at}) \"{bytes}\")");
        body += &format!("i32.const {at} i32.const {} call $print ", text.len());
        at += text.len();
    }
    let items = format!(
        r#"{MEMORY} {data}
        (func $print (param i32 i32)
          i32.const 0 local.get 0 i32.store i32.const 4 local.get 1 i32.store
          i32.const 2 i32.const 0 i32.const 1 i32.const 8 call $write drop)"#
    );
    // Every function of the log is imported: what is not asked for is not in the component.
    body += "i32.const 1 i32.const 4096 i32.const 2 call $log ";
    body += then;
    let (check, evaluate) = if check { (body.as_str(), "") } else { ("", body.as_str()) };
    checking(imports, check, evaluate, &items)
}

/// What a runtime says before it breaks off is the reason, and stands before the lines of the log.
#[tokio::test]
async fn a_trap_carries_the_last_words_of_the_guest() {
    let server = TestServer::start().await;
    let traceback = "Traceback (most recent call last):\n  File \"/0/app.py\", line 6, in run\nKeyError: 'total'\n";
    let (status, entry) = call(&server, printing(&[traceback], false, "unreachable")).await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    let expected =
        "the plugin tool trapped: wasm trap: wasm `unreachable` instruction executed; it last said: KeyError: 'total'";
    assert_eq!(entry["reason"], expected);
    let log = json!([
        "output: Traceback (most recent call last):",
        "output:   File \"/0/app.py\", line 6, in run",
        "output: KeyError: 'total'",
        "info: Tr",
    ]);
    assert_eq!(entry["plugins"][0]["log"], log);

    let (_, entry) = call(&server, printing(&["Assertion ", "failed"], false, "i32.const 3 call $exit")).await;
    let expected = "the plugin tool trapped: it ended itself with status 1; it last said: Assertion failed";
    assert_eq!(entry["reason"], expected, "WASI 0.2 knows only whether all was well");
    assert_eq!(entry["plugins"][0]["failure"], "plugin_trapped");

    // Whoever says much is not stopped for it, and the end of it is what counts.
    let flood = "i32.const 0 local.set 0
        (loop $l
          i32.const 4096 i32.const 4 call $print
          local.get 0 i32.const 1 i32.add local.tee 0 i32.const 20000 i32.lt_u br_if $l)
        unreachable";
    let (_, entry) = call(&server, printing(&["abc\n"], false, flood)).await;
    assert!(entry["reason"].as_str().unwrap().ends_with("it last said: abc"), "{entry:#}");
    let log = entry["plugins"][0]["log"].as_array().unwrap();
    assert_eq!((log.len(), &log[16]), (17, &json!("… and 19986 more lines")), "{entry:#}");
}

/// Who deploys reads it, too.
#[tokio::test]
async fn a_check_that_traps_says_why_at_deployment() {
    let server = TestServer::start().await;
    let (status, body) = server.upload("tool", printing(&["no rules given\n"], true, "unreachable")).await;
    assert!(status.is_success(), "{body}");
    let flow = FLOW.replace("plugin: tool", "plugin: tool, with: { a: 1 }");
    let (status, body) = server.try_deploy(&flow).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    let expected = "the configuration could not be checked: the plugin tool trapped: wasm trap: wasm `unreachable` \
                    instruction executed; it last said: no rules given";
    assert!(body.to_string().contains(expected), "{body:#}");
    server.upload("tool", condition("", "", MEMORY)).await;
    server.deploy(&flow).await;
}

/// A file as a compiler left it; beside it stands how.
fn kept(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/plugins").join(name)).unwrap()
}

/// What was built for an earlier version keeps running, in each of its roles, with all that it may import.
#[tokio::test]
async fn a_plugin_of_an_earlier_rust_sdk_keeps_running() {
    for version in ["0.1.0", "0.1.1"] {
        keeps_running(version).await;
    }
}

async fn keeps_running(version: &str) {
    let server = TestServer::start().await;
    let (status, body) = server.upload("kept", kept(&format!("rust-{version}.wasm"))).await;
    assert_eq!(status, StatusCode::CREATED, "{body}");
    let imports = body["imports"].to_string();
    for interface in ["types", "log", "call", "secrets", "state", "http"] {
        assert!(imports.contains(&format!("ringback:plugin/{interface}@{version}")), "{imports}");
    }
    server.set_secret("TOKEN", "open sesame").await;
    let source = "flow: test
steps:
  - trigger: Hook
    mode: sync
    verify: { plugin: kept, with: { secret: [TOKEN, open sesame] } }
    parse: { plugin: kept, with: { long: 3 } }
    when: { plugin: kept, with: { log: [2, 8] } }
  - plugin: kept
    with: { fail_first: [0, key] }
    as: kept
  - plugin: kept
    with: count
    as: counted
  - respond: { plugin: kept, with: { reply: [201, x-made, '1'] } }
";
    let url = server.deploy(source).await;
    let response = server.post(&url, &json!({})).await;
    let record = server.callback(&response).await;
    assert_eq!(
        (response.status(), response.headers()["x-made"].to_str().unwrap()),
        (StatusCode::CREATED, "1"),
        "{record:#}"
    );
    let stages = |stage: &str| {
        let trace = record["trace"].as_array().unwrap();
        trace.iter().find(|entry| entry["stage"] == stage).unwrap()["plugins"][0].clone()
    };
    assert_eq!(stages("condition")["log"], json!(["info: \\u{1b}[31mx", "info: \\u{1b}[31mx"]));
    assert!(stages("verify")["cpu_us"].is_u64() && stages("parse")["cpu_us"].is_u64(), "{record:#}");
    let execution = server.get(&format!("/v1/executions/{}", record["execution"].as_str().unwrap())).await;
    assert!(execution.to_string().contains("\"result\":1"), "{execution:#}");
    let wrong = server.deploy(&source.replace("open sesame]", "open]")).await;
    assert_eq!(server.post(&wrong, &json!({})).await.status(), StatusCode::UNAUTHORIZED);
    let refused = server.try_deploy(&source.replace("with: count", "with: { counts: 1 }")).await;
    assert!(
        refused.0 == StatusCode::UNPROCESSABLE_ENTITY && refused.1.to_string().contains("unknown variant"),
        "{}",
        refused.1
    );
    if version == "0.1.1" {
        verifies_a_hash_of_parts(&server).await;
    }
}

/// What 0.1.1 had and 0.1.0 had not.
async fn verifies_a_hash_of_parts(server: &TestServer) {
    server.set_secret("KEY", "key").await;
    let source = "flow: test\nsteps:\n  - trigger: Hook\n    parse: text\n    verify: { plugin: kept, with: { mac: [KEY, hex, 'The quick '] } }\n";
    let url = server.deploy(source).await;
    let mac = "f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8";
    for (body, expected) in
        [("brown fox jumps over the lazy dog", StatusCode::ACCEPTED), ("brown fox", StatusCode::UNAUTHORIZED)]
    {
        let request = server.call(Method::POST, &url).header("content-type", "text/plain").header("x-mac", mac);
        assert_eq!(request.body(body).send().await.unwrap().status(), expected, "{body}");
    }
}

/// What was built for 1.0 keeps running: its cases, when it is uploaded, and each of its roles, with what it may import.
#[tokio::test]
async fn plugins_for_1_0_keep_running() {
    for name in ["rust-1.0.0.wasm", "c-1.0.0.wasm", "js-1.0.0.wasm", "js-1.0.0.js"] {
        let server = TestServer::start().await;
        let (status, body) = match name.ends_with(".js") {
            true => server.upload_source("kept", kept(name)).await,
            false => server.upload("kept", kept(name)).await,
        };
        assert_eq!(status, StatusCode::CREATED, "{name}: {body}");
        for interface in ["types", "log", "call", "secrets", "state", "http"] {
            let import = format!("ringback:plugin/{interface}@1.0.0");
            assert!(body["imports"].to_string().contains(&import), "{name}: {body}");
        }
        assert!(body["vectors"] == 29, "{name}: {body}");
        server.set_secret("KEY", "key").await;
        let source = include_str!("../fixtures/plugins/1.0.0.yaml");
        let url = server.deploy(source).await;
        let send = async |signature: &'static str, body: &'static str| {
            let request = server.call(Method::POST, &url).header("content-type", "text/plain").body(body);
            request.header("x-timestamp", "1700000000").header("x-signature", signature).send().await.unwrap()
        };
        let right = "d87d998f489780c1bce5b8058035cdf4d509307951e0f39844a2e04a57ae6541";
        for count in ["1 ", "2 "] {
            let response = send(right, "12345").await;
            let (status, text) = (response.status(), response.text().await.unwrap());
            assert!(status == StatusCode::CREATED && text.starts_with(count), "{name}: {status} {text}");
        }
        assert_eq!(send(right, "12346").await.status(), StatusCode::UNAUTHORIZED, "{name}");
        let small = send("534e617becc29b7641ec1a035e8e1cf2b715566c25354db6221426fdd5457a4a", "1").await;
        let record = server.callback(&small).await;
        assert_eq!(small.status(), StatusCode::NO_CONTENT, "{name}: {record:#}");
        assert!(record.to_string().contains("it is too small"), "{name}: {record:#}");
        // Its schemas are asked for, and its own check.
        for (right, wrong) in
            [("minimum: 5", "minimum: none"), ("path: $.size, ", ""), ("do: text", "do: text, dont: text")]
        {
            let (status, said) = server.try_deploy(&source.replacen(right, wrong, 1)).await;
            assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{name}, {wrong}: {said}");
        }
    }
}

/// C with a libc, as clang leaves it.
#[tokio::test]
async fn a_core_module_of_clang_for_0_1_0_keeps_running() {
    let server = TestServer::start().await;
    let (status, body) = server.upload("tool", kept("c-0.1.0.wasm")).await;
    assert_eq!(status, StatusCode::CREATED, "{body}");
    let flow = FLOW.replace("plugin: tool", "plugin: tool, with: { minimum: 100 }");
    let url = server.deploy(&flow).await;
    let send = async |body: Value| {
        let response = server.post(&url, &body).await;
        let record = server.callback(&response).await;
        let entry = record["trace"].as_array().unwrap().iter().find(|entry| entry["stage"] == "condition").cloned();
        (response.status(), entry.unwrap())
    };
    let (status, entry) = send(json!({ "total": 120 })).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{entry:#}");
    assert_eq!(entry["plugins"][0]["log"], json!(["output: printed", "info: total 120.00, at least 100.00"]));
    assert_eq!(send(json!({ "total": 99.5 })).await.0, StatusCode::NO_CONTENT);
    let (status, entry) = send(json!({ "sum": 120 })).await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(entry["reason"].as_str().unwrap().ends_with("; it last said: there is no total in []"), "{entry:#}");
    for (minimum, expected) in [
        (
            "none",
            "steps[0].when.with: the plugin `tool` does not accept this configuration: `minimum` must be a number",
        ),
        ("-1", "it last said: Assertion failed: "),
    ] {
        let (status, body) = server.try_deploy(&flow.replace("100", minimum)).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(body["detail"].as_str().unwrap().contains(expected), "{body:#}");
    }
}

//! Plugins that misbehave: each limit bites, the trace says which, and the next callback still works.

use crate::support::TestServer;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::time::Duration;

/// A flow whose condition does what each callback says.
fn condition(with: &str) -> String {
    format!("flow: test\nsteps:\n  - trigger: Hook\n    when: {{ plugin: misbehave, with: {with} }}\n")
}

async fn server() -> TestServer {
    server_with(Duration::from_millis(100)).await
}

async fn server_with(decide_cpu: Duration) -> TestServer {
    let server = TestServer::start_with(|config| config.plugin_limits.call.decide_cpu = decide_cpu);
    server.await.with_plugins(&["misbehave"]).await
}

/// Calls a flow: status, code, and the record.
async fn call(server: &TestServer, source: &str) -> (StatusCode, String, Value) {
    let url = server.deploy(source).await;
    let response = server.post(&url, &json!({ "a": 1 })).await;
    let (status, record) = (response.status(), server.callback(&response).await);
    let body: Value = response.json().await.unwrap_or_default();
    (status, body["code"].as_str().unwrap_or_default().to_owned(), record)
}

async fn fails(with: &str, code: &str, reason: &str) {
    fails_at(&server().await, with, code, reason).await;
}

async fn fails_at(server: &TestServer, with: &str, code: &str, reason: &str) {
    let (status, found, record) = call(server, &condition(with)).await;
    assert_eq!((status, found.as_str()), (StatusCode::INTERNAL_SERVER_ERROR, code), "{with}");
    let entry = record["trace"].as_array().unwrap().last().unwrap();
    assert_eq!((&entry["stage"], &entry["verdict"]), (&json!("condition"), &json!("failed")));
    assert!(entry["reason"].as_str().unwrap().contains(reason), "{entry}");
    assert_eq!(entry["plugins"][0]["failure"], code);
    assert_eq!(record["outcome"], "failed");
    let (status, ..) = call(server, &condition("behave")).await;
    assert_eq!(status, StatusCode::ACCEPTED, "the next callback works after {with}");
}

#[tokio::test]
async fn a_trap_is_never_true() {
    let why = "`unreachable` instruction executed; it last said: panicked at ";
    fails("trap", "plugin_trapped", why).await;
    fails("trap", "plugin_trapped", ": as configured").await;
}

#[tokio::test]
async fn a_loop_is_stopped() {
    fails("loop", "plugin_out_of_time", "100 ms of CPU time").await;
}

#[tokio::test]
async fn a_loop_of_host_calls_is_stopped() {
    fails("call_host", "plugin_out_of_time", "100 ms of CPU time").await;
}

#[tokio::test]
async fn waiting_for_the_clock_is_stopped() {
    fails("wait", "plugin_out_of_time", "ms").await;
}

#[tokio::test]
async fn growth_is_stopped() {
    // On a busy machine the kernel may take long to find so much memory.
    let server = server_with(Duration::from_secs(5)).await;
    fails_at(&server, "grow", "plugin_out_of_memory", "16777216 bytes").await;
}

#[tokio::test]
async fn endless_recursion_is_stopped() {
    fails("recurse", "plugin_trapped", "").await;
}

#[tokio::test]
async fn too_many_random_bytes_are_refused() {
    fails("{ random: 4097 }", "plugin_trapped", "4097 random bytes").await;
}

#[tokio::test]
async fn a_failure_of_the_guest_is_no_decision() {
    fails("fail", "plugin_failed", "as-configured: the configuration says so").await;
}

#[tokio::test]
async fn a_log_flood_is_cut_and_escaped() {
    let server = server().await;
    let (status, _, record) = call(&server, &condition("{ log: [40, 10000] }")).await;
    assert_eq!(status, StatusCode::ACCEPTED);
    let condition = record["trace"].as_array().unwrap().iter().find(|entry| entry["stage"] == "condition").unwrap();
    let log = condition["plugins"][0]["log"].as_array().unwrap();
    assert_eq!(log.len(), 17);
    // Each of the 40 texts has 1,250 lines.
    assert_eq!(log[16], "… and 49984 more lines");
    assert!(log[..16].iter().all(|line| line == "info: \\u{1b}[31mx"), "{log:?}");
}

#[tokio::test]
async fn over_long_and_ill_formed_answers_are_refused() {
    let server = server().await;
    let parser = |with: &str| {
        format!("flow: test\nsteps:\n  - trigger: Hook\n    parse: {{ plugin: misbehave, with: {with} }}\n")
    };
    let responder = |with: &str| {
        format!("flow: test\nsteps:\n  - trigger: Hook\n    reply: {{ plugin: misbehave, with: {with} }}\n")
    };
    for (source, code, expected) in [
        // How large the data of a body is, its sender says.
        (parser("{ long: 1048577 }"), "not_parsed", "bytes"),
        (parser("{ long: 3000000 }"), "not_parsed", "the data has more than 1048576 bytes"),
        (responder("ill_formed"), "plugin_bad_output", "not allowed"),
        (responder("{ reply: [99, x-a, b] }"), "plugin_bad_output", "200 to 599"),
    ] {
        let (status, said, record) = call(&server, &source).await;
        let expected_status = if code == "not_parsed" { 422 } else { 500 };
        assert_eq!((status.as_u16(), said.as_str()), (expected_status, code), "{source}");
        let reason = record["trace"].as_array().unwrap().last().unwrap()["reason"].as_str().unwrap().to_owned();
        assert!(reason.contains(expected), "{source}: {reason}");
    }
    let (status, ..) = call(&server, &responder("{ reply: [418, x-a, b] }")).await;
    assert_eq!(status, StatusCode::IM_A_TEAPOT);
    let step = "flow: test\nsteps:\n  - trigger: Hook\n  - plugin: misbehave\n    with: { long: 3000000 }\n";
    let response = server.post(&server.deploy(step).await, &json!({})).await;
    let id = server.callback(&response).await["execution"].as_str().unwrap().to_owned();
    let execution = server.ended(&id).await;
    assert!(
        execution["status"] == "failed" && execution.to_string().contains("a result has at most 1048576"),
        "{execution}"
    );
}

#[tokio::test]
async fn a_failing_step_fails_its_execution_alone() {
    let server = server().await;
    let source =
        "flow: test\nsteps:\n  - trigger: Hook\n  - plugin: misbehave\n    with: '${{ data.do }}'\n    as: result\n";
    let url = server.deploy(source).await;
    for (what, status, code) in [
        (json!("trap"), "failed", json!("plugin_trapped")),
        (json!("grow"), "failed", json!("plugin_out_of_memory")),
        (json!({ "long": 2_000_000 }), "failed", json!("plugin_bad_output")),
        (json!("nonsense"), "failed", json!("plugin_failed")),
        (json!("count"), "completed", Value::Null),
        (json!("count"), "completed", Value::Null),
    ] {
        let answer: Value = server.post(&url, &json!({ "do": what })).await.json().await.unwrap();
        let execution = server.ended(answer["execution"].as_str().unwrap()).await;
        assert_eq!((&execution["status"], &execution["error"]["code"]), (&json!(status), &code), "{what}");
    }
    let newest = server.get("/v1/executions?limit=1").await["items"][0]["id"].as_str().unwrap().to_owned();
    let execution = server.ended(&newest).await;
    assert_eq!(execution["journal"][1]["result"], 2, "the plugin's own state outlives the call");
}

#[tokio::test]
async fn secrets_answer_only_questions_and_http_reaches_nobody() {
    let server = server().await;
    server.set_secret("TOKEN", "right").await;
    let (status, ..) = call(&server, &condition("{ secret: [TOKEN, wrong] }")).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    let (status, ..) = call(&server, &condition("{ secret: [TOKEN, right] }")).await;
    assert_eq!(status, StatusCode::ACCEPTED);
    let (_, code, record) = call(&server, &condition("{ secret: [OTHER, x] }")).await;
    assert_eq!(code, "plugin_failed");
    assert!(record.to_string().contains("unknown-secret"));
    let (_, code, record) = call(&server, &condition(&format!("{{ http: '{}/healthz' }}", server.admin))).await;
    assert_eq!(code, "plugin_failed");
    assert!(record.to_string().contains("host-not-allowed"), "{record}");
}

#[tokio::test]
async fn allowed_hosts_are_reached() {
    let target = TestServer::start().await;
    let host = target.admin.trim_start_matches("http://").to_owned();
    let server =
        TestServer::start_with(|config| config.plugin_http_hosts = vec![host]).await.with_plugins(&["misbehave"]).await;
    let (status, _, record) = call(&server, &condition(&format!("{{ http: '{}/healthz' }}", target.admin))).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{record}");
}

#[tokio::test]
async fn other_callers_notice_nothing_of_a_loop() {
    let server = server().await;
    let looping = server.deploy(&condition("loop")).await;
    let fine = server.deploy("flow: fine\nsteps:\n  - trigger: Hook\n").await;
    let loops = (0..3).map(|_| server.call(Method::POST, &looping).json(&json!({})).send());
    let good = (0..20).map(|_| server.call(Method::POST, &fine).json(&json!({})).send());
    let (loops, good) = tokio::join!(futures_util::future::join_all(loops), futures_util::future::join_all(good));
    assert!(good.into_iter().all(|response| response.unwrap().status() == StatusCode::ACCEPTED));
    assert!(loops.into_iter().all(|response| response.unwrap().status() == StatusCode::INTERNAL_SERVER_ERROR));
}

#[tokio::test]
async fn five_faults_in_a_minute_let_a_version_rest() {
    let server = server().await;
    let url = server.deploy(&condition("trap")).await;
    for _ in 0..5 {
        assert_eq!(server.post(&url, &json!({})).await.status(), StatusCode::INTERNAL_SERVER_ERROR);
    }
    // A caller who waits for the flow cannot be answered later.
    let sync = server
        .deploy(
            &condition("trap").replace("flow: test", "flow: sync").replace("    when:", "    mode: sync\n    when:"),
        )
        .await;
    let response = server.post(&sync, &json!({})).await;
    assert_eq!(
        (response.status(), &response.headers()["retry-after"]),
        (StatusCode::SERVICE_UNAVAILABLE, &"60".parse().unwrap())
    );
    assert_eq!(response.json::<Value>().await.unwrap()["code"], "plugin_circuit_open");
    assert_eq!(server.post(&url, &json!({})).await.headers()["ringback-outcome"], "kept");
    let open = server.deploy("flow: open\nsteps:\n  - trigger: Hook\n").await;
    assert_eq!(server.post(&open, &json!({})).await.status(), StatusCode::ACCEPTED);
}

#[tokio::test]
async fn large_bodies_are_kept_whole_and_outside_no_log() {
    let server = TestServer::start().await;
    let url = server.deploy("flow: big\nsteps:\n  - trigger: Hook\n").await;
    let body = json!({ "text": "x".repeat(60_000) });
    let response = server.post(&url, &body).await;
    let record = server.callback(&response).await;
    assert_eq!(serde_json::from_str::<Value>(record["body"].as_str().unwrap()).unwrap(), body);
    let blobs = server.data().join("store/index/blobs");
    assert_eq!(std::fs::read_dir(blobs).map(Iterator::count).unwrap_or_default(), 0);
}

/// A thousand traps in a row: each is answered, and neither the next good call nor another plugin notices.
#[tokio::test]
async fn a_storm_of_traps_is_weathered() {
    let server = server().await.with_plugins(&["field-match"]).await;
    let trap = server.deploy(&condition("trap")).await;
    let good = server.deploy("flow: good\nsteps:\n  - trigger: Hook\n    when: { plugin: field-match, with: { all: [{ path: $.a, op: exists }] } }\n").await;
    let body = json!({ "a": 1 });
    let (mut trapped, mut rests) = (0, 0);
    for _ in 0..50 {
        let calls = (0..20).map(|_| server.post(&trap, &body));
        for answered in futures_util::future::join_all(calls).await {
            match answered.status() {
                StatusCode::INTERNAL_SERVER_ERROR => trapped += 1,
                // Kept for later: the plugin rests.
                StatusCode::ACCEPTED | StatusCode::SERVICE_UNAVAILABLE => rests += 1,
                status => panic!("{status}"),
            }
        }
        assert_eq!(server.post(&good, &body).await.status(), StatusCode::ACCEPTED);
    }
    assert!(trapped >= 5 && trapped + rests == 1000, "{trapped} {rests}");
}

#[tokio::test]
async fn wasi_grants_nothing_but_time_and_random_values() {
    let server = TestServer::start().await.with_plugins(&["uses-wasi"]).await;
    let source = "flow: test\nsteps:\n  - trigger: Hook\n    when: { plugin: uses-wasi }\n";
    let (status, _, record) = call(&server, source).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{record:#}");
    assert!(record.to_string().contains("output: Traceback: as a guest writes it"), "{record:#}");
}

#[tokio::test]
async fn waiting_on_the_host_counts_on_the_wall_clock() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let host = address.clone();
    let server = TestServer::start_with(|config| {
        config.plugin_http_hosts = vec![host];
        config.plugin_limits.call.decide_cpu = Duration::from_millis(100);
    })
    .await
    .with_plugins(&["misbehave"])
    .await;
    let (status, code, record) = call(&server, &condition(&format!("{{ http: 'http://{address}/' }}"))).await;
    assert_eq!((status, code.as_str()), (StatusCode::INTERNAL_SERVER_ERROR, "plugin_out_of_time"));
    assert!(record.to_string().contains("400 ms of wall-clock time"), "{record}");
    let (status, ..) = call(&server, &condition("behave")).await;
    assert_eq!(status, StatusCode::ACCEPTED);
}

/// An operator may give all of them more, and a workspace less.
#[tokio::test]
async fn limits_are_raised_for_all_and_lowered_for_a_workspace() {
    let change = |config: &mut ringback::config::Config| {
        config.plugin_limits.call.memory_bytes = 32 << 20;
        config.plugin_limits.call.log_lines = 30;
        let mut less = config.plugin_limits.call;
        (less.memory_bytes, less.log_lines, less.result_bytes) = (4 << 20, 2, 100);
        less.decide_cpu = Duration::from_millis(40);
        config.plugin_limits.workspaces.insert("small".parse().unwrap(), less);
    };
    for (workspace, memory, lines) in [("default", 32 << 20, 31), ("small", 4 << 20, 3)] {
        let server = TestServer::start_with(change).await.in_workspace(workspace).with_plugins(&["misbehave"]).await;
        let (_, code, record) = call(&server, &condition("grow")).await;
        assert_eq!(code, "plugin_out_of_memory");
        assert!(record.to_string().contains(&format!("more than {memory} bytes")), "{workspace}: {record:#}");
        let (_, _, record) = call(&server, &condition("{ log: [40, 80] }")).await;
        let trace = record["trace"].as_array().unwrap();
        let log = &trace.iter().find(|entry| entry["stage"] == "condition").unwrap()["plugins"][0]["log"];
        assert_eq!(log.as_array().unwrap().len(), lines, "{workspace}: {log}");
        let (_, code, _) = call(&server, &condition("loop")).await;
        assert_eq!(code, "plugin_out_of_time");
        let steps =
            "flow: test\nsteps:\n  - trigger: Hook\n    mode: sync\n  - plugin: misbehave\n    with: { long: 1000 }\n";
        let (status, ..) = call(&server, steps).await;
        let expected = if workspace == "small" { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::OK };
        assert_eq!(status, expected, "{workspace}: the result");
        assert_eq!(call(&server, &condition("behave")).await.0, StatusCode::ACCEPTED);
    }
}

//! Two workspaces and one server: one does its worst to a queue that both stand in, and the other must not notice.

use crate::process::{Process, Server};
use crate::support::{Sink, TestServer, plugin};
use crate::uploads::with_debug_section;
use futures_util::StreamExt as _;
use futures_util::stream::iter;
use reqwest::{Method, StatusCode};
use ringback_records::journal::{EntryKind, Summary};
use ringback_records::name::{CallbackId, ExecutionId, Name};
use ringback_records::time::Timestamp;
use ringback_store::{Claim, Mail, MailboxLimits, Store, StoreOptions, Write};
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// A flow that answers its caller after it has waited for a timer, and one that answers at once.
const PROMPT: &str = "flow: prompt\nsteps:\n  - trigger: Hook\n    mode: sync\n  - set: { answer: '${{ data.n }}' }\n  - respond: { \
                      json: { n: '${{ answer }}' } }\n";
const LATE: &str = "flow: late\nsteps:\n  - trigger: Hook\n    mode: sync\n    respond_within: 20s\n  - delay: 1s\n  - respond: { json: { n: 1 } }\n";

/// Sends so many of these, many at a time, all of which must be accepted.
async fn flood(server: &TestServer, url: &str, bodies: impl Iterator<Item = Value>) {
    let statuses: Vec<StatusCode> = iter(bodies)
        .map(|body| async move { server.post(url, &body).await.status() })
        .buffer_unordered(32)
        .collect()
        .await;
    assert!(statuses.iter().all(|status| *status == StatusCode::ACCEPTED), "{statuses:?}");
}

/// The flows of a workspace answer, at once and by a timer.
async fn answers_as_if_alone(server: &TestServer) {
    let (prompt, late) = (server.deploy(PROMPT).await, server.deploy(LATE).await);
    for n in 0..20 {
        let answer: Value = server.post(&prompt, &json!({ "n": n })).await.json().await.unwrap();
        assert_eq!(answer, json!({ "n": n }));
    }
    assert_eq!(server.post(&late, &json!({})).await.status(), StatusCode::OK);
}

async fn count(server: &TestServer, path: &str) -> usize {
    server.get(path).await["items"].as_array().unwrap().len()
}

/// B4: steps that wait for hosts which never answer hold no place that a neighbour needs; their own go on, too.
#[tokio::test]
async fn b4_hosts_that_never_answer_keep_no_neighbour_waiting() {
    let sink = Sink::start().await;
    let host = sink.host();
    let server = TestServer::start_with(|config| {
        config.executions_max = 4;
        config.http_private_hosts = vec![host];
    });
    let server = server.await.in_workspace("aaa");
    let never = Duration::from_secs(600);
    sink.answer("/hangs", &[(200, never); 12]);
    let source = "flow: hangs\nsteps:\n  - trigger: Hook\n  - http: { url: 'URL/hangs', timeout: 60s }\n";
    let url = server.deploy(&source.replace("URL", &sink.url)).await;
    let own = server.deploy_all(&PROMPT.replace("prompt", "own")).await;
    flood(&server, &url, (0..12).map(|n| json!(n))).await;
    while sink.requests().len() < 2 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(server.post(&own[0], &json!({ "n": 1 })).await.status(), StatusCode::OK, "its own flows answer");

    let server = server.in_workspace("bbb");
    answers_as_if_alone(&server).await;
    let source = "flow: asks\nsteps:\n  - trigger: Hook\n    mode: sync\n  - http: { url: 'URL/answers' }\n";
    let asks = server.deploy(&source.replace("URL", &sink.url)).await;
    assert_eq!(server.post(&asks, &json!({})).await.status(), StatusCode::OK, "a place to ask is left, too");

    let server = server.in_workspace("aaa");
    assert_eq!(count(&server, "/v1/executions?status=running").await, 12, "all of them hang");
    let hanging = sink.requests().iter().filter(|request| request.path == "/hangs").count();
    assert_eq!(hanging, 2, "of four places one workspace has two");
}

/// A2: a plugin that keeps failing keeps its own executions waiting, and holds no place while they pause.
#[tokio::test]
async fn a2_a_plugin_that_keeps_failing_keeps_nobody_else_waiting() {
    let server = TestServer::start_with(|config| config.executions_max = 4).await;
    let server = server.in_workspace("aaa").with_plugins(&["misbehave"]).await;
    let url = server.deploy("flow: traps\nsteps:\n  - trigger: Hook\n  - plugin: misbehave\n    with: trap\n").await;
    flood(&server, &url, (0..100).map(|n| json!(n))).await;
    let server = server.in_workspace("bbb");
    answers_as_if_alone(&server).await;
    let server = server.in_workspace("aaa");
    assert!(count(&server, "/v1/executions?status=running&limit=100").await > 50, "they wait until the plugin is back");
}

/// B5: callbacks that wait for the resting plugin of one workspace keep those of no other waiting.
#[tokio::test]
async fn b5_deferred_callbacks_of_one_workspace_wait_for_no_other() {
    let source = "flow: rests\nsteps:\n  - trigger: Hook\n    when: { plugin: misbehave, with: '${{ data.act }}' }\n";
    let server = TestServer::start().await.in_workspace("aaa").with_plugins(&["misbehave"]).await;
    let of_a = server.deploy(source).await;
    let server = server.in_workspace("bbb").with_plugins(&["misbehave"]).await;
    let of_b = server.deploy(source).await;
    for url in [&of_a, &of_b] {
        for _ in 0..5 {
            let failed = server.post(url, &json!({ "act": "trap" })).await;
            assert_eq!(failed.status(), StatusCode::INTERNAL_SERVER_ERROR);
        }
    }
    flood(&server, &of_a, (0..400).map(|n| json!({ "act": "trap", "n": n }))).await;
    let kept = server.post(&of_b, &json!({ "act": "behave" })).await;
    let id = kept.headers()["ringback-callback"].to_str().unwrap().to_owned();
    // A start forgets that they rest; that of the first workspace rests again after five of its callbacks.
    let server = server.restart().await.in_workspace("bbb");
    server.eventually(&format!("/v1/callbacks/{id}"), |record| record["outcome"] == "started").await;
    let server = server.in_workspace("aaa");
    assert_eq!(count(&server, "/v1/callbacks?outcome=kept&limit=100").await, 100, "the others are kept");
}

/// R3, A1: timers that cannot be handled now stay, and stop none behind them; over a restart, too.
#[tokio::test]
async fn r3_timers_that_cannot_be_handled_stop_nobody() {
    let server = TestServer::start().await.in_workspace("aaa").with_plugins(&["misbehave"]).await;
    let source = "flow: stays\nsteps:\n  - trigger: Hook\n  - delay: 15s\n  - trigger: Then\n    timeout: 1s\n    when: { plugin: \
                  misbehave, with: trap }\n";
    let urls = server.deploy_all(source).await;
    let started: Vec<String> = iter(0..1100)
        .map(|n| {
            let (server, url) = (&server, &urls[0]);
            async move {
                let answer: Value = server.post(url, &json!(n)).await.json().await.unwrap();
                answer["execution"].as_str().unwrap().to_owned()
            }
        })
        .buffer_unordered(64)
        .collect()
        .await;
    // Mail, whose condition cannot be asked while the plugin rests.
    let posted: Vec<StatusCode> = iter(&started)
        .map(|id| {
            let (server, url) = (&server, &urls[1]);
            async move { server.post(&format!("{url}?execution={id}"), &json!({})).await.status() }
        })
        .buffer_unordered(64)
        .collect()
        .await;
    assert!(posted.iter().all(|status| *status == StatusCode::ACCEPTED));
    let server = server.restart().await.in_workspace("bbb");
    let late = server.deploy(LATE).await;
    let server = server.in_workspace("aaa");
    while count(&server, "/v1/executions?status=waiting&trigger=then&limit=100").await < 100 {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let server = server.in_workspace("bbb");
    for _ in 0..3 {
        assert_eq!(server.post(&late, &json!({})).await.status(), StatusCode::OK);
    }
    let server = server.in_workspace("aaa");
    assert_eq!(count(&server, "/v1/executions?status=waiting&limit=100").await, 100, "they are still there");
}

/// B4: a start with very many running executions of one workspace reads them page by page. What stands in line is no more than a
/// few pages, a neighbour's go on at once, and every request is sent, once but for those that the kill cut off.
#[tokio::test(flavor = "multi_thread")]
async fn b4_many_that_run_at_a_start_are_claimed_page_by_page() {
    const RUNNING: usize = 1200;
    /// A page of those who come, and one of those who are claimed, for those who work and for those who ask a host.
    const IN_LINE_MAX: u64 = 4 * 256;
    let directory = tempfile::tempdir().unwrap();
    let sink = Sink::start().await;
    let server = Server::new(&directory.path().join("data"))
        .with("RINGBACK_HTTP_PRIVATE_HOSTS", format!("[\"{}\"]", sink.host()))
        .with("RINGBACK_EXECUTIONS_MAX", "4");
    let mut process = server.start();
    let token = std::fs::read_to_string(server.data().join("admin-token")).unwrap();
    let client = || reqwest::Client::builder().no_proxy().build().unwrap();
    let api = |process: &Process, workspace: &str, method: Method, path: &str| {
        let request = client().request(method, format!("{}{path}", process.admin)).bearer_auth(&token);
        request.header("ringback-workspace", workspace).header("content-type", "application/yaml")
    };
    let path = |flow: &Value| {
        let url = flow["triggers"][0]["urls"]["default"]["native"].as_str().unwrap();
        format!("/h/{}", url.rsplit('/').next().unwrap())
    };
    let deploy = async |process: &Process, workspace: &str, name: &str, source: &str| {
        let put = api(process, workspace, Method::PUT, &format!("/v1/flows/{name}")).body(source.to_owned());
        path(&put.send().await.unwrap().json().await.unwrap())
    };
    let in_line = async |process: &Process| {
        let text = client().get(format!("{}/metrics", process.admin)).send().await.unwrap().text().await.unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("ringback_executions_in_line "));
        line.unwrap_or_else(|| panic!("{text}")).parse::<u64>().unwrap()
    };
    sink.answer("/hangs", &[(200, Duration::from_secs(600)); 2]);
    let source = format!("flow: hangs\nsteps:\n  - trigger: Hook\n  - http: {{ url: '{}/hangs' }}\n", sink.url);
    let hangs = deploy(&process, "aaa", "hangs", &source).await;
    let prompt = deploy(&process, "bbb", "prompt", PROMPT).await;
    let caller = client();
    let accepted: Vec<StatusCode> = iter(0..RUNNING)
        .map(|n| caller.post(format!("{}{hangs}", process.public)).json(&json!(n)).send())
        .map(async |sent| sent.await.unwrap().status())
        .buffer_unordered(32)
        .collect()
        .await;
    assert!(accepted.iter().all(|status| *status == StatusCode::ACCEPTED));
    let before = in_line(&process).await;
    assert!((100..=IN_LINE_MAX).contains(&before), "{before} in line");
    process.kill();

    sink.answer("/hangs", &[(200, Duration::from_secs(5)); 2]);
    let asked_before = sink.requests().len();
    let process = server.start();
    let caller = client();
    let answer: Value = caller
        .post(format!("{}{prompt}", process.public))
        .json(&json!({ "n": 7 }))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(answer, json!({ "n": 7 }));
    let mut most = 0;
    while sink.requests().len() < asked_before + 3 {
        most = most.max(in_line(&process).await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!((100..=IN_LINE_MAX).contains(&most), "{most} in line");
    loop {
        let running = api(&process, "aaa", Method::GET, "/v1/executions?status=running&limit=1").send().await.unwrap();
        if running.json::<Value>().await.unwrap()["items"].as_array().unwrap().is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let keys: Vec<_> = sink.requests().iter().map(|request| request.headers["idempotency-key"].clone()).collect();
    assert_eq!(keys.iter().collect::<HashSet<_>>().len(), RUNNING, "all are done");
    assert!(keys.len() <= RUNNING + asked_before, "none twice: {}", keys.len());
    assert_eq!(in_line(&process).await, 0);
}

/// R3: what cannot be handled leaves the line, with a reason that is kept: the version of its flow is gone.
#[tokio::test]
async fn r3_an_execution_whose_flow_is_gone_ends_with_a_reason() {
    let server = TestServer::start().await;
    let url = server.deploy("flow: job\nsteps:\n  - trigger: Hook\n  - delay: 3s\n  - set: { a: 1 }\n").await;
    let started: Value = server.post(&url, &json!({})).await.json().await.unwrap();
    let id = started["execution"].as_str().unwrap().to_owned();
    server.deploy("flow: job\nsteps:\n  - trigger: Hook\n  - delay: 1s\n  - set: { a: 2 }\n").await;
    let data = server.end().await;
    {
        let store = Store::open(data.path(), StoreOptions::default()).unwrap();
        let (workspace, name) = ("default".parse().unwrap(), "job".parse().unwrap());
        let versions = [1].into();
        let delete = Write::DeleteFlowVersions { workspace, name, versions };
        store.commit(vec![delete]).await.unwrap();
        store.close().await;
    }
    let server = TestServer::start_in(data, |_| {}).await;
    let ended = server.ended(&id).await;
    assert_eq!((&ended["status"], &ended["error"]["code"]), (&json!("failed"), &json!("flow_gone")));
    let message = ended["error"]["message"].as_str().unwrap();
    assert_eq!(message, "version 1 of the flow job is gone: nobody knows what comes next");
}

/// B3: a flow that computes for long does so where it gives way, also while all of its callbacks come at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn b3_a_flow_that_computes_keeps_no_neighbour_waiting() {
    let server = TestServer::start().await.in_workspace("aaa");
    let step = "  - set: { found: '${{ size(data.filter(a, data.exists(b, b == a + 1))) }}' }\n";
    let computes = format!("flow: computes\nsteps:\n  - trigger: Hook\n    mode: sync\n{}", step.repeat(3));
    let computes = server.deploy(&computes).await;
    let numbers = json!((0..600).collect::<Vec<u32>>());
    for _ in 0..3 {
        assert_eq!(server.post(&computes, &numbers).await.status(), StatusCode::OK, "it is noticed");
    }
    let server = server.in_workspace("bbb");
    let prompt = server.deploy(PROMPT).await;
    let computing: Vec<_> =
        (0..8).map(|_| tokio::spawn(server.call(reqwest::Method::POST, &computes).json(&numbers).send())).collect();
    tokio::time::sleep(Duration::from_millis(50)).await;
    for n in 0..10 {
        let answer: Value = server.post(&prompt, &json!({ "n": n })).await.json().await.unwrap();
        assert_eq!(answer, json!({ "n": n }));
    }
    let unfinished = computing.iter().filter(|sent| !sent.is_finished()).count();
    assert!(unfinished >= 4, "{unfinished} of 8 still compute");
    for sent in computing {
        assert_eq!(sent.await.unwrap().unwrap().status(), StatusCode::OK, "and all have their turn");
    }
}

/// R10: checks of configurations have their share of the calls: who deploys many flows whose plugin checks for long takes no call from a
/// neighbour, who deploys as if he were alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r10_checks_of_configurations_have_their_share() {
    const FLOOD: usize = 40;
    let server = TestServer::start().await.in_workspace("bbb").with_plugins(&["misbehave"]).await;
    let asks = "flow: asks\nsteps:\n  - trigger: Hook\n    mode: sync\n    when: { plugin: misbehave, with: behave }\n";
    let asks = server.deploy(asks).await;
    let server = server.in_workspace("aaa").with_plugins(&["misbehave"]).await;
    let source = "steps:\n  - trigger: Hook\n    when: { plugin: misbehave, with: { check_burns: 80000000 } }\n";
    let flood: Vec<_> = (0..FLOOD)
        .map(|n| {
            let request = server.api(reqwest::Method::PUT, &format!("/v1/flows/burns-{n}"));
            tokio::spawn(request.body(format!("flow: burns-{n}\n{source}")).send())
        })
        .collect();
    let server = server.in_workspace("bbb");
    tokio::time::sleep(Duration::from_millis(50)).await;
    let (began, mut asked) = (Instant::now(), 0);
    server.deploy(PROMPT).await;
    let took = began.elapsed();
    while !flood.iter().all(tokio::task::JoinHandle::is_finished) {
        let answer = server.post(&asks, &json!(asked)).await;
        assert_eq!(answer.status(), StatusCode::OK, "{}", answer.text().await.unwrap());
        asked += 1;
    }
    assert!(asked > 5, "{asked}: nothing was tried");
    for deployment in flood {
        assert_eq!(deployment.await.unwrap().unwrap().status(), StatusCode::CREATED, "each has its turn");
    }
    println!("{asked} calls meanwhile; a deployment of the neighbour took {took:?}");
}

/// R10: uploads are compiled for a workspace after the other, however many of one wait, and the line of each has an end.
#[tokio::test]
async fn r10_uploads_are_compiled_in_turn() {
    let server = TestServer::start().await.in_workspace("aaa");
    let file = plugin("field-match");
    let uploads: Vec<_> = (0..14_u8)
        .map(|n| {
            // Each is another one: with a section that nobody reads.
            let bytes: Vec<u8> = file.iter().copied().chain([0, 3, 1, b'a', n]).collect();
            let request = server.api(reqwest::Method::POST, &format!("/v1/plugins/p{n}/versions")).body(bytes);
            tokio::spawn(request.header("content-type", "application/wasm").send())
        })
        .collect();
    while !uploads.iter().any(tokio::task::JoinHandle::is_finished) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let server = server.in_workspace("bbb");
    let bytes = file.iter().copied().chain([0, 2, 1, b'b']).collect();
    let (status, answer) = server.upload("own", bytes).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    let unfinished = uploads.iter().filter(|upload| !upload.is_finished()).count();
    assert!(unfinished >= 3, "{unfinished} of the neighbour's wait");
    let mut statuses = Vec::new();
    for upload in uploads {
        statuses.push(upload.await.unwrap().unwrap().status());
    }
    let refused = statuses.iter().filter(|status| **status == StatusCode::SERVICE_UNAVAILABLE).count();
    let taken = statuses.iter().filter(|status| **status == StatusCode::CREATED).count();
    assert_eq!(refused + taken, statuses.len(), "{statuses:?}");
    assert!(refused > 0 && taken > 8, "{statuses:?}");
}

/// R10: sources that loop where they are read, and scripts that loop in each call, take the time of who has them: a neighbour's
/// scripts answer meanwhile, and what he pushes is read.
#[tokio::test]
async fn r10_scripts_that_loop_keep_no_neighbour_waiting() {
    let server = TestServer::start().await.in_workspace("aaa");
    let source = |name: usize, script: &str| {
        format!("flow: f{name}\nsteps:\n  - trigger: Hook\n    when: {{ script: '{script}' }}\n")
    };
    let mut urls = Vec::new();
    for name in 0..4 {
        urls.push(server.deploy(&source(name, "for (;;);")).await);
    }
    let mut theirs: Vec<_> = (0..6)
        .map(|n| {
            let request = server.api(Method::POST, &format!("/v1/plugins/p{n}/versions")).body("for (;;);");
            tokio::spawn(request.header("content-type", "text/javascript").send())
        })
        .collect();
    let calls = urls.iter().cycle().take(32).map(|url| server.call(Method::POST, url).body("{}").send());
    theirs.extend(calls.map(tokio::spawn));
    let server = server.in_workspace("bbb");
    let url = server.deploy(&source(0, "data.n > 1")).await;
    let mut slowest = Duration::ZERO;
    for _ in 0..40 {
        let began = Instant::now();
        assert_eq!(server.post(&url, &json!({ "n": 2 })).await.status(), StatusCode::ACCEPTED);
        slowest = slowest.max(began.elapsed());
    }
    let began = Instant::now();
    let (status, answer) = server.upload_source("own", "export const condition = () => true").await;
    let took = began.elapsed();
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    let unfinished = theirs.iter().filter(|request| !request.is_finished()).count();
    assert!(unfinished > 0, "they were there all the time");
    assert!(slowest < Duration::from_secs(2) && took < Duration::from_secs(5), "{slowest:?} {took:?}");
    println!("a call took {slowest:?} at most, and a push {took:?}, beside {unfinished}");
    let mut statuses = Vec::new();
    for request in theirs {
        statuses.push(request.await.unwrap().unwrap().status().as_u16());
    }
    assert!(statuses.iter().all(|status| [422, 500, 202, 503].contains(status)), "{statuses:?}");
}

/// R10: a file that takes the compiler as long as it may is compiled in the time of who sends it: a neighbour's is next.
#[tokio::test]
async fn r10_a_bomb_keeps_no_other_upload_waiting_for_a_second_one() {
    let server = TestServer::start().await.in_workspace("aaa");
    let body = "local.get 0 local.get 0 i32.mul local.get 0 i32.add local.set 0 ".repeat(8000);
    let bomb = format!("(component (core module {}))", format!("(func (param i32) {body})").repeat(40));
    let bomb = wat::parse_str(&bomb).unwrap();
    let bombs: Vec<_> = (0..3_u8)
        .map(|n| {
            let bytes: Vec<u8> = bomb.iter().copied().chain([0, 3, 1, b'a', n]).collect();
            let request = server.api(reqwest::Method::POST, &format!("/v1/plugins/bomb-{n}/versions")).body(bytes);
            tokio::spawn(request.header("content-type", "application/wasm").send())
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let server = server.in_workspace("bbb").with_plugins(&["field-match", "json-reshape"]).await;
    let unfinished = bombs.iter().filter(|upload| !upload.is_finished()).count();
    answers_as_if_alone(&server).await;
    assert!(unfinished >= 1, "both were compiled before the last bomb");
    for upload in bombs {
        assert_eq!(upload.await.unwrap().unwrap().status(), StatusCode::UNPROCESSABLE_ENTITY);
    }
}

/// C9, R3: 30,000 timers of one workspace whose time comes at once stand in its own line.
#[tokio::test(flavor = "multi_thread")]
async fn r3_very_many_timers_at_once_keep_no_neighbour_waiting() {
    const TIMERS: usize = 30_000;
    let server = TestServer::start().await.in_workspace("aaa");
    let url = server.deploy("flow: sleeps\nsteps:\n  - trigger: Hook\n  - delay: 1h\n  - set: { a: 1 }\n").await;
    let started: Value = server.post(&url, &json!({})).await.json().await.unwrap();
    let id = started["execution"].as_str().unwrap().to_owned();
    server.eventually(&format!("/v1/executions/{id}"), |run| run["status"] == "waiting").await;
    let data = server.end().await;
    {
        let store = Store::open(data.path(), StoreOptions::default()).unwrap();
        let workspace: Name = "aaa".parse().unwrap();
        let (summary, journal) = store.execution(&workspace, id.parse().unwrap()).await.unwrap().unwrap();
        let due = Timestamp::now();
        let mut journal = journal;
        for entry in &mut journal {
            if let EntryKind::Delayed { until } = &mut entry.kind {
                *until = due;
            }
        }
        let copy = || {
            let mut summary = Box::new(summary.clone());
            summary.id = ExecutionId::new();
            summary.waits[0].until = Some(due);
            Write::Advance { workspace: workspace.clone(), before: None, summary, entries: journal.clone() }
        };
        for _ in 0..TIMERS / 500 {
            store.commit((0..500).map(|_| copy()).collect()).await.unwrap();
        }
        store.close().await;
    }
    let server = TestServer::start_in(data, |_| {}).await.in_workspace("bbb");
    answers_as_if_alone(&server).await;
    let server = server.in_workspace("aaa");
    assert_eq!(count(&server, "/v1/executions?status=waiting&limit=200").await, 200, "the others come later");
    let server = server.in_workspace("bbb");
    let late = server.deploy(&LATE.replace("flow: late", "flow: later")).await;
    let mut longest = Duration::ZERO;
    for _ in 0..5 {
        let began = Instant::now();
        assert_eq!(server.post(&late, &json!({})).await.status(), StatusCode::OK);
        longest = longest.max(began.elapsed());
    }
    println!("a delay of one second took {longest:?} at most, beside {TIMERS} timers");
    assert!(longest < 3 * Duration::from_secs(1), "{longest:?}");
    let server = server.in_workspace("aaa");
    assert!(count(&server, "/v1/executions?status=completed&limit=1").await > 0, "and they come");
}

/// R3: mail of one workspace that nobody took in time, however much, lets that of another go as if it were alone.
#[tokio::test(flavor = "multi_thread")]
async fn r3_mail_that_expires_keeps_no_neighbours_waiting() {
    const MAIL: usize = 20_000;
    let source = "flow: late\nsteps:\n  - trigger: Hook\n  - delay: 1h\n  - trigger: Then\n";
    let mut server = TestServer::start().await;
    let (mut kept, mut started) = (HashMap::new(), HashMap::new());
    for workspace in ["aaa", "bbb"] {
        server = server.in_workspace(workspace);
        let urls = server.deploy_all(source).await;
        let answer: Value = server.post(&urls[0], &json!({})).await.json().await.unwrap();
        let id = answer["execution"].as_str().unwrap().to_owned();
        server.eventually(&format!("/v1/executions/{id}"), |run| run["status"] == "waiting").await;
        let answer = server.post(&format!("{}?execution={id}", urls[1]), &json!({})).await;
        assert_eq!(answer.status(), StatusCode::ACCEPTED);
        kept.insert(workspace, answer.headers()["ringback-callback"].to_str().unwrap().to_owned());
        started.insert(workspace, id);
    }
    let data = server.end().await;
    {
        let store = Store::open(data.path(), StoreOptions::default()).unwrap();
        let trigger: Name = "then".parse().unwrap();
        let limits = MailboxLimits { count_max: 2 * MAIL, bytes_max: usize::MAX };
        // Each as if it had come already over its time, that of the first workspace in front.
        for (workspace, at) in [("aaa", 1), ("bbb", 2)] {
            let id = started[workspace].parse().unwrap();
            let workspace: Name = workspace.parse().unwrap();
            let (summary, journal) = store.execution(&workspace, id).await.unwrap().unwrap();
            let (mail, _) = store.next_mail(&workspace, id, &trigger, None).await.unwrap().unwrap();
            let expires_at = Timestamp::from_millis(at);
            let put = |execution: ExecutionId, mail: Mail| Write::PutMail {
                workspace: workspace.clone(),
                execution,
                entries: summary.entries,
                trigger: trigger.clone(),
                mail: Box::new(Mail { expires_at, ..mail }),
                limits,
            };
            let take = Write::TakeMail {
                workspace: workspace.clone(),
                execution: id,
                trigger: trigger.clone(),
                mail: Box::new(mail.clone()),
            };
            store.commit(vec![take]).await.unwrap();
            store.commit(vec![put(id, mail.clone())]).await.unwrap();
            // One execution with much mail would take long to fill.
            for _ in 0..if at == 1 { MAIL / 200 } else { 0 } {
                let copy = Box::new(Summary { id: ExecutionId::new(), ..summary.clone() });
                let execution = copy.id;
                let begin = Write::Advance {
                    workspace: workspace.clone(),
                    before: None,
                    summary: copy,
                    entries: journal.clone(),
                };
                store.commit(vec![begin]).await.unwrap();
                let others = (0..200).map(|_| put(execution, Mail { callback: CallbackId::new(), ..mail.clone() }));
                store.commit(others.collect()).await.unwrap();
            }
        }
        store.close().await;
    }
    let server = TestServer::start_in(data, |_| {}).await.in_workspace("bbb");
    server.eventually(&format!("/v1/callbacks/{}", kept["bbb"]), |record| record["outcome"] == "ignored").await;
    let data = server.end().await;
    let store = Store::open(data.path(), StoreOptions::default()).unwrap();
    let left = store.claim(&"aaa".parse().unwrap(), Claim::Mail, None, 1).await.unwrap();
    assert_eq!(left.ids.len(), 1, "that of the neighbour was not all gone before");
}

/// What a busy server cannot check now is no mistake of the flow.
#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_could_not_be_checked_is_tried_again() {
    let server = TestServer::start_with(|config| {
        config.plugin_limits.workspace_concurrency = 1;
        config.plugin_limits.workspace_waiting = 0;
    });
    let server = server.await.with_plugins(&["misbehave"]).await;
    let source = "steps:\n  - trigger: Hook\n    when: { plugin: misbehave, with: { check_burns: 80000000 } }\n";
    let deployments = iter(0..8).map(|n| {
        let request = server.api(reqwest::Method::PUT, &format!("/v1/flows/burns-{n}"));
        request.body(format!("flow: burns-{n}\n{source}")).send()
    });
    let answers: Vec<_> = deployments.buffer_unordered(8).collect().await;
    let mut busy = 0;
    for answer in answers {
        let answer = answer.unwrap();
        if answer.status() != StatusCode::CREATED {
            assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
            assert_eq!(answer.json::<Value>().await.unwrap()["code"], "plugin_busy");
            busy += 1;
        }
    }
    assert!((1..8).contains(&busy), "{busy}");
    server.deploy(PROMPT).await;
}

/// R10: reading a file of a flow, however long, keeps no callback waiting, also where there is one thread for all of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn r10_files_of_flows_are_read_where_they_give_way() {
    let server = TestServer::start().await.in_workspace("bbb");
    let prompt = server.deploy(PROMPT).await;
    let server = server.in_workspace("aaa");
    let long = format!("${{{{ [{}] }}}}", "data.a + data.b * 2, ".repeat(20).trim_end_matches(", "));
    let steps: String = (0..150).map(|n| format!("  - set: {{ s{n}: '{long}' }}\n")).collect();
    let deploying: Vec<_> = (0..8)
        .map(|n| {
            let request = server.api(reqwest::Method::PUT, &format!("/v1/flows/long-{n}"));
            tokio::spawn(request.body(format!("flow: long-{n}\nsteps:\n  - trigger: Hook\n{steps}")).send())
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let server = server.in_workspace("bbb");
    for n in 0..10 {
        let answer: Value = server.post(&prompt, &json!({ "n": n })).await.json().await.unwrap();
        assert_eq!(answer, json!({ "n": n }));
    }
    let unfinished = deploying.iter().filter(|sent| !sent.is_finished()).count();
    assert!(unfinished >= 4, "{unfinished} of 8 are still being read");
    for sent in deploying {
        let sent = sent.await.unwrap().unwrap();
        assert_eq!(sent.status(), StatusCode::CREATED, "{}", sent.text().await.unwrap());
    }
}

/// Somebody else on the one thread that answers callers, who always has something to do: how long it computes for others before each
/// of his turns. What else the machine does takes no processor time of this thread.
struct Other {
    turns: Arc<Mutex<Vec<Duration>>>,
    running: JoinHandle<()>,
}

impl Other {
    fn start() -> Self {
        let turns = Arc::<Mutex<Vec<Duration>>>::default();
        let running = tokio::spawn({
            let turns = Arc::clone(&turns);
            async move {
                let mut last = Self::computed();
                loop {
                    tokio::task::yield_now().await;
                    let now = Self::computed();
                    turns.lock().unwrap().push(now.saturating_sub(last));
                    last = Self::computed();
                }
            }
        });
        Self { turns, running }
    }

    /// What this thread has computed.
    fn computed() -> Duration {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        Duration::new(time.tv_sec.try_into().unwrap(), time.tv_nsec.try_into().unwrap())
    }

    /// What he has waited since he was asked last.
    fn waited(&self) -> Vec<Duration> {
        std::mem::take(&mut self.turns.lock().unwrap())
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        self.running.abort();
    }
}

/// B16: `any` asks many without keeping the thread from others: they have a turn after a few.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn b16_any_asks_a_few_at_a_time() {
    const WAITING: u32 = 192;
    const ROUNDS: usize = 10;
    let server = TestServer::start().await;
    let other = Other::start();
    let mut waited = Vec::new();
    for round in 0..ROUNDS {
        let source = format!(
            "flow: many-{round}\nsteps:\n  - trigger: First\n  - trigger: Then\n    when: data.order == \
             triggers.First.data.order\n"
        );
        let urls = server.deploy_all(&source).await;
        // What was stored a moment ago is in memory: nothing is waited for while it is read.
        flood(&server, &urls[0], (0..WAITING).map(|order| json!({ "order": order }))).await;
        other.waited();
        let answer = server.post(&format!("{}?execution=any", urls[1]), &json!({ "order": -1 })).await;
        assert_eq!(answer.status(), StatusCode::NO_CONTENT);
        let pieces = other.waited();
        // His own turns are among them, and shorter than a question.
        let all: Duration = pieces.iter().filter(|piece| **piece > Duration::from_micros(20)).sum();
        // As long as it takes to ask 24: three times as long as it should be, and less than half a page.
        let long: Duration = pieces.iter().filter(|piece| **piece > all * 24 / WAITING).sum();
        waited.push(long.as_secs_f64() / all.as_secs_f64());
    }
    println!("the share of the computing in which the other waited for long: {waited:.2?}");
    let disturbed = waited.iter().filter(|share| **share > 0.3).count();
    assert!(disturbed <= ROUNDS / 5, "{waited:?}");
}

/// What is done with a large plugin beside its compilation, reading and keeping it, is done on no thread that answers callers.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_large_plugin_keeps_no_neighbour_waiting() {
    const BYTES: usize = 40 << 20;
    let server = TestServer::start_with(|config| config.large_plugins = true).await.in_workspace("bbb");
    let prompt = server.deploy(PROMPT).await;
    let server = server.in_workspace("aaa");
    let other = Other::start();
    for n in 0..3_u8 {
        // Each is another one.
        let mut bytes = with_debug_section(plugin("field-match"), BYTES);
        bytes.extend([0, 3, 1, b'a', n]);
        other.waited();
        let (status, answer) = server.upload("large", bytes).await;
        assert_eq!(status, StatusCode::CREATED, "{answer}");
        let longest = other.waited().into_iter().max().unwrap();
        println!("the longest piece beside {BYTES} bytes: {longest:?}");
        assert!(longest < Duration::from_millis(20), "to hash or to copy all of it takes longer: {longest:?}");
    }
    let server = server.in_workspace("bbb");
    assert_eq!(server.post(&prompt, &json!({ "n": 1 })).await.status(), StatusCode::OK);
}

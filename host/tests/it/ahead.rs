//! A flow whose caller waits for the answer: what nobody was promised yet becomes durable at once, in one change.

use crate::corpus::failing_step;
use crate::load::Api;
use crate::process::{Process, Server};
use crate::support::{Sink, TestServer, plugin};
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

/// Its plugins are functions of what they see.
const PURE: &str = "flow: pure
steps:
  - trigger: Ask
    mode: sync
    dedupe: { by: '${{ data.n }}' }
  - plugin: json-reshape
    with: { shape: { n: { path: $.data.n } } }
    as: shaped
  - respond: { plugin: template-reply, with: { template: '{{ shaped.n }} in {{ execution.id }}{{ callback.path[:0] }}' } }
";
/// The template takes a while, in which nothing of the machine is waited for.
const SLOW: &str = "flow: slow
steps:
  - trigger: Ask
    mode: sync
    respond_within: {within}
    dedupe: { by: '${{ data.n }}' }
  - respond:
      plugin: template-reply
      with: { template: '{% for i in range(data.rounds) %}{% for j in range(100) %}{% endfor %}{% endfor %}{{ execution.id }}' }
";

/// After so long what is written behind is counted.
const BEHIND: Duration = Duration::from_millis(300);

/// A server with plugins, in a process of its own.
struct Host {
    server: Server,
    process: Process,
    api: Api,
    client: Client,
}

impl Host {
    async fn start(server: Server) -> Self {
        let process = server.start();
        let api = Api::new(&process, server.data());
        let host = Self { server, process, api, client: Client::builder().no_proxy().build().unwrap() };
        for name in ["json-reshape", "template-reply", "misbehave"] {
            let upload = host.api.request(Method::POST, &format!("/v1/plugins/{name}/versions")).body(plugin(name));
            assert!(upload.send().await.unwrap().status().is_success());
        }
        host
    }

    async fn deploy(&self, source: &str) -> Vec<String> {
        let name = source.lines().next().unwrap().trim_start_matches("flow: ");
        self.api.deploy(name, source.to_owned()).await.unwrap()
    }

    async fn post(&self, path: &str, body: &Value) -> (StatusCode, String) {
        let response = self.client.post(format!("{}{path}", self.process.public)).json(body).send().await.unwrap();
        (response.status(), response.text().await.unwrap())
    }

    /// How many changes the store has made durable.
    async fn changes(&self) -> u64 {
        self.metric("ringback_store_changes_total ").await
    }

    async fn metric(&self, name: &str) -> u64 {
        let text = self.client.get(format!("{}/metrics", self.process.admin)).send().await.unwrap().text().await;
        let text = text.unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.map_or(0, |count| count.parse().unwrap())
    }

    /// How many changes callbacks make, with what nobody waits for but those who count.
    async fn changes_of(&self, path: &str, bodies: &[Value], expected: StatusCode, wait: Duration) -> u64 {
        let before = self.changes().await;
        for body in bodies {
            let (status, text) = self.post(path, body).await;
            assert_eq!(status, expected, "{text}");
        }
        tokio::time::sleep(wait).await;
        self.changes().await - before
    }

    /// Sends callbacks, `count` at a time, until they make so many changes, and never fewer. The call after a long one is durable
    /// before; on a busy machine any may be long, as are the first ones after a rest, which are not counted. Returns what was sent
    /// last, and how many were.
    async fn changes_come_to(&self, path: &str, count: u64, expected: StatusCode, changes: u64) -> (Vec<Value>, usize) {
        let mut sent = 0;
        loop {
            for body in numbers(sent, 3) {
                assert_eq!(self.post(path, &body).await.0, expected);
            }
            while self.changes_of(path, &[], expected, Duration::from_millis(20)).await > 0 {}
            let bodies = numbers(sent + 3, count);
            sent += 3 + count;
            let made = self.changes_of(path, &bodies, expected, BEHIND).await;
            if made == changes {
                return (bodies, usize::try_from(sent).unwrap());
            }
            assert!(made > changes && sent < 20 * (3 + count), "{made} changes in place of {changes}");
        }
    }

    async fn executions(&self) -> Vec<Value> {
        self.api.all("/v1/executions").await
    }

    fn kill_and_start(&mut self) {
        self.process.kill();
        self.process = self.server.start();
        self.api = Api::new(&self.process, self.server.data());
    }
}

fn numbers(from: u64, count: u64) -> Vec<Value> {
    (from..from + count).map(|n| json!({ "n": n })).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_leaves_nothing_behind_becomes_durable_with_its_start() {
    let directory = tempfile::tempdir().unwrap();
    let sink = Sink::start().await;
    let server = Server::new(&directory.path().join("data"))
        .with("RINGBACK_HTTP_PRIVATE_HOSTS", format!("[\"{}\"]", sink.host()));
    let host = Host::start(server).await;
    // What has effects is durable before them, and its answer with the callback.
    let counting = "flow: counting\nsteps:\n  - trigger: Ask\n    mode: sync\n  - plugin: misbehave\n    with: count\n";
    let path = &host.deploy(counting).await[0];
    assert_eq!(host.changes_of(path, &numbers(0, 5), StatusCode::OK, BEHIND).await, 5 * 4, "start, state, end, answer");
    let sending = format!(
        "flow: sending\nsteps:\n  - trigger: Ask\n    mode: sync\n  - plugin: json-reshape\n    with: {{ shape: 1 }}\n  - http: {{ \
         url: '{}/x' }}\n",
        sink.url
    );
    let path = &host.deploy(&sending).await[0];
    // Start, end, answer.
    let (_, sent) = host.changes_come_to(path, 5, StatusCode::OK, 5 * 3).await;
    assert_eq!(sink.requests().len(), sent);
    let asynchronous = "flow: later\nsteps:\n  - trigger: Ask\n  - plugin: json-reshape\n    with: { shape: 1 }\n";
    let path = &host.deploy(asynchronous).await[0];
    assert_eq!(host.changes_of(path, &numbers(0, 5), StatusCode::ACCEPTED, BEHIND).await, 5 * 2, "start, end");

    let path = &host.deploy(PURE).await[0];
    let (last, sent) = host.changes_come_to(path, 5, StatusCode::OK, 5).await;
    assert_eq!(host.changes_of(path, &last, StatusCode::OK, BEHIND).await, 0, "they came before");
    let runs = host.executions().await;
    assert!(runs.iter().all(|run| run["status"] == "completed"), "{runs:#?}");
    let pure: Vec<_> = runs.iter().filter(|run| run["flow"] == "pure").collect();
    assert_eq!(pure.len(), sent);
    let run = host.api.get(&format!("/v1/executions/{}", pure[0]["id"].as_str().unwrap())).await.unwrap();
    let kinds: Vec<_> = run["journal"].as_array().unwrap().iter().map(|entry| entry["kind"].clone()).collect();
    assert_eq!(kinds, ["started", "plugin", "responded", "completed"]);
    let record = host.api.get(&format!("/v1/callbacks/{}", run["callback"].as_str().unwrap())).await.unwrap();
    assert!(record["reply"]["body"].as_str().unwrap().ends_with(run["id"].as_str().unwrap()), "{record:#}");

    // As far as it comes: up to a failure, or to a wait, whose callback finds it.
    let fails = PURE.replace("pure", "fails").replace("{{ shaped.n }}", "{{ nothing }}");
    let path = &host.deploy(&fails).await[0];
    host.changes_come_to(path, 1, StatusCode::INTERNAL_SERVER_ERROR, 1).await;
    let failed = host.api.get("/v1/executions?status=failed").await.unwrap();
    assert_eq!(failed["items"][0]["error"]["code"], "plugin_failed", "{failed:#}");
    let paths = host.deploy(&(PURE.replace("pure", "waits") + "  - trigger: Go\n")).await;
    host.changes_come_to(&paths[0], 1, StatusCode::OK, 1).await;
    assert_eq!(host.post(&format!("{}?execution=any", paths[1]), &json!({})).await.0, StatusCode::ACCEPTED);
    let waits = host.api.get("/v1/executions?flow=waits").await.unwrap();
    assert!(waits["items"].as_array().unwrap().iter().any(|run| run["status"] == "completed"), "{waits:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_delivery_many_times_at_once_is_one_execution_with_one_answer() {
    let directory = tempfile::tempdir().unwrap();
    let host = Host::start(Server::new(&directory.path().join("data"))).await;
    let path = &host.deploy(PURE).await[0];
    for n in 0..20 {
        let body = json!({ "n": n });
        let posts = (0..16).map(|_| host.post(path, &body));
        let answers: BTreeSet<_> = futures_util::future::join_all(posts).await.into_iter().collect();
        assert_eq!(answers.len(), 1, "{answers:?}");
        assert!(
            answers.iter().all(|(status, text)| *status == StatusCode::OK && text.starts_with(&format!("{n} in ")))
        );
    }
    assert_eq!(host.executions().await.len(), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_killed_before_has_promised_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let server = Server::new(&directory.path().join("data")).with("RINGBACK_PLUGIN_WORK_CPU", "10s");
    let mut host = Host::start(server).await;
    let path = host.deploy(&SLOW.replace("{within}", "20s")).await.remove(0);
    let (mut nothing, rounds) = (0, 6);
    for n in 0..rounds {
        let before = host.executions().await.len();
        let url = format!("{}{path}", host.process.public);
        // It takes so long that no kill comes too late.
        let posting = tokio::spawn(host.client.post(url).json(&json!({ "n": n, "rounds": 20_000 })).send());
        tokio::time::sleep(Duration::from_millis(20)).await;
        host.kill_and_start();
        assert!(posting.await.unwrap().is_err(), "it was answered");
        let after = host.executions().await.len() - before;
        assert!(after <= 1);
        nothing += 1 - after;
        let short = json!({ "n": n, "rounds": 1 });
        if after == 0 {
            assert_eq!(host.api.get("/v1/callbacks").await.unwrap()["items"].as_array().unwrap().len(), n);
            let (status, id) = host.post(&path, &short).await;
            assert_eq!((status, host.post(&path, &short).await), (StatusCode::OK, (status, id.clone())));
        }
        let runs = host.executions().await;
        assert_eq!(runs.len(), before + 1, "{runs:#?}");
        // What was durable goes on, for seconds.
        for run in runs.iter().filter(|run| run["ended_at"].is_null()) {
            let cancel =
                host.api.request(Method::POST, &format!("/v1/executions/{}/cancel", run["id"].as_str().unwrap()));
            assert!(cancel.send().await.unwrap().status().is_success());
        }
    }
    assert!(nothing > 0, "every kill came too late");
    host.process.kill();
    host.server.verify();
}

/// What takes long is seen and can be cancelled; its caller gets the answer as ever.
#[tokio::test(flavor = "multi_thread")]
async fn what_takes_long_is_durable_before_it_ends() {
    let server = TestServer::start_with(|config| config.plugin_limits.call.work_cpu = Duration::from_secs(60)).await;
    let server = server.with_plugins(&["template-reply"]).await;
    let url = server.deploy(&SLOW.replace("{within}", "60s")).await;
    let started = Instant::now();
    let call = async |n: u64| -> (StatusCode, String, Duration) {
        let answer = server.post(&url, &json!({ "n": n, "rounds": 10_000 })).await;
        (answer.status(), answer.text().await.unwrap(), started.elapsed())
    };
    let seen = async || {
        let running = server.eventually("/v1/executions?status=running", |list| !list["items"][0].is_null()).await;
        (running["items"][0]["id"].as_str().unwrap().to_owned(), started.elapsed())
    };
    let ((status, answer, answered_at), (id, seen_at)) = tokio::join!(call(1), seen());
    assert_eq!((status, &answer), (StatusCode::OK, &id));
    assert!(seen_at < answered_at, "{seen_at:?} {answered_at:?}");
    let cancel = async || {
        let (id, _) = seen().await;
        server.api(Method::POST, &format!("/v1/executions/{id}/cancel")).send().await.unwrap().status()
    };
    let ((status, answer, _), cancelled) = tokio::join!(call(2), cancel());
    assert_eq!((status, cancelled), (StatusCode::INTERNAL_SERVER_ERROR, StatusCode::OK), "{answer}");

    let url = server.deploy(&SLOW.replace("flow: slow", "flow: late").replace("{within}", "100ms")).await;
    let late = server.post(&url, &json!({ "n": 1, "rounds": 10_000 })).await;
    assert_eq!(late.status(), StatusCode::ACCEPTED);
    let late: Value = late.json().await.unwrap();
    let ended = server.ended(late["execution"].as_str().unwrap()).await;
    assert_eq!(ended["status"], "completed");
    let answer = server.fetch(late["status_url"].as_str().unwrap()).await;
    assert_eq!(
        (answer.status(), answer.text().await.unwrap()),
        (StatusCode::OK, late["execution"].as_str().unwrap().to_owned())
    );
}

/// Who has no place is durable, and stands in line.
#[tokio::test(flavor = "multi_thread")]
async fn who_must_wait_for_a_place_is_durable_first() {
    // It answers when the test says so: until then the plugin that asks it has the only place.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let server = TestServer::start_with(|config| {
        config.executions_max = 1;
        config.plugin_http_hosts = vec![host.clone()];
        config.plugin_limits.call.work_cpu = Duration::from_secs(60);
    });
    let server = server.await.with_plugins(&["template-reply", "json-reshape", "misbehave"]).await;
    let holds = format!(
        "flow: holds\nsteps:\n  - trigger: Ask\n    mode: sync\n    respond_within: 60s\n  - plugin: misbehave\n    with: {{ http: \
         'http://{host}/' }}\n"
    );
    let (holds, pure) = (server.deploy(&holds).await, server.deploy(PURE).await);
    let running = async |count: usize| {
        let items = |list: &Value| list["items"].as_array().unwrap().len();
        server.eventually("/v1/executions?status=running", |list| items(list) == count).await;
    };
    let body = json!({ "n": 7 });
    let later = async {
        let (mut held, _) = listener.accept().await.unwrap();
        let release = async {
            running(2).await;
            held.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await.unwrap();
        };
        let (answer, ()) = tokio::join!(server.post(&pure, &body), release);
        answer
    };
    let (first, second) = tokio::join!(server.post(&holds, &body), later);
    assert_eq!((first.status(), second.status()), (StatusCode::OK, StatusCode::OK));
    assert!(second.text().await.unwrap().starts_with("7 in "));
}

/// A step that fails before anybody was promised anything, and may succeed later, is asked again after a pause, and how often it has
/// failed is not forgotten when it becomes durable.
#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_fails_ahead_pauses_as_long_as_any_other() {
    let directory = tempfile::tempdir().unwrap();
    let host = Host::start(Server::new(&directory.path().join("data"))).await;
    let upload = host.api.request(Method::POST, "/v1/plugins/failing/versions").body(failing_step()).send().await;
    assert!(upload.unwrap().status().is_success());
    let source =
        "flow: fails\nsteps:\n  - trigger: Ask\n    mode: sync\n    respond_within: 200ms\n  - plugin: failing\n";
    let path = &host.deploy(source).await[0];
    let failures = async || host.metric("ringback_plugin_failures_total{code=\"plugin_failed\"} ").await;
    let began = Instant::now();
    let (status, answer) = host.post(path, &json!({})).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{answer}");
    let mut seen = Vec::new();
    while seen.len() < 3 {
        let count = failures().await;
        let at = began.elapsed();
        // Its pauses are a second, two, and four.
        let least = [Duration::ZERO, Duration::ZERO, Duration::from_secs(1), Duration::from_secs(3)];
        assert!(count < 4 && at >= least[usize::try_from(count).unwrap()], "{count} after {at:?}");
        if count > 0 && seen.last() != Some(&count) {
            seen.push(count);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(host.executions().await[0]["status"], "running", "and it is not given up");
}

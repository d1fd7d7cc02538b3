//! What was acknowledged survives: stops, kills, and a kill in the middle of an execution.

use crate::process::{Ledger, Process, Server};
use crate::support::{BINARY, TestServer, github_signature, plugin};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const SECRET: &str = "kill me";
const FLOW: &str = "flow: burst\nsteps:\n  - trigger: Hook\n    verify: { scheme: github, secret: S }\n    when: data.n % 10 != 9\n  - plugin: json-reshape\n    with: { shape: { n: { path: $.data.n } } }\n    as: out\n";

async fn prepare(client: &reqwest::Client, process: &Process, data: &Path) -> String {
    let token = std::fs::read_to_string(data.join("admin-token")).unwrap();
    let api =
        |method: Method, path: &str| client.request(method, format!("{}{path}", process.admin)).bearer_auth(&token);
    let secret = api(Method::PUT, "/v1/secrets/S").json(&json!({ "value": SECRET }));
    assert!(secret.send().await.unwrap().status().is_success());
    let upload = api(Method::POST, "/v1/plugins/json-reshape/versions").body(plugin("json-reshape"));
    assert!(upload.send().await.unwrap().status().is_success());
    let flow: Value = api(Method::PUT, "/v1/flows/burst").body(FLOW).send().await.unwrap().json().await.unwrap();
    let url = flow["triggers"][0]["urls"]["default"]["native"].as_str().unwrap();
    url.rsplit('/').next().unwrap().to_owned()
}

/// Sends signed callbacks until the server is gone; an acknowledgement is in the ledger before it counts.
async fn burst(client: reqwest::Client, url: String, first: usize, step: usize, ledger: Ledger) {
    let mut n = first;
    loop {
        let body = json!({ "n": n }).to_string();
        let signature = github_signature(SECRET, body.as_bytes());
        let request =
            client.post(&url).header("content-type", "application/json").header("x-hub-signature-256", signature);
        let Ok(response) = request.body(body).send().await else { return };
        let status = response.status().as_u16();
        let Ok(answer) = response.bytes().await else { return };
        match status {
            202 => {
                let answer: Value = serde_json::from_slice(&answer).unwrap();
                ledger.add(&format!("{} {n}", answer["execution"].as_str().unwrap()));
            }
            204 => assert_eq!(n % 10, 9),
            status => panic!("{status}: {}", String::from_utf8_lossy(&answer)),
        }
        n += step;
    }
}

/// 50 times kill -9 in a burst of signed callbacks: no acknowledged one is lost, and every started execution ends.
#[tokio::test(flavor = "multi_thread")]
async fn no_acknowledged_callback_is_lost() {
    const CYCLES: usize = 50;
    const SENDERS: usize = 8;
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let ledger = Ledger::open(directory.path().join("ledger"));
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10)).build().unwrap();
    let mut key = None;
    let mut next = 0;
    for cycle in 0..CYCLES {
        let mut process = Server::new(&data).start();
        let key = match &key {
            Some(key) => String::clone(key),
            None => key.insert(prepare(&client, &process, &data).await).clone(),
        };
        let url = format!("{}/h/{key}", process.public);
        // A client of its own: connections of a dead server must not be tried again.
        let senders: Vec<_> = (0..SENDERS)
            .map(|sender| {
                let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10)).build().unwrap();
                tokio::spawn(burst(client, url.clone(), next + sender, SENDERS, ledger.clone()))
            })
            .collect();
        next += 1_000_000;
        tokio::time::sleep(Duration::from_millis(20 + (cycle as u64 * 37) % 160)).await;
        process.kill();
        for sender in senders {
            sender.await.unwrap();
        }
    }
    let acknowledged = ledger.lines();
    assert!(acknowledged.len() > CYCLES, "only {} callbacks were acknowledged", acknowledged.len());
    check(&data, &client, &acknowledged).await;
    let verified = Command::new(BINARY).args(["db", "verify", "--data"]).arg(&data).output().unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
    println!("kill -9: {CYCLES} cycles, {} acknowledged callbacks, 0 lost", acknowledged.len());
}

async fn check(data: &Path, client: &reqwest::Client, acknowledged: &BTreeSet<String>) {
    let mut process = Server::new(data).start();
    let token = std::fs::read_to_string(data.join("admin-token")).unwrap();
    for line in acknowledged {
        let (id, n) = line.split_once(' ').unwrap();
        let url = format!("{}/v1/executions/{id}", process.admin);
        let execution = loop {
            let response = client.get(&url).bearer_auth(&token).send().await.unwrap();
            assert_eq!(response.status().as_u16(), 200, "the acknowledged execution {id} is lost");
            let execution: Value = response.json().await.unwrap();
            if execution["ended_at"].is_string() {
                break execution;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        assert_eq!(execution["status"], "completed", "{execution}");
        let results: Vec<&Value> =
            execution["journal"].as_array().unwrap().iter().filter(|entry| entry["kind"] == "plugin").collect();
        assert_eq!(results.len(), 1, "a step's result is in the journal once: {execution}");
        assert_eq!(results[0]["result"]["n"].to_string(), n);
    }
    process.kill();
}

#[tokio::test]
async fn everything_is_there_after_a_stop() {
    let server = TestServer::start().await.with_plugins(&["field-match"]).await;
    server.set_secret("S", "x").await;
    let url = server.deploy("flow: f\nsteps:\n  - trigger: Hook\n    when: { plugin: field-match, with: { any: [{ path: $.a, op: exists }] } }\n").await;
    let started = server.post(&url, &json!({ "a": 1 })).await;
    let (started, ignored) = (server.callback(&started).await, server.post(&url, &json!({})).await);
    let ignored = server.callback(&ignored).await;
    let server = server.restart().await;
    assert_eq!(server.get(&format!("/v1/callbacks/{}", started["id"].as_str().unwrap())).await, started);
    assert_eq!(server.get(&format!("/v1/callbacks/{}", ignored["id"].as_str().unwrap())).await, ignored);
    assert_eq!(server.get("/v1/executions").await["items"][0]["status"], "completed");
    assert_eq!(server.get("/v1/secrets").await["items"][0]["name"], "S");
    let flow = server.get("/v1/flows/f").await;
    let url = flow["triggers"][0]["urls"]["default"]["native"].as_str().unwrap();
    assert_eq!(server.post(url, &json!({ "a": 1 })).await.status().as_u16(), 202);
}

/// A disk that is full, by a limit on the size of files: nothing is acknowledged and lost, the exit code says what it
/// was, and a start with space goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_ends_the_server_with_its_own_exit_code() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(20)).build().unwrap();
    let key = {
        let process = Server::new(&data).start();
        prepare(&client, &process, &data).await
    };
    let log = directory.path().join("log");
    let mut process = Server::new(&data).after("trap '' XFSZ; ulimit -f 6144").log_to(&log).start();
    let ledger = Ledger::open(directory.path().join("ledger"));
    let url = format!("{}/h/{key}", process.public);
    for n in 0.. {
        let body = json!({ "n": n * 10, "filler": "x".repeat(20_000) }).to_string();
        let signature = github_signature(SECRET, body.as_bytes());
        let request =
            client.post(&url).header("content-type", "application/json").header("x-hub-signature-256", signature);
        let Ok(response) = request.body(body).send().await else { break };
        let status = response.status().as_u16();
        let Ok(answer) = response.json::<Value>().await else { break };
        match status {
            202 => ledger.add(&format!("{} {}", answer["execution"].as_str().unwrap(), n * 10)),
            503 => break,
            status => panic!("{status}: {answer}"),
        }
        assert!(n < 5000, "the limit did not bite");
    }
    let status = process.wait(Duration::from_secs(20));
    let log = std::fs::read_to_string(log).unwrap();
    assert_eq!(status, Some(75), "{log}");
    assert!(log.contains("the store has failed"), "{log}");
    let acknowledged = ledger.lines();
    assert!(!acknowledged.is_empty());
    check(&data, &client, &acknowledged).await;
    println!("full disk: {} acknowledged callbacks, 0 lost", acknowledged.len());
}

/// B6: a step that was under way is performed again once, also when its execution has mail.
#[tokio::test]
async fn b6_a_restart_performs_the_step_under_way_once() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let sink = crate::support::Sink::start().await;
    sink.answer(
        "/slow",
        &[(200, Duration::from_secs(600)), (200, Duration::from_secs(2)), (200, Duration::from_secs(2))],
    );
    let host = sink.url.trim_start_matches("http://");
    let server = Server::new(&data).with("RINGBACK_HTTP_PRIVATE_HOSTS", format!("[\"{host}\"]"));
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut process = server.start();
    let token = std::fs::read_to_string(data.join("admin-token")).unwrap();
    let flow = format!(
        "flow: slow\nsteps:\n  - trigger: First\n  - http: {{ url: '{}/slow' }}\n  - trigger: Second\n",
        sink.url
    );
    let api = |process: &Process, method: Method, path: &str| {
        client.request(method, format!("{}{path}", process.admin)).bearer_auth(&token)
    };
    let flow: Value =
        api(&process, Method::PUT, "/v1/flows/slow").body(flow).send().await.unwrap().json().await.unwrap();
    let url = |trigger: usize| flow["triggers"][trigger]["urls"]["default"]["native"].as_str().unwrap().to_owned();
    let started: Value = client.post(url(0)).json(&json!({})).send().await.unwrap().json().await.unwrap();
    let id = started["execution"].as_str().unwrap();
    while sink.requests().is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let kept = client.post(format!("{}?execution={id}", url(1))).json(&json!({})).send().await.unwrap();
    assert_eq!(kept.headers()["ringback-outcome"], "kept");
    process.kill();
    let process = server.start();
    loop {
        let run: Value =
            api(&process, Method::GET, &format!("/v1/executions/{id}")).send().await.unwrap().json().await.unwrap();
        if run["status"] == "completed" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(sink.requests().len(), 2, "once before the kill, once after it");
}

/// C6: a callback for all is one delivery, also when it is sent twice at once, and when the process is killed while it goes from one
/// execution to the next: each is resumed once, by the same callback, and whoever sends it again gets the whole list.
#[tokio::test(flavor = "multi_thread")]
async fn c6_all_is_one_delivery() {
    const WAITING: usize = 600;
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let server = Server::new(&data);
    let mut process = server.start();
    let token = std::fs::read_to_string(data.join("admin-token")).unwrap();
    // A client of its own: connections of a dead server must not be tried again.
    let client = || reqwest::Client::builder().no_proxy().build().unwrap();
    let source = "flow: all\nsteps:\n  - trigger: Start\n  - trigger: Then\n    dedupe: { by: '${{ data.id }}' }\n";
    let admin = process.admin.clone();
    let deployed = client().put(format!("{admin}/v1/flows/all")).bearer_auth(&token).body(source).send().await.unwrap();
    let flow: Value = deployed.json().await.unwrap();
    let path = |index: usize| {
        let url = flow["triggers"][index]["urls"]["default"]["native"].as_str().unwrap();
        format!("/h/{}", url.rsplit('/').next().unwrap())
    };
    let (start, all) = (path(0), format!("{}?execution=all", path(1)));
    let client_of_starts = client();
    let mut ids = BTreeSet::new();
    for chunk in 0..WAITING / 20 {
        let url = format!("{}{start}", process.public);
        let sent = (0..20).map(|n| client_of_starts.post(&url).json(&json!(chunk * 20 + n)).send());
        for answer in futures_util::future::join_all(sent).await {
            let answer: Value = answer.unwrap().json().await.unwrap();
            ids.insert(answer["execution"].as_str().unwrap().to_owned());
        }
    }
    assert_eq!(ids.len(), WAITING);

    let delivery = json!({ "id": "one" });
    let url = format!("{}{all}", process.public);
    let senders: Vec<_> = (0..2).map(|_| tokio::spawn(client().post(&url).json(&delivery).send())).collect();
    tokio::time::sleep(Duration::from_millis(60)).await;
    process.kill();
    for sender in senders {
        drop(sender.await.unwrap());
    }
    let process = server.start();
    let (client, url) = (client(), format!("{}{all}", process.public));
    let list = async || loop {
        let answer = client.post(&url).json(&delivery).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 202);
        let answer: Value = answer.json().await.unwrap();
        // Until it is done it says where the answer will be.
        if let Some(list) = answer["executions"].as_array() {
            break list.iter().map(|id| id.as_str().unwrap().to_owned()).collect::<BTreeSet<_>>();
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert_eq!(list().await, ids);
    assert_eq!(list().await, ids, "the same again");
    let get = async |path: String| -> Value {
        client.get(format!("{}{path}", process.admin)).bearer_auth(&token).send().await.unwrap().json().await.unwrap()
    };
    let mut callbacks = BTreeSet::new();
    for id in &ids {
        let run = get(format!("/v1/executions/{id}")).await;
        let resumed: Vec<&Value> =
            run["journal"].as_array().unwrap().iter().filter(|entry| entry["kind"] == "resumed").collect();
        assert_eq!(resumed.len(), 1, "{run}");
        callbacks.insert(resumed[0]["callback"].as_str().unwrap().to_owned());
    }
    assert_eq!(callbacks.len(), 1, "one callback resumed them all");
    let record = get(format!("/v1/callbacks/{}", callbacks.first().unwrap())).await;
    assert_eq!((&record["outcome"], &record["resumed_count"]), (&json!("resumed"), &json!(WAITING)), "{record}");
    drop(process);
    server.verify();
}

//! The same delivery many times, at the moment at which its window ends and the next one begins.

use crate::support::TestServer;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

const FLOW: &str = "flow: once\nsteps:\n  - trigger: Hook\n    dedupe: { by: '${{ data.id }}', window: 1s }\n";
const WINDOW: Duration = Duration::from_secs(1);

async fn execution(server: &TestServer, url: &str, id: usize) -> String {
    let answer = server.post(url, &json!({ "id": id })).await;
    assert_eq!(answer.status().as_u16(), 202);
    answer.json::<Value>().await.unwrap()["execution"].as_str().unwrap().to_owned()
}

/// No execution of a key began in the window of the one before, by the clock that all were begun by.
async fn begin_apart(server: &TestServer, key: usize, ids: BTreeSet<String>) {
    let mut starts = Vec::new();
    for id in ids {
        let run = server.get(&format!("/v1/executions/{id}")).await;
        let started: jiff::Timestamp = run["started_at"].as_str().unwrap().parse().unwrap();
        starts.push(started.as_millisecond());
    }
    starts.sort_unstable();
    for pair in starts.windows(2) {
        assert!(pair[1] - pair[0] >= 1000, "two of {key} began in {} ms", pair[1] - pair[0]);
    }
}

/// B11: however many callbacks come, no execution begins in the window of the one before, by the clock that both were begun by.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn b11_a_window_has_one_execution_under_load() {
    const KEYS: usize = 40;
    let server = TestServer::start().await;
    let url = server.deploy(FLOW).await;
    let began = Instant::now();
    let senders = (0..8).map(|sender| {
        let (server, url) = (&server, &url);
        async move {
            let mut found = Vec::new();
            let mut id = sender * KEYS / 8;
            while began.elapsed() < 6 * WINDOW {
                id = (id + 1) % KEYS;
                found.push((id, execution(server, url, id).await));
            }
            found
        }
    });
    let mut of_keys: BTreeMap<usize, BTreeSet<String>> = BTreeMap::new();
    let mut sent = 0;
    for (id, execution) in futures_util::future::join_all(senders).await.into_iter().flatten() {
        of_keys.entry(id).or_default().insert(execution);
        sent += 1;
    }
    let mut executions = 0;
    for (key, ids) in of_keys {
        executions += ids.len();
        begin_apart(&server, key, ids).await;
    }
    assert!(executions > 2 * KEYS, "{executions} executions: windows have to end");
    println!("{sent} callbacks, {executions} executions");
}

/// C2: of many copies that come at once just when the window is over, one begins an execution, and the others get its answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn c2_copies_at_the_edge_of_a_window_begin_one_execution() {
    const ROUNDS: usize = 25;
    const COPIES: usize = 16;
    let server = TestServer::start().await;
    let url = server.deploy(FLOW).await;
    let rounds = (0..ROUNDS).map(|round| {
        let (server, url) = (&server, &url);
        async move {
            // Not all at once: the edges are to be sharp.
            tokio::time::sleep(Duration::from_millis(140) * u32::try_from(round).unwrap()).await;
            let first = execution(server, url, round).await;
            // Around the edge: what forgets deliveries that are over comes now before, now after them.
            tokio::time::sleep(WINDOW + Duration::from_millis(round as u64 * 8)).await;
            let copies = (0..COPIES).map(|_| execution(server, url, round));
            let mut all: BTreeSet<String> = futures_util::future::join_all(copies).await.into_iter().collect();
            let is_met = all.iter().any(|id| *id != first);
            all.insert(first);
            // Where the machine takes longer for the copies than a window is, the next one may have begun as well.
            begin_apart(server, round, all).await;
            usize::from(is_met)
        }
    });
    let met: usize = futures_util::future::join_all(rounds).await.into_iter().sum();
    assert!(met > ROUNDS / 2, "{met} of {ROUNDS} edges were met");
}

/// What was kept and expired did nothing: the same delivery can come again, and is explained by what became of it.
#[tokio::test]
async fn a_delivery_that_expired_in_the_mailbox_can_come_again() {
    let server = TestServer::start().await;
    let source = "flow: late\nsteps:\n  - trigger: In\n  - delay: 2500ms\n  - trigger: Then\n    dedupe: { by: '${{ data.k }}' }\n    \
                  mailbox: { ttl: 1s }\n";
    let urls = server.deploy_all(source).await;
    let id = execution(&server, &urls[0], 1).await;
    let then = format!("{}?execution={id}", urls[1]);
    let send = async || {
        let answer = server.post(&then, &json!({ "k": 1 })).await;
        assert_eq!(answer.status().as_u16(), 202);
        let kept = answer.headers().contains_key("ringback-outcome");
        (answer.headers()["ringback-callback"].to_str().unwrap().to_owned(), kept)
    };
    let (first, kept) = send().await;
    assert!(kept);
    assert_eq!(send().await, (first.clone(), true), "the same delivery, as long as it is kept");
    server.eventually(&format!("/v1/callbacks/{first}"), |callback| callback["outcome"] == "ignored").await;
    server
        .eventually(&format!("/v1/executions/{id}"), |run| {
            run["status"] == "waiting" && run["wait"]["trigger"] == "then"
        })
        .await;
    let (second, kept) = send().await;
    assert!(second != first && !kept, "it is taken");
    assert_eq!(server.ended(&id).await["status"], "completed");
    assert_eq!(send().await, (second, false));
}

/// What was kept and taken is explained by that, and not by its being kept.
#[tokio::test]
async fn what_was_taken_from_the_mailbox_says_so() {
    let server = TestServer::start().await;
    let source = "flow: soon\nsteps:\n  - trigger: In\n  - delay: 500ms\n  - trigger: Then\n";
    let urls = server.deploy_all(source).await;
    let id = execution(&server, &urls[0], 1).await;
    let answer = server.post(&format!("{}?execution={id}", urls[1]), &json!({})).await;
    let callback = answer.headers()["ringback-callback"].to_str().unwrap().to_owned();
    assert_eq!(server.ended(&id).await["status"], "completed");
    let list = server.get("/v1/callbacks?outcome=resumed").await;
    let said = &list["items"][0];
    assert_eq!(said["id"], callback.as_str());
    assert!(said["decided_by"].to_string().contains("took it from the mailbox"), "{said}");
}

/// What was kept for an execution that is over came to nothing, and says so; a failed one may be tried again, and keeps it.
#[tokio::test]
async fn mail_of_an_execution_that_is_over_is_ignored_and_can_come_again() {
    let server = TestServer::start().await;
    let source = "flow: done\nsteps:\n  - trigger: In\n  - delay: 1500ms\n  - if: data.fail\n    then:\n      - fail: on purpose\n  \
                  - if: data.wait\n    then:\n      - trigger: Then\n        dedupe: { by: '${{ data.k }}' }\n";
    let urls = server.deploy_all(source).await;
    let start = async |data: Value| {
        let started = server.post(&urls[0], &data).await.json::<Value>().await.unwrap();
        started["execution"].as_str().unwrap().to_owned()
    };
    let send = async |id: &str| {
        let answer = server.post(&format!("{}?execution={id}", urls[1]), &json!({ "k": 1 })).await;
        (answer.status().as_u16(), answer.headers()["ringback-callback"].to_str().unwrap().to_owned())
    };
    let completed = start(json!({ "fail": false, "wait": false })).await;
    let cancelled = start(json!({ "fail": false, "wait": true })).await;
    let failed = start(json!({ "fail": true, "wait": true })).await;
    let mut kept = Vec::new();
    for id in [&completed, &cancelled, &failed] {
        let (status, callback) = send(id).await;
        assert_eq!(status, 202);
        assert_eq!(server.get(&format!("/v1/callbacks/{callback}")).await["outcome"], "kept");
        kept.push(callback);
    }
    let cancel = server.api(Method::POST, &format!("/v1/executions/{cancelled}/cancel")).send().await.unwrap();
    assert!(cancel.status().is_success());
    for (id, callback, status) in [(&cancelled, &kept[1], "cancelled"), (&completed, &kept[0], "completed")] {
        assert_eq!(server.ended(id).await["status"], status);
        let record =
            server.eventually(&format!("/v1/callbacks/{callback}"), |record| record["outcome"] == "ignored").await;
        let reason = format!("it was kept in the mailbox, and the execution was {status} without taking it");
        assert!(record["trace"].to_string().contains(&reason), "{record:#}");
        // As with one that expired, the delivery is as if it had not come.
        let (again, second) = send(id).await;
        assert!(again == 404 && second != *callback, "{again}");
    }
    assert_eq!(server.ended(&failed).await["status"], "failed");
    let list = server.get("/v1/callbacks?outcome=kept").await;
    assert_eq!(list["items"].as_array().unwrap().len(), 1, "{list:#}");
    assert_eq!(list["items"][0]["id"], kept[2].as_str());
}

/// Who was told that it is kept is told the same again, whatever has come of it.
#[tokio::test]
async fn a_delivery_that_was_kept_for_a_plugin_has_one_answer() {
    let server = TestServer::start().await.with_plugins(&["misbehave"]).await;
    let source = "flow: rests\nsteps:\n  - trigger: Hook\n    dedupe: { by: '${{ data.n }}' }\n    when: { plugin: misbehave, with: \
                  '${{ data.act }}' }\n";
    let url = server.deploy(source).await;
    for n in 0..5 {
        let failed = server.post(&url, &json!({ "act": "trap", "n": n })).await;
        assert_eq!(failed.status(), StatusCode::INTERNAL_SERVER_ERROR);
    }
    let body = json!({ "act": "behave", "n": 9 });
    let kept = server.post(&url, &body).await;
    let id = kept.headers()["ringback-callback"].to_str().unwrap().to_owned();
    let (status, kept) = (kept.status(), kept.json::<Value>().await.unwrap());
    assert_eq!((status, &kept["outcome"]), (StatusCode::ACCEPTED, &json!("kept")));
    let again = server.post(&url, &body).await;
    assert_eq!((again.status(), again.json::<Value>().await.unwrap()), (status, kept.clone()));
    // A start forgets that it rests.
    let server = server.restart().await;
    let url = server.here(&url);
    let started = server.eventually(&format!("/v1/callbacks/{id}"), |record| record["outcome"] == "started").await;
    let execution = started["execution"].as_str().unwrap();
    assert_eq!(server.ended(execution).await["status"], "completed");
    let again = server.post(&url, &body).await;
    assert_eq!((again.status(), again.json::<Value>().await.unwrap()), (status, kept));
    assert_eq!(server.get("/v1/executions").await["items"].as_array().unwrap().len(), 1);
}

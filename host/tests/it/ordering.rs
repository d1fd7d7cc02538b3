//! How many executions of a key are there at a time, and what becomes of the callbacks that come meanwhile.

use crate::process::Server;
use crate::support::TestServer;
use reqwest::StatusCode;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Jobs that last until they are told to end, with more keys of the first trigger.
fn jobs(more: &str) -> String {
    format!(
        "flow: jobs\nsteps:\n  - trigger: Begin\n{more}  - trigger: End\n    correlate: {{ callback: data.n, execution: \
         triggers.Begin.data.n }}\n"
    )
}

async fn begin(server: &TestServer, url: &str, customer: &str, n: u64) -> (u16, String, String) {
    let response = server.post(url, &json!({ "customer": customer, "n": n })).await;
    let id = response.headers()["ringback-callback"].to_str().unwrap().to_owned();
    let status = response.status().as_u16();
    let outcome = response.headers().get("ringback-outcome").map(|outcome| outcome.to_str().unwrap().to_owned());
    let body: Value = response.json().await.unwrap_or_default();
    (status, body["code"].as_str().map(str::to_owned).or(outcome).unwrap_or_default(), id)
}

async fn end(server: &TestServer, url: &str, n: u64) {
    assert_eq!(server.post(url, &json!({ "n": n })).await.status(), StatusCode::ACCEPTED);
}

/// What the executions that have not ended began with, the oldest first.
async fn there(server: &TestServer) -> Vec<u64> {
    let mut there = Vec::new();
    for run in server.get("/v1/executions?status=waiting,running&limit=200").await["items"].as_array().unwrap() {
        let run = server.get(&format!("/v1/executions/{}", run["id"].as_str().unwrap())).await;
        there.push(run["journal"][0]["data"]["n"].as_u64().unwrap());
    }
    there.reverse();
    there
}

async fn comes_to(server: &TestServer, expected: &[u64]) {
    let began = Instant::now();
    while there(server).await != expected {
        assert!(began.elapsed() < Duration::from_secs(10), "{:?} instead of {expected:?}", there(server).await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn an_order_that_cannot_be_kept_is_a_mistake_of_the_flow() {
    let server = TestServer::start().await;
    for (more, says) in [
        ("    order: '\"a\"'\n", "this key is the same for all"),
        ("    order: execution.id\n", "there is no `execution` yet"),
        ("    order: 'callback.headers[\"authorization\"]'\n", "carries a credential"),
        ("    order: data.a\n    concurrency: { limit: 1 }\n", "leave one out"),
        ("    order: data.a\n    mode: sync\n", "this needs `mode: async`"),
        ("    concurrency: { key: data.a }\n", "`limit` is missing"),
        ("    concurrency: { limit: 0 }\n", "from 1 to 1000"),
        ("    concurrency: { limit: 1001 }\n", "from 1 to 1000"),
        ("    concurrency: { limit: 1, on_full: drop }\n", "`drop` is not what becomes of the next"),
        ("    concurrency: { limit: 1, on_full: skip, ttl: 1h }\n", "`ttl` is for `on_full: wait`"),
        ("    concurrency: { limit: 1, keys: data.a }\n", "did you mean `key`?"),
    ] {
        let (status, body) = server.try_deploy(&jobs(more)).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{more}");
        assert!(body.to_string().contains(says), "{says}: {body:#}");
    }
    let later = jobs("").replace("  - trigger: End\n", "  - trigger: End\n    order: data.n\n");
    assert!(server.try_deploy(&later).await.1.to_string().contains("`order` is for the first trigger"));
    let starts =
        jobs("    order: data.n\n").replace("triggers.Begin.data.n }", "triggers.Begin.data.n, otherwise: start }");
    assert!(server.try_deploy(&starts).await.1.to_string().contains("does not count"));
    server.deploy(&jobs("    concurrency: { limit: 1, on_full: skip }\n    mode: sync\n")).await;
}

/// One at a time by key, in the order of their coming; over a restart.
#[tokio::test]
async fn callbacks_of_one_key_run_one_after_the_other() {
    let server = TestServer::start().await;
    let urls = server.deploy_all(&jobs("    order: data.customer\n    when: data.n != 99\n")).await;
    let refused = begin(&server, &urls[0], "", 1).await;
    assert_eq!((refused.0, refused.1.as_str()), (422, "key_empty"));
    let mut kept = Vec::new();
    for n in 1..=4 {
        let (status, outcome, id) = begin(&server, &urls[0], "ann", n).await;
        assert_eq!((status, outcome.as_str()), (202, if n == 1 { "" } else { "kept" }));
        kept.push(id);
    }
    assert_eq!(begin(&server, &urls[0], "ann", 99).await.1, "ignored", "what does not count does not wait");
    assert_eq!(begin(&server, &urls[0], "bob", 7).await.1, "", "another key is another line");
    comes_to(&server, &[1, 7]).await;
    let record = server.get(&format!("/v1/callbacks/{}", kept[1])).await;
    assert!(record["trace"].to_string().contains("1 executions are there for the key \\\"ann\\\""), "{record:#}");
    end(&server, &urls[1], 1).await;
    comes_to(&server, &[7, 2]).await;
    let server = server.restart().await;
    let urls = server.urls("jobs").await;
    comes_to(&server, &[7, 2]).await;
    assert_eq!(begin(&server, &urls[0], "ann", 5).await.1, "kept", "behind those that wait");
    for (n, next) in [(2, 3), (3, 4), (4, 5)] {
        end(&server, &urls[1], n).await;
        comes_to(&server, &[7, next]).await;
    }
    let record = server.get(&format!("/v1/callbacks/{}", kept[3])).await;
    assert_eq!(record["outcome"], "started");
    // One that is cancelled lets the next one go, too.
    begin(&server, &urls[0], "ann", 6).await;
    let runs = server.get(&format!("/v1/executions?callback={}", kept[0])).await;
    assert_eq!(runs["items"][0]["status"], "completed");
    let last = server.get("/v1/executions?status=waiting&limit=1").await["items"][0]["id"].as_str().unwrap().to_owned();
    let cancelled = server.api(reqwest::Method::POST, &format!("/v1/executions/{last}/cancel")).send().await.unwrap();
    assert_eq!(cancelled.status(), StatusCode::OK);
    comes_to(&server, &[7, 6]).await;
}

#[tokio::test]
async fn what_becomes_of_the_next_is_what_the_flow_says() {
    let server = TestServer::start().await;
    let urls = server.deploy_all(&jobs("    concurrency: { key: data.customer, limit: 2, on_full: skip }\n")).await;
    for (n, outcome) in [(1, ""), (2, ""), (3, "ignored")] {
        assert_eq!(begin(&server, &urls[0], "ann", n).await.1, outcome);
    }
    end(&server, &urls[1], 1).await;
    comes_to(&server, &[2]).await;
    assert_eq!(begin(&server, &urls[0], "ann", 4).await.1, "", "there is room again");
    end(&server, &urls[1], 2).await;
    end(&server, &urls[1], 4).await;

    let urls = server.deploy_all(&jobs("    concurrency: { limit: 2, on_full: cancel-oldest }\n")).await;
    for n in 11..=14 {
        assert_eq!(begin(&server, &urls[0], "ann", n).await.1, "");
    }
    comes_to(&server, &[13, 14]).await;
    assert_eq!(server.get("/v1/executions?status=cancelled").await["items"].as_array().unwrap().len(), 2);
    end(&server, &urls[1], 13).await;
    end(&server, &urls[1], 14).await;

    // Of all keys together.
    let urls = server.deploy_all(&jobs("    concurrency: { limit: 2 }\n")).await;
    for (customer, n, outcome) in [("ann", 21, ""), ("bob", 22, ""), ("cid", 23, "kept"), ("ann", 24, "kept")] {
        assert_eq!(begin(&server, &urls[0], customer, n).await.1, outcome);
    }
    end(&server, &urls[1], 22).await;
    comes_to(&server, &[21, 23]).await;
    end(&server, &urls[1], 21).await;
    comes_to(&server, &[23, 24]).await;
    // Who waits for what is not asked any more begins.
    assert_eq!(begin(&server, &urls[0], "ann", 25).await.1, "kept");
    server.deploy_all(&jobs("")).await;
    end(&server, &urls[1], 23).await;
    comes_to(&server, &[24, 25]).await;
}

/// A line has its limits, and what comes then is taken; that of a neighbour is its own.
#[tokio::test]
async fn a_line_has_its_limits() {
    let server = TestServer::start_with(|config| {
        config.mailbox.count_max = 2;
        config.early_kib_max = 3;
    });
    let server = server.await;
    let urls = server.deploy_all(&jobs("    concurrency: { key: data.customer, limit: 1, ttl: 2s }\n")).await;
    for (customer, n, said) in [
        ("ann", 1, (202, "")),
        ("ann", 2, (202, "kept")),
        ("ann", 3, (202, "kept")),
        ("ann", 4, (409, "mailbox_full")),
        ("bob", 5, (202, "")),
        ("bob", 6, (202, "kept")),
        ("bob", 7, (429, "early_full")),
        ("cid", 8, (202, "")),
    ] {
        let (status, outcome, _) = begin(&server, &urls[0], customer, n).await;
        assert_eq!((status, outcome.as_str()), said, "{n}");
    }
    end(&server, &urls[1], 5).await;
    comes_to(&server, &[1, 8, 6]).await;
    assert_eq!(begin(&server, &urls[0], "bob", 9).await.1, "kept", "there is room again");
    let server = server.in_workspace("neighbour");
    let there = server.deploy_all(&jobs("    order: data.customer\n")).await;
    assert_eq!(begin(&server, &there[0], "ann", 1).await.1, "", "one's own line");
    assert_eq!(begin(&server, &there[0], "ann", 2).await.1, "kept");
    let server = server.in_workspace("default");
    // Whose turn does not come in time is ignored.
    let began = Instant::now();
    while server.get("/v1/callbacks?outcome=kept").await["items"] != json!([]) {
        assert!(began.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let ignored = server.get("/v1/callbacks?outcome=ignored").await;
    assert!(ignored.to_string().contains("its turn did not come"), "{ignored:#}");
}

/// Kills at any moment: every callback that was acknowledged has run, those of a key one after the other, in their order.
#[tokio::test(flavor = "multi_thread")]
async fn over_kills_callbacks_of_a_key_run_in_their_order() {
    const CYCLES: u64 = 8;
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let server = Server::new(&data).with("RINGBACK_STORE_SEGMENT_BYTES", "1048576");
    let server = server.with("RINGBACK_MAILBOX_COUNT_MAX", "10000");
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build().unwrap();
    let (number, acknowledged) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let source =
        "flow: lines\nsteps:\n  - trigger: Begin\n    order: data.line\n  - delay: 20ms\n  - set: { done: true }\n";
    let mut url = String::new();
    for cycle in 0..CYCLES {
        let mut process = server.start();
        let api = crate::load::Api::new(&process, &data);
        if cycle == 0 {
            let put = api.request(reqwest::Method::PUT, "/v1/flows/lines").header("content-type", "application/yaml");
            let answer = put.body(source).send().await.unwrap();
            assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
        }
        let flow = api.get("/v1/flows/lines").await.unwrap();
        let path = flow["triggers"][0]["urls"]["default"]["native"].as_str().unwrap().to_owned();
        url = format!("{}/{}", process.public, path.splitn(4, '/').nth(3).unwrap());
        let mut senders = tokio::task::JoinSet::new();
        for line in 0..6_u64 {
            let (client, number, acknowledged, url) =
                (client.clone(), Arc::clone(&number), Arc::clone(&acknowledged), url.clone());
            senders.spawn(async move {
                for _ in 0..8 {
                    let n = number.fetch_add(1, Ordering::Relaxed);
                    let call = client.post(&url).json(&json!({ "line": line, "n": n })).send().await;
                    match call {
                        Ok(answer) if answer.status() == StatusCode::ACCEPTED => {
                            acknowledged.fetch_add(1, Ordering::Relaxed);
                        }
                        _ => return,
                    }
                }
            });
        }
        tokio::time::sleep(Duration::from_millis(60 + 45 * cycle)).await;
        process.kill();
        senders.join_all().await;
    }
    assert!(!url.is_empty());
    let process = server.start();
    let api = crate::load::Api::new(&process, &data);
    let began = Instant::now();
    let runs = loop {
        // In this order: what is kept no more has an execution by then.
        let kept = api.get("/v1/callbacks?outcome=kept").await.unwrap();
        let runs = api.all("/v1/executions").await;
        if runs.iter().all(|run| run["status"] == "completed") && kept["items"] == json!([]) {
            break runs;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "some wait for ever: {kept:#}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let mut lines: BTreeMap<u64, Vec<Value>> = BTreeMap::new();
    for run in &runs {
        let run = api.get(&format!("/v1/executions/{}", run["id"].as_str().unwrap())).await.unwrap();
        lines.entry(run["journal"][0]["data"]["line"].as_u64().unwrap()).or_default().push(run);
    }
    for (line, mut runs) in lines {
        runs.sort_by_key(|run| run["started_at"].as_str().unwrap().to_owned());
        for pair in runs.windows(2) {
            let of = |run: &Value, what: &str| run[what].as_str().unwrap().to_owned();
            assert!(of(&pair[0], "ended_at") <= of(&pair[1], "started_at"), "two of {line} at once: {pair:#?}");
            assert!(of(&pair[0], "callback") < of(&pair[1], "callback"), "out of order in {line}: {pair:#?}");
        }
    }
    let (sent, known) = (number.load(Ordering::Relaxed), acknowledged.load(Ordering::Relaxed));
    assert!(runs.len() as u64 >= known && runs.len() as u64 <= sent, "{} of {known}", runs.len());
    assert!(known > 50, "{known} were acknowledged");
    drop(process);
    server.verify();
}

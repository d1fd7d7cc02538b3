//! Callbacks as they come, and how many came: what is refused, then what is told.

use crate::support::{BINARY, TestServer};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const ORDERS: &str = "flow: orders\nsteps:\n  - trigger: Order received\n    when: data.total > 100\n";
const OTHERS: &str = "flow: others\nsteps:\n  - trigger: Hook\n";

/// Somebody who listens.
struct Listener {
    response: Response,
    read: String,
    /// What it was told last.
    id: String,
}

impl Listener {
    async fn open(server: &TestServer, query: &str) -> Self {
        let response = server.api(Method::GET, &format!("/v1/callbacks/tail{query}")).send().await.unwrap();
        Self::of(response)
    }

    fn of(response: Response) -> Self {
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, read: String::new(), id: String::new() }
    }

    /// The next event, its kind and its data; `None` at the end.
    async fn next(&mut self) -> Option<(String, Value)> {
        let next = tokio::time::timeout(Duration::from_secs(10), self.read()).await;
        next.expect("nothing was told")
    }

    async fn read(&mut self) -> Option<(String, Value)> {
        loop {
            while let Some((event, rest)) = self.read.split_once("\n\n") {
                let part = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
                if !part("id: ").is_empty() {
                    self.id = part("id: ").to_owned();
                }
                let (kind, data) =
                    (part("event: ").to_owned(), serde_json::from_str(part("data: ")).unwrap_or_default());
                self.read = rest.to_owned();
                if !kind.is_empty() {
                    return Some((kind, data));
                }
            }
            let chunk = self.response.chunk().await.ok().flatten()?;
            self.read += std::str::from_utf8(&chunk).unwrap();
        }
    }

    async fn callback(&mut self) -> Value {
        let (kind, callback) = self.next().await.expect("it has ended");
        assert_eq!(kind, "callback", "{callback}");
        callback
    }
}

#[tokio::test]
async fn what_cannot_be_listened_to_is_refused() {
    let server = TestServer::start().await;
    for (query, code) in [
        ("?after=x", "invalid_event"),
        ("?after=-1", "invalid_event"),
        ("?outcome=done", "invalid_outcome"),
        ("?search=", "invalid_text"),
        ("?flow=A", "invalid_name"),
        ("?since=1h", "invalid_query"),
        ("?limit=1", "invalid_query"),
    ] {
        let response = server.api(Method::GET, &format!("/v1/callbacks/tail{query}")).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{query}");
        assert_eq!(response.json::<Value>().await.unwrap()["code"], code, "{query}");
    }
    let of_another = server.api(Method::GET, "/v1/callbacks/tail").header("last-event-id", "é").send().await.unwrap();
    assert_eq!(of_another.status(), StatusCode::BAD_REQUEST);
    let url = format!("{}/v1/callbacks/tail", server.admin);
    assert_eq!(server.fetch(&url).await.status(), StatusCode::UNAUTHORIZED);
    for (query, code) in [
        ("?step=1", "invalid_step"),
        ("?step=0s", "invalid_step"),
        ("?step=1s", "invalid_step"),
        ("?since=1h&until=2h", "invalid_time"),
        ("?outcome=failed", "invalid_query"),
    ] {
        let response = server.api(Method::GET, &format!("/v1/callbacks/counts{query}")).send().await.unwrap();
        assert_eq!(response.json::<Value>().await.unwrap()["code"], code, "{query}");
    }
}

/// A workspace has a place while it holds fewer than are free; who leaves makes room, and callbacks wait for nobody who listens.
#[tokio::test]
async fn so_many_listen_at_a_time_and_no_more() {
    let server = TestServer::start().await;
    let url = server.deploy(OTHERS).await;
    let mut listeners = Vec::new();
    for _ in 0..16 {
        listeners.push(Listener::open(&server, "").await);
    }
    let refused = server.api(Method::GET, "/v1/callbacks/tail").send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.json::<Value>().await.unwrap()["code"], "too_many_tails");
    let other = server.api(Method::GET, "/v1/callbacks/tail").header("ringback-workspace", "other");
    let mut other = Listener::of(other.send().await.unwrap());
    let answer = server.post(&url, &json!({ "n": 1 })).await;
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    for listener in &mut listeners {
        assert_eq!(listener.callback().await["flow"], "others");
    }
    let nothing = tokio::time::timeout(Duration::from_millis(300), other.next()).await;
    assert!(nothing.is_err(), "of another workspace: {nothing:?}");
    // Whoever loads a page again and again leaves all of them, and nothing comes by which that would be noticed.
    for _ in 0..3 {
        listeners.clear();
        let began = Instant::now();
        while listeners.len() < 16 {
            let again = server.api(Method::GET, "/v1/callbacks/tail").send().await.unwrap();
            if again.status() == StatusCode::OK {
                listeners.push(Listener::of(again));
            }
            // Without it, a place is kept for half a minute.
            assert!(began.elapsed() < Duration::from_secs(8), "{} of 16", listeners.len());
        }
    }
}

#[tokio::test]
async fn callbacks_are_told_as_they_come_to_whoever_wants_them() {
    let server = TestServer::start().await;
    let (orders, others) = (server.deploy(ORDERS).await, server.deploy(OTHERS).await);
    let mut all = Listener::open(&server, "").await;
    let mut ignored = Listener::open(&server, "?outcome=ignored,failed&flow=orders").await;
    let mut by_text = Listener::open(&server, "?text=O-2").await;
    let mut by_reason = Listener::open(&server, "?reason=condition").await;
    server.post(&others, &json!({ "id": "o-1" })).await;
    let started = all.callback().await;
    assert_eq!((&started["outcome"], &started["reply"]["status"]), (&json!("started"), &json!(202)));
    let listed = server.eventually("/v1/callbacks", |list| list["items"][0] == started).await;
    assert_eq!(listed["items"].as_array().unwrap().len(), 1, "told as it is listed");
    server.post(&orders, &json!({ "id": "o-2", "total": 3 })).await;
    let small = all.callback().await;
    assert_eq!((&small["outcome"], &small["decided_by"]["stage"]), (&json!("ignored"), &json!("condition")));
    assert_eq!(ignored.callback().await, small);
    assert_eq!(by_text.callback().await, small);
    assert_eq!(by_reason.callback().await, small);
    let mut by_id = Listener::open(&server, &format!("?search={}", &small["id"].as_str().unwrap()[..30])).await;
    server.post(&others, &json!({ "id": "o-3" })).await;
    assert_eq!(all.callback().await["flow"], "others");
    assert!(tokio::time::timeout(Duration::from_millis(300), by_id.next()).await.is_err());
}

#[tokio::test]
async fn who_comes_back_gets_what_came_in_between_or_is_told_that_something_is_missing() {
    let server = TestServer::start().await;
    let url = server.deploy(OTHERS).await;
    let number = async |number: u32| drop(server.post(&format!("{url}?number={number}"), &json!({})).await);
    let mut listener = Listener::open(&server, "").await;
    number(1).await;
    number(2).await;
    let first = listener.callback().await;
    let id = listener.id.clone();
    drop(listener);
    number(3).await;
    let mut again =
        Listener::of(server.api(Method::GET, "/v1/callbacks/tail").header("last-event-id", &id).send().await.unwrap());
    let (second, third) = (again.callback().await, again.callback().await);
    let list = server.get("/v1/callbacks").await;
    assert_eq!(list["items"], json!([third, second, first]));
    let mut by_query = Listener::open(&server, &format!("?after={}", again.id)).await;
    number(4).await;
    assert_eq!(again.callback().await, by_query.callback().await);
    // Of a time of which nothing is known any more.
    let mut lost = Listener::open(&server, "?after=1").await;
    assert_eq!(lost.next().await.unwrap().0, "missed");
    number(5).await;
    assert_eq!(lost.callback().await, again.callback().await);
}

/// Somebody who listens keeps neither his access nor the server.
#[tokio::test]
async fn listening_ends_with_the_token_and_with_the_server() {
    let server = TestServer::start().await;
    let url = server.deploy(OTHERS).await;
    let body = json!({ "name": "for a while", "access": "viewer" });
    let token = server.api(Method::POST, "/v1/tokens").json(&body).send().await.unwrap().json::<Value>().await.unwrap();
    let of_token = || server.call(Method::GET, &format!("{}/v1/callbacks/tail", server.admin));
    let response = of_token().bearer_auth(token["token"].as_str().unwrap()).send().await.unwrap();
    let mut for_a_while = Listener::of(response);
    let mut listener = Listener::open(&server, "").await;
    // Longer than a connection may rest.
    tokio::time::sleep(Duration::from_millis(2500)).await;
    server.post(&url, &json!({})).await;
    assert_eq!(for_a_while.callback().await, listener.callback().await);
    let id = token["id"].as_str().unwrap();
    assert!(server.api(Method::DELETE, &format!("/v1/tokens/{id}")).send().await.unwrap().status().is_success());
    server.post(&url, &json!({})).await;
    assert_eq!(for_a_while.next().await, None, "its token is gone");
    assert_eq!(listener.callback().await["flow"], "others");
    let stopping = Instant::now();
    let data = server.end().await;
    assert_eq!(listener.next().await, None);
    assert!(stopping.elapsed() < Duration::from_millis(1500), "{:?}", stopping.elapsed());
    drop(data);
}

#[tokio::test]
async fn callbacks_are_counted_by_time_outcome_and_flow_also_after_a_restart() {
    let server = TestServer::start().await;
    let (orders, others) = (server.deploy(ORDERS).await, server.deploy(OTHERS).await);
    for total in [1, 2, 300] {
        server.post(&orders, &json!({ "total": total })).await;
    }
    server.post(&others, &json!({})).await;
    server.eventually("/v1/callbacks", |list| list["items"].as_array().unwrap().len() == 4).await;
    let check = async |server: &TestServer| {
        let counts = server.get("/v1/callbacks/counts?step=1m").await;
        assert_eq!(counts["outcomes"], json!({ "ignored": 2, "started": 2 }));
        assert_eq!(
            counts["flows"],
            json!([
                { "flow": "orders", "outcomes": { "ignored": 2, "started": 1 } },
                { "flow": "others", "outcomes": { "started": 1 } },
            ])
        );
        let parts = counts["parts"].as_array().unwrap();
        assert!((60..=61).contains(&parts.len()), "{}", parts.len());
        assert_eq!(counts["step_ms"], 60_000);
        assert!(counts.get("counted_from").is_none(), "{counts}");
        let sum: u64 = parts.iter().filter_map(|part| part["outcomes"]["ignored"].as_u64()).sum();
        assert_eq!(sum, 2);
        assert_eq!(parts[0]["outcomes"], json!({}));
        let of_flow = server.get("/v1/callbacks/counts?flow=others&since=24h").await;
        assert_eq!(of_flow["outcomes"], json!({ "started": 1 }));
        assert_eq!(server.get("/v1/callbacks/counts?until=1h&since=2h").await["outcomes"], json!({}));
    };
    check(&server).await;
    let server = server.restart().await;
    check(&server).await;
}

#[tokio::test]
async fn a_token_says_what_it_opens() {
    let server = TestServer::start().await.in_workspace("shop");
    server.deploy(OTHERS).await;
    let body = json!({ "name": "reader", "access": "viewer", "expires_in": "1h" });
    let made = server.api(Method::POST, "/v1/tokens").json(&body).send().await.unwrap().json::<Value>().await.unwrap();
    let admin = server.get("/v1/session").await;
    assert_eq!((&admin["access"], &admin["workspace"]), (&json!("admin"), &json!("shop")));
    assert_eq!(admin["workspaces"], json!(["default", "shop"]));
    assert!(admin.get("expires_at").is_none());
    let of = server.call(Method::GET, &format!("{}/v1/session", server.admin));
    let viewer: Value = of.bearer_auth(made["token"].as_str().unwrap()).send().await.unwrap().json().await.unwrap();
    assert_eq!(viewer["token"], made["id"]);
    assert_eq!((&viewer["name"], &viewer["access"]), (&json!("reader"), &json!("viewer")));
    assert_eq!(viewer["workspaces"], json!(["shop"]));
    assert_eq!(viewer["expires_at"], made["expires_at"]);
    assert!(!viewer.to_string().contains(made["token"].as_str().unwrap()));
}

/// As a person sees it; what callers wrote does nothing to the terminal.
#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_shows_what_comes_and_counts_it() {
    let server = TestServer::start().await;
    let url = server.deploy(ORDERS).await;
    let command = |arguments: &[&str]| {
        let mut command = Command::new(BINARY);
        command.args(["--server", &server.admin, "--token", &server.token]).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    };
    let wrong = command(&["callback", "tail", "--outcome", "done"]).output().unwrap();
    assert_eq!(wrong.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("`done` is not an outcome"));
    let mut listening = command(&["callback", "tail", "--reason", "condition"]).spawn().unwrap();
    let mut said = BufReader::new(listening.stdout.take().unwrap()).lines();
    let line = tokio::task::spawn_blocking(move || said.next());
    // It may not listen yet.
    while !line.is_finished() {
        server.post(&url, &json!({ "total": 3 })).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let line = line.await.unwrap().unwrap().unwrap();
    listening.kill().unwrap();
    listening.wait().unwrap();
    assert!(line.contains("ignored    POST 204  orders order-received  condition: "), "{line}");
    let counted = command(&["callback", "count", "--since", "1h"]).output().unwrap();
    let counted = String::from_utf8(counted.stdout).unwrap();
    assert!(counted.starts_with("FROM                      IGNORED\n20"), "{counted}");
    assert!(counted.lines().last().unwrap().starts_with("all "), "{counted}");
    let shown = command(&["token", "show"]).output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("admin  admin   default"), "{shown}");
}

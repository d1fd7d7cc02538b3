//! Callbacks that have several things in them, CloudEvents, and links that ask first.

use crate::process::Server;
use crate::support::{TestServer, cases};
use crate::values::deploy;
use reqwest::{Client, Method, Response};
use serde_json::{Value, json};
use std::time::Duration;

const SPLIT: &str = "flow: batches\nsteps:\n  - trigger: Batch\n    split: $.events[*]\n    schema: { required: [id] }\n    fields: { id: $.id }\n    \
                     when: data.kind == 'paid'\n    dedupe: { by: '${{ data.id }}' }\n";

async fn code(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    (status, response.json::<Value>().await.unwrap()["code"].take())
}

/// The records of the parts of a callback, once each is decided.
async fn parts(server: &TestServer, response: &Response) -> Vec<Value> {
    let whole = server.callback(response).await;
    let mut parts = Vec::new();
    for id in whole["parts"].as_array().unwrap() {
        let path = format!("/v1/callbacks/{}", id.as_str().unwrap());
        let part = server.eventually(&path, |part| part["outcome"] != "kept").await;
        assert_eq!(part["part"], json!({ "of": whole["id"], "number": parts.len() + 1 }));
        parts.push(part);
    }
    parts
}

fn outcomes(parts: &[Value]) -> Vec<&str> {
    parts.iter().map(|part| part["outcome"].as_str().unwrap()).collect()
}

fn reasons(part: &Value) -> String {
    part["trace"].as_array().unwrap().iter().map(|entry| entry["reason"].to_string()).collect()
}

/// Each part is decided by itself, and what is wrong with one is said of that one.
#[tokio::test(flavor = "multi_thread")]
async fn a_callback_of_several_becomes_one_of_each() {
    let server = TestServer::start_with(|config| config.body_bytes_max = 1 << 20).await;
    let url = server.deploy(SPLIT).await;
    let events = |events: Value| json!({ "events": events });
    let many = |count: usize| events((0..count).map(|id| json!({ "id": id, "kind": "none" })).collect());
    let refused =
        [(many(1001), 413, "too_many_parts"), (json!("text"), 0, ""), (events(json!([])), 0, ""), (json!({}), 0, "")];
    cases(refused.len());
    for (body, status, code_of) in refused {
        let response = server.post(&url, &body).await;
        let record = server.callback(&response).await;
        assert_eq!((&record["execution"], &record["parts"]), (&Value::Null, &Value::Null));
        if status == 0 {
            assert_eq!(response.status(), 204);
            assert!(reasons(&record).contains("selects nothing of it"), "{record}");
        } else {
            assert_eq!(code(response).await, (status, json!(code_of)));
        }
    }
    let malformed = server.call(Method::POST, &url).header("content-type", "application/json").body("{").send();
    assert_eq!(code(malformed.await.unwrap()).await, (400, json!("malformed_json")));
    // Long headers a thousand times are too much.
    let long = server.call(Method::POST, &url).header("x-long", "x".repeat(20_000)).json(&many(1000)).send();
    assert_eq!(code(long.await.unwrap()).await, (413, json!("too_many_parts")));

    let three = events(
        json!([{ "id": "a", "kind": "paid" }, { "id": "b" }, { "kind": "paid" }, { "id": "a", "kind": "paid" }]),
    );
    let response = server.post(&url, &three).await;
    assert_eq!((response.status().as_u16(), &response.headers()["ringback-parts"]), (202, &"4".parse().unwrap()));
    let whole = server.callback(&response).await;
    assert_eq!((&whole["outcome"], &whole["execution"]), (&json!("answered"), &Value::Null));
    let found = parts(&server, &response).await;
    assert_eq!(outcomes(&found), ["started", "ignored", "rejected", "duplicate"]);
    assert_eq!(found[0]["body"], r#"{"id":"a","kind":"paid"}"#);
    assert!(reasons(&found[2]).contains("`required`") && reasons(&found[1]).contains("part 2 of 4"), "{found:#?}");
    // As many as there may be, each with its record.
    let response = server.post(&url, &many(1000)).await;
    assert_eq!(response.status(), 202);
    let all = parts(&server, &response).await;
    assert!(all.len() == 1000 && outcomes(&all).iter().all(|outcome| *outcome == "ignored"));
    assert_eq!(server.get("/v1/executions").await["items"].as_array().unwrap().len(), 1);

    // One part is sent again, and the whole.
    let again = |id: &Value| server.api(Method::POST, &format!("/v1/callbacks/{}/replay", id.as_str().unwrap())).send();
    let replay: Value = again(&found[0]["id"]).await.unwrap().json().await.unwrap();
    assert_eq!((&replay["outcome"], &replay["replay_of"]), (&json!("started"), &found[0]["id"]));
    let replay: Value = again(&whole["id"]).await.unwrap().json().await.unwrap();
    assert_eq!(replay["outcome"], "answered");

    for (more, mistake) in [
        ("split: events", "must begin with `$`"),
        ("split: $.a[*]\n    mode: sync", "`mode: sync`"),
        ("split: $.a[*]\n    reply: { status: 200 }", "leave `reply` out"),
    ] {
        let (status, mistakes) = server.try_deploy(&format!("flow: no\nsteps:\n  - trigger: T\n    {more}\n")).await;
        assert_eq!(status.as_u16(), 422, "{more}");
        assert!(mistakes["errors"].to_string().contains(mistake), "{more}: {mistakes}");
    }
}

/// Parts find those who wait by their keys, also before these wait.
#[tokio::test(flavor = "multi_thread")]
async fn parts_are_for_those_who_wait_for_their_keys() {
    let server = TestServer::start().await;
    let flow = "flow: orders\nsteps:\n  - trigger: Order\n  - trigger: Paid\n    split: $[*]\n    correlate: { callback: data.order, execution: \
                'triggers[\"Order\"].data.order' }\n  - set: { sum: '${{ triggers[\"Paid\"].data.sum }}' }\n";
    server.deploy(flow).await;
    let urls = server.urls("orders").await;
    let start = server.post(&urls[0], &json!({ "order": "a" })).await;
    let first: Value = start.json().await.unwrap();
    let response =
        server.post(&urls[1], &json!([{ "order": "a", "sum": 1 }, { "order": "b", "sum": 2 }, { "sum": 3 }])).await;
    assert_eq!(response.status(), 202);
    server.ended(first["execution"].as_str().unwrap()).await;
    let whole = server.callback(&response).await;
    let part = |number: usize| format!("/v1/callbacks/{}", whole["parts"][number].as_str().unwrap());
    server.eventually(&part(0), |part| part["outcome"] == "resumed").await;
    let without = server.eventually(&part(2), |part| part["outcome"] != "kept").await;
    assert_eq!(without["execution"], Value::Null, "it says no key: {without}");
    assert_eq!(server.get(&part(1)).await["outcome"], "kept");
    let start = server.post(&urls[0], &json!({ "order": "b" })).await;
    let second: Value = start.json().await.unwrap();
    server.ended(second["execution"].as_str().unwrap()).await;
    server.eventually(&part(1), |part| part["outcome"] == "resumed").await;
}

/// Killed after each answer: what was acknowledged is decided, every part of it once.
#[tokio::test(flavor = "multi_thread")]
async fn parts_that_were_acknowledged_are_decided_over_kills() {
    const PARTS: usize = 40;
    let directory = tempfile::tempdir().unwrap();
    let server = Server::new(directory.path());
    let client = Client::builder().no_proxy().timeout(Duration::from_secs(60)).build().unwrap();
    let mut process = server.start();
    let flow = json!({ "flow": "batches", "steps": [{ "trigger": "Batch", "split": "$[*]" }] });
    let path = deploy(&client, &process, directory.path(), &flow).await;
    let path = path.strip_prefix(&process.public).unwrap().to_owned();
    for round in 0..3 {
        let items: Vec<usize> = (0..PARTS).map(|number| round * PARTS + number).collect();
        let response = client.post(format!("{}{path}", process.public)).json(&items).send().await.unwrap();
        assert_eq!(response.status(), 202);
        process.kill();
        process = server.start();
    }
    let token = std::fs::read_to_string(directory.path().join("admin-token")).unwrap();
    let mut started = Vec::new();
    for _ in 0..300 {
        let list = client.get(format!("{}/v1/callbacks?outcome=started&limit=200", process.admin)).bearer_auth(&token);
        let list: Value = list.send().await.unwrap().json().await.unwrap();
        started = list["items"].as_array().unwrap().clone();
        if started.len() >= 3 * PARTS {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(started.len(), 3 * PARTS);
    let runs = client.get(format!("{}/v1/executions?limit=200", process.admin)).bearer_auth(&token);
    let runs: Value = runs.send().await.unwrap().json().await.unwrap();
    assert_eq!(runs["items"].as_array().unwrap().len(), 3 * PARTS);
    process.kill();
    server.verify();
}

fn event(id: &str) -> Value {
    json!({ "specversion": "1.0", "id": id, "type": "order.paid", "source": "/shop", "data": { "sum": 7 } })
}

/// One event is the same however it is sent; a batch can be split, and one with a bad item starts nothing.
#[tokio::test(flavor = "multi_thread")]
async fn events_are_the_same_in_every_mode() {
    let server = TestServer::start().await;
    let flow = |more: &str| {
        format!(
            "flow: events\nsteps:\n  - trigger: Event\n    parse: cloudevents\n    {more}\n    when: callback.event.type == 'order.paid' && \
             callback.event.source == data.source && data.data.sum == 7\n"
        )
    };
    let url = server.deploy(&flow("fields: { id: $.id }")).await;
    let send = |url: &str, headers: &[(&str, &str)], body: String| {
        let mut request = server.call(Method::POST, url).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        async move { request.send().await.unwrap() }
    };
    let base = [
        ("ce-specversion", "1.0"),
        ("ce-type", "order.paid"),
        ("ce-source", "/shop"),
        ("content-type", "application/json"),
    ];
    let structured = [("content-type", "application/cloudevents+json")];
    let batch = [("content-type", "application/cloudevents-batch+json")];
    let bad = json!([event("1"), { "id": "2" }]).to_string();
    let refused = [
        (&base[..], "{}".to_owned(), 400, "malformed_event"),
        (&structured, "{}".to_owned(), 400, "malformed_event"),
        (&structured, "{".to_owned(), 400, "malformed_json"),
        (&batch, bad.clone(), 400, "malformed_event"),
        (&base[3..], "{}".to_owned(), 415, "wrong_content_type"),
    ];
    cases(refused.len());
    for (headers, body, status, code_of) in refused {
        let response = send(&url, headers, body).await;
        assert_eq!(server.callback(&response).await["outcome"], "rejected");
        assert_eq!(code(response).await, (status, json!(code_of)));
        let right = send(&url, &[&base[..], &[("ce-id", "1")]].concat(), json!({ "sum": 7 }).to_string()).await;
        assert_eq!(right.status(), 202);
    }
    assert_eq!(send(&url, &structured, event("1").to_string()).await.status(), 202);

    let url = server.deploy(&flow("split: '$[*]'")).await;
    let response = send(&url, &batch, bad).await;
    let said: Value = response.json().await.unwrap();
    assert_eq!((&said["code"], &said["errors"][0]["pointer"]), (&json!("malformed_event"), &json!("/1/specversion")));
    let response = send(&url, &batch, json!([event("1"), event("2")]).to_string()).await;
    assert_eq!(response.status(), 202);
    assert_eq!(outcomes(&parts(&server, &response).await), ["started"; 2]);
    // By its content type alone, too.
    let open =
        "flow: open\nsteps:\n  - trigger: Event\n    parse: auto\n    when: callback.event.type == 'order.paid'\n";
    let url = server.deploy(open).await;
    for (headers, body, status) in [
        (&structured[..], event("1").to_string(), 202),
        (&base[3..], event("1").to_string(), 204),
        (&[&base[..], &[("ce-id", "1")]].concat()[..], "{}".to_owned(), 202),
    ] {
        assert_eq!(send(&url, headers, body).await.status(), status, "{headers:?}");
    }
}

/// A scanner that opens a link does nothing; a person who clicks does what the link says.
#[tokio::test(flavor = "multi_thread")]
async fn a_link_to_who_waits_can_ask_first() {
    let server = TestServer::start().await;
    let flow = |more: &str| {
        format!(
            "flow: approvals\nsteps:\n  - trigger: Ask\n  - trigger: Answer\n    when: data.is == 'yes'\n    {more}\n"
        )
    };
    server.deploy(&flow("confirm: true")).await;
    let urls = server.urls("approvals").await;
    let run: Value = server.post(&urls[0], &json!({})).await.json().await.unwrap();
    let id = run["execution"].as_str().unwrap();
    let link = format!("{}?execution={id}&is=yes", urls[1]);
    for _ in 0..2 {
        let page = server.call(Method::GET, &link).send().await.unwrap();
        assert_eq!(
            (page.status().as_u16(), &page.headers()["content-type"]),
            (200, &"text/html; charset=utf-8".parse().unwrap())
        );
        assert!(page.headers()["content-security-policy"].to_str().unwrap().contains("frame-ancestors 'none'"));
        assert_eq!(server.callback(&page).await["outcome"], "ignored");
        assert!(page.text().await.unwrap().contains("<form method=\"post\">"));
    }
    assert_eq!(server.get(&format!("/v1/executions/{id}")).await["status"], "waiting");
    // Of one that is not there, the page says no more.
    let unknown =
        server.call(Method::GET, &link.replace(id, "0198a6e0-0000-7000-8000-000000000000")).send().await.unwrap();
    assert_eq!(unknown.status(), 200);
    let click = server.call(Method::POST, &link).header("content-type", "application/x-www-form-urlencoded");
    assert_eq!(click.send().await.unwrap().status(), 202);
    server.ended(id).await;
    let (status, mistakes) = server.try_deploy(&flow("methods: [POST]\n    confirm: true")).await;
    assert_eq!(status.as_u16(), 422);
    assert!(mistakes["errors"].to_string().contains("takes GET"), "{mistakes}");
    server.deploy(&flow("methods: [GET]\n    confirm: true")).await;
}

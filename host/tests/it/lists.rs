//! Lists over HTTP and on the command line: what is refused, then what is found.

use crate::support::{BINARY, TestServer};
use reqwest::{Method, StatusCode};
use ringback_records::time::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::process::{Command, Output};

const ORDERS: &str =
    "flow: orders\nsteps:\n  - trigger: Order received\n    when: data.total > 100\n  - trigger: Paid\n";
const OTHERS: &str = "flow: others\nsteps:\n  - trigger: Hook\n  - fail: the Printer is on fire\n";

fn ids(list: &Value) -> Vec<&str> {
    list["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn what_cannot_be_asked_for_is_refused_with_what_can() {
    let server = TestServer::start().await;
    let outcomes = "started, resumed, kept, answered, ignored, duplicate, rejected, failed";
    let long = "x".repeat(257);
    for (query, status, code, expected) in [
        ("callbacks?outcome=done", 400, "invalid_outcome", outcomes),
        ("callbacks?outcome=failed,done", 400, "invalid_outcome", "`done` is not an outcome"),
        ("callbacks?outcome=failed&outcome=done", 400, "invalid_outcome", outcomes),
        ("callbacks?outcome=", 400, "invalid_outcome", outcomes),
        ("executions?status=waiting,late", 400, "invalid_status", "running, waiting, completed, failed, timed-out"),
        ("callbacks?since=yesterday", 400, "invalid_time", "`since`: `yesterday` is not a time; write one"),
        ("executions?until=2026-01-31", 400, "invalid_time", "2026-01-31T08:00:00Z, or how long ago it is: 15m, 24h"),
        ("callbacks?since=1h&until=2h", 422, "invalid_time", "`since` is after `until`"),
        ("callbacks?text=", 400, "invalid_text", "`text` is empty"),
        (&format!("executions?reason={long}"), 400, "invalid_text", "more than 256 characters"),
        ("callbacks?execution=x", 400, "invalid_id", "`execution` is not an id"),
        ("executions?callback=x", 400, "invalid_id", "`callback` is not an id"),
        ("callbacks?flow=A", 400, "invalid_name", "`A` is not a name"),
        (
            "callbacks?trigger=Order%20received",
            400,
            "invalid_name",
            "`trigger` is the id of a trigger: `Order received`",
        ),
        ("executions?trigger=", 400, "invalid_name", "`trigger` is the id of a trigger"),
        ("callbacks?until=9999-12-31T23:59:59Z", 400, "invalid_time", "30d ("),
        ("callbacks?limit=0", 400, "invalid_limit", "`limit` must be a whole number from 1 to 200, not `0`"),
        ("executions?limit=201", 400, "invalid_limit", "from 1 to 200, not `201`"),
        ("tickets?limit=ten", 400, "invalid_limit", "from 1 to 200, not `ten`"),
        ("users?limit=-1", 400, "invalid_limit", "from 1 to 200, not `-1`"),
        ("callbacks?limit=", 400, "invalid_limit", "from 1 to 200, not ``"),
        ("callbacks?outcomes=failed", 400, "invalid_query", "unknown parameter `outcomes`, expected one of `flow`"),
        (
            "executions?outcome=failed",
            400,
            "invalid_query",
            "unknown parameter `outcome`, expected one of `flow`, `status`",
        ),
        ("callbacks?flow=a&flow=b", 400, "invalid_query", "more than one `flow`"),
    ] {
        let response = server.api(Method::GET, &format!("/v1/{query}")).send().await.unwrap();
        assert_eq!(response.status().as_u16(), status, "{query}");
        let problem: Value = response.json().await.unwrap();
        assert_eq!(problem["code"], code, "{query}");
        assert!(problem["detail"].as_str().unwrap().contains(expected), "{query}: {problem}");
    }
}

/// The document says which parameters a call takes, and what it does not say nobody reads.
#[tokio::test]
async fn an_unknown_parameter_is_refused_by_every_call_and_changes_nothing() {
    let server = TestServer::start().await;
    let document = server.get("/v1/openapi.json").await;
    let mut calls = 0;
    for (path, item) in document["paths"].as_object().unwrap().iter().filter(|(path, _)| path.starts_with("/v1/")) {
        for method in item.as_object().unwrap().keys() {
            let method: Method = method.to_uppercase().parse().unwrap();
            let path = path.replace(['{', '}'], "");
            let url = format!("{}{path}?%66orce=1", server.admin);
            let stranger = reqwest::Client::builder().no_proxy().build().unwrap().request(method.clone(), url);
            assert_eq!(stranger.send().await.unwrap().status(), StatusCode::UNAUTHORIZED, "{method} {path}");
            let response = server.api(method.clone(), &format!("{path}?%66orce=1")).send().await.unwrap();
            assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{method} {path}");
            let problem: Value = response.json().await.unwrap();
            assert_eq!(problem["code"], "invalid_query", "{method} {path}");
            assert!(problem["detail"].as_str().unwrap().contains("unknown parameter `force`"), "{problem}");
            calls += 1;
        }
    }
    assert!(calls > 40, "{calls}");
    server.deploy(OTHERS).await;
    let remove = |query| server.api(Method::DELETE, &format!("/v1/flows/others{query}")).send();
    assert_eq!(remove("?dry_run=true").await.unwrap().status(), StatusCode::BAD_REQUEST);
    assert_eq!(server.get("/v1/flows/others?").await["name"], "others");
    // Probes add what they like.
    assert_eq!(server.api(Method::GET, "/healthz?probe=1").send().await.unwrap().status(), StatusCode::OK);
    assert!(remove("").await.unwrap().status().is_success());
}

#[tokio::test]
async fn callbacks_are_found_by_what_they_are_about() {
    let server = TestServer::start().await;
    let orders = server.deploy_all(ORDERS).await;
    let others = server.deploy(OTHERS).await;
    let before = server.get("/v1/callbacks").await;
    assert_eq!(before["items"], json!([]));
    let big = server.post(&orders[0], &json!({ "id": "o-1", "total": 250, "note": "Früh" })).await;
    let execution = big.json::<Value>().await.unwrap()["execution"].as_str().unwrap().to_owned();
    server.post(&orders[0], &json!({ "id": "o-2", "total": 3 })).await;
    let secret = server.call(Method::POST, &orders[0]).bearer_auth("sekrit-value").header("x-shop", "Berlin");
    secret.json(&json!({ "id": "o-3", "total": 4 })).send().await.unwrap();
    let broken = server.call(Method::POST, &others).header("content-type", "application/json").body("{");
    assert_eq!(broken.send().await.unwrap().status(), StatusCode::BAD_REQUEST);
    server.post(&others, &json!({ "id": "o-5" })).await;
    let paid = format!("{}?execution={execution}", orders[1]);
    assert!(server.post(&paid, &json!({ "paid": true })).await.status().is_success());
    let all = server.eventually("/v1/callbacks", |list| list["items"].as_array().unwrap().len() == 6).await;
    for item in all["items"].as_array().unwrap() {
        let names: BTreeSet<&str> = item.as_object().unwrap().keys().map(String::as_str).collect();
        for left_out in ["headers", "query", "body", "body_base64", "trace", "user"] {
            assert!(!names.contains(left_out), "{item}");
        }
        assert_eq!(item["reply"].as_object().unwrap().len(), 1, "{item}");
        let record = server.get(&format!("/v1/callbacks/{}", item["id"].as_str().unwrap())).await;
        for same in ["received_at", "flow", "trigger", "method", "path", "outcome", "body_bytes"] {
            assert_eq!(item[same], record[same], "{same}");
        }
    }
    // The newest first.
    let all = ids(&all);
    let found = async |query: &str| {
        let list = server.get(&format!("/v1/callbacks?{query}")).await;
        assert_eq!(list["next_cursor"], Value::Null);
        let position = |id: &str| all.iter().rev().position(|known| *known == id).unwrap() + 1;
        let mut found: Vec<usize> = ids(&list).into_iter().map(position).collect();
        found.sort_unstable();
        found
    };
    for (query, expected) in [
        ("outcome=ignored", &[2, 3][..]),
        ("outcome=ignored,rejected", &[2, 3, 4]),
        ("outcome=rejected&outcome=resumed", &[4, 6]),
        ("outcome=duplicate", &[]),
        ("flow=others", &[4, 5]),
        ("flow=others&outcome=started", &[5]),
        ("flow=none", &[]),
        ("trigger=order-received", &[1, 2, 3]),
        ("trigger=paid", &[6]),
        (&format!("execution={execution}"), &[1, 6]),
        ("environment=default&flow=orders", &[1, 2, 3, 6]),
        ("since=1h", &[1, 2, 3, 4, 5, 6]),
        ("until=1h", &[]),
        ("since=2h&until=1h", &[]),
        ("since=1h&until=2999-01-01T00:00:00%2B01:00&outcome=started", &[1, 5]),
        ("reason=condition", &[2, 3]),
        ("reason=CONDITION:%20", &[2, 3]),
        ("text=o-3", &[3]),
        ("text=O-", &[1, 2, 3, 5]),
        ("text=Fr%C3%BCh", &[1]),
        ("text=x-shop:%20berlin", &[3]),
        ("text=execution%3D", &[6]),
        ("text=o-&outcome=ignored", &[2, 3]),
        ("text=sekrit", &[]),
    ] {
        assert_eq!(found(query).await, expected, "{query}");
    }
    let item = &server.get("/v1/callbacks?text=o-2").await["items"][0];
    assert_eq!((&item["decided_by"]["stage"], &item["reply"]["status"]), (&json!("condition"), &json!(204)));
    assert!(item["decided_by"]["reason"].is_string() && item["duration_us"].is_u64(), "{item}");
    // From one time to another: what the first item says counts, and what the second one says does not.
    let times: Vec<String> = all.iter().map(|id| time_of(id)).collect();
    let query = format!("/v1/callbacks?since={}&until={}", times[4], times[1]);
    let between = server.get(&query).await;
    let expected: Vec<&str> =
        all.iter().zip(&times).filter(|(_, time)| times[4] <= **time && **time < times[1]).map(|(id, _)| *id).collect();
    assert_eq!(ids(&between), expected, "{query}");
}

/// When an id was made.
fn time_of(id: &str) -> String {
    Timestamp::from_millis(u64::from_str_radix(&id.replace('-', "")[..12], 16).unwrap()).to_string()
}

#[tokio::test]
async fn executions_are_found_by_what_they_are_about() {
    let server = TestServer::start().await;
    let orders = server.deploy_all(ORDERS).await;
    let others = server.deploy(OTHERS).await;
    let mut started = Vec::new();
    for url in [&orders[0], &others, &orders[0]] {
        let answer: Value = server.post(url, &json!({ "total": 101 })).await.json().await.unwrap();
        started
            .push((answer["execution"].as_str().unwrap().to_owned(), answer["callback"].as_str().unwrap().to_owned()));
    }
    let cancel = format!("/v1/executions/{}/cancel", started[2].0);
    assert!(server.api(Method::POST, &cancel).send().await.unwrap().status().is_success());
    server.eventually("/v1/executions?status=failed", |list| list["items"].as_array().unwrap().len() == 1).await;
    for (query, expected) in [
        ("status=failed", &[1][..]),
        ("status=failed,waiting", &[1, 0]),
        ("status=cancelled&status=completed", &[2]),
        ("status=running", &[]),
        ("flow=orders", &[2, 0]),
        ("flow=orders&status=waiting", &[0]),
        ("trigger=paid", &[0]),
        ("reason=printer", &[1]),
        ("reason=FLOW_failed", &[1]),
        ("reason=none", &[]),
        (&format!("callback={}", started[1].1), &[1]),
        ("environment=default", &[2, 1, 0]),
        ("since=1h", &[2, 1, 0]),
        ("until=1h", &[]),
    ] {
        let list = server.get(&format!("/v1/executions?{query}")).await;
        let expected: Vec<&str> = expected.iter().map(|index: &usize| started[*index].0.as_str()).collect();
        assert_eq!(ids(&list), expected, "{query}");
        assert!(list["items"].as_array().unwrap().iter().all(|item| item.get("journal").is_none()));
    }
}

/// With a page of its own for each item, and others coming meanwhile.
#[tokio::test]
async fn all_pages_of_a_filtered_list_show_everything_once() {
    let server = TestServer::start().await;
    let url = server.deploy(ORDERS).await;
    for number in 0..12 {
        server.post(&url, &json!({ "total": number * 20 })).await;
    }
    let path = "/v1/callbacks?outcome=ignored,started&text=total&since=1h";
    let expected = server.eventually(path, |list| list["items"].as_array().unwrap().len() == 12).await;
    let (mut seen, mut next) = (Vec::new(), format!("{path}&limit=1"));
    loop {
        let page = server.get(&next).await;
        seen.extend(ids(&page).into_iter().map(str::to_owned));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        next = format!("{path}&limit=1&cursor={cursor}");
        server.post(&url, &json!({ "total": 1000 })).await;
    }
    assert_eq!(seen, ids(&expected));
}

/// What is deployed and made is listed in pages, too, by name: each once, those of other workspaces never, and fifty where nobody
/// says how many.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_force_is_listed_in_pages() {
    let mut server = TestServer::start().await;
    let mut made = Vec::new();
    for workspace in ["acme", "other"] {
        server = server.in_workspace(workspace).with_plugins(&["field-match", "json-reshape", "template-reply"]).await;
        made.clear();
        for name in ["c", "a", "b"] {
            server.deploy(&format!("flow: {name}\nsteps:\n  - trigger: Hook\n")).await;
            server.set_secret(&format!("S_{name}"), "x").await;
            let token = json!({ "name": name, "access": "viewer" });
            let token = server.api(Method::POST, "/v1/tokens").json(&token).send().await.unwrap();
            made.push(token.json::<Value>().await.unwrap()["id"].as_str().unwrap().to_owned());
        }
    }
    made.sort();
    let expected = [
        ("flows", "name", ["a", "b", "c"].map(str::to_owned).to_vec()),
        ("plugins", "name", ["field-match", "json-reshape", "template-reply"].map(str::to_owned).to_vec()),
        ("secrets", "name", ["S_a", "S_b", "S_c"].map(str::to_owned).to_vec()),
        ("tokens", "id", made),
    ];
    for (path, key, expected) in &expected {
        for limit in 1..=4 {
            let (mut seen, mut next) = (Vec::new(), format!("/v1/{path}?limit={limit}"));
            loop {
                let page = server.get(&next).await;
                let items = page["items"].as_array().unwrap();
                assert!(!items.is_empty() && items.len() <= limit, "{path}: {page}");
                seen.extend(items.iter().map(|item| item[key].as_str().unwrap().to_owned()));
                let Some(cursor) = page["next_cursor"].as_str() else { break };
                next = format!("/v1/{path}?limit={limit}&cursor={cursor}");
            }
            assert_eq!(&seen, expected, "{path}, {limit} a page");
        }
        let refused = server.api(Method::GET, &format!("/v1/{path}?limit=201")).send().await.unwrap();
        assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
        assert_eq!(server.get(&format!("/v1/{path}?cursor=zz")).await["items"], json!([]), "behind the last one");
    }
    for path in ["flows", "plugins"] {
        let refused = server.api(Method::GET, &format!("/v1/{path}?cursor=-%20-")).send().await.unwrap();
        assert_eq!(refused.json::<Value>().await.unwrap()["code"], "invalid_cursor", "{path}");
    }
    for n in 0..50 {
        server.set_secret(&format!("T_{n}"), "x").await;
    }
    let page = server.get("/v1/secrets").await;
    assert_eq!((page["items"].as_array().unwrap().len(), page["next_cursor"].is_string()), (50, true));
    let all = ringback(&server, &["--workspace", "other", "--json", "secret", "list"]);
    let all: Value = serde_json::from_slice(&all.stdout).unwrap();
    assert_eq!(all["items"].as_array().unwrap().len(), 53, "the command line shows all");
}

fn ringback(server: &TestServer, arguments: &[&str]) -> Output {
    let mut command = Command::new(BINARY);
    command.args(arguments).env_clear().env("RINGBACK_SERVER", &server.admin).env("RINGBACK_DATA", server.data());
    command.output().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_has_the_same_filters() {
    let server = TestServer::start().await;
    let url = server.deploy(ORDERS).await;
    let others = server.deploy(OTHERS).await;
    for total in [3, 101] {
        server.post(&url, &json!({ "id": format!("o-{total}"), "total": total })).await;
    }
    server.post(&others, &json!({})).await;
    server.eventually("/v1/callbacks", |list| list["items"].as_array().unwrap().len() == 3).await;
    server.eventually("/v1/executions?status=failed", |list| list["items"].as_array().unwrap().len() == 1).await;
    for (arguments, expected) in [
        (&["callback", "list", "--outcome", "ignored,done"][..], "`done` is not an outcome; allowed: started"),
        (&["callback", "list", "--since", "soon"], "`since`: `soon` is not a time"),
        (&["execution", "list", "--since", "1h", "--until", "2h"], "`since` is after `until`"),
        (&["execution", "list", "--status", "done"], "`done` is not a status; allowed: running"),
    ] {
        let output = ringback(&server, arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(expected), "{said}");
    }
    for (arguments, lines) in [
        (&["callback", "list", "--outcome", "ignored,started", "--since", "1h"][..], 3),
        (&["callback", "list", "--outcome", "ignored", "--outcome", "failed"], 1),
        (&["callback", "list", "--text", "O-101", "--flow", "orders"], 1),
        (&["callback", "list", "--reason", "condition", "--trigger", "order-received"], 1),
        (&["callback", "list", "--environment", "default", "--until", "1h"], 0),
        (&["execution", "list", "--status", "failed,timed-out", "--reason", "printer"], 1),
        (&["execution", "list", "--since", "15m"], 2),
    ] {
        let output = ringback(&server, &[&["--json"], arguments].concat());
        let list: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(list["items"].as_array().unwrap().len(), lines, "{arguments:?}");
        let shown = String::from_utf8_lossy(&ringback(&server, arguments).stdout).into_owned();
        assert_eq!(shown.lines().count(), 1 + lines, "{shown}");
    }
}

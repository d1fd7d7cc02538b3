//! Executions that wait: who may resume them, what is kept for them, and what ends a wait.

use crate::support::{Sink, TestServer};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const ORDERS: &str = "flow: orders
steps:
  - trigger: Order received
  - trigger: Payment confirmed
    when: data.status == \"confirmed\"
  - set: { paid: '${{ data.amount }}', first: '${{ triggers[\"Order received\"].data.order }}' }
";

/// A server with a deployed flow, and the URLs of its triggers.
async fn deployed(source: &str) -> (TestServer, Vec<String>) {
    let server = TestServer::start().await;
    let urls = server.deploy_all(source).await;
    (server, urls)
}

async fn start(server: &TestServer, url: &str, body: &Value) -> String {
    let response = server.post(url, body).await;
    assert_eq!(response.status(), StatusCode::ACCEPTED);
    response.json::<Value>().await.unwrap()["execution"].as_str().unwrap().to_owned()
}

async fn refused(response: reqwest::Response) -> (u16, String) {
    let status = response.status().as_u16();
    let body: Value = response.json().await.unwrap();
    (status, body["code"].as_str().unwrap_or_else(|| panic!("{body}")).to_owned())
}

fn select(url: &str, execution: &str) -> String {
    format!("{url}?execution={execution}")
}

/// FR-13, FR-15, FR-42, A-FR-2, A-FR-7.
#[tokio::test]
async fn a_callback_that_selects_nobody_is_refused() {
    let (server, urls) = deployed(ORDERS).await;
    let paid = json!({ "status": "confirmed", "amount": 3 });
    for (query, expected) in [
        ("", (400, "selector_missing")),
        ("?execution=", (400, "selector_missing")),
        ("?execution=any&executionId=all", (400, "selector_ambiguous")),
        ("?execution=any", (404, "nobody_waits")),
        ("?execution=all", (404, "nobody_waits")),
        ("?execution=ABC123-DEF456-GHI789", (404, "unknown_execution")),
        ("?executionId=018f0000-0000-7000-8000-000000000000", (404, "unknown_execution")),
    ] {
        let (status, code) = refused(server.post(&format!("{}{query}", urls[1]), &paid).await).await;
        assert_eq!((status, code.as_str()), expected, "{query}");
    }
    let id = start(&server, &urls[0], &json!({ "order": 1 })).await;
    let both = format!("{}?execution={id}&executionId={id}", urls[1]);
    assert_eq!(server.post(&both, &paid).await.status(), StatusCode::ACCEPTED, "equal is fine");
    server.ended(&id).await;
    let again = server.post(&select(&urls[1], &id), &paid).await;
    assert_eq!(refused(again).await, (404, "execution_ended".to_owned()));
    // An execution of another flow is none.
    let other = server.deploy_all(&ORDERS.replace("orders", "others")).await;
    let id = start(&server, &other[0], &json!({})).await;
    assert_eq!(refused(server.post(&select(&urls[1], &id), &paid).await).await.1, "unknown_execution");
}

/// FR-01, FR-02, FR-10 to FR-12, FR-23, FR-27, FR-44 to FR-46.
#[tokio::test]
async fn an_execution_waits_ignores_what_does_not_count_and_goes_on_after_a_restart() {
    let (server, urls) = deployed(ORDERS).await;
    let id = start(&server, &urls[0], &json!({ "order": 7 })).await;
    let waiting = server.get(&format!("/v1/executions/{id}")).await;
    assert_eq!((&waiting["status"], &waiting["waiting_at"]), (&json!("waiting"), &json!("payment-confirmed")));
    let ignored = server.post(&select(&urls[1], &id), &json!({ "status": "processing" })).await;
    assert_eq!(
        (ignored.status(), &ignored.headers()["ringback-outcome"]),
        (StatusCode::NO_CONTENT, &"ignored".parse().unwrap())
    );
    let server = server.restart().await;
    let urls = server.urls("orders").await;
    let response = server.post(&select(&urls[1], &id), &json!({ "status": "confirmed", "amount": 9.95 })).await;
    assert_eq!(response.status(), StatusCode::ACCEPTED);
    let record = server.callback(&response).await;
    assert_eq!((&record["outcome"], &record["execution"]), (&json!("resumed"), &json!(id)));
    let ended = server.ended(&id).await;
    let journal = ended["journal"].as_array().unwrap();
    let kinds: Vec<&str> = journal.iter().map(|entry| entry["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["started", "waiting", "resumed", "set", "completed"]);
    assert_eq!(journal[3]["values"], json!({ "paid": 9.95, "first": 7 }));
}

/// FR-15, FR-16, FR-18 to FR-20: the selector is no data, and a starting trigger has none.
#[tokio::test]
async fn the_data_rules_of_both_methods() {
    let (server, urls) = deployed("flow: rules\nsteps:\n  - trigger: First\n  - trigger: Second\n").await;
    let got = server.call(Method::GET, &format!("{}?execution=x&a=1", urls[0])).send().await.unwrap();
    let by_get = got.json::<Value>().await.unwrap()["execution"].as_str().unwrap().to_owned();
    let posted = server.post(&format!("{}?execution=x", urls[0]), &json!([1])).await;
    let by_post = posted.json::<Value>().await.unwrap()["execution"].as_str().unwrap().to_owned();
    let url = format!("{}?executionId={by_get}&b=2&b=3", urls[1]);
    assert_eq!(server.call(Method::GET, &url).send().await.unwrap().status(), StatusCode::ACCEPTED);
    let url = format!("{}?execution={by_post}&b=2", urls[1]);
    assert_eq!(server.post(&url, &json!({ "execution": "mine" })).await.status(), StatusCode::ACCEPTED);
    let data = |run: &Value| [&run["journal"][0]["data"], &run["journal"][2]["data"]].map(Value::clone);
    assert_eq!(data(&server.ended(&by_get).await), [json!({ "execution": "x", "a": "1" }), json!({ "b": ["2", "3"] })]);
    assert_eq!(data(&server.ended(&by_post).await), [json!([1]), json!({ "execution": "mine" })]);
}

/// What an execution cannot get to any more keeps nothing for it; what is in its way does.
#[tokio::test]
async fn a_callback_for_the_other_branch_is_refused() {
    let (server, urls) = deployed(
        "flow: sizes\nsteps:\n  - trigger: First\n  - if: data.n > 1\n    then:\n      - trigger: Large\n      - trigger: Larger\n    \
         else:\n      - trigger: Small\n  - trigger: Last\n",
    )
    .await;
    let [first, large, larger, small, last] = urls.as_slice() else { panic!("{urls:?}") };
    let id = start(&server, first, &json!({ "n": 2 })).await;
    let passed = async |url: &str| {
        let response = server.post(&select(url, &id), &json!({})).await;
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
        let problem: Value = response.json().await.unwrap();
        assert_eq!(problem["code"], "trigger_passed");
        problem["detail"].as_str().unwrap().to_owned()
    };
    assert_eq!(passed(small).await, "The execution does not come here.", "it has never been there");
    for (url, is_kept) in [(larger, true), (last, true), (large, false)] {
        let response = server.post(&select(url, &id), &json!({})).await;
        assert_eq!(response.status(), StatusCode::ACCEPTED);
        let outcome = response.headers().get("ringback-outcome").map(|outcome| outcome.to_str().unwrap());
        assert_eq!(outcome, is_kept.then_some("kept"), "{url}");
    }
    assert_eq!(server.ended(&id).await["status"], "completed");
}

/// FR-24, A-FR-5, A-FR-13: the longest-waiting whose condition is true, and each once.
#[tokio::test]
async fn any_takes_the_longest_waiting_that_is_meant() {
    let source =
        "flow: any\nsteps:\n  - trigger: First\n  - trigger: Second\n    when: data.n >= triggers.First.data.n\n";
    let (server, urls) = deployed(source).await;
    let mut ids = Vec::new();
    for n in [5, 1, 2] {
        ids.push(start(&server, &urls[0], &json!({ "n": n })).await);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let any = |n: i32| server.call(Method::POST, &format!("{}?execution=any", urls[1])).json(&json!({ "n": n })).send();
    let resumed = |response: reqwest::Response| async { response.json::<Value>().await.unwrap()["execution"].clone() };
    assert_eq!(any(0).await.unwrap().status(), StatusCode::NO_CONTENT, "nobody is meant");
    assert_eq!(resumed(any(3).await.unwrap()).await, json!(ids[1]), "the first is not meant");
    let (one, two) = tokio::join!(any(9), any(9));
    let mut both = [resumed(one.unwrap()).await, resumed(two.unwrap()).await];
    both.sort_by_key(Value::to_string);
    let mut expected = [json!(ids[0]), json!(ids[2])];
    expected.sort_by_key(Value::to_string);
    assert_eq!(both, expected, "two at once never take the same one");
    assert_eq!(refused(any(9).await.unwrap()).await.1, "nobody_waits");
}

/// FR-25, FR-26, FR-41, A-FR-5, A-FR-12.
#[tokio::test]
async fn all_resumes_everyone_whose_condition_is_true() {
    let source =
        "flow: all\nsteps:\n  - trigger: First\n  - trigger: Second\n    when: data.n > triggers.First.data.n\n";
    let (server, urls) = deployed(source).await;
    let mut ids = Vec::new();
    for n in 0..130 {
        ids.push(start(&server, &urls[0], &json!({ "n": n % 3 })).await);
    }
    let none = server.post(&format!("{}?execution=all", urls[1]), &json!({ "n": 0 })).await;
    assert_eq!(none.status(), StatusCode::NO_CONTENT);
    let some = server.post(&format!("{}?execution=all", urls[1]), &json!({ "n": 2 })).await;
    let record = server.callback(&some).await;
    let resumed: Vec<String> =
        serde_json::from_value(some.json::<Value>().await.unwrap()["executions"].clone()).unwrap();
    let mut expected: Vec<&String> = ids.iter().enumerate().filter(|(n, _)| n % 3 < 2).map(|(_, id)| id).collect();
    assert_eq!(record["resumed_count"], json!(expected.len()));
    let mut found: Vec<&String> = resumed.iter().collect();
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
    let left = server.get("/v1/executions?status=waiting&trigger=second&limit=200").await;
    assert_eq!(left["items"].as_array().unwrap().len(), 130 - resumed.len());
}

/// FR-29, A-FR-6: kept, judged when the execution gets there, and consumed once.
#[tokio::test]
async fn a_callback_that_comes_early_is_kept() {
    let sink = Sink::start().await;
    let source = format!(
        "flow: early\nsteps:\n  - trigger: First\n  - http: {{ url: '{}/slow' }}\n  - trigger: Second\n    when: data.good\n  \
         - trigger: Third\n    mailbox: off\n",
        sink.url
    );
    let server = TestServer::start_with(|config| config.http_private_hosts = vec!["127.0.0.1".into()]).await;
    let urls = server.deploy_all(&source).await;
    sink.answer("/slow", &[(200, Duration::from_millis(600))]);
    let id = start(&server, &urls[0], &json!({})).await;
    let third = server.post(&select(&urls[2], &id), &json!({})).await;
    assert_eq!(refused(third).await, (404, "not_waiting".to_owned()), "this one keeps no mail");
    let mut records = Vec::new();
    for body in [json!({ "good": false }), json!({ "good": true, "n": 1 }), json!({ "good": true, "n": 2 })] {
        let kept = server.post(&select(&urls[1], &id), &body).await;
        assert_eq!(
            (kept.status(), &kept.headers()["ringback-outcome"]),
            (StatusCode::ACCEPTED, &"kept".parse().unwrap())
        );
        let record = server.callback(&kept).await;
        assert_eq!(record["outcome"], "kept");
        records.push(record["id"].as_str().unwrap().to_owned());
    }
    let at_third =
        server.eventually(&format!("/v1/executions/{id}"), |execution| execution["waiting_at"] == "third").await;
    assert_eq!(at_third["journal"][4]["data"]["n"], 1, "the oldest that counts");
    let mut outcomes = Vec::new();
    for id in &records {
        outcomes.push(server.get(&format!("/v1/callbacks/{id}")).await["outcome"].clone());
    }
    assert_eq!(outcomes, ["ignored", "resumed", "kept"]);
    assert_eq!(server.post(&select(&urls[2], &id), &json!({})).await.status(), StatusCode::ACCEPTED);
    server.ended(&id).await;
}

#[tokio::test]
async fn mail_that_nobody_takes_expires_and_is_listed() {
    let sink = Sink::start().await;
    let source = format!(
        "flow: early\nsteps:\n  - trigger: First\n  - http: {{ url: '{}/slow' }}\n  - trigger: Second\n    mailbox: {{ ttl: 1s }}\n",
        sink.url
    );
    let server = TestServer::start_with(|config| config.http_private_hosts = vec!["127.0.0.1".into()]).await;
    let urls = server.deploy_all(&source).await;
    sink.answer("/slow", &[(200, Duration::from_millis(2500))]);
    let id = start(&server, &urls[0], &json!({})).await;
    let kept = server.post(&select(&urls[1], &id), &json!({})).await;
    let record = server.callback(&kept).await;
    let path = format!("/v1/callbacks/{}", record["id"].as_str().unwrap());
    let expired = server.eventually(&path, |record| record["outcome"] == "ignored").await;
    assert!(expired["trace"].to_string().contains("it expired in the mailbox"), "{expired:#}");
    let waiting = server.eventually(&format!("/v1/executions/{id}"), |run| run["status"] == "waiting").await;
    assert_eq!(waiting["waiting_at"], "second", "what expired does not count any more");
}

/// A-FR-16 and the three ways to go on. Never early, and within a second.
#[tokio::test]
async fn a_wait_ends_in_time_also_over_a_restart() {
    let flow = |name: &str, policy: &str| {
        format!(
            "flow: {name}\nsteps:\n  - trigger: First\n  - trigger: Second\n    timeout: 1s\n{policy}  - set: {{ late: \
             '${{{{ triggers.Second.timed_out }}}}' }}\n"
        )
    };
    let server = TestServer::start().await;
    let mut runs = Vec::new();
    for (name, policy, status, last) in [
        ("continues", "    on_timeout: continue\n", "completed", "set"),
        ("fails", "", "timed-out", "timed-out"),
        ("steps", "    on_timeout:\n      - fail: 'too late'\n", "failed", "failed"),
    ] {
        let urls = server.deploy_all(&flow(name, policy)).await;
        runs.push((start(&server, &urls[0], &json!({})).await, status, last, urls));
    }
    let in_time = start(&server, &runs[2].3[0], &json!({})).await;
    assert_eq!(server.post(&select(&runs[2].3[1], &in_time), &json!({})).await.status(), StatusCode::ACCEPTED);
    let server = server.restart().await;
    for (id, status, last, _) in &runs {
        let run = server.ended(id).await;
        assert_eq!(run["status"], *status, "{run:#}");
        let journal = run["journal"].as_array().unwrap();
        let at = |kind: &str| {
            let entry = journal.iter().find(|entry| entry["kind"] == kind).unwrap_or_else(|| panic!("{kind}: {run:#}"));
            entry["at"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_millisecond()
        };
        let waited = at("timed-out") - at("waiting");
        assert!((1000..3000).contains(&waited), "{waited} ms");
        assert!(journal.iter().any(|entry| entry["kind"] == *last));
        if *status == "completed" {
            assert_eq!(journal[3]["values"]["late"], true);
        }
    }
    let run = server.ended(&in_time).await;
    assert_eq!((&run["status"], &run["journal"][3]["values"]["late"]), (&json!("completed"), &json!(false)));
}

#[tokio::test]
async fn a_delay_pauses_and_http_is_tried_again_with_the_same_key() {
    let sink = Sink::start().await;
    let server = TestServer::start_with(|config| config.http_private_hosts = vec!["127.0.0.1".into()]).await;
    server.set_secret("API", "s3cret-value").await;
    let source = format!(
        "flow: send\nsteps:\n  - trigger: First\n  - delay: 300ms\n  - http:\n      url: '{}/mail?key=${{{{ secrets.API }}}}'\n      \
         headers: {{ authorization: 'Bearer ${{{{ secrets.API }}}}' }}\n      json: {{ to: '${{{{ data.to }}}}' }}\n      \
         retry: {{ attempts: 3, backoff: 100ms }}\n    as: mail\n  - set: {{ status: '${{{{ mail.status }}}}', id: '${{{{ mail.body.id }}}}' }}\n",
        sink.url
    );
    let urls = server.deploy_all(&source).await;
    sink.answer("/mail", &[(503, Duration::ZERO), (500, Duration::ZERO), (201, Duration::ZERO)]);
    let started = Instant::now();
    let id = start(&server, &urls[0], &json!({ "to": "ada" })).await;
    let run = server.ended(&id).await;
    assert!(started.elapsed() >= Duration::from_millis(300 + 50 + 100));
    assert_eq!(run["status"], "completed", "{run:#}");
    assert!(!run.to_string().contains("s3cret"), "a secret is in the journal");
    let requests = sink.requests();
    assert_eq!(requests.len(), 3);
    for request in &requests {
        assert_eq!(request.headers["idempotency-key"], format!("{id}-steps.2"), "the place in the flow file");
        assert_eq!(request.headers["authorization"], "Bearer s3cret-value");
        assert_eq!((request.path.as_str(), request.body.as_str()), ("/mail?key=s3cret-value", r#"{"to":"ada"}"#));
    }
    let kinds: Vec<&str> =
        run["journal"].as_array().unwrap().iter().map(|entry| entry["kind"].as_str().unwrap()).collect();
    let tries = ["http-request", "http-retry", "woken", "http-retry", "woken", "http"];
    assert_eq!(kinds, [&["started", "delayed", "woken"][..], &tries, &["set", "completed"]].concat());
    assert_eq!(run["journal"][9]["values"], json!({ "status": 201, "id": 3 }));
}

/// What cannot be a header is told with the header's name and the step's, and not with its value.
#[tokio::test]
async fn a_secret_with_a_line_end_is_no_header() {
    let server = TestServer::start().await;
    server.set_secret("API", "s3cret-\nvalue").await;
    for (name, value) in [("x-door", "${{ secrets.API }}"), ("authorization", "Bearer ${{ secrets.API }}")] {
        let source = format!(
            "flow: send\nsteps:\n  - trigger: First\n  - http: {{ url: 'https://shop.example/', headers: {{ {name}: '{value}' }} }}\n"
        );
        let urls = server.deploy_all(&source).await;
        let run = server.ended(&start(&server, &urls[0], &json!({})).await).await;
        let message = run["error"]["message"].as_str().unwrap();
        assert!(message.starts_with(&format!("the value of the header `{name}` has a line end")), "{message}");
        assert_eq!((&run["error"]["step"], &run["error"]["code"]), (&json!("steps[1]"), &json!("http_failed")));
        assert!(!run.to_string().contains("s3cret"), "{run:#}");
    }
}

/// A request into the operator's network is refused, also where it is reached by a name.
#[tokio::test]
async fn a_flow_does_not_reach_private_addresses() {
    let sink = Sink::start().await;
    let port = sink.url.rsplit(':').next().unwrap().to_owned();
    let (server, _) = deployed(ORDERS).await;
    for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "2130706433"] {
        let source =
            "flow: inside\nsteps:\n  - trigger: First\n  - http: { url: '${{ data.url }}', retry: { attempts: 3 } }\n";
        let urls = server.deploy_all(source).await;
        let id = start(&server, &urls[0], &json!({ "url": format!("http://{host}:{port}/x") })).await;
        let run = server.ended(&id).await;
        let error = &run["error"];
        assert_eq!(error["code"], "http_failed");
        assert!(error["message"].as_str().unwrap().contains("not a public address"), "{host}: {error}");
    }
    assert!(sink.requests().is_empty());
}

#[tokio::test]
async fn an_execution_can_be_cancelled_or_tried_again_where_that_makes_sense() {
    let sink = Sink::start().await;
    let server = TestServer::start_with(|config| config.http_private_hosts = vec!["127.0.0.1".into()]).await;
    let source = format!(
        "flow: again\nsteps:\n  - trigger: First\n  - http: {{ url: '{}/x' }}\n  - trigger: Second\n",
        sink.url
    );
    let urls = server.deploy_all(&source).await;
    let change = |id: &str, what: &str| server.api(Method::POST, &format!("/v1/executions/{id}/{what}")).send();
    assert_eq!(change("018f0000-0000-7000-8000-000000000000", "cancel").await.unwrap().status(), StatusCode::NOT_FOUND);
    sink.answer("/x", &[(404, Duration::ZERO), (200, Duration::ZERO)]);
    let id = start(&server, &urls[0], &json!({})).await;
    let failed = server.ended(&id).await;
    assert_eq!((&failed["status"], &failed["error"]["step"]), (&json!("failed"), &json!("steps[1]")));
    assert_eq!(refused(change(&id, "cancel").await.unwrap()).await, (409, "wrong_status".to_owned()));
    assert_eq!(change(&id, "retry").await.unwrap().status(), StatusCode::OK);
    let path = format!("/v1/executions/{id}");
    server.eventually(&path, |run| run["waiting_at"] == "second").await;
    assert_eq!(refused(change(&id, "retry").await.unwrap()).await, (409, "wrong_status".to_owned()));
    assert_eq!(change(&id, "cancel").await.unwrap().status(), StatusCode::OK);
    let run = server.ended(&id).await;
    assert_eq!((&run["status"], &run["error"]), (&json!("cancelled"), &Value::Null));
    assert_eq!(refused(server.post(&select(&urls[1], &id), &json!({})).await).await.1, "execution_ended");
}

#[tokio::test]
async fn the_same_delivery_gets_the_first_answer_and_does_nothing_again() {
    let source = "flow: twice\nsteps:\n  - trigger: First\n    verify: { scheme: hmac, secret: S, header: x-sig, signed: '{id}.{body}', id_header: x-id }\n";
    let server = TestServer::start().await;
    server.set_secret("S", "k").await;
    let url = server.deploy(source).await;
    let send = |id: &str, body: &str| {
        let signature = crate::support::github_signature("k", format!("{id}.{body}").as_bytes());
        let signature = signature.strip_prefix("sha256=").unwrap().to_owned();
        let request = server.call(Method::POST, &url).header("content-type", "application/json");
        request.header("x-sig", signature).header("x-id", id).body(body.to_owned()).send()
    };
    let (one, two) = tokio::join!(send("a", "{}"), send("a", "{}"));
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_eq!((one.status(), two.status()), (StatusCode::ACCEPTED, StatusCode::ACCEPTED));
    let (first, second) = (one.bytes().await.unwrap(), two.bytes().await.unwrap());
    assert_eq!(first, second, "both at once");
    let server = server.restart().await;
    let url = server.urls("twice").await.remove(0);
    let send = |id: &str, body: &str| {
        let signature = crate::support::github_signature("k", format!("{id}.{body}").as_bytes());
        let signature = signature.strip_prefix("sha256=").unwrap().to_owned();
        let request = server.call(Method::POST, &url).header("content-type", "application/json");
        request.header("x-sig", signature).header("x-id", id).body(body.to_owned()).send()
    };
    let third = send("a", "{}").await.unwrap();
    assert_eq!(server.callback(&third).await["id"], third.headers()["ringback-callback"].to_str().unwrap());
    assert_eq!(third.bytes().await.unwrap(), first, "after a restart");
    assert_eq!(send("a", "[]").await.unwrap().bytes().await.unwrap(), first, "the id is signed: it is enough");
    assert_ne!(send("b", "{}").await.unwrap().bytes().await.unwrap(), first);
    assert_eq!(server.get("/v1/executions").await["items"].as_array().unwrap().len(), 2);
    server
        .eventually("/v1/callbacks?outcome=duplicate", |list| {
            list["items"].as_array().is_some_and(|all| all.len() == 3)
        })
        .await;
}

#[tokio::test]
async fn deliveries_are_known_by_an_expression_for_a_window() {
    let source = "flow: twice\nsteps:\n  - trigger: First\n    dedupe: { by: '${{ data.id }}', window: 1s }\n";
    let (server, urls) = deployed(source).await;
    let first = start(&server, &urls[0], &json!({ "id": 1 })).await;
    assert_eq!(start(&server, &urls[0], &json!({ "id": 1 })).await, first);
    assert_ne!(start(&server, &urls[0], &json!({ "id": 2 })).await, first);
    tokio::time::sleep(Duration::from_millis(1600)).await;
    assert_ne!(start(&server, &urls[0], &json!({ "id": 1 })).await, first, "the window is over");
}

/// A-PW-3: the answer of a synchronous call that took too long can be had later, and stays the same.
#[tokio::test]
async fn a_sync_caller_who_waits_too_long_gets_the_answer_later() {
    let source = "flow: later\nsteps:\n  - trigger: First\n    mode: sync\n    respond_within: 300ms\n  - trigger: Second\n    mode: sync\n  \
                  - respond: { status: 201, json: { n: '${{ data.n }}' } }\n  - delay: 50ms\n";
    let (server, urls) = deployed(source).await;
    let pending = server.post(&urls[0], &json!({})).await;
    assert_eq!(pending.status(), StatusCode::ACCEPTED);
    let pending: Value = pending.json().await.unwrap();
    let (status_url, id) = (pending["status_url"].as_str().unwrap(), pending["execution"].as_str().unwrap());
    let status = |url: &str| server.call(Method::GET, url).send();
    assert_eq!(
        status(status_url).await.unwrap().json::<Value>().await.unwrap()["status_url"].as_str().unwrap().len(),
        status_url.len()
    );
    assert_eq!(status(&format!("{status_url}x")).await.unwrap().status(), StatusCode::NOT_FOUND, "a made-up token");
    let resumed = server.post(&select(&urls[1], id), &json!({ "n": 4 })).await;
    assert_eq!((resumed.status(), resumed.text().await.unwrap()), (StatusCode::CREATED, r#"{"n":4}"#.to_owned()));
    for _ in 0..2 {
        let answer = status(status_url).await.unwrap();
        assert_eq!((answer.status(), answer.text().await.unwrap()), (StatusCode::CREATED, r#"{"n":4}"#.to_owned()));
        server.ended(id).await;
    }
}

#[tokio::test]
async fn a_callback_is_sent_again_as_a_new_one_or_only_tried() {
    let (server, urls) = deployed(ORDERS).await;
    let id = start(&server, &urls[0], &json!({ "order": 1 })).await;
    let ignored = server.post(&select(&urls[1], &id), &json!({ "status": "no" })).await;
    let counted = server.post(&select(&urls[1], &id), &json!({ "status": "confirmed", "amount": 1 })).await;
    let (ignored, counted) = (server.callback(&ignored).await, server.callback(&counted).await);
    let first = server.get(&format!("/v1/executions/{id}")).await["callback"].as_str().unwrap().to_owned();
    let replay = |id: &str, query: &str| server.api(Method::POST, &format!("/v1/callbacks/{id}/replay{query}")).send();
    let replay = |id: String, query: &'static str| async move {
        let response = replay(&id, query).await.unwrap();
        (response.status().as_u16(), response.json::<Value>().await.unwrap())
    };
    let count = |what: &'static str| async { server.get(what).await["items"].as_array().unwrap().len() };
    let before = (count("/v1/executions").await, count("/v1/callbacks").await);
    let (_, tried) = replay(first.clone(), "?dry_run=true").await;
    assert_eq!((&tried["outcome"], &tried["dry_run"]), (&json!("started"), &json!(true)));
    let (_, ended) = replay(counted["id"].as_str().unwrap().to_owned(), "?dry_run=true").await;
    assert_eq!(
        (&ended["outcome"], &ended["reply"]["status"]),
        (&json!("rejected"), &json!(404)),
        "it has ended by now"
    );
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!((count("/v1/executions").await, count("/v1/callbacks").await), before, "nothing was left behind");
    let (_, again) = replay(first.clone(), "").await;
    assert_eq!((&again["outcome"], &again["replay_of"]), (&json!("started"), &json!(first)));
    let record = server.get(&format!("/v1/callbacks/{}", again["callback"].as_str().unwrap())).await;
    assert_eq!((&record["replay_of"], &record["body"]), (&json!(first), &json!("{\"order\":1}")));
    assert_eq!(replay(ignored["id"].as_str().unwrap().to_owned(), "").await.1["outcome"], "rejected");
    assert_eq!(replay("018f0000-0000-7000-8000-000000000000".to_owned(), "").await.0, 404);
    server.set_secret("S", "x").await;
    let signed =
        server.deploy("flow: signed\nsteps:\n  - trigger: Hook\n    verify: { scheme: github, secret: S }\n").await;
    let refused = server.post(&signed, &json!({})).await;
    let refused = server.callback(&refused).await;
    assert_eq!(replay(refused["id"].as_str().unwrap().to_owned(), "").await.0, 409, "it was never verified");
}

/// A deploy changes nothing for those who wait: neither their steps nor the URL that resumes them.
#[tokio::test]
async fn waits_outlive_the_version_of_their_flow() {
    let (server, urls) = deployed(ORDERS).await;
    let id = start(&server, &urls[0], &json!({ "order": 1 })).await;
    server.deploy("flow: orders\nsteps:\n  - trigger: Order received\n  - set: { other: 1 }\n").await;
    let server = server.restart().await;
    let url = server.here(&urls[1]);
    let ignored = server.post(&select(&url, &id), &json!({ "status": "no" })).await;
    assert_eq!(ignored.status(), StatusCode::NO_CONTENT, "the condition of its own version");
    let resumed = server.post(&select(&url, &id), &json!({ "status": "confirmed", "amount": 2 })).await;
    assert_eq!(resumed.status(), StatusCode::ACCEPTED);
    assert_eq!(server.ended(&id).await["journal"][3]["values"]["paid"], 2);
}

/// Five faults in a minute and a plugin rests: its callbacks are kept and not lost.
#[tokio::test]
async fn callbacks_of_a_plugin_that_rests_are_kept_until_it_is_back() {
    let server = TestServer::start().await.with_plugins(&["misbehave"]).await;
    let source = "flow: rests\nsteps:\n  - trigger: Hook\n    when: { plugin: misbehave, with: '${{ data.act }}' }\n";
    let url = server.deploy(source).await;
    for _ in 0..5 {
        assert_eq!(server.post(&url, &json!({ "act": "trap" })).await.status(), StatusCode::INTERNAL_SERVER_ERROR);
    }
    let mut kept = Vec::new();
    for act in ["behave", "fail"] {
        let response = server.post(&url, &json!({ "act": act })).await;
        assert_eq!(response.status(), StatusCode::ACCEPTED);
        assert_eq!(response.headers()["ringback-outcome"], "kept");
        let record = server.callback(&response).await;
        assert_eq!((&record["outcome"], &record["execution"]), (&json!("kept"), &Value::Null));
        kept.push(record["id"].as_str().unwrap().to_owned());
    }
    // A start forgets the faults: the pause is over.
    let server = server.restart().await;
    let mut outcomes = Vec::new();
    for id in kept {
        let record = server.eventually(&format!("/v1/callbacks/{id}"), |record| record["outcome"] != "kept").await;
        assert!(record["trace"].to_string().contains("kept, and tried again"));
        outcomes.push(record["outcome"].clone());
    }
    assert_eq!(outcomes, ["started", "failed"]);
    assert_eq!(server.get("/v1/executions").await["items"].as_array().unwrap().len(), 1, "each once");
}

/// What is kept for a plugin that rests is known when it comes again, and a plugin that rests is not a false condition.
#[tokio::test]
async fn a_delivery_that_is_kept_for_a_plugin_is_known_when_it_comes_again() {
    let server = TestServer::start().await.with_plugins(&["misbehave"]).await;
    let source = "flow: rests\nsteps:\n  - trigger: Hook\n    dedupe: { by: '${{ data.id }}' }\n    when: { plugin: misbehave, with: '${{ data.act }}' }\n  \
                  - trigger: Later\n    when: { plugin: misbehave, with: '${{ data.act }}' }\n";
    let urls = server.deploy_all(source).await;
    let waiting = start(&server, &urls[0], &json!({ "id": 0, "act": "behave" })).await;
    for id in 1..=5 {
        let trapped = server.post(&urls[0], &json!({ "id": id, "act": "trap" })).await;
        assert_eq!(trapped.status(), StatusCode::INTERNAL_SERVER_ERROR);
    }
    let send = || async { server.post(&urls[0], &json!({ "id": 9, "act": "behave" })).await };
    let (one, two) = tokio::join!(send(), send());
    assert_eq!((one.status(), two.status()), (StatusCode::ACCEPTED, StatusCode::ACCEPTED));
    let first = one.bytes().await.unwrap();
    assert_eq!(two.bytes().await.unwrap(), first);
    assert_eq!(send().await.bytes().await.unwrap(), first);
    let all = server.post(&format!("{}?execution=all", urls[1]), &json!({ "act": "behave" })).await;
    assert_eq!(all.headers()["ringback-outcome"], "kept");
    let server = server.restart().await;
    server.ended(&waiting).await;
    let list =
        server.eventually("/v1/executions", |list| list["items"].as_array().is_some_and(|all| all.len() == 2)).await;
    assert!(list["items"].as_array().unwrap().iter().any(|run| run["id"] == waiting.as_str()));
    let list = server.eventually("/v1/callbacks?outcome=kept", |list| list["items"] == json!([])).await;
    assert_eq!(list["items"], json!([]));
    assert_eq!(server.get("/v1/executions").await["items"].as_array().unwrap().len(), 2, "the same delivery ran twice");
}

/// C7: what `all` could not decide is said in the record.
#[tokio::test]
async fn c7_all_says_how_many_could_not_be_decided() {
    let source =
        "flow: all\nsteps:\n  - trigger: First\n  - trigger: Second\n    when: data.n > triggers.First.data.n\n";
    let (server, urls) = deployed(source).await;
    for first in [json!(1), json!("one"), json!(1), json!("two"), json!(5)] {
        start(&server, &urls[0], &json!({ "n": first })).await;
    }
    let some = server.post(&format!("{}?execution=all", urls[1]), &json!({ "n": 2 })).await;
    assert_eq!(some.status(), StatusCode::ACCEPTED);
    let record = server.callback(&some).await;
    let trace = record["trace"].to_string();
    assert!(
        trace.contains("resumes 2 of 5 executions that waited; 2 could not be decided, the first because"),
        "{trace}"
    );
    assert!(trace.contains("is not there for int, string"), "{trace}");
}

/// R2: what a plugin calls retryable is tried again: a callback is kept until it passes, a step with pauses.
#[tokio::test]
async fn r2_a_failure_that_may_pass_is_tried_again() {
    let server = TestServer::start().await.with_plugins(&["misbehave"]).await;
    let fails = |key: &str| format!("{{ plugin: misbehave, with: {{ fail_first: [2, {key}] }} }}");
    let url = server
        .deploy(&format!(
            "flow: later\nsteps:\n  - trigger: Hook\n    parse: {}\n  - plugin: misbehave\n    with: {{ fail_first: [2, step] }}\n    as: tried\n",
            fails("parse")
        ))
        .await;
    let kept = server.post(&url, &json!({})).await;
    assert_eq!((kept.status(), &kept.headers()["ringback-outcome"]), (StatusCode::ACCEPTED, &"kept".parse().unwrap()));
    let id = kept.headers()["ringback-callback"].to_str().unwrap().to_owned();
    let record = server.eventually(&format!("/v1/callbacks/{id}"), |record| record["execution"].is_string()).await;
    assert_eq!(record["outcome"], "started");
    let run = server.ended(record["execution"].as_str().unwrap()).await;
    assert_eq!(run["status"], "completed", "{run:#}");
    let sync = server
        .deploy(&format!("flow: now\nsteps:\n  - trigger: Hook\n    mode: sync\n    parse: {}\n", fails("sync")))
        .await;
    let refused = server.post(&sync, &json!({})).await;
    assert_eq!((refused.status().as_u16(), refused.headers()["retry-after"].to_str().unwrap()), (503, "5"));
    server.post(&sync, &json!({})).await;
    assert_eq!(server.post(&sync, &json!({})).await.status(), StatusCode::OK);
    let url =
        server.deploy("flow: never\nsteps:\n  - trigger: Hook\n    parse: { plugin: misbehave, with: fail }\n").await;
    assert_eq!(
        server.post(&url, &json!({})).await.status(),
        StatusCode::UNPROCESSABLE_ENTITY,
        "the others fail at once"
    );
}

/// R14: a caller of an execution that is cancelled at once is told so at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn r14_a_caller_whose_execution_is_cancelled_does_not_wait() {
    let server = TestServer::start().await;
    let url = server
        .deploy("flow: long\nsteps:\n  - trigger: Hook\n    mode: sync\n    respond_within: 10m\n  - delay: 1h\n")
        .await;
    let body = json!({});
    let callers = futures_util::future::join_all((0..200).map(|_| server.post(&url, &body)));
    let canceller = async {
        let mut cancelled = 0;
        while cancelled < 200 {
            let waiting = server.get("/v1/executions?limit=200").await;
            let unended = waiting["items"].as_array().unwrap().iter().filter(|run| run["ended_at"].is_null());
            let ids: Vec<&str> = unended.map(|run| run["id"].as_str().unwrap()).collect();
            let cancel = |id: &&str| server.api(Method::POST, &format!("/v1/executions/{id}/cancel")).send();
            for answered in futures_util::future::join_all(ids.iter().map(cancel)).await {
                cancelled += usize::from(answered.unwrap().status() == StatusCode::OK);
            }
        }
    };
    let (answers, ()) = tokio::time::timeout(Duration::from_secs(60), async { tokio::join!(callers, canceller) })
        .await
        .expect("every caller is answered when its execution is cancelled");
    assert!(answers.iter().all(|answer| answer.status() == StatusCode::INTERNAL_SERVER_ERROR));
}

/// A6: however many executions a callback asks, its record stays small.
#[tokio::test]
async fn a6_the_record_of_a_callback_that_asks_many_stays_small() {
    let source = "flow: many\nsteps:\n  - trigger: First\n  - trigger: Then\n    when: data.order == triggers.First.data.order\n";
    let (server, urls) = deployed(source).await;
    for order in 0..120 {
        start(&server, &urls[0], &json!({ "order": order })).await;
    }
    let any = format!("{}?execution=any", urls[1]);
    let response = server.post(&any, &json!({ "order": 1000 })).await;
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
    let record = server.callback(&response).await;
    let trace = record["trace"].as_array().unwrap();

    assert!(trace.len() <= 24, "{} entries", trace.len());
    let last = trace.last().unwrap()["reason"].as_str().unwrap();
    assert_eq!(last, "none of the 120 executions that wait is meant");
    let response = server.post(&any, &json!({ "order": 119 })).await;
    assert_eq!(response.status(), StatusCode::ACCEPTED, "the last of them is found");
    let trace = server.callback(&response).await["trace"].to_string();
    assert!(trace.contains("resumes the execution"), "what decided is there: {trace}");
    assert!(trace.contains("119 that wait longer are not meant"), "{trace}");
}

/// A reason that is longer than anybody reads is cut off.
#[tokio::test]
async fn a6_a_long_reason_is_cut_off() {
    let server = TestServer::start().await.with_plugins(&["misbehave"]).await;
    let source = "flow: long\nsteps:\n  - trigger: Hook\n    when: { any: [%] }\n";
    let leaf = "data.a == \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"";
    let url = server.deploy(&source.replace('%', &vec![format!("'{leaf}'"); 30].join(", "))).await;
    let response = server.post(&url, &json!({ "a": 1 })).await;
    assert_eq!(response.headers()["ringback-outcome"], "ignored");
    for entry in server.callback(&response).await["trace"].as_array().unwrap() {
        assert!(entry["reason"].as_str().unwrap().chars().count() <= 2001, "{entry}");
    }
}

/// R2: what is kept for a plugin that does not come back fails in the end, and says so.
#[tokio::test]
async fn r2_what_is_kept_for_a_plugin_is_not_kept_for_ever() {
    let server = TestServer::start_with(|config| config.deferred_for_max = Duration::from_secs(1)).await;
    let server = server.with_plugins(&["misbehave"]).await;
    let source = "flow: rests\nsteps:\n  - trigger: Hook\n    when: { plugin: misbehave, with: '${{ data.act }}' }\n";
    let url = server.deploy(source).await;
    for _ in 0..5 {
        assert_eq!(server.post(&url, &json!({ "act": "trap" })).await.status(), StatusCode::INTERNAL_SERVER_ERROR);
    }
    let response = server.post(&url, &json!({ "act": "behave" })).await;
    assert_eq!(response.headers()["ringback-outcome"], "kept");
    let id = server.callback(&response).await["id"].as_str().unwrap().to_owned();
    let record = server.eventually(&format!("/v1/callbacks/{id}"), |record| record["outcome"] != "kept").await;
    assert_eq!(record["outcome"], "failed");
    assert!(record["trace"].to_string().contains("deferred_for_max"), "{record}");
}

/// An error of ours is no answer: who sends the same again gets on where the execution failed, once.
#[tokio::test]
async fn k1_a_delivery_that_failed_goes_on_when_it_comes_again() {
    let sink = Sink::start().await;
    let host = sink.host();
    let server = TestServer::start_with(|config| config.http_private_hosts = vec![host]).await;
    let source = format!(
        "flow: pay\nsteps:\n  - trigger: Order\n    mode: sync\n    dedupe: {{ by: '${{{{ data.id }}}}' }}\n  \
         - http: {{ url: '{0}/first', json: {{}} }}\n  - http: {{ url: '{0}/second', json: {{}} }}\n    as: answer\n  \
         - respond: {{ json: {{ status: '${{{{ answer.status }}}}' }} }}\n",
        sink.url
    );
    let url = server.deploy(&source).await;
    let count = |path: &str| sink.requests().iter().filter(|request| request.path == path).count();
    sink.answer("/second", &[(500, Duration::ZERO), (502, Duration::ZERO)]);
    assert_eq!(server.post(&url, &json!({ "id": 1 })).await.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(server.post(&url, &json!({ "id": 1, "attempt": 2 })).await.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let third = server.post(&url, &json!({ "id": 1, "attempt": 3 })).await;
    let record = server.callback(&third).await;
    assert_eq!(third.status(), StatusCode::OK, "{record}");
    assert_eq!(third.json::<Value>().await.unwrap(), json!({ "status": 200 }));
    assert_eq!((count("/first"), count("/second")), (1, 3), "what was done is not done again");
    for body in [json!({ "id": 1, "attempt": 4 }), json!({ "id": 1 })] {
        let again = server.post(&url, &body).await;
        assert_eq!(again.json::<Value>().await.unwrap(), json!({ "status": 200 }), "from now on this is its answer");
    }
    assert_eq!((count("/first"), count("/second")), (1, 3));
    assert_eq!(server.get("/v1/executions").await["items"].as_array().unwrap().len(), 1);
    let server = server.restart().await;
    let url = server.urls("pay").await.remove(0);
    let again = server.post(&url, &json!({ "id": 1 })).await;
    assert_eq!(again.json::<Value>().await.unwrap(), json!({ "status": 200 }), "also after a restart");
}

/// Whoever made it go on, and whether or not somebody waits: the execution that failed is the one that answers.
#[tokio::test(flavor = "multi_thread")]
async fn k1_a_delivery_that_goes_on_is_not_done_again() {
    let sink = Sink::start().await;
    let host = sink.host();
    let server = TestServer::start_with(|config| config.http_private_hosts = vec![host]).await;
    let source = |name: &str, first: &str| {
        format!(
            "flow: {name}\nsteps:\n{first}  - trigger: Order {name}\n    mode: sync\n    dedupe: {{ by: '${{{{ data.id }}}}' }}\n  \
             - http: {{ url: '{0}/{name}', json: {{}} }}\n  - delay: 1s\n  - respond: {{ json: {{ done: true }} }}\n",
            sink.url
        )
    };
    let count = |path: &str| sink.requests().iter().filter(|request| request.path == path).count();
    let order = json!({ "id": 1 });
    for (name, first) in [("first", ""), ("later", "  - trigger: Begin\n")] {
        server.deploy(&source(name, first)).await;
        let mut url = server.urls(name).await.pop().unwrap();
        if !first.is_empty() {
            let begun = server.post(&server.urls(name).await[0], &json!({})).await;
            let execution = begun.json::<Value>().await.unwrap()["execution"].as_str().unwrap().to_owned();
            url += &format!("?execution={execution}");
        }
        let path = format!("/{name}");
        sink.answer(&path, &[(500, Duration::ZERO)]);
        assert_eq!(server.post(&url, &order).await.status(), StatusCode::INTERNAL_SERVER_ERROR);
        // One after the other hangs up, and several come at once, while it waits after its request.
        let impatient = tokio::time::timeout(Duration::from_millis(300), server.post(&url, &order)).await;
        assert!(impatient.is_err(), "it goes on for a second");
        let answers = [server.post(&url, &order), server.post(&url, &order), server.post(&url, &order)];
        for answer in futures_util::future::join_all(answers).await {
            assert_eq!(answer.json::<Value>().await.unwrap(), json!({ "done": true }), "{name}");
        }
        assert_eq!(server.post(&url, &order).await.json::<Value>().await.unwrap(), json!({ "done": true }));
        assert_eq!(count(&path), 2, "{name}");
    }
    // A user made it go on.
    let url = server.urls("first").await.remove(0);
    sink.answer("/first", &[(500, Duration::ZERO)]);
    let order = json!({ "id": 2 });
    let failed = server.post(&url, &order).await;
    let execution = server.callback(&failed).await["execution"].as_str().unwrap().to_owned();
    let retried = server.api(Method::POST, &format!("/v1/executions/{execution}/retry")).send().await.unwrap();
    assert!(retried.status().is_success());
    assert_eq!(server.ended(&execution).await["status"], "completed");
    assert_eq!(server.post(&url, &order).await.json::<Value>().await.unwrap(), json!({ "done": true }));
    assert_eq!(count("/first"), 4);
}

/// What has no value tells no deliveries apart: each is another one, and none is lost.
#[tokio::test]
async fn k1_callbacks_without_an_id_are_not_the_same() {
    let server = TestServer::start().await;
    server.set_secret("S", "k").await;
    let by = |fields: &str, by: &str| {
        format!("flow: by\nsteps:\n  - trigger: T\n    fields: {fields}\n    dedupe: {{ by: '{by}' }}\n")
    };
    let github = "flow: by\nsteps:\n  - trigger: T\n    verify: { scheme: github, secret: S }\n".to_owned();
    for (source, bodies) in [
        (by("{ id: $.id }", "${{ fields.id }}"), [json!({}), json!({ "id": null }), json!({ "id": "" })]),
        (by("{ id: { header: x-id } }", "x-${{ fields.id }}"), [json!({}), json!(1), json!({})]),
        (github, [json!({}), json!(1), json!({})]),
    ] {
        let url = server.deploy(&source).await;
        let mut executions = std::collections::BTreeSet::new();
        for body in bodies {
            let body = body.to_string();
            let request = server.call(Method::POST, &url).header("content-type", "application/json");
            let request = request.header("x-github-delivery", "");
            let signature = crate::support::github_signature("k", body.as_bytes());
            let answer = request.header("x-hub-signature-256", signature).body(body).send().await.unwrap();
            assert_eq!(answer.status(), StatusCode::ACCEPTED, "{source}");
            executions.insert(answer.json::<Value>().await.unwrap()["execution"].to_string());
        }
        assert_eq!(executions.len(), 3, "{source}");
    }
    let url = server.deploy(&by("{ id: $.id }", "${{ fields.id }}")).await;
    let unknown = server.post(&url, &json!({})).await;
    let trace = server.callback(&unknown).await["trace"].to_string();
    assert!(trace.contains("`dedupe.by` is empty"), "{trace}");
    let mut answers = Vec::new();
    for _ in 0..2 {
        answers.push(server.post(&url, &json!({ "id": 7 })).await.json::<Value>().await.unwrap());
    }
    assert_eq!(answers[0], answers[1], "those that have one are known by it");
}

/// Where the error was what the flow had to say, the whole flow runs again.
#[tokio::test]
async fn k1_a_flow_that_answered_an_error_runs_again() {
    let sink = Sink::start().await;
    let host = sink.host();
    let server = TestServer::start_with(|config| config.http_private_hosts = vec![host]).await;
    let source = format!(
        "flow: ask\nsteps:\n  - trigger: Order\n    mode: sync\n    dedupe: {{ by: '${{{{ data.id }}}}' }}\n  \
         - http: {{ url: '{}/ask', json: {{}}, on_error: continue }}\n    as: answer\n  \
         - respond: {{ status: '${{{{ answer.status }}}}', json: {{}} }}\n",
        sink.url
    );
    let url = server.deploy(&source).await;
    sink.answer("/ask", &[(503, Duration::ZERO), (404, Duration::ZERO)]);
    for expected in [503, 404, 404] {
        assert_eq!(server.post(&url, &json!({ "id": 1 })).await.status().as_u16(), expected);
    }
    assert_eq!(sink.requests().len(), 2);
}

/// Senders count attempts in the body: the id says what is the same, unless nothing signs it, or the trigger says otherwise.
#[tokio::test]
async fn k1_the_same_id_with_another_body_is_the_same_where_the_id_counts() {
    let server = TestServer::start().await;
    server.set_secret("S", "k").await;
    let hmac = "verify: { scheme: hmac, secret: S, header: x-sig, id_header: x-id";
    let github = |body: &str| crate::support::github_signature("k", body.as_bytes());
    for (trigger, is_same) in [
        ("dedupe: { by: '${{ data.id }}' }".to_owned(), true),
        ("dedupe: { by: '${{ data.id }}', same: bytes }".to_owned(), false),
        (format!("{hmac}, signed: '{{id}}.{{body}}' }}"), true),
        (format!("{hmac}, signed: '{{body}}' }}"), false),
        (format!("{hmac}, signed: '{{body}}' }}\n    dedupe: {{ same: id }}"), true),
    ] {
        let url = server.deploy(&format!("flow: same\nsteps:\n  - trigger: T\n    {trigger}\n")).await;
        let mut answers = Vec::new();
        for body in [r#"{"id":1,"attempt":1}"#, r#"{"id":1,"attempt":2}"#, r#"{"id":1,"attempt":1}"#] {
            let signed = if trigger.contains("{id}") { format!("one.{body}") } else { body.to_owned() };
            let request =
                server.call(Method::POST, &url).header("content-type", "application/json").header("x-id", "one");
            let request = request.header("x-sig", github(&signed).trim_start_matches("sha256=")).body(body);
            answers.push(request.send().await.unwrap());
        }
        let statuses: Vec<u16> = answers.iter().map(|answer| answer.status().as_u16()).collect();
        assert_eq!(statuses, [202, if is_same { 202 } else { 409 }, 202], "{trigger}");
        let ids = answers.iter().map(|answer| answer.headers()["ringback-callback"].clone());
        assert_eq!(ids.collect::<std::collections::HashSet<_>>().len(), 1, "{trigger}");
        assert!(server.api(Method::DELETE, "/v1/flows/same").send().await.unwrap().status().is_success());
    }
}

/// K8: what a request sends is known before its first attempt: whatever changes in between, a receiver that knows the key by the
/// bytes gets the same ones. Only what a user tries again by hand is another request.
#[tokio::test]
async fn k8_every_attempt_sends_the_same_bytes() {
    let sink = Sink::start().await;
    let host = sink.host();
    let named = |config: &mut ringback::config::Config| config.http_private_hosts = vec![host.clone()];
    let server = TestServer::start_with(named).await;
    let set = async |server: &TestServer, value: &str| {
        let path = "/v1/vars/place";
        let response = server.api(Method::PUT, path).json(&json!({ "value": value })).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::NO_CONTENT);
    };
    set(&server, "first").await;
    server.set_secret("API", "s3cret-value").await;
    let source = format!(
        "flow: same\nsteps:\n  - trigger: First\n  - http:\n      url: 'http://{host}/same?at=${{{{ vars.place }}}}&key=${{{{ secrets.API }}}}'\n      \
         headers: {{ x-place: '${{{{ vars.place }}}}', x-api-key: '${{{{ vars.place }}}}' }}\n      \
         json: {{ data: '${{{{ data }}}}', place: '${{{{ vars.place }}}}', key: 'a ${{{{ secrets.API }}}} ${{{{ vars.place }}}}' }}\n      \
         retry: {{ attempts: 2, backoff: 3s }}\n"
    );
    let url = server.deploy(&source).await;
    sink.answer("/same", &[(503, Duration::ZERO), (503, Duration::ZERO), (200, Duration::ZERO)]);
    let body = r#"{"z":1.10,"a":{"y":12345678901234567890,"b":1e2},"m":null}"#;
    let request = server.call(Method::POST, &url).header("content-type", "application/json").body(body);
    let started = request.send().await.unwrap();
    let id = started.json::<Value>().await.unwrap()["execution"].as_str().unwrap().to_owned();
    server.eventually(&format!("/v1/executions/{id}"), |run| run.to_string().contains("http-retry")).await;
    set(&server, "second").await;
    let server = server.restart_with(named).await;
    let run = server.ended(&id).await;
    assert_eq!(run["status"], "failed");
    assert!(!run.to_string().contains("s3cret"), "a secret is in the journal");
    let requests = sink.requests();
    assert_eq!(requests.len(), 2);
    let expected =
        format!(r#"{{"data":{},"place":"first","key":"a s3cret-value first"}}"#, body.replace("1e2", "1e+2"));
    for request in &requests {
        assert_eq!(request.path, "/same?at=first&key=s3cret-value");
        assert_eq!((request.body.as_str(), request.headers["x-place"].to_str().unwrap()), (expected.as_str(), "first"));
        assert_eq!(request.headers["idempotency-key"], requests[0].headers["idempotency-key"]);
    }
    assert_eq!(requests[1].headers["x-api-key"], "second", "what may be a credential is not kept");
    let again = server.api(Method::POST, &format!("/v1/executions/{id}/retry")).send().await.unwrap();
    assert!(again.status().is_success(), "{}", again.status());
    server.ended(&id).await;
    let last = sink.requests().pop().unwrap();
    assert_eq!(last.path, "/same?at=second&key=s3cret-value");
    assert_eq!(requests[0].headers["idempotency-key"], format!("{id}-steps.1"));
    assert_eq!(last.headers["idempotency-key"], format!("{id}-steps.1-1"), "it was answered");
}

/// R15: who waits no longer leaves nothing behind, nor does an execution that has ended.
#[tokio::test]
async fn r15_callers_who_have_their_answer_are_forgotten() {
    let directory = tempfile::tempdir().unwrap();
    let server = crate::process::Server::new(&directory.path().join("data"));
    let process = server.start();
    let token = std::fs::read_to_string(directory.path().join("data/admin-token")).unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let source = "flow: late\nsteps:\n  - trigger: Hook\n    mode: sync\n    respond_within: 100ms\n  - delay: 1s\n";
    let put = client.put(format!("{}/v1/flows/late", process.admin)).bearer_auth(&token).body(source);
    let body: Value = put.header("content-type", "application/yaml").send().await.unwrap().json().await.unwrap();
    let url = body["triggers"][0]["urls"]["default"]["native"].as_str().unwrap();
    let waiting = async || {
        let text = client.get(format!("{}/metrics", process.admin)).send().await.unwrap().text().await.unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("ringback_callers_waiting "));
        line.unwrap_or_else(|| panic!("{text}")).parse::<u64>().unwrap()
    };
    let posts = futures_util::future::join_all((0..5).map(|_| client.post(url).json(&json!({})).send()));
    let (while_they_wait, answers) = tokio::join!(
        async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            waiting().await
        },
        posts
    );
    assert!(while_they_wait <= 5);
    for answer in answers {
        let body: Value = answer.unwrap().json().await.unwrap();
        assert!(body["status_url"].is_string(), "{body}");
    }
    // One who hangs up.
    let hurried = client.post(url).timeout(Duration::from_millis(30)).json(&json!({})).send().await;
    drop(hurried);
    for _ in 0..200 {
        if waiting().await == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{} callers are waited for who have their answer", waiting().await);
}

/// B12: a mailbox has room for so many callbacks and bytes; what is more is refused, and what was acknowledged is delivered.
#[tokio::test]
async fn b12_a_mailbox_has_a_limit() {
    for by_bytes in [false, true] {
        let (count_max, bytes_max) = if by_bytes { (100, 2048) } else { (3, 16 << 20) };
        let server = TestServer::start_with(|config| {
            (config.mailbox.count_max, config.mailbox.bytes_max) = (count_max, bytes_max);
        })
        .await;
        let source = "flow: full\nsteps:\n  - trigger: First\n  - trigger: Gate\n  - trigger: Second\n    when: data.n == 3\n  \
                      - trigger: Third\n";
        let urls = server.deploy_all(source).await;
        let id = start(&server, &urls[0], &json!({})).await;
        let mut kept = 0;
        for n in 1..=5 {
            let body = json!({ "n": n, "text": "x".repeat(if by_bytes { 500 } else { 1 }) });
            let response = server.post(&select(&urls[2], &id), &body).await;
            if response.status() == StatusCode::ACCEPTED {
                kept += 1;
            } else {
                assert_eq!(refused(response).await, (409, "mailbox_full".to_owned()));
            }
        }
        assert_eq!(kept, 3, "by bytes: {by_bytes}");
        if by_bytes {
            // What would not fit into an empty one is told so, full or not.
            let large = json!({ "n": 9, "text": "x".repeat(2100) });
            for url in [&urls[2], &urls[3]] {
                let response = server.post(&select(url, &id), &large).await;
                assert_eq!(refused(response).await, (413, "mailbox_callback_too_large".to_owned()));
            }
        }
        // Others' mailboxes, and that of another trigger, have their own room.
        assert_eq!(server.post(&select(&urls[3], &id), &json!({ "n": 9 })).await.status(), StatusCode::ACCEPTED);
        assert_eq!(server.post(&select(&urls[1], &id), &json!({})).await.status(), StatusCode::ACCEPTED);
        let run = server.ended(&id).await;
        assert_eq!(run["status"], "completed", "what was acknowledged was delivered: {run:#}");
    }
}

/// Who sends a delivery again while its first caller waits for the flow waits for the same answer, no longer than the trigger lets
/// it.
#[tokio::test]
async fn a_repeat_waits_for_the_answer_of_the_first_caller() {
    let flow = |within: &str| {
        format!(
            "flow: both\nsteps:\n  - trigger: Ask\n    mode: sync\n    respond_within: {within}\n    dedupe: {{ by: '${{{{ data.id }}}}' }}\n  \
             - delay: 1s\n  - if: data.says\n    then:\n      - respond: {{ status: 201, json: {{ id: '${{{{ execution.id }}}}' }} }}\n"
        )
    };
    let server = TestServer::start().await;
    for (says, status) in [(true, 201), (false, 200)] {
        let url = server.deploy(&flow("30s")).await;
        let body = json!({ "id": says, "says": says });
        let send = async |after: u64| {
            tokio::time::sleep(Duration::from_millis(after)).await;
            let answer = server.post(&url, &body).await;
            let callback = answer.headers()["ringback-callback"].clone();
            (answer.status().as_u16(), callback, answer.text().await.unwrap())
        };
        let (first, at_once, later) = tokio::join!(send(0), send(0), send(300));
        assert_eq!(first.0, status, "{first:?}");
        assert_eq!((&at_once, &later), (&first, &first), "the same answer");
        assert_eq!(send(0).await, first, "and so it stays");
    }
    assert_eq!(server.get("/v1/executions").await["items"].as_array().unwrap().len(), 2, "each once");
    let url = server.deploy(&flow("200ms")).await;
    let body = json!({ "id": "slow", "says": true });
    let (first, second) = tokio::join!(server.post(&url, &body), server.post(&url, &body));
    assert_eq!((first.status(), second.status()), (StatusCode::ACCEPTED, StatusCode::ACCEPTED));
    let (first, second): (Value, Value) = (first.json().await.unwrap(), second.json().await.unwrap());
    for same in ["status", "callback", "execution"] {
        assert_eq!(first[same], second[same], "where the answer will be");
    }
}

/// R20: a fault counts against the version that was called, not against the one that is active when it comes to light.
#[tokio::test]
async fn r20_a_fault_counts_against_the_version_that_was_called() {
    let server = TestServer::start().await.with_plugins(&["misbehave"]).await;
    let source = "flow: faults\nsteps:\n  - trigger: Hook\n    when: { plugin: misbehave, with: '${{ data.act }}' }\n";
    let url = server.deploy(source).await;
    // The same code with a section more is another version.
    let mut second = crate::support::plugin("misbehave");
    second.extend([0, 2, 1, b'x']);
    let upload = server.api(Method::POST, "/v1/plugins/misbehave/versions?activate=false").body(second);
    let uploaded = upload.header("content-type", "application/wasm").send().await.unwrap();
    assert_eq!(uploaded.status(), StatusCode::CREATED);
    let activate = async |version: u32| {
        let request = server.api(Method::PUT, "/v1/plugins/misbehave/active").json(&json!({ "version": version }));
        assert_eq!(request.send().await.unwrap().status(), StatusCode::OK);
    };
    let behaves = async || {
        let answer = server.post(&url, &json!({ "act": "behave" })).await;
        server.callback(&answer).await["outcome"].clone()
    };
    // Both run out of their time while the other version becomes the active one.
    for act in ["loop", "call_host"] {
        let calls: Vec<_> =
            (0..5).map(|_| tokio::spawn(server.call(Method::POST, &url).json(&json!({ "act": act })).send())).collect();
        tokio::time::sleep(Duration::from_millis(20)).await;
        activate(2).await;
        for call in calls {
            let failed = call.await.unwrap().unwrap();
            assert_eq!(failed.status(), StatusCode::INTERNAL_SERVER_ERROR);
            let record = server.callback(&failed).await;
            assert!(record["trace"].to_string().contains("plugin_out_of_time"), "{record}");
        }
        assert_eq!(behaves().await, "started", "{act}: the second has no faults");
        activate(1).await;
    }
    for _ in 0..5 {
        server.post(&url, &json!({ "act": "trap" })).await;
    }
    assert_eq!(behaves().await, "kept", "the first rests");
    activate(2).await;
    assert_eq!(behaves().await, "started", "which is nothing to the second");
}

/// B18: a step that pauses before it is tried again is not called for an execution that was cancelled meanwhile.
#[tokio::test]
async fn b18_a_cancelled_execution_calls_nothing_more() {
    let server = TestServer::start().await.with_plugins(&["misbehave"]).await;
    let calls = "{ plugin: misbehave, with: { fail_first: [2, calls] } }";
    let url = server.deploy(&format!("flow: steps\nsteps:\n  - trigger: Hook\n  - {calls}\n")).await;
    let id = start(&server, &url, &json!({})).await;
    // It has failed once by then, and tries again after a second.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let cancelled = server.api(Method::POST, &format!("/v1/executions/{id}/cancel")).send().await.unwrap();
    assert_eq!(cancelled.status(), StatusCode::OK);
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let counts = format!("flow: counts\nsteps:\n  - trigger: Hook\n    mode: sync\n    parse: {calls}\n");
    let counts = server.deploy(&counts).await;
    assert_eq!(server.post(&counts, &json!({})).await.status().as_u16(), 503, "this is the second call");
    assert_eq!(server.post(&counts, &json!({})).await.status(), StatusCode::OK);
}

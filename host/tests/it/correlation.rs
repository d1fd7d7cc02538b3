//! Callbacks that find the execution that they are for by a key: who is found, what is kept, and what is refused.

use crate::process::Server;
use crate::support::TestServer;
use reqwest::StatusCode;
use ringback_records::name::{CallbackId, ExecutionId, Name};
use ringback_store::{Store, StoreOptions, Write};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Orders that wait for their payment, with more keys of `correlate`, and of the trigger.
fn orders(more: &str, of_trigger: &str) -> String {
    format!(
        "flow: orders\nsteps:\n  - trigger: Order received\n  - trigger: Payment confirmed\n    correlate:\n      callback: \
         data.order\n      execution: 'triggers[\"Order received\"].data.id'\n{more}{of_trigger}  - set: {{ paid: '${{{{ data.amount \
         }}}}' }}\n"
    )
}

async fn deployed(source: &str) -> (TestServer, Vec<String>) {
    let server = TestServer::start().await;
    let urls = server.deploy_all(source).await;
    (server, urls)
}

async fn start(server: &TestServer, url: &str, id: &Value) -> String {
    let response = server.post(url, &json!({ "id": id })).await;
    assert_eq!(response.status(), StatusCode::ACCEPTED);
    response.json::<Value>().await.unwrap()["execution"].as_str().unwrap().to_owned()
}

/// The status, and the code or the outcome.
async fn said(response: reqwest::Response) -> (u16, String) {
    let status = response.status().as_u16();
    let outcome = response.headers().get("ringback-outcome").map(|outcome| outcome.to_str().unwrap().to_owned());
    let body: Value = response.json().await.unwrap_or_default();
    (status, body["code"].as_str().map(str::to_owned).or(outcome).unwrap_or_default())
}

async fn outcome(server: &TestServer, id: &str) -> String {
    server.get(&format!("/v1/callbacks/{id}")).await["outcome"].as_str().unwrap().to_owned()
}

fn id_of(response: &reqwest::Response) -> String {
    response.headers()["ringback-callback"].to_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_key_that_can_be_none_is_a_mistake_of_the_flow() {
    let server = TestServer::start().await;
    let good = orders("", "");
    let execution = "execution: 'triggers[\"Order received\"].data.id'";
    for (wrong, says) in [
        (good.replace("callback: data.order", "callback: '\"a\"'"), "this key is the same for all"),
        (good.replace(execution, "execution: flow.name"), "this key is the same for all"),
        (
            good.replace("callback: data.order", "callback: 'triggers[\"Order received\"].data.id'"),
            "there is no `triggers` yet",
        ),
        (good.replace(execution, "execution: callback.id"), "`callback` is only there in a trigger"),
        (good.replace(execution, "execution: 'triggers[\"Order recieved\"].data.id'"), "did you mean `Order received`"),
        (
            good.replace(execution, "execution: 'triggers[\"Payment confirmed\"].data.id'"),
            "no trigger `Payment confirmed` comes before",
        ),
        (good.replace("callback: data.order", "callback: 'data.'"), "character"),
        (
            good.replace("callback: data.order", "callback: 'callback.headers[\"authorization\"]'"),
            "carries a credential",
        ),
        (good.replace("callback: data.order", "callbak: data.order"), "did you mean `callback`?"),
        (good.replace(&format!("      {execution}\n"), ""), "`execution` is missing"),
        (orders("      many: some\n", ""), "`some` is not what several that wait are"),
        (orders("      otherwise: drop\n", ""), "`drop` is not what becomes of a callback"),
        (orders("      otherwise: keep\n", "    mailbox: off\n"), "leave one out"),
        (
            "flow: orders\nsteps:\n  - trigger: A\n    correlate: { callback: data.a, execution: data.a }\n".to_owned(),
            "`correlate` is for a trigger that an execution waits at",
        ),
    ] {
        let (status, body) = server.try_deploy(&wrong).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{wrong}");
        assert!(body.to_string().contains(says), "{says}: {body:#}");
    }
    server.deploy(&good).await;
}

#[tokio::test]
async fn a_callback_without_a_key_is_refused_and_the_next_one_is_taken() {
    let (server, urls) = deployed(&orders("", "")).await;
    let id = start(&server, &urls[0], &json!("o-1")).await;
    for (body, code) in [
        (json!({}), "key_absent"),
        (json!({ "order": null }), "key_null"),
        (json!({ "order": "" }), "key_empty"),
        (json!({ "order": "x".repeat(257) }), "key_too_long"),
        (json!({ "order": 5.5 }), "key_not_text"),
        (json!({ "order": true }), "key_not_text"),
        (json!({ "order": ["o-1"] }), "key_not_text"),
        (json!({ "order": { "id": "o-1" } }), "key_not_text"),
    ] {
        let response = server.post(&urls[1], &body).await;
        let record = server.callback(&response).await;
        assert_eq!(said(response).await, (422, code.to_owned()), "{body}");
        assert_eq!(record["outcome"], "rejected");
    }
    assert_eq!(
        said(server.post(&urls[1], &json!([1])).await).await.0,
        500,
        "a list has no member: the expression failed"
    );
    let wrong = server.post(&format!("{}?execution={id}", urls[1]), &json!({ "order": "o-2" })).await;
    assert_eq!(said(wrong).await, (409, "key_contradicts".to_owned()));
    for selector in ["any", "all"] {
        let url = format!("{}?execution={selector}", urls[1]);
        assert_eq!(server.post(&url, &json!({ "order": "o-2" })).await.status(), StatusCode::NO_CONTENT, "{selector}");
    }
    assert_eq!(server.get(&format!("/v1/executions/{id}")).await["status"], "waiting");
    let response = server.post(&urls[1], &json!({ "order": "o-1", "amount": 3 })).await;
    assert_eq!(response.status(), StatusCode::ACCEPTED);
    assert_eq!(server.ended(&id).await["journal"][3]["values"]["paid"], 3);
}

/// An execution that gets there without a key fails there, with the name of what is wrong.
#[tokio::test]
async fn an_execution_without_a_key_fails_where_it_would_wait() {
    let (server, urls) = deployed(&orders("", "")).await;
    for (body, code) in [
        (json!({}), "key_absent"),
        (json!({ "id": null }), "key_null"),
        (json!({ "id": "" }), "key_empty"),
        (json!({ "id": "x".repeat(257) }), "key_too_long"),
        (json!({ "id": {} }), "key_not_text"),
    ] {
        let answer: Value = server.post(&urls[0], &body).await.json().await.unwrap();
        let ended = server.ended(answer["execution"].as_str().unwrap()).await;
        assert_eq!((&ended["status"], &ended["error"]["code"]), (&json!("failed"), &json!(code)));
        assert_eq!(ended["error"]["step"], "steps[1]");
    }
}

/// A URL without a selector; the trace says which key, how many waited, and who was chosen, in one line.
#[tokio::test]
async fn a_callback_finds_its_execution_by_the_key_that_both_say() {
    let (server, urls) = deployed(&orders("", "")).await;
    let mut ids = BTreeMap::new();
    for (order, says) in
        [(json!("o-1"), json!("o-1")), (json!(5), json!("5")), (json!("6"), json!(6)), (json!(7), json!(7.0))]
    {
        ids.insert(says.to_string(), (start(&server, &urls[0], &order).await, says));
    }
    for number in 0..80 {
        start(&server, &urls[0], &json!(format!("other-{number}"))).await;
    }
    let (id, says) = &ids["\"o-1\""];
    let waiting = server.get(&format!("/v1/executions/{id}")).await;
    assert_eq!((&waiting["status"], &waiting["wait"]["key"]), (&json!("waiting"), &json!("o-1")));
    // Other spellings are other keys.
    for other in ["O-1", "o-1 ", "05"] {
        assert_eq!(said(server.post(&urls[1], &json!({ "order": other })).await).await, (202, "kept".to_owned()));
    }
    let response = server.post(&urls[1], &json!({ "order": says, "amount": 1 })).await;
    let record = server.callback(&response).await;
    assert_eq!((&record["outcome"], &record["execution"]), (&json!("resumed"), &json!(id)));
    let trace = record["trace"].as_array().unwrap();
    let select: Vec<&str> =
        trace.iter().filter(|line| line["stage"] == "select").map(|line| line["reason"].as_str().unwrap()).collect();
    assert_eq!(select, [format!("resumes the execution {id}, which waits for the key \"o-1\" (1 waits)")]);
    assert!(trace.len() < 8, "{trace:#?}");
    server.ended(id).await;
    let server = server.restart().await;
    let urls = server.urls("orders").await;
    for (id, says) in ids.values().filter(|(_, says)| says != "o-1") {
        let response = server.post(&urls[1], &json!({ "order": says })).await;
        assert_eq!(server.callback(&response).await["execution"], json!(id), "{says}");
        server.ended(id).await;
    }
}

#[tokio::test]
async fn of_several_that_wait_for_a_key_the_oldest_all_or_none_is_meant() {
    let (server, urls) =
        deployed(&orders("", "    when: data.amount >= triggers[\"Order received\"].data.least\n")).await;
    let begin = async |url: &str, least: u32| {
        let response = server.post(url, &json!({ "id": "o", "least": least })).await;
        tokio::time::sleep(Duration::from_millis(3)).await;
        response.json::<Value>().await.unwrap()["execution"].as_str().unwrap().to_owned()
    };
    let (large, small, tiny) = (begin(&urls[0], 9).await, begin(&urls[0], 5).await, begin(&urls[0], 1).await);
    let pay = async |url: &str, amount: u32| server.post(url, &json!({ "order": "o", "amount": amount })).await;
    assert_eq!(said(pay(&urls[1], 0).await).await, (204, "ignored".to_owned()));
    let record = server.callback(&pay(&urls[1], 6).await).await;
    assert_eq!(record["execution"], json!(small), "the oldest whose condition holds");
    let line = record["trace"].to_string();
    assert!(line.contains("(3 wait); 1 that wait longer are not meant"), "{line}");

    let urls = server.deploy_all(&orders("      many: refuse\n", "")).await;
    assert_eq!(said(pay(&urls[1], 9).await).await, (409, "several_wait".to_owned()));
    assert_eq!(
        server.get("/v1/executions?status=waiting").await["items"].as_array().unwrap().len(),
        2,
        "nobody went on"
    );
    let urls = server.deploy_all(&orders("      many: all\n", "")).await;
    let third = begin(&urls[0], 0).await;
    let record = server.callback(&pay(&urls[1], 9).await).await;
    assert_eq!(record["resumed_count"], 3, "{record:#}");
    assert!(record["trace"].to_string().contains("resumes 3 of 3 executions that waited for the key"), "{record:#}");
    for id in [&large, &tiny, &third] {
        server.ended(id).await;
    }
    let last = begin(&urls[0], 0).await;
    server.deploy_all(&orders("      many: refuse\n", "")).await;
    assert_eq!(said(pay(&urls[1], 9).await).await.0, 202, "one is not several");
    server.ended(&last).await;
}

/// In the order of their coming, one for each that comes to wait, and before what comes later; over a restart.
#[tokio::test]
async fn what_comes_early_is_kept_for_its_key_and_delivered_in_order() {
    let (server, urls) = deployed(&orders("", "    when: data.amount != 2\n")).await;
    let mut early = Vec::new();
    for amount in 1..=4 {
        let response = server.post(&urls[1], &json!({ "order": "o-1", "amount": amount })).await;
        early.push(id_of(&response));
        assert_eq!(said(response).await, (202, "kept".to_owned()));
    }
    let other = server.post(&urls[1], &json!({ "order": "o-2", "amount": 9 })).await;
    let record = server.callback(&other).await;
    assert!(record["trace"].to_string().contains("nobody waits for the key \\\"o-2\\\": kept until"), "{record:#}");
    let (server, mut paid) = (server.restart().await, Vec::new());
    let urls = server.urls("orders").await;
    for _ in 0..3 {
        let id = start(&server, &urls[0], &json!("o-1")).await;
        paid.push(server.ended(&id).await["journal"][3]["values"]["paid"].clone());
    }
    assert_eq!(paid, [1, 3, 4]);
    let mut outcomes = Vec::new();
    for id in &early {
        outcomes.push(outcome(&server, id).await);
    }
    assert_eq!(outcomes, ["resumed", "ignored", "resumed", "resumed"], "what does not count is ignored for good");
    let id = start(&server, &urls[0], &json!("o-1")).await;
    server.eventually(&format!("/v1/executions/{id}"), |run| run["status"] == "waiting").await;
    assert_eq!(outcome(&server, &id_of(&other)).await, "kept", "that of another key stays");
}

#[tokio::test]
async fn what_is_kept_for_a_key_expires_and_can_come_again() {
    let (server, urls) =
        deployed(&orders("", "    mailbox: { ttl: 1s }\n    dedupe: { by: '${{ data.event }}' }\n")).await;
    let body = json!({ "order": "o-1", "event": "e-1", "amount": 7 });
    let kept = id_of(&server.post(&urls[1], &body).await);
    assert_eq!(said(server.post(&urls[1], &body).await).await, (202, "kept".to_owned()), "the same answer");
    let expired = server.eventually(&format!("/v1/callbacks/{kept}"), |record| record["outcome"] == "ignored").await;
    assert!(expired["trace"].to_string().contains("no execution waited for its key in time"), "{expired:#}");
    let id = start(&server, &urls[0], &json!("o-1")).await;
    assert_eq!(server.get(&format!("/v1/executions/{id}")).await["status"], "waiting");
    assert_eq!(said(server.post(&urls[1], &body).await).await.0, 202, "it came to nothing: it is new");
    assert_eq!(server.ended(&id).await["journal"][3]["values"]["paid"], 7);

    let urls = server.deploy_all(&orders("", "    mailbox: off\n")).await;
    assert_eq!(said(server.post(&urls[1], &json!({ "order": "o-9" })).await).await, (404, "nobody_waits".to_owned()));
}

/// Each of many orders and its payment come at once, in any order: each payment is for its order, and each once.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_and_its_callback_at_the_same_moment_find_each_other() {
    let (server, urls) = deployed(&orders("", "")).await;
    let (server, mut runs) = (Arc::new(server), tokio::task::JoinSet::new());
    for number in 0..200_u64 {
        let (server, urls) = (Arc::clone(&server), urls.clone());
        runs.spawn(async move {
            let order = json!(format!("o-{number}"));
            let payment = json!({ "order": order, "amount": number });
            let pay = server.post(&urls[1], &payment);
            let pause = Duration::from_micros(number % 7 * 300);
            let (id, paid) = tokio::join!(start(&server, &urls[0], &order), async {
                tokio::time::sleep(pause).await;
                pay.await
            });
            assert_eq!(paid.status(), StatusCode::ACCEPTED);
            let ended = server.ended(&id).await;
            assert_eq!(ended["journal"][3]["values"]["paid"], number);
            assert_eq!(outcome(&server, &id_of(&paid)).await, "resumed");
        });
    }
    runs.join_all().await;
    assert_eq!(server.get("/v1/callbacks?outcome=kept").await["items"], json!([]));
}

/// Of many that race, one starts; the others are for that one, in the order of their coming, and none for another key.
#[tokio::test(flavor = "multi_thread")]
async fn otherwise_a_callback_starts_one_execution_for_its_key() {
    let source = "flow: carts\nsteps:\n  - trigger: Opened\n    fields: { cart: $.cart }\n  - trigger: Changed\n    correlate: { callback: \
                  data.cart, execution: fields.cart, otherwise: start }\n  - trigger: Paid\n    correlate: { callback: data.cart, \
                  execution: 'triggers.Opened.fields.cart' }\n";
    let (server, urls) = deployed(source).await;
    let (server, mut calls) = (Arc::new(server), tokio::task::JoinSet::new());
    for number in 0..96 {
        let (server, url) = (Arc::clone(&server), urls[1].clone());
        calls.spawn(async move {
            let response = server.post(&url, &json!({ "cart": format!("c-{}", number % 3), "n": number })).await;
            let record = server.callback(&response).await;
            (record["outcome"].as_str().unwrap().to_owned(), said(response).await)
        });
    }
    let all = calls.join_all().await;
    let started = all.iter().filter(|(outcome, _)| outcome == "started").count();
    assert!(all.iter().all(|(_, (status, _))| *status == 202), "{all:?}");
    let runs = server.get("/v1/executions?limit=200").await["items"].clone();
    let runs = runs.as_array().unwrap();
    // Who has been at the trigger lets go of the key: then the next one starts another.
    assert!(started >= 3 && started == runs.len(), "{started} started, {} there", runs.len());
    for cart in 0..3 {
        let mut taken = Vec::new();
        for run in runs {
            let path = format!("/v1/executions/{}", run["id"].as_str().unwrap());
            let run = server.eventually(&path, |run| run["status"] == "waiting").await;
            if run["journal"][0]["fields"]["cart"] == json!(format!("c-{cart}")) {
                taken.extend(run["journal"].as_array().unwrap().iter().filter_map(|line| line["data"]["n"].as_u64()));
            }
        }
        taken.sort_unstable();
        assert_eq!(taken, (0..32).map(|n| 3 * n + cart).collect::<Vec<_>>(), "each once");
    }
}

/// The first trigger reads what starts an execution, and its condition decides; the answer is that of the trigger that was called.
#[tokio::test]
async fn what_starts_instead_is_as_if_it_had_come_to_the_first_trigger() {
    let source = "flow: carts\nsteps:\n  - trigger: Opened\n    fields: { cart: $.cart }\n    when: data.open\n  - trigger: Changed\n    \
                  correlate: { callback: data.cart, execution: fields.cart, otherwise: start }\n    reply: { status: 201, json: { first: '${{ \
                  triggers.Opened.data.open }}' } }\n";
    let (server, urls) = deployed(source).await;
    let closed = server.post(&urls[1], &json!({ "cart": "c", "open": false })).await;
    assert_eq!(said(closed).await, (204, "ignored".to_owned()));
    let opened = server.post(&urls[1], &json!({ "cart": "c", "open": true })).await;
    let record = server.callback(&opened).await;
    assert_eq!((opened.status(), &record["outcome"]), (StatusCode::CREATED, &json!("started")));
    assert_eq!(opened.json::<Value>().await.unwrap(), json!({ "first": true }));
    let line = record["trace"].to_string();
    assert!(line.contains("nobody waits for the key \\\"c\\\": starts the execution"), "{line}");
    let id = record["execution"].as_str().unwrap();
    let run = server.eventually(&format!("/v1/executions/{id}"), |run| run["status"] == "waiting").await;
    assert_eq!((&run["journal"][0]["trigger"], &run["wait"]["key"]), (&json!("Opened"), &json!("c")));
    assert_eq!(server.callback(&server.post(&urls[1], &json!({ "cart": "c" })).await).await["execution"], json!(id));
    server.ended(id).await;
}

/// A deploy changes nothing for those that wait without a key: their ids still find them, and so does a ticket.
#[tokio::test]
async fn who_waits_without_a_key_is_found_by_its_id() {
    let plain = "flow: orders\nsteps:\n  - trigger: Order received\n  - trigger: Payment confirmed\n";
    let (server, urls) = deployed(plain).await;
    let old = start(&server, &urls[0], &json!("o-1")).await;
    let urls = server.deploy_all(&orders("", "")).await;
    let ticketed = start(&server, &urls[0], &json!("o-3")).await;
    assert_eq!(said(server.post(&urls[1], &json!({ "order": "o-1" })).await).await, (202, "kept".to_owned()));
    let url = format!("{}?execution={old}", urls[1]);
    assert_eq!(said(server.post(&url, &json!({ "order": "o-1" })).await).await.0, 202);
    server.ended(&old).await;
    let handler = json!({ "trigger": "payment-confirmed", "execution": ticketed });
    let ticket = server.ticket(&json!({ "handler": handler })).await;
    assert!(server.post(ticket["url"].as_str().unwrap(), &json!({ "order": "x" })).await.status().is_success());
    server.ended(&ticketed).await;
}

/// The limits bite, and what comes then is taken.
#[tokio::test]
async fn what_is_kept_for_keys_has_its_limits() {
    let server = TestServer::start_with(|config| {
        config.mailbox.count_max = 2;
        config.early_kib_max = 4;
    });
    let server = server.await;
    let urls = server.deploy_all(&orders("", "")).await;
    let pay = async |order: &str| said(server.post(&urls[1], &json!({ "order": order })).await).await;
    let kept = (202, "kept".to_owned());
    for order in ["a", "a", "b", "c"] {
        assert_eq!(pay(order).await, kept);
    }
    assert_eq!(pay("a").await, (409, "mailbox_full".to_owned()));
    let full = server.post(&urls[1], &json!({ "order": "d" })).await;
    assert_eq!(full.headers()["retry-after"], "30");
    assert_eq!(said(full).await, (429, "early_full".to_owned()));
    let id = start(&server, &urls[0], &json!("a")).await;
    server.ended(&id).await;
    assert_eq!(pay("d").await, kept, "there is room again");
    assert_eq!(pay("e").await.1, "early_full");
    let waits = start(&server, &urls[0], &json!("e")).await;
    assert_eq!(pay("e").await.0, 202, "who waits needs no room");
    server.ended(&waits).await;
    let server = server.in_workspace("neighbour");
    let urls = server.deploy_all(&orders("", "")).await;
    assert_eq!(said(server.post(&urls[1], &json!({ "order": "a" })).await).await, kept, "others have their own");
}

/// What belongs to an environment, a workspace, a flow or a trigger is not for another with the same key.
#[tokio::test]
async fn a_key_is_one_of_its_environment_its_flow_and_its_trigger() {
    let (server, urls) = deployed(&orders("", "")).await;
    let others = server.deploy_all(&orders("", "").replace("flow: orders", "flow: others")).await;
    let (id, other) = (start(&server, &urls[0], &json!("k")).await, start(&server, &others[0], &json!("k")).await);
    let server = server.in_workspace("neighbour");
    let there = server.deploy_all(&orders("", "")).await;
    assert_eq!(said(server.post(&there[1], &json!({ "order": "k" })).await).await, (202, "kept".to_owned()));
    let server = server.in_workspace("default");
    assert_eq!(server.callback(&server.post(&urls[1], &json!({ "order": "k" })).await).await["execution"], json!(id));
    server.ended(&id).await;
    assert_eq!(server.get(&format!("/v1/executions/{other}")).await["status"], "waiting");
    // A flow that is made again has nothing to do with what came to the one before.
    assert_eq!(said(server.post(&urls[1], &json!({ "order": "z" })).await).await, (202, "kept".to_owned()));
    let removed = server.api(reqwest::Method::DELETE, "/v1/flows/orders").send().await.unwrap();
    assert_eq!(removed.status(), StatusCode::NO_CONTENT);
    let urls = server.deploy_all(&orders("", "")).await;
    let id = start(&server, &urls[0], &json!("z")).await;
    let waits = server.eventually(&format!("/v1/executions/{id}"), |run| run["status"] == "waiting").await;
    assert_eq!(waits["journal"].as_array().unwrap().len(), 2);
    assert_eq!(said(server.post(&urls[1], &json!({ "order": "z" })).await).await.0, 202);
    server.ended(&id).await;
}

/// Kills at any moment: each payment that was acknowledged is for its order, and each order has its own, once.
#[tokio::test(flavor = "multi_thread")]
async fn over_kills_every_callback_finds_its_execution() {
    const CYCLES: u64 = 12;
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let server = Server::new(&data).with("RINGBACK_STORE_SEGMENT_BYTES", "1048576");
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(5)).build().unwrap();
    let number = Arc::new(AtomicU64::new(0));
    let source = orders("", "    dedupe: { by: '${{ data.order }}' }\n")
        .replace("  - trigger: Payment", "    dedupe: { by: '${{ data.id }}' }\n  - trigger: Payment");
    for cycle in 0..CYCLES {
        let mut process = server.start();
        let api = crate::load::Api::new(&process, &data);
        if cycle == 0 {
            let put = api.request(reqwest::Method::PUT, "/v1/flows/orders").header("content-type", "application/yaml");
            assert!(put.body(source.clone()).send().await.unwrap().status().is_success());
        }
        let flow = api.get("/v1/flows/orders").await.unwrap();
        let url = |trigger: usize| {
            let url = flow["triggers"][trigger]["urls"]["default"]["native"].as_str().unwrap();
            format!("{}/{}", process.public, url.splitn(4, '/').nth(3).unwrap())
        };
        let (first, second) = (url(0), url(1));
        let mut senders = tokio::task::JoinSet::new();
        for sender in 0..8_u64 {
            let (client, number, first, second) = (client.clone(), Arc::clone(&number), first.clone(), second.clone());
            senders.spawn(async move {
                loop {
                    let n = number.fetch_add(1, Ordering::Relaxed);
                    let order = client.post(&first).json(&json!({ "id": n }));
                    let payment = client.post(&second).json(&json!({ "order": n, "amount": n }));
                    let calls = if (n + sender) % 2 == 0 { [order, payment] } else { [payment, order] };
                    for call in calls {
                        if !call.send().await.is_ok_and(|answer| answer.status() == StatusCode::ACCEPTED) {
                            return;
                        }
                    }
                }
            });
        }
        tokio::time::sleep(Duration::from_millis(100 + 37 * cycle)).await;
        process.kill();
        senders.join_all().await;
    }
    // Whoever got no answer sends again.
    let process = server.start();
    let api = crate::load::Api::new(&process, &data);
    let flow = api.get("/v1/flows/orders").await.unwrap();
    for n in 0..number.load(Ordering::Relaxed) {
        for (trigger, body) in [(0, json!({ "id": n })), (1, json!({ "order": n, "amount": n }))] {
            let url = flow["triggers"][trigger]["urls"]["default"]["native"].as_str().unwrap();
            let url = format!("{}/{}", process.public, url.splitn(4, '/').nth(3).unwrap());
            let answer = client.post(&url).json(&body).send().await.unwrap();
            assert_eq!(answer.status(), StatusCode::ACCEPTED, "{body}");
        }
    }
    let began = Instant::now();
    let runs = loop {
        let runs = api.all("/v1/executions").await;
        if runs.iter().all(|run| run["status"] == "completed") {
            break runs;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "some wait for ever");
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let mut paid = BTreeMap::new();
    for run in &runs {
        let run = api.get(&format!("/v1/executions/{}", run["id"].as_str().unwrap())).await.unwrap();
        let journal = run["journal"].as_array().unwrap();
        let (order, payment) = (journal[0]["data"]["id"].as_u64(), journal[2]["data"]["order"].as_u64());
        assert_eq!(order, payment, "{run:#}");
        assert!(paid.insert(order, ()).is_none(), "two executions for {order:?}");
    }
    assert_eq!(paid.len() as u64, number.load(Ordering::Relaxed));
    assert!(paid.len() > 100, "{} were sent", paid.len());
    assert!(api.get("/v1/callbacks?outcome=kept").await.unwrap()["items"].as_array().unwrap().is_empty());
    drop(process);
    server.verify();
}

/// Much that waits for keys, and much that is kept for them: one is found as fast as if it were alone, and so is that of a neighbour.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_found_by_a_key_is_found_beside_many() {
    const MANY: u64 = 20_000;
    let (server, urls) = deployed(&orders("", "")).await;
    let waiting = start(&server, &urls[0], &json!("o-0")).await;
    let kept = id_of(&server.post(&urls[1], &json!({ "order": "early" })).await);
    let data = server.end().await;
    {
        let store = Store::open(data.path(), StoreOptions::default()).unwrap();
        let here = Name::default_name();
        let (summary, journal) = store.execution(&here, waiting.parse().unwrap()).await.unwrap().unwrap();
        let trigger: Name = "payment-confirmed".parse().unwrap();
        let at = |key: String| ringback_store::KeyAt::of(&summary, &trigger, &key);
        let (mail, _) =
            store.early(&here, &at("early".into()), kept.parse::<CallbackId>().unwrap()).await.unwrap().unwrap();
        let limits = ringback_store::EarlyLimits {
            of_key: ringback_store::MailboxLimits { count_max: 9, bytes_max: 1 << 20 },
            workspace_kib_max: u32::MAX,
        };
        for page in 0..MANY / 500 {
            let mut writes = Vec::new();
            for number in 500 * page..500 * (page + 1) {
                let mut copy = Box::new(summary.clone());
                (copy.id, copy.waits[0].key) = (ExecutionId::new(), Some(format!("w-{number}")));
                writes.push(Write::Advance {
                    workspace: here.clone(),
                    before: None,
                    summary: copy,
                    entries: journal.clone(),
                });
                writes.push(Write::PutEarly {
                    workspace: here.clone(),
                    at: at(format!("e-{number}")),
                    mail: Box::new(ringback_store::Mail { callback: CallbackId::new(), ..mail.clone() }),
                    limits,
                    unless: ringback_store::Unless::Awaited,
                });
            }
            store.commit(writes).await.unwrap();
        }
        store.close().await;
    }
    let mut server = TestServer::start_in(data, |_| {}).await;
    for workspace in ["default", "neighbour"] {
        server = server.in_workspace(workspace);
        let urls = server.deploy_all(&orders("", "")).await;
        let mut slowest = Duration::ZERO;
        for number in 0..30 {
            let id = start(&server, &urls[0], &json!(format!("mine-{number}"))).await;
            let began = Instant::now();
            let paid = server.post(&urls[1], &json!({ "order": format!("mine-{number}"), "amount": 1 })).await;
            slowest = slowest.max(began.elapsed());
            assert_eq!(paid.status(), StatusCode::ACCEPTED);
            server.ended(&id).await;
        }
        println!("{workspace}: found after {slowest:?} at most, beside {MANY} that wait and as much that is kept");
        assert!(slowest < Duration::from_millis(500), "{slowest:?}");
    }
}

//! Trying a trigger: what is refused, that nothing is kept of a trial, that what the server signs is genuine, and that callbacks are
//! judged by another condition.

use crate::support::TestServer;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

const ORDERS: &str = "flow: orders\nsteps:\n  - trigger: Order received\n    when: data.total > 100\n";
const GUARDED: &str = "flow: guarded\nsteps:\n  - trigger: Hook\n    verify: { scheme: standard-webhooks, secret: HOOKS }\n    allow_from: [192.0.2.0/24]\n    limit: { calls: 1, per: 1h }\n    dedupe: { by: \"${{ data.id }}\" }\n";

async fn ask(server: &TestServer, path: &str, body: Value) -> (StatusCode, Value) {
    let answered = server.api(Method::POST, &format!("/v1/flows/{path}")).json(&body).send().await.unwrap();
    (answered.status(), answered.json().await.unwrap())
}

async fn callbacks(server: &TestServer) -> usize {
    server.get("/v1/callbacks").await["items"].as_array().unwrap().len()
}

#[tokio::test]
async fn what_cannot_be_tried_is_refused_in_words() {
    let server = TestServer::start().await;
    server.deploy(ORDERS).await;
    let (status, problem) = ask(&server, "nothing/triggers/hook/try", json!({})).await;
    assert_eq!((status, problem["code"].as_str()), (StatusCode::NOT_FOUND, Some("not_found")));
    let (status, problem) = ask(&server, "orders/triggers/nothing/try", json!({})).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "{problem}");
    for (body, said) in [
        (json!({ "url": "http://elsewhere.example/" }), "`url` is not a URL of the trigger"),
        (json!({ "face": "grexx" }), "has no face grexx"),
        (json!({ "environment": "staging" }), "there is no environment staging"),
        (json!({ "address": "nowhere" }), "`nowhere` is no address"),
        (json!({ "method": "GE T" }), "no such `method`"),
        (json!({ "query": "a b" }), "`query` is not encoded"),
        (json!({ "headers": { "a b": "c" } }), "`a b` is no header"),
        (json!({ "headers": { "a": "c\nd" } }), "`a` is no header"),
        (json!({ "body": "a", "body_base64": "YQ==" }), "not both"),
        (json!({ "body_base64": "?" }), "is no base64"),
        (json!({ "body": "x".repeat(70_000) }), "the body has more than"),
        (json!({ "source": "flow: orders\nsteps: [{ trigger: Order received, wen: x }]" }), "wen"),
        (json!({ "unknown": 1 }), "unknown"),
    ] {
        let (status, problem) = ask(&server, "orders/triggers/order-received/try", body.clone()).await;
        assert!(status.is_client_error(), "{body}: {problem}");
        assert!(problem["detail"].as_str().unwrap().contains(said), "{body}: {problem}");
    }
    let (status, problem) = ask(&server, "orders/triggers/order-received/send", json!({ "source": ORDERS })).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
    for (body, said) in [
        (json!({ "when": "data.total >" }), "expression"),
        (json!({ "when": "data.total > 1", "source": ORDERS }), "not both"),
        (json!({ "last": 0 }), "from 1 to 100"),
        (json!({ "last": 101 }), "from 1 to 100"),
    ] {
        let (status, problem) = ask(&server, "orders/triggers/order-received/judge", body.clone()).await;
        assert!(status.is_client_error(), "{body}: {problem}");
        assert!(problem.to_string().contains(said), "{body}: {problem}");
    }
    let made = server.api(Method::POST, "/v1/tokens").json(&json!({ "name": "v", "access": "viewer" })).send().await;
    let viewer = made.unwrap().json::<Value>().await.unwrap()["token"].as_str().unwrap().to_owned();
    for what in ["try", "send", "judge"] {
        let url = format!("{}/v1/flows/orders/triggers/order-received/{what}", server.admin);
        let refused = server.call(Method::POST, &url).bearer_auth(&viewer).json(&json!({})).send().await.unwrap();
        assert_eq!(refused.status(), StatusCode::FORBIDDEN, "{what}");
    }
    assert_eq!(callbacks(&server).await, 0);
}

#[tokio::test]
async fn nothing_is_kept_of_a_trial_and_nothing_is_counted() {
    let server = TestServer::start().await;
    server.deploy(ORDERS).await;
    let path = "orders/triggers/order-received/try";
    for (total, outcome) in [(1, "ignored"), (1000, "started")] {
        let (status, tried) = ask(&server, path, json!({ "body": json!({ "total": total }).to_string() })).await;
        assert_eq!((status, &tried["outcome"]), (StatusCode::OK, &json!(outcome)), "{tried}");
    }
    // One that is not deployed yet.
    let source = "flow: orders\nsteps:\n  - trigger: New one\n    when: data.total > 5\n";
    let body = json!({ "source": source, "body": "{\"total\": 7}" });
    let (_, tried) = ask(&server, "orders/triggers/new-one/try", body).await;
    assert_eq!(tried["outcome"], "started", "{tried}");
    assert_eq!(server.get("/v1/flows/orders").await["version"], 1);
    server.set_secret("HOOKS", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").await;
    server.deploy(GUARDED).await;
    let path = "guarded/triggers/hook/try";
    let signed = json!({ "body": "{\"id\": 1}", "sign": true, "address": "192.0.2.7" });
    for _ in 0..3 {
        let (_, tried) = ask(&server, path, signed.clone()).await;
        assert_eq!(tried["outcome"], "started", "neither the limit counts nor what came before: {tried}");
    }
    for (body, said) in [
        (json!({ "body": "{\"id\": 1}", "address": "192.0.2.7" }), "there is no webhook-id header"),
        (json!({ "body": "{\"id\": 1}", "sign": true }), "it comes from an unknown address"),
        (
            json!({ "body": "{\"id\": 1}", "sign": true, "address": "198.51.100.1" }),
            "198.51.100.1, which is in none of",
        ),
    ] {
        let (_, tried) = ask(&server, path, body).await;
        assert_eq!(tried["outcome"], "rejected");
        assert!(tried["trace"].to_string().contains(said), "{tried}");
    }
    assert_eq!(
        (callbacks(&server).await, server.get("/v1/executions").await["items"].as_array().unwrap().len()),
        (0, 0)
    );
    // What is sent counts, as any other.
    let (status, sent) = ask(&server, "guarded/triggers/hook/send", signed.clone()).await;
    assert_eq!((status, &sent["reply"]["status"]), (StatusCode::OK, &json!(202)), "{sent}");
    let record = server.get(&format!("/v1/callbacks/{}", sent["callback"].as_str().unwrap())).await;
    assert_eq!((&record["outcome"], &record["remote_address"]), (&json!("started"), &json!("192.0.2.7")), "{record}");
    let (_, again) = ask(&server, "guarded/triggers/hook/send", signed.clone()).await;
    assert_eq!(again["reply"]["status"], 429, "{again}");
    // Nobody has told the server what it is to sign with.
    server.api(Method::DELETE, "/v1/secrets/HOOKS").send().await.unwrap();
    let (status, problem) = ask(&server, path, signed).await;
    assert_eq!((status, problem["code"].as_str()), (StatusCode::UNPROCESSABLE_ENTITY, Some("not_signed")), "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("there is no secret named HOOKS yet"));
}

#[tokio::test]
async fn callbacks_are_judged_by_another_condition() {
    let server = TestServer::start().await;
    let url = server.deploy(ORDERS).await;
    for total in [1, 50, 150, 500] {
        server.post(&url, &json!({ "total": total })).await;
    }
    server.eventually("/v1/callbacks", |list| list["items"].as_array().unwrap().len() == 4).await;
    let path = "orders/triggers/order-received/judge";
    let (_, same) = ask(&server, path, json!({})).await;
    assert_eq!((&same["changed"], same["items"].as_array().unwrap().len()), (&json!(0), 4), "{same}");
    let (_, judged) = ask(&server, path, json!({ "when": "data.total > 200" })).await;
    let became: Vec<(&str, &str)> = judged["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| (item["then"].as_str().unwrap(), item["now"].as_str().unwrap()))
        .collect();
    let expected = [("started", "started"), ("started", "ignored"), ("ignored", "ignored"), ("ignored", "ignored")];
    assert_eq!((became, &judged["changed"]), (expected.to_vec(), &json!(1)), "{judged}");
    let (_, last) = ask(&server, path, json!({ "source": ORDERS.replace("100", "10"), "last": 3 })).await;
    assert_eq!((&last["changed"], last["items"].as_array().unwrap().len()), (&json!(1), 3), "{last}");
    assert_eq!(callbacks(&server).await, 4, "nothing was sent");
    assert_eq!(server.get("/v1/flows/orders").await["version"], 1, "nothing was deployed");
    // Those that nobody proved are not judged.
    server.set_secret("S", "secret").await;
    let url =
        server.deploy("flow: signed\nsteps:\n  - trigger: Hook\n    verify: { scheme: github, secret: S }\n").await;
    server.post(&url, &json!({})).await;
    let (_, judged) = ask(&server, "signed/triggers/hook/judge", json!({})).await;
    assert_eq!((&judged["left_out"], &judged["items"]), (&json!(1), &json!([])), "{judged}");
}

#[tokio::test]
async fn a_callback_is_sent_again_with_another_body() {
    let server = TestServer::start().await;
    let url = server.deploy(ORDERS).await;
    let sent = server.post(&url, &json!({ "total": 1 })).await;
    let id = server.callback(&sent).await["id"].as_str().unwrap().to_owned();
    let replay = async |query: &str, body: &Value| {
        let path = format!("/v1/callbacks/{id}/replay{query}");
        let answered = server.api(Method::POST, &path).json(body).send().await.unwrap();
        (answered.status(), answered.json::<Value>().await.unwrap())
    };
    let both = json!({ "body": "", "body_base64": "" });
    for wrong in [json!({ "body": 1 }), json!({ "bodi": "" }), json!({ "body_base64": "?" }), json!([]), both] {
        let (status, problem) = replay("", &wrong).await;
        let expected = (StatusCode::UNPROCESSABLE_ENTITY, Some("invalid_body"));
        assert_eq!((status, problem["code"].as_str()), expected, "{wrong}");
    }
    let (status, _) = replay("", &json!({ "body": "x".repeat(70_000) })).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    let edited = json!({ "body": "{\"total\": 900}" });
    let (_, tried) = replay("?dry_run=true", &edited).await;
    assert_eq!(tried["outcome"], "started", "{tried}");
    assert_eq!(callbacks(&server).await, 1);
    let (_, sent) = replay("", &edited).await;
    let record = server.get(&format!("/v1/callbacks/{}", sent["callback"].as_str().unwrap())).await;
    assert_eq!((&record["outcome"], &record["is_edited"]), (&json!("started"), &json!(true)), "{record}");
    assert_eq!((&record["body"], &record["replay_of"]), (&json!("{\"total\": 900}"), &json!(id)));
    assert!(record["trace"].to_string().contains("has another body since"), "{record}");
    let first = server.get(&format!("/v1/callbacks/{id}")).await;
    assert_eq!(first["body"], "{\"total\":1}", "what came stays as it was");
    let (_, plain) = replay("?dry_run=true", &json!({})).await;
    assert_eq!(plain["outcome"], "ignored", "with the body that it came with");
}

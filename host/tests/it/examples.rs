//! Every example, replayed with its real payloads.

use crate::support::{TestServer, github_signature};
use reqwest::{Method, Response};
use serde_json::Value;
use std::path::{Path, PathBuf};

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("examples").join(name)
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

async fn send(server: &TestServer, url: &str, payload: &Path, event: &str, signature: Option<String>) -> Response {
    let body = read(payload);
    let signature = signature.unwrap_or_else(|| github_signature("It's a Secret to Everybody", body.as_bytes()));
    let request = server.call(Method::POST, url).header("content-type", "application/json").body(body);
    let request = request.header("x-github-event", event).header("x-hub-signature-256", signature);
    request.send().await.unwrap()
}

#[tokio::test]
async fn github_push() {
    let directory = example("github-push");
    let server = TestServer::start().await.with_plugins(&["field-match"]).await;
    server.set_secret("GITHUB_SECRET", "It's a Secret to Everybody").await;
    let url = server.deploy(&read(&directory.join("flow.yaml"))).await;
    let expected: Value = serde_json::from_str(&read(&directory.join("expected.json"))).unwrap();
    let cases = expected.as_array().unwrap();
    assert!(cases.len() >= 4);
    for case in cases {
        let payload = directory.join("payloads").join(case["payload"].as_str().unwrap());
        let signature = case["signature"].as_str().map(str::to_owned);
        let response = send(&server, &url, &payload, case["event"].as_str().unwrap(), signature).await;
        assert_eq!(response.status().as_u16(), case["status"], "{case}");
        let record = server.callback(&response).await;
        assert_eq!(record["outcome"], case["outcome"], "{case}");
        if let Some(result) = case.get("result") {
            let execution = server.ended(record["execution"].as_str().unwrap()).await;
            assert_eq!(execution["status"], "completed");
            let set = execution["journal"].as_array().unwrap().iter().find(|entry| entry["kind"] == "set").unwrap();
            assert_eq!(&set["values"], result, "{case}");
        }
    }
}

/// A report without what the flow needs is no payment to be reported again later: its sender is told what is missing.
#[tokio::test]
async fn s3_the_payment_webhook_answers_an_empty_report() {
    let server = TestServer::start().await;
    server.set_secret("BANK_PASSWORD", "s3cret").await;
    let flow = read(&example("payment-webhook").join("flow.yaml"));
    let url = server.deploy_at("nocobase", &flow).await.remove(0);
    for (body, status, expected) in [
        ("{}", 422, r#"{"success":false,"message":"order.id and payment.status are needed"}"#),
        (
            r#"{"order": {"id": "o-1"}, "payment": {}}"#,
            422,
            r#"{"success":false,"message":"order.id and payment.status are needed"}"#,
        ),
        (r#"{"order": {"id": "o-1"}, "payment": {"status": "pending"}}"#, 503, r#"{"success":false}"#),
        (r#"{"order": {"id": "o-1"}, "payment": {"status": "paid"}}"#, 200, r#"{"success":true,"order":"o-1"}"#),
    ] {
        let request = server.call(Method::POST, &url).basic_auth("bank", Some("s3cret")).body(body);
        let response = request.header("content-type", "application/json").send().await.unwrap();
        assert_eq!((response.status().as_u16(), response.text().await.unwrap().as_str()), (status, expected), "{body}");
    }
}

#[tokio::test]
async fn order_screening() {
    let server = TestServer::start().await;
    let url = server.deploy(&read(&example("order-screening").join("flow.yaml"))).await;
    for (order, status, answer) in [
        (
            r#"{"email": "ann@example.org", "bill_to": "NL", "ship_to": "NL", "items": [{"price": 30, "count": 2}]}"#,
            200,
            "[]",
        ),
        (
            r#"{"email": "x@mailinator.com", "bill_to": "NL", "ship_to": "XX", "items": [{"price": 1}]}"#,
            409,
            "elsewhere",
        ),
        (r#"{"email": "ann@example.org", "items": []}"#, 204, ""),
        (r#"{"email": "ann@example.org"}"#, 500, "plugin_failed"),
    ] {
        let request = server.call(Method::POST, &url).header("content-type", "application/json");
        let response = request.body(order).send().await.unwrap();
        assert_eq!(response.status().as_u16(), status, "{order}");
        let text = response.text().await.unwrap();
        assert!(text.contains(answer), "{order}: {text}");
    }
}

/// What the gallery shows of a plugin is what its file has.
#[test]
fn the_gallery_shows_cases_that_are_there() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let gallery = read(&top.join("docs/plugins/gallery.md"));
    let mut shown = 0;
    for section in gallery.split("\n## ").skip(1) {
        let name = section.lines().next().unwrap();
        let Some((_, case)) = section.split_once("```json\n") else { continue };
        let case: Value = serde_json::from_str(case.split("```").next().unwrap()).unwrap();
        let cases: Vec<Value> =
            serde_json::from_str(&read(&top.join("plugins").join(name).join("vectors.json"))).unwrap();
        assert!(cases.contains(&case), "{name} has no such case: {case}");
        assert!(section.contains(&format!("\n[{} cases](", cases.len())), "{name} has {} cases", cases.len());
        shown += 1;
    }
    assert_eq!(shown, 7);
}

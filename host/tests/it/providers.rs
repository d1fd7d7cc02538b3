//! Providers setting up a URL: their questions are answered, and nothing starts.

use crate::support::TestServer;
use aws_lc_rs::hmac;
use reqwest::{Method, Response};
use serde_json::{Value, json};

async fn text(response: Response) -> (u16, String) {
    (response.status().as_u16(), response.text().await.unwrap())
}

async fn server(verify: &str) -> (TestServer, String) {
    let server = TestServer::start().await;
    server.set_secret("S", "hush").await;
    server.set_secret("TOKEN", "agreed").await;
    let url = server.deploy(&format!("flow: hook\nsteps:\n  - trigger: Hook\n    verify: {verify}\n")).await;
    (server, url)
}

async fn nothing_started(server: &TestServer) {
    assert_eq!(server.get("/v1/executions").await["items"], json!([]));
}

/// Slack signs its question as everything else.
#[tokio::test]
async fn slack_asks_for_its_challenge() {
    let (server, url) = server("{ scheme: slack, secret: S }").await;
    let time = seconds_now();
    let post = |body: Value, secret: &str| {
        let body = body.to_string();
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        let tag = hmac::sign(&key, format!("v0:{time}:{body}").as_bytes());
        let signature: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        let request = server.call(Method::POST, &url).header("x-slack-signature", format!("v0={signature}"));
        request
            .header("x-slack-request-timestamp", time.to_string())
            .header("content-type", "application/json")
            .body(body)
            .send()
    };
    let question = json!({ "token": "x", "challenge": "3eZbrw1aB10FEMAGAZd4FyFQ", "type": "url_verification" });
    assert_eq!(post(question.clone(), "other").await.unwrap().status().as_u16(), 401);
    let long = json!({ "challenge": "x".repeat(5000), "type": "url_verification" });
    assert_eq!(post(long, "hush").await.unwrap().status().as_u16(), 400);
    let answered = post(question, "hush").await.unwrap();
    let record = server.callback(&answered).await;
    assert_eq!(
        (&record["outcome"], answered.headers()["content-type"].to_str().unwrap()),
        (&json!("answered"), "text/plain; charset=utf-8")
    );
    assert_eq!(text(answered).await, (200, "3eZbrw1aB10FEMAGAZd4FyFQ".to_owned()));
    nothing_started(&server).await;
    let event = json!({ "type": "event_callback", "challenge": "not asked" });
    assert_eq!(post(event, "hush").await.unwrap().status().as_u16(), 202);
}

fn seconds_now() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "Slack signs the time of the machine")]
    let now = std::time::SystemTime::now();
    now.duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

#[tokio::test]
async fn meta_shows_the_token_that_was_agreed() {
    let (server, url) = server("{ scheme: meta, secret: S, verify_token: TOKEN }").await;
    let ask = |query: &str| server.call(Method::GET, &format!("{url}?{query}")).send();
    for wrong in [
        "hub.mode=subscribe&hub.challenge=7",
        "hub.mode=subscribe&hub.challenge=7&hub.verify_token=",
        "hub.mode=subscribe&hub.challenge=7&hub.verify_token=other",
        "hub.mode=subscribe&hub.challenge=7&hub.verify_token=hush",
        "hub.mode=subscribe&hub.verify_token=agreed",
    ] {
        assert_eq!(ask(wrong).await.unwrap().status().as_u16(), 401, "{wrong}");
    }
    let answered = ask("hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=agreed").await.unwrap();
    assert_eq!(text(answered).await, (200, "1158201444".to_owned()));
    let page = ask("hub.challenge=%3Cscript%3E&hub.verify_token=agreed").await.unwrap();
    let headers = page.headers();
    assert_eq!(
        (&headers["x-content-type-options"], headers["content-type"].to_str().unwrap()),
        (&"nosniff".parse().unwrap(), "text/plain; charset=utf-8")
    );
    nothing_started(&server).await;
}

/// What is signed for Twitter can never be the body of a callback.
#[tokio::test]
async fn twitter_asks_for_a_signature_of_its_token() {
    let (server, url) = server("{ scheme: twitter, secret: S }").await;
    for wrong in ["", "%7B%22id%22%3A1%7D", "a%20b", &"a".repeat(300)] {
        let refused = server.call(Method::GET, &format!("{url}?crc_token={wrong}")).send().await.unwrap();
        assert_eq!(refused.status().as_u16(), 400, "{wrong}");
    }
    let answered = server.call(Method::GET, &format!("{url}?crc_token=9b4507b3-9040")).send().await.unwrap();
    // Made with Python's hmac.
    assert_eq!(answered.json::<Value>().await.unwrap(), json!({ "response_token": CRC }));
    nothing_started(&server).await;
}

const CRC: &str = "sha256=VGDsxgD7GJdricnU+qpybz8oHgJl/9hm4p4BBpu5L+Y=";

#[tokio::test]
async fn microsoft_graph_wants_its_token_back() {
    let (server, url) = server("{ scheme: microsoft-graph, secret: S }").await;
    let answered =
        server.call(Method::POST, &format!("{url}?validationToken=Validation%3A%20a%2Bb")).send().await.unwrap();
    let record = server.callback(&answered).await;
    assert_eq!(text(answered).await, (200, "Validation: a+b".to_owned()));
    let replay = server.api(Method::POST, &format!("/v1/callbacks/{}/replay", record["id"].as_str().unwrap()));
    assert_eq!(replay.send().await.unwrap().status().as_u16(), 409, "it proved nothing: {record}");
    let control = server.call(Method::POST, &format!("{url}?validationToken=a%0D%0Ab")).send().await.unwrap();
    assert_eq!(control.status().as_u16(), 400);
    nothing_started(&server).await;
    let notified = server.post(&url, &json!({ "value": [{ "clientState": "hush", "resource": "me" }] })).await;
    assert_eq!(notified.status().as_u16(), 202);
}

#[tokio::test]
async fn cloud_events_ask_whether_they_may_come() {
    let (server, url) = server("{ scheme: cloudevents, origins: [eventgrid.azure.net] }").await;
    let ask = |origin: &str| {
        let request = server.call(Method::OPTIONS, &url).header("webhook-request-rate", "100");
        request.header("webhook-request-origin", origin).send()
    };
    for wrong in ["evil.example", "", "eventgrid.azure.net.evil.example"] {
        let refused = ask(wrong).await.unwrap();
        assert_eq!(
            (refused.status().as_u16(), refused.headers().get("webhook-allowed-origin")),
            (403, None),
            "{wrong}"
        );
    }
    let allowed = ask("eventgrid.azure.net").await.unwrap();
    assert_eq!(
        (allowed.status().as_u16(), &allowed.headers()["webhook-allowed-origin"]),
        (200, &"eventgrid.azure.net".parse().unwrap())
    );
    assert!(allowed.headers().contains_key("webhook-allowed-rate"));
    nothing_started(&server).await;
    assert_eq!(server.post(&url, &json!({})).await.status().as_u16(), 202);
    let (server, url) = self::server("none").await;
    assert_eq!(server.call(Method::OPTIONS, &url).send().await.unwrap().status().as_u16(), 405, "nobody else is asked");
}

//! Providers setting up a URL: their questions are answered, and nothing starts.

use crate::support::{BINARY, TestServer};
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
    let other = server.call(Method::OPTIONS, &url).send().await.unwrap();
    assert!(other.headers().get("webhook-allowed-origin").is_none(), "nobody else is asked");
}

fn signature(text: &str) -> String {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, b"hush"), text.as_bytes());
    tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Zoom signs its question; who does not gets nothing signed.
#[tokio::test]
async fn zoom_asks_for_a_signature_of_its_token() {
    let (server, url) = server("{ scheme: zoom, secret: S }").await;
    let time = seconds_now();
    let post = async |body: Value, secret_is_right: bool| {
        let body = body.to_string();
        let signed = signature(&format!("v0:{time}:{body}{}", if secret_is_right { "" } else { "x" }));
        let request = server.call(Method::POST, &url).header("x-zm-signature", format!("v0={signed}"));
        let request =
            request.header("x-zm-request-timestamp", time.to_string()).header("content-type", "application/json");
        request.body(body).send().await.unwrap()
    };
    let question = |token: &str| json!({ "event": "endpoint.url_validation", "payload": { "plainToken": token } });
    assert_eq!(post(question("abc"), false).await.status().as_u16(), 401);
    assert_eq!(post(question("{}"), true).await.status().as_u16(), 400, "nothing that could be a body is signed");
    let answered = post(question("qgg8vlvZRS6UYooatFL8Aw"), true).await;
    let expected = json!({
        "plainToken": "qgg8vlvZRS6UYooatFL8Aw", "encryptedToken": signature("qgg8vlvZRS6UYooatFL8Aw"),
    });
    assert_eq!((answered.status().as_u16(), answered.json::<Value>().await.unwrap()), (200, expected));
    nothing_started(&server).await;
    assert_eq!(post(json!({ "event": "meeting.started" }), true).await.status().as_u16(), 202);
}

#[tokio::test]
async fn questions_that_are_a_get_are_answered() {
    for (scheme, query, header, expected) in [
        ("dropbox", "?challenge=abc", None, Some(("abc", ""))),
        ("nylas", "?challenge=abc", None, Some(("abc", ""))),
        ("dropbox", "", None, None),
        ("worldline", "", Some(("x-gcs-webhooks-endpoint-verification", "abc")), Some(("abc", ""))),
        ("worldline", "", None, None),
        ("okta", "", Some(("x-okta-verification-challenge", "abc")), Some((r#"{"verification":"abc"}"#, ""))),
        ("adobe-sign", "", Some(("x-adobesign-clientid", "hush")), Some(("", "x-adobesign-clientid"))),
        ("adobe-sign", "", Some(("x-adobesign-clientid", "other")), None),
    ] {
        let (server, url) = server(&format!("{{ scheme: {scheme}, secret: S }}")).await;
        let mut request = server.call(Method::GET, &format!("{url}{query}"));
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        let answered = request.send().await.unwrap();
        let echoed = expected.and_then(|(_, name)| answered.headers().get(name).cloned());
        let (status, body) = text(answered).await;
        match expected {
            Some((expected, name)) => {
                assert_eq!((status, &*body), (200, expected), "{scheme}");
                assert_eq!(echoed.is_some(), !name.is_empty(), "{scheme}");
            }
            None => assert_eq!(status, 401, "{scheme}: {body}"),
        }
        nothing_started(&server).await;
    }
}

/// Xero asks whether wrong signatures are refused, and sends both kinds.
#[tokio::test]
async fn xero_asks_for_both_kinds_of_answers() {
    use base64::Engine;
    let (server, url) = server("{ scheme: xero, secret: S }").await;
    let post = async |body: &str, signed: &str| {
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, b"hush"), signed.as_bytes());
        let tag = base64::engine::general_purpose::STANDARD.encode(tag.as_ref());
        let request = server.call(Method::POST, &url).header("x-xero-signature", tag);
        text(request.header("content-type", "application/json").body(body.to_owned()).send().await.unwrap()).await
    };
    let intent = r#"{"events":[],"lastEventSequence":0,"firstEventSequence":0,"entropy":"S0m3r4nd0m"}"#;
    assert_eq!(post(intent, "other").await.0, 401);
    assert_eq!(post(intent, intent).await, (200, String::new()));
    nothing_started(&server).await;
    let event = r#"{"events":[{"resourceId":"1"}]}"#;
    assert_eq!(post(event, event).await.0, 202);
}

/// With `enforce: false` a callback counts whatever it proves, its record says why it would have been refused, and it can be asked for the
/// recipe. What was not proved cannot be replayed as if it had been.
#[tokio::test]
async fn what_is_not_enforced_is_recorded() {
    let (server, url) = server("{ scheme: attio, secret: S, enforce: false }").await;
    let post = async |body: &str, signed: Option<&str>| {
        let mut request = server.call(Method::POST, &url).header("content-type", "application/json");
        if let Some(signed) = signed {
            request = request.header("attio-signature", signature(signed));
        }
        request.body(body.to_owned()).send().await.unwrap()
    };
    for (body, signed, verdict, reason) in [
        ("{}", None, "unproved", "unverified: there is no attio-signature header"),
        ("{\"a\":1}", Some("{}"), "unproved", "unverified: attio-signature does not match the body"),
        ("{\"b\":1}", Some("{\"b\":1}"), "passed", "attio-signature matches"),
    ] {
        let answer = post(body, signed).await;
        assert_eq!(answer.status().as_u16(), 202, "{body}");
        let record = server.callback(&answer).await;
        let trace = record["trace"].as_array().unwrap();
        let entry = trace.iter().find(|entry| entry["stage"] == "verify").unwrap();
        assert_eq!(entry["verdict"], verdict, "{entry}");
        assert!(entry["reason"].as_str().unwrap().starts_with(reason), "{entry}");
        assert_eq!(record["body"], body);
        let replay = server.api(Method::POST, &format!("/v1/callbacks/{}/replay", record["id"].as_str().unwrap()));
        let expected = if verdict == "passed" { 200 } else { 409 };
        assert_eq!(replay.send().await.unwrap().status().as_u16(), expected, "{body}");
    }
    assert_eq!(server.get("/v1/executions").await["items"].as_array().unwrap().len(), 4);
    // A missing secret is no reason to refuse them either, and is said.
    let (server, url) = self::server("{ scheme: attio, secret: MISSING, enforce: false }").await;
    let answer = server.post(&url, &json!({})).await;
    assert_eq!(answer.status().as_u16(), 202);
    let record = server.callback(&answer).await;
    assert!(record["trace"].to_string().contains("unverified: there is no secret named MISSING"), "{record}");
}

/// What is signed for those who set up a URL is signed for nobody else.
#[tokio::test]
async fn what_is_not_enforced_signs_no_question() {
    let (server, url) = server("{ scheme: zoom, secret: S, enforce: false }").await;
    let question = json!({ "event": "endpoint.url_validation", "payload": { "plainToken": "abc" } });
    let answer = server.post(&url, &question).await;
    assert_eq!(answer.status().as_u16(), 202);
    assert!(!answer.text().await.unwrap().contains("encryptedToken"));
}

#[tokio::test]
async fn a_secret_of_another_form_is_refused_when_it_is_set_or_deployed() {
    let server = TestServer::start().await;
    let flow = |scheme: &str| {
        format!("flow: hook\nsteps:\n  - trigger: Hook\n    verify: {{ scheme: {scheme}, secret: KEY }}\n")
    };
    server.set_secret("KEY", "no key at all").await;
    for scheme in ["discord", "sendgrid", "clerk", "standard-webhooks", "airtable"] {
        let (status, body) = server.try_deploy(&flow(scheme)).await;
        assert_eq!(status.as_u16(), 422, "{scheme}: {body}");
        let said = body.to_string();
        assert!(said.contains("KEY cannot be the secret here") && !said.contains("no key at all"), "{scheme}: {said}");
    }
    let key = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
    server.set_secret("KEY", key).await;
    server.deploy(&flow("discord")).await;
    for wrong in ["", "ab", "no key at all"] {
        let set = server.api(Method::PUT, "/v1/secrets/KEY").json(&json!({ "value": wrong })).send().await.unwrap();
        let (status, said) = text(set).await;
        assert_eq!(status, 400, "{wrong}: {said}");
        assert!(wrong.is_empty() || said.contains("the trigger Hook of the flow hook verifies with KEY"), "{said}");
    }
    server.set_secret("KEY", &key.to_uppercase()).await;
    server.set_secret("OTHER", "no key at all").await;
}

/// From recorded callbacks to the block that explains them; the secret is in no answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_recipe_is_inferred_from_recorded_callbacks() {
    let (server, url) = server("none").await;
    server.set_secret("SHOP", "hush").await;
    let mut ids = Vec::new();
    for body in ["{\"a\":1}", "{\"a\":2}"] {
        let request = server.call(Method::POST, &url).header("x-shop-mac", format!("mac={}", signature(body)));
        let answer = request.header("content-type", "application/json").body(body).send().await.unwrap();
        ids.push(server.callback(&answer).await["id"].clone());
    }
    let infer = async |body: Value| {
        let answer = server.api(Method::POST, "/v1/verify/infer").json(&body).send().await.unwrap();
        let (status, said) = text(answer).await;
        assert!(!said.contains("hush"), "{said}");
        (status, serde_json::from_str::<Value>(&said).unwrap())
    };
    for (body, status) in [
        (json!({ "secret": "SHOP", "callbacks": [] }), 400),
        (json!({ "secret": "SHOP", "callbacks": vec![ids[0].clone(); 21] }), 400),
        (json!({ "secret": "SHOP", "callbacks": ["nothing"] }), 404),
        (json!({ "secret": "SHOP", "callbacks": ["0199c1c4-52b6-7e6c-8f5a-0d6c6f3f2a11"] }), 404),
        (json!({ "secret": "NOBODY", "callbacks": ids }), 404),
        (json!({ "secret": "SHOP", "callbacks": ids, "other": 1 }), 422),
    ] {
        assert_eq!(infer(body.clone()).await.0, status, "{body}");
    }
    let found = infer(json!({ "secret": "SHOP", "callbacks": ids })).await;
    let verify = "{ scheme: hmac, secret: SHOP, header: x-shop-mac, value: 'mac={signature}' }";
    assert_eq!(found, (200, json!({ "verify": verify, "providers": [], "is_confirmed": true, "words": [] })));
    let names: Vec<&str> = ids.iter().filter_map(Value::as_str).collect();
    let (said, code) = ringback(&server, &[&["verify", "infer", "--secret", "SHOP"], &names[..]].concat());
    assert_eq!((said.trim(), code), (&*format!("verify: {verify}"), Some(0)));
    let (said, code) = ringback(&server, &["verify", "infer", "--secret", "S", names[0]]);
    assert_eq!(
        (said.lines().next_back(), code),
        (Some("verify: { scheme: hmac, secret: S, header: x-shop-mac, value: 'mac={signature}' }"), Some(0))
    );
    let url = server.deploy(&format!("flow: shop\nsteps:\n  - trigger: T\n    verify: {verify}\n")).await;
    let request = server.call(Method::POST, &url).header("x-shop-mac", format!("mac={}", signature("{}")));
    assert_eq!(
        request.header("content-type", "application/json").body("{}").send().await.unwrap().status().as_u16(),
        202
    );
    let wrong = server.call(Method::POST, &url).header("x-shop-mac", "mac=00").body("{}").send().await.unwrap();
    assert_eq!(wrong.status().as_u16(), 401);
    // The record of what was refused has its headers, too.
    let refused = server.callback(&wrong).await["id"].clone();
    let found = infer(json!({ "secret": "S", "callbacks": [refused] })).await;
    assert_eq!((found.0, &found.1["verify"]), (200, &Value::Null), "{found:?}");
}

/// A certificate elsewhere is not asked for; one of SNS that cannot be had is 503, and never accepted.
#[tokio::test]
async fn a_message_of_sns_is_not_accepted_without_its_certificate() {
    let topic = "arn:aws:sns:us-east-2:123456789012:orders";
    let elsewhere = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    elsewhere.set_nonblocking(true).unwrap();
    let port = elsewhere.local_addr().unwrap().port();
    let here = format!("127.0.0.1:{port}");
    let server = TestServer::start_with(|config| config.http_private_hosts = vec![here]).await;
    let verify = format!("{{ scheme: sns, topics: ['{topic}'], confirm: true }}");
    let url = server.deploy(&format!("flow: hook\nsteps:\n  - trigger: Hook\n    verify: {verify}\n")).await;
    let message = |of: &str, certificate: &str, kind: &str| {
        json!({
            "Type": kind, "MessageId": "m-1", "TopicArn": of, "Message": "hello", "Timestamp": "2026-01-01T00:00:00.000Z",
            "SignatureVersion": "2", "Signature": "AAAA", "SigningCertURL": certificate, "Token": "t",
            "SubscribeURL": format!("https://127.0.0.1:{port}/?Action=ConfirmSubscription"),
        })
    };
    let at_sns = "https://sns.us-east-2.amazonaws.com/SimpleNotificationService-nothing.pem";
    for wrong in [
        message(topic, &format!("https://127.0.0.1:{port}/a.pem"), "Notification"),
        message(topic, &format!("http://127.0.0.1:{port}/a.pem"), "Notification"),
        message(topic, at_sns, "SubscriptionConfirmation"),
        message("arn:aws:sns:us-east-2:1:another", at_sns, "Notification"),
        json!({}),
    ] {
        assert_eq!(server.post(&url, &wrong).await.status().as_u16(), 401, "{wrong}");
    }
    assert!(elsewhere.accept().is_err(), "somebody was asked");
    let unknown = server.post(&url, &message(topic, at_sns, "Notification")).await;
    assert!([401, 503].contains(&unknown.status().as_u16()), "{}", unknown.status());
    nothing_started(&server).await;
}

/// SNS says of its JSON that it is text.
#[tokio::test]
async fn a_message_of_sns_is_json_whatever_it_says() {
    let server = TestServer::start().await;
    let message = json!({ "Type": "Notification", "Message": "hello" }).to_string();
    let verify = "{ scheme: sns, topics: ['arn:aws:sns:us-east-2:123456789012:orders'], enforce: false }";
    for (parse, status) in [("", 202), ("parse: json", 415)] {
        let flow = format!("flow: hook\nsteps:\n  - trigger: Hook\n    verify: {verify}\n    {parse}\n");
        let url = server.deploy(&flow).await;
        let sent = server.call(Method::POST, &url).header("content-type", "text/plain; charset=UTF-8");
        let answer = sent.body(message.clone()).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{parse}");
    }
}

/// Plaid signs by keys that it tells to its clients: each is asked for once.
#[tokio::test]
async fn plaid_is_asked_for_the_key_that_a_token_names() {
    use aws_lc_rs::digest::{SHA256, digest};
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use std::sync::{Arc, Mutex};
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let point = pair.public_key().as_ref();
    let [x, y] = [&point[1..33], &point[33..]].map(|half| URL_SAFE_NO_PAD.encode(half));
    let asked: Arc<Mutex<Vec<Value>>> = Arc::default();
    let answering = Arc::clone(&asked);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let plaid = listener.local_addr().unwrap().to_string();
    let answer = move |axum::Json(question): axum::Json<Value>| {
        let (id, right) =
            (question["key_id"].clone(), question["secret"] == "hush" && question["client_id"] == "agreed");
        answering.lock().unwrap().push(question);
        let known = right && id == "key-1";
        let key = json!({ "kid": id, "kty": "EC", "crv": "P-256", "alg": "ES256", "x": x, "y": y, "expired_at": null });
        let status = if known { 200 } else { 400 };
        async move { (axum::http::StatusCode::from_u16(status).unwrap(), axum::Json(json!({ "key": key }))) }
    };
    tokio::spawn(async move { axum::serve(listener, axum::Router::new().fallback(answer)).await });
    let here = plaid.clone();
    let server = TestServer::start_with(|config| config.http_private_hosts = vec![here]).await;
    server.set_secret("S", "hush").await;
    server.set_secret("C", "agreed").await;
    let verify = format!("{{ scheme: plaid, client_id: C, secret: S, url: 'http://{plaid}/' }}");
    let url = server.deploy(&format!("flow: hook\nsteps:\n  - trigger: Hook\n    verify: {verify}\n")).await;
    let hash = |body: &str| {
        let hash = digest(&SHA256, body.as_bytes());
        hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let token = |head: Value, claims: Value| {
        let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(head), part(claims));
        let signature = pair.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    };
    let head = || json!({ "alg": "ES256", "kid": "key-1", "typ": "JWT" });
    let claims = |body: &str| json!({ "iat": seconds_now(), "request_body_sha256": hash(body) });
    let post = async |token: &str, body: &str| {
        let request = server.call(Method::POST, &url).header("plaid-verification", token);
        let request = request.header("content-type", "application/json").body(body.to_owned());
        request.send().await.unwrap().status().as_u16()
    };
    let body = "{\"webhook_type\":\"ITEM\"}";
    let old = json!({ "iat": seconds_now() - 301, "request_body_sha256": hash(body) });
    for (token, expected) in [
        (String::new(), 401),
        ("a.b.c".to_owned(), 401),
        (token(json!({ "alg": "none", "kid": "key-1" }), claims(body)), 401),
        (token(json!({ "alg": "HS256", "kid": "key-1" }), claims(body)), 401),
        (token(json!({ "alg": "ES256" }), claims(body)), 401),
        (token(json!({ "alg": "ES256", "kid": "../other" }), claims(body)), 401),
    ] {
        assert_eq!(post(&token, body).await, expected, "{token}");
    }
    assert!(asked.lock().unwrap().is_empty(), "nobody is asked for what is no token");
    for (token, expected) in [
        (token(head(), claims(body)), 202),
        (token(head(), claims("{}")), 401),
        (token(head(), old), 401),
        (token(head(), json!({ "request_body_sha256": hash(body) })), 401),
        (token(head(), claims(body)) + "A", 401),
    ] {
        assert_eq!(post(&token, body).await, expected, "{token}");
    }
    assert_eq!(post(&token(head(), claims(body)), "{}").await, 401);
    assert_eq!(asked.lock().unwrap().len(), 1, "it was asked once");
    // A key that it does not know: it cannot be said who signed.
    assert_eq!(post(&token(json!({ "alg": "ES256", "kid": "key-2" }), claims(body)), body).await, 503);
}

/// What a command prints, on either output, and its exit code.
fn ringback(server: &TestServer, arguments: &[&str]) -> (String, Option<i32>) {
    let mut command = std::process::Command::new(BINARY);
    let command = command.args(arguments).env_clear().env("RINGBACK_SERVER", &server.admin);
    let output = command.env("RINGBACK_DATA", server.data()).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (String::from_utf8(said).unwrap(), output.status.code())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_catalogue_is_shown_by_the_command_line() {
    let server = TestServer::start().await;
    let (list, code) = ringback(&server, &["verify", "list"]);
    assert_eq!(code, Some(0), "{list}");
    for name in ["SCHEME", "zoom", "Zoom", "endpoint.url_validation", "HMAC-SHA256 of v0:{timestamp}:{body}"] {
        assert!(list.contains(name), "{name}");
    }
    let (json, _) = ringback(&server, &["--json", "verify", "list"]);
    let known: Value = serde_json::from_str(&json).unwrap();
    let known = known.as_array().unwrap();
    assert!(known.len() >= 60 && list.lines().count() == known.len() + 1, "{}", known.len());
    // What is shown can be deployed.
    for provider in known {
        let (name, verify) = (provider["name"].as_str().unwrap(), provider["verify"].as_str().unwrap());
        let flow = format!("flow: hook\nsteps:\n  - trigger: Hook\n    verify: {verify}\n");
        let (status, body) = server.try_deploy(&flow).await;
        assert!(status.is_success(), "{name}: {body}");
    }
    let (zoom, code) = ringback(&server, &["verify", "show", "zoom"]);
    assert_eq!(code, Some(0), "{zoom}");
    assert!(zoom.ends_with("\nverify: { scheme: zoom, secret: NAME }\n"), "{zoom}");
    for scheme in ["sns", "hmac", "none"] {
        let (own, code) = ringback(&server, &["verify", "show", scheme]);
        assert!(code == Some(1) && own.contains(&format!("{scheme} is no provider but a scheme")), "{own}");
    }
    let (unknown, code) = ringback(&server, &["verify", "show", "zom"]);
    assert!(code == Some(1) && unknown.contains("there is no provider zom (did you mean `zoom`?)"), "{unknown}");
}

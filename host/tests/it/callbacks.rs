//! What callers get: the refusals first.

use crate::support::{TestServer, github_signature};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const SIGNED: &str =
    "flow: signed\nsteps:\n  - trigger: Hook\n    verify: { scheme: github, secret: S }\n    when: data.n > 1\n";
const OPEN: &str = "flow: open\nsteps:\n  - trigger: Hook\n";

#[tokio::test]
async fn the_negative_ladder() {
    let server = TestServer::start().await;
    server.set_secret("S", "secret").await;
    let url = server.deploy(SIGNED).await;
    let body = br#"{"n": 2}"#;
    let good = github_signature("secret", body);
    let steps: [(&str, Option<String>, &[u8], StatusCode); 7] = [
        ("nothing", None, b"", StatusCode::UNAUTHORIZED),
        ("body only", None, body, StatusCode::UNAUTHORIZED),
        ("header only", Some(good.clone()), b"", StatusCode::UNAUTHORIZED),
        ("malformed header", Some("sha256".into()), body, StatusCode::UNAUTHORIZED),
        ("another secret", Some(github_signature("other", body)), body, StatusCode::UNAUTHORIZED),
        ("signed, but not JSON", Some(github_signature("secret", b"{")), b"{", StatusCode::BAD_REQUEST),
        ("genuine", Some(good), body, StatusCode::ACCEPTED),
    ];
    let mut refusals = Vec::new();
    for (step, signature, body, expected) in steps {
        let mut request =
            server.call(Method::POST, &url).header("content-type", "application/json").body(body.to_vec());
        if let Some(signature) = signature {
            request = request.header("x-hub-signature-256", signature);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), expected, "{step}");
        if expected == StatusCode::UNAUTHORIZED {
            let mut problem: Value = response.json().await.unwrap();
            problem.as_object_mut().unwrap().remove("callback");
            refusals.push(problem);
        }
    }
    assert!(refusals.windows(2).all(|pair| pair[0] == pair[1]), "a refusal tells why: {refusals:?}");
}

#[tokio::test]
async fn wrong_methods_urls_types_and_sizes_are_refused() {
    let server = TestServer::start().await;
    let url = server.deploy("flow: open\nsteps:\n  - trigger: Hook\n    methods: [POST]\n").await;
    let send = |method: Method, url: String, kind: &'static str, body: Vec<u8>| {
        server.call(method, &url).header("content-type", kind).body(body).send()
    };
    for method in [Method::GET, Method::TRACE, Method::PUT, Method::DELETE] {
        let response = send(method, url.clone(), "application/json", Vec::new()).await.unwrap();
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(response.headers()["allow"], "POST");
    }
    for path in ["", "/", "/h/", "/h/unknown", "/h/a/b", "/healthz", "/v1/flows", "/h/%2e%2e/x"] {
        let response =
            send(Method::POST, format!("{}{path}", server.public), "application/json", Vec::new()).await.unwrap();
        assert_eq!(response.status(), StatusCode::NOT_FOUND, "{path}");
    }
    let response = send(Method::POST, url.clone(), "text/plain", b"{}".to_vec()).await.unwrap();
    assert_eq!(response.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let response = send(Method::POST, url.clone(), "application/json", b"{\"a\":".to_vec()).await.unwrap();
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    let response = send(Method::POST, url.clone(), "application/json", vec![b' '; 64 * 1024 + 1]).await.unwrap();
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
    let request = server.call(Method::POST, &url).header("content-encoding", "compress").body("x");
    assert_eq!(request.send().await.unwrap().status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(server.post(&url, &json!({})).await.status(), StatusCode::ACCEPTED, "the next callback still works");
}

/// Whatever a trigger or a ticket refuses has an id, under which its record is.
#[tokio::test]
async fn a_refused_body_has_a_record_and_its_id() {
    let server = TestServer::start().await;
    let url = server.deploy(OPEN).await;
    let flow = server.ticket(&json!({ "handler": { "flow": "open" } })).await["url"].as_str().unwrap().to_owned();
    let stored = server.ticket(&json!({ "response": { "body": "here" } })).await["url"].as_str().unwrap().to_owned();
    let unknown = format!("{}/h/unknown", server.public);
    for url in [&url, &flow, &stored, &unknown] {
        let post = || server.call(Method::POST, url).header("content-type", "application/json");
        for (request, status, code) in [
            (post().body(vec![b' '; 64 * 1024 + 1]), 413, "body_too_large"),
            (post().header("content-encoding", "compress").body("x"), 415, "content_encoding"),
        ] {
            let refused = request.send().await.unwrap();
            assert_eq!(refused.headers()["connection"], "close", "{url}");
            if *url == unknown {
                assert_eq!(refused.status(), StatusCode::NOT_FOUND);
                assert!(!refused.headers().contains_key("ringback-callback"));
                continue;
            }
            assert_eq!(refused.status().as_u16(), status, "{url}");
            let record = server.callback(&refused).await;
            assert_eq!((&record["outcome"], &record["reply"]["status"]), (&json!("rejected"), &json!(status)));
            assert_eq!(record["trace"].as_array().unwrap().last().unwrap()["stage"], "face");
            let problem: Value = refused.json().await.unwrap();
            assert_eq!((&problem["code"], &problem["callback"]), (&json!(code), &record["id"]));
        }
    }
    assert_eq!(server.fetch(&stored).await.text().await.unwrap(), "here", "nothing has used it up");
    // A flow that is disabled is as one that is not there: it keeps no record, and names none.
    server.api(Method::POST, "/v1/flows/open/disable").send().await.unwrap();
    let names = |response: &reqwest::Response| {
        let mut names: Vec<String> = response.headers().keys().map(ToString::to_string).collect();
        names.sort();
        names
    };
    let (disabled, unknown) = (server.post(&flow, &json!({})).await, server.post(&unknown, &json!({})).await);
    assert_eq!((disabled.status(), names(&disabled)), (StatusCode::NOT_FOUND, names(&unknown)));
}

/// A-FR-15: no telling a disabled flow from an unknown URL.
#[tokio::test]
async fn a_disabled_flow_answers_like_an_unknown_url() {
    let server = TestServer::start().await;
    let url = server.deploy(OPEN).await;
    server.api(Method::POST, "/v1/flows/open/disable").send().await.unwrap();
    let disabled = server.post(&url, &json!({})).await;
    let unknown = server.post(&format!("{}/h/unknown", server.public), &json!({})).await;
    assert_eq!((disabled.status(), unknown.status()), (StatusCode::NOT_FOUND, StatusCode::NOT_FOUND));
    assert_eq!(disabled.bytes().await.unwrap(), unknown.bytes().await.unwrap());
    server.api(Method::POST, "/v1/flows/open/enable").send().await.unwrap();
    assert_eq!(server.post(&url, &json!({})).await.status(), StatusCode::ACCEPTED);
}

/// A-FR-10 for the native face; FR-44, FR-45.
#[tokio::test]
async fn a_callback_whose_condition_is_false_is_ignored() {
    let server = TestServer::start().await;
    server.set_secret("S", "secret").await;
    let url = server.deploy(SIGNED).await;
    let body = r#"{"n": 1}"#;
    let request = server.call(Method::POST, &url).header("content-type", "application/json").body(body);
    let response =
        request.header("x-hub-signature-256", github_signature("secret", body.as_bytes())).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
    assert_eq!(response.headers()["ringback-outcome"], "ignored");
    let record = server.callback(&response).await;
    assert_eq!(record["outcome"], "ignored");
    let decided = record["trace"].as_array().unwrap().last().unwrap().clone();
    assert_eq!((&decided["stage"], &decided["verdict"]), (&json!("condition"), &json!("ignored")));
    assert_eq!(decided["reason"], "`data.n > 1` is false");
    assert_eq!(server.get("/v1/executions").await["items"], json!([]));
}

/// FR-10, FR-11, FR-14, FR-17, FR-18, A-FR-3, A-PW-4.
#[tokio::test]
async fn a_get_gives_its_query_and_a_post_its_body() {
    let server = TestServer::start().await;
    let url = server.deploy(OPEN).await;
    let data = |answer: Value| {
        let server = &server;
        async move {
            let execution = server.ended(answer["execution"].as_str().unwrap()).await;
            execution["journal"][0]["data"].clone()
        }
    };
    let get = server.call(Method::GET, &format!("{url}?param1=value1&execution=x&a=1&a=2")).send().await.unwrap();
    assert_eq!(get.status(), StatusCode::ACCEPTED);
    let found = data(get.json().await.unwrap()).await;
    assert_eq!(found, json!({ "param1": "value1", "execution": "x", "a": ["1", "2"] }));
    let body = json!({ "data": [{ "name": "shampoo", "price": 9.95 }, { "name": "conditioner", "price": 8.99 }] });
    let post = server.post(&format!("{url}?execution=x"), &body).await;
    assert_eq!(data(post.json().await.unwrap()).await, body);
}

#[tokio::test]
async fn credentials_are_neither_stored_nor_shown() {
    let server = TestServer::start().await;
    let url = server.deploy(OPEN).await;
    let request = server.call(Method::POST, &url).json(&json!({})).header("authorization", "Bearer canary-1");
    let response = request.header("x-api-key", "canary-2").header("x-other", "kept").send().await.unwrap();
    let record = server.callback(&response).await.to_string();
    assert!(!record.contains("canary"), "{record}");
    assert!(record.contains("x-other"));
}

#[tokio::test]
async fn answers_do_not_leak_the_url_and_are_no_pages_of_ours() {
    let server = TestServer::start().await;
    let url = server.deploy(OPEN).await;
    let response = server.post(&url, &json!({})).await;
    assert_eq!(response.headers()["referrer-policy"], "no-referrer");
    assert_eq!(response.headers()["cache-control"], "no-store");
    assert_eq!(response.headers()["x-content-type-options"], "nosniff");
}

#[tokio::test]
async fn slow_and_broken_requests_end_and_the_next_one_works() {
    let server = TestServer::start().await;
    let url = server.deploy(OPEN).await;
    let address = server.public.trim_start_matches("http://").to_owned();
    let path = url.trim_start_matches(&server.public).to_owned();
    let exchange = |text: String| {
        let address = address.clone();
        async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(text.as_bytes()).await.unwrap();
            let mut answer = Vec::new();
            // The server's own limit of a second ends it.
            let ended = tokio::time::timeout(std::time::Duration::from_secs(20), stream.read_to_end(&mut answer)).await;
            assert!(ended.is_ok(), "the connection stayed open");
            String::from_utf8_lossy(&answer).into_owned()
        }
    };
    let never_ending_headers = exchange(format!("POST {path} HTTP/1.1\r\nhost: x\r\nx-a: b\r\n"));
    let late_body =
        exchange(format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\nconnection: close\r\n\r\n123"));
    let announced = exchange(format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999\r\n\r\n"));
    let chunks = "10000\r\n".to_owned() + &"x".repeat(0x10000) + "\r\n";
    let endless =
        exchange(format!("POST {path} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n{chunks}{chunks}"));
    let (_, late_body, announced, endless) = tokio::join!(never_ending_headers, late_body, announced, endless);
    assert!(late_body.starts_with("HTTP/1.1 408"), "{late_body}");
    assert!(announced.starts_with("HTTP/1.1 413"), "{announced}");
    assert!(endless.starts_with("HTTP/1.1 413"), "{endless}");
    assert_eq!(server.post(&url, &json!({})).await.status(), StatusCode::ACCEPTED);
}

#[tokio::test]
async fn templated_answers_are_built_before_anything_starts() {
    let server = TestServer::start().await;
    let url = server
        .deploy(
            "flow: receipts\nsteps:\n  - trigger: Hook\n    fields: { order: $.order.id }\n    reply:\n      status: 201\n      \
             headers: { X-Order: '${{ fields.order }}' }\n      json: { execution: '${{ execution.id }}', n: '${{ data.n + 1 }}' }\n",
        )
        .await;
    let broken = server.post(&url, &json!({ "order": { "id": 1 } })).await;
    assert_eq!(broken.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(server.callback(&broken).await["outcome"], "failed");
    assert_eq!(server.get("/v1/executions").await["items"], json!([]), "nothing was started");
    let splitting = server.post(&url, &json!({ "order": { "id": "a\r\nset-cookie: b" }, "n": 1 })).await;
    assert_eq!(splitting.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert!(splitting.headers().get("set-cookie").is_none());
    let response = server.post(&url, &json!({ "order": { "id": "o-7" }, "n": 1 })).await;
    assert_eq!((response.status(), response.headers()["x-order"].to_str().unwrap()), (StatusCode::CREATED, "o-7"));
    let record = server.callback(&response).await;
    let body: Value = response.json().await.unwrap();
    assert_eq!((&body["n"], &body["execution"]), (&json!(2), &record["execution"]));
}

async fn data_of(server: &TestServer, request: reqwest::RequestBuilder) -> Value {
    let answer = request.send().await.unwrap();
    assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
    let started: Value = answer.json().await.unwrap();
    server.ended(started["execution"].as_str().unwrap()).await["journal"][0]["data"].clone()
}

/// GitHub, Bitbucket and Slack send a form with JSON in it, and sign the form.
#[tokio::test]
async fn w1_a_field_of_a_form_may_hold_json() {
    let server = TestServer::start().await;
    server.set_secret("S", "k").await;
    let (_, wrong) =
        server.try_deploy("flow: f\nsteps:\n  - trigger: T\n    parse: { form: { json: payload } }\n").await;
    assert!(wrong.to_string().contains("a list of the fields that hold JSON"), "{wrong}");
    let source = "flow: f\nsteps:\n  - trigger: T\n    verify: { scheme: github, secret: S }\n    parse: { form: { json: [payload, more] } }\n    when: data.payload.action == \"opened\"\n";
    let url = server.deploy(source).await;
    let form = |body: &str| {
        let request = server.call(Method::POST, &url).header("content-type", "application/x-www-form-urlencoded");
        request.header("x-hub-signature-256", github_signature("k", body.as_bytes())).body(body.to_owned())
    };
    for (body, status) in [("payload=%7B", 400), ("payload=", 400), ("payload=%7B%22a%22%3A1%2C%22a%22%3A2%7D", 400)] {
        assert_eq!(form(body).send().await.unwrap().status().as_u16(), status, "{body}");
    }
    let data = data_of(&server, form("payload=%7B%22action%22%3A%22opened%22%2C+%22n%22%3A+1.50%7D&a=%7B%7D")).await;
    assert_eq!(data.to_string(), r#"{"payload":{"action":"opened","n":1.50},"a":"{}"}"#);
}

/// Amazon's SNS sends JSON as text.
#[tokio::test]
async fn w3_json_is_taken_for_json_whatever_it_is_called() {
    let server = TestServer::start().await;
    let flow = |parse: &str| format!("flow: f\nsteps:\n  - trigger: T\n    parse: {parse}\n");
    let (_, wrong) = server.try_deploy(&flow("{ json: { any_type: yes please } }")).await;
    assert!(wrong.to_string().contains("true or false"), "{wrong}");
    let text = |url: &str, kind: &str, body: &str| {
        server.call(Method::POST, url).header("content-type", kind.to_owned()).body(body.to_owned())
    };
    let url = server.deploy(&flow("json")).await;
    assert_eq!(text(&url, "text/plain", "{}").send().await.unwrap().status().as_u16(), 415);
    let url = server.deploy(&flow("{ json: { any_type: true } }")).await;
    assert_eq!(text(&url, "text/plain", "{").send().await.unwrap().status().as_u16(), 400);
    for kind in ["text/plain; charset=UTF-8", "application/octet-stream", "application/x-www-form-urlencoded"] {
        assert_eq!(data_of(&server, text(&url, kind, "[1, 2]")).await, json!([1, 2]), "{kind}");
    }
    let url = server.deploy(&flow("auto")).await;
    for (body, expected) in [
        ("{\"Type\": \"Notification\"}", json!({ "Type": "Notification" })),
        (" [1]\n", json!([1])),
        ("{not json}", json!("{not json}")),
        ("123", json!("123")),
        ("true", json!("true")),
        ("", json!("")),
    ] {
        assert_eq!(data_of(&server, text(&url, "text/plain", body)).await, expected, "{body}");
    }
    for (body, remark) in [
        (r#"{"a": 1, "a": 2}"#, Some("the name \"a\" is there twice at line 1")),
        ("[1, 2", Some("they are not JSON")),
        ("hello {", None),
    ] {
        let answered = text(&url, "text/plain", body).send().await.unwrap();
        let record = server.callback(&answered).await;
        let stage = record["trace"].as_array().unwrap().iter().find(|entry| entry["stage"] == "parse").unwrap();
        let reason = stage["reason"].as_str().unwrap();
        assert_eq!(reason.contains("bytes became data, as text, since"), remark.is_some(), "{reason}");
        assert!(reason.contains(remark.unwrap_or_default()), "{reason}");
    }
}

/// RFC 8259 lets a reader leave it out; what is signed is what was sent.
#[tokio::test]
async fn w5_a_byte_order_mark_before_json_is_left_out() {
    let server = TestServer::start().await;
    server.set_secret("S", "k").await;
    let url = server.deploy("flow: f\nsteps:\n  - trigger: T\n    verify: { scheme: github, secret: S }\n").await;
    let post = |signed: &str, body: &str| {
        let request = server.call(Method::POST, &url).header("content-type", "application/json");
        request.header("x-hub-signature-256", github_signature("k", signed.as_bytes())).body(body.to_owned())
    };
    let marked = "\u{feff}{\"a\": 1}";
    assert_eq!(post("{\"a\": 1}", marked).send().await.unwrap().status().as_u16(), 401);
    assert_eq!(post("\u{feff}", "\u{feff}").send().await.unwrap().status().as_u16(), 400);
    assert_eq!(data_of(&server, post(marked, marked)).await, json!({ "a": 1 }));
}

/// A slash at the end of a URL changes nothing, at every face and for tickets.
#[tokio::test]
async fn w7_a_slash_at_the_end_leads_to_the_same() {
    let server = TestServer::start().await;
    let source =
        "flow: f\nsteps:\n  - trigger: T\n    face: [native, flowrunner, nocobase, patchworks]\n    mode: async\n";
    let (status, flow) = server.try_deploy(source).await;
    assert!(status.is_success(), "{flow}");
    let urls: Vec<String> = flow["triggers"][0]["urls"]["default"]
        .as_object()
        .unwrap()
        .values()
        .map(|url| url.as_str().unwrap().to_owned())
        .collect();
    assert_eq!(urls.len(), 4);
    let ticket = |request: Value| {
        let server = &server;
        async move { server.ticket(&request).await["url"].as_str().unwrap().to_owned() }
    };
    let in_path = ticket(json!({ "response": { "body": "a" }, "allow_multiple": true })).await;
    let in_query = ticket(json!({ "response": { "body": "a" }, "allow_multiple": true, "state_parameter": "s" })).await;
    for url in urls.into_iter().chain([in_path, in_query]) {
        let (path, query) = url.split_once('?').unwrap_or((&url, ""));
        let with = |slash: &str| server.call(Method::POST, &format!("{path}{slash}?{query}")).json(&json!({})).send();
        let (without, with_slash, twice) =
            (with("").await.unwrap(), with("/").await.unwrap(), with("//").await.unwrap());
        assert!(without.status().is_success(), "{url}");
        assert_eq!(with_slash.status(), without.status(), "{url}");
        assert_eq!(twice.status(), StatusCode::NOT_FOUND, "{url}");
    }
}

/// What a plugin logs that makes an answer is found where the answer is.
#[tokio::test]
async fn what_a_responder_logs_is_kept() {
    let server = TestServer::start().await.with_plugins(&["misbehave"]).await;
    let with = "{ plugin: misbehave, with: { log: [2, 8] } }";
    for mode in ["sync", "async"] {
        let source = format!("flow: {mode}\nsteps:\n  - trigger: Hook\n    mode: {mode}\n    reply: {with}\n");
        let url = server.deploy(&source).await;
        let answer = server.post(&url, &json!({})).await;
        assert_eq!(answer.status(), StatusCode::OK);
        let id = answer.headers()["ringback-callback"].to_str().unwrap();
        let logs = |record: &Value| {
            let of_reply = |entry: &&Value| entry["stage"] == "respond";
            let entry = record["trace"].as_array().unwrap().iter().find(of_reply);
            entry.map(|entry| entry["plugins"][0]["log"].as_array().unwrap().len())
        };
        let record = server.eventually(&format!("/v1/callbacks/{id}"), |record| logs(record).is_some()).await;
        assert!(logs(&record).unwrap() >= 2, "{record:#}");
    }
    let source = format!("flow: step\nsteps:\n  - trigger: Hook\n    mode: sync\n  - respond: {with}\n");
    let answer = server.post(&server.deploy(&source).await, &json!({})).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let execution = server.callback(&answer).await["execution"].as_str().unwrap().to_owned();
    let run = server.ended(&execution).await;
    let line = run["journal"].as_array().unwrap().iter().find(|entry| entry["kind"] == "responded").unwrap();
    assert!(line["log"].as_array().is_some_and(|log| log.len() >= 2), "{line}");
}

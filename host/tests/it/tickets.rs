//! Tickets: how often they can be called, by whom, and what they may answer.

use crate::process::Server;
use crate::support::{BINARY, Sink, TestServer};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::time::Duration;

/// A handler that does what it is told: fails, answers with a status, or asks a slow service first.
const OBEDIENT: &str = "flow: obedient
steps:
  - trigger: Call
    face: grexx
    fields: { fail: { body: fail }, code: { body: code }, slow: { body: slow } }
  - if: has(fields.slow)
    then:
      - http: { url: '${{ fields.slow }}' }
  - if: has(fields.fail)
    then:
      - fail: it was told to
  - if: has(fields.code)
    then:
      - set: { responseCode: '${{ fields.code }}' }
  - set: { responseBody: done }
";

fn obedient(retryable: bool, allow_multiple: bool) -> Value {
    json!({ "handler": { "flow": "obedient" }, "retryable": retryable, "allow_multiple": allow_multiple })
}

fn path(ticket: &Value) -> String {
    format!("/v1/tickets/{}", ticket["id"].as_str().unwrap())
}

impl TestServer {
    /// Calls a ticket: the status of the answer.
    async fn call_ticket(&self, ticket: &Value, body: &Value) -> u16 {
        self.post(ticket["url"].as_str().unwrap(), body).await.status().as_u16()
    }

    async fn status_of(&self, ticket: &Value) -> String {
        self.get(&path(ticket)).await["status"].as_str().unwrap().to_owned()
    }
}

/// GX-21, GX-22, GX-23, GX-24, GX-34, GX-35, A-GX-1, A-GX-2, A-GX-4, A-GX-10: after which calls a ticket is closed.
#[tokio::test]
async fn a_ticket_is_closed_as_its_lifetime_says() {
    let server = TestServer::start().await;
    server.try_deploy(OBEDIENT).await;
    let (fails, refuses, works) = (json!({ "fail": true }), json!({ "code": 422 }), json!({}));
    let defaults = server.ticket(&json!({ "handler": { "flow": "obedient" } })).await;
    assert_eq!((&defaults["retryable"], &defaults["allow_multiple"]), (&json!(false), &json!(false)));
    for (call, status) in [(&fails, 500), (&refuses, 422), (&works, 200)] {
        let once = server.ticket(&obedient(false, false)).await;
        assert_eq!(server.call_ticket(&once, call).await, status);
        assert_eq!(server.status_of(&once).await, "closed");
        assert_eq!(server.call_ticket(&once, &works).await, 410, "always after one call");
    }
    let retryable = server.ticket(&obedient(true, false)).await;
    for (call, status) in [(&fails, 500), (&refuses, 422), (&fails, 500), (&works, 200), (&works, 410), (&fails, 410)] {
        assert_eq!(server.call_ticket(&retryable, call).await, status, "{call}");
    }
    for retryable in [false, true] {
        let many = server.ticket(&obedient(retryable, true)).await;
        for (call, status) in [(&works, 200), (&fails, 500), (&refuses, 422), (&works, 200)] {
            assert_eq!(server.call_ticket(&many, call).await, status, "{call}");
        }
        assert_eq!(server.status_of(&many).await, "open");
    }
    let refused = server.post(defaults["url"].as_str().unwrap(), &works).await;
    assert_eq!(refused.status(), StatusCode::OK);
    let refused = server.post(defaults["url"].as_str().unwrap(), &works).await;
    let record = server.callback(&refused).await;
    assert_eq!((&record["outcome"], &record["ticket"]), (&json!("rejected"), &defaults["id"]));
    assert!(record["trace"][0]["reason"].as_str().unwrap().contains("was used up by the callback"), "{record}");
    assert_eq!(refused.json::<Value>().await.unwrap()["code"], "ticket_closed");
}

/// A-GX-1: incorrect data is an unsuccessful call; a caller who is not accepted does not count at all.
#[tokio::test]
async fn who_is_not_accepted_does_not_use_a_ticket_up() {
    let server = TestServer::start().await;
    server.set_secret("PASSWORD", "right").await;
    let flow = "flow: guarded
steps:
  - trigger: Call
    face: grexx
    methods: [POST]
    limit: { calls: 3, per: 1h }
    auth: { basic: { username: grexx, password: PASSWORD } }
    fields: { n: { body: n } }
  - set: { responseBody: 'n is ${{ fields.n }}' }
";
    server.try_deploy(flow).await;
    let ticket = server.ticket(&json!({ "handler": { "flow": "guarded" } })).await;
    let url = ticket["url"].as_str().unwrap();
    let post = || server.call(Method::POST, url).header("content-type", "application/json");
    assert_eq!(server.fetch(url).await.status(), StatusCode::METHOD_NOT_ALLOWED);
    for password in ["wrong", ""] {
        let refused = post().basic_auth("grexx", Some(password)).body("{}").send().await.unwrap();
        assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    }
    assert_eq!(server.status_of(&ticket).await, "open");
    let answered = post().basic_auth("grexx", Some("right")).body("{\"n\":1}").send().await.unwrap();
    assert_eq!((answered.status(), answered.text().await.unwrap()), (StatusCode::OK, "n is 1".to_owned()));
    let broken = server.ticket(&json!({ "handler": { "flow": "guarded" } })).await;
    let post = |body: &'static str| {
        let request = server.call(Method::POST, broken["url"].as_str().unwrap()).basic_auth("grexx", Some("right"));
        request.header("content-type", "application/json").body(body).send()
    };
    assert_eq!(post("{broken").await.unwrap().status(), StatusCode::BAD_REQUEST);
    assert_eq!(server.status_of(&broken).await, "closed", "incorrect data uses it up");
    let last = server.ticket(&json!({ "handler": { "flow": "guarded" } })).await;
    let request = server.call(Method::POST, last["url"].as_str().unwrap()).basic_auth("grexx", Some("right"));
    assert_eq!(request.body("{}").send().await.unwrap().status(), StatusCode::OK);
    let late = server.ticket(&json!({ "handler": { "flow": "guarded" } })).await;
    let request = server.call(Method::POST, late["url"].as_str().unwrap()).basic_auth("grexx", Some("right"));
    assert_eq!(request.body("{}").send().await.unwrap().status(), StatusCode::TOO_MANY_REQUESTS);
    server.api(Method::POST, "/v1/flows/guarded/disable").send().await.unwrap();
    assert_eq!(server.call_ticket(&late, &json!({})).await, 404);
    assert_eq!(server.status_of(&late).await, "open");
}

/// A-GX-5: of many calls at the same time, one wins, in every lifetime and with every kind of handler.
#[tokio::test]
async fn of_calls_at_the_same_time_one_wins() {
    let server = TestServer::start().await.with_plugins(&["template-reply"]).await;
    server.try_deploy(OBEDIENT).await;
    let url = server.deploy("flow: wait\nsteps:\n  - trigger: Start\n  - trigger: Go\n    face: grexx\n").await;
    let with = json!({ "template": "one" });
    for round in 0..5 {
        let started: Value = server.post(&url, &json!({})).await.json().await.unwrap();
        for handler in [
            Value::Null,
            json!({ "flow": "obedient" }),
            json!({ "plugin": "template-reply", "with": with }),
            json!({ "execution": started["execution"], "trigger": "go" }),
        ] {
            let retryable = round % 2 == 1;
            let request = json!({ "handler": handler, "response": { "body": "one" }, "retryable": retryable });
            let ticket = server.ticket(&request).await;
            let body = json!({});
            let calls = (0..16).map(|_| server.call_ticket(&ticket, &body));
            let mut answers = futures_util::future::join_all(calls).await;
            answers.sort_unstable();
            assert_eq!(answers, [[200].as_slice(), &[410; 15]].concat(), "{request}");
        }
    }
    let executions = server.get("/v1/executions?flow=obedient").await;
    assert_eq!(executions["items"].as_array().unwrap().len(), 5);
}

/// A call that comes while another is under way waits for what becomes of that one.
#[tokio::test]
async fn a_retryable_ticket_waits_for_the_call_under_way() {
    let sink = Sink::start().await;
    let server = TestServer::start_with(|config| config.http_private_hosts = vec![sink.host()]).await;
    server.try_deploy(OBEDIENT).await;
    sink.answer("/slow", &[(200, Duration::from_millis(700)); 2]);
    let slow = format!("{}/slow", sink.url);
    for (first, statuses) in
        [(json!({ "slow": slow, "fail": true }), (500, 200)), (json!({ "slow": slow }), (200, 410))]
    {
        let ticket = server.ticket(&obedient(true, false)).await;
        let later = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            assert_eq!(server.status_of(&ticket).await, "called");
            server.call_ticket(&ticket, &json!({})).await
        };
        assert_eq!(tokio::join!(server.call_ticket(&ticket, &first), later), statuses, "{first}");
        assert_eq!(server.status_of(&ticket).await, "closed");
    }
}

/// What an execution decides about a call is known although the server was killed in the middle of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_decided_after_a_kill() {
    let directory = tempfile::tempdir().unwrap();
    let sink = Sink::start().await;
    sink.answer("/slow", &[(200, Duration::from_millis(700)); 4]);
    let slow = format!("{}/slow", sink.url);
    let server = Server::new(&directory.path().join("data"));
    let server = server.with("RINGBACK_HTTP_PRIVATE_HOSTS", format!("[\"{}\"]", sink.host()));
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    for (first, then) in [(json!({ "slow": slow, "fail": true }), 200), (json!({ "slow": slow }), 410)] {
        let mut process = server.start();
        let token = std::fs::read_to_string(server.data().join("admin-token")).unwrap();
        let api =
            |method: Method, path: &str| client.request(method, format!("{}{path}", process.admin)).bearer_auth(&token);
        assert!(api(Method::PUT, "/v1/flows/obedient").body(OBEDIENT).send().await.unwrap().status().is_success());
        let made = api(Method::POST, "/v1/tickets").json(&obedient(true, false)).send().await.unwrap();
        let path = format!("/cb/{}", made.json::<Value>().await.unwrap()["state"].as_str().unwrap());
        let call = |public: &str| client.post(format!("{public}{path}"));
        let hasty = call(&process.public).json(&first).timeout(Duration::from_millis(300));
        assert!(hasty.send().await.is_err(), "it is under way");
        process.kill();
        let process = server.start();
        let answered = call(&process.public).json(&json!({})).send().await.unwrap();
        assert_eq!(answered.status().as_u16(), then, "{first}");
    }
}

/// GX-25, GX-38, A-GX-4: closed by hand, it is gone; what is not there cannot be closed.
#[tokio::test]
async fn a_ticket_can_be_closed_by_hand() {
    let server = TestServer::start().await;
    let close = |id: String| server.api(Method::DELETE, &format!("/v1/tickets/{id}")).send();
    for missing in ["x".to_owned(), "0199aaaa-0000-7000-8000-000000000000".to_owned()] {
        assert_eq!(close(missing).await.unwrap().status(), StatusCode::NOT_FOUND);
    }
    let ticket = server.ticket(&json!({ "response": {}, "allow_multiple": true })).await;
    let id = ticket["id"].as_str().unwrap().to_owned();
    assert_eq!(server.call_ticket(&ticket, &json!({})).await, 200);
    for _ in 0..2 {
        assert_eq!(close(id.clone()).await.unwrap().status(), StatusCode::NO_CONTENT);
        assert_eq!(server.call_ticket(&ticket, &json!({})).await, 410);
    }
    let closed = server.get("/v1/tickets?status=closed").await;
    assert_eq!((&closed["items"][0]["id"], closed["items"][0]["closed_at"].is_string()), (&ticket["id"], true));
    assert_eq!(server.get("/v1/tickets?status=open").await["items"], json!([]));
    let wrong = server.api(Method::GET, "/v1/tickets?status=lost").send().await.unwrap();
    assert_eq!(wrong.status(), StatusCode::BAD_REQUEST);
}

/// A-GX-12, A-GX-4: a ticket expires when it says so, and not else.
#[tokio::test]
async fn a_ticket_expires_when_it_says_so() {
    let server = TestServer::start().await;
    let (status, problem) = server.try_ticket(&json!({ "response": {}, "expires_in": "soon" })).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
    let (_, problem) = server.try_ticket(&json!({ "response": {}, "expires_in": "2240914485022h" })).await;
    assert!(problem["detail"].as_str().unwrap().contains("at most 6 digits"), "{problem}");
    let short = server.ticket(&json!({ "response": {}, "allow_multiple": true, "expires_in": "1s" })).await;
    let long = server.ticket(&json!({ "response": {}, "allow_multiple": true })).await;
    assert!(long.get("expires_at").is_none());
    assert_eq!(server.call_ticket(&short, &json!({})).await, 200);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let refused = server.post(short["url"].as_str().unwrap(), &json!({})).await;
    assert_eq!(refused.status(), StatusCode::GONE);
    assert_eq!(refused.json::<Value>().await.unwrap()["code"], "ticket_expired");
    assert_eq!(server.status_of(&short).await, "expired");
    assert_eq!(server.call_ticket(&long, &json!({})).await, 200);
}

/// GX-29, A-GX-3, A-GX-13: where a caller may be sent, and with which status.
#[tokio::test]
async fn callers_are_sent_to_allowed_places_alone() {
    let origins = vec!["https://shop.example".to_owned()];
    let server = TestServer::start_with(|config| config.allow_redirects(origins).unwrap()).await;
    let redirect = |target: &str| json!({ "response": { "type": "redirect", "redirect_url": target } });
    for wrong in [
        "//evil.example",
        "https://evil.example/",
        "https://shop.example@evil.example/",
        "javascript:alert(1)",
        "page",
        "/\\evil.example",
        "/a\r\nx: y",
    ] {
        let (status, problem) = server.try_ticket(&redirect(wrong)).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{wrong}: {problem}");
    }
    let (_, problem) = server.try_ticket(&json!({ "response": { "type": "redirect" } })).await;
    assert!(problem["detail"].as_str().unwrap().contains("a redirect needs `redirect_url`"), "{problem}");
    let (_, problem) = server.try_ticket(&redirect("https://evil.example/")).await;
    assert!(problem["detail"].as_str().unwrap().contains("`redirect_origins`"), "{problem}");
    for (target, method, code, expected) in [
        ("/page/thankyou", Method::GET, None, 302),
        ("/case/1:142:432", Method::POST, None, 303),
        ("https://shop.example/order?id=1#a", Method::PUT, None, 303),
        ("https://shop.example", Method::PATCH, Some(200), 303),
        ("/page/thankyou", Method::DELETE, Some(307), 307),
        ("/page/thankyou", Method::GET, Some(301), 301),
    ] {
        let ticket =
            server.ticket(&json!({ "response": { "type": "redirect", "redirect_url": target, "code": code } })).await;
        let answered = server.call(method, ticket["url"].as_str().unwrap()).send().await.unwrap();
        assert_eq!((answered.status().as_u16(), answered.headers()["location"].to_str().unwrap()), (expected, target));
    }
    let flow = "flow: back\nsteps:\n  - trigger: Call\n    face: grexx\n  - set: { responseType: redirect, responseRedirectUrl: '${{ data.requestQuery.to }}' }\n";
    server.try_deploy(flow).await;
    let ticket = json!({ "handler": { "flow": "back" }, "retryable": true });
    let ticket = server.ticket(&ticket).await;
    for (to, expected) in [
        ("//evil.example", 502),
        ("https%3A%2F%2Fevil.example", 502),
        ("https%3A%2F%2Fshop.example%2Fa", 302),
        ("/a", 410),
    ] {
        let answered = server.fetch(&format!("{}?to={to}", ticket["url"].as_str().unwrap())).await;
        assert_eq!(answered.status().as_u16(), expected, "{to}");
    }
    let no_url = "flow: back\nsteps:\n  - trigger: Call\n    face: grexx\n  - set: { responseType: redirect }\n";
    server.try_deploy(no_url).await;
    let ticket = server.ticket(&json!({ "handler": { "flow": "back" } })).await;
    let answered = server.fetch(ticket["url"].as_str().unwrap()).await;
    assert_eq!(answered.status(), StatusCode::INTERNAL_SERVER_ERROR, "A-GX-10");
    assert_eq!(answered.json::<Value>().await.unwrap()["code"], "redirect_missing");
}

/// A GET of a ticket that asks for a click changes nothing, however often a scanner follows the link.
#[tokio::test]
async fn a_scanner_does_not_use_up_a_ticket_that_asks() {
    let server = TestServer::start().await;
    server.try_deploy(OBEDIENT).await;
    let ticket = server.ticket(&json!({ "handler": { "flow": "obedient" }, "confirm": true })).await;
    let url = ticket["url"].as_str().unwrap();
    for _ in 0..3 {
        let page = server.fetch(url).await;
        let record = server.callback(&page).await;
        assert_eq!((page.status(), &record["outcome"]), (StatusCode::OK, &json!("ignored")));
        let headers = page.headers().clone();
        assert_eq!(headers["content-type"], "text/html; charset=utf-8");
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
        assert!(page.text().await.unwrap().contains("<form method=\"post\">"));
    }
    assert_eq!(server.call(Method::HEAD, url).send().await.unwrap().status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(server.status_of(&ticket).await, "open");
    assert_eq!(server.call_ticket(&ticket, &json!({})).await, 200);
    assert_eq!(server.fetch(url).await.status(), StatusCode::GONE, "the page is not shown for nothing");
}

/// What a request for a ticket gets wrong is said, and nothing is made.
#[tokio::test]
async fn a_wrong_ticket_is_refused() {
    let server = TestServer::start().await;
    for (request, expected) in [
        (json!({}), "give a `handler`, a `response`, or both"),
        (json!({ "response": {}, "state_parameter": "a b" }), "cannot name the state parameter"),
        (json!({ "response": { "code": 99 } }), "the status must be 200 to 599"),
        (json!({ "response": { "code": 204, "body": "x" } }), "has no body"),
        (json!({ "response": { "headers": { "set-cookie": "a=b" } } }), "is the host's to set"),
        (json!({ "response": { "headers": { "content-security-policy": "x" } } }), "is the host's to set"),
        (json!({ "response": {}, "environment": "nope" }), "there is no environment nope"),
        (json!({ "response": {}, "handler": { "with": {} } }), "a handler is either"),
    ] {
        let (status, problem) = server.try_ticket(&request).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{request}");
        assert!(problem["detail"].as_str().unwrap().contains(expected), "{problem}");
    }
    let (status, problem) = server.try_ticket(&json!({ "response": {}, "retriable": true })).await;
    assert!(status.is_client_error() && problem["detail"].as_str().unwrap().contains("retriable"), "{problem}");
    assert_eq!(server.get("/v1/tickets").await["items"], json!([]));
    let steps = |ticket: &str| format!("flow: f\nsteps:\n  - trigger: T\n  - ticket: {ticket}\n  - trigger: Later\n");
    for (ticket, expected) in [
        ("{ handler: { trigger: T } }", "no trigger `T` comes after this step; those that do: later"),
        ("{ handler: { trigger: Later, flow: f } }", "exactly one of flow, trigger, plugin"),
        ("{ handler: { flow: f, with: {} } }", "`with` is for a `plugin`"),
        ("{ handler: { plugin: nope } }", "there is no plugin `nope`"),
        ("{ respons: {} }", "did you mean `response`"),
        ("{ response: { code: many } }", "expected a status from 200 to 599, found the text"),
    ] {
        let (status, problem) = server.try_deploy(&steps(ticket)).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{ticket}");
        assert!(problem["detail"].as_str().unwrap().contains(expected), "{problem}");
    }
    let failing = "flow: f\nsteps:\n  - trigger: T\n    mode: sync\n  - ticket: { response: { type: redirect, redirect_url: '${{ data.to }}' } }\n";
    let url = server.deploy(failing).await;
    let answered = server.post(&url, &json!({ "to": "https://evil.example" })).await;
    let record = server.callback(&answered).await;
    let execution = server.ended(record["execution"].as_str().unwrap()).await;
    assert_eq!(execution["error"]["code"], "ticket_refused");
    assert!(execution["error"]["message"].as_str().unwrap().contains("redirect_origins"), "{execution}");
}

/// A ticket whose execution has gone on answers as a used one; one that waits for its execution keeps the call.
#[tokio::test]
async fn a_ticket_lives_with_its_execution() {
    let server = TestServer::start().await;
    let flow = "flow: wait\nsteps:\n  - trigger: Start\n  - delay: 500ms\n  - trigger: Go\n    face: grexx\n  - set: { went: '${{ data.requestBody }}' }\n";
    let url = server.deploy(flow).await;
    let start = async || server.post(&url, &json!({})).await.json::<Value>().await.unwrap()["execution"].clone();
    let execution = start().await;
    let request = json!({ "handler": { "execution": execution, "trigger": "go" }, "response": { "body": "thanks" }, "retryable": true });
    let (early, late) = (server.ticket(&request).await, server.ticket(&request).await);
    let answered = server.call(Method::POST, early["url"].as_str().unwrap()).body("early").send().await.unwrap();
    let record = server.callback(&answered).await;
    assert_eq!((record["outcome"].as_str().unwrap(), answered.text().await.unwrap().as_str()), ("kept", "thanks"));
    assert_eq!(server.status_of(&early).await, "closed");
    let ended = server.ended(execution.as_str().unwrap()).await;
    assert!(ended["journal"].to_string().contains(r#"{"went":"early"}"#), "{ended}");
    assert_eq!(server.call_ticket(&late, &json!({})).await, 410);
    assert_eq!(server.status_of(&late).await, "closed", "there is no use in trying again");
    let replayed = server.api(Method::POST, &format!("/v1/callbacks/{}/replay", record["id"].as_str().unwrap()));
    let replayed: Value = replayed.send().await.unwrap().json().await.unwrap();
    assert_eq!((&replayed["outcome"], &replayed["reply"]["status"]), (&json!("rejected"), &json!(410)));
}

/// B7, B8: a ticket belongs to the flow that was there when it was made: when that is removed, the ticket is gone, and a flow
/// that has its name later does not bring it back.
#[tokio::test]
async fn b7_b8_tickets_of_a_removed_flow_do_not_come_to_life() {
    let server = TestServer::start().await;
    let flow = |answer: &str| {
        format!(
            "flow: job\nsteps:\n  - trigger: Start\n    face: [native, grexx]\n  - trigger: Go\n    face: grexx\n  - set: {{ responseBody: {answer} }}\n"
        )
    };
    let deploy = async |server: &TestServer, answer: &str| {
        let (status, body) = server.try_deploy(&flow(answer)).await;
        assert!(status.is_success(), "{body}");
        body["triggers"][0]["urls"]["default"]["native"].as_str().unwrap().to_owned()
    };
    let url = deploy(&server, "first").await;
    let started: Value = server.post(&url, &json!({})).await.json().await.unwrap();
    let execution = started["execution"].as_str().unwrap();
    let many = json!({ "handler": { "flow": "job" }, "allow_multiple": true, "response": { "body": "stored" } });
    let wait = json!({ "handler": { "execution": execution, "trigger": "go" }, "retryable": true });
    let tickets = [server.ticket(&many).await, server.ticket(&wait).await];
    let plain = server.ticket(&json!({ "response": { "code": 204 }, "allow_multiple": true })).await;
    deploy(&server, "second").await;
    assert_eq!(server.call_ticket(&tickets[0], &json!({})).await, 200, "over the versions of its flow");
    let runs = server.get("/v1/executions").await["items"].clone();
    for run in runs.as_array().unwrap() {
        let cancel = format!("/v1/executions/{}/cancel", run["id"].as_str().unwrap());
        assert_eq!(server.api(Method::POST, &cancel).send().await.unwrap().status(), StatusCode::OK);
    }
    let removed = server.api(Method::DELETE, "/v1/flows/job").send().await.unwrap();
    assert_eq!(removed.status(), StatusCode::NO_CONTENT);
    let are_gone = async |server: &TestServer, when: &str| {
        for ticket in &tickets {
            assert_eq!(server.status_of(ticket).await, "gone", "{when}");
            let url = ticket["url"].as_str().unwrap();
            let path = &url[url.find("/cb/").unwrap()..];
            let called = server.post(&format!("{}{path}", server.public), &json!({})).await;
            assert_eq!(called.status(), StatusCode::GONE, "{when}");
            let record = server.callback(&called).await;
            assert!(record["trace"].to_string().contains("the flow of the ticket was removed"), "{record}");
        }
        let listed = server.get("/v1/tickets?status=open").await["items"].clone();
        assert!(listed.as_array().unwrap().iter().all(|ticket| ticket["id"] == plain["id"]), "{when}: {listed}");
        assert_eq!(server.get("/v1/executions").await["items"].as_array().unwrap().len(), 2, "{when}: nothing starts");
    };
    are_gone(&server, "without a flow").await;
    let server = server.restart().await;
    are_gone(&server, "after a restart").await;
    deploy(&server, "third").await;
    are_gone(&server, "with another flow of its name").await;
    let server = server.restart().await;
    are_gone(&server, "and after another restart").await;
    let new = server.ticket(&many).await;
    assert_eq!(server.call_ticket(&new, &json!({})).await, 200, "the new flow has tickets of its own");
    assert_eq!(server.status_of(&new).await, "open");
}

/// Workspaces do not see each other's tickets; their URLs work for everyone.
#[tokio::test]
async fn tickets_belong_to_their_workspace() {
    let server = TestServer::start().await.in_workspace("acme");
    let ticket = server.ticket(&json!({ "response": { "body": "of acme" } })).await;
    let server = server.in_workspace("default");
    assert_eq!(server.api(Method::GET, &path(&ticket)).send().await.unwrap().status(), StatusCode::NOT_FOUND);
    assert_eq!(server.api(Method::DELETE, &path(&ticket)).send().await.unwrap().status(), StatusCode::NOT_FOUND);
    assert_eq!(server.get("/v1/tickets").await["items"], json!([]));
    assert_eq!(server.fetch(ticket["url"].as_str().unwrap()).await.text().await.unwrap(), "of acme");
}

/// GX-25, GX-36: the command line makes, shows and closes tickets.
#[tokio::test]
async fn the_command_line_makes_and_closes_tickets() {
    let server = TestServer::start().await;
    server.try_deploy(OBEDIENT).await;
    let run = async |args: &[&str]| {
        let mut command = tokio::process::Command::new(BINARY);
        command.args(["--server", &server.admin, "--token", &server.token, "ticket"]).args(args);
        let output = command.output().await.unwrap();
        (output.status.success(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    };
    for (args, expected) in [
        (vec!["create"], "give a `handler`"),
        (vec!["create", "--execution", "x"], "--trigger"),
        (vec!["create", "--flow", "obedient", "--plugin", "p"], "cannot be used with"),
        (vec!["create", "--header", "x"], "write it like"),
        (vec!["close", "x"], "there is no ticket x"),
    ] {
        let (done, said) = run(&args).await;
        assert!(!done && said.contains(expected), "{args:?}: {said}");
    }
    let (done, url) = run(&["create", "--flow", "obedient", "--state-parameter", "state", "--retryable"]).await;
    assert!(done && url.contains("/cbq/state?state="), "{url}");
    let (_, listed) = run(&["list", "--status", "open"]).await;
    assert!(listed.contains("flow obedient"), "{listed}");
    let id = server.get("/v1/tickets").await["items"][0]["id"].as_str().unwrap().to_owned();
    let (done, _) = run(&["close", &id]).await;
    assert!(done);
    assert_eq!(server.fetch(url.trim()).await.status(), StatusCode::GONE);
    let (_, shown) = run(&["show", &id]).await;
    assert!(shown.contains("\"status\": \"closed\""), "{shown}");
    let (_, url) =
        run(&["create", "--body", "<ok/>", "--code", "201", "--header", "content-type: application/xml"]).await;
    let answered = server.fetch(url.trim()).await;
    assert_eq!(
        (answered.status().as_u16(), answered.headers()["content-type"].to_str().unwrap()),
        (201, "application/xml")
    );
}

/// S9: an administrator names an origin by workspace, without a restart; the settings bound what may be named.
#[tokio::test]
async fn s9_origins_are_added_by_workspace() {
    let bound =
        |config: &mut ringback::config::Config| config.bound_redirects(&["https://*.example".to_owned()]).unwrap();
    let server = TestServer::start_with(bound).await;
    let to = |target: &str| json!({ "response": { "type": "redirect", "redirect_url": target } });
    let origins = "/v1/redirect-origins";
    let add = async |origin: &str| {
        let response = server.api(Method::POST, origins).json(&json!({ "origin": origin })).send().await.unwrap();
        (response.status().as_u16(), response.json::<Value>().await.unwrap())
    };
    assert_eq!(server.try_ticket(&to("https://shop.example/a")).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    for (origin, status, code) in [
        ("shop.example", 422, "invalid_origin"),
        ("https://shop.example/path", 422, "invalid_origin"),
        ("https://evil.test", 403, "redirect_origin_out_of_bound"),
        ("http://shop.example", 403, "redirect_origin_out_of_bound"),
    ] {
        let (found, problem) = add(origin).await;
        assert_eq!((found, &problem["code"]), (status, &json!(code)), "{origin}");
    }
    let author = server.api(Method::POST, "/v1/tokens").json(&json!({ "name": "a", "access": "author" }));
    let author: Value = author.send().await.unwrap().json().await.unwrap();
    let request = server.call(Method::POST, &format!("{}{origins}", server.admin));
    let request =
        request.bearer_auth(author["token"].as_str().unwrap()).json(&json!({ "origin": "https://shop.example" }));
    assert_eq!(request.send().await.unwrap().status(), StatusCode::FORBIDDEN, "for administrators alone");

    assert_eq!(add("https://Shop.example:443").await.1["origin"], "https://shop.example");
    assert_eq!(add("https://shop.example").await.0, 200, "it is there");
    let ticket = server.ticket(&to("https://shop.example/a")).await;
    let other = server.api(Method::POST, "/v1/tickets").header("ringback-workspace", "other");
    let other = other.json(&to("https://shop.example/a")).send().await.unwrap();
    assert_eq!(other.status(), StatusCode::UNPROCESSABLE_ENTITY, "of this workspace alone");
    let sent = server.fetch(ticket["url"].as_str().unwrap()).await;
    assert_eq!(sent.headers()["location"], "https://shop.example/a");

    let server = server.restart().await;
    assert_eq!(server.get(origins).await["items"].as_array().unwrap().len(), 1, "over a restart");
    server.ticket(&to("https://shop.example/a")).await;
    let remove = async || {
        let path = format!("{origins}?origin=https%3A%2F%2Fshop.example");
        server.api(Method::DELETE, &path).send().await.unwrap().status()
    };
    assert_eq!((remove().await, remove().await), (StatusCode::NO_CONTENT, StatusCode::NOT_FOUND));
    assert_eq!(server.try_ticket(&to("https://shop.example/a")).await.0, StatusCode::UNPROCESSABLE_ENTITY);
}

/// S8: a flow makes a ticket for another execution, and closes one.
#[tokio::test]
async fn s8_a_flow_makes_a_ticket_for_another_execution_and_closes_it() {
    let server = TestServer::start().await;
    let wrong = |step: &str| format!("flow: wrong\nsteps:\n  - trigger: A\n  - {step}\n");
    for (step, why) in [
        (
            "ticket: { close: 0199aaaa-0000-7000-8000-000000000000, retryable: true }",
            "a step closes a ticket or makes one",
        ),
        ("ticket: { handler: { execution: x, flow: a } }", "`execution` is for a `trigger`"),
        ("ticket: { handler: { execution: x } }", "exactly one of"),
    ] {
        let (status, body) = server.try_deploy(&wrong(step)).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{step}");
        assert!(body["errors"][0]["detail"].as_str().unwrap().contains(why), "{step}: {body}");
    }
    let waits = server.deploy_all("flow: waits\nsteps:\n  - trigger: Start\n  - trigger: Paid\n").await.remove(0);
    let makes = server
        .deploy("flow: makes\nsteps:\n  - trigger: Start\n  - ticket: { handler: { execution: '${{ data.of }}', trigger: Paid } }\n    as: made\n")
        .await;
    let closes = server
        .deploy("flow: closes\nsteps:\n  - trigger: Start\n  - ticket: { close: '${{ data.id }}' }\n    as: closed\n")
        .await;
    let run = async |url: &str, data: Value| {
        let started: Value = server.post(url, &data).await.json().await.unwrap();
        server.ended(started["execution"].as_str().unwrap()).await
    };
    let result = |run: &Value| {
        let entry = run["journal"].as_array().unwrap().iter().find(|entry| entry["kind"] == "ticket");
        entry.unwrap_or_else(|| panic!("{run:#}"))["result"].clone()
    };
    let other: Value = server.post(&waits, &json!({})).await.json().await.unwrap();
    let other = other["execution"].as_str().unwrap().to_owned();
    server.eventually(&format!("/v1/executions/{other}"), |run| run["status"] == "waiting").await;

    let nobody = run(&makes, json!({ "of": "0199aaaa-0000-7000-8000-000000000000" })).await;
    assert_eq!((&nobody["status"], &nobody["error"]["code"]), (&json!("failed"), &json!("ticket_refused")));
    let first = result(&run(&makes, json!({ "of": other })).await);
    let second = result(&run(&makes, json!({ "of": other })).await);
    for unknown in [json!("0199aaaa-0000-7000-8000-000000000000"), json!("x"), json!(7)] {
        let unknown = run(&closes, json!({ "id": unknown })).await;
        assert_eq!(unknown["error"]["code"], "ticket_refused", "{unknown:#}");
    }
    for _ in 0..2 {
        assert_eq!(result(&run(&closes, json!({ "id": first["id"] })).await), json!({ "id": first["id"] }));
    }
    assert_eq!(server.call_ticket(&first, &json!({})).await, 410, "it is closed");
    assert_eq!(server.call_ticket(&second, &json!({})).await, 200);
    assert_eq!(server.ended(&other).await["status"], "completed");
}

/// A ticket whose execution has failed, or timed out, stays open when it is called: the execution may be tried again. Whether its
/// calls may, says nothing about that.
#[tokio::test]
async fn a_ticket_outlives_a_call_while_its_execution_has_failed() {
    let server = TestServer::start().await;
    for retryable in [true, false] {
        let source = format!(
            "flow: late\nsteps:\n  - trigger: Start\n  - ticket: {{ handler: {{ trigger: go }}, retryable: {retryable} }}\n    as: t\n  - trigger: Go\n    id: go\n    face: grexx\n    timeout: 1s\n  - set: {{ responseBody: done }}\n"
        );
        let url = server.deploy(&source).await;
        let started: Value = server.post(&url, &json!({})).await.json().await.unwrap();
        let id = started["execution"].as_str().unwrap();
        let run = server.ended(id).await;
        assert_eq!(run["status"], "timed-out");
        let ticket = run["journal"].as_array().unwrap().iter().find(|entry| entry["kind"] == "ticket").unwrap();
        let record = path(&ticket["result"]);
        let ticket = ticket["result"]["url"].as_str().unwrap().to_owned();
        for _ in 0..2 {
            let early = server.post(&ticket, &json!({})).await;
            assert_eq!(early.status(), StatusCode::GONE);
            assert_eq!(early.json::<Value>().await.unwrap()["code"], "execution_ended", "{retryable}");
        }
        assert_eq!(server.get(&record).await["status"], "open", "{retryable}");
        let retried = server.api(Method::POST, &format!("/v1/executions/{id}/retry")).send().await.unwrap();
        assert!(retried.status().is_success());
        let answer = server.post(&ticket, &json!({})).await;
        assert_eq!((answer.status(), answer.text().await.unwrap()), (StatusCode::OK, "done".to_owned()), "{retryable}");
        // Now there is nothing to be tried again.
        let late = server.post(&ticket, &json!({})).await;
        assert_eq!(late.json::<Value>().await.unwrap()["code"], "ticket_closed");
    }
}

//! FlowRunner's External Callback, over HTTP: whoever calls it there changes the host name and nothing else.

use crate::support::TestServer;
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

/// The first trigger starts, the second one waits; their data goes on under their names.
const ORDERS: &str = "flow: orders
steps:
  - trigger: Order received
    face: flowrunner
  - trigger: Callback with Orders
    face: flowrunner
    when: '!has(data.status) || data.status == \"confirmed\"'
  - set: { total: '${{ triggers[\"Callback with Orders\"].data }}' }
";

async fn text(response: Response) -> (StatusCode, String) {
    (response.status(), response.text().await.unwrap())
}

/// The number of an error, with its status and a message (FR-42).
async fn error(response: Response) -> (u16, u64) {
    let status = response.status().as_u16();
    assert_eq!(response.headers()["content-type"], "application/json");
    let body: Value = response.json().await.unwrap();
    assert!(body["message"].as_str().is_some_and(|message| !message.is_empty()), "{body}");
    assert_eq!(body.as_object().unwrap().len(), 2, "{body}");
    (status, body["code"].as_u64().unwrap())
}

async fn waiting(server: &TestServer) -> Vec<String> {
    let page = server.get("/v1/executions?status=waiting").await;
    let mut ids: Vec<String> =
        page["items"].as_array().unwrap().iter().map(|run| run["id"].as_str().unwrap().to_owned()).collect();
    ids.sort();
    ids
}

/// What the trigger of an execution was given.
async fn data(server: &TestServer, id: &str, kind: &str) -> Value {
    let run = server.get(&format!("/v1/executions/{id}")).await;
    let entry = run["journal"].as_array().unwrap().iter().find(|entry| entry["kind"] == kind).unwrap().clone();
    entry["data"].clone()
}

/// FR-03, FR-04, FR-05, FR-07, FR-08: the URL is made by the server, carries both ids in upper case, can be read, and
/// stays over versions.
#[tokio::test]
async fn every_trigger_gets_a_url_with_the_ids_of_flow_and_trigger() {
    let server = TestServer::start().await;
    let urls = server.deploy_at("flowrunner", ORDERS).await;
    let mut ids = Vec::new();
    for url in &urls {
        let path = url.strip_prefix(&server.public).unwrap();
        let parts: Vec<&str> = path.split('/').collect();
        let ["", "api", "automation", "flow", flow, "trigger", trigger, "activate"] = parts[..] else {
            panic!("{path}");
        };
        for id in [flow, trigger] {
            let lengths: Vec<usize> = id.split('-').map(str::len).collect();
            assert_eq!(lengths, [8, 4, 4, 4, 12], "{id}");
            assert!(id.chars().all(|c| c == '-' || c.is_ascii_digit() || ('A'..='F').contains(&c)), "{id}");
        }
        ids.push((flow.to_owned(), trigger.to_owned()));
    }
    assert_eq!(ids[0].0, ids[1].0, "one flow");
    assert_ne!(ids[0].1, ids[1].1, "two triggers");
    let again = server.deploy_at("flowrunner", &ORDERS.replace("total", "sum")).await;
    assert_eq!(urls, again);
    let shown = server.get("/v1/flows/orders").await;
    assert_eq!(shown["triggers"][1]["urls"]["default"], json!({ "flowrunner": urls[1] }), "no other face");
    let other = server.deploy_at("flowrunner", &ORDERS.replace("flow: orders", "flow: other")).await;
    assert_ne!(other[0], urls[0]);
}

/// A-FR-14, A-FR-15, FR-09: GET and POST alone; what is disabled or unknown is the same 404.
#[tokio::test]
async fn other_methods_and_other_urls_are_refused() {
    let server = TestServer::start().await;
    let urls = server.deploy_at("flowrunner", ORDERS).await;
    for method in [Method::PUT, Method::DELETE, Method::PATCH, Method::HEAD] {
        let response = server.call(method.clone(), &urls[0]).send().await.unwrap();
        assert_eq!(
            (response.status(), &response.headers()["allow"]),
            (StatusCode::METHOD_NOT_ALLOWED, &"GET, POST".parse().unwrap()),
            "{method}"
        );
    }
    assert!(waiting(&server).await.is_empty(), "nothing was started");
    let wrong = urls[0].replace("/activate", "x/activate");
    let unknown = text(server.post(&wrong, &json!({})).await).await;
    assert_eq!(unknown.0, StatusCode::NOT_FOUND);
    server.api(Method::POST, "/v1/flows/orders/disable").send().await.unwrap();
    assert_eq!(text(server.post(&urls[0], &json!({})).await).await, unknown);
}

/// FR-06, FR-10, FR-11, FR-13, FR-14, FR-17, FR-18, FR-40, A-FR-3: a starting trigger always starts, and does not look for an
/// execution.
#[tokio::test]
async fn a_starting_trigger_takes_the_query_of_a_get_and_the_body_of_a_post() {
    let server = TestServer::start().await;
    let urls = server.deploy_at("flowrunner", ORDERS).await;
    let url = &urls[0];
    let started = server.fetch(&format!("{url}?param1=value1&param2=value+2&execution=x")).await;
    let id = server.callback(&started).await["execution"].as_str().unwrap().to_owned();
    assert_eq!(text(started).await, (StatusCode::OK, String::new()));
    let query = json!({ "param1": "value1", "param2": "value 2", "execution": "x" });
    assert_eq!(data(&server, &id, "started").await, query);
    // With a stray parameter, which means nothing, and under the host name of an application.
    let body = json!({ "data": [{ "name": "shampoo", "price": 9.95 }] });
    let request = server.call(Method::POST, &format!("{url}?execution={id}&other=1")).json(&body);
    let started = request.header("host", "demoapp.backendless.app").send().await.unwrap();
    let second = server.callback(&started).await["execution"].as_str().unwrap().to_owned();
    assert_eq!(text(started).await, (StatusCode::OK, String::new()));
    assert_ne!(id, second);
    assert_eq!(data(&server, &second, "started").await, body);
    assert_eq!(waiting(&server).await, [id, second]);
}

/// FR-01, FR-02, FR-12, FR-15, FR-16, FR-19, FR-20, FR-21, FR-22, FR-23, FR-43: a later trigger resumes the one that the query
/// names.
#[tokio::test]
async fn a_later_trigger_resumes_the_execution_of_the_query() {
    let server = TestServer::start().await;
    let urls = server.deploy_at("flowrunner", ORDERS).await;
    for selector in ["execution", "executionId"] {
        server.post(&urls[0], &json!({})).await;
        let id = waiting(&server).await.remove(0);
        let resumed = server.fetch(&format!("{}?a=1&{selector}={id}&b=2&b=3", urls[1])).await;
        assert_eq!(text(resumed).await, (StatusCode::OK, String::new()));
        let run = server.ended(&id).await;
        assert_eq!(run["status"], "completed");
        assert_eq!(data(&server, &id, "resumed").await, json!({ "a": "1", "b": ["2", "3"] }));
        let set = run["journal"].as_array().unwrap().iter().find(|entry| entry["kind"] == "set").unwrap().clone();
        assert_eq!(set["values"]["total"], json!({ "a": "1", "b": ["2", "3"] }), "{set}");
    }
    server.post(&urls[0], &json!({})).await;
    let id = waiting(&server).await.remove(0);
    let body = json!({ "execution": "another", "data": [
        { "name": "shampoo", "price": 9.95 }, { "name": "conditioner", "price": 8.99 }, { "name": "body wash", "price": 5.99 },
    ] });
    let resumed = server.post(&format!("{}?execution={id}&ignored=1", urls[1]), &body).await;
    assert_eq!(text(resumed).await, (StatusCode::OK, String::new()));
    assert_eq!(data(&server, &id, "resumed").await, body);
}

/// A-FR-9: the query stays flat, repeated keys are lists, and keys with brackets build a structure beside it.
#[tokio::test]
async fn bracket_keys_build_structure_beside_the_flat_query() {
    let server = TestServer::start().await;
    let source = "flow: query
steps:
  - trigger: Start
    face: flowrunner
    reply: { status: 200, json: { query: '${{ callback.query }}', data: '${{ data }}' } }
";
    let url = server.deploy_at("flowrunner", source).await.remove(0);
    let answer: Value = server.fetch(&format!("{url}?a%5B0%5D=1&a[1][b]=x+y&c=2&c=3")).await.json().await.unwrap();
    let flat = json!({ "a[0]": "1", "a[1][b]": "x y", "c": ["2", "3"] });
    assert_eq!(answer["data"], flat);
    let mut query = flat;
    query["nested"] = json!({ "a": ["1", { "b": "x y" }], "c": ["2", "3"] });
    assert_eq!(answer["query"], query);
    let own: Value = server.fetch(&format!("{url}?a[0]=1&nested=mine")).await.json().await.unwrap();
    assert_eq!(own["query"], json!({ "a[0]": "1", "nested": { "a": ["1"], "nested": "mine" } }));
    let own: Value = server.fetch(&format!("{url}?nested=mine")).await.json().await.unwrap();
    assert_eq!(own["query"], json!({ "nested": { "nested": "mine" } }), "it is an object, or not there");
}

/// FR-24, FR-25, FR-26, FR-41, A-FR-12, A-FR-13.
#[tokio::test]
async fn any_resumes_the_longest_waiting_and_all_says_whom() {
    let server = TestServer::start().await;
    let urls = server.deploy_at("flowrunner", ORDERS).await;
    for _ in 0..4 {
        server.post(&urls[0], &json!({})).await;
    }
    let ids = waiting(&server).await;
    let any = server.post(&format!("{}?execution=any", urls[1]), &json!({})).await;
    assert_eq!(text(any).await, (StatusCode::OK, String::new()));
    assert_eq!(waiting(&server).await, ids[1..]);
    let all = server.fetch(&format!("{}?execution=all&x=1", urls[1])).await;
    assert_eq!(all.headers()["content-type"], "text/plain; charset=utf-8");
    assert_eq!(text(all).await, (StatusCode::OK, ids[1..].join(",")));
    assert!(waiting(&server).await.is_empty());
    for id in &ids[1..] {
        assert_eq!(data(&server, id, "resumed").await, json!({ "x": "1" }));
    }
}

/// FR-42, A-FR-1, A-FR-2, A-FR-7.
#[tokio::test]
async fn an_error_has_a_number_and_a_message() {
    let server = TestServer::start().await;
    let urls = server.deploy_at("flowrunner", ORDERS).await;
    let get = async |query: &str| error(server.fetch(&format!("{}{query}", urls[1])).await).await;
    assert_eq!(get("?execution=any").await, (404, 1001));
    assert_eq!(get("?execution=all").await, (404, 1001));
    assert_eq!(get("?execution=ABC123-DEF456-GHI789").await, (404, 1002));
    assert_eq!(get("?execution=018f0000-0000-7000-8000-000000000000").await, (404, 1002));
    assert_eq!(get("").await, (400, 1004));
    assert_eq!(get("?execution=").await, (400, 1004));
    assert_eq!(get("?execution=a&executionId=b").await, (400, 1005));
    server.post(&urls[0], &json!({})).await;
    let id = waiting(&server).await.remove(0);
    let both = format!("{}?execution={id}&executionId={id}", urls[1]);
    assert_eq!(text(server.fetch(&both).await).await, (StatusCode::OK, String::new()), "the same twice is fine");
    server.ended(&id).await;
    assert_eq!(get(&format!("?execution={id}")).await, (404, 1003));
}

/// FR-44, FR-45, FR-46, A-FR-10: what does not count is answered as what does, and the execution waits on.
#[tokio::test]
async fn a_callback_that_does_not_count_leaves_the_execution_waiting() {
    let server = TestServer::start().await;
    let urls = server.deploy_at("flowrunner", ORDERS).await;
    server.post(&urls[0], &json!({})).await;
    let id = waiting(&server).await.remove(0);
    let url = format!("{}?execution={id}", urls[1]);
    let processing = server.post(&url, &json!({ "status": "processing" })).await;
    assert_eq!(server.callback(&processing).await["outcome"], "ignored");
    assert_eq!(text(processing).await, (StatusCode::OK, String::new()));
    assert_eq!(waiting(&server).await, [id.as_str()]);
    let confirmed = server.post(&url, &json!({ "status": "confirmed" })).await;
    assert_eq!(text(confirmed).await, (StatusCode::OK, String::new()));
    assert_eq!(server.ended(&id).await["status"], "completed");
}

/// FR-27, FR-28, FR-29, FR-30, A-FR-6: the id is there from the start, and a callback that comes before its execution waits
/// is kept.
#[tokio::test]
async fn a_callback_may_come_before_its_execution_waits() {
    let server = TestServer::start().await;
    let source = "flow: early
steps:
  - trigger: Start
    face: flowrunner
    reply: { status: 200, json: { link: 'https://yourapp.example/verify-payment?executionId=${{ execution.id }}' } }
  - delay: 300ms
  - trigger: Second
    face: [flowrunner, native]
";
    let (status, flow) = server.try_deploy(source).await;
    assert!(status.is_success(), "{flow:#}");
    let url =
        |trigger: usize, face: &str| flow["triggers"][trigger]["urls"]["default"][face].as_str().unwrap().to_owned();
    let started: Value = server.post(&url(0, "flowrunner"), &json!({})).await.json().await.unwrap();
    let id = started["link"].as_str().unwrap().split_once("executionId=").unwrap().1.to_owned();
    let kept = server.post(&format!("{}?execution={id}", url(1, "flowrunner")), &json!({ "paid": true })).await;
    assert_eq!(server.callback(&kept).await["face"], "flowrunner");
    assert_eq!(text(kept).await, (StatusCode::OK, String::new()));
    assert_eq!(server.ended(&id).await["status"], "completed");
    assert_eq!(data(&server, &id, "resumed").await, json!({ "paid": true }));
    // The same trigger in its other form.
    let ended = server.post(&format!("{}?execution={id}", url(1, "native")), &json!({})).await;
    assert_eq!(ended.headers()["content-type"], "application/problem+json");
    assert_eq!(text(ended).await.0, StatusCode::NOT_FOUND);
}

/// A-FR-8: any JSON value is data; what is not JSON is refused.
#[tokio::test]
async fn a_body_that_is_not_json_is_refused() {
    let server = TestServer::start().await;
    let urls = server.deploy_at("flowrunner", ORDERS).await;
    let post = async |kind: &str, body: &'static str| {
        let request = server.call(Method::POST, &urls[0]).header("content-type", kind).body(body);
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(post("application/json", "{ \"any valid JSON object can be passed to the trigger\" }").await, 400);
    assert_eq!(post("text/plain", "hello").await, 415);
    for body in ["[1]", "\"text\"", "null", ""] {
        assert_eq!(post("application/json", body).await, 200, "{body}");
    }
}

/// FR-44, FR-45, S3: a field that is not in the request is no error: the callback does not count, and its record says what was
/// missing. A mistake of type is one.
#[tokio::test]
async fn s3_a_condition_about_an_absent_field_does_not_hold() {
    let server = TestServer::start().await;
    let source = "flow: absent\nsteps:\n  - trigger: Start\n    face: flowrunner\n  - trigger: Payment\n    face: flowrunner\n    fields: { status: $.payment.status }\n    when:\n      any:\n        - data.payment.status == 'confirmed'\n        - { not: data.payment.pending }\n  - if: data.payment.gift\n    then: [fail: no gift]\n    else: [set: { known: '${{ fields.status == null }}' }]\n";
    let urls = server.deploy_at("flowrunner", source).await;
    server.post(&urls[0], &json!({})).await;
    let waiting = waiting(&server).await;
    let payment = format!("{}?execution={}", urls[1], waiting[0]);
    let ignored = server.post(&payment, &json!({})).await;
    assert_eq!(ignored.status(), StatusCode::OK);
    let record = server.callback(&ignored).await;
    assert_eq!(record["outcome"], "ignored");
    assert!(record["trace"].to_string().contains("does not hold: there is no `data.payment`"), "{record:#}");
    let wrong = server.post(&payment, &json!({ "payment": "confirmed" })).await;
    assert_eq!(wrong.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let resumed = server.post(&payment, &json!({ "payment": { "pending": false } })).await;
    assert_eq!(resumed.status(), StatusCode::OK);
    let run = server.ended(&waiting[0]).await;
    assert_eq!(run["status"], "completed", "{run:#}");
    let journal = run["journal"].to_string();
    assert!(journal.contains("\"absent\":\"data.payment.gift\"") && journal.contains("\"known\":true"), "{journal}");
}

/// A-FR-1, A-FR-11: every error of this face is a number and a message; who is not accepted gets the page's words.
#[tokio::test]
async fn s6_every_error_is_a_number_and_a_message() {
    const NOT_ACCEPTED: &str = "Unable to execute the callback. User is missing required security role(s)";
    let server = TestServer::start_with(|config| config.body_bytes_max = 1024).await;
    server.set_secret("S", "k").await;
    let deploy = async |name: &str, trigger: &str, steps: &str| {
        let source = format!("flow: {name}\nsteps:\n  - trigger: T\n    face: flowrunner\n{trigger}{steps}");
        server.deploy_at("flowrunner", &source).await.remove(0)
    };
    let open = deploy("open", "    methods: [POST]\n    limit: { calls: 1000, per: 1h }\n", "").await;
    let users = deploy("users", "    auth: { user: required, roles: [manager] }\n", "").await;
    let basic = deploy("basic", "    auth: { basic: { username: u, password: S } }\n", "").await;
    let signed = deploy("signed", "    verify: { scheme: github, secret: S }\n", "").await;
    let fails = deploy("fails", "    mode: sync\n", "  - fail: broken\n").await;
    let wrong = deploy("wrong", "    reply: { json: '${{ data.n + 1 }}' }\n", "").await;
    let seldom = deploy("seldom", "    limit: { calls: 1, per: 1h }\n", "").await;
    assert_eq!(server.post(&seldom, &json!({})).await.status(), StatusCode::OK);
    let put = server.api(Method::PUT, "/v1/users/jane").json(&json!({ "properties": {}, "roles": [] }));
    assert!(put.send().await.unwrap().status().is_success());
    let token: Value =
        server.api(Method::POST, "/v1/users/jane/tokens").json(&json!({})).send().await.unwrap().json().await.unwrap();
    let token = token["token"].as_str().unwrap();
    let post = |url: &str| server.call(Method::POST, url).json(&json!({}));
    let unknown = format!("{}/api/automation/flow/A/trigger/B/activate", server.public);
    for (what, request, status, code) in [
        ("no user", post(&users), 401, 1000),
        ("no role", post(&users).header("user-token", token), 400, 1000),
        ("no password", post(&basic), 401, 1000),
        ("no signature", post(&signed), 401, 1000),
        ("another method", server.call(Method::GET, &open), 405, 405),
        ("no JSON", server.call(Method::POST, &open).body("{").header("content-type", "application/json"), 400, 400),
        ("another type", server.call(Method::POST, &open).body("a").header("content-type", "text/csv"), 415, 415),
        ("encoded", server.call(Method::POST, &open).body("a").header("content-encoding", "compress"), 415, 415),
        ("too large", server.call(Method::POST, &open).body("a".repeat(2000)), 413, 413),
        ("too often", post(&seldom), 429, 429),
        ("a flow that fails", post(&fails), 500, 500),
        ("an answer that fails", post(&wrong), 500, 500),
        ("nothing there", post(&unknown), 404, 404),
    ] {
        let answer = request.send().await.unwrap();
        let (found, kind) = (answer.status().as_u16(), answer.headers()["content-type"].clone());
        let body: Value = answer.json().await.unwrap();
        assert_eq!((found, &body["code"]), (status, &json!(code)), "{what}: {body}");
        assert_eq!(kind, "application/json", "{what}");
        let message = body["message"].as_str().unwrap();
        assert!(!message.is_empty() && (code == 1000) == (message == NOT_ACCEPTED), "{what}: {message}");
        assert_eq!(body.as_object().unwrap().len(), 2, "{what}: {body}");
    }
}

/// FR-07, S4: ids in lower case are those in upper case: what is printed works, and so does the URL that others have.
#[tokio::test]
async fn ids_are_taken_in_any_case() {
    let server = TestServer::start().await;
    let (flow, trigger) = ("ac0b2747-ead8-4c9a-bb9c-9f0a4ebeab81", "c778279b-b151-6272-eda7-76c9141e1f11");
    let source = format!(
        "flow: brought\nsteps:\n  - trigger: A\n    face: flowrunner\n    ids: {{ flow: {flow}, trigger: {trigger} }}\n"
    );
    let printed = server.deploy_at("flowrunner", &source).await.remove(0);
    let server = server.restart().await;
    let path = format!("/api/automation/flow/{flow}/trigger/{trigger}/activate");
    let printed = &printed[printed.find("/api/").unwrap()..];
    for path in [printed, &path, &path.replace(flow, &flow.to_uppercase()), &format!("{path}/")] {
        assert_eq!(
            server.post(&format!("{}{path}", server.public), &json!({})).await.status(),
            StatusCode::OK,
            "{path}"
        );
    }
    let twice = source.replace("flow: brought", "flow: twice").replace(trigger, &trigger.to_uppercase());
    assert_eq!(server.try_deploy(&twice).await.0, StatusCode::UNPROCESSABLE_ENTITY, "it is the same URL");
}

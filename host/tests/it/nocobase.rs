//! NocoBase's webhook event, over HTTP: whoever calls it there changes the host name and nothing else.

use crate::support::{BINARY, TestServer};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

/// NB-01, NB-02, NB-05, NB-06, NB-07, A-NB-1, A-NB-2: a URL of its own, for POST alone.
#[tokio::test]
async fn the_url_takes_post_and_nothing_else() {
    let server = TestServer::start().await;
    let url =
        server.deploy_at("nocobase", "flow: hook\nsteps:\n  - trigger: Hook\n    face: nocobase\n").await.remove(0);
    let key = url.strip_prefix(&format!("{}/api/webhook:trigger/", server.public)).unwrap();
    assert!(key.len() >= 11 && !key.contains('/'), "{key}");
    for method in [Method::GET, Method::PUT, Method::PATCH, Method::DELETE, Method::HEAD] {
        let refused = server.call(method.clone(), &url).send().await.unwrap();
        assert_eq!(
            (refused.status(), refused.headers()["allow"].to_str().unwrap()),
            (StatusCode::METHOD_NOT_ALLOWED, "POST"),
            "{method}"
        );
        assert_eq!(refused.headers()["content-type"], "application/problem+json");
    }
    assert_eq!(server.post(&format!("{url}x"), &json!({})).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(server.post(&url, &json!({})).await.status(), StatusCode::OK);
    assert_eq!(server.get("/v1/executions").await["items"].as_array().unwrap().len(), 1);
    server.api(Method::POST, "/v1/flows/hook/disable").send().await.unwrap();
    assert_eq!(server.post(&url, &json!({})).await.status(), StatusCode::NOT_FOUND);
}

/// NB-04, NB-24, NB-25, NB-26, A-NB-8: asynchronously, the answer of the trigger comes before the run.
#[tokio::test]
async fn an_asynchronous_answer_is_ok_or_what_the_trigger_says() {
    let server = TestServer::start().await;
    let slow = "flow: hook\nsteps:\n  - trigger: Hook\n    face: nocobase\nREPLY  - delay: 2s\n";
    let url = server.deploy_at("nocobase", &slow.replace("REPLY", "")).await.remove(0);
    let answered = server.post(&url, &json!({ "n": 1 })).await;
    let record = server.callback(&answered).await;
    assert_eq!(answered.headers()["content-type"], "text/plain; charset=utf-8");
    assert_eq!((answered.status(), answered.text().await.unwrap()), (StatusCode::OK, "ok".to_owned()));
    let run = server.get(&format!("/v1/executions/{}", record["execution"].as_str().unwrap())).await;
    assert_eq!(run["status"], "waiting", "it runs on");
    let reply = "    reply: { status: '${{ 200 + data.n }}', headers: { x-sent: 'n=${{ data.n }}' }, text: 'got ${{ data.n }}' }\n";
    let url = server.deploy_at("nocobase", &slow.replace("REPLY", reply)).await.remove(0);
    let answered = server.post(&url, &json!({ "n": 3 })).await;
    assert_eq!((answered.status().as_u16(), answered.headers()["x-sent"].to_str().unwrap()), (203, "n=3"));
    assert_eq!(answered.text().await.unwrap(), "got 3");
}

const SYNC: &str = "flow: hook
steps:
  - trigger: Payment
    face: nocobase
    mode: sync
  - if: data.status == 'paid'
    then:
      - respond: { status: 201, headers: { x-order: '${{ data.order }}' }, json: { success: true, order: '${{ data.order }}' }, end: true }
    else:
      - if: data.status == 'failed'
        then:
          - respond: { status: 503, text: 'try again later', end: true }
  - set: { reached: true }
  - if: data.status == 'broken'
    then:
      - fail: { message: 'it is broken' }
";

/// NB-03, NB-27, NB-28, NB-29, NB-30, NB-32, NB-33, NB-34: synchronously, a step of the flow answers, by a branch, and ends it.
#[tokio::test]
async fn a_response_step_answers_and_ends_the_run() {
    let server = TestServer::start().await;
    let url = server.deploy_at("nocobase", SYNC).await.remove(0);
    for (status, expected, body) in
        [("paid", 201, "{\"success\":true,\"order\":\"A-1\"}"), ("failed", 503, "try again later")]
    {
        let answered = server.post(&url, &json!({ "status": status, "order": "A-1" })).await;
        let record = server.callback(&answered).await;
        assert_eq!(answered.status().as_u16(), expected);
        assert_eq!(answered.text().await.unwrap(), body);
        let run = server.ended(record["execution"].as_str().unwrap()).await;
        assert_eq!(run["status"], "completed");
        assert!(
            run["journal"].as_array().unwrap().iter().all(|entry| entry["kind"] != "set"),
            "later steps do not run: {run:#}"
        );
    }
    // NB-28: for synchronous flows only.
    let (status, mistakes) = server.try_deploy(&SYNC.replace("    mode: sync\n", "")).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(mistakes["errors"][0]["detail"].as_str().unwrap().contains("sync"), "{mistakes}");
}

/// NB-31, A-NB-7: without a response step, 200 for a run that completed and 500 for one that failed.
#[tokio::test]
async fn without_a_response_step_the_state_of_the_run_answers() {
    let server = TestServer::start().await;
    let url = server.deploy_at("nocobase", SYNC).await.remove(0);
    let completed = server.post(&url, &json!({ "status": "other" })).await;
    let record = server.callback(&completed).await;
    assert_eq!(completed.status(), StatusCode::OK);
    let expected = json!({ "execution": record["execution"], "status": "completed" });
    assert_eq!(completed.json::<Value>().await.unwrap(), expected);
    let failed = server.post(&url, &json!({ "status": "broken" })).await;
    assert_eq!(
        (failed.status(), failed.headers()["content-type"].to_str().unwrap()),
        (StatusCode::INTERNAL_SERVER_ERROR, "application/problem+json")
    );
    let source = SYNC
        .replace("    mode: sync\n", "    mode: sync\n    respond_within: 200ms\n")
        .replace("  - set:", "  - delay: 1s\n  - set:");
    let url = server.deploy_at("nocobase", &source).await.remove(0);
    let late = server.post(&url, &json!({ "status": "other" })).await;
    assert_eq!(late.status(), StatusCode::ACCEPTED);
    let status_url = late.json::<Value>().await.unwrap()["status_url"].as_str().unwrap().to_owned();
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    assert_eq!(server.fetch(&status_url).await.json::<Value>().await.unwrap()["status"], "completed");
}

/// NB-11, NB-12, NB-13, NB-16, NB-17, NB-18, NB-20, NB-21, NB-23, A-NB-3, A-NB-4, A-NB-5, A-NB-6: parts of headers, query and
/// body by their paths, under aliases; what is not there is absent.
#[tokio::test]
async fn parts_of_headers_query_and_body_are_variables() {
    let server = TestServer::start().await;
    let source = "flow: hook
steps:
  - trigger: Hook
    face: nocobase
    fields:
      request_id: { header: X-Request-Id }
      absent: { header: X-Absent }
      page: { query: page }
      second: { query: 'tag[1]' }
      nested: { query: 'filter[0].a' }
      c: { body: b.c }
      first: { body: 'items[0].price' }
      dotted: { body: '[\"a.b\"]' }
      missing: { body: b.x }
      path: $.b
  - set: { sum: '${{ fields.c + 1 }}', has: '${{ has(fields.missing) }}' }
";
    let url = server.deploy_at("nocobase", source).await.remove(0);
    let body = json!({ "b": { "c": 2 }, "items": [{ "price": 9.95 }], "a.b": "dot" });
    let request = server.call(Method::POST, &format!("{url}?page=1&tag=x&tag=y&filter[0][a]=z")).json(&body);
    let answered = request.header("x-request-id", "one").header("X-REQUEST-ID", "two").send().await.unwrap();
    let record = server.callback(&answered).await;
    let run = server.ended(record["execution"].as_str().unwrap()).await;
    assert_eq!(
        run["journal"][0]["fields"],
        json!({ "request_id": "one, two", "page": "1", "second": "y", "nested": "z", "c": 2, "first": 9.95, "dotted": "dot", "path": { "c": 2 } })
    );
    assert_eq!(run["journal"][1]["values"], json!({ "sum": 3, "has": false }));
    for (kind, body, expected) in
        [("text/plain", "{}", 415), ("application/json", "{", 400), ("application/json", "", 200)]
    {
        let request = server.call(Method::POST, &url).header("content-type", kind).body(body);
        assert_eq!(request.send().await.unwrap().status().as_u16(), expected, "{kind} {body}");
    }
    for wrong in ["{ body: 'a..b' }", "{ query: '' }", "{ header: 'a b' }", "{ body: a, query: b }", "{}"] {
        let (status, mistakes) = server.try_deploy(&source.replace("{ body: b.x }", wrong)).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{wrong}");
        assert_eq!(mistakes["errors"].as_array().unwrap().len(), 1, "{mistakes:#}");
    }
}

/// NB-14, NB-15, NB-19, NB-21, NB-22: a sample becomes fields that a flow takes as they are.
#[tokio::test]
async fn a_sample_becomes_fields_of_a_flow() {
    let server = TestServer::start().await;
    let parse = async |sample: &str| {
        let request = server.api(Method::POST, "/v1/samples/parse").json(&json!({ "sample": sample }));
        let response = request.send().await.unwrap();
        (response.status(), response.json::<Value>().await.unwrap())
    };
    let (status, body) = parse("{\"a\": 1, \"b\": {\"c\": 2}}").await;
    assert_eq!((status, &body["part"]), (StatusCode::OK, &json!("body")));
    let paths: Vec<_> = body["paths"].as_array().unwrap().iter().map(|path| path["path"].as_str().unwrap()).collect();
    assert_eq!(paths, ["a", "b", "b.c"]);
    assert_eq!(parse("no sample").await.0, StatusCode::UNPROCESSABLE_ENTITY);
    let url = "http://localhost:13000/api/webhook:trigger/1hfmkioou0d?query=1&list[0][a]=2";
    let printed = std::process::Command::new(BINARY).args(["sample", "parse", url]).output().unwrap();
    let fields = String::from_utf8(printed.stdout).unwrap();
    assert_eq!(fields, parse(url).await.1["fields"].as_str().unwrap());
    let indented: String = fields.lines().map(|line| format!("    {line}\n")).collect();
    let source = format!("flow: hook\nsteps:\n  - trigger: Hook\n    face: nocobase\n{indented}");
    let url = server.deploy_at("nocobase", &source).await.remove(0);
    let answered = server.post(&format!("{url}?query=7&list[0][a]=8"), &json!({})).await;
    let record = server.callback(&answered).await;
    let run = server.ended(record["execution"].as_str().unwrap()).await;
    let list = json!([{ "a": "8" }]);
    assert_eq!(run["journal"][0]["fields"], json!({ "query": "7", "list": list, "list_0": list[0], "list_0_a": "8" }));
    let refused = std::process::Command::new(BINARY).args(["sample", "parse", "nothing"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
}

/// NB-30, S1: a response node ends the workflow; `end: false` lets it go on.
#[tokio::test]
async fn s1_a_response_ends_the_workflow_unless_it_says_otherwise() {
    let server = TestServer::start().await;
    for (end, reached) in [("", false), (", end: false", true)] {
        let source = format!(
            "flow: hook\nsteps:\n  - trigger: Hook\n    face: nocobase\n    mode: sync\n  - respond: {{ status: 201{end} }}\n  - set: {{ reached: true }}\n"
        );
        let url = server.deploy_at("nocobase", &source).await.remove(0);
        let answered = server.post(&url, &json!({})).await;
        assert_eq!(answered.status(), StatusCode::CREATED);
        let record = server.callback(&answered).await;
        let run = server.ended(record["execution"].as_str().unwrap()).await;
        let set = run["journal"].as_array().unwrap().iter().any(|entry| entry["kind"] == "set");
        assert_eq!(set, reached, "{end}");
    }
}

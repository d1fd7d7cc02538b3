//! Flows from deployment to the end of their executions.

use crate::support::TestServer;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

#[tokio::test]
async fn unknown_plugins_roles_keys_and_configurations_are_refused_with_their_place() {
    let server = TestServer::start().await.with_plugins(&["field-match"]).await;
    for (lines, line, column, expected) in [
        ("    when: { plugin: nope }\n", 4, 21, "known: field-match"),
        ("    parse: { plugin: field-match }\n", 4, 22, "is no parser; it is: condition"),
        ("    when: { plugin: field-match, with: { all: [] } }\n", 4, 42, "has 0 items, and must have 1 at least"),
        ("    when: { plugin: field-match }\n", 4, 11, "does not accept this configuration"),
        ("    wen: 'true'\n", 4, 5, "did you mean `when`?"),
    ] {
        let (status, body) = server.try_deploy(&format!("flow: wrong\nsteps:\n  - trigger: Hook\n{lines}")).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{lines}");
        let error = &body["errors"][0];
        assert_eq!((&error["line"], &error["column"]), (&json!(line), &json!(column)), "{lines}{error}");
        assert!(error["detail"].as_str().unwrap().contains(expected), "{error}");
    }
    assert_eq!(server.get("/v1/flows").await["items"], json!([]), "nothing stays of a refused flow");
    let request = server.api(Method::PUT, "/v1/flows/other").body("flow: name\nsteps:\n  - trigger: A\n");
    assert_eq!(request.send().await.unwrap().status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_deployment_keeps_urls_and_the_same_file_changes_nothing() {
    let server = TestServer::start().await;
    let source = "flow: shop\nsteps:\n  - trigger: Order\n";
    let url = server.deploy(source).await;
    let (status, again) = server.try_deploy(source).await;
    assert_eq!((status, &again["version"]), (StatusCode::OK, &json!(1)));
    let changed = server.deploy(&format!("{source}    when: 'true'\n")).await;
    assert_eq!(changed, url);
    assert_eq!(server.get("/v1/flows/shop").await["version"], 2);
    let request = server.api(Method::PUT, "/v1/flows/dry?dry_run=true").body("flow: dry\nsteps:\n  - trigger: A\n");
    assert_eq!(request.send().await.unwrap().status(), StatusCode::OK);
    assert_eq!(server.api(Method::GET, "/v1/flows/dry").send().await.unwrap().status(), StatusCode::NOT_FOUND);
    let server = server.restart().await;
    let key = url.rsplit('/').next().unwrap();
    assert_eq!(server.post(&format!("{}/h/{key}", server.public), &json!({})).await.status(), StatusCode::ACCEPTED);
    assert_eq!(server.api(Method::DELETE, "/v1/flows/shop").send().await.unwrap().status(), StatusCode::NO_CONTENT);
    assert_eq!(server.post(&format!("{}/h/{key}", server.public), &json!({})).await.status(), StatusCode::NOT_FOUND);
}

/// NB-03, NB-27, NB-30, NB-31, NB-33, NB-34, A-NB-7, PW-01, PW-03.
#[tokio::test]
async fn a_synchronous_flow_answers_by_its_steps() {
    let server = TestServer::start().await.with_plugins(&["json-reshape", "template-reply"]).await;
    let url = server
        .deploy(
            "flow: quote\nsteps:\n  - trigger: Ask\n    mode: sync\n  - plugin: json-reshape\n    with:\n      shape: { skus: { path: '$.data.items[*].sku', take: all } }\n    as: order\n  - if: size(order.skus) == 0\n    then:\n      - respond: { status: 422, json: { error: empty }, end: true }\n  - if: data.fail\n    then:\n      - fail: 'told to fail: ${{ data.items[0].sku }}'\n  - if: data.quiet\n    then:\n      - set: { said: nothing }\n    else:\n      - respond:\n          plugin: template-reply\n          with: { template: '<b>{{ order.skus | join(\", \") }}</b> {{ callback.method }}' }\n",
        )
        .await;
    let ask = |items: Value, fail: bool, quiet: bool| {
        let body = json!({ "items": items, "fail": fail, "quiet": quiet });
        let (server, url) = (&server, &url);
        async move { server.post(url, &body).await }
    };
    let failed = ask(json!([{ "sku": "a" }]), true, false).await;
    assert_eq!(failed.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let record = server.callback(&failed).await;
    let body: Value = failed.json().await.unwrap();
    assert_eq!(body["code"], "execution_failed");
    assert!(!body.to_string().contains("told to fail"), "the caller sees no cause");
    let execution = server.ended(record["execution"].as_str().unwrap()).await;
    assert_eq!((&execution["status"], &execution["error"]["message"]), (&json!("failed"), &json!("told to fail: a")));

    let empty = ask(json!([]), false, false).await;
    assert_eq!(
        (empty.status(), empty.text().await.unwrap()),
        (StatusCode::UNPROCESSABLE_ENTITY, r#"{"error":"empty"}"#.into())
    );
    let answered = ask(json!([{ "sku": "a<" }, { "sku": "b" }]), false, false).await;
    assert_eq!(answered.headers()["content-type"], "text/html; charset=utf-8");
    assert_eq!((answered.status(), answered.text().await.unwrap()), (StatusCode::OK, "<b>a&lt;, b</b> POST".into()));
    let quiet: Value = ask(json!([{ "sku": "a" }]), false, true).await.json().await.unwrap();
    assert_eq!(quiet["status"], "completed");
}

#[tokio::test]
async fn parsers_verifiers_and_responders_are_plugins_too() {
    let server = TestServer::start().await.with_plugins(&["csv-rows", "twilio-signature", "template-reply"]).await;
    server.set_secret("TWILIO", "12345").await;
    let url = server
        .deploy(
            "flow: import\nsteps:\n  - trigger: Upload\n    parse: { plugin: csv-rows, with: { delimiter: ';' } }\n    when: { jsonpath: '$[?@.sku]' }\n    reply:\n      plugin: template-reply\n      with: { template: '{{ data | length }} rows', type: text, status: 201 }\n",
        )
        .await;
    let post =
        |body: &'static str| server.call(Method::POST, &url).header("content-type", "text/csv").body(body).send();
    let uneven = post("sku;price\n1\n").await.unwrap();
    assert_eq!(uneven.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let record = server.callback(&uneven).await;
    assert!(record["trace"][1]["reason"].as_str().unwrap().contains("line 2"), "{record}");
    assert_eq!(post("name\nx\n").await.unwrap().status(), StatusCode::NO_CONTENT);
    let counted = post("sku;price\n1;2\n3;4\n").await.unwrap();
    assert_eq!((counted.status(), counted.text().await.unwrap()), (StatusCode::CREATED, "2 rows".into()));

    let signed = "flow: sms\nsteps:\n  - trigger: Message\n    parse: form\n    verify: { plugin: twilio-signature, with: { secret: TWILIO, url: 'https://example.com/myapp.php?foo=1&bar=2' } }\n";
    let url = server.deploy(signed).await;
    let form = "Digits=1234&To=%2B18005551212&From=%2B14158675310&Caller=%2B14158675310&CallSid=CA1234567890ABCDE";
    let post = |signature: &'static str| {
        let request = server.call(Method::POST, &url).header("content-type", "application/x-www-form-urlencoded");
        request.header("x-twilio-signature", signature).body(form).send()
    };
    assert_eq!(post("AAAA").await.unwrap().status(), StatusCode::UNAUTHORIZED);
    let genuine = post("L/OH5YylLD5NRKLltdqwSvS0BnU=").await.unwrap();
    assert_eq!(genuine.status(), StatusCode::ACCEPTED);
}

#[tokio::test]
async fn conditions_combine() {
    let server = TestServer::start().await.with_plugins(&["field-match"]).await;
    let url = server
        .deploy(
            "flow: mixed\nsteps:\n  - trigger: Hook\n    when:\n      all:\n        - data.n > 0\n        - any:\n            - { jsonpath: $.tags }\n            - { plugin: field-match, with: { all: [{ path: $.who, op: equals, value: me }] } }\n        - not: { jsonpath: $.skip }\n",
        )
        .await;
    for (body, expected) in [
        (json!({ "n": 0, "tags": [] }), StatusCode::NO_CONTENT),
        (json!({ "n": 1 }), StatusCode::NO_CONTENT),
        (json!({ "n": 1, "tags": [] }), StatusCode::ACCEPTED),
        (json!({ "n": 1, "who": "me" }), StatusCode::ACCEPTED),
        (json!({ "n": 1, "who": "me", "skip": 1 }), StatusCode::NO_CONTENT),
        (json!({ "m": 1 }), StatusCode::NO_CONTENT),
        (json!({ "n": "1" }), StatusCode::INTERNAL_SERVER_ERROR),
    ] {
        assert_eq!(server.post(&url, &body).await.status(), expected, "{body}");
    }
}

#[tokio::test]
async fn a_missing_secret_is_a_warning_and_a_500() {
    let server = TestServer::start().await;
    let (_, body) =
        server.try_deploy("flow: s\nsteps:\n  - trigger: Hook\n    verify: { scheme: github, secret: LATER }\n").await;
    assert_eq!(
        body["warnings"],
        json!(["there is no secret LATER yet: until `ringback secret set LATER`, callbacks get 500"])
    );
    let request = "  - http: { url: 'https://shop.example', headers: { x-key: '${{ secrets.KEY }}', x-again: '${{ secrets.KEY }}' } }\n";
    let (_, sends) = server.try_deploy(&format!("flow: sends\nsteps:\n  - trigger: Hook\n{request}{request}")).await;
    assert_eq!(
        sends["warnings"],
        json!(["there is no secret KEY yet: until `ringback secret set KEY`, requests that name it fail"])
    );
    let url = body["triggers"][0]["urls"]["default"]["native"].as_str().unwrap().to_owned();
    let response = server.post(&url, &json!({})).await;
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(response.json::<Value>().await.unwrap()["code"], "secret_missing");
    server.set_secret("LATER", "x").await;
    assert_eq!(server.post(&url, &json!({})).await.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_synchronous_caller_waits_no_longer_than_the_flow_says() {
    let server = TestServer::start().await.with_plugins(&["misbehave"]).await;
    let source = "flow: slow\nsteps:\n  - trigger: Ask\n    mode: sync\n    respond_within: 100ms\n  - plugin: misbehave\n    with: loop\n";
    let url = server.deploy(source).await;
    let response = server.post(&url, &json!({})).await;
    assert_eq!(response.status(), StatusCode::ACCEPTED);
    let answer: Value = response.json().await.unwrap();
    assert_eq!(answer["status"], "running");
    let execution = server.ended(answer["execution"].as_str().unwrap()).await;
    assert_eq!(execution["error"]["code"], "plugin_out_of_time");
}

#[tokio::test]
async fn every_deployment_of_a_plugin_or_flow_counts_from_the_next_callback_on() {
    let server = TestServer::start().await;
    let flow = |status: u16| format!("flow: f\nsteps:\n  - trigger: Hook\n    reply: {{ status: {status} }}\n");
    let url = server.deploy(&flow(201)).await;
    assert_eq!(server.post(&url, &json!({})).await.status().as_u16(), 201);
    server.deploy(&flow(203)).await;
    assert_eq!(server.post(&url, &json!({})).await.status().as_u16(), 203);
    let executions = server.get("/v1/executions").await;
    let versions: Vec<&Value> =
        executions["items"].as_array().unwrap().iter().map(|run| &run["flow_version"]).collect();
    assert_eq!(versions, [&json!(2), &json!(1)]);
}

/// A flow whose executions have not ended stays: they could not go on without it.
#[tokio::test]
async fn a_flow_with_executions_that_have_not_ended_is_not_removed() {
    let server = TestServer::start().await;
    for rest in ["  - trigger: Second\n", "  - delay: 1h\n"] {
        let urls = server.deploy_all(&format!("flow: kept\nsteps:\n  - trigger: Start\n{rest}")).await;
        let started: Value = server.post(&urls[0], &json!({})).await.json().await.unwrap();
        let id = started["execution"].as_str().unwrap();
        server.eventually(&format!("/v1/executions/{id}"), |run| run["status"] == "waiting").await;
        let remove = async || server.api(Method::DELETE, "/v1/flows/kept").send().await.unwrap();
        let refused = remove().await;
        assert_eq!(refused.status(), StatusCode::CONFLICT);
        let problem: Value = refused.json().await.unwrap();
        assert!(problem["detail"].as_str().unwrap().starts_with("1 executions"), "{problem}");
        server.api(Method::POST, &format!("/v1/executions/{id}/cancel")).send().await.unwrap();
        assert_eq!(remove().await.status(), StatusCode::NO_CONTENT, "{rest}");
    }
}

/// More calls than the limit of a trigger get 429 with the time to wait; another trigger is not concerned.
#[tokio::test]
async fn a_trigger_is_called_no_more_often_than_its_limit() {
    let server = TestServer::start().await;
    let limited = "steps:\n  - trigger: Start\n    limit: { calls: 3, per: 1h }\n";
    let urls =
        [server.deploy(&format!("flow: a\n{limited}")).await, server.deploy(&format!("flow: b\n{limited}")).await];
    for _ in 0..3 {
        assert_eq!(server.post(&urls[0], &json!({})).await.status(), StatusCode::ACCEPTED);
    }
    let refused = server.post(&urls[0], &json!({})).await;
    let seconds: u64 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1190..=1200).contains(&seconds), "{seconds}");
    let record = server.callback(&refused).await;
    assert_eq!((refused.status(), &record["outcome"]), (StatusCode::TOO_MANY_REQUESTS, &json!("rejected")));
    assert_eq!(server.post(&urls[1], &json!({})).await.status(), StatusCode::ACCEPTED);
    for wrong in ["{ calls: 0, per: 1s }", "{ calls: 1 }", "{ calls: 1.5, per: 1s }", "{ calls: 1, per: 100ms }"] {
        let source = format!("flow: c\nsteps:\n  - trigger: Start\n    limit: {wrong}\n");
        assert_eq!(server.try_deploy(&source).await.0, StatusCode::UNPROCESSABLE_ENTITY, "{wrong}");
    }
}

/// A file that is JSON may write every character as escapes, as many writers of JSON do.
#[tokio::test]
async fn a_flow_in_json_is_read_as_json_and_its_mistakes_have_their_place() {
    let server = TestServer::start().await;
    let flow = |more: &str| {
        format!(
            "{{\"flow\": \"f\", \"steps\": [{{\"trigger\": \"\\ud83d\\ude00 Hook\", \"mode\": \"sync\"{more}}},\n\t{{\"respond\": {{\"json\": {{\"\\ud83d\\ude00\": \"\\uD83D\\uDE00\\/${{{{ data.a }}}}\"}}}}}}]}}"
        )
    };
    let deploy = async |source: String| {
        let response = server.api(Method::PUT, "/v1/flows/f").body(source).send().await.unwrap();
        (response.status(), response.json::<Value>().await.unwrap())
    };
    let (status, body) = deploy(flow(", \"nothing\": 1")).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
    let column = flow(", ").find("\"mode\"").unwrap() + "\"mode\": \"sync\", ".len() + 1;
    let mistake = &body["errors"][0];
    assert_eq!((&mistake["line"], &mistake["column"]), (&json!(1), &json!(column)), "{body}");
    let (_, deployed) = deploy(flow("")).await;
    let url = deployed["triggers"][0]["urls"]["default"]["native"].as_str().unwrap_or_else(|| panic!("{deployed:#}"));
    let answered: Value = server.post(url, &json!({ "a": 1 })).await.json().await.unwrap();
    assert_eq!(answered, json!({ "\u{1f600}": "\u{1f600}/1" }));
}

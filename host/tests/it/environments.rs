//! Environments: variables and secrets of their own.

use crate::support::TestServer;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

async fn put(server: &TestServer, path: &str, body: Value) -> u16 {
    server.api(Method::PUT, path).json(&body).send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn what_is_no_environment_and_no_variable_is_refused() {
    let server = TestServer::start().await;
    assert_eq!(put(&server, "/v1/environments/default", json!({ "url_prefix": "1" })).await, 409);
    assert_eq!(put(&server, "/v1/environments/staging", json!({ "url_prefix": "a/b" })).await, 400);
    assert_eq!(put(&server, "/v1/environments/staging", json!({ "url_prefix": "2" })).await, 201);
    assert_eq!(put(&server, "/v1/environments/other", json!({ "url_prefix": "2" })).await, 409);
    assert_eq!(put(&server, "/v1/environments/staging", json!({ "url_prefix": "3" })).await, 200);
    assert_eq!(put(&server, "/v1/vars/a?environment=nowhere", json!({ "value": 1 })).await, 404);
    assert_eq!(put(&server, "/v1/secrets/A?environment=nowhere", json!({ "value": "x" })).await, 404);
    for name in ["1a", "a-b", "a.b"] {
        assert_eq!(put(&server, &format!("/v1/vars/{name}"), json!({ "value": 1 })).await, 400, "{name}");
    }
    assert_eq!(put(&server, "/v1/vars/a", json!({ "value": "x".repeat(70_000) })).await, 400);
    let remove = async |path: &str| server.api(Method::DELETE, path).send().await.unwrap().status();
    assert_eq!(remove("/v1/environments/default").await, StatusCode::CONFLICT);
    assert_eq!(remove("/v1/environments/nowhere").await, StatusCode::NOT_FOUND);
    assert_eq!(remove("/v1/vars/a").await, StatusCode::NOT_FOUND);
}

/// Variables are in scope everywhere, have any shape, change at once, and stay over a restart; a step that waited sees what
/// is there now.
#[tokio::test]
async fn variables_are_in_scope_and_stay() {
    let server = TestServer::start().await;
    assert_eq!(put(&server, "/v1/vars/limit", json!({ "value": { "eur": 10 } })).await, 204);
    assert_eq!(put(&server, "/v1/environments/staging", json!({})).await, 201);
    assert_eq!(put(&server, "/v1/vars/limit?environment=staging", json!({ "value": { "eur": 99 } })).await, 204);
    let source = "flow: vars
steps:
  - trigger: Start
    when: data.price > vars.limit.eur
    reply: { status: 200, json: { limit: '${{ vars.limit }}' } }
  - trigger: Second
  - set: { limit: '${{ vars.limit.eur }}' }
";
    let urls = server.deploy_all(source).await;
    assert_eq!(server.post(&urls[0], &json!({ "price": 9 })).await.status(), StatusCode::NO_CONTENT);
    let started = server.post(&urls[0], &json!({ "price": 11 })).await;
    let id = server.callback(&started).await["execution"].as_str().unwrap().to_owned();
    assert_eq!(started.json::<Value>().await.unwrap(), json!({ "limit": { "eur": 10 } }));
    assert_eq!(put(&server, "/v1/vars/limit", json!({ "value": { "eur": 20 } })).await, 204);
    let server = server.restart().await;
    let urls = server.urls("vars").await;
    assert_eq!(server.post(&urls[0], &json!({ "price": 11 })).await.status(), StatusCode::NO_CONTENT);
    server.post(&format!("{}?execution={id}", urls[1]), &json!({})).await;
    let run = server.ended(&id).await;
    let set = run["journal"].as_array().unwrap().iter().find(|entry| entry["kind"] == "set").unwrap();
    assert_eq!(set["values"], json!({ "limit": 20 }));
    let own = server.get("/v1/vars?environment=staging").await;
    assert_eq!((&own["items"][0]["name"], &own["items"][0]["value"]), (&json!("limit"), &json!({ "eur": 99 })));
    server.api(Method::DELETE, "/v1/environments/staging").send().await.unwrap();
    assert_eq!(
        server.api(Method::GET, "/v1/vars?environment=staging").send().await.unwrap().status(),
        StatusCode::NOT_FOUND
    );
    assert_eq!(put(&server, "/v1/environments/staging", json!({})).await, 201);
    assert_eq!(server.get("/v1/vars?environment=staging").await["items"], json!([]), "its variables went with it");
}

const PAY: &str = "flow: pay
steps:
  - trigger: Order
    face: patchworks
    mode: async
    environments: [staging, test]
    verify: { scheme: github, secret: S }
  - trigger: Paid
    face: patchworks
    mode: async
    environments: [staging, test]
    verify: { scheme: github, secret: S }
    dedupe: { by: '${{ data.n }}' }
  - trigger: Sent
    face: patchworks
    mode: async
    environments: [staging, test]
    verify: { scheme: github, secret: S }
    mailbox: { ttl: 1h }
  - set: { paid: '${{ vars.account }}' }
";
const ENVIRONMENTS: [&str; 3] = ["default", "staging", "test"];

/// A flow with three environments, in each of which an execution waits: the URLs by trigger and environment, and the
/// executions by environment.
async fn pay(server: &TestServer) -> (Vec<Value>, Vec<String>) {
    for (number, name) in ENVIRONMENTS.iter().enumerate() {
        if number > 0 {
            let prefix = json!({ "url_prefix": number.to_string() });
            assert_eq!(put(server, &format!("/v1/environments/{name}"), prefix).await, 201);
        }
        let account = json!({ "value": format!("account of {name}") });
        assert_eq!(put(server, &format!("/v1/vars/account?environment={name}"), account).await, 204);
        let secret = json!({ "value": secret_of(name) });
        assert!(put(server, &format!("/v1/secrets/S?environment={name}"), secret).await < 300);
    }
    let (status, flow) = server.try_deploy(PAY).await;
    assert!(status.is_success(), "{flow:#}");
    let urls: Vec<Value> = flow["triggers"].as_array().unwrap().iter().map(|trigger| trigger["urls"].clone()).collect();
    let mut executions = Vec::new();
    for name in ENVIRONMENTS {
        let (status, body) = send(server, &urls[0], name, name, "", &json!({})).await;
        assert_eq!(status, 202, "{body}");
        let id = body["execution"].as_str().unwrap().to_owned();
        server.eventually(&format!("/v1/executions/{id}"), |run| run["status"] == "waiting").await;
        executions.push(id);
    }
    (urls, executions)
}

fn secret_of(environment: &str) -> String {
    format!("the secret of {environment}")
}

/// Calls the URL of one environment, signed with the secret of one, for some executions.
async fn send(
    server: &TestServer,
    urls: &Value,
    environment: &str,
    signer: &str,
    execution: &str,
    body: &Value,
) -> (u16, Value) {
    let (url, body) = (urls[environment]["patchworks"].as_str().unwrap(), body.to_string());
    let selector = if execution.is_empty() { String::new() } else { format!("&execution={execution}") };
    let request = server
        .call(Method::POST, &format!("{url}{selector}"))
        .header("content-type", "application/json")
        .header("x-hub-signature-256", crate::support::github_signature(&secret_of(signer), body.as_bytes()))
        .body(body);
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap_or_default())
}

/// Whoever has the URL and the secret of one environment does nothing to the executions of another one: not by their ids,
/// not by `any` or `all`, not by mail, and not by a ticket, before and after a restart.
#[tokio::test]
async fn e1_an_execution_of_another_environment_is_not_found() {
    let server = TestServer::start().await;
    let (urls, executions) = pay(&server).await;
    let mut tried = 0;
    for (owner, id) in ENVIRONMENTS.iter().zip(&executions) {
        let before = server.get(&format!("/v1/executions/{id}")).await;
        for caller in ENVIRONMENTS.iter().filter(|caller| *caller != owner) {
            // The first is where it waits, the other one where mail is kept.
            for (urls, selector) in [(&urls[1], id.as_str()), (&urls[2], id)] {
                let (status, body) = send(&server, urls, caller, caller, selector, &json!({ "n": tried })).await;
                assert_eq!((status, &body["code"]), (404, &json!("unknown_execution")), "{caller} for {owner}");
                let (status, _) = send(&server, urls, owner, caller, selector, &json!({ "n": tried })).await;
                assert!((401..=404).contains(&status), "signed with the secret of {caller}: {status}");
                tried += 2;
            }
            let handler = json!({ "execution": id, "trigger": "paid" });
            let (status, refused) = server.try_ticket(&json!({ "handler": handler, "environment": caller })).await;
            assert!(status.is_client_error(), "{refused}");
            tried += 1;
        }
        assert_eq!(server.get(&format!("/v1/executions/{id}")).await, before);
    }
    // The oldest of all waits in `default`: neither `any` nor `all` of the others takes it.
    let server = server.restart().await;
    let flow = server.get("/v1/flows/pay").await;
    let urls: Vec<Value> = flow["triggers"].as_array().unwrap().iter().map(|trigger| trigger["urls"].clone()).collect();
    for (number, selector) in [(1, "any"), (2, "all")] {
        let name = ENVIRONMENTS[number];
        let (status, body) = send(&server, &urls[1], name, name, selector, &json!({ "n": 1 })).await;
        assert_eq!(status, 202, "{body}");
        let id = &executions[number];
        let beyond = |run: &Value| run["wait"]["trigger"] == "sent";
        server.eventually(&format!("/v1/executions/{id}"), beyond).await;
        let (status, body) = send(&server, &urls[1], name, name, selector, &json!({ "n": 2 })).await;
        assert_eq!((status, &body["code"]), (404, &json!("nobody_waits")));
        tried += 1;
    }
    let untouched = server.get(&format!("/v1/executions/{}", executions[0])).await;
    assert_eq!(untouched["wait"]["trigger"], "paid");
    // A ticket goes where its execution is, and each gets to its end where it began.
    let (status, body) = send(&server, &urls[1], "default", "default", "any", &json!({ "n": 3 })).await;
    assert_eq!(status, 202, "{body}");
    let ticket = server.ticket(&json!({ "handler": { "execution": executions[0], "trigger": "sent" } })).await;
    let call = async |signer: &str| {
        let signature = crate::support::github_signature(&secret_of(signer), b"{}");
        let request = server.call(Method::POST, ticket["url"].as_str().unwrap()).body("{}");
        request.header("x-hub-signature-256", signature).send().await.unwrap().status()
    };
    assert!(call("staging").await.is_client_error());
    assert!(call("default").await.is_success());
    for (number, (name, id)) in ENVIRONMENTS.iter().zip(&executions).enumerate() {
        if number > 0 {
            let (status, body) = send(&server, &urls[2], name, name, id, &json!({})).await;
            assert_eq!(status, 202, "{body}");
        }
        let run = server.ended(id).await;
        let set = run["journal"].as_array().unwrap().iter().find(|entry| entry["kind"] == "set").unwrap();
        assert_eq!(set["values"], json!({ "paid": format!("account of {name}") }));
    }
    crate::support::cases(tried);
}

/// The same id in two environments, or for two executions, is two deliveries; for the same one it is one.
#[tokio::test]
async fn e2_a_delivery_belongs_to_its_environment_and_its_execution() {
    let server = TestServer::start().await;
    let (urls, executions) = pay(&server).await;
    let (_, body) = send(&server, &urls[0], "staging", "staging", "", &json!({})).await;
    let second = body["execution"].as_str().unwrap().to_owned();
    server.eventually(&format!("/v1/executions/{second}"), |run| run["status"] == "waiting").await;
    let mut callbacks = std::collections::BTreeSet::new();
    for (name, id) in ENVIRONMENTS.iter().zip(&executions).chain([(&"staging", &second)]) {
        for _ in 0..2 {
            let (status, body) = send(&server, &urls[1], name, name, id, &json!({ "n": 7 })).await;
            assert_eq!((status, &body["execution"]), (202, &json!(id)), "{name}");
            callbacks.insert(body["callback"].as_str().unwrap().to_owned());
        }
    }
    assert_eq!(callbacks.len(), 4, "each of the four once, and its own answer when it comes again");
}

/// What has not ended keeps its environment; what is gone resolves nothing, and above all not what `default` has.
#[tokio::test]
async fn b10_an_environment_stays_while_executions_in_it_have_not_ended() {
    let server = TestServer::start().await;
    let (_, executions) = pay(&server).await;
    let path = "/v1/environments/staging";
    let remove = async || {
        let response = server.api(Method::DELETE, path).send().await.unwrap();
        (response.status().as_u16(), response.json::<Value>().await.unwrap_or_default())
    };
    let (status, refused) = remove().await;
    assert_eq!((status, &refused["code"]), (409, &json!("executions_unended")));
    assert!(refused["detail"].as_str().unwrap().starts_with("1 executions"), "{refused}");
    let slow = "flow: slow\nsteps:\n  - trigger: Go\n  - delay: 1h\n  - fail: '${{ vars.account }}'\n";
    server.deploy(slow).await;
    let ticket = json!({ "environment": "staging", "handler": { "flow": "slow" } });
    let late = server.ticket(&ticket).await["url"].as_str().unwrap().to_owned();
    let url = server.ticket(&ticket).await["url"].as_str().unwrap().to_owned();
    assert!(server.post(&url, &json!({})).await.status().is_success());
    let list = async || server.get("/v1/executions?flow=slow").await["items"].as_array().unwrap().clone();
    let slow = list().await[0]["id"].as_str().unwrap().to_owned();
    server.eventually(&format!("/v1/executions/{slow}"), |run| run["status"] == "waiting").await;
    let (status, refused) = remove().await;
    assert!(status == 409 && refused["detail"].as_str().unwrap().starts_with("2 executions"), "{refused}");
    let cancel = async |id: &str| {
        let response = server.api(Method::POST, &format!("/v1/executions/{id}/cancel")).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
    };
    cancel(&slow).await;
    assert_eq!(remove().await.0, 409, "one of them still waits for a callback");
    cancel(&executions[1]).await;
    assert_eq!(remove().await.0, 204);
    assert_eq!(server.post(&late, &json!({})).await.status(), StatusCode::NOT_FOUND, "its tickets are gone with it");
    assert_eq!(list().await.len(), 1);
    let ticket = json!({ "environment": "staging", "handler": { "flow": "slow" } });
    assert!(server.try_ticket(&ticket).await.0.is_client_error());
}

/// A failed execution may be tried again much later: not in an environment that is gone, nor in another one of its name.
#[tokio::test]
async fn b10_what_failed_is_not_tried_again_without_its_environment() {
    let server = TestServer::start().await;
    let wanted = json!({ "url_prefix": "2" });
    assert_eq!(put(&server, "/v1/environments/staging", wanted.clone()).await, 201);
    assert_eq!(put(&server, "/v1/vars/account", json!({ "value": "production" })).await, 204);
    let source =
        "flow: f\nsteps:\n  - trigger: Go\n    mode: async\n  - fail: no\n  - set: { a: '${{ vars.account }}' }\n";
    server.deploy(source).await;
    let ticket = server.ticket(&json!({ "environment": "staging", "handler": { "flow": "f" } })).await;
    server.post(ticket["url"].as_str().unwrap(), &json!({})).await;
    let run = server.get("/v1/executions").await["items"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(server.ended(&run).await["status"], "failed");
    let removed = server.api(Method::DELETE, "/v1/environments/staging").send().await.unwrap();
    assert_eq!(removed.status(), StatusCode::NO_CONTENT);
    let retry = async |run: &str| {
        let response = server.api(Method::POST, &format!("/v1/executions/{run}/retry")).send().await.unwrap();
        (response.status().as_u16(), response.json::<Value>().await.unwrap())
    };
    let (status, refused) = retry(&run).await;
    assert_eq!((status, &refused["code"]), (409, &json!("environment_gone")), "{refused}");
    assert_eq!(put(&server, "/v1/environments/staging", wanted).await, 201);
    assert_eq!(put(&server, "/v1/vars/account?environment=staging", json!({ "value": "another" })).await, 204);
    let (status, refused) = retry(&run).await;
    assert_eq!((status, &refused["code"]), (409, &json!("environment_gone")), "{refused}");
    let server = server.restart().await;
    let retry = async |run: &str| {
        let response = server.api(Method::POST, &format!("/v1/executions/{run}/retry")).send().await.unwrap();
        response.status().as_u16()
    };
    assert_eq!(retry(&run).await, 409, "after a restart too");
    assert_eq!(server.get(&format!("/v1/executions/{run}")).await["status"], "failed", "it is as it was");
    // What fails in the new one is tried again there.
    let ticket = server.ticket(&json!({ "environment": "staging", "handler": { "flow": "f" } })).await;
    server.post(ticket["url"].as_str().unwrap(), &json!({})).await;
    let new = server.get("/v1/executions").await["items"][0]["id"].as_str().unwrap().to_owned();
    assert_ne!(new, run);
    server.ended(&new).await;
    assert_eq!(retry(&new).await, 200);
}

/// Removes an environment, and makes it again with another secret.
async fn make_again(server: &TestServer, name: &str, prefix: &str) {
    let removed = server.api(Method::DELETE, &format!("/v1/environments/{name}")).send().await.unwrap();
    assert_eq!(removed.status(), StatusCode::NO_CONTENT);
    assert_eq!(put(server, &format!("/v1/environments/{name}"), json!({ "url_prefix": prefix })).await, 201);
}

/// What belonged to an environment that was removed does not belong to another one of its name: no answer to a delivery, no
/// ticket, no variable and no secret, over a restart too.
#[tokio::test]
async fn an_environment_that_is_made_again_has_nothing_of_the_one_before() {
    let server = TestServer::start().await;
    assert_eq!(put(&server, "/v1/environments/staging", json!({ "url_prefix": "1" })).await, 201);
    assert_eq!(put(&server, "/v1/vars/account?environment=staging", json!({ "value": "first" })).await, 204);
    assert_eq!(put(&server, "/v1/secrets/S?environment=staging", json!({ "value": "first" })).await, 204);
    let source = "flow: again
steps:
  - trigger: Order
    face: patchworks
    environments: [staging]
    dedupe: { by: '${{ data.n }}' }
  - respond: { json: { execution: '${{ execution.id }}', vars: '${{ vars }}' } }
";
    let (status, flow) = server.try_deploy(source).await;
    assert!(status.is_success(), "{flow:#}");
    let ticket = server.ticket(&json!({ "environment": "staging", "handler": { "flow": "again" } })).await;
    let plain = server.ticket(&json!({ "environment": "staging", "response": { "code": 204 } })).await;
    let many = json!({ "environment": "staging", "handler": { "flow": "again" }, "allow_multiple": true });
    let many = server.ticket(&many).await;
    let path_of = |url: &Value| {
        let url = url.as_str().unwrap();
        url[url.find('/').unwrap() + 2..].split_once('/').unwrap().1.to_owned()
    };
    let url = path_of(&flow["triggers"][0]["urls"]["staging"]["patchworks"]);
    let tickets = [path_of(&ticket["url"]), path_of(&plain["url"]), path_of(&many["url"])];
    let order = async |server: &TestServer| {
        let answer = server.post(&format!("{}/{url}", server.public), &json!({ "n": 7 })).await;
        assert_eq!(answer.status(), StatusCode::OK);
        answer.json::<Value>().await.unwrap()
    };
    let mut seen = vec![order(&server).await];
    assert_eq!(order(&server).await, seen[0], "the same delivery");
    assert_eq!(put(&server, "/v1/environments/staging", json!({ "url_prefix": "1" })).await, 200);
    assert_eq!(order(&server).await, seen[0], "one that is changed is the same");
    let mut server = server;
    for _ in 0..2 {
        make_again(&server, "staging", "1").await;
        let next = order(&server).await;
        assert_eq!(next["vars"], json!({}), "its variables are gone");
        assert!(!seen.contains(&next), "another environment, another delivery: {next}");
        seen.push(next.clone());
        server = server.restart().await;
        assert_eq!(order(&server).await, next, "the same delivery");
        for ticket in &tickets {
            let called = server.post(&format!("{}/{ticket}", server.public), &json!({})).await;
            assert_eq!(called.status(), StatusCode::NOT_FOUND, "its tickets are gone");
        }
        for (status, count) in [("open", 0), ("gone", 3)] {
            let listed = server.get(&format!("/v1/tickets?status={status}")).await["items"].clone();
            assert_eq!(listed.as_array().unwrap().len(), count, "{listed}");
            assert!(listed.as_array().unwrap().iter().all(|ticket| ticket["status"] == status), "{listed}");
        }
        let secrets = server.get("/v1/secrets").await;
        assert_eq!(secrets["items"], json!([]), "its secrets are gone");
    }
    let ticket = server.ticket(&json!({ "environment": "staging", "response": { "code": 204 } })).await;
    let called = server.post(ticket["url"].as_str().unwrap(), &json!({})).await;
    assert_eq!(called.status(), StatusCode::NO_CONTENT, "a new one has its own");
    let many = format!("/v1/tickets/{}", many["id"].as_str().unwrap());
    assert_eq!(server.api(Method::DELETE, &many).send().await.unwrap().status(), StatusCode::NO_CONTENT);
    assert_eq!(server.get(&many).await["status"], "closed", "it can be closed nevertheless");
}

/// A callback that was kept for a plugin is of the environment that it came into, and of no other one.
#[tokio::test]
async fn what_is_kept_for_a_plugin_goes_with_its_environment() {
    let server = TestServer::start().await.with_plugins(&["misbehave"]).await;
    assert_eq!(put(&server, "/v1/environments/staging", json!({ "url_prefix": "1" })).await, 201);
    let source = "flow: rests
steps:
  - trigger: Hook
    face: patchworks
    mode: async
    environments: [staging]
    when: { plugin: misbehave, with: '${{ data.act }}' }
";
    let (status, flow) = server.try_deploy(source).await;
    assert!(status.is_success(), "{flow:#}");
    let urls = &flow["triggers"][0]["urls"];
    let post = async |environment: &str, act: &str| {
        let response = server.post(urls[environment]["patchworks"].as_str().unwrap(), &json!({ "act": act })).await;
        (response.status().as_u16(), server.callback(&response).await["id"].as_str().unwrap().to_owned())
    };
    for _ in 0..5 {
        assert_eq!(post("default", "trap").await.0, 500);
    }
    let ((staging, old), (_, other)) = (post("staging", "behave").await, post("default", "behave").await);
    assert_eq!(staging, 202);
    make_again(&server, "staging", "1").await;
    let (_, new) = post("staging", "behave").await;
    let server = server.restart().await;
    for (id, outcome) in [(old, "rejected"), (other, "started"), (new, "started")] {
        let record = server.eventually(&format!("/v1/callbacks/{id}"), |record| record["outcome"] != "kept").await;
        assert_eq!(record["outcome"], outcome, "{record}");
    }
}

/// Sending a recorded callback again says that its environment is gone, also when another one has its name.
#[tokio::test]
async fn a_callback_is_not_sent_again_into_an_environment_that_is_gone() {
    let server = TestServer::start().await;
    let (_, executions) = pay(&server).await;
    let record = server.get(&format!("/v1/executions/{}", executions[1])).await;
    let id = record["callback"].as_str().unwrap();
    let cancelled = server.api(Method::POST, &format!("/v1/executions/{}/cancel", executions[1])).send().await.unwrap();
    assert_eq!(cancelled.status(), StatusCode::OK);
    let removed = server.api(Method::DELETE, "/v1/environments/staging").send().await.unwrap();
    assert_eq!(removed.status(), StatusCode::NO_CONTENT);
    let server = server.restart().await;
    let replay = async |query: &str| {
        let response = server.api(Method::POST, &format!("/v1/callbacks/{id}/replay{query}")).send().await.unwrap();
        (response.status().as_u16(), response.json::<Value>().await.unwrap())
    };
    for query in ["?dry_run=true", ""] {
        let (status, refused) = replay(query).await;
        assert_eq!((status, &refused["code"]), (409, &json!("environment_gone")), "{refused}");
    }
    let before = server.get("/v1/executions").await;
    assert_eq!(put(&server, "/v1/environments/staging", json!({ "url_prefix": "1" })).await, 201);
    assert_eq!(put(&server, "/v1/vars/account?environment=staging", json!({ "value": "another" })).await, 204);
    for query in ["?dry_run=true", ""] {
        let (status, refused) = replay(query).await;
        assert_eq!((status, &refused["code"]), (409, &json!("environment_gone")), "{refused}");
    }
    assert_eq!(server.get("/v1/executions").await, before, "nothing has started");
    // Lists tell what was in the one that is gone from what is in another one of its name.
    let list = server.get("/v1/executions").await;
    let gone = |item: &Value| (item["environment"].clone(), item.get("environment_gone").cloned());
    let mut found: Vec<_> = list["items"].as_array().unwrap().iter().map(gone).collect();
    found.sort_by_key(|(environment, _)| environment.to_string());
    assert_eq!(found, [(json!("default"), None), (json!("staging"), Some(json!(true))), (json!("test"), None)]);
    assert_eq!(server.get(&format!("/v1/executions/{}", executions[1])).await["environment_gone"], true);
    let list = server.get("/v1/callbacks?environment=staging").await;
    let one = format!("/v1/callbacks/{}", list["items"][0]["id"].as_str().unwrap());
    assert_eq!(server.get(&one).await["environment_gone"], true);
    let mut callbacks = list["items"].as_array().unwrap().iter();
    assert!(callbacks.len() > 0 && callbacks.all(|item| item["environment_gone"] == true), "{list:#}");
    let list = server.get("/v1/callbacks?environment=default").await;
    let one = format!("/v1/callbacks/{}", list["items"][0]["id"].as_str().unwrap());
    assert_eq!(server.get(&one).await.get("environment_gone"), None);
    let mut callbacks = list["items"].as_array().unwrap().iter();
    assert!(callbacks.len() > 0 && callbacks.all(|item| item.get("environment_gone").is_none()), "{list:#}");
}

/// What ended in an environment that was removed is unknown at the URLs of another one of its name, as if it had never been.
#[tokio::test]
async fn e1_an_execution_of_a_removed_environment_is_unknown_to_the_next() {
    let server = TestServer::start().await;
    let (urls, executions) = pay(&server).await;
    let cancel = async |id: &str| {
        let response = server.api(Method::POST, &format!("/v1/executions/{id}/cancel")).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
    };
    cancel(&executions[1]).await;
    let (_, body) = send(&server, &urls[1], "staging", "staging", &executions[1], &json!({ "n": 1 })).await;
    assert_eq!(body["code"], "execution_ended", "while it is there");
    make_again(&server, "staging", "1").await;
    let secret = json!({ "value": secret_of("staging") });
    assert_eq!(put(&server, "/v1/secrets/S?environment=staging", secret).await, 204);
    let server = server.restart().await;
    let flow = server.get("/v1/flows/pay").await;
    let urls: Vec<Value> = flow["triggers"].as_array().unwrap().iter().map(|trigger| trigger["urls"].clone()).collect();
    for url in &urls[1..] {
        let (status, body) = send(&server, url, "staging", "staging", &executions[1], &json!({ "n": 2 })).await;
        assert_eq!((status, &body["code"]), (404, &json!("unknown_execution")));
    }
    let (status, body) = send(&server, &urls[0], "staging", "staging", "", &json!({})).await;
    assert_eq!(status, 202, "{body}");
    let new = body["execution"].as_str().unwrap();
    server.eventually(&format!("/v1/executions/{new}"), |run| run["status"] == "waiting").await;
    let (status, body) = send(&server, &urls[1], "staging", "staging", new, &json!({ "n": 3 })).await;
    assert_eq!(status, 202, "its own are known: {body}");
}

/// B10: nobody is acknowledged into an environment that is going: after a removal nothing in it is left, whichever is first.
#[tokio::test(flavor = "multi_thread")]
async fn b10_nobody_is_acknowledged_into_an_environment_that_is_going() {
    let server = TestServer::start().await;
    let source = "flow: going\nsteps:\n  - trigger: Start\n    face: patchworks\n    mode: async\n    environments: [staging]\n  - trigger: Never\n";
    assert!(server.try_deploy(source).await.0.is_success());
    let make = async || {
        assert_eq!(put(&server, "/v1/environments/staging", json!({ "url_prefix": "1" })).await, 201);
        let flow = server.get("/v1/flows/going").await;
        flow["triggers"][0]["urls"]["staging"]["patchworks"].as_str().unwrap().to_owned()
    };
    server.race_a_removal("/v1/environments/staging", make).await;
}

/// A secret that is stored while its environment is removed is not there in another one of its name.
#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_is_stored_during_a_removal_goes_with_its_environment() {
    let server = TestServer::start().await;
    for round in 0..20 {
        assert_eq!(put(&server, "/v1/environments/staging", json!({})).await, 201, "round {round}");
        let secret = |number: u32| {
            let request = server.api(Method::PUT, &format!("/v1/secrets/S{number}?environment=staging"));
            tokio::spawn(request.json(&json!({ "value": "v" })).send())
        };
        let before: Vec<_> = (0..4).map(secret).collect();
        let remove = tokio::spawn(server.api(Method::DELETE, "/v1/environments/staging").send());
        let after: Vec<_> = (4..8).map(secret).collect();
        assert_eq!(remove.await.unwrap().unwrap().status(), StatusCode::NO_CONTENT);
        for stored in before.into_iter().chain(after) {
            assert!([204, 404].contains(&stored.await.unwrap().unwrap().status().as_u16()));
        }
        assert_eq!(server.get("/v1/secrets").await["items"], json!([]), "round {round}");
    }
    let server = server.restart().await;
    assert_eq!(server.get("/v1/secrets").await["items"], json!([]));
}

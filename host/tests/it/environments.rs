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

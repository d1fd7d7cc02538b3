//! The admin API: who may do what, and what wrong calls are told.

use crate::support::{TestServer, cases};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

#[tokio::test]
async fn every_route_but_health_needs_a_token() {
    let server = TestServer::start().await;
    let document: Value = server.get("/v1/openapi.json").await;
    assert_eq!(document["openapi"], "3.1.0");
    let mut routes = 0;
    for (path, operations) in document["paths"].as_object().unwrap() {
        for method in operations.as_object().unwrap().keys() {
            let url = format!("{}{}", server.admin, path.replace("{name}", "x").replace("{id}", "x"));
            let method: Method = method.to_uppercase().parse().unwrap();
            for token in [None, Some("rbk_wrong"), Some("")] {
                let mut request = server.call(method.clone(), &url);
                if let Some(token) = token {
                    request = request.bearer_auth(token);
                }
                let status = request.send().await.unwrap().status();
                let open = matches!(path.as_str(), "/healthz" | "/readyz" | "/metrics");
                let expected = if open { StatusCode::OK } else { StatusCode::UNAUTHORIZED };
                assert_eq!(status, expected, "{method} {path} with {token:?}");
            }
            routes += 1;
        }
    }
    assert!(routes > 20, "{routes}");
}

#[tokio::test]
async fn access_is_graded_and_tokens_expire_and_are_removed() {
    let server = TestServer::start().await;
    let create = |access: &'static str| {
        let body = json!({ "name": access, "access": access, "expires_in": "1h" });
        let request = server.api(Method::POST, "/v1/tokens").json(&body);
        async move { request.send().await.unwrap().json::<Value>().await.unwrap() }
    };
    let (viewer, author) = (create("viewer").await, create("author").await);
    let status = |token: &Value, method: Method, path: &str| {
        let request =
            server.call(method, &format!("{}{path}", server.admin)).bearer_auth(token["token"].as_str().unwrap());
        let request = request.json(&json!({ "value": "x", "name": "n", "access": "viewer" }));
        async move { request.send().await.unwrap().status() }
    };
    assert_eq!(status(&viewer, Method::GET, "/v1/flows").await, StatusCode::OK);
    assert_eq!(status(&viewer, Method::PUT, "/v1/secrets/A").await, StatusCode::FORBIDDEN);
    assert_eq!(status(&author, Method::DELETE, "/v1/secrets/A").await, StatusCode::NOT_FOUND);
    assert_eq!(status(&author, Method::GET, "/v1/tokens").await, StatusCode::FORBIDDEN);
    let request =
        server.call(Method::GET, &format!("{}/v1/flows", server.admin)).bearer_auth(viewer["token"].as_str().unwrap());
    let elsewhere = request.header("ringback-workspace", "other").send().await.unwrap();
    assert_eq!(elsewhere.status(), StatusCode::FORBIDDEN);
    let listed = server.get("/v1/tokens").await.to_string();
    assert!(!listed.contains(viewer["token"].as_str().unwrap()));
    let path = format!("/v1/tokens/{}", viewer["id"].as_str().unwrap());
    assert_eq!(server.api(Method::DELETE, &path).send().await.unwrap().status(), StatusCode::NO_CONTENT);
    assert_eq!(status(&viewer, Method::GET, "/v1/flows").await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn workspaces_do_not_see_each_other() {
    let server = TestServer::start().await;
    server.set_secret("S", "x").await;
    server.deploy("flow: mine\nsteps:\n  - trigger: Hook\n").await;
    let request = server.api(Method::GET, "/v1/flows").header("ringback-workspace", "other");
    assert_eq!(request.send().await.unwrap().json::<Value>().await.unwrap()["items"], json!([]));
    let request = server.api(Method::GET, "/v1/secrets").header("ringback-workspace", "other");
    assert_eq!(request.send().await.unwrap().json::<Value>().await.unwrap()["items"], json!([]));
    let request = server.api(Method::GET, "/v1/flows/mine").header("ringback-workspace", "other");
    assert_eq!(request.send().await.unwrap().status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn wrong_calls_get_problem_documents() {
    let server = TestServer::start().await;
    for (method, path, body, status, code) in [
        (Method::GET, "/v1/nothing", "", StatusCode::NOT_FOUND, "not_found"),
        (Method::PATCH, "/v1/flows", "", StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
        (Method::GET, "/v1/flows/Wrong", "", StatusCode::BAD_REQUEST, "invalid_name"),
        (Method::GET, "/v1/executions/x", "", StatusCode::NOT_FOUND, "not_found"),
        (Method::GET, "/v1/executions?limit=0", "", StatusCode::BAD_REQUEST, "invalid_limit"),
        (Method::GET, "/v1/executions?limit=x", "", StatusCode::BAD_REQUEST, "invalid_limit"),
        (Method::GET, "/v1/executions?status=done", "", StatusCode::BAD_REQUEST, "invalid_status"),
        (Method::GET, "/v1/callbacks?outcome=done", "", StatusCode::BAD_REQUEST, "invalid_outcome"),
        (Method::GET, "/v1/callbacks?cursor=x", "", StatusCode::BAD_REQUEST, "invalid_cursor"),
        (Method::PUT, "/v1/secrets/A", "{}", StatusCode::UNPROCESSABLE_ENTITY, "invalid_body"),
        (Method::PUT, "/v1/secrets/A", "{", StatusCode::BAD_REQUEST, "invalid_body"),
        (Method::PUT, "/v1/secrets/A-B", r#"{"value": "x"}"#, StatusCode::BAD_REQUEST, "invalid_name"),
        (Method::PUT, "/v1/secrets/A", r#"{"value": ""}"#, StatusCode::BAD_REQUEST, "invalid_size"),
        (Method::DELETE, "/v1/plugins/none", "", StatusCode::NOT_FOUND, "not_found"),
        (
            Method::POST,
            "/v1/tokens",
            r#"{"name": "a", "access": "viewer", "expires_in": "1x"}"#,
            StatusCode::BAD_REQUEST,
            "invalid_duration",
        ),
        (
            Method::POST,
            "/v1/tokens",
            r#"{"name": "a", "access": "viewer", "expires_in": "0s"}"#,
            StatusCode::BAD_REQUEST,
            "invalid_duration",
        ),
        (Method::POST, "/v1/tokens", r#"{"name": " ", "access": "viewer"}"#, StatusCode::BAD_REQUEST, "invalid_name"),
        (
            Method::POST,
            "/v1/tokens",
            r#"{"name": "a\u001c", "access": "viewer"}"#,
            StatusCode::BAD_REQUEST,
            "invalid_name",
        ),
        (Method::POST, "/v1/tickets", r#"{"expires_in": "0ms"}"#, StatusCode::UNPROCESSABLE_ENTITY, "ticket_refused"),
    ] {
        let request = server.api(method.clone(), path).header("content-type", "application/json").body(body);
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), status, "{method} {path}");
        assert_eq!(response.headers()["content-type"], "application/problem+json", "{method} {path}");
        assert_eq!(response.json::<Value>().await.unwrap()["code"], code, "{method} {path}");
    }
}

/// A body of another shape is told which member is wrong, and what is expected.
#[tokio::test]
async fn a_wrong_body_is_told_which_member_is_wrong() {
    let server = TestServer::start().await;
    for (method, path, body, expected) in [
        (Method::POST, "/v1/tokens", r#"{"name": "a"}"#, "missing field `access`"),
        (
            Method::POST,
            "/v1/tokens",
            r#"{"name": "a", "access": "viewer", "expires_in": 5}"#,
            "`expires_in`: invalid type: integer, expected a string",
        ),
        (
            Method::POST,
            "/v1/tokens",
            r#"{"name": "a", "access": "root"}"#,
            "`access`: unknown variant, expected one of",
        ),
        (Method::POST, "/v1/tokens", r#"{"nam": "a"}"#, "unknown field `nam`, expected one of `name`, `access`"),
        (Method::POST, "/v1/tokens", "7", "invalid type: integer, expected an object"),
        (
            Method::PUT,
            "/v1/users/jane",
            r#"{"properties": []}"#,
            "`properties`: invalid type: a list, expected an object",
        ),
        (
            Method::POST,
            "/v1/tickets",
            r#"{"response": {"code": "x"}}"#,
            "`response.code`: invalid type: string, expected u16",
        ),
        (Method::POST, "/v1/tickets", r#"{"handler": 1}"#, "`handler`: invalid type: integer, expected an object"),
        (
            Method::PUT,
            "/v1/secrets/AA",
            r#""SEKRITVAL, expected \"SEKRITVAL""#,
            "takes: invalid type: string, expected an object",
        ),
        (
            Method::PUT,
            "/v1/secrets/AA",
            r#"{"value": ["SEKRITVAL"]}"#,
            "`value`: invalid type: a list, expected a string",
        ),
        (Method::POST, "/v1/tokens", r#"{"name": "a", "access": "SEKRITVAL"}"#, "`access`: unknown variant, expected"),
        (
            Method::POST,
            "/v1/tickets",
            r#"{"environment": "SEKRITVAL"}"#,
            "`environment`: invalid value: string, expected a name of 1 to 64 lower-case letters",
        ),
        (Method::POST, "/v1/tickets", r#"{"state": "SEKRITVAL"}"#, "`state`: invalid value: a string, expected a UUID"),
        (
            Method::POST,
            "/v1/tickets",
            r#"{"handler": {"execution": "x", "trigger": "t"}}"#,
            "`handler.execution`: invalid value: a string, expected a UUID",
        ),
        (Method::POST, "/v1/tokens", "{", "the body is not JSON: EOF"),
        (Method::GET, "/v1/executions?limit=x", "", "`limit` must be a whole number from 1 to 200, not `x`"),
    ] {
        let request = server.api(method, path).header("content-type", "application/json").body(body);
        let problem: Value = request.send().await.unwrap().json().await.unwrap();
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(expected), "{body}: {detail}");
        for inside in ["SEKRITVAL", "UUID parsing", "target type", "struct", "Body", "at line 1"] {
            assert!(!detail.contains(inside) || expected.contains("EOF"), "{body}: {detail}");
        }
    }
    let plain = server.api(Method::POST, "/v1/tokens").body("{}").send().await.unwrap();
    let problem: Value = plain.json().await.unwrap();
    assert!(problem["detail"].as_str().unwrap().contains("`Content-Type: application/json`"), "{problem}");
}

#[tokio::test]
async fn lists_go_on_where_the_page_before_ended() {
    let server = TestServer::start().await;
    let url = server.deploy("flow: f\nsteps:\n  - trigger: Hook\n    when: data.n != 3\n").await;
    for n in 0..5 {
        server.post(&url, &json!({ "n": n })).await;
    }
    let mut seen = Vec::new();
    let mut path = "/v1/executions?limit=2".to_owned();
    loop {
        let page = server.get(&path).await;
        seen.extend(page["items"].as_array().unwrap().iter().map(|item| item["id"].clone()));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/v1/executions?limit=2&cursor={cursor}");
    }
    assert_eq!(seen.len(), 4);
    assert!(seen.windows(2).all(|pair| pair[0].as_str() > pair[1].as_str()), "newest first");
}

/// Whatever is wrong with a call: the answer is a problem document with a code. Tried on every operation.
#[tokio::test]
async fn b17_every_wrong_call_is_told_by_a_problem_document() {
    let server = TestServer::start().await;
    let document: Value = server.get("/v1/openapi.json").await;
    let too_long = "x".repeat(3 << 20);
    let mut tried = 0;
    for (path, operations) in document["paths"].as_object().unwrap() {
        let known = path.replace("{name}", "x").replace("{id}", "x").replace('{', "x").replace('}', "");
        for (method, operation) in operations.as_object().unwrap() {
            let method: Method = method.to_uppercase().parse().unwrap();
            let mut calls = vec![("another method", server.api(Method::PATCH, &known), 405)];
            if path.contains('{') {
                let wrong = path.replace("{name}", "%ff").replace("{id}", "%ff").replace('{', "%ff").replace('}', "");
                calls.push(("a path that is no UTF-8", server.api(method.clone(), &wrong), 400));
            }
            if path.starts_with("/v1/") {
                let without = server.call(method.clone(), &format!("{}{known}", server.admin));
                calls.push(("no token", without, 401));
            }
            if let Some(content) = operation["requestBody"]["content"].as_object() {
                let is_json = content.contains_key("application/json");
                let kind = content.keys().next().unwrap().as_str();
                let call = |body: Vec<u8>| server.api(method.clone(), &known).header("content-type", kind).body(body);
                let not_json = if is_json { 400 } else { 422 };
                if operation["requestBody"]["required"] == true {
                    calls.push(("nothing", call(Vec::new()), not_json));
                }
                calls.push(("no JSON", call(b"{".to_vec()), not_json));
                let not_utf8 = if kind == "application/wasm" { 422 } else { 400 };
                calls.push(("no UTF-8", call(b"\xff".to_vec()), not_utf8));
                if kind != "application/wasm" {
                    calls.push(("too much", call(too_long.clone().into()), 413));
                }
                if is_json {
                    calls.push(("another form", call(b"7".to_vec()), 422));
                    let plain = server.api(method.clone(), &known).header("content-type", "text/plain").body("{}");
                    calls.push(("another type", plain, 415));
                }
            }
            for (what, call, expected) in calls {
                let answer = call.send().await.unwrap();
                let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
                let body = answer.text().await.unwrap();
                assert_eq!(status, expected, "{method} {path}: {what}: {body}");
                assert_eq!(headers["content-type"], "application/problem+json", "{method} {path}: {what}");
                let problem: Value = serde_json::from_str(&body).unwrap();
                let is_told = |name: &str| problem[name].as_str().is_some_and(|text| !text.is_empty());
                assert!(is_told("code") && is_told("detail"), "{method} {path}: {what}: {body}");
                assert_eq!(problem["status"], expected);
                tried += 1;
            }
        }
    }
    assert!(tried > 150, "{tried}");
    cases(tried);
    let unknown = server.api(Method::GET, "/v1/nothing").send().await.unwrap();
    assert_eq!(unknown.headers()["content-type"], "application/problem+json");
}

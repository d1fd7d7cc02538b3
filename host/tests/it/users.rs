//! Who may call: users with tokens and roles, and names with passwords, on every face.

use crate::support::TestServer;
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

fn flow(face: &str, auth: &str) -> String {
    format!(
        "flow: guarded
steps:
  - trigger: Start
    face: {face}
    auth: {auth}
  - set: {{ name: '${{{{ user == null ? null : user.firstName }}}}' }}
"
    )
}

/// The user of FR-32, whose columns have types.
fn jane() -> Value {
    json!({
        "lastLogin": 1719591614000_u64, "lastName": "Doe", "userStatus": "ENABLED", "gender": "female",
        "firstName": "Jane", "phoneNumber": "+1 555", "age": 45, "email": "jane@example.com", "created": 1719581614000_u64,
        "accountType": null, "objectId": "AC0B2747-EAD8-4C9A-BB9C-9F0A4EBEAB81", "tags": ["a", { "b": 1.5 }],
    })
}

/// Makes a user: a token of it.
async fn user(server: &TestServer, id: &str, properties: Value, roles: &[&str]) -> String {
    let body = json!({ "properties": properties, "roles": roles });
    let put = server.api(Method::PUT, &format!("/v1/users/{id}")).json(&body).send().await.unwrap();
    assert_eq!(put.status(), StatusCode::CREATED);
    let made = server.api(Method::POST, &format!("/v1/users/{id}/tokens")).json(&json!({})).send().await.unwrap();
    assert_eq!(made.status(), StatusCode::CREATED);
    made.json::<Value>().await.unwrap()["token"].as_str().unwrap().to_owned()
}

async fn call(server: &TestServer, url: &str, token: Option<&str>) -> Response {
    let request = server.call(Method::POST, url).json(&json!({}));
    token.into_iter().fold(request, |request, token| request.header("user-token", token)).send().await.unwrap()
}

async fn json_of(response: Response) -> (u16, Value) {
    (response.status().as_u16(), serde_json::from_slice(&response.bytes().await.unwrap()).unwrap_or_default())
}

/// FR-31, FR-32, FR-33: a token makes the whole user known, with the types of its properties; without one there is no user.
#[tokio::test]
async fn a_token_makes_the_whole_user_known() {
    let server = TestServer::start().await;
    let token = user(&server, "jane", jane(), &["buyer"]).await;
    let source = "flow: guarded\nsteps:\n  - trigger: Start\n    face: flowrunner\n  - set: { name: '${{ user == null ? \"nobody\" : user.firstName }}', age: '${{ user == null ? 0 : user.age + 1 }}' }\n";
    let url = server.deploy_at("flowrunner", source).await.remove(0);
    for (token, name, age) in
        [(Some(token.as_str()), "Jane", 46), (None, "nobody", 0), (Some("rbu_wrong"), "nobody", 0)]
    {
        let called = call(&server, &url, token).await;
        assert_eq!(called.status(), StatusCode::OK);
        let record = server.callback(&called).await;
        assert!(record["headers"].as_array().unwrap().iter().all(|header| header[0] != "user-token"));
        let run = server.ended(record["execution"].as_str().unwrap()).await;
        let journal = run["journal"].as_array().unwrap();
        assert_eq!(journal[1]["values"], json!({ "name": name, "age": age }));
        let mut known = jane();
        known["roles"] = json!(["buyer"]);
        assert_eq!(journal[0].get("user"), (name == "Jane").then_some(&known));
    }
}

/// FR-34, FR-35, FR-36, FR-37, FR-38, A-FR-11: with a requirement, who is not a user, or lacks a role, gets exactly these words.
#[tokio::test]
async fn a_required_user_and_required_roles() {
    let server = TestServer::start().await;
    let (manager, buyer) =
        (user(&server, "m", jane(), &["manager", "buyer"]).await, user(&server, "b", json!({}), &["buyer"]).await);
    let url = server
        .deploy_at("flowrunner", &flow("flowrunner", "{ user: required, roles: [manager, buyer] }"))
        .await
        .remove(0);
    for token in [None, Some("rbu_wrong"), Some("")] {
        let (status, body) = json_of(call(&server, &url, token).await).await;
        assert_eq!((status, &body["code"]), (401, &json!(1000)), "{body}");
    }
    let refused = call(&server, &url, Some(&buyer)).await;
    let record = server.callback(&refused).await;
    let words =
        json!({ "code": 1000, "message": "Unable to execute the callback. User is missing required security role(s)" });
    assert_eq!(json_of(refused).await, (400, words));
    assert_eq!(record["outcome"], "rejected");
    let trace = record["trace"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(
        (&trace["stage"], &trace["reason"]),
        (&json!("auth"), &json!("the user b does not have the role manager"))
    );
    assert_eq!(call(&server, &url, Some(&manager)).await.status(), StatusCode::OK);
    assert_eq!(server.get("/v1/executions").await["items"].as_array().unwrap().len(), 1);
    // Natively: 401 and 403, and a bearer token is as good.
    let url = server.deploy_at("native", &flow("native", "{ roles: [manager] }")).await.remove(0);
    let anonymous = call(&server, &url, None).await;
    assert_eq!(anonymous.headers()["www-authenticate"], "Bearer realm=\"ringback\"");
    assert_eq!(json_of(anonymous).await.1["code"], "user_unknown");
    assert_eq!(json_of(call(&server, &url, Some(&buyer)).await).await.0, 403);
    let bearer = server.call(Method::POST, &url).bearer_auth(&manager).json(&json!({})).send().await.unwrap();
    assert_eq!(bearer.status(), StatusCode::ACCEPTED);
}

/// FR-37, FR-39: with IGNORE the request succeeds, and nothing is activated.
#[tokio::test]
async fn on_fail_ignore_answers_as_for_success() {
    let server = TestServer::start().await;
    let token = user(&server, "m", json!({}), &["manager"]).await;
    let url =
        server.deploy_at("flowrunner", &flow("flowrunner", "{ roles: [manager], on_fail: ignore }")).await.remove(0);
    let ignored = call(&server, &url, None).await;
    let record = server.callback(&ignored).await;
    assert_eq!((&record["outcome"], &record["execution"]), (&json!("ignored"), &Value::Null));
    assert_eq!((ignored.status(), ignored.text().await.unwrap()), (StatusCode::OK, String::new()));
    let accepted = call(&server, &url, Some(&token)).await;
    assert_eq!(server.callback(&accepted).await["outcome"], "started");
    assert_eq!((accepted.status(), accepted.text().await.unwrap()), (StatusCode::OK, String::new()));
    // It was never genuine: nobody can send it again in its name.
    let replay = server.api(Method::POST, &format!("/v1/callbacks/{}/replay", record["id"].as_str().unwrap()));
    assert_eq!(replay.send().await.unwrap().status(), StatusCode::CONFLICT);
}

/// A token that expired, was revoked, or whose user is gone proves nothing; another workspace's neither.
#[tokio::test]
async fn a_token_proves_only_while_it_is_valid() {
    let server = TestServer::start().await;
    let url = server.deploy(&flow("native", "{ user: required }")).await;
    let status = async |token: &str| call(&server, &url, Some(token)).await.status().as_u16();
    let first = user(&server, "jane", json!({}), &[]).await;
    assert_eq!(status(&first).await, 202);
    let second = server.api(Method::POST, "/v1/users/jane/tokens").json(&json!({})).send().await.unwrap();
    let second: Value = second.json().await.unwrap();
    let all = server.get("/v1/users/jane/tokens").await;
    assert_eq!((all["items"].as_array().unwrap().len(), all.get("next_cursor")), (2, None));
    let page = server.get("/v1/users/jane/tokens?limit=1").await;
    let rest = format!("/v1/users/jane/tokens?limit=1&cursor={}", page["next_cursor"].as_str().unwrap());
    let rest = server.get(&rest).await;
    assert_eq!(rest.get("next_cursor"), None);
    assert_eq!(json!([page["items"][0], rest["items"][0]]), all["items"], "each once");
    let path = format!("/v1/users/jane/tokens/{}", second["id"].as_str().unwrap());
    assert_eq!(server.api(Method::DELETE, &path).send().await.unwrap().status(), StatusCode::NO_CONTENT);
    let tokens = server.get("/v1/users/jane/tokens").await;
    assert!(!tokens.to_string().contains(&first), "a token is shown once");
    let id = tokens["items"][0]["id"].as_str().unwrap();
    let revoke =
        async || server.api(Method::DELETE, &format!("/v1/users/jane/tokens/{id}")).send().await.unwrap().status();
    assert_eq!(revoke().await, StatusCode::NO_CONTENT);
    assert_eq!(server.get("/v1/users/jane/tokens").await["items"], json!([]));
    assert_eq!(status(&first).await, 401);
    assert_eq!(revoke().await, StatusCode::NOT_FOUND);
    let path = "/v1/users/jane/tokens";
    let short: Value =
        server.api(Method::POST, path).json(&json!({ "expires_in": "1s" })).send().await.unwrap().json().await.unwrap();
    let short = short["token"].as_str().unwrap().to_owned();
    assert_eq!(status(&short).await, 202);
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    assert_eq!(status(&short).await, 401);
    let last: Value = server.api(Method::POST, path).json(&json!({})).send().await.unwrap().json().await.unwrap();
    let last = last["token"].as_str().unwrap().to_owned();
    assert_eq!(status(&last).await, 202);
    assert_eq!(server.api(Method::DELETE, "/v1/users/jane").send().await.unwrap().status(), StatusCode::NO_CONTENT);
    assert_eq!(status(&last).await, 401);
    let server = server.in_workspace("other");
    let other = user(&server, "jane", json!({}), &[]).await;
    assert_eq!(call(&server, &url, Some(&other)).await.status(), StatusCode::UNAUTHORIZED);
    for name in ["a", "b", "c"] {
        user(&server, name, json!({ "n": name }), &["r"]).await;
    }
    let page = server.get("/v1/users?limit=2").await;
    let ids =
        |page: &Value| page["items"].as_array().unwrap().iter().map(|user| user["id"].clone()).collect::<Vec<_>>();
    assert_eq!(ids(&page), ["a", "b"]);
    let rest = server.get(&format!("/v1/users?limit=2&cursor={}", page["next_cursor"].as_str().unwrap())).await;
    assert_eq!((ids(&rest), rest.get("next_cursor")), (vec![json!("c"), json!("jane")], None));
    assert_eq!(server.get("/v1/users/b").await["properties"], json!({ "n": "b" }));
    for (id, body, status) in [
        ("a%20b", json!({}), StatusCode::BAD_REQUEST),
        ("a", json!({ "roles": [""] }), StatusCode::UNPROCESSABLE_ENTITY),
        ("a", json!({ "properties": { "x": "y".repeat(70_000) } }), StatusCode::BAD_REQUEST),
    ] {
        let refused = server.api(Method::PUT, &format!("/v1/users/{id}")).json(&body).send().await.unwrap();
        assert_eq!(refused.status(), status, "{id}");
    }
}

/// The condition and the answer see the user; what is kept for later and sent again knows who called.
#[tokio::test]
async fn the_user_goes_with_the_callback() {
    let server = TestServer::start().await;
    let token = user(&server, "jane", jane(), &[]).await;
    let source = "flow: kept
steps:
  - trigger: Start
  - delay: 300ms
  - trigger: Second
    auth: { user: optional }
    when: user != null && user.age == 45
  - set: { who: '${{ triggers.Second.user.firstName }}' }
";
    let urls = server.deploy_all(source).await;
    let started: Value = server.post(&urls[0], &json!({})).await.json().await.unwrap();
    let url = format!("{}?execution={}", urls[1], started["execution"].as_str().unwrap());
    assert_eq!(call(&server, &url, None).await.status(), StatusCode::ACCEPTED, "kept, and ignored later");
    let kept = call(&server, &url, Some(&token)).await;
    let record = server.callback(&kept).await;
    let run = server.ended(started["execution"].as_str().unwrap()).await;
    let journal = run["journal"].as_array().unwrap();
    let set = journal.iter().find(|entry| entry["kind"] == "set").unwrap();
    assert_eq!(set["values"], json!({ "who": "Jane" }));
    let path = format!("/v1/callbacks/{}/replay?dry_run=true", record["id"].as_str().unwrap());
    let replayed: Value = server.api(Method::POST, &path).send().await.unwrap().json().await.unwrap();
    assert_eq!(replayed["outcome"], "rejected", "the execution has ended: {replayed}");
}

/// NB-08, NB-09, NB-10, A-NB-1: HTTP Basic authentication, on every face.
#[tokio::test]
async fn a_name_and_a_password() {
    let server = TestServer::start().await;
    server.set_secret("SHOP", "pass:wörd").await;
    for face in ["native", "flowrunner", "nocobase"] {
        let url = server.deploy_at(face, &flow(face, "{ basic: { username: shop, password: SHOP } }")).await.remove(0);
        let post = || server.call(Method::POST, &url).json(&json!({}));
        for request in [
            post(),
            post().basic_auth("shop", Some("wrong")),
            post().basic_auth("Shop", Some("pass:wörd")),
            post().basic_auth("shop", None::<&str>),
            post().bearer_auth("pass:wörd"),
            post().header("authorization", "Basic !!!"),
        ] {
            let refused = request.send().await.unwrap();
            assert_eq!(refused.headers()["www-authenticate"], "Basic realm=\"ringback\", charset=\"UTF-8\"", "{face}");
            let kind = if face == "flowrunner" { "application/json" } else { "application/problem+json" };
            assert_eq!(refused.headers()["content-type"], kind);
            assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
        }
        let accepted = post().basic_auth("shop", Some("pass:wörd")).send().await.unwrap();
        assert!(accepted.status().is_success(), "{face}");
        let record = server.callback(&accepted).await;
        assert_eq!(record["outcome"], "started");
        assert!(!record.to_string().contains("authorization"), "{record}");
    }
    // As a third party does that is given the URL (NB-09).
    let url = server
        .deploy_at("nocobase", &flow("nocobase", "{ basic: { username: shop, password: SHOP } }"))
        .await
        .remove(0);
    let with_credentials = url.replace("http://", "http://shop:pass%3Aw%C3%B6rd@");
    assert_eq!(server.post(&with_credentials, &json!({})).await.text().await.unwrap(), "ok");
}

/// What a trigger asks of its callers, it asks on every face: a password, a user, a role, a method, and not too often.
#[tokio::test]
async fn every_face_asks_the_same() {
    let server = TestServer::start().await;
    server.set_secret("SHOP", "right").await;
    let (manager, buyer) =
        (user(&server, "m", jane(), &["manager"]).await, user(&server, "b", json!({}), &["buyer"]).await);
    for face in ["native", "flowrunner", "grexx", "nocobase", "patchworks"] {
        let url = async |keys: &str| {
            let source = format!(
                "flow: {face}\nsteps:\n  - trigger: Start\n    face: {face}\n{keys}  - set: {{ done: true }}\n"
            );
            if face != "grexx" {
                return server.deploy_at(face, &source).await.remove(0);
            }
            let (status, deployed) = server.try_deploy(&source).await;
            assert!(status.is_success(), "{deployed}");
            let ticket = server.ticket(&json!({ "handler": { "flow": face }, "allow_multiple": true })).await;
            ticket["url"].as_str().unwrap().to_owned()
        };
        let guarded = url("    auth: { basic: { username: shop, password: SHOP } }\n").await;
        let post = |url: &str| server.call(Method::POST, url).json(&json!({}));
        let status = async |request: reqwest::RequestBuilder| request.send().await.unwrap().status().as_u16();
        assert_eq!(status(post(&guarded)).await, 401, "{face}");
        assert_eq!(status(post(&guarded).basic_auth("shop", Some("wrong"))).await, 401, "{face}");
        assert!(status(post(&guarded).basic_auth("shop", Some("right"))).await < 300, "{face}");
        let of_users = url("    auth: { roles: [manager] }\n").await;
        let role_missing = if face == "flowrunner" { 400 } else { 403 };
        assert_eq!(status(post(&of_users)).await, 401, "{face}");
        assert_eq!(status(post(&of_users).header("user-token", &buyer)).await, role_missing, "{face}");
        assert!(status(post(&of_users).bearer_auth(&manager)).await < 300, "{face}");
        let seldom = url("    methods: [POST]\n    limit: { calls: 2, per: 1h }\n").await;
        assert_eq!(status(server.call(Method::GET, &seldom)).await, 405, "{face}");
        let answers = [status(post(&seldom)).await, status(post(&seldom)).await, status(post(&seldom)).await];
        assert_eq!((answers[0] < 300, answers[2]), (true, 429), "{face}: {answers:?}");
    }
}

/// Who has the URL alone spends no call of those who prove who they are.
#[tokio::test]
async fn b21_the_unproved_are_counted_apart() {
    let server = TestServer::start().await;
    server.set_secret("S", "k").await;
    let limit = "    limit: { calls: 3, per: 1h }\n";
    let signed = format!("flow: s\nsteps:\n  - trigger: T\n    verify: {{ scheme: github, secret: S }}\n{limit}");
    let basic =
        format!("flow: b\nsteps:\n  - trigger: T\n    auth: {{ basic: {{ username: u, password: S }} }}\n{limit}");
    for source in [signed, basic] {
        let url = server.deploy(&source).await;
        let call = async |proved: bool| {
            let secret = if proved { "k" } else { "other" };
            let request = server.call(Method::POST, &url).body("{}").basic_auth("u", Some(secret));
            let request = request.header("x-hub-signature-256", crate::support::github_signature(secret, b"{}"));
            request.header("content-type", "application/json").send().await.unwrap()
        };
        for expected in [401, 401, 401, 429, 429] {
            assert_eq!(call(false).await.status().as_u16(), expected, "{source}");
        }
        for expected in [202, 202, 202, 429] {
            let answer = call(true).await;
            assert_eq!(answer.status().as_u16(), expected, "{source}");
            assert_eq!(answer.headers().contains_key("retry-after"), expected == 429);
        }
        let refused = call(false).await;
        assert_eq!(refused.status().as_u16(), 429);
        let record = server.callback(&refused).await;
        assert!(record["trace"].to_string().contains("did not prove"), "{record}");
    }
}

/// R21: the tokens of a user are found by the user: those of others stay what they are, over a restart too.
#[tokio::test]
async fn r21_the_tokens_of_a_user_are_found_by_the_user() {
    let server = TestServer::start().await;
    // One id is the beginning of another one.
    let names = ["jan", "jane", "jane.b"];
    let mut tokens = Vec::new();
    for name in names {
        tokens.push((name, user(&server, name, json!({}), &[]).await));
        let made = server.api(Method::POST, &format!("/v1/users/{name}/tokens")).json(&json!({})).send().await.unwrap();
        tokens.push((name, made.json::<Value>().await.unwrap()["token"].as_str().unwrap().to_owned()));
    }
    let url = server.deploy(&flow("native", "{ user: required }")).await;
    let path = url[url.find("/h/").unwrap()..].to_owned();
    let server = server.restart().await;
    let listed = async |name: &str| {
        let list = server.get(&format!("/v1/users/{name}/tokens")).await;
        let ids = list["items"].as_array().unwrap().iter().map(|token| token["id"].as_str().unwrap().to_owned());
        ids.collect::<Vec<_>>()
    };
    for name in names {
        assert_eq!(listed(name).await.len(), 2, "{name}");
    }
    let of_another = &listed("jane.b").await[0];
    let revoke = async |name: &str, id: &str| {
        server.api(Method::DELETE, &format!("/v1/users/{name}/tokens/{id}")).send().await.unwrap().status()
    };
    assert_eq!(revoke("jane", of_another).await, StatusCode::NOT_FOUND);
    assert_eq!(revoke("jane", &listed("jane").await[0]).await, StatusCode::NO_CONTENT);
    assert_eq!(listed("jane").await.len(), 1);
    assert_eq!(server.api(Method::DELETE, "/v1/users/jane").send().await.unwrap().status(), StatusCode::NO_CONTENT);
    for (name, token) in &tokens {
        let url = format!("{}{path}", server.public);
        let expected = if *name == "jane" { StatusCode::UNAUTHORIZED } else { StatusCode::ACCEPTED };
        assert_eq!(call(&server, &url, Some(token)).await.status(), expected, "{name}");
    }
}

/// Whoever sends them as they are reaches another place; this one writes the request by hand.
#[tokio::test]
async fn no_user_is_named_like_a_place_in_a_path() {
    let server = TestServer::start().await;
    for (id, status) in [(".", "400"), ("%2E", "400"), ("..", "400"), ("%2e.", "400"), ("...", "201"), (".a", "201")] {
        let mut stream = TcpStream::connect(server.admin.trim_start_matches("http://")).await.unwrap();
        let token = &server.token;
        let request = format!(
            "PUT /v1/users/{id} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n\
             Content-Length: 2\r\nConnection: close\r\n\r\n{{}}"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{id}: {answer}");
    }
}

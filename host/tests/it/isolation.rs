//! What belongs to a workspace, and what is secret, is seen by nobody else: tried on every route, and searched for everywhere.

use crate::process::Server;
use crate::support::{TestServer, cases, plugin};
use aws_lc_rs::hmac;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// In everything that acme has.
const MARK: &str = "canary-of-acme";

/// Ids of acme's things, by the route that names them.
struct Known {
    callback: String,
    execution: String,
    ticket: String,
    token: String,
    user_token: String,
    signature: String,
}

impl Known {
    fn in_path(&self, path: &str) -> String {
        let id = match path.split('/').nth(2) {
            Some("callbacks") => &self.callback,
            Some("executions") => &self.execution,
            Some("tickets") => &self.ticket,
            Some("tokens") => &self.token,
            _ => "jane",
        };
        let name = match path.split('/').nth(2) {
            Some("flows") => "mine",
            Some("plugins") => "field-match",
            Some("environments") => "staging",
            _ => "MINE",
        };
        let path = path.replace("{id}", id).replace("{name}", name).replace("{trigger}", "quote");
        path.replace("{callback}", "quote")
            .replace("{signature}", &self.signature)
            .replace("{token_id}", &self.user_token)
    }
}

/// Something of every kind, in the workspace of the server.
async fn fill(server: &TestServer) -> Known {
    let put = async |path: &str, body: Value| {
        let answered = server.api(Method::PUT, path).json(&body).send().await.unwrap();
        assert!(answered.status().is_success(), "{path}: {}", answered.text().await.unwrap());
    };
    let (status, _) = server.upload("field-match", plugin("field-match")).await;
    assert_eq!(status, StatusCode::CREATED);
    put("/v1/environments/staging", json!({ "url_prefix": "canary1" })).await;
    put("/v1/vars/MINE", json!({ "value": MARK })).await;
    put("/v1/secrets/MINE", json!({ "value": MARK })).await;
    put("/v1/users/jane", json!({ "properties": { "name": MARK }, "roles": [MARK] })).await;
    let token = server.api(Method::POST, "/v1/users/jane/tokens").json(&json!({})).send().await.unwrap();
    let user_token: Value = token.json().await.unwrap();
    let flow = format!(
        "flow: mine\ndescription: {MARK}\nsteps:\n  - trigger: Quote\n    face: [native, patchworks]\n    mode: async\n    callbacks: [{{ name: quote }}]\n  - set: {{ mark: {MARK} }}\n  - trigger: Later\n"
    );
    let (status, deployed) = server.try_deploy(&flow).await;
    assert!(status.is_success(), "{deployed}");
    let trigger = &deployed["triggers"][0];
    let url = trigger["urls"]["default"]["native"].as_str().unwrap();
    let started: Value = server.post(url, &json!({ "mark": MARK })).await.json().await.unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let ticket = server.ticket(&json!({ "response": { "body": MARK } })).await;
    let token = server.api(Method::POST, "/v1/tokens").json(&json!({ "name": "of acme", "access": "viewer" }));
    let token: Value = token.send().await.unwrap().json().await.unwrap();
    Known {
        callback: text(&started["callback"]),
        execution: text(&started["execution"]),
        ticket: text(&ticket["id"]),
        token: text(&token["id"]),
        user_token: text(&user_token["id"]),
        signature: text(&trigger["callbacks"][0]["signatures"][0]),
    }
}

/// Everything that a workspace has, as its own admin sees it.
async fn everything(server: &TestServer) -> Value {
    let mut all = serde_json::Map::new();
    for path in
        ["flows", "plugins", "executions", "callbacks", "secrets", "vars", "environments", "users", "tickets", "tokens"]
    {
        all.insert(path.to_owned(), server.get(&format!("/v1/{path}")).await);
    }
    all.into()
}

/// What was answered; of an answer without an end, what comes at once.
async fn text(mut answered: reqwest::Response) -> String {
    if answered.headers().get("content-type").is_none_or(|kind| kind != "text/event-stream") {
        return answered.text().await.unwrap();
    }
    let mut said = Vec::new();
    while let Ok(Ok(Some(part))) = tokio::time::timeout(Duration::from_millis(500), answered.chunk()).await {
        said.extend_from_slice(&part);
    }
    String::from_utf8(said).unwrap()
}

/// Every operation of the API, with the ids of another workspace: nothing is told, nothing is changed.
#[tokio::test]
async fn no_route_leads_into_another_workspace() {
    let server = TestServer::start().await.in_workspace("acme");
    let known = fill(&server).await;
    let server = server.in_workspace("other");
    let token = server.api(Method::POST, "/v1/tokens").json(&json!({ "name": "of other", "access": "author" }));
    let token: Value = token.send().await.unwrap().json().await.unwrap();
    let token = token["token"].as_str().unwrap().to_owned();
    let server = server.in_workspace("acme");
    let before = everything(&server).await;
    assert!(before.to_string().contains(MARK));
    let document: Value = server.get("/v1/openapi.json").await;
    let bodies = [
        json!({}),
        json!({ "value": "x", "version": 1, "roles": [], "properties": {}, "response": {}, "name": "n", "access": "viewer" }),
    ];
    let mut tried = 0;
    for (path, operations) in document["paths"].as_object().unwrap() {
        for method in operations.as_object().unwrap().keys().filter(|_| path.starts_with("/v1/")) {
            let (method, url) = (method.to_uppercase(), format!("{}{}", server.admin, known.in_path(path)));
            let call = || server.call(method.parse::<Method>().unwrap(), &url).bearer_auth(&token);
            let elsewhere = call().header("ringback-workspace", "acme").json(&bodies[1]).send().await.unwrap();
            assert_eq!(elsewhere.status(), StatusCode::FORBIDDEN, "{method} {path}");
            for body in &bodies {
                let answered = call().json(body).send().await.unwrap();
                let status = answered.status();
                assert!(!status.is_server_error(), "{method} {path}: {status}");
                let said = text(answered).await;
                assert!(!said.contains(MARK), "{method} {path}: {said}");
                // Who is called jane in acme may be made in the other workspace, too.
                let of_one = path.contains("{id}") && !path.starts_with("/v1/users");
                assert!(!of_one || status.is_client_error(), "{method} {path}: {status}");
                tried += 1;
            }
        }
    }
    assert!(tried >= 80, "{tried}");
    cases(tried);
    assert_eq!(everything(&server).await, before, "nothing of acme has changed");
}

/// A secret is nowhere but in memory: not in the data, the log, a backup, the API, the metrics, or what callers are told.
#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_found_nowhere() {
    const SECRET: &str = "whsec_Y2FuYXJ5LWNhbmFyeS1jYW5hcnktY2FuYXJ5";
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    let server = Server::new(&directory.path().join("data")).log_to(&log).with("RINGBACK_LOG_FILTER", "trace");
    let mut process = server.start();
    let admin_token = std::fs::read_to_string(server.data().join("admin-token")).unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let api = |method: Method, path: &str| {
        client.request(method, format!("{}{path}", process.admin)).bearer_auth(&admin_token)
    };
    let mut said = Vec::new();
    for (name, value) in [("S", SECRET), ("P", SECRET)] {
        let put =
            api(Method::PUT, &format!("/v1/secrets/{name}")).json(&json!({ "value": value })).send().await.unwrap();
        assert_eq!(put.status(), StatusCode::NO_CONTENT);
    }
    let upload = api(Method::POST, "/v1/plugins/misbehave/versions").body(plugin("misbehave")).send().await.unwrap();
    assert!(upload.status().is_success());
    let flow = "flow: f\nsteps:\n  - trigger: T\n    verify: { scheme: standard-webhooks, secret: S }\n    auth: { basic: { username: u, password: P } }\n  - http: { url: 'http://127.0.0.1:9/${{ secrets.S }}', headers: { x-secret: '${{ secrets.P }}' }, on_error: continue }\n";
    let deployed: Value = api(Method::PUT, "/v1/flows/f").body(flow).send().await.unwrap().json().await.unwrap();
    let url = deployed["triggers"][0]["urls"]["default"]["native"].as_str().unwrap().to_owned();
    let open = flow.replace("flow: f", "flow: g").replace(
        "    verify: { scheme: standard-webhooks, secret: S }\n    auth: { basic: { username: u, password: P } }\n",
        "",
    );
    let deployed: Value = api(Method::PUT, "/v1/flows/g").body(open).send().await.unwrap().json().await.unwrap();
    let open = deployed["triggers"][0]["urls"]["default"]["native"].as_str().unwrap().to_owned();
    for request in [
        client
            .post(&url)
            .header("webhook-id", "1")
            .header("webhook-timestamp", "1")
            .header("webhook-signature", "v1,AAAA"),
        client.post(&url),
        client.post(&open).json(&json!({})),
        client
            .post(&open)
            .basic_auth("u", Some(SECRET))
            .header("x-api-key", SECRET)
            .header("cookie", SECRET)
            .json(&json!({})),
    ] {
        said.push(request.send().await.unwrap().text().await.unwrap());
    }
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    for path in ["secrets", "callbacks", "executions", "flows", "openapi.json", "vars"] {
        said.push(api(Method::GET, &format!("/v1/{path}")).send().await.unwrap().text().await.unwrap());
    }
    let executions: Value = api(Method::GET, "/v1/executions").send().await.unwrap().json().await.unwrap();
    let run = executions["items"][0]["id"].as_str().unwrap();
    let execution = api(Method::GET, &format!("/v1/executions/{run}")).send().await.unwrap().text().await.unwrap();
    assert!(execution.contains("\"http\""), "the request was tried: {execution}");
    said.push(execution);
    said.push(client.get(format!("{}/metrics", process.admin)).send().await.unwrap().text().await.unwrap());
    let backup = api(Method::GET, "/v1/backup").send().await.unwrap().bytes().await.unwrap();
    process.terminate();
    assert_eq!(process.wait(std::time::Duration::from_secs(20)), Some(0));
    let found = |bytes: &[u8]| bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes());
    assert!(found(format!("x{SECRET}y").as_bytes()), "the search finds what is there");
    for text in &said {
        assert!(!found(text.as_bytes()), "{text}");
    }
    assert!(!backup.is_empty() && !found(&backup), "a backup has it");
    let mut files = vec![log];
    collect(server.data(), &mut files);
    assert!(files.len() > 5, "{files:?}");
    for file in files {
        assert!(!found(&std::fs::read(&file).unwrap()), "{} has it", file.display());
    }
    let shown =
        Command::new(crate::support::BINARY).args(["db", "verify", "--data"]).arg(server.data()).output().unwrap();
    assert!(!found(&shown.stdout) && !found(&shown.stderr));
}

/// A plugin that has asked about a secret has no trace of it in all of its memory; the search finds what is there.
#[tokio::test]
async fn a_secret_is_not_in_the_memory_of_a_plugin() {
    const SECRET: &str = "canary-6f1d9a2e-canary-0c55b1";
    let server = TestServer::start().await.with_plugins(&["misbehave"]).await;
    server.set_secret("S", SECRET).await;
    let disguised: Vec<u8> = SECRET.bytes().map(|byte| byte - 1).collect();
    for (planted, found) in [(false, 0), (true, 1)] {
        let flow = format!(
            "flow: f\nsteps:\n  - trigger: T\n  - plugin: misbehave\n    with: {{ search: [S, {disguised:?}, {planted}] }}\n    as: result\n"
        );
        let url = server.deploy(&flow).await;
        let answer: Value = server.post(&url, &json!({})).await.json().await.unwrap();
        let execution = server.ended(answer["execution"].as_str().unwrap()).await;
        let result = &execution["journal"][1]["result"];
        assert_eq!(result, &json!({ "asked": [false, false], "found": found }), "{execution}");
    }
}

/// Two values of a secret count while one replaces the other, for built-in schemes, plugins and passwords alike.
#[tokio::test]
async fn an_earlier_secret_counts_until_it_is_retired() {
    let server = TestServer::start().await.with_plugins(&["misbehave"]).await;
    let put = |body: Value| server.api(Method::PUT, "/v1/secrets/P").json(&body).send();
    let basic =
        server.deploy("flow: b\nsteps:\n  - trigger: T\n    auth: { basic: { username: u, password: P } }\n").await;
    let signed = server.deploy("flow: s\nsteps:\n  - trigger: T\n    verify: { scheme: github, secret: P }\n").await;
    let asks = |value: &str| {
        format!(
            "flow: p\nsteps:\n  - trigger: T\n    when: {{ plugin: misbehave, with: {{ secret: [P, {value}] }} }}\n"
        )
    };
    let accepted = async |value: &str| {
        let by_password = server.call(Method::POST, &basic).basic_auth("u", Some(value)).send().await.unwrap();
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, value.as_bytes()), b"{}");
        let tag: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        let by_signature =
            server.call(Method::POST, &signed).header("x-hub-signature-256", format!("sha256={tag}")).body("{}");
        let by_plugin = server.deploy(&asks(value)).await;
        let by_plugin = server.post(&by_plugin, &json!({})).await.status() == StatusCode::ACCEPTED;
        [by_password.status().is_success(), by_signature.send().await.unwrap().status().is_success(), by_plugin]
    };
    put(json!({ "value": "first" })).await.unwrap();
    assert_eq!((accepted("first").await, accepted("other").await), ([true; 3], [false; 3]));
    let wrong = put(json!({ "value": "second", "keep_previous": "soon" })).await.unwrap();
    assert_eq!(wrong.status(), StatusCode::BAD_REQUEST);
    put(json!({ "value": "second", "keep_previous": "1h" })).await.unwrap();
    assert_eq!((accepted("first").await, accepted("second").await), ([true; 3], [true; 3]));
    let listed = server.get("/v1/secrets").await;
    let entry = &listed["items"][0];
    assert_eq!((&entry["version"], &entry["previous"][0]["version"]), (&json!(2), &json!(1)), "{listed}");
    assert!(!listed.to_string().contains("first") && !listed.to_string().contains("second"));
    let retired = server.api(Method::DELETE, "/v1/secrets/P/previous").send().await.unwrap();
    assert_eq!(retired.status(), StatusCode::NO_CONTENT);
    assert_eq!((accepted("first").await, accepted("second").await), ([false; 3], [true; 3]));
    put(json!({ "value": "third" })).await.unwrap();
    assert_eq!((accepted("second").await, accepted("third").await), ([false; 3], [true; 3]), "it ends at once");
    let none = server.api(Method::DELETE, "/v1/secrets/NONE/previous").send().await.unwrap();
    assert_eq!(none.status(), StatusCode::NOT_FOUND);
}

fn collect(directory: &Path, files: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => collect(&path, files),
            false => files.push(path),
        }
    }
}

/// What callers and plugins say forges no line of the log, and no colour in who reads it.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_writes_lines_of_the_log() {
    const FORGED: &str = "\r\n2026-01-01T00:00:00Z  INFO forged: \u{1b}[31mall is well\u{7}";
    for form in ["text", "json"] {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        let server = Server::new(&directory.path().join("data"))
            .log_to(&log)
            .with("RINGBACK_LOG_FILTER", "debug")
            .with("RINGBACK_LOG", form);
        let mut process = server.start();
        let token = std::fs::read_to_string(server.data().join("admin-token")).unwrap();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let api =
            |method: Method, path: &str| client.request(method, format!("{}{path}", process.admin)).bearer_auth(&token);
        let upload = api(Method::POST, "/v1/plugins/misbehave/versions").body(plugin("misbehave")).send();
        assert!(upload.await.unwrap().status().is_success());
        let with = json!({ "log": [3, 800] });
        let flow = format!(
            "flow: f\nsteps:\n  - trigger: T\n    parse: auto\n    when: {{ plugin: misbehave, with: {with} }}\n  - fail: '${{{{ data.text }}}}'\n"
        );
        let deployed: Value = api(Method::PUT, "/v1/flows/f").body(flow).send().await.unwrap().json().await.unwrap();
        let url = deployed["triggers"][0]["urls"]["default"]["native"].as_str().unwrap().to_owned();
        let encoded: String = FORGED.bytes().map(|byte| format!("%{byte:02x}")).collect();
        for request in [
            client.post(&url).json(&json!({ "text": FORGED, FORGED: FORGED })),
            client.post(&url).body(FORGED).header("content-type", "application/json"),
            client.post(format!("{url}?execution={encoded}")).json(&json!({})),
            client.get(format!("{}/h/{encoded}", process.public)),
            client.post(&url).header("x-forged", b"\xff\xfe[31m\t".as_slice()).json(&json!({})),
            client.put(format!("{}/v1/flows/{encoded}", process.admin)).bearer_auth(&token).body(FORGED),
            client.get(format!("{}/v1/flows", process.admin)).bearer_auth(&encoded),
        ] {
            drop(request.send().await);
            cases(1);
        }
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        process.terminate();
        assert_eq!(process.wait(std::time::Duration::from_secs(20)), Some(0));
        let text = std::fs::read_to_string(&log).unwrap();
        assert!(text.contains("stopping"), "{text}");
        for line in text.lines() {
            let begins = line.starts_with("20") || line.starts_with("{\"timestamp\":\"20");
            assert!(begins && !line.starts_with("2026-01-01"), "{form}: {line:?}");
            assert!(!line.chars().any(char::is_control), "{form}: {line:?}");
        }
    }
}

/// A key that is given is in no file; without it, or with another, the secrets stay closed.
#[tokio::test(flavor = "multi_thread")]
async fn the_key_of_the_secrets_may_come_from_outside() {
    const KEY: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    let server = Server::new(&directory.path().join("data")).log_to(&log);
    let with_key = server.clone().with("RINGBACK_SECRET_KEY", KEY);
    let mut process = with_key.start();
    let token = std::fs::read_to_string(server.data().join("admin-token")).unwrap();
    let put = reqwest::Client::new().put(format!("{}/v1/secrets/S", process.admin)).bearer_auth(&token);
    assert_eq!(put.json(&json!({ "value": "x" })).send().await.unwrap().status(), StatusCode::NO_CONTENT);
    process.terminate();
    assert_eq!(process.wait(std::time::Duration::from_secs(20)), Some(0));
    let mut files = Vec::new();
    collect(server.data(), &mut files);
    assert!(files.iter().all(|file| file.file_name().is_some_and(|name| name != "secret.key")), "{files:?}");
    let other = KEY.replace("AQEB", "AgIC");
    for (refused, code, expected) in [
        (server.clone().with("RINGBACK_SECRET_KEY", other), 78, "the key is not the one"),
        (server.clone().with("RINGBACK_SECRET_KEY", "hunter2"), 78, "openssl rand -base64 32"),
        (with_key.clone().with("RINGBACK_SECRET_KEY_FILE", "elsewhere"), 78, "leave one of them out"),
    ] {
        let status = refused.spawn().wait().unwrap();
        let said = std::fs::read_to_string(&log).unwrap();
        assert!(said.contains(expected) && !said.contains("hunter2"), "{said}");
        assert_eq!(status.code(), Some(code), "{said}");
    }
    with_key.start();
}

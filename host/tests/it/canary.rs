//! Values that must be kept nowhere, planted wherever one may come in, and then searched for in everything that is left: the
//! data directory, the log, a backup, the metrics, and what the API shows.

use crate::process::Server;
use crate::support::{TestServer, cases};
use aws_lc_rs::hmac;
use axum::http::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The beginning of everything that is planted.
const CANARY: &str = "canary9b1c7d";

fn canary(of: &str) -> String {
    format!("{CANARY}-{of}")
}

/// The canary as it may have been written: in base64 it looks in one of three ways, by what stands before it.
fn forms() -> Vec<String> {
    let hex: String = CANARY.bytes().map(|byte| format!("{byte:02x}")).collect();
    let base64 = |before: &str, from: usize| STANDARD.encode(format!("{before}{CANARY}"))[from..from + 12].to_owned();
    vec![CANARY.to_owned(), hex.to_uppercase(), hex, base64("", 0), base64("x", 2), base64("xx", 3)]
}

fn found_in(bytes: &[u8]) -> Option<String> {
    forms().into_iter().find(|form| bytes.windows(form.len()).any(|window| window == form.as_bytes()))
}

fn files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files(&path, found),
            false => found.push(path),
        }
    }
}

/// A service that answers with what it was sent, in every form, and with credentials of its own.
async fn echo() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let answer = async |request: axum::extract::Request| {
        let (parts, body) = request.into_parts();
        let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        let text = format!("{:?} {} {}", parts.headers, parts.uri, String::from_utf8_lossy(&body));
        let mut headers = HeaderMap::new();
        let own = canary("of-the-echo");
        for (name, value) in [("set-cookie", format!("session={own}")), ("x-api-token", own.clone())] {
            headers.insert(axum::http::HeaderName::try_from(name).unwrap(), value.parse().unwrap());
        }
        headers.insert("location", format!("https://a.example/?a=1&access_token={own}#token={own}").parse().unwrap());
        headers.insert("x-seen", STANDARD.encode(&text).parse().unwrap());
        match parts.uri.path() {
            "/text" => (headers, text.into_bytes()),
            "/bytes" => (headers, [b"\xff\xfe", text.as_bytes()].concat()),
            _ => {
                headers.insert("content-type", "application/json".parse().unwrap());
                let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
                let all = json!({ "text": text, "hex": hex, "base64": STANDARD.encode(&text), text.as_str(): [{ "deep": text }] });
                (headers, all.to_string().into_bytes())
            }
        }
    };
    tokio::spawn(async move { axum::serve(listener, axum::Router::new().fallback(answer)).await });
    host
}

/// The real server, with what was said to those who called.
struct Planted {
    process: crate::process::Process,
    server: Server,
    log: PathBuf,
    token: String,
    client: reqwest::Client,
    said: Vec<Vec<u8>>,
}

impl Planted {
    fn api(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.process.admin)).bearer_auth(&self.token)
    }

    /// Deploys a flow whose trigger has these lines, and these steps after it: its URL.
    async fn deploy(&self, name: &str, trigger: &str, steps: &str) -> String {
        let source = format!("flow: {name}\nsteps:\n  - trigger: T\n{trigger}{steps}");
        let deployed = self.api(Method::PUT, &format!("/v1/flows/{name}")).body(source).send().await.unwrap();
        let deployed: Value = deployed.json().await.unwrap();
        let urls = &deployed["triggers"][0]["urls"]["default"];
        urls.as_object().unwrap_or_else(|| panic!("{deployed:#}")).values().next().unwrap().as_str().unwrap().to_owned()
    }

    async fn call(&mut self, request: RequestBuilder, status: u16) {
        let answer = request.send().await.unwrap();
        let (found, body) = (answer.status().as_u16(), answer.bytes().await.unwrap());
        assert_eq!(found, status, "{}", String::from_utf8_lossy(&body));
        self.said.push(body.to_vec());
        cases(1);
    }

    async fn json(&mut self, path: &str) -> Value {
        let text = self.api(Method::GET, path).send().await.unwrap().bytes().await.unwrap();
        self.said.push(text.to_vec());
        serde_json::from_slice(&text).unwrap()
    }
}

async fn planted(host: &str) -> (tempfile::TempDir, Planted) {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    let server = Server::new(&directory.path().join("data"))
        .log_to(&log)
        .with("RINGBACK_LOG_FILTER", "trace,sled=info")
        .with("RINGBACK_HTTP_PRIVATE_HOSTS", format!("[\"{host}\"]"))
        .with("RINGBACK_REDACT", "[\"x-acme-*\"]");
    let process = server.start();
    let token = std::fs::read_to_string(server.data().join("admin-token")).unwrap();
    let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    (directory, Planted { process, server, log, token, client, said: Vec::new() })
}

fn signed(secret: &str, text: &str) -> String {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), text.as_bytes());
    tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Keeps everything that an expression can see.
const KEEP: &str = "  - set: { all: '${{ data }}', picks: '${{ fields }}', who: '${{ user }}' }\n";

/// What schemes take for proof, right, wrong and where it cannot be read.
async fn plant_proofs(planted: &mut Planted) {
    let client = planted.client.clone();
    let graph = planted.deploy("graph", "    verify: { scheme: microsoft-graph, secret: GRAPH }\n", KEEP).await;
    let notification = |state: &str| json!({ "value": [{ "clientState": state, "resource": "me" }], "validationTokens": [canary("validation")] });
    planted.call(client.post(&graph).json(&notification(&canary("graph"))), 202).await;
    planted.call(client.post(&graph).json(&notification(&canary("earlier"))), 401).await;
    planted.call(client.post(&graph).body(format!("clientState={}", canary("graph"))), 401).await;
    for name in ["ClientState", "Clientstate", "CLIENTSTATE"] {
        let other_case = json!({ "value": [{ name: canary("graph"), "clientState": canary("graph") }], "ValidationTokens": [canary("graph")] });
        planted.call(client.post(&graph).json(&other_case), 202).await;
        planted.call(client.post(&graph).json(&json!({ "value": [{ name: canary("graph") }] })), 401).await;
    }
    let meta = "    verify: { scheme: meta, secret: META, verify_token: META }\n    methods: [GET, POST]\n";
    let meta = planted.deploy("meta", meta, KEEP).await;
    for (token, status) in [("meta", 200), ("earlier", 401)] {
        let query = format!("hub.mode=subscribe&hub.challenge=7&hub.verify_token={}", canary(token));
        planted.call(client.get(format!("{meta}?{query}")), status).await;
    }
    let slack = "    verify: { scheme: slack, secret: SLACK }\n    parse: { form: { json: [payload] } }\n";
    let slack = planted.deploy("slack", slack, KEEP).await;
    let now = crate::jwt::now();
    let payload = json!({ "type": "block_actions", "token": canary("slack-token") }).to_string();
    let form = [("token", canary("slack-token")), ("payload", payload)];
    let form = serde_urlencoded(&form);
    let token = canary("slack-token");
    let broken =
        |payload: &str| serde_urlencoded(&[("payload", payload.replace("TOKEN", &token)), ("page", "8".into())]);
    let (as_form, as_json) = ("application/x-www-form-urlencoded", "application/json");
    for (kind, body, status) in [
        (as_form, form, 202),
        // What cannot be read proves as much to whoever can read it.
        (as_form, broken(r#"{"token":"TOKEN","a":"#), 400),
        (as_form, broken(r#"{"token":"TOKEN","a":1,"a":2}"#), 400),
        (as_form, broken(r#"{"a":1,"\u0074oken":"TOKEN""#), 400),
        (as_form, broken("{'token': 'TOKEN'}"), 400),
        (as_form, broken("{'Token': 'TOKEN'}"), 400),
        (as_form, format!("Token={token}&payload={{}}"), 202),
        (as_json, format!("{{\"TOKEN\":\"{token}\"}}"), 415),
        (as_form, format!("{{\"token\":\"{token}\""), 202),
        (as_json, format!("{{\"token\":\"{token}\",\"a\":1,\"a\":2}}"), 415),
        (as_json, format!("{{\"token\":\"{token}\","), 415),
        ("text/plain", format!("token={token}"), 415),
    ] {
        let signature = signed(&canary("slack"), &format!("v0:{now}:{body}"));
        let request = client.post(&slack).header("x-slack-request-timestamp", now).header("content-type", kind);
        planted.call(request.header("x-slack-signature", format!("v0={signature}")).body(body), status).await;
    }
    let basic = "    auth: { basic: { username: shop, password: BASIC } }\n";
    let basic = planted.deploy("basic", basic, KEEP).await;
    for (password, status) in [("basic", 202), ("earlier", 401)] {
        planted.call(client.post(&basic).basic_auth("shop", Some(canary(password))), status).await;
    }
    let jwt = planted.deploy("jwt", "    auth: { jwt: { secret: JWT } }\n", KEEP).await;
    planted.call(client.post(&jwt).bearer_auth(canary("jwt")), 401).await;
    let user = planted.deploy("user", "    face: flowrunner\n", KEEP).await;
    planted.call(client.post(&user).header("user-token", canary("user")), 200).await;
}

fn serde_urlencoded(pairs: &[(&str, String)]) -> String {
    let url = reqwest::Url::parse_with_params("http://a.example/", pairs).unwrap();
    url.query().unwrap().to_owned()
}

/// Headers and parameters by their names, at a trigger and at a ticket.
async fn plant_names(planted: &mut Planted) {
    let client = planted.client.clone();
    let redact = "    redact: [door, x-gate-*]\n";
    let respond = format!("{KEEP}  - respond: {{ json: '${{{{ data }}}}' }}\n");
    let open = planted
        .deploy("open", &format!("{redact}    mode: sync\n    fields: {{ q: {{ query: page }} }}\n"), &respond)
        .await;
    let dedupe = "    dedupe: { by: '${{ callback.query }}${{ callback.headers }}' }\n    reply: { json: { seen: '${{ callback }}' } }\n";
    let seen = planted.deploy("seen", &format!("{redact}{dedupe}"), KEEP).await;
    let ticket = json!({ "response": { "body": "ok" }, "allow_multiple": true });
    let ticket: Value =
        planted.api(Method::POST, "/v1/tickets").json(&ticket).send().await.unwrap().json().await.unwrap();
    let ticket = ticket["url"].as_str().unwrap().to_owned();
    let parameters =
        ["token", "api_key", "access_token", "key", "sig", "auth[secret]", "X-Password", "Token", "hub.Verify_Token"];
    for (url, accepted) in [(&open, 200), (&seen, 200), (&ticket, 200)] {
        let mut with_headers = client.post(url).json(&json!({})).basic_auth("u", Some(canary("basic")));
        for name in [
            "cookie",
            "proxy-authorization",
            "x-authorization",
            "x-functions-key",
            "ocp-apim-subscription-key",
            "x-access-key",
            "x-jwt",
            "x-goog-iap-jwt-assertion",
            "x-gitlab-token",
            "x-telegram-bot-api-secret-token",
            "x_client_secret",
            "x-acme-door",
        ] {
            with_headers = with_headers.header(name, canary(name));
        }
        let of_trigger = (url != &ticket).then(|| canary("gate"));
        let with_headers =
            of_trigger.into_iter().fold(with_headers, |request, value| request.header("x-gate-1", value));
        planted.call(with_headers, accepted).await;
        let mut pairs: Vec<(&str, String)> = parameters.iter().map(|name| (*name, canary("parameter"))).collect();
        pairs.extend([("page", "7".to_owned()), ("x-acme-a", canary("acme"))]);
        pairs.extend((url != &ticket).then(|| ("door", canary("door"))));
        planted.call(client.get(format!("{url}?{}", serde_urlencoded(&pairs))), accepted).await;
    }
}

/// Requests of flows whose answers echo what was sent, and expressions that fail on a secret.
async fn plant_requests(planted: &mut Planted, host: &str) {
    let client = planted.client.clone();
    let mut urls = Vec::new();
    for (number, path) in ["/", "/text", "/bytes"].into_iter().enumerate() {
        let step = format!(
            "  - http:\n      url: 'http://{host}{path}?x=${{{{ secrets.HTTP }}}}'\n      headers:\n        authorization: 'Basic ${{{{ base64.encode(bytes(\"u:\" + secrets.HTTP)) }}}}'\n        x-plain: '${{{{ secrets.HTTP }}}}'\n      json: {{ s: '${{{{ secrets.HTTP }}}}' }}\n    as: answer\n  - set: {{ copy: '${{{{ answer }}}}' }}\n"
        );
        urls.push(planted.deploy(&format!("echo{number}"), "", &step).await);
    }
    for (number, url) in [
        "${{ secrets.HTTP }}://x/",
        "https://${{ secrets.HTTP }}@a.example/",
        "http://127.0.0.1:${{ secrets.HTTP }}/",
        "http://${{ secrets.HTTP }}.localhost/",
        "http://[${{ secrets.HTTP }}]/",
        "http://127.0.0.1/${{ secrets.HTTP }}",
        "https://a.example/${{ secrets.HTTP - 1 }}",
        "https://a.example/${{ vars[secrets.HTTP] }}",
        "https://a.example/${{ int(secrets.HTTP) }}",
        "https://a.example/${{ {secrets.HTTP: 1}.nothing }}",
    ]
    .into_iter()
    .enumerate()
    {
        let step = format!("  - http: {{ url: '{url}', on_error: continue }}\n    as: answer\n");
        urls.push(planted.deploy(&format!("error{number}"), "", &step).await);
    }
    let header = "  - http: { url: 'https://a.example/', headers: { x-a: \"${{ secrets.HTTP + '\\\\n' }}\" } }\n";
    urls.push(planted.deploy("header", "", header).await);
    for url in urls {
        planted.call(client.post(url).json(&json!({})), 202).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn p1_p2_p3_b13_what_must_not_be_kept_is_found_nowhere() {
    let host = echo().await;
    let (directory, mut planted) = planted(&host).await;
    for name in ["graph", "meta", "slack", "basic", "jwt", "http"] {
        let put = planted.api(Method::PUT, &format!("/v1/secrets/{}", name.to_uppercase()));
        let put = put.json(&json!({ "value": canary(name) })).send().await.unwrap();
        assert_eq!(put.status(), StatusCode::NO_CONTENT);
    }
    plant_proofs(&mut planted).await;
    plant_names(&mut planted).await;
    plant_requests(&mut planted, &host).await;

    let mut executions = planted.json("/v1/executions?limit=200").await;
    for _ in 0..500 {
        if executions["items"].as_array().unwrap().iter().all(|execution| execution["ended_at"].is_string()) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        executions = planted.json("/v1/executions?limit=200").await;
    }
    let mut echoed = 0;
    for execution in executions["items"].as_array().unwrap() {
        assert!(execution["ended_at"].is_string(), "{execution}");
        let execution = planted.json(&format!("/v1/executions/{}", execution["id"].as_str().unwrap())).await;
        echoed += usize::from(execution["journal"].to_string().contains("x-plain"));
    }
    assert!(echoed >= 2, "the echoes have come");
    // Records of what was refused come a moment later.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let listed = planted.json("/v1/callbacks?limit=200").await;
    let listed = listed["items"].as_array().unwrap().clone();
    assert!(listed.len() >= 28, "{}", listed.len());
    let mut callbacks = Vec::new();
    for callback in &listed {
        let callback = planted.json(&format!("/v1/callbacks/{}", callback["id"].as_str().unwrap())).await;
        assert!(callback["body_bytes"].is_u64());
        callbacks.push(callback);
    }
    let kept = serde_json::to_string(&callbacks).unwrap();
    assert!(
        kept.contains("resource") && kept.contains("page=7") && kept.contains("token=***"),
        "the rest is there: {kept}"
    );
    for path in ["/v1/flows", "/v1/secrets", "/v1/tickets", "/v1/users", "/metrics", "/v1/backup"] {
        let text = planted.api(Method::GET, path).send().await.unwrap().bytes().await.unwrap();
        assert!(!text.is_empty(), "{path}");
        planted.said.push(text.to_vec());
    }
    planted.process.terminate();
    assert_eq!(planted.process.wait(Duration::from_secs(20)), Some(0));
    for form in forms() {
        assert!(found_in(format!("x{form}y").as_bytes()).is_some(), "the search finds what is there");
    }
    for text in &planted.said {
        let text = String::from_utf8_lossy(text);
        assert_eq!(found_in(text.as_bytes()), None, "{text}");
    }
    let log = std::fs::read_to_string(&planted.log).unwrap();
    assert!(log.contains(" TRACE ") && !log.contains("DEBUG reqwest") && !log.contains("TRACE hyper"), "{log:.9999}");
    let mut all = vec![planted.log.clone()];
    files(planted.server.data(), &mut all);
    assert!(all.len() > 5, "{all:?}");
    for file in all {
        assert_eq!(found_in(&std::fs::read(&file).unwrap()), None, "{}", file.display());
    }
    drop(directory);
}

/// A pick must not bring into an execution what is kept of no callback.
#[tokio::test]
async fn k2_a_pick_of_a_credential_is_refused() {
    let server = TestServer::start().await;
    let flow = |pick: &str| {
        format!("flow: f\nsteps:\n  - trigger: T\n    redact: [x-door, '!token']\n    fields: {{ a: {pick} }}\n")
    };
    for (pick, instead) in [
        ("{ header: Authorization }", "auth: { basic: … }"),
        ("{ header: Cookie }", "`verify`"),
        ("{ header: user-token }", "auth: { user: required }"),
        ("{ header: X-Api-Key }", "verify: { plugin: … }"),
        ("{ header: X-Door }", "verify"),
        ("{ query: access_token }", "verify"),
        ("{ query: 'auth[0].secret' }", "verify"),
    ] {
        let (status, body) = server.try_deploy(&flow(pick)).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{pick}: {body}");
        let detail = body["errors"][0]["detail"].as_str().unwrap();
        assert!(detail.contains("carries a credential") && detail.contains(instead), "{pick}: {detail}");
        assert_eq!(body["errors"][0]["line"], 5);
        cases(1);
    }
    let (_, wrong) = server
        .try_deploy("flow: f\nsteps:\n  - trigger: T\n    redact: ['*', '!authorization', 'a b', '!x-*']\n")
        .await;
    assert_eq!(wrong["errors"].as_array().unwrap().len(), 4, "{wrong}");
    let url = server.deploy(&flow("{ query: token }")).await;
    let started: Value = server.fetch(&format!("{url}?token=EC-1&key=k")).await.json().await.unwrap();
    let execution = server.ended(started["execution"].as_str().unwrap()).await;
    assert_eq!(execution["journal"][0]["fields"], json!({ "a": "EC-1" }), "who knows better says so");
    assert_eq!(execution["journal"][0]["data"], json!({ "token": "EC-1", "key": "***" }));
}

/// A delivery cannot be known by what is the same in all of them: where the file says so, it is a mistake.
#[tokio::test]
async fn k1_what_is_the_same_in_every_callback_identifies_none() {
    let server = TestServer::start_with(|config| config.redact(&["x-acme-*"]).unwrap()).await;
    server.set_secret("S", "k").await;
    let flow = |lines: &str, by: &str| format!("flow: by\nsteps:\n  - trigger: T\n{lines}    dedupe: {{ by: {by} }}\n");
    let graph =
        "    verify: { scheme: microsoft-graph, secret: S }\n    fields: { a: '$.value[0].clientState', b: $.value }\n";
    for (lines, by, why) in [
        ("", "constant", "the same for every callback"),
        ("", "'a-${{ 1 + 1 }}'", "the same for every callback"),
        ("", "'${{ flow.name + environment.name + vars.a }}'", "the same for every callback"),
        ("", "callback.id", "as in `${{ data.id }}`"),
        ("", "'${{ callback.id }}'", "such as `data.id`"),
        ("", "'${{ data.id }}-${{ callback[\"id\"] }}'", "another one for every callback"),
        ("", "'${{ callback }}'", "another one for every callback"),
        ("", "'${{ callback.headers.authorization }}'", "`authorization` carries a credential"),
        ("", "'${{ callback.headers[\"x-api-key\"] }}-${{ data.id }}'", "`x-api-key` carries a credential"),
        ("", "'${{ callback.query.access_token }}'", "redact: ['!NAME']"),
        ("", "'${{ callback.headers[\"author\" + \"ization\"] }}'", "`authorization` carries a credential"),
        ("    redact: [x-door]\n", "'${{ callback.headers[\"X-Door\"] }}'", "`X-Door` carries a credential"),
        (graph, "'${{ data.value[0].clientState }}'", "`clientState` is what `verify` takes for proof"),
        (graph, "'${{ fields.a }}'", "`clientState` is what `verify` takes for proof"),
        (graph, "'${{ fields.b[0].clientState }}'", "`clientState` is what `verify` takes for proof"),
    ] {
        let (status, body) = server.try_deploy(&flow(lines, by)).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{by}: {body}");
        assert!(body["errors"][0]["detail"].as_str().unwrap().contains(why), "{by}: {body}");
        cases(1);
    }
    for (lines, by) in [
        (graph, "'${{ fields.b[0].id }}'"),
        ("", "'${{ callback.headers[\"x-request-id\"] }}'"),
        ("", "'${{ has(data.id) ? data.id : callback.id }}'"),
        ("    redact: ['!access_token']\n", "'${{ callback.query.access_token }}'"),
    ] {
        assert!(server.try_deploy(&flow(lines, by)).await.0.is_success(), "{by}");
    }
    // What the server hides is known when a callback comes.
    let url = server.deploy(&flow("", "'${{ callback.headers[\"x-acme-id\"] }}'")).await;
    let refused = server.call(Method::GET, &url).header("x-acme-id", "7").send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let trace = server.callback(&refused).await["trace"].to_string();
    assert!(trace.contains("`x-acme-id`") && trace.contains("redact: ['!NAME']"), "{trace}");
}

/// What is blanked tells no deliveries apart: nothing is taken for the answer to another one.
#[tokio::test]
async fn k1_a_delivery_is_not_known_by_what_is_not_kept() {
    let server = TestServer::start().await;
    let flow = |redact: &str, by: &str| {
        format!(
            "flow: by\nsteps:\n  - trigger: Hook\n    mode: sync\n    methods: [GET]\n{redact}    dedupe: {{ by: '{by}' }}\n"
        )
    };
    for by in ["o-${{ data.order_key }}", "${{ callback.query[data.which] }}"] {
        let url = server.deploy(&flow("", by)).await;
        for order in ["A", "B"] {
            let query = format!("{url}?which=order_key&order_key={order}");
            let refused = server.call(Method::GET, &query).send().await.unwrap();
            assert_eq!(refused.status(), StatusCode::INTERNAL_SERVER_ERROR);
            let problem = server.callback(&refused).await["trace"].to_string();
            let named = by.trim_start_matches("o-").trim_matches(['$', '{', '}', ' ']);
            assert!(problem.contains(&format!("`{named}`")) && problem.contains("redact: ['!NAME']"), "{problem}");
            assert_eq!(refused.json::<Value>().await.unwrap()["code"], "dedupe_redacted");
        }
    }
    for by in ["${{ callback.headers[data.which] }}", "o-${{ callback.headers[data.which.lowerAscii()].trim() }}"] {
        let url = server.deploy(&flow("", by)).await;
        let call = async |which: &str| {
            let request = server.call(Method::GET, &format!("{url}?which={which}")).basic_auth("a", Some("b"));
            request.header("x-id", "7").send().await.unwrap()
        };
        let refused = call("authorization").await;
        let problem = server.callback(&refused).await["trace"].to_string();
        assert!(problem.contains("cannot tell callbacks apart") && problem.contains("headers[data.which"), "{problem}");
        assert_eq!(refused.json::<Value>().await.unwrap()["code"], "dedupe_redacted");
        assert_eq!(call("x-none").await.json::<Value>().await.unwrap()["code"], "expression_failed");
        assert_eq!(call("x-id").await.status(), StatusCode::OK);
    }
    let url = server.deploy(&flow("    redact: ['!order_key']\n", "${{ callback.query.order_key }}")).await;
    let mut executions = Vec::new();
    for order in ["A", "B", "A"] {
        let answer = server.call(Method::GET, &format!("{url}?order_key={order}")).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        executions.push(server.callback(&answer).await["execution"].clone());
    }
    assert!(executions[0] != executions[1] && executions[0] == executions[2], "{executions:?}");
}

/// A service that answers `/N` with the Nth of these, of a content type.
async fn answering(answers: Vec<(&'static str, Vec<u8>)>) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let answer = async move |uri: axum::http::Uri| {
        let (kind, body) = answers[uri.path()[1..].parse::<usize>().unwrap()].clone();
        let shown = if body.len() < 100 && !body.contains(&b'\n') { body.clone() } else { b"-".to_vec() };
        ([("content-type", axum::http::HeaderValue::from_static(kind)), ("x-seen", shown.try_into().unwrap())], body)
    };
    tokio::spawn(async move { axum::serve(listener, axum::Router::new().fallback(answer)).await });
    host
}

/// P2: a service that repeats a secret writes it as it likes: some characters escaped, in either case, in JSON of its own,
/// encoded before or after that, without what is around it, or a part of it that it was sent alone.
#[tokio::test(flavor = "multi_thread")]
async fn p2_an_answer_that_repeats_a_secret_shows_nothing_of_it() {
    const TEXT: &str = "text/html";
    let latin = |text: &str| text.chars().map(|character| u8::try_from(character).unwrap()).collect::<Vec<u8>>();
    let hex = |text: &str| text.bytes().map(|byte| format!("{byte:02X}")).collect::<String>();
    let in_lines =
        |text: String| text.as_bytes().chunks(12).map(String::from_utf8_lossy).collect::<Vec<_>>().join("\r\n");
    let rows: Vec<(&str, Vec<u8>, Value)> = [
        ("k=hu%2fnt%22er+2&l=1", "k=***&l=1"),
        (
            r#"{"seen": "https:\/\/a.example\/?k=hu%2fnt%22er+%32", "again": "\u0068u\/nt\"er 2"} &amp; hu/nt&quot;er%202 end"#,
            r#"{"seen": "https:\/\/a.example\/?k=***", "again": "***"} &amp; *** end"#,
        ),
        ("<i>a&sol;b&plus;c&equals;d&colon;e&lowbar;f&LT;g&commat;h</i>", "<i>***</i>"),
        ("<i>a&#47b&#43c&equalsd&colone&lowbarf&LTg&commath</i>", "<i>***</i>"),
        ("line: trimmed,\tvalue!.", "line: ***."),
        ("a part is right4.", "a part is ***."),
        ("n = 4.2E9, 4200000000.0, 42", "n = ***, ***, 42"),
        ("k=p%E4ssw%F6rd", "k=***"),
        ("k=pÃ¤sswÃ¶rd", "k=***"),
    ]
    .into_iter()
    .map(|(answer, kept)| (TEXT, answer.as_bytes().to_vec(), kept.into()))
    .chain(
        [
            STANDARD.encode("?k=a%2Fb%2Bc%3Dd%3Ae_f%3Cg%40h"),
            URL_SAFE_NO_PAD.encode(r#""a\/b+c=d:e_f\u003cg@h"#),
            STANDARD.encode("=a&sol;b+c=d:e&lowbar;f&lt;g@h"),
            STANDARD.encode(STANDARD.encode("~a/b+c=d:e_f<g@h")),
            hex("a%2Fb+c=d:e_f&lt;g@h"),
            in_lines(STANDARD.encode("a/b+c=d:e_f<g@h")),
            in_lines(hex("a/b+c=d:e_f<g@h")),
        ]
        .into_iter()
        .map(|answer| (TEXT, answer.into_bytes(), Value::Null)),
    )
    .chain([
        ("text/plain; charset=iso-8859-1", latin("seen: pässwörd."), json!("***")),
        ("application/json", br#"{"n": 4.2e+9, "m": 42}"#.to_vec(), json!({ "n": "***", "m": 42 })),
    ])
    .collect();
    let host = answering(rows.iter().map(|(kind, body, _)| (*kind, body.clone())).collect()).await;
    let server = TestServer::start_with(|config| config.http_private_hosts = vec![host.clone()]).await;
    for (name, value) in [
        ("S", "hu/nt\"er 2"),
        ("H", "a/b+c=d:e_f<g@h"),
        ("L", "pässwörd"),
        ("T", " trimmed, value!\r\n"),
        ("C", "left-right4-half"),
        ("N", "4200000000"),
    ] {
        server.set_secret(name, value).await;
    }
    let source = format!(
        "flow: f\nsteps:\n  - trigger: T\n    mode: sync\n  - http:\n      url: 'http://{host}/${{{{ data.n }}}}'\n      headers: {{ x-key: '${{{{ secrets.S }}}}' }}\n      json: ['${{{{ secrets.H }}}}', '${{{{ secrets.L + secrets.T }}}}', '${{{{ secrets.C.split(\"-\")[1] }}}}', '${{{{ int(secrets.N) }}}}']\n    as: answer\n  - respond: {{ json: '${{{{ answer }}}}' }}\n"
    );
    let url = server.deploy(&source).await;
    for (number, (_, sent, kept)) in rows.iter().enumerate() {
        let answered: Value = server.post(&url, &json!({ "n": number })).await.json().await.unwrap();
        let sent = String::from_utf8_lossy(sent);
        let (body, seen) = (&answered["body"], answered["headers"]["x-seen"].as_str().unwrap());
        match kept {
            // But for what the last digits say of the byte behind, and padding.
            Value::Null => {
                let left = body.as_str().unwrap().replacen("***", "", 1);
                assert!(left.len() < 5 && body.as_str().unwrap().contains("***"), "{sent}: {answered}");
            }
            kept => assert_eq!(body, kept, "{sent}: {answered}"),
        }
        assert!(seen == "-" || seen.contains("***"), "{sent}: {answered}");
        cases(1);
    }
}

/// P2: a service that answers an attempt with what came with the one before knows the secret of that one.
#[tokio::test(flavor = "multi_thread")]
async fn p2_a_secret_that_is_changed_between_two_attempts_is_found() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let (came, mut seen) = tokio::sync::mpsc::channel::<String>(1);
    let (go, goes) = tokio::sync::mpsc::channel::<()>(1);
    let service = Arc::new((Mutex::new(String::new()), tokio::sync::Mutex::new(goes)));
    let answer = async move |body: String| {
        came.send(body.clone()).await.unwrap();
        service.1.lock().await.recv().await.unwrap();
        let mut first = service.0.lock().unwrap();
        if first.is_empty() {
            *first = body;
            return (StatusCode::SERVICE_UNAVAILABLE, String::new());
        }
        (StatusCode::OK, first.clone())
    };
    tokio::spawn(async move { axum::serve(listener, axum::Router::new().fallback(answer)).await });
    let server = TestServer::start_with(|config| config.http_private_hosts = vec![host.clone()]).await;
    for (name, value) in [("A", "hunter2hunter2"), ("B", "left-right4-half"), ("C", "unchanged-one")] {
        server.set_secret(name, value).await;
    }
    let source = format!(
        "flow: f\nsteps:\n  - trigger: T\n  - http:\n      url: 'http://{host}/'\n      method: POST\n      text: '1${{{{ secrets.A }}}}2${{{{ secrets.B.split(\"-\")[1] }}}}3${{{{ secrets.C }}}}4'\n      retry: {{ attempts: 2, backoff: 100ms }}\n    as: answer\n"
    );
    let url = server.deploy(&source).await;
    let started: Value = server.post(&url, &json!({})).await.json().await.unwrap();
    assert_eq!(seen.recv().await.unwrap(), "1hunter2hunter22right43unchanged-one4");
    for (name, value) in [("A", "another-value"), ("B", "up-side7-down")] {
        for value in [&format!("{value}-between"), value] {
            let put = server.api(Method::PUT, &format!("/v1/secrets/{name}"));
            let put = put.json(&json!({ "value": value, "keep_previous": "1h" })).send().await.unwrap();
            assert_eq!(put.status(), StatusCode::NO_CONTENT);
        }
    }
    go.send(()).await.unwrap();
    assert_eq!(seen.recv().await.unwrap(), "1another-value2side73unchanged-one4", "the newest is sent");
    go.send(()).await.unwrap();
    let run = server.ended(started["execution"].as_str().unwrap()).await;
    let answered = run["journal"].as_array().unwrap().iter().find(|entry| entry["kind"] == "http").unwrap();
    assert_eq!(answered["result"]["body"], "1***2***3***4", "{run}");
    cases(1);
}

/// Which secret is used is written in the flow; whether it is there may be asked.
#[tokio::test(flavor = "multi_thread")]
async fn p2_a_secret_is_named_and_may_be_absent() {
    let host = echo().await;
    let server = TestServer::start_with(|config| config.http_private_hosts = vec![host.clone()]).await;
    let flow = |expression: &str| {
        format!(
            "flow: f\nsteps:\n  - trigger: T\n    mode: sync\n  - http:\n      url: 'http://{host}/text'\n      text: '${{{{ {expression} }}}}'\n    as: answer\n  - respond: {{ text: '${{{{ answer.body }}}}' }}\n"
        )
    };
    for (expression, why) in [
        ("secrets", "`secrets.NAME`"),
        ("size(secrets)", "`secrets.NAME`"),
        ("\"A\" in secrets", "`secrets.NAME`"),
        ("secrets[data.which]", "its name cannot be computed"),
        ("secrets[data.which].a", "its name cannot be computed"),
        ("has(secrets.A.b)", "has no member `b`"),
        ("secrets[\"A-B\"]", "`A-B` is not the name of a secret"),
    ] {
        let (status, body) = server.try_deploy(&flow(expression)).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{expression}: {body}");
        assert!(body["errors"][0]["detail"].as_str().unwrap().contains(why), "{expression}: {body}");
        cases(1);
    }
    let url = server.deploy(&flow("has(secrets.NOPE) ? \"with \" + secrets[\"NO\" + \"PE\"] : \"without any\"")).await;
    let said = async || server.post(&url, &json!({})).await.text().await.unwrap();
    assert!(said().await.ends_with(" without any"));
    server.set_secret("NOPE", "nope-nope").await;
    assert!(said().await.ends_with(" ***"), "what was made of it is not shown either");
    let url = server.deploy(&flow("secrets.LATER")).await;
    let failed = server.post(&url, &json!({})).await;
    assert_eq!(failed.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let execution = server.callback(&failed).await["execution"].as_str().unwrap().to_owned();
    let execution = server.ended(&execution).await;
    assert!(execution["error"].to_string().contains("there is no secret LATER"), "{execution}");
    server.set_secret("LATER", "later").await;
    assert_eq!(server.post(&url, &json!({})).await.status(), StatusCode::OK);
}

//! A server in this process on ports of the system's choice, with a store of its own.

use reqwest::{Method, RequestBuilder, Response, StatusCode};
use ringback::app::Listeners;
use ringback::config::Config;
use ringback::server::run;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// The real binary.
pub const BINARY: &str = env!("CARGO_BIN_EXE_ringback");

/// A built plugin.
pub fn plugin(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("plugins").join(format!("{name}.wasm"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; run `cargo xtask plugins`", path.display()))
}

pub struct TestServer {
    pub public: String,
    pub admin: String,
    pub token: String,
    workspace: &'static str,
    data: Option<TempDir>,
    client: reqwest::Client,
    stop: Option<oneshot::Sender<()>>,
    running: Option<JoinHandle<Result<(), String>>>,
}

impl TestServer {
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let data = tempfile::tempdir().unwrap();
        Self::start_in(data, change).await
    }

    pub async fn start_in(data: TempDir, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::for_testing(data.path());
        change(&mut config);
        let bind = || TcpListener::bind("127.0.0.1:0");
        let listeners = Listeners { public: bind().await.unwrap(), admin: bind().await.unwrap() };
        let public = format!("http://{}", listeners.public.local_addr().unwrap());
        let admin = format!("http://{}", listeners.admin.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel::<()>();
        let (ready, is_ready) = oneshot::channel();
        let running = tokio::spawn(async move {
            let shutdown = async { drop(stopped.await) };
            let announce = |_: &_| {
                let _ = ready.send(());
            };
            run(config, listeners, PathBuf::from(BINARY), None, shutdown, announce)
                .await
                .map_err(|error| error.to_string())
        });
        is_ready.await.expect("the server did not start");
        let token = std::fs::read_to_string(data.path().join("admin-token")).unwrap();
        let none = reqwest::redirect::Policy::none();
        // On a slow machine, a connection that was idle for long may be closed when it is used again.
        let idle = Duration::from_secs(2);
        let client = reqwest::Client::builder().no_proxy().redirect(none).pool_idle_timeout(idle).build().unwrap();
        Self {
            public,
            admin,
            token,
            workspace: "default",
            data: Some(data),
            client,
            stop: Some(stop),
            running: Some(running),
        }
    }

    /// Everything that follows is about this workspace.
    pub fn in_workspace(mut self, workspace: &'static str) -> Self {
        self.workspace = workspace;
        self
    }

    pub fn data(&self) -> &Path {
        self.data.as_ref().unwrap().path()
    }

    /// Stops, and starts again on the same data.
    pub async fn restart(self) -> Self {
        self.restart_with(|_| {}).await
    }

    /// The same with other settings.
    pub async fn restart_with(self, change: impl FnOnce(&mut Config)) -> Self {
        Self::start_in(self.end().await, change).await
    }

    /// Stops: its data.
    pub async fn end(mut self) -> TempDir {
        drop(self.stop.take());
        self.running.take().unwrap().await.unwrap().unwrap();
        self.data.take().unwrap()
    }

    /// A URL of before a restart, where the server listens now.
    pub fn here(&self, url: &str) -> String {
        let path = url.splitn(4, '/').nth(3).unwrap();
        format!("{}/{path}", self.public)
    }

    pub fn api(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.admin)).bearer_auth(&self.token);
        match self.workspace {
            "default" => request,
            workspace => request.header("ringback-workspace", workspace),
        }
    }

    pub async fn get(&self, path: &str) -> Value {
        let response = self.api(Method::GET, path).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        response.json().await.unwrap()
    }

    pub async fn upload(&self, name: &str, bytes: Vec<u8>) -> (StatusCode, Value) {
        self.upload_as("application/wasm", name, bytes).await
    }

    /// Uploads a plugin in JavaScript.
    pub async fn upload_source(&self, name: &str, source: impl Into<Vec<u8>>) -> (StatusCode, Value) {
        self.upload_as("text/javascript", name, source.into()).await
    }

    async fn upload_as(&self, kind: &str, name: &str, bytes: Vec<u8>) -> (StatusCode, Value) {
        let path = format!("/v1/plugins/{name}/versions");
        let request = self.api(Method::POST, &path).header("content-type", kind).body(bytes);
        let response = request.timeout(Duration::from_secs(60)).send().await.unwrap();
        (response.status(), response.json().await.unwrap())
    }

    /// Uploads built plugins under their own names.
    pub async fn with_plugins(self, names: &[&str]) -> Self {
        for name in names {
            let (status, body) = self.upload(name, plugin(name)).await;
            assert_eq!(status, StatusCode::CREATED, "{name}: {body}");
        }
        self
    }

    pub async fn set_secret(&self, name: &str, value: &str) {
        let request = self.api(Method::PUT, &format!("/v1/secrets/{name}")).json(&json!({ "value": value }));
        assert_eq!(request.send().await.unwrap().status(), StatusCode::NO_CONTENT);
    }

    pub async fn try_deploy(&self, source: &str) -> (StatusCode, Value) {
        let name = source.lines().find_map(|line| line.strip_prefix("flow: ")).unwrap().trim();
        let request = self.api(Method::PUT, &format!("/v1/flows/{name}")).body(source.to_owned());
        let response = request.header("content-type", "application/yaml").send().await.unwrap();
        (response.status(), response.json().await.unwrap())
    }

    /// Deploys a flow: the URL of its trigger.
    pub async fn deploy(&self, source: &str) -> String {
        let (status, body) = self.try_deploy(source).await;
        assert!(status.is_success(), "{body:#}");
        body["triggers"][0]["urls"]["default"]["native"].as_str().unwrap().to_owned()
    }

    /// Deploys a flow: the URLs of its triggers.
    pub async fn deploy_all(&self, source: &str) -> Vec<String> {
        let (status, body) = self.try_deploy(source).await;
        assert!(status.is_success(), "{body:#}");
        urls(&body)
    }

    /// Deploys a flow: the URLs of its triggers in one face.
    pub async fn deploy_at(&self, face: &str, source: &str) -> Vec<String> {
        let (status, body) = self.try_deploy(source).await;
        assert!(status.is_success(), "{body:#}");
        let triggers = body["triggers"].as_array().unwrap();
        triggers.iter().map(|trigger| trigger["urls"]["default"][face].as_str().unwrap().to_owned()).collect()
    }

    /// The URLs of a deployed flow's triggers.
    pub async fn urls(&self, flow: &str) -> Vec<String> {
        urls(&self.get(&format!("/v1/flows/{flow}")).await)
    }

    pub async fn try_ticket(&self, request: &Value) -> (StatusCode, Value) {
        let response = self.api(Method::POST, "/v1/tickets").json(request).send().await.unwrap();
        (response.status(), response.json().await.unwrap())
    }

    /// Makes a ticket.
    pub async fn ticket(&self, request: &Value) -> Value {
        let (status, ticket) = self.try_ticket(request).await;
        assert_eq!(status, StatusCode::CREATED, "{ticket:#}");
        ticket
    }

    pub fn call(&self, method: Method, url: &str) -> RequestBuilder {
        self.client.request(method, url)
    }

    /// Gets.
    pub async fn fetch(&self, url: &str) -> Response {
        self.call(Method::GET, url).send().await.unwrap()
    }

    /// Posts JSON.
    pub async fn post(&self, url: &str, body: &Value) -> Response {
        self.call(Method::POST, url).json(body).send().await.unwrap()
    }

    /// The record of the callback that an answer belongs to. Records that nobody was promised come a moment later.
    pub async fn callback(&self, response: &Response) -> Value {
        let id = response.headers()["ringback-callback"].to_str().unwrap().to_owned();
        self.eventually(&format!("/v1/callbacks/{id}"), |_| true).await
    }

    /// An execution, once it has ended.
    pub async fn ended(&self, id: &str) -> Value {
        self.eventually(&format!("/v1/executions/{id}"), |execution| execution["ended_at"].is_string()).await
    }

    /// Something of the API, once it is as wanted.
    pub async fn eventually(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..500 {
            let response = self.api(Method::GET, path).send().await.unwrap();
            if response.status() == StatusCode::OK {
                let body: Value = response.json().await.unwrap();
                if wanted(&body) {
                    return body;
                }
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{path} did not come to be");
    }

    /// Removes what is at a path of the API while callers come, now earlier, now later: nobody is acknowledged into what is going,
    /// and nothing waits for ever. `make` makes it again, with a trigger behind the first, and says where the callers go.
    pub async fn race_a_removal(&self, path: &str, make: impl AsyncFn() -> String) {
        let mut removed = 0;
        for round in 0..40 {
            let url = make().await;
            let remove = tokio::spawn(self.api(Method::DELETE, path).send());
            let mut calls = Vec::new();
            for number in 0..8 {
                for _ in 0..20 * (round % 8) {
                    tokio::task::yield_now().await;
                }
                // A busy machine lets the removal win seldom: some callers begin when it is over.
                while round % 8 == 7 && number == 0 && !remove.is_finished() {
                    tokio::task::yield_now().await;
                }
                calls.push(tokio::spawn(self.call(Method::POST, &url).json(&json!({})).send()));
            }
            let status = remove.await.unwrap().unwrap().status();
            let mut executions = Vec::new();
            for call in calls {
                let answer = call.await.unwrap().unwrap();
                if answer.status() == StatusCode::ACCEPTED {
                    executions.push(answer.json::<Value>().await.unwrap()["execution"].as_str().unwrap().to_owned());
                }
            }
            match status {
                StatusCode::NO_CONTENT => assert_eq!(executions, Vec::<String>::new(), "round {round}"),
                status => assert_eq!(status, StatusCode::CONFLICT),
            }
            removed += usize::from(status == StatusCode::NO_CONTENT);
            for id in &executions {
                let cancelled = self.api(Method::POST, &format!("/v1/executions/{id}/cancel")).send().await.unwrap();
                assert_eq!(cancelled.status(), StatusCode::OK, "round {round}");
            }
            self.api(Method::DELETE, path).send().await.unwrap();
        }
        println!("{removed} of 40 removals won");
        assert!(removed > 0, "nothing was tried");
        assert_eq!(self.get("/v1/executions?status=waiting").await["items"], json!([]), "nothing waits for ever");
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(running) = self.running.take() {
            running.abort();
        }
    }
}

/// Says how many cases a test has tried, for the summary of `cargo xtask test`.
pub fn cases(count: usize) {
    println!("{count} cases");
}

/// GitHub's signature of a body.
pub fn github_signature(secret: &str, body: &[u8]) -> String {
    use aws_lc_rs::hmac;
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), body);
    let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256={hex}")
}

fn urls(flow: &Value) -> Vec<String> {
    let triggers = flow["triggers"].as_array().unwrap();
    triggers.iter().map(|trigger| trigger["urls"]["default"]["native"].as_str().unwrap().to_owned()).collect()
}

/// A request as a sink received it.
#[derive(Clone, Debug)]
pub struct Received {
    /// With the query.
    pub path: String,
    pub headers: axum::http::HeaderMap,
    pub body: String,
}

/// What the next requests for a path are answered, and after how long.
type Planned = HashMap<String, Vec<(u16, Duration)>>;

/// A server that takes the requests of flows.
pub struct Sink {
    pub url: String,
    received: Arc<Mutex<Vec<Received>>>,
    answers: Arc<Mutex<Planned>>,
}

impl Sink {
    pub async fn start() -> Self {
        Self::at("127.0.0.1:0").await
    }

    /// At an address that a flow names for good; whoever is there first has to go.
    pub async fn at(address: &str) -> Self {
        let listener = loop {
            match TcpListener::bind(address).await {
                Ok(listener) => break listener,
                Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                Err(error) => panic!("{address}: {error}"),
            }
        };
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (received, answers) = (Arc::<Mutex<Vec<Received>>>::default(), Arc::<Mutex<Planned>>::default());
        let sink = Self { url, received: Arc::clone(&received), answers: Arc::clone(&answers) };
        let take = move |request: axum::extract::Request| {
            let (received, answers) = (Arc::clone(&received), Arc::clone(&answers));
            async move {
                let (parts, body) = request.into_parts();
                let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
                let (count, (status, after)) = {
                    let mut received = received.lock().unwrap();
                    received.push(Received {
                        path: parts.uri.to_string(),
                        headers: parts.headers,
                        body: String::from_utf8(body.to_vec()).unwrap(),
                    });
                    let mut answers = answers.lock().unwrap();
                    let planned: Option<&mut Vec<_>> = answers.get_mut(parts.uri.path());
                    let answer = planned.filter(|planned| !planned.is_empty()).map(|planned| planned.remove(0));
                    (received.len(), answer.unwrap_or((200, Duration::ZERO)))
                };
                tokio::time::sleep(after).await;
                (axum::http::StatusCode::from_u16(status).unwrap(), axum::Json(json!({ "id": count })))
            }
        };
        tokio::spawn(async move { axum::serve(listener, axum::Router::new().fallback(take)).await });
        sink
    }

    /// Its host with its port, as the settings name it.
    pub fn host(&self) -> String {
        self.url.trim_start_matches("http://").to_owned()
    }

    /// What the next requests for a path are answered, and after how long; then 200.
    pub fn answer(&self, path: &str, answers: &[(u16, Duration)]) {
        self.answers.lock().unwrap().insert(path.to_owned(), answers.to_vec());
    }

    pub fn requests(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }
}

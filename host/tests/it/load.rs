//! Callbacks of every kind, as many callers send them, with a ledger of what was answered.

use crate::process::{Ledger, Process};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

const PAIR: &str = "flow: {name}
steps:
  - trigger: Start
    dedupe: { by: '${{ data.n }}' }
  - trigger: Second
    timeout: {timeout}
    on_timeout: continue
";
/// Each wait ends by itself after `{timeout}`, so that everything comes to its end.
const FLOWS: [(&str, &str); 5] = [
    (
        "waits",
        "flow: waits
steps:
  - trigger: Start
    dedupe: { by: '${{ data.n }}' }
  - delay: 50ms
  - trigger: Second
    when: data.counts
    dedupe: { by: '${{ data.callback }}' }
    timeout: {timeout}
    on_timeout: continue
  - set: { late: '${{ triggers.Second.timed_out }}' }
",
    ),
    ("any", PAIR),
    ("all", PAIR),
    (
        "judged",
        "flow: judged
steps:
  - trigger: Start
    dedupe: { by: '${{ data.n }}' }
    when: { plugin: misbehave, with: '${{ data.act }}' }
",
    ),
    (
        "answered",
        "flow: answered
steps:
  - trigger: Start
    mode: sync
    dedupe: { by: '${{ data.n }}' }
  - plugin: json-reshape
    with: { shape: { n: { path: $.data.n } } }
    as: shaped
  - respond: { status: 202, json: { execution: '${{ execution.id }}', n: '${{ shaped.n }}' } }
",
    ),
];
/// The flows that ask plugins.
const ASKING: [&str; 2] = ["judged", "answered"];

/// Numbers that look random and come again: a failure can be repeated.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// The admin API of a process.
pub struct Api {
    client: Client,
    admin: String,
    token: String,
    workspace: &'static str,
}

impl Api {
    pub fn new(process: &Process, data: &Path) -> Self {
        let client = Client::builder().no_proxy().timeout(Duration::from_secs(10)).build().unwrap();
        let token = std::fs::read_to_string(data.join("admin-token")).unwrap();
        Self { client, admin: process.admin.clone(), token, workspace: "default" }
    }

    /// Everything that follows is about this workspace.
    pub fn in_workspace(self, workspace: &'static str) -> Self {
        Self { workspace, ..self }
    }

    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.admin)).bearer_auth(&self.token);
        request.header("ringback-workspace", self.workspace)
    }

    pub async fn get(&self, path: &str) -> Option<Value> {
        let response = self.request(Method::GET, path).send().await.unwrap();
        response.status().is_success().then_some(())?;
        Some(response.json().await.unwrap())
    }

    /// Every item of a list.
    pub async fn all(&self, path: &str) -> Vec<Value> {
        let mut items = Vec::new();
        // Some lists have no pages, and take no limit.
        let mut query = String::new();
        loop {
            let page = self.get(&format!("{path}{query}")).await.unwrap();
            items.extend(page["items"].as_array().unwrap().iter().cloned());
            let Some(next) = page["next_cursor"].as_str() else { return items };
            query = format!("?limit=200&cursor={next}");
        }
    }

    /// The paths of a flow's triggers; `None` when nobody answered, or it could not be stored.
    pub async fn deploy(&self, name: &str, source: String) -> Option<Vec<String>> {
        let deployed = self.request(Method::PUT, &format!("/v1/flows/{name}")).body(source).send().await.ok()?;
        let status = deployed.status();
        assert!(status.is_success() || status == 503, "{name}: {status}");
        let flow: Value = deployed.json().await.ok()?;
        let url = |trigger: &Value| trigger["urls"]["default"]["native"].as_str().unwrap().to_owned();
        let path = |url: String| format!("/{}", url.splitn(4, '/').nth(3).unwrap());
        Some(flow["triggers"].as_array()?.iter().map(url).map(path).collect())
    }
}

/// What the senders share.
pub struct World {
    pub ledger: Ledger,
    paths: HashMap<&'static str, Vec<String>>,
    next: AtomicU64,
}

impl World {
    /// Deploys the flows; `None` when that did not work. Without the plugins `misbehave` and `json-reshape`, their flows are left out.
    pub async fn make(api: &Api, ledger: Ledger, timeout: &str, with_plugins: bool) -> Option<Arc<Self>> {
        let mut paths = HashMap::new();
        for (name, source) in FLOWS {
            if with_plugins || !ASKING.contains(&name) {
                paths.insert(
                    name,
                    api.deploy(name, source.replace("{name}", name).replace("{timeout}", timeout)).await?,
                );
            }
        }
        Some(Arc::new(Self { ledger, paths, next: AtomicU64::new(0) }))
    }

    /// Leaves out some numbers, for another world that goes on with the same ledger.
    pub fn numbers_from(self: Arc<Self>, first: u64) -> Arc<Self> {
        self.next.store(first, Ordering::Relaxed);
        self
    }

    /// Starts senders that send until they are stopped.
    pub fn send(self: &Arc<Self>, count: u64, process: &Process, data: &Path, seed: u64) -> Senders {
        let stopped = Arc::new(AtomicBool::new(false));
        let spawn = |number| {
            let mut sender = self.sender(process, data, seed.wrapping_add(number));
            let stopped = Arc::clone(&stopped);
            tokio::spawn(async move {
                while !stopped.load(Ordering::Relaxed) {
                    sender.step().await;
                }
            })
        };
        Senders { tasks: (0..count).map(spawn).collect(), stopped: Arc::clone(&stopped) }
    }

    pub fn sender(self: &Arc<Self>, process: &Process, data: &Path, seed: u64) -> Sender {
        Sender {
            world: Arc::clone(self),
            // A client of its own: connections of a dead server must not be tried again.
            client: Client::builder().no_proxy().timeout(Duration::from_secs(5)).build().unwrap(),
            api: Api::new(process, data),
            public: process.public.clone(),
            random: Random(seed),
        }
    }
}

pub struct Senders {
    tasks: Vec<tokio::task::JoinHandle<()>>,
    stopped: Arc<AtomicBool>,
}

impl Senders {
    /// Waits for what they have under way.
    pub async fn stop(self) {
        self.stopped.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.unwrap();
        }
    }
}

/// Kinds of what a sender does in one step.
pub const KINDS: u64 = 14;

/// One caller.
pub struct Sender {
    world: Arc<World>,
    client: Client,
    api: Api,
    public: String,
    random: Random,
}

impl Sender {
    /// An answer, once it is in the ledger; `None` when nobody answered, or it was none that promises something.
    async fn send(&self, what: &str, flow: &str, trigger: usize, query: &str, body: &Value) -> Option<Value> {
        let url = format!("{}{}{query}", self.public, self.world.paths[flow][trigger]);
        let response = self.client.post(url).json(body).send().await.ok()?;
        let status = response.status().as_u16();
        let callback = response.headers().get("ringback-callback")?.to_str().unwrap().to_owned();
        let answer: Value = serde_json::from_slice(&response.bytes().await.ok()?).unwrap_or_default();
        let line = json!({ "what": what, "flow": flow, "status": status, "callback": callback, "sent": body, "answer": answer });
        assert!(matches!(status, 202 | 204 | 404 | 500 | 503), "{line}");
        self.world.ledger.add(&line.to_string());
        (status == 202).then_some(answer)
    }

    async fn start(&self, flow: &'static str) -> Option<String> {
        let n = self.world.next.fetch_add(1, Ordering::Relaxed);
        let mut started = self.send("start", flow, 0, "", &json!({ "n": n })).await;
        if n.is_multiple_of(4) {
            // As a caller does who is not sure.
            let again = self.send("start", flow, 0, "", &json!({ "n": n })).await;
            if let (Some(first), Some(second)) = (&started, &again) {
                assert_eq!(first, second, "the same delivery got another answer");
            }
            started = started.or(again);
        }
        Some(started?["execution"].as_str().unwrap().to_owned())
    }

    pub async fn step(&mut self) -> Option<()> {
        let kind = self.random.below(KINDS);
        self.act(kind).await
    }

    /// Does what a kind of step means; `None` when it broke off.
    pub async fn act(&mut self, kind: u64) -> Option<()> {
        let number = self.world.next.fetch_add(1, Ordering::Relaxed);
        let body = |counts: bool| json!({ "callback": number, "counts": counts });
        match kind {
            // Early or late, once or twice, with one before that does not count.
            0..6 => {
                let execution = self.start("waits").await?;
                let query = format!("?execution={execution}");
                if kind >= 3 {
                    tokio::time::sleep(Duration::from_millis(300)).await;
                }
                if kind.is_multiple_of(3) {
                    let other = json!({ "callback": format!("not-{number}"), "counts": false });
                    self.send("wrong", "waits", 1, &query, &other).await;
                }
                self.send("resume", "waits", 1, &query, &body(true)).await;
                if kind % 3 == 1 {
                    self.send("resume", "waits", 1, &query, &body(true)).await;
                }
            }
            // Nobody comes.
            6 => drop(self.start("waits").await?),
            7 | 8 => {
                self.start("any").await?;
                self.send("any", "any", 1, "?execution=any", &body(true)).await;
            }
            9 => {
                for _ in 0..=self.random.below(3) {
                    self.start("all").await?;
                }
                self.send("all", "all", 1, "?execution=all", &body(true)).await;
            }
            10 => {
                let execution = self.start("any").await?;
                let cancel = self.api.request(Method::POST, &format!("/v1/executions/{execution}/cancel"));
                let status = cancel.send().await.ok()?.status().as_u16();
                let line = json!({ "what": "cancel", "status": status, "execution": execution });
                assert!(matches!(status, 200 | 409 | 503), "{line}");
                self.world.ledger.add(&line.to_string());
            }
            // A large one: the log goes on in its next file before long.
            11 => {
                let n = self.world.next.fetch_add(1, Ordering::Relaxed);
                let ballast = "x".repeat(100_000);
                self.send("start", "any", 0, "", &json!({ "n": n, "ballast": ballast })).await;
            }
            _ if !self.world.paths.contains_key("judged") => {}
            12 => {
                // Once, or twice at the same time.
                let body = json!({ "n": number });
                let ask = || self.send("start", "answered", 0, "", &body);
                let (first, second) = match number % 2 {
                    0 => tokio::join!(ask(), ask()),
                    _ => (ask().await, None),
                };
                if let (Some(first), Some(second)) = (first, second) {
                    assert_eq!(first, second, "the same delivery got another answer");
                }
            }
            _ => {
                let act = if self.random.below(3) == 0 { "trap" } else { "behave" };
                self.send("judged", "judged", 0, "", &json!({ "n": number, "act": act })).await;
            }
        }
        Some(())
    }
}

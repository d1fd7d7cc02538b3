//! Chaos: starts, early, late, repeated and wrong callbacks, `any`, timeouts and traps, while the process is killed at
//! random moments, sometimes again while it recovers. What was acknowledged is in a ledger outside the process; at the end the
//! ledger and the store must agree. `cargo xtask chaos --minutes N` runs it for longer.

use crate::process::{Ledger, Process};
use crate::support::{BINARY, plugin};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Kills in a run without `RINGBACK_CHAOS_MINUTES`.
const CYCLES: usize = 60;
const SENDERS: u64 = 8;

const WAITS: &str = "flow: waits
steps:
  - trigger: Start
    dedupe: { by: '${{ data.n }}' }
  - delay: 50ms
  - trigger: Second
    when: data.counts
    dedupe: { by: '${{ data.callback }}' }
    timeout: 2s
    on_timeout: continue
  - set: { late: '${{ triggers.Second.timed_out }}' }
";
const ANY: &str = "flow: any
steps:
  - trigger: Start
    dedupe: { by: '${{ data.n }}' }
  - trigger: Second
    timeout: 2s
    on_timeout: continue
";
const JUDGED: &str = "flow: judged
steps:
  - trigger: Start
    dedupe: { by: '${{ data.n }}' }
    when: { plugin: misbehave, with: '${{ data.act }}' }
";

/// Numbers that look random and come again: a failure can be repeated.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

struct Api {
    client: Client,
    admin: String,
    token: String,
}

impl Api {
    fn new(process: &Process, data: &Path) -> Self {
        let client = Client::builder().no_proxy().timeout(Duration::from_secs(10)).build().unwrap();
        let token = std::fs::read_to_string(data.join("admin-token")).unwrap();
        Self { client, admin: process.admin.clone(), token }
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method, format!("{}{path}", self.admin)).bearer_auth(&self.token)
    }

    async fn get(&self, path: &str) -> Option<Value> {
        let response = self.request(Method::GET, path).send().await.unwrap();
        response.status().is_success().then_some(())?;
        Some(response.json().await.unwrap())
    }

    /// Every item of a list.
    async fn all(&self, path: &str) -> Vec<Value> {
        let mut items = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = self.get(&format!("{path}?limit=200{cursor}")).await.unwrap();
            items.extend(page["items"].as_array().unwrap().iter().cloned());
            let Some(next) = page["next_cursor"].as_str() else { return items };
            cursor = format!("&cursor={next}");
        }
    }

    /// The paths of a flow's triggers.
    async fn deploy(&self, name: &str, source: &'static str) -> Vec<String> {
        let deployed = self.request(Method::PUT, &format!("/v1/flows/{name}")).body(source).send().await.unwrap();
        let flow: Value = deployed.json().await.unwrap();
        let url = |trigger: &Value| trigger["urls"]["default"]["native"].as_str().unwrap().to_owned();
        let path = |url: String| format!("/{}", url.splitn(4, '/').nth(3).unwrap());
        flow["triggers"].as_array().unwrap_or_else(|| panic!("{flow}")).iter().map(url).map(path).collect()
    }
}

/// What the senders share.
struct World {
    ledger: Ledger,
    paths: HashMap<&'static str, Vec<String>>,
    next: AtomicU64,
}

/// One that sends until the server is gone.
struct Sender {
    world: Arc<World>,
    client: Client,
    public: String,
    random: Random,
    stopped: Arc<AtomicBool>,
}

impl Sender {
    /// An answer, once it is in the ledger; `None` when nobody answered.
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

    async fn run(mut self) {
        while !self.stopped.load(Ordering::Relaxed) {
            self.step().await;
        }
    }

    async fn step(&mut self) -> Option<()> {
        let (kind, number) = (self.random.below(10), self.world.next.fetch_add(1, Ordering::Relaxed));
        let body = |counts: bool| json!({ "callback": number, "counts": counts });
        match kind {
            // Early or late, once or twice, with one before that does not count.
            0..6 => {
                let execution = self.start("waits").await?;
                let query = format!("?execution={execution}");
                if kind >= 3 {
                    tokio::time::sleep(Duration::from_millis(300)).await;
                }
                if kind % 3 == 0 {
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
            _ => {
                let act = if self.random.below(3) == 0 { "trap" } else { "behave" };
                self.send("judged", "judged", 0, "", &json!({ "n": number, "act": act })).await;
            }
        }
        Some(())
    }
}

#[expect(clippy::disallowed_methods, reason = "a setting of the test, not of the server")]
fn minutes() -> Option<u64> {
    std::env::var("RINGBACK_CHAOS_MINUTES").ok()?.parse().ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn chaos() {
    let minutes = minutes();
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let ledger = Ledger::open(directory.path().join("ledger"));
    let (started, mut random) = (Instant::now(), Random(0x5eed));
    let mut world: Option<Arc<World>> = None;
    let (mut cycles, mut early_kills) = (0, 0);
    while minutes.map_or(cycles < CYCLES, |minutes| started.elapsed() < Duration::from_secs(60 * minutes)) {
        if random.below(5) == 0 && world.is_some() {
            // A kill while it recovers.
            let mut child = Command::new(BINARY);
            child.args(["serve", "--public", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data"]).arg(&data);
            let mut child =
                child.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap();
            tokio::time::sleep(Duration::from_millis(random.below(60))).await;
            child.kill().unwrap();
            child.wait().unwrap();
            early_kills += 1;
        }
        let mut process = Process::start(&data);
        let world = match &world {
            Some(world) => Arc::clone(world),
            None => {
                let api = Api::new(&process, &data);
                let upload = api.request(Method::POST, "/v1/plugins/misbehave/versions").body(plugin("misbehave"));
                assert!(upload.send().await.unwrap().status().is_success());
                let mut paths = HashMap::new();
                for (name, source) in [("waits", WAITS), ("any", ANY), ("judged", JUDGED)] {
                    paths.insert(name, api.deploy(name, source).await);
                }
                Arc::clone(world.insert(Arc::new(World { ledger: ledger.clone(), paths, next: AtomicU64::new(0) })))
            }
        };
        let stopped = Arc::new(AtomicBool::new(false));
        let senders: Vec<_> = (0..SENDERS)
            .map(|number| {
                let sender = Sender {
                    world: Arc::clone(&world),
                    // A client of its own: connections of a dead server must not be tried again.
                    client: Client::builder().no_proxy().timeout(Duration::from_secs(5)).build().unwrap(),
                    public: process.public.clone(),
                    random: Random(random.below(u64::MAX) + number),
                    stopped: Arc::clone(&stopped),
                };
                tokio::spawn(sender.run())
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(50 + random.below(if cycles % 8 == 0 { 2500 } else { 400 }))).await;
        process.kill();
        stopped.store(true, Ordering::Relaxed);
        for sender in senders {
            sender.await.unwrap();
        }
        cycles += 1;
    }
    let lines = ledger.lines();
    let (entries, executions) = check(&data, &lines).await;
    the_check_notices(&data, &lines).await;
    let verified = Command::new(BINARY).args(["db", "verify", "--data"]).arg(&data).output().unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stdout));
    println!(
        "chaos: {cycles} kills and {early_kills} while recovering, {entries} answers, {executions} executions, 0 failures"
    );
}

/// The check must fail when the server had promised something else than what is there.
async fn the_check_notices(data: &Path, lines: &BTreeSet<String>) {
    let find = |what: &str| -> Value {
        let parsed = lines.iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
        parsed.into_iter().find(|line| line["what"] == what && line["status"] == 202).unwrap()
    };
    let (start, resume, any) = (find("start"), find("resume"), find("any"));
    let unknown = "018f0000-0000-7000-8000-000000000000";
    let with = |line: &Value, pointer: &str, value: Value| {
        let mut line = line.clone();
        *line.pointer_mut(pointer).unwrap() = value;
        line.to_string()
    };
    for (fault, line) in [
        ("an acknowledged start is lost", with(&start, "/callback", json!(unknown))),
        ("an acknowledged callback resumed nobody", with(&resume, "/callback", json!(unknown))),
        ("a start was answered with another execution", with(&start, "/answer/execution", json!(unknown))),
        (
            "any resumed another execution than it said",
            with(&any, "/answer/execution", resume["answer"]["execution"].clone()),
        ),
        ("a callback counted whose condition is false", with(&resume, "/what", json!("wrong"))),
        ("a start was a resumption", with(&resume, "/what", json!("start"))),
    ] {
        let mut tampered = lines.clone();
        tampered.insert(line);
        let data = data.to_owned();
        let checked = tokio::spawn(async move { check(&data, &tampered).await }).await;
        assert!(checked.is_err(), "not noticed: {fault}");
    }
    println!("chaos: the check notices 6 of 6 faults");
}

/// Compares what was acknowledged with what the store says, once everything has come to its end.
async fn check(data: &Path, lines: &BTreeSet<String>) -> (usize, usize) {
    let mut process = Process::start(data);
    let mut api = Api::new(&process, data);
    let mut runs = BTreeMap::new();
    for round in 1..=300 {
        let items = api.all("/v1/executions").await;
        let unended = items.iter().filter(|run| run["ended_at"].is_null()).count();
        let deferred = api.get("/v1/callbacks?outcome=kept&flow=judged").await.unwrap();
        runs = items.into_iter().map(|run| (run["id"].as_str().unwrap().to_owned(), run)).collect();
        if unended == 0 && deferred["items"].as_array().unwrap().is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        if round % 20 == 0 {
            // A start lets a plugin that rests be asked again.
            process.kill();
            process = Process::start(data);
            api = Api::new(&process, data);
        }
    }
    // By the callback that did it: which execution was started, and which resumed.
    let (mut starts, mut resumes) = (BTreeMap::new(), BTreeMap::new());
    let mut started_by = BTreeMap::new();
    for (id, run) in &mut runs {
        *run = api.get(&format!("/v1/executions/{id}")).await.unwrap();
        assert_eq!(run["status"], "completed", "it has not come to its end: {run:#}");
        let journal = run["journal"].as_array().unwrap();
        let of = |kind: &str| journal.iter().filter(|entry| entry["kind"] == kind).collect::<Vec<_>>();
        let key = format!("{} {}", run["flow"], of("started")[0]["data"]["n"]);
        assert!(started_by.insert(key.clone(), id.clone()).is_none(), "two executions for {key}");
        starts.insert(run["callback"].as_str().unwrap().to_owned(), id.clone());
        let (resumed, late) = (of("resumed"), of("timed-out"));
        let waits = usize::from(run["flow"] != "judged");
        assert_eq!(resumed.len() + late.len(), waits, "a wait ends once: {run:#}");
        for entry in resumed {
            let callback = entry["callback"].as_str().unwrap().to_owned();
            assert!(resumes.insert(callback, id.clone()).is_none(), "one callback resumed two: {run:#}");
        }
    }
    let mut resumed_early = 0;
    for line in lines {
        let line: Value = serde_json::from_str(line).unwrap();
        if line["status"] != 202 {
            continue;
        }
        let (callback, execution) = (line["callback"].as_str().unwrap(), line["answer"]["execution"].as_str());
        let record = api.get(&format!("/v1/callbacks/{callback}")).await;
        let record = record.unwrap_or_else(|| panic!("the acknowledged callback {callback} is lost: {line}"));
        let kept = line["answer"]["outcome"] == "kept";
        match line["what"].as_str().unwrap() {
            "start" => assert_eq!(starts.get(callback).map(String::as_str), execution, "{line}"),
            "judged" if !kept => assert_eq!(starts.get(callback).map(String::as_str), execution, "{line}"),
            "judged" => {
                let expected = if line["sent"]["act"] == "trap" { "failed" } else { "started" };
                assert_eq!(record["outcome"], expected, "{record:#}");
            }
            "wrong" => assert!(!resumes.contains_key(callback), "{line}"),
            // The only one that counts: kept or not, it must have ended the wait.
            _ => {
                assert_eq!(resumes.get(callback).map(String::as_str), execution, "{line}\n{record:#}");
                resumed_early += usize::from(kept);
            }
        }
    }
    assert!(lines.len() > 100 && resumed_early > 0, "{} answers, {resumed_early} early", lines.len());
    process.kill();
    (lines.len(), runs.len())
}

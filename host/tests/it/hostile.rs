//! Components that want to hurt: written by hand, generated, and damaged. For each the server lives, says what was wrong, and
//! has its memory and handles back afterwards; a well-behaved trigger is answered all the while.
//! `cargo xtask hostile --count N` tries more of the generated ones.

use crate::corpus;
use crate::load::{Api, Random};
use crate::process::{Process, Server};
use crate::support::plugin;
use arbitrary::Unstructured;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Generated components in a run without `HOSTILE_COUNT`.
const GENERATED: usize = 500;
/// What may stay behind after all of them: the allocator keeps some, and the store for each callback and each deployment.
const GROWTH_KIB_MAX: usize = 84 * 1024;
const RECORD_KIB_MAX: usize = 4;
/// An upload or a deployment is answered within this: none of these makes the compiler use its 20 s.
const UPLOAD_WITHIN: Duration = Duration::from_secs(10);
/// A call is answered within this: a condition is stopped after 200 ms, and what else the machine does may last.
const CALL_WITHIN: Duration = Duration::from_secs(5);
/// The p99 of the good calls meanwhile. They take some milliseconds; what is asserted is that nobody is in their way.
const GOOD_P99_WITHIN: Duration = Duration::from_millis(500);

/// What a busy machine may do to a component: it has no processor time for it. That says nothing of the component, so a deployment
/// is asked for again, and the record of a callback that was kept is read again, so often.
const TRIES: usize = 600;
const PAUSE: Duration = Duration::from_millis(100);

/// A configuration that the plugin is asked about when the flow is deployed, and one that it is not.
const CHECKED: &str = "{ a: 1 }";
const UNCHECKED: &str = "'${{ data.a }}'";

#[expect(clippy::disallowed_methods, reason = "a setting of the test, not of the server")]
fn count() -> usize {
    std::env::var("HOSTILE_COUNT").ok().and_then(|count| count.parse().ok()).unwrap_or(GENERATED)
}

/// A server, and what it has of the system's.
struct Target {
    process: Process,
    api: Api,
    client: reqwest::Client,
}

/// What became of the generated ones: how often each code was the answer.
type Classes = BTreeMap<String, usize>;

impl Target {
    fn status(&self, name: &str) -> usize {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).expect("the server is alive");
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    fn handles(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.process.id())).unwrap().count()
    }

    fn children(&self) -> String {
        let id = self.process.id();
        std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default()
    }

    /// What a component did whose callback was kept. One that the server had no processor time for is tried again until the component
    /// itself is judged; one that failed, and says that this may pass, was judged.
    async fn judged(&self, kept: &Value) -> String {
        let path = format!("/v1/callbacks/{}", kept["callback"].as_str().unwrap());
        for _ in 0..TRIES {
            let record = self.api.get(&path).await.unwrap_or_default();
            let trace = record["trace"].as_array().map(Vec::as_slice).unwrap_or_default();
            let failure = trace.iter().rev().find_map(|entry| entry["plugins"][0]["failure"].as_str());
            match (record["outcome"].as_str(), failure) {
                (Some("kept"), Some("plugin_busy")) | (None, _) => tokio::time::sleep(PAUSE).await,
                (_, Some(failure)) => return failure.to_owned(),
                (Some("ignored"), None) => return "204".to_owned(),
                (Some("started"), None) => return "202".to_owned(),
                (Some(_), None) => return record.to_string(),
            }
        }
        "never judged".to_owned()
    }

    /// Uploads a component, lets a flow use it with this configuration, calls the flow, and removes both.
    async fn try_out(&self, bytes: Vec<u8>, with: &str, slowest: &mut Slowest) -> Vec<String> {
        let upload = self.api.request(Method::POST, "/v1/plugins/hostile/versions").body(bytes);
        let uploaded = Answer::of(upload, UPLOAD_WITHIN, &mut slowest.upload).await;
        if !uploaded.accepted {
            return vec![uploaded.code];
        }
        let mut codes = vec!["uploaded".to_owned()];
        let flow = format!("flow: hostile\nsteps:\n  - trigger: T\n    when: {{ plugin: hostile, with: {with} }}\n");
        let deploy = || self.api.request(Method::PUT, "/v1/flows/hostile").body(flow.clone());
        let mut deployed = Answer::of(deploy(), UPLOAD_WITHIN, &mut slowest.upload).await;
        for _ in 1..TRIES {
            if !deployed.body.to_string().contains("not given enough processor time") {
                break;
            }
            tokio::time::sleep(PAUSE).await;
            deployed = Answer::of(deploy(), UPLOAD_WITHIN, &mut slowest.upload).await;
        }
        if deployed.accepted {
            let url = deployed.body["triggers"][0]["urls"]["default"]["native"].as_str().unwrap();
            let call = self.client.post(url).json(&json!({ "a": "ä".repeat(1000) }));
            let answer = Answer::of(call, CALL_WITHIN, &mut slowest.call).await;
            codes.push(match answer.code.as_str() {
                "kept" => self.judged(&answer.body).await,
                _ => answer.code,
            });
            self.api.request(Method::DELETE, "/v1/flows/hostile").send().await.unwrap();
        } else {
            codes.push(deployed.code);
        }
        let removed = self.api.request(Method::DELETE, "/v1/plugins/hostile").send().await.unwrap();
        assert!(removed.status().is_success(), "{}", removed.status());
        codes
    }
}

/// The longest times until an answer.
#[derive(Default)]
struct Slowest {
    upload: Duration,
    call: Duration,
}

struct Answer {
    accepted: bool,
    /// Of its problem document, or `kept`, or its status.
    code: String,
    body: Value,
}

impl Answer {
    async fn of(request: reqwest::RequestBuilder, within: Duration, slowest: &mut Duration) -> Self {
        let begun = Instant::now();
        let answer = async {
            let response = request.timeout(within).send().await?;
            let status = response.status();
            let kept = response.headers().get("ringback-outcome").is_some_and(|outcome| outcome == "kept");
            // A 204 has none.
            let body: Value = serde_json::from_slice(&response.bytes().await?).unwrap_or_default();
            let code = match body["code"].as_str() {
                Some(code) => code.to_owned(),
                None if kept => "kept".to_owned(),
                None => status.as_u16().to_string(),
            };
            Ok::<_, reqwest::Error>(Self { accepted: status.is_success(), code, body })
        };
        let answer = answer.await.unwrap_or_else(|error| {
            let code = format!("no answer within {} s: {error:?}", within.as_secs());
            Self { accepted: false, code, body: Value::Null }
        });
        *slowest = begun.elapsed().max(*slowest);
        answer
    }
}

/// Calls a good trigger until it is told to stop: how long each call took, and how many were not answered as they should be.
async fn good_calls(client: reqwest::Client, url: String, stop: Arc<AtomicBool>) -> (Vec<Duration>, usize) {
    let (mut took, mut wrong) = (Vec::new(), 0);
    while !stop.load(Ordering::Relaxed) {
        let begun = Instant::now();
        let answered = client.post(&url).json(&json!({ "a": 1 })).timeout(CALL_WITHIN).send().await;
        if !answered.is_ok_and(|answered| answered.status() == StatusCode::ACCEPTED) {
            wrong += 1;
        }
        took.push(begun.elapsed());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    took.sort_unstable();
    (took, wrong)
}

async fn start(data: &Path) -> (Target, String) {
    let process = Server::new(data).start();
    let api = Api::new(&process, data);
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let upload = api.request(Method::POST, "/v1/plugins/field-match/versions").body(plugin("field-match"));
    assert!(upload.send().await.unwrap().status().is_success());
    let flow = "flow: good\nsteps:\n  - trigger: T\n    when: { plugin: field-match, with: { all: [{ path: $.a, op: exists }] } }\n";
    let deployed = api.request(Method::PUT, "/v1/flows/good").body(flow).send().await.unwrap();
    let deployed: Value = deployed.json().await.unwrap();
    let url = deployed["triggers"][0]["urls"]["default"]["native"].as_str().unwrap().to_owned();
    (Target { process, api, client }, url)
}

/// What was wrong with a component is always said with one of these.
fn is_classified(code: &str) -> bool {
    code.starts_with("plugin_") || matches!(code, "uploaded" | "202" | "204" | "flow_mistakes")
}

fn flipped(good: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut bytes = good[usize::try_from(random.below(good.len() as u64)).unwrap()].clone();
    for _ in 0..=random.below(3) {
        let place = usize::try_from(random.below(bytes.len() as u64)).unwrap();
        bytes[place] ^= 1 << random.below(8);
    }
    if random.below(4) == 0 {
        bytes.truncate(usize::try_from(random.below(bytes.len() as u64)).unwrap());
    }
    bytes
}

fn seed(random: &mut Random) -> Vec<u8> {
    (0..16_384).map(|_| u8::try_from(random.below(256)).unwrap()).collect()
}

/// A module with the right exports and random insides, or any component at all.
fn generated(random: &mut Random) -> Option<Vec<u8>> {
    let seed = seed(random);
    let mut input = Unstructured::new(&seed);
    if random.below(4) == 0 {
        let config = wasm_smith::Config::default();
        return wasm_smith::Component::new(config, &mut input).ok().map(|component| component.to_bytes());
    }
    let config = wasm_smith::Config {
        exports: Some(corpus::exports()),
        gc_enabled: false,
        threads_enabled: false,
        memory64_enabled: false,
        exceptions_enabled: false,
        relaxed_simd_enabled: false,
        max_memories: 0,
        max_memory32_bytes: 1 << 20,
        max_table_elements: 1000,
        max_imports: 0,
        memory_max_size_required: false,
        ..wasm_smith::Config::default()
    };
    let module = wasm_smith::Module::new(config, &mut input).ok()?;
    Some(corpus::with_type(module.to_bytes()))
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let (target, good_url) = start(&data).await;
    let stop = Arc::new(AtomicBool::new(false));
    let good = tokio::spawn(good_calls(target.client.clone(), good_url, Arc::clone(&stop)));
    let mut slowest = Slowest::default();
    // What is made once is there before it is measured.
    target.try_out(corpus::with_type(corpus::module("unreachable", "")), CHECKED, &mut slowest).await;
    let (memory, handles) = (target.status("VmRSS:"), target.handles());

    let (mut failures, mut by_hand, mut classes) = (Vec::new(), 0, Classes::new());
    for (name, bytes, expected) in corpus::by_hand() {
        let codes = target.try_out(bytes, CHECKED, &mut slowest).await;
        let last = codes.last().cloned().unwrap_or_default();
        if !expected.contains(&last.as_str()) {
            failures.push(format!("{name}: {codes:?}, expected one of {expected:?}"));
        }
        by_hand += 1;
    }
    let good_plugins = ["field-match", "misbehave", "json-reshape", "template-reply"].map(plugin);
    let mut random = Random(0x5eed);
    let mut tried = 0;
    while tried < count() {
        let bytes = match tried % 2 {
            0 => Some(flipped(&good_plugins, &mut random)),
            _ => generated(&mut random),
        };
        let Some(bytes) = bytes else { continue };
        for code in target.try_out(bytes, UNCHECKED, &mut slowest).await {
            if !is_classified(&code) {
                failures.push(format!("generated {tried}: {code}"));
            }
            *classes.entry(code).or_default() += 1;
        }
        tried += 1;
    }
    stop.store(true, Ordering::Relaxed);
    let (took, wrong) = good.await.unwrap();
    let p99 = took[took.len() * 99 / 100];
    let (grown, more) = (target.status("VmRSS:").saturating_sub(memory), target.handles().saturating_sub(handles));
    let allowed = GROWTH_KIB_MAX + RECORD_KIB_MAX * (took.len() + tried);
    if grown > allowed || more > 8 || !target.children().is_empty() {
        failures.push(format!("{grown} KiB of {allowed} and {more} handles stayed, children: {:?}", target.children()));
    }
    if wrong > 0 || p99 > GOOD_P99_WITHIN {
        failures.push(format!("{wrong} of {} good calls were not answered, p99 {p99:.1?}", took.len()));
    }
    println!(
        "hostile components: {by_hand} by hand, {tried} generated {classes:?}, slowest upload {:.1?} and call {:.1?}, {} good \
         calls meanwhile with p99 {p99:.1?}, {grown} KiB and {more} handles more, {} failures",
        slowest.upload,
        slowest.call,
        took.len(),
        failures.len()
    );
    assert!(by_hand >= 80 && failures.is_empty(), "{failures:#?}");
}

/// Something that computes until it is dropped.
struct Spinning(Child);

impl Drop for Spinning {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// So many for each processor, all of which have begun: on a busy machine that takes a while.
async fn spinning(per_processor: usize) -> Vec<Spinning> {
    let spin = || Command::new("bash").args(["-c", "while :; do :; done"]).spawn().unwrap();
    let processors = std::thread::available_parallelism().unwrap().get();
    let all: Vec<Spinning> = (0..per_processor * processors).map(|_| Spinning(spin())).collect();
    for Spinning(child) in &all {
        while processor_time(child.id()) < Duration::from_millis(50) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    all
}

/// What a process has used of the processors.
fn processor_time(process: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    // Behind the name, which may hold anything, the 12th and 13th are its time in both modes, in hundredths of a second.
    let fields = stat.rsplit(')').next().unwrap().split_whitespace().skip(11).take(2);
    Duration::from_millis(10 * fields.map(|field| field.parse::<u64>().unwrap()).sum::<u64>())
}

/// A server with the plugin that misbehaves, and the path of the first trigger of a flow `test`.
async fn misbehaving(data: &Path, source: &str) -> (Process, Api, String) {
    let process = Server::new(data).start();
    let api = Api::new(&process, data);
    let upload = api.request(Method::POST, "/v1/plugins/misbehave/versions").body(plugin("misbehave"));
    assert_eq!(upload.send().await.unwrap().status(), StatusCode::CREATED);
    let path = api.deploy("test", source.to_owned()).await.unwrap().remove(0);
    (process, api, path)
}

/// A plugin that gets no processor time has done nothing wrong: its callbacks are kept, and it never rests for that.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_gets_no_processor_time_is_not_the_plugins_fault() {
    let directory = tempfile::tempdir().unwrap();
    let source = "flow: test\nsteps:\n  - trigger: Hook\n    when: { plugin: misbehave, with: '${{ data.act }}' }\n";
    let (process, api, path) = misbehaving(&directory.path().join("data"), source).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let post = async |act: Value| {
        let post = client.post(format!("{}{path}", process.public)).json(&json!({ "act": &act }));
        let response = post.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::ACCEPTED, "{act}");
        let id = response.headers()["ringback-callback"].to_str().unwrap().to_owned();
        api.get(&format!("/v1/callbacks/{id}")).await.unwrap()
    };
    let spinning = spinning(4).await;
    for _ in 0..6 {
        let record = post(json!({ "burn": 80_000_000 })).await;
        assert_eq!(record["outcome"], "kept", "{record}");
        let entry = record["trace"].as_array().unwrap().last().unwrap();
        assert_eq!(entry["plugins"][0]["failure"], "plugin_busy", "{entry}");
        assert!(entry["reason"].as_str().unwrap().contains("not given enough processor time"), "{entry}");
    }
    drop(spinning);
    // What was kept is tried again, and on a slow machine it is too much now: then the plugin rests for a minute.
    while post(json!("behave")).await["outcome"] != "started" {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// R1: a step that gets no processor time is called again until it has some; its execution does not fail for that.
#[tokio::test(flavor = "multi_thread")]
async fn r1_a_step_that_gets_no_processor_time_is_called_again() {
    let directory = tempfile::tempdir().unwrap();
    let source = "flow: test\nsteps:\n  - trigger: Hook\n  - plugin: misbehave\n    with: '${{ data.act }}'\n";
    let (process, api, path) = misbehaving(&directory.path().join("data"), source).await;
    let spinning = spinning(6).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let act = json!({ "act": { "burn": 250_000_000 } });
    let answer = client.post(format!("{}{path}", process.public)).json(&act).send().await.unwrap();
    let id = answer.json::<Value>().await.unwrap()["execution"].as_str().unwrap().to_owned();
    let run = async || api.get(&format!("/v1/executions/{id}")).await.unwrap();
    for _ in 0..40 {
        let run = run().await;
        assert_ne!(run["error"]["code"], "plugin_busy", "{run:#}");
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    drop(spinning);
    while run().await["ended_at"].is_null() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // On a slow machine it is too much, also alone.
    let run = run().await;
    let fits = run["status"] == "completed" || run["error"]["code"] == "plugin_out_of_time";
    assert!(fits, "{run:#}");
}

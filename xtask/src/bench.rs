//! The benchmarks: a server and its load on loopback, against two floors, as ratios taken in one run.

use crate::http::github_signature;
use crate::process::{cargo, root, run as run_command, target, try_run};
use crate::server::Server;
use crate::{languages, neighbours, plugins};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

const CONNECTIONS: &str = "32";
/// What signs the callbacks.
pub const SECRET: &str = "benchmark";
/// Each pair is measured this many times, alternating; medians are given.
const ROUNDS: usize = 3;

/// A measured case: a flow against a floor.
struct Case {
    what: &'static str,
    flow: &'static str,
    status: &'static str,
    durable: bool,
    goal: Option<f64>,
}

const VERIFY: &str = "verify: { scheme: github, secret: BENCH }";

/// Measures everything for `seconds` per case and round, prints it, and writes `host/benches/RESULTS.md`.
pub fn run(seconds: u64) -> Result<()> {
    plugins::build_all()?;
    build()?;
    let release = target().join("release");
    let data = target().join("bench");
    let _ = std::fs::remove_dir_all(&data);
    std::fs::create_dir_all(&data)?;
    let body = payload();

    let server = prepare(&release.join("ringback"), &data.join("server"))?;
    let floor = Floor::start(&release.join("examples/floor"), None)?;
    let floor_durable = Floor::start(&release.join("examples/floor_durable"), Some(&data.join("floor.log")))?;
    let load = |address: &str, path: &str, status: &str| {
        let target = Target { address, path, status };
        load(&release, target, seconds, &body, CONNECTIONS, None)
    };
    let address = server.public.trim_start_matches("http://").to_owned();

    let mut rows = Vec::new();
    for case in cases() {
        let name = deploy(&server, &data, &case)?;
        let url = server.url_of(&name, 0)?;
        let path = url.strip_prefix(&server.public).context("the URL is elsewhere")?.to_owned();
        let (mut ours, mut floors) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let (floor, status) = if case.durable { (&floor_durable, "202") } else { (&floor, "204") };
            floors.push(load(&floor.address, "/", status)?);
            ours.push(load(&address, &path, case.status)?);
        }
        let (ours, floor) = (median(ours), median(floors));
        let ratio = ours.per_second / floor.per_second;
        println!(
            "{:<58} {:>7.0}/s  floor {:>7.0}/s  ratio {ratio:.2}  p50 {} µs  p99 {} µs",
            case.what, ours.per_second, floor.per_second, ours.p50_us, ours.p99_us
        );
        rows.push(json!({
            "what": case.what, "per_second": ours.per_second, "floor": floor.per_second, "ratio": ratio,
            "floor_name": if case.durable { "floor-durable" } else { "floor" },
            "goal": case.goal, "p50_us": ours.p50_us, "p99_us": ours.p99_us,
        }));
    }
    let memory_kib = resident_kib(server.id())?;
    drop((server, floor, floor_durable));
    let call_us = call_micros(&release)?;
    println!("instance, call and teardown of a condition: {call_us:.1} µs");
    drop(prepare(&release.join("ringback"), &data.join("start"))?);
    let start_up_ms = [start_up(&release, &data.join("start"))?, start_up(&release, &data.join("server"))?];
    let [small, loaded] = start_up_ms;
    println!(
        "start of the process to the first served callback, ten plugins cached: {small:.0} ms ({loaded:.0} ms after the load)"
    );
    println!("resident memory after the load: {} MiB", memory_kib / 1024);
    let languages = languages::measure(&release, &data.join("languages"))?;
    let waits = waits(&release, &data.join("waits"), seconds)?;
    let keys = correlation(&release, &data.join("keys"), seconds)?;
    let neighbours = neighbours::measure(&release, &data.join("neighbours"), "")?;
    write_results(&rows, call_us, start_up_ms, memory_kib, &[&languages, &waits, &keys, &neighbours], seconds)
}

fn build() -> Result<()> {
    println!("building with optimisation (the first time this takes about ten minutes)");
    run_command(cargo().args([
        "build",
        "--release",
        "--locked",
        "--package",
        "ringback",
        "--bin",
        "ringback",
        "--examples",
    ]))
}

/// How many executions wait for a key when one is found.
const WAITING_FOR_KEYS: [u64; 3] = [1, 100_000, 1_000_000];

/// Measures how executions are found by their keys, and prints it.
pub fn correlation_alone(seconds: u64) -> Result<()> {
    build()?;
    let data = target().join("bench/keys");
    let _ = std::fs::remove_dir_all(&data);
    std::fs::create_dir_all(&data)?;
    correlation(&target().join("release"), &data, seconds).map(drop)
}

/// Starts, and resumptions by the key that both say, beside more and more executions that wait for others: lines of a table.
fn correlation(release: &Path, data: &Path, seconds: u64) -> Result<String> {
    const FLOW: &str = "flow: keys\nsteps:\n  - trigger: First\n    verify: none\n  - trigger: Second\n    timeout: 72h\n    correlate: { \
                        callback: data.order.id, execution: triggers.First.data.order.id }\n";
    let server = Server::start(&release.join("ringback"), data, ["127.0.0.1:0"; 2])?;
    let [first, second] = deploy_two(&server, data, "keys", FLOW)?;
    let address = server.public.trim_start_matches("http://").to_owned();
    let body = r#"{"order": {"id": "KEY", "total": 12.5}}"#;
    let run = |arguments: &[&str]| waits_load(release, arguments, body);
    let seconds = seconds.to_string();
    let (mut lines, mut have) = (String::new(), 0);
    for waiting in WAITING_FOR_KEYS {
        fill(release, &address, &first, waiting - have, body)?;
        have = waiting;
        let pairs = run(&["keys", &address, &first, &second, CONNECTIONS, &seconds])?;
        // One at a time: what a single caller sees.
        let alone = run(&["keys", &address, &first, &second, "1", &seconds])?;
        let line = format!(
            "| {waiting} | {} | {} µs | {} µs | {} µs | {} µs |\n",
            pairs["per_second"], alone["start_p50_us"], alone["p50_us"], alone["start_p99_us"], alone["p99_us"],
        );
        print!("{line}");
        lines.push_str(&line);
    }
    Ok(lines)
}

/// How many executions wait when pairs of a start and a resumption are measured.
const WAITING: [u64; 4] = [1_000, 10_000, 100_000, 1_000_000];

/// Deploys a flow of two triggers: the paths of their URLs.
fn deploy_two(server: &Server, data: &Path, name: &str, flow: &str) -> Result<[String; 2]> {
    let file = data.join(format!("{name}.yaml"));
    std::fs::write(&file, flow)?;
    server.ringback(&["flow", "apply"], Some(&file), None)?;
    let path = |trigger| -> Result<String> {
        let url = server.url_of(name, trigger)?;
        Ok(url.strip_prefix(&server.public).context("the URL is elsewhere")?.to_owned())
    };
    Ok([path(0)?, path(1)?])
}

const ORDER: &str = r#"{"order": {"id": 4711, "total": 12.5}}"#;

/// Starts so many executions as fast as it can: what the load says of it.
pub fn fill(release: &Path, address: &str, path: &str, count: u64, body: &str) -> Result<Value> {
    waits_load(release, &["fill", address, path, CONNECTIONS, &count.to_string()], body)
}

/// Runs the load of executions that wait.
fn waits_load(release: &Path, arguments: &[&str], body: &str) -> Result<Value> {
    let mut child = Command::new(release.join("examples/waits"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    child.stdin.take().context("no input")?.write_all(body.as_bytes())?;
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "the load of waits failed");
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Starts and resumptions beside more and more executions that wait, and a start of the process with all of them: lines of
/// a table.
fn waits(release: &Path, data: &Path, seconds: u64) -> Result<String> {
    const FLOW: &str =
        "flow: waits\nsteps:\n  - trigger: First\n    verify: none\n  - trigger: Second\n    timeout: 72h\n";
    let server = Server::start(&release.join("ringback"), data, ["127.0.0.1:0"; 2])?;
    let [first, second] = deploy_two(&server, data, "waits", FLOW)?;
    let address = server.public.trim_start_matches("http://").to_owned();
    let seconds = seconds.to_string();
    let pairs =
        |connections: &str| waits_load(release, &["pairs", &address, &first, &second, connections, &seconds], ORDER);
    let empty_kib = resident_kib(server.id())?;
    let (mut lines, mut have) = (String::new(), 0);
    for waiting in WAITING {
        let filled = fill(release, &address, &first, waiting - have, ORDER)?;
        have = waiting;
        let many = pairs(CONNECTIONS)?;
        // One pair at a time: what a single caller sees.
        let alone = pairs("1")?;
        let kib = resident_kib(server.id())?.saturating_sub(empty_kib);
        let line = format!(
            "| {waiting} | {} | {} | {} µs | {} µs | {} µs | {} MiB |\n",
            filled["per_second"],
            many["per_second"],
            many["p50_us"],
            many["p99_us"],
            alone["p50_us"],
            kib / 1024
        );
        print!("{line}");
        lines.push_str(&line);
    }
    drop(server);
    let killed = start_up(release, data)?;
    let line = format!(
        "\nStart of the process to the first served request with {have} executions waiting, after a kill: {killed:.0} ms (goal 2000 ms).\n"
    );
    print!("{line}");
    Ok(lines + &line)
}

fn cases() -> [Case; 7] {
    [
        Case {
            what: "signed callback that a WASM condition rejects",
            flow: "    when: { plugin: field-match, with: { all: [{ path: $.ref, op: equals, value: refs/heads/other }] } }\n",
            status: "204",
            durable: false,
            goal: Some(0.5),
        },
        Case {
            what: "signed callback that a CEL condition rejects",
            flow: "    when: data.ref == \"refs/heads/other\"\n",
            status: "204",
            durable: false,
            goal: None,
        },
        Case {
            what: "signed callback that a script rejects",
            flow: "    when: { script: 'data.ref === \"refs/heads/other\"' }\n",
            status: "204",
            durable: false,
            goal: None,
        },
        Case {
            what: "signed callback that a plugin in JavaScript rejects",
            flow: "    when: { plugin: ref-match, with: { ref: refs/heads/other } }\n",
            status: "204",
            durable: false,
            goal: None,
        },
        Case {
            what: "signed callback that starts a durable execution",
            flow: "",
            status: "202",
            durable: true,
            goal: Some(0.6),
        },
        Case {
            what: "signed callback of a sync flow that a WASM responder answers",
            flow: "    mode: sync\n    reply: { plugin: template-reply, with: { template: '{{ data.ref }}', type: text, status: 202 } }\n",
            status: "202",
            durable: true,
            goal: None,
        },
        Case {
            what: "signed callback of a sync flow with a WASM step",
            flow: "    mode: sync\n  - plugin: json-reshape\n    with: { shape: { ref: { path: $.data.ref } } }\n    as: shaped\n  - respond: { status: 202, json: { ref: '${{ shaped.ref }}' } }\n",
            status: "202",
            durable: true,
            goal: Some(0.3),
        },
    ]
}

/// A body of about a kilobyte, in the shape of a push.
fn payload() -> Vec<u8> {
    let commits: Vec<Value> = (0..3)
        .map(|n| json!({ "id": format!("{n:040}"), "message": "Change something that matters", "author": { "name": "Ada", "email": "ada@example.com" }, "modified": ["src/main.rs", "README.md"] }))
        .collect();
    json!({ "ref": "refs/heads/main", "before": "0".repeat(40), "after": "1".repeat(40), "deleted": false,
        "repository": { "id": 7, "full_name": "example/widgets", "default_branch": "main", "private": false },
        "pusher": { "name": "ada" }, "commits": commits })
    .to_string()
    .into_bytes()
}

fn prepare(binary: &Path, data: &Path) -> Result<Server> {
    let server = Server::start(binary, data, ["127.0.0.1:0", "127.0.0.1:0"])?;
    server.ringback(&["secret", "set", "BENCH"], None, Some(SECRET))?;
    for name in ["field-match", "csv-rows", "twilio-signature", "json-reshape", "template-reply"] {
        let file = plugins::directory().join(format!("{name}.wasm"));
        // Ten plugins: each under two names.
        server.ringback(&["plugin", "push", name], Some(&file), None)?;
        server.ringback(&["plugin", "push", &format!("{name}-2")], Some(&file), None)?;
    }
    let file = data.join("ref-match.js");
    std::fs::write(&file, "export const condition = (callback, { config }) => callback.data.ref === config.ref\n")?;
    server.ringback(&["plugin", "push", "ref-match"], Some(&file), None)?;
    Ok(server)
}

fn deploy(server: &Server, data: &Path, case: &Case) -> Result<String> {
    let name =
        format!("bench-{}", case.what.split_whitespace().filter(|word| word.len() > 2).collect::<Vec<_>>().join("-"));
    let name: String =
        name.to_lowercase().chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(60).collect();
    let file = data.join("flow.yaml");
    std::fs::write(&file, format!("flow: {name}\nsteps:\n  - trigger: Hook\n    {VERIFY}\n{}", case.flow))?;
    server.ringback(&["flow", "apply"], Some(&file), None)?;
    Ok(name)
}

#[derive(Clone, Debug)]
pub struct Load {
    per_second: f64,
    p50_us: u64,
    pub p99_us: u64,
}

/// Where a load goes, and what the answers must be.
#[derive(Clone, Copy)]
pub struct Target<'a> {
    pub address: &'a str,
    pub path: &'a str,
    pub status: &'a str,
}

/// Sends signed callbacks: as fast as they are answered, or so many a second.
pub fn load(
    release: &Path,
    Target { address, path, status }: Target<'_>,
    seconds: u64,
    body: &[u8],
    connections: &str,
    rate: Option<&str>,
) -> Result<Load> {
    let signature = github_signature(SECRET, body)?;
    let mut child = Command::new(release.join("examples/load"))
        .args([address, path, connections, &seconds.to_string(), status, &signature])
        .args(rate)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    child.stdin.take().context("no input")?.write_all(body)?;
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "the load on {path} failed");
    let result: Value = serde_json::from_slice(&output.stdout)?;
    ensure!(result["wrong"] == 0, "{} answers were not {status}", result["wrong"]);
    let number = |name: &str| result[name].as_u64().unwrap_or_default();
    Ok(Load {
        per_second: result["per_second"].as_f64().unwrap_or_default(),
        p50_us: number("p50_us"),
        p99_us: number("p99_us"),
    })
}

fn median(mut loads: Vec<Load>) -> Load {
    loads.sort_by(|a, b| a.per_second.total_cmp(&b.per_second));
    loads.swap_remove(loads.len() / 2)
}

struct Floor {
    child: Child,
    address: String,
}

impl Floor {
    fn start(program: &Path, file: Option<&Path>) -> Result<Self> {
        let mut child = Command::new(program).arg("127.0.0.1:0").args(file).stdout(Stdio::piped()).spawn()?;
        let stdout = child.stdout.take().context("no output")?;
        let line = BufReader::new(stdout).lines().next().context("the floor did not start")??;
        Ok(Self { child, address: line.trim_start_matches("listening on ").to_owned() })
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn call_micros(release: &Path) -> Result<f64> {
    let config = r#"{"all": [{"path": "$.ref", "op": "equals", "value": "refs/heads/other"}]}"#;
    let mut micros = Vec::new();
    for _ in 0..ROUNDS {
        let file = plugins::directory().join("field-match.wasm");
        let (worked, text) = try_run(Command::new(release.join("examples/call")).arg(file).args([config, "20000"]))?;
        ensure!(worked, "the calls failed: {text}");
        micros.push(text.trim().parse::<f64>()?);
    }
    micros.sort_by(f64::total_cmp);
    micros.get(ROUNDS / 2).copied().context("no calls")
}

/// From the start of the process to the answer of its first callback, in milliseconds.
fn start_up(release: &Path, data: &Path) -> Result<f64> {
    let mut millis = Vec::new();
    for _ in 0..ROUNDS {
        let started = Instant::now();
        let server = Server::start(&release.join("ringback"), data, ["127.0.0.1:0", "127.0.0.1:0"])?;
        let ready = server.start_up;
        let asking = Instant::now();
        let answer = crate::http::post(&format!("{}/h/none", server.public), &[], b"{}")?;
        ensure!(answer.status == 404, "the first callback was answered {}", answer.status);
        ensure!(started.elapsed() >= ready, "time runs backwards");
        millis.push((ready + asking.elapsed()).as_secs_f64() * 1000.0);
    }
    millis.sort_by(f64::total_cmp);
    millis.get(ROUNDS / 2).copied().context("no starts")
}

fn resident_kib(process: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no memory in /proc")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

fn write_results(
    rows: &[Value],
    call_us: f64,
    [small_ms, loaded_ms]: [f64; 2],
    memory_kib: u64,
    [languages, waits, keys, neighbours]: &[&str; 4],
    seconds: u64,
) -> Result<()> {
    let date = try_run(Command::new("date").args(["-u", "+%Y-%m-%d"]))?.1;
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let mut text = format!(
        "# Benchmark results\n\n\
         Taken by `cargo xtask bench --seconds {seconds}` on {}, {cores} cores ({}), load generator included: server, floor \
         and load share the machine. Each figure is the median of {ROUNDS} rounds in which floor and server alternate, at \
         {CONNECTIONS} connections, with a signed body of {} bytes. Only the ratios can be compared between machines.\n\n\
         | case | requests/s | floor | ratio | goal | p50 | p99 |\n| --- | --- | --- | --- | --- | --- | --- |\n",
        date.trim(),
        model.trim_start_matches([' ', '\t', ':']),
        payload().len(),
    );
    for row in rows {
        let goal = row["goal"].as_f64().map_or_else(|| "–".to_owned(), |goal| format!("{goal:.1}"));
        text.push_str(&format!(
            "| {} | {:.0} | {:.0} ({}) | {:.2} | {goal} | {} µs | {} µs |\n",
            row["what"].as_str().unwrap_or_default(),
            row["per_second"].as_f64().unwrap_or_default(),
            row["floor"].as_f64().unwrap_or_default(),
            row["floor_name"].as_str().unwrap_or_default(),
            row["ratio"].as_f64().unwrap_or_default(),
            row["p50_us"],
            row["p99_us"],
        ));
    }
    text.push_str(&format!(
        "\n| figure | value | goal |\n| --- | --- | --- |\n\
         | instance, call and teardown of a condition that reads one field | {call_us:.1} µs | 25 µs |\n\
         | start of the process to the first served request, ten plugins cached | {small_ms:.0} ms | 150 ms |\n\
         | the same with the store of the load | {loaded_ms:.0} ms | – |\n\
         | resident memory after the load | {} MiB | – |\n",
        memory_kib / 1024
    ));
    text.push_str(
        "\n## A condition in each language\n\nThe same condition (one field of a small body, compared with a number), asked one callback at a time: the quartiles of what \
         its stage took, with the instance, the call and its end.\n\n\
         | condition | quartiles | times `field-match` | goal at most |\n| --- | --- | --- | --- |\n",
    );
    text.push_str(languages);
    text.push_str(
        "\n## Executions that wait\n\nA pair starts an execution and resumes it by a second callback, both durable (goal: 2,000 pairs a second). Latencies are of \
         a whole pair; memory is what the process has grown by.\n\n\
         | waiting | starts/s | pairs/s | p50 | p99 | p50 of one caller | memory |\n| --- | --- | --- | --- | --- | --- | --- |\n",
    );
    text.push_str(waits);
    text.push_str(
        "\n## Executions that wait for keys\n\nAs above, where the second callback finds the execution by the key that both say (goal: the p50 of finding one of a \
         million is at most 2 ms longer than that of a start). Latencies are those of one caller.\n\n\
         | waiting | pairs/s | p50 of a start | p50 of finding | p99 of a start | p99 of finding |\n| --- | --- | --- | --- | --- | --- |\n",
    );
    text.push_str(keys);
    text.push_str(
        "\n## Neighbours\n\nThe p99 of good callbacks, 500 a second, without and with somebody else on the same server: the quartiles of many \
         runs of a second. What disturbs the machine itself only adds to a latency, so that the lower quartile shows best what \
         the neighbour does.\n\n\
         | somebody else | good callbacks | without | with | ratio of the lower quartiles | of the medians | goal at most |\n\
         | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    text.push_str(neighbours);
    let path = root().join("host/benches/RESULTS.md");
    // What was found out about the figures stays below this line.
    let notes = std::fs::read_to_string(&path).unwrap_or_default();
    let notes = notes.split_once("\n## Notes").map(|(_, notes)| format!("\n## Notes{notes}")).unwrap_or_default();
    std::fs::write(&path, text + &notes)?;
    println!("written to host/benches/RESULTS.md");
    Ok(())
}

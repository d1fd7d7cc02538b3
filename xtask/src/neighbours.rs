//! What the users of one server notice of each other: the latency of good callbacks alone, and beside somebody who takes all
//! that is given.

use crate::bench::{SECRET, Target, load};
use crate::http::post;
use crate::plugins;
use crate::process::{cargo, run as run_command, target};
use crate::server::Server;
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Without and with the neighbour alternate this often, and in each round the p99 of so many runs is taken. The ratio of one
/// case moves by a tenth with 7 rounds: where the goal is near, there are more.
const ROUNDS: usize = 7;
const ROUNDS_BURNING: usize = 21;
const RUNS: usize = 8;
/// Length of a run. What disturbs a machine now and then, its disk or the host of a virtual one, is in few short runs.
const SECONDS: u64 = 1;
/// Good callbacks a second, and the connections that they come by.
const RATE: &str = "500";
const CONNECTIONS: &str = "8";
/// Processor time that a call of the noisy plugin uses: all that a condition may by default. Here it may use more, since a
/// virtual machine is at times half as fast, and a plugin that is stopped five times rests.
const BURN_MICROS: f64 = 50_000.0;
const DECIDE_CPU: (&str, &str) = ("RINGBACK_PLUGIN_DECIDE_CPU", "250ms");
/// More than the calls that may run and wait: only so does the rate not wait for answers.
const NOISY_CONNECTIONS: &str = "400";
const SLOW_CONNECTIONS: &str = "2000";

/// Builds what is needed, measures, and prints.
pub fn run() -> Result<()> {
    plugins::build_all()?;
    let package = ["--package", "ringback", "--bin", "ringback", "--examples"];
    run_command(cargo().args(["build", "--release", "--locked"]).args(package))?;
    let data = target().join("bench/neighbours");
    let _ = std::fs::remove_dir_all(&data);
    measure(&target().join("release"), &data).map(drop)
}

/// The lines of a table.
pub fn measure(release: &Path, data: &Path) -> Result<String> {
    let server = Server::start_with(&release.join("ringback"), data, ["127.0.0.1:0"; 2], &[DECIDE_CPU])?;
    let field_match = plugins::directory().join("field-match.wasm");
    server.ringback(&["secret", "set", "BENCH"], None, Some(SECRET))?;
    server.ringback(&["plugin", "push", "field-match"], Some(&field_match), None)?;
    let condition =
        "when: { plugin: field-match, with: { all: [{ path: $.ref, op: equals, value: refs/heads/other }] } }";
    let decided = deploy(
        &server,
        data,
        "decided",
        &format!("verify: {{ scheme: github, secret: BENCH }}\n    {condition}"),
        None,
    )?;
    let durable = deploy(&server, data, "durable", "verify: { scheme: github, secret: BENCH }", None)?;
    let misbehave = plugins::directory().join("misbehave.wasm");
    server.ringback(&["--workspace", "noisy", "plugin", "push", "misbehave"], Some(&misbehave), None)?;
    let burning = burner(&server, data)?;
    let address = server.public.trim_start_matches("http://").to_owned();
    let burns = || {
        let seconds = (RUNS as u64 * (SECONDS + 1) + 10).to_string();
        let noise = [&address, &burning, NOISY_CONNECTIONS, &seconds, "any", "none", "200"];
        Neighbour::start(away(&release.join("examples/load")).args(noise).stdin(Stdio::null()), false)
    };
    let is_slow = || Neighbour::start(away(&release.join("examples/slow")).args([&address, SLOW_CONNECTIONS]), true);
    let ringback = release.join("ringback").display().to_string();
    let compiles = || {
        let (bytes, file) = (16 << 20, misbehave.display());
        let compile = format!("'{ringback}' compile-plugin --memory-bytes {bytes} < '{file}' > /dev/null");
        let compile = format!("while true; do {compile}; done");
        let mut bash = nice("10", Path::new("bash"));
        // As the server has it.
        Neighbour::start(bash.env("MIMALLOC_ARENA_RESERVE", "32MiB").args(["-c", &compile]), false)
    };
    let token = std::fs::read_to_string(data.join("admin-token"))?;
    let authorization = format!("Bearer {}", token.trim());
    let upload = format!("{}/v1/plugins/misbehave/versions", server.admin);
    let component = std::fs::read(&misbehave)?;
    let uploads = || {
        let (upload, authorization, component) = (upload.clone(), authorization.clone(), component.clone());
        Ok(Neighbour::again_and_again(move || {
            let headers = [("authorization", authorization.as_str()), ("ringback-workspace", "noisy")];
            let answer = post(&upload, &headers, &component)?;
            ensure!(answer.status == 200, "an upload was answered with {}: {}", answer.status, answer.body);
            Ok(())
        }))
    };
    let case = |what, goal, with| Case { what, goal, without: None, with, burns: false };
    let cases = [
        Case {
            burns: true,
            ..case(
                "a workspace whose plugin uses 50 ms of processor time, called 200 times a second",
                Some(1.2),
                &burns,
            )
        },
        case("2,000 connections that send a byte of their headers every half second", Some(2.0), &is_slow),
        case("the compiler by itself, without the server, again and again", None, &compiles),
        // What a process that computes does to others is the kernel's affair: here is what the server adds.
        Case {
            without: Some(&compiles),
            ..case("uploads of plugins, one after the other; without: the compiler by itself", Some(2.0), &uploads)
        },
    ];
    let p99s = |path: &str, status: &str| -> Result<Vec<u64>> {
        let target = Target { address: &address, path, status };
        let run = || load(release, target, SECONDS, br#"{"ref": "refs/heads/main"}"#, CONNECTIONS, Some(RATE));
        (0..RUNS).map(|_| run().map(|load| load.p99_us)).collect()
    };
    let mut lines = String::new();
    for Case { what, goal, without: other, with: start, burns } in cases {
        for (name, path, status) in [("WASM condition", &decided, "204"), ("durable start", &durable, "202")] {
            let beside = |start: Start<'_>, burns: bool| {
                let neighbour = start()?;
                std::thread::sleep(Duration::from_secs(1));
                let (begun, before) = (Instant::now(), processor_time(&server)?);
                let p99s = p99s(path, status);
                let used = (processor_time(&server)? - before).as_secs_f64() / begun.elapsed().as_secs_f64();
                ensure!(!burns || used > 0.5, "the plugin does not burn: the server used {used:.2} processors");
                drop(neighbour);
                settle(&server)?;
                p99s
            };
            let (mut without, mut with) = (Vec::new(), Vec::new());
            for _ in 0..if burns { ROUNDS_BURNING } else { ROUNDS } {
                without.extend(other.map_or_else(|| p99s(path, status), |other| beside(other, false))?);
                with.extend(beside(start, burns)?);
            }
            let (without, with) = (Quartiles::of(without), Quartiles::of(with));
            let ratio = |of: fn(&Quartiles) -> u64| of(&with) as f64 / of(&without) as f64;
            let (lower, median) = (ratio(|quartiles| quartiles.lower), ratio(|quartiles| quartiles.median));
            let goal = goal.map_or_else(|| "–".to_owned(), |goal| format!("{goal:.1}"));
            let line = format!("| {what} | {name} | {without} | {with} | {lower:.2} | {median:.2} | {goal} |\n");
            print!("{line}");
            lines.push_str(&line);
        }
    }
    Ok(lines)
}

/// A neighbour, and what is measured without it.
struct Case<'a> {
    what: &'static str,
    goal: Option<f64>,
    without: Option<Start<'a>>,
    with: Start<'a>,
    /// Whether the server has to be seen computing for it.
    burns: bool,
}

/// Of the runs, in microseconds.
struct Quartiles {
    lower: u64,
    median: u64,
    upper: u64,
}

impl Quartiles {
    fn of(mut values: Vec<u64>) -> Self {
        values.sort_unstable();
        let at = |quarter: usize| values.get(values.len() * quarter / 4).copied().unwrap_or_default();
        Self { lower: at(1), median: at(2), upper: at(3) }
    }
}

impl std::fmt::Display for Quartiles {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}, {}, {} µs", self.lower, self.median, self.upper)
    }
}

/// Deploys a flow of one trigger: the path of its URL.
fn deploy(server: &Server, data: &Path, name: &str, trigger: &str, workspace: Option<&str>) -> Result<String> {
    let file = data.join(format!("{name}.yaml"));
    std::fs::write(&file, format!("flow: {name}\nsteps:\n  - trigger: Hook\n    {trigger}\n"))?;
    let workspace = workspace.map_or_else(Vec::new, |workspace| vec!["--workspace", workspace]);
    server.ringback(&[&workspace[..], &["flow", "apply"]].concat(), Some(&file), None)?;
    let flow = server.json(&[&workspace[..], &["flow", "show", name]].concat())?;
    let url = flow.pointer("/triggers/0/urls/default/native").and_then(Value::as_str).context("the flow has no URL")?;
    Ok(url.strip_prefix(&server.public).context("the URL is elsewhere")?.to_owned())
}

/// A flow whose condition uses all of its time: its path.
fn burner(server: &Server, data: &Path) -> Result<String> {
    const TRIED: f64 = 20_000_000.0;
    // What it is too busy for must not be kept: it would burn on when its caller has gone.
    let deploy = |rounds: f64| {
        let flow = format!("mode: sync\n    when: {{ plugin: misbehave, with: {{ burn: {rounds:.0} }} }}");
        deploy(server, data, "burning", &flow, Some("noisy"))
    };
    let path = deploy(TRIED)?;
    let mut micros = Vec::new();
    for _ in 0..7 {
        let answer = post(&format!("{}{path}", server.public), &[], b"{}")?;
        ensure!(answer.status == 200, "the plugin was stopped: {}", answer.body);
        std::thread::sleep(Duration::from_millis(500));
        let record = server.json(&["--workspace", "noisy", "callback", "show", &answer.callback])?;
        let trace = record.get("trace").and_then(Value::as_array).context("the callback has no trace")?;
        let call = trace.iter().find_map(|entry| entry.pointer("/plugins/0/duration_us")?.as_u64());
        micros.push(call.context("the plugin was not called")?);
    }
    deploy(TRIED * BURN_MICROS / Quartiles::of(micros).median as f64)
}

/// Waits until the server has nothing more to do for somebody who has gone.
fn settle(server: &Server) -> Result<()> {
    for _ in 0..60 {
        let before = processor_time(server)?;
        std::thread::sleep(Duration::from_secs(1));
        if processor_time(server)? - before <= Duration::from_millis(30) {
            return Ok(());
        }
    }
    bail!("the server does not come to rest")
}

/// What the server has used of all processors, in steps of 10 ms.
fn processor_time(server: &Server) -> Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", server.id()))?;
    // After the name, which may hold anything, the 12th and 13th are its time in both modes, in hundredths of a second.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
    Ok(Duration::from_millis(10 * fields.filter_map(|field| field.parse::<u64>().ok()).sum::<u64>()))
}

/// Somebody else, until dropped.
enum Neighbour {
    Process(Child),
    Thread(Arc<AtomicBool>, Option<JoinHandle<Result<()>>>),
}

type Start<'a> = &'a dyn Fn() -> Result<Neighbour>;

/// What is on another machine in life gives way here, so that the server's work for it is what counts.
fn away(program: &Path) -> Command {
    nice("19", program)
}

fn nice(niceness: &str, program: &Path) -> Command {
    let mut command = Command::new("nice");
    command.args(["-n", niceness]).arg(program);
    command
}

impl Neighbour {
    /// `says`: whether it prints a line when it has begun.
    fn start(command: &mut Command, says: bool) -> Result<Self> {
        if says {
            command.stdin(Stdio::piped());
        }
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        if says {
            let stdout = child.stdout.take().context("no output")?;
            BufReader::new(stdout).lines().next().context("it did not begin")??;
        }
        Ok(Self::Process(child))
    }

    fn again_and_again(mut work: impl FnMut() -> Result<()> + Send + 'static) -> Self {
        let stopped = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&stopped);
        let work = std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                work()?;
            }
            Ok(())
        });
        Self::Thread(stopped, Some(work))
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        match self {
            Self::Process(child) => {
                let _ = child.kill();
                let _ = child.wait();
            }
            Self::Thread(stopped, work) => {
                stopped.store(true, Ordering::Relaxed);
                let ended = work.take().map(JoinHandle::join);
                if let Some(Ok(Err(error))) = ended {
                    eprintln!("somebody else broke off: {error:#}");
                }
            }
        }
    }
}

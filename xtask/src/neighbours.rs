//! What the users of one server notice of each other: the latency of good callbacks alone, and beside somebody who takes all
//! that is given.

use crate::bench::{SECRET, Target, fill, load};
use crate::http::post;
use crate::plugins;
use crate::process::{cargo, run as run_command, target, try_run};
use crate::server::Server;
use anyhow::{Context, Result, anyhow, ensure};
use serde_json::Value;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Each round has a server of its own, where all that is good is measured without the neighbour, and then with him.
const ROUNDS: usize = 4;
/// The ratio of one case moves by a tenth with few rounds: where the goal is near, there are more.
const ROUNDS_BURNING: usize = 14;
const RUNS: usize = 4;
/// Length of a run. What disturbs a machine now and then, its disk or the host of a virtual one, is in few short runs.
const SECONDS: u64 = 1;
/// Good callbacks a second, and the connections that they come by.
const RATE: &str = "500";
const CONNECTIONS: &str = "8";
/// So many wait for a timer at the same time.
const DELAYED: usize = 20;
/// Processor time that a call of the noisy plugin uses: all that a condition may by default. Here it may use more, since a
/// virtual machine is at times half as fast, and a plugin that is stopped five times rests.
const BURN_MICROS: f64 = 50_000.0;
const SETTINGS: [(&str, &str); 2] =
    [("RINGBACK_PLUGIN_DECIDE_CPU", "250ms"), ("RINGBACK_HTTP_PRIVATE_HOSTS", "[\"127.0.0.1\"]")];
/// More than the calls that may run and wait: only so does the rate not wait for answers.
const NOISY_CONNECTIONS: &str = "400";
const SLOW_CONNECTIONS: &str = "2000";
const HANGING: u64 = 256;
const TIMERS: u64 = 10_000;
const DEFERRED: u64 = 100_000;
/// All the time that is measured beside one neighbour, generously.
const MEASURED_SECONDS: u64 = 4 * RUNS as u64 * (SECONDS + 1);

/// Builds what is needed, measures the cases whose description has this in it, and prints.
pub fn run(only: &str) -> Result<()> {
    plugins::build_all()?;
    let package = ["--package", "ringback", "--bin", "ringback", "--examples"];
    run_command(cargo().args(["build", "--release", "--locked"]).args(package))?;
    measure(&target().join("release"), &target().join("bench/neighbours"), only).map(drop)
}

/// The lines of a table.
pub fn measure(release: &Path, data: &Path, only: &str) -> Result<String> {
    let mut lines = String::new();
    for case in CASES.iter().filter(|case| case.what.contains(only)) {
        let mut measured = KINDS.map(|_| (Vec::new(), Vec::new()));
        for _ in 0..case.rounds {
            let _ = std::fs::remove_dir_all(data);
            let site = Site::start(release, data)?;
            // The first calls of a process are slower.
            site.measure()?;
            let without = match case.without {
                None => site.measure()?,
                Some(start) => site.measure_beside(start, false)?,
            };
            let with = site.measure_beside(case.with, case.burns)?;
            for ((all_without, all_with), (without, with)) in measured.iter_mut().zip(without.into_iter().zip(with)) {
                all_without.extend(without);
                all_with.extend(with);
            }
        }
        for (kind, (without, with)) in KINDS.iter().zip(measured) {
            let (without, with) = (Quartiles::of(without), Quartiles::of(with));
            let ratio = |of: fn(&Quartiles) -> u64| of(&with) as f64 / of(&without) as f64;
            let (lower, median) = (ratio(|quartiles| quartiles.lower), ratio(|quartiles| quartiles.median));
            let goal = case.goal.map_or_else(|| "–".to_owned(), |goal| format!("{goal:.1}"));
            let what = case.what;
            let line = format!("| {what} | {} | {without} | {with} | {lower:.2} | {median:.2} | {goal} |\n", kind.name);
            print!("{line}");
            lines.push_str(&line);
        }
    }
    ensure!(!lines.is_empty(), "no case has `{only}` in its description");
    Ok(lines)
}

/// What is good: a trigger with its steps, and what is answered.
struct Kind {
    name: &'static str,
    flow: &'static str,
    trigger: &'static str,
    /// `None`: a few at once, each of which is late by a second, and the longest counts.
    status: Option<&'static str>,
}

const KINDS: [Kind; 4] = [
    Kind {
        name: "WASM condition",
        flow: "decided",
        trigger: "verify: { scheme: github, secret: BENCH }\n    when: { plugin: field-match, with: { all: [{ path: $.ref, op: \
                  equals, value: refs/heads/other }] } }",
        status: Some("204"),
    },
    Kind {
        name: "durable start",
        flow: "durable",
        trigger: "verify: { scheme: github, secret: BENCH }",
        status: Some("202"),
    },
    Kind {
        name: "synchronous flow",
        flow: "synchronous",
        trigger: "verify: { scheme: github, secret: BENCH }\n    mode: sync\n  - respond: { json: { done: true } }",
        status: Some("200"),
    },
    Kind {
        name: "`delay: 1s`, the longest of 20",
        flow: "late",
        trigger: "mode: sync\n    respond_within: 30s\n  - delay: 1s\n  - respond: { json: { done: true } }",
        status: None,
    },
];

/// A neighbour, and what is measured without it.
struct Case {
    what: &'static str,
    goal: Option<f64>,
    without: Option<Start>,
    with: Start,
    /// Whether the server has to be seen computing for it.
    burns: bool,
    rounds: usize,
}

impl Case {
    const fn of(what: &'static str, with: Start) -> Self {
        Self { what, goal: Some(2.0), without: None, with, burns: false, rounds: ROUNDS }
    }
}

const CASES: [Case; 10] = [
    Case {
        goal: Some(1.2),
        burns: true,
        rounds: ROUNDS_BURNING,
        ..Case::of("a workspace whose plugin uses 50 ms of processor time, called 200 times a second", burns)
    },
    Case::of("2,000 connections that send a byte of their headers every half second", is_slow),
    Case { goal: None, ..Case::of("the compiler by itself, without the server, again and again", compiles) },
    // What a process that computes does to others is the kernel's affair: here is what the server adds.
    Case {
        without: Some(compiles),
        ..Case::of("uploads of plugins, one after the other; without: the compiler by itself", uploads)
    },
    Case {
        without: Some(compiles),
        ..Case::of("uploads of a bomb, one after the other; without: the compiler by itself", uploads_bombs)
    },
    Case::of("256 executions whose hosts never answer, and more that come", hangs),
    Case::of("a condition and a step that always trap, called 200 times a second", traps),
    Case::of("10,000 timers whose time comes at one instant, each second", has_timers),
    Case::of("100,000 deferred callbacks of a plugin that always traps", has_deferred),
    Case::of("a flow that computes for long, called by eight at once", computes),
];

/// A server with the flows that are good.
struct Site<'a> {
    release: &'a Path,
    data: PathBuf,
    server: Server,
    /// Of the public listener.
    address: String,
    paths: Vec<String>,
}

impl<'a> Site<'a> {
    fn start(release: &'a Path, data: &Path) -> Result<Self> {
        let server = Server::start_with(&release.join("ringback"), data, ["127.0.0.1:0"; 2], &SETTINGS)?;
        server.ringback(&["secret", "set", "BENCH"], None, Some(SECRET))?;
        server.ringback(
            &["plugin", "push", "field-match"],
            Some(&plugins::directory().join("field-match.wasm")),
            None,
        )?;
        server.ringback(&["--workspace", "noisy", "plugin", "push", "misbehave"], Some(&misbehave()), None)?;
        let address = server.public.trim_start_matches("http://").to_owned();
        let mut site = Self { release, data: data.to_owned(), server, address, paths: Vec::new() };
        site.paths =
            KINDS.iter().map(|kind| site.deploy(kind.flow, kind.trigger, "default")).collect::<Result<Vec<_>>>()?;
        Ok(site)
    }

    /// Deploys a flow of one trigger: the path of its URL.
    fn deploy(&self, name: &str, trigger: &str, workspace: &str) -> Result<String> {
        let file = self.data.join(format!("{name}.yaml"));
        std::fs::write(&file, format!("flow: {name}\nsteps:\n  - trigger: Hook\n    {trigger}\n"))?;
        let of = ["--workspace", workspace];
        self.server.ringback(&[&of[..], &["flow", "apply"]].concat(), Some(&file), None)?;
        let flow = self.server.json(&[&of[..], &["flow", "show", name]].concat())?;
        let url = flow.pointer("/triggers/0/urls/default/native").and_then(Value::as_str).context("no URL")?;
        Ok(url.strip_prefix(&self.server.public).context("the URL is elsewhere")?.to_owned())
    }

    fn program(&self, name: &str) -> PathBuf {
        self.release.join("examples").join(name)
    }

    /// The p99 of each run, in microseconds, for each kind.
    fn measure(&self) -> Result<Vec<Vec<u64>>> {
        let of_kind = |(kind, path): (&Kind, &String)| -> Result<Vec<u64>> {
            let run = || match kind.status {
                Some(status) => {
                    let target = Target { address: &self.address, path, status };
                    let body = br#"{"ref": "refs/heads/main"}"#;
                    load(self.release, target, SECONDS, body, CONNECTIONS, Some(RATE)).map(|load| load.p99_us)
                }
                None => longest_delay(&format!("http://{}{path}", self.address)),
            };
            (0..RUNS).map(|_| run()).collect()
        };
        KINDS.iter().zip(&self.paths).map(of_kind).collect()
    }

    fn measure_beside(&self, start: Start, burns: bool) -> Result<Vec<Vec<u64>>> {
        let neighbour = start(self)?;
        std::thread::sleep(Duration::from_secs(1));
        let (begun, before) = (Instant::now(), processor_time(&self.server)?);
        let measured = self.measure()?;
        let used = (processor_time(&self.server)? - before).as_secs_f64() / begun.elapsed().as_secs_f64();
        ensure!(!burns || used > 0.5, "the plugin does not burn: the server used {used:.2} processors");
        drop(neighbour);
        Ok(measured)
    }

    /// Sends so many callbacks, all of which must be accepted.
    fn fill(&self, path: &str, count: u64, body: &str) -> Result<()> {
        fill(self.release, &self.address, path, count, body).map(drop)
    }

    /// Sends callbacks to a path, again and again, whatever the answers are.
    fn calls(&self, path: &str, connections: &str, rate: Option<&str>, body: String) -> Result<Neighbour> {
        let seconds = (MEASURED_SECONDS + 10).to_string();
        let mut command = away(&self.program("load"));
        command.args([&self.address, path, connections, &seconds, "any", "none"]).args(rate).stdin(Stdio::piped());
        let mut child = command.stdout(Stdio::null()).spawn()?;
        child.stdin.take().context("no input")?.write_all(body.as_bytes())?;
        Ok(Neighbour::Process(child))
    }

    /// Sends files of plugins, one after the other, that are taken or refused.
    fn uploads(&self, file: Vec<u8>, expected: u16) -> Result<Neighbour> {
        let token = std::fs::read_to_string(self.data.join("admin-token"))?;
        let authorization = format!("Bearer {}", token.trim());
        let url = format!("{}/v1/plugins/misbehave/versions", self.server.admin);
        let mut sent = 0_u32;
        Ok(Neighbour::again_and_again(move || {
            let headers = [("authorization", authorization.as_str()), ("ringback-workspace", "noisy")];
            sent += 1;
            // Each is another one: what was compiled already is not compiled again.
            let [_, a, b, c] = sent.to_be_bytes();
            let other = [0, 5, 1, b'n', a, b, c];
            let answer = post(&url, &headers, &[&file[..], &other].concat())?;
            ensure!(answer.status == expected, "an upload was answered with {}: {}", answer.status, answer.body);
            Ok(())
        }))
    }
}

fn misbehave() -> PathBuf {
    plugins::directory().join("misbehave.wasm")
}

/// The longest of some that wait for a timer at the same time, in microseconds.
fn longest_delay(url: &str) -> Result<u64> {
    let one = || -> Result<u64> {
        let began = Instant::now();
        let answer = post(url, &[], b"{}")?;
        ensure!(answer.status == 200, "the delay was answered with {}: {}", answer.status, answer.body);
        Ok(u64::try_from(began.elapsed().as_micros())?)
    };
    let all: Result<Vec<u64>> = std::thread::scope(|scope| {
        let posting: Vec<_> = (0..DELAYED).map(|_| scope.spawn(one)).collect();
        posting.into_iter().map(|post| post.join().map_err(|_| anyhow!("a caller broke off"))?).collect()
    });
    Ok(all?.into_iter().max().unwrap_or_default())
}

/// All that the neighbour is outside the server.
type Start = fn(&Site<'_>) -> Result<Vec<Neighbour>>;

/// Calls a condition that uses all of its time. What the server is too busy for must not be kept: it would burn on.
fn burns(site: &Site<'_>) -> Result<Vec<Neighbour>> {
    const TRIED: f64 = 20_000_000.0;
    let deploy = |rounds: f64| {
        let flow = format!("mode: sync\n    when: {{ plugin: misbehave, with: {{ burn: {rounds:.0} }} }}");
        site.deploy("burning", &flow, "noisy")
    };
    let path = deploy(TRIED)?;
    let mut micros = Vec::new();
    for _ in 0..7 {
        let answer = post(&format!("{}{path}", site.server.public), &[], b"{}")?;
        ensure!(answer.status == 200, "the plugin was stopped: {}", answer.body);
        std::thread::sleep(Duration::from_millis(500));
        let record = site.server.json(&["--workspace", "noisy", "callback", "show", &answer.callback])?;
        let trace = record.get("trace").and_then(Value::as_array).context("the callback has no trace")?;
        let call = trace.iter().find_map(|entry| entry.pointer("/plugins/0/duration_us")?.as_u64());
        micros.push(call.context("the plugin was not called")?);
    }
    let path = deploy(TRIED * BURN_MICROS / Quartiles::of(micros).median as f64)?;
    Ok(vec![site.calls(&path, NOISY_CONNECTIONS, Some("200"), String::new())?])
}

fn is_slow(site: &Site<'_>) -> Result<Vec<Neighbour>> {
    Ok(vec![Neighbour::that_says(away(&site.program("slow")).args([&site.address, SLOW_CONNECTIONS]))?])
}

fn compiles(site: &Site<'_>) -> Result<Vec<Neighbour>> {
    let (ringback, bytes, file) = (site.release.join("ringback"), 16 << 20, misbehave());
    let compile =
        format!("'{}' compile-plugin --memory-bytes {bytes} < '{}' > /dev/null", ringback.display(), file.display());
    let compile = format!("while true; do {compile}; done");
    let mut bash = nice("10", Path::new("bash"));
    // As the server has it.
    bash.env("MIMALLOC_ARENA_RESERVE", "32MiB").args(["-c", &compile]);
    Ok(vec![Neighbour::Process(bash.spawn()?)])
}

fn uploads(site: &Site<'_>) -> Result<Vec<Neighbour>> {
    Ok(vec![site.uploads(std::fs::read(misbehave())?, 200)?])
}

/// A file that takes the compiler as long as it may, and is refused then.
fn uploads_bombs(site: &Site<'_>) -> Result<Vec<Neighbour>> {
    let body = "local.get 0 local.get 0 i32.mul local.get 0 i32.add local.set 0 ".repeat(8000);
    let bomb = format!("(component (core module {}))", format!("(func (param i32) {body})").repeat(40));
    Ok(vec![site.uploads(wat::parse_str(bomb)?, 422)?])
}

/// Executions whose step asks a host that answers nobody, until the neighbour goes.
fn hangs(site: &Site<'_>) -> Result<Vec<Neighbour>> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}/", listener.local_addr()?);
    let path = site.deploy("hangs", &format!("verify: none\n  - http: {{ url: '{url}', timeout: 60s }}"), "noisy")?;
    listener.set_nonblocking(true)?;
    let mut held: Vec<TcpStream> = Vec::new();
    let host = Neighbour::again_and_again(move || {
        match listener.accept() {
            Ok((stream, _)) => held.push(stream),
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(Duration::from_millis(5)),
            Err(error) => return Err(error.into()),
        }
        Ok(())
    });
    site.fill(&path, HANGING, "{}")?;
    let more = site.calls(&path, "1", Some("50"), "{}".to_owned())?;
    Ok(vec![host, more])
}

fn traps(site: &Site<'_>) -> Result<Vec<Neighbour>> {
    let condition = site.deploy("decides", "mode: sync\n    when: { plugin: misbehave, with: trap }", "noisy")?;
    let step = site.deploy("steps", "verify: none\n  - plugin: misbehave\n    with: trap", "noisy")?;
    let calls = |path: &str| site.calls(path, "32", Some("200"), "{}".to_owned());
    Ok(vec![calls(&condition)?, calls(&step)?])
}

/// Executions that all wait for one instant, for each second of what is measured.
fn has_timers(site: &Site<'_>) -> Result<Vec<Neighbour>> {
    let path = site.deploy("sleeps", "verify: none\n  - delay: { until: '${{ data.at }}' }", "noisy")?;
    // So many are started a second on a slow machine.
    const STARTED: u64 = 7_000;
    let (began, first) = (Instant::now(), MEASURED_SECONDS * TIMERS / STARTED + 1);
    let instant = try_run(Command::new("date").arg("+%s"))?.1.trim().parse::<u64>()? + first;
    for second in 0..MEASURED_SECONDS {
        let at = try_run(Command::new("date").args(["-u", "-d", &format!("@{}", instant + second), "+%FT%TZ"]))?.1;
        site.fill(&path, TIMERS, &format!("{{\"at\": \"{}\"}}", at.trim()))?;
    }
    let left = Duration::from_secs(first - 1).checked_sub(began.elapsed());
    std::thread::sleep(left.context("the timers were not all started in time")?);
    Ok(Vec::new())
}

/// Callbacks that are kept until their plugin is back, which it never is.
fn has_deferred(site: &Site<'_>) -> Result<Vec<Neighbour>> {
    let path = site.deploy("rests", "verify: none\n    when: { plugin: misbehave, with: trap }", "noisy")?;
    let url = format!("{}{path}", site.server.public);
    for _ in 0..20 {
        if post(&url, &[], b"{}")?.status == 202 {
            site.fill(&path, DEFERRED, "{}")?;
            return Ok(Vec::new());
        }
    }
    Err(anyhow!("the plugin does not come to rest"))
}

fn computes(site: &Site<'_>) -> Result<Vec<Neighbour>> {
    let step = "\n  - set: { found: '${{ size(data.filter(a, data.exists(b, b == a + 1))) }}' }";
    let path = site.deploy("computes", &format!("mode: sync{}", step.repeat(3)), "noisy")?;
    let numbers: Vec<u32> = (0..600).collect();
    let numbers = serde_json::to_string(&numbers)?;
    let answer = post(&format!("{}{path}", site.server.public), &[], numbers.as_bytes())?;
    ensure!(answer.status == 200, "the flow does not compute: {}", answer.body);
    Ok(vec![site.calls(&path, "8", None, numbers)?])
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
    /// Starts a program that prints a line when it has begun, and ends with its input.
    fn that_says(command: &mut Command) -> Result<Self> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let stdout = child.stdout.take().context("no output")?;
        BufReader::new(stdout).lines().next().context("it did not begin")??;
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

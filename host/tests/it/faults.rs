//! Faults at every write: the process is killed, or the operation fails, at the Nth operation that changes a file; and a
//! power failure, which leaves of what was not synced whatever it likes. The callers' ledger must agree with what is found
//! afterwards. A library between the server and libc does this (`host/tests/faults`), and not `strace`, whose counts are of
//! one thread each: its Nth write is another one for every thread.

use crate::chaos::minutes;
use crate::disk::{Event, image, read_record};
use crate::ledger::check;
use crate::load::{Api, Random, World};
use crate::process::{Ledger, Server};
use serde_json::Value;
use std::collections::BTreeSet;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Servers that run at the same time: most of their time they wait.
const TOGETHER: usize = 8;
/// Power failures in a run of CI.
const POWER_FAILURES: u64 = 150;
const TIMEOUT: &str = "1s";
/// What the scenario does, step by step.
const SCRIPT: [u64; 11] = [0, 1, 7, 10, 11, 9, 4, 6, 11, 8, 2];

fn faults() -> PathBuf {
    let library = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("debug/libringback_faults.so");
    assert!(library.exists(), "{} is missing; `cargo xtask helpers` builds it", library.display());
    library
}

pub fn server(data: &Path) -> Server {
    Server::new(data).with("RINGBACK_STORE_SEGMENT_BYTES", "1048576")
}

/// A server whose files are looked at.
pub fn with_faults(server: Server) -> Server {
    let data = server.data().to_owned();
    server.with("LD_PRELOAD", faults()).with("FAULTS_DIRECTORY", data)
}

/// Starts, deploys, sends, stops: as far as the server lets it. Whether it came to a proper end.
async fn scenario(server: &Server, ledger: &Ledger) -> bool {
    let Ok(mut process) = server.try_start() else { return false };
    let api = Api::new(&process, server.data());
    if let Some(world) = World::make(&api, ledger.clone(), TIMEOUT, false).await {
        let mut sender = world.sender(&process, server.data(), 7);
        for kind in SCRIPT {
            sender.act(kind).await;
        }
    }
    process.terminate();
    let code = process.wait(Duration::from_secs(10));
    if code.is_none() {
        process.kill();
    }
    code == Some(0)
}

/// Runs many at the same time, some at once.
async fn run_all<F: Future<Output = ()> + Send + 'static>(tasks: impl Iterator<Item = F>) {
    let places = Arc::new(Semaphore::new(TOGETHER));
    let mut running = JoinSet::new();
    for task in tasks {
        let place = Arc::clone(&places).acquire_owned().await.unwrap();
        running.spawn(async move {
            task.await;
            drop(place);
        });
    }
    while let Some(result) = running.join_next().await {
        result.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn no_crash_point_loses_what_was_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let (data, record) = (directory.path().join("data"), directory.path().join("record"));
    let ledger = Ledger::open(directory.path().join("ledger"));
    assert!(scenario(&with_faults(server(&data)).with("FAULTS_RECORD", &record), &ledger).await);
    let lines = ledger.lines().len();
    assert!(lines > 20, "{lines} answers");
    let count = read_record(&record).iter().filter(|event| event.is_operation()).count() as u64;
    // What the threads of the store do behind comes at another time in every run: some points more.
    let actions = ["kill", "eio", "enospc", "tear"];
    let points: Vec<_> = (1..=count + count / 10).flat_map(|at| actions.map(|action| (action, at))).collect();
    let tried = points.len();
    let ended_early = Arc::new(AtomicUsize::new(0));
    let count_early = |(action, at): (&'static str, u64)| {
        let ended_early = Arc::clone(&ended_early);
        async move {
            let directory = tempfile::tempdir().unwrap();
            let data = directory.path().join("data");
            let ledger = Ledger::open(directory.path().join("ledger"));
            let faulty = with_faults(server(&data)).with("FAULTS_AT", at.to_string()).with("FAULTS_ACTION", action);
            if !scenario(&faulty.log_to(&directory.path().join("log")), &ledger).await {
                ended_early.fetch_add(1, Ordering::Relaxed);
            }
            let lines = ledger.lines();
            let plain = server(&data);
            let checked = tokio::spawn(async move {
                check(&plain, &lines).await;
                plain.verify();
            });
            if checked.await.is_err() {
                let kept = directory.keep();
                panic!("{action} at operation {at}: see {}", kept.display());
            }
        }
    };
    run_all(points.into_iter().map(count_early)).await;
    let ended_early = ended_early.load(Ordering::Relaxed);
    assert!(ended_early > tried / 2, "only {ended_early} of {tried} faults ended the server");
    println!("crash points: {count} operations, {tried} faults of 4 kinds, {ended_early} ended the server, 0 failures");
}

/// What callers were answered before an event, of the lines of a ledger.
fn answered(events: &[Event], lines: &BTreeSet<String>) -> BTreeSet<String> {
    let sent = events.iter().filter_map(|event| match event {
        Event::Send(bytes) => {
            let head = String::from_utf8_lossy(bytes);
            let id = head.lines().find_map(|line| line.strip_prefix("ringback-callback: "))?;
            Some(id.to_owned())
        }
        _ => None,
    });
    let sent: BTreeSet<String> = sent.collect();
    let is_sent = |line: &&String| {
        let line: Value = serde_json::from_str(line).unwrap();
        line["callback"].as_str().is_some_and(|id| sent.contains(id))
    };
    lines.iter().filter(is_sent).cloned().collect()
}

/// So many answers are worth a power failure, and more than a segment of the log.
const ANSWERS_RECORDED: usize = 240;

/// What was recorded of a server under load, and what its callers were answered.
pub struct Recorded {
    data: PathBuf,
    events: Vec<Event>,
    lines: BTreeSet<String>,
}

impl Recorded {
    /// Load of some callers for a while, on this server, until there is something to lose.
    pub async fn make(server: Server, directory: &Path) -> Self {
        let record = directory.join("record");
        let ledger = Ledger::open(directory.join("ledger"));
        let server = with_faults(server).with("FAULTS_RECORD", &record);
        for round in 0..2 {
            let mut process = server.start();
            let api = Api::new(&process, server.data());
            let world = World::make(&api, ledger.clone(), TIMEOUT, false).await.unwrap();
            let world = world.numbers_from(round * 1_000_000);
            let senders = world.send(3, &process, server.data(), 11 + round);
            let began = Instant::now();
            let enough = (usize::try_from(round).unwrap() + 1) * ANSWERS_RECORDED / 2;
            while began.elapsed() < Duration::from_millis(900)
                || (ledger.lines().len() < enough && began.elapsed() < Duration::from_secs(30))
            {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            senders.stop().await;
            process.terminate();
            assert_eq!(process.wait(Duration::from_secs(10)), Some(0));
        }
        Self { data: server.data().to_owned(), events: read_record(&record), lines: ledger.lines() }
    }

    /// The power fails at some moment: panics when something was lost.
    pub async fn fail_power(&self, seed: u64) {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("data");
        let mut random = Random(seed);
        let moment = usize::try_from(random.below(self.events.len() as u64)).unwrap();
        let before = &self.events[..moment];
        image(before, &self.data, &data, &mut random);
        let lines = answered(before, &self.lines);
        let plain = server(&data).log_to(&directory.path().join("log"));
        let checked = tokio::spawn(async move {
            check(&plain, &lines).await;
            plain.verify();
        });
        if checked.await.is_err() {
            let kept = directory.keep();
            panic!("seed {seed}, after {moment} events: see {}", kept.display());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn no_power_failure_loses_what_was_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let recorded = Arc::new(Recorded::make(server(&directory.path().join("data")), directory.path()).await);
    let is_segment = |event: &&Event| matches!(event, Event::Rename { to, .. } if to.extension().is_some_and(|extension| extension == "log"));
    let segments = recorded.events.iter().filter(is_segment).count();
    assert!(segments > 0 && recorded.lines.len() > 100, "{segments} segments, {} answers", recorded.lines.len());
    let images = minutes().map_or(POWER_FAILURES, |minutes| minutes * POWER_FAILURES);
    run_all((0..images).map(|seed| {
        let recorded = Arc::clone(&recorded);
        async move { recorded.fail_power(seed).await }
    }))
    .await;
    println!(
        "power failures: {images} images of {} events with {segments} new segments, 0 failures",
        recorded.events.len()
    );
}

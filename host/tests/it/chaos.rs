//! Chaos: callbacks of every kind while the process is killed at random moments, sometimes again while it recovers. What was
//! acknowledged is in a ledger outside the process; at the end the ledger and the store must agree.
//! `cargo xtask chaos --minutes N` runs it for longer.

use crate::ledger::{Checked, check};
use crate::load::{Api, Random, World};
use crate::process::{Ledger, Server};
use crate::support::plugin;
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Kills in a run without `CHAOS_MINUTES`.
const CYCLES: usize = 60;
const SENDERS: u64 = 8;

#[expect(clippy::disallowed_methods, reason = "a setting of the test, not of the server")]
pub fn minutes() -> Option<u64> {
    std::env::var("CHAOS_MINUTES").ok()?.parse().ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn chaos() {
    let minutes = minutes();
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let ledger = Ledger::open(directory.path().join("ledger"));
    let server = Server::new(&data).with("RINGBACK_STORE_SEGMENT_BYTES", "1048576");
    let (started, mut random) = (Instant::now(), Random(0x5eed));
    let mut world: Option<Arc<World>> = None;
    let (mut cycles, mut early_kills) = (0, 0);
    while minutes.map_or(cycles < CYCLES, |minutes| started.elapsed() < Duration::from_secs(60 * minutes)) {
        if random.below(5) == 0 && world.is_some() {
            // A kill while it recovers.
            let mut child = server.spawn();
            tokio::time::sleep(Duration::from_millis(random.below(60))).await;
            child.kill().unwrap();
            child.wait().unwrap();
            early_kills += 1;
        }
        let mut process = server.start();
        let world = match &world {
            Some(world) => Arc::clone(world),
            None => {
                let api = Api::new(&process, &data);
                for name in ["misbehave", "json-reshape"] {
                    let upload = api.request(Method::POST, &format!("/v1/plugins/{name}/versions"));
                    let upload = upload.body(plugin(name)).send().await.unwrap();
                    assert!(upload.status().is_success());
                }
                Arc::clone(world.insert(World::make(&api, ledger.clone(), "2s", true).await.unwrap()))
            }
        };
        let senders = world.send(SENDERS, &process, &data, random.below(u64::MAX));
        tokio::time::sleep(Duration::from_millis(50 + random.below(if cycles % 8 == 0 { 2500 } else { 400 }))).await;
        process.kill();
        senders.stop().await;
        cycles += 1;
    }
    let lines = ledger.lines();
    let Checked { executions, resumed_early, of_all } = check(&server, &lines).await;
    assert!(lines.len() > 100 && resumed_early > 0 && of_all > 0, "{} {resumed_early} {of_all}", lines.len());
    the_check_notices(&server, &lines).await;
    server.verify();
    println!(
        "chaos: {cycles} kills and {early_kills} while recovering, {} answers, {executions} executions, 0 failures",
        lines.len()
    );
}

/// The check must fail when the server had promised something else than what is there.
async fn the_check_notices(server: &Server, lines: &BTreeSet<String>) {
    let find = |what: &str, status: u16| -> Value {
        let parsed = lines.iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
        parsed.into_iter().find(|line| line["what"] == what && line["status"] == status).unwrap()
    };
    let (start, resume, any, all) = (find("start", 202), find("resume", 202), find("any", 202), find("all", 202));
    let unknown = "018f0000-0000-7000-8000-000000000000";
    let with = |line: &Value, pointer: &str, value: Value| {
        let mut line = line.clone();
        *line.pointer_mut(pointer).unwrap() = value;
        line.to_string()
    };
    let resumed = &resume["answer"]["execution"];
    let faults = [
        ("an acknowledged start is lost", with(&start, "/callback", json!(unknown))),
        ("an acknowledged callback resumed nobody", with(&resume, "/callback", json!(unknown))),
        ("a start was answered with another execution", with(&start, "/answer/execution", json!(unknown))),
        ("any resumed another execution than it said", with(&any, "/answer/execution", resumed.clone())),
        ("all resumed another execution than it said", with(&all, "/answer/executions/0", resumed.clone())),
        ("a callback counted whose condition is false", with(&resume, "/what", json!("wrong"))),
        ("a start was a resumption", with(&resume, "/what", json!("start"))),
        ("one that was cancelled went on", with(&find("cancel", 200), "/execution", resumed.clone())),
    ];
    let count = faults.len();
    for (fault, line) in faults {
        let mut tampered = lines.clone();
        tampered.insert(line);
        let server = server.clone();
        let checked = tokio::spawn(async move { check(&server, &tampered).await }).await;
        assert!(checked.is_err(), "not noticed: {fault}");
    }
    println!("chaos: the check notices {count} of {count} falsified ledgers");
}

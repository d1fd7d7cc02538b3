//! The store's tests, each in a process of its own. sled shares a lock among all stores of a process, and there stores of different
//! tests have waited for each other for ever; a server has one.

use crate::process::{cargo, root, target};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread::{available_parallelism, scope, sleep};
use std::time::{Duration, Instant};

/// A test that takes longer hangs.
const HANGS_AFTER: Duration = Duration::from_mins(3);

/// Runs them, and gives what they printed.
///
/// # Errors
///
/// One failed, or hung twice.
pub fn run(workspace: &[&str]) -> Result<String> {
    let program = build(workspace)?;
    let names = list(&program)?;
    ensure!(names.len() > 30, "the store has {} tests", names.len());
    let logs = target().join("store-tests");
    std::fs::create_dir_all(&logs)?;
    let (left, printed) = (Mutex::new(names.iter()), Mutex::new(Ok(String::new())));
    let next = || left.lock().ok()?.next();
    let work = || {
        while let Some(name) = next() {
            let said = run_one(&program, name, &logs);
            if let Ok(mut printed) = printed.lock() {
                match (&mut *printed, said) {
                    (Ok(all), Ok(said)) => all.push_str(&said),
                    (all @ Ok(_), Err(error)) => *all = Err(error),
                    (Err(_), _) => {}
                }
            }
        }
    };
    scope(|threads| {
        for _ in 0..available_parallelism().map_or(2, usize::from) {
            threads.spawn(work);
        }
    });
    printed.into_inner().map_err(|_| anyhow::anyhow!("a thread that ran tests of the store panicked"))?
}

/// The program with the tests, built as those of the other crates are.
fn build(workspace: &[&str]) -> Result<PathBuf> {
    let mut build = cargo();
    build.args(["test", "--locked", "--no-run", "--lib", "--message-format", "json"]).args(workspace);
    let output = build.stderr(Stdio::inherit()).output()?;
    ensure!(output.status.success(), "the tests of the store could not be built");
    let program = String::from_utf8(output.stdout)?.lines().find_map(|line| {
        let said: Value = serde_json::from_str(line).ok()?;
        let is_it = said["target"]["name"] == "ringback_store" && said["profile"]["test"] == true;
        said["executable"].as_str().filter(|_| is_it).map(PathBuf::from)
    });
    program.context("cargo names no program with the tests of the store")
}

fn list(program: &Path) -> Result<Vec<String>> {
    let output = Command::new(program).arg("--list").output()?;
    let text = String::from_utf8(output.stdout)?;
    Ok(text.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect())
}

/// One that hangs is tried once more, and said.
fn run_one(program: &Path, name: &str, logs: &Path) -> Result<String> {
    for _ in 0..2 {
        let log = logs.join(name.replace("::", "-"));
        let file = File::create(&log)?;
        let mut test = Command::new(program);
        test.args(["--exact", name, "--show-output"]).current_dir(root()).env("RUST_BACKTRACE", "0");
        let mut running = test.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).spawn()?;
        let began = Instant::now();
        while began.elapsed() < HANGS_AFTER {
            if let Some(status) = running.try_wait()? {
                let said = std::fs::read_to_string(&log)?;
                ensure!(status.success(), "a test of the store failed:\n{said}");
                return Ok(said);
            }
            sleep(Duration::from_millis(20));
        }
        running.kill()?;
        running.wait()?;
        println!("the test {name} of the store hung");
    }
    anyhow::bail!("the test {name} of the store hung twice")
}

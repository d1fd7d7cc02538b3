//! The fuzz targets of `host/fuzz`: built with the coverage that libFuzzer follows, and run for a while, each from its seeds.

use crate::process::{cargo, root, run as run_command, target, try_run};
use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;

/// How long CI runs each target, in seconds.
pub const SHARE_SECONDS: u64 = 6;
/// As many at a time as a small machine has processors.
const AT_A_TIME: usize = 2;

/// Runs every target, or one, for so many seconds: a line each. With a seed, they begin in the same way each time.
pub fn run(seconds: u64, only: Option<&str>, seed: Option<&str>) -> Result<()> {
    let directory = root().join("host/fuzz");
    let mut build = cargo();
    build.args(["build", "--package", "ringback-fuzz", "--locked", "--quiet"]);
    run_command(build.env("RUSTC_WORKSPACE_WRAPPER", directory.join("instrument.sh")))?;
    let mut targets = Vec::new();
    for entry in std::fs::read_dir(directory.join("fuzz_targets"))? {
        let name = entry?.path().file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if only.is_none_or(|only| only == name) {
            targets.push(name);
        }
    }
    ensure!(!targets.is_empty(), "there is no such target in host/fuzz/fuzz_targets");
    targets.sort_unstable_by(|a, b| b.cmp(a));
    let (waiting, failed) = (Mutex::new(targets), Mutex::new(Vec::new()));
    let next = || waiting.lock().ok()?.pop();
    std::thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                while let Some(name) = next() {
                    match fuzz(&name, &directory, seconds, seed) {
                        Ok(inputs) => println!("fuzz {name}: {inputs} inputs, 0 failures"),
                        Err(error) => failed.lock().map(|mut failed| failed.push(error)).unwrap_or_default(),
                    }
                }
            });
        }
    });
    match failed.into_inner().unwrap_or_default().pop() {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

/// Runs a target: how many inputs it has tried.
fn fuzz(name: &str, directory: &Path, seconds: u64, seed: Option<&str>) -> Result<u64> {
    // What is found stays there, and is where the next run begins.
    let found = target().join("fuzz").join(name);
    let artifacts = target().join("fuzz/artifacts");
    std::fs::create_dir_all(&found)?;
    std::fs::create_dir_all(&artifacts)?;
    let mut run = Command::new(target().join("debug").join(name));
    run.args(["-timeout=5", "-rss_limit_mb=2048", "-print_final_stats=1", &format!("-max_total_time={seconds}")]);
    run.args(seed.map(|seed| format!("-seed={seed}")));
    run.arg(format!("-artifact_prefix={}/{name}-", artifacts.display()));
    let (passed, output) = try_run(run.arg(found).arg(directory.join("corpus").join(name)))?;
    ensure!(passed, "the fuzz target {name} found an input that fails; it is in {}:\n{output}", artifacts.display());
    let inputs = output.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
    inputs.and_then(|inputs| inputs.trim().parse().ok()).context("the target does not say what it tried")
}

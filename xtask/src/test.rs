//! Everything that CI runs, in one command.

use crate::process::{cargo, root, run as run_command, target, try_run};
use crate::{
    api, authors, checklist, conformance, console, engine, families, fuzz, plugins, readme, store, tools, wit,
};
use anyhow::Result;
use std::process::Command;
use std::time::Instant;

/// Runs it all; the first failure ends it.
pub fn run() -> Result<()> {
    let started = Instant::now();
    let step = |what: &str| println!("\n=== {what} ({:.0} s)", started.elapsed().as_secs_f32());
    step("format");
    run_command(cargo().args(["fmt", "--all", "--check"]))?;
    step("interface");
    wit::check()?;
    step("engine of scripts");
    engine::check()?;
    step("plugins");
    plugins::build_all()?;
    step("lints");
    run_command(
        cargo().args(["clippy", "--all-targets", "--locked"]).args(WORKSPACE).args(["--", "--deny", "warnings"]),
    )?;
    step("helpers of the tests");
    // The binary first: tests start it, and it must be the one that the other commands use, too.
    helpers()?;
    let mut left_out = Vec::from(PROOFS);
    if let Err(error) = tools::signers() {
        println!("skipped: the providers' own libraries cannot be installed: {error:#}");
        left_out.push("signers::");
    }
    step("tests");
    let mut tests = cargo();
    tests.args(["test", "--locked", "--no-fail-fast"]).args(WORKSPACE);
    tests.args(["--exclude", "ringback-store", "--", "--show-output"]);
    tests.args(left_out.iter().flat_map(|left_out| ["--skip", left_out]));
    let (passed, output) = try_run(tests.env("RUST_BACKTRACE", "0"))?;
    anyhow::ensure!(passed, "a test failed:\n{output}");
    let output = output + &store()?;
    let mut results = checklist::results(&output);
    families::print(&results, &output);
    step("proofs that nothing is lost, and that nothing hurts");
    results.extend(prove(&PROOFS, None)?);
    step("behaviour checklist");
    checklist::check(&results, false)?;
    step("fuzz targets");
    fuzz::run(fuzz::SHARE_SECONDS, None, Some(SEED))?;
    step("API against its document");
    match tools::schemathesis() {
        Ok(_) => api::run(api::SHARE, Some(SEED))?,
        Err(error) => println!("skipped: schemathesis cannot be installed: {error:#}"),
    }
    step("the console in a browser");
    match tools::browser() {
        Ok(browser) => console::run(&browser)?,
        Err(error) => println!("skipped: a browser, or what drives it, cannot be installed: {error:#}"),
    }
    step("plugins of each language, from the first command to a callback");
    let without = tools::without();
    authors::run(None, &without)?;
    step("the SDKs, and one plugin in each language");
    conformance::run(None, &without)?;
    step("documentation");
    let mut doc = cargo();
    doc.args(["doc", "--no-deps", "--locked", "--lib", "--package", "ringback-guest", "--package", "ringback"]);
    doc.args(
        ["records", "rules", "store", "outbound", "plugin", "console"].map(|room| format!("--package=ringback-{room}")),
    );
    run_command(doc.env("RUSTDOCFLAGS", "--deny warnings"))?;
    step("dependencies");
    dependencies()?;
    step("the commands of the manual");
    readme::run_all(&without)?;
    println!("\nEverything passed in {:.0} s.", started.elapsed().as_secs_f32());
    Ok(())
}

/// What is tried at random begins in the same way every time: what is found is found again.
const SEED: &str = "1";

/// Everything but the fuzz targets, which exist with their instruments only.
const WORKSPACE: [&str; 3] = ["--workspace", "--exclude", "ringback-fuzz"];

/// The tests of the store by themselves: what they printed.
pub fn store() -> Result<String> {
    store::run(&WORKSPACE)
}

/// What tests start: the binary, one with faults to be planted, and what stands between the binary and its files.
pub fn helpers() -> Result<()> {
    run_command(cargo().args(BINARY).args(["--features", "planted-faults"]))?;
    let planted = target().join("planted");
    std::fs::create_dir_all(&planted)?;
    let copy = planted.join("unfinished");
    std::fs::copy(target().join("debug/ringback"), &copy)?;
    std::fs::rename(copy, planted.join("ringback"))?;
    binary()?;
    run_command(cargo().args(["build", "--package", "ringback-faults", "--locked"]))
}

/// The binary as it is now.
pub fn binary() -> Result<()> {
    run_command(cargo().args(BINARY))
}

const BINARY: [&str; 6] = ["build", "--package", "ringback", "--bin", "ringback", "--locked"];

/// The proofs that nothing is lost, by themselves: as CI runs them, or for some minutes.
pub fn chaos(minutes: Option<&str>) -> Result<()> {
    plugins::build_all()?;
    helpers()?;
    prove(&PROOFS[..4], minutes.map(|minutes| ("CHAOS_MINUTES", minutes))).map(drop)
}

/// Hostile components by themselves: as CI tries them, or so many generated ones.
pub fn hostile(count: Option<&str>) -> Result<()> {
    plugins::build_all()?;
    helpers()?;
    prove(&PROOFS[4..], count.map(|count| ("HOSTILE_COUNT", count))).map(drop)
}

/// Tests that take minutes, and say in one line what they tried.
const PROOFS: [&str; 5] = ["chaos::", "faults::", "linearizability::", "planted::", "hostile::"];

/// One after the other: each uses what the machine has. Its results by the names of the tests.
fn prove(proofs: &[&str], setting: Option<(&str, &str)>) -> Result<Vec<(String, bool)>> {
    let mut test = cargo();
    // The same packages as for the other tests: with others, features differ and everything is built again.
    test.args(["test", "--test", "it", "--locked"]).args(WORKSPACE).arg("--").args(proofs);
    test.args(["--show-output", "--test-threads", "1"]).env("RUST_BACKTRACE", "0");
    test.envs(setting);
    let (passed, output) = try_run(&mut test)?;
    anyhow::ensure!(passed, "a proof failed:\n{output}");
    let says =
        |line: &&str| [" 0 failures", " 0 impossible", " noticed", " notices "].iter().any(|end| line.contains(end));
    output.lines().filter(says).for_each(|line| println!("{line}"));
    Ok(checklist::results(&output))
}

/// Licences, bans and sources; advisories where their database can be reached.
fn dependencies() -> Result<()> {
    let program = match tools::cargo_deny() {
        Ok(program) => program,
        Err(error) => {
            println!("skipped: cargo-deny cannot be installed: {error:#}");
            return Ok(());
        }
    };
    let deny = |checks: &[&str]| {
        let mut command = Command::new(&program);
        command.args(["check", "--hide-inclusion-graph"]).args(checks).current_dir(root());
        command
    };
    run_command(&mut deny(&["licenses", "bans", "sources"]))?;
    let (passed, output) = try_run(&mut deny(&["advisories"]))?;
    if !passed && output.contains("failed to fetch advisory database") {
        println!("skipped: the database of advisories cannot be reached from here");
        return Ok(());
    }
    anyhow::ensure!(passed, "{output}");
    println!("advisories ok");
    Ok(())
}

//! Everything that CI runs, in one command.

use crate::process::{cargo, root, run as run_command, target, try_run};
use crate::{checklist, plugins, readme, wit};
use anyhow::Result;
use std::process::Command;
use std::time::Instant;

/// Runs it all; the first failure ends it.
pub fn run() -> Result<()> {
    let started = Instant::now();
    step("format");
    run_command(cargo().args(["fmt", "--all", "--check"]))?;
    step("interface");
    wit::check()?;
    step("plugins");
    plugins::build_all()?;
    step("lints");
    run_command(cargo().args(["clippy", "--workspace", "--all-targets", "--locked", "--", "--deny", "warnings"]))?;
    step("tests");
    // The binary first: tests start it, and it must be the one that the other commands use, too.
    helpers()?;
    let mut tests = cargo();
    tests.args(["test", "--workspace", "--locked", "--no-fail-fast", "--"]);
    tests.args(PROOFS.iter().flat_map(|proof| ["--skip", proof]));
    let (passed, output) = try_run(tests.env("RUST_BACKTRACE", "0"))?;
    anyhow::ensure!(passed, "a test failed:\n{output}");
    let mut results = checklist::results(&output);
    println!("{} tests, 0 failures", results.len());
    step("proofs that nothing is lost, and that nothing hurts");
    results.extend(prove(&PROOFS, None)?);
    step("behaviour checklist");
    checklist::check(&results, false)?;
    step("templates of new plugins");
    templates()?;
    step("documentation");
    let mut doc = cargo();
    doc.args(["doc", "--no-deps", "--locked", "--package", "ringback-guest", "--package", "ringback"]);
    run_command(doc.env("RUSTDOCFLAGS", "--deny warnings"))?;
    step("dependencies");
    dependencies()?;
    step("the README's commands");
    readme::run(&root().join("README.md"), &target().join("debug"))?;
    for example in ["order-processing", "price-quote", "payment-webhook", "ideal-payment"] {
        readme::run(&root().join("examples").join(example).join("README.md"), &target().join("debug"))?;
    }
    for face in ["native", "flowrunner", "grexx", "patchworks", "nocobase"] {
        readme::run(&root().join(format!("docs/faces/{face}.md")), &target().join("debug"))?;
    }
    println!("\nEverything passed in {:.0} s.", started.elapsed().as_secs_f32());
    Ok(())
}

/// What tests start: the binary, one with faults to be planted, and what stands between the binary and its files.
pub fn helpers() -> Result<()> {
    let build = ["build", "--package", "ringback", "--bin", "ringback", "--locked"];
    run_command(cargo().args(build).args(["--features", "planted-faults"]))?;
    let planted = target().join("planted");
    std::fs::create_dir_all(&planted)?;
    let copy = planted.join("unfinished");
    std::fs::copy(target().join("debug/ringback"), &copy)?;
    std::fs::rename(copy, planted.join("ringback"))?;
    run_command(cargo().args(build))?;
    run_command(cargo().args(["build", "--package", "ringback-faults", "--locked"]))
}

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
    test.args(["test", "--package", "ringback", "--test", "it", "--locked", "--"]);
    test.args(proofs).args(["--show-output", "--test-threads", "1"]).env("RUST_BACKTRACE", "0");
    test.envs(setting);
    let (passed, output) = try_run(&mut test)?;
    anyhow::ensure!(passed, "a proof failed:\n{output}");
    let says =
        |line: &&str| [" 0 failures", " 0 impossible", " noticed", " notices "].iter().any(|end| line.contains(end));
    output.lines().filter(says).for_each(|line| println!("{line}"));
    Ok(checklist::results(&output))
}

/// What `ringback plugin new` writes: each role builds, and its own test passes.
fn templates() -> Result<()> {
    let directory = target().join("templates");
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&directory)?;
    for role in ["verifier", "parser", "condition", "step", "responder"] {
        let name = format!("new-{role}");
        let mut new = Command::new(target().join("debug/ringback"));
        new.args(["plugin", "new", &name, "--role", role, "--sdk"]).arg(root().join("guest-sdk/rust"));
        run_command(new.current_dir(&directory).stdout(std::process::Stdio::null()))?;
        let mut test = cargo();
        test.args(["test", "--quiet", "--lib"]).env("CARGO_TARGET_DIR", target().join("templates-target"));
        run_command(test.current_dir(directory.join(&name)))?;
    }
    Ok(())
}

/// Licences, bans and sources; advisories need their database, which may be out of reach.
fn dependencies() -> Result<()> {
    let installed = try_run(Command::new("cargo-deny").arg("--version")).is_ok_and(|(found, _)| found);
    if !installed {
        println!("skipped: cargo-deny is not installed (`cargo install cargo-deny --locked` to check deny.toml)");
        return Ok(());
    }
    run_command(cargo().args(["deny", "check", "licenses", "bans", "sources"]))
}

fn step(what: &str) {
    println!("\n=== {what}");
}

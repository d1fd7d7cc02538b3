//! The demonstration: everything built, a server with the example, and three callbacks that show what it does.

use crate::http::{github_signature, post};
use crate::plugins;
use crate::process::{cargo, root, run as run_command, target};
use crate::server::Server;
use anyhow::{Context, Result, ensure};
use std::time::Instant;

const SECRET: &str = "It's a Secret to Everybody";

/// Runs the demonstration, and leaves the server running until ctrl-c when `wait` is set.
pub fn run(wait: bool) -> Result<()> {
    let started = Instant::now();
    step("1/4", "building the plugins");
    plugins::build_all()?;
    step(
        "2/4",
        "building the server (the first time that takes 27 minutes of processor time, for all of them together)",
    );
    run_command(cargo().args(["build", "--package", "ringback", "--bin", "ringback", "--locked"]))?;
    step("3/4", "starting the server on its embedded store, and deploying examples/github-push");
    let ports = if wait { ["127.0.0.1:8080", "127.0.0.1:8081"] } else { ["127.0.0.1:0", "127.0.0.1:0"] };
    let mut server = Server::start(&target().join("debug/ringback"), &target().join("demo"), ports)?;
    let example = root().join("examples/github-push");
    server.ringback(&["plugin", "push", "field-match"], Some(&plugins::directory().join("field-match.wasm")), None)?;
    server.ringback(&["secret", "set", "GITHUB_SECRET"], None, Some(SECRET))?;
    server.ringback(&["flow", "apply"], Some(&example.join("flow.yaml")), None)?;
    let url = server.url_of("github-push", 0)?;

    step("4/4", "sending three callbacks as GitHub does");
    let push = std::fs::read(example.join("payloads/push-branch.json"))?;
    let tag = std::fs::read(example.join("payloads/push-tag.json"))?;
    let forged = github_signature("a guess", &push)?;
    for (what, body, signature, expected) in [
        ("a push with a forged signature", &push, forged, 401),
        ("a push of a tag, well signed", &tag, github_signature(SECRET, &tag)?, 204),
        ("a push of a commit, well signed", &push, github_signature(SECRET, &push)?, 202),
    ] {
        println!("\n--- {what}");
        let answer = post(&url, &[("x-github-event", "push"), ("x-hub-signature-256", &signature)], body)?;
        println!("answered {} {}", answer.status, answer.body);
        ensure!(answer.status == expected, "expected {expected}");
        server.explain(&answer.callback)?;
    }
    println!("\n--- the execution that was started");
    server.ringback(&["execution", "list", "--limit", "1"], None, None)?;
    println!("\nAll three were decided as they should be, {:.0} s after the start.", started.elapsed().as_secs_f32());
    if wait {
        println!("\nThe server is running; stop it with ctrl-c.");
        println!("  callbacks for the example  {url}");
        println!("  admin API                  {}", server.admin);
        println!("  admin token                {}", target().join("demo/admin-token").display());
        println!("  try                        target/debug/ringback --data target/demo callback list");
        server.wait().context("the server ended")?;
    }
    Ok(())
}

fn step(number: &str, what: &str) {
    println!("\n[{number}] {what}");
}

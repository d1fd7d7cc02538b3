//! The admin API against its own OpenAPI document: what the document allows must be answered as it says.

use crate::process::{root, target, try_run};
use crate::server::Server;
use crate::tools;
use anyhow::{Context, Result, ensure};
use std::process::Command;

/// Cases for each operation and phase, as CI tries them.
pub const SHARE: &str = "20";

/// Runs schemathesis against the real binary: how many requests it has sent. With a seed, they are the same ones each time.
pub fn run(examples: &str, seed: Option<&str>) -> Result<()> {
    let schemathesis = tools::schemathesis()?;
    let data = target().join("schemathesis/data");
    let _ = std::fs::remove_dir_all(&data);
    let server = Server::start(&target().join("debug/ringback"), &data, ["127.0.0.1:0"; 2])?;
    let token = std::fs::read_to_string(data.join("admin-token"))?;
    let settings = root().join("host/tests/schemathesis");
    let mut command = Command::new(schemathesis);
    command.arg("--config-file").arg(settings.join("schemathesis.toml"));
    command.args(["run", &format!("{}/v1/openapi.json", server.admin), "--checks", "all", "--no-color"]);
    command.args(["--header", &format!("Authorization: Bearer {}", token.trim()), "--max-examples", examples]);
    command.args(seed.map(|seed| ["--seed", seed]).into_iter().flatten());
    command.env("SCHEMATHESIS_HOOKS", settings.join("hooks.py"));
    // What it remembers belongs under `target`.
    let (passed, output) = try_run(command.current_dir(target().join("schemathesis")))?;
    ensure!(passed, "schemathesis found something:\n{output}");
    let counts = output.lines().filter_map(|line| line.trim().split_once(" generated"));
    let requests = counts.filter_map(|(count, _)| count.parse::<u64>().ok()).next();
    println!("API against its document: {} requests, 0 failures", requests.context("schemathesis sent nothing")?);
    Ok(())
}

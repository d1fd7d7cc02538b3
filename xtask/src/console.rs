//! The console in a real browser: a person's ways through it, and that no page breaks a rule of accessibility or of its own.

use crate::process::{root, run as run_command, target};
use crate::server::Server;
use crate::tools::Browser;
use anyhow::Result;
use std::process::Command;

/// Longest time that the browser takes; a quiet machine needs a minute.
const SECONDS_MAX: &str = "420";

/// Starts the real binary and drives Chromium through its pages. Pictures of all of them are under `target/console/pictures`.
pub fn run(browser: &Browser) -> Result<()> {
    let data = target().join("console/data");
    let _ = std::fs::remove_dir_all(&data);
    let server = Server::start(&target().join("debug/ringback"), &data, ["127.0.0.1:0"; 2])?;
    let token = std::fs::read_to_string(data.join("admin-token"))?;
    let check = browser.directory.join("check.mjs");
    std::fs::copy(root().join("host/tests/console/check.mjs"), &check)?;
    let mut command = Command::new("timeout");
    command.arg(SECONDS_MAX).arg("node").arg(check);
    command.env("ADMIN", &server.admin).env("PUBLIC", &server.public).env("TOKEN", token.trim());
    command.env("CHROMIUM", &browser.program).env("SHOTS", target().join("console/pictures"));
    command.env("PLUGIN", target().join("plugins/field-match.wasm"));
    run_command(&mut command)
}

//! The engine of scripts is kept as it was built: this builds it again, and compares.

use crate::process::{root, run, target};
use crate::tools;
use anyhow::{Result, ensure};
use std::process::Command;

/// Builds it, and compares it with the file that servers are built with.
pub fn check() -> Result<()> {
    tools::clang()?;
    let (directory, work) = (root().join("plugins/script"), target().join("script"));
    let out = work.join("out");
    std::fs::create_dir_all(&out)?;
    run(Command::new(directory.join("build.sh")).arg(&work).arg(&out))?;
    let (kept, built) = (std::fs::read(directory.join("engine.wasm"))?, std::fs::read(out.join("engine.wasm"))?);
    ensure!(
        kept == built,
        "plugins/script/engine.wasm is not what its sources make: run plugins/script/build.sh, and commit what it wrote"
    );
    println!("{} bytes, as they are kept", built.len());
    Ok(())
}

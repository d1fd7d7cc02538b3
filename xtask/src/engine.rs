//! The engine of scripts is kept as it was built: this builds it again, and compares.

use crate::process::{root, run, target, try_run};
use anyhow::{Result, ensure};
use std::path::Path;
use std::process::Command;

/// What Debian calls the compiler, its linker, and the C library and runtime for WebAssembly; and a file of each.
const TOOLS: [(&str, &str); 4] = [
    ("clang-19", "/usr/bin/clang-19"),
    ("lld-19", "/usr/bin/wasm-ld-19"),
    ("wasi-libc", "/usr/include/wasm32-wasi/stdio.h"),
    ("libclang-rt-19-dev-wasm32", "/usr/lib/llvm-19/lib/clang/19/lib/wasi/libclang_rt.builtins-wasm32.a"),
];

/// Builds it, and compares it with the file that servers are built with.
pub fn check() -> Result<()> {
    install()?;
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

/// Installs what is missing where that is allowed, and says how otherwise.
fn install() -> Result<()> {
    let missing: Vec<&str> =
        TOOLS.iter().filter(|(_, file)| !Path::new(file).exists()).map(|(name, _)| *name).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        try_run(command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive")).is_ok_and(|(worked, _)| worked)
    };
    let install = ["install", "-y", "--no-install-recommends"];
    let worked = apt(&["update"]) && apt(&[&install, &*missing].concat());
    ensure!(
        worked,
        "the engine of scripts is built with tools that are not here; as root: apt-get install -y --no-install-recommends {}",
        missing.join(" ")
    );
    Ok(())
}

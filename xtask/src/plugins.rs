//! Building plugins: `.wasm` files in `target/plugins/`, ready for upload.

use crate::process::{root, run, target};
use crate::wasm::{TARGET, Toolchain, target_directory};
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

/// The first-party plugins, and those of the host's tests.
const PACKAGES: [&str; 8] = [
    "conformance",
    "field-match",
    "csv-rows",
    "twilio-signature",
    "json-reshape",
    "template-reply",
    "misbehave",
    "uses-wasi",
];

/// Where finished plugins go.
pub fn directory() -> PathBuf {
    target().join("plugins")
}

/// Builds every plugin of the workspace.
pub fn build_all() -> Result<PathBuf> {
    let mut build = Toolchain::find()?.cargo_build();
    build.args(["--profile", "plugin", "--locked"]);
    for package in PACKAGES {
        build.args(["--package", package]);
    }
    run(&mut build)?;
    for package in PACKAGES {
        publish(package, &target_directory().join(TARGET).join("plugin"))?;
    }
    Ok(directory())
}

/// Builds the plugin crate in `directory`, which need not belong to the workspace.
pub fn build_one(crate_directory: &Path) -> Result<PathBuf> {
    let manifest = crate_directory.join("Cargo.toml");
    let text = std::fs::read_to_string(&manifest)
        .with_context(|| format!("{} cannot be read; is this the directory of a crate?", manifest.display()))?;
    let package = text
        .lines()
        .find_map(|line| line.strip_prefix("name")?.trim_start().strip_prefix('='))
        .map(|name| name.trim().trim_matches('"').to_owned())
        .with_context(|| format!("{} has no `name = …` line", manifest.display()))?;
    let mut build = Toolchain::find()?.cargo_build();
    run(build.args(["--release", "--manifest-path"]).arg(std::path::absolute(&manifest)?))?;
    publish(&package, &target_directory().join(TARGET).join("release"))
}

fn publish(package: &str, built: &Path) -> Result<PathBuf> {
    let from = built.join(format!("{}.wasm", package.replace('-', "_")));
    let to = directory().join(format!("{package}.wasm"));
    std::fs::create_dir_all(directory())?;
    let size = std::fs::copy(&from, &to).with_context(|| {
        format!("the build left no {}; does Cargo.toml say `crate-type = [\"cdylib\"]`?", from.display())
    })?;
    let shown = to.strip_prefix(root()).unwrap_or(&to);
    println!("{} ({} KiB)", shown.display(), size.div_ceil(1024));
    Ok(to)
}

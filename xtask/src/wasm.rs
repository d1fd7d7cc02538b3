//! A cargo that builds for wasm32-unknown-unknown, on every machine.
//!
//! In this order: the target is installed; rustup installs it; or, on Debian where rustup has nothing to offer, the
//! distribution's compiler is unpacked (not installed) beside the build and the standard library is built from source.

use crate::process::{cargo, run, target, try_run};
use anyhow::{Context, Result, bail, ensure};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

pub const TARGET: &str = "wasm32-unknown-unknown";

/// Debian's compiler and all it needs, of one version.
const DEBIAN_PACKAGES: [&str; 5] =
    ["rustc-web", "libstd-rust-web-dev", "libstd-rust-web-1.96", "rust-web-src", "libllvm22"];

/// How to build for wasm32 here.
pub struct Toolchain {
    /// Environment variables for cargo.
    environment: Vec<(String, String)>,
    /// Further arguments of `cargo build`.
    arguments: Vec<String>,
}

impl Toolchain {
    /// Finds a way, preparing it if need be.
    pub fn find() -> Result<Self> {
        if target_is_installed()? {
            return Ok(Self { environment: Vec::new(), arguments: Vec::new() });
        }
        if let Some(toolchain) = Self::unpacked()? {
            return Ok(toolchain);
        }
        eprintln!("xtask: the {TARGET} target is not installed; asking rustup for it");
        let (installed, rustup_said) = try_run(Command::new("rustup").args(["target", "add", TARGET]))
            .unwrap_or_else(|error| (false, format!("{error:#}")));
        if installed && target_is_installed()? {
            return Ok(Self { environment: Vec::new(), arguments: Vec::new() });
        }
        eprintln!("xtask: rustup has no {TARGET} here; unpacking Debian's compiler instead (about 140 MB, once)");
        unpack_debian().with_context(|| {
            format!(
                "no compiler for {TARGET}. Install the target (`rustup target add {TARGET}`) and run this again.\n\
                 rustup said: {}",
                rustup_said.trim()
            )
        })?;
        Self::unpacked()?.context("the unpacked compiler does not run")
    }

    /// `cargo build` for this toolchain, with its own part of the target directory.
    pub fn cargo_build(&self) -> Command {
        let mut command = cargo();
        command.args(["build", "--target", TARGET]).args(&self.arguments);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.env("CARGO_TARGET_DIR", target_directory());
        command
    }

    /// The same for a cargo that somebody else starts: variables, and what would be arguments as variables.
    pub fn environment(&self) -> Vec<(String, String)> {
        let mut environment = self.environment.clone();
        let build_std = self.arguments.iter().find_map(|argument| argument.strip_prefix("-Zbuild-std="));
        environment.extend(build_std.map(|parts| ("CARGO_UNSTABLE_BUILD_STD".to_owned(), parts.to_owned())));
        environment
    }

    fn unpacked() -> Result<Option<Self>> {
        let rustc = unpacked_directory().join("rustc");
        if !rustc.is_file() || !try_run(Command::new(&rustc).arg("-vV"))?.0 {
            return Ok(None);
        }
        Ok(Some(Self {
            environment: vec![
                ("RUSTC".into(), rustc.display().to_string()),
                ("RUSTC_BOOTSTRAP".into(), "1".into()),
                (
                    format!("CARGO_TARGET_{}_LINKER", TARGET.to_uppercase().replace('-', "_")),
                    rust_lld()?.display().to_string(),
                ),
            ],
            arguments: vec!["-Zbuild-std=std,panic_abort".into()],
        }))
    }
}

/// Where wasm32 builds go: a different compiler must not share fingerprints with the host's.
pub fn target_directory() -> PathBuf {
    target().join("wasm")
}

fn unpacked_directory() -> PathBuf {
    target().join("wasm-toolchain")
}

fn sysroot() -> Result<PathBuf> {
    let (found, sysroot) = try_run(Command::new("rustc").args(["--print", "sysroot"]))?;
    ensure!(found, "rustc does not run: {sysroot}");
    Ok(PathBuf::from(sysroot.trim()))
}

fn target_is_installed() -> Result<bool> {
    Ok(sysroot()?.join("lib/rustlib").join(TARGET).join("lib").is_dir())
}

fn rust_lld() -> Result<PathBuf> {
    let (found, version) = try_run(Command::new("rustc").arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    let Some(host) = host.filter(|_| found) else { bail!("rustc does not name its host: {version}") };
    let linker = sysroot()?.join("lib/rustlib").join(host).join("bin/rust-lld");
    ensure!(linker.is_file(), "there is no linker at {}", linker.display());
    Ok(linker)
}

/// Downloads and unpacks Debian's packages, and writes a `rustc` that finds its libraries there.
fn unpack_debian() -> Result<()> {
    let directory = unpacked_directory();
    let downloads = directory.join("download");
    let root = directory.join("root");
    std::fs::create_dir_all(&downloads)?;
    std::fs::create_dir_all(&root)?;
    // Without fresh package lists, `apt-get download` may name files that are gone.
    let (updated, said) = try_run(Command::new("apt-get").args(["update", "-q"]))?;
    if !updated {
        eprintln!("xtask: apt-get update failed, going on with the lists that are here: {}", said.trim());
    }
    run(Command::new("apt-get").args(["download", "-q"]).args(DEBIAN_PACKAGES).current_dir(&downloads))?;
    for entry in std::fs::read_dir(&downloads)? {
        let package = entry?.path();
        if package.extension().is_some_and(|extension| extension == "deb") {
            run(Command::new("dpkg").arg("-x").arg(&package).arg(&root))?;
        }
    }
    let rustc = root.join("usr/bin/rustc");
    let library = root.join("usr/lib/x86_64-linux-gnu");
    let wrapper = directory.join("rustc");
    let script = format!("#!/bin/sh\nLD_LIBRARY_PATH='{}' exec '{}' \"$@\"\n", library.display(), rustc.display());
    std::fs::write(&wrapper, script)?;
    std::fs::set_permissions(&wrapper, std::fs::Permissions::from_mode(0o755))?;
    std::fs::remove_dir_all(&downloads)?;
    Ok(())
}

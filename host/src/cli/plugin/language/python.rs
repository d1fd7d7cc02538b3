//! Python: a module with decorated functions, and Python's own interpreter beside it in the component.

use super::{Files, Language, Scaffold, files};
use crate::cli::CliError;
use crate::cli::plugin::build::{Build, Tool};
use ringback_records::plugin::Role;
use std::borrow::Cow;
use std::path::{Path, PathBuf};

pub(super) const LANGUAGE: Language = Language {
    name: "python",
    title: "Python",
    marks: &["pyproject.toml", "plugin.py"],
    sdk: "guest-sdk/python",
    sdk_files: files!("guest-sdk/python":
        "README.md", "pyproject.toml", "src/ringback/__init__.py", "src/ringback/__main__.py",
        "src/ringback/_config.py", "src/ringback/_host.py", "src/ringback/_roles.py", "src/ringback/_values.py",
        "src/ringback/_views.py", "src/ringback/_wasm.py", "src/ringback/http.py", "src/ringback/py.typed",
        "src/ringback/secrets.py", "src/ringback/state.py", "src/ringback/testing.py", "src/ringback/wit/about.wit",
        "src/ringback/wit/host.wit", "src/ringback/wit/roles.wit", "src/ringback/wit/types.wit",
        "src/ringback/wit/worlds.wit"),
    sdk_file: |_, text| Cow::Borrowed(text),
    files,
    test: "python3 -m venv .venv && .venv/bin/pip install -q -r requirements.txt && .venv/bin/pytest",
    build,
};

const PYTHON: Tool = Tool {
    program: "python3",
    title: "Python",
    debian: "apt-get install python3 python3-venv",
    other: "the package `python3` of your system, 3.11 or newer",
};
/// Where a project has what it installs, and what that is for: done again when the file has changed.
const ENVIRONMENT: &str = ".venv";
const REQUIREMENTS: &str = "requirements.txt";

fn files(scaffold: &Scaffold<'_>) -> Result<Files, String> {
    let source = match scaffold.role {
        Role::Condition => include_str!("../templates/python/condition.py.txt"),
        Role::Verifier => include_str!("../templates/python/verifier.py.txt"),
        Role::Parser => include_str!("../templates/python/parser.py.txt"),
        Role::Step => include_str!("../templates/python/step.py.txt"),
        Role::Responder => include_str!("../templates/python/responder.py.txt"),
    };
    let sdk = super::path(scaffold.sdk);
    let requirements = include_str!("../templates/python/requirements.txt.txt").replace("{{sdk}}", &sdk);
    Ok(vec![
        ("plugin.py", source.to_owned()),
        ("test_plugin.py", include_str!("../templates/python/test_plugin.py.txt").to_owned()),
        ("vectors.json", super::vectors(scaffold.role).to_owned()),
        ("pyproject.toml", scaffold.fill(include_str!("../templates/python/pyproject.toml.txt"))),
        (REQUIREMENTS, requirements),
        ("README.md", scaffold.fill(include_str!("../templates/python/README.md.txt"))),
        (".gitignore", "/build/\n/.venv/\n__pycache__/\n.pytest_cache/\n".to_owned()),
    ])
}

fn build(build: &mut Build) -> Result<PathBuf, CliError> {
    let python = Path::new(ENVIRONMENT).join("bin/python");
    let absolute = build.directory.join(&python);
    let installed = Path::new(ENVIRONMENT).join("installed");
    if !absolute.exists() {
        build.step("venv", &PYTHON, &["-m", "venv", ENVIRONMENT], |said| {
            let part = said.contains("ensurepip is not available");
            part.then(|| "Python is here without venv; install that with `apt-get install python3-venv`".to_owned())
        })?;
    }
    if build.is_older(&installed, Path::new(REQUIREMENTS)) {
        let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement", REQUIREMENTS];
        build.step_of("pip", &absolute, &PYTHON, &install, |_| None)?;
        build.stamp(&installed)?;
    }
    let made = build.built()?.join("plugin.wasm");
    let output = made.display().to_string();
    let arguments = ["-m", "ringback", "build", "--output", &output];
    build.step_of("componentize", &absolute, &PYTHON, &arguments, said_by_the_sdk)?;
    Ok(made)
}

/// What the SDK says is a sentence already.
fn said_by_the_sdk(said: &str) -> Option<String> {
    said.trim().strip_prefix("error: ").map(str::to_owned)
}

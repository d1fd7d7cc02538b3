//! The SDKs: their own tests, and one plugin with all roles, written in each language. Its cases are run by the server that it is
//! uploaded to, and then a flow asks each of its roles.

use crate::process::{root, run as run_command, target, try_run};
use crate::server::Server;
use crate::{http, plugins, tools};
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

struct Language {
    name: &'static str,
    /// Makes the plugin in a directory.
    build: fn(&Path) -> Result<PathBuf>,
    /// First-party plugins in this language: what they are called, and what makes them.
    plugins: &'static [&'static str],
}

const LANGUAGES: [Language; 5] = [
    Language { name: "python", build: python, plugins: &["edifact"] },
    Language { name: "rust", build: rust, plugins: &[] },
    Language { name: "js", build: js, plugins: &[] },
    Language { name: "c", build: c, plugins: &["fraud-score"] },
    Language { name: "go", build: go, plugins: &[] },
];

/// Tries every language, or one of them, without those that are left out.
pub fn run(only: Option<&str>, left_out: &[&str]) -> Result<()> {
    let is_chosen = |name: &str| only.is_none_or(|only| only == name) && !left_out.contains(&name);
    let chosen: Vec<&Language> = LANGUAGES.iter().filter(|language| is_chosen(language.name)).collect();
    ensure!(!chosen.is_empty(), "there is no such language");
    sdks(is_chosen)?;
    let directory = target().join("conformance");
    let _ = std::fs::remove_dir_all(&directory);
    std::fs::create_dir_all(&directory)?;
    let settings = [("RINGBACK_LARGE_PLUGINS", "true")];
    let binary = target().join("debug/ringback");
    let server = Server::start_with(&binary, &directory.join("data"), ["127.0.0.1:0", "127.0.0.1:0"], &settings)?;
    server.ringback(&["secret", "set", "KEY"], None, Some("key"))?;
    for language in chosen {
        let begun = Instant::now();
        let name = format!("conformance-{}", language.name);
        let built = in_language(language).with_context(|| format!("building it in {}", language.name))?;
        push(&server, &name, &built)?;
        asked(&server, &name, &directory).with_context(|| format!("the plugin in {}", language.name))?;
        if language.name == "js" {
            push(&server, "conformance-as-it-is", &bundled()?)?;
            asked(&server, "conformance-as-it-is", &directory).context("the plugin in JavaScript, as it is")?;
        }
        for plugin in language.plugins {
            let built = (language.build)(&root().join("plugins").join(plugin))?;
            push(&server, plugin, &built)?;
        }
        println!("{:5.1} s  {}", begun.elapsed().as_secs_f32(), language.name);
    }
    Ok(())
}

/// The plugin in a language.
pub fn built(name: &str) -> Result<PathBuf> {
    let language = LANGUAGES.iter().find(|language| language.name == name).context("there is no such language")?;
    std::fs::create_dir_all(target().join("conformance"))?;
    in_language(language)
}

/// The plugin in JavaScript as one file, which is pushed as it is.
pub fn bundled() -> Result<PathBuf> {
    let sources = root().join("guest-sdk/conformance");
    let directory = sources.join("js");
    std::fs::copy(sources.join("vectors.json"), directory.join("vectors.json"))?;
    npm_install(&directory)?;
    let made = target().join("conformance/plugin.js");
    let mut bundle = Command::new(directory.join("node_modules/.bin/esbuild"));
    bundle.args(["plugin.js", "--bundle", "--format=esm", "--external:@ringback/plugin", "--log-level=warning"]);
    quietly(bundle.arg(format!("--outfile={}", made.display())).current_dir(&directory))?;
    Ok(made)
}

fn in_language(language: &Language) -> Result<PathBuf> {
    let sources = root().join("guest-sdk/conformance");
    let directory = sources.join(language.name);
    // Each language reads them beside its source.
    if language.name != "rust" {
        std::fs::copy(sources.join("vectors.json"), directory.join("vectors.json"))?;
    }
    (language.build)(&directory)
}

fn push(server: &Server, name: &str, built: &Path) -> Result<()> {
    server.json(&["plugin", "push", name, &built.display().to_string()]).map(drop)
}

/// Each role of an uploaded plugin, what it refuses and how it breaks.
fn asked(server: &Server, name: &str, directory: &Path) -> Result<()> {
    let shown = server.json(&["plugin", "show", name])?;
    let roles = shown.pointer("/versions/0/roles").and_then(Value::as_array).map_or(0, Vec::len);
    ensure!(roles == 5, "it has not all roles: {shown}");
    let source = std::fs::read_to_string(root().join("guest-sdk/conformance/flow.yaml"))?;
    let flow = source.replace("PLUGIN", name).replace("flow: conformance", &format!("flow: {name}"));
    let try_deploy = |flow: &str| -> Result<(bool, String)> {
        let file = directory.join(format!("{name}.yaml"));
        std::fs::write(&file, flow)?;
        try_run(server.command().args(["flow", "apply"]).arg(&file))
    };
    let deploy = |flow: &str| -> Result<String> {
        let (deployed, said) = try_deploy(flow)?;
        ensure!(deployed, "{said}");
        server.url_of(name, 0)
    };
    let send = |url: &str, body: &str| -> Result<http::Answer> {
        let signature = http::hmac_sha256("key", &[b"1700000000.", body.as_bytes()].concat())?;
        http::post(url, &[("x-timestamp", "1700000000"), ("x-signature", &signature)], body.as_bytes())
    };

    let url = deploy(&flow)?;
    ensure!(http::post(&url, &[], b"{}")?.status == 401, "who does not sign is let in");
    let (first, second) = (send(&url, "12345")?, send(&url, "12345")?);
    for (answer, count) in [(&first, "1 "), (&second, "2 ")] {
        ensure!((answer.status, answer.body.starts_with(count)) == (201, true), "{} {}", answer.status, answer.body);
    }
    let random = |answer: &http::Answer| answer.body.split([' ', ':']).nth(1).map(str::to_owned);
    ensure!(random(&first) != random(&second), "two calls draw the same random number: {}", first.body);
    let small = send(&url, "1")?;
    ensure!(small.status == 204, "a small callback is not ignored: {} {}", small.status, small.body);
    let explained = explained(server, &small.callback)?;
    ensure!(explained.contains("it is too small"), "it is ignored without its reason:\n{explained}");

    // What is wrong is refused when it is deployed, and says where.
    for (right, wrong, says) in [
        ("minimum: 5", "minimum: none", "minimum"),
        ("path: $.size, ", "", "path"),
        ("secret: KEY", "secret: 7", "secret"),
        ("do: text", "do: text, dont: text", "dont"),
    ] {
        let (deployed, said) = try_deploy(&flow.replacen(right, wrong, 1))?;
        ensure!(!deployed && said.contains(says), "`{wrong}` is deployed, or says nothing of {says}: {said}");
    }
    // What breaks says why, in every language.
    let answer = send(&deploy(&flow.replace("do: random", "do: crash"))?, "12345")?;
    let record = server.json(&["callback", "show", &answer.callback])?;
    let execution = record.get("execution").and_then(Value::as_str).unwrap_or_default();
    let journal = if execution.is_empty() { Value::Null } else { server.show(execution)? };
    let all = format!("{record}{journal}");
    ensure!(answer.status >= 500 && all.contains("crashed on purpose"), "{} {all}", answer.status);
    Ok(())
}

/// What `callback explain` says, once the record is there.
fn explained(server: &Server, callback: &str) -> Result<String> {
    for _ in 0..100 {
        let (found, said) = try_run(server.command().args(["callback", "explain", callback]))?;
        if found {
            return Ok(said);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    bail!("the callback {callback} has no record")
}

fn python(directory: &Path) -> Result<PathBuf> {
    let python = tools::python_sdk()?;
    quietly(Command::new(&python).args(["-m", "pytest", "-q", "-p", "no:cacheprovider"]).current_dir(directory))?;
    let made = target().join("conformance/python.wasm");
    quietly(Command::new(&python).args(["-m", "ringback", "build", "-o"]).arg(&made).current_dir(directory))?;
    Ok(made)
}

fn c(directory: &Path) -> Result<PathBuf> {
    tools::languages(&["c"])?;
    if directory.join("test_plugin.c").exists() {
        quietly(Command::new("make").args(["--silent", "test"]).current_dir(directory))?;
    }
    quietly(Command::new("make").arg("--silent").current_dir(directory))?;
    Ok(directory.join("build/plugin.wasm"))
}

fn go(directory: &Path) -> Result<PathBuf> {
    let go = tools::go()?;
    quietly(Command::new(&go).args(["test", "."]).current_dir(directory))?;
    let made = target().join("conformance/go.wasm");
    let build = ["run", "ringback/cmd/build", "-o"];
    quietly(Command::new(&go).args(build).arg(&made).current_dir(directory).env("PATH", tools::languages(&["go"])?))?;
    Ok(made)
}

fn npm_install(directory: &Path) -> Result<()> {
    let npm = ["install", "--ignore-scripts", "--no-package-lock", "--no-audit", "--no-fund", "--loglevel=error"];
    quietly(Command::new("npm").args(npm).current_dir(directory))
}

fn js(directory: &Path) -> Result<PathBuf> {
    npm_install(directory)?;
    quietly(Command::new("node").args(["--test", "plugin.test.js"]).current_dir(directory))?;
    quietly(Command::new(target().join("debug/ringback")).args(["plugin", "build"]).current_dir(directory))?;
    Ok(directory.join("build/js.wasm"))
}

fn rust(_: &Path) -> Result<PathBuf> {
    Ok(plugins::build_all()?.join("conformance.wasm"))
}

fn quietly(command: &mut Command) -> Result<()> {
    let (worked, said) = try_run(command)?;
    ensure!(worked, "{command:?}:\n{}", said.trim());
    Ok(())
}

/// The tests of the SDKs themselves, without a server; those in Rust are tests of the workspace.
fn sdks(wanted: impl Fn(&str) -> bool) -> Result<()> {
    if wanted("python") {
        let (python, sdk) = (tools::python_sdk()?, root().join("guest-sdk/python"));
        run_command(Command::new(&python).args(["-m", "pytest", "-q", "-p", "no:cacheprovider"]).current_dir(&sdk))?;
        let types = ["-m", "mypy", "--cache-dir=/dev/null", "src", "tests"];
        run_command(Command::new(&python).args(types).current_dir(&sdk))?;
    }
    if wanted("c") {
        tools::languages(&["c"])?;
        let (c, test) = (root().join("guest-sdk/c"), target().join("c-sdk-test"));
        let flags = ["-g", "-fsanitize=address,undefined", "-Wall", "-Wextra", "-Werror"];
        let sources = ["tests/test.c", "ringback.c", "ringback_test.c"];
        run_command(Command::new("cc").args(flags).args(sources).arg("-o").arg(&test).current_dir(&c))?;
        run_command(&mut Command::new(&test))?;
    }
    if wanted("go") {
        let (go, sdk) = (tools::go()?, root().join("guest-sdk/go"));
        // The generated bindings are made of pointers.
        run_command(Command::new(&go).args(["vet", "-unsafeptr=false", "./..."]).current_dir(&sdk))?;
        run_command(Command::new(&go).args(["test", "./tests"]).current_dir(&sdk))?;
    }
    if wanted("js") {
        run_command(Command::new("npm").args(["test"]).current_dir(root().join("guest-sdk/js")))?;
    }
    Ok(())
}

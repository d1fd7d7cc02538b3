//! What `ringback plugin new` writes, in every language and role: the commands that it prints are followed as they stand, and a
//! condition of each language is deployed, called, changed, and called again.

use crate::http::post;
use crate::process::{root, target, try_run};
use crate::server::Server;
use crate::tools;
use crate::wasm::{Toolchain, target_directory};
use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const ROLES: [&str; 5] = ["condition", "verifier", "parser", "step", "responder"];

struct Language {
    /// As `--lang` has it.
    name: &'static str,
    /// Where its condition is decided: the file, and what stands there and would be changed.
    file: &'static str,
    decision: [&'static str; 2],
    /// Whether a build takes moments and shows what no other does: then all roles are built, and not the condition alone.
    is_quick: bool,
    /// Whether its projects have cases, which a change that they do not allow fails.
    has_cases: bool,
}

const LANGUAGES: [Language; 6] = [
    Language {
        name: "rust",
        file: "src/lib.rs",
        decision: [">= config.minimum", "> config.minimum"],
        is_quick: false,
        has_cases: false,
    },
    Language {
        name: "js",
        file: "plugin.js",
        decision: [">= config.minimum", "> config.minimum"],
        is_quick: true,
        has_cases: true,
    },
    Language {
        name: "ts",
        file: "plugin.ts",
        decision: [">= config.minimum", "> config.minimum"],
        is_quick: false,
        has_cases: true,
    },
    Language {
        name: "c",
        file: "plugin.c",
        decision: ["total < minimum", "total <= minimum"],
        is_quick: true,
        has_cases: true,
    },
    Language {
        name: "go",
        file: "plugin.go",
        decision: [">= config.Minimum", "> config.Minimum"],
        is_quick: false,
        has_cases: true,
    },
    SLOW,
];

/// Followed beside the others: together they take as long.
const BESIDE: [&str; 2] = ["python", "go"];

/// Its projects have an interpreter.
const SLOW: Language = Language {
    name: "python",
    file: "plugin.py",
    decision: ["total < config.minimum", "total <= config.minimum"],
    is_quick: false,
    has_cases: true,
};

/// Follows every language, or one of them, without those that are left out.
pub fn run(only: Option<&str>, left_out: &[&str]) -> Result<()> {
    let directory = target().join("authors");
    let _ = std::fs::remove_dir_all(&directory);
    let projects = directory.join("projects");
    std::fs::create_dir_all(&projects)?;
    let binary = target().join("debug/ringback");
    let settings = [("RINGBACK_LARGE_PLUGINS", "true")];
    let server = Server::start_with(&binary, &directory.join("data"), ["127.0.0.1:0", "127.0.0.1:0"], &settings)?;
    let is_chosen = |name: &str| only.is_none_or(|only| only == name) && !left_out.contains(&name);
    let chosen: Vec<&Language> = LANGUAGES.iter().filter(|language| is_chosen(language.name)).collect();
    ensure!(!chosen.is_empty(), "there is no such language");
    tools::languages(&chosen.iter().map(|language| language.name).collect::<Vec<_>>())?;
    let (beside, others): (Vec<&Language>, Vec<&Language>) =
        chosen.into_iter().partition(|language| BESIDE.contains(&language.name));
    std::thread::scope(|scope| {
        let beside = scope.spawn(|| beside.into_iter().try_for_each(|language| whole(language, &projects, &server)));
        others.into_iter().try_for_each(|language| whole(language, &projects, &server))?;
        beside.join().map_err(|_| anyhow::anyhow!("following {BESIDE:?} panicked"))?
    })?;
    if is_chosen("js") {
        example()?;
    }
    drop(server);
    // A gigabyte that nobody looks at again.
    std::fs::remove_dir_all(&directory)?;
    let _ = std::fs::remove_dir_all(templates());
    Ok(())
}

fn whole(language: &Language, projects: &Path, server: &Server) -> Result<()> {
    let begun = Instant::now();
    for role in ROLES {
        follow(language, role, projects).with_context(|| format!("a {role} in {}", language.name))?;
    }
    call(language, projects, server).with_context(|| format!("calling a condition in {}", language.name))?;
    println!("{:5.1} s  {}", begun.elapsed().as_secs_f32(), language.name);
    Ok(())
}

/// The example in JavaScript: its test, and a build, which runs its vectors.
fn example() -> Result<()> {
    let project = root().join("examples/adyen-notification");
    shell("npm install --ignore-scripts --no-package-lock && npm test", &project, &[])?;
    let said = shell("ringback plugin build", &project, &[])?;
    ensure!(said.contains("vectors      8 passed"), "{said}");
    Ok(())
}

/// Where crates of new projects are built for their tests.
fn templates() -> PathBuf {
    target().join("templates-target")
}

fn project(language: &Language, role: &str) -> String {
    format!("{}-{role}", language.name)
}

/// Makes a project, tests it, and builds it, as `plugin new` says.
fn follow(language: &Language, role: &str, projects: &Path) -> Result<()> {
    let name = project(language, role);
    let said = shell(&format!("ringback plugin new {name} --lang {} --role {role}", language.name), projects, &[])?;
    let commands: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix("  ")).collect();
    let [test, build, push] = commands.as_slice() else {
        anyhow::bail!("it prints other commands than three:\n{said}");
    };
    let tests = [("CARGO_TARGET_DIR".to_owned(), templates().display().to_string())];
    if language.name == SLOW.name && role != "condition" {
        // What was installed for the first project is that of the others, too.
        let environment = projects.join(project(language, "condition")).join(".venv");
        std::os::unix::fs::symlink(environment, projects.join(&name).join(".venv"))?;
        let last = test.rsplit(" && ").next().unwrap_or_default();
        shell(last, &projects.join(&name), &tests)?;
    } else {
        shell(test, projects, &tests)?;
    }
    ensure!(*push == format!("ringback plugin push {name} build/{name}.wasm"), "it prints {push}");
    if language.is_quick || role == "condition" {
        shell(build, &projects.join(&name), &environment(language)?)?;
    }
    Ok(())
}

/// What the build of a language needs to find here.
fn environment(language: &Language) -> Result<Vec<(String, String)>> {
    if language.name != "rust" {
        return Ok(Vec::new());
    }
    let mut environment = Toolchain::find()?.environment();
    environment.push(("CARGO_TARGET_DIR".to_owned(), target_directory().display().to_string()));
    Ok(environment)
}

/// Uploads and deploys the condition, sees it accept and ignore, changes it, and sees the difference.
fn call(language: &Language, projects: &Path, server: &Server) -> Result<()> {
    let name = project(language, "condition");
    let project = projects.join(&name);
    let flow = project.join("flow.yaml");
    let text =
        format!("flow: {name}\nsteps:\n  - trigger: Order\n    when: {{ plugin: {name}, with: {{ minimum: 100 }} }}\n");
    std::fs::write(&flow, text)?;
    let push =
        || server.json(&["plugin", "push", &name, &project.join(format!("build/{name}.wasm")).to_string_lossy()]);
    push()?;
    server.json(&["flow", "apply", &flow.to_string_lossy()])?;
    let url = server.url_of(&name, 0)?;
    let decided = |total: f64| -> Result<(u16, String)> {
        let answer = post(&url, &[], format!("{{\"order\": {{\"total\": {total}}}}}").as_bytes())?;
        Ok((answer.status, reason(server, &answer.callback)?))
    };
    let (ignored, accepted) = (decided(99.5)?, decided(100.0)?);
    ensure!(ignored.0 == 204 && accepted.0 == 202, "it answered {ignored:?} and {accepted:?}");
    ensure!(ignored.1.contains("99.5"), "the reason is {}", ignored.1);
    // A configuration that it does not take is no flow.
    let wrong = std::fs::read_to_string(&flow)?.replace("100", "many");
    std::fs::write(&flow, wrong)?;
    let refused =
        server.json(&["flow", "apply", &flow.to_string_lossy()]).err().context("a wrong configuration is taken")?;
    ensure!(refused.to_string().contains("minimum"), "{refused:#}");

    let source = std::fs::read_to_string(project.join(language.file))?;
    let [from, to] = language.decision;
    ensure!(source.contains(from), "{} has no `{from}`", language.file);
    std::fs::write(project.join(language.file), source.replace(from, to))?;
    if language.has_cases {
        let cases = project.join("vectors.json");
        let text = std::fs::read_to_string(&cases)?;
        if language.is_quick {
            let refused = shell("ringback plugin build", &project, &environment(language)?).err();
            let said = refused.context("a change that its cases do not allow is built")?.to_string();
            ensure!(said.contains("a large order counts"), "{said}");
        }
        std::fs::write(&cases, text.replace("\"total\": 100 }", "\"total\": 101 }"))?;
    }
    shell("ringback plugin build", &project, &environment(language)?)?;
    push()?;
    let changed = decided(100.0)?;
    ensure!(changed.0 == 204, "after the change it answered {changed:?}");
    Ok(())
}

/// What the trace says of the condition, once the record is there.
fn reason(server: &Server, callback: &str) -> Result<String> {
    let mut record = server.json(&["callback", "show", callback]);
    for _ in 0..100 {
        if record.is_ok() {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
        record = server.json(&["callback", "show", callback]);
    }
    let record = record?;
    let mut trace = record["trace"].as_array().into_iter().flatten();
    let entry = trace.find(|entry| entry["stage"] == "condition").context("no condition was asked")?;
    Ok(entry["reason"].as_str().map(str::to_owned).unwrap_or_default())
}

/// Runs a command as a reader would: what it prints.
fn shell(command: &str, directory: &Path, environment: &[(String, String)]) -> Result<String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let installed = [target().join("debug"), target().join("go/venv/bin")];
    let places = installed.into_iter().chain(std::env::split_paths(&path));
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).current_dir(directory).envs(environment.iter().cloned());
    shell.env("PATH", std::env::join_paths(places)?);
    // What was fetched for one project is there for the next.
    shell.env("NPM_CONFIG_PREFER_OFFLINE", "true").env("NPM_CONFIG_AUDIT", "false").env("NPM_CONFIG_FUND", "false");
    let (worked, said) = try_run(&mut shell)?;
    ensure!(worked, "`{command}` failed:\n{}", said.trim());
    Ok(said)
}

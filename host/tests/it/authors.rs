//! What authors of plugins have of the command line: a project of each language, what is built of it, and types of data.

use crate::support::{BINARY, TestServer, plugin};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Runs it where there is no server, with these programs to be found and no others.
fn ringback(directory: &Path, programs: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(BINARY);
    command.args(arguments).current_dir(directory).env_clear().env("PATH", programs).env("TMPDIR", directory);
    command.output().unwrap()
}

fn says(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn refuses(output: &Output, expected: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(expected), "{said}");
}

/// Programs that do what these scripts say.
fn programs(directory: &Path, scripts: &[(&str, &str)]) -> PathBuf {
    let programs = directory.join("programs");
    std::fs::create_dir_all(&programs).unwrap();
    for (name, script) in scripts {
        let path = programs.join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    programs
}

#[test]
fn a_new_plugin_is_a_project_of_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    let new = |arguments: &[&str]| ringback(here, here, &[&["plugin", "new"], arguments].concat());
    for role in ["condition", "verifier", "parser", "step", "responder"] {
        let name = format!("my-{role}");
        let said = says(&new(&[&name, "--role", role]));
        assert!(said.starts_with(&format!("{name}/ is a {role} plugin in Rust. Next:\n  cd {name} && ")), "{said}");
        assert!(said.contains("\n  ringback plugin build\n") && said.lines().count() == 4, "{said}");
        let project = here.join(&name);
        let source = std::fs::read_to_string(project.join("src/lib.rs")).unwrap();
        assert!(source.contains(&format!("pub fn my_{role}(")), "{source}");
        for file in ["README.md", ".gitignore", "callback.json", "ringback/guest-sdk/rust/Cargo.toml"] {
            assert!(project.join(file).is_file(), "{file}");
        }
        refuses(&new(&[&name, "--role", role]), "is there already; choose another name or remove it");
    }
    // A crate may be called so, and a function may not.
    says(&new(&["match"]));
    let source = std::fs::read_to_string(here.join("match/src/lib.rs")).unwrap();
    assert!(source.contains("pub fn match_condition("), "{source}");
    // An SDK that lies elsewhere is named, and not copied.
    let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("guest-sdk/rust");
    says(&new(&["elsewhere", "--sdk", sdk.to_str().unwrap()]));
    let manifest = std::fs::read_to_string(here.join("elsewhere/Cargo.toml")).unwrap();
    assert!(manifest.contains(&format!("path = \"{}\"", sdk.display())), "{manifest}");
    assert!(!here.join("elsewhere/ringback").exists());

    refuses(&new(&["3d"]), "a crate has no name that begins with a digit");
    refuses(
        &new(&["x", "--sdk", "my-step"]),
        "my-step is no SDK for Rust; in a checkout of ringback, that is guest-sdk/rust",
    );
    refuses(&new(&["x", "--sdk", "nowhere"]), "nowhere: No such file");
    for (arguments, expected) in [
        (&["x", "--lang", "cobol"][..], "allowed: rust"),
        (&["x", "--role", "cook"], "allowed: verifier"),
        (&["X"], "is not a name"),
    ] {
        let output = new(arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && said.contains(expected), "{said}");
    }
    assert!(!here.join("x").exists() && !here.join("3d").exists(), "nothing is left of what was refused");
}

#[test]
fn what_cannot_be_built_is_told_in_a_sentence() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    refuses(&ringback(here, here, &["plugin", "build"]), "there is no plugin in .: it has no Cargo.toml");
    refuses(&ringback(here, here, &["plugin", "build", "nowhere"]), "there is no plugin in nowhere");
    says(&ringback(here, here, &["plugin", "new", "mine"]));
    let build = |cargo: &str| {
        let programs = programs(here, &[("cargo", cargo)]);
        ringback(here, &programs, &["plugin", "build", "mine"])
    };
    let wasm = |name: &str, bytes: &[u8]| {
        let path = here.join(name);
        std::fs::write(&path, bytes).unwrap();
        format!("echo '{}'", json!({ "reason": "compiler-artifact", "filenames": [path] }))
    };
    refuses(
        &ringback(here, &here.join("none"), &["plugin", "build", "mine"]),
        "cargo (of Rust) is not installed; install it with `",
    );
    refuses(&build("exit 3"), "`cargo build --release --target wasm32-unknown-unknown");
    refuses(&build("echo 'error: no idea' >&2; exit 1"), "error: no idea");
    let missing = "echo '= note: the `wasm32-unknown-unknown` target may not be installed' >&2; exit 101";
    refuses(&build(missing), "install that with `rustup target add wasm32-unknown-unknown`");
    refuses(
        &build("echo '{}'"),
        "the crate makes no .wasm file: Cargo.toml needs `[lib]` with `crate-type = [\"cdylib\"]`",
    );
    refuses(&build(&wasm("text.wasm", b"hello")), "the file is not WebAssembly");
    let nothing = wat::parse_str("(component)").unwrap();
    refuses(&build(&wasm("nothing.wasm", &nothing)), "it exports none of the interfaces verifier, parser, condition");
    // A project whose copy of the SDK was removed gets that of this version.
    std::fs::remove_dir_all(here.join("mine/ringback")).unwrap();
    let said = says(&build(&wasm("right.wasm", &plugin("field-match"))));
    assert!(here.join("mine/ringback/guest-sdk/rust/src/lib.rs").is_file());
    assert_eq!(std::fs::read(here.join("mine/build/mine.wasm")).unwrap(), plugin("field-match"));
    for part in [
        "a plugin in Rust\n  cargo        0.",
        "mine/build/mine.wasm (",
        "\n  roles        condition\n  class        normal\n  imports      ",
        "\n  permissions  none: no secrets, no state, no requests\n  vectors      4 passed\n  check        condition without a configuration: invalid-config: ",
    ] {
        assert!(said.contains(part), "{part}\n{said}");
    }
    let as_json = says(&{
        let programs = programs(here, &[]);
        ringback(here, &programs, &["--json", "plugin", "build", "mine"])
    });
    let report: Value = serde_json::from_str(&as_json).unwrap();
    assert_eq!((&report["roles"], &report["large"]), (&json!(["condition"]), &json!(false)), "{report}");
    assert_eq!(report["steps"][0]["step"], "cargo", "{report}");
    // Nothing of the sandbox is left.
    let left = std::fs::read_dir(here).unwrap().map(|entry| entry.unwrap().file_name().display().to_string());
    assert!(!left.into_iter().any(|name| name.starts_with("ringback-plugin-")));
}

#[tokio::test(flavor = "multi_thread")]
async fn types_are_made_of_what_came() {
    let server = TestServer::start().await;
    let data = server.data();
    let types = |arguments: &[&str]| {
        let mut command = Command::new(BINARY);
        command.args([&["plugin", "types"], arguments].concat()).current_dir(data).env_clear();
        command.env("RINGBACK_SERVER", &server.admin).env("RINGBACK_DATA", data).output().unwrap()
    };
    refuses(&types(&[]), "name a file with the body of a callback, or with --flow a flow that has received some");
    refuses(&types(&["none.json"]), "none.json: No such file");
    std::fs::write(data.join("text.json"), "hello").unwrap();
    refuses(&types(&["text.json"]), "text.json is not JSON: expected value at line 1 column 1");
    let unknown = types(&["--lang", "cobol"]);
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("allowed: ts, js, python, rust"));
    std::fs::write(data.join("order.json"), r#"{ "order": { "total": 1 } }"#).unwrap();
    let said = says(&types(&["order.json"]));
    assert_eq!(
        said,
        "/** The data of callbacks, as 1 sample had it. */\nexport type Data = {\n  order: {\n    total: number;\n  };\n};\n"
    );

    let url = server.deploy("flow: test\nsteps:\n  - trigger: Hook\n    when: 'data.total > 1'\n").await;
    refuses(&types(&["--flow", "test"]), "the flow test has received no callback with a JSON body yet");
    let first = server.post(&url, &json!({ "total": 2, "paid": true })).await;
    server.post(&url, &json!({ "total": 2.5 })).await;
    let said = says(&types(&["--flow", "test", "--lang", "python"]));
    assert!(said.contains("as 2 samples had it") && said.contains("    paid: NotRequired[bool]\n"), "{said}");
    assert!(said.contains("    total: float\n"), "{said}");
    // A callback as it is shown is its body.
    let record = server.callback(&first).await;
    std::fs::write(data.join("callback.json"), record.to_string()).unwrap();
    let said = says(&types(&["callback.json", "--lang", "rust"]));
    assert!(said.contains("    pub total: i64,\n    pub paid: bool,\n"), "{said}");
}

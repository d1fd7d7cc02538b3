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
    let others = [
        ("js", "JavaScript", "plugin.js"),
        ("ts", "TypeScript", "plugin.ts"),
        ("python", "Python", "plugin.py"),
        ("c", "C", "plugin.c"),
        ("go", "Go", "plugin.go"),
    ];
    for (language, title, file) in others {
        for role in ["condition", "verifier", "parser", "step", "responder"] {
            let name = format!("{language}-{role}");
            let said = says(&new(&[&name, "--role", role, "--lang", language]));
            assert!(
                said.starts_with(&format!("{name}/ is a {role} plugin in {title}. Next:\n  cd {name} && ")),
                "{said}"
            );
            let source = std::fs::read_to_string(here.join(&name).join(file)).unwrap();
            let exports = [
                format!("export function {role}("),
                format!("export const {role}: "),
                format!("@ringback.{role}\n"),
                format!("RB_{}(", role.to_uppercase()),
                format!("{role}.Register("),
            ];
            assert!(exports.iter().any(|export| source.contains(export)), "{source}");
        }
    }
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
        (&["x", "--lang", "cobol"][..], "allowed: rust, ts, js, python, c, go"),
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
    refuses(
        &ringback(here, here, &["plugin", "build"]),
        "there is no plugin in .: it has no Cargo.toml, Makefile, go.mod, package.json, pyproject.toml; `ringback plugin new NAME --lang js` begins one",
    );
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
    assert!(!here.join("mine/build/mine.wasm").exists(), "what is refused is not there to be pushed");
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

/// A project in JavaScript or TypeScript whose tools are told what to answer.
struct Scripted<'d> {
    here: &'d Path,
    project: PathBuf,
}

impl<'d> Scripted<'d> {
    fn new(here: &'d Path, language: &str) -> Self {
        let name = format!("in-{language}");
        says(&ringback(here, here, &["plugin", "new", &name, "--lang", language]));
        let scripted = Self { here, project: here.join(name) };
        std::fs::create_dir_all(scripted.project.join("node_modules/.bin")).unwrap();
        scripted.bundles(r#"[{"path":"ringback:plugin/log@1.0.0","external":true}]"#, r#"["condition"]"#);
        let built = here.join("built.wasm");
        std::fs::write(&built, plugin("field-match")).unwrap();
        let last = r#"for last in "$@"; do :; done"#;
        scripted.tool("componentize-qjs", &format!("{last}\n/bin/cp {} \"$last\"", built.display()));
        scripted
    }

    fn tool(&self, name: &str, script: &str) {
        let path = self.project.join("node_modules/.bin").join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Lets the bundler find these imports and exports.
    fn bundles(&self, imports: &str, exports: &str) {
        let script = format!(
            r#"for given in "$@"; do case "$given" in --outfile=*) out="${{given#*=}}";; --metafile=*) meta="${{given#*=}}";; esac; done
            echo > "$out"; echo '{{"sources":[],"mappings":""}}' > "$out.map"
            echo '{{"outputs":{{"'"$out"'":{{"imports":{imports},"exports":{exports}}}}}}}' > "$meta""#
        );
        self.tool("esbuild", &script);
    }

    /// Builds with these in place of Node.js and npm.
    fn build(&self, node: &str, npm: &str) -> Output {
        let programs = programs(self.here, &[("node", node), ("npm", npm)]);
        ringback(self.here, &programs, &["plugin", "build", self.project.to_str().unwrap()])
    }
}

#[test]
fn what_cannot_be_built_of_a_module_is_told_in_a_sentence() {
    const NODE: &str = "echo v20.1.0";
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    let js = Scripted::new(here, "js");
    let path = js.project.to_str().unwrap();
    refuses(
        &ringback(here, &here.join("none"), &["plugin", "build", path]),
        "node (of Node.js 18 or newer) is not installed; install it with `",
    );
    refuses(&js.build("echo v16.20.2", ""), "node is v16.20.2, and the tools need 18 or newer");
    refuses(&js.build(NODE, "echo 'npm error: no network' >&2; exit 1"), "npm error: no network");
    let said = says(&js.build(NODE, "exit 0"));
    for step in
        ["a plugin in JavaScript\n  npm install ", "\n  bundle  ", "\n  link  ", "\n  component  ", "\n  compile  "]
    {
        assert!(said.contains(step), "{step}\n{said}");
    }
    let world = std::fs::read_to_string(js.project.join("build/wit/built.wit")).unwrap();
    assert_eq!(
        world,
        "package ringback:plugin@1.0.0;\n\nworld built {\n  import log;\n  export condition;\n  export vectors;\n}\n"
    );
    let entry = std::fs::read_to_string(js.project.join("build/entry.js")).unwrap();
    assert!(entry.ends_with(
        "import * as plugin from \"../plugin.js\";\nimport cases from \"../vectors.json\";\n\
         export const condition = component.condition(plugin);\n\
         export const vectors = component.vectors({ vectors: cases });\n"
    ));

    js.bundles("[]", "[]");
    refuses(
        &js.build(NODE, ""),
        "plugin.js exports no role: it is to export a function named verifier, parser, condition, step, responder",
    );
    js.bundles("[]", r#"["conditon"]"#);
    refuses(&js.build(NODE, ""), "it exports conditon (did you mean `condition`?)");
    js.bundles("[]", r#"["step"]"#);
    refuses(&js.build(NODE, ""), "the SDK of this project is none for plugins; take it from `ringback plugin new`");
    js.bundles(r#"[{"path":"ringback:plugin/log@9.9.9"}]"#, r#"["step"]"#);
    refuses(
        &js.build(NODE, ""),
        "the SDK of this project is for ringback:plugin@9.9.9, and this ringback has 1.0.0; update it, or",
    );
    js.tool("esbuild", "echo 'Could not resolve \"node:fs\"' >&2; exit 1");
    refuses(&js.build(NODE, ""), "what is built into Node.js is not there in a plugin");
    js.tool("esbuild", "printf 'no semicolon\\n\\nnode:child_process:930\\n    throw err;\\n' >&2; exit 1");
    refuses(&js.build(NODE, ""), "cannot be bundled:\nno semicolon\n");
    assert!(!String::from_utf8_lossy(&js.build(NODE, "").stderr).contains("throw err"));
    std::fs::remove_file(js.project.join("node_modules/.bin/esbuild")).unwrap();
    let add =
        "esbuild is not among the devDependencies of package.json; add it with `npm install --save-dev --save-exact";
    refuses(&js.build(NODE, ""), add);
    std::fs::remove_file(js.project.join("plugin.js")).unwrap();
    refuses(&js.build(NODE, ""), "there is no plugin.js in ");
    std::fs::write(js.project.join("package.json"), "{").unwrap();
    refuses(&js.build(NODE, ""), "package.json is not JSON: ");

    let ts = Scripted::new(here, "ts");
    ts.tool("tsc", "echo \"plugin.ts(9,5): error TS2322: Type 'string' is not assignable\"; exit 2");
    refuses(
        &ts.build(NODE, ""),
        "the types do not fit:\nplugin.ts(9,5): error TS2322: Type 'string' is not assignable",
    );
    ts.tool("tsc", "");
    let said = says(&ts.build(NODE, ""));
    assert!(said.contains("a plugin in TypeScript\n") && said.contains("\n  types  "), "{said}");
}

#[test]
fn what_a_language_lacks_is_told_in_a_sentence() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    for language in ["python", "c", "go"] {
        says(&ringback(here, here, &["plugin", "new", &format!("in-{language}"), "--lang", language]));
    }
    let build = |language: &str, scripts: &[(&str, &str)]| {
        let programs = programs(here, scripts);
        ringback(here, &programs, &["plugin", "build", &format!("in-{language}")])
    };
    refuses(&build("python", &[]), "python3 (of Python) is not installed; install it with `");
    refuses(&build("c", &[]), "clang-19 (of clang) is not installed; install it with `");
    refuses(&build("go", &[]), "go is not installed; install it with `");

    let venv = "echo 'The virtual environment was not created: ensurepip is not available.'; exit 1";
    refuses(&build("python", &[("python3", venv)]), "Python is here without venv; install that with `apt-get install ");
    let go = "echo 'go: go.mod requires go >= 1.25 (running go 1.19.8)' >&2; exit 1";
    refuses(&build("go", &[("go", go)]), "this Go is too old for plugins: they need 1.25 or newer");
    let [clang, linker] = ["clang-19", "wasm-ld-19"].map(|program| (program, "exit 0"));
    refuses(&build("c", &[clang]), "wasm-ld-19 (of lld) is not installed; install it with `");
    refuses(&build("c", &[linker]), "make is not installed; install it with `");
    let make = "echo \"ringback.h:3:10: fatal error: 'stdlib.h' file not found\" >&2; exit 2";
    refuses(&build("c", &[("make", make)]), "wasi-libc is not installed; install it with `apt-get install ");
    let make = "echo 'plugin.c:9:3: error: no semicolon' >&2; exit 2";
    refuses(&build("c", &[("make", make)]), "plugin.c:9:3: error: no semicolon");
}

/// A plugin is called as a server would call it, and said what that took.
#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_is_called_without_a_server() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    for name in ["field-match", "misbehave"] {
        std::fs::write(here.join(format!("{name}.wasm")), plugin(name)).unwrap();
    }
    let case = |case: Value| std::fs::write(here.join("case.json"), case.to_string()).unwrap();
    let run = |arguments: &[&str]| ringback(here, here, &[&["plugin", "run"], arguments].concat());
    let with = |name: &str| run(&[name, "--callback", "case.json"]);
    refuses(&run(&["none.wasm"]), "none.wasm: No such file");
    std::fs::write(here.join("text.wasm"), "hello").unwrap();
    refuses(&run(&["text.wasm"]), "the file is not WebAssembly");
    refuses(&with("field-match.wasm"), "case.json: No such file");
    std::fs::write(here.join("case.json"), "hello").unwrap();
    refuses(&with("field-match.wasm"), "case.json is not JSON: expected value");
    case(json!([1]));
    refuses(&with("field-match.wasm"), "case.json is no JSON object");
    case(json!({ "order": {} }));
    let unknown = "case.json: unknown field `order`, expected one of";
    refuses(&with("field-match.wasm"), unknown);
    refuses(&with("field-match.wasm"), "a body alone stands as `{ \"callback\": { \"body\": … } }`");
    case(json!({ "role": "cook" }));
    refuses(&with("field-match.wasm"), "the role cook: allowed: verifier, parser");
    case(json!({ "role": "step" }));
    refuses(&with("field-match.wasm"), "the plugin is no step; it is a condition");
    case(json!({}));
    refuses(&with("misbehave.wasm"), "the plugin has several roles; choose one with --role: verifier, parser, ");
    refuses(&run(&["field-match.wasm", "--config", "{"]), "the configuration is not JSON: ");

    let rule = json!({ "all": [{ "path": "$.n", "op": "equals", "value": 1 }] });
    case(json!({ "callback": { "body": { "n": 1 } }, "config": rule }));
    let said = says(&with("field-match.wasm"));
    assert!(said.starts_with("{\n  \"holds\": true"), "{said}");
    for part in [
        "\n  cpu ",
        " of 50.00 ms ",
        "\n  wall clock ",
        " of 200.00 ms ",
        " of 16.0 MiB ",
        " 0 lines of 16 lines    0.0 %",
    ] {
        assert!(said.contains(part), "{part}\n{said}");
    }
    let other = says(&run(&[
        "field-match.wasm",
        "--callback",
        "case.json",
        "--config",
        &rule.to_string().replace(":1}", ":2}"),
    ]));
    assert!(other.starts_with("{\n  \"holds\": false"), "{other}");
    case(json!({ "callback": { "body": { "n": 1 } }, "config": rule, "expect": { "holds": false } }));
    refuses(&with("field-match.wasm"), "that is not what the case expects: it says true");

    case(json!({ "role": "step", "config": { "long": 2048 } }));
    let output = with("misbehave.wasm");
    assert!(
        says(&output).contains("\n  result       ") && says(&output).contains(" of  1.0 MiB "),
        "{}",
        says(&output)
    );
    case(json!({ "role": "condition", "config": "trap" }));
    refuses(&with("misbehave.wasm"), "trapped: ");
    assert!(
        String::from_utf8_lossy(&with("misbehave.wasm").stdout).starts_with("the condition fails: plugin_trapped\n")
    );
    case(json!({ "role": "verifier", "config": { "secret": ["TOKEN", "guess"] }, "secrets": { "TOKEN": "right" } }));
    let said = says(&run(&["--json", "misbehave.wasm", "--callback", "case.json"]));
    let said: Value = serde_json::from_str(&said).unwrap();
    assert!(said["answer"].is_object() && said["limits"]["cpu"] == 50_000, "{said}");
    case(json!({ "role": "condition", "config": "loop" }));
    refuses(&with("misbehave.wasm"), "ran longer than 50 ms of CPU time");

    // What a server has received: by its id, and as it is shown.
    let server = TestServer::start().await;
    let url = server.deploy("flow: test\nsteps:\n  - trigger: Hook\n").await;
    let response = server.post(&url, &json!({ "n": 1 })).await;
    let record = server.callback(&response).await;
    std::fs::write(here.join("record.json"), record.to_string()).unwrap();
    for named in ["record.json", record["id"].as_str().unwrap()] {
        let mut command = Command::new(BINARY);
        command
            .args(["plugin", "run", "field-match.wasm", "--callback", named, "--config", &rule.to_string()])
            .env_clear();
        command.env("RINGBACK_SERVER", &server.admin).env("RINGBACK_DATA", server.data()).current_dir(here);
        assert!(says(&command.output().unwrap()).starts_with("{\n  \"holds\": true"), "{named}");
    }
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

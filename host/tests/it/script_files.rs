//! Scripts that are files beside their flow: read by the command line, kept by the server.

use crate::support::{BINARY, TestServer};
use serde_json::json;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Output, Stdio};

const FLOW: &str = "flow: orders\nsteps:\n  - trigger: Order\n    mode: sync\n    when: { script: { file: checks/paid.js } }\n  - script:\n      \
                    file: ./sum.js\n    as: sum\n  - set: { twice: { script: { file: ./sum.js } } }\n  - respond:\n      script: { file: answer.js }\n";

fn ringback(server: &TestServer, directory: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(BINARY);
    command.args(arguments).env_clear().env("RINGBACK_SERVER", &server.admin).env("RINGBACK_DATA", server.data());
    command.env("PATH", "/bin:/usr/bin").current_dir(directory).output().unwrap()
}

fn says(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn refuses(output: &Output, expected: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && said.contains(expected), "{said}");
}

/// A folder with the flow and its scripts.
fn folder(server: &TestServer) -> std::path::PathBuf {
    let folder = server.data().join("project");
    fs::create_dir_all(folder.join("checks")).unwrap();
    for (name, text) in [
        ("orders.yaml", FLOW),
        ("checks/paid.js", "// Whether it is paid.\nconst sum = data.order.sum\nreturn sum > 10\n"),
        ("sum.js", "data.order.sum * 2"),
        ("answer.js", "return { json: { sum, twice } }"),
    ] {
        fs::write(folder.join(name), text).unwrap();
    }
    folder
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_beside_the_flow_is_sent_with_it_and_kept() {
    let server = TestServer::start().await;
    let folder = folder(&server);
    // From another directory: the files are beside the flow.
    let said = says(&ringback(&server, server.data(), &["flow", "apply", "project/orders.yaml"]));
    assert!(said.starts_with("orders is deployed (version 1)"), "{said}");
    let url = &server.urls("orders").await[0];
    let response = server.post(url, &json!({ "order": { "sum": 12 } })).await;
    assert_eq!(response.json::<serde_json::Value>().await.unwrap(), json!({ "sum": 24, "twice": 24 }));
    let response = server.post(url, &json!({ "order": { "sum": 9 } })).await;
    assert_eq!(response.status(), 204);
    let response = server.post(url, &json!({ "total": 9 })).await;
    let record = server.callback(&response).await;
    let said = record["trace"].to_string();
    assert!(said.contains("cannot read property 'sum' of undefined (line 2 of checks/paid.js)"), "{said}");
    // What is deployed needs no file, and is the same again.
    let said = says(&ringback(&server, &folder, &["flow", "apply", "orders.yaml"]));
    assert!(said.starts_with("orders is deployed (version 1)"), "{said}");
    let kept = says(&ringback(&server, &folder, &["flow", "show", "orders@1"]));
    assert!(kept.starts_with(FLOW) && kept.contains("files:\n  \"checks/paid.js\": |2\n    // Whether"), "{kept}");
    fs::write(server.data().join("kept.yaml"), &kept).unwrap();
    let said = says(&ringback(&server, server.data(), &["flow", "apply", "kept.yaml"]));
    assert!(said.contains("is deployed (version"), "{said}");
    // A changed file is another version, and the difference says which.
    fs::write(folder.join("sum.js"), "data.order.sum * 3").unwrap();
    says(&ringback(&server, &folder, &["flow", "apply", "orders.yaml"]));
    let difference = says(&ringback(&server, &folder, &["flow", "diff", "orders", "1"]));
    assert!(difference.contains("-     data.order.sum * 2\n+     data.order.sum * 3"), "{difference}");
    let response = server.post(url, &json!({ "order": { "sum": 12 } })).await;
    assert_eq!(response.json::<serde_json::Value>().await.unwrap(), json!({ "sum": 36, "twice": 36 }));
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_in_a_file_have_its_name_and_what_is_no_script_beside_the_flow_is_refused() {
    let server = TestServer::start().await;
    let folder = folder(&server);
    let check = || ringback(&server, &folder, &["flow", "check", "orders.yaml"]);
    let script = folder.join("checks/paid.js");
    let write = |text: &[u8]| fs::write(&script, text).unwrap();
    write(b"const a = 1\n\nretrun a");
    fs::write(folder.join("answer.js"), "return {").unwrap();
    let said = check();
    let word = "`retrun` is no word of JavaScript: is `return` meant?";
    refuses(&said, &format!("orders.yaml: 2 mistakes\n  checks/paid.js:3:8: steps[0].when.script: {word}"));
    refuses(&said, "\n  answer.js:1:9: steps[3].respond.script: the script ends too early");

    fs::write(folder.join("answer.js"), "return {}").unwrap();

    write(b" \n");
    refuses(&check(), "orders.yaml: a mistake\n  5:21: steps[0].when.script: the script checks/paid.js is empty");
    write("a".repeat(33_000).as_bytes());
    refuses(&check(), "the script checks/paid.js has 33000 bytes, more than 32768: what is longer is better a plugin");
    write(&[b'a'; (1 << 20) + 1]);
    refuses(
        &check(),
        "orders.yaml:5:29: the script checks/paid.js has 1048577 bytes: what is so long is better a plugin",
    );
    write(b"caf\xe9");
    refuses(&check(), "checks/paid.js is not UTF-8 from byte 3 on; save it as UTF-8");
    fs::remove_file(&script).unwrap();
    refuses(&check(), "orders.yaml:5:29: checks/paid.js: No such file");
    fs::create_dir(&script).unwrap();
    refuses(&check(), "the script checks/paid.js is no file");
    fs::remove_dir(&script).unwrap();
    let secret = server.data().join("outside.js");
    fs::write(&secret, "true").unwrap();
    symlink(&secret, &script).unwrap();
    refuses(&check(), "the script checks/paid.js leads out of the folder of the flow file");
    fs::remove_file(&script).unwrap();
    for (named, expected) in [
        ("../outside.js", "`..` leads out of it"),
        ("/etc/passwd.js", "it is a path from the flow file"),
        ("checks/paid.py", "its name ends with .js or .ts"),
    ] {
        fs::write(folder.join("orders.yaml"), FLOW.replace("checks/paid.js", named)).unwrap();
        refuses(&check(), expected);
    }
    // Whoever sends a flow otherwise brings the files along.
    let (status, answer) = server.try_deploy(FLOW).await;
    assert_eq!(status, 422);
    let said = answer["errors"][0]["detail"].as_str().unwrap();
    assert!(said.starts_with("there is no `checks/paid.js` among `files`"), "{said}");
    let brought = "files:\n  checks/paid.js: 'true'\n  sum.js: '1'\n  answer.js: '({ json: sum })'\n";
    let (status, answer) = server.try_deploy(&format!("{FLOW}{brought}")).await;
    assert_eq!(status, 201, "{answer}");
    // From standard input, beside the current directory.
    fs::write(&script, "true").unwrap();
    let mut command = Command::new(BINARY);
    command.args(["flow", "check", "-"]).env("RINGBACK_SERVER", &server.admin).env("RINGBACK_DATA", server.data());
    let mut child = command.current_dir(&folder).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), FLOW.as_bytes()).unwrap();
    let said = says(&child.wait_with_output().unwrap());
    assert!(said.starts_with("orders has no mistakes"), "{said}");
}

/// What takes types out is the author's: here something that makes of one source what esbuild makes of it.
#[tokio::test(flavor = "multi_thread")]
async fn typescript_keeps_its_lines() {
    let server = TestServer::start().await;
    let folder = folder(&server);
    fs::write(folder.join("orders.yaml"), FLOW.replace("paid.js", "paid.ts")).unwrap();
    let source =
        "type Order = {\n  sum: number\n}\n\nconst order: Order = data.order as Order\nreturn order.sum > 10\n";
    fs::write(folder.join("checks/paid.ts"), source).unwrap();
    let check = || ringback(&server, &folder, &["flow", "apply", "orders.yaml"]);
    refuses(
        &check(),
        "orders.yaml:5:29: checks/paid.ts is TypeScript, and nothing is here that takes its types out: install esbuild",
    );

    let tool = folder.join("node_modules/.bin/esbuild");
    fs::create_dir_all(tool.parent().unwrap()).unwrap();
    let makes = |script: &str| {
        fs::write(&tool, format!("#!/bin/sh\nread first; cat >/dev/null\n{script}\n")).unwrap();
        fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).unwrap();
    };
    // Of the two ways to read it, the second.
    let wrong = "printf '✘ [ERROR] Expected \";\"\\n\\n    file.ts:1:17:\\n' >&2; exit 1";
    makes(wrong);
    refuses(&check(), "checks/paid.ts:1:4: Expected \";\"");
    let map = "eyJ2ZXJzaW9uIjozLCJtYXBwaW5ncyI6IkFBQUE7RUFJQTtFQUNBO0FBQ0EifQ==";
    let made = "function _() {\\n  const order = data.order;\\n  return order.sum > 10;\\n}\\n";
    makes(&format!(
        "case $first in 'function _() {{'*) printf '{made}//# sourceMappingURL=data:application/json;base64,{map}\\n';; *) {wrong};; esac"
    ));
    says(&check());
    let kept = says(&ringback(&server, &folder, &["flow", "show", "orders@1"]));
    let lines = "|2\n\n\n\n\n      const order = data.order;\n      return order.sum > 10;\n";
    assert!(kept.contains(lines), "{kept}");
    let url = &server.urls("orders").await[0];
    assert_eq!(server.post(url, &json!({ "order": { "sum": 12 } })).await.status(), 200);
    let record = server.callback(&server.post(url, &json!({})).await).await;
    assert!(record["trace"].to_string().contains("(line 6 of checks/paid.ts)"), "{record}");
}

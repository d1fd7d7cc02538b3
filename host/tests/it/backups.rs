//! Backups, and a store whose files are not as they were: what is refused, with which exit code, and what still works.

use crate::process::{Process, Server};
use crate::support::{BINARY, TestServer, plugin};
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

const FLOW: &str = "flow: pay\nsteps:\n  - trigger: Hook\n  - set: { amount: '${{ data.amount }}' }\n";

fn restore(data: &Path, backup: &Path) -> Output {
    Command::new(BINARY).arg("--data").arg(data).arg("restore").arg(backup).env_clear().output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn api(process: &Process, data: &Path, method: Method, path: &str) -> reqwest::RequestBuilder {
    let client = Client::builder().no_proxy().build().unwrap();
    let token = std::fs::read_to_string(data.join("admin-token")).unwrap();
    client.request(method, format!("{}{path}", process.admin)).bearer_auth(token.trim())
}

/// A backup of a server with a flow, an execution and a plugin; and a token of it.
async fn backup_of_a_server() -> (Vec<u8>, String) {
    let server = TestServer::start().await.with_plugins(&["field-match"]).await;
    let url = server.deploy(FLOW).await;
    let answer: Value = server.post(&url, &json!({ "amount": 12345 })).await.json().await.unwrap();
    server.ended(answer["execution"].as_str().unwrap()).await;
    let backup = server.api(Method::GET, "/v1/backup").send().await.unwrap().bytes().await.unwrap().to_vec();
    (backup, server.token.clone())
}

fn replaced(text: &[u8], from: &str, to: &str) -> Vec<u8> {
    let text = String::from_utf8(text.to_vec()).unwrap();
    assert!(text.contains(from), "there is no {from} in the backup");
    text.replacen(from, to, 1).into_bytes()
}

/// P5: a digit, a line, a plugin, or the order of lines: whatever was changed, the backup is refused, and says where.
#[tokio::test(flavor = "multi_thread")]
async fn p5_a_backup_that_was_changed_is_refused() {
    let (backup, token) = backup_of_a_server().await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("backup");
    let mut lines: Vec<&[u8]> = backup.split_inclusive(|byte| *byte == b'\n').collect();
    let without = [&lines[..3], &lines[4..]].concat().concat();
    lines.swap(2, 3);
    let swapped = lines.concat();
    let plugin_line = String::from_utf8(backup.clone()).unwrap().find("\"file\":").unwrap();
    let mut other_plugin = backup.clone();
    let byte = &mut other_plugin[plugin_line + 2000];
    *byte = if *byte == b'A' { b'B' } else { b'A' };
    let data = directory.path().join("whole");
    for (what, changed) in [
        ("a digit", replaced(&backup, "\\\"amount\\\":12345", "\\\"amount\\\":92345")),
        ("a line less", without),
        ("another order", swapped),
        ("another plugin", other_plugin),
        ("its end", backup[..backup.len() - 200].to_vec()),
        ("its last line end", backup[..backup.len() - 1].to_vec()),
        ("its line ends", String::from_utf8(backup.clone()).unwrap().replace('\n', "\r\n").into_bytes()),
        ("one line end", replaced(&backup, "\n", "\r\n")),
        ("more behind it", [&backup[..], b"\n"].concat()),
        ("of before", b"{\"backup\":{\"format\":1,\"version\":\"0.1.0\"}}\n{\"end\":{\"lines\":1}}\n".to_vec()),
    ] {
        std::fs::write(&file, changed).unwrap();
        let output = restore(&data, &file);
        assert_eq!(output.status.code(), Some(1), "{what}: {}", said(&output));
        assert!(said(&output).contains("line") || said(&output).contains("cut off"), "{what}: {}", said(&output));
        let left = std::fs::read_dir(&data).unwrap().map(|entry| entry.unwrap().file_name());
        let mut left = left.filter(|name| name != "lock");
        assert_eq!(left.next(), None, "{what}: nothing of it is left");
    }
    // What was killed half way, by this version or an earlier one.
    std::fs::create_dir_all(data.join("restore.unfinished/store/log")).unwrap();
    std::fs::create_dir_all(data.join("store.unfinished/log")).unwrap();
    std::fs::write(&file, &backup).unwrap();
    let output = restore(&data, &file);
    assert!(output.status.success(), "{}", said(&output));
    let process = Server::new(&data).start();
    let client = Client::builder().no_proxy().build().unwrap();
    let new_token = std::fs::read_to_string(data.join("admin-token")).unwrap();
    assert_ne!(new_token.trim(), token.trim());
    for (token, whose) in [(token, "of the backup"), (new_token, "who has the data directory alone")] {
        let request = client.get(format!("{}/v1/executions", process.admin)).bearer_auth(token.trim());
        let executions: Value = request.send().await.unwrap().json().await.unwrap();
        assert_eq!(executions["items"].as_array().map(Vec::len), Some(1), "{whose}");
    }
}

/// B20: a backup without its plugins is none.
#[tokio::test(flavor = "multi_thread")]
async fn b20_a_backup_whose_plugins_cannot_be_listed_is_an_error() {
    let server = TestServer::start().await.with_plugins(&["field-match"]).await;
    let take = |file: &Path| {
        let mut command = Command::new(BINARY);
        command.arg("backup").arg(file).env_clear();
        command.env("RINGBACK_SERVER", &server.admin).env("RINGBACK_DATA", server.data()).output().unwrap()
    };
    let directory = tempfile::tempdir().unwrap();
    std::fs::rename(server.data().join("plugins"), server.data().join("elsewhere")).unwrap();
    let file = directory.path().join("backup");
    let output = take(&file);
    assert_ne!(output.status.code(), Some(0));
    assert!(!file.exists(), "a backup that is not whole has no name");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "nothing is left of it");
    std::fs::rename(server.data().join("elsewhere"), server.data().join("plugins")).unwrap();
    assert!(take(&file).status.success());
    let link = directory.path().join("link");
    std::os::unix::fs::symlink(&file, &link).unwrap();
    for wrong in [&link, directory.path()] {
        let output = take(wrong);
        assert_eq!(output.status.code(), Some(1));
        assert!(said(&output).contains("no plain file"), "{}", said(&output));
    }
    assert!(link.is_symlink(), "it is what it was");
}

/// A server keeps its data directory for itself, also when the file of its lock is removed or replaced.
#[tokio::test(flavor = "multi_thread")]
async fn a_removed_lock_lets_no_second_server_in() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let server = Server::new(&data);
    let mut process = server.start();
    std::fs::remove_file(data.join("lock")).unwrap();
    assert_eq!(server.try_start().err().and_then(|status| status.code()), Some(73));
    let verified = Command::new(BINARY).args(["db", "verify", "--data"]).arg(&data).output().unwrap();
    assert_eq!(verified.status.code(), Some(73), "{}", said(&verified));
    assert!(said(&verified).contains("is in use by another ringback"), "{}", said(&verified));
    assert_eq!(api(&process, &data, Method::GET, "/v1/flows").send().await.unwrap().status(), StatusCode::OK);
    process.kill();
    server.start().kill();
    server.verify();
}

/// C10: what is written into files that are gone is lost: the server says so at once, and acknowledges nothing more.
#[tokio::test(flavor = "multi_thread")]
async fn c10_a_data_directory_that_is_removed_ends_the_server() {
    let directory = tempfile::tempdir().unwrap();
    for removed in ["", "store", "store/log"] {
        let data = directory.path().join(format!("data-{}", removed.replace('/', "-")));
        let log = directory.path().join("log");
        let mut process = Server::new(&data).log_to(&log).start();
        assert_eq!(process.wait(Duration::from_secs(2)), None, "it runs");
        std::fs::rename(data.join(removed), directory.path().join(format!("gone-{}", removed.replace('/', "-"))))
            .unwrap();
        assert_eq!(process.wait(Duration::from_secs(20)), Some(75), "{removed:?} was removed");
        assert!(std::fs::read_to_string(&log).unwrap().contains("were removed or moved away"), "it says why");
    }
}

/// A byte that is no text is a change like another, and is told with its line.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_with_a_line_that_is_no_text_is_refused() {
    let (mut backup, _) = backup_of_a_server().await;
    let second = backup.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    backup[second + 20] = 0xff;
    let directory = tempfile::tempdir().unwrap();
    let (file, data) = (directory.path().join("backup"), directory.path().join("data"));
    std::fs::write(&file, backup).unwrap();
    let output = restore(&data, &file);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("line 2 of the backup is no text: the backup was changed"), "{}", said(&output));
    assert!(!data.join("store").exists());
}

/// Of two restores into one directory, the one that waited for the other says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_comes_second_names_the_directory() {
    let (backup, _) = backup_of_a_server().await;
    let directory = tempfile::tempdir().unwrap();
    let (file, data) = (directory.path().join("backup"), directory.path().join("data"));
    std::fs::write(&file, backup).unwrap();
    let outputs: Vec<Output> = std::thread::scope(|scope| {
        let both: Vec<_> = (0..2).map(|_| scope.spawn(|| restore(&data, &file))).collect();
        both.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let (won, lost): (Vec<_>, Vec<_>) = outputs.iter().partition(|output| output.status.success());
    assert_eq!((won.len(), lost.len()), (1, 1));
    let lost = said(lost[0]);
    assert!(lost.contains(&data.display().to_string()) && !lost.contains("os error"), "{lost}");
    // While another one is at it, and has ended before the lock is free.
    std::fs::remove_dir_all(&data).unwrap();
    std::fs::create_dir(&data).unwrap();
    let lock = std::fs::File::create(data.join("lock")).unwrap();
    lock.lock().unwrap();
    let second = std::thread::scope(|scope| {
        let second = scope.spawn(|| restore(&data, &file));
        std::thread::sleep(Duration::from_millis(300));
        std::fs::create_dir(data.join("store")).unwrap();
        drop(lock);
        second.join().unwrap()
    });
    assert_eq!(second.status.code(), Some(73), "{}", said(&second));
    assert!(said(&second).contains("another restore has just made a store there"), "{}", said(&second));
}

/// A restore mixes with nothing: what is in its directory already is named, and stays as it is.
#[tokio::test(flavor = "multi_thread")]
async fn p5_a_restore_wants_a_directory_of_its_own() {
    let (backup, _) = backup_of_a_server().await;
    let directory = tempfile::tempdir().unwrap();
    let (file, data) = (directory.path().join("backup"), directory.path().join("data"));
    std::fs::write(&file, backup).unwrap();
    std::fs::create_dir(&data).unwrap();
    for foreign in ["notes.txt", "admin-token", "instance", ".hidden", "plugins", "recent"] {
        let path = data.join(foreign);
        match foreign {
            "plugins" => std::fs::create_dir(&path).unwrap(),
            _ => std::fs::write(&path, "mine").unwrap(),
        }
        let output = restore(&data, &file);
        assert_eq!(output.status.code(), Some(1), "{foreign}");
        let said = said(&output);
        assert!(said.contains(&format!("{} is in the way", path.display())), "{said}");
        assert!(!data.join("store").exists() && !data.join("lock").exists(), "{foreign}: nothing was begun");
        match foreign {
            "plugins" => std::fs::remove_dir(&path).unwrap(),
            _ => assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine"),
        }
        let _ = std::fs::remove_file(&path);
    }
    // What was interrupted while its files were put in place, beside the key that somebody has put there.
    std::fs::create_dir_all(data.join("restore.unfinished/store/log")).unwrap();
    std::fs::create_dir(data.join("plugins")).unwrap();
    std::fs::write(data.join("plugins/half"), "x").unwrap();
    std::fs::write(data.join("admin-token"), "x").unwrap();
    std::fs::write(data.join("secret.key"), "k").unwrap();
    let output = restore(&data, &file);
    assert!(output.status.success(), "{}", said(&output));
    assert!(!data.join("plugins/half").exists() && !data.join("restore.unfinished").exists());
    assert_eq!(std::fs::read_dir(data.join("plugins")).unwrap().count(), 1);
    assert_eq!(std::fs::read_to_string(data.join("secret.key")).unwrap(), "k");
    let output = restore(&data, &file);
    assert!(output.status.code() == Some(1) && said(&output).contains("there is a store"), "{}", said(&output));
}

/// C11: secrets without their key are no reason for a new key: the server does not start, and says where the key belongs, in
/// whatever form it is given; with the key it starts and has its secrets.
#[tokio::test(flavor = "multi_thread")]
async fn c11_a_server_without_the_key_of_its_secrets_does_not_start() {
    let directory = tempfile::tempdir().unwrap();
    let given = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
    let elsewhere = directory.path().join("elsewhere.key");
    for (form, name, value) in [
        ("in the data directory", None, String::new()),
        ("in a file elsewhere", Some("RINGBACK_SECRET_KEY_FILE"), elsewhere.display().to_string()),
        ("itself", Some("RINGBACK_SECRET_KEY"), given.to_owned()),
    ] {
        let data = directory.path().join(form);
        let server = |data: &Path, log: &Path| {
            let server = Server::new(data).log_to(log);
            match name {
                Some(name) => server.with(name, &value),
                None => server,
            }
        };
        let log = directory.path().join("log");
        let mut process = server(&data, &log).start();
        let put = api(&process, &data, Method::PUT, "/v1/secrets/A").json(&json!({ "value": "a-secret-value" }));
        assert_eq!(put.send().await.unwrap().status(), StatusCode::NO_CONTENT);
        let backup = api(&process, &data, Method::GET, "/v1/backup").send().await.unwrap().bytes().await.unwrap();
        process.terminate();
        assert_eq!(process.wait(Duration::from_secs(20)), Some(0));
        let restored = directory.path().join(format!("{form}, restored"));
        let file = directory.path().join("backup");
        std::fs::write(&file, backup).unwrap();
        assert!(restore(&restored, &file).status.success());
        // Without a word of where the key is, or where it is not.
        let key = std::fs::read(data.join("secret.key")).or_else(|_| std::fs::read(&elsewhere)).ok();
        let _ = std::fs::remove_file(&elsewhere);
        let missing =
            if name == Some("RINGBACK_SECRET_KEY_FILE") { elsewhere.clone() } else { restored.join("secret.key") };
        let without = match name {
            Some("RINGBACK_SECRET_KEY") => Server::new(&restored).log_to(&log),
            _ => server(&restored, &log),
        };
        for _ in 0..2 {
            std::fs::write(&log, "").unwrap();
            assert_eq!(without.try_start().err().and_then(|status| status.code()), Some(78), "{form}");
            let said = std::fs::read_to_string(&log).unwrap();
            assert!(said.contains("is not at") && said.contains(&missing.display().to_string()), "{form}: {said}");
            assert!(!missing.exists(), "{form}: no other key is made in its place");
        }
        if let (Some(key), true) = (key, name != Some("RINGBACK_SECRET_KEY")) {
            std::fs::write(&missing, key).unwrap();
            std::fs::set_permissions(&missing, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        }
        let process = server(&restored, &log).start();
        let secrets: Value =
            api(&process, &restored, Method::GET, "/v1/secrets").send().await.unwrap().json().await.unwrap();
        assert_eq!(secrets["items"][0]["name"], "A", "{form}");
    }
}

/// C11: a key that is not the one of the data is a wrong setting; damage that is met after opening is damage.
#[tokio::test(flavor = "multi_thread")]
async fn c11_exit_codes_say_what_is_wrong() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let server = Server::new(&data);
    let mut process = server.start();
    let put = api(&process, &data, Method::PUT, "/v1/secrets/A").json(&json!({ "value": "a-secret-value" }));
    assert_eq!(put.send().await.unwrap().status(), StatusCode::NO_CONTENT);
    let put = api(&process, &data, Method::PUT, "/v1/flows/pay").body(FLOW).header("content-type", "application/yaml");
    assert!(put.send().await.unwrap().status().is_success());
    process.terminate();
    assert_eq!(process.wait(Duration::from_secs(20)), Some(0));
    let key = std::fs::read(data.join("secret.key")).unwrap();
    for wrong in [vec![b'A'; key.len()], b"no key".to_vec()] {
        std::fs::write(data.join("secret.key"), wrong).unwrap();
        assert_eq!(server.try_start().err().and_then(|status| status.code()), Some(78));
    }
    std::fs::write(data.join("secret.key"), key).unwrap();
    server.try_start().unwrap().kill();
    let segment = data.join("store/log/0000000001.log");
    let mut bytes = std::fs::read(&segment).unwrap();
    let needle = b"trigger: Hook";
    let at = bytes.windows(needle.len()).position(|window| window == needle).unwrap();
    bytes[at] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    assert_eq!(server.try_start().err().and_then(|status| status.code()), Some(74));
}

/// R16: a responder whose callback cannot be read is not run as if there were none.
#[tokio::test(flavor = "multi_thread")]
async fn r16_a_responder_does_not_run_without_its_callback() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let server = Server::new(&data);
    let process = server.start();
    let upload = api(&process, &data, Method::POST, "/v1/plugins/misbehave/versions").body(plugin("misbehave"));
    assert_eq!(upload.send().await.unwrap().status(), StatusCode::CREATED);
    let source = "flow: answer\nsteps:\n  - trigger: Hook\n    mode: sync\n    respond_within: 100ms\n  - trigger: Go\n  - respond: { plugin: misbehave, with: behave }\n";
    let put =
        api(&process, &data, Method::PUT, "/v1/flows/answer").body(source).header("content-type", "application/yaml");
    let deployed: Value = put.send().await.unwrap().json().await.unwrap();
    let url = |trigger: usize| deployed["triggers"][trigger]["urls"]["default"]["native"].as_str().unwrap();
    let client = Client::builder().no_proxy().build().unwrap();
    let send = async |name: &str| {
        let body: Value =
            client.post(url(0)).json(&json!({ "needle": name })).send().await.unwrap().json().await.unwrap();
        body["execution"].as_str().unwrap().to_owned()
    };
    let run = async |id: &str| -> Value {
        api(&process, &data, Method::GET, &format!("/v1/executions/{id}")).send().await.unwrap().json().await.unwrap()
    };
    let damaged = send("damaged").await;
    // The body as the record of the callback has it, a text of JSON; the journal has it as JSON.
    let needle = b"\\\"needle\\\":\\\"damaged";
    let segment = data.join("store/log/0000000001.log");
    // With the execution, and once more with what the caller was told: nobody waits for that to be written.
    let places = loop {
        let bytes = std::fs::read(&segment).unwrap();
        let is_there = |at: &usize| bytes[*at..].starts_with(needle);
        let places: Vec<usize> = (0..bytes.len() - needle.len()).filter(is_there).collect();
        if places.len() == 2 {
            break places;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let file = std::fs::OpenOptions::new().write(true).open(&segment).unwrap();
    for at in places {
        std::os::unix::fs::FileExt::write_all_at(&file, b"X", at as u64 + 3).unwrap();
    }
    let whole = send("whole").await;
    for id in [&damaged, &whole] {
        let go = client.post(format!("{}?execution={id}", url(1))).json(&json!({})).send().await.unwrap();
        assert_eq!(go.status(), StatusCode::ACCEPTED);
    }
    while run(&whole).await["ended_at"].is_null() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(run(&whole).await["status"], "completed", "the next one works");
    let damaged = run(&damaged).await;
    assert!(!damaged["journal"].to_string().contains("\"responded\""), "{damaged:#}");
}

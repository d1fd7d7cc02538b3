//! A data directory that an earlier binary has written opens, and everything in it goes on.
//!
//! `fixtures/data-….tar.gz` are such directories, each made by killing the binary that it is called after. A release adds its own:
//!
//! ```sh
//! UPGRADE_FROM=path/to/ringback UPGRADE_NAME=0.1.0 cargo test --package ringback --test it -- --ignored make_a_data_directory
//! ```

mod make;

use crate::load::Api;
use crate::process::{Process, Server};
use crate::support::{Sink, github_signature};
use reqwest::{Client, Method, Response, StatusCode};
use ringback_records::time::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The values of the secret that proves callbacks, one after the other.
const FIRST: &str = "the first value";
const SECOND: &str = "the second value";
/// How long what was under way may take to be done.
const PATIENCE: Duration = Duration::from_secs(90);
const DAY: u64 = 86_400;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// A running server and what is asked of it.
struct Site {
    process: Process,
    api: Api,
    client: Client,
}

impl Site {
    fn start(server: &Server) -> Self {
        let process = server.start();
        let api = Api::new(&process, server.data());
        let client = Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Self { process, api, client }
    }

    /// Something of the API, once it is as wanted.
    async fn eventually(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let began = std::time::Instant::now();
        loop {
            let found = self.api.get(path).await;
            match found {
                Some(found) if wanted(&found) => return found,
                found => assert!(began.elapsed() < PATIENCE, "{path} did not come to be: {found:#?}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// An execution, once it has completed.
    async fn completed(&self, id: &str) -> Value {
        let run = self.eventually(&format!("/v1/executions/{id}"), |run| run["ended_at"].is_string()).await;
        assert_eq!(run["status"], "completed", "{run:#}");
        run
    }

    /// Posts JSON to a path of the public side.
    async fn call(&self, path: &str, body: &Value) -> Response {
        self.client.post(format!("{}{path}", self.process.public)).json(body).send().await.unwrap()
    }

    /// The same with GitHub's signature under a secret.
    async fn signed(&self, path: &str, body: &Value, secret: &str) -> Response {
        let body = body.to_string();
        let signature = github_signature(secret, body.as_bytes());
        let request = self.client.post(format!("{}{path}", self.process.public)).body(body);
        let request = request.header("content-type", "application/json").header("x-hub-signature-256", signature);
        request.send().await.unwrap()
    }

    /// The execution that a callback starts or resumes.
    async fn started(&self, path: &str, body: &Value) -> String {
        let answer = self.call(path, body).await;
        assert_eq!(answer.status(), StatusCode::ACCEPTED, "{path}");
        answer.json::<Value>().await.unwrap()["execution"].as_str().unwrap().to_owned()
    }
}

/// The values that the last `set` of an execution named.
fn last_set(run: &Value) -> &Value {
    let journal = run["journal"].as_array().unwrap();
    &journal.iter().rev().find(|entry| entry["kind"] == "set").unwrap()["values"]
}

/// Every fixture, each with the whole of what it has.
#[tokio::test(flavor = "multi_thread")]
async fn directories_of_earlier_binaries_open_and_go_on() {
    let entries = std::fs::read_dir(fixtures()).unwrap().map(|entry| entry.unwrap().path());
    let archives: BTreeSet<PathBuf> = entries.filter(|path| path.to_string_lossy().ends_with(".tar.gz")).collect();
    assert!(!archives.is_empty(), "there is nothing to open");
    for archive in archives {
        println!("{}", archive.display());
        Upgraded::open(&archive).await.check().await;
    }
}

/// A directory of an earlier binary, with today's at work on it.
struct Upgraded {
    site: Site,
    acme: Api,
    server: Server,
    sink: Sink,
    notes: Value,
    /// Seconds since it was made.
    age: u64,
    _directory: tempfile::TempDir,
}

impl Upgraded {
    async fn open(archive: &Path) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let unpacked = Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(directory.path()).status();
        assert!(unpacked.unwrap().success());
        let notes = std::fs::read(directory.path().join("notes.json")).unwrap();
        let notes: Value = serde_json::from_slice(&notes).unwrap();
        let address = notes["sink"].as_str().unwrap();
        let sink = Sink::at(address).await;
        let server = Server::new(&directory.path().join("data"))
            .with("RINGBACK_HTTP_PRIVATE_HOSTS", format!("[\"{address}\"]"))
            .with("RINGBACK_STORE_SEGMENT_BYTES", "1048576")
            // However long ago it was.
            .with("RINGBACK_KEEP_FOR", "forever")
            .with("RINGBACK_DEFERRED_FOR_MAX", "99999d");
        server.verify();
        let site = Site::start(&server);
        let acme = Api::new(&site.process, server.data()).in_workspace("acme");
        let age = Timestamp::now().as_secs() - notes["made_at"].as_u64().unwrap();
        Self { site, acme, server, sink, notes, age, _directory: directory }
    }

    fn url(&self, flow: &str, trigger: usize) -> &str {
        self.notes["urls"][flow][trigger].as_str().unwrap()
    }

    fn execution(&self, name: &str) -> &str {
        self.notes["executions"][name].as_str().unwrap()
    }

    fn ticket(&self, name: &str) -> &str {
        self.notes["tickets"][name]["path"].as_str().unwrap()
    }

    async fn callback(&self, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let id = self.notes["callbacks"][name].as_str().unwrap();
        self.site.eventually(&format!("/v1/callbacks/{id}"), wanted).await
    }

    async fn check(mut self) {
        self.what_ran_goes_on().await;
        self.what_waited_is_resumed().await;
        self.what_was_known_is_known().await;
        self.who_was_known_is_known().await;
        self.tickets_answer().await;
        self.faces_answer().await;
        self.lists_are_complete().await;
        self.site.process.terminate();
        assert_eq!(self.site.process.wait(PATIENCE), Some(0));
        self.server.verify();
    }

    /// Nobody has to do anything for what was under way, due, or kept.
    async fn what_ran_goes_on(&self) {
        let run = self.site.completed(self.execution("held")).await;
        // Mail is kept for a year and a day.
        if self.age < 366 * DAY {
            assert_eq!(*last_set(&run), json!({ "later": 8, "status": 200 }), "{run:#}");
            self.callback("mailed", |record| record["outcome"] == "resumed").await;
        }
        let run = self.site.completed(self.execution("tries")).await;
        assert_eq!(*last_set(&run), json!({ "status": 200 }), "{run:#}");
        for (step, path) in [("hangs", "/hangs"), ("fails", "/fails")] {
            let sent: Vec<_> = self.sink.requests().into_iter().filter(|request| request.path == path).collect();
            let [again] = &sent[..] else { panic!("{path}: {sent:?}") };
            let key = self.notes["keys"][step].as_str().unwrap();
            assert_eq!(again.headers["idempotency-key"], key, "the receiver knows {path} again");
            // A version that rendered it anew for each attempt lost digits of the flow file's number, which are there now.
            let before = self.notes["bodies"][step].as_str().unwrap();
            let whole = before.replace("1.2345678901234567e+19", "12345678901234567890");
            assert!(again.body == before || again.body == whole, "{} instead of {before}", again.body);
        }
        let run = self.site.completed(self.execution("late")).await;
        assert_eq!(*last_set(&run), json!({ "woke": true }));
        let run = self.site.completed(self.execution("times-out")).await;
        assert_eq!(*last_set(&run), json!({ "late": true }));
        let run = self.site.completed(self.execution("rests")).await;
        assert_eq!(*last_set(&run), json!({ "done": true }));
        let deferred = self.callback("deferred", |record| record["outcome"] == "started").await;
        self.site.completed(deferred["execution"].as_str().unwrap()).await;
        let everyone = self.notes["everyone"].as_array().unwrap();
        match self.notes["for_all"].as_str() {
            Some(id) => {
                let whole = |record: &Value| record["outcome"] == "resumed";
                let record = self.site.eventually(&format!("/v1/callbacks/{id}"), whole).await;
                assert_eq!(record["resumed_count"], everyone.len(), "{record:#}");
            }
            // A binary that did not remember whom it had told: the others wait.
            None => drop(self.site.call(&format!("{}?execution=all", self.url("everyone", 1)), &json!({})).await),
        }
        for id in everyone {
            let run = self.site.completed(id.as_str().unwrap()).await;
            let resumed = run["journal"].as_array().unwrap().iter().filter(|entry| entry["kind"] == "resumed");
            assert_eq!(resumed.count(), 1, "{run:#}");
        }
        let never = self.site.api.get(&format!("/v1/executions/{}", self.execution("never"))).await.unwrap();
        assert_eq!(never["status"], "waiting", "its time is far away");
    }

    /// Executions wait in the version that they began with.
    async fn what_waited_is_resumed(&self) {
        let id = self.execution("order-1");
        let then = format!("{}?execution={id}", self.url("order", 1));
        assert_eq!(self.site.call(&then, &json!({ "ok": false })).await.status(), StatusCode::NO_CONTENT);
        assert_eq!(self.site.started(&then, &json!({ "ok": true, "said": "hello" })).await, id);
        let run = self.site.completed(id).await;
        assert_eq!(*last_set(&run), json!({ "version": 1, "n": 1, "said": "hello" }));
        assert!(self.site.call(self.ticket("resumes"), &json!(7)).await.status().is_success());
        let run = self.site.completed(self.execution("order-2")).await;
        assert_eq!(*last_set(&run), json!({ "version": 2, "n": 2, "said": "7" }));
        let id = self.execution("of-acme");
        let then = format!("{}?execution={id}", self.url("of-acme", 1));
        self.site.started(&then, &json!({ "ok": true, "said": 1 })).await;
        let run = loop {
            let run = self.acme.get(&format!("/v1/executions/{id}")).await.unwrap();
            if run["ended_at"].is_string() {
                break run;
            }
        };
        assert_eq!(*last_set(&run), json!({ "version": 2, "n": 5, "said": 1 }));
        let id = self.execution("fails");
        let retry = format!("/v1/executions/{id}/retry");
        assert!(self.site.api.request(Method::POST, &retry).send().await.unwrap().status().is_success());
        let run = self.site.eventually(&format!("/v1/executions/{id}"), |run| run["status"] == "failed").await;
        assert_eq!(run["journal"].as_array().unwrap().iter().filter(|entry| entry["kind"] == "retried").count(), 1);
        // What is new runs as ever.
        let id = self.site.started(self.url("order", 0), &json!({ "n": 9 })).await;
        self.site.started(&format!("{}?execution={id}", self.url("order", 1)), &json!({ "ok": true, "said": 2 })).await;
        assert_eq!(*last_set(&self.site.completed(&id).await), json!({ "version": 2, "n": 9, "said": 2 }));
    }

    async fn what_was_known_is_known(&self) {
        let again = self.site.call(self.url("paid", 0), &json!({ "id": "one" })).await;
        assert_eq!(again.status(), StatusCode::CREATED);
        let is_known = again.json::<Value>().await.unwrap() == self.notes["paid"];
        assert_eq!(is_known, self.age < 366 * DAY, "for so long it is the same delivery");
        let other: Value = self.site.call(self.url("paid", 0), &json!({ "id": "two" })).await.json().await.unwrap();
        assert_ne!(other["execution"], self.notes["paid"]["execution"]);
        let counted: Value = self.site.call(self.url("counts", 0), &json!({})).await.json().await.unwrap();
        assert_eq!(counted, json!({ "n": 3 }), "what the plugin has kept");
        let id = self.notes["callbacks"]["started"].as_str().unwrap();
        let replay = self.site.api.request(Method::POST, &format!("/v1/callbacks/{id}/replay")).json(&json!({}));
        let replayed = replay.send().await.unwrap();
        assert!(replayed.status().is_success(), "{}", replayed.text().await.unwrap());
    }

    async fn who_was_known_is_known(&self) {
        let counts = json!({ "counts": true });
        let previous_counts = self.age < 3650 * DAY;
        for (secret, is_accepted) in [("wrong", false), (FIRST, previous_counts), (SECOND, true)] {
            let status = self.site.signed(self.url("signed", 0), &counts, secret).await.status();
            assert_eq!(status.is_success(), is_accepted, "{secret}: {status}");
        }
        let sent = self.sink.requests().into_iter().rfind(|request| request.path == "/signed").unwrap();
        assert_eq!(sent.headers["x-key"], SECOND, "secrets can be read");
        let known = format!("{}{}", self.site.process.public, self.url("known", 0));
        let ask = |token: &str| self.site.client.post(&known).header("user-token", token).json(&json!({})).send();
        assert_eq!(ask("rbu_nobody").await.unwrap().status(), StatusCode::UNAUTHORIZED);
        let answer = ask(self.notes["tokens"]["jane"].as_str().unwrap()).await.unwrap();
        assert_eq!(answer.json::<Value>().await.unwrap(), json!({ "age": 45 }));
        let viewer = self.notes["tokens"]["viewer"].as_str().unwrap();
        let admin = |method, path: &str| {
            self.site.client.request(method, format!("{}{path}", self.site.process.admin)).bearer_auth(viewer).send()
        };
        assert_eq!(admin(Method::GET, "/v1/executions").await.unwrap().status(), StatusCode::OK);
        assert_eq!(admin(Method::DELETE, "/v1/flows/paid").await.unwrap().status(), StatusCode::FORBIDDEN);
    }

    async fn tickets_answer(&self) {
        for name in ["used", "closed", "expired"] {
            let refused = self.site.call(self.ticket(name), &json!({})).await;
            assert_eq!(refused.status(), StatusCode::GONE, "{name}");
        }
        let stored = self.site.call(self.ticket("stored"), &json!({})).await;
        assert_eq!((stored.status(), &stored.headers()["x-stored"]), (StatusCode::ACCEPTED, &"yes".parse().unwrap()));
        assert_eq!(stored.json::<Value>().await.unwrap(), json!({ "thanks": true }));
        assert_eq!(self.site.call(self.ticket("stored"), &json!({})).await.status(), StatusCode::GONE, "used up");
        for _ in 0..2 {
            let redirect = self.site.call(self.ticket("redirects"), &json!({})).await;
            assert_eq!(redirect.status(), StatusCode::SEE_OTHER);
            assert_eq!(redirect.headers()["location"], "/thanks");
        }
        for name in ["handled", "in-staging"] {
            let handled = self.site.call(self.ticket(name), &json!({ "n": 3 })).await;
            assert_eq!(handled.text().await.unwrap(), "n is 3", "{name}");
        }
        assert_eq!(self.site.call(self.ticket("asked"), &json!({})).await.status().as_u16(), 207);
        let answer = self.site.call(self.ticket("made"), &json!(42)).await;
        assert_eq!((answer.status(), answer.text().await.unwrap()), (StatusCode::OK, "thanks".to_owned()));
        assert_eq!(*last_set(&self.site.completed(self.execution("asks")).await), json!({ "answer": "42" }));
    }

    async fn faces_answer(&self) {
        let quote = self.site.api.get("/v1/flows/quote").await.unwrap();
        let urls = &quote["triggers"][0]["callbacks"][0]["urls"];
        let path =
            |environment: &str| format!("/{}", urls[environment].as_str().unwrap().splitn(4, '/').nth(3).unwrap());
        for (path, size, environment, key) in [
            (self.url("quote", 0).to_owned(), json!({ "cm": 10 }), "default", SECOND),
            (path("default"), json!({ "cm": 10 }), "default", SECOND),
            (path("staging"), json!("small"), "staging", "of staging"),
        ] {
            let answer: Value = self.site.call(&path, &json!({})).await.json().await.unwrap();
            assert_eq!(answer, json!({ "size": size, "in": environment }), "{path}");
            let sent = self.sink.requests().into_iter().rfind(|request| request.path == "/quote").unwrap();
            assert_eq!(sent.headers["x-key"], key, "each environment has its own");
        }
        let link = format!("{}?execution={}", self.url("link", 1), self.execution("link"));
        assert_eq!(self.site.call(&link, &json!({})).await.status(), StatusCode::OK);
        self.site.completed(self.execution("link")).await;
        assert_eq!(self.site.call(self.url("base", 0), &json!({})).await.text().await.unwrap(), "ok");
    }

    async fn lists_are_complete(&self) {
        let api = &self.site.api;
        let texts = |items: Vec<Value>, member: &str| -> BTreeSet<String> {
            items.iter().map(|item| item[member].as_str().unwrap_or_default().to_owned()).collect()
        };
        let listed = texts(api.all("/v1/executions").await, "id");
        for (name, id) in self.notes["executions"].as_object().unwrap() {
            assert_eq!(listed.contains(id.as_str().unwrap()), name != "of-acme", "{name}");
        }
        for (name, status) in [("cancelled", "cancelled"), ("timed-out", "timed-out")] {
            let run = api.get(&format!("/v1/executions/{}", self.execution(name))).await.unwrap();
            assert_eq!(run["status"], status);
        }
        let listed = texts(api.all("/v1/callbacks").await, "id");
        for (name, id) in self.notes["callbacks"].as_object().unwrap() {
            assert!(listed.contains(id.as_str().unwrap()), "{name}");
        }
        for outcome in ["ignored", "rejected"] {
            self.callback(outcome, |record| record["outcome"] == outcome).await;
        }
        let listed = texts(api.all("/v1/flows").await, "name");
        for name in self.notes["urls"].as_object().unwrap().keys() {
            assert_eq!(listed.contains(name), name != "of-acme", "{name}");
        }
        let listed = texts(api.all("/v1/tickets").await, "id");
        for (name, ticket) in self.notes["tickets"].as_object().unwrap() {
            assert!(ticket["id"].as_str().is_none_or(|id| listed.contains(id)), "{name}");
        }
        assert_eq!(api.get("/v1/flows/order").await.unwrap()["version"], 2);
        let plugins = api.all("/v1/plugins").await;
        let misbehave = plugins.iter().find(|plugin| plugin["name"] == "misbehave").unwrap();
        assert_eq!((&misbehave["active"], misbehave["versions"].as_array().unwrap().len()), (&json!(2), 2));
        assert_eq!(texts(api.all("/v1/environments").await, "name"), ["default", "staging"].map(str::to_owned).into());
        assert_eq!(api.get("/v1/vars?environment=staging").await.unwrap()["items"][0]["value"], "small");
        assert_eq!(texts(api.all("/v1/users").await, "id"), ["jane".to_owned()].into());
        let secrets = api.all("/v1/secrets").await;
        let of_default = secrets.iter().find(|secret| secret["environment"] == "default").unwrap();
        assert_eq!((&of_default["name"], &of_default["version"]), (&json!("S"), &json!(2)));
    }
}

//! Makes a data directory with everything in it that a binary can write, and kills that binary in the middle of its work.

use super::{FIRST, SECOND, Site, fixtures};
use crate::load::Api;
use crate::process::Server;
use crate::support::{Sink, plugin};
use reqwest::Method;
use ringback_records::time::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Each by its name. `SINK` is where their requests go.
const FLOWS: [(&str, &str); 17] = [
    (
        "order",
        "  - trigger: Start
    fields: { n: $.n }
  - if: fields.n > 1
    then:
      - set: { size: large }
    else:
      - set: { size: small }
  - trigger: Then
    when: has(data.requestBody) || data.ok
    mailbox: { ttl: 366d }
  - set: { version: 1, n: '${{ triggers.Start.data.n }}', said: '${{ has(data.requestBody) ? data.requestBody : data.said }}' }
",
    ),
    (
        "held",
        "  - trigger: Start
  - if: data.n > 0
    then:
      - set: { n: '${{ data.n }}' }
      - if: n == 7
        then:
          - http: { url: 'SINK/hangs', method: POST, headers: { x-key: '${{ secrets.S }}' }, json: { n: '${{ n }}', big: 12345678901234567890 }, timeout: 300s }
            as: answer
  - trigger: Later
    mailbox: { ttl: 366d }
  - set: { later: '${{ data.n }}', status: '${{ answer.status }}' }
",
    ),
    (
        "tries",
        "  - trigger: Start
  - http: { url: 'SINK/fails', method: POST, json: { n: '${{ data.n }}' }, retry: { attempts: 3, backoff: 30s } }
    as: answer
  - set: { status: '${{ answer.status }}' }
",
    ),
    ("late", "  - trigger: Start\n  - delay: 30s\n  - set: { woke: true }\n"),
    ("never", "  - trigger: Start\n  - delay: { until: '2399-01-01T00:00:00Z' }\n"),
    (
        "times-out",
        "  - trigger: Start
  - trigger: Then
    timeout: 30s
    on_timeout:
      - set: { late: true }
",
    ),
    ("timed-out", "  - trigger: Start\n  - trigger: Then\n    timeout: 1s\n"),
    ("fails", "  - trigger: Start\n  - fail: 'no ${{ data.n }}'\n"),
    (
        "paid",
        "  - trigger: Pay
    mode: sync
    dedupe: { by: '${{ data.id }}', window: 366d }
  - respond: { status: 201, json: { id: '${{ data.id }}', execution: '${{ execution.id }}' } }
",
    ),
    (
        "signed",
        "  - trigger: Hook
    mode: sync
    verify: { scheme: github, secret: S }
    when: data.counts
  - http: { url: 'SINK/signed', headers: { x-key: '${{ secrets.S }}' } }
  - respond: { json: { size: '${{ vars.size }}' } }
",
    ),
    (
        "known",
        "  - trigger: Hook
    mode: sync
    auth: { user: required, roles: [manager] }
  - respond: { json: { age: '${{ user.age }}' } }
",
    ),
    (
        "quote",
        "  - trigger: Price
    face: patchworks
    environments: [staging]
    callbacks: [{ name: json }, { name: xml, content_type: application/xml }]
  - http: { url: 'SINK/quote', headers: { x-key: '${{ secrets.S }}' } }
  - respond: { status: 200, json: { size: '${{ vars.size }}', in: '${{ environment.name }}' } }
",
    ),
    ("link", "  - trigger: Order received\n    face: flowrunner\n  - trigger: Payment\n    face: flowrunner\n"),
    ("base", "  - trigger: Hook\n    face: nocobase\n"),
    (
        "handles",
        "  - trigger: Call
    face: grexx
    fields: { n: { body: n } }
  - set: { responseBody: 'n is ${{ fields.n }}' }
",
    ),
    (
        "asks",
        "  - trigger: Start
  - ticket: { handler: { trigger: Answer }, response: { body: thanks } }
    as: link
  - trigger: Answer
    face: grexx
  - set: { answer: '${{ data.requestBody }}' }
",
    ),
    ("counts", "  - trigger: Start\n    mode: sync\n  - plugin: misbehave\n    with: count\n    as: n\n  - respond: { json: { n: '${{ n }}' } }\n"),
];

/// Those whose plugin will rest, and those that all go on at once while the process is killed.
const LAST: [(&str, &str); 3] = [
    ("rests", "  - trigger: Start\n  - plugin: misbehave\n    with: '${{ data.act }}'\n  - set: { done: true }\n"),
    ("defers", "  - trigger: Start\n    when: { plugin: misbehave, with: '${{ data.act }}' }\n"),
    (
        "everyone",
        "  - trigger: Start\n  - trigger: Go\n    when: { plugin: slow, with: { burn: 8000000 } }\n  - set: { gone: true }\n",
    ),
];

/// Executions that a callback for all is handed to while the process is killed.
const EVERYONE: usize = 16;

impl Site {
    async fn put(&self, path: &str, body: &Value) {
        let answer = self.api.request(Method::PUT, path).json(body).send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.text().await.unwrap());
    }

    async fn create(&self, path: &str, body: &Value) -> Value {
        let answer = self.api.request(Method::POST, path).json(body).send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.text().await.unwrap());
        answer.json().await.unwrap()
    }

    async fn upload(&self, name: &str, bytes: Vec<u8>) {
        let request = self.api.request(Method::POST, &format!("/v1/plugins/{name}/versions")).body(bytes);
        let answer = request.header("content-type", "application/wasm").send().await.unwrap();
        assert!(answer.status().is_success(), "{name}: {}", answer.text().await.unwrap());
    }

    /// Starts an execution, and waits until it is as wanted.
    async fn start_until(&self, path: &str, body: &Value, wanted: impl Fn(&Value) -> bool) -> String {
        let id = self.started(path, body).await;
        self.eventually(&format!("/v1/executions/{id}"), wanted).await;
        id
    }

    async fn ticket(&self, request: &Value) -> Value {
        let ticket = self.create("/v1/tickets", request).await;
        json!({ "id": ticket["id"], "path": path_of(ticket["url"].as_str().unwrap()) })
    }
}

/// Deploys a flow: the paths of its triggers, in the first of their faces.
async fn deploy(api: &Api, name: &str, steps: &str, sink: &Sink) -> Vec<String> {
    let source = format!("flow: {name}\nsteps:\n{}", steps.replace("SINK", &sink.url));
    let answer = api.request(Method::PUT, &format!("/v1/flows/{name}")).body(source).send().await.unwrap();
    assert!(answer.status().is_success(), "{name}: {}", answer.text().await.unwrap());
    let flow: Value = answer.json().await.unwrap();
    let first = |trigger: &Value| {
        let urls = trigger["urls"]["default"].as_object();
        urls.and_then(|urls| urls.values().next()).map(|url| path_of(url.as_str().unwrap())).unwrap_or_default()
    };
    flow["triggers"].as_array().unwrap().iter().map(first).collect()
}

fn path_of(url: &str) -> String {
    format!("/{}", url.splitn(4, '/').nth(3).unwrap())
}

fn waits(run: &Value) -> bool {
    run["status"] == "waiting"
}

/// `UPGRADE_FROM` is the binary, `UPGRADE_NAME` what the directory is called: a version or a commit.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "makes a fixture of the binary that UPGRADE_FROM names"]
async fn make_a_data_directory() {
    #[expect(clippy::disallowed_methods, reason = "a test has no settings")]
    let variable = |name| std::env::var(name).unwrap_or_else(|_| panic!("{name} says what to make"));
    let (binary, name) = (variable("UPGRADE_FROM"), variable("UPGRADE_NAME"));
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    // An address of its own, since the flows name it for good.
    let number = name.bytes().fold(0_u8, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte));
    let address = format!("127.83.66.{number}:7117");
    let sink = Sink::at(&address).await;
    sink.answer("/hangs", &[(200, Duration::from_secs(600))]);
    sink.answer("/fails", &[(500, Duration::ZERO)]);
    let server = Server::new(&data)
        .of(Path::new(&binary))
        .log_to(&directory.path().join("log"))
        .with("RINGBACK_HTTP_PRIVATE_HOSTS", format!("[\"{address}\"]"))
        .with("RINGBACK_STORE_SEGMENT_BYTES", "1048576");
    let mut site = Site::start(&server);
    let acme = Api::new(&site.process, &data).in_workspace("acme");
    let mut notes = fill(&site, &acme, &sink).await;
    site.process.kill();
    notes["made_at"] = json!(Timestamp::now().as_secs());
    notes["sink"] = json!(address);
    std::fs::write(directory.path().join("notes.json"), serde_json::to_vec_pretty(&notes).unwrap()).unwrap();
    let archive = fixtures().join(format!("data-{name}.tar.gz"));
    let packed = Command::new("tar")
        .args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--sparse"])
        // What is compiled here is of use to nobody else.
        .args(["--exclude=data/cache", "--exclude=data/lock", "--use-compress-program=gzip -9n", "-cf"])
        .arg(&archive)
        .arg("-C")
        .arg(directory.path())
        .args(["notes.json", "data"])
        .status();
    assert!(packed.unwrap().success());
    println!("{}: {} bytes", archive.display(), std::fs::metadata(&archive).unwrap().len());
}

/// Everything that there is, up to the moment in which the process is to be killed.
#[expect(clippy::too_many_lines, reason = "a list of what there is")]
async fn fill(site: &Site, acme: &Api, sink: &Sink) -> Value {
    site.put("/v1/environments/staging", &json!({ "url_prefix": "2" })).await;
    site.put("/v1/vars/size", &json!({ "value": { "cm": 10 } })).await;
    site.put("/v1/vars/size?environment=staging", &json!({ "value": "small" })).await;
    site.put("/v1/secrets/S", &json!({ "value": FIRST })).await;
    site.put("/v1/secrets/S", &json!({ "value": SECOND, "keep_previous": "3650d" })).await;
    site.put("/v1/secrets/S?environment=staging", &json!({ "value": "of staging" })).await;
    site.put("/v1/users/jane", &json!({ "properties": { "age": 45 }, "roles": ["manager"] })).await;
    let of_jane = site.create("/v1/users/jane/tokens", &json!({})).await;
    let viewer = site.create("/v1/tokens", &json!({ "name": "looks", "access": "viewer" })).await;

    let first = plugin("misbehave");
    // Another one that does the same: with a section that nobody reads.
    let second: Vec<u8> = first.iter().copied().chain([0, 2, 1, b'a']).collect();
    site.upload("misbehave", first.clone()).await;
    site.upload("misbehave", second).await;
    site.upload("slow", first).await;

    let mut urls = BTreeMap::new();
    for (name, steps) in FLOWS {
        urls.insert(name, deploy(&site.api, name, steps, sink).await);
    }
    let url = |name: &str, index: usize| urls[name][index].as_str();

    // Versions of a flow, and executions that wait in each; one of them with mail.
    let mut executions = BTreeMap::new();
    let mut callbacks = BTreeMap::new();
    executions.insert("order-1", site.start_until(url("order", 0), &json!({ "n": 1 }), waits).await);
    let order = FLOWS[0].1.replace("version: 1", "version: 2");
    assert_eq!(deploy(&site.api, "order", &order, sink).await, urls["order"], "URLs stay");
    executions.insert("order-2", site.start_until(url("order", 0), &json!({ "n": 2 }), waits).await);
    executions.insert("cancelled", site.start_until(url("order", 0), &json!({ "n": 3 }), waits).await);
    site.create(&format!("/v1/executions/{}/cancel", executions["cancelled"]), &json!({})).await;
    for (name, status) in [("fails", "failed"), ("timed-out", "timed-out")] {
        let id = site.start_until(url(name, 0), &json!({ "n": 1 }), |run| run["status"] == status).await;
        executions.insert(name, id);
    }
    let linked = format!("/v1/callbacks/{}", id_of(&site.call(url("link", 0), &json!({ "order": 1 })).await));
    let linked = site.eventually(&linked, |record| record["execution"].is_string()).await;
    executions.insert("link", linked["execution"].as_str().unwrap().to_owned());
    executions.insert("never", site.start_until(url("never", 0), &json!({}), waits).await);

    // What was known, answered, ignored and refused.
    let paid = site.call(url("paid", 0), &json!({ "id": "one" })).await;
    assert_eq!(paid.status(), 201);
    callbacks.insert("paid", id_of(&paid));
    let paid: Value = paid.json().await.unwrap();
    for (name, counts, secret, status) in [
        ("by the first", true, FIRST, 200),
        ("started", true, SECOND, 200),
        ("ignored", false, SECOND, 204),
        ("rejected", true, "wrong", 401),
    ] {
        let answer = site.signed(url("signed", 0), &json!({ "counts": counts }), secret).await;
        assert_eq!(answer.status(), status, "{secret}");
        callbacks.insert(name, id_of(&answer));
    }
    for n in 1..=2 {
        let counted: Value = site.call(url("counts", 0), &json!({})).await.json().await.unwrap();
        assert_eq!(counted, json!({ "n": n }));
    }

    // Tickets: used up, closed, and open for every kind of handler.
    let mut tickets = BTreeMap::new();
    let stored = json!({ "body": { "thanks": true }, "code": 202, "headers": { "x-stored": "yes" } });
    for (name, request) in [
        ("stored", json!({ "response": stored })),
        ("used", json!({ "response": stored })),
        ("closed", json!({ "response": stored })),
        (
            "redirects",
            json!({ "response": { "type": "redirect", "redirect_url": "/thanks", "code": 303 }, "allow_multiple": true }),
        ),
        ("handled", json!({ "handler": { "flow": "handles" }, "retryable": true })),
        ("resumes", json!({ "handler": { "execution": executions["order-2"], "trigger": "then" } })),
        ("asked", json!({ "handler": { "plugin": "misbehave", "with": { "reply": [207, "x-of", "plugin"] } } })),
        ("in-staging", json!({ "handler": { "flow": "handles" }, "environment": "staging", "state_parameter": "s" })),
        ("expired", json!({ "response": stored, "expires_in": "1s" })),
    ] {
        tickets.insert(name, site.ticket(&request).await);
    }
    assert_eq!(site.call(tickets["used"]["path"].as_str().unwrap(), &json!({})).await.status(), 202);
    let closed = format!("/v1/tickets/{}", tickets["closed"]["id"].as_str().unwrap());
    assert!(site.api.request(Method::DELETE, &closed).send().await.unwrap().status().is_success());
    let asks = site.start_until(url("asks", 0), &json!({}), waits).await;
    let run = site.api.get(&format!("/v1/executions/{asks}")).await.unwrap();
    let made = run["journal"].as_array().unwrap().iter().find_map(|entry| entry["result"]["url"].as_str()).unwrap();
    tickets.insert("made", json!({ "path": path_of(made) }));
    executions.insert("asks", asks);

    // Another workspace.
    let of_acme = deploy(acme, "order", &order, sink).await;
    let id = site.started(&of_acme[0], &json!({ "n": 5 })).await;
    while !acme.get(&format!("/v1/executions/{id}")).await.is_some_and(|run| waits(&run)) {}
    executions.insert("of-acme", id);
    urls.insert("of-acme", of_acme);

    // A pause after a failure, timers, and a request that hangs: they are due, or under way, when the process ends.
    for (name, steps) in LAST {
        urls.insert(name, deploy(&site.api, name, steps, sink).await);
    }
    let url = |name: &str, index: usize| urls[name][index].as_str();
    let mut everyone = Vec::new();
    for n in 0..EVERYONE {
        everyone.push(site.start_until(url("everyone", 0), &json!({ "n": n }), waits).await);
    }
    for name in ["tries", "late", "times-out"] {
        executions.insert(name, site.start_until(url(name, 0), &json!({ "n": 1 }), waits).await);
    }
    let held = site.started(url("held", 0), &json!({ "n": 7 })).await;
    while sink.requests().iter().all(|request| request.path != "/hangs") {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mailed = site.call(&format!("{}?execution={held}", url("held", 1)), &json!({ "n": 8 })).await;
    assert_eq!(mailed.headers()["ringback-outcome"], "kept");
    callbacks.insert("mailed", id_of(&mailed));
    executions.insert("held", held);
    for _ in 0..5 {
        site.start_until(url("rests", 0), &json!({ "act": "trap" }), |run| run["status"] == "failed").await;
    }
    executions.insert("rests", site.started(url("rests", 0), &json!({ "act": "behave" })).await);
    let deferred = site.call(url("defers", 0), &json!({ "act": "behave" })).await;
    assert_eq!(deferred.headers()["ringback-outcome"], "kept");
    callbacks.insert("deferred", id_of(&deferred));
    // Records that nobody was promised are on disk a moment later.
    for name in ["ignored", "rejected"] {
        site.eventually(&format!("/v1/callbacks/{}", callbacks[name]), |_| true).await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;

    let (client, go) = (site.client.clone(), format!("{}{}?execution=all", site.process.public, url("everyone", 1)));
    let all = tokio::spawn(async move { client.post(go).json(&json!({ "n": 1 })).send().await });
    let gone = loop {
        assert!(!all.is_finished(), "all went on before the process could be killed: let them take longer");
        let waiting = site.api.get("/v1/executions?status=waiting&flow=everyone&limit=200").await.unwrap();
        let waiting = waiting["items"].as_array().unwrap().iter().filter(|run| run["flow"] == "everyone").count();
        if waiting < EVERYONE {
            break EVERYONE - waiting;
        }
    };
    println!("{gone} of {EVERYONE} had gone on");
    for name in ["tries", "late", "times-out"] {
        site.eventually(&format!("/v1/executions/{}", executions[name]), waits).await;
    }
    let kept = site.api.get("/v1/callbacks?outcome=kept&limit=200").await.unwrap();
    let for_all = kept["items"].as_array().unwrap().iter().find(|record| record["flow"] == "everyone");
    let keys = |path: &str| -> Vec<String> {
        let sent = sink.requests().into_iter().filter(|request| request.path == path);
        sent.map(|request| request.headers["idempotency-key"].to_str().unwrap().to_owned()).collect()
    };
    let bodies =
        sink.requests().into_iter().map(|request| (request.path, json!(request.body))).collect::<BTreeMap<_, _>>();
    json!({
        "urls": urls,
        "executions": executions,
        "everyone": everyone,
        // Before it was one delivery, it had no record until its end.
        "for_all": for_all.map(|record| &record["id"]),
        "callbacks": callbacks,
        "tickets": tickets,
        "paid": paid,
        "tokens": { "viewer": viewer["token"], "jane": of_jane["token"] },
        "keys": { "hangs": keys("/hangs")[0], "fails": keys("/fails")[0] },
        "bodies": { "hangs": bodies["/hangs"], "fails": bodies["/fails"] },
    })
}

fn id_of(answer: &reqwest::Response) -> String {
    answer.headers()["ringback-callback"].to_str().unwrap().to_owned()
}

//! Values have limits: whatever a callback's data and a flow make of each other, memory is bounded, the server starts again, and
//! the next callback works.

use crate::process::{Process, Server};
use crate::support::{TestServer, cases};
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

/// Most memory that a callback of 1 MiB may take.
const MEMORY_BYTES: u64 = 64 << 20;
/// How often what takes more is tried again.
const TIMES: usize = 3;

/// The most memory that a process has had, in bytes.
pub fn peak(process: &Process) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

pub async fn deploy(client: &Client, process: &Process, data: &Path, flow: &Value) -> String {
    let token = std::fs::read_to_string(data.join("admin-token")).unwrap();
    let url = format!("{}/v1/flows/{}", process.admin, flow["flow"].as_str().unwrap());
    let response = client.request(Method::PUT, url).bearer_auth(token).json(flow).send().await.unwrap();
    let body: Value = response.json().await.unwrap();
    let url = body["triggers"][0]["urls"]["default"]["native"].as_str().unwrap_or_else(|| panic!("{body:#}"));
    url.to_owned()
}

fn flow(trigger: Value, steps: Vec<Value>) -> Value {
    let mut all = json!({ "trigger": "Hook", "mode": "sync", "respond_within": "20s" });
    all.as_object_mut().unwrap().extend(trigger.as_object().unwrap().clone());
    let steps: Vec<Value> = std::iter::once(all).chain(steps).collect();
    json!({ "flow": "large", "steps": steps })
}

fn sets(count: usize, value: &str) -> Vec<Value> {
    (0..count).map(|number| json!({ "set": { format!("s{number}"): value } })).collect()
}

/// A4, B1: bodies of 1 MiB that become as much as they can, in flows that make as much of them as they can.
#[tokio::test]
async fn a4_a_body_of_a_mebibyte_takes_no_more_than_64_of_memory() {
    let client = Client::builder().no_proxy().timeout(Duration::from_secs(60)).build().unwrap();
    let mebibyte = (1 << 20) - 100;
    // As many values as are taken, and as much text as there is room for.
    let text = |of: &str| of.repeat((mebibyte / of.len()).min(199_000));
    let lists = format!("[{}[]]", text("[],"));
    let numbers = format!("[{}1]", text("1,"));
    let digits = format!("[{}1]", text("1.5,"));
    let objects = format!("[{}{{}}]", "{\"a\":1},".repeat(33_000));
    // As many lists as are taken, each with one item, and three times as many.
    let nested = |lists: usize| format!("[{}0]", format!("{}1{},", "[".repeat(100), "]".repeat(100)).repeat(lists));
    let (nested, too_nested) = (nested(490), nested(1900));
    let fields = |lists: usize| vec![format!("p=[{}0]", "[],".repeat(lists)); 5].join("&");
    let (fields, too_many_fields) = (fields(39_000), fields(69_000));
    let items = format!("{{\"order\":{{\"id\":\"{}\"}},\"items\":[{}0]}}", "x".repeat(1000), "0,".repeat(55_000));
    let long = format!("{{\"s\":\"{}\"}}", "y".repeat(mebibyte));
    let control = "\u{1}".repeat(mebibyte);
    let quotes = "\"".repeat(mebibyte);
    let lines = "\n".repeat(mebibyte);
    let long_numbers = format!("[{}1]", format!("{},", "9".repeat(999)).repeat(1000));
    let members: String = (0..95_000).map(|n| format!("\"{n:x}\":1,")).collect();
    let members = format!("{{{}}}", members.trim_end_matches(','));
    let respond = |form: &str| json!({ "respond": { form: "${{ data }}" } });
    let send = json!({ "url": "http://127.0.0.1:9/", "json": "${{ data }}", "on_error": "continue" });
    let plain = json!({});
    let picks = json!({ "fields": { "a": "$..*", "b": "$..*", "c": "$[*]" } });
    let as_text = json!({ "parse": "text" });
    let as_form = json!({ "parse": { "form": { "json": ["p"] } } });
    let doubling = (0..10).map(|n| {
        let of = if n == 0 { "data.s".to_owned() } else { format!("d{}", n - 1) };
        json!({ "set": { format!("d{n}"): format!("${{{{ {of} + {of} }}}}") } })
    });
    let several: String = (0..100).map(|_| "${{ data.s }}").collect();
    let dedupe = json!({ "dedupe": { "by": several } });
    let reply = json!({ "mode": "async", "respond_within": null, "reply": { "text": several } });
    let tried: Vec<(&str, &String, &Value, Vec<Value>)> = vec![
        ("control characters, kept 190 times", &control, &as_text, sets(190, "${{ data }}")),
        ("control characters, too many for an answer", &control, &as_text, vec![respond("json")]),
        ("line ends, answered", &lines, &as_text, vec![respond("json")]),
        ("quotes, answered", &quotes, &as_text, vec![respond("json")]),
        ("quotes, kept and answered", &quotes, &as_text, [sets(1, "${{ data }}"), vec![respond("json")]].concat()),
        (
            "long numbers, made many",
            &long_numbers,
            &plain,
            sets(2, "${{ data.map(x, [x, x, x, x, x, x, x, x, x, x]) }}"),
        ),
        (
            "long numbers of a text",
            &long_numbers,
            &as_text,
            sets(2, "${{ json(data).map(x, [x, x, x, x, x, x, x, x, x, x]) }}"),
        ),
        ("numbers of a text", &numbers, &as_text, sets(2, "${{ json(data.substring(0, 200000) + '1]') }}")),
        ("lists", &lists, &plain, sets(100, "${{ data }}")),
        ("lists of one", &nested, &plain, sets(2, "${{ data }}")),
        ("too many lists of one", &too_nested, &plain, Vec::new()),
        ("fields of a form", &fields, &as_form, sets(2, "${{ data }}")),
        ("too many in the fields of a form", &too_many_fields, &as_form, Vec::new()),
        ("numbers", &numbers, &plain, sets(100, "${{ data }}")),
        ("numbers, answered", &numbers, &plain, vec![respond("json")]),
        ("objects, answered as text", &objects, &plain, vec![respond("text")]),
        ("members", &members, &plain, vec![json!({ "set": { "a": "${{ data }}", "b": "${{ size(a) }}" } })]),
        ("numbers, sent", &numbers, &plain, vec![json!({ "http": send })]),
        ("picks, and all of it", &objects, &picks, sets(2, "${{ data }}")),
        ("digits", &digits, &plain, sets(100, "${{ data.map(x, [x, x]) }}")),
        ("objects", &objects, &plain, sets(100, "${{ [data, data] }}")),
        ("objects in a loop", &objects, &plain, sets(3, "${{ data.map(x, data) }}")),
        ("an object for each item", &items, &plain, sets(1, "${{ data.items.map(i, [data.order, 1]) }}")),
        ("doublings", &long, &plain, doubling.collect()),
        ("a text of texts", &long, &plain, sets(3, &several)),
        ("an answer of texts", &long, &plain, vec![json!({ "respond": { "json": { "a": several } } })]),
        ("a failure of texts", &long, &plain, vec![json!({ "fail": several })]),
        ("a replacement", &long, &plain, sets(2, "${{ data.s.replace('y', data.s) }}")),
        ("a split", &long, &plain, sets(5, "${{ data.s.split('') }}")),
        ("JSON in a text", &long, &plain, sets(2, "${{ json('[' + data.s.replace('y', '[],') + '0]') }}")),
        ("picks", &objects, &picks, Vec::new()),
        ("dedupe", &long, &dedupe, Vec::new()),
        ("a reply", &long, &reply, Vec::new()),
    ];
    let directory = tempfile::tempdir().unwrap();
    // What the server does besides only adds to it (to make ready what runs scripts, 3 s after a start, takes 36 MiB): the least of a
    // few times is what it takes.
    let times = |case: usize| (0..TIMES).map(move |time| (case, time));
    let mut least = vec![u64::MAX; tried.len()];
    for (number, time) in (0..tried.len()).flat_map(times) {
        if least[number] < MEMORY_BYTES {
            continue;
        }
        let (what, body, trigger, steps) = &tried[number];
        let data = directory.path().join(format!("{number}-{time}"));
        let server = Server::new(&data).with("RINGBACK_STORE_SEGMENT_BYTES", "4194304");
        let server = server.with("RINGBACK_HTTP_PRIVATE_HOSTS", "[\"127.0.0.1:9\"]");
        let mut process = server.start();
        let mut source = flow((*trigger).clone(), steps.clone());
        source["steps"][0].as_object_mut().unwrap().retain(|_, value| !value.is_null());
        let url = deploy(&client, &process, &data, &source).await;
        let kind = if *trigger == &as_form { "application/x-www-form-urlencoded" } else { "application/json" };
        let post = |body: String| client.post(&url).header("content-type", kind).body(body).send();
        let small = || post(json!({ "s": "", "items": [], "order": 1 }).to_string());
        small().await.unwrap();
        let before = peak(&process);
        let status = post((*body).clone()).await.unwrap().status();
        let taken = peak(&process).saturating_sub(before);
        println!("{what}: {status}, {} KiB", taken >> 10);
        least[number] = least[number].min(taken);
        assert!(status != StatusCode::NOT_FOUND && status.as_u16() != 0, "{what}");
        let is_refused = ["too many", "picks"].iter().any(|kind| what.starts_with(kind));
        assert_eq!(status == StatusCode::BAD_REQUEST, is_refused, "{what}: {status}");
        assert!(status == StatusCode::OK || !what.ends_with("answered"), "{what}: {status}");
        let after = small().await.unwrap().status();
        assert!(after.as_u16() < 600, "{what}: the next callback is answered");
        process.kill();
        let mut process = server.start();
        process.kill();
        server.verify();
        std::fs::remove_dir_all(&data).unwrap();
    }
    let too_much = tried.iter().zip(&least).filter(|(_, taken)| **taken >= MEMORY_BYTES);
    let too_much: Vec<String> = too_much.map(|((what, ..), taken)| format!("{what}: {} MiB", taken >> 20)).collect();
    assert!(too_much.is_empty(), "{too_much:#?}");
    cases(tried.len());
}

/// B1, A4: each limit has its code, in the record and in the API, and the next callback works.
#[tokio::test]
async fn a4_what_goes_over_a_limit_says_which() {
    let server = TestServer::start_with(|config| config.execution_bytes_max = 1 << 20).await;
    let server = server.with_plugins(&["misbehave"]).await;
    let large = |bytes: usize| json!({ "s": "x".repeat(bytes) });
    let deep = format!("  - set: {{ a: '${{{{ {}data{} }}}}' }}\n", "[".repeat(30), "]".repeat(30));
    let sum = "${{ lists.range(3000000).size() }}";
    for (steps, body, code) in [
        (format!("  - set: {{ n: '{sum}' }}\n"), large(1), "expression_limit"),
        (
            format!("  - if: size(lists.range(3000000)) > 1\n    then: []\n  - set: {{ n: '{sum}' }}\n"),
            large(1),
            "expression_limit",
        ),
        ("  - set: { a: '${{ lists.range(30000).map(x, data.s) }}' }\n".to_owned(), large(60), "execution_too_large"),
        (
            "  - respond: { json: '${{ lists.range(60000).map(x, data.s) }}' }\n".to_owned(),
            large(600),
            "expression_limit",
        ),
        (deep, nested(100), "expression_limit"),
        (format!("  - plugin: misbehave\n    with: '{sum}'\n"), large(1), "expression_limit"),
        (format!("  - respond: {{ plugin: misbehave, with: '{sum}' }}\n"), large(1), "expression_limit"),
        (format!("  - ticket: {{ response: {{ body: '{sum}' }} }}\n"), large(1), "expression_limit"),
        (
            format!("  - http: {{ url: 'https://shop.example/', headers: {{ authorization: '{sum}' }} }}\n"),
            large(1),
            "expression_limit",
        ),
    ] {
        let url = server.deploy(&format!("flow: over\nsteps:\n  - trigger: Hook\n    mode: sync\n{steps}")).await;
        let failed = server.post(&url, &body).await;
        assert_eq!(failed.status(), StatusCode::INTERNAL_SERVER_ERROR, "{steps}");
        let record = server.callback(&failed).await;
        let run = server.ended(record["execution"].as_str().unwrap()).await;
        assert_eq!(run["error"]["code"], code, "{steps}{run:#}");
    }
    let urls = server.deploy_all("flow: waits\nsteps:\n  - trigger: First\n  - trigger: Second\n").await;
    let too_large = server.post(&urls[0], &json!(vec![0; 20_000])).await;
    assert_eq!(too_large.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(too_large.json::<Value>().await.unwrap()["code"], "execution_too_large");
    let started: Value = server.post(&urls[0], &json!(vec![0; 8_000])).await.json().await.unwrap();
    let id = started["execution"].as_str().unwrap();
    server.eventually(&format!("/v1/executions/{id}"), |run| run["status"] == "waiting").await;
    let second = format!("{}?execution={id}", urls[1]);
    let refused = server.post(&second, &json!(vec![0; 8_000])).await;
    assert_eq!(refused.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(server.post(&second, &json!(1)).await.status(), StatusCode::ACCEPTED, "it goes on waiting");
    assert_eq!(server.ended(id).await["status"], "completed");
}

fn nested(depth: usize) -> Value {
    (0..depth).fold(json!(1), |inner, _| json!([inner]))
}

/// What is as deep as a body may be can be stored, read again after a restart, and shown.
#[tokio::test]
async fn a4_the_deepest_body_is_there_after_a_restart() {
    let server = TestServer::start().await;
    let urls = server.deploy_all("flow: deep\nsteps:\n  - trigger: First\n  - trigger: Second\n").await;
    assert_eq!(server.post(&urls[0], &nested(129)).await.status(), StatusCode::BAD_REQUEST);
    let answered = server.post(&urls[0], &nested(128)).await;
    assert_eq!(answered.status(), StatusCode::ACCEPTED);
    let id = answered.json::<Value>().await.unwrap()["execution"].as_str().unwrap().to_owned();
    // Most readers of JSON take no more than 128 levels.
    let waits = async |server: &TestServer| loop {
        let response = server.api(Method::GET, &format!("/v1/executions/{id}")).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let text = response.text().await.unwrap();
        if text.contains("\"waiting\"") {
            return text;
        }
    };
    waits(&server).await;
    let server = server.restart().await;
    let shown = waits(&server).await;
    assert!(shown.contains(&"[".repeat(128)), "{shown}");
    let urls = server.urls("deep").await;
    let resumed = server.post(&format!("{}?execution={id}", urls[1]), &nested(128)).await;
    assert_eq!(resumed.status(), StatusCode::ACCEPTED);
    let hands_on = |value: &str| {
        format!(
            "flow: on\nsteps:\n  - trigger: Hook\n    mode: sync\n  - set: {{ a: '{value}' }}\n  - respond: {{ json: '${{{{ a }}}}' }}\n"
        )
    };
    let url = server.deploy(&hands_on("${{ [data] }}")).await;
    assert_eq!(server.post(&url, &nested(128)).await.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(server.post(&url, &nested(127)).await.status(), StatusCode::OK);
    let url = server.deploy(&hands_on("${{ data }}")).await;
    let answered = server.post(&url, &nested(128)).await;
    assert_eq!(answered.text().await.unwrap(), nested(128).to_string());
}

/// A4: what a body of 1 MiB can become can be answered, whole and in parts, and an ordinary list can be kept as well.
#[tokio::test]
async fn a4_what_a_body_brings_can_be_handed_on() {
    let server = TestServer::start_with(|config| config.body_bytes_max = 1 << 20).await;
    let deploy = async |steps: &str| {
        server.deploy(&format!("flow: on\nsteps:\n  - trigger: Hook\n    mode: sync\n{steps}")).await
    };
    let post = async |url: &str, body: &str| {
        let request = server.call(Method::POST, url).header("content-type", "application/json").body(body.to_owned());
        let answered = request.send().await.unwrap();
        (answered.status().as_u16(), answered.text().await.unwrap())
    };
    let most = format!("[{}0]", "1,".repeat(199_000));
    let objects = format!("[{}{{}}]", "{\"a\":1},".repeat(33_000));
    for form in ["json", "text"] {
        let url = deploy(&format!("  - respond: {{ {form}: '${{{{ data }}}}' }}\n")).await;
        for body in [&most, &objects] {
            assert_eq!(post(&url, body).await, (200, body.clone()), "{form}");
        }
        let url = deploy(&format!("  - respond: {{ {form}: {{ a: ['${{{{ {{\"b\": data}} }}}}'], c: x }} }}\n")).await;
        if form == "json" {
            assert_eq!(post(&url, &objects).await, (200, format!("{{\"a\":[{{\"b\":{objects}}}],\"c\":\"x\"}}")));
        }
    }
    let numbers = format!("[{}0]", "1234567,".repeat(99_999));
    let url = deploy("  - set: { kept: '${{ data }}' }\n  - respond: { json: '${{ kept }}' }\n").await;
    assert_eq!(post(&url, &numbers).await, (200, numbers));
}

/// K8: a number is as long as it is written, wherever a flow puts it, and after a restart.
#[tokio::test]
async fn k8_long_numbers_keep_their_digits_everywhere() {
    let sink = crate::support::Sink::start().await;
    let server = TestServer::start_with(|config| config.http_private_hosts = vec![sink.host()]).await;
    let source = format!(
        "flow: digits\nsteps:\n  - trigger: First\n  - set: {{ kept: '${{{{ data }}}}' }}\n  - http: {{ url: '{0}/', json: {{ n: '${{{{ kept }}}}' }} }}\n  - http: {{ url: '{0}/', text: '${{{{ data }}}}' }}\n  - trigger: Second\n    mode: sync\n  - http: {{ url: '{0}/', json: '${{{{ kept }}}}' }}\n  - respond: {{ json: {{ a: '${{{{ kept }}}}', b: '${{{{ data }}}}', c: 'of ${{{{ kept[0] }}}}' }} }}\n",
        sink.url
    );
    let urls = server.deploy_all(&source).await;
    let (long, small) = ("9".repeat(1000), format!("0.{}1", "0".repeat(996)));
    let body = format!("[{long},{small},-{small},9223372036854775808,1.0,10.10,1e+400,-0]");
    let post = |url: &str| server.call(Method::POST, url).header("content-type", "application/json").body(body.clone());
    let too_long =
        server.call(Method::POST, &urls[0]).header("content-type", "application/json").body("9".repeat(1001));
    assert_eq!(too_long.send().await.unwrap().status(), StatusCode::BAD_REQUEST);
    let started: Value = post(&urls[0]).send().await.unwrap().json().await.unwrap();
    let id = started["execution"].as_str().unwrap().to_owned();
    server.eventually(&format!("/v1/executions/{id}"), |run| run["status"] == "waiting").await;
    let server = server.restart_with(|config| config.http_private_hosts = vec![sink.host()]).await;
    let second = format!("{}?execution={id}", server.urls("digits").await[1]);
    let request = server.call(Method::POST, &second).header("content-type", "application/json").body(body.clone());
    let answered = request.send().await.unwrap().text().await.unwrap();
    assert_eq!(answered, format!("{{\"a\":{body},\"b\":{body},\"c\":\"of {long}\"}}"));
    let sent: Vec<String> = sink.requests().into_iter().map(|request| request.body).collect();
    assert_eq!(sent, [format!("{{\"n\":{body}}}"), body.clone(), body]);
}

/// K8: what a flow hands on is what came: members in their order, digits as they are written.
#[tokio::test]
async fn k8_a_flow_hands_on_what_came() {
    let server = TestServer::start().await;
    let url = server
        .deploy(
            "flow: echo\nsteps:\n  - trigger: Hook\n    mode: sync\n  - set: { kept: '${{ data }}' }\n  - respond: { json: '${{ kept }}' }\n",
        )
        .await;
    let body = r#"{"zebra":10.10,"apple":12345678901234567890123,"list":[1e+400,-0,{"b":1.0,"a":"\ud83d"}],"m":null}"#;
    let post =
        |body: &'static str| server.call(Method::POST, &url).header("content-type", "application/json").body(body);
    let answered = post(body).send().await.unwrap();
    assert_eq!(answered.text().await.unwrap(), body.replace("\\ud83d", "\u{fffd}"));
    for wrong in [r#"{"$serde_json::private::Number": "x"}"#, r#"{"a": {"\u0024serde_json::private::Number": "x"}}"#] {
        assert_eq!(post(wrong).send().await.unwrap().status(), StatusCode::BAD_REQUEST, "{wrong}");
    }
    let form = server.call(Method::POST, &format!("{url}?x=1")).header("content-type", "application/json").body("{}");
    assert_eq!(form.send().await.unwrap().status(), StatusCode::OK);
    let get = server.fetch(&format!("{url}?%24serde_json%3A%3Aprivate%3A%3ANumber=x")).await;
    assert_eq!(get.status(), StatusCode::BAD_REQUEST);
    let (status, body) = server
        .try_deploy("flow: n\nsteps:\n  - trigger: A\n  - set: { a: { '$serde_json::private::Number': x } }\n")
        .await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
    let made = "flow: echo\nsteps:\n  - trigger: Hook\n    mode: sync\n  - set: { kept: \"${{ {'$serde_json::private::Number': 'x'} }}\" }\n";
    let url = server.deploy(made).await;
    assert_eq!(server.post(&url, &json!({})).await.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(server.get("/v1/executions").await["items"].as_array().unwrap().len(), 3, "all can be read");
}

/// B1: a name by which the library for JSON tells its own values is refused wherever it comes from: what has it could be stored, and
/// not be read again, and would stand in the way of all that wait.
#[tokio::test]
async fn b1_names_of_the_library_are_refused_and_nothing_is_damaged() {
    let server = TestServer::start().await;
    let source = "flow: names\nsteps:\n  - trigger: A\n    methods: [GET, POST]\n  - trigger: B\n";
    let urls = server.deploy_all(source).await;
    let any = format!("{}?execution=any", urls[1]);
    for name in ["RawValue", "Number", "R\\u0061wValue", "\\u004eumber"] {
        for value in ["\"[1,2\"", "\"5\"", "5"] {
            let body = format!("{{\"a\":{{\"x\":1,\"$serde_json::private::{name}\":{value}}}}}");
            let request = server.call(Method::POST, &urls[0]).header("content-type", "application/json").body(body);
            let refused = request.send().await.unwrap();
            assert_eq!(refused.status(), StatusCode::BAD_REQUEST, "{name} {value}");
            assert_eq!(refused.json::<Value>().await.unwrap()["code"], "reserved_name", "{name} {value}");
        }
        let query = format!("{}?%24serde_json::private::{name}=5", urls[0]);
        if !name.contains('\\') {
            assert_eq!(server.call(Method::GET, &query).send().await.unwrap().status(), StatusCode::BAD_REQUEST);
        }
    }
    // And into what is kept by way of the API.
    for (path, body) in [
        ("/v1/vars/limits", "{\"value\":NAMED}"),
        ("/v1/users/jane", "{\"properties\":{\"a\":NAMED}}"),
        ("/v1/users/jane", "{\"properties\":NAMED}"),
        ("/v1/secrets/S", "{\"value\":NAMED}"),
        ("/v1/environments/staging", "{\"url_prefix\":NAMED}"),
    ] {
        for name in ["RawValue", "Number", "\\u004eumber"] {
            let body = body.replace("NAMED", &format!("{{\"$serde_json::private::{name}\":\"5\"}}"));
            let request = server.api(Method::PUT, path).header("content-type", "application/json").body(body.clone());
            let status = request.send().await.unwrap().status();
            assert!(status.is_client_error(), "{path} {body}: {status}");
        }
    }
    assert_eq!(server.get("/v1/vars").await["items"], json!([]));
    let request = json!({ "handler": { "flow": "names" } });
    let ticket = server.ticket(&request).await;
    let url = ticket["url"].as_str().unwrap();
    let called = server.call(Method::GET, &format!("{url}?%24serde_json::private::Number=5")).send().await.unwrap();
    assert_eq!(called.status(), StatusCode::BAD_REQUEST, "the data of a ticket has its query");
    let mentioned =
        json!({ "fine": 1.50, "$serde_json": "$serde_json::private::Number", "b": ["$serde_json::private::x"] });
    assert_eq!(server.post(&urls[0], &mentioned).await.status(), StatusCode::ACCEPTED, "a value is any text");
    let server = server.restart().await;
    let any = any.replace(any.split("/h/").next().unwrap(), &server.public);
    assert_eq!(server.post(&any, &json!({})).await.status(), StatusCode::ACCEPTED, "who waits is found");
}

/// Posts a text that is JSON to a flow with one expression: what it is answered.
async fn asked(server: &TestServer, expression: &str, body: &str) -> (u16, String) {
    let steps =
        json!([{ "trigger": "Ask", "mode": "sync" }, { "respond": { "json": format!("${{{{ {expression} }}}}") } }]);
    let url = server.deploy(&format!("flow: ask\nsteps: {steps}\n")).await;
    let request = server.call(Method::POST, &url).header("content-type", "application/json").body(body.to_owned());
    let answered = request.send().await.unwrap();
    let failed = match answered.status().is_success() {
        true => None,
        false => Some(server.callback(&answered).await["trace"].to_string()),
    };
    (answered.status().as_u16(), failed.unwrap_or(answered.text().await.unwrap()))
}

/// A number of JSON has no type: one that is too large for `int` is computed with like any other, exactly or not at all.
#[tokio::test]
async fn k8_numbers_of_json_are_computed_with_whatever_their_size() {
    let server = TestServer::start().await;
    // 2^63, 2^63 + 1 and the largest of 64 bits, the smallest, and what is longer.
    let body = r#"{"n":9223372036854775808,"m":9223372036854775809,"most":18446744073709551615,"least":-9223372036854775808,
        "long":12345678901234567890123,"longer":12345678901234567890124,"above":18446744073709551616,"small":3,"price":10.5}"#;
    for (expression, expected) in [
        ("data.n + 1", "9223372036854775809"),
        ("1 + data.n", "9223372036854775809"),
        ("data.n - 1", "9223372036854775807"),
        ("data.n - 1 - 1 + 1", "9223372036854775807"),
        ("data.n - data.m", "-1"),
        ("3 - data.n", "-9223372036854775805"),
        ("-data.n", "-9223372036854775808"),
        ("-data.least", "9223372036854775808"),
        ("data.most * 1", "18446744073709551615"),
        ("data.most / 2", "9223372036854775807"),
        ("data.most % 10", "5"),
        ("data.least + data.n", "0"),
        ("data.small * 2", "6"),
        ("data.n > data.small && data.n > 1 && data.n == 9223372036854775808u && data.m > data.n", "true"),
        ("math.bitAnd(data.most, 255)", "255"),
        ("data.n * data.price > 9.0e19", "true"),
        ("data.long < data.longer && data.long != data.longer && data.longer > 18446744073709551615u", "true"),
        ("data.long", "12345678901234567890123"),
        ("[data.longer, data.n, data.long, data.least].sort()[2]", "12345678901234567890123"),
        ("math.greatest(data.long, data.longer)", "12345678901234567890124"),
        ("math.greatest([data.longer, data.n, data.long])", "12345678901234567890124"),
        ("max(data.most, data.above)", "18446744073709551616"),
        ("max(data.above, data.most)", "18446744073709551616"),
        ("math.least(data.above, data.most)", "18446744073709551615"),
        ("min([data.longer, data.long])", "12345678901234567890123"),
        ("math.greatest(data.small, data.price, 4u)", "10.5"),
        ("math.abs(data.least)", "9223372036854775808"),
        ("math.abs(data.most)", "18446744073709551615"),
    ] {
        assert_eq!(asked(&server, expression, body).await, (200, expected.to_owned()), "{expression}");
    }
    for (expression, why) in [
        ("data.n * 2", "does not fit into an integer of 64 bits; with double(…)"),
        ("data.most + 1", "does not fit into an integer of 64 bits"),
        ("data.least - 1", "does not fit into an integer of 64 bits"),
        ("-data.most", "does not fit into an integer of 64 bits"),
        ("data.most * data.most", "does not fit into an integer of 64 bits"),
        ("data.n / 0", "divided by zero"),
        ("data.n % (data.small - 3)", "divided by zero"),
        ("9223372036854775807 + 1", "does not fit into an integer of 64 bits"),
        ("0u - 1u", "does not fit into an integer of 64 bits"),
    ] {
        let (status, trace) = asked(&server, expression, body).await;
        assert!(status == 500 && trace.contains(why), "{expression}: {status} {trace}");
    }
    assert_eq!(asked(&server, "double(data.n) * 2", body).await.0, 200);
}

/// K8: what a text of JSON becomes in an expression keeps its digits as a body does.
#[tokio::test]
async fn k8_a_text_of_json_keeps_the_digits_of_its_numbers() {
    let server = TestServer::start().await;
    let numbers = "[12345678901234567890123,10.10,1e+400,-0,1.0,9223372036854775808,0.30]";
    let body = json!({ "t": format!("{{\"z\":{numbers},\"a\":[]}}") }).to_string();
    let same = format!("{{\"z\":{numbers},\"a\":[]}}");
    assert_eq!(asked(&server, "json(data.t)", &body).await, (200, same));
    assert_eq!(asked(&server, "json(data.t).z.map(n, n)", &body).await, (200, numbers.to_owned()));
    assert_eq!(
        asked(&server, "string(json(data.t).z[0]) + string(json(data.t).z[1])", &body).await.1,
        "\"1234567890123456789012310.10\""
    );
    assert_eq!(asked(&server, "json(data.t).z[5] - 1", &body).await.1, "9223372036854775807");
    assert_eq!(asked(&server, "math.round(json('[10]')[0]) + json('2')", &body).await.1, "12");
    assert_eq!(asked(&server, "{json('1'): 'one'}[1]", &body).await.1, "\"one\"");
}

/// An answer that calls itself JSON and is not read as such is a text, and says why: nobody wonders which of two values counts.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_not_read_as_json_says_why() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let many = format!("[{}0]", "[],".repeat(250_000));
    let answers: Vec<(String, Option<&str>)> = vec![
        (
            r#"{"role":"user","hunter2hunter2":1,"hunter2hunter2":2}"#.to_owned(),
            Some("a name is there twice at line 1"),
        ),
        (many, Some("it has too many values")),
        ("{\"a\":".to_owned(), Some("EOF while parsing")),
        (r#"{"$serde_json::private::Number":"1"}"#.to_owned(), Some("cannot be used")),
        (format!("{}1{}", "[".repeat(129), "]".repeat(129)), Some("nested deeper than 128")),
        (String::new(), None),
        (r#"{"n":10.10}"#.to_owned(), None),
    ];
    let texts: Vec<String> = answers.iter().map(|(text, _)| text.clone()).collect();
    let answer = move |axum::extract::Path(number): axum::extract::Path<usize>| {
        let text = texts[number].clone();
        async move { ([("content-type", "application/json")], text) }
    };
    let router = axum::Router::new().route("/{number}", axum::routing::get(answer));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let server = TestServer::start_with(|config| config.http_private_hosts = vec![host.clone()]).await;
    server.set_secret("S", "hunter2hunter2").await;
    let source = format!(
        "flow: f\nsteps:\n  - trigger: T\n    mode: sync\n  - http: {{ url: 'http://{host}/${{{{ data }}}}', headers: {{ x-key: '${{{{ secrets.S }}}}' }} }}\n    as: answer\n  - respond: {{ json: {{ text: '${{{{ type(answer.body) == string }}}}', note: '${{{{ answer.?note.orValue(null) }}}}' }} }}\n"
    );
    let url = server.deploy(&source).await;
    for (number, (text, why)) in answers.iter().enumerate() {
        let answered = server.post(&url, &json!(number)).await;
        let execution = server.callback(&answered).await["execution"].as_str().unwrap().to_owned();
        let said: Value = answered.json().await.unwrap();
        let is_text = why.is_some() || text.is_empty();
        assert_eq!(said["text"], is_text, "{number}: {said}");
        let note = said["note"].as_str();
        assert_eq!(note.is_some(), why.is_some(), "{number}: {said}");
        assert!(why.is_none_or(|why| note.unwrap().contains(why)), "{number}: {said}");
        let run = server.ended(&execution).await;
        let of_step = run["journal"].as_array().unwrap().iter().find(|entry| entry["kind"] == "http").unwrap();
        assert_eq!(of_step["result"]["note"].as_str(), note, "the journal says it, too");
        let kept = of_step["result"].to_string();
        assert!(!kept.contains("hunter2"), "{kept:.300}");
    }
    let (status, body) = server.try_deploy(&source.replace("answer.?note", "answer.?remark")).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
}

/// Line ends make no text something else, and what is base64 says so.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_the_text_as_it_came_or_says_that_it_is_base64() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let echo = axum::Router::new().fallback(|body: axum::body::Bytes| async move { ([("content-type", "")], body) });
    tokio::spawn(async move { axum::serve(listener, echo).await });
    let server = TestServer::start_with(|config| config.http_private_hosts = vec![host.clone()]).await;
    let source = format!(
        "flow: f\nsteps:\n  - trigger: T\n    mode: sync\n  - http: {{ url: 'http://{host}/', method: POST, text: '${{{{ data.text }}}}' }}\n    as: answer\n  - respond: {{ json: {{ body: '${{{{ answer.body }}}}', note: '${{{{ answer.?note.orValue(null) }}}}' }} }}\n"
    );
    let url = server.deploy(&source).await;
    for (text, kept, is_base64) in [
        ("\0\u{1}k", "AAFr", true),
        ("\u{8}\n", "CAo=", true),
        ("OK\n", "OK\n", false),
        ("a\tb\r\n\r\n", "a\tb\r\n\r\n", false),
        ("\n", "\n", false),
        ("", "", false),
    ] {
        let answered: Value = server.post(&url, &json!({ "text": text })).await.json().await.unwrap();
        assert_eq!(answered["body"], kept, "{text:?}: {answered}");
        let note = answered["note"].as_str();
        assert_eq!(note.is_some_and(|note| note.contains("is kept as base64")), is_base64, "{text:?}: {answered}");
    }
    let url = server.deploy("flow: lines\nsteps:\n  - trigger: T\n    parse: text\n").await;
    for (text, is_base64) in [("\0\n", true), ("OK\n", false)] {
        let sent =
            server.call(Method::POST, &url).header("content-type", "text/plain").body(text).send().await.unwrap();
        let record = server.callback(&sent).await;
        assert_eq!(record["body"] == text, !is_base64, "{record}");
        assert_eq!(record["body_base64"].is_string(), is_base64, "{record}");
    }
}

/// B1: a parameter with a name of the library is refused wherever it stands, and the refusal names it.
#[tokio::test]
async fn b1_parameters_with_names_of_the_library_are_refused() {
    let server = TestServer::start().await;
    let source = "flow: query\nsteps:\n  - trigger: Ask\n    mode: sync\n    methods: [GET, POST]\n    fields: { all: { query: a } }\n    reply: { json: '${{ callback.query }}' }\n";
    let url = server.deploy(source).await;
    for name in ["$serde_json::private::Number", "$serde_json::private::RawValue"] {
        for query in
            [format!("{name}=5"), format!("a[{name}]=5"), format!("nested[{name}]=5"), format!("a[0][{name}][]=5")]
        {
            let query = query.replace('$', "%24");
            for method in [Method::GET, Method::POST] {
                let refused = server.call(method, &format!("{url}?{query}")).send().await.unwrap();
                assert_eq!(refused.status(), StatusCode::BAD_REQUEST, "{query}");
                let trace = server.callback(&refused).await["trace"].to_string();
                assert!(trace.contains("the parameter") && trace.contains(name), "{trace}");
                assert_eq!(refused.json::<Value>().await.unwrap()["code"], "reserved_name", "{query}");
            }
        }
        let fine = server.fetch(&format!("{url}?a[b]={}&x={0}", name.replace('$', "%24"))).await;
        assert_eq!(fine.status(), StatusCode::OK, "a value is any text");
        assert_eq!(fine.json::<Value>().await.unwrap()["nested"]["a"]["b"], name);
    }
}

/// What a body of 1 MiB becomes can be answered, also where each of its characters is written as an escape.
#[tokio::test]
async fn a4_a_text_of_escapes_can_be_answered() {
    let server = TestServer::start_with(|config| config.body_bytes_max = 1 << 20).await;
    let deploy = async |parse: &str, form: &str| {
        server
            .deploy(&format!(
                "flow: on\nsteps:\n  - trigger: Hook\n    mode: sync\n    parse: {parse}\n  - respond: {{ {form}: '${{{{ data }}}}' }}\n"
            ))
            .await
    };
    let post = async |url: &str, body: &str| {
        let request = server.call(Method::POST, url).header("content-type", "application/json").body(body.to_owned());
        let answered = request.send().await.unwrap();
        (answered.status().as_u16(), answered.text().await.unwrap())
    };
    for character in ["\"", "\\", "\n", "x", "\u{20ac}"] {
        let body = character.repeat((1 << 20) / character.len());
        let expected = Value::from(body.as_str()).to_string();
        let url = deploy("text", "json").await;
        let answered = post(&url, &body).await;
        assert_eq!((answered.0, answered.1.len()), (200, expected.len()), "{character:?}");
        assert!(answered.1 == expected);
        let url = deploy("text", "text").await;
        assert!(post(&url, &body).await == (200, body), "{character:?}");
    }
    // An exponent is written longer than it came.
    let numbers = format!("[{}1]", "123E2,".repeat(174_000));
    let expected = numbers.replace("E", "e+");
    for form in ["json", "text"] {
        let url = deploy("json", form).await;
        assert!(post(&url, &numbers).await == (200, expected.clone()), "{form}");
    }
    // What takes more than that is not sent, and the next one is.
    let url = deploy("text", "json").await;
    assert_eq!(post(&url, &"\u{1}".repeat(500_000)).await.0, 500);
    let most = "\u{1}".repeat(430_000);
    assert!(post(&url, &most).await == (200, Value::from(most).to_string()));
}

/// A4: as many numbers can be kept as the manual says; who goes over is told what counts.
#[tokio::test]
async fn a4_a_limit_of_values_says_what_counts() {
    let server = TestServer::start_with(|config| config.body_bytes_max = 1 << 20).await;
    let url = server
        .deploy("flow: on\nsteps:\n  - trigger: Hook\n    mode: sync\n  - set: { kept: '${{ data }}' }\n  - respond: { json: '${{ size(kept) }}' }\n")
        .await;
    let post = async |count: usize| {
        let body = format!("[{}0]", "1,".repeat(count - 1));
        let request = server.call(Method::POST, &url).header("content-type", "application/json").body(body);
        let answered = request.send().await.unwrap();
        let record = server.callback(&answered).await["trace"].to_string();
        (answered.status().as_u16(), answered.text().await.unwrap(), record)
    };
    assert_eq!(post(119_000).await.1, "119000");
    let (status, _, record) = post(130_000).await;
    assert!(status == 500 && record.contains("10 MiB") && record.contains("88 bytes"), "{record}");
    assert_eq!(post(10).await.1, "10");
}

/// A time that there is not is told with the range of those that there are.
#[tokio::test]
async fn a_time_out_of_range_says_the_range() {
    let server = TestServer::start().await;
    for expression in [
        "timestamp(data.t) + duration('8760h')",
        "timestamp('10000-01-01T00:00:00Z')",
        "timestamp('9999-12-31T23:59:59Z')",
        "timestamp('0000-12-31T23:59:59Z')",
        "timestamp(999999999999)",
        "timestamp('0001-01-01T00:00:00Z') - duration('1s')",
    ] {
        let (status, trace) = asked(&server, expression, r#"{"t":"9999-06-01T00:00:00Z"}"#).await;
        let range = "lies between 0001-01-01T00:00:00Z and 9999-12-30T22:00:00Z";
        assert!(status == 500 && trace.contains(range), "{expression}: {status} {trace}");
    }
    let (status, trace) = asked(&server, "duration('99999999999h')", "{}").await;
    assert!(status == 500 && trace.contains("10,000 years"), "{trace}");
    assert_eq!(asked(&server, "timestamp('9999-12-30T22:00:00Z')", "{}").await.0, 200);
}

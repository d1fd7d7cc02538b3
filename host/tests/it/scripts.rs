//! Scripts in flow files: what they see, what they may, and what each wrong one gets.

use crate::support::TestServer;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::fmt::Write;
use std::time::Duration;

/// A flow with a script as its condition.
fn when(source: &str) -> String {
    named("test", source)
}

fn named(flow: &str, source: &str) -> String {
    let lines = source.lines().fold(String::new(), |mut lines, line| {
        writeln!(lines, "        {line}").unwrap();
        lines
    });
    format!("flow: {flow}\nsteps:\n  - trigger: Hook\n    when:\n      script: |\n{lines}")
}

async fn server() -> TestServer {
    TestServer::start_with(|config| config.plugin_limits.call.decide_cpu = Duration::from_millis(200)).await
}

/// Sends a callback: the status, and what its record says of the condition.
async fn send(server: &TestServer, url: &str, body: &Value) -> (StatusCode, Value) {
    let (status, record) = judged(server, url, body).await;
    let condition = record["trace"].as_array().unwrap().iter().find(|entry| entry["stage"] == "condition");
    (status, condition.cloned().unwrap_or_default())
}

/// Sends a callback until others have left its calls the processor: the status, and its record.
async fn judged(server: &TestServer, url: &str, body: &Value) -> (StatusCode, Value) {
    for _ in 0..20 {
        let response = server.post(url, body).await;
        let record = server.callback(&response).await;
        if !record["trace"].to_string().contains("\"plugin_busy\"") {
            return (response.status(), record);
        }
    }
    panic!("no call got a processor for long enough");
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

async fn mistakes(server: &TestServer, source: &str) -> Value {
    let (status, answer) = server.try_deploy(source).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{source}\n{answer}");
    answer["errors"].clone()
}

#[tokio::test]
async fn a_script_decides_which_callbacks_count_and_a_wrong_one_never_does() {
    let server = server().await;
    let url = server.deploy(&when("data.total > 100")).await;
    let (status, entry) = send(&server, &url, &json!({ "total": 120 })).await;
    assert_eq!((status, text(&entry["reason"])), (StatusCode::ACCEPTED, "the script says true"));
    assert_eq!(entry["plugins"][0]["plugin"], "script");
    let (status, entry) = send(&server, &url, &json!({ "total": 100 })).await;
    assert_eq!((status, text(&entry["reason"])), (StatusCode::NO_CONTENT, "the script says false"));

    for (source, code, sentence) in [
        ("while (true) {}", "plugin_out_of_time", "200 ms of CPU time"),
        ("const all = [];\nwhile (true) all.push('x'.repeat(1000));", "plugin_out_of_memory", "16777216 bytes"),
        (
            "const f = (n) => f(n + 1) + 1;\nreturn f(0)",
            "plugin_failed",
            "RangeError: Maximum call stack size exceeded",
        ),
        (
            "const a = 1;\nreturn data.no.total > a",
            "plugin_failed",
            "cannot read property 'total' of undefined (line 7)",
        ),
        ("throw 'no'", "plugin_failed", "the script threw the text \"no\", which is no Error"),
        ("throw { a: 1 }", "plugin_failed", "the script threw an object, which is no Error"),
        ("return (async () => true)()", "plugin_failed", "returned a promise, which nobody waits for"),
        ("import('x')", "plugin_failed", "returned a promise, which nobody waits for"),
        (
            "data.total > 1; 0",
            "plugin_failed",
            "returned nothing, where true or false is needed: is a `return` missing?",
        ),
        ("'yes'", "plugin_failed", "returned the text \"yes\", where true or false is needed"),
        ("[]", "plugin_failed", "returned a list, where true or false is needed"),
        ("fetch('https://example.org')", "plugin_failed", "ReferenceError: fetch is not defined (line 6)"),
        ("data = 1; total = 2", "plugin_failed", "ReferenceError: total is not defined"),
    ] {
        let wrong = server.deploy(&named("wrong", source)).await;
        for _ in 0..2 {
            let (status, entry) = send(&server, &wrong, &json!({ "total": 1 })).await;
            assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR, "{source}");
            assert_eq!((text(&entry["verdict"]), text(&entry["plugins"][0]["failure"])), ("failed", code), "{source}");
            assert!(text(&entry["reason"]).contains(sentence), "{source}: {entry}");
            let (status, _) = send(&server, &url, &json!({ "total": 101 })).await;
            assert_eq!(status, StatusCode::ACCEPTED, "the next callback works after {source}");
        }
    }
}

/// What a script says of its decision stands in the record, in whichever way it decides.
#[tokio::test]
async fn a_script_says_why_it_decides_so() {
    let server = server().await;
    let body = &json!({ "total": 7 });
    let url = server.deploy(&when("return { holds: data.total >= 10, reason: `the total is ${data.total}` }")).await;
    let (status, entry) = send(&server, &url, body).await;
    assert_eq!((status, text(&entry["reason"])), (StatusCode::NO_CONTENT, "the script says false: the total is 7"));
    let (status, entry) = send(&server, &url, &json!({ "total": 10 })).await;
    assert_eq!((status, text(&entry["reason"])), (StatusCode::ACCEPTED, "the script says true: the total is 10"));
    for (source, said) in [
        ("({ holds: true })", "the script says true"),
        ("({ holds: true, reason: undefined })", "the script says true"),
        ("({ holds: true, reason: 'two\\nlines\\u0000' })", "the script says true: two lines "),
    ] {
        let url = server.deploy(&named("fine", source)).await;
        let (status, entry) = send(&server, &url, body).await;
        assert_eq!((status, text(&entry["reason"])), (StatusCode::ACCEPTED, said), "{source}");
    }
    for (source, sentence) in [
        ("({ holds: 1 })", "returned an object, where true or false is needed, or { holds, reason }"),
        ("({ reason: 'no' })", "returned an object, where true or false is needed, or { holds, reason }"),
        ("({ holds: true, why: 'so' })", "a decision has no `why`; it may have holds, reason"),
        ("({ holds: true, reason: 1 })", "`reason` is the number 1, not a text"),
    ] {
        let url = server.deploy(&named("wrong", source)).await;
        let (status, entry) = send(&server, &url, body).await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR, "{source}");
        assert!(text(&entry["reason"]).contains(sentence), "{source}: {entry}");
    }
}

/// A script that is called often has been read before its calls, as its metric says; one that is not takes no memory.
#[tokio::test]
async fn scripts_that_are_called_often_are_read_ahead() {
    let directory = tempfile::tempdir().unwrap();
    let process = crate::process::Server::new(&directory.path().join("data")).start();
    let token = std::fs::read_to_string(directory.path().join("data/admin-token")).unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let deploy = async |flow: &str, source: &str| {
        let put = client.put(format!("{}/v1/flows/{flow}", process.admin)).bearer_auth(&token);
        let put = put.header("content-type", "application/yaml").body(named(flow, source));
        let body: Value = put.send().await.unwrap().json().await.unwrap();
        text(&body["triggers"][0]["urls"]["default"]["native"]).to_owned()
    };
    let (often, once) = (deploy("often", "data.n > 1").await, deploy("once", "data.n > 2").await);
    let call = async |url: &str, n: u32| client.post(url).json(&json!({ "n": n })).send().await.unwrap().status();
    let images = async || {
        let text = client.get(format!("{}/metrics", process.admin)).send().await.unwrap().text().await.unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("ringback_script_images "));
        line.unwrap_or_else(|| panic!("{text}")).parse::<u64>().unwrap()
    };
    assert_eq!((call(&once, 2).await, images().await), (StatusCode::NO_CONTENT, 0));
    for calls in 1.. {
        assert_eq!(call(&often, 2).await, StatusCode::ACCEPTED);
        if images().await == 1 {
            break;
        }
        assert!(calls < 500, "it was not read");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!((call(&often, 1).await, call(&often, 2).await), (StatusCode::NO_CONTENT, StatusCode::ACCEPTED));
    assert_eq!((call(&once, 3).await, images().await), (StatusCode::ACCEPTED, 1));
}

/// One that is called often has been read before: it is only faster. What one call leaves in the memory, no other finds.
#[tokio::test]
async fn a_script_that_is_called_often_is_read_once() {
    let server = server().await;
    let source = "globalThis.count = (globalThis.count ?? 0) + 1\nObject.prototype.left = JSON.parse = count\n\
                  const { n } = data\nif (n === 'loop') for (;;);\nif (n === 'full') for (const all = []; ;) all.push('x'.repeat(999))\n\
                  if (n === 'deep') return (function f() { return f() + 1 })()\n\
                  console.log(fields.twice, execution?.id)\n\
                  return { holds: n > 1, reason: `${count} ${{}.left} ${Math.random()} ${Date.now() > 1.7e12} ${n.a.b}` }";
    let source = source.replace("execution?.id", "typeof execution").replace("${n.a.b}", "${n.toFixed(1)}");
    let url = server
        .deploy(&when(&source).replace("    when:", "    fields: { twice: { script: data.n } }\n    when:"))
        .await;
    let other = server.deploy(&named("other", "data.n === 1")).await;
    let mut said = Vec::new();
    for ahead in [false, true] {
        for _ in 0..if ahead { 30 } else { 0 } {
            assert_eq!(server.post(&url, &json!({ "n": 2 })).await.status(), StatusCode::ACCEPTED);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let (status, entry) = send(&server, &url, &json!({ "n": 1 })).await;
        assert_eq!(status, StatusCode::NO_CONTENT, "{entry}");
        let reason = text(&entry["reason"]).strip_prefix("the script says false: ").unwrap().to_owned();
        let parts: Vec<&str> = reason.split(' ').collect();
        assert_eq!((parts[0], parts[1], parts[3], parts[4]), ("1", "1", "true", "1.0"), "{reason}");
        assert!(!said.contains(&parts[2].to_owned()), "{reason}");
        said.push(parts[2].to_owned());
        assert_eq!(entry["plugins"][0]["log"], json!(["info: 1 undefined"]), "{entry}");
        for (n, failure, sentence) in [
            ("loop", "plugin_out_of_time", "200 ms of CPU time"),
            ("full", "plugin_out_of_memory", "16777216 bytes"),
            ("deep", "plugin_failed", "RangeError: Maximum call stack size exceeded"),
            ("text", "plugin_failed", "TypeError: not a function (line 14)"),
        ] {
            let (status, entry) = send(&server, &url, &json!({ "n": n })).await;
            assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR, "{entry}");
            assert_eq!(entry["plugins"][0]["failure"], failure, "{entry}");
            assert!(text(&entry["reason"]).contains(sentence), "{sentence}: {entry}");
        }
        assert_eq!(server.post(&other, &json!({ "n": 1 })).await.status(), StatusCode::ACCEPTED);
    }
    for _ in 0..2 {
        server.post(&url, &json!({ "n": "loop" })).await;
    }
    assert_eq!(server.post(&url, &json!({ "n": 2 })).await.headers()["ringback-outcome"], "kept", "it rests");
}

/// However a script recurses, it gets an error of its own, which it could catch: the body of a callback that nests deeply lets nobody rest.
#[tokio::test]
async fn whatever_recurses_gets_an_error() {
    let server = server().await;
    let good = server.deploy(&when("true")).await;
    for source in [
        "return JSON.parse('['.repeat(100000)) === 1",
        "return JSON.parse('{\"a\":'.repeat(100000)) === 1",
        "let a = {};\nfor (let i = 0; i < 5000; i++) a = { toString: () => `${a}` };\nreturn `${a}` === ''",
        "const o = { get x() { return this.x } }; return o.x",
        "const o = { valueOf() { return +this } }; return +o === 1",
        "const p = new Proxy({}, { get: (t, k, r) => r[k] });\nreturn p.x",
        "return [1, 2].sort(function f() { return [1, 2].sort(f) })",
        "const f = () => [1].map(f); return f()",
        "const f = () => 'a'.replace(/a/, f); return f()",
        "class A { constructor() { new A() } } return new A()",
        "return [...(function* g() { yield* g() })()]",
        "return eval('('.repeat(20000) + '1' + ')'.repeat(20000))",
        "return eval('['.repeat(20000) + ']'.repeat(20000))",
        "return eval('!'.repeat(20000) + '1')",
        "return eval('(function () {'.repeat(20000))",
        "return eval('x=>'.repeat(20000) + '1')",
        "return eval('`${'.repeat(20000))",
    ] {
        let caught =
            format!("try {{ (() => {{ {source} }})() }} catch (error) {{ return error instanceof RangeError }}");
        let url = server.deploy(&named("caught", &caught)).await;
        let (status, entry) = send(&server, &url, &json!({})).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{source}: {entry}");
        let url = server.deploy(&named("deep", source)).await;
        let (status, entry) = send(&server, &url, &json!({})).await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR, "{source}: {entry}");
        assert!(text(&entry["reason"]).contains("RangeError: Maximum call stack size exceeded"), "{source}: {entry}");
        assert_eq!(send(&server, &good, &json!({})).await.0, StatusCode::ACCEPTED, "after {source}");
    }
    for source in [
        "let a = [];\nfor (let i = 0; i < 50000; i++) a = [a];\nreturn JSON.stringify(a) === ''",
        "return new RegExp('('.repeat(200) + 'a' + ')'.repeat(200)).test('b') && eval('('.repeat(20000))",
    ] {
        let url = server.deploy(&named("deep", source)).await;
        let (status, entry) = send(&server, &url, &json!({})).await;
        let failure = text(&entry["plugins"][0]["failure"]).to_owned();
        let is_told = failure != "plugin_trapped" || text(&entry["reason"]).contains("nest too deeply");
        let is_ended = status == StatusCode::NO_CONTENT
            || ["plugin_failed", "plugin_trapped", "plugin_out_of_time"].contains(&&*failure);
        assert!(is_ended && is_told, "{source}: {entry}");
        assert_eq!(send(&server, &good, &json!({})).await.0, StatusCode::ACCEPTED, "after {source}");
    }
    // What a caller sends is no fault of the script that reads it.
    let parse = "flow: reads\nsteps:\n  - trigger: Hook\n    parse: { script: JSON.parse(callback.body) }\n";
    let url = server.deploy(parse).await;
    for _ in 0..6 {
        let response = server.call(Method::POST, &url).body("[".repeat(50_000)).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::UNPROCESSABLE_ENTITY);
    }
    let response = server.call(Method::POST, &url).body("[1]").send().await.unwrap();
    assert_eq!(response.status(), StatusCode::ACCEPTED);
}

/// Whatever is logged, a line is there and the script goes on.
#[tokio::test]
async fn whatever_is_logged_the_script_goes_on() {
    let server = server().await;
    let hidden = "info: (a value that cannot be shown)";
    let deep = "info: (a value that contains itself, or nests too deeply to be shown)";
    for (source, line) in [
        ("console.log(new Proxy({}, { get() { throw 1 }, ownKeys() { throw 2 } }))", hidden),
        ("console.log({ toJSON() { throw 1 }, toString() { throw 2 } })", hidden),
        ("const { proxy, revoke } = Proxy.revocable({}, {}); revoke(); console.log(proxy)", hidden),
        ("let a = [];\nfor (let i = 0; i < 5000; i++) a = [a];\nconsole.log(a)", deep),
        ("const a = {}; a.a = a; console.log(a)", deep),
        ("const a = {}; a.b = [{ a, c: a }, a]; console.log(a)", deep),
        ("const e = new Error(); Object.defineProperty(e, 'message', { get() { throw 1 } }); console.log(e)", hidden),
        ("console.log(Object.create(null), Symbol('s'), 10n, undefined)", "info: {} Symbol(s) 10 undefined"),
        ("console.warn({ a: [1, { b: null }] }, 'text')", "warn: {\"a\":[1,{\"b\":null}]} text"),
    ] {
        let url = server.deploy(&named("logs", &format!("{source}\nreturn true"))).await;
        let (status, entry) = send(&server, &url, &json!({})).await;
        assert_eq!((status, &entry["plugins"][0]["log"]), (StatusCode::ACCEPTED, &json!([line])), "{source}: {entry}");
    }
    let url = server.deploy(&named("logs", "console.log('x'.repeat(3e6))\nreturn true")).await;
    let (status, entry) = send(&server, &url, &json!({})).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{entry}");
    let url = server.deploy(&named("says", "({ holds: true, reason: 'x'.repeat(3e6) })")).await;
    let (status, entry) = send(&server, &url, &json!({})).await;
    assert_eq!((status, text(&entry["reason"]).len() < 1200), (StatusCode::ACCEPTED, true), "{entry}");
}

/// A result that is too large is told so, with how large it may be.
#[tokio::test]
async fn a_result_that_is_too_large_is_told_so() {
    let server = server().await;
    for megabytes in [2, 5] {
        let url = server
            .deploy(&format!(
                "flow: large\nsteps:\n  - trigger: Hook\n    mode: sync\n    reply: {{ script: \"({{ text: 'x'.repeat({megabytes}e6) }})\" }}\n"
            ))
            .await;
        let response = server.post(&url, &json!({})).await;
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let record = server.callback(&response).await.to_string();
        assert!(record.contains("1048576") && !record.contains("fuel"), "{record}");
    }
}

#[tokio::test]
async fn mistakes_are_told_at_deployment_with_their_place_in_the_file() {
    let server = server().await;
    for (script, line, column, detail) in [
        ("script: |\n        const a = 1;\n        return a b;\n", 7, 18, "expecting ';'"),
        ("script: |\n        return [1, 2\n", 6, 21, "the script ends too early"),
        ("script: |\n        import x from 'y';\n        return x\n", 6, 16, "imports and exports nothing"),
        ("script: data.total >> > 1", 5, 30, ""),
        ("script: 'data..total'", 5, 21, "expecting field name"),
        // The engine says no column of what is wrong in an expression of this kind.
        ("script: '/(/.test(data)'", 5, 16, "expecting ')'"),
        ("script: '1); }); (function () { return (2'", 5, 16, ""),
        ("script: |\n        }); (() => {\n        return 5\n", 6, 9, ""),
        ("script: \"data\\\n          ..total\"", 5, 15, "of the script)"),
        ("script: ''", 5, 15, "the script is empty"),
        ("script: 5", 5, 15, "expected a text"),
        ("{ script: 'true', lang: lua }", 5, 31, "allowed: js"),
        ("{ script: 'true', with: 1 }", 5, 25, "a script has no `with`"),
        ("{ script: 'true', plugin: p }", 5, 9, ""),
    ] {
        let source = format!("flow: test\nsteps:\n  - trigger: Hook\n    when:\n      {script}");
        let found = mistakes(&server, &source).await;
        let first = &found[0];
        assert!(text(&first["detail"]).contains(detail), "{source}\n{found}");
        if !detail.is_empty() {
            assert_eq!((&first["line"], &first["column"]), (&json!(line), &json!(column)), "{source}\n{found}");
        }
        assert!(text(&first["path"]).starts_with("steps[0].when"), "{found}");
    }
    let long = format!("return '{}' === ''", "x".repeat(33_000));
    let found = mistakes(&server, &when(&long)).await;
    assert!(text(&found[0]["detail"]).contains("more than 32768: what is longer is better a plugin"), "{found}");
    let (status, _) = server.try_deploy(&when("true")).await;
    assert_eq!(status, StatusCode::CREATED);
}

#[tokio::test]
async fn a_script_sees_what_an_expression_sees_and_its_call_has_a_clock_dice_and_a_log() {
    let server = server().await;
    let source = "flow: test\nsteps:\n  - trigger: Hook\n    fields: { total: $.order.total }\n    when:\n      script: |\n        \
        console.log('seen', data, [1])\n        console.warn(typeof execution, typeof process, typeof crypto)\n        \
        const user = callback.headers['x-user']\n        return fields.total === 12.5 && user === 'ann' && flow.name === 'test' &&\n          \
        environment.name === 'default' && callback.method === 'POST' && typeof triggers === 'undefined'\n  \
        - script: |\n      const { order } = data\n      return { sum: order.total * 2, at: Date.now(), dice: Math.random(), id: execution.id }\n    as: doubled\n  \
        - script: '({ text: `${doubled.sum}`, is: triggers.Hook.fields.total })'\n    as: shown\n";
    let url = server.deploy(source).await;
    let mut seen = Vec::new();
    for _ in 0..2 {
        let order = json!({ "order": { "total": 12.5 }, "__proto__": { "polluted": true }, "constructor": 1 });
        let response = server.call(Method::POST, &url).header("x-user", "ann").json(&order).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::ACCEPTED, "{:?}", server.callback(&response).await);
        let record = server.callback(&response).await;
        let entries = record["trace"].as_array().unwrap();
        let condition = entries.iter().find(|entry| entry["stage"] == "condition").unwrap();
        let log = condition["plugins"][0]["log"].to_string();
        assert!(log.contains("seen {") && log.contains("[1]"), "{log}");
        assert!(log.contains("undefined undefined undefined"), "{log}");
        let execution = server.ended(text(&record["execution"])).await;
        let results = execution["journal"].to_string();
        assert!(results.contains("\"sum\":25") && results.contains("\"text\":\"25\",\"is\":12.5"), "{results}");
        let dice = results.split("\"dice\":").nth(1).and_then(|rest| rest.split([',', '}']).next()).unwrap();
        seen.push(dice.parse::<f64>().unwrap());
        let at = results.split("\"at\":").find_map(|rest| rest.split([',', '}']).next()?.parse::<u64>().ok()).unwrap();
        assert!(at > 1_700_000_000_000, "{results}");
    }
    assert!(seen[0] != seen[1] && seen.iter().all(|dice| (0.0..1.0).contains(dice)), "{seen:?}");
}

/// No call leaves anything behind for the next one.
#[tokio::test]
async fn a_call_finds_nothing_of_earlier_ones() {
    let server = server().await;
    let source = "globalThis.count = (globalThis.count ?? 0) + 1\nArray.prototype.evil = 1\nObject.prototype.evil ??= data.n\n\
                  return count === 1 && Object.prototype.evil === data.n";
    let url = server.deploy(&when(source)).await;
    for n in 0..3 {
        let (status, entry) = send(&server, &url, &json!({ "n": n })).await;
        assert_eq!(status, StatusCode::ACCEPTED, "{entry}");
    }
}

#[tokio::test]
async fn scripts_parse_bodies_and_make_answers() {
    let server = server().await;
    let source = "flow: test\nsteps:\n  - trigger: Hook\n    parse:\n      script: |\n        \
        const [sku, count] = callback.body.trim().split(';')\n        if (!count) throw new Error('no count')\n        \
        return { sku, count: Number(count) }\n    when: \"data.count > 1\"\n    reply:\n      \
        script: '({ status: 201, headers: { \"x-sku\": data.sku }, json: { got: data.count } })'\n";
    let url = server.deploy(source).await;
    let post = async |body: &'static str| server.call(Method::POST, &url).body(body).send().await.unwrap();
    let response = post("a-1;3\n").await;
    assert_eq!((response.status(), &response.headers()["x-sku"]), (StatusCode::CREATED, &"a-1".parse().unwrap()));
    assert_eq!(response.headers()["content-type"], "application/json");
    assert_eq!(response.json::<Value>().await.unwrap(), json!({ "got": 3 }));
    let response = post("a-1").await;
    assert_eq!(response.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let record = server.callback(&response).await;
    assert!(record["trace"].to_string().contains("Error: no count (line 7)"), "{record}");

    // How deep and how large data is, its sender says: that is no fault of the parser, which never rests for it.
    let source = "flow: deep\nsteps:\n  - trigger: Hook\n    parse: { script: 'JSON.parse(callback.body)' }\n";
    let url = server.deploy(source).await;
    for _ in 0..7 {
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        let response = server.call(Method::POST, &url).body(deep).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::UNPROCESSABLE_ENTITY);
        let record = server.callback(&response).await;
        assert!(record.to_string().contains("nested deeper than 128"), "{record}");
    }
    let response = server.call(Method::POST, &url).body("{}").send().await.unwrap();
    assert_eq!(response.status(), StatusCode::ACCEPTED, "the next callback works");

    // More than is taken over from a call at all.
    let source = "flow: large\nsteps:\n  - trigger: Hook\n    parse: { script: '({ x: `x`.repeat(JSON.parse(callback.body).n) })' }\n";
    let url = server.deploy(source).await;
    for _ in 0..7 {
        let response = server.post(&url, &json!({ "n": 3_000_000 })).await;
        assert_eq!(response.status(), StatusCode::UNPROCESSABLE_ENTITY);
        let record = server.callback(&response).await;
        assert!(record.to_string().contains("the data has more than 1048576 bytes"), "{record}");
    }
    assert_eq!(server.post(&url, &json!({ "n": 3 })).await.status(), StatusCode::ACCEPTED, "it does not rest");

    for (members, sentence) in [
        ("script: '{}', status: 200", "with `script`, the script decides about `status`"),
        ("script: '{}', with: {}", "with `script`, the script decides about `with`"),
        ("script: '{}', plugin: p", "with `plugin`, the plugin decides about `script`"),
    ] {
        let source = format!("flow: both\nsteps:\n  - trigger: Hook\n    mode: sync\n  - respond: {{ {members} }}\n");
        let found = mistakes(&server, &source).await;
        assert!(found.to_string().contains(sentence), "{found}");
    }
    for (reply, sentence) in [
        ("'text'", "where an answer is needed: an object with status, headers, json, text"),
        ("{ body: 1 }", "an answer has no `body`"),
        ("{ status: 99 }", "the status is the number 99, not a whole number from 200 to 599"),
        ("{ headers: { a: {} } }", "the header `a` is an object, not a text"),
        ("{ headers: { 'set-cookie': 'a' } }", "the host's to set"),
        ("{ json: 1, text: 'a' }", "either `json` or `text`"),
        ("undefined", "returned nothing, where an answer is needed"),
    ] {
        let source = format!("flow: reply\nsteps:\n  - trigger: Hook\n    reply: {{ script: \"{reply}\" }}\n");
        let url = server.deploy(&source).await;
        let response = server.post(&url, &json!({})).await;
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR, "{reply}");
        let record = server.callback(&response).await;
        assert!(record.to_string().contains(sentence), "{reply}: {record}");
    }
}

/// A verifier sees the raw bytes and what others do not, and asks about secrets by name.
#[tokio::test]
async fn a_script_verifies_callers_without_seeing_a_secret() {
    let server = server().await;
    server.set_secret("SHOP", "key").await;
    let source = "flow: test\nsteps:\n  - trigger: Hook\n    verify:\n      script: |\n        \
        const { headers } = callback\n        if (headers['x-test'] === 'bytes') return callback.bytes.length === 5 && callback.body === null\n        \
        if (headers.authorization === 'Bearer test') return secrets.equals('SHOP', headers['x-key'])\n        \
        return secrets.verifyHmac('SHOP', { message: [headers['x-time'], '.', secrets.BODY], hex: headers['x-signature'] })\n          \
          ? accept({ deliveryId: headers['x-id'], subject: 'the shop' })\n          : reject('the signature is wrong')\n    \
        parse: text\n";
    let url = server.deploy(source).await;
    let send = async |headers: &[(&'static str, &str)], body: &'static [u8]| {
        let request = server.call(Method::POST, &url).body(body);
        let response = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let response = response.send().await.unwrap();
        (response.status(), server.callback(&response).await.to_string())
    };
    let signature = |message: &str| {
        use aws_lc_rs::hmac;
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, b"key"), message.as_bytes());
        tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let right = signature("7.hello");
    for headers in [
        vec![],
        vec![("x-time", "7")],
        vec![("x-time", "7"), ("x-signature", "zz")],
        vec![("x-time", "8"), ("x-signature", &right)],
        vec![("authorization", "Bearer test"), ("x-key", "yek")],
        vec![("authorization", "Bearer test")],
    ] {
        let (status, record) = send(&headers, b"hello").await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{headers:?}: {record}");
        assert!(record.contains("the script rejected it: "), "{record}");
    }
    let (status, record) = send(&[("x-time", "7"), ("x-signature", &right), ("x-id", "1")], b"hello").await;
    assert_eq!(status, StatusCode::ACCEPTED, "{record}");
    assert!(record.contains("the script accepted it from the shop"), "{record}");
    let (_, again) = send(&[("x-time", "7"), ("x-signature", &right), ("x-id", "1")], b"hello").await;
    assert_eq!(again, record, "its delivery id counts");
    assert_eq!(send(&[("authorization", "Bearer test"), ("x-key", "key")], b"hello").await.0, StatusCode::ACCEPTED);
    let (_, record) = send(&[("x-test", "bytes")], b"\xff\xfeabc").await;
    assert!(
        record.contains("the script accepted it"),
        "it has seen the bytes, and the text is refused later: {record}"
    );

    for (script, code, sentence) in [
        ("while (true) {}", "plugin_out_of_time", "200 ms of CPU time"),
        ("throw new Error('no')", "plugin_failed", "Error: no (line"),
        ("undefined", "plugin_failed", "returned nothing, where true or false is needed"),
        (
            "callback.headers['x-token']",
            "plugin_failed",
            "the script returned the text \"abc\", where true, false, accept",
        ),
        ("({ accepted: 'yes' })", "plugin_failed", "the script returned an object, where true"),
        ("(async () => true)()", "plugin_failed", "returned a promise, which nobody waits for"),
        ("secrets.equals('GONE', 'x')", "plugin_failed", "unknown-secret"),
        ("secrets.verifyHmac('SHOP', { hex: 5 })", "plugin_failed", "TypeError: `hex` is the number 5"),
        ("secrets.verifyHmac('SHOP', { sha256: 'x' })", "plugin_failed", "verifyHmac has no `sha256`"),
        ("data.total > 1", "plugin_failed", "data is not defined"),
    ] {
        let source =
            format!("flow: wrong\nsteps:\n  - trigger: Hook\n    verify:\n      script: |\n        {script}\n");
        let url = server.deploy(&source).await;
        let response = server.call(Method::POST, &url).header("x-token", "abc").body("{}").send().await.unwrap();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR, "{script}");
        let record = server.callback(&response).await;
        let entry = record["trace"].as_array().unwrap().iter().find(|entry| entry["stage"] == "verify").unwrap();
        assert_eq!(entry["plugins"][0]["failure"], code, "{script}: {record}");
        assert!(text(&entry["reason"]).contains(sentence), "{script}: {record}");
    }
    assert_eq!(send(&[("authorization", "Bearer test"), ("x-key", "key")], b"hello").await.0, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn scripts_make_fields_and_values_that_later_ones_see() {
    let server = server().await;
    let source = "flow: test\nsteps:\n  - trigger: Hook\n    fields:\n      first: $.items[0].price\n      \
        total: { script: 'data.items.reduce((sum, item) => sum + item.price, 0)' }\n      \
        more: { script: 'fields.total + fields.first', lang: js }\n    when: fields.more > 5\n  - set:\n      \
        greeting: 'sum ${{ fields.total }}'\n      long: { script: 'greeting.toUpperCase() + triggers.Hook.fields.more' }\n      \
        both: '${{ long }}!'\n      plain: { script: 5, other: 1 }\n      last: { script: '[long, both, plain.other]' }\n  \
        - set: { only: { script: 'last.length' } }\n";
    let url = server.deploy(source).await;
    let response = server.post(&url, &json!({ "items": [{ "price": 2 }, { "price": 3.5 }] })).await;
    let record = server.callback(&response).await;
    assert_eq!(response.status(), StatusCode::ACCEPTED, "{record}");
    let execution = server.ended(text(&record["execution"])).await;
    let journal = execution["journal"].to_string();
    assert_eq!(execution["status"], "completed", "{execution}");
    for kept in
        ["\"SUM 5.57.5\"", "\"SUM 5.57.5!\"", "[\"SUM 5.57.5\",\"SUM 5.57.5!\",1]", "\"name\":\"only\",\"result\":3"]
    {
        assert!(journal.contains(kept), "{kept}: {journal}");
    }
    assert!(journal.contains("steps[1].set.long") && journal.contains("steps[2]"), "{journal}");
    assert_eq!(server.post(&url, &json!({ "items": [{ "price": 1 }] })).await.status(), StatusCode::NO_CONTENT);

    for (script, sentence) in [
        ("while (true) {}", "ms of CPU time"),
        ("throw new Error('no')", "Error: no (line"),
        ("undefined", "the script returned nothing"),
        ("(async () => 1)()", "returned a promise"),
        ("(() => 1)", "which is no JSON: is it to be called?"),
    ] {
        let source = format!(
            "flow: wrong\nsteps:\n  - trigger: Hook\n    fields:\n      x:\n        script: |\n          {script}\n"
        );
        let url = server.deploy(&source).await;
        let (status, record) = judged(&server, &url, &json!({})).await;
        assert!(!status.is_success(), "{script}");
        assert!(record["trace"].to_string().contains(sentence), "{script}: {record}");
        let source = format!(
            "flow: wrong\nsteps:\n  - trigger: Hook\n  - set:\n      x:\n        script: |\n          {script}\n"
        );
        let url = server.deploy(&source).await;
        let response = server.post(&url, &json!({})).await;
        let execution = server.ended(text(&server.callback(&response).await["execution"])).await;
        assert_eq!(execution["status"], "failed", "{execution}");
        assert!(execution["error"].to_string().contains(sentence), "{script}: {execution}");
    }
    for (script, line, column, detail) in [
        ("verify: { script: 'true false' }", 4, 29, "expecting ';'"),
        ("fields: { a: { script: 'data..x' } }", 4, 34, "expecting field name"),
        ("fields: { a: { script: 'data.x', header: x } }", 4, 38, ""),
    ] {
        let found = mistakes(&server, &format!("flow: test\nsteps:\n  - trigger: Hook\n    {script}\n")).await;
        assert!(text(&found[0]["detail"]).contains(detail), "{found}");
        assert_eq!((&found[0]["line"], &found[0]["column"]), (&json!(line), &json!(column)), "{script}: {found}");
    }
    let found = mistakes(&server, "flow: test\nsteps:\n  - trigger: Hook\n  - set: { a: { script: 'b c' } }\n").await;
    assert_eq!(found[0]["line"], 4, "{found}");
}

/// What is easily written, and the engine has no good words for.
#[tokio::test]
async fn mistakes_have_sentences_of_their_own_also_beside_others() {
    let server = server().await;
    for (script, line, said) in [
        ("const x = await fetch('y')\nreturn x", 6, "there is no `await`: a script computes"),
        (
            &*format!("return {}1{}", "(".repeat(5000), ")".repeat(5000)),
            6,
            "the script is nested too deeply to be read",
        ),
        ("const a = 1\nretrun a", 7, "`retrun` is no word of JavaScript: is `return` meant?"),
        ("const a = ${{ data.total }}\nreturn a", 6, "`${{ … }}` is for the texts of a flow file"),
    ] {
        let found = mistakes(&server, &when(script)).await;
        assert!(text(&found[0]["detail"]).contains(said), "{script}: {found}");
        assert_eq!(found[0]["line"], line, "{found}");
        // Everything that is wrong is told at once.
        let source = when(script) + "    modus: sync\n  - delay: yes\n";
        let found = mistakes(&server, &source).await;
        assert!(found.as_array().unwrap().len() == 3 && found.to_string().contains(said), "{found}");
    }
    let source = "flow: test\nsteps:\n  - trigger: Hook\n  - set: { JSON: [1] }\n  - script: 'JSON.stringify(triggers.Hook.data)'\n    as: x\n";
    let url = server.deploy(source).await;
    let response = server.post(&url, &json!({ "a": 1 })).await;
    let execution = server.ended(text(&server.callback(&response).await["execution"])).await;
    assert_eq!(execution["status"], "completed", "a result hides nothing of the language: {execution}");
}

/// One that fails again and again rests, and the others do not: those of its workspace no more than a neighbour's.
#[tokio::test]
async fn a_script_that_rests_is_in_the_way_of_no_other() {
    let server = server().await;
    let bad = server.deploy(&named("bad", "while (true) {}")).await;
    let good = server.deploy(&named("good", "data.n === 1")).await;
    let same = server.deploy(&named("same", "while (data.n !== 1) {}\nreturn true")).await;
    let bad_too = server.deploy(&named("bad-too", "while (data.n !== 1) {}\nreturn true")).await;
    let (status, _) = send(&server, &bad, &json!({})).await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    let list = server.get("/v1/callbacks?outcome=failed").await;
    let replay = format!("/v1/callbacks/{}/replay?dry_run=true", text(&list["items"][0]["id"]));
    for _ in 0..6 {
        let tried = server.api(Method::POST, &replay).send().await.unwrap();
        assert!(tried.status().is_success(), "{}", tried.text().await.unwrap());
    }
    for _ in 0..4 {
        let (status, _) = send(&server, &bad, &json!({})).await;
        assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR, "to try it out has changed nothing");
    }
    assert_eq!(server.post(&bad, &json!({})).await.headers()["ringback-outcome"], "kept", "it rests");
    let tried = server.api(Method::POST, &replay).send().await.unwrap();
    assert_eq!(tried.json::<Value>().await.unwrap()["outcome"], "kept", "as a real one would be");
    for _ in 0..5 {
        server.post(&bad_too, &json!({})).await;
    }
    assert_eq!(server.post(&bad_too, &json!({ "n": 1 })).await.headers()["ringback-outcome"], "kept", "it rests");
    assert_eq!(
        send(&server, &same, &json!({ "n": 1 })).await.0,
        StatusCode::ACCEPTED,
        "another flow has the same text"
    );
    let (status, entry) = send(&server, &good, &json!({ "n": 1 })).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{entry}");
}

/// A plugin of this name is another one, and stays what it is.
#[tokio::test]
async fn a_plugin_may_be_called_script() {
    let server = server().await;
    let (status, answer) = server.upload("script", crate::support::plugin("field-match")).await;
    assert_eq!(status, StatusCode::CREATED, "{answer}");
    let url = server.deploy(&when("data.n === 1")).await;
    assert_eq!(send(&server, &url, &json!({ "n": 1 })).await.0, StatusCode::ACCEPTED);
    let response = server.api(Method::DELETE, "/v1/plugins/script").send().await.unwrap();
    assert!(response.status().is_success(), "no flow needs it: {}", response.status());
    assert_eq!(send(&server, &url, &json!({ "n": 1 })).await.0, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn many_scripts_are_deployed_and_found_again_after_a_restart() {
    let server = server().await;
    let mut urls = Vec::new();
    for n in 0..1000 {
        urls.push(server.deploy(&named(&format!("flow-{n}"), &format!("data.n === {n}"))).await);
    }
    let server = server.restart().await;
    for n in [0, 1, 500, 999] {
        let url = server.here(&urls[n]);
        assert_eq!(send(&server, &url, &json!({ "n": n })).await.0, StatusCode::ACCEPTED, "{n}");
        assert_eq!(send(&server, &url, &json!({ "n": n + 1 })).await.0, StatusCode::NO_CONTENT, "{n}");
    }
}

/// The engine that is kept is the one that its sources make, as far as that is seen without the tools that build it.
#[test]
fn the_engine_belongs_to_its_sources() {
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/script");
    let recorded = std::fs::read_to_string(directory.join("engine.sha256")).unwrap();
    let mut files = 0;
    for line in recorded.lines() {
        let (digest, file) = line.split_once("  ").unwrap();
        let found = ringback_records::name::sha256_hex(&std::fs::read(directory.join(file)).unwrap());
        assert_eq!(found, digest, "{file} was changed: build the engine again with plugins/script/build.sh");
        files += 1;
    }
    assert!(files >= 9, "{recorded}");
}

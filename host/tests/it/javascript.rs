//! Plugins that are pushed as JavaScript: what they can do, what each wrong one gets, and that they are kept as others are.

use crate::support::TestServer;
use reqwest::{Method, Response, StatusCode};
use ringback_records::name::sha256_hex;
use serde_json::{Value, json};
use std::time::Duration;

const SHOP: &str = r"
import { Failure, fromUtf8, log } from '@ringback/plugin';

const known = new Set(['EUR', 'USD']);

export function verifier(callback, { config }) {
  const time = callback.header('x-time');
  return secrets.verifyHmac(config.secret, { message: [time, '.', secrets.BODY], hex: callback.header('x-signature') })
    ? accept({ deliveryId: callback.header('x-id'), subject: 'the shop' })
    : reject('the signature is wrong');
}

export function parser(callback) {
  const [sku, total, currency] = fromUtf8(callback.body).trim().split(';');
  if (!known.has(currency)) throw new Failure('unknown-currency', `the currency is ${currency}`);
  return { order: { sku, total: Number(total), currency } };
}

export const condition = (callback, { config, execution }) => {
  console.log('total', callback.data.order.total, execution === undefined, [Math.random(), Date.now() > 1.7e12]);
  log.warn(callback.get('$.order.sku'), callback.method, callback.queryAll('a'), callback.bodySize);
  return callback.data.order.total >= (config.minimum ?? 0);
};

export default {
  step: (execution, { config }) => ({ text: `${config.greeting} ${execution.scope.fields.sku}`, id: execution.id, in: execution.environment }),
  responder: (callback, { execution }) => ({
    status: 201, headers: [['x-sku', execution.get('$.fields.sku')]], json: { got: callback.data.order.total, said: execution.scope.said.text },
  }),
  check(config, { role }) {
    if (role === 'condition' && typeof config.minimum !== 'number') return '`minimum` must be a number';
  },
};
";

fn flow(minimum: &str) -> String {
    format!(
        "flow: orders\nsteps:\n  - trigger: Order\n    mode: sync\n    verify: {{ plugin: shop, with: {{ secret: SHOP }} }}\n    \
         parse: {{ plugin: shop }}\n    fields: {{ sku: $.order.sku }}\n    when: {{ plugin: shop, with: {{ minimum: {minimum} }} }}\n    \
         reply: {{ plugin: shop }}\n  - plugin: shop\n    with: {{ greeting: 'hello' }}\n    as: said\n  - respond: {{ plugin: shop }}\n"
    )
}

fn signature(secret: &str, message: &str) -> String {
    use aws_lc_rs::hmac;
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), message.as_bytes());
    tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn order(server: &TestServer, url: &str, id: &str, body: &'static str) -> Response {
    let signature = signature("key", &format!("7.{body}"));
    let request = server.call(Method::POST, &format!("{url}?a=1&a=2")).header("x-id", id).header("x-time", "7");
    request.header("x-signature", signature).body(body).send().await.unwrap()
}

fn condition(record: &Value) -> Value {
    let entries = record["trace"].as_array().unwrap();
    entries.iter().find(|entry| entry["stage"] == "condition").cloned().unwrap_or_default()
}

async fn pushed(server: &TestServer, name: &str, source: &str) -> Value {
    let (status, version) = server.upload_source(name, source).await;
    assert_eq!(status, StatusCode::CREATED, "{version}\n{source}");
    version
}

fn with_condition(name: &str) -> String {
    format!("flow: {name}\nsteps:\n  - trigger: Hook\n    when: {{ plugin: {name} }}\n")
}

#[tokio::test]
async fn one_file_has_all_roles_and_each_call_has_its_own_time_and_dice() {
    let server = TestServer::start().await;
    server.set_secret("SHOP", "key").await;
    let version = pushed(&server, "shop", SHOP).await;
    assert_eq!(version["language"], "js");
    assert_eq!(version["roles"], json!(["verifier", "parser", "condition", "step", "responder"]));
    assert_eq!(version["digest"], sha256_hex(SHOP.as_bytes()));
    assert_eq!(version["size_bytes"], SHOP.len());
    assert_eq!(server.upload_source("shop", SHOP).await.0, StatusCode::OK, "the same file is the same version");

    let (status, answer) = server.try_deploy(&flow("'ten'")).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(answer.to_string().contains("does not accept this configuration: `minimum` must be a number"), "{answer}");
    let url = server.deploy(&flow("10")).await;

    for (headers, why) in [(vec![], "the signature is wrong"), (vec![("x-time", "7"), ("x-signature", "00")], "wrong")]
    {
        let mut request = server.call(Method::POST, &url).body("a;12.5;EUR");
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert!(server.callback(&response).await.to_string().contains(why));
    }
    let mut dice = Vec::new();
    for id in ["1", "2"] {
        let response = order(&server, &url, id, "a;12.5;EUR").await;
        assert_eq!((response.status(), &response.headers()["x-sku"]), (StatusCode::CREATED, &"a".parse().unwrap()));
        let record = server.callback(&response).await;
        assert_eq!(response.json::<Value>().await.unwrap(), json!({ "got": 12.5, "said": "hello a" }));
        let condition = condition(&record);
        let log = condition["plugins"][0]["log"].to_string();
        assert!(log.contains("total 12.5 true [0.") && log.contains(",true]"), "{log}");
        assert!(log.contains("a POST [\\\"1\\\",\\\"2\\\"] 10"), "{log}");
        dice.push(log);
        assert!(record.to_string().contains("the plugin shop accepted it from the shop"), "{record}");
    }
    assert_ne!(dice[0], dice[1], "the dice fall anew");
    let first = order(&server, &url, "5", "a;12.5;EUR").await.headers()["ringback-callback"].clone();
    let again = order(&server, &url, "5", "a;12.5;EUR").await;
    assert_eq!(again.headers()["ringback-callback"], first, "the plugin's delivery id counts");
    assert_eq!(order(&server, &url, "3", "a;9;EUR").await.status(), StatusCode::NO_CONTENT);
    let response = order(&server, &url, "4", "a;9;ABC").await;
    assert_eq!(response.status(), StatusCode::UNPROCESSABLE_ENTITY);
    let record = server.callback(&response).await;
    assert!(record.to_string().contains("unknown-currency: Failure: the currency is ABC (line 15)"), "{record}");
}

/// Each with its line and column, where it has one.
#[tokio::test]
async fn wrong_files_are_refused_with_what_is_wrong_and_leave_nothing_behind() {
    let server = TestServer::start().await;
    for (source, said) in [
        ("", "the file is empty"),
        (
            "export function condition() {\n  retrun true\n}",
            "line 2, column 10: `retrun` is no word of JavaScript: is `return` meant?",
        ),
        ("export function condition() {\n  return (1\n}", "line 3, column 1: "),
        ("export const condition = () => {", "line 1, column 33: the file ends too early"),
        ("export const condition = () => ${{ data.x }}", "`${{ … }}` is for the texts of a flow file"),
        (
            "import _ from 'lodash'\nexport const condition = () => true",
            "it imports `lodash`, and a plugin in JavaScript is one file",
        ),
        ("import { nothing } from '@ringback/plugin'\nexport const condition = () => nothing", "nothing"),
        (
            "const condition = () => true",
            "the file exports none of verifier, condition, parser, step, responder: write one",
        ),
        ("export const when = () => true", "; it exports when: write one, such as"),
        ("export default () => true", "`export default` is a function, and nothing says what it is for"),
        ("export default 5", "`export default` is the number 5, not an object"),
        ("export const condition = 5", "`condition` is the number 5, not a function"),
        ("export async function condition() { return true }", "`condition` is async, and nobody waits for a promise"),
        (
            "module.exports = { condition() { return true } }",
            "line 1, column 1: module is not defined: a plugin is a module, which says `export function",
        ),
        (
            "const _ = require('lodash'); export const condition = () => true",
            "line 1, column 11: require is not defined: a plugin is a module",
        ),
        (
            "import fs from 'node:fs'; export const condition = () => true",
            "which is built into Node.js and is not there",
        ),
        ("export const conditon = () => true", "; it exports conditon (is `condition` meant?): write one"),
        ("\n\nthrow new Error('no')", "line 3, column "),
        ("throw { a: 1 }", "the file threw an object, which is no Error"),
        ("export default { get condition() { throw 1 } }", "the file threw the number 1, which is no Error"),
        ("export const condition = () => true\0", "line 1, column 36: "),
        ("/(a*)*b/.test('a'.repeat(40))", "it runs longer than 2000 ms of CPU time where it is read"),
        ("JSON.parse('['.repeat(1e5))", "line 1, column 15: Maximum call stack size exceeded"),
        ("export const schema = {}; schema.is = schema\nexport const condition = () => true", "circular reference"),
        ("export const vectors = [1n]\nexport const condition = () => true", "BigInt"),
        ("while (true) {}", "it runs longer than 2000 ms of CPU time where it is read"),
        (
            "const all = []; while (true) all.push('x'.repeat(1000))",
            "it takes more than 16 MiB of memory where it is read",
        ),
        ("const f = (n) => f(n + 1) + 1; f(0)", "Maximum call stack size exceeded"),
        ("await new Promise(() => {})\nexport const condition = () => true", "waits for something that never comes"),
        ("const now = Date.now()\nexport const condition = () => now > 0", "where the file is read there is no time"),
        (
            "const dice = Math.random()\nexport const condition = () => dice > 0",
            "where the file is read there is no time",
        ),
        ("secrets.equals('A', 'b')\nexport const condition = () => true", "where the file is read there is no time"),
        ("export const big = 'x'.repeat(9e6)\nexport const condition = () => true", "has more than 8 MiB"),
    ] {
        let (status, answer) = server.upload_source("wrong", source).await;
        let detail = answer["detail"].as_str().unwrap_or_default();
        assert!(status == StatusCode::UNPROCESSABLE_ENTITY && detail.contains(said), "{source}\n{status} {answer}");
        assert!(!detail.contains('\n') && !detail.contains("ReferenceError"), "{detail}");
    }
    let long = format!("export const condition = () => true // {}", "x".repeat(1 << 20));
    let (status, answer) = server.upload_source("wrong", long).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE, "{answer}");
    let (status, answer) = server.upload_source("wrong", b"export const a = '\xff'".to_vec()).await;
    assert!(
        status == StatusCode::UNPROCESSABLE_ENTITY && answer.to_string().contains("not UTF-8 from byte 18"),
        "{answer}"
    );
    let (status, answer) = server.upload("wrong", b"export const condition = () => true".to_vec()).await;
    assert!(status == StatusCode::UNPROCESSABLE_ENTITY && answer.to_string().contains("text/javascript"), "{answer}");
    assert_eq!(server.get("/v1/plugins").await["items"], json!([]));
    assert_eq!(std::fs::read_dir(server.data().join("plugins")).unwrap().count(), 0);
    let deep = format!("export const condition = () => {}1{}", "(".repeat(100_000), ")".repeat(100_000));
    let (status, answer) = server.upload_source("wrong", deep).await;
    assert!(
        status == StatusCode::UNPROCESSABLE_ENTITY && answer.to_string().contains("Maximum call stack size exceeded"),
        "{answer}"
    );
    pushed(&server, "right", "\u{feff}export const condition = () => true").await;
}

#[tokio::test]
async fn what_goes_wrong_in_a_call_is_told_with_its_line_and_the_next_call_works() {
    let server =
        TestServer::start_with(|config| config.plugin_limits.call.decide_cpu = Duration::from_millis(200)).await;
    pushed(&server, "good", "let count = 0\nexport const condition = () => ++count === 1").await;
    let good = server.deploy(&with_condition("good")).await;
    for (source, code, sentence) in [
        ("while (true) {}", "plugin_out_of_time", "200 ms of CPU time"),
        ("const all = []; while (true) all.push('x'.repeat(1000))", "plugin_out_of_memory", "16777216 bytes"),
        (
            "return callback.data.no.total",
            "plugin_failed",
            "exception: TypeError: cannot read property 'total' of undefined (line 2)",
        ),
        ("throw null", "plugin_failed", "the condition threw null, which is no Error"),
        ("return", "plugin_failed", "the condition returned nothing, where true or false is needed"),
        ("return 1", "plugin_failed", "the condition returned the number 1"),
        ("return Promise.resolve(true)", "plugin_failed", "returned a promise, which nobody waits for"),
        ("return secrets.equals('GONE', 'x')", "plugin_failed", "unknown-secret"),
        (
            "throw Object.defineProperty(new Error(), 'message', { get() { throw 1 } })",
            "plugin_failed",
            "it threw something that cannot be shown",
        ),
        ("return callback.get('$[')", "plugin_failed", "invalid-path"),
    ] {
        let name = format!("bad-{}", code.replace('_', "-"));
        let (status, version) =
            server.upload_source(&name, format!("export function condition(callback) {{\n{source}\n}}")).await;
        assert_eq!(status, StatusCode::CREATED, "{version}");
        let url = server.deploy(&with_condition(&name)).await;
        let response = server.post(&url, &json!({})).await;
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR, "{source}");
        let entry = condition(&server.callback(&response).await);
        assert_eq!(entry["plugins"][0]["failure"], code, "{source}: {entry}");
        assert!(entry["reason"].as_str().unwrap().contains(sentence), "{source}: {entry}");
        assert_eq!(server.post(&good, &json!({})).await.status(), StatusCode::ACCEPTED, "nothing is left of a call");
    }
}

const DESCRIBED: &str = r"
export const schema = {
  condition: { type: 'object', required: ['minimum'], properties: { minimum: { type: 'number' } } },
};
export const condition = (callback, { config: { minimum } }) => {
  const { total } = callback.data;
  return { holds: total >= minimum, reason: `the total is ${total}` };
};
export const step = (execution) => execution.scope.total * 2;
";

/// What it says of itself is held against it when it is pushed, as it is with others.
#[tokio::test]
async fn the_schema_and_the_vectors_of_a_file_are_held_against_it() {
    let server = TestServer::start().await;
    let with_vectors = |vectors: &str| format!("{DESCRIBED}\nexport const vectors = {vectors};\n");
    let small = "name: 'too small', role: 'condition', config: { minimum: 10 }, callback: { body: { total: 9 } }";
    for (vectors, said) in [
        (&*format!("[{{ {small}, expect: {{ holds: true }} }}]"), "too small"),
        (&*format!("[{{ {small}, expect: {{ holds: false, reason: 'is 8' }} }}]"), "is 9"),
        (&*format!("[{{ {small} }}]"), "expect"),
        ("[{ name: 'none', role: 'parser', expect: { data: 1 } }]", "the plugin is no parser"),
        ("1", "`vectors` is the number 1, not a list"),
        ("() => []", "`vectors` is a function, not a list"),
    ] {
        let (status, problem) = server.upload_source("shop", with_vectors(vectors)).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{vectors}: {problem}");
        assert!(problem["detail"].as_str().unwrap().contains(said), "{vectors}: {problem}");
    }
    for (schema, said) in [
        ("{ condition: 1 }", "its schema for a condition"),
        (
            "{ type: 'objekt' }",
            "its schema for a condition is none, at `/type`: there `type` is null, boolean, object,",
        ),
        ("{ properties: { a: { required: 3 } } }", "at `/properties/a/required`: there `required` is a list of names"),
        ("{ items: { minimum: 'a' } }", "at `/items/minimum`: there `minimum` is a number"),
        ("{ anyOf: [] }", "at `/anyOf`: there `anyOf` is a list of schemas, which is not empty"),
        ("[]", "`schema` is a list, not an object"),
        ("() => 1", "`schema` is a function, not an object"),
        ("{ toJSON() { return undefined } }", "`schema` is no JSON"),
    ] {
        let source = format!("export const schema = {schema};\nexport const condition = () => true;\n");
        let (status, problem) = server.upload_source("shop", source).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{schema}: {problem}");
        assert!(problem["detail"].as_str().unwrap().contains(said), "{schema}: {problem}");
    }
    let gone = server.api(Method::GET, "/v1/plugins/shop").send().await.unwrap();
    assert_eq!(gone.status(), StatusCode::NOT_FOUND, "what was refused left nothing behind");

    let vectors = format!(
        "[{{ {small}, expect: {{ holds: false, reason: 'is 9' }} }},
          {{ name: 'twice', role: 'step', execution: {{ scope: {{ total: 4 }} }}, expect: {{ result: 8 }} }}]"
    );
    let version = pushed(&server, "shop", &with_vectors(&vectors)).await;
    assert_eq!(version["vectors"], 2, "{version}");
    let schemas = server.get("/v1/plugins/shop/schemas").await;
    assert_eq!(schemas["condition"]["required"], json!(["minimum"]), "{schemas}");
    assert_eq!(schemas.as_object().unwrap().len(), 1, "{schemas}");
    let flow = |minimum: &str| {
        format!("flow: shop\nsteps:\n  - trigger: Hook\n    when: {{ plugin: shop, with: {{ minimum: {minimum} }} }}\n")
    };
    let (status, problem) = server.try_deploy(&flow("'ten'")).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(problem.to_string().contains("with.minimum"), "{problem}");
    let url = server.deploy(&flow("10")).await;
    let response = server.post(&url, &json!({ "total": 7 })).await;
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
    let entry = condition(&server.callback(&response).await);
    assert_eq!(entry["reason"], "the plugin shop says false: the total is 7", "{entry}");
}

const COUNTS: &str = r#"
import { Failure, http, state } from '@ringback/plugin';

export function condition(callback) {
  const { key, url } = callback.data;
  if (url !== undefined) {
    const answer = http.send(url, { headers: { 'x-a': 'b' }, json: { key } });
    return { holds: answer.ok, reason: `${answer.status} ${answer.header('Content-Type')} ${answer.text.length}` };
  }
  try {
    const count = (state.get(key)?.count ?? 0) + 1;
    state.set(key, { count });
    if (count === 3) state.remove(key);
    return { holds: true, reason: `call ${count}, ${state.getBytes(key)?.length} bytes` };
  } catch (error) {
    return { holds: false, reason: `${error instanceof Failure} ${error.code} ${error.retryable}` };
  }
}

export const vectors = [
  { name: 'counts on', role: 'condition', state: { a: '{"count":7}' }, callback: { body: { key: 'a' } }, expect: { holds: true, reason: 'call 8' } },
  { name: 'its own state', role: 'condition', callback: { body: { key: 'a' } }, expect: { holds: true, reason: 'call 1' } },
  {
    name: 'asks', role: 'condition', callback: { body: { url: 'https://example.test/' } }, expect: { holds: false, reason: '418 text/plain 5' },
    http: [{ url: 'https://example.test/', status: 418, headers: { 'content-type': 'text/plain' }, body: 'short' }],
  },
  { name: 'nobody answers', role: 'condition', callback: { body: { url: 'https://example.test/' } }, expect: { failure: 'host-not-allowed' } },
];
"#;

/// State and requests are there for a file that imports them, as they are for a component, and known of it before it is called; a file
/// that does not cannot have them by any name.
#[tokio::test]
async fn what_leaves_something_behind_is_there_for_who_imports_it() {
    let target = TestServer::start().await;
    let host = target.admin.trim_start_matches("http://").to_owned();
    let server = TestServer::start_with(|config| config.plugin_http_hosts = vec![host]).await;
    let reason = async |url: &str, body: &Value| {
        let response = server.post(url, body).await;
        let entry = condition(&server.callback(&response).await);
        entry["reason"].as_str().unwrap_or_default().to_owned()
    };
    // What none of them leaves behind, all may ask.
    let has = |version: &Value| version["imports"].as_array().unwrap().len() - 4;
    for (source, imports, said) in [
        ("export const condition = () => state.get('a')", 0, "ReferenceError: state is not defined"),
        (
            "import { log as state } from '@ringback/plugin'; export const condition = () => state.get('a')",
            0,
            "not a function",
        ),
        (
            "const { state } = await import('@ringback/plugin'); export const condition = () => state.get('a')",
            0,
            "not-imported: Failure: `state` is there for a file that imports it: `import { state } from",
        ),
        ("import { state } from '@ringback/plugin'; export const condition = () => state.get('')", 1, "too-large"),
        (
            "import { state as s } from '@ringback/plugin'; export const condition = () => s.set('a', () => 1)",
            1,
            "is a function, which is no JSON",
        ),
        (
            "import { state } from '@ringback/plugin'; export const condition = () => state.setBytes('a', 1)",
            1,
            "is the number 1, not a text or a Uint8Array",
        ),
        (
            "import { http } from '@ringback/plugin'; export const condition = () => http.send('http://192.0.2.1/')",
            1,
            "host-not-allowed",
        ),
        (
            "import { http } from '@ringback/plugin'; export const condition = () => http.send('x', { bod: 1 })",
            1,
            "a request has no `bod`",
        ),
        (
            "import * as all from '@ringback/plugin'; export const condition = () => all.http.send('x').ok",
            2,
            "invalid-request",
        ),
    ] {
        let version = pushed(&server, "wrong", source).await;
        assert_eq!(has(&version), imports, "{source}: {version}");
        let said_now = reason(&server.deploy(&with_condition("wrong")).await, &json!({})).await;
        assert!(said_now.contains(said), "{source}: {said_now}");
    }
    let early = "import { state } from '@ringback/plugin'; const a = state.get('a'); export const condition = () => a";
    let (status, problem) = server.upload_source("early", early).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(problem["detail"].as_str().unwrap().contains("no state and no request"), "{problem}");

    let version = pushed(&server, "counts", COUNTS).await;
    let imports =
        ["types", "log", "call", "secrets", "state", "http"].map(|name| format!("ringback:plugin/{name}@1.0.0"));
    assert_eq!(version["imports"], json!(imports), "{version}");
    assert_eq!(version["vectors"], 4, "{version}");
    let url = server.deploy(&with_condition("counts")).await;
    let key = json!({ "key": "k" });
    assert_eq!(reason(&url, &key).await, "the plugin counts says true: call 1, 11 bytes");
    pushed(&server, "counts", &format!("// another version\n{COUNTS}")).await;
    assert_eq!(reason(&url, &key).await, "the plugin counts says true: call 2, 11 bytes");
    assert_eq!(reason(&url, &key).await, "the plugin counts says true: call 3, undefined bytes");
    assert_eq!(reason(&url, &key).await, "the plugin counts says true: call 1, 11 bytes");
    assert_eq!(reason(&url, &json!({ "key": "" })).await, "the plugin counts says false: true too-large false");
    let asked = reason(&url, &json!({ "url": format!("{}/healthz", target.admin) })).await;
    assert!(asked.starts_with("the plugin counts says ") && asked.split(' ').count() > 6, "{asked}");
    let server = server.restart().await;
    let url = server.here(&url);
    let response = server.post(&url, &key).await;
    let entry = condition(&server.callback(&response).await);
    assert_eq!(entry["reason"], "the plugin counts says true: call 2, 11 bytes", "{entry}");
}

/// What is written for the SDK is pushed as it is, be it begun by `plugin new` or an example: its vectors pass, and what it may import
/// and finds around it is there.
#[tokio::test]
async fn what_is_written_for_the_sdk_is_pushed_as_it_is() {
    let server = TestServer::start().await;
    let directory = tempfile::tempdir().unwrap();
    for role in ["verifier", "parser", "condition", "step", "responder"] {
        let mut new = std::process::Command::new(crate::support::BINARY);
        new.args(["plugin", "new", role, "--lang", "js", "--role", role]).current_dir(directory.path());
        assert!(new.output().unwrap().status.success());
        let file = directory.path().join(role).join("plugin.js");
        let version = pushed(&server, role, &std::fs::read_to_string(file).unwrap()).await;
        assert_eq!(version["roles"], json!([role]), "{version}");
    }
    let repository = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let read = |path: &str| std::fs::read_to_string(repository.join(path)).unwrap();
    let version = pushed(&server, "adyen", &read("examples/adyen-notification/plugin.js")).await;
    assert_eq!((&version["roles"], &version["vectors"]), (&json!(["verifier", "parser"]), &json!(8)));

    let index = read("guest-sdk/js/src/index.js");
    let exported = index.lines().filter_map(|line| line.strip_prefix("export ")?.split(" from ").next());
    let names: Vec<&str> = exported.flat_map(|names| names.trim_matches(['*', ' ', '{', '}']).split(", ")).collect();
    let names: Vec<&str> = names.iter().map(|name| name.trim_start_matches("as ").trim()).collect();
    assert!(names.contains(&"state") && names.contains(&"toHex") && names.len() > 12, "{names:?}");
    let source = format!(
        "import {{ {} }} from '@ringback/plugin';\n\
         const bytes = new TextEncoder().encode('\u{feff}é');\n\
         export const condition = () => new TextDecoder('utf-8', {{ fatal: true }}).decode(bytes) === 'é'\n\
         && atob(btoa('a')) === 'a' && crypto.randomUUID() !== crypto.randomUUID()\n\
         && crypto.getRandomValues(new Uint32Array(2)).length === 2\n\
         && Object.keys(secrets).join() === 'BODY,verifyHmac,verifySignature,equals';\n",
        names.join(", ")
    );
    pushed(&server, "all", &source).await;
    let url = server.deploy(&with_condition("all")).await;
    let response = server.post(&url, &json!({})).await;
    assert_eq!(response.status(), StatusCode::ACCEPTED, "{}", condition(&server.callback(&response).await));
}

/// The source is what is kept: it is found again after a restart, and when nothing compiled is there any more.
#[tokio::test]
async fn versions_are_kept_activated_and_removed_as_others_are() {
    let server = TestServer::start().await;
    let source = |value: bool| format!("export const condition = () => {value}");
    pushed(&server, "switch", &source(true)).await;
    let second = pushed(&server, "switch", &source(false)).await;
    let url = server.deploy(&with_condition("switch")).await;
    assert_eq!(server.post(&url, &json!({})).await.status(), StatusCode::NO_CONTENT);
    let server = server.restart().await;
    let url = server.here(&url);
    assert_eq!(server.post(&url, &json!({})).await.status(), StatusCode::NO_CONTENT);
    let body = json!({ "version": 1 });
    let plugin = server.api(Method::PUT, "/v1/plugins/switch/active").json(&body).send().await.unwrap();
    let plugin: Value = plugin.json().await.unwrap();
    assert_eq!((&plugin["active"], &plugin["language"]), (&json!(1), &json!("js")));
    assert_eq!(server.post(&url, &json!({})).await.status(), StatusCode::ACCEPTED);

    let data = server.end().await;
    std::fs::remove_dir_all(data.path().join("cache")).unwrap();
    let server = TestServer::start_in(data, |_| {}).await;
    let url = server.here(&url);
    assert_eq!(server.post(&url, &json!({})).await.status(), StatusCode::ACCEPTED);

    let removed = server.api(Method::DELETE, "/v1/plugins/switch").send().await.unwrap();
    assert_eq!(removed.status(), StatusCode::CONFLICT, "a flow needs it");
    let file = server.data().join(format!("plugins/{}.js", second["digest"].as_str().unwrap()));
    assert!(file.exists());
    assert!(server.api(Method::DELETE, "/v1/flows/switch").send().await.unwrap().status().is_success());
    assert!(server.api(Method::DELETE, "/v1/plugins/switch").send().await.unwrap().status().is_success());
    assert!(!file.exists());
}

//! Bodies as they are sent.

use crate::support::{TestServer, cases, github_signature};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Method, Response};
use serde_json::{Value, json};

/// `{"order":17}`, by Node.js and zstd.
const GZIP: &str = "H4sIAAAAAAAAA6tWyi9KSS1SsjI0rwUAV0YMegwAAAA=";
const DEFLATE: &str = "eJyrVsovSkktUrIyNK8FABs9A/s=";
const BROTLI: &str = "iwWAeyJvcmRlciI6MTd9Aw==";
const ZSTD: &str = "KLUv/SQMYQAAeyJvcmRlciI6MTd9nsO2pg==";
/// A gibibyte of zeros.
const BOMB: &[u8] = include_bytes!("../../crates/rules/src/content/zeros.br");

const OPEN: &str =
    "flow: open\nsteps:\n  - trigger: Hook\n    when: data.order == 17 && callback.body.startsWith('{')\n";
const SIGNED: &str =
    "flow: signed\nsteps:\n  - trigger: Hook\n    verify: { scheme: github, secret: S }\n    when: data.order == 17\n";

fn bytes(encoded: &str) -> Vec<u8> {
    STANDARD.decode(encoded).unwrap()
}

async fn code(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    (status, response.json::<Value>().await.unwrap()["code"].take())
}

#[tokio::test]
async fn what_does_not_expand_is_refused_and_the_next_callback_works() {
    let server = TestServer::start_with(|config| config.body_bytes_max = 1 << 20).await;
    let url = server.deploy(OPEN).await;
    let send = |encoding: &'static str, body: Vec<u8>| {
        let request = server.call(Method::POST, &url).header("content-type", "application/json");
        request.header("content-encoding", encoding).body(body).send()
    };
    let cut = |encoded: &str| bytes(encoded)[..bytes(encoded).len() - 5].to_vec();
    let refused = [
        ("compress", bytes(GZIP), 415, "content_encoding"),
        ("gzip, br", bytes(GZIP), 415, "content_encoding"),
        ("gzip", cut(GZIP), 400, "encoding_cut"),
        ("deflate", cut(DEFLATE), 400, "encoding_cut"),
        ("br", cut(BROTLI), 400, "encoding_cut"),
        ("zstd", cut(ZSTD), 400, "encoding_cut"),
        ("gzip", b"{\"order\":17}".to_vec(), 400, "encoding_damaged"),
        ("zstd", bytes(GZIP), 400, "encoding_damaged"),
        ("br", BOMB.to_vec(), 413, "body_expands_too_much"),
        ("br", vec![0; (1 << 20) + 1], 413, "body_too_large"),
    ];
    cases(refused.len());
    for (encoding, body, status, code_of) in refused {
        let response = send(encoding, body).await.unwrap();
        let record = server.callback(&response).await;
        assert_eq!(code(response).await, (status, json!(code_of)), "{encoding}");
        assert_eq!(record["outcome"], "rejected");
    }
    let bombs = (0..50).map(|_| send("br", BOMB.to_vec()));
    for response in futures_util::future::join_all(bombs).await {
        assert_eq!(response.unwrap().status(), 413);
    }
    for (encoding, body) in [("gzip", GZIP), ("deflate", DEFLATE), ("br", BROTLI), ("zstd", ZSTD)] {
        let response = send(encoding, bytes(body)).await.unwrap();
        assert_eq!(response.status(), 202, "{encoding}");
        let record = server.callback(&response).await;
        assert_eq!(record["outcome"], "started", "{encoding}: {record}");
        assert_eq!((&record["body"], &record["encoded_base64"]), (&json!("{\"order\":17}"), &json!(body)));
        assert_eq!(record["body_bytes"], bytes(body).len());
        let again = server.api(Method::POST, &format!("/v1/callbacks/{}/replay", record["id"].as_str().unwrap()));
        let again = again.send().await.unwrap();
        assert_eq!(again.status(), 200, "{encoding}");
    }
    let response = send("", b"{\"order\":17}".to_vec()).await.unwrap();
    assert_eq!(response.status(), 202, "no encoding");
}

/// The signature is over the bytes as received, which nothing expands before it is right.
#[tokio::test]
async fn what_is_encoded_is_verified_as_it_came() {
    let server = TestServer::start().await;
    server.set_secret("S", "secret").await;
    let url = server.deploy(SIGNED).await;
    let send = |body: Vec<u8>, signature: String| {
        let request = server.call(Method::POST, &url).header("content-encoding", "gzip").body(body);
        request.header("content-type", "application/json").header("x-hub-signature-256", signature).send()
    };
    let encoded = bytes(GZIP);
    for (what, body, signature) in [
        ("over what it becomes", encoded.clone(), github_signature("secret", b"{\"order\":17}")),
        ("of another", encoded.clone(), github_signature("other", &encoded)),
        ("over no gzip", b"x".to_vec(), github_signature("other", b"x")),
    ] {
        let response = send(body, signature).await.unwrap();
        assert_eq!(response.status(), 401, "{what}");
    }
    let response = send(encoded.clone(), github_signature("secret", &encoded)).await.unwrap();
    assert_eq!(response.status(), 202);
    let record = server.callback(&response).await;
    assert_eq!(record["outcome"], "started");
}

/// What takes longer than a few steps goes on elsewhere.
#[tokio::test]
async fn a_large_body_is_expanded_whole() {
    let server = TestServer::start_with(|config| config.body_bytes_max = 4 << 20).await;
    let url = server.deploy("flow: open\nsteps:\n  - trigger: Hook\n    parse: text\n").await;
    // Twenty blocks of zstd, each a byte that is repeated, after so much that means nothing that the ratio is kept.
    let mut body = vec![0x50, 0x2A, 0x4D, 0x18, 0, 0x40, 0, 0];
    body.extend([0; 0x4000]);
    body.extend([0x28, 0xB5, 0x2F, 0xFD, 0, 0x38]);
    for block in 1..=20 {
        let header = (128_u32 << 10) << 3 | 1 << 1 | u32::from(block == 20);
        body.extend_from_slice(&header.to_le_bytes()[..3]);
        body.push(b'a' + block as u8);
    }
    let request =
        server.call(Method::POST, &url).header("content-encoding", "zstd").header("content-type", "text/plain");
    let response = request.body(body).send().await.unwrap();
    assert_eq!(response.status(), 202);
    let record = server.callback(&response).await;
    let text = record["body"].as_str().unwrap();
    assert_eq!(text.len(), 20 * (128 << 10));
    assert!(text.starts_with("bbb") && text.ends_with("uuu"));
}

fn xml<B: Into<reqwest::Body>>(server: &TestServer, url: &str, body: B) -> impl Future<Output = Response> + use<B> {
    let request = server.call(Method::POST, url).header("content-type", "application/xml").body(body);
    async move { request.send().await.unwrap() }
}

#[tokio::test]
async fn w11_xml_becomes_data_or_is_refused_with_a_code_and_the_next_callback_works() {
    let server = TestServer::start_with(|config| config.body_bytes_max = 2 << 20).await;
    let flow = |parse: &str| {
        format!(
            "flow: xml\nsteps:\n  - trigger: Hook\n    parse: {parse}\n    fields: {{ first: '$.a.b[0]' }}\n    \
             reply: {{ status: 200, json: '${{{{ [data, fields.first] }}}}' }}\n"
        )
    };
    let url = server.deploy(&flow("{ xml: { lists: [b] } }")).await;
    let refused = [
        ("<a><b></a>".to_owned(), "malformed_xml"),
        ("<!DOCTYPE a [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><a>&x;</a>".to_owned(), "xml_doctype"),
        ("<a>&x;</a>".to_owned(), "xml_entity"),
        ("<a>".repeat(5000), "xml_too_deep"),
        (format!("<a {}/>", (0..300).map(|n| format!("a{n}='' ")).collect::<String>()), "xml_too_many_attributes"),
        (format!("<a>{}</a>", "<b/>".repeat(200_000)), "data_too_large"),
    ];
    cases(refused.len());
    for (body, code_of) in refused {
        let response = xml(&server, &url, body).await;
        let record = server.callback(&response).await;
        assert_eq!(code(response).await, (400, json!(code_of)));
        assert_eq!((&record["outcome"], &record["execution"]), (&json!("rejected"), &Value::Null));
        let response = xml(&server, &url, "<a><b>1</b></a>").await;
        assert_eq!(response.json::<Value>().await.unwrap(), json!([{ "a": { "b": ["1"] } }, "1"]));
    }
    for (kind, status) in [("text/xml; charset=utf-8", 200), ("application/soap+xml", 200), ("text/plain", 415)] {
        let request = server.call(Method::POST, &url).header("content-type", kind).body("<a/>");
        assert_eq!(request.send().await.unwrap().status(), status, "{kind}");
    }
    let url = server.deploy(&flow("auto")).await;
    let response = xml(&server, &url, "<a><b>1</b><b/></a>").await;
    assert_eq!(response.json::<Value>().await.unwrap(), json!([{ "a": { "b": ["1", ""] } }, "1"]));
    let (status, mistakes) = server.try_deploy(&flow("{ xml: { ordered: true, lists: [b], prefixes: [x] } }")).await;
    assert_eq!((status.as_u16(), mistakes["errors"].as_array().map(Vec::len)), (422, Some(2)), "{mistakes}");
}

#[tokio::test]
async fn w10_forms_with_files_become_data_or_are_refused_and_the_next_callback_works() {
    let server = TestServer::start_with(|config| config.body_bytes_max = 2 << 20).await;
    let flow = |parse: &str| {
        format!(
            "flow: parts\nsteps:\n  - trigger: Hook\n    parse: {parse}\n    reply: {{ status: 200, json: '${{{{ data }}}}' }}\n"
        )
    };
    let url = server.deploy(&flow("{ multipart: { json: [j] } }")).await;
    let send = |kind: &str, body: Vec<u8>| {
        let request = server.call(Method::POST, &url).header("content-type", kind.to_owned()).body(body);
        async move { request.send().await.unwrap() }
    };
    let part = |head: &str, text: &str| format!("--b\r\nContent-Disposition: form-data; {head}\r\n\r\n{text}\r\n");
    let form = "multipart/form-data; boundary=b";
    let whole = part("name=a", "1") + &part("name=j", "[1]") + &part("name=f; filename=x.bin", "hello") + "--b--\r\n";
    let refused = [
        ("multipart/form-data", whole.clone(), 400, "multipart_boundary"),
        (form, part("name=a", "1").repeat(1001) + "--b--", 400, "multipart_too_many_parts"),
        (form, part(&format!("name=a\r\nx: {}", "x".repeat(10_000)), "1") + "--b--", 400, "multipart_head_too_large"),
        (form, whole[..whole.len() - 6].to_owned(), 400, "multipart_cut"),
        (form, part("x=a", "1") + "--b--", 400, "multipart_malformed"),
        ("application/json", whole.clone(), 415, "wrong_content_type"),
    ];
    cases(refused.len());
    for (kind, body, status, code_of) in refused {
        let response = send(kind, body.into_bytes()).await;
        assert_eq!(server.callback(&response).await["outcome"], "rejected");
        assert_eq!(code(response).await, (status, json!(code_of)));
        let response = send(form, whole.clone().into_bytes()).await;
        let record = server.callback(&response).await;
        let data: Value = response.json().await.unwrap();
        assert_eq!((&data["a"], &data["j"], &data["f"]["name"]), (&json!("1"), &json!([1]), &json!("x.bin")));
        // Where it is said to be in what is kept.
        let (offset, size) = (data["f"]["offset"].as_u64().unwrap(), data["f"]["size"].as_u64().unwrap());
        let kept = record["body"].as_str().unwrap();
        assert_eq!(&kept[offset as usize..(offset + size) as usize], "hello");
    }
    // A large one is read aside.
    let large = part("name=f; filename=x", &"x".repeat(1 << 20)) + "--b--";
    let data: Value = send(form, large.into_bytes()).await.json().await.unwrap();
    assert_eq!(data["f"]["size"], 1 << 20);
    let url = server.deploy(&flow("auto")).await;
    let request = server.call(Method::POST, &url).header("content-type", "multipart/mixed; boundary=b");
    let data: Value = request.body("--b\r\n\r\nx\r\n--b--").send().await.unwrap().json().await.unwrap();
    assert_eq!(data[0]["text"], "x");
}

/// What does not fit starts nothing and is told by its place and the keyword; what stands there is said to nobody.
#[tokio::test]
async fn what_does_not_fit_the_schema_is_refused_without_its_values() {
    let server = TestServer::start_with(|config| config.body_bytes_max = 2 << 20).await;
    let flow = |schema: &str| format!("flow: fit\nsteps:\n  - trigger: Hook\n    schema: {schema}\n");
    let url = server
        .deploy(&flow(
            "{ required: [id], properties: { id: { pattern: '^o-' }, kind: { enum: [a, b] }, n: { maximum: 5 }, \
             list: { items: { type: string, const: x } }, o: { additionalProperties: false }, s: { maxLength: 3 } } }",
        ))
        .await;
    let refused = [
        (json!({}), "", "required"),
        (json!({ "id": "secret-1" }), "/id", "pattern"),
        (json!({ "id": "o-1", "kind": "secret-1" }), "/kind", "enum"),
        (json!({ "id": "o-1", "n": 987_654 }), "/n", "maximum"),
        (json!({ "id": "o-1", "list": ["x", 987_654] }), "/list/1", "type"),
        (json!({ "id": "o-1", "list": ["secret-1"] }), "/list/0", "const"),
        (json!({ "id": "o-1", "o": { "a/b": "secret-1" } }), "/o/a~1b", "additionalProperties"),
        (json!({ "id": "o-1", "s": "secret-1" }), "/s", "maxLength"),
    ];
    let count = refused.len();
    cases(count);
    for (body, pointer, keyword) in refused {
        let response = server.post(&url, &body).await;
        let record = server.callback(&response).await;
        assert_eq!(response.status(), 422, "{body}");
        let answer = response.text().await.unwrap();
        let said: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(said["code"], "schema_mismatch");
        assert_eq!(said["errors"], json!([{ "pointer": pointer, "keyword": keyword }]));
        assert_eq!((&record["outcome"], &record["execution"]), (&json!("rejected"), &Value::Null));
        for text in [answer, record["trace"].to_string(), record["reply"].to_string()] {
            assert!(!text.contains("secret") && !text.contains("987654"), "{text}");
        }
        let reason = record["trace"].to_string();
        assert!(reason.contains(&format!("`{keyword}`")), "{reason}");
        assert_eq!(server.post(&url, &json!({ "id": "o-1", "kind": "a" })).await.status(), 202);
    }
    assert_eq!(server.get("/v1/executions").await["items"].as_array().unwrap().len(), count);

    // By type.
    let typed = "{ by: data.type, of: { paid: { required: [payment] }, '7': true } }";
    let url = server.deploy(&flow(typed)).await;
    for (body, status, code_of) in [
        (json!({ "type": "paid" }), 422, "schema_mismatch"),
        (json!({ "type": "secret-1" }), 422, "unknown_type"),
        (json!({}), 422, "unknown_type"),
        (json!({ "type": null }), 422, "unknown_type"),
    ] {
        let response = server.post(&url, &body).await;
        assert!(!server.callback(&response).await["trace"].to_string().contains("secret"));
        assert_eq!(code(response).await, (status, json!(code_of)), "{body}");
    }
    for body in [json!({ "type": "paid", "payment": 1 }), json!({ "type": 7 })] {
        assert_eq!(server.post(&url, &body).await.status(), 202, "{body}");
    }
    let tried = "{ by: data.type, of: { paid: { required: [payment] } }, enforce: false }";
    let url = server.deploy(&flow(tried)).await;
    for (body, said) in [
        (json!({ "type": "paid" }), "do not fit the schema of `paid`: the whole `payment` is missing (`required`)"),
        (json!({ "type": "other" }), "of no type that there is a schema of"),
    ] {
        let response = server.post(&url, &body).await;
        assert_eq!(response.status(), 202);
        let trace = server.callback(&response).await["trace"].to_string();
        assert!(trace.contains(said) && trace.contains("not enforced"), "{trace}");
    }
    for (schema, mistake) in [
        ("{ type: objekt }", "`type` is null, boolean"),
        ("{ requird: [a] }", "did you mean `required`?"),
        ("{ $ref: 'https://a.example/schema' }", "nothing is fetched"),
        ("{ $ref: '#/$defs/none' }", "is not in this schema"),
        ("{ pattern: '(?=a)b' }", "look-around"),
        ("{ pattern: '(a{1,1000}){1,1000}' }", "becomes too large"),
        ("{ properties: { a: [] } }", "an object of schemas"),
        ("{ $schema: 'http://json-schema.org/draft-07/schema#' }", "only schemas of 2020-12"),
        ("{ const: '${{ data.a }}' }", "has no `${{ }}`"),
        ("[]", "a schema is an object"),
        ("{ by: fields.a, of: { a: true } }", "fields"),
        ("{ of: true, otherwise: true }", "`otherwise` is for schemas by type"),
        ("{ of: { minimum: x } }", "`minimum` is a number"),
    ] {
        let (status, mistakes) = server.try_deploy(&flow(schema)).await;
        assert_eq!(status.as_u16(), 422, "{schema}");
        assert!(mistakes["errors"].to_string().contains(mistake), "{schema}: {mistakes}");
        assert_eq!(mistakes["errors"][0]["line"], 4);
    }
    // An execution that waits is looked at by the schema of its own version, and a large body aside.
    let many = "{ items: { type: integer }, uniqueItems: true }";
    let url = server.deploy(&flow(many)).await;
    let list: Vec<u32> = (0..20_000).collect();
    assert_eq!(server.post(&url, &json!(list)).await.status(), 202);
    let again: Vec<u32> = (0..20_000).chain([17]).collect();
    let response = server.post(&url, &json!(again)).await;
    let said: Value = response.json().await.unwrap();
    assert_eq!(said["errors"], json!([{ "pointer": "/20000", "keyword": "uniqueItems" }]));
}

/// Data takes many times the memory of what it is written with: so many bodies as are sent at once are not read at once, and who sends
/// small ones, or from another workspace, waits for none of them.
#[tokio::test(flavor = "multi_thread")]
async fn many_large_bodies_at_once_are_read_in_turn() {
    const BODY_BYTES: usize = 1 << 20;
    let server = TestServer::start_with(|config| config.body_bytes_max = BODY_BYTES).await.in_workspace("aaa");
    let flow = "flow: large\nsteps:\n  - trigger: Hook\n    parse: xml\n    when: 'false'\n";
    let url = server.deploy(flow).await;
    let neighbour = server.in_workspace("bbb");
    let theirs = neighbour.deploy(flow).await;
    let large =
        bytes::Bytes::from(format!("<a>{}</a>", format!("<b>{}</b>", "x".repeat(93)).repeat(BODY_BYTES / 100 - 1)));
    let calls: Vec<_> = (0..24).map(|_| tokio::spawn(xml(&neighbour, &url, large.clone()))).collect();
    let mut slowest = std::time::Duration::ZERO;
    while calls.iter().any(|call| !call.is_finished()) {
        let began = std::time::Instant::now();
        assert_eq!(xml(&neighbour, &theirs, "<a/>").await.status(), 204);
        slowest = slowest.max(began.elapsed());
    }
    for call in calls {
        assert_eq!(call.await.unwrap().status(), 204);
    }
    assert_eq!(xml(&neighbour, &theirs, large).await.status(), 204);
    println!("the slowest of the neighbour's took {slowest:?}");
    assert!(slowest.as_secs() < 3, "{slowest:?}");
}

//! Every reader of bytes from outside, for the fuzz targets of `host/fuzz`: each takes any bytes, and fails when what holds
//! for all inputs does not hold for these.

use crate::catalogue::redirects::RedirectOrigins;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use ringback_records::callback::{Callback, Input, Request};
use ringback_records::json;
use ringback_records::name::{CallbackId, Name};
use ringback_records::reply::Reply;
use ringback_records::time::Timestamp;
use ringback_rules::expression::{Cel, JsonPath, Scope, Template};
use ringback_rules::flow::{self, Mistake};
use ringback_rules::parse::{Mapping, Parse, Parsed, Pick, parse, pick_fields};
use ringback_rules::redact::{Lists, Names};
use ringback_rules::schema::{Misfit, Schema};
use ringback_rules::vault::Vault;
use ringback_rules::verify::{
    ByCertificate, Encoding, KeyForm, Layout, MessageAlgorithm, MessageSignature, Part, PayPal, Provider, Recipe, Sns,
    Source, Verified, Verify, challenge, providers, verify,
};
use ringback_rules::{face, path, reply, sample};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The time of every input, in seconds: the seeds are signed for it.
const NOW: u64 = 1_700_000_000;
const SECRETS: [(&str, &str); 3] =
    [("S", "hush"), ("STANDARD", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"), ("EMPTY", "")];

/// A request as text: `METHOD TARGET`, headers, an empty line, and the body. What HTTP would not let through is left out.
fn request(input: &[u8]) -> Option<Request> {
    let mut rest = input;
    let mut line = || {
        let end = rest.iter().position(|byte| *byte == b'\n')?;
        let (line, after) = rest.split_at_checked(end)?;
        rest = after.get(1..)?;
        Some(line)
    };
    let first = std::str::from_utf8(line()?).ok()?;
    let (method, target) = first.split_once(' ')?;
    let target: http::Uri = target.parse().ok()?;
    let mut headers = HeaderMap::new();
    while let Some(header) = line().filter(|header| !header.is_empty()) {
        let colon = header.iter().position(|byte| *byte == b':')?;
        let (name, value) = header.split_at_checked(colon)?;
        let name = HeaderName::from_bytes(name).ok()?;
        headers.append(name, HeaderValue::from_bytes(value.get(1..)?.trim_ascii()).ok()?);
    }
    Some(Request {
        method: Method::from_bytes(method.as_bytes()).ok()?,
        path: target.path().to_owned(),
        query: target.query().unwrap_or_default().to_owned(),
        headers,
        body: Bytes::copy_from_slice(rest),
        expanded: None,
        unread: None,
        received_at: Timestamp::from_millis(NOW * 1000),
        remote_address: None,
        address_doubt: None,
    })
}

fn callback(request: Request) -> Arc<Callback> {
    let (workspace, environment) = (Name::default_name(), Name::default_name());
    let (id, base_url) = (CallbackId::new(), "https://a.example".into());
    Arc::new(Callback { id, workspace, environment, request, base_url, site: None, claims: None })
}

fn named(name: &str) -> Vec<String> {
    vec![name.to_owned()]
}

/// Signature headers of every scheme. A secret that is missing or empty proves nothing, whatever is sent.
pub fn signature_headers(input: &[u8]) {
    let Some(request) = request(input) else { return };
    let callback = callback(request);
    let secrets = Vault::in_memory(&Name::default_name(), &SECRETS);
    let tolerance = Duration::from_mins(5);
    let provider = |provider: &'static Provider, name: &str| Verify::Provider {
        provider,
        secrets: named(name),
        tolerance,
        verify_tokens: named("S"),
        url: None,
    };
    let header = |name: &str| Some(Source::Header(name.to_owned()));
    let described = |name: &str| {
        let recipe = Recipe {
            encoding: Encoding::Base64,
            value: Layout::alone("v1="),
            signed: vec![Part::Timestamp, Part::Url, Part::Body],
            timestamp: header("x-time"),
            id: header("x-id"),
            id_is_needed: true,
            ..Recipe::over_body("x-signature")
        };
        Verify::Described { recipe: Box::new(recipe), secrets: named(name), tolerance, url: None }
    };
    let message = |name: &str| {
        let (algorithm, key) = (MessageAlgorithm::HmacSha256, KeyForm::Text);
        let wanted = MessageSignature { algorithm, key, covered: Vec::new() };
        Verify::Message { wanted, secrets: named(name), tolerance, url: None }
    };
    let standard = |name: &str| Verify::StandardWebhooks { secrets: named(name), tolerance };
    let check = |scheme: &Verify| {
        let asked = challenge::unsigned(scheme, &callback, &secrets);
        let now = callback.request.received_at;
        let verified = verify(scheme, Arc::clone(&callback), &secrets, now, None);
        (asked, verified)
    };
    for known in providers() {
        let _ = check(&provider(known, "S"));
        let _ = challenge::signed(&provider(known, "S"), &callback, &secrets);
        assert!(check(&provider(known, "EMPTY")).1.is_err(), "an empty secret proves something");
        assert!(check(&provider(known, "NONE")).1.is_err(), "a missing secret proves something");
    }
    for scheme in [&standard as &dyn Fn(&str) -> Verify, &described, &message] {
        let _ = check(&scheme("S"));
        let _ = check(&scheme("STANDARD"));
        assert!(check(&scheme("EMPTY")).1.is_err(), "an empty secret proves something");
        assert!(check(&scheme("NONE")).1.is_err(), "a missing secret proves something");
    }
    let sns = ByCertificate::Sns(Sns { topics: named("arn:a"), confirm: true });
    for by in [sns, ByCertificate::PayPal(PayPal { webhook_id: "id".to_owned() })] {
        let pem = &callback.request.body;
        let _ = by.read(&callback.request).and_then(|message| message.verify(pem, callback.request.received_at));
        let _ = by.to_confirm(&callback.request);
    }
    let _ = check(&Verify::CloudEvents { origins: named("*") });
}

/// A request on its way to data, by every parser, and to what expressions and records see of it.
pub fn request_to_callback(input: &[u8]) {
    let Some(request) = request(input) else { return };
    for (face, address) in face::addresses(&request.path) {
        let _ = (face.name(), format!("{address:?}"));
    }
    let _ = face::ticket(&request);
    let _ = face::selector(&request, false);
    let _ = face::status_token(&request.path);
    let _ = ringback_records::query::structure(&request.query);
    let none = Names::default();
    let callback = Lists { of_server: &none, of_trigger: None }.callback(&callback(request), None);
    let shown = callback.to_json();
    assert!(shown.pointer("/headers/authorization").is_none(), "credentials are shown");
    let secrets = Vault::in_memory(&Name::default_name(), &[]);
    let verified = verify(&Verify::None, Arc::clone(&callback), &secrets, callback.request.received_at, None);
    let Ok(verified) = verified else { return };
    let picks = [
        ("body".to_owned(), JsonPath::compile("$..a[0]").map(Pick::Data)),
        ("query".to_owned(), JsonPath::compile("$.a.b").map(Pick::Query)),
    ];
    let picks: Vec<_> = picks.into_iter().filter_map(|(name, pick)| Some((name, pick.ok()?))).collect();
    for parser in [
        Parse::Json { any_type: true },
        Parse::Form { json: vec!["payload".to_owned()] },
        Parse::Ndjson,
        Parse::Text,
        Parse::Xml(Arc::new(Mapping { any_type: true, ordered: true, ..Mapping::default() })),
        Parse::Auto,
    ] {
        data(&parser, &verified, &picks);
    }
}

fn data(parser: &Parse, verified: &Verified, picks: &[(String, Pick)]) {
    let Ok(Parsed { data, .. }) = parse(parser, verified, &["execution"], None, false) else { return };
    let _ = pick_fields(picks, &verified.callback().request, &data);
    let text = data.to_string();
    assert_eq!(json::from_own::<Value>(text.as_bytes()).ok(), Some(data), "what is recorded can be read again");
}

/// A body, whose content type is in the first line: what becomes data is as deep as JSON may be, and can be recorded.
pub fn content(input: &[u8]) {
    let Some(end) = input.iter().position(|byte| *byte == b'\n') else { return };
    let (kind, body) = input.split_at(end);
    let head = [b"POST /h/key\ncontent-type:", kind, b"\n"].concat();
    let Some(request) = request(&[&head, body].concat()) else { return };
    let callback = callback(request);
    let secrets = Vault::in_memory(&Name::default_name(), &[]);
    let now = callback.request.received_at;
    let Ok(verified) = verify(&Verify::None, callback, &secrets, now, None) else { return };
    let lists = vec!["a".to_owned(), "b".to_owned()];
    let prefixes = vec![("s".to_owned(), "urn:s".to_owned())];
    let named = Mapping { any_type: true, lists, prefixes, ordered: false };
    let ordered = Mapping { any_type: true, ordered: true, ..Mapping::default() };
    for parser in [
        Parse::Xml(Arc::new(named)),
        Parse::Xml(Arc::new(ordered)),
        Parse::Auto,
        Parse::Multipart { json: Arc::new(["a".to_owned()]) },
        Parse::CloudEvents,
    ] {
        data(&parser, &verified, &[]);
        if let Ok(Parsed { data, .. }) = parse(&parser, &verified, &[], None, false) {
            assert!(json::from_slice(data.to_string().as_bytes()).is_ok(), "no JSON could be this");
        }
    }
}

/// JSON of callers: what is accepted is what any reader makes of it, but for halves of surrogate pairs, and has no name twice.
pub fn json(input: &[u8]) {
    let Ok(value) = json::from_slice(input) else { return };
    let marked = input.strip_prefix("\u{feff}".as_bytes()).unwrap_or(input);
    let text = value.to_string();
    match json::from_own::<Value>(marked) {
        Ok(other) => assert_eq!(other, value, "two readers differ"),
        Err(error) => assert!(text.contains('\u{fffd}'), "no half of a surrogate pair was replaced: {error}"),
    }
    let again = json::from_slice(text.as_bytes()).ok();
    assert_eq!(again.as_ref().map(Value::to_string), Some(text), "what is written is read again");
}

/// A schema, and a value below it that is held against it: whoever uploads a plugin brings one along.
pub fn schema(input: &[u8]) {
    let Some(end) = input.iter().position(|byte| *byte == b'\n') else { return };
    let (schema, value) = input.split_at(end);
    let (Ok(schema), Ok(value)) = (json::from_slice(schema), json::from_slice(value)) else { return };
    if let Err(flaws) = Schema::strict(Value::clone(&schema)) {
        assert!(!flaws.is_empty(), "refused without a flaw");
    }
    let Ok(schema) = Schema::new(schema) else { return };
    for checked in [schema.check(&value), schema.check_data(&value)] {
        let is_there = |misfit: &Misfit| value.pointer(&misfit.pointer).is_some() && !misfit.detail.is_empty();
        assert!(checked.as_ref().err().is_none_or(is_there), "{checked:?}");
    }
}

/// Flow files: a flow, or mistakes that have a place in the file.
pub fn flow_file(input: &[u8]) {
    let Ok(source) = std::str::from_utf8(input) else { return };
    if let Err(mistakes) = flow::parse(source, 1) {
        assert!(!mistakes.is_empty(), "refused without a mistake");
        // YAML ends a line with either character.
        let lines = source.bytes().filter(|byte| matches!(byte, b'\n' | b'\r')).count() + 2;
        let is_there = |mistake: &Mistake| (1..=lines).contains(&mistake.line) && !mistake.detail.is_empty();
        assert!(mistakes.iter().all(is_there), "{mistakes:?}");
    }
}

/// A text, and the JSON in the lines behind it.
fn text_and_json(input: &[u8]) -> Option<(&str, Value)> {
    let (text, data) = std::str::from_utf8(input).ok()?.split_once('\n')?;
    Some((text, json::from_slice(data.as_bytes()).unwrap_or_default()))
}

/// A path of either kind in the first line, and what it selects of the rest.
pub fn jsonpath(input: &[u8]) {
    let Some((path, data)) = text_and_json(input) else { return };
    for compiled in [JsonPath::compile(path), path::compile(path)].into_iter().flatten() {
        let _ = compiled.select(&data);
        let _ = compiled.pick(&data, &mut 100_000);
    }
}

/// A CEL expression, or a text with some, in the first line, and its value with the rest as data.
pub fn cel(input: &[u8]) {
    let Some((source, data)) = text_and_json(input) else { return };
    let name = Name::default_name();
    let input = Input { data: Arc::new(data), ..Input::default() };
    let scope = Scope::of_input(&name, &input);
    if let Ok(expression) = Cel::compile(source) {
        let _ = expression.evaluate(&scope);
    }
    if let Ok(template) = Template::text(source) {
        let _ = template.render(&scope);
    }
}

/// Samples: every path that is found in one compiles.
pub fn sample(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let Ok(sample) = sample::parse(text) else { return };
    for found in &sample.paths {
        assert!(path::compile(&found.path).is_ok(), "{:?} is no path", found.path);
    }
}

/// Bytes as the store might find them.
pub fn store_record(input: &[u8]) {
    ringback_store::fuzz(input);
}

/// An uploaded file, up to the compiler.
pub fn component_scan(input: &[u8]) {
    ringback_plugin::fuzz(input);
}

/// Where callers are sent, and headers of flows and plugins: the first line is the target or the value, the second the name.
pub fn redirects_and_headers(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let (target, name) = text.split_once('\n').unwrap_or((text, "x-a"));
    let allowed = "https://shop.example";
    let Ok(origins) = RedirectOrigins::new(vec![allowed.to_owned()], BTreeMap::new()) else { return };
    if origins.check(&Name::default_name(), target).is_ok() {
        let here = url::Url::parse("https://here.example/cb").ok();
        let leads = here.and_then(|here| here.join(target).ok()).map(|url| url.origin().ascii_serialization());
        let known = leads.is_some_and(|origin| origin == "https://here.example" || origin == allowed);
        assert!(known, "{target:?} leads elsewhere");
    }
    let headers = vec![(name.to_owned(), target.to_owned())];
    if let Ok(answer) = reply::check(Reply { status: 200, headers, body: Bytes::new() }) {
        let (name, value) = &answer.headers[0];
        assert!(HeaderName::from_bytes(name.as_bytes()).is_ok() && HeaderValue::from_str(value).is_ok());
        assert!(!["set-cookie", "location", "content-length", "transfer-encoding"].contains(&name.as_str()));
    }
}

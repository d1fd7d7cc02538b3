//! From the verified body to data.

mod multipart;
mod xml;

pub use xml::Mapping;

use crate::cloud_event;
use crate::expression::JsonPath;
use crate::plugin_call::PluginCall;
use crate::verify::Verified;
use http::Method;
use ringback_records::callback::{Request, append};
use ringback_records::stop::Stop;
use ringback_records::{json, query};
use serde_json::{Map, Value};
use std::sync::Arc;

/// Most parameters of a query or a form.
const PARAMETERS_MAX: usize = 50_000;

/// How a trigger's bodies become data.
#[derive(Debug)]
pub enum Parse {
    /// With `any_type`, whatever the content type says.
    Json {
        any_type: bool,
    },
    /// `application/x-www-form-urlencoded`.
    Form {
        /// The fields that hold JSON.
        json: Vec<String>,
    },
    /// A JSON value on each line: a list of them.
    Ndjson,
    /// `multipart/form-data`, or another body of several parts.
    Multipart {
        /// The fields that hold JSON.
        json: Arc<[String]>,
    },
    Text,
    Xml(Arc<Mapping>),
    /// CloudEvents: one, or a batch of them.
    CloudEvents,
    /// By the content type; text that is an object or a list of JSON is taken for JSON.
    Auto,
    Plugin(Box<PluginCall>),
}

/// What a body became.
#[derive(Debug)]
pub struct Parsed {
    pub data: Value,
    /// What someone wants to know who reads the record.
    pub remark: Option<String>,
}

impl From<Value> for Parsed {
    fn from(data: Value) -> Self {
        Self { data, remark: None }
    }
}

/// The data of a callback. The data of a GET is its query: a GET's body means nothing (A-FR-8, A-PW-4). So is that of a callback that is
/// read `by_query`.
/// `selectors` are parameters that choose an execution and are no data (FR-16); `made` is what was made elsewhere: by the
/// parser plugin, where the parser is one, or by [`long_work`].
///
/// # Errors
///
/// Malformed JSON (400), a content type that the parser does not accept (415), or what the plugin refused (422).
pub fn parse(
    parser: &Parse,
    verified: &Verified,
    selectors: &[&str],
    made: Option<Result<Value, Stop>>,
    by_query: bool,
) -> Result<Parsed, Stop> {
    let request = &verified.callback().request;
    if (by_query || request.method == Method::GET) && !matches!(parser, Parse::Plugin(_)) {
        let mut data = pairs(&request.query)?;
        if let Value::Object(members) = &mut data {
            members.retain(|name, _| !selectors.contains(&name.as_str()));
        }
        return Ok(data.into());
    }
    if let Some(made) = made {
        return made.map(Parsed::from);
    }
    let data = match parser {
        Parse::Json { any_type } => json_body(request, *any_type),
        Parse::Form { json } => form(request, json),
        Parse::Ndjson => lines(request),
        Parse::Text => text(request),
        Parse::Multipart { json } => parts(request, json),
        Parse::Xml(mapping) => xml(request, mapping),
        Parse::CloudEvents => cloud_event::read(request, unread),
        Parse::Auto => match request.content_type().as_deref() {
            Some("application/x-www-form-urlencoded") => form(request, &[]),
            Some(kind) if is_json(kind) => json_body(request, false),
            Some(kind) if is_ndjson(kind) => lines(request),
            Some(kind) if is_xml(kind) => xml(request, &Mapping::default()),
            Some(kind) if kind.starts_with(MULTIPART) => parts(request, &[]),
            None => json_body(request, false),
            Some(kind) if kind.starts_with("text/") => return text_or_json(request),
            Some(kind) => Err(wrong_type(kind, "JSON, lines of JSON, XML, a form, several parts or text")),
        },
        Parse::Plugin(call) => {
            let reason = format!("the plugin {} was not asked", call.plugin);
            Err(Stop::failed(500, "internal", "The server failed.", reason))
        }
    };
    data.map(Parsed::from)
}

/// Work on a body, for any thread.
pub type Work = Box<dyn FnOnce() -> Result<Value, Stop> + Send>;

/// Bodies of which reading takes no time that others would notice.
pub const SHORT_BYTES: usize = 64 << 10;

/// What it takes to read a body, where that is too long for the threads that others wait for.
pub fn long_work(parser: &Parse, verified: &Verified) -> Option<Work> {
    let request = &verified.callback().request;
    if request.method == Method::GET || request.content().len() <= SHORT_BYTES {
        return None;
    }
    let kind = request.content_type().unwrap_or_default();
    let request = request.clone();
    match parser {
        Parse::Xml(mapping) => {
            let mapping = Arc::clone(mapping);
            Some(Box::new(move || xml(&request, &mapping)))
        }
        Parse::Multipart { json } => {
            let json = Arc::clone(json);
            Some(Box::new(move || parts(&request, &json)))
        }
        Parse::Auto if is_xml(&kind) => Some(Box::new(move || xml(&request, &Mapping::default()))),
        Parse::Auto if kind.starts_with(MULTIPART) => Some(Box::new(move || parts(&request, &[]))),
        Parse::Json { .. }
        | Parse::Form { .. }
        | Parse::Ndjson
        | Parse::Text
        | Parse::CloudEvents
        | Parse::Auto
        | Parse::Plugin(_) => None,
    }
}

/// A part of a callback that a flow names (NB-12).
#[derive(Debug)]
pub enum Pick {
    /// Of the data.
    Data(JsonPath),
    /// Of the structure of the query.
    Query(JsonPath),
    /// A header as text: repeated ones joined by `, ` (A-NB-6).
    Header(http::HeaderName),
    /// What a script makes of the callback, which is asked when the others are there.
    Script(Box<PluginCall>),
}

/// Most memory of all that the `fields` of a trigger pick, in bytes.
const PICKED_BYTES_MAX: usize = 8 << 20;

/// The picks of a trigger; what is not there leaves its alias out, which expressions read as null (A-NB-4).
///
/// # Errors
///
/// The data is too large for one of the paths.
pub fn pick_fields(fields: &[(String, Pick)], request: &Request, data: &Value) -> Result<Map<String, Value>, Stop> {
    let asks_query = fields.iter().any(|(_, pick)| matches!(pick, Pick::Query(_)));
    let query = if asks_query { Value::Object(query::structure(&request.query)) } else { Value::Null };
    let (mut picks, mut room) = (Map::new(), PICKED_BYTES_MAX);
    for (alias, pick) in fields {
        let picked = match pick {
            Pick::Data(path) => path.pick(data, &mut room).map_err(too_large)?,
            Pick::Query(path) => path.pick(&query, &mut room).map_err(too_large)?,
            Pick::Header(name) => request.header(name.as_str()).map(Value::from),
            Pick::Script(_) => None,
        };
        picks.extend(picked.map(|value| (alias.clone(), value)));
    }
    Ok(picks)
}

fn json_body(request: &Request, any_type: bool) -> Result<Value, Stop> {
    if let Some(kind) = request.content_type().filter(|kind| !any_type && !is_json(kind))
        && !request.content().is_empty()
    {
        let expected =
            "JSON (send `Content-Type: application/json`, or let the trigger `parse: { json: { any_type: true } }`)";
        return Err(wrong_type(&kind, expected));
    }
    if request.content().is_empty() {
        return Ok(Value::Null);
    }
    json::from_slice(request.content()).map_err(|error| unread("the body", &error))
}

/// A value on each line that is not empty. They share the values that a body may have.
fn lines(request: &Request) -> Result<Value, Stop> {
    let body = request.content();
    match request.content_type() {
        Some(kind) if !is_ndjson(&kind) && !is_json(&kind) && kind != "text/plain" && !body.is_empty() => {
            return Err(wrong_type(&kind, "a JSON value on each line (`Content-Type: application/x-ndjson`)"));
        }
        _ => {}
    }
    let mut left = json::values_max(body.len());
    let lines = body.split(|byte| *byte == b'\n').zip(1..).filter(|(line, _)| !line.trim_ascii().is_empty());
    let read = |(line, number): (&[u8], usize)| {
        json::from_slice_within(line, &mut left).map_err(|error| unread(&format!("line {number} of the body"), &error))
    };
    lines.map(read).collect::<Result<Vec<_>, _>>().map(Value::Array)
}

/// What a sender calls text may be an object or a list all the same.
fn text_or_json(request: &Request) -> Result<Parsed, Stop> {
    let remark = match json::from_slice(request.content()) {
        Ok(data) if data.is_object() || data.is_array() => return Ok(data.into()),
        Err(error) if matches!(request.content().trim_ascii_start(), [b'{' | b'[', ..]) => {
            Some(format!("as text, since they are not JSON: {error}"))
        }
        Ok(_) | Err(_) => None,
    };
    Ok(Parsed { data: text(request)?, remark })
}

/// Refuses a query with a name that no member of an object can have, as it is or in brackets.
///
/// # Errors
///
/// Such a name (400).
pub fn allow_query(request: &Request) -> Result<(), Stop> {
    let mut names = request.query_pairs().map(|(name, _)| name);
    names
        .find(|name| name.split(['[', ']']).any(json::is_reserved))
        .map_or(Ok(()), |name| Err(reserved_parameter(&name)))
}

fn reserved_parameter(name: &str) -> Stop {
    let name: String = name.chars().take(80).collect();
    reserved_name(format!("the parameter {name:?} has a name that cannot be used: {}", json::WHY_RESERVED))
}

fn reserved_name(reason: String) -> Stop {
    Stop::refused(400, "reserved_name", "A name in the data cannot be used.", reason)
}

fn too_large(reason: String) -> Stop {
    Stop::refused(400, "data_too_large", "The data is too large for this flow.", reason)
}

fn unread(what: &str, error: &json::Error) -> Stop {
    let reason = format!("{what} cannot be read: {error}");
    match error.kind {
        json::Kind::Malformed => {
            let reason = format!("{what} is not JSON: {error}");
            Stop::refused(400, "malformed_json", "The body is not valid JSON.", reason)
        }
        json::Kind::TooManyValues => too_large(reason),
        json::Kind::ReservedName => reserved_name(reason),
    }
}

fn is_json(kind: &str) -> bool {
    kind == "application/json" || kind == "text/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
}

fn is_ndjson(kind: &str) -> bool {
    matches!(kind, "application/x-ndjson" | "application/ndjson" | "application/jsonl" | "application/x-jsonlines")
}

fn is_xml(kind: &str) -> bool {
    matches!(kind, "application/xml" | "text/xml") || kind.ends_with("+xml")
}

fn xml(request: &Request, mapping: &Mapping) -> Result<Value, Stop> {
    let body = request.content();
    if let Some(kind) = request.content_type().filter(|kind| !mapping.any_type && !is_xml(kind))
        && !body.is_empty()
    {
        let expected =
            "XML (send `Content-Type: application/xml`, or let the trigger `parse: { xml: { any_type: true } }`)";
        return Err(wrong_type(&kind, expected));
    }
    if body.is_empty() {
        return Ok(Value::Null);
    }
    xml::read(body, request.content_parameter("charset").as_deref(), mapping)
}

const MULTIPART: &str = "multipart/";

fn parts(request: &Request, json: &[String]) -> Result<Value, Stop> {
    let (body, kind) = (request.content(), request.content_type().unwrap_or_default());
    if !kind.starts_with(MULTIPART) {
        let found = if kind.is_empty() { "no content type" } else { &kind };
        return Err(wrong_type(found, "multipart/form-data, or another of several parts"));
    }
    let boundary = request.content_parameter("boundary");
    match &*kind {
        "multipart/form-data" => multipart::form(body, boundary.as_deref(), json),
        _ => multipart::list(body, boundary.as_deref()),
    }
}

fn form(request: &Request, json: &[String]) -> Result<Value, Stop> {
    match request.content_type().as_deref() {
        Some("application/x-www-form-urlencoded") => {}
        None if request.content().is_empty() => {}
        kind => return Err(wrong_type(kind.unwrap_or("no content type"), "application/x-www-form-urlencoded")),
    }
    let body = std::str::from_utf8(request.content()).map_err(|_| not_utf8("the form"))?;
    let mut data = pairs(body)?;
    let mut left = json::values_max(body.len());
    for name in json {
        let mut read = |value: &mut Value| {
            let text = value.as_str().unwrap_or_default();
            *value = json::from_slice_within(text.as_bytes(), &mut left)
                .map_err(|error| unread(&format!("the field {name}"), &error))?;
            Ok::<(), Stop>(())
        };
        match data.get_mut(name) {
            None => {}
            Some(Value::Array(values)) => values.iter_mut().try_for_each(read)?,
            Some(value) => read(value)?,
        }
    }
    Ok(data)
}

fn text(request: &Request) -> Result<Value, Stop> {
    std::str::from_utf8(request.content()).map(Value::from).map_err(|_| not_utf8("the body"))
}

/// Names and values; a repeated name becomes a list (A-FR-9).
fn pairs(encoded: &str) -> Result<Value, Stop> {
    let (mut object, mut values) = (Map::new(), 0);
    for (name, value) in form_urlencoded::parse(encoded.as_bytes()) {
        if [&name, &value].iter().any(|text| text.contains('\u{fffd}')) && !encodes_replacement(encoded) {
            return Err(not_utf8("a parameter"));
        }
        if json::is_reserved(&name) {
            return Err(reserved_parameter(&name));
        }
        append(&mut object, &name, value.into_owned());
        values += 1;
        if values > PARAMETERS_MAX {
            return Err(too_large(format!("there are more than {PARAMETERS_MAX} parameters")));
        }
    }
    Ok(Value::Object(object))
}

/// The decoder marks wrong UTF-8 by U+FFFD, which a caller may also have meant.
fn encodes_replacement(encoded: &str) -> bool {
    encoded.contains('\u{fffd}') || encoded.to_ascii_uppercase().contains("%EF%BF%BD")
}

fn wrong_type(found: &str, expected: &str) -> Stop {
    let reason = format!("the content type is {found}, but the trigger expects {expected}");
    Stop::refused(415, "wrong_content_type", "The content type is not accepted here.", reason)
}

fn not_utf8(what: &str) -> Stop {
    Stop::refused(400, "not_utf8", "The request is not valid UTF-8.", format!("{what} is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::{form, json_body, lines, pairs, text};
    use http::HeaderMap;
    use ringback_records::callback::Request;
    use serde_json::json;

    fn request(content_type: Option<&str>, body: &[u8]) -> Request {
        let mut headers = HeaderMap::new();
        headers.extend(content_type.map(|kind| (http::header::CONTENT_TYPE, kind.parse().unwrap())));
        Request { headers, body: bytes::Bytes::copy_from_slice(body), ..Request::for_testing() }
    }

    fn plain_json(request: &Request) -> Result<serde_json::Value, super::Stop> {
        json_body(request, false)
    }

    fn status(result: Result<serde_json::Value, super::Stop>) -> u16 {
        result.unwrap_err().problem.status
    }

    /// A-FR-8.
    #[test]
    fn malformed_json_is_400_and_another_type_415() {
        for body in ["{", "{'a': 1}", "1 2", "nul", "{\"a\": 1, \"a\": 2}", "{\"any valid JSON\"}"] {
            assert_eq!(status(plain_json(&request(Some("application/json"), body.as_bytes()))), 400, "{body}");
        }
        assert_eq!(status(plain_json(&request(Some("application/json"), b"\"\xff\""))), 400);
        let deep = "[".repeat(200) + &"]".repeat(200);
        assert_eq!(status(plain_json(&request(None, deep.as_bytes()))), 400);
        assert_eq!(status(plain_json(&request(Some("text/plain"), b"{}"))), 415);
        assert_eq!(status(plain_json(&request(Some("application/x-www-form-urlencoded"), b"{}"))), 415);
        assert_eq!(status(form(&request(Some("application/json"), b"a=1"), &[])), 415);
        assert_eq!(status(text(&request(None, b"\xff"))), 400);
    }

    /// A4: fields share the values that a body may have, and the code says what is wrong.
    #[test]
    fn a4_a_body_that_is_too_large_or_has_a_name_of_nobodys_is_told_so() {
        let code = |result: Result<serde_json::Value, super::Stop>| {
            let problem = result.unwrap_err().problem;
            (problem.status, problem.code)
        };
        let read = |fields: &[&str], body: &str| {
            let names: Vec<String> = ["p", "q", "r"].map(str::to_owned).into();
            let body: Vec<String> = fields.iter().map(|name| format!("{name}={body}")).collect();
            form(&request(Some("application/x-www-form-urlencoded"), body.join("&").as_bytes()), &names)
        };
        let list = format!("[{}0]", "0,".repeat(79_999));
        for over in [["p", "q", "r"], ["p", "p", "p"]] {
            assert_eq!(code(read(&over, &list)), (400, "data_too_large"));
        }
        assert!(read(&["p", "q"], &list).is_ok() && read(&["x", "y", "z"], &list).is_ok());
        let many = format!("[{list},{list},{list}]");
        assert_eq!(code(plain_json(&request(None, many.as_bytes()))), (400, "data_too_large"));
        let reserved = r#"{"$serde_json::private::Number":"1"}"#;
        assert_eq!(code(plain_json(&request(None, reserved.as_bytes()))), (400, "reserved_name"));
        assert_eq!(code(read(&["p"], reserved)), (400, "reserved_name"));
        assert_eq!(code(plain_json(&request(None, b"{"))), (400, "malformed_json"));
        assert_eq!(code(read(&["p"], "{")), (400, "malformed_json"));
    }

    /// K7.
    #[test]
    fn k7_each_line_is_a_value_of_its_own() {
        let read = |kind, body: &[u8]| lines(&request(Some(kind), body));
        let code = |result: Result<serde_json::Value, super::Stop>| {
            let stop = result.unwrap_err();
            (stop.problem.status, stop.problem.code, stop.reason)
        };
        let kind = "application/x-ndjson";
        for (body, line) in [("{}\n{", "line 2"), ("1 2", "line 1"), ("[1,\n2]", "line 1"), ("1\n\n\nnul\n", "line 4")]
        {
            let (status, code, reason) = code(read(kind, body.as_bytes()));
            assert_eq!((status, code), (400, "malformed_json"), "{body}");
            assert!(reason.contains(line), "{reason}");
        }
        assert_eq!(code(read(kind, b"1\n\"\xff\"")).0, 400);
        assert_eq!(code(read(kind, b"{\"$serde_json::private::Number\":\"1\"}")).1, "reserved_name");
        assert_eq!(code(read(kind, "0\n".repeat(300_000).as_bytes())).1, "data_too_large");
        assert_eq!(status(read("application/xml", b"<a/>")), 415);
        assert_eq!(read(kind, b"").unwrap(), json!([]));
        assert_eq!(
            read(kind, "\u{feff}{\"a\":1}\r\n\r\n[2]\n\"three\"".as_bytes()).unwrap(),
            json!([{ "a": 1 }, [2], "three"])
        );
        for kind in ["application/jsonl; charset=utf-8", "application/json", "text/plain"] {
            assert_eq!(read(kind, b"1\n2").unwrap(), json!([1, 2]), "{kind}");
        }
    }

    /// A-FR-8, FR-21, FR-22.
    #[test]
    fn any_json_value_is_data_and_an_empty_body_is_null() {
        for (kind, body, data) in [
            (Some("application/json; charset=utf-8"), "[1, {\"a\": null}]", json!([1, { "a": null }])),
            (Some("application/cloudevents+json"), "{\"price\": 9.95}", json!({ "price": 9.95 })),
            (None, "\"text\"", json!("text")),
            (Some("application/json"), "", json!(null)),
            (Some("text/plain"), "", json!(null)),
            (None, "\u{feff}{\"a\": 1}", json!({ "a": 1 })),
        ] {
            assert_eq!(plain_json(&request(kind, body.as_bytes())).unwrap(), data);
        }
    }

    /// A-FR-9.
    #[test]
    fn parameters_are_decoded_and_repeated_ones_make_a_list() {
        assert_eq!(status(pairs("a=%ff")), 400);
        assert_eq!(pairs("a=1&b=x+y%21&a=2&c").unwrap(), json!({ "a": ["1", "2"], "b": "x y!", "c": "" }));
        assert_eq!(pairs("a=%EF%BF%BD").unwrap(), json!({ "a": "\u{fffd}" }));
        assert_eq!(pairs("").unwrap(), json!({}));
    }
}

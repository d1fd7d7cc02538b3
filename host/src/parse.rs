//! From the verified body to data.

use crate::callback::{Request, append};
use crate::expression::JsonPath;
use crate::flow::PluginCall;
use crate::json;
use crate::outcome::Stop;
use crate::path;
use crate::verify::Verified;
use http::Method;
use serde_json::{Map, Value};

/// How a trigger's bodies become data.
#[derive(Debug)]
pub enum Parse {
    Json,
    /// `application/x-www-form-urlencoded`.
    Form,
    Text,
    /// By the content type.
    Auto,
    Plugin(Box<PluginCall>),
}

/// The data of a callback. The data of a GET is its query: a GET's body means nothing (A-FR-8, A-PW-4).
/// `selectors` are parameters that choose an execution and are no data (FR-16); `plugin_data` is what the parser plugin
/// made, where the parser is one.
///
/// # Errors
///
/// Malformed JSON (400), a content type that the parser does not accept (415), or what the plugin refused (422).
pub fn parse(
    parser: &Parse,
    verified: &Verified,
    selectors: &[&str],
    plugin_data: Option<Result<Value, Stop>>,
) -> Result<Value, Stop> {
    let request = &verified.callback().request;
    if request.method == Method::GET && !matches!(parser, Parse::Plugin(_)) {
        let mut data = pairs(&request.query)?;
        if let Value::Object(members) = &mut data {
            members.retain(|name, _| !selectors.contains(&name.as_str()));
        }
        return Ok(data);
    }
    match parser {
        Parse::Json => json_body(request),
        Parse::Form => form(request),
        Parse::Text => text(request),
        Parse::Auto => match request.content_type().as_deref() {
            Some("application/x-www-form-urlencoded") => form(request),
            Some(kind) if is_json(kind) => json_body(request),
            None => json_body(request),
            Some(kind) if kind.starts_with("text/") => text(request),
            Some(kind) => Err(wrong_type(kind, "JSON, a form or text")),
        },
        Parse::Plugin(call) => plugin_data.unwrap_or_else(|| {
            let reason = format!("the plugin {} was not asked", call.plugin);
            Err(Stop::failed(500, "internal", "The server failed.", reason))
        }),
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
}

/// The picks of a trigger; what is not there leaves its alias out (A-NB-4).
///
/// # Errors
///
/// The data is too large for one of the paths.
pub fn pick_fields(fields: &[(String, Pick)], request: &Request, data: &Value) -> Result<Map<String, Value>, Stop> {
    let too_large = |reason| Stop::refused(400, "data_too_large", "The data is too large for this flow.", reason);
    let asks_query = fields.iter().any(|(_, pick)| matches!(pick, Pick::Query(_)));
    let query = if asks_query { Value::Object(path::structure(&request.query)) } else { Value::Null };
    let mut picks = Map::new();
    for (alias, pick) in fields {
        let picked = match pick {
            Pick::Data(path) => path.pick(data).map_err(too_large)?,
            Pick::Query(path) => path.pick(&query).map_err(too_large)?,
            Pick::Header(name) => request.header(name.as_str()).map(Value::from),
        };
        picks.extend(picked.map(|value| (alias.clone(), value)));
    }
    Ok(picks)
}

fn json_body(request: &Request) -> Result<Value, Stop> {
    if let Some(kind) = request.content_type().filter(|kind| !is_json(kind))
        && !request.body.is_empty()
    {
        return Err(wrong_type(&kind, "JSON (send `Content-Type: application/json`)"));
    }
    if request.body.is_empty() {
        return Ok(Value::Null);
    }
    json::from_slice(&request.body).map_err(|error| {
        Stop::refused(400, "malformed_json", "The body is not valid JSON.", format!("the body is not JSON: {error}"))
    })
}

fn is_json(kind: &str) -> bool {
    kind == "application/json" || kind == "text/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
}

fn form(request: &Request) -> Result<Value, Stop> {
    match request.content_type().as_deref() {
        Some("application/x-www-form-urlencoded") => {}
        None if request.body.is_empty() => {}
        kind => return Err(wrong_type(kind.unwrap_or("no content type"), "application/x-www-form-urlencoded")),
    }
    let body = std::str::from_utf8(&request.body).map_err(|_| not_utf8("the form"))?;
    pairs(body)
}

fn text(request: &Request) -> Result<Value, Stop> {
    std::str::from_utf8(&request.body).map(Value::from).map_err(|_| not_utf8("the body"))
}

/// Names and values; a repeated name becomes a list (A-FR-9).
fn pairs(encoded: &str) -> Result<Value, Stop> {
    let mut object = Map::new();
    for (name, value) in form_urlencoded::parse(encoded.as_bytes()) {
        if [&name, &value].iter().any(|text| text.contains('\u{fffd}')) && !encodes_replacement(encoded) {
            return Err(not_utf8("a parameter"));
        }
        append(&mut object, &name, value.into_owned());
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
    use super::{form, json_body, pairs, text};
    use crate::callback::Request;
    use crate::time::Timestamp;
    use http::{HeaderMap, Method};
    use serde_json::json;

    fn request(content_type: Option<&str>, body: &[u8]) -> Request {
        let mut headers = HeaderMap::new();
        headers.extend(content_type.map(|kind| (http::header::CONTENT_TYPE, kind.parse().unwrap())));
        Request {
            method: Method::POST,
            path: "/h/key".into(),
            query: String::new(),
            headers,
            body: bytes::Bytes::copy_from_slice(body),
            received_at: Timestamp::default(),
        }
    }

    fn status(result: Result<serde_json::Value, super::Stop>) -> u16 {
        result.unwrap_err().problem.status
    }

    /// A-FR-8.
    #[test]
    fn malformed_json_is_400_and_another_type_415() {
        for body in [
            "{",
            "{'a': 1}",
            "1 2",
            "\u{feff}{}",
            "nul",
            "{\"a\": 1e999}",
            "{\"a\": 1, \"a\": 2}",
            "{\"any valid JSON\"}",
        ] {
            assert_eq!(status(json_body(&request(Some("application/json"), body.as_bytes()))), 400, "{body}");
        }
        assert_eq!(status(json_body(&request(Some("application/json"), b"\"\xff\""))), 400);
        let deep = "[".repeat(200) + &"]".repeat(200);
        assert_eq!(status(json_body(&request(None, deep.as_bytes()))), 400);
        assert_eq!(status(json_body(&request(Some("text/plain"), b"{}"))), 415);
        assert_eq!(status(json_body(&request(Some("application/x-www-form-urlencoded"), b"{}"))), 415);
        assert_eq!(status(form(&request(Some("application/json"), b"a=1"))), 415);
        assert_eq!(status(text(&request(None, b"\xff"))), 400);
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
        ] {
            assert_eq!(json_body(&request(kind, body.as_bytes())).unwrap(), data);
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

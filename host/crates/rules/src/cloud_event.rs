//! CloudEvents 1.0 over HTTP: the attributes in the body (structured), in headers (binary), and several in a body (batch). What expressions
//! and flows see is the same in each: attributes by their names as texts, in the form in which headers have them.

use crate::percent;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ringback_records::callback::Request;
use ringback_records::json;
use ringback_records::stop::{Misplaced, Stop};
use serde_json::{Map, Value};

/// How a request brings events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Structured,
    Batch,
    Binary,
}

/// What headers of attributes begin with.
const PREFIX: &str = "ce-";
/// What an event has besides its attributes.
const CONTENT: [&str; 2] = ["data", "data_base64"];
/// Attributes that every event has.
const REQUIRED: [&str; 4] = ["specversion", "id", "source", "type"];
/// All that the specification has.
const CORE: [&str; 8] = ["specversion", "id", "source", "type", "datacontenttype", "dataschema", "subject", "time"];
/// The version of all this.
const VERSION: &str = "1.0";

impl Mode {
    /// How a request brings events; `None` where it brings none.
    pub fn of(request: &Request) -> Option<Self> {
        match request.content_type().as_deref() {
            Some("application/cloudevents+json") => Some(Self::Structured),
            Some("application/cloudevents-batch+json") => Some(Self::Batch),
            // In another format, which nobody here can read.
            Some(kind) if kind.starts_with("application/cloudevents") => None,
            _ => request.headers.contains_key("ce-specversion").then_some(Self::Binary),
        }
    }
}

/// What is wrong with an event: which attribute, by which rule, and in words.
#[derive(Debug, PartialEq, Eq)]
struct Flaw {
    member: String,
    rule: &'static str,
    detail: String,
}

/// The attributes of the event that a request brings, as its data has them where it does: null where there is none, or where it is not in
/// order.
pub fn attributes(request: &Request, data: &Value) -> Value {
    let attributes = match Mode::of(request) {
        None => return Value::Null,
        Some(Mode::Binary) => of_headers(request),
        Some(Mode::Structured | Mode::Batch) => data.as_object().map_or_else(|| Ok(Map::new()), of_members),
    };
    attributes.and_then(check).map_or(Value::Null, Value::Object)
}

/// The events of a request: one, or those of a batch, each with its attributes and its `data`. `unread` says what is wrong with a body
/// that is no JSON.
///
/// # Errors
///
/// They are not in order (400), or there are none (415).
pub fn read(request: &Request, unread: fn(&str, &json::Error) -> Stop) -> Result<Value, Stop> {
    let Some(mode) = Mode::of(request) else {
        let found = request.content_type().unwrap_or_else(|| "no content type".to_owned());
        let reason = format!(
            "the content type is {found} and there is no `ce-specversion`, but the trigger expects CloudEvents"
        );
        return Err(Stop::refused(415, "wrong_content_type", "The content type is not accepted here.", reason));
    };
    if mode == Mode::Binary {
        let mut event = of_headers(request).and_then(check).map_err(|flaw| malformed(&flaw, None))?;
        let kind = event.get("datacontenttype").and_then(Value::as_str).unwrap_or_default().to_owned();
        let content = content(&kind, request.content()).map_err(|flaw| malformed(&flaw, None))?;
        event.extend(content.map(|(name, value)| (name.to_owned(), value)));
        return Ok(Value::Object(event));
    }
    let body = json::from_slice(request.content()).map_err(|error| unread("the body", &error))?;
    match (mode, body) {
        (Mode::Batch, Value::Array(items)) => {
            let read = |(number, item)| event_of(item).map_err(|flaw| malformed(&flaw, Some(number)));
            (0..).zip(items).map(read).collect::<Result<Vec<_>, _>>().map(Value::Array)
        }
        (Mode::Batch, _) => Err(malformed(&flaw("", "type", "a batch is a list of events"), None)),
        (_, body) => event_of(body).map_err(|flaw| malformed(&flaw, None)),
    }
}

fn event_of(body: Value) -> Result<Value, Flaw> {
    let Value::Object(mut members) = body else { return Err(flaw("", "type", "an event is an object")) };
    let mut event = of_members(&members).and_then(check)?;
    let [data, encoded] = CONTENT.map(|name| members.shift_remove(name));
    let kind = event.get("datacontenttype").and_then(Value::as_str).unwrap_or_default();
    let content = match (data, encoded) {
        (Some(_), Some(_)) => return Err(flaw("data_base64", "not", "there is `data` beside it")),
        (Some(data), None) => Some(("data", data)),
        (None, Some(Value::String(encoded))) => {
            let bytes = STANDARD.decode(encoded).map_err(|_| flaw("data_base64", "format", "is not base64"))?;
            content(kind, &bytes)?
        }
        (None, Some(_)) => return Err(flaw("data_base64", "type", "is a text")),
        (None, None) => None,
    };
    event.extend(content.map(|(name, value)| (name.to_owned(), value)));
    Ok(Value::Object(event))
}

/// What an event is about, by its type: what is JSON as it is, what is text as a text, and all else in base64.
fn content(kind: &str, bytes: &[u8]) -> Result<Option<(&'static str, Value)>, Flaw> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_json = kind.is_empty() || kind.ends_with("/json") || kind.ends_with("+json");
    if is_json {
        let data = json::from_slice(bytes).map_err(|error| flaw("data", "type", &format!("is not JSON: {error}")))?;
        return Ok(Some(("data", data)));
    }
    let is_text = kind.starts_with("text/") || kind.ends_with("/xml") || kind.ends_with("+xml");
    match std::str::from_utf8(bytes) {
        Ok(text) if is_text => Ok(Some(("data", text.into()))),
        _ => Ok(Some(("data_base64", STANDARD.encode(bytes).into()))),
    }
}

/// The attributes in headers (HTTP Protocol Binding, 3.1.3).
fn of_headers(request: &Request) -> Result<Map<String, Value>, Flaw> {
    let mut attributes = Map::new();
    for name in request.headers.keys() {
        let Some(attribute) = name.as_str().strip_prefix(PREFIX) else { continue };
        let mut values = request.headers.get_all(name).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return Err(flaw(attribute, "not", "is there twice"));
        };
        let text = std::str::from_utf8(value.as_bytes()).ok().map(str::trim).and_then(unquoted);
        let text = text.and_then(|text| percent::decoded(&text));
        let text = text.ok_or_else(|| flaw(attribute, "format", "is not UTF-8 in percent-encoding"))?;
        attributes.insert(attribute.to_owned(), text.into());
    }
    if attributes.contains_key("datacontenttype") {
        return Err(flaw("datacontenttype", "not", "is `Content-Type`"));
    }
    attributes.extend(request.header("content-type").map(|kind| ("datacontenttype".to_owned(), kind.into())));
    Ok(attributes)
}

/// A text without the quotes around it.
fn unquoted(text: &str) -> Option<String> {
    let Some(rest) = text.strip_prefix('"') else { return Some(text.to_owned()) };
    let (mut unquoted, mut characters) = (String::new(), rest.chars());
    loop {
        match characters.next()? {
            '"' => return characters.as_str().is_empty().then_some(unquoted),
            '\\' => unquoted.push(characters.next()?),
            character => unquoted.push(character),
        }
    }
}

/// The attributes in JSON (JSON Event Format, 2.2), each as its text (CloudEvents, 3.1); null is none.
fn of_members(members: &Map<String, Value>) -> Result<Map<String, Value>, Flaw> {
    let attributes = members.iter().filter(|(name, value)| !CONTENT.contains(&name.as_str()) && !value.is_null());
    attributes
        .map(|(name, value)| match value {
            // Those of the specification are texts.
            Value::Bool(_) | Value::Number(_) if CORE.contains(&name.as_str()) => Err(flaw(name, "type", "is a text")),
            Value::String(text) => Ok((name.clone(), text.as_str().into())),
            Value::Bool(_) => Ok((name.clone(), value.to_string().into())),
            Value::Number(number) if number.as_i64().is_some_and(|number| i32::try_from(number).is_ok()) => {
                Ok((name.clone(), value.to_string().into()))
            }
            _ => Err(flaw(name, "type", "is a text, an integer of 32 bits, or true or false")),
        })
        .collect()
}

/// Attributes as they have to be (CloudEvents, 3).
fn check(attributes: Map<String, Value>) -> Result<Map<String, Value>, Flaw> {
    for name in REQUIRED {
        if !attributes.contains_key(name) {
            return Err(flaw(name, "required", "is missing"));
        }
    }
    for (name, value) in &attributes {
        let text = value.as_str().unwrap_or_default();
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()) {
            return Err(flaw(name, "format", "is no name of an attribute: lower-case letters and digits"));
        }
        if text.chars().any(char::is_control) {
            return Err(flaw(name, "format", "has control characters"));
        }
        if text.is_empty() && CORE.contains(&name.as_str()) {
            return Err(flaw(name, "format", "is empty"));
        }
        match name.as_str() {
            "specversion" if text != VERSION => return Err(flaw(name, "const", "is another version than 1.0")),
            "datacontenttype" if !is_media_type(text) => {
                return Err(flaw(name, "format", "is no media type, such as application/json"));
            }
            "time" if !is_time(text) => {
                return Err(flaw(name, "format", "is no time as RFC 3339 writes it"));
            }
            _ => {}
        }
    }
    Ok(attributes)
}

fn is_media_type(text: &str) -> bool {
    let essence = text.split(';').next().unwrap_or_default().trim();
    let is_token = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
    };
    essence.split_once('/').is_some_and(|(kind, subtype)| is_token(kind) && is_token(subtype))
}

/// Whether this is a time as RFC 3339 writes it: with seconds, and its zone with minutes.
fn is_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    let shape = b"dddd-dd-ddTdd:dd:dd";
    let is_like = |(byte, shape): (&u8, &u8)| match shape {
        b'd' => byte.is_ascii_digit(),
        shape => byte.eq_ignore_ascii_case(shape),
    };
    let Some((time, rest)) = bytes.split_at_checked(shape.len()) else { return false };
    let rest = match rest.strip_prefix(b".") {
        Some(fraction) => {
            let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
            fraction.get(digits..).filter(|_| digits > 0)
        }
        None => Some(rest),
    };
    let is_zone = rest.is_some_and(|zone| match zone {
        b"Z" | b"z" => true,
        [b'+' | b'-', zone @ ..] => {
            let is_up_to = |at: usize, most: &[u8]| zone.get(at..at + 2).is_some_and(|digits| digits <= most);
            zone.len() == 5 && zone.iter().zip(b"dd:dd").all(is_like) && is_up_to(0, b"23") && is_up_to(3, b"59")
        }
        _ => false,
    });
    time.iter().zip(shape).all(is_like) && is_zone && text.parse::<jiff::Timestamp>().is_ok()
}

fn flaw(member: &str, rule: &'static str, detail: &str) -> Flaw {
    Flaw { member: member.chars().take(80).collect(), rule, detail: detail.to_owned() }
}

fn malformed(flaw: &Flaw, number: Option<usize>) -> Stop {
    let Flaw { member, rule, detail } = flaw;
    let of = number.map(|number| format!("event {number} of the batch: ")).unwrap_or_default();
    let named = if member.is_empty() { String::new() } else { format!("`{}` ", member.escape_debug()) };
    let mut pointer = number.map(|number| format!("/{number}")).unwrap_or_default();
    if !member.is_empty() {
        pointer += &format!("/{}", member.replace('~', "~0").replace('/', "~1"));
    }
    let stop = Stop::refused(400, "malformed_event", "The event is not in order.", format!("{of}{named}{detail}"));
    Stop { misplaced: Some(Box::new(Misplaced { pointer, keyword: rule })), ..stop }
}

#[cfg(test)]
mod tests;

//! A received HTTP request, on its way from a URL to an outcome.

use crate::name::{CallbackId, Name};
use crate::stop::Problem;
use crate::time::Timestamp;
use crate::weight::weight;
use bytes::Bytes;
use http::{HeaderMap, Method};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::net::IpAddr;
use std::sync::Arc;

/// What a listener received, whole, within the limits of size and time.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: Method,
    /// Percent-encoded as received, beginning with `/`.
    pub path: String,
    /// The part after `?`, encoded as received; empty without one.
    pub query: String,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// What the body is without its encoding, once that is known; `None` where it has none.
    pub expanded: Option<Bytes>,
    /// Why its body could not be taken, and is empty.
    pub unread: Option<&'static Problem>,
    pub received_at: Timestamp,
    /// Where it came from, where that is known.
    pub remote_address: Option<IpAddr>,
    /// Why that is the address of a proxy, though the proxy says something.
    pub address_doubt: Option<&'static str>,
}

impl Request {
    /// One by POST, that says nothing.
    #[doc(hidden)]
    pub fn for_testing() -> Self {
        Self {
            method: Method::POST,
            path: "/h/key".into(),
            query: String::new(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            expanded: None,
            unread: None,
            received_at: Timestamp::default(),
            remote_address: None,
            address_doubt: None,
        }
    }

    /// The decoded query parameters in order (`application/x-www-form-urlencoded`).
    pub fn query_pairs(&self) -> impl Iterator<Item = (std::borrow::Cow<'_, str>, std::borrow::Cow<'_, str>)> {
        form_urlencoded::parse(self.query.as_bytes())
    }

    /// One header as text: repeated ones joined by `, `, bytes that are not UTF-8 replaced.
    pub fn header(&self, name: &str) -> Option<String> {
        let mut values = self.headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
        let first = values.next()?.into_owned();
        Some(values.fold(first, |joined, value| joined + ", " + &value))
    }

    /// The body without its encoding.
    pub fn content(&self) -> &Bytes {
        self.expanded.as_ref().unwrap_or(&self.body)
    }

    /// Where it came from, as text.
    pub fn address(&self) -> Option<String> {
        self.remote_address.map(|address| address.to_canonical().to_string())
    }

    /// The media type of the body in lower case, without parameters.
    pub fn content_type(&self) -> Option<String> {
        let value = self.header("content-type")?;
        Some(value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
    }

    /// A parameter of that media type, without its quotes.
    pub fn content_parameter(&self, name: &str) -> Option<String> {
        parameter(&self.header("content-type")?, name)
    }
}

/// A request that belongs to a trigger of a workspace: as it came for those who prove who calls, and without credentials for
/// all others.
#[derive(Clone, Debug)]
pub struct Callback {
    pub id: CallbackId,
    pub workspace: Name,
    pub environment: Name,
    pub request: Request,
    /// Scheme, host and port under which callers reach this server, without a slash at the end.
    pub base_url: String,
    /// What it came for; `None` for a ticket without a flow.
    pub site: Option<Arc<Site>>,
    /// What a verifier said of it.
    pub claims: Option<Arc<Value>>,
}

/// A trigger of a flow, by their names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    pub flow: Name,
    /// The trigger's id.
    pub trigger: Name,
}

impl Callback {
    /// The absolute URL as the caller used it.
    pub fn url(&self) -> String {
        let Request { path, query, .. } = &self.request;
        let separator = if query.is_empty() { "" } else { "?" };
        format!("{}{path}{separator}{query}", self.base_url)
    }

    /// The path as the caller used it.
    pub fn path(&self) -> String {
        let rest = self.base_url.split_once("://").map_or("", |(_, rest)| rest);
        let prefix = rest.find('/').and_then(|at| rest.get(at..)).unwrap_or_default();
        format!("{prefix}{}", self.request.path)
    }

    /// What expressions see as `callback`. The body is there as text when it is UTF-8.
    pub fn to_json(&self) -> Value {
        let Request { method, path, .. } = &self.request;
        let headers: Map<String, Value> = self.headers().map(|(name, value)| (name, value.into())).collect();
        serde_json::json!({
            "id": self.id, "method": method.as_str(), "path": path, "query": self.query(), "headers": headers,
            "body": std::str::from_utf8(self.request.content()).ok(), "claims": self.claims,
            "remote_address": self.request.address(),
        })
    }

    /// The parameters of the query by their names, and what keys with brackets build (A-FR-9). That is always an object: a
    /// parameter that has its name is in it.
    pub fn query(&self) -> Map<String, Value> {
        let mut query = Map::new();
        for (name, value) in self.request.query_pairs() {
            append(&mut query, &name, value.into_owned());
        }
        if query.keys().any(|name| name.contains('[') || name == NESTED) {
            query.insert(NESTED.to_owned(), Value::Object(crate::query::structure(&self.request.query)));
        }
        query
    }

    /// The headers as texts, each once.
    pub fn headers(&self) -> impl Iterator<Item = (String, String)> {
        let names = self.request.headers.keys();
        names.map(|name| (name.to_string(), self.request.header(name.as_str()).unwrap_or_default()))
    }
}

/// What a callback brings into a flow.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Input {
    /// What its body, or its query, became.
    pub data: Arc<Value>,
    /// Picks, by alias.
    pub fields: Arc<Map<String, Value>>,
    /// Who called, where that is known: the whole user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<Arc<Value>>,
}

impl Input {
    /// What it takes in memory, in bytes; counted no further than just past `max`.
    pub fn weight(&self, max: usize) -> usize {
        let fields: usize = self.fields.values().map(|value| weight(value, max)).sum();
        weight(&self.data, max) + fields + self.user.as_ref().map_or(0, |user| weight(user, max))
    }
}

/// The member of the query under which its structure is.
const NESTED: &str = "nested";

/// A parameter of a header (RFC 9110, 5.6.6), such as `boundary` of `multipart/form-data; boundary="a;b"`.
pub fn parameter(header: &str, name: &str) -> Option<String> {
    let (mut rest, mut found) = (header.split_once(';')?.1, None);
    loop {
        rest = rest.trim_start_matches([' ', '\t', ';']);
        let Some((key, after)) = rest.split_once('=') else { return found };
        let mut value = String::new();
        rest = match after.trim_start().strip_prefix('"') {
            Some(quoted) => {
                let mut characters = quoted.chars();
                while let Some(character) = characters.next().filter(|character| *character != '"') {
                    // Before a quote or itself a backslash quotes; those of names of files on Windows stay.
                    let next = characters.clone().next();
                    let is_escape = character == '\\' && matches!(next, Some('"' | '\\'));
                    value.extend(if is_escape { characters.next() } else { Some(character) });
                }
                characters.as_str().split_once(';').map_or("", |(_, rest)| rest)
            }
            None => {
                let (text, rest) = after.split_once(';').unwrap_or((after, ""));
                text.trim().clone_into(&mut value);
                rest
            }
        };
        if key.trim().eq_ignore_ascii_case(name) {
            // Two readers could take one each.
            if found.is_some() {
                return None;
            }
            found = Some(value);
        }
    }
}

/// A repeated name becomes a list, in order (A-FR-9).
pub fn append(object: &mut serde_json::Map<String, Value>, name: &str, value: String) {
    match object.get_mut(name) {
        None => drop(object.insert(name.to_owned(), value.into())),
        Some(Value::Array(values)) => values.push(value.into()),
        Some(first) => *first = Value::Array(vec![first.take(), value.into()]),
    }
}

#[cfg(test)]
mod tests {
    use super::{append, parameter};
    use serde_json::json;

    #[test]
    fn a_parameter_is_read_with_and_without_quotes() {
        for (header, value) in [
            ("multipart/form-data", None),
            ("multipart/form-data; boundary", None),
            ("a/b; boundary=x; boundary=y", None),
            ("a/b; x=\"boundary=z\"; Boundary=w ; c=d", Some("w")),
            ("a/b;boundary=\"a;b\\\"c\"", Some("a;b\"c")),
            ("a/b; boundary=\"C:\\temp\"", Some("C:\\temp")),
            ("a/b; boundary=\"cut", Some("cut")),
            ("a/b; boundary=", Some("")),
        ] {
            assert_eq!(parameter(header, "boundary").as_deref(), value, "{header}");
        }
    }

    /// A-FR-9.
    #[test]
    fn a_repeated_name_becomes_a_list_in_order() {
        let mut object = serde_json::Map::new();
        for (name, value) in [("a", "1"), ("b", "2"), ("a", "3"), ("a", "4")] {
            append(&mut object, name, value.to_owned());
        }
        assert_eq!(json!(object), json!({ "a": ["1", "3", "4"], "b": "2" }));
    }
}

//! Answers, and how they are stored.

use crate::json;
use base64::Engine;
use bytes::Bytes;
use serde::ser::SerializeStruct;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;

/// An HTTP answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
}

impl Reply {
    pub fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Bytes::new() }
    }

    pub fn json(status: u16, body: &Value) -> Self {
        let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        Self { status, headers, body: body.to_string().into() }
    }

    pub fn text(status: u16, body: impl Into<Bytes>) -> Self {
        let headers = vec![("content-type".to_owned(), "text/plain; charset=utf-8".to_owned())];
        Self { status, headers, body: body.into() }
    }

    pub fn set_content_type(&mut self, content_type: &str) {
        self.headers.retain(|(name, _)| name != "content-type");
        self.headers.push(("content-type".to_owned(), content_type.to_owned()));
    }

    #[must_use]
    pub fn with_header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }
}

/// An answer as it is stored and shown: what it has for a body is written as `body`, or as `body_base64`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "WrittenReply")]
pub struct ReplyRecord {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    /// Shared with the answer itself.
    pub body: Bytes,
}

#[derive(Deserialize)]
struct WrittenReply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Option<String>,
    body_base64: Option<String>,
}

impl From<WrittenReply> for ReplyRecord {
    fn from(written: WrittenReply) -> Self {
        let WrittenReply { status, headers, body, body_base64 } = written;
        let decoded = body_base64.and_then(|text| base64::engine::general_purpose::STANDARD.decode(text).ok());
        Self { status, headers, body: decoded.map_or_else(|| body.unwrap_or_default().into(), Bytes::from) }
    }
}

impl Serialize for ReplyRecord {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (body, body_base64) = text_or_base64(&self.body);
        let mut written = serializer.serialize_struct("ReplyRecord", 3)?;
        written.serialize_field("status", &self.status)?;
        written.serialize_field("headers", &self.headers)?;
        match (body, body_base64) {
            (Some(body), _) => written.serialize_field("body", body)?,
            (None, base64) => written.serialize_field("body_base64", &base64)?,
        }
        written.end()
    }
}

impl From<&Reply> for ReplyRecord {
    fn from(Reply { status, headers, body }: &Reply) -> Self {
        Self { status: *status, headers: headers.clone(), body: body.clone() }
    }
}

impl From<ReplyRecord> for Reply {
    fn from(ReplyRecord { status, headers, body }: ReplyRecord) -> Self {
        Self { status, headers, body }
    }
}

/// Bytes as text when they are UTF-8, else as base64; as well when they have so many control characters, which take six bytes
/// each in JSON, that base64 is shorter.
pub fn text_or_base64(bytes: &[u8]) -> (Option<&str>, Option<String>) {
    match std::str::from_utf8(bytes) {
        Ok(text) if json::control_characters(bytes) <= bytes.len() / 10 => (Some(text), None),
        _ => (None, Some(base64::engine::general_purpose::STANDARD.encode(bytes))),
    }
}

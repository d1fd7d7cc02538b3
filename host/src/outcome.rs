//! What became of a callback, what its caller was answered, and the trace of the stages in between.

use crate::callback::{Callback, Request};
use crate::json;
use crate::name::{CallbackId, ExecutionId, Name, TicketId};
use crate::store::StoreError;
use crate::time::Timestamp;
use base64::Engine;
use bytes::Bytes;
use serde::ser::SerializeStruct;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::Value;
use std::fmt;
use std::sync::Arc;

/// What became of a callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It started an execution.
    Started,
    /// It resumed a waiting execution.
    Resumed,
    /// It waits in the mailbox of an execution.
    Kept,
    /// Its answer was all: that of a ticket, or to a provider's question during set-up.
    Answered,
    /// Its condition was false.
    Ignored,
    /// It was received before.
    Duplicate,
    /// Its caller was not accepted, or its data was not.
    Rejected,
    /// Something of ours, or of a plugin, failed.
    Failed,
}

impl Outcome {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Resumed => "resumed",
            Self::Kept => "kept",
            Self::Answered => "answered",
            Self::Ignored => "ignored",
            Self::Duplicate => "duplicate",
            Self::Rejected => "rejected",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

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

/// A refusal or an error that the caller is told of, in words that tell nothing of the inside: an RFC 9457 problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub status: u16,
    /// Stable and documented.
    pub code: &'static str,
    pub detail: &'static str,
}

impl Problem {
    /// Without an id, no callback was made of the request.
    pub fn reply(&self, callback: Option<CallbackId>) -> Reply {
        let mut body = serde_json::json!({
            "type": "about:blank", "title": self.title(), "status": self.status, "detail": self.detail, "code": self.code,
        });
        if let (Some(body), Some(callback)) = (body.as_object_mut(), callback) {
            body.insert("callback".to_owned(), callback.to_string().into());
        }
        let headers = vec![("content-type".to_owned(), "application/problem+json".to_owned())];
        Reply { status: self.status, headers, body: body.to_string().into() }
    }

    fn title(&self) -> &'static str {
        http::StatusCode::from_u16(self.status).ok().and_then(|status| status.canonical_reason()).unwrap_or("Error")
    }
}

/// What a caller is told who had better come again.
pub const UNAVAILABLE: Problem =
    Problem { status: 503, code: "unavailable", detail: "The server cannot take this callback now." };

/// Why a stage did not let a callback pass: words for the caller in the problem, for the operator in the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    pub problem: Problem,
    pub reason: String,
    /// Whether the caller or its data was refused, rather than that something of ours or of a plugin failed.
    pub refused: bool,
    /// What the caller is told to do in a header: `Allow`, `WWW-Authenticate`, `Retry-After`.
    pub header: Option<(&'static str, String)>,
    /// Whether the same callback may pass a little later: a plugin is busy or rests.
    pub temporary: bool,
}

impl Stop {
    /// The caller or its data is not accepted.
    pub fn refused(status: u16, code: &'static str, detail: &'static str, reason: impl Into<String>) -> Self {
        Self {
            problem: Problem { status, code, detail },
            reason: reason.into(),
            refused: true,
            header: None,
            temporary: false,
        }
    }

    /// The body of the callback could not be taken.
    pub fn unread(problem: &Problem) -> Self {
        Self::refused(problem.status, problem.code, problem.detail, problem.detail)
    }

    /// Something of ours, or of a plugin, failed.
    pub fn failed(status: u16, code: &'static str, detail: &'static str, reason: impl Into<String>) -> Self {
        Self {
            problem: Problem { status, code, detail },
            reason: reason.into(),
            refused: false,
            header: None,
            temporary: false,
        }
    }

    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.header = Some((name, value.into()));
        self
    }

    /// The store could not be read or written.
    pub fn not_stored(error: &StoreError) -> Self {
        if matches!(error, StoreError::TooLarge { .. }) {
            let detail = "What this callback would change is too large to be kept.";
            return Self::refused(413, "change_too_large", detail, error.to_string());
        }
        Self::failed(UNAVAILABLE.status, UNAVAILABLE.code, UNAVAILABLE.detail, error.to_string())
            .with_header("retry-after", "5")
    }

    /// An expression of the flow had no value for this callback.
    pub fn expression(error: &crate::expression::EvaluationError) -> Self {
        Self::failed(500, error.code(), "The flow could not evaluate this callback.", error.to_string())
    }
}

/// The stages of a callback, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    Face,
    Verify,
    Auth,
    Dedupe,
    Parse,
    Condition,
    Select,
    Respond,
    Commit,
    Run,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Face => "face",
            Self::Verify => "verify",
            Self::Auth => "auth",
            Self::Dedupe => "dedupe",
            Self::Parse => "parse",
            Self::Condition => "condition",
            Self::Select => "select",
            Self::Respond => "respond",
            Self::Commit => "commit",
            Self::Run => "run",
        })
    }
}

/// What one stage said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The callback went on.
    Passed,
    /// The callback does not count.
    Ignored,
    /// The callback was refused.
    Refused,
    /// The stage could not do its work.
    Failed,
}

/// The trace of one stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TraceEntry {
    pub stage: Stage,
    pub verdict: Verdict,
    /// Why, in words for the operator.
    pub reason: String,
    pub duration_us: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub plugins: Vec<PluginUse>,
}

/// What a plugin used in one call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PluginUse {
    pub plugin: Name,
    pub digest: String,
    pub duration_us: u64,
    /// The largest size of its memory.
    pub memory_bytes: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<String>,
    /// The class of failure, when it failed: `plugin_trapped`, `plugin_out_of_time`, ….
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// A callback as it is stored and shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CallbackRecord {
    pub id: CallbackId,
    pub received_at: Timestamp,
    pub face: String,
    /// `None` for a ticket without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flow: Option<Name>,
    /// When its flow was made, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flow_made_at: Option<Timestamp>,
    /// The id of the trigger; empty for a ticket without a flow.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub trigger: String,
    /// The ticket whose URL was called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<TicketId>,
    pub environment: Name,
    /// When its environment was made, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment_made_at: Option<Timestamp>,
    pub method: String,
    pub path: String,
    pub query: String,
    pub headers: Vec<(String, String)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_base64: Option<String>,
    /// The size of the body as received; more than what is kept when the callback was not verified.
    pub body_bytes: u64,
    pub outcome: Outcome,
    /// The execution that it started, resumed or waits for; the first of several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution: Option<ExecutionId>,
    /// Who called, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<Arc<Value>>,
    /// How many executions it resumed, when it was for all that wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resumed_count: Option<u64>,
    /// The callback that it repeats: one that a user sent again, or the first of the same delivery.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay_of: Option<CallbackId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply: Option<ReplyRecord>,
    pub trace: Vec<TraceEntry>,
}

impl CallbackRecord {
    #[cfg(test)]
    pub fn for_testing() -> Self {
        Self {
            id: CallbackId::new(),
            received_at: Timestamp::default(),
            face: "native".to_owned(),
            flow: Some(Name::default_name()),
            flow_made_at: None,
            trigger: "hook".to_owned(),
            ticket: None,
            environment: Name::default_name(),
            environment_made_at: None,
            method: "POST".to_owned(),
            path: "/".to_owned(),
            query: String::new(),
            headers: Vec::new(),
            body: None,
            body_base64: None,
            body_bytes: 0,
            outcome: Outcome::Ignored,
            execution: None,
            resumed_count: None,
            user: None,
            replay_of: None,
            reply: None,
            trace: Vec::new(),
        }
    }

    /// The entry of the stage that decided: the first that did not let the callback pass, else the last that has
    /// a reason for the outcome.
    pub fn deciding(&self) -> Option<&TraceEntry> {
        let decision = |entry: &&TraceEntry| entry.verdict != Verdict::Passed;
        self.trace.iter().find(decision).or_else(|| self.trace.iter().find(|entry| entry.stage == Stage::Select))
    }
}

/// Most stages that a record names: the first and the last, with a line in between that says how many there were.
const TRACE_FIRST_MAX: usize = 64;
const TRACE_LAST_MAX: usize = 32;
/// Most characters of a reason.
const REASON_CHARS_MAX: usize = 2000;
/// Most calls of plugins that a record tells of.
const PLUGIN_USES_MAX: usize = 64;

/// The trace as it is kept: however many executions a callback asked, its record stays small.
pub fn bounded(mut trace: Vec<TraceEntry>) -> Vec<TraceEntry> {
    let left_out = trace.len().saturating_sub(TRACE_FIRST_MAX + TRACE_LAST_MAX);
    if left_out > 0 {
        let middle = TRACE_FIRST_MAX..TRACE_FIRST_MAX + left_out;
        let of = |count: fn(&TraceEntry) -> u64| trace.get(middle.clone()).unwrap_or_default().iter().map(count).sum();
        let said = TraceEntry {
            stage: trace.get(TRACE_FIRST_MAX).map_or(Stage::Select, |entry| entry.stage),
            verdict: Verdict::Passed,
            reason: format!("{left_out} more entries like these are left out"),
            duration_us: of(|entry| entry.duration_us),
            plugins: Vec::new(),
        };
        trace.splice(middle, [said]);
    }
    let mut room = PLUGIN_USES_MAX;
    for entry in &mut trace {
        entry.plugins.truncate(room);
        room -= entry.plugins.len();
        entry.reason = shortened(std::mem::take(&mut entry.reason));
    }
    trace
}

/// A reason, cut off where it is too long to be read.
pub fn shortened(mut reason: String) -> String {
    if reason.len() > REASON_CHARS_MAX
        && let Some((end, _)) = reason.char_indices().nth(REASON_CHARS_MAX)
    {
        reason.truncate(end);
        reason.push('…');
    }
    reason
}

impl CallbackRecord {
    /// The record of a callback without credentials, of which nothing is known yet but what was received, with so much of
    /// its body.
    pub fn received(callback: &Callback, face: &str, body_bytes_max: usize) -> Self {
        let Callback { id, environment, request, .. } = callback;
        let kept = request.body.len().min(body_bytes_max);
        let (body, body_base64) = text_or_base64(request.body.get(..kept).unwrap_or_default());
        let body = body.map(str::to_owned);
        let headers = request
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect();
        Self {
            id: *id,
            received_at: request.received_at,
            face: face.to_owned(),
            flow: None,
            flow_made_at: None,
            trigger: String::new(),
            ticket: None,
            environment: environment.clone(),
            environment_made_at: None,
            method: request.method.to_string(),
            path: request.path.clone(),
            query: request.query.clone(),
            headers,
            body,
            body_base64,
            body_bytes: request.body.len() as u64,
            outcome: Outcome::Failed,
            execution: None,
            user: None,
            resumed_count: None,
            replay_of: None,
            reply: None,
            trace: Vec::new(),
        }
    }

    /// Whether its caller proved itself.
    pub fn was_verified(&self) -> bool {
        let refused = |entry: &TraceEntry| entry.stage == Stage::Auth && entry.verdict != Verdict::Passed;
        self.trace.iter().any(|entry| entry.stage == Stage::Verify && entry.verdict == Verdict::Passed)
            && !self.trace.iter().any(refused)
    }

    /// Notes a later decision.
    pub fn decide(&mut self, outcome: Outcome, verdict: Verdict, reason: String) {
        self.outcome = outcome;
        self.trace.push(TraceEntry { stage: Stage::Select, verdict, reason, duration_us: 0, plugins: Vec::new() });
        self.trace = bounded(std::mem::take(&mut self.trace));
    }

    /// The callback again, without the headers that are not kept.
    pub fn into_callback(self, workspace: Name, base_url: String) -> Callback {
        let decoded = self.body_base64.and_then(|text| base64::engine::general_purpose::STANDARD.decode(text).ok());
        let headers = self
            .headers
            .into_iter()
            .filter_map(|(name, value)| {
                Some((http::HeaderName::try_from(name).ok()?, http::HeaderValue::try_from(value).ok()?))
            })
            .collect();
        Callback {
            id: self.id,
            workspace,
            environment: self.environment,
            request: Request {
                method: self.method.parse().unwrap_or(http::Method::POST),
                path: self.path,
                query: self.query,
                headers,
                body: decoded.map_or_else(|| self.body.unwrap_or_default().into(), Bytes::from),
                unread: None,
                received_at: self.received_at,
            },
            base_url,
        }
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

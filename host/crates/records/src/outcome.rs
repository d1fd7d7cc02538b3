//! What became of a callback, and the record that is kept of it.

use crate::callback::{Callback, Request, Site};
use crate::name::{CallbackId, ExecutionId, Name, TicketId};
use crate::reply::{ReplyRecord, text_or_base64};
use crate::time::Timestamp;
use crate::trace::{Stage, TraceEntry, Verdict, bounded};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

/// What became of a callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It started an execution.
    Started,
    /// It resumed a waiting execution.
    Resumed,
    /// It waits in the mailbox of an execution.
    Kept,
    /// Its answer was all: that of a ticket, or to a provider's question during set-up; or callbacks were made of its parts.
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
    pub const ALL: [Self; 8] = [
        Self::Started,
        Self::Resumed,
        Self::Kept,
        Self::Answered,
        Self::Ignored,
        Self::Duplicate,
        Self::Rejected,
        Self::Failed,
    ];

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

/// Which part of a callback another one is, whose trigger makes one of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    pub of: CallbackId,
    /// From 1.
    pub number: u32,
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
    /// Where it came from, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote_address: Option<IpAddr>,
    pub headers: Vec<(String, String)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_base64: Option<String>,
    /// The bytes as received, where they have a `Content-Encoding` that is left out of the body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoded_base64: Option<String>,
    /// The size of the body as received; more than what is kept when the callback was not verified.
    pub body_bytes: u64,
    pub outcome: Outcome,
    /// The execution that it started, resumed or waits for; the first of several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution: Option<ExecutionId>,
    /// Who called, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<Arc<Value>>,
    /// What a verifier said of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claims: Option<Arc<Value>>,
    /// How many executions it resumed, when it was for all that wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resumed_count: Option<u64>,
    /// The callback that it repeats: one that a user sent again, or the first of the same delivery.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay_of: Option<CallbackId>,
    /// Whether the user who sent it again gave it another body.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_edited: bool,
    /// Which part of another callback it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<Part>,
    /// The callbacks that were made of its parts, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<CallbackId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply: Option<ReplyRecord>,
    pub trace: Vec<TraceEntry>,
}

impl CallbackRecord {
    #[doc(hidden)]
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
            remote_address: None,
            headers: Vec::new(),
            body: None,
            body_base64: None,
            encoded_base64: None,
            body_bytes: 0,
            outcome: Outcome::Ignored,
            execution: None,
            resumed_count: None,
            user: None,
            claims: None,
            replay_of: None,
            is_edited: false,
            part: None,
            parts: Vec::new(),
            reply: None,
            trace: Vec::new(),
        }
    }

    /// The entry of the stage that decided: the first that did not let the callback pass, else the last that has
    /// a reason for the outcome.
    pub fn deciding(&self) -> Option<&TraceEntry> {
        let decision = |entry: &&TraceEntry| entry.verdict != Verdict::Passed;
        self.trace.iter().find(decision).or_else(|| self.trace.iter().rfind(|entry| entry.stage == Stage::Select))
    }
}

impl CallbackRecord {
    /// The record of a callback without credentials, of which nothing is known yet but what was received, with so much of
    /// its body.
    pub fn received(callback: &Callback, face: &str, body_bytes_max: usize) -> Self {
        let Callback { id, environment, request, .. } = callback;
        let content = request.content();
        let kept = content.len().min(body_bytes_max);
        let (body, body_base64) = text_or_base64(content.get(..kept).unwrap_or_default());
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
            remote_address: request.remote_address,
            headers,
            body,
            body_base64,
            encoded_base64: request.expanded.as_ref().map(|_| STANDARD.encode(&request.body)),
            body_bytes: request.body.len() as u64,
            outcome: Outcome::Failed,
            execution: None,
            user: None,
            claims: callback.claims.clone(),
            resumed_count: None,
            replay_of: None,
            is_edited: false,
            part: None,
            parts: Vec::new(),
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
        let decoded = |text: Option<String>| text.and_then(|text| STANDARD.decode(text).ok());
        let content = decoded(self.body_base64).map_or_else(|| self.body.unwrap_or_default().into(), Bytes::from);
        let (body, expanded) = match decoded(self.encoded_base64) {
            Some(body) => (body.into(), Some(content)),
            None => (content, None),
        };
        let headers = self
            .headers
            .into_iter()
            .filter_map(|(name, value)| {
                Some((http::HeaderName::try_from(name).ok()?, http::HeaderValue::try_from(value).ok()?))
            })
            .collect();
        let trigger = self.trigger.parse().ok();
        let site = self.flow.zip(trigger).map(|(flow, trigger)| Arc::new(Site { flow, trigger }));
        Callback {
            id: self.id,
            workspace,
            environment: self.environment,
            request: Request {
                method: self.method.parse().unwrap_or(http::Method::POST),
                path: self.path,
                query: self.query,
                headers,
                body,
                expanded,
                unread: None,
                received_at: self.received_at,
                remote_address: self.remote_address,
                address_doubt: None,
            },
            base_url,
            site,
            claims: self.claims,
        }
    }
}

//! Flows: what a person writes, checked and made ready to run.

mod document;
mod parse;

pub use document::Mistake;
pub use parse::parse;

use crate::auth::Auth;
use crate::condition::Condition;
use crate::expression::{Cel, Scope, Template};
use crate::face::{Face, Mode};
use crate::parse::{Parse, Pick};
use crate::plugin_call::PluginCall;
use crate::rate_limit::Limit;
use crate::redact::Names;
use crate::verify::Verify;
use http::Method;
use ringback_records::name::Name;
use ringback_records::time::{Timestamp, parse_duration};
use serde_json::Value;
use std::time::Duration;
use uuid::Uuid;

/// The JSON Schema of flow files, for editors.
pub const SCHEMA: &str = include_str!("flow/schema.json");

/// A flow of one version, ready to run.
#[derive(Debug)]
pub struct Flow {
    pub name: Name,
    pub version: u32,
    pub triggers: Vec<Trigger>,
    /// The steps in the order of the file, branches in line: an `if` jumps over what it does not run.
    pub steps: Vec<Step>,
}

/// A step that waits for a callback.
#[derive(Debug)]
pub struct Trigger {
    /// Stable over versions: from `id:`, else made from the name.
    pub id: Name,
    pub name: String,
    /// Where it stands in the file.
    pub at: Place,
    /// What its URLs are made of, as far as the flow brings it along.
    pub ids: GivenIds,
    /// At least one: each has a URL.
    pub faces: Vec<&'static dyn Face>,
    /// Each with a URL of its own, at faces that have them.
    pub callbacks: Vec<CallbackSpec>,
    /// Environments other than `default` that it has URLs for, at faces that have a place for them.
    pub environments: Vec<Name>,
    /// `None` for what the face takes.
    pub methods: Option<Vec<Method>>,
    /// How often it may be called.
    pub limit: Option<Limit>,
    /// Headers and parameters that are not kept, besides those that are known.
    pub redact: Names,
    pub verify: Verify,
    pub auth: Auth,
    pub parse: Parse,
    /// Picks by alias.
    pub fields: Vec<(String, Pick)>,
    pub when: Option<Condition>,
    pub mode: Mode,
    pub respond_within: Duration,
    pub reply: Option<ReplySpec>,
    /// How long a callback is kept for an execution that does not wait yet; `None` when it is not kept.
    pub mailbox: Option<Duration>,
    pub dedupe: Option<Dedupe>,
}

impl Trigger {
    /// Whether its callers prove more than that they have its URL.
    pub fn is_proved(&self) -> bool {
        self.verify.is_signed() || self.auth.is_needed()
    }
}

/// What the URLs of a trigger are made of elsewhere, so that its callers change the host name and nothing else.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GivenIds {
    pub key: Option<String>,
    /// Of the flow.
    pub flow: Option<Uuid>,
    /// Of the trigger.
    pub trigger: Option<Uuid>,
}

/// One of a trigger's callbacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallbackSpec {
    pub name: Name,
    /// What its URL is made of elsewhere.
    pub id: Option<String>,
    pub signature: Option<String>,
    /// What its answers say that they are; nobody checks (PW-21).
    pub content_type: String,
}

/// How a callback is known again.
#[derive(Debug)]
pub struct Dedupe {
    /// What identifies it; `None` for the delivery id that the verification found.
    pub by: Option<Template>,
    /// Whether the same id with other bytes is the same; `None` where that follows from the id.
    pub same: Option<Same>,
    /// How long it is remembered.
    pub window: Duration,
}

/// What the same delivery has in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Same {
    /// Its id: senders count attempts in the body, or make it again.
    Id,
    /// Its id and its body.
    Bytes,
}

/// What happens when no callback ends a wait in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnTimeout {
    Fail,
    Continue,
    /// Goes on at this step.
    GoTo(usize),
}

/// A request that a flow sends.
#[derive(Debug)]
pub struct HttpCall {
    pub method: Method,
    pub url: Template,
    pub headers: Vec<(String, Template)>,
    pub body: BodySpec,
    pub timeout: Duration,
    pub retry: Retry,
    pub on_error: OnError,
    /// The secrets that it names.
    pub secrets: Vec<String>,
}

/// What a status of 400 or more, or no answer at all, means for the flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnError {
    Fail,
    Continue,
}

/// How often and when a request is sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// All of them, the first included.
    pub attempts: u32,
    /// The pause after the first; it doubles each time.
    pub backoff: Duration,
}

impl Trigger {
    /// The methods that a callback may have at a face.
    pub fn methods(&self, face: &dyn Face) -> &[Method] {
        self.methods.as_deref().unwrap_or_else(|| face.methods())
    }
}

impl Retry {
    /// Longest pause.
    const PAUSE_MAX: Duration = Duration::from_hours(1);

    /// The pause after an attempt, from half of it to the whole: executions that failed together come back spread out. The
    /// same seed gives the same pause.
    pub fn pause(&self, attempt: u32, seed: &str) -> Duration {
        let whole = self.backoff.saturating_mul(1 << attempt.saturating_sub(1).min(20)).min(Self::PAUSE_MAX);
        let spread = f64::from(crc32fast::hash(format!("{seed}/{attempt}").as_bytes())) / f64::from(u32::MAX);
        whole.mul_f64(0.5 + spread / 2.0)
    }
}

/// How long a flow pauses.
#[derive(Debug)]
pub enum Delay {
    /// A duration: `10m`.
    For(Template),
    /// A point in time, RFC 3339.
    Until(Template),
}

impl Delay {
    /// When the pause is over.
    ///
    /// # Errors
    ///
    /// The expression has no value, or one that is no time: a stable code, and words.
    pub fn until(&self, scope: &Scope<'_>, now: Timestamp) -> Result<Timestamp, (&'static str, String)> {
        let (Self::For(template) | Self::Until(template)) = self;
        let text = template.render_text(scope).map_err(|error| (error.code(), error.to_string()))?;
        let until = match self {
            Self::For(_) => parse_duration(&text).map(|duration| now.saturating_add(duration)),
            Self::Until(_) => parse_time(&text),
        };
        until.map_err(|message| ("expression_failed", message))
    }
}

/// A point in time.
///
/// # Errors
///
/// It is none, in words.
pub fn parse_time(text: &str) -> Result<Timestamp, String> {
    let shown: String = text.chars().take(80).collect();
    text.parse().map_err(|_| format!("`{shown}` is not a time; write it like 2026-01-31T12:00:00Z"))
}

/// How an answer is made.
#[derive(Debug)]
pub enum ReplySpec {
    Template {
        status: Template,
        headers: Vec<(String, Template)>,
        body: BodySpec,
    },
    /// Sends the caller to another URL.
    Redirect {
        status: Template,
        headers: Vec<(String, Template)>,
        url: Template,
    },
    Plugin(PluginCall),
}

/// The body of an answer.
#[derive(Debug)]
pub enum BodySpec {
    Empty,
    Json(Template),
    Text(Template),
}

/// One step, with its place in the file for the journal: `steps[2].then[0]`.
#[derive(Debug)]
pub struct Step {
    pub path: String,
    pub action: Action,
}

/// What a step does.
#[derive(Debug)]
pub enum Action {
    /// Waits for a callback of this trigger.
    Trigger {
        trigger: usize,
        timeout: Option<Duration>,
        on_timeout: OnTimeout,
    },
    Http {
        call: Box<HttpCall>,
        result: Option<String>,
    },
    Delay(Delay),
    Plugin {
        call: PluginCall,
        result: Option<String>,
    },
    /// Makes a ticket; the template becomes what the API takes.
    Ticket {
        request: Template,
        result: Option<String>,
    },
    Set(Vec<(String, Template)>),
    /// Goes on with the next step when true, else at `otherwise`.
    If {
        when: Cel,
        otherwise: usize,
    },
    /// Goes on at this step: the end of a `then` before its `else`.
    Jump(usize),
    Respond {
        reply: ReplySpec,
        end: bool,
    },
    Fail {
        message: Template,
    },
}

impl Action {
    /// The word for it in flow files.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Trigger { .. } => "trigger",
            Self::Http { .. } => "http",
            Self::Delay(_) => "delay",
            Self::Plugin { .. } => "plugin",
            Self::Ticket { .. } => "ticket",
            Self::Set(_) => "set",
            Self::If { .. } | Self::Jump(_) => "if",
            Self::Respond { .. } => "respond",
            Self::Fail { .. } => "fail",
        }
    }
}

/// A flow as it was written, and what has to be checked outside it before it is deployed.
#[derive(Debug)]
pub struct Parsed {
    pub flow: Flow,
    pub plugins: Vec<PluginMention>,
    /// The secrets that it names.
    pub secrets: Vec<String>,
    /// Mistakes that were none once: the flow is not deployed any more, but one that is deployed goes on.
    pub refused: Vec<Mistake>,
    /// What is no mistake, but easily overlooked.
    pub notes: Vec<String>,
}

/// A place where a flow names a plugin.
#[derive(Debug)]
pub struct PluginMention {
    pub plugin: Name,
    pub role: ringback_records::plugin::Role,
    /// The configuration, where it does not depend on a callback.
    pub config: Option<Value>,
    /// Where the name stands.
    pub name_at: Place,
    /// Where the configuration stands.
    pub config_at: Place,
}

/// A place in a flow file.
#[derive(Clone, Debug)]
pub struct Place {
    pub line: usize,
    pub column: usize,
    pub path: String,
}

impl Place {
    pub fn mistake(&self, detail: impl Into<String>) -> Mistake {
        Mistake { line: self.line, column: self.column, path: self.path.clone(), detail: detail.into() }
    }
}

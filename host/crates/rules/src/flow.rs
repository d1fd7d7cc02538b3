//! Flows: what a person writes, checked and made ready to run.

pub(crate) mod document;
mod edit;
pub(crate) mod parse;
pub(crate) mod schema;

pub use crate::place::{Mistake, Place, TextPlace};
pub use crate::reply::{BodySpec, ReplySpec};
pub use document::place_within;
pub use edit::{text_of_key, with_key};
pub use parse::{MissingFile, in_order, missing_files, parse, scripts, with_files};
pub use schema::SCHEMA;

use crate::auth::Auth;
use crate::condition::Condition;
use crate::correlation::{Concurrency, Correlate};
use crate::execution::Kind;
use crate::expression::{JsonPath, Template};
use crate::face::{Face, Mode};
use crate::fit::Fit;
use crate::network::Network;
use crate::parse::{Parse, Pick};
use crate::rate_limit::Limit;
use crate::redact::Names;
use crate::verify::Verify;
use http::Method;
use ringback_records::name::Name;
use serde_json::Value;
use std::time::Duration;
use uuid::Uuid;

/// A flow of one version, ready to run.
#[derive(Debug)]
pub struct Flow {
    pub name: Name,
    pub version: u32,
    pub triggers: Vec<Trigger>,
    /// The steps, each with those within it.
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
    /// Whether a GET shows a page that asks first, and a click on it is the callback.
    pub confirm: bool,
    /// Networks that it may be called from; all when empty.
    pub allow_from: Vec<Network>,
    /// Origins whose pages may call it and read its answers; `*` for all.
    pub allow_origins: Vec<String>,
    /// How often it may be called.
    pub limit: Option<Limit>,
    /// Headers and parameters that are not kept, besides those that are known.
    pub redact: Names,
    pub verify: Verify,
    /// Whether a callback that does not prove itself is refused; else that is noted.
    pub enforce: bool,
    pub auth: Auth,
    pub parse: Parse,
    /// What of the data is a callback of its own, each: all that follows is about one of them.
    pub split: Option<JsonPath>,
    /// What data must be like.
    pub schema: Option<Fit>,
    /// Picks by alias.
    pub fields: Vec<(String, Pick)>,
    pub when: Option<Condition>,
    pub mode: Mode,
    pub respond_within: Duration,
    pub reply: Option<ReplySpec>,
    /// How long a callback is kept for an execution that does not wait yet; `None` when it is not kept.
    pub mailbox: Option<Duration>,
    pub dedupe: Option<Dedupe>,
    /// By what its callbacks find the executions that they are for.
    pub correlate: Option<Correlate>,
    /// How many executions that it starts are there at a time.
    pub concurrency: Option<Concurrency>,
}

impl Trigger {
    /// Whether its callers prove more than that they have its URL.
    pub fn is_proved(&self) -> bool {
        (self.enforce && self.verify.is_signed()) || self.auth.is_needed()
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

impl Trigger {
    /// The methods that a callback may have at a face.
    pub fn methods(&self, face: &dyn Face) -> &[Method] {
        self.methods.as_deref().unwrap_or_else(|| face.methods())
    }
}

/// One step.
#[derive(Debug)]
pub struct Step {
    /// Its place in the file, for the journal: `steps[2].then[0]`.
    pub path: String,
    /// Its number among all steps in the order of the file, as versions counted that had jumps between them.
    pub(crate) number: usize,
    pub(crate) kind: Box<dyn Kind>,
}

/// A flow as it was written, and what has to be checked outside it before it is deployed.
#[derive(Debug)]
pub struct Parsed {
    pub flow: Flow,
    pub plugins: Vec<PluginMention>,
    /// The secrets that it proves by who calls.
    pub secrets: Vec<String>,
    /// Those that its requests send.
    pub secrets_sent: Vec<String>,
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
    /// Where the lines of the script stand, if it is one: the plugin is the server's then.
    pub script: Option<TextPlace>,
}

impl PluginMention {
    /// Whether it is a plugin that somebody uploads.
    pub fn is_uploaded(&self) -> bool {
        self.script.is_none()
    }
}

//! The journal of an execution, and what it comes to: the records that are kept.

use crate::callback::Input;
use crate::json;
use crate::name::{CallbackId, ExecutionId, Name, sha256};
use crate::reply::ReplyRecord;
use crate::time::Timestamp;
use crate::weight::weight;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Where an execution stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// A step is under way, or about to be.
    Running,
    /// It waits for a callback, or for a time.
    Waiting,
    /// It ran to its end.
    Completed,
    /// A step failed.
    Failed,
    /// A wait ended without a callback, and the flow does not go on.
    TimedOut,
    /// Someone ended it.
    Cancelled,
}

impl Status {
    pub const ALL: [Self; 6] =
        [Self::Running, Self::Waiting, Self::Completed, Self::Failed, Self::TimedOut, Self::Cancelled];

    pub fn is_ended(self) -> bool {
        !matches!(self, Self::Running | Self::Waiting)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::TimedOut => "timed-out",
            Self::Cancelled => "cancelled",
        }
    }
}

/// An execution without its journal, as it is listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    pub id: ExecutionId,
    pub flow: Name,
    pub flow_version: u32,
    pub environment: Name,
    /// When its environment was made: with one that is made again it has nothing to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment_made_at: Option<Timestamp>,
    pub status: Status,
    /// The callback that started it.
    pub callback: CallbackId,
    pub started_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<StepError>,
    /// What it waits for, while it waits.
    #[serde(default, rename = "wait", with = "one_or_several", skip_serializing_if = "Vec::is_empty")]
    pub waits: Vec<Wait>,
    /// The keys that it holds, until it lets go of them or ends.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub holds: Vec<Held>,
    /// The number of its journal entries.
    pub entries: u32,
}

impl Summary {
    /// Whether it waits for a callback of a trigger.
    pub fn waits_at(&self, trigger: &Name) -> bool {
        self.waits.iter().any(|wait| wait.trigger.as_ref() == Some(trigger))
    }

    /// The key by which a callback of a trigger finds it, while it waits there for one.
    pub fn key_at(&self, trigger: &Name) -> Option<&str> {
        self.waits.iter().find(|wait| wait.trigger.as_ref() == Some(trigger))?.key.as_deref()
    }

    /// The first of its waits that is over by itself.
    pub fn due(&self, now: Timestamp) -> Option<&Wait> {
        self.waits.iter().find(|wait| wait.until.is_some_and(|until| until <= now))
    }
}

/// A wait as it was stored when an execution had one at most, or several in a list.
mod one_or_several {
    use super::Wait;
    use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
    use serde::de::{MapAccess, SeqAccess, Visitor};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use std::fmt;

    struct Waits;

    impl<'de> Visitor<'de> for Waits {
        type Value = Vec<Wait>;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("a wait, or a list of waits")
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
            Wait::deserialize(MapAccessDeserializer::new(map)).map(|wait| vec![wait])
        }

        fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
            Vec::deserialize(SeqAccessDeserializer::new(list))
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Wait>, D::Error> {
        deserializer.deserialize_any(Waits)
    }

    pub(super) fn serialize<S: Serializer>(waits: &[Wait], serializer: S) -> Result<S::Ok, S::Error> {
        match waits {
            [wait] => wait.serialize(serializer),
            waits => waits.serialize(serializer),
        }
    }
}

/// What an execution waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Wait {
    /// The id of the trigger, when it waits for a callback; else it waits for a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub trigger: Option<Name>,
    /// The key by which callbacks find it, where the trigger has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The step's place in the flow.
    pub step: String,
    /// The rounds of the loops around it, from the outermost on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rounds: Vec<u32>,
    #[schema(value_type = String, format = DateTime)]
    pub since: Timestamp,
    /// When the wait ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub until: Option<Timestamp>,
}

/// A key that an execution holds at a trigger: callbacks of it that say the same are for this one, or come after it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Held {
    /// The id of the trigger.
    #[schema(value_type = String)]
    pub trigger: Name,
    pub key: String,
}

/// What a key is found by, in an environment that was made at a time: one that is made again has none of the keys of before.
pub fn key_digest(environment_made_at: Option<Timestamp>, key: &str) -> [u8; 32] {
    let made_at = environment_made_at.map(|made_at| made_at.as_millis().to_string()).unwrap_or_default();
    sha256(format!("{made_at}\0{key}").as_bytes())
}

/// Why a step failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct StepError {
    /// Stable: `flow_failed`, `expression_failed`, `plugin_trapped`, ….
    pub code: String,
    /// In words.
    pub message: String,
    /// The step's place in the flow: `steps[2].then[0]`.
    pub step: String,
}

/// One line of a journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    pub at: Timestamp,
    /// The step's place in the flow.
    pub step: String,
    /// The rounds of the loops around it, from the outermost on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rounds: Vec<u32>,
    #[serde(flatten)]
    pub kind: EntryKind,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum EntryKind {
    /// A callback started the execution.
    Started {
        callback: CallbackId,
        trigger: String,
        /// The keys that it holds from then on.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        holds: Vec<Held>,
        #[serde(flatten)]
        input: Input,
    },
    /// The execution began to wait for a callback of a trigger.
    Waiting {
        trigger: Name,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
        /// The key by which callbacks find it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<String>,
    },
    /// A callback ended the wait.
    Resumed {
        callback: CallbackId,
        trigger: String,
        #[serde(flatten)]
        input: Input,
    },
    /// No callback ended the wait in time.
    TimedOut { trigger: String },
    /// A plugin step answered.
    Plugin {
        plugin: Name,
        digest: String,
        duration_us: u64,
        /// As in traces.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cpu_us: Option<u64>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        result: Value,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        log: Vec<String>,
    },
    /// An http step was answered, or goes on without an answer.
    Http {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// `status`, `headers` and `body`; or `error`.
        result: Value,
        attempt: u32,
        duration_us: u64,
    },
    /// A ticket was made.
    Ticket {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// `url`, `state` and `id`.
        result: Value,
    },
    /// What an http step sends, with each of its attempts.
    HttpRequest {
        request: PreparedRequest,
        /// The `Idempotency-Key` of the attempts; journals of earlier versions do not say it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<String>,
    },
    /// An http step got no useful answer, and tries again.
    HttpRetry { attempt: u32, problem: String, until: Timestamp },
    /// A pause began.
    Delayed { until: Timestamp },
    /// The time of a pause has come.
    Woken,
    /// Values were set.
    Set { values: Map<String, Value> },
    /// A branch was chosen.
    If {
        holds: bool,
        /// What the condition asked about, when that is not there.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        absent: Option<String>,
    },
    /// The waiting caller was answered.
    Responded {
        reply: ReplyRecord,
        end: bool,
        /// What the plugin logged that made the answer.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        log: Vec<String>,
    },
    /// A step failed, and with it the execution.
    Failed {
        error: StepError,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        log: Vec<String>,
        /// Whether nobody knows what became of its request: there was no answer.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        unanswered: bool,
    },
    /// Someone lets it try the failed step again.
    Retried,
    /// Someone ended it.
    Cancelled,
    /// The last step was done.
    Completed,
}

impl EntryKind {
    /// What the values that it brings take in memory, in bytes; counted no further than just past `max`.
    pub fn weight(&self, max: usize) -> usize {
        match self {
            Self::Started { input, .. } | Self::Resumed { input, .. } => input.weight(max),
            Self::Plugin { result, .. } | Self::Http { result, .. } | Self::Ticket { result, .. } => {
                weight(result, max)
            }
            Self::HttpRequest { request, .. } => request.weight(max),
            Self::Set { values } => values.values().map(|value| weight(value, max)).sum(),
            Self::Responded { reply, .. } => reply.body.len() + json::escapes(&reply.body),
            Self::Waiting { .. }
            | Self::TimedOut { .. }
            | Self::HttpRetry { .. }
            | Self::Delayed { .. }
            | Self::Woken
            | Self::If { .. }
            | Self::Failed { .. }
            | Self::Retried
            | Self::Cancelled
            | Self::Completed => 0,
        }
    }
}

/// A request but for its secrets, which are put in when it is sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PreparedRequest {
    pub url: Settled,
    /// In the order of the flow's; `None` for one that carries a credential, which is made again for each attempt.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<Option<Settled>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Settled>,
}

/// What a template came to, but for what was left open: it is finished when that is known, and comes to the same each time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Settled {
    Value(Value),
    /// An expression that is open, by its number among those of the template.
    Expression(usize),
    /// Pieces of a text.
    Text(Vec<Settled>),
    List(Vec<Settled>),
    Object(Vec<(String, Settled)>),
}

impl PreparedRequest {
    /// What it takes in memory, in bytes; counted no further than just past `max`.
    pub fn weight(&self, max: usize) -> usize {
        let headers = self.headers.iter().flatten();
        headers.chain([&self.url]).chain(&self.body).map(|settled| settled.weight(max)).sum()
    }
}

impl Settled {
    /// What it takes in memory, in bytes; counted no further than just past `max`.
    pub fn weight(&self, max: usize) -> usize {
        match self {
            Self::Value(value) => weight(value, max),
            Self::Expression(_) => 16,
            Self::Text(items) | Self::List(items) => items.iter().map(|item| item.weight(max)).sum(),
            Self::Object(members) => members.iter().map(|(name, member)| name.len() + member.weight(max)).sum(),
        }
    }
}

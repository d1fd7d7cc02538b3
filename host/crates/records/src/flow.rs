//! Flows and their versions, as they are stored; what the URLs of their triggers are made of.

use crate::name::{Name, key_of};
use crate::time::Timestamp;
use aws_lc_rs::hmac;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// A flow without the sources of its versions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowRecord {
    pub name: Name,
    /// The deployed version.
    pub version: u32,
    /// The first version: those before belonged to a flow of the same name that was removed. 0 where none is known of.
    #[serde(default)]
    pub first_version: u32,
    /// What tells it from one of the same name that was removed; `None` for one of before this was noted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_at: Option<Timestamp>,
    pub enabled: bool,
    /// What the URLs of each trigger are made of, by trigger id; it outlives versions.
    #[serde(default)]
    pub ids: BTreeMap<Name, Ids>,
    /// The keys alone, in records of before there were faces.
    #[serde(default, skip_serializing)]
    pub keys: BTreeMap<Name, String>,
    /// Triggers that had URLs, but are not in the deployed version any more.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub gone: BTreeMap<Name, GoneTrigger>,
    pub updated_at: Timestamp,
}

/// A trigger that the deployed version of its flow does not have. Executions of earlier versions may wait there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GoneTrigger {
    /// The last version that had it.
    pub version: u32,
    /// The names of its faces there.
    pub faces: Vec<String>,
    /// It was the first: nobody waits there.
    #[serde(default)]
    pub starts: bool,
}

/// A version of a flow as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "StoredVersion")]
pub struct FlowVersionRecord {
    pub source: String,
    /// `None` for a version of before this was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployed_at: Option<Timestamp>,
    /// The plugins that it names; `None` for a version of before this was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugins: Option<BTreeSet<Name>>,
}

/// The forms in which versions have been stored.
#[derive(Deserialize)]
#[serde(untagged)]
enum StoredVersion {
    Source(String),
    Record {
        source: String,
        #[serde(default)]
        deployed_at: Option<Timestamp>,
        #[serde(default)]
        plugins: Option<BTreeSet<Name>>,
    },
}

impl From<StoredVersion> for FlowVersionRecord {
    fn from(stored: StoredVersion) -> Self {
        match stored {
            StoredVersion::Source(source) => Self { source, deployed_at: None, plugins: None },
            StoredVersion::Record { source, deployed_at, plugins } => Self { source, deployed_at, plugins },
        }
    }
}

/// What the URLs of a trigger are made of; it outlives versions.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Ids {
    /// 160 random bits that nobody can guess.
    pub key: String,
    /// Of the flow.
    pub flow: Uuid,
    /// Of the trigger.
    pub trigger: Uuid,
    /// Of each of the trigger's callbacks, by their names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub callbacks: BTreeMap<Name, CallbackIds>,
}

/// What the URLs of one of a trigger's callbacks are made of.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct CallbackIds {
    pub id: String,
    /// Those that count, the newest first.
    pub signatures: Vec<String>,
    /// By signature, what makes those of environments beside `default` of it: random, so that nobody makes one of another.
    /// A signature without counts in every environment as it is: it was brought along, or is of before there were these.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub keys: BTreeMap<String, String>,
    /// The SHA-256 of those that were dropped, in records of before these were kept by themselves.
    #[serde(default, skip_serializing)]
    pub dropped: Vec<String>,
}

/// Characters of a signature.
pub const SIGNATURE_LENGTH: usize = 52;

impl CallbackIds {
    /// What the URLs of an environment carry in place of one of the signatures.
    pub fn in_environment<'s>(&self, signature: &'s str, environment: &Name) -> Cow<'s, str> {
        match self.keys.get(signature).filter(|_| *environment != Name::default_name()) {
            None => Cow::Borrowed(signature),
            Some(key) => {
                let key = hmac::Key::new(hmac::HMAC_SHA512, key.as_bytes());
                let made = hmac::sign(&key, environment.as_str().as_bytes());
                Cow::Owned(key_of(made.as_ref()).chars().take(SIGNATURE_LENGTH).collect())
            }
        }
    }
}

//! Users and their tokens.

use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::sync::Arc;

/// A user as it is stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UserRecord {
    /// Types are kept (FR-32).
    pub properties: Map<String, Value>,
    pub roles: Vec<String>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

impl UserRecord {
    /// What flows see: every property, with `objectId` and `roles` where the properties do not have them.
    pub fn to_json(&self, id: &str) -> Value {
        let mut user = self.properties.clone();
        user.entry("objectId").or_insert_with(|| id.into());
        user.entry("roles").or_insert_with(|| self.roles.clone().into());
        Value::Object(user)
    }
}

/// A token of a user as it is stored, under its hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserTokenRecord {
    pub user: String,
    pub created_at: Timestamp,
    /// When its user was made: one who is made again under the same id is another. `None` for tokens of before this was noted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_created_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// A user whom a token has proved.
#[derive(Clone, Debug, PartialEq)]
pub struct User {
    pub id: String,
    pub roles: Vec<String>,
    /// As flows see it.
    pub object: Arc<Value>,
}

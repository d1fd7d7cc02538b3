//! Tokens of the API.

use crate::name::Name;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// What the owner of a token may do; each can do what the ones before it can.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// Read everything but secrets.
    Viewer,
    /// Deploy flows and plugins, set secrets, act on executions.
    Author,
    /// Make and remove tokens, and choose any workspace.
    Admin,
}

/// A token as it is stored: never the token itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRecord {
    /// SHA-256 of the token, in hexadecimal.
    pub hash: String,
    pub name: String,
    pub access: Access,
    /// The workspace that it opens.
    pub workspace: Name,
    pub created_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// Sessions that were begun with it and have been ended, until when each would have counted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ended: Vec<(u64, Timestamp)>,
    /// Sessions that began before this have ended, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_before: Option<Timestamp>,
}

/// Most sessions of a token that are known to have ended. With one more, all that have begun end.
const ENDED_MAX: usize = 100;

impl TokenRecord {
    /// What names the token in lists: the beginning of its hash, which tells nothing of it.
    pub fn id(&self) -> &str {
        self.hash.get(..12).unwrap_or_default()
    }

    /// Ends a session that was begun with it, which counts no longer than until a time in any case.
    pub fn end_session(&mut self, session: u64, until: Timestamp, now: Timestamp) {
        self.ended.retain(|(_, until)| *until > now);
        if self.ended.len() >= ENDED_MAX {
            self.ended.clear();
            self.ended_before = Some(now);
        }
        self.ended.push((session, until));
    }

    /// Whether a session that was begun with it at that time goes on.
    pub fn has_session(&self, session: u64, began_at: Timestamp) -> bool {
        let has_ended = self.ended.iter().any(|(ended, _)| *ended == session);
        !has_ended && self.ended_before.is_none_or(|before| began_at >= before)
    }
}

#[cfg(test)]
mod tests {
    use super::{Access, ENDED_MAX, TokenRecord};
    use crate::name::Name;
    use crate::time::Timestamp;

    /// Whoever signs out again and again ends his own sessions and no more, as long as that can be remembered.
    #[test]
    fn sessions_that_ended_are_remembered_as_long_as_they_would_count() {
        let at = Timestamp::from_millis;
        let mut token = TokenRecord {
            hash: String::new(),
            name: String::new(),
            access: Access::Viewer,
            workspace: Name::default_name(),
            created_at: at(0),
            expires_at: None,
            ended: Vec::new(),
            ended_before: None,
        };
        token.end_session(7, at(100), at(10));
        assert!(!token.has_session(7, at(5)) && token.has_session(8, at(5)));
        token.end_session(9, at(300), at(200));
        assert_eq!(token.ended, [(9, at(300))], "what would be over is not kept");
        for session in 0..ENDED_MAX as u64 {
            token.end_session(1000 + session, at(900), at(250));
        }
        assert!(token.ended.len() <= ENDED_MAX);
        assert!(!token.has_session(9, at(200)) && !token.has_session(1, at(249)));
        assert!(token.has_session(1, at(250)) && !token.has_session(1000 + ENDED_MAX as u64 - 1, at(250)));
        let old: TokenRecord = serde_json::from_str(
            r#"{"hash":"","name":"","access":"viewer","workspace":"default","created_at":"2026-01-31T08:00:00Z"}"#,
        )
        .unwrap();
        assert!(old.has_session(1, at(0)));
    }
}

//! Users, who call, and the tokens of the API, with which one works here.

use crate::frame::{Fields, Frame};
use crate::words;
use askama::Template;
use ringback_records::time::Timestamp;

/// A user in the list.
#[derive(Clone, Debug)]
pub struct UserItem {
    pub id: String,
    pub roles: String,
    pub updated_at: Timestamp,
}

impl UserItem {
    fn changed(&self) -> String {
        words::minute(self.updated_at)
    }

    fn href(&self) -> String {
        format!("/console/people/{}", crate::segment(&self.id))
    }
}

/// A token without itself.
#[derive(Clone, Debug)]
pub struct TokenItem {
    pub id: String,
    /// What it is for, and what it opens; empty for a user's.
    pub name: String,
    pub access: &'static str,
    pub created_at: Timestamp,
    pub expires_at: Option<Timestamp>,
    /// Whether it is the one with which this page is looked at.
    pub is_own: bool,
}

impl TokenItem {
    fn created(&self) -> String {
        words::minute(self.created_at)
    }

    fn expires(&self) -> String {
        self.expires_at.map_or_else(|| "never".to_owned(), words::minute)
    }
}

/// Users and tokens.
#[derive(Template)]
#[template(path = "people.html")]
pub struct People {
    pub frame: Frame,
    pub users: Vec<UserItem>,
    pub next_user: Option<String>,
    /// Absent for those who may not see them.
    pub tokens: Option<Vec<TokenItem>>,
    pub fields: Fields,
    pub problem: Option<String>,
    /// A token that was made: it is seen this once.
    pub made: Option<String>,
}

impl People {
    fn next(&self) -> Option<String> {
        let next = self.next_user.as_deref()?;
        Some(format!("/console/people{}", crate::query([("cursor", next)])))
    }
}

/// One user.
#[derive(Template)]
#[template(path = "user.html")]
pub struct User {
    pub frame: Frame,
    pub id: String,
    pub tokens: Vec<TokenItem>,
    /// Properties and roles, as they stand in the form.
    pub fields: Fields,
    pub problem: Option<String>,
    pub made: Option<String>,
    pub is_saved: bool,
}

impl User {
    fn action(&self) -> String {
        format!("/console/people/{}", crate::segment(&self.id))
    }
}

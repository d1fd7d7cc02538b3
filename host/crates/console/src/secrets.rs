//! Secrets: which there are, and never what they are.

use crate::frame::Frame;
use crate::words;
use askama::Template;
use ringback_records::time::Timestamp;

/// A secret in the list.
#[derive(Clone, Debug)]
pub struct SecretItem {
    pub name: String,
    pub environment: String,
    pub version: u32,
    pub set_at: Timestamp,
    /// Until when each of its earlier values counts beside it.
    pub previous: Vec<Timestamp>,
}

impl SecretItem {
    fn set(&self) -> String {
        words::minute(self.set_at)
    }

    fn until(&self) -> String {
        self.previous.iter().max().map(|until| words::minute(*until)).unwrap_or_default()
    }
}

/// The list, with what became of a form.
#[derive(Template)]
#[template(path = "secrets.html")]
pub struct Secrets {
    pub frame: Frame,
    pub secrets: Vec<SecretItem>,
    pub environments: Vec<String>,
    /// What the form had; its value does not come back.
    pub name: String,
    pub environment: String,
    pub problem: Option<String>,
    /// This one has been set.
    pub set: String,
}

//! Environments, and the variables of each.

use crate::frame::{Fields, Frame};
use crate::words;
use askama::Template;
use ringback_records::time::Timestamp;

/// A variable as it is shown.
#[derive(Clone, Debug)]
pub struct VarItem {
    pub name: String,
    /// As JSON.
    pub value: String,
    /// Absent for one that is taken over from `default`.
    pub set_at: Option<Timestamp>,
}

impl VarItem {
    fn set(&self) -> String {
        self.set_at.map(words::minute).unwrap_or_default()
    }
}

/// All of them.
#[derive(Template)]
#[template(path = "environments.html")]
pub struct Environments {
    pub frame: Frame,
    /// Each with its prefix.
    pub environments: Vec<(String, Option<String>)>,
    pub fields: Fields,
    pub problem: Option<String>,
}

/// One of them.
#[derive(Template)]
#[template(path = "environment.html")]
pub struct Environment {
    pub frame: Frame,
    pub name: String,
    pub prefix: Option<String>,
    pub vars: Vec<VarItem>,
    pub fields: Fields,
    pub problem: Option<String>,
    /// What has been done.
    pub done: String,
}

impl Environment {
    fn is_default(&self) -> bool {
        self.name == "default"
    }
}

//! Plugins: the list, one of them with its versions, and what became of a file.

use crate::flows::in_field;
use crate::frame::Frame;
use crate::json::{self, Line};
use crate::words;
use askama::Template;
use askama::filters::Safe;
use ringback_records::plugin::{PluginRecord, Role, VersionRecord};
use serde_json::Value;

/// What became of a file that was sent.
#[derive(Clone, Debug)]
pub enum Uploaded {
    Nothing,
    /// It would be accepted, and nothing of it was kept.
    Checked(VersionRecord),
    /// This version is called from now on.
    Kept(u32),
    /// Nothing of it was kept; why.
    Refused(String),
}

/// A condition in JavaScript to begin with.
pub const SAMPLE: &str = "export function condition(callback) {
  const { total } = callback.data;
  console.log(`the total is ${total}`);
  return total >= 100;
}
";

/// As it stands in a field.
pub(crate) fn field(text: &str) -> Safe<String> {
    Safe(in_field(text))
}

/// The list.
#[derive(Template)]
#[template(path = "plugins.html")]
pub struct Plugins {
    pub frame: Frame,
    pub plugins: Vec<PluginRecord>,
    /// What the form had as the name.
    pub name: String,
    /// What was written into it.
    pub source: String,
    pub said: Uploaded,
}

impl Plugins {
    fn is_written(&self) -> bool {
        self.source != SAMPLE
    }

    fn rows(&self) -> impl Iterator<Item = (&PluginRecord, &VersionRecord)> {
        self.plugins.iter().filter_map(|plugin| Some((plugin, active(plugin)?)))
    }
}

/// The page of one.
#[derive(Template)]
#[template(path = "plugin.html")]
pub struct Plugin {
    frame: Frame,
    name: String,
    record: PluginRecord,
    users: Vec<String>,
    schemas: Vec<(Role, Vec<Line>)>,
    broken: Option<String>,
    said: Uploaded,
}

impl Plugin {
    /// `users` need it, `schemas` are those of the configurations that it takes, `broken` says why it does not load.
    pub fn new(
        frame: Frame,
        record: PluginRecord,
        users: Vec<String>,
        schemas: Vec<(Role, Value)>,
        broken: Option<String>,
        said: Uploaded,
    ) -> Self {
        let schemas = schemas.iter().map(|(role, schema)| (*role, json::lines_of(schema).0)).collect();
        Self { frame, name: record.name.to_string(), record, users, schemas, broken, said }
    }

    fn active(&self) -> Option<&VersionRecord> {
        active(&self.record)
    }

    /// Those that a flow can name, each as it would.
    fn uses(&self) -> Vec<(&'static str, String)> {
        let name = &self.record.name;
        let roles = self.active().map(|version| version.roles.as_slice()).unwrap_or_default();
        roles
            .iter()
            .map(|role| {
                let text = match role {
                    Role::Verifier => format!("verify:\n  plugin: {name}\n  with: {{}}"),
                    Role::Parser => format!("parse:\n  plugin: {name}\n  with: {{}}"),
                    Role::Condition => format!("when:\n  plugin: {name}\n  with: {{}}"),
                    Role::Step => format!("- plugin: {name}\n  with: {{}}"),
                    Role::Responder => format!("reply:\n  plugin: {name}\n  with: {{}}"),
                };
                (role.as_str(), text)
            })
            .collect()
    }

    /// The flow that somebody needs it for, where it is one.
    fn flow_of<'u>(&self, user: &'u str) -> Option<&'u str> {
        user.strip_prefix("the flow ").filter(|name| !name.contains(' '))
    }

    fn action(&self) -> String {
        format!("/console/plugins/{}", self.name)
    }

    fn is_condition(&self) -> bool {
        self.active().is_some_and(|version| version.roles.contains(&Role::Condition))
    }
}

/// The version that is called.
fn active(record: &PluginRecord) -> Option<&VersionRecord> {
    record.versions.iter().find(|version| version.version == record.active)
}

/// What a version may reach, in words.
pub(crate) fn may(version: &VersionRecord) -> String {
    let has = |interface: &str| version.imports.iter().any(|import| import.contains(&format!("/{interface}")));
    let mut may = Vec::new();
    if has("http") {
        may.push("sends requests");
    }
    if has("state") {
        may.push("keeps state");
    }
    match may.as_slice() {
        [] => "sends no requests and keeps nothing".to_owned(),
        may => may.join(", "),
    }
}

pub(crate) fn roles(version: &VersionRecord) -> String {
    version.roles.iter().map(|role| role.as_str()).collect::<Vec<_>>().join(", ")
}

pub(crate) fn size(version: &VersionRecord) -> String {
    words::size(version.size_bytes)
}

pub(crate) fn digest(version: &VersionRecord) -> &str {
    version.digest.get(..12).unwrap_or(&version.digest)
}

pub(crate) fn uploaded(version: &VersionRecord) -> String {
    words::minute(version.uploaded_at)
}

pub(crate) fn cases(version: &VersionRecord) -> String {
    match version.vectors {
        0 => "brought no cases of its own".to_owned(),
        cases => format!("passed {} of its own", words::count(u64::from(cases), "case", "cases")),
    }
}

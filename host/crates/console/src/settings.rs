//! The settings: what counts, and where it is said.

use crate::frame::Frame;
use crate::words;
use askama::Template;

/// A setting.
#[derive(Clone, Debug)]
pub struct SettingItem {
    pub name: String,
    /// As JSON.
    pub value: String,
    /// Where it is said; empty for a default.
    pub source: String,
}

/// The page.
#[derive(Template)]
#[template(path = "settings.html")]
pub struct Settings {
    pub frame: Frame,
    pub settings: Vec<SettingItem>,
    pub version: &'static str,
    pub instance: String,
    /// `ok` or `stopping`.
    pub status: &'static str,
    pub store_bytes: Option<u64>,
}

impl Settings {
    fn store(&self) -> String {
        self.store_bytes.map_or_else(|| "unknown".to_owned(), words::size)
    }

    fn is_admin(&self) -> bool {
        self.frame.access() == "admin"
    }
}

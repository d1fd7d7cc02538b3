//! Requests that flows and plugins send, to public addresses only.

pub mod client;
pub mod flow;
pub mod plugin;
mod ssrf;

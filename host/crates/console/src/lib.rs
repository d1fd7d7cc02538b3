//! The pages of the console: records made into HTML, with their style and their script.
//!
//! What is shown has been written by others: callers, authors of plugins, whoever sends anything. Whatever is put into a template is
//! escaped, and what would turn a line around, or is not seen at all, is shown as an escape.

mod callback;
mod callbacks;
mod draft;
mod environments;
mod escape;
mod execution;
mod executions;
mod flows;
mod frame;
mod json;
mod people;
mod plugins;
mod replay;
mod secrets;
mod session;
mod settings;
mod shell;
mod start;
mod tickets;
mod trigger;
mod words;

pub use callback::{Callback, Limits as CallbackLimits, Shown as CallbackShown};
pub use callbacks::{Callbacks, Filters, First, Part, Row, Shown as CallbacksShown, Total, row};
pub use draft::draft;
pub use environments::{Environment, Environments, VarItem};
pub use execution::{Execution, ExecutionShown};
pub use executions::{ExecutionFilters, Executions, ExecutionsShown};
pub use flows::{
    Flow, FlowItem, FlowVersion, FlowVersionPage, Flows, Mistake as FlowMistake, Said as FlowSaid, TriggerUrl,
};
pub use frame::{Fields, Frame, Link, Place, Problem, access};
pub use people::{People, TokenItem, User, UserItem};
pub use plugins::{Plugin, Plugins, SAMPLE, Uploaded};
pub use replay::Replay;
pub use secrets::{SecretItem, Secrets};
pub use session::SignIn;
pub use settings::{SettingItem, Settings};
pub use start::{Last, Start, StartFlow};
pub use tickets::{NewTicket, Ticket, TicketItem, Tickets};
pub use trigger::{Judged, JudgedRow, SampleForm, SamplePart, Sent, Test, Tried, TriggerPage};

use askama::Template;

/// The style of all pages.
pub const CSS: &str = include_str!("../assets/console.css");
/// What makes pages quicker.
pub const JS: &str = include_str!("../assets/console.js");
/// The picture in the tab.
pub const ICON: &str = include_str!("../assets/icon.svg");

/// A page of HTML.
pub trait Page {
    /// The page.
    ///
    /// # Errors
    ///
    /// Something in it could not be written.
    fn html(&self) -> Result<String, std::fmt::Error>;
}

impl<T: Template> Page for T {
    fn html(&self) -> Result<String, std::fmt::Error> {
        self.render().map_err(|_| std::fmt::Error)
    }
}

/// A part of a path, which may be of any characters.
pub fn segment(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~@+".contains(&byte);
    text.bytes()
        .map(|byte| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// A query for a link: the pairs that say something.
fn query<'p>(pairs: impl IntoIterator<Item = (&'p str, &'p str)>) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in pairs.into_iter().filter(|(_, value)| !value.is_empty()) {
        query.append_pair(name, value);
    }
    let query = query.finish();
    if query.is_empty() { query } else { format!("?{query}") }
}

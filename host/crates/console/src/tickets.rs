//! Tickets: the list, one of them, and the form of one that is to be made.

use crate::frame::{Fields, Frame};
use crate::words;
use askama::Template;
use ringback_records::time::Timestamp;

/// A ticket as it is shown.
#[derive(Clone, Debug)]
pub struct TicketItem {
    pub id: String,
    pub status: &'static str,
    /// What is done on a call, in words.
    pub does: String,
    pub environment: String,
    pub created_at: Timestamp,
    pub expires_at: Option<Timestamp>,
}

impl TicketItem {
    fn short(&self) -> &str {
        words::short_id(&self.id)
    }

    fn created(&self) -> String {
        words::minute(self.created_at)
    }

    fn expires(&self) -> String {
        self.expires_at.map_or_else(|| "never".to_owned(), words::minute)
    }

    /// The class of the status' colour.
    fn class(&self) -> &'static str {
        status_class(self.status)
    }
}

fn status_class(status: &str) -> &'static str {
    match status {
        "open" => "waiting",
        "called" => "running",
        "closed" => "completed",
        _ => "cancelled",
    }
}

/// The list.
#[derive(Template)]
#[template(path = "tickets.html")]
pub struct Tickets {
    pub frame: Frame,
    pub tickets: Vec<TicketItem>,
    /// Only those with this; empty for all.
    pub status: String,
    pub problem: Option<String>,
    pub next_cursor: Option<String>,
}

impl Tickets {
    fn chips(&self) -> Vec<(&'static str, bool)> {
        let all = ["open", "called", "closed", "expired", "gone"];
        all.into_iter().map(|status| (status, self.status == status)).collect()
    }

    fn older(&self) -> Option<String> {
        let cursor = self.next_cursor.as_deref()?;
        Some(format!("/console/tickets{}", crate::query([("status", self.status.as_str()), ("cursor", cursor)])))
    }
}

/// The form.
#[derive(Template)]
#[template(path = "ticket-new.html")]
pub struct NewTicket {
    pub frame: Frame,
    pub fields: Fields,
    pub flows: Vec<String>,
    pub plugins: Vec<String>,
    pub environments: Vec<String>,
    pub problem: Option<String>,
}

/// One of them.
#[derive(Template)]
#[template(path = "ticket.html")]
pub struct Ticket {
    pub frame: Frame,
    pub item: TicketItem,
    pub url: String,
    pub state: String,
    pub facts: Vec<(&'static str, String)>,
    /// The call that used it up, or is under way.
    pub callback: Option<String>,
    pub execution: Option<String>,
    /// The stored answer, as JSON.
    pub answer: String,
    pub is_open: bool,
    pub is_new: bool,
}

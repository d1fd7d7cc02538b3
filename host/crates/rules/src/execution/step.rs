//! The kinds of steps. Each is one file: how it is read, what it does to an execution, and what it asks for.
//!
//! Another kind is a file beside these, its `mod`, and its line in [`KINDS`]. What it asks for is an [`Effect`], which the runner
//! performs in `runner/effects.rs`: nothing here knows plugins or connections. Where one of these needs a variant more, the
//! compiler says where else.

pub(crate) mod branch;
mod delay;
mod fail;
pub(crate) mod http;
pub(crate) mod plugin;
pub(crate) mod respond;
mod set;
pub(crate) mod ticket;
mod trigger;

use super::{Effect, Event, Execution};
use crate::expression::EvaluationError;
use crate::flow::document::Node;
use crate::flow::parse::Parser;
use crate::flow::{Flow, Step};
use ringback_records::journal::EntryKind;
use ringback_records::time::Timestamp;
use std::fmt::Debug;

/// Reads a step. Without one, its mistakes are noted.
pub(crate) type Read = fn(&mut Parser, &Node) -> Option<Box<dyn Kind>>;

/// How each kind is called in flow files, and read.
pub(crate) const KINDS: &[(&str, Read)] = &[
    ("trigger", trigger::read),
    ("plugin", plugin::read),
    ("script", plugin::read_script),
    ("http", http::read),
    ("ticket", ticket::read),
    ("set", set::read),
    ("if", branch::read),
    ("respond", respond::read),
    ("delay", delay::read),
    ("fail", fail::read),
];

/// A step of some kind.
pub(crate) trait Kind: Debug + Send + Sync {
    /// What an execution does that gets here.
    ///
    /// # Errors
    ///
    /// The step fails, and with it the execution.
    fn begin<'f>(&'f self, at: &At<'_, 'f>) -> Result<Begin<'f>, Failure>;

    /// What becomes of what it asked for, or of what it waits for.
    ///
    /// # Errors
    ///
    /// The step fails, and with it the execution.
    fn after(&self, _event: Event, _at: &At<'_, '_>) -> Result<EntryKind, Failure> {
        Err(Failure::unexpected())
    }

    /// What a line that it wrote into the journal makes of the execution.
    fn apply(&self, line: &Line<'_>, execution: &mut Execution) -> Next;

    /// The steps within it.
    fn blocks(&self) -> &[Vec<Step>] {
        &[]
    }

    /// The trigger that it waits at, by its place among those of the flow.
    fn trigger(&self) -> Option<usize> {
        None
    }
}

/// Where a step begins, or goes on.
pub(crate) struct At<'e, 'f> {
    pub(crate) execution: &'e Execution,
    pub(crate) flow: &'f Flow,
    pub(crate) step: &'f Step,
    /// Whether the step had begun, and the process ended.
    pub(crate) begun: bool,
    pub(crate) now: Timestamp,
}

/// What a step does first.
pub(crate) enum Begin<'f> {
    /// It writes a line into the journal.
    Write(EntryKind),
    /// It asks for something, the same after each restart.
    Ask(Effect<'f>),
    /// Both.
    WriteAndAsk(EntryKind, Effect<'f>),
}

/// A line of the journal that a step wrote.
pub(crate) struct Line<'e> {
    pub(crate) kind: &'e EntryKind,
    pub(crate) at: Timestamp,
    pub(crate) flow: &'e Flow,
}

/// Where an execution is after a line.
pub(crate) enum Next {
    /// At the same step.
    Stay,
    /// Behind it.
    GoOn,
    /// In a block of it, that is gone through once, or so many times.
    Enter { block: usize, times: Option<u32> },
    /// At the end of the flow.
    End,
}

/// Why a step fails.
#[derive(Debug)]
pub(crate) struct Failure {
    /// Stable.
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) log: Vec<String>,
    /// Whether nobody knows what became of its request.
    pub(crate) unanswered: bool,
}

impl Failure {
    pub(crate) fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), log: Vec::new(), unanswered: false }
    }

    pub(crate) fn internal(message: &str) -> Self {
        Self::new("internal", message)
    }

    pub(crate) fn unexpected() -> Self {
        Self::internal("an effect answered for a step that was not waiting for it")
    }
}

impl From<EvaluationError> for Failure {
    fn from(error: EvaluationError) -> Self {
        Self::new(error.code(), error.to_string())
    }
}

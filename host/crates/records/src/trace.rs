//! What the stages said of a callback.

use crate::name::Name;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The stages of a callback, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    Face,
    Verify,
    Auth,
    Dedupe,
    Parse,
    Condition,
    Select,
    Respond,
    Commit,
    Run,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Face => "face",
            Self::Verify => "verify",
            Self::Auth => "auth",
            Self::Dedupe => "dedupe",
            Self::Parse => "parse",
            Self::Condition => "condition",
            Self::Select => "select",
            Self::Respond => "respond",
            Self::Commit => "commit",
            Self::Run => "run",
        })
    }
}

/// What one stage said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The callback went on.
    Passed,
    /// The callback does not count.
    Ignored,
    /// The callback was refused.
    Refused,
    /// The stage could not do its work.
    Failed,
    /// The callback went on, though it did not prove itself: its trigger does not enforce that.
    Unproved,
}

/// The trace of one stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TraceEntry {
    pub stage: Stage,
    pub verdict: Verdict,
    /// Why, in words for the operator.
    pub reason: String,
    pub duration_us: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub plugins: Vec<PluginUse>,
}

/// What a plugin used in one call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PluginUse {
    pub plugin: Name,
    pub digest: String,
    /// From when it was called to when it was over, with what it waited for.
    pub duration_us: u64,
    /// What it used of the processor; earlier versions did not say it. Before the first millisecond is over, it is counted on the
    /// clock on the wall, while the call had a thread: at most a little too much.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_us: Option<u64>,
    /// The largest size of its memory.
    pub memory_bytes: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<String>,
    /// The class of failure, when it failed: `plugin_trapped`, `plugin_out_of_time`, ….
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// Most stages that a record names: the first and the last, with a line in between that says how many there were.
const TRACE_FIRST_MAX: usize = 64;

const TRACE_LAST_MAX: usize = 32;

/// Most characters of a reason.
const REASON_CHARS_MAX: usize = 2000;

/// Most calls of plugins that a record tells of.
const PLUGIN_USES_MAX: usize = 64;

/// The trace as it is kept: however many executions a callback asked, its record stays small.
pub fn bounded(mut trace: Vec<TraceEntry>) -> Vec<TraceEntry> {
    let left_out = trace.len().saturating_sub(TRACE_FIRST_MAX + TRACE_LAST_MAX);
    if left_out > 0 {
        let middle = TRACE_FIRST_MAX..TRACE_FIRST_MAX + left_out;
        let of = |count: fn(&TraceEntry) -> u64| trace.get(middle.clone()).unwrap_or_default().iter().map(count).sum();
        let said = TraceEntry {
            stage: trace.get(TRACE_FIRST_MAX).map_or(Stage::Select, |entry| entry.stage),
            verdict: Verdict::Passed,
            reason: format!("{left_out} more entries like these are left out"),
            duration_us: of(|entry| entry.duration_us),
            plugins: Vec::new(),
        };
        trace.splice(middle, [said]);
    }
    let mut room = PLUGIN_USES_MAX;
    for entry in &mut trace {
        entry.plugins.truncate(room);
        room -= entry.plugins.len();
        entry.reason = shortened(std::mem::take(&mut entry.reason));
    }
    trace
}

/// A reason, cut off where it is too long to be read.
pub fn shortened(mut reason: String) -> String {
    if reason.len() > REASON_CHARS_MAX
        && let Some((end, _)) = reason.char_indices().nth(REASON_CHARS_MAX)
    {
        reason.truncate(end);
        reason.push('…');
    }
    reason
}

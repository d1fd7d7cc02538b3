//! Reading everything and checking it.

use super::engine::{Engine, parse};
use super::{StoreError, journal, key};
use serde::Serialize;

/// Most problems that are listed one by one.
const LISTED_MAX: usize = 100;

/// What a check of the whole store found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Findings {
    /// Values that are there.
    pub records: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
    /// Bytes of the log, with what is not needed any more.
    pub log_bytes: u64,
    /// One line each, at most 100.
    pub problems: Vec<String>,
    pub problem_count: u64,
}

impl Findings {
    fn error(&mut self, key: &[u8], error: &StoreError) {
        match error {
            // Whoever reads this need not be told to look here.
            StoreError::Damaged { problem, .. } => self.problem(key, problem),
            other => self.problem(key, &other.to_string()),
        }
    }

    fn problem(&mut self, key: &[u8], problem: &str) {
        self.problem_count += 1;
        if self.problems.len() < LISTED_MAX {
            self.problems.push(format!("{}: {problem}", key.escape_ascii()));
        }
    }
}

/// Reads the log from its beginning, then every value by way of the index.
pub(super) fn verify(engine: &Engine) -> Result<Findings, StoreError> {
    let mut findings = Findings { log_bytes: engine.log.size_bytes(), ..Findings::default() };
    if let Err(error) = engine.log.scan(engine.log.start(), &mut |_, _| Ok(())) {
        findings.problem(b"log", &error.to_string());
    }
    // From the kinds on: what the index keeps for itself comes before.
    for item in engine.index.scan(vec![1], vec![0xff], false) {
        let (key, slot) = match item {
            Ok(found) => found,
            Err(error @ StoreError::Damaged { .. }) => {
                findings.error(b"index", &error);
                break;
            }
            Err(error) => return Err(error),
        };
        findings.records += 1;
        findings.bytes += key.len() as u64 + u64::from(slot.length);
        let kind = key.first().copied().unwrap_or_default();
        if !key::KINDS.contains(&kind) {
            findings.problem(&key, "its kind is unknown");
            continue;
        }
        let checked = engine.index.value(&key).and_then(|value| match (kind, value) {
            (_, None) => Ok(()),
            (key::EXECUTION, Some(value)) => journal::summary_and_tail(&key, &value).map(drop),
            (key::JOURNAL, Some(value)) => journal::entries(&key, &value).map(drop),
            (_, Some(value)) => parse::<serde::de::IgnoredAny>(&key, &value).map(drop),
        });
        if let Err(error) = checked {
            findings.error(&key, &error);
        }
        if kind == key::RUNNING {
            let execution = [&[key::EXECUTION], key.get(1..).unwrap_or_default()].concat();
            if engine.index.get(&execution)?.is_none() {
                findings.problem(&key, "it is running, but there is no such execution");
            }
        }
    }
    Ok(findings)
}

//! Reading everything and checking it.

use super::StoreError;
use super::engine::{Engine, read_error};
use super::key;
use super::record::{Record, decode};
use serde::Serialize;

/// Most problems that are listed one by one.
const LISTED_MAX: usize = 100;

/// What a check of the whole store found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Findings {
    pub records: u64,
    pub bytes: u64,
    /// One line each, at most 100.
    pub problems: Vec<String>,
    pub problem_count: u64,
}

impl Findings {
    fn problem(&mut self, key: &[u8], problem: &str) {
        self.problem_count += 1;
        if self.problems.len() < LISTED_MAX {
            self.problems.push(format!("{}: {problem}", key.escape_ascii()));
        }
    }
}

pub(super) fn verify(engine: &Engine) -> Result<Findings, StoreError> {
    let mut findings = Findings::default();
    for item in engine.db.iter() {
        let (key, record) = item.map_err(read_error)?;
        findings.records += 1;
        findings.bytes += (key.len() + record.len()) as u64;
        let kind = key.first().copied().unwrap_or_default();
        if !key::KINDS.contains(&kind) {
            findings.problem(&key, "its kind is unknown");
            continue;
        }
        match decode(&record) {
            Err(problem) => findings.problem(&key, &problem),
            Ok((_, Record::Chunk(_))) if kind == key::CHUNK => check_owner(engine, &key, &mut findings)?,
            Ok((_, Record::Chunk(_))) => findings.problem(&key, "it is a chunk"),
            Ok(_) if kind == key::CHUNK => findings.problem(&key, "it is not a chunk"),
            // States are bytes; every other record is JSON.
            Ok(_) if kind == key::STATE => check(engine.get_bytes(&key).map(drop), &key, &mut findings),
            Ok(_) => check(engine.get::<serde::de::IgnoredAny>(&key).map(drop), &key, &mut findings),
        }
        if kind == key::RUNNING {
            let execution = [&[key::EXECUTION], key.get(1..).unwrap_or_default()].concat();
            if engine.db.get(execution).map_err(read_error)?.is_none() {
                findings.problem(&key, "it is running, but there is no such execution");
            }
        }
    }
    for blob in 0..engine.blob_count() {
        findings.problem(b"blobs", &format!("file {blob} is outside the log and not durable"));
    }
    Ok(findings)
}

fn check(read: Result<(), StoreError>, key: &[u8], findings: &mut Findings) {
    if let Err(error) = read {
        findings.problem(key, &error.to_string());
    }
}

/// A chunk without its record is space that nobody gives back.
fn check_owner(engine: &Engine, chunk: &[u8], findings: &mut Findings) -> Result<(), StoreError> {
    let owner = chunk.get(1..chunk.len().saturating_sub(4)).unwrap_or_default();
    let record = engine.db.get(owner).map_err(read_error)?;
    let owned = record.is_some_and(|record| matches!(decode(&record), Ok((_, Record::Chunked { .. }))));
    if !owned {
        findings.problem(chunk, "it belongs to no record");
    }
    Ok(())
}

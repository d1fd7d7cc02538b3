//! How an execution is laid out: its summary together with the last entries of its journal as one value, and the entries
//! before those in blocks. Each key costs the index more than the bytes of its value, and most journals are short.
//!
//! A value is lines of JSON. The first line is the summary, the second the number of the first entry that follows, and each
//! other line is an entry; a block has only entries.

use super::StoreError;
use super::engine::at_once;
use ringback_records::journal::{Entry, Summary};
use ringback_records::json;
use std::io::Write as _;

/// Entries of this many bytes become a block of their own before more are added.
const TAIL_BYTES_MAX: usize = 4096;

/// A stored execution, not yet read.
struct Parts<'v> {
    summary: &'v [u8],
    /// The number of the first entry of the tail.
    first: u32,
    tail: &'v [u8],
}

fn split<'v>(key: &[u8], value: &'v [u8]) -> Result<Parts<'v>, StoreError> {
    let line = |bytes: &'v [u8]| -> Option<(&'v [u8], &'v [u8])> {
        let end = bytes.iter().position(|byte| *byte == b'\n')?;
        Some((bytes.get(..end)?, bytes.get(end + 1..)?))
    };
    let parts = || {
        let (summary, rest) = line(value)?;
        let (first, tail) = line(rest)?;
        Some(Parts { summary, first: std::str::from_utf8(first).ok()?.parse().ok()?, tail })
    };
    parts().ok_or_else(|| StoreError::damaged(key, "it is no execution".to_owned()))
}

fn damaged(key: &[u8], error: &serde_json::Error) -> StoreError {
    StoreError::damaged(key, error.to_string())
}

pub(super) fn summary(key: &[u8], value: &[u8]) -> Result<Summary, StoreError> {
    json::from_own(split(key, value)?.summary).map_err(|error| damaged(key, &error))
}

/// The summary, and the entries that stand with it.
pub(super) fn summary_and_tail(key: &[u8], value: &[u8]) -> Result<(Summary, Vec<Entry>), StoreError> {
    Ok((summary(key, value)?, entries(key, split(key, value)?.tail)?))
}

/// The entries of a block.
pub(super) fn entries(key: &[u8], block: &[u8]) -> Result<Vec<Entry>, StoreError> {
    let lines = block.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(json::from_own).collect::<Result<_, _>>().map_err(|error| damaged(key, &error))
}

/// What becomes of an execution's value when its journal goes on: the value, and the block that its old tail becomes, with
/// the number of its first entry.
pub(super) struct Advanced {
    pub(super) value: Vec<u8>,
    pub(super) block: Option<(u32, Vec<u8>)>,
}

pub(super) fn advance(
    key: &[u8],
    old: Option<&[u8]>,
    summary: &Summary,
    added: &[Entry],
) -> Result<Advanced, StoreError> {
    let mut block = None;
    let mut first = summary.entries.saturating_sub(u32::try_from(added.len()).unwrap_or(u32::MAX));
    let mut tail: &[u8] = &[];
    if let Some(old) = old {
        let parts = split(key, old)?;
        if parts.tail.len() < TAIL_BYTES_MAX {
            (first, tail) = (parts.first, parts.tail);
        } else {
            block = Some((parts.first, parts.tail.to_vec()));
        }
    }
    let value = at_once(|out| {
        serde_json::to_writer(&mut *out, summary)?;
        out.write_all(format!("\n{first}\n").as_bytes()).map_err(serde_json::Error::io)?;
        out.write_all(tail).map_err(serde_json::Error::io)?;
        added.iter().try_for_each(|entry| {
            serde_json::to_writer(&mut *out, entry)?;
            out.write_all(b"\n").map_err(serde_json::Error::io)
        })
    });
    Ok(Advanced { value: value.map_err(|error| damaged(key, &error))?, block })
}

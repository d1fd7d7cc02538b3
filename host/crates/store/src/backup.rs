//! A backup: everything that is stored, as lines of JSON, taken while changes go on. First every value as the index finds
//! it, then what the log has had added since the beginning of that: applied in order they make the state at the end.
//!
//! The first line is the header, and the last one says how many lines there were: a backup that is cut off is refused. Each
//! line is `{"line":…,"sha256":…}`: its own digest, over the one of the line before it and its text, so that the last one is
//! over all. A plugin's file is named by the digest of its bytes.

use super::engine::Engine;
use super::log::{KEY_BYTES_MAX, LogError, Record};
use super::writer::Operation;
use super::{StoreError, damaged_log, key};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ringback_records::name::sha256_hex;
use ringback_records::plugin::{Language, file_name};
use serde::{Deserialize, Serialize};
use std::io::{self, BufRead};

/// The first format had no checksums.
const FORMAT: u32 = 2;
/// Bytes of values that are restored as one change.
const PORTION_BYTES: usize = 1 << 20;

/// A line of a backup.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Line {
    Backup {
        format: u32,
        version: String,
    },
    Value {
        /// Base64.
        key: String,
        revision: u32,
        value: String,
    },
    Gone {
        key: String,
    },
    /// A file of the data directory that the records point to.
    File {
        name: String,
        /// Base64.
        bytes: String,
    },
    End {
        lines: u64,
    },
}

/// Why a backup could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("line {line} of the backup {problem}")]
    Line { line: u64, problem: String },
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A file that belongs to a backup, by its path in the data directory.
pub struct BackupFile {
    pub name: String,
    pub bytes: Vec<u8>,
}

/// Writes a backup, line by line.
pub(super) fn write(
    engine: &Engine,
    files: impl Iterator<Item = io::Result<BackupFile>>,
    out: &mut dyn FnMut(Vec<u8>) -> io::Result<()>,
) -> Result<(), BackupError> {
    let mut lines = 0;
    let mut chain = Chain::default();
    let mut put = |line: &Line| -> io::Result<()> {
        lines += 1;
        out(chain.seal(&serde_json::to_string(line)?))
    };
    put(&Line::Backup { format: FORMAT, version: env!("CARGO_PKG_VERSION").to_owned() })?;
    // The segments stay where they are until the end.
    let _cleaning = engine.cleaning.blocking_lock();
    let since = engine.index.applied();
    for found in engine.index.scan(vec![1], vec![0xff], false) {
        let (key, slot) = found?;
        let revision = slot.revision;
        // What has gone in the meantime has gone.
        let Some(value) = engine.index.value_at(&key, slot)? else { continue };
        put(&line(&Record { key: &key, revision, value: Some(&value) }))?;
    }
    let until = engine.index.applied().position;
    let added = engine.log.scan_until(since, Some(until), &mut |_, record| Ok(put(&line(&record))?));
    added.map_err(|error: LogError| damaged_log(&error))?;
    for file in files {
        let BackupFile { name, bytes } = file?;
        put(&Line::File { name, bytes: STANDARD.encode(bytes) })?;
    }
    let end = serde_json::to_string(&Line::End { lines }).map_err(io::Error::other)?;
    Ok(out(chain.seal(&end))?)
}

/// The digests of a backup's lines, each over the one before it.
#[derive(Default)]
pub(super) struct Chain {
    last: String,
}

impl Chain {
    const BEGIN: &str = "{\"line\":";
    const MIDDLE: &str = ",\"sha256\":\"";
    const END: &str = "\"}";

    pub(super) fn seal(&mut self, text: &str) -> Vec<u8> {
        self.next(text);
        let mut line = [Self::BEGIN, text, Self::MIDDLE, &self.last, Self::END].concat().into_bytes();
        line.push(b'\n');
        line
    }

    /// The text of a line whose digest is right.
    fn open<'l>(&mut self, line: &'l str) -> Result<&'l str, &'static str> {
        let inner = line.strip_prefix(Self::BEGIN).and_then(|rest| rest.strip_suffix(Self::END));
        let parts = inner.and_then(|rest| rest.rsplit_once(Self::MIDDLE));
        let Some((text, digest)) = parts else {
            return Err(match line.starts_with("{\"backup\":") {
                true => {
                    "begins a backup of an earlier version, without checksums: restore it with that version, and take it again"
                }
                false => "is no line of a backup",
            });
        };
        self.next(text);
        if self.last == digest { Ok(text) } else { Err("is not as it was written: its checksum is wrong") }
    }

    fn next(&mut self, text: &str) {
        self.last = sha256_hex(&[self.last.as_bytes(), text.as_bytes()].concat());
    }
}

/// Whether a backup has a file of this digest under this name: a component, or the source of a plugin.
pub(super) fn is_plugin(name: &str, digest: &str) -> bool {
    let name = name.strip_prefix("plugins/");
    [None, Some(Language::Js)].into_iter().any(|language| name == Some(&*file_name(digest, language)))
}

fn line(record: &Record<'_>) -> Line {
    let key = STANDARD.encode(record.key);
    match record.value {
        // Values are JSON, and so text.
        Some(value) => {
            Line::Value { key, revision: record.revision, value: String::from_utf8_lossy(value).into_owned() }
        }
        None => Line::Gone { key },
    }
}

/// Reads a backup into an empty store: how many lines it had.
pub(super) async fn restore(
    engine: &Engine,
    mut backup: impl BufRead,
    mut file: impl FnMut(BackupFile) -> io::Result<()>,
) -> Result<u64, BackupError> {
    let (mut portion, mut bytes) = (Vec::new(), 0);
    let mut count = 0;
    let mut ended = false;
    let mut chain = Chain::default();
    let mut read = Vec::new();
    while backup.read_until(b'\n', &mut read)? > 0 {
        let wrong = |problem: &str| BackupError::Line { line: count + 1, problem: problem.to_owned() };
        if ended {
            return Err(wrong("comes after its end"));
        }
        let read = std::mem::take(&mut read);
        let whole =
            read.strip_suffix(b"\n").ok_or_else(|| wrong("has no line end: the backup is cut off or was changed"))?;
        if whole.ends_with(b"\r") {
            return Err(wrong(
                "ends with CR LF: the backup was changed on its way here; copy it again, as bytes and not as text",
            ));
        }
        let whole = std::str::from_utf8(whole);
        let whole = whole.map_err(|_| wrong("is no text: the backup was changed; take another one"))?;
        let text = chain.open(whole).map_err(wrong)?;
        let line: Line = serde_json::from_str(text).map_err(|error| wrong(&format!("cannot be read: {error}")))?;
        let decode = |text: &str| STANDARD.decode(text).map_err(|error| wrong(&format!("cannot be read: {error}")));
        let mut add = |operation: Operation| {
            bytes += operation.bytes();
            portion.push(operation);
        };
        match line {
            Line::Backup { format: FORMAT, .. } if count == 0 => {}
            Line::Backup { format, .. } if count == 0 => {
                return Err(wrong(&format!("has the format {format}, but this version reads {FORMAT}")));
            }
            _ if count == 0 => return Err(wrong("does not begin a backup of ringback")),
            Line::Backup { .. } => return Err(wrong("begins another backup")),
            Line::Value { key, revision, value } => {
                let key = decode(&key)?;
                if key.len() > KEY_BYTES_MAX || !key.first().is_some_and(|kind| key::KINDS.contains(kind)) {
                    return Err(wrong("is for something that no backup has"));
                }
                add(Operation::Put { key, revision, value: value.into_bytes() });
            }
            Line::Gone { key } => add(Operation::Delete(decode(&key)?)),
            Line::File { name, bytes } => {
                let bytes = decode(&bytes)?;
                // Nothing but what a backup makes: a name says no more than the bytes do.
                if !is_plugin(&name, &sha256_hex(&bytes)) {
                    return Err(wrong(&format!("has the file {name:?}, which is no plugin with this digest")));
                }
                file(BackupFile { name, bytes })?;
            }
            Line::End { lines } if lines == count => ended = true,
            Line::End { lines } => {
                return Err(wrong(&format!("says that there are {lines} lines before it, not {count}")));
            }
        }
        count += 1;
        if bytes >= PORTION_BYTES {
            bytes = 0;
            engine.writer.commit(std::mem::take(&mut portion)).await?;
        }
    }
    if !ended {
        let problem = "is missing: the backup is cut off".to_owned();
        return Err(BackupError::Line { line: count + 1, problem });
    }
    engine.writer.commit(portion).await?;
    Ok(count)
}

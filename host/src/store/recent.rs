//! Records of callbacks that nobody was promised: ignored, refused, failed. They are many, any caller can cause them, and
//! losing the last few in a crash breaks no promise. So they are kept outside the engine, in a ring of files: written in
//! groups, never waited for, and the oldest file goes when there are too many. A flood cannot fill the disk.
//!
//! A file is a sequence of frames: length of the rest (4 bytes, big-endian), CRC-32 of the rest (4), id (16), length of the
//! workspace's name (1), the name, the record as JSON. A torn frame ends its file.

use super::StoreError;
use crate::json;
use crate::name::{CallbackId, Name};
use crate::outcome::CallbackRecord;
use crate::sync::lock;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Size at which a file is full, in bytes.
const FILE_BYTES_MAX: u64 = 4 << 20;
/// Most files: with their size, the most that is kept.
const FILES_MAX: usize = 64;
/// Most bytes that wait to be written; more are dropped.
const WAITING_BYTES_MAX: usize = 8 << 20;
/// How long frames wait to be written together.
const GROUP_TIME: Duration = Duration::from_millis(50);
const EXTENSION: &str = "records";

pub(super) struct Recent {
    shared: Arc<Shared>,
}

struct Shared {
    directory: PathBuf,
    waiting: Mutex<Waiting>,
    wake: Condvar,
    files: Mutex<VecDeque<u64>>,
}

#[derive(Default)]
struct Waiting {
    frames: Vec<u8>,
    closed: bool,
    written: bool,
}

impl Recent {
    pub(super) fn open(directory: PathBuf) -> io::Result<Self> {
        std::fs::create_dir_all(&directory)?;
        let mut files = Vec::new();
        for entry in std::fs::read_dir(&directory)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == EXTENSION) {
                files.extend(path.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok()));
            }
        }
        files.sort_unstable();
        let shared = Arc::new(Shared {
            directory,
            waiting: Mutex::default(),
            wake: Condvar::new(),
            files: Mutex::new(files.into()),
        });
        std::thread::Builder::new().name("recent-writer".to_owned()).spawn({
            let shared = Arc::clone(&shared);
            move || shared.write_groups()
        })?;
        Ok(Self { shared })
    }

    /// Keeps a record soon: false when too many wait, and it was dropped.
    pub(super) fn keep(&self, workspace: &Name, record: &CallbackRecord) -> bool {
        let Ok(json) = serde_json::to_vec(record) else { return false };
        let frame = frame(workspace, record.id, &json);
        let mut waiting = lock(&self.shared.waiting);
        if waiting.closed || waiting.frames.len() + frame.len() > WAITING_BYTES_MAX {
            return false;
        }
        let first = waiting.frames.is_empty();
        waiting.frames.extend_from_slice(&frame);
        drop(waiting);
        if first {
            self.shared.wake.notify_all();
        }
        true
    }

    /// Writes what waits, and ends.
    pub(super) fn close(&self) {
        let mut waiting = lock(&self.shared.waiting);
        waiting.closed = true;
        self.shared.wake.notify_all();
        while !waiting.written {
            waiting = self.shared.wake.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }

    pub(super) fn find(&self, workspace: &Name, id: CallbackId) -> Result<Option<CallbackRecord>, StoreError> {
        let mut found = None;
        self.newest_first(|bytes| {
            let frame = frames(bytes).find(|frame| frame.id == *id.as_bytes() && frame.workspace == workspace.as_str());
            found = frame.map(|frame| parse(&frame)).transpose()?;
            Ok(found.is_none())
        })?;
        Ok(found)
    }

    /// Records that `wanted` accepts, newest first, older than `before`, at most `limit` of at most `scanned_max`.
    pub(super) fn page(
        &self,
        workspace: &Name,
        before: Option<[u8; 16]>,
        limit: usize,
        scanned_max: usize,
        wanted: impl Fn(&CallbackRecord) -> bool,
    ) -> Result<Vec<CallbackRecord>, StoreError> {
        let mut records = Vec::new();
        let mut scanned = 0;
        self.newest_first(|bytes| {
            let mut mine: Vec<Frame<'_>> = frames(bytes)
                .filter(|frame| frame.workspace == workspace.as_str() && before.is_none_or(|before| frame.id < before))
                .collect();
            // Frames are written as their callbacks end; ids are given as they begin.
            mine.sort_unstable_by_key(|frame| std::cmp::Reverse(frame.id));
            for frame in mine {
                if records.len() == limit || scanned == scanned_max {
                    return Ok(false);
                }
                scanned += 1;
                let record = parse(&frame)?;
                if wanted(&record) {
                    records.push(record);
                }
            }
            Ok(true)
        })?;
        Ok(records)
    }

    /// Shows what waits and then every file, the newest first, until `look` has seen enough.
    fn newest_first(&self, mut look: impl FnMut(&[u8]) -> Result<bool, StoreError>) -> Result<(), StoreError> {
        let waiting = lock(&self.shared.waiting).frames.clone();
        if !look(&waiting)? {
            return Ok(());
        }
        let files: Vec<u64> = lock(&self.shared.files).iter().rev().copied().collect();
        for number in files {
            match std::fs::read(self.shared.path(number)) {
                Ok(bytes) if !look(&bytes)? => return Ok(()),
                Ok(_) => {}
                // It was the oldest and is gone by now.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(StoreError::Read(error.to_string())),
            }
        }
        Ok(())
    }
}

impl Drop for Recent {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    fn path(&self, number: u64) -> PathBuf {
        self.directory.join(format!("{number:010}.{EXTENSION}"))
    }

    fn write_groups(&self) {
        let mut file: Option<(File, u64)> = None;
        loop {
            let mut waiting = lock(&self.waiting);
            while waiting.frames.is_empty() && !waiting.closed {
                waiting = self.wake.wait(waiting).unwrap_or_else(PoisonError::into_inner);
            }
            if !waiting.closed {
                drop(waiting);
                std::thread::sleep(GROUP_TIME);
                waiting = lock(&self.waiting);
            }
            // They stay readable until they are in the file.
            let (group, closed) = (waiting.frames.clone(), waiting.closed);
            drop(waiting);
            if let Err(error) = self.write(&mut file, &group) {
                tracing::error!(%error, "records of ignored and refused callbacks could not be written");
                metrics::counter!("ringback_records_dropped_total").increment(1);
                file = None;
            }
            let mut waiting = lock(&self.waiting);
            waiting.frames.drain(..group.len());
            if closed && waiting.frames.is_empty() {
                waiting.written = true;
                self.wake.notify_all();
                return;
            }
        }
    }

    fn write(&self, file: &mut Option<(File, u64)>, group: &[u8]) -> io::Result<()> {
        if group.is_empty() {
            return Ok(());
        }
        if file.as_ref().is_none_or(|(_, size)| *size >= FILE_BYTES_MAX) {
            *file = Some((self.next_file()?, 0));
        }
        if let Some((file, size)) = file {
            file.write_all(group)?;
            *size += group.len() as u64;
        }
        Ok(())
    }

    fn next_file(&self) -> io::Result<File> {
        let mut files = lock(&self.files);
        let number = files.back().map_or(1, |last| last + 1);
        let file = File::create(self.path(number))?;
        files.push_back(number);
        while files.len() > FILES_MAX {
            if let Some(oldest) = files.pop_front() {
                std::fs::remove_file(self.path(oldest))?;
            }
        }
        Ok(file)
    }
}

struct Frame<'a> {
    id: [u8; 16],
    workspace: &'a str,
    json: &'a [u8],
}

fn frame(workspace: &Name, id: CallbackId, json: &[u8]) -> Vec<u8> {
    let name = workspace.as_str().as_bytes();
    let length = 17 + name.len() + json.len();
    let mut frame = Vec::with_capacity(8 + length);
    frame.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(id.as_bytes());
    // A name has at most 64 bytes.
    frame.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
    frame.extend_from_slice(name);
    frame.extend_from_slice(json);
    let crc = crc32fast::hash(frame.get(8..).unwrap_or_default());
    if let Some(place) = frame.get_mut(4..8) {
        place.copy_from_slice(&crc.to_be_bytes());
    }
    frame
}

/// The frames of a file up to the first that is torn.
fn frames(mut bytes: &[u8]) -> impl Iterator<Item = Frame<'_>> {
    std::iter::from_fn(move || {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let (crc, rest) = rest.split_first_chunk::<4>()?;
        let (body, rest) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
        if crc32fast::hash(body) != u32::from_be_bytes(*crc) {
            return None;
        }
        bytes = rest;
        let (id, body) = body.split_first_chunk::<16>()?;
        let (name_length, body) = body.split_first()?;
        let (name, json) = body.split_at_checked(usize::from(*name_length))?;
        Some(Frame { id: *id, workspace: std::str::from_utf8(name).ok()?, json })
    })
}

fn parse(frame: &Frame<'_>) -> Result<CallbackRecord, StoreError> {
    json::from_own(frame.json).map_err(|error| StoreError::Damaged {
        key: uuid::Uuid::from_bytes(frame.id).to_string(),
        problem: error.to_string(),
    })
}

#[cfg(fuzzing)]
pub(super) fn fuzz(bytes: &[u8]) {
    frames(bytes).for_each(|frame| drop(parse(&frame)));
}

/// The bytes of a directory's files.
pub(super) fn size_bytes(directory: &Path) -> u64 {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.metadata().ok()).map(|metadata| metadata.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::{FILES_MAX, Recent, frame, frames};
    use crate::name::{CallbackId, Name};
    use crate::outcome::{CallbackRecord, Outcome};
    use crate::time::Timestamp;

    fn record(body: &str) -> CallbackRecord {
        CallbackRecord {
            id: CallbackId::new(),
            received_at: Timestamp::default(),
            face: "native".into(),
            flow: Some(Name::default_name()),
            trigger: "t".into(),
            ticket: None,
            environment: Name::default_name(),
            environment_made_at: None,
            method: "POST".into(),
            path: "/".into(),
            query: String::new(),
            headers: Vec::new(),
            body: Some(body.into()),
            body_base64: None,
            body_bytes: 0,
            outcome: Outcome::Ignored,
            execution: None,
            resumed_count: None,
            user: None,
            replay_of: None,
            reply: None,
            trace: Vec::new(),
        }
    }

    #[test]
    fn a_torn_or_flipped_frame_ends_its_file() {
        let workspace = Name::default_name();
        let one = frame(&workspace, CallbackId::new(), b"{}");
        let two = [one.clone(), frame(&workspace, CallbackId::new(), b"[]")].concat();
        assert_eq!(frames(&two).count(), 2);
        for length in one.len()..two.len() {
            assert_eq!(frames(&two[..length]).count(), 1);
        }
        for index in 4..one.len() {
            let mut flipped = one.clone();
            flipped[index] ^= 1;
            assert_eq!(frames(&flipped).count(), 0, "byte {index}");
        }
    }

    #[test]
    fn records_are_found_before_and_after_they_are_written() {
        let directory = tempfile::tempdir().unwrap();
        let (mine, other): (Name, Name) = (Name::default_name(), "other".parse().unwrap());
        let first = record("1");
        let second = record("2");
        {
            let recent = Recent::open(directory.path().into()).unwrap();
            assert!(recent.keep(&mine, &first) && recent.keep(&other, &second));
            assert_eq!(recent.find(&mine, first.id).unwrap(), Some(first.clone()));
            assert_eq!(recent.find(&mine, second.id).unwrap(), None, "of another workspace");
            recent.close();
            assert!(!recent.keep(&mine, &first), "it is closed");
        }
        let recent = Recent::open(directory.path().into()).unwrap();
        assert_eq!(recent.find(&mine, first.id).unwrap(), Some(first.clone()));
        let third = record("3");
        recent.keep(&mine, &third);
        let page = |limit: usize, before: Option<[u8; 16]>| recent.page(&mine, before, limit, 100, |_| true).unwrap();
        assert_eq!(page(5, None), [third.clone(), first.clone()]);
        assert_eq!(page(1, None), std::slice::from_ref(&third));
        assert_eq!(page(5, Some(*third.id.as_bytes())), [first]);
    }

    #[test]
    fn a_flood_drops_the_oldest() {
        let directory = tempfile::tempdir().unwrap();
        let recent = Recent::open(directory.path().into()).unwrap();
        let workspace = Name::default_name();
        let first = record("first");
        recent.keep(&workspace, &first);
        let mut file = None;
        for _ in 0..=FILES_MAX {
            recent.shared.write(&mut file, &frame(&workspace, CallbackId::new(), &vec![b' '; 5 << 20])).unwrap();
        }
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), FILES_MAX);
        recent.close();
        assert!(super::size_bytes(directory.path()) < (FILES_MAX as u64 + 1) * (6 << 20));
    }
}

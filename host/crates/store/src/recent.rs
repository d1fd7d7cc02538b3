//! Records of callbacks that nobody was promised: ignored, refused, failed. They are many, any caller can cause them, and
//! losing the last few in a crash breaks no promise. So they are kept outside the engine, in a ring of files: written in
//! groups, never waited for, and the oldest file goes when there are too many. A flood cannot fill the disk.
//!
//! A file is a sequence of frames: length of the rest (4 bytes, big-endian), CRC-32 of the rest (4), id (16), length of the
//! workspace's name (1), the name, the record as JSON. A torn frame ends its file.

use super::StoreError;
use ringback_records::json;
use ringback_records::name::{CallbackId, Name};
use ringback_records::outcome::CallbackRecord;
use ringback_records::sync::lock;
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
/// A file that is looked at counts as so many records, however few are of the workspace.
const FILE_COUNTS_AS: usize = 500;

/// The id of a callback: its time, and then chance.
type Id = [u8; 16];

/// A file of the ring.
#[derive(Clone, Copy)]
struct RingFile {
    number: u64,
    /// The lowest and the highest id in it; `None` while nobody has looked.
    ids: Option<(Id, Id)>,
}

impl RingFile {
    /// Whether it may have ids of a range.
    fn may_have(&self, from: Id, to: Id) -> bool {
        self.ids.is_none_or(|(lowest, highest)| lowest <= to && highest >= from)
    }
}

/// Records that were looked for.
pub(super) struct Found {
    /// The newest first.
    pub(super) records: Vec<CallbackRecord>,
    /// Every record with a higher id was looked at; `None` when there are no others.
    pub(super) unseen: Option<Id>,
}

pub(super) struct Recent {
    shared: Arc<Shared>,
}

struct Shared {
    directory: PathBuf,
    waiting: Mutex<Waiting>,
    wake: Condvar,
    files: Mutex<VecDeque<RingFile>>,
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
            files: Mutex::new(files.into_iter().map(|number| RingFile { number, ids: None }).collect()),
        });
        std::thread::Builder::new().name("recent-reader".to_owned()).spawn({
            let shared = Arc::clone(&shared);
            move || shared.learn_ids()
        })?;
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
        let id = *id.as_bytes();
        let look = |bytes: &[u8]| {
            let found = frames(bytes).find(|frame| frame.id == id && frame.workspace == workspace.as_str());
            found.map(|frame| parse(&frame)).transpose()
        };
        let waiting = lock(&self.shared.waiting).frames.clone();
        if let Some(found) = look(&waiting)? {
            return Ok(Some(found));
        }
        for file in self.shared.files_with(id, id) {
            if let Some(found) = look(&self.shared.read(file)?)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Records that `wanted` accepts, older than `before`, at most `limit`. After `scanned_max` it stops at the next file.
    pub(super) fn page(
        &self,
        workspace: &Name,
        before: Option<Id>,
        limit: usize,
        scanned_max: usize,
        wanted: impl Fn(&CallbackRecord) -> bool,
    ) -> Result<Found, StoreError> {
        let mut records = Vec::new();
        let look = |bytes: &[u8], records: &mut Vec<CallbackRecord>| {
            let mut scanned = 0;
            let is_mine = |frame: &Frame<'_>| {
                frame.workspace == workspace.as_str() && before.is_none_or(|before| frame.id < before)
            };
            let mut mine: Vec<Frame<'_>> = frames(bytes).filter(is_mine).collect();
            mine.sort_unstable_by_key(|frame| std::cmp::Reverse(frame.id));
            let mut found = 0;
            for frame in mine {
                scanned += 1;
                let record = parse(&frame)?;
                if wanted(&record) {
                    records.push(record);
                    found += 1;
                    // One more says that there are others.
                    if found > limit {
                        break;
                    }
                }
            }
            // What is being written is in a file and among those that wait.
            records.sort_unstable_by_key(|record| std::cmp::Reverse(record.id));
            records.dedup_by_key(|record| record.id);
            Ok::<_, StoreError>(scanned)
        };
        let waiting = lock(&self.shared.waiting).frames.clone();
        let mut scanned = look(&waiting, &mut records)?;
        let last = before.unwrap_or([0xff; 16]);
        let (mut files_looked_at, mut unseen) = (0, None);
        // Frames are written as their callbacks end; ids are given as they begin: files overlap.
        for file in self.shared.files_with(Id::default(), last) {
            let highest = file.ids.map_or([0xff; 16], |(_, highest)| highest);
            let is_full = limit.checked_sub(1).and_then(|index| records.get(index));
            let is_full = is_full.is_some_and(|record| *record.id.as_bytes() > highest);
            let looked_long = files_looked_at > 0 && scanned + files_looked_at * FILE_COUNTS_AS >= scanned_max;
            if is_full || (looked_long && highest < last) {
                unseen = Some(highest);
                break;
            }
            scanned += look(&self.shared.read(file)?, &mut records)?;
            // One that reaches up to where the page before ended has been looked at: the next one must be, too.
            files_looked_at += usize::from(highest < last);
        }
        if let Some(first_left_out) = records.get(limit) {
            unseen = unseen.max(Some(*first_left_out.id.as_bytes()));
            records.truncate(limit);
        }
        Ok(Found { records, unseen })
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

    /// The bytes of a file; none when it was the oldest and is gone by now.
    fn read(&self, file: RingFile) -> Result<Vec<u8>, StoreError> {
        match std::fs::read(self.path(file.number)) {
            Ok(bytes) => Ok(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(StoreError::Read(error.to_string())),
        }
    }

    /// Files that may have ids of a range, those with the highest in front.
    fn files_with(&self, from: Id, to: Id) -> Vec<RingFile> {
        let mut files: Vec<RingFile> =
            lock(&self.files).iter().filter(|file| file.may_have(from, to)).copied().collect();
        files.sort_by_key(|file| std::cmp::Reverse((file.ids.map_or([0xff; 16], |(_, highest)| highest), file.number)));
        files
    }

    /// Looks which ids the files have that were there at the start, the newest first.
    fn learn_ids(&self) {
        let unknown: Vec<RingFile> = lock(&self.files).iter().filter(|file| file.ids.is_none()).copied().collect();
        for file in unknown.into_iter().rev() {
            let Ok(bytes) = self.read(file) else { return };
            let ids = ids_of(&bytes).unwrap_or(NO_IDS);
            let mut files = lock(&self.files);
            if let Some(known) = files.iter_mut().find(|known| known.number == file.number) {
                known.ids = Some(ids);
            }
        }
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
            if let (Some(current), Some((lowest, highest))) = (lock(&self.files).back_mut(), ids_of(group)) {
                let known = current.ids.unwrap_or(NO_IDS);
                current.ids = Some((known.0.min(lowest), known.1.max(highest)));
            }
            file.write_all(group)?;
            *size += group.len() as u64;
        }
        Ok(())
    }

    fn next_file(&self) -> io::Result<File> {
        let mut files = lock(&self.files);
        let number = files.back().map_or(1, |last| last.number + 1);
        let file = File::create(self.path(number))?;
        files.push_back(RingFile { number, ids: Some(NO_IDS) });
        while files.len() > FILES_MAX {
            if let Some(oldest) = files.pop_front() {
                std::fs::remove_file(self.path(oldest.number))?;
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

/// The next higher id.
pub(super) fn after(id: Id) -> Id {
    u128::from_be_bytes(id).saturating_add(1).to_be_bytes()
}

/// A range that has no id.
const NO_IDS: (Id, Id) = ([0xff; 16], [0; 16]);

/// The lowest and the highest id of some frames.
fn ids_of(bytes: &[u8]) -> Option<(Id, Id)> {
    frames(bytes).map(|frame| (frame.id, frame.id)).reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
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
    use ringback_records::name::{CallbackId, Name};
    use ringback_records::outcome::CallbackRecord;

    fn record(body: &str) -> CallbackRecord {
        CallbackRecord { body: Some(body.into()), ..CallbackRecord::for_testing() }
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
        let page =
            |limit: usize, before: Option<[u8; 16]>| recent.page(&mine, before, limit, 100, |_| true).unwrap().records;
        assert_eq!(page(5, None), [third.clone(), first.clone()]);
        assert_eq!(page(1, None), std::slice::from_ref(&third));
        assert_eq!(page(5, Some(*third.id.as_bytes())), [first]);
    }

    /// B22: whatever order they were written in, walking all pages shows every record once, also where few are wanted.
    #[test]
    fn b22_all_pages_show_everything_once() {
        let directory = tempfile::tempdir().unwrap();
        let recent = Recent::open(directory.path().into()).unwrap();
        let workspace = Name::default_name();
        let mut records: Vec<_> = (0..2000).map(|number| record(&number.to_string())).collect();
        // Some took longer than others: their frames come later, and in another file.
        for index in (0..records.len() - 150).step_by(7) {
            records.swap(index, index + 150);
        }
        for file in records.chunks(90) {
            let group: Vec<u8> = file
                .iter()
                .flat_map(|record| frame(&workspace, record.id, &serde_json::to_vec(record).unwrap()))
                .collect();
            recent.shared.write(&mut None, &group).unwrap();
        }
        recent.close();
        let mut expected: Vec<_> = records.iter().map(|record| record.id).collect();
        expected.sort_unstable_by_key(|id| std::cmp::Reverse(*id));
        let is_rare = |record: &CallbackRecord| record.body.as_ref().unwrap().ends_with("77");
        let recent = Recent::open(directory.path().into()).unwrap();
        for (limit, scanned_max, rare) in [(7, 600, false), (300, 600, false), (5, 1, true), (1000, 1000, true)] {
            let (mut before, mut seen) = (None, Vec::new());
            for pages in 0.. {
                assert!(pages < 500, "it does not end");
                let found = recent.page(&workspace, before, limit, scanned_max, |r| !rare || is_rare(r)).unwrap();
                let complete = |id: &CallbackId| found.unseen.is_none_or(|unseen| *id.as_bytes() > unseen);
                seen.extend(found.records.iter().map(|record| record.id).filter(complete));
                let Some(unseen) = found.unseen else { break };
                before = Some(super::after(unseen));
            }
            let wanted = records.iter().filter(|record| !rare || is_rare(record)).count();
            assert_eq!(seen.len(), wanted, "limit {limit}, scanned {scanned_max}");
            assert!(seen.is_sorted_by(|a, b| a > b));
            assert!(rare || seen == expected);
        }
    }

    /// B15: who asks for an id has the file read that may have it, and no other.
    #[test]
    fn b15_an_id_says_in_which_file_it_can_be() {
        let directory = tempfile::tempdir().unwrap();
        let recent = Recent::open(directory.path().into()).unwrap();
        let workspace = Name::default_name();
        let all: Vec<_> = (0..30).map(|number| record(&number.to_string())).collect();
        for record in &all {
            let group = frame(&workspace, record.id, &serde_json::to_vec(record).unwrap());
            recent.shared.write(&mut None, &group).unwrap();
        }
        for record in &all {
            assert_eq!(recent.find(&workspace, record.id).unwrap().as_ref(), Some(record));
            let id = *record.id.as_bytes();
            assert_eq!(recent.shared.files_with(id, id).len(), 1);
        }
        let unknown = *CallbackId::new().as_bytes();
        assert!(recent.shared.files_with(unknown, unknown).is_empty());
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

//! Records of callbacks that nobody was promised: ignored, refused, failed. They are many, any caller can cause them, and
//! losing the last few in a crash breaks no promise. So they are kept outside the engine, in a ring of files: written in
//! groups, never waited for, and the oldest file goes when there are too many. A flood cannot fill the disk.
//!
//! A file is a sequence of frames: length of the rest (4 bytes, big-endian), CRC-32 of the rest (4), id (16), length of the
//! workspace's name (1), the name, the record as JSON. A torn frame ends its file.
//!
//! Where each record is, is known in memory, by workspace, flow and outcome: some 24 bytes for each, at most 15 MB.

use super::StoreError;
use ringback_records::json;
use ringback_records::name::{CallbackId, Name};
use ringback_records::outcome::{CallbackRecord, Outcome};
use ringback_records::sync::lock;
use serde::Deserialize;
use std::cmp::Reverse;
use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io::{self, Write};
use std::ops::RangeInclusive;
use std::os::unix::fs::FileExt;
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

/// The id of a callback: its time, and then chance.
type Id = [u8; 16];

/// What records have in common that are looked for together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Kin {
    workspace: Name,
    flow: Option<Name>,
    /// `None` for what cannot be read: whoever lists it is told.
    outcome: Option<Outcome>,
}

/// Where a frame is.
#[derive(Clone, Copy, Debug)]
struct Entry {
    id: Id,
    at: u32,
    length: u32,
}

/// What is where in a row of frames.
#[derive(Clone, Debug)]
struct Contents {
    entries: HashMap<Kin, Vec<Entry>>,
    lowest: Id,
    highest: Id,
}

impl Default for Contents {
    fn default() -> Self {
        Self { entries: HashMap::new(), lowest: [0xff; 16], highest: [0; 16] }
    }
}

impl Contents {
    fn of(bytes: &[u8]) -> Self {
        #[derive(Deserialize)]
        struct Known {
            #[serde(default)]
            flow: Option<Name>,
            outcome: Outcome,
        }
        let mut contents = Self::default();
        for (at, frame) in frames(bytes) {
            let Ok(workspace) = frame.workspace.parse() else { continue };
            let (flow, outcome) = match json::from_own::<Known>(frame.json) {
                Ok(Known { flow, outcome }) => (flow, Some(outcome)),
                Err(_) => (None, None),
            };
            contents.add(Kin { workspace, flow, outcome }, frame.id, at, frame.length);
        }
        contents
    }

    fn add(&mut self, kin: Kin, id: Id, at: usize, length: usize) {
        // A file has little more than 4 MiB, and what waits 8 MiB.
        let (Ok(at), Ok(length)) = (u32::try_from(at), u32::try_from(length)) else { return };
        self.entries.entry(kin).or_default().push(Entry { id, at, length });
        (self.lowest, self.highest) = (self.lowest.min(id), self.highest.max(id));
    }

    /// Adds what comes behind the first `offset` bytes.
    fn append(&mut self, behind: Self, offset: u64) {
        let offset = u32::try_from(offset).unwrap_or(u32::MAX);
        for (kin, entries) in behind.entries {
            let moved = entries.into_iter().map(|entry| Entry { at: entry.at.saturating_add(offset), ..entry });
            self.entries.entry(kin).or_default().extend(moved);
        }
        (self.lowest, self.highest) = (self.lowest.min(behind.lowest), self.highest.max(behind.highest));
    }

    /// Forgets what is in the first so many bytes.
    fn drain(&mut self, bytes: usize) {
        let entries = std::mem::take(self).entries;
        for (kin, entries) in entries {
            for Entry { id, at, length } in entries {
                if let Some(at) = (at as usize).checked_sub(bytes) {
                    self.add(kin.clone(), id, at, length as usize);
                }
            }
        }
    }

    fn may_have(&self, ids: &RangeInclusive<Id>) -> bool {
        self.lowest <= *ids.end() && self.highest >= *ids.start()
    }

    fn find(&self, wanted: &dyn Fn(&Kin) -> bool, ids: &RangeInclusive<Id>) -> Vec<Entry> {
        let kins = self.entries.iter().filter(|(kin, _)| wanted(kin));
        kins.flat_map(|(_, entries)| entries).filter(|entry| ids.contains(&entry.id)).copied().collect()
    }
}

/// A file of the ring.
struct RingFile {
    number: u64,
    /// `None` while nobody has looked.
    contents: Option<Contents>,
}

/// Where a record is.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// Its frame has not been written yet.
    Memory(Vec<u8>),
    File {
        number: u64,
        at: u32,
        length: u32,
    },
}

/// Ids of one flow and outcome.
type OfKind = (Option<Name>, Outcome, Vec<Id>);

pub(super) struct Recent {
    shared: Arc<Shared>,
}

struct Shared {
    directory: PathBuf,
    waiting: Mutex<Waiting>,
    wake: Condvar,
    files: Mutex<VecDeque<RingFile>>,
    /// Held by whoever looks what is in the files that were there at the start.
    learning: Mutex<()>,
}

#[derive(Default)]
struct Waiting {
    frames: Vec<u8>,
    contents: Contents,
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
            files: Mutex::new(files.into_iter().map(|number| RingFile { number, contents: None }).collect()),
            learning: Mutex::default(),
        });
        std::thread::Builder::new().name("recent-reader".to_owned()).spawn({
            let shared = Arc::clone(&shared);
            // What cannot be read is said to who asks for it.
            move || drop(shared.learn())
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
        let kin = Kin { workspace: workspace.clone(), flow: record.flow.clone(), outcome: Some(record.outcome) };
        let mut waiting = lock(&self.shared.waiting);
        if waiting.closed || waiting.frames.len() + frame.len() > WAITING_BYTES_MAX {
            return false;
        }
        let at = waiting.frames.len();
        waiting.contents.add(kin, *record.id.as_bytes(), at, frame.len());
        waiting.frames.extend_from_slice(&frame);
        drop(waiting);
        if at == 0 {
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
        let wanted = |kin: &Kin| kin.workspace == *workspace;
        let mut places = self.shared.places(&wanted, &(id..=id), 1);
        if places.is_empty() {
            self.shared.learn()?;
            places = self.shared.places(&wanted, &(id..=id), 1);
        }
        let Some((id, place)) = places.pop() else { return Ok(None) };
        self.reader().read(id, &place)?.map(|json| parse(id, &json)).transpose()
    }

    /// Where the newest records with ids of a range are that may be wanted, by flow and outcome: the newest first, at most so
    /// many.
    pub(super) fn newest(
        &self,
        workspace: &Name,
        wanted: impl Fn(Option<&Name>, Outcome) -> bool,
        ids: &RangeInclusive<Id>,
        most: usize,
    ) -> Result<Vec<(Id, Place)>, StoreError> {
        self.shared.learn()?;
        let wanted = |kin: &Kin| {
            kin.workspace == *workspace && kin.outcome.is_none_or(|outcome| wanted(kin.flow.as_ref(), outcome))
        };
        Ok(self.shared.places(&wanted, ids, most))
    }

    /// The ids of a range, by flow and outcome, newest first; of one flow, or of all.
    pub(super) fn ids(
        &self,
        workspace: &Name,
        flow: Option<&Name>,
        ids: &RangeInclusive<Id>,
    ) -> Result<Vec<OfKind>, StoreError> {
        self.shared.learn()?;
        let is_wanted =
            |kin: &Kin| kin.workspace == *workspace && flow.is_none_or(|flow| kin.flow.as_ref() == Some(flow));
        let mut found: HashMap<(Option<Name>, Outcome), Vec<Id>> = HashMap::new();
        let mut add = |contents: &Contents| {
            for (kin, entries) in contents.entries.iter().filter(|(kin, _)| is_wanted(kin)) {
                let Some(outcome) = kin.outcome else { continue };
                let of_range = entries.iter().map(|entry| entry.id).filter(|id| ids.contains(id));
                found.entry((kin.flow.clone(), outcome)).or_default().extend(of_range);
            }
        };
        // What leaves memory is in a file before.
        add(&lock(&self.shared.waiting).contents);
        let files = lock(&self.shared.files);
        files.iter().filter_map(|file| file.contents.as_ref()).filter(|contents| contents.may_have(ids)).for_each(add);
        drop(files);
        let sorted = found.into_iter().map(|((flow, outcome), mut ids)| {
            ids.sort_unstable_by_key(|id| Reverse(*id));
            (flow, outcome, ids)
        });
        Ok(sorted.collect())
    }

    pub(super) fn reader(&self) -> Reader<'_> {
        Reader { shared: &self.shared, file: None }
    }
}

impl Drop for Recent {
    fn drop(&mut self) {
        self.close();
    }
}

/// Reads records, and keeps the file open that it has read last.
pub(super) struct Reader<'r> {
    shared: &'r Shared,
    file: Option<(u64, File)>,
}

impl Reader<'_> {
    /// The JSON of a record; `None` when it has gone.
    pub(super) fn read(&mut self, id: Id, place: &Place) -> Result<Option<Vec<u8>>, StoreError> {
        match place {
            Place::Memory(frame) => Ok(json_of(id, frame)),
            Place::File { number, at, length } => {
                let read = self.read_file(*number, *at, *length);
                read.map(|frame| json_of(id, &frame?)).map_err(|error| StoreError::Read(error.to_string()))
            }
        }
    }

    fn read_file(&mut self, number: u64, at: u32, length: u32) -> io::Result<Option<Vec<u8>>> {
        if self.file.as_ref().is_none_or(|(open, _)| *open != number) {
            match File::open(self.shared.path(number)) {
                Ok(file) => self.file = Some((number, file)),
                // It was the oldest.
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        let Some((_, file)) = &self.file else { return Ok(None) };
        let mut frame = vec![0; length as usize];
        file.read_exact_at(&mut frame, at.into())?;
        Ok(Some(frame))
    }
}

impl Shared {
    fn path(&self, number: u64) -> PathBuf {
        self.directory.join(format!("{number:010}.{EXTENSION}"))
    }

    /// Where the newest wanted records are, as far as it is known what is in the files.
    fn places(&self, wanted: &dyn Fn(&Kin) -> bool, ids: &RangeInclusive<Id>, most: usize) -> Vec<(Id, Place)> {
        let mut found = {
            let waiting = lock(&self.waiting);
            let mut entries = waiting.contents.find(wanted, ids);
            entries.sort_unstable_by_key(|entry| Reverse(entry.id));
            let place = |entry: &Entry| {
                let frame = waiting.frames.get(entry.at as usize..).and_then(|rest| rest.get(..entry.length as usize));
                Some((entry.id, Place::Memory(frame?.to_vec())))
            };
            entries.iter().take(most).filter_map(place).collect::<Vec<_>>()
        };
        // What leaves memory is in a file before.
        let files = lock(&self.files);
        let known = files.iter().filter_map(|file| Some((file.number, file.contents.as_ref()?)));
        let mut known: Vec<_> = known.filter(|(_, contents)| contents.may_have(ids)).collect();
        known.sort_unstable_by_key(|(_, contents)| Reverse(contents.highest));
        for (number, contents) in known {
            // Frames are written as their callbacks end; ids are given as they begin: files overlap.
            if found.len() >= most && found.last().is_none_or(|(id, _)| *id > contents.highest) {
                break;
            }
            let entries = contents.find(wanted, ids);
            found.extend(entries.into_iter().map(|Entry { id, at, length }| (id, Place::File { number, at, length })));
            found.sort_by_key(|(id, _)| Reverse(*id));
            found.dedup_by_key(|(id, _)| *id);
            found.truncate(most);
        }
        found
    }

    /// Looks what is in the files that were there at the start, the newest first.
    fn learn(&self) -> Result<(), StoreError> {
        let _one = lock(&self.learning);
        loop {
            let unknown = lock(&self.files).iter().rev().find(|file| file.contents.is_none()).map(|file| file.number);
            let Some(number) = unknown else { return Ok(()) };
            let contents = match std::fs::read(self.path(number)) {
                Ok(bytes) => Contents::of(&bytes),
                // It was the oldest.
                Err(error) if error.kind() == io::ErrorKind::NotFound => Contents::default(),
                Err(error) => return Err(StoreError::Read(error.to_string())),
            };
            if let Some(known) = lock(&self.files).iter_mut().find(|file| file.number == number) {
                known.contents = Some(contents);
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
            let (group, contents, closed) = (waiting.frames.clone(), waiting.contents.clone(), waiting.closed);
            drop(waiting);
            if let Err(error) = self.write(&mut file, &group, contents) {
                tracing::error!(%error, "records of ignored and refused callbacks could not be written");
                metrics::counter!("ringback_records_dropped_total").increment(1);
                file = None;
            }
            let mut waiting = lock(&self.waiting);
            waiting.frames.drain(..group.len());
            waiting.contents.drain(group.len());
            if closed && waiting.frames.is_empty() {
                waiting.written = true;
                self.wake.notify_all();
                return;
            }
        }
    }

    fn write(&self, file: &mut Option<(File, u64)>, group: &[u8], contents: Contents) -> io::Result<()> {
        if group.is_empty() {
            return Ok(());
        }
        if file.as_ref().is_none_or(|(_, size)| *size >= FILE_BYTES_MAX) {
            *file = Some((self.next_file()?, 0));
        }
        if let Some((file, size)) = file {
            file.write_all(group)?;
            if let Some(known) = lock(&self.files).back_mut().and_then(|current| current.contents.as_mut()) {
                known.append(contents, *size);
            }
            *size += group.len() as u64;
        }
        Ok(())
    }

    fn next_file(&self) -> io::Result<File> {
        let mut files = lock(&self.files);
        let number = files.back().map_or(1, |last| last.number + 1);
        let file = File::create(self.path(number))?;
        files.push_back(RingFile { number, contents: Some(Contents::default()) });
        while files.len() > FILES_MAX {
            if let Some(oldest) = files.pop_front() {
                std::fs::remove_file(self.path(oldest.number))?;
            }
        }
        Ok(file)
    }
}

struct Frame<'a> {
    id: Id,
    workspace: &'a str,
    json: &'a [u8],
    /// In bytes, with all that is before the record.
    length: usize,
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

/// The frames of a file up to the first that is torn, with where they begin.
fn frames(bytes: &[u8]) -> impl Iterator<Item = (usize, Frame<'_>)> {
    let mut left = bytes;
    std::iter::from_fn(move || {
        let at = bytes.len() - left.len();
        let (length, rest) = left.split_first_chunk::<4>()?;
        let (crc, rest) = rest.split_first_chunk::<4>()?;
        let (body, rest) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
        if crc32fast::hash(body) != u32::from_be_bytes(*crc) {
            return None;
        }
        let length = left.len() - rest.len();
        left = rest;
        let (id, body) = body.split_first_chunk::<16>()?;
        let (name_length, body) = body.split_first()?;
        let (name, json) = body.split_at_checked(usize::from(*name_length))?;
        Some((at, Frame { id: *id, workspace: std::str::from_utf8(name).ok()?, json, length }))
    })
}

/// What a frame has, if it is whole and the one of an id.
fn json_of(id: Id, frame: &[u8]) -> Option<Vec<u8>> {
    let (_, frame) = frames(frame).next()?;
    (frame.id == id).then(|| frame.json.to_vec())
}

fn parse(id: Id, record: &[u8]) -> Result<CallbackRecord, StoreError> {
    json::from_own(record).map_err(|error| StoreError::Damaged {
        key: uuid::Uuid::from_bytes(id).to_string(),
        problem: error.to_string(),
    })
}

#[cfg(fuzzing)]
pub(super) fn fuzz(bytes: &[u8]) {
    frames(bytes).for_each(|(_, frame)| drop(parse(frame.id, frame.json)));
    drop(Contents::of(bytes));
}

/// The bytes of a directory's files.
pub(super) fn size_bytes(directory: &Path) -> u64 {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.metadata().ok()).map(|metadata| metadata.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::{Contents, FILES_MAX, Id, Recent, frame, frames, parse};
    use ringback_records::name::{CallbackId, Name};
    use ringback_records::outcome::{CallbackRecord, Outcome};

    const ALL: std::ops::RangeInclusive<Id> = [0; 16]..=[0xff; 16];

    fn record(body: &str) -> CallbackRecord {
        CallbackRecord { body: Some(body.into()), ..CallbackRecord::for_testing() }
    }

    /// Writes records as a file of their own.
    fn write(recent: &Recent, workspace: &Name, records: &[CallbackRecord]) {
        let frames = records.iter().map(|record| frame(workspace, record.id, &serde_json::to_vec(record).unwrap()));
        let group = frames.collect::<Vec<_>>().concat();
        recent.shared.write(&mut None, &group, Contents::of(&group)).unwrap();
    }

    fn read(recent: &Recent, places: &[(Id, super::Place)]) -> Vec<CallbackRecord> {
        let mut reader = recent.reader();
        let read = places.iter().map(|(id, place)| parse(*id, &reader.read(*id, place).unwrap().unwrap()).unwrap());
        read.collect()
    }

    #[test]
    fn a_torn_or_flipped_frame_ends_its_file() {
        let workspace = Name::default_name();
        let one = frame(&workspace, CallbackId::new(), b"{}");
        let two = [one.clone(), frame(&workspace, CallbackId::new(), b"[]")].concat();
        assert_eq!(
            frames(&two).map(|(at, frame)| (at, frame.length)).collect::<Vec<_>>(),
            [(0, one.len()), (one.len(), one.len())]
        );
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
            assert_eq!(recent.find(&mine, first.id).unwrap(), Some(first.clone()), "in the file");
        }
        let recent = Recent::open(directory.path().into()).unwrap();
        assert_eq!(recent.find(&mine, first.id).unwrap(), Some(first.clone()));
        let third = record("3");
        recent.keep(&mine, &third);
        let newest = |most: usize, ids| read(&recent, &recent.newest(&mine, |_, _| true, &ids, most).unwrap());
        assert_eq!(newest(5, ALL), [third.clone(), first.clone()]);
        assert_eq!(newest(1, ALL), std::slice::from_ref(&third));
        assert_eq!(newest(5, [0; 16]..=*first.id.as_bytes()), [first]);
    }

    /// B22: whatever order they were written in, over whichever files, the newest are found in their order, each once.
    #[test]
    fn b22_the_newest_are_found_whatever_the_files() {
        let directory = tempfile::tempdir().unwrap();
        let recent = Recent::open(directory.path().into()).unwrap();
        let workspace = Name::default_name();
        let mut records: Vec<_> = (0..2000).map(|number| record(&number.to_string())).collect();
        for record in records.iter_mut().step_by(77) {
            record.outcome = Outcome::Failed;
        }
        let mut expected: Vec<_> = records.iter().map(|record| (*record.id.as_bytes(), record.outcome)).collect();
        expected.sort_unstable_by_key(|(id, _)| std::cmp::Reverse(*id));
        // Some took longer than others: their frames come later, and in another file.
        for index in (0..records.len() - 150).step_by(7) {
            records.swap(index, index + 150);
        }
        records.chunks(90).for_each(|file| write(&recent, &workspace, file));
        // What is being written is in a file and in memory.
        assert!(records.iter().rev().take(50).all(|record| recent.keep(&workspace, record)));
        for is_known in [true, false] {
            let recent = if is_known { &recent } else { &Recent::open(directory.path().into()).unwrap() };
            for (most, from, to) in [(5000, 0, 1999), (7, 0, 1999), (400, 3, 1500), (1, 1999, 1999), (90, 700, 820)] {
                for rare in [false, true] {
                    let (newest, oldest) = (expected[from].0, expected[to].0);
                    let found = recent.newest(
                        &workspace,
                        |_, outcome| !rare || outcome == Outcome::Failed,
                        &(oldest..=newest),
                        most,
                    );
                    let wanted = expected[from..=to].iter().filter(|(_, outcome)| !rare || *outcome == Outcome::Failed);
                    let wanted: Vec<_> = wanted.map(|(id, _)| *id).take(most).collect();
                    let found = found.unwrap();
                    assert_eq!(found.iter().map(|(id, _)| *id).collect::<Vec<_>>(), wanted, "{most} of {from} to {to}");
                    assert!(read(recent, &found).iter().map(|record| *record.id.as_bytes()).eq(wanted));
                }
            }
        }
    }

    /// B15: it is known in which file an id is, and of which flow and outcome: no other is read.
    #[test]
    fn b15_an_id_is_looked_for_in_its_file_alone() {
        let directory = tempfile::tempdir().unwrap();
        let recent = Recent::open(directory.path().into()).unwrap();
        let workspace = Name::default_name();
        let all: Vec<_> = (0..30).map(|number| record(&number.to_string())).collect();
        all.iter().for_each(|record| write(&recent, &workspace, std::slice::from_ref(record)));
        for record in &all {
            assert_eq!(recent.find(&workspace, record.id).unwrap().as_ref(), Some(record));
        }
        assert_eq!(recent.find(&workspace, CallbackId::new()).unwrap(), None);
        let of = |flow: &str, outcome: Outcome| {
            let is_wanted = |of: Option<&Name>, is| of.is_some_and(|of| of.as_str() == flow) && is == outcome;
            recent.newest(&workspace, is_wanted, &ALL, 99).unwrap().len()
        };
        assert_eq!(
            [of("default", Outcome::Ignored), of("default", Outcome::Failed), of("x", Outcome::Ignored)],
            [30, 0, 0]
        );
        for number in 1..30 {
            std::fs::write(recent.shared.path(number), "damaged").unwrap();
        }
        assert_eq!(
            recent.find(&workspace, all[29].id).unwrap().as_ref(),
            Some(&all[29]),
            "the others are not looked at"
        );
        assert!(recent.find(&workspace, all[0].id).is_err());
    }

    #[test]
    fn a_flood_drops_the_oldest() {
        let directory = tempfile::tempdir().unwrap();
        let recent = Recent::open(directory.path().into()).unwrap();
        let workspace = Name::default_name();
        let first = record("first");
        write(&recent, &workspace, std::slice::from_ref(&first));
        assert!(recent.find(&workspace, first.id).unwrap().is_some());
        let mut file = None;
        for _ in 0..FILES_MAX {
            let group = frame(&workspace, CallbackId::new(), &vec![b' '; 5 << 20]);
            recent.shared.write(&mut file, &group, Contents::of(&group)).unwrap();
        }
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), FILES_MAX);
        assert_eq!(recent.find(&workspace, first.id).unwrap(), None);
        recent.close();
        assert!(super::size_bytes(directory.path()) < (FILES_MAX as u64 + 1) * (6 << 20));
    }
}

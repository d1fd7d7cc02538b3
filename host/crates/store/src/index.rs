//! The index: where in the log the value of each key is. sled holds it; what was changed last is in memory, and goes to
//! sled in large portions by a thread of its own. sled need not be durable for anything to be acknowledged: the index
//! knows up to where it contains the log, and the rest is read from the log again when the store is opened.

use super::blocks::{Blocks, Entry};
use super::firsts::Firsts;
use super::log::{End, Log, LogError, Position};
use super::slot::Slot;
use super::{StoreError, key};
use ringback_records::sync::lock;
use ringback_records::time::Timestamp;
use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

/// Changed keys that are enough to write them to sled at once.
const PORTION_KEYS: usize = 50_000;
/// How long changed keys wait to be written together.
const PORTION_TIME: Duration = Duration::from_millis(500);
/// Most changed keys in memory: beyond it, changes wait for sled.
const WAITING_KEYS_MAX: usize = 4 * PORTION_KEYS;
/// How far the thread that writes to sled steps back for others.
const NICENESS: i32 = 5;
/// Values of one sled batch: after each, whoever waits for the processor has it. Fewer cost more for each of them.
const BATCH_VALUES: usize = 64;
/// Keys that a scan takes at a time, under the lock: few at first, since many want no more.
const SCAN_KEYS: usize = 128;
const FIRST_SCAN_KEYS: usize = 8;
/// Under this key sled says up to where it contains the log.
const CONTAINED: &[u8] = b"\0contained";
const FORMAT: u8 = 2;

fn checksum(bytes: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(CONTAINED);
    crc.update(bytes);
    crc.finalize()
}

/// Changed keys: `None` for one that is gone.
pub(super) type Changes = BTreeMap<Vec<u8>, Option<Slot>>;

/// What is not in sled yet.
struct Waiting {
    /// Grows with every group.
    active: Changes,
    /// Is being written to sled.
    frozen: Option<Arc<Changes>>,
    /// Where the last frame begins whose changes are here.
    end: End,
    /// When the first change of `active` came.
    since: Option<Instant>,
}

/// Up to where sled contains the log, and how much of the log is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Contained {
    end: End,
    live_bytes: u64,
}

impl Contained {
    fn encode(self) -> Vec<u8> {
        let Self { end: End { position, frame }, live_bytes } = self;
        let mut bytes = vec![FORMAT];
        bytes.extend_from_slice(&position.segment.to_be_bytes());
        bytes.extend_from_slice(&position.offset.to_be_bytes());
        bytes.extend_from_slice(&frame.unwrap_or_default().to_be_bytes());
        bytes.extend_from_slice(&live_bytes.to_be_bytes());
        let crc = checksum(&bytes);
        bytes.extend_from_slice(&crc.to_be_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (bytes, crc) = bytes.split_last_chunk::<4>()?;
        if checksum(bytes) != u32::from_be_bytes(*crc) {
            return None;
        }
        let (format, rest) = bytes.split_first()?;
        let (segment, rest) = rest.split_first_chunk()?;
        let (offset, rest) = rest.split_first_chunk()?;
        let (frame, rest) = rest.split_first_chunk()?;
        let (live_bytes, rest) = rest.split_first_chunk()?;
        let position = Position { segment: u32::from_be_bytes(*segment), offset: u64::from_be_bytes(*offset) };
        let frame = Some(u64::from_be_bytes(*frame)).filter(|frame| *frame > 0);
        (*format == FORMAT && rest.is_empty())
            .then(|| Self { end: End { position, frame }, live_bytes: u64::from_be_bytes(*live_bytes) })
    }
}

/// The index of a log.
pub(super) struct Index {
    db: sled::Db,
    blocks: Blocks,
    database_file: File,
    log: Arc<Log>,
    waiting: RwLock<Waiting>,
    portions: Mutex<Portions>,
    changed: Condvar,
    /// When something of each workspace may be due.
    pub(super) firsts: Firsts,
}

/// How the thread that writes portions stands.
struct Portions {
    contained: Contained,
    /// Someone waits for everything to be in sled.
    wanted: u64,
    done: u64,
    closing: bool,
    closed: bool,
    failure: Option<String>,
}

impl Index {
    /// The index as sled holds it, and where reading the log has to go on: `None` when sled holds nothing.
    pub(super) fn new(db: sled::Db, database_file: File, log: Arc<Log>) -> (Self, Option<End>) {
        let contained = db.get(CONTAINED).ok().flatten().and_then(|bytes| Contained::decode(&bytes));
        let known = contained.map(|contained| contained.end);
        let contained = contained.unwrap_or_else(|| Contained { end: log.start(), live_bytes: 0 });
        let waiting = Waiting { active: Changes::new(), frozen: None, end: contained.end, since: None };
        let portions = Portions { contained, wanted: 0, done: 0, closing: false, closed: false, failure: None };
        let index = Self {
            blocks: Blocks::new(db.clone()),
            db,
            database_file,
            log,
            waiting: RwLock::new(waiting),
            portions: Mutex::new(portions),
            changed: Condvar::new(),
            firsts: Firsts::default(),
        };
        (index, known)
    }

    /// Whether sled holds an index of a version before there were blocks.
    pub(super) fn is_outdated(&self) -> bool {
        self.db.get(CONTAINED).ok().flatten().is_some_and(|bytes| bytes.first() == Some(&(FORMAT - 1)))
    }

    /// Adds changes whose records are durable in the log, in a frame that begins at `end`. Reading the log again from there,
    /// and not from behind it, shows whether the frame is still there.
    pub(super) fn apply(&self, changes: Changes, end: End) {
        let due = changes.range(vec![key::DUE]..vec![key::DUE + 1]).filter(|(_, slot)| slot.is_some());
        let due: Vec<Vec<u8>> = due.map(|(key, _)| key.clone()).collect();
        let mut waiting = self.waiting.write().unwrap_or_else(PoisonError::into_inner);
        waiting.active.extend(changes);
        waiting.end = end;
        let first = waiting.since.is_none();
        waiting.since.get_or_insert_with(Instant::now);
        let full = waiting.active.len() >= PORTION_KEYS;
        drop(waiting);
        // Afterwards: who looks at what is due in between finds it, or its note.
        self.firsts.note_all(due.iter());
        if first || full {
            self.changed.notify_all();
        }
    }

    /// Waits while too many changes are in memory.
    ///
    /// # Errors
    ///
    /// sled failed.
    pub(super) fn wait_for_room(&self) -> Result<(), String> {
        let mut portions = lock(&self.portions);
        loop {
            if let Some(failure) = &portions.failure {
                return Err(failure.clone());
            }
            if self.waiting.read().unwrap_or_else(PoisonError::into_inner).active.len() < WAITING_KEYS_MAX {
                return Ok(());
            }
            let waited = self.changed.wait_timeout(portions, PORTION_TIME);
            portions = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Writes portions to sled until the index is closed, or sled fails: why.
    pub(super) fn write_portions(&self) -> Result<(), String> {
        // Nobody waits for sled as long as there is room: whoever waits goes first. It is as well if this is not allowed.
        let _ = rustix::process::nice(NICENESS);
        loop {
            let mut portions = lock(&self.portions);
            let (wanted, closing) = loop {
                let due = {
                    let waiting = self.waiting.read().unwrap_or_else(PoisonError::into_inner);
                    waiting.active.len() >= PORTION_KEYS
                        || waiting.since.is_some_and(|since| since.elapsed() >= PORTION_TIME)
                };
                if due || portions.closing || portions.wanted > portions.done {
                    break (portions.wanted, portions.closing);
                }
                let waited = self.changed.wait_timeout(portions, PORTION_TIME);
                portions = waited.unwrap_or_else(PoisonError::into_inner).0;
            };
            let contained = portions.contained;
            drop(portions);
            let written = self.write_portion(contained).and_then(|contained| {
                if closing {
                    self.sync()?;
                }
                Ok(contained)
            });
            let mut portions = lock(&self.portions);
            portions.closed = closing || written.is_err();
            match written {
                Ok(contained) => {
                    portions.contained = contained;
                    portions.done = wanted;
                }
                Err(failure) => portions.failure = Some(failure),
            }
            let (closed, failure) = (portions.closed, portions.failure.clone());
            drop(portions);
            self.changed.notify_all();
            if closed {
                return failure.map_or(Ok(()), Err);
            }
        }
    }

    /// Writes what is in memory to sled, before there is a thread that does.
    pub(super) fn write_now(&self) -> Result<(), String> {
        let contained = lock(&self.portions).contained;
        let contained = self.write_portion(contained)?;
        lock(&self.portions).contained = contained;
        Ok(())
    }

    fn write_portion(&self, contained: Contained) -> Result<Contained, String> {
        let (frozen, end) = {
            let mut waiting = self.waiting.write().unwrap_or_else(PoisonError::into_inner);
            let frozen = Arc::new(std::mem::take(&mut waiting.active));
            waiting.frozen = Some(Arc::clone(&frozen));
            waiting.since = None;
            (frozen, waiting.end)
        };
        let mut contained = contained;
        if frozen.is_empty() {
            self.waiting.write().unwrap_or_else(PoisonError::into_inner).frozen = None;
            return Ok(contained);
        }
        let failed = |error: &dyn std::fmt::Display| format!("the index could not be written: {error}");
        let mut batch = sled::Batch::default();
        let mut changes = frozen.iter().peekable();
        let mut values = 0;
        while changes.peek().is_some() {
            let merged = self.blocks.merge(&mut changes, &mut batch).inspect_err(|error| {
                if matches!(error, StoreError::Damaged { .. }) {
                    // The next start makes it again from the log.
                    let _ = self.db.remove(CONTAINED);
                }
            });
            let merged = merged.map_err(|error| failed(&error))?;
            contained.live_bytes = (contained.live_bytes + merged.added).saturating_sub(merged.removed);
            values += merged.writes;
            if values >= BATCH_VALUES || merged.is_cut {
                // The end stays behind: reading the log again changes nothing.
                batch.insert(CONTAINED, contained.encode());
                self.db.apply_batch(std::mem::take(&mut batch)).map_err(|error| failed(&error))?;
                std::thread::yield_now();
                values = 0;
            }
        }
        contained.end = end;
        batch.insert(CONTAINED, contained.encode());
        self.db.apply_batch(batch).map_err(|error| failed(&error))?;
        self.waiting.write().unwrap_or_else(PoisonError::into_inner).frozen = None;
        Ok(contained)
    }

    /// Makes what sled holds durable.
    fn sync(&self) -> Result<(), String> {
        self.db.flush().map_err(|error| format!("the index could not be flushed: {error}"))?;
        self.database_file.sync_data().map_err(|error| format!("fdatasync of the index failed: {error}"))
    }

    /// Waits until sled holds everything that was applied before, durably.
    pub(super) fn checkpoint(&self) -> Result<(), String> {
        let mut portions = lock(&self.portions);
        portions.wanted += 1;
        let mine = portions.wanted;
        self.changed.notify_all();
        while portions.done < mine && portions.failure.is_none() && !portions.closed {
            portions = self.changed.wait(portions).unwrap_or_else(PoisonError::into_inner);
        }
        match &portions.failure {
            Some(failure) => return Err(failure.clone()),
            None if portions.done < mine => return Err("the index was closed".to_owned()),
            None => drop(portions),
        }
        self.sync()
    }

    /// Lets the thread that writes portions write the last one and end, and waits for it.
    pub(super) fn close(&self) {
        let mut portions = lock(&self.portions);
        portions.closing = true;
        self.changed.notify_all();
        while !portions.closed {
            portions = self.changed.wait(portions).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Where the last frame begins that is applied.
    pub(super) fn applied(&self) -> End {
        self.waiting.read().unwrap_or_else(PoisonError::into_inner).end
    }

    /// Bytes of the log that are needed, nearly.
    pub(super) fn live_bytes(&self) -> u64 {
        lock(&self.portions).contained.live_bytes
    }

    pub(super) fn size_bytes(&self) -> u64 {
        self.db.size_on_disk().unwrap_or_default()
    }

    /// The slot of a key as memory has it: `None` where it was not changed lately, and only sled knows.
    pub(super) fn changed(&self, key: &[u8]) -> Option<Option<Slot>> {
        let waiting = self.waiting.read().unwrap_or_else(PoisonError::into_inner);
        let frozen = || waiting.frozen.as_ref().and_then(|frozen| frozen.get(key));
        waiting.active.get(key).or_else(frozen).copied()
    }

    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Slot>, StoreError> {
        if let Some(slot) = self.changed(key) {
            return Ok(slot);
        }
        self.blocks.get(key)
    }

    /// The value of a key.
    pub(super) fn value(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(slot) = self.get(key)? else { return Ok(None) };
        self.value_at(key, slot)
    }

    /// The value of a key whose slot is known. `None` when it has gone in the meantime.
    pub(super) fn value_at(&self, key: &[u8], slot: Slot) -> Result<Option<Vec<u8>>, StoreError> {
        let mut slot = slot;
        loop {
            match self.log.read(slot.at, key, slot.length) {
                Ok(Some(value)) => return Ok(Some(value)),
                // The record was moved after its slot was read.
                Ok(None) => match self.get(key)? {
                    Some(moved) if moved.at != slot.at => slot = moved,
                    Some(_) => return Err(StoreError::damaged(key, "its part of the log is missing".to_owned())),
                    None => return Ok(None),
                },
                Err(LogError::Io(error)) => return Err(StoreError::Read(error.to_string())),
                Err(error @ LogError::Damaged { .. }) => return Err(StoreError::damaged(key, error.to_string())),
            }
        }
    }

    #[cfg(test)]
    pub(super) fn damage(&self, key: &[u8]) {
        self.db.insert(key, &[FORMAT; 30]).map(drop).unwrap_or_default();
    }

    /// Keys from `start` on and before `end`, in order, or backwards.
    pub(super) fn scan(&self, start: Vec<u8>, end: Vec<u8>, backwards: bool) -> Scan<'_> {
        Scan { index: self, start, end, backwards, keys: FIRST_SCAN_KEYS, found: VecDeque::new(), done: false }
    }

    /// The first key of a range of what is due, and when that is.
    pub(super) fn first_due(&self, start: Vec<u8>, end: Vec<u8>) -> Result<Option<(Vec<u8>, Timestamp)>, StoreError> {
        let Some(found) = self.scan(start, end, false).next() else { return Ok(None) };
        let (key, _) = found?;
        let at = key::parts_of_due(&key).map(|(_, at, _)| at);
        let at = at.ok_or_else(|| StoreError::damaged(&key, "its key is not one".to_owned()))?;
        Ok(Some((key, at)))
    }

    /// Notes of each workspace when something is due for the first time.
    pub(super) fn note_firsts(&self) -> Result<(), StoreError> {
        let (mut start, end) = (vec![key::DUE], vec![key::DUE + 1]);
        while let Some((key, at)) = self.first_due(start, end.clone())? {
            let of_workspace = key::parts_of_due(&key).map(|(of_workspace, _, _)| of_workspace).unwrap_or_default();
            self.firsts.note(of_workspace, at);
            start = key::after_prefix(of_workspace);
        }
        Ok(())
    }

    /// Keys that begin with a prefix, in order.
    pub(super) fn scan_prefix(&self, prefix: &[u8]) -> Scan<'_> {
        self.scan(prefix.to_vec(), key::after_prefix(prefix), false)
    }
}

/// Keys and slots in order.
pub(super) struct Scan<'i> {
    index: &'i Index,
    start: Vec<u8>,
    end: Vec<u8>,
    backwards: bool,
    /// How many it takes next.
    keys: usize,
    found: VecDeque<Entry>,
    done: bool,
}

impl Iterator for Scan<'_> {
    type Item = Result<Entry, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.found.is_empty() && !self.done {
            if let Err(error) = self.fill() {
                self.done = true;
                return Some(Err(error));
            }
        }
        self.found.pop_front().map(Ok)
    }
}

impl Scan<'_> {
    /// Takes the next keys of each source. A key counts only as far as no source has more before it.
    fn fill(&mut self) -> Result<(), StoreError> {
        if self.start >= self.end {
            self.done = true;
            return Ok(());
        }
        let keys = self.keys;
        self.keys = (2 * keys).min(SCAN_KEYS);
        let mut merged: BTreeMap<Vec<u8>, Option<Slot>> = BTreeMap::new();
        let mut limits: Vec<Vec<u8>> = Vec::new();
        // Memory first: what leaves it in the meantime is in sled before, and nobody waits for a lock while a disk is read.
        let changed: Vec<Vec<(Vec<u8>, Option<Slot>)>> = {
            let waiting = self.index.waiting.read().unwrap_or_else(PoisonError::into_inner);
            let of = |changes: &Changes| {
                let range = changes.range(self.start.clone()..self.end.clone());
                let copied = |(key, slot): (&Vec<u8>, &Option<Slot>)| (key.clone(), *slot);
                match self.backwards {
                    true => range.rev().take(keys).map(copied).collect(),
                    false => range.take(keys).map(copied).collect(),
                }
            };
            waiting.frozen.as_deref().into_iter().chain([&waiting.active]).map(of).collect()
        };
        let sled = self.index.blocks.page(&self.start, &self.end, keys, self.backwards)?;
        if sled.len() == keys {
            limits.extend(sled.last().map(|(key, _)| key.clone()));
        }
        merged.extend(sled.into_iter().map(|(key, slot)| (key, Some(slot))));
        for changes in changed {
            if changes.len() == keys {
                limits.extend(changes.last().map(|(key, _)| key.clone()));
            }
            merged.extend(changes);
        }
        let limit = if self.backwards { limits.into_iter().max() } else { limits.into_iter().min() };
        let within = |key: &Vec<u8>| match &limit {
            Some(limit) if self.backwards => key >= limit,
            Some(limit) => key <= limit,
            None => true,
        };
        let found = merged.into_iter().filter(|(key, _)| within(key)).filter_map(|(key, slot)| Some((key, slot?)));
        self.found = if self.backwards { found.rev().collect() } else { found.collect() };
        match limit {
            Some(limit) if self.backwards => self.end = limit,
            Some(mut limit) => {
                limit.push(0);
                self.start = limit;
            }
            None => self.done = true,
        }
        Ok(())
    }
}

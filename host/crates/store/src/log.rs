//! The log: every change is here first, and what it promises is durable when its frame is. The log is the truth; the index
//! can be made from it again.
//!
//! The log is a row of files, the segments. Changes are appended to the last one, a group of them as one frame, and the
//! oldest one goes when the [cleaner](super::cleaner) has moved what is still needed from it to the end. A frame is
//!
//! | bytes | content |
//! | --- | --- |
//! | 4 | `rbL` and the format version, now 1 |
//! | 8 | number of the frame, one more than the one before |
//! | 4 | length of the rest |
//! | 4 | CRC-32 of number, length and the rest |
//! | rest | records, one after the other |
//!
//! and a record, which can also be read alone by its place,
//!
//! | bytes | content |
//! | --- | --- |
//! | 1 | 1 for a value, 0 for a key that is gone |
//! | 2 | length of the key |
//! | 4 | revision of the value; 0 where nothing depends on it |
//! | 4 | length of the value |
//! | 4 | CRC-32 of the fields before it, the key and the value |
//! | rest | key, value |
//!
//! All numbers are big-endian. A segment is written full of zeros before its first frame comes, by a thread of its own while
//! the one before it fills: making a frame durable then changes nothing but its own bytes, which takes the disk half the
//! time of making a file longer. Zeros are where no frame was written yet.

use ringback_records::file::sync_directory;
use rustix::io::ReadWriteFlags;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, IoSliceMut};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::JoinHandle;

const MAGIC: [u8; 4] = *b"rbL\x01";
const FRAME_HEADER: usize = 20;
pub(super) const RECORD_HEADER: usize = 15;
/// Longest frame that is believed, in bytes: a length beyond it is damage, and none is written.
const FRAME_BYTES_MAX: u32 = 1 << 30;
/// Longest key, in bytes.
pub(super) const KEY_BYTES_MAX: usize = u16::MAX as usize;
const EXTENSION: &str = "log";
/// The next segment while it is prepared.
const PREPARED: &str = "next";
/// Bytes that are read or written at a time where there are only zeros.
const ZEROS: usize = 1 << 20;
/// Longest value that is copied on a thread that answers callers, in bytes.
const AT_ONCE_BYTES_MAX: u32 = 64 << 10;

/// A place in the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    pub(super) segment: u32,
    pub(super) offset: u64,
}

/// A place between two frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    pub(super) position: Position,
    /// The number of the frame before it, where that is known.
    pub(super) frame: Option<u64>,
}

/// What a scan has found.
pub(super) struct Scanned {
    /// Where the log ends.
    pub(super) end: End,
    /// Where its last frame begins; `None` when there was none.
    pub(super) last: Option<End>,
}

/// What looks at the records of a scan.
pub(super) type Visit<'a> = dyn FnMut(Position, Record<'_>) -> Result<(), LogError> + 'a;

/// A record of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record<'a> {
    pub(super) key: &'a [u8],
    pub(super) revision: u32,
    /// `None` when the key is gone.
    pub(super) value: Option<&'a [u8]>,
}

impl Record<'_> {
    fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.push(u8::from(self.value.is_some()));
        let value = self.value.unwrap_or_default();
        // Keys are made of names and ids; values are bounded long before 4 GiB.
        out.extend_from_slice(&u16::try_from(self.key.len()).unwrap_or(u16::MAX).to_be_bytes());
        out.extend_from_slice(&self.revision.to_be_bytes());
        out.extend_from_slice(&u32::try_from(value.len()).unwrap_or(u32::MAX).to_be_bytes());
        let mut crc = crc32fast::Hasher::new();
        crc.update(out.get(start..).unwrap_or_default());
        crc.update(self.key);
        crc.update(value);
        out.extend_from_slice(&crc.finalize().to_be_bytes());
        out.extend_from_slice(self.key);
        out.extend_from_slice(value);
    }

    /// The first record of some bytes, and the rest of them.
    fn decode(bytes: &[u8]) -> Result<(Record<'_>, &[u8]), String> {
        let (header, rest) = bytes.split_first_chunk::<RECORD_HEADER>().ok_or("a record is cut off")?;
        let [kind, k0, k1, r0, r1, r2, r3, v0, v1, v2, v3, c0, c1, c2, c3] = *header;
        let key_length = usize::from(u16::from_be_bytes([k0, k1]));
        let value_length = usize::try_from(u32::from_be_bytes([v0, v1, v2, v3])).map_err(|error| error.to_string())?;
        let (key, rest) = rest.split_at_checked(key_length).ok_or("a record is cut off in its key")?;
        let (value, rest) = rest.split_at_checked(value_length).ok_or("a record is cut off in its value")?;
        let mut crc = crc32fast::Hasher::new();
        crc.update(&[kind, k0, k1, r0, r1, r2, r3, v0, v1, v2, v3]);
        crc.update(key);
        crc.update(value);
        if crc.finalize() != u32::from_be_bytes([c0, c1, c2, c3]) {
            return Err("the checksum of a record is wrong".to_owned());
        }
        let value = match kind {
            0 => None,
            1 => Some(value),
            kind => return Err(format!("a record is of the unknown kind {kind}")),
        };
        Ok((Record { key, revision: u32::from_be_bytes([r0, r1, r2, r3]), value }, rest))
    }
}

/// The value of the record that some bytes are.
fn value_of(mut bytes: Vec<u8>, key: &[u8]) -> Result<Vec<u8>, String> {
    let (record, _) = Record::decode(&bytes)?;
    if record.key != key {
        return Err("another record is here than the index says".to_owned());
    }
    let value_length = record.value.map(<[u8]>::len).ok_or("the key is gone")?;
    Ok(bytes.split_off(bytes.len() - value_length))
}

/// A group of records on its way to the log.
#[derive(Default)]
pub(super) struct Frame {
    bytes: Vec<u8>,
}

impl Frame {
    /// Adds a record: where it begins, counted from the beginning of the frame.
    pub(super) fn add(&mut self, record: &Record<'_>) -> u64 {
        if self.bytes.is_empty() {
            self.bytes.resize(FRAME_HEADER, 0);
        }
        let offset = self.bytes.len() as u64;
        record.encode(&mut self.bytes);
        offset
    }

    /// Makes room at once: what grows to many megabytes leaves as many behind.
    pub(super) fn reserve(&mut self, bytes: usize) {
        self.bytes.reserve(FRAME_HEADER + bytes);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        // One large group does not keep its memory for ever.
        self.bytes.shrink_to(1 << 20);
    }

    fn seal(&mut self, number: u64) -> &[u8] {
        let payload = self.bytes.get(FRAME_HEADER..).unwrap_or_default();
        let length = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes();
        let crc = frame_checksum(number, length, payload).to_be_bytes();
        let header = [&MAGIC[..], &number.to_be_bytes(), &length, &crc].concat();
        if let Some(place) = self.bytes.get_mut(..FRAME_HEADER) {
            place.copy_from_slice(&header);
        }
        &self.bytes
    }
}

fn frame_checksum(number: u64, length: [u8; 4], payload: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&number.to_be_bytes());
    crc.update(&length);
    crc.update(payload);
    crc.finalize()
}

/// Why the log could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum LogError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("{file}, byte {offset}: {problem}")]
    Damaged { file: String, offset: u64, problem: String },
}

/// The segments, for reading.
pub(super) struct Log {
    directory: PathBuf,
    /// Size at which a segment is full, in bytes.
    segment_bytes: u64,
    segments: RwLock<BTreeMap<u32, Arc<File>>>,
}

impl Log {
    /// Opens the segments of a directory, which is made if it does not exist.
    pub(super) fn open(directory: PathBuf, segment_bytes: u64) -> Result<Self, LogError> {
        std::fs::create_dir_all(&directory)?;
        let mut segments = BTreeMap::new();
        for entry in std::fs::read_dir(&directory)? {
            let path = entry?.path();
            let number = path.file_stem().and_then(|stem| stem.to_str()?.parse::<u32>().ok());
            if let Some(number) = number.filter(|_| path.extension().is_some_and(|extension| extension == EXTENSION)) {
                segments.insert(number, Arc::new(OpenOptions::new().read(true).write(true).open(&path)?));
            }
        }
        let log = Self { directory, segment_bytes, segments: RwLock::new(segments) };
        let numbers = log.numbers();
        for (number, next) in numbers.iter().zip(numbers.iter().skip(1)) {
            if number + 1 != *next {
                return Err(LogError::Damaged {
                    file: log.path(number + 1).display().to_string(),
                    offset: 0,
                    problem: "the file is missing".to_owned(),
                });
            }
        }
        Ok(log)
    }

    fn path(&self, number: u32) -> PathBuf {
        self.directory.join(format!("{number:010}.{EXTENSION}"))
    }

    /// The numbers of the segments, the oldest first.
    pub(super) fn numbers(&self) -> Vec<u32> {
        self.segments.read().unwrap_or_else(PoisonError::into_inner).keys().copied().collect()
    }

    fn segment(&self, number: u32) -> Option<Arc<File>> {
        self.segments.read().unwrap_or_else(PoisonError::into_inner).get(&number).cloned()
    }

    fn add_segment(&self, number: u32, file: File) -> io::Result<Arc<File>> {
        let file = Arc::new(file);
        sync_directory(&self.directory)?;
        self.segments.write().unwrap_or_else(PoisonError::into_inner).insert(number, Arc::clone(&file));
        Ok(file)
    }

    pub(super) fn segment_bytes(&self) -> u64 {
        self.segment_bytes
    }

    pub(super) fn size_bytes(&self) -> u64 {
        let segments = self.segments.read().unwrap_or_else(PoisonError::into_inner);
        segments.values().map(|file| file.metadata().map_or(0, |metadata| metadata.len())).sum()
    }

    /// Reads the value of a record by its place. `None` when the segment is gone: the record has moved.
    pub(super) fn read(&self, at: Position, key: &[u8], value_length: u32) -> Result<Option<Vec<u8>>, LogError> {
        let Some(file) = self.segment(at.segment) else { return Ok(None) };
        let damaged = |problem: String| LogError::Damaged {
            file: self.path(at.segment).display().to_string(),
            offset: at.offset,
            problem,
        };
        let mut bytes = vec![0; RECORD_HEADER + key.len() + value_length as usize];
        file.read_exact_at(&mut bytes, at.offset)?;
        value_of(bytes, key).map(Some).map_err(damaged)
    }

    /// The same without waiting for a disk: `None` where the system does not have it in memory, or does not say so. What is wrong
    /// with it says who reads it.
    pub(super) fn read_at_once(&self, at: Position, key: &[u8], value_length: u32) -> Option<Vec<u8>> {
        if value_length > AT_ONCE_BYTES_MAX {
            return None;
        }
        let file = self.segment(at.segment)?;
        let mut bytes = vec![0; RECORD_HEADER + key.len() + value_length as usize];
        let into = &mut [IoSliceMut::new(&mut bytes)];
        let read = rustix::io::preadv2(&file, into, at.offset, ReadWriteFlags::NOWAIT).ok()?;
        if read < bytes.len() {
            return None;
        }
        value_of(bytes, key).ok()
    }

    /// The beginning of the oldest segment.
    pub(super) fn start(&self) -> End {
        let segment = self.numbers().first().copied().unwrap_or(1);
        End { position: Position { segment, offset: 0 }, frame: None }
    }

    /// Shows every record from `from` on, in order, with its place: where the log ends. A frame that is cut off at the
    /// end of the last segment was never acknowledged, and ends the log; anything else that is not a frame is damage.
    pub(super) fn scan(&self, from: End, visit: &mut Visit<'_>) -> Result<Scanned, LogError> {
        self.scan_until(from, None, visit)
    }

    /// The same up to a frame, by where it begins: what is behind it may be about to be written.
    pub(super) fn scan_until(
        &self,
        from: End,
        until: Option<Position>,
        visit: &mut Visit<'_>,
    ) -> Result<Scanned, LogError> {
        let numbers = self.numbers();
        let mut end = from;
        let mut last = None;
        for number in numbers.iter().copied().filter(|number| *number >= from.position.segment) {
            if number > end.position.segment {
                end.position = Position { segment: number, offset: 0 };
            }
            if until.is_some_and(|until| number > until.segment) {
                break;
            }
            let scanned = self.scan_segment(end, until, numbers.last() == Some(&number), visit)?;
            end = scanned.end;
            last = scanned.last.or(last);
        }
        if end.position.segment != from.position.segment
            || numbers.contains(&from.position.segment)
            || numbers.is_empty()
        {
            return Ok(Scanned { end, last });
        }
        let file = self.path(from.position.segment).display().to_string();
        Err(LogError::Damaged { file, offset: 0, problem: "the file is missing".to_owned() })
    }

    /// Shows the records of one segment.
    pub(super) fn scan_whole_segment(&self, number: u32, visit: &mut Visit<'_>) -> Result<(), LogError> {
        let start = End { position: Position { segment: number, offset: 0 }, frame: None };
        self.scan_segment(start, None, false, visit).map(drop)
    }

    fn scan_segment(
        &self,
        from: End,
        until: Option<Position>,
        is_last: bool,
        visit: &mut Visit<'_>,
    ) -> Result<Scanned, LogError> {
        let Position { segment: number, offset: start } = from.position;
        let path = self.path(number);
        let damaged = |offset, problem: String| LogError::Damaged { file: path.display().to_string(), offset, problem };
        let Some(file) = self.segment(number) else { return Ok(Scanned { end: from, last: None }) };
        let size = file.metadata()?.len();
        if start > size {
            return Err(damaged(size, "the log is shorter than it was".to_owned()));
        }
        let mut reader = Reader { file: &file, buffer: Vec::new(), offset: start };
        let (mut end, mut last) = (from, None);
        while reader.offset < size {
            let offset = reader.offset;
            if until.is_some_and(|until| Position { segment: number, offset } > until) {
                break;
            }
            let frame = match reader.frame(size)? {
                Ok(frame) => frame,
                Err(problem) if is_last && begins_like_a_frame(&file, offset, size)? => {
                    let used = end_of_use(&file, offset, size)?;
                    if let Some(next) = whole_frame_after(&file, offset, used)? {
                        let problem = format!("{problem}, but a whole frame follows at byte {next}");
                        return Err(damaged(offset, problem));
                    }
                    break;
                }
                // The last frame did not fit behind it.
                Err(_) if end_of_use(&file, offset, size)? == offset => break,
                Err(problem) => return Err(damaged(offset, problem)),
            };
            if let Some(last) = end.frame
                && frame.number != last + 1
            {
                return Err(damaged(offset, format!("frame {} follows frame {last}", frame.number)));
            }
            let mut rest = frame.payload;
            while !rest.is_empty() {
                let at = offset + (FRAME_HEADER + frame.payload.len() - rest.len()) as u64;
                let (record, after) = Record::decode(rest).map_err(|problem| damaged(at, problem))?;
                visit(Position { segment: number, offset: at }, record)?;
                rest = after;
            }
            let after = offset + (FRAME_HEADER + frame.payload.len()) as u64;
            let before = frame.number.checked_sub(1).filter(|number| *number > 0);
            last = Some(End { position: Position { segment: number, offset }, frame: before });
            end = End { position: Position { segment: number, offset: after }, frame: Some(frame.number) };
            reader.offset = after;
        }
        Ok(Scanned { end, last })
    }

    /// Whether the newest segment is still where it was opened.
    pub(super) fn is_in_place(&self) -> bool {
        let newest = {
            let segments = self.segments.read().unwrap_or_else(PoisonError::into_inner);
            segments.last_key_value().map(|(number, file)| (*number, Arc::clone(file)))
        };
        newest.is_none_or(|(number, file)| match (std::fs::metadata(self.path(number)), file.metadata()) {
            (Ok(found), Ok(open)) => (found.dev(), found.ino()) == (open.dev(), open.ino()),
            // Any other error says nothing of the file.
            (Err(error), _) => error.kind() != io::ErrorKind::NotFound,
            (_, Err(_)) => true,
        })
    }

    /// Removes the oldest segment. What was needed of it is elsewhere.
    pub(super) fn remove(&self, number: u32) -> io::Result<()> {
        self.segments.write().unwrap_or_else(PoisonError::into_inner).remove(&number);
        std::fs::remove_file(self.path(number))?;
        sync_directory(&self.directory)
    }
}

/// Where a whole frame begins behind one that is not: then that one was durable once, and is damaged.
fn whole_frame_after(file: &File, offset: u64, end: u64) -> io::Result<Option<u64>> {
    let mut rest = vec![0; usize::try_from(end - offset).unwrap_or_default()];
    file.read_exact_at(&mut rest, offset)?;
    for start in 1..rest.len().saturating_sub(FRAME_HEADER) {
        let Some(candidate) = rest.get(start..).filter(|bytes| bytes.starts_with(&MAGIC)) else { continue };
        if parse_frame(candidate).is_ok() {
            return Ok(Some(offset + start as u64));
        }
    }
    Ok(None)
}

/// From where on a segment has only zeros; `offset` when there is nothing else behind it.
fn end_of_use(file: &File, offset: u64, size: u64) -> io::Result<u64> {
    let mut end = offset;
    let mut at = offset;
    let mut buffer = vec![0; ZEROS];
    while at < size {
        let length = usize::try_from(size - at).unwrap_or(ZEROS).min(ZEROS);
        let part = buffer.get_mut(..length).unwrap_or_default();
        file.read_exact_at(part, at)?;
        if let Some(last) = part.iter().rposition(|byte| *byte != 0) {
            end = at + last as u64 + 1;
        }
        at += length as u64;
    }
    Ok(end)
}

/// Whether what is here can be a frame of ours that did not reach the disk whole: its beginning, or space that was never
/// written. Anything else came from elsewhere.
fn begins_like_a_frame(file: &File, offset: u64, size: u64) -> io::Result<bool> {
    let mut start = vec![0; usize::try_from(size - offset).unwrap_or(usize::MAX).min(MAGIC.len())];
    file.read_exact_at(&mut start, offset)?;
    Ok(start.iter().zip(MAGIC).all(|(byte, magic)| *byte == magic || *byte == 0))
}

struct Reader<'f> {
    file: &'f File,
    buffer: Vec<u8>,
    offset: u64,
}

struct ReadFrame<'b> {
    number: u64,
    payload: &'b [u8],
}

impl Reader<'_> {
    /// The frame at the offset, or what is wrong with it.
    fn frame(&mut self, size: u64) -> io::Result<Result<ReadFrame<'_>, String>> {
        let left = size - self.offset;
        if left < FRAME_HEADER as u64 {
            return Ok(Err("a frame is cut off in its header".to_owned()));
        }
        self.buffer.resize(FRAME_HEADER, 0);
        self.file.read_exact_at(&mut self.buffer, self.offset)?;
        let length = match frame_length(&self.buffer) {
            Ok(length) if u64::from(length) + FRAME_HEADER as u64 > left => {
                return Ok(Err("a frame is cut off".to_owned()));
            }
            Ok(length) => length as usize,
            Err(problem) => return Ok(Err(problem)),
        };
        self.buffer.resize(FRAME_HEADER + length, 0);
        self.file.read_exact_at(
            self.buffer.get_mut(FRAME_HEADER..).unwrap_or_default(),
            self.offset + FRAME_HEADER as u64,
        )?;
        Ok(parse_frame(&self.buffer))
    }
}

fn frame_length(header: &[u8]) -> Result<u32, String> {
    if !header.starts_with(&MAGIC) {
        return Err("no frame begins here".to_owned());
    }
    let bytes = header.get(12..).and_then(|rest| rest.first_chunk::<4>()).ok_or("a frame is cut off")?;
    match u32::from_be_bytes(*bytes) {
        length @ ..=FRAME_BYTES_MAX => Ok(length),
        length => Err(format!("a frame of {length} bytes is too long")),
    }
}

fn parse_frame(bytes: &[u8]) -> Result<ReadFrame<'_>, String> {
    let length = frame_length(bytes)?;
    let (header, rest) = bytes.split_first_chunk::<FRAME_HEADER>().ok_or("a frame is cut off")?;
    let payload = rest.get(..length as usize).ok_or("a frame is cut off")?;
    let [_, _, _, _, number @ .., l0, l1, l2, l3, c0, c1, c2, c3] = header;
    let number = u64::from_be_bytes(*number);
    if frame_checksum(number, [*l0, *l1, *l2, *l3], payload) != u32::from_be_bytes([*c0, *c1, *c2, *c3]) {
        return Err("the checksum of a frame is wrong".to_owned());
    }
    Ok(ReadFrame { number, payload })
}

#[cfg(fuzzing)]
pub(super) fn fuzz(bytes: &[u8]) {
    let _ = parse_frame(bytes);
    let mut rest = bytes;
    while let Ok((_, after)) = Record::decode(rest) {
        rest = after;
    }
    let (key, value) = bytes.split_at(bytes.len().min(64) / 2);
    let (mut encoded, value) = (Vec::new(), Some(value).filter(|value| !value.is_empty()));
    Record { key, revision: 7, value }.encode(&mut encoded);
    let decoded = Record::decode(&encoded).map(|(record, rest)| (record.key, record.value, rest.len()));
    assert_eq!(decoded, Ok((key, value, 0)), "what is written cannot be read again");
}

/// The end of the log, for the one who writes.
pub(super) struct Appender {
    log: Arc<Log>,
    file: Arc<File>,
    end: End,
    /// The next segment, while it is prepared.
    next: Option<JoinHandle<io::Result<File>>>,
}

impl Appender {
    /// Goes on at the end that a scan has found; what follows it was never acknowledged and is cut off.
    pub(super) fn open(log: Arc<Log>, end: End) -> io::Result<Self> {
        let file = match log.segment(end.position.segment) {
            Some(file) => file,
            None => {
                let path = log.path(end.position.segment);
                let file = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
                log.add_segment(end.position.segment, file)?
            }
        };
        let size = file.metadata()?.len();
        let used = end_of_use(&file, end.position.offset, size)?;
        if used > end.position.offset {
            let zeros = vec![0; usize::try_from(used - end.position.offset).unwrap_or_default()];
            file.write_all_at(&zeros, end.position.offset)?;
        }
        // What a scan has found may still be in the page cache alone.
        file.sync_all()?;
        sync_directory(&log.directory)?;
        Ok(Self { log, file, end, next: None })
    }

    /// Where the next frame begins.
    pub(super) fn end(&self) -> End {
        self.end
    }

    /// Writes a frame: where it begins. It is durable after a [`sync`](Self::sync).
    pub(super) fn append(&mut self, frame: &mut Frame) -> io::Result<Position> {
        if frame.bytes.len() > FRAME_BYTES_MAX as usize {
            return Err(io::Error::other("a group of changes is too large to be read again"));
        }
        let number = self.end.frame.unwrap_or_default() + 1;
        let bytes = frame.seal(number);
        let End { position, .. } = self.end;
        let length = bytes.len() as u64;
        if position.offset > 0 && position.offset + length > self.log.segment_bytes {
            self.sync()?;
            let prepared = match self.next.take() {
                Some(thread) => thread.join().map_err(|_| io::Error::other("preparing a segment broke off"))??,
                None => prepare(&self.log.directory, self.log.segment_bytes)?,
            };
            std::fs::rename(self.log.directory.join(PREPARED), self.log.path(position.segment + 1))?;
            self.file = self.log.add_segment(position.segment + 1, prepared)?;
            self.end.position = Position { segment: position.segment + 1, offset: 0 };
        }
        let start = self.end.position;
        self.file.write_all_at(bytes, start.offset)?;
        self.end.position.offset += length;
        self.end.frame = Some(number);
        if self.next.is_none() && self.end.position.offset > self.log.segment_bytes / 2 {
            let (directory, bytes) = (self.log.directory.clone(), self.log.segment_bytes);
            let thread = std::thread::Builder::new().name("store-prepare".to_owned());
            self.next = Some(thread.spawn(move || prepare(&directory, bytes))?);
        }
        Ok(start)
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

/// Makes a file of zeros for the next segment.
fn prepare(directory: &Path, bytes: u64) -> io::Result<File> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(directory.join(PREPARED))?;
    let zeros = vec![0; ZEROS];
    for offset in (0..bytes).step_by(ZEROS) {
        let length = usize::try_from(bytes - offset).unwrap_or(ZEROS).min(ZEROS);
        file.write_all_at(zeros.get(..length).unwrap_or_default(), offset)?;
    }
    file.sync_all()?;
    Ok(file)
}

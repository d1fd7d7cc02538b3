//! Opening the store with care: a lock of our own, the log read on from where the index ends, and an index that cannot be
//! trusted made from the log again.

use super::StoreOptions;
use super::engine::Engine;
use super::index::{Changes, Index};
use super::log::{Appender, End, Log, LogError, Position, Scanned};
use super::slot::Slot;
use super::writer::Writer;
use crate::planted::{Fault, is_planted};
use ringback_records::file::{sync_directory, write_durably};
use rustix::fs::{FlockOperation, flock};
use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Why the store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the data directory {0} is in use by another ringback; stop that one, or choose another with --data")]
    InUse(PathBuf),
    #[error("the data directory {path} cannot be used: {problem}")]
    Unusable { path: PathBuf, problem: String },
    #[error(
        "the store in {path} is damaged: {problem}\nNothing was changed. Make a copy of the directory, then restore the \
         last backup into a new one, or move {path}/store away to start empty"
    )]
    Damaged { path: PathBuf, problem: String },
}

impl OpenError {
    fn unusable(path: &Path, problem: &dyn std::fmt::Display) -> Self {
        Self::Unusable { path: path.to_owned(), problem: problem.to_string() }
    }
}

/// Says, while the store is open, since which boot of the machine. It is gone after a proper stop.
const OPENED: &str = "opened";
/// Keys that are given to the index at a time while the log is read.
const READ_KEYS: usize = 20_000;

/// Opens the store in `directory/store`, with the lock in `directory/lock`.
pub(super) fn open(directory: &Path, options: StoreOptions) -> Result<Engine, OpenError> {
    let unusable = |error: io::Error| OpenError::unusable(directory, &error);
    let StoreOptions { cache_bytes, segment_bytes, change_bytes_max } = options;
    let lock = Lock::take(directory)?;
    let store = directory.join("store");
    std::fs::create_dir_all(&store).map_err(unusable)?;
    let log = Log::open(store.join("log"), segment_bytes).map_err(|error| log_error(directory, error))?;
    let log = Arc::new(log);
    let index_directory = store.join("index");
    if !is_trustworthy(&store) {
        tracing::warn!("the machine stopped while the store was open; making its index again");
        set_aside(&index_directory).map_err(unusable)?;
    }
    // Before sled is opened: opening it writes.
    mark_opened(&store).map_err(unusable)?;
    sync_directory(directory).map_err(unusable)?;
    let read_again = || {
        read(&index_directory, &log, cache_bytes).map_err(|failure| match failure {
            Failure::Index(problem) => OpenError::unusable(directory, &problem),
            Failure::Outdated => OpenError::unusable(directory, &"its new index is that of an earlier version"),
            Failure::Log(error) => log_error(directory, error),
        })
    };
    let (index, end) = match read(&index_directory, &log, cache_bytes) {
        Ok(read) => read,
        Err(Failure::Log(error)) => return Err(log_error(directory, error)),
        Err(Failure::Index(problem)) => {
            tracing::warn!(%problem, "the index cannot be used; making it again");
            set_aside(&index_directory).map_err(unusable)?;
            read_again()?
        }
        Err(Failure::Outdated) => {
            tracing::info!("the index is that of an earlier version; making it again");
            let aside = set_aside(&index_directory).map_err(unusable)?;
            std::fs::remove_dir_all(aside).map_err(unusable)?;
            read_again()?
        }
    };
    let appender = Appender::open(Arc::clone(&log), end).map_err(unusable)?;
    let index = Arc::new(index);
    let writer = Arc::new(Writer::start(appender, Arc::clone(&index)));
    Ok(Engine { change_bytes_max, log, index, writer, cleaning: tokio::sync::Mutex::default(), _lock: lock })
}

/// Notes that the store was closed properly: its index is durable.
pub(super) fn closed(directory: &Path) {
    let store = directory.join("store");
    let removed = std::fs::remove_file(store.join(OPENED)).and_then(|()| sync_directory(&store));
    if let Err(error) = removed {
        tracing::warn!(%error, "the next start may make the index again");
    }
}

enum Failure {
    /// The index is of no use, but the log may be.
    Index(String),
    /// Another version of ringback made the index.
    Outdated,
    Log(LogError),
}

fn log_error(directory: &Path, error: LogError) -> OpenError {
    match error {
        LogError::Io(error) => OpenError::unusable(directory, &error),
        error @ LogError::Damaged { .. } => {
            OpenError::Damaged { path: directory.to_owned(), problem: error.to_string() }
        }
    }
}

/// Opens the index and brings it up to the end of the log: where that is.
fn read(directory: &Path, log: &Arc<Log>, cache_bytes: u64) -> Result<(Index, End), Failure> {
    let db = open_sled(directory, cache_bytes).map_err(Failure::Index)?;
    let file = OpenOptions::new().read(true).write(true).open(directory.join("db"));
    let file = file.map_err(|error| Failure::Index(error.to_string()))?;
    let is_new = db.is_empty();
    let (index, contained) = Index::new(db, file, Arc::clone(log));
    let from = match contained {
        Some(contained) if contained.position < log.start().position => {
            return Err(Failure::Index("it points before the beginning of the log".to_owned()));
        }
        Some(contained) => contained,
        None if is_new => log.start(),
        None if index.is_outdated() => return Err(Failure::Outdated),
        None => return Err(Failure::Index("it does not say up to where it contains the log".to_owned())),
    };
    let started = Instant::now();
    let mut changes = Changes::new();
    let mut keys: u64 = 0;
    let scanned = log.scan(from, &mut |at, record| {
        keys += 1;
        let slot = record.value.map(|value| Slot::new(record.revision, at, value));
        if !(is_planted(Fault::RevivedAfterRestart) && changes.contains_key(record.key)) {
            changes.insert(record.key.to_vec(), slot);
        }
        if changes.len() >= READ_KEYS {
            // The end stays behind: after a crash all is read again, which changes nothing.
            index.apply(std::mem::take(&mut changes), from);
            index.write_now().map_err(|problem| LogError::Io(io::Error::other(problem)))?;
        }
        Ok(())
    });
    let Scanned { end, last } = scanned.map_err(Failure::Log)?;
    if is_planted(Fault::ForgottenEnd) {
        changes.clear();
    }
    match last {
        Some(last) => index.apply(changes, last),
        None if contained.is_none() => {}
        None => {
            let problem = "the index knows more of the log than there is".to_owned();
            let Position { segment, offset } = end.position;
            return Err(Failure::Log(LogError::Damaged { file: format!("segment {segment}"), offset, problem }));
        }
    }
    index.note_firsts().map_err(|error| Failure::Index(error.to_string()))?;
    if keys > 0 {
        tracing::info!(records = keys, took = ?started.elapsed(), "read the end of the log");
    }
    Ok((index, end))
}

/// Whether the index survived: after a power failure nobody knows what of sled's file reached the disk.
fn is_trustworthy(store: &Path) -> bool {
    match std::fs::read_to_string(store.join(OPENED)) {
        Ok(boot) => boot == boot_id(),
        Err(_) => true,
    }
}

fn mark_opened(store: &Path) -> io::Result<()> {
    write_durably(&store.join(OPENED), boot_id().as_bytes())
}

/// Differs from one boot of the machine to the next.
fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_else(|_| "unknown".to_owned())
}

/// Keeps one earlier index for who wants to see what was wrong with it.
fn set_aside(index: &Path) -> io::Result<PathBuf> {
    let aside = index.with_extension("set-aside");
    match std::fs::remove_dir_all(&aside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    match std::fs::rename(index, &aside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(aside),
    }
}

/// How long a lock may outlive the handle of a store that was closed: sled's is given back by a thread of its own, and a process that is
/// just being started holds ours until it has begun.
const LOCK_WAIT: Duration = Duration::from_secs(2);

fn open_sled(directory: &Path, cache_bytes: u64) -> Result<sled::Db, String> {
    remove_unfinished_snapshots(directory).map_err(|error| error.to_string())?;
    let started = Instant::now();
    loop {
        match try_open_sled(directory, cache_bytes) {
            Err(problem) if problem.contains("acquire lock") && started.elapsed() < LOCK_WAIT => {
                std::thread::sleep(Duration::from_millis(10));
            }
            result => return result,
        }
    }
}

/// sled reclaims its space when it flushes: that stays on.
fn try_open_sled(directory: &Path, cache_bytes: u64) -> Result<sled::Db, String> {
    let config = sled::Config::new().path(directory).cache_capacity(cache_bytes).flush_every_ms(Some(500));
    // sled asserts in places where it reads files: a panic in there is a damaged file.
    let opened = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| config.open()));
    match opened {
        Ok(opened) => opened.map_err(|error| error.to_string()),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            Err(text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("panic").to_owned())
        }
    }
}

/// A crash between the writing and the renaming of a snapshot leaves a file that sled takes for a snapshot.
fn remove_unfinished_snapshots(directory: &Path) -> io::Result<()> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn make_private_directory(directory: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    if directory.is_dir() {
        return Ok(());
    }
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    directory.parent().filter(|parent| !parent.as_os_str().is_empty()).map_or(Ok(()), sync_directory)
}

/// A data directory that nobody else uses while this is held. A file of ours is locked, which every version knows, and the
/// directory itself, which cannot be removed and made again unnoticed as the file can.
#[derive(Debug)]
pub struct Lock {
    _files: [File; 2],
}

impl Lock {
    /// Makes the directory where it is missing, and locks it.
    ///
    /// # Errors
    ///
    /// Another process has it, or it cannot be used.
    pub fn take(directory: &Path) -> Result<Self, OpenError> {
        let unusable = |error: io::Error| OpenError::unusable(directory, &error);
        if directory.exists() && !directory.is_dir() {
            return Err(OpenError::unusable(directory, &"it is no directory"));
        }
        make_private_directory(directory).map_err(unusable)?;
        let path = directory.join("lock");
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let file = file.map_err(|error| OpenError::unusable(&path, &error))?;
        wait_for_lock(directory, &file)?.map_err(|error| unusable(error.into()))?;
        let itself = File::open(directory).map_err(unusable)?;
        // There are file systems whose directories cannot be locked.
        let _ = wait_for_lock(directory, &itself)?;
        Ok(Self { _files: [file, itself] })
    }
}

/// Locks a file; the inner error says that this cannot be done at all.
fn wait_for_lock(directory: &Path, file: &File) -> Result<Result<(), rustix::io::Errno>, OpenError> {
    let started = Instant::now();
    loop {
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) if started.elapsed() < LOCK_WAIT => {
                std::thread::sleep(Duration::from_millis(10));
            }
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(OpenError::InUse(directory.to_owned())),
            result => return Ok(result),
        }
    }
}

//! Opening the store with care: a lock of our own, leftovers of a crash removed, and never a panic.

use super::engine::Engine;
use rustix::fs::{FlockOperation, flock};
use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
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

/// Opens the store in `directory/store`, with the lock in `directory/lock`.
pub(super) fn open(directory: &Path, cache_bytes: u64) -> Result<Engine, OpenError> {
    let unusable = |problem: String| OpenError::Unusable { path: directory.to_owned(), problem };
    make_private_directory(directory).map_err(|error| unusable(error.to_string()))?;
    let lock = lock(directory)?;
    let store = directory.join("store");
    std::fs::create_dir_all(&store).map_err(|error| unusable(error.to_string()))?;
    remove_unfinished_snapshots(&store).map_err(|error| unusable(error.to_string()))?;
    let db = match open_engine(&store, cache_bytes) {
        Ok(db) => db,
        Err(Failure::Corrupt(first)) => {
            // The log alone holds everything; a snapshot only shortens its replay.
            let set_aside = set_snapshots_aside(&store).map_err(|error| unusable(error.to_string()))?;
            tracing::warn!(problem = %first, set_aside, "the store did not open; replaying its log without snapshots");
            let damaged = |problem: String| OpenError::Damaged { path: directory.to_owned(), problem };
            if set_aside == 0 {
                return Err(damaged(first));
            }
            open_engine(&store, cache_bytes).map_err(|failure| match failure {
                Failure::Corrupt(problem) => damaged(problem),
                Failure::Io(problem) => unusable(problem),
            })?
        }
        Err(Failure::Io(problem)) => return Err(unusable(problem)),
    };
    sync_directory(&store).and_then(|()| sync_directory(directory)).map_err(|error| unusable(error.to_string()))?;
    let database_file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(store.join("db"))
        .map_err(|error| unusable(format!("{}: {error}", store.join("db").display())))?;
    Ok(Engine::new(db, store, database_file, lock))
}

enum Failure {
    Corrupt(String),
    Io(String),
}

/// How long the engine's own lock may outlive the handle of a store that was closed in this process.
const ENGINE_LOCK_WAIT: Duration = Duration::from_secs(2);

fn open_engine(store: &Path, cache_bytes: u64) -> Result<sled::Db, Failure> {
    let started = Instant::now();
    loop {
        match try_open_engine(store, cache_bytes) {
            Err(Failure::Io(problem)) if problem.contains("acquire lock") && started.elapsed() < ENGINE_LOCK_WAIT => {
                std::thread::sleep(Duration::from_millis(10));
            }
            result => return result,
        }
    }
}

/// Values are small, and the log is reclaimed by the flusher: it stays on.
fn try_open_engine(store: &Path, cache_bytes: u64) -> Result<sled::Db, Failure> {
    let config = sled::Config::new().path(store).cache_capacity(cache_bytes).flush_every_ms(Some(200));
    // The engine asserts in places where it reads files: a panic in there is a damaged file.
    let opened = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| config.open()));
    match opened {
        Ok(Ok(db)) => Ok(db),
        Ok(Err(sled::Error::Io(error))) => Err(Failure::Io(error.to_string())),
        Ok(Err(error)) => Err(Failure::Corrupt(error.to_string())),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            Err(Failure::Corrupt(text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("panic").to_owned()))
        }
    }
}

fn make_private_directory(directory: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    if directory.is_dir() {
        return Ok(());
    }
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    directory.parent().filter(|parent| !parent.as_os_str().is_empty()).map_or(Ok(()), sync_directory)
}

fn lock(directory: &Path) -> Result<File, OpenError> {
    let path = directory.join("lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|error| OpenError::Unusable { path, problem: error.to_string() })?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(OpenError::InUse(directory.to_owned())),
        Err(error) => Err(OpenError::Unusable { path: directory.to_owned(), problem: error.to_string() }),
    }
}

/// A crash between the writing and the renaming of a snapshot leaves a file that the engine takes for a snapshot.
fn remove_unfinished_snapshots(store: &Path) -> io::Result<()> {
    for path in snapshots(store)? {
        if path.to_string_lossy().ends_with(".generating") {
            tracing::info!(file = %path.display(), "removing a snapshot that was not finished");
            std::fs::remove_file(path)?;
        }
    }
    Ok(())
}

fn set_snapshots_aside(store: &Path) -> io::Result<usize> {
    let aside = store.join("set-aside");
    std::fs::create_dir_all(&aside)?;
    let mut count = 0;
    for path in snapshots(store)? {
        if let Some(name) = path.file_name() {
            std::fs::rename(&path, aside.join(name))?;
            count += 1;
        }
    }
    Ok(count)
}

fn snapshots(store: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(store)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with("snap.") {
            found.push(entry.path());
        }
    }
    Ok(found)
}

fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

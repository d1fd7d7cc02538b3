//! Gives back the space of what is not needed any more: moves what is still needed of the oldest segment to the end of
//! the log, and removes the segment. The oldest goes first, so that a key that is gone never comes back: nothing older
//! could bring it.

use super::engine::Engine;
use super::index::Index;
use super::log::{Log, LogError};
use super::writer::{Operation, Writer};
use super::{StoreError, damaged_log};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

/// How often the size is looked at.
const INTERVAL: Duration = Duration::from_secs(10);
/// The log may be this many times as large as what is needed of it: half of what is written may be moved data.
const SIZE_FACTOR: u64 = 2;
/// Below this many segments nothing is moved.
const SEGMENTS_MIN: u64 = 4;
/// Bytes that are moved as one change.
const MOVE_BYTES: usize = 1 << 20;

/// Cleans now and then, as long as someone else has the writer too.
pub(super) async fn clean_repeatedly(engine: &Engine) -> Infallible {
    loop {
        tokio::time::sleep(INTERVAL).await;
        match clean(engine, SEGMENTS_MIN * engine.log.segment_bytes()).await {
            Ok(0) => {}
            Ok(segments) => tracing::info!(segments, log_bytes = engine.log.size_bytes(), "gave back space"),
            // The store has stopped, or is about to, and says so itself.
            Err(StoreError::Stopped(_)) => std::future::pending().await,
            Err(error) => tracing::error!(%error, "space could not be given back"),
        }
    }
}

/// Removes old segments while the log is too large: how many.
pub(super) async fn clean(engine: &Engine, size_min: u64) -> Result<usize, StoreError> {
    let Engine { log, index, writer, .. } = engine;
    let _cleaning = engine.cleaning.lock().await;
    let mut removed = 0;
    loop {
        let size = log.size_bytes();
        let numbers = log.numbers();
        let [oldest, _, ..] = numbers.as_slice() else { return Ok(removed) };
        if size < size_min || size < SIZE_FACTOR * index.live_bytes() {
            return Ok(removed);
        }
        move_segment(log, index, writer, *oldest).await?;
        let (log, index, oldest) = (Arc::clone(log), Arc::clone(index), *oldest);
        // sled must not point into a segment that is gone, not even after a crash.
        let removing = tokio::task::spawn_blocking(move || {
            index.checkpoint()?;
            log.remove(oldest).map_err(|error| error.to_string())
        });
        removing.await.map_err(|error| error.to_string()).flatten().map_err(StoreError::Stopped)?;
        removed += 1;
    }
}

async fn move_segment(log: &Arc<Log>, index: &Arc<Index>, writer: &Writer, number: u32) -> Result<(), StoreError> {
    let (send, mut portions) = tokio::sync::mpsc::channel::<Vec<Operation>>(2);
    let scan = tokio::task::spawn_blocking({
        let (log, index) = (Arc::clone(log), Arc::clone(index));
        move || {
            let mut portion = Vec::new();
            let mut bytes = 0;
            log.scan_whole_segment(number, &mut |at, record| {
                let Some(value) = record.value else { return Ok(()) };
                let slot = index.get(record.key).map_err(|error| LogError::Io(std::io::Error::other(error)))?;
                if slot.is_some_and(|slot| slot.at == at) {
                    bytes += record.key.len() + value.len();
                    let (key, value) = (record.key.to_vec(), value.to_vec());
                    portion.push(Operation::Move { key, revision: record.revision, value, from: at });
                }
                if bytes >= MOVE_BYTES {
                    bytes = 0;
                    let gone = || LogError::Io(std::io::Error::other("the cleaner has ended"));
                    send.blocking_send(std::mem::take(&mut portion)).map_err(|_| gone())?;
                }
                Ok(())
            })?;
            send.blocking_send(portion).map_err(|_| LogError::Io(std::io::Error::other("the cleaner has ended")))
        }
    });
    while let Some(portion) = portions.recv().await {
        writer.commit(portion).await?;
    }
    scan.await.map_err(|error| StoreError::Read(error.to_string()))?.map_err(|error| damaged_log(&error))
}

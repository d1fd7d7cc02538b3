//! What is kept: one contract of domain operations, and the engine behind it.
//!
//! A change is a list of [`Write`]s that become durable together or not at all. [`Store::commit`] returns when the
//! change is on disk; nothing is acknowledged to a caller before that. Nothing outside `store/` knows how records are
//! laid out.

mod backup;
mod cleaner;
mod contract;
mod due;
mod engine;
mod filter;
mod flow;
mod index;
mod journal;
mod key;
mod lists;
mod log;
mod open;
pub mod planted;
mod recent;
mod retention;
mod verify;
mod writer;

pub use backup::{BackupError, BackupFile};
pub use contract::{
    Claim, ClaimPage, Delivery, Due, DueKey, DuePage, Mail, MailboxLimits, NoRoom, Page, StoreError, Write,
};
pub use filter::{CallbackFilter, ExecutionFilter, Text, TicketFilter, TimeRange};
pub use open::{Lock, OpenError};
pub use retention::Forgotten;
pub use verify::Findings;

use base64::Engine as _;
use engine::Engine;
use recent::Recent;
use ringback_records::environment::{EnvironmentRecord, VarRecord};
use ringback_records::journal::{Entry, Summary};
use ringback_records::name::{CallbackId, ExecutionId, Name, TicketId};
use ringback_records::outcome::CallbackRecord;
use ringback_records::plugin::PluginRecord;
use ringback_records::redirect::OriginRecord;
use ringback_records::secret::SecretRecord;
use ringback_records::ticket::TicketRecord;
use ringback_records::time::Timestamp;
use ringback_records::token::TokenRecord;
use ringback_records::user::{UserRecord, UserTokenRecord};
#[cfg(fuzzing)]
use serde::Serialize;
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// How often it is looked whether the files are still there.
const IN_PLACE_INTERVAL: Duration = Duration::from_millis(500);
/// The directory of the records that nobody was promised.
const RECENT: &str = "recent";

fn damaged_log(error: &log::LogError) -> StoreError {
    match error {
        log::LogError::Io(error) => StoreError::Read(error.to_string()),
        log::LogError::Damaged { file, offset, problem } => {
            StoreError::Damaged { key: format!("at byte {offset} of {file}"), problem: problem.clone() }
        }
    }
}

/// How a store uses memory and disk.
#[derive(Clone, Copy, Debug)]
pub struct StoreOptions {
    /// Memory of the cache, in bytes.
    pub cache_bytes: u64,
    /// Size at which a file of the log is full, in bytes. Space is given back a file at a time.
    pub segment_bytes: u64,
    /// Most bytes of one change, with its keys: far below the gigabyte up to which what is written can be read again, since
    /// others are written with it.
    pub change_bytes_max: usize,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self { cache_bytes: 64 << 20, segment_bytes: 64 << 20, change_bytes_max: 256 << 20 }
    }
}

/// A handle to the store. Cloning it is cheap and shares it.
#[derive(Clone)]
pub struct Store {
    engine: Arc<Engine>,
    recent: Arc<Recent>,
    directory: Arc<Path>,
}

impl Store {
    /// Opens the store in a directory, which is made if it does not exist.
    ///
    /// # Errors
    ///
    /// The directory is in use, cannot be written, or its files are damaged: each with what to do.
    pub fn open(directory: &Path, options: StoreOptions) -> Result<Self, OpenError> {
        let engine = Arc::new(open::open(directory, options)?);
        let recent = Recent::open(directory.join(RECENT))
            .map_err(|error| OpenError::Unusable { path: directory.join(RECENT), problem: error.to_string() })?;
        Ok(Self { engine, recent: Arc::new(recent), directory: directory.into() })
    }

    /// Keeps the record of a callback that nobody was promised: soon, and possibly lost in a crash. False when too many
    /// wait, and it was dropped.
    pub fn keep_recent(&self, workspace: &Name, record: &CallbackRecord) -> bool {
        self.recent.keep(workspace, record)
    }

    /// Makes a change durable: it is on disk when this returns.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] and nothing has changed; [`StoreError::Stopped`] and nothing is known.
    pub async fn commit(&self, writes: Vec<Write>) -> Result<(), StoreError> {
        self.engine.commit(&writes).await
    }

    /// Writes something that nobody was promised: soon, but possibly lost in a crash. False when the store is too busy
    /// and the change was dropped.
    pub fn write_behind(&self, writes: &[Write]) -> bool {
        self.engine.write_behind(writes)
    }

    /// Waits until the store has failed: why.
    pub async fn failed(&self) -> String {
        tokio::select! {
            reason = self.engine.writer.failed() => reason,
            reason = self.removed() => reason,
        }
    }

    /// Waits until the files of the store are not where they were: what is written into them now is lost.
    async fn removed(&self) -> String {
        loop {
            tokio::time::sleep(IN_PLACE_INTERVAL).await;
            let log = Arc::clone(&self.engine.log);
            if let Ok(false) = tokio::task::spawn_blocking(move || log.is_in_place()).await {
                return format!("its files in {} were removed or moved away", self.directory.display());
            }
        }
    }

    /// Gives back the space of what is not needed any more, now and then, until the store is closed.
    pub async fn clean_repeatedly(&self) -> Infallible {
        cleaner::clean_repeatedly(&self.engine).await
    }

    /// Writes everything that is under way, and stops the writer.
    pub async fn close(&self) {
        if self.engine.writer.close().await {
            open::closed(&self.directory);
        }
        let recent = Arc::clone(&self.recent);
        let _ = tokio::task::spawn_blocking(move || recent.close()).await;
    }

    pub fn plugins(&self) -> Result<Vec<(Name, PluginRecord)>, StoreError> {
        self.engine
            .list_all(key::PLUGIN, key::workspace_and_name)
            .map(|plugins| plugins.into_iter().map(|((workspace, _), record)| (workspace, record)).collect())
    }

    pub fn callback(&self, workspace: &Name, id: CallbackId) -> Result<Option<CallbackRecord>, StoreError> {
        match self.engine.get(&key::callback(workspace, id))? {
            Some(record) => Ok(Some(record)),
            None => self.recent.find(workspace, id),
        }
    }

    /// An execution, with its journal in order.
    pub fn execution(&self, workspace: &Name, id: ExecutionId) -> Result<Option<(Summary, Vec<Entry>)>, StoreError> {
        let (key, prefix) = (key::execution(workspace, id), key::journal(workspace, id));
        loop {
            let Some(value) = self.engine.index.value(&key)? else { return Ok(None) };
            let (summary, tail) = journal::summary_and_tail(&key, &value)?;
            let blocks = self.engine.list_as(&prefix, journal::entries)?;
            let entries: Vec<Entry> = blocks.into_iter().flatten().chain(tail).collect();
            // They were read one after the other: what was the tail may have become a block in between.
            if entries.len() == summary.entries as usize {
                return Ok(Some((summary, entries)));
            }
            if self.engine.index.value(&key)?.as_ref() == Some(&value) {
                let problem = format!("its journal has {} of {} entries", entries.len(), summary.entries);
                return Err(StoreError::damaged(&key, problem));
            }
        }
    }

    /// An execution without its journal.
    pub fn summary(&self, workspace: &Name, id: ExecutionId) -> Result<Option<Summary>, StoreError> {
        self.engine.value_as(&key::execution(workspace, id), journal::summary)
    }

    /// Executions of a flow that have not ended: those that wait for a callback; when there are none, the others.
    pub fn unended(&self, workspace: &Name, flow: &Name) -> Result<usize, StoreError> {
        let waits = self.engine.index.scan_prefix(&key::waits_of_flow(workspace, flow)).count();
        if waits > 0 {
            return Ok(waits);
        }
        let running = self.engine.index.scan_prefix(&key::running_of(workspace));
        let running = running.filter_map(|found| found.map(|(key, _)| key::after_workspace(&key)).transpose());
        // Those that wait for a time have a timer.
        let due = self.engine.index.scan_prefix(&[key::DUE]);
        let due = due.filter_map(|found| found.map(|(key, _)| key::due_execution(workspace, &key)).transpose());
        let mut unended = 0;
        for id in running.chain(due) {
            let summary = self.engine.value_as(&key::execution(workspace, id?), journal::summary)?;
            unended += usize::from(summary.is_some_and(|summary| summary.flow == *flow));
        }
        Ok(unended)
    }

    /// How many executions of an environment have not ended.
    pub fn unended_in(&self, workspace: &Name, environment: &Name) -> Result<usize, StoreError> {
        let mut unended = BTreeSet::new();
        for found in self.engine.index.scan_prefix(&key::waits_of(workspace)) {
            let of_wait = key::environment_of_wait(&found?.0);
            unended.extend(of_wait.filter(|(of, _)| of == environment).map(|(_, id)| id));
        }
        let running = self.engine.index.scan_prefix(&key::running_of(workspace));
        let running = running.filter_map(|found| found.map(|(key, _)| key::after_workspace(&key)).transpose());
        let due = self.engine.index.scan_prefix(&[key::DUE]);
        let due = due.filter_map(|found| found.map(|(key, _)| key::due_execution(workspace, &key)).transpose());
        for id in running.chain(due) {
            let id = id?;
            if unended.contains(&id) {
                continue;
            }
            let summary = self.engine.value_as(&key::execution(workspace, id), journal::summary)?;
            if summary.is_some_and(|summary| summary.environment == *environment) {
                unended.insert(id);
            }
        }
        Ok(unended.len())
    }

    /// Brings what an earlier version wrote into the form of this one, before anything else is done.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn renew(&self) -> Result<(), StoreError> {
        let (waits, tokens) = (self.engine.old_waits()?, self.engine.old_user_tokens()?);
        let signatures = self.engine.old_dropped_signatures()?;
        if !signatures.is_empty() {
            tracing::info!(
                signatures = signatures.len(),
                "keeping dropped signatures of an earlier version by themselves"
            );
            self.engine.writer.commit(signatures).await?;
        }
        let unordered = self.engine.unordered()?;
        if !unordered.is_empty() {
            self.engine.writer.commit(unordered).await?;
        }
        if !waits.is_empty() {
            tracing::info!(waits = waits.len(), "giving waits of an earlier version their environments");
            self.engine.writer.commit(waits).await?;
        }
        if !tokens.is_empty() {
            tracing::info!(tokens = tokens.len(), "putting tokens of an earlier version in order by their users");
            self.engine.writer.commit(tokens).await?;
        }
        Ok(())
    }

    /// Who waits for a callback of a trigger in an environment, longest first, from `after` on.
    pub fn waits(
        &self,
        workspace: &Name,
        environment: &Name,
        flow: &Name,
        trigger: &Name,
        after: Option<(Timestamp, ExecutionId)>,
        limit: usize,
    ) -> Result<Vec<(Timestamp, ExecutionId)>, StoreError> {
        let prefix = key::waits(workspace, environment, flow, trigger);
        let start = match after {
            Some((since, id)) => [&key::wait(&prefix, since, id)[..], &[0]].concat(),
            None => prefix.clone(),
        };
        self.engine.scan_keys(start, key::after_prefix(&prefix), limit, |key| {
            key.get(prefix.len()..).and_then(key::since_and_id)
        })
    }

    /// How many executions wait for a callback of a trigger, in one environment or in all; counted no further than `max`.
    pub fn waiting_at(
        &self,
        workspace: &Name,
        flow: &Name,
        trigger: &Name,
        environment: Option<&Name>,
        max: usize,
    ) -> Result<usize, StoreError> {
        let prefix = match environment {
            Some(environment) => key::waits(workspace, environment, flow, trigger),
            None => key::waits_at(workspace, flow, trigger),
        };
        self.engine.count(&prefix, max)
    }

    /// The oldest mail of an execution for a trigger that came after a callback.
    pub fn next_mail(
        &self,
        workspace: &Name,
        execution: ExecutionId,
        trigger: &Name,
        after: Option<CallbackId>,
    ) -> Result<Option<Mail>, StoreError> {
        let prefix = key::mailbox(workspace, execution, trigger);
        let start = match after {
            Some(callback) => [&key::mail(workspace, execution, trigger, callback)[..], &[0]].concat(),
            None => prefix.clone(),
        };
        self.engine.first(start, key::after_prefix(&prefix))
    }

    /// Why another piece of mail has no room in a mailbox; `None` when it has.
    pub fn no_room_for_mail(
        &self,
        workspace: &Name,
        execution: ExecutionId,
        trigger: &Name,
        mail: &Mail,
        limits: MailboxLimits,
    ) -> Result<Option<NoRoom>, StoreError> {
        let bytes = engine::to_json(&[key::MAILBOX], mail)?.len();
        let Some(bytes) = limits.bytes_max.checked_sub(bytes) else { return Ok(Some(NoRoom::TooSmall)) };
        let Some(count) = limits.count_max.checked_sub(1) else { return Ok(Some(NoRoom::Full)) };
        let prefix = key::mailbox(workspace, execution, trigger);
        let has_room = writer::is_below(&self.engine.index, &prefix, &index::Changes::new(), count, bytes)?;
        Ok((!has_room).then_some(NoRoom::Full))
    }

    /// One piece of mail.
    pub fn mail(
        &self,
        workspace: &Name,
        execution: ExecutionId,
        trigger: &Name,
        callback: CallbackId,
    ) -> Result<Option<Mail>, StoreError> {
        self.engine.get(&key::mail(workspace, execution, trigger, callback))
    }

    /// What is known of a delivery.
    pub fn delivery(
        &self,
        workspace: &Name,
        flow: &Name,
        trigger: &Name,
        identity: &[u8; 32],
    ) -> Result<Option<Delivery>, StoreError> {
        let key = key::delivery(workspace, flow, trigger, identity);
        let Some(slot) = self.engine.index.get(&key)? else { return Ok(None) };
        let Some(value) = self.engine.index.value_at(&key, slot)? else { return Ok(None) };
        Ok(Some(Delivery { revision: slot.revision, ..engine::parse(&key, &value)? }))
    }

    pub fn secrets(&self) -> Result<Vec<(Name, String, SecretRecord)>, StoreError> {
        self.engine
            .list_all(key::SECRET, key::workspace_and_text)
            .map(|secrets| secrets.into_iter().map(|((workspace, name), record)| (workspace, name, record)).collect())
    }

    pub fn environments(&self) -> Result<Vec<(Name, Name, EnvironmentRecord)>, StoreError> {
        let list = self.engine.list_all(key::ENVIRONMENT, key::workspace_and_name)?;
        Ok(list.into_iter().map(|((workspace, name), record)| (workspace, name, record)).collect())
    }

    /// All variables: workspace, environment, name.
    pub fn vars(&self) -> Result<Vec<(Name, Name, String, VarRecord)>, StoreError> {
        let list = self.engine.list_all(key::VAR, key::workspace_name_and_text)?;
        Ok(list
            .into_iter()
            .map(|((workspace, environment, name), record)| (workspace, environment, name, record))
            .collect())
    }

    /// Origins that callers may be sent to, of all workspaces.
    pub fn redirect_origins(&self) -> Result<Vec<(Name, String, OriginRecord)>, StoreError> {
        let list = self.engine.list_all(key::REDIRECT_ORIGIN, key::workspace_and_text)?;
        Ok(list.into_iter().map(|((workspace, origin), record)| (workspace, origin, record)).collect())
    }

    pub fn user(&self, workspace: &Name, id: &str) -> Result<Option<UserRecord>, StoreError> {
        self.engine.get(&key::user(workspace, id))
    }

    /// Users by their ids, from the one after `after` on.
    pub fn users(
        &self,
        workspace: &Name,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, UserRecord)>, StoreError> {
        let prefix = key::users(workspace);
        let start = after.map_or_else(|| prefix.clone(), |after| [&key::user(workspace, after)[..], &[0]].concat());
        self.engine.range(start, key::after_prefix(&prefix), prefix.len(), limit)
    }

    pub fn user_token(&self, workspace: &Name, hash: &str) -> Result<Option<UserTokenRecord>, StoreError> {
        self.engine.get(&key::user_token(workspace, hash))
    }

    /// The hashes of a user's tokens.
    pub fn user_tokens(&self, workspace: &Name, user: &str) -> Result<Vec<String>, StoreError> {
        let prefix = key::tokens_of_user(workspace, user);
        self.engine.scan_keys(prefix.clone(), key::after_prefix(&prefix), usize::MAX, |key| {
            key.get(prefix.len()..).and_then(key::text)
        })
    }

    pub fn ticket(&self, workspace: &Name, id: TicketId) -> Result<Option<TicketRecord>, StoreError> {
        self.engine.get(&key::ticket(workspace, id))
    }

    /// The workspace and the id of the ticket with this state.
    pub fn ticket_of_state(&self, state: Uuid) -> Result<Option<(Name, TicketId)>, StoreError> {
        self.engine.get(&key::ticket_state(state))
    }

    pub fn tokens(&self) -> Result<Vec<(String, TokenRecord)>, StoreError> {
        self.engine.list_all(key::TOKEN, key::text)
    }

    /// A value of a plugin's own state.
    pub fn state(&self, workspace: &Name, plugin: &Name, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let key = key::state(workspace, plugin, key);
        let Some(text) = self.engine.get::<String>(&key)? else { return Ok(None) };
        let decoded = base64::engine::general_purpose::STANDARD_NO_PAD.decode(text);
        decoded.map(Some).map_err(|error| StoreError::damaged(&key, error.to_string()))
    }

    /// How many keys a plugin's state has, counted no further than `max`.
    pub fn state_count(&self, workspace: &Name, plugin: &Name, max: usize) -> Result<usize, StoreError> {
        self.engine.count(&key::states(workspace, plugin), max)
    }

    /// Forgets executions that ended before `cutoff`, the oldest of those that have ended while there are more than
    /// `executions_max`, the callbacks that belong to nothing any more, and tickets whose time was over before `cutoff`. In batches: others go on in between.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn forget(&self, cutoff: Timestamp, executions_max: Option<usize>) -> Result<Forgotten, StoreError> {
        retention::forget(&self.engine, cutoff, executions_max).await
    }

    /// Forgets tickets made before `cutoff` that `is_useless` says nothing can come of: how many.
    pub async fn forget_tickets(
        &self,
        cutoff: Timestamp,
        is_useless: &(dyn Fn(&Name, &TicketRecord) -> Result<bool, StoreError> + Send + Sync),
    ) -> Result<usize, StoreError> {
        retention::forget_tickets(&self.engine, cutoff, is_useless).await
    }

    /// Writes a backup while changes go on, line by line: everything as it is at the end, and `files`. Blocks.
    ///
    /// # Errors
    ///
    /// Something could not be read, or `out` failed.
    pub fn backup(
        &self,
        files: impl Iterator<Item = std::io::Result<BackupFile>>,
        out: &mut dyn FnMut(Vec<u8>) -> std::io::Result<()>,
    ) -> Result<(), BackupError> {
        backup::write(&self.engine, files, out)
    }

    /// Reads a backup into this store, which must be empty: how many lines it had.
    ///
    /// # Errors
    ///
    /// The backup is damaged or cut off, or something could not be written.
    pub async fn restore(
        &self,
        lines: impl std::io::BufRead,
        file: impl FnMut(BackupFile) -> std::io::Result<()>,
    ) -> Result<u64, BackupError> {
        backup::restore(&self.engine, lines, file).await
    }

    /// Reads every record and checks it.
    pub fn verify(&self) -> Result<Findings, StoreError> {
        verify::verify(&self.engine)
    }

    /// Bytes of the log that are still needed.
    pub fn live_bytes(&self) -> u64 {
        self.engine.index.live_bytes()
    }

    /// Bytes on disk.
    pub fn size_bytes(&self) -> u64 {
        self.engine.size_bytes() + recent::size_bytes(&self.directory.join(RECENT))
    }
}

#[cfg(test)]
mod conformance;

#[cfg(test)]
mod tests;

/// Every reader of stored bytes, on any bytes.
#[cfg(fuzzing)]
pub fn fuzz(bytes: &[u8]) {
    fn record<T: serde::de::DeserializeOwned + Serialize>(bytes: &[u8]) {
        let Ok(record) = engine::parse::<T>(b"fuzz", bytes) else { return };
        let Ok(written) = serde_json::to_vec(&record) else { return };
        assert!(engine::parse::<T>(b"fuzz", &written).is_ok(), "what is stored cannot be read again");
    }
    let _ = (journal::summary_and_tail(b"fuzz", bytes), journal::entries(b"fuzz", bytes));
    log::fuzz(bytes);
    recent::fuzz(bytes);
    record::<ringback_records::flow::FlowRecord>(bytes);
    record::<PluginRecord>(bytes);
    record::<SecretRecord>(bytes);
    record::<TicketRecord>(bytes);
    record::<CallbackRecord>(bytes);
    record::<UserRecord>(bytes);
}

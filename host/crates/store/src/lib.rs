//! What is kept: one contract of domain operations, and the engine behind it.
//!
//! A change is a list of [`Write`]s that become durable together or not at all. [`Store::commit`] returns when the
//! change is on disk; nothing is acknowledged to a caller before that. Every read is asynchronous, and takes and gives values:
//! what memory knows is answered at once, and what would read a disk is read on threads that answer nobody. Nothing outside
//! `store/` knows how records are laid out.

mod backup;
mod blocks;
mod cleaner;
mod contract;
mod counts;
mod due;
mod engine;
mod filter;
mod firsts;
mod flow;
mod index;
mod journal;
mod key;
mod keyed;
mod lists;
mod log;
mod look;
mod open;
pub mod planted;
mod recent;
mod retention;
mod slot;
mod tail;
mod verify;
mod writer;

pub use backup::{BackupError, BackupFile};
pub use contract::{
    ByKey, Claim, ClaimPage, Delivery, Due, DueKey, DuePage, EarlyLimits, KeyAt, Mail, MailboxLimits, MostByKey,
    NoRoom, Page, StoreError, Unless, Write,
};
pub use counts::{Count, Counts};
pub use filter::{CallbackFilter, ExecutionFilter, Text, TicketFilter, TimeRange};
pub use open::{Lock, OpenError};
pub use retention::Forgotten;
pub use tail::{Heard, Tail};
pub use verify::Findings;

use base64::Engine as _;
use engine::Engine;
use look::{Look, Readers};
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
    readers: Arc<Readers>,
    rows: Arc<tail::Rows>,
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
        let (recent, directory) = (Arc::new(recent), directory.into());
        Ok(Self { engine, recent, directory, readers: Arc::default(), rows: Arc::default() })
    }

    /// Keeps the record of a callback that nobody was promised: soon, and possibly lost in a crash. False when too many
    /// wait, and it was dropped.
    pub fn keep_recent(&self, workspace: &Name, record: &CallbackRecord) -> bool {
        let is_kept = self.recent.keep(workspace, record);
        if is_kept {
            self.rows.tell(workspace, record);
        }
        is_kept
    }

    /// Makes a change durable: it is on disk when this returns.
    ///
    /// # Errors
    ///
    /// [`StoreError::Conflict`] and nothing has changed; [`StoreError::Stopped`] and nothing is known.
    pub async fn commit(&self, writes: Vec<Write>) -> Result<(), StoreError> {
        let needed = engine::needed(&writes);
        let seen =
            if needed.is_empty() { engine::Seen::new() } else { self.look(move |look| look.seen(&needed)).await? };
        let change = self.engine.change(&writes, &seen)?;
        self.engine.writer.commit(change).await?;
        self.rows.tell_of(&writes);
        Ok(())
    }

    /// Writes something that nobody was promised: soon, but possibly lost in a crash. False when it was dropped: the store is too
    /// busy, or has to see first what is there.
    pub fn write_behind(&self, writes: &[Write]) -> bool {
        let change = engine::needed(writes).is_empty().then(|| self.engine.change(writes, &engine::Seen::new()));
        let is_kept =
            change.is_some_and(|change| change.is_ok_and(|operations| self.engine.writer.write_behind(operations)));
        if is_kept {
            self.rows.tell_of(writes);
        }
        is_kept
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

    /// The plugins of all workspaces, each with its workspace: by workspace and name.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn plugins(&self) -> Result<Vec<(Name, PluginRecord)>, StoreError> {
        let plugins = self.read_all(|store| store.engine.list_all(key::PLUGIN, key::workspace_and_name)).await?;
        Ok(plugins.into_iter().map(|((workspace, _), record)| (workspace, record)).collect())
    }

    /// The record of a callback, whether anybody was promised it or not.
    ///
    /// # Errors
    ///
    /// The store failed, or the record is damaged.
    pub async fn callback(&self, workspace: &Name, id: CallbackId) -> Result<Option<CallbackRecord>, StoreError> {
        let workspace = workspace.clone();
        self.look(move |look| look.callback(&workspace, id)).await
    }

    /// An execution, with its journal in order.
    ///
    /// # Errors
    ///
    /// The store failed, or the execution is damaged.
    pub async fn execution(
        &self,
        workspace: &Name,
        id: ExecutionId,
    ) -> Result<Option<(Summary, Vec<Entry>)>, StoreError> {
        let (key, prefix) = (key::execution(workspace, id), key::journal(workspace, id));
        let look = move |look: &Look<'_>| loop {
            let Some(value) = look.value(&key)? else { return Ok(None) };
            let (summary, tail) = journal::summary_and_tail(&key, &value)?;
            // Most journals are short.
            if tail.len() == summary.entries as usize {
                return Ok(Some((summary, tail)));
            }
            let engine = &look.on_disk()?.engine;
            let blocks = engine.list_as(&prefix, journal::entries)?;
            let entries: Vec<Entry> = blocks.into_iter().flatten().chain(tail).collect();
            // They were read one after the other: what was the tail may have become a block in between.
            if entries.len() == summary.entries as usize {
                return Ok(Some((summary, entries)));
            }
            if engine.index.value(&key)?.as_ref() == Some(&value) {
                let problem = format!("its journal has {} of {} entries", entries.len(), summary.entries);
                return Err(StoreError::damaged(&key, problem).into());
            }
        };
        self.look(look).await
    }

    /// An execution without its journal.
    ///
    /// # Errors
    ///
    /// The store failed, or the execution is damaged.
    pub async fn summary(&self, workspace: &Name, id: ExecutionId) -> Result<Option<Summary>, StoreError> {
        let key = key::execution(workspace, id);
        self.look(move |look| look.value_as(&key, journal::summary)).await
    }

    /// Whether there is an execution, ended or not.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn has_execution(&self, workspace: &Name, id: ExecutionId) -> Result<bool, StoreError> {
        let key = key::execution(workspace, id);
        self.look(move |look| Ok(look.slot(&key)?.is_some())).await
    }

    /// Brings what an earlier version wrote into the form of this one, before anything else is done.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn renew(&self) -> Result<(), StoreError> {
        let old = |store: &Self| {
            let engine = &store.engine;
            Ok((engine.old_waits()?, engine.old_user_tokens()?, engine.old_dropped_signatures()?))
        };
        let (waits, tokens, signatures) = self.read_all(old).await?;
        if !signatures.is_empty() {
            tracing::info!(
                signatures = signatures.len(),
                "keeping dropped signatures of an earlier version by themselves"
            );
            self.engine.writer.commit(signatures).await?;
        }
        let unordered = self.read_all(|store| store.engine.unordered()).await?;
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
        loop {
            let due = self.read_all(|store| store.engine.old_due()).await?;
            if due.is_empty() {
                return Ok(());
            }
            tracing::info!(
                due = due.len() / 2,
                "putting what an earlier version is to do at a time in order by workspace"
            );
            self.engine.writer.commit(due).await?;
        }
    }

    /// Who waits for a callback of a trigger in an environment, longest first, from `after` on, at most so many.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn waits(
        &self,
        workspace: &Name,
        environment: &Name,
        flow: &Name,
        trigger: &Name,
        after: Option<(Timestamp, ExecutionId)>,
        limit: usize,
    ) -> Result<Vec<(Timestamp, ExecutionId)>, StoreError> {
        let prefix = key::waits(workspace, environment, flow, trigger);
        self.read(move |store| {
            let start = match after {
                Some((since, id)) => behind(&key::wait(&prefix, since, id)),
                None => prefix.clone(),
            };
            store.engine.scan_keys(start, key::after_prefix(&prefix), limit, |key| {
                key.get(prefix.len()..).and_then(key::since_and_id)
            })
        })
        .await
    }

    /// How many executions wait for a callback of a trigger, in one environment or in all; counted no further than `max`.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn waiting_at(
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
        self.read(move |store| store.engine.count(&prefix, max)).await
    }

    /// The oldest mail of an execution for a trigger that came after a callback, with the record of its own.
    ///
    /// # Errors
    ///
    /// The store failed, or what is kept is damaged.
    pub async fn next_mail(
        &self,
        workspace: &Name,
        execution: ExecutionId,
        trigger: &Name,
        after: Option<CallbackId>,
    ) -> Result<Option<(Mail, Option<CallbackRecord>)>, StoreError> {
        self.next_kept(workspace, key::mailbox(workspace, execution, trigger), after).await
    }

    /// The first of those whose keys are a prefix and the id of their callback, behind one of them, with its record.
    async fn next_kept(
        &self,
        workspace: &Name,
        prefix: Vec<u8>,
        after: Option<CallbackId>,
    ) -> Result<Option<(Mail, Option<CallbackRecord>)>, StoreError> {
        let start = match after {
            Some(callback) => behind(&[&prefix[..], callback.as_bytes()].concat()),
            None => prefix.clone(),
        };
        let workspace = workspace.clone();
        self.look(move |look| {
            let mail = look.on_disk()?.engine.first(start.clone(), key::after_prefix(&prefix))?;
            look.with_callback(&workspace, mail, |mail: &Mail| mail.callback)
        })
        .await
    }

    /// Why another piece of mail has no room in a mailbox; `None` when it has.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn no_room_for_mail(
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
        let has_room =
            move |store: &Self| writer::is_below(&store.engine.index, &prefix, &index::Changes::new(), count, bytes);
        Ok((!self.read(has_room).await?).then_some(NoRoom::Full))
    }

    /// One piece of mail, with the record of its callback.
    ///
    /// # Errors
    ///
    /// The store failed, or what is kept is damaged.
    pub async fn mail(
        &self,
        workspace: &Name,
        execution: ExecutionId,
        trigger: &Name,
        callback: CallbackId,
    ) -> Result<Option<(Mail, Option<CallbackRecord>)>, StoreError> {
        let (key, workspace) = (key::mail(workspace, execution, trigger, callback), workspace.clone());
        self.look(move |look| look.with_callback(&workspace, look.get(&key)?, |mail: &Mail| mail.callback)).await
    }

    /// What is known of a delivery, with the record of its callback.
    ///
    /// # Errors
    ///
    /// The store failed, or what is kept is damaged.
    pub async fn delivery(
        &self,
        workspace: &Name,
        flow: &Name,
        trigger: &Name,
        identity: &[u8; 32],
    ) -> Result<Option<(Delivery, Option<CallbackRecord>)>, StoreError> {
        let (key, workspace) = (key::delivery(workspace, flow, trigger, identity), workspace.clone());
        self.look(move |look| {
            let Some((slot, value)) = look.found(&key)? else { return Ok(None) };
            let delivery = Delivery { revision: slot.revision, ..engine::parse(&key, &value)? };
            look.with_callback(&workspace, Some(delivery), |delivery| delivery.callback)
        })
        .await
    }

    /// The secrets of all workspaces, encrypted: workspace, name, record.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn secrets(&self) -> Result<Vec<(Name, String, SecretRecord)>, StoreError> {
        let secrets = self.read_all(|store| store.engine.list_all(key::SECRET, key::workspace_and_text)).await?;
        Ok(secrets.into_iter().map(|((workspace, name), record)| (workspace, name, record)).collect())
    }

    /// The environments of all workspaces that have a record: workspace, name, record.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn environments(&self) -> Result<Vec<(Name, Name, EnvironmentRecord)>, StoreError> {
        let list = self.read_all(|store| store.engine.list_all(key::ENVIRONMENT, key::workspace_and_name)).await?;
        Ok(list.into_iter().map(|((workspace, name), record)| (workspace, name, record)).collect())
    }

    /// The variables of all workspaces: workspace, environment, name, record.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn vars(&self) -> Result<Vec<(Name, Name, String, VarRecord)>, StoreError> {
        let list = self.read_all(|store| store.engine.list_all(key::VAR, key::workspace_name_and_text)).await?;
        Ok(list
            .into_iter()
            .map(|((workspace, environment, name), record)| (workspace, environment, name, record))
            .collect())
    }

    /// Origins that callers may be sent to, of all workspaces: workspace, origin, record.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn redirect_origins(&self) -> Result<Vec<(Name, String, OriginRecord)>, StoreError> {
        let list = self.read_all(|store| store.engine.list_all(key::REDIRECT_ORIGIN, key::workspace_and_text)).await?;
        Ok(list.into_iter().map(|((workspace, origin), record)| (workspace, origin, record)).collect())
    }

    /// One user.
    ///
    /// # Errors
    ///
    /// The store failed, or the record is damaged.
    pub async fn user(&self, workspace: &Name, id: &str) -> Result<Option<UserRecord>, StoreError> {
        self.get(key::user(workspace, id)).await
    }

    /// Users by their ids, from the one after `after` on, at most so many.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn users(
        &self,
        workspace: &Name,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, UserRecord)>, StoreError> {
        let prefix = key::users(workspace);
        let start = after.map_or_else(|| prefix.clone(), |after| behind(&key::user(workspace, after)));
        self.read(move |store| store.engine.range(start, key::after_prefix(&prefix), prefix.len(), limit)).await
    }

    /// The token with a hash, and its user as far as that is there.
    ///
    /// # Errors
    ///
    /// The store failed, or a record is damaged.
    pub async fn user_of_token(
        &self,
        workspace: &Name,
        hash: &str,
    ) -> Result<Option<(UserTokenRecord, Option<UserRecord>)>, StoreError> {
        let (workspace, key) = (workspace.clone(), key::user_token(workspace, hash));
        self.look(move |look| {
            let Some(token) = look.get::<UserTokenRecord>(&key)? else { return Ok(None) };
            let user = look.get(&key::user(&workspace, &token.user))?;
            Ok(Some((token, user)))
        })
        .await
    }

    /// The tokens of a user by their hashes, from the one after `after` on, at most so many.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn user_tokens(
        &self,
        workspace: &Name,
        user: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<(String, UserTokenRecord), String>, StoreError> {
        let (workspace, prefix) = (workspace.clone(), key::tokens_of_user(workspace, user));
        let start = after.map_or_else(|| prefix.clone(), |after| behind(&[&prefix[..], after.as_bytes()].concat()));
        self.read(move |store| {
            let hash = |key: &[u8]| key.get(prefix.len()..).and_then(key::text);
            let Page { items, next } = store.engine.page_of_keys(start, &prefix, limit, hash)?;
            let mut tokens = Vec::with_capacity(items.len());
            for hash in items {
                let token = store.engine.get(&key::user_token(&workspace, &hash))?;
                tokens.extend(token.map(|token| (hash, token)));
            }
            Ok(Page { items: tokens, next })
        })
        .await
    }

    /// One ticket.
    ///
    /// # Errors
    ///
    /// The store failed, or the record is damaged.
    pub async fn ticket(&self, workspace: &Name, id: TicketId) -> Result<Option<TicketRecord>, StoreError> {
        self.get(key::ticket(workspace, id)).await
    }

    /// The ticket with this state, and its workspace.
    ///
    /// # Errors
    ///
    /// The store failed, or a record is damaged.
    pub async fn ticket_of_state(&self, state: Uuid) -> Result<Option<(Name, TicketRecord)>, StoreError> {
        let key = key::ticket_state(state);
        self.look(move |look| {
            let Some((workspace, id)) = look.get::<(Name, TicketId)>(&key)? else { return Ok(None) };
            let ticket = look.get(&key::ticket(&workspace, id))?;
            Ok(ticket.map(|ticket| (workspace, ticket)))
        })
        .await
    }

    /// The tokens of administrators by their ids.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn tokens(&self) -> Result<Vec<(String, TokenRecord)>, StoreError> {
        self.read_all(|store| store.engine.list_all(key::TOKEN, key::text)).await
    }

    /// A value of a plugin's own state.
    ///
    /// # Errors
    ///
    /// The store failed, or the value is damaged.
    pub async fn state(&self, workspace: &Name, plugin: &Name, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let key = key::state(workspace, plugin, key);
        self.look(move |look| {
            let Some(text) = look.get::<String>(&key)? else { return Ok(None) };
            let decoded = base64::engine::general_purpose::STANDARD_NO_PAD.decode(text);
            Ok(Some(decoded.map_err(|error| StoreError::damaged(&key, error.to_string()))?))
        })
        .await
    }

    /// How many keys a plugin's state has, counted no further than `max`.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn state_count(&self, workspace: &Name, plugin: &Name, max: usize) -> Result<usize, StoreError> {
        let prefix = key::states(workspace, plugin);
        self.read(move |store| store.engine.count(&prefix, max)).await
    }

    /// Forgets executions that ended before `cutoff`, the oldest of those that have ended while there are more than
    /// `executions_max`, the callbacks that belong to nothing any more, and tickets whose time was over before `cutoff`. In batches: others go on in between.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn forget(&self, cutoff: Timestamp, executions_max: Option<usize>) -> Result<Forgotten, StoreError> {
        retention::forget(self, cutoff, executions_max).await
    }

    /// Writes a backup while changes go on, line by line: everything as it is at the end, and `files`. Blocks. What it reads and
    /// writes through are functions: this is no part of what another engine has to do, but of what this one is kept in.
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

    /// Reads a backup into this store, which must be empty: how many lines it had. As with [`Store::backup`], another engine need not
    /// have it.
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

    /// Reads every record and checks it. Blocks.
    ///
    /// # Errors
    ///
    /// Something could not be read at all.
    pub fn verify(&self) -> Result<Findings, StoreError> {
        verify::verify(&self.engine)
    }

    /// Bytes of the log that are still needed.
    pub fn live_bytes(&self) -> u64 {
        self.engine.index.live_bytes()
    }

    /// Bytes on disk.
    ///
    /// # Errors
    ///
    /// The process is about to end.
    pub async fn size_bytes(&self) -> Result<u64, StoreError> {
        self.read(|store| Ok(store.engine.size_bytes() + recent::size_bytes(&store.directory.join(RECENT)))).await
    }
}

/// The first key behind one.
fn behind(key: &[u8]) -> Vec<u8> {
    [key, &[0]].concat()
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

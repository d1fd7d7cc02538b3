//! Forgetting what is old: executions that have ended, then callbacks that belong to none that is still there. Ids begin
//! with the time at which they were made, so that a sweep stops where everything is newer.

use super::engine::{Engine, parse};
use super::{Page, Store, StoreError, Write, behind, journal, key};
use ringback_records::journal::Summary;
use ringback_records::name::{Name, TicketId};
use ringback_records::outcome::{CallbackRecord, Outcome};
use ringback_records::ticket::{TicketRecord, TicketStatus};
use ringback_records::time::Timestamp;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Records that are forgotten as one change.
const BATCH: usize = 500;

/// What was forgotten.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forgotten {
    pub executions: usize,
    pub callbacks: usize,
    pub tickets: usize,
}

/// Forgets executions that ended before `cutoff`, the oldest of those that have ended while there are more than
/// `executions_max`, the callbacks of what is gone, and tickets that were closed or expired before `cutoff`.
pub(super) async fn forget(
    store: &Store,
    cutoff: Timestamp,
    executions_max: Option<usize>,
) -> Result<Forgotten, StoreError> {
    let mut executions = sweep(store, key::EXECUTION, cutoff, is_over).await?;
    if let Some(max) = executions_max {
        let count = store.read_all(|store| store.engine.count(&[key::EXECUTION], usize::MAX)).await?;
        executions += sweep_oldest(store, count.saturating_sub(max)).await?;
    }
    let callbacks = sweep(store, key::CALLBACK, cutoff, belongs_to_nobody).await?;
    let tickets = sweep(store, key::TICKET, cutoff, has_no_use).await?;
    Ok(Forgotten { executions, callbacks, tickets })
}

/// What forgets a record, if it can be forgotten.
type Forgettable = fn(&Engine, &Name, &[u8], &[u8], Timestamp) -> Result<Option<Write>, StoreError>;

async fn sweep(store: &Store, kind: u8, cutoff: Timestamp, forgettable: Forgettable) -> Result<usize, StoreError> {
    let mut from = Some(vec![kind]);
    let mut count = 0;
    while let Some(start) = from {
        let look = move |store: &Store| collect(&store.engine, kind, start, cutoff, BATCH, forgettable);
        let (batch, next) = store.read_all(look).await?;
        count += store.commit_each(batch).await?;
        from = next;
        tokio::task::yield_now().await;
    }
    Ok(count)
}

/// Forgets the oldest executions of all workspaces that have ended: how many.
async fn sweep_oldest(store: &Store, most: usize) -> Result<usize, StoreError> {
    if most == 0 {
        return Ok(0);
    }
    let mut oldest = store.read_all(|store| Oldest::first(&store.engine)).await?;
    let mut count = 0;
    while count < most {
        let most = BATCH.min(most - count);
        let look = move |store: &Store| {
            let batch = oldest.next(&store.engine, most)?;
            Ok((batch, oldest))
        };
        let (batch, rest) = store.read_all(look).await?;
        oldest = rest;
        if batch.is_empty() {
            break;
        }
        count += batch.len();
        store.commit_each(batch).await?;
        tokio::task::yield_now().await;
    }
    Ok(count)
}

/// The executions of all workspaces from the oldest on: the next one of each. Within one, keys are in the order of their making.
struct Oldest(BinaryHeap<Reverse<Next>>);

impl Oldest {
    fn first(engine: &Engine) -> Result<Self, StoreError> {
        let mut heap = BinaryHeap::new();
        let mut from = vec![key::EXECUTION];
        while let Some(first) = Next::after(engine, from, vec![key::EXECUTION + 1])? {
            from = key::after_prefix(&key::executions(&first.workspace));
            heap.push(Reverse(first));
        }
        Ok(Self(heap))
    }

    /// What forgets the oldest that have ended, at most so many.
    fn next(&mut self, engine: &Engine, most: usize) -> Result<Vec<Write>, StoreError> {
        let mut batch = Vec::new();
        while batch.len() < most
            && let Some(Reverse(Next { workspace, key, .. })) = self.0.pop()
        {
            if let Some(value) = engine.index.value(&key)? {
                batch.extend(is_over(engine, &workspace, &key, &value, Timestamp::from_millis(u64::MAX))?);
            }
            let end = key::after_prefix(&key::executions(&workspace));
            self.0.extend(Next::after(engine, behind(&key), end)?.map(Reverse));
        }
        Ok(batch)
    }
}

/// The next execution of a workspace; ids sort by the time of their making.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Next {
    id: [u8; 16],
    workspace: Name,
    key: Vec<u8>,
}

impl Next {
    fn after(engine: &Engine, from: Vec<u8>, end: Vec<u8>) -> Result<Option<Self>, StoreError> {
        let Some(found) = engine.index.scan(from, end, false).next() else { return Ok(None) };
        let (key, _) = found?;
        let wrong = || StoreError::damaged(&key, "its key is not one".to_owned());
        let (workspace, id) = key.get(1..).and_then(key::workspace_and_id).ok_or_else(wrong)?;
        Ok(Some(Self { id: *id.as_bytes(), workspace, key }))
    }
}

/// The next records to forget, and where to go on.
fn collect(
    engine: &Engine,
    kind: u8,
    from: Vec<u8>,
    cutoff: Timestamp,
    limit: usize,
    forgettable: Forgettable,
) -> Result<(Vec<Write>, Option<Vec<u8>>), StoreError> {
    let mut batch = Vec::new();
    let next = each_made_before(engine, kind, from, cutoff, |workspace, key, value| {
        batch.extend(forgettable(engine, workspace, key, value, cutoff)?);
        Ok(batch.len() < limit)
    })?;
    Ok((batch, next.map(|key| behind(&key))))
}

/// Shows the records of a kind that were made before a time, until it is enough: the last key, where there may be others behind it.
fn each_made_before(
    engine: &Engine,
    kind: u8,
    mut from: Vec<u8>,
    cutoff: Timestamp,
    mut goes_on: impl FnMut(&Name, &[u8], &[u8]) -> Result<bool, StoreError>,
) -> Result<Option<Vec<u8>>, StoreError> {
    'workspaces: loop {
        for found in engine.index.scan(from.clone(), vec![kind + 1], false) {
            let (key, slot) = found?;
            let wrong = || StoreError::damaged(&key, "its key is not one".to_owned());
            let (workspace, id) = key.get(1..).and_then(key::workspace_and_id).ok_or_else(wrong)?;
            if made_at(id.as_bytes()) > cutoff {
                // Everything behind it in this workspace is newer.
                let end = key.len() - id.as_bytes().len();
                from = key::after_prefix(key.get(..end).unwrap_or_default());
                continue 'workspaces;
            }
            if let Some(value) = engine.index.value_at(&key, slot)?
                && !goes_on(&workspace, &key, &value)?
            {
                return Ok(Some(key));
            }
        }
        return Ok(None);
    }
}

impl Store {
    /// Makes changes that do not need each other, together or one by one: how many. What starts from something else than what is
    /// there, as an execution that was just tried again, is left out.
    ///
    /// # Errors
    ///
    /// The store failed; some may have been made.
    pub async fn commit_each(&self, writes: Vec<Write>) -> Result<usize, StoreError> {
        let count = writes.len();
        if count == 0 {
            return Ok(0);
        }
        match self.commit(writes.clone()).await {
            Ok(()) => return Ok(count),
            Err(StoreError::Conflict) => {}
            Err(error) => return Err(error),
        }
        let mut made = 0;
        for write in writes {
            match self.commit(vec![write]).await {
                Ok(()) => made += 1,
                Err(StoreError::Conflict) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(made)
    }

    /// Tickets of all workspaces that were made before a time, each with its workspace: by workspace, the oldest first, behind one of
    /// them, at most so many.
    ///
    /// # Errors
    ///
    /// The store failed, or a record is damaged.
    pub async fn tickets_made_before(
        &self,
        cutoff: Timestamp,
        after: Option<(Name, TicketId)>,
        limit: usize,
    ) -> Result<Page<(Name, TicketRecord), (Name, TicketId)>, StoreError> {
        let from = after.map_or_else(|| vec![key::TICKET], |(workspace, id)| behind(&key::ticket(&workspace, id)));
        self.read_all(move |store| {
            let mut items: Vec<(Name, TicketRecord)> = Vec::new();
            let last = each_made_before(&store.engine, key::TICKET, from, cutoff, |workspace, key, value| {
                items.push((workspace.clone(), parse(key, value)?));
                Ok(items.len() < limit)
            })?;
            let next = last.and(items.last().map(|(workspace, ticket)| (workspace.clone(), ticket.id)));
            Ok(Page { items, next })
        })
        .await
    }
}

/// When an id was made: the first 48 bits of a UUID of version 7, in milliseconds.
fn made_at(id: &[u8; 16]) -> Timestamp {
    let [a, b, c, d, e, f, ..] = *id;
    Timestamp::from_millis(u64::from_be_bytes([0, 0, a, b, c, d, e, f]))
}

fn is_over(
    _: &Engine,
    workspace: &Name,
    key: &[u8],
    value: &[u8],
    cutoff: Timestamp,
) -> Result<Option<Write>, StoreError> {
    let summary = journal::summary(key, value)?;
    let over = summary.ended_at.is_some_and(|ended| ended <= cutoff);
    let Summary { id, entries, .. } = summary;
    Ok(over.then(|| Write::DeleteExecution { workspace: workspace.clone(), id, entries }))
}

fn has_no_use(
    _: &Engine,
    workspace: &Name,
    key: &[u8],
    value: &[u8],
    cutoff: Timestamp,
) -> Result<Option<Write>, StoreError> {
    let ticket: TicketRecord = parse(key, value)?;
    let closed = matches!(ticket.status, TicketStatus::Closed { closed_at, .. } if closed_at <= cutoff);
    let over = closed || ticket.is_expired(cutoff);
    let TicketRecord { id, state, revision, .. } = ticket;
    Ok(over.then(|| Write::DeleteTicket { workspace: workspace.clone(), id, state, revision }))
}

fn belongs_to_nobody(
    engine: &Engine,
    workspace: &Name,
    key: &[u8],
    value: &[u8],
    _: Timestamp,
) -> Result<Option<Write>, StoreError> {
    let record: CallbackRecord = parse(key, value)?;
    let needed = match record.execution {
        Some(execution) => engine.index.get(&key::execution(workspace, execution))?.is_some(),
        // What is kept for a key has another outcome as soon as that is over.
        None => record.outcome == Outcome::Kept || engine.index.get(&key::deferred(workspace, record.id))?.is_some(),
    };
    Ok((!needed).then(|| Write::DeleteCallback { workspace: workspace.clone(), id: record.id }))
}

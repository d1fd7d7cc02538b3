//! Forgetting what is old: executions that have ended, then callbacks that belong to none that is still there. Ids begin
//! with the time at which they were made, so that a sweep stops where everything is newer.

use super::engine::{Engine, parse};
use super::{StoreError, Write, journal, key};
use ringback_records::journal::Summary;
use ringback_records::name::Name;
use ringback_records::outcome::CallbackRecord;
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
    engine: &Engine,
    cutoff: Timestamp,
    executions_max: Option<usize>,
) -> Result<Forgotten, StoreError> {
    let mut executions = sweep(engine, key::EXECUTION, cutoff, &is_over).await?;
    if let Some(max) = executions_max {
        let surplus = engine.count(&[key::EXECUTION], usize::MAX)?.saturating_sub(max);
        executions += sweep_oldest(engine, surplus).await?;
    }
    let callbacks = sweep(engine, key::CALLBACK, cutoff, &belongs_to_nobody).await?;
    let tickets = sweep(engine, key::TICKET, cutoff, &has_no_use).await?;
    Ok(Forgotten { executions, callbacks, tickets })
}

/// Forgets tickets made before `cutoff` of which nothing can come any more, as `is_useless` says.
pub(super) async fn forget_tickets(
    engine: &Engine,
    cutoff: Timestamp,
    is_useless: &(dyn Fn(&Name, &TicketRecord) -> Result<bool, StoreError> + Send + Sync),
) -> Result<usize, StoreError> {
    let forgettable = |_: &Engine, workspace: &Name, key: &[u8], value: &[u8], _: Timestamp| {
        let ticket: TicketRecord = parse(key, value)?;
        let (id, state) = (ticket.id, ticket.state);
        let delete = || Write::DeleteTicket { workspace: workspace.clone(), id, state };
        Ok(is_useless(workspace, &ticket)?.then(delete))
    };
    sweep(engine, key::TICKET, cutoff, &forgettable).await
}

/// What forgets a record, if it can be forgotten.
type Forgettable<'f> =
    &'f (dyn Fn(&Engine, &Name, &[u8], &[u8], Timestamp) -> Result<Option<Write>, StoreError> + Send + Sync);

async fn sweep(
    engine: &Engine,
    kind: u8,
    cutoff: Timestamp,
    forgettable: Forgettable<'_>,
) -> Result<usize, StoreError> {
    let mut from = Some(vec![kind]);
    let mut count = 0;
    while let Some(start) = from {
        let (batch, next) = collect(engine, kind, start, cutoff, BATCH, forgettable)?;
        count += batch.len();
        from = next;
        commit(engine, &batch).await?;
        tokio::task::yield_now().await;
    }
    Ok(count)
}

/// Forgets a batch; what has gone on in the meantime, as an execution that was just tried again, stays.
async fn commit(engine: &Engine, batch: &[Write]) -> Result<(), StoreError> {
    if batch.is_empty() {
        return Ok(());
    }
    match engine.commit(batch).await {
        Err(StoreError::Conflict) => {}
        result => return result,
    }
    for write in batch {
        match engine.commit(std::slice::from_ref(write)).await {
            Ok(()) | Err(StoreError::Conflict) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Forgets the oldest executions of all workspaces that have ended: how many.
async fn sweep_oldest(engine: &Engine, most: usize) -> Result<usize, StoreError> {
    let after = |from: Vec<u8>, end: Vec<u8>| -> Result<Option<Next>, StoreError> {
        let Some(found) = engine.index.scan(from, end, false).next() else { return Ok(None) };
        let (key, _) = found?;
        let wrong = || StoreError::damaged(&key, "its key is not one".to_owned());
        let (workspace, id) = key.get(1..).and_then(key::workspace_and_id).ok_or_else(wrong)?;
        Ok(Some(Next { id: *id.as_bytes(), workspace, key }))
    };
    // The next one of each workspace: within one, keys are in the order of their making.
    let mut next = BinaryHeap::new();
    let mut from = vec![key::EXECUTION];
    while most > 0
        && let Some(first) = after(from, vec![key::EXECUTION + 1])?
    {
        from = key::after_prefix(&key::executions(&first.workspace));
        next.push(Reverse(first));
    }
    let (mut count, mut batch) = (0, Vec::new());
    while count < most
        && let Some(Reverse(Next { workspace, key, .. })) = next.pop()
    {
        if let Some(value) = engine.index.value(&key)?
            && let Some(write) = is_over(engine, &workspace, &key, &value, Timestamp::from_millis(u64::MAX))?
        {
            batch.push(write);
            count += 1;
        }
        let end = key::after_prefix(&key::executions(&workspace));
        next.extend(after([&key[..], &[0]].concat(), end)?.map(Reverse));
        if batch.len() == BATCH {
            commit(engine, &std::mem::take(&mut batch)).await?;
            tokio::task::yield_now().await;
        }
    }
    commit(engine, &batch).await?;
    Ok(count)
}

/// The next execution of a workspace; ids sort by the time of their making.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Next {
    id: [u8; 16],
    workspace: Name,
    key: Vec<u8>,
}

/// The next records to forget, and where to go on.
fn collect(
    engine: &Engine,
    kind: u8,
    mut from: Vec<u8>,
    cutoff: Timestamp,
    limit: usize,
    forgettable: Forgettable<'_>,
) -> Result<(Vec<Write>, Option<Vec<u8>>), StoreError> {
    let mut batch = Vec::new();
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
            if let Some(value) = engine.index.value_at(&key, slot)? {
                batch.extend(forgettable(engine, &workspace, &key, &value, cutoff)?);
            }
            if batch.len() == limit {
                return Ok((batch, Some([&key[..], &[0]].concat())));
            }
        }
        return Ok((batch, None));
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
    let (id, state) = (ticket.id, ticket.state);
    Ok(over.then(|| Write::DeleteTicket { workspace: workspace.clone(), id, state }))
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
        None => engine.index.get(&key::deferred(workspace, record.id))?.is_some(),
    };
    Ok((!needed).then(|| Write::DeleteCallback { workspace: workspace.clone(), id: record.id }))
}

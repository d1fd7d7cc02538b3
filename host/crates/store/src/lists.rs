//! Lists, newest first: in which order records are looked at, and how far one page goes.

use super::engine::{Engine, parse, put};
use super::recent::Place;
use super::slot::Slot;
use super::writer::Operation;
use super::{CallbackFilter, ExecutionFilter, Page, Store, StoreError, TicketFilter, journal, key};
use ringback_records::journal::{Status, Summary};
use ringback_records::name::{CallbackId, ExecutionId, Name, TicketId};
use ringback_records::outcome::{CallbackRecord, Outcome};
use ringback_records::summary::CallbackSummary;
use ringback_records::ticket::TicketRecord;
use std::collections::BinaryHeap;
use std::ops::RangeInclusive;
use uuid::Uuid;

/// The id of what is listed: its time, and then chance.
pub(super) type Id = [u8; 16];

/// Most records that one page looks at: a filter that accepts little must not read the whole store.
pub(super) const SCANNED_MAX: usize = 10_000;
/// Bytes of records that are enough for one page to look at.
const READ_BYTES: usize = 64 << 20;
/// Most rows that are read beside each other.
const ROWS_MAX: usize = 4096;

impl Store {
    /// Callbacks that are wanted, newest first, older than `before`. A page may have fewer than there are, or none: where `next`
    /// says, the others are.
    ///
    /// # Errors
    ///
    /// The store failed, or a record is damaged.
    pub async fn callbacks(
        &self,
        workspace: &Name,
        before: Option<Id>,
        limit: usize,
        wanted: &CallbackFilter,
    ) -> Result<Page<CallbackSummary>, StoreError> {
        let (of, wanted) = (workspace.clone(), wanted.clone());
        self.read_much(workspace, move |store| store.page_of_callbacks(&of, before, limit, &wanted)).await
    }

    fn page_of_callbacks(
        &self,
        workspace: &Name,
        before: Option<Id>,
        limit: usize,
        wanted: &CallbackFilter,
    ) -> Result<Page<CallbackSummary>, StoreError> {
        let Some(ids) = before_and(before, wanted.time.ids()) else { return Ok(Page::default()) };
        let rows = self.engine.rows_of_callbacks(workspace, wanted)?;
        let stored = self.engine.places(key::callbacks(workspace), rows, &ids)?;
        let may_accept = |flow: Option<&Name>, outcome| wanted.may_accept(flow, outcome);
        // One more says that there are others.
        let recent = self.recent.newest(workspace, may_accept, &ids, SCANNED_MAX + 1)?;
        let mut reader = self.recent.reader();
        let key_of = |id| key::callback(workspace, CallbackId::from_bytes(id));
        page(
            limit,
            both(stored, recent),
            |id, place| match place {
                Either::Stored(slot) => self.engine.value_of(&key_of(id), slot),
                Either::Recent(place) => reader.read(id, &place),
            },
            |id, value| {
                let record: CallbackRecord = parse(&key_of(id), value)?;
                Ok(wanted.accepts(&record).then(|| (&record).into()))
            },
        )
    }

    /// Executions that are wanted, newest first, older than `before`. A page may have fewer than there are, as above.
    ///
    /// # Errors
    ///
    /// The store failed, or an execution is damaged.
    pub async fn executions(
        &self,
        workspace: &Name,
        before: Option<Id>,
        limit: usize,
        wanted: &ExecutionFilter,
    ) -> Result<Page<Summary>, StoreError> {
        let (of, wanted) = (workspace.clone(), wanted.clone());
        self.read_much(workspace, move |store| {
            let Some(ids) = before_and(before, wanted.time.ids()) else { return Ok(Page::default()) };
            let engine = &store.engine;
            let rows = engine.rows_of_executions(&of, &wanted)?;
            let key_of = |id| key::execution(&of, ExecutionId::from_bytes(id));
            page(
                limit,
                engine.places(key::executions(&of), rows, &ids)?,
                |id, slot| engine.value_of(&key_of(id), slot),
                |id, value| Ok(Some(journal::summary(&key_of(id), value)?).filter(|summary| wanted.accepts(summary))),
            )
        })
        .await
    }

    /// Tickets that are wanted, newest first, older than `before`. A page may have fewer than there are, as above.
    ///
    /// # Errors
    ///
    /// The store failed, or a record is damaged.
    pub async fn tickets(
        &self,
        workspace: &Name,
        before: Option<Id>,
        limit: usize,
        wanted: &TicketFilter,
    ) -> Result<Page<TicketRecord>, StoreError> {
        let (of, wanted) = (workspace.clone(), wanted.clone());
        self.read_much(workspace, move |store| {
            let Some(ids) = before_and(before, [0; 16]..=[0xff; 16]) else { return Ok(Page::default()) };
            let (engine, key_of) = (&store.engine, |id| key::ticket(&of, TicketId::from_bytes(id)));
            page(
                limit,
                engine.newest(key::tickets(&of), &ids),
                |id, slot| engine.index.value_at(&key_of(id), slot),
                |id, value| Ok(Some(parse(&key_of(id), value)?).filter(|ticket| wanted.accepts(ticket))),
            )
        })
        .await
    }
}

impl Engine {
    /// The ids at the end of the keys with a prefix, newest first, with where their values are.
    fn newest(
        &self,
        prefix: Vec<u8>,
        ids: &RangeInclusive<Id>,
    ) -> impl Iterator<Item = Result<(Id, Slot), StoreError>> + use<'_> {
        let (start, end) = ([&prefix[..], ids.start()].concat(), [&prefix[..], ids.end(), &[0]].concat());
        self.index.scan(start, end, true).map(move |found| {
            let (key, slot) = found?;
            let id = key.get(prefix.len()..).and_then(|id| id.try_into().ok());
            Ok((id.ok_or_else(|| StoreError::damaged(&key, "its key is not one".to_owned()))?, slot))
        })
    }

    /// The ids alone.
    pub(super) fn ids(
        &self,
        prefix: Vec<u8>,
        ids: &RangeInclusive<Id>,
    ) -> impl Iterator<Item = Result<Id, StoreError>> + use<'_> {
        self.newest(prefix, ids).map(|found| found.map(|(id, _)| id))
    }

    /// Where what is wanted may be, newest first: in these rows, as far as what is in them is in order, and anywhere where there are none.
    fn places(
        &self,
        prefix: Vec<u8>,
        rows: Option<Vec<Vec<u8>>>,
        ids: &RangeInclusive<Id>,
    ) -> Result<Places<'_>, StoreError> {
        let known = |found: Result<(Id, Slot), StoreError>| found.map(|(id, slot)| (id, Some(slot)));
        let Some((rows, last)) = rows.zip(self.last_unordered()?) else {
            return Ok(Box::new(self.newest(prefix, ids).map(known)));
        };
        let (from, to) = (*ids.start(), *ids.end());
        let first = u128::from_be_bytes(last).saturating_add(1).to_be_bytes();
        let in_order = rows.into_iter().map(|row| self.ids(row, &(from.max(first)..=to)));
        let others = self.newest(prefix, &(from..=to.min(last)));
        // The value is not that of the key in the row.
        let in_order = Merged::of(in_order).map(|found| found.map(|(id, _)| (id, None)));
        Ok(Box::new(in_order.chain(others.map(known))))
    }

    fn value_of(&self, key: &[u8], slot: Option<Slot>) -> Result<Option<Vec<u8>>, StoreError> {
        slot.map_or_else(|| self.index.value(key), |slot| self.index.value_at(key, slot))
    }

    /// The rows that have what is wanted; `None` when everything has to be looked at.
    fn rows_of_callbacks(&self, workspace: &Name, wanted: &CallbackFilter) -> Result<Option<Vec<Vec<u8>>>, StoreError> {
        if wanted.outcomes.is_empty() && wanted.flow.is_none() {
            return Ok(None);
        }
        let with =
            Outcome::ALL.into_iter().filter(|outcome| wanted.outcomes.is_empty() || wanted.outcomes.contains(outcome));
        self.rows(with.map(|outcome| key::callbacks_with(workspace, outcome)), wanted.flow.as_ref())
    }

    fn rows_of_executions(
        &self,
        workspace: &Name,
        wanted: &ExecutionFilter,
    ) -> Result<Option<Vec<Vec<u8>>>, StoreError> {
        if wanted.statuses.is_empty() && wanted.flow.is_none() {
            return Ok(None);
        }
        let is_wanted = |status: &Status| wanted.statuses.is_empty() || wanted.statuses.contains(status);
        let with = Status::ALL.into_iter().filter(|status| is_wanted(status) && *status != Status::Running);
        let rows = self.rows(with.map(|status| key::executions_with(workspace, status)), wanted.flow.as_ref())?;
        // Those that run are few, and in a row of their own.
        let running = is_wanted(&Status::Running).then(|| key::running_of(workspace));
        Ok(rows.map(|rows| rows.into_iter().chain(running).collect()))
    }

    /// The rows of a flow, or of every flow that has one; `None` when there are too many.
    pub(super) fn rows(
        &self,
        with: impl Iterator<Item = Vec<u8>>,
        flow: Option<&Name>,
    ) -> Result<Option<Vec<Vec<u8>>>, StoreError> {
        let mut rows = Vec::new();
        for with in with {
            if flow.is_some() {
                rows.push(key::of_flow(with, flow));
                continue;
            }
            let end = key::after_prefix(&with);
            let mut start = with;
            while let Some(found) = self.index.scan(start, end.clone(), false).next() {
                let (row, _) = before_id(&found?.0)?;
                start = key::after_prefix(&row);
                rows.push(row);
                if rows.len() > ROWS_MAX {
                    return Ok(None);
                }
            }
        }
        Ok(Some(rows))
    }

    /// What has a higher id than this is in its row.
    pub(super) fn last_unordered(&self) -> Result<Option<Id>, StoreError> {
        let last: Option<Uuid> = self.get(&[key::LAST_UNORDERED])?;
        Ok(last.map(Uuid::into_bytes))
    }

    /// What says up to where there are records of a version that had no rows: once, before this one writes any.
    pub(super) fn unordered(&self) -> Result<Vec<Operation>, StoreError> {
        let mut last = Id::default();
        if self.last_unordered()?.is_some() {
            return Ok(Vec::new());
        }
        for kind in [key::CALLBACK, key::EXECUTION] {
            let mut start = vec![kind];
            while let Some(found) = self.index.scan(start, vec![kind + 1], false).next() {
                let (of_workspace, _) = before_id(&found?.0)?;
                start = key::after_prefix(&of_workspace);
                if let Some(found) = self.index.scan(of_workspace, start.clone(), true).next() {
                    last = last.max(before_id(&found?.0)?.1);
                }
            }
        }
        let mut operations = Vec::new();
        put(&mut operations, vec![key::LAST_UNORDERED], &Uuid::from_bytes(last))?;
        Ok(operations)
    }
}

fn before_id(key: &[u8]) -> Result<(Vec<u8>, Id), StoreError> {
    let (before, id) = key::before_id(key).ok_or_else(|| StoreError::damaged(key, "its key is not one".to_owned()))?;
    Ok((before.to_vec(), *id))
}

/// Several rows of ids as one, newest first, each once, with the number of its row.
pub(super) struct Merged<I> {
    rows: Vec<I>,
    /// The next of each row.
    next: BinaryHeap<(Id, usize)>,
    last: Option<Id>,
    failure: Option<StoreError>,
}

impl<I: Iterator<Item = Result<Id, StoreError>>> Merged<I> {
    pub(super) fn of(rows: impl Iterator<Item = I>) -> Self {
        let mut merged = Self { rows: rows.collect(), next: BinaryHeap::new(), last: None, failure: None };
        for row in 0..merged.rows.len() {
            merged.fetch(row);
        }
        merged
    }

    fn fetch(&mut self, row: usize) {
        match self.rows.get_mut(row).and_then(Iterator::next) {
            Some(Ok(id)) => self.next.push((id, row)),
            Some(Err(error)) => self.failure = Some(error),
            None => {}
        }
    }
}

impl<I: Iterator<Item = Result<Id, StoreError>>> Iterator for Merged<I> {
    type Item = Result<(Id, usize), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(failure) = self.failure.take() {
                return Some(Err(failure));
            }
            let (id, row) = self.next.pop()?;
            self.fetch(row);
            if self.last.replace(id) != Some(id) {
                return Some(Ok((id, row)));
            }
        }
    }
}

/// Ids, newest first, with where their values are, as far as that is known.
type Places<'e> = Box<dyn Iterator<Item = Result<(Id, Option<Slot>), StoreError>> + 'e>;

/// Ids that are older than one, too; `None` when there are none.
fn before_and(before: Option<Id>, ids: RangeInclusive<Id>) -> Option<RangeInclusive<Id>> {
    let Some(before) = before else { return Some(ids).filter(|ids| !ids.is_empty()) };
    let to = u128::from_be_bytes(before).checked_sub(1)?.to_be_bytes();
    Some(*ids.start()..=to.min(*ids.end())).filter(|ids| !ids.is_empty())
}

/// Where a callback is.
enum Either {
    Stored(Option<Slot>),
    Recent(Place),
}

/// What is in the one place and what is in the other, newest first, each once.
fn both(
    stored: impl Iterator<Item = Result<(Id, Option<Slot>), StoreError>>,
    recent: Vec<(Id, Place)>,
) -> impl Iterator<Item = Result<(Id, Either), StoreError>> {
    let (mut stored, mut recent) = (stored.peekable(), recent.into_iter().peekable());
    std::iter::from_fn(move || {
        let of_stored = match stored.peek() {
            Some(Ok((id, _))) => Some(*id),
            Some(Err(_)) => return stored.next().map(|found| found.map(|(id, slot)| (id, Either::Stored(slot)))),
            None => None,
        };
        if let Some((id, place)) = recent.next_if(|(id, _)| of_stored.is_none_or(|of_stored| *id > of_stored)) {
            return Some(Ok((id, Either::Recent(place))));
        }
        recent.next_if(|(id, _)| of_stored == Some(*id));
        stored.next().map(|found| found.map(|(id, slot)| (id, Either::Stored(slot))))
    })
}

/// Looks at records in their order until a page is full, or it has looked at enough.
fn page<P, T>(
    limit: usize,
    places: impl Iterator<Item = Result<(Id, P), StoreError>>,
    mut read: impl FnMut(Id, P) -> Result<Option<Vec<u8>>, StoreError>,
    show: impl Fn(Id, &[u8]) -> Result<Option<T>, StoreError>,
) -> Result<Page<T>, StoreError> {
    let mut page = Page::default();
    let (mut last, mut bytes) = (None, 0);
    for (scanned, found) in places.enumerate() {
        if page.items.len() == limit || scanned == SCANNED_MAX || bytes >= READ_BYTES {
            page.next = last;
            break;
        }
        let (id, place) = found?;
        last = Some(id);
        // What goes while it is read is left out.
        if let Some(value) = read(id, place)? {
            bytes += value.len();
            page.items.extend(show(id, &value)?);
        }
    }
    Ok(page)
}

#[cfg(test)]
mod tests;

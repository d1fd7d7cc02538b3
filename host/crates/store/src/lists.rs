//! Lists, newest first: in which order records are looked at, and how far one page goes.

use super::engine::{Engine, parse};
use super::index::Slot;
use super::recent::Place;
use super::{CallbackFilter, ExecutionFilter, Page, Store, StoreError, TicketFilter, journal, key};
use ringback_records::journal::Summary;
use ringback_records::name::{CallbackId, ExecutionId, Name, TicketId};
use ringback_records::outcome::CallbackRecord;
use ringback_records::summary::CallbackSummary;
use ringback_records::ticket::TicketRecord;
use std::ops::RangeInclusive;

/// The id of what is listed: its time, and then chance.
pub(super) type Id = [u8; 16];

/// Most records that one page looks at: a filter that accepts little must not read the whole store.
pub(super) const SCANNED_MAX: usize = 10_000;
/// Bytes of records that are enough for one page to look at.
const READ_BYTES: usize = 64 << 20;

impl Store {
    /// Callbacks that are wanted, newest first, older than `before`. A page may have fewer than there are, or none: where `next`
    /// says, the others are.
    pub fn callbacks(
        &self,
        workspace: &Name,
        before: Option<Id>,
        limit: usize,
        wanted: &CallbackFilter,
    ) -> Result<Page<CallbackSummary>, StoreError> {
        let Some(ids) = before_and(before, wanted.time.ids()) else { return Ok(Page::default()) };
        let stored = self.engine.newest(key::callbacks(workspace), &ids);
        let may_accept = |flow: Option<&Name>, outcome| wanted.may_accept(flow, outcome);
        // One more says that there are others.
        let recent = self.recent.newest(workspace, may_accept, &ids, SCANNED_MAX + 1)?;
        let mut reader = self.recent.reader();
        let key_of = |id| key::callback(workspace, CallbackId::from_bytes(id));
        page(
            limit,
            both(stored, recent),
            |id, place| match place {
                Either::Stored(slot) => self.engine.index.value_at(&key_of(id), slot),
                Either::Recent(place) => reader.read(id, &place),
            },
            |id, value| {
                let record: CallbackRecord = parse(&key_of(id), value)?;
                Ok(wanted.accepts(&record).then(|| record.into()))
            },
        )
    }

    /// Executions that are wanted, newest first, older than `before`. A page may have fewer than there are, as above.
    pub fn executions(
        &self,
        workspace: &Name,
        before: Option<Id>,
        limit: usize,
        wanted: &ExecutionFilter,
    ) -> Result<Page<Summary>, StoreError> {
        let Some(ids) = before_and(before, wanted.time.ids()) else { return Ok(Page::default()) };
        let key_of = |id| key::execution(workspace, ExecutionId::from_bytes(id));
        page(
            limit,
            self.engine.newest(key::executions(workspace), &ids),
            |id, slot| self.engine.index.value_at(&key_of(id), slot),
            |id, value| Ok(Some(journal::summary(&key_of(id), value)?).filter(|summary| wanted.accepts(summary))),
        )
    }

    /// Tickets that are wanted, newest first, older than `before`. A page may have fewer than there are, as above.
    pub fn tickets(
        &self,
        workspace: &Name,
        before: Option<Id>,
        limit: usize,
        wanted: &TicketFilter,
    ) -> Result<Page<TicketRecord>, StoreError> {
        let Some(ids) = before_and(before, [0; 16]..=[0xff; 16]) else { return Ok(Page::default()) };
        let key_of = |id| key::ticket(workspace, TicketId::from_bytes(id));
        page(
            limit,
            self.engine.newest(key::tickets(workspace), &ids),
            |id, slot| self.engine.index.value_at(&key_of(id), slot),
            |id, value| Ok(Some(parse(&key_of(id), value)?).filter(|ticket| wanted.accepts(ticket))),
        )
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
}

/// Ids that are older than one, too; `None` when there are none.
fn before_and(before: Option<Id>, ids: RangeInclusive<Id>) -> Option<RangeInclusive<Id>> {
    let Some(before) = before else { return Some(ids).filter(|ids| !ids.is_empty()) };
    let to = u128::from_be_bytes(before).checked_sub(1)?.to_be_bytes();
    Some(*ids.start()..=to.min(*ids.end())).filter(|ids| !ids.is_empty())
}

/// Where a callback is.
enum Either {
    Stored(Slot),
    Recent(Place),
}

/// What is in the one place and what is in the other, newest first, each once.
fn both(
    stored: impl Iterator<Item = Result<(Id, Slot), StoreError>>,
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

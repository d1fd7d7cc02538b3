//! How many callbacks came, by time, flow and outcome: counted in the rows that lists are read by, without their records.

use super::lists::{Id, Merged};
use super::{Store, StoreError, TimeRange, key};
use ringback_records::name::Name;
use ringback_records::outcome::Outcome;
use ringback_records::time::Timestamp;
use std::collections::HashMap;
use std::time::Duration;

/// How many came in a part of the time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count {
    /// Which part, from the first on.
    pub part: usize,
    pub flow: Option<Name>,
    pub outcome: Outcome,
    pub count: u64,
}

/// What was counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Where there are none, nothing is said.
    pub counts: Vec<Count>,
    /// What came before this was not counted, since it is too much, or has no rows.
    pub from: Option<Timestamp>,
}

type Ids<'s> = Box<dyn Iterator<Item = Result<Id, StoreError>> + 's>;

impl Store {
    /// Counts callbacks from the newest on, in parts of the time of so long: at most so many.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn counts(
        &self,
        workspace: &Name,
        flow: Option<&Name>,
        time: TimeRange,
        part: Duration,
        most: usize,
    ) -> Result<Counts, StoreError> {
        let (of, flow) = (workspace.clone(), flow.cloned());
        self.read_much(workspace, move |store| store.count(&of, flow.as_ref(), time, part, most)).await
    }

    fn count(
        &self,
        workspace: &Name,
        flow: Option<&Name>,
        time: TimeRange,
        part: Duration,
        most: usize,
    ) -> Result<Counts, StoreError> {
        let mut ids = time.ids();
        if ids.is_empty() {
            return Ok(Counts::default());
        }
        let nothing = || Counts { counts: Vec::new(), from: time.until.or(Some(Timestamp::now())) };
        let since = time.since.unwrap_or_default();
        let mut counted_from = None;
        match self.engine.last_unordered()? {
            None => return Ok(nothing()),
            Some(last) if last >= *ids.start() => {
                counted_from = Some(Timestamp::from_millis(millis(last) + 1));
                ids = u128::from_be_bytes(last).saturating_add(1).to_be_bytes()..=*ids.end();
            }
            Some(_) => {}
        }
        let mut kinds: Vec<(Option<Name>, Outcome)> = Vec::new();
        let mut rows: Vec<Ids<'_>> = Vec::new();
        for outcome in Outcome::ALL {
            let with = key::callbacks_with(workspace, outcome);
            let Some(found) = self.engine.rows(std::iter::once(with.clone()), flow)? else { return Ok(nothing()) };
            for row in found {
                kinds.push((key::flow_of(&row, &with), outcome));
                rows.push(Box::new(self.engine.ids(row, &ids)));
            }
        }
        for (flow, outcome, ids) in self.recent.ids(workspace, flow, &ids)? {
            kinds.push((flow, outcome));
            rows.push(Box::new(ids.into_iter().map(Ok)));
        }
        let part = u64::try_from(part.as_millis()).unwrap_or(u64::MAX).max(1);
        let mut counted: HashMap<(usize, usize), u64> = HashMap::new();
        for (number, found) in Merged::of(rows.into_iter()).enumerate() {
            let (id, row) = found?;
            let at = millis(id);
            if number == most {
                counted_from = Some(Timestamp::from_millis(at + 1));
                break;
            }
            let part = usize::try_from(at.saturating_sub(since.as_millis()) / part).unwrap_or(usize::MAX);
            *counted.entry((part, row)).or_default() += 1;
        }
        let counts = counted.into_iter().filter_map(|((part, row), count)| {
            let (flow, outcome) = kinds.get(row)?.clone();
            Some(Count { part, flow, outcome, count })
        });
        let mut counts: Vec<Count> = counts.collect();
        counts
            .sort_unstable_by(|a, b| (a.part, &a.flow, a.outcome.as_str()).cmp(&(b.part, &b.flow, b.outcome.as_str())));
        // What is stored and what is in the ring are two rows.
        counts.dedup_by(|later, count| {
            let same = (later.part, &later.flow, later.outcome) == (count.part, &count.flow, count.outcome);
            count.count += if same { later.count } else { 0 };
            same
        });
        Ok(Counts { counts, from: counted_from })
    }
}

/// When an id was made.
fn millis(id: Id) -> u64 {
    u64::try_from(u128::from_be_bytes(id) >> 80).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{Count, Counts};
    use crate::{Store, StoreOptions, TimeRange, Write};
    use ringback_records::name::{CallbackId, Name};
    use ringback_records::outcome::{CallbackRecord, Outcome};
    use ringback_records::time::Timestamp;
    use std::collections::BTreeMap;
    use std::time::Duration;

    const START: u64 = 1_769_846_400_000;

    fn record(at: u64, number: u8, flow: Option<&str>, outcome: Outcome) -> CallbackRecord {
        let mut id = [number; 16];
        id[..6].copy_from_slice(&(START + at).to_be_bytes()[2..]);
        let flow = flow.map(|flow| flow.parse().unwrap());
        CallbackRecord { id: CallbackId::from_bytes(id), flow, outcome, ..CallbackRecord::for_testing() }
    }

    #[tokio::test]
    async fn what_is_stored_and_what_nobody_was_promised_is_counted_once_from_the_newest_on() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), StoreOptions { cache_bytes: 16 << 20, ..StoreOptions::default() });
        let (store, workspace) = (store.unwrap(), Name::default_name());
        store.renew().await.unwrap();
        let (mut expected, mut number) = (BTreeMap::new(), 0);
        for part in 0..6_usize {
            for flow in [Some("a"), Some("a-b"), None] {
                for outcome in [Outcome::Started, Outcome::Ignored, Outcome::Failed] {
                    number += 1;
                    let record = record(part as u64 * 1000 + u64::from(number), number, flow, outcome);
                    // Ones that fail are of both kinds, and one of them was kept in the ring before it was stored.
                    if outcome == Outcome::Ignored || (outcome == Outcome::Failed && part % 2 == 0) {
                        assert!(store.keep_recent(&workspace, &record));
                    }
                    if outcome == Outcome::Started || (outcome == Outcome::Failed && (part % 2 == 1 || part == 4)) {
                        let (workspace, record) = (workspace.clone(), Box::new(record));
                        store.commit(vec![Write::PutCallback { workspace, before: None, record }]).await.unwrap();
                    }
                    expected.insert((part, flow, outcome.as_str()), 1);
                }
            }
        }
        let time = |since, until| TimeRange {
            since: Some(Timestamp::from_millis(START + since)),
            until: Some(Timestamp::from_millis(START + until)),
        };
        let count = async |flow: Option<&str>, time, most| -> Counts {
            let flow = flow.map(|flow| flow.parse().unwrap());
            store.counts(&workspace, flow.as_ref(), time, Duration::from_secs(1), most).await.unwrap()
        };
        let all = count(None, time(0, 6000), 100).await;
        assert_eq!(all.from, None);
        let of = |Count { part, flow, outcome, count }: &Count| {
            ((*part, flow.as_ref().map(ToString::to_string), outcome.as_str()), *count)
        };
        let expected: BTreeMap<_, u64> = expected
            .into_iter()
            .map(|((part, flow, outcome), n)| ((part, flow.map(str::to_owned), outcome), n))
            .collect();
        assert_eq!(all.counts.iter().map(of).collect::<BTreeMap<_, _>>(), expected);
        assert_eq!(all.counts.len(), expected.len());
        let other = store.counts(&"other".parse().unwrap(), None, time(0, 6000), Duration::from_secs(1), 100).await;
        assert_eq!(other.unwrap(), Counts::default());
        let sum = |counts: &Counts| counts.counts.iter().map(|count| count.count).sum::<u64>();
        assert_eq!(sum(&count(Some("a"), time(0, 6000), 100).await), 18);
        assert_eq!(sum(&count(None, time(1000, 3000), 100).await), 18);
        assert_eq!(count(None, time(6000, 7000), 100).await, Counts::default());
        assert_eq!(count(None, time(7000, 6000), 100).await, Counts::default());
        // The newest, and from where on.
        let some = count(None, time(0, 6000), 20).await;
        assert_eq!(sum(&some), 20);
        assert!(some.counts.iter().all(|count| count.part >= 3));
        let from = some.from.unwrap();
        assert_eq!(sum(&count(None, TimeRange { since: Some(from), until: None }, 100).await), 20);
    }
}

//! The entries of the index in sled. What comes in order of time comes with its neighbours, and those share a value, a block: sled copies
//! a leaf for each of its keys that changes.
//!
//! A block has the entries from its own key up to the next block's. Its first entry may be behind its key, and blocks hold one kind each.

use super::slot::{SLOT_BYTES, Slot};
use super::{StoreError, key};
use std::iter::Peekable;
use std::ops::Bound::{Excluded, Unbounded};

const FORMAT: u8 = 2;
/// Entries that a block holds at most. More would be fewer of sled's keys, and more bytes for who changes one entry among old ones.
const ENTRIES_MAX: usize = 16;
/// Changes of one block that are taken at a time.
const RUN_MAX: usize = 512;
const CHECKSUM_BYTES: usize = 4;

/// An entry of the index.
pub(super) type Entry = (Vec<u8>, Slot);

/// What a run of changes came to.
#[derive(Default)]
pub(super) struct Merged {
    /// Values of sled that are written or removed.
    pub(super) writes: usize,
    /// Bytes of the log that are needed from now on, and those that are not any more.
    pub(super) added: u64,
    pub(super) removed: u64,
    /// There may be more changes of the same block: it is read again, when the batch is there.
    pub(super) is_cut: bool,
}

/// Entries by key, in blocks.
pub(super) struct Blocks {
    db: sled::Db,
}

impl Blocks {
    pub(super) fn new(db: sled::Db) -> Self {
        Self { db }
    }

    /// The slot of a key.
    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Slot>, StoreError> {
        let Some((bound, block)) = self.block_of(key)? else { return Ok(None) };
        let mut entries = Entries::new(&bound, &block)?;
        while let Some(slot) = entries.advance()? {
            if entries.key.as_slice() >= key {
                return Ok((entries.key == key).then_some(slot));
            }
        }
        Ok(None)
    }

    /// At most `count` entries from `start` on and before `end`: the first ones in order, or the last ones backwards.
    pub(super) fn page(
        &self,
        start: &[u8],
        end: &[u8],
        count: usize,
        backwards: bool,
    ) -> Result<Vec<Entry>, StoreError> {
        let first = self.block_of(start)?.map_or_else(|| start.into(), |(bound, _)| bound);
        let mut blocks = self.db.range(first.as_ref()..end);
        let mut page = Vec::new();
        while page.len() < count
            && let Some(block) = if backwards { blocks.next_back() } else { blocks.next() }
        {
            let (bound, block) = block.map_err(failed)?;
            let mut within = Vec::new();
            let mut entries = Entries::new(&bound, &block)?;
            while let Some(slot) = entries.advance()? {
                if entries.key.as_slice() >= start && entries.key.as_slice() < end {
                    within.push((entries.key.clone(), slot));
                }
            }
            if backwards {
                within.reverse();
            }
            page.extend(within);
        }
        page.truncate(count);
        Ok(page)
    }

    /// Takes the next changes, as far as they fall into one block, and adds what becomes of it to a batch.
    pub(super) fn merge<'c>(
        &self,
        changes: &mut Peekable<impl Iterator<Item = (&'c Vec<u8>, &'c Option<Slot>)>>,
        batch: &mut sled::Batch,
    ) -> Result<Merged, StoreError> {
        let Some((first, _)) = changes.peek() else { return Ok(Merged::default()) };
        let first = first.as_slice();
        let block = self.block_of(first)?;
        let bound = block.as_ref().map_or(first, |(bound, _)| bound.as_ref());
        let end = self.db.range::<&[u8], _>((Excluded(bound), Unbounded)).next().transpose().map_err(failed)?;
        let is_here =
            |key: &[u8]| key.first() == first.first() && end.as_ref().is_none_or(|(next, _)| key < next.as_ref());
        let old = match &block {
            Some((bound, block)) => Entries::new(bound, block)?.collect()?,
            None => Vec::new(),
        };
        let is_appended = old.last().is_none_or(|(last, _)| last.as_slice() < first);

        let mut merged = Merged::default();
        let mut entries = Vec::with_capacity(old.len() + 1);
        let mut old = old.into_iter().peekable();
        let mut taken = 0;
        while taken < RUN_MAX
            && let Some((key, slot)) = changes.next_if(|(key, _)| is_here(key))
        {
            taken += 1;
            while let Some(before) = old.next_if(|(old, _)| old < key) {
                entries.push(before);
            }
            if let Some((_, replaced)) = old.next_if(|(old, _)| old == key) {
                merged.removed += replaced.weight(key);
            }
            if let Some(slot) = slot {
                merged.added += slot.weight(key);
                entries.push((key.clone(), *slot));
            }
        }
        entries.extend(old);
        merged.is_cut = taken == RUN_MAX;

        let before = block.as_ref().map(|(_, bytes)| bytes.as_ref());
        merged.writes = put(bound, before, &entries, is_appended, batch);
        Ok(merged)
    }

    /// The block that a key falls into.
    fn block_of(&self, key: &[u8]) -> Result<Option<(sled::IVec, sled::IVec)>, StoreError> {
        let found = self.db.range(..=key).next_back().transpose().map_err(failed)?;
        Ok(found.filter(|(bound, _)| bound.first() == key.first()))
    }
}

/// Writes the entries of a block, in as many as they need, and returns how many of them are new to sled. `before` is what it was.
fn put(bound: &[u8], before: Option<&[u8]>, entries: &[Entry], is_appended: bool, batch: &mut sled::Batch) -> usize {
    let Some((first, _)) = entries.first() else {
        if before.is_some() {
            batch.remove(bound);
        }
        return before.is_some().into();
    };
    let max = if key::is_in_order_of_time(first) { ENTRIES_MAX } else { 1 };
    let size = match entries.len() {
        // In the middle of others there will be more; at the end, the next ones are behind.
        count if count > max && count <= 2 * max && !is_appended => count.div_ceil(2),
        _ => max,
    };
    let mut writes = 0;
    for (number, part) in entries.chunks(size).enumerate() {
        let key = match part.first() {
            Some((key, _)) if number > 0 => key,
            _ => bound,
        };
        let bytes = encode(key, part);
        if number > 0 || before != Some(bytes.as_slice()) {
            batch.insert(key, bytes);
            writes += 1;
        }
    }
    writes
}

#[expect(clippy::needless_pass_by_value, reason = "it is an argument of map_err")]
fn failed(error: sled::Error) -> StoreError {
    StoreError::Read(error.to_string())
}

fn checksum(bound: &[u8], bytes: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(bound);
    crc.update(bytes);
    crc.finalize()
}

/// An entry is its key, without what it has in common with the one before, and its slot: four numbers.
fn encode(bound: &[u8], entries: &[Entry]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(64 * entries.len());
    bytes.push(FORMAT);
    let mut before: &[u8] = bound;
    for (key, slot) in entries {
        let shared = before.iter().zip(key).take_while(|(one, other)| one == other).count();
        let shared = shared.min(u16::MAX.into());
        let own = key.get(shared..).unwrap_or_default();
        for length in [shared, own.len()] {
            bytes.extend_from_slice(&u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes());
        }
        bytes.extend_from_slice(own);
        bytes.extend_from_slice(&slot.encode());
        before = key;
    }
    bytes.extend_from_slice(&checksum(bound, &bytes).to_be_bytes());
    bytes
}

/// Reads the entries of a block, one after the other.
struct Entries<'b> {
    bound: &'b [u8],
    /// The key of the entry that was read last.
    key: Vec<u8>,
    rest: &'b [u8],
}

impl<'b> Entries<'b> {
    fn new(bound: &'b [u8], block: &'b [u8]) -> Result<Self, StoreError> {
        let damaged = |problem: &str| StoreError::damaged(bound, problem.to_owned());
        let (bytes, crc) =
            block.split_last_chunk::<CHECKSUM_BYTES>().ok_or_else(|| damaged("its block is too short"))?;
        if checksum(bound, bytes) != u32::from_be_bytes(*crc) {
            return Err(damaged("the checksum of its block is wrong"));
        }
        match bytes.split_first() {
            Some((&FORMAT, rest)) => Ok(Self { bound, key: bound.to_vec(), rest }),
            _ => Err(damaged("its block has an unknown format")),
        }
    }

    /// The next slot; its key is in `key`.
    fn advance(&mut self) -> Result<Option<Slot>, StoreError> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        match self.read() {
            Some(slot) => Ok(Some(slot)),
            None => Err(StoreError::damaged(self.bound, "its block ends early".to_owned())),
        }
    }

    fn read(&mut self) -> Option<Slot> {
        let (shared, rest) = self.rest.split_first_chunk()?;
        let (own, rest) = rest.split_first_chunk()?;
        let (own, rest) = rest.split_at_checked(u16::from_be_bytes(*own).into())?;
        let (slot, rest) = rest.split_first_chunk::<SLOT_BYTES>()?;
        self.key.truncate(u16::from_be_bytes(*shared).into());
        self.key.extend_from_slice(own);
        self.rest = rest;
        Some(Slot::decode(slot))
    }

    fn collect(mut self) -> Result<Vec<Entry>, StoreError> {
        let mut entries = Vec::with_capacity(ENTRIES_MAX);
        while let Some(slot) = self.advance()? {
            entries.push((self.key.clone(), slot));
        }
        Ok(entries)
    }
}

#[cfg(test)]
mod tests {
    use super::{Blocks, ENTRIES_MAX, Entry, RUN_MAX};
    use crate::StoreError;
    use crate::key;
    use crate::log::Position;
    use crate::slot::Slot;
    use std::collections::BTreeMap;

    type Changes = BTreeMap<Vec<u8>, Option<Slot>>;

    fn slot(number: u32) -> Slot {
        Slot { revision: number, at: Position { segment: 1, offset: u64::from(number) }, length: number % 7 }
    }

    fn opened() -> (sled::Db, Blocks) {
        let db = sled::Config::new().temporary(true).open().unwrap();
        (db.clone(), Blocks::new(db))
    }

    /// What is added, less what is not needed any more.
    fn apply(db: &sled::Db, blocks: &Blocks, changes: &Changes) -> i64 {
        let mut changes = changes.iter().peekable();
        let mut weight = 0;
        while changes.peek().is_some() {
            let mut batch = sled::Batch::default();
            let merged = blocks.merge(&mut changes, &mut batch).unwrap();
            db.apply_batch(batch).unwrap();
            weight += merged.added.cast_signed() - merged.removed.cast_signed();
        }
        weight
    }

    /// Portions of changes, in order of time and anywhere, with removals, hold what a map holds, whatever is asked.
    #[test]
    fn blocks_hold_what_a_map_holds() {
        let (db, blocks) = opened();
        let mut map = BTreeMap::<Vec<u8>, Slot>::new();
        let mut state = 7_u32;
        let mut random = move |below: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) % below
        };
        let kinds = [key::CALLBACK, key::CALLBACK_BY, key::STATE, key::DELIVERY];
        let mut weight = 0;
        for round in 0..120_u32 {
            let mut changes = Changes::new();
            for number in 0..random(if round % 20 == 0 { 3000 } else { 60 }) {
                let kind = kinds[random(4) as usize];
                let name = if round % 3 == 0 { 10_000 * round + number } else { random(30_000) };
                let key = [&[kind], name.to_be_bytes().as_slice(), &b"abc"[..random(4) as usize]].concat();
                changes.insert(key, (random(3) > 0).then(|| slot(random(1_000_000))));
            }
            // Whole stretches go, as what is over does.
            for key in map.keys().skip(random(500) as usize).take(random(40) as usize) {
                changes.insert(key.clone(), None);
            }
            weight += apply(&db, &blocks, &changes);
            for (key, change) in changes {
                match change {
                    Some(slot) => map.insert(key, slot),
                    None => map.remove(&key),
                };
            }
            let expected: u64 = map.iter().map(|(key, slot)| slot.weight(key)).sum();
            assert_eq!(weight, expected.cast_signed());
            for key in map.keys().step_by(17) {
                assert_eq!(blocks.get(key).unwrap().as_ref(), map.get(key));
                assert_eq!(blocks.get(&[key, [0].as_slice()].concat()).unwrap(), None);
            }
            for _ in 0..20 {
                let mut end = || [&[kinds[random(4) as usize]], random(400_000).to_be_bytes().as_slice()].concat();
                let (start, end) = (end(), end());
                if start > end {
                    continue;
                }
                let count = 1 + random(200) as usize;
                let of = |(key, slot): (&Vec<u8>, &Slot)| (key.clone(), *slot);
                let range = || map.range(start.clone()..end.clone());
                let forwards: Vec<Entry> = range().take(count).map(of).collect();
                assert_eq!(blocks.page(&start, &end, count, false).unwrap(), forwards);
                let backwards: Vec<Entry> = range().rev().take(count).map(of).collect();
                assert_eq!(blocks.page(&start, &end, count, true).unwrap(), backwards);
            }
        }
        let all = map.keys().map(|key| (key.clone(), None)).collect();
        assert_eq!(apply(&db, &blocks, &all), -weight);
        assert!(db.is_empty());
    }

    /// What comes in order fills its blocks, one by one or in portions; what comes anywhere has a block each.
    #[test]
    fn neighbours_in_time_share_blocks() {
        for portion in [1, 5, 2 * RUN_MAX] {
            let (db, blocks) = opened();
            let numbers: Vec<u32> = (0..3000).collect();
            for numbers in numbers.chunks(portion) {
                let key = |number: &u32| [&[key::EXECUTION], number.to_be_bytes().as_slice()].concat();
                apply(&db, &blocks, &numbers.iter().map(|number| (key(number), Some(slot(*number)))).collect());
            }
            assert_eq!(db.len(), 3000_usize.div_ceil(ENTRIES_MAX), "{portion}");
        }
        let (db, blocks) = opened();
        let key = |number: u32| [&[key::DELIVERY], number.to_be_bytes().as_slice()].concat();
        apply(&db, &blocks, &(0..300).map(|number| (key(number), Some(slot(number)))).collect());
        assert_eq!(db.len(), 300);
    }

    #[test]
    fn a_damaged_block_is_noticed() {
        let (db, blocks) = opened();
        let key = |number: u8| vec![key::EXECUTION, number];
        let changes: Changes = (0..40).map(|number| (key(number), Some(slot(number.into())))).collect();
        apply(&db, &blocks, &changes);
        let (bound, bytes) = db.iter().nth(1).unwrap().unwrap();
        let next = db.iter().nth(2).unwrap().unwrap().1;
        let mut changed = bytes.to_vec();
        changed[9] ^= 1;
        for wrong in [&changed[..], &bytes[..20], &[], &next] {
            db.insert(&bound, wrong).unwrap();
            assert!(matches!(blocks.get(&key(20)), Err(StoreError::Damaged { .. })), "{wrong:?}");
            assert!(blocks.page(&key(0), &key(40), 100, false).is_err());
            assert!(blocks.merge(&mut changes.iter().peekable(), &mut sled::Batch::default()).is_ok(), "the first");
            let mut later = changes.range(key(20)..).peekable();
            assert!(blocks.merge(&mut later, &mut sled::Batch::default()).is_err());
            assert_eq!(blocks.get(&key(0)).unwrap(), Some(slot(0)));
        }
    }
}

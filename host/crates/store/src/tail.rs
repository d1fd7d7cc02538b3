//! Callbacks as they are kept, told to whoever listens.
//!
//! Of a workspace that somebody listens to, what was kept last stands in a row, each with a number. Who listens has a place in it, and takes what is
//! behind that. Nobody is waited for: who falls further behind than the row is long is told so, and looks at the list. The row stays for a while after
//! the last one has gone, so that whoever comes back goes on where he was.

use super::{CallbackFilter, Store, StoreError, Write};
use ringback_records::name::Name;
use ringback_records::outcome::CallbackRecord;
use ringback_records::summary::CallbackSummary;
use ringback_records::sync::lock;
use ringback_records::time::Timestamp;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// How many callbacks stand in a row.
const ROW_MAX: usize = 512;
/// Most who listen at the same time. A workspace gets another place while it holds fewer than are free.
const LISTENERS_MAX: usize = 32;
/// How long a row is kept that nobody listens to.
const KEPT_FOR: Duration = Duration::from_secs(60);

/// The rows of all workspaces.
#[derive(Default)]
pub(super) struct Rows {
    /// Whether there is any: nobody else pays for it.
    are_any: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    rows: HashMap<Name, Row>,
    listening: usize,
}

struct Row {
    /// The number of the next one.
    next: u64,
    callbacks: VecDeque<Arc<CallbackSummary>>,
    told: watch::Sender<u64>,
    listening: usize,
    /// When it was last of use.
    used: Instant,
}

impl Row {
    fn new() -> Self {
        // By the time, so that no number comes again: neither after a restart, nor when the row was gone for a while.
        let next = Timestamp::now().as_millis() << 20;
        Self { next, callbacks: VecDeque::new(), told: watch::Sender::new(next), listening: 0, used: Instant::now() }
    }

    fn first(&self) -> u64 {
        self.next - self.callbacks.len() as u64
    }
}

impl State {
    /// The row of a workspace, made if there is none. Those that nobody has use of go.
    fn row(&mut self, workspace: &Name) -> &mut Row {
        self.rows.retain(|name, row| name == workspace || row.listening > 0 || row.used.elapsed() < KEPT_FOR);
        let row = self.rows.entry(workspace.clone()).or_insert_with(Row::new);
        row.used = Instant::now();
        row
    }
}

impl Rows {
    /// Tells of what became durable.
    pub(super) fn tell_of(&self, writes: &[Write]) {
        if !self.are_any.load(Ordering::Relaxed) {
            return;
        }
        for write in writes {
            if let Write::PutCallback { workspace, record, .. } = write {
                self.tell(workspace, record);
            }
        }
    }

    /// Tells of a callback that is kept.
    pub(super) fn tell(&self, workspace: &Name, record: &CallbackRecord) {
        if !self.are_any.load(Ordering::Relaxed) {
            return;
        }
        let mut state = lock(&self.state);
        let Some(row) = state.rows.get_mut(workspace) else { return };
        if row.listening == 0 && row.used.elapsed() >= KEPT_FOR {
            state.rows.remove(workspace);
            self.are_any.store(!state.rows.is_empty(), Ordering::Relaxed);
            return;
        }
        if row.callbacks.len() == ROW_MAX {
            row.callbacks.pop_front();
        }
        row.callbacks.push_back(Arc::new(record.into()));
        row.next += 1;
        row.told.send_replace(row.next);
    }

    fn now(&self, workspace: &Name) -> u64 {
        let mut state = lock(&self.state);
        self.are_any.store(true, Ordering::Relaxed);
        state.row(workspace).next
    }

    fn enter(&self, workspace: &Name, from: Option<u64>) -> Option<(u64, watch::Receiver<u64>)> {
        let mut state = lock(&self.state);
        let held = state.rows.get(workspace).map_or(0, |row| row.listening);
        if held >= LISTENERS_MAX.saturating_sub(state.listening) {
            return None;
        }
        state.listening += 1;
        self.are_any.store(true, Ordering::Relaxed);
        let row = state.row(workspace);
        row.listening += 1;
        Some((from.unwrap_or(row.next), row.told.subscribe()))
    }

    fn leave(&self, workspace: &Name) {
        let mut state = lock(&self.state);
        state.listening = state.listening.saturating_sub(1);
        if let Some(row) = state.rows.get_mut(workspace) {
            row.listening = row.listening.saturating_sub(1);
            row.used = Instant::now();
        }
    }

    /// Those from a number on, the number behind them, and whether others are missing.
    fn take(&self, workspace: &Name, from: u64) -> (Vec<Arc<CallbackSummary>>, u64, bool) {
        let state = lock(&self.state);
        let Some(row) = state.rows.get(workspace) else { return (Vec::new(), from, true) };
        let first = row.first();
        if !(first..=row.next).contains(&from) {
            return (Vec::new(), row.next, true);
        }
        let skipped = usize::try_from(from - first).unwrap_or(usize::MAX);
        (row.callbacks.iter().skip(skipped).cloned().collect(), row.next, false)
    }
}

/// What came since the last time.
#[derive(Debug)]
pub struct Heard {
    /// In the order in which they were kept, each with where it goes on behind it. One that is changed later comes again.
    pub callbacks: Vec<(u64, Arc<CallbackSummary>)>,
    /// Where it goes on behind all of them, wanted or not.
    pub next: u64,
    /// Some are missing: more came than could be told, or what was known of them is gone.
    pub is_missing: bool,
}

/// Somebody who listens. Dropping it ends that.
pub struct Tail {
    store: Store,
    workspace: Name,
    wanted: CallbackFilter,
    next: u64,
    told: watch::Receiver<u64>,
}

impl Tail {
    /// Waits until something has come, wanted or not.
    pub async fn wait(&mut self) {
        let next = self.next;
        // The row is there as long as somebody listens. A place that is none is told at once.
        drop(self.told.wait_for(|told| *told != next).await);
    }

    /// What is wanted of that.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn take(&mut self) -> Result<Heard, StoreError> {
        let (came, next, is_missing) = self.store.rows.take(&self.workspace, self.next);
        self.next = next;
        let mut callbacks = Vec::new();
        let first = next - came.len() as u64;
        for (callback, behind) in came.into_iter().zip(first + 1..) {
            if !self.wanted.may_accept_summary(&callback) {
                continue;
            }
            if self.wanted.needs_record() {
                let record = self.store.callback(&self.workspace, callback.id).await?;
                if !record.is_some_and(|record| self.wanted.accepts(&record)) {
                    continue;
                }
            }
            callbacks.push((behind, callback));
        }
        Ok(Heard { callbacks, next, is_missing })
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        self.store.rows.leave(&self.workspace);
    }
}

impl Store {
    /// From where on callbacks are told that are kept from now on, by whoever listens within a minute.
    pub async fn tail_now(&self, workspace: &Name) -> u64 {
        self.rows.now(workspace)
    }

    /// Listens to callbacks that are wanted: from now on, or from where another tail has come to. `None` when too many listen.
    pub async fn tail(&self, workspace: &Name, wanted: &CallbackFilter, from: Option<u64>) -> Option<Tail> {
        let (next, told) = self.rows.enter(workspace, from)?;
        Some(Tail { store: self.clone(), workspace: workspace.clone(), wanted: wanted.clone(), next, told })
    }
}

#[cfg(test)]
mod tests {
    use super::{LISTENERS_MAX, ROW_MAX, Rows};
    use ringback_records::name::Name;
    use ringback_records::outcome::CallbackRecord;

    fn tell(rows: &Rows, workspace: &Name, count: usize) {
        (0..count).for_each(|_| rows.tell(workspace, &CallbackRecord::for_testing()));
    }

    #[test]
    fn a_workspace_gets_a_place_while_it_holds_fewer_than_are_free() {
        let rows = Rows::default();
        let name = |number: usize| -> Name { format!("w{number}").parse().unwrap() };
        let fill = |workspace: &Name| std::iter::from_fn(|| rows.enter(workspace, None)).count();
        let held: Vec<usize> = (0..7).map(|number| fill(&name(number))).collect();
        assert_eq!(held, [16, 8, 4, 2, 1, 1, 0]);
        assert_eq!(held.iter().sum::<usize>(), LISTENERS_MAX);
        rows.leave(&name(0));
        assert_eq!(fill(&name(9)), 1, "whoever comes new");
    }

    #[test]
    fn who_falls_behind_the_row_is_told_and_goes_on_at_its_end() {
        let (rows, workspace) = (Rows::default(), Name::default_name());
        tell(&rows, &workspace, 3);
        let (start, _told) = rows.enter(&workspace, None).unwrap();
        assert_eq!(rows.take(&workspace, start), (Vec::new(), start, false), "nobody listened");
        tell(&rows, &workspace, ROW_MAX);
        let (came, next, is_missing) = rows.take(&workspace, start);
        assert_eq!((came.len(), next, is_missing), (ROW_MAX, start + ROW_MAX as u64, false));
        assert_eq!(rows.take(&workspace, next - 2).0, came[ROW_MAX - 2..]);
        tell(&rows, &workspace, 1);
        assert_eq!(rows.take(&workspace, start), (Vec::new(), next + 1, true));
        assert_eq!(rows.take(&workspace, next + 2), (Vec::new(), next + 1, true), "of another time");
        assert_eq!(rows.take(&workspace, next).0.len(), 1);
    }

    #[test]
    fn what_comes_between_two_who_listen_is_in_the_row() {
        let (rows, workspace) = (Rows::default(), Name::default_name());
        let from = rows.now(&workspace);
        tell(&rows, &workspace, 2);
        tell(&rows, &"other".parse().unwrap(), 2);
        let (start, _told) = rows.enter(&workspace, Some(from)).unwrap();
        assert_eq!(rows.take(&workspace, start).0.len(), 2);
        rows.leave(&workspace);
        tell(&rows, &workspace, 1);
        assert_eq!(rows.take(&workspace, start).0.len(), 3);
    }
}

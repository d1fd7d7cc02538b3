//! The table of a catalogue: what is in force, in memory.

use super::changes::Changes;
use arc_swap::{ArcSwap, Guard};
use ringback_records::name::Name;
use ringback_store::{Page, Store, StoreError, Write};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::OwnedMutexGuard;

/// What is in force, read without waiting. It changes in one place: after the store has the change.
#[derive(Default)]
pub(super) struct Table<T> {
    in_force: Arc<ArcSwap<T>>,
    changing: Changes,
}

impl<T: Clone> Table<T> {
    pub(super) fn new(in_force: T) -> Self {
        Self::of(Arc::new(ArcSwap::from_pointee(in_force)))
    }

    /// The table of what others read, and nobody else changes.
    pub(super) fn of(in_force: Arc<ArcSwap<T>>) -> Self {
        Self { in_force, changing: Changes::default() }
    }

    pub(super) fn load(&self) -> Guard<Arc<T>> {
        self.in_force.load()
    }

    /// While this is held, nobody else changes what is in force in the workspace.
    pub(super) async fn lock(&self, workspace: &Name) -> OwnedMutexGuard<()> {
        self.changing.begin(workspace).await
    }

    /// Makes a change durable, and then visible.
    ///
    /// # Errors
    ///
    /// The store failed, or something else has changed: then what was in force is.
    pub(super) async fn commit(
        &self,
        store: &Store,
        writes: Vec<Write>,
        change: impl Fn(&mut T),
    ) -> Result<(), StoreError> {
        store.commit(writes).await?;
        self.show(change);
        Ok(())
    }

    /// Makes visible what the store has already, since it belongs to something else that has changed.
    pub(super) fn show(&self, change: impl Fn(&mut T)) {
        self.in_force.rcu(|in_force| {
            let mut in_force = T::clone(in_force);
            change(&mut in_force);
            in_force
        });
    }
}

/// What a workspace has, in the order of the names: behind one of them, at most so many.
pub(super) fn page<V, T>(
    table: &BTreeMap<(Name, Name), V>,
    workspace: &Name,
    after: Option<&Name>,
    limit: usize,
    show: impl Fn(&V) -> T,
) -> Page<T, Name> {
    let is_wanted = |(owner, name): &(Name, Name)| owner == workspace && after.is_none_or(|after| name > after);
    let mut wanted = table.iter().filter(|(key, _)| is_wanted(key));
    let (mut items, mut last) = (Vec::new(), None);
    for ((_, name), value) in wanted.by_ref().take(limit) {
        items.push(show(value));
        last = Some(name);
    }
    let has_others = wanted.next().is_some();
    Page { items, next: last.filter(|_| has_others).cloned() }
}

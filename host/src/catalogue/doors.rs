//! Starting an execution, and removing the flow or the environment that it needs, exclude each other.

use ringback_records::name::Name;
use ringback_records::sync::lock;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

type Key = (Name, Name);
type Lock = Arc<RwLock<()>>;

/// A door for each thing that can be removed: it is open while executions start. Nobody waits for the removal of another
/// thing.
#[derive(Default)]
pub struct Doors {
    /// Those that somebody holds or waits for, each with how many.
    in_use: Mutex<HashMap<Key, (Lock, usize)>>,
}

impl Doors {
    /// While this is held, the thing of this name is not removed. It may have been before.
    pub async fn keep_open(&self, workspace: &Name, name: &Name) -> Held<'_, OwnedRwLockReadGuard<()>> {
        let door = self.door(workspace, name);
        Held { _guard: Arc::clone(&door.lock).read_owned().await, _door: door }
    }

    /// While this is held, nobody starts anything that needs the thing of this name.
    pub async fn close(&self, workspace: &Name, name: &Name) -> Held<'_, OwnedRwLockWriteGuard<()>> {
        let door = self.door(workspace, name);
        Held { _guard: Arc::clone(&door.lock).write_owned().await, _door: door }
    }

    fn door(&self, workspace: &Name, name: &Name) -> Door<'_> {
        let key = (workspace.clone(), name.clone());
        let mut in_use = lock(&self.in_use);
        let (known, users) = in_use.entry(key.clone()).or_default();
        *users += 1;
        Door { doors: self, key, lock: Arc::clone(known) }
    }
}

/// A door that is held open or closed.
pub struct Held<'d, G> {
    _guard: G,
    _door: Door<'d>,
}

/// A door in use; the last who uses it takes it along.
struct Door<'d> {
    doors: &'d Doors,
    key: Key,
    lock: Lock,
}

impl Drop for Door<'_> {
    fn drop(&mut self) {
        let mut in_use = lock(&self.doors.in_use);
        if let Some((_, users)) = in_use.get_mut(&self.key) {
            *users -= 1;
            if *users == 0 {
                in_use.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Doors;
    use futures_util::FutureExt;
    use ringback_records::name::Name;
    use ringback_records::sync::lock;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    /// B10, B19: a neighbour who removes as much as he likes, and others who wait for him, hold up nobody else.
    #[test]
    fn b10_b19_removals_hold_up_those_alone_who_need_what_is_removed() {
        let doors = Doors::default();
        let (own, other) = (name("own"), name("other"));
        let mut removals = Vec::new();
        for number in 0..1000 {
            removals.push(doors.close(&other, &name(&format!("n{number}"))).now_or_never().unwrap());
        }
        removals.push(doors.close(&other, &own).now_or_never().unwrap());
        let mut late: Vec<_> = (0..100).map(|_| Box::pin(doors.keep_open(&other, &own))).collect();
        assert!(late.iter_mut().all(|late| late.as_mut().now_or_never().is_none()), "these need what is removed");
        for number in 0..1000 {
            assert!(doors.keep_open(&own, &name(&format!("n{number}"))).now_or_never().is_some(), "{number}");
        }
        let started = doors.keep_open(&own, &own).now_or_never();
        assert!(
            started.is_some() && doors.keep_open(&own, &own).now_or_never().is_some(),
            "starts do not wait for starts"
        );
        assert!(doors.close(&own, &own).now_or_never().is_none(), "and the removal of what is needed waits");
        drop((removals, started));
        assert!(late.into_iter().all(|late| late.now_or_never().is_some()), "and then they go on");
        assert!(lock(&doors.in_use).is_empty(), "nothing is left of it");
    }

    /// Who gives up waiting leaves nothing behind.
    #[test]
    fn a_wait_that_is_given_up_leaves_nothing() {
        let doors = Doors::default();
        let name = name("a");
        let closed = doors.close(&name, &name).now_or_never();
        assert!(doors.keep_open(&name, &name).now_or_never().is_none());
        drop(closed);
        assert!(lock(&doors.in_use).is_empty());
        assert!(doors.close(&name, &name).now_or_never().is_some());
    }
}

//! Starting an execution, and removing the flow or the environment that it needs, exclude each other.

use crate::name::Name;
use std::hash::{DefaultHasher, Hash, Hasher};
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Those that share a door wait for each other's removals.
const DOORS: usize = 64;

/// A door for each thing that can be removed: it is open while executions start.
pub struct Doors([RwLock<()>; DOORS]);

impl Default for Doors {
    fn default() -> Self {
        Self(std::array::from_fn(|_| RwLock::default()))
    }
}

impl Doors {
    /// While this is held, the thing of this name is not removed. It may have been before.
    pub async fn keep_open(&self, workspace: &Name, name: &Name) -> Option<RwLockReadGuard<'_, ()>> {
        Some(self.of(workspace, name)?.read().await)
    }

    /// While this is held, nobody starts anything that needs the thing of this name.
    pub async fn close(&self, workspace: &Name, name: &Name) -> Option<RwLockWriteGuard<'_, ()>> {
        Some(self.of(workspace, name)?.write().await)
    }

    /// There is one for every name.
    fn of(&self, workspace: &Name, name: &Name) -> Option<&RwLock<()>> {
        let mut hasher = DefaultHasher::new();
        (workspace, name).hash(&mut hasher);
        self.0.get(hasher.finish() as usize % DOORS)
    }
}

//! Which workspaces may have something to do at a time: known in memory, so that nobody looks at those that have not.

use super::key;
use ringback_records::sync::lock;
use ringback_records::time::Timestamp;
use std::collections::BTreeMap;
use std::sync::Mutex;

/// When something of a workspace may be due for the first time, by what its keys begin with. None is later than here.
#[derive(Default)]
pub(super) struct Firsts(Mutex<BTreeMap<Vec<u8>, Timestamp>>);

impl Firsts {
    /// Notes that something is due then.
    pub(super) fn note(&self, of_workspace: &[u8], at: Timestamp) {
        let mut firsts = lock(&self.0);
        match firsts.get_mut(of_workspace) {
            Some(first) => *first = at.min(*first),
            None => drop(firsts.insert(of_workspace.to_vec(), at)),
        }
    }

    /// Notes it of each key that is one of what is due.
    pub(super) fn note_all<'k>(&self, keys: impl Iterator<Item = &'k Vec<u8>>) {
        for (of_workspace, at, _) in keys.filter_map(|key| key::parts_of_due(key)) {
            self.note(of_workspace, at);
        }
    }

    pub(super) fn forget(&self, of_workspace: &[u8]) {
        lock(&self.0).remove(of_workspace);
    }

    /// Of which something may be due by now.
    pub(super) fn passed(&self, now: Timestamp) -> Vec<Vec<u8>> {
        lock(&self.0).iter().filter(|(_, first)| **first <= now).map(|(of_workspace, _)| of_workspace.clone()).collect()
    }
}

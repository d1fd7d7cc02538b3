//! The executions that this process has in hand: that it works on, that stand in line, pause, or are about to be changed. Who
//! claims executions from the store passes these by; what was passed by is looked at again when nobody has it any more.

use ringback_records::name::{ExecutionId, Name};
use ringback_records::sync::lock;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex};
use tokio::sync::Notify;

pub(super) struct Hands {
    state: Mutex<State>,
    /// Told when something that was passed by can be looked at.
    freed: Arc<Notify>,
}

#[derive(Default)]
struct State {
    held: HashMap<ExecutionId, Held>,
    passed_by: Vec<(Name, ExecutionId)>,
}

#[derive(Default)]
struct Held {
    hands: u32,
    /// The workspace, when it was passed by.
    passed_by: Option<Name>,
}

/// One of those who have an execution in hand. Dropping it lets go.
pub(super) struct Hand {
    hands: Arc<Hands>,
    id: ExecutionId,
}

impl Hands {
    pub(super) fn new(freed: Arc<Notify>) -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), freed })
    }

    /// Takes an execution, whoever has it.
    pub(super) fn take(self: &Arc<Self>, id: ExecutionId) -> Hand {
        lock(&self.state).held.entry(id).or_default().hands += 1;
        Hand { hands: Arc::clone(self), id }
    }

    /// Takes an execution that nobody has.
    pub(super) fn take_free(self: &Arc<Self>, id: ExecutionId) -> Option<Hand> {
        match lock(&self.state).held.entry(id) {
            Entry::Occupied(_) => return None,
            Entry::Vacant(free) => free.insert(Held { hands: 1, passed_by: None }),
        };
        Some(Hand { hands: Arc::clone(self), id })
    }

    /// Takes an execution that is to be taken further and that nobody has. Another one is looked at when it is let go.
    pub(super) fn claim(self: &Arc<Self>, workspace: &Name, id: ExecutionId) -> Option<Hand> {
        match lock(&self.state).held.entry(id) {
            Entry::Occupied(mut held) => {
                held.get_mut().passed_by = Some(workspace.clone());
                return None;
            }
            Entry::Vacant(free) => free.insert(Held { hands: 1, passed_by: None }),
        };
        Some(Hand { hands: Arc::clone(self), id })
    }

    /// What was passed by and is free by now.
    pub(super) fn passed_by(&self) -> Vec<(Name, ExecutionId)> {
        std::mem::take(&mut lock(&self.state).passed_by)
    }

    #[cfg(test)]
    fn held(&self) -> usize {
        lock(&self.state).held.len()
    }
}

impl Hand {
    pub(super) fn id(&self) -> ExecutionId {
        self.id
    }

    /// Whether nobody else has it. Another one does what there is to do, or it is looked at again.
    pub(super) fn is_only_one(&self, workspace: &Name) -> bool {
        let mut state = lock(&self.hands.state);
        let Some(held) = state.held.get_mut(&self.id) else { return true };
        let is_only_one = held.hands == 1;
        if !is_only_one {
            held.passed_by = Some(workspace.clone());
        }
        is_only_one
    }

    /// Never lets go: nobody claims what cannot be handled.
    pub(super) fn keep(self) {
        std::mem::forget(self);
    }
}

impl Drop for Hand {
    fn drop(&mut self) {
        let mut state = lock(&self.hands.state);
        let Some(held) = state.held.get_mut(&self.id) else { return };
        held.hands -= 1;
        if held.hands > 0 {
            return;
        }
        let passed_by = state.held.remove(&self.id).and_then(|held| held.passed_by);
        if let Some(workspace) = passed_by {
            state.passed_by.push((workspace, self.id));
            drop(state);
            self.hands.freed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Who is passed by is looked at when the last one lets go, and only then; who was not, is not.
    #[test]
    fn what_is_passed_by_is_looked_at_again() {
        let hands = Hands::new(Arc::default());
        let (workspace, id, other) = (Name::default_name(), ExecutionId::new(), ExecutionId::new());
        let (first, second) = (hands.take(id), hands.take(id));
        let alone = hands.claim(&workspace, other).unwrap();
        assert!(alone.is_only_one(&workspace));
        assert!(hands.take_free(id).is_none());
        drop(first);
        assert!(hands.claim(&workspace, id).is_none(), "somebody still has it");
        drop(alone);
        assert!(hands.passed_by().is_empty());
        drop(second);
        assert_eq!(hands.passed_by(), [(workspace.clone(), id)]);
        assert!(hands.passed_by().is_empty(), "once");
        let (mine, yours) = (hands.claim(&workspace, id).unwrap(), hands.take(id));
        assert!(!mine.is_only_one(&workspace), "somebody came in between");
        drop(mine);
        assert!(hands.passed_by().is_empty());
        drop(yours);
        assert_eq!(hands.passed_by().len(), 1);
        assert_eq!(hands.held(), 0, "nobody is remembered");
        hands.take(id).keep();
        assert!(hands.claim(&workspace, id).is_none() && hands.take_free(id).is_none());
    }
}

//! Places for executions at work, shared by workspace.
//!
//! A workspace gets another place while it holds fewer than are free: one alone has half of them, two that want all have a third
//! each, and whoever comes new finds one. Those without a place stand in line by workspace, and the workspaces take turns.

use ringback_records::name::Name;
use ringback_records::sync::lock;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use tokio::sync::Notify;

pub(super) struct Shares<T> {
    state: Mutex<State<T>>,
    /// Told when somebody in line may have a place.
    freed: Arc<Notify>,
}

struct State<T> {
    free: usize,
    held: HashMap<Name, usize>,
    lines: HashMap<Name, VecDeque<T>>,
    /// The workspaces that have a line, the next one in front.
    turns: VecDeque<Name>,
}

/// A place. Dropping it gives it back.
pub(super) struct Place<T> {
    shares: Arc<Shares<T>>,
    workspace: Name,
}

impl<T> Shares<T> {
    pub(super) fn new(places: usize, freed: Arc<Notify>) -> Arc<Self> {
        let state = State { free: places, held: HashMap::new(), lines: HashMap::new(), turns: VecDeque::new() };
        Arc::new(Self { state: Mutex::new(state), freed })
    }

    /// A place at once; `None` when the workspace has its share, or a line.
    pub(super) fn enter(self: &Arc<Self>, workspace: &Name) -> Option<Place<T>> {
        let mut state = lock(&self.state);
        if state.lines.contains_key(workspace) || !state.take(workspace) {
            return None;
        }
        Some(Place { shares: Arc::clone(self), workspace: workspace.clone() })
    }

    pub(super) fn line_up(&self, workspace: &Name, who: T) {
        let mut state = lock(&self.state);
        if let Some(line) = state.lines.get_mut(workspace) {
            line.push_back(who);
        } else {
            state.lines.insert(workspace.clone(), VecDeque::from([who]));
            state.turns.push_back(workspace.clone());
        }
        drop(state);
        self.freed.notify_one();
    }

    /// Who is next, of the workspace whose turn it is, with a place.
    pub(super) fn next(self: &Arc<Self>) -> Option<(Place<T>, T)> {
        let mut state = lock(&self.state);
        for _ in 0..state.turns.len() {
            let workspace = state.turns.pop_front()?;
            if !state.take(&workspace) {
                state.turns.push_back(workspace);
                continue;
            }
            let line = state.lines.get_mut(&workspace);
            let (who, is_last) = line.map_or((None, true), |line| (line.pop_front(), line.is_empty()));
            if is_last {
                state.lines.remove(&workspace);
            } else {
                state.turns.push_back(workspace.clone());
            }
            drop(state);
            let place = Place { shares: Arc::clone(self), workspace };
            return who.map(|who| (place, who));
        }
        None
    }
}

impl<T> State<T> {
    fn take(&mut self, workspace: &Name) -> bool {
        let held = self.held.get(workspace).copied().unwrap_or_default();
        if held >= self.free {
            return false;
        }
        self.free -= 1;
        self.held.insert(workspace.clone(), held + 1);
        true
    }
}

impl<T> Place<T> {
    pub(super) fn workspace(&self) -> &Name {
        &self.workspace
    }

    pub(super) fn is_of(&self, shares: &Arc<Shares<T>>) -> bool {
        Arc::ptr_eq(&self.shares, shares)
    }
}

impl<T> Drop for Place<T> {
    fn drop(&mut self) {
        let mut state = lock(&self.shares.state);
        state.free += 1;
        if let Some(held) = state.held.get_mut(&self.workspace) {
            *held -= 1;
            if *held == 0 {
                state.held.remove(&self.workspace);
            }
        }
        let is_awaited = !state.turns.is_empty();
        drop(state);
        if is_awaited {
            self.shares.freed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(places: usize) -> Arc<Shares<u32>> {
        Shares::new(places, Arc::default())
    }

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    /// B4: whoever takes all that it can get leaves places for those who come.
    #[test]
    fn b4_a_workspace_never_has_all_places() {
        let shares = shares(12);
        let take_all = |workspace: &Name| std::iter::from_fn(|| shares.enter(workspace)).collect::<Vec<_>>();
        let (greedy, second, third) = (take_all(&name("a")), take_all(&name("b")), take_all(&name("c")));
        assert_eq!((greedy.len(), second.len(), third.len()), (6, 3, 2));
        assert!(shares.enter(&name("d")).is_some(), "one who comes new has a place");
        drop(greedy);
        assert_eq!(take_all(&name("b")).len(), 2, "what is given back is shared again");
        drop((second, third));
        assert!(lock(&shares.state).held.is_empty(), "nobody is remembered");
        let one = super::Shares::<u32>::new(1, Arc::default());
        assert!(one.enter(&name("a")).is_some(), "one place is one for all");
    }

    /// B4: workspaces take turns, however long the line of one is, and nobody passes those who stand in it.
    #[test]
    fn b4_workspaces_take_turns() {
        let shares = shares(2);
        let held = shares.enter(&name("a")).unwrap();
        for who in 0..100 {
            shares.line_up(&name("a"), who);
        }
        assert!(shares.enter(&name("a")).is_none(), "nobody passes the line");
        shares.line_up(&name("b"), 100);
        shares.line_up(&name("c"), 101);
        let (of_b, who) = shares.next().unwrap();
        assert_eq!((of_b.workspace(), who), (&name("b"), 100));
        assert!(shares.next().is_none(), "no place is free");
        drop(of_b);
        let (of_c, who) = shares.next().unwrap();
        assert_eq!(who, 101);
        drop((held, of_c));
        let order: Vec<u32> = std::iter::from_fn(|| shares.next().map(|(_, who)| who)).collect();
        assert_eq!(order, (0..100).collect::<Vec<_>>(), "in the order in which they came");
        assert!(shares.enter(&name("a")).is_some());
    }
}

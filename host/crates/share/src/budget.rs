//! So much of something that is measured, as memory is, shared by workspace, and within one by whom it is for.
//!
//! A workspace has no more than there is left for others, and one of those in it no more than half of that: whoever comes new finds
//! some. What is too much waits in the order of coming; the next one is of the workspace that has the least, and there of those who
//! have the least.

use ringback_records::name::Name;
use ringback_records::sync::lock;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use tokio::sync::oneshot;

/// So much in all.
#[derive(Debug)]
pub struct Budget {
    all: usize,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    free: usize,
    arrivals: u64,
    workspaces: BTreeMap<Name, Workspace>,
}

#[derive(Debug, Default)]
struct Workspace {
    held: usize,
    parts: BTreeMap<String, Part>,
}

/// One of those in a workspace.
#[derive(Debug, Default)]
struct Part {
    held: usize,
    line: VecDeque<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    amount: usize,
    arrived: u64,
    send: oneshot::Sender<Share>,
}

/// What somebody has of it. Dropping it gives it back.
#[derive(Debug)]
pub struct Share {
    budget: Arc<Budget>,
    workspace: Name,
    part: String,
    amount: usize,
}

impl Budget {
    pub fn new(all: usize) -> Arc<Self> {
        let state = State { free: all, arrivals: 0, workspaces: BTreeMap::new() };
        Arc::new(Self { all, state: Mutex::new(state) })
    }

    /// How much is in use.
    pub fn used(&self) -> usize {
        self.all - lock(&self.state).free
    }

    /// Waits for so much, or for all that there is, behind those of the same part.
    pub async fn take(self: &Arc<Self>, workspace: &Name, part: &str, amount: usize) -> Share {
        let amount = amount.min(self.all);
        let waiting = {
            let mut state = lock(&self.state);
            state.arrivals += 1;
            let arrived = state.arrivals;
            let (send, waiting) = oneshot::channel();
            let of_workspace = state.workspaces.entry(workspace.clone()).or_default();
            let of_part = of_workspace.parts.entry(part.to_owned()).or_default();
            of_part.line.push_back(Waiting { amount, arrived, send });
            waiting
        };
        // Those behind who leaves have a turn.
        let _leaving = Leaving { budget: self };
        self.hand_out();
        // Whoever waits keeps the budget, and that keeps whoever waits.
        waiting.await.unwrap_or_else(|_| Share {
            budget: Arc::clone(self),
            workspace: workspace.clone(),
            part: part.to_owned(),
            amount: 0,
        })
    }

    /// Gives what there is to those who wait.
    fn hand_out(self: &Arc<Self>) {
        loop {
            let Some((waiting, workspace, part)) = lock(&self.state).next() else { return };
            let share = Share { budget: Arc::clone(self), workspace, part, amount: waiting.amount };
            // Who has gone in this moment gives it back.
            drop(waiting.send.send(share));
        }
    }

    fn give_back(self: &Arc<Self>, workspace: &Name, part: &str, amount: usize) {
        lock(&self.state).give_back(workspace, part, amount);
        self.hand_out();
    }
}

impl State {
    /// Takes the next one out of its line that there is enough for, with whose it is.
    fn next(&mut self) -> Option<(Waiting, Name, String)> {
        self.forget();
        let free = self.free;
        let mut order: Vec<_> = self
            .workspaces
            .iter()
            .flat_map(|(name, workspace)| {
                workspace.parts.iter().filter_map(move |(part, of)| {
                    let front = of.line.front()?;
                    Some((workspace.held, of.held, front.arrived, front.amount, name, part))
                })
            })
            .collect();
        order.sort_unstable_by_key(|(of_workspace, of_part, arrived, ..)| (*of_workspace, *of_part, *arrived));
        let mut full: Option<&Name> = None;
        let found = order.into_iter().find_map(|(of_workspace, of_part, _, amount, workspace, part)| {
            if full == Some(workspace) {
                return None;
            }
            let left = of_workspace + free;
            if of_workspace > 0 && 2 * (of_workspace + amount) > left {
                // Others in it do not go past, or it would never be its turn.
                full = Some(workspace);
                return None;
            }
            if of_part > 0 && 4 * (of_part + amount) > left {
                return None;
            }
            Some((amount <= free).then(|| (workspace.clone(), part.clone())))
        });
        // For whose turn it is there is not enough left now, and nobody goes past.
        let (workspace, part) = found??;
        let of_workspace = self.workspaces.get_mut(&workspace)?;
        let of_part = of_workspace.parts.get_mut(&part)?;
        let waiting = of_part.line.pop_front()?;
        self.free -= waiting.amount;
        of_workspace.held += waiting.amount;
        of_part.held += waiting.amount;
        Some((waiting, workspace, part))
    }

    fn give_back(&mut self, workspace: &Name, part: &str, amount: usize) {
        let Some(of_workspace) = self.workspaces.get_mut(workspace) else { return };
        self.free += amount;
        of_workspace.held -= amount;
        if let Some(of_part) = of_workspace.parts.get_mut(part) {
            of_part.held -= amount;
        }
    }

    /// Forgets who has nothing and waits for nothing.
    fn forget(&mut self) {
        self.workspaces.retain(|_, workspace| {
            workspace.parts.retain(|_, part| {
                while part.line.front().is_some_and(|waiting| waiting.send.is_closed()) {
                    part.line.pop_front();
                }
                part.held > 0 || !part.line.is_empty()
            });
            !workspace.parts.is_empty()
        });
    }
}

impl Share {
    /// Keeps no more than so much.
    pub fn shrink(&mut self, amount: usize) {
        let spare = self.amount.saturating_sub(amount);
        self.amount -= spare;
        self.budget.give_back(&self.workspace, &self.part, spare);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.give_back(&self.workspace, &self.part, self.amount);
    }
}

/// Who waits, and has a share or leaves.
struct Leaving<'b> {
    budget: &'b Arc<Budget>,
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.budget.hand_out();
    }
}

#[cfg(test)]
mod tests {
    use super::{Budget, Share};
    use ringback_records::name::Name;
    use ringback_records::sync::lock;
    use std::pin::{Pin, pin};
    use std::sync::Arc;
    use std::task::{Context, Poll, Waker};

    type Taking<'b> = Pin<Box<dyn Future<Output = Share> + 'b>>;

    fn look(taking: &mut Taking<'_>) -> Option<Share> {
        match pin!(taking).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(share) => Some(share),
            Poll::Pending => None,
        }
    }

    struct Asking {
        budget: Arc<Budget>,
        names: Vec<Name>,
    }

    impl Asking {
        fn new(all: usize) -> Self {
            Self { budget: Budget::new(all), names: ["a", "b", "c"].iter().map(|name| name.parse().unwrap()).collect() }
        }

        fn ask<'a>(&'a self, workspace: usize, part: &'a str, amount: usize) -> Result<Share, Taking<'a>> {
            let mut taking: Taking<'a> = Box::pin(self.budget.take(&self.names[workspace], part, amount));
            look(&mut taking).ok_or(taking)
        }

        fn have(&self, workspace: usize, part: &str, amount: usize) -> Share {
            self.ask(workspace, part, amount).ok().expect("there is enough")
        }
    }

    #[test]
    fn one_leaves_half_to_the_others_and_a_part_of_it_half_of_that() {
        let asking = Asking::new(64);
        let mut held: Vec<Share> = (0..4).map(|_| asking.have(0, "x", 4)).collect();
        let mut fifth = asking.ask(0, "x", 4).unwrap_err();
        held.extend((0..4).map(|_| asking.have(0, "y", 4)));
        assert!(asking.ask(0, "y", 4).is_err(), "and the workspace has half");
        let theirs = [asking.have(1, "x", 8), asking.have(1, "y", 8)];
        assert!(asking.ask(1, "z", 1).is_err(), "the next one half of the rest");
        drop(asking.have(2, "x", 16));
        assert_eq!(asking.budget.used(), 48);
        assert!(look(&mut fifth).is_none());
        drop(theirs);
        assert!(look(&mut fifth).is_none());
        held.truncate(3);
        assert!(look(&mut fifth).is_some(), "its own were given back");
        drop((held, fifth));
        assert!(lock(&asking.budget.state).free == 64);
    }

    #[test]
    fn whoever_has_the_least_is_next_and_nobody_goes_past() {
        let asking = Asking::new(32);
        let mut held =
            vec![asking.have(0, "x", 8), asking.have(0, "y", 8), asking.have(1, "x", 8), asking.have(2, "x", 6)];
        let mut small = asking.ask(1, "y", 1).unwrap_err();
        let mut large = asking.ask(2, "y", 8).unwrap_err();
        assert!(look(&mut small).is_none(), "it has more than its share");
        drop(held.remove(0));
        assert!(look(&mut small).is_some());
        drop(held.remove(0));
        assert!(look(&mut large).is_none(), "six and eight are more than half of what there is for it");
        drop(held.remove(0));
        drop(look(&mut large).expect("now they are not"));
        // One that needs more than there is at the moment is waited for, or it would wait for ever.
        held.clear();
        held.extend([asking.have(0, "x", 16), asking.have(1, "x", 8)]);
        let mut first = asking.ask(2, "x", 16).unwrap_err();
        let mut behind = asking.ask(2, "y", 1).unwrap_err();
        assert!(look(&mut first).is_none() && look(&mut behind).is_none());
        drop(first);
        assert!(look(&mut behind).is_some(), "it has left");
    }

    #[test]
    fn what_is_not_needed_after_all_is_for_others_and_nobody_is_remembered() {
        let asking = Asking::new(8);
        let mut held = asking.have(0, "x", 8);
        let mut waiting = asking.ask(1, "x", 6).unwrap_err();
        held.shrink(2);
        held.shrink(4);
        assert_eq!(asking.budget.used(), 8);
        drop(look(&mut waiting).expect("there are six"));
        let gone = asking.ask(1, "x", 9).unwrap_err();
        drop(held);
        drop(gone);
        assert_eq!(asking.budget.used(), 0, "a share that was given to somebody who has gone is there again");
        drop(asking.have(1, "x", 100));
        let mut state = lock(&asking.budget.state);
        state.forget();
        assert!(state.workspaces.is_empty());
    }
}

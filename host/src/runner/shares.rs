//! Places for executions at work, shared by workspace.
//!
//! A workspace gets another place while it holds fewer than are free: one alone has half of them, two that want all have a third
//! each, and whoever comes new finds one. Those without a place stand in line by workspace, and the workspace is next that has had
//! its places for the least time.
//!
//! A line has at most a page of those who came by themselves. Who finds it full is left in the store, where he is durable, and
//! claimed from there: at most another page at a time, behind the last one, so that both stand in the same line.

use ringback_records::name::{ExecutionId, Name};
use ringback_records::sync::lock;
use ringback_share::Ledger;
use ringback_store::Claim;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Most of a workspace that come to its line by themselves, that come there from the store, and that pause.
pub(super) const PAGE: usize = 256;
/// What was left in the store is looked for from the first one on at most so often.
pub(super) const PASS_INTERVAL: Duration = Duration::from_secs(1);

pub(super) struct Shares<T> {
    state: Mutex<State<T>>,
    /// Told when somebody in line may have a place.
    freed: Arc<Notify>,
}

struct State<T> {
    free: usize,
    /// Which workspaces have how many places, and in whose line somebody stands.
    ledger: Ledger,
    lines: HashMap<Name, Line<T>>,
    pausing: HashMap<Name, usize>,
}

struct Line<T> {
    waiting: VecDeque<InLine<T>>,
    /// How many of them were claimed.
    claimed: usize,
    backlog: Option<Backlog>,
}

struct InLine<T> {
    who: T,
    is_claimed: bool,
}

/// What of a workspace was left in the store.
struct Backlog {
    /// What is to be looked for from the first one on.
    claims: BTreeSet<Claim>,
    /// When that is to be done.
    not_before: Instant,
    /// What is being looked for, and behind whom.
    pass: Option<(Claim, Option<ExecutionId>)>,
    is_searched: bool,
}

/// A page of what was left in the store.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Search {
    pub(super) workspace: Name,
    pub(super) claim: Claim,
    pub(super) after: Option<ExecutionId>,
    pub(super) limit: usize,
}

/// A place. Dropping it gives it back.
pub(super) struct Place<T> {
    shares: Arc<Shares<T>>,
    workspace: Name,
    since: Instant,
}

/// One of those who pause. Dropping it ends that.
pub(super) struct Pausing<T> {
    shares: Arc<Shares<T>>,
    workspace: Name,
}

impl<T> Shares<T> {
    pub(super) fn new(places: usize, freed: Arc<Notify>) -> Arc<Self> {
        let state = State { free: places, ledger: Ledger::default(), lines: HashMap::new(), pausing: HashMap::new() };
        Arc::new(Self { state: Mutex::new(state), freed })
    }

    /// A place at once; `None` when the workspace has its share, or a line.
    pub(super) fn enter(self: &Arc<Self>, workspace: &Name) -> Option<Place<T>> {
        let mut state = lock(&self.state);
        let is_line = state.lines.get(workspace).is_some_and(|line| !line.waiting.is_empty());
        if is_line || !may_take(state.ledger.holds(workspace), state.free) {
            return None;
        }
        state.free -= 1;
        state.ledger.take(workspace);
        drop(state);
        Some(self.place(workspace.clone()))
    }

    fn place(self: &Arc<Self>, workspace: Name) -> Place<T> {
        Place { shares: Arc::clone(self), workspace, since: Instant::now() }
    }

    /// Stands in line, or is left in the store, which knows that he runs.
    pub(super) fn line_up(&self, workspace: &Name, who: T) {
        if let Err(who) = self.try_line_up(workspace, who) {
            self.leave(workspace, Claim::Running, Instant::now());
            // Who is let go after this is found.
            drop(who);
        }
    }

    /// Stands in line, or is given back where there is no room.
    pub(super) fn try_line_up(&self, workspace: &Name, who: T) -> Result<(), T> {
        let mut state = lock(&self.state);
        if state.lines.get(workspace).is_some_and(Line::is_full) {
            return Err(who);
        }
        state.stand(workspace, InLine { who, is_claimed: false });
        drop(state);
        self.freed.notify_one();
        Ok(())
    }

    /// Stands in line, however long it is: for those of whom the store does not know everything, and there are few.
    pub(super) fn line_up_anyway(&self, workspace: &Name, who: T) {
        lock(&self.state).stand(workspace, InLine { who, is_claimed: true });
        self.freed.notify_one();
    }

    /// Leaves one in the store, to be looked for from some time on.
    pub(super) fn leave(&self, workspace: &Name, claim: Claim, not_before: Instant) {
        lock(&self.state).leave(workspace, claim, not_before);
        self.freed.notify_one();
    }

    /// Room to pause in memory, unless many of the workspace do.
    pub(super) fn pause(self: &Arc<Self>, workspace: &Name) -> Option<Pausing<T>> {
        let mut state = lock(&self.state);
        let pausing = state.pausing.entry(workspace.clone()).or_default();
        if *pausing >= PAGE {
            return None;
        }
        *pausing += 1;
        Some(Pausing { shares: Arc::clone(self), workspace: workspace.clone() })
    }

    /// Who is next, of the workspace whose turn it is, with a place.
    pub(super) fn next(self: &Arc<Self>) -> Option<(Place<T>, T)> {
        let mut state = lock(&self.state);
        let free = state.free;
        let workspace = state.ledger.next(|holds| may_take(holds, free))?;
        state.free -= 1;
        let next = state.lines.get_mut(&workspace).and_then(Line::next);
        match state.lines.get(&workspace) {
            Some(line) if !line.waiting.is_empty() => state.ledger.stand(&workspace),
            Some(line) if line.backlog.is_none() => drop(state.lines.remove(&workspace)),
            _ => {}
        }
        drop(state);
        let place = self.place(workspace);
        next.map(|who| (place, who))
    }

    /// What of those who were left in the store is to be searched for now; what is found is told to it.
    pub(super) fn search(&self, now: Instant) -> Option<Search> {
        let mut state = lock(&self.state);
        state.lines.iter_mut().find_map(|(workspace, line)| {
            let limit = PAGE.saturating_sub(line.claimed);
            let backlog = line.backlog.as_mut().filter(|backlog| !backlog.is_searched && limit >= PAGE / 2)?;
            if backlog.pass.is_none() && now >= backlog.not_before {
                backlog.pass = backlog.claims.pop_first().map(|claim| (claim, None));
            }
            let (claim, after) = backlog.pass?;
            backlog.is_searched = true;
            Some(Search { workspace: workspace.clone(), claim, after, limit })
        })
    }

    /// What a search found that nobody had in hand, and behind whom the next one goes on.
    pub(super) fn found(&self, search: &Search, found: Vec<T>, last: Option<ExecutionId>) {
        let mut state = lock(&self.state);
        for who in found {
            state.stand(&search.workspace, InLine { who, is_claimed: true });
        }
        if let Some(line) = state.lines.get_mut(&search.workspace)
            && let Some(backlog) = &mut line.backlog
        {
            backlog.is_searched = false;
            backlog.pass = last.map(|last| (search.claim, Some(last)));
            if backlog.pass.is_none() {
                backlog.not_before = backlog.not_before.max(Instant::now() + PASS_INTERVAL);
                line.backlog.take_if(|backlog| backlog.claims.is_empty());
            }
            if line.backlog.is_none() && line.waiting.is_empty() {
                state.lines.remove(&search.workspace);
            }
        }
        drop(state);
        self.freed.notify_one();
    }

    /// How many stand in line.
    pub(super) fn in_line(&self) -> usize {
        lock(&self.state).lines.values().map(|line| line.waiting.len()).sum()
    }

    /// Whether some are left in the store.
    pub(super) fn has_left_some(&self) -> bool {
        lock(&self.state).lines.values().any(|line| line.backlog.is_some())
    }
}

impl<T> State<T> {
    fn line(&mut self, workspace: &Name) -> &mut Line<T> {
        let empty = || Line { waiting: VecDeque::new(), claimed: 0, backlog: None };
        self.lines.entry(workspace.clone()).or_insert_with(empty)
    }

    fn stand(&mut self, workspace: &Name, who: InLine<T>) {
        let line = self.line(workspace);
        line.claimed += usize::from(who.is_claimed);
        line.waiting.push_back(who);
        self.ledger.stand(workspace);
    }

    fn leave(&mut self, workspace: &Name, claim: Claim, not_before: Instant) {
        let empty = || Backlog { claims: BTreeSet::new(), not_before, pass: None, is_searched: false };
        let backlog = self.line(workspace).backlog.get_or_insert_with(empty);
        let is_first = backlog.claims.is_empty();
        backlog.claims.insert(claim);
        backlog.not_before = if is_first { not_before } else { backlog.not_before.min(not_before) };
    }
}

impl<T> Line<T> {
    fn is_full(&self) -> bool {
        self.waiting.len() - self.claimed >= PAGE
    }

    fn next(&mut self) -> Option<T> {
        let InLine { who, is_claimed } = self.waiting.pop_front()?;
        self.claimed -= usize::from(is_claimed);
        Some(who)
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
        state.ledger.give_back(&self.workspace, self.since.elapsed());
        let is_awaited = state.ledger.is_awaited();
        drop(state);
        if is_awaited {
            self.shares.freed.notify_one();
        }
    }
}

impl<T> Drop for Pausing<T> {
    fn drop(&mut self) {
        let mut state = lock(&self.shares.state);
        if let Some(count) = state.pausing.get_mut(&self.workspace) {
            *count -= 1;
            if *count == 0 {
                state.pausing.remove(&self.workspace);
            }
        }
    }
}

/// Whether one who holds so many places may have one of those that are free.
fn may_take(holds: usize, free: usize) -> bool {
    holds < free
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
        let state = lock(&shares.state);
        assert!(state.free == 12 && ["a", "b", "c", "d"].iter().all(|of| state.ledger.holds(&name(of)) == 0));
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

    /// A2: those of a plugin that rests are looked for when they said, however soon the pass ends in which they said it; unless
    /// somebody else is left meanwhile who goes on at once.
    #[test]
    fn a2_who_pauses_for_long_is_not_looked_for_before() {
        let (shares, a, now) = (shares(2), name("a"), Instant::now());
        let at = |seconds| now + Duration::from_secs(seconds);
        let pass = |begins: Instant| {
            let search = shares.search(begins)?;
            shares.leave(&a, Claim::Running, at(30));
            shares.leave(&a, Claim::Running, at(40));
            shares.found(&search, Vec::new(), None);
            Some(())
        };
        shares.leave(&a, Claim::Running, now);
        assert!(pass(now).is_some());
        assert!(pass(at(29)).is_none(), "they have only just said so");
        assert!(pass(at(30)).is_some(), "the first of them");
        shares.leave(&a, Claim::Running, at(5));
        assert!(shares.search(at(4)).is_none());
        assert!(shares.search(at(5)).is_some(), "somebody else");
    }

    /// With one place there is nothing but turns: one whose work takes long has fewer of them.
    #[test]
    fn who_keeps_a_place_for_long_has_fewer_turns() {
        let shares = shares(1);
        let (long, short) = (name("long"), name("short"));
        for who in 0..200 {
            shares.line_up(&long, who);
            shares.line_up(&short, who);
        }
        let mut turns = HashMap::from([(long.clone(), 0), (short.clone(), 0)]);
        for _ in 0..100 {
            let (place, _) = shares.next().unwrap();
            *turns.get_mut(place.workspace()).unwrap() += 1;
            if *place.workspace() == long {
                std::thread::sleep(Duration::from_millis(200));
            }
        }
        assert!((1..10).contains(&turns[&long]), "{turns:?}");
    }

    fn search(shares: &Arc<Shares<u32>>, later: Duration) -> Option<Search> {
        shares.search(Instant::now() + later)
    }

    /// A line is a page of those who come and a page of those who were left, and nobody is forgotten: they are looked for behind
    /// the last one, and from the first one on when others were left meanwhile, but not again and again.
    #[test]
    fn who_finds_a_full_line_is_left_in_the_store_and_looked_for() {
        const PAGE_U32: u32 = PAGE as u32;
        let shares = shares(2);
        let a = name("a");
        let held = shares.enter(&a).unwrap();
        for who in 0..2 * PAGE_U32 {
            shares.line_up(&a, who);
            assert_eq!(
                shares.try_line_up(&a, who).is_ok(),
                who < PAGE_U32 / 2,
                "{who}: given back where there is no room"
            );
        }
        assert_eq!(shares.in_line(), PAGE);
        let first = search(&shares, Duration::ZERO).unwrap();
        assert_eq!((&first.claim, first.after, first.limit), (&Claim::Running, None, PAGE));
        assert_eq!(search(&shares, Duration::ZERO), None, "one searches at a time");
        let last = Some(ExecutionId::new());
        shares.found(&first, (0..PAGE_U32).collect(), last);
        assert_eq!(shares.in_line(), 2 * PAGE);
        assert_eq!(search(&shares, Duration::ZERO), None, "there is no room");
        shares.line_up(&a, 0);
        let other = shares.enter(&name("b")).expect("another workspace finds its place");
        drop((held, other));
        let leave = |count: usize| (0..count).for_each(|_| drop(shares.next().unwrap()));
        leave(PAGE + PAGE / 2);
        let second = search(&shares, Duration::ZERO).unwrap();
        assert_eq!((second.after, second.limit), (last, PAGE / 2), "behind the last one");
        shares.found(&second, Vec::new(), None);
        leave(PAGE / 2);
        assert_eq!(search(&shares, Duration::ZERO), None, "not again at once");
        assert!(shares.enter(&a).is_some(), "there is a place, and nobody in line");
        let again = search(&shares, PASS_INTERVAL).expect("one was left in the meantime");
        assert_eq!(again.after, None);
        shares.found(&again, Vec::new(), None);
        assert!(!shares.has_left_some());
        assert!(lock(&shares.state).lines.is_empty(), "nobody is remembered");
    }

    #[test]
    fn as_many_pause_in_memory_as_stand_in_line() {
        let shares = shares(2);
        let all: Vec<_> = std::iter::from_fn(|| shares.pause(&name("a"))).collect();
        assert_eq!(all.len(), PAGE);
        assert!(shares.pause(&name("b")).is_some());
        drop(all);
        assert!(lock(&shares.state).pausing.is_empty());
    }
}

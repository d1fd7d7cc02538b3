//! Places for work: so many in all, so many of one workspace, and a line of each.

use super::Ledger;
use ringback_records::name::Name;
use ringback_records::sync::lock;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Too many of the workspace wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// Places, taken in turn by workspace, and in the order of coming within one.
#[derive(Debug)]
pub struct Places {
    of_workspace: usize,
    waiting_max: usize,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    free: usize,
    ledger: Ledger,
    lines: HashMap<Name, VecDeque<oneshot::Sender<Place>>>,
}

/// A place. Dropping it gives it back.
#[derive(Debug)]
pub struct Place {
    places: Arc<Places>,
    workspace: Name,
    since: Instant,
}

impl Places {
    /// `of_workspace`: how many of them one may hold. `waiting_max`: how many of one may wait.
    pub fn new(all: usize, of_workspace: usize, waiting_max: usize) -> Arc<Self> {
        let state = State { free: all, ledger: Ledger::default(), lines: HashMap::new() };
        Arc::new(Self { of_workspace, waiting_max, state: Mutex::new(state) })
    }

    /// Waits for a place, behind those of the same workspace.
    ///
    /// # Errors
    ///
    /// Too many of the workspace wait.
    pub async fn take(self: &Arc<Self>, workspace: &Name) -> Result<Place, Full> {
        let waiting = {
            let mut state = lock(&self.state);
            let has_line = state.lines.get(workspace).is_some_and(|line| !line.is_empty());
            if !has_line && state.free > 0 && state.ledger.holds(workspace) < self.of_workspace {
                state.free -= 1;
                state.ledger.take(workspace);
                drop(state);
                return Ok(self.place(workspace.clone()));
            }
            let line = state.lines.entry(workspace.clone()).or_default();
            if line.len() >= self.waiting_max {
                line.retain(|waiting| !waiting.is_closed());
                if line.len() >= self.waiting_max {
                    return Err(Full);
                }
            }
            let (send, waiting) = oneshot::channel();
            line.push_back(send);
            state.ledger.stand(workspace);
            waiting
        };
        // Whoever waits keeps the places, and they keep whoever waits.
        waiting.await.map_err(|_| Full)
    }

    fn place(self: &Arc<Self>, workspace: Name) -> Place {
        Place { places: Arc::clone(self), workspace, since: Instant::now() }
    }

    /// Gives free places to those who wait.
    fn hand_out(self: &Arc<Self>) {
        while let Some((waiting, place)) = self.next() {
            // Who has gone in this moment gives it back.
            drop(waiting.send(place));
        }
    }

    fn next(self: &Arc<Self>) -> Option<(oneshot::Sender<Place>, Place)> {
        let mut state = lock(&self.state);
        let state = &mut *state;
        while state.free > 0 {
            let workspace = state.ledger.next(|holds| holds < self.of_workspace)?;
            let line = state.lines.get_mut(&workspace);
            let next = line.and_then(|line| {
                while line.front().is_some_and(oneshot::Sender::is_closed) {
                    line.pop_front();
                }
                line.pop_front()
            });
            match state.lines.get(&workspace) {
                Some(line) if !line.is_empty() => state.ledger.stand(&workspace),
                _ => drop(state.lines.remove(&workspace)),
            }
            match next {
                Some(waiting) => {
                    state.free -= 1;
                    return Some((waiting, self.place(workspace)));
                }
                None => state.ledger.give_back(&workspace, Duration::ZERO),
            }
        }
        None
    }
}

impl Place {
    /// Whether it is the turn of another workspace that waits for one.
    pub fn is_others_turn(&self) -> bool {
        let Places { state, of_workspace, .. } = &*self.places;
        lock(state).ledger.is_others_turn(&self.workspace, self.since.elapsed(), |holds| holds < *of_workspace)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = lock(&self.places.state);
        state.free += 1;
        state.ledger.give_back(&self.workspace, self.since.elapsed());
        let is_awaited = state.ledger.is_awaited();
        drop(state);
        if is_awaited {
            self.places.hand_out();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Full, Place, Places};
    use ringback_records::name::Name;
    use ringback_records::sync::lock;
    use std::pin::{Pin, pin};
    use std::sync::Arc;
    use std::task::{Context, Poll, Waker};
    use std::time::Duration;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    type Taking<'p> = Pin<Box<dyn Future<Output = Result<Place, Full>> + 'p>>;

    /// Somebody who wants a place, and has asked.
    fn take<'p>(places: &'p Arc<Places>, workspace: &'p Name) -> Result<Place, Taking<'p>> {
        let mut taking: Taking<'p> = Box::pin(places.take(workspace));
        match look(&mut taking) {
            Some(place) => Ok(place.unwrap()),
            None => Err(taking),
        }
    }

    fn look<F: Future + Unpin>(taking: &mut F) -> Option<F::Output> {
        match pin!(taking).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(place) => Some(place),
            Poll::Pending => None,
        }
    }

    #[tokio::test]
    async fn a_workspace_has_so_many_places_and_a_line_of_its_own() {
        let places = Places::new(3, 2, 1);
        let (greedy, other) = (name("greedy"), name("other"));
        let held = [places.take(&greedy).await.unwrap(), places.take(&greedy).await.unwrap()];
        let mut waiting = take(&places, &greedy).unwrap_err();
        assert_eq!(places.take(&greedy).await.unwrap_err(), Full, "the line is full");
        drop(places.take(&other).await.unwrap());
        assert!(look(&mut waiting).is_none());
        drop(held);
        assert!(look(&mut waiting).is_some());
    }

    /// Who takes long has a turn less often, however many of its own wait.
    #[test]
    fn the_next_one_is_the_workspace_that_has_had_the_least() {
        let places = Places::new(1, 1, 100);
        let (long, short) = (name("long"), name("short"));
        let held = take(&places, &long).ok().unwrap();
        let mut of_long: Vec<_> = (0..5).map(|_| take(&places, &long).unwrap_err()).collect();
        let mut of_short: Vec<_> = (0..20).map(|_| take(&places, &short).unwrap_err()).collect();
        std::thread::sleep(Duration::from_millis(50));
        assert!(held.is_others_turn());
        drop(held);
        for taking in &mut of_short {
            let place = look(taking).expect("all of these take no time").unwrap();
            assert!(!place.is_others_turn());
        }
        let (first, second) = of_long.split_at_mut(1);
        assert!(look(&mut first[0]).is_some_and(|place| place.is_ok()), "then the others have theirs, in their order");
        assert!(look(&mut second[0]).is_some());
    }

    #[test]
    fn who_does_not_wait_any_more_has_no_turn() {
        let places = Places::new(1, 1, 2);
        let (here, gone) = (name("here"), name("gone"));
        let held = take(&places, &here).ok().unwrap();
        let going = (take(&places, &gone).unwrap_err(), take(&places, &gone).unwrap_err());
        let mut waiting = take(&places, &here).unwrap_err();
        drop(going);
        let mut back = take(&places, &gone).expect_err("there is room in line where others have gone");
        drop(held);
        assert!(look(&mut back).is_some(), "in front of whom nobody waits any more");
        assert!(look(&mut waiting).is_some());
        let lost = take(&places, &here).ok().unwrap();
        let waiting = take(&places, &gone).unwrap_err();
        drop(lost);
        drop(waiting);
        assert!(take(&places, &here).is_ok(), "a place that was given to somebody who has gone is there again");
        let state = lock(&places.state);
        assert!(state.free == 1 && state.lines.is_empty() && !state.ledger.is_awaited());
    }
}

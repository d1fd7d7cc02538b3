//! Scripts that are called often are read ahead of their calls. Each has an image of memory then, and of these there are so many.

use super::call::Linked;
use ringback_records::name::Name;
use ringback_records::sync::lock;
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// After so many calls a script is read; where that failed, after twice as many.
const CALLS: u32 = 4;
/// Most images, of which each takes a megabyte or two of memory.
const IMAGES_MAX: usize = 64;
/// Most of one workspace.
const OF_WORKSPACE_MAX: usize = 16;
/// An image that was called this lately gives way to no other of its workspace.
const IDLE: Duration = Duration::from_mins(1);

/// A script of a flow, as it is called.
pub(super) struct Script {
    pub(super) flow: Name,
    /// What the configuration of each call ends with: the source, and the brace behind it.
    end: String,
    state: Mutex<State>,
}

enum State {
    /// Each call reads the source: how many did, and after how many it is read ahead.
    Source {
        calls: u32,
        after: u32,
    },
    Image {
        linked: Arc<Linked>,
        called: Instant,
    },
}

impl Script {
    pub(super) fn new(flow: &Name, end: &str) -> Self {
        let state = Mutex::new(State::Source { calls: 0, after: CALLS });
        Self { flow: flow.clone(), end: end.to_owned(), state }
    }

    /// What is called in place of what reads the source, with the configuration that is left without it.
    pub(super) fn image(&self, config: &str) -> Option<(Arc<Linked>, String)> {
        let start = config.strip_suffix(&self.end)?;
        match &mut *lock(&self.state) {
            State::Image { linked, called } => {
                *called = Instant::now();
                Some((Arc::clone(linked), format!("{start}}}")))
            }
            State::Source { .. } => None,
        }
    }

    /// Notes a call that read the source: whether it is to be read ahead now.
    pub(super) fn is_due(&self) -> bool {
        match &mut *lock(&self.state) {
            State::Source { calls, after } => {
                *calls += 1;
                let is_due = *calls >= *after;
                if is_due {
                    *calls = 0;
                }
                is_due
            }
            State::Image { .. } => false,
        }
    }

    /// Notes that it could not be read.
    pub(super) fn failed(&self) {
        if let State::Source { after, .. } = &mut *lock(&self.state) {
            *after = after.saturating_mul(2);
        }
    }

    /// The configuration with which it is read.
    pub(super) fn to_read(&self) -> String {
        format!("{{\"scope\":{{}}{}", self.end)
    }

    fn is(&self, state: State) {
        *lock(&self.state) = state;
    }

    /// When its image was called last.
    fn called(&self) -> Option<Instant> {
        match &*lock(&self.state) {
            State::Image { called, .. } => Some(*called),
            State::Source { .. } => None,
        }
    }
}

/// Which scripts have an image.
pub(super) struct Images {
    held: Mutex<Vec<(Name, Weak<Script>)>>,
    /// One is made at a time, and nobody waits for it.
    turn: Arc<Semaphore>,
}

impl Default for Images {
    fn default() -> Self {
        Self { held: Mutex::default(), turn: Arc::new(Semaphore::new(1)) }
    }
}

impl Images {
    /// Whether another one may be made of this workspace, for as long as the turn is held.
    pub(super) fn turn(&self, workspace: &Name) -> Option<OwnedSemaphorePermit> {
        let turn = Arc::clone(&self.turn).try_acquire_owned().ok()?;
        let mut held = lock(&self.held);
        held.retain(|(_, script)| called(script).is_some());
        let known: Vec<_> = held.iter().filter_map(|(owner, script)| Some((owner, called(script)?))).collect();
        if let Some(at) = room(&known, workspace, Instant::now())?
            && let Some(script) = held.swap_remove(at).1.upgrade()
        {
            script.is(State::Source { calls: 0, after: CALLS });
        }
        Some(turn)
    }

    /// Has a script called by its image from now on.
    pub(super) fn add(&self, workspace: &Name, script: &Arc<Script>, linked: Arc<Linked>) {
        script.is(State::Image { linked, called: Instant::now() });
        lock(&self.held).push((workspace.clone(), Arc::downgrade(script)));
    }

    pub(super) fn count(&self) -> usize {
        lock(&self.held).iter().filter(|(_, script)| called(script).is_some()).count()
    }
}

fn called(script: &Weak<Script>) -> Option<Instant> {
    script.upgrade()?.called()
}

/// Whether there is room for one more of a workspace, and which one gives way for it. Where all places are taken, that is one of who
/// has most; and of these the one that was not called for the longest.
fn room(held: &[(&Name, Instant)], workspace: &Name, now: Instant) -> Option<Option<usize>> {
    let of = |owner: &Name| held.iter().filter(|(name, _)| *name == owner).count();
    let own = of(workspace);
    let (owner, idle) = if own >= OF_WORKSPACE_MAX {
        (workspace, IDLE)
    } else if held.len() >= IMAGES_MAX {
        let (most, owner) = held.iter().map(|(owner, _)| (of(owner), *owner)).max()?;
        if most <= own + 1 {
            return None;
        }
        (owner, Duration::ZERO)
    } else {
        return Some(None);
    };
    let theirs = held.iter().enumerate().filter(|(_, (name, _))| *name == owner);
    let (called, at) = theirs.map(|(at, (_, called))| (*called, at)).min()?;
    (now.duration_since(called) >= idle).then_some(Some(at))
}

#[cfg(test)]
mod tests {
    use super::{CALLS, IDLE, IMAGES_MAX, OF_WORKSPACE_MAX, Script, room};
    use ringback_records::name::Name;
    use std::time::{Duration, Instant};

    #[test]
    fn who_has_most_gives_way_and_nobody_takes_from_his_own_what_is_called() {
        let [one, two, other]: [Name; 3] = ["one", "two", "other"].map(|name| name.parse().unwrap());
        let start = Instant::now();
        let at = |seconds: usize| start + Duration::from_secs(seconds as u64);
        let now = at(IMAGES_MAX);
        let own: Vec<_> =
            (0..OF_WORKSPACE_MAX).map(|index| (&one, at(index + IMAGES_MAX - OF_WORKSPACE_MAX))).collect();
        assert_eq!(room(&own[1..], &one, now), Some(None), "there is a place");
        assert_eq!(room(&own, &one, now), None, "all of its own are called");
        assert_eq!(room(&own, &one, own[0].1 + IDLE), Some(Some(0)), "one of them is no more");
        assert_eq!(room(&own, &two, now), Some(None), "a neighbour has places of its own");

        let names: Vec<Name> = (0..IMAGES_MAX).map(|index| format!("of-{}", index / 8).parse().unwrap()).collect();
        let mut all: Vec<_> = names.iter().enumerate().map(|(index, name)| (name, at(index))).collect();
        assert_eq!(room(&all, &other, now), Some(Some(IMAGES_MAX - 8)), "of the last by name, all having as many");
        assert_eq!(room(&all, &names[0], now), None, "who has as many as anybody takes nothing");
        all[8..16].iter_mut().for_each(|(name, _)| *name = &other);
        all[16].0 = &other;
        assert_eq!(room(&all, &names[0], now), None, "one more is no more than fair");
        all[17].0 = &other;
        assert_eq!(room(&all, &names[0], now), Some(Some(8)), "who has most gives its oldest");
    }

    #[test]
    fn a_script_is_due_after_some_calls_and_after_a_failure_later() {
        let script = Script::new(&Name::default_name(), ",\"source\":\"1\",\"line\":1}");
        let due_after = || (1..).find(|_| script.is_due());
        assert_eq!([due_after(), due_after()], [Some(CALLS), Some(CALLS)], "nobody had time for it");
        script.failed();
        assert_eq!(due_after(), Some(2 * CALLS));
        assert!(script.image("{\"scope\":{},\"source\":\"1\",\"line\":1}").is_none());
        assert_eq!(script.to_read(), "{\"scope\":{},\"source\":\"1\",\"line\":1}");
    }
}

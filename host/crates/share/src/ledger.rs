//! Whose turn it is.

use ringback_records::name::Name;
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

/// At most so much is held against a workspace of what it has had more than others: one that had everything while nobody else
/// wanted it does not stand back for long.
const AHEAD_MAX: Duration = Duration::from_secs(10);

/// Which workspace has had places for how long, and which of those in line is next: the one that has had the least.
///
/// As with deficit round robin, what one has had too much is made up for by its next turns; unlike there, nobody has to know before
/// how long something takes.
#[derive(Debug, Default)]
pub struct Ledger {
    accounts: HashMap<Name, Account>,
    /// What each has had, when it came, and who it is: the next one in front.
    line: BTreeSet<(Duration, u64, Name)>,
    /// What the next one had had at the last turn. Who comes now begins here: time that was not wanted is not saved up.
    least: Duration,
    arrivals: u64,
    /// Places that are held, in all.
    held: usize,
}

#[derive(Debug, Default)]
struct Account {
    had: Duration,
    holds: usize,
    /// When it came into the line, while it stands there.
    arrived: Option<u64>,
}

impl Ledger {
    /// How many places a workspace holds.
    pub fn holds(&self, workspace: &Name) -> usize {
        self.accounts.get(workspace).map_or(0, |account| account.holds)
    }

    /// Whether somebody stands in line.
    pub fn is_awaited(&self) -> bool {
        !self.line.is_empty()
    }

    /// Puts a workspace in line, unless it stands there.
    pub fn stand(&mut self, workspace: &Name) {
        let account = self.accounts.entry(workspace.clone()).or_default();
        if account.arrived.is_none() {
            self.arrivals += 1;
            account.arrived = Some(self.arrivals);
            account.had = account.had.max(self.least);
            self.line.insert((account.had, self.arrivals, workspace.clone()));
        }
    }

    /// Takes a place for a workspace that does not stand in line.
    pub fn take(&mut self, workspace: &Name) {
        let account = self.accounts.entry(workspace.clone()).or_default();
        account.had = account.had.max(self.least);
        account.holds += 1;
        self.held += 1;
        if self.line.is_empty() {
            self.least = account.had;
        }
    }

    /// Takes a place for the next one in line that may have another, by how many it holds, and takes it out of the line.
    pub fn next(&mut self, may: impl Fn(usize) -> bool) -> Option<Name> {
        let next = self.line.iter().find(|(_, _, workspace)| may(self.holds(workspace)))?.clone();
        if let Some((least, ..)) = self.line.first() {
            self.least = self.least.max(*least);
        }
        self.line.remove(&next);
        let (_, _, workspace) = next;
        let account = self.accounts.entry(workspace.clone()).or_default();
        account.arrived = None;
        account.holds += 1;
        self.held += 1;
        Some(workspace)
    }

    /// Gives back a place that was held for so long.
    pub fn give_back(&mut self, workspace: &Name, held_for: Duration) {
        let Some(account) = self.accounts.get_mut(workspace) else { return };
        let before = account.had;
        account.had = before.saturating_add(held_for).min(self.least.saturating_add(AHEAD_MAX)).max(before);
        account.holds = account.holds.saturating_sub(1);
        self.held = self.held.saturating_sub(1);
        if let Some(arrived) = account.arrived {
            let had = account.had;
            self.line.remove(&(before, arrived, workspace.clone()));
            self.line.insert((had, arrived, workspace.clone()));
        }
        if self.held == 0 && self.line.is_empty() {
            // There is nobody to be compared with.
            *self = Self::default();
        }
    }

    /// Whether one who has held a place for so long has had more than another one in line that may have it.
    pub fn is_others_turn(&self, workspace: &Name, held_for: Duration, may: impl Fn(usize) -> bool) -> bool {
        let had = self.accounts.get(workspace).map_or(self.least, |account| account.had).saturating_add(held_for);
        let before = self.line.iter().take_while(|(other, ..)| *other < had);
        before.into_iter().any(|(_, _, other)| other != workspace && may(self.holds(other)))
    }
}

#[cfg(test)]
mod tests {
    use super::{AHEAD_MAX, Ledger};
    use ringback_records::name::Name;
    use std::collections::HashMap;
    use std::time::Duration;

    const MILLI: Duration = Duration::from_millis(1);

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    /// Gives so many places for so long to workspaces that always want one: the time that each has had, and its turns.
    fn share(places: usize, wants: &[(&str, Duration)], time: Duration) -> HashMap<Name, (Duration, u32)> {
        let takes: HashMap<Name, Duration> = wants.iter().map(|(workspace, takes)| (name(workspace), *takes)).collect();
        let (mut ledger, mut now) = (Ledger::default(), Duration::ZERO);
        let mut at_work: Vec<(Duration, Name)> = Vec::new();
        let mut had: HashMap<Name, (Duration, u32)> = HashMap::new();
        takes.keys().for_each(|workspace| ledger.stand(workspace));
        while now < time {
            while at_work.len() < places
                && let Some(workspace) = ledger.next(|holds| holds < 1)
            {
                ledger.stand(&workspace);
                at_work.push((now + takes[&workspace], workspace));
            }
            let first = (0..at_work.len()).min_by_key(|index| at_work[*index].0).unwrap();
            let (ends, workspace) = at_work.swap_remove(first);
            now = ends;
            ledger.give_back(&workspace, takes[&workspace]);
            let of = had.entry(workspace.clone()).or_default();
            *of = (of.0 + takes[&workspace], of.1 + 1);
        }
        had
    }

    /// Turns alone would give one that takes 500 times as long 500 times as much.
    #[test]
    fn who_takes_long_has_fewer_turns_and_not_more_time() {
        let (short, long) = (2 * MILLI, 1000 * MILLI);
        let had = share(1, &[("short", short), ("long", long)], Duration::from_secs(60));
        let (of_short, of_long) = (had[&name("short")], had[&name("long")]);
        assert!(of_short.0.abs_diff(of_long.0) <= 2 * long, "{had:?}");
        assert!(of_short.1 > 400 * of_long.1, "{had:?}");
        let wants = [("a", short), ("b", short), ("c", long), ("d", 3 * long), ("e", long)];
        let had = share(2, &wants, Duration::from_secs(120));
        let times: Vec<Duration> = had.values().map(|(time, _)| *time).collect();
        let (least, most) = (*times.iter().min().unwrap(), *times.iter().max().unwrap());
        assert!(most - least <= 6 * long, "{had:?}");
    }

    #[test]
    fn those_who_take_as_long_have_turns_one_after_the_other() {
        let mut ledger = Ledger::default();
        for workspace in ["b", "a", "c", "a"] {
            ledger.stand(&name(workspace));
        }
        let order: Vec<String> = (0..6)
            .map(|_| {
                let workspace = ledger.next(|_| true).unwrap();
                ledger.give_back(&workspace, MILLI);
                ledger.stand(&workspace);
                workspace.to_string()
            })
            .collect();
        assert_eq!(order.concat(), "bacbac");
    }

    #[test]
    fn who_comes_new_is_next_and_has_saved_nothing_up() {
        let mut ledger = Ledger::default();
        let (old, new) = (name("old"), name("new"));
        ledger.take(&old);
        ledger.stand(&old);
        for _ in 0..100 {
            ledger.give_back(&old, 100 * MILLI);
            assert_eq!(ledger.next(|_| true), Some(old.clone()));
            ledger.stand(&old);
        }
        ledger.give_back(&old, 100 * MILLI);
        ledger.stand(&new);
        assert_eq!(ledger.next(|_| true), Some(new.clone()), "it has had nothing since it came");
        ledger.give_back(&new, 150 * MILLI);
        ledger.stand(&new);
        assert_eq!(ledger.next(|_| true), Some(old.clone()), "nor does it get what others had before");
    }

    #[test]
    fn what_one_has_had_alone_is_not_held_against_it_for_long() {
        let mut ledger = Ledger::default();
        let (alone, other) = (name("alone"), name("other"));
        for _ in 0..100 {
            ledger.take(&alone);
        }
        ledger.stand(&other);
        assert_eq!(ledger.next(|_| true), Some(other.clone()));
        (0..100).for_each(|_| ledger.give_back(&alone, Duration::from_secs(60)));
        ledger.stand(&alone);
        let mut turns = 0;
        ledger.give_back(&other, Duration::from_secs(1));
        loop {
            ledger.stand(&other);
            if ledger.next(|_| true) == Some(alone.clone()) {
                break;
            }
            turns += 1;
            ledger.give_back(&other, Duration::from_secs(1));
        }
        assert!((5..=20).contains(&turns), "{turns} turns of a second, and no more than {AHEAD_MAX:?} to make up for");
    }

    #[test]
    fn who_may_have_no_more_is_passed_and_stays_in_front() {
        let mut ledger = Ledger::default();
        let (full, other) = (name("full"), name("other"));
        ledger.take(&full);
        ledger.stand(&full);
        ledger.stand(&other);
        assert!(!ledger.is_others_turn(&full, Duration::ZERO, |holds| holds < 1), "it has had no more");
        assert!(ledger.is_others_turn(&full, MILLI, |holds| holds < 1));
        assert_eq!(ledger.next(|holds| holds < 1), Some(other.clone()));
        assert_eq!(ledger.next(|holds| holds < 1), None);
        assert!(!ledger.is_others_turn(&full, MILLI, |holds| holds < 1), "nobody else waits");
        ledger.give_back(&full, MILLI);
        assert_eq!(ledger.next(|holds| holds < 1), Some(full.clone()));
        assert!(!ledger.is_awaited());
        ledger.give_back(&full, MILLI);
        assert_eq!(ledger.holds(&other), 1);
        ledger.give_back(&other, MILLI);
        assert!(ledger.accounts.is_empty(), "nobody is remembered");
    }
}

//! How often a trigger may be called: a bucket for each, in memory.

use ringback_records::sync::lock;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// So many calls in a time; they may come all at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    pub calls: u32,
    pub per: Duration,
    /// Whether each address has so many of its own.
    pub by_address: bool,
}

/// Buckets by what they limit.
#[derive(Debug)]
pub struct Limiter<K> {
    /// When the last of the calls so far would be due, had they come evenly (the generic cell rate algorithm).
    due: Mutex<HashMap<K, Instant>>,
}

impl<K> Default for Limiter<K> {
    fn default() -> Self {
        Self { due: Mutex::default() }
    }
}

/// Most buckets. Before there are more, those that are full again are forgotten, or else the one that will be so first.
const BUCKETS_MAX: usize = 10_000;

impl<K: Hash + Eq + Clone> Limiter<K> {
    /// Takes a place for a call.
    ///
    /// # Errors
    ///
    /// There is none; how long until there is.
    pub fn take(&self, key: K, limit: Limit, now: Instant) -> Result<(), Duration> {
        let interval = limit.per / limit.calls.max(1);
        let mut due = lock(&self.due);
        if due.len() >= BUCKETS_MAX && !due.contains_key(&key) {
            due.retain(|_, due| *due > now);
            let first = due.iter().min_by_key(|(_, due)| **due).filter(|_| due.len() >= BUCKETS_MAX);
            if let Some(first) = first.map(|(key, _)| key.clone()) {
                due.remove(&first);
            }
        }
        let next = due.get(&key).copied().unwrap_or(now).max(now) + interval;
        // As many as are allowed may be ahead of their time.
        match next.checked_duration_since(now + limit.per).filter(|wait| !wait.is_zero()) {
            Some(wait) => Err(wait),
            None => {
                due.insert(key, next);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{BUCKETS_MAX, Limit, Limiter};
    use std::time::{Duration, Instant};

    const LIMIT: Limit = Limit { calls: 3, per: Duration::from_secs(6), by_address: false };

    #[test]
    fn more_than_the_limit_is_refused_until_its_time_has_come() {
        let (limiter, start) = (Limiter::default(), Instant::now());
        let take = |key, seconds| limiter.take(key, LIMIT, start + Duration::from_secs(seconds));
        for _ in 0..3 {
            assert_eq!(take("a", 0), Ok(()));
        }
        assert_eq!(take("a", 0), Err(Duration::from_secs(2)));
        assert_eq!(take("b", 0), Ok(()), "another has its own");
        assert_eq!(take("a", 1), Err(Duration::from_secs(1)));
        assert_eq!(take("a", 2), Ok(()));
        assert_eq!(take("a", 2), Err(Duration::from_secs(2)));
        for _ in 0..3 {
            assert_eq!(take("a", 100), Ok(()));
        }
        assert!(take("a", 100).is_err(), "a long pause gives no more than the limit");
    }

    #[test]
    fn what_is_full_again_is_forgotten() {
        let (limiter, start) = (Limiter::default(), Instant::now());
        for number in 0..3 * BUCKETS_MAX {
            limiter.take(number, LIMIT, start + Duration::from_millis(number as u64)).unwrap();
        }
        assert!(limiter.due.lock().unwrap().len() <= BUCKETS_MAX);
    }

    #[test]
    fn r22_there_are_never_more_buckets_than_the_most() {
        let (limiter, start) = (Limiter::default(), Instant::now());
        let slow = Limit { calls: 1, per: Duration::from_hours(24), by_address: false };
        for number in 0..=BUCKETS_MAX {
            limiter.take(number, slow, start + Duration::from_millis(number as u64)).unwrap();
        }
        assert_eq!(limiter.due.lock().unwrap().len(), BUCKETS_MAX);
        let later = start + Duration::from_hours(1);
        assert!(limiter.take(1, slow, later).is_err(), "those that are kept count");
        assert_eq!(limiter.take(0, slow, later), Ok(()), "the one that is full first was forgotten");
    }
}

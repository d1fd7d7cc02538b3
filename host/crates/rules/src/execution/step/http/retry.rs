//! When a request is sent again: how often, after which answers, and after which pause.

use crate::flow::document::{self, Node};
use crate::flow::parse::Parser;
use crate::flow::schema::keys;
use serde_json::Value;
use std::time::Duration;

const ATTEMPTS_MAX: u64 = 20;
/// Longest pause of its own; an answer may ask for one as long.
const PAUSE_MAX: Duration = Duration::from_hours(1);

/// How often and when a request is sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// All of them, the first included.
    pub attempts: u32,
    /// The pause after the first; it doubles each time.
    pub backoff: Duration,
}

impl Retry {
    /// For a request that is sent once.
    pub(super) const NONE: Self = Self { attempts: 1, backoff: Duration::ZERO };

    /// Whether an answer with this status says that the same request may succeed later.
    pub(super) fn may_help(status: u16) -> bool {
        matches!(status, 408 | 425 | 429 | 500..=599)
    }

    /// How long to wait after an attempt that failed, at least as long as its answer asks for; `None` when it was the last.
    pub(super) fn after(&self, attempt: u32, asked: Option<Duration>, seed: &str) -> Option<Duration> {
        (attempt < self.attempts).then(|| self.pause(attempt, seed).max(asked.unwrap_or_default()))
    }

    /// The pause after an attempt, from half of it to the whole: executions that failed together come back spread out. The
    /// same seed gives the same pause.
    pub fn pause(&self, attempt: u32, seed: &str) -> Duration {
        let whole = self.backoff.saturating_mul(1 << attempt.saturating_sub(1).min(20)).min(PAUSE_MAX);
        let spread = f64::from(crc32fast::hash(format!("{seed}/{attempt}").as_bytes())) / f64::from(u32::MAX);
        whole.mul_f64(0.5 + spread / 2.0)
    }

    pub(super) fn read(parser: &mut Parser, node: &Node) -> Option<Self> {
        let members = parser.object(node, "`retry`", &keys("retry"))?;
        let attempts = parser.required(&members, "attempts")?;
        let attempts = match &attempts.kind {
            document::Kind::Scalar(Value::Number(number))
                if number.as_u64().is_some_and(|n| (1..=ATTEMPTS_MAX).contains(&n)) =>
            {
                u32::try_from(number.as_u64()?).ok()?
            }
            _ => {
                parser.wrong(attempts, &format!("a whole number from 1 to {ATTEMPTS_MAX}, the first attempt included"));
                return None;
            }
        };
        let backoff = match members.get("backoff") {
            Some(node) => parser.duration(node, Duration::from_millis(100), Duration::from_hours(1))?,
            None => Duration::from_secs(1),
        };
        Some(Self { attempts, backoff })
    }
}

#[cfg(test)]
mod tests {
    use super::{Duration, Retry};

    #[test]
    fn the_last_attempt_is_followed_by_none() {
        let retry = Retry { attempts: 3, backoff: Duration::from_secs(2) };
        assert_eq!(Retry::NONE.after(1, None, "a"), None);
        assert_eq!(retry.after(3, Some(Duration::from_secs(1)), "a"), None);
        assert!(retry.after(2, None, "a").is_some());
    }

    #[test]
    fn pauses_double_spread_out_and_have_a_longest() {
        let retry = Retry { attempts: 20, backoff: Duration::from_secs(2) };
        for (attempt, whole) in [(1, 2), (2, 4), (5, 32), (12, 3600), (19, 3600)] {
            let whole = Duration::from_secs(whole);
            for seed in ["a", "b", "c"] {
                let pause = retry.pause(attempt, seed);
                assert!((whole / 2..=whole).contains(&pause), "{attempt} {seed}: {pause:?}");
                assert_eq!(pause, retry.pause(attempt, seed), "the same after a restart");
            }
        }
        assert_ne!(retry.pause(1, "a"), retry.pause(1, "b"));
    }

    #[test]
    fn an_answer_may_ask_for_a_longer_pause_and_for_no_shorter_one() {
        let retry = Retry { attempts: 2, backoff: Duration::from_secs(10) };
        let (short, long) = (Duration::from_secs(1), Duration::from_mins(1));
        assert_eq!(retry.after(1, Some(short), "a"), Some(retry.pause(1, "a")));
        assert_eq!(retry.after(1, Some(long), "a"), Some(long));
    }

    #[test]
    fn what_is_not_as_it_should_be_is_no_reason_to_ask_again() {
        for (status, may_help) in
            [(400, false), (401, false), (404, false), (408, true), (425, true), (429, true), (499, false), (503, true)]
        {
            assert_eq!(Retry::may_help(status), may_help, "{status}");
        }
    }
}

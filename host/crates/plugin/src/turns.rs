//! How a call uses its time: the processor's, which is what its limit is about, and everybody's.

use super::limits::LONG;
use ringback_records::sync::lock;
use rustix::time::{ClockId, clock_gettime};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// The turns of a call, each on one thread, until it waits for something or the engine's clock interrupts it.
///
/// Its processor time is counted from the first interruption on: what comes before is less than a tick, and most calls are
/// over by then. To ask for the time of a thread is a system call; until then the clock on the wall, which is none, tells how
/// long the turns were, and that is at most what was used.
pub(super) struct Turns {
    /// What was counted, in nanoseconds.
    used: AtomicU64,
    /// How long it was on a thread before it was counted, in nanoseconds.
    uncounted: AtomicU64,
    /// The thread's processor time up to which that is, in nanoseconds; 0 until the first interruption.
    counted_to: AtomicU64,
    interrupted: AtomicBool,
    deadline: Mutex<Instant>,
}

impl Turns {
    /// `wall`: how long the call may take altogether.
    pub(super) fn new(wall: Duration) -> Arc<Self> {
        let deadline = Mutex::new(Instant::now() + wall);
        let (used, uncounted, counted_to) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
        Arc::new(Self { used, uncounted, counted_to, interrupted: AtomicBool::new(false), deadline })
    }

    /// The engine's clock has interrupted the call: the processor time that it has used so far.
    pub(super) fn tick(&self) -> Duration {
        self.interrupted.store(true, Ordering::Relaxed);
        self.count();
        Duration::from_nanos(self.used.load(Ordering::Relaxed))
    }

    /// Whether it goes on where it gives way, and the next call of its version begins there.
    pub(super) fn is_long(&self) -> bool {
        Duration::from_nanos(self.used.load(Ordering::Relaxed)) >= LONG
    }

    /// What it has used of the processor, for people: what was counted, and how long its turns before that were.
    pub(super) fn cpu(&self) -> Duration {
        Duration::from_nanos(self.used.load(Ordering::Relaxed) + self.uncounted.load(Ordering::Relaxed))
    }

    /// Whether it last stopped since its turn was over, and not to wait for the host.
    pub(super) fn wants_to_run(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    /// The result of a call, unless its time is over before. The time in which it waits for a processor does not count.
    pub(super) async fn in_time<T>(&self, call: impl Future<Output = T>) -> Option<T> {
        let mut call = std::pin::pin!(call);
        loop {
            let deadline = *lock(&self.deadline);
            match tokio::time::timeout_at(deadline.into(), call.as_mut()).await {
                Ok(result) => return Some(result),
                Err(_) if *lock(&self.deadline) > deadline => {}
                Err(_) => return None,
            }
        }
    }

    pub(super) fn lengthen(&self, by: Duration) {
        *lock(&self.deadline) += by;
    }

    /// Lets a call run until it waits for something, its turn is over, or it has a result.
    pub(super) fn run<F: Future>(&self, call: Pin<&mut F>, context: &mut Context<'_>) -> Poll<F::Output> {
        self.interrupted.store(false, Ordering::Relaxed);
        let uncounted = (!self.is_counted()).then(Instant::now);
        if uncounted.is_none() {
            // It may be another thread than the last time.
            self.counted_to.store(thread_time(), Ordering::Relaxed);
        }
        let result = call.poll(context);
        if self.is_counted() {
            self.count();
        }
        if let Some(began) = uncounted {
            let turn = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
            let counted = self.used.load(Ordering::Relaxed);
            self.uncounted.fetch_add(turn.saturating_sub(counted), Ordering::Relaxed);
        }
        result
    }

    fn is_counted(&self) -> bool {
        self.counted_to.load(Ordering::Relaxed) > 0
    }

    fn count(&self) {
        let now = thread_time();
        let before = self.counted_to.swap(now, Ordering::Relaxed);
        if before > 0 {
            self.used.fetch_add(now.saturating_sub(before), Ordering::Relaxed);
        }
    }
}

/// Processor time of this thread, in nanoseconds.
fn thread_time() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let (seconds, nanos) = (u64::try_from(time.tv_sec), u64::try_from(time.tv_nsec));
    seconds.unwrap_or_default().saturating_mul(1_000_000_000).saturating_add(nanos.unwrap_or_default()).max(1)
}

#[cfg(test)]
mod tests {
    use super::{Turns, thread_time};
    use crate::limits::LONG;
    use std::future::poll_fn;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};
    use std::thread::{scope, sleep};
    use std::time::Duration;

    /// Uses so much of the processor's time.
    fn compute(time: Duration) {
        let until = thread_time() + u64::try_from(time.as_nanos()).unwrap();
        while thread_time() < until {}
    }

    /// A turn without an interruption.
    fn turn(turns: &Turns, work: fn()) {
        let call = pin!(poll_fn(|_| {
            work();
            Poll::<()>::Pending
        }));
        assert!(turns.run(call, &mut Context::from_waker(Waker::noop())).is_pending());
    }

    #[test]
    fn a_call_that_is_never_interrupted_has_used_what_its_turns_took() {
        let turns = Turns::new(Duration::from_secs(10));
        turn(&turns, || compute(LONG));
        // While it waits, it has no turn.
        sleep(Duration::from_millis(200));
        turn(&turns, || compute(LONG));
        let used = turns.cpu();
        assert!(used >= 2 * LONG && used < Duration::from_millis(150), "{used:?}");
        assert!(!turns.is_long(), "what was not counted does not make it a long one");
        let call = pin!(poll_fn(|_| {
            compute(LONG);
            turns.tick();
            compute(LONG);
            Poll::Ready(())
        }));
        assert!(turns.run(call, &mut Context::from_waker(Waker::noop())).is_ready());
        let all = turns.cpu();
        assert!(all >= used + 2 * LONG && all < used + Duration::from_millis(100), "{all:?} after {used:?}");
        turn(&turns, || compute(LONG));
        assert!(turns.cpu() >= all + LONG && turns.is_long());
    }

    #[test]
    fn what_others_use_is_not_counted_and_what_a_call_uses_is_on_every_thread() {
        let turns = Turns::new(Duration::from_secs(10));
        // A turn that the clock interrupts at its beginning and at its end.
        let turn = |work: fn()| {
            let call = pin!(poll_fn(|_| {
                turns.tick();
                work();
                turns.tick();
                Poll::<()>::Pending
            }));
            assert!(turns.run(call, &mut Context::from_waker(Waker::noop())).is_pending());
            turns.tick()
        };
        let waited = turn(|| sleep(Duration::from_millis(20)));
        assert!(waited < Duration::from_millis(10) && !turns.is_long(), "{waited:?}");
        let here = turn(|| compute(LONG));
        assert!(here >= LONG && turns.is_long(), "{here:?}");
        let there = scope(|scope| {
            let elsewhere = scope.spawn(|| {
                compute(Duration::from_millis(50));
                turn(|| compute(LONG))
            });
            elsewhere.join().unwrap()
        });
        assert!(there >= 2 * LONG && there < here + Duration::from_millis(40), "{there:?} after {here:?}");
    }
}

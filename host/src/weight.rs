//! How long a flow keeps a thread: one that computes for long is noticed, and runs where it gives way to others.

use ringback_records::callback::Site;
use ringback_records::name::Name;
use ringback_rules::flow::Flow;
use rustix::time::{ClockId, clock_gettime};
use std::future::poll_fn;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Longer than this at a time, others would notice.
const LONG: Duration = Duration::from_millis(3);
/// A flow that has not been long for so many times is as any other.
const SHORT_TIMES: u32 = 256;

/// A flow that can be run, and how long its work keeps a thread.
#[derive(Debug)]
pub struct LoadedFlow {
    flow: Flow,
    /// Of each trigger, for callbacks.
    sites: Vec<Arc<Site>>,
    pub weight: Weight,
}

impl From<Flow> for LoadedFlow {
    fn from(flow: Flow) -> Self {
        let site = |id: &Name| Arc::new(Site { flow: flow.name.clone(), trigger: id.clone() });
        let sites = flow.triggers.iter().map(|trigger| site(&trigger.id)).collect();
        Self { flow, sites, weight: Weight::default() }
    }
}

impl LoadedFlow {
    /// What a callback comes for that is for this trigger.
    pub fn site(&self, trigger: usize) -> Option<Arc<Site>> {
        self.sites.get(trigger).cloned()
    }
}

impl Deref for LoadedFlow {
    type Target = Flow;

    fn deref(&self) -> &Flow {
        &self.flow
    }
}

/// What is known of the work of a flow.
#[derive(Debug, Default)]
pub struct Weight {
    state: AtomicU8,
    short_times: AtomicU32,
}

const LIGHT: u8 = 0;
/// It took long, which may have been the machine: its processor time is looked at.
const WATCHED: u8 = 1;
const HEAVY: u8 = 2;

impl Weight {
    /// Whether it computes for so long that it must not do so on a thread that answers callers.
    pub fn is_heavy(&self) -> bool {
        self.state.load(Relaxed) == HEAVY
    }

    /// Does some of the work, and sees how long it keeps its thread at a time. The work stays where it is: it is large.
    pub async fn of<T>(&self, mut work: Pin<&mut impl Future<Output = T>>) -> T {
        poll_fn(|context| {
            let watched_from = (self.state.load(Relaxed) != LIGHT).then(thread_time);
            let began = Instant::now();
            let poll = work.as_mut().poll(context);
            match watched_from {
                Some(from) => self.note_processor_time(thread_time().saturating_sub(from)),
                None if began.elapsed() > LONG => self.change(WATCHED),
                None => {}
            }
            poll
        })
        .await
    }

    fn note_processor_time(&self, time: Duration) {
        if time > LONG {
            self.change(HEAVY);
        } else if self.short_times.fetch_add(1, Relaxed) >= SHORT_TIMES {
            self.change(LIGHT);
        }
    }

    fn change(&self, state: u8) {
        self.short_times.store(0, Relaxed);
        self.state.store(state, Relaxed);
    }
}

/// The processor time of this thread.
fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::{HEAVY, LIGHT, LONG, SHORT_TIMES, WATCHED, Weight, thread_time};
    use std::pin::pin;
    use std::sync::atomic::Ordering::Relaxed;

    #[tokio::test]
    async fn b3_what_computes_for_long_is_noticed_and_what_does_so_no_more_is_forgotten() {
        let weight = Weight::default();
        let state = || weight.state.load(Relaxed);
        weight.of(pin!(async {})).await;
        assert_eq!(state(), LIGHT);
        // What sleeps keeps no processor.
        weight.of(pin!(async { std::thread::sleep(LONG * 2) })).await;
        weight.of(pin!(async { std::thread::sleep(LONG * 2) })).await;
        assert_eq!(state(), WATCHED);
        let compute = async {
            let until = thread_time() + LONG * 2;
            while thread_time() < until {}
        };
        weight.of(pin!(compute)).await;
        assert_eq!(state(), HEAVY);
        assert!(weight.is_heavy());
        for _ in 0..=SHORT_TIMES {
            weight.of(pin!(async {})).await;
        }
        assert_eq!(state(), LIGHT);
    }
}

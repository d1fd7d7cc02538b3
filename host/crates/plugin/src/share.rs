//! On which threads calls run, and who has one next.
//!
//! A call begins on the thread that handles its callback: most are over in microseconds. One that takes longer goes on where
//! it gives way to everything else, so that whoever burns processor time waits for others, and not others for it.

use super::engine::Calls;
use super::error::CallError;
use super::limits::NICENESS;
use super::turns::Turns;
use ringback_records::name::Name;
use ringback_share::{Full, Places};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Instant;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

/// One of so many, until it is dropped.
struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn enter(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The threads of what takes long and gives way to everything else: long calls, of which so many run at a time, and the
/// starting of compilers, which inherit it.
pub(super) struct SlowLane {
    runtime: Option<Runtime>,
    places: Arc<Places>,
    calls: Arc<Calls>,
}

impl SlowLane {
    /// With so many threads; one workspace's calls run on half of them. `calls`: where those that run here are counted.
    pub(super) fn start(threads: usize, calls: Arc<Calls>) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name("slow")
            .enable_all()
            .on_thread_start(|| {
                // On Linux this is a matter of the thread.
                if let Err(error) = rustix::process::nice(NICENESS) {
                    tracing::warn!(%error, "the threads of what takes long have the priority of all others");
                }
            })
            .build()?;
        // Who is here has a place among the calls already: these lines need no bound of their own.
        let places = Places::new(threads, threads.div_ceil(2), usize::MAX);
        Ok(Self { runtime: Some(runtime), places, calls })
    }

    /// Runs a call to its end. `slow` says where it begins.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        workspace: &Name,
        call: impl Future<Output = T> + Send + 'static,
        turns: &Arc<Turns>,
        slow: bool,
    ) -> Result<T, CallError> {
        let mut call = Box::pin(call);
        if !slow {
            let begun = poll_fn(|context| match turns.run(call.as_mut(), context) {
                Poll::Ready(result) => Poll::Ready(Some(result)),
                Poll::Pending if turns.is_long() => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            });
            if let Some(result) = begun.await {
                return Ok(result);
            }
        }
        let call =
            run_slowly(call, Arc::clone(turns), Arc::clone(&self.places), workspace.clone(), Arc::clone(&self.calls));
        self.spawn(call).await.map_err(CallError::Host)?
    }

    /// Runs work of the host itself, which has a place of its workspace for as long as it computes.
    ///
    /// # Errors
    ///
    /// The server is stopping.
    pub(super) async fn compute<T: Send + 'static>(
        &self,
        workspace: &Name,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, String> {
        let (places, workspace) = (Arc::clone(&self.places), workspace.clone());
        let work = async move {
            let mut work = Box::pin(work);
            loop {
                let place = places.take(&workspace).await.map_err(|Full| CallError::Busy.to_string())?;
                let polled = poll_fn(|context| Poll::Ready(work.as_mut().poll(context))).await;
                drop(place);
                match polled {
                    Poll::Ready(result) => return Ok(result),
                    Poll::Pending => until_woken().await,
                }
            }
        };
        self.spawn(work).await?
    }

    /// Runs work on these threads, without a place, to its end or until nobody waits for it any more.
    ///
    /// # Errors
    ///
    /// The server is stopping.
    pub(super) async fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, String> {
        let runtime = self.runtime.as_ref().ok_or("the server is stopping")?;
        let mut running = Aborting(runtime.spawn(work));
        (&mut running.0).await.map_err(|error| error.to_string())
    }
}

/// Why a call has no thread now.
enum Stopped<T> {
    Done(T),
    /// It has had more time than others who wait for a thread.
    OthersTurn,
    /// It waits for the host.
    Waits,
}

/// Runs a call to its end. It has a place while it runs, and none while it waits for the host or others have had less.
async fn run_slowly<T>(
    mut call: Pin<Box<impl Future<Output = T>>>,
    turns: Arc<Turns>,
    places: Arc<Places>,
    workspace: Name,
    calls: Arc<Calls>,
) -> Result<T, CallError> {
    loop {
        let waiting = Instant::now();
        let place = places.take(&workspace).await.map_err(|Full| CallError::Busy)?;
        turns.lengthen(waiting.elapsed());
        let running = Counted::enter(&calls.long);
        let stopped = poll_fn(|context| match turns.run(call.as_mut(), context) {
            Poll::Ready(result) => Poll::Ready(Stopped::Done(result)),
            Poll::Pending if turns.wants_to_run() && place.is_others_turn() => Poll::Ready(Stopped::OthersTurn),
            // Its turn is over, and it comes to the next one at once: after those who have been waiting.
            Poll::Pending if turns.wants_to_run() => {
                std::thread::yield_now();
                Poll::Pending
            }
            Poll::Pending => Poll::Ready(Stopped::Waits),
        });
        match stopped.await {
            Stopped::Done(result) => return Ok(result),
            Stopped::OthersTurn => {}
            Stopped::Waits => {
                drop((running, place));
                until_woken().await;
            }
        }
    }
}

/// Waits until what this task waits for wakes it.
async fn until_woken() {
    let mut woken = false;
    poll_fn(|_| if std::mem::replace(&mut woken, true) { Poll::Ready(()) } else { Poll::Pending }).await;
}

impl Drop for SlowLane {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A task that ends when nobody waits for it any more.
struct Aborting<T>(JoinHandle<T>);

impl<T> Drop for Aborting<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::{Calls, SlowLane};
    use crate::limits::{LONG, NICENESS};
    use crate::turns::Turns;
    use futures_util::future::BoxFuture;
    use ringback_records::name::Name;
    use std::sync::Arc;
    use std::sync::atomic::Ordering;
    use std::time::{Duration, Instant};

    const WALL: Duration = Duration::from_secs(10);

    /// Computes, in turns that the clock ends, until so much processor time is used: the thread that it ended on.
    async fn compute(turns: Arc<Turns>, time: Duration) -> String {
        while turns.tick() < time {
            let begun = Instant::now();
            while begun.elapsed() < Duration::from_micros(200) {}
            tokio::task::yield_now().await;
        }
        std::thread::current().name().unwrap_or_default().to_owned()
    }

    #[tokio::test]
    async fn long_calls_go_on_elsewhere_and_end_with_who_waits_for_them() {
        let calls = Arc::new(Calls::default());
        let (lane, workspace) = (SlowLane::start(2, Arc::clone(&calls)).unwrap(), Name::default_name());
        for (time, slow, elsewhere) in
            [(Duration::ZERO, false, false), (2 * LONG, false, true), (Duration::ZERO, true, true)]
        {
            let turns = Turns::new(WALL);
            let thread = lane.run(&workspace, compute(Arc::clone(&turns), time), &turns, slow).await.unwrap();
            assert_eq!(thread == "slow", elsewhere, "{time:?}: {thread}");
            assert_eq!(turns.is_long(), time > LONG);
        }
        let dropped = Arc::new(());
        let held = Arc::clone(&dropped);
        let turns = Turns::new(WALL);
        let endless = async move {
            let _held = held;
            std::future::pending::<()>().await;
        };
        let endless = lane.run(&workspace, endless, &turns, true);
        assert!(tokio::time::timeout(Duration::from_millis(20), endless).await.is_err());
        while Arc::strong_count(&dropped) > 1 || calls.long.load(Ordering::Relaxed) > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Without turns of its own in the middle of the long call, the short ones would wait for its end.
    #[tokio::test]
    async fn a_long_call_gives_way_to_a_workspace_that_has_had_less() {
        let lane = SlowLane::start(1, Arc::default()).unwrap();
        let (long, short): (Name, Name) = ("long".parse().unwrap(), "short".parse().unwrap());
        let run = async |workspace: &Name, time: Duration| {
            let turns = Turns::new(WALL);
            lane.run(workspace, compute(Arc::clone(&turns), time), &turns, true).await.unwrap();
        };
        let began = Instant::now();
        let short = async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            for _ in 0..10 {
                run(&short, 2 * LONG).await;
            }
            began.elapsed()
        };
        let long = async {
            run(&long, Duration::from_millis(500)).await;
            began.elapsed()
        };
        let (long, short) = tokio::join!(long, short);
        assert!(short < long, "{short:?} and {long:?}");
    }

    #[tokio::test]
    async fn a_compiler_that_starts_here_gives_way_as_well() {
        let lane = SlowLane::start(1, Arc::default()).unwrap();
        let niceness = async || {
            let said = tokio::process::Command::new("nice").output().await.unwrap().stdout;
            String::from_utf8(said).unwrap().trim().parse::<i32>().unwrap()
        };
        let (here, there) = (niceness().await, lane.spawn(niceness()).await.unwrap());
        assert_eq!(there, (here + NICENESS).min(19));
    }

    /// Nobody runs out of time in the line for a processor, and who waits for the host keeps nobody from running.
    #[tokio::test]
    async fn waiting_for_a_processor_takes_no_time_of_a_call() {
        let lane = SlowLane::start(2, Arc::default()).unwrap();
        let (workspace, other): (Name, Name) = (Name::default_name(), "other".parse().unwrap());
        let run = async |workspace: &Name, wall: u64, work: BoxFuture<'static, String>, turns: Option<Arc<Turns>>| {
            let turns = turns.unwrap_or_else(|| Turns::new(Duration::from_millis(wall)));
            let watched = Arc::clone(&turns);
            lane.run(workspace, async move { watched.in_time(work).await }, &turns, true).await.unwrap()
        };
        // It has a processor for so long, in turns that the clock ends.
        let holding = async |workspace: &Name| {
            let turns = Turns::new(Duration::from_millis(300));
            let held = Arc::clone(&turns);
            let work = async move {
                let begun = Instant::now();
                while begun.elapsed() < Duration::from_millis(150) {
                    std::thread::sleep(Duration::from_micros(500));
                    held.tick();
                    tokio::task::yield_now().await;
                }
                String::new()
            };
            run(workspace, 0, Box::pin(work), Some(turns)).await
        };
        let waiting = async |millis: u64, wall: u64| {
            let sleep = tokio::time::sleep(Duration::from_millis(millis));
            run(
                &workspace,
                wall,
                Box::pin(async move {
                    sleep.await;
                    String::new()
                }),
                None,
            )
            .await
        };
        let started = Instant::now();
        let all = tokio::join!(holding(&workspace), holding(&workspace), holding(&workspace), holding(&other));
        assert!([all.0, all.1, all.2, all.3].iter().all(Option::is_some), "each had its time");
        assert!(started.elapsed() >= Duration::from_millis(450), "one workspace ran one call at a time");
        let started = Instant::now();
        let hosts = futures_util::future::join_all((0..20).map(|_| waiting(200, 5000))).await;
        assert!(hosts.iter().all(Option::is_some) && started.elapsed() < Duration::from_secs(2));
        assert_eq!(waiting(2000, 100).await, None);
        assert!(waiting(1, 5000).await.is_some(), "the next works");
    }
}

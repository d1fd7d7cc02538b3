//! What a connection is doing, and how it ends: how long it may be silent, and what is still read of it after its end.

use ringback_records::sync::lock;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// How long, and for how many bytes, a connection is read and thrown away that has ended here: a caller that sends all of its
/// body before it reads would otherwise see a reset in place of its answer.
const LINGER_TIME_MAX: Duration = Duration::from_secs(10);
const LINGER_BYTES_MAX: usize = 64 << 20;
/// Bytes that are thrown away at a time.
const LINGER_CHUNK: usize = 16 << 10;

/// What a connection is doing.
#[derive(Debug)]
enum Phase {
    /// The headers of a request are arriving.
    Heading { since: Instant },
    /// A request is being handled.
    Busy,
    /// It waits for the next request.
    Idle { since: Instant },
}

/// Which of two times a connection has let pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Silence {
    /// For headers to arrive.
    Heading,
    /// For the next request to begin.
    Idle,
}

/// What is known of a connection.
#[derive(Debug)]
pub(super) struct Watch {
    phase: Mutex<Phase>,
    heading: Duration,
    idle: Duration,
    /// The server stops: nothing waits for callers any more.
    stopping: AtomicBool,
}

impl Watch {
    pub(super) fn new(heading: Duration, idle: Duration) -> Arc<Self> {
        let phase = Mutex::new(Phase::Heading { since: Instant::now() });
        Arc::new(Self { phase, heading, idle, stopping: AtomicBool::new(false) })
    }

    /// A whole head has come.
    pub(super) fn begin(&self) {
        *lock(&self.phase) = Phase::Busy;
    }

    /// The request was answered.
    pub(super) fn rest(&self) {
        *lock(&self.phase) = Phase::Idle { since: Instant::now() };
    }

    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    fn bytes_came(&self) {
        let mut phase = lock(&self.phase);
        if matches!(*phase, Phase::Idle { .. }) {
            *phase = Phase::Heading { since: Instant::now() };
        }
    }

    /// Comes to an end when the connection has been silent for too long.
    pub(super) async fn silence(&self) -> Silence {
        loop {
            let (silence, left) = match *lock(&self.phase) {
                Phase::Heading { since } => (Silence::Heading, self.heading.saturating_sub(since.elapsed())),
                Phase::Idle { since } => (Silence::Idle, self.idle.saturating_sub(since.elapsed())),
                Phase::Busy => (Silence::Heading, self.heading),
            };
            if left.is_zero() {
                return silence;
            }
            // A head that begins in the meantime has its own, shorter time.
            tokio::time::sleep(left.min(self.heading)).await;
        }
    }
}

/// A connection that is watched, and that lingers after its end.
pub(super) struct Watched<S> {
    stream: S,
    watch: Arc<Watch>,
    /// Once nothing is sent any more: until when, and for how many bytes, it is read.
    lingering: Option<(Pin<Box<Sleep>>, usize)>,
}

impl<S> Watched<S> {
    pub(super) fn new(stream: S, watch: Arc<Watch>) -> Self {
        Self { stream, watch, lingering: None }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.watch.bytes_came();
        }
        read
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    /// Ends what is sent, and then reads until the caller has ended, too.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { stream, watch, lingering } = &mut *self;
        let (until, left) = match lingering {
            Some(lingering) => lingering,
            None => {
                ready!(Pin::new(&mut *stream).poll_shutdown(cx))?;
                lingering.insert((Box::pin(tokio::time::sleep(LINGER_TIME_MAX)), LINGER_BYTES_MAX))
            }
        };
        let mut chunk = [0; LINGER_CHUNK];
        while !watch.stopping.load(Ordering::Acquire) && *left > 0 && until.as_mut().poll(cx).is_pending() {
            let mut buffer = ReadBuf::new(&mut chunk);
            match ready!(Pin::new(&mut *stream).poll_read(cx, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => *left = left.saturating_sub(buffer.filled().len()),
                Ok(()) | Err(_) => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}

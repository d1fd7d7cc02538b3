//! The caller at the other end of a connection, while an answer goes on that says nothing.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, Join, ReadBuf, join};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;

/// How long to wait until it is looked again whether there is an end behind what a caller has said meanwhile.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Whoever is at the other end. The connection is open for as long as this is held.
#[derive(Clone, Debug)]
pub(super) struct Peer(Arc<OwnedReadHalf>);

impl Peer {
    /// Comes to an end when the caller sends nothing any more, since it has closed the connection or this has broken.
    ///
    /// While an answer is under way nobody else reads, so that this would be noticed by a failure to write alone.
    pub(super) async fn end(&self) {
        let stream: &TcpStream = self.0.as_ref().as_ref();
        while stream.peek(&mut [0]).await.is_ok_and(|bytes| bytes > 0) {
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }
}

/// A connection, and who is at its other end.
pub(super) fn split(stream: TcpStream) -> (Join<impl AsyncRead, impl AsyncWrite>, Peer) {
    let (read, write) = stream.into_split();
    let read = Arc::new(read);
    (join(Shared(Arc::clone(&read)), write), Peer(read))
}

/// What reads a connection, while others look at it.
struct Shared(Arc<OwnedReadHalf>);

impl AsyncRead for Shared {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let stream: &TcpStream = self.0.as_ref().as_ref();
        loop {
            ready!(stream.poll_read_ready(cx))?;
            match stream.try_read_buf(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return Poll::Ready(read.map(drop)),
            }
        }
    }
}

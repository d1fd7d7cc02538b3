//! Answers that go on: server-sent events, until who listens goes, the token ends, or the server stops.

use super::peer::Peer;
use crate::app::App;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream::{self, Stream};
use ringback_records::time::Timestamp;
use ringback_records::token::TokenRecord;
use ringback_store::{Heard, Tail};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

/// What comes within this time is told together.
const PACE: Duration = Duration::from_millis(50);
/// How often it is looked whether the token still counts, while nothing comes.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// How often something is sent while there is nothing to tell, so that a connection that has broken is noticed.
const ALIVE_INTERVAL: Duration = Duration::from_secs(15);

/// After so many callbacks that were not wanted, who listens is told the place: to come back there, and not where he was told of one.
const PLACE_INTERVAL: u64 = 128;

struct Listener<F> {
    app: Arc<App>,
    peer: Peer,
    token: TokenRecord,
    until: Option<Timestamp>,
    tail: Tail,
    show: F,
    events: VecDeque<Event>,
}

impl<F: FnMut(&App, Heard) -> Vec<Event> + Send> Listener<F> {
    /// The next event; `None` at the end.
    async fn next(&mut self) -> Option<Event> {
        loop {
            let now = Timestamp::now();
            let is_over = self.until.is_some_and(|until| until <= now);
            if is_over || !self.app.is_ready() || !self.app.tokens.is_valid(&self.token, now) {
                return None;
            }
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            let has_come = tokio::select! {
                () = self.tail.wait() => true,
                // The place is somebody else's now.
                () = self.peer.end() => return None,
                () = self.app.stopped() => false,
                () = tokio::time::sleep(LOOK_INTERVAL) => false,
            };
            if has_come {
                tokio::time::sleep(PACE).await;
                match self.tail.take().await {
                    Ok(heard) => self.events.extend((self.show)(&self.app, heard)),
                    Err(error) => {
                        tracing::warn!(%error, "who listens to callbacks cannot be told of them");
                        return None;
                    }
                }
            }
        }
    }
}

/// What is heard, as events, while the peer listens, as long as a token counts, and until a time.
pub(super) fn events<F: FnMut(&App, Heard) -> Vec<Event> + Send + 'static>(
    app: Arc<App>,
    peer: Peer,
    token: TokenRecord,
    until: Option<Timestamp>,
    tail: Tail,
    show: F,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let listener = Listener { app, peer, token, until, tail, show, events: VecDeque::new() };
    let events = stream::unfold(listener, |mut listener| async {
        let event = listener.next().await?;
        Some((Ok(event), listener))
    });
    Sse::new(events).keep_alive(KeepAlive::new().interval(ALIVE_INTERVAL))
}

/// Says the place where nothing else has said one for a while.
pub(super) fn place(events: &mut Vec<Event>, said: &mut u64, next: u64) {
    if !events.is_empty() {
        *said = next;
    } else if next.saturating_sub(*said) >= PLACE_INTERVAL {
        *said = next;
        events.push(Event::default().id(next.to_string()));
    }
}

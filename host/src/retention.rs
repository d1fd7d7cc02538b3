//! Forgets, now and then, what is older than the operator wants to keep.

use crate::catalogue::flows::Flows;
use crate::catalogue::tickets::Tickets;
use ringback_records::time::Timestamp;
use ringback_store::{Forgotten, Store, StoreError};
use std::convert::Infallible;
use std::time::Duration;

/// What is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// How long an execution is kept after its end, and a callback that belongs to none after it came; `None` for ever.
    pub keep_for: Option<Duration>,
    /// How many executions are kept; the oldest that have ended go first. `None` for all.
    pub executions_max: Option<usize>,
    /// How many versions of a flow are kept that no execution needs.
    pub flow_versions: usize,
    /// How often it is looked at.
    pub interval: Duration,
}

/// Forgets for ever.
pub async fn forget_repeatedly(store: &Store, flows: &Flows, tickets: &Tickets, retention: Retention) -> Infallible {
    loop {
        let Retention { keep_for, executions_max, interval, .. } = retention;
        tokio::time::sleep(interval).await;
        let cutoff = keep_for.map_or(Timestamp::default(), |keep| Timestamp::now().saturating_sub(keep));
        match store.forget(cutoff, executions_max).await {
            Ok(Forgotten { executions: 0, callbacks: 0, tickets: 0 }) => {}
            Ok(Forgotten { executions, callbacks, tickets }) => {
                tracing::info!(executions, callbacks, tickets, "forgot what is old");
            }
            // The store has stopped, and says so itself.
            Err(StoreError::Stopped(_)) => std::future::pending().await,
            Err(error) => tracing::error!(%error, "what is old could not be forgotten"),
        }
        match tickets.forget_gone(cutoff).await {
            Ok(0) => {}
            Ok(tickets) => tracing::info!(tickets, "forgot tickets of which nothing can come any more"),
            Err(error) => tracing::error!(%error, "tickets of which nothing can come any more could not be forgotten"),
        }
        if let Err(error) = flows.forget_versions().await {
            tracing::error!(%error, "versions of flows that nobody needs could not be forgotten");
        }
    }
}

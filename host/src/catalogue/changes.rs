//! Changes that wait for each other where they have to.

use ringback_records::name::Name;
use ringback_records::sync::lock;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use tokio::sync::OwnedMutexGuard;

/// Changes of what belongs to workspaces: of one workspace they come one after the other, and nobody waits for those of another.
#[derive(Default)]
pub(super) struct Changes {
    under_way: Mutex<HashMap<Name, Arc<tokio::sync::Mutex<()>>>>,
}

impl Changes {
    /// While this is held, nothing else changes in the workspace.
    pub(super) async fn begin(&self, workspace: &Name) -> OwnedMutexGuard<()> {
        let own = {
            let mut under_way = lock(&self.under_way);
            under_way.retain(|_, own| Arc::strong_count(own) > 1);
            Arc::clone(under_way.entry(workspace.clone()).or_default())
        };
        own.lock_owned().await
    }
}

#[cfg(test)]
mod tests {
    use super::{Changes, lock};
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};

    /// What a future has by now, if anything.
    fn now<F: Future>(future: Pin<&mut F>) -> Option<F::Output> {
        match future.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        }
    }

    /// R10: a neighbour who changes as much as he likes, and never comes to an end, holds up nobody else.
    #[test]
    fn r10_changes_wait_for_those_of_their_workspace() {
        let changes = Changes::default();
        let (own, other) = ("own".parse().unwrap(), "other".parse().unwrap());
        let begin = |workspace| Box::pin(changes.begin(workspace));
        let held = now(begin(&other).as_mut()).unwrap();
        let mut waiting: Vec<_> = (0..100).map(|_| begin(&other)).collect();
        assert!(waiting.iter_mut().all(|change| now(change.as_mut()).is_none()), "one after the other");
        for _ in 0..3 {
            assert!(now(begin(&own).as_mut()).is_some());
        }
        drop(held);
        let second = now(waiting.remove(0).as_mut());
        assert!(second.is_some(), "in the order in which they came");
        assert!(waiting.iter_mut().all(|change| now(change.as_mut()).is_none()));
        drop((waiting, second));
        assert!(now(begin(&own).as_mut()).is_some());
        assert_eq!(lock(&changes.under_way).len(), 1, "nobody is remembered");
    }
}

//! Rounds of what is looked at now and then: one of a workspace at a time, so that none waits for what takes long in another.

use ringback_records::name::Name;
use std::collections::HashMap;
use tokio::task::JoinHandle;

/// The rounds that are under way, and what the last ones came to. Dropping them ends them.
pub struct Rounds<T>(HashMap<Name, JoinHandle<T>>);

impl<T> Default for Rounds<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T: Default + Send + 'static> Rounds<T> {
    /// Begins a round of each of these workspaces that has none under way, with what its last one came to. Of the others nothing is
    /// remembered.
    pub async fn begin<F>(&mut self, workspaces: Vec<Name>, round: impl Fn(Name, T) -> F)
    where
        F: Future<Output = T> + Send + 'static,
    {
        self.0.retain(|workspace, round| !round.is_finished() || workspaces.contains(workspace));
        for workspace in workspaces {
            let last = match self.0.remove(&workspace) {
                Some(last) if !last.is_finished() => {
                    self.0.insert(workspace, last);
                    continue;
                }
                Some(last) => last.await.unwrap_or_default(),
                None => T::default(),
            };
            let round = tokio::spawn(round(workspace.clone(), last));
            self.0.insert(workspace, round);
        }
    }
}

impl<T> Drop for Rounds<T> {
    fn drop(&mut self) {
        self.0.values().for_each(JoinHandle::abort);
    }
}

#[cfg(test)]
mod tests {
    use super::Rounds;
    use ringback_records::name::Name;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::sync::Semaphore;

    #[tokio::test]
    async fn one_of_a_workspace_at_a_time_which_goes_on_where_the_last_one_ended() {
        let [slow, quick]: [Name; 2] = ["slow", "quick"].map(|name| name.parse().unwrap());
        let (begun, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(Semaphore::new(0)));
        let mut rounds: Rounds<usize> = Rounds::default();
        let round = |workspace: Name, last: usize| {
            let (begun, gate) = (Arc::clone(&begun), Arc::clone(&gate));
            async move {
                begun.fetch_add(1, Ordering::Relaxed);
                if workspace.as_str() == "slow" {
                    gate.acquire().await.unwrap().forget();
                }
                last + 1
            }
        };
        for number in 1..4 {
            rounds.begin(vec![quick.clone(), slow.clone()], round).await;
            while begun.load(Ordering::Relaxed) < number + 1 || !rounds.0[&quick].is_finished() {
                tokio::task::yield_now().await;
            }
        }
        gate.add_permits(1);
        while !rounds.0[&slow].is_finished() {
            tokio::task::yield_now().await;
        }
        assert_eq!(begun.load(Ordering::Relaxed), 4, "three quick ones, and one that took long");
        assert_eq!(rounds.0.remove(&quick).unwrap().await.unwrap(), 3);
        rounds.begin(vec![quick.clone()], round).await;
        assert!(!rounds.0.contains_key(&slow), "nothing is remembered");
        assert_eq!(rounds.0.remove(&quick).unwrap().await.unwrap(), 1);
        rounds.begin(vec![slow.clone()], round).await;
        let under_way = rounds.0[&slow].abort_handle();
        drop(rounds);
        while !under_way.is_finished() {
            tokio::task::yield_now().await;
        }
    }
}

//! Callers who wait for the answer of an execution.

use super::Runner;
use ringback_records::journal::Status;
use ringback_records::name::ExecutionId;
use ringback_records::reply::Reply;
use ringback_records::sync::lock;
use ringback_rules::execution::Execution;
use tokio::sync::oneshot;

/// What a caller who waits for an execution gets.
#[derive(Clone, Debug)]
pub enum Answer {
    /// A step answered.
    Responded(Reply),
    /// The execution ended without an answer of its own.
    Ended(Box<Execution>),
    /// It waits, and has not answered.
    Rested(Box<Execution>),
}

/// What a caller waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// An answer of the execution, or its end.
    Answered,
    /// As well that it waits: for another callback, or for a time.
    Rested,
}

impl Answer {
    /// What an execution answers by now, if anything.
    pub fn of(execution: &Execution, until: Until) -> Option<Self> {
        match execution.reply() {
            Some(reply) => Some(Self::Responded(reply.clone())),
            None if execution.summary.status.is_ended() => Some(Self::Ended(Box::new(execution.clone()))),
            None if until == Until::Rested && execution.summary.status == Status::Waiting => {
                Some(Self::Rested(Box::new(execution.clone())))
            }
            None => None,
        }
    }
}

/// A caller who waits.
pub(super) struct Waiter {
    until: Until,
    send: oneshot::Sender<Answer>,
}

/// Where the answer of an execution arrives. Who gives up leaves nothing behind.
pub struct Waiting {
    runner: Runner,
    id: ExecutionId,
    answer: oneshot::Receiver<Answer>,
}

impl Waiting {
    /// The answer; `None` when nobody can give it any more.
    pub async fn answer(mut self) -> Option<Answer> {
        (&mut self.answer).await.ok()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.answer.close();
        let mut waiters = lock(&self.runner.inner.waiters);
        if let Some(waiting) = waiters.get_mut(&self.id) {
            waiting.retain(|waiter| !waiter.send.is_closed());
            if waiting.is_empty() {
                waiters.remove(&self.id);
            }
        }
    }
}

impl Runner {
    /// Waits for an execution, also for one that is about to begin.
    pub fn wait_for_answer(&self, id: ExecutionId, until: Until) -> Waiting {
        let (send, answer) = oneshot::channel();
        lock(&self.inner.waiters).entry(id).or_default().push(Waiter { until, send });
        Waiting { runner: self.clone(), id, answer }
    }

    /// How many callers wait for the answer of an execution.
    pub fn callers_waiting(&self) -> usize {
        lock(&self.inner.waiters).values().map(Vec::len).sum()
    }

    /// Answers those who wait, when there is an answer. Whether the execution rests is known when nothing is left to do.
    pub(super) fn answer(&self, execution: &Execution, until: Until) {
        let mut waiters = lock(&self.inner.waiters);
        if waiters.is_empty() || !waiters.contains_key(&execution.summary.id) {
            return;
        }
        let Some(answer) = Answer::of(execution, until) else { return };
        let for_all = !matches!(answer, Answer::Rested(_));
        let mut all = waiters.remove(&execution.summary.id).unwrap_or_default();
        let answered: Vec<Waiter> = all.extract_if(.., |waiter| for_all || waiter.until == Until::Rested).collect();
        if !all.is_empty() {
            waiters.insert(execution.summary.id, all);
        }
        for waiter in answered {
            // A caller who is gone needs no answer.
            let _ = waiter.send.send(answer.clone());
        }
    }
}

//! The circuit breaker: a version that failed again and again rests, and is not called until a minute has passed.

use super::error::CallError;
use ringback_records::sync::lock;
use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// This many faults of one version within [`WINDOW`] open its circuit for as long again.
const FAULTS: usize = 5;
const WINDOW: Duration = Duration::from_mins(1);

/// The circuit breaker of one version: the faults that it had lately, the oldest first.
#[derive(Default)]
pub(super) struct Circuit {
    faults: Mutex<VecDeque<Instant>>,
}

impl Circuit {
    /// Notes a call that failed now, if that counts.
    pub(super) fn note(&self, error: &CallError, now: Instant) {
        if counts(error) {
            let mut faults = lock(&self.faults);
            if faults.len() == FAULTS {
                faults.pop_front();
            }
            faults.push_back(now);
        }
    }

    /// The number of faults that opened it, while it is open and the version rests.
    pub(super) fn is_open(&self, now: Instant) -> Option<usize> {
        let faults = lock(&self.faults);
        let (first, last) = (faults.front()?, faults.back()?);
        let is_open =
            faults.len() == FAULTS && last.duration_since(*first) < WINDOW && now.duration_since(*last) < WINDOW;
        is_open.then_some(FAULTS)
    }
}

/// Whether a failure counts against the version. What a plugin itself says went wrong does not, since it works; and nothing
/// that is the server's doing.
fn counts(error: &CallError) -> bool {
    match error {
        CallError::Trapped { .. }
        | CallError::OutOfTime { .. }
        | CallError::OutOfMemory { .. }
        | CallError::BadOutput { .. } => true,
        CallError::Guest { .. }
        | CallError::Missing { .. }
        | CallError::Busy
        | CallError::Crowded { .. }
        | CallError::Open { .. }
        | CallError::NotLoaded { .. }
        | CallError::Host(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{CallError, Circuit, Duration, FAULTS, Instant, WINDOW};
    use ringback_records::name::Name;
    use ringback_records::plugin::Role;

    const SECOND: Duration = Duration::from_secs(1);

    /// A circuit after faults at these times.
    fn after(times: impl IntoIterator<Item = Instant>) -> Circuit {
        let circuit = Circuit::default();
        for time in times {
            circuit.note(&CallError::OutOfMemory { plugin: Name::default_name(), limit_bytes: 1 }, time);
        }
        circuit
    }

    #[test]
    fn so_many_faults_within_the_window_open_it_and_fewer_do_not() {
        let begun = Instant::now();
        let faults = |count: u32, apart: Duration| (0..count).map(move |fault| begun + apart * fault);
        let end = |apart: Duration| begun + apart * 4;
        assert_eq!(Circuit::default().is_open(begun), None);
        assert_eq!(after(faults(4, SECOND)).is_open(end(SECOND)), None);
        assert_eq!(after(faults(5, SECOND)).is_open(end(SECOND)), Some(5));
        assert_eq!(after(faults(5, WINDOW / 4)).is_open(end(WINDOW / 4)), None, "a minute lies between");
        let later = faults(5, SECOND).map(|fault| fault + WINDOW);
        let open = after(faults(3, SECOND).chain(later)).is_open(end(SECOND) + WINDOW);
        assert_eq!(open, Some(5), "the last ones count");
    }

    #[test]
    fn it_closes_after_the_window_and_opens_again_after_as_many_faults() {
        let begun = Instant::now();
        let circuit = after([begun; FAULTS]);
        assert!(circuit.is_open(begun + WINDOW.saturating_sub(Duration::from_millis(1))).is_some());
        let rested = begun + WINDOW;
        assert_eq!(circuit.is_open(rested), None);
        for fault in 1..=FAULTS {
            circuit.note(&CallError::Trapped { plugin: Name::default_name(), reason: String::new() }, rested);
            assert_eq!(circuit.is_open(rested).is_some(), fault == FAULTS, "{fault}");
        }
    }

    #[test]
    fn what_is_not_the_plugins_fault_does_not_count() {
        let (plugin, now) = (Name::default_name(), Instant::now());
        let reason = String::new();
        let circuit = Circuit::default();
        for error in [
            CallError::Guest {
                plugin: plugin.clone(),
                code: reason.clone(),
                message: reason.clone(),
                retryable: false,
                pointer: None,
            },
            CallError::Missing { plugin: plugin.clone(), role: Role::Step },
            CallError::Busy,
            CallError::Crowded { plugin: plugin.clone() },
            CallError::Open { plugin: plugin.clone(), failures: FAULTS },
            CallError::NotLoaded { plugin: plugin.clone(), version: 1, reason: reason.clone() },
            CallError::Host(reason.clone()),
        ] {
            (0..2 * FAULTS).for_each(|_| circuit.note(&error, now));
            assert_eq!(circuit.is_open(now), None, "{error}");
        }
        for error in [
            CallError::Trapped { plugin: plugin.clone(), reason: reason.clone() },
            CallError::OutOfTime { plugin: plugin.clone(), limit: reason.clone() },
            CallError::OutOfMemory { plugin: plugin.clone(), limit_bytes: 1 },
            CallError::BadOutput { plugin: plugin.clone(), reason: reason.clone() },
        ] {
            let circuit = Circuit::default();
            (0..FAULTS).for_each(|_| circuit.note(&error, now));
            assert!(circuit.is_open(now).is_some(), "{error}");
        }
    }
}

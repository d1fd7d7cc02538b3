use super::cel::Meter;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Most steps of all expressions of one turn of an execution, of some tens of nanoseconds each.
const TURN_STEPS_MAX: u64 = 8_000_000;
/// Most bytes of the values that the expressions of one turn make.
const TURN_BYTES_MAX: u64 = 12 << 20;

/// What several expressions may use together: those of a template, or of a turn of an execution. Who shares one uses it one
/// after the other.
#[derive(Debug)]
pub struct Budget {
    steps: AtomicU64,
    bytes: AtomicU64,
}

/// What one expression may use.
impl Default for Budget {
    fn default() -> Self {
        Self::new(Meter::STEPS_MAX, Meter::BYTES_MAX)
    }
}

impl Budget {
    fn new(steps: u64, bytes: u64) -> Self {
        Self { steps: AtomicU64::new(steps), bytes: AtomicU64::new(bytes) }
    }

    /// What the steps of an execution may use until it waits for something.
    pub fn of_turn() -> Self {
        Self::new(TURN_STEPS_MAX, TURN_BYTES_MAX)
    }

    /// What is left of it for one expression.
    pub(super) fn meter(&self) -> Meter {
        Meter::new(self.steps.load(Relaxed).min(Meter::STEPS_MAX), self.bytes.load(Relaxed).min(Meter::BYTES_MAX))
    }

    pub(super) fn spend(&self, (steps, bytes): (u64, u64)) {
        self.steps.store(self.steps.load(Relaxed).saturating_sub(steps), Relaxed);
        self.bytes.store(self.bytes.load(Relaxed).saturating_sub(bytes), Relaxed);
    }
}

/// What was used is not part of what something is.
impl PartialEq for Budget {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Clone for Budget {
    fn clone(&self) -> Self {
        Self::new(self.steps.load(Relaxed), self.bytes.load(Relaxed))
    }
}

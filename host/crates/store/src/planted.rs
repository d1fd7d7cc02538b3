//! Faults to be planted on purpose, for tests that must notice them. Without the feature `planted-faults` there are none; with
//! it, the variable `PLANTED_FAULT` names one.

/// A fault, and where it is planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Changes are acknowledged before they are durable.
    AcknowledgeBeforeSync,
    /// Whoever comes second wins, too: preconditions are not looked at.
    TwoWinners,
    /// A timeout does not look whether a callback came first.
    TimeoutAndCallback,
    /// A callback that comes before its execution waits is not kept.
    LostEarlyCallback,
    /// What was delivered is not remembered.
    ForgottenDelivery,
    /// `any` resumes the one that has waited the shortest time.
    AnyTakesTheYoungest,
    /// A start reads an older state of what was changed last: what was consumed is revived.
    RevivedAfterRestart,
    /// A start does not read the end of the log.
    ForgottenEnd,
}

#[cfg(not(feature = "planted-faults"))]
pub const fn is_planted(_: Fault) -> bool {
    false
}

#[cfg(feature = "planted-faults")]
#[expect(clippy::disallowed_methods, reason = "not a setting of the server: only tests build it in")]
pub fn is_planted(fault: Fault) -> bool {
    static NAME: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    let name = NAME.get_or_init(|| std::env::var("PLANTED_FAULT").ok());
    name.as_deref() == Some(&format!("{fault:?}"))
}

//! Changes that someone else may be faster than.

/// How often one is tried before it is given up.
const ATTEMPTS_MAX: usize = 20;

/// The attempts at a change that the store refuses, as a conflict, when someone else was faster. Each looks again at what is there by
/// then; after the last one it is up to the caller what is said.
pub(crate) fn retry_on_conflict() -> impl Iterator<Item = usize> {
    0..ATTEMPTS_MAX
}

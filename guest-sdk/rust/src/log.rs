//! Lines for the trace of the callback and the operator's log: at most 16 lines of 4 KiB per call.

/// Writes a line for the author, while developing.
pub fn debug(message: &str) {
    write(Level::Debug, message);
}

/// Writes a line about something normal.
pub fn info(message: &str) {
    write(Level::Info, message);
}

/// Writes a line about something unexpected that was handled.
pub fn warn(message: &str) {
    write(Level::Warn, message);
}

/// Writes a line about something that is wrong.
pub fn error(message: &str) {
    write(Level::Error, message);
}

#[cfg(target_arch = "wasm32")]
use crate::bindings::imports::ringback::plugin::log::{Level, write};

#[cfg(not(target_arch = "wasm32"))]
use crate::testing::{Level, write};

//! A small keyed store of the plugin's own, shared by all of its versions and calls in one workspace.

use crate::Failure;

#[cfg(target_arch = "wasm32")]
use crate::bindings::imports::ringback::plugin::state as host;
#[cfg(not(target_arch = "wasm32"))]
use crate::testing::state as host;

/// The value of a key, `None` when it is not set.
///
/// # Errors
///
/// `too-large` when the key is empty or longer than 256 bytes.
pub fn get(key: &str) -> Result<Option<Vec<u8>>, Failure> {
    Ok(host::get(key)?)
}

/// Sets a key; the value is on disk when this returns.
///
/// # Errors
///
/// `too-large` for a key over 256 bytes or a value over 64 KiB, `too-many-keys` past 10,000 keys.
pub fn set(key: &str, value: &[u8]) -> Result<(), Failure> {
    Ok(host::set(key, value)?)
}

/// Removes a key.
///
/// # Errors
///
/// `too-large` when the key is empty or longer than 256 bytes.
pub fn remove(key: &str) -> Result<(), Failure> {
    Ok(host::remove(key)?)
}

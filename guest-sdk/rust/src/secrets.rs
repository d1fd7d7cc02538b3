//! Checks with secrets and keys that the host stores by name. Their bytes never enter the plugin.

use crate::Failure;

#[cfg(target_arch = "wasm32")]
use crate::bindings::imports::ringback::plugin::secrets as host;
#[cfg(not(target_arch = "wasm32"))]
use crate::testing::secrets as host;

pub use host::{MacAlgorithm, SignatureAlgorithm};

/// Whether `mac` is the keyed hash of `message` under the secret named `secret`.
///
/// # Errors
///
/// `unknown-secret` when there is no secret of that name.
pub fn verify_mac(secret: &str, algorithm: MacAlgorithm, message: &[u8], mac: &[u8]) -> Result<bool, Failure> {
    Ok(host::verify_mac(secret, algorithm, message, mac)?)
}

/// Whether `signature` signs `message` under the public key stored as the secret named `key`.
///
/// # Errors
///
/// `unknown-secret`, or `invalid-key` when the secret is no such key. Natively it always fails with `not-available`.
pub fn verify_signature(
    key: &str,
    algorithm: SignatureAlgorithm,
    message: &[u8],
    signature: &[u8],
) -> Result<bool, Failure> {
    Ok(host::verify_signature(key, algorithm, message, signature)?)
}

/// Whether `value` equals the secret named `secret`, compared in constant time.
///
/// # Errors
///
/// `unknown-secret` when there is no secret of that name.
pub fn equals(secret: &str, value: &[u8]) -> Result<bool, Failure> {
    Ok(host::equals(secret, value)?)
}

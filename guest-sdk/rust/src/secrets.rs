//! Checks with secrets and keys that the host stores by name. Their bytes never enter the plugin.

use crate::{Callback, Failure};

#[cfg(target_arch = "wasm32")]
use crate::bindings::imports::ringback::plugin::secrets as host;
#[cfg(not(target_arch = "wasm32"))]
use crate::testing::secrets as host;

pub use host::{MacAlgorithm, SignatureAlgorithm};

/// A part of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<'p> {
    /// These bytes.
    Bytes(&'p [u8]),
    /// The body of the callback, exactly the bytes received. It does not enter the plugin.
    Body,
}

/// A keyed hash as a caller sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mac<'m> {
    /// Its bytes.
    Bytes(&'m [u8]),
    /// In hexadecimal, in upper or lower case.
    Hex(&'m str),
    /// In base64, with the alphabet for texts or for URLs, with its padding or without.
    Base64(&'m str),
}

/// Whether `mac` is the keyed hash of `message` under the secret named `secret`.
///
/// # Errors
///
/// `unknown-secret` when there is no secret of that name.
pub fn verify_mac(secret: &str, algorithm: MacAlgorithm, message: &[u8], mac: &[u8]) -> Result<bool, Failure> {
    Ok(host::verify_mac(secret, algorithm, message, mac)?)
}

/// Whether `mac` is the keyed hash of the parts, one after the other, under the secret named `secret`: the body need not be
/// copied into the plugin and back.
///
/// ```
/// use ringback_guest::secrets::{Mac, MacAlgorithm, Part, verify_mac_parts};
/// use ringback_guest::testing;
///
/// testing::set_secret("SHOP", "key");
/// let callback = testing::callback().body("brown fox jumps over the lazy dog").build();
/// let message = [Part::Bytes(b"The quick "), Part::Body];
/// let sent = Mac::Hex("f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8");
/// assert_eq!(verify_mac_parts(&callback, "SHOP", MacAlgorithm::HmacSha256, &message, sent), Ok(true));
/// ```
///
/// # Errors
///
/// `unknown-secret` when there is no secret of that name.
pub fn verify_mac_parts(
    callback: &Callback<'_>,
    secret: &str,
    algorithm: MacAlgorithm,
    message: &[Part<'_>],
    mac: Mac<'_>,
) -> Result<bool, Failure> {
    #[cfg(not(target_arch = "wasm32"))]
    return host::verify_mac_parts(callback, secret, algorithm, message, mac);
    #[cfg(target_arch = "wasm32")]
    {
        // There is one, and the host knows which.
        let _ = callback;
        let part = |part: &Part<'_>| match part {
            Part::Bytes(bytes) => host::Part::Bytes(bytes.to_vec()),
            Part::Body => host::Part::Body,
        };
        let mac = match mac {
            Mac::Bytes(bytes) => host::Mac::Bytes(bytes.to_vec()),
            Mac::Hex(text) => host::Mac::Hex(text.to_owned()),
            Mac::Base64(text) => host::Mac::Base64(text.to_owned()),
        };
        Ok(host::verify_mac_parts(secret, algorithm, &message.iter().map(part).collect::<Vec<_>>(), &mac)?)
    }
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

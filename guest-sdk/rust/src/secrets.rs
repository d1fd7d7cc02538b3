//! Checks with secrets and keys that the host stores by name. Their bytes never enter the plugin.

use crate::{Callback, Failure};

#[cfg(target_arch = "wasm32")]
use crate::bindings::imports::ringback::plugin::secrets as host;
#[cfg(not(target_arch = "wasm32"))]
use crate::testing::secrets as host;

pub use host::{MacAlgorithm, SignatureAlgorithm};

/// The key of a keyed hash: a secret by its name, and how its value says the key. A name alone means the bytes of the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key<'k> {
    /// The bytes of the secret's value are the key.
    Plain(&'k str),
    /// The value is the key in hexadecimal.
    Hex(&'k str),
    /// The value is the key in base64.
    Base64(&'k str),
}

impl<'k> From<&'k str> for Key<'k> {
    fn from(name: &'k str) -> Self {
        Self::Plain(name)
    }
}

impl<'k> From<&'k String> for Key<'k> {
    fn from(name: &'k String) -> Self {
        Self::Plain(name)
    }
}

/// A part of a message.
#[derive(Clone, Copy)]
pub enum Part<'p> {
    /// These bytes.
    Bytes(&'p [u8]),
    /// This text.
    Text(&'p str),
    /// The body of the callback, exactly the bytes received. It does not enter the plugin.
    Body(&'p Callback<'p>),
}

/// A keyed hash or a signature as a caller sent it. Text that is no hexadecimal or base64 proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoded<'m> {
    /// Its bytes.
    Bytes(&'m [u8]),
    /// In hexadecimal, in upper or lower case.
    Hex(&'m str),
    /// In base64, with the alphabet for texts or for URLs, with its padding or without.
    Base64(&'m str),
}

/// Whether `mac` is the keyed hash of the parts of `message`, one after the other.
///
/// ```
/// use ringback_guest::secrets::{Encoded, MacAlgorithm, Part, verify_mac};
/// use ringback_guest::testing;
///
/// testing::set_secret("SHOP", "key");
/// let callback = testing::callback().body("brown fox jumps over the lazy dog").build();
/// let message = [Part::Text("The quick "), Part::Body(&callback)];
/// let sent = Encoded::Hex("f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8");
/// assert_eq!(verify_mac("SHOP", MacAlgorithm::HmacSha256, &message, sent), Ok(true));
/// ```
///
/// # Errors
///
/// `unknown-secret` when there is no secret of that name, `invalid-key` when its value is no hexadecimal or base64.
pub fn verify_mac<'k>(
    key: impl Into<Key<'k>>,
    algorithm: MacAlgorithm,
    message: &[Part<'_>],
    mac: Encoded<'_>,
) -> Result<bool, Failure> {
    let key = key.into();
    #[cfg(not(target_arch = "wasm32"))]
    return host::verify_mac(key, algorithm, message, mac);
    #[cfg(target_arch = "wasm32")]
    {
        let (name, form) = match key {
            Key::Plain(name) => (name, host::KeyForm::Plain),
            Key::Hex(name) => (name, host::KeyForm::Hex),
            Key::Base64(name) => (name, host::KeyForm::Base64),
        };
        Ok(host::verify_mac(name, form, algorithm, &wire::message(message), &wire::encoded(mac))?)
    }
}

/// Whether `signature` signs the parts of `message`, one after the other, under the public key that is stored as the secret
/// named `key`.
///
/// # Errors
///
/// `unknown-secret`, or `invalid-key` when the secret is no such key. Natively it always fails with `not-available`.
pub fn verify_signature(
    key: &str,
    algorithm: SignatureAlgorithm,
    message: &[Part<'_>],
    signature: Encoded<'_>,
) -> Result<bool, Failure> {
    #[cfg(not(target_arch = "wasm32"))]
    return host::verify_signature(key, algorithm, message, signature);
    #[cfg(target_arch = "wasm32")]
    Ok(host::verify_signature(key, algorithm, &wire::message(message), &wire::encoded(signature))?)
}

/// Whether `value` equals the secret named `secret`, compared in constant time.
///
/// # Errors
///
/// `unknown-secret` when there is no secret of that name.
pub fn equals(secret: &str, value: impl AsRef<[u8]>) -> Result<bool, Failure> {
    Ok(host::equals(secret, value.as_ref())?)
}

#[cfg(target_arch = "wasm32")]
mod wire {
    use super::{Encoded, Part, host};

    pub(super) fn message(parts: &[Part<'_>]) -> Vec<host::Part> {
        let part = |part: &Part<'_>| match part {
            Part::Bytes(bytes) => host::Part::Bytes(bytes.to_vec()),
            Part::Text(text) => host::Part::Bytes(text.as_bytes().to_vec()),
            // There is one, and the host knows which.
            Part::Body(_) => host::Part::Body,
        };
        parts.iter().map(part).collect()
    }

    pub(super) fn encoded(encoded: Encoded<'_>) -> host::Encoded {
        match encoded {
            Encoded::Bytes(bytes) => host::Encoded::Bytes(bytes.to_vec()),
            Encoded::Hex(text) => host::Encoded::Hex(text.to_owned()),
            Encoded::Base64(text) => host::Encoded::Base64(text.to_owned()),
        }
    }
}

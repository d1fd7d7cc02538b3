//! Names that people give, and ids and keys that we make.

use aws_lc_rs::digest::{SHA256, digest};
use serde::de::Unexpected;
use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;
use std::str::FromStr;

/// Why a name was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a name: use 1 to 64 lower-case letters, digits, `-` and `_`, beginning with a letter or digit")]
pub struct NameError(String);

/// A name for use in URLs, keys and files: 1 to 64 of `a-z`, `0-9`, `-`, `_`, beginning with a letter or digit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Name(String);

impl Name {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The workspace and the environment that exist from the start.
    pub fn default_name() -> Self {
        Self("default".to_owned())
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
        let bytes = text.as_bytes();
        let starts_well = bytes.first().is_some_and(|byte| byte.is_ascii_alphanumeric());
        if bytes.len() <= 64 && starts_well && bytes.iter().all(|byte| allowed(*byte)) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError(text.chars().take(80).collect()))
        }
    }
}

const EXPECTED: &str = "a name of 1 to 64 lower-case letters, digits, `-` and `_`, beginning with a letter or digit";

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|_| serde::de::Error::invalid_value(Unexpected::Str(&text), &EXPECTED))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Makes an id type: a UUID of version 7, so that ids sort by the time of their making.
macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(uuid::Uuid);

        impl $name {
            #[expect(clippy::new_without_default, reason = "each one is another")]
            pub fn new() -> Self {
                Self(uuid::Uuid::now_v7())
            }

            pub fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }

            pub fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(uuid::Uuid::from_bytes(bytes))
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, uuid::Error> {
                text.parse().map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id!(
    /// The id of a received callback.
    CallbackId
);
id!(
    /// The id of an execution.
    ExecutionId
);
id!(
    /// The id of a ticket; not what its URL has.
    TicketId
);

/// Fewest characters of what alone keeps strangers away: some 128 bits.
pub const SECRET_MIN: usize = 22;
/// Fewest different characters of what was made at random.
pub const DIFFERENT_MIN: usize = 6;

/// Whether a text has so many different characters as one that was made at random.
pub fn looks_random(text: &str) -> bool {
    text.bytes().collect::<std::collections::BTreeSet<u8>>().len() >= DIFFERENT_MIN
}

/// A capability in a URL or a token: 160 random bits, as 32 characters of RFC 4648's base32 in lower case.
///
/// # Errors
///
/// The operating system gave no random bytes.
pub fn random_key() -> Result<String, aws_lc_rs::error::Unspecified> {
    let mut bytes = [0_u8; 32];
    aws_lc_rs::rand::fill(&mut bytes)?;
    Ok(key_of(&bytes))
}

/// A character of a key for each byte: five of its bits.
pub fn key_of(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    bytes.iter().filter_map(|byte| ALPHABET.get(usize::from(byte & 31))).map(|byte| char::from(*byte)).collect()
}

/// An id that nobody can guess (UUID version 4).
pub fn random_id() -> Result<uuid::Uuid, aws_lc_rs::error::Unspecified> {
    let mut bytes = [0_u8; 16];
    aws_lc_rs::rand::fill(&mut bytes)?;
    Ok(uuid::Builder::from_random_bytes(bytes).into_uuid())
}

/// The SHA-256 of some bytes.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
    hash
}

/// The SHA-256 of some bytes, in lower-case hexadecimal digits.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&sha256(bytes))
}

/// Lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::{Name, random_key};

    #[test]
    fn what_is_no_name_is_refused() {
        for wrong in ["", "A", "-a", "_a", "a b", "a/b", "..", "a.b", "é", &"a".repeat(65)] {
            assert!(wrong.parse::<Name>().is_err(), "{wrong}");
        }
        assert_eq!("github-push_2".parse::<Name>().unwrap().as_str(), "github-push_2");
    }

    #[test]
    fn keys_do_not_repeat_and_have_160_bits() {
        let (one, two) = (random_key().unwrap(), random_key().unwrap());
        assert_ne!(one, two);
        assert_eq!(one.len() * 5, 160);
    }
}

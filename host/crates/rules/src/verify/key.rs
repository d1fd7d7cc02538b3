//! What the text of a secret stands for: the bytes that a keyed hash takes, or the public key of a sender.

use super::recipe::{Algorithm, Encoding, hash_context};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ED25519, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use std::borrow::Cow;

/// How the bytes of a keyed hash's key are written as a secret. Public keys are read in every form that is common.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyForm {
    /// The secret's own bytes.
    #[default]
    Text,
    Base64,
    Hex,
    /// `whsec_` and base64, or base64 alone.
    Whsec,
}

impl KeyForm {
    /// By the words of flows.
    pub const NAMES: [(&str, Self); 4] =
        [("text", Self::Text), ("base64", Self::Base64), ("hex", Self::Hex), ("whsec", Self::Whsec)];

    /// The key's bytes.
    ///
    /// # Errors
    ///
    /// The secret is of another form, in words without it.
    pub fn bytes(self, secret: &[u8]) -> Result<Cow<'_, [u8]>, String> {
        let text = || std::str::from_utf8(secret).unwrap_or_default().trim();
        let (bytes, form) = match self {
            Self::Text => return Ok(Cow::Borrowed(secret)),
            Self::Base64 => (STANDARD.decode(text()).ok(), "base64"),
            Self::Hex => (Encoding::Hex.decode(text()), "hexadecimal"),
            Self::Whsec => {
                let text = text();
                let encoded = text.strip_prefix("whsec_").unwrap_or(text);
                (STANDARD.decode(encoded).ok(), "`whsec_` followed by base64, or base64 alone")
            }
        };
        match bytes {
            Some(bytes) if !bytes.is_empty() => Ok(Cow::Owned(bytes)),
            _ => Err(format!("the secret is not {form}")),
        }
    }
}

/// What proofs are checked with.
pub(super) enum Key<'s> {
    Hash(Algorithm, Cow<'s, [u8]>),
    Public(UnparsedPublicKey<Vec<u8>>),
    Equal(&'s [u8]),
}

/// What stands before the key in the DER of a public key (RFC 8410, RFC 5480).
const ED25519_SPKI: &[u8] = &[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
const P256_SPKI: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

impl<'s> Key<'s> {
    /// # Errors
    ///
    /// The secret is of another form, in words without it.
    pub fn of(algorithm: Algorithm, form: KeyForm, secret: &'s [u8]) -> Result<Self, String> {
        let public = |algorithm: &'static dyn VerificationAlgorithm, bytes| {
            Ok(Key::Public(UnparsedPublicKey::new(algorithm, bytes)))
        };
        match algorithm {
            Algorithm::Equal => Ok(Self::Equal(secret)),
            Algorithm::Ed25519 => match public_key(secret) {
                Some(key) if key.len() == 32 => public(&ED25519, key),
                Some(key) if key.len() == 44 && key.starts_with(ED25519_SPKI) => public(&ED25519, key[12..].to_vec()),
                _ => Err("the secret is no Ed25519 public key: 32 bytes in hexadecimal or base64, or PEM".to_owned()),
            },
            Algorithm::Ecdsa => match public_key(secret) {
                Some(key) if key.len() == 65 && key[0] == 4 => public(&ECDSA_P256_SHA256_ASN1, key),
                Some(key) if key.len() == 91 && key.starts_with(P256_SPKI) => {
                    public(&ECDSA_P256_SHA256_ASN1, key[26..].to_vec())
                }
                _ => Err("the secret is no public key on P-256, in base64 or PEM".to_owned()),
            },
            Algorithm::Rsa => match public_key(secret) {
                // The shortest that is taken has 2048 bits.
                Some(key) if key.len() > 256 && key[0] == 0x30 => public(&RSA_PKCS1_2048_8192_SHA256, key),
                _ => Err("the secret is no RSA public key of 2048 bits or more, in base64 or PEM".to_owned()),
            },
            Algorithm::Sha1 | Algorithm::Sha256 | Algorithm::Sha384 | Algorithm::Sha512 => {
                Ok(Self::Hash(algorithm, form.bytes(secret)?))
            }
        }
    }

    /// The proof of a message, where who checks it can also make it.
    pub fn sign(&self, message: &[Cow<'_, [u8]>]) -> Result<Vec<u8>, String> {
        match self {
            Self::Hash(algorithm, key) => {
                let mut context = hash_context(*algorithm, key).ok_or("there is no such hash")?;
                message.iter().for_each(|part| context.update(part));
                Ok(context.sign().as_ref().to_vec())
            }
            Self::Public(_) => Err("its senders sign with a key that only they have".to_owned()),
            Self::Equal(secret) => Ok(secret.to_vec()),
        }
    }

    pub fn signs(&self, message: &[Cow<'_, [u8]>], signature: &[u8]) -> bool {
        match self {
            Self::Hash(algorithm, key) => hash_context(*algorithm, key).is_some_and(|mut context| {
                message.iter().for_each(|part| context.update(part));
                are_equal(context.sign().as_ref(), signature)
            }),
            Self::Public(key) => key.verify(&message.concat(), signature).is_ok(),
            Self::Equal(secret) => are_equal(secret, signature),
        }
    }
}

/// In constant time, as far as both are as long.
pub(super) fn are_equal(one: &[u8], other: &[u8]) -> bool {
    verify_slices_are_equal(one, other).is_ok()
}

/// PEM, hexadecimal or base64.
pub(super) fn public_key(secret: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(secret).ok()?.trim();
    let pem =
        text.strip_prefix("-----BEGIN PUBLIC KEY-----").or_else(|| text.strip_prefix("-----BEGIN RSA PUBLIC KEY-----"));
    let encoded: String = match pem {
        Some(rest) => rest.split("-----END").next()?.split_whitespace().collect(),
        None => text.split_whitespace().collect(),
    };
    if pem.is_none() && encoded.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Encoding::Hex.decode(&encoded);
    }
    STANDARD.decode(encoded).ok()
}

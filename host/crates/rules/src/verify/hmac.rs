use super::{Proof, check_age, not_genuine, single_header};
use crate::vault::SecretValue;
use aws_lc_rs::{constant_time, hmac};
use base64::Engine;
use ringback_records::callback::Callback;
use ringback_records::stop::Stop;
use ringback_records::time::Timestamp;
use std::time::Duration;

/// A keyed hash in a form that the flow describes.
#[derive(Debug)]
pub struct Hmac {
    /// Names; a callback is genuine when one of them signs it.
    pub secrets: Vec<String>,
    /// The header that carries the signature.
    pub header: String,
    pub algorithm: HmacAlgorithm,
    pub encoding: Encoding,
    /// What stands before the signature in the header.
    pub prefix: String,
    pub signed: Vec<SignedPart>,
    pub timestamp_header: Option<String>,
    pub tolerance: Duration,
    pub id_header: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HmacAlgorithm {
    Sha1,
    Sha256,
    Sha512,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Either case.
    Hex,
    /// Standard alphabet, padded.
    Base64,
}

/// A part of the signed text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignedPart {
    Literal(String),
    Body,
    Timestamp,
    Id,
    Method,
    Url,
    Path,
}

impl std::fmt::Display for Encoding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if *self == Self::Hex { "hexadecimal" } else { "base64" })
    }
}

impl Encoding {
    pub(super) fn decode(self, text: &str) -> Option<Vec<u8>> {
        match self {
            Self::Base64 => base64::engine::general_purpose::STANDARD.decode(text).ok(),
            Self::Hex => {
                let digits: Option<Vec<u8>> = text
                    .chars()
                    .map(|character| character.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
                    .collect();
                let digits = digits.filter(|digits| digits.len() % 2 == 0)?;
                Some(digits.chunks_exact(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect())
            }
        }
    }
}

impl Hmac {
    pub(super) fn verify(&self, callback: &Callback, secrets: &[SecretValue], now: Timestamp) -> Result<Proof, Stop> {
        let request = &callback.request;
        let header = single_header(request, &self.header)?;
        let Some(text) = header.strip_prefix(&self.prefix) else {
            return Err(not_genuine(format!("{} does not begin with `{}`", self.header, self.prefix)));
        };
        let Some(mac) = self.encoding.decode(text) else {
            return Err(not_genuine(format!("{} is not {}", self.header, self.encoding)));
        };
        let optional = |name: &Option<String>| name.as_ref().map(|name| single_header(request, name)).transpose();
        let timestamp = optional(&self.timestamp_header)?;
        let id = optional(&self.id_header)?;
        let url = callback.url();
        let message: Vec<&[u8]> = self
            .signed
            .iter()
            .map(|part| match part {
                SignedPart::Literal(text) => text.as_bytes(),
                SignedPart::Body => request.body.as_ref(),
                SignedPart::Timestamp => timestamp.as_deref().unwrap_or_default().as_bytes(),
                SignedPart::Id => id.as_deref().unwrap_or_default().as_bytes(),
                SignedPart::Method => request.method.as_str().as_bytes(),
                SignedPart::Url => url.as_bytes(),
                SignedPart::Path => request.path.as_bytes(),
            })
            .collect();
        if !matches(self.algorithm, secrets, &message, &[mac]) {
            return Err(not_genuine(format!("{} does not match the signed text under the secret", self.header)));
        }
        if let Some(timestamp) = timestamp {
            check_age(&timestamp, self.tolerance, now)?;
        }
        let id_is_signed = self.signed.contains(&SignedPart::Id);
        Ok(Proof { delivery_id: id, id_is_signed, reason: format!("{} matches", self.header) })
    }
}

/// Whether one of the signatures signs the message under one of the secrets. Every pair is compared, in constant time.
pub(super) fn matches(
    algorithm: HmacAlgorithm,
    secrets: &[SecretValue],
    message: &[&[u8]],
    signatures: &[Vec<u8>],
) -> bool {
    let mut genuine = false;
    // An empty key would sign anything for anyone.
    for secret in secrets.iter().filter(|secret| !secret.bytes().is_empty()) {
        let mac = sign(algorithm, secret.bytes(), message);
        for signature in signatures {
            genuine |= constant_time::verify_slices_are_equal(mac.as_ref(), signature).is_ok();
        }
    }
    genuine
}

/// The keyed hash of a message in parts.
pub fn sign(algorithm: HmacAlgorithm, key: &[u8], message: &[&[u8]]) -> hmac::Tag {
    let algorithm = match algorithm {
        HmacAlgorithm::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        HmacAlgorithm::Sha256 => hmac::HMAC_SHA256,
        HmacAlgorithm::Sha512 => hmac::HMAC_SHA512,
    };
    let mut context = hmac::Context::with_key(&hmac::Key::new(algorithm, key));
    for part in message {
        context.update(part);
    }
    context.sign()
}

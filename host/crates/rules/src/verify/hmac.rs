use super::{Proof, check_age, not_genuine, single_header};
use crate::vault::SecretValue;
use aws_lc_rs::{constant_time, hmac};
use base64::Engine;
use ringback_records::callback::Callback;
use ringback_records::stop::Stop;
use ringback_records::time::Timestamp;
use std::borrow::Cow;
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
    Literal(Cow<'static, str>),
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
        let signature = Signature {
            header: &self.header,
            algorithm: self.algorithm,
            encoding: self.encoding,
            prefix: &self.prefix,
            signed: &self.signed,
            timestamp_header: self.timestamp_header.as_deref(),
            id_header: self.id_header.as_deref(),
        };
        signature.verify(callback, secrets, self.tolerance, now)
    }
}

/// Where a keyed hash is, and what it signs: as a flow says it, or as it is known of a provider.
#[derive(Debug)]
pub(super) struct Signature<'a> {
    pub header: &'a str,
    pub algorithm: HmacAlgorithm,
    pub encoding: Encoding,
    pub prefix: &'a str,
    pub signed: &'a [SignedPart],
    pub timestamp_header: Option<&'a str>,
    pub id_header: Option<&'a str>,
}

impl Signature<'_> {
    /// SHA-256 over the body, in hexadecimal.
    pub const fn over_body(header: &'static str) -> Signature<'static> {
        Signature {
            header,
            algorithm: HmacAlgorithm::Sha256,
            encoding: Encoding::Hex,
            prefix: "",
            signed: &[SignedPart::Body],
            timestamp_header: None,
            id_header: None,
        }
    }

    pub fn verify(
        &self,
        callback: &Callback,
        secrets: &[SecretValue],
        tolerance: Duration,
        now: Timestamp,
    ) -> Result<Proof, Stop> {
        let Self { header, encoding, prefix, .. } = self;
        let request = &callback.request;
        let text = single_header(request, header)?;
        let Some(encoded) = text.strip_prefix(prefix) else {
            return Err(not_genuine(format!("{header} does not begin with `{prefix}`")));
        };
        let mac = encoding.decode(encoded).ok_or_else(|| not_genuine(format!("{header} is not {encoding}")))?;
        let optional = |name: Option<&str>| name.map(|name| single_header(request, name)).transpose();
        let timestamp = optional(self.timestamp_header)?;
        let id = optional(self.id_header)?;
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
            let what = if self.signed == [SignedPart::Body] { "the body" } else { "the signed text" };
            return Err(not_genuine(format!("{header} does not match {what} under the secret")));
        }
        if let Some(timestamp) = timestamp {
            check_age(&timestamp, tolerance, now)?;
        }
        let id_is_signed = self.signed.contains(&SignedPart::Id);
        Ok(Proof { delivery_id: id, id_is_signed, reason: format!("{header} matches") })
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

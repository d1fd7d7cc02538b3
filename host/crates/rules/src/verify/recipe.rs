//! How a sender proves a callback by its bytes: where the proof is, how it is written, and what it signs. A provider is one
//! of these with a name, and a flow can describe one.

use super::key::{self, Key, KeyForm};
use super::template::{Layout, Part, Source};
use super::{Proof, SIGNATURES_MAX, check_age, not_genuine, secret_unusable};
use crate::vault::SecretValue;
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ringback_records::callback::Callback;
use ringback_records::stop::Stop;
use ringback_records::time::Timestamp;
use serde::Deserialize;
use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

/// What a proof is made with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Algorithm {
    /// A keyed hash (RFC 2104), as the next three.
    Sha1,
    #[default]
    Sha256,
    Sha384,
    Sha512,
    /// A signature by the sender's private key, as the next two (RFC 8032).
    Ed25519,
    /// On P-256, of SHA-256, in ASN.1.
    Ecdsa,
    /// PKCS #1 1.5, of SHA-256.
    Rsa,
    /// The secret itself.
    Equal,
}

impl Algorithm {
    /// By the words of flows.
    pub const KEYED_HASHES: [(&str, Self); 4] =
        [("sha256", Self::Sha256), ("sha1", Self::Sha1), ("sha384", Self::Sha384), ("sha512", Self::Sha512)];
    pub const SIGNATURES: [(&str, Self); 3] = [("ed25519", Self::Ed25519), ("ecdsa", Self::Ecdsa), ("rsa", Self::Rsa)];

    fn of_hash(self) -> Option<hmac::Algorithm> {
        match self {
            Self::Sha1 => Some(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY),
            Self::Sha256 => Some(hmac::HMAC_SHA256),
            Self::Sha384 => Some(hmac::HMAC_SHA384),
            Self::Sha512 => Some(hmac::HMAC_SHA512),
            Self::Ed25519 | Self::Ecdsa | Self::Rsa | Self::Equal => None,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sha1 => "HMAC-SHA1",
            Self::Sha256 => "HMAC-SHA256",
            Self::Sha384 => "HMAC-SHA384",
            Self::Sha512 => "HMAC-SHA512",
            Self::Ed25519 => "Ed25519",
            Self::Ecdsa => "ECDSA P-256",
            Self::Rsa => "RSA SHA-256",
            Self::Equal => "the secret itself",
        })
    }
}

/// How bytes are written in a header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// Either case.
    #[default]
    Hex,
    /// Standard alphabet, padded.
    Base64,
    /// The alphabet of URLs, with or without padding.
    Base64Url,
    /// As they are.
    Text,
}

impl Encoding {
    /// By the words of flows.
    pub const NAMES: [(&str, Self); 3] = [("hex", Self::Hex), ("base64", Self::Base64), ("base64url", Self::Base64Url)];

    fn encode(self, bytes: &[u8]) -> String {
        match self {
            Self::Base64 => STANDARD.encode(bytes),
            Self::Base64Url => URL_SAFE_NO_PAD.encode(bytes),
            Self::Text => String::from_utf8_lossy(bytes).into_owned(),
            Self::Hex => ringback_records::name::hex(bytes),
        }
    }

    pub(super) fn decode(self, text: &str) -> Option<Vec<u8>> {
        match self {
            Self::Base64 => STANDARD.decode(text).ok(),
            Self::Base64Url => URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok(),
            Self::Text => Some(text.as_bytes().to_vec()),
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

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hex => "hexadecimal",
            Self::Base64 => "base64",
            Self::Base64Url => "base64 for URLs",
            Self::Text => "text",
        })
    }
}

/// Where a proof is, how it is written, what it signs and with what.
#[derive(Clone, Debug, PartialEq)]
pub struct Recipe {
    pub algorithm: Algorithm,
    /// What the text of the secret stands for.
    pub key: KeyForm,
    /// Where the signature is; of several, each that is there counts.
    pub at: Vec<Source>,
    /// What stands there.
    pub value: Layout,
    pub encoding: Encoding,
    pub signed: Vec<Part>,
    /// Where the time of signing is, if not beside the signature.
    pub timestamp: Option<Source>,
    /// Where the sender's id of the delivery is, if not beside the signature.
    pub id: Option<Source>,
    /// Whether a callback without that id is refused.
    pub id_is_needed: bool,
}

impl Recipe {
    /// HMAC-SHA256 over the body, in hexadecimal, in a header.
    pub fn over_body(header: &str) -> Self {
        Self {
            algorithm: Algorithm::Sha256,
            key: KeyForm::Text,
            at: vec![Source::Header(header.to_owned())],
            value: Layout::alone(""),
            encoding: Encoding::Hex,
            signed: vec![Part::Body],
            timestamp: None,
            id: None,
            id_is_needed: false,
        }
    }

    /// The header or parameter that is the secret itself.
    pub fn equal(at: Source, prefix: &str) -> Self {
        Self {
            algorithm: Algorithm::Equal,
            at: vec![at],
            value: Layout::alone(prefix),
            encoding: Encoding::Text,
            signed: Vec::new(),
            ..Self::over_body("")
        }
    }

    pub fn signs_time(&self) -> bool {
        self.signed.contains(&Part::Timestamp)
    }

    pub fn signs_url(&self) -> bool {
        self.signed.contains(&Part::Url)
    }

    /// Whether another body would need another proof.
    pub fn signs_body(&self) -> bool {
        self.signed.iter().any(|part| matches!(part, Part::Body | Part::Form))
    }

    /// Headers and parameters that carry the secret itself.
    pub fn carries_secret(&self) -> Vec<&str> {
        let carriers = if self.algorithm == Algorithm::Equal { &self.at[..] } else { &[] };
        let names = carriers.iter().filter_map(|source| match source {
            Source::Header(name) | Source::Query(name) => Some(name.as_str()),
            Source::Headers(_) | Source::Body(_) | Source::Form(_) => None,
        });
        names.collect()
    }

    /// Why a secret cannot be one for this.
    ///
    /// # Errors
    ///
    /// In words that do not have the secret.
    pub fn check_secret(&self, secret: &[u8]) -> Result<(), String> {
        Key::of(self.algorithm, self.key, secret).map(drop)
    }

    /// Whether the callback proves itself under one of the secrets.
    ///
    /// # Errors
    ///
    /// It does not (401), or a secret is of another form (500).
    pub fn verify(
        &self,
        callback: &Callback,
        secrets: &[SecretValue],
        given_url: Option<&str>,
        tolerance: Duration,
        now: Timestamp,
    ) -> Result<Proof, Stop> {
        let request = &callback.request;
        let (place, texts) = self.signatures(callback)?;
        let mut found = super::template::Found::default();
        for text in &texts {
            self.value.read(text, &mut found).map_err(|reason| not_genuine(format!("{place} {reason}")))?;
        }
        let mut signatures: Vec<Vec<u8>> =
            found.signatures.iter().filter_map(|text| self.encoding.decode(text)).collect();
        signatures.truncate(SIGNATURES_MAX);
        if self.value.has_time() && found.timestamp.is_none() {
            return Err(not_genuine(format!("{place} has no time")));
        }
        if signatures.is_empty() {
            return Err(not_genuine(match self.value.mark() {
                Some(mark) => format!("{place} has no readable {mark}signature"),
                None => format!("{place} is not {}", self.encoding),
            }));
        }
        let timestamp = match (&self.timestamp, found.timestamp) {
            (Some(source), _) => Some(source.one(request).map_err(not_genuine)?),
            (None, found) => found,
        };
        let id = match (&self.id, found.id) {
            (Some(source), _) if self.id_is_needed => Some(source.one(request).map_err(not_genuine)?),
            (Some(source), _) => source.one(request).ok(),
            (None, found) => found,
        };
        let url = given_url.map_or_else(|| callback.url(), str::to_owned);
        let message = self.message(callback, &url, timestamp.as_deref(), id.as_deref()).map_err(not_genuine)?;
        if !self.matches(secrets, &message, &signatures)? {
            return Err(not_genuine(self.mismatch(&place)));
        }
        if let Some(timestamp) = timestamp.filter(|_| self.signs_time()) {
            check_age(&timestamp, tolerance, now)?;
        }
        let id_is_signed =
            self.signed.contains(&Part::Id) || (self.signs_body() && matches!(self.id, Some(Source::Body(_))));
        let reason = if self.algorithm == Algorithm::Equal { "is the secret" } else { "matches" };
        Ok(Proof { delivery_id: id, id_is_signed, reason: format!("{place} {reason}"), is_none: false })
    }

    /// Gives a callback its proof under a secret, with what is signed beside it.
    ///
    /// # Errors
    ///
    /// Only its sender can, in words.
    pub(super) fn sign(
        &self,
        callback: &mut Callback,
        secret: &SecretValue,
        given_url: Option<&str>,
        now: Timestamp,
    ) -> Result<(), String> {
        let (time, id) = (now.as_secs().to_string(), callback.id.to_string());
        let beside = |source: &Option<Source>, text: &str, callback: &mut Callback| match source {
            None => Ok(text.to_owned()),
            Some(source) => source.one(&callback.request).or_else(|_| {
                source.put(&mut callback.request, text)?;
                Ok::<_, String>(text.to_owned())
            }),
        };
        let time = match self.signs_time() {
            true => beside(&self.timestamp, &time, callback)?,
            false => time,
        };
        let id = beside(&self.id, &id, callback).or_else(|why| if self.id_is_needed { Err(why) } else { Ok(id) })?;
        let url = given_url.map_or_else(|| callback.url(), str::to_owned);
        let message = self.message(callback, &url, Some(&time), Some(&id))?;
        let proof = Key::of(self.algorithm, self.key, secret.bytes())?.sign(&message)?;
        let text = self.value.write(&self.encoding.encode(&proof), &time, &id);
        let source = self.at.first().ok_or("it does not say where its proof stands")?;
        source.put(&mut callback.request, &text)
    }

    /// The texts that may have the signature, and in words where they are.
    fn signatures(&self, callback: &Callback) -> Result<(String, Vec<String>), Stop> {
        let mut missing = None;
        let (mut places, mut texts) = (Vec::new(), Vec::new());
        for source in &self.at {
            match source.all(&callback.request) {
                Ok(found) => {
                    places.push(source.to_string());
                    texts.extend(found);
                }
                Err(reason) => missing = missing.or(Some(reason)),
            }
        }
        match missing {
            Some(reason) if texts.is_empty() => Err(not_genuine(reason)),
            _ => Ok((places.join(", "), texts)),
        }
    }

    /// What is signed, in parts.
    pub(super) fn message<'m>(
        &'m self,
        callback: &'m Callback,
        url: &'m str,
        timestamp: Option<&'m str>,
        id: Option<&'m str>,
    ) -> Result<Vec<Cow<'m, [u8]>>, String> {
        self.signed.iter().map(|part| part.bytes(callback, url, timestamp, id)).collect()
    }

    /// Every pair is compared, in constant time.
    fn matches(
        &self,
        secrets: &[SecretValue],
        message: &[Cow<'_, [u8]>],
        signatures: &[Vec<u8>],
    ) -> Result<bool, Stop> {
        let mut genuine = false;
        // An empty key would sign anything for anyone.
        for secret in secrets.iter().filter(|secret| !secret.bytes().is_empty()) {
            let key = Key::of(self.algorithm, self.key, secret.bytes()).map_err(|reason| secret_unusable(&reason))?;
            for signature in signatures {
                genuine |= key.signs(message, signature);
            }
        }
        Ok(genuine)
    }

    fn mismatch(&self, place: &str) -> String {
        let what = if self.signed == [Part::Body] { "the body" } else { "the signed text" };
        match self.algorithm {
            Algorithm::Equal => format!("{place} is not the secret"),
            _ if self.value.mark().is_some() => format!("no signature of {place} matches under the secret"),
            _ => format!("{place} does not match {what} under the secret"),
        }
    }
}

/// The keyed hash of a message in parts.
pub fn sign(algorithm: Algorithm, key: &[u8], message: &[&[u8]]) -> Vec<u8> {
    let algorithm = algorithm.of_hash().unwrap_or(hmac::HMAC_SHA256);
    let mut context = hmac::Context::with_key(&hmac::Key::new(algorithm, key));
    for part in message {
        context.update(part);
    }
    context.sign().as_ref().to_vec()
}

/// Whether one of the keyed hashes is that of the message under one of the keys, by SHA-256. Every pair is compared.
pub(super) fn any_matches(keys: &[SecretValue], message: &[&[u8]], signatures: &[Vec<u8>]) -> bool {
    let mut genuine = false;
    for secret in keys.iter().filter(|secret| !secret.bytes().is_empty()) {
        let mac = sign(Algorithm::Sha256, secret.bytes(), message);
        for signature in signatures {
            genuine |= key::are_equal(&mac, signature);
        }
    }
    genuine
}

pub(super) fn hash_context(algorithm: Algorithm, key: &[u8]) -> Option<hmac::Context> {
    Some(hmac::Context::with_key(&hmac::Key::new(algorithm.of_hash()?, key)))
}

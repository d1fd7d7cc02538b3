//! Standard Webhooks 1.0.0: HMAC-SHA256 (`v1`) and Ed25519 (`v1a`) over `id.timestamp.body`.

use super::hmac::{HmacAlgorithm, matches};
use super::{Proof, SIGNATURES_MAX, check_age, not_genuine, single_header};
use crate::vault::SecretValue;
use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ringback_records::callback::Request;
use ringback_records::stop::Stop;
use ringback_records::time::Timestamp;
use std::time::Duration;

pub(super) fn verify(
    request: &Request,
    secrets: &[SecretValue],
    tolerance: Duration,
    now: Timestamp,
) -> Result<Proof, Stop> {
    let id = single_header(request, "webhook-id")?;
    let timestamp = single_header(request, "webhook-timestamp")?;
    let header = single_header(request, "webhook-signature")?;
    check_age(&timestamp, tolerance, now)?;
    let (mut hashes, mut signatures) = (Vec::new(), Vec::new());
    for entry in header.split(' ').take(SIGNATURES_MAX) {
        match entry.split_once(',') {
            Some(("v1", text)) => hashes.extend(STANDARD.decode(text)),
            Some(("v1a", text)) => signatures.extend(STANDARD.decode(text)),
            _ => {}
        }
    }
    let message: [&[u8]; 5] = [id.as_bytes(), b".", timestamp.as_bytes(), b".", &request.body];
    let (mut keys, mut public_keys) = (Vec::new(), Vec::new());
    for secret in secrets {
        match key_of(secret)? {
            Key::Symmetric(key) => keys.push(key),
            Key::Public(key) => public_keys.push(key),
        }
    }
    let signed = !public_keys.is_empty() && {
        let message = message.concat();
        public_keys.iter().any(|key| signatures.iter().any(|signature| key.verify(&message, signature).is_ok()))
    };
    if !(matches(HmacAlgorithm::Sha256, &keys, &message, &hashes) || signed) {
        return Err(not_genuine(if hashes.is_empty() && signatures.is_empty() {
            "webhook-signature has no readable `v1` or `v1a` signature"
        } else {
            "no signature of webhook-signature matches under the secret"
        }));
    }
    Ok(Proof { delivery_id: Some(id), id_is_signed: true, reason: "webhook-signature matches".into() })
}

enum Key {
    Symmetric(SecretValue),
    Public(UnparsedPublicKey<Vec<u8>>),
}

/// `whsec_` and base64, or base64 alone: an HMAC key. `whpk_` and base64: an Ed25519 public key.
fn key_of(secret: &SecretValue) -> Result<Key, Stop> {
    let unusable = |reason: &str| {
        Stop::failed(500, "secret_unusable", "The callback cannot be verified at the moment.", reason.to_owned())
    };
    let text = std::str::from_utf8(secret.bytes()).unwrap_or_default().trim();
    let (public, encoded) = match text.strip_prefix("whpk_") {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix("whsec_").unwrap_or(text)),
    };
    let bytes = STANDARD.decode(encoded).map_err(|_| {
        unusable("the secret is not `whsec_` or `whpk_` followed by base64, as Standard Webhooks has it")
    })?;
    if bytes.is_empty() {
        return Err(unusable("the secret is empty"));
    }
    Ok(if public {
        Key::Public(UnparsedPublicKey::new(&ED25519, bytes))
    } else {
        Key::Symmetric(SecretValue::new(bytes))
    })
}

//! Standard Webhooks 1.0.0: HMAC-SHA256 (`v1`) and Ed25519 (`v1a`) over `id.timestamp.body`.

use super::key::KeyForm;
use super::recipe::{Algorithm, any_matches};
use super::template::{Source, single_header};
use super::{Proof, SIGNATURES_MAX, check_age, not_genuine, secret_unusable};
use crate::vault::SecretValue;
use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ringback_records::callback::{Callback, Request};
use ringback_records::stop::Stop;
use ringback_records::time::Timestamp;
use std::time::Duration;

pub(super) fn verify(
    request: &Request,
    secrets: &[SecretValue],
    tolerance: Duration,
    now: Timestamp,
) -> Result<Proof, Stop> {
    verify_by("webhook", request, secrets, tolerance, now)
}

/// As it is sent by those who use Svix, whose headers had other names first.
pub(super) fn verify_as(
    request: &Request,
    secrets: &[SecretValue],
    tolerance: Duration,
    now: Timestamp,
) -> Result<Proof, Stop> {
    let names = if request.headers.contains_key("svix-signature") { "svix" } else { "webhook" };
    verify_by(names, request, secrets, tolerance, now)
}

fn verify_by(
    names: &str,
    request: &Request,
    secrets: &[SecretValue],
    tolerance: Duration,
    now: Timestamp,
) -> Result<Proof, Stop> {
    let part = |name: &str| single_header(request, &format!("{names}-{name}")).map_err(not_genuine);
    let (id, timestamp, header) = (part("id")?, part("timestamp")?, part("signature")?);
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
        match key_of(secret.bytes()).map_err(|reason| secret_unusable(&reason))? {
            Key::Symmetric(key) => keys.push(key),
            Key::Public(key) => public_keys.push(key),
        }
    }
    let signed = !public_keys.is_empty() && {
        let message = message.concat();
        public_keys.iter().any(|key| signatures.iter().any(|signature| key.verify(&message, signature).is_ok()))
    };
    if !(any_matches(&keys, &message, &hashes) || signed) {
        return Err(not_genuine(if hashes.is_empty() && signatures.is_empty() {
            format!("{names}-signature has no readable `v1` or `v1a` signature")
        } else {
            format!("no signature of {names}-signature matches under the secret")
        }));
    }
    let reason = format!("{names}-signature matches");
    Ok(Proof { delivery_id: Some(id), id_is_signed: true, reason, is_none: false })
}

/// Signs as a sender would, with the callback's id as that of the delivery.
///
/// # Errors
///
/// The secret is no key that signs, in words.
pub(super) fn sign(callback: &mut Callback, secret: &SecretValue, now: Timestamp) -> Result<(), String> {
    let Key::Symmetric(key) = key_of(secret.bytes())? else {
        return Err("its senders sign with a key that only they have".to_owned());
    };
    let (id, timestamp) = (format!("msg_{}", callback.id), now.as_secs().to_string());
    let message: [&[u8]; 5] = [id.as_bytes(), b".", timestamp.as_bytes(), b".", &callback.request.body];
    let signature = format!("v1,{}", STANDARD.encode(super::recipe::sign(Algorithm::Sha256, key.bytes(), &message)));
    for (name, text) in [("id", &id), ("timestamp", &timestamp), ("signature", &signature)] {
        Source::Header(format!("webhook-{name}")).put(&mut callback.request, text)?;
    }
    Ok(())
}

/// # Errors
///
/// The secret is of another form, in words without it.
pub(super) fn check_secret(secret: &[u8]) -> Result<(), String> {
    key_of(secret).map(drop)
}

enum Key {
    Symmetric(SecretValue),
    Public(UnparsedPublicKey<Vec<u8>>),
}

/// `whsec_` and base64, or base64 alone: an HMAC key. `whpk_` and base64: an Ed25519 public key.
fn key_of(secret: &[u8]) -> Result<Key, String> {
    let of_form = || "the secret is not `whsec_` or `whpk_` followed by base64, as Standard Webhooks has it".to_owned();
    let text = std::str::from_utf8(secret).unwrap_or_default().trim();
    match text.strip_prefix("whpk_") {
        None => {
            let key = KeyForm::Whsec.bytes(secret).map_err(|_| of_form())?;
            Ok(Key::Symmetric(SecretValue::new(key.into_owned())))
        }
        Some(encoded) => match STANDARD.decode(encoded) {
            Ok(key) if key.len() == 32 => Ok(Key::Public(UnparsedPublicKey::new(&ED25519, key))),
            _ => Err(of_form()),
        },
    }
}

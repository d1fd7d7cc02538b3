//! Who called: proved on the raw bytes, before anything is parsed.

mod adyen;
mod certificate;
pub mod challenge;
pub mod infer;
mod jwt_hash;
mod key;
mod message_signature;
mod paypal;
mod provider;
mod recipe;
mod sign;
mod sns;
mod standard_webhooks;
mod template;

pub use certificate::{ByCertificate, CertifiedMessage};
pub use jwt_hash::{Plaid, PlaidToken};
pub use key::KeyForm;
pub use message_signature::{DERIVED, MessageAlgorithm, MessageSignature};
pub use paypal::PayPal;
pub use provider::{Provider, providers};
pub use recipe::{Algorithm, Encoding, Recipe};
pub use sign::sign;
pub use sns::Sns;
pub use template::{Layout, PLACES, Part, Source};

use crate::plugin_call::PluginCall;
use crate::vault::{SecretValue, Vault};
use bytes::Bytes;
use ringback_records::callback::{Callback, Request};
use ringback_records::outcome::CallbackRecord;
use ringback_records::stop::Stop;
use ringback_records::time::Timestamp;
use std::sync::Arc;
use std::time::Duration;

/// Most signatures of one header that are compared.
const SIGNATURES_MAX: usize = 8;

/// How the callers of a trigger prove who they are.
#[derive(Debug)]
pub enum Verify {
    /// The URL's key is the only proof.
    None,
    /// Standard Webhooks 1.0: `webhook-id`, `webhook-timestamp`, `webhook-signature`.
    StandardWebhooks {
        secrets: Vec<String>,
        tolerance: Duration,
    },
    /// As a provider documents it.
    Provider {
        provider: &'static Provider,
        secrets: Vec<String>,
        tolerance: Duration,
        /// What Meta sends when the URL is set up: the names of secrets.
        verify_tokens: Vec<String>,
        /// The URL as the provider has it, where it signs that and calls another one.
        url: Option<String>,
    },
    /// The URL's key is the only proof; these origins are told that they may send events.
    CloudEvents {
        origins: Vec<String>,
    },
    /// A proof that the flow describes.
    Described {
        recipe: Box<Recipe>,
        /// Names; a callback is genuine when one of them proves it.
        secrets: Vec<String>,
        tolerance: Duration,
        url: Option<String>,
    },
    /// HTTP Message Signatures (RFC 9421).
    Message {
        wanted: MessageSignature,
        secrets: Vec<String>,
        tolerance: Duration,
        url: Option<String>,
    },
    /// Amazon SNS and PayPal, whose certificates are at their hosts.
    Certificate(ByCertificate),
    /// Plaid, which is asked for its keys.
    Plaid(Plaid),
    Plugin(PluginCall),
}

impl Verify {
    /// Whether callers have to prove more than that they have the URL.
    pub fn is_signed(&self) -> bool {
        !matches!(self, Self::None | Self::CloudEvents { .. })
    }

    /// The members of bodies that the scheme takes for proof, at any depth: they are blanked.
    pub fn proofs(&self) -> &'static [&'static str] {
        match self {
            Self::Provider { provider, .. } => &provider.proofs,
            _ => &[],
        }
    }

    /// The body without what its scheme takes for proof there; `None` when it has none. It must be seen by nobody else.
    pub fn body_without_proof(&self, request: &Request) -> Option<Bytes> {
        match self {
            Self::Provider { provider, .. } => provider.body_without_proof(request),
            // They prove the body by headers.
            Self::None
            | Self::StandardWebhooks { .. }
            | Self::CloudEvents { .. }
            | Self::Described { .. }
            | Self::Message { .. }
            | Self::Certificate(_)
            | Self::Plaid(_)
            | Self::Plugin(_) => None,
        }
    }

    /// Headers and parameters that carry the secret itself, which is kept of no callback.
    pub fn carries_secret(&self) -> Vec<&str> {
        match self {
            Self::Provider { provider, .. } => provider.carries_secret(),
            Self::Described { recipe, .. } => recipe.carries_secret(),
            _ => Vec::new(),
        }
    }

    /// The secrets that callers prove themselves with, by their names.
    pub fn secrets(&self) -> &[String] {
        match self {
            Self::StandardWebhooks { secrets, .. }
            | Self::Provider { secrets, .. }
            | Self::Described { secrets, .. }
            | Self::Message { secrets, .. } => secrets,
            Self::None | Self::CloudEvents { .. } | Self::Certificate(_) | Self::Plaid(_) | Self::Plugin(_) => &[],
        }
    }

    /// Why a value cannot be one of its secrets.
    ///
    /// # Errors
    ///
    /// In words that do not have the value.
    pub fn check_secret(&self, value: &[u8]) -> Result<(), String> {
        match self {
            Self::StandardWebhooks { .. } => standard_webhooks::check_secret(value),
            Self::Provider { provider, .. } => provider.check_secret(value),
            Self::Described { recipe, .. } => recipe.check_secret(value),
            Self::Message { wanted, .. } => wanted.check_secret(value),
            Self::None | Self::CloudEvents { .. } | Self::Certificate(_) | Self::Plaid(_) | Self::Plugin(_) => Ok(()),
        }
    }
}

/// The schemes that are no provider's.
pub const DESCRIBED: [&str; 11] = [
    "none",
    "standard-webhooks",
    "cloudevents",
    "hmac",
    "signature",
    "http-message-signatures",
    "api-key",
    "basic",
    "sns",
    "paypal",
    "plaid",
];

/// The words that flows use for schemes.
pub fn schemes() -> Vec<&'static str> {
    let providers = providers().iter().map(|provider| provider.name);
    DESCRIBED.into_iter().chain(providers).collect()
}

/// What verification learned about a genuine callback.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proof {
    /// The sender's id of this delivery, the same when it is sent again.
    pub delivery_id: Option<String>,
    /// Whether the proof is of the id as well: nobody else can have given it to other bytes.
    pub id_is_signed: bool,
    /// Why the callback was accepted, for the trace.
    pub reason: String,
    /// Whether nothing was proved, and the trigger lets it pass.
    pub is_none: bool,
}

/// A callback whose caller has proved itself. Only this module makes one.
#[derive(Clone, Debug)]
pub struct Verified {
    callback: Arc<Callback>,
    proof: Proof,
}

impl Verified {
    pub fn callback(&self) -> &Callback {
        &self.callback
    }

    pub fn proof(&self) -> &Proof {
        &self.proof
    }

    /// The same one as others may see it.
    #[must_use]
    pub fn seen_as(self, callback: &Arc<Callback>) -> Self {
        debug_assert_eq!(self.callback.id, callback.id);
        Self { callback: Arc::clone(callback), ..self }
    }
}

/// Verifies a callback. `verdict` is what was found out by asking somebody: a verifier plugin, or who has a certificate. Everything
/// else is decided here.
///
/// # Errors
///
/// The callback is not genuine (401), or cannot be verified: a secret is missing, the plugin failed (500).
pub fn verify(
    scheme: &Verify,
    callback: Arc<Callback>,
    secrets: &Vault,
    now: Timestamp,
    verdict: Option<Result<Proof, Stop>>,
) -> Result<Verified, Stop> {
    let find = |names: &[String]| secret_values(secrets, &callback, names, now);
    let request = &callback.request;
    let verdict = match scheme {
        Verify::None | Verify::CloudEvents { .. } => {
            Ok(Proof { reason: "no verification is configured".into(), ..Proof::default() })
        }
        Verify::StandardWebhooks { secrets, tolerance } => {
            find(secrets).and_then(|secrets| standard_webhooks::verify(request, &secrets, *tolerance, now))
        }
        Verify::Provider { provider, secrets, tolerance, url, .. } => {
            find(secrets).and_then(|secrets| provider.verify(&callback, &secrets, url.as_deref(), *tolerance, now))
        }
        Verify::Described { recipe, secrets, tolerance, url } => {
            find(secrets).and_then(|secrets| recipe.verify(&callback, &secrets, url.as_deref(), *tolerance, now))
        }
        Verify::Message { wanted, secrets, tolerance, url } => {
            find(secrets).and_then(|secrets| wanted.verify(&callback, &secrets, url.as_deref(), *tolerance, now))
        }
        Verify::Plugin(call) => {
            verdict.unwrap_or_else(|| Err(not_genuine(format!("the plugin {} was not asked", call.plugin))))
        }
        Verify::Certificate(_) | Verify::Plaid(_) => {
            verdict.unwrap_or_else(|| Err(not_genuine("nobody was asked for the key")))
        }
    };
    verdict.map(|proof| Verified { callback, proof })
}

/// A callback that did not prove itself, of a trigger that lets those pass and says why it would have been refused.
pub fn unverified(callback: Arc<Callback>, why: &Stop) -> Verified {
    let reason = format!("unverified: {}", why.reason);
    Verified { callback, proof: Proof { reason, is_none: true, ..Proof::default() } }
}

/// A callback that was verified when it came, and is taken up again.
///
/// # Errors
///
/// It was not (401).
pub fn verified_before(record: &CallbackRecord, is_edited: bool, callback: Arc<Callback>) -> Result<Verified, Stop> {
    if !record.was_verified() {
        return Err(not_genuine("it was not verified when it came"));
    }
    let but = if is_edited { ", and has another body since" } else { "" };
    let reason = format!("it was verified when it came as {}{but}", record.id);
    Ok(Verified { callback, proof: Proof { reason, ..Proof::default() } })
}

/// One that was accepted when it came, and is looked at again.
pub fn accepted_before(record: &CallbackRecord, callback: Arc<Callback>) -> Verified {
    let is_none = !record.was_verified();
    let what = if is_none { "accepted without proof" } else { "verified" };
    let reason = format!("it was {what} when it came as {}", record.id);
    Verified { callback, proof: Proof { reason, is_none, ..Proof::default() } }
}

/// The answer to every callback that is not genuine: the same words whatever was wrong.
pub fn not_genuine(reason: impl Into<String>) -> Stop {
    Stop::refused(401, "not_verified", "The callback could not be verified.", reason)
}

/// The values that count of secrets: the newest of each name, and its earlier ones that still do.
///
/// # Errors
///
/// One of the secrets is missing (500).
pub fn secret_values(
    secrets: &Vault,
    callback: &Callback,
    names: &[String],
    now: Timestamp,
) -> Result<Vec<SecretValue>, Stop> {
    let mut values = Vec::new();
    for name in names {
        let found = secrets.find_all(&callback.workspace, &callback.environment, name, now);
        values.extend(found.ok_or_else(|| missing_secret(name))?);
    }
    Ok(values)
}

/// A secret is not there that is needed to find out who calls.
pub fn missing_secret(name: &str) -> Stop {
    Stop::failed(
        500,
        "secret_missing",
        "The callback cannot be verified at the moment.",
        format!("there is no secret named {name}; store it with `ringback secret set {name}`"),
    )
}

/// A secret is not of the form that the scheme wants.
fn secret_unusable(reason: &str) -> Stop {
    Stop::failed(500, "secret_unusable", "The callback cannot be verified at the moment.", reason.to_owned())
}

/// From where on a number counts milliseconds: the year 5138 in seconds.
const MILLISECONDS_FROM: u64 = 100_000_000_000;

/// Checks a signed time against the clock, in both directions. It is a number of seconds since 1970, one of milliseconds, or
/// a date (RFC 3339; in UTC where it has no offset).
fn check_age(text: &str, tolerance: Duration, now: Timestamp) -> Result<(), Stop> {
    let signed = signed_at(text).ok_or_else(|| {
        not_genuine("the signed timestamp is not a number of seconds or milliseconds since 1970, and no date")
    })?;
    let age = now.as_secs().abs_diff(signed);
    if age > tolerance.as_secs() {
        let direction = if signed > now.as_secs() { "in the future" } else { "old" };
        let tolerance = tolerance.as_secs();
        return Err(not_genuine(format!("the signed timestamp is {age} s {direction}, more than {tolerance} s")));
    }
    Ok(())
}

/// In seconds since 1970.
fn signed_at(text: &str) -> Option<u64> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        let is_plain = (1..=15).contains(&text.len()) && (text.len() == 1 || !text.starts_with('0'));
        let number: u64 = text.parse().ok().filter(|_| is_plain)?;
        return Some(if number < MILLISECONDS_FROM { number } else { number / 1000 });
    }
    let in_utc = || text.parse::<jiff::civil::DateTime>().ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok();
    let date = text.parse::<jiff::Timestamp>().ok().or_else(|| in_utc().map(|zoned| zoned.timestamp()))?;
    u64::try_from(date.as_second()).ok()
}

#[cfg(test)]
mod tests;

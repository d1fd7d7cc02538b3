//! Who called: proved on the raw bytes, before anything is parsed.

pub mod challenge;
mod hmac;
mod provider;
mod standard_webhooks;

pub use hmac::{Encoding, Hmac, HmacAlgorithm, SignedPart};
pub use provider::{PROVIDERS, Provider};

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
    },
    /// The URL's key is the only proof; these origins are told that they may send events.
    CloudEvents {
        origins: Vec<String>,
    },
    /// A keyed hash in a form that the flow describes.
    Hmac(Hmac),
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
            Self::Provider { provider, .. } => provider.proofs,
            _ => &[],
        }
    }

    /// The body without what its scheme takes for proof there; `None` when it has none. It must be seen by nobody else.
    pub fn body_without_proof(&self, request: &Request) -> Option<Bytes> {
        match self {
            Self::Provider { provider, .. } => provider.body_without_proof(request),
            // They prove the body by headers.
            Self::None | Self::StandardWebhooks { .. } | Self::CloudEvents { .. } | Self::Hmac(_) | Self::Plugin(_) => {
                None
            }
        }
    }
}

/// The words that flows use for schemes.
pub fn schemes() -> Vec<&'static str> {
    let providers = PROVIDERS.iter().map(|provider| provider.name);
    ["none", "standard-webhooks"].into_iter().chain(providers).chain(["cloudevents", "hmac"]).collect()
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

/// Verifies a callback. `plugin_verdict` is what the verifier plugin said, where the scheme is one; everything else is
/// decided here.
///
/// # Errors
///
/// The callback is not genuine (401), or cannot be verified: a secret is missing, the plugin failed (500).
pub fn verify(
    scheme: &Verify,
    callback: Arc<Callback>,
    secrets: &Vault,
    now: Timestamp,
    plugin_verdict: Option<Result<Proof, Stop>>,
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
        Verify::Provider { provider, secrets, tolerance, .. } => {
            find(secrets).and_then(|secrets| provider.verify(&callback, &secrets, *tolerance, now))
        }
        Verify::Hmac(hmac) => find(&hmac.secrets).and_then(|secrets| hmac.verify(&callback, &secrets, now)),
        Verify::Plugin(call) => {
            plugin_verdict.unwrap_or_else(|| Err(not_genuine(format!("the plugin {} was not asked", call.plugin))))
        }
    };
    verdict.map(|proof| Verified { callback, proof })
}

/// A callback that was verified when it came, and is taken up again.
///
/// # Errors
///
/// It was not (401).
pub fn verified_before(record: &CallbackRecord, callback: Arc<Callback>) -> Result<Verified, Stop> {
    if !record.was_verified() {
        return Err(not_genuine("it was not verified when it came"));
    }
    let reason = format!("it was verified when it came as {}", record.id);
    Ok(Verified { callback, proof: Proof { reason, ..Proof::default() } })
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

/// The one value of a header that must not be repeated.
fn single_header(request: &Request, name: &str) -> Result<String, Stop> {
    let mut values = request.headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Err(not_genuine(format!("there is no {name} header"))),
        (Some(_), Some(_)) => Err(not_genuine(format!("the {name} header is there more than once"))),
        (Some(value), None) => value
            .to_str()
            .map(str::to_owned)
            .map_err(|_| not_genuine(format!("the {name} header has characters outside ASCII"))),
    }
}

/// Checks a signed time, in whole seconds since 1970, against the clock: in both directions.
fn check_age(text: &str, tolerance: Duration, now: Timestamp) -> Result<(), Stop> {
    let plain = !text.is_empty() && text.len() <= 12 && text.bytes().all(|byte| byte.is_ascii_digit());
    let leading_zero = text.len() > 1 && text.starts_with('0');
    let signed: u64 = match text.parse() {
        Ok(signed) if plain && !leading_zero => signed,
        _ => return Err(not_genuine("the signed timestamp is not a number of seconds since 1970")),
    };
    let age = now.as_secs().abs_diff(signed);
    if age > tolerance.as_secs() {
        let direction = if signed > now.as_secs() { "in the future" } else { "old" };
        let tolerance = tolerance.as_secs();
        return Err(not_genuine(format!("the signed timestamp is {age} s {direction}, more than {tolerance} s")));
    }
    Ok(())
}

#[cfg(test)]
mod tests;

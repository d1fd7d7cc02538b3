//! The schemes of providers, as they document them: a keyed hash over the body, with a signed time where the provider has
//! one. Secrets are bytes as the provider shows them.

use super::challenge::Challenge;
use super::hmac::{Encoding, HmacAlgorithm, Signature, SignedPart, matches};
use super::{Proof, SIGNATURES_MAX, check_age, not_genuine, single_header};
use crate::redact::{Layer, MARK, blank_members, is_among};
use crate::vault::SecretValue;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use bytes::Bytes;
use ringback_records::callback::{Callback, Request};
use ringback_records::json;
use ringback_records::stop::Stop;
use ringback_records::time::Timestamp;
use serde_json::Value;
use std::borrow::Cow;
use std::time::Duration;

/// A provider whose scheme is built in. One that signs by a keyed hash in a header is a row of [`PROVIDERS`] and its vectors in the tests.
#[derive(Debug)]
pub struct Provider {
    /// The word that flows use.
    pub name: &'static str,
    /// What the manual says of its proof.
    pub manual: &'static str,
    form: Form,
    /// Where the id of the delivery is, which nothing signs.
    delivery: Option<&'static str>,
    /// The members of bodies that prove something, at any depth.
    pub(super) proofs: &'static [&'static str],
    /// What it asks while a URL is being set up.
    pub(super) challenge: Option<Challenge>,
}

/// How a provider proves itself.
#[derive(Debug)]
enum Form {
    /// A keyed hash in a header.
    Signature(Signature<'static>),
    /// `t=<seconds>,v1=<hex>,…` over `t.body`, in one header.
    Stripe,
    /// The secret itself, as `clientState` of each notification in the body.
    MicrosoftGraph,
}

/// By the words that flows use, in the order of the manual.
pub static PROVIDERS: [Provider; 7] = [
    Provider {
        name: "github",
        manual: "`X-Hub-Signature-256`",
        form: Form::Signature(Signature { prefix: "sha256=", ..Signature::over_body("x-hub-signature-256") }),
        delivery: Some("x-github-delivery"),
        proofs: &[],
        challenge: None,
    },
    Provider {
        name: "stripe",
        manual: "`Stripe-Signature`, `v1`; an event that comes again is known by its id",
        form: Form::Stripe,
        delivery: None,
        proofs: &[],
        challenge: None,
    },
    Provider {
        name: "slack",
        manual: "`X-Slack-Signature` and its time",
        form: Form::Signature(Signature {
            prefix: "v0=",
            signed: SIGNED_BY_SLACK,
            timestamp_header: Some("x-slack-request-timestamp"),
            ..Signature::over_body("x-slack-signature")
        }),
        delivery: None,
        // It still sends the token that its signature replaced.
        proofs: &["token"],
        challenge: Some(Challenge::UrlVerification),
    },
    Provider {
        name: "shopify",
        manual: "`X-Shopify-Hmac-SHA256`",
        form: Form::Signature(Signature {
            encoding: Encoding::Base64,
            ..Signature::over_body("x-shopify-hmac-sha256")
        }),
        delivery: Some("x-shopify-webhook-id"),
        proofs: &[],
        challenge: None,
    },
    // Facebook, Instagram, WhatsApp.
    Provider {
        name: "meta",
        manual: "`X-Hub-Signature-256` under the app's secret",
        form: Form::Signature(Signature { prefix: "sha256=", ..Signature::over_body("x-hub-signature-256") }),
        delivery: None,
        proofs: &[],
        challenge: Some(Challenge::VerifyToken),
    },
    Provider {
        name: "twitter",
        manual: "`X-Twitter-Webhooks-Signature`",
        form: Form::Signature(Signature {
            prefix: "sha256=",
            encoding: Encoding::Base64,
            ..Signature::over_body("x-twitter-webhooks-signature")
        }),
        delivery: None,
        proofs: &[],
        challenge: Some(Challenge::CrcToken),
    },
    Provider {
        name: "microsoft-graph",
        manual: "the secret as `clientState` of every notification",
        form: Form::MicrosoftGraph,
        delivery: None,
        proofs: &["clientState", "validationTokens"],
        challenge: Some(Challenge::ValidationToken),
    },
];

const SIGNED_BY_SLACK: &[SignedPart] = &[
    SignedPart::Literal(Cow::Borrowed("v0:")),
    SignedPart::Timestamp,
    SignedPart::Literal(Cow::Borrowed(":")),
    SignedPart::Body,
];

impl Provider {
    /// The one that flows call so.
    pub fn by_name(name: &str) -> Option<&'static Self> {
        PROVIDERS.iter().find(|provider| provider.name == name)
    }

    /// The keys of `verify` that are for it; all but `tolerance` are needed.
    pub fn keys(&self) -> Vec<&'static str> {
        let mut keys = vec!["scheme", "secret"];
        keys.extend(self.signs_time().then_some("tolerance"));
        keys.extend(self.asks_for_token().then_some("verify_token"));
        keys
    }

    /// Whether it shows a token of the trigger's while the URL is being set up.
    pub fn asks_for_token(&self) -> bool {
        self.challenge == Some(Challenge::VerifyToken)
    }

    fn signs_time(&self) -> bool {
        match &self.form {
            Form::Signature(signature) => signature.timestamp_header.is_some(),
            Form::Stripe => true,
            Form::MicrosoftGraph => false,
        }
    }

    pub(super) fn body_without_proof(&self, request: &Request) -> Option<Bytes> {
        let names = self.proofs;
        if names.is_empty() || request.body.is_empty() {
            return None;
        }
        if let Ok(mut body) = json::from_slice(&request.body) {
            return blank_members(&mut body, names).then(|| body.to_string().into());
        }
        if request.content_type().as_deref() == Some("application/x-www-form-urlencoded") {
            return form_without_proof(&request.body, names);
        }
        // What cannot be read is not kept where it may be the proof.
        Some(MARK.into())
    }

    pub(super) fn verify(
        &self,
        callback: &Callback,
        secrets: &[SecretValue],
        tolerance: Duration,
        now: Timestamp,
    ) -> Result<Proof, Stop> {
        let request = &callback.request;
        let proof = match &self.form {
            Form::Signature(signature) => signature.verify(callback, secrets, tolerance, now),
            Form::Stripe => stripe(request, secrets, tolerance, now),
            Form::MicrosoftGraph => microsoft_graph(request, secrets),
        }?;
        let delivery_id = proof.delivery_id.or_else(|| request.header(self.delivery?));
        Ok(Proof { delivery_id, ..proof })
    }
}

/// A form, of which some fields may be JSON.
fn form_without_proof(body: &[u8], names: &[&str]) -> Option<Bytes> {
    let (mut form, mut found) = (form_urlencoded::Serializer::new(String::new()), false);
    for (name, value) in form_urlencoded::parse(body) {
        let blanked = if is_among(names, &name) { Some(MARK.to_owned()) } else { field_without_proof(&value, names) };
        let name_blanked = field_without_proof(&name, names);
        found |= blanked.is_some() || name_blanked.is_some();
        form.append_pair(name_blanked.as_deref().unwrap_or(&name), blanked.as_deref().unwrap_or(&value));
    }
    found.then(|| form.finish().into())
}

/// A text that may be JSON, as a name is, too, when the form is none; `None` when it has no proof. What is broken may have one
/// where it names it in an object.
fn field_without_proof(text: &str, names: &[&str]) -> Option<String> {
    if let Ok(mut value) = json::from_slice(text.as_bytes()) {
        return blank_members(&mut value, names).then(|| value.to_string());
    }
    let written = Layer::of(text.as_bytes());
    let plain = String::from_utf8_lossy(&written.unescaped().unwrap_or(written).bytes).to_ascii_lowercase();
    let (_, object) = plain.split_once('{')?;
    names.iter().any(|name| object.contains(&name.to_ascii_lowercase())).then(|| MARK.to_owned())
}

/// Other schemes than `v1` are left out: an older one must not be a way around the newer.
fn stripe(request: &Request, secrets: &[SecretValue], tolerance: Duration, now: Timestamp) -> Result<Proof, Stop> {
    let header = single_header(request, "stripe-signature")?;
    let (mut time, mut signatures) = (None, Vec::new());
    for part in header.split(',') {
        match part.trim().split_once('=') {
            Some(("t", _)) if time.is_some() => return Err(not_genuine("stripe-signature has two times")),
            Some(("t", text)) => time = Some(text),
            Some(("v1", text)) if signatures.len() < SIGNATURES_MAX => signatures.extend(Encoding::Hex.decode(text)),
            _ => {}
        }
    }
    let time = time.ok_or_else(|| not_genuine("stripe-signature has no time"))?;
    if signatures.is_empty() {
        return Err(not_genuine("stripe-signature has no readable `v1` signature"));
    }
    if !matches(HmacAlgorithm::Sha256, secrets, &[time.as_bytes(), b".", &request.body], &signatures) {
        return Err(not_genuine("no signature of stripe-signature matches under the secret"));
    }
    check_age(time, tolerance, now)?;
    // The event is what Stripe sends again; its id is signed with the body.
    let event: Option<Value> = json::from_slice(&request.body).ok();
    let delivery_id = event.and_then(|event| event.get("id")?.as_str().map(str::to_owned));
    Ok(Proof { delivery_id, id_is_signed: true, reason: "stripe-signature matches".into() })
}

fn microsoft_graph(request: &Request, secrets: &[SecretValue]) -> Result<Proof, Stop> {
    let body: Value = json::from_slice(&request.body).map_err(|_| not_genuine("the body is not JSON"))?;
    let list = body.get("value").and_then(Value::as_array).filter(|list| !list.is_empty());
    let list = list.ok_or_else(|| not_genuine("the body has no list of notifications as `value`"))?;
    for notification in list {
        let state = notification.get("clientState").and_then(Value::as_str);
        let state = state.ok_or_else(|| not_genuine("a notification has no `clientState`"))?;
        let is_right = |secret: &&SecretValue| {
            verify_slices_are_equal(secret.bytes(), state.as_bytes()).is_ok() && !state.is_empty()
        };
        if secrets.iter().filter(is_right).count() == 0 {
            return Err(not_genuine("the `clientState` of a notification is not the secret"));
        }
    }
    Ok(Proof { reason: "`clientState` is the secret".into(), ..Proof::default() })
}

//! The schemes of providers, as they document them: a keyed hash over the body, with a signed time where the provider has
//! one. Secrets are bytes as the provider shows them.

use super::hmac::{Encoding, HmacAlgorithm, matches};
use super::{Proof, SIGNATURES_MAX, check_age, not_genuine, single_header};
use crate::redact::{Layer, MARK, blank_members, is_among};
use crate::vault::SecretValue;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use bytes::Bytes;
use ringback_records::callback::Request;
use ringback_records::json;
use ringback_records::stop::Stop;
use ringback_records::time::Timestamp;
use serde_json::Value;
use std::time::Duration;

/// A provider whose scheme is built in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provider {
    /// `X-Hub-Signature-256: sha256=<hex>` over the body.
    GitHub,
    /// `Stripe-Signature: t=<seconds>,v1=<hex>,…` over `t.body`.
    Stripe,
    /// `X-Slack-Signature: v0=<hex>` over `v0:time:body`, the time in `X-Slack-Request-Timestamp`.
    Slack,
    /// `X-Shopify-Hmac-SHA256: <base64>` over the body.
    Shopify,
    /// As GitHub's, under the app's secret (Facebook, Instagram, `WhatsApp`).
    Meta,
    /// `X-Twitter-Webhooks-Signature: sha256=<base64>` over the body.
    Twitter,
    /// The secret itself, as `clientState` of each notification in the body.
    MicrosoftGraph,
}

/// By the words that flows use.
pub const PROVIDERS: [(&str, Provider); 7] = [
    ("github", Provider::GitHub),
    ("stripe", Provider::Stripe),
    ("slack", Provider::Slack),
    ("shopify", Provider::Shopify),
    ("meta", Provider::Meta),
    ("twitter", Provider::Twitter),
    ("microsoft-graph", Provider::MicrosoftGraph),
];

/// A signature over the body alone.
struct OverBody {
    header: &'static str,
    prefix: &'static str,
    encoding: Encoding,
    /// Where the id of the delivery is, which nothing signs.
    delivery: Option<&'static str>,
}

impl Provider {
    /// Whether it signs a time, for which there is a tolerance.
    pub fn signs_time(self) -> bool {
        matches!(self, Self::Stripe | Self::Slack)
    }

    /// The members of bodies that prove something, at any depth: Slack still sends the token that its signature replaced.
    pub(super) fn proofs(self) -> &'static [&'static str] {
        match self {
            Self::MicrosoftGraph => &["clientState", "validationTokens"],
            Self::Slack => &["token"],
            Self::GitHub | Self::Stripe | Self::Shopify | Self::Meta | Self::Twitter => &[],
        }
    }

    pub(super) fn body_without_proof(self, request: &Request) -> Option<Bytes> {
        let names = self.proofs();
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
        self,
        request: &Request,
        secrets: &[SecretValue],
        tolerance: Duration,
        now: Timestamp,
    ) -> Result<Proof, Stop> {
        let hex = Encoding::Hex;
        let over_body = match self {
            Self::GitHub => OverBody {
                header: "x-hub-signature-256",
                prefix: "sha256=",
                encoding: hex,
                delivery: Some("x-github-delivery"),
            },
            Self::Meta => OverBody { header: "x-hub-signature-256", prefix: "sha256=", encoding: hex, delivery: None },
            Self::Shopify => OverBody {
                header: "x-shopify-hmac-sha256",
                prefix: "",
                encoding: Encoding::Base64,
                delivery: Some("x-shopify-webhook-id"),
            },
            Self::Twitter => OverBody {
                header: "x-twitter-webhooks-signature",
                prefix: "sha256=",
                encoding: Encoding::Base64,
                delivery: None,
            },
            Self::Stripe => return stripe(request, secrets, tolerance, now),
            Self::Slack => return slack(request, secrets, tolerance, now),
            Self::MicrosoftGraph => return microsoft_graph(request, secrets),
        };
        over_body.verify(request, secrets)
    }
}

impl OverBody {
    fn verify(&self, request: &Request, secrets: &[SecretValue]) -> Result<Proof, Stop> {
        let Self { header, prefix, encoding, delivery } = self;
        let text = single_header(request, header)?;
        let Some(encoded) = text.strip_prefix(prefix) else {
            return Err(not_genuine(format!("{header} does not begin with `{prefix}`")));
        };
        let mac = encoding.decode(encoded).ok_or_else(|| not_genuine(format!("{header} is not {encoding}")))?;
        if !matches(HmacAlgorithm::Sha256, secrets, &[&request.body], &[mac]) {
            return Err(not_genuine(format!("{header} does not match the body under the secret")));
        }
        let delivery_id = delivery.and_then(|name| request.header(name));
        Ok(Proof { delivery_id, id_is_signed: false, reason: format!("{header} matches") })
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

fn slack(request: &Request, secrets: &[SecretValue], tolerance: Duration, now: Timestamp) -> Result<Proof, Stop> {
    let header = single_header(request, "x-slack-signature")?;
    let time = single_header(request, "x-slack-request-timestamp")?;
    let Some(encoded) = header.strip_prefix("v0=") else {
        return Err(not_genuine("x-slack-signature does not begin with `v0=`"));
    };
    let mac = Encoding::Hex.decode(encoded).ok_or_else(|| not_genuine("x-slack-signature is not hexadecimal"))?;
    if !matches(HmacAlgorithm::Sha256, secrets, &[b"v0:", time.as_bytes(), b":", &request.body], &[mac]) {
        return Err(not_genuine("x-slack-signature does not match time and body under the secret"));
    }
    check_age(&time, tolerance, now)?;
    Ok(Proof { reason: "x-slack-signature matches".into(), ..Proof::default() })
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

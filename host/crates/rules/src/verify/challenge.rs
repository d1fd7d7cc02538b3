//! The questions that providers ask while a URL is being set up, to see that its owner agrees. They are answered without
//! starting anything. What is echoed is bounded, and sent as text that no browser takes for a page.

use super::key::are_equal;
use super::recipe::{Algorithm, sign};
use super::{Verify, missing_secret, not_genuine, secret_values};
use crate::vault::{SecretValue, Vault};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use ringback_records::callback::{Callback, Request};
use ringback_records::json;
use ringback_records::name::hex;
use ringback_records::reply::Reply;
use ringback_records::stop::Stop;
use serde::Deserialize;
use serde_json::{Value, json};

/// What a provider asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Challenge {
    /// `hub.challenge`, which is sent back to who shows the trigger's token.
    VerifyToken,
    /// `crc_token`, which is signed.
    CrcToken,
    /// `validationToken`, which is sent back.
    ValidationToken,
    /// `challenge` of a GET, which is sent back.
    Parameter,
    /// `X-GCS-Webhooks-Endpoint-Verification` of a GET, which is sent back.
    Worldline,
    /// `X-Okta-Verification-Challenge` of a GET, which is sent back as JSON.
    Okta,
    /// `X-AdobeSign-ClientId` of a GET, which is sent back when it is the secret.
    AdobeSign,
    /// A HEAD.
    Head,
    /// The `challenge` of a signed body of the type `url_verification`, which is sent back.
    UrlVerification,
    /// The `plainToken` of a signed event `endpoint.url_validation`, which is sent back with its keyed hash.
    Zoom,
    /// The `challenge` of a signed message of the type `webhook_callback_verification`, which is sent back.
    Twitch,
    /// A signed ping.
    Discord,
    /// A signed body without events: 200 says that the signature was right.
    Xero,
}

impl Challenge {
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::VerifyToken => "`hub.challenge`, when it shows the `verify_token`",
            Self::CrcToken => "`crc_token`",
            Self::ValidationToken => "`validationToken`",
            Self::Parameter => "`?challenge=`",
            Self::Worldline => "`X-GCS-Webhooks-Endpoint-Verification`",
            Self::Okta => "`X-Okta-Verification-Challenge`",
            Self::AdobeSign => "the GET with `X-AdobeSign-ClientId`",
            Self::Head => "HEAD",
            Self::UrlVerification => "`url_verification`",
            Self::Zoom => "`endpoint.url_validation`",
            Self::Twitch => "`webhook_callback_verification`",
            Self::Discord => "PING",
            Self::Xero => "the intent to receive",
        }
    }
}

/// Longest text that is sent back, in bytes.
const ECHO_BYTES_MAX: usize = 4096;
/// Longest token that is signed for who asks, in bytes.
const CRC_TOKEN_BYTES_MAX: usize = 256;

/// The answer to a question that nothing signs; `None` for anything else.
///
/// # Errors
///
/// The question is not in order (400, 401, 403), or a secret is missing (500).
pub fn unsigned(scheme: &Verify, callback: &Callback, secrets: &Vault) -> Option<Result<Reply, Stop>> {
    let request = &callback.request;
    let parameter =
        |name: &str| request.query_pairs().find(|(known, _)| known == name).map(|(_, value)| value.into_owned());
    let (provider, names, verify_tokens) = match scheme {
        Verify::Provider { provider, secrets, verify_tokens, .. } => (provider, secrets, verify_tokens),
        Verify::CloudEvents { origins } if request.method == Method::OPTIONS => {
            return Some(cloud_events(request, origins));
        }
        _ => return None,
    };
    let is_get = request.method == Method::GET;
    let header = |name: &str| request.header(name).filter(|_| is_get);
    match provider.challenge? {
        Challenge::VerifyToken if is_get => {
            let asked = parameter("hub.challenge")?;
            Some(meta(callback, secrets, verify_tokens, parameter("hub.verify_token"), &asked))
        }
        Challenge::CrcToken if is_get => {
            let token = parameter("crc_token")?;
            Some(twitter(callback, secrets, names, &token))
        }
        Challenge::ValidationToken => parameter("validationToken").map(|text| echo(&text)),
        Challenge::Parameter if is_get => parameter("challenge").map(|text| echo(&text)),
        Challenge::Worldline => header("x-gcs-webhooks-endpoint-verification").map(|text| echo(&text)),
        Challenge::Okta => {
            let asked = header("x-okta-verification-challenge")?;
            Some(acceptable(&asked).map(|()| Reply::json(200, &json!({ "verification": asked }))))
        }
        Challenge::AdobeSign => header("x-adobesign-clientid").map(|id| adobe_sign(callback, secrets, names, id)),
        Challenge::Head => (request.method == Method::HEAD).then(|| Ok(Reply::empty(200))),
        _ => None,
    }
}

/// The answer to a question whose signature was right; `None` for anything else.
///
/// # Errors
///
/// The question is not in order (400), or a secret is missing (500).
pub fn signed(scheme: &Verify, callback: &Callback, secrets: &Vault) -> Option<Result<Reply, Stop>> {
    let Verify::Provider { provider, secrets: names, .. } = scheme else { return None };
    let challenge = provider.challenge?;
    let request = &callback.request;
    let is_signed_question = matches!(
        challenge,
        Challenge::UrlVerification | Challenge::Zoom | Challenge::Twitch | Challenge::Discord | Challenge::Xero
    );
    // Most callbacks are of providers that ask nothing here: their bodies are not read twice.
    let body: Value = is_signed_question.then(|| json::from_slice(&request.body).ok())??;
    let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str);
    match challenge {
        Challenge::UrlVerification if text("/type") == Some("url_verification") => Some(echo(text("/challenge")?)),
        Challenge::Zoom if text("/event") == Some("endpoint.url_validation") => {
            Some(zoom(callback, secrets, names, text("/payload/plainToken")?))
        }
        Challenge::Twitch => {
            let kind = request.header("twitch-eventsub-message-type")?;
            (kind == "webhook_callback_verification").then_some(())?;
            Some(echo(text("/challenge")?))
        }
        Challenge::Discord => match body.get("type").and_then(Value::as_u64) {
            // An interaction's, and that of the events of an application.
            Some(1) if body.get("event").is_none() => Some(Ok(Reply::json(200, &json!({ "type": 1 })))),
            Some(0) => Some(Ok(Reply::empty(204))),
            _ => None,
        },
        Challenge::Xero => {
            let events = body.get("events").and_then(Value::as_array)?;
            events.is_empty().then(|| Ok(Reply::empty(200)))
        }
        _ => None,
    }
}

fn acceptable(text: &str) -> Result<(), Stop> {
    if text.len() > ECHO_BYTES_MAX || text.chars().any(char::is_control) {
        let reason = format!("the challenge has more than {ECHO_BYTES_MAX} bytes, or control characters");
        return Err(Stop::refused(400, "challenge_refused", "The challenge is not acceptable.", reason));
    }
    Ok(())
}

fn echo(text: &str) -> Result<Reply, Stop> {
    acceptable(text).map(|()| Reply::text(200, text.to_owned()))
}

/// The newest value of the first secret, to sign with.
fn signing_secret(callback: &Callback, secrets: &Vault, names: &[String]) -> Result<SecretValue, Stop> {
    let name = names.first().map(String::as_str).unwrap_or_default();
    let secret = secrets.find(&callback.workspace, &callback.environment, name);
    secret.filter(|secret| !secret.bytes().is_empty()).ok_or_else(|| missing_secret(name))
}

/// Zoom asks for a keyed hash of its token, under the secret that signs callbacks, in a body that it signed.
fn zoom(callback: &Callback, secrets: &Vault, names: &[String], token: &str) -> Result<Reply, Stop> {
    is_token(token, "plainToken")?;
    let secret = signing_secret(callback, secrets, names)?;
    let tag = hex(&sign(Algorithm::Sha256, secret.bytes(), &[token.as_bytes()]));
    Ok(Reply::json(200, &json!({ "plainToken": token, "encryptedToken": tag })))
}

fn adobe_sign(callback: &Callback, secrets: &Vault, names: &[String], id: String) -> Result<Reply, Stop> {
    let mut is_right = false;
    for known in secret_values(secrets, callback, names, callback.request.received_at)? {
        is_right |= are_equal(known.bytes(), id.as_bytes()) && !id.is_empty();
    }
    if is_right {
        Ok(Reply::empty(200).with_header("x-adobesign-clientid", id))
    } else {
        Err(not_genuine("`X-AdobeSign-ClientId` is not the secret"))
    }
}

/// Who knows the URL could have anything signed: no token can be the body of a callback, which begins with a brace.
fn is_token(token: &str, name: &str) -> Result<(), Stop> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_=+/".contains(&byte);
    if token.is_empty() || token.len() > CRC_TOKEN_BYTES_MAX || !token.bytes().all(allowed) {
        let reason = format!("`{name}` is not a token of letters, digits and -_=+/");
        return Err(Stop::refused(400, "challenge_refused", "The challenge is not acceptable.", reason));
    }
    Ok(())
}

fn meta(
    callback: &Callback,
    secrets: &Vault,
    names: &[String],
    token: Option<String>,
    challenge: &str,
) -> Result<Reply, Stop> {
    let token = token.unwrap_or_default();
    let mut is_right = false;
    for known in secret_values(secrets, callback, names, callback.request.received_at)? {
        is_right |= are_equal(known.bytes(), token.as_bytes()) && !token.is_empty();
    }
    if !is_right {
        return Err(not_genuine("`hub.verify_token` is not the `verify_token` of the trigger"));
    }
    echo(challenge)
}

/// Twitter asks for a signature of its token, under the secret that signs callbacks.
fn twitter(callback: &Callback, secrets: &Vault, names: &[String], token: &str) -> Result<Reply, Stop> {
    is_token(token, "crc_token")?;
    let secret = signing_secret(callback, secrets, names)?;
    let tag = sign(Algorithm::Sha256, secret.bytes(), &[token.as_bytes()]);
    Ok(Reply::json(200, &json!({ "response_token": format!("sha256={}", STANDARD.encode(tag)) })))
}

/// Whether a sender can say that it is of this origin.
pub fn is_origin(origin: &str) -> bool {
    !origin.is_empty() && origin.len() <= 255 && origin.bytes().all(|byte| byte.is_ascii_graphic())
}

/// `CloudEvents` 1.0, HTTP Web Hooks, section 4: abuse protection.
fn cloud_events(request: &Request, origins: &[String]) -> Result<Reply, Stop> {
    let origin = request.header("webhook-request-origin").unwrap_or_default();
    let known = |allowed: &String| allowed == "*" || allowed.eq_ignore_ascii_case(&origin);
    if !is_origin(&origin) || !origins.iter().any(known) {
        let reason = format!("the origin `{}` is not among the `origins` of the trigger", origin.escape_debug());
        return Err(Stop::refused(403, "origin_refused", "This origin may not send events here.", reason));
    }
    let mut reply = Reply::empty(200).with_header("allow", "POST").with_header("webhook-allowed-origin", origin);
    if request.headers.contains_key("webhook-request-rate") {
        reply = reply.with_header("webhook-allowed-rate", "*");
    }
    Ok(reply)
}

//! The questions that providers ask while a URL is being set up, to see that its owner agrees. They are answered without
//! starting anything. What is echoed is bounded, and sent as text that no browser takes for a page.

use super::hmac::{HmacAlgorithm, sign};
use super::{Verify, missing_secret, not_genuine, secret_values};
use crate::vault::Vault;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use ringback_records::callback::{Callback, Request};
use ringback_records::json;
use ringback_records::reply::Reply;
use ringback_records::stop::Stop;
use serde_json::{Value, json};

/// What a provider asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// `hub.challenge`, which is sent back to who shows the trigger's token.
    VerifyToken,
    /// `crc_token`, which is signed.
    CrcToken,
    /// `validationToken`, which is sent back.
    ValidationToken,
    /// The `challenge` of a signed body of the type `url_verification`, which is sent back.
    UrlVerification,
}

/// Longest text that is sent back, in bytes.
const ECHO_BYTES_MAX: usize = 4096;
/// Longest token that is signed for Twitter, in bytes.
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
    match provider.challenge? {
        Challenge::VerifyToken if request.method == Method::GET => {
            let asked = parameter("hub.challenge")?;
            Some(meta(callback, secrets, verify_tokens, parameter("hub.verify_token"), &asked))
        }
        Challenge::CrcToken if request.method == Method::GET => {
            let token = parameter("crc_token")?;
            Some(twitter(callback, secrets, names, &token))
        }
        Challenge::ValidationToken => parameter("validationToken").map(|text| echo(&text)),
        Challenge::VerifyToken | Challenge::CrcToken | Challenge::UrlVerification => None,
    }
}

/// The answer to a question whose signature was right; `None` for anything else.
///
/// # Errors
///
/// The question is not in order (400).
pub fn signed(scheme: &Verify, request: &Request) -> Option<Result<Reply, Stop>> {
    let Verify::Provider { provider, .. } = scheme else { return None };
    if provider.challenge != Some(Challenge::UrlVerification) {
        return None;
    }
    let body: Value = json::from_slice(&request.body).ok()?;
    if body.get("type").and_then(Value::as_str) != Some("url_verification") {
        return None;
    }
    Some(echo(body.get("challenge")?.as_str()?))
}

fn echo(text: &str) -> Result<Reply, Stop> {
    if text.len() > ECHO_BYTES_MAX || text.chars().any(char::is_control) {
        let reason = format!("the challenge has more than {ECHO_BYTES_MAX} bytes, or control characters");
        return Err(Stop::refused(400, "challenge_refused", "The challenge is not acceptable.", reason));
    }
    Ok(Reply::text(200, text.to_owned()))
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
        is_right |= verify_slices_are_equal(known.bytes(), token.as_bytes()).is_ok() && !token.is_empty();
    }
    if !is_right {
        return Err(not_genuine("`hub.verify_token` is not the `verify_token` of the trigger"));
    }
    echo(challenge)
}

/// Twitter asks for a signature of its token, under the secret that signs callbacks. Who knows the URL could have anything
/// signed: no token can be the body of a callback, which begins with a brace.
fn twitter(callback: &Callback, secrets: &Vault, names: &[String], token: &str) -> Result<Reply, Stop> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_=+/".contains(&byte);
    if token.is_empty() || token.len() > CRC_TOKEN_BYTES_MAX || !token.bytes().all(allowed) {
        let reason = "`crc_token` is not a token of letters, digits and -_=+/";
        return Err(Stop::refused(400, "challenge_refused", "The challenge is not acceptable.", reason));
    }
    let name = names.first().map(String::as_str).unwrap_or_default();
    let secret = secrets.find(&callback.workspace, &callback.environment, name);
    let secret = secret.filter(|secret| !secret.bytes().is_empty()).ok_or_else(|| missing_secret(name))?;
    let tag = sign(HmacAlgorithm::Sha256, secret.bytes(), &[token.as_bytes()]);
    Ok(Reply::json(200, &json!({ "response_token": format!("sha256={}", STANDARD.encode(tag.as_ref())) })))
}

/// `CloudEvents` 1.0, HTTP Web Hooks, section 4: abuse protection.
fn cloud_events(request: &Request, origins: &[String]) -> Result<Reply, Stop> {
    let origin = request.header("webhook-request-origin").unwrap_or_default();
    let known = |allowed: &String| allowed == "*" || allowed.eq_ignore_ascii_case(&origin);
    let is_plain = !origin.is_empty() && origin.len() <= 255 && origin.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_plain || !origins.iter().any(known) {
        let reason = format!("the origin `{}` is not among the `origins` of the trigger", origin.escape_debug());
        return Err(Stop::refused(403, "origin_refused", "This origin may not send events here.", reason));
    }
    let mut reply = Reply::empty(200).with_header("allow", "POST").with_header("webhook-allowed-origin", origin);
    if request.headers.contains_key("webhook-request-rate") {
        reply = reply.with_header("webhook-allowed-rate", "*");
    }
    Ok(reply)
}

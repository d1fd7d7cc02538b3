//! A JSON Web Token (RFC 7519) that the sender signs with a shared secret, and that has a hash of the body.

use super::recipe::{Encoding, any_matches};
use super::template::Source;
use super::{Proof, check_age, not_genuine};
use crate::vault::SecretValue;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ringback_records::callback::Request;
use ringback_records::json;
use ringback_records::stop::Stop;
use ringback_records::time::Timestamp;
use serde_json::Value;
use std::time::Duration;

/// Longest token, in bytes.
const TOKEN_BYTES_MAX: usize = 8192;

/// Where the token is, and which claim has the hash.
#[derive(Clone, Debug)]
pub(super) struct JwtHash {
    pub at: Source,
    /// What stands before it.
    pub prefix: &'static str,
    pub claim: &'static str,
    /// How the hash is written: SHA-256.
    pub encoding: Encoding,
}

impl JwtHash {
    pub fn verify(
        &self,
        request: &Request,
        secrets: &[SecretValue],
        tolerance: Duration,
        now: Timestamp,
    ) -> Result<Proof, Stop> {
        let Self { at, prefix, claim, encoding } = self;
        let wrong = |reason: &str| not_genuine(format!("the token of {at} {reason}"));
        let text = at.one(request).map_err(not_genuine)?;
        let token = text.strip_prefix(prefix).ok_or_else(|| wrong(&format!("does not begin with `{prefix}`")))?;
        let mut parts = token.split('.');
        let (Some(header), Some(claims), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(wrong("is no JWT"));
        };
        let decoded = |part: &str| URL_SAFE_NO_PAD.decode(part).ok().filter(|_| token.len() <= TOKEN_BYTES_MAX);
        let object =
            |part: &str| decoded(part).and_then(|bytes| json::from_slice(&bytes).ok()).filter(Value::is_object);
        let (Some(head), Some(said), Some(mac)) = (object(header), object(claims), decoded(signature)) else {
            return Err(wrong("is no JWT"));
        };
        if head.get("alg").and_then(Value::as_str) != Some("HS256") || head.get("crit").is_some() {
            return Err(wrong("is not signed by HS256"));
        }
        if !any_matches(secrets, &[header.as_bytes(), b".", claims.as_bytes()], &[mac]) {
            return Err(wrong("does not match under the secret"));
        }
        let hash = said.get(claim).and_then(Value::as_str).and_then(|text| encoding.decode(text));
        if hash.as_deref() != Some(digest(&SHA256, &request.body).as_ref()) {
            return Err(wrong(&format!("has another body's hash as `{claim}`")));
        }
        let time = |name: &str| match said.get(name) {
            None => Ok(None),
            Some(value) => value.as_u64().map(Some).ok_or_else(|| wrong(&format!("has a `{name}` that is no time"))),
        };
        let (seconds, leeway) = (now.as_secs(), tolerance.as_secs());
        if time("exp")?.is_some_and(|end| end.saturating_add(leeway) < seconds) {
            return Err(wrong("has expired"));
        }
        if time("nbf")?.is_some_and(|begin| begin > seconds.saturating_add(leeway)) {
            return Err(wrong("is not valid yet"));
        }
        if let Some(issued) = time("iat")? {
            check_age(&issued.to_string(), tolerance, now)?;
        }
        let delivery_id = said.get("jti").and_then(Value::as_str).map(str::to_owned);
        let id_is_signed = delivery_id.is_some();
        Ok(Proof { delivery_id, id_is_signed, reason: format!("the token of {at} matches"), is_none: false })
    }
}

//! JSON Web Tokens (RFC 7519) that have a hash of the body: by a shared secret, or by a key that Plaid tells.

use super::key::are_equal;
use super::recipe::{Encoding, any_matches};
use super::template::{Source, single_header};
use super::{Proof, check_age, not_genuine};
use crate::vault::SecretValue;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
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

/// A token of which it is not known yet who signed it.
#[derive(Debug)]
struct Token {
    head: Value,
    claims: Value,
    signed: String,
    signature: Vec<u8>,
}

impl Token {
    fn read(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let (head, claims, signature, None) = (parts.next()?, parts.next()?, parts.next()?, parts.next()) else {
            return None;
        };
        let decoded = |part: &str| URL_SAFE_NO_PAD.decode(part).ok().filter(|_| text.len() <= TOKEN_BYTES_MAX);
        let object = |part: &str| json::from_slice(&decoded(part)?).ok().filter(Value::is_object);
        Some(Self {
            head: object(head)?,
            claims: object(claims)?,
            signed: format!("{head}.{claims}"),
            signature: decoded(signature)?,
        })
    }

    /// The algorithm is said by the scheme, not by the token.
    fn is_by(&self, algorithm: &str) -> bool {
        self.head.get("alg").and_then(Value::as_str) == Some(algorithm) && self.head.get("crit").is_none()
    }

    /// What is wrong with a token that is signed, in words.
    fn check(
        &self,
        claim: &str,
        encoding: Encoding,
        body: &[u8],
        leeway: Duration,
        now: Timestamp,
    ) -> Result<(), String> {
        let hash = self.claims.get(claim).and_then(Value::as_str).and_then(|text| encoding.decode(text));
        if !hash.is_some_and(|hash| are_equal(&hash, digest(&SHA256, body).as_ref())) {
            return Err(format!("has another body's hash as `{claim}`"));
        }
        let (seconds, leeway) = (now.as_secs(), leeway.as_secs());
        if self.time("exp")?.is_some_and(|end| end.saturating_add(leeway) < seconds) {
            return Err("has expired".to_owned());
        }
        if self.time("nbf")?.is_some_and(|begin| begin > seconds.saturating_add(leeway)) {
            return Err("is not valid yet".to_owned());
        }
        Ok(())
    }

    fn time(&self, name: &str) -> Result<Option<u64>, String> {
        match self.claims.get(name) {
            None => Ok(None),
            Some(value) => value.as_u64().map(Some).ok_or_else(|| format!("has a `{name}` that is no time")),
        }
    }
}

/// Where a token by HS256 is, and which claim has the hash.
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
        let token = Token::read(token).ok_or_else(|| wrong("is no JWT"))?;
        if !token.is_by("HS256") {
            return Err(wrong("is not signed by HS256"));
        }
        if !any_matches(secrets, &[token.signed.as_bytes()], std::slice::from_ref(&token.signature)) {
            return Err(wrong("does not match under the secret"));
        }
        token.check(claim, *encoding, &request.body, tolerance, now).map_err(|reason| wrong(&reason))?;
        if let Some(issued) = token.time("iat").map_err(|reason| wrong(&reason))? {
            check_age(&issued.to_string(), tolerance, now)?;
        }
        let delivery_id = token.claims.get("jti").and_then(Value::as_str).map(str::to_owned);
        let id_is_signed = delivery_id.is_some();
        Ok(Proof { delivery_id, id_is_signed, reason: format!("the token of {at} matches"), is_none: false })
    }
}

/// Plaid, which tells by which keys it signs to who shows the secrets of the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plaid {
    /// The names of secrets.
    pub client_id: String,
    pub secret: String,
    /// Where it is asked, without a slash at the end.
    pub url: String,
}

/// A token of Plaid, whose key is not known yet.
#[derive(Debug)]
pub struct PlaidToken(Token);

impl Plaid {
    /// # Errors
    ///
    /// There is no token that Plaid may have signed (401).
    pub fn read(&self, request: &Request) -> Result<PlaidToken, Stop> {
        let text = single_header(request, "plaid-verification").map_err(not_genuine)?;
        let token = Token::read(&text).filter(|token| token.is_by("ES256"));
        let token = token.ok_or_else(|| not_genuine("plaid-verification is no JWT by ES256"))?;
        let token = PlaidToken(token);
        if token.key_id().is_none() {
            return Err(not_genuine("plaid-verification does not say by which key"));
        }
        Ok(token)
    }
}

impl PlaidToken {
    /// Which key it says to be signed by.
    pub fn key_id(&self) -> Option<&str> {
        let id = self.0.head.get("kid")?.as_str()?;
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        ((1..=100).contains(&id.len()) && id.bytes().all(fits)).then_some(id)
    }

    /// Whether the key that Plaid told, a JWK, signed the token, and that the body.
    ///
    /// # Errors
    ///
    /// It did not, or the key has ended (401).
    pub fn verify(&self, jwk: &Value, request: &Request, tolerance: Duration, now: Timestamp) -> Result<Proof, Stop> {
        let wrong = |reason: &str| not_genuine(format!("the token of plaid-verification {reason}"));
        let text = |name: &str| jwk.get(name).and_then(Value::as_str);
        let coordinate =
            |name: &str| text(name).and_then(|text| URL_SAFE_NO_PAD.decode(text).ok()).filter(|c| c.len() == 32);
        let is_of_kind = text("kty") == Some("EC") && text("crv") == Some("P-256") && text("kid") == self.key_id();
        let (Some(x), Some(y), true) = (coordinate("x"), coordinate("y"), is_of_kind) else {
            return Err(wrong("names something that is no key on P-256"));
        };
        if jwk.get("expired_at").and_then(Value::as_u64).is_some_and(|end| end < now.as_secs()) {
            return Err(wrong("is by a key that has ended"));
        }
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, [&[4][..], &x, &y].concat());
        if key.verify(self.0.signed.as_bytes(), &self.0.signature).is_err() {
            return Err(wrong("does not match under its key"));
        }
        self.0
            .check("request_body_sha256", Encoding::Hex, &request.body, tolerance, now)
            .map_err(|reason| wrong(&reason))?;
        let issued = self.0.time("iat").map_err(|reason| wrong(&reason))?;
        check_age(&issued.ok_or_else(|| wrong("does not say when it was made"))?.to_string(), tolerance, now)?;
        Ok(Proof { reason: "the token of plaid-verification matches".to_owned(), ..Proof::default() })
    }
}

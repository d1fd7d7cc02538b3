//! HTTP Message Signatures (RFC 9421) with Content-Digest (RFC 9530): the sender says which parts of the request it signed, and the
//! trigger which it wants signed.

mod fields;

use super::key::{KeyForm, are_equal, public_key};
use super::recipe::{Algorithm, sign};
use super::{Proof, check_age, not_genuine, secret_unusable};
use crate::vault::SecretValue;
use aws_lc_rs::digest;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA512, UnparsedPublicKey,
    VerificationAlgorithm,
};
use fields::{Item, Member, Value, dictionary};
use ringback_records::callback::Callback;
use ringback_records::stop::Stop;
use ringback_records::time::Timestamp;
use std::time::Duration;

/// Most signatures of one message that are looked at.
const SIGNATURES_MAX: usize = 4;
/// Most parts that one signature covers.
const COVERED_MAX: usize = 32;

/// By what a message is signed, as the registry of RFC 9421 names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageAlgorithm {
    HmacSha256,
    Ed25519,
    EcdsaP256Sha256,
    RsaV15Sha256,
    RsaPssSha512,
}

impl MessageAlgorithm {
    /// By the words of the registry, which are those of flows.
    pub const NAMES: [(&str, Self); 5] = [
        ("hmac-sha256", Self::HmacSha256),
        ("ed25519", Self::Ed25519),
        ("ecdsa-p256-sha256", Self::EcdsaP256Sha256),
        ("rsa-v1_5-sha256", Self::RsaV15Sha256),
        ("rsa-pss-sha512", Self::RsaPssSha512),
    ];

    fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, known)| *known == self).map_or("", |(name, _)| name)
    }
}

/// What a trigger wants of such a signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageSignature {
    /// The trigger says it, not the message.
    pub algorithm: MessageAlgorithm,
    /// How the key of a keyed hash is written.
    pub key: KeyForm,
    /// What must be signed: names of headers, in lower case, and derived components such as `@method`.
    pub covered: Vec<String>,
}

impl MessageSignature {
    /// # Errors
    ///
    /// The secret is of another form, in words without it.
    pub fn check_secret(&self, secret: &[u8]) -> Result<(), String> {
        self.key_of(secret).map(drop)
    }

    fn key_of(&self, secret: &[u8]) -> Result<MessageKey, String> {
        let raw = |length: usize, prefix: usize| {
            let key = public_key(secret)?;
            // A bare key, or the end of a SubjectPublicKeyInfo.
            let bare = if key.len() == length + prefix { key.get(prefix..)?.to_vec() } else { key };
            (bare.len() == length).then_some(bare)
        };
        let (algorithm, key): (&'static dyn VerificationAlgorithm, _) = match self.algorithm {
            MessageAlgorithm::HmacSha256 => {
                return self.key.bytes(secret).map(|key| MessageKey::Hash(key.into_owned()));
            }
            MessageAlgorithm::Ed25519 => (&ED25519, raw(32, 12)),
            MessageAlgorithm::EcdsaP256Sha256 => (&ECDSA_P256_SHA256_FIXED, raw(65, 26)),
            MessageAlgorithm::RsaV15Sha256 => (&RSA_PKCS1_2048_8192_SHA256, public_key(secret)),
            MessageAlgorithm::RsaPssSha512 => (&RSA_PSS_2048_8192_SHA512, public_key(secret)),
        };
        let is_rsa = matches!(self.algorithm, MessageAlgorithm::RsaV15Sha256 | MessageAlgorithm::RsaPssSha512);
        match key.filter(|key| !is_rsa || key.len() > 256) {
            Some(key) => Ok(MessageKey::Public(UnparsedPublicKey::new(algorithm, key))),
            None => Err(format!("the secret is no public key for {}, in PEM or base64", self.algorithm.name())),
        }
    }

    /// Whether one of the signatures of the message is one that the trigger wants.
    ///
    /// # Errors
    ///
    /// None is (401), or a secret is of another form (500).
    pub fn verify(
        &self,
        callback: &Callback,
        secrets: &[SecretValue],
        given_url: Option<&str>,
        tolerance: Duration,
        now: Timestamp,
    ) -> Result<Proof, Stop> {
        let request = &callback.request;
        // A field that is there more than once is one list.
        let joined = |name: &str| request.header(name).ok_or_else(|| not_genuine(format!("there is no {name} header")));
        let read = |name: &str| {
            let text = joined(name)?;
            dictionary(&text).ok_or_else(|| not_genuine(format!("{name} is no dictionary of structured fields")))
        };
        let (inputs, signatures) = (read("signature-input")?, read("signature")?);
        if request.headers.contains_key("content-digest") || self.covered.iter().any(|name| name == "content-digest") {
            check_digest(&joined("content-digest")?, &request.body)?;
        }
        let keys: Vec<MessageKey> = secrets
            .iter()
            .filter(|secret| !secret.bytes().is_empty())
            .map(|secret| self.key_of(secret.bytes()).map_err(|reason| secret_unusable(&reason)))
            .collect::<Result<_, _>>()?;
        let mut why = not_genuine("signature-input has no signature that `signature` has, too");
        for (label, input) in inputs.iter().take(SIGNATURES_MAX) {
            let Some((_, Member::Item(Item { value: Value::Bytes(signature), .. }))) =
                signatures.iter().find(|(known, _)| known == label)
            else {
                continue;
            };
            match self.check_one(callback, given_url, label, input, signature, &keys, tolerance, now) {
                Ok(proof) => return Ok(proof),
                Err(stop) => why = stop,
            }
        }
        Err(why)
    }

    #[expect(clippy::too_many_arguments, reason = "what is signed, by what, and when")]
    fn check_one(
        &self,
        callback: &Callback,
        given_url: Option<&str>,
        label: &str,
        input: &Member,
        signature: &[u8],
        keys: &[MessageKey],
        tolerance: Duration,
        now: Timestamp,
    ) -> Result<Proof, Stop> {
        let wrong = |reason: String| not_genuine(format!("the signature {label}: {reason}"));
        let Member::List(covered, parameters) = input else { return Err(wrong("its input is no list".to_owned())) };
        if covered.len() > COVERED_MAX {
            return Err(wrong(format!("it covers more than {COVERED_MAX} parts")));
        }
        let names: Vec<&str> = covered.iter().filter_map(Item::text).collect();
        if names.len() < covered.len() {
            return Err(wrong("it covers something that has no name".to_owned()));
        }
        if let Some(missing) = self.covered.iter().find(|wanted| !names.contains(&wanted.as_str())) {
            return Err(wrong(format!("it does not cover `{missing}`")));
        }
        let parameter = |name: &str| parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value);
        if let Some(Value::Text(said)) = parameter("alg")
            && said != self.algorithm.name()
        {
            return Err(wrong(format!(
                "it is by {}, and the trigger takes {}",
                said.escape_debug(),
                self.algorithm.name()
            )));
        }
        let mut base = String::new();
        let mut seen = Vec::new();
        for component in covered {
            let identifier = component.to_string();
            if seen.contains(&identifier) {
                return Err(wrong(format!("it covers {identifier} twice")));
            }
            let value = value_of(component, callback, given_url).map_err(wrong)?;
            base.push_str(&format!("{identifier}: {value}\n"));
            seen.push(identifier);
        }
        base.push_str(&format!("\"@signature-params\": {input}"));
        if !keys.iter().any(|key| key.signs(base.as_bytes(), signature)) {
            return Err(wrong("it does not match under the secret".to_owned()));
        }
        match (parameter("created"), parameter("expires")) {
            (Some(Value::Integer(created)), _) => check_age(&created.to_string(), tolerance, now)?,
            _ => return Err(wrong("it does not say when it was created".to_owned())),
        }
        if let Some(Value::Integer(expires)) = parameter("expires")
            && u64::try_from(*expires).unwrap_or_default() < now.as_secs()
        {
            return Err(wrong("it has expired".to_owned()));
        }
        let delivery_id = match parameter("nonce") {
            Some(Value::Text(nonce)) => Some(nonce.clone()),
            _ => None,
        };
        let id_is_signed = delivery_id.is_some();
        Ok(Proof { delivery_id, id_is_signed, reason: format!("the signature {label} matches"), is_none: false })
    }
}

enum MessageKey {
    Hash(Vec<u8>),
    Public(UnparsedPublicKey<Vec<u8>>),
}

impl MessageKey {
    fn signs(&self, base: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Hash(key) => are_equal(&sign(Algorithm::Sha256, key, &[base]), signature),
            Self::Public(key) => key.verify(base, signature).is_ok(),
        }
    }
}

/// The parts of a request that are not headers (RFC 9421, section 2.2), but for a single parameter, of which there are many.
pub const DERIVED: [&str; 7] =
    ["@method", "@target-uri", "@authority", "@scheme", "@request-target", "@path", "@query"];

/// The value of a part of the request (RFC 9421, section 2).
fn value_of(component: &Item, callback: &Callback, given_url: Option<&str>) -> Result<String, String> {
    let name = component.text().unwrap_or_default();
    let request = &callback.request;
    let url = given_url.map_or_else(|| callback.url(), str::to_owned);
    let parsed = || url.parse::<url::Url>().map_err(|_| "the URL cannot be read".to_owned());
    if name == "@query-param" {
        let [(key, Value::Text(wanted))] = &component.parameters[..] else {
            return Err("`@query-param` does not say which".to_owned());
        };
        let named = request.query.split('&').filter(|pair| pair.split('=').next() == Some(wanted));
        let values: Vec<&str> = named.map(|pair| pair.split_once('=').map_or("", |(_, value)| value)).collect();
        return match (key.as_str(), &values[..]) {
            ("name", [value]) => Ok((*value).to_owned()),
            _ => Err(format!("there is not one parameter `{wanted}`")),
        };
    }
    if !component.parameters.is_empty() {
        return Err(format!("`{component}` has parameters that are not known here"));
    }
    let query = if request.query.is_empty() { "?".to_owned() } else { format!("?{}", request.query) };
    match name {
        "@method" => Ok(request.method.as_str().to_owned()),
        "@target-uri" => Ok(url),
        "@path" => Ok(callback.path()),
        "@query" => Ok(query),
        "@request-target" if request.query.is_empty() => Ok(callback.path()),
        "@request-target" => Ok(format!("{}?{}", callback.path(), request.query)),
        "@scheme" => Ok(parsed()?.scheme().to_owned()),
        "@authority" => {
            let parsed = parsed()?;
            let host = parsed.host_str().unwrap_or_default();
            Ok(parsed.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
        }
        name if name.starts_with('@') => Err(format!("`{}` is not known here", name.escape_debug())),
        name => {
            let values = request.headers.get_all(name).iter();
            let texts: Vec<&str> = values.filter_map(|value| value.to_str().ok().map(str::trim)).collect();
            if texts.is_empty() {
                Err(format!("there is no {} header", name.escape_debug()))
            } else {
                Ok(texts.join(", "))
            }
        }
    }
}

/// Content-Digest (RFC 9530): every digest that is known here is that of the body, and one is there.
fn check_digest(text: &str, body: &[u8]) -> Result<(), Stop> {
    let said = dictionary(text).ok_or_else(|| not_genuine("content-digest is no dictionary of structured fields"))?;
    let mut known = 0;
    for (name, member) in &said {
        let algorithm = match name.as_str() {
            "sha-256" => &digest::SHA256,
            "sha-512" => &digest::SHA512,
            _ => continue,
        };
        let Member::Item(Item { value: Value::Bytes(said), .. }) = member else {
            return Err(not_genuine(format!("{name} of content-digest is no digest")));
        };
        if !are_equal(digest::digest(algorithm, body).as_ref(), said) {
            return Err(not_genuine(format!("{name} of content-digest is not that of the body")));
        }
        known += 1;
    }
    if known == 0 {
        return Err(not_genuine("content-digest has neither sha-256 nor sha-512"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;

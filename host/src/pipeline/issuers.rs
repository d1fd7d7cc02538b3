//! JSON Web Tokens (RFC 7519): users whom another system knows. Their signatures are checked with a shared secret, or with the
//! keys that the issuer publishes.
//!
//! What a token says of itself decides nothing: the trigger says which algorithms, which keys, which issuer and which
//! audience. Published keys are asked for again when a token names one that is not known, but not more often than now and then.

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Header, decode, decode_header};
use ringback_outbound::flow::Sender;
use ringback_records::callback::Callback;
use ringback_records::stop::Stop;
use ringback_records::sync::lock;
use ringback_records::time::Timestamp;
use ringback_records::user::User;
use ringback_rules::jwt::{Jwt, JwtKeys};
use ringback_rules::vault::Vault;
use ringback_rules::verify::secret_values;
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long published keys are believed without asking again.
const FRESH: Duration = Duration::from_mins(10);
/// How long they are believed while nobody answers.
const STALE_MAX: Duration = Duration::from_hours(24);
/// The shortest time between two questions.
const PAUSE: Duration = Duration::from_secs(5);
/// Time for an answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Most keys of one issuer.
const KEYS_MAX: usize = 100;

/// Why a token proves nobody.
enum Failure {
    /// Words for the operator.
    Refused(String),
    Stop(Stop),
}

/// Finds out whom tokens prove. Cloning it is cheap and shares the keys.
#[derive(Clone)]
pub struct JwtUsers {
    secrets: Vault,
    http: Sender,
    published: Arc<Mutex<HashMap<String, Arc<Published>>>>,
}

/// The keys of one issuer.
#[derive(Default)]
struct Published {
    keys: Mutex<Keys>,
    /// Held by who asks for them.
    asking: tokio::sync::Mutex<()>,
}

#[derive(Clone, Default)]
struct Keys {
    keys: Arc<Vec<Jwk>>,
    answered: Option<Instant>,
    asked: Option<Instant>,
}

impl JwtUsers {
    pub fn new(secrets: Vault, http: Sender) -> Self {
        Self { secrets, http, published: Arc::default() }
    }

    /// Whom a token proves, or why it proves nobody.
    ///
    /// # Errors
    ///
    /// A secret is missing (500), or the issuer's keys cannot be had (503).
    pub async fn find(&self, jwt: &Jwt, callback: &Callback, token: &str) -> Result<Result<User, String>, Stop> {
        match self.try_find(jwt, callback, token).await {
            Ok(user) => Ok(Ok(user)),
            Err(Failure::Refused(reason)) => Ok(Err(reason)),
            Err(Failure::Stop(stop)) => Err(stop),
        }
    }

    async fn try_find(&self, jwt: &Jwt, callback: &Callback, token: &str) -> Result<User, Failure> {
        let refused = |reason: &str| Failure::Refused(reason.to_owned());
        let header = decode_header(token).map_err(|_| refused("the token is no JWT, or of an unknown algorithm"))?;
        if !jwt.algorithms.contains(&header.alg) {
            return Err(Failure::Refused(format!("the trigger does not take the algorithm {:?}", header.alg)));
        }
        if header.crit.is_some() {
            return Err(refused("the token needs an extension that is not known here (`crit`)"));
        }
        let validation = jwt.validation(header.alg);
        let keys = match &jwt.keys {
            JwtKeys::Secret(names) => {
                let values = secret_values(&self.secrets, callback, names, Timestamp::now()).map_err(Failure::Stop)?;
                values.iter().map(|value| DecodingKey::from_secret(value.bytes())).collect::<Vec<_>>()
            }
            JwtKeys::Published(url) => {
                let keys = self.published(url, &header).await?;
                keys.iter().filter(|key| fits(key, &header)).filter_map(|key| DecodingKey::from_jwk(key).ok()).collect()
            }
        };
        let mut reason = "the issuer has published no key for the token".to_owned();
        for key in &keys {
            match decode::<Map<String, Value>>(token, key, &validation) {
                Ok(decoded) => return jwt.user(decoded.claims).map_err(Failure::Refused),
                Err(error) => reason = why(error.kind()),
            }
        }
        Err(Failure::Refused(reason))
    }

    async fn published(&self, url: &str, header: &Header) -> Result<Arc<Vec<Jwk>>, Failure> {
        let published = Arc::clone(lock(&self.published).entry(url.to_owned()).or_default());
        let wanted = |keys: &Keys| {
            let fresh = keys.answered.is_some_and(|at| at.elapsed() < FRESH);
            fresh && keys.keys.iter().any(|key| fits(key, header))
        };
        let known = lock(&published.keys).clone();
        if wanted(&known) {
            return Ok(known.keys);
        }
        let _asking = published.asking.lock().await;
        let known = lock(&published.keys).clone();
        if wanted(&known) {
            return Ok(known.keys);
        }
        let mut problem = "it did not answer a moment ago".to_owned();
        if known.asked.is_none_or(|at| at.elapsed() >= PAUSE) {
            let answer = self.ask(url).await;
            let mut keys = lock(&published.keys);
            keys.asked = Some(Instant::now());
            match answer {
                Ok(found) => {
                    (keys.keys, keys.answered) = (Arc::new(found), Some(Instant::now()));
                    return Ok(Arc::clone(&keys.keys));
                }
                Err(reason) => {
                    tracing::warn!(url, reason, "the keys of an issuer could not be had");
                    problem = reason;
                }
            }
        }
        if known.answered.is_some_and(|at| at.elapsed() < STALE_MAX) {
            return Ok(known.keys);
        }
        let stop = Stop::failed(
            503,
            "keys_unavailable",
            "The user cannot be verified at the moment.",
            format!("the keys at {url} cannot be had: {problem}"),
        );
        Err(Failure::Stop(stop.with_header("retry-after", "10")))
    }

    async fn ask(&self, url: &str) -> Result<Vec<Jwk>, String> {
        let body = self.http.get(url, TIMEOUT).await?;
        let answer: Value = serde_json::from_slice(&body).map_err(|_| "the answer is not JSON".to_owned())?;
        let list = answer.get("keys").and_then(Value::as_array).ok_or("the answer has no list `keys`")?;
        // A key of a kind that is not known here says nothing about the others.
        let keys = list.iter().take(KEYS_MAX).filter_map(|key| serde_json::from_value(key.clone()).ok());
        Ok(keys.collect())
    }
}

/// Whether a key may have signed a token: it is named, for signatures, and of the kind that the algorithm has.
fn fits(key: &Jwk, header: &Header) -> bool {
    use Algorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
    let named = header.kid.is_none() || header.kid == key.common.key_id;
    let signs = matches!(key.common.public_key_use, None | Some(PublicKeyUse::Signature));
    let same = key.common.key_algorithm.is_none_or(|known| known == KeyAlgorithm::from(header.alg));
    let kind = match (&key.algorithm, header.alg) {
        (AlgorithmParameters::RSA(_), RS256 | RS384 | RS512 | PS256 | PS384 | PS512)
        | (AlgorithmParameters::OctetKeyPair(_), EdDSA) => true,
        (AlgorithmParameters::EllipticCurve(curve), ES256) => curve.curve == EllipticCurve::P256,
        (AlgorithmParameters::EllipticCurve(curve), ES384) => curve.curve == EllipticCurve::P384,
        _ => false,
    };
    named && signs && same && kind
}

fn why(kind: &ErrorKind) -> String {
    match kind {
        ErrorKind::InvalidSignature => "the signature of the token is wrong".to_owned(),
        ErrorKind::ExpiredSignature => "the token has expired".to_owned(),
        ErrorKind::ImmatureSignature => "the token is not valid yet".to_owned(),
        ErrorKind::InvalidIssuer => "the token is of another issuer".to_owned(),
        ErrorKind::InvalidAudience => "the token is for another audience".to_owned(),
        ErrorKind::MissingRequiredClaim(claim) => format!("the token has no `{claim}`"),
        ErrorKind::InvalidClaimFormat(claim) => format!("the `{claim}` of the token is not well formed"),
        _ => "the token is not well formed".to_owned(),
    }
}

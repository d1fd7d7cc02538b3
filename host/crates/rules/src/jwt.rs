//! JSON Web Tokens (RFC 7519): what a trigger asks of them, and whom their claims describe.

use crate::expression::JsonPath;
use jsonwebtoken::{Algorithm, Validation};
use ringback_records::user::User;
use serde_json::{Map, Value};
use std::sync::Arc;
use std::time::Duration;

/// Algorithms of shared secrets, and of published keys.
pub const OF_SECRETS: &[&str] = &["HS256", "HS384", "HS512"];

pub const OF_KEYS: &[&str] = &["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"];

/// What a token must be.
#[derive(Debug)]
pub struct Jwt {
    pub keys: JwtKeys,
    pub algorithms: Vec<Algorithm>,
    pub issuer: Option<String>,
    /// `None` when any will do.
    pub audience: Option<String>,
    /// The claim that is the id of the user.
    pub user: JsonPath,
    /// The claim with the roles: a list, or a text with spaces in between.
    pub roles: JsonPath,
    /// How far clocks may be apart.
    pub tolerance: Duration,
}

/// What signatures are checked with.
#[derive(Debug)]
pub enum JwtKeys {
    /// The names of secrets.
    Secret(Vec<String>),
    /// Where the issuer publishes its keys (RFC 7517).
    Published(String),
}

/// Most memory of what is picked of a token, in bytes.
const CLAIMS_BYTES_MAX: usize = 1 << 20;

impl Jwt {
    /// How a token of an algorithm is checked.
    pub fn validation(&self, algorithm: Algorithm) -> Validation {
        let mut validation = Validation::new(algorithm);
        validation.leeway = self.tolerance.as_secs();
        validation.validate_nbf = true;
        let mut required = vec!["exp"];
        if let Some(issuer) = &self.issuer {
            validation.set_issuer(&[issuer]);
            required.push("iss");
        }
        match &self.audience {
            Some(audience) => {
                validation.set_audience(&[audience]);
                required.push("aud");
            }
            None => validation.validate_aud = false,
        }
        validation.set_required_spec_claims(&required);
        validation
    }

    /// The user that claims describe: all of them, with `objectId` and `roles` where there are none of these names.
    ///
    /// # Errors
    ///
    /// What is missing, in a sentence.
    pub fn user(&self, mut claims: Map<String, Value>) -> Result<User, String> {
        let all = Value::Object(claims.clone());
        let room = || CLAIMS_BYTES_MAX;
        let pick = |path: &JsonPath| path.pick(&all, &mut room()).ok().flatten();
        let id = match pick(&self.user) {
            Some(Value::String(id)) if !id.is_empty() => id,
            Some(Value::Number(id)) => id.to_string(),
            _ => return Err(format!("the token has no {}, which is to be the id of the user", self.user.source())),
        };
        let roles: Vec<String> = match pick(&self.roles) {
            Some(Value::Array(roles)) => roles.iter().filter_map(|role| role.as_str().map(str::to_owned)).collect(),
            Some(Value::String(roles)) => roles.split_whitespace().map(str::to_owned).collect(),
            _ => Vec::new(),
        };
        claims.entry("objectId").or_insert_with(|| id.clone().into());
        claims.entry("roles").or_insert_with(|| roles.clone().into());
        Ok(User { id, roles, object: Arc::new(Value::Object(claims)) })
    }
}

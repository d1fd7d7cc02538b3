//! Who may call a trigger beyond the proof of the request itself: a name and a password, or a user with roles.

use crate::callback::{Callback, Request};
use crate::jwt::{Jwt, JwtUsers};
use crate::outcome::Stop;
use crate::secret::Secrets;
use crate::time::Timestamp;
use crate::user::{User, Users};
use crate::verify::secret_values;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// What a trigger asks of its callers.
#[derive(Debug, Default)]
pub struct Auth {
    pub basic: Option<Basic>,
    /// What proves a user, in place of a token of ours.
    pub jwt: Option<Jwt>,
    pub user: UserRule,
    /// The user must have each of them.
    pub roles: Vec<String>,
    pub on_fail: OnFail,
}

impl Auth {
    /// Whether nobody is accepted who does not prove who it is.
    pub fn is_needed(&self) -> bool {
        self.basic.is_some() || self.user == UserRule::Required
    }
}

/// HTTP Basic authentication (RFC 7617).
#[derive(Debug)]
pub struct Basic {
    pub username: String,
    /// The name of a secret.
    pub password: String,
}

/// Whether a caller has to be a user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UserRule {
    /// No one looks.
    #[default]
    Off,
    /// A user who says so is known to the flow; a wrong token is as none.
    Optional,
    Required,
}

/// What a caller gets that was not accepted (FR-37).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFail {
    #[default]
    Error,
    /// What a callback gets that does not count.
    Ignore,
}

/// Checks the name and the password.
///
/// # Errors
///
/// They are missing or wrong (401), or the secret is missing (500).
pub fn check_basic(basic: &Basic, callback: &Callback, secrets: &Secrets) -> Result<(), Stop> {
    let refused = |reason: &str| {
        Stop::refused(401, "credentials_wrong", "A valid user name and password are needed.", reason)
            .with_header("www-authenticate", "Basic realm=\"ringback\", charset=\"UTF-8\"")
    };
    let name = std::slice::from_ref(&basic.password);
    let passwords = secret_values(secrets, callback, name, callback.request.received_at)?;
    let header = callback.request.header("authorization");
    let header = header.ok_or_else(|| refused("there is no Authorization header"))?;
    let given = header
        .split_once(' ')
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"))
        .and_then(|(_, credentials)| STANDARD.decode(credentials.trim()).ok())
        .ok_or_else(|| refused("the Authorization header is not of the Basic scheme"))?;
    let mut is_right = false;
    for password in passwords {
        let expected = [basic.username.as_bytes(), b":", password.bytes()].concat();
        is_right |= verify_slices_are_equal(&given, &expected).is_ok();
    }
    if is_right { Ok(()) } else { Err(refused("the user name or the password is wrong")) }
}

/// Whom the caller proves to be, and whether that is enough.
///
/// # Errors
///
/// No known user (401) where one is needed, a role is missing (403), or nobody can tell at the moment (500, 503).
pub async fn check_user(
    auth: &Auth,
    callback: &Callback,
    users: &Users,
    jwt_users: &JwtUsers,
) -> Result<Option<User>, Stop> {
    if auth.user == UserRule::Off {
        return Ok(None);
    }
    let user = match (token(&callback.request), &auth.jwt) {
        (None, _) => Err("there is no user token".to_owned()),
        (Some(token), Some(jwt)) => jwt_users.find(jwt, callback, &token).await?,
        (Some(token), None) => {
            let found = users.find(&callback.workspace, &token, Timestamp::now());
            let found = found.map_err(|error| Stop::not_stored(&error))?;
            found.ok_or_else(|| "the user token is unknown or has expired".to_owned())
        }
    };
    let user = match (user, auth.user) {
        (Ok(user), _) => user,
        (Err(_), UserRule::Optional | UserRule::Off) => return Ok(None),
        (Err(reason), UserRule::Required) => {
            let stop = Stop::refused(401, "user_unknown", "A valid user token is needed.", reason);
            return Err(stop.with_header("www-authenticate", "Bearer realm=\"ringback\""));
        }
    };
    match auth.roles.iter().find(|role| !user.roles.contains(role)) {
        None => Ok(Some(user)),
        Some(role) => {
            let reason = format!("the user {} does not have the role {role}", user.id);
            Err(Stop::refused(403, "role_missing", "The user does not have the role that is needed.", reason))
        }
    }
}

/// `user-token: …` (FR-31), or `Authorization: Bearer …`.
fn token(request: &Request) -> Option<String> {
    if let Some(token) = request.header("user-token") {
        return Some(token);
    }
    let header = request.header("authorization")?;
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
}

//! Whom a caller proves to be: by a token of ours, or of another issuer.

use crate::catalogue::users::Users;
use crate::pipeline::issuers::JwtUsers;
use ringback_records::callback::{Callback, Request};
use ringback_records::stop::Stop;
use ringback_records::time::Timestamp;
use ringback_records::user::User;
use ringback_rules::auth::{Auth, UserRule};

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
            let found = users.find(&callback.workspace, &token, Timestamp::now()).await;
            let found = found.map_err(|error| Stop::from(&error))?;
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

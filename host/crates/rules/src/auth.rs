//! Who may call a trigger beyond the proof of the request itself: a name and a password, or a user with roles.

use crate::jwt::Jwt;
use crate::vault::Vault;
use crate::verify::secret_values;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ringback_records::callback::Callback;
use ringback_records::stop::Stop;

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
pub fn check_basic(basic: &Basic, callback: &Callback, secrets: &Vault) -> Result<(), Stop> {
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

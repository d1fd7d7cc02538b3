//! Who is signed in: a token was exchanged for a cookie that this server alone can make and read. Nothing is kept of it here; it ends
//! with its token, or when it is signed out: that is noted beside the token.

use super::{ASSETS, pages};
use crate::app::App;
use crate::http::admin::extract::File;
use crate::http::admin::session::workspaces;
use crate::http::console::pages::Trouble;
use crate::http::error::Problem;
use crate::http::listener::RemoteAddress;
use axum::extract::{Extension, FromRequestParts, RawQuery, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use ringback_console::SignIn;
use ringback_records::name::{Name, random_id};
use ringback_records::time::Timestamp;
use ringback_records::token::{Access, TokenRecord};
use ringback_rules::rate_limit::Limit;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::{Duration, Instant};
use url::form_urlencoded;

const COOKIE: &str = "ringback_session";
/// How long a session lasts that is not used, one that is, and after which part of that it is told so.
const IDLE_MAX: Duration = Duration::from_hours(12);
const WHOLE_MAX: Duration = Duration::from_hours(7 * 24);
const RENEWED_AFTER: Duration = Duration::from_hours(1);

/// Attempts to sign in that have no token, of one address; the others are not looked at.
const WRONG: Limit = Limit { calls: 30, per: Duration::from_mins(1), by_address: true };

/// Somebody who is signed in, with what he opens.
#[derive(Clone)]
pub(super) struct Session {
    pub(super) token: TokenRecord,
    pub(super) workspace: Name,
    /// Tells it from others of the token; 0 for those of before they had a number.
    id: u64,
    began_at: Timestamp,
    pub(super) until: Timestamp,
}

/// What the cookie has of it.
#[derive(Serialize, Deserialize)]
struct Sealed {
    token: String,
    workspace: Name,
    #[serde(default)]
    id: u64,
    began_at: Timestamp,
    until: Timestamp,
}

impl Session {
    fn begin(token: TokenRecord, now: Timestamp) -> Option<Self> {
        let (id, _) = random_id().ok()?.as_u64_pair();
        let workspace = token.workspace.clone();
        Some(Self { token, workspace, id, began_at: now, until: now.saturating_add(IDLE_MAX) })
    }

    /// Of a request. One in which the cookie is there twice is nobody's: something else has set the other.
    pub(super) fn of(app: &App, headers: &HeaderMap, now: Timestamp) -> Option<Self> {
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|cookies| cookies.to_str().ok());
        let pairs = cookies.flat_map(|cookies| cookies.split(';')).filter_map(|cookie| cookie.trim().split_once('='));
        let mut ours = pairs.filter(|(name, _)| *name == COOKIE).map(|(_, value)| value);
        let (Some(value), None) = (ours.next(), ours.next()) else { return None };
        let sealed = app.secrets.vault().open_session(value)?;
        let Sealed { token, workspace, id, began_at, until } = serde_json::from_slice(&sealed).ok()?;
        let token = app.tokens.of_hash(&token, now)?;
        let may_choose = token.access == Access::Admin || token.workspace == workspace;
        let goes_on = now < until && token.has_session(id, began_at);
        (may_choose && goes_on).then_some(Self { token, workspace, id, began_at, until })
    }

    /// The same for longer, when it is time to say so.
    pub(super) fn renewed(&self, now: Timestamp) -> Option<Self> {
        let until = now.saturating_add(IDLE_MAX).min(self.began_at.saturating_add(WHOLE_MAX));
        (until.since(self.until) >= RENEWED_AFTER).then(|| Self { until, ..self.clone() })
    }

    pub(super) fn cookie(&self, app: &App, now: Timestamp) -> Option<HeaderValue> {
        let Self { token, workspace, id, began_at, until } = self.clone();
        let sealed = serde_json::to_vec(&Sealed { token: token.hash, workspace, id, began_at, until }).ok()?;
        let left = self.until.since(now).as_secs();
        set_cookie(app, &app.secrets.vault().seal_session(&sealed), left)
    }
}

/// The path keeps it from the public side, which may be on another port of the same host, where no rule but this tells cookies apart.
fn set_cookie(app: &App, value: &str, seconds: u64) -> Option<HeaderValue> {
    let secure = if app.admin_url.starts_with("https:") { "; Secure" } else { "" };
    let cookie = format!("{COOKIE}={value}; Path=/console; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}");
    HeaderValue::try_from(cookie).ok()
}

impl FromRequestParts<Arc<App>> for Session {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self, Response> {
        let session = parts.extensions.get::<Self>().cloned();
        session.ok_or_else(|| pages::signed_out(&parts.method, &parts.headers, &parts.uri))
    }
}

/// A value of a form, or of a query.
pub(super) fn value(form: &[u8], name: &str) -> String {
    let mut pairs = form_urlencoded::parse(form);
    pairs.find(|(of, _)| of == name).map(|(_, value)| value.into_owned()).unwrap_or_default()
}

/// Where to go on: a page of the console and nowhere else.
fn place(next: &str) -> &str {
    match next.strip_prefix("/console") {
        Some(rest) if rest.is_empty() || rest.starts_with(['/', '?']) && !rest.contains(['\\', '\r', '\n']) => next,
        _ => "/console",
    }
}

pub(super) async fn show(State(app): State<Arc<App>>, headers: HeaderMap, RawQuery(query): RawQuery) -> Response {
    let next = value(query.unwrap_or_default().as_bytes(), "next");
    if Session::of(&app, &headers, Timestamp::now()).is_some() {
        return Redirect::to(place(&next)).into_response();
    }
    pages::html(&SignIn { next: place(&next).to_owned(), problem: None, assets: &ASSETS })
}

pub(super) async fn sign_in(
    State(app): State<Arc<App>>,
    remote: Option<Extension<RemoteAddress>>,
    File(form): File,
) -> Response {
    let now = Timestamp::now();
    let (next, token, code) = (value(&form, "next"), value(&form, "token"), value(&form, "code"));
    let (found, problem) = match code.is_empty() {
        true => (app.tokens.find(token.trim(), now), "The token is unknown, or has expired."),
        false => {
            (app.tokens.use_code(&code, now), "The link has been used, or is older than a minute. Make another one.")
        }
    };
    let Some(cookie) = found.and_then(|token| Session::begin(token, now)?.cookie(&app, now)) else {
        let address = remote.map(|Extension(RemoteAddress(origin))| origin.address);
        // Who has a token is let in, however often others at his address have tried without.
        if let Some(wait) = address.and_then(|address| app.sign_ins.take(address, WRONG, Instant::now()).err()) {
            let seconds = wait.as_secs() + 1;
            let problem = format!("There were too many attempts from your address. Try again in {seconds} s.");
            let page = SignIn { next: place(&next).to_owned(), problem: Some(problem), assets: &ASSETS };
            let after = [(header::RETRY_AFTER, HeaderValue::from(seconds))];
            return (StatusCode::TOO_MANY_REQUESTS, after, pages::html(&page)).into_response();
        }
        let page = SignIn { next: place(&next).to_owned(), problem: Some(problem.to_owned()), assets: &ASSETS };
        return (StatusCode::UNAUTHORIZED, pages::html(&page)).into_response();
    };
    ([(header::SET_COOKIE, cookie)], Redirect::to(place(&next))).into_response()
}

/// The session ends, wherever its cookie has been copied to; the cookie goes, and what the browser keeps of the pages.
pub(super) async fn sign_out(
    State(app): State<Arc<App>>,
    session: Option<Extension<Session>>,
) -> Result<Response, Problem> {
    if let Some(Extension(Session { token, id, began_at, .. })) = session {
        app.tokens.end_session(&token.hash, id, began_at.saturating_add(WHOLE_MAX)).await?;
    }
    let mut response = Redirect::to("/console/login").into_response();
    response.headers_mut().insert("clear-site-data", HeaderValue::from_static("\"cache\", \"storage\""));
    if let Some(cookie) = set_cookie(&app, "", 0) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

pub(super) async fn choose_workspace(
    State(app): State<Arc<App>>,
    session: Session,
    File(form): File,
) -> Result<Response, Trouble> {
    let workspace: Name = value(&form, "workspace").parse().map_err(Problem::from)?;
    if !workspaces(&app, &session.workspace, session.token.access).contains(&workspace) {
        let detail = "this workspace is not one that you may choose";
        return Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", detail).into());
    }
    let mut response = Redirect::to("/console").into_response();
    if let Some(cookie) = (Session { workspace, ..session }).cookie(&app, Timestamp::now()) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::place;

    #[test]
    fn whoever_signs_in_goes_on_here() {
        for elsewhere in ["", "/", "//evil", "https://evil", "/consoles", "/console\\evil", "/console/\r\nx", "console"]
        {
            assert_eq!(place(elsewhere), "/console", "{elsewhere:?}");
        }
        for here in ["/console", "/console/callbacks?flow=a", "/console?x"] {
            assert_eq!(place(here), here);
        }
    }
}

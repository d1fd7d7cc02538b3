//! Answers of the console: pages, and problems as pages.

use super::ASSETS;
use super::session::{Session, value};
use crate::app::App;
use crate::http::admin::session::workspaces;
use crate::http::error::Problem;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Redirect, Response};
use ringback_console::{Frame, Link, Page, Place};
use ringback_records::name::Name;
use ringback_records::token::Access;

/// Why there is no page: shown as one where somebody looks.
pub(super) struct Trouble(Problem);

impl<P: Into<Problem>> From<P> for Trouble {
    fn from(problem: P) -> Self {
        Self(problem.into())
    }
}

/// What the guard makes a page of, who knows for whom.
#[derive(Clone)]
struct InWords {
    code: &'static str,
    detail: String,
}

impl IntoResponse for Trouble {
    fn into_response(self) -> Response {
        let Self(problem) = self;
        let mut response = problem.status().into_response();
        let said = InWords { code: problem.code(), detail: problem.detail().to_owned() };
        response.extensions_mut().insert(said);
        response
    }
}

/// A problem as a page, for those who are signed in.
pub(super) fn in_words(app: &App, session: Option<&Session>, mut response: Response) -> Response {
    let Some(InWords { code, detail }) = response.extensions_mut().remove() else { return response };
    let status = response.status();
    let Some(session) = session else { return (status, detail).into_response() };
    let page = ringback_console::Problem {
        frame: frame(app, session, Place::Elsewhere, "A problem"),
        status: status.as_u16(),
        code: code.to_owned(),
        detail,
        links: vec![Link { href: "/console/callbacks".to_owned(), text: "Callbacks".to_owned() }],
    };
    (status, html(&page)).into_response()
}

/// A page.
pub(super) fn html(page: &impl Page) -> Response {
    match page.html() {
        Ok(text) => {
            ([(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"))], text).into_response()
        }
        Err(_) => {
            tracing::error!("a page could not be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

pub(super) fn frame(app: &App, session: &Session, here: Place, title: &str) -> Frame {
    let Session { token, workspace, .. } = session;
    let workspaces = workspaces(app, workspace, token.access);
    Frame {
        here,
        title: title.to_owned(),
        workspace: workspace.to_string(),
        workspaces: workspaces.iter().map(ToString::to_string).collect(),
        access: token.access,
        token: token.name.clone(),
        assets: &ASSETS,
    }
}

/// The names of all, `default` before the others.
pub(super) fn environments(app: &App, session: &Session) -> Vec<String> {
    let default = Name::default_name();
    let others = app.environments.list(&session.workspace).into_iter().map(|(name, _)| name);
    let others = others.filter(|name| *name != default).map(|name| name.to_string());
    std::iter::once(default.to_string()).chain(others).collect()
}

/// Refuses who may not do this much.
pub(super) fn needs(session: &Session, needed: Access) -> Result<(), Trouble> {
    if session.token.access >= needed {
        return Ok(());
    }
    let detail = format!("this needs {needed:?} access; yours is {:?}", session.token.access).to_lowercase();
    Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", detail).into())
}

/// Refuses to remove what has a name, unless the name was typed.
pub(super) fn confirms(form: &[u8], what: &str, name: &Name) -> Result<(), Trouble> {
    if value(form, "name").trim() == name.as_str() {
        return Ok(());
    }
    let detail = format!("nothing was removed: type the name of the {what}, {name}, to remove it");
    Err(Problem::bad_request("not_confirmed", detail).into())
}

/// Where nobody is signed in: a person signs in and comes back, a script is told.
pub(super) fn signed_out(method: &Method, headers: &HeaderMap, uri: &Uri) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    if !accept.contains("text/html") {
        return (StatusCode::UNAUTHORIZED, "You are signed out.").into_response();
    }
    // What a button leads to cannot be gone to: one goes on at its page.
    let from: Option<Uri> = headers.get(header::REFERER).and_then(|from| from.to_str().ok()?.parse().ok());
    let to = if method.is_safe() { Some(uri) } else { from.as_ref() };
    let next = to.and_then(Uri::path_and_query).map_or("/console", |next| next.as_str());
    let next: String = url::form_urlencoded::byte_serialize(next.as_bytes()).collect();
    Redirect::to(&format!("/console/login?next={next}")).into_response()
}

//! What holds for every page: by which name the server is called, where changes come from, who is signed in, and what a browser may do
//! with the answer.

use super::pages;
use super::session::Session;
use crate::app::App;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use ringback_records::time::Timestamp;
use std::sync::Arc;
use url::{Host, Url};

/// No page has markup of its own for any of this: a style, a script or a picture comes from files of ours, and text becomes markup only
/// where the script says `ringback`.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; frame-ancestors 'none'; base-uri 'none'; \
                      require-trusted-types-for 'script'; trusted-types ringback";

const HEADERS: [(&str, &str); 6] = [
    ("content-security-policy", POLICY),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("x-frame-options", "DENY"),
];

pub(super) async fn guard(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let refused = if !is_called_by_name(&app, request.headers()) {
        Some((
            StatusCode::MISDIRECTED_REQUEST,
            "The console is not called by this name; the setting admin_url says by which.",
        ))
    } else if !request.method().is_safe() && !is_from_here(request.headers()) {
        Some((StatusCode::FORBIDDEN, "This did not come from a page of the console."))
    } else {
        None
    };
    let mut response = match refused {
        Some(refused) => refused.into_response(),
        None => {
            let is_read = request.method() == Method::GET || request.method() == Method::HEAD;
            let now = Timestamp::now();
            let session = Session::of(&app, request.headers(), now);
            let renewed = session.as_ref().filter(|_| is_read).and_then(|session| session.renewed(now));
            if let Some(session) = &session {
                request.extensions_mut().insert(session.clone());
            }
            let mut response = pages::in_words(&app, session.as_ref(), next.run(request).await);
            if let Some(cookie) = renewed.and_then(|session| session.cookie(&app, now)) {
                response.headers_mut().entry(header::SET_COOKIE).or_insert(cookie);
            }
            response
        }
    };
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.entry(HeaderName::from_static(name)).or_insert(HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Whether the name is one of ours. Whoever makes a name of his own lead here is not let in by it; an address is no such name.
fn is_called_by_name(app: &App, headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST).and_then(|host| host.to_str().ok()) else { return false };
    let Ok(url) = Url::parse(&format!("http://{host}/")) else { return false };
    let ours = Url::parse(&app.admin_url).ok();
    match url.host() {
        Some(Host::Domain("localhost")) | Some(Host::Ipv4(_) | Host::Ipv6(_)) => true,
        Some(Host::Domain(name)) => ours.as_ref().and_then(Url::host_str) == Some(name),
        None => false,
    }
}

/// Whether a browser says that a page of this origin asks: the other listener, on another port, is another origin. A program has no
/// cookie, and so no need to ask here.
fn is_from_here(headers: &HeaderMap) -> bool {
    if let Some(site) = headers.get("sec-fetch-site") {
        return site == "same-origin";
    }
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let origin = text(header::ORIGIN).and_then(|origin| origin.split_once("://")).map(|(_, host)| host);
    origin.is_some() && origin == text(header::HOST)
}

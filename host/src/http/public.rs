//! The public side: any request is a callback, or nothing.

use super::listener::RemoteAddress;
use crate::app::App;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use axum::routing::any;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use ringback_records::callback::Request;
use ringback_records::reply::Reply;
use ringback_records::stop::Problem;
use ringback_records::time::Timestamp;
use ringback_rules::content::Coding;
use ringback_rules::face;
use std::sync::Arc;

pub(super) fn router(app: Arc<App>) -> Router {
    Router::new().fallback(any(receive)).with_state(app)
}

const STOPPING: Problem = Problem { status: 503, code: "stopping", detail: "The server is stopping." };
const TOO_LARGE: Problem = Problem { status: 413, code: "body_too_large", detail: "The body is too large." };
const ENCODED: Problem = Problem {
    status: 415,
    code: "content_encoding",
    detail: "Send the body as it is, or as gzip, deflate, br or zstd.",
};
const BROKEN: Problem = Problem { status: 400, code: "body_broken", detail: "The body broke off." };
const TOO_SLOW: Problem = Problem { status: 408, code: "body_too_slow", detail: "The body took too long to arrive." };
const INTERNAL: Problem = Problem { status: 500, code: "internal", detail: "The server failed." };

async fn receive(State(app): State<Arc<App>>, request: axum::extract::Request) -> Response<Body> {
    // Before any trigger is known, the path says at least of which face it is.
    let face = face::of_path(without_prefix(&app, request.uri().path()));
    if !app.is_ready() {
        return response(face.stopped(&STOPPING, None).with_header("retry-after", "5"));
    }
    let (parts, body) = request.into_parts();
    let (body, unread) = match read(&app, &parts.headers, body).await {
        Ok(body) => (body, None),
        Err(problem) => (Bytes::new(), Some(problem)),
    };
    let origin = parts.extensions.get::<RemoteAddress>().map(|RemoteAddress(origin)| origin);
    let request = Request {
        method: parts.method,
        path: without_prefix(&app, parts.uri.path()).to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: parts.headers,
        body,
        expanded: None,
        unread,
        received_at: Timestamp::now(),
        remote_address: origin.map(|origin| origin.address),
        address_doubt: origin.and_then(|origin| origin.doubt),
    };
    // A caller who hangs up must not stop a callback half way: what has begun goes on in a task of its own. It is
    // on the heap, since a task moves what it is made of, which is large here, several times.
    let mut response = match tokio::spawn(Box::pin(async move { app.pipeline.handle(request).await })).await {
        Ok(reply) => response(reply),
        Err(error) => {
            tracing::error!(%error, "a callback broke off");
            response(face.stopped(&INTERNAL, None))
        }
    };
    if unread.is_some() {
        // The rest of the body is no request: the connection cannot be used again.
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// The path without that of the public URL, which a proxy may have left in place.
fn without_prefix<'p>(app: &App, path: &'p str) -> &'p str {
    let prefix = app.config.public_path();
    path.strip_prefix(prefix).filter(|rest| rest.starts_with('/')).unwrap_or(path)
}

/// The body, within the limits of size and time.
async fn read(app: &App, headers: &HeaderMap, body: Body) -> Result<Bytes, &'static Problem> {
    let limit = app.config.body_bytes_max;
    if declared_length(headers).is_some_and(|length| length > limit as u64) {
        return Err(&TOO_LARGE);
    }
    if Coding::of(headers).is_err() {
        return Err(&ENCODED);
    }
    match tokio::time::timeout(app.config.body_read_timeout, Limited::new(body, limit).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(&TOO_LARGE),
        Ok(Err(_)) => Err(&BROKEN),
        Err(_) => Err(&TOO_SLOW),
    }
}

fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn response(reply: Reply) -> Response<Body> {
    let mut response = Response::new(Body::from(reply.body));
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in reply.headers {
        // Both were checked where the answer was made.
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().append(name, value);
        }
    }
    secure(response.headers_mut());
    response
}

/// The URL of a callback is a capability: it must not leak, and what answers it must not become a page of ours. Only a page
/// that is ours has a policy by now: flows and plugins cannot set one.
fn secure(headers: &mut HeaderMap) {
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static("default-src 'none'; sandbox"));
    for (name, value) in [
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

//! The public side: any request is a callback, or nothing.

use crate::app::App;
use crate::callback::Request;
use crate::outcome::Reply;
use crate::time::Timestamp;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use axum::routing::any;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use std::sync::Arc;

pub(super) fn router(app: Arc<App>) -> Router {
    Router::new().fallback(any(receive)).with_state(app)
}

async fn receive(State(app): State<Arc<App>>, request: axum::extract::Request) -> Response<Body> {
    if !app.is_ready() {
        return problem(StatusCode::SERVICE_UNAVAILABLE, "stopping", "The server is stopping.", Some("5"));
    }
    let (parts, body) = request.into_parts();
    let limit = app.config.body_bytes_max;
    if declared_length(&parts.headers).is_some_and(|length| length > limit as u64) {
        return too_large();
    }
    if parts.headers.get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
        let detail = "Send the body without Content-Encoding.";
        return problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, "content_encoding", detail, None);
    }
    let body = match tokio::time::timeout(app.config.body_read_timeout, Limited::new(body, limit).collect()).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => return too_large(),
        Ok(Err(_)) => return problem(StatusCode::BAD_REQUEST, "body_broken", "The body broke off.", None),
        Err(_) => {
            return problem(StatusCode::REQUEST_TIMEOUT, "body_too_slow", "The body took too long to arrive.", None);
        }
    };
    let request = Request {
        method: parts.method,
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: parts.headers,
        body,
        received_at: Timestamp::now(),
    };
    // A caller who hangs up must not stop a callback half way: what has begun goes on in a task of its own. It is
    // on the heap, since a task moves what it is made of, which is large here, several times.
    let pipeline = app.pipeline.clone();
    match tokio::spawn(Box::pin(async move { pipeline.handle(request).await })).await {
        Ok(reply) => response(reply),
        Err(error) => {
            tracing::error!(%error, "a callback broke off");
            problem(StatusCode::INTERNAL_SERVER_ERROR, "internal", "The server failed.", None)
        }
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

fn too_large() -> Response<Body> {
    let mut response = problem(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", "The body is too large.", None);
    // The rest of the body is not read: the connection cannot be used again.
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// A refusal before any trigger is known.
fn problem(status: StatusCode, code: &str, detail: &str, retry_after: Option<&'static str>) -> Response<Body> {
    let body = serde_json::json!({
        "type": "about:blank", "title": status.canonical_reason(), "status": status.as_u16(), "detail": detail, "code": code,
    });
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    if let Some(seconds) = retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static(seconds));
    }
    secure(headers);
    response
}

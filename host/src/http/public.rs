//! The public side: any request is a callback, or nothing.

use super::listener::RemoteAddress;
use crate::app::App;
use crate::pipeline::SMALL_BYTES;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use axum::routing::any;
use http_body_util::BodyExt;
use ringback_records::callback::Request;
use ringback_records::reply::Reply;
use ringback_records::stop::Problem;
use ringback_records::time::Timestamp;
use ringback_rules::content::{Coding, content_max};
use ringback_rules::face;
use ringback_share::Share;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout, timeout_at};

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
const TOO_MANY: Problem = Problem {
    status: 503,
    code: "too_many_large_bodies",
    detail: "Too many large bodies are arriving at the moment. Send it again a little later.",
};
const INTERNAL: Problem = Problem { status: 500, code: "internal", detail: "The server failed." };

/// How long a caller waits until there is memory for its body: not long enough to give up.
const ROOM_WAIT: Duration = Duration::from_secs(5);

async fn receive(State(app): State<Arc<App>>, request: axum::extract::Request) -> Response<Body> {
    // Before any trigger is known, the path says at least of which face it is.
    let face = face::of_path(without_prefix(&app, request.uri().path()));
    if !app.is_ready() {
        return response(face.stopped(&STOPPING, None).with_header("retry-after", "5"));
    }
    let (parts, body) = request.into_parts();
    let origin = parts.extensions.get::<RemoteAddress>().map(|RemoteAddress(origin)| origin);
    let mut request = Request {
        method: parts.method,
        path: without_prefix(&app, parts.uri.path()).to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: parts.headers,
        body: Bytes::new(),
        expanded: None,
        unread: None,
        received_at: Timestamp::now(),
        remote_address: origin.map(|origin| origin.address),
        address_doubt: origin.and_then(|origin| origin.doubt),
    };
    // What it takes of the memory for bodies is held until all is over.
    let room = match read(&app, &request, body).await {
        Ok((body, room)) => {
            request.body = body;
            room
        }
        Err(problem) => {
            request.unread = Some(problem);
            None
        }
    };
    request.received_at = Timestamp::now();
    let unread = request.unread;
    // A caller who hangs up must not stop a callback half way: what has begun goes on in a task of its own. It is
    // on the heap, since a task moves what it is made of, which is large here, several times.
    let handled = Box::pin(async move {
        let _room = room;
        app.pipeline.handle(request).await
    });
    let mut response = match tokio::spawn(handled).await {
        Ok(reply) => response(reply),
        Err(error) => {
            tracing::error!(%error, "a callback broke off");
            response(face.stopped(&INTERNAL, None))
        }
    };
    if unread == Some(&TOO_MANY) && response.status().as_u16() == TOO_MANY.status {
        metrics::counter!("ringback_bodies_refused_total").increment(1);
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
    }
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

/// The body, within the limits of size and time, and what it has of the memory for all of them.
async fn read(app: &App, request: &Request, body: Body) -> Result<(Bytes, Option<Share>), &'static Problem> {
    let limit = app.config.body_bytes_max;
    let declared = declared_length(&request.headers);
    if declared.is_some_and(|length| length > limit as u64) {
        return Err(&TOO_LARGE);
    }
    let coding = Coding::of(&request.headers).map_err(|_| &ENCODED)?;
    let declared = declared.and_then(|length| usize::try_from(length).ok());
    // What may come of it is there beside it.
    let all = |bytes: usize| if coding.is_some() { bytes + content_max(bytes, limit) } else { bytes };
    let is_small = |bytes: usize| bytes <= SMALL_BYTES && (coding.is_none() || bytes == 0);
    let mut reading = Reading { body, content: Vec::new() };
    let deadline = Instant::now() + app.config.body_read_timeout;
    let until = match declared {
        Some(length) if !is_small(length) => 0,
        None if coding.is_some() => 0,
        _ => SMALL_BYTES,
    };
    if until > 0 && timeout_at(deadline, reading.read(until)).await.map_err(|_| &TOO_SLOW)?? {
        return Ok((reading.content.into(), None));
    }
    // While it waits, its sender does, and its time stands still.
    let (bytes, asked) = (declared.unwrap_or(limit), Instant::now());
    let taken = timeout(ROOM_WAIT, app.pipeline.room_for(request, all(bytes))).await;
    let mut room = taken.ok().flatten().ok_or(&TOO_MANY)?;
    reading.content.reserve_exact(bytes.saturating_sub(reading.content.len()));
    if !timeout_at(deadline + asked.elapsed(), reading.read(limit)).await.map_err(|_| &TOO_SLOW)?? {
        return Err(&TOO_LARGE);
    }
    reading.content.shrink_to_fit();
    room.shrink(all(reading.content.len()));
    Ok((reading.content.into(), Some(room)))
}

/// A body on its way.
struct Reading {
    body: Body,
    content: Vec<u8>,
}

impl Reading {
    /// Reads on, until there is more than so much: whether that was all.
    async fn read(&mut self, until: usize) -> Result<bool, &'static Problem> {
        while self.content.len() <= until {
            let Some(frame) = self.body.frame().await else { return Ok(true) };
            if let Ok(bytes) = frame.map_err(|_| &BROKEN)?.into_data() {
                self.content.extend_from_slice(&bytes);
            }
        }
        Ok(false)
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

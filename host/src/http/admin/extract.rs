//! What handlers take from a request, with a problem document where the library would answer plain text.

use crate::http::error::Problem;
use axum::RequestExt as _;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, JsonRejection};
use axum::extract::{FromRequest, FromRequestParts, OptionalFromRequest, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, Uri};
use bytes::Buf as _;
use http_body_util::{BodyExt as _, LengthLimitError};
use ringback_records::json;
use serde::de::DeserializeOwned;

/// Query parameters. Those of [`SEVERAL`] may be there more than once: they are read as one, with commas between its values.
pub(in crate::http) struct Query<T>(pub(in crate::http) T);

/// Parameters that take several values.
const SEVERAL: [&str; 2] = ["outcome", "status"];

impl<S: Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let query = joined(parts.uri.query().unwrap_or_default());
        let uri = Uri::try_from(format!("/?{query}")).map_err(|error| Problem::internal(&error))?;
        axum::extract::Query::try_from_uri(&uri).map(|axum::extract::Query(query)| Self(query)).map_err(|error| {
            let said = explain(&error)
                .replace("unknown field", "unknown parameter")
                .replace("duplicate field", "more than one");
            Problem::bad_request("invalid_query", format!("the query is not what this call takes: {said}"))
        })
    }
}

/// A query in which each parameter of [`SEVERAL`] is there once.
fn joined(query: &str) -> String {
    let mut parts: Vec<String> = Vec::new();
    for part in query.split('&') {
        let earlier = part.split_once('=').filter(|(name, _)| SEVERAL.contains(name)).and_then(|(name, value)| {
            let of_name = |earlier: &&mut String| earlier.split_once('=').is_some_and(|(of, _)| of == name);
            Some((parts.iter_mut().find(of_name)?, value))
        });
        match earlier {
            Some((earlier, value)) => *earlier = format!("{earlier},{value}"),
            None => parts.push(part.to_owned()),
        }
    }
    parts.join("&")
}

/// Parts of the path.
pub(in crate::http) struct Path<T>(pub(in crate::http) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = axum::extract::Path::from_request_parts(parts, state).await;
        path.map(|axum::extract::Path(path)| Self(path))
            .map_err(|error| Problem::new(error.status(), "invalid_path", error.body_text()))
    }
}

/// A JSON body. What is kept of one and read again is read as a callback's body is.
pub(in crate::http) struct Json<T>(pub(in crate::http) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let of_body = Request::from_parts(parts.clone(), body);
        let File(bytes) = File::from_request(of_body, state).await?;
        let request = Request::from_parts(parts, bytes.clone().into());
        match <axum::Json<_> as FromRequest<S>>::from_request(request, state).await {
            Ok(axum::Json(value)) => match json::from_slice(&bytes) {
                Ok(_) => Ok(Self(value)),
                Err(error) => Err(Problem::bad_request("invalid_body", format!("the body cannot be used: {error}"))),
            },
            Err(JsonRejection::BytesRejection(error)) => Err(not_read(&error)),
            Err(error) => {
                let detail = match &error {
                    JsonRejection::JsonDataError(error) => {
                        format!("the body is not what this call takes: {}", explain(error))
                    }
                    JsonRejection::JsonSyntaxError(error) => format!("the body is not JSON: {}", cause(error)),
                    _ => "the body must be JSON: send it with `Content-Type: application/json`".to_owned(),
                };
                Err(Problem::new(error.status(), "invalid_body", detail))
            }
        }
    }
}

/// The same where nothing may be sent.
impl<S: Send + Sync, T: DeserializeOwned> OptionalFromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Option<Self>, Problem> {
        let (parts, body) = request.into_parts();
        let File(bytes) = File::from_request(Request::from_parts(parts.clone(), body), state).await?;
        if bytes.is_empty() {
            return Ok(None);
        }
        <Self as FromRequest<S>>::from_request(Request::from_parts(parts, bytes.into()), state).await.map(Some)
    }
}

/// Pieces of so many bytes are together in a fraction of a millisecond.
const PUT_TOGETHER_AT_ONCE: usize = 1 << 20;

/// A body of bytes.
pub(in crate::http) struct File(pub(in crate::http) Bytes);

impl<S: Send + Sync> FromRequest<S> for File {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        let pieces = request.into_limited_body().collect().await.map_err(|error| {
            let mut causes = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source());
            if causes.any(|cause| cause.is::<LengthLimitError>()) {
                too_large()
            } else {
                broke_off(StatusCode::BAD_REQUEST)
            }
        })?;
        let mut pieces = pieces.aggregate();
        let length = pieces.remaining();
        if length <= PUT_TOGETHER_AT_ONCE {
            return Ok(Self(pieces.copy_to_bytes(length)));
        }
        // Of a large file this takes long enough to be noticed by those who are answered.
        let put_together = tokio::task::spawn_blocking(move || pieces.copy_to_bytes(length));
        put_together.await.map(Self).map_err(|_| broke_off(StatusCode::BAD_REQUEST))
    }
}

/// A body of text.
pub(in crate::http) struct Text(pub(in crate::http) String);

impl<S: Send + Sync> FromRequest<S> for Text {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let File(bytes) = File::from_request(request, state).await?;
        String::from_utf8(bytes.into()).map(Self).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            Problem::bad_request("not_utf8", format!("the body is not UTF-8 from byte {at} on; save the file as UTF-8"))
        })
    }
}

fn not_read(error: &BytesRejection) -> Problem {
    match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => too_large(),
        status => broke_off(status),
    }
}

fn broke_off(status: StatusCode) -> Problem {
    Problem::new(status, "invalid_body", "the body broke off; send it again")
}

/// What the library for JSON says, without what the one for HTTP puts before it.
fn cause(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), ToString::to_string)
}

/// Which member is wrong and what is expected, in words that name no type of ours and quote no value, which may be a secret.
fn explain(error: &dyn std::error::Error) -> String {
    const OF_ID: &str = "UUID parsing failed: ";
    const SAID: [&str; 8] = [
        OF_ID,
        "invalid type: ",
        "invalid value: ",
        "invalid length ",
        "missing field ",
        "unknown field ",
        "unknown variant ",
        "duplicate field ",
    ];
    let text = cause(error);
    let text = text.rsplit_once(" at line ").map_or(&*text, |(before, _)| before);
    let at = SAID.iter().filter_map(|said| text.find(said)).min().unwrap_or_default();
    let (path, said) = text.split_at_checked(at).unwrap_or(("", text));
    let said = match said.rsplit_once(", expected ") {
        _ if said.starts_with(OF_ID) => "invalid value: a string, expected a UUID".to_owned(),
        Some((found, expected)) if !said.starts_with("unknown field ") => {
            // A value is quoted behind its kind.
            let kind = found.split(['`', '"']).next().unwrap_or_default().trim_end();
            format!("{kind}, expected {expected}")
        }
        _ => said.to_owned(),
    };
    let said = said.replace("type: map", "type: an object").replace("type: sequence", "type: a list");
    let said = match said.split_once("expected struct ") {
        Some((found, _)) => format!("{found}expected an object"),
        None => said.replace("a map", "an object").replace("a sequence", "a list"),
    };
    match path.trim_end_matches(": ") {
        "" => said,
        path => format!("`{path}`: {said}"),
    }
}

fn too_large() -> Problem {
    let detail = "the body is larger than this call takes: 64 MiB for a plugin, and 2 MiB for everything else";
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail)
}

#[cfg(test)]
mod tests {
    use super::joined;

    #[test]
    fn only_what_takes_several_values_is_joined() {
        assert_eq!(joined("outcome=a&limit=1&outcome=b,c&limit=2&outcome=%64"), "outcome=a,b,c,%64&limit=1&limit=2");
        assert_eq!(joined("status&status=x&status=y&&a"), "status&status=x,y&&a");
        assert_eq!(joined(""), "");
    }
}

//! Building answers, and refusing those that would break HTTP or leave the limits.

use crate::expression::{Budget, EvaluationError, Scope, Template};
use crate::plugin_call::PluginCall;
use bytes::Bytes;
use ringback_records::reply::Reply;

/// How an answer is made.
#[derive(Debug)]
pub enum ReplySpec {
    Template {
        status: Template,
        headers: Vec<(String, Template)>,
        body: BodySpec,
    },
    /// Sends the caller to another URL.
    Redirect {
        status: Template,
        headers: Vec<(String, Template)>,
        url: Template,
    },
    Plugin(PluginCall),
}

/// The body of an answer.
#[derive(Debug)]
pub enum BodySpec {
    Empty,
    Json(Template),
    Text(Template),
}

/// Largest body of an answer, in bytes: a text of 1 MiB is no longer in JSON, be it of nothing but quotes. Of other control
/// characters, which take six bytes each there, it is.
pub const BODY_BYTES_MAX: usize = 5 << 19;
/// Most headers of an answer.
pub const HEADERS_MAX: usize = 64;
/// Largest sum of header names and values, in bytes.
pub const HEADER_BYTES_MAX: usize = 16 * 1024;

/// Headers that frame the message, or that would let one flow speak for the whole host.
const FORBIDDEN: &[&str] = &[
    "connection",
    "content-length",
    "date",
    "host",
    "keep-alive",
    "proxy-connection",
    "server",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "alt-svc",
    "strict-transport-security",
    "set-cookie",
    "refresh",
    "clear-site-data",
    "content-security-policy",
    "service-worker-allowed",
    "location",
];

/// Why an answer cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum ReplyError {
    #[error(transparent)]
    Expression(#[from] EvaluationError),
    #[error("{0}")]
    NotAllowed(String),
}

/// Whether a status sends the caller to another URL.
pub fn is_redirect(status: u16) -> bool {
    matches!(status, 301 | 302 | 303 | 307 | 308)
}

/// Whether an answer may have a status.
pub fn is_status(status: u16) -> bool {
    (200..=599).contains(&status)
}

/// Whether an answer with a status never has a body (RFC 9110).
pub fn is_without_body(status: u16) -> bool {
    matches!(status, 204 | 205 | 304)
}

/// Whether flows and plugins may set a header.
///
/// # Errors
///
/// Why not, in a sentence.
pub fn check_header_name(name: &str) -> Result<(), String> {
    if http::HeaderName::from_bytes(name.as_bytes()).is_err() {
        return Err(format!("`{}` is not the name of a header", name.escape_debug()));
    }
    let name = name.to_ascii_lowercase();
    if FORBIDDEN.contains(&name.as_str())
        || name.starts_with("access-control-")
        || name.starts_with("proxy-")
        || name.starts_with("ringback-")
    {
        return Err(format!("the header `{name}` is the host's to set"));
    }
    Ok(())
}

/// Checks an answer that a template or a plugin made. Header names are lower case afterwards.
///
/// # Errors
///
/// What is not allowed, in a sentence.
pub fn check(reply: Reply) -> Result<Reply, String> {
    check_by(reply, check_header_name)
}

/// The same for an answer that may send the caller to another URL, which is not checked.
///
/// # Errors
///
/// What is not allowed, in a sentence.
pub fn check_redirecting(reply: Reply) -> Result<Reply, String> {
    let redirects = is_redirect(reply.status);
    check_by(reply, |name| match name {
        name if redirects && name.eq_ignore_ascii_case("location") => Ok(()),
        name if name.eq_ignore_ascii_case("location") => {
            Err("`location` is only for the statuses 301, 302, 303, 307 and 308".to_owned())
        }
        name => check_header_name(name),
    })
}

fn check_by(mut reply: Reply, check_name: impl Fn(&str) -> Result<(), String>) -> Result<Reply, String> {
    if !is_status(reply.status) {
        return Err(format!("the status must be 200 to 599, not {}", reply.status));
    }
    if reply.body.len() > BODY_BYTES_MAX {
        return Err(format!("the body has {} bytes, more than {BODY_BYTES_MAX}", reply.body.len()));
    }
    if is_without_body(reply.status) && !reply.body.is_empty() {
        return Err(format!("an answer with status {} has no body", reply.status));
    }
    if reply.headers.len() > HEADERS_MAX {
        return Err(format!("there are {} headers, more than {HEADERS_MAX}", reply.headers.len()));
    }
    let bytes: usize = reply.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    if bytes > HEADER_BYTES_MAX {
        return Err(format!("the headers have {bytes} bytes, more than {HEADER_BYTES_MAX}"));
    }
    for (name, value) in &mut reply.headers {
        check_name(name)?;
        name.make_ascii_lowercase();
        if http::HeaderValue::from_str(value).is_err() {
            return Err(format!("the value of the header `{name}` has characters that are not allowed"));
        }
    }
    Ok(reply)
}

/// Renders an answer that is a template; `None` when a plugin makes it.
///
/// # Errors
///
/// An expression has no value, or the answer is not allowed.
pub fn render(spec: &ReplySpec, scope: &Scope<'_>) -> Result<Option<Reply>, ReplyError> {
    let (status, headers) = match spec {
        ReplySpec::Template { status, headers, .. } | ReplySpec::Redirect { status, headers, .. } => (status, headers),
        ReplySpec::Plugin(_) => return Ok(None),
    };
    // All that it is made of may take together what one expression may.
    let own = Budget::default();
    let scope = &Scope { budget: scope.budget.or(Some(&own)), ..*scope };
    let status = status.render(scope)?;
    let status = status
        .as_u64()
        .and_then(|status| u16::try_from(status).ok())
        .ok_or_else(|| ReplyError::NotAllowed(format!("the status must be a number from 200 to 599, not {status}")))?;
    let mut rendered = Vec::with_capacity(headers.len() + 1);
    for (name, value) in headers {
        rendered.push((name.clone(), value.render_text(scope)?));
    }
    let (body, kind) = match spec {
        ReplySpec::Redirect { url, .. } => {
            if !is_redirect(status) {
                let reason = format!("a redirect has the status 301, 302, 303, 307 or 308, not {status}");
                return Err(ReplyError::NotAllowed(reason));
            }
            rendered.push(("location".to_owned(), url.render_text(scope)?));
            let reply = Reply { status, headers: rendered, body: Bytes::new() };
            return check_redirecting(reply).map(Some).map_err(ReplyError::NotAllowed);
        }
        ReplySpec::Template { body: BodySpec::Json(template), .. } => {
            (template.render_json(scope)?.into(), Some("application/json"))
        }
        ReplySpec::Template { body: BodySpec::Text(template), .. } => {
            (template.render_text(scope)?.into(), Some("text/plain; charset=utf-8"))
        }
        ReplySpec::Template { body: BodySpec::Empty, .. } | ReplySpec::Plugin(_) => (Bytes::new(), None),
    };
    if let Some(kind) = kind
        && !rendered.iter().any(|(name, _)| name == "content-type")
    {
        rendered.push(("content-type".to_owned(), kind.to_owned()));
    }
    check(Reply { status, headers: rendered, body }).map(Some).map_err(ReplyError::NotAllowed)
}

#[cfg(test)]
mod tests {
    use super::{BODY_BYTES_MAX, check};
    use ringback_records::reply::Reply;

    fn refused(status: u16, headers: &[(&str, &str)], body: usize) -> String {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        check(Reply { status, headers, body: vec![b'x'; body].into() }).unwrap_err()
    }

    #[test]
    fn what_breaks_http_or_the_limits_is_refused() {
        assert!(refused(199, &[], 0).contains("200 to 599"));
        assert!(refused(600, &[], 0).contains("200 to 599"));
        for status in [204, 205, 304] {
            assert!(refused(status, &[], 1).contains("no body"), "{status}");
        }
        assert!(refused(200, &[], BODY_BYTES_MAX + 1).contains("more than"));
        assert!(refused(200, &[("x-a", "b"); 65], 0).contains("65 headers"));
        assert!(refused(200, &[("x-a", &"b".repeat(17_000))], 0).contains("bytes"));
        assert!(refused(200, &[("x-a", "b\r\nset-cookie: c")], 0).contains("not allowed"));
        assert!(refused(200, &[("x a", "b")], 0).contains("name of a header"));
        for name in [
            "Content-Length",
            "transfer-encoding",
            "set-cookie",
            "Access-Control-Allow-Origin",
            "Location",
            "Content-Security-Policy",
        ] {
            assert!(refused(200, &[(name, "b")], 0).contains("host's to set"), "{name}");
        }
    }

    #[test]
    fn header_names_become_lower_case() {
        let reply = Reply { status: 201, headers: vec![("X-A".into(), "b".into())], body: "x".into() };
        assert_eq!(check(reply).unwrap().headers, [("x-a".to_owned(), "b".to_owned())]);
    }
}

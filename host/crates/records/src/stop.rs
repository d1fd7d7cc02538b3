//! Why a callback goes no further: what its caller is told, and the reason for those who look after the flow.

use crate::name::CallbackId;
use crate::reply::Reply;

/// A refusal or an error that the caller is told of, in words that tell nothing of the inside: an RFC 9457 problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub status: u16,
    /// Stable and documented.
    pub code: &'static str,
    pub detail: &'static str,
}

impl Problem {
    /// Without an id, no callback was made of the request.
    pub fn reply(&self, callback: Option<CallbackId>) -> Reply {
        let mut body = serde_json::json!({
            "type": "about:blank", "title": self.title(), "status": self.status, "detail": self.detail, "code": self.code,
        });
        if let (Some(body), Some(callback)) = (body.as_object_mut(), callback) {
            body.insert("callback".to_owned(), callback.to_string().into());
        }
        let headers = vec![("content-type".to_owned(), "application/problem+json".to_owned())];
        Reply { status: self.status, headers, body: body.to_string().into() }
    }

    fn title(&self) -> &'static str {
        http::StatusCode::from_u16(self.status).ok().and_then(|status| status.canonical_reason()).unwrap_or("Error")
    }
}

/// What a caller is told who had better come again.
pub const UNAVAILABLE: Problem =
    Problem { status: 503, code: "unavailable", detail: "The server cannot take this callback now." };

/// Why a stage did not let a callback pass: words for the caller in the problem, for the operator in the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stop {
    pub problem: Problem,
    pub reason: String,
    /// Whether the caller or its data was refused, rather than that something of ours or of a plugin failed.
    pub refused: bool,
    /// What the caller is told to do in a header: `Allow`, `WWW-Authenticate`, `Retry-After`.
    pub header: Option<Box<(&'static str, String)>>,
    /// Whether the same callback may pass a little later: a plugin is busy or rests.
    pub temporary: bool,
    /// What of its data is not as it should be.
    pub misplaced: Option<Box<Misplaced>>,
}

/// A place in the data of a caller, as a JSON Pointer, and the keyword of JSON Schema that it does not follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misplaced {
    pub pointer: String,
    pub keyword: &'static str,
}

impl Stop {
    /// The caller or its data is not accepted.
    pub fn refused(status: u16, code: &'static str, detail: &'static str, reason: impl Into<String>) -> Self {
        Self {
            problem: Problem { status, code, detail },
            reason: reason.into(),
            refused: true,
            header: None,
            temporary: false,
            misplaced: None,
        }
    }

    /// The body of the callback could not be taken.
    pub fn unread(problem: &Problem) -> Self {
        Self::refused(problem.status, problem.code, problem.detail, problem.detail)
    }

    /// Something of ours, or of a plugin, failed.
    pub fn failed(status: u16, code: &'static str, detail: &'static str, reason: impl Into<String>) -> Self {
        Self {
            problem: Problem { status, code, detail },
            reason: reason.into(),
            refused: false,
            header: None,
            temporary: false,
            misplaced: None,
        }
    }

    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.header = Some(Box::new((name, value.into())));
        self
    }
}

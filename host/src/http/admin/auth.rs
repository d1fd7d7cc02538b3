//! Who may do what: a handler asks for the access that it needs as an extractor, and gets the workspace from it.

use crate::app::App;
use crate::http::error::Problem;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use ringback_records::name::Name;
use ringback_records::time::Timestamp;
use ringback_records::token::{Access, TokenRecord};
use std::sync::Arc;

/// Chooses the workspace; only for tokens with admin access.
const WORKSPACE_HEADER: &str = "ringback-workspace";

macro_rules! access {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        pub(super) struct $name {
            pub(super) workspace: Name,
        }

        impl FromRequestParts<Arc<App>> for $name {
            type Rejection = Problem;

            async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
                authorize(parts, app, Access::$name).map(|(workspace, _)| Self { workspace })
            }
        }
    };
}

access!(
    /// May read.
    Viewer
);
access!(
    /// May change.
    Author
);
access!(
    /// May do everything.
    Admin
);

/// May read, with what lets it.
pub(super) struct Holder {
    pub(super) workspace: Name,
    pub(super) token: TokenRecord,
}

impl FromRequestParts<Arc<App>> for Holder {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        authorize(parts, app, Access::Viewer).map(|(workspace, token)| Self { workspace, token })
    }
}

fn authorize(parts: &Parts, app: &App, needed: Access) -> Result<(Name, TokenRecord), Problem> {
    let unauthorized = |detail: &str| Err(Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", detail));
    let Some(header) = parts.headers.get(header::AUTHORIZATION) else {
        return unauthorized(
            "send a token as `Authorization: Bearer …`; the first start wrote one to `admin-token` in the data directory",
        );
    };
    let token = header.to_str().ok().and_then(|value| value.split_once(' '));
    let token = token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, token)| token.trim());
    let Some(record) = token.and_then(|token| app.tokens.find(token, Timestamp::now())) else {
        return unauthorized("the token is unknown or has expired");
    };
    if record.access < needed {
        let detail = format!("this needs a token with {needed:?} access; yours has {:?}", record.access).to_lowercase();
        return Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", detail));
    }
    let Some(wanted) = parts.headers.get(WORKSPACE_HEADER) else { return Ok((record.workspace.clone(), record)) };
    let wanted: Name = wanted.to_str().unwrap_or_default().parse()?;
    if wanted == record.workspace || record.access == Access::Admin {
        return Ok((wanted, record));
    }
    Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", "the token opens another workspace"))
}

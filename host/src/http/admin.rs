//! The admin side: the API, health and metrics.

mod auth;
pub(super) mod backup;
pub(super) mod callbacks;
pub(super) mod counts;
mod document;
mod environments;
pub(super) mod executions;
pub(super) mod extract;
mod filters;
pub(super) mod flows;
mod health;
mod parameters;
pub(super) mod plugins;
mod redirects;
mod samples;
mod secrets;
pub(super) mod session;
pub(super) mod settings;
pub(super) mod tail;
pub(super) mod tickets;
pub(super) mod tokens;
pub(super) mod trials;
pub(super) mod users;
mod verify;

use super::error::Problem;
use crate::app::App;
use axum::Router;
use axum::http::{HeaderValue, Method, Response, StatusCode, Uri, header};
use axum::middleware::{from_fn_with_state, map_response};
use axum::response::IntoResponse;
use axum::routing::get;
use ringback_records::time::{Timestamp, parse_lifetime};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use utoipa::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;

/// What every answer carries: the version of the server.
pub const VERSION_HEADER: &str = "ringback-version";
/// Items of one page when the caller does not say.
pub(super) const PAGE_DEFAULT: usize = 50;
/// Most items of one page.
const PAGE_MAX: usize = 200;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "ringback",
        description = "The admin API. Send a token as `Authorization: Bearer …`. Errors are RFC 9457 problem documents. Every answer has the server's version as `Ringback-Version`.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    modifiers(&Security),
    security(("token" = []))
)]
struct Document;

struct Security;

impl utoipa::Modify for Security {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build());
        document.components.get_or_insert_default().add_security_scheme("token", scheme);
    }
}

fn documented() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::with_openapi(Document::openapi())
        .merge(flows::router())
        .merge(plugins::router())
        .merge(environments::router())
        .merge(executions::router())
        .merge(backup::router())
        .merge(callbacks::router())
        .merge(counts::router())
        .merge(tail::router())
        .merge(session::router())
        .merge(settings::router())
        .merge(redirects::router())
        .merge(samples::router())
        .merge(secrets::router())
        .merge(tickets::router())
        .merge(tokens::router())
        .merge(trials::router())
        .merge(users::router())
        .merge(verify::router())
        .merge(health::router())
}

pub(super) fn document() -> serde_json::Value {
    document::publish(&documented().split_for_parts().1)
}

pub(super) fn router(app: Arc<App>) -> Router {
    let (router, document) = documented().split_for_parts();
    let document = document::publish(&document);
    let parameters = parameters::Parameters::of(&document);
    let document = document.to_string();
    router
        .route_layer(from_fn_with_state((parameters, Arc::clone(&app)), parameters::refuse_unknown))
        .route(
            "/v1/openapi.json",
            get(move || async move { ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], document) }),
        )
        .merge(super::console::router(&app))
        .fallback(|method: Method, uri: Uri| async move {
            Problem::not_found(format!("there is no {method} {}; /v1/openapi.json lists everything", uri.path()))
        })
        .method_not_allowed_fallback(|method: Method, uri: Uri| async move {
            let detail = format!("{} does not take {method}; /v1/openapi.json lists what it takes", uri.path());
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
        })
        .layer(map_response(identify))
        .with_state(app)
}

/// Whoever asks can tell by this that a ringback answers, whatever the answer.
async fn identify<B>(mut response: Response<B>) -> Response<B> {
    response.headers_mut().insert(VERSION_HEADER, HeaderValue::from_static(env!("CARGO_PKG_VERSION")));
    response
}

/// Which part of a list is wanted.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct PageQuery {
    /// Most items, 1 to 200; 50 when absent.
    #[param(value_type = Option<usize>)]
    limit: Option<String>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

impl PageQuery {
    fn limit(&self) -> Result<usize, Problem> {
        let Some(text) = &self.limit else { return Ok(PAGE_DEFAULT) };
        text.parse().ok().filter(|limit| (1..=PAGE_MAX).contains(limit)).ok_or_else(|| {
            let detail = format!("`limit` must be a whole number from 1 to {PAGE_MAX}, not `{}`", filters::shown(text));
            Problem::bad_request("invalid_limit", detail)
        })
    }

    fn before(&self) -> Result<Option<[u8; 16]>, Problem> {
        let Some(cursor) = &self.cursor else { return Ok(None) };
        let id: uuid::Uuid = cursor.parse().map_err(|_| wrong_cursor())?;
        Ok(Some(*id.as_bytes()))
    }

    /// Where a list that is in the order of names goes on.
    fn after_name(&self) -> Result<Option<ringback_records::name::Name>, Problem> {
        self.cursor.as_deref().map(|cursor| cursor.parse().map_err(|_| wrong_cursor())).transpose()
    }
}

/// A page of a list.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct List<T> {
    pub(super) items: Vec<T>,
    /// Send it as `cursor` to get the next page; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next_cursor: Option<String>,
}

impl<T> List<T> {
    fn whole(items: Vec<T>) -> Self {
        Self { items, next_cursor: None }
    }

    /// A page of a list that is in the order of names.
    fn of_names<U, N: ToString>(page: ringback_store::Page<U, N>, show: impl Fn(U) -> T) -> Self {
        let next_cursor = page.next.map(|name| name.to_string());
        Self { items: page.items.into_iter().map(show).collect(), next_cursor }
    }

    fn page<U>(page: ringback_store::Page<U>, show: impl Fn(U) -> T) -> Self {
        let next_cursor = page.next.map(|id| uuid::Uuid::from_bytes(id).to_string());
        Self { items: page.items.into_iter().map(show).collect(), next_cursor }
    }
}

fn wrong_cursor() -> Problem {
    Problem::bad_request("invalid_cursor", "cursor must be the `next_cursor` of an earlier page")
}

fn parse_name(text: &str) -> Result<ringback_records::name::Name, Problem> {
    Ok(text.parse()?)
}

/// How long something is to last, as the member of a body says.
fn lifetime(member: &str, text: Option<String>) -> Result<Option<Duration>, Problem> {
    let lifetime = text.map(|text| parse_lifetime(&text)).transpose();
    lifetime.map_err(|problem| Problem::bad_request("invalid_duration", format!("`{member}`: {problem}")))
}

/// When what lasts so long ends; `None` for what does not end.
pub(super) fn expiry(expires_in: Option<String>) -> Result<Option<Timestamp>, Problem> {
    Ok(lifetime("expires_in", expires_in)?.map(|lifetime| Timestamp::now().saturating_add(lifetime)))
}

/// JSON with a status.
fn answer<T: Serialize>(status: StatusCode, body: T) -> axum::response::Response {
    (status, axum::Json(body)).into_response()
}

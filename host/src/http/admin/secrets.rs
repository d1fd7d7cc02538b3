//! Secrets: set, list by name, end earlier values, remove. Values are never shown.

use super::auth::{Author, Viewer};
use super::environments::EnvironmentQuery;
use super::extract::{Json, Path, Query};
use super::{List, PageQuery, answer, lifetime};
use crate::app::App;
use crate::catalogue::secrets::SecretEntry;
use crate::http::error::Problem;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(list_secrets))
        .routes(routes!(set_secret, remove_secret))
        .routes(routes!(retire_secret))
}

/// The value of a secret.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct SecretBody {
    /// Text; 1 to 16,384 bytes.
    #[schema(min_length = 1, max_length = 16384)]
    value: String,
    /// How long the value before it counts too, while senders go over to the new one: `24h`, at most `3650d`. Without it, it
    /// ends at once.
    #[serde(default)]
    keep_previous: Option<String>,
}

/// Lists the secrets by environment and name, without their values.
#[utoipa::path(get, path = "/v1/secrets", tag = "secrets", params(PageQuery), responses((status = 200, body = List<SecretEntry>), (status = "4XX", body = Problem)))]
async fn list_secrets(
    State(app): State<Arc<App>>,
    caller: Viewer,
    Query(query): Query<PageQuery>,
) -> Result<Response, Problem> {
    let page = app.secrets.page(&caller.workspace, query.cursor.as_deref(), query.limit()?);
    Ok(answer(StatusCode::OK, List::of_names(page, |entry| entry)))
}

/// Sets a secret; it counts from the next callback on.
#[utoipa::path(put, path = "/v1/secrets/{name}", tag = "secrets", params(("name" = String, Path), EnvironmentQuery), request_body = SecretBody, responses((status = 204), (status = "4XX", body = Problem)))]
async fn set_secret(
    State(app): State<Arc<App>>,
    caller: Author,
    Path(name): Path<String>,
    Query(query): Query<EnvironmentQuery>,
    Json(body): Json<SecretBody>,
) -> Result<StatusCode, Problem> {
    let environment = query.name(&app, &caller.workspace)?;
    let keep_previous = lifetime("keep_previous", body.keep_previous)?.unwrap_or_default();
    let value = body.value.into_bytes();
    app.flows
        .check_secret(&caller.workspace, &name, &value)
        .map_err(|reason| Problem::bad_request("invalid_secret", reason))?;
    app.secrets.set(&caller.workspace, &environment, &name, value, keep_previous).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Ends the earlier values of a secret, which counted beside its newest.
#[utoipa::path(delete, path = "/v1/secrets/{name}/previous", tag = "secrets", params(("name" = String, Path), EnvironmentQuery), responses((status = 204), (status = "4XX", body = Problem)))]
async fn retire_secret(
    State(app): State<Arc<App>>,
    caller: Author,
    Path(name): Path<String>,
    Query(query): Query<EnvironmentQuery>,
) -> Result<StatusCode, Problem> {
    let environment = query.name(&app, &caller.workspace)?;
    match app.secrets.retire_previous(&caller.workspace, &environment, &name).await? {
        Some(_) => Ok(StatusCode::NO_CONTENT),
        None => Err(Problem::not_found(format!("there is no secret {name}"))),
    }
}

/// Removes a secret. Callbacks that need it get 500 from then on.
#[utoipa::path(delete, path = "/v1/secrets/{name}", tag = "secrets", params(("name" = String, Path), EnvironmentQuery), responses((status = 204), (status = "4XX", body = Problem)))]
async fn remove_secret(
    State(app): State<Arc<App>>,
    caller: Author,
    Path(name): Path<String>,
    Query(query): Query<EnvironmentQuery>,
) -> Result<StatusCode, Problem> {
    let environment = query.name(&app, &caller.workspace)?;
    if app.secrets.remove(&caller.workspace, &environment, &name).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Problem::not_found(format!("there is no secret {name}")))
    }
}

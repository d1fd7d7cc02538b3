//! Users: who calls, with their tokens.

use super::auth::{Author, Viewer};
use super::extract::{Json, Path, Query};
use super::{List, PageQuery, answer, expiry};
use crate::app::App;
use crate::catalogue::users::{UserError, token_id};
use crate::http::error::Problem;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use ringback_records::time::Timestamp;
use ringback_records::user::UserRecord;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(list_users))
        .routes(routes!(show_user, put_user, remove_user))
        .routes(routes!(list_user_tokens, create_user_token))
        .routes(routes!(remove_user_token))
}

/// A user.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct UserView {
    id: String,
    /// Of any shape; flows see them as `user`.
    #[schema(value_type = Object)]
    properties: Map<String, Value>,
    roles: Vec<String>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

/// A user to be.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct UserBody {
    /// Of any shape, at most 64 KiB.
    #[serde(default)]
    #[schema(value_type = Object)]
    properties: Map<String, Value>,
    #[serde(default)]
    roles: Vec<String>,
}

/// A token to make for a user.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct UserTokenBody {
    /// Like `30d`; without it the token does not expire.
    expires_in: Option<String>,
}

/// A token of a user that was made.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct CreatedUserToken {
    id: String,
    /// Shown this once.
    token: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
}

/// A token of a user without itself.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct UserTokenView {
    id: String,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
}

fn view(id: String, record: UserRecord) -> UserView {
    let UserRecord { properties, roles, created_at, updated_at } = record;
    UserView { id, properties, roles, created_at, updated_at }
}

/// Lists users by their ids.
#[utoipa::path(get, path = "/v1/users", tag = "users", params(PageQuery), responses((status = 200, body = List<UserView>), (status = "4XX", body = Problem)))]
async fn list_users(
    State(app): State<Arc<App>>,
    caller: Viewer,
    Query(query): Query<PageQuery>,
) -> Result<Response, Problem> {
    let limit = query.limit()?;
    let mut users = app.users.list(&caller.workspace, query.cursor.as_deref(), limit + 1).await?;
    let has_more = users.len() > limit;
    users.truncate(limit);
    let next_cursor = users.last().filter(|_| has_more).map(|(id, _)| id.clone());
    let items = users.into_iter().map(|(id, record)| view(id, record)).collect();
    Ok(answer(StatusCode::OK, List { items, next_cursor }))
}

/// Shows one user.
#[utoipa::path(get, path = "/v1/users/{id}", tag = "users", params(("id" = String, Path)), responses((status = 200, body = UserView), (status = "4XX", body = Problem)))]
async fn show_user(State(app): State<Arc<App>>, caller: Viewer, Path(id): Path<String>) -> Result<Response, Problem> {
    let record = app.users.get(&caller.workspace, &id).await?.ok_or_else(|| missing(&id))?;
    Ok(answer(StatusCode::OK, view(id, record)))
}

/// Makes a user, or replaces its properties and roles. Executions keep the user as it was when it called.
#[utoipa::path(put, path = "/v1/users/{id}", tag = "users", params(("id" = String, Path)), request_body = UserBody, responses((status = 200, body = UserView), (status = 201, body = UserView), (status = "4XX", body = Problem)))]
async fn put_user(
    State(app): State<Arc<App>>,
    caller: Author,
    Path(id): Path<String>,
    Json(body): Json<UserBody>,
) -> Result<Response, Problem> {
    let UserBody { properties, roles } = body;
    let (record, is_new) = app.users.put(&caller.workspace, &id, properties, roles).await?;
    Ok(answer(if is_new { StatusCode::CREATED } else { StatusCode::OK }, view(id, record)))
}

/// Removes a user with its tokens.
#[utoipa::path(delete, path = "/v1/users/{id}", tag = "users", params(("id" = String, Path)), responses((status = 204), (status = "4XX", body = Problem)))]
async fn remove_user(
    State(app): State<Arc<App>>,
    caller: Author,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    if app.users.remove(&caller.workspace, &id).await? { Ok(StatusCode::NO_CONTENT) } else { Err(missing(&id)) }
}

/// Lists the tokens of a user, without themselves.
#[utoipa::path(get, path = "/v1/users/{id}/tokens", tag = "users", params(("id" = String, Path), PageQuery), responses((status = 200, body = List<UserTokenView>), (status = "4XX", body = Problem)))]
async fn list_user_tokens(
    State(app): State<Arc<App>>,
    caller: Viewer,
    Path(id): Path<String>,
    Query(query): Query<PageQuery>,
) -> Result<Response, Problem> {
    let limit = query.limit()?;
    app.users.get(&caller.workspace, &id).await?.ok_or_else(|| missing(&id))?;
    let page = app.users.tokens(&caller.workspace, &id, query.cursor.as_deref(), limit).await?;
    let views = page.items.into_iter().map(|(hash, record)| UserTokenView {
        id: token_id(&hash),
        created_at: record.created_at,
        expires_at: record.expires_at,
    });
    Ok(answer(StatusCode::OK, List { items: views.collect(), next_cursor: page.next }))
}

/// Makes a token that proves the user to triggers.
#[utoipa::path(post, path = "/v1/users/{id}/tokens", tag = "users", params(("id" = String, Path)), request_body = UserTokenBody, responses((status = 201, body = CreatedUserToken), (status = "4XX", body = Problem)))]
async fn create_user_token(
    State(app): State<Arc<App>>,
    caller: Author,
    Path(id): Path<String>,
    Json(body): Json<UserTokenBody>,
) -> Result<Response, Problem> {
    let expires_at = expiry(body.expires_in)?;
    let (token, id) = app.users.create_token(&caller.workspace, &id, expires_at).await?;
    Ok(answer(StatusCode::CREATED, CreatedUserToken { id, token, expires_at }))
}

/// Revokes a token of a user.
#[utoipa::path(delete, path = "/v1/users/{id}/tokens/{token_id}", tag = "users", params(("id" = String, Path), ("token_id" = String, Path)), responses((status = 204), (status = "4XX", body = Problem)))]
async fn remove_user_token(
    State(app): State<Arc<App>>,
    caller: Author,
    Path((id, token)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    app.users.get(&caller.workspace, &id).await?.ok_or_else(|| missing(&id))?;
    if app.users.remove_token(&caller.workspace, &id, &token).await? {
        return Ok(StatusCode::NO_CONTENT);
    }
    // The id is not repeated: it may be the token itself.
    let detail = format!("the user {id} has no token with this id; `ringback user tokens {id}` lists the ids");
    Err(Problem::not_found(detail))
}

pub(in crate::http) fn missing(id: &str) -> Problem {
    Problem::not_found(format!("there is no user {id}"))
}

impl From<UserError> for Problem {
    fn from(error: UserError) -> Self {
        match error {
            UserError::Id(_) => Self::bad_request("invalid_user_id", error.to_string()),
            UserError::TooLarge(_) => Self::bad_request("user_too_large", error.to_string()),
            UserError::Roles => Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_roles", error.to_string()),
            UserError::Missing(_) => Self::not_found(error.to_string()),
            UserError::Random => Self::internal(&error),
            UserError::Store(error) => error.into(),
        }
    }
}

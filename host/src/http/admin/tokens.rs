//! Tokens of this API.

use super::auth::Admin;
use super::extract::{Json, Path, Query};
use super::{List, PageQuery, answer, expiry};
use crate::app::App;
use crate::http::error::Problem;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use ringback_records::name::Name;
use ringback_records::time::Timestamp;
use ringback_records::token::{Access, TokenRecord};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list_tokens, create_token)).routes(routes!(remove_token))
}

/// A token without itself.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct TokenView {
    id: String,
    name: String,
    access: Access,
    workspace: String,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
}

/// Most characters of what a token is for.
const NAME_CHARS_MAX: usize = 100;

/// A token to make.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct TokenBody {
    /// What it is for, in 1 to 100 characters.
    #[schema(pattern = r"^[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]{0,99}$")]
    name: String,
    access: Access,
    /// Like `30d`; without it the token does not expire.
    expires_in: Option<String>,
}

/// A token that was made.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct CreatedToken {
    id: String,
    /// Shown this once.
    token: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
}

/// Lists the tokens of the workspace by their ids.
#[utoipa::path(get, path = "/v1/tokens", tag = "tokens", params(PageQuery), responses((status = 200, body = List<TokenView>), (status = "4XX", body = Problem)))]
async fn list_tokens(
    State(app): State<Arc<App>>,
    caller: Admin,
    Query(query): Query<PageQuery>,
) -> Result<Response, Problem> {
    let page = app.tokens.page(&caller.workspace, query.cursor.as_deref(), query.limit()?);
    let view = |(id, record): (String, TokenRecord)| TokenView {
        id,
        name: record.name,
        access: record.access,
        workspace: record.workspace.to_string(),
        created_at: record.created_at,
        expires_at: record.expires_at,
    };
    Ok(answer(StatusCode::OK, List::of_names(page, view)))
}

/// Makes a token for the workspace.
#[utoipa::path(post, path = "/v1/tokens", tag = "tokens", request_body = TokenBody, responses((status = 201, body = CreatedToken), (status = "4XX", body = Problem)))]
async fn create_token(
    State(app): State<Arc<App>>,
    caller: Admin,
    Json(body): Json<TokenBody>,
) -> Result<Response, Problem> {
    let (id, token, expires_at) = make(&app, &caller.workspace, body.name, body.access, body.expires_in).await?;
    Ok(answer(StatusCode::CREATED, CreatedToken { id, token, expires_at }))
}

/// Makes a token: its id, itself, and until when it counts.
pub(in crate::http) async fn make(
    app: &App,
    workspace: &Name,
    name: String,
    access: Access,
    expires_in: Option<String>,
) -> Result<(String, String, Option<Timestamp>), Problem> {
    let expires_at = expiry(expires_in)?;
    if !is_purpose(&name) {
        let detail =
            "`name` says what the token is for: 1 to 100 characters, no space in front and no control characters";
        return Err(Problem::bad_request("invalid_name", detail));
    }
    let (id, token) = app.tokens.create(name, access, workspace.clone(), expires_at).await?;
    Ok((id, token, expires_at))
}

fn is_purpose(name: &str) -> bool {
    let begins = name.chars().next().is_some_and(|first| !first.is_whitespace());
    begins && !name.contains(char::is_control) && name.chars().count() <= NAME_CHARS_MAX
}

/// Removes a token; it opens nothing any more.
#[utoipa::path(delete, path = "/v1/tokens/{id}", tag = "tokens", params(("id" = String, Path)), responses((status = 204), (status = "4XX", body = Problem)))]
async fn remove_token(
    State(app): State<Arc<App>>,
    caller: Admin,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    if app.tokens.has(&caller.workspace, &id) && app.tokens.remove(&id).await? {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(Problem::not_found("there is no token with this id; `ringback token list` lists the ids"))
}

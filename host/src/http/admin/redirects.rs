//! Origins that callers may be sent to.

use super::auth::{Admin, Viewer};
use super::extract::{Json, Query};
use super::{List, answer};
use crate::app::App;
use crate::catalogue::redirects::OriginError;
use crate::http::error::Problem;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use ringback_records::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list_origins, add_origin, remove_origin))
}

/// An origin that callers may be sent to.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct OriginView {
    origin: String,
    /// Absent for one of the server's settings.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    added_at: Option<Timestamp>,
}

/// An origin to add.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct OriginBody {
    /// Like `https://shop.example.com`.
    origin: String,
}

/// An origin to take back.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct OriginQuery {
    /// Like `https://shop.example.com`.
    origin: String,
}

/// Lists the origins that callers of the workspace may be sent to.
#[utoipa::path(get, path = "/v1/redirect-origins", tag = "redirects", responses((status = 200, body = List<OriginView>), (status = "4XX", body = Problem)))]
async fn list_origins(State(app): State<Arc<App>>, caller: Viewer) -> Response {
    let origins = app.redirects.list(&caller.workspace).into_iter();
    let views = origins.map(|(origin, record)| OriginView { origin, added_at: record.map(|record| record.added_at) });
    answer(StatusCode::OK, List::whole(views.collect()))
}

/// Lets callers of the workspace be sent to an origin, from the next answer on.
#[utoipa::path(post, path = "/v1/redirect-origins", tag = "redirects", request_body = OriginBody, responses((status = 200, body = OriginView), (status = 201, body = OriginView), (status = "4XX", body = Problem)))]
async fn add_origin(
    State(app): State<Arc<App>>,
    caller: Admin,
    Json(body): Json<OriginBody>,
) -> Result<Response, Problem> {
    let (origin, is_new) = app.redirects.add(&caller.workspace, &body.origin).await?;
    let added_at = app.redirects.list(&caller.workspace).into_iter().find(|(known, _)| *known == origin);
    let added_at = added_at.and_then(|(_, record)| record).map(|record| record.added_at);
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok(answer(status, OriginView { origin, added_at }))
}

/// Takes an origin back that was added. Answers that would send a caller there fail from then on.
#[utoipa::path(delete, path = "/v1/redirect-origins", tag = "redirects", params(OriginQuery), responses((status = 204), (status = "4XX", body = Problem)))]
async fn remove_origin(
    State(app): State<Arc<App>>,
    caller: Admin,
    Query(query): Query<OriginQuery>,
) -> Result<StatusCode, Problem> {
    match app.redirects.remove(&caller.workspace, &query.origin).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(Problem::not_found(format!("the origin {} was not added here", query.origin))),
    }
}

impl From<OriginError> for Problem {
    fn from(error: OriginError) -> Self {
        match error {
            OriginError::Malformed(_) => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_origin", error.to_string())
            }
            OriginError::OutOfBound(_) => {
                Self::new(StatusCode::FORBIDDEN, "redirect_origin_out_of_bound", error.to_string())
            }
            OriginError::TooMany => Self::new(StatusCode::CONFLICT, "redirect_origins_max", error.to_string()),
            OriginError::Store(error) => error.into(),
        }
    }
}

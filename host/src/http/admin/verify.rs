//! Verification: how recorded callbacks are proved.

use super::answer;
use super::auth::Author;
use super::extract::Json;
use crate::app::App;
use crate::http::error::Problem;
use crate::pipeline::InferError;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use ringback_records::name::CallbackId;
use ringback_rules::verify::infer::Inference;
use serde::Deserialize;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(infer_verification))
}

/// What is to be explained.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct InferBody {
    /// The name of the secret that the sender has, too.
    secret: String,
    /// The ids of 1 to 20 recorded callbacks of one sender.
    #[schema(min_items = 1, max_items = 20)]
    callbacks: Vec<String>,
}

/// Finds the `verify` block that explains recorded callbacks, or what comes nearest. The secret stays on the server.
#[utoipa::path(post, path = "/v1/verify/infer", tag = "verify", request_body = InferBody, responses((status = 200, body = Inference), (status = "4XX", body = Problem)))]
async fn infer_verification(
    State(app): State<Arc<App>>,
    caller: Author,
    Json(body): Json<InferBody>,
) -> Result<Response, Problem> {
    let parsed = |id: &String| id.parse().map_err(|_| Problem::not_found(format!("there is no callback {id}")));
    let callbacks = body.callbacks.iter().map(parsed).collect::<Result<Vec<CallbackId>, _>>()?;
    let inference = app.pipeline.infer(&caller.workspace, &body.secret, &callbacks).await?;
    Ok(answer(StatusCode::OK, inference))
}

impl From<InferError> for Problem {
    fn from(error: InferError) -> Self {
        match error {
            InferError::Number(_) => Self::bad_request("invalid_number", error.to_string()),
            InferError::NoCallback(_) | InferError::NoSecret(_) => Self::not_found(error.to_string()),
            InferError::Store(error) => error.into(),
            InferError::Stopped => Self::internal(&error),
        }
    }
}

//! Samples: from an example of a callback to the parts that a flow can name.

use super::answer;
use super::auth::Viewer;
use super::extract::Json;
use crate::app::App;
use crate::http::error::Problem;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use ringback_rules::sample::{Sample, parse};
use ringback_store::StoreError;
use serde::Deserialize;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(parse_sample))
}

/// An example of a callback.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct SampleBody {
    /// A URL, a query string, or JSON.
    #[schema(min_length = 1)]
    sample: String,
}

/// Lists the parts of a sample, ready to be pasted into a flow.
#[utoipa::path(post, path = "/v1/samples/parse", tag = "samples", request_body = SampleBody, responses((status = 200, body = Sample), (status = "4XX", body = Problem)))]
async fn parse_sample(
    State(app): State<Arc<App>>,
    caller: Viewer,
    Json(body): Json<SampleBody>,
) -> Result<Response, Problem> {
    // It may be as long as a body.
    let sample = app.pipeline.sandbox.compute(&caller.workspace, async move { parse(&body.sample) }).await;
    let sample = sample
        .map_err(StoreError::Stopped)?
        .map_err(|message| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_sample", message))?;
    Ok(answer(StatusCode::OK, sample))
}

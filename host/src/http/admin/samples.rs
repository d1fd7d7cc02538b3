//! Samples: from an example of a callback to the parts that a flow can name.

use super::answer;
use super::auth::Viewer;
use super::extract::Json;
use crate::app::App;
use crate::http::error::Problem;
use axum::http::StatusCode;
use axum::response::Response;
use ringback_rules::sample::{Sample, parse};
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
async fn parse_sample(_: Viewer, Json(body): Json<SampleBody>) -> Result<Response, Problem> {
    let sample = parse(&body.sample)
        .map_err(|message| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_sample", message))?;
    Ok(answer(StatusCode::OK, sample))
}

//! Health and metrics, without a token: they tell nothing of anybody.

use super::answer;
use crate::app::App;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(health)).routes(routes!(readiness)).routes(routes!(metrics))
}

/// Whether all is well.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct Health {
    /// `ok` or `stopping`.
    status: &'static str,
    version: &'static str,
    /// The id of the data directory, as its file `instance` has it.
    instance: String,
}

impl Health {
    fn new(status: &'static str, app: &App) -> Self {
        Self { status, version: env!("CARGO_PKG_VERSION"), instance: app.instance.clone() }
    }
}

/// Answers as long as the process does.
#[utoipa::path(get, path = "/healthz", tag = "health", security(()), responses((status = 200, body = Health)))]
async fn health(State(app): State<Arc<App>>) -> Response {
    answer(StatusCode::OK, Health::new("ok", &app))
}

/// Whether callbacks are taken.
#[utoipa::path(get, path = "/readyz", tag = "health", security(()), responses((status = 200, body = Health), (status = 503, body = Health)))]
async fn readiness(State(app): State<Arc<App>>) -> Response {
    match app.is_ready() {
        true => answer(StatusCode::OK, Health::new("ok", &app)),
        false => answer(StatusCode::SERVICE_UNAVAILABLE, Health::new("stopping", &app)),
    }
}

/// Metrics in Prometheus' text form.
#[utoipa::path(get, path = "/metrics", tag = "health", security(()), responses((status = 200, body = String)))]
async fn metrics(State(app): State<Arc<App>>) -> Response {
    if let Ok(bytes) = app.store.size_bytes().await {
        metrics::gauge!("ringback_store_bytes").set(bytes as f64);
    }
    metrics::gauge!("ringback_store_live_bytes").set(app.store.live_bytes() as f64);
    metrics::gauge!("ringback_executions_in_line").set(app.pipeline.runner.executions_in_line() as f64);
    metrics::gauge!("ringback_callers_waiting").set(app.pipeline.runner.callers_waiting() as f64);
    metrics::gauge!("ringback_bodies_bytes").set(app.pipeline.rooms.bodies_bytes() as f64);
    metrics::gauge!("ringback_script_images").set(app.plugins.script_images() as f64);
    let text = app.metrics.as_ref().map(metrics_exporter_prometheus::PrometheusHandle::render).unwrap_or_default();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}

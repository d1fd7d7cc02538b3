//! Flows: deploy, look, enable, disable, remove.

use super::auth::{Author, Viewer};
use super::{List, Query, answer, parse_name};
use crate::app::App;
use crate::face::{self, Face};
use crate::flows::Deployed;
use crate::http::error::Problem;
use crate::time::Timestamp;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(list_flows))
        .routes(routes!(show_flow, apply_flow, remove_flow))
        .routes(routes!(enable_flow))
        .routes(routes!(disable_flow))
}

/// A deployed flow.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct FlowView {
    name: String,
    /// Grows by one with every change.
    version: u32,
    enabled: bool,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
    triggers: Vec<TriggerView>,
    /// What is missing but may come later.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

/// A trigger with its URLs.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct TriggerView {
    id: String,
    name: String,
    /// The first of its faces, whose ways it has where it does not say otherwise.
    face: &'static str,
    methods: Vec<String>,
    /// By environment, then by face.
    urls: BTreeMap<String, BTreeMap<String, String>>,
}

/// How to deploy.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct ApplyQuery {
    /// Check everything, keep nothing.
    #[serde(default)]
    dry_run: bool,
}

fn view(app: &App, deployed: &Deployed, warnings: Vec<String>) -> FlowView {
    let Deployed { record, flow, .. } = deployed;
    let triggers = flow
        .triggers
        .iter()
        .map(|trigger| {
            let url = |face: &&dyn Face| {
                let path = record.ids.get(&trigger.id).map(|ids| face.path(ids)).unwrap_or_default();
                (face.name().to_owned(), format!("{}{path}", app.public_url))
            };
            let face = trigger.faces.first().copied().unwrap_or_else(face::native);
            TriggerView {
                id: trigger.id.to_string(),
                name: trigger.name.clone(),
                face: face.name(),
                methods: trigger.methods(face).iter().map(ToString::to_string).collect(),
                urls: BTreeMap::from([("default".to_owned(), trigger.faces.iter().map(url).collect())]),
            }
        })
        .collect();
    FlowView {
        name: record.name.to_string(),
        version: record.version,
        enabled: record.enabled,
        updated_at: record.updated_at,
        triggers,
        warnings,
    }
}

/// Lists the flows.
#[utoipa::path(get, path = "/v1/flows", tag = "flows", responses((status = 200, body = List<FlowView>), (status = "4XX", body = Problem)))]
async fn list_flows(State(app): State<Arc<App>>, caller: Viewer) -> Response {
    let flows = app.flows.list(&caller.workspace);
    answer(StatusCode::OK, List::whole(flows.iter().map(|deployed| view(&app, deployed, Vec::new())).collect()))
}

/// Shows one flow.
#[utoipa::path(get, path = "/v1/flows/{name}", tag = "flows", params(("name" = String, Path)), responses((status = 200, body = FlowView), (status = "4XX", body = Problem)))]
async fn show_flow(State(app): State<Arc<App>>, caller: Viewer, Path(name): Path<String>) -> Result<Response, Problem> {
    let name = parse_name(&name)?;
    let deployed = app.flows.find(&caller.workspace, &name).ok_or_else(|| missing(&name))?;
    Ok(answer(StatusCode::OK, view(&app, &deployed, Vec::new())))
}

/// Deploys a flow file, YAML or JSON. The same file again changes nothing.
#[utoipa::path(
    put, path = "/v1/flows/{name}", tag = "flows", params(("name" = String, Path), ApplyQuery),
    request_body(content = String, content_type = "application/yaml"),
    responses((status = 200, body = FlowView), (status = 201, body = FlowView), (status = "4XX", body = Problem))
)]
async fn apply_flow(
    State(app): State<Arc<App>>,
    caller: Author,
    Path(name): Path<String>,
    Query(query): Query<ApplyQuery>,
    source: String,
) -> Result<Response, Problem> {
    let name = parse_name(&name)?;
    let deployment =
        app.flows.deploy(&caller.workspace, &name, &source, query.dry_run, &app.plugins, &app.secrets).await?;
    let status = if deployment.is_new && !query.dry_run { StatusCode::CREATED } else { StatusCode::OK };
    Ok(answer(status, view(&app, &deployment.deployed, deployment.warnings)))
}

/// Lets the flow's URLs work again.
#[utoipa::path(post, path = "/v1/flows/{name}/enable", tag = "flows", params(("name" = String, Path)), responses((status = 200, body = FlowView), (status = "4XX", body = Problem)))]
async fn enable_flow(
    State(app): State<Arc<App>>,
    caller: Author,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    let deployed = app.flows.set_enabled(&caller.workspace, &parse_name(&name)?, true).await?;
    Ok(answer(StatusCode::OK, view(&app, &deployed, Vec::new())))
}

/// Lets the flow's URLs answer 404. Executions go on.
#[utoipa::path(post, path = "/v1/flows/{name}/disable", tag = "flows", params(("name" = String, Path)), responses((status = 200, body = FlowView), (status = "4XX", body = Problem)))]
async fn disable_flow(
    State(app): State<Arc<App>>,
    caller: Author,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    let deployed = app.flows.set_enabled(&caller.workspace, &parse_name(&name)?, false).await?;
    Ok(answer(StatusCode::OK, view(&app, &deployed, Vec::new())))
}

/// Removes a flow. Its URLs are gone for good.
#[utoipa::path(delete, path = "/v1/flows/{name}", tag = "flows", params(("name" = String, Path)), responses((status = 204), (status = "4XX", body = Problem)))]
async fn remove_flow(
    State(app): State<Arc<App>>,
    caller: Author,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    let name = parse_name(&name)?;
    if app.flows.remove(&caller.workspace, &name).await? { Ok(StatusCode::NO_CONTENT) } else { Err(missing(&name)) }
}

fn missing(name: &crate::name::Name) -> Problem {
    Problem::not_found(format!("there is no flow {name}"))
}

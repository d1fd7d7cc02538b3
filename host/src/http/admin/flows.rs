//! Flows: deploy, look, enable, disable, remove.

use super::auth::{Author, Viewer};
use super::{List, Query, answer, parse_name};
use crate::app::App;
use crate::face::{self, Face, Ids, Target};
use crate::flow::Trigger;
use crate::flows::{Deployed, signature_id};
use crate::http::error::Problem;
use crate::name::Name;
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
        .routes(routes!(add_signature))
        .routes(routes!(drop_signature))
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
    /// At faces that have them, each with URLs of its own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    callbacks: Vec<CallbackView>,
}

/// One of a trigger's callbacks.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct CallbackView {
    name: String,
    content_type: String,
    /// What names its signatures, the newest first; its URLs carry the newest.
    signatures: Vec<String>,
    /// By environment.
    urls: BTreeMap<String, String>,
}

/// How to deploy.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct ApplyQuery {
    /// Check everything, keep nothing.
    #[serde(default)]
    dry_run: bool,
}

fn view(app: &App, workspace: &Name, deployed: &Deployed, mut warnings: Vec<String>) -> FlowView {
    let Deployed { record, flow, .. } = deployed;
    let known: BTreeMap<Name, Option<String>> = app
        .environments
        .list(workspace)
        .into_iter()
        .map(|(name, environment)| (name, environment.url_prefix))
        .collect();
    for name in flow.triggers.iter().flat_map(|trigger| &trigger.environments) {
        if known.get(name).is_none_or(Option::is_none) {
            warnings.push(format!(
                "the environment {name} has no URLs yet: until `ringback environment set {name} --url-prefix …`"
            ));
        }
    }
    let triggers = flow.triggers.iter().filter_map(|trigger| {
        let ids = record.ids.get(&trigger.id)?;
        Some(trigger_view(app, workspace, trigger, ids, &known))
    });
    let triggers = triggers.collect();
    FlowView {
        name: record.name.to_string(),
        version: record.version,
        enabled: record.enabled,
        updated_at: record.updated_at,
        triggers,
        warnings,
    }
}

fn trigger_view(
    app: &App,
    workspace: &Name,
    trigger: &Trigger,
    ids: &Ids,
    known: &BTreeMap<Name, Option<String>>,
) -> TriggerView {
    let mut urls = BTreeMap::<String, BTreeMap<String, String>>::new();
    let mut callbacks = Vec::new();
    let url = |face: &dyn Face, callback, prefix| {
        let path = face.path(&Target { workspace, ids, callback, prefix })?;
        Some(format!("{}{path}", app.public_url))
    };
    for face in &trigger.faces {
        if !face.has_callbacks() {
            if let Some(url) = url(*face, None, None) {
                urls.entry("default".to_owned()).or_default().insert(face.name().to_owned(), url);
            }
            continue;
        }
        for spec in &trigger.callbacks {
            let Some(callback) = ids.callbacks.get(&spec.name) else { continue };
            let others = trigger.environments.iter();
            let prefixes = others.filter_map(|name| Some((name.to_string(), known.get(name)?.as_deref())));
            let prefixes = prefixes.filter(|(_, prefix)| prefix.is_some());
            let all = [("default".to_owned(), None)].into_iter().chain(prefixes);
            let of_callback: BTreeMap<String, String> =
                all.filter_map(|(name, prefix)| Some((name, url(*face, Some(callback), prefix)?))).collect();
            for (name, url) in &of_callback {
                let of_face = urls.entry(name.clone()).or_default();
                of_face.entry(face.name().to_owned()).or_insert_with(|| url.clone());
            }
            callbacks.push(CallbackView {
                name: spec.name.to_string(),
                content_type: spec.content_type.clone(),
                signatures: callback.signatures.iter().map(|known| signature_id(known).to_owned()).collect(),
                urls: of_callback,
            });
        }
    }
    let face = trigger.faces.first().copied().unwrap_or_else(face::native);
    TriggerView {
        id: trigger.id.to_string(),
        name: trigger.name.clone(),
        face: face.name(),
        methods: trigger.methods(face).iter().map(ToString::to_string).collect(),
        urls,
        callbacks,
    }
}

/// Lists the flows.
#[utoipa::path(get, path = "/v1/flows", tag = "flows", responses((status = 200, body = List<FlowView>), (status = "4XX", body = Problem)))]
async fn list_flows(State(app): State<Arc<App>>, caller: Viewer) -> Response {
    let flows = app.flows.list(&caller.workspace);
    answer(
        StatusCode::OK,
        List::whole(flows.iter().map(|deployed| view(&app, &caller.workspace, deployed, Vec::new())).collect()),
    )
}

/// Shows one flow.
#[utoipa::path(get, path = "/v1/flows/{name}", tag = "flows", params(("name" = String, Path)), responses((status = 200, body = FlowView), (status = "4XX", body = Problem)))]
async fn show_flow(State(app): State<Arc<App>>, caller: Viewer, Path(name): Path<String>) -> Result<Response, Problem> {
    let name = parse_name(&name)?;
    let deployed = app.flows.find(&caller.workspace, &name).ok_or_else(|| missing(&name))?;
    Ok(answer(StatusCode::OK, view(&app, &caller.workspace, &deployed, Vec::new())))
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
    Ok(answer(status, view(&app, &caller.workspace, &deployment.deployed, deployment.warnings)))
}

/// Lets the flow's URLs work again.
#[utoipa::path(post, path = "/v1/flows/{name}/enable", tag = "flows", params(("name" = String, Path)), responses((status = 200, body = FlowView), (status = "4XX", body = Problem)))]
async fn enable_flow(
    State(app): State<Arc<App>>,
    caller: Author,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    let deployed = app.flows.set_enabled(&caller.workspace, &parse_name(&name)?, true).await?;
    Ok(answer(StatusCode::OK, view(&app, &caller.workspace, &deployed, Vec::new())))
}

/// Lets the flow's URLs answer 404. Executions go on.
#[utoipa::path(post, path = "/v1/flows/{name}/disable", tag = "flows", params(("name" = String, Path)), responses((status = 200, body = FlowView), (status = "4XX", body = Problem)))]
async fn disable_flow(
    State(app): State<Arc<App>>,
    caller: Author,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    let deployed = app.flows.set_enabled(&caller.workspace, &parse_name(&name)?, false).await?;
    Ok(answer(StatusCode::OK, view(&app, &caller.workspace, &deployed, Vec::new())))
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

/// Gives a callback of a trigger another signature; its URLs carry it from then on. Those before it count until dropped.
#[utoipa::path(post, path = "/v1/flows/{name}/triggers/{trigger}/callbacks/{callback}/signatures", tag = "flows", params(("name" = String, Path), ("trigger" = String, Path), ("callback" = String, Path)), responses((status = 200, body = FlowView), (status = "4XX", body = Problem)))]
async fn add_signature(
    State(app): State<Arc<App>>,
    caller: Author,
    Path((name, trigger, callback)): Path<(String, String, String)>,
) -> Result<Response, Problem> {
    let (name, trigger, callback) = (parse_name(&name)?, parse_name(&trigger)?, parse_name(&callback)?);
    let deployed = app.flows.add_signature(&caller.workspace, &name, &trigger, &callback).await?;
    Ok(answer(StatusCode::OK, view(&app, &caller.workspace, &deployed, Vec::new())))
}

/// Drops a signature: URLs that carry it are unknown from then on.
#[utoipa::path(delete, path = "/v1/flows/{name}/triggers/{trigger}/callbacks/{callback}/signatures/{signature}", tag = "flows", params(("name" = String, Path), ("trigger" = String, Path), ("callback" = String, Path), ("signature" = String, Path)), responses((status = 200, body = FlowView), (status = "4XX", body = Problem)))]
async fn drop_signature(
    State(app): State<Arc<App>>,
    caller: Author,
    Path((name, trigger, callback, signature)): Path<(String, String, String, String)>,
) -> Result<Response, Problem> {
    let (name, trigger, callback) = (parse_name(&name)?, parse_name(&trigger)?, parse_name(&callback)?);
    let deployed = app.flows.drop_signature(&caller.workspace, &name, &trigger, &callback, &signature).await?;
    Ok(answer(StatusCode::OK, view(&app, &caller.workspace, &deployed, Vec::new())))
}

fn missing(name: &Name) -> Problem {
    Problem::not_found(format!("there is no flow {name}"))
}

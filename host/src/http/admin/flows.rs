//! Flows: deploy, look, enable, disable, remove.

use super::auth::{Author, Viewer};
use super::extract::{Json, Path, Query, Text};
use super::{List, PageQuery, answer, parse_name, wrong_cursor};
use crate::app::App;
use crate::catalogue::flows::{Deployed, Deployment, FlowError, How, Version, signature_id};
use crate::http::error::Problem;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use ringback_records::flow::{FlowRecord, Ids};
use ringback_records::name::Name;
use ringback_records::time::Timestamp;
use ringback_rules::face::{self, Face, Target};
use ringback_rules::flow::{CallbackSpec, Flow, Trigger};
use ringback_store::StoreError;
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
        .routes(routes!(list_versions))
        .routes(routes!(show_version))
        .routes(routes!(compare_versions))
        .routes(routes!(activate_version))
        .routes(routes!(add_signature))
        .routes(routes!(drop_signature))
}

/// A deployed flow.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(in crate::http) struct FlowView {
    pub(in crate::http) name: String,
    /// Grows by one with every change.
    pub(in crate::http) version: u32,
    pub(in crate::http) enabled: bool,
    #[schema(value_type = String, format = DateTime)]
    pub(in crate::http) updated_at: Timestamp,
    pub(in crate::http) triggers: Vec<TriggerView>,
    /// What is missing but may come later.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(in crate::http) warnings: Vec<String>,
    /// What is easily overlooked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(in crate::http) notes: Vec<String>,
}

/// A version of a flow that is kept.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct FlowVersionView {
    version: u32,
    /// Whether it is the deployed one.
    active: bool,
    /// Absent for versions of before this was kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    deployed_at: Option<Timestamp>,
    size_bytes: usize,
    /// The file, where one version is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
}

/// What changed from one version to another.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct DifferenceView {
    from: u32,
    to: u32,
    /// Line by line: `-` before what is gone, `+` before what is new; empty when nothing changed.
    diff: String,
}

/// What to compare with.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct CompareQuery {
    /// The deployed version when absent.
    to: Option<u32>,
}

/// The version to take the flow back to.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct ActivateVersionBody {
    version: u32,
}

/// A trigger with its URLs.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(in crate::http) struct TriggerView {
    pub(in crate::http) id: String,
    pub(in crate::http) name: String,
    /// The first of its faces, whose ways it has where it does not say otherwise.
    pub(in crate::http) face: &'static str,
    pub(in crate::http) methods: Vec<String>,
    /// By environment, then by face.
    pub(in crate::http) urls: BTreeMap<String, BTreeMap<String, String>>,
    /// At faces that have them, each with URLs of its own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(in crate::http) callbacks: Vec<CallbackView>,
}

/// One of a trigger's callbacks.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(in crate::http) struct CallbackView {
    pub(in crate::http) name: String,
    pub(in crate::http) content_type: String,
    /// What names its signatures, the newest first; its URLs carry the newest.
    pub(in crate::http) signatures: Vec<String>,
    /// By environment.
    pub(in crate::http) urls: BTreeMap<String, String>,
}

/// How to deploy.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ApplyQuery {
    /// Check everything, keep nothing.
    #[serde(default)]
    dry_run: bool,
    /// Deploy as a draft: the URLs are made, and none answers until the flow is enabled. Disables a flow that was enabled.
    #[serde(default)]
    disabled: bool,
}

fn deployment_view(app: &App, workspace: &Name, deployment: Deployment) -> FlowView {
    let Deployment { deployed, warnings, mut notes, .. } = deployment;
    if deployed.flow.triggers.iter().any(|trigger| !deployed.record.ids.contains_key(&trigger.id)) {
        let note = "URLs that would be new are made when the flow is deployed; `ringback flow apply --disabled` shows them \
                    before anything answers";
        notes.push(note.to_owned());
    }
    FlowView { notes, ..view(app, workspace, &deployed, warnings) }
}

pub(in crate::http) fn view(app: &App, workspace: &Name, deployed: &Deployed, mut warnings: Vec<String>) -> FlowView {
    let Deployed { record, flow } = deployed;
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
    warnings.extend(unsigned(record, flow));
    let triggers = flow.triggers.iter();
    let triggers = triggers.map(|trigger| trigger_view(app, workspace, trigger, record.ids.get(&trigger.id), &known));
    let triggers = triggers.collect();
    FlowView {
        name: record.name.to_string(),
        version: record.version,
        enabled: record.enabled,
        updated_at: record.updated_at,
        triggers,
        warnings,
        notes: Vec::new(),
    }
}

/// The callbacks whose last signature was dropped.
fn unsigned(record: &FlowRecord, flow: &Flow) -> Vec<String> {
    let mut warnings = Vec::new();
    for Trigger { id, name, callbacks, .. } in &flow.triggers {
        for CallbackSpec { name: callback, .. } in callbacks {
            let ids = record.ids.get(id).and_then(|ids| ids.callbacks.get(callback));
            if ids.is_some_and(|ids| ids.signatures.is_empty()) {
                warnings.push(format!(
                    "the callback {callback} of the trigger `{name}` has no signature left, and no URL: make one with `ringback \
                     flow add-signature {} {id} --callback {callback}`",
                    record.name
                ));
            }
        }
    }
    warnings
}

fn trigger_view(
    app: &App,
    workspace: &Name,
    trigger: &Trigger,
    ids: Option<&Ids>,
    known: &BTreeMap<Name, Option<String>>,
) -> TriggerView {
    let mut urls = BTreeMap::<String, BTreeMap<String, String>>::new();
    let mut callbacks = Vec::new();
    let default = Name::default_name();
    let url = |face: &dyn Face, ids, callback, environment, prefix| {
        let path = face.path(&Target { workspace, ids, callback, environment, prefix })?;
        Some(format!("{}{path}", app.public_url))
    };
    for (face, ids) in ids.into_iter().flat_map(|ids| trigger.faces.iter().map(move |face| (face, ids))) {
        if !face.has_callbacks() {
            if let Some(url) = url(*face, ids, None, &default, None) {
                urls.entry("default".to_owned()).or_default().insert(face.name().to_owned(), url);
            }
            continue;
        }
        for spec in &trigger.callbacks {
            let Some(callback) = ids.callbacks.get(&spec.name) else { continue };
            let others = trigger.environments.iter();
            let prefixes = others.filter_map(|name| Some((name, known.get(name)?.as_deref())));
            let prefixes = prefixes.filter(|(_, prefix)| prefix.is_some());
            let all = [(&default, None)].into_iter().chain(prefixes);
            // None would answer that lacks a signature.
            let all = all.filter(|_| !callback.signatures.is_empty());
            let mut of_callback = BTreeMap::new();
            for (name, prefix) in all {
                of_callback.extend(url(*face, ids, Some(callback), name, prefix).map(|url| (name.to_string(), url)));
            }
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

/// Lists the flows by their names.
#[utoipa::path(get, path = "/v1/flows", tag = "flows", params(PageQuery), responses((status = 200, body = List<FlowView>), (status = "4XX", body = Problem)))]
async fn list_flows(
    State(app): State<Arc<App>>,
    caller: Viewer,
    Query(query): Query<PageQuery>,
) -> Result<Response, Problem> {
    let page = app.flows.page(&caller.workspace, query.after_name()?.as_ref(), query.limit()?);
    let view = |deployed: Arc<Deployed>| view(&app, &caller.workspace, &deployed, Vec::new());
    Ok(answer(StatusCode::OK, List::of_names(page, view)))
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
    put, path = "/v1/flows/{name}", tag = "flows",
    params(
        ("name" = String, Path),
        ApplyQuery,
        ("If-Match" = Option<String>, Header, description = "Deploy only in place of this version, such as `\"7\"`; `\"0\"` for none. Another one is 412 `version_changed`.")
    ),
    request_body(content = String, content_type = "application/yaml"),
    responses((status = 200, body = FlowView), (status = 201, body = FlowView), (status = "4XX", body = Problem))
)]
async fn apply_flow(
    State(app): State<Arc<App>>,
    caller: Author,
    Path(name): Path<String>,
    Query(query): Query<ApplyQuery>,
    headers: HeaderMap,
    Text(source): Text,
) -> Result<Response, Problem> {
    let name = parse_name(&name)?;
    let ApplyQuery { dry_run, disabled } = query;
    let how = How { dry_run, disabled, version: expected(&headers)? };
    let (of, workspace) = (Arc::clone(&app), caller.workspace.clone());
    let deploy = async move { of.flows.deploy(&workspace, &name, &source, how, &of.plugins, of.secrets.vault()).await };
    let deployment = giving_way(&app, &caller.workspace, deploy).await?;
    let status = if deployment.is_new && !dry_run { StatusCode::CREATED } else { StatusCode::OK };
    Ok(answer(status, deployment_view(&app, &caller.workspace, deployment)))
}

/// The version that a change is to replace.
fn expected(headers: &HeaderMap) -> Result<Option<u32>, Problem> {
    let Some(said) = headers.get(header::IF_MATCH) else { return Ok(None) };
    let said = said.to_str().unwrap_or_default();
    parse_version(said.trim_matches('"')).map(Some)
}

/// Lists the versions of a flow that are kept, oldest first: the last ones, and those that executions need.
#[utoipa::path(get, path = "/v1/flows/{name}/versions", tag = "flows", params(("name" = String, Path), PageQuery), responses((status = 200, body = List<FlowVersionView>), (status = "4XX", body = Problem)))]
async fn list_versions(
    State(app): State<Arc<App>>,
    caller: Viewer,
    Path(name): Path<String>,
    Query(query): Query<PageQuery>,
) -> Result<Response, Problem> {
    let limit = query.limit()?;
    let after = query.cursor.as_deref().map(|cursor| cursor.parse().map_err(|_| wrong_cursor())).transpose()?;
    let page = app.flows.versions(&caller.workspace, &parse_name(&name)?, after, limit).await?;
    let view = |version| FlowVersionView { source: None, ..version_view(version) };
    let next_cursor = page.next.map(|next| next.to_string());
    Ok(answer(StatusCode::OK, List { items: page.items.into_iter().map(view).collect(), next_cursor }))
}

/// Shows one version of a flow with its source.
#[utoipa::path(get, path = "/v1/flows/{name}/versions/{version}", tag = "flows", params(("name" = String, Path), ("version" = u32, Path)), responses((status = 200, body = FlowVersionView), (status = "4XX", body = Problem)))]
async fn show_version(
    State(app): State<Arc<App>>,
    caller: Viewer,
    Path((name, version)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let version = app.flows.one_version(&caller.workspace, &parse_name(&name)?, parse_version(&version)?).await?;
    Ok(answer(StatusCode::OK, version_view(version)))
}

/// Shows what changed from one version of a flow to another.
#[utoipa::path(get, path = "/v1/flows/{name}/versions/{version}/diff", tag = "flows", params(("name" = String, Path), ("version" = u32, Path), CompareQuery), responses((status = 200, body = DifferenceView), (status = "4XX", body = Problem)))]
async fn compare_versions(
    State(app): State<Arc<App>>,
    caller: Viewer,
    Path((name, version)): Path<(String, String)>,
    Query(query): Query<CompareQuery>,
) -> Result<Response, Problem> {
    let from = parse_version(&version)?;
    let (of, workspace, name) = (Arc::clone(&app), caller.workspace.clone(), parse_name(&name)?);
    let compare = async move { of.flows.difference(&workspace, &name, from, query.to).await };
    let (to, diff) = giving_way(&app, &caller.workspace, compare).await?;
    Ok(answer(StatusCode::OK, DifferenceView { from, to, diff }))
}

/// Takes a flow back to an earlier version: its source is deployed again, as the next version.
#[utoipa::path(put, path = "/v1/flows/{name}/active", tag = "flows", params(("name" = String, Path)), request_body = ActivateVersionBody, responses((status = 200, body = FlowView), (status = "4XX", body = Problem)))]
async fn activate_version(
    State(app): State<Arc<App>>,
    caller: Author,
    Path(name): Path<String>,
    Json(body): Json<ActivateVersionBody>,
) -> Result<Response, Problem> {
    let name = parse_name(&name)?;
    let (of, workspace) = (Arc::clone(&app), caller.workspace.clone());
    let activate =
        async move { of.flows.activate(&workspace, &name, body.version, &of.plugins, of.secrets.vault()).await };
    let deployment = giving_way(&app, &caller.workspace, activate).await?;
    Ok(answer(StatusCode::OK, deployment_view(&app, &caller.workspace, deployment)))
}

/// What reads whole files of flows computes for long: callbacks do not wait for it, and each workspace has its share.
pub(in crate::http) async fn giving_way<T: Send + 'static>(
    app: &App,
    workspace: &Name,
    work: impl Future<Output = Result<T, FlowError>> + Send + 'static,
) -> Result<T, Problem> {
    let done = app.pipeline.sandbox.compute(workspace, work).await;
    Ok(done.map_err(StoreError::Stopped)??)
}

fn version_view(version: Version) -> FlowVersionView {
    let Version { version, active, record } = version;
    let (size_bytes, deployed_at) = (record.source.len(), record.deployed_at);
    FlowVersionView { version, active, deployed_at, size_bytes, source: Some(record.source) }
}

fn parse_version(text: &str) -> Result<u32, Problem> {
    text.parse()
        .map_err(|_| Problem::bad_request("invalid_version", format!("`{text}` is not the number of a version")))
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

/// Drops a signature: URLs that carry it, or what an environment has in place of it, are unknown from then on.
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

pub(in crate::http) fn missing(name: &Name) -> Problem {
    Problem::not_found(format!("there is no flow {name}"))
}

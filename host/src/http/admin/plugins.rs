//! Plugins: upload, look, activate, remove.

use super::auth::{Author, Viewer};
use super::extract::{File, Json, Path, Query};
use super::{List, PageQuery, answer, parse_name};
use crate::app::App;
use crate::catalogue::removal::remove_plugin as remove_plugin_unless_needed;
use crate::http::error::Problem;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use ringback_records::name::Name;
use ringback_records::plugin::{Language, PluginRecord, Role, VersionRecord};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The largest upload that is read at all: one more byte than any plugin may have.
pub(in crate::http) const UPLOAD_BYTES_MAX: usize = (64 << 20) + 1;

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    let uploads = OpenApiRouter::new().routes(routes!(upload_plugin)).routes(routes!(check_plugin));
    OpenApiRouter::new()
        .routes(routes!(list_plugins))
        .routes(routes!(show_plugin, remove_plugin))
        .routes(routes!(activate_plugin))
        .routes(routes!(show_schemas))
        .merge(uploads.layer(DefaultBodyLimit::max(UPLOAD_BYTES_MAX)))
}

/// A plugin with its versions.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct PluginView {
    name: String,
    /// The version that is called.
    active: u32,
    /// The roles of the active version.
    roles: Vec<Role>,
    /// What the active version is written in, where its source is what is kept; absent for a component.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    language: Option<Language>,
    /// Oldest first.
    versions: Vec<VersionRecord>,
}

/// A version, as an upload answers it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct UploadView {
    name: String,
    /// Whether it is the version that is called.
    active: bool,
    #[serde(flatten)]
    version: VersionRecord,
}

/// What to do with an upload.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct UploadQuery {
    /// Call this version from now on; true when absent.
    activate: Option<bool>,
}

/// The version to call.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct ActivateBody {
    version: u32,
}

fn view(record: PluginRecord) -> PluginView {
    let active = record.versions.iter().find(|version| version.version == record.active);
    PluginView {
        name: record.name.to_string(),
        active: record.active,
        roles: active.map(|version| version.roles.clone()).unwrap_or_default(),
        language: active.and_then(|version| version.language),
        versions: record.versions,
    }
}

/// Lists the plugins by their names.
#[utoipa::path(get, path = "/v1/plugins", tag = "plugins", params(PageQuery), responses((status = 200, body = List<PluginView>), (status = "4XX", body = Problem)))]
async fn list_plugins(
    State(app): State<Arc<App>>,
    caller: Viewer,
    Query(query): Query<PageQuery>,
) -> Result<Response, Problem> {
    let page = app.plugins.page(&caller.workspace, query.after_name()?.as_ref(), query.limit()?);
    Ok(answer(StatusCode::OK, List::of_names(page, view)))
}

/// Shows one plugin.
#[utoipa::path(get, path = "/v1/plugins/{name}", tag = "plugins", params(("name" = String, Path)), responses((status = 200, body = PluginView), (status = "4XX", body = Problem)))]
async fn show_plugin(
    State(app): State<Arc<App>>,
    caller: Viewer,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    let name = parse_name(&name)?;
    let record = app.plugins.find(&caller.workspace, &name).ok_or_else(|| missing(&name))?;
    Ok(answer(StatusCode::OK, view(record)))
}

/// Shows the JSON Schemas of the configurations that its roles take, of those that have one.
#[utoipa::path(get, path = "/v1/plugins/{name}/schemas", tag = "plugins", params(("name" = String, Path)), responses((status = 200, body = BTreeMap<String, Value>), (status = "4XX", body = Problem)))]
async fn show_schemas(
    State(app): State<Arc<App>>,
    caller: Viewer,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    Ok(answer(StatusCode::OK, app.plugins.schemas(&caller.workspace, &parse_name(&name)?).await?))
}

/// The content types of a source in JavaScript; everything else is a component.
fn language(headers: &HeaderMap) -> Option<Language> {
    let kind = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    ["text/javascript", "application/javascript"].contains(&&*kind).then_some(Language::Js)
}

/// Uploads a component, a core module that carries its component type, or with the content type `text/javascript` a source in
/// JavaScript, as the next version. A file that is refused leaves nothing behind; the file of an earlier version is that version.
#[utoipa::path(
    post, path = "/v1/plugins/{name}/versions", tag = "plugins", params(("name" = String, Path), UploadQuery),
    request_body(content((Vec<u8> = "application/wasm"), (String = "text/javascript"))),
    responses((status = 200, body = UploadView), (status = 201, body = UploadView), (status = "4XX", body = Problem))
)]
async fn upload_plugin(
    State(app): State<Arc<App>>,
    caller: Author,
    Path(name): Path<String>,
    Query(query): Query<UploadQuery>,
    headers: HeaderMap,
    File(bytes): File,
) -> Result<Response, Problem> {
    let name = parse_name(&name)?;
    let activate = query.activate.unwrap_or(true);
    let (version, is_new) = app.plugins.upload(&caller.workspace, &name, bytes, language(&headers), activate).await?;
    let active = app.plugins.find(&caller.workspace, &name).is_some_and(|record| record.active == version.version);
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok(answer(status, UploadView { name: name.to_string(), active, version }))
}

/// Checks a file as an upload would, and keeps nothing.
#[utoipa::path(
    post, path = "/v1/plugins/check", tag = "plugins",
    request_body(content((Vec<u8> = "application/wasm"), (String = "text/javascript"))),
    responses((status = 200, body = VersionRecord), (status = "4XX", body = Problem))
)]
async fn check_plugin(
    State(app): State<Arc<App>>,
    caller: Author,
    headers: HeaderMap,
    File(bytes): File,
) -> Result<Response, Problem> {
    Ok(answer(StatusCode::OK, app.plugins.check_file(&caller.workspace, bytes, language(&headers)).await?))
}

/// Calls another version from now on: forward or back.
#[utoipa::path(put, path = "/v1/plugins/{name}/active", tag = "plugins", params(("name" = String, Path)), request_body = ActivateBody, responses((status = 200, body = PluginView), (status = "4XX", body = Problem)))]
async fn activate_plugin(
    State(app): State<Arc<App>>,
    caller: Author,
    Path(name): Path<String>,
    Json(body): Json<ActivateBody>,
) -> Result<Response, Problem> {
    let record = app.plugins.activate(&caller.workspace, &parse_name(&name)?, body.version).await?;
    Ok(answer(StatusCode::OK, view(record)))
}

/// Removes a plugin with all its versions and its state. One that a flow, an execution that has not ended or a ticket needs stays.
#[utoipa::path(delete, path = "/v1/plugins/{name}", tag = "plugins", params(("name" = String, Path)), responses((status = 204), (status = "4XX", body = Problem)))]
async fn remove_plugin(
    State(app): State<Arc<App>>,
    caller: Author,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    let name = parse_name(&name)?;
    match remove_plugin_unless_needed(&caller.workspace, &name, &app.plugins, &app.flows, &app.tickets).await? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(missing(&name)),
    }
}

pub(in crate::http) fn missing(name: &Name) -> Problem {
    Problem::not_found(format!("there is no plugin {name}"))
}

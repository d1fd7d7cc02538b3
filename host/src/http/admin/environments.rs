//! Environments, and the variables of each.

use super::auth::{Author, Viewer};
use super::extract::{Json, Path, Query};
use super::{List, answer, parse_name};
use crate::app::App;
use crate::catalogue::environments::EnvironmentError;
use crate::catalogue::removal;
use crate::http::error::Problem;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use ringback_records::name::Name;
use ringback_records::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(list_environments))
        .routes(routes!(put_environment, remove_environment))
        .routes(routes!(list_vars))
        .routes(routes!(set_var, remove_var))
}

/// Which environment is meant.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct EnvironmentQuery {
    /// The name of an environment; `default` when absent.
    environment: Option<String>,
}

impl EnvironmentQuery {
    /// The environment, which must exist.
    pub(super) fn name(&self, app: &App, workspace: &Name) -> Result<Name, Problem> {
        let name = self.environment.as_deref().map_or_else(|| Ok(Name::default_name()), parse_name)?;
        app.environments.expect(workspace, &name)?;
        Ok(name)
    }
}

/// An environment.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct EnvironmentView {
    name: String,
    /// What names it in URLs that have a place for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    url_prefix: Option<String>,
    /// URLs that end because of the change.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

/// An environment to be.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct EnvironmentBody {
    /// What names it in URLs: 1 to 32 letters, digits, `_` and `-`.
    #[schema(pattern = "^[A-Za-z0-9_-]{1,32}$")]
    url_prefix: Option<String>,
}

/// A variable.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct VarView {
    name: String,
    value: Value,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

/// The value of a variable.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct VarBody {
    /// Any JSON, at most 64 KiB.
    value: Value,
}

/// Lists the environments.
#[utoipa::path(get, path = "/v1/environments", tag = "environments", responses((status = 200, body = List<EnvironmentView>), (status = "4XX", body = Problem)))]
async fn list_environments(State(app): State<Arc<App>>, caller: Viewer) -> Response {
    let list = app.environments.list(&caller.workspace).into_iter();
    let views = list.map(|(name, record)| EnvironmentView {
        name: name.to_string(),
        url_prefix: record.url_prefix,
        warnings: Vec::new(),
    });
    answer(StatusCode::OK, List::whole(views.collect()))
}

/// Makes an environment, or changes its prefix.
#[utoipa::path(put, path = "/v1/environments/{name}", tag = "environments", params(("name" = String, Path)), request_body = EnvironmentBody, responses((status = 200, body = EnvironmentView), (status = 201, body = EnvironmentView), (status = "4XX", body = Problem)))]
async fn put_environment(
    State(app): State<Arc<App>>,
    caller: Author,
    Path(name): Path<String>,
    Json(body): Json<EnvironmentBody>,
) -> Result<Response, Problem> {
    let (workspace, url_prefix, name) = (&caller.workspace, body.url_prefix, parse_name(&name)?);
    let before = app.environments.list(workspace).into_iter().find(|(known, _)| *known == name);
    let is_new = app.environments.put(workspace, &name, url_prefix.clone()).await?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    let ended = before.and_then(|(_, record)| record.url_prefix).filter(|before| Some(before) != url_prefix.as_ref());
    let warnings = ended.map(|prefix| ended_urls(&app, workspace, &name, &prefix)).unwrap_or_default();
    Ok(answer(status, EnvironmentView { name: name.to_string(), url_prefix, warnings }))
}

/// What callers have to know of URLs that end with the prefix of an environment.
fn ended_urls(app: &App, workspace: &Name, environment: &Name, prefix: &str) -> Vec<String> {
    let flows = app.flows.list(workspace);
    let triggers =
        flows.iter().flat_map(|deployed| deployed.flow.triggers.iter().map(move |trigger| (deployed, trigger)));
    let here = triggers.filter(|(_, trigger)| trigger.environments.contains(environment));
    let text = |trigger: &str, flow: &Name| {
        format!("the URL of the trigger `{trigger}` of the flow {flow} ends that has the prefix `{prefix}`")
    };
    here.map(|(deployed, trigger)| text(&trigger.name, &deployed.record.name)).collect()
}

/// Removes an environment with its variables and secrets. Refused while executions in it have not ended.
#[utoipa::path(delete, path = "/v1/environments/{name}", tag = "environments", params(("name" = String, Path)), responses((status = 204), (status = "4XX", body = Problem)))]
async fn remove_environment(
    State(app): State<Arc<App>>,
    caller: Author,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    let name = parse_name(&name)?;
    if removal::remove_environment(&caller.workspace, &name, &app.environments, &app.secrets).await? {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(EnvironmentError::Missing(name).into())
}

/// Lists the variables that an environment has itself.
#[utoipa::path(get, path = "/v1/vars", tag = "environments", params(EnvironmentQuery), responses((status = 200, body = List<VarView>), (status = "4XX", body = Problem)))]
async fn list_vars(
    State(app): State<Arc<App>>,
    caller: Viewer,
    Query(query): Query<EnvironmentQuery>,
) -> Result<Response, Problem> {
    let environment = query.name(&app, &caller.workspace)?;
    let vars = app.environments.own_vars(&caller.workspace, &environment).into_iter();
    let views = vars.map(|(name, record)| VarView { name, value: record.value, updated_at: record.updated_at });
    Ok(answer(StatusCode::OK, List::whole(views.collect())))
}

/// Sets a variable; expressions see it as `vars.name` from then on.
#[utoipa::path(put, path = "/v1/vars/{name}", tag = "environments", params(("name" = String, Path), EnvironmentQuery), request_body = VarBody, responses((status = 204), (status = "4XX", body = Problem)))]
async fn set_var(
    State(app): State<Arc<App>>,
    caller: Author,
    Path(name): Path<String>,
    Query(query): Query<EnvironmentQuery>,
    Json(body): Json<VarBody>,
) -> Result<StatusCode, Problem> {
    let environment = query.name(&app, &caller.workspace)?;
    app.environments.set_var(&caller.workspace, &environment, &name, body.value).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Removes a variable.
#[utoipa::path(delete, path = "/v1/vars/{name}", tag = "environments", params(("name" = String, Path), EnvironmentQuery), responses((status = 204), (status = "4XX", body = Problem)))]
async fn remove_var(
    State(app): State<Arc<App>>,
    caller: Author,
    Path(name): Path<String>,
    Query(query): Query<EnvironmentQuery>,
) -> Result<StatusCode, Problem> {
    let environment = query.name(&app, &caller.workspace)?;
    if app.environments.remove_var(&caller.workspace, &environment, &name).await? {
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(Problem::not_found(format!("the environment {environment} has no variable {name}")))
}

impl From<EnvironmentError> for Problem {
    fn from(error: EnvironmentError) -> Self {
        match error {
            EnvironmentError::Missing(_) => Self::not_found(error.to_string()),
            EnvironmentError::Default => Self::new(StatusCode::CONFLICT, "environment_default", error.to_string()),
            EnvironmentError::Prefix(_) => Self::bad_request("invalid_prefix", error.to_string()),
            EnvironmentError::PrefixTaken { .. } => Self::new(StatusCode::CONFLICT, "prefix_taken", error.to_string()),
            EnvironmentError::Unended { .. } => {
                Self::new(StatusCode::CONFLICT, "executions_unended", error.to_string())
            }
            EnvironmentError::VarName(_) => Self::bad_request("invalid_name", error.to_string()),
            EnvironmentError::TooLarge(_) => Self::bad_request("value_too_large", error.to_string()),
            EnvironmentError::Store(error) => error.into(),
        }
    }
}

//! Executions: what ran, and how.

use super::auth::{Author, Viewer};
use super::extract::{Path, Query};
use super::{List, PageQuery, answer, filters};
use crate::app::App;
use crate::http::error::Problem;
use crate::runner::ChangeError;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use ringback_records::journal::{Entry, Status, StepError, Summary, Wait};
use ringback_records::name::{CallbackId, ExecutionId, Name};
use ringback_records::time::Timestamp;
use ringback_store::ExecutionFilter;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(list_executions))
        .routes(routes!(show_execution))
        .routes(routes!(cancel_execution))
        .routes(routes!(retry_execution))
}

/// An execution.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct ExecutionView {
    #[schema(value_type = String)]
    id: ExecutionId,
    flow: String,
    flow_version: u32,
    environment: String,
    /// Its environment was removed; another one may have the name by now.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    environment_gone: bool,
    status: Status,
    /// The callback that started it.
    #[schema(value_type = String)]
    callback: CallbackId,
    #[schema(value_type = String, format = DateTime)]
    started_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    ended_at: Option<Timestamp>,
    /// The id of the trigger that it waits at; the first of several.
    waiting_at: Option<String>,
    /// What it waits for: a callback of a trigger, or a time; the first of `waits`.
    wait: Option<Wait>,
    /// Everything that it waits for.
    waits: Vec<Wait>,
    error: Option<StepError>,
    /// What happened, in order; only when one execution is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<Object>>)]
    journal: Option<Vec<Entry>>,
}

/// Which executions are wanted.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct Filter {
    /// Only this flow's.
    pub(in crate::http) flow: Option<String>,
    /// Only with one of these statuses, separated by commas, or the parameter more than once.
    #[param(value_type = Option<Vec<String>>)]
    pub(in crate::http) status: Option<String>,
    /// Only those that wait at this trigger, by its id.
    pub(in crate::http) trigger: Option<String>,
    /// Only the one that this callback started, by its id.
    pub(in crate::http) callback: Option<String>,
    /// Only those in this environment.
    pub(in crate::http) environment: Option<String>,
    /// Only those that began at this time or later: RFC 3339, or how long ago: `15m`, `24h`, `30d`.
    pub(in crate::http) since: Option<String>,
    /// Only those that began before this time.
    pub(in crate::http) until: Option<String>,
    /// Only where this text is in the code or the message of the error; case does not count.
    pub(in crate::http) reason: Option<String>,
    /// Most items, 1 to 200; 50 when absent.
    #[param(value_type = Option<usize>)]
    pub(in crate::http) limit: Option<String>,
    /// The `next_cursor` of the page before.
    pub(in crate::http) cursor: Option<String>,
}

fn view(app: &App, workspace: &Name, summary: Summary, journal: Option<Vec<Entry>>) -> ExecutionView {
    ExecutionView {
        environment_gone: !app.environments.has(workspace, &summary),
        id: summary.id,
        flow: summary.flow.to_string(),
        flow_version: summary.flow_version,
        environment: summary.environment.to_string(),
        status: summary.status,
        callback: summary.callback,
        started_at: summary.started_at,
        ended_at: summary.ended_at,
        waiting_at: summary.waits.iter().find_map(|wait| wait.trigger.as_ref()).map(ToString::to_string),
        wait: summary.waits.first().cloned(),
        waits: summary.waits,
        error: summary.error,
        journal,
    }
}

/// Lists executions without their journals, newest first. A page may have fewer items than there are; while it has a `next_cursor`, there
/// may be others.
#[utoipa::path(get, path = "/v1/executions", tag = "executions", params(Filter), responses((status = 200, body = List<ExecutionView>), (status = "4XX", body = Problem)))]
async fn list_executions(
    State(app): State<Arc<App>>,
    caller: Viewer,
    Query(filter): Query<Filter>,
) -> Result<Response, Problem> {
    let page = page(&app, &caller.workspace, filter).await?;
    Ok(answer(StatusCode::OK, List::page(page, |summary| view(&app, &caller.workspace, summary, None))))
}

pub(in crate::http) async fn page(
    app: &App,
    workspace: &Name,
    filter: Filter,
) -> Result<ringback_store::Page<Summary>, Problem> {
    let page = PageQuery { limit: filter.limit, cursor: filter.cursor };
    let wanted = ExecutionFilter {
        flow: filters::name(filter.flow.as_deref())?,
        versions: BTreeSet::new(),
        trigger: filters::trigger(filter.trigger.as_deref())?,
        callback: filters::id("callback", filter.callback.as_deref())?,
        environment: filters::name(filter.environment.as_deref())?,
        statuses: filters::statuses(filter.status.as_deref())?,
        time: filters::time(filter.since.as_deref(), filter.until.as_deref())?,
        reason: filters::text("reason", filter.reason.as_deref())?,
    };
    Ok(app.store.executions(workspace, page.before()?, page.limit()?, &wanted).await?)
}

/// Shows one execution with its journal.
#[utoipa::path(get, path = "/v1/executions/{id}", tag = "executions", params(("id" = String, Path)), responses((status = 200, body = ExecutionView), (status = "4XX", body = Problem)))]
async fn show_execution(
    State(app): State<Arc<App>>,
    caller: Viewer,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let (summary, journal) = find(&app, &caller.workspace, &id).await?;
    Ok(answer(StatusCode::OK, view(&app, &caller.workspace, summary, Some(journal))))
}

pub(in crate::http) async fn find(app: &App, workspace: &Name, id: &str) -> Result<(Summary, Vec<Entry>), Problem> {
    let id = parse(id)?;
    app.store.execution(workspace, id).await?.ok_or_else(|| missing(id))
}

/// Ends an execution that has not ended. A step that is under way is not broken off, but its result no longer counts.
#[utoipa::path(post, path = "/v1/executions/{id}/cancel", tag = "executions", params(("id" = String, Path)), responses((status = 200, body = ExecutionView), (status = "4XX", body = Problem)))]
async fn cancel_execution(
    State(app): State<Arc<App>>,
    caller: Author,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let summary = cancel(&app, &caller.workspace, &id).await?;
    Ok(answer(StatusCode::OK, view(&app, &caller.workspace, summary, None)))
}

pub(in crate::http) async fn cancel(app: &App, workspace: &Name, id: &str) -> Result<Summary, Problem> {
    app.pipeline.runner.cancel(workspace, parse(id)?).await.map_err(|error| {
        refused(error, |status| {
            let hint = if can_be_retried(status) {
                "; it can be retried as long as its flow and its environment are there"
            } else {
                ""
            };
            format!("the execution has ended: it is {}, and there is nothing to cancel{hint}", status.as_str())
        })
    })
}

/// Lets an execution that failed or timed out try its last step again.
#[utoipa::path(post, path = "/v1/executions/{id}/retry", tag = "executions", params(("id" = String, Path)), responses((status = 200, body = ExecutionView), (status = "4XX", body = Problem)))]
async fn retry_execution(
    State(app): State<Arc<App>>,
    caller: Author,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let summary = retry(&app, &caller.workspace, &id).await?;
    Ok(answer(StatusCode::OK, view(&app, &caller.workspace, summary, None)))
}

pub(in crate::http) async fn retry(app: &App, workspace: &Name, id: &str) -> Result<Summary, Problem> {
    app.pipeline.runner.retry(workspace, parse(id)?).await.map_err(|error| {
        refused(error, |status| {
            let hint = match status.is_ended() {
                true => "to start another one, replay its callback",
                false => "this one has not ended, and can be cancelled",
            };
            format!("the execution is {}: only one that failed or timed out can be retried; {hint}", status.as_str())
        })
    })
}

fn parse(id: &str) -> Result<ExecutionId, Problem> {
    id.parse().map_err(|_| missing(id))
}

fn missing(id: impl std::fmt::Display) -> Problem {
    Problem::not_found(format!("there is no execution {id}; `ringback execution list` lists those that are kept"))
}

fn can_be_retried(status: Status) -> bool {
    matches!(status, Status::Failed | Status::TimedOut)
}

/// Why a change was refused, where the state of the execution is the reason in words for that change.
fn refused(error: ChangeError, of_status: impl Fn(Status) -> String) -> Problem {
    match error {
        ChangeError::WrongStatus(status) => Problem::new(StatusCode::CONFLICT, "wrong_status", of_status(status)),
        error => error.into(),
    }
}

impl From<ChangeError> for Problem {
    fn from(error: ChangeError) -> Self {
        match error {
            ChangeError::Missing(id) => missing(id),
            ChangeError::WrongStatus(_) => Self::new(StatusCode::CONFLICT, "wrong_status", error.to_string()),
            ChangeError::FlowGone(_) => Self::new(StatusCode::CONFLICT, "flow_gone", error.to_string()),
            ChangeError::EnvironmentGone(_) => Self::new(StatusCode::CONFLICT, "environment_gone", error.to_string()),
            ChangeError::Store(error) => error.into(),
        }
    }
}

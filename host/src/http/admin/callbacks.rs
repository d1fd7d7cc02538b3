//! Callbacks: what arrived, what became of it, and why.

use super::auth::{Author, Viewer};
use super::extract::{Path, Query};
use super::{List, PageQuery, answer, filters};
use crate::app::App;
use crate::http::error::Problem;
use crate::pipeline::{Replay, ReplayError};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use ringback_records::name::{CallbackId, ExecutionId};
use ringback_records::outcome::Outcome;
use ringback_records::reply::ReplyRecord;
use ringback_records::summary::CallbackSummary;
use ringback_records::trace::TraceEntry;
use ringback_store::CallbackFilter;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list_callbacks)).routes(routes!(show_callback)).routes(routes!(replay_callback))
}

/// A callback as it is listed.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct CallbackItem {
    #[serde(flatten)]
    callback: CallbackSummary,
    /// Its environment was removed; another one may have the name by now.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    environment_gone: bool,
}

/// Which callbacks are wanted.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// Only this flow's.
    flow: Option<String>,
    /// Only this trigger's, by its id.
    trigger: Option<String>,
    /// Only this ticket's, by its id.
    ticket: Option<String>,
    /// Only those that started or resumed this execution, or are about it, by its id.
    execution: Option<String>,
    /// Only those of this environment.
    environment: Option<String>,
    /// Only with one of these outcomes, separated by commas, or the parameter more than once.
    #[param(value_type = Option<Vec<String>>)]
    outcome: Option<String>,
    /// Only those that came at this time or later: RFC 3339, or how long ago: `15m`, `24h`, `30d`.
    since: Option<String>,
    /// Only those that came before this time.
    until: Option<String>,
    /// Only where this text is in the stage that decided or in its reason; case does not count.
    reason: Option<String>,
    /// Only where this text is in the path, the query, the headers or the body, as they are kept; case does not count.
    text: Option<String>,
    /// Most items, 1 to 200; 50 when absent.
    #[param(value_type = Option<usize>)]
    limit: Option<String>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Lists callbacks as summaries, newest first. A page may have fewer items than there are; while it has a `next_cursor`, there may be
/// others.
#[utoipa::path(get, path = "/v1/callbacks", tag = "callbacks", params(Filter), responses((status = 200, body = List<CallbackItem>), (status = "4XX", body = Problem)))]
async fn list_callbacks(
    State(app): State<Arc<App>>,
    caller: Viewer,
    Query(filter): Query<Filter>,
) -> Result<Response, Problem> {
    let page = PageQuery { limit: filter.limit, cursor: filter.cursor };
    let (before, limit) = (page.before()?, page.limit()?);
    let wanted = CallbackFilter {
        flow: filters::name(filter.flow.as_deref())?,
        trigger: filters::trigger(filter.trigger.as_deref())?,
        ticket: filters::id("ticket", filter.ticket.as_deref())?,
        execution: filters::id("execution", filter.execution.as_deref())?,
        environment: filters::name(filter.environment.as_deref())?,
        outcomes: filters::outcomes(filter.outcome.as_deref())?,
        time: filters::time(filter.since.as_deref(), filter.until.as_deref())?,
        reason: filters::text("reason", filter.reason.as_deref())?,
        text: filters::text("text", filter.text.as_deref())?,
    };
    let page = app.store.callbacks(&caller.workspace, before, limit, &wanted).await?;
    let items = List::page(page, |callback| {
        let environment_gone = !app.environments.has_callback(&caller.workspace, &callback);
        CallbackItem { callback, environment_gone }
    });
    Ok(answer(StatusCode::OK, items))
}

/// Shows one callback with the trace of its stages.
///
/// Of each call of a plugin it has the time, `duration_us`; what of it the processor was used, `cpu_us`; the largest size of
/// its memory; what it logged; and, when it failed, the code.
#[utoipa::path(get, path = "/v1/callbacks/{id}", tag = "callbacks", params(("id" = String, Path)), responses((status = 200, body = Object), (status = "4XX", body = Problem)))]
async fn show_callback(
    State(app): State<Arc<App>>,
    caller: Viewer,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let missing = || Problem::not_found(format!("there is no callback {id}"));
    let id: CallbackId = id.parse().map_err(|_| missing())?;
    let record = app.store.callback(&caller.workspace, id).await?.ok_or_else(missing)?;
    Ok(answer(StatusCode::OK, record))
}

/// Whether it is only tried.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ReplayQuery {
    /// Say what would happen, and change nothing.
    #[serde(default)]
    dry_run: bool,
}

/// What sending a callback again did, or would do.
#[derive(Debug, Serialize, utoipa::ToSchema)]
struct ReplayView {
    /// The id of the new callback.
    #[schema(value_type = String)]
    callback: CallbackId,
    #[schema(value_type = String)]
    replay_of: CallbackId,
    dry_run: bool,
    #[schema(value_type = String)]
    outcome: Outcome,
    #[schema(value_type = Option<String>)]
    execution: Option<ExecutionId>,
    #[schema(value_type = Object)]
    reply: ReplyRecord,
    /// As a callback has it.
    #[schema(value_type = Vec<Object>)]
    trace: Vec<TraceEntry>,
}

/// Takes a recorded callback through the stages again, as a new one. It is not verified again: it was, when it came.
#[utoipa::path(post, path = "/v1/callbacks/{id}/replay", tag = "callbacks", params(("id" = String, Path), ReplayQuery), responses((status = 200, body = ReplayView), (status = "4XX", body = Problem)))]
async fn replay_callback(
    State(app): State<Arc<App>>,
    caller: Author,
    Path(id): Path<String>,
    Query(ReplayQuery { dry_run }): Query<ReplayQuery>,
) -> Result<Response, Problem> {
    let id: CallbackId = id.parse().map_err(|_| Problem::not_found(format!("there is no callback {id}")))?;
    let replay = app.pipeline.replay(&caller.workspace, id, dry_run).await?;
    let Replay { callback, replay_of, dry_run, outcome, execution, reply, trace } = replay;
    Ok(answer(StatusCode::OK, ReplayView { callback, replay_of, dry_run, outcome, execution, reply, trace }))
}

impl From<ReplayError> for Problem {
    fn from(error: ReplayError) -> Self {
        match error {
            ReplayError::Missing(_) => Self::not_found(error.to_string()),
            ReplayError::NotVerified => Self::new(StatusCode::CONFLICT, "not_verified", error.to_string()),
            ReplayError::NoFlow => Self::new(StatusCode::CONFLICT, "no_flow", error.to_string()),
            ReplayError::EnvironmentGone(_) => Self::new(StatusCode::CONFLICT, "environment_gone", error.to_string()),
            ReplayError::TriggerGone { .. } => Self::new(StatusCode::CONFLICT, "trigger_gone", error.to_string()),
            ReplayError::Store(error) => error.into(),
        }
    }
}

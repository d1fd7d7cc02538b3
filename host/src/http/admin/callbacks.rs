//! Callbacks: what arrived, what became of it, and why.

use super::auth::{Author, Viewer};
use super::extract::{Json, Path, Query};
use super::{List, PageQuery, answer, filters};
use crate::app::App;
use crate::http::error::Problem;
use crate::pipeline::{Again, Replay, ReplayError};
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ringback_records::name::{CallbackId, ExecutionId, Name};
use ringback_records::outcome::{CallbackRecord, Outcome};
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
pub(in crate::http) struct CallbackItem {
    #[serde(flatten)]
    pub(in crate::http) callback: CallbackSummary,
    /// Its environment was removed; another one may have the name by now.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(in crate::http) environment_gone: bool,
}

/// A callback with everything that is kept of it.
#[derive(Serialize)]
struct CallbackView {
    #[serde(flatten)]
    callback: CallbackRecord,
    /// As it is listed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    environment_gone: bool,
}

/// Which callbacks are wanted.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct Filter {
    /// Only this flow's.
    pub(in crate::http) flow: Option<String>,
    /// Only this trigger's, by its id.
    pub(in crate::http) trigger: Option<String>,
    /// Only this ticket's, by its id.
    pub(in crate::http) ticket: Option<String>,
    /// Only those that started or resumed this execution, or are about it, by its id.
    pub(in crate::http) execution: Option<String>,
    /// Only those of this environment.
    pub(in crate::http) environment: Option<String>,
    /// Only with one of these outcomes, separated by commas, or the parameter more than once.
    #[param(value_type = Option<Vec<String>>)]
    pub(in crate::http) outcome: Option<String>,
    /// Only those that came at this time or later: RFC 3339, or how long ago: `15m`, `24h`, `30d`.
    pub(in crate::http) since: Option<String>,
    /// Only those that came before this time.
    pub(in crate::http) until: Option<String>,
    /// Only where this text is in the stage that decided or in its reason; case does not count.
    pub(in crate::http) reason: Option<String>,
    /// Only where this text is in the path, the query, the headers or the body, as they are kept; case does not count.
    pub(in crate::http) text: Option<String>,
    /// Only where this text is in any of these, or in the id of the callback or of its execution; case does not count.
    pub(in crate::http) search: Option<String>,
    /// Most items, 1 to 200; 50 when absent.
    #[param(value_type = Option<usize>)]
    pub(in crate::http) limit: Option<String>,
    /// The `next_cursor` of the page before.
    pub(in crate::http) cursor: Option<String>,
}

impl Filter {
    /// What is wanted, whatever the page.
    pub(in crate::http) fn wanted(&self) -> Result<CallbackFilter, Problem> {
        Ok(CallbackFilter {
            flow: filters::name(self.flow.as_deref())?,
            trigger: filters::trigger(self.trigger.as_deref())?,
            ticket: filters::id("ticket", self.ticket.as_deref())?,
            execution: filters::id("execution", self.execution.as_deref())?,
            environment: filters::name(self.environment.as_deref())?,
            outcomes: filters::outcomes(self.outcome.as_deref())?,
            time: filters::time(self.since.as_deref(), self.until.as_deref())?,
            reason: filters::text("reason", self.reason.as_deref())?,
            text: filters::text("text", self.text.as_deref())?,
            anywhere: filters::text("search", self.search.as_deref())?,
        })
    }
}

/// Lists callbacks as summaries, newest first. A page may have fewer items than there are; while it has a `next_cursor`, there may be
/// others.
#[utoipa::path(get, path = "/v1/callbacks", tag = "callbacks", params(Filter), responses((status = 200, body = List<CallbackItem>), (status = "4XX", body = Problem)))]
async fn list_callbacks(
    State(app): State<Arc<App>>,
    caller: Viewer,
    Query(filter): Query<Filter>,
) -> Result<Response, Problem> {
    Ok(answer(StatusCode::OK, list(&app, &caller.workspace, filter).await?))
}

pub(in crate::http) async fn list(app: &App, workspace: &Name, filter: Filter) -> Result<List<CallbackItem>, Problem> {
    let wanted = filter.wanted()?;
    let page = PageQuery { limit: filter.limit, cursor: filter.cursor };
    let page = app.store.callbacks(workspace, page.before()?, page.limit()?, &wanted).await?;
    Ok(List::page(page, |callback| item(app, workspace, callback)))
}

pub(in crate::http) fn item(app: &App, workspace: &Name, callback: CallbackSummary) -> CallbackItem {
    let CallbackSummary { environment, environment_made_at, received_at, .. } = &callback;
    let environment_gone = !app.environments.is_of(workspace, environment, *environment_made_at, *received_at);
    CallbackItem { callback, environment_gone }
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
    let callback = find(&app, &caller.workspace, &id).await?;
    let CallbackRecord { environment, environment_made_at, received_at, .. } = &callback;
    let environment_gone = !app.environments.is_of(&caller.workspace, environment, *environment_made_at, *received_at);
    Ok(answer(StatusCode::OK, CallbackView { callback, environment_gone }))
}

pub(in crate::http) async fn find(app: &App, workspace: &Name, id: &str) -> Result<CallbackRecord, Problem> {
    let record = app.store.callback(workspace, parse(id)?).await?;
    record.ok_or_else(|| missing(id))
}

pub(in crate::http) fn parse(id: &str) -> Result<CallbackId, Problem> {
    id.parse().map_err(|_| missing(id))
}

fn missing(id: &str) -> Problem {
    Problem::not_found(format!("there is no callback {}", filters::shown(id)))
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

/// What a callback has in place of its body.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
struct ReplayBody {
    /// Another body, as text; the one that it came with when absent.
    body: Option<String>,
    /// The same in base64.
    body_base64: Option<String>,
}

impl ReplayBody {
    fn bytes(self, app: &App) -> Result<Option<Bytes>, Problem> {
        let wrong = |detail: String| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_body", detail);
        let Self { body, body_base64 } = self;
        let body = match (body, body_base64) {
            (Some(_), Some(_)) => return Err(wrong("give `body` or `body_base64`, not both".to_owned())),
            (body, None) => body.map(Bytes::from),
            (None, Some(text)) => {
                Some(STANDARD.decode(text).map_err(|_| wrong("`body_base64` is no base64".to_owned()))?.into())
            }
        };
        match body {
            Some(body) if body.len() > app.config.body_bytes_max => {
                let detail = format!("the body has more than {} bytes", app.config.body_bytes_max);
                Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "body_too_large", detail))
            }
            body => Ok(body),
        }
    }
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

/// Takes a recorded callback through the stages again, as a new one, with another body if one is given. It is not verified again: it
/// was, when it came.
#[utoipa::path(post, path = "/v1/callbacks/{id}/replay", tag = "callbacks", params(("id" = String, Path), ReplayQuery), request_body = Option<ReplayBody>, responses((status = 200, body = ReplayView), (status = "4XX", body = Problem)))]
async fn replay_callback(
    State(app): State<Arc<App>>,
    caller: Author,
    Path(id): Path<String>,
    Query(ReplayQuery { dry_run }): Query<ReplayQuery>,
    sent: Option<Json<Option<ReplayBody>>>,
) -> Result<Response, Problem> {
    let sent = sent.and_then(|Json(sent)| sent).unwrap_or_default();
    let again = Again { dry_run, body: sent.bytes(&app)? };
    let replay = app.pipeline.replay(&caller.workspace, parse(&id)?, again).await?;
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

//! Tickets: make, look, close.

use super::auth::{Author, Viewer};
use super::extract::{Json, Path, Query};
use super::{List, PageQuery, answer};
use crate::app::App;
use crate::catalogue::tickets::TicketError;
use crate::http::error::Problem;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use ringback_records::name::{CallbackId, ExecutionId, Name, TicketId};
use ringback_records::ticket::{TicketRecord, TicketRequest, TicketResponse, TicketStanding, TicketStatus};
use ringback_records::time::Timestamp;
use ringback_store::TicketFilter;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

pub(super) fn router() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list_tickets, create_ticket)).routes(routes!(show_ticket, close_ticket))
}

/// A ticket.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(in crate::http) struct TicketView {
    /// What names it in this API.
    #[schema(value_type = String)]
    pub(in crate::http) id: TicketId,
    /// What its URL has, to send it by itself.
    #[schema(value_type = String)]
    pub(in crate::http) state: Uuid,
    pub(in crate::http) url: String,
    /// `open`; `called`, while an execution decides whether a call was successful; `closed`; `expired`; `gone`, with its
    /// environment or its flow.
    pub(in crate::http) status: &'static str,
    pub(in crate::http) environment: String,
    /// What is done on a call.
    #[schema(value_type = Option<Object>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::http) handler: Option<Value>,
    pub(in crate::http) retryable: bool,
    pub(in crate::http) allow_multiple: bool,
    pub(in crate::http) confirm: bool,
    pub(in crate::http) response: TicketResponse,
    #[schema(value_type = String, format = DateTime)]
    pub(in crate::http) created_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(in crate::http) expires_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(in crate::http) closed_at: Option<Timestamp>,
    /// The call that used it up, or is under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub(in crate::http) callback: Option<CallbackId>,
    /// The execution that decides about the call.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub(in crate::http) execution: Option<ExecutionId>,
}

/// Which tickets are wanted.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct Filter {
    /// Only with this status: `open`, `called`, `closed`, `expired`, `gone`.
    pub(in crate::http) status: Option<String>,
    #[param(value_type = Option<usize>)]
    pub(in crate::http) limit: Option<String>,
    pub(in crate::http) cursor: Option<String>,
}

fn status(app: &App, workspace: &Name, ticket: &TicketRecord, now: Timestamp) -> &'static str {
    match ticket.standing(now) {
        TicketStanding::Closed => "closed",
        TicketStanding::Expired => "expired",
        TicketStanding::Called | TicketStanding::Open if app.tickets.is_gone(workspace, ticket) => "gone",
        TicketStanding::Called => "called",
        TicketStanding::Open => "open",
    }
}

pub(in crate::http) fn view(app: &App, workspace: &Name, ticket: TicketRecord) -> TicketView {
    let (url, status) = (app.tickets.url(&ticket), status(app, workspace, &ticket, Timestamp::now()));
    let (closed_at, callback, execution) = match ticket.status {
        TicketStatus::Open => (None, None, None),
        TicketStatus::Called { execution, callback } => (None, Some(callback), Some(execution)),
        TicketStatus::Closed { closed_at, callback } => (Some(closed_at), callback, None),
    };
    TicketView {
        id: ticket.id,
        state: ticket.state,
        url,
        status,
        environment: ticket.environment.to_string(),
        handler: ticket.handler.and_then(|handler| serde_json::to_value(handler).ok()),
        retryable: ticket.retryable,
        allow_multiple: ticket.allow_multiple,
        confirm: ticket.confirm,
        response: ticket.response,
        created_at: ticket.created_at,
        expires_at: ticket.expires_at,
        closed_at,
        callback,
        execution,
    }
}

/// Lists tickets, newest first.
#[utoipa::path(get, path = "/v1/tickets", tag = "tickets", params(Filter), responses((status = 200, body = List<TicketView>), (status = "4XX", body = Problem)))]
async fn list_tickets(
    State(app): State<Arc<App>>,
    caller: Viewer,
    Query(filter): Query<Filter>,
) -> Result<Response, Problem> {
    Ok(answer(StatusCode::OK, list(&app, &caller.workspace, filter).await?))
}

pub(in crate::http) async fn list(app: &App, workspace: &Name, filter: Filter) -> Result<List<TicketView>, Problem> {
    let Filter { status, limit, cursor } = filter;
    let page = PageQuery { limit, cursor };
    let (wanted, gone) = match status.as_deref() {
        None => (None, None),
        Some("open") => (Some(vec![TicketStanding::Open]), Some(false)),
        Some("called") => (Some(vec![TicketStanding::Called]), Some(false)),
        Some("gone") => (Some(vec![TicketStanding::Open, TicketStanding::Called]), Some(true)),
        Some("closed") => (Some(vec![TicketStanding::Closed]), None),
        Some("expired") => (Some(vec![TicketStanding::Expired]), None),
        Some(other) => {
            let detail = format!("`{other}` is not a status; allowed: open, called, closed, expired, gone");
            return Err(Problem::bad_request("invalid_status", detail));
        }
    };
    let now = Timestamp::now();
    let wanted = TicketFilter { standing: wanted.map(|standing| (now, standing)), plugin: None };
    let (before, limit) = (page.before()?, page.limit()?);
    let page = app.tickets.list(workspace, before, limit, &wanted, gone).await?;
    Ok(List::page(page, |ticket| view(app, workspace, ticket)))
}

/// Makes a ticket: a URL for one purpose.
#[utoipa::path(post, path = "/v1/tickets", tag = "tickets", request_body = TicketRequest, responses((status = 201, body = TicketView), (status = "4XX", body = Problem)))]
async fn create_ticket(
    State(app): State<Arc<App>>,
    caller: Author,
    Json(request): Json<TicketRequest>,
) -> Result<Response, Problem> {
    let ticket = app.tickets.create(&caller.workspace, request).await?;
    Ok(answer(StatusCode::CREATED, view(&app, &caller.workspace, ticket)))
}

/// Shows one ticket.
#[utoipa::path(get, path = "/v1/tickets/{id}", tag = "tickets", params(("id" = String, Path)), responses((status = 200, body = TicketView), (status = "4XX", body = Problem)))]
async fn show_ticket(State(app): State<Arc<App>>, caller: Viewer, Path(id): Path<String>) -> Result<Response, Problem> {
    let ticket = find(&app, &caller.workspace, &id).await?;
    Ok(answer(StatusCode::OK, view(&app, &caller.workspace, ticket)))
}

pub(in crate::http) async fn find(app: &App, workspace: &Name, id: &str) -> Result<TicketRecord, Problem> {
    let parsed: TicketId = id.parse().map_err(|_| missing(id))?;
    app.tickets.get(workspace, parsed).await?.ok_or_else(|| missing(id))
}

/// Closes a ticket: its URL answers 410 from then on.
#[utoipa::path(delete, path = "/v1/tickets/{id}", tag = "tickets", params(("id" = String, Path)), responses((status = 204), (status = "4XX", body = Problem)))]
async fn close_ticket(
    State(app): State<Arc<App>>,
    caller: Author,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let ticket: TicketId = id.parse().map_err(|_| missing(&id))?;
    if app.tickets.close(&caller.workspace, ticket).await? { Ok(StatusCode::NO_CONTENT) } else { Err(missing(&id)) }
}

pub(in crate::http) fn missing(id: &str) -> Problem {
    Problem::not_found(format!("there is no ticket {id}"))
}

impl From<TicketError> for Problem {
    fn from(error: TicketError) -> Self {
        match error {
            TicketError::Random => Self::internal(&error),
            TicketError::Store(error) => error.into(),
            TicketError::NotAsked(_) => Self::new(StatusCode::SERVICE_UNAVAILABLE, "plugin_busy", error.to_string()),
            error => Self::new(StatusCode::UNPROCESSABLE_ENTITY, "ticket_refused", error.to_string()),
        }
    }
}

//! Pages of tickets: the list, one of them, and the form of one that is to be made.

use super::pages::{self, Trouble, needs};
use super::session::{Session, value};
use super::triggers::headers;
use crate::app::App;
use crate::http::admin::extract::File;
use crate::http::admin::tickets::{Filter, TicketView, find, list as listed, missing, view};
use crate::http::error::Problem;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use ringback_console::{Fields, NewTicket, Place, Ticket, TicketItem, Tickets};
use ringback_records::name::{ExecutionId, Name, TicketId};
use ringback_records::ticket::{HandlerRequest, ResponseType, TicketRequest, TicketResponse};
use ringback_records::token::Access;
use serde_json::{Map, Value};
use std::sync::Arc;

const FIELDS: [&str; 17] = [
    "handler",
    "environment",
    "flow",
    "execution",
    "trigger",
    "plugin",
    "with",
    "uses",
    "expires_in",
    "state_parameter",
    "alternative_domain",
    "confirm",
    "type",
    "code",
    "redirect_url",
    "headers",
    "body",
];

pub(super) async fn list(
    State(app): State<Arc<App>>,
    session: Session,
    RawQuery(query): RawQuery,
) -> Result<Response, Trouble> {
    let query = query.unwrap_or_default();
    let field = |name| Some(value(query.as_bytes(), name)).filter(|value| !value.is_empty());
    let filter = Filter { status: field("status"), limit: None, cursor: field("cursor") };
    let (status, code, page, problem) = match listed(&app, &session.workspace, filter).await {
        Ok(page) => (field("status").unwrap_or_default(), StatusCode::OK, Some(page), None),
        Err(problem) if problem.status().is_client_error() => (String::new(), problem.status(), None, Some(problem)),
        Err(problem) => return Err(problem.into()),
    };
    let (tickets, next_cursor) = page.map(|page| (page.items, page.next_cursor)).unwrap_or_default();
    let page = Tickets {
        frame: pages::frame(&app, &session, Place::Tickets, "Tickets"),
        tickets: tickets.iter().map(item).collect(),
        status,
        problem: problem.map(|problem| problem.detail().to_owned()),
        next_cursor,
    };
    Ok((code, pages::html(&page)).into_response())
}

fn item(ticket: &TicketView) -> TicketItem {
    let text = |name: &str| ticket.handler.as_ref().and_then(|handler| handler.get(name)?.as_str());
    let does = match (text("execution"), text("flow"), text("plugin")) {
        (Some(_), flow, _) => {
            format!("resumes an execution of {} at {}", flow.unwrap_or_default(), text("trigger").unwrap_or_default())
        }
        (_, Some(flow), _) => format!("starts {flow}"),
        (_, _, Some(plugin)) => format!("asks {plugin}"),
        _ => "gets the stored answer".to_owned(),
    };
    TicketItem {
        id: ticket.id.to_string(),
        status: ticket.status,
        does,
        environment: ticket.environment.clone(),
        created_at: ticket.created_at,
        expires_at: ticket.expires_at,
    }
}

pub(super) async fn show(
    State(app): State<Arc<App>>,
    session: Session,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Trouble> {
    let ticket = view(&app, &session.workspace, find(&app, &session.workspace, &id).await?);
    let uses = match (ticket.allow_multiple, ticket.retryable) {
        (true, _) => "no call: it stays open",
        (false, true) => "a successful call",
        (false, false) => "one call",
    };
    let mut facts = vec![("Environment", ticket.environment.clone()), ("Used up by", uses.to_owned())];
    if ticket.confirm {
        facts.push(("A page", "asks for a click".to_owned()));
    }
    let text = |name: &str| ticket.handler.as_ref().and_then(|handler| handler.get(name)?.as_str().map(str::to_owned));
    let item = item(&ticket);
    let page = Ticket {
        frame: pages::frame(&app, &session, Place::Tickets, "Ticket"),
        is_open: matches!(item.status, "open" | "called"),
        url: ticket.url.clone(),
        state: ticket.state.to_string(),
        facts,
        callback: ticket.callback.map(|id| id.to_string()),
        execution: text("execution").or_else(|| ticket.execution.map(|id| id.to_string())),
        answer: serde_json::to_string_pretty(&ticket.response).unwrap_or_default(),
        is_new: query.as_deref() == Some("made=true"),
        item,
    };
    Ok(pages::html(&page))
}

/// A form, with what is known of the one that it is for.
pub(super) async fn new(
    State(app): State<Arc<App>>,
    session: Session,
    RawQuery(query): RawQuery,
) -> Result<Response, Trouble> {
    needs(&session, Access::Author)?;
    let query = query.unwrap_or_default();
    let fields = FIELDS.map(|name| (name, value(query.as_bytes(), name)));
    Ok(pages::html(&form(&app, &session, Fields::new(fields), None)))
}

fn form(app: &App, session: &Session, fields: Fields, problem: Option<String>) -> NewTicket {
    let workspace = &session.workspace;
    NewTicket {
        frame: pages::frame(app, session, Place::Tickets, "New ticket"),
        fields,
        flows: app.flows.list(workspace).iter().map(|flow| flow.record.name.to_string()).collect(),
        plugins: app.plugins.list(workspace).iter().map(|plugin| plugin.name.to_string()).collect(),
        environments: pages::environments(app, session),
        problem,
    }
}

pub(super) async fn create(
    State(app): State<Arc<App>>,
    session: Session,
    File(sent): File,
) -> Result<Response, Trouble> {
    needs(&session, Access::Author)?;
    let fields = FIELDS.map(|name| (name, value(&sent, name).replace("\r\n", "\n")));
    let fields = Fields::new(fields);
    let made = match request(&fields) {
        Ok(request) => app.tickets.create(&session.workspace, request).await.map_err(Problem::from),
        Err(problem) => Err(problem),
    };
    match made {
        Ok(ticket) => Ok(Redirect::to(&format!("/console/tickets/{}?made=true", ticket.id)).into_response()),
        Err(problem) => {
            let page = form(&app, &session, fields, Some(problem.detail().to_owned()));
            Ok((problem.status(), pages::html(&page)).into_response())
        }
    }
}

/// What a form asks for, as the API takes it.
fn request(fields: &Fields) -> Result<TicketRequest, Problem> {
    let wrong = |detail: String| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "ticket_refused", detail);
    let text = |name: &str| Some(fields.get(name).trim().to_owned()).filter(|text| !text.is_empty());
    let name = |field: &str| text(field).map(|text| text.parse::<Name>()).transpose().map_err(Problem::from);
    let no_json = |error| wrong(format!("the configuration of the plugin is no JSON: {error}"));
    let handler = match fields.get("handler") {
        "flow" => Some(HandlerRequest { flow: name("flow")?, ..HandlerRequest::default() }),
        "execution" => {
            let id: Option<ExecutionId> = text("execution").and_then(|id| id.parse().ok());
            let id = id.ok_or_else(|| wrong("give the id of the execution, as its page has it".to_owned()))?;
            Some(HandlerRequest { execution: Some(id), trigger: text("trigger"), ..HandlerRequest::default() })
        }
        "plugin" => {
            let with = text("with").map(|text| serde_json::from_str(&text)).transpose().map_err(no_json)?;
            Some(HandlerRequest { plugin: name("plugin")?, with, ..HandlerRequest::default() })
        }
        _ => None,
    };
    let code = text("code").map(|code| code.parse()).transpose();
    let code = code.map_err(|_| wrong("the status of the answer is a number, such as 200".to_owned()))?;
    let headers: Map<String, Value> =
        headers(fields.get("headers")).map_err(wrong)?.into_iter().map(|(name, value)| (name, value.into())).collect();
    // JSON is sent as JSON, and anything else as text.
    let body = text("body").map(|text| serde_json::from_str(&text).unwrap_or(Value::String(text)));
    let kind = if fields.get("type") == "redirect" { ResponseType::Redirect } else { ResponseType::Response };
    let response = TicketResponse { kind, redirect_url: text("redirect_url"), body, code, headers };
    let is_said = response != TicketResponse::default();
    Ok(TicketRequest {
        // An execution has its own.
        environment: if fields.get("handler") == "execution" { None } else { name("environment")? },
        response: (is_said || handler.is_none()).then_some(response),
        handler,
        state: None,
        state_parameter: text("state_parameter"),
        retryable: fields.get("uses") == "success",
        allow_multiple: fields.get("uses") == "never",
        confirm: !fields.get("confirm").is_empty(),
        alternative_domain: text("alternative_domain"),
        expires_in: text("expires_in"),
    })
}

pub(super) async fn close(
    State(app): State<Arc<App>>,
    session: Session,
    Path(id): Path<String>,
) -> Result<Response, Trouble> {
    needs(&session, Access::Author)?;
    let ticket: TicketId = id.parse().map_err(|_| missing(&id))?;
    match app.tickets.close(&session.workspace, ticket).await? {
        true => Ok(Redirect::to(&format!("/console/tickets/{ticket}")).into_response()),
        false => Err(missing(&id).into()),
    }
}

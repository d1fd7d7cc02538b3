//! Tickets: URLs made at run time, each for one purpose, with the answer that is stored with it.
//!
//! A ticket says what is done when its URL is called: an execution goes on at a trigger, a flow starts, a plugin answers, or
//! nothing but the stored answer is given. It also says how often: once, until it was successful, or as often as one likes.

use crate::catalogue::environments::Environments;
use crate::catalogue::flows::Flows;
use crate::catalogue::plugins::{MentionError, Plugins};
use crate::catalogue::redirects::Redirects;
use crate::retry::retry_on_conflict;
use ringback_plugin::CallError;
use ringback_records::journal::Status;
use ringback_records::name::{ExecutionId, Name, TicketId, looks_random, random_id};
use ringback_records::plugin::Role;
use ringback_records::ticket::{Handler, HandlerRequest, TicketRecord, TicketRequest, TicketStanding, TicketStatus};
use ringback_records::time::{Timestamp, parse_lifetime};
use ringback_rules::{face, ticket_request, ticket_response};
use ringback_store::{Page, Store, StoreError, TicketFilter, Write};
use std::sync::Arc;
use uuid::Uuid;

/// Largest configuration of a plugin, in bytes of JSON.
const WITH_BYTES_MAX: usize = 64 << 10;
/// Tickets that are looked at together, when it is asked who needs a plugin.
const USERS_PAGE: usize = 100;
/// Pages of the store that one page is made of at most, when few of them are wanted.
const LIST_PAGES_MAX: usize = 20;
/// Tickets that are looked at together when useless ones are forgotten.
const FORGOTTEN_PAGE: usize = 500;

/// Why a ticket could not be made or closed.
#[derive(Debug, thiserror::Error)]
pub enum TicketError {
    #[error("give a `handler`, a `response`, or both")]
    Nothing,
    #[error(
        "a handler is either {{\"flow\": …}}, or {{\"execution\": …, \"trigger\": …}}, or {{\"plugin\": …, \"with\": …}}"
    )]
    Handler,
    #[error("there is no flow {0}; deploy it first")]
    NoFlow(Name),
    #[error("there is no environment {0}; make it with `ringback environment set`")]
    NoEnvironment(Name),
    #[error("there is no execution {0}")]
    NoExecution(ExecutionId),
    #[error("the execution {0} does not run in the environment {1}; leave `environment` out")]
    OtherEnvironment(ExecutionId, Name),
    #[error("the execution {0} is {status}: nothing can wait there any more", status = .1.as_str())]
    Ended(ExecutionId, Status),
    #[error("the flow {flow} has no trigger `{trigger}` that an execution waits at; it has: {known}")]
    NoTrigger { flow: Name, trigger: String, known: String },
    #[error("{0}")]
    Plugin(String),
    #[error("the configuration could not be checked: {0}; try again")]
    NotAsked(CallError),
    #[error("the configuration of the plugin has more than {WITH_BYTES_MAX} bytes")]
    WithTooLarge,
    #[error("{0}")]
    Parameter(String),
    #[error("`state` must be a random UUID (version 4): others can be guessed")]
    State,
    #[error("the state {0} belongs to another ticket already")]
    StateTaken(Uuid),
    #[error("{0}")]
    Domain(String),
    #[error("`expires_in`: {0}")]
    Expiry(String),
    #[error("`response`: {0}")]
    Response(String),
    #[error("the operating system gave no random bytes")]
    Random,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The tickets of all workspaces. Cloning it is cheap and shares them.
#[derive(Clone)]
pub struct Tickets {
    store: Store,
    flows: Flows,
    plugins: Plugins,
    environments: Environments,
    redirects: Redirects,
    /// Scheme, host and port under which callers reach the public listener.
    public_url: Arc<str>,
}

impl Tickets {
    pub fn new(
        store: Store,
        flows: Flows,
        plugins: Plugins,
        environments: Environments,
        redirects: Redirects,
        public_url: &str,
    ) -> Self {
        Self { store, flows, plugins, environments, redirects, public_url: public_url.into() }
    }

    /// Makes a ticket.
    ///
    /// # Errors
    ///
    /// The request asks for something that is not there or not allowed, or the store failed.
    pub async fn create(&self, workspace: &Name, request: TicketRequest) -> Result<TicketRecord, TicketError> {
        let record = self.prepare(workspace, request, Timestamp::now()).await?;
        match self.store.commit(vec![new(workspace, &record)]).await {
            Ok(()) => Ok(record),
            // Nothing else of a new ticket can have been there before.
            Err(StoreError::Conflict) => Err(TicketError::StateTaken(record.state)),
            Err(error) => Err(error.into()),
        }
    }

    /// A ticket that is checked, but not stored.
    ///
    /// # Errors
    ///
    /// As [`create`](Self::create).
    pub async fn prepare(
        &self,
        workspace: &Name,
        request: TicketRequest,
        now: Timestamp,
    ) -> Result<TicketRecord, TicketError> {
        if request.handler.is_none() && request.response.is_none() {
            return Err(TicketError::Nothing);
        }
        let state_parameter = request.state_parameter.filter(|name| !name.is_empty());
        if let Some(name) = &state_parameter {
            ticket_request::check_parameter(name).map_err(TicketError::Parameter)?;
        }
        let state = match request.state {
            None => random_id().map_err(|_| TicketError::Random)?,
            Some(state) if state.get_version_num() != 4 || !looks_random(&state.simple().to_string()) => {
                return Err(TicketError::State);
            }
            Some(state) => match self.store.ticket_of_state(state).await? {
                Some(_) => return Err(TicketError::StateTaken(state)),
                None => state,
            },
        };
        let alternative_domain = request.alternative_domain.filter(|domain| !domain.is_empty());
        let alternative_domain = alternative_domain.map(|domain| ticket_request::check_domain(&domain)).transpose();
        let alternative_domain = alternative_domain.map_err(TicketError::Domain)?;
        let expires_in =
            request.expires_in.map(|text| parse_lifetime(&text)).transpose().map_err(TicketError::Expiry)?;
        let response = request.response.unwrap_or_default();
        ticket_response::check(&response, |target| self.redirects.check(workspace, target))
            .map_err(TicketError::Response)?;
        let mut environment = request.environment;
        let handler = match request.handler {
            Some(handler) => Some(self.handler(workspace, handler, &mut environment).await?),
            None => None,
        };
        let environment = environment.unwrap_or_else(Name::default_name);
        let environment_made_at = self.environments.made_at(workspace, &environment);
        if !self.environments.is_same(workspace, &environment, environment_made_at) {
            return Err(TicketError::NoEnvironment(environment));
        }
        let mut ticket = TicketRecord {
            id: TicketId::new(),
            state,
            environment,
            environment_made_at,
            handler,
            flow_made_at: None,
            state_parameter,
            retryable: request.retryable,
            allow_multiple: request.allow_multiple,
            confirm: request.confirm,
            alternative_domain,
            response,
            created_at: now,
            expires_at: expires_in.map(|duration| now.saturating_add(duration)),
            status: TicketStatus::Open,
            revision: 0,
        };
        let flow = ticket.flow().and_then(|flow| self.flows.find(workspace, flow));
        ticket.flow_made_at = flow.and_then(|flow| flow.record.made_at);
        Ok(ticket)
    }

    /// An execution stays in the environment that it runs in.
    async fn handler(
        &self,
        workspace: &Name,
        request: HandlerRequest,
        environment: &mut Option<Name>,
    ) -> Result<Handler, TicketError> {
        match request {
            HandlerRequest { flow: Some(flow), execution: None, trigger: None, plugin: None, with: None } => {
                self.flows.find(workspace, &flow).ok_or_else(|| TicketError::NoFlow(flow.clone()))?;
                Ok(Handler::Flow { flow })
            }
            HandlerRequest { flow: None, execution: Some(id), trigger: Some(trigger), plugin: None, with: None } => {
                self.waiting(workspace, id, trigger, environment).await
            }
            HandlerRequest { flow: None, execution: None, trigger: None, plugin: Some(plugin), with } => {
                let with = with.unwrap_or_default();
                if with.to_string().len() > WITH_BYTES_MAX {
                    return Err(TicketError::WithTooLarge);
                }
                let checked = self.plugins.check_mention(workspace, &plugin, Role::Responder, Some(&with)).await;
                checked.map_err(|error| match error {
                    MentionError::NotAsked(error) => TicketError::NotAsked(error),
                    error => TicketError::Plugin(error.to_string()),
                })?;
                Ok(Handler::Plugin { plugin, with })
            }
            _ => Err(TicketError::Handler),
        }
    }

    async fn waiting(
        &self,
        workspace: &Name,
        id: ExecutionId,
        trigger: String,
        environment: &mut Option<Name>,
    ) -> Result<Handler, TicketError> {
        let summary = self.store.summary(workspace, id).await?.ok_or(TicketError::NoExecution(id))?;
        if let Some(other) = environment.take_if(|environment| *environment != summary.environment) {
            return Err(TicketError::OtherEnvironment(id, other));
        }
        if summary.status.is_ended() {
            return Err(TicketError::Ended(id, summary.status));
        }
        let flow = self.flows.version(workspace, &summary.flow, summary.flow_version).await?;
        let flow = flow.ok_or_else(|| TicketError::NoFlow(summary.flow.clone()))?;
        let waited_at = flow.triggers.get(1..).unwrap_or_default();
        match waited_at.iter().find(|known| known.id.as_str() == trigger || known.name == trigger) {
            Some(found) => {
                *environment = Some(summary.environment);
                Ok(Handler::Trigger { execution: id, flow: flow.name.clone(), trigger: found.id.clone() })
            }
            None => {
                let known: Vec<&str> = waited_at.iter().map(|known| known.id.as_str()).collect();
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                Err(TicketError::NoTrigger { flow: flow.name.clone(), trigger, known })
            }
        }
    }

    /// Whether the environment or the flow of a ticket was removed: it does not come back with another one of the same name.
    pub fn is_gone(&self, workspace: &Name, ticket: &TicketRecord) -> bool {
        let TicketRecord { environment, environment_made_at, flow_made_at, .. } = ticket;
        let has_flow_gone = |flow| self.flows.is_gone(workspace, flow, *flow_made_at);
        !self.environments.is_same(workspace, environment, *environment_made_at)
            || ticket.flow().is_some_and(has_flow_gone)
    }

    /// Forgets the tickets made before `cutoff` of which nothing can come any more: their flow or environment was removed, or their
    /// execution was forgotten.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn forget_gone(&self, cutoff: Timestamp) -> Result<usize, StoreError> {
        let (mut after, mut forgotten) = (None, 0);
        loop {
            let Page { items, next } = self.store.tickets_made_before(cutoff, after, FORGOTTEN_PAGE).await?;
            let mut useless = Vec::new();
            for (workspace, ticket) in items {
                if self.is_useless(&workspace, &ticket).await? {
                    let TicketRecord { id, state, revision, .. } = ticket;
                    useless.push(Write::DeleteTicket { workspace, id, state, revision });
                }
            }
            forgotten += self.store.commit_each(useless).await?;
            after = next;
            if after.is_none() {
                return Ok(forgotten);
            }
        }
    }

    /// Whether nothing can come of a ticket any more.
    async fn is_useless(&self, workspace: &Name, ticket: &TicketRecord) -> Result<bool, StoreError> {
        let has_execution_gone = match &ticket.handler {
            Some(Handler::Trigger { execution, .. }) => !self.store.has_execution(workspace, *execution).await?,
            None | Some(Handler::Flow { .. } | Handler::Plugin { .. }) => false,
        };
        Ok(has_execution_gone || self.is_gone(workspace, ticket))
    }

    /// The absolute URL of a ticket (GX-12, GX-13, GX-16).
    pub fn url(&self, ticket: &TicketRecord) -> String {
        let base = ticket.alternative_domain.as_deref().unwrap_or(&self.public_url);
        format!("{base}{}", face::ticket_path(ticket.state, ticket.state_parameter.as_deref()))
    }

    /// Whether callers of a workspace may be sent somewhere.
    ///
    /// # Errors
    ///
    /// Why not, in a sentence.
    pub fn may_redirect(&self, workspace: &Name, target: &str) -> Result<(), String> {
        self.redirects.check(workspace, target)
    }

    /// The ticket of a state, with its workspace.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn of_state(&self, state: Uuid) -> Result<Option<(Name, TicketRecord)>, StoreError> {
        self.store.ticket_of_state(state).await
    }

    /// # Errors
    ///
    /// The store failed.
    pub async fn get(&self, workspace: &Name, id: TicketId) -> Result<Option<TicketRecord>, StoreError> {
        self.store.ticket(workspace, id).await
    }

    /// Tickets that are wanted, newest first, older than `before`; with `gone`, those that are, or those that are not. A page may
    /// have fewer than there are, or none: where `next` says, the others are.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn list(
        &self,
        workspace: &Name,
        before: Option<[u8; 16]>,
        limit: usize,
        wanted: &TicketFilter,
        gone: Option<bool>,
    ) -> Result<Page<TicketRecord>, StoreError> {
        let mut page = Page { items: Vec::new(), next: before };
        for _ in 0..LIST_PAGES_MAX {
            let left = limit - page.items.len();
            let Page { items, next } = self.store.tickets(workspace, page.next, left, wanted).await?;
            let is_wanted = |ticket: &TicketRecord| gone.is_none_or(|gone| self.is_gone(workspace, ticket) == gone);
            page.items.extend(items.into_iter().filter(is_wanted));
            page.next = next;
            if page.next.is_none() || page.items.len() == limit {
                break;
            }
        }
        Ok(page)
    }

    /// The tickets of a workspace that can be called and that a plugin answers, in words: the first of them, and how many.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn users_of_plugin(&self, workspace: &Name, plugin: &Name) -> Result<Option<String>, StoreError> {
        let can_be_called = (Timestamp::now(), vec![TicketStanding::Open, TicketStanding::Called]);
        let wanted = TicketFilter { standing: Some(can_be_called), plugin: Some(plugin.clone()) };
        let (mut first, mut count, mut before) = (None, 0, None);
        loop {
            let Page { items, next } = self.list(workspace, before, USERS_PAGE, &wanted, Some(false)).await?;
            first = first.or(items.first().map(|ticket| ticket.id));
            count += items.len();
            before = next;
            if before.is_none() {
                break;
            }
        }
        Ok(match (first, count) {
            (None, _) => None,
            (Some(first), 1) => Some(format!("the ticket {first}")),
            (Some(first), count) => Some(format!("the ticket {first} and {} more", count - 1)),
        })
    }

    /// Closes a ticket by hand: whether there is one. One that is closed stays as it is.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn close(&self, workspace: &Name, id: TicketId) -> Result<bool, StoreError> {
        for _ in retry_on_conflict() {
            let Some(ticket) = self.store.ticket(workspace, id).await? else { return Ok(false) };
            if matches!(ticket.status, TicketStatus::Closed { .. }) {
                return Ok(true);
            }
            let status = TicketStatus::Closed { closed_at: Timestamp::now(), callback: None };
            match self.store.commit(vec![becomes(&ticket, workspace, status)]).await {
                Ok(()) => return Ok(true),
                Err(StoreError::Conflict) => {}
                Err(error) => return Err(error),
            }
        }
        Err(StoreError::Conflict)
    }
}

/// The write that gives a ticket another status, if it still has the one that it has here.
pub fn becomes(ticket: &TicketRecord, workspace: &Name, status: TicketStatus) -> Write {
    let record = Box::new(TicketRecord { status, revision: ticket.revision + 1, ..ticket.clone() });
    Write::PutTicket { workspace: workspace.clone(), before: Some(ticket.revision), record }
}

/// The write that makes a ticket.
pub fn new(workspace: &Name, record: &TicketRecord) -> Write {
    Write::PutTicket { workspace: workspace.clone(), before: None, record: Box::new(record.clone()) }
}

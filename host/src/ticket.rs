//! Tickets: URLs made at run time, each for one purpose, with the answer that is stored with it.
//!
//! A ticket says what is done when its URL is called: an execution goes on at a trigger, a flow starts, a plugin answers, or
//! nothing but the stored answer is given. It also says how often: once, until it was successful, or as often as one likes.

mod response;

pub use response::{TicketResponse, redirect_not_allowed};

use crate::environment::Environments;
use crate::execution::Status;
use crate::face;
use crate::flow::{Place, PluginMention};
use crate::flows::Flows;
use crate::name::{CallbackId, ExecutionId, Name, TicketId, looks_random, random_id};
use crate::plugin::{Plugins, Role};
use crate::redirect::Redirects;
use crate::store::{Page, Store, StoreError, TicketFilter, Write};
use crate::time::{Timestamp, parse_lifetime};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;
use uuid::Uuid;

/// Longest name of a parameter, in bytes.
const PARAMETER_MAX: usize = 64;
/// Largest configuration of a plugin, in bytes of JSON.
const WITH_BYTES_MAX: usize = 64 << 10;
/// Tickets that are looked at together, when it is asked who needs a plugin.
const USERS_PAGE: usize = 100;
/// Pages of the store that one page is made of at most, when few of them are wanted.
const LIST_PAGES_MAX: usize = 20;
/// How often a ticket is closed again that was called at the same moment.
const ATTEMPTS_MAX: usize = 20;

/// A ticket to be, as the API and flows write it.
#[derive(Clone, Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TicketRequest {
    /// What is done on a call; without one, the stored response is all.
    pub handler: Option<HandlerRequest>,
    /// For a flow or a plugin; `default` when absent.
    #[schema(value_type = Option<String>)]
    pub environment: Option<Name>,
    /// The state of a URL that others have already; random when absent.
    #[schema(value_type = Option<String>)]
    pub state: Option<Uuid>,
    /// The name of the query parameter that carries the state; without one, the state is in the path.
    pub state_parameter: Option<String>,
    /// Whether an unsuccessful call leaves it open.
    #[serde(default)]
    pub retryable: bool,
    /// Whether it stays open until it is closed by hand.
    #[serde(default)]
    pub allow_multiple: bool,
    /// Whether a GET is answered by a page that asks for a click, so that mail scanners and link previews do not use it up.
    #[serde(default)]
    pub confirm: bool,
    /// `https://host` or `https://host:port`, in place of the server's own.
    pub alternative_domain: Option<String>,
    /// Like `1h`; without it the ticket does not expire.
    pub expires_in: Option<String>,
    pub response: Option<TicketResponse>,
}

/// What is done on a call: `flow`; or `execution` and `trigger`; or `plugin` and `with`.
#[derive(Clone, Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HandlerRequest {
    /// The flow that is started.
    #[schema(value_type = Option<String>)]
    pub flow: Option<Name>,
    /// The execution that goes on. In a flow, without one, it is the one that makes the ticket.
    #[schema(value_type = Option<String>)]
    pub execution: Option<ExecutionId>,
    /// The trigger that it waits at, or will: its id or its name.
    pub trigger: Option<String>,
    /// The responder plugin that answers.
    #[schema(value_type = Option<String>)]
    pub plugin: Option<Name>,
    /// The configuration of the plugin.
    pub with: Option<Value>,
}

/// A ticket as it is stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TicketRecord {
    pub id: TicketId,
    /// What its URL has: random.
    pub state: Uuid,
    pub environment: Name,
    /// When its environment was made: with one that is made again it has nothing to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment_made_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handler: Option<Handler>,
    /// When the flow of its handler was made: with one that is deployed later under the same name it has nothing to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flow_made_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_parameter: Option<String>,
    pub retryable: bool,
    pub allow_multiple: bool,
    pub confirm: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alternative_domain: Option<String>,
    pub response: TicketResponse,
    pub created_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    #[serde(flatten)]
    pub status: TicketStatus,
    /// Grows by one with every change: of two changes at the same time, one wins.
    pub revision: u32,
}

/// What is done on a call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Handler {
    /// An execution goes on.
    Trigger {
        execution: ExecutionId,
        flow: Name,
        trigger: Name,
    },
    Flow {
        flow: Name,
    },
    Plugin {
        plugin: Name,
        with: Value,
    },
}

/// Whether a ticket can be called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "kebab-case")]
pub enum TicketStatus {
    Open,
    /// An execution that a call started or resumed decides whether the call was successful.
    Called {
        execution: ExecutionId,
        callback: CallbackId,
    },
    Closed {
        closed_at: Timestamp,
        /// The call that used it up; `None` when it was closed by hand.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        callback: Option<CallbackId>,
    },
}

/// Where a ticket stands at a time, as far as its record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TicketStanding {
    Open,
    Called,
    Closed,
    Expired,
}

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
    #[error("the configuration of the plugin has more than {WITH_BYTES_MAX} bytes")]
    WithTooLarge,
    #[error("`{0}` cannot name the state parameter: use 1 to {PARAMETER_MAX} letters, digits, `.`, `_` and `-`")]
    Parameter(String),
    #[error("`state` must be a random UUID (version 4): others can be guessed")]
    State,
    #[error("the state {0} belongs to another ticket already")]
    StateTaken(Uuid),
    #[error("`alternative_domain` must be like https://hooks.example.com or https://hooks.example.com:8443, not {0:?}")]
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

impl TicketRecord {
    /// One that nothing is known of.
    #[cfg(test)]
    pub fn for_testing() -> Self {
        Self {
            id: TicketId::new(),
            state: Uuid::from_u128(0),
            environment: Name::default_name(),
            environment_made_at: None,
            handler: None,
            flow_made_at: None,
            state_parameter: None,
            retryable: false,
            allow_multiple: false,
            confirm: false,
            alternative_domain: None,
            response: TicketResponse::default(),
            created_at: Timestamp::default(),
            expires_at: None,
            status: TicketStatus::Open,
            revision: 0,
        }
    }

    /// The flow that a call starts or goes on with.
    pub fn flow(&self) -> Option<&Name> {
        match &self.handler {
            Some(Handler::Flow { flow } | Handler::Trigger { flow, .. }) => Some(flow),
            None | Some(Handler::Plugin { .. }) => None,
        }
    }

    /// Whether its time is over.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }

    pub fn standing(&self, now: Timestamp) -> TicketStanding {
        match self.status {
            TicketStatus::Closed { .. } => TicketStanding::Closed,
            _ if self.is_expired(now) => TicketStanding::Expired,
            TicketStatus::Called { .. } => TicketStanding::Called,
            TicketStatus::Open => TicketStanding::Open,
        }
    }

    /// The write that gives it another status, if it still has the one that it has here.
    pub fn becomes(&self, workspace: &Name, status: TicketStatus) -> Write {
        let record = Box::new(Self { status, revision: self.revision + 1, ..self.clone() });
        Write::PutTicket { workspace: workspace.clone(), before: Some(self.revision), record }
    }
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
        if let Some(name) = state_parameter.as_ref().filter(|name| !is_parameter(name)) {
            return Err(TicketError::Parameter(name.chars().take(100).collect()));
        }
        let state = match request.state {
            None => random_id().map_err(|_| TicketError::Random)?,
            Some(state) if state.get_version_num() != 4 || !looks_random(&state.simple().to_string()) => {
                return Err(TicketError::State);
            }
            Some(state) if self.store.ticket_of_state(state)?.is_some() => return Err(TicketError::StateTaken(state)),
            Some(state) => state,
        };
        let alternative_domain = request.alternative_domain.filter(|domain| !domain.is_empty());
        let alternative_domain = alternative_domain.map(|domain| check_domain(&domain)).transpose()?;
        let expires_in =
            request.expires_in.map(|text| parse_lifetime(&text)).transpose().map_err(TicketError::Expiry)?;
        let response = request.response.unwrap_or_default();
        response.check(|target| self.redirects.check(workspace, target)).map_err(TicketError::Response)?;
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
                self.waiting(workspace, id, trigger, environment)
            }
            HandlerRequest { flow: None, execution: None, trigger: None, plugin: Some(plugin), with } => {
                let with = with.unwrap_or_default();
                if with.to_string().len() > WITH_BYTES_MAX {
                    return Err(TicketError::WithTooLarge);
                }
                let nowhere = || Place { line: 0, column: 0, path: String::new() };
                let mention = PluginMention {
                    plugin: plugin.clone(),
                    role: Role::Responder,
                    config: Some(with.clone()),
                    name_at: nowhere(),
                    config_at: nowhere(),
                };
                let checked = self.plugins.check_mention(workspace, &mention).await;
                checked.map_err(|mistake| TicketError::Plugin(mistake.detail))?;
                Ok(Handler::Plugin { plugin, with })
            }
            _ => Err(TicketError::Handler),
        }
    }

    fn waiting(
        &self,
        workspace: &Name,
        id: ExecutionId,
        trigger: String,
        environment: &mut Option<Name>,
    ) -> Result<Handler, TicketError> {
        let summary = self.store.summary(workspace, id)?.ok_or(TicketError::NoExecution(id))?;
        if let Some(other) = environment.take_if(|environment| *environment != summary.environment) {
            return Err(TicketError::OtherEnvironment(id, other));
        }
        if summary.status.is_ended() {
            return Err(TicketError::Ended(id, summary.status));
        }
        let flow = self.flows.version(workspace, &summary.flow, summary.flow_version)?;
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
    pub fn of_state(&self, state: Uuid) -> Result<Option<(Name, TicketRecord)>, StoreError> {
        let Some((workspace, id)) = self.store.ticket_of_state(state)? else { return Ok(None) };
        Ok(self.store.ticket(&workspace, id)?.map(|ticket| (workspace, ticket)))
    }

    /// # Errors
    ///
    /// The store failed.
    pub fn get(&self, workspace: &Name, id: TicketId) -> Result<Option<TicketRecord>, StoreError> {
        self.store.ticket(workspace, id)
    }

    /// Tickets that are wanted, newest first, older than `before`; with `gone`, those that are, or those that are not. A page may
    /// have fewer than there are, or none: where `next` says, the others are.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub fn list(
        &self,
        workspace: &Name,
        before: Option<[u8; 16]>,
        limit: usize,
        wanted: &TicketFilter,
        gone: Option<bool>,
    ) -> Result<Page<TicketRecord>, StoreError> {
        let mut page = Page { items: Vec::new(), next: before };
        for _ in 0..LIST_PAGES_MAX {
            let Page { items, next } = self.store.tickets(workspace, page.next, limit - page.items.len(), wanted)?;
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
        let (tickets, workspace) = (self.clone(), workspace.clone());
        let can_be_called = (Timestamp::now(), vec![TicketStanding::Open, TicketStanding::Called]);
        let wanted = TicketFilter { standing: Some(can_be_called), plugin: Some(plugin.clone()) };
        let count = move || {
            let (mut first, mut count, mut before) = (None, 0, None);
            loop {
                let Page { items, next } = tickets.list(&workspace, before, USERS_PAGE, &wanted, Some(false))?;
                first = first.or(items.first().map(|ticket| ticket.id));
                count += items.len();
                before = next;
                if before.is_none() {
                    return Ok((first, count));
                }
            }
        };
        let counted = tokio::task::spawn_blocking(count).await;
        Ok(match counted.map_err(|error| StoreError::Read(error.to_string()))?? {
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
        for _ in 0..ATTEMPTS_MAX {
            let Some(ticket) = self.store.ticket(workspace, id)? else { return Ok(false) };
            if matches!(ticket.status, TicketStatus::Closed { .. }) {
                return Ok(true);
            }
            let status = TicketStatus::Closed { closed_at: Timestamp::now(), callback: None };
            match self.store.commit(vec![ticket.becomes(workspace, status)]).await {
                Ok(()) => return Ok(true),
                Err(StoreError::Conflict) => {}
                Err(error) => return Err(error),
            }
        }
        Err(StoreError::Conflict)
    }
}

/// The write that makes a ticket.
pub fn new(workspace: &Name, record: &TicketRecord) -> Write {
    Write::PutTicket { workspace: workspace.clone(), before: None, record: Box::new(record.clone()) }
}

fn is_parameter(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    name.len() <= PARAMETER_MAX && name.bytes().all(allowed) && !matches!(name, "." | "..")
}

/// `https://host` or `https://host:port` (A-GX-11).
fn check_domain(text: &str) -> Result<String, TicketError> {
    let wrong = || TicketError::Domain(text.chars().take(300).collect());
    let domain = text.strip_suffix('/').unwrap_or(text);
    let url: reqwest::Url = domain.parse().map_err(|_| wrong())?;
    let is_plain = url.scheme() == "https" && url.username().is_empty() && url.password().is_none();
    let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    if !is_plain || !bare || !domain.to_ascii_lowercase().starts_with("https://") || domain.ends_with('/') {
        return Err(wrong());
    }
    Ok(url.origin().ascii_serialization())
}

#[cfg(test)]
mod tests {
    use super::{check_domain, is_parameter};

    /// A-GX-11.
    #[test]
    fn an_alternative_domain_is_a_host_and_nothing_else() {
        for wrong in [
            "",
            "hooks.example.com",
            "http://hooks.example.com",
            "https://",
            "https:hooks.example.com",
            "https://hooks.example.com/path",
            "https://hooks.example.com//",
            "https://hooks.example.com?a=b",
            "https://hooks.example.com#a",
            "https://user@hooks.example.com",
            "https://hooks.example.com:99999",
        ] {
            assert!(check_domain(wrong).is_err(), "{wrong}");
        }
        for (text, domain) in [
            ("https://hooks.example.com", "https://hooks.example.com"),
            ("https://hooks.example.com/", "https://hooks.example.com"),
            ("https://Hooks.example.com:8443", "https://hooks.example.com:8443"),
        ] {
            assert_eq!(check_domain(text).unwrap(), domain);
        }
    }

    #[test]
    fn a_parameter_needs_no_encoding() {
        for wrong in ["a b", "a/b", "a&b", "a=b", "ä", "..", &"a".repeat(65)] {
            assert!(!is_parameter(wrong), "{wrong}");
        }
        assert!(is_parameter("RelayState") && is_parameter("state"));
    }
}

//! Tickets: URLs made at run time, each with the answer that is stored with it.

use crate::name::{CallbackId, ExecutionId, Name, TicketId};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

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

impl TicketRecord {
    /// One that nothing is known of.
    #[doc(hidden)]
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
}

/// What a caller gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ResponseType {
    /// Is sent to another URL.
    Redirect,
    /// Gets a body.
    #[default]
    Response,
}

/// An answer. Handlers see its parts as `responseType`, `responseBody`, `responseCode`, `responseHeaders` and
/// `responseRedirectUrl`, and may change them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TicketResponse {
    #[serde(default, rename = "type")]
    pub kind: ResponseType,
    /// A path of the same host, or a URL of an origin that is allowed; needed for a redirect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redirect_url: Option<String>,
    /// A text; anything else is sent as JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Value>,
    /// 200 to 599; 200 when absent. For a redirect: 301, 302, 303, 307 or 308; any other counts as absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<u16>,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schema(value_type = Object)]
    pub headers: Map<String, Value>,
}

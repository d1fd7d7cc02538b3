//! What a call finds on the host's side: the rest of the server, or what the case of a plugin gives it instead.

use super::in_memory::InMemoryState;
use super::paths::Paths;
use super::resources::failure;
use super::state::State;
use crate::bindings::imports::http::Response;
use crate::bindings::imports::types::Failure;
use ringback_outbound::plugin::Outbound;
use ringback_records::name::Name;
use ringback_records::sync::lock;
use ringback_records::time::Timestamp;
use ringback_rules::vault::{SecretValue, Vault};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

/// What calls use of the rest of the server.
pub(crate) struct Services {
    pub(crate) state: Arc<dyn State>,
    pub(super) secrets: Secrets,
    pub(super) requests: Requests,
    pub(super) paths: Paths,
    /// When every call begins; `None` where it begins when it does.
    now: Option<Timestamp>,
}

pub(super) enum Secrets {
    Kept(Vault),
    Given(BTreeMap<String, SecretValue>),
}

pub(super) enum Requests {
    Sent(Outbound),
    Answered(Answers),
}

/// What requests are answered, in their order.
#[derive(Default)]
pub(crate) struct Answers(Mutex<VecDeque<(Option<String>, Response)>>);

impl Services {
    pub(crate) fn new(state: Arc<dyn State>, secrets: Vault, outbound: Outbound) -> Self {
        let (secrets, requests) = (Secrets::Kept(secrets), Requests::Sent(outbound));
        Self { state, secrets, requests, paths: Paths::default(), now: None }
    }

    /// What is given to one case, and nothing else.
    pub(crate) fn given(
        state: BTreeMap<String, Vec<u8>>,
        secrets: BTreeMap<String, String>,
        answers: Answers,
        now: Option<Timestamp>,
    ) -> Self {
        let secrets = secrets.into_iter().map(|(name, value)| (name, SecretValue::new(value.into_bytes())));
        Self {
            state: Arc::new(InMemoryState::from(state)),
            secrets: Secrets::Given(secrets.collect()),
            requests: Requests::Answered(answers),
            paths: Paths::default(),
            now,
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.now.unwrap_or_else(Timestamp::now)
    }
}

impl Secrets {
    /// Every value of a secret that counts.
    pub(super) fn find_all(
        &self,
        workspace: &Name,
        environment: &Name,
        name: &str,
        now: Timestamp,
    ) -> Option<Vec<SecretValue>> {
        match self {
            Self::Kept(vault) => vault.find_all(workspace, environment, name, now),
            Self::Given(secrets) => Some(vec![secrets.get(name)?.clone()]),
        }
    }
}

impl FromIterator<(Option<String>, Response)> for Answers {
    fn from_iter<I: IntoIterator<Item = (Option<String>, Response)>>(answers: I) -> Self {
        Self(Mutex::new(answers.into_iter().collect()))
    }
}

impl Answers {
    /// What a request is answered, if it is the next one that is expected.
    pub(super) fn answer(&self, url: &str) -> Result<Response, Failure> {
        match lock(&self.0).pop_front() {
            None => Err(failure("host-not-allowed", format!("the vector has no answer to a request to {url}"))),
            Some((Some(expected), _)) if expected != url => {
                Err(failure("host-not-allowed", format!("the vector expects a request to {expected}, not to {url}")))
            }
            Some((_, response)) => Ok(response),
        }
    }
}

//! The request of an `http` step, made once and kept: every attempt under one `Idempotency-Key` sends the same bytes, whatever
//! becomes of variables, or of the server's version, in between.

use crate::expression::{Cel, EvaluationError, Scope, Settled, as_text};
use crate::flow::{BodySpec, HttpCall};
use crate::redact::{Lists, Names};
use serde::{Deserialize, Serialize};

/// A request but for its secrets, which are put in when it is sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PreparedRequest {
    url: Settled,
    /// In the order of the flow's; `None` for one that carries a credential, which is made again for each attempt.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    headers: Vec<Option<Settled>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    body: Option<Settled>,
}

/// The texts of a request that is about to be sent.
pub struct Rendered {
    pub url: String,
    /// In the order of the flow's.
    pub headers: Vec<String>,
    pub body: Option<String>,
}

impl PreparedRequest {
    /// Evaluates everything but what names secrets.
    ///
    /// # Errors
    ///
    /// The first expression that has no value.
    pub fn new(call: &HttpCall, scope: &Scope<'_>) -> Result<Self, EvaluationError> {
        let lists = Lists { of_server: &Names::default(), of_trigger: None };
        let headers = call.headers.iter().map(|(name, template)| {
            let shown = !lists.hide_header(name);
            shown.then(|| template.settle(scope, Cel::names_secrets)).transpose()
        });
        let body = match &call.body {
            BodySpec::Empty => None,
            BodySpec::Json(template) | BodySpec::Text(template) => Some(template.settle(scope, Cel::names_secrets)?),
        };
        Ok(Self { url: call.url.settle(scope, Cel::names_secrets)?, headers: headers.collect::<Result<_, _>>()?, body })
    }

    /// Puts in what is not kept.
    ///
    /// # Errors
    ///
    /// The first expression that has no value.
    pub fn render(&self, call: &HttpCall, scope: &Scope<'_>) -> Result<Rendered, EvaluationError> {
        let headers = call.headers.iter().enumerate().map(|(index, (_, template))| {
            match self.headers.get(index).and_then(Option::as_ref) {
                Some(settled) => settled.finish(template, scope).map(as_text),
                None => template.render_text(scope),
            }
        });
        let body = match (&call.body, &self.body) {
            (BodySpec::Json(template), Some(settled)) => Some(settled.finish(template, scope)?.to_string()),
            (BodySpec::Text(template), Some(settled)) => Some(as_text(settled.finish(template, scope)?)),
            _ => None,
        };
        let url = as_text(self.url.finish(&call.url, scope)?);
        Ok(Rendered { url, headers: headers.collect::<Result<_, _>>()?, body })
    }

    /// What it takes in memory, in bytes; counted no further than just past `max`.
    pub fn weight(&self, max: usize) -> usize {
        let headers = self.headers.iter().flatten();
        headers.chain([&self.url]).chain(&self.body).map(|settled| settled.weight(max)).sum()
    }
}

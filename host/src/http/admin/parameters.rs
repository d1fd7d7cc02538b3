//! Which query parameters each call takes, by the OpenAPI document: one that nobody would read is refused before anything is done.

use super::auth::Viewer;
use crate::app::App;
use crate::http::error::Problem;
use axum::extract::{FromRequestParts as _, MatchedPath, Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;
use url::form_urlencoded;

/// The names that each call takes, by its method and its path.
#[derive(Clone)]
pub(super) struct Parameters(Arc<HashMap<(String, String), Vec<String>>>);

impl Parameters {
    /// Those of the API. Who probes or scrapes may add some of his own.
    pub(super) fn of(document: &Value) -> Self {
        let paths = document.get("paths").and_then(Value::as_object).into_iter().flatten();
        let calls = paths.filter(|(path, _)| path.starts_with("/v1/")).flat_map(|(path, item)| {
            let operations = item.as_object().into_iter().flatten();
            operations.map(|(method, operation)| ((method.clone(), path.clone()), names(operation)))
        });
        Self(Arc::new(calls.collect()))
    }

    /// What is wrong with the query of a call.
    fn wrong(&self, method: &Method, path: &str, query: &str) -> Option<Problem> {
        let method = if method == Method::HEAD { &Method::GET } else { method };
        let known = self.0.get(&(method.as_str().to_ascii_lowercase(), path.to_owned()))?;
        let (unknown, _) =
            form_urlencoded::parse(query.as_bytes()).find(|(name, _)| !known.iter().any(|known| known == name))?;
        let unknown: String = unknown.chars().take(40).collect();
        let known: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
        let expected = match &known[..] {
            [] => "it takes none".to_owned(),
            [only] => format!("expected {only}"),
            several => format!("expected one of {}", several.join(", ")),
        };
        let detail = format!("the query is not what this call takes: unknown parameter `{unknown}`, {expected}");
        Some(Problem::bad_request("invalid_query", detail))
    }
}

fn names(operation: &Value) -> Vec<String> {
    let parameters = operation.get("parameters").and_then(Value::as_array).into_iter().flatten();
    let of_query = parameters.filter(|parameter| parameter.get("in").is_some_and(|place| place == "query"));
    of_query.filter_map(|parameter| Some(parameter.get("name")?.as_str()?.to_owned())).collect()
}

/// Who may not call at all is not told what a call takes.
pub(super) async fn refuse_unknown(
    State((known, app)): State<(Parameters, Arc<App>)>,
    path: MatchedPath,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let query = request.uri().query().unwrap_or_default();
    let Some(problem) = known.wrong(request.method(), path.as_str(), query) else { return Ok(next.run(request).await) };
    let (mut parts, _) = request.into_parts();
    Viewer::from_request_parts(&mut parts, &app).await?;
    Err(problem)
}

//! The admin API from the command line.

use super::Connection;
use reqwest::{Method, RequestBuilder};
use serde_json::Value;
use std::fmt::Write;

/// Why a call brought no result.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClientError {
    #[error("no server answers at {url} ({reason}); start one with `ringback serve`, or name it with --server")]
    Unreachable { url: String, reason: String },
    #[error("{0}")]
    Problem(String),
    #[error(
        "no token: give one with --token or RINGBACK_TOKEN, or name the server's data directory with --data (there is no \
         {0})"
    )]
    NoToken(String),
}

pub(super) struct Client {
    http: reqwest::Client,
    base: String,
    token: String,
    workspace: Option<String>,
    pub(super) json: bool,
}

impl Client {
    pub(super) fn new(connection: &Connection) -> Result<Self, ClientError> {
        let token = match &connection.token {
            Some(token) => token.clone(),
            None => {
                let file = connection.data().join("admin-token");
                let token = std::fs::read_to_string(&file);
                token.map_err(|_| ClientError::NoToken(file.display().to_string()))?.trim().to_owned()
            }
        };
        let http = reqwest::Client::builder()
            .no_proxy()
            .build()
            .map_err(|error| ClientError::Unreachable { url: connection.server.clone(), reason: error.to_string() })?;
        let base = connection.server.trim_end_matches('/').to_owned();
        Ok(Self { http, base, token, workspace: connection.workspace.clone(), json: connection.json })
    }

    pub(super) async fn get(&self, path: &str) -> Result<Value, ClientError> {
        self.send(self.request(Method::GET, path)).await
    }

    /// A list with the items of all its pages.
    pub(super) async fn get_pages(&self, path: &str) -> Result<Value, ClientError> {
        let mut list = self.get(&format!("{path}?limit=200")).await?;
        while let Some(cursor) = list.get("next_cursor").and_then(Value::as_str) {
            let mut page = self.get(&format!("{path}?limit=200&cursor={}", segment(cursor))).await?;
            if let (Some(all), Some(more)) = (
                list.get_mut("items").and_then(Value::as_array_mut),
                page.get_mut("items").and_then(Value::as_array_mut),
            ) {
                all.append(more);
            }
            let next = page.get_mut("next_cursor").map(Value::take).unwrap_or_default();
            if let Some(cursor) = list.get_mut("next_cursor") {
                *cursor = next;
            }
        }
        Ok(list)
    }

    pub(super) async fn delete(&self, path: &str) -> Result<Value, ClientError> {
        self.send(self.request(Method::DELETE, path)).await
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<Value, ClientError> {
        self.send(self.request(Method::POST, path).json(body)).await
    }

    pub(super) async fn put(&self, path: &str, body: &Value) -> Result<Value, ClientError> {
        self.send(self.request(Method::PUT, path).json(body)).await
    }

    /// Sends bytes of a type.
    pub(super) async fn upload(
        &self,
        method: Method,
        path: &str,
        kind: &str,
        body: Vec<u8>,
    ) -> Result<Value, ClientError> {
        self.send(self.request(method, path).header("content-type", kind).body(body)).await
    }

    /// Gets something large, piece by piece.
    pub(super) async fn download(
        &self,
        path: &str,
        write: &mut dyn FnMut(&[u8]) -> std::io::Result<()>,
    ) -> Result<(), ClientError> {
        let unreachable = |reason: String| ClientError::Unreachable { url: self.base.clone(), reason };
        let request = self.request(Method::GET, path);
        let mut response = request.send().await.map_err(|error| unreachable(error.without_url().to_string()))?;
        if !response.status().is_success() {
            let status = response.status().as_u16();
            let body: Value = response.json().await.unwrap_or_default();
            return Err(ClientError::Problem(describe(status, &body)));
        }
        while let Some(chunk) = response.chunk().await.map_err(|error| unreachable(error.without_url().to_string()))? {
            write(&chunk).map_err(|error| ClientError::Problem(format!("the file could not be written: {error}")))?;
        }
        Ok(())
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let mut request = self.http.request(method, format!("{}{path}", self.base)).bearer_auth(&self.token);
        if let Some(workspace) = &self.workspace {
            request = request.header("ringback-workspace", workspace);
        }
        request
    }

    async fn send(&self, request: RequestBuilder) -> Result<Value, ClientError> {
        let unreachable = |error: reqwest::Error| ClientError::Unreachable {
            url: self.base.clone(),
            reason: if error.is_connect() { "connection refused".to_owned() } else { error.without_url().to_string() },
        };
        let response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        let text = response.text().await.map_err(unreachable)?;
        let body: Value = serde_json::from_str(&text).unwrap_or_default();
        if status.is_success() {
            return Ok(body);
        }
        Err(ClientError::Problem(describe(status.as_u16(), &body)))
    }
}

/// A problem document in words, each mistake of a flow on a line of its own.
fn describe(status: u16, body: &Value) -> String {
    let detail = body.get("detail").and_then(Value::as_str);
    let Some(errors) = body.get("errors").and_then(Value::as_array) else {
        return detail.map_or_else(|| format!("the server answered {status}"), str::to_owned);
    };
    let mut text = format!("{} mistakes", errors.len());
    if errors.len() == 1 {
        text = "a mistake".to_owned();
    }
    for error in errors {
        let number = |name: &str| error.get(name).and_then(Value::as_u64).unwrap_or_default();
        let part = |name: &str| error.get(name).and_then(Value::as_str).unwrap_or_default();
        let _ = write!(text, "\n  {}:{}: {}: {}", number("line"), number("column"), part("path"), part("detail"));
    }
    text
}

/// A text as part of a path.
pub(super) fn segment(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}

/// `?a=b&c=d` from the pairs that have a value.
pub(super) fn query(pairs: &[(&str, Option<String>)]) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in pairs {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    let query = query.finish();
    if query.is_empty() { query } else { format!("?{query}") }
}

//! The admin API from the command line.

use super::output::{done, items};
use super::{Connection, Exit};
use crate::http;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use ringback_outbound::client::why;
use ringback_rules::execution::check_url;
use serde_json::Value;
use std::fmt::Write;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Items of a list when nobody says how many.
const LIST_LIMIT: u32 = 50;

/// Why a call brought no result.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClientError {
    #[error("no server answers at {url} ({reason}); start one with `ringback serve`, or name it with --server")]
    Unreachable { url: String, reason: String },
    #[error(transparent)]
    Refusal(#[from] Box<Refusal>),
    #[error("the file could not be written: {0}")]
    Unwritten(std::io::Error),
    #[error(transparent)]
    Token(#[from] WrongToken),
    #[error("{0}")]
    Argument(&'static str),
    #[error(transparent)]
    Address(#[from] WrongAddress),
    #[error(transparent)]
    NotEncrypted(#[from] NotEncrypted),
    #[error(transparent)]
    NotRingback(#[from] NotRingback),
}

impl ClientError {
    pub(super) fn exit(&self) -> Exit {
        match self {
            Self::Unreachable { .. } | Self::NotEncrypted(_) => Exit::Unreachable,
            Self::NotRingback(_) => Exit::AnotherServer,
            Self::Address(_) | Self::Argument(_) | Self::Token(WrongToken::Unusable(_) | WrongToken::Empty(_)) => {
                Exit::Arguments
            }
            Self::Refusal(_) | Self::Unwritten(_) | Self::Token(WrongToken::None(_)) => Exit::Refused,
        }
    }

    /// Says which file the server has refused.
    pub(super) fn about(mut self, file: &Path) -> Self {
        if let Self::Refusal(refusal) = &mut self {
            refusal.file = Some(file.to_owned());
        }
        self
    }
}

/// A problem document that the server has answered.
#[derive(Debug, thiserror::Error)]
#[error("{}{}", self.of_file(), describe(*.status, .body))]
pub(super) struct Refusal {
    status: StatusCode,
    body: Value,
    /// What was sent.
    file: Option<PathBuf>,
}

impl Refusal {
    pub(super) fn new(status: StatusCode, body: Value) -> Box<Self> {
        Box::new(Self { status, body, file: None })
    }

    /// The document, with the file that it is about and the exit code.
    pub(super) fn problem(&self, exit: Exit) -> Value {
        let (title, status) = (self.status.canonical_reason(), self.status.as_u16());
        let mut problem =
            serde_json::json!({ "type": "about:blank", "title": title, "status": status, "code": exit.name() });
        if let (Some(problem), Some(body)) = (problem.as_object_mut(), self.body.as_object()) {
            problem.extend(body.clone());
            problem.extend(self.file.iter().map(|file| ("file".to_owned(), file.display().to_string().into())));
            problem.insert("exit_code".to_owned(), exit.code().into());
        }
        problem
    }

    fn of_file(&self) -> String {
        self.file.as_ref().map(|file| format!("{}: ", file.display())).unwrap_or_default()
    }
}

/// What --server names cannot be called.
#[derive(Debug, thiserror::Error)]
#[error("--server names no address of a server, {address:?}: {problem}; write it like http://127.0.0.1:8081")]
pub(super) struct WrongAddress {
    address: String,
    problem: String,
}

#[derive(Debug, thiserror::Error)]
#[error(
    "what listens at {0} cannot be reached by https: it speaks plain http, or its certificate is not trusted; name it with \
     http:// in --server, or use its certificate's name"
)]
pub(super) struct NotEncrypted(pub(super) String);

#[derive(Debug, thiserror::Error)]
#[error("what answers at {0} is not the admin side of a ringback; name the server's admin address with --server")]
pub(super) struct NotRingback(pub(super) String);

/// The address of the admin API, without a slash at its end.
pub(super) fn address(connection: &Connection) -> Result<String, WrongAddress> {
    let address = &connection.server;
    let wrong = |problem: String| WrongAddress { address: address.clone(), problem };
    let url: url::Url = address.parse().map_err(|error| wrong(format!("{error}")))?;
    check_url(&url).map_err(wrong)?;
    match url.query().is_some() || url.fragment().is_some() {
        true => Err(wrong("a query has no place in it".to_owned())),
        false => Ok(address.trim_end_matches('/').to_owned()),
    }
}

/// Whether a connection was made, and then could not be encrypted.
pub(super) fn is_not_encrypted(error: &reqwest::Error) -> bool {
    const OF_TLS: [ErrorKind; 3] = [ErrorKind::Other, ErrorKind::InvalidData, ErrorKind::UnexpectedEof];
    let is_https = error.url().is_some_and(|url| url.scheme() == "https");
    is_https && error.is_connect() && kinds(error).any(|kind| OF_TLS.contains(&kind))
}

fn is_refused(error: &reqwest::Error) -> bool {
    kinds(error).any(|kind| kind == ErrorKind::ConnectionRefused)
}

/// What the system said, of all that led to an error.
fn kinds(error: &reqwest::Error) -> impl Iterator<Item = ErrorKind> {
    let first: &dyn std::error::Error = error;
    let all = std::iter::successors(Some(first), |error| error.source());
    all.filter_map(|error| error.downcast_ref::<std::io::Error>()).map(std::io::Error::kind)
}

/// Nothing that opens the admin API.
#[derive(Debug, thiserror::Error)]
pub(super) enum WrongToken {
    /// Neither given nor in the data directory.
    #[error("no token: give one with --token or RINGBACK_TOKEN, or name the server's data directory with --data ({0})")]
    None(String),
    #[error("the token {0} is empty; give it as it was shown")]
    Empty(String),
    #[error("the token {0} has a control character or a line end in it; give it as it was shown, on one line")]
    Unusable(String),
}

/// The token that is given, or the one that the server wrote into its data directory.
pub(super) fn token(connection: &Connection) -> Result<String, WrongToken> {
    let token = match &connection.token {
        Some(token) => token.clone(),
        None => {
            let file = connection.token_file();
            std::fs::read_to_string(&file).map_err(|error| WrongToken::None(unread(&file, &error)))?
        }
    };
    match token.trim() {
        "" => Err(WrongToken::Empty(token_source(connection))),
        token if token.contains(char::is_control) => Err(WrongToken::Unusable(token_source(connection))),
        token => Ok(token.to_owned()),
    }
}

/// Why there is nothing of a file.
fn unread(file: &Path, error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => format!("there is no {}", file.display()),
        _ => format!("{} cannot be read: {error}", file.display()),
    }
}

/// Where the token comes from.
pub(super) fn token_source(connection: &Connection) -> String {
    match connection.token {
        Some(_) => "that --token or RINGBACK_TOKEN gives".to_owned(),
        None => format!("in {}", connection.token_file().display()),
    }
}

/// The workspace that is asked for.
pub(super) fn workspace(connection: &Connection) -> Result<Option<&str>, ClientError> {
    match connection.workspace.as_deref() {
        Some("") => Err(ClientError::Argument(
            "the workspace that --workspace or RINGBACK_WORKSPACE gives has no name; name one, or leave it out",
        )),
        Some(name) if name.contains(char::is_control) => {
            Err(ClientError::Argument("the workspace has a control character or a line end in its name; leave it out"))
        }
        name => Ok(name),
    }
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
        let base = address(connection)?;
        let token = token(connection)?;
        workspace(connection)?;
        let http = reqwest::Client::builder()
            .no_proxy()
            .build()
            .map_err(|error| ClientError::Unreachable { url: connection.server.clone(), reason: error.to_string() })?;
        Ok(Self { http, base, token, workspace: connection.workspace.clone(), json: connection.json })
    }

    pub(super) async fn get(&self, path: &str) -> Result<Value, ClientError> {
        self.send(self.request(Method::GET, path)?).await
    }

    /// The same for what may not be there.
    pub(super) async fn find(&self, path: &str) -> Result<Option<Value>, ClientError> {
        match self.answer(self.request(Method::GET, path)?).await? {
            (StatusCode::NOT_FOUND, _) => Ok(None),
            answer => accepted(answer).map(Some),
        }
    }

    /// Says what was done, where there is nothing else to show.
    pub(super) fn done(&self, text: &str) {
        done(self.json, text);
    }

    /// The first items of a list, also where a filter lets few pass and a page has less than its number.
    pub(super) async fn get_first(
        &self,
        path: &str,
        filters: &[(&str, Option<String>)],
        limit: Option<u32>,
    ) -> Result<Value, ClientError> {
        let limit = limit.unwrap_or(LIST_LIMIT);
        let count = |list: &Value| items(list).len();
        let page = async |cursor: Option<&str>, limit: usize| {
            let mut pairs = filters.to_vec();
            pairs.extend([("limit", Some(limit.to_string())), ("cursor", cursor.map(str::to_owned))]);
            self.get(&format!("{path}{}", query(&pairs))).await
        };
        let wanted = limit as usize;
        let mut list = page(None, wanted).await?;
        while count(&list) < wanted
            && let Some(cursor) = list.get("next_cursor").and_then(Value::as_str).map(str::to_owned)
        {
            let more = page(Some(&cursor), wanted - count(&list)).await?;
            add_page(&mut list, more);
        }
        Ok(list)
    }

    /// A list with the items of all its pages.
    pub(super) async fn get_pages(&self, path: &str) -> Result<Value, ClientError> {
        let mut list = self.get(&format!("{path}?limit=200")).await?;
        while let Some(cursor) = list.get("next_cursor").and_then(Value::as_str) {
            let page = self.get(&format!("{path}?limit=200&cursor={}", segment(cursor))).await?;
            add_page(&mut list, page);
        }
        Ok(list)
    }

    pub(super) async fn delete(&self, path: &str) -> Result<Value, ClientError> {
        self.send(self.request(Method::DELETE, path)?).await
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<Value, ClientError> {
        self.send(self.request(Method::POST, path)?.json(body)).await
    }

    pub(super) async fn put(&self, path: &str, body: &Value) -> Result<Value, ClientError> {
        self.send(self.request(Method::PUT, path)?.json(body)).await
    }

    /// Sends bytes of a type.
    pub(super) async fn upload(
        &self,
        method: Method,
        path: &str,
        kind: &str,
        body: Vec<u8>,
    ) -> Result<Value, ClientError> {
        self.send(self.request(method, path)?.header("content-type", kind).body(body)).await
    }

    /// Gets something large, piece by piece.
    pub(super) async fn download(
        &self,
        path: &str,
        write: &mut dyn FnMut(&[u8]) -> std::io::Result<()>,
    ) -> Result<(), ClientError> {
        let mut response = self.ask(self.request(Method::GET, path)?).await?;
        if !response.status().is_success() {
            return accepted(self.read(response).await?).map(drop);
        }
        while let Some(chunk) = response.chunk().await.map_err(|error| self.unheard(&error))? {
            write(&chunk).map_err(ClientError::Unwritten)?;
        }
        Ok(())
    }

    /// Listens to what the server tells, from a place on.
    pub(super) async fn events(&self, path: &str, after: Option<&str>) -> Result<Events<'_>, ClientError> {
        let mut request = self.request(Method::GET, path)?.header("accept", "text/event-stream");
        if let Some(after) = after {
            request = request.header("last-event-id", after);
        }
        let response = self.ask(request).await?;
        match response.status().is_success() {
            true => Ok(Events { client: self, response, read: Vec::new() }),
            false => Err(accepted(self.read(response).await?).err().unwrap_or(NotRingback(self.base.clone()).into())),
        }
    }

    fn request(&self, method: Method, path: &str) -> Result<RequestBuilder, ClientError> {
        let names = path.split('?').next().unwrap_or_default();
        // They would make another path of it, and so ask for something else.
        if names.split('/').skip(1).any(|name| matches!(name, "" | "." | "..")) {
            let text =
                "nothing has the name `.` or `..` or an empty one; give names and versions as the lists show them";
            return Err(ClientError::Argument(text));
        }
        let mut request = self.http.request(method, format!("{}{path}", self.base)).bearer_auth(&self.token);
        if let Some(workspace) = &self.workspace {
            request = request.header("ringback-workspace", workspace);
        }
        Ok(request)
    }

    async fn send(&self, request: RequestBuilder) -> Result<Value, ClientError> {
        accepted(self.answer(request).await?)
    }

    async fn answer(&self, request: RequestBuilder) -> Result<(StatusCode, Value), ClientError> {
        self.read(self.ask(request).await?).await
    }

    /// The answer, if it is one of a ringback's admin side.
    async fn ask(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        let response = request.send().await.map_err(|error| self.unheard(&error))?;
        if is_ringback(&response) { Ok(response) } else { Err(NotRingback(self.base.clone()).into()) }
    }

    async fn read(&self, response: Response) -> Result<(StatusCode, Value), ClientError> {
        let status = response.status();
        let text = response.text().await.map_err(|error| self.unheard(&error))?;
        if status == StatusCode::NO_CONTENT {
            return Ok((status, Value::Null));
        }
        match ringback_records::json::from_own(text.as_bytes()) {
            Ok(body) => Ok((status, body)),
            Err(_) => Err(NotRingback(self.base.clone()).into()),
        }
    }

    /// Why no answer came.
    fn unheard(&self, error: &reqwest::Error) -> ClientError {
        if is_not_encrypted(error) {
            return NotEncrypted(self.base.clone()).into();
        }
        let reason = if is_refused(error) { "connection refused" } else { why(error) };
        ClientError::Unreachable { url: self.base.clone(), reason: reason.to_owned() }
    }
}

/// Server-sent events.
pub(super) struct Events<'c> {
    client: &'c Client,
    response: Response,
    /// What is not yet a whole event.
    read: Vec<u8>,
}

/// One of them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ServerEvent {
    pub(super) kind: String,
    pub(super) id: Option<String>,
    pub(super) data: String,
}

impl ServerEvent {
    fn parse(text: &str) -> Self {
        let mut event = Self::default();
        for line in text.lines() {
            match line.split_once(": ") {
                Some(("event", kind)) => kind.clone_into(&mut event.kind),
                Some(("id", id)) => event.id = Some(id.to_owned()),
                Some(("data", data)) => event.data += data,
                _ => {}
            }
        }
        event
    }
}

impl Events<'_> {
    /// The next one; `None` when the server has ended.
    pub(super) async fn next(&mut self) -> Result<Option<ServerEvent>, ClientError> {
        loop {
            if let Some(end) = self.read.windows(2).position(|two| two == b"\n\n") {
                let rest = self.read.split_off(end + 2);
                let text = std::mem::replace(&mut self.read, rest);
                return Ok(Some(ServerEvent::parse(&String::from_utf8_lossy(&text))));
            }
            match self.response.chunk().await {
                Ok(Some(chunk)) => self.read.extend_from_slice(&chunk),
                Ok(None) => return Ok(None),
                Err(error) => return Err(self.client.unheard(&error)),
            }
        }
    }
}

/// Whether the admin side of a ringback has answered.
pub(super) fn is_ringback(response: &Response) -> bool {
    response.headers().contains_key(http::VERSION_HEADER)
}

fn accepted((status, body): (StatusCode, Value)) -> Result<Value, ClientError> {
    if status.is_success() { Ok(body) } else { Err(Refusal::new(status, body).into()) }
}

/// A problem document in words, each mistake of a flow on a line of its own.
fn describe(status: StatusCode, body: &Value) -> String {
    let detail = body.get("detail").and_then(Value::as_str);
    let Some(errors) = body.get("errors").and_then(Value::as_array) else {
        return detail.map_or_else(|| format!("the server answered {}", status.as_u16()), str::to_owned);
    };
    let mut text = format!("{} mistakes", errors.len());
    if errors.len() == 1 {
        text = "a mistake".to_owned();
    }
    for error in errors {
        let number = |name: &str| error.get(name).and_then(Value::as_u64).unwrap_or_default();
        let part = |name: &str| error.get(name).and_then(Value::as_str).unwrap_or_default();
        let path =
            Some(part("path")).filter(|path| !path.is_empty()).map(|path| format!("{path}: ")).unwrap_or_default();
        let file = Some(part("file")).filter(|file| !file.is_empty()).map(|file| format!("{file}:"));
        let (file, line, column) = (file.unwrap_or_default(), number("line"), number("column"));
        let _ = write!(text, "\n  {file}{line}:{column}: {path}{}", part("detail"));
    }
    text
}

/// A text as part of a path.
pub(super) fn segment(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}

/// Several values as one parameter.
pub(super) fn several(values: &[String]) -> Option<String> {
    (!values.is_empty()).then(|| values.join(","))
}

/// Adds a page to a list.
fn add_page(list: &mut Value, mut page: Value) {
    if let (Some(all), Some(more)) =
        (list.get_mut("items").and_then(Value::as_array_mut), page.get_mut("items").and_then(Value::as_array_mut))
    {
        all.append(more);
    }
    let next = page.get_mut("next_cursor").map(Value::take).unwrap_or_default();
    if let Some(cursor) = list.get_mut("next_cursor") {
        *cursor = next;
    }
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

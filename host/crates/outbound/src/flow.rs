//! Requests that flows send. They go to public addresses only, unless an operator has named the host, so that a URL made
//! of a callback's data does not lead into the operator's network; there are no redirects and no proxies.
//!
//! The address is checked where it is resolved, and the connection goes to the checked address: a name that resolves to
//! something else a moment later gains nothing by it.

use crate::client::{BODY_BYTES_MAX, BodyError, LazyClient, host_and_port, read_body, why};
use crate::ssrf::{LookUp, NotPublic, Resolver, is_public, look_up_in_the_system};
use bytes::Bytes;
use http::HeaderValue;
use ringback_records::journal::PreparedRequest;
use ringback_records::json;
use ringback_records::name::Name;
use ringback_records::time::{Timestamp, parse_http_date};
use ringback_rules::execution::{Event, HTTP_FAILED, HttpCall, check_url, render};
use ringback_rules::expression::{EvaluationError, Problem, Scope, ScopeOfSecrets, Template};
use ringback_rules::flow::BodySpec;
use ringback_rules::redact::{Lists, MARK, Names, Values};
use ringback_rules::vault::Vault;
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

const TEXT: &str = "text/plain; charset=utf-8";
/// Longest pause that an answer may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_hours(1);

/// Sends the requests of flows. Cloning it is cheap and shares it.
#[derive(Clone)]
pub struct Sender {
    secrets: Vault,
    private: Arc<BTreeSet<String>>,
    /// What is kept of no answer, besides what the list says.
    hidden: Arc<Names>,
    look_up: LookUp,
    client: LazyClient,
}

/// Why a request was not answered.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
enum SendError {
    #[error("the URL is not valid: {0}")]
    Url(String),
    #[error("{0} is not a public address; an operator can allow it in `http_private_hosts`")]
    Private(String),
    #[error("{0}")]
    Expression(EvaluationError),
    #[error(
        "the value of the header `{0}` has a line end or another character that no header can have; look at the secrets and \
         the data that it is made of"
    )]
    Header(String),
    #[error("there is no secret {0}")]
    Secret(String),
    #[error("the secret {0} is not text, and has no place in a request")]
    NotText(String),
    /// What is wrong with a URL that a secret is part of.
    #[error("{0}")]
    OfSecret(&'static str),
    #[error("the request is not valid: {0}")]
    Invalid(String),
    #[error("the answer is larger than {BODY_BYTES_MAX} bytes")]
    TooLarge,
    #[error("no answer: {0}")]
    Unreachable(&'static str),
}

impl Sender {
    /// `private_hosts`: `host` or `host:port` that may be reached although they are not public.
    pub fn new(secrets: Vault, private_hosts: impl IntoIterator<Item = String>, hidden: Arc<Names>) -> Self {
        let private = private_hosts.into_iter().map(|host| host.to_ascii_lowercase()).collect();
        let (private, client) = (Arc::new(private), LazyClient::default());
        Self { secrets, private, hidden, look_up: look_up_in_the_system, client }
    }

    /// Sends a request of a flow once: its answer, or why there is none.
    pub async fn send(
        &self,
        workspace: &Name,
        call: &HttpCall,
        request: &PreparedRequest,
        scope: &Scope<'_>,
        idempotency_key: &str,
    ) -> Event {
        match self.try_send(workspace, call, request, scope, idempotency_key).await {
            Ok(event) => event,
            Err(error) => {
                let retryable = matches!(error, SendError::Unreachable(_) | SendError::Secret(_));
                let error = if names_secret(&call.url) { error.without_url() } else { error };
                Event::HttpUnanswered { code: error.code(), problem: error.to_string(), retryable }
            }
        }
    }

    /// Gets what another system publishes, with the same rules; without TLS only from hosts that an operator has named.
    ///
    /// # Errors
    ///
    /// It was not answered with 200, in words.
    pub async fn get(&self, url: &str, timeout: Duration) -> Result<Vec<u8>, String> {
        self.ask(url, None, timeout).await
    }

    /// Gets what another system tells who asks with a JSON body, by the same rules.
    ///
    /// # Errors
    ///
    /// It was not answered with 200, in words.
    pub async fn post(&self, url: &str, body: &serde_json::Value, timeout: Duration) -> Result<Vec<u8>, String> {
        self.ask(url, Some(body), timeout).await
    }

    async fn ask(&self, url: &str, body: Option<&serde_json::Value>, timeout: Duration) -> Result<Vec<u8>, String> {
        let url: reqwest::Url = url.parse().map_err(|error| format!("the URL is not valid: {error}"))?;
        self.check(&url).map_err(|error| error.to_string())?;
        let (host, with_port) = host_and_port(&url);
        if url.scheme() != "https" && !self.private.contains(&host) && !self.private.contains(&with_port) {
            return Err("it must be https".to_owned());
        }
        let client = self.client().map_err(|error| error.to_string())?;
        let request = match body {
            None => client.get(url),
            Some(body) => client.post(url).json(body),
        };
        let request = request.timeout(timeout);
        let mut response = request.send().await.map_err(|error| unreachable(&error).to_string())?;
        if response.status() != reqwest::StatusCode::OK {
            return Err(format!("the answer was {}", response.status().as_u16()));
        }
        read_body(&mut response).await.map_err(|error| body_error(error).to_string())
    }

    fn client(&self) -> Result<&reqwest::Client, SendError> {
        let resolver = || Arc::new(Resolver { private: Arc::clone(&self.private), look_up: self.look_up });
        let client = self.client.get(|builder| builder.dns_resolver(resolver()));
        client.map_err(|_| SendError::Unreachable("TLS could not be set up"))
    }

    async fn try_send(
        &self,
        workspace: &Name,
        call: &HttpCall,
        request: &PreparedRequest,
        scope: &Scope<'_>,
        idempotency_key: &str,
    ) -> Result<Event, SendError> {
        let started = Instant::now();
        let mut versions = self.secrets_of(workspace, scope.environment, &call.secrets)?.into_iter();
        let secrets = versions.next().unwrap_or_default();
        let missing = call.secrets.iter().filter(|name| !secrets.contains_key(*name)).collect::<Vec<_>>();
        let secrets = ScopeOfSecrets::new(secrets);
        let rendered = render(request, call, &Scope { secrets: Some(&secrets), ..*scope });
        let rendered =
            rendered.map_err(|error| of_missing(&error, &missing).unwrap_or(SendError::Expression(error)))?;
        // What is sent to others comes back in answers that echo it.
        let mut pieces = secrets.into_pieces();
        // An attempt before this one may have been made of an earlier version, and is answered again.
        for earlier in versions {
            let earlier = ScopeOfSecrets::new(earlier);
            drop(render(request, call, &Scope { secrets: Some(&earlier), ..*scope }));
            pieces.extend(earlier.into_pieces());
        }
        let sent = Values::new(pieces);
        let url: reqwest::Url = rendered.url.parse().map_err(|error| SendError::Url(format!("{error}")))?;
        self.check(&url)?;
        let mut request = self.client()?.request(call.method.clone(), url).timeout(call.timeout);
        for ((name, _), value) in call.headers.iter().zip(rendered.headers) {
            let value = HeaderValue::try_from(value).map_err(|_| SendError::Header(name.clone()))?;
            request = request.header(name, value);
        }
        request = request.header("idempotency-key", idempotency_key);
        if let Some(body) = rendered.body {
            if !call.headers.iter().any(|(name, _)| name == "content-type") {
                let is_json = matches!(call.body, BodySpec::Json(_));
                request = request.header("content-type", if is_json { "application/json" } else { TEXT });
            }
            request = request.body(body);
        }
        let request = request.build().map_err(|error| SendError::Invalid(without_url(error)))?;
        let mut response = self.client()?.execute(request).await.map_err(|error| unreachable(&error))?;
        let retry_after = response.headers().get("retry-after").and_then(|value| pause(value.to_str().ok()?));
        let headers = Lists { of_server: &self.hidden, of_trigger: None }.headers(response.headers());
        let is_json = headers.get("content-type").and_then(Value::as_str).is_some_and(|kind| kind.contains("json"));
        let body = read_body(&mut response).await.map_err(body_error)?;
        // What looks for a hundred secrets in a megabyte takes a quarter of a second.
        let kept = tokio::task::spawn_blocking(move || {
            (sent.blank(Value::Object(headers)), body_value(body.into(), is_json, &sent))
        });
        let (headers, (body, note)) =
            kept.await.map_err(|_| SendError::Unreachable("it could not be looked through for secrets"))?;
        let status = response.status().as_u16();
        let mut result = Map::new();
        result.insert("status".to_owned(), status.into());
        result.extend(note.map(|note| ("note".to_owned(), note.into())));
        result.insert("headers".to_owned(), headers);
        result.insert("body".to_owned(), body);
        Ok(Event::HttpAnswered {
            status,
            result,
            retry_after,
            duration_us: u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX),
        })
    }

    /// By name, those that are there: an expression may ask whether one is. Behind the newest what they were before, as far as
    /// that counts.
    fn secrets_of(
        &self,
        workspace: &Name,
        environment: &Name,
        names: &[String],
    ) -> Result<Vec<Map<String, Value>>, SendError> {
        let (mut versions, now) = (vec![Map::new()], Timestamp::now());
        for name in names {
            let found = self.secrets.find_all(workspace, environment, name, now);
            for (age, value) in found.unwrap_or_default().iter().enumerate() {
                let text = match std::str::from_utf8(value.bytes()) {
                    Ok(text) => text,
                    Err(_) if age == 0 => return Err(SendError::NotText(name.clone())),
                    Err(_) => continue,
                };
                versions.resize_with(versions.len().max(age + 1), Map::new);
                versions.get_mut(age).and_then(|version| version.insert(name.clone(), text.into()));
            }
        }
        if let Some((newest, earlier)) = versions.split_first_mut() {
            for version in earlier {
                for (name, value) in &*newest {
                    version.entry(name.clone()).or_insert_with(|| value.clone());
                }
            }
        }
        Ok(versions)
    }

    /// Addresses that are written as such never see the resolver.
    fn check(&self, url: &reqwest::Url) -> Result<(), SendError> {
        check_url(url).map_err(SendError::Url)?;
        let (host, with_port) = host_and_port(url);
        if self.private.contains(&with_port) {
            return Ok(());
        }
        // The resolver sees names alone: a host that is private with one port only must not pass there with another.
        let named_with_port = self.private.iter().any(|known| known.starts_with(&format!("{host}:")));
        let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok();
        match literal {
            Some(address) if !is_public(address) && !self.private.contains(&host) => Err(SendError::Private(host)),
            None if named_with_port && !self.private.contains(&host) => Err(SendError::Private(with_port)),
            _ => Ok(()),
        }
    }
}

impl SendError {
    /// Stable: what the step fails with.
    fn code(&self) -> &'static str {
        match self {
            Self::Expression(error) => error.code(),
            _ => HTTP_FAILED,
        }
    }

    /// The same in words that show nothing of the URL.
    fn without_url(self) -> Self {
        match self {
            Self::Url(_) => Self::OfSecret("the URL, which a secret is part of, is not valid"),
            Self::Private(_) => Self::OfSecret(
                "the URL, which a secret is part of, has no public address; an operator can allow it in `http_private_hosts`",
            ),
            other => other,
        }
    }
}

fn names_secret(template: &Template) -> bool {
    template.expressions().iter().any(|cel| cel.names_secrets())
}

/// That an expression has no value since a secret is not there, which may come yet.
fn of_missing(error: &EvaluationError, missing: &[&String]) -> Option<SendError> {
    let Problem::Absent(what) = &error.problem else { return None };
    let name = missing.iter().find(|name| what.contains("secrets") && what.contains(name.as_str()))?;
    Some(SendError::Secret((*name).clone()))
}

/// What `Retry-After` asks for: seconds, or a time.
fn pause(text: &str) -> Option<Duration> {
    let text = text.trim();
    let seconds = text.parse().ok().map(Duration::from_secs);
    let until = || Some(parse_http_date(text)?.since(Timestamp::now()));
    Some(seconds.or_else(until)?.min(RETRY_AFTER_MAX))
}

/// JSON as such, text as text, anything else as base64; without the secrets that were sent. What is kept as base64, and what calls
/// itself JSON and is kept as something else, has a note that says why.
fn body_value(body: Bytes, is_json: bool, sent: &Values) -> (Value, Option<String>) {
    let mut why = None;
    if is_json && !body.is_empty() {
        match json::from_secret(&body) {
            Ok(value) => return (sent.blank(value), None),
            Err(error) => why = Some(format!("since it cannot be read as JSON: {error}")),
        }
    }
    let as_text = |why: Option<String>| Some(format!("the body is kept as a text, {}", why?));
    let body = match String::from_utf8(body.into()) {
        Ok(text) => sent.blank_text(text).into(),
        Err(other) if sent.are_in(other.as_bytes()) => return (MARK.into(), as_text(why)),
        Err(other) => other.into_bytes(),
    };
    match ringback_records::reply::text_or_base64(&body) {
        (None, Some(base64)) => {
            let why =
                why.as_deref().unwrap_or("since it is not UTF-8, or more than a tenth of it are control characters");
            (base64.into(), Some(format!("the body is kept as base64, {why}")))
        }
        (text, _) => (text.into(), as_text(why)),
    }
}

fn without_url(error: reqwest::Error) -> String {
    error.without_url().to_string()
}

fn body_error(error: BodyError) -> SendError {
    match error {
        BodyError::TooLarge => SendError::TooLarge,
        BodyError::BrokenOff(error) => unreachable(&error),
    }
}

/// Without the URL, which may hold a secret.
fn unreachable(error: &reqwest::Error) -> SendError {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        if let Some(NotPublic(host)) = error.downcast_ref() {
            return SendError::Private(host.clone());
        }
        cause = error.source();
    }
    SendError::Unreachable(why(error))
}

#[cfg(test)]
mod tests {
    use super::{RETRY_AFTER_MAX, SendError, Sender, pause, unreachable};
    use futures_util::future::BoxFuture;
    use ringback_records::name::Name;
    use ringback_records::time::Timestamp;
    use ringback_rules::vault::Vault;
    use std::net::IpAddr;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    /// A resolver whose answers change, as one does that wants to lead where it must not: nowhere at first (a public
    /// network that nobody has), then this machine, then both.
    fn rebind(_: String) -> BoxFuture<'static, std::io::Result<Vec<IpAddr>>> {
        static ASKED: AtomicUsize = AtomicUsize::new(0);
        let (nowhere, here) = ("3ffe::1".parse().unwrap(), "127.0.0.1".parse().unwrap());
        let answer = match ASKED.fetch_add(1, Ordering::Relaxed) % 4 {
            0 => vec![nowhere],
            1 => vec![here],
            2 => vec![here, nowhere],
            _ => vec!["::ffff:127.0.0.1".parse().unwrap(), "::1".parse().unwrap()],
        };
        Box::pin(async move { Ok(answer) })
    }

    #[tokio::test]
    async fn a_name_that_changes_its_address_leads_nowhere() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let sender =
            Sender { look_up: rebind, ..Sender::new(Vault::in_memory(&Name::default_name(), &[]), [], Arc::default()) };
        let url: reqwest::Url = format!("http://rebind.example:{port}/").parse().unwrap();
        assert_eq!(sender.check(&url), Ok(()), "the name itself says nothing");
        for attempt in 0..8 {
            let request = sender.client().unwrap().get(url.clone()).timeout(Duration::from_millis(100));
            let error = unreachable(&request.send().await.unwrap_err());
            let refused = matches!(&error, SendError::Private(host) if host == "rebind.example");
            assert_eq!(refused, attempt % 2 == 1, "{attempt}: {error}");
        }
        let arrived = tokio::time::timeout(Duration::from_millis(50), listener.accept()).await;
        assert!(arrived.is_err(), "nobody has called this machine");
        let named = Sender {
            look_up: rebind,
            ..Sender::new(Vault::in_memory(&Name::default_name(), &[]), ["rebind.example".to_owned()], Arc::default())
        };
        let calls = (0..4).map(|_| named.client().unwrap().get(url.clone()).timeout(Duration::from_millis(100)).send());
        let (_, arrived) = tokio::join!(
            futures_util::future::join_all(calls),
            tokio::time::timeout(Duration::from_secs(5), listener.accept())
        );
        assert!(arrived.unwrap().is_ok(), "one that an operator has named is called");
    }

    #[test]
    fn urls_that_name_private_addresses_are_refused_in_every_notation() {
        let secrets = Vault::in_memory(&Name::default_name(), &[]);
        let sender = Sender::new(
            secrets,
            ["10.0.0.7:8080".to_owned(), "intern.example:81".to_owned(), "::1".to_owned()],
            Arc::default(),
        );
        let check = |url: &str| sender.check(&url.parse().unwrap());
        for url in [
            "http://127.0.0.1/",
            "http://2130706433/",
            "http://0x7f.1/",
            "http://0177.0.0.1/",
            "http://[::1]/x",
            "http://[::ffff:127.0.0.1]/",
            "http://10.0.0.7/",
            "http://10.0.0.7:8081/",
            "http://intern.example/",
            "https://169.254.169.254/latest",
            "http://[fd00::1]/",
        ] {
            assert!(matches!(check(url), Err(SendError::Private(_))), "{url}");
        }
        assert!(matches!(check("ftp://1.1.1.1/"), Err(SendError::Url(_))));
        assert!(matches!(check("http://user@1.1.1.1/"), Err(SendError::Url(_))));
        for url in ["http://10.0.0.7:8080/x", "http://intern.example:81/", "https://example.com/"] {
            assert_eq!(check(url), Ok(()), "{url}");
        }
    }

    #[test]
    fn r23_retry_after_is_a_number_or_a_date() {
        let after = |seconds: u64| {
            let later = Timestamp::now().saturating_add(Duration::from_secs(seconds));
            let later = jiff::Timestamp::from_millisecond(later.as_millis().try_into().unwrap()).unwrap();
            let text = later.to_zoned(jiff::tz::TimeZone::UTC).strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
            pause(&text).unwrap().as_secs()
        };
        assert_eq!(pause("7"), Some(Duration::from_secs(7)));
        assert!((98..=100).contains(&after(100)), "{}", after(100));
        assert_eq!(Duration::from_secs(after(100_000)), RETRY_AFTER_MAX);
        assert_eq!(pause("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO), "it is over");
        assert_eq!(pause("99999999999"), Some(RETRY_AFTER_MAX));
        for wrong in ["", "soon", "-1", "1.5", "Sun, 06 Nov"] {
            assert_eq!(pause(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn r23_a_secret_that_is_no_text_is_not_sent() {
        let workspace = Name::default_name();
        let secrets = Vault::in_memory_of_bytes(&workspace, [("KEY", b"\xff\xfe".to_vec())]);
        let sender = Sender::new(secrets, [], Arc::default());
        let error = sender.secrets_of(&workspace, &workspace, &["KEY".to_owned()]).unwrap_err().to_string();
        assert_eq!(error, "the secret KEY is not text, and has no place in a request");
    }
}

//! Outbound HTTP for plugins: only to hosts that the operator has named, without redirects, proxies or surprises.
//!
//! A name on the list is an operator's word that plugins may reach it, wherever it resolves to; nothing else is reached,
//! so a URL cannot lead into the operator's network.

use crate::client::{BODY_BYTES_MAX, BodyError, LazyClient, host_and_port, read_body, why};
use http::{HeaderName, HeaderValue};
use ringback_rules::execution::check_url;
use std::collections::BTreeSet;
use std::time::Duration;

/// Longest time of one request; the wall clock of the call usually ends it before.
const TIMEOUT: Duration = Duration::from_secs(30);
const FORBIDDEN_HEADERS: [&str; 6] =
    ["host", "content-length", "connection", "transfer-encoding", "upgrade", "proxy-authorization"];

/// A client for allowed hosts.
#[derive(Clone, Debug)]
pub struct Outbound {
    client: LazyClient,
    /// `host` or `host:port`, in lower case.
    allowed: BTreeSet<String>,
}

#[derive(Debug)]
pub struct OutboundRequest {
    pub method: String,
    pub url: String,
    pub headers: Vec<(String, String)>,
    pub body: Option<Vec<u8>>,
}

#[derive(Debug)]
pub struct OutboundResponse {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    #[error("plugins may not send requests to {0}; an operator can allow it in `plugin_http_hosts`")]
    HostNotAllowed(String),
    #[error("the request is not valid: {0}")]
    Invalid(String),
    #[error("the response is larger than {BODY_BYTES_MAX} bytes")]
    TooLarge,
    #[error("no answer: {0}")]
    Unreachable(String),
}

impl OutboundError {
    pub fn code(&self) -> &'static str {
        match self {
            Self::HostNotAllowed(_) => "host-not-allowed",
            Self::Invalid(_) => "invalid-request",
            Self::TooLarge => "too-large",
            Self::Unreachable(_) => "unreachable",
        }
    }
}

impl Outbound {
    pub fn new(allowed: impl IntoIterator<Item = String>) -> Self {
        let allowed = allowed.into_iter().map(|host| host.to_ascii_lowercase()).collect();
        Self { client: LazyClient::default(), allowed }
    }

    pub async fn send(&self, request: OutboundRequest) -> Result<OutboundResponse, OutboundError> {
        let invalid = |error: &dyn std::fmt::Display| OutboundError::Invalid(error.to_string());
        let url: reqwest::Url = request.url.parse().map_err(|error| invalid(&error))?;
        self.check(&url)?;
        let method: reqwest::Method = request.method.parse().map_err(|error| invalid(&error))?;
        let client = self.client.get(|builder| builder.timeout(TIMEOUT));
        let client = client.map_err(|error| OutboundError::Unreachable(format!("TLS could not be set up: {error}")))?;
        let mut builder = client.request(method, url);
        for (name, value) in request.headers {
            if FORBIDDEN_HEADERS.contains(&name.to_ascii_lowercase().as_str()) {
                return Err(OutboundError::Invalid(format!("the header {name} is the host's to set")));
            }
            let (Ok(known), Ok(value)) = (HeaderName::try_from(&name), HeaderValue::try_from(value)) else {
                let text =
                    format!("the header `{}` has a name or a value that no header can have", name.escape_debug());
                return Err(OutboundError::Invalid(text));
            };
            builder = builder.header(known, value);
        }
        if let Some(body) = request.body {
            builder = builder.body(body);
        }
        let request = builder.build().map_err(|error| invalid(&error))?;
        let mut response = client.execute(request).await.map_err(|error| unreachable_host(&error))?;
        let status = response.status().as_u16();
        let headers = response
            .headers()
            .iter()
            .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect();
        let body = read_body(&mut response).await.map_err(|error| match error {
            BodyError::TooLarge => OutboundError::TooLarge,
            BodyError::BrokenOff(error) => unreachable_host(&error),
        })?;
        Ok(OutboundResponse { status, headers, body })
    }

    fn check(&self, url: &reqwest::Url) -> Result<(), OutboundError> {
        check_url(url).map_err(OutboundError::Invalid)?;
        let (host, with_port) = host_and_port(url);
        // A name without a port allows the scheme's own port alone.
        if self.allowed.contains(&with_port) || (url.port().is_none() && self.allowed.contains(&host)) {
            return Ok(());
        }
        Err(OutboundError::HostNotAllowed(with_port))
    }
}

fn unreachable_host(error: &reqwest::Error) -> OutboundError {
    OutboundError::Unreachable(why(error).to_owned())
}

#[cfg(test)]
mod tests {
    use super::Outbound;

    #[test]
    fn only_named_hosts_are_reached() {
        let outbound = Outbound::new(["api.example.com".to_owned(), "10.0.0.7:8080".to_owned()]);
        let check = |url: &str| outbound.check(&url.parse().unwrap()).map_err(|error| error.code());
        for url in [
            "https://example.com/",
            "https://api.example.com.evil.test/",
            "https://api.example.com:8443/",
            "http://10.0.0.7/",
            "http://127.0.0.1/",
            "http://2130706433/",
            "http://[::ffff:10.0.0.7]:8080/",
            "http://localhost/",
        ] {
            assert_eq!(check(url), Err("host-not-allowed"), "{url}");
        }
        assert_eq!(check("file:///etc/passwd"), Err("invalid-request"));
        assert_eq!(check("https://user@api.example.com/"), Err("invalid-request"));
        assert_eq!(check("https://API.example.com/x?y"), Ok(()));
        assert_eq!(check("http://10.0.0.7:8080/x"), Ok(()));
    }
}

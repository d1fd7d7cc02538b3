//! What requests of flows and of plugins have in common: no redirects, no proxies, no credentials in URLs, bounded answers,
//! and errors that do not name the URL, which may hold a secret.

use reqwest::{Client, ClientBuilder, Response, Url};
use std::sync::{Arc, OnceLock};

/// Largest body of an answer, in bytes.
pub const BODY_BYTES_MAX: usize = 1 << 20;

/// A client that is made when it is first used: reading the system's certificates would delay the start.
#[derive(Clone, Debug, Default)]
pub struct LazyClient(Arc<OnceLock<Client>>);

impl LazyClient {
    /// # Errors
    ///
    /// TLS could not be set up.
    pub fn get(&self, configure: impl FnOnce(ClientBuilder) -> ClientBuilder) -> reqwest::Result<&Client> {
        if let Some(client) = self.0.get() {
            return Ok(client);
        }
        let builder = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .user_agent(concat!("ringback/", env!("CARGO_PKG_VERSION")));
        let client = configure(builder).build()?;
        Ok(self.0.get_or_init(|| client))
    }
}

/// Why the body of an answer could not be read.
#[derive(Debug)]
pub enum BodyError {
    TooLarge,
    BrokenOff(reqwest::Error),
}

/// The body of an answer.
///
/// # Errors
///
/// It is too large, or broke off.
pub async fn read_body(response: &mut Response) -> Result<Vec<u8>, BodyError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(BodyError::BrokenOff)? {
        if body.len() + chunk.len() > BODY_BYTES_MAX {
            return Err(BodyError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The host of a URL in lower case, and the same with its port.
pub fn host_and_port(url: &Url) -> (String, String) {
    let host = url.host_str().unwrap_or_default().to_ascii_lowercase();
    let with_port = url.port_or_known_default().map(|port| format!("{host}:{port}")).unwrap_or_default();
    (host, with_port)
}

/// Why nobody answered.
pub fn why(error: &reqwest::Error) -> &'static str {
    match (error.is_timeout(), error.is_connect()) {
        (true, _) => "it took too long",
        (_, true) => "the connection failed",
        _ => "the connection broke off",
    }
}

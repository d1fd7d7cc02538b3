//! Certificates and keys that providers sign with, which are at their hosts: asked for once, and kept.
//!
//! Where they are is checked before anybody is asked (`rules::verify`), and TLS checks who answers. Who sends callbacks can name files
//! that are not there: how often somebody is asked is limited.

use ringback_outbound::flow::Sender;
use ringback_records::callback::{Callback, Request};
use ringback_records::reply::Reply;
use ringback_records::stop::Stop;
use ringback_records::sync::lock;
use ringback_records::time::Timestamp;
use ringback_rules::vault::{SecretValue, Vault};
use ringback_rules::verify::{ByCertificate, Plaid, Proof, secret_values};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long a certificate is kept without asking again.
const FRESH: Duration = Duration::from_hours(24);
/// Most that are kept.
const CERTIFICATES_MAX: usize = 100;
/// Most questions in a minute.
const QUESTIONS_MAX: usize = 30;
const MINUTE: Duration = Duration::from_mins(1);
/// Time for an answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How far the time of a token of Plaid's may be from now.
const PLAID_TOLERANCE: Duration = Duration::from_mins(5);

/// A handle to the certificates. Cloning it is cheap and shares them.
#[derive(Clone)]
pub struct Certificates {
    http: Sender,
    known: Arc<Mutex<Known>>,
    /// Held by who asks.
    asking: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Default)]
struct Known {
    /// By URL, with when it was asked for.
    certificates: HashMap<String, (Instant, Arc<Vec<u8>>)>,
    /// When somebody was asked.
    questions: Vec<Instant>,
}

impl Known {
    fn find(&self, url: &str) -> Option<Arc<Vec<u8>>> {
        let (asked, pem) = self.certificates.get(url)?;
        (asked.elapsed() < FRESH).then(|| Arc::clone(pem))
    }

    /// Whether somebody may be asked now; that is counted.
    fn may_ask(&mut self) -> bool {
        self.questions.retain(|asked| asked.elapsed() < MINUTE);
        let may = self.questions.len() < QUESTIONS_MAX;
        self.questions.extend(may.then(Instant::now));
        may
    }

    fn keep(&mut self, url: &str, pem: &Arc<Vec<u8>>) {
        if self.certificates.len() >= CERTIFICATES_MAX {
            self.certificates.clear();
        }
        self.certificates.insert(url.to_owned(), (Instant::now(), Arc::clone(pem)));
    }
}

impl Certificates {
    pub fn new(http: Sender) -> Self {
        Self { http, known: Arc::default(), asking: Arc::default() }
    }

    /// Whether a message is genuine.
    ///
    /// # Errors
    ///
    /// It is not (401), or its certificate cannot be had (503).
    pub async fn verify(&self, by: &ByCertificate, request: &Request) -> Result<Proof, Stop> {
        let message = by.read(request)?;
        let url = &message.certificate_url;
        let pem = self.find(url, self.http.get(url, TIMEOUT)).await?;
        message.verify(&pem, Timestamp::now())
    }

    /// Whether a callback of Plaid's is genuine: it is asked for the key that a token names, with the secrets of the client.
    ///
    /// # Errors
    ///
    /// It is not (401), a secret is missing (500), or the key cannot be had (503).
    pub async fn verify_plaid(&self, plaid: &Plaid, callback: &Callback, secrets: &Vault) -> Result<Proof, Stop> {
        let token = plaid.read(&callback.request)?;
        let now = Timestamp::now();
        let secret = |name: &String| {
            let found = secret_values(secrets, callback, std::slice::from_ref(name), now)?;
            let newest = found.first().map(SecretValue::bytes).unwrap_or_default();
            Ok::<_, Stop>(String::from_utf8_lossy(newest).into_owned())
        };
        let (client_id, secret) = (secret(&plaid.client_id)?, secret(&plaid.secret)?);
        let id = token.key_id().unwrap_or_default();
        let url = format!("{}/webhook_verification_key/get", plaid.url);
        let body = json!({ "client_id": client_id, "secret": secret, "key_id": id });
        // What one client is told counts for that one alone.
        let place = format!("{url} {id} {} {} {}", callback.workspace, callback.environment, plaid.client_id);
        let answer = self.find(&place, self.http.post(&url, &body, TIMEOUT)).await?;
        let answer: Value = serde_json::from_slice(&answer).unwrap_or_default();
        token.verify(&answer["key"], &callback.request, PLAID_TOLERANCE, now)
    }

    /// Confirms a subscription, where the trigger allows that; `None` for every other message.
    ///
    /// # Errors
    ///
    /// It could not be confirmed (503).
    pub async fn confirm(&self, by: &ByCertificate, request: &Request) -> Option<Result<Reply, Stop>> {
        let url = by.to_confirm(request)?;
        let may_ask = lock(&self.known).may_ask();
        let answer = match may_ask {
            true => self.http.get(&url, TIMEOUT).await,
            false => Err("there were too many questions a moment ago".to_owned()),
        };
        let confirmed = answer.map(|_| Reply::empty(200));
        Some(confirmed.map_err(|reason| unavailable(format!("the subscription could not be confirmed: {reason}"))))
    }

    /// What is known by a name, or what somebody answers who is asked.
    async fn find(&self, name: &str, ask: impl Future<Output = Result<Vec<u8>, String>>) -> Result<Arc<Vec<u8>>, Stop> {
        let known = lock(&self.known).find(name);
        if let Some(pem) = known {
            return Ok(pem);
        }
        let _asking = self.asking.lock().await;
        let (known, may_ask) = {
            let mut table = lock(&self.known);
            let known = table.find(name);
            let may_ask = known.is_some() || table.may_ask();
            (known, may_ask)
        };
        if let Some(pem) = known {
            return Ok(pem);
        }
        if !may_ask {
            return Err(unavailable(format!("there were more than {QUESTIONS_MAX} questions in a minute")));
        }
        match ask.await {
            Ok(pem) => {
                let pem = Arc::new(pem);
                lock(&self.known).keep(name, &pem);
                Ok(pem)
            }
            Err(reason) => {
                let (place, _) = name.split_once(' ').unwrap_or((name, ""));
                tracing::warn!(place, reason, "what a provider signs with could not be had");
                Err(unavailable(format!("what {place} has cannot be had: {reason}")))
            }
        }
    }
}

fn unavailable(reason: String) -> Stop {
    let said = "The callback cannot be verified at the moment.";
    Stop::failed(503, "certificate_unavailable", said, reason).with_header("retry-after", "10")
}

#[cfg(test)]
mod tests {
    use super::{CERTIFICATES_MAX, Known, QUESTIONS_MAX};
    use std::sync::Arc;

    #[test]
    fn certificates_are_kept_and_questions_are_few() {
        let mut known = Known::default();
        assert_eq!((0..100).filter(|_| known.may_ask()).count(), QUESTIONS_MAX);
        let pem = Arc::new(b"pem".to_vec());
        for number in 0..=CERTIFICATES_MAX {
            known.keep(&number.to_string(), &pem);
        }
        assert_eq!(known.certificates.len(), 1);
        assert!(known.find("0").is_none() && known.find(&CERTIFICATES_MAX.to_string()).is_some());
    }
}

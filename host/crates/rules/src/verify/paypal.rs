//! PayPal: headers name the certificate that they are signed by, at a host of PayPal. What is signed has a checksum of the body, and the id of
//! the webhook, which says whose messages count.

use super::certificate::CertifiedMessage;
use super::not_genuine;
use super::template::single_header;
use aws_lc_rs::signature::RSA_PKCS1_2048_8192_SHA256;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ringback_records::callback::Request;
use ringback_records::stop::Stop;
use std::time::Duration;
use url::Url;

/// How far the time of a transmission may be from now: PayPal says it once, and tries again for days. Within this, it is the same
/// delivery.
const TOLERANCE: Duration = Duration::from_hours(24 * 4);
const HOSTS: [&str; 2] = ["api.paypal.com", "api.sandbox.paypal.com"];
const NAMES: [&str; 2] = ["messageverificationcerts.paypal.com", "messageverificationcerts.sandbox.paypal.com"];

/// Which messages of PayPal count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PayPal {
    /// The id that PayPal has given the webhook.
    pub webhook_id: String,
}

impl PayPal {
    pub(super) fn read(&self, request: &Request) -> Result<CertifiedMessage, Stop> {
        let header = |name: &str| single_header(request, name).map_err(not_genuine);
        if header("paypal-auth-algo")? != "SHA256withRSA" {
            return Err(not_genuine("paypal-auth-algo is not SHA256withRSA"));
        }
        let certificate_url = header("paypal-cert-url")?;
        if !is_at_paypal(&certificate_url) {
            return Err(not_genuine("paypal-cert-url is not an https URL of a certificate at a host of PayPal"));
        }
        let (id, time) = (header("paypal-transmission-id")?, header("paypal-transmission-time")?);
        let signature = STANDARD.decode(header("paypal-transmission-sig")?);
        let checksum = crc32fast::hash(&request.body);
        Ok(CertifiedMessage {
            certificate_url,
            subscribe_url: None,
            names: NAMES.map(str::to_owned).into(),
            signed: format!("{id}|{time}|{}|{checksum}", self.webhook_id).into_bytes(),
            signature: signature.map_err(|_| not_genuine("paypal-transmission-sig is not base64"))?,
            algorithm: &RSA_PKCS1_2048_8192_SHA256,
            tolerance: TOLERANCE,
            id,
            time,
        })
    }
}

fn is_at_paypal(text: &str) -> bool {
    text.parse::<Url>().is_ok_and(|url| {
        let is_plain = url.scheme() == "https" && url.port().is_none() && url.username().is_empty();
        let is_plain = is_plain && url.password().is_none() && url.query().is_none();
        is_plain
            && HOSTS.iter().any(|host| url.host_str() == Some(host))
            && url.path().starts_with("/v1/notifications/certs/")
    })
}

#[cfg(test)]
mod tests;

//! Amazon SNS: a message names the certificate that it is signed by, at a host of SNS. Anybody may have a topic, so a trigger says whose
//! messages count.

use super::certificate::CertifiedMessage;
use super::not_genuine;
use aws_lc_rs::signature::{
    RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, RSA_PKCS1_2048_8192_SHA256, VerificationAlgorithm,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ringback_records::callback::Request;
use ringback_records::json;
use ringback_records::stop::Stop;
use serde_json::Value;
use std::time::Duration;
use url::Url;

/// How far the time of a message may be from now: SNS says it once, and tries again for that long.
const TOLERANCE: Duration = Duration::from_hours(1);

/// Which messages of SNS count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sns {
    /// The names (ARN) of topics.
    pub topics: Vec<String>,
    /// Whether their subscriptions are confirmed.
    pub confirm: bool,
}

/// What is signed, in order, each with its name.
const OF_NOTIFICATIONS: [&str; 6] = ["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"];
const OF_CONFIRMATIONS: [&str; 7] = ["Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"];

impl Sns {
    /// Reads a message. What comes from elsewhere is refused here, before anybody is asked for a certificate.
    ///
    /// # Errors
    ///
    /// It is no message of one of the topics, or names a certificate elsewhere (401).
    pub fn read(&self, request: &Request) -> Result<CertifiedMessage, Stop> {
        let body: Value = json::from_slice(&request.body).map_err(|_| not_genuine("the body is not JSON"))?;
        let text = |name: &str| body.get(name).and_then(Value::as_str);
        let needed = |name: &str| text(name).ok_or_else(|| not_genuine(format!("the message has no `{name}`")));
        let topic = needed("TopicArn")?;
        if !self.topics.iter().any(|known| known == topic) {
            return Err(not_genuine("the topic of the message is not among the `topics` of the trigger"));
        }
        let (names, asks) = match needed("Type")? {
            "Notification" => (&OF_NOTIFICATIONS[..], false),
            "SubscriptionConfirmation" => (&OF_CONFIRMATIONS[..], true),
            "UnsubscribeConfirmation" => (&OF_CONFIRMATIONS[..], false),
            _ => return Err(not_genuine("the `Type` of the message is not known")),
        };
        let algorithm: &'static dyn VerificationAlgorithm = match needed("SignatureVersion")? {
            "1" => &RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
            "2" => &RSA_PKCS1_2048_8192_SHA256,
            _ => return Err(not_genuine("the `SignatureVersion` of the message is neither 1 nor 2")),
        };
        let mut signed = String::new();
        for name in names {
            match (text(name), *name) {
                (Some(value), name) => signed.push_str(&format!("{name}\n{value}\n")),
                (None, "Subject") if body.get(name).is_none_or(Value::is_null) => {}
                (None, name) => return Err(not_genuine(format!("the message has no `{name}`"))),
            }
        }
        let certificate_url = needed("SigningCertURL")?;
        let is_file = |url: &Url| url.path().ends_with(".pem") && url.query().is_none();
        let host = host_of(certificate_url).filter(is_file).and_then(|url| url.host_str().map(str::to_owned));
        let Some(host) = host else {
            return Err(not_genuine("`SigningCertURL` is not the https URL of a file at a host of SNS"));
        };
        let subscribe_url = if asks { Some(needed("SubscribeURL")?) } else { None };
        if subscribe_url.is_some_and(|url| host_of(url).is_none()) {
            return Err(not_genuine("`SubscribeURL` is not an https URL at a host of SNS"));
        }
        let signature = STANDARD.decode(needed("Signature")?);
        Ok(CertifiedMessage {
            certificate_url: certificate_url.to_owned(),
            subscribe_url: subscribe_url.map(str::to_owned),
            names: names_at(&host),
            id: needed("MessageId")?.to_owned(),
            time: needed("Timestamp")?.to_owned(),
            tolerance: TOLERANCE,
            signed: signed.into_bytes(),
            signature: signature.map_err(|_| not_genuine("the `Signature` of the message is not base64"))?,
            algorithm,
        })
    }
}

/// An https URL at `sns.REGION.amazonaws.com`, or in China.
fn host_of(text: &str) -> Option<Url> {
    let url: Url = text.parse().ok()?;
    let host = url.host_str()?;
    let region = host.strip_prefix("sns.")?;
    let region = region.strip_suffix(".amazonaws.com").or_else(|| region.strip_suffix(".amazonaws.com.cn"))?;
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let is_plain =
        url.scheme() == "https" && url.port().is_none() && url.username().is_empty() && url.password().is_none();
    (is_plain && region.len() >= 3 && region.bytes().all(fits)).then_some(url)
}

/// The names of the certificates that sign at a host, as AWS's own library for Java has them.
fn names_at(host: &str) -> Vec<String> {
    let (region, end) = match host.trim_start_matches("sns.").split_once('.') {
        Some((region, end)) => (region, end),
        None => return Vec::new(),
    };
    let mut names = vec![format!("sns-signing.{region}.{end}"), format!("sns-{region}.{end}")];
    if end == "amazonaws.com" {
        names.push("sns.amazonaws.com".to_owned());
    }
    if region.starts_with("us-gov-") {
        names.push("sns-us-gov-west-1.amazonaws.com".to_owned());
    }
    names
}

#[cfg(test)]
mod tests;

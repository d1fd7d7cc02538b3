//! Messages that name the certificate that they are signed by, and certificates (X.509, RFC 5280), as far as they are needed of a server that
//! was asked over TLS: whose, until when, and which key.

use super::paypal::PayPal;
use super::sns::Sns;
use super::{Proof, check_age, not_genuine};
use aws_lc_rs::signature::{UnparsedPublicKey, VerificationAlgorithm};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ringback_records::callback::Request;
use ringback_records::stop::Stop;
use ringback_records::time::Timestamp;
use std::time::Duration;

/// Who signs by certificates that are at its hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ByCertificate {
    Sns(Sns),
    PayPal(PayPal),
}

impl ByCertificate {
    /// Reads a message. What comes from elsewhere is refused here, before anybody is asked for a certificate.
    ///
    /// # Errors
    ///
    /// It is none that counts, or names a certificate elsewhere (401).
    pub fn read(&self, request: &Request) -> Result<CertifiedMessage, Stop> {
        match self {
            Self::Sns(sns) => sns.read(request),
            Self::PayPal(paypal) => paypal.read(request),
        }
    }

    /// Where a subscription is confirmed, when the message asks for that and the trigger allows it.
    pub fn to_confirm(&self, request: &Request) -> Option<String> {
        match self {
            Self::Sns(sns) if sns.confirm => sns.read(request).ok()?.subscribe_url,
            _ => None,
        }
    }
}

/// A message of which it is not known yet who signed it.
#[derive(Debug)]
pub struct CertifiedMessage {
    /// Where the certificate is: at a host of the provider.
    pub certificate_url: String,
    /// Where a subscription is confirmed, if this asks for that: at a host of the provider.
    pub subscribe_url: Option<String>,
    /// Whose certificates count.
    pub(super) names: Vec<String>,
    pub(super) id: String,
    pub(super) time: String,
    /// How far its time may be from now.
    pub(super) tolerance: Duration,
    pub(super) signed: Vec<u8>,
    pub(super) signature: Vec<u8>,
    pub(super) algorithm: &'static dyn VerificationAlgorithm,
}

impl CertifiedMessage {
    /// Whether the certificate that was found at its URL signed the message.
    ///
    /// # Errors
    ///
    /// It did not, is somebody else's, or does not count now (401).
    pub fn verify(&self, pem: &[u8], now: Timestamp) -> Result<Proof, Stop> {
        let url = &self.certificate_url;
        let certificate =
            Certificate::from_pem(pem).ok_or_else(|| not_genuine(format!("what is at {url} is no certificate")))?;
        if !self.names.contains(&certificate.common_name) {
            let name = certificate.common_name.escape_debug();
            return Err(not_genuine(format!("the certificate is of `{name}`, which does not sign for that host")));
        }
        let second = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        if !(certificate.not_before..=certificate.not_after).contains(&second) {
            return Err(not_genuine("the certificate does not count now"));
        }
        let key = UnparsedPublicKey::new(self.algorithm, &certificate.public_key);
        if key.verify(&self.signed, &self.signature).is_err() {
            return Err(not_genuine("the signature of the message is not that of its certificate"));
        }
        check_age(&self.time, self.tolerance, now)?;
        let reason = format!("the certificate of {} signed it", certificate.common_name);
        Ok(Proof { delivery_id: Some(self.id.clone()), id_is_signed: true, reason, is_none: false })
    }
}

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OBJECT: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// `[0]`, which a certificate of version 2 or 3 begins with.
const VERSION: u8 = 0xa0;
/// 2.5.4.3.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

/// What a certificate says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Certificate {
    /// In seconds since 1970.
    pub not_before: i64,
    pub not_after: i64,
    pub common_name: String,
    /// A `SubjectPublicKeyInfo`.
    pub public_key: Vec<u8>,
}

impl Certificate {
    /// The first one of a PEM file, which has nothing before it.
    pub fn from_pem(pem: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(pem).ok()?.trim();
        let (encoded, _) = text.strip_prefix("-----BEGIN CERTIFICATE-----")?.split_once("-----END CERTIFICATE-----")?;
        let encoded: String = encoded.split_whitespace().collect();
        Self::from_der(&STANDARD.decode(encoded).ok()?)
    }

    fn from_der(der: &[u8]) -> Option<Self> {
        let mut certificate = Reader(der).enter(SEQUENCE)?;
        let mut signed = certificate.enter(SEQUENCE)?;
        if signed.0.first() == Some(&VERSION) {
            signed.any()?;
        }
        let (_serial, _algorithm, _issuer) = (signed.any()?, signed.any()?, signed.any()?);
        let mut validity = signed.enter(SEQUENCE)?;
        let (not_before, not_after) = (validity.time()?, validity.time()?);
        let mut subject = signed.enter(SEQUENCE)?;
        let mut common_name = None;
        while !subject.0.is_empty() {
            let mut names = subject.enter(SET)?;
            while !names.0.is_empty() {
                let mut name = names.enter(SEQUENCE)?;
                let (kind, value) = (name.value(OBJECT)?, name.any()?);
                if kind == COMMON_NAME {
                    // Who has two is nobody.
                    let text = std::str::from_utf8(value.content).ok()?;
                    if common_name.replace(text.to_owned()).is_some() {
                        return None;
                    }
                }
            }
        }
        let public_key = signed.any().filter(|element| element.tag == SEQUENCE)?.whole.to_vec();
        Some(Self { not_before, not_after, common_name: common_name?, public_key })
    }
}

/// DER (X.690).
struct Reader<'d>(&'d [u8]);

struct Element<'d> {
    tag: u8,
    whole: &'d [u8],
    content: &'d [u8],
}

impl<'d> Reader<'d> {
    fn any(&mut self) -> Option<Element<'d>> {
        let bytes = self.0;
        let (tag, first) = (*bytes.first()?, *bytes.get(1)?);
        let (length, header) = match first {
            0..=0x7f => (usize::from(first), 2),
            0x81 => (usize::from(*bytes.get(2)?), 3),
            0x82 => (usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?])), 4),
            _ => return None,
        };
        let (whole, rest) = bytes.split_at_checked(header + length)?;
        self.0 = rest;
        Some(Element { tag, whole, content: whole.get(header..)? })
    }

    fn value(&mut self, tag: u8) -> Option<&'d [u8]> {
        self.any().filter(|element| element.tag == tag).map(|element| element.content)
    }

    fn enter(&mut self, tag: u8) -> Option<Self> {
        self.value(tag).map(Self)
    }

    /// `YYMMDDhhmmssZ` or `YYYYMMDDhhmmssZ`, in seconds since 1970.
    fn time(&mut self) -> Option<i64> {
        let element = self.any()?;
        let text = std::str::from_utf8(element.content).ok()?.strip_suffix('Z')?;
        let text = match element.tag {
            UTC_TIME if text.len() == 12 => {
                let century = if text.get(..2)?.parse::<u8>().ok()? < 50 { "20" } else { "19" };
                format!("{century}{text}")
            }
            GENERALIZED_TIME if text.len() == 14 => text.to_owned(),
            _ => return None,
        };
        let parsed = jiff::civil::DateTime::strptime("%Y%m%d%H%M%S", text).ok()?;
        Some(parsed.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_second())
    }
}

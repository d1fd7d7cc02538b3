//! X.509 certificates (RFC 5280), as far as they are needed of a server that was asked over TLS: whose, until when, and which key.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

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

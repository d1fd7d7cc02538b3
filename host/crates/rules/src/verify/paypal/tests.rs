use super::{PayPal, is_at_paypal};
use crate::verify::tests::callback;
use ringback_records::callback::Callback;
use ringback_records::stop::Stop;
use ringback_records::time::Timestamp;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Computed from the recipe that PayPal documents, under a certificate with PayPal's name (`host/tests/signers/vectors.py`).
#[derive(Deserialize)]
struct Vector {
    certificate: String,
    webhook_id: String,
    at: u64,
    headers: BTreeMap<String, String>,
    body: String,
}

fn vector() -> Vector {
    serde_json::from_str(include_str!("vector.json")).unwrap()
}

fn genuine(vector: &Vector) -> Callback {
    let headers: Vec<_> = vector.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    callback(&headers, vector.body.as_bytes())
}

fn check(vector: &Vector, callback: &Callback, webhook_id: &str, at: u64) -> Result<(), Stop> {
    let message = PayPal { webhook_id: webhook_id.to_owned() }.read(&callback.request)?;
    message.verify(vector.certificate.as_bytes(), Timestamp::from_millis(at * 1000)).map(drop)
}

#[test]
fn what_paypal_signed_is_accepted_and_nothing_else() {
    let vector = vector();
    let callback = genuine(&vector);
    let refused = |callback: &Callback, id: &str, at: u64, expected: &str| {
        let stop = check(&vector, callback, id, at).unwrap_err();
        assert_eq!((stop.problem.status, stop.reason.contains(expected)), (401, true), "{expected}: {}", stop.reason);
    };
    check(&vector, &callback, &vector.webhook_id, vector.at).unwrap_or_else(|stop| panic!("{}", stop.reason));
    refused(&callback, "another", vector.at, "not that of its certificate");
    refused(&callback, &vector.webhook_id, vector.at + 2 * 24 * 3600, "does not count now");
    for place in 0..vector.body.len() {
        let mut altered = callback.clone();
        let mut body = vector.body.clone().into_bytes();
        body[place] ^= 1;
        altered.request.body = body.into();
        refused(&altered, &vector.webhook_id, vector.at, "not that of its certificate");
    }
    for (name, value) in &vector.headers {
        for place in 0..value.len() {
            let mut bytes = value.clone().into_bytes();
            bytes[place] ^= 1;
            let Ok(value) = http::HeaderValue::from_bytes(&bytes) else { continue };
            // Another file of PayPal's is another certificate.
            if name == "paypal-cert-url" && is_at_paypal(value.to_str().unwrap_or_default()) {
                continue;
            }
            let mut altered = callback.clone();
            altered.request.headers.insert(name.parse::<http::HeaderName>().unwrap(), value);
            refused(&altered, &vector.webhook_id, vector.at, "");
        }
        let mut without = callback.clone();
        without.request.headers.remove(name);
        refused(&without, &vector.webhook_id, vector.at, name);
    }
}

#[test]
fn certificates_come_from_hosts_of_paypal_alone() {
    for wrong in [
        "",
        "http://api.paypal.com/v1/notifications/certs/CERT-1",
        "https://api.paypal.com.evil.example/v1/notifications/certs/CERT-1",
        "https://evil.example/v1/notifications/certs/CERT-1",
        "https://api.paypal.com@evil.example/v1/notifications/certs/CERT-1",
        "https://user@api.paypal.com/v1/notifications/certs/CERT-1",
        "https://api.paypal.com:444/v1/notifications/certs/CERT-1",
        "https://api.paypal.com/v1/notifications/certs/../../../elsewhere",
        "https://api.paypal.com/v1/notifications/certs/CERT-1?a",
        "https://www.paypal.com/v1/notifications/certs/CERT-1",
    ] {
        assert!(!is_at_paypal(wrong), "{wrong}");
    }
    assert!(is_at_paypal("https://api.sandbox.paypal.com/v1/notifications/certs/CERT-1"));
}

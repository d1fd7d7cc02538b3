//! Adyen: each notification of the body has a keyed hash of some of its fields.

use super::key::KeyForm;
use super::recipe::any_matches;
use super::{Proof, not_genuine, secret_unusable};
use crate::vault::SecretValue;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ringback_records::callback::Request;
use ringback_records::json;
use ringback_records::stop::Stop;
use serde_json::Value;

/// What is signed of a notification, with a colon between each; what is absent is empty.
const FIELDS: [&str; 8] = [
    "/pspReference",
    "/originalReference",
    "/merchantAccountCode",
    "/merchantReference",
    "/amount/value",
    "/amount/currency",
    "/eventCode",
    "/success",
];

/// Every notification must be signed, as all of them become data.
pub(super) fn verify(request: &Request, secrets: &[SecretValue]) -> Result<Proof, Stop> {
    let body: Value = json::from_slice(&request.body).map_err(|_| not_genuine("the body is not JSON"))?;
    let items = body.get("notificationItems").and_then(Value::as_array).filter(|items| !items.is_empty());
    let items = items.ok_or_else(|| not_genuine("the body has no list `notificationItems`"))?;
    let keys: Vec<SecretValue> = secrets
        .iter()
        .map(|secret| KeyForm::Hex.bytes(secret.bytes()).map(|key| SecretValue::new(key.into_owned())))
        .collect::<Result<_, _>>()
        .map_err(|reason| secret_unusable(&reason))?;
    for item in items {
        let item = item.get("NotificationRequestItem").unwrap_or(&Value::Null);
        let signature = item.pointer("/additionalData/hmacSignature").and_then(Value::as_str);
        let signature = signature.ok_or_else(|| not_genuine("a notification has no `additionalData.hmacSignature`"))?;
        let signature =
            STANDARD.decode(signature).map_err(|_| not_genuine("an `additionalData.hmacSignature` is not base64"))?;
        let text = |pointer: &&str| match item.pointer(pointer) {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        };
        let signed = FIELDS.iter().map(text).collect::<Vec<_>>().join(":");
        if !any_matches(&keys, &[signed.as_bytes()], &[signature]) {
            return Err(not_genuine(
                "the `additionalData.hmacSignature` of a notification does not match under the secret",
            ));
        }
    }
    Ok(Proof { reason: "`additionalData.hmacSignature` matches".to_owned(), ..Proof::default() })
}

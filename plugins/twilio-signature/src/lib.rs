//! A verifier of Twilio's request signatures: HMAC-SHA1 over the URL and the sorted form fields, base64, in the header
//! `X-Twilio-Signature`. JSON bodies are covered by the `bodySHA256` parameter of the signed URL.
//!
//! Source: Twilio's documentation "Security", "Validating requests are coming from Twilio".

use ringback_guest::secrets::{Encoded, MacAlgorithm, Part, verify_mac};
use ringback_guest::{Callback, Failure, Proof, Verdict, plugin};
use serde::Deserialize;
use sha2::{Digest, Sha256};

/// The configuration.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The name of the secret that holds the account's auth token.
    secret: String,
    /// The URL that Twilio was given, where a proxy in front changes what the server sees. Its query is kept.
    #[serde(default)]
    url: Option<String>,
}

/// Accepts callbacks that Twilio has signed.
///
/// # Errors
///
/// `unknown-secret` when the secret does not exist.
pub fn twilio_signature(callback: &Callback, config: Config) -> Result<Verdict, Failure> {
    let Some(header) = callback.header("x-twilio-signature") else {
        return Ok(rejected("there is no X-Twilio-Signature header"));
    };
    let mut message = config.url.unwrap_or_else(|| callback.url()).into_bytes();
    let content_type = callback.header("content-type").unwrap_or_default().to_ascii_lowercase();
    if content_type.starts_with("application/x-www-form-urlencoded") {
        let body = callback.body();
        let mut fields: Vec<(String, String)> = form_urlencoded::parse(&body).into_owned().collect();
        fields.sort();
        fields.dedup();
        for (name, value) in fields {
            message.extend_from_slice(name.as_bytes());
            message.extend_from_slice(value.as_bytes());
        }
    } else if callback.body_size() > 0 {
        let expected = callback.query("bodySHA256");
        let actual: String = Sha256::digest(callback.body()).iter().map(|byte| format!("{byte:02x}")).collect();
        if !expected.first().is_some_and(|expected| expected.eq_ignore_ascii_case(&actual)) {
            return Ok(rejected("the body does not match the bodySHA256 parameter of the URL"));
        }
    }
    let signature = Encoded::Base64(header.trim());
    if !verify_mac(&config.secret, MacAlgorithm::HmacSha1, &[Part::Bytes(&message)], signature)? {
        return Ok(rejected(
            "X-Twilio-Signature does not match; behind a proxy, set `url` to the address Twilio calls",
        ));
    }
    let delivery_id = callback.header("i-twilio-idempotency-token");
    Ok(Verdict::Accepted(Proof { delivery_id, subject: Some("twilio".into()), claims: None }))
}

fn rejected(reason: &str) -> Verdict {
    Verdict::Rejected(reason.into())
}

plugin! {
    verifier: twilio_signature,
    schema: include_str!("../schema.json"),
    vectors: include_str!("../vectors.json"),
}

#[cfg(test)]
mod tests {
    use super::{Config, twilio_signature};
    use ringback_guest::testing::CallbackBuilder;
    use ringback_guest::{Value, Verdict, json, testing};

    // The example of Twilio's documentation.
    const URL: &str = "https://example.com/myapp.php?foo=1&bar=2";
    const FORM: &str =
        "Digits=1234&To=%2B18005551212&From=%2B14158675310&Caller=%2B14158675310&CallSid=CA1234567890ABCDE";
    const SIGNATURE: &str = "L/OH5YylLD5NRKLltdqwSvS0BnU=";

    fn genuine() -> CallbackBuilder {
        testing::callback()
            .url(URL)
            .header("content-type", "application/x-www-form-urlencoded")
            .header("x-twilio-signature", SIGNATURE)
            .body(FORM)
    }

    fn verdict(callback: CallbackBuilder, with: Value) -> Verdict {
        testing::set_secret("TWILIO", "12345");
        twilio_signature(&callback.build(), testing::config(with).unwrap()).unwrap()
    }

    fn reason(callback: CallbackBuilder) -> String {
        match verdict(callback, json!({ "secret": "TWILIO" })) {
            Verdict::Rejected(reason) => reason,
            Verdict::Accepted(_) => panic!("was accepted"),
        }
    }

    #[test]
    fn what_is_not_signed_is_rejected() {
        let form =
            || testing::callback().url(URL).header("content-type", "application/x-www-form-urlencoded").body(FORM);
        assert!(reason(form()).contains("no X-Twilio-Signature"));
        assert!(reason(form().header("x-twilio-signature", "%%")).contains("does not match"));
        assert!(reason(form().header("x-twilio-signature", "AAAA")).contains("does not match"));
        assert!(reason(genuine().body(format!("{FORM}&Extra=1"))).contains("does not match"));
        assert!(reason(genuine().url("https://example.com/myapp.php?foo=1&bar=3")).contains("does not match"));
        let other_type = form().header("x-twilio-signature", SIGNATURE).body("{}");
        assert!(reason(other_type).contains("does not match"));
        let json = testing::callback().url(URL).header("x-twilio-signature", SIGNATURE).body("{}");
        assert!(reason(json).contains("bodySHA256"));
    }

    #[test]
    fn an_unknown_secret_is_a_failure() {
        let config: Config = testing::config(json!({ "secret": "NONE" })).unwrap();
        assert_eq!(twilio_signature(&genuine().build(), config).unwrap_err().code, "unknown-secret");
        assert!(testing::config::<Config>(json!({})).unwrap_err().message.contains("missing field `secret`"));
    }

    #[test]
    fn the_documented_example_is_accepted() {
        assert!(matches!(verdict(genuine(), json!({ "secret": "TWILIO" })), Verdict::Accepted(_)));
        let behind_proxy = genuine().url("http://10.0.0.1:8080/h/key");
        assert!(matches!(verdict(behind_proxy, json!({ "secret": "TWILIO", "url": URL })), Verdict::Accepted(_)));
    }

    #[test]
    fn a_json_body_is_covered_by_the_signed_url() {
        use base64::Engine;
        use hmac::{KeyInit, Mac};
        let hash = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"; // of `{}`
        let url = format!("https://example.com/sms?bodySHA256={hash}");
        let mac = hmac::Hmac::<sha1::Sha1>::new_from_slice(b"12345").unwrap().chain_update(&url).finalize();
        let signature = base64::engine::general_purpose::STANDARD.encode(mac.into_bytes());
        let json = |body: &str| testing::callback().url(&url).header("x-twilio-signature", &signature).body(body);
        assert!(matches!(verdict(json("{}"), json!({ "secret": "TWILIO" })), Verdict::Accepted(_)));
        assert!(reason(json("{ }")).contains("bodySHA256"));
    }
}

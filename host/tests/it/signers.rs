//! The providers' own libraries sign, and the server verifies: what it accepts is what they send, and nothing else.

use crate::support::{TestServer, cases};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

/// A line of `host/tests/signers`.
#[derive(Deserialize)]
struct Delivery {
    library: String,
    /// Keys of the trigger.
    trigger: String,
    /// The value of the secret S.
    secret: String,
    headers: BTreeMap<String, String>,
    body_base64: String,
}

/// Everything that the libraries of npm and PyPI have signed a moment ago.
fn signed() -> Vec<Delivery> {
    let installed = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("signers");
    let mut deliveries = Vec::new();
    for (program, script) in [("node".into(), "sign.mjs"), (installed.join("venv/bin/python"), "sign.py")] {
        let output = Command::new(&program).arg(script).current_dir(&installed).output();
        let output = output.unwrap_or_else(|error| panic!("{}: {error}; run `cargo xtask signers`", program.display()));
        assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
        let lines = String::from_utf8(output.stdout).unwrap();
        deliveries.extend(lines.lines().map(|line| serde_json::from_str::<Delivery>(line).unwrap()));
    }
    deliveries
}

#[tokio::test]
async fn what_the_providers_libraries_sign_is_accepted_and_what_they_did_not_sign_is_not() {
    let server = TestServer::start().await.with_plugins(&["twilio-signature"]).await;
    let (mut libraries, tried) = (BTreeSet::new(), Cell::new(0));
    for (number, delivery) in signed().into_iter().enumerate() {
        let Delivery { library, trigger, secret, headers, body_base64 } = delivery;
        let body = STANDARD.decode(body_base64).unwrap();
        // A secret of its own, too: what is one for the one scheme, cannot be one for the other.
        let name = format!("S{number}");
        let trigger = trigger.replace("secret: S", &format!("secret: {name}"));
        // A flow of its own: deliveries of one library are not each other's repetition.
        let url = server.deploy(&format!("flow: signed-{number}\nsteps:\n  - trigger: T\n    {trigger}\n")).await;
        let send = async |headers: &BTreeMap<String, String>, body: &[u8]| {
            tried.set(tried.get() + 1);
            let mut request = server.call(Method::POST, &url).body(body.to_vec());
            for (name, value) in headers {
                request = request.header(name, value);
            }
            request.send().await.unwrap().status()
        };
        server.set_secret(&name, &secret).await;
        assert_eq!(send(&headers, &body).await, StatusCode::ACCEPTED, "{library}");
        assert_eq!(send(&headers, &body).await, StatusCode::ACCEPTED, "{library}: once more");
        let is_signed = trigger.starts_with("verify") && !trigger.contains("cloudevents");
        if is_signed {
            let longer = [&body[..], b" "].concat();
            assert_eq!(send(&headers, &longer).await, StatusCode::UNAUTHORIZED, "{library}: a longer body");
            let mut other = body.clone();
            other[body.len() / 2] ^= 1;
            assert_eq!(send(&headers, &other).await, StatusCode::UNAUTHORIZED, "{library}: another body");
        }
        if is_signed || trigger.starts_with("auth") {
            // In base64: where the scheme wants a key, nothing else can be stored.
            server.set_secret(&name, "b2YgdGhlIHNhbWUgZm9ybSwgYW5kIGFub3RoZXIgb25l").await;
            assert_eq!(send(&headers, &body).await, StatusCode::UNAUTHORIZED, "{library}: another secret");
            let mut without = headers.clone();
            without.retain(|name, _| {
                !name.contains("signature") && !name.contains("hmac") && name != "authorization" && name != "user-token"
            });
            assert!(without.len() < headers.len(), "{library}");
            server.set_secret(&name, &secret).await;
            assert_eq!(send(&without, &body).await, StatusCode::UNAUTHORIZED, "{library}: unsigned");
        }
        libraries.insert(library);
    }
    assert!(libraries.len() >= 11, "{libraries:?}");
    cases(tried.get());
}

use super::{Encoding, Hmac, HmacAlgorithm, PROVIDERS, Provider, SignedPart, Verified, Verify, verify};
use crate::vault::Vault;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method};
use ringback_records::callback::{Callback, Request};
use ringback_records::name::{CallbackId, Name};
use ringback_records::stop::Stop;
use ringback_records::time::Timestamp;
use std::time::Duration;

const NOW: u64 = 1_614_265_330;
const MINUTES: Duration = Duration::from_mins(5);

fn callback(headers: &[(&str, &str)], body: &[u8]) -> Callback {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
    }
    Callback {
        id: CallbackId::new(),
        workspace: Name::default_name(),
        environment: Name::default_name(),
        request: Request {
            method: Method::POST,
            path: "/h/key".into(),
            query: String::new(),
            headers: map,
            body: Bytes::copy_from_slice(body),
            unread: None,
            received_at: Timestamp::from_millis(NOW * 1000),
        },
        base_url: "https://hooks.example".into(),
    }
}

fn check(scheme: &Verify, callback: Callback, secrets: &[(&str, &str)]) -> Result<Verified, Stop> {
    println!("1 cases");
    let secrets = Vault::for_testing(&Name::default_name(), secrets);
    let now = Timestamp::from_millis(NOW * 1000);
    verify(scheme, callback.into(), &secrets, now, None)
}

fn refused(scheme: &Verify, callback: Callback, secrets: &[(&str, &str)]) -> String {
    let stop = check(scheme, callback, secrets).unwrap_err();
    assert_eq!(stop.problem.status, 401, "{}", stop.reason);
    assert_eq!(stop.problem.detail, "The callback could not be verified.");
    stop.reason
}

fn standard() -> Verify {
    Verify::StandardWebhooks { secrets: vec!["S".into()], tolerance: MINUTES }
}

fn provider(name: &str) -> Verify {
    let provider = Provider::by_name(name).unwrap();
    Verify::Provider { provider, secrets: vec!["S".into()], tolerance: MINUTES, verify_tokens: Vec::new() }
}

// Published by the Standard Webhooks specification's libraries.
const SECRET: (&str, &str) = ("S", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
const BODY: &[u8] = br#"{"test": 2432232314}"#;
const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

fn signed(id: &str, timestamp: &str, signature: &str) -> Callback {
    callback(&[("webhook-id", id), ("webhook-timestamp", timestamp), ("webhook-signature", signature)], BODY)
}

const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";

#[test]
fn a_standard_webhook_that_is_not_genuine_is_refused() {
    let scheme = standard();
    for (callback, expected) in [
        (callback(&[], BODY), "no webhook-id"),
        (callback(&[("webhook-id", ID), ("webhook-timestamp", "1614265330")], BODY), "no webhook-signature"),
        (signed(ID, "1614265330", "v1,"), "matches"),
        (signed(ID, "1614265330", ""), "no readable"),
        (signed(ID, "1614265330", &SIGNATURE[..11]), "matches"),
        (signed(ID, "1614265330", &SIGNATURE.replace("v1,", "v2,")), "no readable"),
        (signed(ID, "1614265330", &SIGNATURE.replace("v1,", "v1a,")), "matches"),
        (signed(ID, "1614265330", &SIGNATURE.replace('g', "h")), "matches"),
        (signed("msg_other", "1614265330", SIGNATURE), "matches"),
        (signed(ID, "1614265331", SIGNATURE), "matches"),
        (signed(ID, "1614265029", SIGNATURE), "301 s old"),
        (signed(ID, "1614265631", SIGNATURE), "301 s in the future"),
        (signed(ID, "01614265330", SIGNATURE), "not a number"),
        (signed(ID, "+1614265330", SIGNATURE), "not a number"),
        (signed(ID, "-1", SIGNATURE), "not a number"),
        (signed(ID, "99999999999999999999", SIGNATURE), "not a number"),
        (signed(ID, "soon", SIGNATURE), "not a number"),
        (signed(ID, "", SIGNATURE), "not a number"),
    ] {
        let reason = refused(&scheme, callback, &[SECRET]);
        assert!(reason.contains(expected), "{reason}");
    }
    let mut twice = signed(ID, "1614265330", SIGNATURE);
    twice.request.headers.append("webhook-signature", SIGNATURE.parse().unwrap());
    assert!(refused(&scheme, twice, &[SECRET]).contains("more than once"));
    let mut longer = signed(ID, "1614265330", SIGNATURE);
    longer.request.body = [BODY, b"\n"].concat().into();
    refused(&scheme, longer, &[SECRET]);
    let ninth = format!("{}{SIGNATURE}", "v1,AAAA ".repeat(8));
    refused(&scheme, signed(ID, "1614265330", &ninth), &[SECRET]);
}

#[test]
fn a_missing_or_empty_secret_fails_closed() {
    let genuine = || signed(ID, "1614265330", SIGNATURE);
    let stop = check(&standard(), genuine(), &[]).unwrap_err();
    assert_eq!((stop.problem.status, stop.problem.code), (500, "secret_missing"));
    for useless in ["whsec_", "", "whsec_%%%"] {
        let stop = check(&standard(), genuine(), &[("S", useless)]).unwrap_err();
        assert_eq!((stop.problem.status, stop.problem.code), (500, "secret_unusable"));
    }
    // HMAC with the empty key over the empty body.
    let github = provider("github");
    let empty = "sha256=b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad";
    refused(&github, callback(&[("x-hub-signature-256", empty)], b""), &[("S", "")]);
}

#[test]
fn a_genuine_standard_webhook_is_accepted() {
    let verified = check(&standard(), signed(ID, "1614265330", SIGNATURE), &[SECRET]).unwrap();
    assert_eq!(verified.proof().delivery_id.as_deref(), Some(ID));
    let several = format!("v1,AAAA v0,x {SIGNATURE}");
    check(&standard(), signed(ID, "1614265330", &several), &[SECRET]).unwrap();
    let rotated = Verify::StandardWebhooks { secrets: vec!["NEW".into(), "S".into()], tolerance: MINUTES };
    let secrets = [("NEW", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"), SECRET];
    check(&rotated, signed(ID, "1614265330", SIGNATURE), &secrets).unwrap();
}

#[test]
fn an_ed25519_standard_webhook_is_checked() {
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    let pair = Ed25519KeyPair::generate().unwrap();
    let message = [ID.as_bytes(), b".1614265330.", BODY].concat();
    let signature = format!("v1a,{}", STANDARD.encode(pair.sign(&message)));
    let key = format!("whpk_{}", STANDARD.encode(pair.public_key()));
    check(&standard(), signed(ID, "1614265330", &signature), &[("S", &key)]).unwrap();
    refused(&standard(), signed("msg_other", "1614265330", &signature), &[("S", &key)]);
    refused(&standard(), signed(ID, "1614265330", &signature), &[SECRET]);
}

#[test]
fn a_body_that_is_not_text_is_verified_as_bytes() {
    let body = [0xff, 0x00, 0xfe];
    let tag = super::hmac::sign(HmacAlgorithm::Sha256, b"k", &[&body]);
    let header = format!("sha256={}", ringback_records::name::hex(tag.as_ref()));
    let github = provider("github");
    check(&github, callback(&[("x-hub-signature-256", &header)], &body), &[("S", "k")]).unwrap();
}

// GitHub's documentation, "Testing the webhook payload validation".
const GITHUB: &str = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
const GITHUB_SECRET: (&str, &str) = ("S", "It's a Secret to Everybody");

#[test]
fn github_signatures_are_checked() {
    let scheme = provider("github");
    let body = b"Hello, World!";
    for (headers, expected) in [
        (vec![], "no x-hub-signature-256"),
        (vec![("x-hub-signature-256", "")], "does not begin"),
        (vec![("x-hub-signature-256", "sha1=757107ea0eb2509f")], "does not begin"),
        (vec![("x-hub-signature-256", "sha256=75710")], "not hexadecimal"),
        (vec![("x-hub-signature-256", "sha256=zz")], "not hexadecimal"),
        (vec![("x-hub-signature-256", "sha256=757107ea")], "does not match"),
        (vec![("x-hub-signature-256", GITHUB), ("x-hub-signature-256", GITHUB)], "more than once"),
    ] {
        let reason = refused(&scheme, callback(&headers, body), &[GITHUB_SECRET]);
        assert!(reason.contains(expected), "{reason}");
    }
    refused(&scheme, callback(&[("x-hub-signature-256", GITHUB)], b"Hello, World"), &[GITHUB_SECRET]);
    let genuine = callback(&[("x-hub-signature-256", GITHUB), ("x-github-delivery", "d1")], body);
    let verified = check(&scheme, genuine, &[GITHUB_SECRET]).unwrap();
    assert_eq!(verified.proof().delivery_id.as_deref(), Some("d1"));
}

// Slack's documented example, of 2018.
const SLACK_BODY: &[u8] = b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
const SLACK: &str = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503";
const SLACK_SECRET: (&str, &str) = ("S", "8f742231b10e8888abcd99yyyzzz85a5");
const SLACK_TIME: &str = "1531420618";

fn at(scheme: &Verify, seconds: u64, callback: Callback, secrets: &[(&str, &str)]) -> Result<Verified, Stop> {
    let secrets = Vault::for_testing(&Name::default_name(), secrets);
    verify(scheme, callback.into(), &secrets, Timestamp::from_millis(seconds * 1000), None)
}

#[test]
fn a_described_hmac_is_checked() {
    let slack = Verify::Hmac(Hmac {
        secrets: vec!["S".into()],
        header: "x-slack-signature".into(),
        algorithm: HmacAlgorithm::Sha256,
        encoding: Encoding::Hex,
        prefix: "v0=".into(),
        signed: vec![
            SignedPart::Literal("v0:".into()),
            SignedPart::Timestamp,
            SignedPart::Literal(":".into()),
            SignedPart::Body,
        ],
        timestamp_header: Some("x-slack-request-timestamp".into()),
        // The example is of 2018; the tests' clock is not.
        tolerance: Duration::from_hours(24 * 3650),
        id_header: None,
    });
    let headers = |timestamp| [("x-slack-signature", SLACK), ("x-slack-request-timestamp", timestamp)];
    let slack_callback = |timestamp, count: usize| callback(&headers(timestamp)[..count], SLACK_BODY);
    assert!(refused(&slack, slack_callback("1531420619", 2), &[SLACK_SECRET]).contains("does not match"));
    assert!(refused(&slack, slack_callback(SLACK_TIME, 1), &[SLACK_SECRET]).contains("no x-slack-request"));
    check(&slack, slack_callback(SLACK_TIME, 2), &[SLACK_SECRET]).unwrap();
}

#[test]
fn slack_signs_time_and_body() {
    let (scheme, now) = (provider("slack"), 1_531_420_618);
    let signed = |signature: &str, time: &str, body: &[u8]| {
        callback(&[("x-slack-signature", signature), ("x-slack-request-timestamp", time)], body)
    };
    let upper = SLACK.replace("a2114d57", "A2114D57");
    for (callback, seconds, expected) in [
        (callback(&[], SLACK_BODY), now, "no x-slack-signature"),
        (callback(&[("x-slack-signature", SLACK)], SLACK_BODY), now, "no x-slack-request-timestamp"),
        (signed("", SLACK_TIME, SLACK_BODY), now, "does not begin"),
        (signed(&SLACK[3..], SLACK_TIME, SLACK_BODY), now, "does not begin"),
        (signed(&SLACK.replace("v0", "v1"), SLACK_TIME, SLACK_BODY), now, "does not begin"),
        (signed("v0=", SLACK_TIME, SLACK_BODY), now, "does not match"),
        (signed(&SLACK[..11], SLACK_TIME, SLACK_BODY), now, "does not match"),
        (signed(&format!("{SLACK}00"), SLACK_TIME, SLACK_BODY), now, "does not match"),
        (signed(&format!("{SLACK} "), SLACK_TIME, SLACK_BODY), now, "not hexadecimal"),
        (signed(SLACK, "1531420619", SLACK_BODY), now, "does not match"),
        (signed(SLACK, "01531420618", SLACK_BODY), now, "does not match"),
        (signed(SLACK, "+1531420618", SLACK_BODY), now, "does not match"),
        (signed(SLACK, SLACK_TIME, &[SLACK_BODY, b"&"].concat()), now, "does not match"),
        (signed(SLACK, SLACK_TIME, &[b"\xef\xbb\xbf", SLACK_BODY].concat()), now, "does not match"),
        (signed(SLACK, SLACK_TIME, b""), now, "does not match"),
        (signed(SLACK, SLACK_TIME, SLACK_BODY), now + 301, "301 s old"),
        (signed(SLACK, SLACK_TIME, SLACK_BODY), now - 301, "301 s in the future"),
    ] {
        let stop = at(&scheme, seconds, callback, &[SLACK_SECRET]).unwrap_err();
        assert_eq!((stop.problem.status, stop.reason.contains(expected)), (401, true), "{}", stop.reason);
    }
    assert!(at(&scheme, now, signed(SLACK, SLACK_TIME, SLACK_BODY), &[("S", "another")]).is_err());
    for (signature, seconds) in [(SLACK, now), (SLACK, now + 300), (SLACK, now - 300), (&upper, now)] {
        at(&scheme, seconds, signed(signature, SLACK_TIME, SLACK_BODY), &[SLACK_SECRET]).unwrap();
    }
}

// Made with Python's hmac for a body that Stripe's documentation has.
const STRIPE_BODY: &[u8] = b"{\n  \"id\": \"evt_test_webhook\",\n  \"object\": \"event\"\n}";
const STRIPE: &str = "4f1cd7feda9826e746b7d482c4badebb657398df1099e1046364f6196a230150";
const STRIPE_SECRET: (&str, &str) = ("S", "whsec_test_secret");

#[test]
fn stripe_signs_time_and_body() {
    let (scheme, now) = (provider("stripe"), 1_700_000_000);
    let signed = |header: &str| callback(&[("stripe-signature", header)], STRIPE_BODY);
    let good = format!("t={now},v1={STRIPE}");
    for (header, seconds, expected) in [
        (String::new(), now, "no time"),
        ("t".into(), now, "no time"),
        (format!("v1={STRIPE}"), now, "no time"),
        (format!("t={now}"), now, "no readable"),
        (format!("t={now},v1="), now, "matches"),
        (format!("t={now},v1=zz"), now, "no readable"),
        (format!("t={now},v1={}", &STRIPE[..8]), now, "matches"),
        (format!("t={now},v0={STRIPE}"), now, "no readable"),
        (format!("t={now},v2={STRIPE}"), now, "no readable"),
        (format!("t={now},t={now},v1={STRIPE}"), now, "two times"),
        (format!("t={},v1={STRIPE}", now + 1), now, "matches"),
        (format!("t=0{now},v1={STRIPE}"), now, "matches"),
        (format!("t=,v1={STRIPE}"), now, "matches"),
        (format!("t={now}.,v1={STRIPE}"), now, "matches"),
        (format!("t={now}{}", format!(",v1={}", "00".repeat(32)).repeat(8)) + &format!(",v1={STRIPE}"), now, "matches"),
        (good.clone(), now + 301, "301 s old"),
        (good.clone(), now - 301, "301 s in the future"),
    ] {
        let stop = at(&scheme, seconds, signed(&header), &[STRIPE_SECRET]).unwrap_err();
        assert_eq!((stop.problem.status, stop.reason.contains(expected)), (401, true), "{header}: {}", stop.reason);
    }
    let mut twice = signed(&good);
    twice.request.headers.append("stripe-signature", good.parse().unwrap());
    assert!(at(&scheme, now, twice, &[STRIPE_SECRET]).unwrap_err().reason.contains("more than once"));
    let minified = callback(&[("stripe-signature", &good)], br#"{"id":"evt_test_webhook","object":"event"}"#);
    assert!(at(&scheme, now, minified, &[STRIPE_SECRET]).is_err(), "the bytes count, not the value");
    assert!(at(&scheme, now, signed(&good), &[("S", "")]).is_err());
    let rolled = Verify::Provider {
        provider: Provider::by_name("stripe").unwrap(),
        secrets: vec!["NEW".into(), "S".into()],
        tolerance: MINUTES,
        verify_tokens: Vec::new(),
    };
    at(&rolled, now, signed(&good), &[("NEW", "whsec_next"), STRIPE_SECRET]).unwrap();
    for header in [good.clone(), format!("t={now}, v1={}, v1={STRIPE}, v0=x", "00".repeat(32))] {
        let verified = at(&scheme, now + 300, signed(&header), &[STRIPE_SECRET]).unwrap();
        assert_eq!(verified.proof().delivery_id.as_deref(), Some("evt_test_webhook"));
    }
}

/// The first is made with Python's hmac; the others follow from the same key and body.
#[test]
fn signatures_over_the_body_are_checked() {
    let body = br#"{"id":1}"#;
    let mac = "VnKUjZsLuN5iZWjn5EntcBVCF9kMN43LglzCE1/GSeY=";
    let tag = super::hmac::sign(HmacAlgorithm::Sha256, b"hush", &[body]);
    let hex = format!("sha256={}", ringback_records::name::hex(tag.as_ref()));
    let with_prefix = format!("sha256={mac}");
    let secret = [("S", "hush")];
    for (of, header, good, wrong) in [
        ("shopify", "x-shopify-hmac-sha256", mac, ["", "VnKUjZsL", "VnKUjZsLuN5iZWjn5EntcBVCF9kMN43LglzCE1/GSeY"]),
        ("twitter", "x-twitter-webhooks-signature", &with_prefix, [mac, "sha256=", &hex]),
        ("meta", "x-hub-signature-256", &hex, ["", &hex[7..], &with_prefix]),
    ] {
        let scheme = provider(of);
        for wrong in wrong {
            refused(&scheme, callback(&[(header, wrong)], body), &secret);
        }
        refused(&scheme, callback(&[], body), &secret);
        refused(&scheme, callback(&[(header, good), (header, good)], body), &secret);
        refused(&scheme, callback(&[(header, good)], br#"{"id":2}"#), &secret);
        refused(&scheme, callback(&[(header, good)], br#"{ "id": 1 }"#), &secret);
        refused(&scheme, callback(&[(header, good)], body), &[("S", "other")]);
        refused(&scheme, callback(&[(header, good)], body), &[("S", "")]);
        check(&scheme, callback(&[(header, good)], body), &secret).unwrap();
    }
    let shopify = callback(&[("x-shopify-hmac-sha256", mac), ("x-shopify-webhook-id", "w1")], body);
    let verified = check(&provider("shopify"), shopify, &secret).unwrap();
    assert_eq!(verified.proof().delivery_id.as_deref(), Some("w1"));
}

#[test]
fn every_graph_notification_carries_the_secret() {
    let scheme = provider("microsoft-graph");
    for wrong in [
        "",
        "{}",
        "[]",
        r#"{"value":[]}"#,
        r#"{"value":[{}]}"#,
        r#"{"value":[{"clientState":""}]}"#,
        r#"{"value":[{"clientState":1}]}"#,
        r#"{"value":[{"clientState":"hus"}]}"#,
        r#"{"value":[{"clientState":"hush"},{"clientState":"other"}]}"#,
        r#"{"value":[{"clientState":"hush"},{}]}"#,
    ] {
        refused(&scheme, callback(&[], wrong.as_bytes()), &[("S", "hush")]);
        refused(&scheme, callback(&[], wrong.as_bytes()), &[("S", "")]);
    }
    check(&scheme, callback(&[], br#"{"value":[{"clientState":"hush"}]}"#), &[("S", "hush")]).unwrap();
}

/// Nobody is let in by a callback without any proof, whatever the provider.
#[test]
fn no_provider_takes_a_bare_callback() {
    for Provider { name, .. } in &PROVIDERS {
        assert!(!refused(&provider(name), callback(&[], b"{}"), &[("S", "k")]).is_empty(), "{name}");
        let stop = check(&provider(name), callback(&[], b"{}"), &[]).unwrap_err();
        assert_eq!(stop.problem.code, "secret_missing", "{name}");
    }
}

/// A callback as the provider signs it, with its secret and the time.
fn genuine(name: &str) -> (Callback, (&'static str, &'static str), u64) {
    let hush = ("S", "hush");
    let meta = "sha256=5672948d9b0bb8de626568e7e449ed70154217d90c378dcb825cc2135fc649e6";
    let base64 = "VnKUjZsLuN5iZWjn5EntcBVCF9kMN43LglzCE1/GSeY=";
    let over_id = |header, signature: &str| callback(&[(header, signature)], br#"{"id":1}"#);
    match name {
        "github" => (callback(&[("x-hub-signature-256", GITHUB)], b"Hello, World!"), GITHUB_SECRET, NOW),
        "stripe" => {
            let header = format!("t=1700000000,v1={STRIPE}");
            (callback(&[("stripe-signature", &header)], STRIPE_BODY), STRIPE_SECRET, 1_700_000_000)
        }
        "slack" => {
            let headers = [("x-slack-signature", SLACK), ("x-slack-request-timestamp", SLACK_TIME)];
            (callback(&headers, SLACK_BODY), SLACK_SECRET, 1_531_420_618)
        }
        "shopify" => (over_id("x-shopify-hmac-sha256", base64), hush, NOW),
        "meta" => (over_id("x-hub-signature-256", meta), hush, NOW),
        "twitter" => (over_id("x-twitter-webhooks-signature", &format!("sha256={base64}")), hush, NOW),
        "microsoft-graph" => (callback(&[], br#"{"value":[{"clientState":"hush"}]}"#), hush, NOW),
        _ => panic!(
            "there is no genuine callback of {name}: a provider has one here, made by somebody else than this code"
        ),
    }
}

/// Every row of the table, with a callback that was signed elsewhere.
#[test]
fn every_provider_is_checked_with_a_callback_of_its_own() {
    for Provider { name, .. } in &PROVIDERS {
        let (callback, secret, now) = genuine(name);
        let scheme = provider(name);
        for wrong in [("S", "another"), ("S", ""), ("T", secret.1)] {
            assert!(at(&scheme, now, callback.clone(), &[wrong]).is_err(), "{name}: {wrong:?}");
        }
        let mut altered = callback.clone();
        altered.request.body = [b"{", &altered.request.body[..]].concat().into();
        assert!(at(&scheme, now, altered, &[secret]).is_err(), "{name}: the body");
        for header in callback.request.headers.keys() {
            let mut without = callback.clone();
            without.request.headers.remove(header);
            assert!(at(&scheme, now, without, &[secret]).is_err(), "{name}: no {header}");
        }
        at(&scheme, now, callback, &[secret]).unwrap_or_else(|stop| panic!("{name}: {}", stop.reason));
    }
}

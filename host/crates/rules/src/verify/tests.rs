use super::recipe::sign;
use super::{Algorithm, Layout, Part, Provider, Recipe, Source, Verified, Verify, providers, verify};
use crate::vault::Vault;
use bytes::Bytes;
use http::{HeaderMap, HeaderName};
use ringback_records::callback::{Callback, Request};
use ringback_records::name::{CallbackId, Name};
use ringback_records::stop::Stop;
use ringback_records::time::Timestamp;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::time::Duration;

const NOW: u64 = 1_614_265_330;
const MINUTES: Duration = Duration::from_mins(5);

pub(super) fn callback(headers: &[(&str, &str)], body: &[u8]) -> Callback {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
    }
    Callback {
        id: CallbackId::new(),
        workspace: Name::default_name(),
        environment: Name::default_name(),
        request: Request {
            headers: map,
            body: Bytes::copy_from_slice(body),
            received_at: Timestamp::from_millis(NOW * 1000),
            ..Request::for_testing()
        },
        base_url: "https://hooks.example".into(),
        site: None,
        claims: None,
    }
}

fn check(scheme: &Verify, callback: Callback, secrets: &[(&str, &str)]) -> Result<Verified, Stop> {
    println!("1 cases");
    let secrets = Vault::in_memory(&Name::default_name(), secrets);
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
    let tolerance = provider.tolerance;
    Verify::Provider { provider, secrets: vec!["S".into()], tolerance, verify_tokens: Vec::new(), url: None }
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
    let tag = sign(Algorithm::Sha256, b"k", &[&body]);
    let header = format!("sha256={}", ringback_records::name::hex(&tag));
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

pub(super) fn at(
    scheme: &Verify,
    seconds: u64,
    callback: Callback,
    secrets: &[(&str, &str)],
) -> Result<Verified, Stop> {
    let secrets = Vault::in_memory(&Name::default_name(), secrets);
    verify(scheme, callback.into(), &secrets, Timestamp::from_millis(seconds * 1000), None)
}

#[test]
fn a_described_hmac_is_checked() {
    let recipe = Recipe {
        value: Layout::alone("v0="),
        signed: Part::parse("v0:{timestamp}:{body}").unwrap(),
        timestamp: Some(Source::Header("x-slack-request-timestamp".into())),
        ..Recipe::over_body("x-slack-signature")
    };
    let slack = Verify::Described {
        recipe: Box::new(recipe),
        secrets: vec!["S".into()],
        // The example is of 2018; the tests' clock is not.
        tolerance: Duration::from_hours(24 * 3650),
        url: None,
    };
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
        url: None,
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
    let tag = sign(Algorithm::Sha256, b"hush", &[body]);
    let hex = format!("sha256={}", ringback_records::name::hex(&tag));
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
    for Provider { name, .. } in providers() {
        assert!(!refused(&provider(name), callback(&[], b"{}"), &[("S", "k")]).is_empty(), "{name}");
        let stop = check(&provider(name), callback(&[], b"{}"), &[]).unwrap_err();
        assert_eq!(stop.problem.code, "secret_missing", "{name}");
    }
}

/// A callback that somebody else signed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Vector {
    pub provider: String,
    /// Who signed it.
    source: String,
    pub secret: String,
    /// When, in seconds since 1970.
    pub at: u64,
    headers: BTreeMap<String, String>,
    body: String,
    #[serde(default)]
    query: String,
    /// The URL that was called, where it is not that of the tests.
    pub url: Option<String>,
}

impl Vector {
    pub fn all() -> Vec<Self> {
        serde_json::from_str(include_str!("vectors.json")).unwrap()
    }

    pub fn callback(&self) -> Callback {
        let headers: Vec<_> = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let mut callback = callback(&headers, self.body.as_bytes());
        callback.request.query.clone_from(&self.query);
        callback
    }

    fn scheme(&self) -> Verify {
        let mut scheme = provider(&self.provider);
        if let Verify::Provider { url, .. } = &mut scheme {
            url.clone_from(&self.url);
        }
        scheme
    }

    fn is_accepted(&self, callback: Callback, secret: (&str, &str), at_time: u64) -> Result<Verified, Stop> {
        at(&self.scheme(), at_time, callback, &[secret])
    }
}

/// A text with one of its bytes changed, for each.
fn changed(text: &str) -> impl Iterator<Item = Vec<u8>> {
    (0..text.len()).map(|place| {
        let mut bytes = text.as_bytes().to_vec();
        bytes[place] ^= 1;
        bytes
    })
}

/// Every row of the catalogue, with callbacks that were signed elsewhere: one changed byte, and they are refused.
#[test]
fn every_provider_is_checked_with_a_callback_of_its_own() {
    let vectors = Vector::all();
    for Provider { name, .. } in providers() {
        assert!(
            vectors.iter().any(|vector| vector.provider == *name),
            "{name} has no vector, made by somebody else than this code"
        );
    }
    let mut cases = 0;
    for vector in &vectors {
        let Vector { provider: name, source, secret, .. } = vector;
        assert!(!source.is_empty(), "{name}");
        let known = Provider::by_name(name).unwrap();
        let mut refused = |callback: Callback, secret: (&str, &str), what: &str| {
            cases += 1;
            let accepted = vector.is_accepted(callback, secret, vector.at);
            let status = accepted.map_or_else(|stop| stop.problem.status, |_| 200);
            assert!([401, 500].contains(&status), "{name}: {what}: {status}");
        };
        let genuine = vector.callback();
        for wrong in [("S", "another"), ("S", ""), ("T", secret.as_str())] {
            refused(genuine.clone(), wrong, "the secret");
        }
        for bytes in changed(&vector.body).filter(|_| known.signs_body()) {
            let mut altered = genuine.clone();
            altered.request.body = bytes.into();
            refused(altered, ("S", secret), "the body");
        }
        for body in [&[vector.body.as_bytes(), b"\n"].concat()[..], b""] {
            let mut altered = genuine.clone();
            altered.request.body = Bytes::copy_from_slice(body);
            if known.signs_body() {
                refused(altered, ("S", secret), "the length of the body");
            }
        }
        let unsigned_id = known.recipe().and_then(|recipe| recipe.id.as_ref().filter(|_| !recipe.id_is_needed));
        for (header, value) in &vector.headers {
            let is_signed = header != "content-type" && unsigned_id != Some(&Source::Header(header.clone()));
            for bytes in changed(value).filter(|_| is_signed) {
                let Ok(value) = http::HeaderValue::from_bytes(&bytes) else { continue };
                let mut altered = genuine.clone();
                altered.request.headers.insert(header.parse::<HeaderName>().unwrap(), value);
                refused(altered, ("S", secret), header);
            }
            let mut without = genuine.clone();
            without.request.headers.remove(header);
            if is_signed {
                refused(without, ("S", secret), header);
            }
        }
        for query in changed(&vector.query) {
            let mut altered = genuine.clone();
            altered.request.query = String::from_utf8(query).unwrap();
            refused(altered, ("S", secret), "the query");
        }
        if let Some(recipe) = known.recipe().filter(|recipe| recipe.signs_time()) {
            let late = vector.at + known.tolerance.as_secs() + 1;
            let stop = vector.is_accepted(genuine.clone(), ("S", secret), late).unwrap_err();
            assert!(stop.reason.contains("s old"), "{name}: {}", stop.reason);
            assert!(recipe.value.has_time() || recipe.timestamp.is_some(), "{name}");
        }
        if known.signs_url() {
            let mut elsewhere = vector.scheme();
            if let Verify::Provider { url, .. } = &mut elsewhere {
                *url = Some("https://hooks.example/h/other".to_owned());
            }
            at(&elsewhere, vector.at, genuine.clone(), &[("S", secret)]).unwrap_err();
        }
        vector.is_accepted(genuine, ("S", secret), vector.at).unwrap_or_else(|stop| panic!("{name}: {}", stop.reason));
    }
    assert!(cases > 20_000, "{cases}");
    println!("{cases} cases");
}

/// Adyen signs fields: each of them, of each notification, or none counts.
#[test]
fn every_notification_of_adyen_is_signed_by_its_fields() {
    let vector = Vector::all().into_iter().find(|vector| vector.provider == "adyen").unwrap();
    let with = |body: &str| vector.is_accepted(callback(&[], body.as_bytes()), ("S", &vector.secret), vector.at);
    for (from, to) in [
        ("1130", "1131"),
        ("EUR", "USD"),
        ("7914073381342284", "7914073381342285"),
        ("AUTHORISATION", "REFUND"),
        ("TestMerchant", "Other"),
        ("TestPayment", "Other"),
        ("\"true\"", "\"false\""),
        ("coqC", "doqC"),
        ("hmacSignature", "other"),
        ("notificationItems", "others"),
        ("{\"NotificationRequestItem\"", "{\"a\":1},{\"NotificationRequestItem\""),
        ("\"pspReference\"", "\"originalReference\":\"x\",\"pspReference\""),
    ] {
        assert!(vector.body.contains(from), "{from}");
        let stop = with(&vector.body.replacen(from, to, 1)).unwrap_err();
        assert_eq!(stop.problem.status, 401, "{from}: {}", stop.reason);
    }
    for body in ["", "{}", r#"{"notificationItems":[]}"#, r#"{"notificationItems":{}}"#] {
        assert_eq!(with(body).unwrap_err().problem.status, 401, "{body}");
    }
    let twice = vector.body.replacen("}}]", "}}, ITEM]", 1);
    let item = &vector.body[vector.body.find("{\"Notif").unwrap()..vector.body.rfind(']').unwrap()];
    with(&twice.replace("ITEM", item)).unwrap();
}

/// A token says by what it is signed, and is believed in nothing.
#[test]
fn a_token_counts_for_its_body_and_its_time() {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use ringback_records::name::hex;
    let hash = hex(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, b"{}").as_ref());
    let check = |header: &str, claims: &str| {
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let tag = URL_SAFE_NO_PAD.encode(sign(Algorithm::Sha256, b"hush", &[signed.as_bytes()]));
        let token = format!("Bearer {signed}.{tag}");
        check(&provider("vonage"), callback(&[("authorization", &token)], b"{}"), &[("S", "hush")])
    };
    let hs256 = r#"{"alg":"HS256"}"#;
    let claims = |more: &str| format!("{{\"payload_hash\":\"{hash}\"{more}}}");
    for (header, claims, expected) in [
        (r#"{"alg":"none"}"#, claims(""), "not signed by HS256"),
        (r#"{"alg":"RS256"}"#, claims(""), "not signed by HS256"),
        (r#"{"alg":"HS256","crit":["b64"]}"#, claims(""), "not signed by HS256"),
        ("[]", claims(""), "is no JWT"),
        ("{", claims(""), "is no JWT"),
        (hs256, "{}".to_owned(), "another body's hash"),
        (hs256, r#"{"payload_hash":"00"}"#.to_owned(), "another body's hash"),
        (hs256, claims(&format!(",\"exp\":{}", NOW - 301)), "has expired"),
        (hs256, claims(",\"exp\":\"never\""), "that is no time"),
        (hs256, claims(&format!(",\"nbf\":{}", NOW + 301)), "not valid yet"),
        (hs256, claims(&format!(",\"iat\":{}", NOW - 301)), "301 s old"),
    ] {
        let stop = check(header, &claims).unwrap_err();
        assert_eq!((stop.problem.status, stop.reason.contains(expected)), (401, true), "{claims}: {}", stop.reason);
    }
    let verified = check(hs256, &claims(&format!(",\"iat\":{NOW},\"jti\":\"d\""))).unwrap();
    assert_eq!(verified.proof().delivery_id.as_deref(), Some("d"));
}

/// What cannot be a secret of the scheme is known before the first callback.
#[test]
fn a_secret_of_another_form_is_told() {
    for (name, wrong, expected) in [
        ("discord", "not a key", "Ed25519"),
        ("discord", "ab", "Ed25519"),
        ("telnyx", "AAAA", "Ed25519"),
        ("sendgrid", "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4", "P-256"),
        ("sendgrid", "-----BEGIN PUBLIC KEY-----\nnot base64\n-----END PUBLIC KEY-----", "P-256"),
        ("clerk", "whsec_%%%", "whsec_"),
        ("clerk", "whsec_", "whsec_"),
        ("clerk", "whpk_AAAA", "whpk_"),
        ("airtable", "%%%", "base64"),
        ("authorize-net", "xyz", "hexadecimal"),
        ("authorize-net", "abc", "hexadecimal"),
    ] {
        let reason = provider(name).check_secret(wrong.as_bytes()).unwrap_err();
        assert!(reason.contains(expected), "{name}: {reason}");
        assert!(wrong == "whsec_" || !reason.contains(wrong), "{name}: {reason}");
    }
    for vector in Vector::all() {
        vector
            .scheme()
            .check_secret(vector.secret.as_bytes())
            .unwrap_or_else(|why| panic!("{}: {why}", vector.provider));
    }
}

#[test]
fn a_time_is_seconds_milliseconds_or_a_date() {
    for (text, expected) in [
        ("", None),
        ("soon", None),
        ("-1", None),
        ("01614265330", None),
        ("1614265330.5", None),
        ("9999999999999999", None),
        ("0", Some(0)),
        ("1614265330", Some(1_614_265_330)),
        ("1614265330123", Some(1_614_265_330)),
        ("2021-02-25T15:02:10Z", Some(1_614_265_330)),
        ("2021-02-25T16:02:10.5+01:00", Some(1_614_265_330)),
        ("2021-02-25T15:02:10.000000", Some(1_614_265_330)),
    ] {
        assert_eq!(super::signed_at(text), expected, "{text}");
    }
}

#[test]
fn a_header_is_read_by_its_layout() {
    let read = |layout: &str, separator: Option<char>, text: &str| {
        let mut found = super::template::Found::default();
        Layout::parse(layout, separator).unwrap().read(text, &mut found)?;
        Ok::<_, String>((found.signatures, found.timestamp, found.id))
    };
    let signatures = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let stripe = "t={timestamp},v1={signature}";
    assert_eq!(read(stripe, None, "t=1,v1=a, v1=b,v0=c"), Ok((signatures(&["a", "b"]), Some("1".into()), None)));
    assert_eq!(read(stripe, None, "t=1,t=2,v1=a"), Err("has two times".into()));
    assert_eq!(read("{timestamp},{signature}", None, "1,a,b"), Ok((signatures(&["a", "b"]), Some("1".into()), None)));
    let quoted = "nonce=\"{id}\", signature=\"{signature}\"";
    assert_eq!(
        read(quoted, Some(','), "nonce=\"n\", signature=\"s\""),
        Ok((signatures(&["s"]), None, Some("n".into())))
    );
    for (wrong, separator) in [
        ("", None),
        ("plain", None),
        ("{timestamp}", None),
        ("{signature}{timestamp}", None),
        ("a={signature},b={signature}", None),
        ("a={signature", None),
        ("a={other}", None),
        ("t={timestamp},t={timestamp},v={signature}", None),
        ("v1={signature},x", Some(',')),
    ] {
        assert!(Layout::parse(wrong, separator).is_err(), "{wrong}");
    }
}

use super::{MessageAlgorithm, MessageSignature};
use crate::vault::SecretValue;
use crate::verify::KeyForm;
use crate::verify::tests::callback;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ringback_records::callback::Callback;
use ringback_records::stop::Stop;
use ringback_records::time::Timestamp;
use std::time::Duration;

const CREATED: u64 = 1_618_884_473;
/// RFC 9421, appendix B.2: the message, and what signs it (B.1).
const BODY: &[u8] = b"{\"hello\": \"world\"}";
const DIGEST: &str =
    "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:";
const SHARED: &str = "uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ==";
const ED25519: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAJrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=\n-----END PUBLIC KEY-----";
const RSA_PSS: &str = "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAr4tmm3r20Wd/PbqvP1s2+QEtvpuRaV8Yq40gjUR8y2Rjxa6dpG2GXHbPfvMs8ct+Lh1GH45x28Rw3Ry53mm+oAXjyQ86OnDkZ5N8lYbggD4O3w6M6pAvLkhk95AndTrifbIFPNU8PPMO7OyrFAHqgDsznjPFmTOtCEcN2Z1FpWgchwuYLPL+Wokqltd11nqqzi+bJ9cvSKADYdUAAN5WUtzdpiy6LbTgSxP7ociU4Tn0g5I6aDZJ7A8Lzo0KSyZYoA485mqcO0GVAdVw9lq4aOT9v6d+nb4bnNkQVklLQ3fVAvJm+xdDOp9LCNCN48V2pnDOkFV6+U9nV5oyc6XI2wIDAQAB";
/// B.2.2, B.2.5 and B.2.6.
const B22: (&str, &str) = (
    "sig-b22=(\"@authority\" \"content-digest\" \"@query-param\";name=\"Pet\");created=1618884473;keyid=\"test-key-rsa-pss\";tag=\"header-example\"",
    "sig-b22=:LjbtqUbfmvjj5C5kr1Ugj4PmLYvx9wVjZvD9GsTT4F7GrcQEdJzgI9qHxICagShLRiLMlAJjtq6N4CDfKtjvuJyE5qH7KT8UCMkSowOB4+ECxCmT8rtAmj/0PIXxi0A0nxKyB09RNrCQibbUjsLS/2YyFYXEu4TRJQzRw1rLEuEfY17SARYhpTlaqwZVtR8NV7+4UKkjqpcAoFqWFQh62s7Cl+H2fjBSpqfZUJcsIk4N6wiKYd4je2U/lankenQ99PZfB4jY3I5rSV2DSBVkSFsURIjYErOs0tFTQosMTAoxk//0RoKUqiYY8Bh0aaUEb0rQl3/XaVe4bXTugEjHSw==:",
);
const B25: (&str, &str) = (
    "sig-b25=(\"date\" \"@authority\" \"content-type\");created=1618884473;keyid=\"test-shared-secret\"",
    "sig-b25=:pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=:",
);
const B26: (&str, &str) = (
    "sig-b26=(\"date\" \"@method\" \"@path\" \"@authority\" \"content-type\" \"content-length\");created=1618884473;keyid=\"test-key-ed25519\"",
    "sig-b26=:wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==:",
);

fn message((input, signature): (&str, &str)) -> Callback {
    let headers = [
        ("host", "example.com"),
        ("date", "Tue, 20 Apr 2021 02:07:55 GMT"),
        ("content-type", "application/json"),
        ("content-digest", DIGEST),
        ("content-length", "18"),
        ("signature-input", input),
        ("signature", signature),
    ];
    let mut message = callback(&headers, BODY);
    message.base_url = "https://example.com".to_owned();
    message.request.path = "/foo".to_owned();
    message.request.query = "param=Value&Pet=dog".to_owned();
    message
}

fn wanted(algorithm: MessageAlgorithm, covered: &[&str]) -> MessageSignature {
    let covered = covered.iter().map(|name| (*name).to_owned()).collect();
    MessageSignature { algorithm, key: KeyForm::Base64, covered }
}

fn check(wanted: &MessageSignature, message: &Callback, secret: &str, at: u64) -> Result<String, Stop> {
    let secrets = [SecretValue::new(secret.as_bytes().to_vec())];
    let now = Timestamp::from_millis(at * 1000);
    wanted.verify(message, &secrets, None, Duration::from_mins(5), now).map(|proof| proof.reason)
}

fn refused(wanted: &MessageSignature, message: &Callback, secret: &str, at: u64, expected: &str) {
    let stop = check(wanted, message, secret, at).unwrap_err();
    assert_eq!((stop.problem.status, stop.reason.contains(expected)), (401, true), "{}: {expected}", stop.reason);
}

#[test]
fn the_signatures_of_the_rfc_are_accepted_and_nothing_else() {
    let mut cases = 0;
    for (vector, algorithm, secret, covered) in [
        (B22, MessageAlgorithm::RsaPssSha512, RSA_PSS, &["@authority", "content-digest", "@query-param"][..]),
        (B25, MessageAlgorithm::HmacSha256, SHARED, &["date", "@authority", "content-type"]),
        (B26, MessageAlgorithm::Ed25519, ED25519, &["@method", "@path", "content-length"]),
    ] {
        let wanted = wanted(algorithm, covered);
        let genuine = message(vector);
        check(&wanted, &genuine, secret, CREATED).unwrap_or_else(|stop| panic!("{}: {}", vector.0, stop.reason));
        refused(&wanted, &genuine, secret, CREATED + 301, "301 s old");
        refused(&wanted, &genuine, secret, CREATED - 301, "301 s in the future");
        // One changed byte of what is signed.
        for (name, value) in &genuine.request.headers {
            let is_signed = vector.0.contains(&format!("\"{name}\"")) || name.as_str().starts_with("signature");
            for place in (0..value.len()).filter(|_| is_signed) {
                let mut bytes = value.as_bytes().to_vec();
                bytes[place] ^= 1;
                let mut altered = genuine.clone();
                let Ok(value) = http::HeaderValue::from_bytes(&bytes) else { continue };
                altered.request.headers.insert(name.clone(), value);
                assert!(
                    check(&wanted, &altered, secret, CREATED).is_err(),
                    "{name}: {}",
                    String::from_utf8_lossy(&bytes)
                );
                cases += 1;
            }
        }
        // The digest is checked wherever there is one.
        for place in 0..BODY.len() {
            let mut body = BODY.to_vec();
            body[place] ^= 1;
            let mut altered = genuine.clone();
            altered.request.body = body.into();
            refused(&wanted, &altered, secret, CREATED, "content-digest");
            cases += 1;
        }
        for missing in ["signature", "signature-input"] {
            let mut altered = genuine.clone();
            altered.request.headers.remove(missing);
            refused(&wanted, &altered, secret, CREATED, &format!("no {missing} header"));
        }
        assert!(check(&wanted, &genuine, if secret == SHARED { "AAAA" } else { ED25519_OTHER }, CREATED).is_err());
    }
    println!("{cases} cases");
}

/// Another key; RFC 8032, section 7.1, test 1.
const ED25519_OTHER: &str = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

#[test]
fn what_the_trigger_wants_signed_must_be() {
    let hmac = |covered: &[&str]| wanted(MessageAlgorithm::HmacSha256, covered);
    let genuine = message(B25);
    refused(&hmac(&["content-digest"]), &genuine, SHARED, CREATED, "does not cover `content-digest`");
    refused(&hmac(&["@method"]), &genuine, SHARED, CREATED, "does not cover `@method`");
    let altered = |input: &str| message((input, B25.1));
    for (input, expected) in [
        ("", "no signature"),
        ("sig-b25", "is no list"),
        ("sig-b25=1", "is no list"),
        ("sig-b25=(", "no dictionary"),
        ("sig-b25=();created=1,", "no dictionary"),
        ("other=();created=1618884473", "no signature that `signature` has"),
        ("sig-b25=(\"date\" \"date\");created=1618884473", "twice"),
        ("sig-b25=(1);created=1618884473", "has no name"),
        ("sig-b25=(\"@nothing\");created=1618884473", "is not known here"),
        ("sig-b25=(\"x-absent\");created=1618884473", "no x-absent header"),
        ("sig-b25=(\"date\";sf);created=1618884473", "parameters that are not known"),
        ("sig-b25=(\"@query-param\");created=1618884473", "does not say which"),
        ("sig-b25=(\"@query-param\";name=\"none\");created=1618884473", "not one parameter"),
        ("sig-b25=(\"date\");created=1618884473;alg=\"ed25519\"", "the trigger takes hmac-sha256"),
        ("sig-b25=(\"date\" \"@authority\" \"content-type\");keyid=\"test-shared-secret\"", "does not match"),
    ] {
        refused(&hmac(&[]), &altered(input), SHARED, CREATED, expected);
    }
    // Made here, to see what is asked of times.
    let signed = |parameters: &str| {
        let base = format!("\"@method\": POST\n\"@signature-params\": (\"@method\"){parameters}");
        let key = STANDARD.decode(SHARED).unwrap();
        let tag = crate::verify::recipe::sign(crate::verify::Algorithm::Sha256, &key, &[base.as_bytes()]);
        let (input, tag) = (format!("a=(\"@method\"){parameters}"), format!("a=:{}:", STANDARD.encode(tag)));
        message((&input, &tag))
    };
    check(&hmac(&["@method"]), &signed(";created=1618884473;nonce=\"n\""), SHARED, CREATED).unwrap();
    refused(&hmac(&[]), &signed(""), SHARED, CREATED, "does not say when");
    refused(&hmac(&[]), &signed(";created=1618884473;expires=1618884472"), SHARED, CREATED, "has expired");
    let mut without = signed(";created=1618884473");
    without.request.headers.remove("content-digest");
    check(&hmac(&[]), &without, SHARED, CREATED).unwrap();
    for (digest, expected) in [
        ("md5=:AAAA:", "neither sha-256 nor sha-512"),
        ("sha-256=1", "no digest"),
        ("sha-256=:AAAA:", "not that of the body"),
        ("sha-256", "no digest"),
        ("(", "no dictionary"),
    ] {
        let mut altered = signed(";created=1618884473");
        altered.request.headers.insert("content-digest", digest.parse().unwrap());
        refused(&hmac(&[]), &altered, SHARED, CREATED, expected);
    }
}

#[test]
fn a_signature_on_p256_is_as_the_rfc_writes_it() {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let base = "\"@method\": POST\n\"content-digest\": ".to_owned()
        + DIGEST
        + "\n\"@signature-params\": (\"@method\" \"content-digest\");created=1618884473";
    let signature = pair.sign(&SystemRandom::new(), base.as_bytes()).unwrap();
    let (input, signature) =
        ("a=(\"@method\" \"content-digest\");created=1618884473", format!("a=:{}:", STANDARD.encode(signature)));
    let wanted = wanted(MessageAlgorithm::EcdsaP256Sha256, &["content-digest"]);
    let key = STANDARD.encode(pair.public_key());
    check(&wanted, &message((input, &signature)), &key, CREATED).unwrap();
    refused(&wanted, &message((input, "a=:AAAA:")), &key, CREATED, "does not match");
    for wrong in ["", "AAAA", "no key"] {
        assert!(wanted.check_secret(wrong.as_bytes()).is_err());
    }
}

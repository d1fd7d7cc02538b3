use super::{Inference, Sample, infer};
use crate::flow::parse;
use crate::vault::{SecretValue, Vault};
use crate::verify::recipe::sign;
use crate::verify::tests::{Vector, at, callback};
use crate::verify::{Algorithm, Provider};
use ringback_records::callback::Callback;
use ringback_records::name::{Name, hex};

const SECRET: &str = "a secret of sixteen bytes and more";
const BODY: &str = "{\"id\":1,\"name\":\"Grüße\"}";

fn samples(callbacks: &[Callback]) -> Vec<Sample> {
    callbacks.iter().map(|callback| Sample { callback: callback.clone(), is_cut: false }).collect()
}

fn inferred(callbacks: &[Callback], secret: &str) -> Inference {
    let inference = infer(&samples(callbacks), "S", &[SecretValue::new(secret.as_bytes().to_vec())]);
    assert!(!format!("{inference:?}").contains(secret), "the secret is shown");
    inference
}

fn hash(text: &[u8]) -> String {
    hex(&sign(Algorithm::Sha256, SECRET.as_bytes(), &[text]))
}

/// Numbers that look random, the same in each run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn hexadecimal(&mut self, bytes: usize) -> String {
        let bytes: Vec<u8> = (0..bytes).map(|_| u8::try_from(self.next() & 0xff).unwrap()).collect();
        hex(&bytes)
    }
}

#[test]
fn no_recipe_is_found_in_a_thousand_random_callbacks() {
    let mut random = Random(20);
    for number in 0..1000 {
        let bytes = [20, 32, 48, 64][number % 4];
        let (mac, other) = (random.hexadecimal(bytes), random.hexadecimal(32));
        let header = match number % 5 {
            0 => mac,
            1 => format!("sha256={mac}"),
            2 => format!("t=1614265330,v1={mac}"),
            3 => format!("v1={mac},v1={other}"),
            _ => format!("1614265330;{mac}"),
        };
        let body = format!("{{\"random\":\"{other}\"}}\n");
        let headers = [("x-signature", header.as_str()), ("x-time", "1614265330"), ("x-message-id", other.as_str())];
        let found = inferred(&[callback(&headers, body.as_bytes())], SECRET);
        assert_eq!((found.verify, found.is_confirmed), (None, false), "{header}: {:?}", found.words);
        assert!(found.words.iter().any(|word| word.starts_with("no recipe")), "{header}: {:?}", found.words);
    }
    println!("1000 cases");
}

/// What is found is a block that a flow may have, and that accepts the callbacks.
fn accepts(block: &str, callback: &Callback, secret: &str) {
    let flow = parse(&format!("flow: f\nsteps:\n  - trigger: T\n    verify: {block}\n"), 1)
        .unwrap_or_else(|mistakes| panic!("{block}: {mistakes:?}"));
    let now = callback.request.received_at.as_secs();
    let scheme = &flow.flow.triggers[0].verify;
    at(scheme, now, callback.clone(), &[("S", secret)]).unwrap_or_else(|stop| panic!("{block}: {}", stop.reason));
    at(scheme, now, callback.clone(), &[("S", "another secret of that length, and more")]).unwrap_err();
}

#[test]
fn what_a_provider_signed_is_found_as_its_scheme() {
    let mut found_names = 0;
    for vector in Vector::all() {
        let known = Provider::by_name(&vector.provider).unwrap();
        // Where nothing signs the body, or the URL is another one, there is nothing to find.
        if !known.signs_body() || vector.url.is_some() {
            continue;
        }
        let mut callback = vector.callback();
        callback.request.received_at = ringback_records::time::Timestamp::from_millis(vector.at * 1000);
        let found = inferred(&[callback.clone(), callback], &vector.secret);
        assert!(found.providers.contains(&vector.provider), "{}: {found:?}", vector.provider);
        assert!(found.is_confirmed, "{found:?}");
        found_names += 1;
    }
    assert!(found_names > 130, "{found_names}");
}

#[test]
fn a_recipe_of_nobody_is_described() {
    let (time, id) = ("1614265330", "delivery-7");
    let mac = |text: &str| hash(text.as_bytes());
    let url = format!("https://hooks.example/h/key{BODY}");
    for (headers, expected) in [
        (vec![("x-shop-mac", mac(BODY))], "{ scheme: hmac, secret: S, header: x-shop-mac }"),
        (vec![("x-shop-mac", format!("mac={}", mac(BODY)))], "value: 'mac={signature}'"),
        (
            vec![("x-shop-mac", format!("t={time},sign={}", mac(&format!("{time}:{BODY}"))))],
            "signed: '{timestamp}:{body}'",
        ),
        (
            vec![("x-shop-mac", mac(&format!("{BODY}\n{time}"))), ("x-when", time.to_owned())],
            "timestamp_header: x-when",
        ),
        (
            vec![
                ("x-shop-mac", mac(&format!("{id}|{time}|{BODY}"))),
                ("x-when", time.to_owned()),
                ("x-shop-id", id.to_owned()),
            ],
            "id_header: x-shop-id",
        ),
        (vec![("x-shop-mac", mac(&url))], "signed: '{url}{body}'"),
        (vec![("x-door", SECRET.to_owned())], "{ scheme: api-key, secret: S, header: x-door }"),
        (vec![("x-door", format!("Door {SECRET}"))], "prefix: 'Door '"),
    ] {
        let given: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let one = callback(&given, BODY.as_bytes());
        let found = inferred(&[one.clone(), one.clone()], SECRET);
        let block = found.verify.clone().unwrap_or_else(|| panic!("{headers:?}: {:?}", found.words));
        assert!(block.contains(expected), "{block}: {expected}");
        assert!(found.is_confirmed && found.words.is_empty(), "{found:?}");
        accepts(&block, &one, SECRET);
        let alone = inferred(std::slice::from_ref(&one), SECRET);
        assert!(!alone.is_confirmed && alone.words.iter().any(|word| word.contains("does not confirm")), "{alone:?}");
        // One of another sender is not explained by it.
        let stranger = callback(&[("x-shop-mac", &"ab".repeat(32)), ("x-door", "nobody")], BODY.as_bytes());
        assert_eq!(inferred(&[one, stranger], SECRET).verify, None);
    }
}

#[test]
fn the_closest_miss_is_said_in_words() {
    let lines = "{\n  \"id\": 1\n}";
    for (signed, received, secret, expected) in [
        (BODY, format!("{BODY}\n"), SECRET.to_owned(), "after removing the last line end: a proxy changed the body"),
        (BODY, format!("{BODY}\r\n"), SECRET.to_owned(), "after removing the last line end"),
        ("{\"id\":1}\n", "{\"id\":1}".to_owned(), SECRET.to_owned(), "after adding a line end"),
        ("{\"id\":1}", "{ \"id\" : 1 }".to_owned(), SECRET.to_owned(), "the body was formatted"),
        (lines, "{\"id\":1}".to_owned(), SECRET.to_owned(), "indented by two spaces"),
        ("{\"id\": 1, \"b\": [1, 2]}", "{\"id\":1,\"b\":[1,2]}".to_owned(), SECRET.to_owned(), "as Python writes JSON"),
        (lines, lines.replace('\n', "\r\n"), SECRET.to_owned(), "line ends of LF"),
        ("{\"name\":\"Gr\\u00fc\\u00dfe\"}", "{\"name\":\"Grüße\"}".to_owned(), SECRET.to_owned(), "written as `\\u…`"),
        (BODY, BODY.to_owned(), format!("{SECRET}\n"), "without the line end of the secret"),
        (BODY, BODY.to_owned(), format!("prefix_{SECRET}"), "behind the first `_`"),
    ] {
        let one = callback(&[("x-shop-mac", &hash(signed.as_bytes()))], received.as_bytes());
        let found = inferred(&[one.clone(), one], &secret);
        assert_eq!(found.verify, None, "{expected}");
        assert!(found.words.iter().any(|word| word.contains(expected)), "{expected}: {:?}", found.words);
    }
    let wrong = callback(&[("x-shop-mac", &hash(BODY.as_bytes()))], BODY.as_bytes());
    let found = inferred(&[wrong], "quite another secret, as long as it");
    assert!(found.words[0].contains("x-shop-mac has the length of HMAC-SHA256, in hexadecimal"), "{found:?}");
    let cut = Sample { callback: callback(&[], b"{"), is_cut: true };
    let found = infer(&[cut], "S", &[]);
    assert!(found.words[0].contains("not kept whole"), "{found:?}");
    assert_eq!(inferred(&[callback(&[], b"")], SECRET).verify, None);
}

/// A body that is large costs no more than what may be hashed.
#[test]
fn what_is_tried_is_bounded() {
    let body = vec![b'x'; 8 << 20];
    let one = callback(&[("x-signature", &"ab".repeat(32)), ("x-time", "1614265330"), ("x-id", "7")], &body);
    let found = inferred(&[one], SECRET);
    assert!(found.words.iter().any(|word| word.contains("too large to try everything")), "{found:?}");
}

/// The vault is asked once, for values that are never in the answer.
#[test]
fn every_value_of_a_secret_is_tried() {
    let one = callback(&[("x-shop-mac", &hash(BODY.as_bytes()))], BODY.as_bytes());
    let vault = Vault::in_memory(&Name::default_name(), &[("S", SECRET)]);
    let value = vault.find(&Name::default_name(), &Name::default_name(), "S").unwrap();
    let found = infer(&samples(&[one]), "S", &[SecretValue::new(b"an earlier one, which is wrong".to_vec()), value]);
    assert!(found.verify.is_some());
}

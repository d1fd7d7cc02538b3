//! The values of secrets, found in what others answer however they write them.

use super::MARK;
use super::layers::{ENCODINGS, Layer};
use crate::expression::VALUE_BYTES_MIN;
use serde_json::Value;
use std::ops::Range;

/// How many escapes and encodings are undone on top of each other: base64 of a URL in JSON that is a text of JSON.
const LAYERS_MAX: usize = 4;
/// Bytes that are looked at, for each of the text. Ordinary ones take a quarter of it.
const WORK_MAX: usize = 64;
/// What the first bytes of values are told apart by, in bits.
const START_BITS: u32 = 16;

/// Values that are kept of no answer.
#[derive(Default)]
pub struct Values {
    /// As they are looked for, without what is left out; in order.
    forms: Vec<Vec<u8>>,
    /// By a hash of four bytes: whether a form begins with them.
    starts: Vec<bool>,
    /// Those that are numbers, as their bits.
    numbers: Vec<u64>,
}

/// What has been found in a text.
struct Found {
    /// By the bytes of the text; empty as long as there is nothing.
    hidden: Vec<bool>,
    length: usize,
    work_left: usize,
}

impl Values {
    pub fn new<V: AsRef<[u8]>>(values: impl IntoIterator<Item = V>) -> Self {
        let (mut forms, mut numbers) = (Vec::new(), Vec::new());
        for value in values {
            let value = value.as_ref();
            forms.extend(forms_of(value));
            numbers.extend(number(value.trim_ascii()));
        }
        for form in &mut forms {
            form.retain(|byte| !is_left_out(*byte));
        }
        forms.retain(|form| form.len() >= VALUE_BYTES_MIN);
        forms.sort_unstable();
        forms.dedup();
        let mut starts = Vec::new();
        for start in forms.iter().filter_map(|form| form.first_chunk()) {
            starts.resize(1 << START_BITS, false);
            if let Some(is_start) = starts.get_mut(hash(u32::from_be_bytes(*start))) {
                *is_start = true;
            }
        }
        Self { forms, starts, numbers }
    }

    /// What is found is blanked with its escapes; all of it where that takes too long to say. Values that touch each other
    /// become one mark.
    pub fn blank_text(&self, text: String) -> String {
        let Some(hidden) = self.hidden_in(text.as_bytes()) else { return MARK.to_owned() };
        if hidden.is_empty() {
            return text;
        }
        let (mut blanked, mut in_mark) = (String::with_capacity(text.len()), false);
        for (at, character) in text.char_indices() {
            let is_hidden = hidden.get(at).is_some_and(|is_hidden| *is_hidden);
            match (is_hidden, in_mark) {
                (true, false) => blanked.push_str(MARK),
                (true, true) => {}
                (false, _) => blanked.push(character),
            }
            in_mark = is_hidden;
        }
        blanked
    }

    /// Whether one of them is in what need not be text, or that takes too long to say.
    pub fn are_in(&self, bytes: &[u8]) -> bool {
        self.hidden_in(bytes).is_none_or(|hidden| !hidden.is_empty())
    }

    /// In texts and names at any depth, and in numbers.
    pub fn blank(&self, value: Value) -> Value {
        if self.forms.is_empty() {
            return value;
        }
        match value {
            Value::String(text) => self.blank_text(text).into(),
            Value::Number(number) if self.is_number(number.to_string().as_bytes()) => MARK.into(),
            Value::Array(items) => items.into_iter().map(|item| self.blank(item)).collect(),
            Value::Object(members) => {
                members.into_iter().map(|(name, member)| (self.blank_text(name), self.blank(member))).collect()
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => value,
        }
    }

    fn is_number(&self, text: &[u8]) -> bool {
        number(text).is_some_and(|number| self.numbers.contains(&number))
            || self.forms.binary_search_by(|form| form.as_slice().cmp(text)).is_ok()
    }

    /// By the bytes of a text, nothing when there is nothing; `None` when it takes too long to say.
    fn hidden_in(&self, text: &[u8]) -> Option<Vec<bool>> {
        let mut found = Found { hidden: Vec::new(), length: text.len(), work_left: WORK_MAX * (text.len() + 64) };
        if !self.forms.is_empty() {
            self.look_under(&Layer::of(text), LAYERS_MAX, &mut found)?;
        }
        if !self.numbers.is_empty() {
            let mut start = 0;
            for token in text.split(|byte| !is_of_number(*byte)) {
                if number(token).is_some_and(|number| self.numbers.contains(&number)) {
                    found.hide(start..start + token.len());
                }
                start += token.len() + 1;
            }
        }
        Some(found.hidden)
    }

    /// In a layer, and under what can be undone in it so many times.
    fn look_under(&self, layer: &Layer, layers: usize, found: &mut Found) -> Option<()> {
        self.look_in(layer, found)?;
        let Some(layers) = layers.checked_sub(1) else { return Some(()) };
        if let Some(unescaped) = layer.unescaped() {
            self.look_under(&unescaped, layers, found)?;
        }
        for decoded in layer.decoded() {
            self.look_in(&decoded, found)?;
            if layers > 0 {
                self.look_under(&decoded.legible(), layers, found)?;
            }
        }
        Some(())
    }

    fn look_in(&self, layer: &Layer, found: &mut Found) -> Option<()> {
        found.work(layer.bytes.len())?;
        let mut last = 0_u32;
        for (at, byte) in layer.bytes.iter().enumerate().filter(|(_, byte)| !is_left_out(**byte)) {
            last = last << 8 | u32::from(*byte);
            if !self.starts.get(hash(last)).is_some_and(|is_start| *is_start) {
                continue;
            }
            let start = last.to_be_bytes();
            let first = self.forms.partition_point(|form| form.as_slice() < &start[..]);
            for form in self.forms.get(first..)?.iter().take_while(|form| form.starts_with(&start)) {
                let (end, is_there) = compare(layer.bytes.get(at + 1..)?, form.get(start.len()..)?);
                found.work(end + 1)?;
                if is_there {
                    let before =
                        layer.bytes.get(..=at)?.iter().enumerate().rev().filter(|(_, byte)| !is_left_out(**byte));
                    let Some((begin, _)) = before.take(start.len()).last() else { continue };
                    let part = layer.part(begin..at + 1 + end);
                    found.work(part.len())?;
                    found.hide(part);
                }
            }
        }
        Some(())
    }
}

impl Found {
    fn work(&mut self, bytes: usize) -> Option<()> {
        self.work_left = self.work_left.checked_sub(bytes)?;
        Some(())
    }

    fn hide(&mut self, part: Range<usize>) {
        self.hidden.resize(self.length, false);
        if let Some(part) = self.hidden.get_mut(part) {
            part.fill(true);
        }
    }
}

fn hash(start: u32) -> usize {
    (start.wrapping_mul(0x9e37_79b1) >> (u32::BITS - START_BITS)) as usize
}

/// White space, which may be another or missing, and `+`, which forms write for it.
fn is_left_out(byte: u8) -> bool {
    byte == b'+' || byte.is_ascii_whitespace()
}

/// How much of a text was looked at, and whether it goes on so.
fn compare(text: &[u8], wanted: &[u8]) -> (usize, bool) {
    let mut end = 0;
    for byte in wanted {
        end += text.get(end..).unwrap_or_default().iter().take_while(|byte| is_left_out(**byte)).count();
        if text.get(end) != Some(byte) {
            return (end, false);
        }
        end += 1;
    }
    (end, true)
}

/// What is looked for of a value: as it is, as it becomes when what looks like an escape or an encoding in it is undone, and in
/// Latin-1.
fn forms_of(value: &[u8]) -> Vec<Vec<u8>> {
    let mut forms = vec![value.to_vec()];
    let digits: Vec<u8> = value.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    forms.extend(ENCODINGS.iter().filter_map(|encoding| encoding.decode(&digits)));
    let mut unescaped = Layer::of(value).unescaped();
    for _ in 0..LAYERS_MAX {
        let Some(layer) = unescaped else { break };
        unescaped = layer.unescaped();
        forms.push(layer.bytes);
    }
    if let Ok(text) = std::str::from_utf8(value)
        && !text.is_ascii()
    {
        forms.extend(text.chars().map(|character| u8::try_from(character).ok()).collect::<Option<Vec<u8>>>());
        // As it looks to those who take it for Latin-1.
        forms.push(value.iter().copied().map(char::from).collect::<String>().into_bytes());
    }
    forms
}

fn is_of_number(byte: u8) -> bool {
    byte.is_ascii_digit() || b"+-.eE".contains(&byte)
}

/// The bits of a number that is not too short to be looked for, however it is written.
fn number(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok().filter(|text| text.bytes().all(is_of_number))?;
    let number: f64 = text.parse().ok().filter(|number: &f64| number.is_finite())?;
    (number.to_string().len() >= VALUE_BYTES_MIN).then(|| number.to_bits())
}

#[cfg(test)]
mod tests {
    use super::{MARK, Values};
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use ringback_records::name::hex;
    use serde_json::{Value, json};
    use std::time::{Duration, Instant};

    #[test]
    fn p2_a_value_is_found_in_the_forms_in_which_it_comes_back() {
        let secret = "hunter2/\"ü";
        let values = Values::new([secret, "abc"]);
        let hex: String = secret.bytes().map(|byte| format!("{byte:02X}")).collect();
        for text in [
            format!("it is {secret}."),
            json!({ "nested": { "s": secret } }).to_string(),
            hex,
            STANDARD.encode(secret),
            STANDARD.encode(format!("user:{secret}")),
            STANDARD.encode(format!("a:{secret}:b")),
            STANDARD.encode(format!("ab:{secret}?")),
            form_urlencoded::byte_serialize(secret.as_bytes()).collect(),
        ] {
            let blanked = values.blank_text(text.clone());
            assert!(blanked.contains(MARK), "{text}: {blanked}");
        }
        let value = json!({ "abc": ["abc", 1], secret: secret });
        assert_eq!(values.blank(value), json!({ "abc": ["abc", 1], MARK: MARK }), "what is short is left");
        assert_eq!(Values::new(["12345678"]).blank(json!([12_345_678, 1])), json!([MARK, 1]));
    }

    /// P2: whoever escapes a value chooses which of its characters, in which case, and how often.
    #[test]
    fn p2_a_value_is_found_under_escapes_of_every_kind() {
        let secret = "hu+n t/er2&\"ü%41";
        let values = Values::new([secret]);
        for (text, blanked) in [
            ("a=hu%2bn%20t%2fer2%26%22%c3%bc%2541&b=1", "a=***&b=1"),
            ("a=hu%2Bn+t/er2%26%22%C3%BC%2541", "a=***"),
            ("hu+n%20t/er2&%22ü%41 partly", "*** partly"),
            (r#"{"a":"hu+n t\/er2&\"ü%41"}"#, r#"{"a":"***"}"#),
            (r#"{"a":"\u0068u\u002bn\u0020t\u002Fer2\u0026\u0022\u00fc\u002541"}"#, r#"{"a":"***"}"#),
            (r#"["{\"a\":\"hu+n t\\/er2&\\\"\\u00fc%2541\"}"]"#, r#"["{\"a\":\"***\"}"]"#),
            ("<p title='hu+n t/er2&amp;&#34;&#xfc;%41'>", "<p title='***'>"),
            ("é%68%75%2B%6E%20%74%2F%65%72%32%26%22%C3%BC%25%34%31é", "é***é"),
        ] {
            assert_eq!(values.blank_text(text.to_owned()), blanked, "{text}");
            let value = json!({ "a": [text] });
            assert_eq!(values.blank(value), json!({ "a": [blanked] }));
        }
        for other in ["", "hu+n", "100%", "%20%2f", "hu%2bn%20t%2fer3", "ü\\u00fc&amp;"] {
            assert_eq!(values.blank_text(other.to_owned()), other);
        }
        let encoded = STANDARD.encode("\u{3ff}~~~?>hunter2");
        let partly = encoded.replace('/', "%2f").replace('=', "%3D");
        let blanked = Values::new(["\u{3ff}~~~?>hunter2"]).blank_text(format!("k={partly};"));
        assert!(partly.contains("%2f") && blanked.starts_with("k=***") && blanked.len() < 12, "{blanked}");
        let many = Values::new(["aaaa", "aa%2faa"]);
        assert_eq!(many.blank_text("a%61".repeat(100_000)), MARK, "whatever is written, it takes no longer");
    }

    #[test]
    fn p2_a_value_is_found_as_readers_make_it_again() {
        let values =
            Values::new(["QUJD/+REVG-8==", "DEADbeef0123", "{\"key\": \"a\\nb\",\n \"n\": 1}", "0042.50", "0001"]);
        for text in ["QUJD_-REVG-8", "deadBEEF0123", r#"{"key":"a\nb","n":1}"#, "42.5"] {
            assert_eq!(values.blank_text(text.to_owned()), MARK, "{text}");
        }
        let numbers: Value = serde_json::from_str("[4.25e1, 42.50, 1, 42, -42.5]").unwrap();
        assert_eq!(values.blank(numbers), serde_json::from_str::<Value>(r#"["***", "***", 1, 42, -42.5]"#).unwrap());
        assert!(values.are_in(b"\xff\xfeDEADbeef0123") && !values.are_in(b"\xff\xfeDEAD"));
    }

    /// An answer of the largest size, with more secrets than a request has: the work for it has a limit.
    #[test]
    fn p2_looking_for_values_takes_no_time_worth_mentioning() {
        let secrets: Vec<String> = (0..100).map(|number| format!("sk_live_{number}/+{}", hex(&[7; 12]))).collect();
        let values = Values::new(&secrets);
        let started = Instant::now();
        let page =
            r#"<a href="/v1/items/sk_live_?a=1%20b&amp;c" title='sk_live_ \n'>Some text, and d29yZHM= in it</a>"#;
        let page = page.repeat((1 << 18) / page.len());
        assert_eq!(values.blank_text(page.clone()), page, "there is work enough for what is ordinary");
        assert!(values.blank_text(page.clone() + &secrets[7]).ends_with("</a>***"));
        let mut nested = "x".repeat(1 << 15);
        (0..5).for_each(|_| nested = STANDARD.encode(&nested));
        assert_eq!(values.blank_text(nested.clone()), nested);
        let long = Values::new(["a".repeat(1 << 14) + "b"]);
        assert_eq!(long.blank_text("a".repeat(1 << 18)), MARK, "what takes too long is not kept");
        assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
    }
}

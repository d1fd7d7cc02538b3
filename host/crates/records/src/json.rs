//! JSON of others, read in the one way that every reader agrees on: a name that an object has twice is a mistake, since
//! some readers take the first of its values, and some the last. Numbers keep the digits that they are written with.

use serde::de::{self, DeserializeOwned, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::map::Entry;
use serde_json::{Map, Number, Value};
use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;

/// So many values may be in any text, at any depth; a long text may have one for every [`BYTES_PER_VALUE`]. A value takes
/// many times the memory of the two bytes that it can be written with.
const VALUES_MAX: usize = 200_000;
const BYTES_PER_VALUE: usize = 5;
/// An object that has members takes as much memory more than its members as so many values.
const OBJECT_VALUES: usize = 4;
/// A list that has items has room for four of them.
const LIST_VALUES: usize = 3;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Longest number, in characters, of which each is a byte.
const NUMBER_BYTES_MAX: usize = 1000;
/// Deepest nesting of lists and objects.
pub const DEPTH_MAX: usize = 128;

/// What names begin with that no object can have here: `serde_json` marks values by them that it keeps as they are written, and
/// would read an object that has one as something else.
const RESERVED: &str = "$serde_json::private::";
/// Why, in words.
pub const WHY_RESERVED: &str = "names that begin with \"$serde_json::private::\" cannot be used";
/// The one for numbers.
const NUMBER: &str = "$serde_json::private::Number";

/// Why a text is not read.
#[derive(Debug)]
pub struct Error {
    pub kind: Kind,
    error: serde_json::Error,
}

/// What is wrong with a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It is not JSON, or none that is taken.
    Malformed,
    TooManyValues,
    /// A member has a name that none can have.
    ReservedName,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for Error {}

/// How many values there may be in so many bytes.
pub fn values_max(bytes: usize) -> usize {
    VALUES_MAX.max(bytes / BYTES_PER_VALUE)
}

/// Reads a whole text. Half of a surrogate pair becomes U+FFFD, as everywhere where a text must be Unicode; a byte order mark at
/// the beginning is left out (RFC 8259, 8.1).
///
/// # Errors
///
/// It is not JSON, is more than 128 levels deep, has too many values, or has a name twice.
pub fn from_slice(bytes: &[u8]) -> Result<Value, Error> {
    from_slice_within(bytes, &mut values_max(bytes.len()))
}

/// The same, of one of several texts that may have so many values together: it leaves how many the others may have.
///
/// # Errors
///
/// As [`from_slice`].
pub fn from_slice_within(bytes: &[u8], left: &mut usize) -> Result<Value, Error> {
    read(bytes, left, Twice::Named)
}

/// The same, of a text that no error may quote.
///
/// # Errors
///
/// As [`from_slice`].
pub fn from_secret(bytes: &[u8]) -> Result<Value, Error> {
    from_secret_within(bytes, values_max(bytes.len()))
}

/// The same, of a text that may have so many values.
///
/// # Errors
///
/// As [`from_slice`].
pub fn from_secret_within(bytes: &[u8], mut values_max: usize) -> Result<Value, Error> {
    read(bytes, &mut values_max, Twice::Unnamed)
}

/// Whether a name can be the name of a member.
pub fn is_reserved(name: &str) -> bool {
    name.starts_with(RESERVED)
}

/// Reads what this server has written: data that is as deep as it may be stands a few levels deep in records.
///
/// # Errors
///
/// It is not JSON of that form.
pub fn from_own<T: DeserializeOwned>(bytes: &[u8]) -> serde_json::Result<T> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    reader.disable_recursion_limit();
    let value = T::deserialize(&mut reader)?;
    reader.end()?;
    Ok(value)
}

/// How many bytes of a text are control characters, which take six bytes each when it is written; without tabs and line ends.
pub fn control_characters(text: &[u8]) -> usize {
    let is_one = |byte: &u8| byte.is_ascii_control() && !matches!(byte, b'\t' | b'\n' | b'\r');
    // In pieces whose number is a byte: so many are looked at in one instruction.
    let of_piece = |piece: &[u8]| piece.iter().map(|byte| u8::from(is_one(byte))).sum::<u8>();
    text.chunks(128).map(|piece| usize::from(of_piece(piece))).sum()
}

/// How many bytes more than it has a text takes when it is written as JSON.
pub fn escapes(text: &[u8]) -> usize {
    let more = |byte: &u8| match byte {
        b'"' | b'\\' | 0x08..=0x0a | 0x0c..=0x0d => 1,
        0..0x20 => 5,
        _ => 0,
    };
    // In pieces whose sum is a byte, as above.
    text.chunks(32).map(|piece| usize::from(piece.iter().map(more).sum::<u8>())).sum()
}

fn read(bytes: &[u8], left: &mut usize, twice: Twice) -> Result<Value, Error> {
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    match read_once(bytes, left, twice) {
        Ok(value) => Ok(value),
        Err(error) => match whole_surrogates(bytes) {
            Cow::Owned(repaired) => read_once(&repaired, left, twice),
            Cow::Borrowed(_) => Err(error),
        },
    }
}

fn read_once(text: &[u8], values_left: &mut usize, twice: Twice) -> Result<Value, Error> {
    let (left, kind) = (Cell::new(*values_left), Cell::new(Kind::Malformed));
    let value = read_text(Reading { text, left: &left, kind: &kind, depth: 0, twice });
    let value = value.map_err(|error| Error { kind: kind.get(), error })?;
    *values_left = left.get();
    Ok(value)
}

fn read_text(reading: Reading<'_>) -> serde_json::Result<Value> {
    let mut reader = serde_json::Deserializer::from_slice(reading.text);
    // The library's own takes one level less than it says.
    reader.disable_recursion_limit();
    let value = reading.deserialize(&mut reader)?;
    reader.end()?;
    Ok(value)
}

/// A text of JSON in which what is half of a surrogate pair is replaced. A backslash is in strings alone.
fn whole_surrogates(bytes: &[u8]) -> Cow<'_, [u8]> {
    let unit = |at: usize| -> Option<u32> {
        let digits = bytes.get(at..at + 6)?.strip_prefix(b"\\u")?;
        u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    };
    let mut repaired: Option<Vec<u8>> = None;
    let mut at = 0;
    while let Some(found) = bytes.get(at..).and_then(|rest| memchr::memchr(b'\\', rest)) {
        at += found;
        match unit(at) {
            Some(0xd800..0xdc00) if matches!(unit(at + 6), Some(0xdc00..0xe000)) => at += 12,
            Some(0xd800..0xe000) => {
                let text = repaired.get_or_insert_with(|| bytes.to_vec());
                if let Some(place) = text.get_mut(at + 2..at + 6) {
                    place.copy_from_slice(b"fffd");
                }
                at += 6;
            }
            _ => at += 2,
        }
    }
    repaired.map_or(Cow::Borrowed(bytes), Cow::Owned)
}

/// The least and the most that is taken at once for a list whose length its text does not say.
const LIST_CAPACITY: usize = 16;

/// A name, borrowed where it is written without escapes.
#[derive(serde::Deserialize)]
#[serde(transparent)]
struct Name<'n>(#[serde(borrow)] Cow<'n, str>);

/// What is said of a name that is there twice.
#[derive(Clone, Copy, PartialEq)]
enum Twice {
    /// Which one it is.
    Named,
    Unnamed,
}

#[derive(Clone, Copy)]
struct Reading<'r> {
    text: &'r [u8],
    /// How many values there may still be.
    left: &'r Cell<usize>,
    /// What is wrong where it breaks off: errors of the library say it in words alone.
    kind: &'r Cell<Kind>,
    /// How many lists and objects it is in.
    depth: usize,
    twice: Twice,
}

impl Reading<'_> {
    fn take<E: de::Error>(self, values: usize) -> Result<(), E> {
        let left = self.left.get().checked_sub(values);
        self.left.set(left.ok_or_else(|| self.refuse(Kind::TooManyValues, "it has too many values"))?);
        Ok(())
    }

    fn refuse<E: de::Error>(self, kind: Kind, why: impl fmt::Display) -> E {
        self.kind.set(kind);
        E::custom(why)
    }

    /// What reads the values in a list or an object.
    fn inside<E: de::Error>(self) -> Result<Self, E> {
        match self.depth {
            DEPTH_MAX => Err(de::Error::custom(format!("it is nested deeper than {DEPTH_MAX}"))),
            depth => Ok(Self { depth: depth + 1, ..self }),
        }
    }

    /// Whether an object is what the library makes of a number: its only name is the library's own, and no part of the text.
    fn is_number(self, Name(name): &Name<'_>) -> bool {
        matches!(name, Cow::Borrowed(name) if *name == NUMBER && !self.text.as_ptr_range().contains(&name.as_ptr()))
    }
}

impl<'de> DeserializeSeed<'de> for Reading<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.take(1)?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reading<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let inside = self.inside()?;
        let mut list = Vec::with_capacity(elements.size_hint().unwrap_or_default().min(LIST_CAPACITY));
        while let Some(element) = elements.next_element_seed(inside)? {
            if list.is_empty() {
                self.take(LIST_VALUES)?;
            }
            list.push(element);
        }
        Ok(Value::Array(list))
    }

    /// An object; or a number that is kept as it is written.
    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut next = members.next_key()?;
        if next.as_ref().is_some_and(|name| self.is_number(name)) {
            return number(&members.next_value::<Cow<'de, str>>()?);
        }
        let inside = self.inside()?;
        let mut object = Map::new();
        while let Some(Name(name)) = next {
            if is_reserved(&name) {
                return Err(self.refuse(Kind::ReservedName, WHY_RESERVED));
            }
            if object.is_empty() {
                self.take(OBJECT_VALUES)?;
            }
            match (object.entry(name), self.twice) {
                (Entry::Vacant(free), _) => drop(free.insert(members.next_value_seed(inside)?)),
                (Entry::Occupied(first), Twice::Named) => {
                    let name: String = first.key().chars().take(80).collect();
                    return Err(de::Error::custom(format!("the name {name:?} is there twice")));
                }
                (Entry::Occupied(_), Twice::Unnamed) => return Err(de::Error::custom("a name is there twice")),
            }
            next = members.next_key()?;
        }
        Ok(Value::Object(object))
    }
}

fn number<E: de::Error>(digits: &str) -> Result<Value, E> {
    if digits.len() > NUMBER_BYTES_MAX {
        return Err(E::custom(format!("a number has more than {NUMBER_BYTES_MAX} characters")));
    }
    let number: Option<Number> = serde_json::from_str(digits).ok();
    number.map(Value::Number).ok_or_else(|| E::custom("it is no number"))
}

#[cfg(test)]
mod tests {
    use super::{Kind, NUMBER, control_characters, escapes, from_secret, from_slice, from_slice_within};
    use serde_json::{Value, json};

    #[test]
    fn a_name_that_is_there_twice_is_a_mistake_at_any_depth() {
        for twice in [
            r#"{"a": 1, "a": 1}"#,
            r#"{"a": 1, "b": 2, "\u0061": 3}"#,
            r#"[{"x": {"": null, "": null}}]"#,
            r#"{"role": "user", "x": 1, "role": "admin"}"#,
        ] {
            let error = from_slice(twice.as_bytes()).unwrap_err().to_string();
            assert!(error.contains("is there twice at line 1"), "{error}");
            let unnamed = from_secret(twice.as_bytes()).unwrap_err().to_string();
            assert!(unnamed.contains("a name is there twice at line 1"), "{unnamed}");
        }
        let long = format!(r#"{{"{0}": 1, "{0}": 2}}"#, "n".repeat(100_000));
        assert!(from_slice(long.as_bytes()).unwrap_err().to_string().len() < 200);
    }

    #[test]
    fn control_characters_of_long_texts_are_all_counted() {
        for (text, count) in
            [("", 0), ("\t\r\n\u{8}\u{7f}é\u{85}x", 2), (&"\0".repeat(1000), 1000), (&"a\0b".repeat(300), 300)]
        {
            assert_eq!(control_characters(text.as_bytes()), count);
        }
    }

    #[test]
    fn what_a_text_takes_as_json_is_known_before() {
        let all: String = (0..300).filter_map(char::from_u32).collect();
        for text in
            ["", "x", "\0\u{1f}\u{7f}\u{85}", "\"\\\n\r\t\u{8}\u{c}\u{b}", &all, &"\0".repeat(1000), &"\"é".repeat(99)]
        {
            let written = Value::from(text).to_string();
            assert_eq!(escapes(text.as_bytes()) + text.len() + 2, written.len(), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_json_is_refused() {
        for wrong in [
            "",
            " ",
            "{",
            "[1,]",
            "01",
            "+1",
            "1e",
            "NaN",
            "\"\0\"",
            "\u{feff}\u{feff}1",
            "\u{feff}",
            "1 2",
            "{\"a\" 1}",
            "{1: 2}",
            "'a'",
            "// a\n1",
            "nul",
            "[1] x",
            "\"\\ud8\"",
            "\"\\u\"",
        ] {
            assert!(from_slice(wrong.as_bytes()).is_err(), "{wrong:?}");
        }
        assert!(from_slice(b"\"\xff\"").is_err());
        for deep in ["[".repeat(100_000), "{\"a\":".repeat(100_000)] {
            assert!(from_slice(deep.as_bytes()).is_err());
        }
    }

    /// Every list and every object is a level, also one with nothing in it; what is in the innermost is none.
    #[test]
    fn a4_lists_and_objects_are_nested_128_deep_and_no_deeper() {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let nested = |depth: usize, inner: &str| open.repeat(depth) + inner + &close.repeat(depth);
            for wrong in [nested(129, "1"), nested(128, "[]"), nested(128, "{}"), nested(128, "{\"b\":1}")] {
                let error = from_slice(wrong.as_bytes()).unwrap_err().to_string();
                assert!(error.contains("nested deeper than 128 at line 1"), "{error}");
            }
            for right in
                [nested(128, "1"), nested(128, "1.5"), nested(128, "\"\\ud800\""), nested(127, "[]"), nested(127, "{}")]
            {
                assert!(from_slice(right.as_bytes()).is_ok(), "{right}");
            }
        }
    }

    /// A value takes 72 bytes and more, and is written with two: a text of many says too little for what it costs.
    #[test]
    fn a4_a_text_has_no_more_values_than_may_be_kept() {
        let nested = |lists: usize| format!("[{}0]", format!("{}1{},", "[".repeat(100), "]".repeat(100)).repeat(lists));
        for many in [
            format!("[{}null]", "[],".repeat(200_000)),
            format!("[{}0]", "0,".repeat(200_000)),
            format!("[{}0]", r#"{"a":0},"#.repeat(40_000)),
            format!("[{}0]", "[1],".repeat(40_000)),
            nested(500),
        ] {
            let error = from_slice(many.as_bytes()).unwrap_err();
            assert_eq!(error.kind, Kind::TooManyValues, "{error}");
            assert!(error.to_string().contains("too many values"));
        }
        assert!(from_slice(nested(498).as_bytes()).is_ok());
        let many = format!("[{}null]", "[],".repeat(199_000));
        assert_eq!(from_slice(many.as_bytes()).unwrap().as_array().map(Vec::len), Some(199_001));
        assert!(from_slice("9".repeat(1001).as_bytes()).unwrap_err().to_string().contains("1000 characters"));
        assert_eq!(from_slice("9".repeat(1000).as_bytes()).unwrap().to_string(), "9".repeat(1000));
    }

    /// Texts that come together share the values: none is read with more than the others have left.
    #[test]
    fn a4_several_texts_have_no_more_values_than_one() {
        let mut left = 10;
        assert!(from_slice_within(b"[1, 2]", &mut left).is_ok() && left == 4);
        let error = from_slice_within(b"[1, 2]", &mut left).unwrap_err();
        assert_eq!((error.kind, left), (Kind::TooManyValues, 4));
        // A text that is read again, since half of a surrogate pair is in it, counts once.
        assert!(from_slice_within(br#"["", "\ud800"]"#, &mut 6).is_ok());
    }

    /// A name by which the library for JSON tells numbers: an object that has it could be stored, and not read again.
    #[test]
    fn the_name_that_stands_for_numbers_is_nobodys() {
        let object = json!({ "a": [{ NUMBER: "x" }] });
        assert!(from_slice(object.to_string().as_bytes()).unwrap_err().to_string().contains("cannot be used"));
        for text in [
            r#"{"\u0024serde_json::private::Number": "x"}"#,
            r#"{"a": {"x": 1, "$serde_json::private::\u004eumber": "5"}}"#,
            r#"{"$serde_json::private::\u004eumber": "5"}"#,
            r#"{"$serde_json::private::RawValue": "[1,2"}"#,
            r#"{"$serde_json::private::R\u0061wValue": "[1,2]"}"#,
        ] {
            let error = from_slice(text.as_bytes()).unwrap_err();
            assert_eq!(error.kind, Kind::ReservedName, "{text}");
            assert!(error.to_string().contains("cannot be used"), "{text}: {error}");
            // Of another text the reader knows as little as of this one.
            let copied = [b" ", text.as_bytes()].concat();
            assert!(from_secret(&copied).is_err(), "{text}");
        }
        let mentioned = json!({ "a": NUMBER, "b": [format!("{NUMBER} and others"), 1.5], "private::Number": NUMBER });
        assert_eq!(from_slice(mentioned.to_string().as_bytes()).unwrap(), mentioned, "a value may be any text");
        let half = format!(r#"{{"a": "\ud800 {NUMBER}", "n": 1e400}}"#);
        assert_eq!(from_slice(half.as_bytes()).unwrap()["n"].to_string(), "1e+400");
    }

    /// K8: what a sender writes, others may have signed or hashed.
    #[test]
    fn k8_members_and_digits_stay_as_they_are_written() {
        for text in [
            r#"{"z":1,"a":{"y":2,"b":3},"m":[]}"#,
            "12345678901234567890123",
            "10.10",
            "1e+400",
            "-1e-999",
            "-0",
            "-0.0",
            "18446744073709551616",
        ] {
            let read = from_slice(text.as_bytes()).unwrap();
            assert_eq!(read.to_string(), text);
            assert_eq!(serde_json::from_str::<Value>(text).unwrap(), read);
        }
        // An exponent is written in one way.
        assert_eq!(from_slice(b"[1E2, 1.5e3]").unwrap().to_string(), "[1e+2,1.5e+3]");
        let lone = from_slice(br#"{"a": "\ud83d", "\udc00": "x\\ud800\ud83d\ude00\uDFFF", "n": "\\\ud800"}"#).unwrap();
        assert_eq!(lone, json!({ "a": "\u{fffd}", "\u{fffd}": "x\\ud800\u{1f600}\u{fffd}", "n": "\\\u{fffd}" }));
    }

    /// What one reader and the other make of a text without doubled names is the same.
    #[test]
    fn everything_else_is_read_as_any_reader_does() {
        for text in [
            "null",
            "true",
            " [ ] ",
            "{}",
            "-9223372036854775808",
            "200000000000000013191212122229196571530",
            "\"\\u00e9\\n\\ud83d\\ude00\"",
            r#"{"b": [1, {"a": null}], "a": "x"}"#,
        ] {
            let expected: Value = serde_json::from_str(text).unwrap();
            let read = from_slice(text.as_bytes()).unwrap();
            assert_eq!((&read, read.to_string()), (&expected, expected.to_string()), "{text}");
            // Data is stored as text: it must be the same afterwards.
            assert_eq!(from_slice(read.to_string().as_bytes()).unwrap(), read, "{text}");
        }
    }
}

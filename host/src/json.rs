//! JSON of callers, read in the one way that every reader agrees on: a name that an object has twice is a mistake, since
//! some readers take the first of its values, and some the last.

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::fmt;

/// Reads a whole text. Numbers beyond 64 bits become the nearest of double precision, as RFC 8259 expects of readers; the
/// bytes themselves stay in the callback's record.
///
/// # Errors
///
/// It is not JSON, is more than 128 levels deep, or has a name twice.
pub fn from_slice(bytes: &[u8]) -> serde_json::Result<Value> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = Unambiguous.deserialize(&mut reader)?;
    reader.end()?;
    Ok(value)
}

/// The least and the most that is taken at once for a list whose length its text does not say.
const LIST_CAPACITY: usize = 16;

#[derive(Clone, Copy)]
struct Unambiguous;

impl<'de> DeserializeSeed<'de> for Unambiguous {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Unambiguous {
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

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let mut list = Vec::with_capacity(elements.size_hint().unwrap_or_default().min(LIST_CAPACITY));
        while let Some(element) = elements.next_element_seed(self)? {
            list.push(element);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if object.contains_key(&name) {
                let name: String = name.chars().take(80).collect();
                return Err(de::Error::custom(format!("the name {name:?} is there twice")));
            }
            object.insert(name, members.next_value_seed(self)?);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::from_slice;
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
        }
        let long = format!(r#"{{"{0}": 1, "{0}": 2}}"#, "n".repeat(100_000));
        assert!(from_slice(long.as_bytes()).unwrap_err().to_string().len() < 200);
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
            "1e400",
            "-1e999",
            "NaN",
            "\"\\ud800\"",
            "\"\\udc00\\ud800\"",
            "\"\0\"",
            "\u{feff}1",
            "1 2",
            "{\"a\" 1}",
            "{1: 2}",
            "'a'",
            "// a\n1",
            "nul",
            "[1] x",
        ] {
            assert!(from_slice(wrong.as_bytes()).is_err(), "{wrong:?}");
        }
        assert!(from_slice(b"\"\xff\"").is_err());
        for deep in ["[".repeat(100_000), "{\"a\":".repeat(100_000), "[".repeat(129) + &"]".repeat(129)] {
            assert!(from_slice(deep.as_bytes()).is_err());
        }
    }

    /// What one reader and the other make of a text without doubled names is the same.
    #[test]
    fn everything_else_is_read_as_any_reader_does() {
        for text in [
            "null",
            "true",
            " [ ] ",
            "{}",
            "-0",
            "-0.0",
            "1.5e3",
            "18446744073709551615",
            "-9223372036854775808",
            "123456789012345678901234567890",
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
        let digits = "9".repeat(300);
        assert!(from_slice(digits.as_bytes()).unwrap().is_f64());
        assert!(from_slice("9".repeat(100_000).as_bytes()).is_err(), "beyond every number");
        let many = format!("[{}null]", "[],".repeat(300_000));
        assert_eq!(from_slice(many.as_bytes()).unwrap().as_array().map(Vec::len), Some(300_001));
        assert_eq!(from_slice(br#"{"b": 1, "a": 2}"#).unwrap(), json!({ "b": 1, "a": 2 }));
    }
}

//! A parser of comma-separated values (RFC 4180): rows become JSON objects, or lists when there is no header.

use csv_core::{ReadRecordResult, ReaderBuilder};
use ringback_guest::{Callback, Failure, Value, json, plugin};
use serde::Deserialize;

/// The configuration. Everything has a default.
#[derive(Debug, Deserialize)]
#[serde(try_from = "RawConfig")]
pub struct Config {
    header: bool,
    delimiter: u8,
    quote: u8,
    rows_max: usize,
    columns_max: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawConfig {
    header: bool,
    delimiter: String,
    quote: String,
    rows_max: usize,
    columns_max: usize,
}

impl Default for RawConfig {
    fn default() -> Self {
        Self { header: true, delimiter: ",".into(), quote: "\"".into(), rows_max: 10_000, columns_max: 256 }
    }
}

impl TryFrom<RawConfig> for Config {
    type Error = String;

    fn try_from(raw: RawConfig) -> Result<Self, Self::Error> {
        let RawConfig { header, delimiter, quote, rows_max, columns_max } = raw;
        let one_byte = |name: &str, text: &str| match text.as_bytes() {
            [byte] if byte.is_ascii() && !matches!(byte, b'\r' | b'\n') => Ok(*byte),
            _ => Err(format!("{name} must be one ASCII character and no line break, not {text:?}")),
        };
        let (delimiter, quote) = (one_byte("delimiter", &delimiter)?, one_byte("quote", &quote)?);
        if delimiter == quote {
            return Err("delimiter and quote must differ".into());
        }
        if rows_max == 0 || columns_max == 0 {
            return Err("rows_max and columns_max must be at least 1".into());
        }
        Ok(Self { header, delimiter, quote, rows_max, columns_max })
    }
}

/// The rows of the body: a list of objects by the header's names, or a list of lists without a header. Every value is
/// a string. A UTF-8 byte order mark is skipped.
///
/// # Errors
///
/// `not-text`, `no-header`, `duplicate-column`, `uneven-row`, `unclosed-quote`, `too-many-rows`, `too-many-columns`,
/// each with the line.
pub fn csv_rows(callback: &Callback, config: Config) -> Result<Value, Failure> {
    let text = callback.text()?;
    let mut records = Records::new(text.trim_start_matches('\u{feff}'), &config);
    let mut rows = Vec::new();
    let names = if config.header {
        let (_, names) = records
            .next_record()?
            .ok_or_else(|| Failure::new("no-header", "the body is empty, but a header line is expected"))?;
        for (index, name) in names.iter().enumerate() {
            if names.iter().take(index).any(|earlier| earlier == name) {
                return Err(Failure::new("duplicate-column", format!("the header names the column {name:?} twice")));
            }
        }
        Some(names)
    } else {
        None
    };
    while let Some((line, fields)) = records.next_record()? {
        if rows.len() == config.rows_max {
            return Err(Failure::new("too-many-rows", format!("more than {} rows", config.rows_max)));
        }
        rows.push(match &names {
            None => json!(fields),
            Some(names) if names.len() == fields.len() => {
                names.iter().cloned().zip(fields.into_iter().map(Value::String)).collect()
            }
            Some(names) => {
                let (found, expected) = (fields.len(), names.len());
                return Err(Failure::new(
                    "uneven-row",
                    format!("line {line} has {found} fields, but the header has {expected}"),
                ));
            }
        });
    }
    Ok(Value::Array(rows))
}

struct Records<'a> {
    reader: csv_core::Reader,
    rest: &'a [u8],
    columns_max: usize,
    quote: u8,
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl<'a> Records<'a> {
    fn new(text: &'a str, config: &Config) -> Self {
        let reader = ReaderBuilder::new().delimiter(config.delimiter).quote(config.quote).build();
        Self {
            reader,
            rest: text.as_bytes(),
            columns_max: config.columns_max,
            quote: config.quote,
            bytes: vec![0; text.len()],
            ends: vec![0; config.columns_max + 1],
        }
    }

    /// The next record and the line that it starts on; `None` at the end.
    fn next_record(&mut self) -> Result<Option<(u64, Vec<String>)>, Failure> {
        let started = self.rest;
        // The reader skips empty lines before a record.
        let empty = started.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).filter(|byte| **byte == b'\n');
        let line = self.reader.line() + empty.count() as u64;
        let (mut written, mut fields) = (0, 0);
        loop {
            let (bytes, ends) = (&mut self.bytes[written..], &mut self.ends[fields..]);
            let (result, read, wrote, ended) = self.reader.read_record(self.rest, bytes, ends);
            self.rest = &self.rest[read..];
            written += wrote;
            fields += ended;
            match result {
                // Given no more input, the reader closes the last record by itself.
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::Record if fields <= self.columns_max => break,
                ReadRecordResult::Record | ReadRecordResult::OutputEndsFull | ReadRecordResult::OutputFull => {
                    let message = format!("line {line} has more than {} fields", self.columns_max);
                    return Err(Failure::new("too-many-columns", message));
                }
                ReadRecordResult::End => return Ok(None),
            }
        }
        // The reader accepts a quote that is never closed: the number of quotes in the record is then odd.
        let record = &started[..started.len() - self.rest.len()];
        if self.rest.is_empty() && record.iter().filter(|byte| **byte == self.quote).count() % 2 == 1 {
            return Err(Failure::new(
                "unclosed-quote",
                format!("the quote in the record of line {line} is not closed"),
            ));
        }
        let mut start = 0;
        let fields = self.ends[..fields]
            .iter()
            .map(|end| {
                let field = String::from_utf8_lossy(&self.bytes[start..*end]).into_owned();
                start = *end;
                field
            })
            .collect();
        Ok(Some((line, fields)))
    }
}

plugin! {
    parser: csv_rows,
    schema: include_str!("../schema.json"),
    vectors: include_str!("../vectors.json"),
}

#[cfg(test)]
mod tests {
    use super::{Config, csv_rows};
    use ringback_guest::{Failure, Value, json, testing};

    fn refused(with: Value) -> String {
        testing::config::<Config>(with).unwrap_err().message
    }

    fn parse(with: Value, body: &str) -> Result<Value, Failure> {
        csv_rows(&testing::callback().body(body).build(), testing::config(with).unwrap())
    }

    fn code(with: Value, body: &str) -> String {
        parse(with, body).unwrap_err().code
    }

    #[test]
    fn a_wrong_configuration_is_refused() {
        assert!(refused(json!({ "delimiter": "ab" })).contains("one ASCII character"));
        assert!(refused(json!({ "delimiter": "\n" })).contains("no line break"));
        assert!(refused(json!({ "quote": "" })).contains("one ASCII character"));
        assert!(refused(json!({ "delimiter": "\"" })).contains("must differ"));
        assert!(refused(json!({ "rows_max": 0 })).contains("at least 1"));
        assert!(refused(json!({ "seperator": ";" })).contains("unknown field `seperator`"));
    }

    #[test]
    fn ill_formed_bodies_fail_with_a_code() {
        assert_eq!(code(json!(null), ""), "no-header");
        assert_eq!(code(json!(null), "a,b\n1\n"), "uneven-row");
        assert_eq!(code(json!(null), "a,a\n1,2\n"), "duplicate-column");
        assert_eq!(code(json!(null), "a\n\"1\n"), "unclosed-quote");
        assert_eq!(code(json!({ "rows_max": 1 }), "a\n1\n2\n"), "too-many-rows");
        assert_eq!(code(json!({ "columns_max": 2 }), "a,b,c\n"), "too-many-columns");
        let callback = testing::callback().body([b'a', 0xff]).build();
        assert_eq!(csv_rows(&callback, testing::config(json!(null)).unwrap()).unwrap_err().code, "not-text");
        assert!(parse(json!(null), "a,b\n1,2\n\n3\n").unwrap_err().message.contains("line 4"));
    }

    #[test]
    fn quotes_line_breaks_and_empty_fields_survive() {
        assert_eq!(
            parse(json!(null), "\u{feff}id,name\r\n1,\"Ada, \"\"the\"\" first\nLovelace\"\r\n2,\r\n").unwrap(),
            json!([{ "id": "1", "name": "Ada, \"the\" first\nLovelace" }, { "id": "2", "name": "" }])
        );
    }

    #[test]
    fn without_a_header_rows_are_lists() {
        let with = json!({ "header": false, "delimiter": ";", "quote": "'" });
        assert_eq!(parse(with, "1;'a;b'\n\n2\n").unwrap(), json!([["1", "a;b"], ["2"]]));
        assert_eq!(parse(json!({ "header": false }), "").unwrap(), json!([]));
    }
}
